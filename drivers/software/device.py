"""A port on a network device: what AF_PACKET and TAP have in common.

A :class:`DevicePort` keeps its number, its name, its configuration and its counters whatever
becomes of the device.  While there is no device the port has no link; when a device of the name
appears again, the port is on it.  The link is the device's: up, and with a carrier.

The configuration of OpenFlow stays OpenFlow's: a port that a controller has taken down neither
takes nor sends frames, but the device stays up, for it may be somebody else's.  Nor does this
module ever bring a device up.

Frames are read on the reactor, as many in one turn as :data:`BATCH` says, so that a flood on one
port starves neither the other ports nor the controllers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any, Final, Protocol

from twisted.logger import Logger

from agent.openflow.messages import PortStats
from agent.openflow.text import format_port
from drivers.interfaces import IDriverHost
from drivers.software.link import Link, LinkMonitor
from drivers.software.port import LinkSettings, Port, Receive
from drivers.software.reader import Reader
from drivers.software.system import System

BATCH: Final = 32
"""Frames that are taken from a port in one turn of the reactor, as in Open vSwitch."""


class PortError(OSError):
    """A port cannot be opened.  The text says which port, and what is missing."""

    def __init__(self, number: int, name: str, problem: str, code: int = errno.ENODEV) -> None:
        super().__init__(code, os.strerror(code))
        self._text = f"port {format_port(number)} ({name}): {problem}"

    def __str__(self) -> str:
        """One line."""
        return self._text


class Medium(Protocol):
    """What frames get to and from a device by."""

    def fileno(self) -> int:
        """What the reactor waits for."""

    def read(self) -> Sequence[bytes] | None:
        """The frames of one read: usually one, sometimes none or many; None: nothing is there."""

    def write(self, frame: bytes) -> bool:
        """Send a frame; returns whether the device took it.  Does not raise."""

    def dropped(self) -> int:
        """How many frames came in and were lost, since the last time this was called."""

    def recover(self) -> bool:
        """Take note of an error; returns whether the medium is as good as before."""

    def close(self) -> None:
        """End."""


class DevicePort(Port):
    """One port, but for how its frames travel."""

    _log = Logger()

    def __init__(self, number: int, name: str, links: LinkMonitor, system: System) -> None:
        super().__init__(number, name)
        self.link = False
        self._links = links
        self._system = system
        self._reactor: Any = None
        self._bridge = ""
        self._medium: Medium | None = None
        self._reader: Reader | None = None

    # What each kind of port says.

    def prepare(self) -> None:
        """See that the port can be had; raises :exc:`PortError` when it never will."""

    def take(self, link: Link | None) -> None:
        """The device is there as ``link`` says, or it is not there (None), which it always is
        before another takes its place.

        :raises OSError: when it cannot be used.
        """

    # The rest.

    def open(self, host: IDriverHost, receive: Receive) -> None:
        """Begin to take frames, as soon as there is a device.

        :raises PortError: when a device that is there cannot be used, or never could be.
        """
        self._reactor = host.reactor
        self._bridge = host.name
        self.prepare()
        link = self._links.watch(self.name, self._changed)
        # Before the host is known: this is no change, and nobody is told of it.
        self.take(link)
        if link is None:
            self._log.warn(
                "{bridge}: port {number} ({name}): link down, for there is no such device yet",
                bridge=self._bridge,
                number=format_port(self.number),
                name=self.name,
            )
        super().open(host, receive)

    def close(self) -> None:
        """Let go of the device."""
        super().close()
        self._links.unwatch(self.name)
        self.detach()

    def stats(self) -> PortStats:
        """What it has counted, with what the kernel had to drop because we were too slow."""
        if self._medium is not None:
            self.rx_dropped += self._medium.dropped()
        return super().stats()

    def transmit(self, frame: bytes) -> bool:
        """Give a frame to the device, if there is one."""
        medium = self._medium
        return medium is not None and medium.write(frame)

    def attach(self, medium: Medium) -> None:
        """Send and receive by this from now on."""
        self._medium = medium
        self._reader = Reader(
            self._reactor, medium.fileno(), self._read, self._recover, f"port {self.name}"
        )

    def detach(self) -> None:
        """Neither send nor receive any more."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
        if self._medium is not None:
            self.rx_dropped += self._medium.dropped()
            self._medium.close()
            self._medium = None

    def lost(self) -> None:
        """There is no device any more."""
        if self._medium is not None:
            self._say("the device is gone")
            self.detach()
        self.set_link(False)

    def set_link(
        self, up: bool, hw_addr: int | None = None, settings: LinkSettings | None = None
    ) -> None:
        """See :meth:`drivers.software.port.Port.set_link`."""
        before = self.link
        super().set_link(up, hw_addr, settings)
        if up != before and self._host is not None:
            self._say("link up" if up else "link down")

    def _read(self) -> None:
        medium = self._medium
        left = BATCH
        # What becomes of a frame may close the port.
        while left > 0 and medium is not None and medium is self._medium:
            frames = medium.read()
            if frames is None:
                return
            for frame in frames:
                self.receive(frame)
            left -= len(frames) or 1

    def _recover(self) -> bool:
        if self._medium is None:
            return False
        if self._medium.recover():
            return True
        self.lost()
        return False

    def _changed(self, link: Link | None) -> None:
        """The kernel says that something is new."""
        try:
            self.take(link)
        except OSError as error:
            self.lost()
            self._log.error("{bridge}: {problem}", bridge=self._bridge, problem=str(error))

    def _say(self, what: str) -> None:
        self._log.info(
            "{bridge}: port {number} ({name}): {what}",
            bridge=self._bridge,
            number=format_port(self.number),
            name=self.name,
            what=what,
        )
