"""Filters as the kernel has them, to be compared with those that were asked for.

What the kernel says of a filter is not what it was sent: it fills in what was left out, counts, and
numbers its actions.  So both are read by the same function, from messages: :func:`read` makes a
:class:`Found` of either, with the masks filled in, and :func:`difference` knows which of the rest
is the kernel's own.

Of a filter about VLAN tags the kernel does not tell which EtherTypes the tags have, and of one
about a device that is gone not that it was about any.  Without that two filters can look alike that
are not, so a sum of those EtherTypes and whether there is a device are part of the cookie
(:func:`cookie_of`), which the kernel does keep.

Source: Linux, ``net/sched/cls_flower.c`` (``fl_dump_key``) and ``net/sched/act_*.c``
(``tcf_*_dump``).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from struct import Struct
from typing import Final

import attrs

from drivers.tcflower import pack
from drivers.tcflower.dump import STATS_BASIC, STATS_PKT64, TIMES, attributes, payloads
from drivers.tcflower.filters import KEYS, Filter, FilterFlags

OURS: Final = b"ofag"
"""What the cookies of all our filters begin with."""
RULE_BITS: Final = 48
"""How many bits of a rule's handle are in the cookies of its filters."""
WHERE: Final = FilterFlags.SKIP_HW | FilterFlags.SKIP_SW
"""The flags that are asked for; the others say what has become of it."""
PEDIT_KEYS: Final = 5
GEN: Final = 20
"""Bytes of ``tc_gen``, with which the parameters of an action begin."""

_TAGS: Final = ("eth_type", "vlan_eth_type", "cvlan_eth_type")
_UNTOLD: Final = frozenset(KEYS[name].attr for name in _TAGS)
_TAGGED: Final = 0x8000
_ON_DEVICE: Final = 0x4000
_TPIDS: Final = (0x8100, 0x88A8)
_MASKED: Final = {k.attr: (k.mask_attr, k.size) for k in KEYS.values() if k.mask_attr is not None}
_COMPARED: Final = frozenset(
    {pack.FLOWER_INDEV}
    | {kind.attr for kind in KEYS.values()}
    | {kind.mask_attr for kind in KEYS.values() if kind.mask_attr is not None}
)
_FLAGS_MASK: Final = KEYS["flags"].mask_attr

_DEFAULTS: Final = {("vlan", 4): b"\x81\x00", ("mpls", 4): b"\x88\x47"}
"""What an option of an action is that was not asked for, where that is not 0."""
_POLICE_TABLE: Final = 2
"""``TCA_POLICE_RATE``: what the kernel wants to be given, and does not give back."""
_POLICE_RESULT: Final = 5
_PADS: Final[dict[str, frozenset[int]]] = {
    "gact": frozenset({4}),
    "mirred": frozenset({3}),
    "vlan": frozenset({5}),
    "pedit": frozenset({3}),
    "csum": frozenset({3}),
    "skbedit": frozenset({6}),
    "police": frozenset({7}),
    "tunnel_key": frozenset({8}),
    "mpls": frozenset({3}),
    "ct": frozenset({15}),
    "sample": frozenset({6}),
}
"""Attributes without a meaning (``TCA_*_PAD``)."""
_PARMS: Final[dict[str, int]] = {
    "gact": 2,
    "mirred": 2,
    "vlan": 2,
    "pedit": 4,
    "csum": 1,
    "skbedit": 2,
    "police": 1,
    "tunnel_key": 2,
    "mpls": 2,
    "ct": 1,
    "sample": 2,
}
"""The attribute with the parameters of an action."""

_u32 = Struct("=I")
_basic = Struct("=QI")
_u64 = Struct("=Q")
_police = Struct("=IiIII BBHhHI")

Keys = tuple[tuple[int, bytes], ...]
Action = tuple[str, Mapping[int, bytes]]
"""The kind of an action, and of its options those that say what it does."""


def mark_of(wanted: Filter) -> int:
    """16 bits that tell filters apart that look alike; 0: it is about no tags, nor a device."""
    mark = _ON_DEVICE if wanted.indev else 0
    types = [key.value if (key := wanted.key(name)) is not None else 0 for name in _TAGS]
    if any(number in _TPIDS for number in types):
        mark |= _TAGGED | zlib.crc32(repr(types).encode()) & _ON_DEVICE - 1
    return mark


