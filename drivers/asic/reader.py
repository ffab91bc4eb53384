"""Reads of counters: slow, one after the other.

The switch's CPU reads them over the bus while the chip goes on, so that a read delays other reads
and no operation.  (Nobody measured by how much writes slow down meanwhile.)  What is read is what
has been counted when the read ends.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall


class Reader:
    """Whoever reads counters.

    :ivar read: seconds of a read, whatever is read.
    :ivar each: more for each entry.
    """

    def __init__(self, read: float, each: float) -> None:
        self.read = read
        self.each = each
        self._clock: Any = None
        self._until = 0.0
        self._waiting: deque[tuple[IDelayedCall, Deferred[None]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def power_on(self, clock: Any) -> None:
        """Begin.

        :param clock: ``seconds()`` and ``callLater()``.
        """
        self._clock = clock

    def power_off(self) -> None:
        """End: whoever waits has what there is."""
        self._clock = None
        while self._waiting:
            timer, done = self._waiting.popleft()
            timer.cancel()
            done.callback(None)

    def wait(self, count: int) -> Deferred[None]:
        """Read the counters of so many entries; fires when that is done."""
        seconds = self.read + count * self.each
        if not seconds or not count or self._clock is None:
            return succeed(None)
        now = self._clock.seconds()
        self._until = max(self._until, now) + seconds
        done: Deferred[None] = Deferred()
        timer = self._clock.callLater(self._until - now, self._end)
        self._waiting.append((timer, done))
        return done

    def _end(self) -> None:
        """Reads end in the order in which they began."""
        self._waiting.popleft()[1].callback(None)
