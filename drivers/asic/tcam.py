"""A ternary memory: what is in it, and what packets see of it.

How entries lie is the business of :mod:`drivers.asic.layout`.  Here they are written and erased,
one after the other, while packets pass: a packet meets the first entry that matches and is there
at that moment.  Entries of one priority which overlap are therefore told apart by their places,
which change as entries move, as in real hardware.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.openflow.match import Match
from agent.packet.classifier import Classifier, Subtable
from drivers.asic.layout import ChunkedLayout, Layout
from drivers.interfaces import IRule

Key = tuple[int, int, int]
"""Mask, value and priority: what an entry is known by."""


def key_of(rule: IRule) -> Key:
    """What a rule's entry is known by."""
    match = rule.match
    return match.mask, match.value, rule.priority


class Shown(Classifier[IRule]):
    """The written entries, as packets meet them.

    :ivar layout: where they lie.
    :ivar tokens: what the layout knows an entry by; more than one where an operation on it was
        given up.
    :ivar flat: whether priorities are ignored, so that only places count.
    :ivar absences: each returns the entry that the hardware has taken out for the moment, if any.
    """

    __slots__ = ("absences", "flat", "layout", "tokens")

    def __init__(self, layout: Layout, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.layout = layout
        self.tokens: dict[Key, list[int]] = {}
        self.absences: list[Callable[[], Key | None]] = []

    def lookup(self, key: int) -> IRule | None:
        """The first entry that matches a frame's flow key and is there now."""
        absent = [gone for absence in self.absences if (gone := absence()) is not None]
        if absent:
            return self._lookup_without(key, absent)
        if self.flat:
            return self._lookup_flat(key)
        ordered = self._ordered
        if ordered is None:
            ordered = self._ordered = sorted(self.subtables.values(), key=_by_top)
        best: IRule | None = None
        best_priority = -1
        for subtable in ordered:
            if subtable.top < best_priority:
                break
            found = subtable.entries.get(key & subtable.mask)
            if found is not None:
                entry: IRule = found[0] if type(found) is list else found  # type: ignore[assignment]
                if entry.priority > best_priority or (
                    entry.priority == best_priority and best and self._before(entry, best)
                ):
                    best = entry
                    best_priority = entry.priority
        return best

    def _before(self, one: IRule, other: IRule) -> bool:
        tokens = self.tokens
        mine, its = tokens.get(key_of(one)), tokens.get(key_of(other))
        # What has given its place back is seen until it is erased, behind what has one.
        if not mine or not its:
            return bool(mine)
        return self.layout.before(mine[-1], its[-1], 0 if self.flat else one.priority)

    def _lookup_flat(self, key: int) -> IRule | None:
        """The first that matches, whatever its priority."""
        best: IRule | None = None
        for subtable in self.subtables.values():
            found = subtable.entries.get(key & subtable.mask)
            if found is not None:
                entries: list[IRule] = found if type(found) is list else [found]  # type: ignore[list-item]
                for entry in entries:
                    if best is None or self._before(entry, best):
                        best = entry
        return best

    def _lookup_without(self, key: int, absent: list[Key]) -> IRule | None:
        """The same, as if some entries were not there."""
        taken = [
            rule
            for mask, value, priority in absent
            if (rule := self.remove(Match(mask, value), priority)) is not None
        ]
        absences, self.absences = self.absences, []
        try:
            return self.lookup(key)
        finally:
            self.absences = absences
            for rule in taken:
                self.put(rule)


def _by_top(subtable: Subtable[IRule]) -> int:
    return -subtable.top


class Tcam:
    """One table of the hardware.

    Room is taken when the hardware begins to write an entry, and given back when it begins to erase
    one; what can be looked up changes when it has finished.

    :ivar table_id: its number.
    :ivar size: how many entries there is room for.
    :ivar spills: whether what does not fit goes to a table in software.
    :ivar spilled: the entries there.  They are looked up together with the others, so that only
        their cost differs, and they stay there although there is room again.
    :ivar rules: the entries that are written: what packets are looked up in.
    :ivar used: how many entries have taken room.
    :ivar layout: where entries lie.
    """

    __slots__ = ("_debts", "_last", "keys", "layout", "rules", "size", "spilled", "spills",
                 "table_id", "used")  # fmt: skip

    def __init__(
        self,
        table_id: int,
        size: int,
        layout: Layout | None = None,
        spills: bool = False,
        flat: bool = False,
    ) -> None:
        """An empty table.

        :param flat: whether it ignores priorities.
        """
        self.table_id = table_id
        self.size = size
        self.spills = spills
        self.spilled: set[Key] = set()
        self.layout: Layout = layout if layout is not None else ChunkedLayout()
        self.rules = Shown(self.layout, flat)
        self.used = 0
        self.keys: dict[int, Key] = {}
        self._debts: dict[Key, int] = {}
        self._last = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for another entry."""
        return self.used >= self.size

    def level(self, priority: int) -> int:
        """The priority by which an entry is laid down."""
        return 0 if self.rules.flat else priority

    def written(self, rule: IRule) -> IRule | None:
        """The entry with this rule's match and priority."""
        return self.rules.find(rule.match, rule.priority)

    def take(self, rule: IRule, moved: list[int] | None = None) -> int:
        """Take room for an entry; returns how many others are moved for it.

        :param moved: receives the tokens of those; :attr:`keys` says which entries they are.
        """
        key = key_of(rule)
        if key in self._debts:
            self._debts[key] -= 1
            if not self._debts[key]:
                del self._debts[key]
            self.used += 1
            return 0
        if self.spills and self.full:
            self.spilled.add(key)
            return 0
        self.used += 1
        self._last += 1
        self.rules.tokens.setdefault(key, []).append(self._last)
        self.keys[self._last] = key
        return self.layout.insert(self._last, self.level(rule.priority), moved)

    def give(self, rule: IRule, moved: list[int] | None = None) -> int:
        """Give an entry's room back; returns how many others are moved for it.

        :param moved: see :meth:`take`.
        """
        key = key_of(rule)
        if key in self.spilled:
            self.spilled.remove(key)
            return 0
        self.used -= 1
        tokens = self.rules.tokens.get(key)
        if tokens is None:
            # Given twice, by an operation that the agent gave up and by another: write() or
            # erase() will take it once again.
            self._debts[key] = self._debts.get(key, 0) + 1
            return 0
        token = tokens.pop()
        if not tokens:
            del self.rules.tokens[key]
        del self.keys[token]
        return self.layout.remove(token, self.level(rule.priority), moved)

    def write(self, rule: IRule, taken: bool) -> None:
        """An entry is there now.

        :param taken: whether room was taken for it.  It need not be where an entry with the same
            match and priority was there; that it has come or gone meanwhile happens only when the
            agent gave up an operation which the hardware had not.
        """
        there = self.rules.put(rule) is not None
        if there and taken:
            self.give(rule)
        elif not there and not taken:
            self.take(rule)

    def erase(self, rule: IRule, given: bool) -> None:
        """An entry is gone now.

        :param given: whether its room was given back; see :meth:`write`.
        """
        there = self.rules.remove(rule.match, rule.priority) is not None
        if there and not given:
            self.give(rule)
        elif not there and given:
            self.take(rule)

    def clear(self) -> list[IRule]:
        """Lose everything, room that was taken for what is not written yet included.

        :returns: the entries that were written.
        """
        rules = list(self.rules)
        for rule in rules:
            self.rules.remove(rule.match, rule.priority)
        for token in reversed(list(self.layout.tokens())):
            self.layout.remove(token, self.level(self.keys[token][2]))
        self.rules.tokens.clear()
        self.rules.absences.clear()
        self.keys.clear()
        self.spilled.clear()
        self._debts.clear()
        self.used = 0
        return rules

    def lying(self) -> list[Key]:
        """The entries that have taken room, in the order in which they lie."""
        return [self.keys[token] for token in self.layout.tokens()]

    def places(self) -> list[tuple[int, int]]:
        """The places that are taken, ascending, with the priorities of the entries there."""
        keys = self.keys
        tokens = self.layout.tokens()
        places = self.layout.places(self.size)
        return [(place, keys[token][2]) for place, token in zip(places, tokens, strict=True)]
