"""A server in memory, and who asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from agent.admin import coverage
from agent.admin.report import Report
from agent.admin.web.access import Gate
from agent.admin.web.feed import Feed
from agent.admin.web.lag import ReactorLag
from agent.admin.web.metrics import make_registry
from agent.admin.web.resources import Root
from tests.admin.agents import FakeAgent, FakeBridge
from tests.ofproto.stage import SwitchTestCase


class Client:
    """One connection to the server."""

    def __init__(self, site: Any) -> None:
        self.protocol = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def ask(
        self, path: str, method: str = "GET", host: str = "localhost:8653", **headers: str
    ) -> None:
        """Send a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode())

    def leave(self) -> None:
        """Go away."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Answer:
    """What was answered.

    :ivar status: a number.
    :ivar headers: names in lower case.
    :ivar body: without the marks of chunks.
    """

    def __init__(self, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        if self.headers.get("transfer-encoding") == "chunked":
            whole = b""
            while body:
                size, _, rest = body.partition(b"\r\n")
                whole += rest[: int(size, 16)]
                body = rest[int(size, 16) + 2 :]
            body = whole
        self.body = body

    @property
    def json(self) -> Any:
        """The data."""
        return json.loads(self.body)


class WebCase(SwitchTestCase):
    """Has a bridge, ``br0``, and a server for it."""

    def setUp(self) -> None:
        """Nobody is connected."""
        super().setUp()
        self.bridge = FakeBridge(self.switch)
        self.agent = FakeAgent({"br0": self.bridge})
        self.report = Report(self.agent, self.clock)
        self.feed = Feed(self.agent, self.report, self.clock)
        self.lag = ReactorLag(self.clock)
        self.registry = make_registry(self.agent, coverage.process, self.lag)
        self.site = self.make_site()

    def make_site(self, token: str = "") -> Site:
        """A server that asks for this token."""
        gate = Gate(Root(self.report, self.feed, self.registry), token)
        return Site(gate, reactor=self.clock)

    def get(self, path: str, **more: str) -> Answer:
        """Ask for something, which is answered within a few turns."""
        client = Client(self.site)
        client.ask(path, **more)
        self.turn()
        client.leave()
        return Answer(client.transport.value())
