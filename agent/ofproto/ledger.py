"""The ledger: every operation of one bridge that is in flight, and what becomes of it.

See :mod:`agent.ofproto.operations` for the life of a group.  The ledger has no reactor.  It is
given a clock (``seconds()``, ``callLater()``), which makes all of this deterministic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import Operation, OperationGroup, State
from agent.openflow.errors import FLOW_MOD_UNKNOWN, OpenFlowError
from drivers.interfaces import OperationKind

BATCH: Final = 1000
"""How many operations a driver is given in one turn of the reactor at most, so that a request about
a hundred thousand rules does not keep everybody else from their turn."""

DELETE: Final = OperationKind.DELETE


class SlotCondition(Condition):
    """There is no room for another group in flight."""

    __slots__ = ("limit", "requester")

    def __init__(self, requester: IRequester, limit: int) -> None:
        super().__init__()
        self.requester = requester
        self.limit = limit

    def describe(self) -> str:
        """The cap it waits for."""
        return f"a place among the {self.limit} operation groups in flight"


class OperationLedger:
    """Every operation of one bridge that is in flight.

    :ivar clock: seconds and timers.
    :ivar groups: the groups in flight, oldest first.
    :ivar max_groups: how many there may be; groups of the agent itself do not count.
    :ivar watchdog: after how many seconds an operation that the driver has not completed is failed;
        0: never.
    :ivar late: completions that were ignored, since they came twice or too late.
    :ivar delete_attempts: how often the driver is asked to delete an entry before it is degraded.
    :ivar retry_delay: seconds between two attempts; doubles with each.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        submit: Callable[[list[Operation]], None],
        committed: Callable[[Operation], None],
        max_groups: int = 50,
        watchdog: float = 60.0,
        halted: Callable[[], bool] = lambda: False,
        delete_attempts: int = 3,
        retry_delay: float = 0.5,
    ) -> None:
        self.clock = clock
        self.groups: dict[OperationGroup, None] = {}
        self.max_groups = max_groups
        self.watchdog = watchdog
        self.delete_attempts = delete_attempts
        self.retry_delay = retry_delay
        self.late = 0
        self._submit = submit
        self._committed = committed
        self._halted = halted
        self._was_halted = False
        self._ready: list[Operation] = []
        self._flush_call: IDelayedCall | None = None
        self._watchdog_call: IDelayedCall | None = None
        self._retry_calls: dict[Operation, IDelayedCall] = {}
        self._slots: deque[SlotCondition] = deque()
        self._promised: dict[IRequester, None] = {}
        self._internal = 0
        self._excused = 0.0
        self._idle: Condition | None = None

    # --- admission ---------------------------------------------------------------------------

    def admit(self, requester: IRequester) -> None:
        """Check that another group may start; called last, when nothing else is in the way.

        A place that becomes free is promised to the connection which has waited longest, and each
        connection has one message waiting at most, so that busy connections take turns.

        :raises Postponed: when it may not.
        """
        if requester.internal:
            return
        if self._promised and requester in self._promised:
            del self._promised[requester]
            return
        taken = len(self.groups) - self._internal + len(self._promised)
        if taken >= self.max_groups or self._slots:
            condition = SlotCondition(requester, self.max_groups)
            self._slots.append(condition)
            raise Postponed(condition)

    def forgo(self, requester: IRequester) -> None:
        """Give back what :meth:`admit` promised or queued, if anything: the requester is gone, or
        its message waits for something else."""
        self._promised.pop(requester, None)
        if self._slots:
            self._slots = deque(slot for slot in self._slots if slot.requester is not requester)
            self._grant()

    @property
    def contended(self) -> bool:
        """Whether anybody waits for a place, or has been promised one and not taken it yet."""
        return bool(self._promised or self._slots)

    def _grant(self) -> None:
        """Promise free places to those who wait, in their order."""
        slots = self._slots
        while slots and (len(self.groups) - self._internal + len(self._promised) < self.max_groups):
            slot = slots.popleft()
            self._promised[slot.requester] = None
            slot.clear()

    # --- the life of a group -----------------------------------------------------------------

    def start(self, group: OperationGroup) -> None:
        """Change the tables and put the operations in line for the driver."""
        group.started = self.clock.seconds()
        ready = self._ready
        remaining = 0
        for operation in group.operations:
            operation.place.begin(operation)
            if operation.local:
                operation.state = State.DONE
            else:
                remaining += 1
                ready.append(operation)
        group.remaining = remaining
        self.groups[group] = None
        if group.owner.internal:
            self._internal += 1
        if self._flush_call is None:
            self._flush_call = self.clock.callLater(0, self._flush)
        if self._watchdog_call is None and self.watchdog:
            self._watchdog_call = self.clock.callLater(self.watchdog, self._bark)

    def _flush(self) -> None:
        """Give the driver what became ready in this turn."""
        self._flush_call = None
        ready, self._ready = self._ready[:BATCH], self._ready[BATCH:]
        if self._ready:
            self._flush_call = self.clock.callLater(0, self._flush)
        for operation in ready:
            operation.state = State.IN_FLIGHT
            operation.attempts += 1
        self._submit(ready)

    def _queue(self, operation: Operation) -> None:
        operation.state = State.QUEUED
        self._ready.append(operation)
        if self._flush_call is None:
            self._flush_call = self.clock.callLater(0, self._flush)

    def completed(self, operation: Operation, error: Exception | None) -> None:
        """The driver says that an operation is over."""
        if operation.state is not State.IN_FLIGHT:
            self.late += 1
            self._log.warn(
                "completion of {operation} ignored: it came {what}",
                operation=operation,
                what="twice, or after the operation was given up",
            )
            return
        group = operation.group
        if error is None:
            operation.state = State.DONE
        elif self._retry(operation, error):
            return
        else:
            self._failed(operation, error)
        group.remaining -= 1
        if not group.remaining:
            self._settle(group)

    def _retry(self, operation: Operation, error: Exception) -> bool:
        """Arrange for a failed DELETE to be tried again, while there are attempts left."""
        if operation.kind is not DELETE or operation.attempts >= self.delete_attempts:
            return False
        operation.state = State.RETRYING
        delay = self.retry_delay * 2 ** (operation.attempts - 1)
        self._log.info(
            "{operation} failed ({error}); again in {delay} s",
            operation=operation,
            error=error,
            delay=delay,
        )
        self._retry_calls[operation] = self.clock.callLater(delay, self._again, operation)
        return True

    def _again(self, operation: Operation) -> None:
        del self._retry_calls[operation]
        self._queue(operation)

    def _failed(self, operation: Operation, error: Exception) -> None:
        operation.state = State.FAILED
        group = operation.group
        if not isinstance(error, OpenFlowError):
            self._log.error("{operation} failed: {error}", operation=operation, error=error)
            error = OpenFlowError(FLOW_MOD_UNKNOWN, str(error))
        if group.error is None:
            group.error = error

    def _settle(self, group: OperationGroup) -> None:
        """The last operation has ended: keep, take back, or begin to undo."""
        if group.error is None:
            for operation in group.operations:
                operation.place.end(operation)
                self._committed(operation)
            self._end(group)
        elif group.undo is not None:
            self._undone(group)
        elif group.atomic:
            self._take_back(group)
        else:
            for operation in group.operations:
                if operation.state is State.FAILED:
                    operation.place.revert(operation)
                    operation.place.doubt(operation, str(group.error))
                    operation.place.end(operation)
                else:
                    operation.place.end(operation)
                    self._committed(operation)
            self._end(group)

    def _take_back(self, group: OperationGroup) -> None:
        """Put the tables back, last change first, and the hardware where it has changed."""
        undo = []
        for operation in reversed(group.operations):
            operation.place.revert(operation)
            if operation.state is State.DONE and not operation.local:
                undo.append(operation.inverse())
        group.undo = undo
        group.remaining = len(undo)
        for inverse in undo:
            self._queue(inverse)
        if not undo:
            self._undone(group)

    def _undone(self, group: OperationGroup) -> None:
        failed = {op.rule.handle for op in group.undo or () if op.state is State.FAILED}
        for operation in group.operations:
            if operation.rule.handle in failed:
                operation.place.doubt(operation, f"could not be taken back: {group.error}")
            operation.place.end(operation)
        self._end(group)

    def _end(self, group: OperationGroup) -> None:
        del self.groups[group]
        if group.owner.internal:
            self._internal -= 1
        group.owner.group_ended(group)
        group.clear()
        # Groups and operations refer to each other: part them, so that no garbage collector need.
        group.operations = ()
        group.undo = None
        if self._slots:
            self._grant()
        if self._idle is not None and not self.groups:
            idle, self._idle = self._idle, None
            idle.clear()

    # --- watching over it --------------------------------------------------------------------

    def _bark(self) -> None:
        """Fail the operations that the driver should have completed long ago."""
        self._watchdog_call = None
        now = self.clock.seconds()
        halted = self._halted()
        if halted or self._was_halted:
            # An operator has halted the hardware: its time starts anew when it goes on.
            self._excused = now
        self._was_halted = halted
        again = 0.0
        for group in list(self.groups):
            due = max(group.started, self._excused) + self.watchdog
            if due > now:
                again = due - now
                break
            self._give_up(group)
        if self.groups:
            self._watchdog_call = self.clock.callLater(again or self.watchdog, self._bark)

    def _give_up(self, group: OperationGroup) -> None:
        """Fail what is left of a group whose driver does not answer.

        What the hardware has of these entries is unknown from now on: they are degraded.  What the
        driver did complete of the group is undone as after any failure.
        """
        reason = f"the driver did not answer for {self.watchdog:g} s"
        current = group.operations if group.undo is None else group.undo
        stuck = [op for op in current if op.state not in (State.DONE, State.FAILED)]
        self._log.error(
            "{count} operations given up: {reason} ({group})",
            count=len(stuck),
            reason=reason,
            group=group.describe(),
        )
        for operation in stuck:
            retry = self._retry_calls.pop(operation, None)
            if retry is not None:
                retry.cancel()
            if operation.state is State.QUEUED and operation in self._ready:
                self._ready.remove(operation)
            self._failed(operation, OpenFlowError(FLOW_MOD_UNKNOWN, reason))
        group.remaining = 0
        self._settle(group)
        for operation in stuck:
            operation.place.doubt(operation, reason)

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
        for call in (self._flush_call, self._watchdog_call, *self._retry_calls.values()):
            if call is not None:
                call.cancel()
        self._flush_call = self._watchdog_call = None
        self._retry_calls.clear()
        self._ready.clear()
        self._slots.clear()
        self._promised.clear()
        for group in list(self.groups):
            for operation in (*group.operations, *(group.undo or ())):
                operation.state = State.FAILED
            group.error = group.error or OpenFlowError(FLOW_MOD_UNKNOWN, "the bridge is going")
            for operation in group.operations:
                operation.place.end(operation)
            self._end(group)


class IdleCondition(Condition):
    """Something is in flight."""

    __slots__ = ("ledger",)

    def __init__(self, ledger: OperationLedger) -> None:
        super().__init__()
        self.ledger = ledger

    def describe(self) -> str:
        """How much is in flight."""
        return f"{len(self.ledger.groups)} operation groups in flight"
