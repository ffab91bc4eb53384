"""What there is and what it is doing, as plain data: for the page, and for ``ofagentctl``.

Every method answers with dictionaries, lists, texts and numbers which JSON can say; times are in
seconds and ages, never dates, so that two programs with different clocks agree.  What takes the
hardware's word, such as counters, comes as a Deferred.  Nothing here changes anything.

:data:`VERSION` is raised when a key goes or means something else; more keys may come at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

import agent as package
from agent.admin.commands_bridges import Agent, Bridge, able
from agent.admin.commands_flows import describe
from agent.admin.commands_process import resident
from agent.admin.flow_search import FlowSearch, software_reasons, state_of
from agent.admin.timeline import timeline
from agent.admin.values import show_mac
from agent.ofproto.operations import Operation, OperationGroup, State
from agent.ofproto.rule import Rule
from agent.openflow.text import format_actions, format_instructions, format_match
from drivers.abilities import IClog, IHistory, IMemoryMap, SoftwareReason, TableMemory

VERSION: Final = 1
"""Of the data's form."""

MAX_OPERATIONS: Final = 100
"""How many operations of one group are listed; there are :attr:`left` of them."""

MAX_CELLS: Final = 512
"""Into how many cells a table of the hardware is drawn, at most."""

MAX_RUNS: Final = 10
"""Runs of entries of one priority that are listed of each table: the largest."""

Data = dict[str, Any]

_first, _entries = itemgetter(1), itemgetter(2)
"""Of a run, see :func:`_runs`."""

_OVER: Final = (State.DONE, State.FAILED)


