"""Writing changed fields of a flow key back into the frame, with every checksum kept right.

The action executor changes the flow key, which is one integer operation a field, and only when the
frame is sent are the headers written: once, however many fields have changed.  This module is that
once.

Checksums are brought up to date by difference (see :mod:`agent.packet.checksum`), so that the cost
does not grow with the frame and damage done before is not hidden.  A UDP checksum of zero means
that the sender made none, and stays zero: over IPv4 always, over IPv6 where RFC 6935 allows it.  A
checksum that comes out as zero is sent as 0xffff there.  The CRC32c of a *first fragment* of SCTP
cannot be brought up to date, for the rest of the message is not known: the receiver will drop it.

A field whose header is not in the frame is not written.

Performance-critical; ``bench/packet.py`` measures it.
"""

from __future__ import annotations

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
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_FLABEL,
    IPV6_ND_SLL,
    IPV6_ND_TARGET,
    IPV6_ND_TLL,
    IPV6_SRC,
    MPLS_BOS,
    MPLS_LABEL,
    MPLS_TC,
    NW_TOS,
    NW_TTL,
    PBB_ISID,
    TCP_DST,
    TCP_SRC,
    VLAN_TCI,
)
from agent.packet.checksum import crc32c_updated, updated
from agent.packet.layers import Layers
from agent.packet.protocols import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

ETHERNET: Final = ETH_DST.mask | ETH_SRC.mask
ARP: Final = ARP_OP.mask | ARP_SPA.mask | ARP_TPA.mask | ARP_SHA.mask | ARP_THA.mask
MPLS: Final = MPLS_LABEL.mask | MPLS_TC.mask | MPLS_BOS.mask
IPV4: Final = IPV4_SRC.mask | IPV4_DST.mask | NW_TOS.mask | NW_TTL.mask
IPV6: Final = IPV6_SRC.mask | IPV6_DST.mask | IPV6_FLABEL.mask | NW_TOS.mask | NW_TTL.mask
IPV6_WORD: Final = IPV6_FLABEL.mask | NW_TOS.mask
TRANSPORT: Final = TCP_SRC.mask | TCP_DST.mask
ND: Final = IPV6_ND_TARGET.mask | IPV6_ND_SLL.mask | IPV6_ND_TLL.mask
HEADERS: Final = (
    ETHERNET | VLAN_TCI.mask | ARP | MPLS | PBB_ISID.mask | IPV4 | IPV6 | TRANSPORT | ND
)
"""The bits of a flow key that :func:`write` can write into a frame."""

CHECKSUM_AT: Final = {IPPROTO_TCP: 16, IPPROTO_UDP: 6, IPPROTO_ICMP: 2, IPPROTO_ICMPV6: 2}
"""Where the Internet checksum is in each transport header that has one."""
SCTP_CHECKSUM_AT: Final = 8

_DEI: Final = 0x1000
"""Drop eligible: a bit of a VLAN tag that no field matches or writes."""

_u16 = Struct("!H")
_u32 = Struct("!I")
_crc = Struct("<I")
_ipv4_header = Struct("!H6xHHII")
_ipv4_tail = Struct("!HHII")
_arp_body = Struct("!H6sI6sI")


def write(data: bytes, layers: Layers, key: int, changed: int) -> bytes:
    """The frame ``data`` with the changed fields of ``key`` written into it.

    :param layers: what :func:`agent.packet.layers.locate` found in ``data``.
    :param changed: the bits of the flow key which are not yet in ``data``.
    """
    buffer = bytearray(data)
    if changed & ETHERNET and layers.l3 >= 0:
        # eth_dst lies directly above eth_src in a flow key, as it comes first in the frame.
        buffer[:12] = (key >> ETH_SRC.shift & 0xFFFFFFFFFFFFFFFFFFFFFFFF).to_bytes(12, "big")
    if changed & VLAN_TCI.mask and layers.vlans:
        (tci,) = _u16.unpack_from(buffer, 14)
        _u16.pack_into(buffer, 14, tci & _DEI | key >> VLAN_TCI.shift & 0xEFFF)
    if layers.ipv4 >= 0:
        difference = _write_ipv4(buffer, layers, key) if changed & IPV4 else 0
    elif layers.ipv6 >= 0:
        difference = _write_ipv6(buffer, layers, key, changed) if changed & IPV6 else 0
    else:
        if changed & ARP and layers.arp >= 0:
            _write_arp(buffer, layers.arp, key)
        if changed & MPLS and layers.mpls >= 0:
            _write_mpls(buffer, layers.mpls, key)
        if changed & PBB_ISID.mask and layers.pbb >= 0:
            at = layers.pbb
            buffer[at + 1 : at + 4] = PBB_ISID.get(key).to_bytes(3, "big")
        return bytes(buffer)
    if layers.l4 >= 0:
        if changed & (TRANSPORT | ND):
            _write_l4(buffer, layers, key, changed, difference)
        elif difference:
            _update_checksum(buffer, layers, difference, 0)
    return bytes(buffer)


