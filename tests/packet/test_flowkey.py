"""Tests of :mod:`agent.packet.flowkey` and :mod:`agent.packet.layers`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS, VLAN_PRESENT
from agent.packet.extension import HOP
from agent.packet.flowkey import flow_key, key_of
from agent.packet.layers import MAX_ND_OPTIONS, MAX_VLAN_TAGS, locate
from tests.packet.frames import (
    CORPUS,
    PAYLOAD,
    SLL,
    TLL,
    ether,
    frames,
    inet,
    inet6,
    ip,
    ipv6,
    l2,
    mutations,
    sctp,
    solicitation,
)


def fields(key: int, *names: str) -> dict[str, int]:
    """The values of some fields of a flow key."""
    return {name: FIELDS[name].get(key) for name in names}


def number(address: str) -> int:
    """An address as a number."""
    try:
        return int(ip_address(address))
    except ValueError:
        return int(address.replace(":", ""), 16)


def expected(packet: Any) -> dict[str, int]:
    """What scapy says of the fields which OpenFlow 1.3 knows of ``packet``."""
    names = {"eth_dst": number(packet.dst), "eth_src": number(packet.src), "vlan_vid": 0}
    names["vlan_pcp"] = 0
    layer = packet
    while isinstance(layer, l2.Ether | l2.Dot1Q):
        if isinstance(layer, l2.Dot1Q) and not names["vlan_vid"]:
            names |= {"vlan_vid": layer.vlan | VLAN_PRESENT, "vlan_pcp": layer.prio}
        layer = layer.payload
    if isinstance(layer, l2.ARP):
        return names | {
            "eth_type": 0x0806,
            "arp_op": layer.op,
            "arp_spa": number(layer.psrc),
            "arp_tpa": number(layer.pdst),
            "arp_sha": number(layer.hwsrc),
            "arp_tha": number(layer.hwdst),
        }
    if isinstance(layer, inet.IP):
        names |= {
            "eth_type": 0x0800,
            "ipv4_src": number(layer.src),
            "ipv4_dst": number(layer.dst),
            "ip_dscp": layer.tos >> 2,
            "ip_ecn": layer.tos & 3,
            "nw_ttl": layer.ttl,
        }
    else:
        names |= {
            "eth_type": 0x86DD,
            "ipv6_src": number(layer.src),
            "ipv6_dst": number(layer.dst),
            "ipv6_flabel": layer.fl,
            "ip_dscp": layer.tc >> 2,
            "ip_ecn": layer.tc & 3,
            "nw_ttl": layer.hlim,
        }
        if isinstance(layer.payload, inet6.IPv6ExtHdrHopByHop):
            names["ipv6_exthdr"] = FIELDS["ipv6_exthdr"].limit & HOP
    names["nw_frag"] = 0
    return names | expected_transport(packet)


def expected_transport(packet: Any) -> dict[str, int]:
    """What scapy says of the transport header of ``packet``."""
    names: dict[str, int] = {}
    for kind, proto, name in (
        (inet.TCP, 6, "tcp"),
        (inet.UDP, 17, "udp"),
        (sctp.SCTP, 132, "sctp"),
    ):
        if kind in packet:
            layer = packet[kind]
            names = {"ip_proto": proto, f"{name}_src": layer.sport, f"{name}_dst": layer.dport}
            if name == "tcp":
                names["tcp_flags"] = int(layer.flags)
    if inet.ICMP in packet:
        layer = packet[inet.ICMP]
        names = {"ip_proto": 1, "icmpv4_type": layer.type, "icmpv4_code": layer.code}
    for kind in (inet6.ICMPv6EchoRequest, inet6.ICMPv6ND_NS, inet6.ICMPv6ND_NA):
        if kind in packet:
            layer = packet[kind]
            names = {"ip_proto": 58, "icmpv6_type": layer.type, "icmpv6_code": layer.code}
            if kind is not inet6.ICMPv6EchoRequest:
                names["ipv6_nd_target"] = number(layer.tgt)
    for kind, name in (
        (inet6.ICMPv6NDOptSrcLLAddr, "ipv6_nd_sll"),
        (inet6.ICMPv6NDOptDstLLAddr, "ipv6_nd_tll"),
    ):
        if kind in packet:
            names[name] = number(packet[kind].lladdr)
    return names


class DifferentialTests(SynchronousTestCase):
    """What is read from a frame is what scapy wrote into it."""

    @given(frames(), st.integers(0, 0xFFFFFFFF))
    def test_scapy(self, packet: Any, in_port: int) -> None:
        """Every field of a generated frame is read as it was written."""
        want = expected(packet) | {"in_port": in_port}
        want.pop("ipv6_exthdr", None)
        self.assertEqual(fields(flow_key(bytes(packet), in_port), *want), want)

    @given(mutations() | st.binary(max_size=100))
    def test_fast_path(self, data: bytes) -> None:
        """The short way for plain frames and the long way for all agree, whatever the bytes."""
        self.assertEqual(flow_key(data, 7), key_of(data, locate(data), 7))

    def test_fast_path_corpus(self) -> None:
        """They agree on every frame of the corpus, cut short at every byte."""
        for data in CORPUS.values():
            for length in range(len(data) + 1):
                cut = data[:length]
                self.assertEqual(flow_key(cut, 7), key_of(cut, locate(cut), 7))


class FlowKeyTests(SynchronousTestCase):
    """Frames of each kind."""

    def key(self, name: str, **options: bool) -> int:
        """The flow key of a frame of the corpus that came in at port 1."""
        return flow_key(CORPUS[name], 1, **options)

    def test_metadata_is_zero(self) -> None:
        """Fields that are no part of a frame are zero."""
        names = ("metadata", "tunnel_id", "in_phy_port", "reg0", "pkt_mark", "tun_src")
        for name in CORPUS:
            self.assertEqual(set(fields(self.key(name), *names).values()), {0})

    def test_llc(self) -> None:
        """A frame of IEEE 802.3 has the type 0x05ff, unless SNAP says one."""
        self.assertEqual(fields(self.key("llc"), "eth_type"), {"eth_type": 0x05FF})
        self.assertEqual(
            fields(self.key("snap"), "eth_type", "udp_dst"), {"eth_type": 0x0800, "udp_dst": 5353}
        )

    def test_vlan_stack(self) -> None:
        """The outer tag is matched, and the type behind the last one."""
        self.assertEqual(
            fields(self.key("two vlans"), "vlan_vid", "vlan_pcp", "eth_type", "tcp_dst"),
            {"vlan_vid": 0x1005, "vlan_pcp": 3, "eth_type": 0x0800, "tcp_dst": 80},
        )

    def test_drop_eligible(self) -> None:
        """The bit that means "drop eligible" in a tag is always "present" in the flow key."""
        self.assertEqual(fields(self.key("vlan"), "vlan_tci"), {"vlan_tci": 0x7005})
        self.assertEqual(fields(self.key("vlan arp"), "vlan_tci"), {"vlan_tci": 0x1009})

    def test_too_many_vlans(self) -> None:
        """Only so many tags are looked behind; then the type is that of the next tag."""
        plain, tag = CORPUS["udp"], bytes.fromhex("81000001")
        for count, eth_type in (
            (MAX_VLAN_TAGS, 0x0800),
            (MAX_VLAN_TAGS + 1, 0x8100),
            (300, 0x8100),
        ):
            key = flow_key(plain[:12] + tag * count + plain[12:], 1)
            self.assertEqual(fields(key, "eth_type"), {"eth_type": eth_type})

    def test_mpls(self) -> None:
        """The outer shim is matched, and nothing behind it."""
        names = ("eth_type", "mpls_label", "mpls_tc", "mpls_bos", "ip_proto", "ipv4_src")
        self.assertEqual(
            fields(self.key("mpls"), *names),
            dict(zip(names, (0x8847, 100, 3, 1, 0, 0), strict=True)),
        )
        self.assertEqual(
            fields(self.key("mpls stack"), "eth_type", "mpls_label", "mpls_bos"),
            {"eth_type": 0x8848, "mpls_label": 100, "mpls_bos": 0},
        )

    def test_pbb(self) -> None:
        """The service identifier is matched, and nothing of the customer's frame."""
        self.assertEqual(
            fields(self.key("pbb"), "eth_type", "pbb_isid", "vlan_vid", "ip_proto"),
            {"eth_type": 0x88E7, "pbb_isid": 0x123456, "vlan_vid": 0, "ip_proto": 0},
        )

    def test_ip_options(self) -> None:
        """Ports are found behind the options of IPv4."""
        self.assertEqual(
            fields(self.key("ip options"), "udp_src", "udp_dst"), {"udp_src": 53, "udp_dst": 5353}
        )

    def test_first_fragment(self) -> None:
        """A first fragment has ports, or not, as the switch is configured."""
        names = ("nw_frag", "ip_proto", "udp_src", "udp_dst")
        for name in ("first fragment", "first fragment6"):
            self.assertEqual(list(fields(self.key(name), *names).values()), [1, 17, 53, 5353])
            hidden = self.key(name, fragment_ports=False)
            self.assertEqual(list(fields(hidden, *names).values()), [1, 17, 0, 0])

    def test_first_fragment_tcp_flags(self) -> None:
        """Where ports are hidden, the flags of TCP are too."""
        data = bytes(ether() / ip(flags="MF") / inet.TCP(flags="S"))
        self.assertEqual(fields(flow_key(data, 1), "tcp_flags"), {"tcp_flags": 2})
        self.assertEqual(fields(flow_key(data, 1, False), "tcp_flags"), {"tcp_flags": 0})

    def test_later_fragment(self) -> None:
        """Later fragments have no ports; over IPv6 their protocol is 44."""
        names = ("nw_frag", "ip_proto", "udp_src")
        self.assertEqual(list(fields(self.key("later fragment"), *names).values()), [3, 17, 0])
        self.assertEqual(list(fields(self.key("later fragment6"), *names).values()), [3, 44, 0])

    def test_extension_headers(self) -> None:
        """The upper layer is found behind extension headers, and these are told."""
        self.assertEqual(
            fields(self.key("extension headers"), "ip_proto", "tcp_dst", "ipv6_exthdr"),
            {"ip_proto": 6, "tcp_dst": 80, "ipv6_exthdr": 0x48},
        )
        self.assertEqual(fields(self.key("no next header"), "ipv6_exthdr"), {"ipv6_exthdr": 1})

    def test_broken_chain(self) -> None:
        """Where the chain of extension headers is broken, only the addresses are known."""
        data = bytearray(CORPUS["extension headers"])
        data[55] = 200
        key = flow_key(bytes(data), 1)
        self.assertEqual(
            fields(key, "ip_proto", "nw_ttl", "ip_dscp", "tcp_src", "ipv6_exthdr"),
            {"ip_proto": 0, "nw_ttl": 0, "ip_dscp": 0, "tcp_src": 0, "ipv6_exthdr": 0},
        )
        self.assertEqual(fields(key, "ipv6_src"), {"ipv6_src": number("2001:db8::1")})

    def test_neighbour_discovery(self) -> None:
        """Target and link-layer addresses are found among options."""
        self.assertEqual(
            fields(
                self.key("neighbour solicitation"), "ipv6_nd_target", "ipv6_nd_sll", "ipv6_nd_tll"
            ),
            {
                "ipv6_nd_target": number("2001:db8::2"),
                "ipv6_nd_sll": 0x020000000001,
                "ipv6_nd_tll": 0x020000000002,
            },
        )

    def test_repeated_option(self) -> None:
        """An option given twice makes everything about the neighbour unknown."""
        data = bytes(ether() / ipv6() / solicitation(SLL, TLL, SLL))
        self.assertEqual(
            set(fields(flow_key(data, 1), "ipv6_nd_target", "ipv6_nd_sll", "ipv6_nd_tll").values()),
            {0},
        )

    def test_many_options(self) -> None:
        """Options beyond the bound are not looked at."""
        mtu = inet6.ICMPv6NDOptMTU()
        near = bytes(ether() / ipv6() / solicitation(*[mtu] * (MAX_ND_OPTIONS - 1), SLL))
        far = bytes(ether() / ipv6() / solicitation(*[mtu] * MAX_ND_OPTIONS, SLL))
        self.assertEqual(fields(flow_key(near, 1), "ipv6_nd_sll"), {"ipv6_nd_sll": 0x020000000001})
        self.assertEqual(fields(flow_key(far, 1), "ipv6_nd_sll"), {"ipv6_nd_sll": 0})

    def test_nonzero_code_is_no_discovery(self) -> None:
        """A solicitation whose code is not 0 has no target."""
        data = bytes(ether() / ipv6() / inet6.ICMPv6ND_NS(tgt="2001:db8::2", code=1) / SLL)
        self.assertEqual(fields(flow_key(data, 1), "ipv6_nd_target"), {"ipv6_nd_target": 0})

    def test_rarp(self) -> None:
        """RARP has the fields of ARP."""
        names = ("eth_type", "arp_op", "arp_spa", "arp_tha")
        frame = ether() / l2.ARP(op=3, psrc="192.0.2.1", hwdst="02:00:00:00:00:07")
        frame.type = 0x8035
        found = [*fields(flow_key(bytes(frame), 1), *names).values()]
        self.assertEqual(found, [0x8035, 3, 0xC0000201, 0x020000000007])

    def test_foreign_arp(self) -> None:
        """ARP of other than IPv4 over Ethernet has no fields."""
        data = bytes(ether() / l2.ARP(hwtype=6, psrc="192.0.2.1", op=1))
        self.assertEqual(set(fields(flow_key(data, 1), "arp_op", "arp_spa").values()), {0})

    def test_bad_tcp_offset(self) -> None:
        """A TCP header that claims an impossible length has neither ports nor flags."""
        for offset in (4, 15):
            for header in (ip(), ipv6()):
                tcp = inet.TCP(sport=1, dport=2, dataofs=offset)
                key = flow_key(bytes(ether() / header / tcp / PAYLOAD), 1)
                self.assertEqual(
                    fields(key, "ip_proto", "tcp_src", "tcp_flags"),
                    {"ip_proto": 6, "tcp_src": 0, "tcp_flags": 0},
                )

    def test_padding_is_not_payload(self) -> None:
        """What lies behind the length that IP says is no header."""
        for header in (ip(len=20), ipv6(plen=0)):
            data = bytes(ether() / header / inet.UDP(sport=1, dport=2))
            self.assertEqual(
                fields(flow_key(data, 1), "ip_proto", "udp_src"), {"ip_proto": 17, "udp_src": 0}
            )


