"""Tests of :mod:`agent.connmgr.nicira`, with a real switch behind the session."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.audience import Audience
from agent.connmgr.framing import FrameProtocol
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Roles
from agent.connmgr.settings import SessionSettings
from agent.ofproto.ofproto import OFProto
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import decode, encode, header
from agent.openflow.fields import METADATA, REGS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import FlowModCommand as Command
from agent.openflow.nx_messages import (
    FlowFormat,
    FlowModTableId,
    PacketInFormat,
    SetControllerId,
    SetFlowFormat,
)
from drivers.interfaces import PacketInEvent
from drivers.testing import ScriptableDriver
from tests.connmgr.fakes import FakeOwner
from tests.ofproto.stage import Observer

PORT1 = Match.of(in_port=1)
SAME = (1 << 64) - 1
"""The cookie of an NXT_FLOW_MOD that changes none."""
OUTPUT = (ApplyActions((Output(2),)),)


class NiciraSessionTests(SynchronousTestCase):
    """A session of OpenFlow 1.0 with a switch of two tables."""

    def setUp(self) -> None:
        """Connect, and agree on 1.0."""
        self.clock = Clock()
        self.driver = ScriptableDriver(instant=True)
        self.switch = OFProto("br0", 1, self.driver, self.clock)
        self.switch.observer = Observer()
        self.switch.start()
        settings = SessionSettings(frozenset({of.OFP10}), inactivity_probe=0)
        self.session = OFConn("br0<->test", self.switch, self.clock, settings, Roles(), FakeOwner())
        self.transport = StringTransport()
        self.channel = FrameProtocol(self.clock, self.session)
        self.channel.makeConnection(self.transport)
        self.exchange(of.Hello(frozenset({of.OFP10})))

    def exchange(self, *messages: Any) -> list[Any]:
        """Send messages, let things happen, and take the answers."""
        self.channel.dataReceived(b"".join(encode(of.OFP10, message) for message in messages))
        self.clock.pump([0] * 4)
        data = self.transport.value()
        self.transport.clear()
        found = []
        while data:
            length = header(data)[2]
            found.append(decode(of.OFP10, data[:length]))
            data = data[length:]
        return found

    def flow_mod(self, command: int, table: int | None = None, **fields: Any) -> of.FlowMod:
        """A FLOW_MOD about in_port=1, with a table in the command's high byte."""
        number = int(command) if table is None else table << 8 | int(command)
        values: dict[str, Any] = {"match": PORT1, "priority": 5, "instructions": OUTPUT} | fields
        return of.FlowMod(number, xid=9, **values)

    def counts(self) -> list[int]:
        """How many rules each table has."""
        return [table.rules.count for table in self.switch.tables]

    def assert_error(self, replies: list[Any], code: errors.ErrorCode) -> None:
        """The one reply is this error, about the last request."""
        (reply,) = replies
        self.assertIsInstance(reply, of.ErrorMessage)
        self.assertEqual((reply.type, reply.code), code.numbers(of.OFP10))
        self.assertEqual(reply.data[: len(code.prefix(of.OFP10))], code.prefix(of.OFP10))
        self.assertEqual(reply.xid, 9)

    def test_table_not_enabled(self) -> None:
        """A table in the command is no command, unless the session has asked for it."""
        self.assert_error(self.exchange(self.flow_mod(Command.ADD, 1)), errors.FLOW_MOD_BAD_COMMAND)
        self.assertEqual(self.counts(), [0, 0])

    def test_table(self) -> None:
        """Once it has, requests are about the table they name, and only that."""
        self.exchange(FlowModTableId(True), self.flow_mod(Command.ADD, 1))
        self.assertEqual(self.counts(), [0, 1])
        self.exchange(self.flow_mod(Command.DELETE_STRICT, 0))
        self.assertEqual(self.counts(), [0, 1])
        self.exchange(self.flow_mod(Command.DELETE_STRICT, 1))
        self.assertEqual(self.counts(), [0, 0])
        self.exchange(FlowModTableId(False))
        self.assert_error(self.exchange(self.flow_mod(Command.ADD, 1)), errors.FLOW_MOD_BAD_COMMAND)

    def test_bad_table(self) -> None:
        """A table that there is not has an error of Nicira's."""
        self.exchange(FlowModTableId(True))
        self.assert_error(
            self.exchange(self.flow_mod(Command.ADD, 7)), errors.FLOW_MOD_BAD_TABLE_ID
        )

    def test_any_table(self) -> None:
        """0xff: ADD lets the switch choose, loose commands are about all tables, strict ones act
        only where just one table has the rule."""
        self.exchange(FlowModTableId(True), self.flow_mod(Command.ADD, 0xFF))
        self.assertEqual(self.counts(), [1, 0])
        self.exchange(self.flow_mod(Command.ADD, 1))
        self.exchange(self.flow_mod(Command.DELETE_STRICT, 0xFF))
        self.assertEqual(self.counts(), [1, 1])
        self.exchange(self.flow_mod(Command.DELETE_STRICT, 1))
        self.exchange(self.flow_mod(Command.DELETE_STRICT, 0xFF))
        self.assertEqual(self.counts(), [0, 0])
        self.exchange(self.flow_mod(Command.ADD, 0), self.flow_mod(Command.ADD, 1))
        self.exchange(self.flow_mod(Command.DELETE, 0xFF, match=MATCH_ALL))
        self.assertEqual(self.counts(), [0, 0])

    def test_postponed_once(self) -> None:
        """A request that had to wait is still about the table it named when it runs again."""
        self.driver.instant = False
        self.exchange(FlowModTableId(True), self.flow_mod(Command.ADD, 1))
        self.exchange(self.flow_mod(Command.MODIFY_STRICT, 1, cookie=3))
        self.assertIsNotNone(self.session.postponement.waiting_for)
        self.driver.instant = True
        self.driver.finish_all()
        self.clock.pump([0] * 4)
        (rule,) = self.switch.tables[1].rules
        self.assertEqual(rule.cookie, 3)
        self.assertEqual(self.counts(), [0, 1])

    def test_format_waits(self) -> None:
        """The flow format changes when nothing is in flight."""
        self.driver.instant = False
        self.exchange(self.flow_mod(Command.ADD), SetFlowFormat(FlowFormat.NXM))
        self.assertEqual(self.session.formats.flow_format, FlowFormat.OPENFLOW10)
        self.driver.finish_all()
        self.clock.pump([0] * 4)
        self.assertEqual(self.session.formats.flow_format, FlowFormat.NXM)

    def test_format_that_stays(self) -> None:
        """The same format again does not wait."""
        self.driver.instant = False
        self.exchange(self.flow_mod(Command.ADD), SetFlowFormat(FlowFormat.OPENFLOW10))
        self.assertIsNone(self.session.postponement.waiting_for)

    def test_controller_id(self) -> None:
        """A controller is called by the number that it has chosen."""
        self.exchange(SetControllerId(7))
        self.assertEqual(self.session.controller_id, 7)

    def test_cookies(self) -> None:
        """NXT_FLOW_MOD: rules are chosen by cookie, and a MODIFY changes cookies when it says so;
        it adds a rule only when no cookie was to be matched and one is given."""
        self.exchange(self.flow_mod(Command.ADD, cookie=0x10))
        change = self.flow_mod(
            Command.MODIFY, nxm=True, cookie=0x20, cookie_mask=0xF0, new_cookie=5
        )
        self.exchange(change)
        self.assertEqual([rule.cookie for rule in self.switch.rules()], [0x10])
        change.cookie = 0x10
        self.exchange(change)
        self.assertEqual([rule.cookie for rule in self.switch.rules()], [5])
        keep = self.flow_mod(Command.MODIFY, nxm=True, cookie=SAME)
        self.exchange(keep)
        self.assertEqual([rule.cookie for rule in self.switch.rules()], [5])
        other = Match.of(in_port=2)
        self.exchange(self.flow_mod(Command.MODIFY, match=other, nxm=True, cookie=SAME))
        self.assertEqual(self.counts(), [1, 0])
        self.exchange(self.flow_mod(Command.MODIFY, match=other, nxm=True, cookie=6))
        self.assertEqual(sorted(rule.cookie for rule in self.switch.rules()), [5, 6])


