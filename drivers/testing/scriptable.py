"""A driver whose operations end when and how a test says.

It has no hardware.  What it is told to do it holds, in order, until the test ends each operation:
well, with an error, twice, late, or never.  What a real driver with this fate would have in its
hardware is kept beside it, so that a test can compare the agent's tables with it; and what the
agent did against the contract is written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from agent.openflow.actions import Actions, groups_in, groups_of, meters_of
from agent.openflow.errors import FLOW_MOD_UNKNOWN, PORT_BAD_PORT, OpenFlowError
from agent.openflow.messages import PortDesc, PortStats
from drivers.abilities import ILeftovers, IRecall
from drivers.interfaces import (
    Capabilities,
    Entry,
    IDriver,
    IDriverHost,
    IGroup,
    IMeter,
    IOperation,
    IRule,
    OperationKind,
    TableCapabilities,
    TableCounters,
    Target,
)


@attrs.frozen
class SentPacket:
    """A packet-out, as the agent asked for it."""

    data: bytes
    in_port: int
    actions: Actions


def _two_tables() -> Capabilities:
    return Capabilities(
        tables=(TableCapabilities(0, "table0", 1000), TableCapabilities(1, "table1", 1000))
    )


def _two_ports() -> list[PortDesc]:
    return [PortDesc(number, 0x020000000000 + number, f"p{number}") for number in (1, 2)]


def _entry(operation: IOperation) -> tuple[object, ...]:
    """What no two entries of a bridge have the same, at any time."""
    entry = operation.rule
    if operation.target is Target.GROUP:
        return "group", entry.group_id
    if operation.target is Target.METER:
        return "meter", entry.meter_id
    if operation.target is Target.LEFT:
        return "left", entry.handle
    return entry.table_id, entry.match.mask, entry.match.value, entry.priority


def _names(target: Target, entry: Any) -> set[tuple[Target, int]]:
    """The groups and meters that an entry refers to."""
    if target is Target.RULE:
        return {(Target.GROUP, number) for number in groups_of(entry.instructions)} | {
            (Target.METER, number) for number in meters_of(entry.instructions)
        }
    if target is Target.GROUP:
        return {(target, number) for b in entry.buckets for number in groups_in(b.actions)}
    return set()


@implementer(IDriver, IRecall)
@attrs.define(eq=False)
class ScriptableDriver:
    """See the module.

    :ivar capabilities: two tables of 1000 rules unless others are given.
    :ivar port_descs: two ports unless others are given.
    :ivar instant: whether operations are completed well from within :meth:`submit`.
    :ivar hold_reads: whether :meth:`refresh`, :meth:`port_stats` and :meth:`table_stats` wait for
        :meth:`finish_reads`.
    :ivar recalls: whether it takes back what is given up and has not ended; otherwise that is lost.
    :ivar batches: what each :meth:`submit` was given.
    :ivar in_flight: the operations that have not ended, in the order of arrival.
    :ivar lost: the operations that never will, unless :meth:`finish` is called with one.
    :ivar hardware: the rules that really are in the hardware, by handle.
    :ivar groups: the groups that are, by number.
    :ivar meters: the meters that are, by number.
    :ivar refreshed: the entries of each call of :meth:`refresh`.
    :ivar packets: the packet-outs.
    :ivar counters: what :meth:`port_stats` answers.
    :ivar lookups: what :meth:`table_stats` answers.
    :ivar violations: what the agent did that the contract forbids, in words; a test asserts that
        there is nothing.
    """

    name: str = "scriptable"
    capabilities: Capabilities = attrs.Factory(_two_tables)
    port_descs: list[PortDesc] = attrs.Factory(_two_ports)
    instant: bool = False
    hold_reads: bool = False
    recalls: bool = False
    host: IDriverHost | None = None
    stopped: bool = False
    batches: list[list[IOperation]] = attrs.Factory(list)
    in_flight: list[IOperation] = attrs.Factory(list)
    lost: list[IOperation] = attrs.Factory(list)
    hardware: dict[int, IRule] = attrs.Factory(dict)
    groups: dict[int, IGroup] = attrs.Factory(dict)
    meters: dict[int, IMeter] = attrs.Factory(dict)
    refreshed: list[list[Entry]] = attrs.Factory(list)
    packets: list[SentPacket] = attrs.Factory(list)
    counters: list[PortStats] = attrs.Factory(list)
    lookups: dict[int, TableCounters] = attrs.Factory(dict)
    violations: list[str] = attrs.Factory(list)
    _reads: list[tuple[Deferred[Any], Any]] = attrs.Factory(list)
    _busy: set[tuple[object, ...]] = attrs.Factory(set)
    _unsure: bool = False

    # What a test does.

    def finish(self, which: int | IOperation = 0) -> IOperation:
        """End an operation well.

        :param which: the place in :attr:`in_flight`, or the operation itself, also a lost one.
        """
        operation = self._take(which)
        self._apply(operation)
        operation.complete()
        return operation

    def fail(self, which: int | IOperation = 0, error: Exception | None = None) -> IOperation:
        """End an operation with an error; FLOW_MOD_FAILED/UNKNOWN unless another is given."""
        operation = self._take(which)
        operation.complete(error or OpenFlowError(FLOW_MOD_UNKNOWN, "made to fail by a test"))
        return operation

    def duplicate(self, which: int | IOperation = 0) -> IOperation:
        """End an operation well, and say so twice."""
        operation = self.finish(which)
        operation.complete()
        return operation

    def lose(self, which: int | IOperation = 0, *, done: bool = False) -> IOperation:
        """Forget an operation, as a driver does whose hardware never answers.

        :param done: whether the hardware has done it nevertheless.
        """
        operation = self._take(which)
        if done:
            self._apply(operation)
        self.lost.append(operation)
        self._unsure = True
        return operation

    def finish_all(self, order: Iterable[int] | None = None) -> int:
        """End all operations well, also those that become ready meanwhile; returns how many.

        :param order: the places in :attr:`in_flight` as it is now, in the order in which they
            shall end, before the rest.
        """
        count = 0
        for operation in [self.in_flight[place] for place in order or ()]:
            self.finish(operation)
            count += 1
        while self.in_flight:
            self.finish()
            count += 1
        return count

    def finish_reads(self) -> None:
        """Answer the reads that :attr:`hold_reads` held."""
        reads, self._reads = self._reads, []
        for deferred, answer in reads:
            deferred.callback(answer)

    def _take(self, which: int | IOperation) -> IOperation:
        operation = self.in_flight[which] if isinstance(which, int) else which
        for held in (self.in_flight, self.lost):
            if operation in held:
                held.remove(operation)
                self._busy.discard(_entry(operation))
                return operation
        raise ValueError(f"{operation!r} is neither in flight nor lost")

    def _apply(self, operation: IOperation) -> None:
        place, key = self._place(operation)
        if operation.kind is OperationKind.DELETE:
            place.pop(key, None)
        else:
            place[key] = operation.rule

    def _place(self, operation: IOperation) -> tuple[dict[int, Any], int]:
        """Where the hardware has an entry, and under which key."""
        if operation.target is Target.GROUP:
            return self.groups, operation.rule.group_id
        if operation.target is Target.METER:
            return self.meters, operation.rule.meter_id
        if operation.target is Target.LEFT:
            return {}, operation.rule.handle
        return self.hardware, operation.rule.handle

    # What the agent does.

    def start(self, host: IDriverHost) -> None:
        """See :class:`drivers.interfaces.IDriver`, like the rest."""
        if self.host is not None:
            self.violations.append("started twice")
        self.host = host

    def stop(self) -> Deferred[None]:
        """Forget what is in flight."""
        if self.stopped or self.host is None:
            self.violations.append("stopped twice, or before it was started")
        self.stopped = True
        self.lost += self.in_flight
        self.in_flight = []
        self._busy.clear()
        self.finish_reads()
        return succeed(None)

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Hold the operations, in order."""
        self._use("submit")
        self.batches.append(list(operations))
        for operation in operations:
            self._check(operation)
            self.in_flight.append(operation)
        if self.instant:
            for operation in operations:
                self.finish(operation)

    def recall(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """See :class:`drivers.abilities.IRecall`."""
        self._use("recall")
        held = [operation for operation in operations if operation in self.in_flight]
        for operation in held:
            self.lose(operation)
        if not self.recalls:
            return []
        for operation in held:
            self.lost.remove(operation)
        return held

    def _use(self, what: str) -> None:
        if self.host is None or self.stopped:
            self.violations.append(f"{what} before start or after stop")

    def _check(self, operation: IOperation) -> None:
        """Write down what the agent must not ask for."""
        rule, kind = operation.rule, operation.kind
        what = f"{kind.value} of {rule.handle}"
        target = operation.target
        entry = _entry(operation)
        if entry in self._busy:
            self.violations.append(f"{what} while another operation on it is in flight")
        self._busy.add(entry)
        if target is Target.RULE:
            if rule.table_id not in {table.table_id for table in self.capabilities.tables}:
                self.violations.append(f"{what} in table {rule.table_id}, which there is not")
        elif target is Target.LEFT:
            if not ILeftovers.providedBy(self):
                self.violations.append(f"{what}: nothing is left of an earlier run")
        elif not (
            self.capabilities.group_types
            if target is Target.GROUP
            else self.capabilities.max_meters
        ):
            self.violations.append(f"{what}: there are no {target.value}s")
        if kind is OperationKind.DELETE:
            if any((target, entry[-1]) in names for names in self._named()):
                self.violations.append(f"{what}, a {target.value} which is in use")
        else:
            for other, number in _names(target, rule):
                if number not in (self.groups if other is Target.GROUP else self.meters):
                    self.violations.append(f"{what} before {other.value} {number} is there")
        if kind is OperationKind.ADD:
            if operation.old is not None:
                self.violations.append(f"{what} with an old rule")
        elif operation.old is None:
            self.violations.append(f"{what} without the old rule")
        elif operation.old.handle != rule.handle:
            self.violations.append(f"{what} with the old rule of {operation.old.handle}")
        elif (
            kind is OperationKind.MODIFY
            and target is Target.RULE
            and operation.old.counters is not operation.rule.counters
        ):
            self.violations.append(f"{what} with other counters")
        if kind is OperationKind.ADD and target is Target.RULE:
            self._check_room(rule.table_id, what)

    def _check_room(self, table_id: int, what: str) -> None:
        """An ADD needs a place that no rule has, nor may have; once something was lost, nobody
        knows what has one."""
        if self._unsure:
            return
        handles = {rule.handle for rule in self.hardware.values() if rule.table_id == table_id}
        handles |= {
            operation.rule.handle
            for operation in self.in_flight
            if operation.target is Target.RULE and operation.rule.table_id == table_id
        }
        most = [one.max_entries for one in self.capabilities.tables if one.table_id == table_id]
        if most and len(handles) >= most[0]:
            self.violations.append(f"{what} in table {table_id}, which is full")

    def _named(self) -> Iterator[set[tuple[Target, int]]]:
        for rule in self.hardware.values():
            yield _names(Target.RULE, rule)
        for group in self.groups.values():
            yield _names(Target.GROUP, group)

    def _read(self, answer: Any) -> Deferred[Any]:
        if not self.hold_reads:
            return succeed(answer)
        deferred: Deferred[Any] = Deferred()
        self._reads.append((deferred, answer))
        return deferred

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Remember which; their counters are for the test to write."""
        self._use("refresh")
        self.refreshed.append(list(rules))
        return self._read(None)

    def ports(self) -> Sequence[PortDesc]:
        """The ports, as they are now."""
        return [attrs.evolve(desc) for desc in self.port_descs]

    def port_stats(self) -> Deferred[list[PortStats]]:
        """What :attr:`counters` says."""
        return self._read(list(self.counters))

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """What :attr:`lookups` says."""
        return self._read(dict(self.lookups))

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """Change any bit of a port's configuration."""
        for desc in self.port_descs:
            if desc.port_no == port_no:
                desc.config = desc.config & ~mask | config & mask
                return attrs.evolve(desc)
        raise OpenFlowError(PORT_BAD_PORT, f"there is no port {port_no:#x}")

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """Remember the packet."""
        self._use("packet_out")
        self.packets.append(SentPacket(data, in_port, actions))

    def show(self) -> Mapping[str, object]:
        """How many operations are where."""
        return {"in flight": len(self.in_flight), "lost": len(self.lost)}
