"""Which of many operations some packet could tell from another: those whose matches overlap.

Operations with the same mask are in one group, as in tuple-space search
(:mod:`agent.packet.classifier`), so that to ask costs one or two dictionary accesses for each
distinct mask and not a comparison with each operation.  A group that is asked with a mask which
does not cover its own gets a dictionary for the bits they share, once.

What would cost more is not answered: a match that overlaps very many operations, and a mask beyond
the first so many.  The answer None means "perhaps any", and whoever asked has to be careful.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from agent.openflow.match import Match

MAX_MASKS: Final = 64
"""How many distinct masks are told apart."""

MAX_FOUND: Final = 64
"""How many that overlap are named."""

T = TypeVar("T")


class _Group(Generic[T]):
    """What has one mask.

    :ivar shared: for some of the mask's bits, what there is by the value of those.
    """

    __slots__ = ("items", "mask", "shared")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.items: list[tuple[int, T]] = []
        self.shared: dict[int, dict[int, list[T]]] = {}

    def add(self, value: int, item: T) -> None:
        self.items.append((value, item))
        for common, index in self.shared.items():
            index.setdefault(value & common, []).append(item)

    def index(self, common: int) -> dict[int, list[T]]:
        index = self.shared.get(common)
        if index is None:
            index = self.shared[common] = {}
            for value, item in self.items:
                index.setdefault(value & common, []).append(item)
        return index


class Overlaps(Generic[T]):
    """Anything by its match.  Nothing is ever taken out; one throws all of it away."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[int, _Group[T]] = {}

    def find(self, match: Match) -> list[T] | None:
        """What overlaps with a match; None: perhaps anything."""
        mask, value = match.mask, match.value
        groups = self._groups
        if mask not in groups and len(groups) >= MAX_MASKS:
            return None
        found: list[T] = []
        for group in groups.values():
            common = mask & group.mask
            index = group.shared.get(common)
            if index is None:
                index = group.index(common)
            there = index.get(value & common)
            if there is not None:
                if len(found) + len(there) > MAX_FOUND:
                    return None
                found += there
        return found

    def add(self, match: Match, item: T) -> None:
        """Put something in, of which :meth:`find` said what it overlaps with."""
        group = self._groups.get(match.mask)
        if group is None:
            group = self._groups[match.mask] = _Group(match.mask)
        group.add(match.value, item)
