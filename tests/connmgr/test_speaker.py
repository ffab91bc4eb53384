"""Tests for :mod:`agent.connmgr.speaker`: replies that come later, long ones, and notices."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from agent.connmgr.settings import Limits
from agent.openflow import messages as of
from agent.openflow.codec import encode, encode_error
from agent.openflow.errors import (
    BAD_TYPE,
    REQUEST_EPERM,
    OpenFlowError,
)
from tests.connmgr.fakes import SessionCase, flow_mod


class LateReplyTests(SessionCase):
    """Replies that the switch has to prepare."""

    def setUp(self) -> None:
        """DESC_REQUEST is answered later."""
        super().setUp()
        self.replies = self.defer(of.DescRequest)

    def test_others_go_on(self) -> None:
        """What is behind such a request does not wait for it."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        self.assertEqual(peer.received(), [of.FeaturesReply(1, 0, 1, xid=2)])
        self.replies[0].callback([of.EchoReply(b"a", 1), of.EchoReply(b"b", 1)])
        self.assertEqual(peer.received(), [of.EchoReply(b"a", 1), of.EchoReply(b"b", 1)])

    def test_refused_later(self) -> None:
        """An error can come later as well."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        self.replies[0].errback(OpenFlowError(BAD_TYPE))
        self.assertEqual(
            peer.transport.value(), encode_error(4, BAD_TYPE, encode(4, of.DescRequest(xid=1)))
        )

    def test_crash_later(self) -> None:
        """So can a bug, which is logged and answered, and leaves nothing outstanding."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        self.replies[0].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        [error] = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (*REQUEST_EPERM.of13, 1))
        self.assertEqual(len(session.outstanding), 0)

    def test_unencodable_later(self) -> None:
        """A reply that the version cannot say is an error instead."""
        _, peer = self.connected(of.OFP10)
        peer.send(of.DescRequest(xid=1))
        self.replies[0].callback(of.PortStatus(0, of.PortDesc(0x12345, 0, "p"), 1))
        [error] = peer.received()
        self.assertEqual(error.xid, 1)

    def test_bounded(self) -> None:
        """Sixteen replies may be prepared for a connection; further requests wait for one."""
        session, peer = self.connected()
        peer.send(*(of.DescRequest(xid=xid) for xid in range(20)))
        self.assertEqual(len(self.replies), 16)
        self.assertEqual(
            session.postponement.waiting_for, "one of 16 replies that are being prepared"
        )
        self.replies[5].callback(None)
        self.clock.turn()
        self.assertEqual(len(self.replies), 17)

    def test_disconnect(self) -> None:
        """When the session ends nobody waits for them any more, and late ones are harmless."""
        session, peer = self.connected()
        cancelled: list[Deferred[Any]] = []
        self.switch.on[of.TableStatsRequest] = lambda request, requester: Deferred(cancelled.append)
        peer.send(of.TableStatsRequest(xid=1), of.DescRequest(xid=2))
        peer.transport.lose(ConnectionLost())
        self.assertEqual(len(cancelled), 1)
        self.replies[0].callback(of.EchoReply())
        self.assertEqual(peer.received(), [])
        self.assertEqual(len(session.outstanding), 0)


class LongReplyTests(SessionCase):
    """Replies that are encoded as they are read."""

    def flows(self, count: int) -> of.FlowStatsReply:
        """A reply with so many entries."""
        one = of.FlowStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flow_mod().match, ())
        return of.FlowStatsReply([one] * count, xid=5)

    def test_complete(self) -> None:
        """All parts come, in order, before the reply to the next request."""
        _, peer = self.connected()
        self.switch.on[of.FlowStatsRequest] = lambda request, requester: self.flows(5000)
        peer.send(of.FlowStatsRequest(xid=5), of.EchoRequest(xid=6))
        *parts, echo = peer.received()
        self.assertGreater(len(parts), 2)
        self.assertEqual(sum(len(list(part.flows)) for part in parts), 5000)
        self.assertEqual(echo, of.EchoReply(xid=6))

    def test_as_it_is_read(self) -> None:
        """While the peer does not read, it is not encoded."""
        _, peer = self.connected()
        self.switch.on[of.FlowStatsRequest] = lambda request, requester: self.flows(5000)
        peer.transport.choke()
        peer.send(of.FlowStatsRequest(xid=5))
        self.assertEqual((peer.received(), peer.protocol.queued), ([], 1))
        peer.transport.unchoke()
        self.assertGreater(len(peer.received()), 2)

    def test_unencodable_entry(self) -> None:
        """An entry that the version cannot say is an error in its place."""
        _, peer = self.connected(of.OFP10)
        reply = self.flows(1)
        for flow in reply.flows:
            flow.match = of.Match.of(in_port=0x12345)  # type: ignore[attr-defined]
        self.switch.on[of.FlowStatsRequest] = lambda request, requester: reply
        peer.send(of.FlowStatsRequest(xid=5), of.EchoRequest(xid=6))
        error, echo = peer.received()
        self.assertEqual((error.xid, echo.xid), (5, 6))

    def test_broken_entry(self) -> None:
        """A bug in an entry is logged, and an error in its place."""
        _, peer = self.connected()
        reply = of.FlowStatsReply(iter([None]), xid=5)  # type: ignore[arg-type]
        self.switch.on[of.FlowStatsRequest] = lambda request, requester: reply
        peer.send(of.FlowStatsRequest(xid=5), of.EchoRequest(xid=6))
        error, echo = peer.received()
        self.assertEqual((error.xid, echo.xid), (5, 6))
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class SpeakerTests(SessionCase):
    """Asynchronous messages to those who do not read."""

    def test_packets_are_dropped(self) -> None:
        """Beyond the limit packets are dropped and counted, until the peer reads again."""
        session, peer = self.connected(limits=Limits(packet_ins=5))
        session.offer(lambda: b"0?")
        peer.transport.choke()
        for _ in range(8):
            session.offer(lambda: b"1?")
        self.assertEqual((peer.protocol.queued, session.counters.packet_ins_dropped), (5, 3))
        peer.transport.unchoke()
        session.offer(lambda: b"2?")
        self.assertEqual(peer.transport.value(), b"0?" + b"1?" * 5 + b"2?")

    def test_notices_are_not(self) -> None:
        """Messages that must not be lost are kept; a peer that reads none of them is cut off."""
        session, peer = self.connected(limits=Limits(notices=5))
        for _ in range(10):
            session.notify(b"0?")
        peer.transport.clear()
        peer.transport.choke()
        for _ in range(5):
            session.notify(b"1?")
        peer.transport.unchoke()
        self.assertEqual(peer.transport.value(), b"1?" * 5)
        session.notify(b"2?")
        peer.transport.choke()
        for _ in range(6):
            session.notify(b"3?")
        self.assertTrue(session.closed)
        self.assertEqual(self.owner.lost, ["5 messages not read"])
        session.notify(b"4?")
