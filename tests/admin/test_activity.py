"""Tests of :mod:`agent.admin.activity`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.activity import READERS, Activity
from agent.admin.coverage import Coverage
from agent.ofproto.ofproto import OFProto
from drivers.testing import ScriptableDriver
from tests.admin.agents import FakeBridge
from tests.ofproto.stage import ADD, PORT1, PORT2, REFUSED, SwitchTestCase


class ReaderTests(SwitchTestCase):
    """What is counted of one bridge."""

    def test_all(self) -> None:
        """Messages, errors, operations as they ended, and what the driver owes an answer for."""
        bridge = FakeBridge(self.switch)
        coverage = Coverage()
        Activity(lambda: {"br0": bridge}).watch(coverage)
        self.assertEqual(list(coverage), sorted(READERS))
        self.assertEqual([coverage.total(name) for name in coverage], [0] * len(READERS))
        traffic = bridge.connections.traffic
        traffic.received[2] += 3
        traffic.sent[3] += 2
        traffic.errors["BAD_REQUEST.BAD_TYPE"] += 1
        traffic.waits["flush"].add(0.5)
        self.start(ADD, PORT1)
        self.driver.duplicate()
        self.start(ADD, PORT2)
        self.driver.fail(error=REFUSED)
        self.driver.hold_reads = True
        self.switch.reads.refresh_or_not([])
        self.clock.advance(60)
        self.assertEqual(
            {name: coverage.total(name) for name in coverage},
            {
                "driver_unanswered": 1,
                "openflow_error": 1,
                "openflow_postponed": 1,
                "operation_done": 1,
                "operation_failed": 1,
                "operation_late": 1,
                "vconn_received": 3,
                "vconn_sent": 2,
            },
        )


class TotalTests(SynchronousTestCase):
    """Totals over bridges that come and go."""

    def setUp(self) -> None:
        """No bridges yet."""
        self.bridges: dict[str, FakeBridge] = {}
        self.coverage = Coverage()
        self.activity = Activity(lambda: self.bridges)
        self.activity.watch(self.coverage)

    def add(self, name: str, received: int) -> None:
        """A bridge, new or made anew, that has heard some messages."""
        bridge = FakeBridge(OFProto(name, 1, ScriptableDriver(), Clock()))
        bridge.connections.traffic.received[0] = received
        self.bridges[name] = bridge

    def test_never_less(self) -> None:
        """What a bridge has counted stays counted when it goes or is made anew."""
        self.add("br0", 5)
        self.add("br1", 7)
        self.assertEqual(self.coverage.total("vconn_received"), 12)
        del self.bridges["br1"]
        self.assertEqual(self.coverage.total("vconn_received"), 12)
        self.add("br0", 1)
        self.assertEqual(self.coverage.total("vconn_received"), 13)
        self.add("br1", 2)
        self.assertEqual(self.coverage.total("vconn_received"), 15)

    def test_unwatch(self) -> None:
        """Nothing of it is left, and it can begin anew; another agent's counters are left alone."""
        other = Activity(dict)
        other.watch(self.coverage)
        other.unwatch()
        self.add("br0", 5)
        self.assertEqual(self.coverage.total("vconn_received"), 5)
        for _ in range(2):
            self.activity.unwatch()
            self.assertEqual(list(self.coverage), [])
        other.watch(self.coverage)
        self.assertEqual(self.coverage.total("vconn_received"), 0)
