"""Flower filters and tc's actions as bytes of netlink.

This is the fast way, written by hand: 4 us a filter.  :mod:`drivers.tcflower.nla` declares the same
layouts for pyroute2, which takes fifty times as long; a test proves that both make the same bytes.
Still faster, for rules that differ only in a few values, is :mod:`drivers.tcflower.template`.

Source: Linux, ``linux/pkt_cls.h``, ``linux/pkt_sched.h``, ``linux/tc_act/*.h``,
``linux/rtnetlink.h``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final

from drivers.tcflower.actions import (
    Csum,
    Ct,
    Gact,
    Mirred,
    Mpls,
    Pedit,
    Police,
    Policer,
    Sample,
    Skbedit,
    TcAction,
    TunnelKey,
    Vlan,
)
from drivers.tcflower.filters import ETH_P_ALL, KEYS, Filter, Key

RTM_NEWTFILTER: Final = 44
RTM_DELTFILTER: Final = 45
RTM_GETTFILTER: Final = 46

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_ECHO: Final = 0x8
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_DUMP: Final = 0x300

BLOCK: Final = 0xFFFFFFFF
"""``TCM_IFINDEX_MAGIC_BLOCK``: no device's number; the parent is a block's."""

# Attributes: TCA_*, TCA_ACT_*, TCA_FLOWER_*.
KIND: Final = 1
OPTIONS: Final = 2
CHAIN: Final = 11
DUMP_FLAGS: Final = 15
DUMP_TERSE: Final = 1
ACT_KIND: Final = 1
ACT_OPTIONS: Final = 2
NLA_F_NESTED: Final = 0x8000
"""Some actions insist on this flag of their options, others do not look at it."""
ACT_STATS: Final = 4
ACT_COOKIE: Final = 6
FLOWER_INDEV: Final = 2
FLOWER_ACT: Final = 3
FLOWER_FLAGS: Final = 22

EGRESS_REDIR: Final = 1
EGRESS_MIRROR: Final = 2
INGRESS_REDIR: Final = 3
INGRESS_MIRROR: Final = 4

RATE_TABLE: Final = bytes(1024)
"""``TC_RTAB_SIZE``: the kernel insists on a table that it does not use with Ethernet."""
TICK: Final = 64
"""Nanoseconds of a tick (``PSCHED_SHIFT``)."""
NO_MTU: Final = 0xFFFFFFFF

HEADER: Final = Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence number, port."""
TCMSG: Final = Struct("=BxxxIIII")
"""``struct tcmsg``: family, device, handle, parent, info."""
FIRST: Final = HEADER.size + TCMSG.size
"""Where the attributes of a message begin."""

_attribute = Struct("=HH")
_bitfield = Struct("=II")
_place = Struct(HEADER.format + TCMSG.format[1:] + "HH8sHHI")
_KIND_SIZE: Final = 4 + len("flower\0")
_CHAIN_SIZE: Final = 8
_u8 = Struct("=B")
_u16 = Struct("=H")
_u32 = Struct("=I")
_u64 = Struct("=Q")
_gen = Struct("=IIiii")
_gen_op = Struct("=IIiiii")
_gen_flags = Struct("=IIiiiI")
_mirred = Struct("=IIiiiiI")
_pedit = Struct("=IIiiiBBxx")
_pedit_key = Struct(">II")
_pedit_at = Struct("=iIII")
_police = Struct("=IiIII BBHhHI BBHhHI iiI")
_FLAGS_KEY: Final = "flags"
ORDER: Final = sys.byteorder
"""The order of bytes of this host."""


