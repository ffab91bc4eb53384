"""Idle and hard timeouts.

A heap of deadlines and one timer for the nearest.  Deadlines are not moved when packets pass or a
rule is modified: a rule whose time has come is looked at, and put back with its true deadline when
it turns out to be still in use.  Before a rule is taken for idle its driver is asked for the
counters, since hardware counts without telling.

A rule that is pending when its time has come waits for the operation in flight; the deletion is an
operation like any other, and FLOW_REMOVED is sent when the hardware has confirmed it.

A driver that does not say which rules are idle cannot keep them for ever: it is asked a few times,
and then a rule is as idle as it was last known to be.  A hard timeout waits for no answer.

Source: 1.3.5 section 5.5; as in Open vSwitch, the hard timeout counts from the last modification.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.ofproto.reads import NoAnswerError
from agent.ofproto.rule import Rule
from agent.openflow.messages import RemovedReason

if TYPE_CHECKING:
    from agent.ofproto.operations import OperationGroup

SLACK: Final = 0.001
"""Deadlines this close together, in seconds, are handled at once."""

PAUSE: Final = 10.0
"""Seconds until a rule is tried again which could not be deleted, or not be asked for."""

ATTEMPTS: Final = 3
"""How often the driver is asked for the counters of a rule before what is known of them counts."""


class Expiry:
    """Deletes rules whose time has come.

    :ivar clock: seconds and timers.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        refresh: Callable[[Sequence[Rule]], Deferred[None]],
        delete: Callable[[Sequence[Rule], RemovedReason], object],
        bridge: str,
    ) -> None:
        """Watch nothing yet.

        :param refresh: has the driver bring counters up to date.
        :param delete: deletes rules, none of which is pending.
        :param bridge: whose rules, for the log.
        """
        self.clock = clock
        self._refresh = refresh
        self._delete = delete
        self._bridge = bridge
        self._rules: dict[int, Rule] = {}
        self._deadlines: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._call: IDelayedCall | None = None
        # Rules that the driver is being asked for, and how often it could not say.
        self._asked: set[int] = set()
        self._unknown: dict[int, int] = {}
        self._waits: dict[Deferred[None], None] = {}

    def watch(self, rule: Rule) -> None:
        """A rule is in the hardware from now on, perhaps in the place of another version of it."""
        if not (rule.idle_timeout or rule.hard_timeout):
            self._rules.pop(rule.handle, None)
            return
        self._rules[rule.handle] = rule
        self._schedule(rule.handle, rule.deadline()[0])

    def forget(self, rule: Rule) -> None:
        """A rule is gone."""
        if self._rules.pop(rule.handle, None) is not None:
            self._deadlines.pop(rule.handle, None)
            self._unknown.pop(rule.handle, None)
            if len(self._heap) > 2 * len(self._deadlines) + 64:
                self._heap = [(when, handle) for handle, when in self._deadlines.items()]
                heapq.heapify(self._heap)

    def stop(self) -> None:
        """Let go of the timer and of all that is waited for."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._rules.clear()
        self._deadlines.clear()
        self._heap.clear()
        self._unknown.clear()
        for wait in list(self._waits):
            wait.cancel()

    def _schedule(self, handle: int, when: float) -> None:
        """Look at a rule at ``when``, unless it will be looked at before."""
        if self._deadlines.get(handle, float("inf")) <= when:
            return
        self._deadlines[handle] = when
        heapq.heappush(self._heap, (when, handle))
        if self._call is None or self._call.getTime() > when:
            self._arm()

    def _arm(self) -> None:
        """Set the timer to the nearest deadline."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._heap:
            delay = max(0.0, self._heap[0][0] - self.clock.seconds())
            self._call = self.clock.callLater(delay, self._run)

    def _run(self) -> None:
        """The nearest deadline has come."""
        self._call = None
        now = self.clock.seconds() + SLACK
        handles = []
        while self._heap and self._heap[0][0] <= now:
            when, handle = heapq.heappop(self._heap)
            if self._deadlines.get(handle) == when:
                del self._deadlines[handle]
                handles.append(handle)
        idle = self._expire(handles, RemovedReason.HARD_TIMEOUT)
        if idle:
            self._ask(idle)
        self._arm()

    def _ask(self, idle: Sequence[int]) -> None:
        """Are these really idle?"""
        for handle in idle:
            rule = self._rules[handle]
            if rule.hard_timeout:
                self._schedule(handle, rule.modified + rule.hard_timeout)
        self._asked.update(idle)
        self._after(
            self._refresh([self._rules[handle] for handle in idle]),
            partial(self._refreshed, idle),
            partial(self._unrefreshed, idle),
        )

    def _expire(self, handles: Iterable[int], confirmed: RemovedReason) -> list[int]:
        """Delete those of the rules which are due of the reason that is sure.

        :returns: those that are due of the other.
        """
        now = self.clock.seconds() + SLACK
        due: list[Rule] = []
        unsure: list[int] = []
        for handle in handles:
            rule = self._rules.get(handle)
            if rule is None:
                continue
            when, reason = rule.deadline()
            if handle in self._asked and reason is not RemovedReason.HARD_TIMEOUT:
                if not rule.hard_timeout:
                    continue  # the answer will tell
                when, reason = rule.modified + rule.hard_timeout, RemovedReason.HARD_TIMEOUT
            if when > now:
                self._schedule(handle, when)
            elif rule.pending is not None:
                self._later([rule])
            elif reason is confirmed:
                due.append(rule)
            elif confirmed is RemovedReason.IDLE_TIMEOUT:
                self._schedule(handle, self.clock.seconds())
            else:
                unsure.append(handle)
        if due:
            self._delete(due, confirmed)
            # Should a deletion fail, the rule is looked at again.
            self._later([rule for rule in due if rule.pending is not None], PAUSE)
        return unsure

    def _later(self, rules: Sequence[Rule], pause: float = 0.0) -> None:
        """Look at pending rules again ``pause`` seconds after what is in flight has ended."""
        groups: dict[OperationGroup, list[int]] = {}
        for rule in rules:
            assert rule.pending is not None
            groups.setdefault(rule.pending.group, []).append(rule.handle)
        for group, handles in groups.items():
            self._after(group.wait(), partial(self._again, handles, pause))

    def _again(self, handles: Iterable[int], pause: float) -> None:
        """Look at rules again in ``pause`` seconds, those that are gone by now left out."""
        when = self.clock.seconds() + pause
        for handle in handles:
            if handle in self._rules:
                self._schedule(handle, when)

    def _refreshed(self, handles: Sequence[int]) -> None:
        """The driver has said whether these are idle."""
        self._asked.difference_update(handles)
        for handle in handles:
            self._unknown.pop(handle, None)
        self._expire(handles, RemovedReason.IDLE_TIMEOUT)

    def _unrefreshed(self, handles: Sequence[int], failure: Failure) -> None:
        """The driver could not say whether these are idle."""
        if not failure.check(NoAnswerError):  # which was told already
            self._log.failure(
                "{bridge}: cannot tell which rules are idle", failure, bridge=self._bridge
            )
        self._asked.difference_update(handles)
        given_up: list[int] = []
        again: list[int] = []
        for handle in handles:
            if handle not in self._rules:
                continue
            self._unknown[handle] = self._unknown.get(handle, 0) + 1
            (again if self._unknown[handle] < ATTEMPTS else given_up).append(handle)
        self._again(again, PAUSE)
        self._refreshed(given_up)

    def _after(
        self,
        wait: Deferred[None],
        act: Callable[[], object],
        failed: Callable[[Failure], object] | None = None,
    ) -> None:
        """Do something when something has happened; not at all when this is stopped before."""
        self._waits[wait] = None

        def happened(result: object) -> None:
            del self._waits[wait]
            if not isinstance(result, Failure):
                act()
            elif failed is not None and not result.check(CancelledError):
                failed(result)

        wait.addBoth(happened)
