"""Tests for :mod:`agent.connmgr.ofconn`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.roles import Role
from agent.connmgr.settings import ConnectionKind, Limits
from agent.ofproto.interfaces import IRequester
from agent.openflow import messages as of
from agent.openflow.codec import encode, encode_error
from agent.openflow.errors import (
    BAD_TYPE,
    BAD_VERSION,
    HELLO_INCOMPATIBLE,
    OVERLAP,
    REQUEST_BAD_LEN,
    REQUEST_EPERM,
    TABLE_FULL,
    OpenFlowError,
)
from tests.connmgr.fakes import VERSIONS, Gate, SessionCase, flow_mod


class HelloTests(SessionCase):
    """Agreeing on a version."""

    def test_interfaces(self) -> None:
        """A session provides what the switch and its channel expect of it."""
        session, _ = self.connected()
        verifyObject(IRequester, session)
        verifyObject(IFrameReceiver, session)

    def test_says_hello(self) -> None:
        """The session says HELLO first, with all its versions."""
        _, peer = self.session()
        self.assertEqual(peer.received(), [of.Hello(VERSIONS)])

    def test_highest_common(self) -> None:
        """The highest version that both speak is taken, and the owner is told once."""
        for theirs, agreed in (
            ({1}, 1),
            ({4}, 4),
            ({1, 4}, 4),
            ({1, 2, 5}, 1),
            ({1, 2, 3, 4, 5}, 4),
        ):
            session, peer = self.session()
            peer.send_bytes(encode(of.OFP13, of.Hello(frozenset(theirs))))
            self.assertEqual(session.version, agreed)
            self.assertEqual(self.owner.ready, [session])
            self.owner.ready.clear()

    def test_none_common(self) -> None:
        """Without a common version the peer is told so in words, and then disconnected."""
        session, peer = self.session()
        peer.received()
        peer.send_bytes(encode(of.OFP13, of.Hello(frozenset({5}), xid=9)))
        [error] = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (0, 0, 9))
        text = b"we support OpenFlow 1.0, 1.3, you support 1.4: none in common"
        self.assertEqual(error.data, text)
        self.assertTrue(session.closed)
        self.assertEqual(self.owner.lost, [text.decode()])
        self.assertEqual(self.owner.ready, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_error_in_their_version(self) -> None:
        """The error has the highest of our versions that is not above the peer's."""
        for theirs, version in ((1, 1), (2, 1), (4, 4), (200, 4)):
            _, peer = self.session()
            peer.received()
            peer.send_bytes(bytes([theirs, 14, 0, 72]))
            self.assertEqual(peer.transport.value()[0], version)

    def test_first_message_is_not_hello(self) -> None:
        """Whatever else comes first is refused as HELLO_FAILED, and ends the connection."""
        session, peer = self.session()
        peer.received()
        peer.send_bytes(encode(of.OFP13, of.FeaturesRequest(xid=5)))
        [error] = peer.received()
        self.assertEqual((error.type, error.code), HELLO_INCOMPATIBLE.of13)
        self.assertTrue(session.closed)
        self.assertEqual(self.switch.handled, [])

    def test_malformed_hello(self) -> None:
        """A HELLO with a malformed element is refused with its own error."""
        session, peer = self.session()
        peer.received()
        peer.send_bytes(bytes([4, 0, 0, 12, 0, 0, 0, 0, 0, 1, 0, 99]))
        [error] = peer.received()
        self.assertEqual((error.type, error.code), REQUEST_BAD_LEN.of13)
        self.assertTrue(session.closed)

    def test_silent_peer(self) -> None:
        """Who never says HELLO is dropped after 30 s, and not before."""
        session, _ = self.session()
        self.clock.advance(29.9)
        self.assertFalse(session.closed)
        self.clock.advance(0.1)
        self.assertTrue(session.closed)
        self.assertEqual(self.owner.lost, ["no HELLO for 30 s"])

    def test_hello_in_time(self) -> None:
        """Who has said HELLO is not dropped by that timer."""
        session, _ = self.connected(inactivity_probe=0.0)
        self.clock.advance(1000)
        self.assertFalse(session.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_second_hello(self) -> None:
        """A second HELLO changes nothing, whatever its version."""
        session, peer = self.connected()
        peer.send_bytes(encode(of.OFP13, of.Hello(frozenset({1}))))
        peer.send(of.Hello(frozenset({4})), of.EchoRequest(xid=1))
        self.assertEqual(session.version, 4)
        self.assertEqual(peer.received(), [of.EchoReply(xid=1)])


class DispatchTests(SessionCase):
    """From messages to the switch, and back."""

    def test_reply(self) -> None:
        """A request goes to the switch with its session, and the reply to the peer."""
        _, peer = self.connected()
        peer.send(of.FeaturesRequest(xid=3))
        self.assertEqual(peer.received(), [of.FeaturesReply(1, 0, 1, xid=3)])

    def test_several_replies(self) -> None:
        """The switch may answer with a list."""
        _, peer = self.connected()
        replies = [of.EchoReply(b"a", 1), of.EchoReply(b"b", 1)]
        self.switch.on[of.DescRequest] = lambda request, requester: replies
        peer.send(of.DescRequest(xid=1))
        self.assertEqual(peer.received(), replies)

    def test_nothing_to_say(self) -> None:
        """What is accepted without a reply is answered by nothing."""
        _, peer = self.connected()
        self.switch.on[of.SetConfig] = lambda request, requester: None
        peer.send(of.SetConfig(0, 128))
        self.assertEqual(peer.received(), [])

    def test_refused(self) -> None:
        """A refusal is an error with the numbers of the version, the xid and 64 bytes."""
        for version in VERSIONS:
            _, peer = self.connected(version)

            def refuse(request: Any, requester: Any) -> None:
                raise OpenFlowError(OVERLAP)

            self.switch.on[of.FlowMod] = refuse
            sent = encode(version, flow_mod(xid=77))
            peer.send_bytes(sent)
            numbers = OVERLAP.numbers(version)
            self.assertEqual(peer.received(), [of.ErrorMessage(*numbers, sent[:64], 77)])

    def test_undecodable(self) -> None:
        """What cannot be decoded is refused, and the connection stays."""
        session, peer = self.connected()
        peer.send_bytes(bytes([4, 99, 0, 8, 0, 0, 0, 5]))
        peer.send(of.EchoRequest(xid=6))
        error, echo = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (*BAD_TYPE.of13, 5))
        self.assertEqual(echo, of.EchoReply(xid=6))
        self.assertEqual(session.counters.errors_sent, 1)

    def test_other_version(self) -> None:
        """A message of another version than agreed on is refused as BAD_VERSION."""
        session, peer = self.connected()
        peer.send_bytes(encode(of.OFP10, of.FeaturesRequest(xid=5)))
        [error] = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (*BAD_VERSION.of13, 5))
        self.assertFalse(session.closed)

    def test_no_error_for_an_error(self) -> None:
        """An error is noted, and never answered by one, however broken it is."""
        session, peer = self.connected()
        peer.send(of.ErrorMessage(1, 1, b""))
        peer.send_bytes(bytes([4, 1, 0, 8, 0, 0, 0, 5]))
        peer.send_bytes(bytes([9, 1, 0, 8, 0, 0, 0, 5]))
        self.assertEqual(peer.received(), [])
        self.assertEqual(session.counters.errors_received, 1)
        self.assertFalse(session.closed)

    def test_crash(self) -> None:
        """A bug in a handler is logged with bridge, connection and xid; the connection stays."""
        session, peer = self.connected()

        def crash(request: Any, requester: Any) -> None:
            raise ZeroDivisionError

        self.switch.on[of.DescRequest] = crash
        peer.send(of.DescRequest(xid=0x55), of.EchoRequest(xid=6))
        error, echo = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (*REQUEST_EPERM.of13, 0x55))
        self.assertEqual(echo, of.EchoReply(xid=6))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(session.closed)

    def test_unknown_reply(self) -> None:
        """An answer that cannot be encoded is our bug, and does not cost the connection."""
        _, peer = self.connected()
        self.switch.on[of.DescRequest] = lambda request, requester: of.FlowMod(0, None)  # type: ignore[arg-type]
        peer.send(of.DescRequest(xid=1))
        self.assertEqual(peer.received()[0].xid, 1)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_admitted(self) -> None:
        """A controller is admitted when it has done more than greet us."""
        session, peer = self.connected()
        self.switch.on[of.GetConfigRequest] = lambda request, requester: None
        peer.send(of.EchoRequest(), of.FeaturesRequest(), of.GetConfigRequest())
        self.assertFalse(session.admitted)
        peer.send(flow_mod())
        self.assertTrue(session.admitted)

    def test_bad_length_afterwards(self) -> None:
        """A broken header gets a BAD_LEN error, then the connection is closed."""
        session, peer = self.connected()
        peer.send_bytes(bytes([4, 2, 0, 4, 0, 0, 0, 9]))
        [error] = peer.received()
        self.assertEqual((error.type, error.code, error.xid), (*REQUEST_BAD_LEN.of13, 9))
        self.assertTrue(session.closed)

    @given(st.integers(0, 4), st.integers(0, 40), st.binary(max_size=200))
    def test_any_frame(self, version: int, kind: int, body: bytes) -> None:
        """Any frame is answered by messages, and any other connection goes on."""
        session, peer = self.connected()
        _, other = self.connected(1)
        head = bytes([version, kind]) + (8 + len(body)).to_bytes(2, "big") + bytes(4)
        peer.send_bytes(head + body)
        for message in peer.received():
            self.assertRegex(type(message).__name__, "^ErrorMessage$|Reply$")
        self.assertFalse(session.closed)
        other.send(of.EchoRequest(xid=1))
        self.assertEqual(other.received(), [of.EchoReply(xid=1)])
        self.assertEqual(self.flushLoggedErrors(), [])


