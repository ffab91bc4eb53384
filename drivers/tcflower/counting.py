"""What the kernel has counted: for rules at their filters, for ports at their devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed

from agent.openflow.messages import PortStats
from drivers.interfaces import Entry as AnyEntry
from drivers.tcflower import pack
from drivers.tcflower.changes import Block
from drivers.tcflower.dump import Reader
from drivers.tcflower.entries import Entries
from drivers.tcflower.netlink import Dumper
from drivers.tcflower.ports import TcPort, ask_for_device

FEW: Final = 16
"""Of so many rules the filters are read one by one, of more of them all in a dump."""


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

    def refresh(self, rules: Sequence[AnyEntry]) -> Deferred[None]:
        """Read what the filters of rules have counted."""
        entries = [entry for rule in rules if (entry := self._entries.get(rule.handle))]
        slots = [(entry, slot) for entry in entries for slot in entry.slots]
        if not slots:
            return succeed(None)
        if len(slots) > FEW:
            return self._dumper.dump(self._block.ask_all, self._taker())
        done: Deferred[None] = Deferred()
        waiting = len(slots)

        def answered(error: int, text: str) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done.callback(None)

        number = self._block.number
        for entry, slot in slots:
            self._block.request(
                lambda n, one=slot.filter: pack.get_filter(one, number, pack.NLM_F_ACK, n),  # type: ignore[misc]
                answered,
                lambda reading, entry=entry, slot=slot: slot.read(  # type: ignore[misc]
                    reading, entry.counters, self._now()
                ),
            )
        return done

    def _taker(self) -> Callable[[bytes, int, int, int], None]:
        """What takes the messages of a dump."""
        now = self._now()
        read = Reader().read
        find = self._entries.find

        def take(data: bytes, kind: int, at: int, length: int) -> None:
            reading = read(data, at, length)
            if reading is not None:
                found = find((reading.chain, reading.pref, reading.handle))
                if found is not None:
                    found[1].read(reading, found[0].counters, now)

        return take

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
