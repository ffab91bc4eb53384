"""Tests of :mod:`agent.ofproto.queues`, through the switch that it is a part of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from agent.ofproto.ofproto import OFProto
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Enqueue, Output, SetQueue
from agent.openflow.match import MATCH_ALL, Match
from drivers.abilities import IQueues
from drivers.testing import ScriptableDriver
from tests.ofproto.stage import ADD, SwitchTestCase


@implementer(IQueues)
class QueueDriver(ScriptableDriver):
    """A driver whose port 2 has the queues 1 and 5."""

    def queues(self) -> Mapping[int, Sequence[int]]:
        """See :class:`drivers.abilities.IQueues`."""
        return {2: (1, 5)}

    def queue_stats(self) -> Deferred[list[of.QueueStats]]:
        """Each has sent as many packets as its number says."""
        return succeed([of.QueueStats(2, queue, tx_packets=queue) for queue in (1, 5)])


class QueueTests(SwitchTestCase):
    """Requests to a switch with such a driver."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        driver = QueueDriver()
        verifyObject(IQueues, driver)
        self.switch = OFProto("br0", 1, driver, self.clock)
        self.switch.observer = self.observer
        self.switch.start()

    def counted(self, port: int, queue: int = of.ANY) -> list[int]:
        """The packets of the queues that a request is about."""
        reply = self.handle(of.QueueStatsRequest(port, queue, 3))
        if isinstance(reply, Deferred):
            reply = self.successResultOf(reply)
        self.assertEqual(reply.xid, 3)
        return [each.tx_packets for each in reply.queues]

    def test_config(self) -> None:
        """A port's queues, or those of all; a port has none, or is not there."""
        queues = (of.PacketQueue(1, 2), of.PacketQueue(5, 2))
        for port, expected in ((2, queues), (of.ANY, queues), (of.Port.ALL, queues), (1, ())):
            self.assertEqual(
                self.handle(of.QueueGetConfigRequest(port, 4)),
                of.QueueGetConfigReply(port, expected, 4),
            )
        self.refused(errors.QUEUE_BAD_PORT, self.handle, of.QueueGetConfigRequest(9))

    def test_stats(self) -> None:
        """One port or all, one queue or all."""
        for port in (2, of.ANY, of.Port.ALL):
            self.assertEqual(self.counted(port), [1, 5])
            self.assertEqual(self.counted(port, 5), [5])
        self.assertEqual(self.counted(1), [])

    def test_stats_refused(self) -> None:
        """A port that is not there, and a queue that is nowhere, or not there."""
        self.refused(errors.QUEUE_BAD_PORT, self.handle, of.QueueStatsRequest(9))
        for port in (1, 2, of.ANY):
            self.refused(errors.QUEUE_BAD_QUEUE, self.handle, of.QueueStatsRequest(port, 3))
        self.refused(errors.QUEUE_BAD_QUEUE, self.handle, of.QueueStatsRequest(1, 1))

    def test_actions(self) -> None:
        """An action may choose a queue that is there; ENQUEUE one of its port, and ports without
        queues do not care."""
        good: tuple[Any, ...] = (SetQueue(1), SetQueue(5), Enqueue(2, 5), Enqueue(1, 3))
        for number, action in enumerate(good):
            instructions = (ApplyActions((action, Output(2))),)
            self.send(ADD, Match.of(in_port=number), self.old, instructions=instructions)
            self.handle(of.PacketOut(of.NO_BUFFER, 1, (action,), b""))
        bad: tuple[Any, ...] = (SetQueue(2), SetQueue(0xFFFFFFFF), Enqueue(2, 3))
        for action in bad:
            request = of.FlowMod(ADD, MATCH_ALL, instructions=(ApplyActions((action,)),))
            self.refused(errors.BAD_QUEUE, self.handle, request)
            packet_out = of.PacketOut(of.NO_BUFFER, 1, (action,), b"")
            self.refused(errors.BAD_QUEUE, self.handle, packet_out)


class NoQueuesTests(SwitchTestCase):
    """Requests to a switch whose driver knows of no queues."""

    def test_none(self) -> None:
        """There are none, of ports that there are."""
        for port in (1, of.ANY, of.Port.ALL):
            self.assertEqual(
                self.handle(of.QueueStatsRequest(port, xid=3)), of.QueueStatsReply([], 3)
            )
            self.assertEqual(
                self.handle(of.QueueGetConfigRequest(port, 3)), of.QueueGetConfigReply(port, (), 3)
            )
        self.refused(errors.QUEUE_BAD_PORT, self.handle, of.QueueStatsRequest(9))
        self.refused(errors.QUEUE_BAD_PORT, self.handle, of.QueueGetConfigRequest(9))
        self.refused(errors.QUEUE_BAD_QUEUE, self.handle, of.QueueStatsRequest(1, 0))

    def test_actions(self) -> None:
        """Actions may choose any, as in Open vSwitch."""
        for number, action in enumerate((SetQueue(7), Enqueue(2, 7))):
            instructions = (ApplyActions((action,)),)
            sent = self.send(ADD, Match.of(in_port=number), self.old, instructions=instructions)
            self.assertIsNotNone(sent)
