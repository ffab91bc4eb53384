"""``python -m bench.drivers``: what an operation, a rule and a packet cost in the drivers.

The software driver is what the agent's own speed is measured with, so it must cost next to nothing
itself.  The simulated hardware must cost less than it simulates, with an empty queue and with a
long one.  Operations are completed into nothing: what is measured is the driver alone.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.task import Clock
from zope.interface import implementer

from agent.openflow.actions import ApplyActions, DecNwTtl, Instructions, Output, SetField
from agent.openflow.fields import ETH_DST
from agent.openflow.match import Match
from drivers.asic.driver import create as create_asic
from drivers.interfaces import Counters, IOperation, IRule, OperationKind, Target
from drivers.software.driver import create as create_software
from drivers.testing.fakes import FakeEntry, FakeHost
from drivers.testing.frames import FRAME

TARGETS: Final = {"submit": 2.0, "ASIC": 50.0, "packet": 20.0}
"""Microseconds: of an operation of the software driver, of one of the simulated ASIC, and of a
packet through one rule."""


@implementer(IRule)
class Rule:
    """A rule which costs as little as can be."""

    __slots__ = (
        "cookie",
        "counters",
        "handle",
        "instructions",
        "match",
        "priority",
        "table_id",
    )

    def __init__(self, number: int, priority: int, instructions: Instructions = ()) -> None:
        self.handle = number
        self.table_id = 0
        self.priority = priority
        self.match = Match.of(
            in_port=1, eth_type=0x800, ip_proto=6, ipv4_src=number, ipv4_dst=number, tcp_dst=80
        )
        self.instructions = instructions
        self.cookie = 0
        self.counters = Counters()


@implementer(IOperation)
class Operation:
    """An operation whose completion is only counted."""

    __slots__ = ("kind", "old", "rule")

    target = Target.RULE
    completed = 0

    def __init__(self, kind: OperationKind, rule: Rule, old: Rule | None = None) -> None:
        self.kind = kind
        self.rule = rule
        self.old = old

    def complete(self, error: Exception | None = None) -> None:
        """Count it."""
        assert error is None, error
        Operation.completed += 1


def microseconds(run: Callable[[], object], count: int, repeat: int = 3) -> float:
    """The shortest of some runs, for each of what it does."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best / count * 1e6


def rules(count: int, priorities: int = 1) -> list[Rule]:
    """Rules of some different priorities, in no order."""
    return [Rule(number, 100 + number * 7919 % priorities) for number in range(count)]


def software(count: int) -> dict[str, float]:
    """Operations of the software driver, and its memory."""
    some = rules(count)
    driver = create_software({}, [], [])
    driver.start(FakeHost())
    adds = [Operation(OperationKind.ADD, rule) for rule in some]
    modifies = [Operation(OperationKind.MODIFY, rule, rule) for rule in some]
    deletes = [Operation(OperationKind.DELETE, rule, rule) for rule in some]
    results = {"add": float("inf"), "modify": float("inf"), "delete": float("inf")}
    for _ in range(3):
        for name, operations in (("add", adds), ("modify", modifies), ("delete", deletes)):
            took = microseconds(lambda batch=operations: driver.submit(batch), count, 1)  # type: ignore[misc]
            results[name] = min(results[name], took)

    def one_by_one() -> None:
        for operation in adds:
            driver.submit([operation])

    results["add, one a turn"] = microseconds(one_by_one, count, 1)
    driver.submit(deletes)
    tracemalloc.start()
    driver.submit(adds)
    results["bytes a rule"] = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    return results


def asic(count: int, batch: int, priorities: int, profile: str) -> float:
    """Microseconds of CPU that an operation of the simulated hardware costs."""
    some = rules(count, priorities)

    def run() -> None:
        clock = Clock()
        driver = create_asic({"profile": profile, "seed": 1}, [], [])
        driver.start(FakeHost(reactor=clock))
        operations = [Operation(OperationKind.ADD, rule) for rule in some]
        operations += [Operation(OperationKind.DELETE, rule, rule) for rule in some]
        end = Operation.completed + len(operations)
        for at in range(0, len(operations), batch):
            driver.submit(operations[at : at + batch])
            goal = min(end - len(operations) + at + batch, end)
            while Operation.completed < goal:
                clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))

    return microseconds(run, 2 * count)


def packets(count: int) -> dict[str, float]:
    """Packets through the software datapath."""
    entries = [FakeEntry(f"p{n}", n) for n in (1, 2)]
    out = Output(2)
    results = {}
    programs: dict[str, Instructions] = {
        "output": (ApplyActions((out,)),),
        "address, TTL, output": (ApplyActions((SetField(ETH_DST, 1), DecNwTtl(), out)),),
    }
    for name, instructions in programs.items():
        driver = create_software({}, entries, [])
        driver.start(FakeHost())
        rule = Rule(1, 1, instructions)
        rule.match = Match()
        driver.submit([Operation(OperationKind.ADD, rule)])
        inject: Any = driver.port(1).receive

        def run(inject: Any = inject) -> None:
            for _ in range(count):
                inject(FRAME)

        results[name] = microseconds(run, count)
    return results


def main() -> None:
    """Measure, print, and fail when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="rules of the software driver")
    count = parser.parse_args().count
    missed = []

    def say(what: str, value: float, target: float | None = None) -> None:
        limit = f"  (at most {target:g})" if target is not None else ""
        sys.stdout.write(f"{what:62}{value:9.2f}{limit}\n")
        if target is not None and value > target:
            missed.append(what)

    for name, value in software(count).items():
        unit = "" if name.startswith("bytes") else " us"
        say(f"software: {name}{unit}", value, None if not unit else TARGETS["submit"])
    for profile, size, batch, priorities in (
        ("quanta", 1_000, 1, 1),
        ("quanta", 1_900, 1_900, 1),
        ("instant", 4_000, 4_000, 1),
        ("instant", 4_000, 4_000, 4_000),
    ):
        name = f"asic, {profile}: {size} rules, {batch} at once, {priorities} priorities, us"
        say(name, asic(size, batch, priorities, profile), TARGETS["ASIC"])
    for name, value in packets(20_000).items():
        say(f"packet: {name} ({1e6 / value:,.0f}/s) us", value, TARGETS["packet"])
    if missed:
        sys.exit(f"too slow: {', '.join(missed)}")


if __name__ == "__main__":
    main()
