"""``multipath``, ``bundle`` and ``bundle_load``: the actions that choose by a hash of the packet.

Source: ``ofp-actions.c`` of Open vSwitch.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int16ub, Int32ub, Padding

from agent.openflow.action_list import Flow, check_output
from agent.openflow.actions import Action
from agent.openflow.constants import ANY, Port
from agent.openflow.errors import ACTION_BAD_LEN, BAD_ARGUMENT, BAD_OUT_PORT, OpenFlowError
from agent.openflow.fields import NX_IN_PORT
from agent.openflow.nicira.form import HEADER, check_zero, form, pack
from agent.openflow.nicira.subfield import destination, header_of, ofs_nbits_of, ofs_of
from agent.openflow.nx_actions import (
    Bundle,
    BundleAlgorithm,
    HashFields,
    Multipath,
    MultipathAlgorithm,
    Subfield,
)
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

BUNDLE: Final = 12
BUNDLE_LOAD: Final = 13

MAX_MEMBERS: Final = 2048
"""``BUNDLE_MAX_MEMBERS``: ports that one ``bundle`` chooses from."""

_HASH_FIELDS: Final = frozenset(HashFields)
_MULTIPATH_ALGORITHMS: Final = frozenset(MultipathAlgorithm)
_BUNDLE_ALGORITHMS: Final = frozenset(BundleAlgorithm)


def _check(known: bool, what: str, number: int) -> None:
    if not known:
        raise OpenFlowError(BAD_ARGUMENT, f"{what} {number}")


# --- multipath --------------------------------------------------------------------------------


def _multipath(
    fields: int, basis: int, algorithm: int, max_link: int, arg: int, ofs_nbits: int, dst: bytes
) -> Action:
    _check(fields in _HASH_FIELDS, "fields", fields)
    _check(algorithm in _MULTIPATH_ALGORITHMS, "algorithm", algorithm)
    bits = destination(dst, *ofs_of(ofs_nbits))
    _check(not max_link >> bits.n_bits, f"{bits.n_bits} bits for link", max_link)
    return Multipath(fields, basis, algorithm, max_link, arg, bits)


MULTIPATH: Final = form(
    10,
    _multipath,
    "fields" / Int16ub,
    "basis" / Int16ub,
    Padding(2),
    "algorithm" / Int16ub,
    "max_link" / Int16ub,
    "arg" / Int32ub,
    Padding(2),
    "ofs_nbits" / Int16ub,
    "dst" / Bytes(4),
)


def encode_multipath(action: Multipath, _: Flow) -> bytes:
    """The bytes of a ``multipath``."""
    return MULTIPATH.encode(
        action.fields,
        action.basis,
        action.algorithm,
        action.max_link,
        action.arg,
        ofs_nbits_of(action.dst),
        header_of(action.dst.field),
    )


# --- bundle -----------------------------------------------------------------------------------

_BUNDLE: Final = Fixed(
    HEADER,
    "algorithm" / Int16ub,
    "fields" / Int16ub,
    "basis" / Int16ub,
    "member_type" / Bytes(4),
    "n_members" / Int16ub,
    "ofs_nbits" / Int16ub,
    "dst" / Bytes(4),
    "zero" / Bytes(4),
)
_MEMBER: Final = header_of(NX_IN_PORT)
"""The only type of members."""


def decode_bundle(data: bytes, offset: int, length: int) -> Action:
    """A ``bundle``.

    :raises OpenFlowError: ACTION_BAD_LEN, BAD_ARGUMENT, BAD_OUT_PORT.
    """
    return _decode(data, offset, length, load=False)


def decode_bundle_load(data: bytes, offset: int, length: int) -> Action:
    """A ``bundle_load``.

    :raises OpenFlowError: likewise, and BAD_SET_TYPE.
    """
    return _decode(data, offset, length, load=True)


def _decode(data: bytes, offset: int, length: int, load: bool) -> Action:
    if length < _BUNDLE.size:
        raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes, not {_BUNDLE.size} or more")
    (
        *_,
        algorithm,
        fields,
        basis,
        member_type,
        count,
        ofs_nbits,
        header,
        zero,
    ) = _BUNDLE.unpack_from(data, offset)
    _check(fields in _HASH_FIELDS, "fields", fields)
    _check(algorithm in _BUNDLE_ALGORITHMS, "algorithm", algorithm)
    _check(count <= MAX_MEMBERS, "too many members:", count)
    if member_type != _MEMBER:
        raise OpenFlowError(BAD_ARGUMENT, f"members of type {member_type.hex()}")
    check_zero(zero)
    dst: Subfield | None = None
    if load:
        dst = destination(header, *ofs_of(ofs_nbits))
        _check(dst.n_bits >= 16, "bits for a port:", dst.n_bits)
    else:
        check_zero(header)
        _check(not ofs_nbits, "ofs_nbits", ofs_nbits)
    start, end = offset + _BUNDLE.size, offset + length
    stop = start + 2 * count
    if stop > end or end - stop > 7:
        raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes for {count} members")
    check_zero(data[stop:end])
    members = [_member(data[at] << 8 | data[at + 1]) for at in range(start, stop, 2)]
    return Bundle(algorithm, fields, basis, tuple(members), dst)


def _member(port: int) -> int:
    number = from_wire10(port)
    if number == Port.CONTROLLER:
        raise OpenFlowError(BAD_OUT_PORT, "the controller cannot be a member")
    return number if number == ANY else check_output(number)


def encode_bundle(action: Bundle, _: Flow) -> bytes:
    """The bytes of a ``bundle`` or ``bundle_load``."""
    dst = action.dst
    members = b"".join(to_wire10(port).to_bytes(2, "big") for port in action.members)
    values = _BUNDLE.pack(
        0,
        0,
        0,
        0,
        action.algorithm,
        action.fields,
        action.basis,
        _MEMBER,
        len(action.members),
        0 if dst is None else ofs_nbits_of(dst),
        b"" if dst is None else header_of(dst.field),
        b"",
    )
    return pack(BUNDLE if dst is None else BUNDLE_LOAD, values[HEADER.size :] + members)
