"""What becomes of rules when others, and the kernel, get in the way; with the kernel's own filters.

At the end of each test the kernel is compared with the flow table.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, GotoTable, Output, SetNwTtl, SetQueue
from agent.openflow.match import Match
from drivers.software.system import SYSTEM
from drivers.tcflower import pack
from drivers.tcflower.actions import SHOT, Gact
from drivers.tcflower.changes import ADDING
from drivers.tcflower.probe import Probe
from drivers.testing import FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import output
from tests.kernel import run
from tests.kernel.reactors import turn
from tests.kernel.test_driver import KernelHarness

MANY = 300
QDISCS = tuple(f"tc qdisc del dev tc{n} clsact" for n in (1, 2, 3))


class FaultHarness(KernelHarness):
    """A driver whose kernel is compared with what there should be."""

    driver: Any
    host: FakeHost

    def start(self, **options: Any) -> None:
        """Have a driver."""
        self.driver, self.host = self.started(**options)
        self.block = self.driver.show()["block"]

    def add(self, *rules: FakeRule) -> None:
        """Have rules."""
        operations = [FakeOperation.add(rule) for rule in rules]
        self.run_operations(self.driver, self.host, *operations)
        self.expect(*operations)
        refused = [op.completions for op in operations if not op.succeeded]
        self.assertEqual(refused, [])

    def expect(self, *operations: FakeOperation) -> None:
        """What was confirmed should be there."""
        for operation in operations:
            if operation.succeeded:
                self.host.expected[operation.rule.handle] = operation.rule

    def many(self, count: int = MANY) -> list[FakeRule]:
        """Rules for as many addresses."""
        return [
            FakeRule(Match.of(eth_type=0x800, in_port=1, ipv4_dst=n), 77, 0, output(2))
            for n in range(count)
        ]

    def sorts(self) -> list[FakeRule]:
        """Rules of all sorts."""
        return [
            *self.many(3),
            FakeRule(Match.of(vlan_vid=0x1005, in_port=1), 9, 0, output(2)),
            FakeRule(Match.of(vlan_vid=(0x1000, 0x1000), eth_type=0x800), 9, 0, output(2)),
            FakeRule(Match.of(vlan_vid=0), 9, 0, output(2)),
            FakeRule(Match.of(), 9, 0, output(1)),
            FakeRule(Match.of(), 3, 0, (GotoTable(4),)),
            FakeRule(Match.of(eth_type=0x800), 8, 4, (ApplyActions((SetNwTtl(9), Output(1))),)),
        ]

    def check(self) -> list[str]:
        """What is wrong."""
        found: list[str] = self.wait(self.host, self.driver.check())
        return found

    def assert_right(self, seconds: float = 20) -> None:
        """Nothing is wrong, before long."""
        turn(self.reactor, lambda: not self.host.degraded_rules, seconds)
        self.assertEqual(self.host.degraded_rules, {})
        self.assertEqual(self.check(), [])

    def settle(self, host: FakeHost, done: Any) -> None:
        """Let the kernel answer, also many times."""
        turn(self.reactor, done, 30)


class OthersTests(FaultHarness, SynchronousTestCase):
    """What others remove is put back."""

    def setUp(self) -> None:
        """Have rules of all sorts."""
        super().setUp()
        self.start()
        self.add(*self.sorts())
        self.assertEqual(self.check(), [])

    def filters(self) -> int:
        """How many there are."""
        return run(f"tc filter show block {self.block}").count("cookie 6f666167")

    def taken(self, *commands: str) -> None:
        """Somebody does something; it is noticed, and soon it is as it was."""
        before = self.filters()
        losses = self.driver._guard._last
        for command in commands:
            run(command)
        noticed = turn(self.reactor, lambda: self.driver._guard._last > losses, 10)
        self.assertTrue(noticed, commands)
        self.assert_right()
        self.assertEqual(self.filters(), before)

    def test_removed(self) -> None:
        """A filter, a pref, a chain, all filters, a qdisc, and all of them."""
        block = self.block
        pref = self.driver._rules.installer.entries.get(min(self.host.expected)).slots[0].key[1]
        self.taken(f"tc filter del block {block} chain 0 pref {pref} handle 1 protocol all flower")
        self.taken(f"tc filter del block {block} chain 0 pref {pref} protocol all")
        self.taken(f"tc filter del block {block} chain 4")
        self.taken(f"tc filter del block {block} chain 1024")
        self.taken(f"tc filter del block {block}")
        self.taken(f"tc chain del block {block} chain 4")
        self.taken("tc qdisc del dev tc1 clsact")
        self.taken(*QDISCS)

    def test_changed(self) -> None:
        """A filter that does something else is made what it was; others' filters stay."""
        block = self.block
        run(f"tc filter add block {block} chain 0 pref 7 protocol all flower action pass")
        losses = self.driver.show()["lost rules"]
        self.assertEqual(self.check(), [])
        entry = self.driver._rules.installer.entries.get(min(self.host.expected))
        other = attrs.evolve(entry.slots[0].filter, actions=(Gact(SHOT),))
        somebody = Probe(SYSTEM)
        self.addCleanup(somebody.close)
        request = pack.new_filter(other, block, ADDING, 1)
        self.assertEqual(somebody.ask(request), (0, ""))
        self.assertTrue(turn(self.reactor, lambda: self.driver.show()["lost rules"] > losses, 10))
        self.assert_right()
        self.assertIn("pref 7 ", run(f"tc filter show block {block} chain 0"))

    def test_own(self) -> None:
        """What the driver itself removes is no reason to look, also where a chain ends by it."""
        looks: list[float] = []
        look = self.driver._devices.look

        def counted() -> Any:
            looks.append(self.host.now())
            return look()

        self.patch(self.driver._devices, "look", counted)
        rule = FakeRule(Match.of(eth_src=9), 9, 0, (ApplyActions((SetQueue(3), Output(1))),))
        chains = run(f"tc chain show block {self.block}")
        self.add(rule)
        self.assertNotEqual(run(f"tc chain show block {self.block}"), chains)
        self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
        del self.host.expected[rule.handle]
        turn(self.reactor, lambda: looks, 0.5)
        self.assertEqual(run(f"tc chain show block {self.block}"), chains)
        self.assertEqual(looks, [])
        self.assertEqual(self.check(), [])

    def test_under_load(self) -> None:
        """Whatever is removed while rules are added, those that were confirmed are there
        in the end, and no others."""
        for commands in ((f"tc filter del block {self.block}",), QDISCS):
            operations = [FakeOperation.add(rule) for rule in self.many(MANY)[3:]]
            self.driver.submit(operations)
            turn(self.reactor, lambda: sum(op.done for op in operations) > MANY // 4, 30)  # noqa: B023
            for command in commands:
                run(command)
            self.settle(self.host, lambda: all(op.done for op in operations))  # noqa: B023
            self.expect(*operations)
            turn(self.reactor, lambda: False, 1)
            self.assert_right()
            gone = [FakeOperation.delete(op.rule) for op in operations if op.succeeded]
            self.assertGreater(len(gone), MANY // 4)
            self.run_operations(self.driver, self.host, *gone)
            for operation in gone:
                del self.host.expected[operation.rule.handle]
            self.assert_right()
