"""What the hardware is asked, and how long the agent waits for an answer.

A driver answers by a Deferred, and a driver that is broken may never fire it.  Whoever waits must
not wait for ever: a controller for its statistics, and with them for its barrier; a rule for its
end.  So each question has the watchdog's time, as operations have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.openflow.errors import REQUEST_EPERM, OpenFlowError
from agent.openflow.messages import PortStats
from drivers.abilities import ICounts
from drivers.interfaces import Entry, IDriver, TableCounters

T = TypeVar("T")

ENTRIES: Final = "the counters of rules"


class NoAnswerError(OpenFlowError):
    """The driver has not answered in time.

    There is no error for that in OpenFlow; "permissions error" is what Open vSwitch says of what it
    cannot do now.
    """

    def __init__(self, text: str) -> None:
        super().__init__(REQUEST_EPERM, text)


class Reads:
    """Asks one driver.

    :ivar unanswered: how many questions it has not answered in time.
    """

    _log = Logger()

    def __init__(
        self, bridge: str, driver: IDriver, clock: IReactorTime, patience: Callable[[], float]
    ) -> None:
        """:param patience: for how many seconds an answer is waited for; 0: for ever."""
        self.unanswered = 0
        self._bridge = bridge
        self._driver = driver
        self._counts = ICounts(driver, None)
        self._clock = clock
        self._patience = patience
        self._timers: dict[Deferred[Any], IDelayedCall] = {}
        self._given_up: set[Deferred[Any]] = set()

    def refresh(self, entries: Sequence[Entry]) -> Deferred[None]:
        """See :meth:`drivers.interfaces.IDriver.refresh`, like the rest; fails with
        :class:`NoAnswerError` when the time is over."""
        return self._bounded(ENTRIES, self._driver.refresh(entries))

    def refresh_or_not(self, entries: Sequence[Entry], when: bool = False) -> Deferred[None]:
        """The same, but where there is no answer the counters are taken as they are.

        :param when: whether it matters when these were used last; some drivers are faster without.
        """

        def unknown(failure: Failure) -> None:
            failure.trap(NoAnswerError)

        if when or self._counts is None:
            return self.refresh(entries).addErrback(unknown)
        answer = self._counts.refresh_counts(entries)
        return self._bounded(ENTRIES, answer).addErrback(unknown)

    def port_stats(self) -> Deferred[list[PortStats]]:
        """The counters of every port."""
        return self._bounded("the counters of ports", self._driver.port_stats())

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """The counters of the tables."""
        return self._bounded("the counters of tables", self._driver.table_stats())

    def stop(self) -> None:
        """Let go of all timers: nobody waits any more, and the driver is about to stop."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _bounded(self, what: str, answer: Deferred[T]) -> Deferred[T]:
        seconds = self._patience()
        if answer.called or not seconds:
            return answer
        text = f"the driver has not said {what} for {seconds:g} s"
        self._timers[answer] = self._clock.callLater(seconds, self._give_up, answer)

        def over(result: Any) -> Any:
            timer = self._timers.pop(answer, None)
            if answer not in self._given_up:
                if timer is not None:
                    timer.cancel()
                return result
            self._given_up.discard(answer)
            self.unanswered += 1
            self._log.error("{bridge}: {text}", bridge=self._bridge, text=text)
            return Failure(NoAnswerError(text))

        return answer.addBoth(over)

    def _give_up(self, answer: Deferred[Any]) -> None:
        """The time is over; what the driver says later is ignored."""
        del self._timers[answer]
        self._given_up.add(answer)
        answer.cancel()
