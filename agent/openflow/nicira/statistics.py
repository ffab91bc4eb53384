"""NXST_FLOW and NXST_AGGREGATE: flow statistics in 1.0, with matches that say more.

They are the messages of OpenFlow's, with ``nxm`` set.

Source: ``nicira-ext.h``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import NICIRA, REQUEST_BAD_LEN
from agent.openflow.frame import MAX_LENGTH, Decoder, bad_length
from agent.openflow.instructions10 import decode_instructions, shown_instructions
from agent.openflow.messages import (
    AggregateReply,
    AggregateRequest,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
    Message,
)
from agent.openflow.multipart import EXTENDED_SIZE, Statistic, has_more
from agent.openflow.nicira.nxmatch import decode_nx_criteria, decode_nx_match, encode_nx_match
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.stats10 import AGGREGATE
from agent.openflow.wire import Fixed, TlvList

NXST_FLOW: Final = 0
NXST_AGGREGATE: Final = 1

# --- requests ---------------------------------------------------------------------------------

_REQUEST: Final = Fixed(
    "out_port" / Int16ub, "match_len" / Int16ub, "table_id" / Int8ub, Padding(3)
)
_MATCH: Final = EXTENDED_SIZE + _REQUEST.size


def _request_decoder(message: type[FlowStatsRequest] | type[AggregateRequest]) -> Decoder:
    def decode(data: bytes, xid: int) -> Message:
        if len(data) < _MATCH:
            raise bad_length(data, f"{_MATCH} or more")
        if len(data) % 8:
            raise bad_length(data, "a multiple of 8")
        out_port, match_len, table_id = _REQUEST.unpack_from(data, EXTENDED_SIZE)
        criteria = decode_nx_criteria(data, _MATCH, match_len, len(data))
        if criteria.end != len(data):
            raise bad_length(data, f"{criteria.end}, where the match ends")
        return message(
            table_id=table_id,
            out_port=from_wire10(out_port),
            cookie=criteria.cookie,
            cookie_mask=criteria.cookie_mask,
            match=criteria.match,
            xid=xid,
            nxm=True,
        )

    return decode


def _encode_request(message: FlowStatsRequest | AggregateRequest) -> bytes:
    match, match_len = encode_nx_match(message.match, message.cookie, message.cookie_mask)
    return _REQUEST.pack(to_wire10(message.out_port), match_len, message.table_id) + match


# --- replies ----------------------------------------------------------------------------------

_FLOW: Final = Fixed(
    "length" / Int16ub,
    "table_id" / Int8ub,
    Padding(1),
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
    "priority" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "match_len" / Int16ub,
    "idle_age" / Int16ub,
    "hard_age" / Int16ub,
    "cookie" / Int64ub,
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
)
_FLOWS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_FLOW.size, type_at=None, length_at=0)
_LONGEST: Final = MAX_LENGTH - EXTENDED_SIZE - _FLOW.size
"""Bytes of match and actions for which there is room."""


def _age_from_wire(age: int) -> int | None:
    """0 is an age which is not known; others are one too many."""
    return age - 1 if age else None


def _age_to_wire(age: int | None) -> int:
    return 0 if age is None else min(age + 1, 0xFFFF)


def _decode_flows(data: bytes, xid: int) -> Message:
    flows = []
    for _, offset, length in _FLOWS.split(data, EXTENDED_SIZE, len(data) - EXTENDED_SIZE):
        fields = dict(zip(_FLOW.names, _FLOW.unpack_from(data, offset), strict=True))
        del fields["length"]
        end = offset + length
        match, at = decode_nx_match(data, offset + _FLOW.size, fields.pop("match_len"), end)
        instructions = decode_instructions(data[at:end], 0)
        fields["idle_age"] = _age_from_wire(fields["idle_age"])
        fields["hard_age"] = _age_from_wire(fields["hard_age"])
        flows.append(FlowStats(flags=0, match=match, instructions=instructions, **fields))
    return FlowStatsReply(flows, xid, has_more(data), True)


def _encode_flows(message: FlowStatsReply) -> Iterator[bytes]:
    for flow in message.flows:
        match, match_len = encode_nx_match(flow.match)
        actions = shown_instructions(flow.instructions, flow.match, _LONGEST - len(match))
        head = _FLOW.pack(
            _FLOW.size + len(match) + len(actions),
            flow.table_id,
            flow.duration_sec,
            flow.duration_nsec,
            flow.priority,
            flow.idle_timeout,
            flow.hard_timeout,
            match_len,
            _age_to_wire(flow.idle_age),
            _age_to_wire(flow.hard_age),
            flow.cookie,
            flow.packet_count,
            flow.byte_count,
        )
        yield head + match + actions


_AGGREGATE_SIZE: Final = EXTENDED_SIZE + AGGREGATE.size


def _decode_aggregate(data: bytes, xid: int) -> Message:
    if len(data) != _AGGREGATE_SIZE:
        raise bad_length(data, f"{_AGGREGATE_SIZE}")
    return AGGREGATE.decode(data, EXTENDED_SIZE, xid=xid, nxm=True)


def _encode_aggregate(message: Any) -> tuple[bytes]:
    return (AGGREGATE.encode(message),)


STATISTICS10: Final = (
    Statistic(
        NXST_FLOW,
        FlowStatsRequest,
        _request_decoder(FlowStatsRequest),
        _encode_request,
        FlowStatsReply,
        _decode_flows,
        _encode_flows,
        experimenter=NICIRA,
    ),
    Statistic(
        NXST_AGGREGATE,
        AggregateRequest,
        _request_decoder(AggregateRequest),
        _encode_request,
        AggregateReply,
        _decode_aggregate,
        _encode_aggregate,
        experimenter=NICIRA,
    ),
)
"""The statistics of flows that Nicira has in 1.0."""
