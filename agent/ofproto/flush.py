"""Deleting every rule of a bridge, as a state of the bridge.

While a bridge is flushing, no request is executed: each is postponed until the flush is over, as it
would be for any other condition (echo requests are answered all the same, for connections answer
those themselves).  Rules go through operations like any other, hidden ones too, and again until
nothing is pending and nothing is left, for a deletion that was in the way when the flush began, or
that failed, may have left something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.ofproto.conditions import Condition
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.rule import Rule
from agent.ofproto.table import FlowTable

ROUNDS: Final = 3
"""How often a flush tries to delete what is left before it leaves it as it is, degraded."""


class Flush(Condition):
    """One flush, from its start until nothing is left; as a condition, it clears then.

    :ivar left: rules that the hardware would not delete, when it is over.
    """

    reason = "flush"

    __slots__ = ("_call", "_clock", "_delete", "_ledger", "_rounds", "_tables", "left")

    _log = Logger()

    def __init__(
        self,
        tables: Sequence[FlowTable],
        ledger: OperationLedger,
        clock: IReactorTime,
        delete: Callable[[Sequence[Rule]], object],
    ) -> None:
        """Start.

        :param delete: deletes rules, none of which is pending.
        """
        super().__init__()
        self._tables = tables
        self._ledger = ledger
        self._clock = clock
        self._delete = delete
        self._rounds = 0
        self.left = 0
        self._call: IDelayedCall | None = clock.callLater(0, self._round)

    def stop(self) -> None:
        """Give it up: the bridge is going."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.clear()

    def describe(self) -> str:
        """How far it is."""
        count = sum(table.rules.count + len(table.deleting) for table in self._tables)
        return f"the flush of all rules ({count} to go)"

    def _round(self) -> None:
        """Delete all that can be deleted now, and come back when nothing is in flight."""
        self._call = None
        rules = [rule for table in self._tables for rule in table.rules if rule.pending is None]
        busy = bool(self._ledger.groups)
        if not rules and not busy:
            self.clear()
        elif not busy and self._rounds >= ROUNDS:
            self.left = len(rules)
            self._log.error(
                "{count} rules could not be deleted and are left as they are", count=self.left
            )
            self.clear()
        else:
            if rules:
                if not busy:
                    self._rounds += 1
                self._delete(rules)
            self._ledger.idle().wait().addCallback(self._again)

    def _again(self, _: None) -> None:
        if not self.cleared:
            self._call = self._clock.callLater(0, self._round)
