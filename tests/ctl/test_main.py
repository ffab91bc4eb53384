"""Tests of :mod:`agent.ctl`, with the commands of a control socket and no socket."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from agent.admin.commands import commands
from agent.admin.coverage import Coverage
from agent.admin.unixctl import CommandError
from agent.admin.vlog import Vlog
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.ctl import main as program
from agent.ctl.client import RefusedError, UnreachableError, find_socket
from agent.ctl.main import Control, UsageError, check_config, main
from agent.ctl.parser import REPORTS, completion, make_parser
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from tests.admin.agents import FakeAgent, FakeBridge
from tests.ofproto.stage import SwitchTestCase

ADD = FlowModCommand.ADD


class Stop(Exception):
    """Ends what would go on for ever."""


class Terminal(io.StringIO):
    """Is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class ControlCase(SwitchTestCase):
    """Has an agent with one bridge, and a command line.

    :ivar pauses: what happens while the command line sleeps, in order; then it is stopped.
    """

    def setUp(self) -> None:
        """Nothing has been asked."""
        super().setUp()
        self.bridge = FakeBridge(self.switch)
        self.agent = FakeAgent({"br0": self.bridge})
        self.commands = commands(self.agent, self.clock, Vlog(), Coverage())
        self.pauses: list[Callable[[], object]] = []

    def ask(self, command: str, *arguments: str) -> str:
        """See :class:`agent.ctl.client.Asks`."""
        result: Deferred[str] = self.commands.execute(command, arguments)
        self.turn()
        answers: list[Any] = []
        result.addBoth(answers.append)
        (answer,) = answers
        if not isinstance(answer, str):
            answer.trap(CommandError)
            raise RefusedError(answer.getErrorMessage())
        return answer

    def sleep(self, seconds: float) -> None:
        """Let the next thing happen."""
        if not self.pauses:
            raise Stop
        self.pauses.pop(0)()

    def run_line(self, line: str, out: io.StringIO | None = None) -> str:
        """What a command line writes."""
        out = io.StringIO() if out is None else out
        with contextlib.suppress(Stop):
            Control(lambda: self, out, self.sleep).run(make_parser().parse_args(line.split()))
        return out.getvalue()


