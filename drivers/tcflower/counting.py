"""What the kernel has counted: for rules at their filters, for ports at their devices.

A dump of all filters says what each compares and does besides what it has counted, which is most of
it, so the kernel is asked for a terse one (Linux 5.8).  That has packets and bytes, but says
neither when a filter counted last nor in how many devices it is.  So filters that have changed
their place are then read whole, and where somebody wants to know when, those that have counted: a
few one by one, of many all in a full dump, as at once the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from agent.openflow.messages import PortStats
from drivers.interfaces import Entry as AnyEntry
from drivers.tcflower.changes import Block
from drivers.tcflower.dump import CLOCK, Reader, Reading, Rows
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.entries import Entries, Slot
from drivers.tcflower.ports import TcPort, ask_for_device
from drivers.tcflower.runs import Run

FEW: Final = 16
"""So many filters are read one by one, and of many filters one part of so many."""


class Counting:
    """See the module."""

    def __init__(
        self, block: Block, entries: Entries, dumper: Dumper, now: Callable[[], float]
    ) -> None:
        """Count nothing yet.

        :param now: the agent's clock.
        """
        self._block = block
        self._entries = entries
        self._dumper = dumper
        self._now = now
        self._busy = False
        self._reader = Reader()

    def refresh(self, rules: Sequence[AnyEntry], when: bool) -> Deferred[None]:
        """Read what the filters of rules have counted, or those that count for groups.

        :param when: also when they counted last; otherwise that is read when it is asked for.
        """
        groups = [number for one in rules if (number := getattr(one, "group_id", None)) is not None]
        if groups:
            return self.refresh_groups(groups)
        if self._few(rules):
            entries = [entry for rule in rules if (entry := self._entries.get(rule.handle))]
            slots = [slot for entry in entries for slot in entry.slots]
            if self._few(slots):
                return self._read_each(slots)
        return self.refresh_all(when)

    def refresh_groups(self, groups: Iterable[int]) -> Deferred[None]:
        """Read what filters have counted for groups."""
        slots = self._entries.crediting(groups)
        return self._read_each(slots) if self._few(slots) else self.refresh_all(when=False)

    def refresh_all(self, when: bool) -> Deferred[None]:
        """Read what all filters of rules have counted."""
        if not self._entries.filters:
            return succeed(None)
        if when and self._busy:
            return self._read_all()
        unread: list[Slot] = []

        def refused(failure: Failure) -> Deferred[None]:
            failure.trap(OSError)
            return self._read_all()

        done = self._dump(True, when, unread)
        return done.addCallbacks(lambda _: self._read_whole(unread), refused)

    def _few(self, of: Sequence[object]) -> bool:
        return len(of) <= max(FEW, self._entries.filters // FEW)

    def _read_each(self, slots: Iterable[Slot]) -> Deferred[None]:
        """Read filters one by one."""
        done: Deferred[None] = Deferred()
        waiting = 1

        def answered(error: int, text: str) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done.callback(None)

        for slot in slots:
            waiting += 1
            self._block.look(
                slot.key,
                lambda reading, slot=slot: slot.read(reading, self._now()),  # type: ignore[misc]
                answered,
            )
        answered(0, "")
        return done

    def _read_whole(self, unread: Sequence[Slot]) -> Deferred[None]:
        """Read those of which a terse dump has not said enough."""
        if self._few(unread):
            return self._read_each(unread)
        return self._read_all()

    def _read_all(self) -> Deferred[None]:
        """Read them in a full dump."""
        counted: list[Slot] = []

        def over(result: None) -> None:
            self._busy = not self._few(counted)

        return self._dump(False, True, counted).addCallback(over)

    def _dump(self, terse: bool, when: bool, noted: list[Slot]) -> Deferred[None]:
        """Have a dump, and take what it says.

        :param noted: is given the filters that have counted since they were read whole; of a terse
            dump, those that still have to be.
        """
        reader = self._reader
        now = self._now()

        def take(run: Run) -> None:
            while run.count:
                rows = reader.rows(run)
                if rows is None:
                    reading = reader.read(run.data, run.at, run.length)
                    if reading is not None:
                        self._take_one(reading, now, terse, when, noted)
                elif rows.has("age"):
                    self._take(rows, now, terse, noted)
                else:
                    self._take_terse(rows, when, noted)
                run = run.after(1 if rows is None else rows.count)

        return self._dumper.dump(partial(self._block.ask_all, terse=terse), take)

    def _take(self, rows: Rows, now: float, terse: bool, noted: list[Slot]) -> None:
        """Take what a dump says of some filters, all of it."""
        there = self._entries.at(rows.place)
        if not there:
            return
        slots = map(there.get, rows.column("handle"))
        names = ("flags", "bytes", "age", "in_hw_count")
        for slot, count, where, octets, age, hardware in zip(
            slots, rows.packets(), *map(rows.column, names), strict=True
        ):
            if slot is not None and (count != slot.packets or where != slot.flags or slot.late):
                slot.flags = where
                slot.in_hw_count = hardware
                slot.count(count, octets, now - age / CLOCK)
                if not terse:
                    noted.append(slot)

    def _take_terse(self, rows: Rows, when: bool, unread: list[Slot]) -> None:
        """Take what a terse dump says of some filters, as far as that is enough."""
        there = self._entries.at(rows.place)
        if not there:
            return
        slots = map(there.get, rows.column("handle"))
        packets, octets = rows.packets(), rows.column("bytes")
        for slot, count, size, where in zip(
            slots, packets, octets, rows.column("flags"), strict=True
        ):
            if slot is None:
                continue
            if where != slot.flags or (when and (count != slot.packets or slot.late)):
                unread.append(slot)
            elif count != slot.packets:
                slot.count(count, size, None)

    def _take_one(
        self, reading: Reading, now: float, terse: bool, when: bool, noted: list[Slot]
    ) -> None:
        """Take what a dump says of one filter."""
        slot = self._entries.at((reading.chain, reading.pref)).get(reading.handle)
        if slot is None:
            return
        moved = slot.flags != reading.flags
        counted = slot.packets != reading.packets
        if reading.age is not None:
            if moved or counted or slot.late:
                slot.read(reading, now)
                if not terse:
                    noted.append(slot)
        elif moved or (when and (counted or slot.late)):
            noted.append(slot)
        elif counted:
            slot.count(reading.packets, reading.bytes, None)

    def port_stats(self, ports: Sequence[TcPort]) -> Deferred[list[PortStats]]:
        """What the devices of ports have counted, and the ports where there is none."""
        found = {port.number: port.stats() for port in ports}
        there = [port for port in ports if port.ifindex]
        if not there:
            return succeed(list(found.values()))
        done: Deferred[list[PortStats]] = Deferred()
        waiting = len(there)

        def answered(error: int, text: str) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done.callback(list(found.values()))

        pipeline = self._block.pipeline
        for port in there:

            def hear(data: bytes, at: int, length: int, port: TcPort = port) -> None:
                found[port.number] = port.with_device(data, at, length)

            sequence = pipeline.sequence()
            pipeline.push(sequence, ask_for_device(port.ifindex, sequence), answered, hear)
        return done
