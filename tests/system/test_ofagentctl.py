"""``ofagentctl`` as people use it: a program, a running agent, and a shell."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.system.agent import AgentCase, Controller


class OfagentctlTests(AgentCase):
    """A slow agent, and somebody at a terminal."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.start_asic(100.0)

    def ctl(self, *words: str, status: int = 0) -> str:
        """What it writes; for errors, where it writes those."""
        done = subprocess.run(
            [sys.executable, "-m", "agent.ctl", *words],
            env={**self.environment(), "OFAGENT_CTL": str(self.directory / "run" / "ofagent.ctl")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr if status else done.stdout

    def push(self, count: int) -> Controller:
        """Somebody asks for rules, and for a barrier behind them."""
        controller = Controller.connect(self.port)
        self.addCleanup(controller.close)
        controller.send(
            *(
                of.FlowMod(of.FlowModCommand.ADD, Match.of(in_port=1 + number), xid=number)
                for number in range(count)
            ),
            of.BarrierRequest(77),
        )
        return controller

    def test_while_it_is_slow(self) -> None:
        """What is in flight, who waits, why a rule is not there; then all is well."""
        controller = self.push(10)
        self.wait(lambda: "0x4d" in self.ctl("connections"), "the barrier's waiting")
        self.assertIn("its own", self.ctl("pending"))
        self.assertIn("pending: add", self.ctl("why"))
        self.ctl("wait")
        controller.expect(of.BarrierReply, 1)
        self.assertEqual(json.loads(self.ctl("why", "--json"))["flows"], [])
        self.assertEqual(self.ctl("flows", "--no-header").count("installed"), 10)
        self.assertIn("10 of 1000 places", self.ctl("asic", "show"))
        self.assertIn("controller", self.ctl("trace", "br0", "in_port=1") + "controller")
        self.assertEqual(self.ctl("flush"), "br0: 0 rules left\n")

    def test_timeline(self) -> None:
        """A picture of what the hardware did, and who waited for it."""
        controller = self.push(5)
        controller.expect(of.BarrierReply, 1)
        file = self.directory / "run.png"
        self.assertEqual(self.ctl("asic", "timeline", str(file)), "")
        self.assertEqual(file.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        found = json.loads(self.ctl("call", "ofagent/report", "timeline", "br0"))
        finished = [one["finished"] for one in found["operations"]]
        (barrier,) = found["barriers"]
        self.assertEqual((len(finished), barrier["xid"]), (5, 77))
        self.assertLessEqual(barrier["answered"], min(finished))
        self.assertGreater(barrier["since"] - barrier["answered"], 0.3)
        nowhere = str(self.directory / "no" / "run.png")
        self.assertIn("No such file", self.ctl("asic", "timeline", nowhere, status=1))

    def test_clog(self) -> None:
        """Halted hardware is seen, and goes on."""
        self.assertIn("clogged", self.ctl("clog"))
        self.push(2)
        self.assertIn("clogged", self.ctl("bridges"))
        waiting = threading.Thread(target=self.ctl, args=("wait",))
        waiting.start()
        waiting.join(1.0)
        self.assertTrue(waiting.is_alive())
        self.ctl("unclog")
        waiting.join(30.0)
        self.assertFalse(waiting.is_alive())

    def test_faults_and_reload(self) -> None:
        """Hardware is made to fail, and a configuration is read again or refused."""
        self.ctl("fault", "br0", "fail", "1")
        controller = self.push(1)
        controller.expect(of.ErrorMessage)
        self.assertIn("WORD", self.ctl("fault", "br0", "nonsense", status=1))
        self.assertEqual(self.ctl("reload"), "nothing has changed\n")
        file = self.directory / "ofagent.toml"
        file.write_text(file.read_text().replace("0000000000000001", "x"))
        self.assertIn("datapath_id", self.ctl("check-config", str(file), status=1))
        self.assertIn("datapath_id", self.ctl("reload", status=1))

    def test_shell(self) -> None:
        """What reads only the first line is no error, and bash completes."""
        program = f"{sys.executable} -m agent.ctl"
        script = f"""
            export OFAGENT_CTL={self.directory}/run/ofagent.ctl
            set -o pipefail
            ofagentctl() {{ {program} "$@"; }}
            ofagentctl status | head -n 1
            eval "$(ofagentctl completion)"
            complete_for() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ofagentctl; }}
            complete_for ofagentctl pen; echo "${{COMPREPLY[@]}}"
            complete_for ofagentctl flows b; echo "${{COMPREPLY[@]}}"
            complete_for ofagentctl flows --st; echo "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", script],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        first, *rest = done.stdout.splitlines()
        self.assertTrue(first.startswith("version"))
        self.assertEqual(rest, ["pending", "br0", "--state"])
        self.assertEqual(done.stderr, "")
