"""Connections that others make to us: service connections.

The socket was bound, and is listening, before anything of the agent was started; here it is handed
to the reactor, and every connection that is accepted gets a session of its own.  Their number is
bounded: beyond it connections are closed at once, rather than left to time out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import Owner
from agent.connmgr.reconnect import STOP_TIMEOUT
from agent.connmgr.settings import SessionSettings
from agent.connmgr.target import Target
from agent.connmgr.tls import ContextFactory

MAX_CONNECTIONS: Final = 4096
"""Connections of one listener at once, unless told otherwise."""


class BoundSocket(Protocol):
    """A socket that listens already: :class:`agent.admin.listeners.Listener`."""

    target: Target

    def listen(self, reactor: Any, factory: IProtocolFactory) -> IListeningPort:
        """Accept from now on."""

    def close(self) -> None:
        """Listen no more, unless it was handed over."""


class Session(Protocol):
    """What is made for a connection: a frame receiver (``IFrameReceiver``) with settings."""

    settings: SessionSettings

    def close(self, timeout: float | None = None) -> None:
        """End it when what is queued has been sent, in ``timeout`` seconds at most."""

    def reconfigure(self, settings: SessionSettings) -> None:
        """Go on with other settings."""


S = TypeVar("S", bound=Session)

MakeSession = Callable[[Target, "IAddress | None", Owner[S]], S]
"""Makes a session for a connection from an address to a listener, with the given owner."""


class ServiceListener(Factory, Generic[S]):
    """What accepts connections on one socket, and owns their sessions.

    :ivar target: what it listens on, with the port there is.
    :ivar bound: the socket.
    :ivar sessions: those that are open, and when they were accepted (seconds of the clock).
    :ivar refused: connections closed because there were too many.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        bridge: str,
        bound: BoundSocket,
        clock: IReactorTime,
        make_session: MakeSession[S],
        owner: Owner[S],
        tls: ContextFactory | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """
        :param bridge: its name, for logs.
        :param clock: the reactor.
        :param owner: hears of every session.
        :param tls: needed for ``pssl:``.
        """
        self.target = bound.target
        self.bound = bound
        self.sessions: dict[S, float] = {}
        self.refused = 0
        self._bridge = bridge
        self._clock = clock
        self._make_session = make_session
        self._owner = owner
        self._tls = tls
        self._max_connections = max_connections
        self._port: IListeningPort | None = None
        self._stopping = False
        self._empty: Deferred[None] | None = None

    def start(self) -> None:
        """Accept connections.

        :raises ValueError: for ``pssl:`` without a certificate.
        """
        factory: Any = self
        if self.target.secure:
            if self._tls is None:
                raise ValueError(f"{self.target} needs a certificate")
            context: Any = self._tls
            factory = TLSMemoryBIOFactory(context, False, self, self._clock)
            factory.noisy = False
        self._port = self.bound.listen(self._clock, factory)

    def stop(self) -> Deferred[None]:
        """Accept no more, and close what is open; fires when all of it is closed."""
        self._stopping = True
        waits: list[Deferred[Any]] = []
        port, self._port = self._port, None
        if port is None:
            self.bound.close()
        else:
            closed = maybeDeferred(port.stopListening)
            closed.addErrback(
                lambda failure: self._log.failure(
                    "{bridge}: cannot close {target} properly",
                    failure,
                    bridge=self._bridge,
                    target=self.target,
                )
            )
            waits.append(closed)
        if self.sessions:
            self._empty = Deferred()
            waits.append(self._empty)
            for session in list(self.sessions):
                session.close(STOP_TIMEOUT)
        return DeferredList(waits).addCallback(lambda _: None)

    def reconfigure(self, make_session: MakeSession[S], settings: SessionSettings) -> None:
        """Make other sessions from now on, and let those that are open have other settings."""
        self._make_session = make_session
        for session in list(self.sessions):
            session.reconfigure(settings)

    def buildProtocol(self, addr: IAddress | None) -> FrameProtocol | None:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        if self._stopping:
            return None
        if len(self.sessions) >= self._max_connections:
            if not self.refused:
                self._log.warn(
                    "{bridge}: {target} has its {limit} connections, refusing more",
                    bridge=self._bridge,
                    target=self.target,
                    limit=self._max_connections,
                )
            self.refused += 1
            return None
        session = self._make_session(self.target, addr, self)
        self.sessions[session] = self._clock.seconds()
        return FrameProtocol(self._clock, session, session.settings.limits)

    # --- Owner -----------------------------------------------------------------------------------

    def session_ready(self, session: S) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._owner.session_ready(session)

    def session_admitted(self, session: S) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._owner.session_admitted(session)

    def session_audience(self, session: S) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._owner.session_audience(session)

    def session_lost(self, session: S, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.sessions.pop(session, None)
        self._owner.session_lost(session, reason)
        if self._empty is not None and not self.sessions:
            empty, self._empty = self._empty, None
            empty.callback(None)
