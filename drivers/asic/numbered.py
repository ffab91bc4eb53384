"""The memories of groups and meters: small, and without an order, so that nothing ever moves."""

from __future__ import annotations

from typing import Final

from agent.openflow.errors import (
    INVALID_GROUP,
    METER_UNKNOWN,
    OUT_OF_GROUPS,
    OUT_OF_METERS,
    ErrorCode,
    OpenFlowError,
)
from drivers.interfaces import Entry, IOperation, OperationKind, Target

DELETE: Final = OperationKind.DELETE


class Memory:
    """Entries that are found by their number.

    As in the tables, room is taken when the hardware begins with an entry.

    :ivar target: what they are.
    :ivar size: how many there is room for.
    :ivar used: how many have taken room.
    :ivar entries: those that are there, by number.
    :ivar failure: the error when the hardware was made to refuse one.
    """

    def __init__(self, target: Target, size: int) -> None:
        self.target = target
        self.size = size
        self.failure: ErrorCode = INVALID_GROUP if target is Target.GROUP else METER_UNKNOWN
        self._full: ErrorCode = OUT_OF_GROUPS if target is Target.GROUP else OUT_OF_METERS
        self._numbers: set[int] = set()
        self.entries: dict[int, Entry] = {}

    @property
    def used(self) -> int:
        """How many entries have taken room."""
        return len(self._numbers)

    def begin(self, operation: IOperation) -> OpenFlowError | None:
        """Take or give back room; returns why that cannot be."""
        number = self._number(operation)
        if operation.kind is DELETE:
            self._numbers.discard(number)
        elif number not in self._numbers:
            if self.used >= self.size:
                return OpenFlowError(
                    self._full, f"no room in the hardware beyond {self.size} {self.target.value}s"
                )
            self._numbers.add(number)
        return None

    def finish(self, operation: IOperation) -> None:
        """What was begun is done."""
        if operation.kind is DELETE:
            self.entries.pop(self._number(operation), None)
        else:
            self.entries[self._number(operation)] = operation.rule

    def clear(self) -> list[Entry]:
        """Lose everything; returns the entries that were there."""
        entries = list(self.entries.values())
        self.entries.clear()
        self._numbers.clear()
        return entries

    def _number(self, operation: IOperation) -> int:
        entry = operation.rule
        number: int = entry.group_id if self.target is Target.GROUP else entry.meter_id
        return number
