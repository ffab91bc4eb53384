"""How many packets a second a controller is sent, and whose.

A port that floods the switch with packets nobody has a rule for could keep a controller from
everything else, and from the packets of all other ports.  So packets for a controller go through a
token bucket.  Those that find it empty wait in one queue a port; the queues are served in turn, and
when they are full together the longest loses its oldest packet.

Names and figures are those of Open vSwitch (``ofproto/pinsched.c``).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")

BATCH: Final = 50
"""How many packets leave the queues in one turn of the reactor at most."""
TICK: Final = 0.01
"""Seconds between two turns with something to send, if the bucket is large enough to wait."""

_NEARLY_ONE: Final = 1 - 1e-9


class TokenBucket:
    """Lets through ``rate`` tokens a second, and after a pause ``burst`` at once.

    :ivar rate: tokens a second.
    :ivar burst: tokens that it holds; it is full at first.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def withdraw(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < _NEARLY_ONE:
            return False
        self._tokens -= 1
        return True

    def wait(self) -> float:
        """Seconds until there will be a token, or some; after one could not be withdrawn."""
        one = (1 - self._tokens) / self.rate
        full = (self.burst - self._tokens) / self.rate
        return max(one, min(TICK, full))


class PacketInScheduler(Generic[T]):
    """The packets of one kind for one controller.

    :ivar queued: packets that wait now.
    :ivar normal: packets that did not have to wait.
    :ivar limited: packets that had to.
    :ivar dropped: packets that were dropped from a queue.
    """

    __slots__ = (
        "_bucket",
        "_call",
        "_clock",
        "_queues",
        "_send",
        "dropped",
        "limited",
        "normal",
        "queued",
    )

    def __init__(
        self, clock: IReactorTime, rate: int, burst: int, send: Callable[[T], None]
    ) -> None:
        """
        :param rate: packets a second.
        :param burst: packets that may be sent at once after a pause, and that may wait; 0: a
            quarter of the rate.
        :param send: sends a packet.
        """
        self.queued = self.normal = self.limited = self.dropped = 0
        self._clock = clock
        self._bucket = TokenBucket(rate, max(1, burst or rate // 4), clock.seconds())
        self._send = send
        # The next to be served is the first.
        self._queues: OrderedDict[int, deque[T]] = OrderedDict()
        self._call: IDelayedCall | None = None

    def set_limits(self, rate: int, burst: int) -> None:
        """Go on with other limits; with a rate of 0, all that waits is sent."""
        if rate:
            self._bucket = TokenBucket(rate, max(1, burst or rate // 4), self._clock.seconds())
        while self.queued > (self._bucket.burst if rate else 0):
            if rate:
                self._drop()
            else:
                self._send_next()

    def offer(self, in_port: int, packet: T) -> None:
        """Send a packet that came in on ``in_port``, now, later, or not at all."""
        if not self.queued and self._bucket.withdraw(self._clock.seconds()):
            self.normal += 1
            self._send(packet)
            return
        if self.queued >= self._bucket.burst:
            self._drop()
        self._queues.setdefault(in_port, deque()).append(packet)
        self.queued += 1
        self.limited += 1
        if self._call is None:
            self._call = self._clock.callLater(self._bucket.wait(), self._run)

    def stop(self) -> None:
        """Forget what waits."""
        self._queues.clear()
        self.queued = 0
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _run(self) -> None:
        """Send what may be sent now, one packet of each port in turn."""
        self._call = None
        now = self._clock.seconds()
        left = BATCH
        while self.queued and left and self._bucket.withdraw(now):
            left -= 1
            self._send_next()
        if self.queued and self._call is None:
            wait = self._bucket.wait() if left else 0
            self._call = self._clock.callLater(wait, self._run)

    def _send_next(self) -> None:
        """Send a packet of the port whose turn it is."""
        in_port, queue = self._queues.popitem(last=False)
        packet = queue.popleft()
        self.queued -= 1
        if queue:
            self._queues[in_port] = queue
        self._send(packet)

    def _drop(self) -> None:
        """Drop the oldest packet of the longest queue."""
        in_port, longest = max(self._queues.items(), key=lambda item: len(item[1]))
        longest.popleft()
        if not longest:
            del self._queues[in_port]
        self.queued -= 1
        self.dropped += 1
