"""The command that shows the connections of a bridge: ``bridge/connections``.

Open vSwitch has this in its database, which there is not here.  Each connection is told in a few
lines, and only what there is::

    br0: 2 connections
      br0<->tcp:192.0.2.1:6653: ACTIVE for 12.500 s, OpenFlow 1.3, master, admitted
        heard 1250 messages, said 1252; errors sent: FLOW_MOD_FAILED.OVERLAP: 3
        in flight: 2 requests; not executed yet: 4096 bytes
        waits: xid=0x17, for 1.250 s, for its own 2 operation groups; the oldest: ...
      br0<->tcp:192.0.2.2:6653: BACKOFF for 1.000 s, again in 3.000 s
        last error: Connection refused; 5 attempts since it was connected
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, Bridge, choose, collect
from agent.admin.unixctl import CommandRegistry
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus

MAX_MONITORS: Final = 20
"""How many flow monitors of a connection are listed by their ids."""


class ConnectionCommands:
    """``bridge/connections``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the command."""
        registry.register("bridge/connections", "[BRIDGE]", 0, 1, self.show)

    def show(self, bridge: str | None = None) -> Deferred[str]:
        """Every connection, the controllers first: of one bridge, or of all."""
        return collect(self._clock, self._lines(choose(self._agent, bridge)))

    @staticmethod
    def _lines(bridges: dict[str, Bridge]) -> Iterator[str]:
        for name, bridge in sorted(bridges.items()):
            found = bridge.connections.connections()
            yield f"{name}: {_count(len(found), 'connection')}"
            for status in found:
                yield from _connection(status)


def _connection(status: ConnectionStatus) -> Iterator[str]:
    facts = [f"{status.state} for {status.since:.3f} s"]
    if status.kind is not ConnectionKind.PRIMARY:
        facts.append(status.kind.value)
    if status.retry_in is not None:
        facts.append(f"again in {status.retry_in:.3f} s")
    if status.version:
        facts += [f"OpenFlow {status.version}", status.role]
    if status.admitted:
        facts.append("admitted")
    yield f"  {status.name}: {', '.join(facts)}"
    for text in (
        _messages(status),
        _packets(status),
        _in_flight(status),
        _monitors(status),
        _waits(status),
        _failures(status),
    ):
        if text:
            yield f"    {text}"


def _messages(status: ConnectionStatus) -> str:
    parts = []
    if status.received or status.sent:
        text = f"heard {_count(status.received, 'message')}, said {status.sent}"
        if status.errors_received:
            text += f"; {status.errors_received} heard were errors"
        parts.append(text)
    if status.errors:
        listed = ", ".join(f"{name}: {count}" for name, count in sorted(status.errors.items()))
        parts.append(f"errors sent: {listed}")
    return "; ".join(parts)


def _packets(status: ConnectionStatus) -> str:
    return "; ".join(
        f"{what}: {count}"
        for what, count in (
            ("packets not sent, for it does not read", status.packet_ins_dropped),
            ("packets that wait, for there are too many", status.packet_ins_queued),
            ("packets that had to wait", status.packet_ins_limited),
            ("packets dropped, for too many waited", status.packet_ins_overflowed),
            ("copies not sent, for it does not read", status.copies_dropped),
        )
        if count
    )


def _in_flight(status: ConnectionStatus) -> str:
    parts = []
    if status.outstanding:
        parts.append(f"in flight: {_count(status.outstanding, 'request')}")
    if status.backlog:
        parts.append(f"not executed yet: {_count(status.backlog, 'byte')}")
    if status.queued:
        parts.append(f"not read by it: {_count(status.queued, 'message')}")
    return "; ".join(parts)


def _monitors(status: ConnectionStatus) -> str:
    if not status.monitors:
        return ""
    shown = ", ".join(map(str, status.monitors[:MAX_MONITORS]))
    more = ", ..." if status.monitors[MAX_MONITORS:] else ""
    paused = "; paused, for it does not read" if status.monitors_paused else ""
    return f"{_count(len(status.monitors), 'flow monitor')}: {shown}{more}{paused}"


def _waits(status: ConnectionStatus) -> str:
    if status.waiting_for is None:
        return ""
    xid = "" if status.waiting_xid is None else f"xid={status.waiting_xid:#x}, "
    return f"waits: {xid}for {status.waiting_seconds or 0.0:.3f} s, for {status.waiting_for}"


def _failures(status: ConnectionStatus) -> str:
    parts = []
    if status.last_error:
        parts.append(f"last error: {status.last_error}")
    if status.sessions > 1:
        parts.append(f"connected {status.sessions} times")
    if status.attempts:
        parts.append(f"{_count(status.attempts, 'attempt')} since it was connected")
    return "; ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
