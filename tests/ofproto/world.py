"""A small world around the switch, in which anything may happen.

Several sessions send requests to one switch, whose driver does what it is told: well, badly, twice,
late or never.  Time passes, packets come, connections are lost.  After every step an
:class:`tests.ofproto.oracle.Oracle` looks at all there is to see.

A step is a method of :class:`World` with small numbers for arguments, which mean something in every
state.  So any sequence of steps is a scenario, and remains one when steps are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from agent.ofproto.bundles import BundleCommit, MessageFailed
from agent.ofproto.conditions import Postponed
from agent.ofproto.ghosts import Ghosts
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.errors import OpenFlowError
from drivers.abilities import IClog
from drivers.interfaces import (
    Capabilities,
    IOperation,
    OperationKind,
    TableCapabilities,
)
from drivers.testing import ScriptableDriver
from tests.ofproto.model import HIDDEN, Bundle, Order
from tests.ofproto.oracle import KNOWN, Event, Oracle, key_of
from tests.ofproto.session import BARRIER, STATISTICS, Session
from tests.ofproto.stage import REFUSED, Observer

SIZES: Final = (5, 3)
"""How many rules the tables take."""
EVICTING: Final = frozenset({1})
"""The tables in which a rule that will expire makes room."""
MAX_PENDING: Final = 2
"""How many groups may be in flight."""
WATCHDOG: Final = 8.0

Step: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""The name of a method of :class:`World`, and its arguments."""


