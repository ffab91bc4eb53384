"""``python -m bench.packet``: what a packet costs before and after its rule is found.

Reading a flow key, beside what scapy and os-ken take to dissect the same frame, in the same run;
and changing a packet, as the action executor does.  Every microsecond here is paid by each packet
that crosses the switch: at 50,000 packets a second there are twenty.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable
from typing import Any, Final

from os_ken.lib.packet.packet import Packet as OsKenPacket

from agent.openflow.fields import (
    ETH_DST,
    ETH_SRC,
    IPV4_DST,
    IPV6_DST,
    SCTP_DST,
    TCP_DST,
    UDP_DST,
    VLAN_VID,
)
from agent.openflow.match import Match
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from agent.packet.packet import Packet
from agent.packet.setfield import Writer, field_writer
from tests.packet.frames import l2

ADDRESSES: Final = {"eth_src": 0x020000000001, "eth_dst": 0x020000000002}
IPV4: Final = ADDRESSES | {"eth_type": 0x0800, "ipv4_src": 0xC0000201, "ipv4_dst": 0xC6336401}
IPV6: Final = ADDRESSES | {"eth_type": 0x86DD, "ipv6_src": 0x20010DB8 << 96 | 1, "ipv6_dst": 1}
PORTS: Final = {"udp_src": 40000, "udp_dst": 53}
PADDING: Final = bytes(18)

FRAMES: Final = {
    "UDP": compose(Match.of(**IPV4, ip_proto=17, **PORTS), PADDING),
    "TCP": compose(Match.of(**IPV4, ip_proto=6, tcp_src=40000, tcp_dst=80), PADDING),
    "VLAN, UDP": compose(Match.of(**IPV4, ip_proto=17, **PORTS, vlan_vid=0x1005), PADDING),
    "UDP over IPv6": compose(Match.of(**IPV6, ip_proto=17, **PORTS), PADDING),
    "TCP over IPv6": compose(Match.of(**IPV6, ip_proto=6, tcp_dst=80), PADDING),
    "ICMP": compose(Match.of(**IPV4, ip_proto=1, icmpv4_type=8), PADDING),
    "ARP": compose(Match.of(**ADDRESSES, eth_type=0x0806, arp_op=1), PADDING),
    "first fragment": compose(Match.of(**IPV4, ip_proto=17, nw_frag=1), PADDING),
    "neighbour solicitation": compose(
        Match.of(**IPV6, ip_proto=58, icmpv6_type=135, ipv6_nd_target=1, ipv6_nd_sll=1)
    ),
    "IPv6, three extension headers": compose(Match.of(**IPV6, ip_proto=17, ipv6_exthdr=0x4C)),
    "MPLS": compose(Match.of(**ADDRESSES, eth_type=0x8847, mpls_label=1, mpls_bos=1), PADDING),
}
TARGETS: Final = {"UDP": 3.0, "TCP": 3.0}
"""Microseconds that reading a flow key may take."""

ROUTE: Final = (field_writer(ETH_SRC, 1), field_writer(ETH_DST, 2), Packet.dec_nw_ttl)
LONG: Final = bytes(1400)


def changes() -> dict[str, tuple[bytes, tuple[Callable[[Packet], Any], ...]]]:
    """What is measured of changing packets: a frame, and what is done to it."""
    udp, sctp = FRAMES["UDP"], Match.of(**IPV4, ip_proto=132, sctp_src=1)
    nat: tuple[Writer, ...] = (field_writer(IPV4_DST, 0x0A000001), field_writer(UDP_DST, 99))
    return {
        "nothing": (udp, ()),
        "route: two addresses, TTL": (udp, ROUTE),
        "route, VLAN": (FRAMES["VLAN, UDP"], ROUTE),
        "route, IPv6": (FRAMES["UDP over IPv6"], ROUTE),
        "translate: address, port": (udp, nat),
        "the same of 1400 bytes": (
            compose(Match.of(**IPV4, ip_proto=17, **PORTS), LONG),
            nat,
        ),
        "translate, IPv6 and TCP": (
            FRAMES["TCP over IPv6"],
            (field_writer(IPV6_DST, 7), field_writer(TCP_DST, 99)),
        ),
        "port of SCTP, 1400 bytes": (compose(sctp, LONG), (field_writer(SCTP_DST, 99),)),
        "push a tag": (udp, (lambda packet: packet.push_vlan(0x8100),)),
        "push a tag, set it": (
            udp,
            (lambda packet: packet.push_vlan(0x8100), field_writer(VLAN_VID, 0x1005)),
        ),
        "pop a tag": (FRAMES["VLAN, UDP"], (Packet.pop_vlan,)),
        "push a shim": (udp, (lambda packet: packet.push_mpls(0x8847),)),
    }


def best(work: Callable[[], object], count: int, runs: int) -> float:
    """Microseconds for one of ``count`` calls, in the best of some runs."""
    return min(timeit.repeat(work, number=count, repeat=runs)) / count * 1e6


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=20_000, help="frames of a kind")
    parser.add_argument("--runs", type=int, default=5, help="of which the best counts")
    options = parser.parse_args()
    print(
        f"{'us a frame, to read it':32}{'bytes':>6}{'ofagent':>9}{'os-ken':>9}{'scapy':>9}  target"
    )
    for name, frame in FRAMES.items():
        ours = best(lambda: flow_key(frame, 1), options.count, options.runs)  # noqa: B023
        os_ken = best(lambda: OsKenPacket(frame), options.count // 100, 3)  # noqa: B023
        scapy = best(lambda: l2.Ether(frame), options.count // 100, 3)  # noqa: B023
        target = f"<= {TARGETS[name]:g}" if name in TARGETS else ""
        print(f"{name:32}{len(frame):6}{ours:9.2f}{os_ken:9.1f}{scapy:9.1f}  {target}")
    print(f"\n{'us a packet, to change it':32}{'bytes':>6}{'ofagent':>9}")
    for name, (frame, actions) in changes().items():
        key = flow_key(frame, 1)

        def change() -> None:
            packet = Packet(frame, key)  # noqa: B023
            for action in actions:  # noqa: B023
                action(packet)
            packet.frame()

        print(f"{name:32}{len(frame):6}{best(change, options.count, options.runs):9.2f}")


if __name__ == "__main__":
    main()
