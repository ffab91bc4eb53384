"""The message of a session that waits, and the condition that it waits for.

::

            put()                the condition clears            take()
    nobody ------> waits for it ----------------------> ready ----------> nobody, or waits again

A message that runs again may have to wait for something else: it is then still the same that waits,
and has waited since it was first put here.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from agent.connmgr.traffic import Traffic
from agent.ofproto.conditions import Condition
from agent.openflow.messages import Message


class Postponement:
    """See the module.

    :ivar condition: what the message waits for, or has waited for; None: there is none.
    :ivar ready: whether the condition has cleared.
    """

    __slots__ = (
        "_cleared",
        "_clock",
        "_message",
        "_put_at",
        "_since",
        "_traffic",
        "_waiter",
        "condition",
        "ready",
    )

    def __init__(
        self, clock: IReactorTime, traffic: Traffic, cleared: Callable[[], object]
    ) -> None:
        """:param traffic: counts how long was waited for what.
        :param cleared: called when a message may run again, but not by it: who has cleared the
            condition is not to be re-entered.
        """
        self._clock = clock
        self._traffic = traffic
        self._cleared = cleared
        self._message: tuple[Message, bytes] | None = None
        self._put_at = 0.0
        self._since: float | None = None
        self._waiter: Deferred[None] | None = None
        self.condition: Condition | None = None
        self.ready = False

    @property
    def waiting_for(self) -> str | None:
        """What the message waits for; None when there is none."""
        return None if self.condition is None else self.condition.describe()

    @property
    def xid(self) -> int | None:
        """The message's xid; None when there is none."""
        return None if self._message is None else self._message[0].xid

    @property
    def kind(self) -> str | None:
        """What the message is, like ``BarrierRequest``; None when there is none."""
        return None if self._message is None else type(self._message[0]).__name__

    @property
    def period(self) -> tuple[float, float]:
        """When the message that waits, or is being run again, was first postponed, and now; twice
        now, if none was."""
        now = self._clock.seconds()
        return now if self._since is None else self._since, now

    @property
    def waited(self) -> float:
        """Seconds of that."""
        since, now = self.period
        return now - since

    def put(self, message: Message, frame: bytes, condition: Condition) -> None:
        """A message has to wait."""
        self._message = (message, frame)
        self.condition = condition
        self._put_at = self._clock.seconds()
        if self._since is None:
            self._since = self._put_at
        self._waiter = condition.wait()
        self._waiter.addCallbacks(self._over, self._given_up)

    def take(self) -> tuple[Message, bytes] | None:
        """The message, with its frame, if it is to be run again; :meth:`done` or :meth:`put`
        follows."""
        if not self.ready:
            return None
        self.ready = False
        message, self._message = self._message, None
        self.condition = self._waiter = None
        return message

    def done(self) -> None:
        """The message that was taken has not to wait any more."""
        self._since = None

    def stop(self) -> None:
        """The session is over; the message will not be run."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.cancel()
        self._message = self.condition = None
        # It refers to the session: leave no circle behind.
        del self._cleared

    def _over(self, _: None) -> None:
        if self.condition is not None:
            waited = self._clock.seconds() - self._put_at
            self._traffic.waits[self.condition.reason].add(waited)
        self.ready = True
        self._cleared()

    @staticmethod
    def _given_up(failure: Failure) -> None:
        """The waiter was cancelled, with the session."""
        failure.trap(CancelledError)
