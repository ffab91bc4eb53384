"""The lies that real switches tell, for controllers and agents that should not believe them.

All three were seen on switches that were sold (PAM'15; RUM, CoNEXT'14):

- *Early answers.*  The chip confirms an operation when it has heard of it, up to 300 or 400 ms
  before packets meet the entry.  What goes wrong after that nobody is told.
- *Reordering.*  The chip begins with any of the operations that wait, overlapping or not.
  Together with early answers it reorders across barriers.  What is about one entry keeps its order.
- *Ignored priorities.*  Of several entries that match, packets meet the one that lies first.
  Where that is follows from the free room: with ``free = "bottom"`` the oldest, with ``"top"`` the
  newest; but the place of one that goes is taken by another.  As nothing needs an order, nothing
  else moves.

The agent cannot know it: it believes what its driver is told.  The hardware still does everything
that it was asked to, in the time that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random
from typing import Final, Protocol

import attrs

from drivers.asic.resync import Reinstall
from drivers.interfaces import IOperation, Target
from drivers.options import Options

MAX_MS: Final = 1_000_000.0
MAX_REORDER: Final = 10_000
PRIORITIES: Final = ("heed", "ignore")


@attrs.frozen
class Lies:
    """What a kind of switch says, and does not do.

    :ivar answer: seconds after which it confirms an operation, done or not; None: when it is done.
    :ivar reorder: out of how many that wait it takes any; 1: the first.
    :ivar flat: whether it ignores priorities.
    """

    answer: float | None = None
    reorder: int = 1
    flat: bool = False

    @classmethod
    def read(cls, options: Options) -> Lies:
        """From ``[lies]`` of a profile.

        :raises OptionError: for the first key that is wrong.
        """
        answer = options.number("answer_ms", 0, MAX_MS, None)
        lies = cls(
            None if answer is None else answer / 1e3,
            options.integer("reorder", 1, MAX_REORDER, 1),
            options.one_of("priorities", PRIORITIES, PRIORITIES[0]) == "ignore",
        )
        options.finish()
        return lies


HONEST: Final = Lies()
"""What a switch is unless its profile says otherwise."""


class EarlyAnswers:
    """Operations that are confirmed when their time has come, done or not.

    :ivar after: seconds from the arrival of an operation to its answer; None: not before its end.
    :ivar early: how many were confirmed before they were done.
    """

    def __init__(self, after: float | None) -> None:
        self.after = after
        self.early = 0
        self._owed: dict[IOperation, float] = {}

    @property
    def next(self) -> float:
        """When the next answer is due; all take the same time, so that they never overtake."""
        return next(iter(self._owed.values())) if self._owed else inf

    def expect(self, operations: Iterable[IOperation], now: float) -> None:
        """Operations have arrived."""
        if self.after is not None:
            self._owed.update(dict.fromkeys(operations, now + self.after))

    def forget(self, operations: Iterable[IOperation]) -> None:
        """These will not be answered."""
        for operation in operations:
            self._owed.pop(operation, None)

    def clear(self) -> None:
        """None will."""
        self._owed.clear()

    def given(self, operation: IOperation) -> bool:
        """An operation has ended: whether its answer was given already; if not, it is not owed any
        more.  What the driver itself puts back is answered when it is done."""
        if self.after is None or isinstance(operation, Reinstall):
            return False
        return self._owed.pop(operation, None) is None

    def give(self) -> None:
        """Confirm the next."""
        operation = next(iter(self._owed))
        del self._owed[operation]
        self.early += 1
        operation.complete()


class Line(Protocol):
    """Operations that wait: a :class:`drivers.scheduling.Scheduler`, or one that lies."""

    left_out: list[IOperation]

    def __len__(self) -> int:
        """How many wait."""

    def clear(self) -> None:
        """Forget them."""

    def push(self, operation: IOperation, now: float) -> None:
        """One more."""

    def pop(self) -> tuple[IOperation, float]:
        """The next, and when it arrived."""

    def discard(self, operations: Iterable[IOperation]) -> set[IOperation]:
        """Do these not; returns which of them had not been begun."""


class Shuffled:
    """A line out of which the chip takes what it likes.

    :ivar reach: out of how many.
    """

    def __init__(self, line: Line, reach: int, seed: int) -> None:
        self.reach = reach
        self._line = line
        self._hand: list[tuple[IOperation, float]] = []
        self._random = Random(seed)

    @property
    def left_out(self) -> list[IOperation]:
        """That of the line."""
        return self._line.left_out

    @left_out.setter
    def left_out(self, operations: list[IOperation]) -> None:
        self._line.left_out = operations

    def __len__(self) -> int:
        return len(self._hand) + len(self._line)

    def clear(self) -> None:
        """See :class:`Line`, like the rest."""
        self._hand.clear()
        self._line.clear()

    def push(self, operation: IOperation, now: float) -> None:
        """One more."""
        self._line.push(operation, now)

    def discard(self, operations: Iterable[IOperation]) -> set[IOperation]:
        """Do these not."""
        doomed = set(operations)
        found = {operation for operation, _ in self._hand if operation in doomed}
        self._hand = [waits for waits in self._hand if waits[0] not in doomed]
        return found | self._line.discard(doomed)

    def pop(self) -> tuple[IOperation, float]:
        """Any of the first few, but never a later one on the same entry.

        :raises IndexError: when nothing waits.
        """
        while len(self._hand) < self.reach and len(self._line):
            self._hand.append(self._line.pop())
        seen: set[object] = set()
        first = []
        for place, (operation, _) in enumerate(self._hand):
            entry = entry_of(operation)
            if entry not in seen:
                seen.add(entry)
                first.append(place)
        return self._hand.pop(self._random.choice(first))


def entry_of(operation: IOperation) -> object:
    """Which entry an operation is about, as hardware knows it."""
    rule = operation.rule
    if operation.target is Target.RULE:
        return rule.table_id, rule.match.mask, rule.match.value, rule.priority
    return operation.target, (rule.group_id if operation.target is Target.GROUP else rule.meter_id)
