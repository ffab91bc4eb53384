"""Nicira's messages about a session, and all of Nicira's messages put together.

Roles, and which asynchronous messages are wanted, are OpenFlow's classes of message: 1.0 has them
only from here.  In 1.3 they are read, and what answers a request of Nicira's is Nicira's.

The Foundation's messages about flow monitors, which 1.3 has instead of Nicira's, are here too, and
those about bundles (:mod:`agent.openflow.bundles13`).

Source: ``nicira-ext.h``, ``ofp-msgs.h`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from construct import Bytes, Int8ub, Int16ub, Int32ub, Padding

from agent.openflow import bundles13
from agent.openflow.bundle_messages import BundleAdd, BundleControl
from agent.openflow.constants import OFP10, OFP13
from agent.openflow.errors import (
    BAD_EXP_TYPE,
    MUST_BE_ZERO,
    NICIRA,
    ONF,
    REQUEST_EPERM,
    ROLE_BAD_ROLE,
    OpenFlowError,
)
from agent.openflow.frame import Decoder, Encoder, bad_length
from agent.openflow.messages import (
    FlowMod,
    FlowRemoved,
    Message,
    PacketIn,
    RoleReply,
    RoleRequest,
    SetAsync,
)
from agent.openflow.nicira import flows
from agent.openflow.nicira.flows import BODY
from agent.openflow.nx_messages import (
    FlowAge,
    FlowFormat,
    FlowModTableId,
    FlowMonitorCancel,
    FlowMonitorPaused,
    FlowMonitorResumed,
    PacketInFormat,
    SetControllerId,
    SetFlowFormat,
    SetPacketInFormat,
)
from agent.openflow.record import Record
from agent.openflow.switch13 import async_decoder, encode_async
from agent.openflow.symmetric import Extension
from agent.openflow.wire import Fixed

_NUMBERS: Final = Fixed("experimenter" / Int32ub, "subtype" / Int32ub)


@attrs.frozen
class _Kind:
    """One type of message.

    :ivar subtypes: Nicira's number in each version that has it.
    :ivar encode: to what follows Nicira's numbers.
    :ivar claims: see :class:`agent.openflow.symmetric.Extension`.
    """

    message: type
    subtypes: dict[int, int]
    decode: Decoder
    encode: Encoder
    claims: Callable[[int, Any], bool] | None = None


def _both(subtype: int) -> dict[int, int]:
    return {OFP10: subtype, OFP13: subtype}


def _record(subtypes: dict[int, int], record: Record[Any]) -> _Kind:
    return _Kind(record.value, subtypes, record.after(BODY), record.encode)


# --- roles ------------------------------------------------------------------------------------

_ROLE: Final = Fixed("role" / Int32ub)
_SLAVE: Final = 2
"""``NX_ROLE_SECONDARY``, the greatest; all are one less than in OpenFlow."""


def _role_decoder(message: type[RoleRequest] | type[RoleReply]) -> Decoder:
    def decode(data: bytes, xid: int) -> Message:
        if len(data) != BODY + _ROLE.size:
            raise bad_length(data, f"{BODY + _ROLE.size}")
        (role,) = _ROLE.unpack_from(data, BODY)
        if role > _SLAVE:
            raise OpenFlowError(ROLE_BAD_ROLE, f"role {role}")
        return message(role + 1, None, xid)

    return decode


def _encode_role(message: RoleRequest | RoleReply) -> bytes:
    return _ROLE.pack(message.role - 1)


def _role(message: type[RoleRequest] | type[RoleReply], subtype: int) -> _Kind:
    return _Kind(
        message,
        _both(subtype),
        _role_decoder(message),
        _encode_role,
        lambda version, role: role.generation_id is None,
    )


# --- formats, ids -----------------------------------------------------------------------------


def _known(formats: type[FlowFormat] | type[PacketInFormat]) -> Callable[[int], int]:
    """Open vSwitch answers EPERM, and so do we: its tools then try another."""
    known = frozenset(int(one) for one in formats)

    def check(number: int) -> int:
        if number not in known:
            raise OpenFlowError(REQUEST_EPERM, f"format {number}")
        return number

    return check


_CONTROLLER_ID: Final = Fixed("zero" / Bytes(6), "controller_id" / Int16ub)


def _decode_controller_id(data: bytes, xid: int) -> Message:
    if len(data) != BODY + _CONTROLLER_ID.size:
        raise bad_length(data, f"{BODY + _CONTROLLER_ID.size}")
    zero, controller_id = _CONTROLLER_ID.unpack_from(data, BODY)
    if zero.strip(b"\0"):
        raise OpenFlowError(MUST_BE_ZERO, f"padding is {zero.hex()}")
    return SetControllerId(controller_id, xid)


# --- all of them ------------------------------------------------------------------------------

_FLOW_FORMAT: Final = Record(
    SetFlowFormat, "format" / Int32ub, adapters={"format": (_known(FlowFormat), int)}
)
_PACKET_IN_FORMAT: Final = Record(
    SetPacketInFormat, "format" / Int32ub, adapters={"format": (_known(PacketInFormat), int)}
)
_TABLE_ID: Final = Record(
    FlowModTableId, "enabled" / Int8ub, Padding(7), adapters={"enabled": (bool, int)}
)

_KINDS: Final = (
    _role(RoleRequest, 10),
    _role(RoleReply, 11),
    _record({OFP10: 12}, _FLOW_FORMAT),
    _Kind(
        FlowMod,
        {OFP10: 13},
        flows.decode_flow_mod,
        flows.encode_flow_mod,
        lambda version, message: message.nxm and version == OFP10,
    ),
    _Kind(
        FlowRemoved,
        {OFP10: 14},
        flows.decode_flow_removed,
        flows.encode_flow_removed,
        lambda version, message: message.nxm and version == OFP10,
    ),
    _record(_both(15), _TABLE_ID),
    _record(_both(16), _PACKET_IN_FORMAT),
    _Kind(
        PacketIn,
        _both(17),
        flows.decode_packet_in,
        flows.encode_packet_in,
        lambda version, message: bool(message.nxm),
    ),
    _record(_both(18), Record(FlowAge)),
    _Kind(SetAsync, _both(19), async_decoder(SetAsync, BODY), encode_async),
    _Kind(
        SetControllerId,
        _both(20),
        _decode_controller_id,
        lambda message: _CONTROLLER_ID.pack(b"", message.controller_id),
    ),
    _record({OFP10: 21, OFP13: 1870}, Record(FlowMonitorCancel, "monitor_id" / Int32ub)),
    _record({OFP10: 22, OFP13: 1871}, Record(FlowMonitorPaused)),
    _record({OFP10: 23, OFP13: 1872}, Record(FlowMonitorResumed)),
    _Kind(BundleControl, {OFP13: 2300}, bundles13.decode_control, bundles13.encode_control),
    _Kind(BundleAdd, {OFP13: 2301}, bundles13.decode_add, bundles13.encode_add),
)

_FOUNDATION: Final = frozenset(
    {FlowMonitorCancel, FlowMonitorPaused, FlowMonitorResumed, BundleControl, BundleAdd}
)
"""What in 1.3 is the Foundation's."""


