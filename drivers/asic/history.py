"""What the simulated hardware did lately, for people who look (``ofagentctl asic timeline``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from drivers.abilities import Work
from drivers.asic.step import Step
from drivers.interfaces import IOperation, Target

MOST: Final = 4096
"""How many operations are remembered that are over; of more, the last.  To tell all of them takes
the reactor some 30 ms."""


class History:
    """What is over, and since when what waits has waited.

    :ivar ended: the operations that are over, in that order.
    """

    def __init__(self, most: int = MOST) -> None:
        self.ended: deque[Work] = deque(maxlen=most)
        self._waiting: dict[IOperation, float] = {}

    def asked(self, operations: Iterable[IOperation], now: float) -> None:
        """Operations wait from now on; what waits already has done so since before."""
        waiting = self._waiting
        for operation in operations:
            waiting.setdefault(operation, now)

    def forget(self, operations: Iterable[IOperation]) -> None:
        """These do not wait any more: they are begun, or never will be."""
        for operation in operations:
            self._waiting.pop(operation, None)

    def clear(self) -> None:
        """None waits any more."""
        self._waiting.clear()

    def over(self, step: Step, at: float, error: Exception | None) -> None:
        """The hardware is not working on something any more.

        :param error: why it is not done; None: it is.
        """
        work = _worked(step)
        work.finished = at
        work.error = None if error is None else str(error)
        self.ended.append(work)

    def read(self, running: Iterable[Step]) -> list[Work]:
        """All that is known, what is over first.

        :param running: what the hardware is working on.
        """
        waiting = (_work(one, arrived) for one, arrived in self._waiting.items())
        return [*self.ended, *map(_worked, running), *waiting]


def _work(operation: IOperation, arrived: float) -> Work:
    table = operation.rule.table_id if operation.target is Target.RULE else None
    return Work(operation.kind, operation.target, table, arrived)


def _worked(step: Step) -> Work:
    work = _work(step.operation, step.arrived)
    work.begun = step.begun
    work.moves = step.moves
    return work
