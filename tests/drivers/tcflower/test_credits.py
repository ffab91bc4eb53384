"""Tests of :mod:`drivers.tcflower.credits`: what the filters of rules count for groups."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, GroupAction, MeterInstruction, Output, PushVlan
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import Match
from drivers.tcflower.places import FREE_CHAINS, LAST, UPCALL_CHAIN, place
from drivers.testing import FakeGroup, FakeMeter, FakeOperation, FakeRule
from drivers.testing.harness import ContractHarness
from tests.drivers.tcflower.test_driver import TcFlowerHarness


class GroupTests(TcFlowerHarness, SynchronousTestCase):
    """Packets of 100 bytes, without tags."""

    def setUp(self) -> None:
        """Have a group with two buckets, one of which leads to another group behind a tag."""
        super().setUp()
        self.driver, self.host = self.started(keep_rules=True)
        self.inner = FakeGroup(2, GroupType.INDIRECT, (Bucket(actions=(Output(1),)),))
        tagged = Bucket(actions=(PushVlan(0x8100), GroupAction(2)))
        self.group = FakeGroup(1, GroupType.ALL, (Bucket(actions=(Output(2),)), tagged))
        for group in (self.inner, self.group):
            self.run_operations(self.driver, self.host, FakeOperation.add(group))

    def add(self, **fields: int) -> FakeRule:
        """A rule that leads to the group."""
        does = (ApplyActions((GroupAction(1),)),)
        rule = FakeRule(Match.of(vlan_vid=0, **fields), 40000, 0, does)
        add = FakeOperation.add(rule)
        self.run_operations(self.driver, self.host, add)
        self.assertEqual(add.completions, [None])
        (self.block,) = self.kernel.blocks.values()
        return rule

    def hit(self, chain: int, packets: int) -> None:
        """The filters of a chain, but for its end, take packets."""
        for key, one in self.block.items():
            if key[0] == chain and key[1] != LAST:
                self.kernel.hit(one, packets, packets * (100 - 14))

    def counted(self, *groups: FakeGroup) -> list[list[tuple[int, int]]]:
        """Of groups, and each of their buckets, what they have counted."""
        self.wait(self.host, self.driver.refresh(groups))
        return [
            [(one.packets, one.bytes) for one in (group.counters, *group.bucket_counters)]
            for group in groups
        ]

    def both(self, packets: int) -> list[list[tuple[int, int]]]:
        """What the groups should have counted: the inner one longer packets."""
        return [[(packets, packets * 100)] * 3, [(packets, packets * 104)] * 2]

    def test_rule(self) -> None:
        """A rule that knows where its packets came in counts for groups by its own filter; what it
        has counted when it goes is not lost."""
        rule = self.add(in_port=2)
        self.assertEqual([key for key in self.block if key[0] > UPCALL_CHAIN], [])
        self.hit(0, 3)
        self.assertEqual(self.counted(self.group, self.inner), self.both(3))
        self.hit(0, 1)
        self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
        self.assertEqual(self.counted(self.group, self.inner), self.both(4))
        self.assertEqual(self.driver._rules.installer.entries.crediting((1, 2)), [])

    def test_tail(self) -> None:
        """Others share a tail, whose filters count: read one by one when groups are asked for, or
        with all; and when they go."""
        rules = [self.add(eth_dst=n) for n in range(40)]
        self.assertEqual(self.driver.show()["filters"], len(rules))
        cases = len([key for key in self.block if key[0] >= FREE_CHAINS])
        self.hit(FREE_CHAINS, 2)
        requests, self.kernel.dumps = self.kernel.requests, []
        self.assertEqual(self.counted(self.group, self.inner), self.both(2 * cases))
        self.assertEqual((self.kernel.requests - requests, self.kernel.dumps), (cases, []))
        self.hit(FREE_CHAINS, 1)
        self.wait(self.host, self.driver.refresh_counts(rules))
        self.assertEqual([one.packets for one in self.group.bucket_counters], [3 * cases] * 2)
        self.hit(FREE_CHAINS, 1)
        self.run_operations(self.driver, self.host, *map(FakeOperation.delete, rules))
        self.settle(self.host, lambda: False)
        self.assertEqual(self.counted(self.group, self.inner), self.both(4 * cases))
        self.assertEqual(self.driver._rules.installer.entries.crediting((1, 2)), [])

    def test_failover(self) -> None:
        """Of a fast-failover group the bucket counts that is used."""
        buckets = [Bucket(watch_port=n, actions=(Output(n),)) for n in (1, 2)]
        changed = self.group.modified(GroupType.FF, *buckets)
        self.run_operations(self.driver, self.host, FakeOperation.change(self.group, changed))
        self.add(in_port=2)
        self.hit(0, 2)
        self.kernel.remove("eth1")
        self.kernel.pump(self.reactor)
        self.settle(self.host, lambda: False)
        self.hit(0, 5)
        self.assertEqual(self.counted(changed), [[(7, 700), (2, 200), (5, 500)]])

    def test_modified(self) -> None:
        """What was counted before a group is changed is counted for the buckets that it had; the
        group goes on."""
        self.add(in_port=2)
        self.hit(0, 3)
        changed = self.group.modified(GroupType.ALL, self.group.buckets[0])
        self.run_operations(self.driver, self.host, FakeOperation.change(self.group, changed))
        self.assertEqual([one.packets for one in self.group.bucket_counters], [3, 3])
        self.hit(0, 2)
        wanted = [[(5, 500), (2, 200)], [(3, 312)] * 2]
        self.assertEqual(self.counted(changed, self.inner), wanted)

    def test_left(self) -> None:
        """What a tail has counted for an earlier run is left out."""
        self.run_again()
        self.add(eth_dst=1)
        self.hit(FREE_CHAINS, 2)
        before = dict(self.block)
        self.run_again()
        rule = self.add(eth_dst=1)
        kept = [key for key, one in self.block.items() if before.get(key) is one]
        self.assertGreater(max(kept)[0], UPCALL_CHAIN)
        self.assertEqual(self.counted(self.group, self.inner), self.both(0))
        self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
        self.assertEqual(self.counted(self.group, self.inner), self.both(0))

    def run_again(self) -> None:
        """Another run follows this one, and has the same groups."""
        self.stop(self.driver, self.host)
        self.driver, self.host = ContractHarness.started(self, keep_rules=True)
        for group in (self.inner, self.group):
            self.run_operations(self.driver, self.host, FakeOperation.add(group))

    def test_meter(self) -> None:
        """Of a rule with a meter what the meter has let pass is counted."""
        self.run_operations(self.driver, self.host, FakeOperation.add(FakeMeter(5)))
        does = (MeterInstruction(5), ApplyActions((GroupAction(1),)))
        rule = FakeRule(Match.of(vlan_vid=0, in_port=2), 40000, 0, does)
        self.run_operations(self.driver, self.host, FakeOperation.add(rule))
        (self.block,) = self.kernel.blocks.values()
        (own,) = [one for key, one in self.block.items() if key[:2] == place(0, 40000)]
        self.kernel.hit(own, 9, 900)
        self.hit(FREE_CHAINS, 4)
        self.assertEqual(self.counted(self.group, self.inner), self.both(4))
        self.wait(self.host, self.driver.refresh([rule]))
        self.assertEqual(rule.counters.packets, 9)
        kinds = [action[1].rstrip(b"\0") for action in own.actions]
        self.assertEqual(kinds, [b"gact", b"police", b"gact"])
