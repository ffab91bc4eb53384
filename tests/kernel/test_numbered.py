"""Meters and groups with the kernel's own actions, and frames that are too many or find no port."""

from __future__ import annotations

import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.group_messages import BandType, Bucket, GroupType, MeterBand, MeterFlags
from agent.openflow.match import Match
from drivers.testing import FakeGroup, FakeMeter, FakeOperation, FakeRule
from tests.kernel import run
from tests.kernel.reactors import turn
from tests.kernel.test_driver import SETTLE, ForwardingHarness
from tests.kernel.test_frames import ARP, TAG, UDP, expected, frame

PACKETS = MeterFlags.PKTPS | MeterFlags.BURST
KILOBITS = MeterFlags.KBPS | MeterFlags.BURST


def drop(rate: int, burst: int) -> MeterBand:
    """A band."""
    return MeterBand(BandType.DROP, rate, burst)


def metered(*ports: int) -> tuple[Any, ...]:
    """Instructions with meter 5."""
    return (of.MeterInstruction(5), of.ApplyActions(tuple(of.Output(port) for port in ports)))


class MeterTests(ForwardingHarness, SynchronousTestCase):
    """Police actions."""

    def test_shared(self) -> None:
        """What comes by all rules of a meter is limited together, counted, and dropped by its band;
        a change is made in place, with the counters of its bands from zero; and in the end nothing
        is left."""
        meter = FakeMeter(5, PACKETS, (drop(4, 3),))
        rules = [FakeRule(Match.of(in_port=n), 9, instructions=metered(2)) for n in (1, 3)]
        self.add(meter)
        self.add(*rules)
        data = frame(UDP)
        # The kernel begins without tokens.
        time.sleep(0.8)
        passed = sum(len(self.out(n, *[data] * 5).get(2, [])) for n in (1, 3))
        self.assertIn(passed, (3, 4))
        changed = meter.modified(PACKETS, drop(4, 4))
        # An answer may come before the thread says that its call has returned.
        turn(self.reactor, lambda: False, SETTLE)
        sent = self.driver.show()["requests"]
        self.done(FakeOperation.change(meter, changed))
        turn(self.reactor, lambda: False, SETTLE)
        self.assertEqual(self.driver.show()["requests"], sent + 2)
        self.assertEqual(meter.band_counters[0].packets, 10 - passed)
        time.sleep(1.1)
        passed = len(self.out(1, *[data] * 10)[2])
        self.assertIn(passed, (4, 5))
        self.wait(self.host, self.driver.refresh([changed]))
        self.assertEqual((meter.counters.packets, meter.counters.bytes), (20, 20 * len(data)))
        self.assertEqual(changed.band_counters[0].packets, 10 - passed)
        self.delete(*rules)
        self.assertEqual([rule.counters.packets for rule in rules], [15, 5])
        self.delete(changed)
        self.assertNotIn("police", run("tc actions list action police"))

    def test_kilobits(self) -> None:
        """A burst of two kilobits has room for two packets of 100 bytes."""
        meter = FakeMeter(5, KILOBITS, (drop(1, 2),))
        rule = FakeRule(Match.of(in_port=1), 9, instructions=metered(2, 3))
        self.add(meter)
        self.add(rule)
        data = frame(UDP, payload=bytes(72))
        self.assertEqual(len(data), 114)
        self.assertEqual(self.out(1, *[data] * 4), {2: [data] * 2, 3: [data] * 2})

    def test_gone(self) -> None:
        """Without its action, a rule that names a meter is refused, and not let through."""
        self.add(FakeMeter(5, PACKETS, (drop(1, 3),)))
        run("tc actions flush action police")
        operation = FakeOperation.add(FakeRule(Match.of(in_port=1), 9, instructions=metered(2)))
        self.run_operations(self.driver, self.host, operation)
        self.assertFalse(operation.succeeded)
        self.assertEqual(self.out(1, frame(UDP)), {})

    def test_left_over(self) -> None:
        """What is left of a run that was killed goes when the next one starts, though the filters
        have only just gone."""
        self.add(FakeMeter(5, PACKETS, (drop(1, 3),)), FakeMeter(6))
        self.driver._policers._meters.clear()
        self.stop(self.driver, self.host)
        self.assertIn("police", run("tc actions list action police"))
        self._drivers = 0
        self.driver, self.host = self.started()
        self.assertNotIn("police", run("tc actions list action police"))


