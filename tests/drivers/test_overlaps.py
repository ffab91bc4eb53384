"""Tests of :mod:`drivers.overlaps`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS
from agent.openflow.match import Match
from drivers import overlaps
from drivers.overlaps import Levels, Overlaps, parts

BYTES = st.sampled_from([0, 0, 0x01, 0x0F, 0xF0, 0xFF])


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """A match on some bits of some fields, of which some share bits."""
    mask = value = 0
    for name in ("in_port", "ipv4_dst", "ipv6_dst", "tcp_dst", "vlan_vid", "vlan_tci"):
        field = FIELDS[name]
        place = draw(st.sampled_from([0, field.bits - 8]))  # either end of the field
        mask |= (draw(BYTES) << place & field.limit) << field.shift
        value |= (draw(BYTES) << place & field.limit) << field.shift
    return Match(mask, value & mask)


class OverlapsTests(SynchronousTestCase):
    """Which matches overlap."""

    @given(st.lists(st.tuples(matches(), st.booleans()), max_size=30), matches())
    def test_exact(self, added: list[tuple[Match, bool]], asked: Match) -> None:
        """What is found is what overlaps, whether it came before something was asked or after, and
        only of those that were asked for."""
        known = Overlaps()
        there: list[Match] = []
        among = 0
        for match, wanted in added:
            bit = 1 << len(there)
            known.add(match, bit)
            there.append(match)
            among |= bit if wanted else 0
            expected = sum(
                1 << n for n, other in enumerate(there) if among >> n & 1 and other.overlaps(asked)
            )
            self.assertEqual(known.find(asked, among), expected)

    @given(st.lists(matches(), max_size=30), matches(), st.integers(0, 3))
    def test_careful(self, added: list[Match], asked: Match, most: int) -> None:
        """With more masks than are told apart, what overlaps is among what is found."""
        self.patch(overlaps, "MAX_MASKS", most)
        known = Overlaps()
        for number, match in enumerate(added):
            known.add(match, 1 << number)
            known.find(match, -1)
        found = known.find(asked, (1 << len(added)) - 1)
        for number, match in enumerate(added):
            if match.overlaps(asked):
                self.assertTrue(found >> number & 1)

    def test_left_aside(self) -> None:
        """A mask too many costs nothing more: what has it is found whatever is asked for."""
        self.patch(overlaps, "MAX_MASKS", 2)
        known = Overlaps()
        for number in range(4):
            known.add(Match(1 << number, 0), 1 << number)
        everything = Match(0xF, 0xF)
        self.assertEqual(known.find(everything, 0b1111), 0b1100)

    @given(matches())
    def test_parts(self, match: Match) -> None:
        """Each bit of a mask is in exactly one part."""
        found = 0
        for shift, part in parts(match.mask):
            self.assertFalse(found & part << shift)
            found |= part << shift
        self.assertEqual(found, match.mask)


class LevelsTests(SynchronousTestCase):
    """Sets by a number."""

    @given(st.lists(st.integers(0, 15), max_size=20), st.integers(0, 16))
    def test_below(self, levels: list[int], level: int) -> None:
        """Those with a smaller number, and those with just that."""
        known = Levels(4)
        for number, one in enumerate(levels):
            known.add(one, 1 << number)
        below = sum(1 << number for number, one in enumerate(levels) if one < level)
        at = sum(1 << number for number, one in enumerate(levels) if one == level)
        self.assertEqual((known.below(level), known.at(level)), (below, at))
