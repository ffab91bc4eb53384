"""In which order hardware does what was asked of it.

Between two barriers a switch may do things in another order, if neither a packet nor a request can
tell.  Where entries have to move, that is worth a lot: rules in the wrong order of priorities take
many times as long as the same rules in the right one.  A driver hands a :class:`Scheduler` what
arrives, and asks it what to do next; what things cost it learns from the driver's
:class:`drivers.window.CostModel`.

What is kept.  Operations are scheduled in *windows*, one window after the other.  Within one,

- overlapping rules of different priority are added from the highest down and deleted from the
  lowest up, and what is added comes before what it hides is changed, and what is deleted after.
  Then each packet meets what it met before the window or what it meets after it, and nothing else;
- overlapping rules of one priority keep their order;
- whatever fits in the order of arrival fits in any.

All these agree with one order, *the safe order*: first what is added, from the highest priority
down, then what is modified, then what is deleted, from the lowest up, and otherwise as it came.  So
they can never contradict each other.  What does not agree with it opens the next window: a rule
that is added or modified after one of the same priority, overlapping, was deleted or modified; an
ADD for which there is perhaps no room before something was deleted; an operation on another table,
since a packet goes through several; and whatever is about no rule at all.

Which operations overlap is known however many masks there are (:mod:`drivers.overlaps`); a field
with very many of them is left aside, and then more is kept in order than has to be.

What is bounded.  An operation is overtaken only by others of its window: by fewer than
``max_operations``, all of which arrived within ``max_seconds`` of the first.

What is left out.  An operation that still waits when the next on the same entry arrives was given
up by the agent; it is not done any more.

What it is worth.  Where the cheap direction is the safe order, as where the free room of a TCAM
lies at the bottom, sorting cannot harm.  Elsewhere rules that overlap are forced into an order that
can be dearer than that of arrival, in which packets meet what is neither old nor new: ``fifo`` is
for those who would rather have that.  Only what is in one window can be sorted, so that a barrier
after every fifty operations, or an agent that lets no more than fifty in, leaves little to gain.
``python -m bench.asic`` prints how much it is.

Whether it is of use to a driver follows from its costs.  Where the order makes no difference to
them, as for filters of the kernel's, the order of arrival is the best there is for time, and the
safe order still is for packets; :mod:`drivers.batches` is for such drivers.

Policies: ``off`` and ``fifo`` keep the order of arrival (with ``off``, drivers write one operation
at a time, too), ``greedy`` takes whatever is cheapest by the model's rank, and ``optimal`` finds
the best order of up to :data:`MAX_OPTIMAL` waiting operations by trying all of them, which is for
comparing and not for use.  It is the best for their window: what comes in the next may have been
cheaper after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from drivers.interfaces import IOperation
from drivers.window import CostModel, Node, Window

POLICIES: Final = ("off", "fifo", "greedy", "optimal")

DEFAULT_POLICY: Final = "greedy"

MAX_OPERATIONS: Final = 4096
MAX_SECONDS: Final = 10.0
MAX_OPTIMAL: Final = 8

ADMITTED_A_TURN: Final = 32
"""How many operations that waited for a window are looked at for each one that is taken."""


class Scheduler:
    """See the module.

    :ivar reorders: whether the policy is one that puts anything in order.
    :ivar left_out: operations that will not be done, as there was a later one on the same entry;
        whoever uses this completes them with an error and empties the list.
    """

    def __init__(
        self,
        model: CostModel,
        policy: str = DEFAULT_POLICY,
        max_operations: int = MAX_OPERATIONS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """:param policy: one of :data:`POLICIES`."""
        self.left_out: list[IOperation] = []
        self._model = model
        self.reorders = policy in ("greedy", "optimal")
        self._optimal = policy == "optimal"
        self._limits = (max_operations, max_seconds)
        self._window = Window(model, *self._limits)
        self._later: deque[tuple[IOperation, float]] = deque()
        self._plan: list[Node] = []

    def __len__(self) -> int:
        return self._window.waiting + len(self._later)

    def clear(self) -> None:
        """Forget everything."""
        self._window = Window(self._model, *self._limits)
        self._later.clear()
        self._plan.clear()

    def push(self, operation: IOperation, now: float) -> None:
        """An operation has arrived.

        :param now: seconds, not before the last one's.
        """
        if not self.reorders or self._later or not self._admit(operation, now):
            self._later.append((operation, now))

    def _admit(self, operation: IOperation, arrived: float) -> bool:
        if not self._window.waiting:
            self._window = Window(self._model, *self._limits)
        admitted, superseded = self._window.admit(operation, arrived)
        if admitted:
            self._plan.clear()
        if superseded is not None:
            self.left_out.append(superseded)
        return admitted

    def discard(self, operations: Iterable[IOperation]) -> set[IOperation]:
        """Do these not, as far as they still wait; returns which."""
        doomed = set(operations)
        found = self._window.discard(doomed)
        found.update(operation for operation, _ in self._later if operation in doomed)
        self._plan.clear()
        self._later = deque(waits for waits in self._later if waits[0] not in doomed)
        return found

    def pop(self) -> tuple[IOperation, float]:
        """What to do next, and when it arrived.

        :raises IndexError: when nothing waits.
        """
        later = self._later
        if not self.reorders:
            return later.popleft()
        for _ in range(min(len(later), ADMITTED_A_TURN)):
            if (self._window.closed and self._window.waiting) or not self._admit(*later[0]):
                break
            later.popleft()
        window = self._window
        if not window.waiting:
            raise IndexError("nothing waits")
        if self._optimal and (self._plan or 1 < window.waiting <= MAX_OPTIMAL):
            if not self._plan:
                self._plan = window.best()
            node = self._plan.pop(0)
            window.take_this(node)
        else:
            node = window.take()
        return node.operation, node.arrived
