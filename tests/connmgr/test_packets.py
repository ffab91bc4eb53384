"""Tests of :mod:`agent.connmgr.packets`, with a switch whose hardware does what a test says."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import attrs
from twisted.internet.error import ConnectionLost

from agent.connmgr import packets
from agent.connmgr.asyncmsg import NO_RULE
from agent.connmgr.packets import BATCH
from agent.connmgr.pktbuf import SLOTS
from agent.connmgr.target import Target
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow import messages as of
from agent.openflow.actions import Output
from agent.openflow.errors import BAD_OUT_PORT, BUFFER_EMPTY, BUFFER_UNKNOWN, ErrorCode
from agent.openflow.match import Match
from tests.connmgr.fakes import Peer
from tests.connmgr.managers import Controller, ManagerCase
from tests.connmgr.test_switch import DELETE, MODIFY, REFUSED, SwitchCase
from tests.connmgr.test_switch import flow_mod as bare_flow_mod

FRAME = bytes(range(200))
MISS = PacketInEvent(FRAME, 3, of.PacketInReason.NO_MATCH, cookie=NO_RULE)
SENT = PacketInEvent(FRAME, 3, of.PacketInReason.ACTION, cookie=9, max_len=64)
TO_TABLES = (Output(of.Port.TABLE),)


def flow_mod(xid: int, buffer_id: int, **fields: Any) -> of.FlowMod:
    """A FLOW_MOD about the packet of a buffer."""
    return attrs.evolve(bare_flow_mod(xid, **fields), buffer_id=buffer_id)


class PacketsCase(SwitchCase):
    """A bridge with a client that wants packets."""

    def setUp(self) -> None:
        """It speaks 1.0, and wants 128 bytes of a packet that hit no rule."""
        super().setUp()
        self.client = self.peer(of.OFP10)
        self.client.send(of.SetConfig(0, 128))

    def packet(self, event: PacketInEvent = MISS, peer: Peer | None = None) -> of.PacketIn:
        """Send the controllers a packet, and take what the client gets."""
        self.manager.packet_in(event)
        received = (peer or self.client).received()
        [message] = [one for one in received if not isinstance(one, of.EchoRequest)]
        assert isinstance(message, of.PacketIn)
        return message

    def buffered(self) -> int:
        """A packet in a buffer."""
        return self.packet().buffer_id

    def refusal(self, xid: int, code: ErrorCode, peer: Peer | None = None) -> None:
        """All that the client is told is this error."""
        peer = peer or self.client
        [error] = peer.received()
        numbers = (error.type, error.code)
        self.assertEqual((numbers, error.xid), (code.numbers(peer.version), xid))

    def processed(self) -> list[tuple[bytes, int]]:
        """The packets that the tables have processed."""
        sent = self.driver.packets
        self.assertEqual({packet.actions for packet in sent} - {TO_TABLES}, set())
        return [(packet.data, packet.in_port) for packet in sent]

    def turn(self) -> None:
        """Let a turn of the reactor pass."""
        self.clock.turn()


class ToControllerTests(PacketsCase):
    """What a controller is sent of a packet."""

    def test_features(self) -> None:
        """It is told how many buffers it has."""
        for version in (of.OFP10, of.OFP13):
            peer = self.peer(version)
            peer.send(of.FeaturesRequest())
            self.assertEqual(peer.received()[0].n_buffers, SLOTS)

    def test_miss(self) -> None:
        """Of a packet that hit no rule it is sent what it has asked for, and a number."""
        message = self.packet()
        self.assertNotEqual(message.buffer_id, of.NO_BUFFER)
        self.assertEqual((message.data, message.total_len), (FRAME[:128], 200))

    def test_action(self) -> None:
        """Of one that a rule has sent, what the rule says."""
        message = self.packet(SENT)
        self.assertNotEqual(message.buffer_id, of.NO_BUFFER)
        self.assertEqual((message.data, message.total_len), (FRAME[:64], 200))
        message = self.packet(attrs.evolve(SENT, max_len=0))
        self.assertEqual((message.data, message.total_len), (b"", 200))

    def test_no_action(self) -> None:
        """Of one for which no action has said how much, what it has asked for of misses."""
        message = self.packet(attrs.evolve(SENT, max_len=None))
        self.assertEqual((message.data, message.total_len), (FRAME[:128], 200))

    def test_whole(self) -> None:
        """A packet of which it wants everything is sent whole, and not kept."""
        self.client.send(of.SetConfig(0, 200))
        for event in (MISS, attrs.evolve(SENT, max_len=0xFFFF), attrs.evolve(SENT, max_len=200)):
            message = self.packet(event)
            self.assertEqual((message.buffer_id, message.data), (of.NO_BUFFER, FRAME))

    def test_each_its_own(self) -> None:
        """Each session has buffers of its own."""
        other = self.peer()
        other.send(of.SetConfig(0, 1))
        self.manager.packet_in(SENT)
        [first], [second] = self.client.received(), other.received()
        other.send(of.PacketOut(first.buffer_id, 1, (Output(1),)))
        other.send(of.PacketOut(second.buffer_id, 1, (Output(1),)))
        other.send(of.PacketOut(second.buffer_id, 1, (Output(1),)))
        self.client.send(of.PacketOut(first.buffer_id, 1, (Output(2),)))
        self.assertEqual([packet.data for packet in self.driver.packets], [FRAME, FRAME])

    def test_no_room(self) -> None:
        """When all buffers are taken packets are sent whole, until some are old."""
        for _ in range(SLOTS):
            self.assertNotEqual(self.buffered(), of.NO_BUFFER)
            self.clock.advance(0.01)
        message = self.packet()
        self.assertEqual((message.buffer_id, message.data), (of.NO_BUFFER, FRAME))
        self.clock.advance(5)
        self.assertNotEqual(self.buffered(), of.NO_BUFFER)

    def test_miss_of_later_versions(self) -> None:
        """Only 1.0 sends packets that hit no rule at all to the controllers; those that hit a
        table-miss rule go to everybody."""
        newer = self.peer(of.OFP13)
        newer.send(of.SetConfig(0, 128))
        self.packet()
        self.assertEqual(newer.received(), [])
        message = self.packet(attrs.evolve(MISS, cookie=0))
        [another] = newer.received()
        self.assertEqual(another.reason, of.PacketInReason.NO_MATCH)
        self.assertEqual(message.reason, of.PacketInReason.ACTION, "1.0 has no table-miss rules")

    def test_slow_reader(self) -> None:
        """A packet that is not sent, because the peer does not read, takes no buffer."""
        self.client.transport.choke()
        for _ in range(100 + SLOTS):
            self.manager.packet_in(MISS)
            self.clock.advance(0.001)
        self.client.transport.unchoke()
        self.assertEqual(len(self.client.received()), 100)
        self.assertNotEqual(self.buffered(), of.NO_BUFFER)


class PacketOutTests(PacketsCase):
    """Packets that the controller sends on itself."""

    def test_sent(self) -> None:
        """The whole packet is sent, from the port that the message names."""
        self.client.send(of.PacketOut(self.buffered(), 7, (Output(2),), b"not this"))
        [packet] = self.driver.packets
        self.assertEqual((packet.data, packet.in_port, packet.actions), (FRAME, 7, (Output(2, 0),)))
        self.assertEqual(self.client.received(), [])

    def test_once(self) -> None:
        """It is sent once; then its buffer is empty."""
        number = self.buffered()
        self.client.send(of.PacketOut(number, 1, (Output(2),)))
        self.client.send(of.PacketOut(number, 1, (Output(2),), xid=5))
        self.refusal(5, BUFFER_EMPTY)
        self.assertEqual(len(self.driver.packets), 1)

    def test_unknown(self) -> None:
        """A number that is none is refused."""
        self.client.send(of.PacketOut(0x1234, 1, (Output(2),), xid=5))
        self.refusal(5, BUFFER_UNKNOWN)
        number = self.buffered()
        self.client.send(of.PacketOut(number + SLOTS, 1, (Output(2),), xid=6))
        self.refusal(6, BUFFER_UNKNOWN)

    def test_refused(self) -> None:
        """A packet-out that is refused for another reason leaves the packet where it is."""
        number = self.buffered()
        self.client.send(of.PacketOut(number, 1, (Output(0),), xid=5))
        self.refusal(5, BAD_OUT_PORT)
        self.client.send(of.PacketOut(number, 1, (Output(2),)))
        self.assertEqual(len(self.driver.packets), 1)

    def test_postponed(self) -> None:
        """So does one that has to wait, for a flush: it finds the packet afterwards."""
        number = self.buffered()
        self.switch.flush()
        self.client.send(of.PacketOut(number, 1, (Output(2),)))
        self.assertEqual(self.driver.packets, [])
        for _ in range(3):
            self.turn()
        self.assertEqual((len(self.driver.packets), self.client.received()), (1, []))


class FlowModTests(PacketsCase):
    """Packets that are processed when there is a rule for them."""

    def test_a12_after_success(self) -> None:
        """A12: the packet goes through the tables after the rule is in the hardware, and not from
        within the completion, but before the barrier is answered."""
        self.client.send(flow_mod(1, self.buffered()), of.BarrierRequest(2))
        self.turn()
        self.turn()
        self.assertEqual(self.processed(), [])
        self.driver.finish()
        self.assertEqual((self.processed(), self.client.received()), ([], []))
        [status] = self.manager.connections()
        self.assertEqual(status.waiting_for, "its own 1 packet")
        self.turn()
        self.assertEqual((self.processed(), self.client.received()), ([(FRAME, 3)], []))
        self.turn()
        self.assertEqual(self.client.received(), [of.BarrierReply(2)])

    def test_a12_not_reentered(self) -> None:
        """A12: a packet that makes the switch send it to the controller again does no harm."""
        process = self.switch.process

        def again(data: bytes, in_port: int) -> None:
            process(data, in_port)
            self.switch.packet_in(MISS)

        self.switch.process = again  # type: ignore[method-assign]
        self.client.send(flow_mod(1, self.buffered()))
        self.turn()
        self.driver.finish()
        self.turn()
        [message] = self.client.received()
        self.client.send(flow_mod(2, message.buffer_id, port=2))
        self.turn()
        self.driver.finish()
        self.turn()
        self.assertEqual(len(self.processed()), 2)

    def test_a12_bounded(self) -> None:
        """A12: the queue is bounded; what does not fit is dropped, and counted.  A turn processes
        no more than a few."""
        self.patch(packets, "MAX_RELEASED", BATCH + 20)
        session: Any = self.client.protocol._receiver
        for _ in range(BATCH + 30):
            session.packets.release(self.buffered(), b"", 0)
        self.assertEqual(session.counters.packets_dropped, 10)
        self.turn()
        self.assertEqual(len(self.processed()), BATCH)
        self.turn()
        self.assertEqual(len(self.processed()), BATCH + 20)
        self.assertEqual(len(session.outstanding), 0)

    def test_a03_rule_stays(self) -> None:
        """A3: a flow_mod with a number that is none has its rule, no packet, and an error with its
        own xid, after success and before the barrier."""
        used = self.buffered()
        self.client.send(of.PacketOut(used, 1, (Output(2),)))
        self.driver.packets.clear()
        for xid, (number, code) in enumerate(((0x1234, BUFFER_UNKNOWN), (used, BUFFER_EMPTY)), 1):
            self.client.send(flow_mod(xid, number, port=xid), of.BarrierRequest(9))
            self.turn()
            self.assertEqual(self.client.received(), [])
            self.driver.finish()
            self.refusal(xid, code)
            self.turn()
            self.assertEqual(self.client.received(), [of.BarrierReply(9)])
        self.assertEqual(self.processed(), [])
        rules = [rule.match for rule in self.switch.tables[0].rules]
        self.assertEqual(sorted(rules, key=str), [Match.of(in_port=1), Match.of(in_port=2)])
        self.assertEqual(len(self.driver.hardware), 2)

    def test_a03_packet(self) -> None:
        """A3: and with a number that is right, the packet: the whole of it, once, from its port."""
        number = self.buffered()
        for xid in (1, 2):
            self.client.send(flow_mod(xid, number, port=xid))
            self.turn()
            self.driver.finish()
            self.turn()
        self.assertEqual(self.processed(), [(FRAME, 3)])
        self.refusal(2, BUFFER_EMPTY)

    def test_failure(self) -> None:
        """When the flow_mod fails the packet is not processed; it can be used again."""
        number = self.buffered()
        self.client.send(flow_mod(1, number))
        self.turn()
        self.driver.fail(error=REFUSED)
        self.turn()
        self.refusal(1, REFUSED.code)
        self.assertEqual(self.processed(), [])
        self.client.send(flow_mod(2, number))
        self.turn()
        self.driver.finish()
        self.turn()
        self.assertEqual(self.processed(), [(FRAME, 3)])

    def test_modify(self) -> None:
        """A MODIFY does the same, also one that has nothing to do."""
        self.client.send(flow_mod(1, of.NO_BUFFER))
        self.turn()
        self.driver.finish()
        self.client.send(flow_mod(2, self.buffered(), command=MODIFY, cookie=5))
        self.turn()
        self.driver.finish()
        self.turn()
        self.assertEqual(len(self.processed()), 1)
        self.client.send(flow_mod(3, self.buffered(), command=MODIFY, cookie=5))
        self.assertEqual(self.driver.in_flight, [])
        self.turn()
        self.assertEqual(len(self.processed()), 2)
        self.client.send(flow_mod(4, 0x1234, command=MODIFY, cookie=5))
        self.refusal(4, BUFFER_UNKNOWN)

    def test_delete(self) -> None:
        """To a DELETE the number means nothing."""
        self.client.send(flow_mod(1, of.NO_BUFFER))
        self.turn()
        self.driver.finish()
        for _ in range(2):
            self.client.send(flow_mod(2, 0x1234, command=DELETE))
            self.turn()
            self.driver.finish_all()
        self.assertEqual((self.client.received(), self.processed()), ([], []))

    def test_crash(self) -> None:
        """A driver that fails on a packet is logged, and the next packet is processed."""
        process = self.switch.process

        def crash(data: bytes, in_port: int) -> None:
            self.switch.process = process  # type: ignore[method-assign]
            raise ZeroDivisionError

        self.switch.process = crash  # type: ignore[method-assign]
        self.client.send(flow_mod(1, self.buffered()), flow_mod(2, self.buffered(), port=2))
        self.client.send(of.BarrierRequest(3))
        self.turn()
        self.driver.finish_all()
        for _ in range(3):
            self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((len(self.processed()), self.client.received()), (1, [of.BarrierReply(3)]))


class EndTests(PacketsCase):
    """Sessions that end."""

    def test_a14_buffers(self) -> None:
        """A14: a new session knows nothing of the buffers of the one before."""
        number = self.buffered()
        self.client.transport.lose(ConnectionLost())
        self.client = self.peer(of.OFP10)
        self.client.send(of.PacketOut(number, 1, (Output(2),), xid=5))
        self.refusal(5, BUFFER_UNKNOWN)

    def test_a25_in_flight(self) -> None:
        """A25: when the session is gone its packets are not processed, and nobody minds."""
        self.client.send(flow_mod(1, self.buffered()), flow_mod(2, self.buffered(), port=2))
        self.turn()
        self.driver.finish()
        self.client.transport.lose(ConnectionLost())
        self.driver.finish()
        for _ in range(3):
            self.turn()
        self.assertEqual(self.processed(), [])

    def test_nothing_left(self) -> None:
        """No timer and no reference is left, without the garbage collector: not of packets that
        wait to be sent, of those that wait to be processed, nor of those in buffers."""
        self.client.send(flow_mod(1, self.buffered()))
        self.turn()
        for _ in range(1000):
            self.manager.packet_in(MISS)
        self.driver.finish()
        protocol: Any = self.client.protocol
        gone = weakref.ref(protocol._receiver)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.client.transport.lose(ConnectionLost())
        del self.client, protocol
        self.driver.batches.clear()
        self.assertIsNone(gone())
        watchdog = self.switch.ledger.watchdog._call
        self.assertEqual([call for call in self.clock.calls if call is not watchdog], [])


class BogusTests(ManagerCase):
    """Packets that do not exist."""

    def test_come_to_nothing(self) -> None:
        """Whatever a controller does with one, no packet is processed or sent."""
        self.switch.on[of.PacketOut] = self.retrieve
        self.data: list[bytes] = []
        for version in (of.OFP10, of.OFP13):
            controller = self.controller(version)
            for use in (
                lambda number: of.PacketOut(number, 1, (Output(of.Port.FLOOD),)),
                lambda number: flow_mod(1, number),
            ):
                self.manager.bogus_packet_in(b"frame")
                [packet] = controller.received()
                self.assertNotEqual(packet.buffer_id, of.NO_BUFFER)
                self.assertEqual((packet.data, packet.total_len), (b"frame", 5))
                controller.send(use(packet.buffer_id))
            self.switch.groups.pop().end()
            self.reactor.turn()
            self.assertEqual(controller.received(), [])
            controller.transport.lose(ConnectionLost())
            self.reactor.advance(1)
        self.assertEqual((self.data, self.switch.processed), ([b"", b""], [(b"", 0xFFFFFFFE)] * 2))

    def retrieve(self, request: of.PacketOut, requester: Any) -> None:
        """What the switch does with a number."""
        self.data.append(requester.retrieve_buffer(request.buffer_id)[0])


class LimitTests(ManagerCase):
    """How many packets a second."""

    def flood(self, event: PacketInEvent, count: int = 1000) -> None:
        """So many packets at once."""
        for _ in range(count):
            self.manager.packet_in(event)

    def limited(self, **limits: int) -> Peer:
        """A controller with limits of its own."""
        self.successResultOf(self.manager.stopService())
        target = Target.parse("tcp:192.0.2.1:6653")
        self.manager = self.make([Controller(target, **limits)], packet_in_limits=(100, 10))
        self.manager.startService()
        return self.controller(of.OFP10)

    def test_default(self) -> None:
        """250 at once, and 1000 a second; what is too much is dropped, and all is counted."""
        controller = self.controller(of.OFP10)
        self.flood(MISS)
        self.assertEqual(len(controller.received()), 250)
        [status] = self.manager.connections()
        self.assertEqual((status.packet_ins_limited, status.packet_ins_queued), (750, 250))
        self.assertEqual((status.packet_ins_overflowed, status.packet_ins_dropped), (500, 0))
        self.reactor.advance(0.1)
        self.reactor.pump([0.01] * 20)
        self.assertEqual(len(controller.received()), 250)
        self.assertEqual(self.manager.connections()[0].packet_ins_queued, 0)

    def test_apart(self) -> None:
        """Packets without a rule take nothing away from those that a rule sends, nor these."""
        controller = self.controller(of.OFP10)
        self.flood(MISS)
        controller.received()
        self.flood(SENT)
        reasons = {message.reason for message in controller.received()}
        self.assertEqual(reasons, {of.PacketInReason.ACTION})
        self.assertEqual(self.manager.connections()[0].packet_ins_queued, 500)

    def test_ports(self) -> None:
        """A port with few packets is served beside one that floods."""
        controller = self.controller(of.OFP10)
        self.flood(MISS)
        self.manager.packet_in(attrs.evolve(MISS, in_port=4))
        controller.received()
        self.reactor.advance(0.01)
        ports = [message.match for message in controller.received()]
        self.assertIn(Match.of(in_port=4), ports)

    def test_configured(self) -> None:
        """The limits are those of the controller, or else those of the bridge."""
        for limits, at_once in (
            ({}, 10),
            ({"controller_rate_limit": 8, "controller_burst_limit": 0}, 2),
            ({"controller_burst_limit": 5}, 5),
            ({"controller_rate_limit": 0}, 300),
        ):
            controller = self.limited(**limits)
            self.flood(MISS, 300)
            self.assertEqual(len(controller.received()), at_once)
            client = self.client(of.OFP10)
            client.send(of.SetConfig(0, 128))
            self.flood(MISS, 300)
            self.assertEqual(len(client.received()), 10)

    def test_reconfigured(self) -> None:
        """A session goes on with other limits: what waits and is too much is dropped, or sent."""
        controller = self.limited()
        self.flood(MISS, 30)
        self.assertEqual(len(controller.received()), 10)
        target = Target.parse("tcp:192.0.2.1:6653")
        versions, listeners = [of.OFP10], [(self.tcp, 5.0), (self.unix, 5.0)]
        self.manager.reconfigure(versions, [Controller(target)], listeners, (100, 4))
        self.assertEqual(self.manager.connections()[0].packet_ins_queued, 4)
        self.assertEqual(controller.received(), [])
        self.manager.reconfigure(versions, [Controller(target)], listeners, (0, 0))
        self.assertEqual(len(controller.received()), 4)
        self.flood(MISS, 30)
        self.assertEqual(len(controller.received()), 30)
        self.manager.reconfigure(versions, [Controller(target)], listeners, (100, 4))
        self.flood(MISS, 30)
        self.assertEqual(len(controller.received()), 4)
