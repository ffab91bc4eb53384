"""Tests for :mod:`agent.openflow.match10`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_0_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields, match10
from agent.openflow.errors import MATCH_BAD_LEN, MATCH_BAD_VALUE, OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.match10 import ALL, MATCH10, SIZE, decode_match10, encode_match10
from tests.openflow.strategies import matches10, matches13

NOTHING: dict[str, Any] = dict.fromkeys(MATCH10.names, 0) | {
    "dl_src": bytes(6),
    "dl_dst": bytes(6),
    "nw_src": bytes(4),
    "nw_dst": bytes(4),
}
EVERYTHING = 0x3820FF
"""The wildcards of a match of everything as Open vSwitch writes them: addresses by 32 bits each."""
_BITS = {
    "in_port": match10.IN_PORT,
    "dl_vlan": match10.DL_VLAN,
    "dl_src": match10.DL_SRC,
    "dl_dst": match10.DL_DST,
    "dl_type": match10.DL_TYPE,
    "nw_proto": match10.NW_PROTO,
    "tp_src": match10.TP_SRC,
    "tp_dst": match10.TP_DST,
    "nw_src": 63 << match10.NW_SRC_SHIFT,
    "nw_dst": 63 << match10.NW_DST_SHIFT,
    "dl_vlan_pcp": match10.DL_VLAN_PCP,
    "nw_tos": match10.NW_TOS,
}


def wire(wildcards: int = 0, **values: int | bytes) -> bytes:
    """A match on these fields alone; ``wildcards`` adds to those of the other fields."""
    chosen = EVERYTHING
    for name in values:
        chosen &= ~_BITS[name]
    return bytes(MATCH10.build(NOTHING | values | {"wildcards": chosen | wildcards}))


def meaning(wildcards: int = 0, **values: int | bytes) -> Match:
    """What such a match means, when it stands between other bytes."""
    return decode_match10(b"before" + wire(wildcards, **values) + b"after", 6)


IP: dict[str, Any] = {"dl_type": 0x0800}
TCP: dict[str, Any] = {"dl_type": 0x0800, "nw_proto": 6}
ICMP: dict[str, Any] = {"dl_type": 0x0800, "nw_proto": 1}
ARP: dict[str, Any] = {"dl_type": 0x0806}


class DecodeTests(SynchronousTestCase):
    """What matches mean."""

    def test_all(self) -> None:
        """With all wildcards set, also those that do not exist, everything matches."""
        self.assertEqual(meaning(), MATCH_ALL)
        self.assertEqual(meaning(ALL), MATCH_ALL)
        self.assertEqual(decode_match10(b"\xff" * 40, 0), MATCH_ALL)

    def test_fields(self) -> None:
        """Each field alone, with the prerequisites it needs, is the field of 1.3."""
        for values, wanted in (
            ({"in_port": 3}, Match.of(in_port=3)),
            ({"dl_src": b"\0\1\2\3\4\5"}, Match.of(eth_src=0x000102030405)),
            ({"dl_dst": b"\0\1\2\3\4\5"}, Match.of(eth_dst=0x000102030405)),
            ({"dl_vlan": 5}, Match.of(vlan_vid=0x1005)),
            ({"dl_vlan_pcp": 3}, Match.of(vlan_tci=(0x7000, 0xF000))),
            ({"dl_type": 0x1234}, Match.of(eth_type=0x1234)),
            ({**IP, "nw_tos": 0xB8}, Match.of(eth_type=0x0800, ip_dscp=46)),
            ({**IP, "nw_proto": 99}, Match.of(eth_type=0x0800, ip_proto=99)),
            ({**IP, "nw_src": b"\n\0\0\1"}, Match.of(eth_type=0x0800, ipv4_src=0x0A000001)),
            ({**IP, "nw_dst": b"\n\0\0\1"}, Match.of(eth_type=0x0800, ipv4_dst=0x0A000001)),
            ({**TCP, "tp_src": 80}, Match.of(eth_type=0x0800, ip_proto=6, tcp_src=80)),
            ({**TCP, "tp_dst": 80}, Match.of(eth_type=0x0800, ip_proto=6, tcp_dst=80)),
            ({**ICMP, "tp_src": 8}, Match.of(eth_type=0x0800, ip_proto=1, icmpv4_type=8)),
            ({**ICMP, "tp_dst": 8}, Match.of(eth_type=0x0800, ip_proto=1, icmpv4_code=8)),
            ({**ARP, "nw_proto": 2}, Match.of(eth_type=0x0806, arp_op=2)),
            ({**ARP, "nw_src": b"\n\0\0\1"}, Match.of(eth_type=0x0806, arp_spa=0x0A000001)),
            ({**ARP, "nw_dst": b"\n\0\0\1"}, Match.of(eth_type=0x0806, arp_tpa=0x0A000001)),
        ):
            self.assertEqual(meaning(**values), wanted, values)
            self.assertEqual(encode_match10(wanted), wire(**values), values)

    def test_reserved_port(self) -> None:
        """An input port that is reserved is the one of 1.3."""
        self.assertEqual(meaning(in_port=0xFFFE), Match.of(in_port=0xFFFFFFFE))

    def test_without_prerequisites(self) -> None:
        """Fields whose prerequisites are not met are ignored."""
        for prerequisites, values in (
            ({}, {"nw_src": b"\n\0\0\1", "nw_proto": 6, "tp_src": 80, "nw_tos": 4}),
            ({"dl_type": 0x1234}, {"nw_dst": b"\n\0\0\1", "nw_proto": 6, "tp_dst": 80}),
            (IP, {"tp_src": 80, "tp_dst": 80}),
            ({**IP, "nw_proto": 99}, {"tp_src": 80, "tp_dst": 80}),
            (ARP, {"nw_tos": 4, "tp_src": 80}),
            ({**ARP, "nw_proto": 6}, {"tp_dst": 80}),
            ({"dl_type": 0x86DD}, {"nw_src": b"\n\0\0\1"}),
        ):
            all_values: dict[str, Any] = {**prerequisites, **values}
            known: dict[str, Any] = dict(prerequisites)
            self.assertEqual(meaning(**all_values), meaning(**known), values)

    def test_wildcarded_values(self) -> None:
        """Values under a wildcard are nothing, whatever they are."""
        wanted = meaning(in_port=3)
        data = bytearray(b"\xff" * SIZE)
        data[:6] = wire(in_port=3)[:6]
        self.assertEqual(decode_match10(bytes(data), 0), wanted)

    def test_wildcarded_type(self) -> None:
        """A dl_type under a wildcard is no prerequisite."""
        data = bytearray(wire(nw_proto=6))
        data[22:24] = b"\x08\0"
        self.assertEqual(decode_match10(bytes(data), 0), MATCH_ALL)

    def test_prefixes(self) -> None:
        """The wildcards of an address count the low bits that do not matter; 32 and more: all."""
        for count in range(64):
            mask = 0xFFFFFFFF << min(count, 32) & 0xFFFFFFFF
            for name, shift, field in (
                ("nw_src", match10.NW_SRC_SHIFT, fields.IPV4_SRC),
                ("nw_dst", match10.NW_DST_SHIFT, fields.IPV4_DST),
            ):
                values: dict[str, Any] = {**IP, name: b"\xff" * 4}
                self.assertEqual(meaning(count << shift, **values).get(field), (mask, mask))

    def test_low_bits(self) -> None:
        """Bits that a field does not have are ignored: ECN, and the high bits of VLAN fields."""
        self.assertEqual(meaning(**IP, nw_tos=0xBB), meaning(**IP, nw_tos=0xB8))
        self.assertEqual(meaning(dl_vlan=0x3005), meaning(dl_vlan=5))
        self.assertEqual(meaning(dl_vlan_pcp=0xFB), meaning(dl_vlan_pcp=3))

    def test_untagged(self) -> None:
        """OFP_VLAN_NONE matches frames without a tag, whatever the priority."""
        self.assertEqual(meaning(dl_vlan=0xFFFF), Match.of(vlan_vid=0))
        self.assertEqual(meaning(dl_vlan=0xFFFF, dl_vlan_pcp=3), Match.of(vlan_vid=0))
        for _ in range(2):  # also when it has been seen with a tag
            self.assertEqual(meaning(dl_vlan=0x0FFF), Match.of(vlan_vid=0x1FFF))
            self.assertEqual(meaning(dl_vlan=0xFFFF), Match.of(vlan_vid=0))

    def test_not_ethernet_2(self) -> None:
        """Frames that are not Ethernet II keep their mark."""
        match = meaning(dl_type=0x05FF)
        self.assertEqual(match, Match.of(eth_type=0x05FF))
        self.assertEqual(encode_match10(match), wire(dl_type=0x05FF))

    def test_ipv6(self) -> None:
        """Protocol and ports can be matched in IPv6."""
        self.assertEqual(
            meaning(dl_type=0x86DD, nw_proto=6, tp_dst=80),
            Match.of(eth_type=0x86DD, ip_proto=6, tcp_dst=80),
        )
        self.assertEqual(
            meaning(dl_type=0x86DD, nw_proto=58, tp_src=135),
            Match.of(eth_type=0x86DD, ip_proto=58, icmpv6_type=135),
        )

    def test_icmp_too_large(self) -> None:
        """An ICMP type or code of more than a byte is refused, also when it has been seen."""
        for name in ("tp_src", "tp_dst"):
            for value, good in ((0x100, False), (0xFF, True), (0xFFFF, False)):
                values: dict[str, Any] = {**ICMP, name: value}
                if good:
                    meaning(**values)
                else:
                    error = self.assertRaises(OpenFlowError, meaning, **values)
                    self.assertIs(error.code, MATCH_BAD_VALUE)

    def test_cut_short(self) -> None:
        """Fewer than 40 bytes are no match."""
        data = wire(in_port=3)
        for size in range(SIZE):
            error = self.assertRaises(OpenFlowError, decode_match10, data[:size], 0)
            self.assertIs(error.code, MATCH_BAD_LEN)

    @given(st.binary(min_size=SIZE, max_size=SIZE))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever the bytes, there is a match of bits within its mask, or a typed error."""
        try:
            match = decode_match10(data, 0)
        except OpenFlowError:
            return
        self.assertEqual(match.value & ~match.mask, 0)
        self.assertEqual(decode_match10(encode_match10(match), 0), match)


