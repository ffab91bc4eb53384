"""Which port leads to which Ethernet address, as an ordinary switch finds out: the NORMAL action.

Addresses are learned per VLAN from the source of each frame and forgotten when they have not been
seen for a while.  The table is bounded; when it is full, the address that was seen longest ago
makes room, so that a host which makes addresses up cannot keep others from being learned for long.

Source: IEEE 802.1D section 7.8; sizes and ageing as in Open vSwitch (``lib/mac-learning.c``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import attrs

AGEING: Final = 300.0
"""Seconds for which an address is remembered."""
SIZE: Final = 8192
"""Addresses remembered at once."""

MULTICAST: Final = 1 << 40
"""The group bit of an Ethernet address as a 48-bit number."""


@attrs.define(eq=False)
class MacEntry:
    """One learned address.

    :ivar vlan: VLAN identifier; 0: untagged.
    :ivar mac: 48 bits.
    :ivar port: where it was last seen.
    :ivar seen: when, in seconds of the caller's clock.
    """

    vlan: int
    mac: int
    port: int
    seen: float


class MacTable:
    """The learned addresses of one bridge.

    :ivar ageing: seconds for which an address is remembered.
    :ivar size: addresses remembered at once.
    :ivar learned: how many addresses were learned that were not known, since the table was made;
        the other counters likewise.
    :ivar moved: how often a known one turned up at another port.
    :ivar evicted: how many had to make room.
    :ivar expired: how many were dropped for their age.
    """

    def __init__(self, ageing: float = AGEING, size: int = SIZE) -> None:
        self.ageing = ageing
        self.size = size
        self.learned = self.moved = self.evicted = self.expired = 0
        # In the order in which they were last seen, so that the oldest is the first.
        self._entries: OrderedDict[tuple[int, int], MacEntry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def copy(self) -> MacTable:
        """A table that has learned the same, and counted nothing."""
        other = MacTable(self.ageing, self.size)
        for key, entry in self._entries.items():
            other._entries[key] = attrs.evolve(entry)
        return other

    def learn(self, vlan: int, mac: int, port: int, now: float) -> bool:
        """A frame from ``mac`` has come in on ``port``; returns whether that is news.

        A multicast address is no source, and is not learned.
        """
        if mac & MULTICAST:
            return False
        key = (vlan, mac)
        entry = self._entries.get(key)
        if entry is not None:
            moved = entry.port != port
            if moved:
                entry.port = port
                self.moved += 1
            entry.seen = now
            self._entries.move_to_end(key)
            return moved
        self.expire(now)
        if len(self._entries) >= self.size:
            self._entries.popitem(last=False)
            self.evicted += 1
        self._entries[key] = MacEntry(vlan, mac, port, now)
        self.learned += 1
        return True

    def lookup(self, vlan: int, mac: int, now: float) -> int | None:
        """The port that leads to an address; None: nobody knows, so flood."""
        if mac & MULTICAST:
            return None
        entry = self._entries.get((vlan, mac))
        if entry is None or now - entry.seen > self.ageing:
            return None
        return entry.port

    def forget_port(self, port: int) -> None:
        """A port is gone or has lost its link: what was behind it may be anywhere."""
        for key in [key for key, entry in self._entries.items() if entry.port == port]:
            del self._entries[key]

    def flush(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def expire(self, now: float) -> None:
        """Drop what is too old."""
        entries = self._entries
        while entries:
            key, entry = next(iter(entries.items()))
            if now - entry.seen <= self.ageing:
                break
            del entries[key]
            self.expired += 1

    def entries(self, now: float) -> Iterator[MacEntry]:
        """What is remembered, the longest unseen first; what is too old is dropped on the way."""
        self.expire(now)
        yield from list(self._entries.values())
