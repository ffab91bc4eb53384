"""What many changes come to, and in which order hardware makes the whole of it.

The operations of a bundle follow one another, and may change one entry again and again.  Hardware
is told only what they come to, with one operation for each entry: so no entry ever has two in
flight, what was in between costs nothing, and an entry that is deleted and made again is replaced
without a gap.  What a bundle both makes and deletes has never been there: nobody is told that it
has gone.

The order is that of make-before-break, in stages, of which each begins when the hardware has
confirmed the one before:

1. meters, and groups from the innermost outwards: rules that use them come later;
2. rules that are added or changed, from the last table to the first and in each from the highest
   priority down;
3. rules that go, the other way round;
4. groups from the outermost inwards, and meters, that go.

While a table is changed in this order, a packet meets the rule that it would have met before, or
the one that it will meet afterwards, and never a third one.  And what is added, which is what can
well fail, comes before anything is lost.

A table that has no room for both old and new lets the old rules go first.  Where there is no room
for the old and the new groups or meters, all goes before anything comes; what then would have to be
changed in the middle is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from agent.ofproto.groups import outermost_first
from agent.ofproto.operations import Operation, Place
from agent.openflow.actions import groups_of, meters_of
from agent.openflow.errors import BUNDLE_MSG_CONFLICT, OpenFlowError
from drivers.interfaces import Capabilities, OperationKind, Target

ADD: Final = OperationKind.ADD
DELETE: Final = OperationKind.DELETE
RULE: Final = Target.RULE
GROUP: Final = Target.GROUP
METER: Final = Target.METER


class NetOperation(Operation):
    """What became of one entry.

    :ivar number: the last of the messages that changed it.
    """

    __slots__ = ("deleted", "number", "overwrites")

    number: int
    deleted: bool
    overwrites: bool


@attrs.define
class _Change:
    """What became of one entry so far; ``before`` and ``after`` are None where there is none."""

    place: Place
    before: Any
    after: Any = None
    number: int = 0
    reason: int = 0
    deleted: bool = False
    added: bool = False
    local: bool = True

    def operation(self) -> NetOperation | None:
        """What to do; None: nothing."""
        before, after = self.before, self.after
        if before is None and after is None:
            return None
        if before is None:
            made = NetOperation(ADD, after, None, self.place)
        elif after is None:
            made = NetOperation(DELETE, before, before, self.place, self.reason)
        else:
            if after.handle != before.handle:
                after = attrs.evolve(after, handle=before.handle)
            anew = self.place.target is RULE and after.counters is not before.counters
            kind = OperationKind.REPLACE if anew else OperationKind.MODIFY
            made = NetOperation(kind, after, before, self.place, self.reason, self.local)
        made.number = self.number
        made.deleted = self.deleted and made.kind is OperationKind.REPLACE
        made.overwrites = self.added and made.old is not None
        return made


def net_change(journal: Iterable[tuple[int, Operation]]) -> list[NetOperation]:
    """One operation for each entry that some others change.

    :param journal: the others in their order, each with the number of its message.
    """
    changes: dict[tuple[object, ...], _Change] = {}
    for number, operation in journal:
        place, entry = operation.place, operation.rule
        key: tuple[object, ...] = (
            (place, entry.match, entry.priority) if place.target is RULE else (place, entry.number)
        )
        change = changes.get(key)
        if change is None:
            change = changes[key] = _Change(place, operation.old)
        change.number = number
        change.local &= operation.local
        if operation.kind is DELETE:
            change.after = None
            change.reason = operation.reason
            change.deleted = True
        else:
            change.after = entry
            change.added |= operation.kind is ADD or operation.overwrites
    made = (change.operation() for change in changes.values())
    return [operation for operation in made if operation is not None]


def in_stages(operations: Sequence[NetOperation], can: Capabilities) -> list[list[Operation]]:
    """The order; see the module.

    :param operations: not all of them local; the tables are as before them.
    :raises OpenFlowError: BUNDLE_FAILED/MSG_CONFLICT, when there is no order.
    """
    told = [operation for operation in operations if not operation.local]
    rules = [operation for operation in told if operation.target is RULE]
    made = sorted(
        (operation for operation in rules if operation.kind is not DELETE),
        key=lambda operation: (-operation.rule.table_id, -operation.rule.priority),
    )
    gone = sorted(
        (operation for operation in rules if operation.kind is DELETE),
        key=lambda operation: (operation.rule.table_id, operation.rule.priority),
    )
    made_numbered = _numbered([op for op in told if op.kind is not DELETE])[::-1]
    gone_numbered = _numbered([op for op in told if op.kind is DELETE])
    order: list[Sequence[Operation]]
    if _numbers_run_out(told, can):
        _check_turnover(told)
        order = [gone, *gone_numbered, *made_numbered, made]
    else:
        full = _full_tables(made)
        first = [operation for operation in gone if operation.place in full]
        last = [operation for operation in gone if operation.place not in full]
        order = [first, *made_numbered, made, last, *gone_numbered]
    stages = [list(stage) for stage in order if stage]
    stages[0] += [operation for operation in operations if operation.local]
    return stages


def _numbered(operations: Sequence[NetOperation]) -> list[list[Operation]]:
    """Operations on groups and meters, those on groups outermost first, those on meters last."""
    of_groups = {op.rule.group_id: op for op in operations if op.target is GROUP}
    stages: list[list[Operation]] = [
        [of_groups[group.group_id] for group in stage]
        for stage in outermost_first(operation.rule for operation in of_groups.values())
    ]
    of_meters = [operation for operation in operations if operation.target is METER]
    if of_meters:
        if not stages:
            stages.append([])
        stages[-1] += of_meters
    return stages


def _full_tables(made: Iterable[NetOperation]) -> set[Place]:
    """The tables without room for what is added beside all that is there."""
    added: Counter[Any] = Counter(operation.place for operation in made if operation.kind is ADD)
    return {
        table
        for table, count in added.items()
        if table.rules.count + len(table.deleting) + count > table.max_entries
    }


def _numbers_run_out(operations: Iterable[NetOperation], can: Capabilities) -> bool:
    """Whether there is no room for the old and the new groups, or meters."""
    used: Counter[tuple[Target, int]] = Counter()
    places: dict[Target, Any] = {}
    for operation in operations:
        target = operation.target
        if target is RULE or operation.kind is DELETE:
            continue
        places[target] = operation.place
        if operation.kind is ADD or (target is GROUP and operation.rule.type != operation.old.type):
            used[target, operation.rule.type if target is GROUP else 0] += 1
    for target, table in places.items():
        for entry in (*table.entries.values(), *(op.rule for op in table.deleting.values())):
            key = (target, entry.type if target is GROUP else 0)
            if key in used:
                used[key] += 1
    most = {GROUP: can.max_groups, METER: can.max_meters}
    return any(count > most[target] for (target, _), count in used.items())


def _check_turnover(operations: Sequence[NetOperation]) -> None:
    """Check that nothing which stays has used what goes."""
    going = {
        (operation.target, operation.rule.number)
        for operation in operations
        if operation.target is not RULE and operation.kind is DELETE
    }
    for operation in operations:
        if operation.kind is DELETE or operation.old is None:
            continue
        old = operation.old
        if operation.target is RULE:
            named = {(GROUP, number) for number in groups_of(old.instructions)}
            named |= {(METER, number) for number in meters_of(old.instructions)}
        else:
            named = {(GROUP, number) for number in getattr(old, "forwards_to", ())}
        if named & going:
            raise OpenFlowError(
                BUNDLE_MSG_CONFLICT, "there is no room for what replaces a group or a meter in use"
            )
