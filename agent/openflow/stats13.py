"""Multipart messages of OpenFlow 1.3, but for those of flows (:mod:`agent.openflow.flows13`).

Source: OpenFlow 1.3.5 sections 7.3.5.1, 7.3.5.4, 7.3.5.6, 7.3.5.7 and 7.3.5.8.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int32ub, Int64ub, Padding

from agent.openflow.messages import (
    DescRequest,
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
from agent.openflow.portdesc import PORT13
from agent.openflow.record import Record
from agent.openflow.stats10 import DESC, PORT_COUNTERS, QUEUE_COUNTERS

HEADER_SIZE: Final = 16
"""Bytes of ``ofp_multipart_request`` and ``ofp_multipart_reply`` before the body."""

_DURATION: Final = ("duration_sec" / Int32ub, "duration_nsec" / Int32ub)

_TABLE: Final = Record(
    TableStats,
    "table_id" / Int8ub,
    Padding(3),
    "active_count" / Int32ub,
    "lookup_count" / Int64ub,
    "matched_count" / Int64ub,
)
_PORT: Final = Record(PortStats, "port_no" / Int32ub, Padding(4), *PORT_COUNTERS, *_DURATION)
_PORT_REQUEST: Final = Record(PortStatsRequest, "port_no" / Int32ub, Padding(4))
_QUEUE: Final = Record(
    QueueStats, "port_no" / Int32ub, "queue_id" / Int32ub, *QUEUE_COUNTERS, *_DURATION
)
_QUEUE_REQUEST: Final = Record(QueueStatsRequest, "port_no" / Int32ub, "queue_id" / Int32ub)

STATISTICS: Final = (
    one(Stat.DESC, HEADER_SIZE, Record(DescRequest), DESC),
    many(Stat.TABLE, HEADER_SIZE, Record(TableStatsRequest), TableStatsReply, _TABLE),
    many(Stat.PORT, HEADER_SIZE, _PORT_REQUEST, PortStatsReply, _PORT),
    many(Stat.QUEUE, HEADER_SIZE, _QUEUE_REQUEST, QueueStatsReply, _QUEUE),
    many(Stat.PORT_DESC, HEADER_SIZE, Record(PortDescRequest), PortDescReply, PORT13),
)
