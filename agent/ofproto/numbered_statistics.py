"""Statistics about groups and meters: what a request selects, and its answer.

As with rules (:mod:`agent.ofproto.statistics`), answers show what a controller has asked for, also
what is still in flight; only the counters may have to be fetched from the hardware first.

Source: OpenFlow 1.3.5 sections 7.3.5.9 to 7.3.5.14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from agent.ofproto.groups import Group, GroupMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.meters import Meter, MeterMods
from agent.ofproto.numbered import count_names
from agent.ofproto.reads import Reads
from agent.ofproto.statistics import duration
from agent.ofproto.table import FlowTable
from agent.ofproto.table_features import action_types
from agent.openflow import group_messages as of
from agent.openflow.actions import GroupAction, groups_of, meters_of
from agent.openflow.errors import UNKNOWN_METER, OpenFlowError
from drivers.interfaces import UNKNOWN_COUNT, Capabilities, Counters, Entry

MOST_BANDS: Final = 0xFF
"""The most bands that a reply can name."""


class NumberedStatistics:
    """Answers the requests about groups and meters that change nothing."""

    def __init__(
        self,
        can: Capabilities,
        reads: Reads,
        tables: Sequence[FlowTable],
        groups: GroupMods,
        meters: MeterMods,
        clock: IReactorTime,
    ) -> None:
        self._can = can
        self._reads = reads
        self._tables = tables
        self._groups = groups
        self._meters = meters
        self._clock = clock

    def handlers(self) -> dict[type, Callable[[Any, IRequester], Any]]:
        """What answers each kind of request; see :meth:`agent.ofproto.ofproto.OFProto.handle`."""
        return {
            of.GroupStatsRequest: self._group_stats,
            of.GroupDescRequest: lambda request, _: group_desc_reply(self._groups, request.xid),
            of.GroupFeaturesRequest: lambda request, _: group_features_reply(
                self._can, request.xid
            ),
            of.MeterStatsRequest: self._meter_stats,
            of.MeterConfigRequest: lambda request, _: meter_config_reply(
                select_meters(self._meters, request.meter_id), request.xid
            ),
            of.MeterFeaturesRequest: lambda request, _: meter_features_reply(
                self._can, request.xid
            ),
        }

    def _group_stats(self, request: of.GroupStatsRequest, _: IRequester) -> Deferred[object]:
        chosen = select_groups(self._groups, request.group_id)
        return self._refreshed(
            chosen,
            lambda now: group_stats_reply(chosen, self._groups, self._tables, now, request.xid),
        )

    def _meter_stats(self, request: of.MeterStatsRequest, _: IRequester) -> Deferred[object]:
        chosen = select_meters(self._meters, request.meter_id)
        return self._refreshed(
            chosen, lambda now: meter_stats_reply(chosen, self._tables, now, request.xid)
        )

    def _refreshed(
        self, chosen: Sequence[Entry], answer: Callable[[float], object]
    ) -> Deferred[object]:
        """Answer when the driver, if it has any of these, has brought them up to date."""
        ready = self._reads.refresh_or_not(chosen) if chosen else succeed(None)
        return ready.addCallback(lambda _: answer(self._clock.seconds()))


def _pairs(counters: Sequence[Counters]) -> tuple[tuple[int, int], ...]:
    """Packets and bytes; to what is not known something may have been added since."""
    return tuple((counter.packets, min(counter.bytes, UNKNOWN_COUNT)) for counter in counters)


# --- groups -----------------------------------------------------------------------------------


def select_groups(groups: GroupMods, group_id: int) -> list[Group]:
    """The groups a request is about; none, if there is none of this number."""
    entries = groups.table.entries
    if group_id == of.GROUP_ALL:
        return list(entries.values())
    return [entries[group_id]] if group_id in entries else []


def group_stats_reply(
    chosen: Sequence[Group], groups: GroupMods, tables: Sequence[FlowTable], now: float, xid: int
) -> of.GroupStatsReply:
    """The answer to a request for the counters of groups."""
    references: Counter[int] = count_names(tables, groups_of)
    for other in groups.table.entries.values():
        references.update(other.forwards_to)
    return of.GroupStatsReply(
        [
            of.GroupStats(
                group.group_id,
                references[group.group_id],
                group.counters.packets,
                group.counters.bytes,
                *duration(group.created, now),
                _pairs(group.bucket_counters),
            )
            for group in chosen
        ],
        xid,
    )


def group_desc_reply(groups: GroupMods, xid: int) -> of.GroupDescReply:
    """The answer to a request for all groups as they were made."""
    return of.GroupDescReply(
        [
            of.GroupDesc(group.type, group.group_id, group.buckets)
            for group in groups.table.entries.values()
        ],
        xid,
    )


def group_features_reply(can: Capabilities, xid: int) -> of.GroupFeaturesReply:
    """The answer to a request for what groups can do."""
    types = can.group_types
    capabilities = 0
    if of.GroupType.SELECT in types:
        if can.select_weight:
            capabilities |= of.GroupCapabilities.SELECT_WEIGHT
        if of.GroupType.SELECT in can.watch_types:
            capabilities |= of.GroupCapabilities.SELECT_LIVENESS
    if types and (can.bucket_actions is None or GroupAction in can.bucket_actions):
        capabilities |= of.GroupCapabilities.CHAINING | of.GroupCapabilities.CHAINING_CHECKS
    actions = sum(1 << number for number in action_types(can.bucket_actions))
    return of.GroupFeaturesReply(
        sum(1 << kind for kind in types),
        int(capabilities),
        tuple(can.max_groups if kind in types else 0 for kind in of.GroupType),
        tuple(actions if kind in types else 0 for kind in of.GroupType),
        xid,
    )


# --- meters -----------------------------------------------------------------------------------


def select_meters(meters: MeterMods, meter_id: int) -> list[Meter]:
    """The meters a request is about.

    :raises OpenFlowError: METER_MOD_FAILED/UNKNOWN_METER.
    """
    entries = meters.table.entries
    if meter_id == of.METER_ALL:
        return list(entries.values())
    if meter_id not in entries:
        raise OpenFlowError(UNKNOWN_METER, f"meter {meter_id}")
    return [entries[meter_id]]


def meter_stats_reply(
    chosen: Sequence[Meter], tables: Sequence[FlowTable], now: float, xid: int
) -> of.MeterStatsReply:
    """The answer to a request for the counters of meters."""
    rules = count_names(tables, meters_of)
    return of.MeterStatsReply(
        [
            of.MeterStats(
                meter.meter_id,
                rules[meter.meter_id],
                meter.counters.packets,
                meter.counters.bytes,
                *duration(meter.created, now),
                _pairs(meter.band_counters),
            )
            for meter in chosen
        ],
        xid,
    )


def meter_config_reply(chosen: Sequence[Meter], xid: int) -> of.MeterConfigReply:
    """The answer to a request for meters as they were made."""
    return of.MeterConfigReply(
        [of.MeterConfig(meter.flags, meter.meter_id, meter.bands) for meter in chosen], xid
    )


def meter_features_reply(can: Capabilities, xid: int) -> of.MeterFeaturesReply:
    """The answer to a request for what meters can do."""
    if not can.max_meters:
        return of.MeterFeaturesReply(0, 0, 0, 0, 0, xid)
    return of.MeterFeaturesReply(
        can.max_meters,
        sum(1 << kind for kind in can.band_types),
        can.meter_flags,
        min(can.max_bands, MOST_BANDS),
        0,
        xid,
    )
