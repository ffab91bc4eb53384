"""PACKET_IN and PACKET_OUT of OpenFlow 1.3.

Source: OpenFlow 1.3.5 sections 7.3.7 and 7.4.1.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.actions13 import decode_actions, encode_actions
from agent.openflow.frame import MIN_LENGTH, Kind, Type13, bad_length
from agent.openflow.messages import Message, PacketIn, PacketOut
from agent.openflow.oxm import decode_match, encode_match
from agent.openflow.packets10 import checked_in_port
from agent.openflow.wire import Fixed

_PACKET_IN: Final = Fixed(
    "buffer_id" / Int32ub,
    "total_len" / Int16ub,
    "reason" / Int8ub,
    "table_id" / Int8ub,
    "cookie" / Int64ub,
)
_PACKET_IN_MATCH: Final = MIN_LENGTH + _PACKET_IN.size
_SMALLEST_MATCH: Final = 8
_PAD: Final = bytes(2)
"""Behind the match, so that the IP header in the frame is aligned."""


def _decode_packet_in(data: bytes, xid: int) -> Message:
    least = _PACKET_IN_MATCH + _SMALLEST_MATCH + len(_PAD)
    if len(data) < least:
        raise bad_length(data, f"{least} or more")
    match, end = decode_match(data, _PACKET_IN_MATCH)
    start = end + len(_PAD)
    if len(data) < start:
        raise bad_length(data, f"{start} or more")
    buffer_id, total_len, reason, table_id, cookie = _PACKET_IN.unpack_from(data, MIN_LENGTH)
    return PacketIn(buffer_id, total_len, reason, table_id, cookie, match, data[start:], xid)


def _encode_packet_in(message: PacketIn) -> bytes:
    head = _PACKET_IN.pack(
        message.buffer_id,
        message.total_len,
        message.reason,
        message.table_id,
        message.cookie,
    )
    return b"".join((head, encode_match(message.match), _PAD, message.data))


_PACKET_OUT: Final = Fixed(
    "buffer_id" / Int32ub, "in_port" / Int32ub, "actions_len" / Int16ub, Padding(6)
)
_ACTIONS: Final = MIN_LENGTH + _PACKET_OUT.size


def _decode_packet_out(data: bytes, xid: int) -> Message:
    if len(data) < _ACTIONS:
        raise bad_length(data, f"{_ACTIONS} or more")
    buffer_id, in_port, actions_len = _PACKET_OUT.unpack_from(data, MIN_LENGTH)
    end = _ACTIONS + actions_len
    if len(data) < end:
        raise bad_length(data, f"{end} or more, for {actions_len} bytes of actions")
    actions = decode_actions(data, _ACTIONS, actions_len)
    return PacketOut(buffer_id, checked_in_port(in_port), actions, data[end:], xid)


def _encode_packet_out(message: PacketOut) -> bytes:
    actions = encode_actions(message.actions)
    head = _PACKET_OUT.pack(message.buffer_id, message.in_port, len(actions))
    return b"".join((head, actions, message.data))


KINDS: Final = (
    Kind(Type13.PACKET_IN, PacketIn, _decode_packet_in, _encode_packet_in),
    Kind(Type13.PACKET_OUT, PacketOut, _decode_packet_out, _encode_packet_out),
)