class PostponementTests(SessionCase):
    """A message that waits."""

    def setUp(self) -> None:
        """DESC_REQUEST waits for a gate each."""
        super().setUp()
        self.gates = self.postpone(of.DescRequest)

    def test_waits(self) -> None:
        """What waits, and what for, can be seen; what is behind it is not executed."""
        session, peer = self.connected()
        self.assertIsNone(session.waiting_for)
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        self.assertEqual(session.waiting_for, "gate 1")
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=1)])

    def test_goes_on(self) -> None:
        """When the condition clears, it runs again in a turn of its own, and the rest follows."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        self.switch.handled.clear()
        self.gates[0].clear()
        self.assertEqual(self.switch.handled, [])
        self.clock.turn()
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=1), of.FeaturesRequest(xid=2)])
        self.assertIsNone(session.waiting_for)
        self.assertEqual(self.clock.getDelayedCalls(), [session._probe._call])  # type: ignore[union-attr]

    def test_condition_that_has_cleared(self) -> None:
        """A condition that has cleared meanwhile is waited for in vain only until the next turn."""
        session, peer = self.connected()

        def handle(request: Any, requester: Any) -> None:
            if not done:
                done.append(True)
                gate = Gate()
                gate.clear()
                from agent.ofproto.conditions import Postponed

                raise Postponed(gate)

        done: list[bool] = []
        self.switch.on[of.DescRequest] = handle
        peer.send(of.DescRequest())
        self.assertIsNotNone(session.waiting_for)
        self.clock.turn()
        self.assertIsNone(session.waiting_for)

    def test_another_condition(self) -> None:
        """A message may wait for one thing after the other."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        first = self.gates[0]
        second = Gate("the second")

        def handle(request: Any, requester: Any) -> None:
            from agent.ofproto.conditions import Postponed

            if not second.cleared:
                raise Postponed(second)

        self.switch.on[of.DescRequest] = handle
        first.clear()
        self.clock.turn()
        self.assertEqual(session.waiting_for, "the second")
        second.clear()
        self.clock.turn()
        self.assertIsNone(session.waiting_for)

    def test_echo(self) -> None:
        """Echo requests are answered ahead of it, those that came before and those after."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.EchoRequest(b"a", 2), of.FeaturesRequest(xid=3))
        self.assertEqual(peer.received(), [of.EchoReply(b"a", 2)])
        peer.send(of.EchoRequest(b"b", 4))
        self.assertEqual(peer.received(), [of.EchoReply(b"b", 4)])
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.FeaturesReply(1, 0, 1, xid=3)])

    def test_echo_of_another_version(self) -> None:
        """An echo request of a wrong version is refused, in its turn."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        peer.send_bytes(encode(of.OFP10, of.EchoRequest(xid=2)))
        self.assertEqual(peer.received(), [])
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(peer.received()[0].xid, 2)

    def test_other_connections(self) -> None:
        """Other connections are not held up."""
        _, peer = self.connected()
        _, other = self.connected()
        peer.send(of.DescRequest(xid=1))
        other.send(of.FeaturesRequest(xid=2))
        self.assertEqual(other.received(), [of.FeaturesReply(1, 0, 1, xid=2)])

    def test_disconnect(self) -> None:
        """A session that ends while it waits leaves no waiter, no timer and no message behind."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.gates[0].waiters, 0)
        self.assertIsNone(session.waiting_for)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.switch.released, [session])
        self.switch.handled.clear()
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(self.switch.handled, [])

    def test_disconnect_when_woken(self) -> None:
        """Nor does one that ends between its condition and its turn."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        self.switch.handled.clear()
        self.gates[0].clear()
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.switch.handled, [])

    def test_wakes_only_whom_it_concerns(self) -> None:
        """One condition that clears makes one turn, however many connections wait for others."""
        peers = [self.connected(inactivity_probe=0.0)[1] for _ in range(100)]
        for xid, peer in enumerate(peers):
            peer.send(of.DescRequest(xid=xid))
        self.switch.handled.clear()
        self.gates[42].clear()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.turn()
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=42)])


