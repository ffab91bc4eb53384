"""Messages as values, the same for every version of the protocol where their meaning is.

A codec turns bytes into one of these and back; nothing here knows a layout.  Port numbers are those
of OpenFlow 1.3 (32 bits) throughout; the codec of 1.0 maps its reserved ports.  Matches are
:class:`agent.openflow.match.Match`, whatever format they came in.

Every message has an ``xid``.  A reply repeats that of its request; what the switch sends by itself
has xid 0.

Source: OpenFlow 1.0.1 section 5.3, OpenFlow 1.3.5 section 7.3.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, TypeAlias

import attrs

from agent.openflow.actions import Actions, Instructions
from agent.openflow.group_messages import (
    GroupDescReply,
    GroupDescRequest,
    GroupFeaturesReply,
    GroupFeaturesRequest,
    GroupMod,
    GroupStatsReply,
    GroupStatsRequest,
    MeterConfigReply,
    MeterConfigRequest,
    MeterFeaturesReply,
    MeterFeaturesRequest,
    MeterMod,
    MeterStatsReply,
    MeterStatsRequest,
)
from agent.openflow.match import MATCH_ALL, Match

OFP10: Final = 1
"""Wire version of OpenFlow 1.0."""
OFP13: Final = 4
"""Wire version of OpenFlow 1.3."""

ANY: Final = 0xFFFFFFFF
"""``OFPP_ANY``, ``OFPG_ANY`` and (``OFPP_NONE`` of 1.0): no restriction."""
NO_BUFFER: Final = 0xFFFFFFFF
"""``OFP_NO_BUFFER``."""
ALL_TABLES: Final = 0xFF
"""``OFPTT_ALL``."""


class Port(enum.IntEnum):
    """Reserved port numbers (``OFPP_*``) of OpenFlow 1.3."""

    MAX = 0xFFFFFF00
    IN_PORT = 0xFFFFFFF8
    TABLE = 0xFFFFFFF9
    NORMAL = 0xFFFFFFFA
    FLOOD = 0xFFFFFFFB
    ALL = 0xFFFFFFFC
    CONTROLLER = 0xFFFFFFFD
    LOCAL = 0xFFFFFFFE
    ANY = 0xFFFFFFFF


class FlowModCommand(enum.IntEnum):
    """``OFPFC_*``."""

    ADD = 0
    MODIFY = 1
    MODIFY_STRICT = 2
    DELETE = 3
    DELETE_STRICT = 4


class FlowModFlags(enum.IntFlag):
    """``OFPFF_*``; EMERG is 1.0's only and shares no bit with the others here."""

    SEND_FLOW_REM = 1
    CHECK_OVERLAP = 2
    RESET_COUNTS = 4
    NO_PKT_COUNTS = 8
    NO_BYT_COUNTS = 16
    EMERG = 1 << 15


class RemovedReason(enum.IntEnum):
    """``OFPRR_*``."""

    IDLE_TIMEOUT = 0
    HARD_TIMEOUT = 1
    DELETE = 2
    GROUP_DELETE = 3
    METER_DELETE = 4
    EVICTION = 5


class PacketInReason(enum.IntEnum):
    """``OFPR_*``."""

    NO_MATCH = 0
    ACTION = 1
    INVALID_TTL = 2


class PortReason(enum.IntEnum):
    """``OFPPR_*``."""

    ADD = 0
    DELETE = 1
    MODIFY = 2


@attrs.define
class Hello:
    """``versions``: the wire versions the peer speaks, from the header or the version bitmap."""

    versions: frozenset[int]
    xid: int = 0


@attrs.define
class ErrorMessage:
    """``type`` and ``code`` as numbers of the version; ``data``: bytes of the cause."""

    type: int
    code: int
    data: bytes
    xid: int = 0


@attrs.define
class EchoRequest:
    data: bytes = b""
    xid: int = 0


@attrs.define
class EchoReply:
    data: bytes = b""
    xid: int = 0


@attrs.define
class Experimenter:
    """A vendor message that no codec of ours knows; ``exp_type`` is the 1.3 header's."""

    experimenter: int
    exp_type: int
    data: bytes
    xid: int = 0


@attrs.define
class FeaturesRequest:
    xid: int = 0


