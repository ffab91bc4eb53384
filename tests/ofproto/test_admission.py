"""Tests of :mod:`agent.ofproto.admission`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.admission import Admission, SlotCondition
from agent.ofproto.conditions import Postponed
from tests.ofproto.stage import Requester


class AdmissionTests(SynchronousTestCase):
    """There are so many groups in flight and no more, and all have their turn."""

    def setUp(self) -> None:
        """There is room for two groups."""
        self.admission = Admission(2)
        self.requesters = [Requester(name=f"br0<->{number}") for number in range(4)]

    def start(self, requester: Requester) -> None:
        """Start a group, for which there is room."""
        self.admission.admit(requester)
        self.admission.in_flight += 1

    def end(self) -> None:
        """A group has ended."""
        self.admission.in_flight -= 1
        self.admission.grant()

    def queue(self, requester: Requester) -> SlotCondition:
        """Ask for a place when there is none."""
        condition = self.assertRaises(Postponed, self.admission.admit, requester).condition
        assert isinstance(condition, SlotCondition)
        return condition

    def test_limit(self) -> None:
        """Up to the limit nobody waits; beyond it everybody does, and is told for what."""
        one, two, *_ = self.requesters
        self.start(one)
        self.start(one)
        self.assertEqual(len(self.admission), 0)
        condition = self.queue(two)
        self.assertFalse(condition.cleared)
        self.assertEqual(condition.describe(), "a place among the 2 operation groups in flight")

    def test_internal(self) -> None:
        """The agent itself is never held up, not even where others wait."""
        one, two, *_ = self.requesters
        self.start(one)
        self.start(one)
        self.queue(two)
        self.admission.admit(Requester(internal=True))

    def test_order(self) -> None:
        """A place that becomes free is for whoever has waited longest, and for nobody else."""
        one, two, three, four = self.requesters
        self.start(one)
        self.start(one)
        second, third = self.queue(two), self.queue(three)
        self.end()
        self.assertEqual((second.cleared, third.cleared), (True, False))
        # Neither one who has had a place nor a newcomer takes what was promised to another.
        last = self.queue(one)
        self.queue(four)
        self.start(two)
        self.end()
        self.assertEqual((third.cleared, last.cleared), (True, False))

    def test_busy_does_not_starve(self) -> None:
        """One that asks again at once whenever it is served gets every other place, not each."""
        one, two, *_ = self.requesters
        self.start(one)
        self.start(one)
        waiting = {one: self.queue(one), two: self.queue(two)}
        served = []
        for _ in range(6):
            self.end()
            (requester,) = [r for r, condition in waiting.items() if condition.cleared]
            served.append(requester)
            self.start(requester)
            waiting[requester] = self.queue(requester)
        self.assertEqual(served, [one, two] * 3)

    def test_ask_again(self) -> None:
        """One that asks again while it waits keeps its place in the line."""
        one, two, three, _ = self.requesters
        self.start(one)
        self.start(one)
        condition = self.queue(two)
        self.queue(three)
        self.assertIs(self.queue(two), condition)
        self.end()
        self.assertTrue(condition.cleared)
        self.assertEqual(len(self.admission), 2)

    def test_promise_given_back(self) -> None:
        """A place promised to one that does not use it is passed on."""
        one, two, three, _ = self.requesters
        self.start(one)
        self.start(one)
        second, third = self.queue(two), self.queue(three)
        self.end()
        self.assertEqual((second.cleared, third.cleared), (True, False))
        self.admission.forgo(two)
        self.assertTrue(third.cleared)
        self.start(three)
        self.assertEqual(len(self.admission), 0)

    def test_gone_while_waiting(self) -> None:
        """One that is gone is skipped, and forgotten."""
        one, two, three, _ = self.requesters
        self.start(one)
        self.start(one)
        second, third = self.queue(two), self.queue(three)
        self.admission.forgo(two)
        self.end()
        self.assertEqual((second.cleared, third.cleared), (False, True))
        self.admission.forgo(three)
        self.assertEqual(len(self.admission), 0)

    def test_two_promises(self) -> None:
        """Places that become free together are promised to different requesters."""
        one, two, three, four = self.requesters
        self.start(one)
        self.start(one)
        conditions = [self.queue(requester) for requester in (two, three, four)]
        self.end()
        self.end()
        self.assertEqual([c.cleared for c in conditions], [True, True, False])
        self.start(three)
        self.start(two)
        self.queue(one)

    def test_stop(self) -> None:
        """When the bridge goes, nobody is remembered."""
        one, two, *_ = self.requesters
        self.start(one)
        self.start(one)
        self.queue(two)
        self.admission.stop()
        self.assertEqual(len(self.admission), 0)
