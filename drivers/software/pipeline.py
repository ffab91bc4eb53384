"""The way of a packet through the tables and out of a port.

A :class:`Pipeline` looks packets up in whatever classifiers it is given; what is in them is the
driver's affair.  One that is slow to fill them forwards by what is in them already.

A packet is looked up in table 0 and then wherever goto-table sends it, always forward, so that it
comes to an end.  One that hits no rule is dropped, but for the first table of a switch that speaks
OpenFlow 1.0, where it goes to the controllers.

Performance-critical; ``bench/drivers.py`` measures it.

Source: OpenFlow 1.3.5 section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.python.components import proxyForInterface

from agent.openflow.actions import Actions, Instructions
from agent.openflow.messages import PacketInReason, PortDesc, PortReason
from agent.packet.classifier import Classifier
from agent.packet.mac_learning import MacTable
from agent.packet.packet import Packet, parse
from drivers.interfaces import (
    IDriverHost,
    IRule,
    LearnedAddress,
    LearningStatistics,
    PacketInEvent,
    TableCounters,
)
from drivers.software.normal import Normal
from drivers.software.port import NO_PACKET_IN, Port
from drivers.software.ports import Ports
from drivers.software.program import ActionSet, Program, compile_actions, compile_instructions

MAX_PROGRAMS: Final = 4096
"""How many compiled instruction lists are kept.  Rules with equal lists share one."""

NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
"""The cookie of a packet-in that no rule caused."""

MISS_LEN: Final = 128
"""Bytes of a packet whose TTL has expired that are sent to the controllers."""


class Run:
    """One packet on its way.

    :ivar packet: what it is by now.
    :ivar in_port: where it came in.
    :ivar rule: the one it hit last, or None.
    :ivar table_id: the table it was looked up in last.
    :ivar pending: its action set; None while that is empty.
    """

    __slots__ = ("_pipeline", "in_port", "packet", "pending", "rule", "table_id")

    def __init__(self, pipeline: Pipeline, packet: Packet, in_port: int) -> None:
        self._pipeline = pipeline
        self.packet = packet
        self.in_port = in_port
        self.rule: IRule | None = None
        self.table_id = 0
        self.pending: ActionSet | None = None

    def output(self, number: int) -> None:
        """Send it out of a port, unless it came in there."""
        if number != self.in_port:
            port = self._pipeline.ports.get(number)
            if port is not None:
                port.send(self.packet.frame())

    def back(self) -> None:
        """Send it out where it came in."""
        port = self._pipeline.ports.get(self.in_port)
        if port is not None:
            port.send(self.packet.frame())

    def flood(self) -> None:
        """Send it out of every port that takes part in flooding."""
        frame = self.packet.frame()
        for port in self._pipeline.ports.flood(self.in_port):
            port.send(frame)

    def to_all(self) -> None:
        """Send it out of every port."""
        frame = self.packet.frame()
        for port in self._pipeline.ports.all_but(self.in_port):
            port.send(frame)

    def normal(self) -> None:
        """Let it go where an ordinary switch would send it."""
        self._pipeline.normal(self)

    def to_tables(self) -> None:
        """Let a copy of it go through the tables; only a packet-out does so."""
        self._pipeline.process(Run(self._pipeline, self.packet.copy(), self.in_port))

    def to_controller(self, max_len: int) -> None:
        """Send it to the controllers.

        It is a miss when a table-miss rule says so: one of priority 0 that matches everything.
        """
        rule = self.rule
        reason = PacketInReason.ACTION
        if rule is not None and not rule.priority and not rule.match.mask:
            reason = PacketInReason.NO_MATCH
        self._pipeline.packet_in(self, reason, max_len)

    def ttl_expired(self) -> bool:
        """It must go no further; the controllers are told.  Always True."""
        self._pipeline.packet_in(self, PacketInReason.INVALID_TTL, MISS_LEN)
        return True


class _PortWatch(proxyForInterface(IDriverHost)):  # type: ignore[misc]
    """The agent, as ports know it; what they say of themselves is heard here, too."""

    def __init__(self, host: IDriverHost, heard: Callable[[PortReason, PortDesc], object]) -> None:
        super().__init__(host)
        self._heard = heard

    def port_status(self, reason: PortReason, desc: PortDesc) -> None:
        """A port changed."""
        self._heard(reason, desc)
        self.original.port_status(reason, desc)


class Pipeline:
    """The tables and ports of one bridge, and what becomes of packets there.

    :ivar ports: the ports.
    :ivar addresses: what NORMAL has learned.
    """

    def __init__(self, tables: Mapping[int, Classifier[IRule]], ports: Ports) -> None:
        self.ports = ports
        self.addresses = MacTable()
        self._normal = Normal(ports, self.addresses)
        self._tables = tables
        self._lookups = dict.fromkeys(tables, 0)
        self._matches = dict.fromkeys(tables, 0)
        self._programs: dict[int, tuple[Instructions, Program]] = {}
        self._host: IDriverHost | None = None
        self._now: Callable[[], float] = float

    def open(self, host: IDriverHost) -> None:
        """Begin to take packets, from the ports too.

        :raises OSError: when a port cannot be opened.
        """
        self._host = host
        self._now = host.now
        self.ports.open(_PortWatch(host, self._normal.port_changed), self.receive)

    def close(self) -> None:
        """End."""
        self.ports.close()

    def receive(self, port: Port, frame: bytes) -> None:
        """A frame came in."""
        number = port.number
        self.process(Run(self, parse(frame, number), number))

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """See :meth:`drivers.interfaces.IDriver.packet_out`."""
        run = Run(self, parse(data, in_port), in_port)
        for step in compile_actions(actions):
            if step(run):
                break

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """See :meth:`drivers.interfaces.IDriver.port_mod`."""
        desc = self.ports.modify(port_no, config, mask)
        self._normal.port_changed(PortReason.MODIFY, desc)
        return desc

    def normal(self, run: Run) -> None:
        """Send a packet where NORMAL does."""
        packet = run.packet
        ports = self._normal.decide(packet.key, run.in_port, self._now()).ports
        if ports:
            frame = packet.frame()
            for port in ports:
                port.send(frame)

    def process(self, run: Run) -> None:
        """Take a packet through the tables, from the first."""
        packet = run.packet
        size = len(packet.data)
        now = self._now
        table_id = 0
        while table_id >= 0:
            run.table_id = table_id
            self._lookups[table_id] += 1
            rule = self._tables[table_id].lookup(packet.key)
            run.rule = rule
            if rule is None:
                if table_id == 0:
                    self._miss(run)
                return
            self._matches[table_id] += 1
            counters = rule.counters
            counters.packets += 1
            counters.bytes += size
            counters.used = now()
            instructions = rule.instructions
            found = self._programs.get(id(instructions))
            if found is None or found[0] is not instructions:
                program = self._compile(instructions)
            else:
                program = found[1]
            for step in program.apply:
                if step(run):
                    return
            if program.clear:
                run.pending = None
            if program.write:
                run.pending = {**run.pending, **program.write} if run.pending else program.write
            if program.keep != -1:
                packet.key = packet.key & program.keep | program.metadata
            table_id = program.goto
        if run.pending:
            for _, step in sorted(run.pending.items()):
                if step(run):
                    return

    def _compile(self, instructions: Instructions) -> Program:
        if len(self._programs) >= MAX_PROGRAMS:
            self._programs.clear()
        program = compile_instructions(instructions)
        # Kept beside it, the list cannot die and leave its identity to another.
        self._programs[id(instructions)] = (instructions, program)
        return program

    def _miss(self, run: Run) -> None:
        host = self._host
        if host is not None and host.miss_to_controller:
            self.packet_in(run, PacketInReason.NO_MATCH, 0xFFFF)

    def packet_in(self, run: Run, reason: PacketInReason, max_len: int) -> None:
        """Send a packet to the controllers, unless the port it came from says not to for misses."""
        host = self._host
        if host is None:
            return
        if reason is PacketInReason.NO_MATCH:
            port = self.ports.get(run.in_port)
            if port is not None and port.config & NO_PACKET_IN:
                return
        rule = run.rule
        host.packet_in(
            PacketInEvent(
                run.packet.frame(),
                run.in_port,
                reason,
                run.packet.key,
                run.table_id,
                rule.cookie if rule is not None else NO_COOKIE,
                max_len,
            )
        )

    def learned_addresses(self) -> list[LearnedAddress]:
        """See :class:`drivers.interfaces.IForwardingDatabase`."""
        now = self._now()
        return [
            LearnedAddress(entry.port, entry.vlan, entry.mac, now - entry.seen)
            for entry in self.addresses.entries(now)
        ]

    def learning_statistics(self) -> LearningStatistics:
        """See :class:`drivers.interfaces.IForwardingDatabase`."""
        addresses = self.addresses
        addresses.expire(self._now())
        return LearningStatistics(
            len(addresses),
            addresses.size,
            addresses.learned,
            addresses.expired,
            addresses.evicted,
            addresses.moved,
        )

    def table_counters(self) -> dict[int, TableCounters]:
        """What the tables have counted."""
        matches = self._matches
        return {
            table_id: TableCounters(lookups, matches[table_id])
            for table_id, lookups in self._lookups.items()
        }
