"""Keeping a set of rules of the agent itself in the tables: for fail-open and in-band control.

Such rules are *hidden*: their priorities are above those that a controller can give, so that
controllers neither see nor touch them.  To everybody else they are rules like any other: they
reach the hardware through operations, which can take their time, have to wait, or fail.

Whoever needs them only says which rules there should be (:meth:`HiddenRules.set`); what has to be
done for that is found by comparing with the tables, so that it does not matter how a rule got
lost (a flush) or whether an earlier change of mind is still in flight.  A change that has to wait
is made when what it waits for is over, and one that failed is tried again.

They are all in table 0, where every packet begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.internal import Internal
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup
from agent.openflow.actions import Instructions
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import FlowMod, FlowModCommand

FIRST_RETRY: Final = 1.0
"""Seconds until what failed is tried again; doubles each time."""
LAST_RETRY: Final = 60.0
"""The most that it becomes."""

TABLE: Final = 0

_Key: TypeAlias = tuple[int, Match]


@attrs.frozen
class HiddenRule:
    """A rule that there should be.

    :ivar priority: above :data:`agent.ofproto.rule.MAX_PRIORITY`.
    """

    priority: int
    match: Match
    instructions: Instructions


class HiddenRules:
    """The hidden rules of one part of the agent.

    :ivar name: that part, for logs and for the operator.
    """

    _log = Logger()

    def __init__(self, name: str, switch: OFProto, clock: IReactorTime) -> None:
        self.name = f"{switch.name}<->{name}"
        self._switch = switch
        self._clock = clock
        self._requester = Internal(self.name, self._group_ended)
        self._wanted: dict[_Key, HiddenRule] = {}
        # Those of which there may be something in the table.
        self._known: dict[_Key, None] = {}
        self._groups: dict[OperationGroup, _Key] = {}
        self._waits: dict[_Key, Deferred[None]] = {}
        # Those left alone until the next retry, and why.
        self._failed: dict[_Key, str] = {}
        self._delay = FIRST_RETRY
        self._turn: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None

    @property
    def settled(self) -> bool:
        """Whether the rules are as they should be, as far as the hardware has said."""
        return not (self._groups or self._waits or self._failed or self._turn)

    def set(self, rules: Iterable[HiddenRule]) -> None:
        """Say which rules there should be, instead of those before."""
        self._wanted = {(rule.priority, rule.match): rule for rule in rules}
        self.refresh()

    def refresh(self) -> None:
        """See that the rules are there: something may have happened to them."""
        self._forget_waits()
        for key in list(self._known | dict.fromkeys(self._wanted)):
            if key not in self._failed:
                self._settle(key)
        if self.settled:
            self._delay = FIRST_RETRY

    def stop(self) -> None:
        """Do nothing more; the rules stay as they are, and so does what is in flight."""
        self._wanted.clear()
        self._known.clear()
        self._groups.clear()
        self._failed.clear()
        for call in (self._turn, self._retry):
            if call is not None:
                call.cancel()
        self._turn = self._retry = None
        self._forget_waits()

    # --- one rule ----------------------------------------------------------------------------

    def _settle(self, key: _Key) -> None:
        """Do what there is to do about one rule, if that is possible now."""
        request = self._request(key)
        if request is None:
            return
        try:
            result: Any = self._switch.handle(request, self._requester)
        except Postponed as postponed:
            self._wait(key, postponed.condition)
        except OpenFlowError as error:
            self._fail(key, str(error))
        else:
            if isinstance(result, OperationGroup):
                self._groups[result] = key

    def _request(self, key: _Key) -> FlowMod | None:
        """What has to change about one rule; None: nothing, or it is under way."""
        priority, match = key
        wanted = self._wanted.get(key)
        table = self._switch.tables[TABLE]
        current = table.rules.find(match, priority)
        if wanted is None:
            if current is not None:
                return FlowMod(FlowModCommand.DELETE_STRICT, match, priority)
            if table.in_flight(match, priority) is None:
                del self._known[key]
            return None
        self._known[key] = None
        if (
            current is not None
            and current.instructions == wanted.instructions
            and not current.degraded
        ):
            return None
        return FlowMod(FlowModCommand.ADD, match, priority, wanted.instructions)

    def _group_ended(self, group: OperationGroup) -> None:
        """The hardware has done it, or not.  The switch must not be re-entered from here."""
        key = self._groups.pop(group, None)
        if key is None:
            return
        if group.error is not None:
            self._fail(key, str(group.error))
        self._schedule()

    # --- later -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._look)

    def _look(self) -> None:
        self._turn = None
        self.refresh()

    def _forget_waits(self) -> None:
        waits = list(self._waits.values())
        self._waits.clear()
        for waiter in waits:
            waiter.cancel()

    def _wait(self, key: _Key, condition: Condition) -> None:
        waiter = self._waits[key] = condition.wait()
        waiter.addCallbacks(self._cleared, self._given_up, callbackArgs=(key,))

    def _cleared(self, _: None, key: _Key) -> None:
        # Whoever has cleared the condition is not to be re-entered.
        del self._waits[key]
        self._schedule()

    @staticmethod
    def _given_up(failure: Failure) -> None:
        failure.trap(CancelledError)

    def _fail(self, key: _Key, reason: str) -> None:
        """Leave a rule alone for a while."""
        self._failed[key] = reason
        if self._retry is None:
            self._log.warn(
                "{connection}: a rule of priority {priority} cannot be changed: {reason}; "
                "trying again in {delay:g} s",
                connection=self.name,
                priority=key[0],
                reason=reason,
                delay=self._delay,
            )
            self._retry = self._clock.callLater(self._delay, self._try_again)
            self._delay = min(2 * self._delay, LAST_RETRY)

    def _try_again(self) -> None:
        self._retry = None
        self._failed.clear()
        self.refresh()
