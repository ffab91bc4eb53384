"""The HTTP server, as a service: it takes connections while it runs, and lets all go at its end."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.web.server import Site

from agent.admin import coverage
from agent.admin.commands_bridges import Agent
from agent.admin.listeners import Listener
from agent.admin.report import Report
from agent.admin.web.access import Gate
from agent.admin.web.feed import Feed
from agent.admin.web.lag import ReactorLag
from agent.admin.web.metrics import make_registry
from agent.admin.web.resources import Root

TIMEOUT: Final = 60
"""Seconds that a client has to say what it wants."""

MAX_CONNECTIONS: Final = 100
"""How many clients there may be at once."""


class _Site(Site):
    """Knows who is connected."""

    noisy = False

    def __init__(self, gate: Gate, clock: Any) -> None:
        Site.__init__(self, gate, timeout=TIMEOUT, reactor=clock)
        self.open: set[Any] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """Take another client, if there are not too many."""
        if len(self.open) >= MAX_CONNECTIONS:
            return None
        channel: Any = Site.buildProtocol(self, addr)
        self.open.add(channel)
        lost = channel.connectionLost

        def gone(reason: Any) -> None:
            self.open.discard(channel)
            lost(reason)

        channel.connectionLost = gone
        return channel

    def log(self, request: Any) -> None:
        """Who reads what is nobody's business, and a token might be in it."""


class WebServer(Service):
    """Metrics and the page.

    :ivar feed: who looks at what happens.
    """

    _log = Logger()

    def __init__(self, reactor: Any, listener: Listener, agent: Agent, token: str = "") -> None:
        """
        :param listener: the socket; the server's from now on.
        :param token: what a client has to know; empty: nothing.
        """
        self._reactor = reactor
        self._listener = listener
        self._lag = ReactorLag(reactor)
        report = Report(agent, reactor)
        self.feed = Feed(agent, report, reactor)
        registry = make_registry(agent, coverage.process, self._lag)
        self._site = _Site(Gate(Root(report, self.feed, registry), token), reactor)
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Take clients."""
        Service.startService(self)
        self._lag.start()
        self._port = self._listener.listen(self._reactor, self._site)

    def stopService(self) -> Deferred[Any]:
        """Take no more clients, and let those go that there are."""
        Service.stopService(self)
        self._lag.stop()
        self.feed.stop()
        port, self._port = self._port, None
        if port is None:
            self._listener.close()
            return succeed(None)
        stopped = maybeDeferred(port.stopListening)
        for channel in list(self._site.open):
            transport = channel.transport
            if transport is not None:
                transport.abortConnection()
        return stopped
