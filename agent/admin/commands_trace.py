"""The command that tells the way of one packet through the tables: ``ofproto/trace``.

::

    ofproto/trace br0 in_port=1,tcp,nw_dst=10.0.0.1
    ofproto/trace br0 in_port=1 0000000000010000000000020806...

The answer is that of Open vSwitch, but for the line about its megaflows, which there are not here.
It is the driver that is asked, so the answer is about what is in the hardware now.  Where the
agent's table says otherwise, because the hardware has not got round to it, the answer says so.

Unlike in Open vSwitch, nothing has side effects: ``-generate`` is taken, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, able, choose, collect
from agent.admin.commands_flows import describe as describe_rule
from agent.admin.unixctl import CommandError, CommandRegistry
from agent.ofproto.ofproto import OFProto
from agent.openflow.fields import IN_PORT
from agent.openflow.text_parse import FlowSyntaxError, parse_flow
from agent.packet.compose import compose
from agent.packet.describe import describe
from agent.packet.flowkey import flow_key
from agent.packet.packet import PIPELINE
from drivers.abilities import ITracing, Trace, TraceKind, TraceNode
from drivers.interfaces import IRule

MAX_PACKET: Final = 65536
"""Bytes of a packet that is given."""

_MARKS: Final = {
    TraceKind.TABLE: "{}",
    TraceKind.ACTION: "{}",
    TraceKind.DETAIL: " -> {}",
    TraceKind.WARNING: " >> {}",
    TraceKind.ERROR: " >>>> {} <<<<",
}
"""How lines are marked."""

NO_MATCH: Final = "no match"


class TraceCommands:
    """``ofproto/trace``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the command."""
        registry.register("ofproto/trace", "BRIDGE FLOW [-generate|PACKET]", 2, 3, self.trace)

    def trace(self, bridge: str, flow: str, packet: str = "-generate") -> Deferred[str]:
        """What would become of the packet that FLOW describes, or of PACKET, of which FLOW says
        where it comes in.
        """
        bridges = choose(self._agent, bridge)
        driver = able(bridges, lambda one: ITracing(one, None), "can tell what it would do")[bridge]
        ofproto = bridges[bridge].ofproto
        ports = {port.name: port.port_no for port in ofproto.driver.ports()}
        try:
            key = parse_flow(flow, ports)
        except FlowSyntaxError as error:
            raise CommandError(f"FLOW: {error}") from None
        if packet == "-generate":
            data = compose(key)
        else:
            data = _bytes(packet)
            key = flow_key(data, IN_PORT.get(key)) | key & PIPELINE
        trace = driver.trace(data, key)
        for node in trace.walk():
            if node.table_id >= 0:
                _compare(node, ofproto)
        return collect(self._clock, _lines(bridge, key, trace))


def _bytes(text: str) -> bytes:
    """A packet in hexadecimal digits."""
    if len(text) > 2 * MAX_PACKET:
        raise CommandError(f"PACKET: longer than {MAX_PACKET} bytes")
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise CommandError("PACKET: must be hexadecimal digits, two a byte, or -generate") from None
    if len(data) < 14:
        raise CommandError("PACKET: too short for Ethernet")
    return data


def _compare(node: TraceNode, ofproto: OFProto) -> None:
    """Say where the hardware has not what the agent's table has."""
    rules = ofproto.tables[node.table_id].rules
    found = node.rule
    wanted: IRule | None = rules.lookup(node.key)
    kept: IRule | None = None
    if found is not None:
        kept = rules.find(found.match, found.priority)
        if (
            kept is not None
            and kept.handle == found.handle
            and kept.instructions == found.instructions
            # Of rules that overlap and have the same priority, either may be hit.
            and wanted is not None
            and wanted.priority == found.priority
        ):
            return
    elif wanted is None:
        return
    says = f"the agent's table says: {describe_rule(wanted) if wanted is not None else NO_MATCH}"
    if found is not None and kept is None:
        text = f"the hardware still has this rule; {says}"
    else:
        text = f"the hardware is not up to date; {says}"
    node.below.insert(0, TraceNode(TraceKind.WARNING, text))


def _lines(bridge: str, key: int, trace: Trace) -> Iterator[str]:
    yield f"Flow: {describe(key)}"
    yield ""
    heading = f'bridge("{bridge}")'
    yield heading
    yield "-" * len(heading)
    yield from _tree(trace.nodes)
    yield ""
    yield f"Final flow: {'unchanged' if trace.key == key else describe(trace.key)}"
    yield f"Datapath actions: {','.join(trace.actions) or 'drop'}"


def _tree(nodes: Sequence[TraceNode]) -> Iterator[str]:
    """Lines, each behind what led to it.

    Where a lookup is the last thing that happens, as it is behind goto-table, it does not begin a
    deeper level, so that long ways do not wander out of sight.
    """
    # Not recursive: a way may lead through more tables than Python has room for calls.
    waiting = [(node, 0, node is nodes[-1]) for node in reversed(nodes)]
    while waiting:
        node, level, last = waiting.pop()
        deeper = not last or node.kind is not TraceKind.TABLE
        yield "    " * (level + deeper) + _MARKS[node.kind].format(node.text)
        below = node.below
        level += 2 * deeper
        waiting.extend((one, level, one is below[-1]) for one in reversed(below))
