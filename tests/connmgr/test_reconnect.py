"""Tests for :mod:`agent.connmgr.reconnect`."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from agent.connmgr.interfaces import Owner
from agent.connmgr.ofconn import OFConn
from agent.connmgr.reconnect import ReconnectingConnection
from agent.connmgr.settings import SessionSettings
from agent.openflow import messages as of
from tests.connmgr.fakes import VERSIONS, Peer, SessionCase, connect


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """Connects when the test says so.

    :ivar attempts: one for each call, until it is over.
    :ivar count: calls.
    :ivar answer: what to return instead of waiting for the test.
    """

    def __init__(self) -> None:
        self.attempts: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.count = 0
        self.answer: Deferred[IProtocol] | None = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :class:`twisted.internet.interfaces.IStreamClientEndpoint`."""
        self.count += 1
        if self.answer is not None:
            return self.answer
        attempt: Deferred[IProtocol] = Deferred()
        self.attempts.append((factory, attempt))
        return attempt

    def accept(self) -> Peer:
        """The other end accepts."""
        factory, attempt = self.attempts.pop()
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        peer = connect(protocol)
        attempt.callback(protocol)
        return peer

    def refuse(self) -> None:
        """The other end refuses."""
        self.attempts.pop()[1].errback(error.ConnectionRefusedError())


class ReconnectCase(SessionCase):
    """One controller."""

    def setUp(self) -> None:
        """Not started."""
        super().setUp()
        self.endpoint = FakeEndpoint()
        self.connection = self.make()

    def make(self, max_backoff: float = 8) -> ReconnectingConnection:
        """A connection with the endpoint."""

        def make_session(owner: Owner[OFConn]) -> OFConn:
            settings = SessionSettings(VERSIONS)
            return OFConn("br0<->c", self.switch, self.clock, settings, self.roles, owner)

        return ReconnectingConnection(
            "br0<->c", self.endpoint, self.clock, max_backoff, make_session, self.owner
        )

    def greet(self, peer: Peer) -> Peer:
        """The peer says HELLO."""
        peer.version = of.OFP13
        peer.send(of.Hello(frozenset({4})))
        return peer

    def waits(self, count: int) -> list[float]:
        """The waits after so many refusals, the first attempt being out."""
        found = []
        for _ in range(count):
            self.endpoint.refuse()
            [call] = self.clock.getDelayedCalls()
            found.append(call.getTime() - self.clock.seconds())
            self.clock.advance(found[-1])
        return found


class BackoffTests(ReconnectCase):
    """When it dials."""

    def test_start(self) -> None:
        """The first attempt is made at once, and nothing before it."""
        self.assertEqual((self.connection.state, self.endpoint.count), ("VOID", 0))
        self.connection.start()
        self.assertEqual((self.connection.state, self.endpoint.count), ("CONNECTING", 1))

    def test_doubling(self) -> None:
        """The waits are 1, 2, 4, 8 seconds, and 8 from then on."""
        self.connection.start()
        self.assertEqual(self.waits(6), [1, 2, 4, 8, 8, 8])

    def test_other_bound(self) -> None:
        """The longest wait can be set."""
        self.connection = self.make(3)
        self.connection.start()
        self.assertEqual(self.waits(4), [1, 2, 3, 3])

    def test_reset(self) -> None:
        """A session that has agreed on a version starts the waits over, and the attempts."""
        self.connection.start()
        self.waits(4)
        self.assertEqual(self.connection.attempts, 5)
        peer = self.greet(self.endpoint.accept())
        self.assertEqual((self.connection.state, self.connection.attempts), ("ACTIVE", 0))
        peer.transport.lose(error.ConnectionDone())
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime() - self.clock.seconds(), 1)
        self.clock.advance(1)
        self.assertEqual(self.waits(3), [2, 4, 8])

    def test_not_reset_by_a_transport(self) -> None:
        """A peer that accepts and hangs up is no better than one that refuses."""
        self.connection.start()
        self.waits(2)
        peer = self.endpoint.accept()
        self.assertEqual(self.connection.state, "GREETING")
        peer.transport.lose(error.ConnectionDone())
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime() - self.clock.seconds(), 4)

    def test_incompatible_peer(self) -> None:
        """A peer without a common version is dialled again like one that refuses."""
        self.connection.start()
        peer = self.endpoint.accept()
        peer.version = of.OFP13
        peer.send(of.Hello(frozenset({5})))
        self.assertEqual(self.connection.state, "BACKOFF")
        self.assertIn("none in common", self.connection.last_error)

    def test_fails_at_once(self) -> None:
        """An attempt that has failed before it returns is one like any other."""
        self.endpoint.answer = fail(OSError("no route"))
        self.connection.start()
        self.assertEqual(self.connection.state, "BACKOFF")
        self.assertIn("no route", self.connection.last_error)

    def test_gone_at_once(self) -> None:
        """So is a transport that is gone before its attempt is over."""
        self.connection.start()
        factory, attempt = self.endpoint.attempts.pop()
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        connect(protocol).transport.lose(error.ConnectionLost())
        attempt.callback(protocol)
        self.assertEqual(self.connection.state, "BACKOFF")
        self.assertIsNone(self.connection.session)

    def test_no_protocol(self) -> None:
        """So is an endpoint that made nothing."""
        protocol: Any = None
        self.endpoint.answer = succeed(protocol)
        self.connection.start()
        self.assertEqual(self.connection.state, "BACKOFF")


