"""What filters count for groups.

A group is actions of the rules that lead there, so nothing in the kernel counts for it.  But what a
filter does with a packet is the same for each that it takes, and so is what groups and buckets it
stands for: it *credits* them.  Which those are is known when a rule is translated; what the filter
has counted since it was read last goes to each of them, as often as it executes it.

A packet is as long as it is where it comes to the group: by as much longer than where it came to
the filter as tags were pushed in between.  (An outer VLAN tag with which it came to the filter is
counted where the rule matches one, as for the rule itself.)

Of a rule with a meter the filter that credits groups stands behind the one with the meter, so that
what the meter has dropped is not counted for them.  Only where the software has to execute such a
rule on some packets both are one filter, which counts what comes to the meter.

Source: OpenFlow 1.3.5 section 5.8, table 5, and section 7.3.5.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from drivers.interfaces import Counters, IGroup


class Credit(NamedTuple):
    """Once for each packet.

    :ivar group: the number of a group.
    :ivar bucket: which of its buckets; -1: the group itself.
    :ivar growth: by how many bytes the packet is longer there than the filter has counted it.
    """

    group: int
    bucket: int
    growth: int


Credits = tuple[Credit, ...]


class Accounts:
    """The counters of a bridge's groups."""

    def __init__(self, groups: Mapping[int, IGroup]) -> None:
        """:param groups: by number, as they are at any time."""
        self._groups = groups

    def count(self, credited: Credits, packets: int, octets: int) -> None:
        """A filter has counted so many more.

        :param octets: of all of them together.
        """
        for number, bucket, growth in credited:
            group = self._groups.get(number)
            if group is None:
                continue
            counters: Counters | None = group.counters
            if bucket >= 0:
                of_buckets = group.bucket_counters
                counters = of_buckets[bucket] if bucket < len(of_buckets) else None
            if counters is not None:
                counters.packets += packets
                counters.bytes += octets + growth * packets
