"""The watchdog: operations that a driver never completes are found, and given up.

It only says which; what that means is up to the ledger (:mod:`agent.ofproto.ledger`).  Slow is not
dead: while the hardware gets on with what came before, what is in line behind it need not worry,
for slow hardware may be busy with one large request for far longer than the watchdog sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agent.ofproto.operations import OperationGroup

LOOKS: Final = 8
"""How often the watchdog looks within the time that it gives the driver."""


class Watchdog:
    """See the module.

    :ivar seconds: without progress, after which a group is given up; 0: never.
    :ivar groups: what it watches, oldest first.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        groups: Collection[OperationGroup],
        give_up: Callable[[OperationGroup], object],
        halted: Callable[[], bool],
    ) -> None:
        """It sleeps until :meth:`wake`.

        :param give_up: ends a group, or begins to undo what was done of it.
        :param halted: whether somebody has halted the hardware on purpose.
        """
        self.seconds = seconds
        self.groups = groups
        self._clock = clock
        self._give_up = give_up
        self._halted = halted
        self._was_halted = False
        self._excused = 0.0
        self._look = 0.0
        self._call: IDelayedCall | None = None

    def wake(self) -> None:
        """There is something to watch from now on; harmless when there was."""
        if self._call is None and self.seconds:
            self._look_again(self.seconds / LOOKS)

    def stop(self) -> None:
        """Let go of the timer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def set(self, seconds: float) -> None:
        """Change :attr:`seconds`; what is in flight now has all of that time from now on."""
        self.seconds = seconds
        self._excused = self._clock.seconds()
        self.stop()
        if self.groups:
            self.wake()

    def slow(self, seconds: float) -> bool:
        """Whether something that took this long may have kept others from their turn."""
        return bool(self.seconds) and seconds > self.seconds / 2

    def _look_again(self, delay: float) -> None:
        self.stop()
        self._look = self._clock.seconds() + delay
        self._call = self._clock.callLater(delay, self._bark)

    def _bark(self) -> None:
        """Give up what the driver should have completed long ago."""
        self._call = None
        now = self._clock.seconds()
        halted = self._halted()
        if halted or self._was_halted or now > self._look + self.seconds / LOOKS:
            # An operator has halted the hardware, or the whole process stood still, which may not
            # have read yet what the hardware has to say: its time starts anew when it goes on.
            self._excused = now
        self._was_halted = halted
        again = self.seconds / LOOKS
        latest = self._excused
        for group in list(self.groups):
            latest = max(latest, group.progress)
            due = latest + self.seconds
            if due > now:
                again = min(again, due - now)
                break
            self._give_up(group)
        if self.groups:
            self._look_again(again)
