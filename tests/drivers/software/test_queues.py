"""Tests of queues: which one a packet is sent by, and what they count."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from agent.openflow.actions import (
    Action,
    ApplyActions,
    Enqueue,
    GotoTable,
    GroupAction,
    Output,
    SetQueue,
    WriteActions,
)
from agent.openflow.group_messages import Bucket
from agent.openflow.messages import Port
from agent.openflow.nx_actions import PopQueue, Resubmit
from agent.packet.flowkey import flow_key
from drivers.abilities import IQueues
from drivers.software.port import PORT_DOWN, QueueCounters, queue_priority
from drivers.testing import FakeGroup, FakeOperation
from drivers.testing.frames import FRAME
from tests.drivers.software.test_pipeline import PipelineCase


class QueueCase(PipelineCase):
    """Ports 2 and 3 have the queues 1 and 5, the others none."""

    def setUp(self) -> None:
        """They are empty."""
        super().setUp()
        for number in (2, 3):
            self.port(number).queues = {1: QueueCounters(), 5: QueueCounters()}

    def counted(self, *actions: Action) -> dict[tuple[int, int], int]:
        """Let a frame meet these actions; returns what the queues have counted, if anything."""
        self.add(ApplyActions(actions))
        self.send()
        return self.packets()

    def packets(self) -> dict[tuple[int, int], int]:
        """The packets that queues have sent, by port and queue."""
        stats = self.successResultOf(self.driver.queue_stats())
        for each in stats:
            self.assertEqual(each.tx_bytes, each.tx_packets * len(FRAME))
        return {(q.port_no, q.queue_id): q.tx_packets for q in stats if q.tx_packets}


class ChoiceTests(QueueCase):
    """Which queue a packet is sent by."""

    def test_none(self) -> None:
        """By none, unless something says so."""
        verifyObject(IQueues, self.driver)
        self.assertEqual(self.driver.queues(), {2: (1, 5), 3: (1, 5)})
        self.assertEqual(self.counted(Output(2), Output(3)), {})

    def test_set_queue(self) -> None:
        """SET_QUEUE is about all outputs that follow it, until the next or POP_QUEUE."""
        actions = (Output(2), SetQueue(1), Output(2), Output(3), SetQueue(5), Output(3))
        self.assertEqual(
            self.counted(*actions, PopQueue(), Output(3)), {(2, 1): 1, (3, 1): 1, (3, 5): 1}
        )

    def test_enqueue(self) -> None:
        """ENQUEUE is about its own output."""
        self.assertEqual(
            self.counted(SetQueue(5), Enqueue(2, 1), Output(3)), {(2, 1): 1, (3, 5): 1}
        )

    def test_every_output(self) -> None:
        """It does not matter what the output is."""
        for number, port in enumerate((Port.FLOOD, Port.ALL, Port.NORMAL), 1):
            self.assertEqual(
                self.counted(SetQueue(1), Output(port)), {(2, 1): number, (3, 1): number}
            )
        self.add(ApplyActions((SetQueue(5), Output(Port.IN_PORT))), priority=0x9000, in_port=2)
        self.send(in_port=2)
        self.assertEqual(self.packets()[2, 5], 1)

    def test_no_such_queue(self) -> None:
        """A port that has not the queue sends the packet all the same."""
        self.add(ApplyActions((SetQueue(7), Output(2), SetQueue(1), Output(4))))
        self.assertEqual(set(self.send()), {2, 4})
        self.assertEqual(self.packets(), {})

    def test_action_set(self) -> None:
        """In an action set it comes before the output, whatever was written first."""
        self.add(WriteActions((Output(2), SetQueue(1))), GotoTable(1))
        self.add(table_id=1)
        self.send()
        self.assertEqual(self.packets(), {(2, 1): 1})

    def test_beyond_the_rule(self) -> None:
        """It goes with the packet: to later tables, resubmits and into groups; what a bucket
        chooses is not seen outside."""
        bucket = Bucket(actions=(Output(2),))
        other = Bucket(actions=(SetQueue(5), Output(3)))
        self.driver.submit([FakeOperation.add(FakeGroup(1, buckets=(bucket, other)))])
        self.add(ApplyActions((SetQueue(1), GroupAction(1), Resubmit(table_id=2))), GotoTable(1))
        self.add(ApplyActions((Output(3),)), table_id=1)
        self.add(ApplyActions((Output(2),)), table_id=2)
        self.send()
        self.assertEqual(self.packets(), {(2, 1): 2, (3, 5): 1, (3, 1): 1})

    def test_next_packet(self) -> None:
        """The next packet starts anew."""
        self.add(ApplyActions((SetQueue(1), Output(2))), in_port=1)
        self.add(ApplyActions((PopQueue(), Output(2))), in_port=4)
        for in_port in (1, 4):
            self.send(in_port=in_port)
        self.assertEqual(self.packets(), {(2, 1): 1})

    def test_errors(self) -> None:
        """What the port does not send is an error of the queue's."""
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.assertEqual(self.counted(SetQueue(1), Output(2)), {})
        stats = self.successResultOf(self.driver.queue_stats())
        self.assertEqual([q.tx_errors for q in stats], [1, 0, 0, 0])

    def test_duration(self) -> None:
        """Queues are as old as their ports."""
        self.host.reactor.advance(2.5)
        (stats, *_) = self.successResultOf(self.driver.queue_stats())
        self.assertEqual((stats.duration_sec, stats.duration_nsec), (2, 500_000_000))

    def test_trace(self) -> None:
        """A trace says which priority that means, where the port has the queue, and counts
        nothing."""
        self.add(
            ApplyActions((SetQueue(1), Output(2), Output(3), Output(4), SetQueue(7), Output(2)))
        )
        self.assertEqual(
            self.driver.trace(FRAME, flow_key(FRAME, 1)).actions,
            ["set(skb_priority(0x10002))", "2", "3", "set(skb_priority(0))", "4", "2"],
        )
        self.assertEqual(self.packets(), {})

    def test_priority(self) -> None:
        """The first queue is the class 1:1, as in Open vSwitch."""
        self.assertEqual(queue_priority(0), 0x10001)
