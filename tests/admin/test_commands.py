"""Tests of :mod:`agent.admin.commands`, and of its groups of commands about drivers and process."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import alsoProvides, implementer

import agent
from agent.admin.commands import commands
from agent.admin.coverage import Coverage
from agent.admin.schema import ConfigError
from agent.admin.unixctl import CommandError
from agent.admin.vlog import StreamDestination, Vlog
from agent.openflow.messages import FlowModCommand
from drivers.abilities import IChecking, IForwardingDatabase, ITracing
from drivers.testing import ScriptableDriver
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge, FaultyDriver
from tests.ofproto.stage import SwitchTestCase


@implementer(IChecking)
class CheckingDriver(ScriptableDriver):
    """A driver that can read its hardware.

    :ivar wrong: what it finds there.
    """

    wrong: Deferred[Sequence[str]] = succeed([])

    def check(self) -> Deferred[Sequence[str]]:
        """See :class:`drivers.abilities.IChecking`."""
        return self.wrong


class AllTests(CommandCase):
    """All commands together."""

    def test_list(self) -> None:
        """Every command is listed, with its arguments."""
        self.registry = commands(FakeAgent(), Clock(), Vlog(), Coverage())
        lines = self.run_command("list-commands").splitlines()[1:]
        self.assertEqual(
            {line[:25].strip(): line[25:].strip() for line in lines},
            {
                "bridge/capture": "BRIDGE CONNECTION FILE [MEGABYTES]",
                "bridge/capture-stop": "BRIDGE CONNECTION",
                "bridge/connections": "[BRIDGE]",
                "bridge/dump-flows": "BRIDGE",
                "coverage/read-counter": "COUNTER",
                "coverage/show": "",
                "driver/check": "BRIDGE",
                "driver/fault": "BRIDGE WORD...",
                "driver/show": "[BRIDGE]",
                "exit": "",
                "fdb/flush": "[BRIDGE]",
                "fdb/show": "BRIDGE",
                "fdb/stats-show": "BRIDGE",
                "list-commands": "",
                "memory/show": "",
                "ofagent/reload": "",
                "ofagent/report": "WHAT [BRIDGE] [KEY=VALUE]...",
                "ofproto/clog": "[BRIDGE]",
                "ofproto/flush": "[BRIDGE]",
                "ofproto/list": "",
                "ofproto/pending": "[BRIDGE]",
                "ofproto/trace": "BRIDGE FLOW [-generate|PACKET]",
                "ofproto/unclog": "[BRIDGE]",
                "version": "",
                "vlog/disable-rate-limit": "[MODULE]...",
                "vlog/enable-rate-limit": "[MODULE]...",
                "vlog/list": "",
                "vlog/reopen": "",
                "vlog/set": "[MODULE[:DESTINATION[:LEVEL]]]...",
            },
        )


ARGUMENTS = {
    "-generate|PACKET": ("00" * 14, "0g"),
    "BRIDGE": ("br0", "br9"),
    "CONNECTION": ("tcp:192.0.2.1:6653", "nobody"),
    "COUNTER": ("unixctl_received", "nothing"),
    "FILE": ("x.pcap", ""),
    "FLOW": ("in_port=1", "in_port=1,colour=red"),
    "MEGABYTES": ("1", "0"),
    "MODULE": ("ofproto", "nothing"),
    "MODULE[:DESTINATION[:LEVEL]]": ("ofproto:dbg", "dbg:err"),
    "KEY=VALUE": ("limit=1", "colour=red"),
    "WHAT": ("flows", "nothing"),
    "WORD": ("fail", "explode"),
}
"""For each argument of any command, by its name in the usage: one that is right, and one that is
wrong."""


class BadArgumentsTests(SwitchTestCase, CommandCase):
    """Every command refuses bad arguments in a text that says which."""

    def setUp(self) -> None:
        """All commands, and a driver that can do all they ask for."""
        super().setUp()
        driver: Any = FaultyDriver()
        for name in ("learned_addresses", "learning_statistics", "forget_addresses", "trace"):
            setattr(driver, name, lambda *args: self.fail("executed nevertheless"))
        alsoProvides(driver, IForwardingDatabase, ITracing)
        self.switch.driver = driver
        self.agent = FakeAgent({"br0": FakeBridge(self.switch)})
        self.registry = commands(self.agent, self.clock, Vlog(), Coverage())

    def test_missing(self) -> None:
        """One that must be there and is not is named."""
        for command in self.registry:
            good = [ARGUMENTS[name][0] for name in command.arguments]
            for count in range(command.min_args):
                missing = command.arguments[count : command.min_args]
                text = self.command_refused(command.name, *good[:count])
                for name in missing:
                    self.assertIn(name, text)

    def test_too_many(self) -> None:
        """The first that is too much is repeated; a long one, not all of it."""
        for command in self.registry:
            if command.max_args is not None:
                good = [ARGUMENTS[name][0] for name in command.arguments]
                for extra in ("surplus", "x" * 10_000):
                    text = self.command_refused(command.name, *good, extra, "more")
                    self.assertIn(f'"{extra[:50]}', text)
                    self.assertLess(len(text), 200)

    def test_wrong(self) -> None:
        """One that means nothing is named, or repeated, wherever it is."""
        for command in self.registry:
            good = [ARGUMENTS[name][0] for name in command.arguments]
            for place, name in enumerate(command.arguments):
                bad = ARGUMENTS[name][1]
                args = [*good[:place], bad, *good[place + 1 :]]
                text = self.command_refused(command.name, *args)
                named = name.removeprefix("-generate|")
                self.assertTrue(
                    text.startswith(f"{named}: ") or f'"{bad}"' in text, f"{command.name}: {text}"
                )

    def test_no_text(self) -> None:
        """One that is no text is repeated, wherever it is."""
        for command in self.registry:
            good = [ARGUMENTS[name][0] for name in command.arguments]
            for place in range(len(good)):
                for bad in (17, None, ["br0"], {"a": 1}):
                    args = [*good[:place], bad, *good[place + 1 :]]
                    result = self.registry.execute(command.name, args)
                    error = self.failureResultOf(result, CommandError).value
                    self.assertIn(f"({json.dumps(bad)})", str(error))


class DriverTests(SwitchTestCase, CommandCase):
    """``driver/...``."""

    def setUp(self) -> None:
        """One bridge with faults, and one without."""
        super().setUp()
        self.agent = FakeAgent({"br0": FakeBridge(self.switch)})
        self.registry = commands(self.agent, self.clock, Vlog(), Coverage())

    def test_show(self) -> None:
        """What the driver says of itself is shown, below the bridge and the driver's name; then
        what the agent has seen of it."""
        self.start(FlowModCommand.ADD)
        self.driver.duplicate()
        self.start(FlowModCommand.DELETE)
        shown = (
            "br0: scriptable\n  in flight: 1\n  lost: 0\n"
            "  late completions: 1\n  reads without an answer: 0"
        )
        self.assertEqual(self.run_command("driver/show"), shown)
        self.assertEqual(self.run_command("driver/show", "br0"), shown)
        self.assertIn("BRIDGE", self.command_refused("driver/show", "br9"))
        self.run_to_end()

    def test_check(self) -> None:
        """What is wrong in the hardware is told line by line; that nothing is, in words; and that
        it cannot be read, as an error."""
        driver = self.switch.driver = CheckingDriver()
        self.assertIn("has what", self.run_command("driver/check", "br0"))
        driver.wrong = succeed(["a rule is missing", "so is another"])
        self.assertEqual(
            self.run_command("driver/check", "br0"), "a rule is missing\nso is another"
        )
        driver.wrong = fail(OSError(1, "not now"))
        self.assertIn("not now", self.command_refused("driver/check", "br0"))
        self.switch.driver = ScriptableDriver()
        self.assertEqual(
            self.command_refused("driver/check", "br0"),
            "BRIDGE: no driver that can read its hardware: br0 (scriptable)",
        )

    def test_fault(self) -> None:
        """Words go to the driver of the bridge as they are; what it does not understand is an
        error."""
        self.switch.driver = FaultyDriver()
        self.assertEqual(self.run_command("driver/fault", "br0", "fail", "3"), "fail 3")
        self.assertEqual(self.command_refused("driver/fault", "br0", "x"), "WORD: a fault is: fail")
        self.assertIn("requires at least 2", self.command_refused("driver/fault", "br0"))

    def test_no_faults(self) -> None:
        """A driver that never fails on purpose is named in the error."""
        self.assertEqual(
            self.command_refused("driver/fault", "br0", "fail"),
            "BRIDGE: no driver that has faults: br0 (scriptable)",
        )


class ProcessTests(SwitchTestCase, CommandCase):
    """``version``, ``exit``, ``ofagent/reload`` and ``memory/show``."""

    def setUp(self) -> None:
        """One bridge."""
        super().setUp()
        self.agent = FakeAgent({"br0": FakeBridge(self.switch)})
        self.registry = commands(self.agent, self.clock, Vlog(), Coverage())

    def test_version(self) -> None:
        """The version is the agent's."""
        self.assertEqual(self.run_command("version"), f"ofagent {agent.__version__}")

    def test_exit(self) -> None:
        """The agent is stopped after the answer was given, not before."""
        self.assertEqual(self.run_command("exit"), "")
        self.assertEqual(self.agent.exits, 0)
        self.turn()
        self.assertEqual(self.agent.exits, 1)

    def test_reload(self) -> None:
        """What has changed is the answer; a file that is wrong is an error, in one line."""
        self.agent.reloads += ["br0: restarted", ConfigError("f", "a.b", 1, "must be 2")]
        self.assertEqual(self.run_command("ofagent/reload"), "br0: restarted")
        refused = self.command_refused("ofagent/reload")
        self.assertEqual(refused, "nothing has changed: f: a.b = 1: must be 2")

    def test_memory(self) -> None:
        """What uses memory is counted, in alphabetical order, as Open vSwitch writes it."""
        self.add()
        self.start(FlowModCommand.ADD, priority=1)
        words = self.run_command("memory/show").split(" ")
        self.assertEqual(words, sorted(words))
        usage = {name: int(count) for name, count in (word.split(":") for word in words)}
        self.assertEqual(
            {name: usage[name] for name in usage if "rss" not in name},
            {
                "bridges": 1,
                "connections": 0,
                "groups": 1,
                "operations": 1,
                "ports": 2,
                "rules": 2,
            },
        )
        self.assertGreater(usage["peak-rss-kB"], 1000)
        self.run_to_end()


