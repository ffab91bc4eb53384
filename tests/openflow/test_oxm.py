"""Tests for :mod:`agent.openflow.oxm`: what the specification says of matches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, fields
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.fields import FIELDS, OXM_FIELDS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.oxm import (
    decode_match,
    decode_nxm,
    decode_oxm_field,
    encode_match,
    encode_nxm,
    encode_oxm_field,
    fields_of,
)
from tests.openflow.strategies import matches13
from tests.openflow.tlvs import basic, damaged, needed, ofp_match, tlv, tlv_lists

IPV4 = basic(5, "0800")
IPV6 = basic(5, "86dd")
ARP = basic(5, "0806")
TCP = basic(10, "06")
ICMPV6 = basic(10, "3a")
TAGGED = basic(6, "1005")

# fmt: off
ERRORS: dict[str, tuple[ErrorCode, bytes]] = {
    "unknown field": (errors.BAD_FIELD, basic(40, "00")),
    "unknown class": (errors.BAD_FIELD, tlv(0x8001, 0, bytes(4))),
    "experimenter": (errors.BAD_FIELD, tlv(0xFFFF, 0, bytes(8))),
    "too short": (errors.MATCH_BAD_LEN, basic(0, "000001")),
    "too long": (errors.MATCH_BAD_LEN, basic(0, "0000000001")),
    "no value": (errors.MATCH_BAD_LEN, basic(0, "")),
    "mask missing": (errors.MATCH_BAD_LEN, basic(3, "010203040506", "")),
    "mask too short": (errors.MATCH_BAD_LEN, basic(3, "010203040506", "ffffffffff")),
    "header cut": (errors.MATCH_BAD_LEN, basic(0, "00000001") + b"\x80"),
    "value cut": (errors.MATCH_BAD_LEN, basic(0, "00000001")[:-1]),
    "mask on unmaskable": (errors.MATCH_BAD_MASK, basic(5, "0800", "ff00")),
    "value outside mask": (errors.BAD_WILDCARDS, basic(3, "010000000001", "010000000000")),
    "zero mask, value": (errors.BAD_WILDCARDS, basic(3, "000000000001", "000000000000")),
    "vlan_vid of 14 bits": (errors.MATCH_BAD_VALUE, basic(6, "3005")),
    "vlan_vid without tag": (errors.MATCH_BAD_VALUE, basic(6, "0005")),
    "vlan_vid without tag, mask": (errors.MATCH_BAD_VALUE, basic(6, "0005", "1005")),
    "vlan_tci without tag": (errors.MATCH_BAD_VALUE, tlv(0, 4, b"\x20\x05")),
    "vlan_pcp of 4 bits": (errors.MATCH_BAD_VALUE, TAGGED + basic(7, "08")),
    "ip_dscp of 7 bits": (errors.MATCH_BAD_VALUE, IPV4 + basic(8, "40")),
    "ip_ecn of 3 bits": (errors.MATCH_BAD_VALUE, IPV4 + basic(9, "04")),
    "nw_tos with ECN": (errors.MATCH_BAD_VALUE, IPV4 + tlv(0, 5, b"\x01")),
    "ipv6_flabel of 21 bits": (errors.MATCH_BAD_VALUE, IPV6 + basic(28, "00100000")),
    "ipv6_exthdr of 10 bits": (errors.MATCH_BAD_VALUE, IPV6 + basic(39, "0200")),
    "mpls_bos of 2 bits": (errors.MATCH_BAD_VALUE, basic(5, "8847") + basic(36, "02")),
    "twice": (errors.DUP_FIELD, basic(0, "00000001") * 2),
    "twice, masked": (errors.DUP_FIELD, basic(2, "01" * 8) + basic(2, "00" * 8, "ff" * 8)),
    "as OXM and NXM": (errors.DUP_FIELD, basic(0, "00000001") + tlv(0, 0, b"\x00\x01")),
    "tag twice": (errors.DUP_FIELD, TAGGED + tlv(0, 4, b"\x10\x05")),
    "ipv4_src without eth_type": (errors.BAD_PREREQ, basic(11, "0a000001")),
    "eth_type too late": (errors.BAD_PREREQ, basic(11, "0a000001") + IPV4),
    "ipv4_src in IPv6": (errors.BAD_PREREQ, IPV6 + basic(11, "0a000001")),
    "ipv4_src in ARP": (errors.BAD_PREREQ, ARP + basic(11, "0a000001")),
    "tcp_src without ip_proto": (errors.BAD_PREREQ, IPV4 + basic(13, "0050")),
    "udp_src in TCP": (errors.BAD_PREREQ, IPV4 + TCP + basic(15, "0050")),
    "nd_sll in advertisement": (errors.BAD_PREREQ, IPV6 + ICMPV6 + basic(29, "88")
                                + basic(32, "010203040506")),
    "vlan_pcp without vlan_vid": (errors.BAD_PREREQ, basic(7, "03")),
    "vlan_pcp without tag": (errors.BAD_PREREQ, basic(6, "0000") + basic(7, "03")),
    "in_phy_port without in_port": (errors.BAD_PREREQ, basic(1, "00000001")),
    "eth_type wildcarded": (errors.BAD_PREREQ, basic(5, "0000", "0000") + basic(11, "0a000001")),
}
# fmt: on


class ErrorTests(SynchronousTestCase):
    """What is wrong with a match is told by its own code."""

    def assertRefused(self, data: bytes, code: ErrorCode, case: str) -> None:
        """The match is refused for this reason, and again when it comes a second time."""
        for _ in range(2):
            error = self.assertRaises(OpenFlowError, decode_match, data, 0)
            self.assertEqual(error.code.name, code.name, case)

    def test_tlvs(self) -> None:
        """Each mistake in a TLV, alone and behind a good one."""
        for case, (code, tlvs) in ERRORS.items():
            self.assertRefused(ofp_match(tlvs), code, case)
            self.assertRefused(ofp_match(basic(38, "00" * 8), tlvs), code, case)

    def test_remembered(self) -> None:
        """A mistake is found in a match whose layout was seen without it."""
        good = [
            basic(3, "010000000000", "010000000000"),
            TAGGED + basic(7, "07"),
            basic(6, "0000"),
            IPV4 + basic(8, "3f"),
            IPV4 + TCP + basic(13, "0050"),
            IPV6 + ICMPV6 + basic(29, "87") + basic(32, "010203040506"),
        ]
        for tlvs in good:
            decode_match(ofp_match(tlvs), 0)
        self.test_tlvs()

    def test_type(self) -> None:
        """OFPMT_STANDARD and unknown types are no matches of 1.3."""
        for kind in (0, 2, 0xFFFF):
            self.assertRefused(ofp_match(kind=kind), errors.MATCH_BAD_TYPE, str(kind))

    def test_length(self) -> None:
        """A length below the header, and one beyond the bytes with their padding, is refused."""
        for length in (0, 3, 9, 0xFFFF):
            data = b"\0\1" + length.to_bytes(2, "big") + bytes(4)
            self.assertRefused(data, errors.MATCH_BAD_LEN, str(length))
        for size in range(8):
            self.assertRefused(ofp_match()[:size], errors.MATCH_BAD_LEN, f"{size} bytes")
        whole = ofp_match(basic(0, "00000001"))
        for size in range(len(whole)):
            self.assertRefused(whole[:size], errors.MATCH_BAD_LEN, f"{size} bytes")

    @given(damaged(tlv_lists()))
    def test_any_bytes(self, tlvs: bytes) -> None:
        """Whatever the bytes, there is a match of bits within its mask, or a typed error."""
        data = ofp_match(tlvs)
        try:
            match, end = decode_match(data, 0)
        except OpenFlowError:
            return
        self.assertEqual(end, len(data))
        self.assertEqual(match.value & ~match.mask, 0)


class DecodeTests(SynchronousTestCase):
    """What matches mean."""

    def decode(self, *tlvs: bytes) -> Match:
        """The match of these TLVs, which stands between other bytes."""
        data = ofp_match(*tlvs)
        match, end = decode_match(b"before" + data + b"after", 6)
        self.assertEqual(end, 6 + len(data))
        return match

    def test_empty(self) -> None:
        """No TLVs match everything."""
        self.assertEqual(self.decode(), MATCH_ALL)

    def test_example(self) -> None:
        """A match on an address is its header, its value, and a mask if there is one."""
        match = self.decode(IPV4, bytes.fromhex("80001604 0a000001"))
        self.assertEqual(match, Match.of(eth_type=0x0800, ipv4_src=0x0A000001))
        match = self.decode(IPV4, bytes.fromhex("80001708 0a000000 ff000000"))
        self.assertEqual(match, Match.of(eth_type=0x0800, ipv4_src=(0x0A000000, 0xFF000000)))

    def test_all_ones(self) -> None:
        """A mask of all ones is no mask, also where none is allowed."""
        self.assertEqual(self.decode(basic(3, "01" * 6, "ff" * 6)), self.decode(basic(3, "01" * 6)))
        self.assertEqual(self.decode(basic(5, "0800", "ffff")), self.decode(IPV4))
        self.assertEqual(self.decode(basic(6, "1005", "1fff")), self.decode(TAGGED))
        self.assertEqual(self.decode(basic(6, "1005", "ffff")), self.decode(TAGGED))

    def test_all_zeros(self) -> None:
        """A mask of all zeros is no field, also where none is allowed."""
        self.assertEqual(self.decode(basic(3, "00" * 6, "00" * 6)), MATCH_ALL)
        self.assertEqual(self.decode(basic(5, "0000", "0000")), MATCH_ALL)
        self.assertEqual(
            self.decode(basic(2, "00" * 8, "00" * 8), basic(2, "01" * 8)),
            Match.of(metadata=0x0101010101010101),
        )

    def test_vlan(self) -> None:
        """No tag, any tag, and a tag with an identifier, as in table 13 of section 7.2.3.7."""
        self.assertEqual(self.decode(basic(6, "0000")), Match.of(vlan_vid=0))
        self.assertEqual(self.decode(basic(6, "1000", "1000")), Match.of(vlan_vid=(0x1000, 0x1000)))
        self.assertEqual(self.decode(TAGGED), Match.of(vlan_vid=0x1005))
        self.assertEqual(
            self.decode(basic(6, "1000", "1000"), basic(7, "05")),
            Match.of(vlan_tci=(0xB000, 0xF000)),
        )

    def test_vlan_bits(self) -> None:
        """The bits of an identifier can be matched without asking whether there is a tag."""
        self.assertEqual(self.decode(basic(6, "0005", "000f")), Match.of(vlan_vid=(5, 15)))

    def test_nicira_in_oxm(self) -> None:
        """Nicira's TLVs are known in a match of OpenFlow too."""
        self.assertEqual(self.decode(tlv(1, 3, b"\0\0\0\7")), Match.of(reg3=7))

    def test_shared_mask(self) -> None:
        """Matches of one shape share the object that is their mask."""
        one = self.decode(IPV4, basic(11, "0a000001"))
        other = self.decode(IPV4, basic(11, "0a000002"))
        self.assertIs(one.mask, other.mask)
        self.assertNotEqual(one, other)


