"""Stand-ins for the agent: rules, operations and a host that only remember what they were told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import attrs
from twisted.internet.task import Clock
from zope.interface import implementer

from agent.openflow.actions import ApplyActions, Instructions, Output
from agent.openflow.group_messages import Bucket, GroupType, MeterBand, MeterFlags
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import FlowMod, PortDesc, PortReason
from drivers.interfaces import (
    Counters,
    IDriverHost,
    IGroup,
    IMeter,
    IOperation,
    IRule,
    OperationKind,
    PacketInEvent,
    Target,
)

_handles: Final = itertools.count(1)


@implementer(IRule)
@attrs.frozen(eq=False)
class FakeRule:
    """A rule, with a handle that no other has.

    ``FakeRule(Match.of(in_port=1), instructions=output(2))``.
    """

    match: Match = MATCH_ALL
    priority: int = 0x8000
    table_id: int = 0
    instructions: Instructions = ()
    cookie: int = 0
    counters: Counters = attrs.Factory(Counters)
    handle: int = attrs.Factory(lambda: next(_handles))

    def modified(self, instructions: Instructions, cookie: int | None = None) -> FakeRule:
        """This entry after a MODIFY: the same handle, the same counters."""
        return attrs.evolve(
            self, instructions=instructions, cookie=self.cookie if cookie is None else cookie
        )

    def replaced(self, instructions: Instructions) -> FakeRule:
        """This entry after a REPLACE: the same handle, counters from zero."""
        return attrs.evolve(self, instructions=instructions, counters=Counters())


@implementer(IGroup)
@attrs.frozen(eq=False)
class FakeGroup:
    """A group; :meth:`modified` is what it is after a MODIFY."""

    group_id: int
    type: int = GroupType.ALL
    buckets: tuple[Bucket, ...] = ()
    counters: Counters = attrs.Factory(Counters)
    bucket_counters: tuple[Counters, ...] = attrs.Factory(
        lambda self: tuple(Counters() for _ in self.buckets), takes_self=True
    )
    handle: int = attrs.Factory(lambda: next(_handles))

    def modified(self, kind: int, *buckets: Bucket) -> FakeGroup:
        """The same handle and counters, other buckets."""
        return FakeGroup(self.group_id, kind, buckets, self.counters, handle=self.handle)


@implementer(IMeter)
@attrs.frozen(eq=False)
class FakeMeter:
    """A meter; :meth:`modified` is what it is after a MODIFY."""

    meter_id: int
    flags: int = MeterFlags.KBPS
    bands: tuple[MeterBand, ...] = ()
    counters: Counters = attrs.Factory(Counters)
    band_counters: tuple[Counters, ...] = attrs.Factory(
        lambda self: tuple(Counters() for _ in self.bands), takes_self=True
    )
    handle: int = attrs.Factory(lambda: next(_handles))

    def modified(self, flags: int, *bands: MeterBand) -> FakeMeter:
        """The same handle and counters, other bands."""
        return FakeMeter(self.meter_id, flags, bands, self.counters, handle=self.handle)


def output(*ports: int) -> Instructions:
    """The instructions of a rule that sends to these ports."""
    return (ApplyActions(tuple(Output(port, 0xFFFF) for port in ports)),)


@implementer(IOperation)
@attrs.define(eq=False)
class FakeOperation:
    """An operation that remembers how it was completed.

    :ivar completions: what :meth:`complete` was called with, in order: None for success.
    :ivar on_complete: called after each, if given.
    """

    kind: OperationKind
    rule: Any
    old: Any = None
    completions: list[Exception | None] = attrs.Factory(list)
    on_complete: Callable[[FakeOperation], None] | None = None

    @classmethod
    def add(cls, rule: FakeRule | FakeGroup | FakeMeter) -> FakeOperation:
        """To add a rule, a group or a meter."""
        return cls(OperationKind.ADD, rule)

    @classmethod
    def modify(cls, old: FakeRule, instructions: Instructions) -> FakeOperation:
        """To change what a rule does."""
        return cls(OperationKind.MODIFY, old.modified(instructions), old)

    @classmethod
    def replace(cls, old: FakeRule, instructions: Instructions) -> FakeOperation:
        """To put another rule in the place of one."""
        return cls(OperationKind.REPLACE, old.replaced(instructions), old)

    @classmethod
    def delete(cls, rule: FakeRule | FakeGroup | FakeMeter) -> FakeOperation:
        """To delete one."""
        return cls(OperationKind.DELETE, rule, rule)

    def complete(self, error: Exception | None = None) -> None:
        """See :meth:`drivers.interfaces.IOperation.complete`."""
        self.completions.append(error)
        if self.on_complete is not None:
            self.on_complete(self)

    @classmethod
    def change(cls, old: Any, new: Any) -> FakeOperation:
        """To make a group or a meter what ``new`` is."""
        return cls(OperationKind.MODIFY, new, old)

    @property
    def target(self) -> Target:
        """What kind of entry it is about."""
        if isinstance(self.rule, FakeGroup):
            return Target.GROUP
        return Target.METER if isinstance(self.rule, FakeMeter) else Target.RULE

    @property
    def done(self) -> bool:
        """Whether it was completed at all."""
        return bool(self.completions)

    @property
    def succeeded(self) -> bool:
        """Whether it was completed once, and well."""
        return self.completions == [None]


@attrs.frozen
class FakeEntry:
    """An entry of ``[[bridge.port]]`` or ``[[bridge.table]]`` as a factory is given it.

    :ivar number: of a port, its number.
    :ivar type: of a port, its kind.
    :ivar queues: of a port, the numbers of its queues.
    :ivar id: of a table, its number.
    :ivar size: of a table, the most rules it shall take.
    """

    name: str | None = None
    number: int = 0
    type: str = "memory"
    queues: tuple[int, ...] = ()
    id: int = 0
    size: int | None = None


@implementer(IDriverHost)
@attrs.define(eq=False)
class FakeHost:
    """An agent that only remembers what a driver told it.

    :ivar reactor: a :class:`twisted.internet.task.Clock` unless another is given.
    :ivar expected: what :meth:`rules` says should be in the hardware, by handle; the test fills it.
    :ivar expected_groups: likewise what :meth:`groups` says.
    :ivar expected_meters: likewise what :meth:`meters` says.
    :ivar packet_ins: the packets that the driver sent up.
    :ivar port_statuses: what it said of its ports.
    :ivar learned: the rules that packets have taught.
    :ivar reduced: the rules whose connections have ended, with the timeouts they shall have.
    :ivar degraded_rules: why, by handle, of entries that are not as they should be now.
    """

    name: str = "br0"
    reactor: Any = attrs.Factory(Clock)
    miss_to_controller: bool = True
    expected: dict[int, FakeRule] = attrs.Factory(dict)
    expected_groups: dict[int, FakeGroup] = attrs.Factory(dict)
    expected_meters: dict[int, FakeMeter] = attrs.Factory(dict)
    packet_ins: list[PacketInEvent] = attrs.Factory(list)
    port_statuses: list[tuple[PortReason, PortDesc]] = attrs.Factory(list)
    learned: list[FlowMod] = attrs.Factory(list)
    reduced: list[tuple[IRule, int, int]] = attrs.Factory(list)
    degraded_rules: dict[int, str] = attrs.Factory(dict)

    def rules(self) -> Iterable[FakeRule]:
        """What :attr:`expected` holds."""
        return list(self.expected.values())

    def groups(self) -> Iterable[FakeGroup]:
        """What :attr:`expected_groups` holds."""
        return list(self.expected_groups.values())

    def meters(self) -> Iterable[FakeMeter]:
        """What :attr:`expected_meters` holds."""
        return list(self.expected_meters.values())

    def now(self) -> float:
        """The seconds of the reactor."""
        seconds: float = self.reactor.seconds()
        return seconds

    def packet_in(self, event: PacketInEvent) -> None:
        """Remember a packet."""
        self.packet_ins.append(event)

    def port_status(self, reason: PortReason, desc: PortDesc) -> None:
        """Remember what was said of a port."""
        self.port_statuses.append((reason, desc))

    def learn(self, request: FlowMod) -> None:
        """Remember what a packet teaches."""
        self.learned.append(request)

    def reduce_timeouts(self, rule: IRule, idle_timeout: int, hard_timeout: int) -> None:
        """Remember that a connection has ended."""
        self.reduced.append((rule, idle_timeout, hard_timeout))

    def degraded(self, handle: int, reason: str) -> None:
        """Remember that an entry is not as it should be."""
        self.degraded_rules[handle] = reason

    def degraded_many(self, handles: Collection[int], reason: str) -> None:
        """Remember that of many."""
        self.degraded_rules.update(dict.fromkeys(handles, reason))

    def restored(self, handle: int) -> None:
        """Forget it again."""
        self.degraded_rules.pop(handle, None)

    def restored_many(self, handles: Collection[int]) -> None:
        """Forget that of many."""
        for handle in handles:
            self.restored(handle)
