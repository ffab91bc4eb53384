"""Statistics of OpenFlow 1.0, but for those of flows (:mod:`agent.openflow.flows10`).

Open vSwitch answers PORT_DESC in 1.0 too, with the ports of 1.0, for switches which have more of
them than a features reply can name; so do we.

Source: OpenFlow 1.0.1 sections 5.3.5.1, 5.3.5.4, 5.3.5.5 and 5.3.5.6; ``ofp-msgs.h`` of Open
vSwitch for PORT_DESC.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.messages import (
    ANY,
    AggregateReply,
    DescReply,
    DescRequest,
    Port,
    PortDescReply,
    PortDescRequest,
    PortStats,
    PortStatsReply,
    PortStatsRequest,
    QueueStats,
    QueueStatsReply,
    QueueStatsRequest,
    TableStats,
    TableStatsReply,
    TableStatsRequest,
)
from agent.openflow.multipart import Stat, many, one
from agent.openflow.portdesc import PHY_PORT10, PORT10
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.record import Adapter, Record, text

HEADER_SIZE: Final = 12
"""Bytes of ``ofp_stats_request`` and ``ofp_stats_reply`` before the body."""

_LONG: Final = text(256)
_SHORT: Final = text(32)
"""``DESC_STR_LEN`` and ``SERIAL_NUM_LEN``."""

DESC: Final = Record(
    DescReply,
    "mfr_desc" / Bytes(256),
    "hw_desc" / Bytes(256),
    "sw_desc" / Bytes(256),
    "serial_num" / Bytes(32),
    "dp_desc" / Bytes(256),
    adapters={
        "mfr_desc": _LONG,
        "hw_desc": _LONG,
        "sw_desc": _LONG,
        "serial_num": _SHORT,
        "dp_desc": _LONG,
    },
)
"""``ofp_desc_stats``, ``ofp_desc``: the same in both versions."""

AGGREGATE: Final = Record(
    AggregateReply,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
    "flow_count" / Int32ub,
    Padding(4),
)
"""``ofp_aggregate_stats_reply``: the same in both versions."""

PORT_COUNTERS: Final = tuple(
    name / Int64ub
    for name in (
        "rx_packets",
        "tx_packets",
        "rx_bytes",
        "tx_bytes",
        "rx_dropped",
        "tx_dropped",
        "rx_errors",
        "tx_errors",
        "rx_frame_err",
        "rx_over_err",
        "rx_crc_err",
        "collisions",
    )
)
"""The counters of a port, the same in both versions."""

QUEUE_COUNTERS: Final = ("tx_bytes" / Int64ub, "tx_packets" / Int64ub, "tx_errors" / Int64ub)
"""Likewise of a queue."""

_TABLE: Final = Record(
    TableStats,
    "table_id" / Int8ub,
    Padding(3),
    "name" / Bytes(32),
    "wildcards" / Int32ub,
    "max_entries" / Int32ub,
    "active_count" / Int32ub,
    "lookup_count" / Int64ub,
    "matched_count" / Int64ub,
    adapters={"name": _SHORT},
)

_PORT: Final = Record(
    PortStats, "port_no" / Int16ub, Padding(6), *PORT_COUNTERS, adapters={"port_no": PORT10}
)
_PORT_REQUEST: Final = Record(
    PortStatsRequest, "port_no" / Int16ub, Padding(6), adapters={"port_no": PORT10}
)


def _queue_port(port: int) -> int:
    """All ports: ``OFPP_ALL`` here, ``OFPP_ANY`` in the versions after this one."""
    port = from_wire10(port)
    return ANY if port == Port.ALL else port


_QUEUE_PORT: Final[Adapter] = (
    _queue_port,
    lambda port: to_wire10(Port.ALL if port == ANY else port),
)
_QUEUE: Final = Record(
    QueueStats,
    "port_no" / Int16ub,
    Padding(2),
    "queue_id" / Int32ub,
    *QUEUE_COUNTERS,
    adapters={"port_no": PORT10},
)
_QUEUE_REQUEST: Final = Record(
    QueueStatsRequest,
    "port_no" / Int16ub,
    Padding(2),
    "queue_id" / Int32ub,
    adapters={"port_no": _QUEUE_PORT},
)

STATISTICS: Final = (
    one(Stat.DESC, HEADER_SIZE, Record(DescRequest), DESC),
    many(Stat.TABLE, HEADER_SIZE, Record(TableStatsRequest), TableStatsReply, _TABLE),
    many(Stat.PORT, HEADER_SIZE, _PORT_REQUEST, PortStatsReply, _PORT),
    many(Stat.QUEUE, HEADER_SIZE, _QUEUE_REQUEST, QueueStatsReply, _QUEUE),
    many(Stat.PORT_DESC, HEADER_SIZE, Record(PortDescRequest), PortDescReply, PHY_PORT10),
)