class Report:
    """What there is.

    :ivar of_bridge: the reports about one bridge that need no more than its name.
    :param clock: the time that the agent goes by.
    """

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock
        self.of_bridge: dict[str, Callable[[str], object]] = {
            "bridge": self.bridge,
            "connections": self.connections,
            "pending": self.pending,
            "groups": self.groups,
            "meters": self.meters,
            "ports": self.ports,
            "driver": self.driver,
            "timeline": self.timeline,
        }

    # --- the agent -----------------------------------------------------------------------------

    def agent(self) -> Data:
        """The process: ``version``, ``memory`` (kB), ``bridges`` (their names)."""
        return {
            "form": VERSION,
            "version": package.__version__,
            "memory": resident(),
            "bridges": sorted(self._agent.bridges),
        }

    def bridges(self) -> list[Data]:
        """Every bridge; see :meth:`bridge`."""
        return [self.bridge(name) for name in sorted(self._agent.bridges)]

    def bridge(self, name: str) -> Data:
        """A bridge in a few numbers.

        :raises KeyError: when there is none of that name, as everywhere here.
        """
        bridge = self._agent.bridges[name]
        switch = bridge.ofproto
        ledger = switch.ledger
        clog = IClog(switch.driver, None)
        flushing = switch.flushing
        return {
            "name": name,
            "datapath_id": f"{switch.datapath_id:016x}",
            "driver": switch.driver.name,
            "hardware": switch.capabilities.hardware,
            "clogged": clog is not None and clog.clogged,
            "flushing": None if flushing is None else flushing.describe(),
            "ports": len(switch.driver.ports()),
            "connections": len(bridge.connections.connections()),
            "groups_in_flight": len(ledger.groups),
            "operations_in_flight": sum(len(group.operations) for group in ledger.groups),
            "max_pending": switch.admission.limit,
            "late_completions": ledger.late,
            "group_entries": len(switch.group_mods.table.entries),
            "meter_entries": len(switch.meter_mods.table.entries),
            "tables": [
                {
                    "id": table.table_id,
                    "name": table.name,
                    "rules": table.rules.count,
                    "hidden": table.hidden,
                    "size": table.max_entries,
                    "pending": len(table.pending),
                    "degraded": sum(1 for rule in table.rules if rule.degraded),
                    "ghosts": len(table.ghosts),
                }
                for table in switch.tables
            ],
        }

    # --- connections, and who waits for what -----------------------------------------------------

    def connections(self, name: str) -> list[Data]:
        """The connections of a bridge: :class:`agent.connmgr.status.ConnectionStatus`."""
        found = []
        for status in self._agent.bridges[name].connections.connections():
            data = attrs.asdict(status)
            data["kind"] = status.kind.name.lower()
            found.append(data)
        return found

    def pending(self, name: str, most: int = 1000) -> Data:
        """What is in flight, oldest first, and what waits for it.

        :param most: how many groups are listed; ``in_flight`` says how many there are.
        """
        bridge = self._agent.bridges[name]
        ledger = bridge.ofproto.ledger
        flushing = bridge.ofproto.flushing
        return {
            "in_flight": len(ledger.groups),
            "groups": [self.group(group) for group in islice(ledger.groups, most)],
            "postponed": [
                {"connection": one.name, "xid": one.waiting_xid, "waits_for": one.waiting_for}
                for one in bridge.connections.connections()
                if one.waiting_for is not None
            ],
            "flushing": None if flushing is None else flushing.describe(),
        }

    def group(self, group: OperationGroup) -> Data:
        """A group of operations in flight, with those of them that are not over."""
        operations = group.operations if group.undo is None else group.undo
        left = [one for one in operations if one.state not in _OVER]
        return {
            **brief(group, self._clock.seconds()),
            "left": len(left),
            "listed": [_operation(one) for one in left[:MAX_OPERATIONS]],
        }

    # --- what is in the tables -------------------------------------------------------------------

    def flows(
        self, name: str, search: FlowSearch, offset: int = 0, limit: int = 100
    ) -> Deferred[Data]:
        """Some of the rules that a search finds, with the counters that the hardware has now.

        :returns: fires with ``flows``, how many of them were passed over before (``offset``) and
            whether there are more after them (``more``).
        """
        switch = self._agent.bridges[name].ofproto

        def answer(found: list[tuple[Rule, bool]]) -> Deferred[Data]:
            more = len(found) > limit
            page = found[:limit]
            alive = [rule for rule, ghost in page if not ghost]
            refreshed: Deferred[None] = switch.reads.refresh_or_not(alive)
            now = switch.now()
            return refreshed.addCallback(
                lambda _: {
                    "offset": offset,
                    "more": more,
                    "flows": [
                        _flow(rule, ghost, now, software_reasons(switch)) for rule, ghost in page
                    ],
                }
            )

        found = search.run(switch, self._clock, offset, limit + 1)
        return found.addCallback(answer)

    def groups(self, name: str) -> list[Data]:
        """The entries of the group table."""
        entries = self._agent.bridges[name].ofproto.group_mods.table.entries
        return [
            {
                "group_id": group.group_id,
                "type": group.type.name.lower() if hasattr(group.type, "name") else group.type,
                "buckets": [
                    {
                        "weight": bucket.weight,
                        "watch_port": bucket.watch_port,
                        "watch_group": bucket.watch_group,
                        "actions": format_actions(bucket.actions),
                    }
                    for bucket in group.buckets
                ],
                "packets": group.counters.packets,
                "bytes": group.counters.bytes,
                **_state(group),
            }
            for _, group in sorted(entries.items())
        ]

    def meters(self, name: str) -> list[Data]:
        """The entries of the meter table."""
        entries = self._agent.bridges[name].ofproto.meter_mods.table.entries
        return [
            {
                "meter_id": number,
                "flags": int(meter.flags),
                "bands": [attrs.asdict(band) for band in meter.bands],
                "packets": meter.counters.packets,
                "bytes": meter.counters.bytes,
                **_state(meter),
            }
            for number, meter in sorted(entries.items())
        ]

    # --- the hardware ----------------------------------------------------------------------------

    def ports(self, name: str) -> Deferred[list[Data]]:
        """The ports, with their counters."""
        switch = self._agent.bridges[name].ofproto
        driver = switch.driver
        counted: Deferred[Any] = switch.reads.port_stats()

        def answer(counters: Iterable[Any]) -> list[Data]:
            by_number = {one.port_no: attrs.asdict(one) for one in counters}
            return [
                {
                    "number": port.port_no,
                    "name": port.name,
                    "hw_addr": show_mac(port.hw_addr),
                    "config": int(port.config),
                    "state": int(port.state),
                    "counters": by_number.get(port.port_no, {}),
                }
                for port in driver.ports()
            ]

        return counted.addCallback(answer)

    def driver(self, name: str) -> Data:
        """What the driver says of itself, and how its memories are filled, where it knows."""
        bridge = self._agent.bridges[name]
        return {
            "name": bridge.ofproto.driver.name,
            "facts": self.driver_facts(bridge),
            "memory": self.memory(bridge),
        }

    def timeline(self, name: str) -> Data:
        """What the hardware did lately; see :func:`agent.admin.timeline.timeline`.

        :raises CommandError: when the driver does not remember it.
        """
        bridge = self._agent.bridges[name]
        what = "remembers what its hardware did"
        history = able({name: bridge}, lambda one: IHistory(one, None), what)[name]
        return timeline(bridge, history, self._clock.seconds())

    @staticmethod
    def driver_facts(bridge: Bridge) -> Data:
        """What the driver says of itself."""
        facts = bridge.ofproto.driver.show()
        return {fact: _printable(value) for fact, value in facts.items()}

    @staticmethod
    def memory(bridge: Bridge) -> list[Data]:
        """How the hardware's tables are filled; empty where the driver does not know."""
        mapped = IMemoryMap(bridge.ofproto.driver, None)
        return [] if mapped is None else [_memory(table) for table in mapped.memory_map()]


