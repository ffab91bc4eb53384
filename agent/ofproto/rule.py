"""A flow entry of the switch."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import attrs
from zope.interface import implementer

from agent.openflow.actions import Instructions
from agent.openflow.match import Match
from agent.openflow.messages import FlowModFlags, RemovedReason
from drivers.interfaces import Counters, IRule

if TYPE_CHECKING:
    from agent.ofproto.operations import Operation

MAX_PRIORITY = 0xFFFF
"""The greatest priority that a controller can give; hidden rules have greater ones."""
SEND_FLOW_REM = int(FlowModFlags.SEND_FLOW_REM)


@implementer(IRule)
@attrs.define(eq=False)
class Rule:
    """One version of a flow entry.

    A rule is not changed: MODIFY and REPLACE put another rule with the same match and priority in
    its place, and to roll back is to put the old one back, with everything it had.  Only what the
    time and the hardware do to it is mutable: the counters, ``modified``, ``pending`` and
    ``degraded``.

    :ivar handle: see :class:`drivers.interfaces.IRule`.
    :ivar flags: :class:`agent.openflow.messages.FlowModFlags` of the message that made it.
    :ivar created: when it was added, in seconds of the clock; its duration counts from there.
    :ivar modified: when it was added or last modified; its hard timeout counts from there.
    :ivar pending: the operation in flight that concerns it, or None.
    :ivar degraded: why it is not in the hardware as it should be; empty: it is.
    """

    handle: int
    table_id: int
    priority: int
    match: Match
    instructions: Instructions
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    counters: Counters
    created: float
    modified: float
    pending: Operation | None = None
    degraded: str = ""

    @property
    def hidden(self) -> bool:
        """Whether controllers neither see nor touch it (in-band control, fail-open)."""
        return self.priority > MAX_PRIORITY

    @property
    def send_flow_removed(self) -> bool:
        """Whether controllers are told when it goes."""
        return bool(self.flags & SEND_FLOW_REM)

    def deadline(self) -> tuple[float, RemovedReason]:
        """When it expires if nothing happens to it, in seconds of the clock, and of what.

        The hard timeout counts from the last modification, the idle timeout from the last packet;
        without timeouts the time is infinite.
        """
        hard = self.modified + self.hard_timeout if self.hard_timeout else inf
        used = max(self.counters.used, self.created)
        idle = used + self.idle_timeout if self.idle_timeout else inf
        if idle < hard:
            return idle, RemovedReason.IDLE_TIMEOUT
        return hard, RemovedReason.HARD_TIMEOUT

    def evolve(
        self, instructions: Instructions, cookie: int, counters: Counters, now: float
    ) -> Rule:
        """This rule as a MODIFY leaves it; where that succeeds, the hardware has it again."""
        return Rule(
            self.handle,
            self.table_id,
            self.priority,
            self.match,
            instructions,
            cookie,
            self.idle_timeout,
            self.hard_timeout,
            self.flags,
            counters,
            self.created,
            now,
        )
