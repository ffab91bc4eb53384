"""Where the headers of a frame begin.

One walk from the Ethernet header to layer 4, bounded at every step, that finds offsets and checks
lengths but reads no field which is not needed for that.  Both the flow key
(:mod:`agent.packet.flowkey`) and the rewriting of headers (:mod:`agent.packet.headers`) start from
its result, so that what can be matched and what can be written never disagree.

Any bytes are accepted.  A header that is not there whole is simply not found, as in Open vSwitch
(``miniflow_extract``): a frame cut short has fewer layers, never an exception.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import attrs

from agent.packet.extension import walk
from agent.packet.protocols import (
    ARP_HEADER_LEN,
    ETH_HEADER_LEN,
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_NONE,
    ETH_TYPE_PBB,
    ETH_TYPE_RARP,
    ICMPV6_ND_ADVERT,
    ICMPV6_ND_SOLICIT,
    IP_HEADER_LEN,
    IPPROTO_ICMPV6,
    IPV6_HEADER_LEN,
    L4_HEADER_LEN,
    MPLS_HEADER_LEN,
    MPLS_TYPES,
    ND_OPT_SOURCE_LINKADDR,
    ND_OPT_TARGET_LINKADDR,
    NW_FRAG_ANY,
    NW_FRAG_LATER,
    PBB_HEADER_LEN,
    VLAN_HEADER_LEN,
    VLAN_TYPES,
)

MAX_VLAN_TAGS: Final = 8
"""Tags beyond this are not looked behind: ``eth_type`` is then that of the next tag."""
MAX_ND_OPTIONS: Final = 32
"""Options of neighbour discovery beyond this are not looked at."""

_LLC_SNAP_ETHERNET: Final = b"\xaa\xaa\x03\x00\x00\x00"
"""LLC and SNAP headers of a frame whose type follows as in Ethernet II."""

_u16 = Struct("!H").unpack_from
_ipv4 = Struct("!BxHxxHxB").unpack_from
_arp = Struct("!HHBB").unpack_from
_ARP_ETHERNET_IPV4: Final = (1, ETH_TYPE_IP, 6, 4)


@attrs.define(eq=False)
class Layers:
    """Offsets into one frame, in bytes; -1 where there is no such header.

    :ivar vlans: number of VLAN tags.
    :ivar eth_type: the Ethernet type behind the tags, :data:`ETH_TYPE_NONE` for a frame of IEEE
        802.3 without SNAP, 0 when there is not even an Ethernet header.
    :ivar type_at: where ``eth_type`` is written.
    :ivar l3: what follows ``eth_type``.
    :ivar mpls: the outer MPLS shim.
    :ivar pbb: the tag control information of the I-TAG.
    :ivar arp: the ARP header, if it is one of IPv4 over Ethernet.
    :ivar ipv4: the IPv4 header.
    :ivar ipv6: the IPv6 header.
    :ivar chain_whole: the extension headers of IPv6 could be followed to their end.
    :ivar proto: the upper layer of IP.
    :ivar proto_at: where ``proto`` is written.
    :ivar frag: bits of ``nw_frag``.
    :ivar exthdr: bits of ``ipv6_exthdr``.
    :ivar routed: the transport checksum does not cover ``ipv6_dst``.
    :ivar payload: what IP carries, behind all its headers.
    :ivar l4: the transport header, if its fixed part is whole and it is of a known protocol.
    :ivar end: behind the last byte of the IP packet; what follows is padding.
    :ivar nd_target: the target address of neighbour discovery.
    :ivar nd_sll: the address in the option "source link-layer address".
    :ivar nd_tll: the address in the option "target link-layer address".
    """

    vlans: int = 0
    eth_type: int = 0
    type_at: int = -1
    l3: int = -1
    mpls: int = -1
    pbb: int = -1
    arp: int = -1
    ipv4: int = -1
    ipv6: int = -1
    chain_whole: bool = True
    proto: int = 0
    proto_at: int = -1
    frag: int = 0
    exthdr: int = 0
    routed: bool = False
    payload: int = -1
    l4: int = -1
    end: int = -1
    nd_target: int = -1
    nd_sll: int = -1
    nd_tll: int = -1


def locate(data: bytes) -> Layers:
    """Find the headers of the frame ``data``; never raises."""
    layers = Layers()
    size = len(data)
    if size < ETH_HEADER_LEN:
        return layers
    at = 12
    (eth_type,) = _u16(data, at)
    while eth_type in VLAN_TYPES and layers.vlans < MAX_VLAN_TAGS:
        if at + 2 + VLAN_HEADER_LEN > size:
            break
        layers.vlans += 1
        at += VLAN_HEADER_LEN
        (eth_type,) = _u16(data, at)
    if eth_type < ETH_TYPE_MIN:
        # IEEE 802.3: what was read is a length.
        if data[at + 2 : at + 8] == _LLC_SNAP_ETHERNET and at + 10 <= size:
            (snap_type,) = _u16(data, at + 8)
            if snap_type >= ETH_TYPE_MIN:
                layers.type_at, eth_type = at + 8, snap_type
            at += 8
        if layers.type_at < 0:
            layers.eth_type, layers.l3 = ETH_TYPE_NONE, at + 2
            return layers
    else:
        layers.type_at = at
    layers.eth_type, layers.l3 = eth_type, at + 2
    if eth_type == ETH_TYPE_IP:
        _locate_ipv4(layers, data, at + 2, size)
    elif eth_type == ETH_TYPE_IPV6:
        _locate_ipv6(layers, data, at + 2, size)
    elif eth_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        if at + 2 + ARP_HEADER_LEN <= size and _arp(data, at + 2) == _ARP_ETHERNET_IPV4:
            layers.arp = at + 2
    elif eth_type in MPLS_TYPES:
        if at + 2 + MPLS_HEADER_LEN <= size:
            layers.mpls = at + 2
    elif eth_type == ETH_TYPE_PBB and at + 2 + PBB_HEADER_LEN <= size:
        layers.pbb = at + 2
    return layers


def _locate_ipv4(layers: Layers, data: bytes, at: int, size: int) -> None:
    """Find IPv4 at ``at`` and what it carries."""
    if size - at < IP_HEADER_LEN:
        return
    version_length, total, fragment, proto = _ipv4(data, at)
    length = (version_length & 15) * 4
    if not IP_HEADER_LEN <= length <= total <= size - at:
        return
    layers.ipv4, layers.proto, layers.proto_at, layers.end = at, proto, at + 9, at + total
    if fragment & 0x3FFF:
        layers.frag = NW_FRAG_ANY | NW_FRAG_LATER if fragment & 0x1FFF else NW_FRAG_ANY
    _locate_l4(layers, data, at + length)


def _locate_ipv6(layers: Layers, data: bytes, at: int, size: int) -> None:
    """Find IPv6 at ``at``, its extension headers and what it carries."""
    if size - at < IPV6_HEADER_LEN:
        return
    (payload,) = _u16(data, at + 4)
    after = at + IPV6_HEADER_LEN
    if payload > size - after:
        return
    layers.ipv6, layers.end = at, after + payload
    chain = walk(data, data[at + 6], at + 6, after, layers.end)
    layers.chain_whole = chain.whole
    if chain.whole:
        layers.proto, layers.proto_at = chain.proto, chain.proto_at
        layers.frag, layers.exthdr, layers.routed = chain.frag, chain.exthdr, chain.routed
        _locate_l4(layers, data, chain.end)


def _locate_l4(layers: Layers, data: bytes, at: int) -> None:
    """Find the transport header at ``at``."""
    layers.payload = at
    length = L4_HEADER_LEN.get(layers.proto)
    if length is None or layers.frag & NW_FRAG_LATER or layers.end - at < length:
        return
    layers.l4 = at
    if (
        layers.proto == IPPROTO_ICMPV6
        and data[at] in (ICMPV6_ND_SOLICIT, ICMPV6_ND_ADVERT)
        and not data[at + 1]
    ):
        _locate_nd(layers, data, at)


def _locate_nd(layers: Layers, data: bytes, l4: int) -> None:
    """Find the target and the link-layer addresses of neighbour discovery.

    An option given twice makes all of them worthless, for nobody knows which one the hosts use.
    """
    end = layers.end
    at = l4 + 24
    if at > end:
        return
    source = target = -1
    for _ in range(MAX_ND_OPTIONS):
        if end - at < 8:
            break
        length = data[at + 1] * 8
        if not length or length > end - at:
            break
        if length == 8:
            if data[at] == ND_OPT_SOURCE_LINKADDR:
                if source >= 0 and any(data[source : source + 6]):
                    return
                source = at + 2
            elif data[at] == ND_OPT_TARGET_LINKADDR:
                if target >= 0 and any(data[target : target + 6]):
                    return
                target = at + 2
        at += length
    layers.nd_target, layers.nd_sll, layers.nd_tll = l4 + 8, source, target
