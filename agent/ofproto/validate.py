"""Whether a driver can do what a rule says, and which error it is when it cannot.

Everything is checked before anything is changed.  What was found good is remembered: controllers
use the same few masks and action lists for thousands of rules, and the codec hands equal action
lists out as one object.
"""

from __future__ import annotations

from typing import Final, Protocol

from agent.ofproto.shape import Shape
from agent.openflow import errors
from agent.openflow.actions import (
    Action,
    Actions,
    ApplyActions,
    Enqueue,
    GotoTable,
    GroupAction,
    Instructions,
    MeterInstruction,
    Output,
    SetField,
    SetQueue,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import FIELDS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import ALL_TABLES, OFP10, Port
from agent.openflow.nx_actions import Learn, LearnFlags, Resubmit
from drivers.interfaces import TableCapabilities

MEMORY: Final = 4096
"""How many masks, and how many instruction lists, are remembered as good."""


class Limits(Protocol):
    """What a rule may refer to."""

    @property
    def reserved_ports(self) -> frozenset[int]:
        """The reserved ports that actions may output to; TABLE only those of a packet-out."""

    def has_table(self, table_id: int) -> bool:
        """Whether there is such a table."""

    def has_group(self, group_id: int) -> bool:
        """Whether there is such a group.

        :raises Postponed: when something is in flight about it.
        """

    def has_meter(self, meter_id: int) -> bool:
        """Whether there is such a meter.

        :raises Postponed: when something is in flight about it.
        """

    def check_queue(self, action: Enqueue | SetQueue) -> None:
        """Check that a queue is there which an action chooses; which there are does not change.

        :raises OpenFlowError: BAD_ACTION/BAD_QUEUE.
        """

    def will_forget(self) -> None:
        """A rule may come which has what it taught deleted when it goes."""


class Validator:
    """Checks matches, instructions and action lists against one table's capabilities.

    :ivar capabilities: what the table can do.
    """

    def __init__(self, capabilities: TableCapabilities, limits: Limits) -> None:
        self.capabilities = capabilities
        self._limits = limits
        self._reserved = limits.reserved_ports
        self._masks: set[int] = set()
        # By identity: the lists that are good whatever the match is; those of 1.0 apart, which has
        # no prerequisites.
        self._good: dict[int, Instructions] = {}
        self._good10: dict[int, Instructions] = {}

    def forget(self) -> None:
        """Something that a rule may refer to has changed: check everything anew."""
        self._good.clear()
        self._good10.clear()

    def check(self, version: int, match: Match, instructions: Instructions) -> None:
        """Check a rule.

        :raises OpenFlowError: with the code the specification gives for what is wrong.
        """
        if match.mask not in self._masks:
            self.check_match(match)
        good = self._good10 if version == OFP10 else self._good
        if good.get(id(instructions)) is not instructions:
            self.check_instructions(version, match, instructions)

    def check_match(self, match: Match) -> None:
        """Check that the table can compare these bits.

        :raises OpenFlowError: BAD_MATCH/BAD_FIELD or BAD_MATCH/BAD_MASK.
        """
        mask = match.mask
        can = self.capabilities
        if mask & ~can.match_mask:
            names = [f.name for f in FIELDS.values() if mask & ~can.match_mask & f.mask]
            raise OpenFlowError(errors.BAD_FIELD, f"table {can.table_id} cannot match {names[0]}")
        if mask & can.exact_mask:
            for field in FIELDS.values():
                bits = mask & field.mask
                if bits and bits != field.mask and field.mask & ~can.exact_mask == 0:
                    raise OpenFlowError(
                        errors.MATCH_BAD_MASK, f"table {can.table_id} cannot mask {field.name}"
                    )
        if len(self._masks) >= MEMORY:
            self._masks.clear()
        self._masks.add(mask)

    def check_instructions(self, version: int, match: Match, instructions: Instructions) -> None:
        """Check that the table can do these.

        :raises OpenFlowError: BAD_INSTRUCTION or BAD_ACTION with the code for what is wrong.
        """
        can = self.capabilities
        context_free = True
        for instruction in instructions:
            if can.instructions is not None and type(instruction) not in can.instructions:
                code = (
                    errors.UNSUP_METADATA
                    if isinstance(instruction, WriteMetadata)
                    else errors.UNSUP_INST
                )
                raise OpenFlowError(code, type(instruction).__name__)
            if isinstance(instruction, ApplyActions):
                context_free &= self._check_actions(
                    version, match, instruction.actions, can.actions
                )
            elif isinstance(instruction, WriteActions):
                context_free &= self._check_actions(
                    version, match, instruction.actions, can.write_actions
                )
            elif isinstance(instruction, GotoTable):
                target = instruction.table_id
                if target <= can.table_id or not self._limits.has_table(target):
                    raise OpenFlowError(
                        errors.INST_BAD_TABLE_ID, f"goto_table:{target} in table {can.table_id}"
                    )
            elif isinstance(instruction, MeterInstruction) and not self._limits.has_meter(
                instruction.meter_id
            ):
                raise OpenFlowError(errors.UNKNOWN_METER, f"meter {instruction.meter_id}")
        if context_free:
            good = self._good10 if version == OFP10 else self._good
            if len(good) >= MEMORY:
                good.clear()
            good[id(instructions)] = instructions

    def check_packet_out(self, version: int, actions: Actions) -> None:
        """Check the actions of a packet-out, which may also output to the tables.

        :raises OpenFlowError: BAD_ACTION with the code for what is wrong.
        """
        self._check_actions(version, MATCH_ALL, actions, None, packet=True, shaped=False)

    def check_bucket(
        self, version: int, actions: Actions, allowed: frozenset[type[Action]] | None
    ) -> None:
        """Check the actions of a bucket, but for the groups that they name; which packets will come
        nobody can know.

        :param allowed: the action classes that a bucket may have; None: all.
        :raises OpenFlowError: BAD_ACTION with the code for what is wrong.
        """
        known = tuple(action for action in actions if not isinstance(action, GroupAction))
        self._check_actions(version, MATCH_ALL, known, allowed, shaped=False)

    def _check_actions(
        self,
        version: int,
        match: Match,
        actions: Actions,
        allowed: frozenset[type[Action]] | None,
        packet: bool = False,
        shaped: bool = True,
    ) -> bool:
        """Check an action list; returns whether the answer does not depend on the match.

        :param packet: whether it is that of a packet-out.
        :param shaped: whether the match says what packets look like.
        """
        context_free = True
        shape = None
        for action in actions:
            if allowed is not None and type(action) not in allowed:
                raise OpenFlowError(
                    errors.ACTION_BAD_TYPE,
                    f"table {self.capabilities.table_id} cannot do {type(action).__name__}",
                )
            if isinstance(action, Output | Enqueue):
                port = action.port
                if not (
                    0 < port < Port.MAX
                    or (port in self._reserved and (packet or port != Port.TABLE))
                ):
                    raise OpenFlowError(errors.BAD_OUT_PORT, f"port {port:#x}")
            elif isinstance(action, GroupAction):
                if not self._limits.has_group(action.group_id):
                    raise OpenFlowError(errors.BAD_OUT_GROUP, f"group {action.group_id}")
            elif isinstance(action, Resubmit | Learn):
                self._check_table(action)
            if isinstance(action, SetQueue | Enqueue):
                self._limits.check_queue(action)
            # A set-field that is no reg_load is what 1.0 itself has, which writes what is there.
            lenient = version == OFP10 and isinstance(action, SetField) and action.mask is None
            if shaped and not lenient:
                if shape is None:
                    shape = Shape(match, version != OFP10)
                context_free &= shape.follow(action)
        return context_free

    def _check_table(self, action: Resubmit | Learn) -> None:
        """Check that the table is there which an action names."""
        table_id = action.table_id
        if isinstance(action, Resubmit) and table_id == ALL_TABLES:
            return
        if not self._limits.has_table(table_id):
            raise OpenFlowError(errors.BAD_ARGUMENT, f"{type(action).__name__}: table {table_id}")
        if isinstance(action, Learn) and action.flags & LearnFlags.DELETE_LEARNED:
            self._limits.will_forget()
