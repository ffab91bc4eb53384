"""Netlink without waiting: many requests on their way at once, and dumps beside them.

A :class:`Pipeline` is a socket for requests that are answered by an acknowledgement.  It sends many
of them in one call, as long as there is room in the window, and matches what comes back by sequence
number.  The kernel has carried out a request when the call that sends it returns, which takes
microseconds, or as long as the hardware behind it does.  So calls that will take a while are made
in a thread (:mod:`drivers.software.worker`), one after another, while the reactor goes on; the
number of requests in a call is made so small that even then an answer is not long in coming.

Requests are carried out in order, and of one that fails the kernel always says so.  So of those in
one call only the last asks for an acknowledgement: with that, all before it are known to be done of
which nothing was said.

What the kernel says can be lost, for it is dropped when our receive buffer is full, and then the
next ``recv`` fails with ENOBUFS.  The requests were carried out nevertheless, well or not.  Who
asked is told :data:`LOST` then, and must ask again to know; the window is made smaller.

A :class:`Dumper` is a socket of its own for dumps, which the kernel answers piece by piece; one is
read at a time, and only some pieces in one turn of the reactor.

Source: netlink(7); Linux, ``linux/netlink.h``.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from struct import Struct
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred, fail

from drivers.software.reader import Reader
from drivers.software.system import System
from drivers.software.worker import Worker
from drivers.tcflower.dump import attributes
from drivers.tcflower.pack import HEADER, NLM_F_ACK, ORDER
from drivers.tcflower.runs import Run, each, runs

SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
NETLINK_GET_STRICT_CHK: Final = 12
SO_RCVBUFFORCE: Final = 33

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLMSGERR_ATTR_MSG: Final = 1

WINDOW: Final = 192
"""Requests on their way at once; some 300 acknowledgements fill the default receive buffer."""
BATCH: Final = 64
"""Requests in one call, at most."""
SLOW: Final = 0.02
"""Seconds that a call should take, at most."""
SHORT: Final = 0.0002
"""Seconds that a call is expected to take for which the way to a thread and back is too far."""
RECEIVE_BUFFER: Final = 1 << 20
DATAGRAM: Final = 1 << 16
READS: Final = 64
"""Datagrams of acknowledgements that are read in one turn of the reactor: one each."""
PIECES: Final = 8
"""Pieces of a dump that are read in one turn of the reactor, of at most 32 KiB each."""
REPEATS: Final = 3
"""How often a dump is begun again because the kernel's state changed meanwhile."""

_FLAGS: Final = 6 if ORDER == "little" else 7
"""Where the low byte of a message's flags is."""

LOST: Final = -1
"""In the place of an error number: nobody knows what became of a request."""

_error = Struct("=i")

Answer = Callable[[int, str], None]
"""Takes the error number (0: it was done; :data:`LOST`) and what the kernel had to say to it."""

Hear = Callable[[bytes, int, int], None]
"""Takes a message that belongs to a request: the datagram, where it begins, and its length."""

_Request: TypeAlias = tuple[int, bytes, Answer, Hear | None]
"""A request in line: its sequence number, itself, and who is told."""


def messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each message in a datagram: its type, flags, sequence number, place and length."""
    at = 0
    size = len(data)
    while at + HEADER.size <= size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if not HEADER.size <= length <= size - at:
            return
        yield kind, flags, sequence, at, length
        at += length + 3 & ~3


def extended(data: bytes, flags: int, at: int, length: int) -> str:
    """The text of an extended acknowledgement; empty when there is none."""
    if not flags & NLM_F_ACK_TLVS:
        return ""
    # After the error number comes the request, or only its header.
    start = at + HEADER.size + 4
    asked = HEADER.size if flags & NLM_F_CAPPED else HEADER.unpack_from(data, start)[0]
    for number, begin, end in attributes(data, start + (asked + 3 & ~3), at + length):
        if number == NLMSGERR_ATTR_MSG:
            return data[begin:end].rstrip(b"\0").decode(errors="replace")
    return ""


def acknowledged(request: bytes) -> bytes:
    """The request, asking for an acknowledgement."""
    return request[:_FLAGS] + bytes((request[_FLAGS] | NLM_F_ACK,)) + request[_FLAGS + 1 :]


def explain(error: int, text: str) -> str:
    """An error number and the kernel's words in one line."""
    if error == LOST:
        return "no acknowledgement"
    said = os.strerror(error)
    return f"{said}: {text}" if text else said