class GroupTests(ForwardingHarness, SynchronousTestCase):
    """Groups as actions of the rules that lead there."""

    def test_all(self) -> None:
        """Each bucket has a packet of its own; INDIRECT has one bucket; and rules follow when a
        group changes."""
        data = frame(UDP)
        changes: list[list[of.Action]] = [
            [of.SetField(f.IPV4_DST, 9), of.SetField(f.UDP_DST, 9)],
            [of.PushVlan(0x8100), of.SetField(f.VLAN_VID, 0x1007)],
        ]
        one, two = (Bucket(actions=(*do, of.Output(n))) for n, do in enumerate(changes, 2))
        forms = [expected(data, do) for do in changes]
        group = FakeGroup(1, GroupType.ALL, (one, two))
        to_group = (of.ApplyActions((of.GroupAction(1), of.Output(3))),)
        match = Match.of(**UDP, vlan_vid=0, ipv4_dst=0, udp_dst=0, in_port=1)
        rule = FakeRule(match, 9, instructions=to_group)
        self.add(group)
        self.add(rule)
        found = self.out(1, data)
        self.assertEqual(found[2], forms[:1])
        # No port can tell the order of copies that come by several buckets.
        self.assertEqual(sorted(found[3]), sorted([forms[1], data]))
        indirect = group.modified(GroupType.INDIRECT, one)
        self.done(FakeOperation.change(group, indirect))
        self.assertEqual(self.out(1, data), {2: forms[:1], 3: [data]})
        self.delete(rule)
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (2, 2 * len(data)))

    def test_counters(self) -> None:
        """Groups and buckets count, also in a chain and behind a tag; so they do for a rule whose
        packets have a tag, and of one with a meter what that lets pass."""
        inner = FakeGroup(2, GroupType.INDIRECT, (Bucket(actions=(of.Output(3),)),))
        tagged = (of.PushVlan(0x8100), of.SetField(f.VLAN_VID, 0x1007), of.GroupAction(2))
        buckets = (Bucket(actions=(of.Output(2),)), Bucket(actions=tagged))
        group = FakeGroup(1, GroupType.ALL, buckets)
        self.add(inner)
        self.add(group)
        self.add(FakeMeter(5, PACKETS, (drop(1, 2),)))
        to_group = of.ApplyActions((of.GroupAction(1),))
        rules = [
            FakeRule(Match.of(vlan_vid=0, **UDP), 9, instructions=(to_group,)),
            FakeRule(Match.of(vlan_vid=(0x1000, 0x1000)), 8, instructions=(to_group,)),
            FakeRule(
                Match.of(vlan_vid=0, eth_type=0x806),
                7,
                instructions=(of.MeterInstruction(5), to_group),
            ),
        ]
        packets = octets = 0
        self.add(*rules)
        # The kernel begins without tokens.
        time.sleep(1.1)
        for data, in_port, count in (
            (frame(UDP), 1, 3),
            (frame(UDP), 2, 2),
            (frame(TAG, UDP), 1, 2),
            (frame(ARP), 1, 9),
        ):
            passed = len(self.out(in_port, *[data] * count)[3])
            if data == frame(ARP):
                self.assertIn(passed, (1, 2, 3))
            else:
                self.assertEqual(passed, count)
            packets, octets = packets + passed, octets + passed * len(data)
            self.wait(self.host, self.driver.refresh([group]))
            self.wait(self.host, self.driver.refresh([inner]))
            for one in (group.counters, *group.bucket_counters):
                self.assertEqual((one.packets, one.bytes), (packets, octets), data.hex())
            for one in (inner.counters, *inner.bucket_counters):
                self.assertEqual((one.packets, one.bytes), (packets, octets + 4 * packets))
        self.delete(*rules)
        self.assertEqual([rule.counters.packets for rule in rules], [5, 2, 9])

    def test_failover(self) -> None:
        """A bucket is used while the port that it watches is live; then the next one, until it is
        live again."""
        buckets = [Bucket(watch_port=n, actions=(of.Output(n),)) for n in (2, 3)]
        group = FakeGroup(1, GroupType.FF, tuple(buckets))
        rule = FakeRule(
            Match.of(in_port=1), 9, instructions=(of.ApplyActions((of.GroupAction(1),)),)
        )
        self.add(group)
        self.add(rule)
        data = frame(UDP)
        self.addCleanup(run, "ip link set peer2 up")
        self.assertEqual(self.out(1, data), {2: [data]})
        run("ip link set peer2 down")
        self.assertTrue(turn(self.reactor, lambda: self.out(1, data) == {3: [data]}, 5))
        run("ip link set peer2 up")
        self.assertTrue(turn(self.reactor, lambda: self.out(1, data) == {2: [data]}, 5))


class ModeTests(ForwardingHarness, SynchronousTestCase):
    """Where filters are: these devices have no hardware."""

    def test_skip_sw(self) -> None:
        """What shall be in hardware alone is refused, at the start, in a sentence."""
        self._drivers = 0
        self.stop(self.driver, self.host)
        error = self.assertRaises(OSError, self.started, mode="skip_sw")
        self.assertIn("not supported", str(error))

    def test_both(self) -> None:
        """What may be in software, too, is there, and is said not to be in hardware."""
        self._drivers = 0
        self.stop(self.driver, self.host)
        self.driver, self.host = self.started(mode="both")
        meter = FakeMeter(5, KILOBITS, (drop(1, 2),))
        rule = FakeRule(Match.of(in_port=1), 9, instructions=metered(2))
        self.add(meter)
        self.add(rule)
        data = frame(UDP)
        self.assertEqual(self.out(1, data), {2: [data]})
        self.wait(self.host, self.driver.refresh([rule]))
        self.assertEqual(self.driver.show()["in hardware"], 0)
        # Not of the chain from which packets go to the software, which only the software does.
        shown = run(f"tc filter show block {self.driver.show()['block']} chain 256")
        self.assertIn("not_in_hw", shown)
        self.assertNotIn("skip_", shown)