def attribute(number: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = len(payload)
    return _attribute.pack(4 + length, number) + payload + bytes(-length & 3)


def string(number: int, text: str) -> bytes:
    """An attribute that is a string with a zero at its end."""
    return attribute(number, text.encode() + b"\0")


def message(
    kind: int,
    flags: int,
    sequence: int,
    block: int,
    info: tuple[int, int, int],
    attributes: bytes = b"",
) -> bytes:
    """A message about a filter of a shared block.

    :param block: the block's number.
    :param info: the filter's handle, its pref and its protocol.
    """
    handle, pref, protocol = info
    return (
        HEADER.pack(FIRST + len(attributes), kind, flags | NLM_F_REQUEST, sequence, 0)
        + TCMSG.pack(0, BLOCK, handle, block, tcm_info(pref, protocol))
        + attributes
    )


def tcm_info(pref: int, protocol: int) -> int:
    """What ``tcm_info`` says of a filter."""
    return pref << 16 | swapped(protocol)


def swapped(number: int) -> int:
    """A number of 16 bits in the order of the network, as this host reads it."""
    return int.from_bytes(number.to_bytes(2, "big"), ORDER)


_EVERY: Final = swapped(ETH_P_ALL)


def new_filter(wanted: Filter, block: int, flags: int, sequence: int) -> bytes:
    """The request that installs a filter, or changes the one of the same handle.

    :param flags: CREATE, and EXCL if there must be no filter of this handle.
    """
    return message(
        RTM_NEWTFILTER,
        flags,
        sequence,
        block,
        (wanted.handle, wanted.pref, wanted.protocol),
        string(KIND, "flower")
        + attribute(CHAIN, _u32.pack(wanted.chain))
        + attribute(OPTIONS, options(wanted)),
    )


def get_filter(key: tuple[int, int, int], block: int, flags: int, sequence: int) -> bytes:
    """The request for what the kernel knows of a filter.

    :param key: its chain, pref and handle.
    """
    return _about(RTM_GETTFILTER, key, block, flags, sequence)


def delete_filter(key: tuple[int, int, int], block: int, flags: int, sequence: int) -> bytes:
    """The request that removes a filter; ``key`` as of :func:`get_filter`."""
    return _about(RTM_DELTFILTER, key, block, flags, sequence)


def _about(kind: int, key: tuple[int, int, int], block: int, flags: int, sequence: int) -> bytes:
    chain, pref, handle = key
    return _place.pack(
        *(_place.size, kind, flags | NLM_F_REQUEST, sequence, 0),
        *(0, BLOCK, handle, block, pref << 16 | _EVERY),
        *(_KIND_SIZE, KIND, b"flower"),
        *(_CHAIN_SIZE, CHAIN, chain),
    )


def dump_filters(block: int, sequence: int, terse: bool = False) -> bytes:
    """The request for all filters of a block.

    :param terse: without what they compare and do; kernels before 5.8 do not heed it.
    """
    flags = attribute(DUMP_FLAGS, _bitfield.pack(DUMP_TERSE, DUMP_TERSE)) if terse else b""
    return message(RTM_GETTFILTER, NLM_F_DUMP, sequence, block, (0, 0, 0), flags)


def options(wanted: Filter) -> bytes:
    """What is in a filter's ``TCA_OPTIONS``."""
    parts = [string(FLOWER_INDEV, wanted.indev)] if wanted.indev else []
    parts += map(_key, wanted.keys)
    parts.append(attribute(FLOWER_FLAGS, _u32.pack(wanted.flags)))
    parts.append(attribute(FLOWER_ACT, actions(wanted.actions, wanted.cookie)))
    return b"".join(parts)


def actions(wanted: Iterable[TcAction], cookie: bytes = b"") -> bytes:
    """A list of actions.

    :param cookie: what the first of them carries.
    """
    return b"".join(
        attribute(place, one_action(action, cookie if place == 1 else b""))
        for place, action in enumerate(wanted, 1)
    )


def one_action(action: TcAction, cookie: bytes = b"") -> bytes:
    """What is said of one action."""
    kind, pack = _PACKERS[type(action)]
    return (
        string(ACT_KIND, kind)
        + attribute(ACT_OPTIONS | NLA_F_NESTED, pack(action))
        + (attribute(ACT_COOKIE, cookie) if cookie else b"")
    )


def _key(key: Key) -> bytes:
    kind = KEYS[key.name]
    order: Any = ORDER if kind.host_order else "big"
    packed = attribute(kind.attr, key.value.to_bytes(kind.size, order))
    mask = key.mask
    if mask is None:
        # The kernel takes a missing mask for all ones, but of this one key.
        if key.name != _FLAGS_KEY:
            return packed
        mask = (1 << kind.bits) - 1
    assert kind.mask_attr is not None
    return packed + attribute(kind.mask_attr, mask.to_bytes(kind.size, order))


def _some(*attributes: tuple[int, Struct, int | None]) -> bytes:
    """Those attributes, in order, which are not None."""
    return b"".join(
        attribute(number, struct.pack(value))
        for number, struct, value in attributes
        if value is not None
    )


def _wide(number: int, value: int | None, size: int) -> bytes:
    """A number in the order of the network, unless it is None."""
    return b"" if value is None else attribute(number, value.to_bytes(size, "big"))


def _gact(action: Gact) -> bytes:
    return attribute(2, _gen.pack(0, 0, action.control, 0, 0))


def mirred_kind(action: Mirred) -> int:
    """The ``TCA_*_REDIR`` or ``TCA_*_MIRROR`` of an action."""
    if action.ingress:
        return INGRESS_MIRROR if action.mirror else INGRESS_REDIR
    return EGRESS_MIRROR if action.mirror else EGRESS_REDIR


def _pack_mirred(action: Mirred) -> bytes:
    kind = mirred_kind(action)
    return attribute(2, _mirred.pack(0, 0, action.control, 0, 0, kind, action.ifindex))


def _vlan(action: Vlan) -> bytes:
    return (
        attribute(2, _gen_op.pack(0, 0, action.control, 0, 0, action.op))
        + _some((3, _u16, action.vid))
        + _wide(4, action.protocol, 2)
        + _some((6, _u8, action.priority))
    )


def _pack_pedit(action: Pedit) -> bytes:
    keys = b"".join(
        # The kernel computes (old & mask) ^ value.
        _pedit_key.pack(key.mask ^ 0xFFFFFFFF, key.value & key.mask)
        + _pedit_at.pack(key.offset, 0, 0, 0)
        for key in action.keys
    )
    extended = b"".join(
        attribute(6, attribute(1, _u16.pack(key.header)) + attribute(2, _u16.pack(key.add)))
        for key in action.keys
    )
    selector = _pedit.pack(0, 0, action.control, 0, 0, len(action.keys), 0)
    return attribute(4, selector + keys) + attribute(5, extended)


def _csum(action: Csum) -> bytes:
    return attribute(1, _gen_flags.pack(0, 0, action.control, 0, 0, action.flags))


def _skbedit(action: Skbedit) -> bytes:
    return attribute(2, _gen.pack(0, 0, action.control, 0, 0)) + _some(
        (3, _u32, action.priority),
        (4, _u16, action.queue_mapping),
        (5, _u32, action.mark),
        (7, _u16, action.ptype),
        (8, _u32, action.mark_mask),
    )


def ticks(amount: int, rate: int) -> int:
    """How long so much takes at a rate, as the kernel counts time."""
    return amount * 1_000_000_000 // rate // TICK


def police_rate(rate: int) -> int:
    """The rate as far as 32 bits take it."""
    return min(rate, 0xFFFFFFFF)


def _pack_police(action: Police) -> bytes:
    rate = action.rate
    parms = _police.pack(
        *(action.index, action.exceed, 0),
        *(min(ticks(action.burst, rate), 0xFFFFFFFF) if rate else 0, action.mtu or NO_MTU),
        *((3, 1, 0, -1, 0, police_rate(rate)) if rate else (0,) * 6),
        *(0,) * 6,
        *(0, 0, 0),
    )
    packets = action.packet_rate
    return (
        attribute(1, parms)
        + (attribute(2, RATE_TABLE) if rate else b"")
        + attribute(5, _u32.pack(action.control))
        + (attribute(8, _u64.pack(rate)) if rate > 0xFFFFFFFF else b"")
        + (
            attribute(10, _u64.pack(packets))
            + attribute(11, _u64.pack(ticks(action.packet_burst, packets)))
            if packets
            else b""
        )
    )


def _policer(action: Policer) -> bytes:
    # A rate without a table: the kernel looks at neither if there is such an action.
    return attribute(1, _police.pack(action.index, *(0,) * 9, 1, *(0,) * 9))


def _tunnel_key(action: TunnelKey) -> bytes:
    what = attribute(2, _gen_op.pack(0, 0, action.control, 0, 0, 2 if action.release else 1))
    if action.release:
        return what
    return (
        what
        + _wide(3, action.ipv4_src, 4)
        + _wide(4, action.ipv4_dst, 4)
        + _wide(5, action.ipv6_src, 16)
        + _wide(6, action.ipv6_dst, 16)
        + _wide(7, action.key_id, 4)
        + _wide(9, action.dst_port, 2)
        + attribute(10, _u8.pack(action.no_csum))
        + _some((12, _u8, action.tos), (13, _u8, action.ttl))
    )


def _mpls(action: Mpls) -> bytes:
    return (
        attribute(2, _gen_op.pack(0, 0, action.control, 0, 0, action.op))
        + _wide(4, action.protocol, 2)
        + _some(
            (5, _u32, action.label),
            (6, _u8, action.tc),
            (7, _u8, action.ttl),
            (8, _u8, action.bos),
        )
    )


def _ct(action: Ct) -> bytes:
    packed = attribute(1, _gen.pack(0, 0, action.control, 0, 0))
    packed += _some(
        (3, _u16, action.flags),
        (4, _u16, action.zone),
        (5, _u32, action.mark),
        (6, _u32, action.mark_mask),
    )
    packed += _wide(7, action.labels, 16) + _wide(8, action.labels_mask, 16)
    ranges = ((9, 4, action.nat_ipv4), (11, 16, action.nat_ipv6), (13, 2, action.nat_port))
    for number, size, ends in ranges:
        if ends is not None:
            packed += _wide(number, ends[0], size) + _wide(number + 1, ends[1], size)
    return packed


def _sample(action: Sample) -> bytes:
    return attribute(2, _gen.pack(0, 0, action.control, 0, 0)) + _some(
        (3, _u32, action.rate), (4, _u32, action.trunc_size), (5, _u32, action.group)
    )


_PACKERS: Final[dict[type, tuple[str, Callable[[Any], bytes]]]] = {
    Gact: ("gact", _gact),
    Mirred: ("mirred", _pack_mirred),
    Vlan: ("vlan", _vlan),
    Pedit: ("pedit", _pack_pedit),
    Csum: ("csum", _csum),
    Skbedit: ("skbedit", _skbedit),
    Police: ("police", _pack_police),
    Policer: ("police", _policer),
    TunnelKey: ("tunnel_key", _tunnel_key),
    Mpls: ("mpls", _mpls),
    Ct: ("ct", _ct),
    Sample: ("sample", _sample),
}