class EncodeTests(SynchronousTestCase):
    """How matches are written."""

    @given(matches10())
    def test_round_trip(self, match: Match) -> None:
        """What 1.0 can say comes back."""
        data = encode_match10(match)
        self.assertEqual(len(data), SIZE)
        self.assertEqual(decode_match10(data, 0), match)

    @given(matches13())
    def test_never_less(self, match: Match) -> None:
        """What 1.0 cannot say is left out, so that what is written covers the match."""
        self.assertTrue(decode_match10(encode_match10(match), 0).covers(match))

    def test_all(self) -> None:
        """A match of everything has the wildcards of Open vSwitch."""
        self.assertEqual(encode_match10(MATCH_ALL), wire())

    def test_left_out(self) -> None:
        """Masks that are no prefixes, large ports and opcodes, and bare tags, are left out."""
        for match in (
            Match.of(eth_src=(1, 1)),
            Match.of(vlan_vid=(0x1000, 0x1000)),
            Match.of(vlan_vid=(0x0005, 0x000F)),
            Match.of(vlan_tci=(0x2000, 0xE000)),
            Match.of(in_port=0x10000),
            Match.of(metadata=1),
        ):
            self.assertEqual(encode_match10(match), encode_match10(MATCH_ALL), match)
        arp = Match.of(eth_type=0x0806)
        self.assertEqual(
            encode_match10(Match.of(eth_type=0x0806, arp_op=0x101)), encode_match10(arp)
        )

    def test_longest_prefix(self) -> None:
        """Of a mask with holes, the prefix before the first hole is kept."""
        match = Match.of(eth_type=0x0800, ipv4_src=(0xFF00FF00, 0xFF00FF00))
        wanted = Match.of(eth_type=0x0800, ipv4_src=(0xFF000000, 0xFF000000))
        self.assertEqual(decode_match10(encode_match10(match), 0), wanted)


