"""One packet on its way through the tables: what the steps of a program work on.

A :class:`Run` is made for each packet and is gone when the packet is.  What nearly no packet needs
(:class:`More`) is made when an action asks for it, so that the others do not pay for it.

Performance-critical; ``bench/drivers.py`` measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.openflow.messages import PacketInReason
from agent.packet.packet import Packet
from drivers.interfaces import IRule

if TYPE_CHECKING:
    from drivers.software.pipeline import Pipeline
    from drivers.software.program import ActionSet

MISS_LEN: Final = 128
"""Bytes of a packet whose TTL has expired that are sent to the controllers."""


class Run:
    """One packet on its way.

    :ivar packet: what it is by now.
    :ivar in_port: where it came in.
    :ivar rule: the one it hit last, or None.
    :ivar table_id: the table it was looked up in last.
    :ivar pending: its action set; None while that is empty.
    """

    __slots__ = ("in_port", "packet", "pending", "pipeline", "rule", "table_id")

    def __init__(self, pipeline: Pipeline, packet: Packet, in_port: int) -> None:
        self.pipeline = pipeline
        self.packet = packet
        self.in_port = in_port
        self.rule: IRule | None = None
        self.table_id = 0
        self.pending: ActionSet | None = None

    def fork(self) -> Run:
        """A run of its own for a copy of the packet, which has hit nothing yet."""
        return type(self)(self.pipeline, self.packet.copy(), self.in_port)

    def output(self, number: int) -> None:
        """Send it out of a port, unless it came in there."""
        if number != self.in_port:
            port = self.pipeline.ports.get(number)
            if port is not None:
                port.send(self.packet.frame())

    def back(self) -> None:
        """Send it out where it came in."""
        port = self.pipeline.ports.get(self.in_port)
        if port is not None:
            port.send(self.packet.frame())

    def flood(self) -> None:
        """Send it out of every port that takes part in flooding."""
        frame = self.packet.frame()
        for port in self.pipeline.ports.flood(self.in_port):
            port.send(frame)

    def to_all(self) -> None:
        """Send it out of every port."""
        frame = self.packet.frame()
        for port in self.pipeline.ports.all_but(self.in_port):
            port.send(frame)

    def normal(self) -> None:
        """Let it go where an ordinary switch would send it."""
        self.pipeline.normal(self)

    def group(self, number: int) -> None:
        """Hand it to a group."""
        self.pipeline.groups.execute(self, number)

    def meter(self, number: int) -> bool:
        """Let a meter see it; returns whether it must go no further."""
        if self.pipeline.meters.admits(self, number):
            return False
        self.pending = None
        return True

    def to_tables(self) -> None:
        """Let a copy of it go through the tables; only a packet-out does so."""
        copy = self.fork()
        self.pipeline.process(copy, 0, copy.packet.key)

    def to_controller(self, max_len: int) -> None:
        """Send it to the controllers.

        It is a miss when a table-miss rule says so: one of priority 0 that matches everything.
        """
        rule = self.rule
        reason = PacketInReason.ACTION
        if rule is not None and not rule.priority and not rule.match.mask:
            reason = PacketInReason.NO_MATCH
        self.pipeline.packet_in(self, reason, max_len)

    def ttl_expired(self) -> bool:
        """It must go no further; the controllers are told.  Always True."""
        self.pipeline.packet_in(self, PacketInReason.INVALID_TTL, MISS_LEN)
        self.pending = None
        return True

    def execute_set(self) -> None:
        """Execute its action set, which is not empty: it has come to the end of the tables."""
        assert self.pending is not None
        for _, step in sorted(self.pending.items()):
            if step(self):
                break
