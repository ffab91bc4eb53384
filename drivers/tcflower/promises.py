"""Answers that somebody waits for, and gets even when the driver is stopped before they have come.

What was asked of the kernel by then is answered no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Promises:
    """See the module."""

    def __init__(self) -> None:
        self._open: dict[Deferred[Any], Callable[[], Any]] = {}

    def keep(self, answer: Deferred[T], otherwise: Callable[[], T]) -> Deferred[T]:
        """Promise an answer.

        :param otherwise: what it is if the driver is stopped before it has come.
        :returns: fires with either, and is ``called`` only then: ``answer`` may be while it still
            waits for another.
        """
        told: Deferred[T] = Deferred()
        self._open[told] = otherwise

        def come(result: Any) -> None:
            # Otherwise it comes too late.
            if self._open.pop(told, None) is not None:
                told.callback(result)

        answer.addBoth(come)
        return told

    def end(self) -> None:
        """Answer all that are open."""
        while self._open:
            told, otherwise = self._open.popitem()
            told.callback(otherwise())
