"""The parts of the agent that change rules by themselves, as the switch sees them."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import OperationGroup
from agent.openflow.constants import OFP13
from agent.openflow.errors import BUFFER_UNKNOWN, OpenFlowError


@implementer(IRequester)
class Internal:
    """A part of the agent that changes rules by itself: expiry, flush, in-band control.

    :ivar name: for logs and for the operator.
    """

    internal = True
    invalid_ttl = False
    slave = False
    n_buffers = 0

    def __init__(
        self,
        name: str,
        ended: Callable[[OperationGroup], None] | None = None,
        version: int = OFP13,
    ) -> None:
        self.name = name
        self.version = version
        self.miss_send_len = 0
        self._ended = ended

    def retrieve_buffer(self, buffer_id: int) -> tuple[bytes, int]:
        """See :class:`agent.ofproto.interfaces.IRequester`, like the rest: there are none."""
        raise OpenFlowError(BUFFER_UNKNOWN, f"buffer {buffer_id:#x}")

    def group_ended(self, group: OperationGroup) -> None:
        """Pass it on."""
        if self._ended is not None:
            self._ended(group)
