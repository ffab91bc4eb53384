"""Metrics for Prometheus.

They are read from where the agent counts anyway when somebody asks, so that nothing is counted
twice.  Names follow the conventions of the Prometheus documentation: base units, ``_total`` for
what only grows, and labels that stay few: never an address of a packet, an xid or a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import agent as package
from agent.admin.commands_bridges import Agent, Bridge
from agent.admin.coverage import Coverage
from agent.admin.flow_search import FlowState, software_reasons, state_of
from agent.admin.web.lag import ReactorLag
from agent.ofproto.histogram import Histogram
from drivers.abilities import IMemoryMap

PREFIX: Final = "ofagent_"

MESSAGES: Final = {
    0: "hello",
    1: "error",
    2: "echo_request",
    3: "echo_reply",
    4: "experimenter",
}
"""Types that are the same in every version; others are named by number."""


class AgentCollector(Collector):
    """The metrics of an agent."""

    def __init__(self, agent: Agent, coverage: Coverage, lag: ReactorLag) -> None:
        self._agent = agent
        self._coverage = coverage
        self._lag = lag

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names need not be known before."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        info = InfoMetricFamily(f"{PREFIX}build", "The program.")
        info.add_metric((), {"version": package.__version__})
        yield info
        lag = _histogram("reactor_lag_seconds", "How late the reactor was for a timer.")
        lag.add_metric((), self._lag.histogram.buckets(), self._lag.histogram.sum)
        yield lag
        yield self._events()
        bridges = sorted(self._agent.bridges.items())
        yield from _bridges(bridges)
        yield from _connections(bridges)
        yield from _operations(bridges)
        yield from _tables(bridges)

    def _events(self) -> Metric:
        events = _counter("events", "What ovs-appctl coverage/show counts.", "event")
        for name in self._coverage:
            events.add_metric((name,), self._coverage.total(name))
        return events


Bridges = list[tuple[str, Bridge]]


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(PREFIX + name, text, labels=labels)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], values: Histogram) -> None:
    family.add_metric(labels, values.buckets(), values.sum)


def _bridges(bridges: Bridges) -> Iterator[Metric]:
    info = InfoMetricFamily(f"{PREFIX}bridge", "A bridge.", labels=("bridge",))
    ports = _gauge("ports", "Ports there are.", "bridge")
    flushing = _gauge("flushing", "Whether all rules are being deleted.", "bridge")
    for name, bridge in bridges:
        switch = bridge.ofproto
        facts = {"datapath_id": f"{switch.datapath_id:016x}", "driver": switch.driver.name}
        info.add_metric((name,), facts)
        ports.add_metric((name,), len(switch.driver.ports()))
        flushing.add_metric((name,), switch.flushing is not None)
    yield from (info, ports, flushing)


def _connections(bridges: Bridges) -> Iterator[Metric]:
    count = _gauge("connections", "OpenFlow connections by state.", "bridge", "kind", "state")
    postponed = _gauge("postponed_messages", "Messages that wait now.", "bridge")
    backlog = _gauge("backlog_bytes", "What waits behind them.", "bridge")
    received = _counter("messages_received", "OpenFlow messages by type.", "bridge", "type")
    sent = _counter("messages_sent", "OpenFlow messages by type.", "bridge", "type")
    errors = _counter("errors_sent", "Requests refused.", "bridge", "error")
    dropped = _counter(
        "packet_ins_dropped", "Packets not sent to a controller.", "bridge", "reason"
    )
    waits = _histogram(
        "postponement_seconds", "How long messages waited, by reason.", "bridge", "reason"
    )
    barriers = _histogram("barrier_wait_seconds", "How long barriers waited.", "bridge")
    for name, bridge in bridges:
        connections = bridge.connections.connections()
        kinds: dict[tuple[str, str], int] = {}
        for one in connections:
            key = one.kind.name.lower(), one.state
            kinds[key] = kinds.get(key, 0) + 1
        for (kind, state), number in sorted(kinds.items()):
            count.add_metric((name, kind, state), number)
        waiting = sum(one.waiting_for is not None for one in connections)
        postponed.add_metric((name,), waiting)
        backlog.add_metric((name,), sum(one.backlog for one in connections))
        traffic = bridge.connections.traffic
        for family, types in ((received, traffic.received), (sent, traffic.sent)):
            for number, total in enumerate(types):
                if total:
                    family.add_metric((name, MESSAGES.get(number, str(number))), total)
        for error, total in sorted(traffic.errors.items()):
            errors.add_metric((name, error), total)
        lost = traffic.packet_ins_dropped + Counter(
            limited=sum(one.packet_ins_overflowed for one in connections)
        )
        for why, total in sorted(lost.items()):
            dropped.add_metric((name, why), total)
        for reason, histogram in sorted(traffic.waits.items()):
            _add(waits, (name, reason), histogram)
        _add(barriers, (name,), traffic.barriers)
    yield from (count, postponed, backlog, received, sent, errors, dropped, waits, barriers)


def _operations(bridges: Bridges) -> Iterator[Metric]:
    groups = _gauge("groups_in_flight", "Requests whose operations are in flight.", "bridge")
    limit = _gauge("groups_in_flight_limit", "How many there may be.", "bridge")
    flying = _gauge("operations_in_flight", "Operations of those.", "bridge")
    late = _counter("late_completions", "Completions that came twice or too late.", "bridge")
    duration = _histogram(
        "operation_duration_seconds",
        "From a request's acceptance to the driver's word on an operation.",
        "bridge",
        "driver",
        "kind",
        "result",
    )
    for name, bridge in bridges:
        switch = bridge.ofproto
        ledger = switch.ledger
        groups.add_metric((name,), len(ledger.groups))
        limit.add_metric((name,), switch.admission.limit)
        flying.add_metric((name,), sum(len(group.operations) for group in ledger.groups))
        late.add_metric((name,), ledger.late)
        for kind, results in ledger.durations.items():
            for result, histogram in zip(("done", "failed"), results, strict=True):
                _add(duration, (name, switch.driver.name, kind.value, result), histogram)
    yield from (groups, limit, flying, late, duration)


def _tables(bridges: Bridges) -> Iterator[Metric]:
    rules = _gauge("rules", "Rules by what the hardware has of them.", "bridge", "table", "state")
    size = _gauge("table_size", "Rules there is room for.", "bridge", "table")
    groups = _gauge("group_entries", "Groups.", "bridge")
    meters = _gauge("meter_entries", "Meters.", "bridge")
    places = _gauge("hardware_places", "Places of the hardware's tables.", "bridge", "table", "use")
    software = _gauge(
        "software_rules", "Rules that the driver executes in software, and why.", "bridge", "reason"
    )
    for name, bridge in bridges:
        switch = bridge.ofproto
        reasons = Counter(reason.kind for reason in software_reasons(switch).values())
        for kind, total in sorted(reasons.items()):
            software.add_metric((name, kind), total)
        for table in switch.tables:
            number = str(table.table_id)
            states = dict.fromkeys(FlowState, 0)
            states[FlowState.GHOST] = len(table.ghosts)
            for rule in table.rules:
                states[state_of(rule)] += 1
            for state, total in states.items():
                rules.add_metric((name, number, state.value), total)
            size.add_metric((name, number), table.max_entries)
        groups.add_metric((name,), len(switch.group_mods.table.entries))
        meters.add_metric((name,), len(switch.meter_mods.table.entries))
        mapped = IMemoryMap(switch.driver, None)
        for memory in () if mapped is None else mapped.memory_map():
            used = len(memory.places)
            labels = name, str(memory.table_id)
            places.add_metric((*labels, "used"), used)
            places.add_metric((*labels, "free"), memory.size - used)
            places.add_metric((*labels, "spilled"), memory.spilled)
    yield from (rules, size, groups, meters, places, software)


def make_registry(agent: Agent, coverage: Coverage, lag: ReactorLag) -> CollectorRegistry:
    """All that is served, with what Prometheus's library says of any process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(AgentCollector(agent, coverage, lag))
    return registry
