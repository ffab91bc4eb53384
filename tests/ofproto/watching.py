"""What the tests of :mod:`agent.ofproto.monitors` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from agent.ofproto.monitors import Change, FlowChanges
from agent.openflow.actions import Instructions
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitor, FlowMonitorFlags, FlowUpdateEvent
from agent.openflow.nx_messages import FlowUpdateEvent as Event
from tests.ofproto.stage import SwitchTestCase

ADDED, DELETED, MODIFIED = Event.ADDED, Event.DELETED, Event.MODIFIED
ALL = int(FlowMonitorFlags(0x1F))


class Watcher:
    """Writes down what it is told.

    :ivar changes: what it was told, in order.
    :ivar calls: how often it was called.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.calls = 0

    def changed(self, changes: Sequence[Change]) -> None:
        """See :class:`agent.ofproto.monitors.Watcher`."""
        self.calls += 1
        self.changes += changes

    def told(self) -> list[tuple[FlowUpdateEvent, Match]]:
        """Event and match of each change since the last time."""
        changes, self.changes = self.changes, []
        return [(change.event, change.rule.match) for change in changes]


class WatchedCase(SwitchTestCase):
    """A switch that somebody watches."""

    def setUp(self) -> None:
        """Watch."""
        super().setUp()
        self.watcher = Watcher()
        self.changes.watch(self.watcher)

    @property
    def changes(self) -> FlowChanges:
        """Those of the switch."""
        return self.switch.changes

    def told(self) -> list[tuple[FlowUpdateEvent, Match]]:
        """What the watcher was told by the end of this turn."""
        self.turn()
        return self.watcher.told()


class Copy:
    """The rules, as somebody knows them who is told what becomes of them.

    :ivar rules: instructions and cookie, by table, priority and match.
    :ivar faults: what it was told that cannot be.
    """

    def __init__(self, changes: FlowChanges) -> None:
        """Begin with what there is."""
        self.rules: dict[tuple[int, int, Match], tuple[Instructions, int]] = {}
        self.faults: list[str] = []
        self._changes = changes
        changes.watch(self)
        self.rules = self._confirmed()

    def _confirmed(self) -> dict[tuple[int, int, Match], tuple[Instructions, int]]:
        """What a new monitor would see."""
        seen = list(self._changes.snapshot(FlowMonitor(1, ALL)))
        rules = {
            (rule.table_id, rule.priority, rule.match): (rule.instructions, rule.cookie)
            for rule in seen
        }
        assert len(rules) == len(seen), "a rule is seen twice"
        return rules

    def changed(self, changes: Sequence[Change]) -> None:
        """See :class:`agent.ofproto.monitors.Watcher`."""
        for change in changes:
            rule = change.rule
            key = (rule.table_id, rule.priority, rule.match)
            known = change.event is not ADDED or change.before is not None
            if (key in self.rules) != known:
                self.faults.append(f"{change.event!r} of {rule}")
            if change.event is DELETED:
                self.rules.pop(key, None)
            else:
                self.rules[key] = (rule.instructions, rule.cookie)

    def check(self) -> None:
        """What was told adds up to what a new monitor would see."""
        self._changes.flush()
        assert not self.faults, self.faults
        assert self.rules == self._confirmed()
