"""Tests of :mod:`agent.admin.vlog_limit`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.vlog_limit import MAX_SITES, RateLimiter


class RateLimiterTests(SynchronousTestCase):
    """Who may write how often."""

    def setUp(self) -> None:
        """Five lines at once, one every four seconds."""
        self.limiter = RateLimiter(per_minute=15, burst=5)

    def admitted(self, site: str, now: float, times: int = 1) -> int:
        """How many of so many lines are written."""
        return sum(self.limiter.admit(site, now) is not None for _ in range(times))

    def test_burst_then_rate(self) -> None:
        """A place may write some lines at once, and then as many as time gives it."""
        self.assertEqual(self.admitted("a", 100, 20), 5)
        self.assertEqual(self.admitted("a", 103, 20), 0)
        self.assertEqual(self.admitted("a", 108, 20), 2)

    def test_full_again(self) -> None:
        """However long it was silent, it may write no more at once than at the beginning."""
        self.admitted("a", 100, 20)
        self.assertEqual(self.admitted("a", 100_000, 20), 5)

    def test_apart(self) -> None:
        """One place does not silence another."""
        self.admitted("a", 100, 20)
        self.assertEqual(self.admitted("b", 100, 20), 5)

    def test_dropped(self) -> None:
        """What was dropped is said once, with the next line."""
        self.admitted("a", 100, 5)
        self.admitted("a", 101, 2)
        self.admitted("a", 103, 3)
        dropped = self.limiter.admit("a", 107)
        assert dropped is not None
        self.assertEqual((dropped.count, dropped.first, dropped.last), (5, 101, 103))
        self.assertEqual(
            dropped.text(107),
            "Dropped 5 log messages in last 6 seconds (most recently, 4 seconds ago) "
            "due to excessive rate",
        )
        following = self.limiter.admit("a", 120)
        assert following is not None
        self.assertEqual(following.count, 0)
        self.assertEqual(self.limiter.dropped, 5)

    def test_clock_set_back(self) -> None:
        """A clock that is set back neither gives nor takes."""
        self.assertEqual(self.admitted("a", 100, 3), 3)
        self.assertEqual(self.admitted("a", 10, 20), 2)
        self.assertEqual(self.admitted("a", 16, 20), 1)

    def test_bounded(self) -> None:
        """The place that was silent longest is forgotten when there are too many."""
        self.admitted("a", 100, 5)
        self.admitted("b", 100, 5)
        self.admitted("a", 100)
        for number in range(MAX_SITES - 1):
            self.admitted(str(number), 100)
        self.assertEqual(self.admitted("a", 100), 0)
        self.assertEqual(self.admitted("b", 100), 1)
