"""Flow keys to frames: the opposite of :mod:`agent.packet.flowkey`.

For tests and for tools: what a driver's test sends, what a packet-out carries, what ``trace`` puts
in.  The frame is the simplest that has the given flow key, with right lengths and checksums, like
``ovs-ofctl compose-packet`` makes.

Not for the forwarding path, which never builds a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
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
    IP,
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
    MPLS_BOS,
    MPLS_LABEL,
    MPLS_TC,
    NW_FRAG,
    NW_TOS,
    NW_TTL,
    PBB_ISID,
    TCP_DST,
    TCP_FLAGS,
    TCP_SRC,
    VLAN_PRESENT,
    VLAN_TCI,
)
from agent.openflow.match import Match
from agent.packet import extension
from agent.packet.checksum import internet_checksum
from agent.packet.complete import with_checksum
from agent.packet.layers import locate
from agent.packet.protocols import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_NONE,
    ETH_TYPE_PBB,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021Q,
    ICMPV6_ND_ADVERT,
    ICMPV6_ND_SOLICIT,
    IP_HEADER_LEN,
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_HOPOPTS,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_NONE,
    IPPROTO_ROUTING,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    MPLS_TYPES,
    ND_OPT_SOURCE_LINKADDR,
    ND_OPT_TARGET_LINKADDR,
    NW_FRAG_ANY,
    NW_FRAG_LATER,
)

DEFAULT_TTL: Final = 64
"""TTL of a frame made from a match that does not ask for one."""
MPLS_TTL: Final = 64
"""TTL of MPLS shims, which no flow key holds."""
LATER_OFFSET: Final = 100
"""Fragment offset, in units of eight bytes, of a fragment that is not the first."""
_LLC: Final = b"\x42\x42\x03"
"""LLC of the spanning tree protocol: a frame that has no Ethernet type."""

_u16 = Struct("!H").pack
_u32 = Struct("!I").pack
_ipv4 = Struct("!BBHHHBBHII").pack
_ipv6 = Struct("!IHBB16s16s").pack
_arp = Struct("!HHBBH6sI6sI").pack
_udp = Struct("!HHHH").pack
_tcp = Struct("!HHIIHHHH").pack
_sctp = Struct("!HHII").pack


def compose(flow: int | Match, payload: bytes = b"") -> bytes:
    """A frame which has the flow key ``flow``, or which is matched by it.

    Not heeded are the bits of ``ipv6_exthdr`` that say that headers are repeated or out of order
    (``UNREP``, ``UNSEQ``), and fields that are no part of a frame.

    :param flow: a flow key; or a match, whose fields that are not matched are zero, but for the
        TTL, which is then 64, and the protocol of IPv6, which is UDP.
    :param payload: what follows the innermost header that is made.
    """
    key = _chosen(flow) if isinstance(flow, Match) else flow
    header = ETH_DST.get(key).to_bytes(6, "big") + ETH_SRC.get(key).to_bytes(6, "big")
    tci = VLAN_TCI.get(key)
    if tci & VLAN_PRESENT:
        header += _u16(ETH_TYPE_VLAN_8021Q) + _u16(tci & ~VLAN_PRESENT)
    eth_type = ETH_TYPE.get(key)
    if eth_type == ETH_TYPE_NONE:
        body = _LLC + payload
        return header + _u16(len(body)) + body
    make = _MAKERS.get(eth_type)
    if make is not None:
        payload = make(key, payload)
    elif eth_type in MPLS_TYPES:
        payload = _mpls(key) + payload
    data = header + _u16(eth_type) + payload
    layers = locate(data)
    return with_checksum(data, layers) if layers.l4 >= 0 and not layers.frag else data


def _chosen(match: Match) -> int:
    """A flow key that ``match`` matches, of a packet that is fit to be forwarded."""
    key = match.value
    if ETH_TYPE.get(key) in IP and not match.mask & NW_TTL.mask:
        key = NW_TTL.put(key, DEFAULT_TTL)
    if ETH_TYPE.get(key) == ETH_TYPE_IPV6 and not match.mask & IP_PROTO.mask:
        # Zero would be an extension header.
        exthdr = IPV6_EXTHDR.get(key)
        proto = IPPROTO_NONE if exthdr & extension.NONEXT else IPPROTO_UDP
        key = IP_PROTO.put(key, IPPROTO_ESP if exthdr & extension.ESP else proto)
    return key


def _make_arp(key: int, payload: bytes) -> bytes:
    """An ARP packet for IPv4 over Ethernet."""
    sha, tha = ARP_SHA.get(key).to_bytes(6, "big"), ARP_THA.get(key).to_bytes(6, "big")
    op, spa, tpa = ARP_OP.get(key), ARP_SPA.get(key), ARP_TPA.get(key)
    return _arp(1, ETH_TYPE_IP, 6, 4, op, sha, spa, tha, tpa) + payload


def _mpls(key: int) -> bytes:
    """The outer MPLS shim; one with the bottom bit follows where it is not the bottom."""
    bos = MPLS_BOS.get(key)
    shim = MPLS_LABEL.get(key) << 12 | MPLS_TC.get(key) << 9 | bos << 8 | MPLS_TTL
    return _u32(shim) + (b"" if bos else _u32(0x100 | MPLS_TTL))


def _make_pbb(key: int, payload: bytes) -> bytes:
    """The I-TAG, and a customer's frame between the same stations."""
    addresses = ETH_DST.get(key).to_bytes(6, "big") + ETH_SRC.get(key).to_bytes(6, "big")
    return _u32(PBB_ISID.get(key)) + addresses + _u16(len(payload)) + payload


