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
from typing import Final, Protocol

from twisted.python.components import proxyForInterface

from agent.openflow.actions import Actions, Instructions
from agent.openflow.fields import NW_FRAG
from agent.openflow.messages import FlowMod, FragHandling, PacketInReason, PortDesc, PortReason
from agent.packet.mac_learning import MacTable
from agent.packet.packet import parse
from drivers.abilities import LearnedAddress, LearningStatistics
from drivers.interfaces import (
    IDriverHost,
    IRule,
    PacketInEvent,
    TableCounters,
)
from drivers.software.groups import Groups
from drivers.software.meters import Meters
from drivers.software.normal import Decision, Normal
from drivers.software.port import NO_PACKET_IN, Port
from drivers.software.ports import Ports
from drivers.software.program import Program, compile_actions, compile_instructions
from drivers.software.run import Run

MAX_PROGRAMS: Final = 4096
"""How many compiled instruction lists are kept.  Rules with equal lists share one."""

DROP: Final = FragHandling.DROP
NX_MATCH: Final = FragHandling.NX_MATCH

NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
"""The cookie of a packet-in that no rule caused."""


class Lookup(Protocol):
    """A flow table, as far as packets are concerned."""

    def lookup(self, key: int) -> IRule | None:
        """The rule that a packet with this flow key hits."""


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

    :ivar tables: the flow tables, by number.
    :ivar ports: the ports.
    :ivar groups: the groups.
    :ivar meters: the meters.
    :ivar addresses: what NORMAL has learned.
    :ivar host: the agent; None before :meth:`open`.
    :ivar now: its clock.
    :ivar gave_up: how many packets came to a limit of what one may cause, and were dropped.
    :ivar frag_handling: what becomes of fragments.
    :ivar leaves: asked of each packet that hits a rule, if not None: whether it leaves this
        pipeline before that rule is executed.  Who says so goes on with it.
    """

    host: IDriverHost | None
    now: Callable[[], float]

    def __init__(self, tables: Mapping[int, Lookup], ports: Ports, by_packet: bool = False) -> None:
        """Begin without groups or meters.

        :param by_packet: see :class:`drivers.software.groups.Groups`.
        """
        self.tables = tables
        self.ports = ports
        self.groups = Groups(ports, by_packet)
        self.meters = Meters()
        self.addresses = MacTable()
        self._normal = Normal(ports, self.addresses)
        self._lookups = dict.fromkeys(tables, 0)
        self._matches = dict.fromkeys(tables, 0)
        self._programs: dict[int, tuple[Instructions, Program]] = {}
        self.host = None
        self.now = float
        self.gave_up = 0
        self.frag_handling = FragHandling.NORMAL
        self.leaves: Callable[[Run, IRule, int], bool] | None = None

    def open(self, host: IDriverHost) -> None:
        """Begin to take packets, from the ports too.

        :raises OSError: when a port cannot be opened.
        """
        self.host = host
        self.now = self.meters.now = host.now
        self.ports.open(_PortWatch(host, self._normal.port_changed), self.receive)

    def close(self) -> None:
        """End."""
        self.ports.close()

    def receive(self, port: Port, frame: bytes) -> None:
        """A frame came in."""
        number = port.number
        packet = parse(frame, number, self.frag_handling is NX_MATCH)
        self.enter(Run(self, packet, number))

    def resume(
        self, frame: bytes, in_port: int, table_id: int, counted: bool, fields: int = 0
    ) -> None:
        """Go on with a packet that hardware has taken through the tables before this one.

        :param frame: the packet as it is by now.
        :param counted: whether the rule that it hits here, and the table, have counted it.
        :param fields: those of its flow key that are no part of the frame.
        """
        packet = parse(frame, in_port, self.frag_handling is NX_MATCH)
        packet.key |= fields
        rule = self.tables[table_id].lookup(packet.key) if counted else None
        if rule is not None:
            # It is counted on the way.
            rule.counters.packets -= 1
            rule.counters.bytes -= len(frame)
            self._lookups[table_id] -= 1
            self._matches[table_id] -= 1
        self.process(Run(self, packet, in_port), table_id, packet.key)

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """See :meth:`drivers.interfaces.IDriver.packet_out`."""
        packet = parse(data, in_port, self.frag_handling is NX_MATCH)
        run = Run(self, packet, in_port)
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
        ports = self.decide(run).ports
        if ports:
            frame = run.packet.frame()
            for port in ports:
                run.send(port, frame)

    def decide(self, run: Run) -> Decision:
        """Where NORMAL sends a packet."""
        return self._normal.decide(run.packet.key, run.in_port, self.now())

    def enter(self, run: Run) -> None:
        """Take a packet through the tables from the first on, unless it is one to be dropped."""
        key = run.packet.key
        if self.frag_handling is DROP and key & NW_FRAG.mask:
            return
        self.process(run, 0, key)

    def process(self, run: Run, table_id: int, key: int) -> None:
        """Take a packet through the tables.

        :param table_id: the first it is looked up in.
        :param key: the flow key by which it is looked up there.
        """
        packet = run.packet
        size = len(packet.data)
        now = self.now
        leaves = self.leaves
        while table_id >= 0:
            run.table_id = table_id
            rule = self.tables[table_id].lookup(key)
            run.rule = rule
            if leaves is not None and rule is not None and leaves(run, rule, key):
                return
            self._lookups[table_id] += 1
            if rule is None:
                if self.missed(run):
                    self.packet_in(run, PacketInReason.NO_MATCH, None)
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
                    break
            else:
                if program.clear:
                    run.pending = None
                if program.write:
                    run.pending = {**run.pending, **program.write} if run.pending else program.write
                if program.keep != -1:
                    packet.key = packet.key & program.keep | program.metadata
                table_id = program.goto
                key = packet.key
                continue
            break
        if run.pending and not run.nested:
            run.execute_set()

    def _compile(self, instructions: Instructions) -> Program:
        if len(self._programs) >= MAX_PROGRAMS:
            self._programs.clear()
        program = self.compile(instructions)
        # Kept beside it, the list cannot die and leave its identity to another.
        self._programs[id(instructions)] = (instructions, program)
        return program

    def compile(self, instructions: Instructions) -> Program:
        """The program of a rule's instructions."""
        return compile_instructions(instructions)

    def missed(self, run: Run) -> bool:
        """Whether a packet that hit no rule goes to the controllers."""
        host = self.host
        if host is None or not host.miss_to_controller:
            return False
        return run.table_id == 0 and not run.nested

    def packet_in(self, run: Run, reason: int, max_len: int | None, controller_id: int = 0) -> None:
        """Send a packet to the controllers, unless the port it came from says not to for misses."""
        host = self.host
        if host is None:
            return
        if reason == PacketInReason.NO_MATCH:
            port = self.ports.get(run.in_port)
            if port is not None and port.config & NO_PACKET_IN:
                return
        rule = run.rule
        self.tell(
            run,
            PacketInEvent(
                run.packet.frame(),
                run.in_port,
                reason,
                run.packet.key,
                run.table_id,
                rule.cookie if rule is not None else NO_COOKIE,
                max_len,
                controller_id,
            ),
        )

    def tell(self, run: Run, event: PacketInEvent) -> None:
        """Hand a packet to the agent, for the controllers."""
        if self.host is not None:
            self.host.packet_in(event)

    def learn(self, request: FlowMod) -> None:
        """A packet teaches a rule."""
        if self.host is not None:
            self.host.learn(request)

    def reduce_timeouts(self, run: Run, idle_timeout: int, hard_timeout: int) -> None:
        """A packet ends the connection that the rule it hit is about."""
        if self.host is not None and run.rule is not None:
            self.host.reduce_timeouts(run.rule, idle_timeout, hard_timeout)

    def learned_addresses(self) -> list[LearnedAddress]:
        """See :class:`drivers.abilities.IForwardingDatabase`."""
        now = self.now()
        return [
            LearnedAddress(entry.port, entry.vlan, entry.mac, now - entry.seen)
            for entry in self.addresses.entries(now)
        ]

    def learning_statistics(self) -> LearningStatistics:
        """See :class:`drivers.abilities.IForwardingDatabase`."""
        addresses = self.addresses
        addresses.expire(self.now())
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
