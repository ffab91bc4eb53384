"""Messages as values, the same for every version of the protocol where their meaning is.

A codec turns bytes into one of these and back; nothing here knows a layout.  Port numbers are those
of OpenFlow 1.3 (32 bits) throughout; the codec of 1.0 maps its reserved ports.  Matches are
:class:`agent.openflow.match.Match`, whatever format they came in.

Every message has an ``xid``.  A reply repeats that of its request; what the switch sends by itself
has xid 0.

Some messages have a twin among Nicira's, which means the same and says more.  Both are one class
here, so that there is one handler: ``nxm`` says which of the two it is, or shall be.

The numbers are in :mod:`agent.openflow.constants`, statistics in :mod:`agent.openflow.stats`,
groups and meters in :mod:`agent.openflow.group_messages`, and what only Nicira has in
:mod:`agent.openflow.nx_messages`.  The first two can be had from here as well.

Source: OpenFlow 1.0.1 section 5.3, OpenFlow 1.3.5 section 7.3, ``nicira-ext.h``.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from agent.openflow.actions import Actions, Instructions
from agent.openflow.bundle_messages import BundleAdd, BundleControl
from agent.openflow.constants import (
    ALL_TABLES,
    ANY,
    INVALID_TTL_TO_CONTROLLER,
    NO_BUFFER,
    OFP10,
    OFP13,
    FlowModCommand,
    FlowModFlags,
    FragHandling,
    PacketInReason,
    Port,
    PortReason,
    RemovedReason,
)
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
from agent.openflow.match import Match
from agent.openflow.nx_messages import (
    FlowAge,
    FlowModTableId,
    FlowMonitorCancel,
    FlowMonitorPaused,
    FlowMonitorReply,
    FlowMonitorRequest,
    FlowMonitorResumed,
    SetControllerId,
    SetFlowFormat,
    SetPacketInFormat,
)
from agent.openflow.stats import (
    AggregateReply,
    AggregateRequest,
    DescReply,
    DescRequest,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
    PortDescReply,
    PortDescRequest,
    PortStats,
    PortStatsReply,
    PortStatsRequest,
    QueueStats,
    QueueStatsReply,
    QueueStatsRequest,
    TableFeatures,
    TableFeaturesReply,
    TableFeaturesRequest,
    TableStats,
    TableStatsReply,
    TableStatsRequest,
)

# fmt: off
__all__ = [
    "ALL_TABLES", "ANY", "INVALID_TTL_TO_CONTROLLER", "NO_BUFFER", "OFP10", "OFP13",
    "AggregateReply", "AggregateRequest",
    "AsyncConfig", "BarrierReply", "BarrierRequest", "DescReply", "DescRequest", "EchoReply",
    "EchoRequest", "ErrorMessage", "Experimenter", "FeaturesReply", "FeaturesRequest",
    "FlowMod", "FlowModCommand", "FlowModFlags", "FlowRemoved", "FlowStats", "FlowStatsReply",
    "FlowStatsRequest", "FragHandling", "GetAsyncReply", "GetAsyncRequest", "GetConfigReply",
    "GetConfigRequest", "Hello", "Message", "PacketIn", "PacketInReason", "PacketOut",
    "PacketQueue", "Port", "PortDesc", "PortDescReply", "PortDescRequest", "PortMod",
    "PortReason", "PortStats", "PortStatsReply", "PortStatsRequest", "PortStatus",
    "QueueGetConfigReply", "QueueGetConfigRequest", "QueueStats", "QueueStatsReply",
    "QueueStatsRequest", "RemovedReason", "RoleReply", "RoleRequest", "SetAsync", "SetConfig",
    "TableFeatures", "TableFeaturesReply", "TableFeaturesRequest", "TableMod", "TableStats",
    "TableStatsReply", "TableStatsRequest",
]
# fmt: on


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
    :ivar cookie: of 1.0 and of an ADD, what the rule gets; of other commands of 1.3, and of
        NXT_FLOW_MOD where there is a ``cookie_mask``, what rules must have to be meant.
    :ivar nxm: whether it is an NXT_FLOW_MOD (1.0 only).
    :ivar new_cookie: of an NXT_FLOW_MOD, what a MODIFY makes of the cookies of the rules that it
        changes, and gives the rule that it adds; None: it changes none, and adds no rule.  It adds
        none either when there is a ``cookie_mask``.
    :ivar one_table: of a strict command about all tables: whether it acts only if it means a rule
        in just one of them (FLOW_MOD_TABLE_ID); the codec does not know.
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
    nxm: bool = False
    new_cookie: int | None = None
    one_table: bool = False


@attrs.define
class FlowRemoved:
    """``OFPT_FLOW_REMOVED``.

    :ivar table_id: not sent in 1.0, but with ``nxm`` it is; 0xff there when it is not known.
    :ivar hard_timeout: not sent in 1.0.
    :ivar nxm: whether it is an NXT_FLOW_REMOVED, which a session of 1.0 gets that has chosen the
        flow format NXM; of no effect in 1.3.
    """

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
    nxm: bool = False


@attrs.define
class PacketIn:
    """``OFPT_PACKET_IN``.

    :ivar table_id: like ``cookie`` and the match beyond ``in_port`` not in 1.0, but with ``nxm``.
    :ivar nxm: whether it is an NXT_PACKET_IN, which a session gets that has chosen the packet-in
        format NXM.
    """

    buffer_id: int
    total_len: int
    reason: int
    table_id: int
    cookie: int
    match: Match
    data: bytes
    xid: int = 0
    nxm: bool = False


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
    """``OFPT_ROLE_REQUEST``, and Nicira's of the same name, the only one in 1.0.

    :ivar role: ``OFPCR_ROLE_*`` of 1.3: NOCHANGE 0, EQUAL 1, MASTER 2, SLAVE 3.  Nicira has no
        NOCHANGE, and calls EQUAL "other".
    :ivar generation_id: 64 bits; None: it is Nicira's, which has none, and none is checked.
    """

    role: int
    generation_id: int | None = 0
    xid: int = 0


@attrs.define
class RoleReply:
    """``generation_id`` None: the answer to a request of Nicira's."""

    role: int
    generation_id: int | None = 0
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
    | BundleAdd
    | BundleControl
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
    | FlowAge
    | FlowModTableId
    | FlowMonitorCancel
    | FlowMonitorPaused
    | FlowMonitorReply
    | FlowMonitorRequest
    | FlowMonitorResumed
    | SetControllerId
    | SetFlowFormat
    | SetPacketInFormat
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
