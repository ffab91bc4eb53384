"""A small world of real connections with a real switch, in which anything may happen.

:mod:`tests.ofproto.world` looks at the switch from within; here all is seen as controllers see it,
as bytes: requests go in, and what comes out, and when, must be what a naive switch would have
answered that executes one request after the other.

A step is a method of :class:`WireWorld` with small numbers for arguments, which mean something in
every state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import ConnectionLost

from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.framing import FrameProtocol
from agent.connmgr.settings import Limits
from agent.ofproto.conditions import Postponed
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup, State
from agent.openflow import messages as of
from agent.openflow.actions import (
    ApplyActions,
    GroupAction,
    MeterInstruction,
    Output,
    actions_of,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import IN_PORT
from agent.openflow.group_messages import (
    BandType,
    Bucket,
    GroupMod,
    GroupType,
    MeterBand,
    MeterFlags,
    MeterMod,
)
from agent.openflow.match import Match
from drivers.interfaces import Capabilities, TableCapabilities, Target
from drivers.testing import ScriptableDriver
from tests.connmgr import naive
from tests.connmgr.client import Client, Sent
from tests.connmgr.fakes import TurnClock, connect
from tests.connmgr.managers import FakeBound
from tests.connmgr.naive import (
    DELETE,
    FLOW,
    GROUP,
    METER,
    Change,
    Key,
    NaiveRoles,
    NaiveSwitch,
    Refused,
)
from tests.ofproto.stage import REFUSED

VERSIONS: Final = (of.OFP10, of.OFP13, of.OFP13)
MAX_PENDING: Final = 2
WATCHDOG: Final = 8.0
LIMITS: Final = Limits(backlog_frames=6, queued_replies=4)
TARGETS: Final = {Target.RULE: FLOW, Target.GROUP: GROUP, Target.METER: METER}


def key_of(operation: Any) -> Key:
    """Which entry an operation is about."""
    if operation.target is Target.RULE:
        return FLOW, operation.rule.match.value_of(IN_PORT)
    return TARGETS[operation.target], operation.rule.number


class WireWorld:
    """See the module.

    :ivar steps: all that has happened.
    :ivar faults: what went wrong where nobody would have noticed.
    """

    def __init__(self) -> None:
        self.clock = TurnClock()
        self.driver = ScriptableDriver(
            capabilities=Capabilities(
                (TableCapabilities(0, "table0", naive.MOST[FLOW]),),
                group_types=frozenset(GroupType),
                max_groups=naive.MOST[GROUP],
                max_buckets=3,
                max_meters=naive.MOST[METER],
                max_bands=2,
            )
        )
        self.switch = OFProto(
            "br0", 1, self.driver, self.clock, max_pending=MAX_PENDING, watchdog=WATCHDOG
        )
        self._handle = self.switch.handle
        self.switch.handle = self._handled  # type: ignore[method-assign]
        self.bound = FakeBound("ptcp:6653")
        self.manager = ConnectionManager(
            self.switch, self.clock, [1, 4], listeners=[(self.bound, 0.0)], limits=LIMITS
        )
        self.roles = NaiveRoles()
        self._grant: Callable[..., None] = self.manager.roles.grant
        self.manager.roles.grant = self._granted  # type: ignore[method-assign,assignment]
        self.switch.observer = self.manager
        self.switch.start()
        self.manager.startService()
        self.settled = NaiveSwitch()
        self.journal: list[Sent] = []
        self.faults: list[Exception] = []
        self.steps: list[tuple[str, tuple[int, ...]]] = []
        self._xid = 0
        self.clients = [self._connect(version) for version in VERSIONS]

    def _connect(self, version: int) -> Client:
        protocol = self.bound.factory.buildProtocol(None)
        assert isinstance(protocol, FrameProtocol)
        peer = connect(protocol)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        session = next(s for s in self.bound.factory.sessions if s.channel is protocol)
        return Client(peer, session, self.roles)

    # --- between connections and switch ------------------------------------------------------

    def _client(self, session: object) -> Client | None:
        return next((client for client in self.clients if client.session is session), None)

    def _handled(self, request: Any, requester: Any) -> Any:
        """The switch executes a request."""
        try:
            return self._execute(request, requester)
        except (AssertionError, KeyError) as fault:
            # The connection would only log it.
            self.faults.append(fault)
            raise

    def _execute(self, request: Any, requester: Any) -> Any:
        """The switch executes a request; the naive one does the same."""
        client = self._client(requester)
        assert client is not None, "a request of somebody who is gone"
        sent = client.sent[request.xid]
        if sent.change is None:
            return self._handle(request, requester)
        assert self.roles.of(requester) != naive.SLAVE, "a slave changes something"
        assert not sent.accepted, "executed twice"
        later = [other for other in client.sent.values() if other.place > sent.place]
        assert not any(other.accepted for other in later), "executed out of order"
        expected = self.expected()
        try:
            wanted = expected.plan(sent.change, client.peer.version == of.OFP10)
        except Refused as refused:
            sent.refusal, wanted = refused.names, {}
        try:
            result = self._handle(request, requester)
        except Postponed:
            sent.refusal = frozenset()
            raise
        except OpenFlowError as error:
            sent.accepted = True
            name = error.code.name.partition(".")[2]
            assert name in sent.refusal, f"{sent.change}: {name}, not {set(sent.refusal)}"
            raise
        assert not sent.refusal, f"{sent.change}: accepted, not {set(sent.refusal)}"
        sent.accepted = True
        sent.changes = wanted
        self.journal.append(sent)
        if isinstance(result, OperationGroup):
            sent.group = group = result
            touched = sorted(key_of(operation) for operation in group.operations)
            assert touched == sorted(wanted), f"{sent.change}: it is about {touched}"
            sent.operations = tuple(group.operations)
        elif wanted:
            assert wanted.items() <= expected.entries.items(), "a change without an operation"
        return result

    def _granted(self, session: Any, role: int, generation: int | None) -> None:
        """A session gets a role."""
        client = self._client(session)
        if client is None:
            self.faults.append(AssertionError("a role for somebody who is gone"))
            return
        if role not in (naive.NOCHANGE, self.roles.of(session)):
            waits = [sent.xid for sent in client.sent.values() if sent.group and not sent.over]
            if waits:
                self.faults.append(AssertionError(f"a role changes while {waits} are in flight"))
        if generation is not None and role in (naive.MASTER, naive.SLAVE):
            stale = self.roles.stale(generation, len(self.roles.generations))
            if stale and self.roles.generations:
                self.faults.append(AssertionError(f"granted, though {generation:#x} is stale"))
        self._grant(session, role, generation)
        self.roles.grant(session, role, generation)
        latest = self.roles.generations[-1] if self.roles.generations else 2**64 - 1
        client.roles.append((self.roles.of(session), None if generation is None else latest))

    def expected(self) -> NaiveSwitch:
        """The naive switch after all that was accepted, what is in flight taken for done."""
        while self.journal and self.journal[0].over:
            self._decide(self.journal.pop(0))
        ahead = NaiveSwitch(self.settled.entries)
        for sent in self.journal:
            ahead.apply(self._outcome(sent))
        return ahead

    def _decide(self, sent: Sent) -> None:
        self.settled.apply(self._outcome(sent))

    @staticmethod
    def _outcome(sent: Sent) -> dict[Key, naive.Entry | None]:
        """What a request changes, as far as the hardware has not refused it."""
        group = sent.group
        if group is None:
            return sent.changes
        if group.atomic:
            refused = group.undo is not None or (group.ended and group.error is not None)
            return {} if refused else sent.changes
        failed = {key_of(op) for op in sent.operations if op.state is State.FAILED}
        return {key: entry for key, entry in sent.changes.items() if key not in failed}

    # --- what controllers send ---------------------------------------------------------------

    def _send(self, which: int, kind: str, make: Callable[[int], Any], **facts: Any) -> None:
        client = self.clients[which % len(self.clients)]
        if client.session.closed or not client.peer.protocol.reading:
            return
        self._xid += 1
        since = len(self.roles.generations)
        client.sent[self._xid] = Sent(self._xid, kind, len(client.sent), since=since, **facts)
        client.peer.send(make(self._xid))

    def flow(self, which: int, command: int, port: int, value: int, names: int) -> None:
        """A FLOW_MOD, about the rule for one port, which may name a group and a meter."""
        old = VERSIONS[which % len(VERSIONS)] == of.OFP10
        group, meter = (names % 4, names // 4 % 3) if not old and command % 3 != DELETE else (0, 0)
        named = frozenset([(GROUP, group)] * bool(group) + [(METER, meter)] * bool(meter))
        change = Change(command % 3, (FLOW, 1 + port % 6), 1 + value % 3, named)
        actions = (Output(change.value), *([GroupAction(group)] if group else ()))
        instructions = (ApplyActions(actions),)
        if meter:
            instructions = (MeterInstruction(meter), *instructions)  # type: ignore[assignment]
        number = (of.FlowModCommand.ADD, of.FlowModCommand.MODIFY, of.FlowModCommand.DELETE)
        match = Match.of(in_port=change.key[1])
        self._send(
            which,
            "mod",
            lambda xid: of.FlowMod(
                number[change.command],
                match,
                priority=1,
                instructions=() if change.command == DELETE else instructions,
                xid=xid,
            ),
            change=change,
        )

    def group(self, which: int, command: int, number: int, value: int) -> None:
        """A GROUP_MOD."""
        if VERSIONS[which % len(VERSIONS)] == of.OFP10:
            return
        change = Change(command % 3, (GROUP, 1 + number % 4), 1 + value % 3)
        buckets = () if change.command == DELETE else (Bucket(actions=(Output(change.value),)),)
        self._send(
            which,
            "mod",
            lambda xid: GroupMod(change.command, GroupType.ALL, change.key[1], buckets, xid),
            change=change,
        )

    def meter(self, which: int, command: int, number: int, value: int) -> None:
        """A METER_MOD."""
        if VERSIONS[which % len(VERSIONS)] == of.OFP10:
            return
        change = Change(command % 3, (METER, 1 + number % 3), 1 + value % 3)
        bands = () if change.command == DELETE else (MeterBand(BandType.DROP, change.value, 1),)
        self._send(
            which,
            "mod",
            lambda xid: MeterMod(change.command, MeterFlags.KBPS, change.key[1], bands, xid),
            change=change,
        )

    def barrier(self, which: int) -> None:
        """A barrier."""
        self._send(which, "barrier", of.BarrierRequest)

    def statistics(self, which: int) -> None:
        """What rules are there?"""
        self._send(which, "statistics", lambda xid: of.FlowStatsRequest(xid=xid))

    def features(self, which: int) -> None:
        """What can you do?"""
        self._send(which, "features", of.FeaturesRequest)

    def role(self, which: int, role: int, generation: int) -> None:
        """A request for a role; one of 1.0 has no generation id."""
        old = VERSIONS[which % len(VERSIONS)] == of.OFP10
        wanted = (1 + role % 3 if old else role % 4, None if old else generation % 2**64)
        self._send(which, "role", lambda xid: of.RoleRequest(*wanted, xid), role=wanted)

    def echo(self, which: int) -> None:
        """An echo request, which is answered at once, whatever waits, unless so much does that no
        more is read."""
        client = self.clients[which % len(self.clients)]
        before = self._xid
        self._send(which, "echo", lambda xid: of.EchoRequest(b"alive", xid))
        if self._xid > before and not client.choked:
            self.clock.turn(2)
            client.read()
            sent = client.sent.get(self._xid)
            assert sent is not None
            assert sent.answers or not client.peer.protocol.reading, "an echo request waits"

    def disconnect(self, which: int) -> None:
        """A connection is lost, and another made."""
        which %= len(self.clients)
        client = self.clients[which]
        self.roles.roles.pop(client.session, None)
        client.peer.transport.lose(ConnectionLost())
        self.clients[which] = self._connect(VERSIONS[which])

    def choke(self, which: int) -> None:
        """A controller reads nothing, or does so again."""
        client = self.clients[which % len(self.clients)]
        client.choked = not client.choked
        if client.choked:
            client.peer.transport.choke()
        else:
            client.peer.transport.unchoke()

    # --- what the rest of the world does -----------------------------------------------------

    def turn(self) -> None:
        """Turns of the reactor pass."""
        self.clock.turn(4)

    def finish(self, which: int) -> None:
        """The hardware has done something."""
        if self.driver.in_flight:
            self.driver.finish(which % len(self.driver.in_flight))

    def duplicate(self, which: int) -> None:
        """The hardware has done something, and says so twice."""
        if self.driver.in_flight:
            self.driver.duplicate(which % len(self.driver.in_flight))

    def fail(self, which: int) -> None:
        """The hardware refuses something."""
        if self.driver.in_flight:
            self.driver.fail(which % len(self.driver.in_flight), REFUSED)

    def lose(self, which: int) -> None:
        """The hardware never answers."""
        if self.driver.in_flight:
            self.driver.lose(which % len(self.driver.in_flight))

    def advance(self, seconds: int) -> None:
        """Time passes."""
        for _ in range(1 + seconds % 12):
            self.clock.advance(1)
            self.clock.turn(2)

    # --- looking -----------------------------------------------------------------------------

    def step(self, name: str, *arguments: int) -> None:
        """Take a step, and look."""
        self.steps.append((name, arguments))
        getattr(self, name)(*arguments)
        self.look()

    def look(self) -> None:
        """Compare what can be seen with what must be."""
        for fault in self.faults:
            raise fault
        assert not self.driver.violations, self.driver.violations
        for client in self.clients:
            client.read()
            self._check_bounds(client)
        self._check_entries()
        if not self.switch.ledger.groups and not self.clock.getDelayedCalls():
            for client in self.clients:
                waits = None if client.choked else client.session.postponement.waiting_for
                assert waits is None, f"somebody waits for {waits}, and nothing is in flight"
            assert not self.switch.admission, "a place is kept for somebody who does not come"

    def _check_bounds(self, client: Client) -> None:
        channel = client.peer.protocol
        assert channel.queued <= LIMITS.queued_replies + LIMITS.messages_per_turn
        assert channel.backlog <= 8 * 1024
        assert self.switch.admission.in_flight <= MAX_PENDING
        assert len(self.switch.admission) <= len(self.clients)
        assert len(client.session.outstanding.groups) <= MAX_PENDING

    def _check_entries(self) -> None:
        """The entries are those of the naive switch."""
        found: dict[Key, tuple[int, frozenset[Key]]] = {}
        for rule in self.switch.rules():
            outputs = [one.port for one in actions_of(rule.instructions) if isinstance(one, Output)]
            groups = {(GROUP, n) for n in of_groups(rule.instructions)}
            meters = {(METER, n) for n in of_meters(rule.instructions)}
            port = rule.match.value_of(IN_PORT)
            assert port is not None
            found[FLOW, port] = (outputs[0], frozenset(groups | meters))
        for number, group in self.switch.group_mods.table.entries.items():
            (output,) = group.buckets[0].actions
            assert isinstance(output, Output)
            found[GROUP, number] = (output.port, frozenset())
        for number, meter in self.switch.meter_mods.table.entries.items():
            found[METER, number] = (meter.bands[0].rate, frozenset())
        expected = self.expected().entries
        assert found == expected, f"there is\n{found}\nand should be\n{expected}"

    # --- ends --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything comes to an end: everybody reads, the hardware answers, time passes; then each
        request has had its answer, or needs none."""
        for client in self.clients:
            if client.choked:
                self.choke(self.clients.index(client))
        for _ in range(100):
            self.clock.turn(4)
            self.driver.finish_all()
            self.clock.turn(4)
            self.look()
            if not self.switch.ledger.groups and not any(
                client.session.postponement.waiting_for for client in self.clients
            ):
                break
            self.clock.advance(WATCHDOG / 8)
        else:
            raise AssertionError("something never ends")
        for client in self.clients:
            for sent in client.sent.values():
                needed = 1
                if sent.kind == "mod":
                    assert sent.over, f"{sent} was never executed"
                    failed = sent.group is not None and sent.group.error is not None
                    needed = int(bool(sent.refusal) or failed)
                assert sent.answers == needed, f"{sent} has {sent.answers} answers"
        self.expected()
        assert not self.journal

    def stop(self) -> None:
        """The bridge goes, whatever is under way; nothing stays behind."""
        self.manager.stopService()
        self.switch.stop()
        self.clock.turn(2)
        self.clock.advance(10)
        assert not self.clock.getDelayedCalls(), "a timer stays behind"
        assert not self.manager.connections()
        assert not self.switch.ledger.groups


def of_groups(instructions: Any) -> list[int]:
    """The groups that instructions name."""
    return [one.group_id for one in actions_of(instructions) if isinstance(one, GroupAction)]


def of_meters(instructions: Any) -> list[int]:
    """The meters that instructions name."""
    return [one.meter_id for one in instructions if isinstance(one, MeterInstruction)]
