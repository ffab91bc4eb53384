"""What an earlier run has left in the kernel, and forwards.

It was stopped with ``keep_rules``, or killed.  Its filters stay where they are until somebody says
what shall be there, so that nothing stops while a controller connects and fills the tables again:

- A rule which needs a filter that is there *claims* it.  If that does what it should, it is adopted
  as it is; otherwise it is changed in place.  Either way no packet misses it.
- What a controller deletes, by deleting everything, goes at once.
- What has not been claimed some time after the first rule was asked for goes, too.

Rules count from when they were asked for, as their durations do; what their filters have counted
before is left out.

The filters of a tail belong to nobody, but rules lead there, so that a tail is claimed as a whole,
for it to have the chain that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import attrs

from drivers.tcflower import found as seen
from drivers.tcflower.filters import Filter, Filters
from drivers.tcflower.found import Found
from drivers.tcflower.places import FIRST, FREE_CHAINS, LAST, UPCALL_CHAIN, table_of


class Left:
    """See the module."""

    def __init__(self, there: Iterable[Found] = ()) -> None:
        """Take what there is.

        :param there: the filters of the block that are ours.
        """
        self._there = {one.identity: one for one in there}
        self._keys = {one.key for one in self._there.values()}
        self._chains: dict[int, list[Found]] = {}
        for one in self._there.values():
            if one.key[0] >= FREE_CHAINS:
                self._chains.setdefault(one.key[0], []).append(one)
        self.last_handle = max((one.key[2] for one in self._there.values()), default=0)
        self.last_chain = max(self._chains, default=FREE_CHAINS - 1)

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, key: tuple[int, int, int]) -> bool:
        return key in self._keys

    def claim(self, wanted: Filter) -> int:
        """Somebody needs a filter with these keys at this place.

        :param wanted: with its cookie.
        :returns: the handle that it has; 0: there is none.
        """
        if not self._there:
            return 0
        one = self._there.get(seen.of(attrs.evolve(wanted, handle=1)).identity)
        if one is None:
            return 0
        self._forget(one)
        return one.key[2]

    def claim_chain(self, tail: Callable[[int], Filters]) -> int | None:
        """Somebody needs a tail.

        :param tail: makes its filters for a chain.
        :returns: the chain where it is; None: there is none.
        """
        for chain, there in self._chains.items():
            wanted = {one.identity: one for one in map(seen.of, tail(chain))}
            if len(wanted) == len(there) and all(
                one.identity in wanted
                and one.key == wanted[one.identity].key
                and not seen.difference(wanted[one.identity], one)
                for one in there
            ):
                for one in list(there):
                    self._forget(one)
                return chain
        return None

    def ends(self) -> list[Found]:
        """Those that are looked at last in the chain of a table."""
        return [
            one for one in self._there.values() if one.key[1] == LAST and one.key[0] < FREE_CHAINS
        ]

    def take(
        self, wanted: Callable[[Found], bool] = lambda one: True
    ) -> list[tuple[int, int, int]]:
        """Where those are that shall go now, in an order in which they can."""
        gone = [one for one in self._there.values() if wanted(one)]
        for one in gone:
            self._forget(one)
        # What leads to a tail, or to the software, goes before that.
        gone.sort(key=lambda one: one.key[0] >= UPCALL_CHAIN)
        return [one.key for one in gone]

    def of_ports(self) -> list[tuple[int, int, int]]:
        """Likewise those that keep packets of a port from all rules, and those by which packets of
        a port go to the software; not what takes the packets of other ports that come there."""
        return self.take(
            lambda one: (
                one.key[:2] == (0, FIRST) or (one.key[0] == UPCALL_CHAIN and one.key[1] != LAST)
            )
        )

    def of_tables(self, tables: Collection[int]) -> list[tuple[int, int, int]]:
        """Likewise those of some tables."""
        gone = self.take(lambda one: one.key[0] < UPCALL_CHAIN and table_of(one.key[0]) in tables)
        if all(chain >= UPCALL_CHAIN for chain, _, _ in self._keys):
            # Nothing leads to the other chains any more.
            gone += self.take()
        return gone

    def _forget(self, one: Found) -> None:
        del self._there[one.identity]
        self._keys.discard(one.key)
        chain = self._chains.get(one.key[0])
        if chain is not None:
            chain.remove(one)
            if not chain:
                del self._chains[one.key[0]]
