"""What OFPMP_TABLE_FEATURES says of a table: the driver's capabilities in OpenFlow's words, and
whether they are enough for what a controller asks for.

Source: OpenFlow 1.3.5 section 7.3.5.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from agent.ofproto.table import FlowTable
from agent.openflow import actions as act
from agent.openflow import errors
from agent.openflow.actions13 import ActionType
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import METADATA, OXM_FIELDS, Field
from agent.openflow.instructions13 import InstructionType
from agent.openflow.messages import TableFeatures
from agent.openflow.table_features import FIELDS, Property

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

MISS: Final[Mapping[int, Property]] = {
    Property.INSTRUCTIONS: Property.INSTRUCTIONS_MISS,
    Property.NEXT_TABLES: Property.NEXT_TABLES_MISS,
    Property.WRITE_ACTIONS: Property.WRITE_ACTIONS_MISS,
    Property.APPLY_ACTIONS: Property.APPLY_ACTIONS_MISS,
    Property.WRITE_SETFIELD: Property.WRITE_SETFIELD_MISS,
    Property.APPLY_SETFIELD: Property.APPLY_SETFIELD_MISS,
}
"""The same property of a table-miss entry, which can do what any other can."""
MISSES: Final = frozenset(MISS.values())

CONFIG: Final = 0x3
"""``OFPTC_DEPRECATED_MASK``: bits which have had no meaning since 1.3."""

_MASKED: Final = 0xFFFFFF00
"""Class, field and whether there is a mask, in the header of an OXM TLV."""
_WHOLE: Final = 0xFFFFFE00
"""Class and field."""


def _header(field: Field, masked: bool) -> int:
    """The 32-bit header of an OXM TLV, as a property lists it."""
    assert field.oxm is not None
    oxm_class, number = field.oxm
    width = field.bytes * 2 if masked else field.bytes
    return oxm_class << 16 | number << 9 | masked << 8 | width


def action_types(can: frozenset[type[act.Action]] | None) -> tuple[int, ...]:
    """The ``OFPAT_*`` numbers of some kinds of actions, or of all."""
    return tuple(sorted(n for kind, n in ACTIONS.items() if can is None or kind in can))


def _set_fields(can: frozenset[type[act.Action]] | None) -> tuple[int, ...]:
    if can is not None and act.SetField not in can:
        return ()
    return tuple(_header(field, False) for field in OXM_FIELDS if field.writable)


@lru_cache(256)
def _properties(
    match_mask: int,
    exact_mask: int,
    actions: frozenset[type[act.Action]] | None,
    write_actions: frozenset[type[act.Action]] | None,
    instructions: frozenset[type] | None,
) -> Mapping[int, tuple[int, ...]]:
    """The properties of a table, but for the tables behind it; see :class:`TableCapabilities`.

    Remembered: a switch has 254 tables and few kinds of them.
    """
    matched = [field for field in OXM_FIELDS if not field.mask & ~match_mask]
    properties: dict[int, tuple[int, ...]] = {
        Property.INSTRUCTIONS: tuple(
            sorted(
                number
                for kind, number in INSTRUCTIONS.items()
                if instructions is None or kind in instructions
            )
        ),
        Property.WRITE_ACTIONS: action_types(write_actions),
        Property.APPLY_ACTIONS: action_types(actions),
        Property.WRITE_SETFIELD: _set_fields(write_actions),
        Property.APPLY_SETFIELD: _set_fields(actions),
        Property.MATCH: tuple(
            _header(field, field.maskable and not field.mask & exact_mask) for field in matched
        ),
        # Every field may be left out.
        Property.WILDCARDS: tuple(_header(field, False) for field in matched),
    }
    return properties | {MISS[kind]: ids for kind, ids in properties.items() if kind in MISS}


def describe(table: FlowTable, tables: Sequence[FlowTable]) -> TableFeatures:
    """The features of one table.

    :param tables: all tables of the pipeline; those behind this one are where it can go to.
    """
    can = table.capabilities
    following = tuple(other.table_id for other in tables if other.table_id > table.table_id)
    properties: dict[int, tuple[int, ...]] = {
        **_properties(
            can.match_mask, can.exact_mask, can.actions, can.write_actions, can.instructions
        ),
        Property.NEXT_TABLES: following,
        Property.NEXT_TABLES_MISS: following,
    }
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


def check(wanted: Sequence[TableFeatures], tables: Sequence[FlowTable]) -> None:
    """Check that a pipeline can be had: its tables exist, and can do no less than is asked of them.

    How many rules a table takes cannot be asked for: ``max_entries`` "is read only and returned by
    the switch".

    :param wanted: the tables of the pipeline.
    :param tables: those of the hardware, by number, whether they are in the pipeline now or not.
    :raises OpenFlowError: TABLE_FEATURES_FAILED with the code for what is wrong.
    """
    numbers = {features.table_id for features in wanted}
    if len(numbers) < len(wanted):
        raise OpenFlowError(errors.TABLE_FEATURES_BAD_TABLE, "a table twice")
    for number in sorted(numbers):
        if number >= len(tables):
            raise OpenFlowError(errors.TABLE_FEATURES_BAD_TABLE, f"table {number}")
    if 0 not in numbers:
        raise OpenFlowError(errors.TABLE_FEATURES_EPERM, "packets begin at table 0")
    pipeline = [tables[number] for number in sorted(numbers)]
    for features in wanted:
        _check_table(features, describe(tables[features.table_id], pipeline))


def _check_table(wanted: TableFeatures, offered: TableFeatures) -> None:
    """Check what is asked of one table."""
    place = f"table {wanted.table_id}"
    if wanted.metadata_match & ~offered.metadata_match:
        text = f"{place} cannot match metadata {wanted.metadata_match:#x}"
        raise OpenFlowError(errors.TABLE_FEATURES_BAD_METADATA, text)
    if wanted.metadata_write & ~offered.metadata_write:
        text = f"{place} cannot write metadata {wanted.metadata_write:#x}"
        raise OpenFlowError(errors.TABLE_FEATURES_BAD_METADATA, text)
    if wanted.config & ~CONFIG:
        text = f"{place}: config {wanted.config:#x}"
        raise OpenFlowError(errors.TABLE_FEATURES_BAD_ARGUMENT, text)
    for kind, ids in offered.properties.items():
        if kind in wanted.properties:
            missing = _kinds(kind, wanted.properties[kind]) - _kinds(kind, ids)
            if missing:
                text = f"{place}: {Property(kind).name} {min(missing):#x}"
                raise OpenFlowError(errors.TABLE_FEATURES_BAD_ARGUMENT, text)
        elif kind not in MISSES:
            # What lists nothing must be there all the same.  Only what is said of table-miss
            # entries may be left out, where it is what is said of others.
            text = f"{place}: no {Property(kind).name}"
            raise OpenFlowError(errors.TABLE_FEATURES_BAD_TYPE, text)


@lru_cache(256)
def _kinds(kind: int, ids: tuple[int, ...]) -> frozenset[int]:
    """What a property lists, without what does not tell its items apart.

    Of the headers of OXM TLVs, their lengths do not: they follow from the fields, and os-ken says
    0.  A field that can be masked can also be matched as a whole; where it is about leaving the
    field out, masks mean nothing.
    """
    if kind not in FIELDS:
        return frozenset(ids)
    whole = frozenset(header & _WHOLE for header in ids)
    if kind == Property.WILDCARDS:
        return whole
    return whole | {header & _MASKED for header in ids}