class OsKenTests(SynchronousTestCase):
    """os-ken writes the same bytes, and reads ours."""

    CASES: tuple[tuple[dict[str, Any], Match], ...] = (
        (
            {
                "in_port": 3,
                "dl_src": "00:01:02:03:04:05",
                "dl_dst": "0a:0b:0c:0d:0e:0f",
                "dl_vlan": 5,
                "dl_vlan_pcp": 3,
                "dl_type": 0x0800,
                "nw_tos": 0xB8,
                "nw_proto": 6,
                "nw_src": "10.0.0.1",
                "nw_dst": "10.1.0.0",
                "nw_dst_mask": 16,
                "tp_src": 80,
                "tp_dst": 443,
            },
            Match.of(
                in_port=3,
                eth_src=0x000102030405,
                eth_dst=0x0A0B0C0D0E0F,
                vlan_vid=0x1005,
                vlan_pcp=3,
                eth_type=0x0800,
                ip_dscp=46,
                ip_proto=6,
                ipv4_src=0x0A000001,
                ipv4_dst=(0x0A010000, 0xFFFF0000),
                tcp_src=80,
                tcp_dst=443,
            ),
        ),
        (
            {"dl_type": 0x0806, "nw_proto": 1, "nw_src": "10.0.0.1", "nw_dst": "10.0.0.2"},
            Match.of(eth_type=0x0806, arp_op=1, arp_spa=0x0A000001, arp_tpa=0x0A000002),
        ),
        (
            {"dl_type": 0x0800, "nw_proto": 1, "tp_src": 8, "tp_dst": 0},
            Match.of(eth_type=0x0800, ip_proto=1, icmpv4_type=8, icmpv4_code=0),
        ),
    )

    def test_same_bytes(self) -> None:
        """The bytes are equal, but os-ken writes 63 for addresses that do not matter, and we 32."""
        for chosen, match in self.CASES:
            theirs = bytearray()
            parser.OFPMatch(**chosen).serialize(theirs, 0)
            self.assertEqual(decode_match10(bytes(theirs), 0), match)
            ours = bytearray(encode_match10(match))
            for shift in (match10.NW_SRC_SHIFT, match10.NW_DST_SHIFT):
                wildcards = int.from_bytes(ours[:4], "big")
                if wildcards >> shift & 32:
                    ours[:4] = (wildcards | 63 << shift).to_bytes(4, "big")
            self.assertEqual(ours, theirs)

    def test_they_read_ours(self) -> None:
        """os-ken finds the fields in what we write."""
        for chosen, match in self.CASES:
            found = parser.OFPMatch.parse(encode_match10(match), 0)
            for name, value in chosen.items():
                self.assertEqual(found[name], value, name)
