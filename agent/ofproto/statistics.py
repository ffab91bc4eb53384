"""Statistics about rules and tables: what a request selects, and its answer.

Answers show the table as it is at the moment of the request, rules with an operation in flight
included: a controller sees what it has asked for at once, and waits for a barrier to know that the
hardware agrees.  Only the counters may have to be fetched from the hardware first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.ofproto.interfaces import IRequester
from agent.ofproto.reads import Reads
from agent.ofproto.rule import Rule
from agent.ofproto.table import Criteria, FlowTable
from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import (
    ALL_TABLES,
    OFP10,
    AggregateReply,
    AggregateRequest,
    FlowRemoved,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
    TableStats,
    TableStatsReply,
    TableStatsRequest,
)
from drivers.interfaces import TableCounters

MAX_AGE: Final = 65534
"""The greatest age that Nicira's flow statistics tell, in seconds."""

WILDCARDS_ALL_10: Final = (1 << 22) - 1
"""``OFPFW_ALL`` of 1.0."""

NOT_COUNTED: Final = TableCounters()


class FlowStatistics:
    """Answers the requests for these statistics of one switch."""

    def __init__(self, tables: Sequence[FlowTable], reads: Reads, clock: IReactorTime) -> None:
        self._tables = tables
        self._reads = reads
        self._clock = clock

    def handlers(self) -> dict[type, Callable[[Any, IRequester], Any]]:
        """What answers each kind of request; see :meth:`agent.ofproto.ofproto.OFProto.handle`."""
        return {
            FlowStatsRequest: self._flow_stats,
            AggregateRequest: self._aggregate,
            TableStatsRequest: self._table_stats,
        }

    def _flow_stats(
        self, request: FlowStatsRequest, requester: IRequester
    ) -> Deferred[FlowStatsReply]:
        rules = select(self._tables, request, requester.version)
        # The counters are brought up to date first; only Nicira's entries say when they were used.
        return self._reads.refresh_or_not(rules, when=request.nxm).addCallback(
            lambda _: flow_stats_reply(rules, self._clock.seconds(), request)
        )

    def _aggregate(
        self, request: AggregateRequest, requester: IRequester
    ) -> Deferred[AggregateReply]:
        rules = select(self._tables, request, requester.version)
        return self._reads.refresh_or_not(rules).addCallback(
            lambda _: aggregate_reply(rules, request)
        )

    def _table_stats(self, request: TableStatsRequest, _: IRequester) -> Deferred[TableStatsReply]:
        return self._reads.table_stats().addCallback(
            lambda counted: TableStatsReply(
                [
                    table_stats(table, counted.get(table.table_id, NOT_COUNTED))
                    for table in self._tables
                    if table.active
                ],
                request.xid,
            )
        )


def duration(since: float, now: float) -> tuple[int, int]:
    """A time span as OpenFlow sends it: whole seconds, and nanoseconds beyond them."""
    span = max(0.0, now - since)
    seconds = int(span)
    return seconds, int((span - seconds) * 1e9)


def select(
    tables: Sequence[FlowTable], request: FlowStatsRequest | AggregateRequest, version: int
) -> list[Rule]:
    """The rules a request is about.

    :raises OpenFlowError: BAD_REQUEST/BAD_TABLE_ID.
    """
    if request.table_id == ALL_TABLES:
        chosen = tables
    elif request.table_id < len(tables) and tables[request.table_id].active:
        chosen = (tables[request.table_id],)
    elif version == OFP10:
        return []  # 1.0 has no error for it; Open vSwitch answers with nothing
    else:
        raise OpenFlowError(errors.REQUEST_BAD_TABLE_ID, f"table {request.table_id}")
    criteria = Criteria(
        request.match,
        cookie=request.cookie,
        cookie_mask=request.cookie_mask,
        out_port=request.out_port,
        out_group=request.out_group,
    )
    return [rule for table in chosen for rule in table.select(criteria)]


def flow_stats_reply(
    rules: Sequence[Rule], now: float, request: FlowStatsRequest
) -> FlowStatsReply:
    """The answer to a flow statistics request; its entries are made as they are encoded."""
    stats = extended_flow_stats if request.nxm else flow_stats
    entries = (stats(rule, now) for rule in rules)
    return FlowStatsReply(entries, request.xid, nxm=request.nxm)


def flow_stats(rule: Rule, now: float) -> FlowStats:
    """One entry of such an answer."""
    counters = rule.counters
    seconds, nanoseconds = duration(rule.created, now)
    return FlowStats(
        rule.table_id,
        seconds,
        nanoseconds,
        rule.priority,
        rule.idle_timeout,
        rule.hard_timeout,
        rule.flags,
        rule.cookie,
        counters.packets,
        counters.bytes,
        rule.match,
        rule.instructions,
    )


def extended_flow_stats(rule: Rule, now: float) -> FlowStats:
    """The same with what Nicira's statistics tell more: for how long nothing has happened to it."""
    stats = flow_stats(rule, now)
    stats.idle_age = min(MAX_AGE, int(now - max(rule.counters.used, rule.created)))
    stats.hard_age = min(MAX_AGE, int(now - rule.modified))
    return stats


def aggregate_reply(rules: Sequence[Rule], request: AggregateRequest) -> AggregateReply:
    """The answer to an aggregate statistics request."""
    return AggregateReply(
        sum(rule.counters.packets for rule in rules),
        sum(rule.counters.bytes for rule in rules),
        len(rules),
        request.xid,
        request.nxm,
    )


def table_stats(table: FlowTable, counted: TableCounters) -> TableStats:
    """One entry of the answer to a table statistics request."""
    return TableStats(
        table.table_id,
        table.rules.count - table.hidden,
        counted.lookups,
        counted.matches,
        table.name,
        WILDCARDS_ALL_10,
        table.max_entries,
    )


def flow_removed(rule: Rule, reason: int, now: float) -> FlowRemoved:
    """What controllers are told of a rule that is gone."""
    seconds, nanoseconds = duration(rule.created, now)
    return FlowRemoved(
        rule.match,
        rule.cookie,
        rule.priority,
        reason,
        rule.table_id,
        seconds,
        nanoseconds,
        rule.idle_timeout,
        rule.hard_timeout,
        rule.counters.packets,
        rule.counters.bytes,
    )
