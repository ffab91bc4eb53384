"""Requests that come in several messages: OFPMP_TABLE_FEATURES, which may be too long for one.

The parts of a request have its xid, and all but the last say that more follow.  The switch is given
the whole request when the last has come.  Other messages may come in between, and parts of other
requests.

::

                     a part, with more to follow
                                |
             a part with more   v   the last part
                  +------> unfinished ------------> whole
                  +-------------+ |
                                  |  a part that is wrong, or too much; too long without one
                                  v
                               refused ------------> gone
                                        the last part

A request of which anything is refused is refused as a whole, and so is every part of it that still
comes, up to the last: the rest of a request would be one that nobody has made, and might well take
tables away.

Source: OpenFlow 1.3.5 section 7.3.5; ``ofpmp_assembler_execute`` of Open vSwitch, which waits for
one second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from agent.connmgr.idle import IdleCheck
from agent.openflow.codec import header
from agent.openflow.errors import (
    MULTIPART_BUFFER_OVERFLOW,
    MULTIPART_REQUEST_TIMEOUT,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.frame import Type13
from agent.openflow.messages import OFP13, TableFeatures, TableFeaturesRequest
from agent.openflow.multipart import Stat, has_more

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn

IDLE_TIMEOUT: Final = 10.0
"""Seconds without another part after which an unfinished request is refused."""

MAX_REFUSED: Final = 64
"""Requests whose last part is waited for after they were refused; beyond that the oldest are
forgotten."""

_REQUEST: Final = Type13.MULTIPART_REQUEST.value
_TYPE: Final = slice(8, 10)
_TABLE_FEATURES: Final = int(Stat.TABLE_FEATURES).to_bytes(2, "big")
_MIN_LENGTH: Final = 16


@attrs.define(eq=False)
class Unfinished:
    """A request of which not all parts have come.

    :ivar head: its latest part, for an error.
    :ivar used: when that came, in seconds of the clock.
    :ivar size: bytes of its parts.
    """

    xid: int
    head: bytes = b""
    used: float = 0.0
    size: int = 0
    tables: tuple[TableFeatures, ...] = ()


class Assembler:
    """The requests of one session that come in parts."""

    __slots__ = ("_clock", "_idle", "_refused", "_session", "_unfinished")

    def __init__(self, session: OFConn, clock: IReactorTime) -> None:
        self._session = session
        self._clock = clock
        self._unfinished: dict[int, Unfinished] = {}
        self._refused: dict[int, ErrorCode] = {}
        self._idle = IdleCheck(clock, session, self._unfinished, IDLE_TIMEOUT, self._expired)

    def __len__(self) -> int:
        """How many requests are unfinished."""
        return len(self._unfinished)

    def stop(self) -> None:
        """The session is over, and what it has begun to ask for is forgotten."""
        self._unfinished.clear()
        self._refused.clear()
        self._idle.stop()
        # They refer to each other: leave no circle behind.
        del self._session, self._idle

    def take(self, part: TableFeaturesRequest, frame: bytes) -> TableFeaturesRequest | None:
        """The request that is whole with this part; None while more are to follow.

        :raises OpenFlowError: what the request was or is refused with; MULTIPART_BUFFER_OVERFLOW
            for too many at once, or too much.
        """
        xid = part.xid
        code = self._refused.get(xid)
        if code is not None:
            if not part.more:
                del self._refused[xid]
            raise OpenFlowError(code, f"request {xid:#x} was refused before")
        request = self._unfinished.get(xid)
        if request is None:
            if not part.more:
                return part
            request = self._begin(xid)
        request.size += len(frame)
        if sum(one.size for one in self._unfinished.values()) > self._session.limits.parts_bytes:
            self._refuse(xid, MULTIPART_BUFFER_OVERFLOW, part.more)
            raise OpenFlowError(MULTIPART_BUFFER_OVERFLOW, "too many bytes in unfinished requests")
        request.tables += part.tables
        if part.more:
            request.head = frame
            request.used = self._clock.seconds()
            return None
        self._end(xid)
        return TableFeaturesRequest(request.tables, xid)

    def broken(self, frame: bytes, code: ErrorCode) -> None:
        """A message cannot be decoded: if it was a part, its request is refused."""
        if (
            self._session.version == OFP13
            and frame[1] == _REQUEST
            and len(frame) >= _MIN_LENGTH
            and frame[_TYPE] == _TABLE_FEATURES
        ):
            self._refuse(header(frame)[3], code, has_more(frame))

    def _begin(self, xid: int) -> Unfinished:
        most = self._session.limits.unfinished_requests
        if len(self._unfinished) >= most:
            self._refuse(xid, MULTIPART_BUFFER_OVERFLOW, True)
            raise OpenFlowError(MULTIPART_BUFFER_OVERFLOW, f"{most} unfinished requests")
        request = self._unfinished[xid] = Unfinished(xid)
        self._idle.start()
        return request

    def _end(self, xid: int) -> None:
        self._unfinished.pop(xid, None)
        if not self._unfinished:
            self._idle.stop()

    def _refuse(self, xid: int, code: ErrorCode, more: bool) -> None:
        """A request is refused.

        :param more: whether parts of it are still to come.
        """
        self._end(xid)
        self._refused.pop(xid, None)
        if more:
            self._refused[xid] = code
            if len(self._refused) > MAX_REFUSED:
                del self._refused[next(iter(self._refused))]

    def _expired(self, request: Unfinished) -> None:
        self._refuse(request.xid, MULTIPART_REQUEST_TIMEOUT, True)
        text = f"no further part for {IDLE_TIMEOUT:g} s"
        self._session.refuse(OpenFlowError(MULTIPART_REQUEST_TIMEOUT, text), request.head)