def _experimenter(version: int, message: type) -> int:
    return ONF if version == OFP13 and message in _FOUNDATION else NICIRA


_BY_NUMBER: Final = {
    (version, _experimenter(version, kind.message), subtype): kind
    for kind in _KINDS
    for version, subtype in kind.subtypes.items()
}


def _decode(version: int, data: bytes, xid: int) -> Message:
    if len(data) < BODY:
        raise bad_length(data, f"{BODY} or more")
    experimenter, subtype = _NUMBERS.unpack_from(data, BODY - _NUMBERS.size)
    kind = _BY_NUMBER.get((version, experimenter, subtype))
    if kind is None:
        raise OpenFlowError(BAD_EXP_TYPE, f"type {subtype} of {experimenter:#x}")
    return kind.decode(data, xid)


def _encoder(kind: _Kind) -> Callable[[int, Any], bytes]:
    name = kind.message.__name__

    def encode(version: int, message: Any) -> bytes:
        subtype = kind.subtypes.get(version)
        if subtype is None:
            raise ValueError(f"OpenFlow version {version} has no {name}")
        return _NUMBERS.pack(_experimenter(version, kind.message), subtype) + kind.encode(message)

    return encode


EXTENSIONS: Final = (
    Extension(
        NICIRA,
        _decode,
        {kind.message: _encoder(kind) for kind in _KINDS},
        {kind.message: kind.claims for kind in _KINDS if kind.claims is not None},
    ),
    Extension(ONF, _decode, {}),
)
"""Nicira's messages, and the Foundation's."""
