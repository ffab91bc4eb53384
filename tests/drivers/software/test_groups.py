"""Tests of :mod:`drivers.software.groups`."""

from __future__ import annotations

from collections import Counter

from agent.openflow.actions import (
    Action,
    ApplyActions,
    DecNwTtl,
    GroupAction,
    MeterInstruction,
    Output,
    PushVlan,
    SetField,
    WriteActions,
)
from agent.openflow.fields import FIELDS
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.messages import PacketInReason, Port
from agent.packet.flowkey import flow_key
from drivers.interfaces import OptionError
from drivers.software.driver import create
from drivers.software.groups import DEEPEST, MOST
from drivers.software.port import PORT_DOWN
from drivers.testing import FakeEntry, FakeGroup, FakeMeter, FakeOperation
from drivers.testing.frames import FRAME
from tests.drivers.software.test_pipeline import PipelineCase

ALL, SELECT, INDIRECT, FF = GroupType
OTHER = SetField(FIELDS["eth_dst"], 0x020000000009)


def bucket(*actions: Action, **fields: int) -> Bucket:
    """A bucket with these actions."""
    return Bucket(actions=actions, **fields)


def flow(number: int) -> bytes:
    """A packet of the flow of this number."""
    return FRAME[:26] + number.to_bytes(4, "big") + FRAME[30:]


class GroupCase(PipelineCase):
    """A datapath with one rule, which hands everything to group 1."""

    def setUp(self) -> None:
        """Add the rule; the group comes later, which only here can be."""
        super().setUp()
        self.rule = self.add(ApplyActions((GroupAction(1),)), cookie=7)

    def group(self, number: int, kind: GroupType, *buckets: Bucket) -> FakeGroup:
        """Add a group."""
        group = FakeGroup(number, kind, buckets)
        operation = FakeOperation.add(group)
        self.driver.submit([operation])
        self.assertTrue(operation.succeeded)
        return group


class ExecutionTests(GroupCase):
    """What becomes of a packet in a group."""

    def test_all(self) -> None:
        """ALL executes every bucket, each on a copy of the packet."""
        group = self.group(1, ALL, bucket(OTHER, Output(2)), bucket(Output(3)), bucket())
        sent = self.send()
        self.assertEqual(set(sent), {2, 3})
        self.assertEqual(sent[3], [FRAME])
        self.assertNotEqual(sent[2], [FRAME])
        counted = [(counters.packets, counters.bytes) for counters in group.bucket_counters]
        self.assertEqual(counted, [(1, len(FRAME))] * 3)
        self.assertEqual((group.counters.packets, group.counters.bytes), (1, len(FRAME)))

    def test_indirect(self) -> None:
        """INDIRECT executes its only bucket."""
        self.group(1, INDIRECT, bucket(Output(4)))
        self.assertEqual(self.send(), {4: [FRAME]})

    def test_back(self) -> None:
        """As elsewhere a packet does not go back by its port's number."""
        self.group(1, ALL, bucket(Output(1)), bucket(Output(Port.IN_PORT)))
        self.assertEqual(self.send(), {1: [FRAME]})

    def test_not_there(self) -> None:
        """A group that is not there, and one without buckets, drop."""
        self.assertEqual(self.send(), {})
        for kind in GroupType:
            self.group(1, kind)
            self.assertEqual(self.send(), {})

    def test_order_of_set(self) -> None:
        """A bucket is an action set: whatever the order, the packet is changed before it goes."""
        self.group(1, INDIRECT, bucket(Output(2), OTHER))
        self.assertEqual(self.send()[2][0][:6], b"\x02\0\0\0\0\x09")

    def test_list_goes_on(self) -> None:
        """What follows a group in a list sees the packet as it was before."""
        self.group(2, INDIRECT, bucket(PushVlan(0x8100), OTHER, Output(2)))
        self.add(ApplyActions((GroupAction(2), Output(3))), in_port=1, priority=0xFFFF)
        sent = self.send()
        self.assertEqual((set(sent), sent[3]), ({2, 3}, [FRAME]))

    def test_set_ends(self) -> None:
        """In an action set a group is the last thing: an output there is ignored."""
        self.group(1, INDIRECT, bucket(Output(2)))
        self.add(WriteActions((Output(3), GroupAction(1), OTHER)), in_port=1, priority=0xFFFF)
        sent = self.send()
        self.assertEqual(set(sent), {2})
        self.assertEqual(sent[2][0][:6], b"\x02\0\0\0\0\x09")

    def test_ttl(self) -> None:
        """A packet that may live no longer ends in its bucket, and only there."""
        self.group(1, ALL, bucket(DecNwTtl(), Output(2)), bucket(Output(3)))
        frame = FRAME[:22] + b"\x01" + FRAME[23:]
        self.assertEqual(self.send(frame), {3: [frame]})
        (event,) = self.host.packet_ins
        self.assertIs(event.reason, PacketInReason.INVALID_TTL)

    def test_packet_in(self) -> None:
        """A packet that a bucket sends to the controllers is that of the rule."""
        self.group(1, ALL, bucket(Output(Port.CONTROLLER, 0xFFFF)))
        self.send()
        (event,) = self.host.packet_ins
        self.assertEqual((event.cookie, event.table_id, event.data), (7, 0, FRAME))

    def test_packet_out(self) -> None:
        """A packet-out can name a group."""
        self.group(1, INDIRECT, bucket(Output(2)))
        self.driver.packet_out(FRAME, Port.CONTROLLER, (GroupAction(1),))
        self.assertEqual(self.sent(), {2: [FRAME]})

    def test_modify_and_delete(self) -> None:
        """A group changes for all rules at once; a deleted one is no more."""
        group = self.group(1, INDIRECT, bucket(Output(2)))
        new = group.modified(ALL, bucket(Output(3)), bucket(Output(4)))
        self.driver.submit([FakeOperation.change(group, new)])
        self.assertEqual(set(self.send()), {3, 4})
        self.driver.submit([FakeOperation.delete(new)])
        self.assertEqual(self.send(), {})
        self.assertEqual(self.driver.show()["groups"], 0)


