"""A ternary memory: what is in it, how it is laid out, and what has to move to change it.

In a TCAM the first entry that matches wins, so entries lie in the order of their priorities, and to
put one between others costs moves.  How many depends on the layout.  :class:`ChunkedLayout` keeps
the entries of each priority together and does not care for their order among themselves, as Linux
does for switches that have such a memory (``lib/parman.c``).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

from agent.packet.classifier import Classifier
from drivers.interfaces import IRule


class Layout(Protocol):
    """Where entries lie, as far as costs depend on it."""

    def insert(self, priority: int) -> int:
        """Make room for an entry; returns how many others have to be moved."""

    def remove(self, priority: int) -> int:
        """Close the gap of an entry; returns how many others have to be moved."""


class ChunkedLayout:
    """A chunk for each priority, the highest first, without gaps, and all the room behind the last.

    To insert, each chunk behind makes room by moving its first entry behind its last.  To remove,
    the last entry of the chunk fills the gap, and each chunk behind moves its last entry before its
    first.  So the cost is in distinct priorities, not in entries.
    """

    __slots__ = ("_counts", "_priorities")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._priorities: list[int] = []  # ascending

    def insert(self, priority: int) -> int:
        """One move for each chunk behind that of this priority."""
        behind = bisect_left(self._priorities, priority)
        count = self._counts.get(priority, 0)
        if not count:
            self._priorities.insert(behind, priority)
        self._counts[priority] = count + 1
        return behind

    def remove(self, priority: int) -> int:
        """The same, and one for the gap itself, unless nothing is left to fill it."""
        behind = bisect_left(self._priorities, priority)
        count = self._counts[priority] - 1
        if count:
            self._counts[priority] = count
            return behind + 1
        del self._counts[priority]
        del self._priorities[behind]
        return behind

    @property
    def chunks(self) -> int:
        """How many distinct priorities there are."""
        return len(self._priorities)


class Tcam:
    """One table of the hardware.

    Room is taken when the hardware begins to write an entry, and given back when it begins to erase
    one; what can be looked up changes when it has finished.

    :ivar table_id: its number.
    :ivar size: how many entries there is room for.
    :ivar rules: the entries that are written: what packets are looked up in.
    :ivar used: how many entries have taken room.
    """

    __slots__ = ("_layout", "rules", "size", "table_id", "used")

    def __init__(self, table_id: int, size: int, layout: Layout | None = None) -> None:
        self.table_id = table_id
        self.size = size
        self.rules: Classifier[IRule] = Classifier()
        self.used = 0
        self._layout: Layout = layout if layout is not None else ChunkedLayout()

    @property
    def full(self) -> bool:
        """Whether there is no room for another entry."""
        return self.used >= self.size

    def written(self, rule: IRule) -> IRule | None:
        """The entry with this rule's match and priority."""
        return self.rules.find(rule.match, rule.priority)

    def take(self, rule: IRule) -> int:
        """Take room for an entry; returns how many others are moved for it."""
        self.used += 1
        return self._layout.insert(rule.priority)

    def give(self, rule: IRule) -> int:
        """Give an entry's room back; returns how many others are moved for it."""
        self.used -= 1
        return self._layout.remove(rule.priority)

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
