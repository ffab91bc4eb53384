"""What a sender's kernel leaves to the network card: to finish checksums, and to cut into frames.

A frame that comes from a process on the same host, or from a host whose frames the kernel has
joined (GRO), has often not seen a network card that finishes it.  A packet socket hands it out with
the transport checksum begun (``CHECKSUM_PARTIAL``), or as up to 64 KiB of TCP that were to be cut
into frames (GSO).  Neither fits through a switch.  How to finish it stands in front of it, in the
header of virtio that :data:`HEADER` describes.

Begun means that the checksum field holds the sum of the pseudo-header, so that whatever the
protocol is, the checksum of all that follows ``csum_start`` completes it.  SCTP is the exception.

Source: Linux, ``linux/virtio_net.h`` and ``net/core/dev.c`` (``skb_checksum_help``).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from agent.packet.checksum import crc32c, internet_checksum, words_sum
from agent.packet.layers import Layers, locate
from agent.packet.protocols import IPPROTO_TCP, IPPROTO_UDP

HEADER: Final = Struct("=BBHHHH")
"""``struct virtio_net_hdr``: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
NOTHING_LEFT: Final = bytes(HEADER.size)
"""The header of a frame that is finished."""

NEEDS_CSUM: Final = 1
"""The flag that says that the checksum is only begun."""
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
_GSO_ECN: Final = 0x80

_SCTP_CHECKSUM_AT: Final = 8
"""The offset of SCTP's checksum, which no other protocol has there."""

_TCP_NOT_LAST: Final = ~0x09 & 0xFF
_TCP_NOT_FIRST: Final = ~0x80 & 0xFF
"""FIN and PSH belong to the last segment, CWR to the first."""

_u16 = Struct("!H")
_u32 = Struct("!I")
_crc = Struct("<I")


def with_checksum(frame: bytes, start: int, offset: int) -> bytes:
    """A frame whose checksum was begun, with its checksum.

    :param start: where what the checksum covers begins; it ends with the frame.
    :param offset: from there to the checksum.
    """
    at = start + offset
    buffer = bytearray(frame)
    if offset == _SCTP_CHECKSUM_AT:
        if at + _crc.size <= len(frame):
            _crc.pack_into(buffer, at, 0)
            _crc.pack_into(buffer, at, crc32c(buffer[start:]))
    elif at + _u16.size <= len(frame):
        # Zero would mean that UDP has no checksum; this is the other zero.
        _u16.pack_into(buffer, at, -words_sum(buffer[start:]) % 0xFFFF or 0xFFFF)
    return bytes(buffer)


def segments(frame: bytes, gso_type: int, size: int, start: int) -> list[bytes]:
    """The frames that a large one was to be cut into, each with its checksums.

    :param gso_type: how to cut: one of ``GSO_*``.
    :param size: bytes of payload that each frame but the last has.
    :param start: where the transport header is.
    :return: empty when it cannot be cut (tunnels of tunnels, say), and must be dropped.
    """
    layers = locate(frame)
    if layers.l4 != start or layers.routed or size <= 0:
        return []
    kind = gso_type & ~_GSO_ECN
    if kind in (GSO_TCPV4, GSO_TCPV6) and layers.proto == IPPROTO_TCP:
        payload_at, checksum_at = start + (frame[start + 12] >> 4) * 4, start + 16
    elif kind == GSO_UDP_L4 and layers.proto == IPPROTO_UDP:
        payload_at, checksum_at = start + 8, start + 6
    else:
        return []
    payload = frame[payload_at : layers.end]
    cut = []
    for place, at in enumerate(range(0, len(payload), size)):
        segment = bytearray(frame[:payload_at])
        segment += payload[at : at + size]
        _number_ip(segment, layers, place)
        if layers.proto == IPPROTO_TCP:
            (sequence,) = _u32.unpack_from(frame, start + 4)
            _u32.pack_into(segment, start + 4, (sequence + at) & 0xFFFFFFFF)
            if at + size < len(payload):
                segment[start + 13] &= _TCP_NOT_LAST
            if at:
                segment[start + 13] &= _TCP_NOT_FIRST
        else:
            _u16.pack_into(segment, start + 4, len(segment) - start)
        _u16.pack_into(segment, checksum_at, 0)
        checksum = internet_checksum(segment[start:], _pseudo_header(segment, layers))
        _u16.pack_into(segment, checksum_at, checksum or 0xFFFF)
        cut.append(bytes(segment))
    return cut


def _number_ip(segment: bytearray, layers: Layers, place: int) -> None:
    """Give a segment its lengths, and with IPv4 an identifier of its own."""
    at = layers.l3
    if layers.ipv4 >= 0:
        (identifier,) = _u16.unpack_from(segment, at + 4)
        _u16.pack_into(segment, at + 2, len(segment) - at)
        _u16.pack_into(segment, at + 4, (identifier + place) & 0xFFFF)
        _u16.pack_into(segment, at + 10, 0)
        header = segment[at : at + (segment[at] & 0xF) * 4]
        _u16.pack_into(segment, at + 10, internet_checksum(header))
    else:
        _u16.pack_into(segment, at + 4, len(segment) - at - 40)


def _pseudo_header(segment: bytearray, layers: Layers) -> int:
    """What the transport checksum covers of the IP header, as a number congruent to its sum."""
    at = layers.l3
    addresses = segment[at + 12 : at + 20] if layers.ipv4 >= 0 else segment[at + 8 : at + 40]
    return int.from_bytes(addresses, "big") + layers.proto + len(segment) - layers.l4
