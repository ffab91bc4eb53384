"""The command that programs use: ``ofagent/report``, which answers with JSON.

It is what ``ofagentctl`` asks, and has the same data as the page: see :mod:`agent.admin.report`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, choose
from agent.admin.flow_search import DEFAULT_FLOWS, MAX_OFFSET, FlowSearch, SearchError, number
from agent.admin.report import Report
from agent.admin.unixctl import CommandError, CommandRegistry

MAX_FLOWS: Final = 10_000
"""Rules in one answer."""

_SEARCH: Final = ("table", "match", "text", "state")


class ReportCommands:
    """``ofagent/report``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._report = Report(agent, clock)

    def register(self, registry: CommandRegistry) -> None:
        """Add the command."""
        registry.register("ofagent/report", "WHAT [BRIDGE] [KEY=VALUE]...", 1, None, self.report)

    def report(self, what: str, bridge: str = "", *words: str) -> Deferred[str]:
        """One of the reports, as JSON in one line."""
        found: Deferred[Any] = maybeDeferred(self._find, what, bridge, words)
        return found.addCallback(_written)

    def _find(self, what: str, bridge: str, words: tuple[str, ...]) -> Any:
        if what in ("agent", "bridges") and not bridge:
            return self._report.agent() if what == "agent" else self._report.bridges()
        of_bridge = self._report.of_bridge.get(what)
        if what != "flows" and of_bridge is None:
            known = ", ".join(("agent", "bridges", *self._report.of_bridge, "flows"))
            raise CommandError(f"WHAT: must be one of {known}, not {what!r}")
        choose(self._agent, bridge)
        if of_bridge is None:
            return self._flows(bridge, words)
        if words:
            raise CommandError(f"KEY=VALUE: {what} takes none, and not {words[0]!r}")
        return of_bridge(bridge)

    def _flows(self, bridge: str, words: tuple[str, ...]) -> Deferred[Any]:
        given = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals or key not in (*_SEARCH, "offset", "limit"):
                known = ", ".join((*_SEARCH, "offset", "limit"))
                raise CommandError(f"KEY=VALUE: KEY must be one of {known}, not {word!r}")
            given[key] = value
        try:
            offset = number(given, "offset", 0, MAX_OFFSET)
            limit = number(given, "limit", DEFAULT_FLOWS, MAX_FLOWS)
            search = FlowSearch.parse(given)
        except SearchError as error:
            raise CommandError(f"KEY=VALUE: {error}") from None
        return self._report.flows(bridge, search, offset, limit)


def _written(data: object) -> str:
    return json.dumps(data)
