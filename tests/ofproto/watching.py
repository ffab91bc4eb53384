"""What the tests of :mod:`agent.ofproto.monitors` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from agent.ofproto.monitors import Change, FlowChanges
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags, FlowUpdateEvent
from agent.openflow.nx_messages import FlowUpdateEvent as Event
from tests.ofproto.stage import (
    SwitchTestCase,
)

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