def cookie_of(block: int, handle: int) -> bytes:
    """The cookie of a filter: that it is ours, of which block, and which rule it is for.

    :param handle: the rule's, or as much of it as there is room for; 0: it is no rule's alone.
    """
    return OURS + block.to_bytes(4, "big") + (handle & (1 << RULE_BITS) - 1).to_bytes(8, "big")


def marked(cookie: bytes, wanted: Filter) -> bytes:
    """A cookie for a filter, with its :func:`mark_of`."""
    return cookie[:8] + mark_of(wanted).to_bytes(2, "big") + cookie[10:]


@attrs.frozen
class Found:
    """A filter, as far as it can be compared.

    :ivar key: its chain, pref and handle.
    :ivar keys: what it compares: numbers and payloads of attributes in ascending order, all masks
        among them.
    :ivar actions: what it does.
    :ivar flags: of :class:`~drivers.tcflower.filters.FilterFlags`, all of them.
    :ivar packets: what its first action has counted.
    :ivar octets: likewise, without Ethernet headers.
    """

    key: tuple[int, int, int]
    keys: Keys
    actions: tuple[Action, ...]
    flags: int
    cookie: bytes
    packets: int = 0
    octets: int = 0

    @property
    def identity(self) -> tuple[int, int, Keys, bytes]:
        """What no two filters of a block have in common; the handle is not part of it."""
        return self.key[0], self.key[1], self.keys, self.cookie[8:10]

    @property
    def rule(self) -> int:
        """Of one that is ours, the rule that it was made for; 0: none."""
        return int.from_bytes(self.cookie[10:], "big")

    def ours(self, block: int) -> bool:
        """Whether it is a filter of this bridge's agent."""
        return self.cookie[:8] == cookie_of(block, 0)[:8]

    def __str__(self) -> str:
        """Where it is."""
        chain, pref, handle = self.key
        return f"filter chain {chain} pref {pref} handle {handle:#x}"


def read(data: bytes, at: int, length: int) -> Found | None:
    """The filter of a message, RTM_NEWTFILTER.

    :param at: where the message begins, with its header.
    :param length: how long it is, at most what there is.
    :return: None when it is about no flower filter.
    """
    top = payloads(data, at + pack.FIRST, at + length)
    if top.get(pack.KIND) != b"flower\0" or pack.OPTIONS not in top:
        return None
    _, _, handle, _, info = pack.TCMSG.unpack_from(data, at + pack.HEADER.size)
    if not handle:
        return None
    flower = payloads(top[pack.OPTIONS])
    actions = []
    cookie = b""
    packets = octets = 0
    for place, action in sorted(payloads(flower.get(pack.FLOWER_ACT, b"")).items()):
        parts = payloads(action)
        kind = parts.get(pack.ACT_KIND, b"").rstrip(b"\0").decode(errors="replace")
        actions.append((kind, _options(kind, payloads(parts.get(pack.ACT_OPTIONS, b"")))))
        if place == 1:
            cookie = parts.get(pack.ACT_COOKIE, b"")
            packets, octets = _counted(payloads(parts.get(pack.ACT_STATS, b"")))
    mark = int.from_bytes(cookie[8:10], "big") if cookie[:4] == OURS else 0
    if mark & _ON_DEVICE:
        # No packet comes by a device that is gone, so it is like no other filter.
        flower.setdefault(pack.FLOWER_INDEV, b"\0%d" % handle)
    return Found(
        (_number(top.get(pack.CHAIN)), info >> 16, handle),
        _keys(flower, bool(mark & _TAGGED)),
        tuple(actions),
        _number(flower.get(pack.FLOWER_FLAGS)),
        cookie,
        packets,
        octets,
    )


def of(wanted: Filter) -> Found:
    """A filter as it was asked for.  Its handle must not be 0."""
    message = pack.new_filter(wanted, 0, 0, 0)
    found = read(message, 0, len(message))
    assert found is not None, "a filter without a handle"
    return found


