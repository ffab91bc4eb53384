"""Sockets that listened before the agent was started: systemd's socket activation.

systemd can have the sockets of a service, and start it when somebody connects, or keep those who
connect waiting while the service is started anew.  The configuration stays as it is: where it says
``ptcp:`` or ``punix:`` with the address of a socket that was handed over, that socket is used, and
any other is opened as always.

Such a socket is systemd's.  It is never closed, only not accepted from, so that it is still there
when a reload asks for it again; and the file of a UNIX socket is neither changed nor removed.

Source: ``sd_listen_fds(3)``, ``systemd.socket(5)``.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger

from agent.admin.listeners import Listener, bind
from agent.connmgr.target import ANY_IPV4, Target

FIRST: Final = 3
"""The number of the first descriptor (``SD_LISTEN_FDS_START``)."""

_log = Logger()


def from_environment() -> list[socket.socket]:
    """The sockets that systemd has handed over; this process's children get none of them."""
    process = os.environ.pop("LISTEN_PID", None)
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "")
    if process is None:
        # Twisted has taken the two others away, for its own "systemd:" endpoints.
        number = len(names.split(":")) if names else 0
    else:
        number = int(count) if process == str(os.getpid()) and count.isdigit() else 0
    found = []
    for descriptor in range(FIRST, FIRST + number):
        os.set_inheritable(descriptor, False)
        try:
            found.append(socket.socket(fileno=descriptor))
        except OSError as error:
            _log.warn(
                "systemd's descriptor {number} is no socket: {why}",
                number=descriptor,
                why=error.strerror,
            )
    return found


class Inherited:
    """What gives a target its socket, a new one or one that was handed over."""

    def __init__(
        self, sockets: Iterable[socket.socket], listen: Callable[[Target], Listener] = bind
    ) -> None:
        """:param listen: makes those that were not handed over."""
        self._listen = listen
        self._listeners: dict[str, Listener] = {}
        self._sockets: dict[str, socket.socket] = {}
        for one in sockets:
            name = _address(one)
            if name is None:
                _log.warn("systemd's socket {socket} is of no use: it does not listen", socket=one)
                one.detach()
            else:
                one.setblocking(False)
                self._sockets[name] = one

    def __call__(self, target: Target) -> Listener:
        """A socket that listens on ``target``.

        :raises OSError: as :func:`agent.admin.listeners.bind` does; EPERM: a UNIX socket that was
            handed over belongs to another user, which the reactor cannot do with.
        """
        for name in _names(target):
            if name in self._listeners:
                return self._listeners[name]
            if name in self._sockets:
                if target.local and os.geteuid() not in (0, os.stat(target.path).st_uid):
                    raise OSError(errno.EPERM, "systemd's socket needs SocketUser= of this user")
                made = Listener(target, self._sockets.pop(name), inherited=True)
                self._listeners[name] = made
                return made
        return self._listen(target)

    def unused(self) -> list[str]:
        """The addresses that were handed over and that nobody has asked for."""
        return sorted(self._sockets)


def _address(one: socket.socket) -> str | None:
    """Where a socket listens, if it is one for streams that does."""
    if one.type != socket.SOCK_STREAM or not one.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        return None
    address = one.getsockname()
    if one.family == socket.AF_UNIX:
        return str(address)
    if one.family in (socket.AF_INET, socket.AF_INET6):
        return f"{address[1]}:{address[0]}"
    return None


def _names(target: Target) -> Iterable[str]:
    """The addresses of sockets that do for a target.

    One for every IPv4 address is included in one for every address, which is what systemd makes
    where it is told nothing but a port.
    """
    if target.local:
        return (os.path.abspath(target.path),)
    hosts = (target.host, "::") if target.host == ANY_IPV4 else (target.host,)
    return tuple(f"{target.port}:{host}" for host in hosts)
