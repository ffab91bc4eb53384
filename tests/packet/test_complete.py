"""Tests of :mod:`agent.packet.complete`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS
from agent.packet.complete import complete_checksums
from agent.packet.packet import parse
from agent.packet.setfield import field_writer
from tests.packet.frames import CORPUS, ether, frames, inet, ip, ipv6, repaired

CHECKSUM_AT = {
    "tcp": 50,
    "udp": 40,
    "sctp": 42,
    "icmp": 36,
    "tcp6": 70,
    "udp6": 60,
    "sctp6": 62,
    "icmp6": 56,
    "neighbour solicitation": 56,
    "vlan": 44,
    "ip options": 44,
    "extension headers": 86,
}
"""Where the transport checksum is in frames of the corpus."""


def completed(data: bytes) -> bytes:
    """The frame with its checksum computed."""
    packet = parse(data, 1)
    complete_checksums(packet)
    return packet.frame()


class CompleteTests(SynchronousTestCase):
    """Checksums that a sender left to the network card."""

    def test_partial(self) -> None:
        """Whatever is in the place of the checksum, the right one comes out."""
        for name, at in CHECKSUM_AT.items():
            data = CORPUS[name]
            partial = data[:at] + b"\x12\x34" + data[at + 2 :]
            self.assertEqual(completed(partial).hex(), data.hex(), name)

    @given(frames())
    def test_complete_already(self, frame: Any) -> None:
        """A checksum that scapy computed is computed here as well."""
        self.assertEqual(completed(bytes(frame)).hex(), bytes(frame).hex())

    def test_udp_never_zero(self) -> None:
        """A UDP checksum that comes out as zero is sent as 0xffff."""
        data = bytes(ether() / ip() / inet.UDP(sport=0, dport=2))
        checksum = int.from_bytes(data[40:42], "big")
        frame = ether() / ip() / inet.UDP(sport=checksum, dport=2, chksum=0)
        self.assertEqual(completed(bytes(frame))[40:42], b"\xff\xff")

    def test_udp_shorter_than_ip(self) -> None:
        """What IP carries behind the length that UDP says is not covered."""
        udp = inet.UDP(sport=1, dport=2, chksum=0x1234)
        for header in (ip(), ipv6()):
            short = bytes(ether() / header / inet.UDP(sport=1, dport=2))
            longer = bytearray(bytes(ether() / header / udp / b"behind"))
            at = len(short)
            longer[at - 4 : at - 2] = b"\x00\x08"
            self.assertEqual(completed(bytes(longer))[at - 2 : at], short[-2:])

    def test_padding(self) -> None:
        """Padding is not covered."""
        data = CORPUS["tcp"]
        partial = data[:50] + b"\x12\x34" + data[52:] + b"\xff" * 5
        self.assertEqual(completed(partial), data + b"\xff" * 5)

    def test_left_alone(self) -> None:
        """Fragments, packets to be routed on, and those without a checksum stay as they are."""
        for name in (
            "first fragment",
            "later fragment",
            "first fragment6",
            "routed",
            "arp",
            "other ip",
            "llc",
            "mpls",
        ):
            data = bytearray(CORPUS[name])
            data[-1] ^= 0xFF
            self.assertEqual(completed(bytes(data)), data)

    def test_before_a_rewrite(self) -> None:
        """A completed packet can be rewritten, and its checksum stays right."""
        data = CORPUS["tcp"]
        packet = parse(data[:50] + b"\x12\x34" + data[52:], 1)
        complete_checksums(packet)
        field_writer(FIELDS["ipv4_dst"], 0x0A000001)(packet)
        self.assertEqual(packet.frame(), repaired(packet.frame()))

    def test_after_a_change(self) -> None:
        """Changes which are not yet written are completed with the rest."""
        data = CORPUS["tcp"]
        packet = parse(data[:50] + b"\x12\x34" + data[52:], 1)
        field_writer(FIELDS["ipv4_dst"], 0x0A000001)(packet)
        complete_checksums(packet)
        self.assertEqual(packet.frame(), repaired(packet.frame()))
