"""The cap on groups of operations in flight, shared fairly.

Slow hardware works off what it was given in its own time; what it was not given yet waits at its
connection, where it holds up nobody else and where a controller feels it.  So there may be so many
groups in flight and no more, and a place that becomes free is promised to the requester which has
waited longest.  Each connection has one message waiting at most, so that busy ones take turns.

A promise that is not used is given back: the request which it was made for may now wait for
something else, or its connection may be gone.
"""

from __future__ import annotations

from collections import OrderedDict

from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.interfaces import IRequester


class SlotCondition(Condition):
    """There is no room for another group in flight."""

    reason = "slot"

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def describe(self) -> str:
        """The cap it waits for."""
        return f"a place among the {self.limit} operation groups in flight"


class Admission:
    """Who may start a group of operations.

    :ivar limit: how many groups may be in flight; those of the agent itself do not count.
    :ivar in_flight: how many are; the ledger counts.
    """

    __slots__ = ("_promised", "_waiting", "in_flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._waiting: OrderedDict[IRequester, SlotCondition] = OrderedDict()
        self._promised: dict[IRequester, None] = {}

    def __len__(self) -> int:
        """How many requesters wait, or have been promised a place and not taken it yet."""
        return len(self._waiting) + len(self._promised)

    def admit(self, requester: IRequester) -> None:
        """Check that another group may start; called last, when nothing else is in the way.

        :raises Postponed: when it may not.
        """
        if requester.internal:
            return
        if self._promised:
            if requester in self._promised:
                del self._promised[requester]
                return
        elif not self._waiting and self.in_flight < self.limit:
            return
        if self._waiting or self.in_flight + len(self._promised) >= self.limit:
            condition = self._waiting.get(requester)
            if condition is None:
                condition = self._waiting[requester] = SlotCondition(self.limit)
            raise Postponed(condition)

    def forgo(self, requester: IRequester) -> None:
        """Give back what :meth:`admit` promised or queued, if anything: the requester is gone, or
        its message waits for something else."""
        self._promised.pop(requester, None)
        self._waiting.pop(requester, None)
        self.grant()

    def grant(self) -> None:
        """Promise free places to those who wait, in their order."""
        waiting = self._waiting
        while waiting and self.in_flight + len(self._promised) < self.limit:
            requester, condition = waiting.popitem(last=False)
            self._promised[requester] = None
            condition.clear()

    def resize(self, limit: int) -> None:
        """Change :attr:`limit`; of more groups than that, those in flight stay."""
        self.limit = limit
        self.grant()

    def stop(self) -> None:
        """Forget who waits: the bridge is going."""
        self._waiting.clear()
        self._promised.clear()
