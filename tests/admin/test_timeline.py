"""Tests of :mod:`agent.admin.timeline`."""

from __future__ import annotations

from zope.interface import implementer

from agent.admin.report import Report
from agent.admin.unixctl import CommandError
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.traffic import Barrier
from drivers.abilities import IHistory, Work
from drivers.interfaces import OperationKind, Target
from drivers.testing import ScriptableDriver
from tests.admin.agents import FakeAgent, FakeBridge
from tests.ofproto.stage import SwitchTestCase


@implementer(IHistory)
class RememberingDriver(ScriptableDriver):
    """Remembers what its hardware did."""

    works: tuple[Work, ...] = ()

    def history(self) -> tuple[Work, ...]:
        """What the test has put there."""
        return self.works


def waiting(name: str, kind: str) -> ConnectionStatus:
    """A connection on which a message waits."""
    return ConnectionStatus(
        name=name,
        kind=ConnectionKind.SERVICE,
        state="ACTIVE",
        since=9.0,
        waiting_for="its own 1 operation group",
        waiting_kind=kind,
        waiting_xid=7,
        waiting_seconds=2.5,
    )


class TimelineTests(SwitchTestCase):
    """What is remembered, as data."""

    def test_all(self) -> None:
        """Operations and barriers, over or not, with times as ages."""
        bridge = FakeBridge(self.switch)
        report = Report(FakeAgent({"br0": bridge}), self.clock)
        self.assertRaises(CommandError, report.timeline, "br0")
        driver = RememberingDriver()
        self.switch.driver = driver
        now = self.clock.seconds()
        self.clock.advance(4)
        rule = (OperationKind.DELETE, Target.RULE, 3, now)
        driver.works = (Work(*rule, now + 1, now + 2, 5, "no"), Work(*rule))
        bridge.connections.traffic.barrier(Barrier("br0<->a", 6, now + 1, now + 3))
        bridge.connections.found = [
            waiting("br0<->b", "FlowMod"),
            waiting("br0<->c", "BarrierRequest"),
        ]
        found = report.timeline("br0")
        self.assertEqual(found["hardware"], self.switch.capabilities.hardware)
        what = {"kind": "delete", "target": "rule", "table": 3, "arrived": 4.0}
        self.assertEqual(
            found["operations"],
            [
                {**what, "begun": 3.0, "finished": 2.0, "moves": 5, "error": "no"},
                {**what, "begun": None, "finished": None, "moves": 0, "error": None},
            ],
        )
        self.assertEqual(
            found["barriers"],
            [
                {"connection": "br0<->a", "xid": 6, "since": 3.0, "answered": 1.0},
                {"connection": "br0<->c", "xid": 7, "since": 2.5, "answered": None},
            ],
        )
        self.assertEqual(bridge.connections.traffic.barriers.sum, 2.0)