class CoverageTests(CommandCase):
    """``coverage/...``."""

    def test_coverage(self) -> None:
        """Counters are shown as a table, and one by one."""
        coverage = Coverage()
        coverage.counter("flow_mod").count += 3
        self.registry = commands(FakeAgent(), Clock(), Vlog(), coverage)
        self.assertEqual(self.run_command("coverage/show"), coverage.show())
        self.assertEqual(self.run_command("coverage/read-counter", "flow_mod"), "3")
        self.assertEqual(
            self.command_refused("coverage/read-counter", "x"), 'COUNTER: no such counter "x"'
        )


class LogTests(CommandCase):
    """``vlog/...``."""

    def setUp(self) -> None:
        """A log to a console."""
        self.console = io.StringIO()
        self.vlog = Vlog("info")
        self.vlog.destinations["console"] = StreamDestination(self.console, "text")
        self.registry = commands(FakeAgent(), Clock(), self.vlog, Coverage())
        self.log = Logger("agent.connmgr.ofconn", observer=self.vlog)

    def logged(self, emit: Callable[..., Any]) -> int:
        """How many of a hundred lines are written."""
        self.console.truncate(0)
        for _ in range(100):
            emit("hello")
        return self.console.getvalue().count("|hello")

    def test_set(self) -> None:
        """Levels change while the agent runs; all arguments count, and none means DBG for all."""
        self.assertEqual(self.logged(self.log.debug), 0)
        self.assertEqual(self.run_command("vlog/set", "err", "connmgr:console:dbg"), "")
        self.assertGreater(self.logged(self.log.debug), 0)
        self.assertIn("connmgr            DBG        ERR        ERR", self.run_command("vlog/list"))
        self.run_command("vlog/set")
        self.assertIn("ofproto            DBG        DBG        DBG", self.run_command("vlog/list"))

    def test_set_refused(self) -> None:
        """A word that means nothing is named."""
        self.assertEqual(
            self.command_refused("vlog/set", "connmgr:loud"),
            'no destination, level, or module "loud" (in "connmgr:loud")',
        )

    def test_rate_limit(self) -> None:
        """The limit is lifted and put back, for the modules that are named, or for all."""
        self.assertLess(self.logged(self.log.info), 100)
        for names in ((), ("any",), ("CONNMGR", "ofproto")):
            self.run_command("vlog/disable-rate-limit", *names)
            self.assertEqual(self.logged(self.log.info), 100)
            self.run_command("vlog/enable-rate-limit", *names)
            self.assertLess(self.logged(self.log.info), 100)
        self.run_command("vlog/disable-rate-limit", "ofproto")
        self.assertLess(self.logged(self.log.info), 100)
        self.assertEqual(
            self.command_refused("vlog/disable-rate-limit", "loud"), 'MODULE: no module "loud"'
        )

    def test_reopen(self) -> None:
        """Without a log file, and with one that cannot be opened, there is an error."""
        self.assertEqual(self.command_refused("vlog/reopen"), "Logging to file not configured")

        def fail() -> bool:
            raise OSError(errno.ENOENT, "No such file or directory")

        self.patch(self.vlog, "reopen", fail)
        self.assertEqual(
            self.command_refused("vlog/reopen"),
            "the log file cannot be opened: No such file or directory",
        )
        self.patch(self.vlog, "reopen", lambda: True)
        self.assertEqual(self.run_command("vlog/reopen"), "")
