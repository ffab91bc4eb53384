"""Nicira's messages and actions, one or more of every class, in each version that has it.

They belong to :mod:`tests.openflow.samples`, which see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.openflow import actions as act
from agent.openflow import fields, messages
from agent.openflow import nx_actions as nx
from agent.openflow import nx_messages as nxm
from agent.openflow.actions import Action, ApplyActions, Instructions, SetField, WriteMetadata
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import encode
from agent.openflow.constants import ANY, OFP10, OFP13, Port, RemovedReason
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import FlowMod, Message
from agent.openflow.nx_actions import LearnSpec, LearnTo, Subfield

REG0, REG1, REG2 = fields.REGS[:3]

LEARN: Final = nx.Learn(
    1,
    (
        LearnSpec(LearnTo.MATCH, 0x0800, Subfield.whole(fields.ETH_TYPE)),
        LearnSpec(
            LearnTo.MATCH, Subfield(fields.VLAN_TCI, 0, 12), Subfield(fields.VLAN_TCI, 0, 12)
        ),
        LearnSpec(LearnTo.MATCH, Subfield.whole(fields.ETH_SRC), Subfield.whole(fields.ETH_DST)),
        LearnSpec(LearnTo.MATCH, Subfield.whole(fields.IPV4_SRC), Subfield.whole(fields.IPV4_DST)),
        LearnSpec(LearnTo.MATCH, 0x15, Subfield(REG2, 3, 5)),
        LearnSpec(LearnTo.LOAD, Subfield.whole(fields.NX_IN_PORT), Subfield(REG0, 16, 16)),
        LearnSpec(LearnTo.LOAD, 7, Subfield(REG1, 0, 3)),
        LearnSpec(LearnTo.OUTPUT, Subfield.whole(fields.NX_IN_PORT)),
    ),
    priority=100,
    idle_timeout=10,
    hard_timeout=20,
    fin_idle_timeout=3,
    fin_hard_timeout=4,
    cookie=0x1122334455667788,
    flags=3,
)

ACTIONS: Final[tuple[Action, ...]] = (
    nx.Resubmit(3),
    nx.Resubmit(table_id=7),
    nx.Resubmit(Port.LOCAL, 9),
    nx.PopQueue(),
    nx.RegMove(Subfield.whole(fields.NX_IN_PORT), Subfield(REG0, 16, 16)),
    nx.RegMove(Subfield(fields.IPV6_SRC, 64, 64), Subfield.whole(fields.TUNNEL_ID)),
    SetField(REG0, 0x12345678, 0xFFFFFFFF),
    SetField(REG0, 0x50, 0xF0),
    SetField(REG0, 0x05, 0x55),
    SetField(fields.NX_IN_PORT, 0xFFFF, 0xFFFF),
    SetField(fields.IPV6_DST, 5, (1 << 128) - 1),
    SetField(fields.METADATA, 0x1234 << 48, 0xFFFF << 48),
    SetField(fields.VLAN_TCI, 0x1005, 0xFFFF),
    nx.Note(b"a note"),
    nx.Note(b"a note as long as this"),
    nx.Multipath(1, 50, 2, 15, 9, Subfield(REG1, 4, 4)),
    nx.Bundle(1, 4, 7, (1, 2, int(Port.LOCAL), ANY)),
    nx.Bundle(0, 0, 0, (5,), Subfield(REG2, 0, 16)),
    nx.OutputReg(Subfield(REG1, 5, 9), 128),
    nx.ControllerAction(200, 5, 2),
    nx.DecTtlCntIds((1, 2, 3)),
    nx.FinTimeout(1, 2),
    nx.StackPush(Subfield.whole(fields.ETH_TYPE)),
    nx.StackPop(Subfield(REG0, 8, 16)),
    LEARN,
    nx.Learn(0, ()),
    nx.Exit(),
)
"""Actions that are Nicira's in every version."""

ACTIONS10: Final[tuple[Action, ...]] = (
    act.SetQueue(5),
    act.GroupAction(9),
    act.DecNwTtl(),
    act.PushMpls(0x8847),
    act.PopMpls(0x0800),
    act.SetMplsTtl(64),
    act.DecMplsTtl(),
    SetField(fields.MPLS_LABEL, 0xABCDE),
    SetField(fields.MPLS_TC, 5),
    SetField(fields.TUNNEL_ID, 0xFFFFFFFF),
    SetField(fields.TUNNEL_ID, 1 << 40),
)
"""Actions that are Nicira's in 1.0 and OpenFlow's in 1.3."""

MATCHES: Final = (
    MATCH_ALL,
    Match.of(
        in_port=Port.LOCAL, eth_src=(0x0A0000000000, 0xFF0000000000), vlan_tci=(0x1000, 0xF000)
    ),
    Match.of(eth_type=0x0800, nw_frag=1, nw_ttl=64, ip_proto=6, tcp_dst=(80, 0xFFF0), tcp_flags=2),
    Match.of(
        eth_type=0x86DD,
        ip_dscp=10,
        ip_ecn=1,
        ip_proto=58,
        ipv6_src=(0xFE80 << 112, 0xFFC0 << 112),
        ipv6_flabel=5,
        icmpv6_type=135,
        ipv6_nd_target=(1, 0xFF),
        ipv6_nd_sll=5,
    ),
    Match.of(eth_type=0x0806, arp_op=1, arp_spa=5, arp_sha=7, arp_tha=9),
    Match.of(
        tunnel_id=(5, 0xFF),
        tun_src=1,
        tun_dst=2,
        pkt_mark=(3, 7),
        metadata=9,
        **{f"reg{n}": (n, 0xFF) for n in range(8)},
    ),
)
"""Matches that 1.0 can say only in Nicira's words."""

