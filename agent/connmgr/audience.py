"""Who is told what the switch says by itself, and as which bytes.

A message is encoded once a version, however many get it, and sessions that want nothing (most
clients of listeners) cost nothing.  What a session wants is up to
:mod:`agent.connmgr.asyncmsg`; how it is sent packets, to :mod:`agent.connmgr.packets`.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from agent.connmgr.asyncmsg import Asynchronous, for_version, wants
from agent.connmgr.ofconn import OFConn
from agent.connmgr.packets import SharedPacket
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow.codec import encode
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import OFP10, FlowRemoved, PacketInReason, Port, PortStatus


class Audience:
    """The sessions of one bridge that want asynchronous messages.

    :ivar bridge: the bridge's name.
    :ivar sessions: those sessions; which messages each wants, its masks say.
    """

    _log = Logger()

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        self.sessions: dict[OFConn, None] = {}

    def update(self, session: OFConn) -> None:
        """A session has begun or ceased to want such messages."""
        if session.version and session.is_audience and not session.closed:
            self.sessions[session] = None
        else:
            self.sessions.pop(session, None)

    def notify(self, message: FlowRemoved | PortStatus) -> None:
        """Tell a message that must not be lost."""
        narrowed: dict[tuple[int, bool], Asynchronous] = {}
        encoded: dict[tuple[int, bool], bytes | None] = {}
        # A session that does not read is cut off, and leaves.
        for session in list(self.sessions):
            form = (session.version, session.formats.flows_as_nxm)
            if form not in narrowed:
                narrowed[form] = for_version(*form, message)
            if not wants(session.async_config, session.role, narrowed[form]):
                continue
            if form not in encoded:
                encoded[form] = self.encode(session.version, narrowed[form])
            data = encoded[form]
            if data is not None:
                session.notify(data)

    def packet_in(self, event: PacketInEvent) -> None:
        """Offer a packet."""
        wanted = event.controller_id
        sessions = [session for session in self.sessions if session.controller_id == wanted]
        if not sessions:
            return
        packet = SharedPacket(event, self.encode)
        if packet.missed:
            # Later versions drop such packets.
            sessions = [session for session in sessions if session.version == OFP10]
        self._offer(sessions, packet)

    def bogus_packet_in(self, data: bytes, sessions: Iterable[OFConn]) -> None:
        """Offer a packet that does not exist to these sessions, to see whether they react."""
        event = PacketInEvent(data, Port.LOCAL, PacketInReason.NO_MATCH)
        self._offer(sessions, SharedPacket(event, self.encode, bogus=True))

    @staticmethod
    def _offer(sessions: Iterable[OFConn], packet: SharedPacket) -> None:
        for session in sessions:
            message = for_version(session.version, False, packet.message)
            if wants(session.async_config, session.role, message):
                session.packets.offer(packet)

    def encode(self, version: int, message: Asynchronous) -> bytes | None:
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
