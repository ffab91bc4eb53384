"""The log of a process that ``twistd`` runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.commands_process import LogCommands
from agent.admin.unixctl import CommandRegistry
from agent.admin.vlog import for_twistd

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0

SERVICE = """
    import sys
    from twisted.application.service import Application, Service
    from twisted.internet import reactor
    from twisted.logger import Logger
    from agent.admin.vlog import for_twistd

    # As an attribute of a class, it would have the namespace of that class.
    logger = Logger("agent.bridge")

    class Greeter(Service):
        def startService(self):
            reactor.callWhenRunning(self.greet)

        def greet(self):
            logger.info("hello", bridge="br0", xid=7)
            logger.debug("not to be seen")
            sys.stderr.write("printed\\n")
            if {stop}:
                reactor.stop()

    application = Application("greeter")
    log = for_twistd({options}, "info", "{form}", reactor)
    log.attach(application)
    Greeter().setServiceParent(application)
"""

LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\|(?P<number>\d{5})\|(?P<rest>.*\|.*\|.*)$"
)


class VlogTests(SynchronousTestCase):
    """A service with a log, run by ``twistd``."""

    def setUp(self) -> None:
        """Make a directory for it."""
        self.directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def start(
        self, form: str = "text", stop: bool = True, **options: object
    ) -> subprocess.Popen[str]:
        """Start a process.

        :param stop: whether it stops when it has said something.
        :param options: what ``twistd`` is told.
        """
        told = {"nodaemon": True, **options}
        text = textwrap.dedent(SERVICE).format(options=told, form=form, stop=stop)
        (self.directory / "greeter.tac").write_text(text)
        script = Path(sys.executable).with_name("twistd")
        process = subprocess.Popen(
            [sys.executable, str(script), "--nodaemon", "--pidfile=", "-y", "greeter.tac"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def rests(self, lines: list[str]) -> list[str]:
        """Module, level and text of the lines, whose numbers are in order."""
        found = [LINE.match(line) for line in lines]
        self.assertNotIn(None, found, lines)
        numbers = [int(match["number"]) for match in found if match]
        self.assertEqual(numbers, list(range(1, len(lines) + 1)))
        return [match["rest"] for match in found if match]

    def test_text(self) -> None:
        """Everything is on standard output, in one form: what twistd says, what the service says,
        and what is printed."""
        out, errors = self.start().communicate(timeout=TIMEOUT)
        rests = self.rests(out.splitlines())
        self.assertEqual(errors, "")
        self.assertRegex("\n".join(rests), r"(?m)^twisted\|INFO\|twistd .* starting up\.$")
        self.assertIn("bridge|INFO|br0: hello (xid=0x7)", rests)
        self.assertIn("stderr|ERR|printed", rests)
        self.assertNotIn("not to be seen", out)

    def test_json(self) -> None:
        """Each line is a JSON object."""
        out, _ = self.start("json").communicate(timeout=TIMEOUT)
        lines = [json.loads(line) for line in out.splitlines()]
        (hello,) = [line for line in lines if line["module"] == "bridge"]
        self.assertEqual(
            (hello["text"], hello["bridge"], hello["xid"], hello["namespace"]),
            ("br0: hello (xid=0x7)", "br0", 7, "agent.bridge"),
        )

    def test_file(self) -> None:
        """With a file, everything is in it, and SIGUSR1 begins a new one."""
        file = self.directory / "agent.log"
        process = self.start(stop=False, logfile=str(file))
        self.wait_for(lambda: file.exists() and "hello" in file.read_text(), "no line in the file")
        process.send_signal(signal.SIGUSR1)
        old = file.with_name("agent.log.1")
        self.wait_for(old.exists, "no second file")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual((out, errors), ("", ""))
        rests = self.rests((old.read_text() + file.read_text()).splitlines())
        self.assertIn("bridge|INFO|br0: hello (xid=0x7)", rests)
        self.assertIn("shut down", file.read_text().lower())

    def test_reopen(self) -> None:
        """``vlog/reopen`` begins a new file where the old one was moved away."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        file = self.directory / "agent.log"
        log = for_twistd({"logfile": str(file)}, "info", "text", None)
        registry = CommandRegistry()
        LogCommands(log).register(registry)
        log({"log_time": 0.0, "log_format": "one"})
        file.rename(self.directory / "moved.log")
        log({"log_time": 0.0, "log_format": "two"})
        self.assertEqual(self.successResultOf(registry.execute("vlog/reopen", [])), "")
        log({"log_time": 0.0, "log_format": "three"})
        self.assertEqual(
            self.rests(
                ((self.directory / "moved.log").read_text() + file.read_text()).splitlines()
            ),
            ["twisted|INFO|one", "twisted|INFO|two", "twisted|INFO|three"],
        )
        self.assertNotIn("two", file.read_text())
