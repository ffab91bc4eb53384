"""Nicira's messages about a session: formats, numbers, and what the command of a flow_mod means.

What they set is the session's, and gone with it (:class:`agent.connmgr.ofconn.OFConn`).  Roles and
masks of asynchronous messages are OpenFlow's messages, whoever's numbers they came with
(:mod:`agent.connmgr.handlers`).

Source: ``nicira-ext.h``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from agent.ofproto.conditions import Postponed
from agent.openflow.messages import OFP10, FlowMod
from agent.openflow.nx_messages import (
    FlowAge,
    FlowFormat,
    FlowModTableId,
    PacketInFormat,
    SetControllerId,
    SetFlowFormat,
    SetPacketInFormat,
    split_command,
)

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn


@attrs.define
class Formats:
    """What a session has chosen.

    :ivar flow_format: how it is told of flows, in 1.0.
    :ivar packet_in_format: how it is told of packets.
    :ivar table_in_command: whether the command of a FLOW_MOD of 1.0 has a table in its high byte.
    """

    flow_format: FlowFormat = FlowFormat.OPENFLOW10
    packet_in_format: PacketInFormat = PacketInFormat.STANDARD
    table_in_command: bool = False

    @property
    def flows_as_nxm(self) -> bool:
        """Whether it is told of flows in Nicira's format."""
        return self.flow_format is FlowFormat.NXM

    @property
    def packets_as_nxm(self) -> bool:
        """Whether it is told of packets in Nicira's format."""
        return self.packet_in_format is PacketInFormat.NXM

    def read(self, version: int, message: Any) -> None:
        """Make a FLOW_MOD that was just decoded say what its sender means."""
        if self.table_in_command and version == OFP10 and message.__class__ is FlowMod:
            message.table_id, message.command = split_command(message.command)
            message.one_table = True


def _set_flow_format(session: OFConn, message: SetFlowFormat) -> None:
    """The format changes when nothing is in flight that would be told of in the old one."""
    if message.format != session.formats.flow_format and session.outstanding:
        raise Postponed(session.outstanding.drained())
    session.formats.flow_format = FlowFormat(message.format)


def _set_packet_in_format(session: OFConn, message: SetPacketInFormat) -> None:
    session.formats.packet_in_format = PacketInFormat(message.format)


def _flow_mod_table_id(session: OFConn, message: FlowModTableId) -> None:
    session.formats.table_in_command = message.enabled


def _set_controller_id(session: OFConn, message: SetControllerId) -> None:
    session.controller_id = message.controller_id


def _flow_age(session: OFConn, message: FlowAge) -> None:
    """Rules expire when their time has come; there is nothing to hurry."""


OWN: Final[dict[type, Callable[[OFConn, Any], None]]] = {
    SetFlowFormat: _set_flow_format,
    SetPacketInFormat: _set_packet_in_format,
    FlowModTableId: _flow_mod_table_id,
    SetControllerId: _set_controller_id,
    FlowAge: _flow_age,
}
"""Handlers by class of message."""
