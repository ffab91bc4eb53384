"""Tests for :mod:`agent.openflow.wire`."""

from __future__ import annotations

import struct
from typing import Any

import construct
from construct import Bytes, Int8sb, Int8ub, Int16ub, Int24ub, Int32ub, Int64ub, Padding
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import ACTION_BAD_LEN, TOO_MANY, OpenFlowError
from agent.openflow.wire import MAX_DEPTH, Fixed, TlvList

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))


class FixedTests(SynchronousTestCase):
    """A run of fields is a construct, and fast."""

    def setUp(self) -> None:
        """The same fields, fused and not."""
        fields = (
            "a" / Int8ub,
            Padding(1),
            "b" / Int16ub,
            "c" / Bytes(6),
            "d" / Int32ub,
            Padding(3),
            "e" / Int64ub,
        )
        self.fixed = Fixed(*fields)
        self.plain = construct.Struct(*fields)

    @given(U8, U16, st.binary(min_size=6, max_size=6), U32, U64)
    def test_like_struct(self, a: int, b: int, c: bytes, d: int, e: int) -> None:
        """It builds and parses what construct's own Struct does; the fast face agrees."""
        values = {"a": a, "b": b, "c": c, "d": d, "e": e}
        data = self.plain.build(values)
        self.assertEqual(self.fixed.build(values), data)
        self.assertEqual(self.fixed.pack(a, b, c, d, e), data)
        self.assertEqual(dict(self.fixed.parse(data)), values)
        self.assertEqual(self.fixed.unpack_from(b"\xff" * 3 + data, 3), (a, b, c, d, e))
        self.assertEqual(self.fixed.size, len(data))
        self.assertEqual(self.fixed.sizeof(), len(data))
        self.assertEqual(self.fixed.names, ("a", "b", "c", "d", "e"))

    def test_padding_ignored(self) -> None:
        """What is in the padding does not matter."""
        data = bytearray(self.fixed.pack(1, 2, b"abcdef", 3, 4))
        data[1] = data[14] = 0xFF
        self.assertEqual(self.fixed.unpack_from(data), (1, 2, b"abcdef", 3, 4))

    def test_inside_struct(self) -> None:
        """It is an ordinary element of a Struct."""
        outer = construct.Struct("head" / self.fixed, "rest" / construct.GreedyBytes)
        data = self.fixed.pack(1, 2, b"abcdef", 3, 4) + b"more"
        found = outer.parse(data)
        self.assertEqual((found.head.d, found.rest), (3, b"more"))
        self.assertEqual(outer.build(found), data)

    def test_nested(self) -> None:
        """The fields of a Fixed in a Fixed are fields of the outer one."""
        header = Fixed("type" / Int16ub, "length" / Int16ub)
        whole = Fixed(header, "value" / Int32ub)
        self.assertEqual(whole.names, ("type", "length", "value"))
        self.assertEqual(whole.unpack_from(bytes.fromhex("0001000200000003")), (1, 2, 3))

    def test_signed(self) -> None:
        """Signed integers keep their sign."""
        self.assertEqual(Fixed("a" / Int8sb).unpack_from(b"\xff"), (-1,))

    def test_cut_short(self) -> None:
        """As a construct it says that bytes are missing; the fast face leaves that to struct."""
        self.assertRaises(construct.StreamError, self.fixed.parse, bytes(self.fixed.size - 1))
        self.assertRaises(struct.error, self.fixed.unpack_from, bytes(self.fixed.size - 1))

    def test_value_too_large(self) -> None:
        """A value that does not fit is a construct's error when it is built."""
        fixed = Fixed("a" / Int8ub)
        self.assertRaises(construct.FormatFieldError, fixed.build, {"a": 256})

    def test_not_fixed(self) -> None:
        """What is not fixed, not named, little-endian or named twice is refused at import."""
        wrong: list[tuple[Any, ...]] = [
            ("a" / construct.VarInt,),
            (Int8ub,),
            ("a" / construct.Int16ul,),
            ("a" / Bytes(construct.this.n),),
            ("a" / Int24ub,),
            ("a" / Int8ub, "a" / Int8ub),
        ]
        for subcons in wrong:
            self.assertRaises(ValueError, Fixed, *subcons)


