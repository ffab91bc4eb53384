"""PACKET_IN and PACKET_OUT of OpenFlow 1.0.

Source: OpenFlow 1.0.1 sections 5.3.6 and 5.4.1.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Int32ub, Padding

from agent.openflow.actions10 import decode_actions, encode_actions
from agent.openflow.errors import REQUEST_BAD_PORT, OpenFlowError
from agent.openflow.fields import IN_PORT
from agent.openflow.frame import MIN_LENGTH, Kind, Type10, bad_length
from agent.openflow.match import Match
from agent.openflow.messages import ANY, Message, PacketIn, PacketOut, Port
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

_PACKET_IN: Final = Fixed(
    "buffer_id" / Int32ub,
    "total_len" / Int16ub,
    "in_port" / Int16ub,
    "reason" / Int8ub,
    Padding(1),
)


def _decode_packet_in(data: bytes, xid: int) -> Message:
    start = MIN_LENGTH + _PACKET_IN.size
    if len(data) < start:
        raise bad_length(data, f"{start} or more")
    buffer_id, total_len, in_port, reason = _PACKET_IN.unpack_from(data, MIN_LENGTH)
    match = Match(IN_PORT.mask, from_wire10(in_port) << IN_PORT.shift)
    return PacketIn(buffer_id, total_len, reason, 0, 0, match, data[start:], xid)


def _encode_packet_in(message: PacketIn) -> bytes:
    return (
        _PACKET_IN.pack(
            message.buffer_id,
            message.total_len,
            to_wire10(IN_PORT.get(message.match.value)),
            message.reason,
        )
        + message.data
    )


_PACKET_OUT: Final = Fixed("buffer_id" / Int32ub, "in_port" / Int16ub, "actions_len" / Int16ub)
_ACTIONS: Final = MIN_LENGTH + _PACKET_OUT.size


def checked_in_port(port: int) -> int:
    """The ingress port of a PACKET_OUT; CONTROLLER when the controller gave none.

    :raises OpenFlowError: REQUEST_BAD_PORT for a port that no packet can come in by.
    """
    if port < Port.MAX or port == Port.LOCAL or port == Port.CONTROLLER:
        return port
    if port == ANY:
        return Port.CONTROLLER
    raise OpenFlowError(REQUEST_BAD_PORT, f"in_port {port:#x}")


def _decode_packet_out(data: bytes, xid: int) -> Message:
    if len(data) < _ACTIONS:
        raise bad_length(data, f"{_ACTIONS} or more")
    buffer_id, in_port, actions_len = _PACKET_OUT.unpack_from(data, MIN_LENGTH)
    end = _ACTIONS + actions_len
    if len(data) < end:
        raise bad_length(data, f"{end} or more, for {actions_len} bytes of actions")
    in_port = checked_in_port(from_wire10(in_port))
    actions = decode_actions(data, _ACTIONS, actions_len)
    return PacketOut(buffer_id, in_port, actions, data[end:], xid)


def _encode_packet_out(message: PacketOut) -> bytes:
    actions = encode_actions(message.actions)
    # What has no ingress port comes from OFPP_NONE in this version.
    in_port = to_wire10(ANY if message.in_port == Port.CONTROLLER else message.in_port)
    head = _PACKET_OUT.pack(message.buffer_id, in_port, len(actions))
    return b"".join((head, actions, message.data))


KINDS: Final = (
    Kind(Type10.PACKET_IN, PacketIn, _decode_packet_in, _encode_packet_in),
    Kind(Type10.PACKET_OUT, PacketOut, _decode_packet_out, _encode_packet_out),
)
