"""Tests for :mod:`agent.openflow.fields`."""

from __future__ import annotations

from itertools import combinations

from os_ken.ofproto import ofproto_v1_3 as ofp
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields
from agent.openflow.fields import FIELDS, KEY_BITS, OXM_FIELDS, Field
from agent.openflow.oxm_tlv import OXM

OVERLAID = [
    {"vlan_tci", "vlan_vid"},
    {"vlan_tci", "vlan_pcp"},
    {"nw_tos", "ip_dscp"},
    {"nw_tos", "ip_ecn"},
    {"in_port", "nx_in_port"},
]
"""Fields which are the same bits in other words."""


def exclude(a: Field, b: Field) -> bool:
    """Whether no match can have both fields, by their prerequisites."""
    pairs = (
        (a.eth_types, b.eth_types),
        (a.ip_protos, b.ip_protos),
        (a.icmp_types, b.icmp_types),
    )
    return any(one and other and not set(one) & set(other) for one, other in pairs)


class LayoutTests(SynchronousTestCase):
    """Where fields live in a flow key."""

    def test_shared_bits(self) -> None:
        """Fields share bits only if their prerequisites exclude each other, or on purpose."""
        for a, b in combinations(FIELDS.values(), 2):
            if a.mask & b.mask and {a.name, b.name} not in OVERLAID:
                self.assertTrue(exclude(a, b), f"{a} and {b}")

    def test_within_key(self) -> None:
        """Every field lies within the key, and begins with a byte unless it is part of one."""
        for field in FIELDS.values():
            self.assertEqual(field.mask >> KEY_BITS, 0, field)
            if field.bits % 8 == 0:
                self.assertEqual(field.shift % 8, 0, field)

    def test_same_octet(self) -> None:
        """VLAN and ToS fields lie where Open vSwitch has them in vlan_tci and nw_tos."""
        tci, tos = fields.VLAN_TCI, fields.NW_TOS
        self.assertEqual(fields.VLAN_VID.mask, 0x1FFF << tci.shift)
        self.assertEqual(fields.VLAN_PCP.mask, 0xE000 << tci.shift)
        self.assertEqual(fields.IP_DSCP.mask, 0xFC << tos.shift)
        self.assertEqual(fields.IP_ECN.mask, 0x03 << tos.shift)

    def test_get_put(self) -> None:
        """What is put is got, and no other field changes."""
        for field in FIELDS.values():
            key = (1 << KEY_BITS) - 1
            for value in (0, 1, field.limit):
                changed = field.put(key, value)
                self.assertEqual(field.get(changed), value)
                self.assertEqual(changed | field.mask, key)


class RegistryTests(SynchronousTestCase):
    """What each field is."""

    def test_complete(self) -> None:
        """All 40 fields of OpenFlow 1.3 are there, numbered from 0."""
        numbers = [field.oxm for field in OXM_FIELDS]
        self.assertEqual(numbers, [(0x8000, number) for number in range(40)])

    def test_like_osken(self) -> None:
        """Names, numbers and bytes of a value are those of os-ken."""
        known = {oxm.name: oxm for oxm in ofp.oxm_types}
        for field in OXM_FIELDS:
            oxm = known[field.name]
            self.assertEqual((oxm._class, oxm.num & 0x7F), field.oxm)
            self.assertEqual(oxm.type.size, OXM[field].width, field)

    def test_by_number(self) -> None:
        """No two fields have the same TLV."""
        self.assertEqual(len(fields.BY_OXM), 40)
        nicira = [field for field in FIELDS.values() if field.nxm]
        self.assertEqual(len(fields.BY_NXM), len(nicira))

    def test_prerequisites_chain(self) -> None:
        """What needs an IP protocol needs an ethertype too, and what needs ICMPv6, IPv6."""
        for field in FIELDS.values():
            if field.ip_protos:
                self.assertTrue(field.eth_types, field)
            if field.icmp_types:
                self.assertEqual(field.eth_types, fields.IPV6, field)
                self.assertEqual(field.ip_protos, fields.ICMPV6, field)
