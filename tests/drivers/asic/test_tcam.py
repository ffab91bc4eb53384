"""Tests of :mod:`drivers.asic.tcam`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.layout import DenseLayout, make_layout
from drivers.asic.tcam import Tcam, key_of
from drivers.testing import FakeRule


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

    def test_places(self) -> None:
        """Each place that is taken is known with the priority of its entry, and free room is at the
        end where the layout has it."""
        for free, expected in (
            ("bottom", [(0, 9), (1, 5)]),
            ("top", [(4, 9), (5, 5)]),
            ("gaps", [(0, 9), (2, 5)]),
        ):
            for kind in ("dense",) if free == "gaps" else ("dense", "chunked"):
                table = Tcam(0, 6, make_layout(kind, free, 6))
                for priority in (5, 9):
                    table.take(FakeRule(Match.of(in_port=priority), priority))
                places = table.places()
                self.assertEqual(places, expected)

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

    def test_given_twice(self) -> None:
        """Two deletions of one entry at once, of which the agent had given up one, give its room
        back once."""
        self.table.take(self.rule)
        self.table.write(self.rule, True)
        self.table.give(self.rule)
        self.table.give(self.rule)
        self.table.erase(self.rule, True)
        self.table.erase(self.rule, True)
        self.assertEqual((self.table.used, self.table.lying()), (0, []))

    def test_equal_priority(self) -> None:
        """Of two entries of one priority a packet meets the one that lies first, and as entries
        move that may become the other."""
        one = FakeRule(Match.of(in_port=1), 10)
        other = FakeRule(Match.of(eth_type=0x800), 10)
        both = Match.of(in_port=1, eth_type=0x800).value
        table = Tcam(0, 10)
        for rule in (one, other):
            table.take(rule)
            table.write(rule, True)
        self.assertIs(table.rules.lookup(both), one)
        table.take(FakeRule(Match.of(in_port=3), 20))
        self.assertEqual(table.lying()[1:], [key_of(other), key_of(one)])
        self.assertIs(table.rules.lookup(both), other)

    def test_absent(self) -> None:
        """What is taken out for the moment is not met, and what lies below it is."""
        low = FakeRule(Match.of(), 5)
        table = Tcam(0, 10, DenseLayout())
        for rule in (self.rule, low):
            table.take(rule)
            table.write(rule, True)
        table.rules.absences.append(lambda: key_of(self.rule))
        self.assertIs(table.rules.lookup(1), low)
        table.rules.absences.append(lambda: key_of(low))
        self.assertIsNone(table.rules.lookup(1))
        table.rules.absences.clear()
        self.assertIs(table.rules.lookup(1), self.rule)

    def test_spill(self) -> None:
        """What does not fit goes to software, where it is met like the others and takes no room."""
        table = Tcam(0, 1, spills=True)
        for port in (1, 2):
            rule = FakeRule(Match.of(in_port=port), 10 + port)
            table.take(rule)
            table.write(rule, True)
        self.assertEqual((table.used, table.spilled), (1, {key_of(rule)}))
        self.assertIs(table.rules.lookup(2), rule)
        table.give(rule)
        table.erase(rule, True)
        self.assertEqual((table.used, table.spilled), (1, set()))
