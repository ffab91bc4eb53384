"""The kinds of TLV that a match is made of on the wire, and the checks on a single one.

A TLV has a header of four bytes (``oxm_class`` 16 bits, ``oxm_field`` 7, ``oxm_hasmask`` 1,
``oxm_length`` 8), a value, and a mask of the same width if ``oxm_hasmask`` is 1.  Nicira's extended
match (NXM) is the same with classes 0 and 1, so both are kept in one table, and either may hold
TLVs of the other, as in Open vSwitch.

This module knows one TLV at a time.  What a list of them means, order, duplicates and
prerequisites, is told by :mod:`agent.openflow.oxm`; how lists are read fast, by
:mod:`agent.openflow.oxm_shape`.

Source: OpenFlow 1.3.5 section 7.2.3, ``nicira-ext.h`` of Open vSwitch.
"""

from __future__ import annotations

from typing import Final

import attrs
from construct import Int8ub, Int16ub

from agent.openflow import fields
from agent.openflow.errors import (
    BAD_FIELD,
    BAD_WILDCARDS,
    MATCH_BAD_LEN,
    MATCH_BAD_MASK,
    MATCH_BAD_VALUE,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.fields import Field
from agent.openflow.wire import Fixed

HEADER: Final = Fixed("oxm_class" / Int16ub, "field_hasmask" / Int8ub, "length" / Int8ub)
"""Class, field number and whether a mask follows (lowest bit), bytes of the payload."""

_ETH_TYPE = fields.ETH_TYPE
_IP_PROTO = fields.IP_PROTO
_ICMP_TYPE = fields.ICMPV6_TYPE
_PRESENT = fields.VLAN_PRESENT << fields.VLAN_TCI.shift

NW_TOS_BITS: Final = 0xFC
"""The bits of ``NXM_OF_IP_TOS`` that are matched: the DSCP, where it lies in the byte."""


@attrs.frozen(eq=False)
class Tlv:
    """One kind of TLV, and where its value goes.

    :ivar field: what is matched.
    :ivar kind: ``oxm_class << 7 | oxm_field``.
    :ivar width: bytes of a value, and of a mask.
    :ivar limit: the bits that a value may have.
    :ivar bits: the bits of the flow key which the field is compared with, all ones, in place.
    :ivar maskable: whether a mask may be anything but all or nothing.
    :ivar port16: whether the value is a port number of 16 bits.
    """

    field: Field
    kind: int
    width: int
    limit: int
    bits: int
    maskable: bool
    port16: bool = False

    @property
    def shift(self) -> int:
        """Where the lowest bit of a value lies in a flow key."""
        return self.field.shift

    def header(self, masked: bool) -> bytes:
        """The four bytes in front of a value, or of a value and a mask."""
        oxm_class, number = self.kind >> 7, self.kind & 0x7F
        return HEADER.pack(oxm_class, number << 1 | masked, self.width << masked)


def _tlv(field: Field, header: tuple[int, int]) -> Tlv:
    kind = header[0] << 7 | header[1]
    oxm = header[0] == fields.OXM_BASIC
    maskable = field.maskable if oxm else field.nxm_maskable
    if field is fields.NW_TOS:
        bits = NW_TOS_BITS << field.shift
        return Tlv(field, kind, field.bytes, NW_TOS_BITS, bits, maskable)
    if field is fields.NX_IN_PORT:
        # It is in_port with a shorter number: the reserved ports are mapped, and all bits compared.
        return Tlv(
            field, kind, field.bytes, field.limit, fields.IN_PORT.mask, maskable, port16=True
        )
    # The values of IPV6_FLABEL and MPLS_LABEL take 32 bits, the rest is rounded up to bytes.
    return Tlv(field, kind, field.bytes, field.limit, field.mask, maskable)


OXM: Final[dict[Field, Tlv]] = {f: _tlv(f, h) for h, f in fields.BY_OXM.items()}
"""The OpenFlow TLV of each field that has one."""
NXM: Final[dict[Field, Tlv]] = {f: _tlv(f, h) for h, f in fields.BY_NXM.items()}
"""The Nicira TLV of each field that has one."""
BY_KIND: Final[dict[int, Tlv]] = {t.kind: t for t in (*OXM.values(), *NXM.values())}
"""Every TLV by ``oxm_class << 7 | oxm_field``."""


def prerequisites_met(field: Field, mask: int, value: int) -> bool:
    """Whether a match on ``mask`` and ``value`` may also be one on ``field``.

    Source: OpenFlow 1.3.5 section 7.2.3.6 and table 12.
    """
    if field.eth_types and not _is_one_of(_ETH_TYPE, field.eth_types, mask, value):
        return False
    if field.ip_protos and not _is_one_of(_IP_PROTO, field.ip_protos, mask, value):
        return False
    if field.icmp_types and not _is_one_of(_ICMP_TYPE, field.icmp_types, mask, value):
        return False
    if field.needs_vlan and not value & _PRESENT:
        return False
    return field is not fields.IN_PHY_PORT or bool(mask & fields.IN_PORT.mask)


def _is_one_of(field: Field, wanted: tuple[int, ...], mask: int, value: int) -> bool:
    return mask & field.mask == field.mask and (value >> field.shift) & field.limit in wanted


def deciding_bits(field: Field) -> int:
    """The bits of the flow key whose value decides whether prerequisites of ``field`` are met."""
    bits = _ETH_TYPE.mask if field.eth_types else 0
    if field.ip_protos:
        bits |= _IP_PROTO.mask
    if field.icmp_types:
        bits |= _ICMP_TYPE.mask
    if field.needs_vlan:
        bits |= _PRESENT
    return bits


@attrs.frozen
class Reader:
    """Takes one TLV at a time from a list, with the errors that suit whose list it is.

    :ivar bad_type: for a field that is not known.
    :ivar bad_len: for a length that is not that of the field, or goes beyond the list.
    :ivar bad_wildcards: for ones in the value where the mask has zeros.
    :ivar bad_mask: for a mask on a field that cannot have one.
    :ivar bad_value: for a value that the field cannot have.
    """

    bad_type: ErrorCode
    bad_len: ErrorCode
    bad_wildcards: ErrorCode
    bad_mask: ErrorCode
    bad_value: ErrorCode

    def header(self, data: bytes, offset: int, end: int) -> tuple[Tlv, bool]:
        """The kind of the TLV at ``offset``, and whether a mask follows the value.

        :param end: where the list ends; the whole TLV must lie before it.
        :raises OpenFlowError: ``bad_type``, ``bad_len``.
        """
        if end - offset < HEADER.size or end > len(data):
            raise OpenFlowError(self.bad_len, f"{end - offset} bytes of a TLV's header")
        oxm_class, number, length = HEADER.unpack_from(data, offset)
        tlv = BY_KIND.get(oxm_class << 7 | number >> 1)
        if tlv is None:
            raise OpenFlowError(self.bad_type, f"field {number >> 1} of class {oxm_class:#06x}")
        if offset + HEADER.size + length > end:
            raise OpenFlowError(self.bad_len, f"the TLV at {offset} goes beyond the end")
        masked = bool(number & 1)
        if length != tlv.width << masked:
            raise OpenFlowError(self.bad_len, f"{tlv.field.name} of {length} bytes")
        return tlv, masked

    def read(self, data: bytes, offset: int, end: int) -> tuple[Tlv, int, int, int]:
        """The TLV at ``offset``, checked.

        :returns: kind, value and mask as numbers of the TLV's width (the mask has no bits that the
            field has not), and the offset behind it.
        :raises OpenFlowError: any of this reader's.
        """
        tlv, masked = self.header(data, offset, end)
        start = offset + HEADER.size
        stop = start + tlv.width
        value = int.from_bytes(data[start:stop], "big")
        mask = (1 << 8 * tlv.width) - 1
        if masked:
            mask = int.from_bytes(data[stop : stop + tlv.width], "big")
            stop += tlv.width
            if value & ~mask:
                raise OpenFlowError(self.bad_wildcards, f"{tlv.field.name}={value:#x}/{mask:#x}")
            if not tlv.maskable and mask & tlv.limit not in (0, tlv.limit):
                raise OpenFlowError(self.bad_mask, f"{tlv.field.name} has no mask {mask:#x}")
        if value & ~tlv.limit:
            raise OpenFlowError(self.bad_value, f"{tlv.field.name} is never {value:#x}")
        return tlv, value, mask & tlv.limit, stop


MATCH: Final = Reader(BAD_FIELD, MATCH_BAD_LEN, BAD_WILDCARDS, MATCH_BAD_MASK, MATCH_BAD_VALUE)
"""Reads the TLVs of a match."""
