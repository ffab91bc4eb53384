"""The agent as a service of a real systemd, in a container of this machine's root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.system import need
from tests.system.agent import ROOT
from tests.system.test_wheel import installation, run

UNITS = ROOT / "etc" / "systemd"
PYTHON = "/usr/bin/python3"
"""Debian's: the unit's ``ProtectHome=`` hides one that lies in somebody's home."""

CONFIG = """
[agent]
run_dir = "/run/ofagent"
control = "ofagent.ctl"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["ptcp:6653", "punix:br0.mgmt"]
[bridge.driver]
name = "software"
"""

# The watchdog is waited for, so it is a quick one here.
DROP_IN = "[Service]\nWatchdogSec=3\n"

WALK = """
[Unit]
Description=What an operator does
[Service]
Type=oneshot
ExecStart=/walk/systemd-walk
StandardOutput=file:/walk/steps
StandardError=journal
"""


@attrs.frozen
class Walk:
    """What came of :file:`systemd-walk`.

    :ivar steps: by name, what went wrong; empty: nothing.
    :ivar told: all that was said, for those who look for the reason.
    """

    steps: dict[str, str]
    told: str


@functools.cache
def walk() -> Walk:
    """Boot, and walk; once for all tests."""
    directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
    try:
        return _walk(directory)
    finally:
        shutil.rmtree(directory)


def _walk(directory: Path) -> Walk:
    (wheel,) = installation().directory.glob("*.whl")
    venv = directory / "venv"
    for step in (
        (PYTHON, "-m", "venv", "--without-pip", venv),
        (sys.executable, "-m", "pip", "--python", venv, "install", "-q", wheel),
    ):
        done = run(*step, cwd=directory)
        if done.returncode:
            return Walk({}, done.stdout + done.stderr)
    for program in (venv / "bin").iterdir():
        # Installed there, they would say so themselves.
        if program.is_file() and not program.is_symlink():
            text = program.read_bytes()
            program.write_bytes(text.replace(str(venv).encode(), b"/opt/ofagent", 1))
    shared = directory / "walk"
    shared.mkdir()
    shutil.copy(Path(__file__).with_name("systemd-walk"), shared)
    etc = directory / "etc"
    etc.mkdir(mode=0o755)
    (etc / "ofagent.toml").write_text(CONFIG)
    (directory / "quick.conf").write_text(DROP_IN)
    (directory / "walk.service").write_text(WALK)
    system = "/etc/systemd/system"
    bound = {
        venv: "/opt/ofagent",
        UNITS / "ofagent.service": f"{system}/ofagent.service",
        UNITS / "ofagent.socket": f"{system}/ofagent.socket",
        UNITS / "ofagent.sysusers": "/etc/sysusers.d/ofagent.conf",
        directory / "quick.conf": f"{system}/ofagent.service.d/quick.conf",
        directory / "walk.service": f"{system}/walk.service",
    }
    words = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--console=pipe",
        "--volatile=overlay",
        f"--directory={directory / 'root'}",
        f"--bind={shared}:/walk",
        f"--bind={etc}:/etc/ofagent",
        *(f"--bind-ro={here}:{there}" for here, there in bound.items()),
        "--boot",
        "systemd.unit=walk.service",
    ]
    (directory / "root").mkdir()
    # The root of a container is not to be the root itself; the mount ends with the command.
    script = 'mount --bind / "$1"; shift; exec "$@"'
    done = run("unshare", "--mount", "sh", "-c", script, "sh", directory / "root", *words)
    steps = {}
    for line in (shared / "steps").read_text().splitlines():
        name, _, why = line.partition(" ")
        steps[name] = why
    journal = shared / "journal"
    told = journal.read_text() if journal.exists() else done.stdout + done.stderr
    return Walk(steps, told)


class SystemdTests(SynchronousTestCase):
    """``etc/systemd``."""

    def setUp(self) -> None:
        """Look at what is here."""
        need(os.geteuid() == 0, "containers need root")
        need(shutil.which("systemd-nspawn"), "systemd-nspawn: install systemd-container")
        need(shutil.which("ovs-ofctl"), "ovs-ofctl: install openvswitch-common")
        has_venv = subprocess.run([PYTHON, "-c", "import ensurepip"], check=False).returncode == 0
        need(has_venv, f"{PYTHON} with venv: install python3-venv")

    def went(self, *steps: str) -> None:
        """These steps went as they should."""
        done = walk()
        for step in steps:
            self.assertEqual(done.steps.get(step, "was not reached"), "", f"{step}\n{done.told}")

    def test_start(self) -> None:
        """It is ready when systemd says so, as its user, with just its capabilities."""
        self.went("start", "user", "capabilities", "management")

    def test_reload(self) -> None:
        """A reload keeps the process; one of a wrong file fails, and changes nothing."""
        self.went("reload", "wrong")

    def test_restart(self) -> None:
        """It is started again when it was killed, and when its reactor stands still."""
        self.went("killed", "hung")

    def test_stop(self) -> None:
        """It ends in good order."""
        self.went("stop")

    def test_socket(self) -> None:
        """Who connects starts it, and is not refused while it starts again."""
        self.went("activated", "nobody_refused")
