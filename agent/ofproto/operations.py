"""The asynchronous core: operations, groups of them, and the ledger of all that are in flight.

Every change of the forwarding state is an :class:`Operation` on one entry, and the operations of
one request are one :class:`OperationGroup`.  The table is changed at once, optimistically; the
driver is told at the end of the reactor's turn; and when the last operation of the group has ended
the group is *settled*, once: either everything stays, or everything is taken back.

::

                     start()                       last complete()
    (request) ------------------> in flight ----------------------------> ended, no error
                                      |
                                      |  last complete(), some with an error
                                      v
                                  some succeeded and the group is atomic?
                                      |  yes                     | no
                                      v                          v
                                  undoing  ------------------> ended, with the first error
                                      (compensating operations)

An operation that fails left the hardware as it was, so the table is just put back.  One that
succeeded in a group that fails has changed the hardware, so the opposite operation is sent before
the group ends; until then its rule stays pending, and nobody can see or build upon the state in
between.  DELETE requests are the exception: entries that are gone stay gone, and those that the
hardware would not delete come back marked *degraded*, for putting a thousand entries back into slow
hardware because the thousandth got stuck is nobody's wish.

An entry with an operation in flight is touched by nobody else, so operations need not be ordered
among themselves; see :mod:`agent.ofproto.flow_mod` for who waits for what.  Where one request needs
an order, such as deleting the rules that use a group and then the group, its group is a
:class:`StagedGroup`.  Many requests can be one group, too (:mod:`agent.ofproto.bundles`).

:class:`agent.ofproto.ledger.OperationLedger` drives all this.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from agent.ofproto.conditions import Condition
from agent.ofproto.interfaces import IRequester
from agent.openflow.errors import ErrorCode
from drivers.interfaces import IOperation, OperationKind, Target

_INVERSE: Final = {
    OperationKind.ADD: OperationKind.DELETE,
    OperationKind.DELETE: OperationKind.ADD,
    OperationKind.MODIFY: OperationKind.MODIFY,
    OperationKind.REPLACE: OperationKind.REPLACE,
}


class State(enum.Enum):
    """Where an operation is in its life."""

    HELD = "held"  # waits for others of its group
    QUEUED = "queued"  # in the ledger, the driver does not know it yet
    IN_FLIGHT = "in flight"  # with the driver
    RETRYING = "retrying"  # failed; another attempt is due, or with the driver
    DONE = "done"
    FAILED = "failed"


class Place(Protocol):
    """Where the entry of an operation lives: a flow table (or the table of groups, or meters)."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def target(self) -> Target:
        """What its entries are."""

    @property
    def failure(self) -> ErrorCode:
        """What a controller is told of a failure that the driver does not give an error for."""

    def begin(self, operation: Operation) -> None:
        """Make the change, optimistically, and mark the entry pending."""

    def revert(self, operation: Operation) -> None:
        """Put back what was; the entry stays pending.

        Also called when the operation has ended and was only tried, in the same turn.
        """

    def end(self, operation: Operation) -> None:
        """The entry is no longer pending."""

    def doubt(self, operation: Operation, reason: str) -> Operation | None:
        """It is not known what the hardware has of this entry.

        :returns: what would end the doubt: the deletion of what is in no table any more.
        """


class Ledger(Protocol):
    """What a group and its operations know of the ledger they are in."""

    clock: IReactorTime

    def completed(self, operation: Operation, error: Exception | None) -> None:
        """The driver says that an operation is over."""

    def retried(self, retry: Retry, error: Exception | None) -> None:
        """The driver says that another attempt at an operation is over."""


@implementer(IOperation)
class Operation:
    """One change of one entry.

    :ivar kind: what it does.
    :ivar rule: the entry as it shall be; of a DELETE, the entry that shall go.
    :ivar old: the entry as it was; None for an ADD.
    :ivar place: where the entry lives.
    :ivar reason: of a DELETE, why (:class:`agent.openflow.messages.RemovedReason`).
    :ivar local: whether only the agent's own record changes, and the driver is not asked.
    :ivar group: the group it belongs to.
    :ivar state: where it is.
    :ivar failures: how often the driver could not do it.
    :ivar deleted: of a REPLACE, whether its old entry is to be told of as deleted, for ``reason``.
    :ivar overwrites: whether it adds an entry where there is one already; to the driver that is a
        REPLACE or a MODIFY, but some want to know (:mod:`agent.ofproto.monitors`).
    """

    deleted: bool = False
    overwrites: bool = False

    __slots__ = ("failures", "group", "kind", "local", "old", "place", "reason", "rule", "state")

    group: OperationGroup

    def __init__(
        self,
        kind: OperationKind,
        rule: Any,
        old: Any,
        place: Place,
        reason: int = 0,
        local: bool = False,
    ) -> None:
        self.kind = kind
        self.rule = rule
        self.old = old
        self.place = place
        self.reason = reason
        self.local = local
        self.state = State.QUEUED
        self.failures = 0

    @property
    def target(self) -> Target:
        """What kind of entry it is about: what its place has."""
        return self.place.target

    def complete(self, error: Exception | None = None) -> None:
        """See :meth:`drivers.interfaces.IOperation.complete`."""
        self.group.ledger.completed(self, error)

    def inverse(self) -> Operation:
        """The operation that takes this one back, of the same group."""
        back = Operation(
            _INVERSE[self.kind],
            self.rule if self.old is None else self.old,
            None if self.kind is OperationKind.DELETE else self.rule,
            self.place,
        )
        back.group = self.group
        return back

    def __repr__(self) -> str:
        return f"<Operation {self.kind.value} in {self.place.name}: {self.state.value}>"


