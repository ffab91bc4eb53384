"""Is what a switch did right?  :class:`Oracle` compares it with the naive model.

The property is that there is a serial order of the requests, each taking effect at one moment
between its arrival and its answer, which gives the same answers and the same tables.  The design
says which order that is: the one in which the switch *accepted* them, for acceptance lies between
arrival and answer, and follows the order of each connection.  So no order is searched for.  All
that is accepted is written into a journal; the model executes the journal, told what the hardware
refused of each; and it must agree after every step, with what is still in flight taken for done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
from twisted.internet.task import Clock

from agent.ofproto.bundles import BundleGroup
from agent.ofproto.expiry import PAUSE
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import Operation, OperationGroup, State
from agent.ofproto.rule import Rule
from agent.openflow import messages as of
from agent.openflow.actions import Output, actions_of
from drivers.interfaces import OperationKind
from drivers.testing import ScriptableDriver
from tests.ofproto.model import DELETE, EVICTED, Bundle, Entry, Key, Model, Order, Pattern
from tests.ofproto.session import Session
from tests.ofproto.stage import Observer, essence
from tests.ofproto.watching import Copy

PATTERNS: Final = (
    Pattern(),
    Pattern(1),
    Pattern(2),
    Pattern(None, 1, 1),
    Pattern(1, 1, 1),
    Pattern(1, 1, 0),
    Pattern(1, 3, 1),
    Pattern(2, 2, 2),
)
"""What rules match: patterns that cover, overlap and exclude each other."""

KNOWN: Final = {pattern.match(): pattern.packets for pattern in PATTERNS}

_NUMBERS: Final = {pattern.packets: number for number, pattern in enumerate(PATTERNS)}
"""Sets have no order; to sort what is compared, their numbers do."""


def key_of(rule: Rule) -> Key:
    """The model's key of a rule."""
    return (rule.table_id, rule.priority, KNOWN[rule.match])


@attrs.define(eq=False)
class Event:
    """Something that took effect at a certain moment.

    :ivar what: what was asked for; of what the agent does by itself, why rules go; of a packet, the
        rule it hit.
    :ivar error: of a request that was refused at once, the name of the error.
    :ivar operations: those of the group, which forgets them when it ends.
    """

    what: Order | Bundle | int | Key
    time: float
    version: int = 0
    internal: bool = False
    error: str = ""
    group: OperationGroup | None = None
    operations: tuple[Operation, ...] = ()

    @property
    def over(self) -> bool:
        """Whether its effect is what it will be for ever."""
        group = self.group
        return group is None or group.ended or (group.atomic and group.undo is not None)

    @property
    def refused(self) -> frozenset[Key]:
        """What the hardware has refused of it, as far as that shows in the table."""
        group = self.group
        if group is None:
            return frozenset()
        if group.atomic:
            shows = group.undo is not None or (group.ended and group.error is not None)
            return frozenset(key_of(op.rule) for op in self.operations if shows)
        return frozenset(key_of(op.rule) for op in self.operations if op.state is State.FAILED)

    @property
    def victim(self) -> Key | None:
        """The rule that has to make room for another."""
        for operation in self.operations:
            if operation.reason == EVICTED and operation.kind is OperationKind.DELETE:
                return key_of(operation.rule)
        return None

    def apply(self, model: Model) -> None:
        """Have the model do it, and compare the answer."""
        what, refused = self.what, self.refused
        if isinstance(what, tuple):
            model.hit(what, self.time)
        elif isinstance(what, int):
            keys = [key_of(operation.rule) for operation in self.operations]
            if what == of.RemovedReason.DELETE:
                model.flush(keys, refused)
            else:
                model.expire(keys, what, self.time, refused)
        else:
            errors = (
                model.commit(what, self.internal, self.time, bool(refused))
                if isinstance(what, Bundle)
                else model.execute(
                    what,
                    self.version,
                    self.internal,
                    self.time,
                    refused if what.command >= DELETE else bool(refused),
                    self.victim,
                )
            )
            if self.error or errors:
                assert self.error in errors, f"{what}: {self.error or 'no error'}, not {errors}"
            elif self.group is not None and self.group.ended:
                assert bool(refused) == (self.group.error is not None), f"{what}: wrong outcome"