def brief(group: OperationGroup, now: float) -> Data:
    """A group of operations in a few words; ``key`` tells it from all others in flight."""
    operations = group.operations
    first = operations[0] if operations else None
    return {
        "key": f"{id(group):x}",
        "xid": group.xid,
        "connection": group.owner.name,
        "kind": first.kind.value if first is not None else "",
        "table": first.place.name if first is not None else "",
        "count": len(operations),
        "age": now - group.started,
        "undoing": group.undo is not None,
        "error": None if group.error is None else str(group.error),
    }


def _operation(operation: Operation) -> Data:
    return {
        "kind": operation.kind.value,
        "state": operation.state.value,
        "attempt": operation.failures + 1,
        "entry": describe(operation.rule),
    }


def _flow(rule: Rule, ghost: bool, now: float, in_software: Mapping[int, SoftwareReason]) -> Data:
    counters = rule.counters
    state = _state(rule, ghost)
    software = in_software.get(rule.handle)
    if software is not None and not state["reason"]:
        state["reason"] = f"in software: {software.text}"
    return {
        "table": rule.table_id,
        "priority": rule.priority,
        "match": format_match(rule.match),
        "actions": format_instructions(rule.instructions),
        "cookie": f"{rule.cookie:#x}",
        "packets": counters.packets,
        "bytes": counters.bytes,
        "duration": now - rule.created,
        "idle_timeout": rule.idle_timeout,
        "hard_timeout": rule.hard_timeout,
        "hidden": rule.hidden,
        **state,
    }


def _state(entry: Any, ghost: bool = False) -> Data:
    """Whether the hardware has it as it should, and if not, why."""
    reason = entry.degraded
    pending = entry.pending
    if pending is not None and not reason:
        reason = f"{pending.kind.value} {pending.state.value}: {pending.group.describe()}"
    return {"state": state_of(entry, ghost).value, "reason": reason}


def _printable(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _memory(table: TableMemory) -> Data:
    size = max(table.size, 1)
    runs = _runs(table.places)
    cells = min(size, MAX_CELLS)
    # Of each cell: how many of its places are taken, and the highest priority there; -1: none.
    taken = [0] * cells
    highest = [-1] * cells
    for place, priority in table.places:
        cell = min(place * cells // size, cells - 1)
        taken[cell] += 1
        highest[cell] = max(highest[cell], priority)
    return {
        "id": table.table_id,
        "name": table.name,
        "size": table.size,
        "used": len(table.places),
        "spilled": table.spilled,
        "chunks": len(runs),
        "largest": [
            {"priority": priority, "first": first, "entries": count}
            for priority, first, count in sorted(nlargest(MAX_RUNS, runs, key=_entries), key=_first)
        ],
        "cells": taken,
        "priorities": highest,
        "places_per_cell": size / cells,
    }


def _runs(places: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The runs of entries of one priority: that, the first place, and how many there are."""
    runs = []
    for priority, run in groupby(places, key=itemgetter(1)):
        lying = list(run)
        runs.append((priority, lying[0][0], len(lying)))
    return runs
