"""The priority of exact matches in OpenFlow 1.0."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.codec import decode
from agent.openflow.messages import OFP10, FlowMod


class ExactMatchTests(SynchronousTestCase):
    """Section 3.4 of 1.0.1: an exact match has the highest priority."""

    def priority(self, wildcards: int, dl_type: int = 0x0800) -> int:
        """The priority that a rule with these wildcards and priority 5 has."""
        match = struct.pack(
            "!IH6s6sHBxHBBxxIIHH", wildcards, 1, b"", b"", 10, 0, dl_type, 0, 6, 1, 2, 3, 4
        )
        body = match + struct.pack("!QHHHHIHH", 0, 0, 0, 0, 5, 0xFFFFFFFF, 0xFFFF, 0)
        message = decode(OFP10, struct.pack("!BBHI", 1, 14, 72, 1) + body)
        assert isinstance(message, FlowMod)
        return message.priority

    def test_no_wildcards(self) -> None:
        """Without wildcards the message's own priority does not count, whatever the frame is."""
        self.assertEqual(self.priority(0), 0xFFFF)
        self.assertEqual(self.priority(0, dl_type=0x0806), 0xFFFF)

    def test_unused_bits(self) -> None:
        """Bits beyond those that mean something are no wildcards."""
        self.assertEqual(self.priority(0xFFC00000), 0xFFFF)

    def test_any_wildcard(self) -> None:
        """With any wildcard, even a single bit of an address, it counts."""
        for bit in range(22):
            self.assertEqual(self.priority(1 << bit), 5)
