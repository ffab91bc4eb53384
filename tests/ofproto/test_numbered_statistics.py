"""Tests of :mod:`agent.ofproto.numbered_statistics`."""

from __future__ import annotations

from typing import Any

from agent.openflow import errors
from agent.openflow import group_messages as gm
from agent.openflow import messages as of
from agent.openflow.actions import GroupAction, Output
from agent.openflow.actions13 import ActionType
from agent.openflow.codec import decode, encode
from tests.ofproto.numbered import (
    DROP,
    G_ADD,
    NumberedTestCase,
    bucket,
    group_mod,
    meter_mod,
    metered,
    to_group,
)
from tests.ofproto.stage import PORT1, PORT2, SwitchTestCase

UNKNOWN = (1 << 64) - 1
PLAIN = bucket()
CHAIN = bucket(GroupAction(1))


class StatisticsTests(NumberedTestCase):
    """Groups 1 and 2, the second forwarding to the first; and meter 1."""

    def setUp(self) -> None:
        """Make them, and rules that name them."""
        super().setUp()
        self.do(group_mod(G_ADD, 1, PLAIN))
        self.do(group_mod(G_ADD, 2, CHAIN, CHAIN))
        self.do(meter_mod(G_ADD, 1, DROP))
        self.add(PORT1, instructions=to_group(1, 1))
        self.add(PORT2, instructions=to_group(1))
        self.add(PORT2, priority=1, instructions=metered(1))

    def reply(self, request: Any) -> Any:
        """The reply to a request, at once or by a Deferred that has fired."""
        result = self.handle(request)
        return self.successResultOf(result) if hasattr(result, "addCallback") else result

    def test_groups(self) -> None:
        """A group tells what it counted, its age, and how many rules and groups lead to it."""
        first = self.switch.group_mods.table.entries[1]
        first.counters.packets, first.counters.bytes = 7, 700
        first.bucket_counters[0].packets = 6
        seconds = int(self.clock.seconds() - first.created)
        reply = self.reply(gm.GroupStatsRequest(xid=5))
        self.assertEqual([group.group_id for group in reply.groups], [1, 2])
        one, two = reply.groups
        self.assertEqual((one.packet_count, one.byte_count, one.buckets), (7, 700, ((6, 0),)))
        self.assertEqual((one.ref_count, two.ref_count, one.duration_sec), (3, 0, seconds))
        self.assertEqual(reply.xid, 5)

    def test_one_group(self) -> None:
        """One group can be asked for; of one that is not there, there is nothing to say."""
        self.driver.refreshed.clear()
        (only,) = self.reply(gm.GroupStatsRequest(2)).groups
        self.assertEqual((only.group_id, only.buckets), (2, ((0, 0), (0, 0))))
        self.assertEqual(
            [[entry.handle for entry in call] for call in self.driver.refreshed],
            [[self.switch.group_mods.table.entries[2].handle]],
        )
        self.assertEqual(self.reply(gm.GroupStatsRequest(3)).groups, [])

    def test_pending(self) -> None:
        """What is in flight is shown as it was asked for."""
        self.begin(group_mod(G_ADD, 3, PLAIN))
        self.assertEqual(len(self.reply(gm.GroupStatsRequest()).groups), 3)
        self.driver.finish_all()

    def test_slow(self) -> None:
        """The answer comes when the driver has brought the counters up to date."""
        self.driver.hold_reads = True
        results = [self.handle(gm.GroupStatsRequest()), self.handle(gm.MeterStatsRequest())]
        for result in results:
            self.assertNoResult(result)
        self.switch.group_mods.table.entries[1].counters.packets = 4
        self.driver.finish_reads()
        groups, meters = (self.successResultOf(result) for result in results)
        self.assertEqual(groups.groups[0].packet_count, 4)
        self.assertEqual(len(meters.meters), 1)

    def test_group_desc(self) -> None:
        """Groups are described as they were made."""
        self.assertEqual(
            self.reply(gm.GroupDescRequest(4)),
            gm.GroupDescReply(
                [gm.GroupDesc(0, 1, (PLAIN,)), gm.GroupDesc(0, 2, (CHAIN, CHAIN))], 4
            ),
        )

    def test_group_features(self) -> None:
        """What groups can do is the driver's."""
        reply = self.reply(gm.GroupFeaturesRequest(4))
        self.assertEqual((reply.types, reply.max_groups), (0xF, (4,) * 4))
        self.assertEqual(
            reply.capabilities,
            gm.GroupCapabilities.SELECT_WEIGHT
            | gm.GroupCapabilities.CHAINING
            | gm.GroupCapabilities.CHAINING_CHECKS,
        )
        self.assertTrue(all(bits >> ActionType.GROUP & 1 for bits in reply.actions))

    def test_meters(self) -> None:
        """A meter tells what it and its bands counted, and how many rules have it."""
        meter = self.switch.meter_mods.table.entries[1]
        meter.counters.packets, meter.counters.bytes = 7, 700
        meter.band_counters[0].packets, meter.band_counters[0].bytes = 3, 300
        for request in (gm.MeterStatsRequest(), gm.MeterStatsRequest(1)):
            (stats,) = self.reply(request).meters
            self.assertEqual((stats.meter_id, stats.flow_count), (1, 1))
            self.assertEqual((stats.packet_in_count, stats.byte_in_count), (7, 700))
            self.assertEqual(stats.bands, ((3, 300),))

    def test_unknown_bytes(self) -> None:
        """What is not known stays so, though something was added to it; the reply can be sent."""
        meter = self.switch.meter_mods.table.entries[1]
        meter.band_counters[0].bytes = UNKNOWN + 300
        reply = self.reply(gm.MeterStatsRequest(1))
        self.assertEqual(reply.meters[0].bands, ((0, UNKNOWN),))
        sent: Any = decode(of.OFP13, encode(of.OFP13, reply))
        self.assertEqual(sent.meters, reply.meters)

    def test_meter_config(self) -> None:
        """Meters are described as they were made."""
        config = gm.MeterConfig(gm.MeterFlags.KBPS, 1, (DROP,))
        for number in (1, gm.METER_ALL):
            self.assertEqual(
                self.reply(gm.MeterConfigRequest(number, 4)), gm.MeterConfigReply([config], 4)
            )

    def test_unknown_meter(self) -> None:
        """Of a meter that is not there, nothing can be said."""
        for request in (gm.MeterStatsRequest(9), gm.MeterConfigRequest(9)):
            self.refused(errors.UNKNOWN_METER, self.handle, request)

    def test_meter_features(self) -> None:
        """What meters can do is the driver's."""
        reply = self.reply(gm.MeterFeaturesRequest(4))
        self.assertEqual(
            (reply.max_meter, reply.band_types, reply.capabilities, reply.max_bands, reply.xid),
            (3, 0b110, 0xF, 2, 4),
        )

    def test_switch_features(self) -> None:
        """A switch with groups says that it counts them."""
        self.assertTrue(self.reply(of.FeaturesRequest()).capabilities & 8)

    def test_degraded(self) -> None:
        """A driver can say that a group or a meter is not as it should be, and that it is again."""
        entries: list[Any] = [*self.switch.groups(), *self.switch.meters()]
        for entry in entries:
            self.switch.degraded(entry.handle, "lost")
            self.assertEqual(entry.degraded, "lost")
            self.switch.restored(entry.handle)
            self.assertEqual(entry.degraded, "")


