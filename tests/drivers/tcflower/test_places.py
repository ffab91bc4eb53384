"""Tests of :mod:`drivers.tcflower.places`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower.places import HIDDEN, LAST, LOWEST, entry_chain, low_chain, place


class PlaceTests(SynchronousTestCase):
    """Every priority has a place."""

    def test_order(self) -> None:
        """A higher priority of a controller's rule is always looked at before a lower one, and
        before what is last; no two share a place."""
        places = [place(7, priority) for priority in range(0xFFFF, -1, -1)]
        self.assertEqual(len(set(places)), 0x10000)
        self.assertEqual(places, sorted(places))
        self.assertTrue(all(0 < pref < LAST for _, pref in places))

    def test_chains(self) -> None:
        """Most priorities are where packets enter the table, the lowest in the other chain."""
        self.assertEqual(place(7, LOWEST)[0], entry_chain(7))
        self.assertEqual(place(7, LOWEST - 1)[0], low_chain(7))
        self.assertEqual(place(7, 0)[0], low_chain(7))

    def test_tables_apart(self) -> None:
        """No two tables share a chain."""
        chains = [chain for table in range(255) for chain in (entry_chain(table), low_chain(table))]
        self.assertEqual(len(set(chains)), len(chains))

    def test_hidden(self) -> None:
        """Rules of the agent itself are before all others, in the order of their priorities as far
        as it is told apart."""
        prefs = [place(0, priority)[1] for priority in (0xF0F0F0, 180008, 180000, 0x10000)]
        self.assertEqual(prefs, sorted(prefs))
        self.assertLess(prefs[0], prefs[1])
        self.assertTrue(all(1 < pref <= HIDDEN for pref in prefs))
        self.assertEqual(place(0, 1 << 80), (0, 2))
        self.assertEqual(place(0, 0xFFFF), (0, HIDDEN + 1))
