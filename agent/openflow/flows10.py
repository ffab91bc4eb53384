"""Flows in OpenFlow 1.0: FLOW_MOD, FLOW_REMOVED, and the statistics FLOW and AGGREGATE.

What Nicira has of the same is in :mod:`agent.openflow.nicira`.

Source: OpenFlow 1.0.1 sections 5.3.3, 5.3.5.2, 5.3.5.3 and 5.4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import FLOW_MOD_BAD_FLAGS, REQUEST_BAD_LEN, TOO_MANY, OpenFlowError
from agent.openflow.frame import MAX_LENGTH, MIN_LENGTH, Kind, Type10, bad_length
from agent.openflow.instructions10 import (
    decode_instructions,
    encode_instructions,
    shown_instructions,
)
from agent.openflow.match10 import decode_match10, encode_match10
from agent.openflow.messages import (
    ALL_TABLES,
    ANY,
    AggregateReply,
    AggregateRequest,
    FlowMod,
    FlowModFlags,
    FlowRemoved,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
    Message,
    RemovedReason,
)
from agent.openflow.multipart import Stat, Statistic, has_more
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.stats10 import AGGREGATE, HEADER_SIZE
from agent.openflow.wire import Fixed, TlvList

_MATCH: Final = 40
"""Bytes of ``ofp_match``."""
_LONGEST: Final = MAX_LENGTH - HEADER_SIZE - 88
"""Bytes of actions for which there is room in a statistics message."""

# --- FLOW_MOD ---------------------------------------------------------------------------------

_FLOW_MOD: Final = Fixed(
    "cookie" / Int64ub,
    "command" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "priority" / Int16ub,
    "buffer_id" / Int32ub,
    "out_port" / Int16ub,
    "flags" / Int16ub,
)
_unpack_flow_mod: Final = _FLOW_MOD.unpack_from
_FLOW_MOD_BODY: Final = MIN_LENGTH + _MATCH
_FLOW_MOD_ACTIONS: Final = _FLOW_MOD_BODY + _FLOW_MOD.size
_FLOW_MOD_MOST: Final = _FLOW_MOD_ACTIONS + _LONGEST

EXACT_PRIORITY: Final = 0xFFFF
"""What a match without any wildcard has, whatever its message says: "an entry that specifies an
exact match ... is always the highest priority" (1.0.1, section 3.4)."""

_FLAGS: Final = 3
"""The flags which this version has in common with the later ones."""
_EMERG: Final = 4
"""``OFPFF_EMERG``, the bit of which means RESET_COUNTS in later versions."""


def flags_from_wire(flags: int) -> int:
    """:class:`FlowModFlags` of the flags of 1.0.

    :raises OpenFlowError: FLOW_MOD_BAD_FLAGS.
    """
    if flags & ~(_FLAGS | _EMERG):
        raise OpenFlowError(FLOW_MOD_BAD_FLAGS, f"flags {flags:#06x}")
    return flags & _FLAGS | (FlowModFlags.EMERG.value if flags & _EMERG else 0)


def flags_to_wire(flags: int) -> int:
    """The flags of 1.0, without what it has not."""
    return flags & _FLAGS | (_EMERG if flags & FlowModFlags.EMERG.value else 0)


def decode_flow_mod(data: bytes, xid: int) -> FlowMod:
    """FLOW_MOD; the command is the raw number, in whose high byte Nicira may put a table.

    Whether a match has no wildcards is known here alone: fields whose prerequisites do not hold
    are not matched on, and leave no trace.
    """
    if len(data) < _FLOW_MOD_ACTIONS:
        raise bad_length(data, f"{_FLOW_MOD_ACTIONS} or more")
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
    ) = _unpack_flow_mod(data, _FLOW_MOD_BODY)
    if not (data[11] or data[10] or data[9] & 0x3F):
        priority = EXACT_PRIORITY
    return FlowMod(
        command,
        decode_match10(data, MIN_LENGTH),
        priority,
        decode_instructions(data, _FLOW_MOD_ACTIONS),
        ALL_TABLES,
        cookie,
        0,
        idle_timeout,
        hard_timeout,
        buffer_id,
        from_wire10(out_port),
        ANY,
        flags_from_wire(flags) if flags > _FLAGS else flags,
        xid,
    )


