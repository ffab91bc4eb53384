"""What some drivers can do besides what :mod:`drivers.interfaces` asks of all.

A driver that can provides the interface, and whoever wants it asks
``ITracing(driver, None)``.  The switch does without any of them.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Container, Hashable, Iterator, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from agent.openflow.messages import FragHandling, QueueStats
from drivers.interfaces import Entry, IOperation, IRule, OperationKind, Target


class TraceKind(enum.Enum):
    """What a line of a trace is about."""

    TABLE = "table"
    ACTION = "action"
    DETAIL = "detail"
    WARNING = "warning"
    ERROR = "error"


@attrs.define(eq=False)
class TraceNode:
    """One line of a trace, and the lines it led to.

    :ivar text: for people, without the marks that go with its kind.
    :ivar below: what it led to, in order.
    :ivar table_id: the flow table, of a line about a lookup; -1 of others.
    :ivar key: the flow key that was looked up.
    :ivar rule: what was hit; None: nothing.
    """

    kind: TraceKind
    text: str
    below: list[TraceNode] = attrs.Factory(list)
    table_id: int = -1
    key: int = 0
    rule: IRule | None = None


@attrs.frozen
class Trace:
    """What would become of a packet.

    :ivar nodes: its way, line by line.
    :ivar key: its flow key in the end.
    :ivar actions: what would have been done to it and where it would have gone, as Open vSwitch
        writes the actions of a datapath; empty: it would have been dropped.
    """

    nodes: list[TraceNode]
    key: int
    actions: list[str]

    def walk(self) -> Iterator[TraceNode]:
        """Every line, in order."""
        waiting = self.nodes[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.below[::-1]


class ITracing(Interface):
    """A driver that can say what it would do with a packet now (``ofproto/trace``)."""

    def trace(data: bytes, key: int) -> Trace:
        """Say what would become of a packet, without any effect: nothing is sent, counted or
        learned.

        :param data: the frame.
        :param key: its flow key, with the port where it comes in and the fields that are no part
            of a frame.
        """


@attrs.frozen
class LearnedAddress:
    """An Ethernet address, and the port that leads to it.

    :ivar vlan: VLAN identifier; 0: untagged.
    :ivar mac: 48 bits.
    :ivar age: seconds since it was last seen.
    """

    port: int
    vlan: int
    mac: int
    age: float


@attrs.frozen
class LearningStatistics:
    """What learning of addresses has come to.

    :ivar current: addresses known now.
    :ivar maximum: addresses that can be known at once.
    :ivar learned: how many were learned so far.
    :ivar expired: how many of them were forgotten for their age.
    :ivar evicted: how many had to make room.
    :ivar moved: how often one turned up at another port.
    """

    current: int
    maximum: int
    learned: int
    expired: int
    evicted: int
    moved: int


class IForwardingDatabase(Interface):
    """A driver that learns addresses, as the reserved port NORMAL asks for (``fdb/show``)."""

    def learned_addresses() -> Sequence[LearnedAddress]:
        """What is known, the longest unseen first."""

    def forget_addresses() -> None:
        """Forget everything (``fdb/flush``)."""

    def learning_statistics() -> LearningStatistics:
        """What it has counted of it."""


class IQueues(Interface):
    """A driver whose ports have queues: what SET_QUEUE and ENQUEUE choose from."""

    def queues() -> Mapping[int, Sequence[int]]:
        """The numbers of the queues of each port that has any, by port; they never change."""

    def queue_stats() -> Deferred[list[QueueStats]]:
        """The counters of every queue."""


class ICounts(Interface):
    """A driver that reads how much was counted faster than when.

    Idle timeouts need :attr:`drivers.interfaces.Counters.used`, and so does Nicira's ``idle_age``;
    other statistics do not.
    """

    def refresh_counts(rules: Sequence[Entry]) -> Deferred[None]:
        """As :meth:`drivers.interfaces.IDriver.refresh`, but ``used`` may stay as it was.

        The next :meth:`~drivers.interfaces.IDriver.refresh` of an entry brings that up to date,
        whether or not more was counted since.
        """


class IFragments(Interface):
    """A driver that can treat fragments of IP packets in other ways than as NORMAL."""

    frag_handlings: frozenset[FragHandling] = Attribute("The ways it can; NORMAL is among them.")

    def set_frag_handling(handling: FragHandling) -> None:
        """Treat them in this way from now on; it begins with NORMAL."""


class IFaultInjection(Interface):
    """A driver whose hardware can be made to fail on purpose (``driver/fault``)."""

    def inject(words: Sequence[str]) -> str:
        """Arm, show or clear faults, as the words say; returns a text for people.

        :raises ValueError: for words it does not understand; the text says what it does.
        """


class IChecking(Interface):
    """A driver that can compare what the hardware has with the flow tables (``driver/check``)."""

    def check() -> Deferred[Sequence[str]]:
        """Compare, without holding anybody up for long.

        What is in flight meanwhile is not told of.  Fires with one line for each thing that is
        wrong; none: nothing is.  Fails with :exc:`OSError` when the hardware cannot be read.
        """


class ILeftRules(Interface):
    """What an operation of :class:`ILeftovers` is about."""

    handle: int = Attribute("As of a rule.")
    tables: Collection[int] = Attribute("The tables that shall have nothing of it any more.")


class ILeftovers(Interface):
    """A driver whose hardware may still have rules of an earlier run of the agent.

    They are in no flow table, so no request means them, but one that deletes everything does so
    all the same.  Such a driver is given an operation to that end, besides those for the rules that
    are deleted: a DELETE whose target is :attr:`drivers.interfaces.Target.LEFT`, and whose rule is
    an :class:`ILeftRules`.  Until then, when it lets them go is its own business.
    """


class IClog(Interface):
    """A driver whose hardware can be halted and set going again (``ofproto/clog``).

    Not to be confused with a driver that is slow: a clogged one does nothing at all.
    """

    clogged: bool = Attribute("Whether it is halted now.")

    def clog() -> None:
        """Neither start nor finish any operation from now on; harmless when already clogged."""

    def unclog() -> None:
        """Go on where it was halted; harmless when it was not."""


@attrs.frozen
class TableMemory:
    """How a table of the hardware is filled.

    :ivar name: what its driver calls it.
    :ivar size: how many places it has.
    :ivar places: each place that is taken, counted from 0 in the order in which packets meet them,
        ascending, with the priority of the entry there.
    :ivar spilled: how many entries are in software because they did not fit.
    """

    table_id: int
    name: str
    size: int
    places: Sequence[tuple[int, int]]
    spilled: int = 0


@attrs.frozen
class SoftwareReason:
    """Why a rule is executed in software.

    :ivar kind: one of few: the OpenFlow error that would have refused it, or what packets are taken
        out of the hardware for.
    :ivar text: for people.
    """

    kind: str
    text: str


class ISoftwareRules(Interface):
    """A driver whose hardware executes rules, and which executes itself what that cannot."""

    def software_reasons() -> Mapping[int, SoftwareReason]:
        """Why, of each rule that is executed in software, by its handle."""


class IMemoryMap(Interface):
    """A driver that knows where in its hardware's tables the entries lie."""

    def memory_map() -> Sequence[TableMemory]:
        """How every table is filled now."""