class FormatTests(SynchronousTestCase):
    """Asynchronous messages in the formats that sessions have chosen, through a whole manager."""

    def setUp(self) -> None:
        """A manager with one session of each version, both of which want everything."""
        self.clock = Clock()
        self.audience = Audience("br0")
        self.sessions = {version: self.session(version) for version in (of.OFP10, of.OFP13)}

    def session(self, version: int) -> tuple[OFConn, StringTransport]:
        """A session that has agreed on a version."""
        switch = OFProto("br0", 1, ScriptableDriver(instant=True), self.clock)
        switch.observer = Observer()
        switch.start()
        settings = SessionSettings(frozenset({version}), inactivity_probe=0)
        session = OFConn("br0<->test", switch, self.clock, settings, Roles(), FakeOwner())
        channel = FrameProtocol(self.clock, session)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(encode(version, of.Hello(frozenset({version}))))
        self.clock.pump([0] * 3)
        transport.clear()
        self.audience.update(session)
        return session, transport

    def told(self, version: int) -> Any:
        """What the session was told."""
        self.clock.pump([0] * 3)
        transport = self.sessions[version][1]
        data = transport.value()
        transport.clear()
        return decode(version, data)

    def test_flow_removed(self) -> None:
        """In 1.0 a session which has chosen NXM gets the whole match, and the table."""
        match = Match.of(eth_type=0x86DD, ipv6_dst=5)
        message = of.FlowRemoved(match, 7, 5, 2, 3, 1, 0, 0, 0, 9, 99)
        self.audience.notify(message)
        self.assertEqual(self.told(of.OFP10).match, Match.of(eth_type=0x86DD))
        self.sessions[of.OFP10][0].formats.flow_format = FlowFormat.NXM
        self.audience.notify(message)
        told = self.told(of.OFP10)
        self.assertTrue(told.nxm)
        self.assertEqual((told.match, told.table_id, told.cookie), (match, 3, 7))

    def test_packet_in(self) -> None:
        """A session which has chosen NXM is told table, cookie, metadata and registers."""
        key = METADATA.put(0, 0xABC)
        key = REGS[3].put(key, 0x1234)
        event = PacketInEvent(bytes(60), 2, of.PacketInReason.ACTION, key, 1, 0x77)
        for version, (session, _) in self.sessions.items():
            self.audience.packet_in(event)
            for other in self.sessions:
                self.assertFalse(self.told(other).nxm)
            session.formats.packet_in_format = PacketInFormat.NXM
            self.audience.packet_in(event)
            for other in self.sessions:
                told = self.told(other)
                if other == version:
                    self.assertTrue(told.nxm)
                    self.assertEqual((told.table_id, told.cookie), (1, 0x77))
                    self.assertEqual(told.match.value_of(METADATA), 0xABC)
                    self.assertEqual(told.match.value_of(REGS[3]), 0x1234)
            session.formats.packet_in_format = PacketInFormat.STANDARD
            for _, transport in self.sessions.values():
                transport.clear()
