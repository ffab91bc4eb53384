"""Actions that change a packet, as edits.

What a header is like that an action is about, and whether it is there, is asked where the match
does not say; then there are filters for both (:mod:`drivers.tcflower.facts`).

What the kernel cannot do is refused; what it would do wrongly is left to the software, packet by
packet (:exc:`ToSoftware`): a TTL that must not be decremented, the transport checksum of a first
fragment, which covers bytes that are in another packet.

Source: Linux, ``net/sched/act_pedit.c``, ``act_vlan.c``, ``act_mpls.c``, ``act_csum.c``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.actions import Action
from agent.openflow.errors import (
    ACTION_BAD_TYPE,
    BAD_SET_TYPE,
    OpenFlowError,
)
from agent.openflow.fields import Field
from agent.openflow.nx_actions import DecTtlCntIds
from drivers.tcflower.actions import (
    CsumFlags,
    PeditHeader,
    TunnelKey,
)
from drivers.tcflower.edits import NO_CSUM, Edit, words
from drivers.tcflower.facts import ToSoftware
from drivers.tcflower.keys import TUNNEL
from drivers.tcflower.state import State
from drivers.tcflower.tags import (
    dec_mpls_ttl,
    pop_mpls,
    pop_vlan,
    push_mpls,
    push_vlan,
    set_mpls,
    set_mpls_ttl,
    set_tci,
)

_PRESENT: Final = f.VLAN_PRESENT
_FIRST_FRAGMENT: Final = 1
_LATER_FRAGMENT: Final = 3
_HARMLESS: Final = (f.METADATA, f.PKT_MARK, *f.REGS)
_TCP: Final = 6
_UDP: Final = 17


# Where a field is: which header, and from which bit on.
_ETHERNET: Final[dict[Field, tuple[PeditHeader, int]]] = {
    f.ETH_DST: (PeditHeader.ETH, 0),
    f.ETH_SRC: (PeditHeader.ETH, 48),
}
_ARP: Final[dict[Field, tuple[PeditHeader, int]]] = {
    f.ARP_OP: (PeditHeader.NETWORK, 48),
    f.ARP_SHA: (PeditHeader.NETWORK, 64),
    f.ARP_SPA: (PeditHeader.NETWORK, 112),
    f.ARP_THA: (PeditHeader.NETWORK, 144),
    f.ARP_TPA: (PeditHeader.NETWORK, 192),
}
_IPV4: Final[dict[Field, tuple[PeditHeader, int]]] = {
    f.IP_DSCP: (PeditHeader.IP4, 8),
    f.IP_ECN: (PeditHeader.IP4, 14),
    f.NW_TOS: (PeditHeader.IP4, 8),
    f.NW_TTL: (PeditHeader.IP4, 64),
    f.IPV4_SRC: (PeditHeader.IP4, 96),
    f.IPV4_DST: (PeditHeader.IP4, 128),
}
_IPV6: Final[dict[Field, tuple[PeditHeader, int]]] = {
    f.IP_DSCP: (PeditHeader.IP6, 4),
    f.IP_ECN: (PeditHeader.IP6, 10),
    f.NW_TOS: (PeditHeader.IP6, 4),
    f.IPV6_FLABEL: (PeditHeader.IP6, 12),
    f.NW_TTL: (PeditHeader.IP6, 56),
    f.IPV6_SRC: (PeditHeader.IP6, 64),
    f.IPV6_DST: (PeditHeader.IP6, 192),
}
_PORTS: Final[dict[Field, tuple[PeditHeader, int]]] = {
    f.TCP_SRC: (PeditHeader.TCP, 0),
    f.TCP_DST: (PeditHeader.TCP, 16),
    f.UDP_SRC: (PeditHeader.UDP, 0),
    f.UDP_DST: (PeditHeader.UDP, 16),
}
_ADDRESSES: Final = (f.IPV4_SRC, f.IPV4_DST, f.IPV6_SRC, f.IPV6_DST)


def write(state: State, field: Field, value: int, mask: int) -> None:
    """Write bits of a header field, where the packet has it.

    :raises OpenFlowError: BAD_ACTION/BAD_SET_TYPE when tc has no way to write it.
    """
    place, csum = _place(state, field)
    if place is None:
        return
    known = state.known(field)
    header, start = place
    if header is not PeditHeader.ETH:
        state.shallow()
    undo = None if known is None else words(header, start, field.bits, known, mask)
    state.edit(Edit(words(header, start, field.bits, value, mask), undo, csum))
    state.learn(field, value, mask)


def _place(state: State, field: Field) -> tuple[tuple[PeditHeader, int] | None, CsumFlags]:
    """Where a field is in packets, None if they do not have it; and which checksums cover it."""
    if field in _ETHERNET:
        return _ETHERNET[field], NO_CSUM
    if field in _ARP:
        there = any(state.is_(f.ETH_TYPE, eth_type) for eth_type in field.eth_types)
        return (_ARP[field] if there else None), NO_CSUM
    if field in _PORTS:
        return _transport(state, field)
    if field in _IPV4 and state.is_(f.ETH_TYPE, f.IPV4[0]):
        csum = CsumFlags.IPV4HDR
        return _IPV4[field], csum | _above(state) if field in _ADDRESSES else csum
    if field in _IPV6 and state.is_(f.ETH_TYPE, f.IPV6[0]):
        return _IPV6[field], _above(state) if field in _ADDRESSES else NO_CSUM
    if field in _IPV4 or field in _IPV6:
        return None, NO_CSUM
    raise OpenFlowError(BAD_SET_TYPE, f"tc cannot write {field.name}")


def _transport(state: State, field: Field) -> tuple[tuple[PeditHeader, int] | None, CsumFlags]:
    """See :func:`_place`, for a field of the transport header."""
    proto = field.ip_protos[0]
    if not any(state.is_(f.ETH_TYPE, eth_type) for eth_type in f.IP):
        return None, NO_CSUM
    if not state.is_(f.IP_PROTO, proto) or state.is_(f.NW_FRAG, _LATER_FRAGMENT):
        return None, NO_CSUM
    if state.is_(f.NW_FRAG, _FIRST_FRAGMENT):
        raise ToSoftware("the checksum of a first fragment")
    return _PORTS[field], CsumFlags.TCP if proto == _TCP else CsumFlags.UDP


def _above(state: State) -> CsumFlags:
    """The checksums of the layer above IP that addresses are part of."""
    six = state.known(f.ETH_TYPE) == f.IPV6[0]
    proto = state.known(f.IP_PROTO)
    flags = {_TCP: CsumFlags.TCP, _UDP: CsumFlags.UDP}
    if six:
        flags[f.ICMPV6[0]] = CsumFlags.ICMP
    if proto is not None and proto not in flags:
        return NO_CSUM
    if state.is_(f.NW_FRAG, _FIRST_FRAGMENT):
        raise ToSoftware("the checksum of a first fragment")
    if proto is not None:
        return flags[proto]
    every = NO_CSUM
    for flag in flags.values():
        every |= flag
    return every


def set_field(state: State, action: of.SetField, rest: Sequence[Action]) -> None:
    """Set-field, and Nicira's load."""
    field, value = action.field, action.value
    mask = field.limit if action.mask is None else action.mask
    if field is f.VLAN_VID or field is f.VLAN_PCP:
        if state.tagged:
            shift = 13 if field is f.VLAN_PCP else 0
            set_tci(state, value << shift, mask << shift & ~_PRESENT)
    elif field is f.VLAN_TCI:
        set_tci(state, value, mask)
    elif field in (f.MPLS_LABEL, f.MPLS_TC, f.MPLS_BOS):
        set_mpls(state, field, value, mask)
    elif field in TUNNEL:
        _set_tunnel(state, action, rest)
    elif field in _HARMLESS:
        # Whoever calls has made sure that nothing looks at it any more.
        state.learn(field, value, mask)
    else:
        write(state, field, value, mask)


