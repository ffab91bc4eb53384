"""The worked example of the guide for authors of drivers, as a reader would try it."""

from __future__ import annotations

import subprocess
import sys

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from tests.system.agent import ROOT, AgentCase, free_port


class ExampleTests(AgentCase):
    """``docs/examples/lineswitch``, found by its plugin."""

    def setUp(self) -> None:
        """Choose a port for the chip."""
        super().setUp()
        self.chip_port = free_port()

    def environment(self) -> dict[str, str]:
        """With the example on Python's path."""
        return {**super().environment(), "PYTHONPATH": f"{ROOT}:{ROOT / 'docs' / 'examples'}"}

    def start_chip(self) -> subprocess.Popen[bytes]:
        """Power the chip on."""
        chip = subprocess.Popen(
            [sys.executable, "-m", "lineswitch.chip", str(self.chip_port)],
            env=self.environment(),
            cwd=self.directory,
        )
        self.addCleanup(chip.wait)
        self.addCleanup(chip.kill)
        return chip

    def test_line(self) -> None:
        """A rule is in the chip when its barrier is answered; while the chip is gone the rule is
        degraded, and when it is back the rule is, too."""
        chip = self.start_chip()
        self.start(f'name = "lineswitch"\naddress = "tcp:127.0.0.1:{self.chip_port}"')
        controller = self.controller()
        controller.send(
            of.FlowMod(
                of.FlowModCommand.ADD,
                Match.of(in_port=1),
                instructions=(ApplyActions((Output(2),)),),
            )
        )
        controller.barrier()
        self.assertIn("entries: 1/64", self.appctl("driver/show"))
        self.assertNotIn("degraded", self.appctl("bridge/dump-flows", "br0"))
        chip.kill()
        chip.wait()
        self.wait(lambda: "is down" in self.appctl("bridge/dump-flows", "br0"), "the doubt")
        self.start_chip()
        self.wait(lambda: "is down" not in self.appctl("bridge/dump-flows", "br0"), "its end")
        self.assertIn("line: up", self.appctl("driver/show"))
