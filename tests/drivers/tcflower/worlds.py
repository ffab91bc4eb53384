"""Rules, groups and frames at random, few enough of each kind that they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import attrs
from hypothesis import strategies as st

from agent.openflow import fields as f
from agent.openflow.actions import (
    Action,
    ApplyActions,
    ClearActions,
    DecNwTtl,
    GotoTable,
    GroupAction,
    Instruction,
    Instructions,
    Output,
    PopMpls,
    PopVlan,
    PushMpls,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetTpDst,
    SetVlanPcp,
    SetVlanVid,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.fields import Field
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import Match
from agent.openflow.messages import Port
from agent.packet.compose import compose
from drivers.testing import FakeRule
from drivers.testing.fakes import FakeGroup

PORTS = (1, 2, 3)
TABLES = 3
MACS = (0x020000000001, 0x020000000002)
ADDRESSES = (0x0A000001, 0x0A000102, 0xC0000201)
ADDRESSES6 = (1 << 64 | 1, 2 << 64 | 1)
L4_PORTS = (80, 81, 0x8050)
TTLS = (0, 1, 2, 64, 255)
TPIDS = (0x8100, 0x88A8)
PRIORITIES = (0, 1, 31, 32, 33, 34, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


def pick(*values: Any) -> st.SearchStrategy[Any]:
    """One of these."""
    return st.sampled_from(values)


# --- frames -----------------------------------------------------------------------------------

_L4: dict[int, dict[str, st.SearchStrategy[Any]]] = {
    6: {"tcp_src": pick(*L4_PORTS), "tcp_dst": pick(*L4_PORTS), "tcp_flags": pick(2, 0x10, 0x12)},
    17: {"udp_src": pick(*L4_PORTS), "udp_dst": pick(*L4_PORTS)},
    132: {"sctp_src": pick(*L4_PORTS), "sctp_dst": pick(*L4_PORTS)},
    1: {"icmpv4_type": pick(0, 8), "icmpv4_code": pick(0, 1)},
    58: {"icmpv6_type": pick(128, 129), "icmpv6_code": pick(0, 1)},
    47: {},
}
_L3: dict[int, dict[str, st.SearchStrategy[Any]]] = {
    0x0800: {
        "ipv4_src": pick(*ADDRESSES),
        "ipv4_dst": pick(*ADDRESSES),
        "nw_ttl": pick(*TTLS),
        "nw_tos": pick(0, 0xB9),
    },
    0x86DD: {
        "ipv6_src": pick(*ADDRESSES6),
        "ipv6_dst": pick(*ADDRESSES6),
        "nw_ttl": pick(*TTLS),
        "nw_tos": pick(0, 0xB9),
        "ipv6_flabel": pick(0, 7),
    },
    0x0806: {
        "arp_op": pick(1, 2),
        "arp_spa": pick(*ADDRESSES),
        "arp_tpa": pick(*ADDRESSES),
        "arp_sha": pick(*MACS),
        "arp_tha": pick(*MACS),
    },
    0x8847: {"mpls_label": pick(16, 17), "mpls_tc": pick(0, 5), "mpls_bos": pick(0, 1)},
    0x88CC: {},
}
_PROTOS = {0x0800: (6, 17, 132, 1, 47), 0x86DD: (6, 17, 58)}


@st.composite
def frames(draw: st.DrawFn, world: Sequence[FakeRule]) -> tuple[int, bytes]:
    """Where a frame comes in, and the frame; mostly one that some rule takes."""
    match = draw(st.sampled_from([Match(), *(rule.match for rule in world)]))
    eth_type = match.value_of(f.ETH_TYPE) or draw(pick(*_L3, 0x0800, 0x0800))
    values = {"eth_dst": draw(pick(*MACS)), "eth_src": draw(pick(*MACS)), "eth_type": eth_type}
    values |= {name: draw(strategy) for name, strategy in _L3[eth_type].items()}
    if eth_type in _PROTOS:
        values["ip_proto"] = match.value_of(f.IP_PROTO) or draw(pick(*_PROTOS[eth_type]))
        values |= {name: draw(s) for name, s in _L4[values["ip_proto"]].items()}
        if eth_type == 0x0800:
            values["nw_frag"] = draw(pick(0, 0, 0, 0, 1, 3))
    payload = draw(st.binary(max_size=4)).ljust(draw(pick(4, 60)), b"\x45")
    key = Match.of(**values).value & ~match.mask | match.value
    frame = compose(key, payload)
    tags = b""
    tci = f.VLAN_TCI.get(key)
    if tci & f.VLAN_PRESENT:
        tags = frame[14:16]
        frame = frame[:12] + frame[16:]
    elif not match.mask & f.VLAN_PRESENT << f.VLAN_TCI.shift and draw(st.booleans()):
        tags = (draw(pick(0, 5)) << 13 | draw(pick(0, 1, 5))).to_bytes(2, "big")
    if tags:
        inner = draw(pick(b"", b"", b"\x81\0\0\1", b"\x88\xa8\0\5"))
        frame = frame[:12] + draw(pick(*TPIDS)).to_bytes(2, "big") + tags + inner + frame[12:]
    return f.IN_PORT.get(match.value) or draw(pick(*PORTS)), frame


# --- rules ------------------------------------------------------------------------------------

_MASKS = {
    "ipv4_src": (0xFFFFFF00, 0xFF, 0xFFFFFFFF),
    "ipv4_dst": (0xFFFFFF00, 0xFF, 0xFFFFFFFF),
    "ipv6_dst": ((1 << 128) - 1 ^ ((1 << 64) - 1),),
    "eth_dst": (1, 0xFFFFFF000000),
    "tcp_dst": (0x7FFF,),
    "tcp_flags": (2, 0x10),
    "arp_spa": (0xFFFFFF00,),
    "nw_frag": (1, 2, 3),
}


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """A match of a few fields, whose prerequisites are met."""
    choices: dict[str, Any] = {
        "in_port": pick(*PORTS),
        "eth_dst": pick(*MACS),
        "eth_src": pick(*MACS),
        "vlan_vid": pick(0, 0x1001, 0x1005, (0x1000, 0x1000), 0x1001, (0x1001, 0x1001)),
    }
    fixed: dict[str, Any] = {}
    if draw(pick(True, True, False)):
        eth_type = draw(pick(*_L3, 0x0800))
        fixed["eth_type"] = eth_type
        choices |= _L3[eth_type]
        if eth_type == 0x0800:
            choices["nw_frag"] = pick(0, 1, 3)
        if eth_type in _PROTOS and draw(st.booleans()):
            fixed["ip_proto"] = draw(pick(*_PROTOS[eth_type]))
            choices |= _L4[fixed["ip_proto"]]
    for name in draw(st.lists(pick(*choices), max_size=2, unique=True)):
        value = draw(choices[name])
        if name in _MASKS and draw(st.booleans()):
            value = (value, draw(pick(*_MASKS[name])))
        fixed[name] = value
    wanted = fixed.get("vlan_vid")
    if isinstance(wanted, int) and wanted and draw(pick(True, False, False)):
        fixed["vlan_pcp"] = draw(pick(0, 5))
    if draw(pick(*[False] * 20, True)):
        fixed["metadata"] = draw(pick(0, 1))
    return Match.of(**fixed)


def set_field(field: Field, *values: int) -> st.SearchStrategy[Action]:
    """To write one of these."""
    return cast("st.SearchStrategy[Action]", st.builds(SetField, pick(field), pick(*values)))


CHANGES = st.one_of(
    set_field(f.ETH_DST, *MACS),
    set_field(f.ETH_SRC, *MACS),
    set_field(f.VLAN_VID, 0x1001, 0x1007),
    set_field(f.VLAN_PCP, 2),
    set_field(f.VLAN_TCI, 0, 0x3007),
    set_field(f.IPV4_SRC, *ADDRESSES),
    set_field(f.IPV4_DST, *ADDRESSES),
    set_field(f.IPV6_DST, *ADDRESSES6),
    set_field(f.IPV6_FLABEL, 9),
    set_field(f.IP_DSCP, 1),
    set_field(f.IP_ECN, 2),
    set_field(f.TCP_DST, 443),
    set_field(f.TCP_SRC, 444),
    set_field(f.UDP_DST, 445),
    set_field(f.UDP_SRC, 446),
    set_field(f.ARP_OP, 2),
    set_field(f.ARP_SPA, *ADDRESSES),
    set_field(f.ARP_THA, *MACS),
    set_field(f.MPLS_LABEL, 18),
    set_field(f.MPLS_TC, 3),
    set_field(f.REGS[0], 1),
    st.builds(SetField, pick(f.IPV4_DST), pick(0xFF), pick(0xFF)),
    st.builds(SetNwTtl, pick(1, 9)),
    st.builds(SetMplsTtl, pick(9)),
    st.builds(SetVlanVid, pick(1, 7)),
    st.builds(SetVlanPcp, pick(0, 5)),
    st.builds(SetTpDst, pick(447)),
    pick(
        DecNwTtl(),
        DecNwTtl(),
        PopVlan(),
        PopVlan(),
        PushVlan(0x8100),
        PushVlan(0x88A8),
        PopMpls(0x0800),
        PushMpls(0x8847),
    ),
)
OUTPUTS = st.one_of(
    st.builds(Output, pick(*PORTS)),
    st.builds(Output, pick(Port.IN_PORT, Port.ALL, Port.FLOOD, 9)),
)
SEQUENCES = st.one_of(
    st.builds(lambda vid: (PushVlan(0x8100), SetField(f.VLAN_VID, vid)), pick(0x1001, 0x1007)),
    pick((PushMpls(0x8847), SetField(f.MPLS_LABEL, 19), SetMplsTtl(7))),
)


@st.composite
def action_lists(draw: st.DrawFn, groups: bool = False) -> tuple[Action, ...]:
    """Changes and outputs, in any order."""
    single = [CHANGES, OUTPUTS, OUTPUTS]
    if groups:
        single.append(st.builds(GroupAction, pick(1, 2, 3)))
    parts = draw(
        st.lists(st.one_of(SEQUENCES, *(s.map(lambda a: (a,)) for s in single)), max_size=4)
    )
    actions = sum(parts, ())
    if draw(pick(*[False] * 9, True)):
        actions += (Output(Port.CONTROLLER, 0xFFFF),)
    elif draw(pick(True, True, False)):
        actions += (draw(OUTPUTS),)
    return actions


def _met(match: Match, actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The actions without those that write what the match does not say is there: the agent refuses
    them."""
    kept = []
    for action in actions:
        field = action.field if isinstance(action, SetField) else None
        if field is not None and field.eth_types:
            if match.value_of(f.ETH_TYPE) not in field.eth_types:
                continue
            if field.ip_protos and match.value_of(f.IP_PROTO) not in field.ip_protos:
                continue
        kept.append(action)
    return tuple(kept)