def dec_nw_ttl(state: State) -> None:
    """Decrement the TTL or hop limit."""
    if not any(state.is_(f.ETH_TYPE, eth_type) for eth_type in f.IP):
        return
    if state.is_(f.NW_TTL, 0, 0xFE):
        raise ToSoftware("a TTL that must not be decremented")
    known = state.known(f.NW_TTL)
    if known is not None:
        write(state, f.NW_TTL, known - 1, f.NW_TTL.limit)
        return
    state.shallow()
    six = state.known(f.ETH_TYPE) == f.IPV6[0]
    header, start = (_IPV6 if six else _IPV4)[f.NW_TTL]
    down = tuple(_adding(key) for key in words(header, start, 8, 0xFF, 0xFF))
    up = tuple(_adding(key) for key in words(header, start, 8, 1, 0xFF))
    state.edit(Edit(down, up, NO_CSUM if six else CsumFlags.IPV4HDR))
    state.forget(f.NW_TTL.mask)


def _adding(key: Any) -> Any:
    return type(key)(key.header, key.offset, key.value, key.mask, add=True)


def set_transport(state: State, port: int, fields: Sequence[Field]) -> None:
    """Set the port of whatever transport there is (1.0)."""
    if not any(state.is_(f.ETH_TYPE, eth_type) for eth_type in f.IP):
        return
    for field in fields:
        if state.is_(f.IP_PROTO, field.ip_protos[0]):
            write(state, field, port, 0xFFFF)
            return
    for proto in (*f.SCTP, *f.ICMP):
        if state.is_(f.IP_PROTO, proto):
            raise ToSoftware(f"ports of protocol {proto}")


