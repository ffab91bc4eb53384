"""Is the peer still there?  An echo request after some silence, and the end after some more.

Two kinds of silence are not held against a peer: while we do not read what it sends (back-pressure
is our doing), and whatever else its owner excuses.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Probed(Protocol):
    """Who is probed."""

    def last_heard(self) -> float:
        """When the peer last sent anything, in seconds of the clock."""

    def silence_excused(self) -> bool:
        """Whether it cannot be expected, or heard, to say anything now."""

    def probe(self) -> None:
        """Send an echo request."""

    def probe_failed(self) -> None:
        """The peer has been silent for two intervals.  The probe has stopped."""


class InactivityProbe:
    """Watches one peer.

    :ivar interval: seconds of silence before an echo request, and again before the end; 0: no
        probe at all.
    :ivar probing: whether an echo request has been sent, and nothing has come since.
    """

    __slots__ = ("_asked_at", "_call", "_clock", "_excused_at", "_probed", "interval", "probing")

    def __init__(self, clock: IReactorTime, interval: float, probed: Probed) -> None:
        self.interval = interval
        self.probing = False
        self._clock = clock
        self._probed = probed
        self._asked_at = 0.0
        self._excused_at = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin an interval."""
        if self.interval:
            self._call = self._clock.callLater(self.interval, self._check)

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _check(self) -> None:
        now = self._clock.seconds()
        if self._probed.silence_excused():
            self._excused_at = now
        heard = max(self._probed.last_heard(), self._excused_at)
        silence = now - heard
        wait = self.interval
        if self.probing and heard < self._asked_at:
            self._call = None
            self._probed.probe_failed()
            return
        # Timers are not exact: what is short of an interval by less than a thousandth is one.
        self.probing = silence >= self.interval * 0.999
        if self.probing:
            self._asked_at = now
            self._probed.probe()
        else:
            wait -= silence
        self._call = self._clock.callLater(wait, self._check)
