"""What the bridges do, as counters of ``coverage/show``.

The packages that do it count for themselves; this only reads.  A bridge that is removed, or made
anew, takes what it has counted with it, but the totals of the process must not shrink: so what was
last read of each is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agent.admin.commands_bridges import Bridge
from agent.admin.coverage import Coverage

READERS: Final[Mapping[str, Callable[[Bridge], int]]] = {
    "vconn_received": lambda bridge: sum(bridge.connections.traffic.received),
    "vconn_sent": lambda bridge: sum(bridge.connections.traffic.sent),
    "openflow_error": lambda bridge: sum(bridge.connections.traffic.errors.values()),
    "openflow_postponed": lambda bridge: sum(
        sum(waited.counts) for waited in bridge.connections.traffic.waits.values()
    ),
    "operation_done": lambda bridge: sum(
        sum(done.counts) for done, _ in bridge.ofproto.ledger.durations.values()
    ),
    "operation_failed": lambda bridge: sum(
        sum(failed.counts) for _, failed in bridge.ofproto.ledger.durations.values()
    ),
    "operation_late": lambda bridge: bridge.ofproto.ledger.late,
    "driver_unanswered": lambda bridge: bridge.ofproto.reads.unanswered,
}
"""What is counted, and where; ``vconn_...`` as in Open vSwitch: OpenFlow messages."""


class Activity:
    """The counters of an agent."""

    def __init__(self, bridges: Callable[[], Mapping[str, Bridge]]) -> None:
        """:param bridges: the bridges that run, by name."""
        self._bridges = bridges
        self._coverage: Coverage | None = None

    def watch(self, coverage: Coverage) -> None:
        """Begin to show the counters; of several agents in one process, only the first does."""
        if set(READERS).isdisjoint(coverage):
            self._coverage = coverage
            for name, read in READERS.items():
                coverage.watch(name, _Total(self._bridges, read))

    def unwatch(self) -> None:
        """End that; harmless when it has not begun."""
        coverage, self._coverage = self._coverage, None
        if coverage is not None:
            for name in READERS:
                coverage.unwatch(name)


class _Total:
    """One counter, over all bridges there were."""

    def __init__(
        self, bridges: Callable[[], Mapping[str, Bridge]], read: Callable[[Bridge], int]
    ) -> None:
        self._bridges = bridges
        self._read = read
        self._seen: dict[str, int] = {}
        self._gone = 0

    def __call__(self) -> int:
        now = {name: self._read(bridge) for name, bridge in self._bridges().items()}
        for name, count in self._seen.items():
            # One that has counted less is another of the same name.
            if now.get(name, -1) < count:
                self._gone += count
        self._seen = now
        return self._gone + sum(now.values())
