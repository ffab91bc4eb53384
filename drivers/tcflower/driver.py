"""The tc flower driver: the kernel forwards, and through it hardware that takes its filters.

All ports of a bridge share one ingress block, in which the rules are flower filters
(:mod:`drivers.tcflower.translate`).  Requests to the kernel are on their way many at once
(:mod:`drivers.tcflower.netlink`); an operation is complete when the kernel has confirmed all its
filters, and, with ``skip_sw``, when the kernel says that they are in hardware.

Options::

    mode = "both"               # skip_hw: only in software; skip_sw: only in hardware
    unsupported = "reject"      # what flower cannot express is refused
    keep_rules = false          # whether filters stay, and forward, when the agent has stopped
    tables = 16                 # how many tables there are
    size = 100000               # how many rules each of them takes
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from agent.openflow.actions import Instructions
from agent.openflow.errors import BAD_OUT_PORT, FLOW_MOD_UNKNOWN, TABLE_FULL, OpenFlowError
from agent.openflow.messages import PortDesc, PortStats
from agent.packet.classifier import Classifier
from drivers.interfaces import (
    Capabilities,
    IDriver,
    IDriverHost,
    IOperation,
    IRule,
    OperationKind,
    TableCapabilities,
    TableCounters,
    Target,
)
from drivers.interfaces import (
    Entry as AnyEntry,
)
from drivers.options import Options, restricted
from drivers.software import system as operating_system
from drivers.software.datapath import Datapath
from drivers.software.pipeline import Pipeline as Packets
from drivers.software.ports import Ports
from drivers.software.system import System
from drivers.tcflower import pack, qdisc
from drivers.tcflower.abilities import (
    ACTIONS,
    GROUP_TYPES,
    INSTRUCTIONS,
    MATCHABLE,
    RESERVED,
    SET_ACTIONS,
)
from drivers.tcflower.actions import SHOT, Gact, TcAction
from drivers.tcflower.changes import Block, Refusal, Step
from drivers.tcflower.dump import Reader, Reading
from drivers.tcflower.ends import Ends
from drivers.tcflower.entries import Entry, Handles, Slot, placed
from drivers.tcflower.filters import BOTH, FilterFlags, Filters
from drivers.tcflower.ground import Ground
from drivers.tcflower.netlink import LOST, Dumper, Pipeline, explain
from drivers.tcflower.places import MAX_PRIORITY
from drivers.tcflower.ports import TcPort, ask_for_device, make_ports
from drivers.tcflower.probe import Probe, qdisc_of
from drivers.tcflower.template import KEPT, Template, plain
from drivers.tcflower.translate import Translation, translate
from drivers.tcflower.view import View

MAX_GROUPS: Final = 1_000_000
MAX_TEMPLATES: Final = 4096
"""How many kinds of rules are remembered."""
_WORD: Final = (1 << 64) - 1

MODES: Final = {
    "both": BOTH,
    "skip_hw": FilterFlags.SKIP_HW,
    "skip_sw": FilterFlags.SKIP_SW,
}
DEFAULT_TABLES: Final = 16
DEFAULT_SIZE: Final = 100_000
CHECK: Final = 2.0
"""Seconds after which the qdiscs are looked at again: others may have removed them."""
FEW: Final = 16
"""Of so many rules the filters are read one by one, of more of them all in a dump."""

DELETE: Final = OperationKind.DELETE
ADD: Final = OperationKind.ADD


def block_of(bridge: str) -> int:
    """The number of a bridge's block: the same in every run."""
    return 0x0F000000 | zlib.crc32(bridge.encode()) & 0xFFFFFF


def cookie_of(block: int, handle: int) -> bytes:
    """The cookie of a rule's filters: whose they are, and which rule's."""
    return b"ofag" + block.to_bytes(4, "big") + (handle & (1 << 64) - 1).to_bytes(8, "big")


