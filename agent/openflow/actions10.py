"""The actions of OpenFlow 1.0.

Each header field has an action of its own.  Those which mean the same as SET_FIELD of later
versions become a :class:`~agent.openflow.actions.SetField`, and back.

Source: OpenFlow 1.0.1 section 5.2.4.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Padding

from agent.openflow import fields
from agent.openflow.action_list import (
    EXPERIMENTER_ENCODERS,
    ActionCodec,
    Encoder,
    Flow,
    Kind,
    check_output,
)
from agent.openflow.actions import (
    Action,
    Actions,
    Enqueue,
    Output,
    PopVlan,
    PushVlan,
    SetField,
    SetTpDst,
    SetTpSrc,
    SetVlanPcp,
    SetVlanVid,
)
from agent.openflow.errors import BAD_ARGUMENT, BAD_OUT_PORT, OpenFlowError
from agent.openflow.fields import Field
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.wire import Fixed

_HEADER: Final = Fixed("type" / Int16ub, "len" / Int16ub)
OUTPUT: Final = Fixed(_HEADER, "port" / Int16ub, "max_len" / Int16ub)
VLAN_VID: Final = Fixed(_HEADER, "vlan_vid" / Int16ub, Padding(2))
VLAN_PCP: Final = Fixed(_HEADER, "vlan_pcp" / Int8ub, Padding(3))
EMPTY: Final = Fixed(_HEADER, Padding(4))
DL_ADDR: Final = Fixed(_HEADER, "dl_addr" / Bytes(6), Padding(6))
NW_ADDR: Final = Fixed(_HEADER, "nw_addr" / Bytes(4))
NW_TOS: Final = Fixed(_HEADER, "nw_tos" / Int8ub, Padding(3))
TP_PORT: Final = Fixed(_HEADER, "tp_port" / Int16ub, Padding(2))
ENQUEUE: Final = Fixed(_HEADER, "port" / Int16ub, Padding(6), "queue_id" / Int32ub)


class ActionType(enum.IntEnum):
    """``ofp_action_type``; the vendor's is in :mod:`agent.openflow.action_list`."""

    OUTPUT = 0
    SET_VLAN_VID = 1
    SET_VLAN_PCP = 2
    STRIP_VLAN = 3
    SET_DL_SRC = 4
    SET_DL_DST = 5
    SET_NW_SRC = 6
    SET_NW_DST = 7
    SET_NW_TOS = 8
    SET_TP_SRC = 9
    SET_TP_DST = 10
    ENQUEUE = 11


def _output(port: int, max_len: int) -> Action:
    return Output(check_output(from_wire10(port)), max_len)


def _enqueue(port: int, queue_id: int) -> Action:
    number = check_output(from_wire10(port))
    if number >= Port.MAX and number not in (Port.IN_PORT, Port.LOCAL):
        raise OpenFlowError(BAD_OUT_PORT, f"port {number:#x} has no queues")
    return Enqueue(number, queue_id)


def _vlan_vid(vlan_vid: int) -> Action:
    if vlan_vid > 0x0FFF:
        raise OpenFlowError(BAD_ARGUMENT, f"VLAN {vlan_vid}")
    return SetVlanVid(vlan_vid)


def _vlan_pcp(vlan_pcp: int) -> Action:
    if vlan_pcp > 7:
        raise OpenFlowError(BAD_ARGUMENT, f"VLAN priority {vlan_pcp}")
    return SetVlanPcp(vlan_pcp)


def _nw_tos(nw_tos: int) -> Action:
    if nw_tos & 3:
        raise OpenFlowError(BAD_ARGUMENT, f"ToS {nw_tos:#x} has bits of ECN")
    return SetField(fields.IP_DSCP, nw_tos >> 2)


def _set_address(field: Field) -> Callable[[bytes], Action]:
    return lambda address: SetField(field, int.from_bytes(address, "big"))


_KINDS: Final = {
    ActionType.OUTPUT: Kind(OUTPUT, _output),
    ActionType.SET_VLAN_VID: Kind(VLAN_VID, _vlan_vid),
    ActionType.SET_VLAN_PCP: Kind(VLAN_PCP, _vlan_pcp),
    ActionType.STRIP_VLAN: Kind(EMPTY, PopVlan),
    ActionType.SET_DL_SRC: Kind(DL_ADDR, _set_address(fields.ETH_SRC)),
    ActionType.SET_DL_DST: Kind(DL_ADDR, _set_address(fields.ETH_DST)),
    ActionType.SET_NW_SRC: Kind(NW_ADDR, _set_address(fields.IPV4_SRC)),
    ActionType.SET_NW_DST: Kind(NW_ADDR, _set_address(fields.IPV4_DST)),
    ActionType.SET_NW_TOS: Kind(NW_TOS, _nw_tos),
    ActionType.SET_TP_SRC: Kind(TP_PORT, SetTpSrc),
    ActionType.SET_TP_DST: Kind(TP_PORT, SetTpDst),
    ActionType.ENQUEUE: Kind(ENQUEUE, _enqueue),
}


