"""Tests of :mod:`agent.ofproto.conditions`."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.conditions import Condition, Postponed


class ConditionTests(SynchronousTestCase):
    """Whoever waits is woken once, when the condition clears, and not before."""

    def setUp(self) -> None:
        """Make a condition that holds."""
        self.condition = Condition()

    def test_wait(self) -> None:
        """Everybody who waits is woken when it clears, in the order of their arrival."""
        woken: list[int] = []

        def note(number: int, _: None) -> None:
            woken.append(number)

        for number in range(3):
            waiter = self.condition.wait()
            self.assertNoResult(waiter)
            waiter.addCallback(partial(note, number))
        self.assertFalse(self.condition.cleared)
        self.condition.clear()
        self.assertTrue(self.condition.cleared)
        self.assertEqual(woken, [0, 1, 2])

    def test_cleared(self) -> None:
        """Whoever comes after it has cleared does not wait."""
        self.condition.clear()
        self.assertIsNone(self.successResultOf(self.condition.wait()))

    def test_cancel(self) -> None:
        """A waiter who gives up leaves no trace, and the others are woken."""
        gone = self.condition.wait()
        stays = self.condition.wait()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        assert self.condition._waiters is not None
        self.assertEqual(list(self.condition._waiters), [stays])
        self.condition.clear()
        self.successResultOf(stays)

    def test_cancel_while_clearing(self) -> None:
        """One who is woken may make another give up, who is next in line; the rest are woken."""
        first = self.condition.wait()
        second = self.condition.wait()
        third = self.condition.wait()
        first.addCallback(lambda _: second.cancel())
        self.condition.clear()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)

    def test_waiter_fails(self) -> None:
        """What goes wrong with one who is woken is not the business of the others."""
        first = self.condition.wait().addCallback(lambda _: 1 // 0)
        second = self.condition.wait()
        self.condition.clear()
        self.failureResultOf(first, ZeroDivisionError)
        self.successResultOf(second)

    def test_postponed(self) -> None:
        """A handler that has to wait says for what."""
        self.assertIs(Postponed(self.condition).condition, self.condition)
