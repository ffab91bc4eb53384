"""Messages about groups and meters as values (OpenFlow 1.3).

Source: OpenFlow 1.3.5 sections 7.3.4.2, 7.3.4.4 and 7.3.5.9 to 7.3.5.14.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from agent.openflow.actions import Actions

GROUP_MAX: Final = 0xFFFFFF00
"""The last number that a group can have (``OFPG_MAX``)."""
GROUP_ALL: Final = 0xFFFFFFFC
GROUP_ANY: Final = 0xFFFFFFFF

METER_MAX: Final = 0xFFFF0000
"""The last number that a meter of flows can have (``OFPM_MAX``)."""
METER_SLOWPATH: Final = 0xFFFFFFFD
METER_CONTROLLER: Final = 0xFFFFFFFE
METER_ALL: Final = 0xFFFFFFFF


class GroupType(enum.IntEnum):
    """``OFPGT_*``."""

    ALL = 0
    SELECT = 1
    INDIRECT = 2
    FF = 3


class GroupCapabilities(enum.IntFlag):
    """``OFPGFC_*``."""

    SELECT_WEIGHT = 1
    SELECT_LIVENESS = 2
    CHAINING = 4
    CHAINING_CHECKS = 8


class GroupCommand(enum.IntEnum):
    """``OFPGC_*``, and ``OFPMC_*`` likewise."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


class MeterFlags(enum.IntFlag):
    """``OFPMF_*``."""

    KBPS = 1
    PKTPS = 2
    BURST = 4
    STATS = 8


class BandType(enum.IntEnum):
    """``OFPMBT_*``."""

    DROP = 1
    DSCP_REMARK = 2


@attrs.frozen
class Bucket:
    """``ofp_bucket``.

    :ivar weight: of a SELECT group, its share.
    :ivar watch_port: of an FF group, the port whose liveness it has; ANY: none.
    :ivar watch_group: likewise, a group.
    """

    weight: int = 0
    watch_port: int = 0xFFFFFFFF
    watch_group: int = GROUP_ANY
    actions: Actions = ()


@attrs.define
class GroupMod:
    """``OFPT_GROUP_MOD``; ``command`` and ``type`` may be any numbers, for the handler to judge."""

    command: int
    type: int
    group_id: int
    buckets: tuple[Bucket, ...] = ()
    xid: int = 0


@attrs.define
class GroupStatsRequest:
    """``group_id`` GROUP_ALL: all groups."""

    group_id: int = GROUP_ALL
    xid: int = 0


@attrs.define
class GroupStats:
    """One group; ``buckets``: packets and bytes of each."""

    group_id: int
    ref_count: int
    packet_count: int
    byte_count: int
    duration_sec: int
    duration_nsec: int
    buckets: tuple[tuple[int, int], ...]


@attrs.define
class GroupStatsReply:
    """See :class:`GroupStats`."""

    groups: list[GroupStats]
    xid: int = 0
    more: bool = False


@attrs.define
class GroupDescRequest:
    """Asks for all groups."""

    xid: int = 0


@attrs.define
class GroupDesc:
    """One group as it was made."""

    type: int
    group_id: int
    buckets: tuple[Bucket, ...]


@attrs.define
class GroupDescReply:
    """See :class:`GroupDesc`."""

    groups: list[GroupDesc]
    xid: int = 0
    more: bool = False


@attrs.define
class GroupFeaturesRequest:
    """Asks what groups can do."""

    xid: int = 0


@attrs.define
class GroupFeaturesReply:
    """``max_groups`` and ``actions`` (bits of ``OFPAT_*``) by type of group: four of each."""

    types: int
    capabilities: int
    max_groups: tuple[int, ...]
    actions: tuple[int, ...]
    xid: int = 0


@attrs.frozen
class MeterBand:
    """``ofp_meter_band_*``.

    :ivar rate: kilobits a second, or packets.
    :ivar burst_size: kilobits, or packets.
    :ivar prec_level: of DSCP_REMARK, by how much the drop precedence grows.
    """

    type: int
    rate: int
    burst_size: int = 0
    prec_level: int = 0


@attrs.define
class MeterMod:
    """``OFPT_METER_MOD``; ``command`` and ``flags`` may be any numbers."""

    command: int
    flags: int
    meter_id: int
    bands: tuple[MeterBand, ...] = ()
    xid: int = 0


@attrs.define
class MeterStatsRequest:
    """``meter_id`` METER_ALL: all meters."""

    meter_id: int = METER_ALL
    xid: int = 0


@attrs.define
class MeterStats:
    """One meter; ``bands``: packets and bytes that each was applied to."""

    meter_id: int
    flow_count: int
    packet_in_count: int
    byte_in_count: int
    duration_sec: int
    duration_nsec: int
    bands: tuple[tuple[int, int], ...]


@attrs.define
class MeterStatsReply:
    """See :class:`MeterStats`."""

    meters: list[MeterStats]
    xid: int = 0
    more: bool = False


@attrs.define
class MeterConfigRequest:
    """``meter_id`` METER_ALL: all meters."""

    meter_id: int = METER_ALL
    xid: int = 0


@attrs.define
class MeterConfig:
    """One meter as it was made."""

    flags: int
    meter_id: int
    bands: tuple[MeterBand, ...]


@attrs.define
class MeterConfigReply:
    """See :class:`MeterConfig`."""

    meters: list[MeterConfig]
    xid: int = 0
    more: bool = False


@attrs.define
class MeterFeaturesRequest:
    """Asks what meters can do."""

    xid: int = 0


@attrs.define
class MeterFeaturesReply:
    """``band_types``: a bit for each ``OFPMBT_*``; ``capabilities``: ``OFPMF_*``."""

    max_meter: int
    band_types: int
    capabilities: int
    max_bands: int
    max_color: int
    xid: int = 0