def _write(kind: ActionType, *values: int | bytes) -> bytes:
    layout = _KINDS[kind].layout
    return layout.pack(kind, layout.size, *values)


def _set_vlan_vid(vlan_vid: int) -> bytes:
    return _write(ActionType.SET_VLAN_VID, vlan_vid & 0x0FFF)


def _set_vlan_pcp(vlan_pcp: int) -> bytes:
    return _write(ActionType.SET_VLAN_PCP, vlan_pcp)


def _set_vlan_tci(tci: int) -> bytes:
    """A whole tag; without the bit that says it is present, none."""
    if not tci & fields.VLAN_PRESENT:
        return _write(ActionType.STRIP_VLAN)
    return _set_vlan_vid(tci) + _set_vlan_pcp(tci >> 13)


def _address(kind: ActionType, size: int) -> Callable[[int], bytes]:
    return lambda value: _write(kind, value.to_bytes(size, "big"))


def _set_tp_src(port: int) -> bytes:
    return _write(ActionType.SET_TP_SRC, port)


def _set_tp_dst(port: int) -> bytes:
    return _write(ActionType.SET_TP_DST, port)


_FIELDS: Final[dict[Field, Callable[[int], bytes]]] = {
    fields.ETH_SRC: _address(ActionType.SET_DL_SRC, 6),
    fields.ETH_DST: _address(ActionType.SET_DL_DST, 6),
    fields.VLAN_VID: _set_vlan_vid,
    fields.VLAN_PCP: _set_vlan_pcp,
    fields.VLAN_TCI: _set_vlan_tci,
    fields.IPV4_SRC: _address(ActionType.SET_NW_SRC, 4),
    fields.IPV4_DST: _address(ActionType.SET_NW_DST, 4),
    fields.IP_DSCP: lambda dscp: _write(ActionType.SET_NW_TOS, dscp << 2),
    fields.TCP_SRC: _set_tp_src,
    fields.TCP_DST: _set_tp_dst,
    fields.UDP_SRC: _set_tp_src,
    fields.UDP_DST: _set_tp_dst,
    fields.SCTP_SRC: _set_tp_src,
    fields.SCTP_DST: _set_tp_dst,
}
"""What sets these fields in 1.0."""


def _set_field(action: SetField, flow: Flow) -> bytes:
    encode = _FIELDS.get(action.field)
    # What has a mask, be it of all ones, came as an experimenter's action, and goes out as one.
    if encode is not None and action.mask is None:
        return encode(action.value)
    other = EXPERIMENTER_ENCODERS.get(SetField)
    return other(action, flow) if other else b""


ENCODERS: Final[dict[type[Action], Encoder]] = {
    Output: lambda a, _: _write(ActionType.OUTPUT, to_wire10(a.port), a.max_len),
    Enqueue: lambda a, _: _write(ActionType.ENQUEUE, to_wire10(a.port), a.queue_id),
    SetField: _set_field,
    SetVlanVid: lambda a, _: _set_vlan_vid(a.vlan_vid),
    SetVlanPcp: lambda a, _: _set_vlan_pcp(a.vlan_pcp),
    SetTpSrc: lambda a, _: _set_tp_src(a.port),
    SetTpDst: lambda a, _: _set_tp_dst(a.port),
    PopVlan: lambda a, _: _write(ActionType.STRIP_VLAN),
    # A tag is pushed by the SET_VLAN_VID or SET_VLAN_PCP that follows.
    PushVlan: lambda a, _: b"",
}
"""What writes the actions that 1.0 has a way to say."""

_codec = ActionCodec({kind: known.decode for kind, known in _KINDS.items()}, ENCODERS)


def decode_actions(data: bytes, offset: int, length: int) -> Actions:
    """The actions in the ``length`` bytes from ``offset``; the same tuple for the same bytes.

    :raises OpenFlowError: any of BAD_ACTION.
    """
    return _codec.decode(data, offset, length)


def encode_actions(actions: Actions, match: Match = MATCH_ALL) -> bytes:
    """The bytes of actions, without those which 1.0 cannot express.

    :param match: of the rule; it makes no difference in 1.0.
    :raises OpenFlowError: BAD_OUT_PORT for a port that 1.0 cannot name.
    """
    return _codec.encode(actions, match)
