"""Tests of :mod:`agent.admin.jsonrpc`."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.jsonrpc import (
    MAX_DEPTH,
    PIECE,
    MalformedError,
    ObjectReader,
    Request,
    encode_error,
    encode_reply,
    parse_request,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def read_all(reader: ObjectReader) -> list[bytes]:
    """Every object that is there."""
    return list(iter(reader.next, None))


class ObjectReaderTests(SynchronousTestCase):
    """Where an object ends."""

    @given(st.lists(OBJECTS, max_size=4), st.lists(st.integers(0, 200), max_size=6), st.booleans())
    def test_cuts(self, objects: list[Any], cuts: list[int], ascii_only: bool) -> None:
        """Objects come out whole and in order, however the stream is cut, and whatever is between
        them and in their strings."""
        texts = [json.dumps(value, ensure_ascii=ascii_only, indent=1) for value in objects]
        data = " \r\n".join(texts).encode("utf-8", "surrogatepass")
        reader = ObjectReader(max_depth=100)
        found = []
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            reader.feed(data[start:end])
            found += read_all(reader)
        self.assertEqual([one.decode("utf-8", "surrogatepass") for one in found], texts)
        self.assertEqual(len(reader), 0)

    def test_one_byte_at_a_time(self) -> None:
        """Braces and quotes inside strings do not count, also where the escape and what it escapes
        arrive apart."""
        data = rb'{"a}": "{\"}\\", "b": [{}]}'
        reader = ObjectReader()
        for byte in data[:-1]:
            reader.feed(bytes([byte]))
            self.assertIsNone(reader.next())
        reader.feed(data[-1:])
        self.assertEqual(reader.next(), data)

    def test_one_at_a_time(self) -> None:
        """What is behind an object stays until it is asked for."""
        reader = ObjectReader()
        reader.feed(b'{"a": 1}{"b": 2}{')
        self.assertEqual(reader.next(), b'{"a": 1}')
        self.assertEqual(len(reader), 9)
        self.assertEqual(reader.next(), b'{"b": 2}')
        self.assertIsNone(reader.next())

    def test_not_an_object(self) -> None:
        """Anything but a brace at the start is refused."""
        for data in (b"[]", b"null", b'"', b"}", b"\x16\x03\x01", b"  GET / HTTP/1.1"):
            reader = ObjectReader()
            reader.feed(data)
            self.assertRaises(MalformedError, reader.next)

    def test_too_long(self) -> None:
        """An object of just the greatest length is taken; a byte more is refused, whether the end
        is there or not."""
        whole = b'{"a": "%s"}' % (b"x" * 90)
        for data, fits in ((whole, True), (whole + b" ", True), (b" " * 200 + whole, True)):
            reader = ObjectReader(max_length=len(whole))
            reader.feed(data)
            self.assertEqual(reader.next() is not None, fits)
        for data in (whole, whole[:-1], b'{"a": "' + b"x" * 1000):
            reader = ObjectReader(max_length=len(whole) - 2)
            reader.feed(data)
            self.assertRaises(MalformedError, reader.next)

    def test_too_deep(self) -> None:
        """Braces and brackets may be open up to the limit, whatever their kind."""
        reader = ObjectReader()
        reader.feed(b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}")
        self.assertIsNotNone(reader.next())
        reader.feed(b'{"a":' + b"[" * MAX_DEPTH)
        self.assertRaises(MalformedError, reader.next)

    @given(st.lists(st.binary(max_size=40), max_size=20))
    def test_rubbish(self, pieces: list[bytes]) -> None:
        """Any bytes give objects, nothing, or the one error."""
        reader = ObjectReader(max_length=100)
        for piece in pieces:
            reader.feed(piece)
            try:
                for found in read_all(reader):
                    self.assertTrue(found.startswith(b"{"))
            except MalformedError:
                return
            self.assertLessEqual(len(reader), 100)


class RequestTests(SynchronousTestCase):
    """What a request is."""

    def test_request(self) -> None:
        """A request as ovs-appctl sends it."""
        data = b'{"id":0,"method":"vlog/set","params":["ANY","x"]}'
        self.assertEqual(parse_request(data), Request(0, "vlog/set", ["ANY", "x"]))

    def test_null_members(self) -> None:
        """A result and an error may be there, as long as there is nothing in them."""
        data = b'{"id":"a","method":"version","params":[],"result":null,"error":null}'
        self.assertEqual(parse_request(data), Request("a", "version", []))

    def test_refused(self) -> None:
        """Everything else is refused, with a text that says why."""
        for data, why in (
            (b"{]", "not JSON"),
            (b'{"id":NaN,"method":"a","params":[]}', "NaN"),
            (b'{"id":' + b"1" * 5000 + b',"method":"a","params":[]}', "not JSON"),
            (b'{"id":1,"method":"\xff","params":[]}', "not JSON"),
            (b'{"id":1,"method":7,"params":[]}', "method"),
            (b'{"id":1,"params":[]}', "method"),
            (b'{"id":1,"method":"a"}', "params"),
            (b'{"id":1,"method":"a","params":{}}', "params"),
            (b'{"id":null,"method":"a","params":[]}', "id"),
            (b'{"id":1,"result":"","error":null}', "result"),
            (b'{"id":1,"result":null,"error":"x"}', "error"),
            (b'{"id":1,"method":"a","params":[],"jsonrpc":"2.0"}', "jsonrpc"),
        ):
            error = self.assertRaises(MalformedError, parse_request, data)
            self.assertIn(why, str(error))

    @given(VALUES.filter(lambda value: value is not None), st.text())
    def test_replies(self, request_id: Any, text: str) -> None:
        """A reply repeats the id; its text arrives but for what Open vSwitch's parser refuses."""
        request = Request(request_id, "a", [])
        clean = text.replace("\0", "\ufffd")
        for encode, member, other in (
            (encode_reply, "result", "error"),
            (encode_error, "error", "result"),
        ):
            data = b"".join(encode(request, text))
            self.assertTrue(data.isascii())
            message = json.loads(data)
            self.assertEqual(message["id"], request_id)
            self.assertIsNone(message[other])
            self.assertEqual(message[member], clean)

    def test_long_replies(self) -> None:
        """A long text comes in pieces of bounded length, and together they are the reply."""
        for length in (PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7):
            text = ('"\u00fc\n' * length)[:length]
            pieces = list(encode_reply(Request(1, "a", []), text))
            self.assertLess(max(map(len, pieces)), 6 * PIECE + 100)
            self.assertEqual(json.loads(b"".join(pieces)), {"id": 1, "error": None, "result": text})

    def test_half_a_character(self) -> None:
        """A lone surrogate, which JSON can write and Open vSwitch does not read, is replaced."""
        message = json.loads(b"".join(encode_reply(Request(1, "a", []), "x\ud800y")))
        self.assertEqual(message["result"], "x?y")
