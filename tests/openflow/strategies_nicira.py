"""Hypothesis strategies for Nicira's actions and messages, in the form the codec gives them.

Everything drawn here survives a round trip through both versions, or the one that is named.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from agent.openflow import actions as act
from agent.openflow import fields, messages
from agent.openflow import nx_actions as nx
from agent.openflow import nx_messages as nxm
from agent.openflow.actions import Action, SetField
from agent.openflow.bundle_messages import BundleAdd, BundleControl
from agent.openflow.codec import encode
from agent.openflow.constants import ANY, OFP10, OFP13, Port
from agent.openflow.fields import FIELDS, Field
from agent.openflow.match import Match
from agent.openflow.messages import Message
from agent.openflow.nx_actions import LearnSpec, LearnTo, Subfield, is_writable
from tests.openflow.strategies import (
    INGRESS10,
    MORE,
    U8,
    U16,
    U32,
    U48,
    U64,
    XID,
    instructions13,
    matches13,
    uint,
)

READABLE: Final = list(FIELDS.values())
WRITABLE: Final = [field for field in READABLE if is_writable(field)]
PORTS: Final = INGRESS10 | st.sampled_from([int(Port.IN_PORT), int(Port.NORMAL)])

# --- actions ----------------------------------------------------------------------------------


@st.composite
def subfields(
    draw: st.DrawFn, choices: list[Field] = READABLE, least: int = 1, most: int = 64
) -> Subfield:
    """Bits of one of these fields."""
    field = draw(st.sampled_from([field for field in choices if field.bits >= least]))
    n_bits = draw(st.integers(least, min(field.bits, most)))
    return Subfield(field, draw(st.integers(0, field.bits - n_bits)), n_bits)


@st.composite
def moves(draw: st.DrawFn) -> nx.RegMove:
    """Bits of a field to as many of another."""
    src = draw(subfields(most=128))
    wide = [field for field in WRITABLE if field.bits >= src.n_bits]
    dst = draw(subfields(wide, src.n_bits, src.n_bits))
    return nx.RegMove(src, dst)


@st.composite
def loads(draw: st.DrawFn) -> SetField:
    """A set-field with a mask: bits in a row (``reg_load``) or not (``reg_load2``)."""
    if draw(st.booleans()):
        bits = draw(subfields(WRITABLE))
        value = draw(uint(bits.n_bits)) << bits.ofs
        return SetField(bits.field, value, bits.mask)
    field = draw(st.sampled_from([f for f in WRITABLE if f.maskable and f.bits > 2]))
    mask = draw(st.integers(1, field.limit))
    return SetField(field, draw(uint(field.bits)) & mask, mask)


@st.composite
def specs(draw: st.DrawFn) -> LearnSpec:
    """A piece of a rule to be learnt; what it matches has no prerequisites."""
    to = draw(st.sampled_from(LearnTo))
    if to is LearnTo.OUTPUT:
        return LearnSpec(to, draw(subfields(most=32)))
    free = (fields.ETH_SRC, fields.ETH_DST, fields.VLAN_TCI, fields.TUNNEL_ID, *fields.REGS)
    dst = draw(subfields(list(free) if to is LearnTo.MATCH else WRITABLE, most=128))
    if draw(st.booleans()):
        return LearnSpec(to, draw(uint(dst.n_bits)), dst)
    wide = [field for field in READABLE if field.bits >= dst.n_bits]
    return LearnSpec(to, draw(subfields(wide, dst.n_bits, dst.n_bits)), dst)


@st.composite
def multipaths(draw: st.DrawFn) -> nx.Multipath:
    """Links whose numbers fit their field."""
    dst = draw(subfields(WRITABLE))
    return nx.Multipath(
        int(draw(st.sampled_from(nx.HashFields))),
        draw(U16),
        int(draw(st.sampled_from(nx.MultipathAlgorithm))),
        draw(uint(min(dst.n_bits, 16))),
        draw(U32),
        dst,
    )


_members = st.lists(PORTS | st.just(ANY), max_size=9).map(tuple)
_notes = st.binary(min_size=6, max_size=30).filter(lambda note: len(note) % 8 == 6)

ONE: Final[st.SearchStrategy[Action]] = st.one_of(
    st.builds(nx.Resubmit, PORTS, U8),
    st.sampled_from([nx.PopQueue(), nx.Exit()]),
    moves(),
    loads(),
    _notes.map(nx.Note),
    multipaths(),
    st.builds(
        nx.Bundle,
        st.sampled_from(nx.BundleAlgorithm).map(int),
        st.sampled_from(nx.HashFields).map(int),
        U16,
        _members,
        st.none() | subfields(WRITABLE, 16),
    ),
    st.builds(nx.OutputReg, subfields(), U16),
    st.builds(nx.ControllerAction, U16, U16, U8),
    st.lists(U16, max_size=9).map(lambda ids: nx.DecTtlCntIds(tuple(ids))),
    st.builds(nx.FinTimeout, U16, U16),
    subfields(most=128).map(nx.StackPush),
    subfields(WRITABLE, most=128).map(nx.StackPop),
    st.builds(
        nx.Learn,
        st.integers(0, 254),
        st.lists(specs(), max_size=9).map(tuple),
        *(U16, U16, U16, U16, U16, U64),
        uint(2),
    ),
)
"""One action that is Nicira's in every version."""
ACTIONS: Final = st.lists(ONE, max_size=6).map(tuple)

