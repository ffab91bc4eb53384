"""Tests of :mod:`drivers.asic.layout`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from drivers.asic.layout import ChunkedLayout, DenseLayout, GapsLayout, Layout, make_layout

SIZE = 12

CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 11)), max_size=60)
"""Whether to insert; a priority; which of the entries there are to remove."""


class Array:
    """Memory in which entries really lie and move, as naive as can be: the free room is at the end.

    :ivar cells: tokens; with ``chunks``, only one entry of each priority moves for another.
    """

    def __init__(self, chunks: bool) -> None:
        self.chunks = chunks
        self.cells: list[int | None] = []
        self.priorities: dict[int, int] = {}

    def _move(self, source: int, to: int, moved: list[int]) -> None:
        token = self.cells[source]
        assert token is not None and self.cells[to] is None
        self.cells[to], self.cells[source] = token, None
        moved.append(token)

    def _first(self, cell: int) -> int:
        """The first cell of the chunk that a cell is in, or the cell itself."""
        token = self.cells[cell]
        while self.chunks and cell and self._priority(cell - 1) == self.priorities[token or 0]:
            cell -= 1
        return cell

    def _last(self, cell: int) -> int:
        while (
            self.chunks
            and cell + 1 < len(self.cells)
            and self._priority(cell + 1) == self._priority(cell)
        ):
            cell += 1
        return cell

    def _priority(self, cell: int) -> int | None:
        token = self.cells[cell]
        return None if token is None else self.priorities[token]

    def insert(self, token: int, priority: int) -> list[int]:
        """Let what has a lower priority make room, the last first; returns what moved."""
        moved: list[int] = []
        self.cells.append(None)
        hole = len(self.cells) - 1
        while hole and (self._priority(hole - 1) or 0) < priority:
            source = self._first(hole - 1)
            self._move(source, hole, moved)
            hole = source
        self.cells[hole] = token
        self.priorities[token] = priority
        return moved

    def remove(self, token: int) -> list[int]:
        """Let what lies behind close the gap; returns what moved."""
        moved: list[int] = []
        hole = self.cells.index(token)
        last = self._last(hole)
        self.cells[hole] = None
        if last != hole and self.chunks:
            self._move(last, hole, moved)
            hole = last
        while hole + 1 < len(self.cells):
            source = self._last(hole + 1)
            self._move(source, hole, moved)
            hole = source
        self.cells.pop()
        del self.priorities[token]
        return moved


class EndLayoutTests(SynchronousTestCase):
    """Layouts with all the free room at one end."""

    def test_chunked(self) -> None:
        """An insert moves one entry of each lower priority, however many entries those have."""
        layout = ChunkedLayout()
        self.assertEqual([layout.insert(n, 10) for n in range(5)], [0] * 5)
        self.assertEqual([layout.insert(n, 5) for n in range(5, 10)], [0] * 5)
        self.assertEqual(layout.insert(10, 7), 1)
        self.assertEqual(layout.insert(11, 20), 3)
        self.assertEqual(layout.chunks, 4)

    def test_dense(self) -> None:
        """An insert moves every entry of lower priority."""
        layout = DenseLayout()
        self.assertEqual([layout.insert(n, 5) for n in range(5)], [0] * 5)
        self.assertEqual([layout.insert(n, 10) for n in range(5, 8)], [5] * 3)
        self.assertEqual(layout.remove(5, 10), 7)

    def test_order_matters(self) -> None:
        """With room behind the last entry descending priorities cost nothing and ascending ones
        more with each; with room before the first it is the other way round."""
        for kind in ("chunked", "dense"):
            for free, cheap in (("bottom", (4, 3, 2, 1)), ("top", (1, 2, 3, 4))):
                layout, other = make_layout(kind, free, SIZE), make_layout(kind, free, SIZE)
                self.assertEqual([layout.insert(p, p) for p in cheap], [0, 0, 0, 0])
                self.assertEqual([other.insert(p, p) for p in reversed(cheap)], [0, 1, 2, 3])
                self.assertEqual(sorted(cheap, key=layout.insert_rank), list(cheap))
                self.assertEqual(sorted(cheap, key=layout.remove_rank), list(reversed(cheap)))

    @given(CHANGES, st.booleans(), st.booleans(), st.booleans())
    def test_as_in_an_array(
        self, changes: list[tuple[bool, int, int]], chunks: bool, top: bool, looks: bool
    ) -> None:
        """Whatever is inserted and removed, entries lie and move as they do in an array whose cells
        are really copied, whether or not somebody looks; with room before the first, mirrored."""
        layout: Layout = ChunkedLayout(top) if chunks else DenseLayout(top)
        array = Array(chunks)
        for number, (add, priority, which) in enumerate(changes):
            moved: list[int] | None = [] if looks else None
            if add:
                expected = array.insert(number, -priority if top else priority)
                moves = layout.insert(number, priority, moved)
            elif array.priorities:
                token = sorted(array.priorities)[which % len(array.priorities)]
                priority = abs(array.priorities[token])
                expected = array.remove(token)
                moves = layout.remove(token, priority, moved)
            else:
                continue
            self.assertEqual(moves, len(expected))
            if looks:
                self.assertEqual(moved, expected)
                self.assertEqual(layout.tokens(), array.cells[::-1] if top else array.cells)
        tokens = layout.copy().tokens()
        self.assertEqual(tokens, array.cells[::-1] if top else array.cells)
        for one in tokens:
            for other in tokens:
                if one != other and array.priorities[one] == array.priorities[other]:
                    self.assertEqual(
                        layout.before(one, other, abs(array.priorities[one])),
                        tokens.index(one) < tokens.index(other),
                    )


class GapsLayoutTests(SynchronousTestCase):
    """The layout with gaps."""

    def test_halves(self) -> None:
        """In the order of its rank, priorities find a gap each time; in ascending order not."""
        ranked, ascending = GapsLayout(1024), GapsLayout(1024)
        priorities = range(1, 513)
        moves = [ranked.insert(p, p) for p in sorted(priorities, key=ranked.insert_rank)]
        self.assertEqual(sum(moves), 0)
        self.assertGreater(sum(ascending.insert(p, p) for p in priorities), 512)

    def test_full(self) -> None:
        """It takes as many as it has cells, and no more."""
        layout = GapsLayout(4)
        for number in range(4):
            layout.insert(number, number)
        self.assertRaises(ValueError, layout.insert, 4, 4)

    @given(CHANGES)
    def test_order(self, changes: list[tuple[bool, int, int]]) -> None:
        """Entries lie in the order of their priorities, each in a cell of its own, only what is
        said to have moved has moved, and no gap is left unused that is in the right place."""
        layout = GapsLayout(SIZE)
        priorities: dict[int, int] = {}
        for number, (add, priority, which) in enumerate(changes):
            before = dict(zip(layout.tokens(), layout.places(), strict=True))
            moved: list[int] = []
            if add and len(priorities) < SIZE:
                above = [before[t] for t, p in priorities.items() if p > priority]
                below = [before[t] for t, p in priorities.items() if p < priority]
                cells = range(max(above, default=-1) + 1, min(below, default=SIZE))
                has_gap = not set(cells) <= set(before.values())
                priorities[number] = priority
                moves = layout.insert(number, priority, moved)
                self.assertEqual(moves == 0, has_gap)
            elif priorities:
                token = sorted(priorities)[which % len(priorities)]
                moves = layout.remove(token, priorities.pop(token), moved)
                self.assertEqual(moves, 0)
            else:
                continue
            places = layout.places()
            after = dict(zip(layout.tokens(), places, strict=True))
            self.assertEqual(places, sorted(set(places)))
            self.assertTrue(not places or (places[0] >= 0 and places[-1] < SIZE))
            order = [priorities[token] for token in layout.tokens()]
            self.assertEqual(order, sorted(order, reverse=True))
            self.assertEqual(len(moved), moves)
            self.assertEqual(
                {token for token in after if before.get(token, after[token]) != after[token]},
                set(moved),
            )
