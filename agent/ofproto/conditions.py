"""What a request can wait for.

A request that cannot be executed yet is *postponed*: its handler, which has had no side effect,
raises :class:`Postponed` with the one :class:`Condition` that stands in the way.  The connection
keeps the message and a Deferred of that condition, and runs the message again, from the start, when
it fires.  Nobody polls, and nothing is retried but what waited for the very thing that happened:
one completion costs the same whether one connection waits for something else or a thousand do.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import Deferred, succeed


class Condition:
    """Something that holds now and will clear once.

    The slots of subclasses which are made for every request are few, and the set of waiters is made
    only when somebody waits.

    :cvar reason: what kind of thing it is, in a word or two; for metrics.
    """

    reason: ClassVar[str] = "condition"

    __slots__ = ("_cleared", "_waiters")

    def __init__(self) -> None:
        self._cleared = False
        self._waiters: dict[Deferred[None], None] | None = None

    @property
    def cleared(self) -> bool:
        """Whether it no longer holds."""
        return self._cleared

    def wait(self) -> Deferred[None]:
        """A Deferred that fires when the condition clears; at once if it has.

        Cancelling it removes it without a trace.
        """
        if self._cleared:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._forget)
        if self._waiters is None:
            self._waiters = {}
        self._waiters[waiter] = None
        return waiter

    def clear(self) -> None:
        """Let everybody who waits go on.  They must not re-enter whoever clears it."""
        self._cleared = True
        waiters, self._waiters = self._waiters, None
        if waiters is not None:
            for waiter in waiters:
                if not waiter.called:  # one who was woken before it may have cancelled it
                    waiter.callback(None)

    def describe(self) -> str:
        """What is waited for, for people."""
        raise AssertionError("every kind of condition describes itself")

    def _forget(self, waiter: Deferred[None]) -> None:
        if self._waiters is not None:
            self._waiters.pop(waiter, None)


class Postponed(Exception):
    """Raised by a handler which had no side effect: run it again when ``condition`` clears.

    :ivar condition: what it waits for.
    """

    def __init__(self, condition: Condition) -> None:
        super().__init__(condition)
        self.condition = condition
