"""How late the reactor is: what everybody waits for who waits for nothing else."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agent.ofproto.histogram import Histogram

INTERVAL: Final = 0.5
"""Seconds between two looks."""


class ReactorLag:
    """Sets a timer again and again, and notes how late it is.

    :ivar histogram: seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.histogram = Histogram()
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin."""
        self._due = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        self.histogram.add(max(0.0, self._clock.seconds() - self._due))
        self.start()
