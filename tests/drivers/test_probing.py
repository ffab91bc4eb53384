"""Tests of :mod:`drivers.probing` and :mod:`drivers.confirm`: when operations are complete."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from agent.packet.classifier import Classifier
from drivers.abilities import IProbe, Probe
from drivers.confirm import Asked, ByDelay
from drivers.interfaces import IOperation, IRule, OperationKind
from drivers.probing import GROWTH, IN_FLIGHT, LOST, RATE, REACH, SOONEST, ByProbe
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import FakeGroup, output

WAY = 0.01
"""Seconds of a packet to the hardware; and back."""


@implementer(IProbe)
class FakeHardware:
    """Hardware that does what the test says, when the test says so.

    :ivar rules: what packets meet.
    :ivar asked: what it was asked and has not done.
    :ivar sent: the packets that were sent, with the time.
    :ivar loses: whether packets get lost.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.rules: Classifier[IRule] = Classifier()
        self.asked: list[IOperation] = []
        self.sent: list[tuple[float, Probe]] = []
        self.loses = False

    def outcome(self, packet: Probe, rule: IRule | None) -> Hashable:
        """The instructions."""
        return None if rule is None else rule.instructions

    def probe(self, packet: Probe) -> Deferred[Hashable]:
        """Look it up on the way."""
        self.sent.append((self.clock.seconds(), packet))
        told: Deferred[Hashable] = Deferred()

        def arrive() -> None:
            met = self.outcome(packet, self.rules.lookup(packet.key))
            self.clock.callLater(WAY, told.callback, met)

        if not self.loses:
            self.clock.callLater(WAY, arrive)
        return told

    def do(self, asked: IOperation) -> None:
        """Do what was asked."""
        self.asked.remove(asked)
        rule = asked.rule
        if asked.kind is OperationKind.DELETE:
            self.rules.remove(rule.match, rule.priority)
        else:
            self.rules.put(rule)


def rule(port: int, priority: int = 5, to: int = 2) -> FakeRule:
    """A rule about what comes in at a port; 0: at any."""
    match = Match.of(in_port=port) if port else Match.of()
    return FakeRule(match, priority, instructions=output(to))


