"""Tests of :mod:`drivers.asic.hardware`."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import FLOW_MOD_UNKNOWN, TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from drivers.asic.hardware import MAX_TURN, Hardware
from drivers.asic.profile import Jitter, Law, Profile, ProfileTable
from drivers.asic.tcam import Tcam
from drivers.interfaces import OperationKind
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output

SECOND = Profile(
    "second",
    "made up",
    "made up",
    (ProfileTable(0, 1000, 1000, "tcam0"),),
    1,
    Jitter(),
    Law(1.0),
    Law(2.0),
    Law(0.5),
)
"""Every ADD takes a second, every MODIFY two, every DELETE half a second."""


class Chip:
    """Hardware with a clock, and what it has confirmed.

    :ivar ended: the operations in the order of their ends, each with the second.
    """

    def __init__(self, profile: Profile = SECOND, seed: int = 0) -> None:
        self.clock = Clock()
        self.tables = {t.table_id: Tcam(t.table_id, t.size) for t in profile.tables}
        self.hardware = Hardware(profile, self.tables, seed)
        self.hardware.power_on(self.clock)
        self.ended: list[tuple[FakeOperation, float]] = []

    def submit(self, *operations: FakeOperation) -> None:
        """Submit operations, and note when each ends."""
        for operation in operations:
            operation.on_complete = self._note
        self.hardware.submit(operations)

    def _note(self, operation: FakeOperation) -> None:
        self.ended.append((operation, self.clock.seconds()))

    @property
    def times(self) -> list[float]:
        """The seconds in which something ended."""
        return [second for _, second in self.ended]

    def run(self) -> None:
        """Let time pass until nothing is going to happen any more."""
        while calls := self.clock.getDelayedCalls():
            self.clock.advance(max(0.0, calls[0].getTime() - self.clock.seconds()))


def rules(count: int, priority: int = 100) -> list[FakeRule]:
    """Rules that differ in what they match."""
    return [FakeRule(Match.of(in_port=n + 1), priority) for n in range(count)]


def adds(count: int) -> list[FakeOperation]:
    """Operations that add as many rules."""
    return [FakeOperation.add(rule) for rule in rules(count)]


class TimeTests(SynchronousTestCase):
    """When operations end."""

    def test_one_at_a_time(self) -> None:
        """Operations are done one after the other, in the order of their arrival."""
        chip = Chip()
        operations = adds(3)
        chip.submit(*operations[:2])
        chip.submit(operations[2])
        chip.run()
        self.assertEqual(chip.ended, list(zip(operations, [1.0, 2.0, 3.0], strict=True)))

    def test_kinds(self) -> None:
        """Each kind takes its own time; a REPLACE that of a MODIFY."""
        chip = Chip()
        (rule,) = rules(1)
        for operation, end in (
            (FakeOperation.add(rule), 1.0),
            (FakeOperation.modify(rule, ()), 3.0),
            (FakeOperation.replace(rule, ()), 5.0),
            (FakeOperation.delete(rule), 5.5),
        ):
            chip.submit(operation)
            chip.run()
            self.assertEqual(chip.ended[-1], (operation, end))

    def test_idle_in_between(self) -> None:
        """What arrives when nothing is going on begins at once, and is not done in advance."""
        chip = Chip()
        one, two = adds(2)
        chip.submit(one)
        chip.clock.advance(10)
        chip.submit(two)
        chip.clock.advance(0.75)
        self.assertFalse(two.done)
        chip.run()
        self.assertEqual(chip.times[-1], 11.0)

    def test_parallel(self) -> None:
        """Several are worked on at once; the next begins when one has ended."""
        chip = Chip(attrs.evolve(SECOND, parallel=3))
        chip.submit(*adds(7))
        self.assertEqual((chip.hardware.running, chip.hardware.waiting), (3, 4))
        chip.run()
        self.assertEqual(chip.times, [1.0] * 3 + [2.0] * 3 + [3.0])

    def test_in_order(self) -> None:
        """A short operation does not overtake a long one that was begun before it."""
        chip = Chip(attrs.evolve(SECOND, parallel=2))
        one, two = rules(2)
        chip.submit(FakeOperation.add(one), FakeOperation.add(two))
        chip.run()
        modify, delete = FakeOperation.modify(one, ()), FakeOperation.delete(two)
        chip.submit(modify, delete)
        chip.run()
        self.assertEqual(chip.ended[2:], [(modify, 3.0), (delete, 3.0)])

    def test_occupancy(self) -> None:
        """Each resident entry adds its share, and each one that is on its way there."""
        law = Law(1.0, per_entry=0.25, per_entry_from=1)
        chip = Chip(attrs.evolve(SECOND, add=law))
        chip.submit(*adds(4))
        chip.run()
        self.assertEqual(chip.times, [1.0, 2.0, 3.25, 4.75])

    def test_moves(self) -> None:
        """Each entry that has to move adds its share."""
        chip = Chip(attrs.evolve(SECOND, add=Law(1.0, move=0.5)))
        ascending = [FakeRule(Match.of(in_port=1), priority) for priority in (1, 2, 3)]
        chip.submit(*map(FakeOperation.add, ascending))
        chip.run()
        self.assertEqual(chip.times, [1.0, 2.5, 4.5])
        self.assertEqual(chip.hardware.writer.moves, 3)

    def test_busy_reactor(self) -> None:
        """A reactor that is late delays confirmations, and not the hardware."""
        chip = Chip()
        chip.submit(*adds(4))
        chip.clock.advance(2.5)
        self.assertEqual(len(chip.ended), 2)
        chip.clock.advance(1.5)
        self.assertEqual(len(chip.ended), 4)
        self.assertEqual(chip.hardware.busy, 4.0)

    def test_one_timer(self) -> None:
        """However long the queue is, there is one timer."""
        chip = Chip(attrs.evolve(SECOND, parallel=3))
        chip.submit(*adds(500))
        self.assertEqual(len(chip.clock.getDelayedCalls()), 1)
        chip.clock.advance(5)
        self.assertEqual(len(chip.clock.getDelayedCalls()), 1)
        chip.run()
        self.assertEqual(len(chip.ended), 500)

    def test_turns_are_short(self) -> None:
        """However many are due at once, a turn of the reactor ends a bounded number of them."""
        nothing = attrs.evolve(SECOND, add=Law(0.0))
        chip = Chip(nothing)
        chip.submit(*adds(MAX_TURN + 1))
        self.assertEqual(chip.ended, [])
        (call,) = chip.clock.getDelayedCalls()
        call.cancel()
        chip.hardware._timer = None
        chip.hardware._turn()
        self.assertEqual(len(chip.ended), MAX_TURN)
        chip.run()
        self.assertEqual(len(chip.ended), MAX_TURN + 1)

    def test_submit_while_confirming(self) -> None:
        """What is submitted from within a completion comes behind the others."""
        chip = Chip()
        first, second, third = adds(3)
        chip.submit(first, second)
        first.on_complete = lambda operation: chip.submit(third)
        chip.run()
        self.assertEqual(chip.ended, [(second, 2.0), (third, 3.0)])

    def test_jitter(self) -> None:
        """Times vary around the law's; the same seed gives the same times, another others."""
        varied = attrs.evolve(SECOND, jitter=Jitter(0.5, 1.0, 1.5))

        def times(seed: int) -> list[float]:
            chip = Chip(varied, seed)
            chip.submit(*adds(200))
            chip.run()
            return chip.times

        self.assertEqual(times(1), times(1))
        self.assertNotEqual(times(1), times(2))
        self.assertTrue(180 < times(1)[-1] < 220)
        gaps = [b - a for a, b in zip(times(1), times(1)[1:], strict=False)]
        self.assertTrue(min(gaps) < 0.7 and max(gaps) > 1.3)

    def test_broken_completion(self) -> None:
        """An agent that raises from a completion does not stop the hardware."""
        chip = Chip()
        one, two = adds(2)
        chip.submit(one, two)

        def broken(operation: FakeOperation) -> None:
            raise RuntimeError("a bug of the agent")

        one.on_complete = broken
        self.assertRaises(RuntimeError, chip.clock.advance, 1)
        chip.run()
        self.assertEqual(chip.ended, [(two, 2.0)])


