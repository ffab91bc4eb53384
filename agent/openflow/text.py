"""Matches, actions and instructions as ``ovs-ofctl`` prints them, for logs and for the operator.

The words are those of Open vSwitch 3.1, to be typed where they are read.  What Open vSwitch
does not have (PBB, IPv6 extension headers, copying of TTLs) follows its style.  Nothing here is
read again by the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from agent.openflow import actions as act
from agent.openflow import fields
from agent.openflow.actions import Action, Actions, Instructions
from agent.openflow.constants import Port
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.text_nicira import WORDS, format_set_field
from agent.openflow.text_values import (
    format_mac,
    format_port,
    format_value,
    hexadecimal,
)

__all__ = [
    "DEFAULT_PRIORITY",
    "format_actions",
    "format_instructions",
    "format_mac",
    "format_match",
    "format_port",
    "format_value",
]

DEFAULT_PRIORITY: Final = 0x8000
"""The priority that is not printed."""


# --- matches ----------------------------------------------------------------------------------

_TYPES: Final = {
    0x0806: "arp",
    0x8035: "rarp",
    0x8847: "mpls",
    0x8848: "mplsm",
}
_PROTOS: Final = {
    0x0800: ("ip", {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}),
    0x86DD: ("ipv6", {58: "icmp6", 6: "tcp6", 17: "udp6", 132: "sctp6"}),
}


def _names(*pairs: tuple[str, Field]) -> tuple[tuple[str, Field], ...]:
    return pairs


_BEFORE: Final = _names(
    *((field.name, field) for field in fields.REGS),
    ("tun_id", fields.TUNNEL_ID),
    ("tun_src", fields.TUN_SRC),
    ("tun_dst", fields.TUN_DST),
    ("metadata", fields.METADATA),
    ("in_port", fields.IN_PORT),
    ("in_phy_port", fields.IN_PHY_PORT),
)
_ETHERNET: Final = _names(("dl_src", fields.ETH_SRC), ("dl_dst", fields.ETH_DST))
_ADDRESSES6: Final = _names(
    ("ipv6_src", fields.IPV6_SRC),
    ("ipv6_dst", fields.IPV6_DST),
    ("ipv6_label", fields.IPV6_FLABEL),
    ("ipv6_exthdr", fields.IPV6_EXTHDR),
)
_ADDRESSES_ARP: Final = _names(("arp_spa", fields.ARP_SPA), ("arp_tpa", fields.ARP_TPA))
_ADDRESSES: Final = _names(("nw_src", fields.IPV4_SRC), ("nw_dst", fields.IPV4_DST))
_HARDWARE: Final = _names(("arp_sha", fields.ARP_SHA), ("arp_tha", fields.ARP_THA))
_IP: Final = _names(("nw_ecn", fields.IP_ECN), ("nw_ttl", fields.NW_TTL))
_AFTER: Final = _names(
    ("mpls_label", fields.MPLS_LABEL),
    ("mpls_tc", fields.MPLS_TC),
    ("mpls_bos", fields.MPLS_BOS),
    ("pbb_isid", fields.PBB_ISID),
    ("nw_frag", fields.NW_FRAG),
)
_ICMP: Final = _names(("icmp_type", fields.ICMPV4_TYPE), ("icmp_code", fields.ICMPV4_CODE))
_ND: Final = _names(
    ("nd_target", fields.IPV6_ND_TARGET),
    ("nd_sll", fields.IPV6_ND_SLL),
    ("nd_tll", fields.IPV6_ND_TLL),
)
_TRANSPORT: Final = _names(("tp_src", fields.TCP_SRC), ("tp_dst", fields.TCP_DST))


def format_match(match: Match, priority: int = DEFAULT_PRIORITY) -> str:
    """A match, and the priority unless it is the default; an empty string for everything."""
    parts = [] if priority == DEFAULT_PRIORITY else [f"priority={priority}"]

    def add(names: tuple[tuple[str, Field], ...]) -> None:
        for name, field in names:
            value, mask = match.get(field)
            if mask:
                parts.append(f"{name}={format_value(field, value, mask)}")

    add((("pkt_mark", fields.PKT_MARK),))
    eth_type = match.value_of(fields.ETH_TYPE)
    proto = match.value_of(fields.IP_PROTO)
    kind, proto_known = _kind(eth_type, proto)
    parts += [kind] if kind else []
    add(_BEFORE)
    parts += _vlan(match)
    add(_ETHERNET)
    if eth_type is not None and not kind:
        parts.append(f"dl_type=0x{eth_type:04x}")
    arp = eth_type in fields.ARP
    add(_ADDRESSES6 if eth_type in fields.IPV6 else _ADDRESSES_ARP if arp else _ADDRESSES)
    if proto is not None and not proto_known:
        parts.append(f"nw_proto={proto}")
    if arp:
        add((("arp_op", fields.ARP_OP), *_HARDWARE))
    dscp, dscp_mask = match.get(fields.IP_DSCP)
    if dscp_mask:
        parts.append(f"nw_tos={dscp << 2}")
    add(_IP)
    add(_AFTER)
    if eth_type in fields.IPV4 and proto in fields.ICMP:
        add(_ICMP)
    elif eth_type in fields.IPV6 and proto in fields.ICMPV6:
        add(_ICMP + _ND)
    else:
        add(_TRANSPORT)
    add((("tcp_flags", fields.TCP_FLAGS),))
    return ",".join(parts)


def _kind(eth_type: int | None, proto: int | None) -> tuple[str, bool]:
    """The word for the protocols that are matched, and whether it names ``proto`` too."""
    if eth_type in _PROTOS:
        plain, words = _PROTOS[eth_type]
        return words.get(proto, plain) if proto is not None else plain, proto in words
    return _TYPES.get(eth_type, "") if eth_type is not None else "", False


def _vlan(match: Match) -> list[str]:
    tci, mask = match.get(fields.VLAN_TCI)
    if not mask:
        return []
    vid_mask, pcp_mask = mask & 0x0FFF, mask >> 13
    if tci & fields.VLAN_PRESENT and vid_mask in (0, 0x0FFF) and pcp_mask in (0, 7):
        parts = [f"dl_vlan={tci & 0x0FFF}"] if vid_mask else []
        parts += [f"dl_vlan_pcp={tci >> 13}"] if pcp_mask else []
        if parts:
            return parts
    return [f"vlan_tci={format_value(fields.VLAN_TCI, tci, mask)}"]


# --- actions ----------------------------------------------------------------------------------


def _output(action: act.Output) -> str:
    name = format_port(action.port)
    if action.port == Port.CONTROLLER:
        return f"{name}:{action.max_len}"
    return f"output:{name}" if action.port < Port.MAX else name


_ACTIONS: Final[dict[type[Action], Callable[[Any], str]]] = {
    act.Output: _output,
    act.Enqueue: lambda a: f"enqueue:{format_port(a.port)}:{a.queue_id}",
    act.SetField: format_set_field,
    act.SetVlanVid: lambda a: f"mod_vlan_vid:{a.vlan_vid}",
    act.SetVlanPcp: lambda a: f"mod_vlan_pcp:{a.vlan_pcp}",
    act.SetTpSrc: lambda a: f"mod_tp_src:{a.port}",
    act.SetTpDst: lambda a: f"mod_tp_dst:{a.port}",
    act.PushVlan: lambda a: f"push_vlan:{a.ethertype:#x}",
    act.PopVlan: lambda a: "pop_vlan",
    act.PushMpls: lambda a: f"push_mpls:0x{a.ethertype:04x}",
    act.PopMpls: lambda a: f"pop_mpls:0x{a.ethertype:04x}",
    act.PushPbb: lambda a: f"push_pbb:0x{a.ethertype:04x}",
    act.PopPbb: lambda a: "pop_pbb",
    act.SetMplsTtl: lambda a: f"set_mpls_ttl({a.ttl})",
    act.DecMplsTtl: lambda a: "dec_mpls_ttl",
    act.SetNwTtl: lambda a: f"mod_nw_ttl:{a.ttl}",
    act.DecNwTtl: lambda a: "dec_ttl",
    act.CopyTtlOut: lambda a: "copy_ttl_out",
    act.CopyTtlIn: lambda a: "copy_ttl_in",
    act.SetQueue: lambda a: f"set_queue:{a.queue_id}",
    act.GroupAction: lambda a: f"group:{a.group_id}",
    **WORDS,
}


def _words(actions: Iterable[Action]) -> list[str]:
    """One word an action; an action that an extension added is written as Python writes it."""
    return [_ACTIONS.get(type(action), repr)(action) for action in actions]


def format_actions(actions: Actions) -> str:
    """A list of actions; ``drop`` for none."""
    return ",".join(_words(actions)) or "drop"


def format_instructions(instructions: Instructions) -> str:
    """The instructions of a rule, applied actions as themselves; ``drop`` for none."""
    words: list[str] = []
    for instruction in instructions:
        if isinstance(instruction, act.ApplyActions):
            words += _words(instruction.actions)
        elif isinstance(instruction, act.WriteActions):
            words.append(f"write_actions({format_actions(instruction.actions)})")
        elif isinstance(instruction, act.MeterInstruction):
            words.append(f"meter:{instruction.meter_id}")
        elif isinstance(instruction, act.ClearActions):
            words.append("clear_actions")
        elif isinstance(instruction, act.WriteMetadata):
            limit = fields.METADATA.limit
            text = hexadecimal(instruction.metadata, instruction.mask, limit)
            words.append(f"write_metadata:{text}")
        else:
            words.append(f"goto_table:{instruction.table_id}")
    return ",".join(words) or "drop"
