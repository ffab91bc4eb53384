"""Tests for :mod:`agent.connmgr.asyncmsg`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.asyncmsg import DEFAULT_ASYNC, for_version, packet_in, wants
from agent.connmgr.roles import Role
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow import messages as of
from agent.openflow.fields import IN_PORT, METADATA, TUNNEL_ID
from agent.openflow.match import Match


def flow_removed(reason: int) -> of.FlowRemoved:
    """A FLOW_REMOVED with a reason."""
    return of.FlowRemoved(Match(), 0, 0, reason, 0, 0, 0, 0, 0, 0, 0)


def port_status(reason: int) -> of.PortStatus:
    """A PORT_STATUS with a reason."""
    return of.PortStatus(reason, of.PortDesc(1, 0, "p1"))


class WantsTests(SynchronousTestCase):
    """Masks, roles and reasons."""

    def test_default(self) -> None:
        """By default masters and equals get all but INVALID_TTL, and slaves port status only."""
        miss, action, ttl = (
            packet_in(PacketInEvent(b"", 1, reason)) for reason in of.PacketInReason
        )
        for message in (miss, action, flow_removed(0), flow_removed(3), port_status(2)):
            for role in (Role.EQUAL, Role.MASTER):
                self.assertTrue(wants(DEFAULT_ASYNC, role, message))
        self.assertFalse(wants(DEFAULT_ASYNC, Role.MASTER, ttl))
        self.assertFalse(wants(DEFAULT_ASYNC, Role.SLAVE, miss))
        self.assertFalse(wants(DEFAULT_ASYNC, Role.SLAVE, flow_removed(0)))
        self.assertTrue(wants(DEFAULT_ASYNC, Role.SLAVE, port_status(0)))

    def test_each_reason(self) -> None:
        """Each reason has its own bit, in the mask of the role."""
        config = of.AsyncConfig((0, 0), (0, 0), (1 << 2, 1 << 1))
        wanted = [
            (role, reason)
            for role in (Role.MASTER, Role.EQUAL, Role.SLAVE)
            for reason in range(5)
            if wants(config, role, flow_removed(reason))
        ]
        self.assertEqual(wanted, [(Role.MASTER, 2), (Role.EQUAL, 2), (Role.SLAVE, 1)])


class MessageTests(SynchronousTestCase):
    """The messages themselves."""

    def test_reasons_of_a_version(self) -> None:
        """Reasons that a version does not know are told as DELETE, the others as they are."""
        for version, last in ((of.OFP10, 2), (of.OFP13, 3)):
            for reason in range(6):
                [said] = [for_version(version, False, flow_removed(reason))]
                self.assertEqual(said.reason, reason if reason <= last else 2)
        status = port_status(1)
        self.assertIs(for_version(of.OFP10, False, status), status)

    def test_packet_in(self) -> None:
        """A packet goes out whole and unbuffered, with its port and the rule it comes from."""
        event = PacketInEvent(b"frame", 7, of.PacketInReason.ACTION, table_id=2, cookie=9)
        self.assertEqual(
            packet_in(event),
            of.PacketIn(of.NO_BUFFER, 5, 1, 2, 9, Match.of(in_port=7), b"frame"),
        )

    def test_pipeline_fields(self) -> None:
        """Metadata and tunnel id are in the match when they are not zero; headers are not."""
        key = METADATA.put(TUNNEL_ID.put(1 << 40, 5), 0)
        self.assertEqual(
            packet_in(PacketInEvent(b"", 7, 0, key)).match, Match.of(in_port=7, tunnel_id=5)
        )
        key = METADATA.put(IN_PORT.put(0, 3), 6)
        self.assertEqual(
            packet_in(PacketInEvent(b"", 7, 0, key)).match, Match.of(in_port=7, metadata=6)
        )
