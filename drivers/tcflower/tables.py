"""What tables have counted, of which the kernel knows nothing.

A packet that is looked up in a table hits one of its rules, and one filter of that rule counts it,
or it comes to the end of the table's chain, which counts it, too.  So what a table has matched is
the sum of what its rules have, those that are gone included, and what it has looked up is that and
what came to its end.

What the software looks up it counts itself: packets of filters and ends which only hand it packets
are left out here.  When a table gets a second chain (:mod:`drivers.tcflower.places`), what came to
the end of the first since it was read last is not known.

Source: OpenFlow 1.3.5 section 5.8, table 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import Deferred, DeferredList

from drivers.interfaces import Counters, TableCounters
from drivers.tcflower.changes import Block
from drivers.tcflower.counting import Counting
from drivers.tcflower.entries import Entries, Slot
from drivers.tcflower.filters import Filter
from drivers.tcflower.ground import Ground
from drivers.tcflower.places import table_of

NOTHING = TableCounters()


class TableCounting:
    """See the module."""

    def __init__(
        self,
        block: Block,
        entries: Entries,
        ground: Ground,
        counting: Counting,
        now: Callable[[], float],
    ) -> None:
        """Begin with nothing counted."""
        self._block = block
        self._entries = entries
        self._ground = ground
        self._counting = counting
        self._now = now
        self._ends: dict[int, Slot] = {}

    def read(
        self, tables: Iterable[int], software: Mapping[int, TableCounters]
    ) -> Deferred[Mapping[int, TableCounters]]:
        """What the tables have counted; where the kernel cannot be asked, as far as it is known.

        :param software: what the software has looked up in them.
        """

        def told(_: object) -> Mapping[int, TableCounters]:
            matched = self._entries.matched()
            missed: Counter[int] = Counter()
            for chain, slot in self._ends.items():
                missed[table_of(chain)] += slot.total
            found = {}
            for number in tables:
                more = software.get(number, NOTHING)
                matches = matched[number] + more.matches
                misses = missed[number] + more.lookups - more.matches
                found[number] = TableCounters(matches + misses, matches)
            return found

        waits = [self._counting.refresh_all(when=False), *map(self._look, self._ground.drops())]
        return DeferredList(waits, consumeErrors=True).addCallback(told)

    def _look(self, end: Filter) -> Deferred[None]:
        """Read the end of a chain."""
        done: Deferred[None] = Deferred()
        slot = self._ends.setdefault(end.chain, Slot.of(end, Counters()))
        self._block.look(
            end.place,
            lambda reading: slot.read(reading, self._now()),
            lambda error, text: done.callback(None),
        )
        return done
