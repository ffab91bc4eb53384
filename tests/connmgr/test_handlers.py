"""Tests for :mod:`agent.connmgr.handlers` and :mod:`agent.connmgr.roles`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.asyncmsg import DEFAULT_ASYNC
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import NO_GENERATION, Role, Roles
from agent.connmgr.settings import ConnectionKind
from agent.openflow import messages as of
from agent.openflow.errors import (
    BAD_EXPERIMENTER,
    IS_SLAVE,
    ROLE_BAD_ROLE,
    ROLE_STALE,
    ErrorCode,
    OpenFlowError,
)
from tests.connmgr.fakes import Peer, SessionCase, flow_mod

MASTER, SLAVE, EQUAL, NOCHANGE = Role.MASTER, Role.SLAVE, Role.EQUAL, Role.NOCHANGE


class RoleCase(SessionCase):
    """Asks for roles."""

    def ask(self, peer: Peer, role: int, generation_id: int = 0) -> list[object]:
        """Ask, and read what comes."""
        peer.send(of.RoleRequest(role, generation_id, xid=3))
        return peer.received()

    def refused(self, peer: Peer, code: ErrorCode) -> None:
        """The last request was refused with this, and nothing else came."""
        [error] = peer.received()
        self.assertEqual((error.type, error.code), code.of13)


class RoleTests(RoleCase):
    """ROLE_REQUEST."""

    def test_first(self) -> None:
        """A connection is equal at first, and no generation id is known."""
        _, peer = self.connected()
        self.assertEqual(self.ask(peer, NOCHANGE, 77), [of.RoleReply(EQUAL, NO_GENERATION, 3)])
        self.assertEqual(self.ask(peer, EQUAL, 77), [of.RoleReply(EQUAL, NO_GENERATION, 3)])

    def test_master(self) -> None:
        """Who asks for it becomes master, and the generation id is the switch's from then on."""
        session, peer = self.connected()
        self.assertEqual(self.ask(peer, MASTER, 5), [of.RoleReply(MASTER, 5, 3)])
        self.assertIs(session.role, MASTER)
        _, other = self.connected()
        self.assertEqual(self.ask(other, NOCHANGE), [of.RoleReply(EQUAL, 5, 3)])

    def test_new_master_demotes_the_old(self) -> None:
        """There is one master: the one before becomes a slave, those who are equal stay so."""
        first, peer = self.connected()
        second, other = self.connected()
        third, _ = self.connected()
        self.ask(peer, MASTER, 1)
        self.ask(other, MASTER, 2)
        self.assertEqual([s.role for s in (first, second, third)], [SLAVE, MASTER, EQUAL])

    def test_master_again(self) -> None:
        """The master may ask again, and is not demoted by itself."""
        session, peer = self.connected()
        self.ask(peer, MASTER, 1)
        self.assertEqual(self.ask(peer, MASTER, 2), [of.RoleReply(MASTER, 2, 3)])
        self.assertIs(session.role, MASTER)

    def test_master_steps_back(self) -> None:
        """A master that has become equal is not demoted by the next one."""
        session, peer = self.connected()
        _, other = self.connected()
        self.ask(peer, MASTER, 1)
        self.ask(peer, EQUAL)
        self.ask(other, MASTER, 2)
        self.assertIs(session.role, EQUAL)

    def test_stale(self) -> None:
        """An older generation id is refused for master and slave; it outlives its connection."""
        _, peer = self.connected()
        self.ask(peer, MASTER, 10)
        peer.transport.lose(ConnectionLost())
        _, peer = self.connected()
        for role in (MASTER, SLAVE):
            peer.send(of.RoleRequest(role, 9))
            self.refused(peer, ROLE_STALE)
        self.assertEqual(self.ask(peer, EQUAL, 9), [of.RoleReply(EQUAL, 10, 3)])
        self.assertEqual(self.ask(peer, SLAVE, 10), [of.RoleReply(SLAVE, 10, 3)])

    def test_bad_role(self) -> None:
        """A role that there is not is refused."""
        _, peer = self.connected()
        peer.send(of.RoleRequest(4, 9))
        self.refused(peer, ROLE_BAD_ROLE)

    def test_waits(self) -> None:
        """A change of role waits for what the connection has in flight; asking for it does not."""
        session, peer = self.connected()
        peer.send(flow_mod(1))
        self.assertEqual(self.ask(peer, NOCHANGE), [of.RoleReply(EQUAL, NO_GENERATION, 3)])
        self.assertEqual(self.ask(peer, EQUAL), [of.RoleReply(EQUAL, NO_GENERATION, 3)])
        self.assertEqual(self.ask(peer, SLAVE, 1), [])
        self.assertIs(session.role, EQUAL)
        self.assertIsNone(self.roles.generation_id)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.RoleReply(SLAVE, 1, 3)])

    def test_stale_before_waiting(self) -> None:
        """A stale request is refused at once, whatever is in flight."""
        _, peer = self.connected()
        self.ask(peer, MASTER, 10)
        peer.send(flow_mod(1), of.RoleRequest(SLAVE, 9))
        self.refused(peer, ROLE_STALE)

    def test_stale_while_waiting(self) -> None:
        """A request that has become stale while it waited is refused."""
        _, peer = self.connected()
        _, other = self.connected()
        peer.send(flow_mod(1))
        self.ask(peer, MASTER, 5)
        self.ask(other, MASTER, 6)
        self.switch.groups[0].end()
        self.clock.turn()
        self.refused(peer, ROLE_STALE)

    def test_demoted_while_in_flight(self) -> None:
        """A master that is demoted keeps what it has in flight, and may start nothing more."""
        session, peer = self.connected()
        _, other = self.connected()
        self.ask(peer, MASTER, 1)
        peer.send(flow_mod(1), of.BarrierRequest(2))
        self.ask(other, MASTER, 2)
        self.assertIs(session.role, SLAVE)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(2)])
        peer.send(flow_mod(3))
        self.refused(peer, IS_SLAVE)

    def test_master_leaves(self) -> None:
        """A master that is gone is not demoted, and kept by nobody."""
        _, peer = self.connected()
        self.ask(peer, MASTER, 1)
        peer.transport.lose(ConnectionLost())
        self.assertIsNone(self.roles.master)


