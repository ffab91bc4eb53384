"""``twistd ofagent`` as a process: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.system import need

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0


class StartupCase(SynchronousTestCase):
    """Has a short directory with a copy of the default configuration, on a port of its own."""

    def setUp(self) -> None:
        """Copy the configuration."""
        self.directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.file = self.directory / "ofagent.toml"
        self.run_dir = self.directory / "run"
        self.text = (ROOT / "etc" / "ofagent.toml").read_text().replace("ptcp:6653:", "ptcp:0:")
        self.file.write_text(self.text)

    def command(self, *arguments: str, twistd: tuple[str, ...] = ()) -> list[str]:
        """A command line; the plugin is found through the path of :meth:`environment`."""
        script = Path(sys.executable).with_name("twistd")
        words = [sys.executable, str(script), "--pidfile=", *twistd, "ofagent"]
        return [*words, "--config", str(self.file), *arguments]

    def environment(self) -> dict[str, str]:
        """The environment, with the checkout on Python's path."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def finish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an agent that ends by itself."""
        return subprocess.run(
            self.command(*arguments, twistd=("--nodaemon",)),
            check=False,
            env=self.environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def start(self) -> subprocess.Popen[str]:
        """Start an agent, and stop it after the test."""
        agent = subprocess.Popen(
            self.command(twistd=("--nodaemon",)),
            env=self.environment(),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(agent.communicate)
        self.addCleanup(agent.kill)
        return agent

    def read_until(self, agent: subprocess.Popen[str], words: str) -> list[str]:
        """The lines that it logs, up to the first with these words."""
        assert agent.stdout is not None
        lines = []
        for line in agent.stdout:
            lines.append(line.rstrip("\n"))
            if words in line:
                return lines
        self.fail(f"{words!r} is not in the log:\n" + "\n".join(lines))
        raise AssertionError

    def wait_for(self, path: Path, *, there: bool) -> None:
        """Wait until a file is there, or is not."""
        end = time.monotonic() + TIMEOUT
        while path.exists() is not there and time.monotonic() < end:
            time.sleep(0.02)
        self.assertIs(path.exists(), there, str(path))


class RefusalTests(StartupCase):
    """One line on standard error, exit status 1, and nothing started."""

    def assertRefused(self, line: str, *arguments: str) -> None:
        """The agent refuses to start and says this, and no socket is left."""
        done = self.finish(*arguments)
        self.assertEqual((done.stderr, done.returncode), (f"ofagent: {line}\n", 1))
        self.assertEqual(list(self.run_dir.glob("*")), [])

    def test_value(self) -> None:
        """A bad value, with and without --check-config."""
        self.file.write_text(self.text.replace("max_pending = 50", "max_pending = true"))
        line = f"{self.file}: bridge[0].max_pending = true: must be an integer from 1 to 100000"
        self.assertRefused(line)
        self.assertRefused(line, "--check-config")

    def test_missing_file(self) -> None:
        """A file that is not there."""
        self.file.unlink()
        self.assertRefused(f"{self.file}: cannot be read: No such file or directory")

    def test_driver_option(self) -> None:
        """An option that only the driver can judge."""
        self.file.write_text(self.text.replace('"quanta"', '"quanto"'))
        done = self.finish()
        self.assertEqual(done.returncode, 1)
        self.assertIn('bridge[0].driver.profile = "quanto": must be one of ', done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_certificate(self) -> None:
        """A certificate that is none."""
        tls = 'certificate = "x.pem"\nprivate_key = "x.pem"\nca = "x.pem"\n'
        (self.directory / "x.pem").write_text("nothing\n")
        self.file.write_text(f"{self.text}\n[tls]\n{tls}")
        for arguments in ((), ("--check-config",)):
            done = self.finish(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"^ofagent: .*: tls: cannot be used: .*x\.pem.*\n$")

    def test_port_in_use(self) -> None:
        """A TCP port that somebody listens on; the UNIX socket beside it is not left behind."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            target = f"ptcp:{taken.getsockname()[1]}:127.0.0.1"
            listen = f'listen = ["punix:br0.mgmt", "{target}"]'
            self.file.write_text(
                self.text.replace('listen = ["ptcp:0:127.0.0.1", "punix:br0.mgmt"]', listen)
            )
            self.assertRefused(
                f'{self.file}: bridge[0].listen[1] = "{target}": cannot listen: Address already '
                "in use; must be free, and an address of this host"
            )
            self.assertEqual(self.finish("--check-config").returncode, 0)

    def test_second_agent(self) -> None:
        """A second agent with the same socket; the first goes on."""
        first = self.start()
        self.read_until(first, "try this")
        done = self.finish()
        self.assertEqual(done.returncode, 1)
        self.assertIn('br0.mgmt": cannot listen: Address already in use', done.stderr)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.run_dir / "br0.mgmt"))


class RunTests(StartupCase):
    """An agent with the default configuration."""

    def test_check_config(self) -> None:
        """The default configuration is right, and checking it makes nothing."""
        done = self.finish("--check-config")
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr), (0, f"{self.file}: right\n", "")
        )
        self.assertFalse(self.run_dir.exists())

    def test_what_to_type(self) -> None:
        """What a running agent says one should type works."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl: install openvswitch-common")
        said = self.read_until(self.start(), "try this")[-1].partition("try this: ")[2]
        self.assertEqual(said, f"OVS_RUNDIR={shlex.quote(str(self.run_dir))} ovs-ofctl show br0")
        shown = subprocess.run(said, shell=True, check=True, capture_output=True, timeout=TIMEOUT)
        self.assertIn(b"dpid:0000000000000001", shown.stdout)
        self.assertIn(b" 4(p4)", shown.stdout)

    def test_stop(self) -> None:
        """SIGTERM ends it, its socket goes, and it can be started again at once."""
        for _ in range(2):
            agent = self.start()
            self.read_until(agent, "try this")
            agent.send_signal(signal.SIGTERM)
            agent.communicate(timeout=TIMEOUT)
            self.assertEqual(agent.returncode, -signal.SIGTERM)
            self.assertEqual(list(self.run_dir.glob("*")), [])

    def test_killed(self) -> None:
        """After a kill the socket is still there, and the next agent replaces it."""
        agent = self.start()
        self.read_until(agent, "try this")
        agent.kill()
        agent.communicate(timeout=TIMEOUT)
        self.assertTrue((self.run_dir / "br0.mgmt").exists())
        self.read_until(self.start(), "try this")

    def test_daemon(self) -> None:
        """As a daemon it has the sockets that were bound before it went into the background."""
        pidfile, log = self.directory / "pid", self.directory / "log"
        command = self.command(twistd=(f"--pidfile={pidfile}", f"--logfile={log}"))
        done = subprocess.run(
            command, check=False, env=self.environment(), capture_output=True, timeout=TIMEOUT
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = int(pidfile.read_text())
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT)
                client.connect(str(self.run_dir / "br0.mgmt"))
                self.assertEqual(client.recv(2)[1:], b"\0", "no HELLO")
            self.assertIn("br0: try this: ", log.read_text())
        finally:
            os.kill(pid, signal.SIGTERM)
        self.wait_for(pidfile, there=False)
        self.wait_for(self.run_dir / "br0.mgmt", there=False)

    def test_log_settings(self) -> None:
        """Lines are as the configuration wants them."""
        text = self.text.replace('log_format = "text"', 'log_format = "json"')
        self.file.write_text(text)
        lines = [json.loads(line) for line in self.read_until(self.start(), "try this")]
        self.assertEqual(lines[-1]["namespace"], "agent.service.AgentService")
        self.assertEqual(lines[-1]["bridge"], "br0")
