"""Sockets that listen, made before anything is started.

An agent that cannot have one of its sockets must not start at all.  So all of them are bound and
listening before the first bridge exists, and when one cannot be, those before it are closed again.
That is why this module opens sockets itself instead of asking the reactor: the reactor listens and
serves at once, while a :class:`Listener` waits until a factory for its connections is there.  (The
kernel queues who connects meanwhile.)

Accepting is not done here: :meth:`Listener.listen` hands the socket over to the reactor.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from typing import Any, Final, cast

import attrs
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorSocket

from agent.connmgr.target import Target

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted; it may cap this further."""

SOCKET_MODE: Final = 0o770
"""Who may connect to a UNIX socket: as with Open vSwitch, owner and group."""


@attrs.define(eq=False)
class Listener:
    """A listening socket that nobody accepts from yet.

    :ivar target: what it listens on; a port 0 has become the port that the kernel chose.
    """

    target: Target
    _socket: socket.socket

    def listen(self, reactor: IReactorSocket, factory: IProtocolFactory) -> IListeningPort:
        """Hand the socket over to the reactor, which accepts from now on; called once.

        For TLS the factory is one that wraps, like
        :class:`twisted.protocols.tls.TLSMemoryBIOFactory`.
        """
        # Twisted's declaration is narrower than what it takes.
        accepting = cast(Any, factory)
        port = reactor.adoptStreamPort(self._socket.fileno(), self._socket.family, accepting)
        # The reactor has a duplicate of the descriptor.  It has also made the backlog short and a
        # UNIX socket open to everybody.
        self._socket.listen(BACKLOG)
        if self.target.local:
            os.chmod(self.target.path, SOCKET_MODE)
        self._socket.close()
        return port

    def close(self) -> None:
        """Listen no more, unless the socket was handed over; may be called again."""
        if self._socket.fileno() != -1:
            self._socket.close()
            if self.target.local:
                os.unlink(self.target.path)


def bind(target: Target) -> Listener:
    """Listen.

    A UNIX socket that a dead process left behind is replaced, one in use is not.

    :raises OSError: when it cannot be; :attr:`errno.EADDRINUSE`: somebody else does.
    """
    if target.local:
        return Listener(target, _bind_unix(target.path))
    info = socket.getaddrinfo(
        target.host,
        target.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV | socket.AI_PASSIVE,
    )
    family, _, _, _, address = info[0]
    bound = _open(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
        # Not later: two sockets can be bound to one port as long as neither listens.
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return Listener(attrs.evolve(target, port=bound.getsockname()[1]), bound)


def close_all(listeners: Iterable[Listener]) -> None:
    """Close those that were not handed over."""
    for listener in listeners:
        listener.close()


def _open(family: socket.AddressFamily) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setblocking(False)
    return opened


def _bind_unix(path: str) -> socket.socket:
    bound = _open(socket.AF_UNIX)
    try:
        # Linux gives the file this mode, so that it never has a wider one.
        os.fchmod(bound.fileno(), SOCKET_MODE)
        try:
            bound.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _abandoned(path):
                raise
            os.unlink(path)
            bound.bind(path)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _abandoned(path: str) -> bool:
    """Whether there is a socket at ``path`` that no process listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with _open(socket.AF_UNIX) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
