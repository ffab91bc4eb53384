"""Messages that only Nicira has, as values.

Those which have a twin in OpenFlow (NXT_FLOW_MOD, NXT_FLOW_REMOVED, NXT_PACKET_IN,
NXT_ROLE_REQUEST, NXT_SET_ASYNC_CONFIG, NXST_FLOW, NXST_AGGREGATE) are the classes of the twin, in
:mod:`agent.openflow.messages` and :mod:`agent.openflow.stats`.

Flow monitors came to OpenFlow with 1.4.  Before, they are Nicira's in 1.0, and in 1.3 an extension
of the Open Networking Foundation (EXT-187) which is the same but for matches and ports.

Source: ``nicira-ext.h``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TypeAlias

import attrs

from agent.openflow.actions import Instructions
from agent.openflow.constants import ALL_TABLES, ANY
from agent.openflow.match import MATCH_ALL, Match


class FlowFormat(enum.IntEnum):
    """``NXFF_*``: how a session of 1.0 is told of flows."""

    OPENFLOW10 = 0
    NXM = 2


class PacketInFormat(enum.IntEnum):
    """``NXPIF_*``: how a session is told of packets."""

    STANDARD = 0
    NXM = 1


@attrs.define
class SetFlowFormat:
    """``NXT_SET_FLOW_FORMAT`` (1.0 only): a :class:`FlowFormat`."""

    format: int
    xid: int = 0


@attrs.define
class FlowModTableId:
    """``NXT_FLOW_MOD_TABLE_ID``: whether the command of a FLOW_MOD has a table in its high byte.

    It is for the session that sends it.  The codec leaves the command as it came:
    :func:`split_command`.
    """

    enabled: bool
    xid: int = 0


def split_command(command: int) -> tuple[int, int]:
    """``(table_id, command)`` of a FLOW_MOD in a session where FLOW_MOD_TABLE_ID is enabled."""
    return command >> 8, command & 0xFF


@attrs.define
class SetPacketInFormat:
    """``NXT_SET_PACKET_IN_FORMAT``: a :class:`PacketInFormat`."""

    format: int
    xid: int = 0


@attrs.define
class FlowAge:
    """``NXT_FLOW_AGE``: asks to look for expired flows now."""

    xid: int = 0


@attrs.define
class SetControllerId:
    """``NXT_SET_CONTROLLER_ID``: what actions call this controller by; 16 bits, at first 0."""

    controller_id: int
    xid: int = 0


# --- flow monitors ----------------------------------------------------------------------------


class FlowMonitorFlags(enum.IntFlag):
    """``NXFMF_*``."""

    INITIAL = 1
    ADD = 2
    DELETE = 4
    MODIFY = 8
    ACTIONS = 16
    OWN = 32


class FlowUpdateEvent(enum.IntEnum):
    """``NXFME_*``."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2
    ABBREV = 3


@attrs.define
class FlowMonitor:
    """``nx_flow_monitor_request``: which flows are to be watched.

    :ivar monitor_id: chosen by the controller, one of its own for each.
    :ivar flags: :class:`FlowMonitorFlags`.
    :ivar out_port: only flows that output there; ANY: all.
    :ivar table_id: 0xff: all.
    """

    monitor_id: int
    flags: int
    out_port: int = ANY
    table_id: int = ALL_TABLES
    match: Match = MATCH_ALL


@attrs.define
class FlowMonitorRequest:
    """``NXST_FLOW_MONITOR``."""

    monitors: tuple[FlowMonitor, ...] = ()
    xid: int = 0


@attrs.define
class FlowUpdate:
    """``nx_flow_update_full``: what became of a flow.

    :ivar event: ADDED, DELETED or MODIFIED.
    :ivar reason: of DELETED, :class:`~agent.openflow.constants.RemovedReason`; else 0.
    :ivar instructions: of DELETED, what they were; none unless the monitor wants ACTIONS.
    """

    event: int
    table_id: int
    match: Match
    priority: int
    cookie: int
    idle_timeout: int = 0
    hard_timeout: int = 0
    reason: int = 0
    instructions: Instructions = ()


@attrs.define
class FlowUpdateAbbrev:
    """``nx_flow_update_abbrev``: what the controller asked for with this xid has been done."""

    request_xid: int


AnyFlowUpdate: TypeAlias = FlowUpdate | FlowUpdateAbbrev


@attrs.define
class FlowMonitorReply:
    """The answer to a :class:`FlowMonitorRequest`; with xid 0, news.

    :ivar updates: gone through once when it is encoded.
    """

    updates: Iterable[AnyFlowUpdate] = ()
    xid: int = 0
    more: bool = False


@attrs.define
class FlowMonitorCancel:
    """``NXT_FLOW_MONITOR_CANCEL``."""

    monitor_id: int
    xid: int = 0


@attrs.define
class FlowMonitorPaused:
    """``NXT_FLOW_MONITOR_PAUSED``: from here on the controller does not hear of everything."""

    xid: int = 0


@attrs.define
class FlowMonitorResumed:
    """``NXT_FLOW_MONITOR_RESUMED``: from here on it does, and has heard of what it missed."""

    xid: int = 0
