"""``python -m bench.lookup``: what finding the rule of a packet costs, by rules and by masks.

It shall not grow with the rules (:data:`TARGET`).  What is compared is therefore the same traffic:
as many flows, which hit as many rules, drawn from all over the table.  Flows that are known are
found in a cache, whose size is that of the traffic.  Those that are not are looked up with one mask
after the other; addresses and ports that their rule leaves open are random, so that they are looked
for all over the dictionaries of the other masks.  In a table of which more is hit than the smallest
has, each lookup ends in memory that no cache of the processor holds; that is the traffic's size
rather than the table's, and shown in the last columns.

For flows that were not seen before it does grow with the masks, which is why the software driver
bounds them.  The rules of a mask have a priority of their own: on average a packet is looked up
with half of the masks.
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
"""Flows in turn that are known."""
NEW_FLOWS: Final = MAX_FLOWS + MAX_FLOWS // 4
"""Flows in turn of which none is known any more when it is its turn again."""


OPEN: Final = Match.of(ipv4_src=0xFFFFFFFF, ipv4_dst=0xFFFFFFFF, udp_src=0xFFFF).mask
"""What differs between the flows that hit a rule, where it does not say what it must be."""


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


def packets(rules: Classifier[Entry], flows: int, hit: int) -> list[int]:
    """The flow keys of packets of different flows.

    :param hit: how many rules they hit, at most; chosen at random.
    """
    chance = random.Random(1)
    chosen = list(rules)
    if hit < len(chosen):
        chosen = chance.sample(chosen, hit)
    found = []
    for entry in chance.choices(chosen, k=flows):
        key = flow_key(compose(entry.match, bytes(20)), 1)
        free = OPEN & ~entry.match.mask
        found.append(key & ~free | chance.getrandbits(OPEN.bit_length()) & free)
    return found


def once(rules: Classifier[Entry], keys: list[int]) -> float:
    """Microseconds of a lookup."""
    # As with packets, no key is the very object that has been looked up before.
    keys = [key ^ 1 ^ 1 for key in keys]
    lookup = rules.lookup
    start = time.perf_counter()
    for key in keys:
        lookup(key)
    return (time.perf_counter() - start) / len(keys) * 1e6


def costs(tables: list[Classifier[Entry]], flows: int, hit: int, runs: int) -> list[list[float]]:
    """Microseconds a lookup by run and table.

    They are measured in turn, so that what else the machine does hits all.
    """
    work = [(each, packets(each, flows, hit)) for each in tables]
    for each in work:
        once(*each)
    return [[once(*each) for each in work] for _ in range(runs)]


def medians(found: list[list[float]]) -> list[tuple[float, float]]:
    """For each table the cost, and how many times that of the first in the same run."""
    return [
        (statistics.median(column), statistics.median(ratios))
        for column, ratios in zip(
            zip(*found, strict=True),
            zip(*([cost / run[0] for cost in run] for run in found), strict=True),
            strict=True,
        )
    ]


def main() -> None:
    """Measure, print, and fail when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rules", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--masks", type=int, nargs="*", default=[1, 20, 100, 500, 900])
    parser.add_argument("--runs", type=int, default=31)
    options = parser.parse_args()
    tables = [table(rules, MASKS) for rules in options.rules]
    fewest, most = options.rules[0], options.rules[-1]
    columns = {
        "known flow": medians(costs(tables, FLOWS, fewest, options.runs)),
        "new flow": medians(costs(tables, NEW_FLOWS, fewest, options.runs)),
        "known, any rule": medians(costs(tables, FLOWS, most, options.runs)),
        "new, any rule": medians(costs(tables, NEW_FLOWS, most, options.runs)),
    }
    print(f"us a lookup, {MASKS} masks" + "".join(f"{name:>16} ratio" for name in columns))
    for rules, *row in zip(options.rules, *columns.values(), strict=True):
        print(f"{rules:16,} rules" + "".join(f"{cost:16.2f}{ratio:6.2f}" for cost, ratio in row))
    tables = [table(masks, masks) for masks in options.masks]
    new_by_masks = medians(costs(tables, NEW_FLOWS, most, options.runs))
    print(f"\nus a lookup of a new flow{'':>17}{'a mask':>8}")
    for masks, (cost, _ratio) in zip(options.masks, new_by_masks, strict=True):
        print(f"{masks:14,} masks{cost:22.2f}{cost / masks:8.3f}")
    for name in ("known flow", "new flow"):
        ratio = columns[name][-1][1]
        if ratio > TARGET:
            sys.exit(f"too slow: {name}: {ratio:.2f} times as much, at most {TARGET:g}")


if __name__ == "__main__":
    main()
