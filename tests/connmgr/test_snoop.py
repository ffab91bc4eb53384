"""Tests of :mod:`agent.connmgr.snoop`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.error import ConnectionDone
from zope.interface.verify import verifyObject

from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.snoop import MAX_HEARD, MAX_SNOOPS
from agent.connmgr.target import Target
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow import messages as of
from agent.openflow.codec import encode
from tests.connmgr.fakes import FakeSwitch, Peer, connect, flow_mod
from tests.connmgr.managers import Controller, FakeBound, ManagerCase, MemoryReactor


class SnoopCase(ManagerCase):
    """A bridge with a controller, a listener, and a listener for snoops."""

    def setUp(self) -> None:
        """Started, with the controller connected."""
        self.snooped = FakeBound("punix:/run/br0.snoop")
        super().setUp()
        self.peer = self.controller()

    def make(self, controllers: list[Controller], **arguments: Any) -> Any:
        """With snoops."""
        return super().make(controllers, snoops=[self.snooped], **arguments)

    def snoop(self) -> Peer:
        """A snoop, who has read our HELLO."""
        snoop = connect(self.snooped.factory.buildProtocol(None))
        [hello] = snoop.received()
        self.assertIsInstance(hello, of.Hello)
        return snoop

    def lose(self, peer: Peer) -> None:
        """The other end hangs up."""
        peer.transport.lose(ConnectionDone())


class CopyTests(SnoopCase):
    """What a snoop sees."""

    def test_both_directions(self) -> None:
        """Everything that a controller says and is told, in order, and nothing twice."""
        snoop = self.snoop()
        self.peer.send(of.EchoRequest(b"1", 1), of.FeaturesRequest(2))
        reply = of.FeaturesReply(1, 0, 1, xid=2)
        self.assertEqual(
            snoop.received(),
            [of.EchoRequest(b"1", 1), of.EchoReply(b"1", 1), of.FeaturesRequest(2), reply],
        )
        self.manager.packet_in(PacketInEvent(b"frame", 1, of.PacketInReason.ACTION))
        [packet] = snoop.received()
        self.assertEqual([packet], self.peer.received()[-1:])

    def test_waiting(self) -> None:
        """A message that waits is seen once, when it comes; echoes that overtake it as well."""
        snoop = self.snoop()
        self.peer.send(flow_mod(1), of.BarrierRequest(2), of.EchoRequest(b"", 3), flow_mod(4))
        kinds = [(type(one), one.xid) for one in snoop.received()]
        self.assertEqual(
            kinds,
            [(of.FlowMod, 1), (of.BarrierRequest, 2), (of.EchoReply, 3), (of.EchoRequest, 3)],
        )
        self.switch.groups[0].end()
        self.reactor.turn(2)
        kinds = [(type(one), one.xid) for one in snoop.received()]
        self.assertEqual(kinds, [(of.BarrierReply, 2), (of.FlowMod, 4)])

    def test_long_reply(self) -> None:
        """Replies that are made while they are read are seen, frame by frame."""
        match = flow_mod().match
        flows = [of.FlowStats(0, 0, 0, 1, 0, 0, 0, n, 0, 0, match, ()) for n in range(3000)]
        self.switch.on[of.FlowStatsRequest] = lambda request, requester: of.FlowStatsReply(
            iter(flows), xid=request.xid
        )
        snoop = self.snoop()
        self.peer.send(of.FlowStatsRequest(xid=1))
        request, *replies = snoop.received()
        self.assertEqual(request.xid, 1)
        self.assertEqual(replies, self.peer.received())
        self.assertGreater(len(replies), 1)

    def test_every_controller(self) -> None:
        """All controllers are seen, also those who connect later; clients of listeners are not."""
        snoop, client = self.snoop(), self.client()
        client.send(of.EchoRequest(xid=1))
        self.assertEqual(snoop.received(), [])
        self.lose(self.peer)
        self.reactor.advance(1)
        self.peer = self.controller(of.OFP10)
        self.assertEqual(snoop.received(), [])
        self.peer.send(of.EchoRequest(xid=2))
        snoop.version = of.OFP10
        self.assertEqual(snoop.received(), [of.EchoRequest(xid=2), of.EchoReply(xid=2)])

    def test_version(self) -> None:
        """We greet it in the version that is spoken now, so that it understands the copies; in any
        while none is."""
        for version in (of.OFP10, of.OFP13, 0):
            self.lose(self.peer)
            self.reactor.advance(8)
            if version:
                self.peer = self.controller(version)
            snoop = connect(self.snooped.factory.buildProtocol(None))
            spoken = {version} if version else {of.OFP10, of.OFP13}
            self.assertEqual(snoop.received(), [of.Hello(frozenset(spoken))])

    def test_several(self) -> None:
        """Each snoop sees the same; who has gone sees nothing, and costs nothing."""
        first, second = self.snoop(), self.snoop()
        self.peer.send(of.EchoRequest(xid=1))
        self.assertEqual(first.received(), second.received())
        self.lose(first)
        self.peer.send(of.EchoRequest(xid=2))
        self.assertEqual((first.received(), len(second.received())), ([], 2))
        channel = self.session(self.peer).channel
        self.assertEqual(len(channel.taps), 1)
        self.lose(second)
        self.assertEqual(channel.taps, ())

    def test_slow(self) -> None:
        """One that does not read misses something, which is counted; nobody else waits for it."""
        snoop = self.snoop()
        snoop.transport.choke()
        for xid in range(100):
            self.peer.send(of.EchoRequest(xid=xid))
        self.assertEqual(len(self.peer.received()), 100)
        status = self.manager.connections()[-1]
        self.assertEqual((status.kind, status.state), (ConnectionKind.SNOOP, "ACTIVE"))
        self.assertEqual((status.queued, status.copies_dropped), (100, 100))
        snoop.transport.unchoke()
        self.assertEqual(len(snoop.received()), 100)


class ListeningTests(SnoopCase):
    """A snoop is not listened to."""

    def test_ignored(self) -> None:
        """What it says is executed by nobody, and it is told nothing about it."""
        snoop = self.snoop()
        session: Any = snoop.protocol._receiver
        verifyObject(IFrameReceiver, session)
        handled = len(self.switch.handled)
        snoop.send_bytes(encode(of.OFP13, of.Hello(frozenset({of.OFP13}))))
        snoop.version = of.OFP13
        snoop.send(flow_mod(1), of.EchoRequest(xid=2), of.FeaturesRequest(3))
        self.assertEqual((snoop.received(), len(self.switch.handled)), ([], handled))
        self.assertTrue(snoop.transport.connected)

    def test_too_much(self) -> None:
        """One that goes on speaking is cut off, and so is one that speaks no OpenFlow."""
        snoop = self.snoop()
        snoop.send_bytes(encode(of.OFP13, of.Hello(frozenset({of.OFP13}))))
        snoop.version = of.OFP13
        snoop.send(*[of.EchoRequest()] * MAX_HEARD)
        self.reactor.turn(3)
        self.assertTrue(snoop.transport.aborted)
        snoop = self.snoop()
        snoop.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(snoop.transport.aborted)
        self.assertEqual(len(self.manager.connections()), 1)

    def test_bounded(self) -> None:
        """There are so many snoops and no more."""
        for _ in range(MAX_SNOOPS):
            self.snoop()
        self.assertIsNone(self.snooped.factory.buildProtocol(None))


class EndTests(SnoopCase):
    """The end."""

    def test_stop(self) -> None:
        """All is closed, no delayed call and no reference is left."""
        self.snoop()
        self.successResultOf(self.manager.stopService())
        self.assertEqual((self.snooped.stopped, self.reactor.getDelayedCalls()), (1, []))
        gone = weakref.ref(self.manager)
        self.reactor, self.switch = MemoryReactor(), FakeSwitch()
        del self.manager, self.tcp, self.unix, self.peer, self.snooped
        gc.collect()
        self.assertIsNone(gone())

    def test_session_freed(self) -> None:
        """A session that was seen is freed when it ends, without the garbage collector."""
        self.snoop()
        gone = weakref.ref(self.session(self.peer))
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.lose(self.peer)
        del self.peer
        self.switch.forgone.clear()
        self.assertEqual(self.manager.connections()[0].state, "BACKOFF")
        self.assertIsNone(gone())

    def test_reconfigured(self) -> None:
        """A listener for snoops comes and goes while the bridge runs; who is there stays."""
        snoop = self.snoop()
        target = Target.parse("tcp:192.0.2.1:6653")
        listeners = [(self.tcp, 5.0), (self.unix, 5.0)]
        other = FakeBound("punix:/run/other")
        sockets = [self.snooped, other]
        self.manager.reconfigure([1, 4], [Controller(target)], listeners, snoops=sockets)
        connect(other.factory.buildProtocol(None))
        self.peer.send(of.EchoRequest(xid=1))
        self.assertEqual(len(snoop.received()), 2)
        self.manager.reconfigure([1, 4], [Controller(target)], listeners, snoops=[other])
        self.assertEqual((self.snooped.stopped, snoop.transport.connected), (1, False))
        self.assertEqual(len(self.manager.connections()), 2)
