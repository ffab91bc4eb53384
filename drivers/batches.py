"""Operations that wait, in the order of a scheduler, until hardware that takes many has room.

A driver whose hardware works on very many requests at once could hand it all that arrives.  Then
nothing can be taken back any more, and nothing put in order.  So only so many are on their way, the
next go when some have ended, together, and the rest waits in a
:class:`drivers.scheduling.Scheduler`.

Performance-critical: every operation of the kernel's driver goes through :meth:`Batches.submit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from agent.openflow.errors import FLOW_MOD_UNKNOWN, OpenFlowError
from drivers.interfaces import IOperation
from drivers.scheduling import Scheduler
from drivers.window import CostModel, Trial

ON_THEIR_WAY: Final = 256
"""Operations that the hardware has at once; the next go when a quarter of them have ended."""


class EvenCosts:
    """The costs of hardware to which the order makes no difference.

    What is in order then is only what packets meet meanwhile; ``optimal`` has nothing to find.
    """

    together = False

    def __init__(self, room: Callable[[int], int]) -> None:
        """:param room: how many more entries a table takes, with all that is on its way."""
        self.room = room

    def rank(self, operation: IOperation) -> int:
        """See :class:`drivers.window.CostModel`, like the rest."""
        return 0

    def trial(self, operations: Iterable[IOperation]) -> Trial:
        """Nobody asks."""
        raise NotImplementedError("every order costs the same")


class Batches:
    """See the module.

    :ivar under_way: how many operations the hardware has.
    """

    def __init__(
        self,
        policy: str,
        model: CostModel,
        hand_over: Callable[[Sequence[IOperation]], object],
        now: Callable[[], float],
        limit: int = ON_THEIR_WAY,
    ) -> None:
        """
        :param policy: one of :data:`drivers.scheduling.POLICIES`.
        :param hand_over: gives the hardware operations, each of which is ended by :meth:`end`.
        :param now: seconds.
        :param limit: how many it has at once.
        """
        self.under_way = 0
        self._scheduler = Scheduler(model, policy)
        self._hand_over = hand_over
        self._now = now
        self._limit = limit
        self._enough = limit - limit // 4
        self._handing_over = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._scheduler)

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Operations come from the agent."""
        scheduler = self._scheduler
        room = self._limit - self.under_way
        if not scheduler.reorders and len(operations) <= room and not len(scheduler):
            # Where nothing is put in order, what need not wait need not stand in line.
            self.under_way += len(operations)
            self._hand_over(operations)
            return
        now = self._now()
        push = scheduler.push
        for operation in operations:
            push(operation, now)
        self._go_on()

    def recall(self, operations: Iterable[IOperation]) -> set[IOperation]:
        """Take back what still waits; see :class:`drivers.abilities.IRecall`."""
        return self._scheduler.discard(operations)

    def clear(self) -> None:
        """Hand nothing over any more."""
        self._scheduler.clear()

    def end(self, operation: IOperation, error: Exception | None = None) -> None:
        """The hardware has ended an operation, which is complete with that."""
        self.under_way -= 1
        operation.complete(error)
        if self.under_way < self._enough and len(self._scheduler):
            self._go_on()

    def _go_on(self) -> None:
        """Hand over what there is room for."""
        if self._handing_over:
            return
        self._handing_over = True
        scheduler = self._scheduler
        pop = scheduler.pop
        try:
            while len(scheduler) and self.under_way < self._limit:
                room = min(len(scheduler), self._limit - self.under_way)
                batch = [pop()[0] for _ in range(room)]
                self.under_way += len(batch)
                self._hand_over(batch)
            left_out, scheduler.left_out = scheduler.left_out, []
        finally:
            self._handing_over = False
        for operation in left_out:
            operation.complete(OpenFlowError(FLOW_MOD_UNKNOWN, "a later one took its place"))
