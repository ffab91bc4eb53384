"""Flow keys as text, the way ``ovs-ofctl`` and ``ovs-appctl`` print the flow of a packet.

For logs, traces and the output of tools.  The flow of a packet has a value for every field of its
headers, zero or not; text about rules, which name some fields, is made by
:mod:`agent.openflow.text`, where the form of values comes from, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.openflow.fields import (
    ARP_OP,
    ARP_SHA,
    ARP_SPA,
    ARP_THA,
    ARP_TPA,
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    ICMPV4_CODE,
    ICMPV4_TYPE,
    IN_PORT,
    IP_ECN,
    IP_PROTO,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_EXTHDR,
    IPV6_FLABEL,
    IPV6_ND_SLL,
    IPV6_ND_TARGET,
    IPV6_ND_TLL,
    IPV6_SRC,
    METADATA,
    MPLS_BOS,
    MPLS_LABEL,
    MPLS_TC,
    NW_FRAG,
    NW_TOS,
    NW_TTL,
    PBB_ISID,
    PKT_MARK,
    REGS,
    TCP_DST,
    TCP_FLAGS,
    TCP_SRC,
    TUN_DST,
    TUN_SRC,
    TUNNEL_ID,
    VLAN_PCP,
    VLAN_PRESENT,
    VLAN_TCI,
    VLAN_VID,
    Field,
)
from agent.openflow.text import format_value
from agent.packet.protocols import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_PBB,
    ETH_TYPE_RARP,
    ICMPV6_ND_ADVERT,
    ICMPV6_ND_SOLICIT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    NW_FRAG_LATER,
)

_NAMES: Final = {
    ETH_TYPE_IP: "ip",
    ETH_TYPE_IPV6: "ipv6",
    ETH_TYPE_ARP: "arp",
    ETH_TYPE_RARP: "rarp",
    ETH_TYPE_MPLS: "mpls",
    ETH_TYPE_MPLS_MCAST: "mplsm",
}
_TRANSPORTS: Final = {
    (ETH_TYPE_IP, IPPROTO_ICMP): "icmp",
    (ETH_TYPE_IP, IPPROTO_TCP): "tcp",
    (ETH_TYPE_IP, IPPROTO_UDP): "udp",
    (ETH_TYPE_IP, IPPROTO_SCTP): "sctp",
    (ETH_TYPE_IPV6, IPPROTO_ICMPV6): "icmp6",
    (ETH_TYPE_IPV6, IPPROTO_TCP): "tcp6",
    (ETH_TYPE_IPV6, IPPROTO_UDP): "udp6",
    (ETH_TYPE_IPV6, IPPROTO_SCTP): "sctp6",
}
_PIPELINE: Final = (
    ("pkt_mark", PKT_MARK),
    *((register.name, register) for register in REGS),
    ("metadata", METADATA),
    ("tun_id", TUNNEL_ID),
    ("tun_src", TUN_SRC),
    ("tun_dst", TUN_DST),
)
_MPLS: Final = (("mpls_label", MPLS_LABEL), ("mpls_tc", MPLS_TC), ("mpls_bos", MPLS_BOS))
_ARP: Final = (
    ("arp_spa", ARP_SPA),
    ("arp_tpa", ARP_TPA),
    ("arp_op", ARP_OP),
    ("arp_sha", ARP_SHA),
    ("arp_tha", ARP_THA),
)
_FIELDS: Final = {
    ETH_TYPE_IP: (("nw_src", IPV4_SRC), ("nw_dst", IPV4_DST)),
    ETH_TYPE_IPV6: (("ipv6_src", IPV6_SRC), ("ipv6_dst", IPV6_DST), ("ipv6_label", IPV6_FLABEL)),
    ETH_TYPE_ARP: _ARP,
    ETH_TYPE_RARP: _ARP,
    ETH_TYPE_MPLS: _MPLS,
    ETH_TYPE_MPLS_MCAST: _MPLS,
    ETH_TYPE_PBB: (("dl_type", ETH_TYPE), ("pbb_isid", PBB_ISID)),
}
"""The fields that packets of a type have, first the name that is printed."""
_ND: Final = (
    ("nd_target", IPV6_ND_TARGET),
    ("nd_sll", IPV6_ND_SLL),
    ("nd_tll", IPV6_ND_TLL),
)


def describe(key: int) -> str:
    """The fields which a packet with this flow key has, as ``name=value`` with commas between."""
    eth_type = ETH_TYPE.get(key)
    transport = _TRANSPORTS.get((eth_type, IP_PROTO.get(key)))
    parts = [
        transport or _NAMES.get(eth_type, ""),
        *(_say(key, name, field) for name, field in _PIPELINE if key & field.mask),
        _say(key, "in_port", IN_PORT),
    ]
    if VLAN_TCI.get(key) & VLAN_PRESENT:
        parts.append(f"dl_vlan={VLAN_VID.get(key) & ~VLAN_PRESENT}")
        parts.append(_say(key, "dl_vlan_pcp", VLAN_PCP))
    else:
        parts.append(_say(key, "vlan_tci", VLAN_TCI))
    parts.append(_say(key, "dl_src", ETH_SRC))
    parts.append(_say(key, "dl_dst", ETH_DST))
    fields = _FIELDS.get(eth_type, (("dl_type", ETH_TYPE),))
    parts.extend(_say(key, name, field) for name, field in fields)
    if eth_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        if key & IPV6_EXTHDR.mask:
            parts.append(_say(key, "ipv6_exthdr", IPV6_EXTHDR))
        if transport is None:
            parts.append(_say(key, "nw_proto", IP_PROTO))
        parts.append(f"nw_tos={NW_TOS.get(key) & 0xFC}")
        parts.append(_say(key, "nw_ecn", IP_ECN))
        parts.append(_say(key, "nw_ttl", NW_TTL))
        parts.append(_say(key, "nw_frag", NW_FRAG))
        if transport is not None and not NW_FRAG.get(key) & NW_FRAG_LATER:
            parts.extend(_transport(key))
    return ",".join(part for part in parts if part)


def _say(key: int, name: str, field: Field) -> str:
    """One field with its value."""
    return f"{name}={format_value(field, field.get(key))}"


def _transport(key: int) -> Iterator[str]:
    """The fields of the transport header and of neighbour discovery."""
    proto = IP_PROTO.get(key)
    if proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        yield _say(key, "icmp_type", ICMPV4_TYPE)
        yield _say(key, "icmp_code", ICMPV4_CODE)
        discovery = ICMPV4_TYPE.get(key) in (ICMPV6_ND_SOLICIT, ICMPV6_ND_ADVERT)
        if proto == IPPROTO_ICMPV6 and discovery and not ICMPV4_CODE.get(key):
            yield from (_say(key, name, field) for name, field in _ND)
        return
    yield _say(key, "tp_src", TCP_SRC)
    yield _say(key, "tp_dst", TCP_DST)
    if proto == IPPROTO_TCP:
        yield _say(key, "tcp_flags", TCP_FLAGS)
