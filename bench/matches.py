"""``python -m bench.matches``: what a match and a list of actions cost, beside os-ken's codec.

The parts of a FLOW_MOD, one by one.  Matches of six fields differ in their values, as those of a
controller do; lists of actions recur.  What comes in a layout never seen before, or in a new one
each time, as from a peer who means harm, is measured too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from os_ken.ofproto import ofproto_v1_0_parser as parser10
from os_ken.ofproto import ofproto_v1_3_parser as parser13

from agent.openflow import actions10, actions13, fields
from agent.openflow.actions import Actions, ApplyActions, GotoTable, Output, SetField
from agent.openflow.instructions13 import decode_instructions, encode_instructions
from agent.openflow.match import Match
from agent.openflow.match10 import decode_match10, encode_match10
from agent.openflow.oxm import decode_match, decode_nxm, encode_match, encode_nxm, fields_of
from agent.openflow.oxm_decoder import MatchDecoder
from bench.codec import Row, best

ACTIONS: Final[Actions] = (SetField(fields.ETH_DST, 0x0A0000000001), Output(2))
BEFORE: Final = bytes(48)
"""What stands before a match in a FLOW_MOD."""


def _match(number: int) -> Match:
    return Match.of(
        in_port=1,
        eth_type=0x0800,
        ip_proto=6,
        ipv4_src=0x0A000000 + number,
        ipv4_dst=(0x0B000000 + (number << 8), 0xFFFFFF00),
        tcp_dst=1 + number % 60000,
    )


def _each(work: Callable[[Any], object], items: Sequence[Any]) -> Callable[[], object]:
    return lambda: [work(item) for item in items]


def _serializing(items: Sequence[Any]) -> Callable[[], object]:
    def run() -> None:
        for item in items:
            item.serialize(bytearray(), 0)

    return run


def _unknown_layouts(wires: Sequence[bytes]) -> Callable[[], object]:
    """Each match read by a decoder that has seen nothing."""

    def run() -> None:
        for wire in wires:
            MatchDecoder(4).decode(wire, 0, int.from_bytes(wire[2:4], "big"))

    return run


def _unknown_masks(wires: Sequence[bytes]) -> Callable[[], object]:
    """All read by one decoder, which has seen nothing; each has masks of its own."""

    def run() -> None:
        decoder = MatchDecoder(4)
        for wire in wires:
            decoder.decode(wire, 0, int.from_bytes(wire[2:4], "big"))

    return run


def _decoding(
    decode: Callable[[bytes, int, int], object], items: Sequence[bytes], at: int
) -> Callable[[], object]:
    """Read from each what stands from ``at`` to its end."""
    return lambda: [decode(data, at, len(data) - at) for data in items]


def _matches(count: int) -> Iterator[Row]:
    matches = [_match(number) for number in range(count)]
    wires = [encode_match(match) for match in matches]
    at = len(BEFORE)
    placed = [BEFORE + wire for wire in wires]
    theirs = [parser13.OFPMatch.parser(wire, 0) for wire in wires]
    yield Row(
        "decode ofp_match 1.3",
        count,
        _each(lambda data: decode_match(data, at), placed),
        _each(lambda wire: parser13.OFPMatch.parser(wire, 0), wires),
        target=2.0,
    )
    yield Row("encode ofp_match 1.3", count, _each(encode_match, matches), _serializing(theirs))
    yield Row("  in a layout not seen before", count, _unknown_layouts(wires))
    masked = [
        encode_match(Match.of(metadata=(0, number + 1), tunnel_id=(0, ~number & 0xFFFFFFFF)))
        for number in range(count)
    ]
    yield Row("  with masks not seen before", count, _unknown_masks(masked))
    yield Row("fields of a match", count, _each(lambda match: list(fields_of(match)), matches))

    nxm = [encode_nxm(match) for match in matches]
    yield Row("decode nx_match", count, _decoding(decode_nxm, nxm, 0), target=2.0)
    yield Row("encode nx_match", count, _each(encode_nxm, matches))

    wires = [encode_match10(match) for match in matches]
    placed = [BEFORE + wire for wire in wires]
    theirs = [parser10.OFPMatch.parse(wire, 0) for wire in wires]
    yield Row(
        "decode ofp_match 1.0",
        count,
        _each(lambda data: decode_match10(data, at), placed),
        _each(lambda wire: parser10.OFPMatch.parse(wire, 0), wires),
        target=2.0,
    )
    yield Row("encode ofp_match 1.0", count, _each(encode_match10, matches), _serializing(theirs))


def _lists(count: int) -> Iterator[Row]:
    at = len(BEFORE)
    modules: tuple[tuple[str, Any, Any], ...] = (
        ("1.0", actions10, parser10),
        ("1.3", actions13, parser13),
    )
    for version, codec, parser in modules:
        wire = codec.encode_actions(ACTIONS)
        length = len(wire)
        items = [BEFORE + wire] * count

        def parse(data: bytes, parser: Any = parser, length: int = length) -> None:
            offset = at
            while offset < at + length:
                offset += parser.OFPAction.parser(data, offset).len

        yield Row(
            f"decode two actions {version}",
            count,
            _decoding(codec.decode_actions, items, at),
            _each(parse, items),
            target=0.3,
        )
        yield Row(
            f"encode two actions {version}",
            count,
            _each(codec.encode_actions, [ACTIONS] * count),
            target=0.3,
        )
        others = [codec.encode_actions((Output(1), Output(1 + n))) for n in range(count)]
        yield Row(
            "  not seen before",
            count,
            _decoding(codec.decode_actions, others, 0),
        )
    instructions = (ApplyActions(ACTIONS), GotoTable(1))
    items = [BEFORE + encode_instructions(instructions)] * count
    yield Row(
        "decode instructions",
        count,
        _decoding(decode_instructions, items, at),
        target=0.3,
    )
    yield Row(
        "encode instructions",
        count,
        _each(encode_instructions, [instructions] * count),
        target=0.3,
    )


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--count", type=int, default=5000, help="of a kind")
    options.add_argument("--runs", type=int, default=5, help="of which the best counts")
    wanted = options.parse_args()
    print(f"{'us':41}{'ofagent':>9}{'os-ken':>9}{'ratio':>7}  target")
    for row in (*_matches(wanted.count), *_lists(wanted.count)):
        ours = best(row.ours, row.count, wanted.runs)
        line = f"{row.name:41}{ours:9.2f}"
        if row.theirs is None:
            line += " " * 16
        else:
            theirs = best(row.theirs, row.count, wanted.runs)
            line += f"{theirs:9.2f}{theirs / ours:6.0f}x"
        print(f"{line}  {'' if row.target is None else f'<= {row.target:g}'}")


if __name__ == "__main__":
    main()
