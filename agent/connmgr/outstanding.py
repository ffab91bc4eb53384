"""What a connection has been promised and has not got yet; a barrier waits until that is nothing.

Three things are outstanding: groups of operations in flight, of which the connection hears when
they end, replies that the switch is still preparing (statistics that a driver has to fetch), and
packets that are to be processed because a rule for them is there now.

The way of a flow_mod passes here twice, so groups are kept in a plain dictionary which the
connection uses directly, and conditions are made only when somebody waits.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred

from agent.ofproto.conditions import Condition
from agent.ofproto.operations import OperationGroup

BUNDLE: Final = -1
"""Stands for the number of a buffer where a group is that of a bundle."""

MAX_REPLIES: Final = 16
"""Replies being prepared for one connection; each may be a table's worth."""


class Drained(Condition):
    """A connection's own requests have not all been finished."""

    reason = "own requests"

    __slots__ = ("outstanding",)

    def __init__(self, outstanding: Outstanding) -> None:
        super().__init__()
        self.outstanding = outstanding

    def describe(self) -> str:
        """How many there are, and the oldest of them."""
        groups = self.outstanding.groups
        counts = (
            (len(groups), "operation group", "operation groups"),
            (len(self.outstanding.replies), "reply", "replies"),
            (len(self.outstanding.packets), "packet", "packets"),
        )
        parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
        text = f"its own {' and '.join(parts) or 'requests'}"
        oldest = next(iter(groups), None)
        return text if oldest is None else f"{text}; the oldest: {oldest.describe()}"


class ReplyDone(Condition):
    """Too many replies are being prepared for one connection."""

    reason = "replies"

    __slots__ = ()

    def describe(self) -> str:
        """The bound it waits for."""
        return f"one of {MAX_REPLIES} replies that are being prepared"


class Outstanding:
    """The accounts of one connection.

    :ivar groups: groups in flight, oldest first, each with the number of the buffer whose packet is
        to be processed when it has succeeded (or ``NO_BUFFER``, or :data:`BUNDLE`).  The connection
        adds to it.
    :ivar packets: those that are to be processed, each with the port it came in on.
    :ivar replies: replies being prepared.
    """

    __slots__ = ("_drained", "_reply_done", "groups", "packets", "replies")

    def __init__(self) -> None:
        self.groups: dict[OperationGroup, int] = {}
        self.packets: deque[tuple[bytes, int]] = deque()
        self.replies: dict[Deferred[Any], None] = {}
        self._drained: Drained | None = None
        self._reply_done: ReplyDone | None = None

    def __len__(self) -> int:
        return len(self.groups) + len(self.replies) + len(self.packets)

    def drained(self) -> Condition:
        """Clears when nothing is outstanding; only to be asked for when something is."""
        if self._drained is None:
            self._drained = Drained(self)
        return self._drained

    def reply_done(self) -> Condition:
        """Clears when the next reply is ready."""
        if self._reply_done is None:
            self._reply_done = ReplyDone()
        return self._reply_done

    def settle(self) -> None:
        """Something has ended: let those go on who waited for nothing to be left."""
        if self._drained is not None and not self:
            drained, self._drained = self._drained, None
            drained.clear()

    def reply_ended(self, reply: Deferred[Any]) -> None:
        """A reply was sent, or failed."""
        self.replies.pop(reply, None)
        if self._reply_done is not None:
            done, self._reply_done = self._reply_done, None
            done.clear()
        self.settle()

    def forget(self) -> None:
        """The connection is gone: nobody wants the replies any more.

        Groups run on; they are no longer counted.
        """
        self.groups.clear()
        self._drained = self._reply_done = None
        for reply in list(self.replies):
            reply.cancel()
        self.replies.clear()
