"""Operations are not complete when the hardware says so, but later, or when packets say so.

There are switches that confirm a rule up to 300 or 400 ms before packets meet it, and that reorder
across barriers (PAM'15; RUM, CoNEXT'14).  A driver of such hardware puts a :class:`Confirmation`
between the agent and itself.  What the hardware confirms is then only its word; what it refuses is
believed at once.

:class:`ByDelay` waits for a fixed time after the word, which is right if the time is long enough,
and slow if it is.  :class:`drivers.probing.ByProbe` looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from drivers.interfaces import IOperation

Recall = Callable[[Sequence[IOperation]], set[IOperation]]
"""Takes back what the hardware was asked, and says what it has taken back."""


class Confirmation(Protocol):
    """What stands between the agent and the hardware."""

    def power_on(self, clock: Any) -> None:
        """Begin; ``clock`` has ``seconds()`` and ``callLater()``."""

    def power_off(self) -> None:
        """Complete nothing any more."""

    def asked(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """Operations come from the agent; returns what the hardware is asked in their place."""

    def recall(self, operations: Sequence[IOperation], recall: Recall) -> set[IOperation]:
        """The agent has given operations up; see :class:`drivers.abilities.IRecall`."""

    def forget(self) -> None:
        """The hardware has lost everything, and gets it back by and by, without our asking."""

    def show(self) -> Mapping[str, object]:
        """For the operator."""


@implementer(IOperation)
class Asked:
    """What the hardware is asked in the place of an operation; it completes this.

    Its attributes are those of :class:`drivers.interfaces.IOperation`, and these:

    :ivar operation: the agent's.
    :ivar ended: whether the agent's operation is no more of our concern.
    """

    __slots__ = ("_heard", "ended", "kind", "old", "operation", "rule", "target")

    def __init__(
        self, operation: IOperation, heard: Callable[[Asked, Exception | None], object]
    ) -> None:
        """:param heard: called with the hardware's first word."""
        self.kind = operation.kind
        self.target = operation.target
        self.rule: Any = operation.rule
        self.old: Any = operation.old
        self.operation = operation
        self.ended = False
        self._heard: Callable[[Asked, Exception | None], object] | None = heard

    def complete(self, error: Exception | None = None) -> None:
        """The hardware says what became of it."""
        heard, self._heard = self._heard, None
        if heard is not None:
            heard(self, error)
        elif self.ended:
            # Its second word, for the agent to wonder about.
            self.operation.complete(error)

    def end(self, error: Exception | None = None) -> None:
        """Tell the agent."""
        self.ended = True
        self.operation.complete(error)


class ByDelay:
    """Everything is complete a fixed time after the hardware's word.

    :ivar delay: seconds.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self._clock: Any = None
        self._asked: dict[IOperation, Asked] = {}
        self._calls: dict[Asked, IDelayedCall] = {}

    def power_on(self, clock: Any) -> None:
        """See :class:`Confirmation`, like the rest."""
        self._clock = clock

    def power_off(self) -> None:
        """Let go of the timers."""
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        self._asked.clear()

    def asked(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """Ask for each."""
        asked = {operation: Asked(operation, self._heard) for operation in operations}
        self._asked.update(asked)
        return list(asked.values())

    def _heard(self, asked: Asked, error: Exception | None) -> None:
        if self._asked.get(asked.operation) is not asked:
            return
        if error is not None:
            self._end(asked, error)
        else:
            self._calls[asked] = self._clock.callLater(self.delay, self._end, asked)

    def _end(self, asked: Asked, error: Exception | None = None) -> None:
        self._calls.pop(asked, None)
        del self._asked[asked.operation]
        asked.end(error)

    def recall(self, operations: Sequence[IOperation], recall: Recall) -> set[IOperation]:
        """Forget them."""
        given_up = [self._asked.pop(operation) for operation in operations]
        for asked in given_up:
            call = self._calls.pop(asked, None)
            if call is not None:
                call.cancel()
        taken = recall(given_up)
        return {asked.operation for asked in given_up if asked in taken}

    def forget(self) -> None:
        """Nothing but time was known of anything."""

    def show(self) -> Mapping[str, object]:
        """How many wait."""
        return {"confirm": f"{self.delay:g} s after its word", "doubted": len(self._calls)}
