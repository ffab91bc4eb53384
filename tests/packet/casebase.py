"""What the tests of packets that are changed share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.packet.flowkey import flow_key
from agent.packet.packet import Packet, parse
from tests.packet.frames import CORPUS


def after(frame: Any, *operations: Callable[[Packet], object]) -> bytes:
    """The bytes of ``frame`` after some operations."""
    packet = parse(bytes(frame), 1)
    for operation in operations:
        operation(packet)
    return packet.frame()


class PacketTestCase(SynchronousTestCase):
    """What the tests of packets share."""

    def assertBecomes(
        self, before: Any, expected: Any, *operations: Callable[[Packet], object]
    ) -> None:
        """Operations make one frame the other, and the flow key is that of the frame."""
        packet = parse(bytes(before), 1)
        for operation in operations:
            operation(packet)
        self.assertEqual(packet.frame().hex(), bytes(expected).hex())
        self.assertEqual(packet.key, flow_key(packet.frame(), 1))

    def assertSame(self, name: str, *operations: Callable[[Packet], object]) -> None:
        """Operations leave a frame of the corpus as it is."""
        self.assertBecomes(CORPUS[name], CORPUS[name], *operations)
