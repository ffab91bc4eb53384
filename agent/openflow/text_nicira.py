"""Nicira's actions as ``ovs-ofctl`` 3.1 prints them.

Fields have the names of their TLVs here (``NXM_OF_ETH_SRC``), and bits of them follow in brackets:
``[]`` are all, ``[3]`` is one, ``[0..15]`` are sixteen.

Source: ovs-actions(7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agent.openflow import fields
from agent.openflow import nx_actions as nx
from agent.openflow.actions import Action, SetField
from agent.openflow.constants import ALL_TABLES, PacketInReason, Port
from agent.openflow.fields import Field
from agent.openflow.nx_actions import LearnFlags, LearnSpec, LearnTo, Subfield, runs_of
from agent.openflow.text_values import (
    format_port,
    format_value,
    hexadecimal,
    name_of,
)

_DEFAULT_PRIORITY: Final = 0x8000
_NO_LIMIT: Final = 0xFFFF

# fmt: off
_NXM_OF: Final = (
    "IN_PORT", "ETH_DST", "ETH_SRC", "ETH_TYPE", "VLAN_TCI", "IP_TOS", "IP_PROTO", "IP_SRC",
    "IP_DST", "TCP_SRC", "TCP_DST", "UDP_SRC", "UDP_DST", "ICMP_TYPE", "ICMP_CODE", "ARP_OP",
    "ARP_SPA", "ARP_TPA",
)
_NXM_NX: Final = (
    *(f"REG{n}" for n in range(16)),
    "TUN_ID", "ARP_SHA", "ARP_THA", "IPV6_SRC", "IPV6_DST", "ICMPV6_TYPE", "ICMPV6_CODE",
    "ND_TARGET", "ND_SLL", "ND_TLL", "IP_FRAG", "IPV6_LABEL", "IP_ECN", "IP_TTL", "COOKIE",
    "TUN_IPV4_SRC", "TUN_IPV4_DST", "PKT_MARK", "TCP_FLAGS",
)
# fmt: on
_CLASSES: Final = {fields.NXM_0: ("NXM_OF_", _NXM_OF), fields.NXM_1: ("NXM_NX_", _NXM_NX)}
"""The names of the TLVs of each class, by number."""


def tlv_name(field: Field) -> str:
    """The name of a field's TLV: Nicira's if it has one."""
    if field.nxm is None:
        return f"OXM_OF_{field.name.upper()}"
    prefix, names = _CLASSES[field.nxm[0]]
    return prefix + names[field.nxm[1]]


def format_subfield(bits: Subfield) -> str:
    """Some bits of a field."""
    if bits.n_bits == bits.field.bits:
        inner = ""
    elif bits.n_bits == 1:
        inner = str(bits.ofs)
    else:
        inner = f"{bits.ofs}..{bits.ofs + bits.n_bits - 1}"
    return f"{tlv_name(bits.field)}[{inner}]"


def _hex(value: int) -> str:
    return hex(value) if value else "0"


def format_load(field: Field, value: int, mask: int) -> str | None:
    """A set-field as the ``load`` that it is on the wire; None when it is none."""
    runs = tuple(runs_of(mask))
    if len(runs) != 1:
        return None
    ((ofs, n_bits),) = runs
    return f"load:{_hex((value & mask) >> ofs)}->{format_subfield(Subfield(field, ofs, n_bits))}"


# --- one by one -------------------------------------------------------------------------------


def _resubmit(action: nx.Resubmit) -> str:
    port = "" if action.in_port == Port.IN_PORT else format_port(action.in_port)
    if action.table_id == ALL_TABLES:
        return f"resubmit:{port}" if port else "resubmit(,)"
    return f"resubmit({port},{action.table_id})"


_REASONS: Final[dict[int, str]] = {reason: reason.name.lower() for reason in PacketInReason}


def _controller(action: nx.ControllerAction) -> str:
    if action.reason == PacketInReason.ACTION and not action.controller_id:
        return f"CONTROLLER:{action.max_len}"
    parts = []
    if action.reason != PacketInReason.ACTION:
        parts.append(f"reason={_REASONS.get(action.reason, action.reason)}")
    if action.max_len != _NO_LIMIT:
        parts.append(f"max_len={action.max_len}")
    if action.controller_id:
        parts.append(f"id={action.controller_id}")
    return f"controller({','.join(parts)})"


def _fin_timeout(action: nx.FinTimeout) -> str:
    parts = []
    if action.fin_idle_timeout:
        parts.append(f"idle_timeout={action.fin_idle_timeout}")
    if action.fin_hard_timeout:
        parts.append(f"hard_timeout={action.fin_hard_timeout}")
    return f"fin_timeout({','.join(parts)})"


_HASH_FIELDS: Final[dict[int, str]] = {
    **{one: one.name.lower() for one in nx.HashFields},
    nx.HashFields.SYMMETRIC_L3L4_UDP: "symmetric_l3l4+udp",
}
_MULTIPATH: Final[dict[int, str]] = {one: one.name.lower() for one in nx.MultipathAlgorithm}
_BUNDLE: Final[dict[int, str]] = {one: one.name.lower() for one in nx.BundleAlgorithm}


def _multipath(action: nx.Multipath) -> str:
    return (
        f"multipath({_HASH_FIELDS[action.fields]},{action.basis},{_MULTIPATH[action.algorithm]},"
        f"{action.max_link + 1},{action.arg},{format_subfield(action.dst)})"
    )


def _bundle(action: nx.Bundle) -> str:
    name, dst = "bundle", ""
    if action.dst is not None:
        name, dst = "bundle_load", f"{format_subfield(action.dst)},"
    members = ",".join(map(format_port, action.members))
    return (
        f"{name}({_HASH_FIELDS[action.fields]},{action.basis},{_BUNDLE[action.algorithm]},ofport,"
        f"{dst}members:{members})"
    )


def _write_metadata(action: nx.WriteMetadataAction) -> str:
    return f"write_metadata:{hexadecimal(action.metadata, action.mask, fields.METADATA.limit)}"


# --- learn ------------------------------------------------------------------------------------


def _learn(action: nx.Learn) -> str:
    parts = [f"table={action.table_id}"]
    for name in ("idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"):
        timeout = getattr(action, name)
        if timeout:
            parts.append(f"{name}={timeout}")
    if action.priority != _DEFAULT_PRIORITY:
        parts.append(f"priority={action.priority}")
    parts += [flag.name.lower() for flag in LearnFlags if action.flags & flag and flag.name]
    if action.cookie:
        parts.append(f"cookie={action.cookie:#x}")
    parts += map(_spec, action.specs)
    return f"learn({','.join(parts)})"


def _spec(spec: LearnSpec) -> str:
    src, dst = spec.src, spec.dst
    if dst is None:
        return f"output:{format_subfield(src)}" if isinstance(src, Subfield) else ""
    if spec.to is LearnTo.LOAD:
        value = _hex(src) if isinstance(src, int) else format_subfield(src)
        return f"load:{value}->{format_subfield(dst)}"
    if isinstance(src, Subfield):
        same = src.field is dst.field and src.ofs == dst.ofs
        return format_subfield(dst) + ("" if same else f"={format_subfield(src)}")
    if dst.n_bits == dst.field.bits:
        return f"{name_of(dst.field)}={format_value(dst.field, src)}"
    return f"{format_subfield(dst)}={_hex(src)}"


WORDS: Final[dict[type[Action], Callable[[Any], str]]] = {
    nx.Resubmit: _resubmit,
    nx.PopQueue: lambda a: "pop_queue",
    nx.RegMove: lambda a: f"move:{format_subfield(a.src)}->{format_subfield(a.dst)}",
    nx.Note: lambda a: f"note:{a.note.hex('.')}",
    nx.Multipath: _multipath,
    nx.Bundle: _bundle,
    nx.OutputReg: lambda a: f"output:{format_subfield(a.src)}",
    nx.ControllerAction: _controller,
    nx.DecTtlCntIds: lambda a: f"dec_ttl({','.join(map(str, a.controller_ids))})",
    nx.Exit: lambda a: "exit",
    nx.FinTimeout: _fin_timeout,
    nx.StackPush: lambda a: f"push:{format_subfield(a.src)}",
    nx.StackPop: lambda a: f"pop:{format_subfield(a.dst)}",
    nx.WriteMetadataAction: _write_metadata,
    nx.Learn: _learn,
}
"""One word for each action."""


def format_set_field(action: SetField) -> str:
    """A set-field, or the ``load`` as which it came."""
    if action.mask is not None:
        load = format_load(action.field, action.value, action.mask)
        if load is not None:
            return load
    value = format_value(action.field, action.value, action.mask)
    return f"set_field:{value}->{name_of(action.field)}"
