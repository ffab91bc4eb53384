"""Instructions as OpenFlow 1.0 writes them: a list of actions.

A rule of 1.0 has a list of actions where later versions have instructions: it becomes one
:class:`~agent.openflow.actions.ApplyActions`, and Nicira's ``write_metadata`` at its end the
instruction of that name.

The other way round, a rule that came in by a later version is shown with the actions it applies and
writes, and goto-table as the resubmit that does the same.  What else its instructions do has no
words in 1.0.
"""

from __future__ import annotations

from typing import Final

from agent.openflow.actions import (
    Action,
    Actions,
    ApplyActions,
    GotoTable,
    Instructions,
    WriteMetadata,
    actions_of,
)
from agent.openflow.actions10 import decode_actions, encode_actions
from agent.openflow.cache import Cache
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from agent.openflow.nx_actions import Resubmit, WriteMetadataAction

_REMEMBERED: Final = 512
_instructions: Final[Cache[bytes, Instructions]] = Cache(4096)
"""By the bytes of the actions, if these are not more than ``_REMEMBERED``."""


def decode_instructions(data: bytes, offset: int) -> Instructions:
    """The actions from ``offset`` to the end; the same tuple for the same bytes.

    :raises OpenFlowError: any of BAD_ACTION.
    """
    wire = data[offset:]
    found = _instructions.get(wire)
    if found is None:
        found = _instructions_of(decode_actions(data, offset, len(wire)))
        if len(wire) <= _REMEMBERED:
            _instructions.put(wire, found)
    return found


def _instructions_of(actions: Actions) -> Instructions:
    if not actions:
        return ()
    last = actions[-1]
    if type(last) is not WriteMetadataAction:
        return (ApplyActions(actions),)
    write = WriteMetadata(last.metadata, last.mask)
    return (ApplyActions(actions[:-1]), write) if len(actions) > 1 else (write,)


def _actions_of(instructions: Instructions) -> Actions:
    if len(instructions) == 1 and type(instructions[0]) is ApplyActions:
        return instructions[0].actions
    actions = actions_of(instructions)
    for instruction in instructions:
        if isinstance(instruction, WriteMetadata):
            actions += (WriteMetadataAction(instruction.metadata, instruction.mask),)
        elif isinstance(instruction, GotoTable):
            actions += (Resubmit(table_id=instruction.table_id),)
    return actions


def encode_instructions(instructions: Instructions, match: Match) -> bytes:
    """The actions of a rule, without what 1.0 cannot say.

    :raises OpenFlowError: BAD_OUT_PORT for a port that 1.0 cannot name.
    """
    return encode_actions(_actions_of(instructions), match)


def shown_instructions(instructions: Instructions, match: Match, most: int) -> bytes:
    """The actions of a rule as far as 1.0 can say them; none if they are more than ``most`` bytes.

    It cannot fail: this is for rules that there are.
    """
    actions = _actions_of(instructions)
    try:
        data = encode_actions(actions, match)
    except OpenFlowError:
        # The port of a later version: what has no number here is left out like all the rest.
        data = b"".join(_shown(action, match) for action in actions)
    return data if len(data) <= most else b""


def _shown(action: Action, match: Match) -> bytes:
    try:
        return encode_actions((action,), match)
    except OpenFlowError:
        return b""
