"""Tests of :mod:`agent.packet.compose`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS, IPV6_EXTHDR
from agent.openflow.match import Match
from agent.packet.compose import compose
from agent.packet.extension import UNREP, UNSEQ
from agent.packet.flowkey import flow_key
from tests.packet.frames import CORPUS, PAYLOAD, ether, frames, inet, ip, ipv6, repaired, sctp, vlan


class ComposeTests(SynchronousTestCase):
    """Frames from flow keys and matches."""

    def test_corpus(self) -> None:
        """A frame made from the key of any frame of the corpus has that key."""
        for name, data in CORPUS.items():
            key = flow_key(data, 3)
            self.assertEqual(flow_key(compose(key, b"payload"), 3), key, name)

    @given(frames(), st.binary(max_size=40))
    def test_round_trip(self, frame: Any, payload: bytes) -> None:
        """A frame made from the key of a generated frame has that key, and right checksums."""
        key = flow_key(bytes(frame), 3)
        # Scapy reads what follows SCTP as chunks, and pads them.
        made = compose(key, b"" if sctp.SCTP in frame else payload)
        disorder = (UNREP | UNSEQ) << IPV6_EXTHDR.shift
        self.assertEqual(flow_key(made, 3), key & ~disorder)
        self.assertEqual(made.hex(), repaired(made).hex())

    def test_match(self) -> None:
        """A frame made from a match is matched, and has a TTL that can be decremented."""
        for fields in (
            {"eth_type": 0x0800, "ip_proto": 6, "ipv4_dst": (0x0A000000, 0xFF000000)},
            {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "ipv6_nd_target": 1 << 127},
            {"eth_type": 0x0806, "arp_op": 2, "vlan_vid": 0x1005},
            {"eth_type": 0x8035, "arp_op": 4, "arp_spa": 5},
            {"eth_dst": 0x010000000000, "vlan_vid": (0x1000, 0x1000)},
            {"eth_type": 0x8847, "mpls_label": 7},
            {"eth_type": 0x88E7, "pbb_isid": 7},
            {"eth_type": 0x86DD, "ipv6_exthdr": 0x7C},
            {"eth_type": 0x86DD, "ipv6_exthdr": 0x02},
            {"eth_type": 0x86DD, "ipv6_exthdr": 0x09},
            {"eth_type": 0x0800, "nw_ttl": 1},
        ):
            match = Match.of(**fields)
            key = flow_key(compose(match), 0)
            self.assertTrue(match.matches(key), fields)
            if fields.get("eth_type") in (0x0800, 0x86DD) and "nw_ttl" not in fields:
                self.assertEqual(FIELDS["nw_ttl"].get(key), 64)

    def test_payload(self) -> None:
        """The payload follows the innermost header, and lengths count it."""
        udp = inet.UDP(sport=53, dport=5353) / PAYLOAD
        for header in (ip(id=0), ipv6()):
            data = bytes(ether() / vlan(5, 3) / header / udp)
            self.assertEqual(compose(flow_key(data, 1), b"payload"), data)

    def test_everything_zero(self) -> None:
        """A match of everything makes a frame that is only an Ethernet header."""
        self.assertEqual(compose(Match()), bytes(14))