INSTRUCTIONS: Final[tuple[Instructions, ...]] = (
    (),
    (ApplyActions((*ACTIONS, *ACTIONS10)),),
    (ApplyActions((nx.Resubmit(table_id=1),)), WriteMetadata(5, 0xFF)),
    (WriteMetadata(1 << 63, (1 << 64) - 1),),
)


def _session(xid: int) -> Iterator[Message]:
    """What is in both versions."""
    yield messages.RoleRequest(1, None, xid)
    yield messages.RoleReply(3, None, xid)
    yield nxm.FlowModTableId(True, xid)
    yield nxm.SetPacketInFormat(nxm.PacketInFormat.NXM, xid)
    yield messages.PacketIn(9, 60, 1, 2, 3, Match.of(in_port=3, reg0=5), bytes(60), xid, True)
    yield nxm.FlowAge(xid)
    yield messages.SetAsync(messages.AsyncConfig((1, 2), (3, 4), (5, 6)), xid)
    yield nxm.SetControllerId(7, xid)
    yield nxm.FlowMonitorCancel(5, xid)
    yield nxm.FlowMonitorPaused(xid)
    yield nxm.FlowMonitorResumed(xid)


def only10(xid: int) -> Iterator[Message]:
    """What 1.0 has."""
    yield from _session(xid)
    yield nxm.SetFlowFormat(nxm.FlowFormat.NXM, xid)
    for number, match in enumerate(MATCHES):
        rule = INSTRUCTIONS[number % len(INSTRUCTIONS)]
        yield FlowMod(0, match, 1, rule, 0xFF, 5, xid=xid, nxm=True, new_cookie=5)
        yield messages.FlowRemoved(match, 5, 9, 1, number, 3, 4, 10, 0, 1, 2, xid, True)
        yield messages.FlowStatsRequest(number, 4, match=match, xid=xid, nxm=True)
        yield messages.AggregateRequest(match=match, cookie=5, cookie_mask=7, xid=xid, nxm=True)
    rule = INSTRUCTIONS[1]
    yield FlowMod(0x0901, MATCHES[1], 1, rule, 0xFF, 5, 7, xid=xid, nxm=True, new_cookie=9)
    yield FlowMod(2, MATCHES[1], 1, rule, 0xFF, 5, (1 << 64) - 1, 3, 4, 5, 6, xid=xid, nxm=True)
    flows = [
        messages.FlowStats(
            n, 1, 2, 3, 4, 5, 0, 6, 7, 8, match, INSTRUCTIONS[n % 4], n or None, 0xFFFE
        )
        for n, match in enumerate(MATCHES)
    ]
    yield messages.FlowStatsReply(flows, xid, True, True)
    yield messages.AggregateReply(1 << 40, 2, 3, xid, True)
    # What 1.0 says itself, with actions that are Nicira's.
    yield FlowMod(0, Match.of(in_port=1), 1, rule, 0xFF, 5, xid=xid)
    yield messages.PacketOut(0xFFFFFFFF, Port.CONTROLLER, (*ACTIONS, *ACTIONS10), bytes(9), xid)
    yield from _monitors(OFP10, xid)


def only13(xid: int) -> Iterator[Message]:
    """What 1.3 has."""
    yield from _session(xid)
    yield FlowMod(0, MATCH_ALL, 1, (ApplyActions((*ACTIONS, *ACTIONS10)),), xid=xid)
    yield messages.PacketOut(0xFFFFFFFF, Port.CONTROLLER, ACTIONS, bytes(9), xid)
    yield from _monitors(4, xid)
    for kind in BundleType:
        yield BundleControl(1, kind, BundleFlags.ATOMIC | BundleFlags.ORDERED, xid)
    rule = FlowMod(0, Match.of(in_port=1), 1, (ApplyActions(ACTIONS10),), xid=xid)
    for message in (rule, messages.BarrierRequest(xid)):
        yield BundleAdd(1, encode(OFP13, message), BundleFlags.ATOMIC, xid)
    yield BundleAdd(2, encode(OFP13, BundleAdd(1, encode(OFP13, rule), 0, xid)), 0, xid)


def _monitors(version: int, xid: int) -> Iterator[Message]:
    monitors = [nxm.FlowMonitor(n, 1 << n, n, n, MATCHES[n]) for n in (1, 2, 3)]
    yield nxm.FlowMonitorRequest((*monitors, nxm.FlowMonitor(9, 0x3F)), xid)
    rules = INSTRUCTIONS if version == OFP10 else [(ApplyActions(ACTIONS),)]
    updates = [
        nxm.FlowUpdate(event, 1, match, 2, 3, 4, 5, RemovedReason.DELETE, rules[event % len(rules)])
        for event, match in enumerate(MATCHES[1:4])
    ]
    yield nxm.FlowMonitorReply([*updates, nxm.FlowUpdateAbbrev(0x99)], xid)
    yield nxm.FlowMonitorReply([], xid, True)
