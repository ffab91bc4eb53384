"""Tests of :mod:`agent.packet.setfield` and :mod:`agent.packet.headers`."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS, IPV6_ND_SLL, IPV6_ND_TLL, Field
from agent.packet.flowkey import flow_key
from agent.packet.packet import Packet, parse
from agent.packet.setfield import field_setter, field_writer, tp_dst_writer, tp_src_writer
from tests.packet.frames import (
    CORPUS,
    PAYLOAD,
    Raw,
    ether,
    frames,
    inet,
    inet6,
    ip,
    ipv6,
    mutations,
    repaired,
    sctp,
    vlan,
)

NOT_IN_FRAMES: Final = {"tunnel_id", "tun_src", "tun_dst", "pkt_mark"} | {
    f"reg{i}" for i in range(8)
}
"""Writable fields which no header holds."""
HEADER_FIELDS: Final = [
    field for field in FIELDS.values() if field.writable and field.name not in NOT_IN_FRAMES
]
"""Fields which are written into frames."""
ICMPV6: Final = ("icmpv6_type", "icmpv6_code")
LAZY_FIELDS: Final = [
    field
    for field in HEADER_FIELDS
    if field.name not in {"eth_type", "vlan_tci", "ip_proto", "icmpv4_type", *ICMPV6}
]
"""Those of them which neither move a header nor change what another one means."""


def written(data: bytes, name: str, value: int, mask: int | None = None) -> bytes:
    """The frame ``data`` after one field was set."""
    packet = parse(data, 1)
    field_writer(FIELDS[name], value, mask)(packet)
    return packet.frame()


@st.composite
def settings(draw: st.DrawFn) -> tuple[Field, int, int]:
    """A field, a value and a mask."""
    field = draw(st.sampled_from(LAZY_FIELDS))
    whole = st.integers(0, field.limit)
    return field, draw(whole), draw(st.just(field.limit) | whole)


def has_addresses_of_options(data: bytes) -> bool:
    """Whether a frame, if it is one of neighbour discovery, has both options with addresses."""
    key = flow_key(data, 1)
    return bool(key & IPV6_ND_SLL.mask and key & IPV6_ND_TLL.mask)


class EveryFieldTests(SynchronousTestCase):
    """What holds for every field and every frame."""

    def test_every_field(self) -> None:
        """Each writable field of a header is written into some frame of the corpus."""
        for field in HEADER_FIELDS:
            hits = 0
            for data in CORPUS.values():
                packet = parse(data, 1)
                value = field.get(packet.key) ^ 1
                field_writer(field, value)(packet)
                if packet.frame() != data:
                    hits += 1
                    self.assertEqual(field.get(flow_key(packet.frame(), 1)), value, field)
            self.assertTrue(hits, field)

    @given(frames(), st.lists(settings(), max_size=6))
    def test_checksums(self, frame: Any, changes: list[tuple[Field, int, int]]) -> None:
        """After any changes the frame has the checksums that scapy computes for it."""
        packet = parse(bytes(frame), 1)
        for field, value, mask in changes:
            field_writer(field, value, mask)(packet)
        self.assertEqual(packet.frame().hex(), repaired(packet.frame()).hex())

    @given(frames(), st.lists(settings(), max_size=6))
    def test_key_and_frame_agree(self, frame: Any, changes: list[tuple[Field, int, int]]) -> None:
        """The flow key of a changed packet is that of its frame, read anew."""
        data = bytes(frame)
        packet = parse(data, 1)
        for field, value, mask in changes:
            if field not in (IPV6_ND_SLL, IPV6_ND_TLL) or has_addresses_of_options(data):
                field_writer(field, value, mask)(packet)
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))

    @given(frames(), st.lists(settings(), max_size=6))
    def test_when_it_is_written(self, frame: Any, changes: list[tuple[Field, int, int]]) -> None:
        """Writing after each change and writing once give the same frame."""
        once, often = parse(bytes(frame), 1), parse(bytes(frame), 1)
        for field, value, mask in changes:
            for packet in (once, often):
                field_writer(field, value, mask)(packet)
            often.frame()
        self.assertEqual(once.frame(), often.frame())

    @given(frames(), st.lists(settings(), max_size=6))
    def test_undone(self, frame: Any, changes: list[tuple[Field, int, int]]) -> None:
        """Setting fields back to what they were gives back the frame, to the last bit."""
        data = bytes(frame)
        packet = parse(data, 1)
        before = packet.key
        for field, value, mask in changes:
            field_writer(field, value, mask)(packet)
        packet.frame()
        for field, _, _ in changes:
            field_writer(field, field.get(before))(packet)
        self.assertEqual(packet.frame().hex(), data.hex())

    @given(
        frames().map(bytes) | mutations(),
        st.sampled_from(list(FIELDS.values())),
        st.integers(0, (1 << 128) - 1),
        st.none() | st.integers(0, (1 << 128) - 1),
    )
    def test_setter(self, data: bytes, field: Field, value: int, mask: int | None) -> None:
        """To set a value that comes with the packet is to set it, for any field and any frame."""
        value &= field.limit
        mask = None if mask is None else mask & field.limit
        one, two = parse(data, 1), parse(data, 1)
        field_writer(field, value, mask)(one)
        field_setter(field, mask)(two, value)
        self.assertEqual((two.key, two.frame()), (one.key, one.frame()))

    @given(mutations(), st.lists(settings(), max_size=6))
    def test_malformed(self, data: bytes, changes: list[tuple[Field, int, int]]) -> None:
        """Whatever a frame is, setting fields neither raises nor changes its length."""
        packet = parse(data, 1)
        for field, value, mask in changes:
            field_writer(field, value, mask)(packet)
        self.assertEqual(len(packet.frame()), len(data))


class PrerequisiteTests(SynchronousTestCase):
    """Fields which a packet does not have."""

    def test_absent(self) -> None:
        """Setting a field of another protocol leaves key and frame as they are."""
        for name, fields in {
            "udp": ("tcp_src", "arp_op", "ipv6_src", "mpls_label", "vlan_vid", "vlan_pcp"),
            "tcp6": ("ipv4_src", "udp_dst", "icmpv6_type", "ipv6_nd_target"),
            "icmp6": ("ipv6_nd_target", "ipv6_nd_sll", "icmpv4_type"),
            "neighbour solicitation": ("ipv6_nd_tll",),
            "neighbour advertisement": ("ipv6_nd_sll",),
            "later fragment": ("udp_src", "udp_dst"),
            "arp": ("ipv4_src", "ip_dscp", "nw_ttl"),
            "mpls": ("ipv4_src", "pbb_isid"),
            "pbb": ("vlan_vid", "mpls_bos"),
            "llc": ("eth_type", "ipv4_dst"),
        }.items():
            for field in fields:
                packet = parse(CORPUS[name], 1)
                key = packet.key
                field_writer(FIELDS[field], FIELDS[field].get(key) ^ 1)(packet)
                self.assertEqual(packet.frame(), CORPUS[name], (name, field))
                if field != "eth_type":
                    self.assertEqual(packet.key, key, (name, field))

    def test_truncated(self) -> None:
        """A header cut short is not written; what is there of it stays."""
        data = CORPUS["udp"][:40]
        self.assertEqual(written(data, "ipv4_src", 1), data)
        self.assertEqual(written(data, "udp_src", 1), data)

    def test_missing_option(self) -> None:
        """An address in an option that is not there is not written anywhere."""
        data = bytes(ether() / ipv6() / inet6.ICMPv6ND_NS(tgt="2001:db8::2"))
        self.assertEqual(written(data, "ipv6_nd_sll", 1), data)


class HeaderTests(SynchronousTestCase):
    """Fields whose writing has a peculiarity."""

    def test_drop_eligible_stays(self) -> None:
        """The "drop eligible" bit of a tag survives a change of identifier and priority."""
        frame = written(written(CORPUS["vlan"], "vlan_vid", 0x1000 | 9), "vlan_pcp", 1)
        expected = ether() / vlan(9, 1, dei=1) / ip() / inet.UDP(sport=53, dport=5353) / PAYLOAD
        self.assertEqual(frame, bytes(expected))

    def test_vlan_stays_present(self) -> None:
        """No value of ``vlan_vid`` removes a tag; that is what ``pop_vlan`` is for."""
        self.assertEqual(written(CORPUS["vlan"], "vlan_vid", 0)[12:16].hex(), "81007000")

    def test_outer_vlan(self) -> None:
        """Of several tags the outer one is written."""
        frame = written(CORPUS["two vlans"], "vlan_vid", 0x1000 | 9)
        self.assertEqual(frame[12:22].hex(), "88a86009810000070800")

    def test_mpls_ttl_stays(self) -> None:
        """The TTL of an MPLS shim survives a change of its fields."""
        frame = CORPUS["mpls"]
        for name, value in (("mpls_label", 0xFFFFF), ("mpls_tc", 0), ("mpls_bos", 0)):
            frame = written(frame, name, value)
        self.assertEqual(frame[14:18].hex(), "fffff009")

    def test_pbb_flags_stay(self) -> None:
        """The first byte of an I-TAG survives a change of the service identifier."""
        data = bytearray(CORPUS["pbb"])
        data[14] = 0xA0
        self.assertEqual(written(bytes(data), "pbb_isid", 0xABCDEF)[14:18].hex(), "a0abcdef")

    def test_mask(self) -> None:
        """Only the bits of the mask are written."""
        frame = written(CORPUS["udp"], "ipv4_src", 0xFFFFFFFF, 0x00FF00FF)
        expected = ether() / ip(src="192.255.2.255") / inet.UDP(sport=53, dport=5353) / PAYLOAD
        self.assertEqual(frame, bytes(expected))

    def test_udp_without_checksum(self) -> None:
        """A UDP checksum of zero stays zero, over both versions of IP."""
        for header, name in ((ip(), "ipv4_dst"), (ipv6(), "ipv6_dst")):
            data = bytes(ether() / header / inet.UDP(sport=1, dport=2, chksum=0) / PAYLOAD)
            for change in (name, "udp_dst"):
                frame = written(data, change, 77)
                self.assertEqual(FIELDS[change].get(flow_key(frame, 1)), 77)
                self.assertEqual(frame[-9:-7], b"\0\0")

    def test_udp_checksum_never_becomes_zero(self) -> None:
        """A UDP checksum that comes out as zero is sent as 0xffff."""
        data = bytes(ether() / ip() / inet.UDP(sport=0, dport=2) / PAYLOAD)
        checksum = int.from_bytes(data[40:42], "big")
        # Adding to a word what is left of its checksum leaves nothing.
        self.assertEqual(written(data, "udp_src", checksum)[40:42], b"\xff\xff")

    def test_icmp_all_zero(self) -> None:
        """The checksum of an ICMP message which is all zero is 0xffff, not 0."""
        data = bytes(ether() / ip() / inet.ICMP(type=8, code=0, id=0, seq=0))
        frame = written(data, "icmpv4_type", 0)
        self.assertEqual(frame, repaired(frame))
        self.assertEqual(frame[34:38].hex(), "0000ffff")

    def test_icmp_not_all_zero(self) -> None:
        """Where other bytes are not zero the same sum gives a checksum of 0."""
        data = bytes(ether() / ip() / inet.ICMP(type=8, code=0, id=0xFFFF, seq=0))
        frame = written(data, "icmpv4_type", 0)
        self.assertEqual(frame, repaired(frame))
        self.assertEqual(frame[34:38].hex(), "00000000")

    def test_damage_is_kept(self) -> None:
        """A frame with wrong checksums is not repaired by a change."""
        for name, at in (("udp", 40), ("tcp", 50), ("tcp6", 70), ("sctp", 42)):
            good = CORPUS[name]
            data = good[:at] + bytes((good[at] ^ 0x55,)) + good[at + 1 :]
            field = {"sctp": "sctp_dst", "udp": "udp_dst"}.get(name, "tcp_dst")
            frame = written(data, field, 4711)
            self.assertNotEqual(frame, repaired(frame))
            self.assertEqual(written(frame, field, FIELDS[field].get(flow_key(data, 1))), data)

    def test_first_fragment(self) -> None:
        """In a first fragment ports are written, and the checksum follows by the difference."""
        whole = bytes(ether() / ip(id=5) / inet.UDP(sport=1, dport=2) / Raw(bytes(range(64))))
        wanted = bytes(ether() / ip(id=5) / inet.UDP(sport=9, dport=2) / Raw(bytes(range(64))))
        first = bytearray(whole)
        first[20] = 0x20
        self.assertEqual(written(bytes(first), "udp_src", 9)[40:42], wanted[40:42])

    def test_first_fragment_with_hidden_ports(self) -> None:
        """Where ports of first fragments are hidden, setting one leaves the other as it is."""
        packet = parse(CORPUS["first fragment"], 1, fragment_ports=False)
        field_writer(FIELDS["udp_dst"], 80)(packet)
        self.assertEqual(packet.frame()[34:38].hex(), "00350050")

    def test_later_fragment(self) -> None:
        """In a later fragment addresses are written, and nothing behind the IP header."""
        data = CORPUS["later fragment"]
        self.assertEqual(written(data, "ipv4_src", 1)[34:], data[34:])

    def test_routed(self) -> None:
        """With stops left to go, the checksum does not cover the destination of the IPv6 header."""
        data = CORPUS["routed"]
        self.assertEqual(written(data, "ipv6_dst", 1)[54:], data[54:])
        source = written(data, "ipv6_src", 1)
        self.assertEqual(source, repaired(source))
        self.assertNotEqual(source[54:], data[54:])

    def test_sctp(self) -> None:
        """Ports of SCTP are covered by its CRC, the addresses of IP are not."""
        data = CORPUS["sctp"]
        self.assertEqual(written(data, "ipv4_dst", 1)[34:], data[34:])
        expected = ether() / ip() / sctp.SCTP(sport=99, dport=2) / sctp.SCTPChunkData(data=b"abc")
        self.assertEqual(written(data, "sctp_src", 99), bytes(expected))

    def test_padding_stays(self) -> None:
        """Padding behind the IP packet is neither covered by a checksum nor changed."""
        frame = written(CORPUS["sctp"] + b"\xaa\xbb", "sctp_src", 99)
        self.assertEqual(frame, written(CORPUS["sctp"], "sctp_src", 99) + b"\xaa\xbb")


class MeaningTests(SynchronousTestCase):
    """Fields which decide what other fields mean."""

    def test_eth_type(self) -> None:
        """The type is replaced behind the tags, and the packet is then of that type."""
        packet = parse(CORPUS["vlan"], 1)
        field_writer(FIELDS["eth_type"], 0x8848)(packet)
        self.assertEqual(packet.frame()[16:18], b"\x88\x48")
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))
        self.assertEqual(FIELDS["mpls_label"].get(packet.key), 0x45000)

    def test_ip_proto(self) -> None:
        """The protocol is replaced; the checksum stays that of the header which is there."""
        for name, proto_at, checksum_at in (("tcp", 23, 50), ("tcp6", 20, 70)):
            data = CORPUS[name]
            packet = parse(data, 1)
            field_writer(FIELDS["ip_proto"], 17)(packet)
            frame = packet.frame()
            self.assertEqual(frame[proto_at], 17)
            self.assertEqual(packet.key, flow_key(frame, 1))
            old, new = (
                int.from_bytes(f[checksum_at : checksum_at + 2], "big") for f in (data, frame)
            )
            self.assertEqual((new - old) % 0xFFFF, (6 - 17) % 0xFFFF)
            if name == "tcp":
                self.assertEqual(
                    inet.IP(frame[14:34]).chksum, inet.IP(repaired(frame)[14:34]).chksum
                )

    def test_ip_proto_behind_extension_headers(self) -> None:
        """Behind extension headers the last of them is what names the protocol."""
        frame = written(CORPUS["extension headers"], "ip_proto", 17)
        self.assertEqual(frame[:62], CORPUS["extension headers"][:62])
        self.assertEqual(frame[62], 17)

    def test_icmpv6_type(self) -> None:
        """A solicitation made an echo request has no target any more."""
        packet = parse(CORPUS["neighbour solicitation"], 1)
        field_writer(FIELDS["icmpv6_type"], 128)(packet)
        self.assertEqual(FIELDS["ipv6_nd_target"].get(packet.key), 0)
        self.assertEqual(packet.frame(), repaired(packet.frame()))
        field_writer(FIELDS["icmpv6_type"], 135)(packet)
        self.assertEqual(packet.frame(), CORPUS["neighbour solicitation"])
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))

    def test_icmpv6_code(self) -> None:
        """A solicitation whose code is not 0 has no target any more."""
        packet = parse(CORPUS["neighbour solicitation"], 1)
        field_writer(FIELDS["icmpv6_code"], 1)(packet)
        self.assertEqual(FIELDS["ipv6_nd_target"].get(packet.key), 0)
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))
        self.assertEqual(packet.frame(), repaired(packet.frame()))

    def test_pipeline_fields_stay(self) -> None:
        """Metadata, tunnel, registers and port survive a change of what the headers mean."""
        packet = parse(CORPUS["udp"], 0xABCDEF)
        for name in ("metadata", "tunnel_id", "reg0", "reg7", "pkt_mark", "tun_src", "in_phy_port"):
            packet.key = FIELDS[name].put(packet.key, 0x1234)
        field_writer(FIELDS["eth_type"], 0x1234)(packet)
        for name in ("metadata", "tunnel_id", "reg0", "reg7", "pkt_mark", "tun_src", "in_phy_port"):
            self.assertEqual(FIELDS[name].get(packet.key), 0x1234)
        self.assertEqual(FIELDS["in_port"].get(packet.key), 0xABCDEF)

    def test_vlan_tci(self) -> None:
        """Setting ``vlan_tci`` makes a tag, changes it, and removes it."""
        packet = parse(CORPUS["udp"], 1)
        field_writer(FIELDS["vlan_tci"], 0x7005)(packet)
        self.assertEqual(packet.frame()[12:18].hex(), "810060050800")
        field_writer(FIELDS["vlan_tci"], 0x0009, 0x0FFF)(packet)
        self.assertEqual(packet.frame()[12:18].hex(), "810060090800")
        field_writer(FIELDS["vlan_tci"], 0)(packet)
        self.assertEqual(packet.frame(), CORPUS["udp"])

    def test_registers(self) -> None:
        """Fields which no header holds are kept with the packet and leave the frame alone."""
        packet = parse(CORPUS["udp"], 1)
        field_writer(FIELDS["reg3"], 0x55, 0xFF)(packet)
        self.assertEqual(FIELDS["reg3"].get(packet.key), 0x55)
        self.assertIs(packet.frame(), CORPUS["udp"])


class TransportTests(SynchronousTestCase):
    """The actions of OpenFlow 1.0 that mean the port of whatever transport there is."""

    def both(self, name: str) -> Packet:
        """A frame of the corpus with 0x1234 as source and 0x5678 as destination."""
        packet = parse(CORPUS[name], 1)
        tp_src_writer(0x1234)(packet)
        tp_dst_writer(0x5678)(packet)
        return packet

    def test_ports(self) -> None:
        """Ports of TCP, UDP and SCTP are set."""
        for name, at in (("tcp", 34), ("udp", 34), ("sctp", 34), ("tcp6", 54), ("udp6", 54)):
            frame = self.both(name).frame()
            self.assertEqual(frame[at : at + 4].hex(), "12345678")
            self.assertEqual(frame, repaired(frame))

    def test_icmp(self) -> None:
        """Type and code of ICMP are set."""
        packet = self.both("icmp")
        self.assertEqual(packet.frame()[34:36].hex(), "3478")
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))

    def test_others(self) -> None:
        """Packets without ports stay as they are."""
        for name in ("arp", "later fragment", "other ip", "llc", "mpls"):
            packet = self.both(name)
            self.assertEqual(packet.frame(), CORPUS[name])
            self.assertEqual(packet.key, flow_key(CORPUS[name], 1))