@attrs.define
class Work:
    """What hardware did about an operation; times are in seconds of the reactor's clock.

    :ivar table_id: the table of a rule; None: it is about none.
    :ivar arrived: when the hardware was asked, or after a reset, when it was in line again.
    :ivar begun: when it began; None: it has not.
    :ivar finished: when it was over; None: it is not.
    :ivar moves: how many other entries were moved for it.
    :ivar error: why it was not done; None: it was, or it is not over.
    """

    kind: OperationKind
    target: Target
    table_id: int | None
    arrived: float
    begun: float | None = None
    finished: float | None = None
    moves: int = 0
    error: str | None = None


class IHistory(Interface):
    """A driver that remembers what its hardware did lately (``ofagentctl asic timeline``)."""

    def history() -> Sequence[Work]:
        """What it did, is doing and has still to do; what is over comes first, as it ended.

        Of what is over only the last is remembered, as much as the driver has room for.
        """


class IRecall(Interface):
    """A driver that can take back what its hardware has not begun.

    The agent gives up an operation that was not completed in time.  Then it does not know what the
    hardware has of the entry, which is degraded; or it is in no table any more, and the agent
    deletes it to be sure.  A driver that provides this hears of it, and need not do in vain what is
    still in line.
    """

    def recall(operations: Sequence[IOperation]) -> Container[IOperation]:
        """Take back operations that the agent has given up.

        :returns: those of which the hardware has nothing and never will: nobody need doubt their
            entries.  They are not completed any more.  All others, about which that is not sure,
            may go on; their completion is ignored, as ever.
        """


@attrs.frozen
class Probe:
    """A packet to see what the hardware does with it.

    :ivar table_id: the table in which it is looked up.
    :ivar data: the frame.
    :ivar key: its flow key, with the port where it is said to come in and the fields that are no
        part of a frame (metadata, tunnel, registers).
    """

    table_id: int
    data: bytes
    key: int


class IProbe(Interface):
    """A driver that can send a packet into its hardware and see what becomes of it there.

    Ports emit nothing of it and controllers are told nothing: hardware that has no packets for this
    purpose has to catch them on their way.  What the driver itself knows must not enter, only what
    the hardware shows.  :mod:`drivers.confirm` uses it.
    """

    def outcome(packet: Probe, rule: IRule | None) -> Hashable:
        """What will be seen of a packet where it meets this rule; None: where it meets none.

        Of rules with equal outcomes the packet cannot tell which is there.
        """

    def probe(packet: Probe) -> Deferred[Hashable]:
        """Send a packet; fires with what was seen of it.

        It may fail, or never fire, when the packet got lost.
        """
