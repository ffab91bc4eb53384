"""The way of operations to the driver: in turns of the reactor, in batches, and again if need be.

What becomes ready within a turn is given to the driver at its end, together; so a driver sees as
many operations at once as there are, and nothing that it completes at once re-enters whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agent.ofproto.operations import Operation, Retry, State
from drivers.interfaces import IOperation

BATCH: Final = 1000
"""How many operations a driver is given in one turn of the reactor at most, so that a request about
a hundred thousand rules does not keep everybody else from their turn."""


class Submission:
    """The operations of one bridge that are in line for its driver, or will be again.

    :ivar ready: those in line.
    :ivar call: what gives them to the driver; None while there are none.
    """

    __slots__ = ("_attempts", "_clock", "_recall", "_submit", "call", "ready")

    def __init__(
        self,
        clock: IReactorTime,
        submit: Callable[[Sequence[IOperation]], None],
        recall: Callable[[Sequence[IOperation]], Container[IOperation]],
    ) -> None:
        """:param submit: gives operations to the driver.
        :param recall: see :meth:`drivers.abilities.IRecall.recall`.
        """
        self.ready: list[Operation | Retry] = []
        self.call: IDelayedCall | None = None
        self._clock = clock
        self._submit = submit
        self._recall = recall
        self._attempts: dict[Operation, Retry] = {}

    def put(self, operation: Operation | Retry) -> None:
        """Put an operation in line."""
        operation.state = State.QUEUED
        self.ready.append(operation)
        if self.call is None:
            self.wake()

    def wake(self) -> None:
        """There is something in line, and was nothing before."""
        self.call = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        """Give the driver what became ready in this turn."""
        self.call = None
        ready, self.ready = self.ready[:BATCH], self.ready[BATCH:]
        if self.ready:
            self.wake()
        for operation in ready:
            operation.state = State.IN_FLIGHT
        self._submit(ready)

    def retry(self, operation: Operation, delay: float) -> None:
        """Have an operation that has failed tried again after so many seconds."""
        operation.state = State.RETRYING
        attempt = self._attempts[operation] = Retry(operation)
        attempt.call = self._clock.callLater(delay, self._again, attempt)

    def _again(self, attempt: Retry) -> None:
        attempt.call = None
        attempt.operation.group.progress = self._clock.seconds()
        self.put(attempt)

    def tried(self, attempt: Retry) -> Operation:
        """Another attempt is over, and with it the operation, which is returned."""
        operation = attempt.operation
        del self._attempts[operation]
        attempt.state = State.DONE
        operation.state = State.IN_FLIGHT
        return operation

    def withdraw(self, operations: Collection[Operation]) -> set[Operation]:
        """Nobody waits for these any more: tell the driver, and try none of them again.

        :returns: those of which the hardware has nothing and never will.
        """
        untouched = set()
        given: dict[IOperation, Operation] = {}
        gone: set[Operation | Retry] = set(operations)
        for operation in operations:
            retry = self._attempts.pop(operation, None)
            attempt = operation if retry is None else retry
            if attempt.state is State.IN_FLIGHT:
                given[attempt] = operation
            else:
                untouched.add(operation)
            if retry is not None:
                gone.add(retry)
        recalled = self._recall(list(given)) if given else ()
        for one in gone:
            if isinstance(one, Retry):
                one.give_up()
        self.ready = [operation for operation in self.ready if operation not in gone]
        return untouched.union(own for attempt, own in given.items() if attempt in recalled)

    def stop(self) -> None:
        """The bridge is going: nothing more is given to the driver."""
        if self.call is not None:
            self.call.cancel()
            self.call = None
        for retry in self._attempts.values():
            retry.give_up()
        self._attempts.clear()
        self.ready.clear()
