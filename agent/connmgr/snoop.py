"""Connections of those who want to see what controllers and switch say: ``ovs-ofctl snoop``.

A snoop gets a copy of every message to and from the controllers that the bridge dials, in both
directions and in order, once they have agreed on a version.  It is not listened to: what it says is
thrown away.  It slows nobody down either: copies that it does not read are dropped, and as long as
there is no snoop nothing is copied.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import IFrameReceiver, Owner
from agent.connmgr.ofconn import OFConn
from agent.connmgr.settings import SessionSettings
from agent.connmgr.tls_errors import tls_problem
from agent.openflow.codec import encode
from agent.openflow.errors import ErrorCode
from agent.openflow.messages import Hello

MAX_SNOOPS: Final = 8
"""Connections of one listener at once; each costs a copy of everything."""
MAX_HEARD: Final = 100
"""Messages that a snoop may say before it is thought to mistake us for somebody who listens."""


@implementer(IFrameReceiver)
class Snoop:
    """One connection.

    :ivar name: ``bridge<->peer``.
    :ivar settings: given by whoever made it.
    :ivar channel: its frames; there from the moment there is a transport.
    :ivar dropped: copies that it was not sent, because it did not read.
    """

    _log = Logger()
    channel: FrameProtocol

    def __init__(
        self, name: str, settings: SessionSettings, owner: Owner[Snoop], snoops: Snoops
    ) -> None:
        """:param snoops: those of the bridge."""
        self.name = name
        self.settings = settings
        self.dropped = 0
        self._owner = owner
        self._snoops = snoops
        self._heard = 0

    def copy(self, frame: bytes) -> None:
        """Send a copy of a message."""
        if self.channel.choked and self.channel.queued >= self.settings.limits.packet_ins:
            self.dropped += 1
        else:
            self.channel.send(frame)

    def close(self, timeout: float | None = None) -> None:
        """End the connection when what is queued has been sent, in ``timeout`` seconds at most."""
        self.channel.close(timeout)

    def reconfigure(self, settings: SessionSettings) -> None:
        """Go on with other settings."""
        self.settings = settings

    # --- IFrameReceiver --------------------------------------------------------------------------

    def connection_made(self, channel: FrameProtocol) -> None:
        """Say HELLO, which is all that we say by ourselves.

        Who reads copies expects them in the version that was agreed on.
        """
        self.channel = channel
        versions = self._snoops.versions or self.settings.versions
        channel.send(encode(max(versions), Hello(versions)))
        self._owner.session_ready(self)

    def frame_received(self, frame: bytes) -> bool:
        """Throw it away."""
        self.channel.greeted()
        self._heard += 1
        if self._heard > MAX_HEARD:
            self._log.warn(
                "{connection}: a snoop is not listened to, disconnecting", connection=self.name
            )
            self.channel.abort()
        return True

    def retry(self) -> bool:
        """Nothing ever waits."""
        return True

    def frame_held_up(self) -> None:
        """Nothing ever waits."""

    def drained(self) -> None:
        """There is nothing that would have waited for it."""

    overtaking: frozenset[int] = frozenset()

    def frame_overtakes(self, frame: bytes) -> bool:
        """Nothing ever waits."""
        return True

    def frame_refused(self, head: bytes, code: ErrorCode, text: str) -> None:
        """Whatever speaks there does not speak OpenFlow."""
        self.channel.abort()

    def connection_lost(self, reason: Failure) -> None:
        """Forget it."""
        problem = tls_problem(reason)
        if problem:
            self._log.warn("{connection}: {text}", connection=self.name, text=problem)
        self._owner.session_lost(self, problem or reason.getErrorMessage())


class Snoops:
    """The snoops of one bridge, and the sessions that they see; an owner of snoops.

    :ivar snoops: those that are connected.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.snoops: dict[Snoop, None] = {}
        self._watched: dict[OFConn, None] = {}

    @property
    def versions(self) -> frozenset[int]:
        """The wire versions that are spoken in the sessions."""
        return frozenset(session.version for session in self._watched)

    def watch(self, session: OFConn) -> None:
        """Let the snoops see what is said in a session, from now on."""
        self._watched[session] = None
        self._tap(session)

    def unwatch(self, session: OFConn) -> None:
        """A session is over."""
        if session in self._watched:
            del self._watched[session]
            session.channel.remove_tap(self._copy)

    def _tap(self, session: OFConn) -> None:
        if self.snoops:
            session.channel.add_tap(self._copy)
        else:
            session.channel.remove_tap(self._copy)

    def _copy(self, frame: bytes, sent: bool) -> None:
        for snoop in self.snoops:
            snoop.copy(frame)

    # --- Owner -----------------------------------------------------------------------------------

    def session_ready(self, session: Snoop) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`, like the rest."""
        self.snoops[session] = None
        for watched in self._watched:
            self._tap(watched)

    def session_admitted(self, session: Snoop) -> None:
        """A snoop never is."""

    def session_audience(self, session: Snoop) -> None:
        """A snoop is none."""

    def session_lost(self, session: Snoop, reason: str) -> None:
        """Copy no more than there are snoops for."""
        self._log.debug("{connection}: {reason}", connection=session.name, reason=reason)
        self.snoops.pop(session, None)
        for watched in self._watched:
            self._tap(watched)
