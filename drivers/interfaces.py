"""The contract between the switch and what programs the hardware.

This is the whole contract: a driver imports this module and value types of :mod:`agent.openflow`
and :mod:`agent.packet`, nothing else of the agent.  What only some drivers can do is in
:mod:`drivers.abilities`.  :mod:`drivers.testing` holds the test suite every driver passes; it is
the executable half of this page.

Everything here happens in the reactor's thread.  A driver may have threads of its own, but calls
what it was given only from the reactor's.

A driver is added without touching this tree: a Twisted plugin (a module in the package
``twisted.plugins`` of any distribution) that provides :class:`drivers.plugin.IDriverFactory`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from agent.openflow.actions import Action, Actions, Instructions
from agent.openflow.fields import KEY_BITS
from agent.openflow.group_messages import (
    BandType,
    Bucket,
    GroupType,
    MeterBand,
    MeterFlags,
)
from agent.openflow.match import Match
from agent.openflow.messages import FlowMod, Port, PortDesc, PortReason, PortStats

ALL_FIELDS: Final = (1 << KEY_BITS) - 1
"""A :attr:`TableCapabilities.match_mask` that refuses nothing."""
UNKNOWN_COUNT: Final = (1 << 64) - 1
"""What OpenFlow has for a counter that there is not (1.3.5 section 7.3.5)."""


class OperationKind(enum.Enum):
    """What an operation does to one entry of the hardware.

    A REPLACE and a MODIFY both change an entry in place.  They differ in the counters: those of a
    REPLACE start from zero, those of a MODIFY go on.
    """

    ADD = "add"
    REPLACE = "replace"
    MODIFY = "modify"
    DELETE = "delete"

    # There is one of each; that of the base class is a function in Python, and asked for each rule.
    __hash__ = object.__hash__


class Target(enum.Enum):
    """What an operation is about."""

    RULE = "rule"
    GROUP = "group"
    METER = "meter"
    LEFT = "left"
    """What an earlier run has left in tables; only for :class:`drivers.abilities.ILeftovers`."""


class OptionError(ValueError):
    """A driver's option is wrong.

    :ivar key: the option's name, with dots where it is nested.
    :ivar value: what was given.
    :ivar allowed: what may be given, for people.
    """

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key} = {value!r}: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed


@attrs.define(eq=False)
class Counters:
    """What a rule, a group, a bucket, a meter or a band has counted.  The driver writes, the agent
    reads.

    The counters of a rule are one object for its whole life, however often it is modified: a driver
    adds to them, and never sets them to zero.  A REPLACE comes with new ones.  Where a change is
    taken back, an ADD or a REPLACE comes with the counters from before, which then go on.

    :ivar packets: packets matched.
    :ivar bytes: their bytes, Ethernet header included, frame check sequence not.
    :ivar used: when the last packet was matched, in the agent's seconds (:meth:`IDriverHost.now`);
        0: never.
    """

    packets: int = 0
    bytes: int = 0
    used: float = 0.0


@attrs.frozen
class TableCapabilities:
    """What one table of the hardware can do; features replies and errors are derived from it.

    :ivar table_id: 0 to 254.
    :ivar name: at most 31 characters.
    :ivar max_entries: how many rules it has room for.
    :ivar match_mask: a flow key with a one in each bit that can be matched.
    :ivar exact_mask: a flow key with a one in each bit that can only be matched as a whole field
        (the table cannot mask it).
    :ivar actions: the action classes that a rule's apply-actions may have; None: all.
    :ivar write_actions: likewise for the action set.
    :ivar instructions: the instruction classes it understands; None: all.
    """

    table_id: int
    name: str
    max_entries: int
    match_mask: int = ALL_FIELDS
    exact_mask: int = 0
    actions: frozenset[type[Action]] | None = None
    write_actions: frozenset[type[Action]] | None = None
    instructions: frozenset[type] | None = None


RESERVED_PORTS: Final = frozenset(
    {Port.IN_PORT, Port.TABLE, Port.FLOOD, Port.ALL, Port.CONTROLLER, Port.LOCAL}
)
"""The reserved ports that every OpenFlow switch must have (1.3.5 section 4.5), and the two which
those without a traditional pipeline add easily.  TABLE is only for packet-outs.  A driver which can
forward as an ordinary switch does adds NORMAL (fail-open and in-band control need it)."""


@attrs.frozen
class TableCounters:
    """What one table has counted.

    :ivar lookups: packets that were looked up in it.
    :ivar matches: those that hit a rule.
    """

    lookups: int = 0
    matches: int = 0


@attrs.frozen
class Capabilities:
    """What a driver can do.

    :ivar tables: at least one, with ascending ids from 0.
    :ivar manufacturer: like the rest, for the description statistics.
    :ivar counts_ports: whether :meth:`IDriver.port_stats` knows anything.
    :ivar reserved_ports: which reserved ports actions may output to; others are BAD_OUT_PORT.
    :ivar group_types: ``OFPGT_*`` numbers it can execute; empty: no groups.
    :ivar max_groups: how many groups of each type.
    :ivar max_buckets: how many buckets a group may have.
    :ivar bucket_actions: the action classes that a bucket may have; None: all.  Without
        :class:`agent.openflow.actions.GroupAction` groups cannot be chained.
    :ivar watch_types: the types of groups whose buckets may watch a port or a group; FF must.
    :ivar select_weight: whether a SELECT group heeds weights; otherwise all must be 1.
    :ivar max_meters: how many meters; 0: none.
    :ivar max_bands: how many bands a meter may have.
    :ivar band_types: ``OFPMBT_*`` numbers it can execute.
    :ivar meter_flags: ``OFPMF_*`` bits it understands.
    """

    tables: tuple[TableCapabilities, ...]
    manufacturer: str = "ofagent"
    hardware: str = ""
    serial: str = ""
    counts_ports: bool = True
    reserved_ports: frozenset[int] = RESERVED_PORTS
    group_types: frozenset[int] = frozenset()
    max_groups: int = 0
    max_buckets: int = 64
    bucket_actions: frozenset[type[Action]] | None = None
    watch_types: frozenset[int] = frozenset({GroupType.FF})
    select_weight: bool = True
    max_meters: int = 0
    max_bands: int = 8
    band_types: frozenset[int] = frozenset(BandType)
    meter_flags: int = sum(MeterFlags)


class IRule(Interface):
    """A flow entry as a driver sees it.  Read only, but for :attr:`counters`."""

    handle: int = Attribute(
        """A number that is this entry's own in its whole bridge and is never used again.  It stays
        the same through MODIFY and REPLACE, so it is what a driver keys its entries by."""
    )
    table_id: int = Attribute("The table, one of the driver's.")
    priority: int = Attribute(
        "0 to 65535, and above that for rules of the agent itself; the highest that matches wins."
    )
    match: Match = Attribute("What it matches.")
    instructions: Instructions = Attribute("What it does, in execution order.")
    cookie: int = Attribute("64 bits; a packet-in repeats it.")
    counters: Counters = Attribute("Where the driver counts.")


class IGroup(Interface):
    """A group as a driver sees it.  Read only, but for the counters."""

    handle: int = Attribute("As of a rule; no rule, group or meter of a bridge shares it.")
    group_id: int = Attribute("Its number: what an action names it by.")
    type: int = Attribute("One of :attr:`Capabilities.group_types`.")
    buckets: Sequence[Bucket] = Attribute("In the order given.")
    counters: Counters = Attribute("Where the driver counts what enters the group.")
    bucket_counters: Sequence[Counters] = Attribute(
        """Likewise what each bucket was executed for.  A MODIFY comes with new ones, while those of
        the group go on (1.3.5 section 6.5)."""
    )


class IMeter(Interface):
    """A meter as a driver sees it.  Read only, but for the counters."""

    handle: int = Attribute("As of a rule; no rule, group or meter of a bridge shares it.")
    meter_id: int = Attribute("Its number: what an instruction names it by.")
    flags: int = Attribute("``OFPMF_*``; where neither KBPS nor PKTPS is set, KBPS is meant.")
    bands: Sequence[MeterBand] = Attribute("In the order given.")
    counters: Counters = Attribute("Where the driver counts what enters the meter.")
    band_counters: Sequence[Counters] = Attribute(
        """Likewise what each band was applied to.  A MODIFY comes with new ones, while those of the
        meter go on (1.3.5 section 6.5)."""
    )


Entry: TypeAlias = IRule | IGroup | IMeter


class IOperation(Interface):
    """One change of one entry.  It is in flight from :meth:`IDriver.submit` to :meth:`complete`.

    A driver which offers neither groups nor meters (:attr:`Capabilities.group_types` is empty,
    :attr:`Capabilities.max_meters` is 0) is given operations on rules only, and need not look at
    :attr:`target`.
    """

    kind: OperationKind = Attribute(
        """What to do.  Groups and meters are not REPLACEd: where one is deleted and made again in
        one go, that is a MODIFY which comes with new counters."""
    )
    target: Target = Attribute("What kind of entry it is about.")
    rule: Any = Attribute(
        """The entry as it shall be; of a DELETE, the entry that shall go.  An :class:`IRule`, or as
        :attr:`target` says an :class:`IGroup` or :class:`IMeter`."""
    )
    old: Any = Attribute("The entry as it was; None for an ADD.")

    def complete(error: Exception | None = None) -> None:
        """Say that the hardware has done it, or why not.

        Called exactly once.  When ``error`` is given, the hardware is as if the operation had
        never been submitted.  An :class:`agent.openflow.errors.OpenFlowError` decides what the
        controller is told; anything else is logged, and is FLOW_MOD_FAILED/UNKNOWN, of a group
        GROUP_MOD_FAILED/INVALID_GROUP (there is no better) and of a meter
        METER_MOD_FAILED/UNKNOWN.

        A second call, and a call that comes after the watchdog gave up, is logged and ignored.

        Before the completion of a DELETE, and of a REPLACE, the driver brings the counters of the
        entry as it was up to date: they are final.
        """


@attrs.frozen
class PacketInEvent:
    """A packet that the hardware sends to the controllers.

    A packet misses in one of two ways.  Where no rule is hit at all, its reason is NO_MATCH and its
    cookie is all ones.  That exists for OpenFlow 1.0, so only controllers of that version are sent
    it, and only from the first table: from 1.3 on, a packet that hits no rule is dropped, action
    set and all (1.3.5 section 5.4), and so it is in any version where a later table or a resubmit
    finds nothing.  Where the rule that sends it is a table-miss rule, which has priority 0 and
    matches everything, its reason is NO_MATCH, too, with that rule's cookie; 1.0 knows no such
    rules, and calls that reason ACTION.

    A packet whose TTL must not be decremented any more has the reason INVALID_TTL, and the cookie
    of the rule that tried.  Controllers get it if they have asked for packets of that reason.

    :ivar data: the frame.
    :ivar in_port: where it came in.
    :ivar reason: :class:`agent.openflow.messages.PacketInReason`.
    :ivar key: its flow key with the pipeline fields (metadata, tunnel id, registers) as they were.
    :ivar table_id: the table of the rule that sent it, or where it missed.
    :ivar cookie: that rule's; all ones when there is none.
    :ivar max_len: bytes wanted; 0xffff: all of it, unbuffered; None: no action has said so, but
        each controller has said how much it wants then (``miss_send_len``).  That is so where no
        rule was hit and where a TTL ran out.
    :ivar controller_id: which controllers (NXAST_CONTROLLER); all have 0 but those that have said
        otherwise.
    """

    data: bytes
    in_port: int
    reason: int
    key: int = 0
    table_id: int = 0
    cookie: int = 0xFFFFFFFFFFFFFFFF
    max_len: int | None = 0xFFFF
    controller_id: int = 0


class IDriverHost(Interface):
    """What a driver may ask of the agent."""

    name: str = Attribute("The bridge's name.")
    reactor: Any = Attribute("The reactor: timers, descriptors, threads.  In tests, a clock.")
    miss_to_controller: bool = Attribute(
        """Whether a packet that hits no rule in the first table goes to the controllers, as in
        OpenFlow 1.0, instead of being dropped, as in 1.3.  True where a bridge speaks 1.0.  It can
        change at any time, when the bridge is configured anew: look at it for every such packet."""
    )
    rules: Callable[[], Iterable[IRule]] = Attribute(
        "All rules that should be in the hardware now: for resynchronising after a reset."
    )
    groups: Callable[[], Iterable[IGroup]] = Attribute(
        "Likewise all groups, each after those that it forwards to."
    )
    meters: Callable[[], Iterable[IMeter]] = Attribute("Likewise all meters.")

    def now() -> float:
        """The agent's clock in seconds, never going back."""

    def packet_in(event: PacketInEvent) -> None:
        """A packet for the controllers."""

    def port_status(reason: PortReason, desc: PortDesc) -> None:
        """A port was added, removed, or changed its link, its configuration or its features.

        Not called for what :meth:`IDriver.port_mod` was asked to do: it returns that.
        """

    def learn(request: FlowMod) -> None:
        """A packet teaches a rule: a MODIFY_STRICT that adds it where there is none, as in 1.0.

        What comes of it the driver is told like of any other request: by operations, later; or not
        at all, when it is known already, is refused, or comes too fast for the hardware.
        """

    def reduce_timeouts(rule: IRule, idle_timeout: int, hard_timeout: int) -> None:
        """A connection ends: the timeouts of its rule shall be no longer than these, in seconds; 0:
        that one stays."""

    def degraded(handle: int, reason: str) -> None:
        """An entry that had been confirmed is no longer as it should be in the hardware."""

    def degraded_many(handles: Collection[int], reason: str) -> None:
        """The same of many entries at once, for the price of one."""

    def restored(handle: int) -> None:
        """A degraded entry is right again."""

    def restored_many(handles: Collection[int]) -> None:
        """The same of many entries at once, for the price of one."""


