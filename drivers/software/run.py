"""One packet on its way through the tables: what the steps of a program work on.

A :class:`Run` is made for each packet and is gone when the packet is.  What nearly no packet needs
(:class:`More`) is made when an action asks for it, so that the others do not pay for it.

A rule may resubmit a packet to another rule, or to itself; and groups make copies which may do so,
too.  So there are limits to what one packet and its copies may cause; those of Open vSwitch.  A
packet that comes to a limit is dropped: what was sent of it already stays sent.

Performance-critical; ``bench/drivers.py`` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent.openflow.fields import IN_PORT
from agent.openflow.messages import PacketInReason
from agent.packet.packet import Packet
from drivers.interfaces import IRule
from drivers.software.port import Port

if TYPE_CHECKING:
    from drivers.software.pipeline import Pipeline
    from drivers.software.program import ActionSet

MAX_DEPTH: Final = 64
"""How deeply lookups may be nested."""
MAX_RESUBMITS: Final = 4096
"""How often one packet and its copies may be looked up again, in all."""
MAX_STACK: Final = 4096
"""Values on the stack."""


class Budget:
    """What a packet and its copies have had of what they may have together.

    :ivar depth: how deeply it is nested now.
    :ivar resubmits: how often it was looked up again.
    """

    __slots__ = ("depth", "resubmits")

    def __init__(self) -> None:
        self.depth = 0
        self.resubmits = 0


class More:
    """What most packets do not need.

    :ivar budget: the copies of a packet share it.
    :ivar stack: what was pushed.
    :ivar queue: the queue of ports that it is sent by; None: none.
    :ivar exited: whether no action that follows is executed, wherever it is.
    """

    __slots__ = ("budget", "exited", "queue", "stack")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.stack: list[int] = []
        self.queue: int | None = None
        self.exited = False


class Run:
    """One packet on its way.

    :ivar packet: what it is by now.
    :ivar in_port: where it came in.
    :ivar rule: the one it hit last, or None.
    :ivar table_id: the table it was looked up in last.
    :ivar pending: its action set; None while that is empty.
    :ivar more: what most packets do not need.
    """

    __slots__ = ("in_port", "more", "packet", "pending", "pipeline", "rule", "table_id")

    def __init__(self, pipeline: Pipeline, packet: Packet, in_port: int) -> None:
        self.pipeline = pipeline
        self.packet = packet
        self.in_port = in_port
        self.rule: IRule | None = None
        self.table_id = 0
        self.pending: ActionSet | None = None
        self.more: More | None = None

    def fork(self) -> Run:
        """A run of its own for a copy of the packet, which has hit nothing yet."""
        copy = type(self)(self.pipeline, self.packet.copy(), self.in_port)
        more = self.wants_more()
        copy.more = More(more.budget)
        copy.more.queue = more.queue
        return copy

    def wants_more(self) -> More:
        """What most packets do not need; made when it is not there yet."""
        more = self.more
        if more is None:
            more = self.more = More(Budget())
        return more

    @property
    def nested(self) -> bool:
        """Whether it was resubmitted, and the rule that did so goes on with it later."""
        return self.more is not None and self.more.budget.depth > 0

    def output(self, number: int) -> None:
        """Send it out of a port, unless it came in there."""
        if number != self.in_port:
            port = self.pipeline.ports.get(number)
            if port is not None:
                self.send(port, self.packet.frame())

    def send(self, port: Port, frame: bytes) -> None:
        """Send a frame by the queue that was chosen, if any was."""
        more = self.more
        if more is None or more.queue is None:
            port.send(frame)
        else:
            port.enqueue(frame, more.queue)

    def set_queue(self, queue: int | None) -> int | None:
        """Choose a queue for all that is sent from now on; returns what was chosen before."""
        more = self.wants_more()
        before, more.queue = more.queue, queue
        return before

    def back(self) -> None:
        """Send it out where it came in."""
        port = self.pipeline.ports.get(self.in_port)
        if port is not None:
            self.send(port, self.packet.frame())

    def flood(self) -> None:
        """Send it out of every port that takes part in flooding."""
        frame = self.packet.frame()
        for port in self.pipeline.ports.flood(self.in_port):
            self.send(port, frame)

    def to_all(self) -> None:
        """Send it out of every port."""
        frame = self.packet.frame()
        for port in self.pipeline.ports.all_but(self.in_port):
            self.send(port, frame)

    def normal(self) -> None:
        """Let it go where an ordinary switch would send it."""
        self.pipeline.normal(self)

    def group(self, number: int) -> None:
        """Hand it to a group."""
        self.pipeline.groups.execute(self, number)

    def meter(self, number: int) -> bool:
        """Let a meter see it; returns whether it must go no further."""
        return not self.pipeline.meters.admits(self, number) and self.drop()

    def to_tables(self) -> None:
        """Let a copy of it go through the tables; only a packet-out does so."""
        self.pipeline.enter(self.fork())

    def to_controller(self, max_len: int) -> None:
        """Send it to the controllers.

        It is a miss when a table-miss rule says so: one of priority 0 that matches everything.
        """
        rule = self.rule
        reason = PacketInReason.ACTION
        if rule is not None and not rule.priority and not rule.match.mask:
            reason = PacketInReason.NO_MATCH
        self.pipeline.packet_in(self, reason, max_len)

    def ttl_expired(self, controller_ids: Sequence[int] = (0,)) -> bool:
        """Its TTL must not be decremented: the controllers are told, and this rule is done with it.

        Always True.  Whoever resubmitted it goes on, as in Open vSwitch; or else it is dropped.
        """
        for controller_id in controller_ids:
            self.pipeline.packet_in(self, PacketInReason.INVALID_TTL, None, controller_id)
        return self.nested or self.drop()

    def drop(self) -> bool:
        """It goes no further, whoever resubmitted it.  Always True."""
        self.pending = None
        return self.exit()

    def exit(self) -> bool:
        """No action that follows is executed but those of its action set.  Always True."""
        if self.more is not None:
            self.more.exited = True
        return True

    def resubmit(self, table_id: int, in_port: int | None) -> bool:
        """Look it up once more and do what is found there, then go on; returns whether not to.

        :param in_port: for that lookup alone, where it came in; None: where it did.
        """
        more = self.wants_more()
        budget = more.budget
        if budget.depth >= MAX_DEPTH:
            return self.give_up(f"over max translation depth {MAX_DEPTH}")
        if budget.resubmits >= MAX_RESUBMITS:
            return self.give_up(f"over {MAX_RESUBMITS} resubmit actions")
        key = self.packet.key
        if in_port is not None:
            key = IN_PORT.put(key, in_port)
        rule, table = self.rule, self.table_id
        budget.depth += 1
        budget.resubmits += 1
        self.pipeline.process(self, table_id, key)
        budget.depth -= 1
        self.rule, self.table_id = rule, table
        return more.exited

    def push(self, value: int) -> bool:
        """Push a value on the stack; returns whether that is too much."""
        stack = self.wants_more().stack
        if len(stack) >= MAX_STACK:
            return self.give_up(f"over {MAX_STACK} values on the stack")
        stack.append(value)
        return False

    def pop(self) -> int | None:
        """The value that was pushed last; None: there is none."""
        more = self.more
        return more.stack.pop() if more is not None and more.stack else None

    def give_up(self, why: str) -> bool:
        """It came to a limit: it is dropped.  Always True.

        :param why: for people.
        """
        self.pipeline.gave_up += 1
        return self.drop()

    def execute_set(self) -> None:
        """Execute its action set, which is not empty: it has come to the end of the tables."""
        assert self.pending is not None
        for _, step in sorted(self.pending.items()):
            if step(self):
                break
