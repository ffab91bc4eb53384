"""Frames: the eight bytes that every message starts with, and how a codec is put together.

A frame is one whole message, header included.  What follows its header is the business of one
module a concern (:mod:`agent.openflow.flows13`, :mod:`agent.openflow.stats10`, ...).  Each such
module declares its messages as a tuple of :class:`Kind`, decoder and encoder side by side over one
layout, and a version of the protocol (:mod:`agent.openflow.of10`, :mod:`agent.openflow.of13`) is
nothing but the sum of its modules.

Source: OpenFlow 1.0.1 section 5.1, OpenFlow 1.3.5 section 7.1.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import attrs
from construct import Int8ub, Int16ub, Int32ub

from agent.openflow.errors import REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.messages import Message
from agent.openflow.wire import Fixed

MIN_LENGTH: Final = 8
"""Bytes of a header, the least that a message has."""
MAX_LENGTH: Final = 0xFFFF
"""Bytes of the longest message: its length has 16 bits."""

HEADER: Final = Fixed(
    "version" / Int8ub,
    "type" / Int8ub,
    "length" / Int16ub,
    "xid" / Int32ub,
)
"""``ofp_header``."""


class Type10(enum.IntEnum):
    """``OFPT_*`` of OpenFlow 1.0."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    VENDOR = 4
    FEATURES_REQUEST = 5
    FEATURES_REPLY = 6
    GET_CONFIG_REQUEST = 7
    GET_CONFIG_REPLY = 8
    SET_CONFIG = 9
    PACKET_IN = 10
    FLOW_REMOVED = 11
    PORT_STATUS = 12
    PACKET_OUT = 13
    FLOW_MOD = 14
    PORT_MOD = 15
    STATS_REQUEST = 16
    STATS_REPLY = 17
    BARRIER_REQUEST = 18
    BARRIER_REPLY = 19
    QUEUE_GET_CONFIG_REQUEST = 20
    QUEUE_GET_CONFIG_REPLY = 21


class Type13(enum.IntEnum):
    """``OFPT_*`` of OpenFlow 1.3."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    EXPERIMENTER = 4
    FEATURES_REQUEST = 5
    FEATURES_REPLY = 6
    GET_CONFIG_REQUEST = 7
    GET_CONFIG_REPLY = 8
    SET_CONFIG = 9
    PACKET_IN = 10
    FLOW_REMOVED = 11
    PORT_STATUS = 12
    PACKET_OUT = 13
    FLOW_MOD = 14
    GROUP_MOD = 15
    PORT_MOD = 16
    TABLE_MOD = 17
    MULTIPART_REQUEST = 18
    MULTIPART_REPLY = 19
    BARRIER_REQUEST = 20
    BARRIER_REPLY = 21
    QUEUE_GET_CONFIG_REQUEST = 22
    QUEUE_GET_CONFIG_REPLY = 23
    ROLE_REQUEST = 24
    ROLE_REPLY = 25
    GET_ASYNC_REQUEST = 26
    GET_ASYNC_REPLY = 27
    SET_ASYNC = 28
    METER_MOD = 29


Decoder: TypeAlias = Callable[[bytes, int], Message]
"""``decoder(data, xid)``: a whole frame, of which at least the header is there, to a message.

:raises OpenFlowError: for whatever is wrong with it."""

Encoder: TypeAlias = Callable[[Any], bytes]
"""``encoder(message)``: what follows the header."""


@attrs.frozen
class Kind:
    """One type of message in one version.

    :ivar number: ``OFPT_*`` of the version.
    :ivar message: class of the value.
    """

    number: int
    message: type
    decode: Decoder
    encode: Encoder


def header(data: bytes, offset: int = 0) -> tuple[int, int, int, int]:
    """``(version, type, length, xid)`` of the message at ``offset``.

    The caller has seen to it that :data:`MIN_LENGTH` bytes are there.
    """
    version, kind, length, xid = HEADER.unpack_from(data, offset)
    return version, kind, length, xid


def bad_length(data: bytes, wanted: str) -> OpenFlowError:
    """The error for a message whose length does not suit its type."""
    return OpenFlowError(REQUEST_BAD_LEN, f"{len(data)} bytes, not {wanted}")


def empty(number: int, message: type[Any]) -> Kind:
    """The kind of a message that is a header and nothing else; ``message(xid)`` makes one."""

    def decode(data: bytes, xid: int) -> Message:
        if len(data) != MIN_LENGTH:
            raise bad_length(data, f"{MIN_LENGTH}")
        made: Message = message(xid)
        return made

    def encode(_: object) -> bytes:
        return b""

    return Kind(number, message, decode, encode)
