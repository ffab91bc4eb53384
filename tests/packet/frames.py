"""Frames for the tests of :mod:`agent.packet`, made by scapy, which shares no code with it.

A frame is a scapy packet here: its fields say what must be read from its bytes, and scapy computes
the checksums that must be found in it.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

from hypothesis import strategies as st

logging.getLogger("scapy").setLevel(logging.CRITICAL)

# Not imported by statement, for scapy's type hints know nothing of how headers are made.
inet: Final[Any] = import_module("scapy.layers.inet")
inet6: Final[Any] = import_module("scapy.layers.inet6")
l2: Final[Any] = import_module("scapy.layers.l2")
sctp: Final[Any] = import_module("scapy.layers.sctp")
MPLS: Final[Any] = import_module("scapy.contrib.mpls").MPLS
Raw: Final[Any] = import_module("scapy.packet").Raw

DST: Final = "02:00:00:00:00:02"
SRC: Final = "02:00:00:00:00:01"
CHECKSUMS: Final = ("chksum", "cksum")


def ether(eth_type: int | None = None) -> Any:
    """An Ethernet header between two fixed stations."""
    header = l2.Ether(dst=DST, src=SRC)
    if eth_type is not None:
        header.type = eth_type
    return header


def vlan(vid: int, pcp: int = 0, tpid: int | None = None, dei: int = 0) -> Any:
    """A VLAN tag; ``tpid`` None: scapy's choice for what is below."""
    return (
        l2.Dot1Q(vlan=vid, prio=pcp, id=dei)
        if tpid is None
        else l2.Dot1AD(vlan=vid, prio=pcp, id=dei)
    )


def ip(**fields: Any) -> Any:
    """An IPv4 header between two fixed hosts."""
    return inet.IP(**({"src": "192.0.2.1", "dst": "198.51.100.7", "ttl": 64, "tos": 0} | fields))


def ipv6(**fields: Any) -> Any:
    """An IPv6 header between two fixed hosts."""
    return inet6.IPv6(**({"src": "2001:db8::1", "dst": "2001:db8::2"} | fields))


def arp(**fields: Any) -> Any:
    """An ARP request between two fixed hosts."""
    defaults = {"hwsrc": SRC, "hwdst": DST, "psrc": "192.0.2.1", "pdst": "192.0.2.2"}
    return l2.ARP(**(defaults | fields))


def solicitation(*options: Any) -> Any:
    """A neighbour solicitation with options."""
    packet = inet6.ICMPv6ND_NS(tgt="2001:db8::2")
    for option in options:
        packet /= option
    return packet


SLL: Final = inet6.ICMPv6NDOptSrcLLAddr(lladdr=SRC)
TLL: Final = inet6.ICMPv6NDOptDstLLAddr(lladdr=DST)
PAYLOAD: Final = Raw(b"payload")


def pbb(isid: int, customer: Any) -> Any:
    """A frame of a customer in that of a provider's backbone."""
    return ether(0x88E7) / Raw(isid.to_bytes(4, "big") + bytes(customer))


def _corpus() -> dict[str, bytes]:
    """One frame of each kind that is parsed."""
    tcp = inet.TCP(sport=40000, dport=80, flags="SA")
    udp = inet.UDP(sport=53, dport=5353)
    dot3 = l2.Dot3(dst=DST, src=SRC)
    hop, dest = inet6.IPv6ExtHdrHopByHop(), inet6.IPv6ExtHdrDestOpt()
    return {
        name: bytes(packet)
        for name, packet in {
            "tcp": ether() / ip(tos=0xB9) / tcp / PAYLOAD,
            "tcp options": ether() / ip() / inet.TCP(options=[("MSS", 1460)]) / PAYLOAD,
            "udp": ether() / ip() / udp / PAYLOAD,
            "sctp": ether() / ip() / sctp.SCTP(sport=1, dport=2) / sctp.SCTPChunkData(data=b"abc"),
            "icmp": ether() / ip() / inet.ICMP(type=8, code=0) / PAYLOAD,
            "other ip": ether() / ip(proto=47) / PAYLOAD,
            "ip options": ether() / ip(options=[inet.IPOption_RR()]) / udp / PAYLOAD,
            "first fragment": ether() / ip(flags="MF") / udp / PAYLOAD,
            "later fragment": ether() / ip(frag=3, proto=17) / PAYLOAD,
            "vlan": ether() / vlan(5, 3, dei=1) / ip() / udp / PAYLOAD,
            "two vlans": ether() / vlan(5, 3, 0x88A8) / vlan(7) / ip() / tcp / PAYLOAD,
            "tcp6": ether() / ipv6(tc=0xB9, fl=0x12345) / tcp / PAYLOAD,
            "udp6": ether() / ipv6() / udp / PAYLOAD,
            "sctp6": ether() / ipv6() / sctp.SCTP(sport=1, dport=2) / sctp.SCTPChunkData(data=b"a"),
            "icmp6": ether() / ipv6() / inet6.ICMPv6EchoRequest(data=b"abc"),
            "no next header": ether() / ipv6(nh=59) / PAYLOAD,
            "extension headers": ether() / ipv6() / hop / dest / tcp / PAYLOAD,
            "first fragment6": ether() / ipv6() / inet6.IPv6ExtHdrFragment(m=1) / udp / PAYLOAD,
            "later fragment6": ether()
            / ipv6()
            / inet6.IPv6ExtHdrFragment(offset=3, nh=17)
            / PAYLOAD,
            "routed": ether()
            / ipv6()
            / inet6.IPv6ExtHdrRouting(addresses=["2001:db8::9"])
            / udp
            / PAYLOAD,
            "neighbour solicitation": ether() / ipv6(hlim=255) / solicitation(SLL, TLL),
            "neighbour advertisement": ether()
            / ipv6(hlim=255)
            / inet6.ICMPv6ND_NA(tgt="2001:db8::2")
            / TLL,
            "arp": ether() / arp(op=1),
            "vlan arp": ether() / vlan(9) / arp(op=2),
            "mpls": ether(0x8847) / MPLS(label=100, cos=3, s=1, ttl=9) / ip() / udp / PAYLOAD,
            "mpls stack": ether(0x8848)
            / MPLS(label=100, s=0, ttl=9)
            / MPLS(label=200, s=1, ttl=8)
            / ipv6()
            / udp,
            "pbb": pbb(0x123456, ether() / vlan(5) / ip() / udp),
            "snap": dot3 / l2.LLC() / l2.SNAP(code=0x800) / ip() / udp / PAYLOAD,
            "llc": dot3 / l2.LLC() / l2.STP(),
            "unknown type": ether(0x1234) / PAYLOAD,
            "lldp": ether(0x88CC) / Raw(bytes.fromhex("0207040200000000010403020001060200780000")),
            "ip in ip": ether() / ip(ttl=9) / ip(ttl=7) / udp,
        }.items()
    }


