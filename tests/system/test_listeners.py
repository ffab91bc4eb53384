"""Tests of :mod:`agent.admin.listeners` with the kernel's own sockets, on loopback."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.listeners import Listener, bind, close_all
from agent.connmgr.target import Target


class ListenerCase(SynchronousTestCase):
    """Has a short directory, and closes what was bound."""

    def setUp(self) -> None:
        """Make the directory."""
        self.directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
        self.addCleanup(rmtree, self.directory)
        self.path = self.directory / "br0.mgmt"

    def bind(self, text: str) -> Listener:
        """A listener that is closed after the test."""
        listener = bind(Target.parse(text))
        self.addCleanup(listener.close)
        return listener

    def connect(self, target: Target) -> socket.socket:
        """A connection to what listens there."""
        family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
        client = socket.socket(socket.AF_UNIX if target.local else family)
        self.addCleanup(client.close)
        client.settimeout(5)
        client.connect(target.path if target.local else (target.host, target.port))
        return client

    def assertInUse(self, text: str) -> None:
        """Nobody else can listen there."""
        error = self.assertRaises(OSError, bind, Target.parse(text))
        self.assertEqual(error.errno, errno.EADDRINUSE)


class InternetTests(ListenerCase):
    """TCP."""

    def test_listens(self) -> None:
        """A bound target takes connections at once, and says which port a port 0 became."""
        for text in ("ptcp:0:127.0.0.1", "ptcp:0:[::1]", "pssl:0:127.0.0.1"):
            listener = self.bind(text)
            self.assertNotEqual(listener.target.port, 0)
            self.connect(listener.target)

    def test_in_use(self) -> None:
        """A port that is taken is told by its error number, also when both have just been bound."""
        taken = self.bind("ptcp:0:127.0.0.1").target
        self.assertInUse(str(taken))
        self.assertInUse(f"ptcp:{taken.port}")

    def test_not_ours(self) -> None:
        """Nobody can listen on an address of another host."""
        error = self.assertRaises(OSError, bind, Target.parse("ptcp:0:192.0.2.1"))
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)

    def test_close(self) -> None:
        """A closed listener leaves its port to others at once; closing twice does nothing."""
        first = self.bind("ptcp:0:127.0.0.1")
        self.connect(first.target)
        close_all([first, first])
        self.assertEqual(self.bind(str(first.target)).target, first.target)


class UnixTests(ListenerCase):
    """UNIX sockets."""

    def test_listens(self) -> None:
        """A socket is there for its owner and group, and for nobody else."""
        listener = self.bind(f"punix:{self.path}")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode) & 0o007, 0)
        self.connect(listener.target)

    def test_in_use(self) -> None:
        """A socket that somebody listens on is left alone."""
        listener = self.bind(f"punix:{self.path}")
        self.assertInUse(f"punix:{self.path}")
        self.connect(listener.target)

    def test_abandoned(self) -> None:
        """A socket that a dead process left behind is replaced."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
            dead.listen()
        self.connect(self.bind(f"punix:{self.path}").target)

    def test_other_file(self) -> None:
        """A file of another kind is not removed."""
        self.path.write_text("mine")
        self.assertInUse(f"punix:{self.path}")
        self.assertEqual(self.path.read_text(), "mine")

    def test_no_directory(self) -> None:
        """A directory that is not there is told by its error number."""
        target = Target.parse(f"punix:{self.directory}/none/x")
        self.assertEqual(self.assertRaises(OSError, bind, target).errno, errno.ENOENT)

    def test_close(self) -> None:
        """A closed listener takes its file away, once."""
        listener = self.bind(f"punix:{self.path}")
        listener.close()
        self.assertEqual(os.listdir(self.directory), [])
        self.path.touch()
        listener.close()
        self.assertTrue(self.path.exists())


class Greeter(Protocol):
    """Says hello, and closes."""

    def connectionMade(self) -> None:
        """Say it."""
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


class Named(Protocol):
    """Says whose turn it is, and closes."""

    def connectionMade(self) -> None:
        """Say it."""
        factory: Any = self.factory
        assert self.transport is not None
        self.transport.write(factory.name)
        self.transport.loseConnection()


class Turn(Factory):
    """Somebody's turn.

    :ivar running: whether it is.
    """

    noisy = False
    protocol = Named
    running = False

    def __init__(self, name: bytes) -> None:
        self.name = name

    def startFactory(self) -> None:
        """It begins."""
        self.running = True

    def stopFactory(self) -> None:
        """It is over."""
        self.running = False