def element(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    """One TLV, with a length that may be wrong."""
    return struct.pack(">HH", kind, len(body) + 4 if length is None else length) + body


class TlvListTests(SynchronousTestCase):
    """A list of TLVs is cut exactly, or refused."""

    def setUp(self) -> None:
        """A list of actions, more or less."""
        self.list = TlvList(bad_len=ACTION_BAD_LEN, most=4, too_many=TOO_MANY)

    def assertRefused(self, data: bytes, code: object = ACTION_BAD_LEN, depth: int = 0) -> None:
        """The bytes are no list, for this reason."""
        error = self.assertRaises(OpenFlowError, self.list.split, data, 0, len(data), depth)
        self.assertIs(error.code, code)

    def test_empty(self) -> None:
        """No bytes are no elements."""
        self.assertEqual(self.list.split(b"", 0, 0), [])

    def test_split(self) -> None:
        """Each element comes with its type, its place and its length."""
        data = b"before" + element(1, bytes(4)) + element(0xFFFF, bytes(12)) + b"after"
        self.assertEqual(self.list.split(data, 6, 24), [(1, 6, 8), (0xFFFF, 14, 16)])

    def test_zero_length(self) -> None:
        """An element of length zero ends in an error, not in an endless loop."""
        self.assertRefused(element(1, bytes(4), 0))

    def test_lengths(self) -> None:
        """A length below the minimum, beyond the end, or no multiple is refused."""
        for length in (1, 4, 7, 9, 12, 15, 16, 24, 0xFFFF, 0xFFF8):
            self.assertRefused(element(1, bytes(4), length))

    def test_left_over(self) -> None:
        """Bytes behind the last element are refused."""
        for extra in range(1, 8):
            self.assertRefused(element(1, bytes(4)) + bytes(extra))

    def test_missing(self) -> None:
        """A list that has more bytes than there are is refused before it is read."""
        data = element(1, bytes(4))
        error = self.assertRaises(OpenFlowError, self.list.split, data, 0, 16)
        self.assertIs(error.code, ACTION_BAD_LEN)
        error = self.assertRaises(OpenFlowError, self.list.split, data, 8, 8)
        self.assertIs(error.code, ACTION_BAD_LEN)

    def test_too_many(self) -> None:
        """There is a greatest number of elements."""
        one = element(1, bytes(4))
        self.assertEqual(len(self.list.split(one * 4, 0, 32)), 4)
        self.assertRefused(one * 5, TOO_MANY)

    def test_padded(self) -> None:
        """Where the length leaves out the padding, the padding is skipped, and must be there."""
        padded = TlvList(bad_len=ACTION_BAD_LEN, minimum=4, padded=True)
        data = element(1, b"abc") + bytes(1) + element(2)
        self.assertRaises(OpenFlowError, padded.split, data, 0, len(data))
        data += bytes(4)
        self.assertEqual(padded.split(data, 0, len(data)), [(1, 0, 7), (2, 8, 4)])

    def test_without_type(self) -> None:
        """Elements may begin with their length, as buckets do."""
        buckets = TlvList(bad_len=ACTION_BAD_LEN, minimum=16, type_at=None, length_at=0)
        data = (b"\0\x10" + bytes(14)) * 2
        self.assertEqual(buckets.split(data, 0, 32), [(0, 0, 16), (0, 16, 16)])

    def test_no_room_for_header(self) -> None:
        """A minimum that does not hold the header is a mistake of the programmer."""
        self.assertRaises(ValueError, TlvList, bad_len=ACTION_BAD_LEN, minimum=2)
        self.assertRaises(ValueError, TlvList, bad_len=ACTION_BAD_LEN, minimum=8, length_at=7)

    @given(st.binary(max_size=64))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever the bytes, the elements are all of them, in order, or there is an error."""
        try:
            found = self.list.split(data, 0, len(data))
        except OpenFlowError:
            return
        self.assertEqual(b"".join(data[at : at + size] for _, at, size in found), data)

    @given(st.lists(st.tuples(U16, st.integers(0, 3).map(lambda n: bytes(4 + 8 * n))), max_size=4))
    def test_construct(self, elements: list[tuple[int, bytes]]) -> None:
        """As a construct it parses with the construct of an element, and builds the same bytes."""
        one = construct.Struct("head" / Fixed("t" / Int16ub, "l" / Int16ub), "body" / Bytes(4))
        rest = construct.Struct(*one.subcons, "rest" / construct.GreedyBytes)
        tlvs = TlvList(rest, bad_len=ACTION_BAD_LEN)
        data = b"".join(element(kind, body) for kind, body in elements)
        found = tlvs.parse(data)
        self.assertEqual([tlv.head.t for tlv in found], [kind for kind, _ in elements])
        self.assertEqual(tlvs.build(found), data)
        self.assertRaises(construct.SizeofError, tlvs.sizeof)

    def test_construct_padded(self) -> None:
        """The padding that the length leaves out is added when it is built."""
        tlvs = TlvList(bad_len=ACTION_BAD_LEN, minimum=4, padded=True)
        self.assertEqual(tlvs.build([element(1, b"abc")]), element(1, b"abc") + bytes(1))

    def test_depth(self) -> None:
        """Lists in lists are read so deep and no deeper, whatever the elements say."""
        data = b""
        for _ in range(MAX_DEPTH - 1):
            data = element(1, data)
        nested: Any = TlvList(
            construct.Struct(
                "head" / Fixed("t" / Int16ub, "l" / Int16ub),
                "inner" / construct.LazyBound(lambda: nested),
            ),
            bad_len=ACTION_BAD_LEN,
            minimum=4,
            multiple=1,
        )
        self.assertEqual(nested.build(nested.parse(data)), data)
        error = self.assertRaises(OpenFlowError, nested.parse, element(1, data))
        self.assertIs(error.code, ACTION_BAD_LEN)
        self.assertRefused(b"", depth=MAX_DEPTH)
