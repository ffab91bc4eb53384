"""Tests of :mod:`agent.admin.commands_connections`."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock

from agent.admin.commands_connections import ConnectionCommands
from agent.admin.unixctl import CommandRegistry
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.ofproto.ofproto import OFProto
from drivers.testing import ScriptableDriver
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge

BUSY = ConnectionStatus(
    name="br0<->tcp:192.0.2.1:6653",
    kind=ConnectionKind.PRIMARY,
    state="ACTIVE",
    since=12.5,
    version="1.3",
    role="master",
    admitted=True,
    last_error="connection lost",
    sessions=2,
    received=1250,
    sent=1252,
    errors_sent=3,
    errors={"FLOW_MOD_FAILED.TABLE_FULL": 1, "BAD_REQUEST.BAD_TYPE": 3},
    errors_received=1,
    packet_ins_dropped=1,
    packet_ins_queued=2,
    packet_ins_limited=3,
    packet_ins_overflowed=4,
    outstanding=2,
    backlog=4096,
    queued=7,
    monitors=(1, 9),
    monitors_paused=True,
    waiting_for="the gate",
    waiting_xid=0x17,
    waiting_seconds=1.25,
)
GONE = ConnectionStatus(
    name="br0<->tcp:192.0.2.2:6653",
    kind=ConnectionKind.PRIMARY,
    state="BACKOFF",
    since=1,
    last_error="refused",
    attempts=5,
    retry_in=3,
)
SNOOP = ConnectionStatus(
    name="br0<->unix#1",
    kind=ConnectionKind.SNOOP,
    state="ACTIVE",
    since=0,
    sent=1,
    copies_dropped=9,
)


class ConnectionsTests(CommandCase):
    """``bridge/connections``."""

    def setUp(self) -> None:
        """Two bridges, one of them without connections."""
        self.clock = Clock()
        self.agent = FakeAgent(
            {
                name: FakeBridge(OFProto(name, 1, ScriptableDriver(), self.clock))
                for name in ("br0", "br1")
            }
        )
        self.found = self.agent.bridges["br0"].connections.found
        self.registry = CommandRegistry()
        ConnectionCommands(self.agent, self.clock).register(self.registry)

    def show(self, *args: str) -> list[str]:
        """The lines of the answer."""
        result = self.registry.execute("bridge/connections", args)
        self.clock.pump([0] * 3)
        return self.successResultOf(result).splitlines()

    def test_all(self) -> None:
        """All bridges are shown unless one is named; one that there is not is an error."""
        self.assertEqual(self.show(), ["br0: 0 connections", "br1: 0 connections"])
        self.assertEqual(self.show("br1"), ["br1: 0 connections"])
        self.assertIn("BRIDGE", self.command_refused("bridge/connections", "br9"))

    def test_busy(self) -> None:
        """Of a connection all is told that there is to tell."""
        self.found.append(BUSY)
        self.assertEqual(
            self.show("br0"),
            [
                "br0: 1 connection",
                "  br0<->tcp:192.0.2.1:6653: ACTIVE for 12.500 s, OpenFlow 1.3, master, admitted",
                "    heard 1250 messages, said 1252; 1 heard were errors; "
                "errors sent: BAD_REQUEST.BAD_TYPE: 3, FLOW_MOD_FAILED.TABLE_FULL: 1",
                "    packets not sent, for it does not read: 1; "
                "packets that wait, for there are too many: 2; packets that had to wait: 3; "
                "packets dropped, for too many waited: 4",
                "    in flight: 2 requests; not executed yet: 4096 bytes; "
                "not read by it: 7 messages",
                "    2 flow monitors: 1, 9; paused, for it does not read",
                "    waits: xid=0x17, for 1.250 s, for the gate",
                "    last error: connection lost; connected 2 times",
            ],
        )

    def test_many_monitors(self) -> None:
        """Of very many flow monitors the first are listed."""
        self.found.append(attrs.evolve(SNOOP, monitors=tuple(range(100, 121))))
        listed = ", ".join(map(str, range(100, 120)))
        self.assertEqual(self.show("br0")[-1], f"    21 flow monitors: {listed}, ...")
        self.found[0] = attrs.evolve(SNOOP, monitors=tuple(range(100, 120)))
        self.assertEqual(self.show("br0")[-1], f"    20 flow monitors: {listed}")

    def test_others(self) -> None:
        """And no more than that: of one that is not there, why not, and when it will be tried."""
        self.found += [GONE, SNOOP]
        self.assertEqual(
            self.show("br0")[1:],
            [
                "  br0<->tcp:192.0.2.2:6653: BACKOFF for 1.000 s, again in 3.000 s",
                "    last error: refused; 5 attempts since it was connected",
                "  br0<->unix#1: ACTIVE for 0.000 s, snoop",
                "    heard 0 messages, said 1",
                "    copies not sent, for it does not read: 9",
            ],
        )
