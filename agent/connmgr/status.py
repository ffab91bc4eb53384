"""What an operator is shown of a connection."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from agent.connmgr.negotiation import version_name
from agent.connmgr.ofconn import OFConn
from agent.connmgr.reconnect import ReconnectingConnection
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.snoop import Snoop


@attrs.frozen(kw_only=True)
class ConnectionStatus:
    """A connection at one moment.

    :ivar name: ``bridge<->target``.
    :ivar kind: a controller that we dial, or what those want who connect to us.
    :ivar state: as Open vSwitch has it: ``ACTIVE``, ``BACKOFF``, ...
    :ivar since: how long, in seconds.
    :ivar last_error: why the last attempt failed or session ended; empty: never.
    :ivar attempts: of a controller, since the last session that proved itself.
    :ivar sessions: of a controller, how many there were so far that proved themselves.
    :ivar retry_in: of a controller, seconds until the next attempt; None: it waits for none.
    :ivar version: ``1.0`` or ``1.3``; empty before one is agreed on.
    :ivar role: ``equal``, ``master`` or ``slave``; empty likewise.
    :ivar admitted: whether the controller has taken control.
    :ivar received: messages of this session.
    :ivar sent: likewise.
    :ivar errors_sent: error messages among them.
    :ivar errors: error messages sent, by the error's name; of a controller, in all its sessions.
    :ivar errors_received: likewise.
    :ivar packet_ins_dropped: packets not sent because the peer does not read.
    :ivar packet_ins_queued: packets that wait because there were too many a second.
    :ivar packet_ins_limited: packets that had to wait for that reason.
    :ivar packet_ins_overflowed: those of them which were dropped, because too many waited.
    :ivar copies_dropped: of a snoop, messages that it was not sent because it does not read.
    :ivar outstanding: requests that are in flight, or whose replies are being prepared.
    :ivar backlog: bytes that wait behind a postponed message.
    :ivar queued: messages that wait for the peer to read.
    :ivar monitors: the ids of its flow monitors, ascending.
    :ivar monitors_paused: whether they tell only of deletions at present, for it does not read.
    :ivar waiting_for: what the postponed message waits for; None: there is none.
    :ivar waiting_kind: what that message is, like ``BarrierRequest``, likewise.
    :ivar waiting_xid: its xid, likewise.
    :ivar waiting_seconds: for how long, likewise.
    """

    name: str
    kind: ConnectionKind
    state: str
    since: float
    last_error: str = ""
    attempts: int = 0
    sessions: int = 0
    retry_in: float | None = None
    version: str = ""
    role: str = ""
    admitted: bool = False
    received: int = 0
    sent: int = 0
    errors_sent: int = 0
    errors: Mapping[str, int] = attrs.Factory(dict)
    errors_received: int = 0
    packet_ins_dropped: int = 0
    packet_ins_queued: int = 0
    packet_ins_limited: int = 0
    packet_ins_overflowed: int = 0
    copies_dropped: int = 0
    outstanding: int = 0
    backlog: int = 0
    queued: int = 0
    monitors: tuple[int, ...] = ()
    monitors_paused: bool = False
    waiting_for: str | None = None
    waiting_kind: str | None = None
    waiting_xid: int | None = None
    waiting_seconds: float | None = None


def of_session(session: OFConn, since: float) -> ConnectionStatus:
    """The status of a session that has a transport.

    :param since: how long it has been there, in seconds.
    """
    counters, channel = session.counters, session.channel
    return ConnectionStatus(
        name=session.name,
        kind=session.settings.kind,
        state="ACTIVE" if session.version else "GREETING",
        since=since,
        version=version_name(session.version) if session.version else "",
        role=session.role.name.lower() if session.version else "",
        admitted=session.admitted,
        received=channel.received,
        sent=channel.sent,
        errors_sent=counters.errors_sent,
        errors=dict(counters.errors),
        errors_received=counters.errors_received,
        packet_ins_dropped=counters.packet_ins_dropped,
        packet_ins_queued=session.packets.queued,
        packet_ins_limited=session.packets.limited,
        packet_ins_overflowed=session.packets.dropped,
        outstanding=len(session.outstanding),
        backlog=channel.backlog,
        queued=channel.queued,
        monitors=tuple(sorted(session.monitors.monitors)),
        monitors_paused=session.monitors.paused,
        waiting_for=session.postponement.waiting_for,
        waiting_kind=session.postponement.kind,
        waiting_xid=session.postponement.xid,
        waiting_seconds=None
        if session.postponement.condition is None
        else session.postponement.waited,
    )


def of_snoop(snoop: Snoop, since: float) -> ConnectionStatus:
    """The status of a snoop.

    :param since: how long it has been there, in seconds.
    """
    channel = snoop.channel
    return ConnectionStatus(
        name=snoop.name,
        kind=ConnectionKind.SNOOP,
        state="ACTIVE",
        since=since,
        received=channel.received,
        sent=channel.sent,
        copies_dropped=snoop.dropped,
        queued=channel.queued,
    )


def of_controller(connection: ReconnectingConnection, now: float) -> ConnectionStatus:
    """The status of a controller, connected or not.

    :param now: seconds of the clock.
    """
    since = now - connection.since
    session = connection.session
    if session is not None and connection.state != "CONNECTING":
        status = of_session(session, since)
    else:
        status = ConnectionStatus(
            name=connection.name, kind=ConnectionKind.PRIMARY, state="", since=since
        )
    return attrs.evolve(
        status,
        state=connection.state,
        last_error=connection.last_error,
        attempts=connection.attempts,
        sessions=connection.sessions,
        retry_in=connection.retry_in,
        errors=dict(connection.errors),
    )
