"""What a switch is, naively: a list of rules, and requests that are executed one after another.

Written from the specifications alone, and sharing no code with the switch beyond the messages: no
masks, but the set of packets that a rule matches out of the few packets there are; no groups and no
rollback, but a request that is told what the hardware refuses before it begins.

Sources: OpenFlow 1.0.1 section 4.6, OpenFlow 1.3.5 section 6.4.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from agent.openflow.messages import ALL_TABLES, ANY, OFP10, OFP13, FlowMod

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)

SEND_FLOW_REM: Final = 1
CHECK_OVERLAP: Final = 2
RESET_COUNTS: Final = 4
EMERG: Final = 1 << 15

IDLE, HARD, DELETED = range(3)
EVICTED: Final = 5
"""Reasons why a rule goes."""

TABLES: Final = 2
HIDDEN: Final = 0x10000
"""Priorities from here on are the agent's own."""

PACKETS: Final = tuple((port, bits) for port in (1, 2, 3) for bits in range(4))
"""Every packet there is: the port it comes in by, and the low bits of its metadata."""

EARLY: Final = 0.01
"""By how many seconds a timeout may be early, for the sake of those that come together."""

Key: TypeAlias = "tuple[int, int, frozenset[tuple[int, int]]]"
"""What tells one rule from another: table, priority, and the packets that it matches."""


@attrs.frozen
class Pattern:
    """What a rule matches: one port (1 or 2) or any, and some bits of the metadata."""

    in_port: int | None = None
    mask: int = 0
    bits: int = 0

    @property
    def packets(self) -> frozenset[tuple[int, int]]:
        """The packets that are matched."""
        return _packets(self)

    def match(self) -> Match:
        """The same for the switch."""
        fields: dict[str, int | tuple[int, int]] = {}
        if self.in_port is not None:
            fields["in_port"] = self.in_port
        if self.mask:
            fields["metadata"] = (self.bits, self.mask)
        return Match.of(**fields)


_known: dict[Pattern, frozenset[tuple[int, int]]] = {}


def _packets(pattern: Pattern) -> frozenset[tuple[int, int]]:
    found = _known.get(pattern)
    if found is None:
        found = _known[pattern] = frozenset(
            (port, bits)
            for port, bits in PACKETS
            if pattern.in_port in (None, port)
            and bits & pattern.mask == pattern.bits & pattern.mask
        )
    return found


@attrs.frozen
class Order:
    """One FLOW_MOD.

    :ivar outputs: the ports that the rule shall output to; 0 among them is wrong.
    :ivar table: as in the message; a connection of 1.0 has 255.
    """

    command: int = ADD
    pattern: Pattern = Pattern()
    priority: int = 1
    table: int = 0
    outputs: tuple[int, ...] = (1,)
    cookie: int = 0
    cookie_mask: int = 0
    idle: int = 0
    hard: int = 0
    flags: int = 0
    out_port: int = ANY

    def message(self, xid: int) -> FlowMod:
        """The same for the switch."""
        return FlowMod(
            self.command,
            self.pattern.match(),
            self.priority,
            (ApplyActions(tuple(Output(port) for port in self.outputs)),) if self.outputs else (),
            self.table,
            self.cookie,
            self.cookie_mask,
            self.idle,
            self.hard,
            out_port=self.out_port,
            flags=self.flags,
            xid=xid,
        )


@attrs.frozen
class Bundle:
    """Several of them, all or none, from a connection of 1.3."""

    orders: tuple[Order, ...]


@attrs.define
class Entry:
    """One rule; ``packets`` and ``used`` are what it has counted."""

    table: int
    priority: int
    pattern: frozenset[tuple[int, int]]
    outputs: tuple[int, ...]
    cookie: int
    idle: int
    hard: int
    flags: int
    created: float
    modified: float
    packets: int = 0
    used: float = 0.0

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return (self.table, self.priority, self.pattern)

    def clone(self) -> Entry:
        """Another one like it."""
        return Entry(
            self.table,
            self.priority,
            self.pattern,
            self.outputs,
            self.cookie,
            self.idle,
            self.hard,
            self.flags,
            self.created,
            self.modified,
            self.packets,
            self.used,
        )

    def deadline(self) -> tuple[float, int]:
        """When it goes if nothing happens to it, and why."""
        idle = max(self.used, self.created) + self.idle if self.idle else float("inf")
        hard = self.modified + self.hard if self.hard else float("inf")
        return (idle, IDLE) if idle < hard else (hard, HARD)