class NoneTests(SwitchTestCase):
    """A driver with neither groups nor meters."""

    def test_nothing(self) -> None:
        """There is nothing, and nothing can be done."""
        groups = self.successResultOf(self.handle(gm.GroupStatsRequest()))
        self.assertEqual(groups.groups, [])
        self.assertEqual(self.handle(gm.GroupDescRequest()).groups, [])
        features = self.handle(gm.GroupFeaturesRequest())
        self.assertEqual((features.types, features.capabilities), (0, 0))
        self.assertEqual(features.max_groups, (0,) * 4)
        self.assertEqual(self.handle(gm.MeterFeaturesRequest()).max_meter, 0)
        self.assertEqual(self.driver.refreshed, [])


class LittleTests(NumberedTestCase):
    """A driver whose groups can do little."""

    offers = {
        "group_types": frozenset({gm.GroupType.ALL}),
        "max_groups": 4,
        "bucket_actions": frozenset({Output}),
    }

    def test_features(self) -> None:
        """Only what they can do is said of them."""
        reply = self.handle(gm.GroupFeaturesRequest())
        self.assertEqual((reply.types, reply.capabilities), (1, 0))
        self.assertEqual(reply.max_groups, (4, 0, 0, 0))
        self.assertEqual(reply.actions, (1 << ActionType.OUTPUT, 0, 0, 0))
