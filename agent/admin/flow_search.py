"""Finding rules among a hundred thousand, without keeping anybody from their turn.

A search is a match, as ``ovs-ofctl`` takes it for ``dump-flows`` (rules at least as specific), a
text that the written rule has to contain, a table, and whether the hardware has the rule as it
should.  A match is looked up; a text has to be compared with every rule, written as people read
it, which is done a few at a time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.slices import in_slices
from agent.ofproto.ofproto import OFProto
from agent.ofproto.rule import Rule
from agent.ofproto.table import FlowTable
from agent.openflow.match import Match
from agent.openflow.text import format_instructions, format_match
from agent.openflow.text_parse import FlowSyntaxError, parse_match
from drivers.abilities import ISoftwareRules, SoftwareReason

DEFAULT_FLOWS: Final = 100
"""How many rules are shown at once unless it is said."""

MAX_OFFSET: Final = 1 << 31
"""How many rules can be passed over."""

STEP: Final = 50
"""How many rules are compared before the clock is looked at."""


class FlowState(enum.Enum):
    """What the hardware has of a rule."""

    INSTALLED = "installed"
    PENDING = "pending"  # something is in flight
    DEGRADED = "degraded"  # not as it should be
    GHOST = "ghost"  # in no table any more, and perhaps still in the hardware


def state_of(entry: Any, ghost: bool = False) -> FlowState:
    """The state of an entry that is in a table, or a ghost."""
    if ghost:
        return FlowState.GHOST
    if entry.degraded:
        return FlowState.DEGRADED
    return FlowState.INSTALLED if entry.pending is None else FlowState.PENDING


def software_reasons(switch: OFProto) -> Mapping[int, SoftwareReason]:
    """Why rules are executed in software, by their handles, where the driver does such things."""
    driver = ISoftwareRules(switch.driver, None)
    return {} if driver is None else driver.software_reasons()


def _within(match: Match, wide: Match) -> bool:
    """Whether a match is at least as specific as another."""
    return match.mask & wide.mask == wide.mask and match.value & wide.mask == wide.value


class SearchError(ValueError):
    """A search that cannot be made; the text names the argument."""


@attrs.frozen(kw_only=True)
class FlowSearch:
    """What to look for.

    :ivar table: None: all of them.
    :ivar match: rules at least as specific as this; None: any.
    :ivar text: what the rule contains as it is written; in lower case.
    :ivar states: None: any.
    """

    table: int | None = None
    match: Match | None = None
    text: str = ""
    states: frozenset[FlowState] | None = None

    @classmethod
    def parse(cls, words: dict[str, str]) -> FlowSearch:
        """Read a search: ``table``, ``match``, ``text`` and ``state`` (names with commas between).

        :raises SearchError: whose text begins with the word that is wrong.
        """
        table: int | None = None
        match: Match | None = None
        states: frozenset[FlowState] | None = None
        if words.get("table"):
            if not words["table"].isdecimal() or int(words["table"]) > 0xFE:
                raise SearchError(f"table: must be a number from 0 to 254, not {words['table']!r}")
            table = int(words["table"])
        if words.get("match"):
            try:
                match = parse_match(words["match"])
            except FlowSyntaxError as error:
                raise SearchError(f"match: {error}") from None
        if words.get("state"):
            try:
                states = frozenset(FlowState(name) for name in words["state"].split(","))
            except ValueError:
                known = ", ".join(state.value for state in FlowState)
                problem = f"state: must be some of {known}, not {words['state']!r}"
                raise SearchError(problem) from None
        return cls(table=table, match=match, text=words.get("text", "").lower(), states=states)

    def run(
        self, switch: OFProto, clock: IReactorTime, offset: int, limit: int
    ) -> Deferred[list[tuple[Rule, bool]]]:
        """Look.

        :param offset: how many of what is found are passed over.
        :param limit: how many are returned.
        :returns: fires with rules, each with whether it is a ghost, as they are at its end.
            Cancelling it stops the search.
        """
        if not self.text and self.states is None:
            found = ((rule, ghost) for rule, ghost in self._candidates(switch))
            done: Deferred[list[tuple[Rule, bool]]] = Deferred()
            done.callback(list(islice(found, offset, offset + limit)))
            return done
        return self._compare(list(self._candidates(switch)), clock, offset, limit)

    def _candidates(self, switch: OFProto) -> Iterator[tuple[Rule, bool]]:
        for table in switch.tables:
            if self.table is None or table.table_id == self.table:
                for rule in self._of(table):
                    yield rule, False
                for rule in table.ghosts:
                    if self.match is None or _within(rule.match, self.match):
                        yield rule, True

    def _of(self, table: FlowTable) -> Iterator[Rule]:
        return iter(table.rules) if self.match is None else table.rules.covered(self.match)

    def _admits(self, rule: Rule, ghost: bool) -> bool:
        if self.states is not None and state_of(rule, ghost) not in self.states:
            return False
        if not self.text:
            return True
        match = format_match(rule.match, rule.priority)
        return self.text in f"{match},actions={format_instructions(rule.instructions)}".lower()

    def _compare(
        self, rules: list[tuple[Rule, bool]], clock: IReactorTime, offset: int, limit: int
    ) -> Deferred[list[tuple[Rule, bool]]]:
        found: list[tuple[Rule, bool]] = []

        def work() -> Iterator[None]:
            passed = 0
            for number, (rule, ghost) in enumerate(rules):
                if self._admits(rule, ghost):
                    passed += 1
                    if passed > offset:
                        found.append((rule, ghost))
                        if len(found) == limit:
                            return
                if number % STEP == 0:
                    yield

        return in_slices(clock, work()).addCallback(lambda _: found)


def number(words: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A word that is a number, such as how many rules are wanted.

    :raises SearchError: when it is none from 0 to ``most``.
    """
    text = words.get(name, str(default))
    if not text.isdecimal() or int(text) > most:
        raise SearchError(f"{name}: must be a number from 0 to {most}, not {text!r}")
    return int(text)