class SlaveTests(RoleCase):
    """What slaves may do."""

    def slave(self) -> tuple[OFConn, Peer]:
        """A slave."""
        session, peer = self.connected()
        self.ask(peer, SLAVE, 1)
        return session, peer

    def test_modifying(self) -> None:
        """A slave changes nothing and sends no packet: IS_SLAVE, and the switch never hears."""
        _, peer = self.slave()
        requests = (
            flow_mod(),
            of.PacketOut(of.NO_BUFFER, 1, ()),
            of.PortMod(1, 0, 0, 0),
            of.TableMod(0, 0),
            of.TableFeaturesRequest((of.TableFeatures(0, "t", 0, 0, 0, 0, {}),)),
        )
        for request in requests:
            peer.send(request)
            self.refused(peer, IS_SLAVE)
        self.assertEqual(self.switch.handled, [])

    def test_reading(self) -> None:
        """A slave may ask for anything, echo and barrier included."""
        _, peer = self.slave()
        peer.send(of.FeaturesRequest(1), of.EchoRequest(xid=2), of.BarrierRequest(3))
        self.assertEqual([message.xid for message in peer.received()], [1, 2, 3])
        peer.send(of.TableFeaturesRequest(xid=4))
        self.assertEqual(self.switch.handled[-1], of.TableFeaturesRequest(xid=4))

    def test_before_waiting(self) -> None:
        """Permission is checked before anything can postpone."""
        _, peer = self.slave()
        self.postpone(of.FlowMod)
        peer.send(flow_mod(1))
        self.refused(peer, IS_SLAVE)

    def test_demoted_while_waiting(self) -> None:
        """A message that waited is checked again: its sender may have been demoted."""
        session, peer = self.connected()
        [gates] = [self.postpone(of.FlowMod)]
        peer.send(flow_mod(1))
        session.role = SLAVE
        gates[0].clear()
        self.clock.turn()
        self.refused(peer, IS_SLAVE)


class GenerationTests(SynchronousTestCase):
    """The comparison of generation ids."""

    @given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1))
    def test_signed_difference(self, latest: int, step: int) -> None:
        """An id is stale when the signed difference of 64 bits to the latest is below zero."""
        roles = Roles()
        roles.generation_id = latest
        newer = (latest + step) % 2**64
        self.assertIs(roles.check(MASTER, newer), MASTER)
        older = (latest - step - 1) % 2**64
        error = self.assertRaises(OpenFlowError, roles.check, SLAVE, older)
        self.assertIs(error.code, ROLE_STALE)


class AsyncTests(SessionCase):
    """SET_ASYNC and GET_ASYNC."""

    def test_default(self) -> None:
        """A new connection has the specification's default masks."""
        _, peer = self.connected()
        peer.send(of.GetAsyncRequest(xid=1))
        masks = of.AsyncConfig((0x3, 0), (0x7, 0x7), (0xF, 0))
        self.assertEqual(peer.received(), [of.GetAsyncReply(masks, 1)])

    def test_set(self) -> None:
        """What was set is what is told, and concerns this connection only."""
        _, peer = self.connected()
        other, _ = self.connected()
        masks = of.AsyncConfig((1, 2), (3, 4), (5, 6))
        peer.send(of.SetAsync(masks, xid=1), of.GetAsyncRequest(xid=2))
        self.assertEqual(peer.received(), [of.GetAsyncReply(masks, 2)])
        self.assertEqual(other.async_config, DEFAULT_ASYNC)

    def test_service_asks(self) -> None:
        """A service connection that sets its masks has asked for asynchronous messages."""
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        self.assertFalse(session.is_audience)
        peer.send(of.SetAsync(DEFAULT_ASYNC))
        self.assertTrue(session.is_audience)
        self.assertEqual(session.miss_send_len, 128)
        self.assertEqual(self.owner.audience, [session])

    def test_service_has_asked_before(self) -> None:
        """What it has asked for before stays."""
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        session.miss_send_len = 40
        peer.send(of.SetAsync(DEFAULT_ASYNC))
        self.assertEqual(session.miss_send_len, 40)

    def test_invalid_ttl(self) -> None:
        """What SET_CONFIG says of packets whose TTL ran out is a bit of the masks, for masters and
        equals; the others stay."""
        session, peer = self.connected()
        masks = of.AsyncConfig((1, 2), (3, 4), (5, 6))
        peer.send(of.SetAsync(masks))
        self.assertFalse(session.invalid_ttl)
        session.invalid_ttl = True
        self.assertEqual(session.async_config, of.AsyncConfig((5, 2), (3, 4), (5, 6)))
        self.assertTrue(session.invalid_ttl)
        session.invalid_ttl = False
        self.assertEqual(session.async_config, masks)

    def test_experimenter(self) -> None:
        """What nobody knows is refused as such, also when something is in flight."""
        for version, numbers in ((1, BAD_EXPERIMENTER.of10), (4, BAD_EXPERIMENTER.of13)):
            _, peer = self.connected(version)
            peer.send(flow_mod(), of.Experimenter(0xABCDEF, 16, b"", xid=7))
            [error] = peer.received()
            self.assertEqual((error.type, error.code, error.xid), (*numbers, 7))
