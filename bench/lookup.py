"""``python -m bench.lookup``: what finding the rule of a packet costs, by rules and by masks.

It shall not grow with the rules (:data:`TARGET`).  For packets of flows that were not seen before
it does grow with the masks, which is why the software driver bounds them.  The rules of a mask have
a priority of their own: on average a packet is looked up with half of the masks.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from typing import Final

import attrs

from agent.openflow.match import Match
from agent.packet.classifier import MAX_FLOWS, Classifier
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key

MASKS: Final = 20
TARGET: Final = 1.3
"""How much more a lookup among the most rules may cost than among the fewest."""
FLOWS: Final = 1000
"""Flows in turn that are known, each of which hits a rule of its own where there are so many."""
NEW_FLOWS: Final = MAX_FLOWS + MAX_FLOWS // 4
"""Flows in turn of which none is known any more when it is its turn again."""


@attrs.frozen
class Entry:
    """A rule, as far as it is looked up."""

    match: Match
    priority: int


def table(rules: int, masks: int) -> Classifier[Entry]:
    """Rules with so many masks in turn: prefixes of both addresses."""
    found: Classifier[Entry] = Classifier()
    for number in range(rules):
        which = number % masks
        address = number * 2654435761 & 0xFFFFFFFF
        source, target = (
            0xFFFFFFFF << 32 - length & 0xFFFFFFFF for length in (which % 31, 32 - which // 31 % 31)
        )
        match = Match.of(
            eth_type=0x800,
            ip_proto=17,
            udp_dst=number % 60000,
            ipv4_src=(~address & source, source),
            ipv4_dst=(address & target, target),
        )
        found.put(Entry(match, 1 + masks - which))
    return found


def packets(rules: Classifier[Entry], flows: int) -> list[int]:
    """The flow keys of packets that hit rules all over the table."""
    chosen = random.Random(1).choices(list(rules), k=min(flows, FLOWS))
    frames = [compose(entry.match, bytes(20)) for entry in chosen]
    return [flow_key(frames[flow % len(frames)], 1 + flow) for flow in range(flows)]


def once(rules: Classifier[Entry], keys: list[int]) -> float:
    """Microseconds of a lookup."""
    lookup = rules.lookup
    start = time.perf_counter()
    for key in keys:
        lookup(key)
    return (time.perf_counter() - start) / len(keys) * 1e6


def costs(tables: list[Classifier[Entry]], flows: int, runs: int) -> list[float]:
    """Medians for some tables; measured in turn, so that what else the machine does hits all."""
    work = [(each, packets(each, flows)) for each in tables]
    found = [[once(*each) for each in work] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def main() -> None:
    """Measure, print, and fail when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rules", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--masks", type=int, nargs="*", default=[1, 20, 100, 500, 900])
    parser.add_argument("--runs", type=int, default=31)
    options = parser.parse_args()
    tables = [table(rules, MASKS) for rules in options.rules]
    known, new = (costs(tables, flows, options.runs) for flows in (FLOWS, NEW_FLOWS))
    print(f"us a lookup, {MASKS} masks{'known flow':>20}{'ratio':>8}{'new flow':>12}{'ratio':>8}")
    for rules, one, other in zip(options.rules, known, new, strict=True):
        print(
            f"{rules:14,} rules{one:22.2f}{one / known[0]:8.2f}{other:12.2f}{other / new[0]:8.2f}"
        )
    tables = [table(masks, masks) for masks in options.masks]
    new_by_masks = costs(tables, NEW_FLOWS, options.runs)
    print(f"\nus a lookup of a new flow{'':>17}{'a mask':>8}")
    for masks, cost in zip(options.masks, new_by_masks, strict=True):
        print(f"{masks:14,} masks{cost:22.2f}{cost / masks:8.3f}")
    ratio = known[-1] / known[0]
    if ratio > TARGET:
        sys.exit(f"too slow: {ratio:.2f} times as much among more rules, at most {TARGET:g}")


if __name__ == "__main__":
    main()
