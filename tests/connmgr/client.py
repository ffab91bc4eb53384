"""A controller in the world of :mod:`tests.connmgr.world`: what it has asked for, and whether what
comes back answers that."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs

from agent.connmgr.ofconn import OFConn
from agent.ofproto.operations import Operation, OperationGroup
from agent.openflow import messages as of
from agent.openflow.codec import decode, header
from tests.connmgr.fakes import Peer
from tests.connmgr.naive import MASTER, SLAVE, Change, Entry, Key, NaiveRoles


@attrs.define(eq=False)
class Sent:
    """A request, and what became of it.

    :ivar place: how many the connection had sent before.
    :ivar change: what it wants, if it wants anything changed.
    :ivar role: of a request for a role, that and the generation id.
    :ivar since: how many generation ids there were when it was sent.
    :ivar accepted: whether the switch has executed it.
    :ivar refusal: the names of the errors of which it must be answered with one.
    :ivar group: what is in flight for it.
    :ivar changes: what that will change.
    :ivar answers: how many answers have come.
    """

    xid: int
    kind: str
    place: int
    change: Change | None = None
    role: tuple[int, int | None] = (0, None)
    since: int = 0
    accepted: bool = False
    refusal: frozenset[str] = frozenset()
    group: OperationGroup | None = None
    changes: dict[Key, Entry | None] = attrs.Factory(dict)
    answers: int = 0
    operations: tuple[Operation, ...] = ()

    @property
    def over(self) -> bool:
        """Whether its outcome is known."""
        return self.accepted and (self.group is None or self.group.ended)


@attrs.define(eq=False)
class Client:
    """A controller, which is strict about what it is told.

    :ivar naive: who is what.
    :ivar sent: what it has sent, by xid.
    :ivar roles: the answers to its requests for roles which are to come.
    :ivar choked: whether it reads nothing now.
    """

    peer: Peer
    session: OFConn
    naive: NaiveRoles
    sent: dict[int, Sent] = attrs.Factory(dict)
    roles: deque[tuple[int, int | None]] = attrs.Factory(deque)
    choked: bool = False

    def read(self) -> None:
        """Look at what has come."""
        data = self.peer.transport.value()
        self.peer.transport.clear()
        while data:
            length = header(data)[2]
            self._answered(decode(self.peer.version, data[:length]))
            data = data[length:]

    def _answered(self, message: Any) -> None:
        sent = self.sent.get(message.xid)
        assert sent is not None, f"{message} answers nothing"
        if isinstance(message, of.FlowStatsReply) and message.more:
            return
        sent.answers += 1
        assert sent.answers == 1, f"{message} is the second answer"
        later = [
            other.xid
            for other in self.sent.values()
            if other.kind == "barrier" and other.answers and other.place > sent.place
        ]
        if sent.kind != "echo":
            assert not later, f"{message} comes after the reply to barrier {later}"
        if isinstance(message, of.ErrorMessage):
            self._refused(sent, message)
        elif sent.kind == "barrier":
            open_ = [
                other.xid
                for other in self.sent.values()
                if other.place < sent.place and other.kind == "mod" and not other.over
            ]
            assert not open_, f"a barrier overtakes {open_}"
        elif sent.kind == "role":
            answer = self.roles.popleft()
            assert (message.role, message.generation_id) == answer, f"{message}, not {answer}"
        else:
            assert sent.kind != "mod", f"{message} answers a request that is not answered"

    def _refused(self, sent: Sent, message: of.ErrorMessage) -> None:
        """An error has come: there must be a reason."""
        if sent.kind == "role":
            role, generation = sent.role
            assert generation is not None and role in (MASTER, SLAVE)
            assert self.naive.stale(generation, sent.since), f"{message}: it is not stale"
            return
        assert sent.kind == "mod", f"{message} to {sent.kind}"
        if not sent.accepted:
            # It was not for the switch to refuse.
            numbers = (1, 5) if self.peer.version == of.OFP10 else (1, 10)
            assert (message.type, message.code) == numbers, message
            assert self.session in self.naive.slaves, f"{message} to no slave"
            sent.accepted, sent.refusal = True, frozenset({"IS_SLAVE"})
        elif not sent.refusal:
            assert sent.group is not None, message
            assert sent.group.ended, message
            assert sent.group.error is not None, message
