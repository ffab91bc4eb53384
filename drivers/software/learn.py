"""``learn``: a rule made after the packet that met the action.

What the rule matches and does was said in the action; which bits of the packet are put in there
turns out when the packet comes.  The rule itself is the agent's to make: it is asked with a
FLOW_MOD, and what becomes of it is not waited for.

Equal rules are made of the same objects, because most packets teach what is known already.

Source: ``learn.c`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agent.openflow.actions import NO_BUFFER, Action, ApplyActions, Instructions, Output, SetField
from agent.openflow.constants import FlowModCommand, FlowModFlags, Port
from agent.openflow.fields import IN_PORT, NX_IN_PORT
from agent.openflow.match import Match
from agent.openflow.messages import FlowMod
from agent.openflow.nx_actions import FinTimeout, Learn, LearnFlags, LearnSpec, LearnTo
from agent.openflow.ports import MAX10, from_wire10

if TYPE_CHECKING:
    from drivers.software.run import Run

REMEMBERED: Final = 1024
"""Instruction lists that one action remembers."""

_OUTPUTS: Final = frozenset((Port.IN_PORT, Port.FLOOD, Port.ALL, Port.LOCAL))
"""The reserved ports that a packet may teach to output to."""


def learned(action: Learn) -> Callable[[Run], None]:
    """The step of this action."""
    known: dict[Instructions, Instructions] = {}

    def step(run: Run) -> None:
        request = flow_mod(action, run.packet.key)
        instructions = request.instructions
        if len(known) >= REMEMBERED and instructions not in known:
            known.clear()
        request.instructions = known.setdefault(instructions, instructions)
        run.pipeline.learn(request)

    return step


def flow_mod(action: Learn, key: int) -> FlowMod:
    """What the agent is asked for when a packet with this flow key comes.

    A MODIFY_STRICT as OpenFlow 1.0 has it, which adds the rule when there is none.
    """
    mask = value = 0
    actions: list[Action] = []
    if action.fin_idle_timeout or action.fin_hard_timeout:
        actions.append(FinTimeout(action.fin_idle_timeout, action.fin_hard_timeout))
    for spec in action.specs:
        bits = _bits(spec, key)
        dst = spec.dst
        if dst is None:
            port = port_number(bits)
            if port < Port.MAX or port in _OUTPUTS:
                actions.append(Output(port, NO_BUFFER))
        elif spec.to is LearnTo.LOAD:
            actions.append(SetField(dst.field, bits << dst.ofs, dst.mask))
        elif dst.field is NX_IN_PORT:
            mask |= IN_PORT.mask
            value |= port_number(bits) << IN_PORT.shift
        else:
            mask |= dst.mask << dst.field.shift
            value = value & ~(dst.mask << dst.field.shift) | bits << dst.ofs << dst.field.shift
    flags = FlowModFlags.SEND_FLOW_REM if action.flags & LearnFlags.SEND_FLOW_REM else 0
    return FlowMod(
        int(FlowModCommand.MODIFY_STRICT),
        Match(mask, value),
        action.priority,
        (ApplyActions(tuple(actions)),) if actions else (),
        action.table_id,
        action.cookie,
        idle_timeout=action.idle_timeout,
        hard_timeout=action.hard_timeout,
        flags=int(flags),
    )


def _bits(spec: LearnSpec, key: int) -> int:
    """What a packet with this flow key puts in."""
    src = spec.src
    if isinstance(src, int):
        return src
    return src.field.get(key) >> src.ofs & (1 << src.n_bits) - 1


def port_number(value: int) -> int:
    """The port that a number from a field means; with 16 bits, it is one of OpenFlow 1.0."""
    return from_wire10(value) if MAX10 <= value <= 0xFFFF else value
