"""``nx_match``: a match as Nicira's messages have it, and the cookie that may be in it.

Its TLVs are those of :mod:`agent.openflow.oxm`, without a header; its length stands elsewhere in
the message, and it is padded to a multiple of 8 bytes.  In requests which are about rules that
there are, a TLV of its own asks for a cookie.  That is no field of a packet, so it is taken out
before the rest is read.
"""

from __future__ import annotations

from typing import Final

import attrs

from agent.openflow.errors import BAD_WILDCARDS, DUP_FIELD, MATCH_BAD_LEN, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.oxm import decode_nxm, encode_nxm

NXM_NX_COOKIE: Final = bytes.fromhex("00013c08")
NXM_NX_COOKIE_W: Final = bytes.fromhex("00013d10")
"""The same with a mask."""
_ALL: Final = 0xFFFFFFFFFFFFFFFF


@attrs.frozen
class NxMatch:
    """What was read.

    :ivar cookie: what rules must have, in the bits of ``cookie_mask``.
    :ivar end: offset behind the padding.
    """

    match: Match
    cookie: int
    cookie_mask: int
    end: int


def decode_nx_match(data: bytes, offset: int, length: int, end: int) -> tuple[Match, int]:
    """The match of ``length`` bytes at ``offset``, and the offset behind its padding.

    :param end: where the bytes end that it may have.
    :raises OpenFlowError: any of BAD_MATCH.
    """
    return decode_nxm(data, offset, length), _end(offset, length, end)


def decode_nx_criteria(data: bytes, offset: int, length: int, end: int) -> NxMatch:
    """Like :func:`decode_nx_match`, but there may be a cookie.

    :raises OpenFlowError: any of BAD_MATCH.
    """
    behind = _end(offset, length, end)
    wire = data[offset : offset + length]
    if NXM_NX_COOKIE not in wire and NXM_NX_COOKIE_W not in wire:
        return NxMatch(decode_nxm(data, offset, length), 0, 0, behind)
    wire, cookie, mask = _without_cookie(wire)
    return NxMatch(decode_nxm(wire, 0, len(wire)), cookie, mask, behind)


def _end(offset: int, length: int, end: int) -> int:
    behind = offset + (length + 7 & ~7)
    if behind > end:
        raise OpenFlowError(MATCH_BAD_LEN, f"match of {length} bytes in {end - offset}")
    return behind


def _without_cookie(wire: bytes) -> tuple[bytes, int, int]:
    """The TLVs but the cookie's; the cookie; its mask."""
    cookie = mask = 0
    found = False
    at = 0
    while at + 4 <= len(wire):
        header = wire[at : at + 4]
        stop = at + 4 + header[3]
        if header not in (NXM_NX_COOKIE, NXM_NX_COOKIE_W):
            at = stop
            continue
        if stop > len(wire):
            raise OpenFlowError(MATCH_BAD_LEN, f"the TLV at {at} goes beyond the end")
        if found:
            raise OpenFlowError(DUP_FIELD, "cookie is matched twice")
        found = True
        cookie = int.from_bytes(wire[at + 4 : at + 12], "big")
        mask = int.from_bytes(wire[at + 12 : stop], "big") if stop > at + 12 else _ALL
        if cookie & ~mask:
            raise OpenFlowError(BAD_WILDCARDS, f"cookie={cookie:#x}/{mask:#x}")
        wire = wire[:at] + wire[stop:]
    return wire, cookie, mask


def encode_nx_match(match: Match, cookie: int = 0, cookie_mask: int = 0) -> tuple[bytes, int]:
    """The bytes of a match and of a cookie, padded, and how many they are without the padding.

    :raises OpenFlowError: BAD_OUT_PORT when the input port does not fit into 16 bits.
    """
    wire = encode_nxm(match)
    if cookie_mask == _ALL:
        wire += NXM_NX_COOKIE + cookie.to_bytes(8, "big")
    elif cookie_mask:
        wire += NXM_NX_COOKIE_W + (cookie & cookie_mask).to_bytes(8, "big")
        wire += cookie_mask.to_bytes(8, "big")
    return wire + bytes(-len(wire) % 8), len(wire)
