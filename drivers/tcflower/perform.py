"""Instructions executed on what is known of packets: what a rule sends where, in which form.

:func:`perform` does what :mod:`drivers.software.pipeline` does with a packet, for all packets at
once of which it knows enough; otherwise it raises :exc:`~drivers.tcflower.facts.Split`.

The action set of a packet cannot be kept from table to table, nor can metadata or registers.  So a
rule that writes them and goes on is refused; thereby they are empty and zero in every packet that
the kernel has.

Source: OpenFlow 1.3.5 sections 5.6.1, 5.9, 5.10 and 5.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow import nx_actions as nx
from agent.openflow.actions import Action, Actions, Instructions
from agent.openflow.errors import (
    ACTION_BAD_TYPE,
    BAD_OUT_GROUP,
    BAD_OUT_PORT,
    BAD_SET_TYPE,
    UNSUP_INST,
    UNSUP_METADATA,
    OpenFlowError,
)
from agent.openflow.group_messages import GROUP_ANY, Bucket, GroupType
from agent.openflow.messages import ANY, Port
from drivers.software.port import queue_priority
from drivers.software.program import SET_ACTIONS, set_key
from drivers.tcflower.actions import PIPE, Gact, Skbedit, TcAction
from drivers.tcflower.credits import Credit, Credits
from drivers.tcflower.edits import Edit, Send, growth, script
from drivers.tcflower.facts import Facts, ToSoftware
from drivers.tcflower.places import entry_chain
from drivers.tcflower.rewrite import change
from drivers.tcflower.state import State
from drivers.tcflower.view import View

DEEPEST: Final = 64
"""How long a chain of groups may be."""
_KEPT: Final = frozenset((f.METADATA, f.PKT_MARK, *f.REGS))
"""Fields that a packet could take into the next table, but not in the kernel."""


@attrs.define
class Uses:
    """What of the view a rule depends on.

    :ivar ports: whether it depends on which ports there are, and how.
    :ivar groups: the groups that packets come to.
    :ivar meters: the meters.
    """

    ports: bool = False
    groups: set[int] = attrs.Factory(set)
    meters: set[int] = attrs.Factory(set)


class _Course:
    """One execution.

    :ivar sends: what was sent so far.
    :ivar credits: the groups and buckets that were executed.
    """

    def __init__(self, facts: Facts, view: View, uses: Uses) -> None:
        self.state = State.begin(facts)
        self.sends: list[Send] = []
        self.credits: list[Credit] = []
        self._view = view
        self._uses = uses
        self._depth = 0

    def do(self, actions: Sequence[Action], state: State, in_set: bool = False) -> None:
        """Execute actions, in order."""
        for place, action in enumerate(actions):
            rest = actions[place + 1 :]
            if isinstance(action, of.Output):
                self._output(state, action.port)
            elif isinstance(action, of.Enqueue):
                before = state.form
                _queue(state, queue_priority(action.queue_id))
                self._output(state, action.port)
                state.form = before
            elif isinstance(action, of.SetQueue):
                _queue(state, queue_priority(action.queue_id))
            elif isinstance(action, nx.PopQueue):
                _queue(state, 0)
            elif isinstance(action, of.GroupAction):
                self._group(state, action.group_id)
                if in_set:
                    # An output in the same set is ignored.
                    return
            elif isinstance(action, nx.ControllerAction):
                raise ToSoftware("output to the controllers")
            elif isinstance(action, nx.Exit):
                return
            elif not isinstance(action, nx.Note):
                change(state, action, rest)

    def do_set(self, actions: Actions, state: State) -> None:
        """Execute an action set: of each kind of action the last, in the order of a set."""
        found = {}
        for action in actions:
            if type(action) not in SET_ACTIONS:
                raise OpenFlowError(ACTION_BAD_TYPE, f"no action set has {type(action).__name__}")
            found[set_key(action)] = action
        self.do([action for _, action in sorted(found.items(), key=_by_place)], state, True)

    def _output(self, state: State, port: int) -> None:
        ports = self._view.ports
        if port == Port.CONTROLLER:
            raise ToSoftware("output to the controllers")
        if port == Port.NORMAL:
            raise ToSoftware("output to NORMAL")
        if port == Port.IN_PORT:
            self._uses.ports = True
            for number in ports:
                if state.is_(f.IN_PORT, number):
                    self._send(state, number)
                    return
        elif port in (Port.FLOOD, Port.ALL):
            self._uses.ports = True
            origin = next((number for number in ports if state.is_(f.IN_PORT, number)), None)
            for number, view in ports.items():
                if number != origin and (view.floods or port == Port.ALL):
                    self._send(state, number)
        elif 0 < port < Port.MAX or port == Port.LOCAL:
            self._uses.ports = True
            # The device is not asked where nothing would be sent anyhow.
            if port in ports and ports[port].forwards and not state.is_(f.IN_PORT, port):
                self._send(state, port)
        else:
            raise OpenFlowError(BAD_OUT_PORT, f"tc cannot output to port {port:#x}")

    def _send(self, state: State, number: int) -> None:
        port = self._view.ports[number]
        if port.forwards:
            self.sends.append((state.form, port.ifindex))

    def _group(self, state: State, number: int) -> None:
        """Hand copies of the packet to a group.

        What is less changed is sent first, so that as little as possible has to be undone; no port
        can tell the order of copies that come by several buckets.
        """
        self._uses.groups.add(number)
        group = self._view.groups.get(number)
        if group is None:
            return
        if group.type == GroupType.SELECT:
            raise OpenFlowError(BAD_OUT_GROUP, f"tc cannot share out packets: group {number}")
        if self._depth >= DEEPEST:
            raise OpenFlowError(BAD_OUT_GROUP, f"chain of {DEEPEST} groups")
        self._depth += 1
        before, self.sends = self.sends, []
        buckets: Sequence[tuple[int, Bucket]] = list(enumerate(group.buckets))
        if group.type == GroupType.FF:
            buckets = [(place, bucket) for place, bucket in buckets if self._live(bucket, 0)][:1]
        longer = growth(state.form)
        self.credits.append(Credit(number, -1, longer))
        for place, bucket in buckets:
            self.credits.append(Credit(number, place, longer))
            self.do_set(bucket.actions, state.fork())
        self.sends = before + sorted(self.sends, key=lambda send: len(send[0]))
        self._depth -= 1

    def _live(self, bucket: Bucket, depth: int) -> bool:
        """Whether a bucket can be used: what it watches is live, or it watches nothing."""
        if bucket.watch_port == ANY and bucket.watch_group == GROUP_ANY:
            return True
        if bucket.watch_port != ANY:
            self._uses.ports = True
            port = self._view.ports.get(bucket.watch_port)
            if port is not None and port.live:
                return True
        if bucket.watch_group == GROUP_ANY or depth > DEEPEST:
            return False
        self._uses.groups.add(bucket.watch_group)
        group = self._view.groups.get(bucket.watch_group)
        return group is not None and any(self._live(other, depth + 1) for other in group.buckets)


def _by_place(item: tuple[tuple[int, str], Action]) -> tuple[int, str]:
    return item[0]


def _queue(state: State, priority: int) -> None:
    """What is sent from now on has this priority."""
    state.form = (
        *state.form,
        Edit(Skbedit(priority=priority), Skbedit(priority=0)),
    )


@attrs.frozen
class Performed:
    """What the instructions of a rule are.

    :ivar meter: the actions that come first, if it has a meter.
    :ivar actions: the others.
    :ivar credits: what they stand for.
    """

    meter: tuple[TcAction, ...]
    actions: tuple[TcAction, ...]
    credits: Credits


def perform(instructions: Instructions, facts: Facts, view: View, uses: Uses) -> Performed:
    """The actions that do what the instructions of a rule say, to packets of which this is known.

    :param uses: is told what it depends on.
    :raises OpenFlowError: BAD_ACTION or BAD_INSTRUCTION, with the code for what tc cannot do.
    :raises ToSoftware: when the software has to execute the rule on these packets.
    :raises Split: when it depends on the packet.
    """
    goto = next((i.table_id for i in instructions if isinstance(i, of.GotoTable)), None)
    course = _Course(facts, view, uses)
    before: list[TcAction] = []
    for instruction in instructions:
        if isinstance(instruction, of.MeterInstruction):
            uses.meters.add(instruction.meter_id)
            policer = view.meters.get(instruction.meter_id)
            if policer is not None:
                # The meter is shared, and counts what all rules hand it; so another goes before it.
                before += (Gact(PIPE), policer)
        elif isinstance(instruction, of.ApplyActions):
            if goto is not None:
                _refuse_kept(instruction.actions)
            course.do(instruction.actions, course.state)
        elif isinstance(instruction, of.WriteActions):
            if goto is not None and instruction.actions:
                raise OpenFlowError(UNSUP_INST, "tc keeps no action set from table to table")
            course.do_set(instruction.actions, course.state)
        elif isinstance(instruction, of.WriteMetadata):
            if goto is not None and instruction.mask:
                raise OpenFlowError(UNSUP_METADATA, "tc keeps no metadata from table to table")
        elif not isinstance(instruction, of.ClearActions | of.GotoTable):
            raise OpenFlowError(UNSUP_INST, f"tc cannot do {type(instruction).__name__}")
    chain = None if goto is None else entry_chain(goto)
    made = script(before, course.sends, course.state.form, chain)
    return Performed(tuple(before), made[len(before) :], tuple(course.credits))


def _refuse_kept(actions: Actions) -> None:
    for action in actions:
        if isinstance(action, of.SetField) and action.field in _KEPT:
            raise OpenFlowError(
                BAD_SET_TYPE, f"tc keeps no {action.field.name} from table to table"
            )
        if isinstance(action, nx.WriteMetadataAction):
            raise OpenFlowError(UNSUP_METADATA, "tc keeps no metadata from table to table")