class EncodeTests(SynchronousTestCase):
    """How matches are written."""

    def test_each_field(self) -> None:
        """Every field, exact and masked, with its prerequisites, comes back as it was."""
        for field in FIELDS.values():
            if field in (fields.NX_IN_PORT, fields.NW_TOS):
                continue  # other words for in_port and ip_dscp
            masks = [field.limit]
            if field.maskable or field.nxm_maskable:
                masks += [1, field.limit ^ 1]
            for mask in masks:
                chosen: dict[str, int | tuple[int, int]] = {**needed(field)}
                chosen[field.name] = (field.limit & mask, mask)
                match = Match.of(**chosen)
                data = encode_match(match)
                self.assertEqual(decode_match(data, 0), (match, len(data)), chosen)
                nxm = encode_nxm(match)
                self.assertEqual(decode_nxm(nxm, 0, len(nxm)), match, chosen)

    @given(matches13())
    def test_round_trip(self, match: Match) -> None:
        """A match comes back as it was, and gives the same bytes again."""
        data = encode_match(match)
        self.assertEqual(len(data) % 8, 0)
        found, end = decode_match(data, 0)
        self.assertEqual((found, end), (match, len(data)))
        self.assertEqual(encode_match(found), data)

    @given(tlv_lists())
    def test_canonical(self, tlvs: bytes) -> None:
        """Whatever match is read, what is written is read as the same."""
        try:
            match, _ = decode_match(ofp_match(tlvs), 0)
        except OpenFlowError:
            return
        present = fields.VLAN_PRESENT << fields.VLAN_TCI.shift
        if match.mask & present & ~match.value:
            match = Match(match.mask & ~fields.VLAN_PCP.mask, match.value)  # no tag, no priority
        self.assertEqual(decode_match(encode_match(match), 0)[0], match)

    def test_order(self) -> None:
        """Fields are in the order of Open vSwitch, each behind its prerequisites."""
        match = Match.of(
            metadata=1,
            ipv4_dst=3,
            ipv4_src=2,
            eth_type=0x0800,
            tcp_dst=80,
            ip_proto=6,
            eth_dst=5,
            eth_src=4,
            vlan_vid=0x1005,
            vlan_pcp=3,
            in_port=1,
        )
        numbers = []
        data, at = encode_match(match), 4
        while at < int.from_bytes(data[2:4], "big"):
            numbers.append(data[at + 2] >> 1)
            at += 4 + data[at + 3]
        self.assertEqual(numbers, [0, 4, 3, 5, 6, 7, 11, 12, 10, 14, 2])

    def test_masked_ports(self) -> None:
        """A masked port is written as Nicira does: OpenFlow allows no mask there."""
        match = Match.of(eth_type=0x0800, ip_proto=6, tcp_dst=(0x50, 0xFFF0))
        wanted = ofp_match(IPV4, TCP, tlv(0, 10, b"\x00\x50", b"\xff\xf0"))
        self.assertEqual(encode_match(match), wanted)

    def test_partial_tag(self) -> None:
        """A tag of which OpenFlow's fields cannot say the bits is written as Nicira does."""
        match = Match.of(vlan_tci=(0x2000, 0x2000))
        self.assertEqual(encode_match(match), ofp_match(tlv(0, 4, b"\x20\x00", b"\x20\x00")))

    def test_percent(self) -> None:
        """Bytes which are a percent sign, in headers, masks and values, stand for themselves."""
        match = Match.of(eth_src=(0x252525252525, 0x256425732525), reg2=0x25250000)
        self.assertEqual(decode_match(encode_match(match), 0)[0], match)
        nxm = encode_nxm(match)
        self.assertEqual(decode_nxm(nxm, 0, len(nxm)), match)

    def test_untagged(self) -> None:
        """Where there is no tag there is no priority."""
        match = Match.of(vlan_tci=0)
        self.assertEqual(encode_match(match), ofp_match(basic(6, "0000")))

    def test_without_prerequisites(self) -> None:
        """What cannot be said, because its prerequisites are missing, is left out."""
        self.assertEqual(encode_match(Match.of(tcp_src=80)), ofp_match())


