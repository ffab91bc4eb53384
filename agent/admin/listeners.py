"""Sockets that listen, made before anything is started.

An agent that cannot have one of its sockets must not start at all.  So all of them are bound and
listening before the first bridge exists, and when one cannot be, those before it are closed again.
That is why this module opens sockets itself instead of asking the reactor: the reactor listens and
serves at once, while a :class:`Listener` waits until a factory for its connections is there.  (The
kernel queues who connects meanwhile.)

Accepting is not done here: :meth:`Listener.listen` hands the socket over to the reactor, for one
factory, and after :meth:`Listener.keep` for another when the first has stopped.  In between nobody
can take the socket away, and who connects is queued by the kernel rather than refused.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import attrs
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorSocket,
)
from twisted.logger import Logger
from zope.interface import implementer

from agent.connmgr.target import Target

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted; it may cap this further."""

SOCKET_MODE: Final = 0o770
"""Who may connect to a UNIX socket: as with Open vSwitch, owner and group."""


@implementer(IProtocolFactory, ILoggingContext)
class _Gate:
    """What the reactor knows as the factory of a socket.

    :ivar serving: whose turn it is; None: the socket is not read.
    """

    serving: IProtocolFactory | None = None

    def buildProtocol(self, addr: Any) -> IProtocol | None:
        """Somebody has connected."""
        return None if self.serving is None else self.serving.buildProtocol(addr)

    def logPrefix(self) -> str:
        """Twisted logs whose a port is."""
        return type(self.serving).__name__

    def doStart(self) -> None:
        """There is a port now."""

    def doStop(self) -> None:
        """There is no port any more."""


@attrs.define(eq=False)
class Listener:
    """A listening socket, and whose turn it is to accept from it: at first nobody's.

    :ivar target: what it listens on; a port 0 has become the port that the kernel chose.
    :ivar inherited: whether it is somebody else's, who listens on after us; never closed then.
    """

    _log = Logger()

    target: Target
    _socket: socket.socket
    inherited: bool = False
    _gate: _Gate = attrs.field(factory=_Gate, init=False)
    _port: IListeningPort | None = attrs.field(default=None, init=False)
    _kept: bool = attrs.field(default=False, init=False)

    def listen(self, reactor: IReactorSocket, factory: IProtocolFactory) -> IListeningPort:
        """Let the reactor accept from now on, for this factory; a turn that there is, is over.

        For TLS the factory is one that wraps, like
        :class:`twisted.protocols.tls.TLSMemoryBIOFactory`.
        """
        if self._port is None:
            self._port = self._adopted(reactor)
        elif self._gate.serving is None:
            cast(Any, self._port).startReading()
        else:
            self._gate.serving.doStop()
        self._gate.serving = factory
        self._kept = False
        factory.doStart()
        return _Turn(self, factory)

    def keep(self) -> None:
        """When the turn that is now ends, go on listening: there will be another."""
        self._kept = True

    def close(self) -> None:
        """Listen no more, unless it is somebody's turn; may be called again."""
        if self._gate.serving is not None or self.inherited:
            return
        port, self._port = self._port, None
        if port is not None:
            _stopped(port).addErrback(
                lambda failure: self._log.failure(
                    "cannot close {target} properly", failure, target=self.target
                )
            )
        elif self._socket.fileno() != -1:
            self._socket.close()
            if self.target.local:
                os.unlink(self.target.path)

    def _adopted(self, reactor: IReactorSocket) -> IListeningPort:
        # Twisted's declaration is narrower than what it takes.
        gate = cast(Any, self._gate)
        mode = SOCKET_MODE
        if self.inherited and self.target.local:
            mode = stat.S_IMODE(os.stat(self.target.path).st_mode)
        port = reactor.adoptStreamPort(self._socket.fileno(), self._socket.family, gate)
        # The reactor has a duplicate of the descriptor.  It has also made the backlog short and a
        # UNIX socket open to everybody.
        self._socket.listen(BACKLOG)
        if self.target.local:
            os.chmod(self.target.path, mode)
        self._socket.close()
        return port

    def end_turn(self, factory: IProtocolFactory) -> Deferred[None]:
        """Let the reactor accept no more for this factory, if it is its turn."""
        port = self._port
        if self._gate.serving is not factory or port is None:
            return succeed(None)
        self._gate.serving = None
        factory.doStop()
        if self._kept or self.inherited:
            # The reactor closes what it reads when it stops, and removes its file.
            cast(Any, port).stopReading()
            return succeed(None)
        self._port = None
        return _stopped(port)

    def host(self) -> IAddress:
        """The address, while it is somebody's turn."""
        assert self._port is not None, "its turn is over"
        return self._port.getHost()


@implementer(IListeningPort)
@attrs.frozen(eq=False)
class _Turn:
    """A listener as long as it is one factory's turn, which :meth:`stopListening` ends."""

    _listener: Listener
    _factory: IProtocolFactory

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> Deferred[None]:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        return self._listener.end_turn(self._factory)

    def getHost(self) -> IAddress:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        return self._listener.host()


def _stopped(port: IListeningPort) -> Deferred[None]:
    """Stop a port; fires when it has stopped."""
    stop: Callable[[], object] = port.stopListening
    return maybeDeferred(stop).addCallback(lambda _: None)


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
    """Close those that nobody accepts from."""
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
