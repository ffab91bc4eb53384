"""QUEUE_GET_CONFIG in both versions: which queues a port has, and their rates.

The reply is a list of queues, each a list of properties; a property which is not a rate
(experimenters' ones, ``OFPQT_NONE`` of 1.0) is skipped.  The counters of queues are statistics
(:mod:`agent.openflow.stats10`, :mod:`agent.openflow.stats13`).

Source: OpenFlow 1.0.1 sections 5.2.2 and 5.3.4, OpenFlow 1.3.5 sections 7.2.2 and 7.3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from construct import Int16ub, Int32ub, Padding

from agent.openflow.errors import REQUEST_BAD_LEN
from agent.openflow.frame import MIN_LENGTH, Kind, Type10, Type13, bad_length
from agent.openflow.messages import (
    Message,
    PacketQueue,
    QueueGetConfigReply,
    QueueGetConfigRequest,
)
from agent.openflow.portdesc import PORT10
from agent.openflow.record import Adapter, Record
from agent.openflow.wire import Fixed, TlvList

_RATES10: Final = {1: "min_rate"}
_RATES13: Final = {1: "min_rate", 2: "max_rate"}
"""``OFPQT_*``, and where the value has them."""

_PROPERTY: Final = Fixed("type" / Int16ub, "length" / Int16ub, Padding(4))
_RATE: Final = Fixed(_PROPERTY, "rate" / Int16ub, Padding(6))
_PROPERTIES: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_PROPERTY.size)


class _Queues:
    """The two messages in one version.

    They differ in the width of ports, and in where a queue has its length.
    """

    def __init__(
        self,
        request: Record[QueueGetConfigRequest],
        reply: Fixed,
        queue: Fixed,
        length_at: int,
        port: Adapter,
        rates: Mapping[int, str],
    ) -> None:
        """
        :param reply: what stands before the queues: a ``port``.
        :param queue: what stands before the properties: a ``queue_id``, a ``length`` (at
            ``length_at``) and, where queues have it, a ``port``.
        """
        self.request = request
        self._reply = reply
        self._queue = queue
        self._port = port
        self._rates = rates
        self._list = TlvList(
            bad_len=REQUEST_BAD_LEN, minimum=queue.size, type_at=None, length_at=length_at
        )

    def decode_reply(self, data: bytes, xid: int) -> Message:
        start = MIN_LENGTH + self._reply.size
        if len(data) < start:
            raise bad_length(data, f"{start} or more")
        port = self._port[0](*self._reply.unpack_from(data, MIN_LENGTH))
        found = self._list.split(data, start, len(data) - start)
        queues = [self._decode_queue(data, offset, length, port) for _, offset, length in found]
        return QueueGetConfigReply(port, tuple(queues), xid)

    def _decode_queue(self, data: bytes, offset: int, length: int, port: int) -> PacketQueue:
        head = dict(zip(self._queue.names, self._queue.unpack_from(data, offset), strict=True))
        queue = PacketQueue(head["queue_id"], head.get("port", port))
        start = offset + self._queue.size
        for kind, at, size in _PROPERTIES.split(data, start, offset + length - start):
            if kind in self._rates:
                if size != _RATE.size:
                    raise bad_length(data, f"{_RATE.size} for a rate")
                setattr(queue, self._rates[kind], _RATE.unpack_from(data, at)[-1])
        return queue

    def encode_reply(self, message: QueueGetConfigReply) -> bytes:
        queues = map(self._encode_queue, message.queues)
        return self._reply.pack(self._port[1](message.port)) + b"".join(queues)

    def _encode_queue(self, queue: PacketQueue) -> bytes:
        properties = b"".join(
            _RATE.pack(kind, _RATE.size, getattr(queue, name))
            for kind, name in self._rates.items()
            if getattr(queue, name) is not None
        )
        values = {
            "queue_id": queue.queue_id,
            "port": queue.port,
            "length": self._queue.size + len(properties),
        }
        return self._queue.pack(*[values[name] for name in self._queue.names]) + properties


_OF10: Final = _Queues(
    Record(QueueGetConfigRequest, "port" / Int16ub, Padding(2), adapters={"port": PORT10}),
    Fixed("port" / Int16ub, Padding(6)),
    Fixed("queue_id" / Int32ub, "length" / Int16ub, Padding(2)),
    length_at=4,
    port=PORT10,
    rates=_RATES10,
)
_OF13: Final = _Queues(
    Record(QueueGetConfigRequest, "port" / Int32ub, Padding(4)),
    Fixed("port" / Int32ub, Padding(4)),
    Fixed("queue_id" / Int32ub, "port" / Int32ub, "length" / Int16ub, Padding(6)),
    length_at=8,
    port=(int, int),
    rates=_RATES13,
)

KINDS10: Final = (
    _OF10.request.kind(Type10.QUEUE_GET_CONFIG_REQUEST),
    Kind(
        Type10.QUEUE_GET_CONFIG_REPLY, QueueGetConfigReply, _OF10.decode_reply, _OF10.encode_reply
    ),
)
KINDS13: Final = (
    _OF13.request.kind(Type13.QUEUE_GET_CONFIG_REQUEST),
    Kind(
        Type13.QUEUE_GET_CONFIG_REPLY, QueueGetConfigReply, _OF13.decode_reply, _OF13.encode_reply
    ),
)
