"""A limit to how often one place in the code may write the same line.

A peer that reconnects in a loop or sends rubbish for ever would otherwise fill the disk, and what
matters would be lost among it.  Every place has a bucket of its own, so that one which is noisy
does not silence the others.  What is dropped is counted, and said with the next line that is not.

Open vSwitch has such a limit where its authors thought of it; here it is everywhere.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import attrs

PER_MINUTE: Final = 60.0
"""Lines of one place a minute, in the long run."""

BURST: Final = 60.0
"""Lines of one place at once."""

MAX_SITES: Final = 1000
"""How many places are remembered; beyond that, the one that has been silent longest is not."""


@attrs.define
class Dropped:
    """What was dropped since the last line.

    :ivar count: how many lines.
    :ivar first: when the first was, in seconds.
    :ivar last: when the last was.
    """

    count: int = 0
    first: float = 0.0
    last: float = 0.0

    def text(self, now: float) -> str:
        """It, as Open vSwitch says it."""
        return (
            f"Dropped {self.count} log messages in last {max(0.0, now - self.first):.0f} seconds "
            f"(most recently, {max(0.0, now - self.last):.0f} seconds ago) "
            "due to excessive rate"
        )


@attrs.define
class _Bucket:
    """A token bucket, which begins full."""

    tokens: float
    filled: float
    dropped: Dropped = attrs.Factory(Dropped)


class RateLimiter:
    """Buckets by place.

    :ivar dropped: lines that were dropped, ever.
    """

    def __init__(self, per_minute: float = PER_MINUTE, burst: float = BURST) -> None:
        self.dropped = 0
        self._per_second = per_minute / 60
        self._burst = burst
        self._buckets: dict[Hashable, _Bucket] = {}

    def admit(self, site: Hashable, now: float) -> Dropped | None:
        """Whether a place may write a line now; None: it may not.

        :param now: seconds, of any clock; where it goes back, time stands still.
        :returns: what was dropped before, of this place.
        """
        bucket = self._buckets.pop(site, None)
        if bucket is None:
            bucket = _Bucket(self._burst, now)
            if len(self._buckets) >= MAX_SITES:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[site] = bucket
        passed = max(0.0, now - bucket.filled)
        bucket.tokens = min(self._burst, bucket.tokens + passed * self._per_second)
        bucket.filled = now
        dropped = bucket.dropped
        if bucket.tokens < 1:
            self.dropped += 1
            dropped.first = dropped.first if dropped.count else now
            dropped.last = now
            dropped.count += 1
            return None
        bucket.tokens -= 1
        bucket.dropped = Dropped()
        return dropped