class BarrierTests(SessionCase):
    """Barriers, and what is outstanding."""

    def test_nothing_outstanding(self) -> None:
        """A barrier that has nothing to wait for is answered at once."""
        for version in VERSIONS:
            _, peer = self.connected(version)
            peer.send(of.BarrierRequest(xid=8))
            self.assertEqual(peer.received(), [of.BarrierReply(xid=8)])

    def test_waits_for_groups(self) -> None:
        """A barrier waits for all groups of its connection, and says for which."""
        session, peer = self.connected()
        peer.send(flow_mod(1), flow_mod(2), of.BarrierRequest(xid=8))
        self.assertEqual(session.waiting_for, "its own 2 operation groups; the oldest: group 1")
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [])
        self.switch.groups[1].end()
        self.assertEqual(peer.received(), [])
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=8)])

    def test_not_for_others(self) -> None:
        """A barrier does not wait for other connections."""
        _, peer = self.connected()
        _, other = self.connected()
        peer.send(flow_mod(1))
        other.send(of.BarrierRequest(xid=8))
        self.assertEqual(other.received(), [of.BarrierReply(xid=8)])

    def test_after_errors(self) -> None:
        """Errors of earlier requests come before the barrier reply, with xid and request."""
        for version in VERSIONS:
            session, peer = self.connected(version)
            sent = [encode(version, flow_mod(xid)) for xid in (1, 2, 3)]
            peer.send_bytes(b"".join(sent) + encode(version, of.BarrierRequest(xid=8)))
            groups, self.switch.groups = self.switch.groups, []
            groups[1].end(OpenFlowError(TABLE_FULL))
            groups[0].end(OpenFlowError(OVERLAP))
            groups[2].end()
            self.clock.turn()
            self.assertEqual(
                peer.received(),
                [
                    of.ErrorMessage(*TABLE_FULL.numbers(version), sent[1][:64], 2),
                    of.ErrorMessage(*OVERLAP.numbers(version), sent[0][:64], 1),
                    of.BarrierReply(xid=8),
                ],
            )
            self.assertEqual(session.counters.errors_sent, 2)

    def test_unexpected_error(self) -> None:
        """A group that ended with something else than an OpenFlow error is reported as well."""
        _, peer = self.connected()
        peer.send(flow_mod(1))
        self.switch.groups[0].end(OSError("no such device"))
        self.assertEqual([message.xid for message in peer.received()], [1])

    def test_one_after_the_other(self) -> None:
        """What stands behind a barrier is not executed before it is answered."""
        _, peer = self.connected()
        peer.send(flow_mod(1), of.BarrierRequest(2), flow_mod(3), of.BarrierRequest(4))
        self.assertEqual(len(self.switch.groups), 1)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=2)])
        self.switch.groups[1].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=4)])

    def test_waits_for_replies(self) -> None:
        """A reply that is still being prepared is outstanding too, and comes before the barrier."""
        session, peer = self.connected()
        [replies] = [self.defer(of.DescRequest)]
        peer.send(of.DescRequest(xid=1), of.BarrierRequest(xid=2))
        self.assertEqual(session.waiting_for, "its own 1 reply")
        replies[0].callback(of.EchoReply(b"reply", 1))
        self.clock.turn()
        self.assertEqual(peer.received(), [of.EchoReply(b"reply", 1), of.BarrierReply(xid=2)])

    def test_all_kinds(self) -> None:
        """A barrier waits until neither groups nor replies are left."""
        _, peer = self.connected()
        replies = self.defer(of.DescRequest)
        peer.send(flow_mod(1), of.DescRequest(xid=2), of.BarrierRequest(xid=3))
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [])
        replies[0].callback(None)
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=3)])


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
        self.assertEqual(session.waiting_for, "one of 16 replies that are being prepared")
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