def _encode_flow_mod(message: FlowMod) -> bytes:
    body = _FLOW_MOD.pack(
        message.cookie,
        message.command,
        message.idle_timeout,
        message.hard_timeout,
        message.priority,
        message.buffer_id,
        to_wire10(message.out_port),
        flags_to_wire(message.flags),
    )
    actions = encode_instructions(message.instructions, message.match)
    return encode_match10(message.match) + body + actions


# --- FLOW_REMOVED -----------------------------------------------------------------------------

_FLOW_REMOVED: Final = Fixed(
    "cookie" / Int64ub,
    "priority" / Int16ub,
    "reason" / Int8ub,
    Padding(1),
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "idle_timeout" / Int16ub,
    Padding(2),
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)


def _decode_flow_removed(data: bytes, xid: int) -> Message:
    start = MIN_LENGTH + _MATCH
    if len(data) != start + _FLOW_REMOVED.size:
        raise bad_length(data, f"{start + _FLOW_REMOVED.size}")
    fields = dict(zip(_FLOW_REMOVED.names, _FLOW_REMOVED.unpack_from(data, start), strict=True))
    match = decode_match10(data, MIN_LENGTH)
    return FlowRemoved(match=match, table_id=0, hard_timeout=0, xid=xid, **fields)


def _encode_flow_removed(message: FlowRemoved) -> bytes:
    # Groups, meters and eviction are reasons only in later versions.
    return encode_match10(message.match) + _FLOW_REMOVED.pack(
        message.cookie,
        message.priority,
        min(message.reason, RemovedReason.DELETE),
        message.duration_sec,
        message.duration_nsec,
        message.idle_timeout,
        message.packet_count,
        message.byte_count,
    )


KINDS: Final = (
    Kind(Type10.FLOW_MOD, FlowMod, decode_flow_mod, _encode_flow_mod),
    Kind(Type10.FLOW_REMOVED, FlowRemoved, _decode_flow_removed, _encode_flow_removed),
)

# --- statistics -------------------------------------------------------------------------------

_REQUEST: Final = Fixed("table_id" / Int8ub, Padding(1), "out_port" / Int16ub)
_REQUEST_SIZE: Final = HEADER_SIZE + _MATCH + _REQUEST.size


def _decode_request(data: bytes, message: type[Any], xid: int) -> Any:
    if len(data) != _REQUEST_SIZE:
        raise bad_length(data, f"{_REQUEST_SIZE}")
    table_id, out_port = _REQUEST.unpack_from(data, HEADER_SIZE + _MATCH)
    match = decode_match10(data, HEADER_SIZE)
    return message(table_id=table_id, out_port=from_wire10(out_port), match=match, xid=xid)


def _decode_flow_request(data: bytes, xid: int) -> Message:
    message: Message = _decode_request(data, FlowStatsRequest, xid)
    return message


def _decode_aggregate_request(data: bytes, xid: int) -> Message:
    message: Message = _decode_request(data, AggregateRequest, xid)
    return message


def _encode_request(message: FlowStatsRequest | AggregateRequest) -> bytes:
    body = _REQUEST.pack(message.table_id, to_wire10(message.out_port))
    return encode_match10(message.match) + body


_FLOW: Final = Fixed(
    "length" / Int16ub,
    "table_id" / Int8ub,
    Padding(1),
    "match" / Bytes(_MATCH),
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "priority" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    Padding(6),
    "cookie" / Int64ub,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)
_FLOWS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_FLOW.size, type_at=None, length_at=0)


def _decode_flows(data: bytes, xid: int) -> Message:
    flows = []
    for _, offset, length in _FLOWS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        fields = dict(zip(_FLOW.names, _FLOW.unpack_from(data, offset), strict=True))
        del fields["length"]
        fields["match"] = decode_match10(fields["match"], 0)
        instructions = decode_instructions(data[offset + _FLOW.size : offset + length], 0)
        flows.append(FlowStats(flags=0, instructions=instructions, **fields))
    return FlowStatsReply(flows, xid, has_more(data))


def _encode_flows(message: FlowStatsReply) -> Iterator[bytes]:
    pack, size = _FLOW.pack, _FLOW.size
    for flow in message.flows:
        actions = shown_instructions(flow.instructions, flow.match, _LONGEST)
        yield (
            pack(
                size + len(actions),
                flow.table_id,
                encode_match10(flow.match),
                flow.duration_sec,
                flow.duration_nsec,
                flow.priority,
                flow.idle_timeout,
                flow.hard_timeout,
                flow.cookie,
                flow.packet_count,
                flow.byte_count,
            )
            + actions
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
