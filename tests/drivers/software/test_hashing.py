"""Tests of :mod:`drivers.software.hashing`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from agent.openflow.nx_actions import HashFields, MultipathAlgorithm
from drivers.software.hashing import ALGORITHMS, HASHES, MAX_WEIGHED, highest, mixed

TCP: dict[str, Any] = {
    "eth_src": 1,
    "eth_dst": 2,
    "eth_type": 0x800,
    "ip_proto": 6,
    "ipv4_src": 3,
    "ipv4_dst": 4,
    "tcp_src": 5,
    "tcp_dst": 6,
}
UDP: dict[str, Any] = {
    **{name: value for name, value in TCP.items() if not name.startswith("tcp")},
    "ip_proto": 17,
    "udp_src": 5,
    "udp_dst": 6,
}
TCP6: dict[str, Any] = {
    "eth_src": 1,
    "eth_dst": 2,
    "eth_type": 0x86DD,
    "ip_proto": 6,
    "ipv6_src": 3,
    "ipv6_dst": 4,
    "tcp_src": 5,
    "tcp_dst": 6,
}
ARP: dict[str, Any] = {"eth_src": 1, "eth_dst": 2, "eth_type": 0x806, "arp_spa": 3, "arp_tpa": 4}

SENSITIVE: dict[HashFields, dict[str, set[str]]] = {
    HashFields.ETH_SRC: {"tcp": {"eth_src"}, "udp": {"eth_src"}, "arp": {"eth_src"}},
    HashFields.NW_SRC: {"tcp": {"ipv4_src"}, "tcp6": {"ipv6_src"}, "arp": set()},
    HashFields.NW_DST: {"tcp": {"ipv4_dst"}, "tcp6": {"ipv6_dst"}, "arp": set()},
    HashFields.SYMMETRIC_L4: {
        "tcp": set(TCP) | {"vlan_vid"},
        "tcp6": set(TCP6) | {"vlan_vid"},
        "udp": set(UDP) - {"udp_src", "udp_dst"} | {"vlan_vid"},
        "arp": {"eth_src", "eth_dst", "eth_type", "vlan_vid"},
    },
    HashFields.SYMMETRIC_L3L4: {
        "tcp": {"ipv4_src", "ipv4_dst", "ip_proto", "tcp_src", "tcp_dst"},
        "udp": {"ipv4_src", "ipv4_dst", "ip_proto"},
        "arp": set(),
    },
    HashFields.SYMMETRIC_L3L4_UDP: {
        "tcp6": {"ipv6_src", "ipv6_dst", "ip_proto", "tcp_src", "tcp_dst"},
        "udp": {"ipv4_src", "ipv4_dst", "ip_proto", "udp_src", "udp_dst"},
    },
    HashFields.SYMMETRIC_L3: {"tcp": {"ipv4_src", "ipv4_dst"}, "tcp6": {"ipv6_src", "ipv6_dst"}},
}
"""Which fields of which packets each hash depends on."""

PACKETS = {"tcp": TCP, "udp": UDP, "tcp6": TCP6, "arp": ARP}
SWAPPED = {"src": "dst", "dst": "src", "spa": "tpa", "tpa": "spa"}


def key(packet: dict[str, Any]) -> int:
    """The flow key of a packet."""
    return Match.of(**packet).value


class FieldTests(SynchronousTestCase):
    """What is hashed."""

    def test_all(self) -> None:
        """There is a hash for each of Nicira's."""
        self.assertEqual(set(HASHES), set(HashFields))
        self.assertEqual(set(SENSITIVE), set(HashFields))

    def test_sensitive(self) -> None:
        """Each depends on the fields that it is about, and on no other."""
        for which, kinds in SENSITIVE.items():
            find = HASHES[which]
            for kind, names in kinds.items():
                packet = PACKETS[kind]
                before = find(key(packet), 0)
                for name in set(packet) | {"vlan_vid"}:
                    if name == "eth_type":
                        continue  # decides what the other fields are
                    changed = dict(packet)
                    changed[name] = {"vlan_vid": 0x1005, "ip_proto": 132}.get(name, 0x55)
                    if name == "ip_proto":
                        changed = {k: v for k, v in changed.items() if k[:3] not in ("tcp", "udp")}
                        changed["ip_proto"] = 47
                    after = find(key(changed), 0)
                    self.assertEqual(after != before, name in names, (which, kind, name))

    def test_symmetric(self) -> None:
        """The symmetric ones are the same for both directions."""
        for which in HashFields:
            if not which.name.startswith("SYMMETRIC"):
                continue
            for packet in PACKETS.values():
                back = {
                    name[:-3] + SWAPPED.get(name[-3:], name[-3:]): value
                    for name, value in packet.items()
                }
                self.assertNotEqual(key(back), key(packet))
                self.assertEqual(HASHES[which](key(back), 7), HASHES[which](key(packet), 7))

    def test_basis(self) -> None:
        """The basis makes another hash of it."""
        for which, find in HASHES.items():
            self.assertNotEqual(find(key(TCP), 0), find(key(TCP), 1), which)

    @given(st.integers(0, (1 << 1000) - 1), st.integers(0, 0xFFFF))
    def test_any(self, value: int, basis: int) -> None:
        """Of anything, they are numbers of 32 bits."""
        for find in HASHES.values():
            self.assertTrue(0 <= find(value, basis) <= 0xFFFFFFFF)


class ChoiceTests(SynchronousTestCase):
    """Choosing by a hash."""

    def test_all(self) -> None:
        """There is an algorithm for each of Nicira's."""
        self.assertEqual(set(ALGORITHMS), set(MultipathAlgorithm))

    @given(st.integers(0, 0xFFFFFFFF), st.integers(1, 0x10000), st.integers(0, 0xFFFFFFFF))
    def test_within(self, found: int, count: int, arg: int) -> None:
        """Whatever the numbers are, one of the links is chosen, and soon."""
        for choose in ALGORITHMS.values():
            self.assertTrue(0 <= choose(found, count, arg) < count)

    def test_even(self) -> None:
        """Each chooses all links about as often."""
        for which, choose in ALGORITHMS.items():
            counts = Counter(choose(mixed(n), 5, 7) for n in range(5000))
            self.assertEqual(set(counts), set(range(5)))
            self.assertTrue(all(900 < count < 1100 for count in counts.values()), (which, counts))

    def test_little_moves(self) -> None:
        """When a link is added, HRW and iterated hashing leave nearly all flows where they were."""
        for which in (MultipathAlgorithm.HRW, MultipathAlgorithm.ITER_HASH):
            choose = ALGORITHMS[which]
            hashes = [mixed(n) for n in range(2000)]
            moved = [h for h in hashes if choose(h, 6, 8) != choose(h, 5, 8)]
            self.assertLess(len(moved), 2000 / 6 * 1.2, which)
            self.assertEqual({choose(h, 6, 8) for h in moved}, {5}, which)

    def test_many(self) -> None:
        """With very many links, HRW no longer weighs them one by one."""
        self.assertEqual(ALGORITHMS[MultipathAlgorithm.HRW](MAX_WEIGHED + 6, MAX_WEIGHED + 1, 0), 5)

    def test_highest(self) -> None:
        """When a link goes, only what it had goes elsewhere."""
        for n in range(200):
            before = highest(mixed(n), range(5))
            after = highest(mixed(n), [0, 1, 3, 4])
            if before != 2:
                self.assertEqual(after, before)
