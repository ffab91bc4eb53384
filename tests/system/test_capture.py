"""`ofagentctl capture`: what it writes is read by Wireshark's dissector of OpenFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from tests.system import need
from tests.system.agent import AgentCase

# In OpenFlow 1.0 the dissector takes a rule without actions for malformed.
FLOW = of.FlowMod(
    0, Match.of(in_port=1), priority=7, instructions=(ApplyActions((Output(2),)),), xid=0x1234
)


class CaptureTests(AgentCase):
    """A client that adds a rule while it is watched."""

    def control(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ofagentctl."""
        socket = str(self.directory / "run" / "ofagent.ctl")
        command = [sys.executable, "-m", "agent.ctl", "--socket", socket, *words]
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=False
        )

    def tshark(self, path: Path, *words: str) -> str:
        """What tshark makes of a file."""
        need(shutil.which("tshark"), "tshark is missing: install tshark")
        command = ["tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE"]
        command += ["-o", "ip.check_checksum:TRUE", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_tshark(self) -> None:
        """tshark decodes a FLOW_MOD, a barrier and its reply, of both versions; it finds fault
        neither with checksums nor with sequence numbers."""
        self.start()
        for version, protocol in ((of.OFP10, "openflow_v1"), (of.OFP13, "openflow_v4")):
            controller = self.controller(version)
            name = f"tcp:127.0.0.1:{controller.socket.getsockname()[1]}"
            file = f"{protocol}.pcap"
            done = self.control("capture", "br0", name, file)
            path = self.directory / "run" / file
            self.assertEqual(done.stdout, f"capturing into {path}\n", done.stderr)
            controller.send(FLOW)
            controller.barrier()
            done = self.control("capture", "br0", name, "--stop")
            self.assertIn("3 messages", done.stdout)
            shown = self.tshark(path, "-V", "-Y", protocol)
            types = [line.strip() for line in shown.splitlines() if "Type: OFPT_" in line]
            self.assertEqual(
                [line.split("OFPT_")[1].split(" ")[0] for line in types],
                ["FLOW_MOD", "BARRIER_REQUEST", "BARRIER_REPLY"],
            )
            self.assertIn("Priority: 7", shown)
            wrong = "_ws.malformed || tcp.analysis.flags || _ws.expert.severity >= 0x600000"
            self.assertEqual(self.tshark(path, "-Y", wrong), "")
            bad = "ip.checksum.status == 0 || tcp.checksum.status == 0"
            self.assertEqual(self.tshark(path, "-Y", bad), "")

    def test_cannot_be_written(self) -> None:
        """A file that cannot be made is told by its path and the reason, with exit status 1."""
        self.start()
        controller = self.controller()
        name = f"tcp:127.0.0.1:{controller.socket.getsockname()[1]}"
        done = self.control("capture", "br0", name, "none/x.pcap")
        self.assertEqual(done.returncode, 1)
        path = self.directory / "run" / "none" / "x.pcap"
        self.assertIn(f"{path} cannot be made: No such file or directory", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
