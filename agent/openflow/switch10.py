"""The switch as a whole in OpenFlow 1.0: features, configuration, ports and barriers.

Source: OpenFlow 1.0.1 sections 5.3.1, 5.3.2, 5.3.3 (port modification), 5.3.7 and 5.4.3.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.frame import MAX_LENGTH, MIN_LENGTH, Kind, Type10, bad_length, empty
from agent.openflow.messages import (
    BarrierReply,
    BarrierRequest,
    FeaturesReply,
    FeaturesRequest,
    GetConfigReply,
    GetConfigRequest,
    Message,
    PortMod,
    SetConfig,
)
from agent.openflow.portdesc import FEATURES10, PHY_PORT10, PORT10, status_kind
from agent.openflow.record import MAC, Record

_FEATURES: Final = Record(
    FeaturesReply,
    "datapath_id" / Int64ub,
    "n_buffers" / Int32ub,
    "n_tables" / Int8ub,
    Padding(3),
    "capabilities" / Int32ub,
    "actions" / Int32ub,
)
_MOST_PORTS: Final = (MAX_LENGTH - MIN_LENGTH - _FEATURES.size) // PHY_PORT10.size


def _decode_features(data: bytes, xid: int) -> Message:
    start = MIN_LENGTH + _FEATURES.size
    if len(data) < start:
        raise bad_length(data, f"{start} or more")
    ports = tuple(PHY_PORT10.decode_list(data, start))
    return _FEATURES.decode(data, MIN_LENGTH, ports=ports, xid=xid)


def _encode_features(message: FeaturesReply) -> bytes:
    """As many ports as fit in one message: 1364; the version has no way to send the rest."""
    ports = PHY_PORT10.encode_list(message.ports[:_MOST_PORTS])
    return _FEATURES.encode(message) + b"".join(ports)


_PORT_MOD: Final = Record(
    PortMod,
    "port_no" / Int16ub,
    "hw_addr" / Bytes(6),
    "config" / Int32ub,
    "mask" / Int32ub,
    "advertise" / Int32ub,
    Padding(4),
    adapters={"port_no": PORT10, "hw_addr": MAC, "advertise": FEATURES10},
)

_CONFIG: Final = ("flags" / Int16ub, "miss_send_len" / Int16ub)

KINDS: Final = (
    empty(Type10.FEATURES_REQUEST, FeaturesRequest),
    Kind(Type10.FEATURES_REPLY, FeaturesReply, _decode_features, _encode_features),
    empty(Type10.GET_CONFIG_REQUEST, GetConfigRequest),
    Record(GetConfigReply, *_CONFIG).kind(Type10.GET_CONFIG_REPLY),
    Record(SetConfig, *_CONFIG).kind(Type10.SET_CONFIG),
    status_kind(Type10.PORT_STATUS, PHY_PORT10),
    _PORT_MOD.kind(Type10.PORT_MOD),
    empty(Type10.BARRIER_REQUEST, BarrierRequest),
    empty(Type10.BARRIER_REPLY, BarrierReply),
)
