"""Tests of :mod:`agent.admin.commands_bridges`."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.commands_bridges import collect
from agent.admin.slices import SLICE


class CollectTests(SynchronousTestCase):
    """Answers that take long."""

    def setUp(self) -> None:
        """A clock, and how many lines were made."""
        self.clock = Clock()
        self.made = 0

    def lines(self, count: int, seconds: float) -> Iterator[str]:
        """Lines, each of which takes some time to make."""
        for number in range(count):
            self.made += 1
            self.clock.rightNow += seconds
            yield str(number)

    def turn(self) -> None:
        """Run what is due now, and not what this makes due."""
        due, self.clock.calls = self.clock.calls, []
        for call in due:
            call.func(*call.args, **call.kw)

    def test_joined(self) -> None:
        """The lines come out joined, in order; none is an empty text."""
        for count in (0, 1, 1000):
            result = collect(self.clock, self.lines(count, 0))
            self.clock.advance(0)
            self.assertEqual(
                self.successResultOf(result), "\n".join(str(number) for number in range(count))
            )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slices(self) -> None:
        """In one turn, lines are made for so long and no longer."""
        result = collect(self.clock, self.lines(20, SLICE / 4))
        self.assertEqual(self.made, 0)
        self.turn()
        self.assertEqual(self.made, 4)
        self.turn()
        self.assertEqual(self.made, 8)
        self.assertNoResult(result)
        for _ in range(4):
            self.turn()
        self.assertEqual(len(self.successResultOf(result).split("\n")), 20)

    def test_cancelled(self) -> None:
        """Cancelling it stops the work, and leaves no timer."""
        result = collect(self.clock, self.lines(20, SLICE / 4))
        self.turn()
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.clock.advance(1)
        self.assertEqual(self.made, 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed(self) -> None:
        """A mistake in making a line is the outcome."""

        def broken() -> Iterator[str]:
            yield "a"
            raise RuntimeError("oops")

        result = collect(self.clock, broken())
        self.turn()
        self.failureResultOf(result, RuntimeError)
