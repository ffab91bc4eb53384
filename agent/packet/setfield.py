"""``set_field`` made into functions, once for a rule and not once for a packet.

:func:`field_writer` turns a field and a value into a function of a packet;
:func:`field_setter` does the same for values that are known only when a packet comes.  For nearly
all fields that function is one comparison of bits (does the packet have this header?) and one
replacement of bits, both in the flow key.  The few fields which decide what the others mean, and a
VLAN tag that may have to be made, go through methods of :class:`agent.packet.packet.Packet`.

That a rule's match guarantees the prerequisites of its actions is checked when the rule is made
(1.3.5 section 7.2.5), not here.  Here they are checked again for each packet, because an action in
an action set or in a group bucket meets packets that no match has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Final, TypeAlias

from agent.openflow.fields import (
    ETH_TYPE,
    ICMPV6_CODE,
    ICMPV6_TYPE,
    IP,
    IP_PROTO,
    IPV4,
    NW_FRAG,
    TCP_DST,
    TCP_SRC,
    VLAN_PCP,
    VLAN_PRESENT,
    VLAN_TCI,
    VLAN_VID,
    Field,
)
from agent.packet.packet import Packet
from agent.packet.protocols import (
    IPPROTO_ICMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    NW_FRAG_LATER,
)

Writer: TypeAlias = Callable[[Packet], None]
"""A change of one packet."""
Setter: TypeAlias = Callable[[Packet, int], None]
"""A change of one packet that needs a value."""

_LATER: Final = NW_FRAG_LATER << NW_FRAG.shift
_TAGGED: Final = VLAN_PRESENT << VLAN_TCI.shift
_SETTERS: Final[dict[Field, Callable[[Packet, int], None]]] = {
    ETH_TYPE: Packet.set_eth_type,
    IP_PROTO: Packet.set_ip_proto,
    ICMPV6_TYPE: Packet.set_icmpv6_type,
    ICMPV6_CODE: Packet.set_icmpv6_code,
}
"""How to write the fields which decide what other fields mean."""
_PORTS: Final = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)


def field_writer(field: Field, value: int, mask: int | None = None) -> Writer:
    """A function that sets ``field`` of packets that have it, and leaves others as they are.

    :param value: the new bits, as a number of the field's width.
    :param mask: which bits of the field to write; None: all.
    """
    if mask is None:
        mask = field.limit
    if field is VLAN_TCI:
        return lambda packet: packet.set_vlan_tci(value, mask)
    if field is VLAN_VID or field is VLAN_PCP:
        # The present bit is part of vlan_vid; clearing it is what pop_vlan is for.
        mask &= 0xFFF if field is VLAN_VID else field.limit
        return _bits_writer(_TAGGED, (_TAGGED,), mask << field.shift, value << field.shift)
    required, allowed = _prerequisites(field)
    setter = _SETTERS.get(field)
    if setter is not None:
        return _whole_writer(required, allowed, field, value, mask, setter)
    return _bits_writer(required, allowed, mask << field.shift, value << field.shift)


def field_setter(field: Field, mask: int | None = None) -> Setter:
    """A function that sets ``field`` of packets that have it to the value it is given, and leaves
    others as they are.

    :param mask: see :func:`field_writer`.
    """
    if mask is None:
        mask = field.limit
    bits = mask
    if field is VLAN_TCI:
        return lambda packet, value: packet.set_vlan_tci(value, bits)
    required, allowed = _prerequisites(field)
    if field is VLAN_VID or field is VLAN_PCP:
        required, allowed = _TAGGED, (_TAGGED,)
        bits &= 0xFFF if field is VLAN_VID else field.limit
    choices = frozenset(allowed)
    setter = _SETTERS.get(field)
    if setter is not None:
        whole = setter

        def set_whole(packet: Packet, value: int) -> None:
            if packet.key & required in choices:
                whole(packet, field.get(packet.key) & ~bits | value & bits)

        return set_whole
    shift = field.shift
    keep = ~(bits << shift)

    def set_bits(packet: Packet, value: int) -> None:
        key = packet.key
        if key & required in choices:
            packet.key = key & keep | (value & bits) << shift

    return set_bits


def tp_src_writer(port: int) -> Writer:
    """A function that sets the source port of TCP, UDP or SCTP, or the type of ICMP (1.0)."""
    return _transport_writer(TCP_SRC, port)


def tp_dst_writer(port: int) -> Writer:
    """A function that sets the destination port of TCP, UDP or SCTP, or the code of ICMP (1.0)."""
    return _transport_writer(TCP_DST, port)


def _transport_writer(field: Field, value: int) -> Writer:
    """See :func:`tp_src_writer`."""
    mask = ETH_TYPE.mask | IP_PROTO.mask | _LATER
    value <<= field.shift
    ports = _bits_writer(mask, _allowed(IP, _PORTS), field.mask, value)
    icmp = _bits_writer(mask, _allowed(IPV4, (IPPROTO_ICMP,)), 0xFF << field.shift, value)

    def write(packet: Packet) -> None:
        ports(packet)
        icmp(packet)

    return write


def _allowed(eth_types: Iterable[int], ip_protos: Iterable[int]) -> tuple[int, ...]:
    """The bits of Ethernet type and IP protocol in flow keys that have one of each."""
    return tuple(
        eth_type << ETH_TYPE.shift | ip_proto << IP_PROTO.shift
        for eth_type, ip_proto in product(eth_types, ip_protos)
    )


def _prerequisites(field: Field) -> tuple[int, tuple[int, ...]]:
    """Which bits of a flow key tell whether a packet has ``field``, and what they must be."""
    mask = 0
    allowed: tuple[int, ...] = (0,)
    for other, values in (
        (ETH_TYPE, field.eth_types),
        (IP_PROTO, field.ip_protos),
        (ICMPV6_TYPE, field.icmp_types),
    ):
        if values:
            mask |= other.mask
            allowed = tuple(bits | v << other.shift for bits in allowed for v in values)
    if field.ip_protos:
        mask |= _LATER
    return mask, allowed


def _bits_writer(required: int, allowed: tuple[int, ...], mask: int, value: int) -> Writer:
    """A function that replaces the bits ``mask`` of the flow keys it is meant for."""
    keep = ~mask
    value &= mask
    if not required:

        def write_any(packet: Packet) -> None:
            packet.key = packet.key & keep | value

        return write_any
    if len(allowed) == 1:
        only = allowed[0]

        def write_one(packet: Packet) -> None:
            if packet.key & required == only:
                packet.key = packet.key & keep | value

        return write_one
    choices = frozenset(allowed)

    def write_some(packet: Packet) -> None:
        if packet.key & required in choices:
            packet.key = packet.key & keep | value

    return write_some


def _whole_writer(
    required: int,
    allowed: tuple[int, ...],
    field: Field,
    value: int,
    mask: int,
    setter: Callable[[Packet, int], None],
) -> Writer:
    """A function that writes a field through a method of the packet."""
    choices = frozenset(allowed)
    keep = ~mask

    def write(packet: Packet) -> None:
        if packet.key & required in choices:
            setter(packet, field.get(packet.key) & keep | value & mask)

    return write
