"""Statistics (1.0) and multipart messages (1.3): requests, and replies of any length.

The two differ in the bytes before their body and in what statistics there are, so one
:class:`Multipart` serves both.  A reply that does not fit 65,535 bytes becomes several messages
with the same xid, all but the last with the flag MORE; one that has nothing to say is still one
message.  They come one by one, so that whoever sends a dump of a hundred thousand rules can pace
it.

A request in several parts is refused, but for the statistics which say they can take one.

An experimenter's statistics have the number 0xffff, and its own numbers behind the header, in every
part.  Where they mean what statistics of the version do, they are the same class of message, with
``nxm`` set.

Source: OpenFlow 1.0.1 section 5.3.5, OpenFlow 1.3.5 section 7.3.5.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import attrs
import construct
from construct import Int16ub, Int32ub

from agent.openflow.errors import (
    BAD_EXP_TYPE,
    BAD_EXPERIMENTER,
    BAD_STAT,
    MULTIPART_BUFFER_OVERFLOW,
    OpenFlowError,
)
from agent.openflow.frame import HEADER, MAX_LENGTH, Decoder, bad_length
from agent.openflow.messages import OFP10, Message
from agent.openflow.record import Record
from agent.openflow.wire import Fixed

MORE: Final = 1
"""``OFPSF_REPLY_MORE``, ``OFPMPF_REQ_MORE`` and ``OFPMPF_REPLY_MORE``."""
_FLAGS_AT: Final = 10
"""Offset of the 16 bits of flags in a message, the same in all versions."""
EXTENDED_SIZE: Final = 24
"""Bytes before the body of an experimenter's statistics, the same in all versions."""
_EXTENDED: Final = Fixed("experimenter" / Int32ub, "exp_type" / Int32ub)


class Stat(enum.IntEnum):
    """``OFPST_*`` and ``OFPMP_*``."""

    DESC = 0
    FLOW = 1
    AGGREGATE = 2
    TABLE = 3
    PORT = 4
    QUEUE = 5
    GROUP = 6
    GROUP_DESC = 7
    GROUP_FEATURES = 8
    METER = 9
    METER_CONFIG = 10
    METER_FEATURES = 11
    TABLE_FEATURES = 12
    PORT_DESC = 13
    EXPERIMENTER = 0xFFFF


@attrs.frozen
class Statistic:
    """One kind of statistics: a request and its reply.

    :ivar encode_request: to what follows the header of the multipart message.
    :ivar encode_reply: likewise, in pieces between which the reply may be cut.
    :ivar request_parts: whether a request may come in several parts.
    :ivar experimenter: whose statistics they are, and then ``number`` is its; 0: OpenFlow's.
    """

    number: int
    request: type
    decode_request: Decoder
    encode_request: Callable[[Any], bytes]
    reply: type
    decode_reply: Decoder
    encode_reply: Callable[[Any], Iterable[bytes]]
    request_parts: bool = False
    experimenter: int = 0

    @property
    def key(self) -> int:
        """One number for both."""
        return self.experimenter << 32 | self.number


_Encoder: TypeAlias = tuple[int, int, bytes, Callable[[Any], Iterable[bytes]]]
"""Type of the message, number of the statistics, what stands before the body, and the body."""


def one(number: int, at: int, request: Record[Any], reply: Record[Any]) -> Statistic:
    """Statistics whose request and reply are a record each, ``at`` bytes into the message."""
    return Statistic(
        number,
        request.value,
        request.after(at),
        request.encode,
        reply.value,
        reply.after(at),
        lambda message: (reply.encode(message),),
    )


def many(
    number: int, at: int, request: Record[Any], reply: type, element: Record[Any]
) -> Statistic:
    """Statistics whose request is a record and whose reply a list of them.

    :param reply: class of the reply, made of the list, the xid, and whether there is more.
    """
    name = attrs.fields(reply)[0].name

    def decode(data: bytes, xid: int) -> Message:
        message: Message = reply(element.decode_list(data, at), xid, has_more(data))
        return message

    def encode(message: Any) -> Iterator[bytes]:
        return element.encode_list(getattr(message, name))

    return Statistic(
        number, request.value, request.after(at), request.encode, reply, decode, encode
    )


def has_more(data: bytes) -> bool:
    """Whether a multipart message says that others follow."""
    return bool(data[_FLAGS_AT + 1] & MORE)


