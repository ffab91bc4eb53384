"""What the kernel says of filters: where they are, whose, what they have counted, and in hardware.

A dump of a switch's filters is long, half a kilobyte each, and few of the attributes matter.  Dumps
of filters made alike are alike to the byte, but for the numbers in them.  So a message is walked
through attribute by attribute only where its layout is not known yet; after that the numbers are
taken out with one ``struct`` for the whole message, together with the headers of all attributes
around them, which must be what they were: otherwise the layout is another one.

Performance-critical: :meth:`Reader.read` is run for each filter of each dump.

Source: Linux, ``linux/pkt_cls.h``, ``linux/gen_stats.h``; ``struct tcf_t`` for ``lastuse``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple

from drivers.tcflower import pack
from drivers.tcflower.runs import WORD, Run, alike

STATS_BASIC: Final = 1
STATS_BASIC_HW: Final = 7
STATS_PKT64: Final = 8
FLOWER_IN_HW_COUNT: Final = 86
TYPE_MASK: Final = 0x3FFF
"""The bits of an attribute's type that are no flags."""
CLOCK: Final = 100
"""``USER_HZ``: what the kernel counts ages in."""
FEW: Final = 4
"""Fewer messages than this are not read by columns."""
LAYOUTS: Final = 64
"""How many layouts are kept for one length of messages."""

TIMES: Final = {
    b"gact": 1,
    b"mirred": 1,
    b"vlan": 1,
    b"pedit": 1,
    b"csum": 2,
    b"skbedit": 1,
    b"police": 6,
    b"tunnel_key": 1,
    b"mpls": 1,
    b"ct": 2,
    b"sample": 1,
}
"""The number of ``TCA_*_TM`` among the options of each kind of action."""

_header = Struct("=HH")


