"""Tests of :mod:`agent.admin.inherited` with the kernel's own sockets."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys

from twisted.internet.selectreactor import SelectReactor

from agent.admin.inherited import Inherited
from agent.admin.listeners import bind
from agent.connmgr.target import Target
from tests.system.agent import ROOT
from tests.system.test_listeners import ListenerCase, Turn


class InheritedTests(ListenerCase):
    """The address decides."""

    def setUp(self) -> None:
        """Have a reactor that nobody else uses."""
        super().setUp()
        self.reactor = SelectReactor()
        self.addCleanup(self.reactor.removeAll)

    def handed_over(self, family: int, address: object) -> socket.socket:
        """A socket that listens."""
        made = socket.socket(family)
        self.addCleanup(made.close)
        made.bind(address)  # type: ignore[arg-type]
        made.listen()
        return made

    def answer(self, client: socket.socket) -> bytes:
        """What a client is told."""
        client.settimeout(0)
        for _ in range(100):
            self.reactor.doIteration(0.01)
            self.reactor.runUntilCurrent()
            try:
                return client.recv(100)
            except BlockingIOError:
                pass
        raise AssertionError("no answer")

    def serve_twice(self, given: socket.socket, target: Target) -> None:
        """It is served, and when it is not, those who connect wait until it is again."""
        listen = Inherited([given])
        self.assertEqual(len(listen.unused()), 1)
        listener = listen(target)
        self.assertEqual(listen.unused(), [])
        port = listener.listen(self.reactor, Turn(b"first"))
        self.assertEqual(self.answer(self.connect(target)), b"first")
        port.stopListening()
        listener.close()
        waiting = self.connect(target)
        again = listen(target)
        last = again.listen(self.reactor, Turn(b"second"))
        self.assertEqual(self.answer(waiting), b"second")
        last.stopListening()
        again.close()

    def test_internet(self) -> None:
        """A TCP socket with just that address."""
        given = self.handed_over(socket.AF_INET, ("127.0.0.1", 0))
        port = given.getsockname()[1]
        self.serve_twice(given, Target.parse(f"ptcp:{port}:127.0.0.1"))

    def test_any(self) -> None:
        """Where a listener has no address, one for both families will do."""
        given = self.handed_over(socket.AF_INET6, ("::", 0))
        port = given.getsockname()[1]
        listener = Inherited([given])(Target.parse(f"ptcp:{port}"))
        self.assertTrue(listener.inherited)

    def test_unix(self) -> None:
        """A UNIX socket keeps its file and its mode, whatever the reactor does to them."""
        given = self.handed_over(socket.AF_UNIX, str(self.path))
        os.chmod(self.path, 0o740)
        self.serve_twice(given, Target.parse(f"punix:{self.path}"))
        for reader in self.reactor.removeAll():
            getattr(reader, "connectionLost", lambda _: None)(None)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o740)

    def test_other(self) -> None:
        """Another address gets a socket of its own, and what is no listener is not used."""
        given = self.handed_over(socket.AF_INET, ("127.0.0.1", 0))
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        listen = Inherited([given, datagrams], bind)
        self.assertEqual(len(listen.unused()), 1)
        listener = listen(Target.parse("ptcp:0:127.0.0.1"))
        self.addCleanup(listener.close)
        self.assertFalse(listener.inherited)
        self.assertEqual(len(listen.unused()), 1)

    def started(self, before: str = "", **variables: str) -> str:
        """What a process finds that is given a socket and these variables, and imports something
        before it looks."""
        given = self.handed_over(socket.AF_INET, ("127.0.0.1", 0))
        code = (
            f"import os; os.dup2({given.fileno()}, 3)\n"
            "if 'LISTEN_PID' in os.environ: os.environ['LISTEN_PID'] = str(os.getpid())\n"
            f"{before}\n"
            "from agent.admin.inherited import from_environment\n"
            "found = [one.getsockname()[1] for one in from_environment()]\n"
            "print(found, from_environment(), [name for name in os.environ if 'LISTEN' in name])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            pass_fds=[given.fileno()],
            env={"PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout + done.stderr).replace(str(given.getsockname()[1]), "it")

    def test_environment(self) -> None:
        """The descriptors that systemd's variables tell of are taken, once, whatever Twisted leaves
        of the variables; and none without them."""
        variables = {"LISTEN_PID": "mine", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "ofagent.socket"}
        for before in ("", "import twisted.internet.endpoints"):
            self.assertEqual(self.started(before, **variables), "[it] [] []\n")
        self.assertEqual(self.started(), "[] [] []\n")
