"""What the hardware has of an earlier run, as what a DELETE of everything means, too.

Nothing is known of it here, but that some drivers have such rules
(:class:`drivers.abilities.ILeftovers`) and are told by an operation like any other to delete them,
so that a barrier waits for that.  It is in no table, and no controller hears of it.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs
from zope.interface import implementer

from agent.ofproto.operations import Operation
from agent.openflow.errors import FLOW_MOD_UNKNOWN
from drivers.abilities import ILeftRules
from drivers.interfaces import OperationKind, Target


@implementer(ILeftRules)
@attrs.define(eq=False)
class LeftRules:
    """What is left in some tables."""

    handle: int
    tables: Collection[int]


class Leftovers:
    """Where that is (:class:`agent.ofproto.operations.Place`)."""

    name = "of an earlier run"
    target = Target.LEFT
    failure = FLOW_MOD_UNKNOWN

    def deletion(self, handle: int, tables: Collection[int]) -> Operation:
        """The operation that deletes what is left in some tables.

        :param handle: which nothing else has or will have.
        """
        left = LeftRules(handle, tables)
        return Operation(OperationKind.DELETE, left, left, self)

    def begin(self, operation: Operation) -> None:
        """There is nothing to be changed here, nor in the end."""

    def revert(self, operation: Operation) -> None:
        """See :meth:`begin`."""

    def end(self, operation: Operation) -> None:
        """See :meth:`begin`."""

    def doubt(self, operation: Operation, reason: str) -> Operation | None:
        """The controller is told that it failed."""
        return None
