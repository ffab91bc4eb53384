"""Real frames for every field that can be matched and every action, with the counters of rules.

What comes out is compared with what the software datapath makes of the same frame, checksums and
all; what is taken, with a table.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.fields import FIELDS
from agent.openflow.match import Match
from agent.openflow.nx_actions import DecTtlCntIds, Exit, Note, PopQueue
from agent.packet import packet as packets
from agent.packet.compose import compose
from drivers.software.program import compile_actions
from drivers.tcflower.abilities import ACTIONS
from drivers.tcflower.keys import MATCHED
from drivers.testing import FakeRule
from drivers.testing.fakes import output
from tests.kernel.test_driver import ForwardingHarness

Values = dict[str, int]
Wanted = int | tuple[int, int]

ETH: Values = {"eth_dst": 0x020000000002, "eth_src": 0x020000000001}
IP4: Values = {"eth_type": 0x0800}
IP6: Values = {"eth_type": 0x86DD}
TCP: Values = {**IP4, "ip_proto": 6}
UDP: Values = {**IP4, "ip_proto": 17}
TCP6: Values = {**IP6, "ip_proto": 6}
UDP6: Values = {**IP6, "ip_proto": 17}
SCTP: Values = {**IP4, "ip_proto": 132}
ICMP4: Values = {**IP4, "ip_proto": 1}
ICMP6: Values = {**IP6, "ip_proto": 58}
ARP: Values = {"eth_type": 0x0806, "arp_op": 1}
MPLS: Values = {"eth_type": 0x8847, "mpls_bos": 1}
TAG: Values = {"vlan_vid": 0x1005}
DOC6 = 0x20010DB8 << 96

# What must be matched besides, the field, what is matched of it, values that are, and others.
MATCHES: tuple[tuple[Values, str, Wanted, tuple[int, ...], tuple[int, ...]], ...] = (
    ({}, "eth_dst", 0x020000000002, (0x020000000002,), (0x020000000003,)),
    ({}, "eth_dst", (1 << 40, 1 << 40), (0xFFFFFFFFFFFF, 1 << 40), (2 << 40,)),
    ({}, "eth_src", 0x020000000001, (0x020000000001,), (0x020000000003,)),
    ({}, "eth_src", (0x02 << 40, 0xFF << 40), (0x02 << 40, (0x02 << 40) + 9), (0x06 << 40,)),
    ({}, "eth_type", 0x0800, (0x0800,), (0x86DD, 0x0806, 0x8847, 0x88CC)),
    ({}, "eth_type", 0x88CC, (0x88CC,), (0x0800,)),
    ({}, "vlan_vid", 0, (0,), (0x1005, 0x1000)),
    ({}, "vlan_vid", (0x1000, 0x1000), (0x1005, 0x1000), (0,)),
    ({}, "vlan_vid", 0x1005, (0x1005,), (0x1006, 0)),
    (TAG, "vlan_pcp", 3, (3,), (0, 7)),
    ({}, "vlan_tci", 0x7005, (0x7005,), (0x5005, 0x7006, 0)),
    (IP4, "ip_proto", 17, (17,), (6, 1)),
    (IP6, "ip_proto", 6, (6,), (17,)),
    (IP4, "ip_dscp", 46, (46,), (0, 47)),
    (IP6, "ip_dscp", 46, (46,), (0, 47)),
    (IP4, "ip_ecn", 1, (1,), (0, 3)),
    (IP6, "ip_ecn", 2, (2,), (0,)),
    (IP4, "nw_tos", 0xB9, (0xB9,), (0xB8, 0)),
    (IP4, "nw_ttl", 9, (9,), (8, 64)),
    (IP6, "nw_ttl", 9, (9,), (8, 64)),
    (UDP, "nw_frag", (0, 3), (0,), (1, 3)),
    (UDP, "nw_frag", (1, 1), (1, 3), (0,)),
    (UDP, "nw_frag", (1, 3), (1,), (0, 3)),
    (UDP6, "nw_frag", (1, 1), (1,), (0,)),
    (IP4, "ipv4_src", 0x0A000001, (0x0A000001,), (0x0A000002,)),
    (IP4, "ipv4_src", (0x0A000000, 0xFF000000), (0x0AFFFFFF,), (0x0B000000,)),
    (IP4, "ipv4_dst", 0x0A000001, (0x0A000001,), (0x0A000002,)),
    (IP4, "ipv4_dst", (0x00000001, 0x00000001), (0x0A000001,), (0x0A000002,)),
    (IP6, "ipv6_src", DOC6 + 1, (DOC6 + 1,), (DOC6 + 2,)),
    (IP6, "ipv6_src", (DOC6, 0xFFFFFFFF << 96), (DOC6 + 2,), (1,)),
    (IP6, "ipv6_dst", DOC6 + 1, (DOC6 + 1,), (DOC6 + 2,)),
    (IP6, "ipv6_dst", (1, 1), (DOC6 + 3,), (DOC6 + 2,)),
    (TCP, "tcp_src", 80, (80,), (81,)),
    (TCP6, "tcp_src", 80, (80,), (81,)),
    (TCP, "tcp_dst", (0x400, 0xFC00), (0x400, 0x7FF), (0x800, 80)),
    (TCP6, "tcp_dst", 80, (80,), (81,)),
    (TCP, "tcp_flags", (0x002, 0x012), (0x002, 0x003), (0x012, 0x010)),
    (UDP, "udp_src", (1, 1), (1, 53), (2,)),
    (UDP6, "udp_src", 53, (53,), (54,)),
    (UDP, "udp_dst", 53, (53,), (54,)),
    (UDP6, "udp_dst", 53, (53,), (54,)),
    (SCTP, "sctp_src", 1, (1,), (2,)),
    (SCTP, "sctp_dst", 2, (2,), (1,)),
    (ICMP4, "icmpv4_type", 8, (8,), (0,)),
    (ICMP4, "icmpv4_code", 1, (1,), (0,)),
    (ICMP6, "icmpv6_type", 128, (128,), (129,)),
    (ICMP6, "icmpv6_code", 3, (3,), (0,)),
    ({"eth_type": 0x0806}, "arp_op", 2, (2,), (1,)),
    (ARP, "arp_spa", 0x0A000001, (0x0A000001,), (0x0A000002,)),
    (ARP, "arp_spa", (0x0A000000, 0xFF000000), (0x0A000009,), (0x0B000000,)),
    (ARP, "arp_tpa", 0x0A000001, (0x0A000001,), (0x0A000002,)),
    (ARP, "arp_sha", 0x020000000001, (0x020000000001,), (0x020000000002,)),
    (ARP, "arp_tha", (1, 1), (3,), (2,)),
    ({"eth_type": 0x8847}, "mpls_bos", 0, (0,), (1,)),
    (MPLS, "mpls_label", 16, (16,), (17,)),
    ({"eth_type": 0x8848}, "mpls_label", 0xFFFFF, (0xFFFFF,), (0,)),
    (MPLS, "mpls_tc", 5, (5,), (4,)),
    ({**TAG, **UDP}, "udp_dst", 53, (53,), (54,)),
)
ELSEWHERE = {"in_port", "tunnel_id", "tun_src", "tun_dst"}
"""Fields that are no part of a frame; for tunnels see :mod:`tests.kernel.test_tunnels`."""


def frame(*values: Values, payload: bytes = b"some payload") -> bytes:
    """A frame with right lengths and checksums."""
    merged = dict(ETH)
    for each in values:
        merged |= each
    return compose(Match.of(**merged), payload)


def retagged(data: bytes) -> bytes:
    """The frame with a tag of 802.1ad instead of 802.1Q."""
    return data[:12] + b"\x88\xa8" + data[14:]


class MatchTests(ForwardingHarness, SynchronousTestCase):
    """A rule takes what it should and nothing else, and counts it."""

    def test_complete(self) -> None:
        """Every field that there is a key for is in the table, or in a test of its own."""
        names = {name for _, name, _, _, _ in MATCHES} | ELSEWHERE
        self.assertEqual({field.name for field in MATCHED} - names, set())

    def test_every_field(self) -> None:
        """Frames that are matched come out unchanged, and others do not."""
        for needs, name, wanted, taken, others in MATCHES:
            rule = FakeRule(Match.of(**needs, **{name: wanted}), 10, instructions=output(2))
            self.add(rule)
            right = [frame(needs, {name: value}) for value in taken]
            wrong = [frame(needs, {name: value}) for value in others]
            for each in (right, wrong):
                each += [retagged(data) for data in each if data[12:14] == b"\x81\x00"]
            found = self.out(1, *wrong, *right)
            self.assertEqual(found, {2: right}, (name, wanted))
            self.delete(rule)
            self.assertEqual(rule.counters.packets, len(right), (name, wanted))
            octets = sum(map(len, right))
            if not rule.match.mask & f.VLAN_TCI.mask:
                # Linux counts no tags, and nothing says that there is one.
                octets -= 4 * sum(data[12:14] in (b"\x81\x00", b"\x88\xa8") for data in right)
            self.assertEqual(rule.counters.bytes, octets, (name, wanted))
        self.assertEqual(self.driver.show()["filters"], 0)

    def test_tags_counted(self) -> None:
        """A rule that matches a tag counts it, and one behind it; in the next table, too, also
        where a rule before has pushed one.  Where nothing says that a packet came with one, Linux
        has left out the outer one."""
        one, two = frame(TAG, UDP), retagged(frame(TAG, UDP))
        two = two[:12] + b"\x81\x00\x00\x07" + two[12:]
        push = (of.PushVlan(0x8100), *sets(("vlan_vid", 0x1009)))
        for match, actions, later, sent, counted in (
            (TAG, (), TAG, one, (len(one), len(one))),
            (TAG, (), {}, one, (len(one), len(one) - 4)),
            ({}, (), {}, one, (len(one) - 4, len(one) - 4)),
            ({"vlan_vid": 0x1007}, (), {"vlan_vid": 0x1007}, two, (len(two), len(two))),
            ({"vlan_vid": 0}, push, {"vlan_vid": 0x1009}, frame(UDP), (len(one) - 4, len(one))),
            (TAG, (of.PopVlan(),), {"vlan_vid": 0}, one, (len(one), len(one) - 4)),
            ({"vlan_vid": 0x1007}, (of.PopVlan(),), TAG, two, (len(two), len(two))),
        ):
            goes = (of.ApplyActions(tuple(actions)), of.GotoTable(1))
            rules = (
                FakeRule(Match.of(**match), 9, 0, goes),
                FakeRule(Match.of(**later), 9, 1, output(2)),
            )
            self.add(*rules)
            self.assertEqual(len(self.out(1, sent)[2]), 1)
            self.delete(*rules)
            found = tuple(rule.counters.bytes for rule in rules)
            self.assertEqual(found, counted, (match, actions, later))

    def test_in_port(self) -> None:
        """Frames of one port are taken, and those of another are not."""
        rule = FakeRule(Match.of(in_port=1), 10, instructions=output(2))
        self.add(rule)
        data = frame(UDP)
        self.assertEqual(self.out(3, data), {})
        self.assertEqual(self.out(1, data), {2: [data]})
        self.delete(rule)
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(data)))


def sets(*names_and_values: tuple[str, int]) -> list[of.Action]:
    """One action for each field."""
    return [of.SetField(FIELDS[name], value) for name, value in names_and_values]


PUSH_MPLS = [of.PushMpls(0x8847), *sets(("mpls_label", 16), ("mpls_tc", 5)), of.SetMplsTtl(9)]

# What is matched, how the frame is besides, and what is done to it before it is sent.
REWRITES: tuple[tuple[Values, Values, list[of.Action]], ...] = (
    ({}, UDP, sets(("eth_dst", 0x020000000099))),
    ({}, UDP, sets(("eth_src", 0x0A0B0C0D0E0F))),
    ({}, UDP, [of.SetField(f.ETH_SRC, 0xFF, 0xFF)]),
    (IP4, UDP, sets(("ipv4_src", 0xC0000201))),
    (IP4, UDP, sets(("ipv4_dst", 0xC0000202))),
    (IP4, TCP, [of.SetField(f.IPV4_DST, 0xC0000200, 0xFFFFFF00)]),
    (IP4, ICMP4, sets(("ipv4_src", 1), ("ipv4_dst", 2))),
    (IP6, UDP6, sets(("ipv6_src", DOC6 + 7))),
    (IP6, TCP6, sets(("ipv6_dst", DOC6 + 8))),
    (IP6, ICMP6, sets(("ipv6_src", DOC6 + 1), ("ipv6_dst", DOC6 + 2))),
    (UDP, {}, sets(("udp_src", 7), ("udp_dst", 8))),
    (UDP6, {}, sets(("udp_src", 7), ("udp_dst", 8))),
    (TCP, {}, sets(("tcp_src", 7), ("tcp_dst", 8))),
    (TCP6, {}, sets(("tcp_src", 7), ("tcp_dst", 8))),
    (UDP, {}, sets(("ipv4_dst", 1), ("udp_dst", 8))),
    (TCP, {}, [of.SetTpSrc(7), of.SetTpDst(8)]),
    (IP4, UDP, sets(("ip_dscp", 46), ("ip_ecn", 1))),
    (IP6, UDP6, sets(("ip_dscp", 46), ("ip_ecn", 1))),
    (IP4, UDP, sets(("nw_tos", 0x2E))),
    (IP6, UDP6, sets(("nw_tos", 0x2E))),
    (IP6, UDP6, sets(("ipv6_flabel", 0xABCDE))),
    (IP4, UDP, sets(("nw_ttl", 3))),
    (IP6, UDP6, [of.SetNwTtl(9)]),
    (IP4, UDP, [of.DecNwTtl()]),
    (IP6, UDP6, [of.DecNwTtl()]),
    (IP4, UDP, [DecTtlCntIds((1,))]),
    ({"eth_type": 0x0806}, ARP, sets(("arp_op", 2), ("arp_spa", 1), ("arp_tpa", 2))),
    ({"eth_type": 0x0806}, ARP, sets(("arp_sha", 0x0A0B0C0D0E0F), ("arp_tha", 5))),
    ({"vlan_vid": 0}, UDP, [of.PushVlan(0x8100)]),
    ({"vlan_vid": 0}, UDP, [of.PushVlan(0x88A8), *sets(("vlan_vid", 0x1007), ("vlan_pcp", 5))]),
    (TAG, UDP, [of.PushVlan(0x88A8), *sets(("vlan_vid", 0x1007))]),
    (TAG, UDP, [of.PopVlan()]),
    (TAG, UDP, sets(("vlan_vid", 0x1007), ("vlan_pcp", 5))),
    ({}, TAG, sets(("vlan_tci", 0x7009))),
    ({}, UDP, [of.SetVlanVid(9), of.SetVlanPcp(3)]),
    ({**TAG, **IP4}, UDP, sets(("ipv4_dst", 5))),
    (IP4, UDP, PUSH_MPLS),
    (IP6, UDP6, [of.PushMpls(0x8848), *sets(("mpls_label", 16)), of.SetMplsTtl(9)]),
    ({**TAG, **IP4}, UDP, PUSH_MPLS),
    (MPLS, {"mpls_label": 7}, PUSH_MPLS),
    (MPLS, {}, [of.PopMpls(0x0800)]),
    (MPLS, {}, sets(("mpls_label", 99), ("mpls_tc", 6))),
    ({"eth_type": 0x8847}, MPLS, sets(("mpls_bos", 0))),
    (MPLS, {}, [of.SetMplsTtl(200)]),
    (MPLS, {}, [of.DecMplsTtl()]),
    ({}, UDP, [Note(b"note"), PopQueue()]),
)
UNLIKE = {of.Output, of.Enqueue, of.SetQueue, of.GroupAction, Exit}
"""Actions that change no packet, with tests of their own: here, in :mod:`tests.kernel.test_driver`
and :mod:`tests.kernel.test_numbered`."""


class RewriteTests(ForwardingHarness, SynchronousTestCase):
    """What is done to a packet is what the software datapath does to it."""

    def test_complete(self) -> None:
        """Every action that a rule can have is in the table, or in a test of its own."""
        kinds = {type(action) for _, _, actions in REWRITES for action in actions}
        self.assertEqual(ACTIONS - kinds - UNLIKE, set())

    def test_every_action(self) -> None:
        """Frames come out changed, with the checksums that they should have."""
        for match, values, actions in REWRITES:
            apply = of.ApplyActions((*actions, of.Output(2), Exit(), of.Output(3)))
            rule = FakeRule(Match.of(**match), 10, instructions=(apply,))
            self.add(rule)
            data = frame(values, match)
            self.assertEqual(self.out(1, data), {2: [expected(data, actions)]}, (match, actions))
            self.delete(rule)
            self.assertEqual(rule.counters.packets, 1)

    def test_in_next_table(self) -> None:
        """What one table has changed, the next one sees; both count."""
        apply = of.ApplyActions((of.SetField(f.IPV4_DST, 9), of.Output(3)))
        first = FakeRule(Match.of(**UDP), 10, 0, (apply, of.GotoTable(2)))
        second = FakeRule(Match.of(eth_type=0x800, ipv4_dst=9), 10, 2, output(2))
        self.add(first, second)
        data = frame(UDP)
        changed = expected(data, [of.SetField(f.IPV4_DST, 9)])
        self.assertEqual(self.out(1, data), {2: [changed], 3: [changed]})
        self.delete(first, second)
        for rule in (first, second):
            self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(data)))


def expected(data: bytes, actions: list[of.Action]) -> bytes:
    """What the software datapath makes of a frame."""
    ran: Any = _Run(data)
    for step in compile_actions(tuple(actions)):
        step(ran)
    return bytes(ran.packet.frame())


class _Run:
    """As much of a run as changes of packets need."""

    more = None

    def __init__(self, data: bytes) -> None:
        self.packet = packets.parse(data, 1)
