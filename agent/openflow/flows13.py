"""Flows in OpenFlow 1.3: FLOW_MOD, FLOW_REMOVED, and the statistics FLOW and AGGREGATE.

FLOW_MOD is what a controller sends by the ten thousand, and the statistics of flows what a switch
does; both are written out by hand, and cost little more than their match and their instructions.

Source: OpenFlow 1.3.5 sections 7.3.4.1, 7.3.5.2, 7.3.5.3 and 7.4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import (
    FLOW_MOD_BAD_FLAGS,
    REQUEST_BAD_LEN,
    TOO_MANY,
    OpenFlowError,
)
from agent.openflow.frame import MAX_LENGTH, MIN_LENGTH, Kind, Type13, bad_length
from agent.openflow.instructions13 import decode_instructions, encode_instructions
from agent.openflow.messages import (
    AggregateReply,
    AggregateRequest,
    FlowMod,
    FlowRemoved,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
    Message,
    RemovedReason,
)
from agent.openflow.multipart import Stat, Statistic, has_more
from agent.openflow.oxm import decode_match, encode_match
from agent.openflow.stats10 import AGGREGATE
from agent.openflow.stats13 import HEADER_SIZE
from agent.openflow.wire import Fixed, TlvList

_SMALLEST_MATCH: Final = 8
_FLAGS: Final = 0x1F
"""``OFPFF_*`` of 1.3."""
_LONGEST: Final = MAX_LENGTH - HEADER_SIZE - 48
"""Bytes of match and instructions for which there is room in a statistics message."""

# --- FLOW_MOD ---------------------------------------------------------------------------------

_FLOW_MOD: Final = Fixed(
    "cookie" / Int64ub,
    "cookie_mask" / Int64ub,
    "table_id" / Int8ub,
    "command" / Int8ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "priority" / Int16ub,
    "buffer_id" / Int32ub,
    "out_port" / Int32ub,
    "out_group" / Int32ub,
    "flags" / Int16ub,
    Padding(2),
)
_unpack_flow_mod: Final = _FLOW_MOD.unpack_from
_FLOW_MOD_MATCH: Final = MIN_LENGTH + _FLOW_MOD.size
_FLOW_MOD_LEAST: Final = _FLOW_MOD_MATCH + _SMALLEST_MATCH
_FLOW_MOD_MOST: Final = _FLOW_MOD_MATCH + _LONGEST


def decode_flow_mod(data: bytes, xid: int) -> FlowMod:
    """FLOW_MOD; the command may be any number, the flags may not."""
    length = len(data)
    if length < _FLOW_MOD_LEAST:
        raise bad_length(data, f"{_FLOW_MOD_LEAST} or more")
    if length & 7:
        raise bad_length(data, "a multiple of 8")
    if length > _FLOW_MOD_MOST:
        raise OpenFlowError(TOO_MANY, "the statistics of the rule would fit no message")
    (
        cookie,
        cookie_mask,
        table_id,
        command,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        out_group,
        flags,
    ) = _unpack_flow_mod(data, MIN_LENGTH)
    if flags > _FLAGS:
        # Not left to the handler: the highest bit would look like the EMERG of 1.0.
        raise OpenFlowError(FLOW_MOD_BAD_FLAGS, f"flags {flags:#06x}")
    match, end = decode_match(data, _FLOW_MOD_MATCH)
    return FlowMod(
        command,
        match,
        priority,
        decode_instructions(data, end, length - end) if end != length else (),
        table_id,
        cookie,
        cookie_mask,
        idle_timeout,
        hard_timeout,
        buffer_id,
        out_port,
        out_group,
        flags,
        xid,
    )


def _encode_flow_mod(message: FlowMod) -> bytes:
    return (
        _FLOW_MOD.pack(
            message.cookie,
            message.cookie_mask,
            message.table_id,
            message.command,
            message.idle_timeout,
            message.hard_timeout,
            message.priority,
            message.buffer_id,
            message.out_port,
            message.out_group,
            message.flags & _FLAGS,
        )
        + encode_match(message.match)
        + encode_instructions(message.instructions, message.match)
    )


# --- FLOW_REMOVED -----------------------------------------------------------------------------

_FLOW_REMOVED: Final = Fixed(
    "cookie" / Int64ub,
    "priority" / Int16ub,
    "reason" / Int8ub,
    "table_id" / Int8ub,
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)


def _decode_flow_removed(data: bytes, xid: int) -> Message:
    start = MIN_LENGTH + _FLOW_REMOVED.size
    if len(data) < start + _SMALLEST_MATCH:
        raise bad_length(data, f"{start + _SMALLEST_MATCH} or more")
    fields = dict(
        zip(_FLOW_REMOVED.names, _FLOW_REMOVED.unpack_from(data, MIN_LENGTH), strict=True)
    )
    match, end = decode_match(data, start)
    if end != len(data):
        raise bad_length(data, f"{end}, where the match ends")
    return FlowRemoved(match=match, xid=xid, **fields)


def _encode_flow_removed(message: FlowRemoved) -> bytes:
    # Meters and eviction are reasons only in later versions.
    reason = message.reason
    return _FLOW_REMOVED.pack(
        message.cookie,
        message.priority,
        reason if reason <= RemovedReason.GROUP_DELETE else RemovedReason.DELETE,
        message.table_id,
        message.duration_sec,
        message.duration_nsec,
        message.idle_timeout,
        message.hard_timeout,
        message.packet_count,
        message.byte_count,
    ) + encode_match(message.match)


KINDS: Final = (
    Kind(Type13.FLOW_MOD, FlowMod, decode_flow_mod, _encode_flow_mod),
    Kind(Type13.FLOW_REMOVED, FlowRemoved, _decode_flow_removed, _encode_flow_removed),
)

# --- statistics -------------------------------------------------------------------------------

_REQUEST: Final = Fixed(
    "table_id" / Int8ub,
    Padding(3),
    "out_port" / Int32ub,
    "out_group" / Int32ub,
    Padding(4),
    "cookie" / Int64ub,
    "cookie_mask" / Int64ub,
)
_REQUEST_MATCH: Final = HEADER_SIZE + _REQUEST.size


def _decode_request(data: bytes, message: type[Any], xid: int) -> Any:
    if len(data) < _REQUEST_MATCH + _SMALLEST_MATCH:
        raise bad_length(data, f"{_REQUEST_MATCH + _SMALLEST_MATCH} or more")
    match, end = decode_match(data, _REQUEST_MATCH)
    if end != len(data):
        raise bad_length(data, f"{end}, where the match ends")
    return message(*_REQUEST.unpack_from(data, HEADER_SIZE), match, xid)


def _decode_flow_request(data: bytes, xid: int) -> Message:
    message: Message = _decode_request(data, FlowStatsRequest, xid)
    return message


def _decode_aggregate_request(data: bytes, xid: int) -> Message:
    message: Message = _decode_request(data, AggregateRequest, xid)
    return message


def _encode_request(message: FlowStatsRequest | AggregateRequest) -> bytes:
    return _REQUEST.pack(
        message.table_id,
        message.out_port,
        message.out_group,
        message.cookie,
        message.cookie_mask,
    ) + encode_match(message.match)


_FLOW: Final = Fixed(
    "length" / Int16ub,
    "table_id" / Int8ub,
    Padding(1),
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "priority" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "flags" / Int16ub,
    Padding(4),
    "cookie" / Int64ub,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)
_FLOWS: Final = TlvList(
    bad_len=REQUEST_BAD_LEN, minimum=_FLOW.size + _SMALLEST_MATCH, type_at=None, length_at=0
)


def _decode_flows(data: bytes, xid: int) -> Message:
    flows = []
    for _, offset, length in _FLOWS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        match, at = decode_match(data, offset + _FLOW.size)
        left = offset + length - at
        if left < 0:
            raise bad_length(data, f"enough for the match at {offset + _FLOW.size}")
        instructions = decode_instructions(data, at, left)
        fields = dict(zip(_FLOW.names, _FLOW.unpack_from(data, offset), strict=True))
        del fields["length"]
        flows.append(FlowStats(match=match, instructions=instructions, **fields))
    return FlowStatsReply(flows, xid, has_more(data))


def _encode_flows(message: FlowStatsReply) -> Iterator[bytes]:
    """The entries one by one.

    A rule that came in by 1.0 may have more actions than fit a message of 1.3; it is shown without.
    """
    pack, size = _FLOW.pack, _FLOW.size
    for flow in message.flows:
        rest = encode_match(flow.match)
        try:
            instructions = encode_instructions(flow.instructions, flow.match)
        except struct.error:
            instructions = b""
        if len(rest) + len(instructions) <= _LONGEST:
            rest += instructions
        yield (
            pack(
                size + len(rest),
                flow.table_id,
                flow.duration_sec,
                flow.duration_nsec,
                flow.priority,
                flow.idle_timeout,
                flow.hard_timeout,
                flow.flags & _FLAGS,
                flow.cookie,
                flow.packet_count,
                flow.byte_count,
            )
            + rest
        )


STATISTICS: Final = (
    Statistic(
        Stat.FLOW,
        FlowStatsRequest,
        _decode_flow_request,
        _encode_request,
        FlowStatsReply,
        _decode_flows,
        _encode_flows,
    ),
    Statistic(
        Stat.AGGREGATE,
        AggregateRequest,
        _decode_aggregate_request,
        _encode_request,
        AggregateReply,
        AGGREGATE.after(HEADER_SIZE),
        lambda message: (AGGREGATE.encode(message),),
    ),
)
