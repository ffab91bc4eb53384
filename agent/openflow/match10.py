"""The match of OpenFlow 1.0: 40 bytes, always the same fields, and a word of wildcards.

OpenFlow 1.0 has no errors for matches.  What makes no sense in one is ignored, in the way of Open
vSwitch: fields whose prerequisites are not met are not matched (``tp_src`` without ``nw_proto``),
and values of what is wildcarded are nothing.  So two ways to write the same match give the same
:class:`~agent.openflow.match.Match`, and that is also what the same match of OpenFlow 1.3 gives.

Some of its fields mean several things.  ``nw_src``, ``nw_dst`` and ``nw_proto`` are the addresses
and the opcode of ARP if ``dl_type`` is 0x0806; ``tp_src`` and ``tp_dst`` are type and code if
``nw_proto`` is ICMP; ``dl_vlan`` 0xffff means that there is no tag.  A ``dl_type`` of 0x05ff is
that of frames that are not Ethernet II, and is kept.  As in Open vSwitch, and beyond the
specification, protocol and ports can be matched in IPv6 too.

In the other direction, what OpenFlow 1.0 cannot express is left out: the match that a controller
sees then may match more than the rule does, never less.

Source: OpenFlow 1.0.1 sections 3.4 and 5.2.3.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from construct import Bytes, Int8ub, Int16ub, Int32ub, Padding

from agent.openflow import fields
from agent.openflow.cache import Cache, intern_mask
from agent.openflow.errors import MATCH_BAD_LEN, MATCH_BAD_VALUE, OpenFlowError
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.ports import MAX10, OFFSET
from agent.openflow.wire import Fixed

MATCH10: Final = Fixed(
    "wildcards" / Int32ub,
    "in_port" / Int16ub,
    "dl_src" / Bytes(6),
    "dl_dst" / Bytes(6),
    "dl_vlan" / Int16ub,
    "dl_vlan_pcp" / Int8ub,
    Padding(1),
    "dl_type" / Int16ub,
    "nw_tos" / Int8ub,
    "nw_proto" / Int8ub,
    Padding(2),
    "nw_src" / Bytes(4),
    "nw_dst" / Bytes(4),
    "tp_src" / Int16ub,
    "tp_dst" / Int16ub,
)
"""``ofp_match`` of OpenFlow 1.0."""

SIZE: Final = MATCH10.size

# ofp_flow_wildcards
IN_PORT: Final = 1 << 0
DL_VLAN: Final = 1 << 1
DL_SRC: Final = 1 << 2
DL_DST: Final = 1 << 3
DL_TYPE: Final = 1 << 4
NW_PROTO: Final = 1 << 5
TP_SRC: Final = 1 << 6
TP_DST: Final = 1 << 7
NW_SRC_SHIFT: Final = 8
NW_DST_SHIFT: Final = 14
DL_VLAN_PCP: Final = 1 << 20
NW_TOS: Final = 1 << 21
ALL: Final = (1 << 22) - 1
"""``OFPFW_ALL``."""

VLAN_NONE: Final = 0xFFFF
"""``OFP_VLAN_NONE``: a ``dl_vlan`` that matches frames without a tag."""

# What 1.0 can match has the lowest bits of a flow key.  From the highest: dl_dst, dl_src, tp_dst,
# tp_src, nw_dst, nw_src, nw_tos, nw_proto, the VLAN tag, dl_type, in_port.
_KEY: Final = struct.Struct(">6s6sHH4s4sBBHHI")

_PRESENT = fields.VLAN_PRESENT << fields.VLAN_TCI.shift
_VID = 0x0FFF << fields.VLAN_TCI.shift
_PCP = fields.VLAN_PCP.mask
_HIGH = 0xFF00
_PORT_PROTOS = (*fields.TCP, *fields.UDP, *fields.SCTP)
_ICMP_PROTOS = {0x0800: fields.ICMP, 0x86DD: fields.ICMPV6}
_ARP_OP = fields.ARP_OP

_new = object.__new__
_set_mask = Match.__dict__["mask"].__set__
_set_value = Match.__dict__["value"].__set__
_from_bytes = int.from_bytes
_unpack = MATCH10.unpack_from
_pack = _KEY.pack

_Shape: TypeAlias = tuple[int, int, bool, int, int]
"""What matches with the same wildcards, ``dl_type`` and ``nw_proto`` have in common: the mask; the
mask if there must be no tag (0 if tags do not matter); whether ``nw_proto`` is an ARP opcode; the
bits that ``tp_src`` and ``tp_dst`` must not have."""

_shapes: Final[Cache[tuple[int, int, int], _Shape]] = Cache(4096)


def decode_match10(data: bytes, offset: int) -> Match:
    """The match in the 40 bytes from ``offset``.

    :raises OpenFlowError: MATCH_BAD_LEN when there are less; MATCH_BAD_VALUE for an ICMP type or
        code above 255.
    """
    if offset + SIZE > len(data):
        raise OpenFlowError(MATCH_BAD_LEN, f"match of {len(data) - offset} bytes")
    # fmt: off
    (wildcards, in_port, dl_src, dl_dst, dl_vlan, dl_vlan_pcp, dl_type, nw_tos, nw_proto, nw_src,
     nw_dst, tp_src, tp_dst) = _unpack(data, offset)
    # fmt: on
    what = (wildcards, dl_type, nw_proto)
    mask, untagged, arp, no_src, no_dst = _shapes.get(what) or _shapes.put(what, _shape(*what))
    if tp_src & no_src or tp_dst & no_dst:
        raise OpenFlowError(MATCH_BAD_VALUE, f"ICMP type {tp_src}, code {tp_dst}")
    if in_port >= MAX10:
        in_port += OFFSET
    if dl_vlan == VLAN_NONE and untagged:
        mask, tci = untagged, 0
    else:
        tci = (dl_vlan_pcp & 7) << 13 | fields.VLAN_PRESENT | dl_vlan & 0x0FFF
    # fmt: off
    value = _from_bytes(_pack(dl_dst, dl_src, tp_dst, tp_src, nw_dst, nw_src, nw_tos, nw_proto,
                              tci, dl_type, in_port))
    # fmt: on
    if arp:
        value |= nw_proto << _ARP_OP.shift
    match: Match = _new(Match)
    _set_mask(match, mask)
    _set_value(match, value & mask)
    return match


def _shape(wildcards: int, dl_type: int, nw_proto: int) -> _Shape:
    """Which bits are matched, by prerequisites."""
    mask = 0
    for bit, field in (
        (IN_PORT, fields.IN_PORT),
        (DL_SRC, fields.ETH_SRC),
        (DL_DST, fields.ETH_DST),
        (DL_TYPE, fields.ETH_TYPE),
    ):
        if not wildcards & bit:
            mask |= field.mask
    kind = 0 if wildcards & DL_TYPE else dl_type
    arp = kind in fields.ARP
    no_src = no_dst = 0
    if kind in fields.IP:
        if not wildcards & NW_TOS:
            mask |= fields.IP_DSCP.mask
        if not wildcards & NW_PROTO:
            mask |= fields.IP_PROTO.mask
            if nw_proto in _PORT_PROTOS:
                mask |= 0 if wildcards & TP_SRC else fields.TCP_SRC.mask
                mask |= 0 if wildcards & TP_DST else fields.TCP_DST.mask
            elif nw_proto in _ICMP_PROTOS[kind]:
                if not wildcards & TP_SRC:
                    mask |= fields.ICMPV4_TYPE.mask
                    no_src = _HIGH
                if not wildcards & TP_DST:
                    mask |= fields.ICMPV4_CODE.mask
                    no_dst = _HIGH
    if arp and not wildcards & NW_PROTO:
        mask |= _ARP_OP.mask
    if arp or kind in fields.IPV4:
        mask |= _prefix(wildcards >> NW_SRC_SHIFT) << fields.IPV4_SRC.shift
        mask |= _prefix(wildcards >> NW_DST_SHIFT) << fields.IPV4_DST.shift
    untagged = 0 if wildcards & DL_VLAN else intern_mask(mask | _VID | _PRESENT)
    if not wildcards & DL_VLAN:
        mask |= _VID | _PRESENT
    if not wildcards & DL_VLAN_PCP:
        mask |= _PCP | _PRESENT
    return intern_mask(mask), untagged, arp, no_src, no_dst


def _prefix(wildcards: int) -> int:
    """The mask of an address from its six bits of wildcards: how many low bits do not matter."""
    return 0xFFFFFFFF << min(wildcards & 63, 32) & 0xFFFFFFFF


# What the encoder has to look at besides the mask.
_DECIDING: Final = fields.ETH_TYPE.mask | fields.IP_PROTO.mask | _PRESENT

_Plan: TypeAlias = tuple[int, int, bool, bool]
"""How matches with the same mask are written: their wildcards; the bits of the key that are
written; whether there must be no tag; whether ``nw_proto`` is an ARP opcode."""

_plans: Final[Cache[tuple[int, int], _Plan]] = Cache(4096)


def encode_match10(match: Match) -> bytes:
    """The 40 bytes of a match, without what 1.0 cannot express."""
    value = match.value
    what = (match.mask, value & _DECIDING)
    wildcards, keep, untagged, arp = _plans.get(what) or _plans.put(what, _plan(*what))
    # fmt: off
    (dl_dst, dl_src, tp_dst, tp_src, nw_dst, nw_src, nw_tos, nw_proto, tci, dl_type,
     in_port) = _KEY.unpack((value & keep).to_bytes(_KEY.size, "big"))
    # fmt: on
    if in_port >= MAX10:
        if in_port >= MAX10 + OFFSET:
            in_port -= OFFSET
        else:
            wildcards |= IN_PORT
            in_port = 0
    if arp:
        nw_proto = _ARP_OP.get(value)
        if nw_proto > 255:
            wildcards |= NW_PROTO
            nw_proto = 0
    # fmt: off
    return MATCH10.pack(
        wildcards, in_port, dl_src, dl_dst, VLAN_NONE if untagged else tci & 0x0FFF, tci >> 13,
        dl_type, nw_tos, nw_proto, nw_src, nw_dst, tp_src, tp_dst,
    )
    # fmt: on


def _plan(mask: int, value: int) -> _Plan:
    """``value`` has only the bits of ``_DECIDING``."""
    wildcards = ALL & ~(63 << NW_SRC_SHIFT | 63 << NW_DST_SHIFT)
    keep = 0

    def exact(bit: int, field: Field) -> None:
        nonlocal wildcards, keep
        if mask & field.mask == field.mask:
            wildcards &= ~bit
            keep |= field.mask

    exact(IN_PORT, fields.IN_PORT)
    exact(DL_SRC, fields.ETH_SRC)
    exact(DL_DST, fields.ETH_DST)
    exact(DL_TYPE, fields.ETH_TYPE)
    kind = 0 if wildcards & DL_TYPE else fields.ETH_TYPE.get(value)
    arp = kind in fields.ARP and mask & _ARP_OP.mask == _ARP_OP.mask
    if arp:
        wildcards &= ~NW_PROTO
    if kind in fields.IP:
        exact(NW_TOS, fields.IP_DSCP)
        exact(NW_PROTO, fields.IP_PROTO)
        proto = None if wildcards & NW_PROTO else fields.IP_PROTO.get(value)
        if proto in _PORT_PROTOS:
            exact(TP_SRC, fields.TCP_SRC)
            exact(TP_DST, fields.TCP_DST)
        elif proto in _ICMP_PROTOS[kind]:
            exact(TP_SRC, fields.ICMPV4_TYPE)
            exact(TP_DST, fields.ICMPV4_CODE)
    addressed = kind in fields.ARP or kind in fields.IPV4
    for shift, field in (NW_SRC_SHIFT, fields.IPV4_SRC), (NW_DST_SHIFT, fields.IPV4_DST):
        ones = _leading_ones(mask >> field.shift & field.limit) if addressed else 0
        wildcards |= (32 - ones) << shift
        keep |= _prefix(32 - ones) << field.shift
    untagged = bool(mask & _PRESENT and not value & _PRESENT)
    if untagged:
        wildcards &= ~(DL_VLAN | DL_VLAN_PCP)
    elif mask & _PRESENT:
        exact(DL_VLAN, fields.VLAN_VID)
        exact(DL_VLAN_PCP, fields.VLAN_PCP)
    return wildcards, keep & mask, untagged, arp


def _leading_ones(mask: int) -> int:
    """How many of 32 bits are ones before the first zero."""
    return 32 - (mask ^ 0xFFFFFFFF).bit_length()
