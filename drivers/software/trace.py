"""What would become of a packet: the pipeline itself, with nothing behind it.

A trace is not a second executor that might say other things than the first one does.  It is the
same :class:`~drivers.software.pipeline.Pipeline`, running the same programs, but on stand-ins: its
tables look up in the real ones and hand out rules with counters of their own, its ports send
nothing, its host tells nobody.  Each of them, and each step of a program, says what it is asked
for to a :class:`Recorder`.

The shape of the record is that of ``ofproto/trace`` in Open vSwitch: a table that goto-table or
resubmit leads to is a line behind the action that led there, and what it does is below it.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from agent.openflow.actions import Actions, ApplyActions, ClearActions, Instructions, WriteActions
from agent.openflow.fields import ETH_SRC, ETH_TYPE, IN_PORT, IPV4, IPV6, VLAN_TCI
from agent.openflow.match import Match
from agent.openflow.text import (
    format_actions,
    format_instructions,
    format_mac,
    format_match,
    format_port,
)
from agent.packet.packet import Packet
from drivers.abilities import Trace, TraceKind, TraceNode
from drivers.interfaces import Counters, IDriverHost, IRule, PacketInEvent
from drivers.software.commit import changes
from drivers.software.groups import Groups
from drivers.software.normal import UNKNOWN_PORT, Decision, Normal
from drivers.software.pipeline import Lookup, Pipeline
from drivers.software.port import NO_FWD, PORT_DOWN, Port
from drivers.software.ports import Ports
from drivers.software.program import (
    ActionSet,
    Program,
    Step,
    compile_bucket,
    compile_instructions,
    set_key,
)
from drivers.software.run import Run

MAX_NODES: Final = 20_000
"""Lines of a record; what comes after them is not recorded."""

NO_MATCH: Final = "No match."


def trace(pipeline: Pipeline, data: bytes, key: int) -> Trace:
    """See :meth:`drivers.abilities.ITracing.trace`."""
    recorder = Recorder(key)
    stand_in = TracePipeline(pipeline, recorder)
    run = TraceRun(stand_in, Packet(data, key), IN_PORT.get(key))
    stand_in.process(run, 0, key)
    return Trace(recorder.nodes, run.packet.key, recorder.actions)


class Recorder:
    """Writes down what the stand-ins are asked for.

    :ivar nodes: the first lines.
    :ivar here: where the next line goes.
    :ivar actions: what was done to the packet and where it went.
    """

    def __init__(self, key: int) -> None:
        """Begin.

        :param key: the packet's flow key.
        """
        self.nodes: list[TraceNode] = []
        self.here = self.nodes
        self.actions: list[str] = []
        self._room = MAX_NODES
        self._committed = key

    def say(self, kind: TraceKind, text: str) -> TraceNode:
        """Write a line."""
        node = TraceNode(kind, text)
        self._room -= 1
        if self._room > 0:
            self.here.append(node)
        elif not self._room:
            node = TraceNode(TraceKind.ERROR, "the rest of the way is too long to be told")
            self.here.append(node)
        return node

    def lookup(self, table_id: int, key: int, rule: IRule | None) -> None:
        """Write that the packet was looked up, and what follows below that."""
        if rule is None:
            text = f"{table_id:2}. {NO_MATCH}"
        else:
            match = format_match(rule.match)
            comma = ", " if match else ""
            cookie = f", cookie {rule.cookie:#x}" if rule.cookie else ""
            text = f"{table_id:2}. {match}{comma}priority {rule.priority}{cookie}"
        node = self.say(TraceKind.TABLE, text)
        node.table_id, node.key, node.rule = table_id, key, rule
        self.here = node.below

    def act(self, action: str, key: int) -> None:
        """A packet with this flow key was sent somewhere: ``action`` says where."""
        self.actions += changes(self._committed, key)
        self._committed = key
        self.actions.append(action)


class TraceRun(Run):
    """A packet that is traced."""

    __slots__ = ()

    pipeline: TracePipeline

    def output(self, number: int) -> None:
        """Say so where it goes nowhere."""
        if number == self.in_port:
            self.pipeline.recorder.say(TraceKind.WARNING, "skipping output to input port")
        elif self.pipeline.ports.get(number) is None:
            self.pipeline.recorder.say(TraceKind.WARNING, "Nonexistent output port")
        super().output(number)

    def back(self) -> None:
        """Likewise."""
        if self.pipeline.ports.get(self.in_port) is None:
            self.pipeline.recorder.say(TraceKind.WARNING, "Nonexistent output port")
        super().back()

    def ttl_expired(self) -> bool:
        """Say so."""
        eth_type = ETH_TYPE.get(self.packet.key)
        what = "IPv4" if eth_type in IPV4 else "IPv6" if eth_type in IPV6 else "MPLS"
        self.pipeline.recorder.say(TraceKind.WARNING, f"{what} decrement TTL exception")
        return super().ttl_expired()

    def execute_set(self) -> None:
        """Say that from here on it is the action set."""
        recorder = self.pipeline.recorder
        recorder.here = recorder.nodes[0].below
        recorder.here = recorder.say(TraceKind.TABLE, "--. Executing action set:").below
        super().execute_set()


class TracePipeline(Pipeline):
    """A pipeline of stand-ins.

    :ivar recorder: what they say is written there.
    :ivar run: the packet whose step is being executed.
    """

    def __init__(self, real: Pipeline, recorder: Recorder) -> None:
        self.recorder = recorder
        self.run: Run | None = None
        ports = Ports([_Port(port, self) for port in real.ports])
        tables = {number: _Table(number, table, recorder) for number, table in real.tables.items()}
        super().__init__(tables, ports)
        self.groups = Groups(ports, real.groups.by_packet)
        for group in real.groups:
            self.groups.put(group, self._compile_bucket, counts=False)
        self.now = real.now
        self._real = real
        self._learner: Normal | None = None
        if real.host is not None:
            self.host = _Host(real.host, recorder)

    def decide(self, run: Run) -> Decision:
        """Where NORMAL would send a packet, and why."""
        if self._learner is None:
            # What a packet teaches may decide where it goes itself, so it must be learned.
            self._learner = Normal(self.ports, self._real.addresses.copy())
        decision = self._learner.decide(run.packet.key, run.in_port, self.now())
        say = self.recorder.say
        if decision.why is UNKNOWN_PORT:
            port = format_port(run.in_port)
            say(TraceKind.ERROR, f"received packet on unknown port {port}")
            say(TraceKind.WARNING, decision.why)
            return decision
        if decision.news:
            key = run.packet.key
            source, vlan = format_mac(ETH_SRC.get(key)), VLAN_TCI.get(key) & 0xFFF
            name = self.ports[run.in_port].name
            say(TraceKind.DETAIL, f"would learn that {source} is on port {name} in VLAN {vlan}")
        say(TraceKind.DETAIL, decision.why)
        return decision

    def missed(self, run: Run) -> bool:
        """Say what becomes of a packet that hit nothing."""
        to_controller = super().missed(run)
        self.recorder.say(TraceKind.ACTION, "CONTROLLER:65535" if to_controller else "drop")
        return to_controller

    def compile(self, instructions: Instructions) -> Program:
        """The program of a rule, with steps that say what they are."""
        program = compile_instructions(instructions)
        write: ActionSet = {}
        steps: list[_Step] = []
        for instruction in instructions:
            if isinstance(instruction, ApplyActions):
                steps += [
                    _Step(self, format_actions((action,)), step)
                    for action, step in zip(
                        instruction.actions,
                        program.apply[len(program.apply) - len(instruction.actions) :],
                        strict=True,
                    )
                ]
                continue
            step: Step = _nothing
            if isinstance(instruction, ClearActions):
                step = self._clears
            elif isinstance(instruction, WriteActions):
                for action in instruction.actions:
                    key = set_key(action)
                    write[key] = _Step(self, format_actions((action,)), program.write[key])
                step = self._writes(program.clear, write)
            steps.append(_Step(self, format_instructions((instruction,)), step))
        if not steps:
            steps.append(_Step(self, "drop", _nothing))
        return attrs.evolve(program, apply=tuple(steps), write=write)

    def _compile_bucket(self, actions: Actions) -> tuple[Step, ...]:
        """The steps of a bucket, which say what they are."""
        texts = {set_key(action): format_actions((action,)) for action in actions}
        steps = zip(sorted(texts), compile_bucket(actions), strict=True)
        return tuple(_Step(self, texts[key], step) for key, step in steps)

    def _clears(self, run: Run) -> None:
        texts = _texts(run.pending or {})
        what = f"action set was: {texts}" if texts else "action set was empty"
        self.recorder.say(TraceKind.DETAIL, what)

    def _writes(self, cleared: bool, write: ActionSet) -> Step:
        def step(run: Run) -> None:
            before = {} if cleared else run.pending or {}
            texts = _texts({**before, **write})
            self.recorder.say(TraceKind.DETAIL, f"action set is: {texts or 'empty'}")

        return step


def _nothing(run: Run) -> None:
    """What the pipeline does by itself when the steps are over, or nothing at all."""


def _texts(pending: ActionSet) -> str:
    """An action set in the order of its execution."""
    return ",".join(str(step) for _, step in sorted(pending.items()))


class _Step:
    """A step that says what it is before it is done."""

    __slots__ = ("_pipeline", "_step", "_text")

    def __init__(self, pipeline: TracePipeline, text: str, step: Step) -> None:
        self._pipeline = pipeline
        self._text = text
        self._step = step

    def __call__(self, run: Run) -> bool | None:
        self._pipeline.recorder.say(TraceKind.ACTION, self._text)
        before, self._pipeline.run = self._pipeline.run, run
        ended = self._step(run)
        self._pipeline.run = before
        return ended

    def __str__(self) -> str:
        return self._text


@implementer(IRule)
@attrs.frozen(eq=False)
class _Rule:
    """A rule with counters of which nobody knows."""

    handle: int
    table_id: int
    priority: int
    match: Match
    instructions: Instructions
    cookie: int
    counters: Counters = attrs.Factory(Counters)


class _Table:
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
        return _Rule(
            rule.handle,
            rule.table_id,
            rule.priority,
            rule.match,
            rule.instructions,
            rule.cookie,
        )


class _Port(Port):
    """A port that sends nothing."""

    def __init__(self, port: Port, pipeline: TracePipeline) -> None:
        super().__init__(port.number, port.name)
        self.config = port.config
        self.link = port.link
        self._pipeline = pipeline

    def send(self, frame: bytes) -> None:
        """Write where the packet would go."""
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
            recorder.act(format_port(self.number), run.packet.key)


class _Host(proxyForInterface(IDriverHost)):  # type: ignore[misc]
    """An agent that has no controllers."""

    def __init__(self, host: IDriverHost, recorder: Recorder) -> None:
        super().__init__(host)
        self._recorder = recorder

    def packet_in(self, event: PacketInEvent) -> None:
        """Write that the packet would go to the controllers."""
        cookie = f"{event.cookie:#x}" if event.cookie else "0"
        self._recorder.act(
            f"userspace(controller(reason={int(event.reason)},rule_cookie={cookie},"
            f"controller_id={event.controller_id},max_len={event.max_len}))",
            event.key,
        )
