"""Tests of :mod:`drivers.tcflower.counting`: which of its ways is taken, and that all are right."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import GotoTable
from agent.openflow.match import Match
from drivers.interfaces import TableCounters
from drivers.tcflower.cpu import LOOK
from drivers.tcflower.places import LAST, low_chain, place
from drivers.testing import FakeOperation, FakeRule
from tests.drivers.tcflower.telling import Installed
from tests.drivers.tcflower.test_driver import TcFlowerHarness

COUNT = 100


class RefreshTests(TcFlowerHarness, SynchronousTestCase):
    """A hundred rules, of which some count."""

    def setUp(self) -> None:
        """Install the rules."""
        super().setUp()
        self.driver, self.host = self.started(mode="skip_hw")
        self.made = self.rules(self.driver, COUNT)
        operations = [FakeOperation.add(rule) for rule in self.made]
        self.run_operations(self.driver, self.host, *operations)
        (self.block,) = self.kernel.blocks.values()
        self.kernel.dumps.clear()

    def filter(self, rule: FakeRule) -> Installed:
        """What is in the kernel for a rule."""
        handle = rule.handle.to_bytes(6, "big")
        (found,) = [one for one in self.block.values() if one.cookie.endswith(handle)]
        return found

    def hit(self, *rules: FakeRule, age: int = 0) -> None:
        """Each takes two packets, ``age`` hundredths of a second ago."""
        for rule in rules:
            installed = self.filter(rule)
            self.kernel.hit(installed, 2, 200)
            installed.age = age

    def refresh(self, *rules: FakeRule) -> list[int]:
        """Refresh rules, or all; returns the packets of all."""
        self.wait(self.host, self.driver.refresh(rules or self.made))
        return [rule.counters.packets for rule in self.made]

    def test_none(self) -> None:
        """Where nothing has counted, there is one terse dump, and nothing else is asked."""
        requests = self.kernel.requests
        self.assertEqual(self.refresh(), [0] * COUNT)
        self.assertEqual((self.kernel.dumps, self.kernel.requests), ([True], requests))

    def test_few(self) -> None:
        """The few that have counted are read one by one, with when that was; once."""
        self.reactor.advance(100)
        self.hit(*self.made[:3], age=250)
        requests = self.kernel.requests
        self.assertEqual(self.refresh(), [2] * 3 + [0] * (COUNT - 3))
        self.assertEqual((self.kernel.dumps, self.kernel.requests), ([True], requests + 3))
        self.assertEqual(self.made[0].counters.bytes, 200 + 2 * 14)
        self.assertAlmostEqual(self.made[0].counters.used, self.host.now() - 2.5)
        self.assertEqual(self.made[5].counters.used, 0)
        self.assertEqual(self.refresh(), [2] * 3 + [0] * (COUNT - 3))
        self.assertEqual((self.kernel.dumps, self.kernel.requests), ([True] * 2, requests + 3))

    def test_tags(self) -> None:
        """The kernel counts no outer VLAN tag; it is added where a match says that there is one, of
        a rule's first filter and of those made like it."""
        for wanted, size in (({"vlan_vid": 0x1005}, 18), ({"vlan_vid": 0}, 14), ({}, 14)):
            rules = [
                FakeRule(Match.of(eth_dst=n, **wanted), 9, 0, self.made[0].instructions)
                for n in (1, 2)
            ]
            operations = [FakeOperation.add(rule) for rule in rules]
            self.run_operations(self.driver, self.host, *operations)
            for rule in rules:
                handle = rule.handle.to_bytes(6, "big")
                filters = [one for one in self.block.values() if one.cookie.endswith(handle)]
                for one in filters:
                    self.kernel.hit(one, 2, 200)
                self.wait(self.host, self.driver.refresh([rule]))
                self.assertEqual(rule.counters.bytes, len(filters) * (200 + 2 * size))

    def test_stopped(self) -> None:
        """Whoever waits for counters when the driver is stopped has what is known."""
        self.hit(*self.made)
        waiting = [
            self.driver.refresh(self.made),
            self.driver.refresh(self.made[:3]),
            self.driver.refresh_counts(self.made),
            self.driver.port_stats(),
            self.driver.table_stats(),
        ]
        for done in waiting:
            self.assertNoResult(done)
        self.stop(self.driver, self.host)
        results = [self.successResultOf(done) for done in waiting]
        self.assertEqual(results[:3], [None] * 3)
        self.assertEqual([one.port_no for one in results[3]], [1, 2, 3])
        self.assertEqual(results[4], dict.fromkeys(range(16), TableCounters(0, 0)))

    def test_many(self) -> None:
        """Where many have counted all are read in a full dump, the next time at once, until few
        count again."""
        self.reactor.advance(100)
        for _ in range(2):
            self.hit(*self.made[:50], age=100)
            self.refresh()
        self.assertEqual(self.kernel.dumps, [True, False, False])
        self.assertEqual(self.refresh(), [4] * 50 + [0] * 50)
        self.assertAlmostEqual(self.made[0].counters.used, self.host.now() - 1.0)
        self.refresh()
        self.assertEqual(self.kernel.dumps, [True, False, False, False, True])

    def refresh_counts(self, *rules: FakeRule) -> list[int]:
        """The same without when they counted."""
        self.wait(self.host, self.driver.refresh_counts(rules or self.made))
        return [rule.counters.packets for rule in rules or self.made]

    def test_counts(self) -> None:
        """How much was counted is read in one terse dump; when, as soon as somebody wants to
        know."""
        self.reactor.advance(100)
        for counted, dumps in ((self.made[:3], [True]), (self.made, [True, False])):
            before = [rule.counters.packets for rule in self.made]
            used = [rule.counters.used for rule in self.made]
            self.hit(*counted, age=250)
            requests = self.kernel.requests
            self.kernel.dumps.clear()
            pairs = zip(before, self.made, strict=True)
            after = [packets + 2 * (rule in counted) for packets, rule in pairs]
            for _ in range(2):
                self.assertEqual(self.refresh_counts(), after)
            self.assertEqual((self.kernel.dumps, self.kernel.requests), ([True] * 2, requests))
            self.assertEqual(counted[0].counters.bytes, after[0] // 2 * 200 + after[0] * 14)
            self.assertEqual([rule.counters.used for rule in self.made], used)
            self.reactor.advance(100)
            self.kernel.dumps.clear()
            self.assertEqual(self.refresh(), after)
            self.assertEqual(self.kernel.dumps, dumps)
            for rule in counted:
                self.assertAlmostEqual(rule.counters.used, self.host.now() - 2.5)
        self.assertEqual(self.refresh_counts(), after)

    def test_counts_of_priorities(self) -> None:
        """Where each rule has a priority of its own it comes to the same."""
        made = [FakeRule(rule.match, 5000 + n) for n, rule in enumerate(self.made)]
        self.run_operations(self.driver, self.host, *map(FakeOperation.add, made))
        self.reactor.advance(100)
        self.hit(*made, age=150)
        self.assertEqual(self.refresh_counts(*made), [2] * COUNT)
        self.assertEqual(self.kernel.dumps, [True])
        self.assertEqual({rule.counters.used for rule in made}, {0})
        self.wait(self.host, self.driver.refresh(made))
        for rule in made:
            self.assertAlmostEqual(rule.counters.used, self.host.now() - 1.5)
        self.assertEqual(self.refresh_counts(*made), [2] * COUNT)

    def test_counts_made_anew(self) -> None:
        """What is not known of a filter yet is not taken from another in its place."""
        self.reactor.advance(100)
        self.hit(*self.made)
        self.refresh_counts()
        for rule in self.made:
            self.filter(rule).packets = 0
        self.assertEqual(self.refresh_counts(), [2] * COUNT)
        self.assertEqual(self.refresh(), [2] * COUNT)
        self.assertEqual({rule.counters.used for rule in self.made}, {0})

    def test_asked_for_few(self) -> None:
        """Where few rules are asked for only they are read."""
        self.hit(*self.made)
        self.assertEqual(self.refresh(*self.made[:2]), [2, 2] + [0] * (COUNT - 2))
        self.assertEqual(self.kernel.dumps, [])

    def test_not_terse(self) -> None:
        """With a kernel that does not know terse dumps, or refuses them, it comes to the same."""
        self.reactor.advance(100)
        for terse, dumps, counted in ((False, [True], 2), (None, [True, False], 4)):
            self.kernel.terse = terse
            self.hit(*self.made[:2], age=100)
            requests = self.kernel.requests
            self.kernel.dumps.clear()
            self.assertEqual(self.refresh()[:3], [counted, counted, 0])
            self.assertAlmostEqual(self.made[0].counters.used, self.host.now() - 1.0)
            self.assertEqual((self.kernel.dumps, self.kernel.requests), (dumps, requests))

    def test_into_hardware(self) -> None:
        """A filter that goes into hardware by and by is seen there, and in how many devices."""
        installed = self.filter(self.made[0])
        requests = self.kernel.requests
        for refresh, flags, devices in ((self.refresh, 4, 2), (self.refresh_counts, 8, 0)) * 2:
            installed.flags, installed.in_hw_count = flags, devices
            refresh()
            self.assertEqual(self.driver.show()["in hardware"], devices // 2)
        self.assertEqual(self.kernel.requests, requests + 4)

    def test_priorities(self) -> None:
        """Where each rule has a priority of its own it comes to the same."""
        made = [FakeRule(rule.match, 5000 + n) for n, rule in enumerate(self.made)]
        self.run_operations(self.driver, self.host, *map(FakeOperation.add, made))
        self.reactor.advance(100)
        for rules in (made[:2], made[:80], made[:80], []):
            self.hit(*rules, age=150)
            self.wait(self.host, self.driver.refresh(made))
            for rule in rules:
                self.assertAlmostEqual(rule.counters.used, self.host.now() - 1.5)
        packets = [rule.counters.packets for rule in made]
        self.assertEqual(packets, [6] * 2 + [4] * 78 + [0] * 20)
        self.assertEqual(self.kernel.dumps, [True, True, False, False, False])

    def test_made_anew(self) -> None:
        """A filter that somebody has made anew counts from zero, and the rule goes on."""
        self.hit(*self.made[:20])
        self.refresh()
        for rule in self.made[:20]:
            installed = self.filter(rule)
            installed.packets, installed.octets = 1, 60
        self.assertEqual(self.refresh(), [3] * 20 + [0] * 80)
        self.assertEqual(self.made[0].counters.bytes, 200 + 2 * 14 + 60 + 14)


class TableTests(TcFlowerHarness, SynchronousTestCase):
    """What tables have looked up and matched."""

    def setUp(self) -> None:
        """Start a driver; misses go nowhere."""
        super().setUp()
        self.driver, self.host = self.started()
        self.host.miss_to_controller = False
        self.reactor.advance(LOOK)
        self.settle(self.host, lambda: False)
        (self.block,) = self.kernel.blocks.values()

    def make_rule(self, table: int, priority: int, **match: int) -> FakeRule:
        """Install a rule."""
        rule = FakeRule(Match.of(**match), priority, table, (GotoTable(9),))
        self.run_operations(self.driver, self.host, FakeOperation.add(rule))
        return rule

    def hit(self, chain: int, pref: int, packets: int) -> None:
        """Packets come to the first filter there."""
        key = next(key for key in sorted(self.block) if key[:2] == (chain, pref))
        self.kernel.hit(self.block[key], packets, 60 * packets)

    def read(self, *tables: int) -> list[tuple[int, int]]:
        """The packets that these have looked up and matched; the others have none."""
        found = self.wait(self.host, self.driver.table_stats())
        for table, counters in found.items():
            if table not in tables:
                self.assertEqual(counters, TableCounters())
        return [(found[table].lookups, found[table].matches) for table in tables]

    def test_tables(self) -> None:
        """Matched is what the rules have, wherever their filters are; looked up is also what came
        to the end of the table."""
        high, low = self.make_rule(0, 100), self.make_rule(0, 0)
        for rule, packets in ((high, 5), (low, 3)):
            self.hit(*place(0, rule.priority), packets)
        self.hit(low_chain(0), LAST, 2)
        # From the end of the first chain packets go to the second.
        self.hit(0, LAST, 5)
        self.hit(9, LAST, 8)
        self.assertEqual(self.read(0, 9), [(10, 8), (8, 0)])
        self.assertEqual(self.read(0, 9), [(10, 8), (8, 0)])

    def test_software(self) -> None:
        """A miss that goes to the software is looked up there, and so is what a rule hands it;
        what the kernel has matched and then handed over is not counted twice."""
        rule = self.make_rule(0, 100)
        self.host.miss_to_controller = True
        self.reactor.advance(LOOK)
        self.settle(self.host, lambda: False)
        self.hit(0, LAST, 2)
        self.hit(*place(0, rule.priority), 1)
        self.assertEqual(self.read(0), [(1, 1)])
        resume = self.driver.pipeline.resume
        resume(bytes(60), 1, 0, counted=True)
        self.assertEqual(self.read(0, 9), [(1, 1), (1, 0)])
        resume(bytes(60), 1, 0, counted=False)
        self.assertEqual(self.read(0, 9), [(2, 2), (2, 0)])

    def test_changed(self) -> None:
        """What a rule has matched stays matched when it is replaced, and when it is gone."""
        rule = self.make_rule(4, 100)
        self.hit(*place(4, 100), 5)
        operation = FakeOperation.replace(rule, ())
        self.run_operations(self.driver, self.host, operation)
        new = operation.rule
        self.assertEqual((rule.counters.packets, new.counters.packets), (5, 0))
        self.hit(*place(4, 100), 1)
        self.assertEqual(self.read(4), [(6, 6)])
        self.run_operations(self.driver, self.host, FakeOperation.delete(new))
        self.assertEqual(self.read(4), [(6, 6)])

    def test_nobody_there(self) -> None:
        """When the block is gone, what was known is told."""
        self.make_rule(0, 100)
        self.hit(*place(0, 100), 5)
        self.hit(0, LAST, 2)
        self.assertEqual(self.read(0), [(7, 5)])
        for index in list(self.kernel.qdiscs):
            self.kernel.unbind(index)
        self.assertEqual(self.read(0), [(7, 5)])
