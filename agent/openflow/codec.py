"""The face of the wire codec: frames to messages, messages to frames.

Nothing else of this package needs to be known to talk OpenFlow: :func:`header` for whoever cuts a
stream of bytes into frames, :func:`decode`, :func:`encode` and :func:`encode_error` for whoever
speaks.  Both directions of every message are decoded and encoded, so that the same code serves the
switch, its tests and tools which play the controller.

A codec has no state: the version is a parameter, as it is the connection that has agreed on one.
HELLO and ERROR are decoded whatever version their header has, since they are what peers say who
have not agreed, or cannot.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from agent.openflow import of10, of13
from agent.openflow.errors import (
    BAD_TYPE,
    BAD_VERSION,
    HELLO_EPERM,
    HELLO_INCOMPATIBLE,
    REQUEST_BAD_LEN,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.frame import (
    HEADER,
    MAX_LENGTH,
    MIN_LENGTH,
    Decoder,
    Encoder,
    Kind,
    Type10,
    Type13,
    header,
)
from agent.openflow.messages import OFP10, OFP13, ErrorMessage, Hello, Message
from agent.openflow.multipart import Multipart
from agent.openflow.nicira.actions import register_actions
from agent.openflow.nicira.session import EXTENSIONS
from agent.openflow.symmetric import CLAIMS, extension_encoder, register

__all__ = [
    "ERROR_DATA",
    "MAX_LENGTH",
    "MIN_LENGTH",
    "VERSIONS",
    "Message",
    "decode",
    "encode",
    "encode_error",
    "encode_parts",
    "header",
    "type_name",
]

VERSIONS: Final = frozenset({OFP10, OFP13})
"""The wire versions that this codec speaks."""

ERROR_DATA: Final = 64
"""Bytes of the offending request which an error carries (or all of it, if it has fewer): the least
that the specification allows, and what Open vSwitch sends."""

_TYPES: Final = {OFP10: Type10, OFP13: Type13}
_HELLO: Final = Type13.HELLO.value
_ERROR: Final = Type13.ERROR.value
_EXPERIMENTER: Final = Type13.EXPERIMENTER.value

_decoders: Final[dict[tuple[int, int], Decoder]] = {}
_encoders: Final[dict[tuple[int, type], tuple[int, Encoder]]] = {}
_parts: Final[dict[tuple[int, type], Callable[[Any], Iterator[bytes]]]] = {}


def _learn(version: int, kinds: tuple[Kind, ...], statistics: Multipart) -> None:
    for kind in kinds:
        _decoders[version, int(kind.number)] = kind.decode
        _encoders[version, kind.message] = (int(kind.number), kind.encode)
    _decoders[version, int(statistics.request_type)] = statistics.decode_request
    _decoders[version, int(statistics.reply_type)] = statistics.decode_reply
    for message in statistics.messages:
        _parts[version, message] = statistics.parts


_learn(OFP10, of10.KINDS, of10.STATISTICS)
_learn(OFP13, of13.KINDS, of13.STATISTICS)
register_actions()
for _extension in EXTENSIONS:
    register(_extension)

_unpack_header: Final = HEADER.unpack_from
_pack_header: Final = HEADER.pack


def decode(version: int, data: bytes) -> Message:
    """One frame to the message it is.

    :param version: what the connection has agreed on; of HELLO and ERROR, which may come before
        and after, any.
    :param data: the whole frame, header included.
    :raises OpenFlowError: with the type and code that the specification has for what is wrong:
        REQUEST_BAD_LEN, BAD_VERSION, BAD_TYPE, BAD_STAT, ..., and those of matches, actions and
        instructions.  No other exception, whatever the bytes.
    """
    size = len(data)
    if size < MIN_LENGTH:
        raise OpenFlowError(REQUEST_BAD_LEN, f"{size} bytes, less than a header")
    seen, kind, length, xid = _unpack_header(data)
    if length != size:
        raise OpenFlowError(REQUEST_BAD_LEN, f"{size} bytes, where the header says {length}")
    if seen != version or version not in VERSIONS:
        if kind > _ERROR:
            raise OpenFlowError(BAD_VERSION, f"version {seen}, expected {version}")
        version = OFP13
    decoder = _decoders.get((version, kind))
    if decoder is None:
        raise OpenFlowError(BAD_TYPE, f"type {kind}")
    return decoder(data, xid)


def encode(version: int, message: Message) -> bytes:
    """A message to its frame; a long reply to several frames, one behind the other.

    :raises ValueError: for a message that the version does not have, for a number that does not
        fit its field, and for what fits no frame.
    :raises OpenFlowError: for a port, match or action that the version has no way to say.
    """
    parts = _parts.get((version, type(message)))
    try:
        return _encode_one(version, message) if parts is None else b"".join(parts(message))
    except struct.error as error:
        raise ValueError(f"{type(message).__name__}: {error}") from error


def encode_parts(version: int, message: Message) -> Iterator[bytes]:
    """Like :func:`encode`, but one frame at a time: a long reply need not be made all at once."""
    parts = _parts.get((version, type(message)))
    try:
        if parts is None:
            yield _encode_one(version, message)
        else:
            yield from parts(message)
    except struct.error as error:
        raise ValueError(f"{type(message).__name__}: {error}") from error


def _encode_one(version: int, message: Any) -> bytes:
    found = _encoders.get((version, type(message)))
    claim = CLAIMS.get(type(message))
    if found is not None and (claim is None or not claim(version, message)):
        kind, encoder = found
        body = encoder(message)
        if kind == _HELLO:
            version = _hello_version(message)
    else:
        extension = extension_encoder(type(message))
        if extension is None:
            raise ValueError(f"OpenFlow version {version} has no {type(message).__name__}")
        kind, body = _EXPERIMENTER, extension(version, message)
    return _pack_header(version, kind, MIN_LENGTH + len(body), message.xid) + body


def _hello_version(message: Hello) -> int:
    """A HELLO has the highest version that its sender speaks, not the one agreed on."""
    return max(message.versions)


def encode_error(
    version: int, code: ErrorCode, request: bytes, text: str = "", xid: int | None = None
) -> bytes:
    """The error message that refuses a request.

    :param request: the whole request, or as much of it as there is.
    :param text: what went wrong, for people; sent only where the specification says that the data
        is a text, which is HELLO_FAILED.
    :param xid: of the request; by default what its header says, or 0 when it has none.
    """
    if xid is None:
        xid = header(request)[3] if len(request) >= MIN_LENGTH else 0
    kind, number = code.numbers(version)
    if code in (HELLO_INCOMPATIBLE, HELLO_EPERM):
        data = text.encode("ascii", "replace")[: MAX_LENGTH // 2]
    else:
        data = code.prefix(version) + request[:ERROR_DATA]
    return encode(version, ErrorMessage(kind, number, data, xid))


def type_name(version: int, kind: int) -> str:
    """The name of a type of message as Open vSwitch prints it: ``OFPT_FLOW_MOD``.

    :param kind: the number in the header; one without a name gives ``OFPT_UNKNOWN(77)``.
    """
    try:
        return f"OFPT_{_TYPES[version](kind).name}"
    except (KeyError, ValueError):
        return f"OFPT_UNKNOWN({kind})"
