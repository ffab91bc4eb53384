"""What the tests of framing have in common."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.settings import DEFAULT_LIMITS, Limits
from tests.connmgr.fakes import FakeReceiver, Peer, TurnClock, connect

ECHO = 2
BARRIER = 20


def frame(kind: int = BARRIER, xid: int = 0, body: bytes = b"", version: int = 4) -> bytes:
    """A frame of OpenFlow."""
    return struct.pack(">BBHI", version, kind, 8 + len(body), xid) + body


class FramingCase(SynchronousTestCase):
    """Has a clock, and makes channels that have agreed on a version."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.clock = TurnClock()

    def channel(
        self, limits: Limits = DEFAULT_LIMITS, greeted: bool = True
    ) -> tuple[FakeReceiver, Peer]:
        """A connected channel."""
        receiver = FakeReceiver()
        peer = connect(FrameProtocol(self.clock, receiver, limits))
        if greeted:
            peer.protocol.greeted()
        return receiver, peer