class ReportTests(ControlCase):
    """What is shown."""

    def test_status(self) -> None:
        """The agent and its bridges."""
        self.add(Match.of(in_port=1))
        text = self.run_line("status")
        self.assertIn("version", text)
        head, line = text.splitlines()[-2:]
        self.assertTrue(head.startswith("BRIDGE"))
        self.assertEqual(line.split()[0], "br0")
        self.assertTrue(line.endswith("working"))

    def test_every_report(self) -> None:
        """Each is a table for people, and for programs what the agent said."""
        self.add(Match.of(in_port=1))
        self.start(ADD, match=Match.of(in_port=2))
        for name in (*REPORTS, "bridges", "flows", "why", "asic show"):
            self.assertTrue(self.run_line(name).strip(), name)
            data = json.loads(self.run_line(f"{name} --json"))
            self.assertIsInstance(data, dict | list, name)
            if name not in ("driver", "asic show", "pending"):
                heads, *_ = self.run_line(name).split()
                self.assertNotIn(heads, self.run_line(f"{name} --no-header"))

    def test_flows(self) -> None:
        """Rules that match, with whether the hardware has them."""
        self.add(Match.of(in_port=1), table_id=1)
        self.add(Match.of(in_port=3))
        self.start(ADD, match=Match.of(in_port=2), xid=9)
        lines = self.run_line("flows br0").splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[0].split()[:3], ["TABLE", "PRIORITY", "MATCH"])
        for line in ("flows in_port=1", "flows br0 in_port=1", "flows --table 1"):
            _, found = self.run_line(line).splitlines()
            self.assertIn("in_port=1", found)
            self.assertTrue(found.endswith("installed"))
        _, found = self.run_line("why").splitlines()
        self.assertIn("in_port=2", found)
        self.assertIn("xid 0x9", found)
        self.assertIn("there are more", self.run_line("flows --limit 2"))

    def test_pending(self) -> None:
        """What is in flight, and what waits for what."""
        self.start(ADD, match=Match.of(in_port=2), xid=9)
        self.bridge.connections.found = [
            ConnectionStatus(
                name="br0<->x",
                kind=ConnectionKind.SERVICE,
                state="ACTIVE",
                since=75.0,
                waiting_for="its own 1 operation group",
                waiting_xid=10,
                monitors=(3, 4),
            ),
            ConnectionStatus(
                name="br0<->y",
                kind=ConnectionKind.SERVICE,
                state="ACTIVE",
                since=75.0,
                monitors=(1, 2, 3, 4, 5, 6),
                monitors_paused=True,
            ),
        ]
        text = self.run_line("pending")
        self.assertIn("in_port=2,actions=output:2 (in flight)", text)
        self.assertIn("0xa  its own 1 operation group", text)
        text = self.run_line("connections")
        self.assertIn("1 min 15 s", text)
        self.assertIn("  2: 3, 4  ", text)
        self.assertIn("  6: 1, 2, 3, 4, 5, ... (paused)", text)
        self.assertIn("xid 0xa: its own", text)

    def test_watch(self) -> None:
        """The same again and again, on a terminal in the same place."""
        self.pauses = [lambda: self.add(Match.of(in_port=1)), lambda: None]
        text = self.run_line("tables --watch", Terminal())
        self.assertEqual(text.count("\x1b[H\x1b[2J"), 3)
        self.pauses = [lambda: None]
        self.assertEqual(self.run_line("tables --watch 5 --json").count("\n"), 2)

    def test_follow(self) -> None:
        """Rules that come, change and go, a line each."""
        self.add(Match.of(in_port=1))

        def change() -> None:
            self.start(FlowModCommand.DELETE, match=Match.of(in_port=1))
            self.driver.finish_all()
            self.start(ADD, match=Match.of(in_port=2))

        self.pauses = [change, self.driver.finish_all]
        lines = self.run_line("flows --follow").splitlines()
        self.assertEqual([line[:2] for line in lines], ["ta", "+ ", "- ", "~ "])
        self.assertIn("pending", lines[1])
        self.assertIn("in_port=1", lines[2])
        self.assertTrue(lines[3].endswith("(installed)"))

    def test_several_bridges(self) -> None:
        """Where there are several, one has to be named."""
        self.agent.bridges["br1"] = FakeBridge(self.switch)
        error = self.assertRaises(UsageError, self.run_line, "ports")
        self.assertIn("br0, br1", str(error))
        self.assertIn("PORT", self.run_line("ports br1"))

    def test_refused(self) -> None:
        """What the agent refuses names the argument."""
        for line, text in (
            ("ports br9", 'there is no bridge "br9"'),
            ("flows --state gone", "state:"),
            ("flows --table x", "table:"),
            ("flows --limit 10001", "limit:"),
            ("flows nothing=1", "match:"),
        ):
            self.assertIn(text, str(self.assertRaises(RefusedError, self.run_line, line)))
        for arguments in (("x",), ("bridge", "br0", "k=v"), ("flows", "br0", "k=v")):
            self.assertRaises(RefusedError, self.ask, "ofagent/report", *arguments)