@attrs.define
class PortDesc:
    """``ofp_port`` / ``ofp_phy_port``.

    :ivar hw_addr: 48 bits as a number.
    :ivar config: ``OFPPC_*`` bits of 1.3 (PORT_DOWN 1, NO_RECV 4, NO_FWD 32, NO_PACKET_IN 64),
        and those of 1.0 (NO_STP 2, NO_RECV_STP 8, NO_FLOOD 16), which do not collide.
    :ivar state: ``OFPPS_*`` bits of 1.3 (LINK_DOWN 1, BLOCKED 2, LIVE 4).
    :ivar curr: ``OFPPF_*`` bits of 1.3, like ``advertised``, ``supported`` and ``peer``.
    :ivar curr_speed: kbit/s, like ``max_speed``.
    """

    port_no: int
    hw_addr: int
    name: str
    config: int = 0
    state: int = 0
    curr: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed: int = 0
    max_speed: int = 0


@attrs.define
class FeaturesReply:
    """``capabilities``: ``OFPC_*`` of the version; ``actions`` and ``ports``: 1.0 only."""

    datapath_id: int
    n_buffers: int
    n_tables: int
    auxiliary_id: int = 0
    capabilities: int = 0
    actions: int = 0
    ports: tuple[PortDesc, ...] = ()
    xid: int = 0


@attrs.define
class GetConfigRequest:
    xid: int = 0


@attrs.define
class GetConfigReply:
    flags: int
    miss_send_len: int
    xid: int = 0


@attrs.define
class SetConfig:
    flags: int
    miss_send_len: int
    xid: int = 0


@attrs.define
class FlowMod:
    """``OFPT_FLOW_MOD``.

    :ivar table_id: 0xff in 1.0, where the message has none.
    :ivar command: a number; the handler refuses what is not a :class:`FlowModCommand`.
    :ivar instructions: from 1.0, one :class:`~agent.openflow.actions.ApplyActions`, or none for an
        empty action list.
    """

    command: int
    match: Match
    priority: int = 0x8000
    instructions: Instructions = ()
    table_id: int = 0
    cookie: int = 0
    cookie_mask: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    buffer_id: int = NO_BUFFER
    out_port: int = ANY
    out_group: int = ANY
    flags: int = 0
    xid: int = 0


@attrs.define
class FlowRemoved:
    """``OFPT_FLOW_REMOVED``; ``table_id`` and ``hard_timeout`` are not sent in 1.0."""

    match: Match
    cookie: int
    priority: int
    reason: int
    table_id: int
    duration_sec: int
    duration_nsec: int
    idle_timeout: int
    hard_timeout: int
    packet_count: int
    byte_count: int
    xid: int = 0


@attrs.define
class PacketIn:
    """``OFPT_PACKET_IN``; ``table_id``, ``cookie`` and the match beyond in_port are not in 1.0."""

    buffer_id: int
    total_len: int
    reason: int
    table_id: int
    cookie: int
    match: Match
    data: bytes
    xid: int = 0


@attrs.define
class PacketOut:
    """``OFPT_PACKET_OUT``; ``in_port`` is ``Port.CONTROLLER`` where the controller gave none."""

    buffer_id: int
    in_port: int
    actions: Actions
    data: bytes = b""
    xid: int = 0


@attrs.define
class PortStatus:
    reason: int
    desc: PortDesc
    xid: int = 0


@attrs.define
class PortMod:
    """``config``, ``mask`` and ``advertise`` with the bits of :class:`PortDesc`."""

    port_no: int
    hw_addr: int
    config: int
    mask: int
    advertise: int = 0
    xid: int = 0


@attrs.define
class BarrierRequest:
    xid: int = 0


@attrs.define
class BarrierReply:
    xid: int = 0


@attrs.define
class QueueGetConfigRequest:
    port: int
    xid: int = 0


@attrs.define
class PacketQueue:
    """A configured queue of a port (``ofp_packet_queue``).

    :ivar port: not sent in 1.0, where it is that of the reply.
    :ivar min_rate: 1/10 of a percent; None when not configured.
    :ivar max_rate: likewise; not in 1.0.
    """

    queue_id: int
    port: int
    min_rate: int | None = None
    max_rate: int | None = None


@attrs.define
class QueueGetConfigReply:
    port: int
    queues: tuple[PacketQueue, ...] = ()
    xid: int = 0


@attrs.define
class RoleRequest:
    """``role`` is ``OFPCR_ROLE_*`` of 1.3: NOCHANGE 0, EQUAL 1, MASTER 2, SLAVE 3."""

    role: int
    generation_id: int = 0
    xid: int = 0


