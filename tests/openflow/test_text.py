"""Tests for :mod:`agent.openflow.text`: what ``ovs-ofctl`` 3.1 prints of the same rules.

The texts were taken from ``ovs-ofctl ofp-print`` of what the codec writes, but for the fields and
actions which Open vSwitch does not know.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as act
from agent.openflow import fields
from agent.openflow.actions import Action, Instruction, SetField
from agent.openflow.fields import FIELDS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from agent.openflow.text import (
    format_actions,
    format_instructions,
    format_match,
    format_port,
    format_value,
)
from tests.openflow.strategies import ACTIONS10, ACTIONS13, matches13
from tests.openflow.tlvs import needed

IP: dict[str, Any] = {"eth_type": 0x0800}
IPV6: dict[str, Any] = {"eth_type": 0x86DD}
ARP: dict[str, Any] = {"eth_type": 0x0806}
ICMPV6: dict[str, Any] = {**IPV6, "ip_proto": 58}

MATCHES: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("in_port=3", {"in_port": 3}),
    ("in_port=LOCAL", {"in_port": Port.LOCAL}),
    ("dl_src=00:01:02:03:04:05", {"eth_src": 0x000102030405}),
    (
        "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
        {"eth_dst": (0x010000000000, 0x010000000000)},
    ),
    ("dl_type=0x1234", {"eth_type": 0x1234}),
    ("dl_vlan=5", {"vlan_vid": 0x1005}),
    ("dl_vlan=5,dl_vlan_pcp=3", {"vlan_tci": 0x7005}),
    ("dl_vlan_pcp=3", {"vlan_tci": (0x7000, 0xF000)}),
    ("vlan_tci=0x1000/0x1000", {"vlan_vid": (0x1000, 0x1000)}),
    ("vlan_tci=0x0000/0x1fff", {"vlan_vid": 0}),
    ("vlan_tci=0x0000", {"vlan_tci": 0}),
    ("ip", IP),
    ("ipv6", IPV6),
    ("arp", ARP),
    ("mpls", {"eth_type": 0x8847}),
    ("mplsm", {"eth_type": 0x8848}),
    ("tcp", {**IP, "ip_proto": 6}),
    ("udp6", {**IPV6, "ip_proto": 17}),
    ("icmp", {**IP, "ip_proto": 1}),
    ("sctp", {**IP, "ip_proto": 132}),
    ("ip,nw_proto=99", {**IP, "ip_proto": 99}),
    ("ip,nw_proto=58", {**IP, "ip_proto": 58}),
    ("ip,nw_src=10.0.0.1", {**IP, "ipv4_src": 0x0A000001}),
    ("ip,nw_dst=10.0.0.0/8", {**IP, "ipv4_dst": (0x0A000000, 0xFF000000)}),
    ("ip,nw_dst=10.0.0.1/255.0.0.255", {**IP, "ipv4_dst": (0x0A000001, 0xFF0000FF)}),
    ("ipv6,ipv6_dst=2001:db8::1", {**IPV6, "ipv6_dst": 0x20010DB8 << 96 | 1}),
    ("ipv6,ipv6_src=2001:db8::/32", {**IPV6, "ipv6_src": (0x20010DB8 << 96, 0xFFFFFFFF << 96)}),
    ("ipv6,ipv6_label=0x0000f", {**IPV6, "ipv6_flabel": 15}),
    ("ip,nw_tos=184,nw_ecn=1", {**IP, "ip_dscp": 46, "ip_ecn": 1}),
    ("ip,nw_ttl=64", {**IP, "nw_ttl": 64}),
    ("ip,nw_frag=first", {**IP, "nw_frag": 1}),
    ("ip,nw_frag=not_later", {**IP, "nw_frag": (0, 2)}),
    ("tcp,tp_src=80,tp_dst=443", {**IP, "ip_proto": 6, "tcp_src": 80, "tcp_dst": 443}),
    ("udp,tp_dst=0x50/0xfff0", {**IP, "ip_proto": 17, "udp_dst": (0x50, 0xFFF0)}),
    ("tcp,tcp_flags=syn|ack", {**IP, "ip_proto": 6, "tcp_flags": 0x12}),
    ("tcp,tcp_flags=+syn-ack", {**IP, "ip_proto": 6, "tcp_flags": (0x02, 0x12)}),
    ("tcp,tcp_flags=0", {**IP, "ip_proto": 6, "tcp_flags": 0}),
    ("icmp,icmp_type=8,icmp_code=0", {**IP, "ip_proto": 1, "icmpv4_type": 8, "icmpv4_code": 0}),
    (
        "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:01:02:03:04:05",
        {
            **ICMPV6,
            "icmpv6_type": 135,
            "ipv6_nd_target": 0xFE80 << 112 | 1,
            "ipv6_nd_sll": 0x000102030405,
        },
    ),
    (
        "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24,arp_op=1,arp_sha=00:01:02:03:04:05",
        {
            **ARP,
            "arp_spa": 0x0A000001,
            "arp_tpa": (0x0A000000, 0xFFFFFF00),
            "arp_op": 1,
            "arp_sha": 0x000102030405,
        },
    ),
    (
        "rarp,arp_tpa=10.0.0.1,arp_op=3",
        {"eth_type": 0x8035, "arp_tpa": 0x0A000001, "arp_op": 3},
    ),
    (
        "mpls,mpls_label=16,mpls_tc=3,mpls_bos=1",
        {"eth_type": 0x8847, "mpls_label": 16, "mpls_tc": 3, "mpls_bos": 1},
    ),
    (
        "pkt_mark=0x5,reg0=0x7,tun_id=0x9,tun_src=10.0.0.1,metadata=0/0xf0,in_port=1",
        {
            "pkt_mark": 5,
            "reg0": 7,
            "tunnel_id": 9,
            "tun_src": 0x0A000001,
            "metadata": (0, 0xF0),
            "in_port": 1,
        },
    ),
    ("in_port=1,in_phy_port=2", {"in_port": 1, "in_phy_port": 2}),
    ("pbb_isid=0x7", {"pbb_isid": 7}),
    ("ipv6,ipv6_exthdr=0x1/0x1", {**IPV6, "ipv6_exthdr": (1, 1)}),
]

ACTIONS: list[tuple[str, Action]] = [
    ("output:3", act.Output(3)),
    ("LOCAL", act.Output(Port.LOCAL)),
    ("CONTROLLER:128", act.Output(Port.CONTROLLER, 128)),
    ("enqueue:3:7", act.Enqueue(3, 7)),
    ("mod_vlan_vid:5", act.SetVlanVid(5)),
    ("mod_vlan_pcp:3", act.SetVlanPcp(3)),
    ("mod_tp_src:80", act.SetTpSrc(80)),
    ("mod_tp_dst:80", act.SetTpDst(80)),
    ("push_vlan:0x8100", act.PushVlan(0x8100)),
    ("pop_vlan", act.PopVlan()),
    ("push_mpls:0x8847", act.PushMpls(0x8847)),
    ("pop_mpls:0x0800", act.PopMpls(0x0800)),
    ("set_mpls_ttl(64)", act.SetMplsTtl(64)),
    ("dec_mpls_ttl", act.DecMplsTtl()),
    ("mod_nw_ttl:64", act.SetNwTtl(64)),
    ("dec_ttl", act.DecNwTtl()),
    ("set_queue:7", act.SetQueue(7)),
    ("group:42", act.GroupAction(42)),
    ("push_pbb:0x88e7", act.PushPbb(0x88E7)),
    ("pop_pbb", act.PopPbb()),
    ("copy_ttl_out", act.CopyTtlOut()),
    ("copy_ttl_in", act.CopyTtlIn()),
    ("set_field:00:01:02:03:04:05->eth_src", SetField(fields.ETH_SRC, 0x000102030405)),
    ("set_field:10.0.0.1->ip_dst", SetField(fields.IPV4_DST, 0x0A000001)),
    ("set_field:4101->vlan_vid", SetField(fields.VLAN_VID, 0x1005)),
    ("set_field:46->ip_dscp", SetField(fields.IP_DSCP, 46)),
    ("set_field:0->tun_id", SetField(fields.TUNNEL_ID, 0)),
    ("set_field:0->reg3", SetField(fields.REGS[3], 0)),
    ("set_field:0x7->reg3", SetField(fields.REGS[3], 7)),
    ("load:0x1->NXM_NX_REG3[0..7]", SetField(fields.REGS[3], 1, 0xFF)),
    ("set_field:0->vlan_pcp", SetField(fields.VLAN_PCP, 0)),
]

OUTPUT = act.Output(3)
INSTRUCTIONS: list[tuple[str, tuple[Instruction, ...]]] = [
    ("drop", ()),
    ("drop", (act.ApplyActions(()),)),
    ("output:3", (act.ApplyActions((OUTPUT,)),)),
    (
        "meter:5,output:3,clear_actions,write_actions(output:3),write_metadata:0x5/0xf,"
        "goto_table:9",
        (
            act.MeterInstruction(5),
            act.ApplyActions((OUTPUT,)),
            act.ClearActions(),
            act.WriteActions((OUTPUT,)),
            act.WriteMetadata(5, 15),
            act.GotoTable(9),
        ),
    ),
    ("write_actions(drop)", (act.WriteActions(()),)),
    ("write_metadata:0x5", (act.WriteMetadata(5, 2**64 - 1),)),
]


class MatchTests(SynchronousTestCase):
    """Matches as ``ovs-ofctl`` prints them."""

    def test_fields(self) -> None:
        """Each field in its words."""
        for text, chosen in MATCHES:
            self.assertEqual(format_match(Match.of(**chosen)), text)

    def test_priority(self) -> None:
        """The priority comes first, unless it is the default."""
        self.assertEqual(format_match(MATCH_ALL, 100), "priority=100")
        self.assertEqual(format_match(Match.of(in_port=1), 0), "priority=0,in_port=1")
        self.assertEqual(format_match(MATCH_ALL, 0x8000), "")

    @given(matches13(), matches13())
    def test_nothing_hidden(self, one: Match, other: Match) -> None:
        """Matches that differ look different."""
        self.assertEqual(format_match(one) == format_match(other), one == other)

    def test_every_field(self) -> None:
        """Every field, exact or masked, is to be seen behind what it needs."""
        for name, field in FIELDS.items():
            for mask in (field.limit, 1) if field.nxm_maskable else (field.limit,):
                chosen: dict[str, int | tuple[int, int]] = {**needed(field)}
                without = format_match(Match.of(**chosen))
                chosen[name] = (field.limit & mask, mask)
                self.assertNotEqual(format_match(Match.of(**chosen)), without, name)


class ActionTests(SynchronousTestCase):
    """Actions and instructions as ``ovs-ofctl`` prints them."""

    def test_actions(self) -> None:
        """Each action in its words."""
        for text, action in ACTIONS:
            self.assertEqual(format_actions((action,)), text)

    def test_complete(self) -> None:
        """There is a word for every action."""
        words = {type(action) for _, action in ACTIONS}
        every = {kind for kind in vars(act).values() if isinstance(kind, type)}
        self.assertEqual({kind for kind in every if issubclass(kind, Action)} - words, {Action})

    def test_list(self) -> None:
        """A list has commas between, and no actions are a drop."""
        self.assertEqual(format_actions((act.PopVlan(), OUTPUT)), "pop_vlan,output:3")
        self.assertEqual(format_actions(()), "drop")

    def test_extension(self) -> None:
        """An action that an extension added is told somehow."""

        class Note(Action):
            def __repr__(self) -> str:
                return "note:00.01"

        self.assertEqual(format_actions((Note(), OUTPUT)), "note:00.01,output:3")

    def test_instructions(self) -> None:
        """Each instruction in its words; applied actions stand for themselves."""
        for text, instructions in INSTRUCTIONS:
            self.assertEqual(format_instructions(instructions), text)

    @given(ACTIONS10, ACTIONS13)
    def test_any(self, old: act.Actions, new: act.Actions) -> None:
        """Whatever the actions, each is one word."""
        for actions in (old, new):
            self.assertEqual(
                format_actions(actions),
                ",".join(format_actions((action,)) for action in actions) or "drop",
            )


class ValueTests(SynchronousTestCase):
    """Values by themselves."""

    def test_ports(self) -> None:
        """Reserved ports have names."""
        self.assertEqual(format_port(1), "1")
        self.assertEqual(format_port(Port.ANY), "ANY")
        self.assertEqual(format_port(Port.MAX), "4294967040")

    def test_mask(self) -> None:
        """A mask is told unless it is all ones."""
        self.assertEqual(format_value(fields.METADATA, 1, 3), "0x1/0x3")
        self.assertEqual(format_value(fields.METADATA, 1, fields.METADATA.limit), "0x1")
        self.assertEqual(format_value(fields.METADATA, 1), "0x1")
