"""Tests for :mod:`agent.openflow.oxm_decoder`: what it remembers changes only how long it takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import oxm_decoder
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.oxm_decoder import MatchDecoder, read
from agent.openflow.oxm_tlv import BY_KIND
from tests.openflow.tlvs import damaged, tlv, tlv_lists


def carefully(data: bytes) -> Match | str:
    """What a list of TLVs means, read one by one; or the name of the error."""
    try:
        return read(data, 0, len(data), 0)[1]
    except OpenFlowError as error:
        return error.code.name


def quickly(decoder: MatchDecoder, data: bytes) -> Match | str:
    """What a decoder says that it means; or the name of the error."""
    try:
        return decoder.decode(data, 0, len(data))
    except OpenFlowError as error:
        return error.code.name


class RememberTests(SynchronousTestCase):
    """A decoder that has seen much says the same as one that has seen nothing."""

    @given(tlv_lists(), st.data())
    def test_same_layout(self, good: bytes, data: st.DataObject) -> None:
        """Matches which resemble one that was seen mean what they mean when read with care."""
        decoder = MatchDecoder(0)
        self.assertEqual(quickly(decoder, good), carefully(good))
        for _ in range(8):
            other = data.draw(damaged(st.just(good)))
            self.assertEqual(quickly(decoder, other), carefully(other))
        self.assertEqual(quickly(decoder, good), carefully(good))

    @settings(max_examples=20)
    @given(st.lists(tlv_lists(), min_size=1, max_size=40))
    def test_many_layouts(self, lists: list[bytes]) -> None:
        """So do matches of many layouts, seen in turn, also when some are forgotten."""
        self.patch(oxm_decoder, "MAX_ALIKE", 2)
        self.patch(oxm_decoder, "MAX_LAYOUTS", 8)
        self.patch(oxm_decoder, "MAX_RULES", 16)
        decoder = MatchDecoder(0)
        for data in lists * 2:
            self.assertEqual(quickly(decoder, data), carefully(data))
            self.assertLessEqual(decoder.remembered, 16)

    def test_prefix(self) -> None:
        """Bytes in front of the TLVs count for the length, and are not looked at."""
        data = b"head" + tlv(0x8000, 0, bytes(3) + b"\5")
        decoder = MatchDecoder(4)
        for _ in range(2):
            self.assertEqual(decoder.decode(data, 0, len(data)), Match.of(in_port=5))
        self.assertEqual(decoder.remembered, 1)

    def test_values_not_remembered(self) -> None:
        """Values cost no memory; masks, and values that others need, do."""
        decoder = MatchDecoder(0)
        for port in range(100):
            data = tlv(0x8000, 0, port.to_bytes(4, "big"))
            self.assertEqual(decoder.decode(data, 0, len(data)), Match.of(in_port=port))
        self.assertEqual(decoder.remembered, 1)
        for bits in range(1, 49):
            mask = (1 << 48) - (1 << 48 - bits)
            data = tlv(0x8000, 3, bytes(6), mask.to_bytes(6, "big"))
            decoder.decode(data, 0, len(data))
        self.assertEqual(decoder.remembered, 49)

    def test_bounded(self) -> None:
        """A peer who sends a new mask each time fills a limited memory, and does no harm."""
        self.patch(oxm_decoder, "MAX_RULES", 100)
        decoder = MatchDecoder(0)
        for number in range(1000):
            data = tlv(0x8000, 2, bytes(8), number.to_bytes(8, "big"))
            self.assertEqual(decoder.decode(data, 0, 20), Match.of(metadata=(0, number)))
            self.assertLessEqual(decoder.remembered, 100)

    def test_many_layouts_bounded(self) -> None:
        """Nor do layouts that are new each time."""
        self.patch(oxm_decoder, "MAX_LAYOUTS", 20)
        decoder = MatchDecoder(0)
        kinds = list(BY_KIND.values())
        for one in kinds:
            for other in kinds:
                data = one.header(False) + bytes(one.width) + other.header(False)
                data += bytes(other.width)
                self.assertEqual(quickly(decoder, data), carefully(data))
                self.assertLessEqual(decoder.remembered, 20)

    def test_long(self) -> None:
        """A match of as many TLVs as a message can have is read in passing, and forgotten."""
        decoder = MatchDecoder(0)
        nothing = tlv(0x8000, 6, bytes(2), bytes(2))
        data = nothing * (0xFFF8 // len(nothing))
        self.assertEqual(decoder.decode(data, 0, len(data)), MATCH_ALL)
        self.assertEqual(decoder.remembered, 0)

    def test_many_of_one_length(self) -> None:
        """Layouts of the same length push each other out, but stay right."""
        decoder = MatchDecoder(0)
        four = [kind for kind in BY_KIND.values() if kind.width == 4]
        lists = [
            one.header(False) + bytes(4) + other.header(False) + bytes(4)
            for one in four
            for other in four
        ]
        for data in lists * 2:
            self.assertEqual(quickly(decoder, data), carefully(data))
        self.assertLessEqual(decoder.remembered, oxm_decoder.MAX_ALIKE)
