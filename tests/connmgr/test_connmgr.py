"""Tests for :mod:`agent.connmgr.connmgr`, its listeners and its status."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Role
from agent.connmgr.settings import ConnectionKind, Limits
from agent.connmgr.target import Target
from agent.connmgr.tls import context_factory
from agent.ofproto.interfaces import ISwitchObserver, PacketInEvent
from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.connmgr.certificates import Authority
from tests.connmgr.fakes import FakeSwitch, FakeTransport, Peer, TurnClock, flow_mod


class MemoryReactor(MemoryReactorClock, TurnClock):
    """A reactor without a network, with turns."""


@attrs.frozen
class Controller:
    """A controller's configuration."""

    target: Target
    max_backoff: float = 8
    inactivity_probe: float = 5


class FakeBound:
    """A bound socket.

    :ivar factory: what it was handed over to.
    :ivar closing: what the port returns when it is to stop.
    """

    def __init__(self, target: str) -> None:
        self.target = Target.parse(target)
        self.factory: Any = None
        self.closing: Deferred[None] = succeed(None)
        self.closed = 0
        self.stopped = 0

    def listen(self, reactor: Any, factory: IProtocolFactory) -> Any:
        """Remember the factory; this object is the port as well."""
        self.factory = factory
        return self

    def stopListening(self) -> Deferred[None]:
        """Of the port."""
        self.stopped += 1
        return self.closing

    def close(self) -> None:
        """Count."""
        self.closed += 1


class ManagerCase(SynchronousTestCase):
    """A manager with two listeners and a controller."""

    def setUp(self) -> None:
        """Started."""
        self.reactor = MemoryReactor()
        self.switch = FakeSwitch()
        self.switch.on[of.SetConfig] = self.set_config
        self.tcp = FakeBound("ptcp:6653:127.0.0.1")
        self.unix = FakeBound("punix:/run/br0.mgmt")
        self.manager = self.make([Controller(Target.parse("tcp:192.0.2.1:6653"))])
        self.manager.startService()

    def make(self, controllers: list[Controller], **arguments: Any) -> ConnectionManager:
        """A manager that is not started."""
        return ConnectionManager(
            self.switch,
            self.reactor,
            [of.OFP10, of.OFP13],
            controllers,
            [(self.tcp, 5.0), (self.unix, 5.0)],
            **arguments,
        )

    @staticmethod
    def set_config(request: of.SetConfig, requester: Any) -> None:
        """What the switch does."""
        requester.miss_send_len = request.miss_send_len

    def attach(self, protocol: Any, version: int) -> Peer:
        """A peer that has said HELLO."""
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        peer = Peer(protocol, transport, version)
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        return peer

    def client(self, version: int = of.OFP13, bound: FakeBound | None = None) -> Peer:
        """Somebody who connects to a listener."""
        address = IPv4Address("TCP", "127.0.0.1", 4711)
        protocol = (bound or self.tcp).factory.buildProtocol(address)
        return self.attach(protocol, version)

    def controller(self, version: int = of.OFP13) -> Peer:
        """The controller, who has accepted."""
        return self.attach(self.reactor.tcpClients[-1][2].buildProtocol(None), version)

    def session(self, peer: Peer) -> OFConn:
        """The session of a peer."""
        protocol: Any = peer.protocol
        found = getattr(protocol, "_wrappedProtocol", protocol)._receiver
        assert isinstance(found, OFConn)
        return found


