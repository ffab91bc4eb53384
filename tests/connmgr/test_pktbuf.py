"""Tests of :mod:`agent.connmgr.pktbuf`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.pktbuf import REUSE_AFTER, SLOTS, PacketBuffers
from agent.openflow.errors import BUFFER_EMPTY, BUFFER_UNKNOWN, OpenFlowError
from agent.openflow.messages import NO_BUFFER


class PacketBuffersTests(SynchronousTestCase):
    """Keeping packets, and telling stale numbers apart."""

    def setUp(self) -> None:
        """Empty buffers."""
        self.buffers = PacketBuffers()

    def save(self, data: bytes, now: float = 0.0) -> int:
        """Keep a packet for which there is room."""
        buffer_id = self.buffers.save(data, 1, now)
        assert buffer_id is not None
        return buffer_id

    def refused(self, buffer_id: int) -> object:
        """The error that asking for a buffer gives."""
        return self.assertRaises(OpenFlowError, self.buffers.retrieve, buffer_id).code

    def test_retrieved(self) -> None:
        """A packet comes back with its port."""
        buffer_id = self.buffers.save(b"frame", 7, 0.0)
        assert buffer_id is not None
        self.assertEqual(self.buffers.retrieve(buffer_id), (b"frame", 7))

    def test_only_once(self) -> None:
        """The second time, the buffer is empty."""
        buffer_id = self.save(b"frame")
        self.buffers.retrieve(buffer_id)
        self.assertIs(self.refused(buffer_id), BUFFER_EMPTY)

    def test_unknown(self) -> None:
        """A number that was never given out is unknown, also one whose slot is in use."""
        buffer_id = self.save(b"frame")
        for other in (0, 1, buffer_id + SLOTS, 1 << 31, NO_BUFFER):
            self.assertIs(self.refused(other), BUFFER_UNKNOWN)
        self.assertEqual(self.buffers.retrieve(buffer_id), (b"frame", 1))

    def test_full(self) -> None:
        """While all slots are taken there is no room, until the oldest was kept long enough."""
        numbers = [self.save(b"%d" % index) for index in range(SLOTS)]
        self.assertEqual(len(set(numbers)), SLOTS)
        self.assertIsNone(self.buffers.save(b"late", 1, REUSE_AFTER - 0.1))
        again = self.save(b"new", REUSE_AFTER)
        self.assertIs(self.refused(numbers[0]), BUFFER_UNKNOWN)
        self.assertEqual(self.buffers.retrieve(again), (b"new", 1))

    def test_numbers_do_not_come_again(self) -> None:
        """A slot's next packet has another number, so that a late answer is told apart."""
        seen: set[int] = set()
        for _ in range(4 * SLOTS):
            number = self.save(b"x")
            self.assertNotIn(number, seen)
            self.assertNotEqual(number, NO_BUFFER)
            seen.add(number)
            self.buffers.retrieve(number)
