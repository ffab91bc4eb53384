"""The rules that are in a block, as filters, and what the filters have counted for them.

An :class:`Entry` is a rule and its filters.  A filter keeps its handle as long as the same packets
are matched at the same place: then it is changed in place, and no packet meets anything between the
old actions and the new.  The kernel counts anew whenever it changes a filter, so counters here are
sums of what filters had counted each time they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from agent.packet.protocols import ETH_HEADER_LEN
from drivers.interfaces import Counters, IRule
from drivers.tcflower.dump import Reading
from drivers.tcflower.filters import Filter, FilterFlags, Filters
from drivers.tcflower.found import marked
from drivers.tcflower.translate import Translation

MAX_HANDLE: Final = 0x7FFFFFFF
"""``cls_flower`` takes handles up to this, as ``int`` of its IDR."""


@attrs.define(eq=False)
class Slot:
    """A filter of an entry.

    :ivar key: what the kernel knows it by: chain, pref and handle.
    :ivar make: makes the filter.
    :ivar packets: what the kernel said last that it has counted, since it was installed.
    :ivar bytes: likewise.
    :ivar flags: where it is, as the kernel said last.
    :ivar in_hw_count: in how many devices' hardware.
    """

    key: tuple[int, int, int]
    make: Callable[[], Filter]
    packets: int = 0
    bytes: int = 0
    flags: FilterFlags = FilterFlags.NOT_IN_HW
    in_hw_count: int = 0

    @classmethod
    def of(cls, one: Filter) -> Slot:
        """The slot of a filter."""
        return cls((one.chain, one.pref, one.handle), lambda: one)

    @property
    def filter(self) -> Filter:
        """The filter itself, which is made when it is needed: few are ever looked at again."""
        return self.make()

    def read(self, reading: Reading, counters: Counters, now: float) -> None:
        """Take what the kernel says of it; what is new goes to the counters.

        :param now: the agent's clock.
        """
        packets, octets = reading.packets - self.packets, reading.bytes - self.bytes
        self.flags = FilterFlags(reading.flags)
        self.in_hw_count = reading.in_hw_count
        if packets < 0:
            # It was installed anew behind our back, and counts from zero.
            packets, octets = reading.packets, reading.bytes
        self.packets, self.bytes = reading.packets, reading.bytes
        if packets:
            counters.packets += packets
            counters.bytes += octets + packets * ETH_HEADER_LEN
            counters.used = max(counters.used, now - reading.age)


@attrs.define(eq=False)
class Entry:
    """A rule and its filters.

    :ivar translation: what the filters are made of.
    """

    rule: IRule
    slots: tuple[Slot, ...] = ()
    translation: Translation | None = None

    @property
    def counters(self) -> Counters:
        """The rule's."""
        return self.rule.counters


class Entries:
    """The rules that are in a block, by their handles, and their filters, by keys."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._slots: dict[tuple[int, int, int], tuple[Entry, Slot]] = {}
        self.get = self._entries.get
        self.find = self._slots.get

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def filters(self) -> int:
        """How many filters they have together."""
        return len(self._slots)

    def in_hardware(self) -> int:
        """How many of these are in hardware, as the kernel said last."""
        return sum(bool(slot.flags & FilterFlags.IN_HW) for _, slot in self._slots.values())

    def put(self, entry: Entry) -> None:
        """There is a new one."""
        self._entries[entry.rule.handle] = entry
        for slot in entry.slots:
            self._slots[slot.key] = entry, slot

    def replace(self, old: Entry | None, entry: Entry) -> None:
        """There is one in the place of another."""
        if old is not None:
            self.remove(old)
        self.put(entry)

    def remove(self, entry: Entry) -> None:
        """There is one less."""
        self._entries.pop(entry.rule.handle, None)
        for slot in entry.slots:
            self._slots.pop(slot.key, None)


class Handles:
    """Numbers for filters, none of which is given twice before all were."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        """The next."""
        self._last = self._last % MAX_HANDLE + 1
        return self._last


def placed(
    wanted: Filters, old: Sequence[Slot], handles: Handles, flags: FilterFlags, cookie: bytes
) -> tuple[list[tuple[Slot, Slot | None]], list[Slot]]:
    """Which filter takes whose place.

    :param wanted: as translated, without handles.
    :return: the new filters, each with the old one that it replaces, if any; and the old ones that
        go.
    """
    there = {identity(slot.filter): slot for slot in old}
    pairs: list[tuple[Slot, Slot | None]] = []
    for one in wanted:
        former = there.pop(identity(one), None)
        handle = handles() if former is None else former.filter.handle
        made = attrs.evolve(one, handle=handle, flags=flags, cookie=marked(cookie, one))
        pairs.append((Slot.of(made), former))
    return pairs, list(there.values())


def identity(one: Filter) -> tuple[object, ...]:
    """What two filters that cannot be together have in common."""
    return one.chain, one.pref, one.indev, one.keys


def tail_filters(filters: Filters, flags: FilterFlags, cookie: bytes) -> Filters:
    """The filters of a tail with handles: the same each time, for they are not remembered."""
    return tuple(
        attrs.evolve(one, handle=number, flags=flags, cookie=marked(cookie, one))
        for number, one in enumerate(filters, 1)
    )
