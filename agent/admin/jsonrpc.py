"""JSON-RPC 1.0 as Open vSwitch speaks it: JSON objects one after another, with nothing in between.

A request is ``{"id": ..., "method": "...", "params": [...]}`` and a reply ``{"id": ..., "result":
..., "error": ...}``, one of the last two being null.  There is no framing: an object ends where its
braces do, so the reader has to find that place itself.  :class:`ObjectReader` does, without parsing
and with a bound on length and depth; only then is the object given to :mod:`json`.

What a method does, and who may call it, is the business of :mod:`agent.admin.unixctl`.

Source: RFC 7047 section 4, which describes the protocol of Open vSwitch's database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

MAX_LENGTH: Final = 1 << 16
"""The greatest length of one object, in bytes."""

MAX_DEPTH: Final = 16
"""How many braces and brackets may be open at once."""

PIECE: Final = 1 << 16
"""How many characters of a text are encoded at once."""

_NOT_SPACE: Final = re.compile(rb"[^ \t\r\n]")
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'["\\]')


class MalformedError(ValueError):
    """The peer does not speak the protocol; there is no way to find the next object."""


class ObjectReader:
    """Cuts a stream of bytes into JSON objects.

    It is fed with what arrives and asked for one object at a time, so that whoever is busy with one
    need not look at the next.  Every byte is looked at once, however it arrives.
    """

    def __init__(self, max_length: int = MAX_LENGTH, max_depth: int = MAX_DEPTH) -> None:
        self._max_length = max_length
        self._max_depth = max_depth
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_string = False

    def __len__(self) -> int:
        """How many bytes wait to be taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what arrived."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next object; None when it is not there as a whole.

        It begins with a brace and its braces and brackets are as many as they should be; nothing
        else is certain.

        :raises MalformedError: for what cannot be an object, or is too long or too deep.  After
            that the reader is of no use.
        """
        buffer = self._buffer
        if not self._depth:
            start = _NOT_SPACE.search(buffer)
            del buffer[: start.start() if start else len(buffer)]
            if not buffer:
                return None
            if buffer[0] != ord("{"):
                raise MalformedError(f"an object cannot begin with {bytes(buffer[:1])!r}")
        end = self._scan()
        if (end or len(buffer)) > self._max_length:
            raise MalformedError(f"an object of more than {self._max_length} bytes")
        if end is None:
            return None
        found = bytes(buffer[:end])
        del buffer[:end]
        self._scanned = 0
        return found

    def _scan(self) -> int | None:
        """Go on looking for the end of the object at the start of the buffer."""
        buffer = self._buffer
        position = self._scanned
        while found := (_IN_STRING if self._in_string else _STRUCTURE).search(buffer, position):
            position = found.end()
            what = found[0]
            if what == b"\\":
                if position == len(buffer):
                    position -= 1  # what it escapes has not arrived yet
                    break
                position += 1
            elif what == b'"':
                self._in_string = not self._in_string
            elif what in b"{[":
                self._depth += 1
                if self._depth > self._max_depth:
                    raise MalformedError(f"nested more than {self._max_depth} deep")
            else:
                self._depth -= 1
                if not self._depth:
                    return position
        else:
            position = len(buffer)
        self._scanned = position
        return None


@attrs.frozen
class Request:
    """A request.

    :ivar id: what its reply repeats: any JSON value but null.
    :ivar method: the name of what to do.
    :ivar params: the arguments, any JSON values.
    """

    id: Any
    method: str
    params: Sequence[Any]


def parse_request(data: bytes) -> Request:
    """Parse one object as a request.

    :raises MalformedError: when it is anything else, also another kind of message: a notification
        cannot be answered, and nobody has asked for replies.
    """
    try:
        message = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    unknown = message.keys() - {"id", "method", "params", "result", "error"}
    if unknown:
        raise MalformedError(f"unexpected member {min(unknown)!r}")
    for name in ("result", "error"):
        if message.get(name) is not None:
            raise MalformedError(f"a request has no {name!r}")
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str):
        raise MalformedError("'method' is not a string")
    if not isinstance(params, list):
        raise MalformedError("'params' is not an array")
    if request_id is None:
        raise MalformedError("a request without an 'id'")
    return Request(request_id, method, params)


def _refuse_constant(name: str) -> None:
    """``NaN`` and its like, which Python's parser takes and JSON does not have."""
    raise ValueError(f"{name} is no number")


def encode_reply(request: Request, result: str) -> Iterator[bytes]:
    """The reply that ``request`` has succeeded, piece by piece: it may have many megabytes."""
    return _encode(request, "result", result, "error")


def encode_error(request: Request, error: str) -> Iterator[bytes]:
    """The reply that ``request`` has failed."""
    return _encode(request, "error", error, "result")


def _encode(request: Request, member: str, text: str, empty: str) -> Iterator[bytes]:
    head = f'{{"id":{json.dumps(request.id)},"{empty}":null,"{member}":"'
    yield head.encode("ascii") + _quoted(text[:PIECE]) + (b"" if len(text) > PIECE else b'"}')
    for start in range(PIECE, len(text), PIECE):
        yield _quoted(text[start : start + PIECE])
    if len(text) > PIECE:
        yield b'"}'


def _quoted(text: str) -> bytes:
    """The text as a part of a JSON string."""
    return json.dumps(_clean(text))[1:-1].encode("ascii")


def _clean(text: str) -> str:
    """The text without what a JSON string can hold but Open vSwitch's parser refuses."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
