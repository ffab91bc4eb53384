"""Flow monitors: Nicira's in 1.0, in 1.3 those of the Open Networking Foundation (EXT-187).

The two differ in their numbers, in the matches (``nx_match`` or ``ofp_match``), in the width of
ports, and in actions or instructions.  What they have in common is read and written here once, for
a :class:`_Dialect`.

Source: ``nicira-ext.h``, ``openflow-1.3.h`` and ``ofp-monitor.c`` of Open vSwitch.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import attrs
from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow import instructions10, instructions13, oxm
from agent.openflow.actions import Instructions
from agent.openflow.errors import (
    FM_BAD_EVENT,
    MATCH_BAD_LEN,
    MONITOR_BAD_FLAGS,
    MUST_BE_ZERO,
    NICIRA,
    ONF,
    REQUEST_BAD_LEN,
    OpenFlowError,
)
from agent.openflow.frame import MAX_LENGTH, bad_length
from agent.openflow.match import Match
from agent.openflow.messages import Message
from agent.openflow.multipart import EXTENDED_SIZE, Statistic, has_more
from agent.openflow.nicira.nxmatch import decode_nx_match, encode_nx_match
from agent.openflow.nx_messages import (
    AnyFlowUpdate,
    FlowMonitor,
    FlowMonitorFlags,
    FlowMonitorReply,
    FlowMonitorRequest,
    FlowUpdate,
    FlowUpdateAbbrev,
    FlowUpdateEvent,
)
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed, TlvList

NXST_FLOW_MONITOR: Final = 2
ONFST_FLOW_MONITOR: Final = 1870
MAX_MONITORS: Final = 256
"""Monitors in one request."""

_FLAGS: Final = sum(FlowMonitorFlags)
_EVENTS: Final = FlowMonitorFlags.ADD | FlowMonitorFlags.DELETE | FlowMonitorFlags.MODIFY

_UPDATE: Final = Fixed(
    "length" / Int16ub,
    "event" / Int16ub,
    "reason" / Int16ub,
    "priority" / Int16ub,
    "idle_timeout" / Int16ub,
    "hard_timeout" / Int16ub,
    "match_len" / Int16ub,
    "table_id" / Int8ub,
    Padding(1),
    "cookie" / Int64ub,
)
_ABBREV: Final = Fixed("length" / Int16ub, "event" / Int16ub, "xid" / Int32ub)
_UPDATES: Final = TlvList(
    bad_len=REQUEST_BAD_LEN, minimum=_ABBREV.size, type_at=2, length_at=0, most=0x2000
)
_FULL: Final = frozenset(FlowUpdateEvent) - {FlowUpdateEvent.ABBREV}
_LONGEST: Final = MAX_LENGTH - EXTENDED_SIZE - _UPDATE.size


@attrs.frozen
class _Dialect:
    """What is different in the two.

    :ivar request: what stands before a match, with the names that both have.
    :ivar port_from_wire: to a port number of 32 bits, and the other way round.
    :ivar decode_match: from ``data, offset, match_len, end`` to a match and the offset behind it.
    :ivar encode_match: to the bytes, padded, and the length that they say.
    :ivar decode_instructions: from ``data, offset, end``.
    :ivar encode_instructions: to at most so many bytes; none for more.
    """

    request: Fixed
    port_from_wire: Callable[[int], int]
    port_to_wire: Callable[[int], int]
    decode_match: Callable[[bytes, int, int, int], tuple[Match, int]]
    encode_match: Callable[[Match], tuple[bytes, int]]
    decode_instructions: Callable[[bytes, int, int], Instructions]
    encode_instructions: Callable[[Instructions, Match, int], bytes]

    # --- requests -------------------------------------------------------------------------

    def decode_request(self, data: bytes, xid: int) -> Message:
        """A list of monitors, which have no lengths but those of their matches."""
        monitors: list[FlowMonitor] = []
        offset, end = EXTENDED_SIZE, len(data)
        if (end - offset) % 8:
            raise bad_length(data, "a multiple of 8")
        while offset < end:
            if len(monitors) == MAX_MONITORS:
                raise OpenFlowError(REQUEST_BAD_LEN, f"more than {MAX_MONITORS} monitors")
            monitor, offset = self._decode_monitor(data, offset, end)
            monitors.append(monitor)
        return FlowMonitorRequest(tuple(monitors), xid)

    def _decode_monitor(self, data: bytes, offset: int, end: int) -> tuple[FlowMonitor, int]:
        layout = self.request
        start = offset + layout.size
        if start > end:
            raise bad_length(data, f"{start} or more")
        values = dict(zip(layout.names, layout.unpack_from(data, offset), strict=True))
        flags = values["flags"]
        if flags & ~_FLAGS or not flags & _EVENTS:
            raise OpenFlowError(MONITOR_BAD_FLAGS, f"flags {flags:#06x}")
        if values["zeros"].strip(b"\0"):
            raise OpenFlowError(MUST_BE_ZERO, "padding of a flow monitor")
        match, stop = self.decode_match(data, start, values["match_len"], end)
        port = self.port_from_wire(values["out_port"])
        return FlowMonitor(values["id"], flags, port, values["table_id"], match), stop

    def encode_request(self, message: FlowMonitorRequest) -> bytes:
        """The monitors one behind the other."""
        return b"".join(map(self._encode_monitor, message.monitors))

    def _encode_monitor(self, monitor: FlowMonitor) -> bytes:
        match, match_len = self.encode_match(monitor.match)
        values = {
            "id": monitor.monitor_id,
            "flags": monitor.flags,
            "out_port": self.port_to_wire(monitor.out_port),
            "match_len": match_len,
            "table_id": monitor.table_id,
            "zeros": b"",
        }
        return self.request.pack(*[values[name] for name in self.request.names]) + match

    # --- replies --------------------------------------------------------------------------

    def decode_reply(self, data: bytes, xid: int) -> Message:
        """A list of updates."""
        found = _UPDATES.split(data, EXTENDED_SIZE, len(data) - EXTENDED_SIZE)
        updates = [self._decode_update(*element, data) for element in found]
        return FlowMonitorReply(updates, xid, has_more(data))

    def _decode_update(self, event: int, offset: int, length: int, data: bytes) -> AnyFlowUpdate:
        if event == FlowUpdateEvent.ABBREV:
            if length != _ABBREV.size:
                raise bad_length(data, f"{_ABBREV.size} in an abbreviated update")
            return FlowUpdateAbbrev(_ABBREV.unpack_from(data, offset)[-1])
        if event not in _FULL:
            raise OpenFlowError(FM_BAD_EVENT, f"event {event}")
        if length < _UPDATE.size:
            raise bad_length(data, f"{_UPDATE.size} or more in an update")
        fields = dict(zip(_UPDATE.names, _UPDATE.unpack_from(data, offset), strict=True))
        del fields["length"]
        end = offset + length
        match_len = fields.pop("match_len")
        match, at = self.decode_match(data, offset + _UPDATE.size, match_len, end)
        instructions = self.decode_instructions(data, at, end)
        return FlowUpdate(match=match, instructions=instructions, **fields)

    def encode_reply(self, message: FlowMonitorReply) -> Iterator[bytes]:
        """The updates one by one."""
        return map(self._encode_update, message.updates)

    def _encode_update(self, update: AnyFlowUpdate) -> bytes:
        if isinstance(update, FlowUpdateAbbrev):
            return _ABBREV.pack(_ABBREV.size, FlowUpdateEvent.ABBREV, update.request_xid)
        match, match_len = self.encode_match(update.match)
        room = _LONGEST - len(match)
        rest = match + self.encode_instructions(update.instructions, update.match, room)
        head = _UPDATE.pack(
            _UPDATE.size + len(rest),
            update.event,
            update.reason,
            update.priority,
            update.idle_timeout,
            update.hard_timeout,
            match_len,
            update.table_id,
            update.cookie,
        )
        return head + rest

    def statistic(self, number: int, experimenter: int) -> Statistic:
        """The two messages."""
        return Statistic(
            number,
            FlowMonitorRequest,
            self.decode_request,
            self.encode_request,
            FlowMonitorReply,
            self.decode_reply,
            self.encode_reply,
            experimenter=experimenter,
        )


_NICIRA: Final = _Dialect(
    Fixed(
        "id" / Int32ub,
        "flags" / Int16ub,
        "out_port" / Int16ub,
        "match_len" / Int16ub,
        "table_id" / Int8ub,
        "zeros" / Bytes(5),
    ),
    from_wire10,
    to_wire10,
    decode_nx_match,
    encode_nx_match,
    lambda data, offset, end: instructions10.decode_instructions(data[offset:end], 0),
    instructions10.shown_instructions,
)


def _decode_ofp_match(data: bytes, offset: int, match_len: int, end: int) -> tuple[Match, int]:
    """The match says its length itself; ``match_len`` repeats it, and is ignored."""
    match, behind = oxm.decode_match(data, offset)
    if behind > end:
        raise OpenFlowError(MATCH_BAD_LEN, f"the match at {offset} ends at {behind}, not {end}")
    return match, behind


def _encode_ofp_match(match: Match) -> tuple[bytes, int]:
    data = oxm.encode_match(match)
    return data, int.from_bytes(data[2:4], "big")


def _encode_instructions13(instructions: Instructions, match: Match, most: int) -> bytes:
    try:
        data = instructions13.encode_instructions(instructions, match)
    except struct.error:
        return b""  # a rule of 1.0 may have more actions than fit an instruction
    return data if len(data) <= most else b""


_FOUNDATION: Final = _Dialect(
    Fixed(
        "id" / Int32ub,
        "flags" / Int16ub,
        "match_len" / Int16ub,
        "out_port" / Int32ub,
        "table_id" / Int8ub,
        "zeros" / Bytes(3),
    ),
    int,
    int,
    _decode_ofp_match,
    _encode_ofp_match,
    lambda data, offset, end: instructions13.decode_instructions(data, offset, end - offset),
    _encode_instructions13,
)

STATISTICS10: Final = (_NICIRA.statistic(NXST_FLOW_MONITOR, NICIRA),)
STATISTICS13: Final = (_FOUNDATION.statistic(ONFST_FLOW_MONITOR, ONF),)
