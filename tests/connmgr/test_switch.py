"""Connections with a real switch, whose hardware does what the test says.

What is tested here is the way of requests through both layers: who waits for what, in which order
answers come, and what is left when somebody or everybody goes.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.framing import FrameProtocol
from agent.connmgr.roles import Role
from agent.ofproto.ofproto import OFProto
from agent.openflow import messages as of
from agent.openflow.codec import encode
from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from drivers.testing import ScriptableDriver
from tests.connmgr.fakes import Peer, TurnClock, connect
from tests.connmgr.managers import FakeBound

ADD, MODIFY, DELETE = of.FlowModCommand.ADD, of.FlowModCommand.MODIFY, of.FlowModCommand.DELETE
REFUSED = OpenFlowError(TABLE_FULL)


def flow_mod(
    xid: int, port: int = 1, command: of.FlowModCommand = ADD, cookie: int = 0
) -> of.FlowMod:
    """A change of the rule for one port."""
    return of.FlowMod(command, Match.of(in_port=port), xid=xid, cookie=cookie)


class SwitchCase(SynchronousTestCase):
    """A bridge with a listener."""

    max_pending = 50

    def setUp(self) -> None:
        """Start it."""
        self.clock = TurnClock()
        self.driver = self.make_driver()
        self.switch = OFProto("br0", 1, self.driver, self.clock, max_pending=self.max_pending)
        self.bound = FakeBound("ptcp:6653")
        self.manager = ConnectionManager(
            self.switch, self.clock, [1, 4], listeners=[(self.bound, 5.0)]
        )
        self.switch.observer = self.manager
        self.switch.start()
        self.manager.startService()

    def make_driver(self) -> ScriptableDriver:
        """The hardware."""
        return ScriptableDriver()

    def peer(self, version: int = of.OFP13) -> Peer:
        """Somebody who has connected and said HELLO."""
        protocol = self.bound.factory.buildProtocol(None)
        assert isinstance(protocol, FrameProtocol)
        peer = connect(protocol)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        return peer

    def send(self, peer: Peer, *messages: object) -> None:
        """Send, and let the switch tell its driver."""
        peer.send(*messages)
        self.clock.turn(3)

    def finish(self, count: int = 1) -> None:
        """Let the hardware do the oldest operation, so many times."""
        for _ in range(count):
            self.driver.finish()
            self.clock.turn(3)

    def rules(self) -> list[Match]:
        """The matches of the rules there are."""
        return [rule.match for table in self.switch.tables for rule in table.rules]

    def waiting(self) -> list[str | None]:
        """What each connection waits for."""
        return [status.waiting_for for status in self.manager.connections()]


class OrderTests(SwitchCase):
    """Answers, errors and barriers."""

    def test_barrier(self) -> None:
        """A barrier is answered when the hardware has confirmed everything before it."""
        for version in (of.OFP10, of.OFP13):
            peer = self.peer(version)
            messages = [flow_mod(xid, port) for xid, port in ((1, 1), (2, 2))]
            self.send(peer, *messages, of.BarrierRequest(3))
            self.finish()
            self.assertEqual(peer.received(), [])
            self.finish()
            self.assertEqual(peer.received(), [of.BarrierReply(3)])
            peer.transport.lose(ConnectionLost())

    def test_dump_meanwhile(self) -> None:
        """Statistics show the rules at once, and the echo does not wait either."""
        peer, other = self.peer(), self.peer()
        self.send(peer, flow_mod(1), of.BarrierRequest(2), of.EchoRequest(xid=3))
        self.assertEqual(peer.received(), [of.EchoReply(xid=3)])
        self.send(other, of.FlowStatsRequest(xid=4))
        [reply] = other.received()
        self.assertEqual([flow.match for flow in reply.flows], [Match.of(in_port=1)])

    def test_refused_by_hardware(self) -> None:
        """One error, with xid and 64 bytes, before the barrier reply; the table is as it was."""
        peer = self.peer()
        sent = flow_mod(0xABC)
        self.send(peer, sent, of.BarrierRequest(2))
        self.driver.fail(0, REFUSED)
        self.clock.turn(3)
        data = encode(of.OFP13, sent)[:64]
        error = of.ErrorMessage(*TABLE_FULL.of13, data, 0xABC)
        self.assertEqual(peer.received(), [error, of.BarrierReply(2)])
        self.assertEqual(self.rules(), [])

    def test_modify_of_a_pending_rule(self) -> None:
        """It waits for the add, and happens then; another connection is not held up."""
        peer, other = self.peer(), self.peer()
        self.send(peer, flow_mod(1, cookie=5))
        self.send(peer, flow_mod(2, command=ADD, cookie=6), of.BarrierRequest(3))
        self.send(other, flow_mod(4, port=2))
        self.assertEqual(len(self.driver.in_flight), 2)
        waiting = self.waiting()
        self.assertIn("xid 0x1", str(waiting[0]))
        self.assertIsNone(waiting[1])
        self.finish()
        self.finish(2)
        self.assertEqual(peer.received(), [of.BarrierReply(3)])
        [cookie] = [
            rule.cookie
            for table in self.switch.tables
            for rule in table.rules
            if rule.match == Match.of(in_port=1)
        ]
        self.assertEqual(cookie, 6)


class EndTests(SwitchCase):
    """Disconnecting, and stopping."""

    def test_disconnect(self) -> None:
        """Operations run on without their connection; what waited does not happen."""
        peer = self.peer()
        self.send(
            peer, flow_mod(1), flow_mod(2, port=2), flow_mod(3, cookie=9), flow_mod(4, port=4)
        )
        peer.transport.lose(ConnectionLost())
        again = self.peer()
        self.driver.fail(0, REFUSED)
        self.finish()
        self.assertEqual(again.received(), [])
        self.assertEqual(self.rules(), [Match.of(in_port=2)])
        self.assertEqual(self.driver.violations, [])

    def test_clogged(self) -> None:
        """Operations that hang while their connection goes end later, and nobody hears of it."""
        peer = self.peer()
        self.send(peer, *(flow_mod(xid, port=xid) for xid in range(1, 61)))
        peer.transport.lose(ConnectionLost())
        again = self.peer()
        self.send(again, flow_mod(1, port=99), of.BarrierRequest(2))
        for number in range(50):
            self.driver.fail(0, REFUSED if number % 2 else None)
        self.clock.turn(5)
        self.finish()
        self.assertEqual(again.received(), [of.BarrierReply(2)])
        self.assertEqual(len(self.switch.ledger.groups), 0)
        self.assertEqual(self.rules(), [Match.of(in_port=99)])

    def test_stop(self) -> None:
        """Stopping with everything in flight leaves no delayed call and no session behind."""
        peers = [self.peer(), self.peer()]
        for number, peer in enumerate(peers):
            self.send(peer, flow_mod(1), flow_mod(2, port=2 + number), of.BarrierRequest(3))
        self.successResultOf(self.manager.stopService())
        self.successResultOf(self.switch.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.manager.connections(), [])


class PlacesTests(SwitchCase):
    """The cap on groups in flight."""

    max_pending = 2

    def test_shared(self) -> None:
        """Connections take turns, however much one of them has to do."""
        greedy, modest = self.peer(), self.peer()
        self.send(greedy, *(flow_mod(xid, port=xid) for xid in range(1, 21)))
        self.send(modest, flow_mod(99, port=99), of.BarrierRequest(100))
        self.finish(3)
        self.finish(2)
        self.assertEqual(modest.received(), [of.BarrierReply(100)])

    def test_does_not_read(self) -> None:
        """Who does not read what it asked for keeps nobody else from a place that it waited for,
        and has its turn when it has read."""
        deaf, other = self.peer(), self.peer()
        self.send(other, flow_mod(1, port=1), flow_mod(2, port=2))
        self.send(deaf, flow_mod(3, port=3))
        deaf.transport.choke()
        self.send(deaf, *(of.EchoRequest(xid=xid) for xid in range(200)))
        self.assertFalse(deaf.protocol.reading)
        self.finish(2)
        self.send(other, *(flow_mod(xid, port=xid) for xid in (4, 5, 6)), of.BarrierRequest(7))
        self.assertEqual(len(self.driver.in_flight), 2)
        self.finish(3)
        self.assertEqual(other.received(), [of.BarrierReply(7)])
        self.assertNotIn(Match.of(in_port=3), self.rules())
        deaf.transport.unchoke()
        self.clock.turn(10)
        self.finish()
        self.assertIn(Match.of(in_port=3), self.rules())
        self.assertEqual(len(self.switch.admission), 0)

    def test_closing(self) -> None:
        """Nor does one whose connection is being closed, and takes its time."""
        leaving, other = self.peer(), self.peer()
        self.send(other, flow_mod(1, port=1), flow_mod(2, port=2))
        self.send(leaving, flow_mod(3, port=3))
        leaving.transport.lingering = True
        leaving.protocol.close()
        self.finish(2)
        self.send(other, flow_mod(4, port=4), flow_mod(5, port=5))
        self.assertEqual(len(self.driver.in_flight), 2)
        leaving.transport.abortConnection()
        self.assertEqual(len(self.switch.admission), 0)

    def test_does_not_read_yet(self) -> None:
        """Who has not been promised a place keeps its turn meanwhile."""
        late, other = self.peer(), self.peer()
        self.send(other, flow_mod(1, port=1), flow_mod(2, port=2))
        self.send(late, flow_mod(3, port=3))
        self.send(other, flow_mod(4, port=4))
        late.transport.choke()
        self.send(late, *(of.EchoRequest(xid=xid) for xid in range(200)))
        late.protocol.wake()
        self.clock.turn(3)
        late.transport.unchoke()
        self.clock.turn(10)
        self.finish()
        self.assertIn(Match.of(in_port=3), self.rules())
        self.assertNotIn(Match.of(in_port=4), self.rules())

    def test_demoted(self) -> None:
        """A slave that was promised a place before it was demoted gives it back."""
        master, slave, other = self.peer(), self.peer(), self.peer()
        self.send(master, flow_mod(1, port=1), flow_mod(2, port=2))
        self.send(slave, flow_mod(3, port=3))
        self.send(other, flow_mod(4, port=4))
        [session] = [
            session for session in self.bound.factory.sessions if session.channel is slave.protocol
        ]
        session.role = Role.SLAVE
        self.finish()
        [error] = slave.received()
        self.assertEqual(error.xid, 3)
        self.assertEqual(len(self.driver.in_flight), 2)
