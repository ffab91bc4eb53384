"""``python -m bench.codec``: what a message costs on the wire, beside os-ken's codec.

Both codecs read and write the same frames in the same run, in turn.  FLOW_MOD is what matters: a
controller sends tens of thousands, each with a match of its own; so the frames here differ in their
matches, and no memory of earlier ones helps.  os-ken has no encoder for what only a switch sends;
those rows have no second figure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
from os_ken.ofproto import ofproto_protocol

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import decode, encode, header
from agent.openflow.match import Match
from agent.openflow.messages import OFP10, OFP13, Message

NAMES: Final = {OFP10: "1.0", OFP13: "1.3"}
INSTRUCTIONS: Final = (ApplyActions((Output(2),)),)


@attrs.frozen
class Row:
    """One thing that is measured: ours and theirs each do it ``count`` times.

    :ivar target: microseconds that ours may take, for people; None: any.
    """

    name: str
    count: int
    ours: Callable[[], object]
    theirs: Callable[[], object] | None = None
    target: float | None = None


def best(work: Callable[[], object], count: int, runs: int) -> float:
    """Microseconds for one of ``count``, in the best of some runs: others disturbed the rest."""
    least = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least / count * 1e6


def _match(number: int) -> Match:
    return Match.of(
        in_port=1,
        eth_type=0x0800,
        ip_proto=6,
        ipv4_src=0x0A000000 + number,
        ipv4_dst=0x0B000000 + number * 2654435761 % 0x1000000,
        tcp_dst=1 + number % 60000,
    )


def _flow_stats(number: int) -> of.FlowStats:
    return of.FlowStats(0, 9, 9, 100, 0, 0, 0, number, 5, 320, _match(number), INSTRUCTIONS)


def _decoding(version: int, frames: Sequence[bytes]) -> Callable[[], object]:
    return lambda: [decode(version, frame) for frame in frames]


def _encoding(version: int, messages: Sequence[Message]) -> Callable[[], object]:
    return lambda: [encode(version, message) for message in messages]


class OsKen:
    """os-ken's codec for one version."""

    def __init__(self, version: int) -> None:
        self._datapath = ofproto_protocol.ProtocolDesc(version=version)
        self._parser = self._datapath.ofproto_parser

    def parse(self, name: str, frame: bytes) -> Any:
        """The message that os-ken makes of a frame; ``name``: its class."""
        parse = getattr(self._parser, name).parser
        return parse(self._datapath, *header(frame), frame)

    def decoding(self, name: str, frames: Sequence[bytes]) -> Callable[[], object]:
        """Parse them all."""
        return lambda: [self.parse(name, frame) for frame in frames]

    def encoding(self, name: str, frames: Sequence[bytes]) -> Callable[[], object]:
        """Serialize the messages that the frames are; each has been parsed beforehand."""
        messages = [self.parse(name, frame) for frame in frames]

        def run() -> None:
            for message in messages:
                message.serialize()

        return run


def rows(version: int, count: int) -> Iterator[Row]:
    """What is measured in one version, with ``count`` of each message."""
    os_ken = OsKen(version)
    table = of.ALL_TABLES if version == OFP10 else 0
    mods = [of.FlowMod(0, _match(n), 100, INSTRUCTIONS, table, xid=n) for n in range(count)]
    frames = [encode(version, mod) for mod in mods]
    yield Row(
        "decode FLOW_MOD",
        count,
        _decoding(version, frames),
        os_ken.decoding("OFPFlowMod", frames),
        target=5.0,
    )
    yield Row(
        "encode FLOW_MOD",
        count,
        _encoding(version, mods),
        os_ken.encoding("OFPFlowMod", frames),
    )

    flows = of.FlowStatsReply([_flow_stats(n) for n in range(count)])
    part = of.FlowStatsReply([_flow_stats(n) for n in range(500)])
    entry = "an entry of flow statistics"
    yield Row(f"encode {entry}", count, _encoding(version, [flows]), target=6.0)
    reply = [encode(version, part)]
    name = "OFPStatsReply" if version == OFP10 else "OFPMultipartReply"
    yield Row(f"decode {entry}", 500, _decoding(version, reply), os_ken.decoding(name, reply))

    echoes: list[Message] = [of.EchoRequest(b"are you there", n) for n in range(count)]
    frames = [encode(version, echo) for echo in echoes]
    yield Row(
        "decode ECHO_REQUEST",
        count,
        _decoding(version, frames),
        os_ken.decoding("OFPEchoRequest", frames),
    )
    yield Row(
        "encode ECHO_REQUEST",
        count,
        _encoding(version, echoes),
        os_ken.encoding("OFPEchoRequest", frames),
    )
    barriers = [encode(version, of.BarrierRequest(n)) for n in range(count)]
    yield Row("decode BARRIER_REQUEST", count, _decoding(version, barriers))
    outs = [
        encode(version, of.PacketOut(of.NO_BUFFER, 1, (Output(2),), bytes(64), n))
        for n in range(count)
    ]
    yield Row("decode PACKET_OUT", count, _decoding(version, outs))
    ins: list[Message] = [
        of.PacketIn(of.NO_BUFFER, 64, 0, 0, n, Match.of(in_port=1 + n % 48), bytes(64), n)
        for n in range(count)
    ]
    frames = [encode(version, packet) for packet in ins]
    yield Row("encode PACKET_IN", count, _encoding(version, ins))
    yield Row(
        "decode PACKET_IN",
        count,
        _decoding(version, frames),
        os_ken.decoding("OFPPacketIn", frames),
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=5000, help="messages of a kind")
    parser.add_argument("--runs", type=int, default=5, help="of which the best counts")
    options = parser.parse_args()
    print(f"{'us a message':41}{'ofagent':>9}{'os-ken':>9}{'ratio':>7}  target")
    for version, name in NAMES.items():
        for row in rows(version, options.count):
            ours = best(row.ours, row.count, options.runs)
            line = f"{row.name + ' ' + name:41}{ours:9.2f}"
            if row.theirs is None:
                line += " " * 16
            else:
                theirs = best(row.theirs, row.count, options.runs)
                line += f"{theirs:9.2f}{theirs / ours:6.0f}x"
            print(f"{line}  {'' if row.target is None else f'<= {row.target:g}'}")


if __name__ == "__main__":
    main()
