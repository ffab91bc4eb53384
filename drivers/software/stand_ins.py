"""What a trace puts in the place of the things that packets have an effect on.

Each does what the real thing does, as far as packets can tell, without an effect; and says to a
:class:`~drivers.software.recorder.Recorder` what it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from agent.openflow.actions import Instructions
from agent.openflow.match import Match
from agent.openflow.text import format_port
from drivers.abilities import TraceKind
from drivers.interfaces import Counters, IDriverHost, IRule, PacketInEvent
from drivers.software.pipeline import Lookup
from drivers.software.port import NO_FWD, PORT_DOWN, Port, queue_priority
from drivers.software.program import Step
from drivers.software.recorder import Recorder
from drivers.software.run import Run

if TYPE_CHECKING:
    from drivers.software.trace import TracePipeline


class SaidStep:
    """A step that says what it is before it is done."""

    __slots__ = ("_pipeline", "_step", "_text")

    def __init__(self, pipeline: TracePipeline, text: str, step: Step) -> None:
        self._pipeline = pipeline
        self._text = text
        self._step = step

    def __call__(self, run: Run) -> bool | None:
        """Say it, and do it."""
        self._pipeline.recorder.say(TraceKind.ACTION, self._text)
        before, self._pipeline.run = self._pipeline.run, run
        ended = self._step(run)
        self._pipeline.run = before
        return ended

    def __str__(self) -> str:
        return self._text


@implementer(IRule)
@attrs.frozen(eq=False)
class UncountedRule:
    """A rule with counters of which nobody knows."""

    handle: int
    table_id: int
    priority: int
    match: Match
    instructions: Instructions
    cookie: int
    counters: Counters = attrs.Factory(Counters)


class UncountedTable:
    """A flow table, in which nothing is counted."""

    __slots__ = ("_number", "_recorder", "_table")

    def __init__(self, number: int, table: Lookup, recorder: Recorder) -> None:
        self._number = number
        self._table = table
        self._recorder = recorder

    def lookup(self, key: int) -> Any:
        """Look up in the real one."""
        rule = self._table.lookup(key)
        self._recorder.lookup(self._number, key, rule)
        if rule is None:
            return None
        return UncountedRule(
            rule.handle,
            rule.table_id,
            rule.priority,
            rule.match,
            rule.instructions,
            rule.cookie,
        )


class SilentPort(Port):
    """A port that sends nothing."""

    def __init__(self, port: Port, pipeline: TracePipeline) -> None:
        super().__init__(port.number, port.name)
        self.config = port.config
        self.link = port.link
        self.queues = port.queues
        self._pipeline = pipeline

    def enqueue(self, frame: bytes, queue: int) -> None:
        """Write by which queue it would go, too."""
        self._say(queue_priority(queue) if queue in self.queues else 0)

    def send(self, frame: bytes) -> None:
        """Write where the packet would go."""
        self._say(0)

    def _say(self, priority: int) -> None:
        recorder = self._pipeline.recorder
        run = self._pipeline.run
        assert run is not None, "only a step sends"
        if self.config & PORT_DOWN:
            recorder.say(TraceKind.WARNING, f"port {self.name} is down, skipping output")
        elif self.config & NO_FWD:
            recorder.say(TraceKind.WARNING, f"OFPPC_NO_FWD set on {self.name}, skipping output")
        else:
            if not self.link:
                recorder.say(TraceKind.WARNING, f"port {self.name} has no link")
            recorder.act(format_port(self.number), run.packet.key, priority)


class LonelyHost(proxyForInterface(IDriverHost)):  # type: ignore[misc]
    """An agent that has no controllers."""

    def __init__(self, host: IDriverHost, recorder: Recorder) -> None:
        super().__init__(host)
        self._recorder = recorder

    def packet_in(self, event: PacketInEvent) -> None:
        """Write that the packet would go to the controllers."""
        cookie = f"{event.cookie:#x}" if event.cookie else "0"
        max_len = 0xFFFF if event.max_len is None else event.max_len
        self._recorder.act(
            f"userspace(controller(reason={int(event.reason)},rule_cookie={cookie},"
            f"controller_id={event.controller_id},max_len={max_len}))",
            event.key,
        )
