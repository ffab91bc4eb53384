"""The rules that are in a block, as filters, and what the filters have counted for them.

An :class:`Entry` is a rule and its filters.  A filter keeps its handle as long as the same packets
are matched at the same place: then it is changed in place, and no packet meets anything between the
old actions and the new.  The kernel counts anew whenever it changes a filter, so counters here are
sums of what filters had counted each time they were read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from agent.packet.protocols import ETH_HEADER_LEN, VLAN_HEADER_LEN
from drivers.abilities import SoftwareReason
from drivers.interfaces import Counters, IRule
from drivers.tcflower.credits import Accounts, Credits
from drivers.tcflower.dump import Reading
from drivers.tcflower.filters import Filter, FilterFlags, Filters, Keys
from drivers.tcflower.found import marked
from drivers.tcflower.keys import needs_tag
from drivers.tcflower.translate import Translation

MAX_HANDLE: Final = 0x7FFFFFFF
"""``cls_flower`` takes handles up to this, as ``int`` of its IDR."""


def uncounted(keys: Keys) -> int:
    """How many bytes of each packet the kernel does not count: those of the Ethernet header, and of
    the outer VLAN tag, which it keeps beside the packet, where the keys say that there is one."""
    return ETH_HEADER_LEN + (VLAN_HEADER_LEN if needs_tag(keys) else 0)


@attrs.define(eq=False)
class Slot:
    """A filter of an entry.

    :ivar key: what the kernel knows it by: chain, pref and handle.
    :ivar make: makes the filter.
    :ivar uncounted: bytes of each packet that the kernel does not count.
    :ivar counters: the rule's, to which what it counts is added.
    :ivar packets: what the kernel said last that it has counted, since it was installed.
    :ivar bytes: likewise.
    :ivar total: packets, since the slot was made.
    :ivar late: whether it has counted, and the kernel was not asked yet when.
    :ivar flags: where it is, as the kernel said last (:class:`.filters.FilterFlags`).
    :ivar in_hw_count: in how many devices' hardware.
    :ivar credits: what it counts for besides, among ``accounts``.
    """

    key: tuple[int, int, int]
    make: Callable[[], Filter]
    uncounted: int
    counters: Counters
    packets: int = 0
    bytes: int = 0
    total: int = 0
    late: bool = False
    flags: int = 0
    in_hw_count: int = 0
    credits: Credits = ()
    accounts: Accounts | None = None

    @classmethod
    def of(
        cls,
        one: Filter,
        counters: Counters,
        credited: Credits = (),
        accounts: Accounts | None = None,
    ) -> Slot:
        """The slot of a filter that is not in hardware yet."""
        flags = int(one.flags | FilterFlags.NOT_IN_HW)
        made = cls(one.place, lambda: one, uncounted(one.keys), counters, flags=flags)
        made.credits, made.accounts = credited, accounts
        return made

    @property
    def filter(self) -> Filter:
        """The filter itself, which is made when it is needed: few are ever looked at again."""
        return self.make()

    def read(self, reading: Reading, now: float) -> None:
        """Take what the kernel says of it; what is new goes to the counters.

        :param now: the agent's clock.
        """
        self.flags = reading.flags
        self.in_hw_count = reading.in_hw_count
        self.count(reading.packets, reading.bytes, now - (reading.age or 0.0))

    def begin(self, packets: int, octets: int) -> None:
        """Count from here: this was counted before there was the rule."""
        self.packets, self.bytes = packets, octets

    def count(self, packets: int, octets: int, used: float | None) -> None:
        """Take what the kernel has counted.

        :param used: when it counted last, by the agent's clock; None: that was not said.
        """
        new, new_octets = packets - self.packets, octets - self.bytes
        if new < 0:
            # It was installed anew behind our back, and counts from zero.
            new, new_octets = packets, octets
            self.late = False
        self.packets = packets
        self.bytes = octets
        counters = self.counters
        if new:
            self.total += new
            counters.packets += new
            whole = new_octets + new * self.uncounted
            counters.bytes += whole
            if self.accounts is not None:
                self.accounts.count(self.credits, new, whole)
        if new or self.late:
            self.late = used is None
            if used is not None and used > counters.used:
                counters.used = used


@attrs.define(eq=False)
class Entry:
    """A rule and its filters.

    :ivar translation: what the filters are made of; rules that are alike share one, which says
        what the filters of one of them compare.
    """

    rule: IRule
    slots: tuple[Slot, ...]
    translation: Translation

    @property
    def own(self) -> Translation:
        """:attr:`translation`, with what the filters of this rule compare."""
        pairs = zip(self.translation.where, self.slots, strict=True)
        where = tuple(attrs.evolve(one, keys=slot.filter.keys) for one, slot in pairs)
        return attrs.evolve(self.translation, where=where)

    @property
    def matched(self) -> int:
        """How many packets its filters have taken; none of those that the software looks up."""
        if self.translation.upcall:
            return 0
        slots = self.slots
        return slots[0].total if len(slots) == 1 else sum(slot.total for slot in slots)


def counters_of(rule: IRule, translation: Translation) -> Counters:
    """What the filters of a rule count for: the rule, unless the software counts what they hand
    it."""
    return Counters() if translation.upcall else rule.counters


_NONE: Final[Mapping[int, Slot]] = {}


class Entries:
    """The rules that are in a block, by their handles, and their filters, by keys.

    :ivar in_software: why the software executes a rule, by its handle.
    """

    def __init__(self) -> None:
        self.in_software: dict[int, SoftwareReason] = {}
        self._entries: dict[int, Entry] = {}
        self._places: dict[tuple[int, int], dict[int, Slot]] = {}
        self._gone: Counter[int] = Counter()
        self._tails: dict[tuple[int, int], dict[int, Slot]] = {}
        self._crediting: dict[int, dict[tuple[int, int, int], Slot]] = {}
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def filters(self) -> int:
        """How many filters they have together."""
        return sum(map(len, self._places.values()))

    def at(self, place: tuple[int, int]) -> Mapping[int, Slot]:
        """The filters of a chain and pref, by handle."""
        return self._places.get(place) or self._tails.get(place) or _NONE

    def crediting(self, groups: Iterable[int]) -> list[Slot]:
        """The filters that count for groups, of rules and of tails."""
        found: dict[tuple[int, int, int], Slot] = {}
        for number in groups:
            found.update(self._crediting.get(number, {}))
        return list(found.values())

    def put_tail(self, slots: Iterable[Slot]) -> None:
        """There are filters of a tail, which belong to no rule."""
        for slot in slots:
            self._tails.setdefault(slot.key[:2], {})[slot.key[2]] = slot
            self._credit(slot)

    def remove_tail(self, slots: Iterable[Slot]) -> None:
        """They are there no more."""
        for slot in slots:
            _take(self._tails, slot)
            self._uncredit(slot)

    def _credit(self, slot: Slot) -> None:
        for credit in slot.credits:
            self._crediting.setdefault(credit.group, {})[slot.key] = slot

    def _uncredit(self, slot: Slot) -> None:
        for number in {credit.group for credit in slot.credits}:
            there = self._crediting[number]
            # Another may have its key now.
            if there.get(slot.key) is slot:
                del there[slot.key]
            if not there:
                del self._crediting[number]

    def in_hardware(self) -> int:
        """How many of these are in hardware, as the kernel said last."""
        hardware = int(FilterFlags.IN_HW)
        return sum(
            bool(slot.flags & hardware)
            for slots in self._places.values()
            for slot in slots.values()
        )

    def matched(self) -> Counter[int]:
        """The packets that were hit by rules, those that are gone included, by the table."""
        matched = self._gone.copy()
        for entry in self:
            matched[entry.rule.table_id] += entry.matched
        return matched

    def put(self, entry: Entry) -> None:
        """There is a new one."""
        handle = entry.rule.handle
        self._entries[handle] = entry
        if entry.translation.reason is not None:
            self.in_software[handle] = entry.translation.reason
        for slot in entry.slots:
            chain, pref, number = slot.key
            there = self._places.get((chain, pref))
            if there is None:
                there = self._places[chain, pref] = {}
            there[number] = slot
            if slot.credits:
                self._credit(slot)

    def replace(self, old: Entry | None, entry: Entry) -> None:
        """There is one in the place of another."""
        if old is not None:
            self.remove(old)
        self.put(entry)

    def remove(self, entry: Entry) -> None:
        """There is one less."""
        rule = entry.rule
        self._entries.pop(rule.handle, None)
        self.in_software.pop(rule.handle, None)
        matched = entry.matched
        if matched:
            self._gone[rule.table_id] += matched
        for slot in entry.slots:
            _take(self._places, slot)
            if slot.credits:
                self._uncredit(slot)


def _take(places: dict[tuple[int, int], dict[int, Slot]], slot: Slot) -> None:
    chain, pref, handle = slot.key
    there = places.get((chain, pref))
    if there is not None:
        there.pop(handle, None)
        if not there:
            del places[chain, pref]


class Handles:
    """Numbers for filters, none of which is given twice before all were.

    :ivar last: the one that was given last, or was found in the kernel.
    """

    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> int:
        """The next."""
        self.last = self.last % MAX_HANDLE + 1
        return self.last


def placed(
    wanted: Filters,
    old: Sequence[Slot],
    handles: Handles,
    flags: FilterFlags,
    cookie: bytes,
    counters: Counters,
) -> tuple[list[tuple[Slot, Slot | None]], list[Slot]]:
    """Which filter takes whose place.

    :param wanted: as translated, without handles.
    :param counters: of the rule that gets them.
    :return: the new filters, each with the old one that it replaces, if any; and the old ones that
        go.
    """
    there = {identity(slot.filter): slot for slot in old}
    pairs: list[tuple[Slot, Slot | None]] = []
    for one in wanted:
        former = there.pop(identity(one), None)
        handle = handles() if former is None else former.filter.handle
        made = attrs.evolve(one, handle=handle, flags=flags, cookie=marked(cookie, one))
        pairs.append((Slot.of(made, counters), former))
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
