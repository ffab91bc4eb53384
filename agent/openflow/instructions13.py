"""The instructions of OpenFlow 1.3.

However a controller orders them, they are executed in one order (section 5.9), and in that order
they are kept.  There is at most one of each type.

Source: OpenFlow 1.3.5 section 7.2.4.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.action_list import ListCodec
from agent.openflow.actions import (
    ApplyActions,
    ClearActions,
    GotoTable,
    Instruction,
    Instructions,
    MeterInstruction,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.actions13 import CODEC as ACTIONS
from agent.openflow.errors import (
    INST_BAD_EXPERIMENTER,
    INST_BAD_LEN,
    UNKNOWN_INST,
    UNSUP_INST,
    OpenFlowError,
)
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.wire import Fixed, TlvList

_HEADER: Final = Fixed("type" / Int16ub, "len" / Int16ub)
GOTO_TABLE: Final = Fixed(_HEADER, "table_id" / Int8ub, Padding(3))
WRITE_METADATA: Final = Fixed(_HEADER, Padding(4), "metadata" / Int64ub, "metadata_mask" / Int64ub)
ACTIONS_HEADER: Final = Fixed(_HEADER, Padding(4))
METER: Final = Fixed(_HEADER, "meter_id" / Int32ub)
_EXPERIMENTER: Final = 0xFFFF

INSTRUCTIONS: Final = TlvList(bad_len=INST_BAD_LEN)
"""How instructions follow each other."""


class InstructionType(enum.IntEnum):
    """``ofp_instruction_type``."""

    GOTO_TABLE = 1
    WRITE_METADATA = 2
    WRITE_ACTIONS = 3
    APPLY_ACTIONS = 4
    CLEAR_ACTIONS = 5
    METER = 6


_EXECUTION: Final = {
    MeterInstruction: 0,
    ApplyActions: 1,
    ClearActions: 2,
    WriteActions: 3,
    WriteMetadata: 4,
    GotoTable: 5,
}

_FIXED: Final[dict[int, tuple[Fixed, type[Any]]]] = {
    InstructionType.GOTO_TABLE: (GOTO_TABLE, GotoTable),
    InstructionType.WRITE_METADATA: (WRITE_METADATA, WriteMetadata),
    InstructionType.CLEAR_ACTIONS: (ACTIONS_HEADER, ClearActions),
    InstructionType.METER: (METER, MeterInstruction),
}
_WITH_ACTIONS: Final[dict[int, type[ApplyActions | WriteActions]]] = {
    InstructionType.APPLY_ACTIONS: ApplyActions,
    InstructionType.WRITE_ACTIONS: WriteActions,
}


def _instruction(kind: int, data: bytes, offset: int, length: int) -> Instruction:
    if kind in _WITH_ACTIONS:
        start = offset + ACTIONS_HEADER.size
        return _WITH_ACTIONS[kind](ACTIONS.decode(data, start, length - ACTIONS_HEADER.size))
    if kind in _FIXED:
        layout, make = _FIXED[kind]
        if length != layout.size:
            raise OpenFlowError(INST_BAD_LEN, f"{length} bytes, not {layout.size}")
        instruction: Instruction = make(*layout.unpack_from(data, offset)[2:])
        return instruction
    if kind == _EXPERIMENTER:
        experimenter = int.from_bytes(data[offset + 4 : offset + 8], "big")
        raise OpenFlowError(INST_BAD_EXPERIMENTER, f"experimenter {experimenter:#x}")
    raise OpenFlowError(UNKNOWN_INST, f"instruction of type {kind}")


def _read(data: bytes, offset: int, length: int) -> Instructions:
    found: dict[int, Instruction] = {}
    for kind, at, size in INSTRUCTIONS.split(data, offset, length):
        instruction = _instruction(kind, data, at, size)
        turn = _EXECUTION[type(instruction)]
        if turn in found:
            # DUP_INST came with OpenFlow 1.4.
            raise OpenFlowError(UNSUP_INST, f"two instructions of type {kind}")
        found[turn] = instruction
    return tuple(found[turn] for turn in sorted(found))


def _write(instructions: Instructions, match: Match) -> tuple[bytes, bool]:
    data = b""
    special = False
    for instruction in instructions:
        if isinstance(instruction, ApplyActions | WriteActions):
            actions, asked = ACTIONS.encode_and_tell(instruction.actions, match)
            special |= asked
            apply = isinstance(instruction, ApplyActions)
            kind = InstructionType.APPLY_ACTIONS if apply else InstructionType.WRITE_ACTIONS
            data += ACTIONS_HEADER.pack(kind, ACTIONS_HEADER.size + len(actions)) + actions
        elif isinstance(instruction, GotoTable):
            data += GOTO_TABLE.pack(
                InstructionType.GOTO_TABLE, GOTO_TABLE.size, instruction.table_id
            )
        elif isinstance(instruction, WriteMetadata):
            data += WRITE_METADATA.pack(
                InstructionType.WRITE_METADATA,
                WRITE_METADATA.size,
                instruction.metadata,
                instruction.mask,
            )
        elif isinstance(instruction, MeterInstruction):
            data += METER.pack(InstructionType.METER, METER.size, instruction.meter_id)
        else:
            data += ACTIONS_HEADER.pack(InstructionType.CLEAR_ACTIONS, ACTIONS_HEADER.size)
    return data, special


_codec: Final[ListCodec[Instruction]] = ListCodec(_read, _write, INST_BAD_LEN)


def decode_instructions(data: bytes, offset: int, length: int) -> Instructions:
    """The instructions in the ``length`` bytes from ``offset``, in the order of their execution.

    Equal bytes give the same tuple.

    :raises OpenFlowError: any of BAD_INSTRUCTION and BAD_ACTION.
    """
    return _codec.decode(data, offset, length)


def encode_instructions(instructions: Instructions, match: Match = MATCH_ALL) -> bytes:
    """The bytes of instructions.

    :param match: of the rule; actions of 1.0 may be written differently for it.
    """
    return _codec.encode(instructions, match)
