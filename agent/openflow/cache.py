"""A memory of limited size, for what is costly to work out and often asked again.

When it is full it forgets everything.  That is less clever than forgetting the oldest, but a look
into it stays a single look into a dictionary, and a peer who fills it with rubbish costs the others
no more than working things out again once in a few thousand messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A dictionary with at most ``most`` entries.

    :ivar get: ``get(key)``: what was put, or None.  It is the dictionary's own method.
    """

    __slots__ = ("_entries", "_most", "get")

    get: Callable[[K], V | None]

    def __init__(self, most: int) -> None:
        self._entries: dict[K, V] = {}
        self._most = most
        self.get = self._entries.get

    def put(self, key: K, value: V) -> V:
        """Remember ``value``, and return it."""
        if len(self._entries) >= self._most:
            self._entries.clear()
        self._entries[key] = value
        return value

    def __len__(self) -> int:
        return len(self._entries)


_masks: Final[Cache[int, int]] = Cache(16384)


def intern_mask(mask: int) -> int:
    """The one object for this number, so that the rules of one shape share their mask."""
    found = _masks.get(mask)
    return found if found is not None else _masks.put(mask, mask)
