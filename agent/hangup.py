"""SIGHUP: the configuration is read again.

A service of its own, since a process has one such signal: it takes the signal when it is started
and gives it back when it is stopped.  Reloading happens in a turn of the reactor, never within the
signal handler, which may have interrupted anything.

An agent that was started at a terminal, in the foreground, is sent the same signal when that
terminal goes away.  Then nobody wants it to go on, and it stops.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.admin.schema import ConfigError
from agent.reload import Reloaded

_STDIN: Final = 0


class Reloadable(Protocol):
    """What is reloaded: :class:`agent.service.AgentService`."""

    def reload(self) -> Deferred[Reloaded]:
        """Read the configuration again; a refusal is logged."""

    def exit(self) -> object:
        """Begin to stop."""


class Hangup(Service):
    """See the module."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        agent: Reloadable,
        at_terminal: Callable[[], bool] = lambda: os.isatty(_STDIN),
    ) -> None:
        """:param at_terminal: whether there is a terminal at which the agent was started."""
        self._reactor = reactor
        self._agent = agent
        self._at_terminal = at_terminal
        self._had_terminal = False
        self._before: Any = None

    def startService(self) -> None:
        """Take the signal."""
        super().startService()  # type: ignore[no-untyped-call]
        self._had_terminal = self._at_terminal()
        self._before = signal.signal(signal.SIGHUP, self._signalled)

    def stopService(self) -> None:
        """Give it back."""
        super().stopService()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGHUP, self._before)

    def _signalled(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._hung_up)

    def _hung_up(self) -> None:
        if not self.running:
            return
        if self._had_terminal and not self._at_terminal():
            self._log.info("the terminal has gone: stopping")
            self._agent.exit()
            return
        self._agent.reload().addErrback(self._not_reloaded)

    def _not_reloaded(self, failure: Failure) -> None:
        if not failure.check(ConfigError):  # which was logged where it came from
            self._log.failure("cannot reload", failure)
