"""A real controller: an os-ken application which the agent dials."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

from tests.system import need
from tests.system.agent import ROOT, TIMEOUT, AgentCase, free_port

RULES = 200


class OsKenTests(AgentCase):
    """An application that pushes rules, and is killed while it does."""

    def setUp(self) -> None:
        """Choose where the controller listens."""
        need(importlib.util.find_spec("os_ken"), "os-ken is missing: pip install os-ken")
        super().setUp()
        self.state = self.directory / "state"
        self.controller_port = free_port()

    def start_controller(self) -> subprocess.Popen[bytes]:
        """Start the application."""
        with (self.directory / "os-ken.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.system.osken_push",
                    "--ofp-listen-host=127.0.0.1",
                    f"--ofp-tcp-listen-port={self.controller_port}",
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "OFAGENT_RULES": str(RULES),
                    "OFAGENT_STATE": str(self.state),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.kill)
        return process

    def pushed(self) -> str:
        """How far the application is."""
        return self.state.read_text() if self.state.exists() else ""

    def test_quanta(self) -> None:
        """Over hardware like one that was measured, the application hears that all is done when the
        hardware has ended all of it."""
        controllers = f'controllers = ["tcp:127.0.0.1:{self.controller_port}"]\n'
        self.start('name = "asic"\nprofile = "quanta"', bridge=controllers)
        self.start_controller()
        self.wait(lambda: self.pushed() == "done", "the push")
        self.assertTrue(self.check_barriers())
        found = json.loads(self.appctl("ofagent/report", "timeline", "br0"))
        adds = [one for one in found["operations"] if one["kind"] == "add"]
        self.assertEqual(len(adds), RULES)
        self.assertNotIn(None, [one["finished"] for one in adds])

    def test_killed_while_it_pushes(self) -> None:
        """The agent dials a controller that comes, goes in the middle of its work and comes again;
        in the end the table holds what the second run wants, and the hardware has confirmed it.
        """
        controllers = f'controllers = ["tcp:127.0.0.1:{self.controller_port}"]\n'
        self.start_asic(5, bridge=controllers)
        first = self.start_controller()
        self.wait(lambda: int(self.pushed() or "0") > RULES // 4, "a push")
        first.kill()
        first.wait()
        self.assertNotEqual(self.pushed(), "done")
        self.state.unlink()
        self.start_controller()
        self.wait(lambda: self.pushed() == "done", "the second push")
        addresses = sorted(flow.match.value for flow in self.controller().flows())
        self.assertEqual(len(addresses), RULES)
        self.assertEqual(len(set(addresses)), RULES)
        self.assertNotIn("xid", self.appctl("ofproto/pending", "br0"))
