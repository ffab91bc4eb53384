"""Dumps of what the kernel has, beside the requests.

A :class:`Dumper` is a socket of its own for dumps, which the kernel answers piece by piece; one is
read at a time, and only some pieces in one turn of the reactor.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, fail

from drivers.software.system import System
from drivers.tcflower.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NetlinkSocket,
    error_of,
    explain,
    extended,
)
from drivers.tcflower.runs import Run, each, runs

PIECES: Final = 8
"""Pieces of a dump that are read in one turn of the reactor, of at most 32 KiB each."""
REPEATS: Final = 3
"""How often a dump is begun again because the kernel's state changed meanwhile."""


Take = Callable[[Run], None]
"""Takes messages of a dump."""


class Dumper(NetlinkSocket):
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
                error = error_of(data, run.at)
                text = extended(data, flags, run.at, run.length)
                self._end(OSError(error, explain(error, text)) if error > 0 else None)
            else:
                self._waiting[0][1](run)


def _closed() -> OSError:
    return OSError(errno.ECANCELED, "the driver has stopped")