class EndTests(SessionCase):
    """What is left of a session: nothing."""

    def test_groups_outlive_it(self) -> None:
        """Groups run on when the session has ended, and their errors go nowhere."""
        session, peer = self.connected()
        peer.send(flow_mod(1), flow_mod(2))
        peer.transport.lose(ConnectionLost())
        again, next_peer = self.connected()
        self.switch.groups[0].end(OpenFlowError(TABLE_FULL))
        self.switch.groups[1].end()
        self.assertEqual(peer.received() + next_peer.received(), [])
        self.assertEqual((session.counters.errors_sent, again.counters.errors_sent), (0, 0))

    def test_end_between_close_and_loss(self) -> None:
        """A group that ends while the connection is closing is no trouble."""
        session, peer = self.connected()
        peer.send(flow_mod(1))
        peer.transport.lingering = True
        session.close()
        self.switch.groups[0].end(OpenFlowError(TABLE_FULL))
        self.assertEqual(peer.received(), [])
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_inherited(self) -> None:
        """The next session of a peer starts anew: version, role, masks, flags, messages."""
        gates = self.postpone(of.DescRequest)
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        masks = of.AsyncConfig((7, 7), (0, 0), (0, 0))
        peer.send(of.RoleRequest(Role.SLAVE, 5), of.SetAsync(masks), of.DescRequest(xid=1))
        session.config_flags = 3
        self.assertEqual(session.role, Role.SLAVE)
        peer.transport.lose(ConnectionLost())
        again, _ = self.session(kind=ConnectionKind.SERVICE)
        self.assertEqual((again.version, again.role, again.config_flags), (0, Role.EQUAL, 0))
        self.assertEqual((again.miss_send_len, again.is_audience), (0, False))
        self.assertNotEqual(again.async_config, masks)
        self.assertIsNone(again.waiting_for)
        self.assertEqual(gates[0].waiters, 0)

    def test_no_reference(self) -> None:
        """A session that has ended is gone as soon as its last group has, without a collection."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.postpone(of.DescRequest)
        self.defer(of.TableStatsRequest)
        session, peer = self.connected()
        peer.send(flow_mod(1), of.TableStatsRequest(), of.DescRequest(xid=1), of.EchoRequest())
        peer.transport.lose(ConnectionLost())
        self.switch.groups[0].end()
        for forget in (self.switch.groups, self.switch.released, self.owner.ready):
            forget.clear()
        gone = weakref.ref(session)
        self.switch.on.clear()
        del session, peer
        self.assertIsNone(gone())

    def test_lost_once(self) -> None:
        """The owner is told once, with the reason."""
        _, peer = self.connected()
        peer.transport.lose(ConnectionLost("reset"))
        self.assertEqual(len(self.owner.lost), 1)
        self.assertIn("reset", self.owner.lost[0])


class ProbeTests(SessionCase):
    """Silent peers."""

    def test_probe(self) -> None:
        """After five seconds of silence comes an echo request, after as long again the end."""
        session, peer = self.connected()
        self.clock.advance(4.9)
        self.assertEqual(peer.received(), [])
        self.clock.advance(0.1)
        self.assertEqual(peer.received(), [of.EchoRequest()])
        self.clock.advance(4.9)
        self.assertFalse(session.closed)
        self.clock.advance(0.1)
        self.assertTrue(session.closed)
        self.assertEqual(self.owner.lost, ["no response to inactivity probe after 5 s"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """Whoever answers stays, for ever."""
        session, peer = self.connected()
        for _ in range(10):
            self.clock.advance(5)
            self.assertEqual(peer.received(), [of.EchoRequest()])
            peer.send(of.EchoReply())
        self.assertFalse(session.closed)

    def test_none(self) -> None:
        """An interval of 0 means no probe."""
        session, peer = self.connected(inactivity_probe=0.0)
        self.clock.advance(10_000)
        self.assertEqual((peer.received(), session.closed), ([], False))

    def test_not_while_we_do_not_read(self) -> None:
        """Back-pressure is our doing: a peer that we do not listen to is not dropped for it."""
        session, peer = self.connected(limits=Limits(queued_replies=1))
        peer.transport.choke()
        peer.send(of.FeaturesRequest())
        self.assertFalse(peer.protocol.reading)
        for _ in range(20):
            self.clock.advance(5)
        self.assertFalse(session.closed)
        peer.transport.unchoke()
        self.clock.turn()
        peer.received()
        self.clock.advance(4.9)
        self.assertEqual(peer.received(), [])
        self.clock.advance(5)
        self.assertEqual(peer.received(), [of.EchoRequest()])

    def test_reply_behind_a_waiting_message(self) -> None:
        """The answer to a probe counts although a message before it waits."""
        self.postpone(of.DescRequest)
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        for _ in range(10):
            self.clock.advance(5)
            self.assertEqual(peer.received(), [of.EchoRequest()])
            peer.send(of.EchoReply())
        self.assertFalse(session.closed)
        self.assertEqual(peer.protocol.backlog, 0)

    def test_dead_controller(self) -> None:
        """A controller that does not answer is dropped, whatever it waits for."""
        session, peer = self.connected()
        peer.send(flow_mod(1), of.BarrierRequest())
        self.clock.advance(5)
        self.clock.advance(5)
        self.assertTrue(session.closed)

    def test_patient_client(self) -> None:
        """A client of a listener that only waits for its reply is not dropped for a slow switch."""
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        peer.send(flow_mod(1), of.BarrierRequest())
        for _ in range(20):
            self.clock.advance(5)
        self.assertFalse(session.closed)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply()])
        for _ in range(3):
            self.clock.advance(5)
        self.assertTrue(session.closed)
