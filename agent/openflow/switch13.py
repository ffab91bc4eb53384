"""The switch as a whole in OpenFlow 1.3: features, configuration, ports, tables, roles, barriers.

Source: OpenFlow 1.3.5 sections 7.3.1, 7.3.2, 7.3.3, 7.3.4.3 (port modification), 7.3.8, 7.3.9,
7.3.10 and 7.4.3.
"""

from __future__ import annotations

from typing import Any, Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import ROLE_BAD_ROLE, OpenFlowError
from agent.openflow.frame import MIN_LENGTH, Decoder, Kind, Type13, bad_length, empty
from agent.openflow.messages import (
    AsyncConfig,
    BarrierReply,
    BarrierRequest,
    FeaturesReply,
    FeaturesRequest,
    GetAsyncReply,
    GetAsyncRequest,
    GetConfigReply,
    GetConfigRequest,
    Message,
    PortMod,
    RoleReply,
    RoleRequest,
    SetAsync,
    SetConfig,
    TableMod,
)
from agent.openflow.portdesc import PORT13, status_kind
from agent.openflow.record import MAC, Record
from agent.openflow.wire import Fixed

_FEATURES: Final = Record(
    FeaturesReply,
    "datapath_id" / Int64ub,
    "n_buffers" / Int32ub,
    "n_tables" / Int8ub,
    "auxiliary_id" / Int8ub,
    Padding(2),
    "capabilities" / Int32ub,
    Padding(4),
)

_PORT_MOD: Final = Record(
    PortMod,
    "port_no" / Int32ub,
    Padding(4),
    "hw_addr" / Bytes(6),
    Padding(2),
    "config" / Int32ub,
    "mask" / Int32ub,
    "advertise" / Int32ub,
    Padding(4),
    adapters={"hw_addr": MAC},
)

# --- roles ------------------------------------------------------------------------------------

_SLAVE: Final = 3
"""``OFPCR_ROLE_SLAVE``, the greatest."""


def _role(number: int) -> int:
    if number > _SLAVE:
        raise OpenFlowError(ROLE_BAD_ROLE, f"role {number}")
    return number


_ROLE: Final = ("role" / Int32ub, Padding(4), "generation_id" / Int64ub)
_ROLE_ADAPTERS: Final = {"role": (_role, int)}

# --- which asynchronous messages are wanted -----------------------------------------------------

_ASYNC: Final = Fixed(
    "packet_in" / Int32ub,
    "packet_in_slave" / Int32ub,
    "port_status" / Int32ub,
    "port_status_slave" / Int32ub,
    "flow_removed" / Int32ub,
    "flow_removed_slave" / Int32ub,
)


def async_decoder(
    message: type[GetAsyncReply] | type[SetAsync], offset: int = MIN_LENGTH
) -> Decoder:
    """The decoder of a message that is a header of ``offset`` bytes and these masks."""

    def decode(data: bytes, xid: int) -> Message:
        if len(data) != offset + _ASYNC.size:
            raise bad_length(data, f"{offset + _ASYNC.size}")
        masks: tuple[Any, ...] = _ASYNC.unpack_from(data, offset)
        return message(AsyncConfig(masks[0:2], masks[2:4], masks[4:6]), xid)

    return decode


def encode_async(message: GetAsyncReply | SetAsync) -> bytes:
    """What follows the header."""
    config = message.config
    return _ASYNC.pack(*config.packet_in_mask, *config.port_status_mask, *config.flow_removed_mask)


_CONFIG: Final = ("flags" / Int16ub, "miss_send_len" / Int16ub)

KINDS: Final = (
    empty(Type13.FEATURES_REQUEST, FeaturesRequest),
    _FEATURES.kind(Type13.FEATURES_REPLY),
    empty(Type13.GET_CONFIG_REQUEST, GetConfigRequest),
    Record(GetConfigReply, *_CONFIG).kind(Type13.GET_CONFIG_REPLY),
    Record(SetConfig, *_CONFIG).kind(Type13.SET_CONFIG),
    status_kind(Type13.PORT_STATUS, PORT13),
    _PORT_MOD.kind(Type13.PORT_MOD),
    Record(TableMod, "table_id" / Int8ub, Padding(3), "config" / Int32ub).kind(Type13.TABLE_MOD),
    empty(Type13.BARRIER_REQUEST, BarrierRequest),
    empty(Type13.BARRIER_REPLY, BarrierReply),
    Record(RoleRequest, *_ROLE, adapters=_ROLE_ADAPTERS).kind(Type13.ROLE_REQUEST),
    Record(RoleReply, *_ROLE, adapters=_ROLE_ADAPTERS).kind(Type13.ROLE_REPLY),
    empty(Type13.GET_ASYNC_REQUEST, GetAsyncRequest),
    Kind(Type13.GET_ASYNC_REPLY, GetAsyncReply, async_decoder(GetAsyncReply), encode_async),
    Kind(Type13.SET_ASYNC, SetAsync, async_decoder(SetAsync), encode_async),
)