@implementer(IClog)
@attrs.define(eq=False)
class CloggableDriver(ScriptableDriver):
    """A driver whose hardware can be halted, and which can take back every other operation."""

    clogged: bool = False

    def recall(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """Take back those about entries with even numbers; the others are lost."""
        recalled: list[IOperation] = []
        for operation in operations:
            self.recalls = operation.rule.handle % 2 == 0
            recalled += super().recall([operation])
        return recalled

    def clog(self) -> None:
        """Halt."""
        self.clogged = True
        self.instant = False

    def unclog(self) -> None:
        """Go on."""
        self.clogged = False


class World:
    """A switch, its driver, sessions, and a clock, which moves only when it is moved.

    :ivar steps: all that has happened.
    :ivar faults: what a session was told that cannot be.
    :ivar sessions: one of 1.0, two of 1.3, and a part of the agent itself.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.driver = CloggableDriver(
            capabilities=Capabilities(
                tuple(
                    TableCapabilities(number, f"table{number}", size)
                    for number, size in enumerate(SIZES)
                )
            )
        )
        self.switch = OFProto(
            "br0",
            1,
            self.driver,
            self.clock,
            max_pending=MAX_PENDING,
            watchdog=WATCHDOG,
            evicting=EVICTING,
        )
        self.switch.observer = observer = Observer()
        self.switch.start()
        self.oracle = Oracle(self.switch, self.driver, observer, self.clock)
        self._start_group = self.switch.ledger.start
        self.switch.ledger.start = self._started  # type: ignore[method-assign]
        self.steps: list[Step] = []
        self.faults: list[Exception] = []
        self.sessions = [
            Session(self, "br0<->one", of.OFP10, False),
            Session(self, "br0<->two", of.OFP13, False),
            Session(self, "br0<->three", of.OFP13, False),
            Session(self, "br0<->in-band", of.OFP13, True),
        ]
        self._xid = 0
        self._stopped = False

    # --- between sessions and switch ---------------------------------------------------------

    def next_xid(self) -> int:
        """See :class:`tests.ofproto.session.Switch`, like the rest."""
        self._xid += 1
        return self._xid

    def release(self, session: Session) -> None:
        """The session is over."""
        self.switch.forgo(session)

    def execute(self, order: Order | Bundle, xid: int, session: Session) -> OperationGroup | None:
        """Have the switch execute a FLOW_MOD or a bundle, and write down what it accepts."""
        request: of.FlowMod | BundleCommit
        if isinstance(order, Bundle):
            request = BundleCommit([one.message(xid) for one in order.orders], xid)
        else:
            if session.internal:
                order = attrs.evolve(order, priority=order.priority + HIDDEN)
            if session.version == of.OFP10:
                order = attrs.evolve(order, table=of.ALL_TABLES)
            request = order.message(xid)
        event = Event(order, self.clock.seconds(), session.version, session.internal)
        before = self._fingerprint()
        try:
            group = self.switch.handle(request, session)
        except Postponed:
            assert self._fingerprint() == before, "a postponed request had an effect"
            raise
        except OpenFlowError as error:
            assert self._fingerprint() == before, "a refused request had an effect"
            cause = error.error if isinstance(error, MessageFailed) else error
            event.error = cause.code.name
            group = None
        assert group is None or isinstance(group, OperationGroup)
        if group is not None:
            event.group, event.operations = group, tuple(group.operations)
        self.oracle.journal.append(event)
        return group

    def read(self, xid: int, session: Session) -> Deferred[Any]:
        """Have the switch answer a request for statistics, and compare the answer."""
        reading = self.switch.handle(of.FlowStatsRequest(xid=xid), session)
        assert isinstance(reading, Deferred)
        expected = sorted(
            (entry.table, entry.priority, sorted(entry.pattern), entry.cookie)
            for entry in self.oracle.expected().entries
            if entry.priority < HIDDEN
        )

        def compare(reply: Any) -> Any:
            found = sorted(
                (flow.table_id, flow.priority, sorted(KNOWN[flow.match]), flow.cookie)
                for flow in reply.flows
            )
            assert found == expected, f"statistics are {found}, not {expected}"
            return reply

        return reading.addCallback(compare)

    def _started(self, group: OperationGroup) -> None:
        """The ledger starts a group; if it is the agent's own, the journal has to hear of it."""
        operations = tuple(group.operations)
        self._start_group(group)
        if not isinstance(group.owner, Session) and not isinstance(operations[0].place, Ghosts):
            (reason,) = {operation.reason for operation in operations}
            self.oracle.journal.append(
                Event(reason, self.clock.seconds(), group=group, operations=operations)
            )

    def _fingerprint(self) -> object:
        """What a request that has no effect must leave as it is."""
        return (
            [{rule.handle: rule for rule in table.rules} for table in self.switch.tables],
            [len(table.pending) for table in self.switch.tables],
            len(self.switch.ledger.groups),
        )

    # --- steps -------------------------------------------------------------------------------

    def play(self, steps: Iterable[Step]) -> World:
        """Take steps, and look after each."""
        for name, arguments in steps:
            self.step(name, *arguments)
        return self

    def step(self, name: str, *arguments: Any) -> None:
        """Take a step, and look."""
        self.steps.append((name, arguments))
        getattr(self, name)(*arguments)
        self.look()

    def look(self) -> None:
        """Compare what can be seen with what must be."""
        for fault in self.faults:
            raise fault
        if not self._stopped:
            self.oracle.check(self.sessions)

    def order(self, which: int, order: Order) -> None:
        """A session is sent a FLOW_MOD."""
        self.sessions[which % len(self.sessions)].receive(order)

    def bundle(self, which: int, orders: Sequence[Order]) -> None:
        """A session of 1.3 commits a bundle about the first table, which does not evict."""
        bundle = Bundle(tuple(attrs.evolve(order, table=0) for order in orders))
        self.sessions[1 + which % 2].receive(bundle)

    def barrier(self, which: int) -> None:
        """A session is sent a barrier."""
        self.sessions[which % len(self.sessions)].receive(BARRIER)

    def statistics(self, which: int) -> None:
        """A session is asked for statistics."""
        self.sessions[which % len(self.sessions)].receive(STATISTICS)

    def disconnect(self, which: int) -> None:
        """A session ends, and another begins in its place."""
        which %= len(self.sessions)
        old = self.sessions[which]
        old.disconnect()
        self.sessions[which] = Session(self, old.name, old.version, old.internal)

    def turn(self) -> None:
        """Everything happens that is due now."""
        for _ in range(50):
            now = self.clock.seconds()
            if not any(call.getTime() <= now for call in self.clock.getDelayedCalls()):
                return
            self.clock.advance(0)
        raise AssertionError("something goes on and on while no time passes")

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.turn()

    def _in_flight(self, which: int) -> IOperation | None:
        """An operation that the driver may end now."""
        count = len(self.driver.in_flight)
        return self.driver.in_flight[which % count] if count and not self.driver.clogged else None

    def finish(self, which: int) -> None:
        """The driver ends an operation well."""
        operation = self._in_flight(which)
        if operation is not None:
            self.driver.finish(operation)

    def fail(self, which: int, foreign: bool = False) -> None:
        """The driver ends an operation badly."""
        operation = self._in_flight(which)
        if operation is not None:
            self.driver.fail(operation, OSError("broken") if foreign else REFUSED)

    def duplicate(self, which: int) -> None:
        """The driver ends an operation well, and says so twice."""
        operation = self._in_flight(which)
        if operation is not None:
            self.driver.duplicate(operation)

    def contradict(self, which: int) -> None:
        """The driver ends an operation badly, and then says that all is well."""
        operation = self._in_flight(which)
        if operation is not None:
            self.driver.fail(operation, REFUSED)
            operation.complete()

    def lose(self, which: int, done: bool = False) -> None:
        """The driver forgets an operation, which its hardware may have done."""
        operation = self._in_flight(which)
        if operation is not None:
            self.driver.lose(operation, done=done)

    def remember(self, which: int) -> None:
        """The driver ends an operation that it had forgotten, perhaps too late."""
        if self.driver.lost and not self.driver.clogged:
            operation = self.driver.lost[which % len(self.driver.lost)]
            late = self.switch.ledger.late
            self.driver.finish(operation)
            if self.switch.ledger.late > late:
                self.oracle.doubtful.add(operation.rule.handle)

    def instant(self, instant: bool = True) -> None:
        """The driver ends operations as soon as it is given them; or no longer."""
        self.driver.instant = instant and not self.driver.clogged

    def hold_reads(self, hold: bool = True) -> None:
        """The driver takes its time to read counters; or answers all that was asked for."""
        self.driver.hold_reads = hold
        if not hold:
            self.driver.finish_reads()

    def clog(self, clogged: bool = True) -> None:
        """The hardware is halted, or goes on."""
        if clogged:
            self.driver.clog()
        else:
            self.driver.unclog()

    def hit(self, which: int) -> None:
        """A packet hits a rule, one of which nothing in flight concerns the counters."""
        rules = [
            rule
            for rule in self.switch.rules()
            if rule.pending is None or rule.pending.kind is OperationKind.MODIFY
        ]
        if rules:
            rule = rules[which % len(rules)]
            now = self.clock.seconds()
            rule.counters.packets += 1
            rule.counters.used = now
            self.oracle.journal.append(Event(key_of(rule), now))

    def flush(self) -> None:
        """Every rule is to go."""
        self.switch.flush()

    # --- ends --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything comes to an end: hardware answers, time passes, and nobody waits."""
        self.clog(False)
        self.hold_reads(False)
        for _ in range(200):
            self.turn()
            self.driver.finish_all()
            self.turn()
            self.look()
            if not self.switch.ledger.groups and self.switch.flushing is None:
                break
            self.clock.advance(WATCHDOG / 8)
        else:
            raise AssertionError("something never ends")
        for session in self.sessions:
            assert not session.queue, "somebody waits though nothing is in flight"
            assert [item.answers for item in session.items] == [1] * len(session.items)

    def stop(self) -> None:
        """The bridge goes, whatever is under way."""
        for session in self.sessions:
            session.disconnect()
        self.switch.stop()
        self._stopped = True
        for operation in list(self.driver.lost):
            operation.complete()
        assert not self.clock.getDelayedCalls(), "a timer stays behind"
        assert not self.switch.ledger.groups
        for table in self.switch.tables:
            assert not table.pending
            assert not table.deleting
