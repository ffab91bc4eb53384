"""``python -m bench.confirm``: what barriers over hardware that lies are worth, believed or not.

For each profile that lies: prefixes that overlap are installed with a barrier after every so many,
each batch sent when the barrier before it was answered.  Believed, after a fixed time, and with
packets to see it (:mod:`drivers.probing`).  All in simulated time:

- *lied*: the share of the barriers which were answered when some packet met another rule than the
  flow table says, of one packet for each rule that the barrier vouched for;
- *late*: how long after such an answer it became true, on average and at most; *never*: how many of
  those barriers are not true in the end either;
- *time*: until the last barrier, over the hardware's own busy time for the same rules;
- *gave up*: how many rules were not confirmed, and deleted after five seconds without any other;
- *untold*: how many rules no packet could tell; *packets*: how many were sent for each rule; *cpu*:
  microseconds of this machine's for each rule, all in one go, beyond what it is when believed.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random
from typing import Final

import attrs
from twisted.internet.task import Clock

from agent.openflow.match import Match
from agent.packet.classifier import Classifier
from drivers.asic.driver import AsicDriver, create
from drivers.asic.lies import HONEST
from drivers.asic.profile import load, profile_names
from drivers.interfaces import IRule
from drivers.probing import ByProbe
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import output

Mode = tuple[str, float, int]

MODES: Final[tuple[Mode, ...]] = (
    ("driver", 0.0, 0),
    ("delay", 0.1, 0),
    ("delay", 0.4, 0),
    ("probe", 0.4, 0),
    ("probe", 0.4, 16),
)
"""The options ``confirm``, ``confirm_delay`` and ``confirm_overlaps``."""
PATIENCE: Final = 5.0
"""Seconds without any confirmation after which whoever waits gives up, as a watchdog would."""
STEP: Final = 0.001
"""Seconds between two looks at whether it is true by now."""


@attrs.define
class Barrier:
    """One barrier.

    :ivar answered: when.
    :ivar open: the packets that have not met yet what they shall, with the rules that they shall.
    :ivar lied: whether there was one when it was answered.
    :ivar late: how long after that the last of them did.
    """

    answered: float
    open: list[tuple[int, IRule]]
    lied: bool = False
    late: float = 0.0


def rule_set(count: int, seed: int) -> list[FakeRule]:
    """Prefixes within few longer ones, the longer the higher, in random order."""
    random = Random(seed)
    matches: dict[Match, int] = {}
    while len(matches) < count:
        length = random.choice((8, 16, 20, 24, 24, 28, 32))
        mask = 0xFFFFFFFF << 32 - length & 0xFFFFFFFF
        where = 10 << 24 | random.randrange(16) << 16 | random.getrandbits(16)
        matches[Match.of(eth_type=0x800, ipv4_dst=(where & mask, mask))] = length
    rules = [
        FakeRule(match, length, instructions=output(random.randrange(1, 8)))
        for match, length in matches.items()
    ]
    random.shuffle(rules)
    return rules


def witnesses(rules: list[FakeRule], seed: int) -> dict[FakeRule, int]:
    """For each rule a packet that meets it when all are there, if one is soon found."""
    random = Random(seed)
    table: Classifier[FakeRule] = Classifier()
    for rule in rules:
        table.put(rule)
    found = {}
    for rule in rules:
        for _ in range(20):
            match = rule.match
            free = Match.of(ipv4_dst=0xFFFFFFFF).mask & ~match.mask
            key = match.value | random.getrandbits(free.bit_length()) & free
            if table.lookup(key) is rule:
                found[rule] = key
                break
    return found


def started(name: str, mode: Mode, seed: int) -> tuple[AsicDriver, Clock]:
    """A driver of hardware of this kind, and its clock."""
    options: dict[str, object] = {"profile": name, "seed": seed, "confirm": mode[0]}
    options |= {"confirm_delay": mode[1], "confirm_overlaps": mode[2]}
    driver = create(options, [FakeEntry("p1", 1)], [])
    host = FakeHost(miss_to_controller=False)
    driver.start(host)
    return driver, host.reactor


class Installation:
    """Rules that are installed, and what their barriers were worth.

    :ivar driver: who does it.
    :ivar barriers: in their order.
    :ivar seconds: when the last was answered.
    :ivar gave_up: how many rules were not confirmed until nobody waited any more.
    """

    def __init__(self, name: str, mode: Mode, rules: list[FakeRule], every: int, seed: int) -> None:
        """Do it all."""
        self.driver, self.clock = started(name, mode, seed)
        self.barriers: list[Barrier] = []
        self.gave_up = 0
        packets = witnesses(rules, seed)
        for at in range(0, len(rules), every):
            operations = [FakeOperation.add(rule) for rule in rules[at : at + every]]
            self.driver.submit(operations)
            self._wait(operations)
            told = [each.rule for each in operations if each.done and each.rule in packets]
            barrier = Barrier(self.clock.seconds(), [(packets[rule], rule) for rule in told])
            self._look(barrier)
            barrier.lied = bool(barrier.open)
            self.barriers.append(barrier)
        self.seconds = self.clock.seconds()
        while self.driver.hardware.waiting or self.driver.hardware.running:
            self._step()
        self.driver.stop()

    def _wait(self, operations: list[FakeOperation]) -> None:
        """Until the barrier is answered; what is not confirmed for very long is given up."""
        left, patience = operations, self.clock.seconds() + PATIENCE
        while left and self.clock.seconds() < patience:
            self._step()
            before, left = left, [operation for operation in left if not operation.done]
            if len(left) < len(before):
                patience = self.clock.seconds() + PATIENCE
        if left:
            self.driver.recall(left)
            self.gave_up += len(left)
            # As the agent does: nobody knows what there is of it.
            deletes = [FakeOperation.delete(operation.rule) for operation in left]
            self.driver.submit(deletes)
            patience = self.clock.seconds() + PATIENCE
            while not all(each.done for each in deletes) and self.clock.seconds() < patience:
                self._step()

    def _step(self) -> None:
        self.clock.advance(STEP)
        for barrier in self.barriers:
            if barrier.open:
                self._look(barrier)
                barrier.late = self.clock.seconds() - barrier.answered

    def _look(self, barrier: Barrier) -> None:
        lookup = self.driver.hardware.tables[0].rules.lookup
        barrier.open = [(key, rule) for key, rule in barrier.open if lookup(key) is not rule]


def processor(name: str, mode: Mode, rules: list[FakeRule], seed: int) -> float:
    """Microseconds of this machine's for each rule, all of them in one go."""
    driver, clock = started(name, mode, seed)
    operations = [FakeOperation.add(rule) for rule in rules]
    start = time.process_time()
    driver.submit(operations)
    end = clock.seconds() + 10 * PATIENCE
    while clock.calls and clock.seconds() < end and not all(each.done for each in operations[-9:]):
        clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))
    spent = time.process_time() - start
    driver.stop()
    return spent / len(rules) * 1e6


