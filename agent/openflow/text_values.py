"""Values as ``ovs-ofctl`` prints them: ports, addresses, and the values of fields with their masks.

What is made of them, matches and actions, is in :mod:`agent.openflow.text`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from agent.openflow import fields
from agent.openflow.constants import Port
from agent.openflow.fields import Field
from agent.openflow.ports import from_wire10


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
hexadecimal = _masked(lambda value: hex(value) if value else "0")
_mac = _masked(format_mac)
_address = _prefixed(_ipv4)
_address6 = _prefixed(_ipv6)
_label = _masked("0x{:05x}".format)

_WRITERS: Final[dict[Field, Callable[[int, int, int], str]]] = {
    fields.IN_PORT: _masked(format_port, hex),
    fields.IN_PHY_PORT: _masked(format_port, hex),
    fields.NX_IN_PORT: _masked(lambda port: format_port(from_wire10(port)), hex),
    fields.NW_FRAG: _nw_frag,
    fields.TCP_FLAGS: _tcp_flags,
    fields.IPV6_FLABEL: _label,
    fields.ETH_TYPE: _masked("0x{:04x}".format),
    fields.VLAN_TCI: _masked("0x{:04x}".format),
    **dict.fromkeys((fields.METADATA, fields.TUNNEL_ID, fields.PKT_MARK), hexadecimal),
    **dict.fromkeys((fields.IPV6_EXTHDR, fields.PBB_ISID, *fields.REGS), hexadecimal),
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


OVS_NAMES: Final = {
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
    fields.NX_IN_PORT: "in_port",
}
"""Fields which Open vSwitch calls otherwise."""


def name_of(field: Field) -> str:
    """What Open vSwitch calls a field."""
    return OVS_NAMES.get(field, field.name)
