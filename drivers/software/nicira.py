"""Nicira's actions made into steps; those that OpenFlow has as well are in
:mod:`drivers.software.program`.

Most of them read or write a run of bits of some field.  Fields of headers that a packet does not
have are zero when they are read, and are not written.  To write the ingress port is to change where
the packet came from: what is sent there afterwards is sent back no more.

What one packet may cause by resubmitting and pushing is bounded (:mod:`drivers.software.run`).

Source: ``nicira-ext.h`` of Open vSwitch and ``ovs-actions(7)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from agent.openflow import nx_actions as nx
from agent.openflow.actions import Action
from agent.openflow.constants import ALL_TABLES, ANY, Port
from agent.openflow.fields import IN_PORT, METADATA, NX_IN_PORT, TCP_FLAGS, Field
from agent.openflow.nx_actions import BundleAlgorithm, Subfield
from agent.openflow.ports import to_wire10
from agent.packet.setfield import field_setter
from drivers.software.hashing import ALGORITHMS, HASHES, highest
from drivers.software.learn import learned, port_number

if TYPE_CHECKING:
    from drivers.software.run import Run

RunStep: TypeAlias = "Callable[[Run], bool | None]"
RunSetter: TypeAlias = "Callable[[Run, int], None]"
"""Writes a value, as a number of the field's width."""

INGRESS: Final = frozenset((IN_PORT, NX_IN_PORT))
"""The fields that say where a packet came in."""

_ENDS: Final = 0x05
"""The TCP flags FIN and RST."""


# --- bits of fields ---------------------------------------------------------------------------


def reader(bits: Subfield) -> Callable[[int], int]:
    """A function from a flow key to the value of these bits."""
    shift, limit = bits.field.shift + bits.ofs, (1 << bits.n_bits) - 1
    return lambda key: key >> shift & limit


def writer(bits: Subfield) -> RunSetter:
    """A function that writes a value to these bits."""
    ofs = bits.ofs
    write = setter(bits.field, bits.mask)
    if not ofs:
        return write
    return lambda run, value: write(run, value << ofs)


def setter(field: Field, mask: int) -> RunSetter:
    """A function that writes the bits ``mask`` of a field."""
    if field in INGRESS:
        return lambda run, value: _set_in_port(run, field, value, mask)
    write = field_setter(field, mask)
    return lambda run, value: write(run.packet, value)


def _set_in_port(run: Run, field: Field, value: int, mask: int) -> None:
    """Let a packet come from another port."""
    number = field.get(run.packet.key) & ~mask | value & mask
    run.in_port = port_number(number) if field is NX_IN_PORT else number
    run.packet.key = IN_PORT.put(run.packet.key, run.in_port)


def _move(action: nx.RegMove) -> RunStep:
    read, write = reader(action.src), writer(action.dst)
    return lambda run: write(run, read(run.packet.key))


def _push(action: nx.StackPush) -> RunStep:
    read = reader(action.src)
    return lambda run: run.push(read(run.packet.key))


def _pop(action: nx.StackPop) -> RunStep:
    write = writer(action.dst)
    limit = (1 << action.dst.n_bits) - 1

    def step(run: Run) -> None:
        value = run.pop()
        if value is not None:
            write(run, value & limit)

    return step


def _write_metadata(action: nx.WriteMetadataAction) -> RunStep:
    write, value = setter(METADATA, action.mask), action.metadata
    return lambda run: write(run, value)


# --- where a packet goes ----------------------------------------------------------------------


def send(run: Run, port: int, max_len: int) -> None:
    """Output to a port of which it is known only now which it is."""
    if port < Port.MAX or port == Port.LOCAL:
        run.output(port)
    elif port == Port.CONTROLLER:
        run.to_controller(max_len)
    elif port in _RESERVED:
        _RESERVED[port](run)


_RESERVED: Final[dict[int, Callable[[Any], None]]] = {
    Port.IN_PORT: lambda run: run.back(),
    Port.NORMAL: lambda run: run.normal(),
    Port.FLOOD: lambda run: run.flood(),
    Port.ALL: lambda run: run.to_all(),
}
"""Not TABLE: a rule that has packets begin anew would have them do so for ever."""


def _output_reg(action: nx.OutputReg) -> RunStep:
    read, max_len = reader(action.src), action.max_len
    return lambda run: send(run, port_number(read(run.packet.key)), max_len)


def _controller(action: nx.ControllerAction) -> RunStep:
    reason, max_len, controller_id = action.reason, action.max_len, action.controller_id

    def step(run: Run) -> None:
        run.pipeline.packet_in(run, reason, max_len, controller_id)

    return step


def _dec_ttl(action: nx.DecTtlCntIds) -> RunStep:
    ids = action.controller_ids
    return lambda run: not run.packet.dec_nw_ttl() and run.ttl_expired(ids)


def _resubmit(action: nx.Resubmit) -> RunStep:
    in_port = None if action.in_port == Port.IN_PORT else action.in_port
    if action.table_id == ALL_TABLES:
        return lambda run: run.resubmit(run.table_id, in_port)
    table_id = action.table_id
    return lambda run: run.resubmit(table_id, in_port)


# --- choosing ---------------------------------------------------------------------------------


def _multipath(action: nx.Multipath) -> RunStep:
    find, choose, write = (
        HASHES[action.fields],
        ALGORITHMS[action.algorithm],
        writer(action.dst),
    )
    basis, count, arg = action.basis, action.max_link + 1, action.arg
    return lambda run: write(run, choose(find(run.packet.key, basis), count, arg))


def _bundle(action: nx.Bundle) -> RunStep:
    find, basis, members = HASHES[action.fields], action.basis, action.members
    first = action.algorithm == BundleAlgorithm.ACTIVE_BACKUP
    write = writer(action.dst) if action.dst is not None else None

    def step(run: Run) -> None:
        ports = run.pipeline.ports
        live = []
        for index, member in enumerate(members):
            port = ports.get(member)
            if member == ANY or (port is not None and port.live):
                live.append(index)
                if first:
                    break
        number = ANY
        if live:
            index = live[0] if first else highest(find(run.packet.key, basis), live)
            number = members[index]
        if write is not None:
            write(run, to_wire10(number))
        elif number != ANY:
            run.output(number)

    return step


# --- the rest ---------------------------------------------------------------------------------


def _fin_timeout(action: nx.FinTimeout) -> RunStep:
    idle, hard = action.fin_idle_timeout, action.fin_hard_timeout

    def step(run: Run) -> None:
        # Packets that are not of TCP have no flags.
        if TCP_FLAGS.get(run.packet.key) & _ENDS:
            run.pipeline.reduce_timeouts(run, idle, hard)

    return step


def _nothing(run: Run) -> None:
    """For people."""


def _pop_queue(run: Run) -> None:
    if run.more is not None:
        run.more.queue = None


STEPS: Final[dict[type[Action], Callable[[Any], RunStep]]] = {
    nx.Resubmit: _resubmit,
    nx.PopQueue: lambda action: _pop_queue,
    nx.RegMove: _move,
    nx.Note: lambda action: _nothing,
    nx.Multipath: _multipath,
    nx.Bundle: _bundle,
    nx.OutputReg: _output_reg,
    nx.ControllerAction: _controller,
    nx.DecTtlCntIds: _dec_ttl,
    nx.Exit: lambda action: lambda run: run.exit(),
    nx.FinTimeout: _fin_timeout,
    nx.StackPush: _push,
    nx.StackPop: _pop,
    nx.WriteMetadataAction: _write_metadata,
    nx.Learn: learned,
}
"""How each is made into a step."""
