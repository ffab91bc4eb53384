"""The actions of OpenFlow 1.3.

Actions that came from OpenFlow 1.0 and mean more than one of 1.3 are written as Open vSwitch writes
them: SET_VLAN_VID as a push (unless there surely is a tag) and a set-field, SET_TP_SRC as a
set-field of the transport protocol which the match says, ENQUEUE as a queue set around an output.

Source: OpenFlow 1.3.5 section 7.2.4.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from construct import Int8ub, Int16ub, Int32ub, Padding

from agent.openflow import fields
from agent.openflow.action_list import (
    EXPERIMENTER_ENCODERS,
    ActionCodec,
    Decoder,
    Encoder,
    Flow,
    Kind,
    check_output,
)
from agent.openflow.actions import (
    NO_BUFFER,
    Action,
    Actions,
    CopyTtlIn,
    CopyTtlOut,
    DecMplsTtl,
    DecNwTtl,
    Enqueue,
    GroupAction,
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
)
from agent.openflow.errors import (
    ACTION_BAD_LEN,
    BAD_ARGUMENT,
    BAD_SET_ARGUMENT,
    BAD_SET_TYPE,
    OpenFlowError,
)
from agent.openflow.fields import VLAN_PRESENT, Field
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.oxm import decode_oxm_field, encode_oxm_field
from agent.openflow.wire import Fixed

_HEADER: Final = Fixed("type" / Int16ub, "len" / Int16ub)
OUTPUT: Final = Fixed(_HEADER, "port" / Int32ub, "max_len" / Int16ub, Padding(6))
EMPTY: Final = Fixed(_HEADER, Padding(4))
TTL: Final = Fixed(_HEADER, "ttl" / Int8ub, Padding(3))
ETHERTYPE: Final = Fixed(_HEADER, "ethertype" / Int16ub, Padding(2))
SET_QUEUE: Final = Fixed(_HEADER, "queue_id" / Int32ub)
GROUP: Final = Fixed(_HEADER, "group_id" / Int32ub)


class ActionType(enum.IntEnum):
    """``ofp_action_type``; the experimenter's is in :mod:`agent.openflow.action_list`."""

    OUTPUT = 0
    COPY_TTL_OUT = 11
    COPY_TTL_IN = 12
    SET_MPLS_TTL = 15
    DEC_MPLS_TTL = 16
    PUSH_VLAN = 17
    POP_VLAN = 18
    PUSH_MPLS = 19
    POP_MPLS = 20
    SET_QUEUE = 21
    GROUP = 22
    SET_NW_TTL = 23
    DEC_NW_TTL = 24
    SET_FIELD = 25
    PUSH_PBB = 26
    POP_PBB = 27


def _output(port: int, max_len: int) -> Action:
    return Output(check_output(port), max_len)


def _push(kind: Callable[[int], Action], *ethertypes: int) -> Callable[[int], Action]:
    def make(ethertype: int) -> Action:
        if ethertype not in ethertypes:
            raise OpenFlowError(BAD_ARGUMENT, f"{kind} of ethertype {ethertype:#06x}")
        return kind(ethertype)

    return make


def _decode_set_field(data: bytes, offset: int, length: int) -> Action:
    end = offset + length
    field, value, mask, stop = decode_oxm_field(data, offset + _HEADER.size, end)
    if end - stop > 7:
        raise OpenFlowError(ACTION_BAD_LEN, f"{end - stop} bytes behind the field")
    if data[stop:end].strip(b"\0"):
        raise OpenFlowError(BAD_SET_ARGUMENT, "padding is not zero")
    if not field.writable:
        raise OpenFlowError(BAD_SET_TYPE, f"{field.name} cannot be set")
    if mask is not None:
        raise OpenFlowError(BAD_SET_ARGUMENT, f"{field.name} is set with a mask")
    if field is fields.VLAN_VID and not value & VLAN_PRESENT:
        raise OpenFlowError(BAD_SET_ARGUMENT, f"vlan_vid={value:#x} without OFPVID_PRESENT")
    if field is fields.NW_TOS:
        return SetField(fields.IP_DSCP, value >> 2)
    return SetField(field, value)


_KINDS: Final = {
    ActionType.OUTPUT: Kind(OUTPUT, _output),
    ActionType.COPY_TTL_OUT: Kind(EMPTY, CopyTtlOut),
    ActionType.COPY_TTL_IN: Kind(EMPTY, CopyTtlIn),
    ActionType.SET_MPLS_TTL: Kind(TTL, SetMplsTtl),
    ActionType.DEC_MPLS_TTL: Kind(EMPTY, DecMplsTtl),
    ActionType.PUSH_VLAN: Kind(ETHERTYPE, _push(PushVlan, 0x8100, 0x88A8)),
    ActionType.POP_VLAN: Kind(EMPTY, PopVlan),
    ActionType.PUSH_MPLS: Kind(ETHERTYPE, _push(PushMpls, *fields.MPLS)),
    ActionType.POP_MPLS: Kind(ETHERTYPE, PopMpls),
    ActionType.SET_QUEUE: Kind(SET_QUEUE, SetQueue),
    ActionType.GROUP: Kind(GROUP, GroupAction),
    ActionType.SET_NW_TTL: Kind(TTL, SetNwTtl),
    ActionType.DEC_NW_TTL: Kind(EMPTY, DecNwTtl),
    ActionType.PUSH_PBB: Kind(ETHERTYPE, _push(PushPbb, *fields.PBB)),
    ActionType.POP_PBB: Kind(EMPTY, PopPbb),
}
_DECODERS: Final[dict[int, Decoder]] = {kind: known.decode for kind, known in _KINDS.items()}
_DECODERS[ActionType.SET_FIELD] = _decode_set_field


