"""What connections may cost, and what those of one kind have in common.

All bounds of this package are here, each with its unit.  They are constants of the design rather
than of an installation: what an operator sets (probes, backoff, versions) is in
:class:`SessionSettings` and in the configuration.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from agent.connmgr.identity import PeerSettings


@attrs.frozen
class Limits:
    """What one connection may cost.

    :ivar messages_per_turn: messages executed, and echo requests answered ahead, in one turn.
    :ivar seconds_per_turn: after which others go first, however few messages that were.
    :ivar first_frame: bytes of the longest frame before both sides have agreed on a version.
    :ivar read_ahead: bytes to have read beyond what a turn could execute; more than a frame.
    :ivar backlog_bytes: bytes kept behind a message that waits.
    :ivar backlog_frames: frames kept behind it.
    :ivar queued_replies: messages in our queue, while the transport is full, at which execution and
        reading stop.
    :ivar queued_bytes: the same in bytes.
    :ivar queued_streams: the same in replies of unknown length.
    :ivar packet_ins: messages in our queue, while the transport is full, from which on packets are
        dropped.
    :ivar notices: messages which must not be lost, sent to a peer who does not read, after which
        it is cut off.
    :ivar bundles: bundles that are not committed yet.
    :ivar bundle_messages: messages in all of them.
    :ivar bundle_bytes: their bytes.
    :ivar unfinished_requests: requests of which not all parts have come.
    :ivar parts_bytes: bytes of the parts that have; twice what a switch of 254 tables which can do
        everything says of itself.
    :ivar flow_monitors: monitors of one session.
    :ivar monitor_backlog: bytes in our queue, while the transport is full, above which flow
        monitors pause; as in Open vSwitch.
    :ivar close_timeout: seconds that a closing connection has for its last words.
    """

    messages_per_turn: int = 50
    seconds_per_turn: float = 0.002
    first_frame: int = 1024
    read_ahead: int = 0x10000
    backlog_bytes: int = 4 * 1024 * 1024
    backlog_frames: int = 16384
    queued_replies: int = 100
    queued_bytes: int = 512 * 1024
    queued_streams: int = 2
    packet_ins: int = 100
    notices: int = 65536
    bundles: int = 16
    bundle_messages: int = 16384
    bundle_bytes: int = 4 * 1024 * 1024
    unfinished_requests: int = 16
    parts_bytes: int = 2 * 1024 * 1024
    flow_monitors: int = 256
    monitor_backlog: int = 128 * 1024
    close_timeout: float = 5.0


DEFAULT_LIMITS: Final = Limits()

PACKET_IN_LIMITS: Final = (1000, 0)
"""Packets a second, and at once, as in Open vSwitch; see :class:`SessionSettings`."""


class ConnectionKind(enum.Enum):
    """How a session came about, and so what it gets without asking."""

    PRIMARY = "primary"  # we dialled a controller
    SERVICE = "service"  # somebody connected to a listener
    SNOOP = "snoop"  # somebody connected to see what the others say


@attrs.frozen
class SessionSettings:
    """What sessions of one kind have in common.

    :ivar versions: wire versions that may be agreed on.
    :ivar inactivity_probe: seconds; 0: none.
    :ivar hello_timeout: seconds that a peer has to say HELLO.
    :ivar packet_in_rate: packets a second that a controller is sent, of those that hit no rule and
        of those that a rule sends; 0: as many as there are.
    :ivar packet_in_burst: how many at once; 0: a quarter of the rate.
    :ivar peers: what the owner of which certificate may do; none: everybody may do everything.
    """

    versions: frozenset[int]
    kind: ConnectionKind = ConnectionKind.PRIMARY
    inactivity_probe: float = 5.0
    hello_timeout: float = 30.0
    packet_in_rate: int = PACKET_IN_LIMITS[0]
    packet_in_burst: int = PACKET_IN_LIMITS[1]
    peers: tuple[PeerSettings, ...] = ()
    limits: Limits = DEFAULT_LIMITS
