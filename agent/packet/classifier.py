"""Which of many entries a frame hits, and which entries a request selects.

Tuple-space search (Srinivasan, Suri and Varghese, SIGCOMM 1999), as in Open vSwitch: entries with
the same mask are in one dictionary, keyed by their value, so that a lookup costs one dictionary
access for each *distinct mask*, however many entries there are.  Masks are tried in the order of
the highest priority that any of their entries ever had, so that the search ends at the first mask
which cannot do better.

Where there are more than a few masks, what was found for a flow key is kept until an entry is put
in or taken out, as in the cache of exact matches of Open vSwitch's userspace datapath: further
packets of a known flow cost one access to a dictionary, whatever the masks are.
``bench/lookup.py`` measures both.

Both the flow tables of the switch and the drivers which look packets up use it; what an entry is
beyond a match and a priority is theirs to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from agent.openflow.match import Match

MAX_FLOWS: Final = 8192
"""How many flow keys are kept with what was found for them; beyond that all are forgotten."""

FEW_MASKS: Final = 4
"""Up to so many, it costs less to search them than to keep what was found."""

_UNKNOWN: Final[Any] = object()


class Entry(Protocol):
    """What can be put into a :class:`Classifier`."""

    @property
    def match(self) -> Match:
        """What it matches; never changes while it is in a classifier."""

    @property
    def priority(self) -> int:
        """Higher wins; never changes while it is in a classifier."""


E = TypeVar("E", bound=Entry)


class Subtable(Generic[E]):
    """The entries of one mask.

    :ivar mask: their mask.
    :ivar entries: by value, the entry; or, where several priorities have the same match, a list
        of them, highest first.  Nearly always it is the entry itself, which saves a list an entry.
    :ivar top: a priority that none of the entries exceeds.
    """

    __slots__ = ("entries", "mask", "top")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.entries: dict[int, E | list[E]] = {}
        self.top = -1

    def __iter__(self) -> Iterator[E]:
        for found in self.entries.values():
            if type(found) is list:
                yield from found
            else:
                yield found  # type: ignore[misc]


class Classifier(Generic[E]):
    """Entries by match and priority; no two have both the same.

    :ivar count: how many entries there are.
    """

    __slots__ = ("_flows", "_ordered", "count", "subtables")

    def __init__(self) -> None:
        self.subtables: dict[int, Subtable[E]] = {}
        self.count = 0
        self._ordered: list[Subtable[E]] | None = []
        self._flows: dict[int, E | None] = {}

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[E]:
        for subtable in self.subtables.values():
            yield from subtable

    @property
    def known(self) -> int:
        """For how many flow keys it is kept what was found."""
        return len(self._flows)

    def find(self, match: Match, priority: int) -> E | None:
        """The entry with just this match and priority."""
        subtable = self.subtables.get(match.mask)
        if subtable is None:
            return None
        found = subtable.entries.get(match.value)
        if type(found) is list:
            for entry in found:
                if entry.priority == priority:
                    return entry
            return None
        if found is not None and found.priority == priority:  # type: ignore[union-attr]
            return found  # type: ignore[return-value]
        return None

    def put(self, entry: E) -> E | None:
        """Insert an entry, or put it in the place of the one with its match and priority.

        :returns: the one whose place it took.
        """
        if self._flows:
            self._flows.clear()
        match = entry.match
        subtable = self.subtables.get(match.mask)
        if subtable is None:
            subtable = self.subtables[match.mask] = Subtable(match.mask)
            self._ordered = None
        priority = entry.priority
        if priority > subtable.top:
            subtable.top = priority
            self._ordered = None
        entries = subtable.entries
        found = entries.get(match.value)
        if found is None:
            entries[match.value] = entry
            self.count += 1
            return None
        if type(found) is list:
            for index, other in enumerate(found):
                if other.priority == priority:
                    found[index] = entry
                    return other
                if other.priority < priority:
                    found.insert(index, entry)
                    break
            else:
                found.append(entry)
        else:
            other = found  # type: ignore[assignment]
            if other.priority == priority:
                entries[match.value] = entry
                return other
            pair = [entry, other] if priority > other.priority else [other, entry]
            entries[match.value] = pair
        self.count += 1
        return None

    def remove(self, match: Match, priority: int) -> E | None:
        """Take the entry with this match and priority out, and return it."""
        if self._flows:
            self._flows.clear()
        subtable = self.subtables.get(match.mask)
        if subtable is None:
            return None
        found = subtable.entries.get(match.value)
        if found is None:
            return None
        if type(found) is list:
            for index, entry in enumerate(found):
                if entry.priority == priority:
                    del found[index]
                    break
            else:
                return None
            if len(found) == 1:
                subtable.entries[match.value] = found[0]
        else:
            entry = found  # type: ignore[assignment]
            if entry.priority != priority:
                return None
            del subtable.entries[match.value]
            if not subtable.entries:
                del self.subtables[match.mask]
                self._ordered = None
        self.count -= 1
        return entry

    def lookup(self, key: int) -> E | None:
        """The entry of highest priority that matches a frame's flow key.

        Among entries of equal priority that overlap any may be returned (the specification leaves
        it open), but the same one as long as neither goes.
        """
        flows = self._flows
        if flows:
            known: E | None = flows.get(key, _UNKNOWN)
            if known is not _UNKNOWN:
                return known
        ordered = self._ordered
        if ordered is None:
            ordered = self._ordered = sorted(self.subtables.values(), key=lambda s: -s.top)
        best: E | None = None
        best_priority = -1
        for subtable in ordered:
            if subtable.top <= best_priority:
                break
            found = subtable.entries.get(key & subtable.mask)
            if found is not None:
                entry = found[0] if type(found) is list else found
                if entry.priority > best_priority:  # type: ignore[union-attr]
                    best = entry  # type: ignore[assignment]
                    best_priority = entry.priority  # type: ignore[union-attr]
        if len(ordered) > FEW_MASKS:
            if len(flows) >= MAX_FLOWS:
                flows.clear()
            flows[key] = best
        return best

    def matching(self, key: int) -> Iterator[E]:
        """All entries that match a frame's flow key, in no order."""
        for subtable in self.subtables.values():
            found = subtable.entries.get(key & subtable.mask)
            if type(found) is list:
                yield from found
            elif found is not None:
                yield found  # type: ignore[misc]

    def covered(self, match: Match) -> Iterator[E]:
        """The entries that a loose request with this match selects: at least as specific as it."""
        mask, value = match.mask, match.value
        for subtable in list(self.subtables.values()):
            if subtable.mask == mask:
                found = subtable.entries.get(value)
                if found is not None:
                    if type(found) is list:
                        yield from tuple(found)
                    else:
                        yield found  # type: ignore[misc]
            elif not mask & ~subtable.mask:
                for entry in list(subtable):
                    if entry.match.value & mask == value:
                        yield entry

    def overlapping(self, match: Match, priority: int | None = None) -> Iterator[E]:
        """The entries which some packet could hit as well as ``match``.

        :param priority: of those only the ones of this priority; None: all.
        """
        for subtable in self.subtables.values():
            if priority is not None and subtable.top < priority:
                continue
            common = subtable.mask & match.mask
            wanted = match.value & common
            if common == subtable.mask:
                # ``match`` is at least as specific: one value at most overlaps.
                found = subtable.entries.get(wanted)
                if type(found) is list:
                    for entry in found:
                        if priority is None or entry.priority == priority:
                            yield entry
                elif found is not None and (priority is None or found.priority == priority):  # type: ignore[union-attr]
                    yield found  # type: ignore[misc]
                continue
            for entry in subtable:
                if entry.match.value & common == wanted and priority in (None, entry.priority):
                    yield entry
