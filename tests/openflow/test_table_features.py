"""Tests of :mod:`agent.openflow.table_features`."""

from __future__ import annotations

import struct
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.codec import decode, encode, encode_parts
from agent.openflow.errors import (
    TABLE_FEATURES_BAD_LEN,
    TABLE_FEATURES_BAD_TYPE,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.messages import (
    OFP13,
    TableFeatures,
    TableFeaturesReply,
    TableFeaturesRequest,
)
from agent.openflow.table_features import Property

_IDS = st.lists(st.integers(0, 0xFFFE), max_size=5).map(tuple)
_TABLES = st.lists(st.integers(0, 255), max_size=9).map(tuple)
_FIELDS = st.lists(st.integers(0, 0xFFFFFFFF), max_size=5).map(tuple)
_BY_KIND = {
    Property.NEXT_TABLES: _TABLES,
    Property.NEXT_TABLES_MISS: _TABLES,
    Property.MATCH: _FIELDS,
    Property.WILDCARDS: _FIELDS,
    Property.WRITE_SETFIELD: _FIELDS,
    Property.WRITE_SETFIELD_MISS: _FIELDS,
    Property.APPLY_SETFIELD: _FIELDS,
    Property.APPLY_SETFIELD_MISS: _FIELDS,
}

features = st.builds(
    TableFeatures,
    st.integers(0, 255),
    st.text("abc-_ 0é", max_size=15),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.fixed_dictionaries({}, optional={int(kind): _BY_KIND.get(kind, _IDS) for kind in Property}),
)


class TableFeaturesTests(SynchronousTestCase):
    """Both directions, and what is refused."""

    @given(st.lists(features, max_size=3).map(tuple))
    def test_round_trip(self, tables: tuple[TableFeatures, ...]) -> None:
        """What is encoded is decoded again, as a request and as a reply."""
        for message in (
            TableFeaturesRequest(tables, 7),
            TableFeaturesRequest(tables, 7, more=True),
            TableFeaturesReply(tables, 7),
        ):
            self.assertEqual(decode(OFP13, encode(OFP13, message)), message)

    def test_long_reply(self) -> None:
        """The features of many tables are several messages, each with whole tables."""
        wide = {int(Property.MATCH): tuple(range(500))}
        tables = tuple(TableFeatures(n, f"t{n}", 0, 0, 0, 1, wide) for n in range(60))
        parts = [
            cast(TableFeaturesReply, decode(OFP13, part))
            for part in encode_parts(OFP13, TableFeaturesReply(tables))
        ]
        self.assertGreater(len(parts), 1)
        self.assertEqual([part.more for part in parts], [True] * (len(parts) - 1) + [False])
        self.assertEqual(sum((part.tables for part in parts), ()), tables)

    def refused(self, table: bytes) -> ErrorCode:
        """The error for a request with these bytes behind the multipart header."""
        frame = struct.pack("!BBHIHHI", 4, 18, 16 + len(table), 1, 12, 0, 0) + table
        error: OpenFlowError = self.assertRaises(OpenFlowError, decode, OFP13, frame)
        return error.code

    def table(self, properties: bytes) -> bytes:
        """A table with these properties."""
        return struct.pack("!HB5x32sQQII", 64 + len(properties), 0, b"t", 0, 0, 0, 1) + properties

    def test_short(self) -> None:
        """A table shorter than its fixed part, or than it says, has a bad length."""
        self.assertIs(self.refused(bytes(63)), TABLE_FEATURES_BAD_LEN)
        self.assertIs(self.refused(self.table(b"")[:-8] + b"\xff" * 7), TABLE_FEATURES_BAD_LEN)
        self.assertIs(self.refused(struct.pack("!H", 72) + bytes(62)), TABLE_FEATURES_BAD_LEN)

    def test_bad_properties(self) -> None:
        """Lengths that do not fit, unknown types and repeated ones are refused."""
        for properties, code in (
            (struct.pack("!HH4x", 0, 0), TABLE_FEATURES_BAD_LEN),
            (struct.pack("!HH4x", 0, 9), TABLE_FEATURES_BAD_LEN),
            (struct.pack("!HHHH", 0, 8, 1, 0), TABLE_FEATURES_BAD_LEN),
            (struct.pack("!HHHH", 8, 6, 1, 0), TABLE_FEATURES_BAD_LEN),
            (struct.pack("!HH4x", 9, 4), TABLE_FEATURES_BAD_TYPE),
            (struct.pack("!HH4x", 0xFFFE, 4), TABLE_FEATURES_BAD_TYPE),
            (struct.pack("!HH4x", 2, 4) * 2, TABLE_FEATURES_BAD_TYPE),
        ):
            self.assertIs(self.refused(self.table(properties)), code, properties)