class TruncationTests(SynchronousTestCase):
    """Frames cut short."""

    def test_no_field_is_invented(self) -> None:
        """A frame cut short at any byte has each field as the whole one, or zero; never raises."""
        # What depends on a header that is cut off changes its meaning, not its value.
        changing = {"eth_type", "vlan_vid", "vlan_tci", "vlan_pcp", "nw_frag"}
        for name, data in CORPUS.items():
            whole = flow_key(data, 1)
            for length in range(len(data)):
                key = flow_key(data[:length], 1)
                for field in FIELDS.values():
                    if field.name not in changing and field.get(key):
                        self.assertEqual(field.get(key), field.get(whole), (name, length, field))

    def test_no_ethernet_header(self) -> None:
        """Less than an Ethernet header gives a key with nothing but the port."""
        for length in range(14):
            self.assertEqual(flow_key(bytes(range(1, length + 1)), 9), 9)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes at all raise, and the fields that every frame has are those of the bytes."""
        key = flow_key(data, 1)
        if len(data) >= 14:
            self.assertEqual(
                fields(key, "eth_dst", "eth_src"),
                {
                    "eth_dst": int.from_bytes(data[:6], "big"),
                    "eth_src": int.from_bytes(data[6:12], "big"),
                },
            )
        else:
            self.assertEqual(key, 1)
