"""What the connections of a bridge have said and heard, and how long they had to wait: for metrics.

A session counts into the :class:`Traffic` of its bridge, so that nothing is lost when it ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from agent.ofproto.histogram import Histogram


class Traffic:
    """Totals of one bridge, from its start.

    :ivar received: messages by the type in their header (0 to 255).
    :ivar sent: likewise.
    :ivar errors: error messages sent, by the error's name.
    :ivar packet_ins_dropped: packets that controllers were not sent: since one does not read
        ("unread"), or since there were too many a second ("limited"; only of sessions that are
        over, for those that are not count them themselves).
    :ivar barriers: seconds from a barrier's turn to its reply.
    :ivar waits: seconds that messages were postponed, by :attr:`.Condition.reason`.
    """

    def __init__(self) -> None:
        self.received = [0] * 256
        self.sent = [0] * 256
        self.errors: Counter[str] = Counter()
        self.packet_ins_dropped: Counter[str] = Counter()
        self.barriers = Histogram()
        self.waits: defaultdict[str, Histogram] = defaultdict(Histogram)
