"""Tests of :mod:`drivers.asic.tcam`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.tcam import ChunkedLayout, Tcam
from drivers.testing import FakeRule


class Array:
    """A TCAM in which entries really lie and move, as naive as can be.

    Chunks of one priority, the highest first, without gaps; moves are counted as they are made.
    """

    def __init__(self) -> None:
        self.cells: list[int] = []

    def insert(self, priority: int) -> int:
        """Let each chunk behind move its first entry behind its last, the last chunk first."""
        cells = self.cells
        cells.append(-1)
        hole = len(cells) - 1
        moves = 0
        while hole and cells[hole - 1] < priority:
            first = cells.index(cells[hole - 1])
            cells[hole], cells[first] = cells[first], -1
            hole = first
            moves += 1
        cells[hole] = priority
        return moves

    def remove(self, priority: int) -> int:
        """Take the first of a priority; the last of its chunk and of each behind fills the gap."""
        cells = self.cells
        hole = cells.index(priority)
        cells[hole] = -1
        moves = 0
        while hole + 1 < len(cells):
            follows = cells[hole + 1]
            last = len(cells) - 1 - cells[::-1].index(follows)
            cells[hole], cells[last] = cells[last], -1
            hole = last
            moves += 1
        cells.pop()
        return moves


class LayoutTests(SynchronousTestCase):
    """What has to move."""

    def test_insert(self) -> None:
        """An insert moves one entry of each lower priority, however many entries those have."""
        layout = ChunkedLayout()
        self.assertEqual([layout.insert(10) for _ in range(5)], [0] * 5)
        self.assertEqual([layout.insert(5) for _ in range(5)], [0] * 5)
        self.assertEqual(layout.insert(7), 1)
        self.assertEqual(layout.insert(20), 3)
        self.assertEqual(layout.chunks, 4)

    def test_order_matters(self) -> None:
        """Descending priorities cost nothing, ascending ones more with each."""
        down, up = ChunkedLayout(), ChunkedLayout()
        self.assertEqual([down.insert(p) for p in (4, 3, 2, 1)], [0, 0, 0, 0])
        self.assertEqual([up.insert(p) for p in (1, 2, 3, 4)], [0, 1, 2, 3])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
    def test_as_in_an_array(self, changes: list[tuple[bool, int]]) -> None:
        """The moves are those of entries that really move, if what is removed is the first of its
        chunk: the model has no places, and always counts the move that fills the gap."""
        layout, array = ChunkedLayout(), Array()
        for add, priority in changes:
            if add:
                self.assertEqual(layout.insert(priority), array.insert(priority))
            elif priority in array.cells:
                self.assertEqual(layout.remove(priority), array.remove(priority))
            self.assertEqual(array.cells, sorted(array.cells, reverse=True))


class TcamTests(SynchronousTestCase):
    """Room and entries."""

    def setUp(self) -> None:
        """A table with room for two."""
        self.table = Tcam(0, 2)
        self.rule = FakeRule(Match.of(in_port=1), 10)

    def test_room_is_taken_first(self) -> None:
        """Room is gone when it was taken, and the entry there when it was written."""
        self.table.take(self.rule)
        self.assertIsNone(self.table.rules.lookup(1))
        self.table.take(FakeRule(Match.of(in_port=2)))
        self.assertTrue(self.table.full)
        self.table.write(self.rule, True)
        self.assertIs(self.table.rules.lookup(1), self.rule)

    def test_erase(self) -> None:
        """Room is there again when it was given, and the entry gone when it was erased."""
        self.table.take(self.rule)
        self.table.write(self.rule, True)
        self.table.give(self.rule)
        self.assertEqual(self.table.used, 0)
        self.assertIs(self.table.rules.lookup(1), self.rule)
        self.table.erase(self.rule, True)
        self.assertIsNone(self.table.rules.lookup(1))

    def test_overwritten(self) -> None:
        """An entry that is written over another takes no room of its own."""
        self.table.take(self.rule)
        self.table.write(self.rule, True)
        other = FakeRule(self.rule.match, self.rule.priority)
        self.table.write(other, False)
        self.assertEqual(self.table.used, 1)
        self.assertIs(self.table.rules.lookup(1), other)

    def test_given_up(self) -> None:
        """Room and entries agree also when an entry came or went while another operation on it was
        under way, which the agent had given up."""
        other = FakeRule(self.rule.match, self.rule.priority)
        self.table.take(self.rule)
        self.table.take(other)
        self.table.write(self.rule, True)
        self.table.write(other, True)
        self.assertEqual(self.table.used, 1)
        self.table.give(other)
        self.table.erase(other, True)
        self.table.erase(self.rule, False)
        self.assertEqual(self.table.used, 0)
        self.table.write(self.rule, False)
        self.assertEqual(self.table.used, 1)
        self.table.erase(self.rule, False)
        self.assertEqual(self.table.used, 0)