def write_proto(data: bytes, layers: Layers, proto: int) -> bytes:
    """The frame ``data`` with the protocol of its IP packet (``ip_proto``) replaced.

    The transport header is what it was, and so is the place of its checksum, which covers the
    protocol's number; it is kept right for the header which is there.
    """
    if layers.proto_at < 0:
        return data
    buffer = bytearray(data)
    buffer[layers.proto_at] = proto
    difference = layers.proto - proto
    if layers.ipv4 >= 0:
        at = layers.ipv4 + 10
        (checksum,) = _u16.unpack_from(buffer, at)
        _u16.pack_into(buffer, at, updated(checksum, difference))
    if layers.l4 >= 0:
        _update_checksum(buffer, layers, difference, 0)
    return bytes(buffer)


def _write_ipv4(buffer: bytearray, layers: Layers, key: int) -> int:
    """Write the fields of IPv4; how the pseudo-header's sum of words has changed, old minus new."""
    at = layers.ipv4
    tos, ttl, checksum, src, dst = _ipv4_header.unpack_from(buffer, at)
    new_tos = tos & 0xFF00 | key >> NW_TOS.shift & 0xFF
    new_ttl = ttl & 0xFF | (key >> NW_TTL.shift & 0xFF) << 8
    new_src = key >> IPV4_SRC.shift & 0xFFFFFFFF
    new_dst = key >> IPV4_DST.shift & 0xFFFFFFFF
    difference: int = src + dst - new_src - new_dst
    checksum = updated(checksum, tos + ttl - new_tos - new_ttl + difference)
    _u16.pack_into(buffer, at, new_tos)
    _ipv4_tail.pack_into(buffer, at + 8, new_ttl, checksum, new_src, new_dst)
    return difference


def _write_ipv6(buffer: bytearray, layers: Layers, key: int, changed: int) -> int:
    """Write the fields of IPv6; how the pseudo-header's sum of words has changed, old minus new."""
    at = layers.ipv6
    difference = 0
    if changed & IPV6_WORD:
        (word,) = _u32.unpack_from(buffer, at)
        if changed & NW_TOS.mask:
            word = word & 0xF00FFFFF | NW_TOS.get(key) << 20
        if changed & IPV6_FLABEL.mask:
            word = word & 0xFFF00000 | IPV6_FLABEL.get(key)
        _u32.pack_into(buffer, at, word)
    if changed & NW_TTL.mask:
        buffer[at + 7] = NW_TTL.get(key)
    if changed & IPV6_SRC.mask:
        new = IPV6_SRC.get(key)
        difference += int.from_bytes(buffer[at + 8 : at + 24], "big") - new
        buffer[at + 8 : at + 24] = new.to_bytes(16, "big")
    if changed & IPV6_DST.mask:
        new = IPV6_DST.get(key)
        if not layers.routed:
            difference += int.from_bytes(buffer[at + 24 : at + 40], "big") - new
        buffer[at + 24 : at + 40] = new.to_bytes(16, "big")
    return difference


