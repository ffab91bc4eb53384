"""How fast rules get into the kernel's tc flower, and their counters out of it.

``make bench-tcflower`` runs it, in a virtual machine if this machine's kernel has no flower.  All
ways install the same filters: bytes that were packed before, 64 in a call, which is what the kernel
can take; the driver; and ``tc -batch``.  Only ratios count, for the machine may be emulated.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.selectreactor import SelectReactor

from agent.openflow import fields
from agent.openflow.match import Match
from drivers.software.system import SYSTEM
from drivers.tcflower import driver, pack
from drivers.tcflower.changes import ADDING
from drivers.tcflower.netlink import Pipeline
from drivers.tcflower.translate import translate
from drivers.tcflower.view import PortView, View
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import output

PORTS = ("bench1", "bench2")
SOURCE = 0x0A000000
PAIRS = 5
"""How often the counters are read in either way."""


def run(line: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(line.split(), check=True, stdout=subprocess.DEVNULL, timeout=600)


def timed(call: Callable[[], object]) -> float:
    """The seconds that something takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def until(reactor: Any, done: Callable[[], object]) -> None:
    """Turn the reactor."""
    while not done():
        reactor.iterate(0.01)


def main(count: int) -> None:
    """Measure, and print a table."""
    for name in PORTS:
        run(f"ip link add {name} type veth peer name {name}-peer")
        run(f"ip link set {name} up")
        run(f"ip link set {name}-peer up")
    instructions = output(2)
    rules = [
        FakeRule(
            Match.of(in_port=1, eth_type=0x800, ip_proto=6, ipv4_src=SOURCE + n, tcp_dst=80),
            100,
            instructions=instructions,
        )
        for n in range(count)
    ]
    results = {
        "prebuilt bytes": bound(rules),
        "driver": through_driver(rules),
        "tc -batch": by_tc(rules),
    }
    print(f"{count} rules of one kind")
    for way, seconds in results.items():
        share = results["prebuilt bytes"] / seconds
        print(f"{way:<20}{count / seconds:>12,.0f} rules/s{share:>8.2f} of the bound")


def bound(rules: list[FakeRule]) -> float:
    """Bytes that were packed before."""
    run("tc qdisc add dev bench1 ingress_block 70 clsact")
    view = View({n: PortView(m, socket.if_nametoindex(m)) for n, m in enumerate(PORTS, 1)})
    reactor: Any = SelectReactor()
    pipeline = Pipeline(SYSTEM)
    pipeline.open(reactor)
    requests = []
    for n, rule in enumerate(rules, 1):
        (one,) = translate(rule, view).filters()
        model = attrs.evolve(one, handle=n, cookie=bytes(16), flags=driver.MODES["skip_hw"])
        sequence = pipeline.sequence()
        requests.append((sequence, pack.new_filter(model, 70, ADDING, sequence)))
    answers: list[int] = []

    def go() -> None:
        for sequence, request in requests:
            pipeline.push(sequence, request, lambda error, text: answers.append(error))
        until(reactor, lambda: len(answers) == len(rules))

    seconds = timed(go)
    assert not any(answers), set(answers)
    pipeline.close()
    run("tc qdisc del dev bench1 clsact")
    return seconds


def through_driver(rules: list[FakeRule]) -> float:
    """The driver alone: operations in, operations complete; then its dump and that of tc."""
    reactor: Any = SelectReactor()
    entries = [FakeEntry(name, n, type="netdev") for n, name in enumerate(PORTS, 1)]
    made = driver.create({"mode": "skip_hw"}, entries, [])
    host = FakeHost(reactor=reactor)
    made.start(host)
    operations = [FakeOperation.add(rule) for rule in rules]

    def go() -> None:
        made.submit(operations)
        until(reactor, lambda: operations[-1].done)

    seconds = timed(go)
    assert all(operation.succeeded for operation in operations)
    read_counters(made, reactor, rules, driver.block_of(host.name))
    made.stop()
    return seconds


def read_counters(made: Any, reactor: Any, rules: list[FakeRule], block: int) -> None:
    """Compare the driver, which ends with all counters in the rules, with tc, which prints them;
    in pairs, after packets for some of the rules."""
    peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    peer.bind((f"{PORTS[0]}-peer", 0))
    sent = 0

    def refresh() -> None:
        done: list[object] = []
        made.refresh(rules).addCallback(done.append)
        until(reactor, lambda: done)

    for text, step in (("no rule", 0), ("a hundredth of the rules", 100), ("each rule", 1)):
        ratios = []
        for _ in range(PAIRS):
            for rule in rules[::step] if step else ():
                peer.send(frame(rule))
                sent += 1
            ours = timed(refresh)
            assert sum(rule.counters.packets for rule in rules) == sent
            theirs = timed(lambda: run(f"tc -s filter show block {block}"))
            ratios.append(theirs / ours)
        print(
            f"counters of {len(rules)} rules, when {text} has counted: "
            f"{statistics.median(ratios):.1f} times as fast as tc -s filter show "
            f"({min(ratios):.1f} to {max(ratios):.1f})"
        )
    peer.close()


def frame(rule: FakeRule) -> bytes:
    """A frame that a rule matches."""
    source = rule.match.get(fields.IPV4_SRC)[0].to_bytes(4, "big")
    ip = b"\x45\0\0\x28\0\0\0\0\x40\x06\0\0" + source + b"\x0a\0\0\x01"
    return bytes(12) + b"\x08\0" + ip + (7).to_bytes(2, "big") + (80).to_bytes(2, "big") + bytes(22)


def by_tc(rules: list[FakeRule]) -> float:
    """Debian's tc, with a file."""
    run("tc qdisc add dev bench1 ingress_block 71 clsact")
    lines = "".join(
        f"filter add block 71 protocol ip pref 100 handle {n} flower skip_hw indev bench1 "
        f"ip_proto tcp src_ip {socket.inet_ntoa((SOURCE + n).to_bytes(4, 'big'))} dst_port 80 "
        "action mirred egress redirect dev bench2\n"
        for n in range(1, len(rules) + 1)
    )
    return timed(
        lambda: subprocess.run(
            ["tc", "-batch", "-"], input=lines, text=True, check=True, timeout=600
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000)
