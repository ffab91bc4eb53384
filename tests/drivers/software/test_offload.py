"""Tests of :mod:`drivers.software.offload`, against scapy's checksums."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from twisted.trial.unittest import SynchronousTestCase

from agent.packet.layers import locate
from drivers.software.offload import (
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    HEADER,
    NOTHING_LEFT,
    segments,
    with_checksum,
)

ECN: Final = 0x80

ETH: Final = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IPV4: Final = IP(src="10.0.0.1", dst="10.0.0.2", id=0xFFFE, flags="DF")
IPV6: Final = IPv6(src="fe80::1", dst="fe80::2")


def frame_of(packet: Any) -> bytes:
    """The bytes of a frame, with the checksums that scapy computes."""
    return bytes(packet)


def begun(frame: bytes, offset: int) -> tuple[bytes, int]:
    """A frame whose checksum is only begun, and where what it covers starts.

    :param offset: of the checksum in the transport header.
    """
    layers = locate(frame)
    start = layers.l4
    l3 = layers.l3
    addresses = frame[l3 + 12 : l3 + 20] if layers.ipv4 >= 0 else frame[l3 + 8 : l3 + 40]
    total = int.from_bytes(addresses, "big") + layers.proto + len(frame) - start
    at = start + offset
    return frame[:at] + (total % 0xFFFF).to_bytes(2, "big") + frame[at + 2 :], start


class ChecksumTests(SynchronousTestCase):
    """Checksums that were begun."""

    def test_virtio(self) -> None:
        """The header in front of a frame has ten bytes, and zeros mean that nothing is left."""
        self.assertEqual((HEADER.size, HEADER.unpack(NOTHING_LEFT)), (10, (0, 0, 0, 0, 0, 0)))

    @given(st.binary(max_size=200), st.sampled_from([IPV4, IPV6]), st.sampled_from([TCP, UDP]))
    def test_finished(self, payload: bytes, ip: Any, transport: Any) -> None:
        """What was begun is finished as scapy does it."""
        frame = frame_of(ETH / ip / transport(sport=1, dport=2) / payload)
        unfinished, start = begun(frame, 6 if transport is UDP else 16)
        self.assertEqual(with_checksum(unfinished, start, 6 if transport is UDP else 16), frame)

    def test_zero(self) -> None:
        """A checksum of zero is written as its other form, for in UDP zero means that it is not
        there."""
        frame = frame_of(ETH / IPV4 / UDP(sport=1, dport=2, len=10) / b"__")
        unfinished, start = begun(frame, 6)
        at = start + 6
        others = sum(int.from_bytes(unfinished[n : n + 2], "big") for n in range(start, at + 2, 2))
        unfinished = unfinished[:-2] + (-others % 0xFFFF).to_bytes(2, "big")
        self.assertEqual(with_checksum(unfinished, start, 6)[at : at + 2], b"\xff\xff")

    @given(st.binary(min_size=1, max_size=50))
    def test_sctp(self, data: bytes) -> None:
        """SCTP has a CRC, which is not begun at all."""
        packet = ETH / IPV4 / SCTP(sport=1, dport=2) / SCTPChunkData(data=data)
        frame = frame_of(packet)
        start = locate(frame).l4
        blank = frame[: start + 8] + bytes(4) + frame[start + 12 :]
        self.assertEqual(with_checksum(blank, start, 8), frame)

    @given(st.binary(max_size=60), st.integers(0, 70), st.sampled_from([0, 2, 6, 8, 16, 60]))
    def test_anything(self, frame: bytes, start: int, offset: int) -> None:
        """Whatever it is told, it raises nothing and leaves the length as it is."""
        self.assertEqual(len(with_checksum(frame, start, offset)), len(frame))


class SegmentTests(SynchronousTestCase):
    """Frames that were left uncut."""

    def tcp(self, ip: Any, size: int, flags: str = "PA") -> tuple[bytes, int]:
        """A large frame of TCP, and where its transport header is."""
        header = TCP(sport=1, dport=2, seq=0xFFFFFFF0, flags=flags, options=[("NOP", 0)] * 4)
        payload = bytes(place % 251 for place in range(size))
        return begun(frame_of(ETH / ip / header / payload), 16)

    def check(self, frames: list[bytes], payload: bytes) -> None:
        """Every frame must have the lengths and the checksums that scapy gives it, and together
        they must be what was cut."""
        for frame in frames:
            again = Ether(frame)
            for layer in (IP, IPv6, TCP, UDP):
                if layer in again:
                    for name in ("len", "plen", "chksum"):
                        if name in again[layer].fields:
                            again[layer].delfieldval(name)
            self.assertEqual(frame_of(again), frame)
        transport = [Ether(frame).lastlayer().load for frame in frames]
        self.assertEqual(b"".join(transport), payload)

    def test_tcp4(self) -> None:
        """TCP over IPv4: identifiers and sequence numbers count on, also beyond their end."""
        frame, start = self.tcp(IPV4, 2500)
        frames = segments(frame, GSO_TCPV4, 1000, start)
        self.check(frames, frame[start + 24 :])
        packets = [Ether(frame) for frame in frames]
        self.assertEqual([packet[IP].id for packet in packets], [0xFFFE, 0xFFFF, 0])
        self.assertEqual([packet[TCP].seq for packet in packets], [0xFFFFFFF0, 984, 1984])
        self.assertEqual([packet[IP].len for packet in packets], [1044, 1044, 544])

    def test_tcp6(self) -> None:
        """TCP over IPv6."""
        frame, start = self.tcp(IPV6, 2500)
        frames = segments(frame, GSO_TCPV6, 1000, start)
        self.check(frames, frame[start + 24 :])
        self.assertEqual([Ether(frame)[IPv6].plen for frame in frames], [1024, 1024, 524])

    def test_flags(self) -> None:
        """FIN and PSH go with the last, CWR with the first."""
        frame, start = self.tcp(IPV4, 30, "FPAEC")
        frames = segments(frame, GSO_TCPV4 | ECN, 10, start)
        self.assertEqual([str(Ether(frame)[TCP].flags) for frame in frames], ["AEC", "AE", "FPAE"])
        self.check(frames, frame[start + 24 :])

    def test_udp(self) -> None:
        """UDP datagrams that an application has sent as one."""
        for ip in (IPV4, IPV6):
            packet = ETH / ip / UDP(sport=1, dport=2) / bytes(range(250))
            frame, start = begun(frame_of(packet), 6)
            frames = segments(frame, GSO_UDP_L4, 100, start)
            self.check(frames, bytes(range(250)))
            self.assertEqual([Ether(frame)[UDP].len for frame in frames], [108, 108, 58])

    def test_tagged(self) -> None:
        """A tag that is in the frame stays in each."""
        packet = ETH / Dot1Q(vlan=7) / IPV4 / TCP() / bytes(20)
        frame, start = begun(frame_of(packet), 16)
        frames = segments(frame, GSO_TCPV4, 10, start)
        self.check(frames, bytes(20))
        self.assertEqual({Ether(frame)[Dot1Q].vlan for frame in frames}, {7})

    @given(st.integers(1, 3000), st.integers(1, 1500), st.sampled_from([IPV4, IPV6]))
    def test_all_of_it(self, size: int, each: int, ip: Any) -> None:
        """However it is cut, nothing is lost, added or damaged."""
        frame, start = self.tcp(ip, size)
        frames = segments(frame, GSO_TCPV4, each, start)
        self.assertEqual(len(frames), -(-size // each))
        self.assertEqual(b"".join(frame[start + 24 :] for frame in frames), frame[start + 24 :])
        for cut in frames[:3]:
            unfinished, _ = begun(cut, 16)
            self.assertEqual(with_checksum(unfinished, start, 16), cut)

    def test_refused(self) -> None:
        """What cannot be cut gives nothing: other protocols, other places, tunnels, no size."""
        frame, start = self.tcp(IPV4, 100)
        self.assertEqual(segments(frame, GSO_UDP_L4, 10, start), [])
        self.assertEqual(segments(frame, 3, 10, start), [])
        self.assertEqual(segments(frame, GSO_TCPV4, 0, start), [])
        self.assertEqual(segments(frame, GSO_TCPV4, 10, start + 20), [])
        tunnel = frame_of(ETH / IPV4 / UDP(dport=4789) / bytes(8) / ETH / IPV4 / TCP() / bytes(99))
        self.assertEqual(segments(tunnel, GSO_TCPV4, 10, 84), [])
        routed = IPV6 / IPv6ExtHdrRouting(addresses=["fe80::3"], segleft=1)
        routed_frame = frame_of(ETH / routed / TCP() / bytes(99))
        self.assertEqual(segments(routed_frame, GSO_TCPV6, 10, locate(routed_frame).l4), [])

    @given(st.binary(max_size=120), st.integers(0, 255), st.integers(0, 60), st.integers(0, 120))
    def test_anything(self, frame: bytes, kind: int, size: int, start: int) -> None:
        """Whatever it is told, it raises nothing."""
        for cut in segments(frame, kind, size, start):
            self.assertLessEqual(len(cut), len(frame))