class TruthTests(SynchronousTestCase):
    """What is in the tables, and when."""

    def test_written_when_confirmed(self) -> None:
        """An entry is there from its confirmation on, as it was asked for then."""
        chip = Chip()
        (rule,) = rules(1)
        table = chip.tables[0].rules
        add = FakeOperation.add(rule)
        modify = FakeOperation.modify(rule, output(1))
        delete = FakeOperation.delete(modify.rule)
        seen = []
        for operation in (add, modify, delete):
            chip.submit(operation)
            seen.append(table.lookup(1))
            operation.on_complete = lambda operation: seen.append(table.lookup(1))
            chip.run()
        self.assertEqual(seen, [None, rule, rule, modify.rule, modify.rule, None])

    def test_full(self) -> None:
        """What does not fit is TABLE_FULL, after the time it takes to find that out; what makes
        room counts from when it was begun."""
        chip = Chip(attrs.evolve(SECOND, tables=(ProfileTable(0, 2, 2, "tcam0"),)))
        operations = adds(3)
        chip.submit(*operations)
        chip.run()
        (error,) = operations[2].completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, TABLE_FULL)
        self.assertEqual(chip.times[2], 3.0)
        again = FakeOperation.add(operations[2].rule)
        chip.submit(FakeOperation.delete(operations[0].rule), again)
        chip.run()
        self.assertTrue(again.succeeded)
        self.assertEqual(chip.tables[0].used, 2)

    def test_delete_of_nothing(self) -> None:
        """To delete what is not there is no error: it is as it should be."""
        chip = Chip()
        delete = FakeOperation.delete(rules(1)[0])
        chip.submit(delete)
        chip.run()
        self.assertTrue(delete.succeeded)
        self.assertEqual(chip.tables[0].used, 0)

    @given(
        st.lists(st.tuples(st.sampled_from(OperationKind), st.integers(1, 4)), max_size=40),
        st.integers(1, 4),
        st.integers(0, 3),
        st.lists(st.sampled_from(["fail every 3", "late 2 every 4", "stall 5"]), max_size=3),
    )
    def test_as_in_order(
        self, wanted: list[tuple[OperationKind, int]], parallel: int, size: int, faults: list[str]
    ) -> None:
        """Whatever it is asked, however much of it at once, and whatever goes wrong: each operation
        ends once, the table holds what it would hold had those that succeeded been done one after
        the other, and room is taken by just that."""
        profile = attrs.evolve(
            SECOND,
            parallel=parallel,
            jitter=Jitter(0.1, 1.0, 3.0),
            tables=(ProfileTable(0, size + 1, size + 1, "tcam0"),),
        )
        chip = Chip(profile)
        for text in faults:
            chip.hardware.faults.arm(text.split())
        operations: list[FakeOperation] = []
        for kind, port in wanted:
            # As the agent does: what is in flight on an entry is waited for.
            for other in operations:
                if other.rule.match.value == port and not other.done:
                    chip.run()
                    if not other.done:
                        chip.hardware.clear_faults()
                        chip.run()
            operations.append(FakeOperation(kind, FakeRule(Match.of(in_port=port))))
            chip.submit(operations[-1])
        chip.hardware.clear_faults()
        chip.run()
        self.assertEqual(
            [len(operation.completions) for operation in operations], [1] * len(wanted)
        )
        expected: dict[int, Any] = {}
        for operation in operations:
            if operation.succeeded:
                if operation.kind is OperationKind.DELETE:
                    expected.pop(operation.rule.match.value, None)
                else:
                    expected[operation.rule.match.value] = operation.rule
        table = chip.tables[0]
        self.assertEqual({rule.match.value: rule for rule in table.rules}, expected)
        self.assertEqual(table.used, len(expected))
        self.assertLessEqual(table.used, table.size)


