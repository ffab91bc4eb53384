"""What systemd is told: that the agent is ready, that it is alive, and that it stops.

A service of ``Type=notify`` gives its processes the address of a socket, for datagrams of lines
like ``READY=1``; where there is none, nothing is told.  It is told in a turn of the reactor, so
that an agent whose reactor stands still is not alive; systemd then starts it anew.

Source: ``sd_notify(3)``, ``sd_watchdog_enabled(3)``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

ADDRESS: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHED: Final = "WATCHDOG_PID"


def send_datagram(address: str, data: bytes) -> None:
    """Send a datagram to a UNIX socket, or lose it rather than wait.

    :param address: a path, or a name that begins with ``@``.
    :raises OSError: when it cannot be sent.
    """
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(data, address)


class Notifier(Service):
    """See the module."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        environment: Mapping[str, str] = os.environ,
        send: Callable[[str, bytes], None] = send_datagram,
    ) -> None:
        """:param environment: where systemd says what it wants to be told."""
        self._reactor = reactor
        self._address = environment.get(ADDRESS, "")
        self._interval = self._wanted(environment)
        self._send = send
        self._timer: IDelayedCall | None = None

    @staticmethod
    def _wanted(environment: Mapping[str, str]) -> float:
        """Seconds between two signs of life; 0: none are wanted of this process."""
        micros = environment.get(WATCHDOG, "")
        meant = environment.get(WATCHED, str(os.getpid())) == str(os.getpid())
        # Twice as often as systemd looks, as it recommends.
        return int(micros) / 2e6 if micros.isdecimal() and meant else 0.0

    def startService(self) -> None:
        """Tell that the agent is ready, when everything has been started."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._address:
            self._timer = self._reactor.callLater(0, self._ready)

    def stopService(self) -> None:
        """Tell that it stops."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._address:
            self._tell("STOPPING=1")

    def _ready(self) -> None:
        self._tell("READY=1")
        self._live()

    def _live(self) -> None:
        if self._interval:
            self._tell("WATCHDOG=1")
            self._timer = self._reactor.callLater(self._interval, self._live)

    def _tell(self, text: str) -> None:
        try:
            self._send(self._address, text.encode())
        except OSError as error:
            self._log.warn("cannot tell systemd {text}: {error}", text=text, error=error.strerror)
