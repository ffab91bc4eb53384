"""Which of many operations some packet could tell from another: those whose matches overlap.

Operations have numbers, small ones, and sets of them are integers with a bit for each.  Two matches
overlap if they do so in each field, so that each field is asked by itself, and the answers are
intersected: a few operations on sets for each mask that the field is matched with, however many
masks the matches have altogether.

A field which is matched with too many masks is left aside from then on.  That can only name
operations which do not overlap, and whoever asked is then more careful than it would have to be.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from agent.openflow.fields import FIELDS
from agent.openflow.match import Match

MAX_MASKS: Final = 64
"""How many distinct masks of a field are told apart."""

_WIDE_FIRST: Final = sorted(
    {(field.shift, field.limit) for field in FIELDS.values()}, key=lambda place: -place[1]
)
"""Shift and limit of all fields, the most telling first."""

Part = tuple[int, int]
"""A field's shift, and a mask of its own width."""


@lru_cache(4096)
def parts(mask: int) -> tuple[Part, ...]:
    """A match's mask, field by field."""
    found = []
    for shift, limit in _WIDE_FIRST:
        part = mask >> shift & limit
        if part:
            found.append((shift, part))
            mask &= ~(limit << shift)
    return tuple(found)


class _Field:
    """What is known of one field.

    :ivar matched: the operations that match it at all.
    :ivar sets: the operations by mask and value.
    :ivar views: for a mask that was asked with: the operations by what their masks have in common
        with it, and by their value there.
    """

    __slots__ = ("matched", "sets", "views")

    def __init__(self) -> None:
        self.matched = 0
        self.sets: dict[int, dict[int, int]] = {}
        self.views: dict[int, dict[int, dict[int, int]]] = {}

    def add(self, mask: int, value: int, bit: int) -> None:
        """Put an operation in, unless its mask is one too many."""
        values = self.sets.get(mask)
        if values is None:
            if len(self.sets) >= MAX_MASKS:
                return
            values = self.sets[mask] = {}
        self.matched |= bit
        values[value] = values.get(value, 0) | bit
        for asked, view in self.views.items():
            common = asked & mask
            index = view.get(common)
            if index is None:
                index = view[common] = {}
            index[value & common] = index.get(value & common, 0) | bit

    def view(self, asked: int) -> dict[int, dict[int, int]] | None:
        """See :attr:`views`; None for a mask too many."""
        view = self.views.get(asked)
        if view is None and len(self.views) < MAX_MASKS:
            view = self.views[asked] = {}
            for mask, values in self.sets.items():
                index = view.setdefault(asked & mask, {})
                for value, found in values.items():
                    index[value & asked] = index.get(value & asked, 0) | found
        return view


class Overlaps:
    """Operations by their matches.  Nothing is ever taken out; one throws all of it away."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields: dict[int, _Field] = {}

    def find(self, match: Match, among: int) -> int:
        """Which of these operations overlap with a match."""
        value = match.value
        for shift, mask in parts(match.mask):
            if not among:
                break
            field = self._fields.get(shift)
            view = None if field is None else field.view(mask)
            if field is None or view is None:
                continue
            found = ~field.matched
            own = value >> shift
            for common, index in view.items():
                found |= index.get(own & common, 0)
            among &= found
        return among

    def add(self, match: Match, bit: int) -> None:
        """Put an operation in."""
        for shift, mask in parts(match.mask):
            field = self._fields.get(shift)
            if field is None:
                field = self._fields[shift] = _Field()
            field.add(mask, match.value >> shift & mask, bit)


class Levels:
    """Sets of operations by a number that says which come first: a Fenwick tree."""

    __slots__ = ("_at", "_size", "_sums")

    def __init__(self, bits: int) -> None:
        """:param bits: how many the numbers have at most."""
        self._size = 1 << bits
        self._at: dict[int, int] = {}
        self._sums: dict[int, int] = {}

    def add(self, level: int, bit: int) -> None:
        """Put an operation in."""
        self._at[level] = self._at.get(level, 0) | bit
        place, size, sums = level + 1, self._size, self._sums
        while place <= size:
            sums[place] = sums.get(place, 0) | bit
            place += place & -place

    def at(self, level: int) -> int:
        """The operations with this number."""
        return self._at.get(level, 0)

    def below(self, level: int) -> int:
        """Those with a smaller one."""
        found, sums = 0, self._sums
        while level:
            found |= sums.get(level, 0)
            level &= level - 1
        return found