@attrs.define
class RoleReply:
    role: int
    generation_id: int = 0
    xid: int = 0


@attrs.define
class GetAsyncRequest:
    xid: int = 0


@attrs.define
class AsyncConfig:
    """The masks of ``OFPT_SET_ASYNC`` and of the reply: index 0 master or equal, 1 slave."""

    packet_in_mask: tuple[int, int]
    port_status_mask: tuple[int, int]
    flow_removed_mask: tuple[int, int]


@attrs.define
class GetAsyncReply:
    config: AsyncConfig
    xid: int = 0


@attrs.define
class SetAsync:
    config: AsyncConfig
    xid: int = 0


@attrs.define
class TableMod:
    table_id: int
    config: int
    xid: int = 0


# --- statistics / multipart -------------------------------------------------------------------
#
# ``more`` of a reply with a list: further messages with the same xid carry the rest of the list.


@attrs.define
class DescRequest:
    xid: int = 0


@attrs.define
class DescReply:
    mfr_desc: str
    hw_desc: str
    sw_desc: str
    serial_num: str
    dp_desc: str
    xid: int = 0


@attrs.define
class FlowStatsRequest:
    """``table_id`` 0xff: all; in 1.0 there is neither ``out_group`` nor cookie."""

    table_id: int = ALL_TABLES
    out_port: int = ANY
    out_group: int = ANY
    cookie: int = 0
    cookie_mask: int = 0
    match: Match = MATCH_ALL
    xid: int = 0


@attrs.define
class FlowStats:
    """One entry of a flow statistics reply; ``flags`` are not sent in 1.0."""

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


@attrs.define
class FlowStatsReply:
    """A reply, or with ``more`` a part of it; the codec splits what does not fit one message.

    :ivar flows: gone through once when it is encoded, so that an iterator will do: of a hundred
        thousand rules no list need be made.
    """

    flows: Iterable[FlowStats]
    xid: int = 0
    more: bool = False


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


@attrs.define
class AggregateReply:
    packet_count: int
    byte_count: int
    flow_count: int
    xid: int = 0


@attrs.define
class TableStatsRequest:
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
    ports: list[PortStats]
    xid: int = 0
    more: bool = False


@attrs.define
class PortDescRequest:
    xid: int = 0


@attrs.define
class PortDescReply:
    ports: list[PortDesc]
    xid: int = 0
    more: bool = False


@attrs.define
class QueueStatsRequest:
    port_no: int = ANY
    queue_id: int = ANY
    xid: int = 0


@attrs.define
class QueueStats:
    port_no: int
    queue_id: int
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0


@attrs.define
class QueueStatsReply:
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
    """Without tables it asks; with tables it asks for these and no others."""

    tables: tuple[TableFeatures, ...] = ()
    xid: int = 0


@attrs.define
class TableFeaturesReply:
    tables: tuple[TableFeatures, ...]
    xid: int = 0
    more: bool = False


Message: TypeAlias = (
    Hello
    | ErrorMessage
    | EchoRequest
    | EchoReply
    | Experimenter
    | FeaturesRequest
    | FeaturesReply
    | GetConfigRequest
    | GetConfigReply
    | SetConfig
    | FlowMod
    | FlowRemoved
    | PacketIn
    | PacketOut
    | PortStatus
    | PortMod
    | BarrierRequest
    | BarrierReply
    | QueueGetConfigRequest
    | QueueGetConfigReply
    | RoleRequest
    | RoleReply
    | GetAsyncRequest
    | GetAsyncReply
    | SetAsync
    | TableMod
    | DescRequest
    | DescReply
    | FlowStatsRequest
    | FlowStatsReply
    | AggregateRequest
    | AggregateReply
    | TableStatsRequest
    | TableStatsReply
    | PortStatsRequest
    | PortStatsReply
    | PortDescRequest
    | PortDescReply
    | QueueStatsRequest
    | QueueStatsReply
    | TableFeaturesRequest
    | TableFeaturesReply
    | GroupMod
    | GroupStatsRequest
    | GroupStatsReply
    | GroupDescRequest
    | GroupDescReply
    | GroupFeaturesRequest
    | GroupFeaturesReply
    | MeterMod
    | MeterStatsRequest
    | MeterStatsReply
    | MeterConfigRequest
    | MeterConfigReply
    | MeterFeaturesRequest
    | MeterFeaturesReply
)
"""Everything that is a frame of its own on the wire."""
