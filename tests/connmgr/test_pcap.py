"""Tests for :mod:`agent.connmgr.pcap`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.pcap import HEADER, MAX_SEGMENT, Conversation, checksum

SYN, ACK = 2, 16


@attrs.frozen
class Packet:
    """What a record holds, read by another way than it was written."""

    time: float
    source: int
    target: int
    sequence: int
    acknowledged: int
    flags: int
    data: bytes


def packets(test: Any, records: bytes) -> Iterator[Packet]:
    """The packets of a file without its header; lengths and checksums are right."""
    while records:
        seconds, micros, length, whole = struct.unpack("<IIII", records[:16])
        test.assertEqual(length, whole)
        frame, records = records[16 : 16 + length], records[16 + length :]
        test.assertEqual((len(frame), frame[12:14]), (length, b"\x08\x00"))
        ip, tcp = frame[14:34], frame[34:]
        test.assertEqual(int.from_bytes(ip[2:4]), length - 14)
        test.assertEqual(checksum(ip), 0)
        test.assertEqual(checksum(ip[12:20] + struct.pack(">HH", 6, len(tcp)) + tcp), 0)
        source, target, sequence, acknowledged = struct.unpack(">HHII", tcp[:12])
        time = seconds + micros / 1e6
        yield Packet(time, source, target, sequence, acknowledged, tcp[13], tcp[20:])


class ChecksumTests(SynchronousTestCase):
    """The Internet's checksum."""

    def test_example(self) -> None:
        """The example of RFC 1071, section 3."""
        self.assertEqual(checksum(bytes.fromhex("0001f203f4f5f6f7")), 0xFFFF ^ 0xDDF2)

    def test_odd(self) -> None:
        """A missing byte is zero."""
        self.assertEqual(checksum(b"\1\2\3"), checksum(b"\1\2\3\0"))


class ConversationTests(SynchronousTestCase):
    """Two ends that talk."""

    def test_header(self) -> None:
        """A file begins with pcap's magic number, version 2.4 and Ethernet."""
        magic, major, minor, *_, link = struct.unpack("<IHHiIII", HEADER)
        self.assertEqual((magic, major, minor, link), (0xA1B2C3D4, 2, 4, 1))

    def test_opening(self) -> None:
        """The switch connects to port 6653."""
        found = list(packets(self, Conversation().opening(12.5)))
        self.assertEqual([one.flags for one in found], [SYN, SYN | ACK, ACK])
        self.assertEqual([one.target for one in found], [6653, 49152, 6653])
        self.assertEqual([(one.sequence, one.acknowledged) for one in found][1:], [(0, 1), (1, 1)])
        self.assertEqual(found[0].time, 12.5)

    @given(st.lists(st.tuples(st.booleans(), st.binary(min_size=8, max_size=40)), max_size=20))
    def test_messages(self, messages: list[tuple[bool, bytes]]) -> None:
        """What each end says is there in its order, as one stream without holes, and the other
        end has heard all of it."""
        conversation = Conversation()
        records = conversation.opening(0)
        for by_switch, frame in messages:
            records += conversation.message(1, frame, by_switch=by_switch)
        streams = {True: b"", False: b""}
        for packet in list(packets(self, records))[3:]:
            by_switch = packet.target == 6653
            self.assertEqual(packet.sequence, 1 + len(streams[by_switch]))
            self.assertEqual(packet.acknowledged, 1 + len(streams[not by_switch]))
            streams[by_switch] += packet.data
        for side, stream in streams.items():
            self.assertEqual(stream, b"".join(frame for by, frame in messages if by is side))

    def test_longest(self) -> None:
        """The longest message takes two packets, and nothing of it is lost."""
        frame = bytes(range(256)) * 256
        records = Conversation().message(0, frame[:65535], by_switch=True)
        found = list(packets(self, records))
        self.assertEqual([len(one.data) for one in found], [MAX_SEGMENT, 40])
        self.assertEqual(found[1].sequence, MAX_SEGMENT)
        self.assertEqual(b"".join(one.data for one in found), frame[:65535])
