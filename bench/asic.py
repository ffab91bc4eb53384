"""``python -m bench.asic``: what the scheduler is worth on the simulated hardware.

For each profile, workload and number of rules: how long the hardware works to install the rules
with a barrier after every one, after every fifty, and only at the end; in the order of arrival and
in the scheduler's, both over *the writes alone*: the same operations if nothing ever moved and all
that may be written together were.  It is simulated time, without jitter and one operation at a
time, so that nothing but the order makes a difference.  Then what the scheduler itself costs: time
of the processor for each operation with 4,000 waiting, and all of the simulation's over the time
which the hardware works.

Workloads, all from the seed: rule sets in the manner of ClassBench (Taylor and Turner, INFOCOM
2005), which have few distinct prefixes and ports, nested in each other, and a priority of their own
for each rule, the more specific the higher.

- ``acl``: mostly long prefixes on both sides, exact destination ports, hardly any wildcard;
- ``fw``: wildcards on one side or the other, and source ports too;
- ``ipc``: between the two;
- ``prefix``: a routing table; the priority is the length of the prefix;
- ``ascending``, ``descending``, ``random``: disjoint rules, each with a priority of its own.

The first three arrive in random order.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Final

import attrs
from twisted.internet.task import Clock

from agent.openflow.match import Match
from drivers.asic.costs import Costs, Run
from drivers.asic.driver import default_policy
from drivers.asic.hardware import Hardware
from drivers.asic.layout import make_layout
from drivers.asic.lies import HONEST
from drivers.asic.model import AsicModel
from drivers.asic.profile import Jitter, Law, Profile, load, profile_names
from drivers.asic.tcam import Tcam
from drivers.scheduling import Scheduler
from drivers.testing import FakeOperation, FakeRule

SIZES: Final = (500, 1_000, 4_000)
BARRIERS: Final = (1, 50, 0)
"""Operations between two barriers; 0: only one, at the end."""

TARGET_GAIN: Final = 5.0
"""How many times faster than in the order of arrival, where that is the slow one; 1,000 rules."""
TARGET_CPU: Final = 50.0
"""Microseconds for each operation with 4,000 waiting."""
TARGET_OVERHEAD: Final = 0.02
"""The agent's part, as a share of the hardware's busy time."""

_SHAPES: Final = {
    # Prefix lengths of source and destination, and how often a destination and a source port.
    "acl": ((16, 24, 24, 32, 32), (24, 28, 32, 32, 32), 0.8, 0.0),
    "fw": ((0, 0, 16, 24, 32), (0, 16, 24, 32, 32), 0.6, 0.3),
    "ipc": ((0, 16, 24, 32, 32), (16, 24, 32, 32, 32), 0.7, 0.15),
}
_PORTS: Final = (22, 25, 53, 80, 123, 443, 1521, 3306, 5060, 8080)


def prefix(random: Random, length: int) -> tuple[int, int]:
    """An address and a mask; long prefixes lie within few short ones."""
    mask = 0xFFFFFFFF << 32 - length & 0xFFFFFFFF
    net = random.choice((0x0A000000, 0x0A010000, 0xAC100000, 0xC0A80000))
    return (net | random.randrange(64) << 8 | random.randrange(256)) & mask, mask


def rule_set(shape: str, count: int, seed: int) -> list[FakeRule]:
    """Rules in the manner of ClassBench, in random order; no two have the same match."""
    random = Random(seed)
    sources, destinations, to_port, from_port = _SHAPES[shape]
    matches: dict[Match, int] = {}
    while len(matches) < count:
        fields: dict[str, int | tuple[int, int]] = {"eth_type": 0x800, "ip_proto": 6}
        source, destination = random.choice(sources), random.choice(destinations)
        if source:
            fields["ipv4_src"] = prefix(random, source)
        if destination:
            fields["ipv4_dst"] = prefix(random, destination)
        if random.random() < to_port:
            fields["tcp_dst"] = random.choice(_PORTS)
        if random.random() < from_port:
            fields["tcp_src"] = random.randrange(1024)
        match = Match.of(**fields)
        matches.setdefault(match, match.mask.bit_count())
    ordered = sorted(matches, key=matches.__getitem__)
    rules = [FakeRule(match, 1 + place) for place, match in enumerate(ordered)]
    random.shuffle(rules)
    return rules


def disjoint(priorities: Sequence[int]) -> list[FakeRule]:
    """Rules of which no packet hits two."""
    return [
        FakeRule(Match.of(eth_type=0x800, ipv4_dst=number), priority)
        for number, priority in enumerate(priorities)
    ]


def workload(name: str, count: int, seed: int) -> list[FakeRule]:
    """The rules of a workload, as they arrive."""
    random = Random(seed)
    if name in _SHAPES:
        return rule_set(name, count, seed)
    if name == "prefix":
        seen: dict[tuple[int, int], int] = {}
        while len(seen) < count:
            length = random.choice((16, 20, 22, 23, 24, 24, 24, 24, 28, 32))
            mask = 0xFFFFFFFF << 32 - length & 0xFFFFFFFF
            seen[random.getrandbits(32) & mask, mask] = length
        return [
            FakeRule(Match.of(eth_type=0x800, ipv4_dst=where), length)
            for where, length in seen.items()
        ]
    priorities = list(range(1, count + 1))
    if name == "descending":
        priorities.reverse()
    elif name == "random":
        random.shuffle(priorities)
    return disjoint(priorities)


WORKLOADS: Final = ("acl", "fw", "ipc", "prefix", "ascending", "descending", "random")


def sized(profile: Profile, count: int) -> Profile:
    """The profile without what only blurs the comparison, and with room for the rules."""
    table = attrs.evolve(profile.tables[0], size=max(count, profile.tables[0].size))
    return attrs.evolve(profile, jitter=Jitter(), parallel=1, tables=(table,))


def install(profile: Profile, rules: Sequence[FakeRule], barrier: int, policy: str) -> float:
    """Seconds of the hardware's time to install rules."""
    clock = Clock()
    size = profile.tables[0].size
    table = Tcam(0, size, make_layout(profile.layout, profile.free, size))
    hardware = Hardware(profile, {0: table}, 1, policy)
    hardware.power_on(clock)
    step = barrier or len(rules)
    for at in range(0, len(rules), step):
        hardware.submit([FakeOperation.add(rule) for rule in rules[at : at + step]])
        while clock.calls:
            clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))
    assert len(table.rules) == len(rules)
    assert abs(hardware.busy - clock.seconds()) < 1e-6
    return hardware.busy


