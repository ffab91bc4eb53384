"""What the tests of the connection manager have in common."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.ofconn import OFConn
from agent.connmgr.target import Target
from agent.openflow import messages as of
from tests.connmgr.fakes import FakeSwitch, FakeTransport, Peer, TurnClock


class MemoryReactor(MemoryReactorClock, TurnClock):
    """A reactor without a network, with turns."""


@attrs.frozen
class Controller:
    """A controller's configuration."""

    target: Target
    max_backoff: float = 8
    inactivity_probe: float = 5
    controller_rate_limit: int | None = None
    controller_burst_limit: int | None = None


class FakeBound:
    """A bound socket.

    :ivar factory: what it was handed over to.
    :ivar closing: what the port returns when it is to stop.
    """

    def __init__(self, target: str) -> None:
        self.target = Target.parse(target)
        self.factory: Any = None
        self.closing: Deferred[None] = succeed(None)
        self.closed = 0
        self.stopped = 0

    def listen(self, reactor: Any, factory: IProtocolFactory) -> Any:
        """Remember the factory; this object is the port as well."""
        self.factory = factory
        return self

    def stopListening(self) -> Deferred[None]:
        """Of the port."""
        self.stopped += 1
        return self.closing

    def close(self) -> None:
        """Count."""
        self.closed += 1


class ManagerCase(SynchronousTestCase):
    """A manager with two listeners and a controller."""

    def setUp(self) -> None:
        """Started."""
        self.reactor = MemoryReactor()
        self.switch = FakeSwitch()
        self.switch.on[of.SetConfig] = self.set_config
        self.tcp = FakeBound("ptcp:6653:127.0.0.1")
        self.unix = FakeBound("punix:/run/br0.mgmt")
        self.manager = self.make([Controller(Target.parse("tcp:192.0.2.1:6653"))])
        self.manager.startService()

    def make(self, controllers: list[Controller], **arguments: Any) -> ConnectionManager:
        """A manager that is not started."""
        return ConnectionManager(
            self.switch,
            self.reactor,
            [of.OFP10, of.OFP13],
            controllers,
            [(self.tcp, 5.0), (self.unix, 5.0)],
            **arguments,
        )

    @staticmethod
    def set_config(request: of.SetConfig, requester: Any) -> None:
        """What the switch does."""
        requester.miss_send_len = request.miss_send_len

    def attach(self, protocol: Any, version: int) -> Peer:
        """A peer that has said HELLO."""
        transport = FakeTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        peer = Peer(protocol, transport, version)
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        return peer

    def client(self, version: int = of.OFP13, bound: FakeBound | None = None) -> Peer:
        """Somebody who connects to a listener."""
        address = IPv4Address("TCP", "127.0.0.1", 4711)
        protocol = (bound or self.tcp).factory.buildProtocol(address)
        return self.attach(protocol, version)

    def controller(self, version: int = of.OFP13) -> Peer:
        """The controller, who has accepted."""
        return self.attach(self.reactor.tcpClients[-1][2].buildProtocol(None), version)

    def session(self, peer: Peer) -> OFConn:
        """The session of a peer."""
        protocol: Any = peer.protocol
        found = getattr(protocol, "_wrappedProtocol", protocol)._receiver
        assert isinstance(found, OFConn)
        return found
