"""Which connections get which asynchronous messages.

A connection has a mask of reasons for each of three kinds of message and each of two roles (master
or equal, and slave).  Service connections (those which are accepted rather than dialled) get
nothing until they ask, by SET_ASYNC or by a ``miss_send_len`` other than 0 in SET_CONFIG: that is
what ``ovs-ofctl monitor`` does, and what spares every other client of a listener the noise.

Source: OpenFlow 1.3.5 sections 6.3.6 and 7.3.10; Open vSwitch, "Design Decisions In Open vSwitch",
section "Asynchronous Messages".
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from agent.connmgr.roles import Role
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow.fields import IN_PORT, METADATA, REGS, TUNNEL_ID
from agent.openflow.match import Match
from agent.openflow.messages import (
    NO_BUFFER,
    OFP10,
    OFP13,
    AsyncConfig,
    FlowRemoved,
    PacketIn,
    PacketInReason,
    PortReason,
    PortStatus,
    RemovedReason,
)


def _bits(*reasons: int) -> int:
    return sum(1 << reason for reason in reasons)


DEFAULT_ASYNC: Final = AsyncConfig(
    packet_in_mask=(_bits(PacketInReason.NO_MATCH, PacketInReason.ACTION), 0),
    port_status_mask=(_bits(*PortReason), _bits(*PortReason)),
    flow_removed_mask=(
        _bits(
            RemovedReason.IDLE_TIMEOUT,
            RemovedReason.HARD_TIMEOUT,
            RemovedReason.DELETE,
            RemovedReason.GROUP_DELETE,
        ),
        0,
    ),
)
"""What a connection has before it asks for something else."""

DEFAULT_MISS_SEND_LEN: Final = 128
"""``OFP_DEFAULT_MISS_SEND_LEN``."""

Asynchronous: TypeAlias = PacketIn | FlowRemoved | PortStatus

NO_RULE: Final = 0xFFFFFFFFFFFFFFFF
"""The cookie of a packet that hit no rule."""

_LAST_REASON: Final = {OFP10: RemovedReason.DELETE, OFP13: RemovedReason.GROUP_DELETE}


def wants(config: AsyncConfig, role: Role, message: Asynchronous) -> bool:
    """Whether a connection with these masks and this role gets a message."""
    if isinstance(message, PacketIn):
        masks = config.packet_in_mask
    elif isinstance(message, PortStatus):
        masks = config.port_status_mask
    else:
        masks = config.flow_removed_mask
    return bool(masks[role is Role.SLAVE] >> message.reason & 1)


def for_version(version: int, nxm: bool, message: Asynchronous) -> Asynchronous:
    """The message with a reason that the version knows.

    Of the reasons for which a rule goes, what is newer is a kind of DELETE.  A packet that a
    table-miss rule sends is no miss in 1.0, which knows no such rules: an action has sent it.

    :param nxm: whether the session has chosen to be told of flows in Nicira's format.
    """
    if isinstance(message, PacketIn):
        if (
            version == OFP10
            and message.reason == PacketInReason.NO_MATCH
            and message.cookie != NO_RULE
        ):
            return attrs.evolve(message, reason=PacketInReason.ACTION)
        return message
    if isinstance(message, FlowRemoved):
        known = message.reason <= _LAST_REASON[version]
        reason = message.reason if known else RemovedReason.DELETE
        return attrs.evolve(message, reason=reason, nxm=nxm)
    return message


def packet_in(
    event: PacketInEvent,
    length: int | None = None,
    buffer_id: int = NO_BUFFER,
    nxm: bool = False,
) -> PacketIn:
    """The message for a packet: all of it, or ``length`` bytes and the number of a buffer.

    :param nxm: whether it is to be Nicira's message, which tells registers as well.

    The match has the ingress port, and of the pipeline's fields those which are not zero (1.3.5,
    section 7.4.1).
    """
    mask = IN_PORT.mask
    for field in (METADATA, TUNNEL_ID, *(REGS if nxm else ())):
        if field.get(event.key):
            mask |= field.mask
    return PacketIn(
        buffer_id,
        len(event.data),
        event.reason,
        event.table_id,
        event.cookie,
        Match(mask, IN_PORT.put(event.key, event.in_port) & mask),
        event.data[:length],
        nxm=nxm,
    )
