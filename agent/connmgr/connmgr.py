"""All connections of one bridge.

:class:`ConnectionManager` dials the controllers and serves the listeners that the bridge is
configured with, and gives everybody the asynchronous messages they want.  What one connection does
is :class:`agent.connmgr.ofconn.OFConn`; this is only what connections have in common: roles, the
audience, starting and stopping, and the list for the operator.

An asynchronous message is encoded once a version, however many get it, and those who want none
(most clients of listeners) cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from agent.connmgr import status
from agent.connmgr.asyncmsg import Asynchronous, for_version, packet_in, wants
from agent.connmgr.interfaces import Owner, Policy, Switch
from agent.connmgr.listener import MAX_CONNECTIONS, BoundSocket, ServiceListener
from agent.connmgr.ofconn import OFConn
from agent.connmgr.reconnect import ReconnectingConnection
from agent.connmgr.roles import Roles
from agent.connmgr.settings import (
    DEFAULT_LIMITS,
    ConnectionKind,
    Limits,
    SessionSettings,
)
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.target import Kind, Target
from agent.ofproto.interfaces import ISwitchObserver, PacketInEvent
from agent.openflow.codec import encode
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import FlowRemoved, PacketInReason, Port, PortStatus

CONNECT_TIMEOUT: Final = 10
"""Seconds until an attempt to connect has failed."""


class ControllerSettings(Protocol):
    """What is configured of a controller: :class:`agent.admin.config.ControllerConfig`."""

    @property
    def target(self) -> Target:
        """Where it is."""

    @property
    def max_backoff(self) -> float:
        """Seconds of the longest wait between two attempts."""

    @property
    def inactivity_probe(self) -> float:
        """Seconds; 0: none."""


@implementer(ISwitchObserver)
class ConnectionManager(Service):
    """The connections of one bridge.

    :ivar bridge: the bridge's name.
    :ivar roles: who is master.
    :ivar hello_timeout: seconds that a peer has to say HELLO.
    :ivar last_admitted: when a controller that had taken control was last heard of before it was
        lost, or the start, in seconds of the clock.
    """

    _log = Logger()

    def __init__(
        self,
        switch: Switch,
        reactor: Any,
        versions: Iterable[int],
        controllers: Iterable[ControllerSettings] = (),
        listeners: Iterable[tuple[BoundSocket, float]] = (),
        tls: CertificateOptions | None = None,
        limits: Limits = DEFAULT_LIMITS,
        max_connections: int = MAX_CONNECTIONS,
        hello_timeout: float = 30.0,
    ) -> None:
        """
        :param switch: which executes requests, and whose observer this object is to be.
        :param versions: wire versions that may be agreed on.
        :param controllers: whom to dial.
        :param listeners: sockets that listen, and the inactivity probe of each in seconds.
        :param tls: the certificate; needed for ``ssl:`` and ``pssl:``.
        :param max_connections: that one listener accepts at once.
        """
        self.bridge = switch.name
        self.roles = Roles()
        self.hello_timeout = hello_timeout
        self.last_admitted = 0.0
        self._switch = switch
        self._reactor = reactor
        self._versions = frozenset(versions)
        self._tls = tls
        self._limits = limits
        self._audience: dict[OFConn, None] = {}
        self._policies: list[Policy] = []
        self._unix_clients = 0
        self._controllers = [self._controller(settings) for settings in controllers]
        self._listeners = [
            ServiceListener(
                self.bridge, bound, reactor, self._service(probe), self, tls, max_connections
            )
            for bound, probe in listeners
        ]

    # --- life ------------------------------------------------------------------------------------

    def add_policy(self, policy: Policy) -> None:
        """Let a policy know what happens, from the start to the end."""
        self._policies.append(policy)

    def startService(self) -> None:
        """Dial and accept, from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self.last_admitted = self._reactor.seconds()
        for policy in self._policies:
            policy.start()
        for listener in self._listeners:
            listener.start()
        for controller in self._controllers:
            controller.start()

    def stopService(self) -> Deferred[None]:
        """Close everything; fires when all of it is closed, after a second at most."""
        super().stopService()  # type: ignore[no-untyped-call]
        policies, self._policies = self._policies, []
        for policy in policies:
            policy.stop()
        waits = [controller.stop() for controller in self._controllers]
        waits += [listener.stop() for listener in self._listeners]
        return DeferredList(waits).addCallback(lambda _: None)

    def connections(self) -> list[ConnectionStatus]:
        """Every connection, the controllers first."""
        now = self._reactor.seconds()
        found = [status.of_controller(controller, now) for controller in self._controllers]
        for listener in self._listeners:
            found += [
                status.of_session(session, now - since)
                for session, since in listener.sessions.items()
            ]
        return found

    @property
    def admitted(self) -> bool:
        """Whether some controller that we dialled has taken control."""
        return any(session.admitted for session in self._primaries())

    @property
    def connected(self) -> bool:
        """Whether some controller that we dialled is connected."""
        return any(True for _ in self._primaries())

    def _primaries(self) -> Iterator[OFConn]:
        """The sessions with controllers that have agreed on a version."""
        for controller in self._controllers:
            session = controller.session
            if session is not None and session.version and not session.closed:
                yield session

    # --- making sessions -------------------------------------------------------------------------

    def _controller(self, settings: ControllerSettings) -> ReconnectingConnection:
        target = settings.target
        name = f"{self.bridge}<->{target}"
        session_settings = SessionSettings(
            self._versions,
            ConnectionKind.PRIMARY,
            settings.inactivity_probe,
            self.hello_timeout,
            self._limits,
        )

        def make_session(owner: Owner) -> OFConn:
            return OFConn(name, self._switch, self._reactor, session_settings, self.roles, owner)

        return ReconnectingConnection(
            name,
            self._endpoint(target),
            self._reactor,
            settings.max_backoff,
            make_session,
            self,
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

    def _service(self, probe: float) -> Callable[[Target, IAddress | None, Owner], OFConn]:
        settings = SessionSettings(
            self._versions, ConnectionKind.SERVICE, probe, self.hello_timeout, self._limits
        )

        def make_session(target: Target, peer: IAddress | None, owner: Owner) -> OFConn:
            name = f"{self.bridge}<->{self._peer_name(target, peer)}"
            return OFConn(name, self._switch, self._reactor, settings, self.roles, owner)

        return make_session

    def _peer_name(self, target: Target, peer: object) -> str:
        """``tcp:192.0.2.1:4711``; clients of UNIX sockets have no address, but a number."""
        if isinstance(peer, (IPv4Address, IPv6Address)):
            host = f"[{peer.host}]" if ":" in peer.host else peer.host
            return f"{'ssl' if target.secure else 'tcp'}:{host}:{peer.port}"
        self._unix_clients += 1
        return f"unix#{self._unix_clients}"

    # --- the audience (interfaces.Owner) ---------------------------------------------------------

    def session_ready(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.session_audience(session)
        self._controllers_changed(session)

    def session_admitted(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._controllers_changed(session)

    def session_audience(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        if session.version and session.is_audience and not session.closed:
            self._audience[session] = None
        else:
            self._audience.pop(session, None)

    def session_lost(self, session: OFConn, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._audience.pop(session, None)
        self._log.debug("{connection}: {reason}", connection=session.name, reason=reason)
        if session.settings.kind is ConnectionKind.PRIMARY and session.admitted:
            self.last_admitted = max(self.last_admitted, session.channel.last_received)
        self._controllers_changed(session)

    def _controllers_changed(self, session: OFConn) -> None:
        if session.settings.kind is ConnectionKind.PRIMARY:
            for policy in self._policies:
                policy.controllers_changed()

    # --- asynchronous messages (ISwitchObserver) -------------------------------------------------

    def flow_removed(self, message: FlowRemoved) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        for session, data in self._tell(self._audience, message):
            session.notify(data)

    def port_status(self, message: PortStatus) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        for session, data in self._tell(self._audience, message):
            session.notify(data)
        for policy in self._policies:
            policy.ports_changed()

    def flushed(self) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        for policy in self._policies:
            policy.flushed()

    def packet_in(self, event: PacketInEvent) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        wanted = event.controller_id
        audience = [session for session in self._audience if session.controller_id == wanted]
        if audience:
            for session, data in self._tell(audience, packet_in(event)):
                session.offer(data)

    def bogus_packet_in(self, data: bytes) -> None:
        """Send the controllers a packet that does not exist, to see whether they react."""
        event = PacketInEvent(data, Port.LOCAL, PacketInReason.NO_MATCH)
        for session, frame in self._tell(self._primaries(), packet_in(event)):
            session.offer(frame)

    def _tell(
        self, audience: Iterable[OFConn], message: Asynchronous
    ) -> list[tuple[OFConn, bytes]]:
        """Who gets a message, and as which bytes."""
        found = []
        narrowed: dict[int, Asynchronous] = {}
        encoded: dict[int, bytes | None] = {}
        for session in audience:
            version = session.version
            if version not in narrowed:
                narrowed[version] = for_version(version, message)
            if not wants(session.async_config, session.role, narrowed[version]):
                continue
            if version not in encoded:
                encoded[version] = self._encode(version, narrowed[version])
            data = encoded[version]
            if data is not None:
                found.append((session, data))
        return found

    def _encode(self, version: int, message: Asynchronous) -> bytes | None:
        """The bytes; None for what the version has no way to say (a port beyond its numbers)."""
        try:
            return encode(version, message)
        except OpenFlowError as error:
            self._log.debug(
                "{bridge}: {message} not sent in version {version}: {error}",
                bridge=self.bridge,
                message=type(message).__name__,
                version=version,
                error=error,
            )
            return None