ACTIONS10: Final = st.lists(
    st.one_of(
        ONE,
        U32.map(act.SetQueue),
        U32.map(act.GroupAction),
        U16.map(act.PopMpls),
        U8.map(act.SetMplsTtl),
        st.sampled_from([act.DecNwTtl(), act.DecMplsTtl(), act.PushMpls(0x8848)]),
        st.builds(SetField, st.just(fields.MPLS_LABEL), uint(20)),
        st.builds(SetField, st.just(fields.MPLS_TC), uint(3)),
        st.builds(SetField, st.just(fields.TUNNEL_ID), U64),
    ),
    max_size=6,
).map(tuple)
"""Actions that are Nicira's in 1.0."""

# --- messages ---------------------------------------------------------------------------------


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """A match which NXM can say."""
    drawn = draw(matches13())
    mask = drawn.mask & ~(fields.IN_PORT.mask | fields.IN_PHY_PORT.mask)
    value = drawn.value & mask
    for field in draw(st.lists(st.sampled_from([*fields.REGS, fields.PKT_MARK]), unique=True)):
        mask |= field.mask
        value = field.put(value, draw(U32))
    if draw(st.booleans()):
        mask |= fields.IN_PORT.mask
        value = fields.IN_PORT.put(value, draw(INGRESS10))
    return Match(mask, value)


@st.composite
def instructions10(draw: st.DrawFn) -> act.Instructions:
    """Actions, and perhaps metadata to be written."""
    actions = draw(ACTIONS10)
    found: act.Instructions = (act.ApplyActions(actions),) if actions else ()
    if draw(st.booleans()):
        found += (act.WriteMetadata(draw(U64), draw(U64)),)
    return found


@st.composite
def flow_mods(draw: st.DrawFn) -> messages.FlowMod:
    """An NXT_FLOW_MOD."""
    command = draw(st.integers(0, 4)) | draw(U8) << 8
    mask = draw(st.just(0) | U64) if command & 0xFF else 0
    new = draw(U48 | st.just((1 << 64) - 1))
    return messages.FlowMod(
        command,
        draw(matches()),
        draw(U16),
        draw(instructions10()),
        0xFF,
        draw(U64) & mask if mask else new,
        mask,
        draw(U16),
        draw(U16),
        draw(U32),
        draw(PORTS | st.just(ANY)),
        flags=draw(uint(2)),
        xid=draw(XID),
        nxm=True,
        new_cookie=None if new == (1 << 64) - 1 else new,
    )


