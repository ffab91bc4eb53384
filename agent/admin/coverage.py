"""Counters of events: how often something has happened since the agent started, and how often of
late (``coverage/show``).

A counter is for a place in the code that is passed often and whose frequency tells something to
whoever looks for the cause of a problem.  Counting costs one addition::

    _received = coverage.counter("unixctl_received")
    ...
    _received.count += 1

What is counted elsewhere already, like messages in a connection, is not counted twice: it is shown
by :meth:`Coverage.watch`, which is given a function that reads it.  So the packages that must not
know this one need not.

Rates are averages over the last five seconds, minute and hour, from totals that are noted every
five seconds; a counter itself knows nothing of time.  As in Open vSwitch, the hour's average is of
3600 s from the beginning, and so too small in the first hour.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

INTERVAL: Final = 5.0
"""Seconds between two notes of the totals."""

_PER_MINUTE: Final = 12
"""Intervals in a minute."""
_PER_HOUR: Final = 60
"""Minutes in an hour."""


class Counter:
    """A number that only grows.

    :ivar name: what it counts, in lower case with underscores: an event, in the past tense where
        that makes it clearer.
    :ivar count: how many there were; whoever counts adds to it.
    """

    __slots__ = ("count", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0


@attrs.frozen
class Rates:
    """How often something happened of late, in events per second.

    :ivar interval: over the last :data:`INTERVAL` that is complete.
    :ivar minute: over the last minute.
    :ivar hour: over the last hour.
    :ivar total: events, ever.
    """

    interval: float
    minute: float
    hour: float
    total: int


class _History:
    """The totals that were noted of one counter, the last one last.

    They begin with that of the moment when the counter was made, over and over, as if nothing had
    happened before.
    """

    __slots__ = ("hour", "minute", "read", "ticks")

    def __init__(self, read: Callable[[], int]) -> None:
        total = read()
        self.read = read
        self.minute = deque([total] * (_PER_MINUTE + 1), _PER_MINUTE + 1)
        self.hour = deque([total] * (_PER_HOUR + 1), _PER_HOUR + 1)
        self.ticks = 0

    def note(self, intervals: int) -> None:
        """Some intervals have passed; what happened in them is spread over them evenly."""
        before = self.minute[-1]
        grown = self.read() - before
        for passed in range(1, intervals + 1):
            total = before + grown * passed // intervals
            self.minute.append(total)
            self.ticks += 1
            if self.ticks % _PER_MINUTE == 0:
                self.hour.append(total)

    def rates(self) -> Rates:
        """What the notes say."""
        minute = self.minute
        return Rates(
            (minute[-1] - minute[-2]) / INTERVAL,
            (minute[-1] - minute[0]) / 60,
            # 59 minutes and the part of this one, or 60 minutes just when one has passed.
            (minute[-1] - self.hour[1 if self.ticks % _PER_MINUTE else 0]) / 3600,
            self.read(),
        )


class Coverage:
    """Counters by name.

    There is one for the process, made with this module, for there is one process to be explained;
    tests make their own.
    """

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._histories: dict[str, _History] = {}
        self._loop: LoopingCall | None = None

    # --- counting ----------------------------------------------------------------------------

    def counter(self, name: str) -> Counter:
        """The counter of this name; it is made when there is none."""
        found = self._counters.get(name)
        if found is None:
            counter = found = Counter(name)
            self.watch(name, lambda: counter.count)
            self._counters[name] = found
        return found

    def watch(self, name: str, read: Callable[[], int]) -> None:
        """Show what is counted elsewhere.

        :param read: how many there were; never less than before.
        :raises ValueError: when there is one of that name.
        """
        if name in self._histories:
            raise ValueError(f"there is a counter {name} already")
        self._histories[name] = _History(read)

    def unwatch(self, name: str) -> None:
        """Forget a counter that :meth:`watch` was given.

        :raises KeyError: when there is none.
        """
        del self._histories[name]

    # --- time --------------------------------------------------------------------------------

    def start(self, clock: IReactorTime) -> None:
        """Note totals from now on, so that there are rates."""
        self._loop = LoopingCall.withCount(self._note)
        self._loop.clock = clock
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Note no more."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _note(self, intervals: int) -> None:
        # After more than an hour's sleep there is nothing to be seen of what was before.
        intervals = min(intervals, _PER_MINUTE * (_PER_HOUR + 1))
        for history in self._histories.values():
            history.note(intervals)

    # --- looking -----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[str]:
        """The names, in alphabetical order."""
        return iter(sorted(self._histories))

    def total(self, name: str) -> int:
        """How many there were, ever.

        :raises KeyError: when there is no such counter.
        """
        return self._histories[name].read()

    def rates(self, name: str) -> Rates:
        """How many there were of late.

        :raises KeyError: when there is no such counter.
        """
        return self._histories[name].rates()

    def show(self) -> str:
        """All counters that ever counted, as ``coverage/show`` prints them."""
        lines = []
        never = 0
        totals = []
        for name in self:
            rates = self.rates(name)
            if not rates.total:
                never += 1
                continue
            totals.append((-rates.total, name))
            lines.append(
                f"{name:<24} {rates.interval:5.1f}/sec {rates.minute:9.3f}/sec "
                f"{rates.hour:13.4f}/sec   total: {rates.total}"
            )
        # Two processes that do the same have the same order of frequencies, and so the same hash.
        order = ",".join(name for _, name in sorted(totals))
        hashed = zlib.crc32(order.encode())
        head = (
            f"Event coverage, avg rate over last: {INTERVAL:.0f} seconds, last minute, "
            f"last hour,  hash={hashed:08x}:"
        )
        return "\n".join([head, *lines, f"{never} events never hit"])


process: Final = Coverage()
"""The counters of this process."""

counter: Final = process.counter
"""A counter of this process; see :meth:`Coverage.counter`."""