def _make_ipv4(key: int, payload: bytes) -> bytes:
    """An IPv4 packet."""
    frag = NW_FRAG.get(key)
    fragment = 0x2000 if frag & NW_FRAG_ANY else 0
    if frag & NW_FRAG_LATER:
        fragment |= LATER_OFFSET
    proto = IP_PROTO.get(key)
    payload = _make_l4(key, proto, payload)
    tos, total, ttl = NW_TOS.get(key), IP_HEADER_LEN + len(payload), NW_TTL.get(key)
    src, dst = IPV4_SRC.get(key), IPV4_DST.get(key)
    header = _ipv4(0x45, tos, total, 0, fragment, ttl, proto, 0, src, dst)
    return header[:10] + _u16(internet_checksum(header)) + header[12:] + payload


def _make_ipv6(key: int, payload: bytes) -> bytes:
    """An IPv6 packet with the extension headers its key tells of, in their proper order."""
    frag = NW_FRAG.get(key)
    exthdr = IPV6_EXTHDR.get(key) | (extension.FRAG if frag else 0)
    following = IP_PROTO.get(key)
    payload = _make_l4(key, following, payload)
    if frag & NW_FRAG_LATER:
        # The key says 44, of the fragment header; what that one names cannot be matched.
        following = IPPROTO_UDP
    chain = b""
    # From the last to the first, for each names the next.
    for bit, number in (
        (extension.AUTH, IPPROTO_AH),
        (extension.FRAG, IPPROTO_FRAGMENT),
        (extension.ROUTER, IPPROTO_ROUTING),
        (extension.DEST, IPPROTO_DSTOPTS),
        (extension.HOP, IPPROTO_HOPOPTS),
    ):
        if exthdr & bit:
            chain = _extension(number, following, frag) + chain
            following = number
    word = 6 << 28 | NW_TOS.get(key) << 20 | IPV6_FLABEL.get(key)
    src, dst = IPV6_SRC.get(key).to_bytes(16, "big"), IPV6_DST.get(key).to_bytes(16, "big")
    length = len(chain) + len(payload)
    return _ipv6(word, length, following, NW_TTL.get(key), src, dst) + chain + payload


def _extension(number: int, following: int, frag: int) -> bytes:
    """One extension header, as short as it can be."""
    if number == IPPROTO_AH:
        return bytes((following, 4)) + bytes(22)
    if number == IPPROTO_FRAGMENT:
        offset = LATER_OFFSET << 3 if frag & NW_FRAG_LATER else 0
        return bytes((following, 0)) + _u16(offset | (1 if frag else 0)) + bytes(4)
    if number == IPPROTO_ROUTING:
        return bytes((following, 0)) + bytes(6)
    # Options: one PadN fills the header.
    return bytes((following, 0, 1, 4)) + bytes(4)


def _make_l4(key: int, proto: int, payload: bytes) -> bytes:
    """A transport header with a checksum of zero, and what follows it."""
    if NW_FRAG.get(key) & NW_FRAG_LATER:
        return payload
    src, dst = TCP_SRC.get(key), TCP_DST.get(key)
    if proto == IPPROTO_TCP:
        return _tcp(src, dst, 0, 0, 5 << 12 | TCP_FLAGS.get(key), 0, 0, 0) + payload
    if proto == IPPROTO_UDP:
        return _udp(src, dst, 8 + len(payload), 0) + payload
    if proto == IPPROTO_SCTP:
        return _sctp(src, dst, 0, 0) + payload
    if proto == IPPROTO_ICMP:
        return bytes((src & 0xFF, dst & 0xFF)) + bytes(6) + payload
    if proto == IPPROTO_ICMPV6:
        kind = src & 0xFF
        header = bytes((kind, dst & 0xFF)) + bytes(6)
        if kind in (ICMPV6_ND_SOLICIT, ICMPV6_ND_ADVERT) and not dst & 0xFF:
            header += IPV6_ND_TARGET.get(key).to_bytes(16, "big")
            for option, field in (
                (ND_OPT_SOURCE_LINKADDR, IPV6_ND_SLL),
                (ND_OPT_TARGET_LINKADDR, IPV6_ND_TLL),
            ):
                if field.get(key):
                    header += bytes((option, 1)) + field.get(key).to_bytes(6, "big")
        return header + payload
    return payload


_MAKERS: Final[dict[int, Callable[[int, bytes], bytes]]] = {
    ETH_TYPE_IP: _make_ipv4,
    ETH_TYPE_IPV6: _make_ipv6,
    ETH_TYPE_ARP: _make_arp,
    ETH_TYPE_RARP: _make_arp,
    ETH_TYPE_PBB: _make_pbb,
}
"""What follows the Ethernet type, for the types that are known."""
