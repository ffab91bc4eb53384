"""What packets cause in the flow tables: rules learned, and timeouts cut short.

A driver that meets a ``learn`` action asks for a rule, and one that meets ``fin_timeout`` at the
end of a connection asks for shorter timeouts.  A learned rule is like any other: it is made by an
operation, controllers see it, it takes room and expires.

Packets come faster than hardware changes, and nobody asks them to wait.  So what cannot be done at
once is left undone: the next packet will ask again.  Most packets teach what is known already; that
costs a look into the table, and counts as a modification that changes nothing.

Source: ``learn.c`` and ``ofproto.c`` of Open vSwitch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.ofproto.conditions import Postponed
from agent.ofproto.expiry import Expiry
from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import Operation, OperationGroup
from agent.ofproto.rule import Rule
from agent.ofproto.table import Criteria, FlowTable
from agent.openflow.actions import actions_of
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import MATCH_ALL
from agent.openflow.messages import FlowMod, RemovedReason
from agent.openflow.nx_actions import Learn, LearnFlags
from drivers.interfaces import IRule, OperationKind

LIMIT: Final = 50
"""How many operations on learned rules are in flight at most."""

ALL_ONES: Final = (1 << 64) - 1

Maker = Callable[[Callable[[OperationGroup], None]], IRequester]
"""Makes a requester that passes on which of its groups have ended."""


class Learning:
    """What the packets of one bridge cause.

    :ivar learned: how many rules were asked for of the hardware.
    :ivar dropped: how many could not be asked for at once, and were not.
    :ivar refused: how many could not be made.
    :ivar tracking: whether a rule was ever added whose learned rules go when it goes; before that,
        nobody need call :meth:`committed`.
    """

    def __init__(
        self,
        tables: Sequence[FlowTable],
        flow_mods: FlowMods,
        expiry: Expiry,
        clock: IReactorTime,
        requester: Maker,
    ) -> None:
        self.learned = 0
        self.dropped = 0
        self.refused = 0
        self.tracking = False
        self._tables = tables
        self._flow_mods = flow_mods
        self._expiry = expiry
        self._clock = clock
        self._requester = requester(self._ended)
        self._in_flight = 0
        # How many rules there are which learn into a table, with a cookie, what goes with them.
        self._learners: Counter[tuple[int, int]] = Counter()
        self._waits: dict[Deferred[None], None] = {}

    def stop(self) -> None:
        """Let go of all that is waited for."""
        for wait in list(self._waits):
            wait.cancel()

    # --- learning ----------------------------------------------------------------------------

    def learn(self, request: FlowMod) -> None:
        """See :meth:`drivers.interfaces.IDriverHost.learn`."""
        if request.table_id >= len(self._tables):
            self.refused += 1
            return
        rule = self._tables[request.table_id].rules.find(request.match, request.priority)
        if rule is not None and rule.pending is None and _same(rule, request):
            rule.modified = self._clock.seconds()
            return
        if self._in_flight >= LIMIT:
            self.dropped += 1
            return
        try:
            group = self._flow_mods.handle(request, self._requester)
        except Postponed:
            self.dropped += 1
        except OpenFlowError:
            self.refused += 1
        else:
            self.learned += 1
            if group is not None:
                self._in_flight += 1

    def _ended(self, group: OperationGroup) -> None:
        # What is learned may begin with the eviction of another rule.
        if group.operations and group.operations[-1].kind is not OperationKind.DELETE:
            self._in_flight -= 1
            if group.error is not None:
                self.refused += 1

    # --- forgetting --------------------------------------------------------------------------

    def committed(self, operation: Operation) -> None:
        """An operation on a rule has succeeded for good: perhaps what it taught shall go with it.

        That is ``delete_learned``: when the last rule goes that learns into a table with some
        cookie, so do the rules of that table with that cookie.
        """
        for learner in _learners(operation.old):
            self._learners[learner] -= 1
        if operation.kind is not OperationKind.DELETE:
            for learner in _learners(operation.rule):
                self._learners[learner] += 1
        for learner in set(_learners(operation.old)):
            if self._learners[learner] <= 0:
                del self._learners[learner]
                self._after(self._next_turn(), partial(self._forget, *learner))

    def _forget(self, table_id: int, cookie: int) -> None:
        """Delete what was learned, unless somebody teaches it again by now."""
        if (table_id, cookie) in self._learners or table_id >= len(self._tables):
            return
        table = self._tables[table_id]
        criteria = Criteria(MATCH_ALL, cookie=cookie, cookie_mask=ALL_ONES)
        blocking = table.blocking(criteria) if table.pending else None
        if blocking is not None:
            self._after(blocking.group.wait(), partial(self._forget, table_id, cookie))
            return
        rules = list(table.select(criteria))
        self._flow_mods.delete_rules(rules, RemovedReason.DELETE, self._requester)

    def _next_turn(self) -> Deferred[None]:
        """Fires in the next turn of the reactor; in this one, the ledger is still busy."""
        call = self._clock.callLater(0, lambda: turn.callback(None))
        turn: Deferred[None] = Deferred(lambda _: call.cancel())
        return turn

    def _after(self, wait: Deferred[None], act: Callable[[], object]) -> None:
        """Do something when something has happened; not at all when this is stopped before."""
        self._waits[wait] = None

        def happened(_: object) -> None:
            del self._waits[wait]
            act()

        wait.addCallbacks(happened, lambda _: self._waits.pop(wait))

    # --- timeouts ----------------------------------------------------------------------------

    def reduce_timeouts(self, rule: IRule, idle_timeout: int, hard_timeout: int) -> None:
        """See :meth:`drivers.interfaces.IDriverHost.reduce_timeouts`."""
        current = self._tables[rule.table_id].rules.find(rule.match, rule.priority)
        if current is None or current.handle != rule.handle:
            return
        versions = [current]
        if current.pending is not None and current.pending.old not in (None, current):
            versions.append(current.pending.old)
        for version in versions:
            version.idle_timeout = _reduced(version.idle_timeout, idle_timeout)
            version.hard_timeout = _reduced(version.hard_timeout, hard_timeout)
        if current.pending is None:
            self._expiry.watch(current)


def _same(rule: Rule, request: FlowMod) -> bool:
    """Whether a rule is already what a packet teaches."""
    return (
        rule.instructions == request.instructions
        and rule.cookie == request.cookie
        and not rule.degraded
    )


def _learners(rule: Rule | None) -> list[tuple[int, int]]:
    """Where a rule learns to, and with which cookies, what is to go with it."""
    if rule is None:
        return []
    return [
        (action.table_id, action.cookie)
        for action in actions_of(rule.instructions)
        if isinstance(action, Learn) and action.flags & LearnFlags.DELETE_LEARNED
    ]


def _reduced(timeout: int, most: int) -> int:
    """A timeout in seconds, not longer than ``most``; in both, 0 is none."""
    return min(timeout, most) if timeout and most else timeout or most
