"""All connections of one bridge.

:class:`ConnectionManager` has members (:mod:`agent.connmgr.members`), the controllers that the
bridge dials and the sockets that it serves, an audience for what the switch says by itself
(:mod:`agent.connmgr.audience`), and policies, which do something about how its controllers are
(:class:`agent.connmgr.interfaces.Policy`).  What one connection does is
:class:`agent.connmgr.ofconn.OFConn`; this is only what connections have in common.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from agent.connmgr import status
from agent.connmgr.audience import Audience
from agent.connmgr.capture import Captures
from agent.connmgr.identity import PeerSettings
from agent.connmgr.interfaces import Policy, Switch
from agent.connmgr.listener import MAX_CONNECTIONS, BoundSocket
from agent.connmgr.members import ControllerSettings, Members
from agent.connmgr.ofconn import OFConn
from agent.connmgr.reconnect import ReconnectingConnection
from agent.connmgr.roles import Roles
from agent.connmgr.settings import (
    DEFAULT_LIMITS,
    PACKET_IN_LIMITS,
    ConnectionKind,
    Limits,
)
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.tls import ContextFactory
from agent.connmgr.traffic import Traffic
from agent.ofproto.interfaces import ISwitchObserver, PacketInEvent
from agent.openflow.messages import FlowRemoved, PortStatus


@implementer(ISwitchObserver)
class ConnectionManager(Service):
    """The connections of one bridge.

    :ivar bridge: the bridge's name.
    :ivar roles: who is master.
    :ivar audience: who is told what the switch says by itself.
    :ivar captures: those of single connections into files.
    :ivar last_admitted: when a controller that had taken control was last heard of before it was
        lost, or when one was last added, in seconds of the clock.
    """

    _log = Logger()

    def __init__(
        self,
        switch: Switch,
        reactor: Any,
        versions: Iterable[int],
        controllers: Iterable[ControllerSettings] = (),
        listeners: Iterable[tuple[BoundSocket, float]] = (),
        tls: ContextFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        max_connections: int = MAX_CONNECTIONS,
        hello_timeout: float = 30.0,
        packet_in_limits: tuple[int, int] = PACKET_IN_LIMITS,
        snoops: Iterable[BoundSocket] = (),
        peers: Iterable[PeerSettings] = (),
    ) -> None:
        """
        :param switch: which executes requests, and whose observer this object is to be.
        :param versions: like ``controllers``, ``listeners``, ``packet_in_limits``, ``snoops``
            and ``peers``, see :meth:`agent.connmgr.members.Members.configure`.
        :param tls: the certificate; needed for ``ssl:`` and ``pssl:``.
        :param max_connections: that one listener accepts at once.
        :param hello_timeout: seconds that a peer has to say HELLO.
        """
        self.bridge = switch.name
        self.roles = Roles()
        self.last_admitted = 0.0
        self.audience = Audience(self.bridge)
        self.captures = Captures(self._session, time.time)
        self._switch = switch
        self._reactor = reactor
        self._policies: list[Policy] = []
        self._members = Members(
            switch, reactor, self.roles, self, tls, limits, max_connections, hello_timeout
        )
        self._new = self._members.configure(
            versions, controllers, listeners, packet_in_limits, snoops, peers
        )

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
        new, self._new = self._new, []
        for member in new:
            member.start()

    def stopService(self) -> Deferred[None]:
        """Close everything; fires when all of it is closed, after a second at most."""
        super().stopService()  # type: ignore[no-untyped-call]
        policies, self._policies = self._policies, []
        for policy in policies:
            policy.stop()
        return self._members.stop()

    def reconfigure(
        self,
        versions: Iterable[int],
        controllers: Iterable[ControllerSettings],
        listeners: Iterable[tuple[BoundSocket, float]],
        packet_in_limits: tuple[int, int] = PACKET_IN_LIMITS,
        snoops: Iterable[BoundSocket] = (),
        peers: Iterable[PeerSettings] = (),
    ) -> Deferred[None]:
        """Have other settings from now on, while it runs; connections that they allow stay.

        The parameters are those of the constructor, and a socket which is being served is the same
        object as before.

        :returns: fires when all that had to go is closed, after a second at most.
        """
        new = self._members.configure(
            versions, controllers, listeners, packet_in_limits, snoops, peers
        )
        for member in new:
            if isinstance(member, ReconnectingConnection):
                # It has had no time yet.
                self.last_admitted = self._reactor.seconds()
            member.start()
        return self._members.left()

    def connections(self) -> list[ConnectionStatus]:
        """Every connection, the controllers first."""
        now = self._reactor.seconds()
        controllers = self._members.controllers.values()
        found = [status.of_controller(controller, now) for controller in controllers]
        for listener in self._members.listeners:
            found += [
                status.of_session(session, now - since)
                for session, since in listener.sessions.items()
            ]
        for snooped in self._members.snoop_listeners:
            found += [
                status.of_snoop(snoop, now - since) for snoop, since in snooped.sessions.items()
            ]
        return found

    def _session(self, name: str) -> OFConn | None:
        """The session of that name, if it has agreed on a version."""
        sessions = [one.session for one in self._members.controllers.values()]
        for listener in self._members.listeners:
            sessions += listener.sessions
        for session in sessions:
            if session is not None and session.name == name:
                return session if session.version and not session.closed else None
        return None

    @property
    def traffic(self) -> Traffic:
        """What they have counted, those that are gone too."""
        return self._members.traffic

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
        for controller in self._members.controllers.values():
            session = controller.session
            if session is not None and session.version and not session.closed:
                yield session

    # --- the audience (interfaces.Owner) ---------------------------------------------------------

    def session_ready(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.session_audience(session)
        if session.settings.kind is ConnectionKind.PRIMARY:
            self._members.snoops.watch(session)
        self._controllers_changed(session)

    def session_admitted(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._controllers_changed(session)

    def session_audience(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.audience.update(session)

    def session_lost(self, session: OFConn, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.audience.update(session)
        self._members.snoops.unwatch(session)
        self.captures.forget(session)
        self._log.debug("{connection}: {reason}", connection=session.name, reason=reason)
        if session.settings.kind is ConnectionKind.PRIMARY and session.admitted:
            self.last_admitted = max(self.last_admitted, session.channel.last_received)
        self._controllers_changed(session)

    def _controllers_changed(self, session: OFConn) -> None:
        if session.settings.kind is ConnectionKind.PRIMARY:
            for policy in self._policies:
                policy.controllers_changed()

    # --- what the switch says (ISwitchObserver) --------------------------------------------------

    def flow_removed(self, message: FlowRemoved) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        self.audience.notify(message)

    def packet_in(self, event: PacketInEvent) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        self.audience.packet_in(event)

    def bogus_packet_in(self, data: bytes) -> None:
        """Send the controllers a packet that does not exist, to see whether they react."""
        self.audience.bogus_packet_in(data, self._primaries())

    def port_status(self, message: PortStatus) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        self.audience.notify(message)
        for policy in self._policies:
            policy.ports_changed()

    def flushed(self) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`."""
        for policy in self._policies:
            policy.flushed()
