"""Requests to the kernel without waiting: many on their way at once.

Requests are answered by an acknowledgement.  A :class:`Pipeline` sends many of them in one call, as
long as there is room in the window, and matches what comes back by sequence number.

The kernel has carried out a request when the call that sends it returns, which takes microseconds,
or as long as the hardware behind it does.  So calls that will take a while are made in a thread
(:mod:`drivers.software.worker`), one after another, while the reactor goes on; the number of
requests in a call is made so small that even then an answer is not long in coming.

Requests are carried out in order, and of one that fails the kernel always says so.  So of those in
one call only the last asks for an acknowledgement: with that, all before it are known to be done of
which nothing was said.

What the kernel says can be lost, for it is dropped when our receive buffer is full, and then the
next ``recv`` fails with ENOBUFS.  The requests were carried out nevertheless, well or not.  Who
asked is told :data:`LOST` then, and must ask again to know; the window is made smaller.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, TypeAlias

from drivers.software.system import System
from drivers.software.worker import Worker
from drivers.tcflower.netlink import (
    LOST,
    NLMSG_ERROR,
    NetlinkSocket,
    acknowledged,
    error_of,
    extended,
    messages,
)

WINDOW: Final = 192
"""Requests on their way at once; some 300 acknowledgements fill the default receive buffer."""
BATCH: Final = 64
"""Requests in one call, at most."""
SLOW: Final = 0.02
"""Seconds that a call should take, at most."""
SHORT: Final = 0.0002
"""Seconds that a call is expected to take for which the way to a thread and back is too far."""
READS: Final = 64
"""Datagrams of acknowledgements that are read in one turn of the reactor: one each."""
Answer = Callable[[int, str], None]
"""Takes the error number (0: it was done; :data:`LOST`) and what the kernel had to say to it."""

Hear = Callable[[bytes, int, int], None]
"""Takes a message that belongs to a request: the datagram, where it begins, and its length."""

_Request: TypeAlias = tuple[int, bytes, Answer, Hear | None]
"""A request in line: its sequence number, itself, and who is told."""


class Pipeline(NetlinkSocket):
    """Requests and their acknowledgements.

    :ivar sent: how many requests were sent so far.
    :ivar lost: of how many of them the acknowledgement was lost.
    :ivar overrun: called when some were, before those who asked are told.
    """

    def __init__(self, system: System, window: int = WINDOW) -> None:
        """Make it; nothing is sent before :meth:`open`."""
        super().__init__(system, "requests")
        self.sent = 0
        self.lost = 0
        self.overrun: Callable[[], object] = lambda: None
        self._window = window
        self._clock = system.clock
        self._worker: Worker | None = None
        self._sending = False
        self._batch = float(BATCH)
        # What one request takes, as far as is known; at first it may be anything.
        self._each = SHORT
        self._waiting: deque[_Request] = deque()
        self._flying: dict[int, tuple[Answer, Hear | None]] = {}
        self._reactor: Any = None
        self._turn: Any = None

    def open(self, reactor: Any, protocol: int = socket.NETLINK_ROUTE) -> None:
        """See :class:`.netlink.NetlinkSocket`."""
        super().open(reactor, protocol)
        self._reactor = reactor
        self._worker = self._system.worker(reactor)

    def close(self) -> None:
        """End; nothing is answered any more.  A call that is being made is waited for."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        super().close()
        self._waiting.clear()
        self._flying.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    @property
    def idle(self) -> bool:
        """Whether everything was answered."""
        return not (self._waiting or self._flying)

    @property
    def pending(self) -> int:
        """How many requests were not answered yet."""
        return len(self._waiting) + len(self._flying)

    def push(self, sequence: int, request: bytes, answer: Answer, hear: Hear | None = None) -> None:
        """Put a request in line; it is sent after this turn, or when there is room.

        :param sequence: of :meth:`sequence`, in the request, too, which need not ask for an
            acknowledgement: that is done where none of a later request tells.
        :param hear: takes what else the kernel says to it, before it is answered.
        """
        self._waiting.append((sequence, request, answer, hear))
        self._later()

    def _later(self) -> None:
        """Send something in the next turn of the reactor."""
        if self._turn is None and self._waiting and self._worker is not None:
            self._turn = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        """Send what there is room for, unless something is being sent."""
        self._turn = None
        waiting, flying = self._waiting, self._flying
        room = min(int(self._batch), self._window - len(flying), len(waiting))
        if room <= 0 or self._sending or self._worker is None:
            return
        chosen = [waiting.popleft() for _ in range(room)]
        # Answers may be read before the call returns.
        for sequence, _, answer, hear in chosen:
            flying[sequence] = answer, hear
        self._sending = True
        data = _joined([request for _, request, _, _ in chosen])
        if self._each * room < SHORT:
            self._was_sent(self._send(data), chosen)
        else:
            self._worker.call(self._send, data).addCallback(self._was_sent, chosen)

    def _send(self, data: bytes) -> tuple[int, float]:
        """Have the kernel carry requests out; returns an error number or 0, and the seconds."""
        begun = self._clock()
        try:
            self._socket.send(data)
        except OSError as error:
            return error.errno or errno.EIO, 0.0
        return 0, self._clock() - begun

    def _was_sent(self, result: tuple[int, float], chosen: list[_Request]) -> None:
        """The call has returned."""
        self._sending = False
        error, seconds = result
        if not error:
            self.sent += len(chosen)
            self._pace(seconds, len(chosen))
        else:
            # None of it was carried out, but what was thought lost was asked for anew.
            chosen = [one for one in chosen if self._flying.pop(one[0], None) is not None]
            if error in (errno.EMSGSIZE, errno.ENOBUFS, errno.EAGAIN) and len(chosen) > 1:
                # Too much at once for the send buffer, or no memory.
                self._batch = max(1.0, len(chosen) / 2)
                self._waiting.extendleft(reversed(chosen))
            else:
                for _, _, answer, _ in chosen:
                    answer(error, "")
        self._later()

    def _pace(self, seconds: float, room: int) -> None:
        """Send as many at once as take :data:`SLOW`."""
        self._each = seconds / room
        fitting = SLOW / self._each if seconds > 0 else BATCH
        self._batch = min(float(BATCH), max(1.0, (self._batch + fitting) / 2))

    def _read(self) -> None:
        """Acknowledgements have come."""
        for _ in range(READS):
            try:
                data = self._receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._overrun()
                break
            if data is None:
                break
            self._take(data, True)
        self._later()

    def _take(self, data: bytes, whole: bool) -> None:
        """Take what the kernel says.

        :param whole: whether nothing was lost, so that nothing was said of what was done.
        """
        for kind, flags, sequence, at, length in messages(data):
            flying = self._flying
            if kind != NLMSG_ERROR:
                about = flying.get(sequence)
                if about is not None and about[1] is not None:
                    about[1](data, at, length)
                continue
            if sequence not in flying:
                continue
            if whole:
                self._done_before(sequence)
            error = error_of(data, at)
            text = extended(data, flags, at, length) if error or flags else ""
            self._flying.pop(sequence, _NOBODY)[0](error, text)

    def _done_before(self, sequence: int) -> None:
        """All requests before one that is answered now were carried out."""
        flying = self._flying
        answers = []
        for number, told in flying.items():
            if number == sequence:
                break
            answers.append(told[0])
        if not answers:
            return
        rest = islice(flying.items(), len(answers), None)
        self._flying = dict(rest)
        for answer in answers:
            # One of them may have closed this.
            if self._worker is not None:
                answer(0, "")

    def _overrun(self) -> None:
        """Acknowledgements were lost: those that do not lie in the buffer."""
        while True:
            try:
                data = self._receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue
            if data is None:
                break
            self._take(data, False)
        missing = list(self._flying.values())
        self._flying.clear()
        self.lost += len(missing)
        # What was too much for the buffer once is not sent again.
        self._window = max(1, self._window // 2)
        self.overrun()
        for answer, _ in missing:
            answer(LOST, "")


_NOBODY: Final[tuple[Answer, None]] = (lambda error, text: None), None
"""Who waits for an answer when the pipeline was closed by somebody who had one."""


def _joined(requests: list[bytes]) -> bytes:
    """Requests for one call, of which the last asks for an acknowledgement."""
    requests[-1] = acknowledged(requests[-1])
    return b"".join(requests)
