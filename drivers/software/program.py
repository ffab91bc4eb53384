"""Instructions made into functions, once for a rule and not once for a packet.

:func:`compile_instructions` turns the instructions of a rule into a :class:`Program`, and
:func:`compile_actions` an action list into steps.  A step is a function of a run
(:class:`drivers.software.run.Run`), that is, of one packet on its way through the tables.  It
returns True when none of the steps after it shall be taken.

:data:`ACTIONS` is also what the datapath says it can do: there is no second list to forget.  What
only Nicira has is in :mod:`drivers.software.nicira`.

Source: OpenFlow 1.3.5 sections 5.9, 5.10 (action set) and 5.12; OpenFlow 1.0.1 section 5.2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from agent.openflow.actions import (
    Action,
    Actions,
    ApplyActions,
    ClearActions,
    CopyTtlIn,
    CopyTtlOut,
    DecMplsTtl,
    DecNwTtl,
    Enqueue,
    GotoTable,
    GroupAction,
    Instruction,
    Instructions,
    MeterInstruction,
    Output,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetQueue,
    SetTpDst,
    SetTpSrc,
    SetVlanPcp,
    SetVlanVid,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.fields import METADATA, NW_TTL
from agent.openflow.messages import Port
from agent.openflow.nx_actions import DecTtlCntIds, RegMove
from agent.packet.setfield import Writer, field_writer, tp_dst_writer, tp_src_writer
from drivers.interfaces import RESERVED_PORTS
from drivers.software import nicira

if TYPE_CHECKING:
    from drivers.software.run import Run

Step: TypeAlias = "Callable[[Run], bool | None]"
"""What one action does to a run; True: the list of actions ends here."""

ActionSet: TypeAlias = "dict[tuple[int, str], Step]"
"""The action set of a packet: by place in the order of execution and kind of action, what to do."""


def _on_packet(change: Writer) -> Step:
    """A step that only changes the packet."""

    def step(run: Run) -> None:
        change(run.packet)

    return step


def _output(action: Output) -> Step:
    port, max_len = action.port, action.max_len
    if port == Port.CONTROLLER:
        return lambda run: run.to_controller(max_len)
    if port == Port.IN_PORT:
        return lambda run: run.back()
    if port == Port.TABLE:
        return lambda run: run.to_tables()
    if port == Port.NORMAL:
        return lambda run: run.normal()
    if port == Port.FLOOD:
        return lambda run: run.flood()
    if port == Port.ALL:
        return lambda run: run.to_all()
    return lambda run: run.output(port)


def _dec_nw_ttl(run: Run) -> bool:
    return not run.packet.dec_nw_ttl() and run.ttl_expired()


def _dec_mpls_ttl(run: Run) -> bool:
    return not run.packet.dec_mpls_ttl() and run.ttl_expired()


def _group(action: GroupAction) -> Step:
    number = action.group_id
    return lambda run: run.group(number)


def _group_of_set(number: int) -> Step:
    """In an action set it is the last: an output in the same set is ignored."""

    def step(run: Run) -> bool:
        run.group(number)
        return True

    return step


def _set_field(action: SetField) -> Step:
    field, value, mask = action.field, action.value, action.mask
    if field not in nicira.INGRESS:
        return _on_packet(field_writer(field, value, mask))
    write = nicira.setter(field, field.limit if mask is None else mask)
    return lambda run: write(run, value)


def _set_queue(action: SetQueue) -> Step:
    queue = action.queue_id

    def step(run: Run) -> None:
        run.set_queue(queue)

    return step


def _enqueue(action: Enqueue) -> Step:
    """What comes after it is sent by the queue that was chosen before."""
    send, queue = _output(Output(action.port)), action.queue_id

    def step(run: Run) -> None:
        before = run.set_queue(queue)
        send(run)
        run.set_queue(before)

    return step


# Each kind of action: where it is executed in an action set, and how it is made into a step.
# fmt: off
_COMPILERS: Final[dict[type[Action], tuple[int, Callable[[Any], Step]]]] = {
    CopyTtlIn: (1, lambda a: _on_packet(lambda p: p.copy_ttl_in())),
    PopVlan: (2, lambda a: _on_packet(lambda p: p.pop_vlan())),
    PopMpls: (2, lambda a: _on_packet(lambda p: p.pop_mpls(a.ethertype))),
    PopPbb: (2, lambda a: _on_packet(lambda p: p.pop_pbb())),
    PushMpls: (3, lambda a: _on_packet(lambda p: p.push_mpls(a.ethertype))),
    PushPbb: (4, lambda a: _on_packet(lambda p: p.push_pbb(a.ethertype))),
    PushVlan: (5, lambda a: _on_packet(lambda p: p.push_vlan(a.ethertype))),
    CopyTtlOut: (6, lambda a: _on_packet(lambda p: p.copy_ttl_out())),
    DecMplsTtl: (7, lambda a: _dec_mpls_ttl),
    DecNwTtl: (7, lambda a: _dec_nw_ttl),
    DecTtlCntIds: (7, nicira.STEPS[DecTtlCntIds]),
    RegMove: (8, nicira.STEPS[RegMove]),
    SetField: (8, _set_field),
    SetMplsTtl: (8, lambda a: _on_packet(lambda p: p.set_mpls_ttl(a.ttl))),
    SetNwTtl: (8, lambda a: _on_packet(field_writer(NW_TTL, a.ttl))),
    SetVlanVid: (8, lambda a: _on_packet(lambda p: p.set_vlan_vid(a.vlan_vid))),
    SetVlanPcp: (8, lambda a: _on_packet(lambda p: p.set_vlan_pcp(a.vlan_pcp))),
    SetTpSrc: (8, lambda a: _on_packet(tp_src_writer(a.port))),
    SetTpDst: (8, lambda a: _on_packet(tp_dst_writer(a.port))),
    SetQueue: (9, _set_queue),
    GroupAction: (10, _group),
    Enqueue: (11, _enqueue),
    Output: (11, _output),
}
# fmt: on

RESERVED: Final = RESERVED_PORTS | {Port.NORMAL}
"""The reserved ports that can be output to."""
SET_ACTIONS: Final = frozenset(_COMPILERS)
"""The kinds of actions that an action set, or a bucket of a group, can have."""
ACTIONS: Final = SET_ACTIONS | frozenset(nicira.STEPS)
"""The kinds of actions that can be executed."""

_STEPS: Final = nicira.STEPS | {kind: compiler for kind, (_, compiler) in _COMPILERS.items()}
INSTRUCTIONS: Final[frozenset[type]] = frozenset(
    {MeterInstruction, ApplyActions, ClearActions, WriteActions, WriteMetadata, GotoTable}
)
"""The kinds of instructions that can be executed."""


@attrs.frozen
class Program:
    """The instructions of a rule, compiled.

    :ivar apply: what is done at once; the meter, if there is one, comes first.
    :ivar clear: whether the action set is emptied.
    :ivar write: what is put into the action set.
    :ivar keep: the bits of the flow key that stay when metadata is written.
    :ivar metadata: the bits of the flow key that are written.
    :ivar goto: the next table; -1: there is none.
    """

    apply: tuple[Step, ...] = ()
    clear: bool = False
    write: ActionSet = attrs.Factory(dict)
    keep: int = -1
    metadata: int = 0
    goto: int = -1


def compile_actions(actions: Actions) -> tuple[Step, ...]:
    """The steps of an action list, in order.

    :raises KeyError: for an action that is not in :data:`ACTIONS`.
    """
    return tuple(_STEPS[type(action)](action) for action in actions)


def compile_bucket(actions: Actions) -> tuple[Step, ...]:
    """The steps of a bucket of a group, which is a set of actions, in the order of a set.

    :raises KeyError: for an action that is not in :data:`SET_ACTIONS`.
    """
    return tuple(step for _, step in sorted(_action_set(actions).items()))


def compile_instructions(instructions: Instructions) -> Program:
    """The program of a rule's instructions.

    :raises KeyError: for an action that is not in :data:`ACTIONS`.
    :raises TypeError: for an instruction that is not in :data:`INSTRUCTIONS`.
    """
    program = Program()
    for instruction in instructions:
        program = _add(program, instruction)
    return program


def _add(program: Program, instruction: Instruction) -> Program:
    if isinstance(instruction, ApplyActions):
        return attrs.evolve(program, apply=program.apply + compile_actions(instruction.actions))
    if isinstance(instruction, MeterInstruction):
        number = instruction.meter_id
        return attrs.evolve(program, apply=(lambda run: run.meter(number), *program.apply))
    if isinstance(instruction, ClearActions):
        return attrs.evolve(program, clear=True)
    if isinstance(instruction, WriteActions):
        return attrs.evolve(program, write=_action_set(instruction.actions))
    if isinstance(instruction, WriteMetadata):
        written = METADATA.put(0, instruction.mask)
        return attrs.evolve(
            program,
            keep=~written,
            metadata=METADATA.put(0, instruction.metadata) & written,
        )
    if isinstance(instruction, GotoTable):
        return attrs.evolve(program, goto=instruction.table_id)
    raise TypeError(f"{type(instruction).__name__} cannot be executed")


def _action_set(actions: Actions) -> ActionSet:
    """What a write-actions puts into the set: the last of each kind, and of each field.

    Output and enqueue are the same kind, for both say where the packet goes.
    """
    found: ActionSet = {}
    for action in actions:
        found[set_key(action)] = (
            _group_of_set(action.group_id)
            if isinstance(action, GroupAction)
            else _COMPILERS[type(action)][1](action)
        )
    return found


def set_key(action: Action) -> tuple[int, str]:
    """The place of an action in an action set; there is room for one action in each."""
    name = type(action).__name__
    if isinstance(action, Enqueue | Output):
        name = "output"
    elif isinstance(action, SetField):
        name = action.field.name
    elif isinstance(action, RegMove):
        name = f"move to {action.dst.field.name}"
    elif isinstance(action, DecTtlCntIds):
        name = DecNwTtl.__name__
    return _COMPILERS[type(action)][0], name
