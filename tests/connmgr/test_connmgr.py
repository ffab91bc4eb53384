"""Tests for :mod:`agent.connmgr.connmgr`: controllers, TLS, status, and the end."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from agent.connmgr.settings import ConnectionKind
from agent.connmgr.target import Target
from agent.connmgr.tls import context_factory
from agent.openflow import messages as of
from tests.connmgr.certificates import Authority
from tests.connmgr.fakes import FakeSwitch, FakeTransport, flow_mod
from tests.connmgr.managers import Controller, ManagerCase, MemoryReactor


class ControllerTests(ManagerCase):
    """Connections that we make."""

    def test_tcp(self) -> None:
        """A controller is dialled at its address."""
        [(host, port, _, timeout, _)] = self.reactor.tcpClients
        self.assertEqual((host, port, timeout), ("192.0.2.1", 6653, 10))

    def test_ipv6(self) -> None:
        """IPv6 works the same way."""
        self.make([Controller(Target.parse("tcp:[2001:db8::1]"))]).startService()
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("2001:db8::1", 6653))

    def test_unix(self) -> None:
        """A UNIX socket as well."""
        self.make([Controller(Target.parse("unix:/run/c"))]).startService()
        self.assertEqual(self.reactor.unixClients[0][0], "/run/c")

    def test_settings(self) -> None:
        """Backoff and probe are those of the configuration."""
        manager = self.make([Controller(Target.parse("tcp:192.0.2.2"), 2, 30)])
        manager.startService()
        peer = self.controller()
        self.reactor.advance(29)
        self.assertEqual(peer.received(), [])
        self.reactor.advance(1)
        self.assertEqual(peer.received(), [of.EchoRequest()])

    def test_redial(self) -> None:
        """A controller that is lost is dialled again."""
        peer = self.controller()
        peer.transport.lose(error.ConnectionDone())
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertEqual(self.session(self.controller()).version, of.OFP13)

    def test_admitted(self) -> None:
        """A controller is admitted when it does something; a client of a listener never is."""
        client, controller = self.client(), self.controller()
        client.send(flow_mod())
        self.assertFalse(self.manager.admitted)
        controller.send(flow_mod())
        self.assertTrue(self.manager.admitted)
        controller.transport.lose(error.ConnectionDone())
        self.assertFalse(self.manager.admitted)


class TlsTests(ManagerCase):
    """``ssl:`` and ``pssl:``."""

    def test_certificate_needed(self) -> None:
        """They need a certificate."""
        ssl = [Controller(Target.parse("ssl:192.0.2.1"))]
        self.assertRaises(ValueError, self.make, ssl)
        self.tcp.target = Target.parse("pssl:6653")
        self.assertRaises(ValueError, self.make([]).startService)

    def test_passive_target(self) -> None:
        """What is listened on cannot be dialled."""
        self.assertRaises(ValueError, self.make, [Controller(Target.parse("ptcp:"))])

    def test_used(self) -> None:
        """With one, both are used, and connections have names that say so."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        authority = Authority(directory, "authority")
        tls = context_factory(*authority.issue("switch"), authority.path)
        self.tcp.target = Target.parse("pssl:6653")
        manager = self.make([Controller(Target.parse("ssl:192.0.2.1"))], tls=tls)
        manager.startService()
        self.assertEqual(self.reactor.sslClients[0][:2], ("192.0.2.1", 6653))
        factory = self.tcp.factory
        self.assertIsInstance(factory, TLSMemoryBIOFactory)
        protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.9", 4711))
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        [_, status] = manager.connections()
        self.assertEqual(status.name, "br0<->ssl:192.0.2.9:4711")
        stopped = manager.stopService()
        # A handshake that the other end does not finish is no reason to wait longer.
        self.reactor.advance(1)
        self.successResultOf(stopped)