@attrs.frozen
class Removed:
    """What controllers are told of a rule that is gone."""

    key: Key
    cookie: int
    reason: int
    packets: int


class Model:
    """A switch that does one thing after another.

    :ivar sizes: how many rules each table takes.
    :ivar entries: the rules, the oldest first.
    :ivar removed: what controllers were told.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.entries: list[Entry] = []
        self.removed: list[Removed] = []

    def clone(self) -> Model:
        """Another switch in the same state."""
        other = Model(self.sizes)
        other.entries = [entry.clone() for entry in self.entries]
        return other

    # --- requests ----------------------------------------------------------------------------

    def execute(
        self,
        order: Order,
        version: int,
        internal: bool,
        now: float,
        refused: bool | frozenset[Key] = False,
        victim: Key | None = None,
    ) -> frozenset[str]:
        """Execute a request.

        :param refused: of a DELETE, the rules that the hardware would not delete; of anything else,
            whether the hardware refused it.
        :param victim: the rule that the switch chose to make room for another.
        :returns: which errors may be the answer; none: there must be no error.  What the hardware
            said is not among them, the caller knows that.
        """
        wrong = self._wrong(order, version)
        if wrong:
            return wrong
        if order.command == ADD:
            return self._add(order, version, now, bool(refused), victim)
        selected = [e for e in self.entries if self._selects(order, version, internal, e)]
        if order.command in (DELETE, DELETE_STRICT):
            stay = refused if isinstance(refused, frozenset) else frozenset()
            self._remove([entry for entry in selected if entry.key not in stay], DELETED)
            return frozenset()
        if not selected and version == OFP10:
            return self._add(order, version, now, bool(refused), victim)
        if not refused:
            for entry in selected:
                entry.outputs = order.outputs
                entry.modified = now
                if version == OFP10:
                    entry.cookie = order.cookie
                elif order.flags & RESET_COUNTS:
                    entry.packets = 0
        return frozenset()

    def commit(self, bundle: Bundle, internal: bool, now: float, refused: bool) -> frozenset[str]:
        """Execute a bundle, in tables that do not evict.

        :param refused: whether the hardware refused any of it.
        :returns: as for :meth:`execute`.
        """
        trial = self.clone()
        deleted: set[Key] = set()
        for order in bundle.orders:
            there = {entry.key for entry in trial.entries}
            errors = trial.execute(order, OFP13, internal, now)
            if errors:
                return errors
            deleted |= there - {entry.key for entry in trial.entries}
        if not refused:
            for entry in self.entries:
                if entry.key in deleted:
                    self._tell(entry, DELETED)
            self.entries = trial.entries
        return frozenset()

    @staticmethod
    def _wrong(order: Order, version: int) -> frozenset[str]:
        """What is wrong with a request in itself."""
        wrong = set()
        if order.command > DELETE_STRICT:
            wrong.add("FLOW_MOD_FAILED.BAD_COMMAND")
        all_tables = order.table == ALL_TABLES and (version == OFP10 or order.command >= DELETE)
        if order.table >= TABLES and not all_tables:
            wrong.add("FLOW_MOD_FAILED.BAD_TABLE_ID")
        if order.flags & EMERG:
            if version != OFP10:
                wrong.add("FLOW_MOD_FAILED.BAD_FLAGS")
            elif order.idle or order.hard:
                wrong.add("FLOW_MOD_FAILED.BAD_EMERG_TIMEOUT")
            else:
                wrong.add("FLOW_MOD_FAILED.TABLE_FULL")
        if 0 in order.outputs and order.command < DELETE:
            wrong.add("BAD_ACTION.BAD_OUT_PORT")
        return frozenset(wrong)

    @staticmethod
    def _selects(order: Order, version: int, internal: bool, entry: Entry) -> bool:
        """Whether a MODIFY or DELETE means a rule."""
        if order.table not in (entry.table, ALL_TABLES):
            return False
        if entry.priority >= HIDDEN and not internal:
            return False
        if order.command in (MODIFY_STRICT, DELETE_STRICT):
            if (entry.priority, entry.pattern) != (order.priority, order.pattern.packets):
                return False
        elif not entry.pattern <= order.pattern.packets:
            return False
        if version != OFP10 and (entry.cookie ^ order.cookie) & order.cookie_mask:
            return False
        return order.command < DELETE or order.out_port in (ANY, *entry.outputs)

    def _add(
        self, order: Order, version: int, now: float, refused: bool, victim: Key | None
    ) -> frozenset[str]:
        table = 0 if order.table == ALL_TABLES else order.table
        packets = order.pattern.packets
        here = [entry for entry in self.entries if entry.table == table]
        alike = [entry for entry in here if entry.priority == order.priority]
        same = [entry for entry in alike if entry.pattern == packets]
        wrong = set()
        if order.flags & CHECK_OVERLAP and any(entry.pattern & packets for entry in alike):
            wrong.add("FLOW_MOD_FAILED.OVERLAP")
        full = not same and len(here) >= self.sizes[table]
        if full and victim is None:
            wrong.add("FLOW_MOD_FAILED.TABLE_FULL")
        if wrong or refused:
            return frozenset(wrong)
        if victim is not None:
            gone = self.find(victim)
            assert full, f"{victim} makes room where there is room"
            assert gone in here, f"{victim} is not in the table"
            assert gone.idle or gone.hard, f"{gone} makes room though it would stay"
            assert gone.priority < HIDDEN, f"{gone} makes room though it is the agent's own"
            self._remove([gone], EVICTED)
        new = Entry(
            table,
            order.priority,
            packets,
            order.outputs,
            order.cookie,
            order.idle,
            order.hard,
            order.flags,
            now,
            now,
        )
        for old in same:
            self.entries.remove(old)
            if version != OFP10 and not order.flags & RESET_COUNTS:
                new.packets, new.used = old.packets, old.used
        self.entries.append(new)
        return frozenset()

    # --- what happens by itself --------------------------------------------------------------

    def find(self, key: Key) -> Entry | None:
        """The rule with this key."""
        for entry in self.entries:
            if entry.key == key:
                return entry
        return None

    def hit(self, key: Key, now: float) -> None:
        """A packet hits a rule."""
        entry = self.find(key)
        assert entry is not None, f"{key} is not in the table"
        entry.packets += 1
        entry.used = now

    def expire(self, keys: list[Key], reason: int, now: float, refused: frozenset[Key]) -> None:
        """Rules go since their time has come."""
        going = []
        for key in keys:
            entry = self.find(key)
            assert entry is not None, f"{key} expires but is not in the table"
            when, why = entry.deadline()
            if reason == HARD and entry.hard:
                # It may have been idle before that, of which the hardware has not told.
                when, why = entry.modified + entry.hard, HARD
            assert why == reason, f"{entry} expires for the reason {reason}"
            assert when <= now + EARLY, f"{entry} expires at {now}"
            if key not in refused:
                going.append(entry)
        self._remove(going, reason)

    def flush(self, keys: list[Key], refused: frozenset[Key]) -> None:
        """Rules go since everything goes."""
        self._remove([e for e in self.entries if e.key in keys and e.key not in refused], DELETED)

    def _remove(self, going: list[Entry], reason: int) -> None:
        for entry in going:
            self.entries.remove(entry)
            self._tell(entry, reason)

    def _tell(self, entry: Entry, reason: int) -> None:
        if entry.flags & SEND_FLOW_REM and entry.priority < HIDDEN:
            self.removed.append(Removed(entry.key, entry.cookie, reason, entry.packets))
