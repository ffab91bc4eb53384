"""What the connections of a bridge have said and heard, and how long they had to wait: for metrics.

A session counts into the :class:`Traffic` of its bridge, so that nothing is lost when it ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import Final

import attrs

from agent.ofproto.histogram import Histogram

MOST_BARRIERS: Final = 4096
"""How many barriers that were answered are remembered; of more, the last."""


@attrs.frozen
class Barrier:
    """A barrier that was answered; times are in seconds of the reactor's clock.

    :ivar connection: the name of whose it was.
    :ivar since: when it was its turn: all that came before it on its connection had been begun.
    :ivar answered: when it was answered.
    """

    connection: str
    xid: int
    since: float
    answered: float


class Traffic:
    """Totals of one bridge, from its start.

    :ivar received: messages by the type in their header (0 to 255).
    :ivar sent: likewise.
    :ivar errors: error messages sent, by the error's name.
    :ivar packet_ins_dropped: packets that controllers were not sent: since one does not read
        ("unread"), or since there were too many a second ("limited"; only of sessions that are
        over, for those that are not count them themselves).
    :ivar barriers: seconds from a barrier's turn to its reply.
    :ivar answered: the last barriers, as they were answered.
    :ivar waits: seconds that messages were postponed, by :attr:`.Condition.reason`.
    """

    def __init__(self) -> None:
        self.received = [0] * 256
        self.sent = [0] * 256
        self.errors: Counter[str] = Counter()
        self.packet_ins_dropped: Counter[str] = Counter()
        self.barriers = Histogram()
        self.answered: deque[Barrier] = deque(maxlen=MOST_BARRIERS)
        self.waits: defaultdict[str, Histogram] = defaultdict(Histogram)

    def barrier(self, barrier: Barrier) -> None:
        """A barrier is answered."""
        self.barriers.add(barrier.answered - barrier.since)
        self.answered.append(barrier)
