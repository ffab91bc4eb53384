"""The switch of one bridge: it answers requests, through one driver.

:class:`OFProto` is the face of this package.  Connections hand it decoded requests and get answers,
groups of operations in flight, or a condition to wait for; what it says by itself goes to its
observer.  It knows no connections, no bytes and no reactor beyond a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from agent.ofproto.admission import Admission, SlotCondition
from agent.ofproto.bundles import BundleCommit, Bundles
from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.expiry import Expiry
from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.flush import Flush
from agent.ofproto.ghosts import Ghosts
from agent.ofproto.groups import Group, GroupMods, outermost_first
from agent.ofproto.interfaces import IRequester, ISwitchObserver
from agent.ofproto.internal import Internal
from agent.ofproto.learning import Learning
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.leftovers import Leftovers
from agent.ofproto.meters import Meter, MeterMods
from agent.ofproto.monitors import FlowChanges
from agent.ofproto.numbered_statistics import NumberedStatistics
from agent.ofproto.operations import Operation, OperationGroup
from agent.ofproto.pipeline import UNTOLD, Pipeline
from agent.ofproto.port_requests import PortRequests
from agent.ofproto.queues import Queues
from agent.ofproto.reads import Reads
from agent.ofproto.rule import Rule
from agent.ofproto.statistics import FlowStatistics, flow_removed
from agent.ofproto.switch_requests import Identity, SwitchRequests
from agent.ofproto.table import FlowTable
from agent.ofproto.validate import Validator
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import Enqueue, Output, SetQueue
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import GroupMod, MeterMod
from drivers.abilities import IClog, ILeftovers, IRecall
from drivers.interfaces import (
    Capabilities,
    IDriver,
    IDriverHost,
    IOperation,
    IRule,
    OperationKind,
    PacketInEvent,
    Target,
)

Answer: TypeAlias = "object | list[object] | None"
Result: TypeAlias = "Answer | OperationGroup | Deferred[Answer]"
"""What :meth:`OFProto.handle` returns: nothing, replies, a group in flight, or replies later."""

RULE = Target.RULE

TO_TABLES = (Output(of.Port.TABLE),)


def _name(entry: Rule | Group | Meter) -> str:
    """An entry, for logs."""
    if isinstance(entry, Rule):
        return f"a rule of table {entry.table_id}"
    return f"number {entry.number} of the {type(entry).__name__.lower()}s"


@implementer(IDriverHost)
class OFProto:
    """One bridge's switch.

    :ivar name: the bridge's name.
    :ivar datapath_id: 64 bits.
    :ivar driver: its hardware.
    :ivar tables: the flow tables, by number.
    :ivar ledger: the operations in flight.
    :ivar changes: what becomes of rules, for those who watch.
    :ivar reads: what the driver is asked.
    :ivar flushing: the flush under way, if any.
    :ivar observer: who hears what it says by itself; set before :meth:`start`.
    :ivar reactor: the clock, for the driver.
    :ivar miss_to_controller: see :class:`drivers.interfaces.IDriverHost`.
    """

    _log = Logger()

    observer: ISwitchObserver
    tables: Sequence[FlowTable]
    ledger: OperationLedger
    flow_mods: FlowMods
    pipeline: Pipeline
    learning: Learning | None = None
    group_mods: GroupMods
    meter_mods: MeterMods
    bundles: Bundles

    def __init__(
        self,
        name: str,
        datapath_id: int,
        driver: IDriver,
        clock: IReactorTime,
        max_pending: int = 50,
        watchdog: float = 60.0,
        miss_to_controller: bool = True,
        evicting: Container[int] = (),
        description: str = "",
        version: str = "",
    ) -> None:
        """Make a switch; it is there when it was started.

        :param max_pending: groups of operations in flight.
        :param watchdog: seconds after which an operation not completed has failed; 0: never.
        :param evicting: the tables in which an ADD may evict a rule that will expire.
        """
        self.name = name
        self.datapath_id = datapath_id
        self.driver = driver
        self.reactor = clock
        self.miss_to_controller = miss_to_controller
        self._evicting = evicting
        self._identity = Identity(datapath_id, description or name, version)
        self._expirer = Internal(f"{name}<->expiry")
        self.admission = Admission(max_pending)
        self.ledger = OperationLedger(
            clock,
            driver.submit,
            self._committed,
            self.admission,
            Internal(f"{name}<->cleanup"),
            watchdog,
            self.halted,
            self._recall,
        )
        self.flushing: Flush | None = None
        self.changes = FlowChanges(name, clock)
        self.reads = Reads(name, driver, clock, lambda: self.ledger.watchdog.seconds)
        self.expiry = Expiry(clock, self.reads.refresh, self._expire, name)
        self._handlers: dict[type, Callable[[Any, IRequester], Result]] = {}
        self._ports = PortRequests(driver, self.reads, self.port_status)
        self._queues = Queues(driver, self._ports.exists)
        self._handlers |= self._ports.handlers() | self._queues.handlers()

    # --- life cycle --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the driver; tables and ports are there afterwards."""
        self.driver.start(self)
        offered = self.capabilities.tables
        self.tables = [FlowTable(table, table.table_id in self._evicting) for table in offered]
        self.changes.tables = self.tables
        self.flow_mods = FlowMods(
            self.tables,
            [Validator(table, self) for table in offered],
            self.ledger,
            self.reactor,
            Leftovers() if ILeftovers.providedBy(self.driver) else None,
        )
        self._handlers[of.FlowMod] = self.flow_mods.handle
        self._handlers |= SwitchRequests(
            self._identity, self.driver, self.tables, self.flow_mods.validators[0]
        ).handlers()
        self._handlers |= FlowStatistics(self.tables, self.reads, self.reactor).handlers()
        self.learning = Learning(
            self.tables,
            self.flow_mods,
            self.expiry,
            self.reactor,
            lambda ended: Internal(f"{self.name}<->learn", ended, of.OFP10),
        )
        self.pipeline = Pipeline(
            self.tables, self.flow_mods, Internal(f"{self.name}<->table features")
        )
        self._handlers[of.TableFeaturesRequest] = self.pipeline.handle
        self.group_mods = GroupMods(
            self.capabilities, self.flow_mods, self.ledger, self.reactor, self._ports.exists
        )
        self._handlers[GroupMod] = self.group_mods.handle
        self.meter_mods = MeterMods(self.capabilities, self.flow_mods, self.ledger, self.reactor)
        self._handlers[MeterMod] = self.meter_mods.handle
        self.bundles = Bundles(
            self.capabilities, self.flow_mods, self.group_mods, self.meter_mods, self.ledger, self
        )
        self._handlers[BundleCommit] = self.bundles.commit
        self._handlers |= NumberedStatistics(
            self.driver.capabilities,
            self.reads,
            self.tables,
            self.group_mods,
            self.meter_mods,
            self.reactor,
        ).handlers()

    def stop(self) -> Deferred[None]:
        """Forget what is in flight, and stop the driver; fires when it has stopped."""
        flushing, self.flushing = self.flushing, None
        if flushing is not None:
            flushing.stop()
        self.expiry.stop()
        if self.learning is not None:
            self.learning.stop()
        self.changes.stop()
        self.ledger.stop()
        self.reads.stop()
        return self.driver.stop()

    def halted(self) -> bool:
        """Whether somebody has halted the hardware on purpose."""
        return IClog.providedBy(self.driver) and IClog(self.driver).clogged

    def _recall(self, operations: Sequence[IOperation]) -> Container[IOperation]:
        """Have the driver take back what it can; see :class:`drivers.abilities.IRecall`."""
        driver = IRecall(self.driver, None)
        return () if driver is None else driver.recall(operations)

    @property
    def capabilities(self) -> Capabilities:
        """What the driver can do."""
        return self.driver.capabilities

    # --- requests ----------------------------------------------------------------------------

    def handle(self, request: Any, requester: IRequester) -> Result:
        """Execute a request, as far as that can be done at once.

        :returns: see :data:`Result`; replies have the request's xid.
        :raises OpenFlowError: when it is refused.
        :raises Postponed: when it has to wait; it had no effect, and is to be run again.
        """
        handler = self._handlers.get(type(request))
        if handler is None:
            raise OpenFlowError(errors.BAD_TYPE, f"{type(request).__name__} is not a request")
        if self.flushing is not None:
            raise Postponed(self.flushing)
        if not self.admission:
            return handler(request, requester)
        queued = False
        try:
            return handler(request, requester)
        except Postponed as postponed:
            queued = isinstance(postponed.condition, SlotCondition)
            raise
        finally:
            if not queued:
                # Whatever became of it, it does not use the place it may have been promised.
                self.admission.forgo(requester)

    def check(self, message: of.Message, requester: IRequester) -> None:
        """Check a message that is to be part of a bundle; see :class:`Bundles`.

        :raises OpenFlowError: when it is refused already.
        """
        self.bundles.check(message, requester)

    def forgo(self, requester: IRequester) -> None:
        """A requester cannot use now the place in flight which it may have been promised, or is
        gone; it waits for none.  What it has in flight runs on."""
        self.admission.forgo(requester)

    def flush(self) -> Flush:
        """Delete every rule, hidden ones too, every group and every meter; no request is executed
        until the condition clears."""
        if self.flushing is None:
            flusher = Internal(f"{self.name}<->flush")
            self.flushing = flush = Flush(
                self.flow_mods, self.group_mods, self.meter_mods, self.ledger, self.reactor, flusher
            )
            flush.wait().addCallback(self._flushed)
        return self.flushing

    def _flushed(self, _: None) -> None:
        if self.flushing is not None:  # and not given up, with the bridge
            self.flushing = None
            self.observer.flushed()

    def idle(self) -> Condition:
        """A condition that clears when nothing is in flight."""
        return self.ledger.idle()

    # --- what a rule may refer to (agent.ofproto.validate.Limits) ------------------------------

    @property
    def reserved_ports(self) -> frozenset[int]:
        """The reserved ports that actions may output to."""
        return self.capabilities.reserved_ports

    def has_table(self, table_id: int) -> bool:
        """Whether there is such a table in the pipeline."""
        return table_id < len(self.tables) and self.tables[table_id].active

    def has_group(self, group_id: int) -> bool:
        """Whether there is such a group.

        :raises Postponed: when something is in flight about it.
        """
        return self.group_mods.has(group_id)

    def has_meter(self, meter_id: int) -> bool:
        """Whether there is such a meter.

        :raises Postponed: when something is in flight about it.
        """
        return self.meter_mods.has(meter_id)

    def check_queue(self, action: Enqueue | SetQueue) -> None:
        """Check that a queue is there; see :class:`agent.ofproto.validate.Limits`."""
        self._queues.check(action)

    def will_forget(self) -> None:
        """What a rule teaches shall go with it; see :class:`agent.ofproto.validate.Limits`."""
        if self.learning is not None:
            self.learning.tracking = True

    # --- what the driver says (drivers.interfaces.IDriverHost) ---------------------------------

    def now(self) -> float:
        """The clock."""
        return self.reactor.seconds()

    def rules(self) -> Iterable[Rule]:
        """Every rule there should be in the hardware."""
        for table in self.tables:
            yield from table.rules

    def groups(self) -> Iterable[Group]:
        """Every group there should be in the hardware, each after those that it forwards to."""
        for stage in reversed(outermost_first(self.group_mods.table.entries.values())):
            yield from stage

    def meters(self) -> Iterable[Meter]:
        """Every meter there should be in the hardware."""
        return list(self.meter_mods.table.entries.values())

    def _entries(self) -> Iterator[Rule | Group | Meter]:
        yield from self.rules()
        yield from self.groups()
        yield from self.meters()

    def packet_in(self, event: PacketInEvent) -> None:
        """A packet for the controllers."""
        self.observer.packet_in(event)

    def port_status(self, reason: of.PortReason, desc: of.PortDesc) -> None:
        """A port changed."""
        self.observer.port_status(of.PortStatus(reason, desc))

    def learn(self, request: of.FlowMod) -> None:
        """A packet teaches a rule; not while all rules are being deleted."""
        if self.learning is not None and self.flushing is None:
            self.learning.learn(request)

    def reduce_timeouts(self, rule: IRule, idle_timeout: int, hard_timeout: int) -> None:
        """A connection ends."""
        if self.learning is not None:
            self.learning.reduce_timeouts(rule, idle_timeout, hard_timeout)

    def degraded(self, handle: int, reason: str) -> None:
        """An entry is not as it should be in the hardware."""
        self.degraded_many((handle,), reason)

    def degraded_many(self, handles: Collection[int], reason: str) -> None:
        """Many entries are not as they should be in the hardware."""
        found = [entry for entry in self._entries() if entry.handle in handles]
        for entry in found:
            entry.degraded = reason
        if found:
            self._log.warn(
                "{bridge}: {what} degraded: {reason}",
                bridge=self.name,
                what=f"{len(found)} entries are" if found[1:] else f"{_name(found[0])} is",
                reason=reason,
            )

    def restored(self, handle: int) -> None:
        """A degraded entry is right again."""
        self.restored_many((handle,))

    def restored_many(self, handles: Collection[int]) -> None:
        """Many degraded entries are right again."""
        for entry in self._entries():
            if entry.handle in handles:
                entry.degraded = ""

    # --- rules -------------------------------------------------------------------------------

    def _committed(self, operation: Operation) -> None:
        """An operation has succeeded for good."""
        if operation.place.target is not RULE or isinstance(operation.place, Ghosts):
            return
        learning = self.learning
        if learning is not None and learning.tracking:
            learning.committed(operation)
        if self.changes.watchers:
            self.changes.committed(operation)
        rule: Rule = operation.rule
        if operation.kind is OperationKind.DELETE:
            self.expiry.forget(rule)
            if rule.send_flow_removed and not rule.hidden and operation.reason != UNTOLD:
                self._flow_removed(rule, operation.reason)
        elif rule.idle_timeout or rule.hard_timeout or operation.old is not None:
            if operation.deleted and operation.old.send_flow_removed:
                self._flow_removed(operation.old, operation.reason)
            self.expiry.watch(rule)

    def _flow_removed(self, rule: Rule, reason: int) -> None:
        try:
            self.observer.flow_removed(flow_removed(rule, reason, self.now()))
        except Exception:
            # The rest of the group must end, whatever is wrong with those who are told.
            self._log.failure("{bridge}: nobody can be told of a rule", bridge=self.name)

    def _expire(self, rules: Sequence[Rule], reason: of.RemovedReason) -> None:
        self.flow_mods.delete_rules(rules, reason, self._expirer)

    # --- packets -----------------------------------------------------------------------------

    def process(self, data: bytes, in_port: int) -> None:
        """Take a packet through the tables, as if it had come in on ``in_port`` just now."""
        if data:
            self.driver.packet_out(data, in_port, TO_TABLES)