class _Socket:
    """What both kinds of sockets have in common."""

    def __init__(self, system: System, prefix: str) -> None:
        self._system = system
        self._prefix = prefix
        self._socket: Any = None
        self._reader: Reader | None = None
        self._sequence = 0

    def open(self, reactor: Any, protocol: int = socket.NETLINK_ROUTE) -> None:
        """Begin.

        :raises OSError: when the kernel has no netlink for us.
        """
        opened = self._system.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            try:
                opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            except PermissionError:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
                opened.setsockopt(SOL_NETLINK, option, 1)
            opened.bind((0, 0))
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        self._reader = Reader(reactor, opened.fileno(), self._read, self._recover, self._prefix)

    def close(self) -> None:
        """End; what is on its way is answered no more."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
            self._socket.close()

    @property
    def port(self) -> int:
        """The number that the kernel knows the socket by."""
        number: int = self._socket.getsockname()[0]
        return number

    def sequence(self) -> int:
        """A number for the next request."""
        self._sequence = self._sequence + 1 & 0xFFFFFFFF or 1
        return self._sequence

    def _receive(self) -> bytes | None:
        """A datagram; None: there is none, or there are no more.

        :raises OSError: of ENOBUFS, that something was lost.
        """
        if self._reader is None:
            return None
        try:
            data: bytes = self._socket.recv(DATAGRAM)
        except BlockingIOError:
            return None
        return data

    def _read(self) -> None:
        raise AssertionError("both kinds read")

    def _recover(self) -> bool:
        """There was an error on the socket, which the next ``recv`` says."""
        self._read()
        return True


class Pipeline(_Socket):
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
        """See :class:`_Socket`."""
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
            error = _error.unpack_from(data, at + HEADER.size)[0]
            text = extended(data, flags, at, length) if error or flags else ""
            self._flying.pop(sequence, _NOBODY)[0](-error, text)

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


def _closed() -> OSError:
    return OSError(errno.ECANCELED, "the driver has stopped")


Take = Callable[[Run], None]
"""Takes messages of a dump."""


class Dumper(_Socket):
    """Dumps, one after another."""

    def __init__(self, system: System) -> None:
        super().__init__(system, "dumps")
        self._waiting: deque[tuple[Callable[[int], bytes], Take, Deferred[None]]] = deque()
        self._current = 0
        self._again = False
        self._repeats = 0

    def dump(self, request: Callable[[int], bytes], take: Take) -> Deferred[None]:
        """Ask for a dump.  One that is not complete when this is closed fails.

        :param request: makes the message with a sequence number.
        :param take: is given every message.  When the kernel's state changed meanwhile the dump is
            repeated, so that it may be given some of them twice; the last counts.
        :return: fires when the dump is complete, with an :exc:`OSError` if it cannot be had.
        """
        if self._reader is None:
            return fail(_closed())
        done: Deferred[None] = Deferred()
        self._waiting.append((request, take, done))
        if not self._current:
            self._begin()
        return done

    def close(self) -> None:
        """End; see :meth:`dump`."""
        super().close()
        waiting = [done for _, _, done in self._waiting]
        self._waiting.clear()
        self._current = 0
        for done in waiting:
            done.errback(_closed())

    def messages(self, request: Callable[[int], bytes]) -> Deferred[list[bytes]]:
        """Ask for a dump; fires with all its messages, some of them twice if it was repeated."""
        found: list[bytes] = []

        def keep(data: bytes, at: int, length: int) -> None:
            found.append(data[at : at + length])

        return self.dump(request, each(keep)).addCallback(lambda _: found)

    def _begin(self) -> None:
        """Send the first request in line."""
        self._again = False
        while self._waiting and not self._current:
            self._current = self.sequence()
            try:
                self._socket.send(self._waiting[0][0](self._current))
            except OSError as error:
                self._end(error)

    def _end(self, error: OSError | None) -> None:
        """The current dump is at its end."""
        self._current = 0
        if self._again and error is None and self._repeats < REPEATS:
            self._repeats += 1
            self._begin()
            return
        self._repeats = 0
        _, _, done = self._waiting.popleft()
        self._begin()
        if error is None:
            done.callback(None)
        else:
            done.errback(error)

    def _read(self) -> None:
        for _ in range(PIECES):
            try:
                data = self._receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Whatever is missing, the rest of this dump is worth nothing.
                self._again = True
                continue
            if data is None:
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        for kind, flags, sequence, run in runs(data):
            if sequence != self._current or not self._current:
                continue
            if flags & NLM_F_DUMP_INTR:
                self._again = True
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                error = -_error.unpack_from(data, run.at + HEADER.size)[0]
                text = extended(data, flags, run.at, run.length)
                self._end(OSError(error, explain(error, text)) if error > 0 else None)
            else:
                self._waiting[0][1](run)