def _write_arp(buffer: bytearray, at: int, key: int) -> None:
    """Write the fields of ARP."""
    _arp_body.pack_into(
        buffer,
        at + 6,
        ARP_OP.get(key),
        ARP_SHA.get(key).to_bytes(6, "big"),
        ARP_SPA.get(key),
        ARP_THA.get(key).to_bytes(6, "big"),
        ARP_TPA.get(key),
    )


def _write_mpls(buffer: bytearray, at: int, key: int) -> None:
    """Write the fields of the outer MPLS shim; its TTL is no field, and stays."""
    (shim,) = _u32.unpack_from(buffer, at)
    shim = MPLS_LABEL.get(key) << 12 | MPLS_TC.get(key) << 9 | MPLS_BOS.get(key) << 8 | shim & 0xFF
    _u32.pack_into(buffer, at, shim)


def _write_l4(buffer: bytearray, layers: Layers, key: int, changed: int, pseudo: int) -> None:
    """Write the fields of the transport header and of neighbour discovery.

    :param pseudo: how the pseudo-header's sum of words has changed, old minus new.
    """
    at = layers.l4
    (old,) = _u32.unpack_from(buffer, at)
    new = old
    if layers.proto == IPPROTO_ICMP or layers.proto == IPPROTO_ICMPV6:
        if changed & TCP_SRC.mask:
            new = new & 0x00FFFFFF | (key >> TCP_SRC.shift & 0xFF) << 24
        if changed & TCP_DST.mask:
            new = new & 0xFF00FFFF | (key >> TCP_DST.shift & 0xFF) << 16
        own = old - new
        if layers.nd_target >= 0:
            own += _write_nd(buffer, layers, key, changed)
    else:
        if changed & TCP_SRC.mask:
            new = new & 0xFFFF | (key >> TCP_SRC.shift & 0xFFFF) << 16
        if changed & TCP_DST.mask:
            new = new & 0xFFFF0000 | key >> TCP_DST.shift & 0xFFFF
        own = old - new
    _u32.pack_into(buffer, at, new)
    if layers.proto != IPPROTO_SCTP:
        _update_checksum(buffer, layers, pseudo, own)
    elif own:
        crc_at = at + SCTP_CHECKSUM_AT
        (crc,) = _crc.unpack_from(buffer, crc_at)
        crc = crc32c_updated(crc, (old ^ new).to_bytes(4, "big"), layers.end - at - 4)
        _crc.pack_into(buffer, crc_at, crc)


def _write_nd(buffer: bytearray, layers: Layers, key: int, changed: int) -> int:
    """Write the fields of neighbour discovery; the change of their sum of words, old minus new."""
    difference = 0
    for field, at, length in (
        (IPV6_ND_TARGET, layers.nd_target, 16),
        (IPV6_ND_SLL, layers.nd_sll, 6),
        (IPV6_ND_TLL, layers.nd_tll, 6),
    ):
        if changed & field.mask and at >= 0:
            new = field.get(key)
            difference += int.from_bytes(buffer[at : at + length], "big") - new
            buffer[at : at + length] = new.to_bytes(length, "big")
    return difference


def _update_checksum(buffer: bytearray, layers: Layers, pseudo: int, own: int) -> None:
    """Bring the Internet checksum of the transport up to date, if it has one.

    :param pseudo: how the sum of words of the pseudo-header has changed, old minus new.
    :param own: likewise that of the transport header and what it carries.
    """
    proto = layers.proto
    offset = CHECKSUM_AT.get(proto)
    if offset is None:
        return
    at = layers.l4 + offset
    (checksum,) = _u16.unpack_from(buffer, at)
    if proto == IPPROTO_UDP and not checksum:
        return
    if proto == IPPROTO_ICMP or (proto == IPPROTO_ICMPV6 and layers.ipv6 < 0):
        # There is no pseudo-header, so that all words may be zero: then it is 0xffff.
        if not own:
            return
        checksum = updated(checksum, own)
        if not checksum:
            _u16.pack_into(buffer, at, 0)
            checksum = 0 if any(buffer[layers.l4 : layers.end]) else 0xFFFF
    else:
        checksum = updated(checksum, pseudo + own)
        if not checksum and proto == IPPROTO_UDP:
            checksum = 0xFFFF
    _u16.pack_into(buffer, at, checksum)