class NxmTests(SynchronousTestCase):
    """Nicira's extended match."""

    def decode(self, *tlvs: bytes) -> Match:
        """The match of these TLVs, without padding, between other bytes."""
        data = b"".join(tlvs)
        return decode_nxm(b"before" + data + b"after", 6, len(data))

    def test_in_port(self) -> None:
        """An input port has 16 bits; reserved ones are those of 1.3."""
        self.assertEqual(self.decode(tlv(0, 0, b"\x00\x03")), Match.of(in_port=3))
        self.assertEqual(self.decode(tlv(0, 0, b"\xff\xfe")), Match.of(in_port=0xFFFFFFFE))
        for port in (3, 0xFFFFFFFE):
            match = Match.of(in_port=port)
            self.assertEqual(encode_nxm(match), tlv(0, 0, (port & 0xFFFF).to_bytes(2, "big")))

    def test_in_port_too_large(self) -> None:
        """A port that does not fit into 16 bits cannot be written."""
        error = self.assertRaises(OpenFlowError, encode_nxm, Match.of(in_port=0x10000))
        self.assertIs(error.code, errors.BAD_OUT_PORT)

    def test_in_port_masked(self) -> None:
        """It can be left out by its mask, but not be matched in part."""
        self.assertEqual(self.decode(tlv(0, 0, b"\0\0", b"\0\0")), MATCH_ALL)
        self.assertEqual(self.decode(tlv(0, 0, b"\0\1", b"\xff\xff")), Match.of(in_port=1))
        self.assertRaises(OpenFlowError, self.decode, tlv(0, 0, b"\0\0", b"\0\1"))

    def test_tci(self) -> None:
        """The VLAN tag is one field; a part of it, or none, can be matched."""
        self.assertEqual(self.decode(tlv(0, 4, b"\xb0\x05")), Match.of(vlan_tci=0xB005))
        self.assertEqual(
            self.decode(tlv(0, 4, b"\x10\x05", b"\x1f\xff")), Match.of(vlan_vid=0x1005)
        )
        match = Match.of(vlan_vid=0x1005, vlan_pcp=3)
        self.assertEqual(encode_nxm(match), tlv(0, 4, b"\x70\x05"))

    def test_tos(self) -> None:
        """The ToS byte matches the DSCP alone."""
        self.assertEqual(
            self.decode(tlv(0, 3, b"\x08\0"), tlv(0, 5, b"\xb8")),
            Match.of(eth_type=0x0800, ip_dscp=46),
        )
        match = Match.of(eth_type=0x0800, ip_dscp=46, ip_ecn=1)
        wanted = tlv(0, 3, b"\x08\0") + tlv(0, 5, b"\xb8") + tlv(1, 28, b"\1")
        self.assertEqual(encode_nxm(match), wanted)

    def test_oxm_in_nxm(self) -> None:
        """What Nicira has no TLV for is written as OpenFlow does."""
        match = Match.of(metadata=5)
        self.assertEqual(encode_nxm(match), basic(2, "0000000000000005"))
        self.assertEqual(self.decode(basic(2, "0000000000000005")), match)

    def test_cut_short(self) -> None:
        """A match that is longer than the bytes is refused, whatever was seen before."""
        data = tlv(0, 0, b"\0\3")
        for _ in range(2):
            self.assertEqual(decode_nxm(data, 0, len(data)), Match.of(in_port=3))
            for size in range(len(data)):
                error = self.assertRaises(OpenFlowError, decode_nxm, data[:size], 0, len(data))
                self.assertIs(error.code, errors.MATCH_BAD_LEN)


