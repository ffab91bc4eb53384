"""A thousand reloads while controllers change rules all the time."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from agent.ctl.client import Client, RefusedError
from agent.openflow import messages as of
from tests.system.agent import PROFILE, AgentCase, Controller, free_port
from tests.system.churn import Accepting, Changes, Restless

RELOADS: Final = int(os.environ.get("OFAGENT_RELOADS", "1000"))
"""How many; by default as many as make a small leak a great one."""

KEPT: Final = ("agent.connmgr.traffic.Barrier", "drivers.abilities.Work")
"""What is remembered for people who look, up to 4,096 of each."""

SIZE: Final = 512
"""Entries of the hardware: as many as a report shows one by one."""

AGENT: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
"""

BUSY: Final = """
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["ptcp:{port}:127.0.0.1", "punix:br0.mgmt"{listen}]
max_pending = {max_pending}
{keys}
[bridge.driver]
name = "asic"
profile = "test.toml"
[[bridge.controllers]]
target = "tcp:127.0.0.1:{dialled}"
inactivity_probe = {probe}
{controllers}
[[bridge.port]]
number = 1
name = "p1"
type = "memory"
"""

OTHER: Final = """
[[bridge]]
name = "{name}"
datapath_id = "000000000000000{number}"
listen = ["punix:{name}.mgmt"]
[bridge.driver]
name = "software"
[[bridge.port]]
number = 1
name = "p1"
type = "memory"
"""

PORT: Final = """
[[bridge.port]]
number = 2
name = "p2"
type = "memory"
"""


@attrs.frozen(kw_only=True)
class Step:
    """A file, and what a reload that finds it says, when the step before was made before.

    :ivar told: the lines, or how the refusal begins.
    :ivar refused: whether it changes nothing.
    """

    told: str
    refused: bool = False
    max_pending: int = 50
    probe: int = 5
    keys: str = ""
    listen: str = ""
    controllers: str = ""
    rest: str = ""


def controller(target: str) -> str:
    """Another controller of the busy bridge."""
    return f'[[bridge.controllers]]\ntarget = "{target}"\n'