class StatusTests(ReconnectCase):
    """What the operator sees."""

    def test_states(self) -> None:
        """The state, since when, and the last error."""
        connection = self.connection
        connection.start()
        self.clock.advance(2)
        self.endpoint.refuse()
        self.assertEqual((connection.state, connection.since), ("BACKOFF", 2))
        self.assertIn("refused", connection.last_error)
        self.clock.advance(1)
        self.assertEqual((connection.state, connection.since), ("CONNECTING", 3))
        self.clock.advance(1)
        peer = self.endpoint.accept()
        self.assertEqual((connection.state, connection.since), ("GREETING", 4))
        self.assertIsNotNone(connection.session)
        self.clock.advance(1)
        self.greet(peer)
        self.assertEqual((connection.state, connection.since), ("ACTIVE", 5))
        peer.transport.lose(error.ConnectionLost("reset by peer"))
        self.assertIsNone(connection.session)
        self.assertIn("reset by peer", connection.last_error)

    def test_sessions(self) -> None:
        """Each transport has a session of its own, of which the owner hears."""
        self.connection.start()
        peer = self.greet(self.endpoint.accept())
        first = self.connection.session
        self.assertEqual(self.owner.ready, [first])
        peer.transport.lose(error.ConnectionDone())
        self.assertEqual(len(self.owner.lost), 1)
        self.clock.advance(1)
        self.greet(self.endpoint.accept())
        self.assertIsNot(self.connection.session, first)
        self.assertEqual(self.owner.ready, [first, self.connection.session])

    def test_audience(self) -> None:
        """The owner hears of what the session wants."""
        self.connection.start()
        self.greet(self.endpoint.accept())
        session = self.connection.session
        assert session is not None
        session.miss_send_len = 5
        self.assertEqual(self.owner.audience, [session])


class StopTests(ReconnectCase):
    """The end, from every state."""

    def stopped(self) -> None:
        """It is over, and nothing is left behind."""
        self.assertEqual(self.connection.state, "VOID")
        self.assertIsNone(self.connection.session)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_void(self) -> None:
        """Before it was started."""
        self.successResultOf(self.connection.stop())
        self.stopped()

    def test_connecting(self) -> None:
        """While it dials."""
        self.connection.start()
        self.successResultOf(self.connection.stop())
        self.stopped()

    def test_backoff(self) -> None:
        """While it waits."""
        self.connection.start()
        self.endpoint.refuse()
        self.successResultOf(self.connection.stop())
        self.stopped()

    def test_greeting(self) -> None:
        """Before a version was agreed on."""
        self.connection.start()
        self.endpoint.accept()
        self.successResultOf(self.connection.stop())
        self.stopped()

    def test_active(self) -> None:
        """While it is connected; the owner hears of it."""
        self.connection.start()
        self.greet(self.endpoint.accept())
        self.successResultOf(self.connection.stop())
        self.stopped()
        self.assertEqual(len(self.owner.lost), 1)

    def test_lingering(self) -> None:
        """A peer that does not let go is cut off after a second; who stops twice waits twice."""
        self.connection.start()
        peer = self.greet(self.endpoint.accept())
        peer.transport.lingering = True
        first, second = self.connection.stop(), self.connection.stop()
        self.assertEqual(self.connection.state, "DISCONNECTING")
        self.clock.advance(0.9)
        self.assertNoResult(first)
        self.clock.advance(0.1)
        self.successResultOf(first)
        self.successResultOf(second)
        self.stopped()

    def test_start_again(self) -> None:
        """It can be started again, with the shortest wait."""
        self.connection.start()
        self.waits(3)
        self.successResultOf(self.connection.stop())
        self.connection.start()
        self.assertEqual(self.waits(2), [1, 2])