class Oracle:
    """Compares a switch with the model.

    :ivar journal: what took effect and is not in :attr:`settled` yet, oldest first.
    :ivar settled: the model after everything that is over.
    :ivar doubtful: the handles of entries of which the hardware may have something else, or
        something still, than the tables say.
    :ivar ghosts: those that each table knows of itself.
    :ivar copy: the rules, as flow monitors know them.
    """

    def __init__(
        self, switch: OFProto, driver: ScriptableDriver, observer: Observer, clock: Clock
    ) -> None:
        self.switch = switch
        self.driver = driver
        self.observer = observer
        self.clock = clock
        self.journal: list[Event] = []
        self.settled = Model(tuple(table.max_entries for table in switch.tables))
        self.doubtful: set[int] = set()
        self._read_at = 0.0
        self.ghosts: list[set[int]] = [set() for _ in switch.tables]
        self.copy = Copy(switch.changes)

    def expected(self) -> Model:
        """The model after everything that was accepted, with what is in flight taken for done."""
        model = self.settled
        while self.journal and self.journal[0].over:
            self.journal.pop(0).apply(model)
        if self.journal:
            model = model.clone()
            for event in self.journal:
                event.apply(model)
        return model

    def check(self, sessions: Iterable[Session]) -> None:
        """Compare all that can be seen with what must be."""
        assert not self.driver.violations, self.driver.violations
        model = self.expected()
        self._check_tables(model)
        self._check_pending()
        self.copy.check()
        self._check_bounds(sessions)
        now = self.clock.seconds()
        if self.driver.hold_reads or self.driver._reads:
            self._read_at = now + PAUSE
        if self.switch.ledger.groups or any(
            call.getTime() <= now for call in self.clock.getDelayedCalls()
        ):
            return
        if self.switch.flushing is None:
            for session in sessions:
                waits = session.queue and not session.outstanding
                assert not waits, f"{session.name} waits though nothing is in flight"
            assert not self.switch.admission, "a place is kept for somebody who does not come"
        self._check_hardware()
        self._check_removed(model)
        self._check_timeouts(model)

    def _check_tables(self, model: Model) -> None:
        """The tables are the model's."""
        found = sorted(_facts_of_rule(rule) for rule in self.switch.rules())
        expected = sorted(_facts_of_entry(entry) for entry in model.entries)
        assert found == expected, f"the tables are\n{found}\nnot\n{expected}"

    def _check_pending(self) -> None:
        """What is pending is in flight, and nothing is counted wrong."""
        tables = self.switch.tables
        pending = {operation for table in tables for operation in table.pending}
        assert pending <= set(self.switch.ledger.operations()), "something is pending for ever"
        for rule in self.switch.rules():
            assert rule.pending is None or rule.pending in pending
        for table in tables:
            assert set(table.deleting.values()) <= pending
            assert table.adding == sum(op.kind is OperationKind.ADD for op in table.pending)
            # What makes room for others of its own group does so before they come; what the
            # hardware perhaps has, too, may be one too many.
            going = [
                op
                for op in table.deleting.values()
                if op.reason != EVICTED
                and op.place is table
                and not isinstance(op.group, BundleGroup)
            ]
            assert table.rules.count + len(going) <= table.max_entries

    def _check_bounds(self, sessions: Iterable[Session]) -> None:
        """Nothing grows without end."""
        switch = self.switch
        controllers = [group for group in switch.ledger.groups if not group.owner.internal]
        assert len(controllers) == switch.admission.in_flight <= switch.admission.limit
        assert len(switch.admission) <= len(list(sessions))
        places = sum(table.max_entries for table in switch.tables)
        assert len(switch.expiry._heap) <= 2 * places + 64
        for table in switch.tables:
            assert len(table.ghosts) <= table.max_entries
            ghosts = table.ghosts.entries.keys()
            if len(ghosts) < table.max_entries:
                # Those that are none any more were deleted; none was forgotten.
                self.doubtful -= self.ghosts[table.table_id] - ghosts
            self.ghosts[table.table_id] = set(ghosts)
            self.doubtful |= ghosts

    def _check_hardware(self) -> None:
        """With nothing in flight the hardware has what the tables say, as far as that is known."""
        hardware = self.driver.hardware
        rules = {rule.handle: rule for rule in self.switch.rules()}
        for handle, rule in rules.items():
            if not rule.degraded and handle not in self.doubtful:
                assert handle in hardware, f"{rule} is not in the hardware"
                there = essence(hardware[handle])
                assert there == essence(rule), f"{rule} is {there} in the hardware"
        left = hardware.keys() - rules.keys() - self.doubtful
        assert not left, f"{[essence(hardware[handle]) for handle in left]} left in the hardware"

    def _check_removed(self, model: Model) -> None:
        """Controllers were told of just what has gone."""
        told = sorted(
            (
                removed.table_id,
                removed.priority,
                _NUMBERS[KNOWN[removed.match]],
                removed.cookie,
                removed.reason,
                removed.packet_count,
            )
            for removed in self.observer.removed
        )
        expected = sorted(
            (
                *removed.key[:2],
                _NUMBERS[removed.key[2]],
                removed.cookie,
                removed.reason,
                removed.packets,
            )
            for removed in model.removed
        )
        assert told == expected, f"told of {told}, not of {expected}"
        self.observer.removed.clear()
        model.removed.clear()

    def _check_timeouts(self, model: Model) -> None:
        """With nothing in flight no rule is there whose time has come; but one which the hardware
        would not delete, or would not say when it was used, will be looked at again."""
        now = self.clock.seconds()
        if self.driver.hold_reads or self.driver._reads:
            return
        looks = self.switch.expiry._deadlines
        rules = {key_of(rule): rule for rule in self.switch.rules()}
        for entry in model.entries:
            if entry.deadline()[0] + 0.1 < now:
                rule = rules[entry.key]
                assert rule.degraded or now < self._read_at, f"{entry} is overdue"
                assert looks[rule.handle] <= now + PAUSE


def _facts_of_rule(rule: Rule) -> tuple[object, ...]:
    """All that can be seen of a rule."""
    actions = actions_of(rule.instructions)
    return (
        rule.table_id,
        rule.priority,
        _NUMBERS[KNOWN[rule.match]],
        tuple(action.port for action in actions if isinstance(action, Output)),
        rule.cookie,
        rule.idle_timeout,
        rule.hard_timeout,
        rule.flags,
        rule.created,
        rule.modified,
        rule.counters.packets,
        rule.counters.used,
    )


def _facts_of_entry(entry: Entry) -> tuple[object, ...]:
    """The same of a rule of the model."""
    return (
        entry.table,
        entry.priority,
        _NUMBERS[entry.pattern],
        entry.outputs,
        entry.cookie,
        entry.idle,
        entry.hard,
        entry.flags,
        entry.created,
        entry.modified,
        entry.packets,
        entry.used,
    )
