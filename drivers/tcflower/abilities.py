"""What rules can be made of with this driver: what it tells the agent of itself.

What is listed here can be done in some rules, not in each: :mod:`drivers.tcflower.translate`
refuses single rules for more reasons than a table of fields and actions has room for, unless the
software does what the kernel cannot; then everything is possible that is with the software driver.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Final

import attrs

from agent.openflow import actions as of
from agent.openflow import nx_actions as nx
from agent.openflow.actions import Action
from agent.openflow.fields import Field
from agent.openflow.group_messages import GroupType
from agent.openflow.messages import Port
from drivers.interfaces import ALL_FIELDS, RESERVED_PORTS
from drivers.software import program
from drivers.tcflower.keys import MATCHED
from drivers.tcflower.rewrite import CHANGES


def _bits(fields: Iterable[Field]) -> int:
    """The bits of these fields in a flow key; some share them."""
    return reduce(or_, (field.mask for field in fields))


MATCHABLE: Final = _bits(MATCHED)
"""A flow key with a one in each bit that flower can compare in some match."""

ACTIONS: Final[frozenset[type[Action]]] = frozenset(CHANGES) | {
    of.Output,
    of.Enqueue,
    of.SetQueue,
    of.GroupAction,
    nx.Exit,
    nx.Note,
    nx.PopQueue,
}
"""The kinds of actions that rules can have."""

SET_ACTIONS: Final = ACTIONS & program.SET_ACTIONS
"""Those which an action set, and so a bucket, can have."""

INSTRUCTIONS: Final[frozenset[type]] = frozenset(
    {of.ApplyActions, of.WriteActions, of.ClearActions, of.GotoTable, of.MeterInstruction}
)
"""The kinds of instructions."""

RESERVED: Final = RESERVED_PORTS - {Port.CONTROLLER}
"""The reserved ports that the kernel sends packets to; TABLE is for packet-outs."""

GROUP_TYPES: Final = frozenset({GroupType.ALL, GroupType.INDIRECT, GroupType.FF})
"""The types of groups."""


@attrs.frozen
class Abilities:
    """All of that, with what the software adds.

    :ivar software: whether packets come to the software.
    :ivar fallback: whether it executes what flower cannot express.
    """

    software: bool
    fallback: bool
    matchable: int = MATCHABLE
    actions: frozenset[type[Action]] = ACTIONS
    set_actions: frozenset[type[Action]] = SET_ACTIONS
    instructions: frozenset[type] = INSTRUCTIONS
    reserved: frozenset[int] = RESERVED
    group_types: frozenset[int] = GROUP_TYPES
    watch_types: frozenset[int] = frozenset({GroupType.FF})

    @classmethod
    def of(cls, software: bool, fallback: bool) -> Abilities:
        """What there is; ``fallback`` needs ``software``."""
        if fallback:
            return cls(
                software,
                fallback,
                ALL_FIELDS,
                program.ACTIONS,
                program.SET_ACTIONS,
                program.INSTRUCTIONS,
                program.RESERVED,
                frozenset(GroupType),
                frozenset({GroupType.SELECT, GroupType.FF}),
            )
        if software:
            return cls(
                software,
                fallback,
                actions=ACTIONS | {nx.ControllerAction},
                reserved=RESERVED | {Port.CONTROLLER},
            )
        return cls(software, fallback)
