"""What OFPMP_TABLE_FEATURES says of a table: the driver's capabilities in OpenFlow's words.

Source: OpenFlow 1.3.5 section 7.3.5.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.ofproto.table import FlowTable
from agent.openflow import actions as act
from agent.openflow.actions13 import ActionType
from agent.openflow.fields import METADATA, OXM_FIELDS, Field
from agent.openflow.instructions13 import InstructionType
from agent.openflow.messages import TableFeatures
from agent.openflow.table_features import Property

INSTRUCTIONS: Final[dict[type, int]] = {
    act.GotoTable: InstructionType.GOTO_TABLE,
    act.WriteMetadata: InstructionType.WRITE_METADATA,
    act.WriteActions: InstructionType.WRITE_ACTIONS,
    act.ApplyActions: InstructionType.APPLY_ACTIONS,
    act.ClearActions: InstructionType.CLEAR_ACTIONS,
    act.MeterInstruction: InstructionType.METER,
}

ACTIONS: Final[dict[type[act.Action], int]] = {
    act.Output: ActionType.OUTPUT,
    act.CopyTtlOut: ActionType.COPY_TTL_OUT,
    act.CopyTtlIn: ActionType.COPY_TTL_IN,
    act.SetMplsTtl: ActionType.SET_MPLS_TTL,
    act.DecMplsTtl: ActionType.DEC_MPLS_TTL,
    act.PushVlan: ActionType.PUSH_VLAN,
    act.PopVlan: ActionType.POP_VLAN,
    act.PushMpls: ActionType.PUSH_MPLS,
    act.PopMpls: ActionType.POP_MPLS,
    act.SetQueue: ActionType.SET_QUEUE,
    act.GroupAction: ActionType.GROUP,
    act.SetNwTtl: ActionType.SET_NW_TTL,
    act.DecNwTtl: ActionType.DEC_NW_TTL,
    act.SetField: ActionType.SET_FIELD,
    act.PushPbb: ActionType.PUSH_PBB,
    act.PopPbb: ActionType.POP_PBB,
}


def _header(field: Field, masked: bool) -> int:
    """The 32-bit header of an OXM TLV, as a property lists it."""
    assert field.oxm is not None
    oxm_class, number = field.oxm
    width = field.bytes * 2 if masked else field.bytes
    return oxm_class << 16 | number << 9 | masked << 8 | width


def _instructions(table: FlowTable) -> tuple[int, ...]:
    can = table.capabilities.instructions
    return tuple(sorted(n for kind, n in INSTRUCTIONS.items() if can is None or kind in can))


def action_types(can: frozenset[type[act.Action]] | None) -> tuple[int, ...]:
    """The ``OFPAT_*`` numbers of some kinds of actions, or of all."""
    return tuple(sorted(n for kind, n in ACTIONS.items() if can is None or kind in can))


def _set_fields(can: frozenset[type[act.Action]] | None) -> tuple[int, ...]:
    if can is not None and act.SetField not in can:
        return ()
    return tuple(_header(field, False) for field in OXM_FIELDS if field.writable)


def describe(table: FlowTable, tables: Sequence[FlowTable]) -> TableFeatures:
    """The features of one table.

    :param tables: all tables; those behind this one are where it can go to.
    """
    can = table.capabilities
    matched = [field for field in OXM_FIELDS if not field.mask & ~can.match_mask]
    headers = tuple(
        _header(field, field.maskable and not field.mask & can.exact_mask) for field in matched
    )
    following = tuple(other.table_id for other in tables if other.table_id > table.table_id)
    properties: dict[int, tuple[int, ...]] = {}
    for hit, value in (
        (Property.INSTRUCTIONS, _instructions(table)),
        (Property.NEXT_TABLES, following),
        (Property.WRITE_ACTIONS, action_types(can.write_actions)),
        (Property.APPLY_ACTIONS, action_types(can.actions)),
        (Property.WRITE_SETFIELD, _set_fields(can.write_actions)),
        (Property.APPLY_SETFIELD, _set_fields(can.actions)),
    ):
        # An entry for what misses can do what any other can.
        properties[hit] = properties[hit + 1] = value
    properties[Property.MATCH] = headers
    # Every field may be left out.
    properties[Property.WILDCARDS] = tuple(_header(field, False) for field in matched)
    metadata = METADATA.limit if act.WriteMetadata in (can.instructions or INSTRUCTIONS) else 0
    return TableFeatures(
        table.table_id,
        table.name,
        metadata if not METADATA.mask & ~can.match_mask else 0,
        metadata,
        0,
        table.max_entries,
        dict(sorted(properties.items())),
    )
