"""Long work in short slices, so that nobody else has to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure

SLICE: Final = 0.005
"""Seconds of work before others have their turn."""


def in_slices(clock: IReactorTime, work: Iterator[object]) -> Deferred[None]:
    """Go through an iterator, a few steps in each turn of the reactor.

    :returns: fires at its end, or fails as it does.  Cancelling it stops the work.
    """

    def budget() -> Callable[[], bool]:
        end = clock.seconds() + SLICE
        return lambda: clock.seconds() >= end

    task = Cooperator(budget, scheduler=lambda run: clock.callLater(0, run)).cooperate(work)
    result: Deferred[None] = Deferred(lambda _: task.stop())

    def failed(failure: Failure) -> None:
        if not failure.check(TaskStopped):
            result.errback(failure)

    task.whenDone().addCallbacks(lambda _: result.callback(None), failed)
    return result
