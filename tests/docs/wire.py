"""The worked example of ``docs/drivers.md``, with a line in memory from its driver to its chip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.append(str(EXAMPLES))

from lineswitch.chip import Chip, ChipLine  # noqa: E402

ADDRESS = "tcp:192.0.2.9:2001"


class Cable:
    """Both ends of one connection.

    :ivar chip: the chip's end, likewise ``driver``.
    """

    def __init__(self, clock: Any, chip: Any, driver: Any) -> None:
        self.chip = CableEnd(clock, self, driver)
        self.driver = CableEnd(clock, self, chip)
        self._ends = (chip, driver)
        self._cut = False
        chip.makeConnection(self.chip)
        driver.makeConnection(self.driver)

    def cut(self) -> None:
        """Both ends hear that the connection is lost; nothing more arrives."""
        if not self._cut:
            self._cut = True
            for end in (self.chip, self.driver):
                end.close()
            for protocol in self._ends:
                protocol.connectionLost(Failure(ConnectionDone()))


class CableEnd:
    """A transport: what is written arrives in a later turn."""

    def __init__(self, clock: Any, cable: Cable, other: Any) -> None:
        self._clock = clock
        self._cable = cable
        self._other = other
        self._calls: list[IDelayedCall] = []
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(self._clock.callLater(0, self._other.dataReceived, data))

    def writeSequence(self, parts: list[bytes]) -> None:
        """Send them all."""
        self.write(b"".join(parts))

    def abortConnection(self) -> None:
        """End the connection, in a later turn."""
        self._clock.callLater(0, self._cable.cut)

    def close(self) -> None:
        """What was written does not arrive any more."""
        for call in self._calls:
            if call.active():
                call.cancel()


class Wired:
    """The part of a reactor that dials the chip.

    :ivar chip: the chip at the other end.
    :ivar cables: the connections there were.
    :ivar plugged: whether there is a way to the chip.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chip = Chip(self)  # type: ignore[arg-type]
        self.cables: list[Cable] = []
        self.plugged = True

    def connectTCP(self, host: str, port: int, factory: Any, *args: Any, **named: Any) -> Any:
        """Connect, at once."""
        assert (host, port) == ("192.0.2.9", 2001)
        if self.plugged:
            protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
            self.cables.append(Cable(self, ChipLine(self.chip), protocol))
        else:
            factory.clientConnectionFailed(None, Failure(ConnectError()))


class WiredClock(Wired, Clock):
    """A clock that leads to a chip."""
