"""Matches on the wire, as OpenFlow 1.2 and later write them (OXM) and as Nicira does (NXM).

This is the face of the codec for matches: what goes in and comes out is a
:class:`~agent.openflow.match.Match`, whatever the format.  How it is done fast is told in
:mod:`agent.openflow.oxm_decoder` and :mod:`agent.openflow.oxm_encoder`, what a single TLV may be in
:mod:`agent.openflow.oxm_tlv`.

A match that is decoded and encoded again has its TLVs in the order of Open vSwitch; a mask of all
ones is left out, and so is a field with a mask of all zeros.

Source: OpenFlow 1.3.5 section 7.2.3, ``nicira-ext.h`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from construct import Int16ub

from agent.openflow import fields
from agent.openflow.cache import Cache
from agent.openflow.errors import (
    BAD_SET_ARGUMENT,
    BAD_SET_LEN,
    BAD_SET_TYPE,
    MATCH_BAD_LEN,
    MATCH_BAD_TYPE,
    OpenFlowError,
)
from agent.openflow.fields import FIELDS, OXM_FIELDS, VLAN_PRESENT, Field
from agent.openflow.match import Match
from agent.openflow.oxm_decoder import MatchDecoder
from agent.openflow.oxm_encoder import NXM_ORDER, OXM_ORDER, MatchEncoder
from agent.openflow.oxm_tlv import NXM, OXM, Reader, deciding_bits, prerequisites_met
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

HEADER: Final = Fixed("type" / Int16ub, "length" / Int16ub)
"""The start of ``ofp_match``; the length counts it, but not the padding at the end."""
OFPMT_OXM: Final = 1
"""The only type of match in OpenFlow 1.3."""

SET_FIELD: Final = Reader(
    BAD_SET_TYPE, BAD_SET_LEN, BAD_SET_ARGUMENT, BAD_SET_ARGUMENT, BAD_SET_ARGUMENT
)
"""Reads the TLV of a set-field action."""


def _ofp_match(template: bytes, length: int) -> bytes:
    length += HEADER.size
    header = HEADER.pack(OFPMT_OXM, length).replace(b"%", b"%%")
    return header + template + bytes(-length % 8)


_oxm_decoder = MatchDecoder(HEADER.size)
_nxm_decoder = MatchDecoder(0)
_oxm_encoder = MatchEncoder(OXM_ORDER, _ofp_match)
_nxm_encoder = MatchEncoder(NXM_ORDER, lambda template, length: template)
_header = HEADER.unpack_from


def decode_match(data: bytes, offset: int) -> tuple[Match, int]:
    """The ``ofp_match`` at ``offset``, and the offset behind its padding.

    :raises OpenFlowError: any of BAD_MATCH.
    """
    if offset + 4 > len(data):
        raise OpenFlowError(MATCH_BAD_LEN, f"{len(data) - offset} bytes are no match")
    kind, length = _header(data, offset)
    end = offset + (length + 7 & ~7)
    if kind != OFPMT_OXM:
        raise OpenFlowError(MATCH_BAD_TYPE, f"match of type {kind}")
    if length < 4 or end > len(data):
        raise OpenFlowError(MATCH_BAD_LEN, f"match of {length} bytes in {len(data) - offset}")
    return _oxm_decoder.decode(data, offset, length), end


def encode_match(match: Match) -> bytes:
    """The ``ofp_match`` of a match, with its padding."""
    return _oxm_encoder.encode(match)


def decode_nxm(data: bytes, offset: int, length: int) -> Match:
    """The ``nx_match`` in the ``length`` bytes from ``offset`` (without padding).

    :raises OpenFlowError: any of BAD_MATCH.
    """
    if offset + length > len(data):
        raise OpenFlowError(MATCH_BAD_LEN, f"match of {length} bytes in {len(data) - offset}")
    return _nxm_decoder.decode(data, offset, length)


def encode_nxm(match: Match) -> bytes:
    """The ``nx_match`` of a match, without padding.

    :raises OpenFlowError: BAD_OUT_PORT when the input port does not fit into 16 bits.
    """
    return _nxm_encoder.encode(match)


def decode_oxm_field(data: bytes, offset: int, end: int) -> tuple[Field, int, int | None, int]:
    """One TLV as a set-field action has it.

    :param end: where the bytes of the action end.
    :returns: the field, its value, its mask (None when it has none), and the offset behind it.
    :raises OpenFlowError: BAD_SET_TYPE, BAD_SET_LEN, BAD_SET_ARGUMENT.
    """
    tlv, value, mask, stop = SET_FIELD.read(data, offset, end)
    field = tlv.field
    if tlv.port16:
        return fields.IN_PORT, from_wire10(value), None, stop
    masked = stop - offset - 4 > tlv.width
    return field, value, mask if masked else None, stop


def encode_oxm_field(field: Field, value: int, mask: int | None = None) -> bytes:
    """The TLV for a field, value and perhaps mask, without padding."""
    tlv = OXM.get(field) or NXM[field]
    number = to_wire10(value) if tlv.port16 else value
    data = tlv.header(mask is not None) + number.to_bytes(tlv.width, "big")
    return data if mask is None else data + mask.to_bytes(tlv.width, "big")


# --- the fields of a match --------------------------------------------------------------------

_OVERLAID = (fields.VLAN_TCI, fields.NW_TOS, fields.NX_IN_PORT)
_LISTED: Final = (
    *OXM_FIELDS,
    *(f for f in FIELDS.values() if f.oxm is None and f not in _OVERLAID),
)
_PRESENT = VLAN_PRESENT << fields.VLAN_TCI.shift

_deciding: Final[Cache[int, int]] = Cache(4096)
_listed: Final[Cache[tuple[int, int], tuple[tuple[Field, int], ...]]] = Cache(4096)


def fields_of(match: Match) -> Iterator[tuple[Field, int, int]]:
    """The fields of a match as ``(field, value, mask)``, in the order of OXM, then NXM.

    No bit of the mask is missing: where the prerequisites do not say which of the fields that share
    it is meant, it is the first.  Only a VLAN priority is left out when there is no tag.
    """
    mask, value = match.mask, match.value
    deciding = _deciding.get(mask)
    if deciding is None:
        deciding = 0
        for field in _LISTED:
            if mask & field.mask:
                deciding |= deciding_bits(field)
        _deciding.put(mask, deciding)
    key = (mask, value & deciding)
    listed = _listed.get(key)
    if listed is None:
        listed = _listed.put(key, _list(mask, value))
    for field, care in listed:
        yield field, (value >> field.shift) & field.limit, care


def _list(mask: int, value: int) -> tuple[tuple[Field, int], ...]:
    left = mask
    if mask & _PRESENT and not value & _PRESENT:
        left &= ~fields.VLAN_PCP.mask
    chosen = {}
    for strict in (True, False):
        for field in _LISTED:
            care = left & field.mask
            if care and (not strict or prerequisites_met(field, mask, value)):
                chosen[field] = care >> field.shift
                left &= ~care
    return tuple((field, chosen[field]) for field in _LISTED if field in chosen)
