"""Commands about the switches: what is in flight, who waits for what, and halting the hardware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, Bridge, able, choose, collect
from agent.admin.commands_flows import describe
from agent.admin.unixctl import CommandRegistry
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import Operation, OperationGroup, State
from drivers.abilities import IClog

MAX_OPERATIONS: Final = 100
"""How many operations of one group are shown."""


class OFProtoCommands:
    """``ofproto/...``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("ofproto/list", "", 0, 0, self.bridges)
        registry.register("ofproto/clog", "[BRIDGE]", 0, 1, self.clog)
        registry.register("ofproto/unclog", "[BRIDGE]", 0, 1, self.unclog)
        registry.register("ofproto/flush", "[BRIDGE]", 0, 1, self.flush)
        registry.register("ofproto/pending", "[BRIDGE]", 0, 1, self.pending)

    def bridges(self) -> str:
        """The names of the bridges, one a line."""
        return "\n".join(sorted(self._agent.bridges))

    def clog(self, bridge: str | None = None) -> str:
        """Halt the hardware: of one bridge, or of every one whose driver can be halted."""
        return self._each(bridge, True)

    def unclog(self, bridge: str | None = None) -> str:
        """Let the hardware go on."""
        return self._each(bridge, False)

    def _each(self, bridge: str | None, clog: bool) -> str:
        bridges = choose(self._agent, bridge)
        lines = []
        for name, driver in able(bridges, lambda one: IClog(one, None), "can be halted").items():
            if clog:
                driver.clog()
            else:
                driver.unclog()
            lines.append(f"{name}: {'clogged' if driver.clogged else 'unclogged'}")
        return "\n".join(lines)

    def flush(self, bridge: str | None = None) -> Deferred[str]:
        """Delete every rule, group and meter, and answer when that is done."""
        switches = [one.ofproto for one in choose(self._agent, bridge).values()]
        done = DeferredList([switch.flush().wait() for switch in switches], consumeErrors=True)

        def answer(_: object) -> str:
            return "\n".join(f"{switch.name}: {_left(switch)} left" for switch in switches)

        return done.addCallback(answer)

    def pending(self, bridge: str | None = None) -> Deferred[str]:
        """Everything in flight, and every message that waits for it."""
        return collect(self._clock, self._pending(choose(self._agent, bridge)))

    def _pending(self, bridges: dict[str, Bridge]) -> Iterator[str]:
        for name, bridge in sorted(bridges.items()):
            groups = list(bridge.ofproto.ledger.groups)
            waiting = [one for one in bridge.connections.connections() if one.waiting_for]
            yield f"{name}: {_count(len(groups), 'group')} in flight, " + (
                f"{_count(len(waiting), 'message')} postponed"
            )
            flush = bridge.ofproto.flushing
            if flush is not None:
                yield f"  flushing: {flush.describe()}"
            for group in groups:
                if not group.ended:  # since this answer was begun
                    yield from self._group(group)
            for status in waiting:
                xid = f"xid={status.waiting_xid:#x} of " if status.waiting_xid is not None else ""
                age = f", {status.waiting_seconds or 0.0:.3f} s,"
                yield f"  postponed: {xid}{status.name}{age} waits for {status.waiting_for}"

    def _group(self, group: OperationGroup) -> Iterator[str]:
        age = self._clock.seconds() - group.started
        yield f"  xid={group.xid:#x} of {group.owner.name}, {age:.3f} s"
        operations = group.operations
        if group.undo is not None:
            yield f"    being undone, for: {group.error}"
            operations = group.undo
        left = [one for one in operations if one.state not in (State.DONE, State.FAILED)]
        for operation in left[:MAX_OPERATIONS]:
            yield f"    {_operation(operation)}"
        unseen = max(0, len(left) - MAX_OPERATIONS)
        over = len(operations) - len(left)
        if unseen or over:
            yield f"    and {unseen} more; {over} of {len(operations)} are over"


def _operation(operation: Operation) -> str:
    state = operation.state.value
    if operation.failures:
        state += f", attempt {operation.failures + 1}"
    return f"{operation.kind.value} ({state}): {describe(operation.rule)}"


def _left(switch: OFProto) -> str:
    """What there is: rules, and groups and meters if there are any."""
    found = [_count(sum(table.rules.count for table in switch.tables), "rule")]
    for number, what in (
        (len(switch.group_mods.table.entries), "group"),
        (len(switch.meter_mods.table.entries), "meter"),
    ):
        if number:
            found.append(_count(number, what))
    return ", ".join(found)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
