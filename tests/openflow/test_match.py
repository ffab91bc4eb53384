"""Tests for :mod:`agent.openflow.match`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields
from agent.openflow.match import MATCH_ALL, Match

BITS = 5
KEYS = range(1 << BITS)


@st.composite
def small_matches(draw: st.DrawFn) -> Match:
    """A match on the lowest bits only, so that every key can be tried."""
    mask = draw(st.sampled_from(KEYS))
    return Match(mask, draw(st.sampled_from(KEYS)) & mask)


class SetTests(SynchronousTestCase):
    """A match is the set of the keys that it matches."""

    @given(small_matches(), small_matches())
    def test_covers(self, one: Match, other: Match) -> None:
        """One covers the other if it matches every key that the other does."""
        every = all(one.matches(key) for key in KEYS if other.matches(key))
        self.assertEqual(one.covers(other), every)

    @given(small_matches(), small_matches())
    def test_overlaps(self, one: Match, other: Match) -> None:
        """They overlap if both match some key, whichever is asked."""
        some = any(one.matches(key) and other.matches(key) for key in KEYS)
        self.assertEqual(one.overlaps(other), some)
        self.assertEqual(other.overlaps(one), some)

    @given(small_matches())
    def test_all(self, match: Match) -> None:
        """The empty match covers, and overlaps, every other."""
        self.assertTrue(MATCH_ALL.covers(match))
        self.assertTrue(MATCH_ALL.overlaps(match))
        self.assertEqual(match.covers(MATCH_ALL), match == MATCH_ALL)


class FieldTests(SynchronousTestCase):
    """A match is made of fields."""

    def test_of(self) -> None:
        """Values and masks come back by field."""
        match = Match.of(in_port=3, eth_type=0x0800, ipv4_dst=(0x0A000000, 0xFF000000))
        self.assertEqual(match.get(fields.IN_PORT), (3, 0xFFFFFFFF))
        self.assertEqual(match.get(fields.IPV4_DST), (0x0A000000, 0xFF000000))
        self.assertEqual(match.get(fields.IPV4_SRC), (0, 0))
        self.assertEqual(match.value_of(fields.ETH_TYPE), 0x0800)
        self.assertIsNone(match.value_of(fields.IPV4_DST))
        self.assertIsNone(match.value_of(fields.METADATA))

    def test_value_outside_mask(self) -> None:
        """Bits of a value which the mask leaves out are left out."""
        self.assertEqual(Match.of(metadata=(7, 4)), Match.of(metadata=(4, 4)))

    def test_refused(self) -> None:
        """What does not fit its field is refused, and so is what is no field."""
        self.assertRaises(ValueError, Match.of, vlan_vid=0x2000)
        self.assertRaises(ValueError, Match.of, vlan_vid=(0, 0x2000))
        self.assertRaises(ValueError, Match.of, in_port=-1)
        self.assertRaises(KeyError, Match.of, colour=1)

    def test_immutable(self) -> None:
        """A match can be a key of a dictionary, and cannot be changed."""
        match = Match.of(in_port=1)
        self.assertEqual({match: 1}[Match.of(in_port=1)], 1)
        self.assertRaises(AttributeError, setattr, match, "mask", 0)
