"""Tests of :mod:`drivers.asic.model`, and of the hardware with a scheduler."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from drivers.asic.costs import Costs
from drivers.asic.hardware import Hardware
from drivers.asic.layout import make_layout
from drivers.asic.model import AsicModel
from drivers.asic.profile import Jitter, Profile, ProfileTable, load
from drivers.asic.tcam import Tcam
from drivers.interfaces import OperationKind
from drivers.scheduling import MAX_OPERATIONS, MAX_SECONDS
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.window import Window

ADD, DELETE = OperationKind.ADD, OperationKind.DELETE

PROFILES = ("priority", "descending", "bothways", "batch", "quanta", "monaco")


def plain(name: str) -> Profile:
    """A profile without what makes comparisons inexact."""
    return attrs.evolve(load(name), jitter=Jitter(), parallel=1)


class Chip:
    """Hardware with a clock and one table."""

    def __init__(self, profile: Profile, policy: str = "greedy") -> None:
        table = profile.tables[0]
        self.clock = Clock()
        self.table = Tcam(
            0,
            table.size,
            make_layout(profile.layout, profile.free, table.size),
            profile.software is not None,
        )
        self.hardware = Hardware(profile, {0: self.table}, 1, policy)
        self.hardware.power_on(self.clock)

    def run(self) -> None:
        """Let time pass until nothing is going to happen any more."""
        while calls := self.clock.getDelayedCalls():
            self.clock.advance(max(0.0, calls[0].getTime() - self.clock.seconds()))

    def do(self, *operations: FakeOperation) -> float:
        """Do operations that arrive together; returns for how many seconds it was busy."""
        before = self.hardware.busy
        self.hardware.submit(operations)
        self.run()
        return self.hardware.busy - before


MATCHES = [
    Match(mask, value)
    for mask in (0, 0x0F, 0xF0, 0xFF)
    for value in (0x00, 0x11, 0x10, 0x01)
    if not value & ~mask
]
WISHES = st.lists(
    st.tuples(
        st.sampled_from(OperationKind),
        st.sampled_from(MATCHES),
        st.integers(1, 6),
        st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.1]),
    ),
    max_size=25,
)
"""What to do to a rule, and how long to wait afterwards."""


def operation_of(kind: OperationKind, match: Match, priority: int, there: Any) -> FakeOperation:
    """What the agent makes of a wish."""
    if there is None:
        return FakeOperation.add(FakeRule(match, priority))
    if kind is DELETE:
        return FakeOperation.delete(there)
    return FakeOperation.modify(there, output(priority))


class SameEndTests(SynchronousTestCase):
    """Whatever the order, the end is the same."""

    @given(
        WISHES,
        st.sampled_from([*PROFILES, "spill"]),
        st.integers(2, 9),
        st.integers(1, 4),
        st.sampled_from(["greedy", "optimal"]),
    )
    @settings(max_examples=150)
    def test_same_end(
        self,
        wishes: list[tuple[OperationKind, Match, int, float]],
        name: str,
        size: int,
        parallel: int,
        policy: str,
    ) -> None:
        """With any profile, however small its table and however much it does at once: what is in
        the table at the end, and what every operation was answered, is as in order of arrival."""
        profile = attrs.evolve(
            load(name), tables=(ProfileTable(0, size, size, "t"),), parallel=parallel
        )
        ends = []
        for chosen in ("fifo", policy):
            chip = Chip(profile, chosen)
            replies = []
            operations: list[FakeOperation] = []
            for kind, match, priority, wait in wishes:
                key = (match, priority)
                if any((o.rule.match, o.rule.priority) == key and not o.done for o in operations):
                    chip.run()
                # As the agent does, by what succeeded and by what may yet.
                there = None
                for other in operations:
                    if (other.rule.match, other.rule.priority) == key and other.succeeded:
                        there = None if other.kind is DELETE else other.rule
                operations.append(operation_of(kind, match, priority, there))
                chip.hardware.submit([operations[-1]])
                chip.clock.advance(wait)
            chip.run()
            for operation in operations:
                (error,) = operation.completions
                assert error is None or isinstance(error, OpenFlowError)
                replies.append((operation.kind, error and error.code))
            there_now = {(r.match, r.priority): r.instructions for r in chip.table.rules}
            ends.append((there_now, replies, chip.table.used, chip.table.spilled))
            self.assertEqual(len(there_now), chip.table.used + len(chip.table.spilled))
        self.assertEqual(ends[0], ends[1])

    def test_given_up(self) -> None:
        """An operation that waits while the next on its entry arrives is not done any more, and is
        answered with an error."""
        chip = Chip(plain("priority"))
        rules = [FakeRule(Match(0xFF, n), 10) for n in range(3)]
        adds = [FakeOperation.add(rule) for rule in rules]
        chip.hardware.submit(adds)
        delete = FakeOperation.delete(rules[2])
        chip.hardware.submit([delete])
        self.assertIsInstance(adds[2].completions[0], OpenFlowError)
        chip.run()
        self.assertTrue(delete.succeeded)
        self.assertEqual(len(adds[2].completions), 1)
        self.assertEqual(chip.table.used, 2)


SMALL = st.lists(
    st.tuples(st.sampled_from(OperationKind), st.sampled_from(MATCHES[1:]), st.integers(1, 60)),
    max_size=7,
    unique_by=lambda wish: wish[1:],
)

RESIDENTS = st.lists(st.tuples(st.integers(1, 60), st.just(0)), max_size=12)


def kept(order: Sequence[FakeOperation]) -> bool:
    """Whether an order is one in which no packet meets but the old or the new: what is higher is
    added before anything is done to what it hides, and deleted after that."""
    for pair in itertools.combinations(order, 2):
        if pair[0].rule.match.overlaps(pair[1].rule.match):
            high = max(pair, key=lambda operation: operation.rule.priority)
            if high is pair[high.kind is ADD] and high.kind in (ADD, DELETE):
                return False
    return True


class CostTests(SynchronousTestCase):
    """What the order is worth."""

    def small(
        self, wishes: list[tuple[OperationKind, Match, int]], residents: list[tuple[int, int]]
    ) -> tuple[list[FakeOperation], list[FakeOperation]]:
        """Operations that put some rules there, and then those to be compared."""
        there = [FakeRule(Match(0xFFF, 0x100 + n), p) for n, (p, _) in enumerate(residents)]
        rest = list(there)
        operations = []
        for kind, match, priority in wishes:
            if kind is ADD or not rest:
                operations.append(FakeOperation.add(FakeRule(match, priority)))
            else:
                operations.append(operation_of(kind, match, priority, rest.pop()))
        return [FakeOperation.add(rule) for rule in there], operations

    @given(
        SMALL,
        RESIDENTS,
        st.sampled_from(PROFILES),
    )
    @settings(max_examples=100)
    def test_close_to_optimal(
        self,
        wishes: list[tuple[OperationKind, Match, int]],
        residents: list[tuple[int, int]],
        name: str,
    ) -> None:
        """In small cases greedy costs at most a tenth more than the best of all orders; the best
        costs no more than greedy, nor than the order of arrival where that is allowed."""
        seconds = {}
        for policy in ("fifo", "greedy", "optimal"):
            chip = Chip(plain(name), policy)
            first, operations = self.small(wishes, residents)
            for add in first:
                chip.do(add)
            assume(self.one_window(chip, operations))
            seconds[policy] = chip.do(*operations)
        self.assertLessEqual(seconds["greedy"], seconds["optimal"] * 1.1 + 1e-9)
        self.assertLessEqual(seconds["optimal"], seconds["greedy"] + 1e-9)
        if kept(operations):
            self.assertLessEqual(seconds["optimal"], seconds["fifo"] + 1e-9)

    @staticmethod
    def one_window(chip: Chip, operations: Sequence[FakeOperation]) -> bool:
        """Whether all of them may overtake each other, as far as they do not overlap."""
        writer = chip.hardware.writer
        model = AsicModel(writer.costs, {0: chip.table}, writer.run)
        window = Window(model, MAX_OPERATIONS, MAX_SECONDS)
        return all(window.admit(operation, 0.0)[0] for operation in operations)

    def test_batch_of_before(self) -> None:
        """An operation that arrives when a batch was begun is not written with it, and the best of
        all orders does not count on that."""
        residents = [(3, 0), (22, 0), (6, 0), (50, 0)]
        kinds = (DELETE, ADD, OperationKind.MODIFY, OperationKind.REPLACE)
        priorities = (47, 49, 45, 17)
        seconds = {}
        for policy in ("greedy", "optimal"):
            chip = Chip(plain("batch"), policy)
            first, operations = self.small(
                [(kind, MATCHES[1], p) for kind, p in zip(kinds, priorities, strict=True)],
                residents,
            )
            chip.do(*first)
            chip.clock.advance(1.0)
            seconds[policy] = chip.do(*operations)
        self.assertLessEqual(seconds["optimal"], seconds["greedy"] + 1e-9)

    @given(SMALL, RESIDENTS, st.sampled_from(PROFILES))
    @settings(max_examples=30)
    def test_exhaustive(
        self,
        wishes: list[tuple[OperationKind, Match, int]],
        residents: list[tuple[int, int]],
        name: str,
    ) -> None:
        """Greedy is as close to the best of all orders that are allowed, each of them tried on
        hardware of its own which keeps it."""
        seconds = {}
        for policy in ("greedy", "optimal"):
            chip = Chip(plain(name), policy)
            first, operations = self.small(wishes[:4], residents)
            rules = [operation.rule for operation in operations]
            for one, other in itertools.combinations(rules, 2):
                assume(one.priority != other.priority or not one.match.overlaps(other.match))
            for add in first:
                chip.do(add)
            seconds[policy] = chip.do(*operations)
        best = float("inf")
        for order in filter(kept, itertools.permutations(operations)):
            chip = Chip(plain(name), "fifo")
            for add in first:
                chip.do(FakeOperation.add(add.rule))
            again = [FakeOperation(one.kind, one.rule, one.old) for one in order]
            best = min(best, chip.do(*again))
        self.assertLessEqual(seconds["greedy"], best * 1.1 + 1e-9)
        self.assertGreaterEqual(seconds["greedy"], best - 1e-9)
        self.assertLessEqual(seconds["optimal"], best + 1e-9)

    @given(
        SMALL,
        RESIDENTS,
        st.sampled_from(PROFILES),
    )
    @settings(max_examples=50)
    def test_trial(
        self,
        wishes: list[tuple[OperationKind, Match, int]],
        residents: list[tuple[int, int]],
        name: str,
    ) -> None:
        """A trial says what operations cost, and changes nothing."""
        profile = plain(name)
        chip = Chip(profile, "fifo")
        first, operations = self.small(wishes, residents)
        chip.do(*first)
        run = chip.hardware.writer.run
        trial = AsicModel(Costs(profile), {0: chip.table}, run).trial(operations)
        lying = chip.table.lying()
        now = chip.clock.seconds()
        expected = sum(trial.perform(operation, now) for operation in operations)
        self.assertEqual(chip.table.lying(), lying)
        self.assertAlmostEqual(chip.do(*operations), expected)

    def test_gain(self) -> None:
        """A thousand rules in random order are installed in less than a fifth of the time that they
        take as they come, and so are those in the wrong order."""
        descending = list(range(1000, 0, -1))
        for priorities in (descending, [n * 7919 % 1009 + 1 for n in range(1000)]):
            seconds = {}
            for policy in ("fifo", "greedy"):
                rules = [FakeRule(Match(0xFFFF, n), p) for n, p in enumerate(priorities)]
                seconds[policy] = Chip(plain("descending"), policy).do(
                    *map(FakeOperation.add, rules)
                )
            self.assertGreater(seconds["fifo"], 5 * seconds["greedy"])
            self.assertAlmostEqual(seconds["greedy"], 3.0)
