"""Chains in which rules end that have to tell their packets apart.

An output goes to a port unless the packet came in there; a TTL is decremented unless it is too
small.  Flower has no conditions among actions and none that says "not".  So a rule whose actions
depend on what it does not match has one filter of its own, which goes to another chain, a *tail*:
there the cases come one after the other, the exception first, and what is left is the last.  A
thousand rules which output to port 2 have a thousand filters and one tail of two.

A tail is a value, and two rules with equal tails share a chain.  :class:`Tails` says which, and
when there has to be one and when it may go.  What counts the packets of a rule is its own filter
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import attrs

from drivers.tcflower.actions import TcAction
from drivers.tcflower.credits import Credits
from drivers.tcflower.filters import Filter, Filters
from drivers.tcflower.keys import Where
from drivers.tcflower.places import FREE_CHAINS, MAX_CHAIN

Case: TypeAlias = tuple[tuple[Where, ...], tuple[TcAction, ...], Credits]
"""Which packets, what is done to them, and what that is counted for."""
Tail: TypeAlias = tuple[Case, ...]
"""Cases; what none before has taken is the next one's.  The last takes what is left."""


@attrs.define
class _Held:
    """A tail that is used.

    :ivar chain: where it is.
    :ivar users: how many rules end there.
    """

    chain: int
    users: int = 0


class Tails:
    """Which chain each tail has.

    A rule holds its tail from before its filters are made until they are gone.  The filters of a
    tail are made before those of its first rule, and deleted after those of its last.
    """

    def __init__(self) -> None:
        self._held: dict[Tail, _Held] = {}
        self._used: set[int] = set()
        self._free: list[int] = []
        self._next = iter(range(FREE_CHAINS, MAX_CHAIN + 1))

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Tail]:
        return iter(self._held)

    def __contains__(self, tail: Tail) -> bool:
        return tail in self._held

    def uses(self, chain: int) -> bool:
        """Whether some rule ends in a chain."""
        return chain in self._used

    def begin(self, chain: int) -> None:
        """Chains before this are taken."""
        self._next = iter(range(chain, MAX_CHAIN + 1))

    def hold(self, tail: Tail, there: int | None = None) -> tuple[int, Filters]:
        """Another rule ends in a tail.

        :param there: the chain where it shall be, if it is no other's; None: any.
        :returns: its chain, and the filters that have to be made now; they are none when the tail
            is there already.
        """
        held = self._held.get(tail)
        made: Filters = ()
        if held is None:
            chain = there
            if chain is None:
                chain = self._free.pop() if self._free else next(self._next)
            held = self._held[tail] = _Held(chain)
            self._used.add(chain)
            made = filters_of(tail, chain)
        held.users += 1
        return held.chain, made

    def chain(self, tail: Tail) -> int:
        """Where a tail is.

        :raises KeyError: when no rule holds it.
        """
        return self._held[tail].chain

    def let_go(self, tail: Tail) -> Filters:
        """A rule ends there no more, its filters are gone.

        :returns: the filters that can be deleted now; :meth:`freed` when they are gone.
        :raises KeyError: when no rule held it.
        """
        held = self._held[tail]
        held.users -= 1
        if held.users:
            return ()
        del self._held[tail]
        self._used.discard(held.chain)
        return filters_of(tail, held.chain)

    def freed(self, chain: int) -> None:
        """The chain of a tail is empty and may be another's."""
        self._free.append(chain)


def filters_of(tail: Tail, chain: int) -> Filters:
    """The filters of a tail, in the order of their prefs."""
    return tuple(
        Filter(chain, pref, actions, where.indev, where.keys)
        for pref, (places, actions, _) in enumerate(tail, 1)
        for where in places
    )


def credits_of(tail: Tail) -> tuple[Credits, ...]:
    """What each of the :func:`filters_of` a tail is counted for."""
    return tuple(credited for places, _, credited in tail for _ in places)