class LawTests(SynchronousTestCase):
    """How entries are written, where a profile says more than how long it takes."""

    def test_batch(self) -> None:
        """What is written together with the one before costs less: so many, of one kind, and all
        there when the first was begun."""
        law = Law(1.0, batched=0.25)
        chip = Chip(attrs.evolve(SECOND, batch=3, add=law))
        one, *others = adds(6)
        chip.submit(one)
        chip.submit(*others)
        chip.run()
        # The first was begun alone: the others came in the same moment and go with it.
        self.assertEqual(chip.times, [1.0, 1.25, 1.5, 2.5, 2.75, 3.0])
        more = [FakeOperation.add(rule) for rule in rules(9)[6:]]
        chip.submit(more[0])
        chip.clock.advance(0.5)
        chip.submit(FakeOperation.delete(one.rule), *more[1:])
        chip.run()
        self.assertEqual(chip.times[6:], [4.0, 4.5, 5.5, 5.75])

    def test_cut_modify(self) -> None:
        """An entry that is deleted and added is not met in between, only what lies below it."""
        chip = Chip(attrs.evolve(SECOND, how="delete and add", modify=Law(0.25)))
        high = FakeRule(Match.of(in_port=1), 20)
        low = FakeRule(Match.of(), 10)
        chip.submit(FakeOperation.add(high), FakeOperation.add(low))
        chip.run()
        modify = FakeOperation.modify(high, output(1))
        chip.submit(modify)
        met = []
        for _ in range(8):
            met.append(chip.tables[0].rules.lookup(1))
            chip.clock.advance(0.25)
        self.assertEqual(met, [high, high] + [low] * 5 + [modify.rule])
        self.assertEqual(chip.times[2:], [1.75 + 2.0])
        self.assertEqual(chip.tables[0].used, 2)

    def test_cut_moves(self) -> None:
        """Where moving takes an entry out, each is nowhere while it is moved, and only then."""
        chip = Chip(attrs.evolve(SECOND, cuts=True, add=Law(1.0, move=0.5)))
        low, middle = (FakeRule(Match.of(in_port=n), n) for n in (1, 2))
        chip.submit(FakeOperation.add(middle), FakeOperation.add(low))
        chip.run()
        chip.submit(FakeOperation.add(FakeRule(Match.of(in_port=3), 3)))
        table = chip.tables[0].rules
        met = []
        for _ in range(4):
            met.append((table.lookup(1) is low, table.lookup(2) is middle))
            chip.clock.advance(0.5)
        self.assertEqual(met, [(True, True), (True, True), (False, True), (True, False)])
        self.assertTrue(all(table.lookup(n) for n in (1, 2, 3)))

    def test_cut_clogged(self) -> None:
        """What was out when the hardware was halted stays out."""
        chip = Chip(attrs.evolve(SECOND, cuts=True, add=Law(1.0, move=0.5)))
        chip.submit(FakeOperation.add(FakeRule(Match.of(in_port=1), 1)))
        chip.run()
        chip.submit(FakeOperation.add(FakeRule(Match.of(in_port=2), 2)))
        chip.clock.advance(1.25)
        chip.hardware.clog()
        chip.clock.advance(10)
        self.assertIsNone(chip.tables[0].rules.lookup(1))
        chip.hardware.unclog()
        chip.run()
        self.assertIsNotNone(chip.tables[0].rules.lookup(1))

    def test_spill(self) -> None:
        """What does not fit is written to software, in the time that takes, and erased there."""
        profile = attrs.evolve(
            SECOND, tables=(ProfileTable(0, 1, 9, "tcam0"),), software=Law(0.125)
        )
        chip = Chip(profile)
        chip.tables[0].spills = True
        operations = adds(3)
        chip.submit(*operations, FakeOperation.delete(operations[2].rule))
        chip.run()
        self.assertEqual(chip.times, [1.0, 1.125, 1.25, 1.375])
        self.assertEqual(len(chip.tables[0].rules), 2)
        self.assertEqual((chip.tables[0].used, len(chip.tables[0].spilled)), (1, 1))


