"""Statistics (1.0) and multipart messages (1.3) as values, the same for every version.

``more`` of a reply with a list: further messages with the same xid carry the rest of the list.
``nxm`` of requests and replies about flows: in 1.0, they are Nicira's (NXST_FLOW, NXST_AGGREGATE),
whose matches can say more, and which can ask for cookies.  A reply is what its request was.

Source: OpenFlow 1.0.1 section 5.3.5, OpenFlow 1.3.5 section 7.3.5, ``nicira-ext.h``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from agent.openflow.actions import Instructions
from agent.openflow.constants import ALL_TABLES, ANY
from agent.openflow.match import MATCH_ALL, Match

if TYPE_CHECKING:
    from agent.openflow.messages import PortDesc


@attrs.define
class DescRequest:
    """``OFPMP_DESC``."""

    xid: int = 0


@attrs.define
class DescReply:
    """``ofp_desc``."""

    mfr_desc: str
    hw_desc: str
    sw_desc: str
    serial_num: str
    dp_desc: str
    xid: int = 0


@attrs.define
class FlowStatsRequest:
    """``table_id`` 0xff: all; in 1.0 there is no ``out_group``, and a cookie only with ``nxm``."""

    table_id: int = ALL_TABLES
    out_port: int = ANY
    out_group: int = ANY
    cookie: int = 0
    cookie_mask: int = 0
    match: Match = MATCH_ALL
    xid: int = 0
    nxm: bool = False


@attrs.define
class FlowStats:
    """One entry of a flow statistics reply.

    :ivar flags: not sent in 1.0.
    :ivar idle_age: seconds since the last packet, at most 65534; None: not known.  Like
        ``hard_age`` only in NXST_FLOW.
    :ivar hard_age: seconds since the rule was added or modified, likewise.
    """

    table_id: int
    duration_sec: int
    duration_nsec: int
    priority: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    cookie: int
    packet_count: int
    byte_count: int
    match: Match
    instructions: Instructions
    idle_age: int | None = None
    hard_age: int | None = None


@attrs.define
class FlowStatsReply:
    """A reply, or with ``more`` a part of it; the codec splits what does not fit one message.

    :ivar flows: gone through once when it is encoded, so that an iterator will do: of a hundred
        thousand rules no list need be made.
    """

    flows: Iterable[FlowStats]
    xid: int = 0
    more: bool = False
    nxm: bool = False


@attrs.define
class AggregateRequest:
    """Like :class:`FlowStatsRequest`."""

    table_id: int = ALL_TABLES
    out_port: int = ANY
    out_group: int = ANY
    cookie: int = 0
    cookie_mask: int = 0
    match: Match = MATCH_ALL
    xid: int = 0
    nxm: bool = False


@attrs.define
class AggregateReply:
    """``ofp_aggregate_stats_reply``."""

    packet_count: int
    byte_count: int
    flow_count: int
    xid: int = 0
    nxm: bool = False


@attrs.define
class TableStatsRequest:
    """``OFPMP_TABLE``."""

    xid: int = 0


@attrs.define
class TableStats:
    """One table; ``name``, ``wildcards`` (bits of 1.0) and ``max_entries`` only go out in 1.0."""

    table_id: int
    active_count: int
    lookup_count: int
    matched_count: int
    name: str = ""
    wildcards: int = 0
    max_entries: int = 0


@attrs.define
class TableStatsReply:
    """The answer to a :class:`TableStatsRequest`."""

    tables: list[TableStats]
    xid: int = 0
    more: bool = False


@attrs.define
class PortStatsRequest:
    """``port_no`` ANY: all ports."""

    port_no: int = ANY
    xid: int = 0


@attrs.define
class PortStats:
    """Counters of one port; 2**64-1 says that a counter is not available."""

    port_no: int
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_frame_err: int = 0
    rx_over_err: int = 0
    rx_crc_err: int = 0
    collisions: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0


@attrs.define
class PortStatsReply:
    """The answer to a :class:`PortStatsRequest`."""

    ports: list[PortStats]
    xid: int = 0
    more: bool = False


@attrs.define
class PortDescRequest:
    """``OFPMP_PORT_DESC``."""

    xid: int = 0


@attrs.define
class PortDescReply:
    """The answer to a :class:`PortDescRequest`."""

    ports: list[PortDesc]
    xid: int = 0
    more: bool = False


@attrs.define
class QueueStatsRequest:
    """``queue_id`` ANY: all queues; ``port_no`` likewise."""

    port_no: int = ANY
    queue_id: int = ANY
    xid: int = 0


@attrs.define
class QueueStats:
    """Counters of one queue; 2**64-1 says that a counter is not available."""

    port_no: int
    queue_id: int
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0


@attrs.define
class QueueStatsReply:
    """The answer to a :class:`QueueStatsRequest`."""

    queues: list[QueueStats]
    xid: int = 0
    more: bool = False


@attrs.define
class TableFeatures:
    """``ofp_table_features``.

    :ivar properties: by ``OFPTFPT_*``: the numbers of instructions or actions, table ids, or the
        32-bit headers of OXM fields.
    """

    table_id: int
    name: str
    metadata_match: int
    metadata_write: int
    config: int
    max_entries: int
    properties: dict[int, tuple[int, ...]]


@attrs.define
class TableFeaturesRequest:
    """Without tables it asks; with tables it asks for these and no others.

    :ivar more: whether more parts of the same request follow; such a part asks for nothing, and
        never reaches the switch (:mod:`agent.connmgr.assembler`).
    """

    tables: tuple[TableFeatures, ...] = ()
    xid: int = 0
    more: bool = False


@attrs.define
class TableFeaturesReply:
    """The answer to a :class:`TableFeaturesRequest`."""

    tables: tuple[TableFeatures, ...]
    xid: int = 0
    more: bool = False
