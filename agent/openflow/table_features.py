"""TABLE_FEATURES of OpenFlow 1.3: what each table can do, as a request to change it and as a reply.

Source: OpenFlow 1.3.5 section 7.3.5.5.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from functools import lru_cache
from struct import unpack_from
from typing import Any, Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import (
    TABLE_FEATURES_BAD_LEN,
    TABLE_FEATURES_BAD_TYPE,
    OpenFlowError,
)
from agent.openflow.messages import (
    Message,
    TableFeatures,
    TableFeaturesReply,
    TableFeaturesRequest,
)
from agent.openflow.multipart import Stat, Statistic, has_more
from agent.openflow.record import Record, text
from agent.openflow.stats13 import HEADER_SIZE
from agent.openflow.wire import Fixed, TlvList


class Property(enum.IntEnum):
    """``OFPTFPT_*``; those that end in MISS are about table-miss entries."""

    INSTRUCTIONS = 0
    INSTRUCTIONS_MISS = 1
    NEXT_TABLES = 2
    NEXT_TABLES_MISS = 3
    WRITE_ACTIONS = 4
    WRITE_ACTIONS_MISS = 5
    APPLY_ACTIONS = 6
    APPLY_ACTIONS_MISS = 7
    MATCH = 8
    WILDCARDS = 10
    WRITE_SETFIELD = 12
    WRITE_SETFIELD_MISS = 13
    APPLY_SETFIELD = 14
    APPLY_SETFIELD_MISS = 15


_TABLE: Final = Record(
    TableFeatures,
    "table_id" / Int8ub,
    Padding(5),
    "name" / Bytes(32),
    "metadata_match" / Int64ub,
    "metadata_write" / Int64ub,
    "config" / Int32ub,
    "max_entries" / Int32ub,
    adapters={"name": text(32)},
)
_LENGTH: Final = Fixed("length" / Int16ub)
_FIXED: Final = _LENGTH.size + _TABLE.size
_PROPERTY: Final = Fixed("type" / Int16ub, "length" / Int16ub)
_ID: Final = Fixed("type" / Int16ub, "length" / Int16ub)

_TABLES: Final = TlvList(
    bad_len=TABLE_FEATURES_BAD_LEN, minimum=_FIXED, type_at=None, length_at=0, most=255
)
_PROPERTIES: Final = TlvList(
    bad_len=TABLE_FEATURES_BAD_LEN, minimum=_PROPERTY.size, padded=True, most=64
)
_IDS: Final = TlvList(bad_len=TABLE_FEATURES_BAD_LEN, minimum=4, multiple=4, most=256)

NEXT_TABLES: Final = frozenset({Property.NEXT_TABLES, Property.NEXT_TABLES_MISS})
"""The properties that list tables."""
FIELDS: Final = frozenset(
    {
        Property.MATCH,
        Property.WILDCARDS,
        Property.WRITE_SETFIELD,
        Property.WRITE_SETFIELD_MISS,
        Property.APPLY_SETFIELD,
        Property.APPLY_SETFIELD_MISS,
    }
)
"""The properties that list headers of OXM fields."""

_KNOWN: Final = frozenset(Property)


def _decode_table(data: bytes, offset: int, length: int) -> TableFeatures:
    properties: dict[int, tuple[int, ...]] = {}
    for kind, at, size in _PROPERTIES.split(data, offset + _FIXED, length - _FIXED):
        if kind in properties:
            raise OpenFlowError(TABLE_FEATURES_BAD_TYPE, f"property {kind} twice")
        properties[kind] = _decode_property(kind, data, at + _PROPERTY.size, size - _PROPERTY.size)
    return _TABLE.decode(data, offset + _LENGTH.size, properties=properties)


def _decode_property(kind: int, data: bytes, offset: int, length: int) -> tuple[int, ...]:
    if kind in NEXT_TABLES:
        return tuple(data[offset : offset + length])
    if kind in FIELDS:
        if length % 4:
            raise OpenFlowError(TABLE_FEATURES_BAD_LEN, f"{length} bytes of field headers")
        return unpack_from(f">{length // 4}I", data, offset)
    if kind not in _KNOWN:
        raise OpenFlowError(TABLE_FEATURES_BAD_TYPE, f"property {kind}")
    return tuple(number for number, _, _ in _IDS.split(data, offset, length))


def _encode_table(table: TableFeatures) -> bytes:
    body = _TABLE.encode(table)
    body += b"".join(_encode_property(kind, ids) for kind, ids in table.properties.items())
    return _LENGTH.pack(_LENGTH.size + len(body)) + body


@lru_cache(256)
def _encode_property(kind: int, numbers: tuple[int, ...]) -> bytes:
    """Remembered: the 254 tables of a switch have most of their properties in common."""
    if kind in NEXT_TABLES:
        value = bytes(numbers)
    elif kind in FIELDS:
        value = b"".join(number.to_bytes(4, "big") for number in numbers)
    else:
        value = b"".join(_ID.pack(number, _ID.size) for number in numbers)
    value = _PROPERTY.pack(kind, _PROPERTY.size + len(value)) + value
    return value + bytes(-len(value) % 8)


def _decode(data: bytes) -> tuple[TableFeatures, ...]:
    return tuple(
        _decode_table(data, at, size)
        for _, at, size in _TABLES.split(data, HEADER_SIZE, len(data) - HEADER_SIZE)
    )


def _decode_request(data: bytes, xid: int) -> Message:
    return TableFeaturesRequest(_decode(data), xid, has_more(data))


def _decode_reply(data: bytes, xid: int) -> Message:
    return TableFeaturesReply(_decode(data), xid, has_more(data))


def _encode(message: Any) -> Iterator[bytes]:
    return (_encode_table(table) for table in message.tables)


STATISTICS: Final = (
    Statistic(
        Stat.TABLE_FEATURES,
        TableFeaturesRequest,
        _decode_request,
        lambda message: b"".join(_encode(message)),
        TableFeaturesReply,
        _decode_reply,
        _encode,
        request_parts=True,
    ),
)
