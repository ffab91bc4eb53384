"""Nicira's actions, the same in every version, and the table of all of them.

Those which mean what an action of OpenFlow does are that action here.  In the version that has it
they are read all the same, and written in the version's own way; in one that has not they are
written as Nicira's: 1.0 gets ``dec_ttl``, queues, groups and MPLS like that, and a set-field of
what 1.0 cannot set is a ``reg_load``.

A set-field that came as ``reg_load`` has a mask, be it of all ones, and goes out as one again; like
that Open vSwitch tells its users what they have said.  Where the bits of the mask are not all in a
row, or more than 64, it is a ``reg_load2``.

Source: ``ofp-actions.c`` of Open vSwitch.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow import actions as act
from agent.openflow import fields
from agent.openflow import nx_actions as nx
from agent.openflow.action_list import (
    EXPERIMENTER_ENCODERS,
    EXPERIMENTERS,
    Decoder,
    Encoder,
    Flow,
)
from agent.openflow.actions import Action, SetField
from agent.openflow.constants import ALL_TABLES
from agent.openflow.errors import (
    ACTION_BAD_EXP_TYPE,
    ACTION_BAD_LEN,
    BAD_ARGUMENT,
    BAD_FIELD,
    BAD_SET_ARGUMENT,
    BAD_SET_LEN,
    BAD_WILDCARDS,
    MATCH_BAD_MASK,
    MUST_BE_ZERO,
    NICIRA,
    OpenFlowError,
)
from agent.openflow.nicira import choices, learn
from agent.openflow.nicira.form import HEADER, LEAST, Form, check_zero, form, pack
from agent.openflow.nicira.subfield import (
    destination,
    header_of,
    ofs_nbits_of,
    ofs_of,
    source,
)
from agent.openflow.nx_actions import Subfield, runs_of
from agent.openflow.oxm_tlv import NXM, OXM, Reader
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

NOTE: Final = 8
DEC_TTL_CNT_IDS: Final = 21
REG_LOAD2: Final = 33
_VALUE: Final = Reader(BAD_SET_LEN, BAD_SET_LEN, BAD_WILDCARDS, MATCH_BAD_MASK, BAD_SET_ARGUMENT)
"""Reads the TLV of a ``reg_load2``, with the errors of Open vSwitch."""

# --- queues, groups, TTL, MPLS, tunnels: what OpenFlow has too --------------------------------


def _push_mpls(ethertype: int) -> Action:
    if ethertype not in fields.MPLS:
        raise OpenFlowError(BAD_ARGUMENT, f"push_mpls of ethertype {ethertype:#06x}")
    return act.PushMpls(ethertype)


def _set_mpls_label(label: int) -> Action:
    if label > fields.MPLS_LABEL.limit:
        raise OpenFlowError(BAD_ARGUMENT, f"MPLS label {label:#x}")
    return SetField(fields.MPLS_LABEL, label)


def _set_mpls_tc(tc: int) -> Action:
    if tc > fields.MPLS_TC.limit:
        raise OpenFlowError(BAD_ARGUMENT, f"MPLS traffic class {tc}")
    return SetField(fields.MPLS_TC, tc)


def _set_tunnel(tun_id: int) -> Action:
    return SetField(fields.TUNNEL_ID, tun_id)


SET_TUNNEL: Final = form(2, _set_tunnel, Padding(2), "tun_id" / Int32ub)
SET_QUEUE: Final = form(4, act.SetQueue, Padding(2), "queue_id" / Int32ub)
POP_QUEUE: Final = form(5, nx.PopQueue, Padding(6))
SET_TUNNEL64: Final = form(9, _set_tunnel, Padding(6), "tun_id" / Int64ub)
DEC_TTL: Final = form(18, act.DecNwTtl, Padding(6))
PUSH_MPLS: Final = form(23, _push_mpls, "ethertype" / Int16ub, Padding(4))
POP_MPLS: Final = form(24, act.PopMpls, "ethertype" / Int16ub, Padding(4))
SET_MPLS_TTL: Final = form(25, act.SetMplsTtl, "ttl" / Int8ub, Padding(5))
DEC_MPLS_TTL: Final = form(26, act.DecMplsTtl, Padding(6))
SET_MPLS_LABEL: Final = form(30, _set_mpls_label, Padding(2), "label" / Int32ub)
SET_MPLS_TC: Final = form(31, _set_mpls_tc, "tc" / Int8ub, Padding(5))
GROUP: Final = form(40, act.GroupAction, Padding(2), "group_id" / Int32ub)

# --- resubmit, exit, controller, timeouts -----------------------------------------------------


def _resubmit(in_port: int, table_id: int = ALL_TABLES, zero: bytes = b"") -> Action:
    check_zero(zero)
    return nx.Resubmit(from_wire10(in_port), table_id)


def _controller(max_len: int, controller_id: int, reason: int, zero: bytes) -> Action:
    check_zero(zero)
    return nx.ControllerAction(max_len, controller_id, reason)


def _fin_timeout(idle: int, hard: int, zero: bytes) -> Action:
    check_zero(zero)
    return nx.FinTimeout(idle, hard)


def _write_metadata(zero: bytes, metadata: int, mask: int) -> Action:
    check_zero(zero, MUST_BE_ZERO)
    return nx.WriteMetadataAction(metadata, mask)


RESUBMIT: Final = form(1, _resubmit, "in_port" / Int16ub, Padding(4))
RESUBMIT_TABLE: Final = form(
    14, _resubmit, "in_port" / Int16ub, "table_id" / Int8ub, "zero" / Bytes(3)
)
EXIT: Final = form(17, nx.Exit, Padding(6))
FIN_TIMEOUT: Final = form(
    19, _fin_timeout, "fin_idle" / Int16ub, "fin_hard" / Int16ub, "zero" / Bytes(2)
)
CONTROLLER: Final = form(
    20,
    _controller,
    "max_len" / Int16ub,
    "controller_id" / Int16ub,
    "reason" / Int8ub,
    "zero" / Bytes(1),
)
WRITE_METADATA: Final = form(
    22, _write_metadata, "zero" / Bytes(6), "metadata" / Int64ub, "mask" / Int64ub
)


def _encode_resubmit(action: nx.Resubmit, _: Flow) -> bytes:
    in_port = to_wire10(action.in_port)
    if action.table_id == ALL_TABLES:
        return RESUBMIT.encode(in_port)
    return RESUBMIT_TABLE.encode(in_port, action.table_id, b"")


# --- bits of fields ---------------------------------------------------------------------------


def _reg_move(n_bits: int, src_ofs: int, dst_ofs: int, src: bytes, dst: bytes) -> Action:
    return nx.RegMove(
        source(src, src_ofs, n_bits, BAD_FIELD), destination(dst, dst_ofs, n_bits, BAD_FIELD)
    )


def _reg_load(ofs_nbits: int, dst: bytes, value: int) -> Action:
    bits = destination(dst, *ofs_of(ofs_nbits))
    if value >> bits.n_bits:
        raise OpenFlowError(BAD_ARGUMENT, f"{value:#x} has not {bits.n_bits} bits")
    return SetField(bits.field, value << bits.ofs, bits.mask)


def _output_reg(ofs_nbits: int, src: bytes, max_len: int, zero: bytes) -> Action:
    check_zero(zero)
    return nx.OutputReg(source(src, *ofs_of(ofs_nbits)), max_len)


def _output_reg2(ofs_nbits: int, max_len: int, src: bytes, zero: bytes) -> Action:
    check_zero(zero, MUST_BE_ZERO)
    return nx.OutputReg(source(src, *ofs_of(ofs_nbits), BAD_FIELD), max_len)


def _stack_push(ofs: int, src: bytes, n_bits: int, zero: bytes) -> Action:
    check_zero(zero, MUST_BE_ZERO)
    return nx.StackPush(source(src, ofs, n_bits, BAD_FIELD))


def _stack_pop(ofs: int, dst: bytes, n_bits: int, zero: bytes) -> Action:
    check_zero(zero, MUST_BE_ZERO)
    return nx.StackPop(destination(dst, ofs, n_bits, BAD_FIELD))


_STACK: Final = ("ofs" / Int16ub, "field" / Bytes(4), "n_bits" / Int16ub, "zero" / Bytes(6))

REG_MOVE: Final = form(
    6,
    _reg_move,
    "n_bits" / Int16ub,
    "src_ofs" / Int16ub,
    "dst_ofs" / Int16ub,
    "src" / Bytes(4),
    "dst" / Bytes(4),
)
REG_LOAD: Final = form(7, _reg_load, "ofs_nbits" / Int16ub, "dst" / Bytes(4), "value" / Int64ub)
OUTPUT_REG: Final = form(
    15,
    _output_reg,
    "ofs_nbits" / Int16ub,
    "src" / Bytes(4),
    "max_len" / Int16ub,
    "zero" / Bytes(6),
)
STACK_PUSH: Final = form(27, _stack_push, *_STACK)
STACK_POP: Final = form(28, _stack_pop, *_STACK)
OUTPUT_REG2: Final = form(
    32,
    _output_reg2,
    "ofs_nbits" / Int16ub,
    "max_len" / Int16ub,
    "src" / Bytes(4),
    "zero" / Bytes(6),
)


def _encode_reg_move(action: nx.RegMove, _: Flow) -> bytes:
    src, dst = action.src, action.dst
    return REG_MOVE.encode(dst.n_bits, src.ofs, dst.ofs, header_of(src.field), header_of(dst.field))


def _encode_output_reg(action: nx.OutputReg, _: Flow) -> bytes:
    src = action.src
    return OUTPUT_REG.encode(ofs_nbits_of(src), header_of(src.field), action.max_len, b"")


def _encode_stack(kind: Form, bits: Subfield) -> bytes:
    return kind.encode(bits.ofs, header_of(bits.field), bits.n_bits, b"")


def _decode_reg_load2(data: bytes, offset: int, length: int) -> Action:
    end = offset + length
    tlv, value, mask, stop = _VALUE.read(data, offset + HEADER.size, end)
    if end - stop > 7:
        raise OpenFlowError(ACTION_BAD_LEN, f"{end - stop} bytes behind the field")
    check_zero(data[stop:end], BAD_SET_ARGUMENT)
    if not nx.is_writable(tlv.field):
        raise OpenFlowError(BAD_SET_ARGUMENT, f"{tlv.field.name} is read-only")
    return SetField(tlv.field, value, mask)


def _encode_reg_load2(field: fields.Field, value: int, mask: int) -> bytes:
    tlv = NXM.get(field) or OXM[field]
    body = tlv.header(True) + value.to_bytes(tlv.width, "big") + mask.to_bytes(tlv.width, "big")
    return pack(REG_LOAD2, body)


def _encode_reg_load(field: fields.Field, value: int, mask: int) -> bytes:
    header = header_of(field)
    return b"".join(
        REG_LOAD.encode(ofs << 6 | n_bits - 1, header, (value >> ofs) & ((1 << n_bits) - 1))
        for ofs, n_bits in runs_of(mask)
    )


def _encode_set_field(action: SetField, _: Flow) -> bytes:
    field, value, mask = action.field, action.value, action.mask
    if mask is None:
        if field is fields.TUNNEL_ID:
            return (SET_TUNNEL if value <= 0xFFFFFFFF else SET_TUNNEL64).encode(value)
        if field is fields.MPLS_LABEL:
            return SET_MPLS_LABEL.encode(value)
        if field is fields.MPLS_TC:
            return SET_MPLS_TC.encode(value)
        return _encode_reg_load(field, value, field.limit)
    if sum(1 for _ in runs_of(mask)) > 1:
        return _encode_reg_load2(field, value & mask, mask)
    return _encode_reg_load(field, value, mask)


# --- lists and data ---------------------------------------------------------------------------


def _decode_note(data: bytes, offset: int, length: int) -> Action:
    return nx.Note(data[offset + HEADER.size : offset + length])


_IDS: Final = Fixed(HEADER, "n_controllers" / Int16ub, "zero" / Bytes(4))


def _decode_dec_ttl_cnt_ids(data: bytes, offset: int, length: int) -> Action:
    *_, count, zero = _IDS.unpack_from(data, offset)
    check_zero(zero, MUST_BE_ZERO)
    start, end = offset + _IDS.size, offset + length
    stop = start + 2 * count
    if stop > end or end - stop > 7:
        raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes for {count} controllers")
    check_zero(data[stop:end])
    ids = range(start, stop, 2)
    return nx.DecTtlCntIds(tuple(data[at] << 8 | data[at + 1] for at in ids))


def _encode_dec_ttl_cnt_ids(action: nx.DecTtlCntIds, _: Flow) -> bytes:
    ids = action.controller_ids
    body = len(ids).to_bytes(2, "big") + bytes(4)
    return pack(DEC_TTL_CNT_IDS, body + b"".join(one.to_bytes(2, "big") for one in ids))


# --- all of them ------------------------------------------------------------------------------

_FORMS: Final = (
    *(SET_TUNNEL, SET_QUEUE, POP_QUEUE, SET_TUNNEL64, DEC_TTL, PUSH_MPLS, POP_MPLS),
    *(SET_MPLS_TTL, DEC_MPLS_TTL, SET_MPLS_LABEL, SET_MPLS_TC, GROUP),
    *(RESUBMIT, RESUBMIT_TABLE, EXIT, FIN_TIMEOUT, CONTROLLER, WRITE_METADATA),
    *(REG_MOVE, REG_LOAD, OUTPUT_REG, OUTPUT_REG2, STACK_PUSH, STACK_POP),
    choices.MULTIPATH,
)

_DECODERS: Final[dict[int, Decoder]] = {
    **{one.subtype: one.decode for one in _FORMS},
    NOTE: _decode_note,
    DEC_TTL_CNT_IDS: _decode_dec_ttl_cnt_ids,
    REG_LOAD2: _decode_reg_load2,
    choices.BUNDLE: choices.decode_bundle,
    choices.BUNDLE_LOAD: choices.decode_bundle_load,
    learn.LEARN: learn.decode_learn,
}


def _decode(data: bytes, offset: int, length: int) -> Action:
    """One of Nicira's actions.

    :raises OpenFlowError: any of BAD_ACTION.
    """
    if length < LEAST:
        raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes, not {LEAST} or more")
    subtype = data[offset + 8] << 8 | data[offset + 9]
    decode = _DECODERS.get(subtype)
    if decode is None:
        raise OpenFlowError(ACTION_BAD_EXP_TYPE, f"Nicira's action {subtype}")
    return decode(data, offset, length)


def _encode_set_nw_ttl(action: act.SetNwTtl, _: Flow) -> bytes:
    return _encode_reg_load(fields.NW_TTL, action.ttl, fields.NW_TTL.limit)


ENCODERS: Final[dict[type[Action], Encoder]] = {
    SetField: _encode_set_field,
    act.SetQueue: lambda a, _: SET_QUEUE.encode(a.queue_id),
    act.GroupAction: lambda a, _: GROUP.encode(a.group_id),
    act.SetNwTtl: _encode_set_nw_ttl,
    act.DecNwTtl: lambda a, _: DEC_TTL.encode(),
    act.PushMpls: lambda a, _: PUSH_MPLS.encode(a.ethertype),
    act.PopMpls: lambda a, _: POP_MPLS.encode(a.ethertype),
    act.SetMplsTtl: lambda a, _: SET_MPLS_TTL.encode(a.ttl),
    act.DecMplsTtl: lambda a, _: DEC_MPLS_TTL.encode(),
    nx.PopQueue: lambda a, _: POP_QUEUE.encode(),
    nx.Resubmit: _encode_resubmit,
    nx.Exit: lambda a, _: EXIT.encode(),
    nx.FinTimeout: lambda a, _: FIN_TIMEOUT.encode(a.fin_idle_timeout, a.fin_hard_timeout, b""),
    nx.ControllerAction: lambda a, _: CONTROLLER.encode(a.max_len, a.controller_id, a.reason, b""),
    nx.WriteMetadataAction: lambda a, _: WRITE_METADATA.encode(b"", a.metadata, a.mask),
    nx.RegMove: _encode_reg_move,
    nx.OutputReg: _encode_output_reg,
    nx.StackPush: lambda a, _: _encode_stack(STACK_PUSH, a.src),
    nx.StackPop: lambda a, _: _encode_stack(STACK_POP, a.dst),
    nx.Note: lambda a, _: pack(NOTE, a.note),
    nx.DecTtlCntIds: _encode_dec_ttl_cnt_ids,
    nx.Multipath: choices.encode_multipath,
    nx.Bundle: choices.encode_bundle,
    nx.Learn: learn.encode_learn,
}
"""What writes them, and in 1.0 what 1.0 has not."""


def register_actions() -> None:
    """Let the codecs of all versions know these actions."""
    EXPERIMENTERS[NICIRA] = _decode
    EXPERIMENTER_ENCODERS.update(ENCODERS)
