"""Tests for :mod:`agent.openflow.cache`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.cache import Cache, intern_mask


class CacheTests(SynchronousTestCase):
    """A memory of limited size."""

    def test_remembers(self) -> None:
        """What was put is got; what was not, is None."""
        cache: Cache[str, int] = Cache(2)
        self.assertEqual(cache.put("a", 1), 1)
        self.assertEqual(cache.get("a"), 1)
        self.assertIsNone(cache.get("b"))

    def test_bounded(self) -> None:
        """However much is put, no more is kept than its size; the last is always kept."""
        cache: Cache[int, int] = Cache(3)
        for number in range(10):
            cache.put(number, -number)
            self.assertLessEqual(len(cache), 3)
            self.assertEqual(cache.get(number), -number)


class InternTests(SynchronousTestCase):
    """One object for one mask."""

    def test_same_object(self) -> None:
        """Equal masks become the same object."""
        one, other = (int("9" * 50) for _ in range(2))
        self.assertIsNot(one, other)
        self.assertIs(intern_mask(one), intern_mask(other))