class ChainTests(GroupCase):
    """Groups of groups."""

    def test_chain(self) -> None:
        """A bucket hands the packet on as it has made it."""
        self.group(1, ALL, bucket(OTHER, GroupAction(2)), bucket(Output(3)))
        inner = self.group(2, INDIRECT, bucket(Output(2)))
        sent = self.send()
        self.assertEqual(sent[2][0][:6], b"\x02\0\0\0\0\x09")
        self.assertEqual(sent[3], [FRAME])
        self.assertEqual(inner.counters.packets, 1)

    def test_multiplied(self) -> None:
        """What one packet may cause is limited, and the next one starts anew."""
        for number in range(1, 10):
            self.group(number, ALL, *[bucket(GroupAction(number + 1))] * 4)
        last = self.group(10, INDIRECT, bucket(Output(2)))
        for packets in (1, 2):
            self.send()
            self.assertEqual(self.driver.pipeline.groups.cut_short > 0, True)
            self.assertLess(last.counters.packets, packets * MOST)
        self.driver.submit([FakeOperation.delete(FakeGroup(2))])
        before = self.driver.pipeline.groups.cut_short
        self.send()
        self.assertEqual(self.driver.pipeline.groups.cut_short, before)

    def test_loop(self) -> None:
        """A loop, which the agent does not make, comes to an end."""
        one = self.group(1, INDIRECT, bucket(GroupAction(2)))
        two = self.group(2, INDIRECT, bucket(GroupAction(1)))
        self.send()
        self.assertEqual(one.counters.packets + two.counters.packets, DEEPEST)


class SelectTests(GroupCase):
    """Sharing out by weights."""

    WEIGHTS = (bucket(Output(2), weight=1), bucket(Output(3), weight=3), bucket(Output(4)))

    def spread(self, *frames: bytes) -> Counter[int]:
        """How many of these packets go to which port."""
        counts: Counter[int] = Counter()
        for frame in frames:
            counts.update({port: len(sent) for port, sent in self.send(frame).items()})
        return counts

    def test_flow(self) -> None:
        """Packets of one flow stay together, whatever else is different about them."""
        self.group(1, SELECT, *self.WEIGHTS)
        other = FRAME[:22] + b"\x07" + FRAME[23:-1] + b"!"
        self.assertEqual(len(self.spread(*[FRAME, other] * 10)), 1)

    def test_weights(self) -> None:
        """Many flows are shared out by the weights; a bucket without any weight has none."""
        group = self.group(1, SELECT, *self.WEIGHTS)
        counts = self.spread(*(flow(number) for number in range(2000)))
        self.assertEqual(counts[2] + counts[3], 2000)
        self.assertApproximates(counts[3] / 2000, 0.75, 0.03)
        self.assertEqual(group.bucket_counters[1].packets, counts[3])

    def test_chained_hashes(self) -> None:
        """Two groups in a chain do not decide alike."""
        even = (bucket(GroupAction(2), weight=1), bucket(GroupAction(3), weight=1))
        self.group(1, SELECT, *even)
        self.group(2, SELECT, bucket(Output(2), weight=1), bucket(Output(3), weight=1))
        self.group(3, INDIRECT, bucket())
        counts = self.spread(*(flow(number) for number in range(2000)))
        for port in (2, 3):
            self.assertApproximates(counts[port] / 2000, 0.25, 0.03)

    def test_by_packet(self) -> None:
        """By packet, a single flow is shared out exactly, and well mixed."""
        self.driver = create(
            {"select": "packet", "tables": 1}, [FakeEntry(f"p{n}", n) for n in (1, 2, 3, 4)], []
        )
        self.driver.start(self.host)
        self.add(ApplyActions((GroupAction(1),)))
        self.group(1, SELECT, *self.WEIGHTS)
        self.assertEqual(self.spread(*[FRAME] * 400), {2: 100, 3: 300})
        for _ in range(20):
            self.assertEqual(self.spread(*[FRAME] * 4), {2: 1, 3: 3})

    def test_no_weights(self) -> None:
        """Where nothing has a weight, nothing goes anywhere."""
        self.group(1, SELECT, bucket(Output(2)), bucket(Output(3)))
        self.assertEqual(self.spread(FRAME), {})

    def test_liveness(self) -> None:
        """Only what is live is shared out to."""
        self.group(
            1, SELECT, bucket(Output(2), weight=1, watch_port=2), bucket(Output(3), weight=1)
        )
        frames = [flow(number) for number in range(100)]
        self.assertEqual(set(self.spread(*frames)), {2, 3})
        self.port(2).set_link(False)
        self.assertEqual(self.spread(*frames), {3: 100})

    def test_option(self) -> None:
        """There are two ways."""
        error = self.assertRaises(OptionError, create, {"select": "dice"}, [], [])
        self.assertEqual(error.key, "select")


