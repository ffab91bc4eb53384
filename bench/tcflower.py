"""How fast rules get into the kernel's tc flower, and their counters out of it.

``make bench-tcflower`` runs it, in a virtual machine if this machine's kernel has no flower.  All
ways install the same filters:

- bytes that were packed before, 64 in a call, which is what the kernel can take;
- the driver, from operations to their completion;
- the agent, from the first byte of OpenFlow to the answer of the last barrier;
- ``tc -batch``;
- Open vSwitch, which is told by ``dpctl/add-flows``; without it that row is missing.

Only ratios count, for the machine may be emulated.  It has two processors: the agent asks the
kernel in a thread, and the load generator takes a little; ``tc`` has one to itself all the time.
Emulated ones hinder each other, so that here the second is of use to echo only.  The ways take
turns, and medians are shown; only Open vSwitch comes last and alone, for it looks at its flows all
the time.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.selectreactor import SelectReactor

from agent.openflow.fields import IPV4_DST, IPV4_SRC, TCP_DST
from agent.openflow.messages import OFP13, FlowModCommand
from agent.packet.compose import compose
from bench import load
from bench.switches import Agent, OpenVSwitch
from drivers.software.system import SYSTEM
from drivers.tcflower import driver, pack
from drivers.tcflower.changes import ADDING
from drivers.tcflower.filters import FilterFlags
from drivers.tcflower.pipeline import Pipeline
from drivers.tcflower.translate import translate
from drivers.tcflower.view import PortView, View
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule

ROUNDS: Final = 3
PAIRS: Final = 5
"""How often the counters are read in either way."""
BOUND: Final = "prebuilt bytes"
DRIVER: Final = "driver alone"
AGENT: Final = "agent, end to end"
TC: Final = "tc -batch"
OVS: Final = "OVS dpctl/add-flows"
UPTIME: Final = 12.0
"""Seconds since boot before which Open vSwitch does not work as it should."""
PRIORITY: Final = 0x8000


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


def make_pair(name: str) -> tuple[str, str]:
    """Two devices, for one way."""
    made = (f"{name}1", f"{name}2")
    for device in made:
        run(f"ip link add {device} type veth peer name {device}-peer")
        run(f"ip link set {device} up")
        run(f"ip link set {device}-peer up")
    return made


def make_rules(count: int) -> list[FakeRule]:
    """What :func:`bench.load.stream` sends, as rules."""
    # They are loaded by OpenFlow, so equal instructions are one object.
    instructions = load.rule(0).instructions
    return [
        FakeRule(load.rule(index).match, PRIORITY, instructions=instructions)
        for index in range(count)
    ]


def main(count: int) -> None:
    """Measure, and print tables."""
    rules = make_rules(count)
    seconds: dict[str, list[float]] = {way: [] for way in (BOUND, DRIVER, AGENT, TC, OVS)}
    pairs = {way: make_pair(way) for way in ("bound", "driver", "agent", "tc", "ovs")}
    with tempfile.TemporaryDirectory() as name:
        agent = Agent(Path(name, "agent"), "tcflower", pairs["agent"], 'mode = "skip_hw"\n')
        try:
            for number in range(ROUNDS):
                seconds[BOUND].append(bound(rules, pairs["bound"]))
                last = number == ROUNDS - 1
                seconds[DRIVER].append(through_driver(rules, pairs["driver"], last))
                seconds[AGENT].append(end_to_end(agent, count))
                seconds[TC].append(by_tc(rules, pairs["tc"]))
            echo = sorted(load.flood(agent.connect(), agent.connect(), count))
        finally:
            agent.stop()
        missing = OpenVSwitch.missing()
        if not missing:
            seconds[OVS] = by_ovs(Path(name, "ovs"), rules, pairs["ovs"])
    report(count, seconds)
    p50, p99 = (load.percentile(echo, share) * 1000 for share in (0.5, 0.99))
    print(f"echo meanwhile, in ms: median {p50:.1f}, p99 {p99:.1f}, longest {echo[-1] * 1000:.1f}")
    if missing:
        print(f"Open vSwitch {missing}")


def report(count: int, seconds: dict[str, list[float]]) -> None:
    """Print what was measured, and what shall be."""
    rates = {way: count / load.median(taken) for way, taken in seconds.items() if taken}
    print(f"{count} rules of one kind, median of {ROUNDS}")
    for way, rate in rates.items():
        spread = ", ".join(f"{count / took:,.0f}" for took in seconds[way])
        share = rate / rates[BOUND]
        print(f"{way:<20}{rate:>10,.0f} rules/s{share:>7.2f} of the bound   ({spread})")
    for one, other, least in ((DRIVER, BOUND, 0.6), (AGENT, TC, 1.0), (AGENT, OVS, 3.0)):
        if other in rates:
            ratio = rates[one] / rates[other]
            verdict = "met" if ratio >= least else "MISSED"
            print(f"{one} : {other} = {ratio:.2f}, at least {least:g}: {verdict}")


def bound(rules: Sequence[FakeRule], devices: Sequence[str]) -> float:
    """Bytes that were packed before."""
    run(f"tc qdisc add dev {devices[0]} ingress_block 70 clsact")
    view = View({n: PortView(m, socket.if_nametoindex(m)) for n, m in enumerate(devices, 1)})
    reactor: Any = SelectReactor()
    pipeline = Pipeline(SYSTEM)
    pipeline.open(reactor)
    requests = []
    for n, rule in enumerate(rules, 1):
        (one,) = translate(rule, view).filters()
        model = attrs.evolve(one, handle=n, cookie=bytes(16), flags=FilterFlags.SKIP_HW)
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
    run(f"tc qdisc del dev {devices[0]} clsact")
    return seconds


def through_driver(rules: Sequence[FakeRule], devices: Sequence[str], read: bool) -> float:
    """Operations in, operations complete.

    :param read: whether to compare how counters are read, too.
    """
    reactor: Any = SelectReactor()
    entries = [FakeEntry(name, n, type="netdev") for n, name in enumerate(devices, 1)]
    made = driver.create({"mode": "skip_hw"}, entries, [])
    # A bridge of its own: the block of a bridge has its name, and the agent has one, too.
    host = FakeHost("driver", reactor=reactor)
    made.start(host)
    operations = [FakeOperation.add(rule) for rule in rules]

    def go() -> None:
        made.submit(operations)
        until(reactor, lambda: operations[-1].done)

    seconds = timed(go)
    assert all(operation.succeeded for operation in operations)
    if read:
        read_counters(made, reactor, rules, driver.block_of(host.name), devices[0])
    made.stop()
    return seconds


def read_counters(
    made: Any, reactor: Any, rules: Sequence[FakeRule], block: int, device: str
) -> None:
    """Compare the driver, which ends with all counters in the rules, with tc, which prints them;
    in pairs, after packets for some of the rules."""
    peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    peer.bind((f"{device}-peer", 0))
    frames = [compose(rule.match) for rule in rules]
    sent = 0

    def read(ask: Callable[[Sequence[FakeRule]], Any]) -> None:
        done: list[object] = []
        ask(rules).addCallback(done.append)
        until(reactor, lambda: done)

    # Times that were not asked for yet are read with the next, so they have the first turn.
    ways = (("counters and times", made.refresh), ("counters", made.refresh_counts))
    for what, ask in ways:
        for text, step in (("no rule", 0), ("a hundredth of the rules", 100), ("each rule", 1)):
            ratios = []
            for _ in range(PAIRS):
                for frame in frames[::step] if step else ():
                    peer.send(frame)
                    sent += 1
                ours = timed(partial(read, ask))
                assert sum(rule.counters.packets for rule in rules) == sent
                theirs = timed(lambda: run(f"tc -s filter show block {block}"))
                ratios.append(theirs / ours)
            print(
                f"{what} of {len(rules)} rules, when {text} has counted: "
                f"{load.median(ratios):.1f} times as fast as tc -s filter show "
                f"({min(ratios):.1f} to {max(ratios):.1f})"
            )
    peer.close()


def end_to_end(agent: Agent, count: int) -> float:
    """OpenFlow in, barriers out."""
    # The agent would give up a connection on which nothing is said while others have their turn.
    client = agent.connect()
    seconds = client.push(*load.stream(OFP13, FlowModCommand.ADD, count))
    assert not client.errors, "the agent has refused rules"
    client.clear()
    client.close()
    return seconds


def address(value: int) -> str:
    """An IPv4 address as text."""
    return socket.inet_ntoa(value.to_bytes(4, "big"))


def by_tc(rules: Sequence[FakeRule], devices: Sequence[str]) -> float:
    """Debian's tc, with a file."""
    run(f"tc qdisc add dev {devices[0]} ingress_block 71 clsact")
    lines = "".join(
        f"filter add block 71 protocol ip pref 100 handle {n} flower skip_hw indev {devices[0]} "
        f"ip_proto tcp src_ip {address(IPV4_SRC.get(rule.match.value))} "
        f"dst_ip {address(IPV4_DST.get(rule.match.value))} "
        f"dst_port {TCP_DST.get(rule.match.value)} "
        f"action mirred egress redirect dev {devices[1]}\n"
        for n, rule in enumerate(rules, 1)
    )
    seconds = timed(
        lambda: subprocess.run(
            ["tc", "-batch", "-"], input=lines, text=True, check=True, timeout=600
        )
    )
    run(f"tc qdisc del dev {devices[0]} clsact")
    return seconds


