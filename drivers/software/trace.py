"""What would become of a packet: the pipeline itself, with nothing behind it.

A trace is not a second executor that might say other things than the first one does.  It is the
same :class:`~drivers.software.pipeline.Pipeline`, running the same programs, but on
:mod:`~drivers.software.stand_ins`: its tables look up in the real ones and hand out rules with
counters of their own, its ports send nothing, its host tells nobody.  Each of them, and each step
of a program, says what it is asked for to a :class:`~drivers.software.recorder.Recorder`.

The shape of the record is that of ``ofproto/trace`` in Open vSwitch: a table that goto-table or
resubmit leads to is a line behind the action that led there, and what it does is below it.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from agent.openflow.actions import (
    Action,
    Actions,
    ApplyActions,
    ClearActions,
    Instructions,
    WriteActions,
)
from agent.openflow.fields import ETH_SRC, ETH_TYPE, IN_PORT, IPV4, IPV6, NW_FRAG, VLAN_TCI
from agent.openflow.messages import FlowMod, FragHandling
from agent.openflow.nx_actions import RegMove
from agent.openflow.text import (
    format_actions,
    format_instructions,
    format_mac,
    format_port,
    format_value,
)
from agent.openflow.text_nicira import format_subfield
from agent.packet.flowkey import flow_key
from agent.packet.packet import PIPELINE, Packet
from drivers.abilities import Trace, TraceKind
from drivers.software.groups import Groups
from drivers.software.nicira import reader
from drivers.software.normal import UNKNOWN_PORT, Decision, Normal
from drivers.software.pipeline import Pipeline
from drivers.software.ports import Ports
from drivers.software.program import (
    ActionSet,
    Program,
    Step,
    compile_bucket,
    compile_instructions,
    set_key,
)
from drivers.software.recorder import Recorder
from drivers.software.run import Run
from drivers.software.stand_ins import LonelyHost, SaidStep, SilentPort, UncountedTable


def trace(pipeline: Pipeline, data: bytes, key: int) -> Trace:
    """See :meth:`drivers.abilities.ITracing.trace`."""
    ports = pipeline.frag_handling is FragHandling.NX_MATCH
    if key & NW_FRAG.mask:
        key = flow_key(data, IN_PORT.get(key), ports) | key & PIPELINE
    recorder = Recorder(key)
    stand_in = TracePipeline(pipeline, recorder)
    run = TraceRun(stand_in, Packet(data, key, ports), IN_PORT.get(key))
    stand_in.enter(run)
    return Trace(recorder.nodes, run.packet.key, recorder.actions)


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

    def ttl_expired(self, controller_ids: Sequence[int] = (0,)) -> bool:
        """Say so."""
        eth_type = ETH_TYPE.get(self.packet.key)
        what = "IPv4" if eth_type in IPV4 else "IPv6" if eth_type in IPV6 else "MPLS"
        self.pipeline.recorder.say(TraceKind.WARNING, f"{what} decrement TTL exception")
        return super().ttl_expired(controller_ids)

    def resubmit(self, table_id: int, in_port: int | None) -> bool:
        """What follows the lookups is about this rule again."""
        recorder = self.pipeline.recorder
        here = recorder.here
        ended = super().resubmit(table_id, in_port)
        recorder.here = here
        return ended

    def give_up(self, why: str) -> bool:
        """Say why."""
        self.pipeline.recorder.say(TraceKind.ERROR, why)
        return super().give_up(why)

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
        ports = Ports([SilentPort(port, self) for port in real.ports])
        tables = {
            number: UncountedTable(number, table, recorder) for number, table in real.tables.items()
        }
        super().__init__(tables, ports)
        self.groups = Groups(ports, real.groups.by_packet)
        for group in real.groups:
            self.groups.put(group, self._compile_bucket, counts=False)
        self.now = real.now
        self.frag_handling = real.frag_handling
        self._real = real
        self._learner: Normal | None = None
        if real.host is not None:
            self.host = LonelyHost(real.host, recorder)

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

    def enter(self, run: Run) -> None:
        """Say so when it may not."""
        if self.frag_handling is FragHandling.DROP and run.packet.key & NW_FRAG.mask:
            self.recorder.say(
                TraceKind.WARNING,
                'Packets are IP fragments and the fragment handling mode is "drop".',
            )
        super().enter(run)

    def missed(self, run: Run) -> bool:
        """Say what becomes of a packet that hit nothing."""
        to_controller = super().missed(run)
        self.recorder.say(TraceKind.ACTION, "CONTROLLER:65535" if to_controller else "drop")
        return to_controller

    def learn(self, request: FlowMod) -> None:
        """Learn nothing."""
        self.recorder.say(TraceKind.WARNING, "suppressing side effects, so learn action ignored")

    def reduce_timeouts(self, run: Run, idle_timeout: int, hard_timeout: int) -> None:
        """Leave the timeouts of rules as they are."""

    def compile(self, instructions: Instructions) -> Program:
        """The program of a rule, with steps that say what they are."""
        program = compile_instructions(instructions)
        write: ActionSet = {}
        steps: list[SaidStep] = []
        for instruction in instructions:
            if isinstance(instruction, ApplyActions):
                steps += [
                    SaidStep(self, format_actions((action,)), self._remarked(action, step))
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
                    write[key] = SaidStep(self, format_actions((action,)), program.write[key])
                step = self._writes(program.clear, write)
            steps.append(SaidStep(self, format_instructions((instruction,)), step))
        if not steps:
            steps.append(SaidStep(self, "drop", _nothing))
        return attrs.evolve(program, apply=tuple(steps), write=write)

    def _remarked(self, action: Action, step: Step) -> Step:
        """A step that says what came of it, where that is not to be seen from the action."""
        if not isinstance(action, RegMove):
            return step
        dst = action.dst
        name = format_subfield(dst)

        def remarked(run: Run) -> bool | None:
            ended = step(run)
            value = reader(dst)(run.packet.key)
            whole = dst.n_bits == dst.field.bits
            text = format_value(dst.field, value) if whole else f"{value:#x}"
            self.recorder.say(TraceKind.DETAIL, f"{name} is now {text}")
            return ended

        return remarked

    def _compile_bucket(self, actions: Actions) -> tuple[Step, ...]:
        """The steps of a bucket, which say what they are."""
        texts = {set_key(action): format_actions((action,)) for action in actions}
        steps = zip(sorted(texts), compile_bucket(actions), strict=True)
        return tuple(SaidStep(self, texts[key], step) for key, step in steps)

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
