"""The tc flower driver: the kernel forwards, and through it hardware that takes its filters.

All ports of a bridge share one ingress block, in which the rules are flower filters
(:mod:`drivers.tcflower.translate`).  Requests to the kernel are on their way many at once
(:mod:`drivers.tcflower.pipeline`); an operation is complete when the kernel has confirmed all its
filters, and, with ``skip_sw``, when the kernel says that they are in hardware.  What comes
meanwhile waits for a place among them (:mod:`drivers.batches`).

What the kernel does not do itself it hands to the software (:mod:`drivers.tcflower.upcall`), which
takes a packet through the same tables from there on.

What a bridge has in the kernel is programmed by :mod:`drivers.tcflower.rules`, looked after by
:mod:`drivers.tcflower.devices` and read by :mod:`drivers.tcflower.counting`.  The options are in
:mod:`drivers.tcflower.settings`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator
from zope.interface import implementer

from agent.openflow.messages import PortDesc, PortStats
from agent.packet.classifier import Classifier
from drivers.abilities import (
    IChecking,
    ICounts,
    ILeftovers,
    IRecall,
    ISoftwareRules,
    SoftwareReason,
)
from drivers.batches import Batches, EvenCosts
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
    Target,
)
from drivers.options import restricted
from drivers.software import system as operating_system
from drivers.software.datapath import Datapath
from drivers.software.pipeline import Pipeline as Packets
from drivers.software.ports import Ports
from drivers.software.system import System
from drivers.tcflower.changes import Block
from drivers.tcflower.check import Checker, slices
from drivers.tcflower.counting import Counting
from drivers.tcflower.cpu import Cpu
from drivers.tcflower.devices import Devices
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.guard import Guard
from drivers.tcflower.lock import Lock
from drivers.tcflower.meters import BAND_TYPES, MAX_BANDS
from drivers.tcflower.meters import FLAGS as METER_FLAGS
from drivers.tcflower.monitor import Monitor
from drivers.tcflower.pipeline import Pipeline
from drivers.tcflower.policers import MAX_METERS, Policers
from drivers.tcflower.ports import TcPort, make_ports
from drivers.tcflower.promises import Promises
from drivers.tcflower.rules import Rules
from drivers.tcflower.settings import Settings
from drivers.tcflower.tables import TableCounting
from drivers.tcflower.upcall import MAX_PORTS, Upcall

MAX_GROUPS: Final = 1_000_000

SHOWN_REASONS: Final = 20
"""How many reasons for what is in software are shown, the most frequent first."""

# Looked up once, for a class of enumerations is slow to tell its members.
_RULE: Final = Target.RULE
_DELETE: Final = OperationKind.DELETE


def block_of(bridge: str) -> int:
    """The number of a bridge's block: the same in every run."""
    return 0x0F000000 | zlib.crc32(bridge.encode()) & 0xFFFFFF


