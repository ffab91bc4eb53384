"""The filters that are no rule's: the ends of chains, and those of ports that are closed.

A chain that packets can get to must end in a filter that takes all that is left, for otherwise
Linux gets the packet.  A table's chain comes into being with the first rule in it, or the first
that leads there, and its end with it, before that rule; the second chain of a table
(:mod:`drivers.tcflower.places`) with the first rule of a low priority.  They stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.openflow.actions import GotoTable
from drivers.interfaces import IRule
from drivers.tcflower import found
from drivers.tcflower.actions import SHOT, Gact, goto_chain
from drivers.tcflower.entries import identity
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.left import Left
from drivers.tcflower.places import FIRST, LAST, LOW_CHAINS, LOWEST, entry_chain, low_chain

DROP: Final = Gact(SHOT)


class Ground:
    """What is in the block besides rules."""

    def __init__(self, closed: Mapping[str, int], flags: FilterFlags, cookie: bytes) -> None:
        """Begin with the end of the first table.

        :param closed: the names and numbers of devices from which nothing is taken.
        :param flags: where its filters are, as those of rules.
        :param cookie: theirs.
        """
        self._flags = flags
        self._cookie = cookie
        end = self._end(entry_chain(0))
        self._ends = {end.chain: end}
        self._closed = self._of_devices(closed)

    def filters(self) -> list[Filter]:
        """All of them, in an order in which they can be installed."""
        return [*self._closed.values(), *reversed(self._ends.values())]

    def drops(self) -> list[Filter]:
        """The ends of chains that drop what comes to them."""
        return [one for one in self._ends.values() if one.actions == (DROP,)]

    def adopt(self, left: Left) -> None:
        """Keep those ends of chains that an earlier run has left."""
        for one in left.ends():
            chain = one.key[0]
            wanted = [self._end(chain)]
            if chain < LOW_CHAINS:
                wanted.append(self._end(chain, low_chain(chain)))
            for end in wanted:
                if one.key == end.place and not found.difference(found.of(end), one):
                    self._ends[chain] = end
        for end in self.filters():
            left.claim(end)

    def prepare(self, rule: IRule) -> list[Filter]:
        """What must be installed before a rule; now, in this order."""
        table = rule.table_id
        wanted = [self._end(entry_chain(table))]
        wanted += [
            self._end(entry_chain(instruction.table_id))
            for instruction in rule.instructions
            if isinstance(instruction, GotoTable)
        ]
        if rule.priority < LOWEST:
            low = low_chain(table)
            wanted += [self._end(low), self._end(entry_chain(table), low)]
        missing = []
        for one in wanted:
            there = self._ends.get(one.chain)
            # An end that leads on is never made one that drops.
            if there is None or (one != there and one.actions != (DROP,)):
                self._ends[one.chain] = one
                missing.append(one)
        return missing

    def change(self, closed: Mapping[str, int]) -> tuple[list[Filter], list[Filter]]:
        """Other devices are closed now; returns what must be installed, and what must go."""
        old, self._closed = self._closed, self._of_devices(closed)
        install = [one for key, one in self._closed.items() if old.get(key) != one]
        remove = [one for key, one in old.items() if key not in self._closed]
        return install, remove

    def _end(self, chain: int, onward: int | None = None) -> Filter:
        """The last filter of a chain."""
        what = DROP if onward is None else Gact(goto_chain(onward))
        return Filter(chain, LAST, (what,), flags=self._flags, handle=1, cookie=self._cookie)

    def _of_devices(self, closed: Mapping[str, int]) -> dict[tuple[object, ...], Filter]:
        found = {}
        for name, ifindex in closed.items():
            # Those of all devices are at one place.
            one = Filter(0, FIRST, (DROP,), name, (), self._flags, ifindex, self._cookie)
            found[identity(one)] = one
        return found
