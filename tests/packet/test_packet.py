"""Tests of :mod:`agent.packet.packet`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from agent.openflow.fields import FIELDS
from agent.packet.complete import complete_checksums
from agent.packet.flowkey import flow_key
from agent.packet.packet import Packet, parse
from agent.packet.setfield import field_writer, tp_dst_writer, tp_src_writer
from tests.packet.casebase import PacketTestCase, after
from tests.packet.frames import (
    CORPUS,
    DST,
    MPLS,
    PAYLOAD,
    SRC,
    Raw,
    arp,
    ether,
    frames,
    inet,
    ip,
    ipv6,
    l2,
    mutations,
    pbb,
    repaired,
    vlan,
)

UDP: Final[Any] = inet.UDP(sport=53, dport=5353) / PAYLOAD
OPERATIONS: Final[dict[str, Callable[[Packet], object]]] = {
    "push_vlan": lambda packet: packet.push_vlan(0x8100),
    "push_svlan": lambda packet: packet.push_vlan(0x88A8),
    "pop_vlan": Packet.pop_vlan,
    "set_vlan_tci": lambda packet: packet.set_vlan_tci(0x7123),
    "set_vlan_vid": lambda packet: packet.set_vlan_vid(0xFFF),
    "set_vlan_pcp": lambda packet: packet.set_vlan_pcp(7),
    "push_mpls": lambda packet: packet.push_mpls(0x8847),
    "pop_mpls": lambda packet: packet.pop_mpls(0x0800),
    "pop_mpls6": lambda packet: packet.pop_mpls(0x86DD),
    "push_pbb": lambda packet: packet.push_pbb(0x88E7),
    "pop_pbb": Packet.pop_pbb,
    "dec_nw_ttl": Packet.dec_nw_ttl,
    "set_mpls_ttl": lambda packet: packet.set_mpls_ttl(9),
    "dec_mpls_ttl": Packet.dec_mpls_ttl,
    "copy_ttl_out": Packet.copy_ttl_out,
    "copy_ttl_in": Packet.copy_ttl_in,
    "complete": complete_checksums,
    "tp_src": tp_src_writer(0x1234),
    "tp_dst": tp_dst_writer(0x5678),
    "copy": Packet.copy,
} | {name: field_writer(field, field.limit) for name, field in FIELDS.items() if field.writable}
"""Everything that can be done to a packet."""


class PacketTests(PacketTestCase):
    """The packet as a whole."""

    def test_unchanged(self) -> None:
        """A packet that is not changed gives back the very bytes it was made of."""
        for data in CORPUS.values():
            self.assertIs(parse(data, 1).frame(), data)

    def test_copy(self) -> None:
        """A copy goes its own way, with the changes that were outstanding."""
        packet = parse(CORPUS["udp"], 1)
        field_writer(FIELDS["udp_dst"], 80)(packet)
        copy = packet.copy()
        copy.push_vlan(0x8100)
        field_writer(FIELDS["udp_src"], 90)(packet)
        udp = inet.UDP(sport=90, dport=80) / PAYLOAD
        self.assertEqual(packet.frame(), bytes(ether() / ip() / udp))
        udp = inet.UDP(sport=53, dport=80) / PAYLOAD
        self.assertEqual(copy.frame(), bytes(ether() / vlan(0) / ip() / udp))

    def test_hidden_ports_stay_hidden(self) -> None:
        """How fragments are handled holds for the packet as long as it lives."""
        packet = parse(CORPUS["first fragment"], 1, fragment_ports=False)
        packet.push_vlan(0x8100)
        self.assertEqual(FIELDS["udp_dst"].get(packet.key), 0)
        self.assertFalse(packet.copy().fragment_ports)

    def test_repr(self) -> None:
        """A packet says how long it is and of which type."""
        self.assertEqual(repr(parse(CORPUS["arp"], 1)), "<Packet of 42 bytes, eth_type=0x0806>")

    @given(mutations() | st.binary(max_size=100), st.lists(st.sampled_from(sorted(OPERATIONS))))
    def test_anything_goes(self, data: bytes, names: list[str]) -> None:
        """No operations on any bytes raise, and an Ethernet header stays."""
        packet = parse(data, 1)
        for name in names:
            OPERATIONS[name](packet)
        self.assertGreaterEqual(len(packet.frame()), min(14, len(data)))
        self.assertEqual(FIELDS["in_port"].get(packet.key), 1)

    def test_every_operation_on_every_truncation(self) -> None:
        """No operation raises on a frame of the corpus cut short at any byte."""
        for data in CORPUS.values():
            for length in range(len(data) + 1):
                for operation in OPERATIONS.values():
                    packet = parse(data[:length], 1)
                    operation(packet)
                    flow_key(packet.frame(), 1)

    @given(frames(), st.lists(st.sampled_from(sorted(set(OPERATIONS) - set(FIELDS)))))
    def test_checksums(self, frame: Any, names: list[str]) -> None:
        """Whatever is pushed on and taken off again, the checksums are right."""
        packet = parse(bytes(frame), 1)
        for name in names:
            if not name.startswith(("pop_mpls", "copy_ttl")):
                OPERATIONS[name](packet)
        while packet.layers().pbb >= 0:
            packet.pop_pbb()
        while packet.layers().vlans:
            packet.pop_vlan()
        while packet.layers().mpls >= 0:
            packet.pop_mpls(0x0800)
        if packet.layers().ipv4 >= 0:
            self.assertEqual(packet.frame().hex(), repaired(packet.frame()).hex())


class VlanTests(PacketTestCase):
    """VLAN tags."""

    def test_push(self) -> None:
        """A first tag is all zero."""
        self.assertBecomes(
            ether() / ip() / UDP, ether() / vlan(0) / ip() / UDP, OPERATIONS["push_vlan"]
        )
        self.assertBecomes(ether() / arp(), ether() / vlan(0) / arp(), OPERATIONS["push_vlan"])

    def test_push_another(self) -> None:
        """A further tag is a copy of the outer one, of the type asked for."""
        self.assertBecomes(
            ether() / vlan(5, 3, dei=1) / ip() / UDP,
            ether() / vlan(5, 3, 0x88A8) / vlan(5, 3, dei=1) / ip() / UDP,
            OPERATIONS["push_svlan"],
        )

    def test_push_before_mpls(self) -> None:
        """A tag goes before MPLS shims."""
        shim = MPLS(label=1, s=1, ttl=9)
        expected = ether() / l2.Dot1Q(vlan=0, type=0x8847) / shim / ip() / UDP
        self.assertBecomes(ether(0x8847) / shim / ip() / UDP, expected, OPERATIONS["push_vlan"])

    def test_push_and_set(self) -> None:
        """A pushed tag can be written in the same action list."""
        self.assertBecomes(
            ether() / ip() / UDP,
            ether() / vlan(100, 5) / ip() / UDP,
            OPERATIONS["push_vlan"],
            field_writer(FIELDS["vlan_vid"], 0x1000 | 100),
            field_writer(FIELDS["vlan_pcp"], 5),
        )

    def test_pop(self) -> None:
        """The outer tag is removed; a packet without one stays."""
        self.assertBecomes(
            CORPUS["two vlans"],
            ether() / vlan(7) / ip(tos=0) / inet.TCP(sport=40000, dport=80, flags="SA") / PAYLOAD,
            Packet.pop_vlan,
        )
        self.assertBecomes(CORPUS["vlan"], ether() / ip() / UDP, Packet.pop_vlan)
        self.assertSame("udp", Packet.pop_vlan)

    def test_set_pushes(self) -> None:
        """The actions of OpenFlow 1.0 push a tag where there is none."""
        untagged = ether() / ip() / UDP
        self.assertBecomes(
            untagged, ether() / vlan(9) / ip() / UDP, lambda packet: packet.set_vlan_vid(9)
        )
        self.assertBecomes(
            untagged, ether() / vlan(0, 6) / ip() / UDP, lambda packet: packet.set_vlan_pcp(6)
        )

    def test_set_keeps_the_rest(self) -> None:
        """They write their part of a tag that is there, and leave the other."""
        tagged = ether() / vlan(5, 3) / ip() / UDP
        self.assertBecomes(
            tagged, ether() / vlan(9, 3) / ip() / UDP, lambda packet: packet.set_vlan_vid(9)
        )
        self.assertBecomes(
            tagged, ether() / vlan(5, 6) / ip() / UDP, lambda packet: packet.set_vlan_pcp(6)
        )

    def test_llc(self) -> None:
        """A frame of IEEE 802.3 can be tagged, too."""
        dot3 = l2.Dot3(dst=DST, src=SRC) / l2.LLC() / l2.STP()
        data = bytes(dot3)
        self.assertBecomes(data, data[:12] + b"\x81\0\0\0" + data[12:], OPERATIONS["push_vlan"])
        self.assertBecomes(data, data, OPERATIONS["push_vlan"], Packet.pop_vlan)


class MplsTests(PacketTestCase):
    """MPLS shims."""

    def test_push_on_ip(self) -> None:
        """A first shim has the TTL of IP, and everything else zero but the bottom bit."""
        for header in (ip(ttl=17), ipv6(hlim=17)):
            self.assertBecomes(
                ether() / header / UDP,
                ether(0x8847) / MPLS(label=0, cos=0, s=1, ttl=17) / header / UDP,
                OPERATIONS["push_mpls"],
            )

    def test_push_takes_the_ttl_that_was_set(self) -> None:
        """A TTL that was decremented before is the one which is copied."""
        self.assertBecomes(
            ether() / ip(ttl=17) / UDP,
            ether(0x8847) / MPLS(label=0, s=1, ttl=16) / ip(ttl=16) / UDP,
            Packet.dec_nw_ttl,
            OPERATIONS["push_mpls"],
        )

    def test_push_on_arp(self) -> None:
        """Without IP the TTL of a first shim is zero."""
        self.assertBecomes(
            ether() / arp(),
            ether(0x8847) / MPLS(label=0, s=1, ttl=0) / arp(),
            OPERATIONS["push_mpls"],
        )

    def test_push_another(self) -> None:
        """A further shim is a copy of the outer one without the bottom bit."""
        shim = {"label": 100, "cos": 3, "ttl": 9}
        self.assertBecomes(
            CORPUS["mpls"],
            ether(0x8848) / MPLS(s=0, **shim) / MPLS(s=1, **shim) / ip() / UDP,
            lambda packet: packet.push_mpls(0x8848),
        )

    def test_push_behind_vlan(self) -> None:
        """A shim goes behind the tags."""
        expected = ether() / l2.Dot1Q(vlan=5, prio=3, type=0x8847) / MPLS(label=0, s=1, ttl=64)
        self.assertBecomes(
            ether() / vlan(5, 3) / ip() / UDP, expected / ip() / UDP, OPERATIONS["push_mpls"]
        )

    def test_push_on_llc(self) -> None:
        """A frame that has no Ethernet type has no place for a shim."""
        self.assertSame("llc", OPERATIONS["push_mpls"])

    def test_pop(self) -> None:
        """The outer shim is removed and what is below it gets the type asked for."""
        self.assertBecomes(CORPUS["mpls"], ether() / ip() / UDP, OPERATIONS["pop_mpls"])
        self.assertBecomes(
            CORPUS["mpls stack"],
            ether(0x8847) / MPLS(label=200, s=1, ttl=8) / Raw(CORPUS["mpls stack"][22:]),
            lambda packet: packet.pop_mpls(0x8847),
        )
        self.assertSame("udp", OPERATIONS["pop_mpls"])

    def test_pop_behind_vlan(self) -> None:
        """Tags stay where they are."""
        self.assertBecomes(
            ether() / vlan(5, 3) / ip() / UDP,
            ether() / vlan(5, 3) / ip() / UDP,
            OPERATIONS["push_mpls"],
            OPERATIONS["pop_mpls"],
        )

    def test_fields_behind(self) -> None:
        """After the last shim is gone the packet can be matched and rewritten again."""
        udp = inet.UDP(sport=53, dport=99) / PAYLOAD
        self.assertBecomes(
            CORPUS["mpls"],
            ether() / ip() / udp,
            OPERATIONS["pop_mpls"],
            field_writer(FIELDS["udp_dst"], 99),
        )

    def test_deep_stack(self) -> None:
        """A stack that fills the packet is one shim after the other, each at the same cost."""
        frame = bytes(ether(0x8847)) + bytes.fromhex("00001040") * 4000
        packet = parse(frame, 1)
        for left in range(3999, 3990, -1):
            packet.pop_mpls(0x8847)
            self.assertEqual(len(packet.frame()), 14 + 4 * left)
        self.assertEqual(FIELDS["mpls_label"].get(packet.key), 1)


class PbbTests(PacketTestCase):
    """Provider backbone bridging."""

    def test_push(self) -> None:
        """The whole frame is wrapped, between the same stations, with a zero service identifier."""
        for frame in (ether() / ip() / UDP, ether() / arp()):
            self.assertBecomes(frame, pbb(0, frame), OPERATIONS["push_pbb"])

    def test_push_on_vlan(self) -> None:
        """The priority is that of the tag, which becomes part of the customer's frame."""
        frame = ether() / vlan(5, 3) / ip() / UDP
        self.assertBecomes(frame, pbb(0x60000000, frame), OPERATIONS["push_pbb"])

    def test_push_another(self) -> None:
        """A further header has the service identifier of the outer one."""
        self.assertBecomes(CORPUS["pbb"], pbb(0x123456, CORPUS["pbb"]), OPERATIONS["push_pbb"])

    def test_backbone_tag(self) -> None:
        """The backbone's tag is pushed like any, and the service identifier found behind it."""
        packet = parse(CORPUS["pbb"], 1)
        packet.push_vlan(0x88A8)
        field_writer(FIELDS["pbb_isid"], 0x654321)(packet)
        data = CORPUS["pbb"]
        self.assertEqual(
            packet.frame(),
            data[:12] + bytes.fromhex("88a8000088e700654321") + data[18:],
        )

    def test_pop(self) -> None:
        """The customer's frame is left, whether or not the backbone has a tag."""
        customer = ether() / vlan(5) / ip() / inet.UDP(sport=53, dport=5353)
        frame = bytes(customer).ljust(60, b"\0")
        self.assertBecomes(CORPUS["pbb"], frame, Packet.pop_pbb)
        self.assertBecomes(CORPUS["pbb"], frame, OPERATIONS["push_svlan"], Packet.pop_pbb)
        self.assertSame("udp", Packet.pop_pbb)

    def test_pop_short(self) -> None:
        """What was a frame of Ethernet stays one: it is filled up; what was none is left alone."""
        for length, left in ((65, 61), (64, 60), (63, 60), (60, 60), (59, 55)):
            data = bytes(ether() / vlan(7) / Raw(b"x" * (length - 18)))
            self.assertEqual(len(data), length)
            shortened = after(data, Packet.pop_vlan)
            self.assertEqual(shortened, (data[:12] + data[16:]).ljust(left, b"\0"))
        for name, operation, header in (
            ("mpls", OPERATIONS["pop_mpls"], 4),
            ("pbb", Packet.pop_pbb, 18),
        ):
            data = CORPUS[name].ljust(60, b"x")[:60]
            self.assertEqual(after(data, operation)[60 - header :], bytes(header), name)

    def test_pop_truncated(self) -> None:
        """Where no whole Ethernet header would be left, nothing is removed."""
        data = CORPUS["pbb"][: 18 + 13]
        self.assertEqual(after(data, Packet.pop_pbb), data)
        self.assertEqual(len(after(CORPUS["pbb"][: 18 + 14], Packet.pop_pbb)), 14)