class Multipart:
    """The statistics of one version.

    :ivar request_type: ``OFPT_*`` of requests; likewise ``reply_type``.
    """

    def __init__(
        self,
        version: int,
        request_type: int,
        reply_type: int,
        padding: construct.Construct,
        statistics: Iterable[Statistic],
    ) -> None:
        """:param padding: what stands between the flags and the body."""
        self._version = version
        self.request_type = request_type
        self.reply_type = reply_type
        self._layout = Fixed(HEADER, "number" / Int16ub, "flags" / Int16ub, padding)
        self._requests: dict[int, Decoder] = {}
        self._replies: dict[int, Decoder] = {}
        self._request_parts: set[int] = set()
        self._experimenters: set[int] = set()
        self._encoders: dict[type, _Encoder] = {}
        self._extended: dict[type, _Encoder] = {}
        for statistic in statistics:
            self._add(statistic)

    def _add(self, statistic: Statistic) -> None:
        key, encode_request = statistic.key, statistic.encode_request
        self._requests[key] = statistic.decode_request
        self._replies[key] = statistic.decode_reply
        if statistic.request_parts:
            self._request_parts.add(key)
        encoders, number, extended = self._encoders, statistic.number, b""
        if statistic.experimenter:
            self._experimenters.add(statistic.experimenter)
            encoders, number = self._extended, int(Stat.EXPERIMENTER)
            extended = _EXTENDED.pack(statistic.experimenter, statistic.number)
            extended += bytes(EXTENDED_SIZE - self._layout.size - len(extended))
        encoders[statistic.request] = (
            self.request_type,
            number,
            extended,
            lambda message: (encode_request(message),),
        )
        encoders[statistic.reply] = (self.reply_type, number, extended, statistic.encode_reply)

    @property
    def messages(self) -> Iterable[type]:
        """The classes that :meth:`parts` encodes."""
        return self._encoders.keys() | self._extended.keys()

    def decode_request(self, data: bytes, xid: int) -> Message:
        """A request to a message.

        :raises OpenFlowError: REQUEST_BAD_LEN, BAD_STAT, BAD_EXPERIMENTER,
            MULTIPART_BUFFER_OVERFLOW for one of several parts, and what the statistics raise.
        """
        key = self._key(data)
        decoder = self._requests.get(key)
        if decoder is None:
            raise _unknown(key)
        # The flags of requests have no meaning in 1.0, and are ignored.
        if has_more(data) and key not in self._request_parts and self._version != OFP10:
            raise OpenFlowError(MULTIPART_BUFFER_OVERFLOW, "a request in several parts")
        return decoder(data, xid)

    def decode_reply(self, data: bytes, xid: int) -> Message:
        """A reply, or a part of it, to a message."""
        key = self._key(data)
        decoder = self._replies.get(key)
        if decoder is None:
            raise _unknown(key)
        return decoder(data, xid)

    def _key(self, data: bytes) -> int:
        """See :attr:`Statistic.key`."""
        size = self._layout.size
        if len(data) < size:
            raise bad_length(data, f"{size} or more")
        number = data[8] << 8 | data[9]
        if number != Stat.EXPERIMENTER:
            return number
        if len(data) < size + 4:
            raise bad_length(data, f"{size + 4} or more")
        experimenter = int.from_bytes(data[size : size + 4], "big")
        if experimenter not in self._experimenters:
            raise OpenFlowError(BAD_EXPERIMENTER, f"experimenter {experimenter:#x}")
        if len(data) < EXTENDED_SIZE:
            raise bad_length(data, f"{EXTENDED_SIZE} or more")
        return experimenter << 32 | int.from_bytes(data[size + 4 : size + 8], "big")

    def parts(self, message: Any) -> Iterator[bytes]:
        """The frames of a request or reply, at least one.

        :raises KeyError: for a message that is no statistics of this version.
        :raises ValueError: for a single element that is too long for any frame.
        """
        entry = self._encoders.get(type(message))
        if entry is None or getattr(message, "nxm", False):
            entry = self._extended.get(type(message), entry)
        if entry is None:
            raise KeyError(type(message).__name__)
        kind, number, extended, encode = entry
        room = MAX_LENGTH - self._layout.size - len(extended)
        body: list[bytes] = []
        size = 0
        for element in encode(message):
            size += len(element)
            if size > room:
                if len(element) > room:
                    raise ValueError(f"an element of {len(element)} bytes fits no message")
                yield self._part(kind, number, MORE, message.xid, extended, body)
                body = []
                size = len(element)
            body.append(element)
        more = MORE if getattr(message, "more", False) else 0
        yield self._part(kind, number, more, message.xid, extended, body)

    def _part(
        self, kind: int, number: int, flags: int, xid: int, extended: bytes, body: list[bytes]
    ) -> bytes:
        data = extended + b"".join(body)
        length = self._layout.size + len(data)
        return self._layout.pack(self._version, kind, length, xid, number, flags) + data


def _unknown(key: int) -> OpenFlowError:
    if key > Stat.EXPERIMENTER:
        return OpenFlowError(BAD_EXP_TYPE, f"statistics {key & 0xFFFFFFFF} of {key >> 32:#x}")
    return OpenFlowError(BAD_STAT, f"statistics {key}")
