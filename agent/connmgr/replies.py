"""What is to be sent on one connection, and how much of it there may be.

A transport can only say *that* it has more to send than it wants to hold, not how many messages
that is; so messages go through this queue, which stands still while the transport is full.  It
takes iterators of frames as well: a dump of a hundred thousand rules is encoded piece by piece, as
the peer reads it, and meanwhile everybody else has their turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from agent.connmgr.settings import Limits

BATCH: Final = 0x10000
"""Bytes that are given to the transport at once."""


class ReplyQueue:
    """Messages for one transport, in order.

    :ivar choked: whether the transport is full; set by its producer.
    :ivar size: bytes of the messages, without streams.
    """

    __slots__ = ("_items", "_limits", "_streams", "choked", "size")

    def __init__(self, limits: Limits) -> None:
        self.choked = False
        self.size = 0
        self._limits = limits
        self._items: deque[bytes | Iterator[bytes]] = deque()
        self._streams = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, data: bytes) -> None:
        """Queue a message."""
        self._items.append(data)
        self.size += len(data)

    def add_stream(self, frames: Iterator[bytes]) -> None:
        """Queue a message of unknown length.  The iterator must not raise."""
        self._items.append(frames)
        self._streams += 1

    def overfull(self) -> bool:
        """Whether the peer should read what it asked for before it asks for more."""
        limits = self._limits
        return self.choked and (
            len(self._items) >= limits.queued_replies
            or self.size >= limits.queued_bytes
            or self._streams >= limits.queued_streams
        )

    def flush(self, transport: Any) -> None:
        """Give the transport what it takes."""
        items = self._items
        while items and not self.choked:
            batch: list[bytes] = []
            room = BATCH
            while items and room > 0:
                item = items[0]
                if isinstance(item, bytes):
                    del items[0]
                    self.size -= len(item)
                    data: bytes | None = item
                else:
                    data = next(item, None)
                    if data is None:
                        del items[0]
                        self._streams -= 1
                if data is not None:
                    batch.append(data)
                    room -= len(data)
            if batch:
                transport.writeSequence(batch)

    def flush_all(self, transport: Any) -> None:
        """Give the transport all messages, full or not, but cut off streams; it is to close."""
        batch = [item for item in self._items if isinstance(item, bytes)]
        self.clear()
        if batch:
            transport.writeSequence(batch)

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.size = 0
        self._streams = 0
