"""The line to the chip: one command at a time, each with one answer, in the order given.

It knows nothing of OpenFlow.  When the line breaks it is dialled again, and what was being asked is
asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

REDIAL = 1.0
"""Seconds from the end of one connection to the next attempt."""

MAX_ANSWER = 10.0
"""Seconds after which a chip that has not answered is dialled anew."""


class ChipError(Exception):
    """The chip refuses a command."""


@attrs.define(eq=False)
class Command:
    """One command.

    :ivar begin: makes its line when its turn has come; an empty one: there is nothing to do.
    :ivar end: hears how it went: the numbers of the answer, or why there are none.
    :ivar about: what it is for, to find it again.
    """

    begin: Callable[[], str]
    end: Callable[[list[int], ChipError | None], None]
    about: object = None


class _Protocol(LineOnlyReceiver):
    """The bytes: hands lines to its :class:`Line`."""

    delimiter = b"\n"
    transport: Any

    def __init__(self, line: Line) -> None:
        self._line = line

    def connectionMade(self) -> None:
        """The line is up."""
        self._line.made(self)

    def lineReceived(self, line: bytes) -> None:
        """An answer."""
        self._line.answered(line.decode("ascii", "replace"))

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The line is down."""
        self._line.lost()


class Line:
    """The commands that wait, and the one that was sent.

    :ivar waiting: commands not sent yet, in order.
    """

    def __init__(
        self, reactor: Any, address: str, up: Callable[[], list[Command]], down: Callable[[], None]
    ) -> None:
        """
        :param address: a client's endpoint, as Twisted writes it: ``tcp:192.0.2.9:2001``.
        :param up: hears that there is a connection; returns what is to be asked first.
        :param down: hears that there is none any more.
        """
        self.waiting: deque[Command] = deque()
        self._reactor = reactor
        self._address = address
        self._up = up
        self._down = down
        self._protocol: _Protocol | None = None
        self._sent: Command | None = None
        self._timer: IDelayedCall | None = None
        self._attempt: Deferred[Any] | None = None
        self._stopped: Deferred[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the chip can be asked now."""
        return self._protocol is not None

    def dial(self) -> None:
        """Connect, now or when that succeeds."""
        self._timer = None
        endpoint = clientFromString(self._reactor, self._address)
        self._attempt = endpoint.connect(Factory.forProtocol(lambda: _Protocol(self)))
        self._attempt.addErrback(lambda _: self._redial())

    def _redial(self) -> None:
        self._attempt = None
        if self._stopped is None:
            self._timer = self._reactor.callLater(REDIAL, self.dial)

    def ask(self, *commands: Command) -> None:
        """Send commands when it is their turn."""
        self.waiting.extend(commands)
        self._next()

    def _next(self) -> None:
        while self._sent is None and self._protocol is not None and self.waiting:
            command = self.waiting.popleft()
            text = command.begin()
            if text:
                self._sent = command
                self._protocol.transport.write(f"{text}\n".encode("ascii"))
                self._timer = self._reactor.callLater(MAX_ANSWER, self._hang_up)
            else:
                command.end([], None)

    def made(self, protocol: _Protocol) -> None:
        """There is a connection."""
        self._attempt = None
        self._protocol = protocol
        self.waiting.extendleft(reversed(self._up()))
        self._next()

    def answered(self, text: str) -> None:
        """The chip has answered what was sent last."""
        command, self._sent = self._sent, None
        if command is None:
            return
        self._quiet()
        word, _, rest = text.partition(" ")
        if word == "ok":
            command.end([int(number) for number in rest.split()], None)
        else:
            command.end([], ChipError(rest))
        self._next()

    def lost(self) -> None:
        """The connection is gone."""
        self._protocol = None
        self._quiet()
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        if self._sent is not None:
            # Whether the chip has done it is not known; every command can be given twice.
            self.waiting.appendleft(self._sent)
            self._sent = None
        self._down()
        self._redial()

    def _hang_up(self) -> None:
        self._timer = None
        if self._protocol is not None:
            self._protocol.transport.abortConnection()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> Deferred[None]:
        """Let go of everything; what waits is never asked.  Fires when the connection is closed."""
        self._quiet()
        self.waiting.clear()
        self._sent = None
        attempt, protocol = self._attempt, self._protocol
        if protocol is None:
            self._stopped = succeed(None)
            if attempt is not None:
                attempt.cancel()
        else:
            self._stopped = Deferred()
            protocol.transport.abortConnection()
        return self._stopped