class ReloadTests(AgentCase):
    """Reloads under load."""

    def command(self, file: Path) -> list[str]:
        """An agent that tells what it holds."""
        _, _, *options = super().command(file)
        found = str(self.directory / "found.json")
        return [sys.executable, "-m", "tests.system.inspected", found, *options]

    def setUp(self) -> None:
        """An agent with two bridges, and controllers that keep it busy."""
        super().setUp()
        (self.directory / "test.toml").write_text(PROFILE.format(ms=0.2, size=SIZE))
        self.accepting = Accepting()
        self.accepting.start()
        self.addCleanup(self.accepting.stop)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.dialled = listening.getsockname()[1]
            self.agent = self.start(text=self.text(Step(told="")))
            connection, _ = listening.accept()
        self.changes = []
        for index, peer in enumerate((Controller(connection, of.OFP13), self.controller(of.OFP10))):
            self.addCleanup(peer.close)
            self.changes.append(Changes(peer, range(index * 200 + 1, index * 200 + 201)))
        self.restless = Restless(self.directory / "run" / "br1.mgmt")
        self.load = (*self.changes, self.restless)
        for one in self.load:
            one.start()
            self.addCleanup(one.stop)
        self.control = Client(str(self.directory / "run" / "ofagent.ctl"))
        self.addCleanup(self.control.close)

    def text(self, step: Step) -> str:
        """The file of a step."""
        busy = BUSY.format(port=self.port, dialled=self.dialled, **attrs.asdict(step))
        return AGENT + busy + OTHER.format(name="br1", number=2) + step.rest

    def steps(self) -> list[Step]:
        """Files to be read one after another, and from the first again."""
        more, dead = f"tcp:127.0.0.1:{self.accepting.port}", f"tcp:127.0.0.1:{free_port()}"
        listen = free_port()
        first = f"br0: controllers[tcp:127.0.0.1:{self.dialled}]"
        second = f"br0: controllers[{more}]"
        third = f"br0: controllers[{dead}]"
        listener = f"br0: listen[ptcp:{listen}:127.0.0.1]"
        return [
            Step(
                max_pending=2,
                probe=60,
                told="br0: max_pending: 50 -> 2 (warm)\n"
                f"{first}.inactivity_probe: 5.0 -> 60.0 (warm)",
            ),
            Step(
                controllers=controller(more),
                told="br0: max_pending: 2 -> 50 (warm)\n"
                f"{first}.inactivity_probe: 60.0 -> 5.0 (warm)\n"
                f"{second}: added (warm)",
            ),
            Step(
                controllers=controller(dead),
                listen=f', "ptcp:{listen}:127.0.0.1"',
                told=f"{listener}: added (warm)\n{second}: removed (warm)\n{third}: added (warm)",
            ),
            Step(keys="watchdog = -1", refused=True, told="nothing has changed: "),
            Step(
                rest=OTHER.format(name="br2", number=3),
                told=f"{listener}: removed (warm)\n{third}: removed (warm)\nbr2: added",
            ),
            Step(rest=PORT, told="br1: port[2]: added (cold)\nbr1: restarted\nbr2: removed"),
            Step(told="br1: port[2]: removed (cold)\nbr1: restarted"),
            Step(told="nothing has changed"),
        ]

    def reload(self, step: Step) -> None:
        """Make a step."""
        (self.directory / "ofagent.toml").write_text(self.text(step))
        try:
            told = self.control.ask("ofagent/reload").rstrip("\n")
        except RefusedError as error:
            self.assertTrue(step.refused and str(error).startswith(step.told), str(error))
        else:
            self.assertEqual((told, False), (step.told, step.refused))

    def reload_often(self, steps: Iterator[Step], times: int) -> None:
        """Make so many steps under load."""
        for _ in range(times):
            self.reload(next(steps))
            for one in self.load:
                if one.error is not None:
                    raise one.error

    def ask(self, what: str, *arguments: str) -> Any:
        """A report of the agent."""
        return json.loads(self.control.ask("ofagent/report", what, *arguments))

    def found(self) -> dict[str, Any]:
        """What the agent's process holds while nothing is to be done."""
        for one in self.load:
            one.pause()
        file = self.directory / "found.json"
        file.unlink(missing_ok=True)
        self.agent.send_signal(signal.SIGUSR1)
        self.wait(file.exists, "the report")
        process = Path(f"/proc/{self.agent.pid}")
        found: dict[str, Any] = json.loads(file.read_text())
        found["files"] = len(os.listdir(process / "fd"))
        found["threads"] = len(os.listdir(process / "task"))
        for one in self.load:
            one.proceed()
        return found

    def test_reload(self) -> None:
        """Nothing is lost: every rule that was confirmed is there and in the hardware, and the
        connections of what did not change are those of the beginning.  And nothing is left over:
        no memory, timer, descriptor or thread of anything that was.
        """
        steps = self.steps()
        endless = itertools.cycle(steps)
        # By then all that is made once is made.
        early = RELOADS // 5 // len(steps) * len(steps)
        rounds = RELOADS // len(steps) - early // len(steps)
        self.reload_often(endless, early)
        self.wait(lambda: all(one.settled for one in self.changes), "the rules")
        before = self.found()
        self.reload_often(endless, rounds * len(steps))
        after = self.found()
        for one in self.load:
            one.stop()

        grown = Counter(after.pop("objects"))
        grown.subtract(before.pop("objects"))
        # In each round two bridges are started anew, and two controllers and a listener come and
        # go: of none there may be anything left.  Twisted keeps up to 50 cancelled timers.
        few = max(rounds, 100)
        for kept in KEPT:
            del grown[kept]
        self.assertEqual({kind: count for kind, count in grown.items() if count >= few}, {})
        self.assertLess(after["blocks"] - before["blocks"], max(8 * rounds, 500))
        self.assertLess(after["rss"] - before["rss"], 20_000)
        for what in ("timers", "descriptors"):
            self.assertLess(after[what], before[what] + 5, what)
        for what in ("files", "threads"):
            self.assertEqual(after[what], before[what], what)
        self.assertGreater(self.restless.connections, rounds)

        flows = self.ask("flows", "br0", "limit=1000")["flows"]
        expected = self.changes[0].rules | self.changes[1].rules
        self.assertEqual(
            {flow["priority"]: flow["actions"] for flow in flows if not flow["hidden"]},
            {priority: f"output:{port}" for priority, port in expected.items()},
        )
        self.assertEqual({flow["state"] for flow in flows}, {"installed"})
        [memory] = self.ask("driver", "br0")["memory"]
        self.assertEqual({one for one in memory["priorities"] if one >= 0}, set(expected))
        self.assertEqual(memory["used"], len(expected))
        self.assertGreater(len(expected), 100)