CORPUS: Final = _corpus()
"""One frame of each kind that is parsed, by name."""


# Strategies.

BYTE: Final = st.integers(0, 0xFF)
PORT: Final = st.integers(0, 0xFFFF)
MAC: Final = st.binary(min_size=6, max_size=6).map(lambda address: address.hex(":"))
IPV4: Final = st.ip_addresses(v=4).map(str)
IPV6: Final = st.ip_addresses(v=6).map(str)
BODY: Final = st.binary(max_size=60).map(Raw)


@st.composite
def transports(draw: st.DrawFn, version: int) -> Any:
    """A transport header of those that are parsed, with a payload."""
    kinds = ["tcp", "udp", "sctp", "icmp" if version == 4 else "icmp6", "nd"]
    kind = draw(st.sampled_from(kinds[: 4 if version == 4 else 5]))
    body = draw(BODY)
    if kind == "tcp":
        flags = draw(st.integers(0, 0x1FF))
        return inet.TCP(sport=draw(PORT), dport=draw(PORT), flags=flags, seq=7) / body
    if kind == "udp":
        return inet.UDP(sport=draw(PORT), dport=draw(PORT)) / body
    if kind == "sctp":
        data = sctp.SCTPChunkData(data=bytes(body) or b"x")
        return sctp.SCTP(sport=draw(PORT), dport=draw(PORT), tag=9) / data
    if kind == "icmp":
        # Types whose layout is that of an echo; scapy adds fields to others.
        return inet.ICMP(type=draw(st.sampled_from((0, 8))), code=draw(BYTE), id=3, seq=4) / body
    if kind == "icmp6":
        return inet6.ICMPv6EchoRequest(code=draw(BYTE), id=3, seq=4, data=bytes(body))
    target = draw(IPV6)
    packet: Any = draw(st.sampled_from((inet6.ICMPv6ND_NS, inet6.ICMPv6ND_NA)))(tgt=target)
    for option in draw(
        st.lists(
            st.sampled_from((inet6.ICMPv6NDOptSrcLLAddr, inet6.ICMPv6NDOptDstLLAddr)), unique=True
        )
    ):
        packet /= option(lladdr=draw(MAC.filter(lambda mac: mac != "00:00:00:00:00:00")))
    return packet


@st.composite
def networks(draw: st.DrawFn) -> Any:
    """ARP, IPv4 or IPv6 and what it carries."""
    kind = draw(st.sampled_from(("arp", "ip", "ip", "ipv6", "ipv6")))
    if kind == "arp":
        return l2.ARP(
            op=draw(PORT), hwsrc=draw(MAC), hwdst=draw(MAC), psrc=draw(IPV4), pdst=draw(IPV4)
        )
    transport = draw(transports(4 if kind == "ip" else 6))
    if kind == "ip":
        options = draw(st.sampled_from(([], [inet.IPOption_RR()])))
        return (
            inet.IP(src=draw(IPV4), dst=draw(IPV4), tos=draw(BYTE), ttl=draw(BYTE), options=options)
            / transport
        )
    packet: Any = inet6.IPv6(
        src=draw(IPV6),
        dst=draw(IPV6),
        tc=draw(BYTE),
        hlim=draw(BYTE),
        fl=draw(st.integers(0, 0xFFFFF)),
    )
    for header in draw(
        st.lists(st.sampled_from((inet6.IPv6ExtHdrHopByHop, inet6.IPv6ExtHdrDestOpt)), max_size=2)
    ):
        packet /= header()
    return packet / transport


@st.composite
def frames(draw: st.DrawFn) -> Any:
    """A whole frame with up to two VLAN tags."""
    packet: Any = l2.Ether(dst=draw(MAC), src=draw(MAC))
    for tag in draw(st.lists(st.sampled_from((l2.Dot1Q, l2.Dot1AD)), max_size=2)):
        packet /= tag(vlan=draw(st.integers(0, 0xFFF)), prio=draw(st.integers(0, 7)))
    return packet / draw(networks())


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A frame of the corpus with some bytes changed, and perhaps cut short."""
    frame = bytearray(draw(st.sampled_from(sorted(CORPUS.values()))))
    for _ in range(draw(st.integers(0, 4))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.sampled_from((0, 1, 255)) | BYTE)
    return bytes(frame[: draw(st.integers(0, len(frame)))])


def repaired(frame: bytes) -> bytes:
    """The frame with all checksums computed by scapy, whatever they were."""
    packet = layer = l2.Ether(frame)
    while layer:
        for name in CHECKSUMS:
            if name in layer.fields:
                delattr(layer, name)
        layer = layer.payload
    return bytes(packet)