class StatusTests(ManagerCase):
    """The list of connections."""

    def test_controller(self) -> None:
        """A controller is in the list whether it is connected or not."""
        self.reactor.advance(3)
        [status] = self.manager.connections()
        self.assertEqual(status.name, "br0<->tcp:192.0.2.1:6653")
        self.assertEqual((status.state, status.since, status.attempts), ("CONNECTING", 3, 1))
        self.assertEqual((status.version, status.role, status.last_error), ("", "", ""))
        attempt: Any = self.reactor.tcpClients[0][2]
        refusal: Any = Failure(error.ConnectionRefusedError())
        attempt.clientConnectionFailed(None, refusal)
        [status] = self.manager.connections()
        self.assertEqual((status.state, status.attempts), ("BACKOFF", 1))
        self.assertEqual((status.retry_in, status.sessions), (1.0, 0))
        self.assertIn("refused", status.last_error)
        self.reactor.advance(1)
        self.controller(of.OFP10)
        [status] = self.manager.connections()
        self.assertEqual((status.state, status.version, status.role), ("ACTIVE", "1.0", "equal"))
        self.assertEqual((status.kind, status.attempts), (ConnectionKind.PRIMARY, 0))
        self.assertEqual((status.retry_in, status.sessions), (None, 1))
        self.assertIn("refused", status.last_error)

    def test_errors_outlive_the_session(self) -> None:
        """What a controller was refused is counted by error, in all its sessions."""
        for count in (1, 2):
            controller = self.controller()
            controller.send(of.DescRequest(), of.QueueStatsRequest(0, 0))
            [status] = self.manager.connections()
            self.assertEqual(status.errors, {"BAD_REQUEST.BAD_TYPE": 2 * count})
            self.assertEqual((status.errors_sent, status.sessions), (2, count))
            controller.transport.lose(error.ConnectionLost())
            [status] = self.manager.connections()
            self.assertEqual(status.errors, {"BAD_REQUEST.BAD_TYPE": 2 * count})
            self.reactor.advance(1)

    def test_greeting(self) -> None:
        """Before HELLO there is neither version nor role."""
        protocol = self.tcp.factory.buildProtocol(None)
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.reactor.advance(2)
        status = self.manager.connections()[1]
        self.assertEqual((status.state, status.since), ("GREETING", 2))
        self.assertEqual((status.version, status.role), ("", ""))

    def test_counters(self) -> None:
        """Messages and errors of the session, what it waits for, and how much is behind it."""
        client = self.client()
        client.send(of.EchoRequest(), of.ErrorMessage(1, 1, b""), of.DescRequest())
        client.send(flow_mod(1), of.BarrierRequest(), flow_mod(2))
        status = self.manager.connections()[1]
        self.assertEqual((status.received, status.sent), (6, 3))
        self.assertEqual((status.errors_received, status.errors_sent), (1, 1))
        self.assertEqual((status.outstanding, status.backlog > 0), (1, True))
        self.assertEqual(status.waiting_for, "its own 1 operation group; the oldest: group 1")
        self.assertEqual((status.admitted, status.queued), (True, 0))


class StopTests(ManagerCase):
    """The end."""

    def test_everything(self) -> None:
        """Everything is closed, whatever it waits for, and no delayed call is left."""
        peers = [self.client(), self.client(bound=self.unix), self.controller()]
        for peer in peers:
            peer.send(flow_mod(), of.BarrierRequest())
        self.successResultOf(self.manager.stopService())
        self.assertEqual((self.tcp.stopped, self.unix.stopped), (1, 1))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.switch.forgone), 3)
        for group in self.switch.groups:
            group.end()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lingering(self) -> None:
        """Peers that do not let go are cut off after a second."""
        peers = [self.client(), self.controller()]
        for peer in peers:
            peer.transport.lingering = True
        stopped = self.manager.stopService()
        self.reactor.advance(0.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_none_accepted_any_more(self) -> None:
        """Who connects meanwhile is not served."""
        self.client().transport.lingering = True
        self.manager.stopService()
        self.assertIsNone(self.tcp.factory.buildProtocol(None))

    def test_port_that_will_not_close(self) -> None:
        """A port that cannot be closed is logged, and does not keep the rest."""
        self.tcp.closing = fail(OSError("no such file"))
        self.successResultOf(self.manager.stopService())
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_not_started(self) -> None:
        """A manager that was never started lets go of its sockets."""
        manager = self.make([Controller(Target.parse("tcp:192.0.2.2"))])
        self.successResultOf(manager.stopService())
        self.assertEqual((self.tcp.closed, self.unix.closed), (1, 1))

    def test_no_reference(self) -> None:
        """A manager that has stopped is not kept by anything."""
        peers = [self.client(), self.controller()]
        peers[0].send(of.SetConfig(0, 128), flow_mod(), of.BarrierRequest())
        self.successResultOf(self.manager.stopService())
        gone = weakref.ref(self.manager)
        self.switch.groups[0].end()
        self.switch = FakeSwitch()
        self.reactor = MemoryReactor()
        del self.manager, self.tcp, self.unix, peers
        gc.collect()
        self.assertIsNone(gone())