def by_ovs(directory: Path, rules: Sequence[FakeRule], devices: Sequence[str]) -> list[float]:
    """Open vSwitch with its kernel datapath, all of it in tc, told by ``dpctl``."""
    time.sleep(max(0.0, UPTIME - float(Path("/proc/uptime").read_text().split()[0])))
    settings = ("other_config:hw-offload=true", "other_config:tc-policy=skip_hw")
    switch = OpenVSwitch(directory, devices, "system", settings)
    try:
        ports = {
            words[2]: words[1].rstrip(":")
            for line in switch.control("dpctl/show").splitlines()
            if (words := line.split())[:1] == ["port"]
        }
        flows = directory / "flows"
        flows.write_text(
            "".join(
                f"ufid:{n:08x}-0000-0000-0000-000000000000,"
                f"in_port({ports[devices[0]]}),eth(),eth_type(0x0800),"
                f"ipv4(src={address(IPV4_SRC.get(rule.match.value))},"
                f"dst={address(IPV4_DST.get(rule.match.value))},proto=6,frag=no),"
                f"tcp(dst={TCP_DST.get(rule.match.value)}) {ports[devices[1]]}\n"
                for n, rule in enumerate(rules, 1)
            )
        )
        # Otherwise it removes what no rule of OpenFlow has led to, while it is added.
        switch.control("revalidator/pause")
        seconds = []
        for _ in range(ROUNDS):
            seconds.append(timed(lambda: switch.control("dpctl/add-flows", str(flows))))
            show = ("tc", "filter", "show", "dev", devices[0], "ingress")
            there = subprocess.run(show, check=True, capture_output=True, text=True).stdout
            assert there.count("handle 0x") >= len(rules), "Open vSwitch has not used tc"
            switch.control("dpctl/del-flows")
        return seconds
    finally:
        switch.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000)
