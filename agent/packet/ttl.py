"""Times to live which no field of a flow key holds, and copying them between headers.

The TTL of IP is a field (``nw_ttl``) and needs nothing from here.  That of an MPLS shim is not, and
``copy_ttl_out`` and ``copy_ttl_in`` also touch the second header that has one: the next shim, the
IP packet behind the last shim, or an IP packet within another (1.3.5 section 5.12: MPLS to MPLS, IP
to MPLS, IP to IP).  What follows the last shim is not named anywhere; as routers do, the version in
its first four bits is believed.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from agent.packet.checksum import updated
from agent.packet.layers import Layers
from agent.packet.protocols import (
    IP_HEADER_LEN,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPV6_HEADER_LEN,
    MPLS_HEADER_LEN,
)

_u16 = Struct("!H")


class _Place(NamedTuple):
    """Where a TTL is.

    :ivar at: offset of the byte.
    :ivar checksum_at: offset of the header checksum that covers it; -1: none does.
    """

    at: int
    checksum_at: int


def of_ip(data: bytes, layers: Layers) -> int:
    """The TTL of the IP packet; -1 when the frame has none."""
    if layers.ipv4 >= 0:
        return data[layers.ipv4 + 8]
    return data[layers.ipv6 + 7] if layers.ipv6 >= 0 else -1


def with_mpls(data: bytes, at: int, value: int) -> bytes:
    """The frame with the TTL of the shim at ``at`` replaced."""
    return _with(data, _Place(at + 3, -1), value)


def copied_out(data: bytes, layers: Layers) -> bytes:
    """The frame with the TTL of the second header that has one copied to the first."""
    outer, inner = _outer(layers), _inner(data, layers)
    return data if outer is None or inner is None else _with(data, outer, data[inner.at])


def copied_in(data: bytes, layers: Layers) -> bytes:
    """The frame with the TTL of the first header that has one copied to the second."""
    outer, inner = _outer(layers), _inner(data, layers)
    return data if outer is None or inner is None else _with(data, inner, data[outer.at])


def _with(data: bytes, place: _Place, value: int) -> bytes:
    """The frame with one TTL replaced."""
    buffer = bytearray(data)
    old = buffer[place.at]
    buffer[place.at] = value
    if place.checksum_at >= 0:
        (checksum,) = _u16.unpack_from(buffer, place.checksum_at)
        _u16.pack_into(buffer, place.checksum_at, updated(checksum, (old - value) << 8))
    return bytes(buffer)


def _outer(layers: Layers) -> _Place | None:
    """The TTL of the first header that has one."""
    if layers.mpls >= 0:
        return _Place(layers.mpls + 3, -1)
    if layers.ipv4 >= 0:
        return _Place(layers.ipv4 + 8, layers.ipv4 + 10)
    return _Place(layers.ipv6 + 7, -1) if layers.ipv6 >= 0 else None


def _inner(data: bytes, layers: Layers) -> _Place | None:
    """The TTL of the second header that has one."""
    if layers.mpls >= 0:
        at = layers.mpls + MPLS_HEADER_LEN
        if data[layers.mpls + 2] & 1:
            return _ip(data, at, len(data))
        return _Place(at + 3, -1) if at + MPLS_HEADER_LEN <= len(data) else None
    if layers.payload >= 0 and layers.proto in (IPPROTO_IPIP, IPPROTO_IPV6):
        return _ip(data, layers.payload, layers.end)
    return None


def _ip(data: bytes, at: int, end: int) -> _Place | None:
    """The TTL of the IP packet at ``at``, by the version it claims to be of."""
    if at >= end:
        return None
    version = data[at] >> 4
    if version == 4 and at + IP_HEADER_LEN <= end:
        return _Place(at + 8, at + 10)
    if version == 6 and at + IPV6_HEADER_LEN <= end:
        return _Place(at + 7, -1)
    return None
