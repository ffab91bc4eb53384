"""The way from the chip to the switch's CPU: slow, and narrow.

What the chip cannot do itself it leaves to the CPU: packets for the controllers, NORMAL, and what
hits an entry in software.  Each packet takes as long to get there as was measured of a packet-in,
and so many are under way at most; what comes beyond that is dropped, and counted.  They arrive in
the order in which they left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

MAX_TURN: Final = 100
"""How many packets arrive in one turn of the reactor at most, so that it can do other things."""

_SOON: Final = 1e-9
"""Seconds by which a timer may be early: sums of floating-point numbers are not exact."""


class Cpu:
    """The CPU, and what is on its way there.

    :ivar latency: seconds from the chip to the CPU; 0: it is there at once.
    :ivar size: how many packets may be on their way.
    :ivar working: whether the CPU is busy with a packet now: what that asks for needs no way.
    :ivar handled: how many packets have arrived.
    :ivar dropped: how many found no room.
    """

    def __init__(self, latency: float, size: int) -> None:
        self.latency = latency
        self.size = size
        self.working = False
        self.handled = 0
        self.dropped = 0
        self._clock: Any = None
        self._way: deque[tuple[float, Callable[[], object]]] = deque()
        self._timer: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """How many packets are on their way."""
        return len(self._way)

    def power_on(self, clock: Any) -> None:
        """Begin to take packets.

        :param clock: ``seconds()`` and ``callLater()``.
        """
        self._clock = clock

    def power_off(self) -> None:
        """Lose what is on its way, and take nothing any more."""
        self._clock = None
        self._way.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self, work: Callable[[], object]) -> None:
        """Have a packet handled by the CPU when it has got there.

        :param work: what is to be done then.  It must hold whatever it needs of the packet as it is
            now.
        """
        if not self.latency:
            self._handle(work)
        elif self._clock is not None:
            if len(self._way) >= self.size:
                self.dropped += 1
                return
            self._way.append((self._clock.seconds() + self.latency, work))
            if self._timer is None:
                self._timer = self._clock.callLater(self.latency, self._arrive)

    def _handle(self, work: Callable[[], object]) -> None:
        self.handled += 1
        before, self.working = self.working, True
        try:
            work()
        finally:
            self.working = before

    def _arrive(self) -> None:
        """The timer: the next packets are there."""
        self._timer = None
        way = self._way
        due = self._clock.seconds() + _SOON
        try:
            for _ in range(MAX_TURN):
                if not way or way[0][0] > due:
                    break
                self._handle(way.popleft()[1])
        finally:
            # What was handled may have switched the power off, and on its way more may have come.
            if way and self._timer is None and self._clock is not None:
                wait = max(0.0, way[0][0] - self._clock.seconds())
                self._timer = self._clock.callLater(wait, self._arrive)
