"""The forwarding plane of the simulated ASIC: the chip's part at once, the CPU's part later.

The programs and the tables are those of :mod:`drivers.software.pipeline`.  Here is only what is
slow about it: which packets leave the chip, and take their time (:mod:`drivers.asic.cpu`).

A packet-out comes from the CPU, so what it does itself (NORMAL, or back to the controllers) has no
way to go; one that is sent through the tables is given to the chip like any other packet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.openflow.messages import PacketInReason
from drivers.asic.cpu import Cpu
from drivers.asic.tcam import Tcam, key_of
from drivers.interfaces import IRule, PacketInEvent
from drivers.software.pipeline import Pipeline
from drivers.software.ports import Ports
from drivers.software.run import Run

MISS: Final = PacketInReason.NO_MATCH


class AsicPipeline(Pipeline):
    """See the module.

    :ivar cpu: the slow path.
    """

    def __init__(self, tcams: Mapping[int, Tcam], ports: Ports, by_packet: bool, cpu: Cpu) -> None:
        super().__init__({number: tcam.rules for number, tcam in tcams.items()}, ports, by_packet)
        self.cpu = cpu
        self._tcams = tcams
        if any(tcam.spills for tcam in tcams.values()):
            self.leaves = self._spilled

    def close(self) -> None:
        """End; what is on its way to the CPU is lost."""
        self.cpu.power_off()
        super().close()

    def normal(self, run: Run) -> None:
        """The CPU knows which addresses were learned, the chip does not."""
        if run.rule is None or self.cpu.working:
            super().normal(run)
            return
        # What the rule does after this must not be seen.
        packet = run.fork()
        self.cpu.take(lambda: super(AsicPipeline, self).normal(packet))

    def tell(self, run: Run, event: PacketInEvent) -> None:
        """The CPU speaks with the controllers."""
        if self.cpu.working or (run.rule is None and event.reason != MISS):
            super().tell(run, event)
        else:
            self.cpu.take(lambda: super(AsicPipeline, self).tell(run, event))

    def _spilled(self, run: Run, rule: IRule, key: int) -> bool:
        """Whether the rule's entry is in software, so that the CPU goes on with the packet.

        What was resubmitted stays where it is, for the rule that did so is not done with it.
        """
        if self.cpu.working or run.nested or key_of(rule) not in self._tcams[run.table_id].spilled:
            return False
        table_id = run.table_id
        self.cpu.take(lambda: self.process(run, table_id, key))
        return True
