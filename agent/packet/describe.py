"""Flow keys as text, the way ``ovs-ofctl`` and ``ovs-appctl`` print the flow of a packet.

For logs, traces and the output of tools.  Text about rules is not made here but where rules are.
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET6, inet_ntop
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
)
from agent.packet.protocols import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_PBB,
    ICMPV6_ND_ADVERT,
    ICMPV6_ND_SOLICIT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    MPLS_TYPES,
    NW_FRAG_LATER,
)

_ETH_NAMES: Final = {
    ETH_TYPE_IP: "ip",
    ETH_TYPE_IPV6: "ipv6",
    ETH_TYPE_ARP: "arp",
    ETH_TYPE_MPLS: "mpls",
    ETH_TYPE_MPLS_MCAST: "mplsm",
}
_IP_NAMES: Final = {
    (ETH_TYPE_IP, IPPROTO_ICMP): "icmp",
    (ETH_TYPE_IP, IPPROTO_TCP): "tcp",
    (ETH_TYPE_IP, IPPROTO_UDP): "udp",
    (ETH_TYPE_IP, IPPROTO_SCTP): "sctp",
    (ETH_TYPE_IPV6, IPPROTO_ICMPV6): "icmp6",
    (ETH_TYPE_IPV6, IPPROTO_TCP): "tcp6",
    (ETH_TYPE_IPV6, IPPROTO_UDP): "udp6",
    (ETH_TYPE_IPV6, IPPROTO_SCTP): "sctp6",
}
_PORT_NAMES: Final = {0xFFFFFFFD: "CONTROLLER", 0xFFFFFFFE: "LOCAL", 0xFFFFFFFF: "ANY"}
_FRAGMENTS: Final = ("no", "first", "<error>", "later")
_FLAGS: Final = dict(enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")))


def describe(key: int) -> str:
    """The fields which a packet with this flow key has, as ``name=value`` with commas between."""
    eth_type, proto = ETH_TYPE.get(key), IP_PROTO.get(key)
    name = _IP_NAMES.get((eth_type, proto))
    parts = list(_pipeline(key))
    parts.append(f"in_port={_PORT_NAMES.get(IN_PORT.get(key), IN_PORT.get(key))}")
    if VLAN_TCI.get(key) & VLAN_PRESENT:
        parts.append(f"dl_vlan={VLAN_VID.get(key) & 0xFFF}")
        parts.append(f"dl_vlan_pcp={VLAN_PCP.get(key)}")
    else:
        parts.append(f"vlan_tci={VLAN_TCI.get(key):#06x}")
    parts.append(f"dl_src={mac(ETH_SRC.get(key))}")
    parts.append(f"dl_dst={mac(ETH_DST.get(key))}")
    if eth_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        parts.extend(_addresses(key, eth_type))
        if name is None:
            parts.append(f"nw_proto={proto}")
        parts.append(f"nw_tos={NW_TOS.get(key) & 0xFC}")
        parts.append(f"nw_ecn={IP_ECN.get(key)}")
        parts.append(f"nw_ttl={NW_TTL.get(key)}")
        parts.append(f"nw_frag={_FRAGMENTS[NW_FRAG.get(key)]}")
        if name is not None and not NW_FRAG.get(key) & NW_FRAG_LATER:
            parts.extend(_transport(key, proto))
    elif eth_type == ETH_TYPE_ARP:
        parts.append(f"arp_spa={ipv4(ARP_SPA.get(key))}")
        parts.append(f"arp_tpa={ipv4(ARP_TPA.get(key))}")
        parts.append(f"arp_op={ARP_OP.get(key)}")
        parts.append(f"arp_sha={mac(ARP_SHA.get(key))}")
        parts.append(f"arp_tha={mac(ARP_THA.get(key))}")
    elif eth_type in MPLS_TYPES:
        parts.append(f"mpls_label={MPLS_LABEL.get(key)}")
        parts.append(f"mpls_tc={MPLS_TC.get(key)}")
        parts.append(f"mpls_bos={MPLS_BOS.get(key)}")
    else:
        parts.append(f"dl_type={eth_type:#06x}")
        if eth_type == ETH_TYPE_PBB:
            parts.append(f"pbb_isid={PBB_ISID.get(key):#x}")
    name = name or _ETH_NAMES.get(eth_type)
    return ",".join([name, *parts] if name else parts)


def mac(address: int) -> str:
    """A hardware address as text."""
    return address.to_bytes(6, "big").hex(":")


def ipv4(address: int) -> str:
    """An IPv4 address as text."""
    return ".".join(map(str, address.to_bytes(4, "big")))


def ipv6(address: int) -> str:
    """An IPv6 address as text."""
    return inet_ntop(AF_INET6, address.to_bytes(16, "big"))


def tcp_flags(flags: int) -> str:
    """Flags of TCP by their names; those which have none as numbers in brackets."""
    names = [_FLAGS.get(bit) or f"[{1 << bit:x}]" for bit in range(12) if flags >> bit & 1]
    return "|".join(names) or "0"


def _pipeline(key: int) -> Iterator[str]:
    """The fields that belong to no header, where they are not zero."""
    for field in (PKT_MARK, *REGS, METADATA):
        if key & field.mask:
            yield f"{field.name}={field.get(key):#x}"
    if key & TUNNEL_ID.mask:
        yield f"tun_id={TUNNEL_ID.get(key):#x}"
    for field in (TUN_SRC, TUN_DST):
        if key & field.mask:
            yield f"{field.name}={ipv4(field.get(key))}"


def _addresses(key: int, eth_type: int) -> Iterator[str]:
    """The fields of IPv4 or IPv6 that are not the same in both."""
    if eth_type == ETH_TYPE_IP:
        yield f"nw_src={ipv4(IPV4_SRC.get(key))}"
        yield f"nw_dst={ipv4(IPV4_DST.get(key))}"
    else:
        yield f"ipv6_src={ipv6(IPV6_SRC.get(key))}"
        yield f"ipv6_dst={ipv6(IPV6_DST.get(key))}"
        yield f"ipv6_label={IPV6_FLABEL.get(key):#07x}"
        if key & IPV6_EXTHDR.mask:
            yield f"ipv6_exthdr={IPV6_EXTHDR.get(key):#x}"


def _transport(key: int, proto: int) -> Iterator[str]:
    """The fields of the transport header and of neighbour discovery."""
    if proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        kind, code = ICMPV4_TYPE.get(key), ICMPV4_CODE.get(key)
        yield f"icmp_type={kind}"
        yield f"icmp_code={code}"
        if proto == IPPROTO_ICMPV6 and kind in (ICMPV6_ND_SOLICIT, ICMPV6_ND_ADVERT) and not code:
            yield f"nd_target={ipv6(IPV6_ND_TARGET.get(key))}"
            yield f"nd_sll={mac(IPV6_ND_SLL.get(key))}"
            yield f"nd_tll={mac(IPV6_ND_TLL.get(key))}"
        return
    yield f"tp_src={TCP_SRC.get(key)}"
    yield f"tp_dst={TCP_DST.get(key)}"
    if proto == IPPROTO_TCP:
        yield f"tcp_flags={tcp_flags(TCP_FLAGS.get(key))}"
