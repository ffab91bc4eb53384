"""A port which has no outside: frames are put in and taken out by whoever holds it.

It needs no privileges, which makes it right for trying things out and for tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from drivers.software.port import Port


class MemoryPort(Port):
    """A port that begins and ends in this process.

    :ivar sent: the frames that were sent, oldest first; the oldest are forgotten beyond
        :attr:`kept`.
    :ivar on_sent: called with each frame that is sent, if not None: the other end of the wire.
    """

    kept = 1000

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        self.sent: deque[bytes] = deque(maxlen=self.kept)
        self.on_sent: Callable[[bytes], None] | None = None

    def inject(self, frame: bytes) -> None:
        """Let a frame come in here, if there is a link."""
        if self.link:
            self.receive(frame)

    def transmit(self, frame: bytes) -> bool:
        """Keep the frame, and hand it to the other end."""
        if not self.link:
            return False
        self.sent.append(frame)
        if self.on_sent is not None:
            self.on_sent(frame)
        return True
