"""The chip, simulated: what a test talks to, or ``python -m lineswitch.chip [PORT]``.

=======================================  ===================  ==================================
``write SLOT PRIORITY MATCH PORTS``      ``ok``               counters from zero
``change SLOT PORTS``                    ``ok``               counters go on
``restart SLOT PORTS``                   ``ok PACKETS BYTES`` counters from zero; what they were
``clear SLOT``                           ``ok PACKETS BYTES`` the slot is empty; what they were
``read SLOT``                            ``ok PACKETS BYTES``
``port NUMBER up|down``                  ``ok``
``send PORTS FRAME``                     ``ok``               a frame, in hexadecimal digits
``reset``                                ``ok``               all slots are empty
=======================================  ===================  ==================================

MATCH is ``field=value/mask,...``, or ``*``; PORTS are numbers, or ``-``.  What cannot be done is
answered by ``error`` and a text, and has no effect.  Each command takes the chip its time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from agent.openflow.match import Match
from agent.packet.flowkey import flow_key

SECONDS = 0.02
"""How long a command takes."""


@attrs.define(eq=False)
class Place:
    """What is in a slot."""

    priority: int
    match: Match
    ports: str
    packets: int = 0
    bytes: int = 0


class Chip:
    """The chip itself, which stays when lines come and go.

    :ivar size: how many slots it has.
    :ivar places: what is in them.
    :ivar down: the ports that were taken down.
    :ivar sent: what was sent: ports and a frame.
    """

    def __init__(self, clock: IReactorTime, size: int = 64) -> None:
        self.clock = clock
        self.size = size
        self.places: dict[int, Place] = {}
        self.down: set[int] = set()
        self.sent: list[tuple[str, bytes]] = []

    def receive(self, in_port: int, frame: bytes) -> None:
        """A frame comes in, and goes where the best of the slots says."""
        key = flow_key(frame, in_port)
        hit = [place for place in self.places.values() if place.match.matches(key)]
        if hit:
            best = max(hit, key=lambda place: place.priority)
            best.packets += 1
            best.bytes += len(frame)
            self.sent.append((best.ports, frame))

    def execute(self, word: str, *args: str) -> str:
        """Do a command; returns its answer."""
        commands: dict[str, Callable[..., str]] = {
            "write": self._write,
            "change": self._change,
            "restart": self._restart,
            "clear": self._clear,
            "read": self._read,
            "port": self._port,
            "send": self._send,
            "reset": self._reset,
        }
        try:
            return f"ok {commands[word](*args)}".rstrip()
        except (KeyError, TypeError, ValueError) as error:
            return f"error {word}: {type(error).__name__} {error}"

    def _write(self, slot: str, priority: str, match: str, ports: str) -> str:
        if not 0 <= int(slot) < self.size:
            raise ValueError(f"there is no slot {slot}")
        wanted = {}
        for item in match.split(",") if match != "*" else ():
            name, _, bits = item.partition("=")
            value, _, mask = bits.partition("/")
            wanted[name] = (int(value, 16), int(mask, 16))
        self.places[int(slot)] = Place(int(priority), Match.of(**wanted), ports)
        return ""

    def _change(self, slot: str, ports: str) -> str:
        self.places[int(slot)].ports = ports
        return ""

    def _restart(self, slot: str, ports: str) -> str:
        place = self.places[int(slot)]
        counted = self._read(slot)
        place.ports, place.packets, place.bytes = ports, 0, 0
        return counted

    def _clear(self, slot: str) -> str:
        counted = self._read(slot)
        del self.places[int(slot)]
        return counted

    def _read(self, slot: str) -> str:
        place = self.places[int(slot)]
        return f"{place.packets} {place.bytes}"

    def _port(self, number: str, state: str) -> str:
        (self.down.add if state == "down" else self.down.discard)(int(number))
        return ""

    def _send(self, ports: str, frame: str) -> str:
        self.sent.append((ports, bytes.fromhex(frame)))
        return ""

    def _reset(self) -> str:
        self.places.clear()
        self.down.clear()
        return ""


class ChipLine(LineOnlyReceiver):
    """The chip's end of a line."""

    delimiter = b"\n"
    transport: Any

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._busy: IDelayedCall | None = None

    def lineReceived(self, line: bytes) -> None:
        """A command, which takes its time; the driver sends no other meanwhile."""
        words = line.decode("ascii", "replace").split()
        self._busy = self._chip.clock.callLater(SECONDS, self._answer, words)

    def _answer(self, words: list[str]) -> None:
        self._busy = None
        self.transport.write(f"{self._chip.execute(*words)}\n".encode("ascii", "replace"))

    def connectionLost(self, reason: Failure | None = None) -> None:
        """What was begun is not done."""
        if self._busy is not None:
            self._busy.cancel()
            self._busy = None


def main(reactor: Any, port: str = "2001") -> Deferred[None]:
    """Serve a chip until somebody interrupts."""
    chip = Chip(reactor)
    factory = Factory.forProtocol(lambda: ChipLine(chip))
    reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
