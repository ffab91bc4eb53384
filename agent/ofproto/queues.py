"""The queues of ports: what there are, and what is asked of them.

Queues are configured, not made by OpenFlow.  Where no port has any, SET_QUEUE and ENQUEUE are
accepted and choose nothing, as in Open vSwitch without QoS; where there are some, a number that is
none of theirs is a mistake of the controller's, and said to be one.

Source: OpenFlow 1.3.5 sections 7.2.2, 7.3.5.8 and 7.3.6; OpenFlow 1.0.1 sections 5.3.4 and 5.3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from agent.ofproto.interfaces import IRequester
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import Enqueue, SetQueue
from agent.openflow.errors import OpenFlowError
from drivers.abilities import IQueues
from drivers.interfaces import IDriver

EVERY_PORT = (of.ANY, of.Port.ALL)
"""What requests mean all ports by, in one version or the other."""


class Queues:
    """The queues of a bridge."""

    def __init__(self, driver: IDriver, exists: Callable[[int], bool]) -> None:
        """Of a driver that need not have any.

        :param exists: whether there is such a port.
        """
        self._source = IQueues(driver, None)
        self._exists = exists

    def handlers(self) -> dict[type, Callable[[Any, IRequester], Any]]:
        """What answers each kind of request; see :meth:`agent.ofproto.ofproto.OFProto.handle`."""
        return {
            of.QueueStatsRequest: lambda request, _: self.stats(request),
            of.QueueGetConfigRequest: lambda request, _: self.config(request),
        }

    def _queues(self) -> Mapping[int, Sequence[int]]:
        found: Mapping[int, Sequence[int]] = {}
        if self._source is not None:
            found = self._source.queues()
        return found

    def check(self, action: Enqueue | SetQueue) -> None:
        """Check that a queue is there which an action chooses.

        :raises OpenFlowError: BAD_ACTION/BAD_QUEUE.
        """
        queues = self._queues()
        queue = action.queue_id
        if isinstance(action, Enqueue):
            known = queues.get(action.port)
            if known is not None and queue not in known:
                raise OpenFlowError(errors.BAD_QUEUE, f"port {action.port}, queue {queue}")
        elif queues and not any(queue in known for known in queues.values()):
            raise OpenFlowError(errors.BAD_QUEUE, f"no port has a queue {queue}")

    def config(self, request: of.QueueGetConfigRequest) -> of.QueueGetConfigReply:
        """Answer QUEUE_GET_CONFIG; the rates are the device's affair and not known here.

        :raises OpenFlowError: QUEUE_OP_FAILED/BAD_PORT.
        """
        self._check_port(request.port)
        found = tuple(
            of.PacketQueue(queue, port)
            for port, queues in self._queues().items()
            if request.port in (port, *EVERY_PORT)
            for queue in queues
        )
        return of.QueueGetConfigReply(request.port, found, request.xid)

    def stats(
        self, request: of.QueueStatsRequest
    ) -> of.QueueStatsReply | Deferred[of.QueueStatsReply]:
        """Answer a request for the statistics of queues.

        :raises OpenFlowError: QUEUE_OP_FAILED/BAD_PORT or BAD_QUEUE.
        """
        port, queue = request.port_no, request.queue_id
        self._check_port(port)
        wanted = {
            (number, each)
            for number, queues in self._queues().items()
            if port in (number, *EVERY_PORT)
            for each in queues
            if queue in (each, of.ANY)
        }
        if not wanted and queue != of.ANY:
            raise OpenFlowError(errors.QUEUE_BAD_QUEUE, f"queue {queue}")
        if self._source is None or not wanted:
            return of.QueueStatsReply([], request.xid)
        counted: Deferred[list[of.QueueStats]] = self._source.queue_stats()
        return counted.addCallback(
            lambda queues: of.QueueStatsReply(
                [each for each in queues if (each.port_no, each.queue_id) in wanted], request.xid
            )
        )

    def _check_port(self, number: int) -> None:
        if number not in EVERY_PORT and not self._exists(number):
            raise OpenFlowError(errors.QUEUE_BAD_PORT, f"port {number}")
