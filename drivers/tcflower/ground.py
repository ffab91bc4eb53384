"""The filters that are no rule's: the ends of chains, those of ports that are closed, and the ways
to the software.

A chain that packets can get to must end in a filter that takes all that is left, for otherwise
Linux gets the packet.  A table's chain comes into being with the first rule in it, or the first
that leads there, and its end with it, before that rule; the second chain of a table
(:mod:`drivers.tcflower.places`) with the first rule of a low priority.  They stay.

What is left drops, but in the first table where OpenFlow 1.0 is spoken: there it goes to the
software, and from it to the controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from agent.openflow.actions import GotoTable
from drivers.interfaces import IRule
from drivers.tcflower import found
from drivers.tcflower.actions import SHOT, Gact, TcAction, goto_chain
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.left import Left
from drivers.tcflower.places import (
    FIRST,
    LAST,
    LOW_CHAINS,
    LOWEST,
    UPCALL_CHAIN,
    entry_chain,
    low_chain,
)
from drivers.tcflower.upcall import to_software, way

DROP: Final = (Gact(SHOT),)


@attrs.frozen
class Site:
    """What there is besides rules that filters depend on.

    :ivar closed: the names and numbers of devices from which nothing is taken.
    :ivar open: those from which packets can go to the software; each has its place among the ports
        (:func:`drivers.tcflower.upcall.way`) before its number.
    :ivar device: the number of the device by which they go there; 0: there is none now, None: there
        never is.
    :ivar missed: whether misses in the first table go there.
    """

    closed: Mapping[str, int]
    open: Mapping[str, tuple[int, int]]
    device: int | None
    missed: bool


class Ground:
    """What is in the block besides rules."""

    def __init__(self, site: Site, flags: FilterFlags, cookie: bytes) -> None:
        """Begin with the end of the first table.

        :param flags: where its filters are, as those of rules.
        :param cookie: theirs.
        """
        self._flags = flags
        self._cookie = cookie
        self._site = site
        self._of_ports = self._made(site)
        # What each chain leads on to in the end; None: nothing.
        self._ends: dict[int, int | None] = {entry_chain(0): None}

    def filters(self) -> list[Filter]:
        """All of them, in an order in which they can be installed: where something leads to is
        before it."""
        return [*self._of_ports.values(), *reversed(self._all_ends())]

    def drops(self) -> list[Filter]:
        """The ends of chains that drop what comes to them."""
        return [one for one in self._all_ends() if one.actions == DROP]

    def _all_ends(self) -> list[Filter]:
        return [self._end(chain, onward) for chain, onward in self._ends.items()]

    def adopt(self, left: Left) -> None:
        """Keep those ends of chains that an earlier run has left."""
        for one in left.ends():
            chain = one.key[0]
            wanted: list[int | None] = [] if chain == UPCALL_CHAIN else [None]
            if chain < LOW_CHAINS:
                wanted.append(low_chain(chain))
            for onward in wanted:
                end = self._end(chain, onward)
                if one.key == end.place and not found.difference(found.of(end), one):
                    self._ends[chain] = onward
        for end in self.filters():
            left.claim(end)

    def now(self, one: Filter) -> Filter:
        """What is wanted in the place of a filter that was: an end may lead on since."""
        if one.pref != LAST or one.chain not in self._ends:
            return one
        return self._end(one.chain, self._ends[one.chain])

    def prepare(self, rule: IRule) -> list[Filter]:
        """What must be installed before a rule; now, in this order."""
        table = rule.table_id
        wanted: list[tuple[int, int | None]] = [(entry_chain(table), None)]
        wanted += [
            (entry_chain(instruction.table_id), None)
            for instruction in rule.instructions
            if isinstance(instruction, GotoTable)
        ]
        if rule.priority < LOWEST:
            low = low_chain(table)
            wanted += [(low, None), (entry_chain(table), low)]
        missing = []
        for chain, onward in wanted:
            # An end that leads on is never made one that does not.
            if chain not in self._ends or (onward is not None and self._ends[chain] != onward):
                self._ends[chain] = onward
                missing.append(self._end(chain, onward))
        return missing

    def change(self, site: Site) -> tuple[list[Filter], list[Filter]]:
        """Something is different now; returns what must be installed, and what must go."""
        if site == self._site:
            return [], []
        before = {(one.chain, one.pref, one.handle): one for one in self.filters()}
        self._site = site
        self._of_ports = self._made(site)
        after = {(one.chain, one.pref, one.handle): one for one in self.filters()}
        install = [one for key, one in after.items() if before.get(key) != one]
        remove = [one for key, one in before.items() if key not in after]
        return install, remove

    def _end(self, chain: int, onward: int | None) -> Filter:
        """The last filter of a chain."""
        what: tuple[TcAction, ...] = DROP
        if onward is not None:
            what = (Gact(goto_chain(onward)),)
        elif self._site.missed and chain in (entry_chain(0), low_chain(0)):
            what = to_software(0, False)
        return Filter(chain, LAST, what, flags=self._flags, handle=1, cookie=self._cookie)

    def _made(self, site: Site) -> dict[tuple[int, int], Filter]:
        """The filters of ports, by their chains and handles."""
        made: Iterable[Filter] = (
            Filter(0, FIRST, DROP, name, (), self._flags, ifindex, self._cookie)
            for name, ifindex in site.closed.items()
        )
        found = {(one.chain, one.handle): one for one in made}
        if site.device is not None:
            flags = FilterFlags.SKIP_HW
            end = Filter(UPCALL_CHAIN, LAST, DROP, flags=flags, handle=1, cookie=self._cookie)
            found[UPCALL_CHAIN, 0] = end
        if site.device:
            for name, (place, ifindex) in site.open.items():
                one = way(place, name, ifindex, site.device, self._cookie)
                found[one.chain, one.handle] = one
        return found
