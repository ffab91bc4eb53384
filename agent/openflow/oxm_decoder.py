"""Reads matches made of TLVs, fast when it has seen their like before.

Controllers send a great many matches but few *layouts*: sequences of the same headers with other
values.  For the match as one big number, a layout is a few bit masks:

- ``care``: the headers, the masks, and the values that prerequisites ask for.  Matches which agree
  in these bits have the same mask, and need the same checks.
- ``forbidden``: bits which must be zero: those of a value that its field does not have, or which
  lie outside the mask.

So a match is recognised, and found free of errors, with one look into a dictionary and one
operation on integers.  Then its values are moved, as bytes, to their places in the flow key by
two :class:`struct.Struct`: one takes them from the wire, the other puts them into the key.  The few
fields that are no whole bytes in the key (VLAN priority, DSCP ...) are shifted there one by one.

What is not recognised is read TLV by TLV, with every check of the specification, and if it is
right, its layout is remembered.  The memory is bounded, and forgets everything when it is full.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Final

import attrs

from agent.openflow import fields
from agent.openflow.cache import intern_mask
from agent.openflow.errors import BAD_PREREQ, DUP_FIELD, MATCH_BAD_VALUE, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.oxm_tlv import HEADER, MATCH, Tlv, deciding_bits, prerequisites_met
from agent.openflow.ports import MAX10, OFFSET

MAX_LENGTH: Final = 512
"""Bytes of the longest match whose layout is remembered."""
MAX_ALIKE: Final = 16
"""Layouts remembered among matches of the same length: they are tried one by one."""
MAX_LAYOUTS: Final = 512
"""Layouts remembered altogether."""
MAX_RULES: Final = 16384
"""What is remembered of all layouts together: combinations of masks and prerequisites."""

_TCI_SHIFT = fields.VLAN_TCI.shift
_TAGS = (fields.VLAN_VID, fields.VLAN_TCI)

# The fastest way to make a Match: its own __init__ looks for object.__setattr__ twice.
_new = object.__new__
_set_mask = Match.__dict__["mask"].__set__
_set_value = Match.__dict__["value"].__set__
_from_bytes = int.from_bytes


@attrs.frozen
class Item:
    """A TLV which was read.

    :ivar start: where its value begins, from the start of the match.
    :ivar masked: whether a mask follows the value.
    :ivar mask: which bits of the value are compared.
    """

    tlv: Tlv
    start: int
    masked: bool
    mask: int
    value: int


@attrs.define(eq=False)
class Layout:
    """One sequence of headers.

    :ivar signature: the bits which are headers, and what they are.
    :ivar care: the bits that are looked up in ``rules``.
    :ivar rules: from these bits to the mask of the match and the bits forbidden.
    :ivar unpack: takes the values that are whole bytes in the key, in the order of the wire.
    :ivar order: brings them into the order of the key.
    :ivar pack: makes the bytes of the key.
    :ivar shifts: ``(right, limit, left)`` for each other value.
    :ivar port16: whether ``in_port`` came as a number of 16 bits.
    """

    signature: tuple[int, int]
    care: int
    unpack: Callable[..., tuple[bytes, ...]]
    order: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    pack: Callable[..., bytes]
    shifts: tuple[tuple[int, int, int], ...]
    port16: bool
    rules: dict[int, tuple[int, int]] = attrs.Factory(dict)


class MatchDecoder:
    """Reads matches of one format.

    :ivar prefix: bytes in front of the first TLV which count for the length of the match.
    """

    def __init__(self, prefix: int) -> None:
        self.prefix = prefix
        self._layouts: dict[int, list[Layout]] = {}
        self._known = 0
        self._rules = 0

    @property
    def remembered(self) -> int:
        """How much is remembered: at most ``MAX_RULES``."""
        return sum(len(layout.rules) for known in self._layouts.values() for layout in known)

    def decode(self, data: bytes, offset: int, length: int) -> Match:
        """The match in the ``length`` bytes from ``offset``, prefix included.

        The prefix is the caller's to check, and that ``data`` has these bytes.

        :raises OpenFlowError: any of BAD_MATCH.
        """
        layouts = self._layouts.get(length)
        if layouts is None:
            return self._learn(data, offset, length)
        wire = _from_bytes(data[offset : offset + length])
        for layout in layouts:
            rule = layout.rules.get(wire & layout.care)
            if rule is not None:
                mask, forbidden = rule
                if wire & forbidden:
                    break
                value = _from_bytes(layout.pack(*layout.order(layout.unpack(data, offset))))
                for right, limit, left in layout.shifts:
                    value |= (wire >> right & limit) << left
                if layout.port16 and value & 0xFFFF >= MAX10:
                    value += OFFSET
                match: Match = _new(Match)
                _set_mask(match, mask)
                _set_value(match, value)
                return match
        return self._learn(data, offset, length)

    def _learn(self, data: bytes, offset: int, length: int) -> Match:
        """Read a match with care, and remember what it looks like.

        Not so if it is long: no honest match is, and the work below grows with the square of its
        length.
        """
        items, match = read(data, offset + self.prefix, offset + length, offset)
        if length > MAX_LENGTH:
            return match
        if self._rules >= MAX_RULES or self._known >= MAX_LAYOUTS:
            self._layouts.clear()
            self._known = self._rules = 0
        wire = _from_bytes(data[offset : offset + length])
        headers = _headers(items, length)
        signature = (headers, wire & headers)
        layouts = self._layouts.setdefault(length, [])
        for layout in layouts:
            if layout.signature == signature:
                break
        else:
            layout = _layout(items, length, signature)
            if len(layouts) >= MAX_ALIKE:
                self._rules -= len(layouts.pop().rules)
                self._known -= 1
            layouts.insert(0, layout)
            self._known += 1
        layout.rules[wire & layout.care] = (match.mask, _forbidden(items, length))
        self._rules += 1
        return match


def read(data: bytes, offset: int, end: int, origin: int) -> tuple[list[Item], Match]:
    """The TLVs between ``offset`` and ``end``, one by one, with every check.

    :param origin: where the match starts, from which the ``start`` of each TLV counts.
    :returns: the TLVs, and what they match.
    :raises OpenFlowError: any of BAD_MATCH; the first TLV that is wrong decides.
    """
    items: list[Item] = []
    at = offset
    match_mask = match_value = 0
    while at < end:
        tlv, value, mask, stop = MATCH.read(data, at, end)
        field = tlv.field
        if not prerequisites_met(field, match_mask, match_value):
            raise OpenFlowError(BAD_PREREQ, f"{field.name} without its prerequisites")
        if match_mask & tlv.bits:
            raise OpenFlowError(DUP_FIELD, f"{field.name} is matched twice")
        start = at + HEADER.size
        item = Item(tlv, start - origin, stop - start > tlv.width, mask, value)
        if _is_untagged(item) and value:
            raise OpenFlowError(MATCH_BAD_VALUE, f"{field.name}={value:#x} where there is no tag")
        items.append(item)
        if tlv.port16 and mask:
            match_mask |= tlv.bits
            match_value |= value + OFFSET if value >= MAX10 else value
        else:
            match_mask |= mask << tlv.shift
            match_value |= value << tlv.shift
        at = stop
    return items, Match(intern_mask(match_mask), match_value)


def _is_untagged(item: Item) -> bool:
    """Whether this says that there is no tag; no packet then has an identifier or a priority."""
    return item.tlv.field in _TAGS and bool(item.mask & fields.VLAN_PRESENT & ~item.value)


def _place(item: Item, length: int) -> tuple[int, int]:
    """All bits of a value within the match as a number, and how far left they are shifted."""
    shift = 8 * (length - item.start - item.tlv.width)
    return ((1 << 8 * item.tlv.width) - 1) << shift, shift


def _headers(items: list[Item], length: int) -> int:
    """Every bit that is no value and no mask."""
    bits = (1 << 8 * length) - 1
    for item in items:
        value_bits, _ = _place(item, length)
        bits &= ~value_bits
        if item.masked:
            bits &= ~(value_bits >> 8 * item.tlv.width)
    return bits


def _care(items: list[Item], length: int) -> int:
    deciding = 0
    for item in items:
        deciding |= deciding_bits(item.tlv.field)
        if item.tlv.field in _TAGS:
            deciding |= fields.VLAN_PRESENT << _TCI_SHIFT
    care = (1 << 8 * length) - 1
    for item in items:
        value_bits, shift = _place(item, length)
        care &= ~value_bits
        care |= ((deciding >> item.tlv.shift) & item.tlv.limit) << shift
    return care


def _forbidden(items: list[Item], length: int) -> int:
    forbidden = 0
    for item in items:
        value_bits, shift = _place(item, length)
        allowed = 0 if _is_untagged(item) else item.mask
        forbidden |= value_bits & ~(allowed << shift)
    return forbidden


def _layout(items: list[Item], length: int, signature: tuple[int, int]) -> Layout:
    """Plan how values come from the wire into the key."""
    shifts = []
    taken = 0
    pieces: list[tuple[int, int, int]] = []  # byte of the key, bytes, place on the wire
    for item in items:
        width = item.tlv.width
        value_bits, right = _place(item, length)
        in_key = (value_bits >> right) << item.tlv.shift
        if item.tlv.shift % 8 or taken & in_key:
            shifts.append((right, item.tlv.limit, item.tlv.shift))
        else:
            taken |= in_key
            pieces.append((item.tlv.shift // 8, width, item.start))
    unpack, order, pack = rearrange(pieces)
    port16 = any(item.tlv.port16 for item in items)
    care = _care(items, length)
    return Layout(signature, care, unpack, order, pack, tuple(shifts), port16)


def rearrange(
    pieces: list[tuple[int, int, int]],
) -> tuple[
    Callable[..., tuple[bytes, ...]],
    Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
    Callable[..., bytes],
]:
    """Functions which take bytes from one place and put them into a number.

    :param pieces: for each, the byte of the number (0 is the lowest), how many bytes, and where
        they are to be taken from; in the order in which they lie there.
    :returns: ``unpack_from``, a function that brings its tuple into the order in which the last,
        ``pack``, wants it; what ``pack`` gives is big-endian.
    """
    source = ">"
    at = 0
    for _, width, start in pieces:
        source += f"{start - at}x{width}s"
        at = start + width
    highest_first = sorted(range(len(pieces)), key=lambda i: -pieces[i][0])
    target = ">"
    above = None
    for i in highest_first:
        low, width, _ = pieces[i]
        if above is not None:
            target += f"{above - low - width}x"
        target += f"{width}s"
        above = low
    target += f"{above or 0}x"
    return (
        struct.Struct(source).unpack_from,
        tuple_getter(highest_first),
        struct.Struct(target).pack,
    )


def tuple_getter(indices: list[int]) -> Callable[[tuple[bytes, ...]], tuple[bytes, ...]]:
    """Like :func:`operator.itemgetter`, but a tuple also for one index or none.

    ``indices`` are those of the whole tuple: a rearrangement, not a choice.
    """
    return itemgetter(*indices) if len(indices) > 1 else tuple
