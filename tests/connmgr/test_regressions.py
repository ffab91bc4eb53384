"""The bugs that the first implementation of this design had, one test each, as far as connections
are concerned: sessions with a real switch, whose hardware does what the test says.

The numbers are those of :mod:`tests.ofproto.test_regressions`, where those of the core are.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from agent.connmgr.asyncmsg import DEFAULT_ASYNC
from agent.connmgr.nicira import Formats
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Role
from agent.connmgr.settings import Limits
from agent.openflow import messages as of
from agent.openflow import nx_messages as nxm
from agent.openflow.errors import IS_SLAVE, ROLE_STALE, ErrorCode
from agent.openflow.match import Match
from drivers.interfaces import OperationKind
from tests.connmgr.fakes import Peer, SessionCase, flow_mod
from tests.connmgr.managers import ManagerCase
from tests.connmgr.test_switch import DELETE, MODIFY, REFUSED, SwitchCase
from tests.connmgr.test_switch import flow_mod as rule

MASTER, SLAVE = Role.MASTER, Role.SLAVE


class SessionRegressionTests(SwitchCase):
    """Sessions and the switch."""

    def session(self, peer: Peer) -> OFConn:
        """The session of a peer."""
        sessions: list[OFConn] = list(self.bound.factory.sessions)
        return next(session for session in sessions if session.channel is peer.protocol)

    def assert_refused(self, peer: Peer, xid: int, code: ErrorCode) -> None:
        """The peer was told this, and nothing else."""
        [error] = peer.received()
        self.assertEqual((error.xid, error.type, error.code), (xid, *code.numbers(peer.version)))

    def test_a16_whoever_is_gone(self) -> None:
        """What waited for an operation goes on when it ends, though the connection that had asked
        for it is gone, and without waiting for anything else to be sent."""
        for end in (self.driver.finish, lambda: self.driver.fail(0, REFUSED)):
            peer, other = self.peer(), self.peer()
            self.send(peer, rule(1))
            self.send(other, rule(2, command=MODIFY), of.EchoRequest(xid=3), of.BarrierRequest(4))
            self.assertEqual(other.received(), [of.EchoReply(xid=3)])
            peer.transport.lose(ConnectionLost())
            end()
            self.clock.turn(4)
            self.driver.finish_all()
            self.clock.turn(4)
            self.assertEqual(other.received(), [of.BarrierReply(4)])
            self.send(other, rule(5, command=DELETE))
            self.driver.finish_all()
            self.clock.turn(4)
            other.transport.lose(ConnectionLost())

    def test_a17_newer_session(self) -> None:
        """What was asked for in a session that is gone is answered in no newer one, though the xids
        be the same."""
        peer = self.peer()
        self.send(peer, rule(7))
        peer.transport.lose(ConnectionLost())
        again = self.peer()
        self.send(again, rule(7, port=2), of.BarrierRequest(8))
        self.driver.fail(0, REFUSED)
        self.clock.turn(4)
        self.assertEqual(again.received(), [])
        self.assertEqual(self.rules(), [Match.of(in_port=2)])
        self.finish()
        self.assertEqual(again.received(), [of.BarrierReply(8)])

    def test_a18_flush(self) -> None:
        """Echo requests are answered while the bridge is flushing, and while a message waits for
        that; whatever the message is, it is executed afterwards, and only then."""
        peer, waiting = self.peer(), self.peer()
        self.send(peer, rule(1))
        self.finish()
        self.switch.flush()
        self.send(waiting, rule(2, port=2))
        self.assertIn("flush", str(self.session(waiting).postponement.waiting_for))
        for connection in (peer, waiting):
            self.send(connection, of.EchoRequest(b"alive", 3))
            self.assertEqual(connection.received(), [of.EchoReply(b"alive", 3)])
        self.assertEqual([op.kind for op in self.driver.in_flight], [OperationKind.DELETE])
        for message in (of.BarrierRequest(4), of.RoleRequest(MASTER, 1, 4), of.GetAsyncRequest(4)):
            third = self.peer()
            self.send(third, message)
            self.assertEqual(third.received(), [])
            self.assertIn("flush", str(self.session(third).postponement.waiting_for))
            third.transport.lose(ConnectionLost())
        self.send(peer, of.BarrierRequest(5))
        self.finish()
        self.finish()
        self.assertEqual(peer.received(), [of.BarrierReply(5)])
        self.assertEqual(self.rules(), [Match.of(in_port=2)])

    def test_a21_role_waits(self) -> None:
        """A change of role waits for what that connection has in flight, and for nothing else; it
        is answered when all of that has been."""
        for version in (of.OFP10, of.OFP13):
            peer, other = self.peer(version), self.peer(version)
            generation_id = None if version == of.OFP10 else 5
            self.send(peer, rule(1), of.RoleRequest(SLAVE, generation_id, 2), of.EchoRequest(xid=3))
            self.send(other, of.RoleRequest(SLAVE, generation_id, 4))
            self.assertEqual([message.xid for message in other.received()], [4])
            self.assertEqual([message.xid for message in peer.received()], [3])
            self.assertIs(self.session(peer).role, Role.EQUAL)
            self.driver.fail(0, REFUSED)
            self.clock.turn(4)
            self.assertEqual([message.xid for message in peer.received()], [1, 2])
            self.assertIs(self.session(peer).role, SLAVE)

    def test_a21_generation_id(self) -> None:
        """A stale generation id is refused at once, whatever is in flight; so is a role that there
        is not."""
        peer, other = self.peer(), self.peer()
        self.send(other, of.RoleRequest(MASTER, 10, 1))
        self.send(peer, rule(2), of.RoleRequest(SLAVE, 9, 3))
        self.assert_refused(peer, 3, ROLE_STALE)
        self.assertIsNone(self.session(peer).postponement.waiting_for)
        self.send(peer, of.RoleRequest(4, 11, 4))
        self.assertEqual([message.xid for message in peer.received()], [4])
        self.assertEqual(self.session(peer).roles.generation_id, 10)
        self.switch.flush()
        flushed = self.peer()
        self.send(flushed, of.RoleRequest(SLAVE, 9, 5))
        self.assert_refused(flushed, 5, ROLE_STALE)

    def test_a21_permission(self) -> None:
        """A slave is refused at once what would have to wait: for a rule that is pending, for a
        place in flight, or for a flush."""
        for version in (of.OFP10, of.OFP13):
            busy, slave = self.peer(), self.peer(version)
            self.session(slave).role = SLAVE
            self.send(busy, rule(1))
            self.send(slave, rule(2, command=MODIFY))
            self.assert_refused(slave, 2, IS_SLAVE)
            self.switch.admission.limit = 1
            self.send(slave, rule(3, port=3))
            self.assert_refused(slave, 3, IS_SLAVE)
            self.switch.admission.limit = 50
            self.switch.flush()
            self.send(slave, rule(4, port=4))
            self.assert_refused(slave, 4, IS_SLAVE)
            self.finish()
            self.finish()
            self.assertEqual(self.rules(), [])

    def test_a21_demoted_while_waiting(self) -> None:
        """A message that waited while its sender was demoted is refused when its time comes, and
        has no effect."""
        peer, other = self.peer(), self.peer()
        self.send(other, rule(1))
        self.send(peer, of.RoleRequest(MASTER, 1, 2), rule(3, command=MODIFY, cookie=9))
        self.send(other, of.RoleRequest(MASTER, 2, 4))
        peer.received()
        self.finish()
        self.assert_refused(peer, 3, IS_SLAVE)
        self.assertEqual(self.driver.in_flight, [])
        self.assertEqual([rule.cookie for rule in self.switch.rules()], [0])

    def test_a24_deletes(self) -> None:
        """A barrier waits for deletions, too, and for those that are tried again."""
        peer = self.peer()
        self.send(peer, rule(1))
        self.finish()
        self.send(peer, rule(2, command=DELETE), of.BarrierRequest(3))
        self.driver.fail()
        self.clock.turn(4)
        self.assertEqual(peer.received(), [])
        self.clock.advance(0.5)
        self.clock.turn(4)
        self.assertEqual([op.kind for op in self.driver.in_flight], [OperationKind.DELETE])
        self.assertEqual(peer.received(), [])
        self.finish()
        self.assertEqual(peer.received(), [of.BarrierReply(3)])

    def test_a25_disconnect(self) -> None:
        """When a connection is lost, what it has in flight runs on, its errors go nowhere, and the
        message that waited is dropped with all behind it."""
        peer, other = self.peer(), self.peer()
        self.send(peer, rule(1), rule(2, port=2), rule(3, cookie=9), rule(4, port=4))
        awaited = next(iter(self.switch.ledger.groups))
        self.assertEqual(len(awaited._waiters or ()), 1)
        peer.transport.lose(ConnectionLost())
        self.assertEqual(len(awaited._waiters or ()), 0)
        self.driver.fail(0, REFUSED)
        self.clock.turn(4)
        self.finish()
        self.assertEqual(self.rules(), [Match.of(in_port=2)])
        self.assertEqual((peer.received(), other.received()), ([], []))
        self.assertEqual(self.driver.in_flight, [])

    def test_a25_place(self) -> None:
        """The place in flight that a connection waits for, or was promised, is another's when it is
        lost."""
        self.switch.admission.limit = 1
        busy, first, second, third = (self.peer() for _ in range(4))
        for number, peer in enumerate((busy, first, second, third), 1):
            self.send(peer, rule(number, port=number))
        first.transport.lose(ConnectionLost())
        self.driver.finish()  # it is the second's turn, which has not come yet
        second.transport.lose(ConnectionLost())
        self.clock.turn(4)
        self.assertEqual(len(self.driver.in_flight), 1)
        self.finish()
        self.assertEqual(len(self.switch.admission), 0)
        self.assertEqual(self.rules(), [Match.of(in_port=1), Match.of(in_port=4)])


class PressureTests(SessionCase):
    """Silence that is our own doing."""

    def test_a15_replies(self) -> None:
        """Whoever does not read what we have to say is not read, and not taken for dead because of
        it: not by us, who stopped listening."""
        session, peer = self.connected(limits=Limits(queued_replies=1))
        peer.transport.choke()
        peer.send(of.FeaturesRequest())
        self.assertFalse(peer.protocol.reading)
        for _ in range(100):
            self.clock.advance(5)
        self.assertFalse(session.closed)

    def test_a15_backlog(self) -> None:
        """Nor is one whose messages have to wait, so many of them that we read no more; when we do
        again, it is asked again whether it is there, and has the whole time to answer."""
        gates = self.postpone(of.DescRequest)
        session, peer = self.connected(limits=Limits(backlog_frames=4))
        peer.send(of.DescRequest(xid=1), *(flow_mod(xid) for xid in range(2, 9)))
        self.assertFalse(peer.protocol.reading)
        for _ in range(100):
            self.clock.advance(5)
        self.assertFalse(session.closed)
        gates[0].clear()
        self.clock.turn(3)
        self.assertTrue(peer.protocol.reading)
        self.assertEqual(len(self.switch.groups), 7)
        peer.received()
        self.clock.advance(4.9)
        self.assertFalse(session.closed)
        for _ in range(3):
            self.clock.advance(5)
        self.assertTrue(session.closed, "a peer that is dead after all stays")


class ReconnectionTests(ManagerCase):
    """A controller that comes again."""

    def test_a14_everything_is_reset(self) -> None:
        """A new session has nothing of the old: version, role, masks, formats, ids, and the
        message that waited.  (Of buffers it is tested where they are.)"""
        peer = self.controller(of.OFP10)
        session = self.session(peer)
        peer.send(
            of.SetConfig(0, 9),
            nxm.SetFlowFormat(nxm.FlowFormat.NXM),
            nxm.SetPacketInFormat(nxm.PacketInFormat.NXM),
            nxm.FlowModTableId(True),
            nxm.SetControllerId(7),
            of.SetAsync(of.AsyncConfig((1, 1), (0, 0), (0, 0))),
            of.RoleRequest(MASTER, None),
        )
        peer.received()
        peer.send(flow_mod(1), of.BarrierRequest(2), flow_mod(3))
        self.assertIsNotNone(session.postponement.waiting_for)
        before = self.facts(session)
        group = self.switch.groups.pop()
        peer.transport.lose(ConnectionLost())
        self.reactor.advance(1)

        again = self.controller(of.OFP13)
        new = self.session(again)
        self.assertIsNot(new, session)
        fresh = self.facts(new)
        self.assertEqual(
            fresh,
            {
                "version": of.OFP13,
                "role": Role.EQUAL,
                "async": DEFAULT_ASYNC,
                "formats": Formats(),
                "id": 0,
                "length": 128,
                "waiting": None,
                "outstanding": 0,
                "admitted": False,
            },
        )
        for name, value in before.items():
            self.assertNotEqual(value, fresh[name], f"{name} was never set")
        self.assertIsNone(self.manager.roles.master)
        group.end()
        self.reactor.turn(3)
        self.assertEqual((again.received(), self.switch.groups), ([], []))

    @staticmethod
    def facts(session: OFConn) -> dict[str, Any]:
        """All that a session has of its own."""
        return {
            "version": session.version,
            "role": session.role,
            "async": session.async_config,
            "formats": session.formats,
            "id": session.controller_id,
            "length": session.miss_send_len,
            "waiting": session.postponement.waiting_for,
            "outstanding": len(session.outstanding),
            "admitted": session.admitted,
        }