@st.composite
def rules(draw: st.DrawFn, groups: bool = False) -> list[FakeRule]:
    """Rules of all tables; in each no two have the same priority."""
    found: list[FakeRule] = []
    for table in range(TABLES):
        for priority in draw(st.lists(pick(*PRIORITIES), min_size=1, max_size=4, unique=True)):
            match = Match() if draw(pick(*[False] * 5, True)) else draw(matches())
            actions = draw(action_lists(groups))
            instructions: list[Instruction] = []
            if draw(pick(*[False] * 4, True)):
                instructions = [ClearActions(), WriteActions(actions)]
            elif draw(pick(*[False] * 9, True)):
                instructions = [ApplyActions(_met(match, actions)), WriteMetadata(1, 1)]
            else:
                instructions = [ApplyActions(_met(match, actions))]
            waits = isinstance(instructions[-1], WriteActions | WriteMetadata)
            if table + 1 < TABLES and draw(pick(False, not waits, not waits, True)):
                instructions.append(GotoTable(draw(st.integers(table + 1, TABLES - 1))))
            made: Instructions = tuple(instructions)
            found.append(FakeRule(match, priority, table, made, cookie=len(found)))
    return found


@st.composite
def group_tables(draw: st.DrawFn) -> list[FakeGroup]:
    """Groups 1 to 3, of all types that are not SELECT; the last hands packets to the first."""
    made = []
    for number, kind in ((1, GroupType.ALL), (2, GroupType.FF), (3, GroupType.INDIRECT)):
        buckets = []
        for _ in range(1 if kind == GroupType.INDIRECT else draw(st.integers(0, 3))):
            actions = draw(action_lists())
            if number == 3 and draw(st.booleans()):
                actions += (GroupAction(1),)
            watch = draw(pick(*PORTS)) if kind == GroupType.FF else 0xFFFFFFFF
            buckets.append(Bucket(watch_port=watch, actions=actions))
        made.append(FakeGroup(number, kind, tuple(buckets)))
    return made


@attrs.frozen
class World:
    """What there is, and what comes in.

    :ivar down: the port that is down; 0: none.
    :ivar frames: where frames come in, and the frames.
    """

    rules: list[FakeRule]
    groups: list[FakeGroup]
    down: int
    frames: list[tuple[int, bytes]]


@st.composite
def worlds(draw: st.DrawFn, groups: bool = False) -> World:
    """Rules, groups if wanted, and frames for them."""
    made = draw(rules(groups))
    first = [rule for rule in made if not rule.table_id]
    packets = draw(st.lists(frames(first), min_size=1, max_size=6))
    return World(made, draw(group_tables()) if groups else [], draw(pick(0, 0, 2)), packets)
