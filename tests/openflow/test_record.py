"""Records: layout, decoder and encoder in one declaration."""

from __future__ import annotations

import attrs
from construct import Bytes, Int8ub, Int16ub, Padding
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.record import MAC, Record, text


@attrs.define
class Thing:
    """A value with a field that is not on the wire, and one in another order."""

    name: str
    number: int
    elsewhere: int = 7
    xid: int = 0


THING = Record(Thing, "number" / Int16ub, Padding(2), "name" / Bytes(4), adapters={"name": text(4)})


class RecordTests(SynchronousTestCase):
    """What a record makes of bytes, and of values."""

    def test_round_trip(self) -> None:
        """Fields go by name; those that are not in the layout have their defaults."""
        data = THING.encode(Thing("ab", 0x1234, 99, 5))
        self.assertEqual(data, b"\x12\x34\0\0ab\0\0")
        self.assertEqual(THING.decode(b"??" + data, 2, xid=5), Thing("ab", 0x1234, 7, 5))

    def test_list(self) -> None:
        """A list goes to the end; half a record is REQUEST_BAD_LEN."""
        things = [Thing("a", 1), Thing("b", 2)]
        data = b"".join(THING.encode_list(things))
        self.assertEqual(THING.decode_list(b"head" + data, 4), things)
        self.assertEqual(THING.decode_list(b"head", 4), [])
        error = self.assertRaises(OpenFlowError, THING.decode_list, data[:-1], 0)
        self.assertEqual(error.code, REQUEST_BAD_LEN)

    def test_unknown_name(self) -> None:
        """A layout with a name that the value lacks, or an adapter for none, is not accepted."""
        self.assertRaises(ValueError, Record, Thing, "nmae" / Int8ub)
        self.assertRaises(ValueError, Record, Thing, "number" / Int8ub, adapters={"name": MAC})


class TextTests(SynchronousTestCase):
    """Strings of limited length."""

    def test_cut(self) -> None:
        """What is too long is cut so that a NUL still follows."""
        decode, encode = text(8)
        self.assertEqual(encode("1234567"), b"1234567")
        self.assertEqual(encode("12345678"), b"1234567")
        self.assertEqual(decode(b"1234567\0"), "1234567")

    def test_cut_between_characters(self) -> None:
        """It is cut between characters, however many bytes they take."""
        _, encode = text(8)
        self.assertEqual(encode("äöüä"), "äöü".encode())
        self.assertEqual(encode("123456ä"), b"123456")
        self.assertEqual(encode("1234\U0001f600"), b"1234")

    def test_rubbish(self) -> None:
        """Bytes that are not UTF-8, and halves of surrogate pairs, are replaced; NUL ends it."""
        decode, encode = text(8)
        self.assertEqual(decode(b"a\xffb\0cd\xff\0"), "a\ufffdb")
        self.assertEqual(decode(b"12345678"), "12345678")
        self.assertEqual(encode("a\ud800"), b"a?")

    @given(st.text(), st.integers(1, 40))
    def test_always_fits(self, value: str, size: int) -> None:
        """Any string gives valid UTF-8 with room for a NUL, a beginning of the string's own."""
        _, encode = text(size)
        data = encode(value)
        self.assertLess(len(data), size)
        self.assertTrue(value.encode("utf-8", "replace").startswith(data))
        data.decode()


class MacTests(SynchronousTestCase):
    """Hardware addresses."""

    def test_mac(self) -> None:
        """Six bytes are a number, the first byte the highest."""
        decode, encode = MAC
        self.assertEqual(decode(b"\x0a\0\0\0\0\x01"), 0x0A0000000001)
        self.assertEqual(encode(0x0A0000000001), b"\x0a\0\0\0\0\x01")
