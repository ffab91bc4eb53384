"""Actions that are there by themselves, for filters to share: made, changed, read and removed.

A filter that names such an action by kind and index only refers to it; what else it says of it is
ignored by the kernel, so that a change is made to the action itself.

Source: Linux, ``linux/rtnetlink.h`` (``struct tcamsg``), ``linux/pkt_cls.h``,
``net/sched/act_api.c``.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

import attrs

from drivers.tcflower import pack
from drivers.tcflower.actions import TcAction
from drivers.tcflower.dump import STATS_BASIC, STATS_PKT64, attributes
from drivers.tcflower.filters import FilterFlags

RTM_NEWACTION: Final = 48
RTM_DELACTION: Final = 49
RTM_GETACTION: Final = 50
NLM_F_REPLACE: Final = 0x100
TABLE: Final = 1
"""``TCA_ACT_TAB``: the list of actions in a message about actions."""
ACT_INDEX: Final = 3
ACT_FLAGS: Final = 7
STATS_QUEUE: Final = 3
FLAGS: Final = {FilterFlags.SKIP_HW: 2, FilterFlags.SKIP_SW: 4}
"""``TCA_ACT_FLAGS_*``: an action must be where the filters are that share it."""

TCAMSG: Final = Struct("=Bxxx")
FIRST: Final = pack.HEADER.size + TCAMSG.size
"""Where the attributes of a message begin."""
_u32 = Struct("=I")
_bits = Struct("=II")
_basic = Struct("=QI")
_u64 = Struct("=Q")
_queue = Struct("=IIIII")


@attrs.frozen
class Shared:
    """What the kernel says of one action.

    :ivar packets: how many came to it; ``bytes`` likewise, without Ethernet headers.
    :ivar drops: how many of them it has dropped.
    """

    index: int
    cookie: bytes = b""
    packets: int = 0
    bytes: int = 0
    drops: int = 0


def _message(kind: int, flags: int, sequence: int, action: bytes) -> bytes:
    table = pack.attribute(TABLE, pack.attribute(1, action))
    return (
        pack.HEADER.pack(FIRST + len(table), kind, flags | pack.NLM_F_REQUEST, sequence, 0)
        + TCAMSG.pack(0)
        + table
    )


def put(action: TcAction, cookie: bytes, flags: FilterFlags, replace: bool, sequence: int) -> bytes:
    """The request that makes an action with an index.

    :param flags: of the filters that are to share it.
    :param replace: whether it takes the place of one with this index; otherwise that is EEXIST.
    """
    bits = FLAGS.get(flags, 0)
    return _message(
        RTM_NEWACTION,
        pack.NLM_F_ACK | pack.NLM_F_CREATE | (NLM_F_REPLACE if replace else pack.NLM_F_EXCL),
        sequence,
        pack.one_action(action, cookie)
        + (pack.attribute(ACT_FLAGS, _bits.pack(bits, bits)) if bits else b""),
    )


def _about(message: int, kind: str, index: int, sequence: int) -> bytes:
    number = pack.attribute(ACT_INDEX, _u32.pack(index))
    return _message(message, pack.NLM_F_ACK, sequence, pack.string(pack.ACT_KIND, kind) + number)


def delete(kind: str, index: int, sequence: int) -> bytes:
    """The request that removes an action; EPERM while a filter has it."""
    return _about(RTM_DELACTION, kind, index, sequence)


def get(kind: str, index: int, sequence: int) -> bytes:
    """The request for what the kernel says of an action."""
    return _about(RTM_GETACTION, kind, index, sequence)


def dump(kind: str, sequence: int) -> bytes:
    """The request for all actions of a kind, of whomever."""
    return _message(RTM_GETACTION, pack.NLM_F_DUMP, sequence, pack.string(pack.ACT_KIND, kind))


def read(data: bytes, at: int, length: int) -> Iterator[Shared]:
    """The police actions that a message is about.

    :param at: where the message begins, with its header.
    """
    for number, begin, end in attributes(data, at + FIRST, at + length):
        if number == TABLE:
            for _, start, finish in attributes(data, begin, end):
                parts = {part: span for part, *span in attributes(data, start, finish)}
                found = _read(data, parts)
                if found is not None:
                    yield found


def _read(data: bytes, parts: dict[int, list[int]]) -> Shared | None:
    if pack.ACT_OPTIONS not in parts:
        return None
    options = {n: span for n, *span in attributes(data, *parts[pack.ACT_OPTIONS])}
    # The first word of ``struct tc_police`` is the index.
    if 1 not in options:
        return None
    (index,) = _u32.unpack_from(data, options[1][0])
    cookie = bytes(data[slice(*parts[pack.ACT_COOKIE])]) if pack.ACT_COOKIE in parts else b""
    packets = octets = drops = 0
    if pack.ACT_STATS in parts:
        found = {n: span[0] for n, *span in attributes(data, *parts[pack.ACT_STATS])}
        if STATS_BASIC in found:
            octets, packets = _basic.unpack_from(data, found[STATS_BASIC])
        if STATS_PKT64 in found:
            (packets,) = _u64.unpack_from(data, found[STATS_PKT64])
        if STATS_QUEUE in found:
            drops = _queue.unpack_from(data, found[STATS_QUEUE])[2]
    return Shared(index, cookie, packets, octets, drops)