_AGE: Final = st.none() | st.integers(0, 0xFFFE)
_flow_stats: Final = st.builds(
    messages.FlowStats,
    *(U8, U32, U32, U16, U16, U16, st.just(0), U64, U64, U64, matches(), instructions10()),
    *(_AGE, _AGE),
)


@st.composite
def _criteria(draw: st.DrawFn, kind: type[Any]) -> Any:
    mask = draw(st.just(0) | U64)
    return kind(
        table_id=draw(U8),
        out_port=draw(PORTS | st.just(ANY)),
        cookie=draw(U64) & mask,
        cookie_mask=mask,
        match=draw(matches()),
        xid=draw(XID),
        nxm=True,
    )


def _monitors(version: int) -> st.SearchStrategy[Any]:
    old = version == OFP10
    match = matches() if old else matches13()
    monitor = st.builds(
        nxm.FlowMonitor,
        *(U32, st.integers(2, 15), PORTS | st.just(ANY), U8, match),
    )
    return st.builds(nxm.FlowMonitorRequest, st.lists(monitor, max_size=3).map(tuple), XID)


def _updates(version: int) -> st.SearchStrategy[Any]:
    old = version == OFP10
    full = st.builds(
        nxm.FlowUpdate,
        *(st.integers(0, 2), U8, matches() if old else matches13()),
        *(U16, U64, U16, U16, U16, instructions10() if old else instructions13()),
    )
    update = full | U32.map(nxm.FlowUpdateAbbrev)
    return st.builds(nxm.FlowMonitorReply, st.lists(update, max_size=3), XID, MORE)


def _added(bundle_id: int, flags: int, message: messages.Message) -> BundleAdd:
    return BundleAdd(bundle_id, encode(OFP13, message), flags, message.xid)


def bundles() -> list[st.SearchStrategy[Any]]:
    """The Foundation's messages about bundles."""
    inner = st.builds(messages.BarrierRequest, XID) | st.builds(
        messages.EchoRequest, st.binary(max_size=20), XID
    )
    return [st.builds(BundleControl, U32, U16, U16, XID), st.builds(_added, U32, U16, inner)]


def message(version: int) -> st.SearchStrategy[Message]:
    """Any message of Nicira's in the version."""
    masks = st.builds(messages.AsyncConfig, *[st.tuples(U32, U32)] * 3)
    every: list[st.SearchStrategy[Any]] = [
        st.builds(messages.RoleRequest, st.integers(1, 3), st.none(), XID),
        st.builds(messages.RoleReply, st.integers(1, 3), st.none(), XID),
        st.builds(nxm.FlowModTableId, st.booleans(), XID),
        st.builds(nxm.SetPacketInFormat, st.integers(0, 1), XID),
        st.builds(nxm.FlowAge, XID),
        st.builds(messages.SetAsync, masks, XID),
        st.builds(nxm.SetControllerId, U16, XID),
        st.builds(
            messages.PacketIn,
            *(U32, U16, U8, U8, U64, matches(), st.binary(), XID, st.just(True)),
        ),
        _monitors(version),
        _updates(version),
        st.builds(nxm.FlowMonitorCancel, U32, XID),
        st.builds(nxm.FlowMonitorPaused, XID),
        st.builds(nxm.FlowMonitorResumed, XID),
    ]
    if version == OFP10:
        every += [
            st.builds(nxm.SetFlowFormat, st.sampled_from([0, 2]), XID),
            flow_mods(),
            st.builds(
                messages.FlowRemoved,
                *(matches(), U64, U16, st.integers(0, 2), U8, U32, U32, U16, st.just(0)),
                *(U64, U64, XID, st.just(True)),
            ),
            _criteria(messages.FlowStatsRequest),
            _criteria(messages.AggregateRequest),
            st.builds(
                messages.FlowStatsReply,
                st.lists(_flow_stats, max_size=3),
                *(XID, MORE, st.just(True)),
            ),
            st.builds(messages.AggregateReply, U64, U64, U32, XID, st.just(True)),
        ]
    else:
        every += bundles()
    return st.one_of(every)
