"""Tests for :mod:`agent.openflow.action_list`: what holds for lists of both versions."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import action_list, actions10, actions13, errors, fields
from agent.openflow.action_list import EXPERIMENTERS, MAX_ACTIONS, ActionCodec, ListCodec
from agent.openflow.actions import Action, Output, PopVlan, SetField, SetNwTtl, SetQueue
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from tests.openflow.strategies import ACTIONS10, ACTIONS13

VERSIONS: dict[int, Any] = {1: actions10, 4: actions13}


class RoundTripTests(SynchronousTestCase):
    """Actions of each version come back."""

    @given(ACTIONS10)
    def test_of10(self, actions: tuple[Action, ...]) -> None:
        """Actions of 1.0 are read as they were written, between other bytes too."""
        self.check(actions10, actions)

    @given(ACTIONS13)
    def test_of13(self, actions: tuple[Action, ...]) -> None:
        """Actions of 1.3 are read as they were written, between other bytes too."""
        self.check(actions13, actions)

    def check(self, codec: Any, actions: tuple[Action, ...]) -> None:
        """Write and read once, and once more from memory."""
        data = codec.encode_actions(actions)
        self.assertEqual(len(data) % 8, 0)
        for _ in range(2):
            found = codec.decode_actions(b"before" + data + b"after", 6, len(data))
            self.assertEqual(found, actions)
            self.assertEqual(codec.encode_actions(found), data)

    @given(st.one_of(ACTIONS10, ACTIONS13))
    def test_other_version(self, actions: tuple[Action, ...]) -> None:
        """What a version writes of actions of the other, it reads, and writes the same again."""
        for version, codec in VERSIONS.items():
            try:
                data = codec.encode_actions(actions)
            except OpenFlowError as error:
                self.assertEqual((version, error.code), (1, errors.BAD_OUT_PORT))
                continue
            if b"\xff\xff\x00\x10\x00\x00\x23\x20" in data:
                continue  # an experimenter's action, which nobody here can read
            found = codec.decode_actions(data, 0, len(data))
            self.assertEqual(codec.encode_actions(found), data)


class DamageTests(SynchronousTestCase):
    """Whatever the bytes, there are actions or a typed error."""

    @given(st.one_of(ACTIONS10, ACTIONS13), st.data())
    def test_any_bytes(self, actions: tuple[Action, ...], data: st.DataObject) -> None:
        """Actions with damaged bytes are refused, or are actions which can be written."""
        for version, codec in VERSIONS.items():
            try:
                wire = bytearray(codec.encode_actions(actions))
            except OpenFlowError:
                continue
            for _ in range(data.draw(st.integers(0, 3)) if wire else 0):
                wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
            end = data.draw(st.integers(0, len(wire)))
            try:
                found = codec.decode_actions(bytes(wire), 0, end)
            except OpenFlowError as error:
                self.assertEqual(error.code.numbers(version)[0], 2, error)
            else:
                codec.encode_actions(found)

    def test_lengths(self) -> None:
        """Lengths which do not fit are refused: 0, no multiple of 8, beyond the end."""
        for codec in VERSIONS.values():
            for length in (0, 1, 4, 7, 9, 12, 24, 0x7FF8, 0xFFF8, 0xFFFF):
                data = b"\0\0" + length.to_bytes(2, "big") + bytes(12)
                error = self.assertRaises(OpenFlowError, codec.decode_actions, data, 0, 16)
                self.assertIs(error.code, errors.ACTION_BAD_LEN, length)

    def test_missing(self) -> None:
        """A list that is longer than the bytes is refused, also if its beginning is known."""
        for codec in VERSIONS.values():
            data = codec.encode_actions((Output(1),))
            self.assertEqual(codec.decode_actions(data, 0, len(data)), (Output(1),))
            error = self.assertRaises(OpenFlowError, codec.decode_actions, data, 0, len(data) + 8)
            self.assertIs(error.code, errors.ACTION_BAD_LEN)

    def test_too_many(self) -> None:
        """There is a greatest number of actions."""
        for codec in VERSIONS.values():
            one = codec.encode_actions((PopVlan(),))
            data = one * (MAX_ACTIONS + 1)
            most = len(one) * MAX_ACTIONS
            self.assertEqual(len(codec.decode_actions(data, 0, most)), MAX_ACTIONS)
            error = self.assertRaises(OpenFlowError, codec.decode_actions, data, 0, len(data))
            self.assertIs(error.code, errors.TOO_MANY)

    def test_unknown(self) -> None:
        """Unknown types and unknown experimenters have codes of their own."""
        for codec in VERSIONS.values():
            for kind, code in (
                (0x1234, errors.ACTION_BAD_TYPE),
                (0xFFFF, errors.ACTION_BAD_EXPERIMENTER),
            ):
                data = kind.to_bytes(2, "big") + b"\0\x10" + b"\xde\xad\xbe\xef" + bytes(8)
                error = self.assertRaises(OpenFlowError, codec.decode_actions, data, 0, 16)
                self.assertIs(error.code, code)


class OutputTests(SynchronousTestCase):
    """Ports that packets can be sent to."""

    def test_ports(self) -> None:
        """Ordinary and reserved ports are right; 0, ANY and what lies between are not."""
        reserved = {int(port) for port in Port} - {Port.MAX, Port.ANY}
        for port in (0, 1, 0xFEFF, *range(0xFFFFFF00, 0x100000000)):
            good = port in (1, 0xFEFF) or port in reserved
            for codec in VERSIONS.values():
                data = codec.encode_actions((Output(port),))
                if good:
                    self.assertEqual(codec.decode_actions(data, 0, len(data)), (Output(port),))
                else:
                    error = self.assertRaises(
                        OpenFlowError, codec.decode_actions, data, 0, len(data)
                    )
                    self.assertIs(error.code, errors.BAD_OUT_PORT, port)


class MemoryTests(SynchronousTestCase):
    """Lists that recur are remembered, within limits."""

    def test_same_object(self) -> None:
        """The same bytes, wherever they come from, give the same object."""
        for codec in VERSIONS.values():
            data = codec.encode_actions((SetField(fields.ETH_SRC, 1), Output(3)))
            one = codec.decode_actions(data, 0, len(data))
            other = codec.decode_actions(b"x" + data, 1, len(data))
            self.assertIs(one, other)

    def codec(self) -> tuple[ListCodec[int], list[str]]:
        """A codec of lists of bytes, and what it was asked to do."""
        asked: list[str] = []

        def read(data: bytes, offset: int, length: int) -> tuple[int, ...]:
            asked.append("read")
            return tuple(data[offset : offset + length])

        def write(items: tuple[int, ...], match: Match) -> tuple[bytes, bool]:
            asked.append("write")
            return bytes(items) + bytes([match != MATCH_ALL]), 99 in items

        return ListCodec(read, write, errors.ACTION_BAD_LEN), asked

    def test_once(self) -> None:
        """A list is read and written once."""
        codec, asked = self.codec()
        for _ in range(3):
            items = codec.decode(b"\1\2\3", 0, 3)
            self.assertEqual(codec.encode(items), b"\1\2\3\0")
        self.assertEqual(asked, ["read", "write"])

    def test_equal_is_not_same(self) -> None:
        """Lists that are only equal are written anew: it is by identity that they are known."""
        codec, asked = self.codec()
        for items in ([1, 2], [1, 2]):
            self.assertEqual(codec.encode(tuple(items)), b"\1\2\0")
        self.assertEqual(asked, ["write", "write"])

    def test_special(self) -> None:
        """A list whose bytes depend on the match is not remembered."""
        codec, asked = self.codec()
        items = (99,)
        self.assertEqual(codec.encode(items), b"c\0")
        self.assertEqual(codec.encode(items, Match.of(in_port=1)), b"c\1")
        self.assertEqual(asked, ["write", "write"])

    def test_bounded(self) -> None:
        """Neither many lists nor long ones fill the memory."""
        self.patch(action_list, "MAX_REMEMBERED", 10)
        self.patch(action_list, "MAX_LENGTH", 4)
        codec, asked = self.codec()
        for number in range(100):
            codec.encode(codec.decode(bytes([0, 0, number]), 0, 3))
        self.assertLessEqual(codec.remembered, 20)
        before = codec.remembered
        long = codec.decode(b"12345", 0, 5)
        codec.encode(long)
        codec.decode(b"12345", 0, 5)
        self.assertEqual(codec.remembered, before)
        self.assertEqual(asked[-3:], ["read", "write", "read"])


class ExperimenterTests(SynchronousTestCase):
    """An extension adds the actions of an experimenter."""

    def test_decode(self) -> None:
        """Its decoder gets the place of its actions, and no others."""
        seen = []

        def decode(data: bytes, offset: int, length: int) -> Action:
            seen.append((offset, length))
            return SetQueue(data[offset + 8])

        EXPERIMENTERS[0xDEADBEEF] = decode
        self.addCleanup(EXPERIMENTERS.pop, 0xDEADBEEF)
        codec = ActionCodec({}, {})
        data = b"\xff\xff\0\x10\xde\xad\xbe\xef" + b"\7" + bytes(7)
        self.assertEqual(codec.decode(b"12345678" + data, 8, 16), (SetQueue(7),))
        self.assertEqual(seen, [(8, 16)])

    def test_encode(self) -> None:
        """What writes actions that a version does not have is asked for these."""
        encoders: dict[type[Action], Any] = {}
        for module in (action_list, actions10, actions13):
            self.patch(module, "EXPERIMENTER_ENCODERS", encoders)
        self.assertEqual(actions10.encode_actions((SetNwTtl(3),)), b"")
        for kind in (SetNwTtl, SetField):
            encoders[kind] = lambda action, flow: b"experimenter...."
        for action in (SetNwTtl(4), SetField(fields.REGS[0], 1), SetField(fields.ETH_SRC, 1, 1)):
            self.assertEqual(actions10.encode_actions((action,)), b"experimenter....")
        self.assertEqual(
            actions13.encode_actions((SetField(fields.ETH_SRC, 1, 1),)), b"experimenter...."
        )
