"""Tests of :mod:`agent.admin.logs`."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import cast

from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.admin import logs


class ObserverTests(SynchronousTestCase):
    """What is written, and what is left out."""

    def write(self, level: str, form: str) -> list[str]:
        """The lines that four messages, one of each level, become."""
        stream = io.StringIO()
        log = Logger("agent.x", observer=logs.observer(level, form, stream))
        for severity in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error):
            log.emit(severity, "{bridge}: it is {severity}", bridge="br0", severity=severity.name)
        return stream.getvalue().splitlines()

    def test_interface(self) -> None:
        """It is what twistd takes for an observer."""
        observer = logs.observer("info", "text", io.StringIO())
        self.assertTrue(verifyObject(ILogObserver, observer))

    def test_levels(self) -> None:
        """Events less severe than the level are left out."""
        for level, lines in [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)]:
            for form in ("text", "json"):
                self.assertEqual(len(self.write(level, form)), lines)

    def test_text(self) -> None:
        """A line for people has its origin and its level."""
        (line,) = self.write("error", "text")
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT.* \[agent\.x#error\] br0: it is error$")

    def test_json(self) -> None:
        """A line for machines is an object with the event's own keys."""
        line = json.loads(self.write("error", "json")[0])
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")
        self.assertEqual(
            line,
            {
                "level": "error",
                "namespace": "agent.x",
                "text": "br0: it is error",
                "bridge": "br0",
                "severity": "error",
            },
        )

    def test_json_is_one_line(self) -> None:
        """Neither a traceback nor a line break breaks the line; other objects are left out, and
        no key of an event replaces one of ours."""
        stream = io.StringIO()
        log = Logger("agent.x", observer=logs.observer("info", "json", stream))
        try:
            raise ValueError("bad\nnews")
        except ValueError:
            log.failure("two\nlines", Failure(), text="mine", port=object(), xid=7)
        (line,) = stream.getvalue().splitlines()
        event = json.loads(line)
        self.assertEqual(event["text"], "two\nlines")
        self.assertIn("ValueError: bad\nnews", event["traceback"])
        self.assertEqual(event["xid"], 7)
        self.assertNotIn("port", event)


class DestinationTests(SynchronousTestCase):
    """Logs go where twistd was told."""

    def test_standard_output(self) -> None:
        """Not daemonized and without a file, or with the file "-": standard output."""
        for options in ({"nodaemon": True, "logfile": None}, {"nodaemon": True, "logfile": "-"}):
            self.assertIs(logs.destination(options), sys.stdout)

    def test_not_ours(self) -> None:
        """What twistd does in a way of its own, or refuses, is left to it."""
        for options in (
            {"nodaemon": True, "logger": "some.observer"},
            {"nodaemon": False, "syslog": True},
            {"nodaemon": False, "logfile": "-"},
        ):
            self.assertIs(logs.destination(options), None)

    def test_file(self) -> None:
        """A file is written to, and rotated on SIGUSR1."""
        handlers: dict[int, object] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        path = Path(self.mktemp())
        stream = logs.destination({"nodaemon": False, "logfile": str(path)})
        assert stream is not None
        self.addCleanup(stream.close)
        stream.write("before\n")
        rotate = handlers[signal.SIGUSR1]
        assert callable(rotate)
        rotate(signal.SIGUSR1, cast(FrameType, None))
        stream.write("after\n")
        stream.flush()
        self.assertEqual(path.read_text(), "after\n")
        self.assertEqual(path.with_name(path.name + ".1").read_text(), "before\n")