class FieldsOfTests(SynchronousTestCase):
    """The fields of a match, by name."""

    @given(matches13())
    def test_complete(self, match: Match) -> None:
        """The fields are the match: none is missing, none is said twice, in the order of OXM."""
        found = list(fields_of(match))
        made = Match.of(**{field.name: (value, mask) for field, value, mask in found})
        self.assertEqual(made, match)
        numbers = [OXM_FIELDS.index(field) for field, _, _ in found]
        self.assertEqual(numbers, sorted(numbers))

    def test_shared_bits(self) -> None:
        """Bits that fields share belong to the one whose prerequisites are met."""
        for chosen in (
            {"eth_type": 0x0800, "ipv4_src": 1},
            {"eth_type": 0x0806, "arp_spa": 1},
            {"eth_type": 0x8035, "arp_op": 3, "arp_spa": 1},
            {"eth_type": 0x0800, "ip_proto": 6, "tcp_src": 1},
            {"eth_type": 0x86DD, "ip_proto": 17, "udp_src": 1},
            {"eth_type": 0x0800, "ip_proto": 132, "sctp_dst": 1},
            {"eth_type": 0x0800, "ip_proto": 1, "icmpv4_type": 1},
            {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "ipv6_nd_sll": 1},
            {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 136, "ipv6_nd_tll": 1},
        ):
            found = {field.name: value for field, value, _ in fields_of(Match.of(**chosen))}
            self.assertEqual(found, chosen)

    def test_tag(self) -> None:
        """The VLAN tag is told as identifier and priority; where there is none, as that."""
        match = Match.of(vlan_tci=0x7005)
        self.assertEqual(
            list(fields_of(match)),
            [(fields.VLAN_VID, 0x1005, 0x1FFF), (fields.VLAN_PCP, 3, 7)],
        )
        self.assertEqual(list(fields_of(Match.of(vlan_tci=0))), [(fields.VLAN_VID, 0, 0x1FFF)])

    def test_no_prerequisites(self) -> None:
        """Bits without prerequisites are told all the same."""
        self.assertEqual(list(fields_of(Match.of(tcp_src=80))), [(fields.TCP_SRC, 80, 0xFFFF)])


