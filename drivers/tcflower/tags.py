"""VLAN tags and MPLS shims: pushed, written and popped, as edits.

tc takes tags and shims for what they are, not for bytes: a tag that is pushed has to be named
whole, and of one that is there already the identifier has to be named when the priority is written.
So what OpenFlow lets a new header copy from the old one has to be known.

Source: OpenFlow 1.3.5 section 5.12.1; Linux, ``net/sched/act_vlan.c``, ``act_mpls.c``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.actions import Action
from agent.openflow.errors import BAD_SET_TYPE, UNSUPPORTED_ORDER, OpenFlowError
from agent.openflow.fields import Field
from drivers.tcflower.actions import Mpls, MplsOp, Vlan, VlanOp
from drivers.tcflower.edits import Edit
from drivers.tcflower.state import State

_VID: Final = 0x0FFF
_PRESENT: Final = f.VLAN_PRESENT
_PCP: Final = 0xE000


def set_tci(state: State, value: int, mask: int) -> None:
    """Write a tag as Nicira does: see :meth:`agent.packet.packet.Packet.set_vlan_tci`."""
    tagged = state.tagged
    if not (tagged if not mask & _PRESENT else value & _PRESENT):
        if tagged:
            pop_vlan(state)
        return
    if not tagged:
        tci = value & mask & ~_PRESENT
        _push(state, 0x8100, tci)
        return
    mask &= ~_PRESENT
    known = state.known(f.VLAN_TCI)
    if known is not None and not (known ^ value) & mask:
        return
    if not mask:
        return
    vid = _bits(state, value, mask, _VID)
    pcp = _bits(state, value, mask, _PCP) if mask & _PCP else None
    if vid is None or (mask & _PCP and pcp is None):
        raise OpenFlowError(
            BAD_SET_TYPE, "tc cannot write a part of a VLAN tag of which the rest is not matched"
        )
    tpid = _tpid(state)
    undo = None
    old_vid = _bits(state, 0, 0, _VID)
    old_pcp = _bits(state, 0, 0, _PCP)
    if old_vid is not None and (pcp is None or old_pcp is not None):
        undo = Vlan(VlanOp.MODIFY, old_vid, None if pcp is None else (old_pcp or 0) >> 13, tpid)
    priority = None if pcp is None else pcp >> 13
    state.edit(Edit(Vlan(VlanOp.MODIFY, vid, priority, tpid), undo))
    state.learn(f.VLAN_TCI, value, mask)


def _bits(state: State, value: int, mask: int, part: int) -> int | None:
    """What a part of the tag is when ``mask`` of it was written; None: that is not known."""
    if part & ~mask & ~f.VLAN_TCI.get(state.mask):
        return None
    return (f.VLAN_TCI.get(state.value) & ~mask | value & mask) & part


def _tpid(state: State) -> int:
    return 0x8100 if state.is_tpid(0x8100) else 0x88A8


def _push(state: State, tpid: int, tci: int) -> None:
    vlan = Vlan(VlanOp.PUSH, tci & _VID, tci >> 13, tpid)
    state.edit(Edit(vlan, Vlan(VlanOp.POP)))
    state.pushed_tag(tpid, tci)


def push_vlan(state: State, action: of.PushVlan, rest: Sequence[Action]) -> None:
    """The new tag is like the outer one, or all zeros; but for what is written into it at once."""
    value = mask = 0
    for later in rest:
        if isinstance(later, of.SetField) and later.field in (f.VLAN_VID, f.VLAN_PCP):
            shift = 13 if later.field is f.VLAN_PCP else 0
            care = (later.field.limit if later.mask is None else later.mask) << shift & ~_PRESENT
            value = value & ~care | later.value << shift & care
            mask |= care
        elif not isinstance(later, of.SetField | of.DecNwTtl | of.SetNwTtl):
            break
    tci = value & mask
    missing = (_VID | _PCP) & ~mask
    if missing and state.tagged:
        if missing & _VID & ~f.VLAN_TCI.get(state.mask):
            raise OpenFlowError(
                UNSUPPORTED_ORDER,
                "tc cannot copy vlan_vid to a new tag where it is neither matched nor set",
            )
        tci |= f.VLAN_TCI.get(state.value) & missing & _VID
        if missing & _PCP:
            tci |= _asked_pcp(state) & missing & _PCP
    _push(state, action.ethertype, tci)


def _asked_pcp(state: State) -> int:
    """The priority of the outer tag, in place; asked for if need be."""
    for pcp in range(f.VLAN_PCP.limit):
        if state.is_(f.VLAN_TCI, _PRESENT | pcp << 13, _PRESENT | _PCP):
            return pcp << 13
    return _PCP


def pop_vlan(state: State) -> None:
    """Remove the outer tag, if any."""
    known = state.known(f.VLAN_TCI)
    if known is not None and not known & _PRESENT:
        return
    if known is None and not state.tagged:
        return
    undo = None
    known = state.known(f.VLAN_TCI)
    if known is not None and state.tpid is not None:
        undo = Vlan(VlanOp.PUSH, known & _VID, known >> 13, state.tpid)
    state.edit(Edit(Vlan(VlanOp.POP), undo))
    state.popped_tag()


def _has_shim(state: State) -> bool:
    if not any(state.is_(f.ETH_TYPE, eth_type) for eth_type in f.MPLS):
        return False
    state.shallow()
    return True


def push_mpls(state: State, action: of.PushMpls, rest: Sequence[Action]) -> None:
    """The new shim is like the outer one, or has the TTL of IP and zeros; but for what is written
    into it at once."""
    written: dict[Field, int] = {}
    ttl = None
    for later in rest:
        if isinstance(later, of.SetMplsTtl):
            ttl = later.ttl
        elif isinstance(later, of.SetField):
            if later.field in (f.MPLS_LABEL, f.MPLS_TC) and later.mask is None:
                written[later.field] = later.value
        elif not isinstance(later, of.SetNwTtl):
            break
    state.shallow()
    shim = _has_shim(state)
    for field in (f.MPLS_LABEL, f.MPLS_TC):
        if field not in written:
            known = state.known(field) if shim else 0
            if known is None:
                raise OpenFlowError(
                    UNSUPPORTED_ORDER,
                    f"tc cannot copy {field.name} to a new shim where it is neither matched nor "
                    "set",
                )
            written[field] = known
    if ttl is None and not shim and any(state.is_(f.ETH_TYPE, eth_type) for eth_type in f.IP):
        ttl = state.known(f.NW_TTL)
    if not ttl:
        raise OpenFlowError(
            UNSUPPORTED_ORDER,
            "tc cannot copy the TTL to a new MPLS shim; set_mpls_ttl must say what it is",
        )
    below = state.known(f.ETH_TYPE)
    push = Mpls(
        MplsOp.PUSH,
        action.ethertype,
        written[f.MPLS_LABEL],
        written[f.MPLS_TC],
        ttl,
        0 if shim else 1,
    )
    state.edit(Edit(push, None if below is None else Mpls(MplsOp.POP, below)))
    state.pushed_shim(action.ethertype)
    state.learn(f.MPLS_LABEL, written[f.MPLS_LABEL])
    state.learn(f.MPLS_TC, written[f.MPLS_TC])
    state.learn(f.MPLS_BOS, 0 if shim else 1)


def pop_mpls(state: State, action: of.PopMpls) -> None:
    """Remove the outer shim, if any."""
    if _has_shim(state):
        state.edit(Edit(Mpls(MplsOp.POP, action.ethertype)))
        state.popped_shim(action.ethertype)


def set_mpls(state: State, field: Field, value: int, mask: int) -> None:
    """Write bits of the outer shim, if any."""
    if not _has_shim(state):
        return
    known = state.known(field)
    if mask != field.limit:
        if known is None:
            raise OpenFlowError(BAD_SET_TYPE, f"tc cannot write a part of {field.name}")
        value = known & ~mask | value & mask
    name = {f.MPLS_LABEL: "label", f.MPLS_TC: "tc", f.MPLS_BOS: "bos"}[field]
    undo = None if known is None else _modify(name, known)
    state.edit(Edit(_modify(name, value), undo))
    state.learn(field, value)


def _modify(name: str, value: int) -> Mpls:
    values: dict[str, Any] = {name: value}
    return Mpls(MplsOp.MODIFY, **values)


def set_mpls_ttl(state: State, action: of.SetMplsTtl) -> None:
    """Set the TTL of the outer shim, which tc can if it is not 0."""
    if not _has_shim(state):
        return
    if not action.ttl:
        raise OpenFlowError(BAD_SET_TYPE, "tc cannot set the TTL of MPLS to 0")
    state.edit(Edit(Mpls(MplsOp.MODIFY, ttl=action.ttl)))


def dec_mpls_ttl(state: State) -> None:
    """Decrement the TTL of the outer shim; Linux drops packets where that must not be."""
    if _has_shim(state):
        state.edit(Edit(Mpls(MplsOp.DEC_TTL)))
