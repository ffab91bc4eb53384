"""What a reset of the chip takes away, and how it comes back.

A reset empties the tables: rules, groups and meters are gone, and packets meet only what is there.
What the chip was working on fails, for it has nothing of it; but what was to be deleted is gone,
and that is success.  What had not been begun has not been lost, for it waits in the switch's CPU.

Then everything that was there before, as far as the agent still wants it, is put back, in front of
what waits, at the speed of the hardware.  Each entry is *degraded* until it is written.  So a
request that comes later is done after that, or, where the scheduler may reorder, so that no packet
can tell; and its barrier waits for it.  A barrier which has nothing to wait for is answered at
once, though, for all requests before it were done; that entries have been lost since then is what
their mark says.

What is put back is what was confirmed.  The flow table may be ahead of that: rules are in it that
are on their way, or modified.  Their operations are still waiting and do the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from zope.interface import implementer

from drivers.interfaces import Entry, IDriverHost, IOperation, OperationKind, Target

REASON: Final = "lost in a reset of the hardware, and not back yet"
"""What the operator reads of an entry that is missing."""

E = TypeVar("E", bound=Entry)


@implementer(IOperation)
class Reinstall:
    """The driver's own operation that puts an entry back (or, of ``kind`` DELETE, hides it).

    Its attributes are those of :class:`drivers.interfaces.IOperation`.
    """

    __slots__ = ("_resync", "kind", "old", "rule", "target")

    def __init__(
        self,
        target: Target,
        entry: Entry,
        resync: Resync,
        kind: OperationKind = OperationKind.ADD,
    ) -> None:
        self.kind = kind
        self.target = target
        self.rule: Any = entry
        self.old: Any = None
        self._resync = resync

    def complete(self, error: Exception | None = None) -> None:
        """Note what became of it."""
        if error is not None:
            self._resync.failed(self.rule, error)


class Resync:
    """What is missing since a reset.

    :ivar host: the agent; None: nobody knows what should be there.
    :ivar missing: the entries that are not back, by handle, as the hardware had them.
    :ivar resets: how many resets there were.
    """

    def __init__(self) -> None:
        self.host: IDriverHost | None = None
        self.missing: dict[int, Entry] = {}
        self.resets = 0

    def lose(self, entries: Sequence[E]) -> Sequence[E]:
        """The hardware had these, and has lost them; returns them."""
        for entry in entries:
            self.missing[entry.handle] = entry
        return entries

    def begin(self) -> list[Reinstall]:
        """What brings back all that is missing and still wanted, in an order that can be."""
        self.resets += 1
        lost, self.missing = self.missing, {}
        if self.host is None:
            return []
        host = self.host
        wanted: tuple[tuple[Target, Iterable[Entry]], ...] = (
            (Target.METER, host.meters()),
            (Target.GROUP, host.groups()),
            (Target.RULE, host.rules()),
        )
        reinstalls = [
            Reinstall(target, lost[entry.handle], self)
            for target, entries in wanted
            for entry in entries
            if entry.handle in lost
        ]
        self.missing = {reinstall.rule.handle: reinstall.rule for reinstall in reinstalls}
        host.degraded_many(self.missing, REASON)
        return reinstalls

    def back(self, operation: IOperation) -> None:
        """The hardware has done an operation, perhaps on something that was missing."""
        handle = operation.rule.handle
        if self.missing.pop(handle, None) is not None and self.host is not None:
            self.host.restored(handle)

    def failed(self, entry: Entry, error: Exception) -> None:
        """An entry could not be put back; a later operation on it still may."""
        if entry.handle in self.missing and self.host is not None:
            self.host.degraded(entry.handle, f"lost in a reset of the hardware: {error}")
