"""Tests of :mod:`agent.hangup`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.schema import MISSING, ConfigError
from agent.hangup import Hangup
from agent.reload import Reloaded


class FakeReactor:
    """Remembers what is to be called in its thread."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        """See :class:`twisted.internet.interfaces.IReactorFromThreads`."""
        self.calls.append(call)

    def turn(self) -> None:
        """Call it."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class FakeAgent:
    """Counts what it is told.

    :ivar result: what a reload comes to.
    """

    def __init__(self) -> None:
        self.reloads = self.exits = 0
        self.result: Callable[[], Deferred[Reloaded]] = lambda: succeed(Reloaded())

    def reload(self) -> Deferred[Reloaded]:
        """Count."""
        self.reloads += 1
        return self.result()

    def exit(self) -> None:
        """Count."""
        self.exits += 1


class HangupTests(SynchronousTestCase):
    """The signal, sent to this very process."""

    def setUp(self) -> None:
        """Take the signal, and give it back in any case."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.terminal = False
        self.reactor, self.agent = FakeReactor(), FakeAgent()
        self.service = Hangup(self.reactor, self.agent, lambda: self.terminal)

    def hang_up(self) -> None:
        """Send it, and let the reactor have a turn."""
        os.kill(os.getpid(), signal.SIGHUP)
        self.reactor.turn()

    def start(self) -> None:
        """Take the signal."""
        self.service.startService()

    def test_reload(self) -> None:
        """The configuration is read again, in a turn of the reactor."""
        self.start()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.agent.reloads, 0)
        self.reactor.turn()
        self.assertEqual((self.agent.reloads, self.agent.exits), (1, 0))

    def test_given_back(self) -> None:
        """What was done with the signal before is done with it afterwards."""
        heard: list[int] = []
        signal.signal(signal.SIGHUP, lambda number, frame: heard.append(number))
        self.start()
        os.kill(os.getpid(), signal.SIGHUP)
        self.service.stopService()
        # It came before the end, and is too late now.
        self.reactor.turn()
        self.assertEqual((self.agent.reloads, heard), (0, []))
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(heard, [signal.SIGHUP])

    def test_terminal(self) -> None:
        """When the terminal has gone at which the agent was started, it stops; not before."""
        self.terminal = True
        self.start()
        self.hang_up()
        self.assertEqual((self.agent.reloads, self.agent.exits), (1, 0))
        self.terminal = False
        self.hang_up()
        self.assertEqual((self.agent.reloads, self.agent.exits), (1, 1))

    def test_refused(self) -> None:
        """A refusal was logged where it came from; a mistake of ours is logged here."""
        self.start()
        errors: list[Any] = [ConfigError("f", "k", MISSING, "bad"), ZeroDivisionError()]
        for error in errors:
            self.agent.result = lambda error=error: fail(error)  # type: ignore[misc]
            self.hang_up()
        self.assertEqual(len(self.flushLoggedErrors()), 1)
