"""Tests of :mod:`drivers.tcflower.guard` and the monitor, with a kernel of our own."""

from __future__ import annotations

import errno

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, Output, SetField, SetNwTtl
from agent.openflow.fields import ETH_DST
from agent.openflow.match import Match
from drivers.interfaces import OptionError
from drivers.tcflower import pack
from drivers.tcflower.actions import OK, Gact
from drivers.tcflower.guard import LEAST, MOST, QUIET
from drivers.tcflower.places import FREE_CHAINS, place
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from tests.drivers.software.kernel import error
from tests.drivers.tcflower.test_check import CheckHarness


class GuardTests(CheckHarness, SynchronousTestCase):
    """What others remove is put back."""

    def setUp(self) -> None:
        """Have rules of all sorts."""
        super().setUp()
        self.with_rules()
        self.there = set(self.block)

    def assert_restored(self) -> None:
        """Everything is as it was, soon."""
        self.pass_time(0.3, LEAST)
        ((_, self.block),) = self.kernel.blocks.items()
        self.assertEqual(set(self.block), self.there)
        self.assertEqual(self.check(), [])
        self.assertEqual(self.host.degraded_rules, {})
        # Long enough for the next to be noticed as soon.
        self.reactor.advance(QUIET + 1)

    def test_each_filter(self) -> None:
        """Whichever filter is removed, of a rule, of a tail, or the end of a chain, it is put back,
        and so it is if it only does something else."""
        for key in {key[:2]: key for key in sorted(self.there)}.values():
            self.kernel.take_away(key)
            self.assert_restored()
            self.kernel.change_actions(key, pack.actions((Gact(OK),), self.block[key].cookie))
            self.assert_restored()

    def test_alike(self) -> None:
        """Rules that differ only in a value get back each its own filter, and so they do if all
        filters are removed while such rules are added."""
        does = output(2)
        rules = [FakeRule(Match.of(eth_dst=n), 12, 0, does) for n in range(8)]
        for n, few in enumerate((rules[:4], rules[4:])):
            operations = [FakeOperation.add(rule) for rule in few]
            self.driver.submit(operations)
            if n:
                self.reactor.advance(0)
                self.kernel.take_away(*self.block)
            self.pass_time(1)
            self.host.expected |= {op.rule.handle: op.rule for op in operations if op.succeeded}
            self.there |= set(self.block)
            self.assertEqual(self.check(), [])
        self.assertEqual(len([key for key in self.there if key[:2] == place(0, 12)]), len(rules))
        for key in sorted(self.there):
            self.kernel.take_away(key)
            self.assert_restored()

    def test_degraded_meanwhile(self) -> None:
        """A rule that has lost a filter is degraded until it has it again, and no other is."""
        (key,) = [key for key in self.there if key[:2] == place(0, 3)]
        self.kernel.take_away(key)
        (rule,) = [rule for rule in self.host.expected.values() if rule.priority == 3]
        self.kernel.turn(self.reactor)
        self.reactor.advance(LEAST)
        self.kernel.turn(self.reactor)
        self.assertEqual(list(self.host.degraded_rules), [rule.handle])
        self.assert_restored()

    def test_chains(self) -> None:
        """Chains that are emptied are filled again."""
        for chain in sorted({key[0] for key in self.there}):
            self.kernel.flush(chain)
            self.assert_restored()

    def test_qdiscs(self) -> None:
        """Qdiscs that are removed, one or all of them, come back with all filters; the rules are
        degraded meanwhile."""
        indexes = list(self.kernel.qdiscs)
        self.kernel.unbind(indexes[0])
        self.assert_restored()
        for index in indexes:
            self.kernel.unbind(index)
        self.assertEqual(self.kernel.blocks, {})
        counts = set()
        for _ in range(20):
            self.kernel.turn(self.reactor)
            self.reactor.advance(0.01)
            counts.add(len(self.host.degraded_rules))
        self.assertIn(len(self.host.expected), counts)
        self.assert_restored()
        self.assertEqual(sorted(self.kernel.qdiscs), sorted(indexes))

    def test_changed_meanwhile(self) -> None:
        """A rule that is degraded because no device is left, and is installed for another reason
        when one comes back, is right again."""
        for steps in range(8):
            for name in ("eth1", "eth2"):
                self.kernel.remove(name)
            self.pass_time(1, 0.05)
            self.assertEqual(len(self.host.degraded_rules), len(self.host.expected))
            self.kernel.add("eth1")
            for _ in range(steps):
                self.kernel.turn(self.reactor)
                self.reactor.advance(0.01)
            self.kernel.add("eth2")
            self.pass_time(5, 0.1)
            self.assertEqual(self.host.degraded_rules, {})
            self.assertEqual(self.check(), [])
            self.reactor.advance(QUIET + 1)

    def test_missed(self) -> None:
        """When news is lost, everything is looked at."""
        self.kernel.deaf = True
        keys = sorted(self.there)[::3]
        self.kernel.take_away(*keys)
        other = next(key for key in sorted(self.there) if key not in keys)
        self.kernel.change_actions(other, pack.actions((Gact(OK),), self.block[other].cookie))
        self.kernel.deaf = False
        self.assert_restored()

    def test_counters(self) -> None:
        """What a rule has counted is not lost with its neighbour's filter, nor counted twice."""
        rule = FakeRule(Match.of(vlan_vid=0x1007, in_port=1), 9, 0, output(2))
        self.run_operations(self.driver, self.host, FakeOperation.add(rule))
        self.host.expected[rule.handle] = rule
        ((_, self.block),) = self.kernel.blocks.items()
        keys = sorted(set(self.block) - self.there)
        self.there |= set(keys)
        for key in keys:
            self.kernel.hit(self.block[key], 5, 500)
        self.kernel.take_away(keys[0])
        self.assert_restored()
        for key in keys:
            self.kernel.hit(self.block[key], 1, 100)
        self.wait(self.host, self.driver.refresh([rule]))
        self.assertEqual(rule.counters.packets, 5 * (len(keys) - 1) + len(keys))

    def test_while_changed(self) -> None:
        """What is removed while it is being added, changed or deleted is there in the end, or not,
        as was asked for last."""
        match = Match.of(in_port=1, eth_type=0x800)
        rule = FakeRule(match, 11, 0, output(2))
        for operation in (
            FakeOperation.add(rule),
            FakeOperation.modify(rule, output(1)),
            FakeOperation.delete(rule),
        ):
            self.driver.submit([operation])
            self.reactor.advance(0)
            ((_, self.block),) = self.kernel.blocks.items()
            self.kernel.take_away(*(set(self.block) - self.there))
            self.pass_time(1)
            self.assertTrue(operation.succeeded)
            self.host.expected[rule.handle] = operation.rule
            if operation.rule is rule and operation.old is rule:
                del self.host.expected[rule.handle]
            self.assertEqual(self.check(), [])
            self.reactor.advance(QUIET + 1)

    def test_refused(self) -> None:
        """A rule that cannot be put back stays degraded, with the reason."""
        key = max(key for key in self.there if key[:2] != (0, 0xFFFF) and key[0] == 0)
        self.kernel.refuse = lambda asked: (errno.ENOMEM, "no room") if asked == key else (0, "")
        with capturedLogs() as events:
            self.kernel.take_away(key)
            self.pass_time(0.5)
        (why,) = self.host.degraded_rules.values()
        self.assertIn("no room", why)
        self.assertEqual({event.get("bridge") for event in events}, {self.host.name})

    def test_refused_once(self) -> None:
        """A rule that the kernel refuses when its ports change is degraded, tried again, less and
        less often, and in the end as it should be."""
        self.kernel.refuse = lambda asked: (errno.ENOMEM, "no room")
        self.driver.port_mod(2, 0, 1)
        requests = []
        for _ in range(4):
            before = self.kernel.requests
            self.pass_time(60, 1)
            requests.append(self.kernel.requests - before)
        self.assertTrue(self.host.degraded_rules)
        self.assertLess(requests[-1], requests[0] / 2)
        self.assertGreater(requests[-1], 0)
        self.kernel.refuse = lambda asked: (0, "")
        self.pass_time(60, 1)
        self.assertEqual(self.host.degraded_rules, {})
        self.assertEqual(self.check(), [])

    def test_not_removed(self) -> None:
        """What the kernel does not remove with a rule, of its tail or of itself, goes later."""
        does = (ApplyActions((SetNwTtl(7), Output(1))),)
        rule = FakeRule(Match.of(eth_type=0x800), 21, 0, does)
        self.there = set(self.block)
        for refused in range(6):
            self.run_operations(self.driver, self.host, FakeOperation.add(rule))
            left = [refused]

            def keep(key: object, left: list[int] = left) -> tuple[int, str]:
                left[0] -= 1
                return (errno.ENOMEM, "no") if left[0] == -1 else (0, "")

            self.kernel.keep = keep
            delete = FakeOperation.delete(rule)
            self.run_operations(self.driver, self.host, delete)
            self.pass_time(1)
            if not delete.succeeded:
                self.host.expected[rule.handle] = rule
                self.assertEqual(self.check(), [])
                self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
                del self.host.expected[rule.handle]
            self.assert_restored()

    def test_gone_while_looked(self) -> None:
        """A tail whose last rule goes while all filters are read, which takes some turns, is not
        put back."""
        many = self.rules(self.driver, 200, in_port=2)
        self.run_operations(self.driver, self.host, *map(FakeOperation.add, many))
        self.host.expected.update((one.handle, one) for one in many)
        self.there = set(self.block)
        does = (ApplyActions((SetNwTtl(7), Output(1))),)
        rule = FakeRule(Match.of(eth_type=0x800), 21, 0, does)
        for steps in range(6, 12):
            self.run_operations(self.driver, self.host, FakeOperation.add(rule))
            tail = max(set(self.block) - self.there)
            self.assertGreaterEqual(tail[0], FREE_CHAINS)
            # Without news of it, everything is looked at.
            self.kernel.deaf = True
            self.kernel.take_away(tail)
            self.kernel.deaf = False
            for step in range(24):
                if step == steps:
                    self.driver.submit([FakeOperation.delete(rule)])
                if step % 2:
                    self.reactor.advance(LEAST / 4)
                else:
                    self.kernel.turn(self.reactor)
            self.assert_restored()

    def test_overrun(self) -> None:
        """When acknowledgements are lost, everything is looked at."""
        self.kernel.room = 1
        self.kernel.deaf = True
        self.kernel.take_away(*self.there)
        self.kernel.deaf = False
        for opened in self.kernel.descriptors.values():
            # Not even that news was lost is told.
            if getattr(opened, "bound", None) == (0, 8):
                opened.queue.clear()
        rules = self.rules(self.driver, 8, in_port=1)
        operations = [FakeOperation.add(rule) for rule in rules]
        self.kernel.refuse = lambda key: (errno.ENOMEM, "no room")
        self.run_operations(self.driver, self.host, *operations)
        self.assertGreater(self.driver.show()["lost answers"], 0)
        self.kernel.refuse = lambda key: (0, "")
        self.kernel.room = 300
        self.pass_time(1)
        self.assertEqual(self.check(), [])

    def test_overruns(self) -> None:
        """Where acknowledgements are lost again and again, looks at all do not keep rules from
        being changed."""
        self.kernel.room = 1
        rule = FakeRule(Match.of(), 30, 0, output(1))
        self.host.expected[rule.handle] = rule
        operations = [FakeOperation.add(rule)]
        operations += [FakeOperation.modify(rule, rule.instructions) for _ in range(3)]
        for operation in operations:
            self.driver.submit([operation])
            self.pass_time(10, 0.05)
            self.assertTrue(operation.done)
        self.assertGreater(self.driver.show()["lost answers"], 0)

    def test_fight(self) -> None:
        """Somebody who removes again and again what is put back has it noticed ever later; when he
        rests, the next loss is noticed at once."""
        key = min(self.there)
        times = []
        with capturedLogs() as events:
            for _ in range(round(600 / LEAST)):
                ((_, self.block),) = self.kernel.blocks.items()
                if key in self.block:
                    times.append(self.reactor.seconds())
                    self.kernel.take_away(key)
                self.kernel.pump(self.reactor)
                self.reactor.advance(LEAST)
        self.assertLess(len(times), 10 + 600 / MOST)
        self.assertGreater(len(times), 600 / MOST - 1)
        said = [event for event in events if "somebody" in event.get("log_format", "")]
        self.assertLessEqual(len(said), len(times))
        self.pass_time(MOST + 1, 0.1)
        self.assert_restored()

    def test_left(self) -> None:
        """Where the policy is so, rules that lost filters are degraded, and nothing is sent."""
        self.stop(self.driver, self.host)
        self.with_rules(lost="degrade")
        key = next(key for key in sorted(self.block) if key[0] == 0 and key[1] not in (1, 0xFFFF))
        requests = self.kernel.requests
        self.kernel.take_away(key)
        self.pass_time(1)
        self.assertEqual(len(self.host.degraded_rules), 1)
        for index in list(self.kernel.qdiscs):
            self.kernel.unbind(index)
        self.pass_time(1)
        self.assertEqual(len(self.host.degraded_rules), len(self.host.expected))
        self.assertEqual(self.kernel.requests, requests)
        wrong = self.assertRaises(OptionError, self.make, lost="found")
        self.assertEqual(wrong.key, "lost")

    def test_own_chains(self) -> None:
        """Nothing is looked at because a chain has ended in which no rule ends any more; where one
        does, everything is."""
        dumps = len(self.kernel.dumps)
        does = (ApplyActions((SetField(ETH_DST, 5), Output(1))),)
        rule = FakeRule(Match.of(eth_src=9), 12, 0, does)
        self.run_operations(self.driver, self.host, FakeOperation.add(rule))
        ((_, block),) = self.kernel.blocks.items()
        (chain,) = {key[0] for key in block} - {key[0] for key in self.there}
        self.assertGreaterEqual(chain, FREE_CHAINS)
        self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
        self.pass_time(1)
        self.assertEqual(set(block), self.there)
        self.assertEqual(len(self.kernel.dumps), dumps)
        self.kernel.end_chain(self.driver.show()["block"], max(key[0] for key in self.there))
        self.pass_time(1)
        self.assertGreater(len(self.kernel.dumps), dumps)

    def test_own(self) -> None:
        """News that is about no filter of ours, and none at all, is passed over."""
        requests = self.kernel.requests
        (opened,) = [one for one in self.kernel.descriptors.values() if one.bound == (0, 8)]
        opened.queue.append(pack.HEADER.pack(16, pack.RTM_DELTFILTER, 0, 0, 0))
        opened.queue.append(pack.message(pack.RTM_DELTFILTER, 0, 0, 99, (0, 0, 0)))
        opened.queue.append(pack.message(pack.RTM_NEWTFILTER, 0, 0, 99, (1, 1, 3)))
        self.pass_time(1)
        self.assertEqual(self.kernel.requests, requests)
        opened.queue.append(error(errno.EBADF))
        self.assertRaises(OSError, self.kernel.pump, self.reactor)
        opened.queue.clear()

    def test_stopped(self) -> None:
        """Whenever the driver is stopped, nothing is left to be done."""
        for steps in range(12):
            self.kernel.flush(0)
            for _ in range(steps):
                self.kernel.turn(self.reactor)
                self.reactor.advance(LEAST if not steps else 0.01)
            self.stop(self.driver, self.host)
            self.assert_idle(self.host)
            self.with_rules()

    def assert_idle(self, host: object) -> None:
        """The reactor has nothing left."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.getReaders(), [])
