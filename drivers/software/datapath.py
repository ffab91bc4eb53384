"""Everything that a driver does with packets in software: ports, forwarding, and what they count.

The base of the drivers which have no hardware that could do it.  What they add is how rules get
into the tables: at once (:mod:`drivers.software.driver`), or slowly (:mod:`drivers.asic.driver`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from agent.openflow.actions import Actions
from agent.openflow.messages import FragHandling, PortDesc, PortStats, QueueStats
from drivers.abilities import (
    IForwardingDatabase,
    IFragments,
    IQueues,
    ITracing,
    LearnedAddress,
    LearningStatistics,
    Trace,
)
from drivers.interfaces import (
    Capabilities,
    Entry,
    IDriverHost,
    IOperation,
    OperationKind,
    TableCounters,
    Target,
)
from drivers.software.pipeline import Pipeline
from drivers.software.port import Port
from drivers.software.trace import trace

SELECT_BY: Final = ("flow", "packet")
"""What the option ``select`` of both drivers may be."""


@implementer(IForwardingDatabase, IFragments, IQueues, ITracing)
class Datapath:
    """The half of :class:`drivers.interfaces.IDriver` that is about packets.

    :ivar capabilities: see there.
    :ivar frag_handlings: see :class:`drivers.abilities.IFragments`.
    :ivar pipeline: what becomes of packets.
    """

    frag_handlings = frozenset(FragHandling) - {FragHandling.REASM}

    def __init__(
        self,
        capabilities: Capabilities,
        pipeline: Pipeline,
    ) -> None:
        """Make it; :meth:`start` opens the ports."""
        self.capabilities = capabilities
        self.pipeline = pipeline
        self._ports = pipeline.ports

    def start(self, host: IDriverHost) -> None:
        """Open the ports.

        :raises OSError: when one cannot be opened.
        """
        self.pipeline.open(host)

    def stop(self) -> Deferred[None]:
        """Close the ports."""
        self.pipeline.close()
        return succeed(None)

    def port(self, number: int) -> Port:
        """The port of this number itself, to put frames into and take them out of.

        :raises KeyError: when there is none.
        """
        return self._ports[number]

    def set_numbered(self, operation: IOperation) -> None:
        """Let packets meet a group or a meter as an operation wants it."""
        entry = operation.rule
        gone = operation.kind is OperationKind.DELETE
        if operation.target is Target.GROUP:
            groups = self.pipeline.groups
            groups.remove(entry.group_id) if gone else groups.put(entry)
        else:
            meters = self.pipeline.meters
            meters.remove(entry.meter_id) if gone else meters.put(entry)

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Counters are counted as packets pass, so there is nothing to do."""
        return succeed(None)

    def ports(self) -> list[PortDesc]:
        """The ports as they are now."""
        return [port.describe() for port in self._ports]

    def port_stats(self) -> Deferred[list[PortStats]]:
        """The counters of the ports."""
        return succeed([port.stats() for port in self._ports])

    def queues(self) -> Mapping[int, Sequence[int]]:
        """See :class:`drivers.abilities.IQueues`, like the next."""
        return {port.number: tuple(port.queues) for port in self._ports if port.queues}

    def queue_stats(self) -> Deferred[list[QueueStats]]:
        """The counters of the queues."""
        return succeed([queue for port in self._ports for queue in port.queue_stats()])

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """The counters of the tables."""
        return succeed(self.pipeline.table_counters())

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """Change a port's configuration.

        :raises OpenFlowError: PORT_MOD_FAILED/BAD_PORT or BAD_CONFIG.
        """
        return self.pipeline.port_mod(port_no, config, mask)

    def learned_addresses(self) -> list[LearnedAddress]:
        """See :class:`drivers.abilities.IForwardingDatabase`, like the next two."""
        return self.pipeline.learned_addresses()

    def forget_addresses(self) -> None:
        """Forget what NORMAL has learned."""
        self.pipeline.addresses.flush()

    def learning_statistics(self) -> LearningStatistics:
        """What it has counted of it."""
        return self.pipeline.learning_statistics()

    def set_frag_handling(self, handling: FragHandling) -> None:
        """See :class:`drivers.abilities.IFragments`."""
        self.pipeline.frag_handling = handling

    def trace(self, data: bytes, key: int) -> Trace:
        """See :meth:`drivers.abilities.ITracing.trace`."""
        return trace(self.pipeline, data, key)

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """Execute an action list on a frame."""
        self.pipeline.packet_out(data, in_port, actions)
