"""Frames to flow keys: the first thing that happens to every packet.

A plain frame of TCP or UDP, over IPv4 without options or fragments (with at most one VLAN tag) or
over IPv6 without extension headers, is read by one ``struct`` call, its fields are put into the
order of the flow key by another, and ``int.from_bytes`` makes the key of that: about half a
microsecond.  Building the same number with shifts costs twice that, for each one copies the number.
Everything else goes through :func:`agent.packet.layers.locate`.

Which bytes mean what is as in Open vSwitch's ``flow_extract``; a header which is not whole leaves
its fields zero.  Nothing is raised, whatever the bytes are.

Performance-critical; ``bench/packet.py`` measures it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from agent.openflow.fields import (
    ARP_OP,
    ARP_SHA,
    ARP_THA,
    IPV6_EXTHDR,
    IPV6_FLABEL,
    IPV6_ND_SLL,
    IPV6_ND_TARGET,
    IPV6_ND_TLL,
    IPV6_SRC,
    MPLS_BOS,
    MPLS_LABEL,
    MPLS_TC,
    NW_FRAG,
    PBB_ISID,
    TCP_FLAGS,
    VLAN_PRESENT,
)
from agent.packet.layers import Layers, locate
from agent.packet.protocols import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    NW_FRAG_ANY,
    VLAN_TYPES,
)

# Addresses, type, then an IPv4 header without options and the ports behind it.
_plain = Struct("!12sHBBHxxHBBxxIIHH").unpack_from
# The same behind one VLAN tag: tag control information first, at offset 14.
_tagged = Struct("!HHBBHxxHBBxxIIHH").unpack_from
# An IPv6 header and the ports behind it, at offset 14.
_plain_ipv6 = Struct("!IHBB16s16sHH").unpack_from
# The low bits of a flow key, highest first: nw_ttl, eth_dst and eth_src, tp_dst, tp_src, nw_dst,
# nw_src, nw_tos, ip_proto, vlan_tci, eth_type, in_port.
_join = Struct("!B12sHHIIBBHHI").pack
_from_bytes = int.from_bytes

_ipv4 = Struct("!xBxxxxxxBxxxII").unpack_from
_ipv6 = Struct("!IxxxB16s16s").unpack_from
_arp = Struct("!6xH6sI6sI").unpack_from
_u16 = Struct("!H").unpack_from
_ports = Struct("!HH").unpack_from
_u32 = Struct("!I").unpack_from

_PLAIN_LEN: Final = 38
_PLAIN_IPV6_LEN: Final = 58
_FRAG_BITS: Final = 0x3FFF
"""More-fragments and the fragment offset of IPv4."""

_ICMPS: Final = frozenset((IPPROTO_ICMP, IPPROTO_ICMPV6))

# Shifts of what lies above the low bits.
_FRAG: Final = NW_FRAG.shift
_TCP_FLAGS: Final = TCP_FLAGS.shift
_IPV6: Final = IPV6_SRC.shift
_IPV6_LABEL: Final = IPV6_FLABEL.shift


def flow_key(data: bytes, in_port: int, fragment_ports: bool = True) -> int:
    """The flow key of the frame ``data``; never raises, whatever the bytes are.

    Fields that are no part of a frame (metadata, tunnel, registers) are zero; the caller adds them.

    :param data: from the destination address on, without preamble and frame check sequence.  It
        must not change while it is used, so no view of a buffer that is filled again.
    :param in_port: where it came in; 32 bits.
    :param fragment_ports: whether the transport fields of a *first* fragment can be matched
        (Nicira's ``OFPC_FRAG_NX_MATCH``).  False: they are zero in all fragments alike
        (``OFPC_FRAG_NORMAL``).  In later fragments they are zero anyhow.
    """
    size = len(data)
    if size >= _PLAIN_LEN:
        addresses, eth_type, ihl, tos, total, frag, ttl, proto, src, dst, tp_src, tp_dst = _plain(
            data
        )
        tci = 0
        l3 = 14
        if eth_type in VLAN_TYPES and size >= _PLAIN_LEN + 4:
            tci, eth_type, ihl, tos, total, frag, ttl, proto, src, dst, tp_src, tp_dst = _tagged(
                data, 14
            )
            tci |= VLAN_PRESENT
            l3 = 18
        if eth_type == ETH_TYPE_IP:
            if ihl & 15 == 5 and not frag & _FRAG_BITS and total <= size - l3:
                flags = -1
                if proto == IPPROTO_UDP:
                    if total >= 28:
                        flags = 0
                elif proto == IPPROTO_TCP and total >= 40:
                    (offset_flags,) = _u16(data, l3 + 32)
                    if 20 <= (offset_flags >> 12) * 4 <= total - 20:
                        flags = offset_flags & 0xFFF
                if flags >= 0:
                    low = _join(
                        ttl, addresses, tp_dst, tp_src, dst, src, tos, proto, tci, eth_type, in_port
                    )
                    key: int = _from_bytes(low, "big")
                    return key | flags << _TCP_FLAGS if flags else key
        elif eth_type == ETH_TYPE_IPV6 and not tci and size >= _PLAIN_IPV6_LEN:
            key = _plain_ipv6_key(data, size, addresses, in_port)
            if key:
                return key
    return key_of(data, locate(data), in_port, fragment_ports)


def _plain_ipv6_key(data: bytes, size: int, addresses: bytes, in_port: int) -> int:
    """The flow key of a plain frame of TCP or UDP over IPv6; 0 when it is not that plain."""
    word, payload, proto, ttl, src, dst, tp_src, tp_dst = _plain_ipv6(data, 14)
    flags = 0
    if payload > size - 54:
        return 0
    if proto == IPPROTO_TCP and payload >= 20:
        (offset_flags,) = _u16(data, 66)
        if not 20 <= (offset_flags >> 12) * 4 <= payload:
            return 0
        flags = offset_flags & 0xFFF
    elif proto != IPPROTO_UDP or payload < 8:
        return 0
    tos = word >> 20 & 0xFF
    low = _join(ttl, addresses, tp_dst, tp_src, 0, 0, tos, proto, 0, ETH_TYPE_IPV6, in_port)
    key: int = _from_bytes(low, "big") | _from_bytes(dst + src, "big") << _IPV6
    key |= flags << _TCP_FLAGS | (word & 0xFFFFF) << _IPV6_LABEL
    return key


def key_of(data: bytes, layers: Layers, in_port: int, fragment_ports: bool = True) -> int:
    """The flow key of a frame whose layers have been found; see :func:`flow_key`."""
    if layers.l3 < 0:
        return in_port
    ttl = tos = proto = src = dst = tp_src = tp_dst = high = 0
    l3 = layers.l3
    if layers.ipv4 >= 0:
        tos, ttl, src, dst = _ipv4(data, l3)
        proto = layers.proto
    elif layers.ipv6 >= 0:
        word, ttl, source, destination = _ipv6(data, l3)
        high = _from_bytes(destination + source, "big") << _IPV6
        if layers.chain_whole:
            tos = word >> 20 & 0xFF
            proto = layers.proto
            high |= (word & 0xFFFFF) << _IPV6_LABEL | layers.exthdr << IPV6_EXTHDR.shift
        else:
            ttl = 0
    elif layers.arp >= 0:
        arp_op, sha, src, tha, dst = _arp(data, l3)
        high = (
            arp_op << ARP_OP.shift
            | _from_bytes(sha, "big") << ARP_SHA.shift
            | _from_bytes(tha, "big") << ARP_THA.shift
        )
    elif layers.mpls >= 0:
        (shim,) = _u32(data, l3)
        high = (
            (shim >> 12) << MPLS_LABEL.shift
            | (shim >> 9 & 7) << MPLS_TC.shift
            | (shim >> 8 & 1) << MPLS_BOS.shift
        )
    elif layers.pbb >= 0:
        high = _from_bytes(data[l3 + 1 : l3 + 4], "big") << PBB_ISID.shift
    if layers.frag:
        high |= layers.frag << _FRAG
    l4 = layers.l4
    if l4 >= 0 and (fragment_ports or not layers.frag & NW_FRAG_ANY):
        if proto == IPPROTO_TCP:
            if 20 <= (data[l4 + 12] >> 4) * 4 <= layers.end - l4:
                tp_src, tp_dst = _ports(data, l4)
                high |= (_u16(data, l4 + 12)[0] & 0xFFF) << _TCP_FLAGS
        elif proto in _ICMPS:
            tp_src, tp_dst = data[l4], data[l4 + 1]
            if layers.nd_target >= 0:
                high |= _nd_fields(data, layers)
        else:
            tp_src, tp_dst = _ports(data, l4)
    tci = _u16(data, 14)[0] | VLAN_PRESENT if layers.vlans else 0
    eth_type = layers.eth_type
    low = _join(ttl, data[:12], tp_dst, tp_src, dst, src, tos, proto, tci, eth_type, in_port)
    return _from_bytes(low, "big") | high


def _nd_fields(data: bytes, layers: Layers) -> int:
    """The fields of neighbour discovery, in place in a flow key."""
    at = layers.nd_target
    fields = _from_bytes(data[at : at + 16], "big") << IPV6_ND_TARGET.shift
    at = layers.nd_sll
    if at >= 0:
        fields |= _from_bytes(data[at : at + 6], "big") << IPV6_ND_SLL.shift
    at = layers.nd_tll
    if at >= 0:
        fields |= _from_bytes(data[at : at + 6], "big") << IPV6_ND_TLL.shift
    return fields
