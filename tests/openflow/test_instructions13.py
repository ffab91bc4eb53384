"""Tests for :mod:`agent.openflow.instructions13`."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as act
from agent.openflow import errors
from agent.openflow.actions import Instruction, Instructions
from agent.openflow.actions13 import encode_actions
from agent.openflow.errors import OpenFlowError
from agent.openflow.instructions13 import decode_instructions, encode_instructions
from agent.openflow.match import Match
from tests.openflow.strategies import instructions13

OUTPUT = act.Output(3)

CASES: list[tuple[Any, Instruction]] = [
    (parser.OFPInstructionMeter(5), act.MeterInstruction(5)),
    (
        parser.OFPInstructionActions(
            ofp.OFPIT_APPLY_ACTIONS, [parser.OFPActionOutput(3, 0), parser.OFPActionPopVlan()]
        ),
        act.ApplyActions((OUTPUT, act.PopVlan())),
    ),
    (parser.OFPInstructionActions(ofp.OFPIT_CLEAR_ACTIONS, []), act.ClearActions()),
    (
        parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, [parser.OFPActionGroup(1)]),
        act.WriteActions((act.GroupAction(1),)),
    ),
    (parser.OFPInstructionWriteMetadata(5, 7), act.WriteMetadata(5, 7)),
    (parser.OFPInstructionGotoTable(9), act.GotoTable(9)),
]
"""Each instruction, in the order of execution: how os-ken writes it, and what it is."""


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_each(self) -> None:
        """The bytes of each instruction are equal, and mean the same to both."""
        for theirs, instruction in CASES:
            data = bytearray()
            theirs.serialize(data, 0)
            self.assertEqual(encode_instructions((instruction,)), bytes(data))
            self.assertEqual(decode_instructions(bytes(data), 0, len(data)), (instruction,))
            found = parser.OFPInstruction.parser(encode_instructions((instruction,)), 0)
            self.assertEqual(found.to_jsondict(), theirs.to_jsondict())


class OrderTests(SynchronousTestCase):
    """Instructions are kept in the order in which they are executed."""

    def test_sorted(self) -> None:
        """In whatever order they come, they are the same."""
        wanted = tuple(instruction for _, instruction in CASES)
        parts = [encode_instructions((instruction,)) for instruction in wanted]
        for order in permutations(parts):
            data = b"".join(order)
            self.assertEqual(decode_instructions(data, 0, len(data)), wanted)
        self.assertEqual(encode_instructions(wanted), b"".join(parts))

    def test_twice(self) -> None:
        """Of each type there is at most one, next to each other or not."""
        parts = [encode_instructions((instruction,)) for _, instruction in CASES]
        for part in parts:
            for data in (part + part, part + b"".join(parts)):
                error = self.assertRaises(OpenFlowError, decode_instructions, data, 0, len(data))
                self.assertIs(error.code, errors.UNSUP_INST)


class ErrorTests(SynchronousTestCase):
    """What is wrong with an instruction."""

    def assertRefused(self, digits: str, code: errors.ErrorCode) -> None:
        """The instruction is refused for this reason."""
        data = bytes.fromhex(digits)
        error = self.assertRaises(OpenFlowError, decode_instructions, data, 0, len(data))
        self.assertIs(error.code, code, digits)

    def test_types(self) -> None:
        """Unknown types and experimenters have codes of their own."""
        for kind in (0, 7, 0x1234, 0xFFFE):
            self.assertRefused(f"{kind:04x}0008 00000000", errors.UNKNOWN_INST)
        self.assertRefused("ffff0010 00002320 0000000000000000", errors.INST_BAD_EXPERIMENTER)

    def test_lengths(self) -> None:
        """Lengths must be those of the type, multiples of 8, and within the list."""
        for kind in (1, 2, 3, 4, 5, 6):
            for length in (0, 4, 7, 9, 12, 40, 0xFFF8):
                self.assertRefused(f"{kind:04x}{length:04x}" + "00" * 28, errors.INST_BAD_LEN)
        for digits in (
            "00010010 0900000000000000 00000000",
            "00020010 00000000 0000000000000005",
            "00050010 00000000 0000000000000000",
            "00060010 00000005 0000000000000000",
        ):
            self.assertRefused(digits, errors.INST_BAD_LEN)
        self.assertRefused("00010008 09000000 0000", errors.INST_BAD_LEN)

    def test_missing(self) -> None:
        """A list that is longer than the bytes is refused, also if its beginning is known."""
        data = encode_instructions((act.GotoTable(9),))
        decode_instructions(data, 0, 8)
        error = self.assertRaises(OpenFlowError, decode_instructions, data, 0, 16)
        self.assertIs(error.code, errors.INST_BAD_LEN)

    def test_actions_within(self) -> None:
        """Actions end where their instruction ends; what is wrong with them is theirs."""
        self.assertRefused("00040010 00000000 00000010 00000003", errors.ACTION_BAD_LEN)
        self.assertRefused("00040010 00000000 12340008 00000000", errors.ACTION_BAD_TYPE)
        # An action that would reach into the next instruction.
        self.assertRefused(
            "00040010 00000000 00000010 00000003 00010008 09000000", errors.ACTION_BAD_LEN
        )

    @given(instructions13(), st.data())
    def test_any_bytes(self, instructions: Instructions, data: st.DataObject) -> None:
        """Whatever the bytes, there are instructions or a typed error."""
        wire = bytearray(encode_instructions(instructions))
        for _ in range(data.draw(st.integers(0, 3)) if wire else 0):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(wire)))
        try:
            found = decode_instructions(bytes(wire), 0, end)
        except OpenFlowError as error:
            self.assertIn(error.code.numbers(4)[0], (2, 3), error)
        else:
            self.assertEqual(decode_instructions(encode_instructions(found), 0, end), found)


class RoundTripTests(SynchronousTestCase):
    """Instructions come back."""

    @given(instructions13())
    def test_round_trip(self, instructions: Instructions) -> None:
        """They are read as they were written, between other bytes too, and shared."""
        data = encode_instructions(instructions)
        found = decode_instructions(b"before" + data + b"after", 6, len(data))
        self.assertEqual(found, instructions)
        self.assertIs(decode_instructions(data, 0, len(data)), found)

    def test_actions_shared(self) -> None:
        """Rules that differ in other instructions share their actions."""
        one, other = (
            decode_instructions(data, 0, len(data))
            for data in (
                encode_instructions((act.ApplyActions((OUTPUT,)), act.GotoTable(table)))
                for table in (1, 2)
            )
        )
        assert isinstance(one[0], act.ApplyActions) and isinstance(other[0], act.ApplyActions)
        self.assertIs(one[0].actions, other[0].actions)

    def test_of10(self) -> None:
        """Actions of 1.0 are written for the match of their rule."""
        instructions = (act.ApplyActions((act.SetTpSrc(80),)),)
        for proto in (6, 17):
            match = Match.of(eth_type=0x0800, ip_proto=proto)
            actions = encode_actions((act.SetTpSrc(80),), match)
            self.assertEqual(encode_instructions(instructions, match)[8:], actions)
            self.assertEqual(len(actions), 16)
        self.assertEqual(len(encode_instructions(instructions)), 8)
