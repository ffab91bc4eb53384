"""A driver for a small switching chip that is programmed over a serial line.

The chip has one table, which sends packets to ports, and takes some milliseconds for each command.
The serial line is reached through a console server, so that it is a TCP connection here.

Options::

    address = "tcp:192.0.2.9:2001"      # where the line is, as Twisted writes endpoints
    size = 64                           # how many entries the chip has
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import clientFromString
from twisted.logger import Logger
from zope.interface import implementer

from agent.openflow import fields
from agent.openflow.actions import Actions, ApplyActions, Output
from agent.openflow.errors import PORT_BAD_CONFIG, PORT_BAD_PORT, OpenFlowError
from agent.openflow.messages import Port, PortDesc, PortStats
from drivers.abilities import IRecall
from drivers.interfaces import (
    Capabilities,
    Entry,
    IDriver,
    IDriverHost,
    IOperation,
    IRule,
    OperationKind,
    OptionError,
    TableCapabilities,
    TableCounters,
)
from drivers.options import Options, restricted
from lineswitch.line import ChipError, Command, Line

MATCHED = (
    fields.IN_PORT,
    fields.ETH_DST,
    fields.ETH_SRC,
    fields.ETH_TYPE,
    fields.IP_PROTO,
    fields.IPV4_SRC,
    fields.IPV4_DST,
)
"""What the chip can compare, each with any mask."""

PORT_DOWN = 1
"""``OFPPC_PORT_DOWN``."""

MAX_PACKETS = 20
"""How many packets of controllers may wait for the line, which has more important things to do."""


@attrs.define(eq=False)
class Slot:
    """An entry that the chip has confirmed.

    :ivar number: its place in the chip.
    :ivar packets: what of its counters the rule has been told; likewise ``bytes``.
    """

    number: int
    rule: IRule
    packets: int = 0
    bytes: int = 0


@implementer(IDriver, IRecall)
class LineDriver:
    """See the module.

    :ivar slots: what the chip has, by the handles of the rules.
    """

    name = "lineswitch"
    _log = Logger()

    def __init__(self, address: str, table: TableCapabilities, ports: Sequence[Any]) -> None:
        self.capabilities = Capabilities(
            (table,),
            hardware="chip behind a serial line",
            counts_ports=False,
            reserved_ports=frozenset({Port.ALL}),
        )
        self.slots: dict[int, Slot] = {}
        self._address = address
        self._ports = {
            entry.number: PortDesc(entry.number, 0x020000000000 + entry.number, entry.name)
            for entry in sorted(ports, key=lambda entry: entry.number)
        }
        self._host: IDriverHost
        self._line: Line
        self._refreshing: dict[Deferred[None], None] = {}

    # --- life -------------------------------------------------------------------------------

    def start(self, host: IDriverHost) -> None:
        """Dial.  What is submitted before the chip has answered waits."""
        self._host = host
        self._line = Line(host.reactor, self._address, self._up, self._down)
        self._line.dial()

    def stop(self) -> Deferred[None]:
        """Hang up; reads that have not been answered end without having read."""
        self._end_reads()
        return self._line.stop()

    def _up(self) -> list[Command]:
        """Nobody knows what the chip has now: begin with nothing, and put everything back."""
        commands = [Command(lambda: "reset", self._ignore)]
        for number, desc in self._ports.items():
            if desc.config & PORT_DOWN:
                commands.append(Command(partial(self._port, number), self._ignore))
        for handle, slot in self.slots.items():
            slot.packets = slot.bytes = 0
            commands.append(Command(partial(self._write, slot), partial(self._restored, handle)))
        for command in commands:
            command.about = self
        return commands

    def _down(self) -> None:
        """The line broke: the agent shall not believe in what it has confirmed."""
        kept = [command for command in self._line.waiting if command.about is not self]
        self._line.waiting.clear()
        self._line.waiting.extend(kept)
        self._end_reads()
        self._host.degraded_many(list(self.slots), "the line to the chip is down")

    def _restored(self, handle: int, numbers: list[int], error: ChipError | None) -> None:
        if error is None:
            self._host.restored(handle)
        else:
            self._host.degraded(handle, f"the chip says: {error}")

    def _ignore(self, numbers: list[int], error: ChipError | None) -> None:
        if error is not None:
            self._log.warn("{bridge}: the chip says: {error}", bridge=self._host.name, error=error)

    # --- operations -------------------------------------------------------------------------

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Ask for each, in the order of arrival."""
        self._line.ask(
            *(
                Command(partial(self._begin, one), partial(self._end, one), one)
                for one in operations
            )
        )

    def recall(self, operations: Sequence[IOperation]) -> set[IOperation]:
        """Take back what the chip has not been told."""
        waiting = self._line.waiting
        about = {command.about for command in waiting}
        found = {operation for operation in operations if operation in about}
        kept = [command for command in waiting if command.about not in found]
        waiting.clear()
        waiting.extend(kept)
        return found

    def _begin(self, operation: IOperation) -> str:
        """The command that does it, now that everything before it has been done."""
        rule = operation.rule
        slot = self.slots.get(rule.handle)
        if operation.kind is OperationKind.DELETE:
            return "" if slot is None else f"clear {slot.number}"
        if slot is None:
            return self._write(Slot(self._free(), rule))
        word = "restart" if operation.kind is OperationKind.REPLACE else "change"
        return f"{word} {slot.number} {self._outputs(rule)}"

    def _end(self, operation: IOperation, numbers: list[int], error: ChipError | None) -> None:
        """The chip has done it, or refused; either way it has said so."""
        if error is not None:
            operation.complete(error)
            return
        rule = operation.rule
        slot = self.slots.get(rule.handle)
        if slot is None:
            if operation.kind is not OperationKind.DELETE:
                self.slots[rule.handle] = Slot(self._free(), rule)
        elif operation.kind is OperationKind.DELETE:
            self._count(slot, numbers, None)
            del self.slots[rule.handle]
        else:
            if operation.kind is OperationKind.REPLACE:
                self._count(slot, numbers, None)
                slot.packets = slot.bytes = 0
            slot.rule = rule
        operation.complete()

    def _free(self) -> int:
        """A place that nothing is in; the agent never asks for more entries than there are."""
        used = {slot.number for slot in self.slots.values()}
        return next(number for number in range(len(used) + 1) if number not in used)

    def _write(self, slot: Slot) -> str:
        rule = slot.rule
        wanted = ",".join(
            f"{field.name}={value:x}/{mask:x}"
            for field in MATCHED
            for value, mask in [rule.match.get(field)]
            if mask
        )
        return f"write {slot.number} {rule.priority} {wanted or '*'} {self._outputs(rule)}"

    def _outputs(self, rule: IRule) -> str:
        """Where a rule sends to: there is at most one instruction, and it only has outputs."""
        applied = [one.actions for one in rule.instructions if isinstance(one, ApplyActions)]
        return self._numbers(applied[0] if applied else ()) or "-"

    def _numbers(self, actions: Actions) -> str:
        wanted = {action.port for action in actions if isinstance(action, Output)}
        return ",".join(str(n) for n in self._ports if n in wanted or Port.ALL in wanted)

    # --- counters ---------------------------------------------------------------------------

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Read the counters of these rules, as far as the chip has them and can be asked."""
        if not self._line.connected:
            return succeed(None)
        reads = gatherResults([self._read(rule.handle) for rule in rules])
        return reads.addCallback(lambda _: None)

    def _read(self, handle: int) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._refreshing[done] = None
        done.addBoth(lambda _: self._refreshing.pop(done))

        def begin() -> str:
            slot = self.slots.get(handle)
            return "" if slot is None or done.called else f"read {slot.number}"

        def end(numbers: list[int], error: ChipError | None) -> None:
            slot = self.slots.get(handle)
            if slot is not None:
                self._count(slot, numbers, error)
            if not done.called:
                done.callback(None)

        self._line.ask(Command(begin, end))
        return done

    def _end_reads(self) -> None:
        """Nobody shall wait for a chip that cannot be asked."""
        for waiting in list(self._refreshing):
            waiting.callback(None)

    def _count(self, slot: Slot, numbers: list[int], error: ChipError | None) -> None:
        """Add what has been counted since the last time."""
        if error is not None or len(numbers) != 2:
            return
        packets, octets = numbers
        counters = slot.rule.counters
        if packets > slot.packets:
            counters.packets += packets - slot.packets
            counters.bytes += octets - slot.bytes
            counters.used = self._host.now()
        slot.packets, slot.bytes = packets, octets

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """The chip does not count lookups."""
        return succeed({})

    # --- ports ------------------------------------------------------------------------------

    def ports(self) -> Sequence[PortDesc]:
        """Those of the configuration."""
        return list(self._ports.values())

    def port_stats(self) -> Deferred[list[PortStats]]:
        """The chip does not count what passes its ports."""
        return succeed([])

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """A port can be taken down and up, and nothing else.

        :raises OpenFlowError: as :meth:`drivers.interfaces.IDriver.port_mod` says.
        """
        desc = self._ports.get(port_no)
        if desc is None:
            raise OpenFlowError(PORT_BAD_PORT, f"there is no port {port_no:#x}")
        if (config ^ desc.config) & mask & ~PORT_DOWN:
            raise OpenFlowError(PORT_BAD_CONFIG, "the chip can only take ports down")
        wanted = desc.config & ~mask | config & mask
        if wanted != desc.config:
            self._ports[port_no] = desc = attrs.evolve(desc, config=wanted)
            self._line.ask(Command(partial(self._port, port_no), self._ignore))
        return desc

    def _port(self, number: int) -> str:
        return f"port {number} {'down' if self._ports[number].config & PORT_DOWN else 'up'}"

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """Send a frame, unless the line is busy with too many of them."""
        waiting = sum(command.about is LineDriver.packet_out for command in self._line.waiting)
        numbers = self._numbers(actions)
        if data and numbers and waiting < MAX_PACKETS:
            line = f"send {numbers} {data.hex()}"
            self._line.ask(Command(lambda: line, self._ignore, LineDriver.packet_out))

    def show(self) -> Mapping[str, object]:
        """Facts for the operator."""
        return {
            "address": self._address,
            "line": "up" if self._line.connected else "down",
            "waiting": len(self._line.waiting),
            "entries": f"{len(self.slots)}/{self.capabilities.tables[0].max_entries}",
        }


def create(options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]) -> LineDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    given = Options(options)
    address = given.text("address")
    size = given.integer("size", 1, 65536, 64)
    given.finish()
    try:
        clientFromString(None, address)
    except ValueError:
        raise OptionError("address", address, 'must be like "tcp:HOST:PORT"') from None
    (table,) = restricted(
        [
            TableCapabilities(
                0,
                "chip",
                size,
                match_mask=reduce(or_, (field.mask for field in MATCHED)),
                actions=frozenset({Output}),
                write_actions=frozenset(),
                instructions=frozenset({ApplyActions}),
            )
        ],
        tables,
    )
    return LineDriver(address, table, ports)