def _set_tunnel(state: State, action: of.SetField, rest: Sequence[Action]) -> None:
    """Say how the packet is encapsulated, by all that is said of it at once."""
    state.learn(action.field, action.value, action.mask)
    for later in rest:
        if not isinstance(later, of.SetField):
            break
        if later.field in TUNNEL:
            return
    key_id, source, destination = (state.known(field) for field in TUNNEL)
    if not destination or key_id is None or key_id >> 32:
        raise OpenFlowError(
            BAD_SET_TYPE, "tc needs tun_dst with tunnel_id, which must be less than 2**32"
        )
    state.edit(Edit(TunnelKey(key_id, source or 0, destination), TunnelKey()))


Change = Callable[[State, Any, Sequence[Action]], None]

CHANGES: Final[dict[type[Action], Change]] = {
    of.SetField: set_field,
    of.SetVlanVid: lambda s, a, _: set_tci(s, _PRESENT | a.vlan_vid, _PRESENT | 0xFFF),
    of.SetVlanPcp: lambda s, a, _: set_tci(s, _PRESENT | a.vlan_pcp << 13, _PRESENT | 0xE000),
    of.SetTpSrc: lambda s, a, _: set_transport(s, a.port, (f.TCP_SRC, f.UDP_SRC)),
    of.SetTpDst: lambda s, a, _: set_transport(s, a.port, (f.TCP_DST, f.UDP_DST)),
    of.PushVlan: push_vlan,
    of.PopVlan: lambda s, _, __: pop_vlan(s),
    of.PushMpls: push_mpls,
    of.PopMpls: lambda s, a, _: pop_mpls(s, a),
    of.SetMplsTtl: lambda s, a, _: set_mpls_ttl(s, a),
    of.DecMplsTtl: lambda s, _, __: dec_mpls_ttl(s),
    of.SetNwTtl: lambda s, a, _: write(s, f.NW_TTL, a.ttl, f.NW_TTL.limit),
    of.DecNwTtl: lambda s, _, __: dec_nw_ttl(s),
    DecTtlCntIds: lambda s, _, __: dec_nw_ttl(s),
}
"""How each action that changes packets becomes edits.  It is told what comes after it."""


def change(state: State, action: Action, rest: Sequence[Action]) -> None:
    """Change a packet.

    :param rest: the actions that come after this one in its list.
    :raises OpenFlowError: BAD_ACTION with the code for what tc cannot do.
    :raises ToSoftware: when the software has to do it.
    :raises Split: when it depends on the packet.
    """
    known = CHANGES.get(type(action))
    if known is None:
        raise OpenFlowError(ACTION_BAD_TYPE, f"tc cannot do {type(action).__name__}")
    known(state, action, rest)
