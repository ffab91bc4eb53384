"""Tests of :mod:`agent.packet.classifier`."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import MATCH_ALL, Match
from agent.packet import classifier
from agent.packet.classifier import FEW_MASKS, MAX_FLOWS, Classifier

# Three bits far apart, so that there are few matches and many of them overlap.
BITS = (1 << 3, 1 << 40, 1 << 700)


@attrs.frozen(eq=False)
class Entry:
    """An entry, told from others by identity."""

    match: Match
    priority: int


def spread(number: int) -> int:
    """The low three bits of a number, on the bits of :data:`BITS`."""
    return sum(bit for place, bit in enumerate(BITS) if number >> place & 1)


def match_of(mask: int, value: int) -> Match:
    """A match on some of the three bits."""
    return Match(spread(mask), spread(mask & value))


KEYS = [spread(number) for number in range(8)]
"""Every packet there is."""

MATCHES = st.builds(match_of, st.integers(0, 7), st.integers(0, 7))
PRIORITIES = st.integers(0, 3)


def hits(match: Match) -> frozenset[int]:
    """The packets that are matched, found by trying each of them."""
    return frozenset(key for key in KEYS if not (key ^ match.value) & match.mask)


class ClassifierMachine(RuleBasedStateMachine):
    """Whatever is put in and taken out, it is a list of entries that is searched from the top."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier: Classifier[Entry] = Classifier()
        self.naive: list[Entry] = []

    def at(self, match: Match, priority: int) -> Entry | None:
        """The entry with just this match and priority."""
        for entry in self.naive:
            if (entry.match, entry.priority) == (match, priority):
                return entry
        return None

    @rule(match=MATCHES, priority=PRIORITIES)
    def put(self, match: Match, priority: int) -> None:
        """Insert or replace."""
        entry, before = Entry(match, priority), self.at(match, priority)
        assert self.classifier.put(entry) is before
        self.naive = [other for other in self.naive if other is not before] + [entry]

    @rule(match=MATCHES, priority=PRIORITIES)
    def remove(self, match: Match, priority: int) -> None:
        """Remove, whether it is there or not."""
        before = self.at(match, priority)
        assert self.classifier.remove(match, priority) is before
        self.naive = [other for other in self.naive if other is not before]

    @rule(match=MATCHES)
    def remove_covered(self, match: Match) -> None:
        """Remove what is being iterated over."""
        for entry in self.classifier.covered(match):
            self.classifier.remove(entry.match, entry.priority)
        self.naive = [e for e in self.naive if not hits(e.match) <= hits(match)]

    @rule(match=MATCHES, priority=PRIORITIES)
    def find(self, match: Match, priority: int) -> None:
        """Exactly one match and priority."""
        assert self.classifier.find(match, priority) is self.at(match, priority)

    @rule(match=MATCHES)
    def covered(self, match: Match) -> None:
        """All that are at least as specific, once."""
        found = list(self.classifier.covered(match))
        expected = [e for e in self.naive if hits(e.match) <= hits(match)]
        assert sorted(map(id, found)) == sorted(map(id, expected))

    @rule(match=MATCHES, priority=PRIORITIES)
    def overlapping(self, match: Match, priority: int) -> None:
        """All of a priority that a packet could hit as well, once."""
        found = list(self.classifier.overlapping(match, priority))
        expected = [e for e in self.naive if e.priority == priority and hits(e.match) & hits(match)]
        assert sorted(map(id, found)) == sorted(map(id, expected))
        found = list(self.classifier.overlapping(match))
        expected = [e for e in self.naive if hits(e.match) & hits(match)]
        assert sorted(map(id, found)) == sorted(map(id, expected))

    @invariant()
    def contents(self) -> None:
        """All entries are in it, and are counted."""
        assert len(self.classifier) == self.classifier.count == len(self.naive)
        assert sorted(map(id, self.classifier)) == sorted(map(id, self.naive))

    @invariant()
    def lookup(self) -> None:
        """A packet hits an entry of the highest priority that matches it, always the same."""
        for key in KEYS:
            matching = [e for e in self.naive if key in hits(e.match)]
            assert sorted(map(id, self.classifier.matching(key))) == sorted(map(id, matching))
            found = self.classifier.lookup(key)
            assert found is self.classifier.lookup(key)
            if found is None:
                assert not matching
            else:
                assert found in matching
                assert found.priority == max(entry.priority for entry in matching)


class ClassifierTests(SynchronousTestCase):
    """A classifier is a list of entries, only faster, and keeps nothing but what is in it."""

    def test_like_a_list(self) -> None:
        """Nothing that is done to a classifier shows a difference to a list."""
        run_state_machine_as_test(ClassifierMachine, settings=settings(stateful_step_count=30))

    def test_like_a_list_that_remembers(self) -> None:
        """So it is when every answer is kept, and there is room for few."""
        self.patch(classifier, "FEW_MASKS", 0)
        self.patch(classifier, "MAX_FLOWS", 3)
        run_state_machine_as_test(ClassifierMachine, settings=settings(stateful_step_count=30))

    def test_known_flows(self) -> None:
        """Answers are kept where there are more than a few masks, hit or miss, up to a limit, and
        until anything changes."""
        found: Classifier[Entry] = Classifier()
        for bit in range(FEW_MASKS):
            found.put(Entry(Match(1 << bit, 0), 1))
        found.lookup(1)
        self.assertEqual(found.known, 0)
        last = Entry(Match(1 << 50, 0), 1)
        found.put(last)
        missed = (1 << FEW_MASKS) - 1 | 1 << 50
        self.assertIsNone(found.lookup(missed))
        self.assertIsNone(found.lookup(missed))
        self.assertEqual(found.known, 1)
        found.put(last)
        self.assertEqual(found.known, 0)
        found.lookup(1)
        found.remove(last.match, 1)
        self.assertEqual(found.known, 0)
        found.put(last)
        for flow in range(MAX_FLOWS + 1):
            found.lookup(flow << 60)
        self.assertEqual(found.known, 1)

    def test_empty_subtables_go(self) -> None:
        """Masks that no entry has any more cost nothing."""
        classifier: Classifier[Entry] = Classifier()
        for bit in range(100):
            entry = Entry(Match(1 << bit, 0), 1)
            classifier.put(entry)
            classifier.remove(entry.match, 1)
        self.assertEqual(classifier.subtables, {})
        self.assertIsNone(classifier.lookup(0))

    def test_one_entry_needs_no_list(self) -> None:
        """Where one priority of several is left, its entry is stored as if it had been alone."""
        classifier: Classifier[Entry] = Classifier()
        entries = [Entry(MATCH_ALL, priority) for priority in (2, 3, 1)]
        for entry in entries:
            classifier.put(entry)
        self.assertEqual([entry.priority for entry in classifier], [3, 2, 1])
        classifier.remove(MATCH_ALL, 3)
        classifier.remove(MATCH_ALL, 1)
        self.assertIs(classifier.subtables[0].entries[0], entries[0])

    @given(st.permutations([1, 2, 3]))
    def test_zero_priority(self, order: list[int]) -> None:
        """Priority 0 is a priority: the table-miss entry is found when nothing else matches."""
        classifier: Classifier[Entry] = Classifier()
        miss = Entry(MATCH_ALL, 0)
        classifier.put(miss)
        for number in order:
            classifier.put(Entry(Match(0xFF, number), number))
        self.assertIs(classifier.lookup(9), miss)
        for number in order:
            found = classifier.lookup(number)
            assert found is not None
            self.assertEqual(found.priority, number)
