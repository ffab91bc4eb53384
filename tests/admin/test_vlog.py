"""Tests of :mod:`agent.admin.vlog`."""

from __future__ import annotations

import json
import sys
import syslog
import warnings
from io import BytesIO, StringIO, TextIOWrapper
from types import SimpleNamespace
from typing import Any

from twisted.application.service import Application, MultiService
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import (
    ILogObserver,
    LogBeginner,
    Logger,
    LogPublisher,
    globalLogBeginner,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.admin import coverage
from agent.admin.vlog import StreamDestination, SyslogDestination, Vlog, for_twistd, start_logging
from agent.admin.vlog_limit import RateLimiter


class VlogTests(SynchronousTestCase):
    """The observer."""

    def setUp(self) -> None:
        """A log to a console and a file, and loggers of two modules."""
        self.console, self.file = StringIO(), StringIO()
        self.vlog = Vlog("info")
        self.vlog.destinations = {
            "console": StreamDestination(self.console, "text"),
            "file": StreamDestination(self.file, "json"),
        }
        self.connmgr = Logger("agent.connmgr.ofconn", observer=self.vlog)
        self.ofproto = Logger("agent.ofproto.ledger", observer=self.vlog)

    def lines(self) -> list[str]:
        """What is on the console, without the times."""
        return [line.partition("|")[2] for line in self.console.getvalue().splitlines()]

    def test_interface(self) -> None:
        """It is an observer as Twisted has it."""
        self.assertTrue(verifyObject(ILogObserver, self.vlog))

    def test_destinations(self) -> None:
        """A line goes to each destination, in the form of each, with the same number."""
        self.connmgr.info("one")
        self.ofproto.warn("two {xid}", xid=7)
        self.assertEqual(self.lines(), ["00001|connmgr|INFO|one", "00002|ofproto|WARN|two 7"])
        found = [json.loads(line) for line in self.file.getvalue().splitlines()]
        self.assertEqual(
            [(one["sequence"], one["module"], one["text"], one.get("xid")) for one in found],
            [(1, "connmgr", "one", None), (2, "ofproto", "two 7", 7)],
        )

    def test_levels(self) -> None:
        """The level is that of the module and the destination, also when it has changed; what goes
        nowhere has no number."""
        self.connmgr.debug("a")
        self.vlog.levels.set("connmgr:console:dbg")
        self.vlog.levels.set("ofproto:console:err")
        self.connmgr.debug("b")
        self.ofproto.warn("c")
        self.ofproto.error("d")
        self.vlog.levels.set("off")
        self.connmgr.critical("e")
        self.assertEqual(self.lines(), ["00001|connmgr|DBG|b", "00003|ofproto|ERR|d"])
        texts = [json.loads(line)["text"] for line in self.file.getvalue().splitlines()]
        self.assertEqual(texts, ["c", "d"])

    def test_repeated(self) -> None:
        """A place that repeats itself is silenced, and the next line says what was dropped; other
        places are not touched."""
        now = [1000.0]
        self.vlog = Vlog("info", RateLimiter(per_minute=1, burst=2))
        self.vlog.destinations["console"] = StreamDestination(self.console, "text")
        log = Logger("agent.connmgr.ofconn", observer=self.clocked(now))
        before = coverage.process.total("vlog_dropped")
        for number in range(5):
            log.warn("again {number}", number=number)
        log.warn("other")
        now[0] += 60
        log.warn("again {number}", number=5)
        self.assertEqual(
            self.lines(),
            [
                "00001|connmgr|WARN|again 0",
                "00002|connmgr|WARN|again 1",
                "00003|connmgr|WARN|other",
                "00004|connmgr|WARN|Dropped 3 log messages in last 60 seconds "
                "(most recently, 60 seconds ago) due to excessive rate",
                "00005|connmgr|WARN|again 5",
            ],
        )
        self.assertEqual(coverage.process.total("vlog_dropped") - before, 3)

    def clocked(self, now: list[float]) -> Any:
        """The log, with events that happen when the test says."""

        def observe(event: Any) -> None:
            self.vlog({**event, "log_time": now[0]})

        return observe

    def test_unlimited(self) -> None:
        """A module for which the limit was lifted may repeat itself, and what is printed is never
        cut."""
        self.vlog.levels.unlimited.add("connmgr")
        for namespace in ("agent.connmgr.ofconn", "stderr"):
            log = Logger(namespace, observer=self.vlog)
            for _ in range(500):
                log.warn("again")
        self.assertEqual(len(self.lines()), 1000)

    def test_logged_while_logging(self) -> None:
        """Something that logs when it is asked for its text does not stop the log."""
        connmgr = self.connmgr

        class Noisy:
            def __str__(self) -> str:
                connmgr.info("inner")
                return "outer"

        connmgr.info("{what}", what=Noisy())
        self.assertEqual(self.lines()[-1].split("|")[-1], "outer")

    def test_cannot_be_written(self) -> None:
        """A destination that fails does not keep the others from getting the line."""
        self.console.close()
        before = coverage.process.total("vlog_unwritten")
        self.connmgr.info("one")
        self.assertIn("one", self.file.getvalue())
        self.assertEqual(coverage.process.total("vlog_unwritten") - before, 1)

    def test_encoding(self) -> None:
        """A console that cannot show a character gets its number."""
        raw = BytesIO()
        self.vlog.destinations["console"] = StreamDestination(TextIOWrapper(raw, "ascii"), "text")
        self.connmgr.info("gr\u00fc\u00dfe")
        self.assertTrue(raw.getvalue().endswith(b"|gr\\xfc\\xdfe\n"))

    def test_syslog(self) -> None:
        """The system's log gets the lines without a time, with the priorities of Open vSwitch."""
        said: list[tuple[int, str]] = []
        opened: list[str] = []
        self.patch(syslog, "openlog", lambda name, *_: opened.append(name))
        self.patch(syslog, "syslog", lambda *line: said.append(line))
        self.vlog.destinations = {"syslog": SyslogDestination("ofagent")}
        self.connmgr.info("one")
        try:
            raise RuntimeError("oops")
        except RuntimeError:
            self.connmgr.failure("two")
        self.assertEqual(opened, ["ofagent"])
        self.assertEqual(said[0], (syslog.LOG_NOTICE, "00001|connmgr|INFO|one"))
        self.assertEqual(said[1], (syslog.LOG_ALERT, "00002|connmgr|EMER|two"))
        self.assertEqual(said[-1], (syslog.LOG_ALERT, "\tbuiltins.RuntimeError: oops"))

    def test_attach(self) -> None:
        """It becomes the log of an application, and leaves any other parent of a service alone."""
        application = Application("test")
        self.vlog.attach(application)
        self.assertIs(application.getComponent(ILogObserver), self.vlog)
        self.vlog.attach(MultiService())

    def test_reopen_without_a_file(self) -> None:
        """Where nothing is logged to a file, there is none to be opened anew."""
        self.assertFalse(self.vlog.reopen())


class StartTests(SynchronousTestCase):
    """How logging begins."""

    def test_start_logging(self) -> None:
        """What was logged before comes out as well, and what is printed is left alone."""
        publisher = LogPublisher()
        stdio = SimpleNamespace(stdout=StringIO(), stderr=StringIO())
        beginner = LogBeginner(publisher, StringIO(), stdio, SimpleNamespace(**vars(warnings)))
        log = Logger("agent.bridge", observer=publisher)
        log.info("early")
        stream = StringIO()
        started = start_logging("warn", "text", stream, beginner)
        log.warn("late")
        started.levels.set("bridge:info")
        log.info("later")
        texts = [line.split("|", 1)[1] for line in stream.getvalue().splitlines()]
        self.assertEqual(texts, ["00001|bridge|WARN|late", "00002|bridge|INFO|later"])
        self.assertIsInstance(stdio.stdout, StringIO)

    def test_default_beginner(self) -> None:
        """Where none is given, it is Twisted's own."""
        begun: list[Any] = []
        self.patch(
            globalLogBeginner, "beginLoggingTo", lambda observers, **_: begun.extend(observers)
        )
        started = start_logging("info", "json", StringIO())
        self.assertEqual(begun, [started])

    def test_twistd_console(self) -> None:
        """Without a daemon and without a file, the log is twistd's standard output."""
        stdout = StringIO()
        self.patch(sys, "stdout", stdout)
        for options in (
            {},
            {"nodaemon": True, "logfile": None},
            {"nodaemon": True, "logfile": "-"},
        ):
            log = for_twistd(options, "info", "text", MemoryReactorClock())
            self.assertEqual(log.destinations, {"console": StreamDestination(stdout, "text")})

    def test_twistd_syslog(self) -> None:
        """With ``--syslog``, it is the system's log, under twistd's name for the process."""
        opened: list[str] = []
        self.patch(syslog, "openlog", lambda name, *_: opened.append(name))
        options = {"nodaemon": False, "syslog": True, "prefix": "other"}
        log = for_twistd(options, "info", "text", MemoryReactorClock())
        self.assertEqual(list(log.destinations), ["syslog"])
        self.assertEqual(opened, ["other"])

    def test_twistd_logger(self) -> None:
        """With ``--logger``, it writes nothing: twistd has another observer."""
        log = for_twistd({"logger": object()}, "info", "text", MemoryReactorClock())
        self.assertEqual(log.destinations, {})

    def test_twistd_daemon_without_output(self) -> None:
        """A daemon has no standard output, and so cannot log to it."""
        options = {"nodaemon": False, "logfile": "-"}
        self.assertRaises(SystemExit, for_twistd, options, "info", "text", MemoryReactorClock())
