"""Tests of :mod:`agent.openflow.text_parse`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS, IN_PORT, NW_FRAG, NW_TTL
from agent.openflow.match import Match
from agent.openflow.messages import ANY, Port
from agent.openflow.text import format_match
from agent.openflow.text_parse import MAX_TEXT, FlowSyntaxError, parse_flow, parse_match
from agent.packet.describe import describe
from agent.packet.flowkey import flow_key
from tests.openflow.strategies import matches10, matches13
from tests.packet.frames import CORPUS, frames, mutations

IP: dict[str, Any] = {"eth_type": 0x0800}
TCP: dict[str, Any] = {**IP, "ip_proto": 6}
IPV6: dict[str, Any] = {"eth_type": 0x86DD}
ICMPV6: dict[str, Any] = {**IPV6, "ip_proto": 58}

MATCHES: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("  in_port=3 ,, eth\tip", {"in_port": 3, **IP}),
    ("in_port=local", {"in_port": Port.LOCAL}),
    ("in_port=NONE", {"in_port": ANY}),
    ("in_port=eth0", {"in_port": 7}),
    ("in_port=0x10", {"in_port": 16}),
    ("dl_src=0:1:2:a:b:ff", {"eth_src": 0x0001020A0BFF}),
    ("eth_dst=01:00:00:00:00:00/01:00:00:00:00:00", {"eth_dst": (1 << 40, 1 << 40)}),
    ("dl_type=0x1234", {"eth_type": 0x1234}),
    ("rarp", {"eth_type": 0x8035}),
    ("dl_vlan=5", {"vlan_vid": 0x1005}),
    ("dl_vlan_pcp=3", {"vlan_tci": (0x7000, 0xF000)}),
    ("dl_vlan=5,dl_vlan_pcp=3", {"vlan_tci": 0x7005}),
    ("dl_vlan=0xffff", {"vlan_vid": 0}),
    ("vlan_vid=0x1005,vlan_pcp=2", {"vlan_tci": 0x5005}),
    ("vlan_tci=0x1000/0x1000", {"vlan_vid": (0x1000, 0x1000)}),
    ("dl_type=0x0800,nw_proto=6,tp_dst=80", {**TCP, "tcp_dst": 80}),
    ("tcp,nw_src=10.0.0.0/8", {**TCP, "ipv4_src": (10 << 24, 0xFF000000)}),
    ("tcp,ip_dst=10.0.0.1/0.0.0.255", {**TCP, "ipv4_dst": (1, 255)}),
    ("ip,nw_src=0.0.0.0/0", IP),
    ("tcp,tp_src=0x50/0xfff0", {**TCP, "tcp_src": (0x50, 0xFFF0)}),
    ("udp6,udp_dst=53", {**IPV6, "ip_proto": 17, "udp_dst": 53}),
    ("sctp,tp_src=9", {**IP, "ip_proto": 132, "sctp_src": 9}),
    ("tcp,tcp_flags=syn|ack", {**TCP, "tcp_flags": 0x12}),
    ("tcp,tcp_flags=0x12/0x3f", {**TCP, "tcp_flags": (0x12, 0x3F)}),
    ("tcp,tcp_flags=+syn-ack+[800]", {**TCP, "tcp_flags": (0x802, 0x812)}),
    ("icmp,icmp_type=8,icmp_code=0", {**IP, "ip_proto": 1, "icmpv4_type": 8, "icmpv4_code": 0}),
    ("icmp6,icmp_type=128", {**ICMPV6, "icmpv6_type": 128}),
    (
        "icmp6,icmp_type=135,nd_target=fe80::/10,nd_sll=00:00:00:00:00:01",
        {
            **ICMPV6,
            "icmpv6_type": 135,
            "ipv6_nd_target": (0xFE80 << 112, 0xFFC0 << 112),
            "ipv6_nd_sll": 1,
        },
    ),
    ("ipv6,ipv6_src=2001:db8::1", {**IPV6, "ipv6_src": 0x20010DB8 << 96 | 1}),
    ("ipv6,ipv6_dst=::1/::ff", {**IPV6, "ipv6_dst": (1, 255)}),
    ("ip,nw_tos=44,nw_ecn=1", {**IP, "ip_dscp": 11, "ip_ecn": 1}),
    ("ip,ip_dscp=11,ip_ttl=3", {**IP, "ip_dscp": 11, "nw_ttl": 3}),
    ("ip,nw_frag=yes", {**IP, "nw_frag": (1, 1)}),
    ("ip,ip_frag=not_later", {**IP, "nw_frag": (0, 2)}),
    ("arp,arp_spa=10.0.0.1,arp_op=1", {"eth_type": 0x806, "arp_spa": 0x0A000001, "arp_op": 1}),
    ("mpls,mpls_label=16,mpls_bos=1", {"eth_type": 0x8847, "mpls_label": 16, "mpls_bos": 1}),
    ("reg3=5/7,metadata=1", {"reg3": (5, 7), "metadata": 1}),
    ("tun_id=5,tun_src=192.0.2.0/24", {"tunnel_id": 5, "tun_src": (0xC0000200, 0xFFFFFF00)}),
]
"""Texts, and what they say."""

WRONG: list[tuple[str, str]] = [
    ("tcp,foo=3", "foo=3: unknown field foo"),
    ("foo", "foo: unknown field foo"),
    ("ip=3", "ip=3: unknown field ip"),
    ("nx_in_port=3", "nx_in_port=3: unknown field nx_in_port"),
    ("in_port", "in_port: bad value for in_port: '' is not a port"),
    ("in_port=p9", "in_port=p9: bad value for in_port: 'p9' is not a port"),
    ("in_port=MAX", "in_port=MAX: bad value for in_port: 'MAX' is not a port"),
    ("in_port=4294967296", "in_port=4294967296: bad value for in_port: more than 32 bits"),
    ("dl_src=00:11", "dl_src=00:11: bad value for dl_src: '00:11' is not an Ethernet address"),
    ("ip,nw_src=1.2.3.400", "nw_src=1.2.3.400: bad value for nw_src: '1.2.3.400' is not an IPv4"),
    ("ip,nw_src=1.2.3.4/33", "nw_src=1.2.3.4/33: bad value for nw_src: a prefix has at most 32"),
    ("ipv6,ipv6_src=::g", "ipv6_src=::g: bad value for ipv6_src: '::g' is not an IPv6 address"),
    ("nw_src=1.2.3.4,ip", "nw_src=1.2.3.4: prerequisites not met for setting nw_src"),
    ("ip,tp_src=4", "tp_src=4: prerequisites not met for setting tp_src"),
    ("icmp6,icmp_type=136,nd_sll=0:0:0:0:0:1", "nd_sll=0:0:0:0:0:1: prerequisites not met"),
    ("vlan_pcp=3", "vlan_pcp=3: prerequisites not met for setting vlan_pcp"),
    ("ip,nw_ttl=1,nw_ttl=2", "nw_ttl=2: something else was said of nw_ttl before"),
    ("tcp,udp", "udp: something else was said of ip_proto before"),
    ("dl_vlan=4096", "dl_vlan=4096: bad value for dl_vlan: it is greater than 4095"),
    ("dl_vlan=4/3", "dl_vlan=4/3: bad value for dl_vlan: '4/3' is not a number"),
    ("dl_vlan_pcp=8", "dl_vlan_pcp=8: bad value for dl_vlan_pcp: it is greater than 7"),
    ("dl_type=-1", "dl_type=-1: bad value for dl_type: '-1' is not a number"),
    ("dl_type=\u0661", "dl_type=\u0661: bad value for dl_type: '\u0661' is not a number"),
    ("ip,nw_tos=3", "nw_tos=3: bad value for nw_tos: the two lowest bits are nw_ecn"),
    ("ip,nw_frag=maybe", "nw_frag=maybe: bad value for nw_frag: 'maybe' is not no, first"),
    ("tcp,tcp_flags=syn|foo", "tcp_flags=syn|foo: bad value for tcp_flags: there is no flag 'foo'"),
    ("tcp,tcp_flags=+syn-syn", "tcp_flags=+syn-syn: bad value for tcp_flags: syn is said twice"),
    ("tcp,tcp_flags=+", "tcp_flags=+: bad value for tcp_flags: '+' is not a list of flags"),
    ("reg0=" + "9" * 41, "is not a number"),
    ("x" * (MAX_TEXT + 1), f"xxxxxxxxxxxxxxxxxxxx...: longer than {MAX_TEXT} characters"),
]
"""Texts, and how what is told of them begins."""


class MatchTests(SynchronousTestCase):
    """Texts about rules."""

    def test_examples(self) -> None:
        """Each text says what Open vSwitch takes it to say."""
        for text, fields in MATCHES:
            self.assertEqual(parse_match(text, {"eth0": 7}), Match.of(**fields), text)

    def test_wrong(self) -> None:
        """Of what is wrong, the token is told and why."""
        for text, said in WRONG:
            error = self.assertRaises(FlowSyntaxError, parse_match, text)
            self.assertIn(said, str(error))
            self.assertTrue(text.startswith(error.token[:20]) or error.token in text)

    @given(matches13() | matches10())
    def test_what_is_printed(self, match: Match) -> None:
        """What is printed of a match is read as that match."""
        self.assertEqual(parse_match(format_match(match)), match)

    @given(st.text() | st.text("=,/:.0x1fipcto_nwsrda", max_size=20))
    def test_anything(self, text: str) -> None:
        """Any text is read, or refused with a token of it."""
        try:
            parse_match(text)
        except FlowSyntaxError as error:
            self.assertIn(error.token, text)


class FlowTests(SynchronousTestCase):
    """Texts about packets."""

    def test_zero(self) -> None:
        """What is not said is zero, and a packet comes from no port."""
        key = parse_flow("tcp")
        self.assertEqual(key, IN_PORT.put(Match.of(**TCP).value, ANY))
        self.assertEqual((NW_TTL.get(key), NW_FRAG.get(key)), (0, 0))
        self.assertEqual(parse_flow("tcp,in_port=1"), Match.of(**TCP, in_port=1).value)

    def test_vlan(self) -> None:
        """An identifier or a priority makes a tag; it can be said that there is none."""
        tci = FIELDS["vlan_tci"]
        for text, value in (
            ("dl_vlan=5", 0x1005),
            ("dl_vlan_pcp=3", 0x7000),
            ("dl_vlan=5,dl_vlan_pcp=3", 0x7005),
            ("vlan_tci=0x7005", 0x7005),
            ("dl_vlan=0xffff", 0),
        ):
            self.assertEqual(tci.get(parse_flow(text)), value, text)
        self.assertRaises(FlowSyntaxError, parse_flow, "dl_vlan=0xffff,dl_vlan_pcp=3")

    def test_no_wildcards(self) -> None:
        """A packet has a value for each bit."""
        for text in (
            "dl_src=01:00:00:00:00:00/01:00:00:00:00:00",
            "ip,nw_src=10.0.0.0/8",
            "ip,nw_frag=yes",
            "tcp,tcp_flags=+syn",
            "vlan_tci=0x1000/0x1000",
        ):
            error = self.assertRaises(FlowSyntaxError, parse_flow, text)
            self.assertIn("a packet has no wildcards", error.why)
        self.assertEqual(parse_flow("ip,nw_src=10.0.0.0/32"), parse_flow("ip,nw_src=10.0.0.0"))

    def test_corpus(self) -> None:
        """What is printed of each kind of packet is read as that packet."""
        for name, frame in CORPUS.items():
            key = flow_key(frame, 3)
            self.assertEqual(parse_flow(describe(key)), key, name)

    @given(frames().map(bytes) | mutations())
    def test_what_is_printed(self, frame: bytes) -> None:
        """And so of any packet, mutilated ones too."""
        key = flow_key(frame, 3)
        self.assertEqual(describe(parse_flow(describe(key))), describe(key))
