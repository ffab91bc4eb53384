"""HELLO, ERROR, ECHO and EXPERIMENTER: the same in every version but for a few bytes.

HELLO and ERROR are what two switches and controllers of different versions can still say to each
other; the face of the codec decodes them whatever version their header has.

Experimenters' messages are not known here.  A module that knows those of one experimenter registers
an :class:`Extension`; what nobody registered is decoded to an
:class:`~agent.openflow.messages.Experimenter` that carries it unread, for the handler to refuse
with BAD_EXPERIMENTER.

Source: OpenFlow 1.0.1 sections 5.4.4 and 5.5, OpenFlow 1.3.5 sections 7.5.1 to 7.5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from construct import Int16ub, Int32ub

from agent.openflow.errors import REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.frame import MIN_LENGTH, Decoder, Encoder, Kind, bad_length
from agent.openflow.messages import (
    OFP10,
    OFP13,
    EchoReply,
    EchoRequest,
    ErrorMessage,
    Experimenter,
    Hello,
    Message,
)
from agent.openflow.wire import Fixed, TlvList

# --- HELLO ------------------------------------------------------------------------------------

VERSIONBITMAP: Final = 1
"""``OFPHET_VERSIONBITMAP``."""
_BITMAPS_FROM: Final = 4
"""Wire version of 1.3, which has a bitmap; before it the body of a HELLO had to be ignored."""
_ELEMENT: Final = Fixed("type" / Int16ub, "length" / Int16ub)
_ELEMENTS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=4, padded=True)


def _decode_hello(data: bytes, xid: int) -> Message:
    version = data[0]
    spoken = frozenset(range(1, version + 1))
    try:
        for kind, offset, length in _ELEMENTS.split(data, MIN_LENGTH, len(data) - MIN_LENGTH):
            if kind == VERSIONBITMAP:
                spoken = _versions(data[offset + _ELEMENT.size : offset + length]) or spoken
    except OpenFlowError:
        if version >= _BITMAPS_FROM:
            raise
    return Hello(spoken, xid)


def _versions(bitmaps: bytes) -> frozenset[int]:
    """The versions in a list of 32-bit bitmaps, lowest first; a version has 8 bits, and 0 is none.

    :raises OpenFlowError: REQUEST_BAD_LEN for half a bitmap.
    """
    if len(bitmaps) % 4:
        raise OpenFlowError(REQUEST_BAD_LEN, f"version bitmap of {len(bitmaps)} bytes")
    found: set[int] = set()
    for word in range(min(len(bitmaps) // 4, 8)):
        bits = int.from_bytes(bitmaps[4 * word : 4 * word + 4], "big")
        found.update(32 * word + bit for bit in range(32) if bits >> bit & 1)
    return frozenset(found - {0})


def _encode_hello(message: Hello) -> bytes:
    """The bitmap, unless an old version means just what the header says without it."""
    highest = max(message.versions)
    if highest < _BITMAPS_FROM and message.versions == set(range(1, highest + 1)):
        return b""
    bitmaps = b"".join(
        sum(1 << bit for bit in range(32) if 32 * word + bit in message.versions).to_bytes(4, "big")
        for word in range(highest // 32 + 1)
    )
    element = _ELEMENT.pack(VERSIONBITMAP, _ELEMENT.size + len(bitmaps)) + bitmaps
    return element + bytes(-len(element) % 8)


# --- ERROR and ECHO ---------------------------------------------------------------------------

_ERROR: Final = Fixed("type" / Int16ub, "code" / Int16ub)


def _decode_error(data: bytes, xid: int) -> Message:
    start = MIN_LENGTH + _ERROR.size
    if len(data) < start:
        raise bad_length(data, f"{start} or more")
    kind, code = _ERROR.unpack_from(data, MIN_LENGTH)
    return ErrorMessage(kind, code, data[start:], xid)


def _encode_error(message: ErrorMessage) -> bytes:
    return _ERROR.pack(message.type, message.code) + message.data


def _decode_echo_request(data: bytes, xid: int) -> Message:
    return EchoRequest(data[MIN_LENGTH:], xid)


def _decode_echo_reply(data: bytes, xid: int) -> Message:
    return EchoReply(data[MIN_LENGTH:], xid)


def _encode_echo(message: EchoRequest | EchoReply) -> bytes:
    return message.data


# --- EXPERIMENTER -----------------------------------------------------------------------------


@attrs.frozen
class Extension:
    """The messages of one experimenter (a vendor, in the words of 1.0).

    :ivar experimenter: its number, the same in every version.
    :ivar decode: ``decode(version, data, xid)``: a whole frame, whose experimenter is this one, to
        a message; raises :exc:`OpenFlowError`.
    :ivar encoders: by class of message, ``encode(version, message)`` to what follows the
        ``ofp_header``, the experimenter's number included.
    :ivar claims: for those of these classes which a version has in its own right as well,
        ``claims(version, message)``: whether this one is the experimenter's all the same.
    """

    experimenter: int
    decode: Callable[[int, bytes, int], Message]
    encoders: Mapping[type, Callable[[int, Any], bytes]]
    claims: Mapping[type, Callable[[int, Any], bool]] = attrs.Factory(dict)


_extensions: dict[int, Extension] = {}
_encoders: dict[type, Callable[[int, Any], bytes]] = {}
CLAIMS: Final[dict[type, Callable[[int, Any], bool]]] = {}
"""The claims of every extension."""


def register(extension: Extension) -> None:
    """Let the codec know the messages of an experimenter; done once, by the module that knows them.

    :raises ValueError: when the experimenter or a class of message is known already.
    """
    if extension.experimenter in _extensions or not _encoders.keys().isdisjoint(extension.encoders):
        raise ValueError(f"experimenter {extension.experimenter:#x} is registered twice")
    _extensions[extension.experimenter] = extension
    _encoders.update(extension.encoders)
    CLAIMS.update(extension.claims)


def extension_encoder(message: type) -> Callable[[int, Any], bytes] | None:
    """How a message of an experimenter is encoded; None when no one registered it."""
    return _encoders.get(message)


_VENDOR: Final = Fixed("experimenter" / Int32ub)
_EXPERIMENTER: Final = Fixed("experimenter" / Int32ub, "exp_type" / Int32ub)


def _experimenter(version: int, layout: Fixed) -> tuple[Decoder, Encoder]:
    """Decoder and encoder of the message with the given header."""
    start = MIN_LENGTH + layout.size

    def decode(data: bytes, xid: int) -> Message:
        if len(data) < start:
            raise bad_length(data, f"{start} or more")
        experimenter, *exp_type = layout.unpack_from(data, MIN_LENGTH)
        extension = _extensions.get(experimenter)
        if extension is not None:
            return extension.decode(version, data, xid)
        return Experimenter(experimenter, exp_type[0] if exp_type else 0, data[start:], xid)

    def encode(message: Experimenter) -> bytes:
        values = (message.experimenter, message.exp_type)
        return layout.pack(*values[: len(layout.names)]) + message.data

    return decode, encode


_COMMON: Final = (
    Kind(0, Hello, _decode_hello, _encode_hello),
    Kind(1, ErrorMessage, _decode_error, _encode_error),
    Kind(2, EchoRequest, _decode_echo_request, _encode_echo),
    Kind(3, EchoReply, _decode_echo_reply, _encode_echo),
)

KINDS10: Final = (*_COMMON, Kind(4, Experimenter, *_experimenter(OFP10, _VENDOR)))
"""What version 1.0 makes of it."""
KINDS13: Final = (*_COMMON, Kind(4, Experimenter, *_experimenter(OFP13, _EXPERIMENTER)))
"""What version 1.3 makes of it."""