class FaultTests(SynchronousTestCase):
    """What goes wrong on demand."""

    def chip(self, *faults: str, profile: Profile = SECOND) -> Chip:
        """A chip with faults."""
        chip = Chip(profile)
        for text in faults:
            chip.hardware.faults.arm(text.split())
        return chip

    def there(self, chip: Chip) -> set[int]:
        """The ports that rules in the table match."""
        return {rule.match.value for rule in chip.tables[0].rules}

    def test_fail(self) -> None:
        """A failure takes its time, has an error, and changes nothing."""
        chip = self.chip("fail 2")
        operations = adds(3)
        chip.submit(*operations)
        chip.run()
        (error,) = operations[1].completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, FLOW_MOD_UNKNOWN)
        self.assertEqual(chip.times, [1.0, 2.0, 3.0])
        self.assertEqual(self.there(chip), {1, 3})
        self.assertEqual((chip.hardware.done, chip.hardware.refused), (2, 1))

    def test_stall(self) -> None:
        """After a stall nothing ends, until the faults are cleared; then all goes on."""
        for parallel in (1, 3):
            chip = self.chip("stall 2", profile=attrs.evolve(SECOND, parallel=parallel))
            operations = adds(4)
            chip.submit(*operations)
            chip.clock.advance(100)
            self.assertEqual([o.done for o in operations], [True, False, False, False])
            self.assertEqual(self.there(chip), {1})
            self.assertEqual(chip.clock.getDelayedCalls(), [])
            chip.hardware.clear_faults()
            chip.run()
            self.assertTrue(all(operation.succeeded for operation in operations))
            self.assertEqual(chip.times[1], 100.0)

    def test_lose(self) -> None:
        """What is lost is done, and nobody hears of it."""
        chip = self.chip("lose 1")
        operations = adds(2)
        chip.submit(*operations)
        chip.run()
        self.assertEqual([o.done for o in operations], [False, True])
        self.assertEqual(self.there(chip), {1, 2})

    def test_duplicate(self) -> None:
        """What is duplicated is confirmed twice."""
        chip = self.chip("duplicate 1")
        operations = adds(2)
        chip.submit(*operations)
        chip.run()
        self.assertEqual([o.completions for o in operations], [[None, None], [None]])

    def test_late(self) -> None:
        """What is late is done in time and confirmed later, and holds nothing up."""
        chip = self.chip("late 1.5 1")
        one, two, three = adds(3)
        chip.submit(one, two, three)
        chip.clock.advance(1)
        self.assertEqual(self.there(chip), {1})
        self.assertFalse(one.done)
        chip.run()
        self.assertEqual(chip.ended, [(two, 2.0), (one, 2.5), (three, 3.0)])

    def test_given_up(self) -> None:
        """An agent which gave up a stalled operation and tries again gets one entry, not two."""
        for parallel in (1, 2):
            chip = self.chip("stall 1", profile=attrs.evolve(SECOND, parallel=parallel))
            (rule,) = rules(1)
            first = FakeOperation.add(rule)
            second = FakeOperation.add(FakeRule(rule.match, rule.priority))
            chip.submit(first)
            chip.clock.advance(60)
            chip.submit(second)
            chip.hardware.clear_faults()
            chip.run()
            self.assertTrue(second.succeeded)
            self.assertIs(chip.tables[0].rules.lookup(1), second.rule)
            self.assertEqual(chip.tables[0].used, 1)

    def test_recall(self) -> None:
        """What was not begun can be taken back, and leaves nothing; what was begun goes on."""
        chip = self.chip("stall 1")
        first, second, third = adds(3)
        chip.submit(first, second, third)
        self.assertEqual(chip.hardware.recall([first, second]), {second})
        chip.hardware.clear_faults()
        chip.run()
        self.assertEqual(chip.ended, [(first, 0.0), (third, 1.0)])
        self.assertEqual(chip.tables[0].used, 2)


