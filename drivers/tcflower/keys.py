"""Matches of OpenFlow as keys of flower.

One match can need several filters, for flower compares some things only as a whole: a VLAN tag has
its TPID as the EtherType, and what follows a tag may be another tag.  The filters of one match are
disjoint, so that a packet hits one of them at most, and their order does not matter.

What flower cannot compare is refused with the error that says which field it is; or the filters are
made so *wide* that they leave it out, for a rule whose packets are handed to the software, which
looks at the rest.  The kernel refuses two filters of one place that compare the same, as those of
rules do which differ only in what is left out.  So these compare something besides which is true of
every packet and differs with what was left out: that some bits of ``ct_labels`` are zero, for no
packet here has been through connection tracking.

Three fields are compared a little less exactly than elsewhere:  ``eth_type`` is not looked for
behind an LLC header (SNAP); what ARP is about is seen in requests and replies alone; and where both
a tag and ``eth_type`` are matched, packets with three tags or more are not taken.

Source: Linux, ``net/sched/cls_flower.c`` and ``net/core/flow_dissector.c``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2s
from itertools import product
from typing import Final

import attrs

from agent.openflow import fields as f
from agent.openflow.errors import (
    BAD_FIELD,
    MATCH_BAD_MASK,
    MATCH_BAD_VALUE,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.fields import FIELDS, KEY_BITS, Field
from agent.openflow.match import Match
from drivers.tcflower.filters import KEYS, KeyFlags, Keys, make_keys

TPIDS: Final = (0x8100, 0x88A8)
"""The EtherTypes that VLAN tags have."""
ETH_TYPE_MIN: Final = 0x600
"""Below this it is no EtherType but a length (IEEE 802.3)."""
_ARP: Final = 0x0806
_ARP_OPS: Final = (1, 2)
"""Linux looks into ARP requests and replies, and at no other ARP packets."""
_NX_IN_PORT: Final = 0xFFFF
_VID: Final = 0x0FFF
_PCP_SHIFT: Final = 13

UNWRITTEN: Final = (f.METADATA, f.PKT_MARK, *f.REGS)
"""Fields that are zero in every packet that the kernel has, for nothing there writes them."""
TUNNEL: Final = (f.TUNNEL_ID, f.TUN_SRC, f.TUN_DST)
"""Fields which are zero in packets that neither came out of a tunnel nor are for one."""

_FRAGMENT: Final = int(KeyFlags.IS_FRAGMENT)
_FIRST: Final = int(KeyFlags.IS_FRAGMENT | KeyFlags.FRAG_IS_FIRST)
_FRAGMENTS: Final[dict[int, tuple[int, int]]] = {
    0: (0, _FRAGMENT),
    1: (_FIRST, _FIRST),
    3: (_FRAGMENT, _FIRST),
}
"""What ``nw_frag`` can be, and the key ``flags`` which says so."""

# Which fields there are keys for, by what the packet is known to be.
_LINK: Final[dict[Field, str]] = {
    f.ETH_DST: "eth_dst",
    f.ETH_SRC: "eth_src",
    f.TUNNEL_ID: "enc_key_id",
    f.TUN_SRC: "enc_ipv4_src",
    f.TUN_DST: "enc_ipv4_dst",
}
_IP: Final[dict[Field, str]] = {
    f.IP_PROTO: "ip_proto",
    f.NW_TOS: "ip_tos",
    f.NW_TTL: "ip_ttl",
}
_NETWORK: Final[dict[int, dict[Field, str]]] = {
    0x0800: _IP | {f.IPV4_SRC: "ipv4_src", f.IPV4_DST: "ipv4_dst"},
    0x86DD: _IP | {f.IPV6_SRC: "ipv6_src", f.IPV6_DST: "ipv6_dst"},
    _ARP: {
        f.ARP_OP: "arp_op",
        f.ARP_SPA: "arp_sip",
        f.ARP_TPA: "arp_tip",
        f.ARP_SHA: "arp_sha",
        f.ARP_THA: "arp_tha",
    },
}
_NETWORK.update(
    (eth_type, {f.MPLS_LABEL: "mpls_label", f.MPLS_TC: "mpls_tc", f.MPLS_BOS: "mpls_bos"})
    for eth_type in f.MPLS
)
_TRANSPORT: Final[dict[tuple[int, int], dict[Field, str]]] = {
    (0x0800, 1): {f.ICMPV4_TYPE: "icmpv4_type", f.ICMPV4_CODE: "icmpv4_code"},
    (0x86DD, 58): {f.ICMPV6_TYPE: "icmpv6_type", f.ICMPV6_CODE: "icmpv6_code"},
}
for _eth in f.IP:
    _TRANSPORT[_eth, 6] = {
        f.TCP_SRC: "tcp_src",
        f.TCP_DST: "tcp_dst",
        f.TCP_FLAGS: "tcp_flags",
    }
    _TRANSPORT[_eth, 17] = {f.UDP_SRC: "udp_src", f.UDP_DST: "udp_dst"}
    _TRANSPORT[_eth, 132] = {f.SCTP_SRC: "sctp_src", f.SCTP_DST: "sctp_dst"}

MATCHED: Final = frozenset(
    {f.IN_PORT, f.ETH_TYPE, f.VLAN_TCI, f.NW_FRAG, *_LINK}
    | {field for layer in (*_NETWORK.values(), *_TRANSPORT.values()) for field in layer}
)
"""The fields that can be matched in some way."""

Values = dict[str, int | tuple[int, int]]
"""Names of keys, each with a value or a value and a mask."""


@attrs.frozen
class Where:
    """What one filter compares.

    :ivar indev: the name of the device where packets come in; empty: any.
    :ivar ifindex: its number.  The kernel keeps that: for another device of the name it must be
        told again.
    """

    indev: str
    keys: Keys
    ifindex: int = 0


@attrs.define
class _Matching:
    """One match on its way to keys.

    :ivar match: the match.
    :ivar wide: whether to leave out what there is no key for.
    :ivar left: the bits of the match that nothing compares yet.
    :ivar lost: those that nothing will.
    :ivar values: what is the same in all filters.
    """

    match: Match
    wide: bool
    left: int
    lost: int = 0
    values: Values = attrs.Factory(dict)

    def refuse(self, code: ErrorCode, bits: int, text: str) -> None:
        """Flower cannot compare something.

        :param bits: where it is in a flow key.
        :raises OpenFlowError: unless that shall be left out.
        """
        if not self.wide:
            raise OpenFlowError(code, f"tc flower {text}")
        self.lost |= bits

    def told_apart(self) -> Values:
        """What tells wide filters apart that are for different rules."""
        lost = self.lost & self.match.mask
        if not lost:
            return {}
        size = KEY_BITS // 8
        left_out = lost.to_bytes(size, "big") + (self.match.value & lost).to_bytes(size, "big")
        return {"ct_labels": (0, int.from_bytes(blake2s(left_out, digest_size=16).digest()) or 1)}

    def take(self, field: Field) -> tuple[int, int]:
        """The value and the mask of a field which is compared from now on."""
        self.left &= ~field.mask
        return self.match.get(field)

    def compare(self, field: Field, name: str) -> None:
        """Compare a field by the key of this name, if the match has it."""
        value, mask = self.take(field)
        if not mask:
            return
        kind = KEYS[name]
        limit = (1 << kind.bits) - 1
        if value & ~limit:
            what = f"compares {kind.bits} bits of {field.name}"
            self.refuse(MATCH_BAD_VALUE, field.mask, what)
            return
        if mask & limit != limit and kind.mask_attr is None:
            self.refuse(MATCH_BAD_MASK, field.mask, f"cannot mask {field.name}")
            return
        self.values[name] = value, mask & limit


def keys_of(
    match: Match,
    ports: Mapping[int, tuple[str, int]],
    tpids: tuple[int, ...] = TPIDS,
    wide: bool = False,
    tpid: int | None = None,
    deep: bool = False,
    tunnels: bool = True,
) -> tuple[Where, ...]:
    """What the filters of a match compare.

    :param ports: the names and numbers of the devices that are ports, by the port's number.
    :param tpids: the EtherTypes of VLAN tags that packets may have.
    :param wide: whether to leave out what there is no key for.
    :param tpid: that of the outer tag, if the packets shall have just this one.
    :param deep: whether the packets shall have two tags or more.
    :param tunnels: whether packets may have what :data:`TUNNEL` names.
    :return: empty when no packet in the kernel can be matched, now.
    :raises OpenFlowError: BAD_MATCH with BAD_FIELD, BAD_MASK or BAD_VALUE, when not ``wide``.
    """
    matching = _Matching(match, wide, match.mask)
    for field in (*UNWRITTEN, *(() if tunnels or not wide else TUNNEL)):
        value, mask = match.get(field)
        if mask:
            if value and wide:
                return ()
            if value:
                matching.refuse(BAD_FIELD, field.mask, f"cannot match {field.name}")
            matching.take(field)
    for field, name in _LINK.items():
        matching.compare(field, name)
    eth_type = _eth_type(matching)
    fragments = [{}] if eth_type is None else _layers(matching, eth_type)
    outer = tpids if tpid is None else (tpid,)
    tags: list[Values] = []
    for tag in _tags(matching):
        if tpid is not None or deep:
            if tag.there is False:
                continue
            tag = attrs.evolve(tag, there=True)
        tags += _tagged(tag, eth_type, outer, tpids, deep)
    devices = _devices(matching, ports)
    if matching.left:
        names = [field.name for field in FIELDS.values() if field.mask & matching.left]
        matching.refuse(BAD_FIELD, matching.left, f"cannot match {names[0]}")
    common = matching.values | matching.told_apart()
    return tuple(
        Where(name, make_keys(common | tag | fragment), ifindex)
        for (name, ifindex), tag, fragment in product(devices, tags, fragments)
    )


def needs_tag(keys: Keys) -> bool:
    """Whether what compares this takes only packets that have a VLAN tag."""
    return any(key.name == "eth_type" and key.value in TPIDS for key in keys)


def _eth_type(matching: _Matching) -> int | None:
    """The EtherType that is matched, or None."""
    value, mask = matching.take(f.ETH_TYPE)
    if not mask:
        return None
    if mask != f.ETH_TYPE.limit:
        matching.refuse(MATCH_BAD_MASK, f.ETH_TYPE.mask, "cannot mask eth_type")
        return None
    if value < ETH_TYPE_MIN or value in TPIDS:
        what = f"cannot match eth_type {value:#06x}"
        matching.refuse(MATCH_BAD_VALUE, f.ETH_TYPE.mask, what)
        return None
    return value


def _layers(matching: _Matching, eth_type: int) -> list[Values]:
    """Compare what is behind the EtherType; returns the choices for fragments."""
    if eth_type == _ARP:
        value, mask = matching.match.get(f.ARP_OP)
        if mask and value not in _ARP_OPS:
            matching.refuse(MATCH_BAD_VALUE, f.ARP_OP.mask, f"cannot match arp_op {value}")
            return [{}]
    for field, name in _NETWORK.get(eth_type, {}).items():
        matching.compare(field, name)
    if eth_type not in f.IP:
        return [{}]
    ip_proto = matching.match.value_of(f.IP_PROTO)
    if ip_proto is not None:
        for field, name in _TRANSPORT.get((eth_type, ip_proto), {}).items():
            matching.compare(field, name)
        if ip_proto in (*f.ICMP, *f.ICMPV6):
            # OpenFlow 1.0 has 16 bits for what needs 8; the others are 0 in every packet.
            for field in (f.TCP_SRC, f.TCP_DST):
                value, _ = matching.match.get(field)
                if not value >> 8:
                    matching.left &= ~(0xFF00 << field.shift)
    value, mask = matching.take(f.NW_FRAG)
    if not mask:
        return [{}]
    if mask == 1:
        return [{"flags": (value, _FRAGMENT)}]
    return [{"flags": flags} for bits, flags in _FRAGMENTS.items() if bits & mask == value]


@attrs.frozen
class _Tag:
    """What is wanted of the outer tag.

    :ivar there: whether there is one; None: it may be or not.
    :ivar vid: its identifier; None: any.
    :ivar pcp: its priority; None: any.
    """

    there: bool | None = None
    vid: int | None = None
    pcp: int | None = None


def _tags(matching: _Matching) -> Iterator[_Tag]:
    """What may be wanted of the outer tag, so that the match is met."""
    value, mask = matching.take(f.VLAN_TCI)
    if not mask:
        yield _Tag()
        return
    # Without a tag all bits are zero.
    if not value:
        yield _Tag(False)
    if mask & f.VLAN_PRESENT and not value & f.VLAN_PRESENT:
        return
    vid = pcp = None
    if mask & _VID:
        if mask & _VID == _VID:
            vid = value & _VID
        else:
            matching.refuse(MATCH_BAD_MASK, f.VLAN_TCI.mask, "cannot mask vlan_vid")
    if mask >> _PCP_SHIFT:
        if mask >> _PCP_SHIFT == f.VLAN_PCP.limit:
            pcp = value >> _PCP_SHIFT
        else:
            matching.refuse(MATCH_BAD_MASK, f.VLAN_TCI.mask, "cannot mask vlan_pcp")
    yield _Tag(True, vid, pcp)


def _tagged(
    tag: _Tag, eth_type: int | None, outer: tuple[int, ...], inner: tuple[int, ...], deep: bool
) -> Iterator[Values]:
    """The keys that compare the outer tag and the EtherType.

    :param outer: the TPIDs that the outer tag may have; ``inner`` those of the one behind it.
    :param deep: whether there must be one behind it.
    """
    end: Values = {} if eth_type is None else {"eth_type": eth_type}
    if not tag.there:
        if tag.there is False:
            end["num_of_vlans"] = 0
        yield end
        return
    for first in outer:
        values: Values = {"eth_type": first}
        if tag.vid is not None:
            values["vlan_id"] = tag.vid
        if tag.pcp is not None:
            values["vlan_prio"] = tag.pcp
        if eth_type is not None and not deep:
            yield values | {"vlan_eth_type": eth_type}
        elif not deep:
            yield values
        if eth_type is not None or deep:
            for second in inner:
                behind: Values = {"vlan_eth_type": second}
                if eth_type is not None:
                    behind["cvlan_eth_type"] = eth_type
                yield values | behind


def _devices(matching: _Matching, ports: Mapping[int, tuple[str, int]]) -> list[tuple[str, int]]:
    """The names and numbers of the devices where packets may come in."""
    value, mask = matching.take(f.IN_PORT)
    if not mask:
        return [("", 0)]
    if mask not in (f.IN_PORT.limit, _NX_IN_PORT):
        matching.refuse(MATCH_BAD_MASK, f.IN_PORT.mask, "cannot mask in_port")
        return [("", 0)]
    return [device for number, device in ports.items() if number & mask == value]
