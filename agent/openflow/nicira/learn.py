"""``learn``: the action that makes a rule after the packet it meets.

What is to be matched and done is a list of specifications, each a 16-bit header (where the bits
come from, what becomes of them, how many there are), a source and perhaps a destination.  The list
has no length of its own, nor has an element: an element of zeros ends it, and the action is padded
with zeros.

The prerequisites of what the new rule matches must be met by constants which it matches before, and
part of a field can be matched only where a match may have a mask; so the rule is one that a
controller could have added.

Source: ``ofp-actions.c`` and ``learn.c`` of Open vSwitch.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int64ub

from agent.openflow.action_list import Flow
from agent.openflow.actions import Action
from agent.openflow.constants import ALL_TABLES
from agent.openflow.errors import (
    ACTION_BAD_LEN,
    BAD_ARGUMENT,
    MATCH_INCONSISTENT,
    TOO_MANY,
    OpenFlowError,
)
from agent.openflow.nicira.form import HEADER, check_zero, pack
from agent.openflow.nicira.subfield import destination, header_of, source
from agent.openflow.nx_actions import Learn, LearnFlags, LearnSpec, LearnSpecs, LearnTo, Subfield
from agent.openflow.oxm_tlv import NXM, OXM, prerequisites_met
from agent.openflow.wire import Fixed

LEARN: Final = 16
MAX_SPECS: Final = 64
"""Specifications of one rule; matching every field there is takes less."""

_LEARN: Final = Fixed(
    HEADER,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "priority" / Int16ub,
    "cookie" / Int64ub,
    "flags" / Int16ub,
    "table_id" / Int8ub,
    "zero" / Bytes(1),
    "fin_idle_timeout" / Int16ub,
    "fin_hard_timeout" / Int16ub,
)
_FIELD: Final = Fixed("field" / Bytes(4), "ofs" / Int16ub)

_N_BITS: Final = 0x3FF
_IMMEDIATE: Final = 1 << 13
"""``NX_LEARN_SRC_IMMEDIATE``."""
_TO_SHIFT: Final = 11
_TO_MASK: Final = 3
_RESERVED: Final = 0xFFFF & ~(_N_BITS | _IMMEDIATE | _TO_MASK << _TO_SHIFT)
_FLAGS: Final = sum(LearnFlags)


def decode_learn(data: bytes, offset: int, length: int) -> Action:
    """A ``learn``.

    :raises OpenFlowError: ACTION_BAD_LEN, BAD_ARGUMENT, BAD_SET_TYPE, MATCH_INCONSISTENT, TOO_MANY.
    """
    if length < _LEARN.size:
        raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes, not {_LEARN.size} or more")
    (
        *_,
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        flags,
        table_id,
        zero,
        fin_idle_timeout,
        fin_hard_timeout,
    ) = _LEARN.unpack_from(data, offset)
    check_zero(zero)
    if table_id == ALL_TABLES:
        raise OpenFlowError(BAD_ARGUMENT, "no table has the number 255")
    if flags & ~_FLAGS:
        raise OpenFlowError(BAD_ARGUMENT, f"flags {flags:#06x}")
    specs = _decode_specs(data, offset + _LEARN.size, offset + length)
    _check_match(specs)
    return Learn(
        table_id,
        specs,
        priority,
        idle_timeout,
        hard_timeout,
        fin_idle_timeout,
        fin_hard_timeout,
        cookie,
        flags,
    )


def _decode_specs(data: bytes, offset: int, end: int) -> LearnSpecs:
    specs: list[LearnSpec] = []
    while offset < end:
        header = data[offset] << 8 | data[offset + 1]  # the end is even, and so is the offset
        if not header:
            break
        if len(specs) == MAX_SPECS:
            raise OpenFlowError(TOO_MANY, f"more than {MAX_SPECS} specifications")
        spec, offset = _decode_spec(header, data, offset + 2, end)
        specs.append(spec)
    check_zero(data[offset:end])
    if end - offset > 7:
        raise OpenFlowError(ACTION_BAD_LEN, f"{end - offset} bytes left over")
    return tuple(specs)


def _decode_spec(header: int, data: bytes, offset: int, end: int) -> tuple[LearnSpec, int]:
    """The specification whose header is read, and the offset behind it."""
    to, n_bits = header >> _TO_SHIFT & _TO_MASK, header & _N_BITS
    immediate = header & _IMMEDIATE
    if header & _RESERVED or to > LearnTo.OUTPUT or (immediate and to == LearnTo.OUTPUT):
        raise OpenFlowError(BAD_ARGUMENT, f"specification {header:#06x}")
    size = (n_bits + 15) // 16 * 2 if immediate else _FIELD.size
    size += 0 if to == LearnTo.OUTPUT else _FIELD.size
    if size > end - offset:
        raise OpenFlowError(ACTION_BAD_LEN, f"specification of {size} bytes in {end - offset}")
    src: Subfield | int
    if immediate:
        at = offset + (n_bits + 15) // 16 * 2
        src = int.from_bytes(data[offset:at], "big")
        if src >> n_bits:
            raise OpenFlowError(BAD_ARGUMENT, f"{src:#x} has not {n_bits} bits")
    else:
        at = offset + _FIELD.size
        field, ofs = _FIELD.unpack_from(data, offset)
        src = source(field, ofs, n_bits)
    dst = None
    if to != LearnTo.OUTPUT:
        field, ofs = _FIELD.unpack_from(data, at)
        dst = (destination if to == LearnTo.LOAD else source)(field, ofs, n_bits)
    return LearnSpec(LearnTo(to), src, dst), offset + size


def _check_match(specs: LearnSpecs) -> None:
    """That a controller could have asked for this match."""
    mask = value = 0
    for spec in specs:
        dst = spec.dst
        if spec.to is not LearnTo.MATCH or dst is None:
            continue
        field = dst.field
        if not prerequisites_met(field, mask, value):
            raise OpenFlowError(MATCH_INCONSISTENT, f"{field.name} without its prerequisites")
        if dst.n_bits < field.bits and not (NXM.get(field) or OXM[field]).maskable:
            raise OpenFlowError(BAD_ARGUMENT, f"part of {field.name} cannot be matched")
        # What comes from the packet is not known, so it meets no prerequisite.
        if isinstance(spec.src, int):
            mask |= dst.mask << field.shift
            value |= spec.src << dst.ofs << field.shift


def encode_learn(action: Learn, _: Flow) -> bytes:
    """The bytes of a ``learn``."""
    values = _LEARN.pack(
        0,
        0,
        0,
        0,
        action.idle_timeout,
        action.hard_timeout,
        action.priority,
        action.cookie,
        action.flags,
        action.table_id,
        b"",
        action.fin_idle_timeout,
        action.fin_hard_timeout,
    )
    return pack(LEARN, values[HEADER.size :] + b"".join(map(_encode_spec, action.specs)))


def _encode_spec(spec: LearnSpec) -> bytes:
    n_bits, src = spec.n_bits, spec.src
    header = spec.to << _TO_SHIFT | n_bits
    if isinstance(src, int):
        header |= _IMMEDIATE
        body = src.to_bytes((n_bits + 15) // 16 * 2, "big")
    else:
        body = _encode_bits(src)
    if spec.dst is not None:
        body += _encode_bits(spec.dst)
    return header.to_bytes(2, "big") + body


def _encode_bits(bits: Subfield) -> bytes:
    return _FIELD.pack(header_of(bits.field), bits.ofs)