class IDriver(Interface):
    """One bridge's hardware.

    The agent calls :meth:`start` once, then anything else, then :meth:`stop` once.
    """

    name: str = Attribute("The factory's name.")
    capabilities: Capabilities = Attribute("What it can do; fixed from :meth:`start` on.")

    def start(host: IDriverHost) -> None:
        """Begin.  Ports are there when this returns; raise what keeps it from working."""

    def stop() -> Deferred[None]:
        """End: let go of timers, descriptors and threads.  Fires when that is done.

        Operations in flight need not be completed any more, and later completions are ignored.
        What :meth:`refresh`, :meth:`port_stats` and the like have returned has fired by then, well
        or not.  The agent waits a few seconds and no longer.
        """

    def submit(operations: Sequence[IOperation]) -> None:
        """Set operations in motion, and return.

        Called at most once a reactor turn, with what became ready (of very much, the first part),
        in the order of arrival.  May complete any of them at once, must not block and must not
        raise.  What takes long runs on a socket, a timer or a thread.

        The driver may do operations out of order where neither a packet nor a request can tell:
        two operations on the same table, match and priority are never in flight together (the
        agent postpones the second), so the driver need only mind entries of different priority
        that overlap.  The one exception is an operation that the agent gave up because the driver
        did not complete it in time: it may meet another on the same entry, and what it was to ADD
        is DELETEd, by the same handle.  (A driver can hear of what is given up, and take it back:
        :class:`drivers.abilities.IRecall`.)

        Nor need it mind what refers to what.  The agent submits nothing that names a group or a
        meter (a rule, or the buckets of another group) before the driver has completed the ADD or
        MODIFY of that, and it submits the DELETE of a group or a meter only when the driver has
        completed the DELETE of everything that named it, or the MODIFY that made it name another.

        Nor need it mind :attr:`TableCapabilities.max_entries`.  Room that a DELETE makes is not
        used before the driver has completed that DELETE: in each table there are never more
        entries, those in flight counted whichever way they go, than it has room for.  Of groups
        and meters the same is true.  (Hardware where room depends on what the entries are may
        still have none; then it completes the ADD with TABLE_FULL, and need not wait for a DELETE
        that came later.)

        A DELETE that failed may come again, some time later and as another object, until it
        succeeds or the agent gives up.  To delete what is not there (any more) is to succeed.
        """

    def refresh(rules: Sequence[Entry]) -> Deferred[None]:
        """Bring the counters of these entries up to date; fires when they are.

        They are all rules, or all groups, or all meters; handles tell them apart.  A driver that
        counts as packets pass returns a fired Deferred.
        """

    def ports() -> Sequence[PortDesc]:
        """The ports there are now, in the order of their numbers."""

    def port_stats() -> Deferred[list[PortStats]]:
        """The counters of every port."""

    def table_stats() -> Deferred[Mapping[int, TableCounters]]:
        """The counters of the tables, by number; a table that does not count is left out."""

    def port_mod(port_no: int, config: int, mask: int) -> PortDesc:
        """Change the ``OFPPC_*`` bits in ``mask`` of a port and return how it is now.

        Bits in ``mask`` that are already as wanted are no change.  Whom to tell of the change is
        the agent's business.

        :raises OpenFlowError: PORT_MOD_FAILED/BAD_PORT, or BAD_CONFIG for bits it cannot change.
        """

    def packet_out(data: bytes, in_port: int, actions: Actions) -> None:
        """Execute an action list on a frame.

        The actions were validated.  Must not raise for what the frame holds.

        :param in_port: what IN_PORT means and where FLOOD and ALL do not go; a reserved port where
            the controller gave none.
        """

    def show() -> Mapping[str, object]:
        """Facts for the operator (``driver/show``): names in lower case, values printable."""