class FailoverTests(GroupCase):
    """Fast failover."""

    def setUp(self) -> None:
        """Ports 2 and 3, then whatever group 9 has, then nothing."""
        super().setUp()
        self.group(
            1,
            FF,
            bucket(Output(2), watch_port=2),
            bucket(Output(3), watch_port=3),
            bucket(GroupAction(9), watch_group=9),
        )

    def test_first_live(self) -> None:
        """The first live bucket is used; a port that is down or has no link is not live."""
        self.assertEqual(set(self.send()), {2})
        self.port(2).set_link(False)
        self.assertEqual(set(self.send()), {3})
        self.driver.port_mod(3, PORT_DOWN, PORT_DOWN)
        self.assertEqual(self.send(), {})
        self.port(2).set_link(True)
        self.assertEqual(set(self.send()), {2})

    def test_group(self) -> None:
        """A group is live when one of its buckets is; one without buckets, or none, is not."""
        for number in (2, 3):
            self.port(number).set_link(False)
        self.group(9, ALL)
        self.assertEqual(self.send(), {})
        self.group(9, FF, bucket(Output(4), watch_port=4))
        self.assertEqual(set(self.send()), {4})
        self.port(4).set_link(False)
        self.assertEqual(self.send(), {})
        self.group(9, INDIRECT, bucket(Output(4)))
        self.assertEqual(self.driver.pipeline.groups.live(9), True)

    def test_either(self) -> None:
        """A bucket that watches a port and a group is live when either is."""
        self.group(1, FF, bucket(Output(4), watch_port=2, watch_group=9))
        self.port(2).set_link(False)
        self.assertEqual(self.send(), {})
        self.group(9, INDIRECT, bucket(Output(3)))
        self.assertEqual(set(self.send()), {4})

    def test_no_port(self) -> None:
        """A port that is not there is not live; groups that watch each other come to an end."""
        self.group(1, FF, bucket(Output(2), watch_port=77), bucket(Output(3), watch_group=1))
        self.assertEqual(self.send(), {})


class HashTests(GroupCase):
    """What a flow is."""

    def test_ports(self) -> None:
        """Transport ports tell flows apart."""
        self.group(1, SELECT, bucket(Output(2), weight=1), bucket(Output(3), weight=1))
        found = set()
        for number in range(50):
            changed = FRAME[:34] + (1000 + number).to_bytes(2, "big") + FRAME[36:]
            found |= set(self.send(changed))
        self.assertEqual(found, {2, 3})


class TraceTests(GroupCase):
    """What ofproto/trace tells of groups and meters."""

    def test_trace(self) -> None:
        """It goes through buckets as packets do, and neither counts nor sends anything."""
        self.add(
            MeterInstruction(1),
            ApplyActions((Output(4), GroupAction(1))),
            in_port=1,
            priority=0xFFFF,
        )
        group = self.group(1, ALL, bucket(Output(2), OTHER), bucket(GroupAction(2)))
        self.group(2, INDIRECT, bucket(Output(3)))
        self.driver.submit([FakeOperation.add(meter := FakeMeter(1))])
        trace = self.driver.trace(FRAME, flow_key(FRAME, 1))
        self.assertEqual(
            [node.text for node in trace.walk()][1:],
            [
                "meter:1",
                "output:4",
                "group:1",
                "set_field:02:00:00:00:00:09->eth_dst",
                "output:2",
                "group:2",
                "output:3",
            ],
        )
        self.assertEqual([action for action in trace.actions if "(" not in action], ["4", "2", "3"])
        self.assertEqual((group.counters.packets, meter.counters.packets), (0, 0))
        self.assertEqual(group.bucket_counters[0].packets, 0)
        self.assertEqual(self.sent(), {})