class ListenerTests(ManagerCase):
    """Connections that are accepted."""

    def test_session(self) -> None:
        """Each connection has a session; nothing is accepted before the start."""
        self.tcp.factory = None
        manager = self.make([])
        self.assertIsNone(self.tcp.factory)
        manager.startService()
        peer = self.client()
        peer.send(of.FeaturesRequest(xid=1), flow_mod(2))
        self.assertEqual(peer.received(), [of.FeaturesReply(1, 0, 1, xid=1)])
        self.assertEqual(len(self.switch.groups), 1)

    def test_names(self) -> None:
        """Sessions are named after the peer, and those on UNIX sockets have numbers."""
        addresses = (
            (self.tcp, IPv4Address("TCP", "127.0.0.1", 4711)),
            (self.tcp, IPv6Address("TCP", "::1", 4711)),
            (self.unix, UNIXAddress(None)),
            (self.unix, UNIXAddress(None)),
        )
        for bound, address in addresses:
            self.attach(bound.factory.buildProtocol(address), of.OFP13)
        names = [status.name for status in self.manager.connections()[1:]]
        wanted = ["tcp:127.0.0.1:4711", "tcp:[::1]:4711", "unix#1", "unix#2"]
        self.assertEqual(names, [f"br0<->{name}" for name in wanted])

    def test_two_thousand(self) -> None:
        """Two thousand connections at once work, and are forgotten when they end."""
        peers = [self.client() for _ in range(2000)]
        for xid, peer in enumerate(peers):
            peer.send(of.EchoRequest(xid=xid))
            self.assertEqual(peer.received(), [of.EchoReply(xid=xid)])
        self.assertEqual(len(self.manager.connections()), 2001)
        for peer in peers:
            peer.transport.lose(error.ConnectionDone())
        self.assertEqual(len(self.manager.connections()), 1)

    def test_bounded(self) -> None:
        """Beyond the bound connections are refused, until there is room again."""
        manager = self.make([], max_connections=2)
        manager.startService()
        first, _ = self.client(), self.client()
        factory = self.tcp.factory
        for _ in range(3):
            self.assertIsNone(factory.buildProtocol(None))
        self.assertEqual(factory.refused, 3)
        first.transport.lose(error.ConnectionDone())
        self.client()

    def test_limits(self) -> None:
        """What one connection may cost is handed down."""
        manager = self.make([], limits=Limits(messages_per_turn=3), hello_timeout=7)
        manager.startService()
        peer = self.client()
        peer.send(*(of.EchoRequest(xid=xid) for xid in range(9)))
        self.assertEqual(len(peer.received()), 3)
        protocol = self.tcp.factory.buildProtocol(None)
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.reactor.advance(7)
        self.assertTrue(transport.aborted)


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