class HandOverTests(ListenerCase):
    """The reactor serves what was bound before, connections of the meantime included."""

    def serve(self, text: str) -> Listener:
        """Bind, connect, and only then let a reactor serve until the client has its answer."""
        listener = self.bind(text)
        client = self.connect(listener.target)
        client.setblocking(False)
        reactor = SelectReactor()
        port = listener.listen(reactor, Factory.forProtocol(Greeter))
        self.mode = self.path.stat().st_mode if listener.target.local else 0
        received = b""
        for _ in range(100):
            reactor.doIteration(0.05)
            reactor.runUntilCurrent()
            try:
                received += client.recv(100)
            except BlockingIOError:
                continue
            if received == b"hello":
                break
        self.assertEqual(received, b"hello")
        port.stopListening()
        reactor.runUntilCurrent()
        reactor.removeAll()
        return listener

    def test_internet(self) -> None:
        """A TCP socket."""
        listener = self.serve("ptcp:0:127.0.0.1")
        self.bind(str(listener.target))

    def test_unix(self) -> None:
        """A UNIX socket keeps its mode, and its file goes when the reactor stops listening."""
        listener = self.serve(f"punix:{self.path}")
        self.assertEqual(stat.S_IMODE(self.mode) & 0o007, 0)
        self.assertFalse(self.path.exists())
        listener.close()


class TurnTests(ListenerCase):
    """One factory after the other serves a socket that listens all the time."""

    def setUp(self) -> None:
        """Have a reactor that nobody else uses."""
        super().setUp()
        self.reactor = SelectReactor()
        self.own = self.reactor.getReaders()
        self.addCleanup(self.reactor.removeAll)

    def spin(self) -> None:
        """Let the reactor do what there is to do."""
        for _ in range(3):
            self.reactor.doIteration(0.01)
            self.reactor.runUntilCurrent()

    def answer(self, client: socket.socket) -> bytes:
        """What a client is told."""
        client.setblocking(False)
        for _ in range(100):
            self.spin()
            with contextlib.suppress(BlockingIOError):
                return client.recv(100)
        raise AssertionError("no answer")

    def hand_over(self, text: str) -> Listener:
        """Who connects between two turns is served in the second, and nobody is refused."""
        listener = self.bind(text)
        first, second = Turn(b"first"), Turn(b"second")
        port = listener.listen(self.reactor, first)
        self.assertEqual(self.answer(self.connect(listener.target)), b"first")
        listener.keep()
        port.stopListening()
        waiting = self.connect(listener.target)
        self.spin()
        waiting.setblocking(False)
        self.assertRaises(BlockingIOError, waiting.recv, 1)
        self.assertInUse(str(listener.target))
        again = listener.listen(self.reactor, second)
        self.assertEqual((first.running, second.running), (False, True))
        self.assertEqual(self.answer(waiting), b"second")
        # The first has nothing more to say about it.
        port.stopListening()
        self.assertEqual(self.answer(self.connect(listener.target)), b"second")
        again.stopListening()
        self.spin()
        self.assertFalse(second.running)
        self.assertEqual(self.reactor.getReaders(), self.own)
        return listener

    def test_internet(self) -> None:
        """A TCP socket; it is free when the last turn is over."""
        self.bind(str(self.hand_over("ptcp:0:127.0.0.1").target))

    def test_unix(self) -> None:
        """A UNIX socket; its file stays from the first turn to the last."""
        self.hand_over(f"punix:{self.path}")
        self.assertFalse(self.path.exists())

    def test_take_over(self) -> None:
        """A turn can begin before the one before has ended, which then ends by itself."""
        listener = self.bind("ptcp:0:127.0.0.1")
        first, second = Turn(b"first"), Turn(b"second")
        port = listener.listen(self.reactor, first)
        again = listener.listen(self.reactor, second)
        self.assertEqual((first.running, second.running), (False, True))
        port.stopListening()
        self.assertEqual(self.answer(self.connect(listener.target)), b"second")
        again.stopListening()
        self.spin()
        self.assertEqual(self.reactor.getReaders(), self.own)

    def test_nobody_comes(self) -> None:
        """A listener that was kept for nobody can be closed."""
        listener = self.bind(f"punix:{self.path}")
        port = listener.listen(self.reactor, Turn(b"first"))
        listener.close()
        self.assertEqual(self.answer(self.connect(listener.target)), b"first")
        listener.keep()
        port.stopListening()
        listener.close()
        listener.close()
        self.spin()
        self.assertFalse(self.path.exists())
        self.assertEqual(self.reactor.getReaders(), self.own)

    def test_host(self) -> None:
        """Whose turn it is can ask for the address."""
        listener = self.bind("ptcp:0:127.0.0.1")
        port: Any = listener.listen(self.reactor, Turn(b"first"))
        port.startListening()
        self.assertEqual(port.getHost().port, listener.target.port)
        port.stopListening()
        self.spin()
