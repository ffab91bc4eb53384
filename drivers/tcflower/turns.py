"""One change at a time of each rule.

Controllers change a rule, ports and groups that it depends on do, and so does whoever removes its
filters.  What comes while a rule is being changed waits until that has ended, and then begins with
what has come of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial


class Turns:
    """See the module."""

    def __init__(self) -> None:
        self._busy: set[int] = set()
        self._waiting: dict[int, deque[Callable[[], object]]] = {}

    def begin(self, handle: int, again: Callable[..., object], *arguments: object) -> bool:
        """Begin a change, if nothing else is being done to the rule.

        :param again: otherwise called with the arguments when it may begin.
        :returns: whether it has begun; then there is an :meth:`end` to it.
        """
        busy = self._busy
        if handle in busy:
            self._waiting.setdefault(handle, deque()).append(partial(again, *arguments))
            return False
        busy.add(handle)
        return True

    def end(self, handle: int) -> None:
        """A change has ended, and the next may begin."""
        self._busy.remove(handle)
        if not self._waiting:
            return
        waiting = self._waiting.get(handle)
        # What begins may end at once.
        while waiting and handle not in self._busy:
            again = waiting.popleft()
            if not waiting:
                self._waiting.pop(handle, None)
            again()

    def all(self) -> frozenset[int]:
        """The rules that are being changed now."""
        return frozenset(self._busy)