def main() -> None:
    """Measure and print; fail where packets vouched for a barrier that lied."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=400)
    parser.add_argument("--every", type=int, default=25, help="rules between two barriers")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rules = rule_set(given.rules, given.seed)
    missed = []
    write = sys.stdout.write
    write(f"{given.rules} rules, a barrier every {given.every}\n")
    write(
        f"{'profile':12}{'confirm':12}{'lied':>6}{'late, mean':>12}{'most':>9}{'never':>7}"
        f"{'time':>7}{'gave up':>9}{'untold':>8}{'packets':>9}{'cpu':>9}\n"
    )
    for name in profile_names():
        if load(name).lies == HONEST:
            continue
        believed = processor(name, MODES[0], rules, given.seed)
        for mode in MODES:
            done = Installation(name, mode, rules, given.every, given.seed)
            lies = [barrier for barrier in done.barriers if barrier.lied]
            true = [barrier.late for barrier in lies if not barrier.open]
            mean = f"{sum(true) / len(true) * 1e3:.0f} ms" if true else "-"
            most = f"{max(true) * 1e3:.0f} ms" if true else "-"
            word = f"{mode[0]} {mode[1]:g} s" if mode[0] == "delay" else mode[0]
            word += f" +{mode[2]}" if mode[2] else ""
            share = done.seconds / done.driver.hardware.busy
            write(
                f"{name:12}{word:12}{len(lies) / len(done.barriers):6.0%}{mean:>12}{most:>9}"
                f"{sum(bool(barrier.open) for barrier in lies):7}{share:7.2f}{done.gave_up:9}"
            )
            confirmation = done.driver.confirmation
            if isinstance(confirmation, ByProbe):
                cost = processor(name, mode, rules, given.seed) - believed
                untold = sum(confirmation.untold.values())
                write(f"{untold:8}{confirmation.sent / len(rules):9.1f}{cost:6.0f} us")
                if lies and (mode[2] or not load(name).lies.flat):
                    missed.append(f"{name}: {len(lies)} barriers lied")
            write("\n")
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
