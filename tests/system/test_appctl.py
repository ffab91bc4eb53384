"""The control socket as Debian's ``ovs-appctl`` sees it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.reflect import namedAny
from twisted.trial.unittest import TestCase

import agent
from agent.admin.commands import commands
from agent.admin.coverage import Coverage
from agent.admin.jsonrpc import MAX_LENGTH
from agent.admin.listeners import bind
from agent.admin.unixctl import CommandError, UnixctlServer
from agent.admin.vlog import Vlog
from agent.connmgr.target import Target
from agent.ofproto.ofproto import OFProto
from agent.openflow.messages import FlowModCommand
from drivers.registry import find
from tests.admin.agents import FakeAgent, FakeBridge, FaultyDriver
from tests.ofproto.stage import Observer, Requester, flow_mod
from tests.system import need


class AppctlTests(TestCase):
    """``ovs-appctl -t PATH COMMAND [ARGUMENT]...``"""

    timeout = 60

    def setUp(self) -> None:
        """Serve a control socket, with all commands and some more."""
        need(shutil.which("ovs-appctl"), "ovs-appctl: install openvswitch-common")
        self.reactor: Any = namedAny("twisted.internet.reactor")
        directory = tempfile.mkdtemp(prefix="ofagent-")
        self.addCleanup(shutil.rmtree, directory)
        self.path = str(Path(directory) / "ofagent.ctl")
        self.driver = FaultyDriver(instant=True)
        switch = OFProto("br0", 1, self.driver, self.reactor)
        switch.observer = Observer()
        switch.start()
        self.switch = switch
        self.addCleanup(switch.stop)
        self.agent = FakeAgent({"br0": FakeBridge(switch)})
        registry = commands(self.agent, self.reactor, Vlog(), Coverage())
        self.waiting: list[Deferred[str]] = []
        registry.register("test/echo", "[WORD]...", 0, None, lambda *words: "\n".join(words))
        registry.register("test/refuse", "WORD", 1, 1, self.refuse)
        registry.register("test/wait", "", 0, 0, self.wait)
        registry.register("test/sleep", "", 0, 0, self.sleep)
        registry.register("test/long", "", 0, 0, lambda: "x" * 79 * 100_000)
        self.server = UnixctlServer(
            self.reactor, bind(Target.parse(f"punix:{self.path}")), registry
        )
        self.server.startService()
        self.addCleanup(self.stop)

    def stop(self) -> Deferred[Any] | None:
        """Stop serving, if a test has not."""
        return self.server.stopService() if self.server.running else None

    @staticmethod
    def refuse(word: str) -> str:
        """A command that fails."""
        raise CommandError(f"not {word}")

    def wait(self) -> Deferred[str]:
        """A command that the test answers."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def sleep(self) -> Deferred[str]:
        """A command that takes some time."""
        return deferLater(self.reactor, 0.2, lambda: "slept")

    async def appctl(self, *words: str) -> tuple[str, str, int]:
        """Run ovs-appctl; returns what it has printed as output and as errors, and its status."""
        out, errors, status = await getProcessOutputAndValue(
            shutil.which("ovs-appctl"),
            ["--timeout=30", "-t", self.path, *words],
            # Its own log lines would be among the errors.
            {**os.environ, "LC_ALL": "C.UTF-8"},
        )
        return out.decode(), errors.decode(), status

    async def succeed(self, *words: str) -> str:
        """What a command that succeeds prints."""
        out, errors, status = await self.appctl(*words)
        self.assertEqual((errors, status), ("", 0))
        return out

    async def fail_with(self, text: str, *words: str) -> None:
        """A command fails, with this text."""
        self.assertEqual(
            await self.appctl(*words),
            ("", f"{text}\novs-appctl: {self.path}: server returned an error\n", 2),
        )

    async def test_result(self) -> None:
        """An answer is printed, with a newline at its end if there is anything."""
        self.assertEqual(await self.succeed("version"), f"ofagent {agent.__version__}\n")
        self.assertEqual(await self.succeed("test/echo"), "")
        listed = await self.succeed("list-commands")
        self.assertTrue(listed.startswith("The available commands are:\n"))
        self.assertIn("  bridge/dump-flows       BRIDGE\n", listed)

    async def test_errors(self) -> None:
        """Errors are those of Open vSwitch, and so is the exit status."""
        await self.fail_with("not that", "test/refuse", "that")
        await self.fail_with(
            '"nonsense" is not a valid command '
            '(use "list-commands" to see a list of valid commands)',
            "nonsense",
        )
        await self.fail_with(
            '"test/refuse" command requires at least 1 arguments (WORD missing)', "test/refuse"
        )
        await self.fail_with(
            '"version" command takes at most 0 arguments ("x" is too much)', "version", "x"
        )
        await self.fail_with(
            'BRIDGE: there is no bridge "br9" (there are: br0)', "driver/show", "br9"
        )

    async def test_texts_arrive(self) -> None:
        """Arguments and answers arrive as they are, whatever they hold."""
        words = ['a"b', "c\\d", "{e}", "f g", "gr\u00fc\u00dfe \U0001f600", "\t", "[" * 100]
        self.assertEqual(await self.succeed("test/echo", *words), "\n".join(words) + "\n")

    async def test_long_answer(self) -> None:
        """Megabytes arrive."""
        self.assertEqual(await self.succeed("test/long"), "x" * 79 * 100_000 + "\n")

    async def test_long_question(self) -> None:
        """A request beyond the limit ends the connection, and nothing else."""
        _, errors, status = await self.appctl("test/echo", "x" * (MAX_LENGTH + 1))
        self.assertEqual(status, 1)
        self.assertIn("transaction error", errors)
        self.assertEqual(await self.succeed("test/echo", "x"), "x\n")

    async def test_slow_answer(self) -> None:
        """A command that takes time keeps its client waiting, and nobody else."""
        slow = ensureDeferred(self.succeed("test/sleep"))
        self.assertEqual(await self.succeed("test/echo", "x"), "x\n")
        self.assertNoResult(slow)
        self.assertEqual(await slow, "slept\n")

    async def test_many_clients(self) -> None:
        """Clients at the same time each get their own answer."""
        numbers = [str(number) for number in range(20)]
        answers = await gatherResults(
            [ensureDeferred(self.succeed("test/echo", number)) for number in numbers]
        )
        self.assertEqual(answers, [f"{number}\n" for number in numbers])

    async def test_rubbish(self) -> None:
        """A client that speaks something else is cut off; the others are not harmed."""
        for rubbish in (b"GET / HTTP/1.0\r\n\r\n", b"\x04\x00\x00\x08\x00\x00\x00\x01", b"{" * 99):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.path)
                client.sendall(rubbish)
                client.setblocking(False)
                await self.until_closed(client)
        self.assertEqual(await self.succeed("test/echo", "x"), "x\n")

    async def until_closed(self, client: socket.socket) -> None:
        """Wait until the other side has closed; it says nothing before."""
        while True:
            try:
                data = client.recv(100)
            except BlockingIOError:
                await deferLater(self.reactor, 0.01, lambda: None)
            except ConnectionResetError:
                return
            else:
                self.assertEqual(data, b"")
                return

    async def test_stop(self) -> None:
        """When the server stops, who waits gets an error, and the socket is gone."""
        asked = ensureDeferred(self.fail_with('"test/wait" command was cut short', "test/wait"))
        while not self.waiting:
            await deferLater(self.reactor, 0.01, lambda: None)
        await self.server.stopService()
        await asked
        self.assertFalse(os.path.exists(self.path))
        _, errors, status = await self.appctl("version")
        self.assertEqual(status, 1)
        self.assertIn("cannot connect", errors)

    async def test_never_started(self) -> None:
        """A server that was stopped before it was started leaves no socket either."""
        path = f"{self.path}2"
        listener = bind(Target.parse(f"punix:{path}"))
        server = UnixctlServer(self.reactor, listener, self.server.registry)
        await server.stopService()
        self.assertFalse(os.path.exists(path))

    def test_socket(self) -> None:
        """Only the owner may connect, and nobody else can have the socket's path meanwhile."""
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        error = self.assertRaises(OSError, bind, Target.parse(f"punix:{self.path}"))
        self.assertEqual(error.errno, errno.EADDRINUSE)

    async def test_exit(self) -> None:
        """The client has its answer when the agent is told to stop."""
        self.assertEqual(await self.succeed("exit"), "")
        self.assertEqual(self.agent.exits, 1)

    async def test_flows(self) -> None:
        """Flow tables and what is in flight can be looked at."""
        self.switch.handle(flow_mod(FlowModCommand.ADD), Requester())
        await deferLater(self.reactor, 0, lambda: None)
        self.driver.instant = False
        self.switch.handle(flow_mod(FlowModCommand.ADD, priority=1, xid=9), Requester())
        await deferLater(self.reactor, 0, lambda: None)
        flows = (await self.succeed("bridge/dump-flows", "br0")).splitlines()
        self.assertEqual(
            sorted(line.partition("n_bytes=0, ")[2] for line in flows),
            ["pending=add, priority=1,actions=output:2", "priority=100,actions=output:2"],
        )
        self.assertRegex(
            await self.succeed("ofproto/pending"),
            r"^br0: 1 group in flight, 0 messages postponed\n"
            r"  xid=0x9 of br0<->test, \d+\.\d{3} s\n"
            r"    add \(in flight\): table=0, priority=1,actions=output:2\n$",
        )
        self.driver.finish_all()
        self.assertEqual(await self.succeed("ofproto/clog"), "br0: clogged\n")
        self.assertTrue(self.driver.clogged)

    async def test_asic(self) -> None:
        """The simulated hardware is halted, made to fail, and looked at, while rules are on their
        way to it."""
        switch = OFProto(
            "br1",
            2,
            find("asic").create({"profile": "instant", "scheduler": "fifo"}, [], []),
            self.reactor,
        )
        switch.observer = Observer()
        switch.start()
        self.addCleanup(switch.stop)
        self.agent.bridges["br1"] = FakeBridge(switch)
        requester = Requester(name="br1<->test")
        self.assertEqual(await self.succeed("ofproto/clog", "br1"), "br1: clogged\n")
        self.assertIn("fail", await self.succeed("driver/fault", "br1", "fail", "2"))
        for priority in (1, 2):
            switch.handle(flow_mod(FlowModCommand.ADD, priority=priority), requester)
        pending = await self.succeed("ofproto/pending", "br1")
        self.assertIn("br1: 2 groups in flight", pending)
        self.assertIn("    add (in flight): table=0, priority=2,actions=output:2\n", pending)
        self.assertIn("  clogged: True\n", await self.succeed("driver/show", "br1"))
        self.assertEqual(await self.succeed("ofproto/unclog", "br1"), "br1: unclogged\n")
        await switch.idle().wait()
        self.assertEqual([group.error is None for group in requester.ended], [True, False])
        self.assertEqual(
            await self.succeed("ofproto/pending", "br1"),
            "br1: 0 groups in flight, 0 messages postponed\n",
        )
        flows = await self.succeed("bridge/dump-flows", "br1")
        self.assertIn(", priority=1,actions=output:2\n", flows)
        self.assertNotIn("priority=2", flows)
        _, errors, status = await self.appctl("driver/fault", "br1", "explode")
        self.assertEqual((errors[:6], status), ("WORD: ", 2))

    async def test_many_flows(self) -> None:
        """While many rules are printed, others are answered."""
        table = self.switch.tables[0]
        table.max_entries = 20_000
        requester = Requester()
        for number in range(10_000):
            self.switch.handle(flow_mod(FlowModCommand.ADD, priority=number, xid=number), requester)
            if number % 50 == 49:
                await self.settled()
        dump = ensureDeferred(self.succeed("bridge/dump-flows", "br0"))
        answered = 0
        while not dump.called:
            self.assertEqual(await self.succeed("test/echo", "x"), "x\n")
            answered += 1
        self.assertEqual(len((await dump).splitlines()), 10_000)
        # If it were one piece of work, one at most would have been answered before its end.
        self.assertGreater(answered, 2)

    def settled(self) -> Awaitable[None]:
        """Wait until nothing is in flight."""
        return self.switch.idle().wait()
