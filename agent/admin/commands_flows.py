"""The command that prints the flow tables: ``bridge/dump-flows``.

It shows what ``ovs-ofctl dump-flows`` does not: hidden rules, and whether the hardware has a rule
as it should.  Lines are those of Open vSwitch; only a rule that is not (yet) in the hardware has
something more::

    duration=5s, n_packets=0, n_bytes=0, priority=100,in_port=1,actions=output:2
    duration=5s, n_packets=0, n_bytes=0, pending=add, priority=100,in_port=2,actions=output:2
    table_id=1, duration=9s, n_packets=0, n_bytes=0, degraded="...", actions=drop
    duration=5s, n_packets=0, n_bytes=0, software="...", priority=9,actions=CONTROLLER:65535
    table_id=1, ghost="...", duration=9s, n_packets=0, n_bytes=0, in_port=2,actions=output:1

A ghost is a rule that is in no table any more, and of which the hardware may still have something.
One in software is executed by the driver itself, for the reason given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, choose, collect
from agent.admin.flow_search import software_reasons
from agent.admin.unixctl import CommandRegistry
from agent.ofproto.ofproto import OFProto
from agent.ofproto.rule import Rule
from agent.openflow.text import format_instructions, format_match


class FlowCommands:
    """``bridge/dump-flows``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the command."""
        registry.register("bridge/dump-flows", "BRIDGE", 1, 1, self.dump)

    def dump(self, bridge: str) -> Deferred[str]:
        """Every rule of a bridge, as it is when the command comes, with counters from the
        hardware."""
        ofproto = choose(self._agent, bridge)[bridge].ofproto
        rules = list(ofproto.rules())
        ghosts = [rule for table in ofproto.tables for rule in table.ghosts]
        refreshed = ofproto.reads.refresh_or_not(rules)
        return refreshed.addCallback(
            lambda _: collect(self._clock, self._lines(ofproto, rules, ghosts))
        )

    @staticmethod
    def _lines(ofproto: OFProto, rules: list[Rule], ghosts: list[Rule]) -> Iterator[str]:
        now = ofproto.now()
        reasons = software_reasons(ofproto)
        for rule in rules:
            reason = reasons.get(rule.handle)
            yield _flow(rule, now, software="" if reason is None else reason.text)
        for rule in ghosts:
            yield _flow(rule, now, ghost=True)


def describe(rule: object) -> str:
    """An entry, for people: of a flow table, its table, match and actions."""
    if not isinstance(rule, Rule):
        return str(rule)
    match = format_match(rule.match, rule.priority)
    comma = "," if match else ""
    return f"table={rule.table_id}, {match}{comma}actions={format_instructions(rule.instructions)}"


def _flow(rule: Rule, now: float, ghost: bool = False, software: str = "") -> str:
    counters = rule.counters
    parts = [f"table_id={rule.table_id}"] if rule.table_id else []
    if ghost:
        parts.append(f"ghost={json.dumps(rule.degraded)}")
    parts += [
        f"duration={max(0, int(now - rule.created))}s",
        f"n_packets={counters.packets}",
        f"n_bytes={counters.bytes}",
    ]
    if rule.pending is not None:
        parts.append(f"pending={rule.pending.kind.value}")
    if rule.degraded and not ghost:
        parts.append(f"degraded={json.dumps(rule.degraded)}")
    if software:
        parts.append(f"software={json.dumps(software)}")
    match = format_match(rule.match, rule.priority)
    comma = "," if match else ""
    parts.append(f"{match}{comma}actions={format_instructions(rule.instructions)}")
    return ", ".join(parts)
