"""Police actions in a kernel in memory; see :class:`tests.drivers.tcflower.kernel.FakeTcKernel`.

Source: Linux 6.1, ``net/sched/act_api.c``, ``act_police.c``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import Struct

import attrs

from drivers.tcflower import pack, shared
from drivers.tcflower.dump import attributes

_police = Struct("=IiIII BBHhHI BBHhHI iiI")
_u32 = Struct("=I")
_u64 = Struct("=Q")
_basic = Struct("=QIxxxx")
_queue = Struct("=IIIII")

TBF, TABLE, PACKET_RATE = 1, 2, 10


@attrs.define(eq=False)
class PoliceAction:
    """One that is there by itself.

    :ivar rate: bytes a second, or packets where it has no table of rates; 0: no limit.
    :ivar burst: likewise: ticks.
    :ivar flags: ``TCA_ACT_FLAGS``.
    """

    index: int
    cookie: bytes
    rate: int
    burst: int
    flags: int
    packets: int = 0
    bytes: int = 0
    drops: int = 0


class PoliceActions:
    """All of them.

    :ivar there: by index.
    :ivar refuse: asked for each that is made or changed; returns an error number, or 0.
    """

    def __init__(self, sharing: Callable[[], list[int]]) -> None:
        """:param sharing: says which of them filters have."""
        self.there: dict[int, PoliceAction] = {}
        self.refuse: Callable[[int], int] = lambda index: 0
        self._sharing = sharing

    def answer(self, kind: int, flags: int, message: bytes) -> tuple[int, list[PoliceAction]]:
        """Carry out a request; returns an error number and what is said besides."""
        if kind == shared.RTM_GETACTION and flags & pack.NLM_F_DUMP == pack.NLM_F_DUMP:
            return 0, list(self.there.values())
        parts = _parts(message)
        if kind == shared.RTM_NEWACTION:
            return self._put(flags, message, parts), []
        (index,) = _u32.unpack_from(message, parts[shared.ACT_INDEX][0])
        found = self.there.get(index)
        if found is None:
            return errno.ENOENT, []
        if kind == shared.RTM_GETACTION:
            return 0, [found]
        if index in self._sharing():
            return errno.EPERM, []
        del self.there[index]
        return 0, []

    def _put(self, flags: int, message: bytes, parts: dict[int, list[int]]) -> int:
        options = {n: span for n, *span in attributes(message, *parts[pack.ACT_OPTIONS])}
        parms = _police.unpack_from(message, options[TBF][0])
        index, burst, rate = parms[0], parms[3], parms[10]
        if index in self.there and not flags & shared.NLM_F_REPLACE:
            return errno.EEXIST
        if rate and TABLE not in options:
            return errno.EINVAL
        code = self.refuse(index)
        if code:
            return code
        if PACKET_RATE in options:
            (rate,) = _u64.unpack_from(message, options[PACKET_RATE][0])
            (burst,) = _u64.unpack_from(message, options[PACKET_RATE + 1][0])
        bits = parts.get(shared.ACT_FLAGS)
        made = PoliceAction(
            index,
            message[slice(*parts[pack.ACT_COOKIE])],
            rate,
            burst,
            _u32.unpack_from(message, bits[0])[0] if bits else 0,
        )
        old = self.there.get(index)
        if old is not None:
            made.packets, made.bytes, made.drops = old.packets, old.bytes, old.drops
        self.there[index] = made
        return 0


def _parts(message: bytes) -> dict[int, list[int]]:
    """What is said of the first action in a message."""
    _, begin, end = next(attributes(message, shared.FIRST, len(message)))
    _, begin, end = next(attributes(message, begin, end))
    return {number: span for number, *span in attributes(message, begin, end)}


def police_message(action: PoliceAction, sequence: int) -> bytes:
    """What the kernel says of one."""
    statistics = (
        pack.attribute(1, _basic.pack(action.bytes, action.packets))
        + pack.attribute(shared.STATS_QUEUE, _queue.pack(0, 0, action.drops, 0, 0))
        + pack.attribute(8, _u64.pack(action.packets))
    )
    parms = pack.attribute(TBF, _police.pack(action.index, *(0,) * 19))
    body = pack.attribute(
        shared.TABLE,
        pack.attribute(
            1,
            pack.string(pack.ACT_KIND, "police")
            + pack.attribute(pack.ACT_STATS, statistics)
            + pack.attribute(pack.ACT_COOKIE, action.cookie)
            + pack.attribute(pack.ACT_OPTIONS, parms),
        ),
    )
    size = shared.FIRST + len(body)
    header = pack.HEADER.pack(size, shared.RTM_GETACTION, 0, sequence, 0)
    return header + shared.TCAMSG.pack(0) + body
