"""Tests for :mod:`agent.connmgr.connmgr`: listeners, and asynchronous messages."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from zope.interface.verify import verifyObject

from agent.connmgr.roles import Role
from agent.connmgr.settings import Limits
from agent.ofproto.interfaces import ISwitchObserver, PacketInEvent
from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.connmgr.fakes import FakeTransport, Peer, flow_mod
from tests.connmgr.managers import ManagerCase


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


class FanOutTests(ManagerCase):
    """Asynchronous messages."""

    event = PacketInEvent(b"frame", 1, of.PacketInReason.NO_MATCH, cookie=0)
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
        encode = self.manager.audience.encode

        def counted(version: int, message: Any) -> bytes | None:
            encoded.append(version)
            return encode(version, message)

        self.manager.audience.encode = counted  # type: ignore[method-assign]
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
        self.assertIn(self.session(client), self.manager.audience.sessions)
        client.transport.lose(error.ConnectionDone())
        self.assertEqual(self.manager.audience.sessions, {})
        self.tell()
        self.assertEqual(client.received(), [])
