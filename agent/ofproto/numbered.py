"""Entries that have a number: the table of groups, and that of meters.

Like a flow table (:mod:`agent.ofproto.table`) it is updated optimistically: what a controller sees
is :attr:`NumberedTable.entries`, and what could still turn out otherwise is in flight.  A request
that depends on an entry in flight waits for it, whatever it is that is done to it; so the hardware
never has anything that names an entry which is not there yet, or not any more.

:class:`Naming` is the other half of that: the rules that name groups or meters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import Generic, Protocol, TypeVar

import attrs

from agent.ofproto.conditions import Postponed
from agent.ofproto.ghosts import Ghosts
from agent.ofproto.operations import Operation, State
from agent.ofproto.rule import Rule
from agent.ofproto.table import Criteria, FlowTable
from agent.openflow.actions import Instructions, groups_of, meters_of
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from drivers.interfaces import OperationKind, Target

GHOSTS = 1000
"""How many ghosts are remembered."""


class Numbered(Protocol):
    """An entry.  Like a rule it is never changed, but for what time and hardware do to it."""

    handle: int
    pending: Operation | None
    degraded: str

    @property
    def number(self) -> int:
        """What it is named by."""


E = TypeVar("E", bound=Numbered)


class NumberedTable(Generic[E]):
    """The groups or the meters of a bridge (:class:`agent.ofproto.operations.Place`).

    :ivar name: for people.
    :ivar target: what its entries are.
    :ivar failure: what a controller is told of a failure without an error of its own.
    :ivar entries: by number, as a controller sees them.
    :ivar pending: the operations in flight.
    :ivar deleting: those of them which delete, or are an ADD that is being taken back, by number:
        their entries are in :attr:`entries` no longer, and the hardware has them.
    :ivar ghosts: entries that are not in the table, of which the hardware may still have something.
    """

    def __init__(
        self, name: str, target: Target, failure: ErrorCode, changed: Callable[[], object]
    ) -> None:
        """Make an empty table.

        :param changed: called when what the entries are like may have changed.
        """
        self.name = name
        self.target = target
        self.failure = failure
        self.entries: dict[int, E] = {}
        self.pending: dict[Operation, None] = {}
        self.deleting: dict[int, Operation] = {}
        self.ghosts: Ghosts[E] = Ghosts(self, GHOSTS)
        self._changed = changed

    # What requests ask.

    def find(self, number: int) -> E | None:
        """The entry of this number, with nothing in flight; None: there is none.

        :raises Postponed: when something is in flight.
        """
        entry = self.entries.get(number)
        if entry is not None:
            if entry.pending is not None:
                raise Postponed(entry.pending.group)
        elif number in self.deleting:
            raise Postponed(self.deleting[number].group)
        return entry

    def settled(self) -> list[E]:
        """All entries.

        :raises Postponed: when something is in flight.
        """
        for operation in self.pending:
            raise Postponed(operation.group)
        return list(self.entries.values())

    def check_room(self, most: int, code: ErrorCode, counts: Callable[[E], bool]) -> None:
        """Check that there is room for another entry, however what is in flight turns out.

        :param most: how many there may be of those that count.
        :raises OpenFlowError: with ``code``, when there is none.
        :raises Postponed: when that depends on something in flight.
        """
        if len(self.entries) + len(self.deleting) < most:
            return
        sure = sum(entry.pending is None and counts(entry) for entry in self.entries.values())
        if sure >= most:
            raise OpenFlowError(code, f"{most} {self.name}")
        unsure = [
            operation
            for operation in self.pending
            if counts(operation.rule) or (operation.old is not None and counts(operation.old))
        ]
        if sure + len(unsure) >= most:
            raise Postponed(unsure[0].group)

    # What an operation does to it (agent.ofproto.operations.Place).

    def begin(self, operation: Operation) -> None:
        """Make the change, optimistically."""
        entry = operation.rule
        if operation.kind is OperationKind.DELETE:
            del self.entries[entry.number]
            self.await_deletion(operation)
        else:
            self.pending[operation] = None
            entry.pending = operation
            self.entries[entry.number] = entry
            if operation.old is not None:
                operation.old.pending = operation
        self._changed()

    def revert(self, operation: Operation) -> None:
        """Take the change back; the operation is still pending, or it was only tried."""
        number = operation.rule.number
        if operation.kind is OperationKind.ADD:
            del self.entries[number]
            if operation.state is State.DONE:
                self.deleting[number] = operation
        else:
            self.entries[number] = operation.old
        self._changed()

    def end(self, operation: Operation) -> None:
        """The operation is over, whatever came of it."""
        del self.pending[operation]
        operation.rule.pending = None
        if operation.old is not None:
            operation.old.pending = None
        if self.deleting.get(operation.rule.number) is operation:
            del self.deleting[operation.rule.number]

    def doubt(self, operation: Operation, reason: str) -> Operation | None:
        """The hardware may not be as the table says."""
        entry = operation.rule
        entry.degraded = reason
        current = self.entries.get(entry.number)
        if current is not None and current.handle == entry.handle:
            current.degraded = reason
            return None
        self.ghosts.remember(entry, reason)
        return self.ghosts.deletion(entry)

    # What ghosts ask of it (agent.ofproto.ghosts.Home).

    @staticmethod
    def key(entry: E) -> int:
        """What hardware may know an entry by."""
        return entry.number

    def taken(self, entry: E) -> bool:
        """Whether there is, or is being deleted, an entry of the same number."""
        return entry.number in self.entries or entry.number in self.deleting

    def await_deletion(self, operation: Operation) -> None:
        """Let those wait who need the number of an entry that is not in :attr:`entries`."""
        entry = operation.rule
        self.pending[operation] = None
        entry.pending = operation
        self.deleting[entry.number] = operation


@attrs.define(eq=False)
class Naming(Criteria):
    """The rules, hidden ones too, that name any of these groups or meters."""

    match: Match = MATCH_ALL
    groups: Container[int] = ()
    meters: Container[int] = ()
    # Equal instruction lists are one object as a rule, and far fewer than rules.  Each is kept, so
    # that its identity stays its own.
    _known: dict[int, tuple[Instructions, bool]] = attrs.Factory(dict)

    def admits(self, rule: Rule) -> bool:
        """Whether a rule names one."""
        instructions = rule.instructions
        known = self._known.get(id(instructions))
        if known is None:
            names = any(group in self.groups for group in groups_of(instructions)) or any(
                meter in self.meters for meter in meters_of(instructions)
            )
            known = self._known[id(instructions)] = (instructions, names)
        return known[1]

    def selects(self, rule: Rule) -> bool:
        """The same: any match will do."""
        return self.admits(rule)


def count_names(
    tables: Iterable[FlowTable], names: Callable[[Instructions], Iterable[int]]
) -> Counter[int]:
    """How many rules name each group, or each meter.

    :param names: the numbers that instructions name.
    """
    lists: dict[int, Instructions] = {}
    rules: Counter[int] = Counter()
    for table in tables:
        for rule in table.rules:
            instructions = rule.instructions
            lists[id(instructions)] = instructions
            rules[id(instructions)] += 1
    counts: Counter[int] = Counter()
    for identity, instructions in lists.items():
        for number in set(names(instructions)):
            counts[number] += rules[identity]
    return counts