class SetFieldTests(SynchronousTestCase):
    """The TLV of a set-field action."""

    def test_round_trip(self) -> None:
        """A field and its value come back, with the offset behind them."""
        for field in FIELDS.values():
            if field in (fields.NX_IN_PORT, fields.NW_TOS):
                continue
            data = b"before" + encode_oxm_field(field, field.limit) + b"after"
            found = decode_oxm_field(data, 6, len(data))
            self.assertEqual(found, (field, field.limit, None, len(data) - 5))

    def test_mask(self) -> None:
        """A mask is told."""
        data = encode_oxm_field(fields.METADATA, 1, 3)
        self.assertEqual(decode_oxm_field(data, 0, len(data)), (fields.METADATA, 1, 3, len(data)))

    def test_errors(self) -> None:
        """An unknown field, a wrong length and a bad value have the codes of set-field."""
        for code, data in (
            (errors.BAD_SET_TYPE, basic(40, "00")),
            (errors.BAD_SET_LEN, basic(3, "0102030405")),
            (errors.BAD_SET_LEN, basic(3, "010203040506")[:-1]),
            (errors.BAD_SET_LEN, b"\x80"),
            (errors.BAD_SET_ARGUMENT, basic(7, "08")),
            (errors.BAD_SET_ARGUMENT, basic(3, "010000000001", "010000000000")),
        ):
            error = self.assertRaises(OpenFlowError, decode_oxm_field, data, 0, len(data))
            self.assertIs(error.code, code)

    @given(st.binary(max_size=24))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever the bytes, there is a field, or a typed error."""
        try:
            field, value, _, stop = decode_oxm_field(data, 0, len(data))
        except OpenFlowError:
            return
        self.assertLessEqual(value, field.limit)
        self.assertLessEqual(stop, len(data))
