"""What the hardware may have that it should not have.

An entry of which the agent does not know whether the hardware got it, since its ADD, or the DELETE
that takes an ADD back, was never confirmed, is in no table any more: nobody asked for it, or was
told that it failed.  It is a *ghost*, which may still forward packets.

So it is not only remembered, for the operator to see, but deleted, as soon as its group has ended
and again by each flush.  That DELETE is an operation like any other: it is tried again when it
fails, a request about the same match waits for it, and when it succeeds the ghost is gone.  What it
is not is a change of a table, so no controller hears of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from agent.ofproto.operations import Operation, State
from agent.openflow.errors import ErrorCode
from drivers.interfaces import OperationKind, Target


class Entry(Protocol):
    """A rule, a group or a meter."""

    handle: int
    degraded: str


E = TypeVar("E", bound=Entry)
E_contra = TypeVar("E_contra", bound=Entry, contravariant=True)


class Home(Protocol[E_contra]):
    """The table that ghosts are ghosts of."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def target(self) -> Target:
        """What its entries are."""

    @property
    def failure(self) -> ErrorCode:
        """See :class:`agent.ofproto.operations.Place`."""

    def key(self, entry: E_contra) -> Hashable:
        """What hardware knows an entry by: no two have the same at a time."""

    def taken(self, entry: E_contra) -> bool:
        """Whether there is, or is being deleted, an entry with the same key."""

    def await_deletion(self, operation: Operation) -> None:
        """Let those wait who need the key of an entry that is not in the table."""

    def end(self, operation: Operation) -> None:
        """See :class:`agent.ofproto.operations.Place`."""


class Ghosts(Generic[E]):
    """The ghosts of one table (:class:`agent.ofproto.operations.Place` of their deletions).

    :ivar entries: by handle, the oldest first.
    :ivar most: how many are remembered; beyond that, the oldest are forgotten.
    """

    __slots__ = ("_home", "entries", "most")

    def __init__(self, home: Home[E], most: int) -> None:
        self.entries: dict[int, E] = {}
        self.most = most
        self._home = home

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self.entries.values())

    def remember(self, entry: E, reason: str) -> None:
        """The hardware may have this entry.

        :param reason: why that is not known.
        """
        entry.degraded = reason
        self.entries[entry.handle] = entry
        if len(self.entries) > self.most:
            del self.entries[next(iter(self.entries))]

    def deletion(self, entry: E) -> Operation:
        """The operation that ends the doubt about an entry."""
        return Operation(OperationKind.DELETE, entry, entry, self)

    def deletions(self) -> list[Operation]:
        """Such operations for all that can be deleted now.

        A ghost stays while there is a newer entry with the same key, for hardware that knows
        entries by that might delete the newer one; and of several with one key, all but one.
        """
        chosen: dict[Hashable, E] = {}
        for entry in self:
            if not self._home.taken(entry):
                chosen.setdefault(self._home.key(entry), entry)
        return [self.deletion(entry) for entry in chosen.values()]

    # What a deletion does (agent.ofproto.operations.Place).

    @property
    def name(self) -> str:
        """That of the table, like the next two."""
        return self._home.name

    @property
    def target(self) -> Target:
        """What the entries are."""
        return self._home.target

    @property
    def failure(self) -> ErrorCode:
        """Nobody is told."""
        return self._home.failure

    def begin(self, operation: Operation) -> None:
        """The driver is asked to delete it."""
        self._home.await_deletion(operation)

    def revert(self, operation: Operation) -> None:
        """That failed: it is what it was."""

    def end(self, operation: Operation) -> None:
        """The deletion is over, well or not."""
        self._home.end(operation)
        if operation.state is State.DONE:
            self.entries.pop(operation.rule.handle, None)

    def doubt(self, operation: Operation, reason: str) -> Operation | None:
        """It could not be deleted; nothing more is done about it by itself."""
        self.remember(operation.rule, reason)
        return None
