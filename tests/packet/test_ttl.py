"""Tests of :mod:`agent.packet.ttl` and the actions that use it."""

from __future__ import annotations

from typing import Any, Final

from agent.openflow.fields import FIELDS
from agent.packet.packet import Packet, parse
from agent.packet.setfield import field_writer
from tests.packet.casebase import PacketTestCase, after
from tests.packet.frames import CORPUS, MPLS, PAYLOAD, Raw, ether, inet, ip, ipv6

UDP: Final[Any] = inet.UDP(sport=53, dport=5353) / PAYLOAD


class TtlTests(PacketTestCase):
    """Times to live."""

    def test_dec_nw_ttl(self) -> None:
        """The TTL of IPv4 and the hop limit of IPv6 are decremented down to 1."""
        for header, smaller in ((ip(ttl=2), ip(ttl=1)), (ipv6(hlim=2), ipv6(hlim=1))):
            self.assertBecomes(ether() / header / UDP, ether() / smaller / UDP, Packet.dec_nw_ttl)

    def test_invalid_nw_ttl(self) -> None:
        """A TTL of 1 or 0 is invalid to decrement, and stays."""
        for header in (ip(ttl=1), ip(ttl=0), ipv6(hlim=1), ipv6(hlim=0)):
            packet = parse(bytes(ether() / header / UDP), 1)
            self.assertFalse(packet.dec_nw_ttl())
            self.assertEqual(packet.frame(), bytes(ether() / header / UDP))

    def test_valid_nw_ttl(self) -> None:
        """Packets that have a TTL to spare, or none at all, are valid."""
        for name in ("udp", "udp6", "vlan", "arp", "mpls", "llc"):
            self.assertTrue(parse(CORPUS[name], 1).dec_nw_ttl())
        self.assertSame("arp", Packet.dec_nw_ttl)

    def test_set_mpls_ttl(self) -> None:
        """The TTL of the outer shim is set, and nothing but it."""
        data = CORPUS["mpls stack"]
        self.assertBecomes(
            data, data[:17] + b"\x63" + data[18:], lambda packet: packet.set_mpls_ttl(99)
        )
        self.assertSame("udp", lambda packet: packet.set_mpls_ttl(99))

    def test_dec_mpls_ttl(self) -> None:
        """The TTL of the outer shim is decremented down to 1."""
        data = CORPUS["mpls"]
        self.assertBecomes(data, data[:17] + b"\x08" + data[18:], Packet.dec_mpls_ttl)
        for ttl in (0, 1):
            packet = parse(data, 1)
            packet.set_mpls_ttl(ttl)
            self.assertFalse(packet.dec_mpls_ttl())
            self.assertEqual(packet.frame()[17], ttl)
        self.assertTrue(parse(CORPUS["udp"], 1).dec_mpls_ttl())

    def test_outstanding_changes(self) -> None:
        """Fields set before a TTL is written are not lost."""
        frame = after(CORPUS["mpls"], field_writer(FIELDS["mpls_tc"], 7), Packet.dec_mpls_ttl)
        self.assertEqual(frame[14:18].hex(), "00064f08")

    def test_copy_between_shims(self) -> None:
        """Between two shims the TTL is copied out and in."""
        data = CORPUS["mpls stack"]
        self.assertBecomes(data, data[:17] + b"\x08" + data[18:], Packet.copy_ttl_out)
        self.assertBecomes(data, data[:21] + b"\x09" + data[22:], Packet.copy_ttl_in)

    def test_copy_between_shim_and_ip(self) -> None:
        """Between the last shim and IP the TTL is copied out and in; checksums follow."""
        for outer, inner in ((ip(ttl=33), ip(ttl=9)), (ipv6(hlim=33), ipv6(hlim=9))):
            shim = {"label": 100, "cos": 3, "s": 1}
            before = ether(0x8847) / MPLS(ttl=9, **shim) / outer / UDP
            self.assertBecomes(
                before, ether(0x8847) / MPLS(ttl=33, **shim) / outer / UDP, Packet.copy_ttl_out
            )
            self.assertBecomes(
                before, ether(0x8847) / MPLS(ttl=9, **shim) / inner / UDP, Packet.copy_ttl_in
            )

    def test_copy_between_ip_and_ip(self) -> None:
        """Between an IP packet and one within it the TTL is copied out and in."""
        for first, second in (
            (lambda ttl: ip(ttl=ttl), lambda ttl: ip(ttl=ttl)),
            (lambda ttl: ip(ttl=ttl), lambda ttl: ipv6(hlim=ttl)),
            (lambda ttl: ipv6(hlim=ttl), lambda ttl: ip(ttl=ttl)),
            (lambda ttl: ipv6(hlim=ttl), lambda ttl: ipv6(hlim=ttl)),
        ):
            before = ether() / first(9) / second(7) / UDP
            self.assertBecomes(before, ether() / first(7) / second(7) / UDP, Packet.copy_ttl_out)
            self.assertBecomes(before, ether() / first(9) / second(9) / UDP, Packet.copy_ttl_in)

    def test_copy_without_second_header(self) -> None:
        """With one header that has a TTL, or none, nothing is copied."""
        for name in ("udp", "tcp6", "arp", "llc", "other ip", "later fragment"):
            self.assertSame(name, Packet.copy_ttl_out, Packet.copy_ttl_in)
        shim = bytes(ether(0x8847) / MPLS(s=1, ttl=9) / Raw(b"\x00\x01"))
        self.assertEqual(after(shim, Packet.copy_ttl_out, Packet.copy_ttl_in), shim)
        shim = bytes(ether(0x8847) / MPLS(s=0, ttl=9) / Raw(b"\x00\x01"))
        self.assertEqual(after(shim, Packet.copy_ttl_out, Packet.copy_ttl_in), shim)
