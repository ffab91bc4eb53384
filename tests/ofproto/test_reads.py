"""Tests of :mod:`agent.ofproto.reads`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agent.ofproto.reads import NoAnswerError, Reads
from agent.openflow import messages as of
from agent.openflow.errors import REQUEST_EPERM
from agent.openflow.messages import PortStats
from drivers.abilities import ICounts
from drivers.interfaces import Entry, TableCounters
from drivers.testing import FakeHost, ScriptableDriver
from tests.ofproto.stage import PORT1, SwitchTestCase


class ReadsTests(SynchronousTestCase):
    """Questions to a driver."""

    def setUp(self) -> None:
        """A driver that takes its time."""
        self.clock = Clock()
        self.driver = ScriptableDriver(hold_reads=True)
        self.driver.counters = [PortStats(1)]
        self.driver.lookups = {0: TableCounters(2, 1)}
        self.driver.start(FakeHost())
        self.patience = 60.0
        self.reads = Reads("br0", self.driver, self.clock, lambda: self.patience)

    def test_answered(self) -> None:
        """What the driver says is passed on, at once or later, and no timer is left."""
        for hold in (False, True):
            self.driver.hold_reads = hold
            answers: tuple[Deferred[Any], ...] = (
                self.reads.refresh([]),
                self.reads.refresh_or_not([]),
                self.reads.port_stats(),
                self.reads.table_stats(),
            )
            self.clock.advance(59)
            self.driver.finish_reads()
            self.assertEqual(
                [self.successResultOf(answer) for answer in answers],
                [None, None, self.driver.counters, self.driver.lookups],
            )
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.reads.unanswered, 0)

    def test_not_answered(self) -> None:
        """When the time is over there is an error that a controller can be told."""
        answers = (self.reads.refresh([]), self.reads.port_stats(), self.reads.table_stats())
        self.clock.advance(60)
        for answer in answers:
            error = self.failureResultOf(answer, NoAnswerError).value
            self.assertIs(error.code, REQUEST_EPERM)
            self.assertIn("60 s", error.text)
        self.assertEqual(self.reads.unanswered, 3)
        self.driver.finish_reads()

    def test_counters_as_they_are(self) -> None:
        """Who can do with old counters is told that they are what there is."""
        answer = self.reads.refresh_or_not([])
        self.clock.advance(60)
        self.assertIsNone(self.successResultOf(answer))
        self.assertEqual(self.reads.unanswered, 1)

    def test_driver_fails(self) -> None:
        """An error of the driver's own is passed on, also a timeout, and is no silence."""
        for kind in (OSError, TimeoutError):
            answer = self.reads.refresh_or_not([])
            (held, _), *_ = self.driver._reads
            self.driver._reads.clear()
            held.errback(kind("broken"))
            self.failureResultOf(answer, kind)
        self.assertEqual(self.reads.unanswered, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_for_ever(self) -> None:
        """Without a limit it waits for ever; a limit counts for what is asked from then on."""
        self.patience = 0
        answer = self.reads.refresh([])
        self.clock.advance(1e6)
        self.assertNoResult(answer)
        self.patience = 1
        other = self.reads.refresh([])
        self.clock.advance(1)
        self.failureResultOf(other, NoAnswerError)
        self.assertNoResult(answer)
        self.driver.finish_reads()
        self.successResultOf(answer)

    def test_stop(self) -> None:
        """Stopped, it has no timers; what the driver says then is passed on."""
        answers = []
        for self.patience in (0.0, 60.0):
            answers.append(self.reads.refresh([]))
        self.reads.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.driver.finish_reads()
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(self.reads.unanswered, 0)

    def test_cancelled(self) -> None:
        """Who does not want the answer any more can say so."""
        answer = self.reads.refresh([])
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.reads.unanswered, 0)


@implementer(ICounts)
class Counting(ScriptableDriver):
    """A driver that is asked for what it has counted apart from when.

    :ivar counted: the entries of each call of :meth:`refresh_counts`.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.counted: list[Sequence[Entry]] = []

    def refresh_counts(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Remember which."""
        self.counted.append(rules)
        answer: Deferred[None] = self._read(None)
        return answer


class CountsTests(SwitchTestCase):
    """A driver that reads faster how much was counted than when."""

    driver_class = Counting
    driver: Counting

    def test_when(self) -> None:
        """When rules were used is asked for Nicira's statistics and idle timeouts, and for nothing
        else."""
        self.add(PORT1, idle_timeout=10)
        rules = self.rules()
        self.driver.refreshed.clear()
        self.driver.counted.clear()
        for nxm in (False, True):
            self.successResultOf(self.handle(of.FlowStatsRequest(nxm=nxm)))
            self.successResultOf(self.handle(of.AggregateRequest(nxm=nxm)))
        self.assertEqual((self.driver.counted, self.driver.refreshed), ([rules] * 3, [rules]))
        self.clock.advance(10)
        self.assertEqual((self.driver.counted, self.driver.refreshed), ([rules] * 3, [rules] * 2))

    def test_not_answered(self) -> None:
        """When it does not answer, the counters are taken as they are."""
        self.driver.hold_reads = True
        answer = self.handle(of.FlowStatsRequest())
        self.assertNoResult(answer)
        self.clock.advance(60)
        self.successResultOf(answer)


class StatisticsTests(SwitchTestCase):
    """Statistics from a driver that does not answer."""

    def test_flows(self) -> None:
        """Rules are told with the counters that are known."""
        self.add(PORT1)
        (rule,) = self.rules()
        rule.counters.packets = 7
        self.driver.hold_reads = True
        flows = self.handle(of.FlowStatsRequest())
        total = self.handle(of.AggregateRequest())
        self.clock.advance(60)
        (flow,) = self.successResultOf(flows).flows
        self.assertEqual(flow.packet_count, 7)
        self.assertEqual(self.successResultOf(total).packet_count, 7)

    def test_bridge_goes(self) -> None:
        """A driver that does not answer, not even when it is stopped, leaves no timer behind."""
        self.patch(ScriptableDriver, "finish_reads", lambda driver: None)
        self.add(PORT1, idle_timeout=10)
        self.driver.hold_reads = True
        waiting = self.handle(of.FlowStatsRequest())
        self.clock.advance(10)
        self.assertEqual(len(self.driver.refreshed), 2)
        self.successResultOf(self.switch.stop())
        self.assertNoResult(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ports_and_tables(self) -> None:
        """Of ports and tables nothing is known: that is an error."""
        self.driver.hold_reads = True
        for request in (of.PortStatsRequest(), of.TableStatsRequest()):
            answer = self.handle(request)
            self.clock.advance(60)
            self.failureResultOf(answer, NoAnswerError)