def _write(kind: ActionType, *values: int) -> bytes:
    layout = _KINDS[kind].layout
    return layout.pack(kind, layout.size, *values)


def _write_set_field(field: Field, value: int) -> bytes:
    tlv = encode_oxm_field(field, value)
    padding = -(_HEADER.size + len(tlv)) % 8
    header = _HEADER.pack(ActionType.SET_FIELD, _HEADER.size + len(tlv) + padding)
    return header + tlv + bytes(padding)


def _set_field(action: SetField, flow: Flow) -> bytes:
    """A whole field; there is nothing for part of one but an experimenter's.

    What has a mask, be it of all ones, came as an experimenter's action, and goes out as one.
    """
    if action.mask is None:
        if action.field is fields.VLAN_VID:
            flow.has_vlan = True
        return _write_set_field(action.field, action.value)
    other = EXPERIMENTER_ENCODERS.get(SetField)
    return other(action, flow) if other else b""


def _push_vlan(ethertype: int, flow: Flow) -> bytes:
    flow.has_vlan = True
    return _write(ActionType.PUSH_VLAN, ethertype)


def _pop_vlan(action: PopVlan, flow: Flow) -> bytes:
    flow.has_vlan = False
    return _write(ActionType.POP_VLAN)


def _set_vlan(field: Field, value: int, flow: Flow) -> bytes:
    flow.asked = True
    push = b"" if flow.has_vlan else _push_vlan(0x8100, flow)
    return push + _write_set_field(field, value)


_TP_SRC: Final = {6: fields.TCP_SRC, 17: fields.UDP_SRC, 132: fields.SCTP_SRC}
_TP_DST: Final = {6: fields.TCP_DST, 17: fields.UDP_DST, 132: fields.SCTP_DST}


def _set_tp(known: dict[int, Field], port: int, flow: Flow) -> bytes:
    """The port of the protocol that the packets have; without one, the action does nothing."""
    flow.asked = True
    field = None if flow.ip_proto is None else known.get(flow.ip_proto)
    return b"" if field is None else _write_set_field(field, port)


def _enqueue(action: Enqueue, flow: Flow) -> bytes:
    return (
        _write(ActionType.SET_QUEUE, action.queue_id)
        + _write(ActionType.OUTPUT, action.port, NO_BUFFER)
        + NXAST_POP_QUEUE
    )


NXAST_POP_QUEUE: Final = bytes.fromhex("ffff 0010 00002320 0005 000000000000")
"""Nicira's action that ends what SET_QUEUE began."""

ENCODERS: Final[dict[type[Action], Encoder]] = {
    Output: lambda a, _: _write(ActionType.OUTPUT, a.port, a.max_len),
    CopyTtlOut: lambda a, _: _write(ActionType.COPY_TTL_OUT),
    CopyTtlIn: lambda a, _: _write(ActionType.COPY_TTL_IN),
    SetMplsTtl: lambda a, _: _write(ActionType.SET_MPLS_TTL, a.ttl),
    DecMplsTtl: lambda a, _: _write(ActionType.DEC_MPLS_TTL),
    PushVlan: lambda a, flow: _push_vlan(a.ethertype, flow),
    PopVlan: _pop_vlan,
    PushMpls: lambda a, _: _write(ActionType.PUSH_MPLS, a.ethertype),
    PopMpls: lambda a, _: _write(ActionType.POP_MPLS, a.ethertype),
    SetQueue: lambda a, _: _write(ActionType.SET_QUEUE, a.queue_id),
    GroupAction: lambda a, _: _write(ActionType.GROUP, a.group_id),
    SetNwTtl: lambda a, _: _write(ActionType.SET_NW_TTL, a.ttl),
    DecNwTtl: lambda a, _: _write(ActionType.DEC_NW_TTL),
    SetField: _set_field,
    PushPbb: lambda a, _: _write(ActionType.PUSH_PBB, a.ethertype),
    PopPbb: lambda a, _: _write(ActionType.POP_PBB),
    Enqueue: _enqueue,
    SetVlanVid: lambda a, flow: _set_vlan(fields.VLAN_VID, a.vlan_vid | VLAN_PRESENT, flow),
    SetVlanPcp: lambda a, flow: _set_vlan(fields.VLAN_PCP, a.vlan_pcp, flow),
    SetTpSrc: lambda a, flow: _set_tp(_TP_SRC, a.port, flow),
    SetTpDst: lambda a, flow: _set_tp(_TP_DST, a.port, flow),
}
"""What writes the actions that 1.3 has a way to say."""

CODEC: Final = ActionCodec(_DECODERS, ENCODERS)
"""Reads and writes actions, for the lists in instructions and buckets."""


def decode_actions(data: bytes, offset: int, length: int) -> Actions:
    """The actions in the ``length`` bytes from ``offset``; the same tuple for the same bytes.

    :raises OpenFlowError: any of BAD_ACTION.
    """
    return CODEC.decode(data, offset, length)


def encode_actions(actions: Actions, match: Match = MATCH_ALL) -> bytes:
    """The bytes of actions.

    :param match: of the rule; actions of 1.0 may be written differently for it.
    """
    return CODEC.encode(actions, match)
