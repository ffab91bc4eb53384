"""Tests of :mod:`drivers.tcflower.check`, with a driver and a kernel of our own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, GotoTable, Output, SetNwTtl
from agent.openflow.match import Match
from drivers.tcflower import check, pack
from drivers.tcflower.actions import OK, Gact
from drivers.tcflower.filters import Filter
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from tests.drivers.tcflower.telling import Installed
from tests.drivers.tcflower.test_driver import TcFlowerHarness


class CheckHarness(TcFlowerHarness):
    """A driver with rules of all sorts, whose kernel can be compared with them."""

    def with_rules(self, **options: Any) -> None:
        """Have rules with one filter and several, a tail, low, in other tables."""
        self.driver, self.host = self.started(**options)
        self.driver.port_mod(2, 1, 1)
        rules = [
            *self.rules(self.driver, 4),
            FakeRule(Match.of(vlan_vid=0x1005, in_port=1), 9, 0, output(2)),
            FakeRule(Match.of(vlan_vid=(0x1000, 0x1000), eth_type=0x800), 9, 0, output(2)),
            FakeRule(Match.of(), 9, 0, output(1)),
            FakeRule(Match.of(), 3, 0, (GotoTable(4),)),
            FakeRule(Match.of(eth_type=0x800), 8, 4, (ApplyActions((SetNwTtl(9), Output(1))),)),
        ]
        operations = [FakeOperation.add(rule) for rule in rules]
        self.run_operations(self.driver, self.host, *operations)
        self.host.expected = {op.rule.handle: op.rule for op in operations if op.succeeded}
        self.assertEqual(len(self.host.expected), len(rules))
        self.settle(self.host, lambda: False)
        ((_, self.block),) = self.kernel.blocks.items()

    def pass_time(self, seconds: float, step: float = 0.01) -> None:
        """Let time pass, and the kernel answer."""
        for _ in range(round(seconds / step)):
            self.kernel.pump(self.reactor)
            self.reactor.advance(step)

    def check(self) -> list[str]:
        """What is wrong."""
        done = self.driver.check()
        for _ in range(200):
            if done.called:
                break
            self.pass_time(0.1, 0.1)
        found: list[str] = self.successResultOf(done)
        return found


class CheckTests(CheckHarness, SynchronousTestCase):
    """What ``driver/check`` finds."""

    def setUp(self) -> None:
        """Have what is lost left so."""
        super().setUp()
        self.with_rules(lost="degrade")

    def test_right(self) -> None:
        """Nothing is wrong, also of rules with VLAN tags and tails, nor of others' filters."""
        self.assertEqual(self.check(), [])
        for key, cookie in (((0, 7, 1), b""), ((1, 7, 2), b"ofag----12345678")):
            one = Filter(key[0], key[1], (Gact(2),), handle=key[2], cookie=cookie)
            request = pack.new_filter(one, 0, 0, 0)
            self.kernel.install(self.block, key, 0, request)
        self.assertEqual(self.check(), [])

    def test_each_missing(self) -> None:
        """Whichever filter is missing, one thing is wrong; so it is where one is different."""
        self.patch(check, "TIMES", 1)
        for key, installed in list(self.block.items()):
            del self.block[key]
            (wrong,) = self.check()
            self.assertIn(f"chain {key[0]} pref {key[1]}: a filter is missing", wrong)
            actions = pack.actions((Gact(OK),), installed.cookie)
            options = {**installed.options, pack.FLOWER_ACT: actions}
            self.block[key] = Installed(key, options, installed.flags)
            (wrong,) = self.check()
            self.assertIn("action", wrong)
            self.block[key] = installed
        self.assertEqual(self.check(), [])

    def test_too_much(self) -> None:
        """What nobody asked for is found, with its place."""
        del self.host.expected[next(iter(self.host.expected))]
        (wrong,) = self.check()
        self.assertIn("there is no rule for it", wrong)

    def test_no_qdisc(self) -> None:
        """A device that is not part of the block is named; without any there are no filters."""
        self.kernel.unbind(self.kernel.devices["eth2"].index)
        self.assertEqual(self.check(), ["device eth2 is not part of the bridge"])
        self.kernel.unbind(self.kernel.devices["eth1"].index)
        self.assertEqual(len(self.check()), 2)

    def test_in_flight(self) -> None:
        """Rules that are on their way are not told of."""
        (rule,) = self.rules(self.driver, 1, in_port=1)
        self.host.expected[rule.handle] = rule
        done = self.driver.check()
        self.kernel.pump(self.reactor)
        self.run_operations(self.driver, self.host, FakeOperation.add(rule))
        self.pass_time(2)
        self.assertEqual(self.successResultOf(done), [])