@implementer(IDriver, IChecking, ICounts, ILeftovers, IRecall, ISoftwareRules)
class TcFlowerDriver(Datapath):
    """See the module."""

    name = "tcflower"
    # Made by start(), when the bridge is known.
    _lock: Lock
    _rules: Rules
    _devices: Devices
    _counting: Counting
    _table_counting: TableCounting
    _checker: Checker
    _guard: Guard
    _worker: Cooperator
    _policers: Policers
    _batches: Batches

    def __init__(
        self,
        tables: Sequence[TableCapabilities],
        ports: Ports,
        settings: Settings,
        system: System,
    ) -> None:
        abilities = settings.abilities
        capabilities = Capabilities(
            tables=tuple(tables),
            hardware="Linux tc flower",
            reserved_ports=abilities.reserved,
            group_types=abilities.group_types,
            max_groups=MAX_GROUPS,
            bucket_actions=abilities.set_actions,
            watch_types=abilities.watch_types,
            max_meters=MAX_METERS,
            max_bands=MAX_BANDS,
            band_types=BAND_TYPES,
            meter_flags=METER_FLAGS,
        )
        self._tables: dict[int, Classifier[IRule]] = {t.table_id: Classifier() for t in tables}
        super().__init__(capabilities, Packets(self._tables, ports))
        self._tc_ports = [cast(TcPort, port) for port in ports]
        self._settings = settings
        self._system = system
        self._requests = Pipeline(system)
        self._dumper = Dumper(system)
        self._promises = Promises()
        self._cpu = Cpu(system, self._arrived) if abilities.software else None

    # Life.

    def start(self, host: IDriverHost) -> None:
        """Take over the devices.

        :raises OSError: when a port cannot be opened, or the host cannot do what is needed; the
            text says what is missing.
        """
        block = Block(block_of(host.name), self._requests, host.name)
        self._block = block.number
        with ExitStack() as undo:
            self._lock = Lock(self._system, block.number, host.name)
            undo.callback(self._lock.close)
            super().start(host)
            undo.callback(super().stop)
            if self._cpu is not None:
                self._cpu.open(host.reactor, host.name)
            ports = self._tc_ports
            tables = self.capabilities.tables
            settings = self._settings
            flags = settings.flags
            self._batches = Batches(
                settings.scheduler, EvenCosts(self._room), self._ask, host.reactor.seconds
            )
            end = self._batches.end
            self._policers = Policers(block, flags, host, self._system, self.set_numbered, end)
            meters = self._policers.actions
            self._rules = Rules(
                block,
                ports,
                self._tables,
                tables,
                flags,
                host,
                meters,
                settings.patience,
                self._cpu,
                settings.fallback,
                end,
            )
            self._devices = Devices(block, ports, self._rules, self._dumper, self._system)
            undo.callback(self._devices.give_up)
            undo.callback(self._close)
            entries = self._rules.installer.entries
            self._counting = Counting(block, entries, self._dumper, host.now)
            ground = self._rules.surroundings.ground
            self._table_counting = TableCounting(block, entries, ground, self._counting, host.now)
            self._worker = slices(host.reactor)
            self._checker = Checker(
                block, ports, self._rules, flags, self._dumper, host, self._worker
            )
            self._guard = Guard(
                block,
                self._rules,
                self._devices,
                self._dumper,
                host,
                self._worker,
                settings.restore,
            )
            self._devices.take_over(settings.adopt)
            self._policers.take_over()
            self._requests.open(host.reactor)
            self._dumper.open(host.reactor)
            self._guard.open(
                Monitor(
                    self._system,
                    block.number,
                    self._devices.has,
                    self._rules.installer.ends.uses,
                    self._requests.port,
                    self._guard.suspect,
                )
            )
            undo.pop_all()
        block.doubt = lambda: self._guard.suspect(None)
        self._requests.overrun = self._guard.overrun
        self._devices.watch(lambda: self._guard.suspect(None))
        if self._cpu is not None:
            self._cpu.watch(self._requests, self._rules.surroundings.look_at_ground)

    def stop(self) -> Deferred[None]:
        """Let the devices go, with or without the filters."""
        self._batches.clear()
        self._guard.close()
        self._checker.stop()
        self._worker.stop()
        self._promises.end()
        self._close()
        self._rules.stop()
        self._devices.stop(self._settings.keep_rules)
        stopped = self._policers.stop(self._settings.keep_rules)
        stopped.addCallback(lambda _: super(TcFlowerDriver, self).stop())

        def ended(result: Any) -> Any:
            # Nothing is done to the kernel any more.
            self._lock.close()
            return result

        return stopped.addBoth(ended)

    def _close(self) -> None:
        self._requests.close()
        self._dumper.close()
        if self._cpu is not None:
            self._cpu.close()

    # Operations.

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Ask the kernel for what the operations want, when it has room."""
        self._batches.submit(operations)

    def recall(self, operations: Sequence[IOperation]) -> set[IOperation]:
        """See :class:`drivers.abilities.IRecall`."""
        return self._batches.recall(operations)

    def _room(self, table_id: int) -> int:
        """How many more rules a table takes at least, whatever is on its way."""
        return self._rules.room(table_id) - self._batches.under_way

    def _ask(self, operations: Sequence[IOperation]) -> None:
        """Ask the kernel for what the operations want."""
        for operation in operations:
            target = operation.target
            if target is _RULE:
                if operation.kind is _DELETE:
                    self._rules.delete(operation)
                else:
                    self._rules.set(operation)
            elif target is Target.GROUP:
                self._set_group(operation)
            elif target is Target.METER:
                self._policers.submit(operation)
            else:
                ended = partial(self._batches.end, operation)
                self._rules.leftovers.forget(operation.rule.tables, ended)

    def _set_group(self, operation: IOperation) -> None:
        """Change a group, when what was counted for the buckets that it has so far was read."""
        ready = self._counting.refresh_groups([operation.rule.group_id])
        ready.addBoth(lambda _: self._put_group(operation))

    def _put_group(self, operation: IOperation) -> None:
        self.set_numbered(operation)
        group = None if operation.kind is OperationKind.DELETE else operation.rule
        ended = partial(self._batches.end, operation)
        self._rules.set_group(operation.rule.group_id, group, ended)

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """Change a port's configuration, and the filters that depend on it.

        :raises OpenFlowError: PORT_MOD_FAILED/BAD_PORT or BAD_CONFIG.
        """
        desc = super().port_mod(port_no, config, mask)
        self._rules.surroundings.ports_changed()
        return desc

    # Packets.

    def _arrived(self, packet: Upcall) -> None:
        """The kernel hands a packet over."""
        if packet.place < len(self._tc_ports):
            port = self._tc_ports[packet.place]
            if not port.closed:
                self.pipeline.resume(
                    packet.frame, port.number, packet.table_id, packet.counted, packet.tunnel
                )

    def software_reasons(self) -> Mapping[int, SoftwareReason]:
        """See :class:`drivers.abilities.ISoftwareRules`."""
        return self._rules.installer.entries.in_software

    # Statistics.

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Read what the filters, or the actions of meters, have counted."""
        return self._refreshed(rules, when=True)

    def refresh_counts(self, rules: Sequence[Entry]) -> Deferred[None]:
        """See :class:`drivers.abilities.ICounts`."""
        return self._refreshed(rules, when=False)

    def _refreshed(self, rules: Sequence[Entry], when: bool) -> Deferred[None]:
        ready = self._policers.refresh(rules)
        ready.addCallback(lambda _: self._counting.refresh(rules, when))
        return self._promises.keep(ready, lambda: None)

    def port_stats(self) -> Deferred[list[PortStats]]:
        """What the devices have counted."""
        ports = self._tc_ports
        return self._promises.keep(
            self._counting.port_stats(ports), lambda: [port.stats() for port in ports]
        )

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """What is known of what the tables have counted."""
        counters = self.pipeline.table_counters
        return self._promises.keep(self._table_counting.read(self._tables, counters()), counters)

    def check(self) -> Deferred[Sequence[str]]:
        """See :class:`drivers.abilities.IChecking`."""
        return self._checker.check()

    def show(self) -> Mapping[str, object]:
        """How much is in the kernel, and where."""
        entries = self._rules.installer.entries
        return {
            "block": self._block,
            "mode": self._settings.mode,
            "devices": len(self._devices),
            "rules": len(entries),
            "filters": entries.filters,
            "in hardware": entries.in_hardware(),
            "refused": self._rules.refused,
            "left filters": len(self._rules.installer.left),
            "lost rules": self._guard.losses,
            "requests": self._requests.sent,
            "lost answers": self._requests.lost,
            "waiting": self._requests.pending,
            "waiting operations": len(self._batches),
            **self._show_software(),
        }

    def _show_software(self) -> Mapping[str, object]:
        """How much the software does, and why."""
        if self._cpu is None:
            return {}
        reasons = self.software_reasons()
        common = Counter(reason.text for reason in reasons.values()).most_common(SHOWN_REASONS)
        return {
            "in software": len(reasons),
            "reasons": "; ".join(f"{text} ({count})" for text, count in common),
            "device of the software": self._cpu.name,
            "packets to the software": self._cpu.handled,
            "of these dropped": self._cpu.dropped,
        }


def create(
    options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
) -> TcFlowerDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    settings = Settings.of(options)
    if len(ports) > MAX_PORTS:
        raise OptionError("port", len(ports), f"at most {MAX_PORTS} with this driver")
    system = operating_system.SYSTEM
    return TcFlowerDriver(
        restricted(settings.offered(), tables), make_ports(ports, system), settings, system
    )