class FanOutTests(ManagerCase):
    """Asynchronous messages."""

    event = PacketInEvent(b"frame", 1, of.PacketInReason.NO_MATCH)
    removed = of.FlowRemoved(Match(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    status = of.PortStatus(of.PortReason.MODIFY, of.PortDesc(1, 0, "p1"))

    def tell(self) -> None:
        """One of each."""
        self.manager.packet_in(self.event)
        self.manager.flow_removed(self.removed)
        self.manager.port_status(self.status)

    def heard(self, peer: Peer) -> list[type]:
        """The classes of what a peer was told."""
        return [type(message) for message in peer.received()]

    def test_interface(self) -> None:
        """The manager is what a switch speaks to."""
        verifyObject(ISwitchObserver, self.manager)

    def test_controller(self) -> None:
        """A controller gets all of them, in its version, with xid 0."""
        for version in (of.OFP10, of.OFP13):
            controller = self.controller(version)
            self.tell()
            packet, removed, status = controller.received()
            self.assertEqual((packet.data, packet.total_len, packet.xid), (b"frame", 5, 0))
            self.assertEqual(packet.match, Match.of(in_port=1))
            self.assertEqual((removed.reason, removed.xid), (0, 0))
            self.assertEqual((status.desc.name, status.reason), ("p1", 2))
            controller.transport.lose(error.ConnectionDone())
            self.reactor.advance(1)

    def test_service(self) -> None:
        """A client of a listener gets nothing until it sets a miss_send_len, and then all."""
        client, other = self.client(of.OFP10), self.client()
        self.tell()
        self.assertEqual(client.received(), [])
        client.send(of.SetConfig(0, 0xFFFF))
        self.tell()
        self.assertEqual(self.heard(client), [of.PacketIn, of.FlowRemoved, of.PortStatus])
        self.assertEqual(other.received(), [])
        client.send(of.SetConfig(0, 0))
        self.tell()
        self.assertEqual(client.received(), [])

    def test_before_hello(self) -> None:
        """A controller that has not agreed on a version gets nothing."""
        protocol: Any = self.reactor.tcpClients[-1][2].buildProtocol(None)
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        transport.clear()
        self.tell()
        self.assertEqual(transport.value(), b"")

    def test_slave(self) -> None:
        """A slave gets port status only."""
        controller = self.controller()
        controller.send(of.RoleRequest(Role.SLAVE, 1))
        controller.received()
        self.tell()
        self.assertEqual(self.heard(controller), [of.PortStatus])

    def test_masks(self) -> None:
        """Everybody gets what the masks of his connection say."""
        controller, client = self.controller(), self.client()
        controller.send(of.SetAsync(of.AsyncConfig((2, 0), (0, 0), (1, 0))))
        client.send(of.SetAsync(of.AsyncConfig((1, 0), (0, 0), (0, 0))))
        self.tell()
        self.assertEqual(self.heard(controller), [of.FlowRemoved])
        self.assertEqual(self.heard(client), [of.PacketIn])

    def test_controller_id(self) -> None:
        """A packet for one controller id goes to the connections that have it."""
        controller, client = self.controller(), self.client()
        client.send(of.SetConfig(0, 128))
        self.session(client).controller_id = 7
        self.manager.packet_in(attrs.evolve(self.event, controller_id=7))
        self.assertEqual((self.heard(controller), self.heard(client)), ([], [of.PacketIn]))
        self.manager.packet_in(self.event)
        self.assertEqual((self.heard(controller), self.heard(client)), ([of.PacketIn], []))

    def test_encoded_once(self) -> None:
        """A message is encoded once a version, and not at all when nobody wants it."""
        encoded: list[int] = []
        encode = self.manager._encode

        def counted(version: int, message: Any) -> bytes | None:
            encoded.append(version)
            return encode(version, message)

        self.manager._encode = counted  # type: ignore[method-assign]
        self.manager.packet_in(self.event)
        self.assertEqual(encoded, [])
        for version in (1, 4, 1, 4, 4):
            self.client(version).send(of.SetConfig(0, 128))
        self.manager.packet_in(self.event)
        self.assertEqual(sorted(encoded), [1, 4])

    def test_unencodable(self) -> None:
        """What a version cannot say goes to those of the others."""
        old, new = self.client(of.OFP10), self.client(of.OFP13)
        for client in (old, new):
            client.send(of.SetConfig(0, 128))
        self.manager.packet_in(attrs.evolve(self.event, in_port=0x12345))
        self.assertEqual((self.heard(old), self.heard(new)), ([], [of.PacketIn]))

    def test_reason_of_the_version(self) -> None:
        """A reason that a version does not have is told as DELETE."""
        controller = self.controller(of.OFP10)
        reason = of.RemovedReason.GROUP_DELETE
        self.manager.flow_removed(attrs.evolve(self.removed, reason=reason))
        self.assertEqual(controller.received()[0].reason, of.RemovedReason.DELETE)

    def test_slow_reader(self) -> None:
        """A controller that does not read loses packets, which are counted, and nothing else."""
        controller = self.controller()
        controller.transport.choke()
        for _ in range(150):
            self.manager.packet_in(self.event)
        self.manager.flow_removed(self.removed)
        self.assertEqual(self.manager.connections()[0].packet_ins_dropped, 50)
        controller.transport.unchoke()
        self.assertEqual(self.heard(controller), [of.PacketIn] * 100 + [of.FlowRemoved])

    def test_gone(self) -> None:
        """Who is gone gets nothing, and is not kept for it."""
        client = self.client()
        client.send(of.SetConfig(0, 128))
        self.assertIn(self.session(client), self.manager._audience)
        client.transport.lose(error.ConnectionDone())
        self.assertEqual(self.manager._audience, {})
        self.tell()
        self.assertEqual(client.received(), [])


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
        self.assertIn("refused", status.last_error)
        self.reactor.advance(1)
        self.controller(of.OFP10)
        [status] = self.manager.connections()
        self.assertEqual((status.state, status.version, status.role), ("ACTIVE", "1.0", "equal"))
        self.assertEqual((status.kind, status.attempts), (ConnectionKind.PRIMARY, 0))
        self.assertIn("refused", status.last_error)

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
        self.assertEqual(len(self.switch.released), 3)
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
