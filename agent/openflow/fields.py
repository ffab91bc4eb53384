"""The fields a flow can be matched on, and where each lives in a flow key.

A flow key is one Python integer.  Every field owns a run of bits of it, fixed here once, so that a
match is two integers (:class:`agent.openflow.match.Match`) and superset, overlap and lookup are
single integer operations.  Fields that can never be used together share bits, as they share
storage in Open vSwitch: the ports of TCP, UDP and SCTP and the type and code of ICMP; the IPv4 and
the ARP addresses; the ARP hardware and the neighbour-discovery link-layer addresses.  What tells
them apart is the prerequisite (``eth_type``, ``ip_proto``) which is part of the key as well.

The fields that most rules use have the lowest bits: the integers of most rules then stay short,
and so fast.  Every run of bits begins at a multiple of 8, so that the codec can move a field
between the wire and a flow key as bytes.

The VLAN tag is kept as Open vSwitch keeps it, as ``vlan_tci``: priority (3 bits), *present* (1)
and identifier (12).  ``vlan_vid`` of OpenFlow 1.2 and later is its low 13 bits, ``vlan_pcp`` its
high 3.

Sources: OpenFlow 1.3.5 sections 7.2.3.7 and 7.2.3.8 (OXM), ``nicira-ext.h`` of Open vSwitch (NXM).
"""

from __future__ import annotations

from typing import Final

import attrs

OXM_BASIC: Final = 0x8000
"""``oxm_class`` of the OpenFlow basic fields."""
NXM_0: Final = 0x0000
"""``oxm_class`` of the Nicira fields which mirror OpenFlow 1.0."""
NXM_1: Final = 0x0001
"""``oxm_class`` of the Nicira extended fields."""

IPV4: Final = (0x0800,)
IPV6: Final = (0x86DD,)
IP: Final = (0x0800, 0x86DD)
ARP: Final = (0x0806, 0x8035)
"""ARP and RARP, which Open vSwitch takes for the same (1.3.5 speaks of the first alone)."""
MPLS: Final = (0x8847, 0x8848)
PBB: Final = (0x88E7,)
TCP: Final = (6,)
UDP: Final = (17,)
SCTP: Final = (132,)
ICMP: Final = (1,)
ICMPV6: Final = (58,)
ND_ANY: Final = (135, 136)
ND_SOLICIT: Final = (135,)
ND_ADVERT: Final = (136,)


