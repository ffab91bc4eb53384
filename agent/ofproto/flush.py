"""Deleting all that a bridge has been told, as a state of the bridge.

While a bridge is flushing, no request is executed: each is postponed until the flush is over, as it
would be for any other condition (echo requests are answered all the same, for connections answer
those themselves).  Rules go first, hidden ones too, then what the hardware may have of rules that
are in no table, then groups and meters, of which the hardware must not lose one that is in use.
They go through operations like any other, and again until nothing is pending and nothing is left,
for a deletion that was in the way when the flush began, or that failed, may have left something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.ofproto.conditions import Condition
from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.ghosts import Ghosts
from agent.ofproto.groups import GroupMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.meters import MeterMods
from agent.openflow.group_messages import GROUP_ALL, METER_ALL, GroupCommand, GroupMod, MeterMod
from agent.openflow.messages import RemovedReason

ALL_GROUPS: Final = GroupMod(GroupCommand.DELETE, 0, GROUP_ALL)
ALL_METERS: Final = MeterMod(GroupCommand.DELETE, 0, METER_ALL)

ROUNDS: Final = 3
"""How often a flush tries to delete what is left before it leaves it as it is, degraded."""


class Flush(Condition):
    """One flush, from its start until nothing is left; as a condition, it clears then.

    :ivar left: rules, groups and meters that the hardware would not delete, when it is over.
    """

    reason = "flush"

    __slots__ = (
        "_call",
        "_clock",
        "_flow_mods",
        "_group_mods",
        "_ledger",
        "_meter_mods",
        "_requester",
        "_rounds",
        "_steps",
        "left",
    )

    _log = Logger()

    def __init__(
        self,
        flow_mods: FlowMods,
        group_mods: GroupMods,
        meter_mods: MeterMods,
        ledger: OperationLedger,
        clock: IReactorTime,
        requester: IRequester,
    ) -> None:
        """Start.

        :param requester: in whose name things are deleted.
        """
        super().__init__()
        self._flow_mods = flow_mods
        self._group_mods = group_mods
        self._meter_mods = meter_mods
        self._ledger = ledger
        self._clock = clock
        self._requester = requester
        # What there is to be done, in order, and how often; each returns whether there was any.
        self._steps: list[tuple[Callable[[], bool], int]] = [
            (self._delete_rules, ROUNDS),
            (self._delete_left, 1),
            (self._delete_ghosts, 1),
            (self._delete_groups, ROUNDS),
            (self._delete_meters, ROUNDS),
            (self._delete_numbered_ghosts, 1),
        ]
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
        return f"the flush of all tables (entries to go: {self._count()})"

    def _count(self) -> int:
        """How many entries there are, those included that are being deleted."""
        numbered = (self._group_mods.table, self._meter_mods.table)
        return sum(
            table.rules.count + len(table.deleting) for table in self._flow_mods.tables
        ) + sum(len(table.entries) + len(table.deleting) for table in numbered)

    def _round(self) -> None:
        """Delete all that can be deleted now, and come back when nothing is in flight."""
        self._call = None
        if self._ledger.groups:
            self._delete_rules()
        elif not self._proceed():
            self.left = self._count()
            if self.left:
                self._log.error(
                    "{count} entries could not be deleted and are left as they are",
                    count=self.left,
                    connection=self._requester.name,
                )
            self.clear()
            return
        self._ledger.idle().wait().addCallback(self._again)

    def _again(self, _: None) -> None:
        if not self.cleared:
            self._call = self._clock.callLater(0, self._round)

    def _proceed(self) -> bool:
        """Take the first step for which there is anything to do; returns whether there is one.

        What is left when a step was taken often enough is left.
        """
        while self._steps:
            step, rounds = self._steps[0]
            if self._rounds < rounds:
                self._rounds += 1
                if step():
                    return True
            self._steps.pop(0)
            self._rounds = 0
        return False

    def _delete_rules(self) -> bool:
        tables = self._flow_mods.tables
        rules = [rule for table in tables for rule in table.rules if rule.pending is None]
        self._flow_mods.delete_rules(rules, RemovedReason.DELETE, self._requester)
        return bool(rules)

    def _delete_left(self) -> bool:
        if self._flow_mods.leftovers is None:
            return False
        tables = range(len(self._flow_mods.tables))
        self._ledger.clean([self._flow_mods.left_deletion(tables)])
        return True

    def _delete_ghosts(self) -> bool:
        return self._clean(*(table.ghosts for table in self._flow_mods.tables))

    def _delete_groups(self) -> bool:
        return self._group_mods.handle(ALL_GROUPS, self._requester) is not None

    def _delete_meters(self) -> bool:
        return self._meter_mods.handle(ALL_METERS, self._requester) is not None

    def _delete_numbered_ghosts(self) -> bool:
        return self._clean(self._group_mods.table.ghosts, self._meter_mods.table.ghosts)

    def _clean(self, *places: Ghosts[Any]) -> bool:
        deletions = [deletion for ghosts in places for deletion in ghosts.deletions()]
        self._ledger.clean(deletions)
        return bool(deletions)
