"""``python -m bench.ports``: packets a second from device to device, beside Open vSwitch and POX.

A host floods port 1 with the smallest frames of Ethernet, a rule sends them out of port 2, and the
host at that end counts.  More is sent than a switch can forward, so that it is the switch which is
measured, and what it drops, it drops.  All switches run in user space, on the same pairs of virtual
devices, in network namespaces that this module makes and removes.  Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Final

from agent.openflow import messages as of
from bench import load
from bench.switches import ROOT, Agent, OpenVSwitch, Pox

CLONE_NEWNET: Final = 0x40000000
FLOWS: Final = 64
"""How many different packets the flood consists of, at most: one of a rule."""
SWITCH: Final = f"bench{os.getpid()}s"
HOSTS: Final = f"bench{os.getpid()}h"

_HEADER: Final = bytes.fromhex("020000000002 020000000001 0800 4500002e 00004000 4006 0000")
_words = Struct("!IIHHIIHHHH6x")


def frame(index: int) -> bytes:
    """A frame of 60 bytes that the ``index``-th rule of :mod:`bench.load` matches."""
    target = 0x0B000000 + (index * 2654435761 & 0xFFFFFF)
    tcp = (1000, 1 + index % 60000, 0, 0, 0x5010, 0, 0, 0)
    return _HEADER + _words.pack(0x0A000000 + index, target, *tcp)


def flood(device: str, flows: int, seconds: float, rate: int) -> None:
    """Send so many frames a second; 0: as fast as can be."""
    frames = [frame(index) for index in range(flows)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        opened.bind((device, 0))
        send = opened.send
        start = now = time.monotonic()
        sent = 0
        while now < start + seconds:
            for one in frames:
                with contextlib.suppress(BlockingIOError):
                    send(one)
            sent += flows
            now = time.monotonic()
            if rate and sent > rate * (now - start):
                time.sleep(sent / rate - (now - start))
                now = time.monotonic()


@contextlib.contextmanager
def cables() -> Iterator[None]:
    """Two namespaces, connected by two pairs of devices; this process is in the switch's."""
    try:
        for namespace in (SWITCH, HOSTS):
            ip("netns", "add", namespace)
            settings = "net.ipv6.conf.default.disable_ipv6=1"
            command = ("ip", "netns", "exec", namespace, "sysctl", "-qw", settings)
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        ip("-n", SWITCH, "link", "set", "lo", "up")
        for number in (1, 2):
            peer = ("peer", "name", f"h{number}", "netns", HOSTS)
            ip("-n", SWITCH, "link", "add", "name", f"p{number}", "type", "veth", *peer)
            ip("-n", SWITCH, "link", "set", "dev", f"p{number}", "up")
            ip("-n", HOSTS, "link", "set", "dev", f"h{number}", "up")
        with open(f"/run/netns/{SWITCH}") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        for namespace in (SWITCH, HOSTS):
            ip("netns", "del", namespace)


def ip(*arguments: str) -> str:
    """Run ip; returns what it prints."""
    command = ("ip", *arguments)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def arrived() -> int:
    """How many packets the host at the far end has seen."""
    (link,) = json.loads(ip("-n", HOSTS, "-s", "-j", "link", "show", "dev", "h2"))
    packets: int = link["stats64"]["rx"]["packets"]
    return packets


def measure(client: load.Client, rules: int, seconds: float, rates: Sequence[int]) -> float:
    """Packets a second through a switch with so many rules.

    :param rates: the most of what comes through when they are sent at these; see :func:`flood`.
    """
    client.clear()
    client.push(*load.stream(client.version, of.FlowModCommand.ADD, rules))
    return max(deliver(rules, seconds, rate) for rate in rates)


def deliver(rules: int, seconds: float, rate: int) -> float:
    """Packets a second that come through when they are sent at a rate."""
    words = ["ip", "netns", "exec", HOSTS, sys.executable, "-m", "bench.ports", "--flood"]
    flows = str(min(rules, FLOWS))
    numbers = ("--flows", flows, "--seconds", str(seconds + 2), "--rate", str(rate))
    with subprocess.Popen([*words, "h1", *numbers], cwd=ROOT):
        time.sleep(1.5)
        before, start = arrived(), time.monotonic()
        time.sleep(seconds)
        return (arrived() - before) / (time.monotonic() - start)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="*", default=[1, 100, 10_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--flood", metavar="DEVICE", help="only send, by this device")
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--rate", type=int, default=0)
    options = parser.parse_args()
    if options.flood:
        flood(options.flood, options.flows, options.seconds, options.rate)
        return
    if os.geteuid() != 0:
        print("bench.ports: needs root")
        return
    print("packets/s of 60 bytes from device to device, medians")
    with cables(), tempfile.TemporaryDirectory(prefix="bench-") as directory:
        found: dict[str, dict[int, list[float]]] = {}
        for run in range(options.runs):
            for kind in (Agent, OpenVSwitch, Pox):
                if kind.missing():
                    continue
                switch = kind(Path(directory) / f"{kind.__name__}{run}", devices=("p1", "p2"))
                by_rules = found.setdefault(switch.name, {})
                try:
                    client = switch.connect()
                    for rules in options.rules:
                        if kind is not Pox or rules <= Pox.most_rules:
                            rate = measure(client, rules, options.seconds, kind.rates)
                            by_rules.setdefault(rules, []).append(rate)
                    client.close()
                finally:
                    switch.stop()
    show(options.rules, found)
    for kind in (OpenVSwitch, Pox):
        if kind.missing():
            print(f"{kind.name}: {kind.missing()}")


def show(wanted: list[int], found: dict[str, dict[int, list[float]]]) -> None:
    """Print medians, and the ratios of ours to the others'."""
    ours, *others = found.values()
    names = list(found)
    print(f"{'rules':>8}{names[0]:>20}" + "".join(f"{name:>16}{'ratio':>8}" for name in names[1:]))
    for rules in wanted:
        rate = statistics.median(ours[rules])
        line = f"{rules:>8,}{rate:>20,.0f}"
        for rates in others:
            if rules in rates:
                other = statistics.median(rates[rules])
                line += f"{other:>16,.0f}{rate / other:8.3f}"
            else:
                line += f"{'-':>16}{'':8}"
        print(line)


if __name__ == "__main__":
    main()
