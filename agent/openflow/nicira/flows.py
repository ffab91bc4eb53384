"""NXT_FLOW_MOD, NXT_FLOW_REMOVED and NXT_PACKET_IN: OpenFlow's, with matches that say more.

The first two are for 1.0 alone, where later versions have no need of them; the third can be had in
each.

Source: ``nicira-ext.h``.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.constants import ALL_TABLES, ANY, FlowModCommand, RemovedReason
from agent.openflow.errors import NXM_INVALID, TOO_MANY, OpenFlowError
from agent.openflow.flows10 import flags_from_wire, flags_to_wire
from agent.openflow.frame import MAX_LENGTH, bad_length
from agent.openflow.instructions10 import decode_instructions, encode_instructions
from agent.openflow.messages import FlowMod, FlowRemoved, Message, PacketIn
from agent.openflow.nicira.nxmatch import decode_nx_criteria, decode_nx_match, encode_nx_match
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

BODY: Final = 16
"""Bytes before the body of Nicira's messages: ``ofp_header``, and Nicira's two numbers."""
SAME_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
"""The cookie of a MODIFY which does not change cookies."""
_ADD: Final = int(FlowModCommand.ADD)

# --- NXT_FLOW_MOD -----------------------------------------------------------------------------

_FLOW_MOD: Final = Fixed(
    "cookie" / Int64ub,
    "command" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "priority" / Int16ub,
    "buffer_id" / Int32ub,
    "out_port" / Int16ub,
    "flags" / Int16ub,
    "match_len" / Int16ub,
    Padding(6),
)
_FLOW_MOD_MATCH: Final = BODY + _FLOW_MOD.size
_FLOW_MOD_MOST: Final = _FLOW_MOD_MATCH + MAX_LENGTH - 24 - 48
"""Bytes of a rule whose statistics fit into one message."""


def decode_flow_mod(data: bytes, xid: int) -> Message:
    """NXT_FLOW_MOD; the command is the raw number, in whose high byte there may be a table."""
    if len(data) < _FLOW_MOD_MATCH:
        raise bad_length(data, f"{_FLOW_MOD_MATCH} or more")
    if len(data) % 8:
        raise bad_length(data, "a multiple of 8")
    if len(data) > _FLOW_MOD_MOST:
        raise OpenFlowError(TOO_MANY, "the statistics of the rule would fit no message")
    (
        cookie,
        command,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        flags,
        match_len,
    ) = _FLOW_MOD.unpack_from(data, BODY)
    criteria = decode_nx_criteria(data, _FLOW_MOD_MATCH, match_len, len(data))
    if criteria.cookie_mask and command & 0xFF == _ADD:
        raise OpenFlowError(NXM_INVALID, "an ADD asks for no cookie")
    return FlowMod(
        command,
        criteria.match,
        priority,
        decode_instructions(data, criteria.end),
        ALL_TABLES,
        criteria.cookie if criteria.cookie_mask else cookie,
        criteria.cookie_mask,
        idle_timeout,
        hard_timeout,
        buffer_id,
        from_wire10(out_port),
        ANY,
        flags_from_wire(flags),
        xid,
        True,
        None if cookie == SAME_COOKIE else cookie,
    )


def encode_flow_mod(message: FlowMod) -> bytes:
    """What follows Nicira's numbers."""
    match, match_len = encode_nx_match(message.match, message.cookie, message.cookie_mask)
    cookie = message.cookie
    if message.cookie_mask:
        cookie = SAME_COOKIE if message.new_cookie is None else message.new_cookie
    head = _FLOW_MOD.pack(
        cookie,
        message.command,
        message.idle_timeout,
        message.hard_timeout,
        message.priority,
        message.buffer_id,
        to_wire10(message.out_port),
        flags_to_wire(message.flags),
        match_len,
    )
    return head + match + encode_instructions(message.instructions, message.match)


# --- NXT_FLOW_REMOVED -------------------------------------------------------------------------

_FLOW_REMOVED: Final = Fixed(
    "cookie" / Int64ub,
    "priority" / Int16ub,
    "reason" / Int8ub,
    "table_id" / Int8ub,
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "idle_timeout" / Int16ub,
    "match_len" / Int16ub,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)
_FLOW_REMOVED_MATCH: Final = BODY + _FLOW_REMOVED.size


def decode_flow_removed(data: bytes, xid: int) -> Message:
    """NXT_FLOW_REMOVED; a table of 0 on the wire is one that is not known, 1 the first."""
    if len(data) < _FLOW_REMOVED_MATCH:
        raise bad_length(data, f"{_FLOW_REMOVED_MATCH} or more")
    names = _FLOW_REMOVED.names
    fields = dict(zip(names, _FLOW_REMOVED.unpack_from(data, BODY), strict=True))
    match_len = fields.pop("match_len")
    fields["table_id"] = (fields["table_id"] - 1) % 256
    match, end = decode_nx_match(data, _FLOW_REMOVED_MATCH, match_len, len(data))
    if end != len(data):
        raise bad_length(data, f"{end}, where the match ends")
    return FlowRemoved(match=match, hard_timeout=0, xid=xid, nxm=True, **fields)


def encode_flow_removed(message: FlowRemoved) -> bytes:
    """What follows Nicira's numbers."""
    match, match_len = encode_nx_match(message.match)
    return (
        _FLOW_REMOVED.pack(
            message.cookie,
            message.priority,
            # Groups, meters and eviction are reasons only in later versions.
            min(message.reason, RemovedReason.DELETE),
            (message.table_id + 1) % 256,
            message.duration_sec,
            message.duration_nsec,
            message.idle_timeout,
            match_len,
            message.packet_count,
            message.byte_count,
        )
        + match
    )


# --- NXT_PACKET_IN ----------------------------------------------------------------------------

_PACKET_IN: Final = Fixed(
    "buffer_id" / Int32ub,
    "total_len" / Int16ub,
    "reason" / Int8ub,
    "table_id" / Int8ub,
    "cookie" / Int64ub,
    "match_len" / Int16ub,
    Padding(6),
)
_PACKET_IN_MATCH: Final = BODY + _PACKET_IN.size
_PAD: Final = bytes(2)
"""Behind the match, so that the IP header in the frame is aligned."""


def decode_packet_in(data: bytes, xid: int) -> Message:
    """NXT_PACKET_IN."""
    if len(data) < _PACKET_IN_MATCH:
        raise bad_length(data, f"{_PACKET_IN_MATCH} or more")
    buffer_id, total_len, reason, table_id, cookie, match_len = _PACKET_IN.unpack_from(data, BODY)
    match, end = decode_nx_match(data, _PACKET_IN_MATCH, match_len, len(data))
    start = end + len(_PAD)
    if len(data) < start:
        raise bad_length(data, f"{start} or more")
    frame = data[start:]
    return PacketIn(buffer_id, total_len, reason, table_id, cookie, match, frame, xid, True)


def encode_packet_in(message: PacketIn) -> bytes:
    """What follows Nicira's numbers."""
    match, match_len = encode_nx_match(message.match)
    head = _PACKET_IN.pack(
        message.buffer_id,
        message.total_len,
        message.reason,
        message.table_id,
        message.cookie,
        match_len,
    )
    return b"".join((head, match, _PAD, message.data))