@attrs.frozen(eq=False)
class Field:
    """One matchable field.

    Two fields are the same only when they are the same object: the registry below is the one
    place where fields are made.

    :ivar name: the name ``ovs-ofctl`` and the OpenFlow specification use, in lower case.
    :ivar bits: how many bits a value has.
    :ivar shift: where its lowest bit lies in a flow key.
    :ivar oxm: ``(class, field)`` of the OpenFlow TLV, or None.
    :ivar nxm: ``(class, field)`` of the Nicira TLV, or None.
    :ivar maskable: whether a TLV of this field may carry a mask.
    :ivar nxm_maskable: the same for its Nicira TLV, which allows more.
    :ivar eth_types: a match on this field needs ``eth_type`` to be one of these; empty: any.
    :ivar ip_protos: likewise ``ip_proto``.
    :ivar icmp_types: likewise the type of ICMPv6.
    :ivar writable: whether ``set_field`` (or ``reg_load``) may change it.
    :ivar needs_vlan: a match on it needs ``vlan_vid`` to say that a tag is present.
    :ivar mask: all bits of this field, in place in a flow key.
    :ivar limit: the greatest value, ``2**bits - 1``.
    :ivar bytes: bytes of a value in a TLV: as many as it needs, but labels of 20 bits have 4.
    """

    name: str
    bits: int
    shift: int
    oxm: tuple[int, int] | None = None
    nxm: tuple[int, int] | None = None
    maskable: bool = False
    eth_types: tuple[int, ...] = ()
    ip_protos: tuple[int, ...] = ()
    icmp_types: tuple[int, ...] = ()
    writable: bool = True
    needs_vlan: bool = False
    nxm_maskable: bool = attrs.Factory(lambda self: self.maskable, takes_self=True)
    limit: int = attrs.field(init=False)
    mask: int = attrs.field(init=False)
    bytes: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "limit", (1 << self.bits) - 1)
        object.__setattr__(self, "mask", ((1 << self.bits) - 1) << self.shift)
        object.__setattr__(self, "bytes", 4 if self.bits == 20 else (self.bits + 7) // 8)

    def get(self, key: int) -> int:
        """The value of this field in the flow key ``key``."""
        return (key >> self.shift) & self.limit

    def put(self, key: int, value: int) -> int:
        """The flow key ``key`` with this field replaced by ``value`` (which must fit)."""
        return (key & ~self.mask) | (value << self.shift)

    def __repr__(self) -> str:
        return f"<Field {self.name}>"


class _Layout:
    """Hands out the bits of the flow key, from the lowest."""

    used = 0

    def __call__(self, bits: int) -> int:
        """Reserve ``bits`` bits, rounded up to whole bytes; the shift of the lowest."""
        shift = self.used
        self.used += (bits + 7) & ~7
        return shift


_storage = _Layout()


# The order of these lines is the layout, lowest bits first.
_IN_PORT = _storage(32)
_ETH_TYPE = _storage(16)
_VLAN_TCI = _storage(16)
_IP_PROTO = _storage(8)
_NW_TOS = _storage(8)  # ECN (2), DSCP (6)
_NW_SRC = _storage(32)
_NW_DST = _storage(32)
_TP_SRC = _storage(16)
_TP_DST = _storage(16)
_ETH_SRC = _storage(48)
_ETH_DST = _storage(48)
_NW_TTL = _storage(8)
_NW_FRAG = _storage(2)
_METADATA = _storage(64)
_TUNNEL_ID = _storage(64)
_ARP_OP = _storage(16)
_ARP_SHA = _storage(48)
_ARP_THA = _storage(48)
_MPLS = _storage(24)  # label (20), traffic class (3), bottom of stack (1)
_IPV6_SRC = _storage(128)
_IPV6_DST = _storage(128)
_IPV6_LABEL = _storage(20)
_IPV6_EXTHDR = _storage(9)
_ND_TARGET = _storage(128)
_TCP_FLAGS = _storage(12)
_PBB_ISID = _storage(24)
_IN_PHY_PORT = _storage(32)
_PKT_MARK = _storage(32)
_TUN_SRC = _storage(32)
_TUN_DST = _storage(32)
_REGS = [_storage(32) for _ in range(8)]

KEY_BITS: Final = _storage.used
"""Bits of a flow key."""


def _oxm(number: int) -> tuple[int, int]:
    return (OXM_BASIC, number)


# A table, to be read down its columns.
# fmt: off
# ruff: noqa: E501
IN_PORT = Field("in_port", 32, _IN_PORT, _oxm(0), writable=False)
IN_PHY_PORT = Field("in_phy_port", 32, _IN_PHY_PORT, _oxm(1), writable=False)
METADATA = Field("metadata", 64, _METADATA, _oxm(2), maskable=True, writable=False)
ETH_DST = Field("eth_dst", 48, _ETH_DST, _oxm(3), (NXM_0, 1), maskable=True)
ETH_SRC = Field("eth_src", 48, _ETH_SRC, _oxm(4), (NXM_0, 2), maskable=True)
ETH_TYPE = Field("eth_type", 16, _ETH_TYPE, _oxm(5), (NXM_0, 3))
VLAN_VID = Field("vlan_vid", 13, _VLAN_TCI, _oxm(6), maskable=True)
VLAN_PCP = Field("vlan_pcp", 3, _VLAN_TCI + 13, _oxm(7), needs_vlan=True)
VLAN_TCI = Field("vlan_tci", 16, _VLAN_TCI, None, (NXM_0, 4), maskable=True)
IP_DSCP = Field("ip_dscp", 6, _NW_TOS + 2, _oxm(8), eth_types=IP)
IP_ECN = Field("ip_ecn", 2, _NW_TOS, _oxm(9), (NXM_1, 28), eth_types=IP)
NW_TOS = Field("nw_tos", 8, _NW_TOS, None, (NXM_0, 5), eth_types=IP)
IP_PROTO = Field("ip_proto", 8, _IP_PROTO, _oxm(10), (NXM_0, 6), eth_types=IP)
IPV4_SRC = Field("ipv4_src", 32, _NW_SRC, _oxm(11), (NXM_0, 7), maskable=True, eth_types=IPV4)
IPV4_DST = Field("ipv4_dst", 32, _NW_DST, _oxm(12), (NXM_0, 8), maskable=True, eth_types=IPV4)
TCP_SRC = Field("tcp_src", 16, _TP_SRC, _oxm(13), (NXM_0, 9), eth_types=IP, ip_protos=TCP, nxm_maskable=True)
TCP_DST = Field("tcp_dst", 16, _TP_DST, _oxm(14), (NXM_0, 10), eth_types=IP, ip_protos=TCP, nxm_maskable=True)
UDP_SRC = Field("udp_src", 16, _TP_SRC, _oxm(15), (NXM_0, 11), eth_types=IP, ip_protos=UDP, nxm_maskable=True)
UDP_DST = Field("udp_dst", 16, _TP_DST, _oxm(16), (NXM_0, 12), eth_types=IP, ip_protos=UDP, nxm_maskable=True)
SCTP_SRC = Field("sctp_src", 16, _TP_SRC, _oxm(17), eth_types=IP, ip_protos=SCTP)
SCTP_DST = Field("sctp_dst", 16, _TP_DST, _oxm(18), eth_types=IP, ip_protos=SCTP)
ICMPV4_TYPE = Field("icmpv4_type", 8, _TP_SRC, _oxm(19), (NXM_0, 13), eth_types=IPV4, ip_protos=ICMP)
ICMPV4_CODE = Field("icmpv4_code", 8, _TP_DST, _oxm(20), (NXM_0, 14), eth_types=IPV4, ip_protos=ICMP)
ARP_OP = Field("arp_op", 16, _ARP_OP, _oxm(21), (NXM_0, 15), eth_types=ARP)
ARP_SPA = Field("arp_spa", 32, _NW_SRC, _oxm(22), (NXM_0, 16), maskable=True, eth_types=ARP)
ARP_TPA = Field("arp_tpa", 32, _NW_DST, _oxm(23), (NXM_0, 17), maskable=True, eth_types=ARP)
ARP_SHA = Field("arp_sha", 48, _ARP_SHA, _oxm(24), (NXM_1, 17), maskable=True, eth_types=ARP)
ARP_THA = Field("arp_tha", 48, _ARP_THA, _oxm(25), (NXM_1, 18), maskable=True, eth_types=ARP)
IPV6_SRC = Field("ipv6_src", 128, _IPV6_SRC, _oxm(26), (NXM_1, 19), maskable=True, eth_types=IPV6)
IPV6_DST = Field("ipv6_dst", 128, _IPV6_DST, _oxm(27), (NXM_1, 20), maskable=True, eth_types=IPV6)
IPV6_FLABEL = Field("ipv6_flabel", 20, _IPV6_LABEL, _oxm(28), (NXM_1, 27), maskable=True, eth_types=IPV6)
ICMPV6_TYPE = Field("icmpv6_type", 8, _TP_SRC, _oxm(29), (NXM_1, 21), eth_types=IPV6, ip_protos=ICMPV6)
ICMPV6_CODE = Field("icmpv6_code", 8, _TP_DST, _oxm(30), (NXM_1, 22), eth_types=IPV6, ip_protos=ICMPV6)
IPV6_ND_TARGET = Field("ipv6_nd_target", 128, _ND_TARGET, _oxm(31), (NXM_1, 23), nxm_maskable=True,
                       eth_types=IPV6, ip_protos=ICMPV6, icmp_types=ND_ANY)
IPV6_ND_SLL = Field("ipv6_nd_sll", 48, _ARP_SHA, _oxm(32), (NXM_1, 24), nxm_maskable=True,
                    eth_types=IPV6, ip_protos=ICMPV6, icmp_types=ND_SOLICIT)
IPV6_ND_TLL = Field("ipv6_nd_tll", 48, _ARP_THA, _oxm(33), (NXM_1, 25), nxm_maskable=True,
                    eth_types=IPV6, ip_protos=ICMPV6, icmp_types=ND_ADVERT)
MPLS_LABEL = Field("mpls_label", 20, _MPLS, _oxm(34), eth_types=MPLS)
MPLS_TC = Field("mpls_tc", 3, _MPLS + 20, _oxm(35), eth_types=MPLS)
MPLS_BOS = Field("mpls_bos", 1, _MPLS + 23, _oxm(36), eth_types=MPLS)
PBB_ISID = Field("pbb_isid", 24, _PBB_ISID, _oxm(37), maskable=True, eth_types=PBB)
TUNNEL_ID = Field("tunnel_id", 64, _TUNNEL_ID, _oxm(38), (NXM_1, 16), maskable=True)
IPV6_EXTHDR = Field("ipv6_exthdr", 9, _IPV6_EXTHDR, _oxm(39), maskable=True, eth_types=IPV6, writable=False)

# Fields which only Nicira's extensible match has.
NX_IN_PORT = Field("nx_in_port", 16, _IN_PORT, None, (NXM_0, 0), writable=False)
NW_FRAG = Field("nw_frag", 2, _NW_FRAG, None, (NXM_1, 26), maskable=True, eth_types=IP, writable=False)
NW_TTL = Field("nw_ttl", 8, _NW_TTL, None, (NXM_1, 29), eth_types=IP)
TUN_SRC = Field("tun_src", 32, _TUN_SRC, None, (NXM_1, 31), maskable=True)
TUN_DST = Field("tun_dst", 32, _TUN_DST, None, (NXM_1, 32), maskable=True)
PKT_MARK = Field("pkt_mark", 32, _PKT_MARK, None, (NXM_1, 33), maskable=True)
TCP_FLAGS = Field("tcp_flags", 12, _TCP_FLAGS, None, (NXM_1, 34), maskable=True, eth_types=IP, ip_protos=TCP,
                  writable=False)
REGS = tuple(Field(f"reg{i}", 32, _REGS[i], None, (NXM_1, i), maskable=True) for i in range(8))
# fmt: on

FIELDS: Final[dict[str, Field]] = {
    field.name: field for field in list(globals().values()) if isinstance(field, Field)
} | {field.name: field for field in REGS}
"""Every field by name."""

BY_OXM: Final[dict[tuple[int, int], Field]] = {f.oxm: f for f in FIELDS.values() if f.oxm}
"""Every field that has an OpenFlow TLV, by class and field number."""

BY_NXM: Final[dict[tuple[int, int], Field]] = {f.nxm: f for f in FIELDS.values() if f.nxm}
"""Every field that has a Nicira TLV, by class and field number."""

OXM_FIELDS: Final = tuple(sorted(BY_OXM.values(), key=lambda f: f.oxm or (0, 0)))
"""The fields of OpenFlow 1.3 in the order of their numbers."""

VLAN_PRESENT: Final = 0x1000
"""The bit of ``vlan_vid`` and ``vlan_tci`` that says there is a tag (``OFPVID_PRESENT``)."""
