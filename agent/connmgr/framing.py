"""From a stream of bytes to frames, and back: one transport's share of a fair, bounded agent.

:class:`FrameProtocol` cuts what arrives into frames and gives them, one at a time, to a receiver
(:class:`agent.connmgr.ofconn.OFConn`); it does not know what they mean, beyond the few header
fields that framing itself needs.  What it is for is that no peer can make the agent slow, large or
unfair:

- A header is judged before what it announces is buffered.
- A connection has so many messages a turn of the reactor, and so much time, then others go first.
- When the receiver cannot go on (its message waits for the hardware), frames that arrive are kept,
  up to a bound, and those that may overtake (echo requests) are offered at once.
- When the peer does not read its replies, its requests are no longer executed, nor read.

Bytes are copied a bounded number of times.  A chunk that arrives when nothing is left over is cut
up in place; otherwise it goes to the end of a ``bytearray``, which is joined to what is left over
once there is enough for a whole frame, so that each joining pays for itself.  (Appending to
``bytes`` is quadratic for a peer who sends a byte at a time; a view over a growing buffer is a
class of bug of its own.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from agent.connmgr.replies import BATCH, ReplyQueue
from agent.connmgr.settings import DEFAULT_LIMITS, Limits
from agent.openflow.codec import MAX_LENGTH, MIN_LENGTH
from agent.openflow.errors import HELLO_INCOMPATIBLE, REQUEST_BAD_LEN, ErrorCode

_HELLO: Final = 0
"""``OFPT_HELLO`` in every version."""

_TLS_RECORDS: Final = range(0x14, 0x18)
_TLS_MAJOR: Final = 3
"""The first two bytes of whatever TLS says (RFC 8446, section 5.1)."""

Tap = Callable[[bytes, bool], None]
"""Sees a frame, and whether we have sent it."""

_LOOK_AT_CLOCK: Final = 5
"""After how many messages it is seen whether a turn has lasted long enough."""

_HEAD: Final = 64
"""Bytes shown of what is no frame; as many as an error carries."""


@implementer(IPushProducer)
class FrameProtocol(Protocol):
    """The frames of one transport.

    :ivar last_received: when bytes last arrived, in seconds of the clock.
    :ivar received: frames given to the receiver.
    :ivar sent: messages sent.
    :ivar sent_types: where they are counted by type.
    :ivar reading: whether the transport is being read; not while there is enough to do.
    :ivar taps: see each frame that is given to the receiver, and each that is sent (True).
    :ivar lost: whether the transport is gone, or is being closed.
    :ivar transport: whose consumer and producer sides are used as well.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, receiver: Any, limits: Limits = DEFAULT_LIMITS) -> None:
        """:param receiver: provides :class:`agent.connmgr.interfaces.IFrameReceiver`."""
        self.last_received = clock.seconds()
        self.received = 0
        self.sent = 0
        self.sent_types = [0] * 256
        self.reading = True
        self.lost = False
        self.taps: tuple[Tap, ...] = ()
        self._limits = limits
        self._clock = clock
        self._receiver = receiver
        self._longest = limits.first_frame
        # What has arrived: a chunk that is being cut, what came after it, and frames cut already.
        self._buffer = b""
        self._offset = 0
        self._tail = bytearray()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held = False
        self._turn: IDelayedCall | None = None
        self._until = 0.0
        self._working = False
        self._replies = ReplyQueue(limits)
        self._guard: IDelayedCall | None = None

    # --- the transport's side ------------------------------------------------------------------

    def connectionMade(self) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self.last_received = self._clock.seconds()
        if ITCPTransport.providedBy(self.transport):
            # Replies are small, and waited for; and the other end may vanish without a word.
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        self._receiver.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        if self.lost:
            return
        self.last_received = self._clock.seconds()
        if self._tail or self._offset < len(self._buffer):
            self._tail += data
        else:
            self._buffer = data
            self._offset = 0
        if self._turn is None:
            self._work()
        else:
            self._regulate()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self._forget()
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        receiver = self._receiver
        # The receiver refers to us: leave no circle behind.
        del self._receiver
        receiver.connection_lost(reason)

    def pauseProducing(self) -> None:
        """The transport has enough to send."""
        self._replies.choked = True
        if not self._working:
            self._regulate()

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._replies.choked = False
        if self.lost:
            return
        self._replies.flush(self.transport)
        if not self._replies.choked:
            self._receiver.drained()
        if self._held or self.backlog:
            self.wake()
        elif not self._working:
            self._regulate()

    def stopProducing(self) -> None:
        """The transport is going; :meth:`connectionLost` follows."""

    # --- the receiver's side -------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes that have arrived and were not given to the receiver."""
        return len(self._buffer) - self._offset + len(self._tail) + self._waiting_bytes

    @property
    def choked(self) -> bool:
        """Whether the transport has more to send than it wants to hold."""
        return self._replies.choked

    @property
    def queued(self) -> int:
        """Messages that wait for the transport."""
        return len(self._replies)

    @property
    def unsent(self) -> int:
        """Bytes of these messages, but for streams."""
        return self._replies.size

    def greeted(self) -> None:
        """A version is agreed on: frames may have any length from now on."""
        self._longest = MAX_LENGTH

    def add_tap(self, tap: Tap) -> None:
        """Let somebody see every frame from now on, once."""
        if tap not in self.taps:
            self.taps += (tap,)

    def remove_tap(self, tap: Tap) -> None:
        """Somebody is to see no more."""
        self.taps = tuple(one for one in self.taps if one != tap)

    def _show(self, frame: bytes, sent: bool) -> None:
        for tap in self.taps:
            tap(frame, sent)

    def wake(self) -> None:
        """Take up work again, in a turn of its own."""
        if self._turn is None and not self.lost:
            self._turn = self._clock.callLater(0, self._work)

    def send(self, data: bytes) -> None:
        """Send a message; a closing connection sends none.  Within a turn they are collected."""
        if self.lost:
            return
        self.sent += 1
        self.sent_types[data[1]] += 1
        if self.taps:
            self._show(data, True)
        replies = self._replies
        replies.add(data)
        if not self._working or replies.size >= BATCH:
            replies.flush(self.transport)

    def send_stream(self, frames: Iterator[bytes]) -> None:
        """Send frames which are made as the peer reads them.  The iterator must not raise."""
        if self.lost:
            return
        self.sent += 1
        self._replies.add_stream(self._counted(frames))
        if not self._working:
            self._replies.flush(self.transport)

    def _counted(self, frames: Iterator[bytes]) -> Iterator[bytes]:
        """The frames, of which each is counted, and seen, when it is made."""
        for frame in frames:
            self.sent_types[frame[1]] += 1
            if self.taps:
                self._show(frame, True)
            yield frame

    def close(self, timeout: float | None = None) -> None:
        """Close the connection when what is queued has been sent (streams are cut off).

        :param timeout: seconds until it is closed in any case; default: that of the limits.
        """
        if self.lost:
            return
        self._replies.flush_all(self.transport)
        self._forget()
        # A transport does not finish closing while it has told its producer to pause.
        self.transport.unregisterProducer()
        delay = self._limits.close_timeout if timeout is None else timeout
        self._guard = self._clock.callLater(delay, self._cut)
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close the connection now."""
        if not self.lost:
            self._forget()
            self.transport.abortConnection()

    def _cut(self) -> None:
        self._guard = None
        self.transport.abortConnection()

    def _forget(self) -> None:
        """Forget what has arrived and what was to be sent."""
        self.lost = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._buffer = b""
        self._offset = 0
        self._tail.clear()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._replies.clear()

    # --- turns ---------------------------------------------------------------------------------

    def _work(self) -> None:
        """One turn's share of what there is to do."""
        self._turn = None
        left = self._limits.messages_per_turn
        self._until = self._clock.seconds() + self._limits.seconds_per_turn
        self._working = True
        try:
            if not self._replies.overfull():
                left = self._share(left)
            elif self._held:
                self._receiver.frame_held_up()
        finally:
            self._working = False
        if self.lost:
            return
        self._replies.flush(self.transport)
        if not left:
            self.wake()
        self._regulate()

    def _share(self, left: int) -> int:
        """Go on where the last turn ended; returns as :meth:`_deliver`."""
        if self._held:
            if not self._receiver.retry():
                return left if self.lost else self._look_ahead(left)
            self._held = False
            left -= 1
        return left if self.lost else self._deliver(left)

    def _deliver(self, left: int) -> int:
        """Give at most ``left`` frames to the receiver.  This is the hot path.

        :returns: how many frames it may still have this turn; 0 when there may be more to do.
        """
        receive = self._receiver.frame_received
        replies = self._replies
        waiting = self._waiting
        while left:
            if waiting:
                frame = waiting.popleft()
                self._waiting_bytes -= len(frame)
            else:
                # The common case of _cut_frame(), without the call.
                data, start = self._buffer, self._offset
                have = len(data) - start
                length = data[start + 2] << 8 | data[start + 3] if have >= MIN_LENGTH else 0
                if MIN_LENGTH <= length <= have and self._longest == MAX_LENGTH:
                    self._offset = start + length
                    frame = data[start : start + length]
                else:
                    found = self._cut_frame()
                    if found is None:
                        self._check_head()
                        return left
                    frame = found
            left -= 1
            self.received += 1
            if self.taps:
                self._show(frame, False)
            if not receive(frame):
                # It may also be that the receiver has closed the connection.
                if self.lost:
                    return left
                self._held = True
                return self._look_ahead(left)
            if replies.choked and replies.overfull():
                return left
            if not left % _LOOK_AT_CLOCK and self._clock.seconds() >= self._until:
                return 0
        return left

    def _look_ahead(self, left: int) -> int:
        """Let those frames overtake that may, and keep the others; returns as :meth:`_deliver`."""
        overtakes = self._receiver.frame_overtakes
        overtaking = self._receiver.overtaking
        waiting = self._waiting
        while left and not self._full() and not self._replies.overfull():
            # Most of what arrives waits: it is taken without a call for each.
            data, start, last = self._buffer, self._offset, len(self._buffer) - MIN_LENGTH
            room = self._limits.backlog_frames - len(waiting) if self._longest == MAX_LENGTH else 0
            first = start
            while room and start <= last and data[start + 1] not in overtaking:
                length = data[start + 2] << 8 | data[start + 3]
                if not MIN_LENGTH <= length <= last + MIN_LENGTH - start:
                    break
                waiting.append(data[start : start + length])
                start += length
                room -= 1
            if start > first:
                self._offset = start
                self._waiting_bytes += start - first
                continue
            frame = self._cut_frame()
            if frame is None:
                break
            if overtakes(frame):
                self.received += 1
                left -= 1
                if self.taps:
                    self._show(frame, False)
            else:
                waiting.append(frame)
                self._waiting_bytes += len(frame)
        return left

    def _cut_frame(self) -> bytes | None:
        """The next frame, if it is here and is one."""
        start = self._offset
        have = len(self._buffer) - start
        if have < 4:
            if have + len(self._tail) < 4:
                return None
            self._join()
            start, have = 0, len(self._buffer)
        data = self._buffer
        length = data[start + 2] << 8 | data[start + 3]
        if self._fault(data[start], data[start + 1], length) is not None:
            return None
        if length > have:
            if length > have + len(self._tail):
                return None
            self._join()
            start = 0
        self._offset = start + length
        return self._buffer[start : self._offset]

    def _join(self) -> None:
        self._buffer = self._buffer[self._offset :] + self._tail
        self._offset = 0
        self._tail.clear()

    def _fault(self, version: int, kind: int, length: int) -> tuple[ErrorCode, str] | None:
        """What is wrong with a header, as far as framing is concerned."""
        if length < MIN_LENGTH:
            return REQUEST_BAD_LEN, f"a message of {length} bytes has no header"
        if self._longest < MAX_LENGTH:
            if not version:
                return HELLO_INCOMPATIBLE, "there is no version 0"
            if version in _TLS_RECORDS and kind == _TLS_MAJOR:
                return HELLO_INCOMPATIBLE, "the peer speaks TLS, where plain OpenFlow is expected"
            if kind != _HELLO:
                return HELLO_INCOMPATIBLE, f"expected HELLO, not a message of type {kind}"
            if length > self._longest:
                return HELLO_INCOMPATIBLE, f"HELLO of {length} bytes, at most {self._longest}"
        return None

    def _check_head(self) -> None:
        """There is no next frame: because it is not all here yet, or because it is none?"""
        head = self._buffer[self._offset : self._offset + _HEAD]
        if len(head) >= 4:
            fault = self._fault(head[0], head[1], head[2] << 8 | head[3])
            if fault is not None:
                self._receiver.frame_refused(head, *fault)

    # --- bounds --------------------------------------------------------------------------------

    def _full(self) -> bool:
        """Whether no more can be kept behind the frame that waits."""
        limits = self._limits
        return len(self._waiting) >= limits.backlog_frames or self.backlog >= limits.backlog_bytes

    def _regulate(self) -> None:
        """Read only while there is room for what would come."""
        if self._held:
            wanted = not self._full()
        else:
            wanted = self._turn is None or self.backlog < self._limits.read_ahead
        wanted = wanted and not self._replies.overfull()
        if wanted != self.reading and not self.lost:
            self.reading = wanted
            if wanted:
                # Silence while we did not listen is not the peer's.
                self.last_received = self._clock.seconds()
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()