def dropped(table_id: int, counted: bool) -> tuple[TcAction, ...]:
    """What becomes of packets that the kernel cannot handle: those whose TTL has ended, and first
    fragments whose checksum covers the others."""
    return (Gact(SHOT),)


@implementer(IDriver)
class TcFlowerDriver(Datapath):
    """See the module."""

    name = "tcflower"
    _log = Logger()

    def __init__(
        self,
        tables: Sequence[TableCapabilities],
        ports: Ports,
        flags: FilterFlags,
        keep_rules: bool,
        system: System,
    ) -> None:
        capabilities = Capabilities(
            tables=tuple(tables),
            hardware="Linux tc flower",
            reserved_ports=RESERVED,
            group_types=GROUP_TYPES,
            max_groups=MAX_GROUPS,
            bucket_actions=SET_ACTIONS,
        )
        self._rules: dict[int, Classifier[IRule]] = {t.table_id: Classifier() for t in tables}
        super().__init__(capabilities, Packets(self._rules, ports))
        self._sizes = {table.table_id: table.max_entries for table in tables}
        self._flags = flags
        self._keep = keep_rules
        self._system = system
        self._requests = Pipeline(system)
        self._dumper = Dumper(system)
        self._block = Block(0, self._requests)
        self._entries: dict[int, Entry] = {}
        self._slots: dict[tuple[int, int, int], tuple[Entry, Slot]] = {}
        self._handles = Handles()
        self._ends = Ends(flags)
        self._groups: dict[int, Any] = {}
        self._view = View({}, upcall=dropped)
        self._templates: dict[tuple[int, ...], tuple[Template, Translation, Instructions]] = {}
        self._cookie = b""
        self._ground = Ground({}, flags, b"")
        self._bound: set[int] = set()
        self._host: IDriverHost | None = None
        self._check: Any = None
        self._reprogram: Any = None
        self._refused = 0

    # Life.

    def start(self, host: IDriverHost) -> None:
        """Take over the devices.

        :raises OSError: when a port cannot be opened, or the host cannot do what is needed; the
            text says what is missing.
        """
        super().start(host)
        self._host = host
        self._block = Block(block_of(host.name), self._requests)
        self._cookie = cookie_of(self._block.number, 0)[:8]
        try:
            self._take_over()
            self._requests.open(host.reactor)
            self._dumper.open(host.reactor)
        except BaseException:
            self._requests.close()
            super().stop()
            raise
        for port in self._tc_ports():
            port.moved = self._port_moved
        self._check = host.reactor.callLater(CHECK, self._look)

    def _take_over(self) -> None:
        """Have the qdiscs and the filters that are always there."""
        probe = Probe(self._system)
        try:
            there = [(port.name, port.ifindex) for port in self._tc_ports() if port.ifindex]
            probe.take_over(there, self._block.number)
            self._bound = {index for _, index in there}
            self._view = self._seen()
            self._ground = Ground(self._closed(), self._flags, cookie_of(self._block.number, 0))
            if self._bound:
                probe.install(self._ground.filters(), self._block.number)
        finally:
            probe.close()

    def stop(self) -> Deferred[None]:
        """Let the devices go, with or without the filters."""
        for timer in (self._check, self._reprogram):
            if timer is not None and timer.active():
                timer.cancel()
        self._requests.close()
        self._dumper.close()
        if not self._keep and self._bound:
            probe = Probe(self._system)
            try:
                for index in sorted(self._bound):
                    probe.ask(qdisc.unbind(index, 1))
            finally:
                probe.close()
        self._bound.clear()
        for port in self._tc_ports():
            port.moved = lambda port: None
        return super().stop()

    def _seen(self) -> View:
        """The ports and groups as they are now."""
        # What was translated with another view holds no more.
        self._templates.clear()
        views = {port.number: port.view() for port in self._tc_ports() if port.ifindex}
        return View(views, self._groups, upcall=dropped)

    def _closed(self) -> dict[str, int]:
        """The devices from which nothing is taken."""
        return {p.name: p.ifindex for p in self._tc_ports() if p.closed and p.ifindex}

    def _tc_ports(self) -> list[TcPort]:
        return [cast(TcPort, port) for port in self._ports]

    # Operations.

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Ask the kernel for what the operations want."""
        for operation in operations:
            rule = operation.rule
            if operation.target is not Target.RULE:
                self._group(operation)
            elif operation.kind is DELETE:
                self._delete(operation, rule)
            else:
                self._set(operation, rule)

    def _set(self, operation: IOperation, rule: IRule) -> None:
        old = self._entries.get(rule.handle)
        if old is None and self._set_alike(operation, rule):
            return
        table = self._rules[rule.table_id]
        if old is None and table.count >= self._sizes[rule.table_id]:
            operation.complete(OpenFlowError(TABLE_FULL, f"{table.count} rules"))
            return
        try:
            wanted = self._translate(rule)
        except OpenFlowError as error:
            self._refused += 1
            operation.complete(error)
            return
        for one in self._ground.prepare(rule):
            self._block.install(one, self._ground_answered)
        former = None if old is None else old.rule
        self._program(rule, wanted, old, partial(self._was_set, operation, former))
        self._make_template(rule, wanted)

    def _make_template(self, rule: IRule, wanted: Translation) -> None:
        """Take down how a rule was done, for those that are alike."""
        if len(wanted.where) != 1 or wanted.tail or not plain(rule):
            return
        (one,) = wanted.filters()
        model = attrs.evolve(one, flags=self._flags, cookie=cookie_of(self._block.number, 0))
        template = Template(model, self._block.number)
        if template.fits(rule.match.mask):
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            # The instructions are kept, so that their identity stays theirs.
            self._templates[_shape(rule)] = template, wanted, rule.instructions

    def _set_alike(self, operation: IOperation, rule: IRule) -> bool:
        """Add a rule like another that was translated before; returns whether there is one."""
        known = self._templates.get(_shape(rule))
        table = self._rules[rule.table_id]
        if known is None or table.count >= self._sizes[rule.table_id]:
            return False
        template, translation, _ = known
        handle = self._handles()
        cookie = self._cookie + (rule.handle & _WORD).to_bytes(8, "big")
        match = rule.match
        slot = Slot((*template.place, handle), lambda: template.filter(handle, cookie, match))
        entry = Entry(rule, (slot,), translation)

        def answered(error: int, text: str) -> None:
            if error == LOST:
                done = partial(self._was_set_alike, operation, entry)
                self._block.change([Step(slot.filter)], done)
            else:
                refusal = Refusal(error, text) if error else None
                self._was_set_alike(operation, entry, refusal)

        sequence = self._requests.sequence()
        request = template.pack(sequence, handle, cookie, match.value)
        self._requests.push(sequence, request, answered)
        return True

    def _was_set_alike(self, operation: IOperation, entry: Entry, refusal: Refusal | None) -> None:
        if refusal is None:
            self._remember(entry)
        self._was_set(operation, None, refusal)

    def _translate(self, rule: IRule) -> Translation:
        """What a rule is in the kernel.

        :raises OpenFlowError: when it cannot be there.
        """
        if rule.priority > MAX_PRIORITY:
            # It outputs to NORMAL, and the like.
            raise OpenFlowError(BAD_OUT_PORT, "tc flower cannot do what the agent itself asks for")
        return translate(rule, self._view)

    def _program(
        self,
        rule: IRule,
        wanted: Translation,
        old: Entry | None,
        done: Callable[[Refusal | None], None],
    ) -> None:
        """Have a rule's filters in the place of those that it has."""
        before = () if old is None else old.slots
        cookie = cookie_of(self._block.number, rule.handle)
        answers: list[Refusal | None] = []
        entry = Entry(rule, (), wanted)
        steps: list[Step] = []

        def answered(refusal: Refusal | None) -> None:
            """The tail is there or not, and the rule's filters are there or not."""
            answers.append(refusal)
            if len(answers) < 2:
                return
            told = next((answer for answer in answers if answer is not None), None)
            if told is None:
                self._forget(before)
                self._remember(entry)
                self._end_tail(old)
                done(None)
            elif refusal is None:
                # There is no tail for what was changed: change it back.
                back = [Step(step.old, step.new) for step in reversed(steps)]
                self._block.change(back, lambda _: failed(told))
            else:
                failed(told)

        def failed(refusal: Refusal) -> None:
            self._end_tail(entry)
            done(refusal)

        chain = 0
        if wanted.tail:
            common = cookie_of(self._block.number, 0)
            chain = self._ends.hold(wanted.tail, self._block, common, answered)
        else:
            answers.append(None)
        pairs, gone = placed(wanted.filters(chain), before, self._handles, self._flags, cookie)
        for slot, former in pairs:
            read = None if former is None or old is None else self._reads(former, old)
            steps.append(Step(slot.filter, former.filter if former is not None else None, read))
        if old is not None:
            steps += [Step(None, slot.filter, self._reads(slot, old)) for slot in gone]
        entry.slots = tuple(slot for slot, _ in pairs)
        self._block.change(steps, answered)

    def _end_tail(self, entry: Entry | None) -> None:
        """A rule does not end in its tail any more."""
        if entry is not None and entry.translation is not None and entry.translation.tail:
            self._ends.let_go(entry.translation.tail, self._block)

    def _group(self, operation: IOperation) -> None:
        """Have a group as an operation wants it, and the rules that lead there."""
        number = operation.rule.group_id
        self.set_numbered(operation)
        if operation.kind is DELETE:
            self._groups.pop(number, None)
        else:
            self._groups[number] = operation.rule
        self._view = self._seen()
        waiting = [
            entry
            for entry in self._entries.values()
            if entry.translation is not None and number in entry.translation.groups
        ]
        left = len(waiting) + 1

        def ready() -> None:
            nonlocal left
            left -= 1
            if not left:
                operation.complete()

        for entry in waiting:
            self._again(entry, ready)
        ready()

    def _reads(self, slot: Slot, entry: Entry) -> Callable[[Reading], None]:
        """What takes the last counters of a filter."""
        assert self._host is not None
        now = self._host.now
        counters = entry.counters
        return lambda reading: slot.read(reading, counters, now())

    def _was_set(
        self, operation: IOperation, former: IRule | None, refusal: Refusal | None
    ) -> None:
        if refusal is None:
            self._rules[operation.rule.table_id].put(operation.rule)
            operation.complete()
        else:
            self._refused += 1
            if refusal.broken and former is not None and self._host is not None:
                self._host.degraded(former.handle, str(refusal))
            operation.complete(OpenFlowError(FLOW_MOD_UNKNOWN, f"tc flower: {refusal}"))

    def _delete(self, operation: IOperation, rule: IRule) -> None:
        entry = self._entries.get(rule.handle)
        if entry is None:
            operation.complete()
            return

        def answered(refusal: Refusal | None) -> None:
            if refusal is None:
                self._entries.pop(rule.handle, None)
                self._forget(entry.slots)
                self._end_tail(entry)
                self._rules[rule.table_id].remove(rule.match, rule.priority)
                operation.complete()
            else:
                operation.complete(OpenFlowError(FLOW_MOD_UNKNOWN, f"tc flower: {refusal}"))

        self._block.change(
            [Step(None, slot.filter, self._reads(slot, entry)) for slot in entry.slots], answered
        )

    def _remember(self, entry: Entry) -> None:
        self._entries[entry.rule.handle] = entry
        for slot in entry.slots:
            self._slots[slot.key] = entry, slot

    def _forget(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self._slots.pop(slot.key, None)

    def _ground_answered(self, error: int, text: str) -> None:
        if error:
            self._log.error("tc flower: {why}", why=explain(error, text))

    # Ports.

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """Change a port's configuration, and the filters that depend on it.

        :raises OpenFlowError: PORT_MOD_FAILED/BAD_PORT or BAD_CONFIG.
        """
        desc = super().port_mod(port_no, config, mask)
        self._later()
        return desc

    def _port_moved(self, port: TcPort) -> None:
        """A port's device is there now, or is gone."""
        self._bound &= {other.ifindex for other in self._tc_ports()}
        if port.ifindex:
            self._bind(port)
        self._later()

    def _bind(self, port: TcPort) -> None:
        """Make a device's ingress part of the block."""
        index = port.ifindex
        number = self._block.number

        def answered(error: int, text: str) -> None:
            if error:
                self._log.error(
                    "port {name} is not part of the bridge: {why}",
                    name=port.name,
                    why=explain(error, text),
                )
                return
            first = not self._bound
            self._bound.add(index)
            if first:
                self._install_all()

        self._block.request(lambda n: qdisc.bind(index, number, n), answered)

    def _later(self) -> None:
        """Translate all rules again, after this turn."""
        if self._host is not None and (self._reprogram is None or not self._reprogram.active()):
            self._reprogram = self._host.reactor.callLater(0, self._translate_again)

    def _translate_again(self) -> None:
        install, remove = self._ground.change(self._closed())
        for one in install:
            self._block.install(one, self._ground_answered)
        for one in remove:
            self._block.remove(one, self._ground_answered)
        view = self._seen()
        if view == self._view:
            return
        self._view = view
        for entry in list(self._entries.values()):
            if entry.translation is not None and entry.translation.ports:
                self._again(entry, lambda: None)

    def _again(self, entry: Entry, ready: Callable[[], None]) -> None:
        """Translate a rule again, and change what has become of it."""
        try:
            wanted = self._translate(entry.rule)
        except OpenFlowError as error:
            self._degrade(entry, str(error))
            ready()
            return
        if wanted == entry.translation:
            ready()
            return

        def answered(refusal: Refusal | None) -> None:
            if refusal is not None:
                self._degrade(entry, str(refusal))
            ready()

        self._program(entry.rule, wanted, entry, answered)

    def _degrade(self, entry: Entry, why: str) -> None:
        if self._host is not None:
            self._host.degraded(entry.rule.handle, why)

    # Living with others.

    def _look(self) -> None:
        """See whether the qdiscs are still there."""
        assert self._host is not None
        there: dict[int, int] = {}

        def take(data: bytes, kind: int, at: int, length: int) -> None:
            device = qdisc_of(data, at, length)
            if device is not None:
                there[device[0]] = device[1]

        done = self._dumper.dump(qdisc.dump, take)
        done.addCallback(lambda _: self._looked(there))
        done.addErrback(lambda failure: self._log.failure("cannot look at qdiscs", failure))
        self._check = self._host.reactor.callLater(CHECK, self._look)

    def _looked(self, there: Mapping[int, int]) -> None:
        gone = {index for index in self._bound if there.get(index) != self._block.number}
        if not gone:
            return
        self._bound -= gone
        ports = [port for port in self._tc_ports() if port.ifindex in gone]
        for port in ports:
            self._log.warn("{name}: somebody has removed the clsact qdisc", name=port.name)
        if not self._bound:
            for entry in self._entries.values():
                self._degrade(entry, "somebody has removed the clsact qdiscs")
        for port in ports:
            self._bind(port)

    def _install_all(self) -> None:
        """The block is a new one: put everything into it."""
        for one in self._ground.filters():
            self._block.install(one, self._ground_answered)
        for entry in self._entries.values():
            for slot in entry.slots:
                slot.packets = slot.bytes = 0
            tail: Filters = ()
            if entry.translation is not None and entry.translation.tail:
                # Several rules may have one tail; to install it again comes to the same.
                common = cookie_of(self._block.number, 0)
                tail = self._ends.filters(entry.translation.tail, common)
            steps = [Step(one) for one in (*tail, *(slot.filter for slot in entry.slots))]
            self._block.change(steps, partial(self._installed, entry))

    def _installed(self, entry: Entry, refusal: Refusal | None) -> None:
        if self._host is None:
            return
        if refusal is None:
            self._host.restored(entry.rule.handle)
        else:
            self._degrade(entry, str(refusal))

    # Statistics.

    def refresh(self, rules: Sequence[AnyEntry]) -> Deferred[None]:
        """Read what the filters have counted."""
        assert self._host is not None
        now = self._host.now
        entries = [self._entries[rule.handle] for rule in rules if rule.handle in self._entries]
        slots = [(entry, slot) for entry in entries for slot in entry.slots]
        if not slots:
            return succeed(None)
        if len(slots) > FEW:
            return self._dumper.dump(self._ask_all, self._taker())
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
                    reading, entry.counters, now()
                ),
            )
        return done

    def _ask_all(self, sequence: int) -> bytes:
        number = self._block.number
        return pack.message(pack.RTM_GETTFILTER, pack.NLM_F_DUMP, sequence, number, (0, 0, 0))

    def _taker(self) -> Callable[[bytes, int, int, int], None]:
        """What takes the messages of a dump."""
        assert self._host is not None
        now = self._host.now()
        read = Reader().read
        find = self._slots.get

        def take(data: bytes, kind: int, at: int, length: int) -> None:
            reading = read(data, at, length)
            if reading is not None:
                found = find((reading.chain, reading.pref, reading.handle))
                if found is not None:
                    found[1].read(reading, found[0].counters, now)

        return take

    def port_stats(self) -> Deferred[list[PortStats]]:
        """What the devices have counted."""
        ports = self._tc_ports()
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

        for port in there:

            def hear(data: bytes, at: int, length: int, port: TcPort = port) -> None:
                found[port.number] = port.with_device(data, at, length)

            sequence = self._requests.sequence()
            self._requests.push(sequence, ask_for_device(port.ifindex, sequence), answered, hear)
        return done

    def table_stats(self) -> Deferred[Mapping[int, TableCounters]]:
        """The kernel does not count by table."""
        return succeed({})

    def show(self) -> Mapping[str, object]:
        """How much is in the kernel, and where."""
        hardware = sum(
            bool(slot.flags & FilterFlags.IN_HW)
            for entry in self._entries.values()
            for slot in entry.slots
        )
        return {
            "block": self._block.number,
            "mode": next(name for name, flags in MODES.items() if flags == self._flags),
            "devices": len(self._bound),
            "rules": len(self._entries),
            "filters": len(self._slots),
            "in hardware": hardware,
            "refused": self._refused,
            "requests": self._requests.sent,
            "lost answers": self._requests.lost,
            "waiting": self._requests.pending,
        }


def _shape(rule: IRule) -> tuple[int, ...]:
    """What rules have in common that one template is for.

    Equal instructions are mostly one object; where they are not, there is another template.
    """
    match = rule.match
    return (
        rule.table_id,
        rule.priority,
        match.mask,
        match.value & KEPT,
        id(rule.instructions),
    )


def create(
    options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
) -> TcFlowerDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    given = Options(options)
    mode = given.one_of("mode", tuple(MODES), "both")
    given.one_of("unsupported", ("reject",), "reject")
    keep = given.flag("keep_rules", False)
    count = given.integer("tables", 1, 254, DEFAULT_TABLES)
    size = given.integer("size", 1, 1 << 24, DEFAULT_SIZE)
    given.finish()
    offered = [
        TableCapabilities(
            table_id,
            f"table{table_id}",
            size,
            match_mask=MATCHABLE,
            actions=ACTIONS,
            write_actions=SET_ACTIONS,
            instructions=INSTRUCTIONS,
        )
        for table_id in range(count)
    ]
    system = operating_system.SYSTEM
    return TcFlowerDriver(
        restricted(offered, tables), make_ports(ports, system), MODES[mode], keep, system
    )