class ConfirmCase(SynchronousTestCase):
    """Hardware whose word is given at once."""

    def setUp(self) -> None:
        """The hardware, and what does not believe it."""
        self.hardware = FakeHardware()
        self.clock = self.hardware.clock
        self.confirmation = ByProbe(self.hardware, 0.4)
        self.confirmation.power_on(self.clock)

    def tearDown(self) -> None:
        """Nothing stays behind."""
        self.confirmation.power_off()
        self.hardware.loses = True
        self.clock.pump([WAY] * 3)
        self.assertEqual(self.clock.calls, [])

    def submit(self, *operations: FakeOperation) -> list[IOperation]:
        """Submit, and have the hardware's word."""
        asked = self.confirmation.asked(operations)
        self.hardware.asked += asked
        for each in asked:
            each.complete()
        return asked

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock.seconds() + seconds
        while self.clock.calls and self.clock.calls[0].getTime() <= end:
            self.clock.advance(max(0.0, self.clock.calls[0].getTime() - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def done(self, operation: FakeOperation) -> None:
        """Submit an operation, do it, and see that it is complete."""
        (asked,) = self.submit(operation)
        self.hardware.do(asked)
        self.run_for(2 * WAY)
        self.assertTrue(operation.succeeded)


class ProbeTests(ConfirmCase):
    """When an operation was seen."""

    def test_provides(self) -> None:
        """The stand-in and what is asked are what they say."""
        verifyObject(IProbe, self.hardware)
        (asked,) = self.confirmation.asked([FakeOperation.add(rule(1))])
        verifyObject(IOperation, asked)

    def test_each_kind(self) -> None:
        """An ADD, a MODIFY, a REPLACE and a DELETE are complete when the hardware has done them,
        however long after its word, and soon after that."""
        one = rule(1)
        two = one.modified(output(3))
        three = two.replaced(output(4))
        for operation in (
            FakeOperation.add(one),
            FakeOperation.modify(one, output(3)),
            FakeOperation.replace(two, output(4)),
            FakeOperation.delete(three),
        ):
            (asked,) = self.submit(operation)
            self.run_for(0.3)
            self.assertFalse(operation.done)
            self.hardware.do(asked)
            self.run_for(0.35 * GROWTH + 4 * WAY)
            self.assertTrue(operation.succeeded, operation.kind)
        self.assertEqual((self.confirmation.confirmed, self.confirmation.show()["doubted"]), (4, 0))
        self.assertIn("4 within 0.4 s", str(self.confirmation.show()["after its word"]))

    def test_not_before_the_word(self) -> None:
        """What the hardware has not confirmed is not looked for."""
        operation = FakeOperation.add(rule(1))
        (asked,) = self.confirmation.asked([operation])
        self.hardware.asked.append(asked)
        self.hardware.do(asked)
        self.run_for(1)
        self.assertEqual((self.hardware.sent, operation.done), ([], False))
        asked.complete()
        self.run_for(2 * WAY)
        self.assertTrue(operation.succeeded)

    def test_refused(self) -> None:
        """What is refused is believed at once, and the entry is as it was."""
        one = rule(1)
        self.done(FakeOperation.add(one))
        operation = FakeOperation.modify(one, output(3))
        (asked,) = self.confirmation.asked([operation])
        error = OpenFlowError(TABLE_FULL, "full")
        asked.complete(error)
        self.assertEqual(operation.completions, [error])
        sent = len(self.hardware.sent)
        self.done(FakeOperation.delete(one))
        self.assertEqual(len(self.hardware.sent), sent + 1)

    def test_twice(self) -> None:
        """A second word is not taken for a packet's; it is passed on only after the first was."""
        operation = FakeOperation.add(rule(1))
        (asked,) = self.submit(operation)
        asked.complete()
        self.run_for(1)
        self.assertFalse(operation.done)
        self.hardware.do(asked)
        self.run_for(1)
        asked.complete()
        self.assertEqual(operation.completions, [None, None])

    def test_never(self) -> None:
        """What is never there is never confirmed, and looked for ever more rarely."""
        operation = FakeOperation.add(rule(1))
        self.submit(operation)
        self.run_for(60)
        self.assertFalse(operation.done)
        times = [time for time, _ in self.hardware.sent]
        gaps = [round(after - before, 6) for before, after in pairwise(times)]
        self.assertEqual(gaps, sorted(gaps))
        self.assertLess(gaps[0], SOONEST + 2 * WAY + 1e-6)
        self.assertLess(len(times), 60 * 4 + 20)

    def test_lost(self) -> None:
        """A packet that gets lost is sent again."""
        operation = FakeOperation.add(rule(1))
        self.hardware.loses = True
        (asked,) = self.submit(operation)
        self.hardware.do(asked)
        self.run_for(LOST / 2)
        self.hardware.loses = False
        self.run_for(LOST / 2 + 2 * WAY)
        self.assertTrue(operation.succeeded)
        self.assertEqual((len(self.hardware.sent), self.confirmation.lost), (2, 1))

    def test_limits(self) -> None:
        """No more packets are under way, nor sent in a second, than the hardware can bear; and all
        is seen in the end."""
        operations = [FakeOperation.add(rule(1 + n)) for n in range(4 * REACH)]
        for asked in self.submit(*operations):
            self.hardware.do(asked)
        while not all(operation.done for operation in operations):
            self.run_for(0.1)
        times = [time for time, _ in self.hardware.sent]
        self.assertEqual(len(times), 4 * REACH)
        for first, other in zip(times, times[IN_FLIGHT:], strict=False):
            self.assertGreaterEqual(other - first, 2 * WAY - 1e-6)
        self.assertLess(max(IN_FLIGHT / (2 * WAY), RATE) * times[-1], 8 * REACH)

    def test_changed_meanwhile(self) -> None:
        """A packet that could tell when it was sent, and cannot when it comes back, tells nothing:
        a rule above that acts alike is asked for while it is on its way."""
        low = FakeOperation.add(rule(1, 5))
        self.submit(low)
        self.run_for(WAY / 2)
        high = FakeOperation.add(rule(0, 9))
        (asked,) = self.submit(high)
        self.hardware.do(asked)
        self.run_for(0.3)
        self.assertTrue(high.succeeded)
        self.assertEqual(self.confirmation.untold["shadowed"], 1)


class UntoldTests(ConfirmCase):
    """Operations that no packet tells."""

    def test_shadowed(self) -> None:
        """A rule that is covered is complete at the word; what uncovers it is complete only when it
        was seen."""
        above = rule(0, 9)
        self.done(FakeOperation.add(above))
        below = FakeOperation.add(rule(1, 5, 3))
        (hidden,) = self.submit(below)
        self.run_for(0)
        self.assertTrue(below.succeeded)
        delete = FakeOperation.delete(above)
        (asked,) = self.submit(delete)
        self.hardware.do(asked)
        self.run_for(5)
        self.assertFalse(delete.done)
        self.hardware.do(hidden)
        self.run_for(1)
        self.assertTrue(delete.succeeded)
        self.assertEqual(dict(self.confirmation.untold), {"shadowed": 1})
        self.assertEqual(self.confirmation.show()["out of sight"], 0)

    def test_still_shadowed(self) -> None:
        """What does not uncover it, after all, does not wait for it."""
        above = rule(0, 9)
        self.done(FakeOperation.add(above))
        self.submit(FakeOperation.add(rule(1, 5, 3)))
        self.done(FakeOperation.add(rule(1, 7, 4)))
        self.assertEqual(self.confirmation.show()["out of sight"], 2)

    def test_uncovered_and_deleted(self) -> None:
        """What uncovers it waits for what is to become of it, if that has changed."""
        above, under = rule(0, 9), rule(1, 5, 3)
        self.done(FakeOperation.add(above))
        (hidden,) = self.submit(FakeOperation.add(under))
        self.run_for(0)
        first = FakeOperation.delete(above)
        (asked,) = self.submit(first)
        second = FakeOperation.delete(under)
        (last,) = self.submit(second)
        self.hardware.do(hidden)
        self.hardware.do(asked)
        self.run_for(5)
        self.assertFalse(first.done or second.done)
        self.hardware.do(last)
        self.run_for(1)
        self.assertTrue(first.succeeded and second.succeeded)

    def test_same(self) -> None:
        """A change of nothing is complete at the word, and nothing is owed."""
        one = rule(1)
        self.done(FakeOperation.add(one))
        operation = FakeOperation.modify(one, output(2))
        self.submit(operation)
        self.run_for(0)
        self.assertTrue(operation.succeeded)
        self.assertEqual(self.confirmation.show()["out of sight"], 0)

    def test_group(self) -> None:
        """A group is complete after the fixed time, which begins when nothing before it is looked
        for any more; its error comes at once."""
        add = FakeOperation.add(rule(1))
        groups = [FakeOperation.add(FakeGroup(number)) for number in (1, 2)]
        asked, good, bad = self.confirmation.asked([add, *groups])
        self.hardware.asked.append(asked)
        asked.complete()
        good.complete()
        bad.complete(ValueError("no"))
        self.assertTrue(groups[1].done)
        self.run_for(2)
        self.assertFalse(groups[0].done)
        self.hardware.do(asked)
        self.run_for(0.3)
        self.assertEqual((add.succeeded, groups[0].done), (True, False))
        self.run_for(0.4)
        self.assertTrue(groups[0].succeeded)
        self.assertEqual(dict(self.confirmation.untold), {"no rule": 1})

    def test_entangled(self) -> None:
        """Of two that only together make a difference neither is told; the time has to do."""
        adds = [FakeOperation.add(rule(1, priority)) for priority in (5, 9)]
        self.submit(*adds)
        self.run_for(0.39)
        self.assertFalse(adds[0].done or adds[1].done)
        self.run_for(0.5)
        self.assertTrue(adds[0].succeeded and adds[1].succeeded)
        self.assertEqual(self.confirmation.untold["entangled"], 2)


class LostTests(ConfirmCase):
    """What hardware has lost."""

    def test_not_relied_on(self) -> None:
        """A rule that is told from what lies between is not confirmed when that is lost, but when
        it was seen again, and then the rule."""
        ground, between = FakeOperation.add(rule(0, 1, 2)), FakeOperation.add(rule(0, 3, 3))
        self.done(ground)
        self.done(between)
        self.hardware.rules.remove(between.rule.match, 3)
        self.confirmation.forget()
        add = FakeOperation.add(rule(1, 5, 2))
        (asked,) = self.submit(add)
        self.run_for(5)
        self.assertFalse(add.done)
        self.hardware.rules.put(between.rule)
        self.run_for(5)
        self.assertFalse(add.done)
        self.hardware.do(asked)
        self.run_for(1)
        self.assertTrue(add.succeeded)
        self.assertEqual(self.confirmation.show()["out of sight"], 1)

    def test_on_its_way(self) -> None:
        """A packet that met a rule before it was lost does not count."""
        add = FakeOperation.add(rule(1))
        (asked,) = self.submit(add)
        self.hardware.do(asked)
        self.run_for(1.5 * WAY)
        self.hardware.rules.remove(add.rule.match, add.rule.priority)
        self.confirmation.forget()
        self.run_for(5)
        self.assertFalse(add.done)
        self.hardware.rules.put(add.rule)
        self.run_for(1)
        self.assertTrue(add.succeeded)

    def test_refused_meanwhile(self) -> None:
        """What was refused in a reset has left nothing known behind."""
        self.done(FakeOperation.add(rule(1)))
        self.confirmation.forget()
        self.assertEqual(self.confirmation.show()["out of sight"], 1)
        asked = self.confirmation.asked([FakeOperation.modify(rule(1), output(3))])
        self.confirmation.forget()
        self.assertEqual(self.confirmation.show()["out of sight"], 0)
        asked[0].complete(OSError("reset"))
        self.assertEqual(self.confirmation.show()["out of sight"], 1)


class RecallTests(ConfirmCase):
    """Operations that the agent gives up."""

    def test_taken_back(self) -> None:
        """What the hardware has not begun is as if it had never been; it is not looked for."""
        operation = FakeOperation.add(rule(1))
        (asked,) = self.submit(operation)
        taken = self.confirmation.recall([operation], set)
        self.assertEqual(taken, {operation})
        self.assertIsInstance(asked, Asked)
        self.run_for(1)
        self.assertEqual((self.hardware.sent, operation.done), ([], False))

    def test_begun(self) -> None:
        """What it had begun may be there or not; to delete it takes to have seen it gone."""
        add = FakeOperation.add(rule(1))
        (asked,) = self.submit(add)
        self.run_for(1)
        self.assertEqual(self.confirmation.recall([add], lambda asked: set()), set())
        self.hardware.do(asked)
        delete = FakeOperation.delete(add.rule)
        (asked,) = self.submit(delete)
        self.run_for(5)
        self.assertFalse(delete.done)
        self.hardware.do(asked)
        self.run_for(0.5)
        self.assertEqual((delete.succeeded, add.done), (True, False))

    def test_what_waited(self) -> None:
        """What waits for what it uncovers can be given up, and what it uncovers is looked for no
        more."""
        above = rule(0, 9)
        self.done(FakeOperation.add(above))
        self.submit(FakeOperation.add(rule(1, 5, 3)))
        self.run_for(0)
        delete = FakeOperation.delete(above)
        (asked,) = self.submit(delete)
        self.hardware.do(asked)
        self.run_for(1)
        self.confirmation.recall([delete], lambda asked: set())
        sent = len(self.hardware.sent)
        self.run_for(5)
        self.assertEqual(len(self.hardware.sent), sent)
        self.assertEqual(self.confirmation.show()["doubted"], 0)


class DelayTests(SynchronousTestCase):
    """A fixed time."""

    def test_delay(self) -> None:
        """Everything is complete that long after the word, errors at once, what was given up and
        what comes after the power is off never."""
        clock = Clock()
        confirmation = ByDelay(0.4)
        confirmation.power_on(clock)
        operations = [FakeOperation.add(rule(1 + n)) for n in range(4)]
        asked = confirmation.asked(operations)
        for each in asked[:2]:
            each.complete()
        asked[2].complete(ValueError("no"))
        self.assertTrue(operations[2].done)
        self.assertEqual(confirmation.recall([operations[0]], lambda asked: set()), set())
        clock.advance(0.39)
        self.assertFalse(operations[1].done)
        clock.advance(0.01)
        self.assertEqual([each.done for each in operations], [False, True, True, False])
        asked[3].complete()
        confirmation.power_off()
        clock.advance(1)
        self.assertFalse(operations[3].done)
