"""Tests of :mod:`drivers.software.commit`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import VLAN_TCI
from agent.openflow.match import Match
from drivers.software.commit import changes

LINK: dict[str, Any] = {"eth_src": 1, "eth_dst": 2}
TCP: dict[str, Any] = {**LINK, "eth_type": 0x800, "ip_proto": 6, "ipv4_src": 1, "nw_ttl": 64}
UDP6: dict[str, Any] = {**LINK, "eth_type": 0x86DD, "ip_proto": 17, "nw_ttl": 64}
ICMP: dict[str, Any] = {**LINK, "eth_type": 0x800, "ip_proto": 1, "icmpv4_type": 8}
ND: dict[str, Any] = {**LINK, "eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135}
ARP: dict[str, Any] = {**LINK, "eth_type": 0x806, "arp_op": 1}
MPLS: dict[str, Any] = {**LINK, "eth_type": 0x8847, "mpls_label": 16, "mpls_bos": 1}
PBB: dict[str, Any] = {**LINK, "eth_type": 0x88E7, "pbb_isid": 5}

CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (TCP, {}, []),
    (TCP, {"eth_dst": 9}, ["set(eth(dst=00:00:00:00:00:09))"]),
    (TCP, {"eth_src": 9, "eth_dst": 9}, ["set(eth(src=00:00:00:00:00:09,dst=00:00:00:00:00:09))"]),
    (TCP, {"ipv4_dst": 5, "nw_ttl": 63}, ["set(ipv4(dst=0.0.0.5,ttl=63))"]),
    (TCP, {"nw_tos": 5, "tcp_dst": 80}, ["set(ipv4(tos=5))", "set(tcp(dst=80))"]),
    (TCP, {"ip_proto": 17, "udp_src": 4}, ["set(ipv4(proto=17))", "set(udp(src=4))"]),
    (UDP6, {"ipv6_src": 1, "nw_ttl": 9}, ["set(ipv6(src=::1,hlimit=9))"]),
    (ICMP, {"icmpv4_type": 0}, ["set(icmp(type=0))"]),
    (ND, {"ipv6_nd_sll": 7}, ["set(nd(sll=00:00:00:00:00:07))"]),
    (ND, {"icmpv6_type": 136}, ["set(icmpv6(type=136))"]),
    (ARP, {"arp_op": 2, "arp_tpa": 1}, ["set(arp(tip=0.0.0.1,op=2))"]),
    (TCP, {"vlan_tci": 0x7005}, ["push_vlan(vid=5,pcp=3)"]),
    (TCP | {"vlan_tci": 0x1005}, {"vlan_tci": 0}, ["pop_vlan"]),
    (TCP | {"vlan_tci": 0x1005}, {"vlan_tci": 0x1006}, ["pop_vlan", "push_vlan(vid=6,pcp=0)"]),
    (MPLS, {"mpls_label": 17}, ["set(mpls(label=17))"]),
    (MPLS, {"mpls_bos": 0}, ["push_mpls(label=16,tc=0,bos=0,eth_type=0x8847)"]),
    (PBB, {"pbb_isid": 6}, ["set(pbb(isid=0x6))"]),
    (TCP, {"tunnel_id": 5}, ["set(tunnel(tun_id=0x5))"]),
    (TCP, {"pkt_mark": 5}, ["set(skb_mark(0x5))"]),
    (TCP, {"reg1": 5, "metadata": 5}, []),
]
"""What a packet is, what is set in it, and what a datapath would have to do."""

SHAPES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (TCP, MPLS, ["push_mpls(label=16,tc=0,bos=1,eth_type=0x8847)"]),
    (MPLS, TCP, ["pop_mpls(eth_type=0x0800)"]),
    (TCP, PBB, ["push_pbb(isid=0x5)"]),
    (PBB, TCP | {"eth_src": 8}, ["pop_pbb", "set(eth(src=00:00:00:00:00:08))"]),
]
"""Likewise, where it becomes a packet of another kind."""


class ChangesTests(SynchronousTestCase):
    """What was done to a packet, found out from what it was and what it is."""

    def test_set(self) -> None:
        """Each field that was set is told, with its header; each tag that came or went."""
        for old, changed, told in CASES:
            before, after = Match.of(**old).value, Match.of(**{**old, **changed}).value
            self.assertEqual(list(changes(before, after)), told, (old, changed))

    def test_pushed(self) -> None:
        """Each header that came or went is told."""
        for old, new, told in SHAPES:
            before, after = Match.of(**old).value, Match.of(**new).value
            self.assertIn(told[0], list(changes(before, after)))
            self.assertEqual([one for one in changes(before, after) if one in told], told)

    def test_all_at_once(self) -> None:
        """What was done is told from the inside out, as a datapath must do it."""
        before = Match.of(**TCP).value
        after = VLAN_TCI.put(Match.of(**(TCP | {"eth_src": 5, "tcp_src": 5})).value, 0x1001)
        self.assertEqual(
            list(changes(before, after)),
            ["set(eth(src=00:00:00:00:00:05))", "set(tcp(src=5))", "push_vlan(vid=1,pcp=0)"],
        )
