"""Who belongs to a bridge: the controllers that it dials, and the sockets that it serves.

:class:`Members` makes them from what is configured, and when something else is configured while the
bridge runs it changes no more than that: who is new is started, who is not wanted any more is
stopped, and all others go on with the connections that they have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint

from agent.connmgr.identity import PeerSettings
from agent.connmgr.interfaces import Owner, Switch
from agent.connmgr.listener import MAX_CONNECTIONS, BoundSocket, MakeSession, ServiceListener
from agent.connmgr.ofconn import OFConn
from agent.connmgr.reconnect import ReconnectingConnection
from agent.connmgr.roles import Roles
from agent.connmgr.settings import (
    DEFAULT_LIMITS,
    PACKET_IN_LIMITS,
    ConnectionKind,
    Limits,
    SessionSettings,
)
from agent.connmgr.snoop import MAX_SNOOPS, Snoop, Snoops
from agent.connmgr.target import Kind, Target
from agent.connmgr.tls import ContextFactory
from agent.connmgr.traffic import Traffic

CONNECT_TIMEOUT: Final = 10
"""Seconds until an attempt to connect has failed."""


class ControllerSettings(Protocol):
    """What is configured of a controller: :class:`agent.admin.config_bridge.ControllerConfig`."""

    @property
    def target(self) -> Target:
        """Where it is."""

    @property
    def max_backoff(self) -> float:
        """Seconds of the longest wait between two attempts."""

    @property
    def inactivity_probe(self) -> float:
        """Seconds; 0: none."""

    @property
    def controller_rate_limit(self) -> int | None:
        """Packets a second that it is sent; 0: all; None: as for all others."""

    @property
    def controller_burst_limit(self) -> int | None:
        """How many at once; 0: a quarter of the rate; None: as for all others."""


class Member(Protocol):
    """A controller or a socket."""

    def start(self) -> None:
        """Dial, or accept."""

    def stop(self) -> Deferred[None]:
        """End for good; fires when nothing is open any more."""


class Members:
    """See the module.

    :ivar controllers: those that are dialled, in the order of the configuration.
    :ivar listeners: those that accept, likewise.
    :ivar snoop_listeners: those that accept snoops, likewise.
    :ivar snoops: the snoops themselves.
    :ivar traffic: what all sessions with controllers and clients count into.
    """

    def __init__(
        self,
        switch: Switch,
        reactor: Any,
        roles: Roles,
        owner: Owner[OFConn],
        tls: ContextFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        max_connections: int = MAX_CONNECTIONS,
        hello_timeout: float = 30.0,
    ) -> None:
        """
        :param owner: hears of every session.
        :param tls: needed for ``ssl:`` and ``pssl:``.
        :param max_connections: that one listener accepts at once.
        :param hello_timeout: seconds that a peer has to say HELLO.
        """
        self.controllers: dict[Target, ReconnectingConnection] = {}
        self.listeners: list[ServiceListener[OFConn]] = []
        self.snoop_listeners: list[ServiceListener[Snoop]] = []
        self.snoops = Snoops()
        self.traffic = Traffic()
        self._switch = switch
        self._bridge = switch.name
        self._reactor = reactor
        self._roles = roles
        self._owner = owner
        self._tls = tls
        self._limits = limits
        self._max_connections = max_connections
        self._hello_timeout = hello_timeout
        self._versions: frozenset[int] = frozenset()
        self._packet_in_limits = PACKET_IN_LIMITS
        self._peers: tuple[PeerSettings, ...] = ()
        self._wanted: dict[Target, ControllerSettings] = {}
        self._leaving: dict[Deferred[None], None] = {}
        self._unix_clients = 0

    def configure(
        self,
        versions: Iterable[int],
        controllers: Iterable[ControllerSettings],
        listeners: Iterable[tuple[BoundSocket, float]],
        packet_in_limits: tuple[int, int] = PACKET_IN_LIMITS,
        snoops: Iterable[BoundSocket] = (),
        peers: Iterable[PeerSettings] = (),
    ) -> list[Member]:
        """Have just these members.

        :param versions: wire versions that may be agreed on; sessions with others are closed.
        :param listeners: sockets that listen, and the inactivity probe of each in seconds.  One
            that is being served is the same object as before.
        :param packet_in_limits: ``packet_in_rate`` and ``packet_in_burst`` (see
            :class:`agent.connmgr.settings.SessionSettings`) where a controller has none of its own.
        :param snoops: sockets that listen, as above, whose clients get copies of what is said to
            and by the controllers.
        :param peers: what the owner of which certificate may do; none: everybody everything.
        :returns: the new members, which are to be started.
        :raises ValueError: for a target that cannot be dialled.
        """
        self._versions = frozenset(versions)
        self._packet_in_limits = packet_in_limits
        self._peers = tuple(peers)
        new: list[Member] = []
        self._listen(listeners, new)
        self._listen_for_snoops(snoops, new)
        self._dial(controllers, new)
        return new

    def stop(self) -> Deferred[None]:
        """Close everything; fires when all of it is closed, after a second at most."""
        members: list[Member] = [*self.controllers.values(), *self.listeners]
        members += self.snoop_listeners
        for member in members:
            self._leave(member)
        return self.left()

    def left(self) -> Deferred[None]:
        """Fires when all is closed that is being closed now, after a second at most."""
        waits = []
        for stopped in self._leaving:
            # To each its own Deferred, for others may wait for the same.
            wait: Deferred[None] = Deferred()
            stopped.chainDeferred(wait)
            waits.append(wait)
        return DeferredList(waits).addCallback(lambda _: None)

    def _leave(self, member: Member) -> None:
        stopped: Deferred[None] = Deferred()
        self._leaving[stopped] = None

        def over(_: object) -> None:
            del self._leaving[stopped]
            stopped.callback(None)

        member.stop().addBoth(over)

    # --- whom we dial ----------------------------------------------------------------------------

    def _dial(self, controllers: Iterable[ControllerSettings], new: list[Member]) -> None:
        before, self.controllers = self.controllers, {}
        self._wanted = {wanted.target: wanted for wanted in controllers}
        for target, wanted in self._wanted.items():
            controller = before.pop(target, None)
            if controller is None:
                controller = self._controller(wanted)
                new.append(controller)
            else:
                controller.set_max_backoff(wanted.max_backoff)
                if controller.session is not None:
                    controller.session.reconfigure(self._primary(target))
            self.controllers[target] = controller
        for gone in before.values():
            self._leave(gone)

    def _controller(self, wanted: ControllerSettings) -> ReconnectingConnection:
        target = wanted.target
        name = f"{self._bridge}<->{target}"

        def make_session(owner: Owner[OFConn]) -> OFConn:
            return self._session(name, self._primary(target), owner)

        endpoint = self._endpoint(target)
        return ReconnectingConnection(
            name, endpoint, self._reactor, wanted.max_backoff, make_session, self._owner
        )

    def _endpoint(self, target: Target) -> IStreamClientEndpoint:
        if target.kind is Kind.UNIX:
            return UNIXClientEndpoint(self._reactor, target.path, CONNECT_TIMEOUT)
        if target.kind is Kind.TCP:
            # It takes addresses of either family.
            return TCP4ClientEndpoint(self._reactor, target.host, target.port, CONNECT_TIMEOUT)
        if target.kind is Kind.SSL and self._tls is not None:
            return SSL4ClientEndpoint(
                self._reactor, target.host, target.port, self._tls, CONNECT_TIMEOUT
            )
        raise ValueError(f"{target} cannot be dialled" + " without a certificate" * target.secure)

    # --- who connects to us ----------------------------------------------------------------------

    def _listen(self, listeners: Iterable[tuple[BoundSocket, float]], new: list[Member]) -> None:
        before = {listener.bound: listener for listener in self.listeners}
        self.listeners = []
        for bound, probe in listeners:
            settings = self._settings(ConnectionKind.SERVICE, probe)
            make_session = self._service(settings)
            listener = before.pop(bound, None)
            if listener is None:
                listener = ServiceListener(
                    self._bridge,
                    bound,
                    self._reactor,
                    make_session,
                    self._owner,
                    self._tls,
                    self._max_connections,
                )
                new.append(listener)
            else:
                listener.reconfigure(make_session, settings)
            self.listeners.append(listener)
        for gone in before.values():
            self._leave(gone)

    def _listen_for_snoops(self, snoops: Iterable[BoundSocket], new: list[Member]) -> None:
        settings = self._settings(ConnectionKind.SNOOP, 0)

        def make_session(target: Target, peer: IAddress | None, owner: Owner[Snoop]) -> Snoop:
            name = f"{self._bridge}<->{self._peer_name(target, peer)}"
            return Snoop(name, settings, owner, self.snoops)

        before = {listener.bound: listener for listener in self.snoop_listeners}
        self.snoop_listeners = []
        for bound in snoops:
            listener = before.pop(bound, None)
            if listener is None:
                listener = ServiceListener(
                    self._bridge,
                    bound,
                    self._reactor,
                    make_session,
                    self.snoops,
                    self._tls,
                    MAX_SNOOPS,
                )
                new.append(listener)
            else:
                listener.reconfigure(make_session, settings)
            self.snoop_listeners.append(listener)
        for gone in before.values():
            self._leave(gone)

    def _service(self, settings: SessionSettings) -> MakeSession[OFConn]:
        def make_session(target: Target, peer: IAddress | None, owner: Owner[OFConn]) -> OFConn:
            name = f"{self._bridge}<->{self._peer_name(target, peer)}"
            return self._session(name, settings, owner)

        return make_session

    def _peer_name(self, target: Target, peer: object) -> str:
        """``tcp:192.0.2.1:4711``; clients of UNIX sockets have no address, but a number."""
        if isinstance(peer, (IPv4Address, IPv6Address)):
            host = f"[{peer.host}]" if ":" in peer.host else peer.host
            return f"{'ssl' if target.secure else 'tcp'}:{host}:{peer.port}"
        self._unix_clients += 1
        return f"unix#{self._unix_clients}"

    # --- sessions --------------------------------------------------------------------------------

    def _session(self, name: str, settings: SessionSettings, owner: Owner[OFConn]) -> OFConn:
        return OFConn(name, self._switch, self._reactor, settings, self._roles, owner, self.traffic)

    def _primary(self, target: Target) -> SessionSettings:
        """For a session with a controller, as it is configured now."""
        wanted = self._wanted[target]
        rate, burst = wanted.controller_rate_limit, wanted.controller_burst_limit
        settings = self._settings(ConnectionKind.PRIMARY, wanted.inactivity_probe)
        return attrs.evolve(
            settings,
            packet_in_rate=settings.packet_in_rate if rate is None else rate,
            packet_in_burst=settings.packet_in_burst if burst is None else burst,
        )

    def _settings(self, kind: ConnectionKind, probe: float) -> SessionSettings:
        return SessionSettings(
            self._versions,
            kind,
            inactivity_probe=probe,
            hello_timeout=self._hello_timeout,
            packet_in_rate=self._packet_in_limits[0],
            packet_in_burst=self._packet_in_limits[1],
            peers=self._peers,
            limits=self._limits,
        )
