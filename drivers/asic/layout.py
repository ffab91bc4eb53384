"""How entries lie in a ternary memory, and what has to move to change it.

In a TCAM the first entry that matches wins, so entries lie in the order of their priorities, and to
put one between others costs moves.  How many depends on the layout, and that is where switches
differ most:

- :class:`ChunkedLayout` keeps the entries of each priority together and does not care for their
  order among themselves, as Linux does for switches that have such a memory (``lib/parman.c``).
- :class:`DenseLayout` is the naive array: everything between the new entry and the free room moves.
- :class:`GapsLayout` spreads entries over the memory and moves up to the nearest gap.

The first two have their free room behind the last entry or before the first, which decides whether
descending or ascending priorities are cheap.

A layout knows entries by a *token*, a number, and where each of them is; it really moves them.  A
chunk is rotated only when somebody looks into it, because what is asked nearly always is how many
entries moved, and not which.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

LAYOUTS: Final = ("chunked", "dense")
FREE: Final = ("bottom", "top", "gaps")


class Layout(Protocol):
    """Where entries lie.

    Both changes return how many other entries were moved.  Where ``moved`` is given, their tokens
    are appended to it, in the order in which they were moved.
    """

    def insert(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """Make room for an entry, and put it there."""

    def remove(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """Take an entry out, and close the gap as far as this layout does."""

    def before(self, one: int, other: int, priority: int) -> bool:
        """Whether the first of two entries, both of this priority, lies before the second."""

    def tokens(self) -> list[int]:
        """All entries in the order in which they lie."""

    def places(self, size: int) -> Sequence[int]:
        """The places of :meth:`tokens` in a memory of so many, from 0, ascending."""

    def copy(self) -> Layout:
        """Another of the same contents, to try something with."""

    def insert_rank(self, priority: int) -> int:
        """What to sort inserts by, ascending, so that little has to move."""

    def remove_rank(self, priority: int) -> int:
        """What to sort removals by, ascending, so that little has to move."""


class Chunk:
    """The entries of one priority.

    :ivar entries: in the order in which they lay when the chunk began at ``base``.
    :ivar base: a place, counted in entries from the end away from the free room.
    """

    __slots__ = ("base", "entries")

    def __init__(self, entries: deque[int], base: int) -> None:
        self.entries = entries
        self.base = base

    def at(self, start: int) -> deque[int]:
        """The entries in the order in which they lie now that the chunk begins at ``start``.

        Each step away from where it began has moved its first entry behind its last, and each step
        back its last before its first.
        """
        if start != self.base:
            self.entries.rotate((self.base - start) % len(self.entries))
            self.base = start
        return self.entries


class ChunkedLayout:
    """A chunk for each priority, without gaps, and all the room behind the last or before
    the first.

    To insert, each chunk between the entry's own and the free room makes room by moving the entry
    at its far end to the other.  To remove, an entry of the same chunk fills the gap, and each
    chunk between it and the free room moves one entry the other way.  So the cost is in distinct
    priorities, not in entries.

    :param top: whether the free room is before the first entry.
    """

    # A key is a priority, negated where the free room is behind the last entry, so that ascending
    # keys always go towards the free room.
    __slots__ = ("_chunks", "_flat", "_keys", "_top")

    def __init__(self, top: bool = False) -> None:
        self._top = top
        self._chunks: dict[int, Chunk] = {}
        self._keys: list[int] = []  # one for each chunk
        self._flat: list[int] = []  # one for each entry

    @property
    def chunks(self) -> int:
        """How many distinct priorities there are."""
        return len(self._keys)

    def _entries(self, key: int) -> deque[int]:
        return self._chunks[key].at(bisect_left(self._flat, key))

    def insert(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """One move for each chunk on the way to the free room."""
        key = priority if self._top else -priority
        keys = self._keys
        place = bisect_right(keys, key)
        behind = len(keys) - place
        if moved is not None:
            moved += [self._entries(other)[0] for other in reversed(keys[place:])]
        chunk = self._chunks.get(key)
        if chunk is None:
            self._chunks[key] = Chunk(deque((token,)), bisect_left(self._flat, key))
            keys.insert(place, key)
        else:
            self._entries(key).append(token)
        insort(self._flat, key)
        return behind

    def remove(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """The same, and one for the gap itself, unless the entry was the one nearest to it."""
        key = priority if self._top else -priority
        keys = self._keys
        place = bisect_right(keys, key)
        entries = self._entries(key)
        last = entries[-1]
        fills = last != token
        if moved is not None:
            if fills:
                moved.append(last)
            moved += [self._entries(other)[-1] for other in keys[place:]]
        if fills:
            entries[entries.index(token)] = last
        entries.pop()
        if not entries:
            del self._chunks[key]
            del keys[place - 1]
            place -= 1
        del self._flat[bisect_left(self._flat, key)]
        return fills + len(keys) - place

    def before(self, one: int, other: int, priority: int) -> bool:
        """See :class:`Layout`."""
        entries = self._entries(priority if self._top else -priority)
        return (entries.index(one) < entries.index(other)) is not self._top

    def tokens(self) -> list[int]:
        """See :class:`Layout`."""
        tokens = [token for key in self._keys for token in self._entries(key)]
        return tokens[::-1] if self._top else tokens

    def places(self, size: int) -> Sequence[int]:
        """See :class:`Layout`."""
        used = len(self._flat)
        return range(size - used, size) if self._top else range(used)

    def copy(self) -> ChunkedLayout:
        """See :class:`Layout`."""
        copy = ChunkedLayout(self._top)
        copy._chunks = {
            key: Chunk(chunk.entries.copy(), chunk.base) for key, chunk in self._chunks.items()
        }
        copy._keys = self._keys.copy()
        copy._flat = self._flat.copy()
        return copy

    def insert_rank(self, priority: int) -> int:
        """Away from the free room first."""
        return priority if self._top else -priority

    def remove_rank(self, priority: int) -> int:
        """Near to the free room first."""
        return -priority if self._top else priority


class DenseLayout:
    """An array without gaps, and all the room behind the last entry or before the first.

    Everything between an entry and the free room moves, whatever its priority.

    :param top: whether the free room is before the first entry.
    """

    __slots__ = ("_keys", "_tokens", "_top")  # keys as in ChunkedLayout

    def __init__(self, top: bool = False) -> None:
        self._top = top
        self._keys: list[int] = []
        self._tokens: list[int] = []

    def insert(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """One move for each entry on the way to the free room."""
        key = priority if self._top else -priority
        place = bisect_right(self._keys, key)
        moves = len(self._keys) - place
        if moved is not None:
            moved += self._tokens[place:][::-1]
        self._keys.insert(place, key)
        self._tokens.insert(place, token)
        return moves

    def remove(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """The same."""
        place = self._place(token, priority)
        if moved is not None:
            moved += self._tokens[place + 1 :]
        del self._keys[place]
        del self._tokens[place]
        return len(self._keys) - place

    def _place(self, token: int, priority: int) -> int:
        return self._tokens.index(
            token, bisect_left(self._keys, priority if self._top else -priority)
        )

    def before(self, one: int, other: int, priority: int) -> bool:
        """See :class:`Layout`."""
        return (self._place(one, priority) < self._place(other, priority)) is not self._top

    def tokens(self) -> list[int]:
        """See :class:`Layout`."""
        return self._tokens[::-1] if self._top else self._tokens.copy()

    def places(self, size: int) -> Sequence[int]:
        """See :class:`Layout`."""
        used = len(self._tokens)
        return range(size - used, size) if self._top else range(used)

    def copy(self) -> DenseLayout:
        """See :class:`Layout`."""
        copy = DenseLayout(self._top)
        copy._keys = self._keys.copy()
        copy._tokens = self._tokens.copy()
        return copy

    def insert_rank(self, priority: int) -> int:
        """Away from the free room first."""
        return priority if self._top else -priority

    def remove_rank(self, priority: int) -> int:
        """Near to the free room first."""
        return -priority if self._top else priority


class GapsLayout:
    """An array with gaps between the entries.

    A new entry goes beside one of its priority if there is a gap, and otherwise into the middle of
    the gap where it belongs.  If there is none, everything up to the nearest gap moves, to the side
    where that is less.  What is removed leaves a gap, and nothing moves.

    :param size: how many cells there are.
    """

    __slots__ = ("_keys", "_places", "_size", "_tokens")

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: list[int] = []  # negated priorities
        self._places: list[int] = []  # cells, ascending
        self._tokens: list[int] = []

    def insert(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """One move for each entry up to the nearest gap.

        :raises ValueError: when it is full.
        """
        keys, places = self._keys, self._places
        count = len(places)
        if count == self._size:
            raise ValueError("there is no gap")
        key = -priority
        first, end = bisect_left(keys, key), bisect_right(keys, key)
        left = places[first - 1] if first else -1
        right = places[end] if end < count else self._size
        moves = 0
        if first == end and right - left > 1:
            index, place = end, (left + right) // 2
        elif first < end and right - places[end - 1] > 1:
            index, place = end, places[end - 1] + 1
        elif first < end and places[first] - left > 1:
            index, place = first, places[first] - 1
        elif first < end and places[end - 1] - places[first] > end - 1 - first:
            index = next(n for n in range(first + 1, end) if places[n] - places[n - 1] > 1)
            place = places[index] - 1
        else:
            index, place, moves = self._make_room(first, end, moved)
        keys.insert(index, key)
        places.insert(index, place)
        self._tokens.insert(index, token)
        return moves

    def _make_room(self, first: int, end: int, moved: list[int] | None) -> tuple[int, int, int]:
        """Move what is needed to have a cell before ``first`` or ``end``.

        :returns: the index and the cell of the new entry, and the number of moves.
        """
        places, size = self._places, self._size
        count = len(places)
        down, up = end, first - 1  # the last entry that has to move, to either side
        while True:
            below = down < count
            above = up >= 0
            if below and (places[down + 1] if down + 1 < count else size) - places[down] > 1:
                place = places[end]
                if moved is not None:
                    moved += self._tokens[end : down + 1][::-1]
                places[end : down + 1] = range(place + 1, place + 2 + down - end)
                return end, place, down + 1 - end
            if above and places[up] - (places[up - 1] if up else -1) > 1:
                place = places[first - 1]
                if moved is not None:
                    moved += self._tokens[up:first]
                places[up:first] = range(places[up] - 1, place)
                return first, place, first - up
            down += below
            up -= above

    def remove(self, token: int, priority: int, moved: list[int] | None = None) -> int:
        """Nothing moves."""
        place = self._tokens.index(token, bisect_left(self._keys, -priority))
        del self._keys[place], self._places[place], self._tokens[place]
        return 0

    def before(self, one: int, other: int, priority: int) -> bool:
        """See :class:`Layout`."""
        return self._tokens.index(one) < self._tokens.index(other)

    def tokens(self) -> list[int]:
        """See :class:`Layout`."""
        return self._tokens.copy()

    def places(self, size: int = 0) -> Sequence[int]:
        """See :class:`Layout`; it knows its size."""
        return self._places.copy()

    def copy(self) -> GapsLayout:
        """See :class:`Layout`."""
        copy = GapsLayout(self._size)
        copy._keys = self._keys.copy()
        copy._places = self._places.copy()
        copy._tokens = self._tokens.copy()
        return copy

    def insert_rank(self, priority: int) -> int:
        """Halves first, then quarters, and so on, so that each finds the middle of a large gap."""
        return int(f"{priority:032b}"[::-1], 2)

    def remove_rank(self, priority: int) -> int:
        """All the same."""
        return 0


def make_layout(kind: str, free: str, size: int) -> Layout:
    """The layout that a profile asks for.

    :param kind: one of :data:`LAYOUTS`.
    :param free: one of :data:`FREE`; gaps are only in a dense one.
    """
    if free == "gaps":
        return GapsLayout(size)
    return ChunkedLayout(free == "top") if kind == "chunked" else DenseLayout(free == "top")
