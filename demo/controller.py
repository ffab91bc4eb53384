"""A controller that asks for rules, batch after batch, and believes only barriers.

It is small, and made to be read: everything that a controller has to do with honest barriers is in
:meth:`Controller.next_batch` and :meth:`Controller.received`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import decode, encode, header
from agent.openflow.match import Match

BATCH: Final = 100
"""Rules that are asked for at once."""

KEPT: Final = 5
"""Batches that are in the table at once; the oldest goes when there is another."""

PAUSE: Final = 1.0
"""Seconds between a barrier's reply and the next batch."""

PORTS: Final = 4
"""Ports that rules send to."""

Say = Callable[[str], object]


class Controller(Protocol):
    """One connection, on which one batch after another is asked for.

    :ivar name: for people.
    :ivar done: how many barriers were answered.
    :ivar refused: how many rules were.
    """

    def __init__(self, name: str, network: int, clock: IReactorTime, say: Say) -> None:
        """
        :param network: the second byte of the addresses that its rules match.
        :param say: tells people what happens.
        """
        self.name = name
        self.done = 0
        self.refused = 0
        self._network = network
        self._clock = clock
        self._say = say
        self._random = Random(network)
        self._buffer = b""
        self._batches: list[list[tuple[Match, int]]] = []
        self._number = 0
        self._asked = 0.0
        self._call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Greet."""
        self.send(of.Hello(frozenset({of.OFP13})))

    def dataReceived(self, data: bytes) -> None:
        """Take one message after another."""
        self._buffer += data
        while len(self._buffer) >= 8 and len(self._buffer) >= header(self._buffer)[2]:
            length = header(self._buffer)[2]
            frame, self._buffer = self._buffer[:length], self._buffer[length:]
            self.received(decode(of.OFP13, frame))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ask for nothing more."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def send(self, *messages: of.Message) -> None:
        """Send messages."""
        transport: Any = self.transport
        transport.write(b"".join(encode(of.OFP13, message) for message in messages))

    def next_batch(self) -> None:
        """Ask for rules of random priorities, for the oldest to go, and for a barrier."""
        self._number += 1
        first = self._number % 200 * 256
        batch = [
            (
                Match.of(eth_type=0x0800, ipv4_dst=10 << 24 | self._network << 16 | first + host),
                self._random.randrange(100, 1000),
            )
            for host in range(BATCH)
        ]
        self._batches.append(batch)
        requests: list[of.Message] = []
        if len(self._batches) > KEPT:
            requests += [
                of.FlowMod(of.FlowModCommand.DELETE_STRICT, match, priority)
                for match, priority in self._batches.pop(0)
            ]
        for host, (match, priority) in enumerate(batch):
            output = ApplyActions((Output(host % PORTS + 1),))
            requests.append(
                of.FlowMod(of.FlowModCommand.ADD, match, priority, instructions=(output,))
            )
        self.send(*requests, of.BarrierRequest(self._number))
        self._asked = self._clock.seconds()
        self._say(f"{self.name}: asks for {len(requests)} changes and barrier {self._number}")

    def received(self, message: object) -> None:
        """Go on when the hardware has what was asked for: that is what a barrier's reply means."""
        if isinstance(message, of.Hello):
            self.next_batch()
        elif isinstance(message, of.EchoRequest):
            self.send(of.EchoReply(message.data, message.xid))
        elif isinstance(message, of.ErrorMessage):
            self.refused += 1
        elif isinstance(message, of.BarrierReply):
            self.done += 1
            seconds = self._clock.seconds() - self._asked
            self._say(
                f"{self.name}: barrier {message.xid} after {seconds:.1f} s: it is in the hardware"
            )
            self._call = self._clock.callLater(PAUSE, self.next_batch)
