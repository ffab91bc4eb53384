"""``make bench``: the agent beside Open vSwitch, in one run, as ratios.

Absolute figures say more about the machine than about the switch; so both switches are measured in
turn, several times, and the ratio of the medians is what counts.  Needs root and Debian's package
openvswitch-switch; without them the agent is measured alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from agent.openflow import messages as of
from bench import load
from bench.switches import Agent, OpenVSwitch, Switch

CROWD: Final = 2000
"""Connections that are open at once."""

NAMES: Final = {1: "1.0", 4: "1.3"}


@attrs.frozen
class Row:
    """One thing that is measured.

    :ivar unit: of the figure.
    :ivar target: what is wanted of the ratio agent / Open vSwitch, for people; empty: nothing.
    """

    name: str
    unit: str
    target: str = ""


Results = dict[Row, list[float]]


def measure(switch: Switch, sizes: list[int], flood: int) -> dict[Row, float]:
    """One run of everything against one switch."""
    found: dict[Row, float] = {}
    before = load.memory(switch.pid)
    for version, name in NAMES.items():
        client = load.Client(switch.address, version)
        client.clear()
        for count in sizes:
            buffer, size = load.stream(version, of.FlowModCommand.ADD, count)
            rate = count / client.push(buffer, size)
            target = ">= 0.25" if count >= 10_000 else ""
            found[Row(f"add {count:,} ({name})", "rules/s", target)] = rate
            if count == max(sizes):
                if version == of.OFP10:
                    used = (load.memory(switch.pid) - before) / count
                    found[Row("memory a rule", "bytes", "<= 2,048 bytes")] = used
                entries, seconds = client.dump()
                found[Row(f"dump {count:,} ({name})", "rules/s")] = entries / seconds
                buffer, size = load.stream(version, of.FlowModCommand.MODIFY_STRICT, count)
                found[Row(f"modify {count:,} ({name})", "rules/s")] = count / client.push(
                    buffer, size
                )
            client.clear()
        found[Row(f"barrier idle p50 ({name})", "us")] = 1e6 * load.median(
            [client.barrier() for _ in range(300)]
        )
        probe = load.Client(switch.address, version)
        times = load.flood(client, probe, flood)
        found[Row(f"echo in a flood, other connection, p99 ({name})", "ms", "<= 1.0")] = (
            1e3 * load.percentile(times, 0.99)
        )
        client.clear()
        times = load.flood(client, client, flood)
        found[Row(f"echo in a flood, same connection, p99 ({name})", "ms")] = 1e3 * load.percentile(
            times, 0.99
        )
        client.clear()
        probe.close()
        client.close()
    before = load.memory(switch.pid)
    crowd = [load.Client(switch.address, of.OFP13) for _ in range(CROWD)]
    used = (load.memory(switch.pid) - before) / CROWD
    found[Row(f"memory a connection, of {CROWD:,}", "bytes")] = used
    found[Row(f"echo on each of {CROWD:,} connections", "ms")] = 1e3 * load.echo_all(crowd)
    for client in crowd:
        client.close()
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each switch")
    parser.add_argument("--sizes", default="1000,10000,100000", help="how many rules to add")
    parser.add_argument("--flood", type=int, default=50_000, help="rules of a flood")
    parser.add_argument("--driver", default="software", help="the agent's driver")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]

    kinds: dict[str, Callable[[Path], Switch]] = {
        "ofagent": lambda directory: Agent(directory, options.driver)
    }
    missing = OpenVSwitch.missing()
    if missing:
        print(f"Open vSwitch is left out: it {missing}")
    else:
        kinds["ovs"] = OpenVSwitch
    results: dict[str, Results] = {kind: defaultdict(list) for kind in kinds}
    for number in range(options.runs):
        for kind, start in kinds.items():
            with tempfile.TemporaryDirectory() as directory:
                switch = start(Path(directory) / f"{kind}{number}")
                try:
                    for row, figure in measure(switch, sizes, options.flood).items():
                        results[kind][row].append(figure)
                finally:
                    switch.stop()
    report(results, sizes)


def report(results: dict[str, Results], sizes: list[int]) -> None:
    """Print medians, their range, and ratios."""
    ours = {row: load.median(figures) for row, figures in results["ofagent"].items()}
    theirs = {row: load.median(figures) for row, figures in results.get("ovs", {}).items()}
    print(f"{'':52}{'unit':>8}{'ofagent':>12}{'OVS':>12}{'ratio':>8}  wanted")
    for row, figure in ours.items():
        other = theirs.get(row)
        columns = f"{row.name:52}{row.unit:>8}{figure:12,.1f}"
        if other is not None:
            columns += f"{other:12,.1f}{figure / other:8.2f}"
        print(f"{columns}  {row.target}")
    for name in NAMES.values():
        small, large = (
            1 / ours[row]
            for size in (min(sizes), max(sizes))
            for row in ours
            if row.name == f"add {size:,} ({name})"
        )
        print(
            f"cost of an add among {max(sizes):,} rules against {min(sizes):,} ({name}): "
            f"{large / small:.2f} (wanted: <= 1.3)"
        )


if __name__ == "__main__":
    main()