class Overwrite(Operation):
    """An operation that adds an entry where there is one already."""

    __slots__ = ()

    overwrites = True


@implementer(IOperation)
class Retry:
    """Another attempt at an operation which has failed: to the driver, an operation of its own.

    So every object that a driver is given is completed once, and what it still says of an earlier
    attempt is not taken for the outcome of this one.

    :ivar operation: what is tried again.
    :ivar state: where this attempt is.
    :ivar call: until it is queued, the timer that will queue it.
    """

    __slots__ = ("call", "operation", "state")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.state = State.RETRYING
        self.call: IDelayedCall | None = None

    @property
    def kind(self) -> OperationKind:
        """See :class:`drivers.interfaces.IOperation`, like the rest."""
        return self.operation.kind

    @property
    def target(self) -> Target:
        """What kind of entry it is about."""
        return self.operation.place.target

    @property
    def rule(self) -> Any:
        """The entry as it shall be."""
        return self.operation.rule

    @property
    def old(self) -> Any:
        """The entry as it was."""
        return self.operation.old

    def complete(self, error: Exception | None = None) -> None:
        """See :meth:`drivers.interfaces.IOperation.complete`."""
        self.operation.group.ledger.retried(self, error)

    def give_up(self) -> None:
        """Let go of the timer, and of what the driver may say later."""
        self.state = State.FAILED
        if self.call is not None:
            self.call.cancel()
            self.call = None

    def __repr__(self) -> str:
        return f"<Retry of {self.operation}>"


class OperationGroup(Condition):
    """The operations of one request.  As a condition, it clears when the group has ended.

    :ivar owner: who is told when it ends.
    :ivar xid: the request's.
    :ivar request: the request's bytes, or as many as an error repeats; set by the connection.
    :ivar operations: at least one; while undoing, still the original ones; none once it has ended.
    :ivar atomic: whether what succeeded is taken back when another operation of it failed.
    :ivar error: the first error.
    :ivar held: the stages not begun yet; only of a :class:`StagedGroup`.
    :ivar started: when it was accepted, in seconds of the clock.
    :ivar progress: when something of it last became known to be over, likewise.
    """

    reason = "operation"
    held: Sequence[Sequence[Operation]] = ()

    __slots__ = (
        "atomic",
        "error",
        "ledger",
        "operations",
        "owner",
        "progress",
        "remaining",
        "request",
        "started",
        "undo",
        "xid",
    )

    def __init__(
        self,
        ledger: Ledger,
        owner: IRequester,
        xid: int,
        operations: Sequence[Operation],
        atomic: bool = True,
    ) -> None:
        # Condition.__init__, without the call: this runs for every flow_mod.
        self._cleared = False
        self._waiters = None
        self.ledger = ledger
        self.owner = owner
        self.xid = xid
        self.request = b""
        self.operations = operations
        self.atomic = atomic
        self.error: Exception | None = None
        self.started = 0.0
        self.progress = 0.0
        self.remaining = 0
        self.undo: list[Operation] | None = None
        for operation in operations:
            operation.group = self

    def blame(self, operation: Operation) -> None:
        """This operation was the first of the group to fail."""

    @property
    def ended(self) -> bool:
        """Whether its outcome is decided and everybody was told."""
        return self._cleared

    def describe(self) -> str:
        """What is in flight, for whom and for how long."""
        if not self.operations:
            return f"nothing: xid {self.xid:#x} of {self.owner.name} has ended"
        first = self.operations[0]
        count = len(self.operations)
        what = first.kind.value if count == 1 else f"{count} operations"
        age = self.ledger.clock.seconds() - self.started
        return (
            f"{what} in table {first.place.name}, xid {self.xid:#x} of {self.owner.name}, "
            f"in flight for {age:.3f} s"
        )


class StagedGroup(OperationGroup):
    """A group whose operations are carried out in stages: the driver is given a stage when it has
    completed all of the one before, well.

    The tables are changed all at once, as ever.  Should an operation fail, the stages behind it are
    never begun and are taken back; what has to be undone is undone from the last stage to the
    first.

    :ivar stages: the operations by stage, none empty.
    :ivar held: the stages not begun yet; while undoing, those of the inverse operations.
    """

    __slots__ = ("held", "stages")

    def __init__(
        self,
        ledger: Ledger,
        owner: IRequester,
        xid: int,
        stages: Sequence[Sequence[Operation]],
        atomic: bool = True,
    ) -> None:
        super().__init__(ledger, owner, xid, [op for stage in stages for op in stage], atomic)
        self.stages = stages
        self.held: list[Sequence[Operation]] = []
        self.hold(stages)

    def hold(self, stages: Sequence[Sequence[Operation]]) -> Sequence[Operation]:
        """Keep all stages but the first for later, and return that."""
        first, *held = stages
        self.held = held
        for stage in held:
            for operation in stage:
                operation.state = State.HELD
        return first

    def backwards(self, undo: Sequence[Operation]) -> list[list[Operation]]:
        """Inverse operations, which are in the opposite order of :attr:`operations`, by stage."""
        places = {op.rule.handle: n for n, stage in enumerate(self.stages) for op in stage}
        stages: dict[int, list[Operation]] = {}
        for operation in undo:
            stages.setdefault(places[operation.rule.handle], []).append(operation)
        return list(stages.values())
