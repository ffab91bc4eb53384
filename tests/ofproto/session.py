"""A connection without bytes, for the tests of the switch.

It does what a connection must do and nothing else: one message after another, the first that has to
wait holding up the rest, barriers answered when all before them is.  And it is strict about what it
is told.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from agent.ofproto.conditions import Postponed
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import OperationGroup
from agent.openflow.errors import BUFFER_UNKNOWN, OpenFlowError
from tests.ofproto.model import Bundle, Order

BACKLOG: Final = 8
"""How many messages a session keeps; after that it does not read."""

BARRIER: Final = "barrier"
STATISTICS: Final = "statistics"


class Switch(Protocol):
    """Whom a session talks to."""

    clock: Clock
    faults: list[Exception]

    def next_xid(self) -> int:
        """An xid that no other request has."""

    def execute(self, order: Order | Bundle, xid: int, session: Session) -> OperationGroup | None:
        """Execute a FLOW_MOD or a bundle; None: it is done, or was refused.

        :raises Postponed: when it has to wait.
        """

    def read(self, xid: int, session: Session) -> Deferred[Any]:
        """Answer a request for statistics.

        :raises Postponed: when it has to wait.
        """

    def release(self, session: Session) -> None:
        """The session is over."""


@attrs.define(eq=False)
class Item:
    """A message, and what became of it.

    :ivar what: a FLOW_MOD, a bundle of them, :data:`BARRIER` or :data:`STATISTICS`.
    :ivar answers: how often it was answered, or was done without an answer.
    """

    what: Order | Bundle | str
    xid: int
    answers: int = 0


@implementer(IRequester)
class Session:
    """One connection.

    :ivar queue: what has arrived and was not accepted yet; the first of it may be postponed.
    :ivar items: all that was accepted.
    :ivar outstanding: what is in flight, by group, or being read, by Deferred.
    """

    miss_send_len = 0
    slave = False
    invalid_ttl = False
    n_buffers = 0

    def __init__(self, switch: Switch, name: str, version: int, internal: bool) -> None:
        self.name = name
        self.version = version
        self.internal = internal
        self.queue: deque[Item] = deque()
        self.items: list[Item] = []
        self.outstanding: dict[object, Item] = {}
        self._switch = switch
        self._waiter: Deferred[None] | None = None
        self._woken: IDelayedCall | None = None
        self._gone = False

    def retrieve_buffer(self, buffer_id: int) -> tuple[bytes, int]:
        """There are none."""
        raise OpenFlowError(BUFFER_UNKNOWN)

    def receive(self, what: Order | Bundle | str) -> None:
        """A message arrives, unless so much is waiting that nothing is read."""
        if len(self.queue) < BACKLOG:
            self.queue.append(Item(what, self._switch.next_xid()))
            if self._waiter is None and self._woken is None:
                self._run()

    def disconnect(self) -> None:
        """The connection is lost; what is in flight runs on."""
        self._gone = True
        self.queue.clear()
        self._switch.release(self)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.addErrback(Failure.trap, Exception)
            waiter.cancel()
        if self._woken is not None:
            self._woken.cancel()
            self._woken = None

    def group_ended(self, group: OperationGroup) -> None:
        """See :class:`agent.ofproto.interfaces.IRequester`."""
        try:
            self._end(group, group.xid)
        except (AssertionError, KeyError) as fault:
            # The switch only logs what goes wrong here.
            self._switch.faults.append(fault)

    def _run(self) -> None:
        """Go on with what is in the queue, until something has to wait."""
        self._woken = None
        while self.queue and self._waiter is None:
            item = self.queue[0]
            try:
                if not self._execute(item):
                    return
            except Postponed as postponed:
                condition = postponed.condition
                assert not condition.cleared, "it waits for what has happened"
                assert condition.describe()
                self._waiter = condition.wait()
                self._waiter.addCallback(self._wake)
                return
            self.queue.popleft()
            self.items.append(item)

    def _execute(self, item: Item) -> bool:
        """Execute a message; False when it has to wait for what this session has in flight."""
        if isinstance(item.what, Order | Bundle):
            group = self._switch.execute(item.what, item.xid, self)
            if group is None:
                item.answers += 1
            else:
                self.outstanding[group] = item
        elif item.what == STATISTICS:
            reading = self._switch.read(item.xid, self)
            self.outstanding[reading] = item
            reading.addCallback(self._read, reading)
        else:
            if self.outstanding:
                return False
            unanswered = [other.xid for other in self.items if other.answers != 1]
            assert not unanswered, f"a barrier overtakes the answers to {unanswered}"
            item.answers += 1
        return True

    def _read(self, reply: Any, reading: Deferred[Any]) -> None:
        """Statistics have come."""
        self._end(reading, reply.xid)

    def _end(self, what: object, xid: int) -> None:
        """Something in flight is over."""
        item = self.outstanding.pop(what)
        assert item.xid == xid, "the answer has the xid of another request"
        item.answers += 1
        assert item.answers == 1, "it is answered twice"
        if not self.outstanding and self._waiter is None:
            self._wake(None)

    def _wake(self, _: None) -> None:
        """Go on, in a turn of its own."""
        self._waiter = None
        if self._woken is None and not self._gone:
            self._woken = self._switch.clock.callLater(0, self._run)
