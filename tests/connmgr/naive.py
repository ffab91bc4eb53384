"""What a switch and its roles are, naively: for :mod:`tests.connmgr.world`.

The switch of :mod:`tests.ofproto.model` knows all there is to know about rules.  This one knows
little about them, each being for one port, but it knows groups, meters and rules that name them;
and it knows who is master.  It shares no code with the agent.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

ADD, MODIFY, DELETE = range(3)
"""Commands, whatever their numbers are in messages."""

FLOW, GROUP, METER = "rule", "group", "meter"

Key: TypeAlias = "tuple[str, int]"
"""What an entry is, and its number: of a rule, the port."""

MOST: Final = {FLOW: 4, GROUP: 3, METER: 2}
"""How many entries there may be."""

EXISTS: Final = {GROUP: "GROUP_EXISTS", METER: "METER_EXISTS"}
UNKNOWN: Final = {GROUP: "UNKNOWN_GROUP", METER: "UNKNOWN_METER"}
ABSENT: Final = {GROUP: "BAD_OUT_GROUP", METER: "UNKNOWN_METER"}
FULL: Final = {FLOW: "TABLE_FULL", GROUP: "OUT_OF_GROUPS", METER: "OUT_OF_METERS"}


@attrs.frozen
class Change:
    """What a request wants.

    :ivar value: what the entry is to be like.
    :ivar names: the groups and meters that it is to name.
    """

    command: int
    key: Key
    value: int = 0
    names: frozenset[Key] = frozenset()


Entry: TypeAlias = "tuple[int, frozenset[Key]]"
"""The value of an entry, and what it names."""


class Refused(Exception):
    """A request is wrong.

    :ivar names: of the errors that say so: when several things are wrong, any of them will do.
    """

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = frozenset(names)


class NaiveSwitch:
    """Rules, groups and meters, as a dictionary.

    :ivar entries: those that there are.
    """

    def __init__(self, entries: dict[Key, Entry] | None = None) -> None:
        self.entries: dict[Key, Entry] = dict(entries or {})

    def plan(self, change: Change, old: bool) -> dict[Key, Entry | None]:
        """What a request would change: the new entries, None for those that go.

        :param old: whether it came in 1.0, where a MODIFY adds what there is not.
        :raises Refused: when it is wrong.
        """
        kind, _ = change.key
        there = change.key in self.entries
        if change.command == DELETE:
            return dict.fromkeys(self._doomed(change.key)) if there else {}
        unknown = [ABSENT[name[0]] for name in change.names if name not in self.entries]
        if unknown:
            raise Refused(*unknown)
        if change.command == ADD and there and kind != FLOW:
            raise Refused(EXISTS[kind])
        if change.command == MODIFY and not there:
            if kind != FLOW:
                raise Refused(UNKNOWN[kind])
            if not old:
                return {}
        if not there and sum(key[0] == kind for key in self.entries) >= MOST[kind]:
            raise Refused(FULL[kind])
        return {change.key: (change.value, change.names)}

    def _doomed(self, key: Key) -> list[Key]:
        """An entry, and the rules that name it."""
        return [key, *(other for other, (_, names) in self.entries.items() if key in names)]

    def apply(self, changes: dict[Key, Entry | None]) -> None:
        """Change entries."""
        for key, entry in changes.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry


NOCHANGE, EQUAL, MASTER, SLAVE = range(4)


class NaiveRoles:
    """Who is what.

    :ivar roles: of those that have asked for one.
    :ivar slaves: all that are slaves, or were.
    :ivar generations: all the generation ids that there were, the latest last.
    """

    def __init__(self) -> None:
        self.roles: dict[object, int] = {}
        self.slaves: set[object] = set()
        self.generations: list[int] = []

    def of(self, who: object) -> int:
        """Somebody's role."""
        return self.roles.get(who, EQUAL)

    def stale(self, generation: int, since: int) -> bool:
        """Whether an id was older than the latest at any moment since there were so many."""
        latest = self.generations[max(since - 1, 0) :]
        return any((generation - one) % 2**64 >= 2**63 for one in latest)

    def grant(self, who: object, role: int, generation: int | None) -> None:
        """Somebody gets a role."""
        if role in (MASTER, SLAVE) and generation is not None:
            self.generations.append(generation)
        if role == MASTER:
            for other, has in self.roles.items():
                if has == MASTER:
                    self.roles[other] = SLAVE
        if role != NOCHANGE:
            self.roles[who] = role
        self.slaves.update(one for one, has in self.roles.items() if has == SLAVE)
