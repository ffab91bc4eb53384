"""Packets that are sent into the chip to see which entry they meet.

Chips have this, for finding out why they forward as they do: the CPU gives them a frame and the
port where it shall seem to have come in, they look it up like any other, and instead of sending it
anywhere they tell what they found (Broadcom calls it packet trace).  It is not counted.  Here one
can say in which table it begins, and with which metadata and registers, as Nicira's resubmit can in
a packet-out.

What is told is what the entry that was met does, not which entry it is, for that the chip does not
know; and the one it meets is what lies in its tables when the packet gets there.  The packet takes
as long to the chip as from there: a packet-in's time (``packet_in_ms``), as the way there is not
among what was measured.  Coming back, it is one of the packets to the CPU, and like them is dropped
when there are too many.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from agent.openflow.fields import IN_PORT
from agent.openflow.messages import FragHandling
from agent.packet.packet import PIPELINE, parse
from drivers.abilities import Probe
from drivers.asic.cpu import Cpu
from drivers.interfaces import IRule
from drivers.software.pipeline import Pipeline


class Probes:
    """See the module, and :class:`drivers.abilities.IProbe`."""

    def __init__(self, pipeline: Pipeline, cpu: Cpu) -> None:
        self._pipeline = pipeline
        self._cpu = cpu
        self._clock: Any = None
        self._way: set[IDelayedCall] = set()

    def power_on(self, clock: Any) -> None:
        """Begin to send; ``clock`` has ``callLater()``."""
        self._clock = clock

    def power_off(self) -> None:
        """Lose what is on its way to the chip."""
        for call in self._way:
            call.cancel()
        self._way.clear()

    @staticmethod
    def outcome(packet: Probe, rule: IRule | None) -> Hashable:
        """The instructions of the entry that is met, whatever the packet."""
        return None if rule is None else rule.instructions

    def probe(self, packet: Probe) -> Deferred[Hashable]:
        """Send a packet."""
        told: Deferred[Hashable] = Deferred()
        if not self._cpu.latency:
            self._meet(packet, told)
            return told

        def arrive() -> None:
            self._way.remove(call)
            self._meet(packet, told)

        call = self._clock.callLater(self._cpu.latency, arrive)
        self._way.add(call)
        return told

    def _meet(self, packet: Probe, told: Deferred[Hashable]) -> None:
        """A packet is in the chip."""
        pipeline = self._pipeline
        matches_ports = pipeline.frag_handling is FragHandling.NX_MATCH
        key = parse(packet.data, IN_PORT.get(packet.key), matches_ports).key
        rule = pipeline.tables[packet.table_id].lookup(key | packet.key & PIPELINE)
        met = self.outcome(packet, rule)
        self._cpu.take(lambda: told.callback(met))
