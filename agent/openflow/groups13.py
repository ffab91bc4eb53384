"""Groups in OpenFlow 1.3: GROUP_MOD, and the statistics GROUP, GROUP_DESC and GROUP_FEATURES.

Source: OpenFlow 1.3.5 sections 7.3.4.2 and 7.3.5.9 to 7.3.5.11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.actions13 import decode_actions, encode_actions
from agent.openflow.errors import GROUP_BAD_BUCKET, REQUEST_BAD_LEN
from agent.openflow.frame import MIN_LENGTH, Kind, Type13, bad_length
from agent.openflow.group_messages import (
    Bucket,
    GroupDesc,
    GroupDescReply,
    GroupDescRequest,
    GroupFeaturesReply,
    GroupFeaturesRequest,
    GroupMod,
    GroupStats,
    GroupStatsReply,
    GroupStatsRequest,
)
from agent.openflow.messages import Message
from agent.openflow.multipart import Stat, Statistic, has_more
from agent.openflow.record import Record
from agent.openflow.stats13 import HEADER_SIZE
from agent.openflow.wire import Fixed, TlvList

MAX_BUCKETS: Final = 1024
"""Buckets that one group may have on the wire; drivers may take fewer."""

_BUCKET: Final = Fixed(
    "len" / Int16ub,
    "weight" / Int16ub,
    "watch_port" / Int32ub,
    "watch_group" / Int32ub,
    Padding(4),
)
_BUCKETS: Final = TlvList(
    bad_len=GROUP_BAD_BUCKET, minimum=_BUCKET.size, type_at=None, length_at=0, most=MAX_BUCKETS
)


def decode_buckets(data: bytes, offset: int, length: int) -> tuple[Bucket, ...]:
    """The buckets in the ``length`` bytes from ``offset``.

    :raises OpenFlowError: GROUP_MOD_FAILED/BAD_BUCKET, and what actions raise.
    """
    buckets = []
    for _, at, size in _BUCKETS.split(data, offset, length):
        _, weight, watch_port, watch_group = _BUCKET.unpack_from(data, at)
        actions = decode_actions(data, at + _BUCKET.size, size - _BUCKET.size)
        buckets.append(Bucket(weight, watch_port, watch_group, actions))
    return tuple(buckets)


def encode_buckets(buckets: tuple[Bucket, ...]) -> bytes:
    """The bytes of buckets."""
    parts = []
    for bucket in buckets:
        actions = encode_actions(bucket.actions)
        parts.append(
            _BUCKET.pack(
                _BUCKET.size + len(actions), bucket.weight, bucket.watch_port, bucket.watch_group
            )
        )
        parts.append(actions)
    return b"".join(parts)


# --- GROUP_MOD --------------------------------------------------------------------------------

_GROUP_MOD: Final = Fixed("command" / Int16ub, "type" / Int8ub, Padding(1), "group_id" / Int32ub)
_GROUP_MOD_BUCKETS: Final = MIN_LENGTH + _GROUP_MOD.size


def _decode_group_mod(data: bytes, xid: int) -> Message:
    if len(data) < _GROUP_MOD_BUCKETS:
        raise bad_length(data, f"{_GROUP_MOD_BUCKETS} or more")
    command, kind, group_id = _GROUP_MOD.unpack_from(data, MIN_LENGTH)
    buckets = decode_buckets(data, _GROUP_MOD_BUCKETS, len(data) - _GROUP_MOD_BUCKETS)
    return GroupMod(command, kind, group_id, buckets, xid)


def _encode_group_mod(message: GroupMod) -> bytes:
    head = _GROUP_MOD.pack(message.command, message.type, message.group_id)
    return head + encode_buckets(message.buckets)


KINDS: Final = (Kind(Type13.GROUP_MOD, GroupMod, _decode_group_mod, _encode_group_mod),)

# --- statistics -------------------------------------------------------------------------------

_GROUP: Final = Fixed(
    "length" / Int16ub,
    Padding(2),
    "group_id" / Int32ub,
    "ref_count" / Int32ub,
    Padding(4),
    "packet_count" / Int64ub,
    "byte_count" / Int64ub,
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
)
_COUNTER: Final = Fixed("packet_count" / Int64ub, "byte_count" / Int64ub)
_GROUPS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_GROUP.size, type_at=None, length_at=0)
_DESC: Final = Fixed("length" / Int16ub, "type" / Int8ub, Padding(1), "group_id" / Int32ub)
_DESCS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_DESC.size, type_at=None, length_at=0)
_FEATURES: Final = Fixed(
    "types" / Int32ub,
    "capabilities" / Int32ub,
    *(f"max_groups{kind}" / Int32ub for kind in range(4)),
    *(f"actions{kind}" / Int32ub for kind in range(4)),
)


def decode_counters(data: bytes, offset: int, end: int) -> tuple[tuple[int, int], ...]:
    """Pairs of packets and bytes from ``offset`` to ``end``.

    :raises OpenFlowError: REQUEST_BAD_LEN.
    """
    if (end - offset) % _COUNTER.size:
        raise bad_length(data, "a whole number of counters")
    return tuple(
        (packets, octets)
        for packets, octets in (
            _COUNTER.unpack_from(data, at) for at in range(offset, end, _COUNTER.size)
        )
    )


def encode_counters(counters: tuple[tuple[int, int], ...]) -> bytes:
    """The bytes of such pairs."""
    return b"".join(_COUNTER.pack(*counter) for counter in counters)


def _decode_stats_reply(data: bytes, xid: int) -> Message:
    groups = []
    for _, at, size in _GROUPS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        _, group_id, refs, packets, octets, seconds, nanoseconds = _GROUP.unpack_from(data, at)
        counters = decode_counters(data, at + _GROUP.size, at + size)
        groups.append(GroupStats(group_id, refs, packets, octets, seconds, nanoseconds, counters))
    return GroupStatsReply(groups, xid, has_more(data))


def _encode_stats_reply(message: Any) -> Iterator[bytes]:
    for group in message.groups:
        counters = encode_counters(group.buckets)
        yield (
            _GROUP.pack(
                _GROUP.size + len(counters),
                group.group_id,
                group.ref_count,
                group.packet_count,
                group.byte_count,
                group.duration_sec,
                group.duration_nsec,
            )
            + counters
        )


def _decode_desc_reply(data: bytes, xid: int) -> Message:
    groups = []
    for _, at, size in _DESCS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        _, kind, group_id = _DESC.unpack_from(data, at)
        buckets = decode_buckets(data, at + _DESC.size, size - _DESC.size)
        groups.append(GroupDesc(kind, group_id, buckets))
    return GroupDescReply(groups, xid, has_more(data))


def _encode_desc_reply(message: Any) -> Iterator[bytes]:
    for group in message.groups:
        buckets = encode_buckets(group.buckets)
        yield _DESC.pack(_DESC.size + len(buckets), group.type, group.group_id) + buckets


def _decode_features_reply(data: bytes, xid: int) -> Message:
    if len(data) != HEADER_SIZE + _FEATURES.size:
        raise bad_length(data, f"{HEADER_SIZE + _FEATURES.size}")
    types, capabilities, *rest = _FEATURES.unpack_from(data, HEADER_SIZE)
    return GroupFeaturesReply(types, capabilities, tuple(rest[:4]), tuple(rest[4:]), xid)


def _encode_features_reply(message: Any) -> Iterator[bytes]:
    yield _FEATURES.pack(message.types, message.capabilities, *message.max_groups, *message.actions)


_STATS_REQUEST: Final = Record(GroupStatsRequest, "group_id" / Int32ub, Padding(4))
_DESC_REQUEST: Final = Record(GroupDescRequest)
_FEATURES_REQUEST: Final = Record(GroupFeaturesRequest)

STATISTICS: Final = (
    Statistic(
        Stat.GROUP,
        GroupStatsRequest,
        _STATS_REQUEST.after(HEADER_SIZE),
        _STATS_REQUEST.encode,
        GroupStatsReply,
        _decode_stats_reply,
        _encode_stats_reply,
    ),
    Statistic(
        Stat.GROUP_DESC,
        GroupDescRequest,
        _DESC_REQUEST.after(HEADER_SIZE),
        _DESC_REQUEST.encode,
        GroupDescReply,
        _decode_desc_reply,
        _encode_desc_reply,
    ),
    Statistic(
        Stat.GROUP_FEATURES,
        GroupFeaturesRequest,
        _FEATURES_REQUEST.after(HEADER_SIZE),
        _FEATURES_REQUEST.encode,
        GroupFeaturesReply,
        _decode_features_reply,
        _encode_features_reply,
    ),
)
