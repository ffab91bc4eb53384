"""Checksums which a sender left for the network card to finish.

A packet that comes from a process on the same host has often never seen a network card.  Linux then
hands it out with the transport checksum begun but not finished (``CHECKSUM_PARTIAL``, which a
packet socket reports as ``TP_STATUS_CSUMNOTREADY``).  Such a packet must be completed before it
leaves the switch and before a field is rewritten, for bringing a checksum up to date only keeps
right what was right.

Everything else in this package deals in differences; this module alone reads whole packets.
"""

from __future__ import annotations

from struct import Struct

from agent.packet.checksum import crc32c, internet_checksum
from agent.packet.headers import CHECKSUM_AT, SCTP_CHECKSUM_AT
from agent.packet.layers import Layers
from agent.packet.packet import Packet
from agent.packet.protocols import IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_UDP

_u16 = Struct("!H")
_crc = Struct("<I")


def complete_checksums(packet: Packet) -> None:
    """Compute the checksum of TCP, UDP, ICMP, ICMPv6 or SCTP anew, whatever it was.

    Nothing happens to a fragment, which has a part of what the checksum covers only, nor to a
    packet with a routing header that is still to be followed.  The checksum of the IPv4 header is
    never left to a network card, and is not touched.
    """
    data = packet.frame()
    layers = packet.layers()
    if layers.l4 >= 0 and not layers.frag and not layers.routed:
        packet.data = with_checksum(data, layers)


def with_checksum(data: bytes, layers: Layers) -> bytes:
    """The frame with its transport checksum computed; it must have a transport header."""
    at, end, proto = layers.l4, layers.end, layers.proto
    buffer = bytearray(data)
    if proto == IPPROTO_SCTP:
        checksum_at = at + SCTP_CHECKSUM_AT
        _crc.pack_into(buffer, checksum_at, 0)
        _crc.pack_into(buffer, checksum_at, crc32c(buffer[at:end]))
        return bytes(buffer)
    if proto == IPPROTO_UDP:
        # UDP may be shorter than the IP packet, and says so itself.
        (length,) = _u16.unpack_from(buffer, at + 4)
        if 8 <= length <= end - at:
            end = at + length
    pseudo = 0 if proto == IPPROTO_ICMP else _pseudo_header(data, layers, end - at)
    checksum_at = at + CHECKSUM_AT[proto]
    _u16.pack_into(buffer, checksum_at, 0)
    checksum = internet_checksum(buffer[at:end], pseudo)
    if not checksum and proto == IPPROTO_UDP:
        checksum = 0xFFFF
    _u16.pack_into(buffer, checksum_at, checksum)
    return bytes(buffer)


def _pseudo_header(data: bytes, layers: Layers, length: int) -> int:
    """What the transport checksum covers of the IP header, as a number congruent to its sum."""
    if layers.ipv4 >= 0:
        addresses = data[layers.ipv4 + 12 : layers.ipv4 + 20]
    else:
        addresses = data[layers.ipv6 + 8 : layers.ipv6 + 40]
    return int.from_bytes(addresses, "big") + layers.proto + length
