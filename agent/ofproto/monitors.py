"""Changes of rules, and who is told of them: the switch's half of flow monitors.

A change is told when it is final: the hardware has confirmed it, and the request that it is a part
of will not be taken back.  Tables are changed optimistically, so what a table shows may still come
to nothing, and of that nobody is ever told.  The other half of this promise is :meth:`snapshot`,
with which a monitor begins: unlike flow statistics, which show a controller what it has asked for,
it shows the rules as they are confirmed (an addition in flight is not there yet, a deletion is not
over, a modification shows what was).  So a snapshot and the changes after it always add up to what
the hardware has.

Changes are collected and told at the beginning of the next turn of the reactor, all in one, in the
order in which they became final; or before, when somebody has to know that nothing is left to be
told (:meth:`FlowChanges.flush`): before a barrier is answered, whosever it is.

As long as nobody watches, a change costs the one look that finds this out.

What this is not for: which change interests whom, and how it is said
(:mod:`agent.connmgr.monitors`).

Source: ``ofproto.c`` and ``connmgr.c`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.ofproto.operations import Operation
from agent.ofproto.pipeline import UNTOLD
from agent.ofproto.rule import Rule
from agent.ofproto.table import Criteria, FlowTable, outputs_to
from agent.openflow.constants import ALL_TABLES, ANY, OFP10, Port, RemovedReason
from agent.openflow.errors import BAD_OUT_PORT, REQUEST_BAD_TABLE_ID, OpenFlowError
from agent.openflow.nx_messages import FlowMonitor, FlowMonitorFlags, FlowUpdate, FlowUpdateEvent
from drivers.interfaces import OperationKind

if TYPE_CHECKING:
    from agent.ofproto.operations import OperationGroup

ADDED: Final = FlowUpdateEvent.ADDED
DELETED: Final = FlowUpdateEvent.DELETED
MODIFIED: Final = FlowUpdateEvent.MODIFIED

RESERVED_PORTS: Final = frozenset(Port) - {Port.MAX}

_WANTS: Final = {
    ADDED: int(FlowMonitorFlags.ADD),
    DELETED: int(FlowMonitorFlags.DELETE),
    MODIFIED: int(FlowMonitorFlags.MODIFY),
}


@attrs.define(eq=False)
class Change:
    """A final change of one rule.

    :ivar event: what happened.  A request to add a rule which is there already has ADDED it.
    :ivar rule: the rule as it is now; of DELETED, as it was.
    :ivar before: the rule as it was; None of DELETED, and where there was none.
    :ivar reason: of DELETED, :class:`~agent.openflow.constants.RemovedReason`.
    :ivar group: the operations that it was one of.
    """

    event: FlowUpdateEvent
    rule: Rule
    before: Rule | None
    reason: int
    group: OperationGroup

    @property
    def asked_for(self) -> object:
        """The requester who asked for just this; None for what is only a consequence of what
        somebody asked for, such as the eviction of another rule."""
        if self.event is DELETED and self.reason != RemovedReason.DELETE:
            return None
        return self.group.owner

    def interests(self, monitor: FlowMonitor) -> bool:
        """Whether it is what a monitor watches for.

        A rule that outputs to the monitor's port no longer is of interest once more.
        """
        rule = self.rule
        if not monitor.flags & _WANTS[self.event]:
            return False
        if monitor.table_id not in (ALL_TABLES, rule.table_id):
            return False
        if not monitor.match.covers(rule.match):
            return False
        port, before = monitor.out_port, self.before
        return (
            port == ANY
            or outputs_to(rule, port)
            or (before is not None and outputs_to(before, port))
        )


def update_of(
    rule: Rule, flags: int, event: FlowUpdateEvent = ADDED, reason: int = 0
) -> FlowUpdate:
    """What is said of a rule.

    :param flags: those of the monitors that it is said to: ACTIONS or not.
    """
    return FlowUpdate(
        event,
        rule.table_id,
        rule.match,
        rule.priority,
        rule.cookie,
        rule.idle_timeout,
        rule.hard_timeout,
        reason,
        rule.instructions if flags & FlowMonitorFlags.ACTIONS else (),
    )


class Watcher(Protocol):
    """Who wants to be told of changes."""

    def changed(self, changes: Sequence[Change]) -> None:
        """These changes have become final, in this order; they may be none.

        The switch must not be called from here.
        """


class FlowChanges:
    """The changes of one switch that are still to be told.

    :ivar watchers: who is told.
    :ivar tables: the tables of the switch; none before it is started.
    """

    _log = Logger()

    def __init__(self, bridge: str, clock: IReactorTime) -> None:
        self.watchers: dict[Watcher, None] = {}
        self.tables: Sequence[FlowTable] = ()
        self._bridge = bridge
        self._clock = clock
        self._collected: list[Change] = []
        self._call: IDelayedCall | None = None

    # --- watching ----------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody of all changes from now on."""
        self.flush()
        self.watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Tell somebody nothing any more, if he was told at all."""
        self.watchers.pop(watcher, None)
        if not self.watchers:
            self.stop()

    def stop(self) -> None:
        """Forget what is to be told."""
        self._collected = []
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # --- telling -----------------------------------------------------------------------------

    def committed(self, operation: Operation) -> None:
        """An operation on a rule has succeeded for good.

        It need not be called while nobody watches.
        """
        rule: Rule = operation.rule
        old = operation.old
        if rule.hidden:
            return
        if operation.kind is OperationKind.DELETE:
            reason = RemovedReason.DELETE if operation.reason == UNTOLD else operation.reason
            change = Change(DELETED, rule, None, reason, operation.group)
        elif operation.deleted:
            # Deleted and made again, by one bundle.
            self._collected.append(Change(DELETED, old, None, operation.reason, operation.group))
            change = Change(ADDED, rule, None, 0, operation.group)
        elif old is None or operation.overwrites:
            change = Change(ADDED, rule, old, 0, operation.group)
        elif rule.instructions != old.instructions or rule.cookie != old.cookie:
            change = Change(MODIFIED, rule, old, 0, operation.group)
        else:
            return
        self._collected.append(change)
        self.schedule()

    def schedule(self) -> None:
        """Call the watchers in the next turn, even if there is nothing else to tell them."""
        if self._call is None and self.watchers:
            self._call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = None
        self.flush()

    def flush(self) -> None:
        """Tell now what is to be told; not from within the end of an operation."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        collected, self._collected = self._collected, []
        for watcher in list(self.watchers):
            if watcher not in self.watchers:
                continue  # it went because of what another was told
            try:
                watcher.changed(collected)
            except Exception:
                # The others want to know, whatever is wrong with one.
                self._log.failure("{bridge}: a monitor cannot be told", bridge=self._bridge)

    # --- what there is -----------------------------------------------------------------------

    def check(self, monitor: FlowMonitor, version: int) -> None:
        """Whether there can be such a monitor.

        :raises OpenFlowError: BAD_TABLE_ID; in 1.3, BAD_OUT_PORT for a number that no port can
            have.  In 1.0, as in Open vSwitch, such a monitor just sees nothing.
        """
        number = monitor.table_id
        if number != ALL_TABLES and not (number < len(self.tables) and self.tables[number].active):
            raise OpenFlowError(REQUEST_BAD_TABLE_ID, f"table {number}")
        port = monitor.out_port
        if version != OFP10 and port >= Port.MAX and port not in RESERVED_PORTS:
            raise OpenFlowError(BAD_OUT_PORT, f"port {port:#x}")

    def snapshot(self, monitor: FlowMonitor) -> Iterator[Rule]:
        """The confirmed rules that a monitor watches."""
        criteria = Criteria(monitor.match, out_port=monitor.out_port)
        for table in self.tables:
            if monitor.table_id not in (ALL_TABLES, table.table_id):
                continue
            for rule in table.select(criteria):
                if rule.pending is None:
                    yield rule
            for operation in table.pending:
                old = operation.old
                # What is in no table (agent.ofproto.ghosts) has no change of a table.
                if operation.place is table and old is not None and criteria.selects(old):
                    yield old
