"""The ledger: every operation of one bridge that is in flight, and what becomes of it.

See :mod:`agent.ofproto.operations` for the life of a group.  The ledger has no reactor.  It is
given a clock (``seconds()``, ``callLater()``), which makes all of this deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agent.ofproto.admission import Admission
from agent.ofproto.conditions import Condition
from agent.ofproto.histogram import Histogram
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import Operation, OperationGroup, Retry, StagedGroup, State
from agent.ofproto.submission import Submission
from agent.ofproto.watchdog import Watchdog
from agent.openflow.errors import FLOW_MOD_UNKNOWN, OpenFlowError
from drivers.interfaces import IOperation, OperationKind

DELETE: Final = OperationKind.DELETE
QUEUED: Final = State.QUEUED


class OperationLedger:
    """Every operation of one bridge that is in flight.

    :ivar clock: seconds and timers.
    :ivar groups: the groups in flight, oldest first.
    :ivar admission: who may start another.
    :ivar watchdog: finds the groups that the driver does not complete.
    :ivar late: completions that were ignored, since they came twice or too late.
    :ivar durations: seconds from a request's acceptance to the end of an operation, by the kind of
        operation: of those that the driver has done, and of those that failed.
    :ivar watchers: called with every group that has ended, before it lets go of its operations;
        they must not raise.
    :ivar delete_attempts: how often the driver is asked to delete an entry before it is degraded.
    :ivar retry_delay: seconds between two attempts; doubles with each.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        submit: Callable[[Sequence[IOperation]], None],
        committed: Callable[[Operation], None],
        admission: Admission,
        cleaner: IRequester,
        watchdog: float = 60.0,
        halted: Callable[[], bool] = lambda: False,
        recall: Callable[[Sequence[IOperation]], Container[IOperation]] = lambda operations: (),
        delete_attempts: int = 3,
        retry_delay: float = 0.5,
    ) -> None:
        """Nothing is in flight yet.

        :param submit: gives operations to the driver.
        :param committed: hears of each change that will not be taken back.
        :param cleaner: in whose name ghosts are deleted.
        :param watchdog: like ``halted``, see :class:`agent.ofproto.watchdog.Watchdog`.
        :param recall: see :meth:`drivers.abilities.IRecall.recall`.
        """
        self.clock = clock
        self.groups: dict[OperationGroup, None] = {}
        self.admission = admission
        self.watchdog = Watchdog(clock, watchdog, self.groups, self._give_up, halted)
        self.delete_attempts = delete_attempts
        self.retry_delay = retry_delay
        self.late = 0
        self.durations = {kind: (Histogram(), Histogram()) for kind in OperationKind}
        self.watchers: list[Callable[[OperationGroup], object]] = []
        self._submission = Submission(clock, submit, recall)
        self._committed = committed
        self._cleaner = cleaner
        # Of groups that are being taken back, what was given up, and why.
        self._doubts: dict[OperationGroup, dict[Operation, str]] = {}
        self._idle: Condition | None = None

    # --- the life of a group -----------------------------------------------------------------

    def accept(self, group: OperationGroup) -> OperationGroup | None:
        """Start a group that was planned, if it may start now.

        :returns: the group; None when it was over at once, since the driver need not be asked.
        :raises Postponed: when there is no place for it among those in flight.
        """
        operations = group.operations
        if operations[0].local and all(operation.local for operation in operations):
            self.record(operations)
            return None
        self.admission.admit(group.owner)
        self.start(group)
        return group

    def start(self, group: OperationGroup) -> None:
        """Change the tables and put the operations in line for the driver."""
        group.started = group.progress = self.clock.seconds()
        ready = self._submission.ready
        remaining = 0
        for operation in group.operations:
            operation.place.begin(operation)
            if operation.local:
                operation.state = State.DONE
            elif operation.state is QUEUED:
                remaining += 1
                ready.append(operation)
        group.remaining = remaining
        self.groups[group] = None
        if not group.owner.internal:
            self.admission.in_flight += 1
        if self._submission.call is None:
            self._submission.wake()
        self.watchdog.wake()

    def record(self, operations: Iterable[Operation]) -> None:
        """Carry out local operations on entries of which none is pending: all is over at once."""
        for operation in operations:
            operation.state = State.DONE
            operation.place.begin(operation)
            self._commit(operation)

    def completed(self, operation: Operation, error: Exception | None) -> None:
        """The driver says that an operation is over."""
        if operation.state is not State.IN_FLIGHT:
            self._too_late(operation, operation.group)
            return
        group = operation.group
        group.progress = now = self.clock.seconds()
        if error is None:
            operation.state = State.DONE
            self.durations[operation.kind][0].add(now - group.started)
            if not group.atomic:
                self._commit(operation)
        elif operation.kind is DELETE and operation.failures + 1 < self.delete_attempts:
            self._retry(operation, error)
            return
        else:
            self._failed(operation, error)
        group.remaining -= 1
        if not group.remaining:
            self._settle(group)

    def retried(self, retry: Retry, error: Exception | None) -> None:
        """The driver says that another attempt at an operation is over."""
        if retry.state is not State.IN_FLIGHT:
            self._too_late(retry, retry.operation.group)
            return
        self.completed(self._submission.tried(retry), error)

    def _too_late(self, operation: IOperation, group: OperationGroup) -> None:
        self.late += 1
        self._log.warn(
            "completion of {operation} ignored: it came twice, or after the operation was given up",
            operation=operation,
            connection=group.owner.name,
            xid=group.xid,
        )

    def _retry(self, operation: Operation, error: Exception) -> None:
        """Arrange for a failed DELETE to be tried again."""
        delay = self.retry_delay * 2**operation.failures
        operation.failures += 1
        self._log.info(
            "{operation} failed ({error}); again in {delay} s",
            operation=operation,
            error=error,
            delay=delay,
            connection=operation.group.owner.name,
            xid=operation.group.xid,
        )
        self._submission.retry(operation, delay)

    def _failed(self, operation: Operation, error: Exception) -> None:
        operation.state = State.FAILED
        group = operation.group
        self.durations[operation.kind][1].add(self.clock.seconds() - group.started)
        if not isinstance(error, OpenFlowError):
            self._log.error(
                "{operation} failed: {error}",
                operation=operation,
                error=error,
                connection=group.owner.name,
                xid=group.xid,
            )
            error = OpenFlowError(operation.place.failure, str(error))
        if group.error is None:
            group.error = error
            group.blame(operation)
        if not group.atomic:
            operation.place.revert(operation)
            operation.place.doubt(operation, str(error))
            operation.place.end(operation)

    def _commit(self, operation: Operation) -> None:
        """An operation has succeeded, and will not be taken back."""
        operation.place.end(operation)
        self._committed(operation)

    def _settle(self, group: OperationGroup) -> None:
        """The last operation has ended: keep, take back, or begin to undo."""
        if group.held and self._next_stage(group):
            return
        if not group.atomic:
            self._end(group)
        elif group.error is None:
            for operation in group.operations:
                operation.place.end(operation)
                self._committed(operation)
            self._end(group)
        elif group.undo is None:
            self._take_back(group)
        else:
            self._undone(group)

    def _next_stage(self, group: OperationGroup) -> bool:
        """A stage has ended: begin the next; returns whether there is one, now that it is known
        how this one went."""
        assert isinstance(group, StagedGroup)
        current = group.operations if group.undo is None else group.undo
        if any(operation.state is State.FAILED for operation in current):
            self._drop_stages(group)
            return False
        stage = group.held.pop(0)
        group.remaining = len(stage)
        group.progress = self.clock.seconds()
        for operation in stage:
            self._submission.put(operation)
        return True

    def _drop_stages(self, group: OperationGroup) -> None:
        """What the driver was not given, it never will be: there is nothing to doubt about it."""
        for stage in reversed(group.held):
            for operation in reversed(stage):
                operation.state = State.FAILED
                if not group.atomic:
                    operation.place.revert(operation)
                    operation.place.end(operation)
        if isinstance(group, StagedGroup):
            group.held = []

    def _take_back(self, group: OperationGroup) -> None:
        """Put the tables back, last change first, and the hardware where it has changed.

        Where the operations of a group need an order, such as making room for one another, so does
        taking back what the hardware may have done of those that were given up.
        """
        undo = []
        doubts = self._doubts.get(group, {}) if isinstance(group, StagedGroup) else {}
        for operation in reversed(group.operations):
            operation.place.revert(operation)
            if operation in doubts:
                # What was to be deleted may be there still, and cannot be added twice.
                if operation.kind is not DELETE:
                    undo.append(operation.inverse())
            elif operation.state is State.DONE and not operation.local:
                undo.append(operation.inverse())
        group.undo = undo
        first: Sequence[Operation] = undo
        if undo and isinstance(group, StagedGroup):
            first = group.hold(group.backwards(undo))
        group.remaining = len(first)
        for inverse in first:
            self._submission.put(inverse)
        if undo:
            group.progress = self.clock.seconds()
        else:
            self._undone(group)

    def _undone(self, group: OperationGroup) -> None:
        given_up = self._doubts.pop(group, {})
        doubts = {operation.rule.handle: reason for operation, reason in given_up.items()}
        undone = group.undo or ()
        failed = {op.rule.handle for op in undone if op.state is State.FAILED}
        for operation in undone:
            if operation.state is State.DONE:
                doubts.pop(operation.rule.handle, None)
        cleanup = []
        for operation in group.operations:
            handle = operation.rule.handle
            reason = doubts.get(handle)
            if reason is not None:
                deletion = operation.place.doubt(operation, reason)
                if deletion is not None:
                    cleanup.append(deletion)
            elif handle in failed:
                # To delete it was tried as often as is reasonable.
                operation.place.doubt(operation, f"could not be taken back: {group.error}")
            operation.place.end(operation)
        self.clean(cleanup)
        self._end(group)

    def clean(self, deletions: Sequence[Operation]) -> None:
        """Delete ghosts, if there are any."""
        if deletions:
            self.start(OperationGroup(self, self._cleaner, 0, deletions, atomic=False))

    def _end(self, group: OperationGroup) -> None:
        del self.groups[group]
        if not group.owner.internal:
            self.admission.in_flight -= 1
        if self.watchdog.slow(group.progress - group.started):
            # Slow hardware had no time for what is in line behind it: that has not waited yet.
            for other in self.groups:
                if other.started >= group.started:
                    other.progress = max(other.progress, group.progress)
        try:
            group.owner.group_ended(group)
        except Exception:
            # Whatever is wrong with one connection, others wait for this group and its place.
            self._log.failure("{connection} cannot be told", connection=group.owner.name)
        for watcher in self.watchers:
            watcher(group)
        group.clear()
        # Groups and operations refer to each other: part them, so that no garbage collector need.
        group.operations = ()
        group.undo = None
        self.admission.grant()
        if self._idle is not None and not self.groups:
            idle, self._idle = self._idle, None
            idle.clear()

    # --- drivers that do not answer -----------------------------------------------------------

    def _give_up(self, group: OperationGroup) -> None:
        """Fail what is left of a group whose driver does not answer.

        What the hardware has of these entries is unknown from now on, unless the driver can take
        them back: they are degraded, or ghosts, which are to be deleted.  What the driver did
        complete of the group is undone as after any failure.
        """
        reason = f"the driver did not answer for {self.watchdog.seconds:g} s"
        undoing = group.undo is not None
        current = group.operations if group.undo is None else group.undo
        over = (State.DONE, State.FAILED, State.HELD)
        stuck = [op for op in current if op.state not in over]
        self._log.error(
            "{count} operations given up: {reason} ({group})",
            count=len(stuck),
            reason=reason,
            group=group.describe(),
            connection=group.owner.name,
            xid=group.xid,
        )
        untouched = self._submission.withdraw(stuck)
        for operation in stuck:
            if group.atomic and (undoing or operation not in untouched):
                self._doubts.setdefault(group, {})[operation] = reason
            self._failed(operation, OpenFlowError(operation.place.failure, reason))
        group.remaining = 0
        self._settle(group)

    # --- for the operator, and for the end ---------------------------------------------------

    def operations(self) -> Iterator[Operation]:
        """Every operation in flight, oldest group first."""
        for group in self.groups:
            yield from group.operations

    def idle(self) -> Condition:
        """A condition that clears when nothing is in flight."""
        if self._idle is None:
            self._idle = IdleCondition(self)
            if not self.groups:
                idle, self._idle = self._idle, None
                idle.clear()
                return idle
        return self._idle

    def stop(self) -> None:
        """Forget everything: the bridge is going.  Later completions are ignored."""
        self.watchdog.stop()
        self._submission.stop()
        self._doubts.clear()
        self.admission.stop()
        for group in list(self.groups):
            group.error = group.error or OpenFlowError(FLOW_MOD_UNKNOWN, "the bridge is going")
            for operation in group.operations:
                if group.atomic or operation.state not in (State.DONE, State.FAILED):
                    operation.place.end(operation)
                operation.state = State.FAILED
            for operation in group.undo or ():
                operation.state = State.FAILED
            self._end(group)


class IdleCondition(Condition):
    """Something is in flight."""

    reason = "idle"

    __slots__ = ("ledger",)

    def __init__(self, ledger: OperationLedger) -> None:
        super().__init__()
        self.ledger = ledger

    def describe(self) -> str:
        """How much is in flight."""
        return f"{len(self.ledger.groups)} operation groups in flight"
