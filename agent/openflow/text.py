"""Matches, actions and instructions as ``ovs-ofctl`` prints them, for logs and for the operator.

The words are those of Open vSwitch 3.1, to be typed where they are read.  What Open vSwitch
does not have (PBB, IPv6 extension headers, copying of TTLs) follows its style.  Nothing here is
read again by the agent.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from agent.openflow import actions as act
from agent.openflow import fields
from agent.openflow.actions import Action, Actions, Instructions
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.messages import Port

DEFAULT_PRIORITY: Final = 0x8000
"""The priority that is not printed."""


# --- values -----------------------------------------------------------------------------------


def format_port(port: int) -> str:
    """A port number, or the name of a reserved port."""
    return Port(port).name if port in _NAMED_PORTS else str(port)


_NAMED_PORTS = frozenset(Port) - {Port.MAX}


def format_mac(address: int) -> str:
    """48 bits as ``aa:bb:cc:dd:ee:ff``."""
    return address.to_bytes(6, "big").hex(":")


def _ipv4(address: int) -> str:
    return socket.inet_ntop(socket.AF_INET, address.to_bytes(4, "big"))


def _ipv6(address: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))


def _masked(
    write: Callable[[int], str], write_masked: Callable[[int], str] | None = None
) -> Callable[[int, int, int], str]:
    both = write_masked or write
    return lambda value, mask, limit: (
        write(value) if mask == limit else f"{both(value)}/{both(mask)}"
    )


def _prefixed(write: Callable[[int], str]) -> Callable[[int, int, int], str]:
    """Addresses whose mask is written as a number of bits where it is a prefix."""

    def text(value: int, mask: int, limit: int) -> str:
        if mask == limit:
            return write(value)
        zeros = (mask ^ limit).bit_length()
        prefix = mask == limit >> zeros << zeros
        return f"{write(value)}/{limit.bit_length() - zeros if prefix else write(mask)}"

    return text


_FLAGS: Final = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]"]
_FLAGS.append("[800]")
_FRAGS: Final = {
    (0, 3): "no",
    (1, 3): "first",
    (3, 3): "later",
    (0, 1): "no",
    (1, 1): "yes",
    (0, 2): "not_later",
    (2, 2): "later",
}


def _tcp_flags(value: int, mask: int, limit: int) -> str:
    if mask == limit:
        names = [name for bit, name in enumerate(_FLAGS) if value >> bit & 1]
        return "|".join(names) or "0"
    signs = {bit: "+" if value >> bit & 1 else "-" for bit in range(12) if mask >> bit & 1}
    return "".join(sign + _FLAGS[bit] for bit, sign in signs.items())


def _nw_frag(value: int, mask: int, limit: int) -> str:
    return _FRAGS.get((value, mask), "<error>")


_decimal = _masked(str, hex)
_hexadecimal = _masked(lambda value: hex(value) if value else "0")
_mac = _masked(format_mac)
_address = _prefixed(_ipv4)
_address6 = _prefixed(_ipv6)
_label = _masked("0x{:05x}".format)

_WRITERS: Final[dict[Field, Callable[[int, int, int], str]]] = {
    fields.IN_PORT: _masked(format_port, hex),
    fields.IN_PHY_PORT: _masked(format_port, hex),
    fields.NW_FRAG: _nw_frag,
    fields.TCP_FLAGS: _tcp_flags,
    fields.IPV6_FLABEL: _label,
    fields.ETH_TYPE: _masked("0x{:04x}".format),
    fields.VLAN_TCI: _masked("0x{:04x}".format),
    **dict.fromkeys((fields.METADATA, fields.TUNNEL_ID, fields.PKT_MARK), _hexadecimal),
    **dict.fromkeys((fields.IPV6_EXTHDR, fields.PBB_ISID, *fields.REGS), _hexadecimal),
    **dict.fromkeys((fields.ETH_SRC, fields.ETH_DST, fields.ARP_SHA, fields.ARP_THA), _mac),
    **dict.fromkeys((fields.IPV6_ND_SLL, fields.IPV6_ND_TLL), _mac),
    **dict.fromkeys((fields.IPV4_SRC, fields.IPV4_DST, fields.ARP_SPA, fields.ARP_TPA), _address),
    **dict.fromkeys((fields.TUN_SRC, fields.TUN_DST), _address),
    **dict.fromkeys((fields.IPV6_SRC, fields.IPV6_DST, fields.IPV6_ND_TARGET), _address6),
}
"""How values are written; decimal unless named here."""


def format_value(field: Field, value: int, mask: int | None = None) -> str:
    """A value of a field, with its mask unless that is all ones."""
    care = field.limit if mask is None else mask
    return _WRITERS.get(field, _decimal)(value, care, field.limit)


# --- matches ----------------------------------------------------------------------------------

_TYPES: Final = {
    0x0806: "arp",
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

_OVS_NAMES: Final = {
    fields.TUNNEL_ID: "tun_id",
    fields.IPV4_SRC: "ip_src",
    fields.IPV4_DST: "ip_dst",
    fields.IPV6_FLABEL: "ipv6_label",
    fields.IP_PROTO: "nw_proto",
    fields.IP_ECN: "nw_ecn",
    fields.ICMPV4_TYPE: "icmp_type",
    fields.ICMPV4_CODE: "icmp_code",
    fields.IPV6_ND_TARGET: "nd_target",
    fields.IPV6_ND_SLL: "nd_sll",
    fields.IPV6_ND_TLL: "nd_tll",
    fields.NW_FRAG: "ip_frag",
}
"""Fields which Open vSwitch calls otherwise."""


def _output(action: act.Output) -> str:
    name = format_port(action.port)
    if action.port == Port.CONTROLLER:
        return f"{name}:{action.max_len}"
    return f"output:{name}" if action.port < Port.MAX else name


def _set_field(action: act.SetField) -> str:
    value = format_value(action.field, action.value, action.mask)
    return f"set_field:{value}->{_OVS_NAMES.get(action.field, action.field.name)}"


_ACTIONS: Final[dict[type[Action], Callable[[Any], str]]] = {
    act.Output: _output,
    act.Enqueue: lambda a: f"enqueue:{format_port(a.port)}:{a.queue_id}",
    act.SetField: _set_field,
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
            text = _hexadecimal(instruction.metadata, instruction.mask, limit)
            words.append(f"write_metadata:{text}")
        else:
            words.append(f"goto_table:{instruction.table_id}")
    return ",".join(words) or "drop"