def writes(profile: Profile, rules: Sequence[FakeRule], barrier: int) -> float:
    """The same if nothing ever moved."""
    add = profile.add
    still = Law(add.base, add.per_entry, add.per_entry_from, 0.0, add.batched)
    return install(attrs.evolve(profile, add=still), rules, barrier, "fifo")


def scheduler_cpu(rules: Sequence[FakeRule]) -> float:
    """Microseconds for each operation, all of them waiting before the first is taken.

    With the profile for which it has most to do: the one where the cheap direction is not the safe
    one.
    """
    profile = sized(load("descending"), len(rules))
    size = profile.tables[0].size
    table = Tcam(0, size, make_layout(profile.layout, profile.free, size))
    model = AsicModel(Costs(profile), {0: table}, Run(1))
    operations = [FakeOperation.add(rule) for rule in rules]
    best = float("inf")
    for _ in range(3):
        scheduler = Scheduler(model)
        start = time.process_time()
        for operation in operations:
            scheduler.push(operation, 0.0)
        for _ in operations:
            scheduler.pop()
        best = min(best, time.process_time() - start)
    return best / len(operations) * 1e6


def main() -> None:
    """Measure, print, and fail when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", nargs="*", help="default: all whose times differ")
    parser.add_argument("--workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = given.profiles or [
        name
        for name in profile_names()
        if name not in ("instant", "hundred", "spill") and load(name).lies == HONEST
    ]
    missed = []
    write = sys.stdout.write
    write("Seconds of the writes alone, and how many times that in order of arrival > scheduled\n")
    heads = "".join(
        f"{f'barrier every {barrier}' if barrier else 'one barrier':>24}" for barrier in BARRIERS
    )
    write(f"{'profile':12}{'workload':12}{'rules':>6}{'writes':>9}{heads}\n")
    for name in names:
        for kind in given.workloads:
            for count in given.sizes:
                rules = workload(kind, count, given.seed)
                profile = sized(load(name), count)
                cells, gain = [], 1.0
                for barrier in BARRIERS:
                    least = writes(profile, rules, barrier)
                    fifo = install(profile, rules, barrier, "fifo") / least
                    greedy = install(profile, rules, barrier, "greedy") / least
                    cells.append(f"{fifo:11.2f} >{greedy:6.2f}{f'{fifo / greedy:4.1f}x':>5}")
                    gain = fifo / greedy
                    if gain < 0.99 and default_policy(profile) == "greedy":
                        missed.append(f"{name}, {kind}, {count}, {barrier}: {gain:.2f} times")
                write(f"{name:12}{kind:12}{count:6}{least:9.2f}{''.join(cells)}\n")
                if (
                    name == "descending"
                    and kind in ("descending", "random")
                    and count == 1_000
                    and gain < TARGET_GAIN
                ):
                    missed.append(f"{name}, {kind}: {gain:.1f} times")
    write(f"\nProcessor, 4,000 waiting (at most {TARGET_CPU:g} us an operation)\n")
    for kind in given.workloads:
        cost = scheduler_cpu(workload(kind, 4_000, given.seed))
        write(f"{kind:30}{cost:8.1f} us\n")
        if cost > TARGET_CPU:
            missed.append(f"{kind}: {cost:.1f} us")
    write(
        "\nAll of the simulation over the hardware's time "
        f"(at most {TARGET_OVERHEAD:.0%} of that of real switches)\n"
    )
    for name in names:
        rules = workload("acl", 1_000, given.seed)
        start = time.perf_counter()
        busy = install(sized(load(name), 1_000), rules, 0, "greedy")
        share = (time.perf_counter() - start) / busy
        write(f"{name:30}{share:8.2%}\n")
        if share > TARGET_OVERHEAD and load(name).kind != "made up":
            missed.append(f"{name}: {share:.2%}")
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