class Reading(NamedTuple):
    """What the kernel said of one filter.

    :ivar cookie: of its first action; empty: it has none.
    :ivar packets: what the first action has counted, hardware included.
    :ivar bytes: likewise, without Ethernet headers.
    :ivar hw_packets: of these, the packets in hardware.
    :ivar age: seconds since the last packet, or since it was made; None: that was not said.
    :ivar flags: :class:`drivers.tcflower.filters.FilterFlags`.
    :ivar in_hw_count: how many devices have it in hardware.
    """

    chain: int
    pref: int
    handle: int
    cookie: bytes
    packets: int
    bytes: int
    hw_packets: int
    hw_bytes: int
    age: float | None
    flags: int
    in_hw_count: int


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of each attribute, and from where to where its payload goes.

    What is cut off or makes no sense ends the list.
    """
    while start + 4 <= end:
        length, number = _header.unpack_from(data, start)
        if not 4 <= length <= end - start:
            return
        yield number & TYPE_MASK, start + 4, start + length
        start += length + 3 & ~3


def payloads(data: bytes, start: int = 0, end: int | None = None) -> dict[int, bytes]:
    """The payloads of the attributes in a nest, by number."""
    size = len(data) if end is None else end
    return {number: data[begin:finish] for number, begin, finish in attributes(data, start, size)}


class _Place(NamedTuple):
    """Where a value is in a message: ``format`` is of :mod:`struct`."""

    at: int
    format: str
    name: str


class Layout:
    """Where what matters is in messages of one kind."""

    def __init__(self, places: list[_Place], headers: dict[int, int]) -> None:
        """Take a layout from a message that was walked through.

        :param headers: the two words of each attribute's header that was passed, by where it is.
        """
        every = sorted([*places, *(_Place(at, "I", "") for at in headers)])
        form = "="
        at = 0
        for place in every:
            form += f"{place.at - at}x{place.format}"
            at = place.at + Struct("=" + place.format).size
        self._unpack = Struct(form).unpack_from
        wanted = [index for index, place in enumerate(every) if not place.name]
        self._headers: Callable[[Any], Any] = itemgetter(*wanted)
        self._expected = tuple(headers[every[index].at] for index in wanted)
        index_of = {place.name: index for index, place in enumerate(every) if place.name}
        # What is not there is the None that take() puts behind the values.
        self._values = itemgetter(*(index_of.get(name, -1) for name in _NAMES))
        self._words = [(at // WORD, word) for at, word in sorted(headers.items())]
        self._columns = {place.name: place for place in places}
        common = [place for place in places if place.name in ("kind", "chain", "info")]
        self._common = [
            at // WORD
            for place in common
            for at in range(place.at, place.at + Struct(place.format).size, WORD)
        ]

    def take(self, data: bytes, at: int) -> tuple[Any, ...] | None:
        """The values of :data:`_NAMES`, None for one that is not there; None: another layout."""
        values = self._unpack(data, at)
        if self._headers(values) != self._expected:
            return None
        return self._values((*values, None))  # type: ignore[no-any-return]

    def fitting(self, run: Run) -> int:
        """How many of a run's first messages have this layout, and are about filters of the same
        chain and pref."""
        words, count = run.words, run.count
        start, step = run.at // WORD, run.step // WORD
        # One that follows is looked at first, for columns of few rows cost more than they save.
        ahead = start + step * (FEW - 1)
        for place, word in self._words:
            if words[start + place] != word or words[ahead + place] != word:
                return 0
        for place in self._common:
            if words[start + place] != words[ahead + place]:
                return 0
        for place, _ in self._words:
            count = alike(words, start + place, step, count)
        for place in self._common:
            count = alike(words, start + place, step, count)
        return count

    def has(self, name: str) -> bool:
        """Whether one of :data:`_NAMES` is there."""
        return name in self._columns

    def column(self, run: Run, name: str, count: int) -> list[int]:
        """What the first messages of a run say of one of :data:`_NAMES`; zeros if nothing."""
        place = self._columns.get(name)
        if place is None:
            return [0] * count
        if place.format == "I":
            return run.column(place.at, count)
        halves = [run.column(place.at + offset, count) for offset in (0, WORD)]
        low, high = halves if pack.ORDER == "little" else reversed(halves)
        return [one | two << 32 for one, two in zip(low, high, strict=True)] if any(high) else low


class Rows:
    """Messages that are laid out alike, about filters of one chain and pref.

    :ivar count: how many.
    """

    def __init__(self, run: Run, layout: Layout, count: int) -> None:
        self.count = count
        self._run = run
        self._layout = layout

    @property
    def place(self) -> tuple[int, int]:
        """The chain and the pref."""
        (chain,) = self._layout.column(self._run, "chain", 1)
        (info,) = self._layout.column(self._run, "info", 1)
        return chain, info >> 16

    def has(self, name: str) -> bool:
        """Whether they say one of the numbers of a :class:`Reading`."""
        return self._layout.has(name)

    def column(self, name: str) -> list[int]:
        """What each says of one of the numbers of a :class:`Reading`; zeros if nothing.  Ages are
        in parts of a second, :data:`CLOCK`."""
        return self._layout.column(self._run, name, self.count)

    def packets(self) -> list[int]:
        """What each says of its packets."""
        return self.column("packets64" if self.has("packets64") else "packets")


_NAMES: Final = (
    "handle",
    "info",
    "kind",
    "chain",
    "cookie",
    "bytes",
    "packets",
    "packets64",
    "hw_bytes",
    "hw_packets",
    "age",
    "flags",
    "in_hw_count",
)


class Reader:
    """Reads messages about filters, and remembers how they are laid out."""

    def __init__(self) -> None:
        self._layouts: dict[int, list[Layout]] = {}

    def read(self, data: bytes, at: int, length: int) -> Reading | None:
        """What a message says.

        :param at: where the message begins, with its header.
        :param length: how long it says it is, at most what there is.
        :return: None when it is no flower filter, as of the messages that say that there is a
            classifier with filters, and when it is damaged.
        """
        for layout in self._layouts.get(length, ()):
            values = layout.take(data, at)
            if values is not None:
                return _reading(values)
        made = self._learn(data, at, length)
        if made is None:
            return None
        values = made.take(data, at)
        assert values is not None
        return _reading(values)

    def rows(self, run: Run) -> Rows | None:
        """The first messages of a run that are laid out alike; None: they are too few, or none like
        the first was read before, so it has to be read by itself."""
        if run.count >= FEW:
            for layout in self._layouts.get(run.length, ()):
                count = layout.fitting(run)
                if count:
                    return Rows(run, layout, count)
        return None

    def _learn(self, data: bytes, at: int, length: int) -> Layout | None:
        """The layout of a message, which is remembered; None: it is no filter, or damaged."""
        try:
            made = _walk(data, at, length)
        except ValueError:
            return None
        if made is not None:
            known = self._layouts.setdefault(length, [])
            if len(known) >= LAYOUTS:
                del known[0]
            known.append(made)
        return made


def _reading(values: tuple[Any, ...]) -> Reading | None:
    (handle, info, kind, chain, cookie, octets, packets, packets64) = values[:8]
    (hw_bytes, hw_packets, age, flags, in_hw_count) = values[8:]
    if kind != b"flower\0":
        return None
    return Reading(
        chain or 0,
        info >> 16,
        handle,
        cookie or b"",
        (packets or 0) if packets64 is None else packets64,
        octets or 0,
        hw_packets or 0,
        hw_bytes or 0,
        None if age is None else age / CLOCK,
        flags or 0,
        in_hw_count or 0,
    )


def _walk(data: bytes, at: int, length: int) -> Layout | None:
    """The layout of a message; None when it is not about a flower filter.

    :raises ValueError: when it is damaged.
    """
    if length < pack.FIRST or not pack.TCMSG.unpack_from(data, at + pack.HEADER.size)[2]:
        return None
    places = [_Place(24, "I", "handle"), _Place(32, "I", "info")]
    headers: dict[int, int] = {}

    def within(start: int, end: int) -> dict[int, tuple[int, int]]:
        """The attributes of a nest; their headers are part of the layout.

        :raises ValueError: when they do not fill it.
        """
        found = {}
        after = start
        for number, begin, finish in attributes(data, start, end):
            headers[begin - 4 - at] = int.from_bytes(data[begin - 4 : begin], pack.ORDER)
            found[number] = (begin, finish)
            after = finish
        if end - after > 3:
            raise ValueError(f"{end - after} bytes are no attribute")
        return found

    def note(found: dict[int, tuple[int, int]], number: int, form: str, *names: str) -> None:
        """A value, or several in one attribute, if it is there and as long as it should be."""
        span = found.get(number)
        if span is None or span[1] - span[0] < Struct("=" + form).size:
            return
        offset = span[0] - at
        for letter, name in zip(form, names, strict=True):
            places.append(_Place(offset, letter, name))
            offset += Struct("=" + letter).size

    top = within(at + pack.FIRST, at + length)
    kind = top.get(pack.KIND)
    if kind is None or data[kind[0] : kind[1]] != b"flower\0" or pack.OPTIONS not in top:
        return None
    places.append(_Place(kind[0] - at, "7s", "kind"))
    note(top, pack.CHAIN, "I", "chain")
    flower = within(*top[pack.OPTIONS])
    note(flower, pack.FLOWER_FLAGS, "I", "flags")
    note(flower, FLOWER_IN_HW_COUNT, "I", "in_hw_count")
    first = within(*flower[pack.FLOWER_ACT]).get(1) if pack.FLOWER_ACT in flower else None
    if first is not None:
        action = within(*first)
        cookie = action.get(pack.ACT_COOKIE)
        if cookie is not None:
            places.append(_Place(cookie[0] - at, f"{cookie[1] - cookie[0]}s", "cookie"))
        if pack.ACT_STATS in action:
            statistics = within(*action[pack.ACT_STATS])
            note(statistics, STATS_BASIC, "QI", "bytes", "packets")
            note(statistics, STATS_BASIC_HW, "QI", "hw_bytes", "hw_packets")
            note(statistics, STATS_PKT64, "Q", "packets64")
        name = action.get(pack.ACT_KIND)
        times = TIMES.get(data[slice(*name)].rstrip(b"\0")) if name is not None else None
        if times is not None and pack.ACT_OPTIONS in action:
            # The second of ``struct tcf_t``: install, lastuse, expires, firstuse.
            span = within(*action[pack.ACT_OPTIONS]).get(times)
            if span is not None and span[1] - span[0] >= 16:
                places.append(_Place(span[0] + 8 - at, "Q", "age"))
    return Layout(places, headers)