def difference(wanted: Found, found: Found) -> str:
    """What is wrong with a filter; empty: nothing is.  Where it is, is not compared."""
    if wanted.keys != found.keys:
        return "it matches something else"
    if (wanted.flags ^ found.flags) & WHERE:
        return "it was asked for with other flags"
    if len(wanted.actions) != len(found.actions):
        return f"it has {len(found.actions)} actions, not {len(wanted.actions)}"
    for (kind, options), (other, there) in zip(wanted.actions, found.actions, strict=True):
        if kind != other:
            return f"its action is {other}, not {kind}"
        if not _same_options(kind, options, there):
            return f"its action {kind} is another"
    return ""


def _number(payload: bytes | None) -> int:
    return 0 if payload is None else int(_u32.unpack(payload)[0])


def _counted(statistics: Mapping[int, bytes]) -> tuple[int, int]:
    """Packets and bytes."""
    if STATS_BASIC not in statistics:
        return 0, 0
    octets, packets = _basic.unpack_from(statistics[STATS_BASIC])
    if STATS_PKT64 in statistics:
        packets = _u64.unpack(statistics[STATS_PKT64])[0]
    return packets, octets


def _keys(flower: dict[int, bytes], tagged: bool) -> Keys:
    """What a filter compares, with all masks.

    :param tagged: whether it is about VLAN tags.
    """
    keys = {number: value for number, value in flower.items() if number in _COMPARED}
    if tagged:
        keys = {number: value for number, value in keys.items() if number not in _UNTOLD}
    for number in list(keys):
        mask = _MASKED.get(number)
        if mask is not None and mask[0] not in keys:
            keys[mask[0]] = b"\xff" * mask[1]
    return tuple(sorted(keys.items()))


def _options(kind: str, options: dict[int, bytes]) -> Mapping[int, bytes]:
    """Of an action's options those that say what it does."""
    ignored = _PADS.get(kind, frozenset()) | {TIMES.get(kind.encode(), 0)}
    if kind == "police":
        ignored |= {_POLICE_TABLE}
    kept = {number: value for number, value in options.items() if number not in ignored}
    number = _PARMS.get(kind, 0)
    if number in kept:
        kept[number] = _parameters(kind, kept[number])
    if kind == "pedit" and PEDIT_KEYS in kept:
        kept[PEDIT_KEYS] = b"".join(
            b"".join(value for _, value in sorted(payloads(kept[PEDIT_KEYS][begin:end]).items()))
            for _, begin, end in attributes(kept[PEDIT_KEYS], 0, len(kept[PEDIT_KEYS]))
        )
    return kept


def _parameters(kind: str, data: bytes) -> bytes:
    """The parameters of an action without what the kernel counts and numbers in them."""
    if kind == "police":
        # A burst is rounded, and what a rate looks like is not asked for.
        index, exceed, _, _, mtu, *_, rate = _police.unpack_from(data)
        return b"".join(_u32.pack(number & 0xFFFFFFFF) for number in (index, exceed, mtu, rate))
    if kind == "pedit":
        # The number of keys, and the keys; the flags behind it are the kernel's.
        return data[8:12] + data[GEN : GEN + 1] + data[GEN + 4 :]
    return data[8:12] + data[GEN:]


def _same_options(kind: str, wanted: Mapping[int, bytes], found: Mapping[int, bytes]) -> bool:
    """Whether an action does what it should."""
    if kind == "police" and _POLICE_RESULT not in wanted:
        # It only refers to one that is there by itself: of its parameters only the index counts.
        return wanted[_PARMS[kind]][:4] == found.get(_PARMS[kind], b"")[:4]
    for number in wanted.keys() | found.keys():
        value, there = (_value(kind, options, number) for options in (wanted, found))
        if kind == "police" and number == _PARMS[kind] and not value[:4].strip(b"\0"):
            # An action that no one else shares is numbered by the kernel.
            value, there = value[4:], there[4:]
        if value != there:
            return False
    return True


def _value(kind: str, options: Mapping[int, bytes], number: int) -> bytes:
    """An option; empty if it is 0, whether that was said or not."""
    value = options.get(number, _DEFAULTS.get((kind, number), b""))
    return value if value.strip(b"\0") else b""