class ClogTests(SynchronousTestCase):
    """Halting the hardware."""

    def test_time_stands_still(self) -> None:
        """What was half done when it was halted needs the other half when it goes on."""
        chip = Chip()
        chip.submit(*adds(2))
        chip.clock.advance(0.5)
        chip.hardware.clog()
        chip.clock.advance(10)
        self.assertEqual((chip.ended, chip.clock.getDelayedCalls()), ([], []))
        chip.hardware.unclog()
        chip.run()
        self.assertEqual(chip.times, [11.0, 12.0])
        self.assertEqual(chip.hardware.busy, 2.0)

    def test_submitted_meanwhile(self) -> None:
        """What arrives meanwhile is begun when it goes on."""
        chip = Chip()
        chip.hardware.clog()
        chip.submit(*adds(2))
        chip.clock.advance(5)
        self.assertEqual(chip.hardware.waiting, 2)
        chip.hardware.unclog()
        chip.run()
        self.assertEqual(chip.times, [6.0, 7.0])

    def test_from_within_a_completion(self) -> None:
        """It can be halted from within a completion, and ends nothing more in that turn."""
        chip = Chip(attrs.evolve(SECOND, add=Law(0.0)))
        one, two = adds(2)
        chip.submit(one, two)
        one.on_complete = lambda operation: chip.hardware.clog()
        chip.clock.advance(1)
        self.assertFalse(two.done)
        chip.hardware.unclog()
        chip.run()
        self.assertTrue(two.succeeded)

    def test_history_of_what_never_will_be(self) -> None:
        """What is recalled, or lost in a reset, does not wait any more."""
        chip = Chip()
        one, two, three = adds(3)
        chip.submit(one, two, three)
        chip.hardware.recall([three])
        self.assertEqual([work.begun for work in chip.hardware.history()], [0.0, None])
        chip.clock.advance(0.5)
        chip.hardware.reset()
        lost, again = chip.hardware.history()
        self.assertEqual((lost.begun, lost.finished), (0.0, 0.5))
        self.assertIn("reset", str(lost.error))
        self.assertEqual((again.arrived, again.begun, again.finished), (0.5, 0.5, None))
        chip.hardware.power_off()
        self.assertEqual(chip.hardware.history(), [lost])

    def test_power_off(self) -> None:
        """Switched off it has no timer, and confirms nothing any more."""
        chip = Chip()
        chip.submit(*adds(3))
        chip.hardware.power_off()
        self.assertEqual(chip.clock.getDelayedCalls(), [])
        chip.submit(*adds(1))
        chip.clock.advance(10)
        self.assertEqual(chip.ended, [])
