"""systemd and man read what is shipped for them, and the agent tells systemd how it is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from man.make import DIRECTORY, PAGES
from tests.system import need
from tests.system.agent import ROOT, TIMEOUT, AgentCase

UNIT = ROOT / "etc" / "systemd" / "ofagent.service"


class UnitTests(AgentCase):
    """`etc/systemd`.

    :ivar variables: what systemd adds to the environment.
    """

    def setUp(self) -> None:
        """It adds nothing yet."""
        super().setUp()
        self.variables: dict[str, str] = {}

    def analyze(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run systemd-analyze on the unit, whose programs are somewhere else here."""
        need(shutil.which("systemd-analyze"), "systemd-analyze is missing: install systemd")
        text = UNIT.read_text()
        for program in ("twistd", "ofagentctl"):
            text = text.replace(f"/opt/ofagent/bin/{program}", "/bin/true")
        unit = self.directory / UNIT.name
        unit.write_text(text)
        command = ["systemd-analyze", *words, str(unit)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_verify(self) -> None:
        """systemd finds nothing wrong with the unit."""
        done = self.analyze("verify", "--man=no", "--recursive-errors=no")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_security(self) -> None:
        """systemd rates its exposure as OK or better: 4.0 or less."""
        done = self.analyze("security", "--offline=true", "--no-pager", "--threshold=40")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_notify(self) -> None:
        """The agent tells systemd that it is ready, that it is alive, and that it stops."""
        address = str(self.directory / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(address)
            notified.settimeout(TIMEOUT)
            self.variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
            agent = self.start()
            self.assertEqual(notified.recv(100), b"READY=1")
            self.assertEqual([notified.recv(100) for _ in range(3)], [b"WATCHDOG=1"] * 3)
            agent.send_signal(signal.SIGTERM)
            heard = b"WATCHDOG=1"
            while heard == b"WATCHDOG=1":
                heard = notified.recv(100)
            self.assertEqual(heard, b"STOPPING=1")
            self.assertEqual(agent.wait(TIMEOUT), -signal.SIGTERM)

    def environment(self) -> dict[str, str]:
        """With what systemd says."""
        return {**super().environment(), **self.variables}


class ManualTests(AgentCase):
    """`man/`."""

    def test_warnings(self) -> None:
        """man formats every page without a warning, and its name is found."""
        need(shutil.which("man"), "man is missing: install man-db")
        for name in PAGES:
            path: Path = DIRECTORY / name
            done = subprocess.run(
                ["man", "--warnings=all", "--local-file", "-Tutf8", str(path)],
                env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn(name.rpartition(".")[0], done.stdout)
