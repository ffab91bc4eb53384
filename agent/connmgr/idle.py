"""What a session keeps for its peer, which is to use it within some time.

Time in which we do not execute what the peer has sent does not count: it may well have used it long
ago, as far as it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INTERVAL: Final = 1.0
"""Seconds between two looks for what is not used."""


class Kept(Protocol):
    """Something that is kept."""

    used: float
    """When it was last used, in seconds of the clock."""


class Busy(Protocol):
    """A session."""

    @property
    def held_up(self) -> bool:
        """Whether we do not execute now what the peer may have sent."""


K = TypeVar("K", bound=Kept)


class IdleCheck(Generic[K]):
    """Finds what was not used for too long."""

    __slots__ = ("_call", "_clock", "_expired", "_kept", "_seconds", "_session")

    def __init__(
        self,
        clock: IReactorTime,
        session: Busy,
        kept: Mapping[int, K],
        seconds: float,
        expired: Callable[[K], object],
    ) -> None:
        """:param kept: what there is; may change at any time.
        :param seconds: how long something may lie unused.
        :param expired: called with what lay so long; takes it out.
        """
        self._clock = clock
        self._session = session
        self._kept = kept
        self._seconds = seconds
        self._expired = expired
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """There is something to look after; nothing happens if there was before."""
        if self._call is None:
            self._call = self._clock.callLater(INTERVAL, self._look)

    def stop(self) -> None:
        """There is nothing any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = self._clock.callLater(INTERVAL, self._look)
        now = self._clock.seconds()
        for one in list(self._kept.values()):
            if self._session.held_up:
                one.used = now
            elif now - one.used >= self._seconds:
                self._expired(one)
