"""Tests of :mod:`agent.packet.mac_learning`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.packet.mac_learning import MULTICAST, MacTable

A, B, C = 0x0200_0000_000A, 0x0200_0000_000B, 0x0200_0000_000C


class MacTableTests(SynchronousTestCase):
    """Learning, ageing, and the bound."""

    def setUp(self) -> None:
        """A small table."""
        self.table = MacTable(ageing=10, size=2)

    def test_learned(self) -> None:
        """An address is found where it was last seen."""
        self.assertTrue(self.table.learn(0, A, 1, 0))
        self.assertEqual(self.table.lookup(0, A, 5), 1)
        self.assertTrue(self.table.learn(0, A, 2, 6))
        self.assertEqual(self.table.lookup(0, A, 6), 2)
        self.assertFalse(self.table.learn(0, A, 2, 7))

    def test_vlans(self) -> None:
        """The same address in another VLAN is another."""
        self.table.learn(10, A, 1, 0)
        self.assertIsNone(self.table.lookup(20, A, 0))

    def test_ageing(self) -> None:
        """An address not seen for longer than the ageing time is not known, and is dropped."""
        self.table.learn(0, A, 1, 0)
        self.assertEqual(self.table.lookup(0, A, 10), 1)
        self.assertIsNone(self.table.lookup(0, A, 10.5))
        self.assertEqual(list(self.table.entries(10.5)), [])
        self.assertEqual(len(self.table), 0)

    def test_full(self) -> None:
        """The address that was seen longest ago makes room."""
        self.table.learn(0, A, 1, 0)
        self.table.learn(0, B, 2, 1)
        self.table.learn(0, A, 1, 2)
        self.table.learn(0, C, 3, 3)
        self.assertEqual(self.table.lookup(0, A, 3), 1)
        self.assertIsNone(self.table.lookup(0, B, 3))
        self.assertEqual(self.table.lookup(0, C, 3), 3)

    def test_multicast(self) -> None:
        """A group address is neither learned nor found."""
        self.assertFalse(self.table.learn(0, A | MULTICAST, 1, 0))
        self.assertIsNone(self.table.lookup(0, A | MULTICAST, 0))

    def test_forget_port(self) -> None:
        """What was behind a port that is gone is not known any more, the rest is."""
        self.table.learn(0, A, 1, 0)
        self.table.learn(0, B, 2, 0)
        self.table.forget_port(1)
        self.assertIsNone(self.table.lookup(0, A, 0))
        self.assertEqual(self.table.lookup(0, B, 0), 2)

    def test_flush(self) -> None:
        """After a flush nothing is known."""
        self.table.learn(0, A, 1, 0)
        self.table.flush()
        self.assertEqual(len(self.table), 0)

    def test_counts(self) -> None:
        """It counts what it learned, what moved, what made room and what was too old."""
        self.table.learn(0, A, 1, 0)
        self.table.learn(0, A, 1, 1)
        self.table.learn(0, A, 2, 2)
        self.table.learn(0, B, 2, 3)
        self.table.learn(0, C, 3, 4)
        self.table.learn(0, A | MULTICAST, 3, 4)
        self.table.learn(0, A, 1, 14)
        table = self.table
        self.assertEqual((table.learned, table.moved, table.evicted, table.expired), (4, 1, 1, 1))

    def test_old_ones_make_room_first(self) -> None:
        """An address that is too old is not counted as one that had to make room."""
        self.table.learn(0, A, 1, 0)
        self.table.learn(0, B, 1, 11)
        self.table.learn(0, C, 1, 11)
        self.assertEqual((self.table.evicted, self.table.expired, len(self.table)), (0, 1, 2))

    def test_copy(self) -> None:
        """A copy knows the same, and what it learns is its own affair."""
        self.table.learn(0, A, 1, 0)
        self.table.learn(0, B, 1, 1)
        copy = self.table.copy()
        self.assertEqual([entry.mac for entry in copy.entries(1)], [A, B])
        copy.learn(0, A, 2, 5)
        copy.learn(0, C, 2, 5)
        self.assertEqual([entry.mac for entry in copy.entries(5)], [A, C])
        self.assertEqual([entry.mac for entry in self.table.entries(5)], [A, B])
        self.assertEqual(self.table.lookup(0, A, 5), 1)
        self.assertEqual((copy.ageing, copy.size), (10, 2))

    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(1, 3))))
    def test_against_a_log(self, seen: list[tuple[int, int, int]]) -> None:
        """A table large enough finds each address where the log last has it."""
        table = MacTable(ageing=1000, size=100)
        log = {}
        for now, (vlan, mac, port) in enumerate(seen):
            table.learn(vlan, mac, port, now)
            log[vlan, mac] = port
        for (vlan, mac), port in log.items():
            self.assertEqual(table.lookup(vlan, mac, len(seen)), port)
        self.assertEqual(len(table), len(log))
