"""Groups: sets of buckets that packets are handed to.

A bucket is executed like an action set, on a copy of the packet: whatever follows in the list of
actions that named the group sees the packet as it was.  A packet that comes to a group in an action
set goes nowhere else.

A SELECT group hands a packet to one bucket.  Which one is decided by the flow, so that the packets
of one flow stay in order; or, where the driver is configured so, by packet, so that also a single
flow is shared out exactly.  Either way by the weights.

The agent refuses chains that are loops, but groups that hand copies to groups multiply packets all
the same, so there is a limit to what one packet may cause.

Source: OpenFlow 1.3.5 sections 5.6.1 and 5.10.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import gcd
from typing import TYPE_CHECKING, Final

from agent.openflow.actions import Actions
from agent.openflow.fields import (
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    IP_PROTO,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    MPLS_LABEL,
    TCP_DST,
    TCP_SRC,
    VLAN_VID,
)
from agent.openflow.group_messages import GROUP_ANY, Bucket, GroupType
from agent.openflow.messages import ANY
from drivers.interfaces import Counters, IGroup
from drivers.software.ports import Ports
from drivers.software.program import Step, compile_bucket

if TYPE_CHECKING:
    from drivers.software.run import Run

MOST: Final = 4096
"""How many buckets one packet may be handed to, through all chains."""

DEEPEST: Final = 64
"""How long a chain of groups may be."""

_WORD: Final = (1 << 64) - 1

FLOW: Final = sum(
    field.mask
    for field in (
        ETH_DST,
        ETH_SRC,
        ETH_TYPE,
        IP_PROTO,
        IPV4_DST,
        IPV4_SRC,
        IPV6_DST,
        IPV6_SRC,
        MPLS_LABEL,
        TCP_DST,
        TCP_SRC,
        VLAN_VID,
    )
)
"""What packets of one flow have in common: the bits of the flow key that SELECT looks at."""


class _Bucket:
    """A bucket, compiled.

    :ivar watches: whether it is not always live.
    """

    __slots__ = ("bucket", "counters", "steps", "watches", "weight")

    def __init__(self, bucket: Bucket, counters: Counters, steps: tuple[Step, ...]) -> None:
        self.bucket = bucket
        self.counters = counters
        self.steps = steps
        self.weight = bucket.weight
        self.watches = bucket.watch_port != ANY or bucket.watch_group != GROUP_ANY


class _Group:
    """A group, compiled.

    :ivar bounds: the sums of weights up to each bucket.
    :ivar packets: how many were shared out.
    :ivar stride: by how much the next packet is ahead of the last: no divisor of all weights
        together, and about 0.6 of them, so that each has its turn and none has it twice running.
    """

    __slots__ = ("bounds", "buckets", "counters", "handle", "packets", "stride", "type", "watches")

    def __init__(self, group: IGroup, counters: Counters, buckets: list[_Bucket]) -> None:
        self.type = group.type
        self.handle = group.handle
        self.counters = counters
        self.buckets = buckets
        self.watches = any(bucket.watches for bucket in buckets)
        self.bounds = list(accumulate(bucket.weight for bucket in buckets))
        self.packets = 0
        total = self.bounds[-1] if buckets else 0
        self.stride = max(1, int(total * 0.618))
        while gcd(self.stride, total) > 1:
            self.stride += 1


def _mixed(key: int, handle: int) -> int:
    """A number that says nothing of the group's number or of a part of the key by itself: groups in
    a chain must not decide alike.  The end is that of MurmurHash3."""
    mixed = hash((handle, key)) & _WORD
    mixed = (mixed ^ mixed >> 33) * 0xFF51AFD7ED558CCD & _WORD
    mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & _WORD
    return mixed ^ mixed >> 33


class Groups:
    """The groups of one bridge as packets meet them.

    :ivar by_packet: whether SELECT shares out packets and not flows.
    :ivar cut_short: how many packets came to the limit of what one may cause.
    """

    def __init__(self, ports: Ports, by_packet: bool = False) -> None:
        self.by_packet = by_packet
        self.cut_short = 0
        self._ports = ports
        self._entries: dict[int, IGroup] = {}
        self._groups: dict[int, _Group] = {}
        self._depth = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[IGroup]:
        return iter(self._entries.values())

    def put(
        self,
        group: IGroup,
        compiler: Callable[[Actions], tuple[Step, ...]] = compile_bucket,
        counts: bool = True,
    ) -> None:
        """Add a group, or put it in the place of that of its number.

        :param counts: whether its counters are counted.
        """
        counters = group.bucket_counters if counts else [Counters() for _ in group.buckets]
        buckets = [
            _Bucket(bucket, counter, compiler(bucket.actions))
            for bucket, counter in zip(group.buckets, counters, strict=True)
        ]
        self._entries[group.group_id] = group
        self._groups[group.group_id] = _Group(
            group, group.counters if counts else Counters(), buckets
        )

    def remove(self, group_id: int) -> None:
        """Remove a group, if it is there."""
        self._entries.pop(group_id, None)
        self._groups.pop(group_id, None)

    def execute(self, run: Run, group_id: int) -> None:
        """Hand a packet to a group; it is not changed by that."""
        group = self._groups.get(group_id)
        if group is None:
            return
        if not self._depth:
            self._left = MOST
        elif self._depth >= DEEPEST:
            self.cut_short += 1
            return
        size = len(run.packet.data)
        group.counters.packets += 1
        group.counters.bytes += size
        self._depth += 1
        try:
            for bucket in self._chosen(group, run.packet.key):
                if not self._left:
                    self.cut_short += 1
                    break
                self._left -= 1
                bucket.counters.packets += 1
                bucket.counters.bytes += size
                copy = run.fork()
                copy.rule = run.rule
                copy.table_id = run.table_id
                for step in bucket.steps:
                    if step(copy):
                        break
        finally:
            self._depth -= 1

    def _chosen(self, group: _Group, key: int) -> list[_Bucket]:
        """The buckets that a packet with this flow key is handed to."""
        buckets = group.buckets
        kind = group.type
        if kind == GroupType.FF:
            for bucket in buckets:
                if self._live(bucket, 0):
                    return [bucket]
            return []
        if kind != GroupType.SELECT:
            return buckets
        bounds = group.bounds
        if group.watches:
            buckets = [bucket for bucket in buckets if self._live(bucket, 0)]
            bounds = list(accumulate(bucket.weight for bucket in buckets))
        if not bounds or not bounds[-1]:
            return []
        if self.by_packet:
            point = group.packets * group.stride % bounds[-1]
            group.packets += 1
        else:
            point = _mixed(key & FLOW, group.handle) % bounds[-1]
        return [buckets[bisect_right(bounds, point)]]

    def _live(self, bucket: _Bucket, depth: int) -> bool:
        """Whether a bucket can be used: what it watches is live, or it watches nothing."""
        if not bucket.watches:
            return True
        watched = bucket.bucket
        if watched.watch_port != ANY:
            port = self._ports.get(watched.watch_port)
            if port is not None and port.live:
                return True
        return watched.watch_group != GROUP_ANY and self.live(watched.watch_group, depth + 1)

    def live(self, group_id: int, depth: int = 0) -> bool:
        """Whether a group has a bucket that can be used."""
        group = self._groups.get(group_id)
        if group is None or depth > DEEPEST:
            return False
        return any(self._live(bucket, depth) for bucket in group.buckets)
