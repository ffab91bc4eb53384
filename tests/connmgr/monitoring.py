"""What the tests of flow monitors have in common: sessions, with a real switch behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.connmgr.ofconn import OFConn
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow import nx_messages as nx
from agent.openflow.actions import ApplyActions, Instructions, Output
from agent.openflow.fields import IN_PORT
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.connmgr.fakes import Peer
from tests.connmgr.test_switch import SwitchCase

EVENTS = Flags.ADD | Flags.DELETE | Flags.MODIFY
ALL = int(EVENTS | Flags.INITIAL | Flags.ACTIONS | Flags.OWN)
NOT_OWN = ALL & ~Flags.OWN
VERSIONS = (of.OFP10, of.OFP13)


def output(port: int) -> Instructions:
    """Instructions that send a packet there."""
    return (ApplyActions((Output(port),)),)


def flow_mod(
    command: of.FlowModCommand, port: int = 0, to: int = 2, xid: int = 9, cookie: int = 0
) -> of.FlowMod:
    """A change of the rule for one port, or of all rules."""
    match = Match.of(in_port=port) if port else Match()
    return of.FlowMod(command, match, priority=5, instructions=output(to), xid=xid, cookie=cookie)


def words(message: Any) -> list[str]:
    """What a message says of rules, by their ports: ``+`` added, ``-`` deleted, ``*`` modified."""
    if not isinstance(message, nx.FlowMonitorReply):
        return [type(message).__name__]
    found = []
    for update in message.updates:
        if isinstance(update, nx.FlowUpdateAbbrev):
            found.append(f"xid {update.request_xid}")
        else:
            found.append(f"{'+-*'[update.event]}{update.match.value_of(IN_PORT)}")
    return found


class MonitorCase(SwitchCase):
    """A bridge whose hardware does everything at once, until the test wants otherwise."""

    def setUp(self) -> None:
        """Start it; somebody changes rules."""
        super().setUp()
        self.driver.instant = True
        self.writer = self.peer()

    def write(self, *messages: Any) -> None:
        """Somebody changes rules."""
        self.send(self.writer, *messages)
        self.clock.turn(3)

    def watch(self, peer: Peer, flags: int = ALL, number: int = 1, **fields: Any) -> list[str]:
        """Set a monitor up; returns what it saw then, in words."""
        monitor = nx.FlowMonitor(number, flags, **fields)
        self.send(peer, nx.FlowMonitorRequest((monitor,), 0x77))
        (reply,) = peer.received()
        self.assertIsInstance(reply, nx.FlowMonitorReply, reply)
        self.assertEqual(reply.xid, 0x77)
        return words(reply)

    def told(self, peer: Peer) -> list[str]:
        """What a session was told, in words, by messages of which each has the xid 0."""
        self.clock.turn(3)
        messages = peer.received()
        for message in messages:
            if isinstance(message, nx.FlowMonitorReply):
                self.assertEqual(message.xid, 0)
        return [word for message in messages for word in words(message)]

    def session(self, peer: Peer) -> OFConn:
        """The session behind a peer."""
        receiver = peer.protocol._receiver
        assert isinstance(receiver, OFConn)
        return receiver

    def assert_refused(
        self, peer: Peer, code: errors.ErrorCode, monitors: Iterable[nx.FlowMonitor], xid: int = 3
    ) -> None:
        """Such a request is refused with this error, and none of the monitors is there."""
        before = dict(self.session(peer).monitors.monitors)
        self.send(peer, nx.FlowMonitorRequest(tuple(monitors), xid))
        self.assert_error(peer, code, xid)
        self.assertEqual(self.session(peer).monitors.monitors, before)

    def assert_error(self, peer: Peer, code: errors.ErrorCode, xid: int) -> None:
        """The one reply is this error."""
        (reply,) = peer.received()
        self.assertIsInstance(reply, of.ErrorMessage)
        self.assertEqual((reply.type, reply.code), code.numbers(peer.version))
        prefix = code.prefix(peer.version)
        self.assertEqual(reply.data[: len(prefix)], prefix)
        self.assertEqual(reply.xid, xid)