class ActionTests(ControlCase):
    """What is done."""

    def test_flush(self) -> None:
        """Rules are deleted, and it is said when they are."""
        self.driver.instant = True
        self.add(Match.of(in_port=1))
        self.patch(program, "POLL", 5.0)
        self.assertEqual(self.run_line("flush"), "br0: 0 rules left\n")
        self.assertEqual(self.switch.tables[0].rules.count, 0)

    def test_wait(self) -> None:
        """It ends when nothing is in flight, and not before."""
        self.start(ADD, match=Match.of(in_port=2))
        slept = []
        self.pauses = [lambda: slept.append(1), self.driver.finish_all]
        self.run_line("wait")
        self.assertEqual((slept, self.pauses), ([1], []))

    def test_passed_on(self) -> None:
        """Commands of the control socket."""
        self.assertIn("ofproto/list", self.run_line("call help"))
        self.assertEqual(self.run_line("call ofproto/list"), "br0\n")
        self.agent.reloads = ["nothing has changed"]
        self.assertEqual(self.run_line("reload"), "nothing has changed\n")
        for line in ("clog", "unclog br0", "fault br0 fail 3", "trace br0 in_port=1"):
            error = self.assertRaises(RefusedError, self.run_line, line)
            self.assertIn("no driver that", str(error), line)

    def test_capture(self) -> None:
        """A capture needs a file, and its end has none; the agent is told the rest."""
        for line in ("capture br0 tcp:1", "capture br0 tcp:1 x --stop"):
            self.assertRaises(UsageError, self.run_line, line)
        for line in ("capture br0 tcp:1 x --megabytes 3", "capture br0 tcp:1 --stop"):
            error = self.assertRaises(RefusedError, self.run_line, line)
            self.assertIn("there is no connection", str(error), line)
        error = self.assertRaises(RefusedError, self.run_line, "capture br0 tcp:1 x --megabytes 0")
        self.assertIn("MEGABYTES", str(error))


class MainTests(ControlCase):
    """Exit statuses, and what needs no agent."""

    def status(self, *words: str) -> tuple[int, str, str]:
        """What a command line ends with, and what it writes."""
        out, problems = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", problems)
        try:
            status = main(words)
        except SystemExit as stopped:
            status = int(str(stopped.code))
        return status, out.getvalue(), problems.getvalue()

    def test_unreachable(self) -> None:
        """Without an agent the status is 3, and it is said where it was looked for."""
        path = str(Path(self.mktemp()))
        status, _, problem = self.status("-t", path, "status")
        self.assertEqual(status, 3)
        self.assertIn(path, problem)
        self.patch(program, "find_socket", lambda given: find_socket(None))
        self.patch(sys.modules["agent.ctl.client"], "PLACES", (path,))
        status, _, problem = self.status("status")
        self.assertEqual(status, 3)
        self.assertIn("is the agent running?", problem)

    def test_usage(self) -> None:
        """A wrong command line is 2."""
        for words in ((), ("nothing",), ("ports", "--watch", "0"), ("trace", "br0")):
            self.assertEqual(self.status(*words)[0], 2, words)

    def test_refused(self) -> None:
        """What the agent refuses is 1; what it closes is 3."""
        self.patch(program, "Client", lambda path: self)
        status, _, problem = self.status("-t", "x", "ports", "br9")
        self.assertEqual(status, 1)
        self.assertTrue(problem.startswith("ofagentctl: "))

        def unreachable(*arguments: str) -> str:
            raise UnreachableError("gone")

        self.patch(self, "ask", unreachable)
        self.assertEqual(self.status("-t", "x", "status")[0], 3)

    def test_check_config(self) -> None:
        """A configuration is checked without an agent."""
        example = Path(__file__).parents[2] / "etc" / "ofagent.toml"
        self.assertEqual(self.status("check-config", str(example))[0], 0)
        wrong = Path(self.mktemp())
        wrong.write_text(example.read_text().replace('name = "asic"', 'name = "asicc"'))
        status, _, problem = self.status("check-config", str(wrong))
        self.assertEqual(status, 1)
        self.assertIn("asicc", problem)
        self.assertEqual(check_config(str(example)), "")

    def test_completion(self) -> None:
        """The script knows every command."""
        script = completion(make_parser())
        for name in (*REPORTS, "flows", "asic", "reload", "--state"):
            self.assertIn(name, script)
