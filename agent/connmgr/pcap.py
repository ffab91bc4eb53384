"""What is said on a connection, as a file that Wireshark opens.

The file has the classic pcap format.  OpenFlow messages are all that there is of a connection here:
what carries them, which may be TLS or a UNIX socket, is replaced by Ethernet, IPv4 and TCP that
were made up, with right lengths, checksums and sequence numbers.  So dissectors find their way, and
a connection that was encrypted is readable.  The controller is 192.0.2.1 port 6653, the switch
192.0.2.2 port 49152, whatever they really are.

Source: draft-ietf-opsawg-pcap; RFC 791, RFC 9293, RFC 1071.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 1)
"""What a file begins with: version 2.4, microseconds, Ethernet."""

MAX_SEGMENT: Final = 0xFFFF - 40
"""The most bytes for which an IPv4 packet has room behind its own and TCP's header."""

_RECORD: Final = struct.Struct("<IIII")
_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_TCP: Final = struct.Struct(">HHIIBBHHH")
_CONTROLLER: Final = (bytes.fromhex("02000000000a"), bytes((192, 0, 2, 1)), 6653)
_SWITCH: Final = (bytes.fromhex("02000000000b"), bytes((192, 0, 2, 2)), 49152)
_SYN, _PSH, _ACK = 2, 8, 16
_PROTOCOL: Final = 6


def checksum(data: bytes) -> int:
    """The Internet's checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Conversation:
    """Two ends that talk by TCP, as records of a pcap file."""

    def __init__(self) -> None:
        # How many bytes each has said; a SYN is one.
        self._said = {True: 0, False: 0}
        self._identification = 0

    def opening(self, time: float) -> bytes:
        """The handshake, which the switch begins.

        :param time: seconds since the epoch.
        """
        data = self._record(time, b"", _SYN, by_switch=True)
        self._said[True] = 1
        data += self._record(time, b"", _SYN | _ACK, by_switch=False)
        self._said[False] = 1
        return data + self._record(time, b"", _ACK, by_switch=True)

    def message(self, time: float, frame: bytes, *, by_switch: bool) -> bytes:
        """The records of a message."""
        return b"".join(self._segments(time, frame, by_switch))

    def _segments(self, time: float, frame: bytes, by_switch: bool) -> Iterator[bytes]:
        for start in range(0, len(frame), MAX_SEGMENT):
            part = frame[start : start + MAX_SEGMENT]
            yield self._record(time, part, _PSH | _ACK, by_switch=by_switch)
            self._said[by_switch] = (self._said[by_switch] + len(part)) & 0xFFFFFFFF

    def _record(self, time: float, data: bytes, flags: int, *, by_switch: bool) -> bytes:
        source, target = (_SWITCH, _CONTROLLER) if by_switch else (_CONTROLLER, _SWITCH)
        said = self._said[by_switch]
        heard = self._said[not by_switch] if flags & _ACK else 0

        def tcp(check: int) -> bytes:
            return _TCP.pack(source[2], target[2], said, heard, 5 << 4, flags, 0xFFFF, check, 0)

        length = _TCP.size + len(data)
        pseudo = source[1] + target[1] + struct.pack(">HH", _PROTOCOL, length)
        segment = tcp(checksum(pseudo + tcp(0) + data)) + data
        self._identification = (self._identification + 1) & 0xFFFF

        def ipv4(check: int) -> bytes:
            whole = _IPV4.size + length
            numbers = (0x45, 0, whole, self._identification, 0x4000, 64, _PROTOCOL, check)
            return _IPV4.pack(*numbers, source[1], target[1])

        packet = target[0] + source[0] + b"\x08\x00" + ipv4(checksum(ipv4(0))) + segment
        seconds, micros = divmod(int(time * 1_000_000), 1_000_000)
        return _RECORD.pack(seconds, micros, len(packet), len(packet)) + packet
