"""Text about flows, as people type it for ``ovs-ofctl`` and ``ofproto/trace``, to matches.

The opposite of :mod:`agent.openflow.text` and of :mod:`agent.packet.describe`: what those print is
read here.  A text is a list of words for protocols and of fields with their values, such as
``in_port=1,tcp,nw_src=10.0.0.0/8,tp_dst=80``, with commas or blanks between.  What a field needs
(``tp_dst`` a protocol that has ports) must be said before it, as in Open vSwitch.

Not here: actions; nothing needs those as text.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from agent.openflow import fields as f
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.messages import ANY, Port

Pair: TypeAlias = tuple[int, int]
"""A value and its mask."""

MAX_TEXT: Final = 4096
"""Characters of a text; there is no flow that needs so many."""


class FlowSyntaxError(ValueError):
    """A text is not about a flow.

    :ivar token: what is wrong in it.
    :ivar why: what is wrong with that.
    """

    def __init__(self, token: str, why: str) -> None:
        super().__init__(f"{token}: {why}")
        self.token = token
        self.why = why


def parse_match(text: str, ports: Mapping[str, int] | None = None) -> Match:
    """The match that a text describes; an empty one matches everything.

    :param ports: numbers of ports by their names.
    :raises FlowSyntaxError: with the first token that is wrong.
    """
    parser = _Parser(ports or {}, exact=False)
    parser.read(text)
    return Match(parser.mask, parser.value)


def parse_flow(text: str, ports: Mapping[str, int] | None = None) -> int:
    """The flow key of the packet that a text describes; what is not said is zero.

    A packet that is not said to come in anywhere comes from no port.

    :param ports: numbers of ports by their names.
    :raises FlowSyntaxError: with the first token that is wrong, also where a value has a mask.
    """
    parser = _Parser(ports or {}, exact=True)
    parser.read(text)
    if not parser.mask & f.IN_PORT.mask:
        return f.IN_PORT.put(parser.value, ANY)
    return parser.value


# --- values -----------------------------------------------------------------------------------


def _number(text: str) -> int:
    """Decimal, or hexadecimal with 0x."""
    if not re.fullmatch("0[xX][0-9a-fA-F]+|[0-9]+", text, re.ASCII) or len(text) > 40:
        raise ValueError(f"{text!r} is not a number")
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def _mac(text: str) -> int:
    if not re.fullmatch("[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", text):
        raise ValueError(f"{text!r} is not an Ethernet address")
    return int("".join(part.zfill(2) for part in text.split(":")), 16)


def _ipv4(text: str) -> int:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IPv4 address") from None


def _ipv6(text: str) -> int:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IPv6 address") from None


Reader: TypeAlias = Callable[[str, int], Pair]
"""Reads a value, given the greatest that its field can have."""


def _masked(read: Callable[[str], int]) -> Reader:
    """A value, and perhaps a mask of the same kind behind a slash."""

    def both(text: str, limit: int) -> Pair:
        value, slash, mask = text.partition("/")
        return read(value), read(mask) if slash else limit

    return both


def _prefixed(read: Callable[[str], int]) -> Reader:
    """An address, and perhaps a mask behind a slash, which may be a number of bits."""

    def both(text: str, limit: int) -> Pair:
        value, slash, mask = text.partition("/")
        if not slash:
            return read(value), limit
        if not mask.isdecimal():
            return read(value), read(mask)
        bits = limit.bit_length()
        length = _number(mask)
        if length > bits:
            raise ValueError(f"a prefix has at most {bits} bits")
        return read(value), limit >> (bits - length) << (bits - length)

    return both


_FRAGS: Final = {
    "no": (0, 3),
    "first": (1, 3),
    "later": (3, 3),
    "yes": (1, 1),
    "not_later": (0, 2),
}
_FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
_FLAG_BITS: Final = {name: 1 << bit for bit, name in enumerate(_FLAGS)} | {
    f"[{bit:x}]": bit for bit in (0x200, 0x400, 0x800)
}


def _nw_frag(text: str, limit: int) -> Pair:
    if text not in _FRAGS:
        raise ValueError(f"{text!r} is not {', '.join(list(_FRAGS)[:-1])} or not_later")
    return _FRAGS[text]


def _tcp_flags(text: str, limit: int) -> Pair:
    """A number; ``syn|ack``, which is these flags and no others; or ``+syn-ack``."""
    if text[:1].isdecimal():
        return _plain(text, limit)
    if text[:1] not in ("+", "-"):
        return sum({_flag(name) for name in text.split("|")}), limit
    value = mask = 0
    if not re.fullmatch(r"([+-][^+-]+)+", text):
        raise ValueError(f"{text!r} is not a list of flags with + or - before each")
    for sign, name in re.findall(r"([+-])([^+-]+)", text):
        bit = _flag(name)
        if mask & bit:
            raise ValueError(f"{name} is said twice")
        mask |= bit
        value |= bit if sign == "+" else 0
    return value, mask


def _flag(name: str) -> int:
    if name not in _FLAG_BITS:
        raise ValueError(f"there is no flag {name!r}")
    return _FLAG_BITS[name]


_plain: Final = _masked(_number)
_READERS: Final[dict[Field, Reader]] = {
    f.NW_FRAG: _nw_frag,
    f.TCP_FLAGS: _tcp_flags,
    **dict.fromkeys((f.ETH_SRC, f.ETH_DST, f.ARP_SHA, f.ARP_THA), _masked(_mac)),
    **dict.fromkeys((f.IPV6_ND_SLL, f.IPV6_ND_TLL), _masked(_mac)),
    **dict.fromkeys((f.IPV4_SRC, f.IPV4_DST, f.ARP_SPA, f.ARP_TPA), _prefixed(_ipv4)),
    **dict.fromkeys((f.TUN_SRC, f.TUN_DST), _prefixed(_ipv4)),
    **dict.fromkeys((f.IPV6_SRC, f.IPV6_DST, f.IPV6_ND_TARGET), _prefixed(_ipv6)),
}
"""How values are read; numbers unless named here."""


# --- names ------------------------------------------------------------------------------------

_WORDS: Final[dict[str, dict[Field, int]]] = {
    "eth": {},
    "ip": {f.ETH_TYPE: 0x0800},
    "ipv6": {f.ETH_TYPE: 0x86DD},
    "arp": {f.ETH_TYPE: 0x0806},
    "rarp": {f.ETH_TYPE: 0x8035},
    "mpls": {f.ETH_TYPE: 0x8847},
    "mplsm": {f.ETH_TYPE: 0x8848},
    "icmp": {f.ETH_TYPE: 0x0800, f.IP_PROTO: 1},
    "icmp6": {f.ETH_TYPE: 0x86DD, f.IP_PROTO: 58},
} | {
    name + suffix: {f.ETH_TYPE: eth_type, f.IP_PROTO: proto}
    for name, proto in (("tcp", 6), ("udp", 17), ("sctp", 132))
    for suffix, eth_type in (("", 0x0800), ("6", 0x86DD))
}
"""Words for protocols, and what they say."""

_NAMES: Final[dict[str, tuple[Field, ...]]] = {
    name: (field,) for name, field in f.FIELDS.items() if field is not f.NX_IN_PORT
} | {
    "dl_src": (f.ETH_SRC,),
    "dl_dst": (f.ETH_DST,),
    "dl_type": (f.ETH_TYPE,),
    "nw_src": (f.IPV4_SRC,),
    "nw_dst": (f.IPV4_DST,),
    "ip_src": (f.IPV4_SRC,),
    "ip_dst": (f.IPV4_DST,),
    "nw_proto": (f.IP_PROTO,),
    "nw_ecn": (f.IP_ECN,),
    "ip_ttl": (f.NW_TTL,),
    "ip_frag": (f.NW_FRAG,),
    "ipv6_label": (f.IPV6_FLABEL,),
    "nd_target": (f.IPV6_ND_TARGET,),
    "nd_sll": (f.IPV6_ND_SLL,),
    "nd_tll": (f.IPV6_ND_TLL,),
    "tun_id": (f.TUNNEL_ID,),
    "icmp_type": (f.ICMPV4_TYPE, f.ICMPV6_TYPE),
    "icmp_code": (f.ICMPV4_CODE, f.ICMPV6_CODE),
    "tp_src": (f.TCP_SRC, f.UDP_SRC, f.SCTP_SRC),
    "tp_dst": (f.TCP_DST, f.UDP_DST, f.SCTP_DST),
}
"""The fields that a name can mean; the first whose needs are met is meant."""

_PRESENT: Final = f.VLAN_PRESENT << f.VLAN_TCI.shift


class _Parser:
    """Reads one text.

    :ivar mask: the bits that it said something of.
    :ivar value: what it said of them.
    """

    def __init__(self, ports: Mapping[str, int], exact: bool) -> None:
        self.mask = self.value = 0
        self._ports = ports
        self._exact = exact

    def read(self, text: str) -> None:
        """Read it all."""
        if len(text) > MAX_TEXT:
            raise FlowSyntaxError(text[:20] + "...", f"longer than {MAX_TEXT} characters")
        for token in re.split(r"[,\s]+", text):
            name, equals, value = token.partition("=")
            if not token:
                continue
            if not equals and name in _WORDS:
                for field, number in _WORDS[name].items():
                    self._put(token, field, number, field.limit)
            elif name in _NAMES or name in ("dl_vlan", "dl_vlan_pcp"):
                try:
                    self._field(token, name, value)
                except FlowSyntaxError:
                    raise
                except ValueError as error:
                    raise FlowSyntaxError(token, f"bad value for {name}: {error}") from None
            else:
                raise FlowSyntaxError(token, f"unknown field {name}")

    def _field(self, token: str, name: str, text: str) -> None:
        """One field with its value."""
        if name == "dl_vlan":
            self._dl_vlan(token, text)
            return
        if name == "dl_vlan_pcp":
            value, mask = self._plain(text, 7)
            self._put(token, f.VLAN_PCP, value, mask)
            self._put(token, f.VLAN_TCI, f.VLAN_PRESENT, f.VLAN_PRESENT)
            return
        for field in _NAMES[name]:
            if self._has(field):
                break
        else:
            raise FlowSyntaxError(token, f"prerequisites not met for setting {name}")
        if field is f.IN_PORT or field is f.IN_PHY_PORT:
            value, mask = self._port(text), field.limit
        elif field is f.NW_TOS:
            # The two bits of ECN are a field of their own.
            field = f.IP_DSCP
            value, mask = self._plain(text, 0xFF)
            if value & 3:
                raise ValueError("the two lowest bits are nw_ecn")
            value, mask = value >> 2, field.limit
        else:
            value, mask = _READERS.get(field, _plain)(text, field.limit)
        if value > field.limit or mask > field.limit:
            raise ValueError(f"more than {field.bits} bits")
        if self._exact and mask != field.limit:
            raise ValueError("a packet has no wildcards")
        self._put(token, field, value & mask, mask)

    def _dl_vlan(self, token: str, text: str) -> None:
        """A VLAN identifier; 0xffff: there is no tag."""
        if _number(text) == 0xFFFF:
            self._put(token, f.VLAN_TCI, 0, f.VLAN_TCI.limit if self._exact else 0x1FFF)
        else:
            value, _ = self._plain(text, 0xFFF)
            self._put(token, f.VLAN_VID, f.VLAN_PRESENT | value, f.VLAN_VID.limit)

    @staticmethod
    def _plain(text: str, limit: int) -> Pair:
        value = _number(text)
        if value > limit:
            raise ValueError(f"it is greater than {limit}")
        return value, limit

    def _port(self, text: str) -> int:
        """A port: its number, its name, or the name of a reserved one."""
        if text in self._ports:
            return self._ports[text]
        name = text.upper()
        if name == "NONE":
            return ANY
        if name in Port.__members__ and name != "MAX":
            return Port[name]
        try:
            return _number(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a port") from None

    def _has(self, field: Field) -> bool:
        """Whether what was said so far is of packets that have this field."""
        said = Match(self.mask, self.value)
        # The flow of a packet of neighbour discovery has both addresses, whatever its type is.
        icmp_types = f.ND_ANY if self._exact and field.icmp_types else field.icmp_types
        return (
            (not field.eth_types or said.value_of(f.ETH_TYPE) in field.eth_types)
            and (not field.ip_protos or said.value_of(f.IP_PROTO) in field.ip_protos)
            and (not icmp_types or said.value_of(f.ICMPV6_TYPE) in icmp_types)
            and (not field.needs_vlan or bool(self.value & _PRESENT))
        )

    def _put(self, token: str, field: Field, value: int, mask: int) -> None:
        """Take note of a value."""
        mask <<= field.shift
        value <<= field.shift
        if (self.value ^ value) & self.mask & mask:
            raise FlowSyntaxError(token, f"something else was said of {field.name} before")
        self.mask |= mask
        self.value |= value
