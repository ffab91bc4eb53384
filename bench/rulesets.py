"""Rule sets to install: made here, from a seed; the same seed, the same rules.

``acl``, ``fw`` and ``ipc`` are in the manner of ClassBench (Taylor and Turner, INFOCOM 2005), which
makes rule sets like those of real routers and firewalls from what was measured of twelve of them.
What is kept of its structure, each a share of :class:`Shape`:

- the protocol: TCP in most rules, then any, UDP and ICMP;
- the classes of the two ports, as a pair: any (``wc``), 1024 and above (``hi``), below (``lo``), a
  range (``ar``) or one port (``em``).  A ternary memory knows no ranges, so that one is cut into
  entries with masks, which share a priority: six of them for ``hi``;
- the lengths of the two prefixes, as a pair, which is what makes a set: two hosts in ``acl``, a
  wildcard on one side in ``fw``;
- few distinct addresses, which share prefixes: each octet is drawn by itself, small ones far more
  often than large ones, so that long prefixes lie within short ones;
- an order, in which the more specific come first: that of the bits that a rule looks at.

The figures of ``acl`` are those of ClassBench's ``acl1``, rounded.  Those of ``fw`` and ``ipc`` are
ours, after what the paper says of such sets: firewalls have many wildcards, and also in the source
port, which makes nearly everything overlap; chains of IP addresses are between the two.  Two thirds
of the rules permit, the others deny.  ClassBench has no actions, so that this is ours as well.

``prefix`` is a routing table: the shares of the lengths are about those of the Internet's (more
than half are /24, then /22, /23 and /16), the priority is the length.  ``ascending``,
``descending`` and ``random`` are disjoint rules, each with a priority of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from random import Random
from typing import Final, TypeVar

import attrs

from agent.openflow.actions import Instructions
from agent.openflow.match import Match
from drivers.testing import FakeRule
from drivers.testing.fakes import output

ICMP, TCP, UDP = 1, 6, 17
_PORT_FIELDS: Final = {TCP: ("tcp_src", "tcp_dst"), UDP: ("udp_src", "udp_dst")}

T = TypeVar("T")


@attrs.frozen
class Shape:
    """What is typical of a kind of rule set.

    :ivar protocols: shares of the protocols; 0: any.
    :ivar ports: shares of the classes of source and destination port, of rules of TCP and UDP.
    :ivar prefixes: shares of the lengths of source and destination prefix.
    """

    protocols: Mapping[int, float]
    ports: Mapping[tuple[str, str], float]
    prefixes: Mapping[tuple[int, int], float]


SHAPES: Final = {
    "acl": Shape(
        {TCP: 0.87, 0: 0.09, ICMP: 0.03, UDP: 0.01},
        {("wc", "em"): 0.65, ("wc", "wc"): 0.22, ("wc", "ar"): 0.13},
        {
            (32, 32): 0.67,
            (23, 32): 0.09,
            (32, 24): 0.07,
            (23, 31): 0.04,
            (32, 22): 0.05,
            (31, 32): 0.03,
            (30, 32): 0.02,
            (23, 16): 0.02,
            (0, 0): 0.01,
        },
    ),
    "fw": Shape(
        {TCP: 0.67, UDP: 0.17, 0: 0.10, ICMP: 0.06},
        {
            ("wc", "em"): 0.46,
            ("wc", "wc"): 0.16,
            ("em", "wc"): 0.13,
            ("hi", "em"): 0.08,
            ("wc", "hi"): 0.08,
            ("wc", "ar"): 0.06,
            ("hi", "hi"): 0.03,
        },
        {
            (0, 32): 0.34,
            (32, 0): 0.17,
            (32, 32): 0.16,
            (24, 32): 0.08,
            (0, 24): 0.06,
            (24, 0): 0.06,
            (16, 0): 0.05,
            (0, 0): 0.04,
            (24, 24): 0.04,
        },
    ),
    "ipc": Shape(
        {TCP: 0.58, 0: 0.20, UDP: 0.17, ICMP: 0.05},
        {
            ("wc", "em"): 0.45,
            ("wc", "wc"): 0.30,
            ("em", "wc"): 0.10,
            ("wc", "ar"): 0.06,
            ("wc", "hi"): 0.04,
            ("em", "em"): 0.05,
        },
        {
            (32, 32): 0.45,
            (24, 32): 0.12,
            (32, 24): 0.12,
            (24, 24): 0.09,
            (0, 32): 0.07,
            (32, 0): 0.05,
            (16, 24): 0.05,
            (16, 16): 0.03,
            (0, 0): 0.02,
        },
    ),
}

_ROUTES: Final = {24: 0.60, 23: 0.10, 22: 0.12, 21: 0.05, 20: 0.04, 19: 0.03, 18: 0.02, 16: 0.02,
                  17: 0.01, 14: 0.005, 12: 0.003, 8: 0.002}  # fmt: skip

_SERVICES: Final = (80, 443, 53, 25, 22, 1521, 123, 110, 21, 161, 389, 445, 514, 1433, 3306, 8080)
_RANGES: Final = ((1600, 1649), (1300, 1349), (7500, 7599), (2200, 2210), (8000, 8100), (20, 21))
_CLASSES: Final = {"wc": (0, 65535), "hi": (1024, 65535), "lo": (0, 1023)}
_PERMITS: Final = 2 / 3


def masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """A range of ports, as the fewest values with masks."""
    while first <= last:
        size = first & -first or 65536
        while first + size - 1 > last:
            size >>= 1
        yield first, 0xFFFF & -size
        first += size


def _choose(random: Random, shares: Mapping[T, float]) -> T:
    return random.choices(list(shares), list(shares.values()))[0]


def _few(random: Random, of: Sequence[T]) -> T:
    """One of these, the first far more often than the last."""
    return of[int(len(of) * random.random() ** 3)]


def _address(random: Random, length: int) -> tuple[int, int]:
    """A prefix; see the module."""
    octets = (10, *(_few(random, range(256)) for _ in range(3)))
    mask = 0xFFFFFFFF << 32 - length & 0xFFFFFFFF
    return int.from_bytes(octets, "big") & mask, mask


def _port(random: Random, kind: str) -> list[tuple[int, int]]:
    if kind == "em":
        port = _few(random, _SERVICES)
        return [(port, 0xFFFF)]
    return list(masks(*(_few(random, _RANGES) if kind == "ar" else _CLASSES[kind])))


def _matches(shape: Shape, random: Random) -> list[Match]:
    """A rule of a set: one entry, or several where it has a range of ports."""
    fields: dict[str, int | tuple[int, int]] = {"eth_type": 0x800}
    protocol = _choose(random, shape.protocols)
    if protocol:
        fields["ip_proto"] = protocol
    lengths = _choose(random, shape.prefixes)
    for field, length in zip(("ipv4_src", "ipv4_dst"), lengths, strict=True):
        if length:
            fields[field] = _address(random, length)
    if protocol not in _PORT_FIELDS:
        return [Match.of(**fields)]
    names = _PORT_FIELDS[protocol]
    kinds = _choose(random, shape.ports)
    found = []
    for ports in product(_port(random, kinds[0]), _port(random, kinds[1])):
        looked_at = {name: port for name, port in zip(names, ports, strict=True) if port[1]}
        found.append(Match.of(**fields, **looked_at))
    return found


def rule_set(shape: Shape, count: int, seed: int) -> list[FakeRule]:
    """Rules in random order; no two have the same match."""
    random = Random(seed)
    seen: set[Match] = set()
    rules: list[tuple[list[Match], Instructions]] = []
    while len(seen) < count:
        matches = [match for match in _matches(shape, random) if match not in seen]
        if matches:
            matches = matches[: count - len(seen)]
            seen.update(matches)
            rules.append((matches, output(2) if random.random() < _PERMITS else ()))
    rules.sort(key=lambda rule: rule[0][0].mask.bit_count())
    made = [
        FakeRule(match, 1 + place, instructions=instructions)
        for place, (matches, instructions) in enumerate(rules)
        for match in matches
    ]
    random.shuffle(made)
    return made


def routes(count: int, seed: int) -> list[FakeRule]:
    """A routing table in random order."""
    random = Random(seed)
    seen: dict[tuple[int, int], int] = {}
    while len(seen) < count:
        length = _choose(random, _ROUTES)
        mask = 0xFFFFFFFF << 32 - length & 0xFFFFFFFF
        seen[random.getrandbits(32) & mask, mask] = length
    return [
        FakeRule(
            Match.of(eth_type=0x800, ipv4_dst=where),
            length,
            instructions=output(1 + random.randrange(8)),
        )
        for where, length in seen.items()
    ]


def disjoint(priorities: Sequence[int]) -> list[FakeRule]:
    """Rules of which no packet hits two."""
    return [
        FakeRule(Match.of(eth_type=0x800, ipv4_dst=number), priority, instructions=output(2))
        for number, priority in enumerate(priorities)
    ]


WORKLOADS: Final = (*SHAPES, "prefix", "ascending", "descending", "random")


def workload(name: str, count: int, seed: int) -> list[FakeRule]:
    """The rules of a workload, as they arrive."""
    if name in SHAPES:
        return rule_set(SHAPES[name], count, seed)
    if name == "prefix":
        return routes(count, seed)
    priorities = list(range(1, count + 1))
    if name == "descending":
        priorities.reverse()
    elif name == "random":
        Random(seed).shuffle(priorities)
    return disjoint(priorities)
