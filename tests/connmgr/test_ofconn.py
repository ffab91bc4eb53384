"""Tests for :mod:`agent.connmgr.ofconn`: HELLO, dispatch, and the end of a session."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.roles import Role
from agent.connmgr.settings import ConnectionKind
from agent.ofproto.interfaces import IRequester
from agent.openflow import messages as of
from agent.openflow.codec import encode
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
from tests.connmgr.fakes import VERSIONS, SessionCase, flow_mod


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
        """The next session of a peer starts anew: version, role, masks, messages."""
        gates = self.postpone(of.DescRequest)
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        masks = of.AsyncConfig((7, 7), (0, 0), (0, 0))
        peer.send(of.RoleRequest(Role.SLAVE, 5), of.SetAsync(masks), of.DescRequest(xid=1))
        self.assertEqual((session.role, session.slave), (Role.SLAVE, True))
        peer.transport.lose(ConnectionLost())
        again, _ = self.session(kind=ConnectionKind.SERVICE)
        self.assertEqual((again.version, again.role, again.slave), (0, Role.EQUAL, False))
        self.assertEqual((again.miss_send_len, again.is_audience), (0, False))
        self.assertNotEqual(again.async_config, masks)
        self.assertIsNone(again.postponement.waiting_for)
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
        for forget in (self.switch.groups, self.switch.forgone, self.owner.ready):
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
