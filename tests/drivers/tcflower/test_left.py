"""Tests of :mod:`drivers.tcflower.left`: a second run finds what a first has left."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.leftovers import LeftRules
from agent.openflow.match import Match
from drivers.interfaces import OperationKind, Target
from drivers.tcflower.found import Found
from drivers.tcflower.left import Left
from drivers.tcflower.places import LAST, UPCALL_CHAIN, place
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.testing.harness import ContractHarness
from tests.drivers.tcflower.test_check import CheckHarness


class LeftOperation(FakeOperation):
    """The deletion of what is left."""

    target = Target.LEFT


class LeftTests(CheckHarness, SynchronousTestCase):
    """After a run that was killed."""

    def setUp(self) -> None:
        """Have a first run, whose rules count, and kill it."""
        super().setUp()
        self.with_rules(keep_rules=True)
        self.first = list(self.host.expected.values())
        for installed in self.block.values():
            self.kernel.hit(installed, 7, 700)
        self.stop(self.driver, self.host)
        self.before = dict(self.block)

    def again(self, **options: Any) -> None:
        """Begin a second run."""
        self.kernel.requests = 0
        options = {"keep_rules": True, **options}
        self.driver, self.host = ContractHarness.started(self, **options)
        self.driver.port_mod(2, 1, 1)
        self.pass_time(0.1)
        ((_, self.block),) = self.kernel.blocks.items()

    def ask(self, *rules: FakeRule) -> list[FakeRule]:
        """Ask for rules with these matches and instructions; returns them."""
        made = [FakeRule(r.match, r.priority, r.table_id, r.instructions) for r in rules]
        operations = [FakeOperation.add(rule) for rule in made]
        self.run_operations(self.driver, self.host, *operations)
        self.assertTrue(all(operation.succeeded for operation in operations))
        self.host.expected.update((rule.handle, rule) for rule in made)
        return made

    def test_stays(self) -> None:
        """What is there forwards until somebody says what there shall be, however long."""
        self.again()
        self.pass_time(1000, 10)
        self.assertEqual(set(self.block), set(self.before))
        rules = [key for key in self.before if key[1] != 0xFFFF and key[0] != UPCALL_CHAIN]
        count = len([key for key in rules if key[:2] != (0, 1)])
        self.assertEqual(self.driver.show()["left filters"], count)
        self.assertTrue(all("earlier run" in line for line in self.check()))

    def test_adopted(self) -> None:
        """Rules that are asked for again are as they were, untouched, but for their tails; they
        count from then on."""
        self.again()
        rules = self.ask(*reversed(self.first))
        self.assertEqual(self.check(), [])
        for key, installed in self.before.items():
            if key[0] < 1024 and key[1] not in (1, 0xFFFF):
                self.assertIs(self.block[key], installed)
        self.assertEqual(self.driver.show()["left filters"], 0)
        self.wait(self.host, self.driver.refresh(rules))
        self.assertEqual({rule.counters.packets for rule in rules}, {0})
        for installed in self.block.values():
            self.kernel.hit(installed, 1, 100)
        self.wait(self.host, self.driver.refresh(rules))
        self.assertLessEqual({rule.counters.packets for rule in rules}, {1, 2, 4, 6})
        requests = self.kernel.requests
        self.pass_time(100, 10)
        self.assertEqual(self.kernel.requests, requests)

    def test_others(self) -> None:
        """A rule that does something else than one that is left takes its place; what nobody asks
        for goes after a while, and no filter is there twice."""
        self.again(adopt_seconds=5)
        changed = [FakeRule(r.match, r.priority, r.table_id, output(1)) for r in self.first[:3]]
        self.ask(*changed, *self.first[6:])
        self.assertGreater(self.driver.show()["left filters"], 0)
        self.pass_time(6, 0.5)
        self.assertEqual(self.driver.show()["left filters"], 0)
        self.assertEqual(self.check(), [])
        new = FakeRule(Match.of(in_port=1), 2, 0, output(1))
        self.ask(new)
        self.assertEqual(self.check(), [])

    def test_everything_deleted(self) -> None:
        """Who deletes everything means what is left, too: in all tables, or in one."""
        self.again()

        delete = LeftOperation(OperationKind.DELETE, LeftRules(12345, (4,)))
        self.run_operations(self.driver, self.host, delete)
        self.assertTrue(delete.succeeded)
        self.assertEqual({key[1] for key in self.block if key[0] == 4} - {0xFFFF}, set())
        self.assertGreater(self.driver.show()["left filters"], 0)
        delete = LeftOperation(OperationKind.DELETE, LeftRules(12345, range(16)))
        self.run_operations(self.driver, self.host, delete)
        self.assertEqual({key[1] for key in self.block} - {1, 0xFFFF}, set())
        self.assertEqual(self.driver.show()["left filters"], 0)
        self.ask(*self.first)
        self.pass_time(100, 10)
        self.assertEqual(self.check(), [])

    def test_table(self) -> None:
        """What is of no table is not of table 0: neither what leads to the software, nor tails;
        they go when nothing leads there any more, after what did."""
        keys = [(0, 5, 1), (256, 5, 2), (4, 5, 3), (512, LAST, 1), (1024, 1, 1)]
        left = Left(Found(key, ((99, repr(key).encode()),), (), 0, b"") for key in keys)
        self.assertEqual(left.of_tables((0, 5)), keys[:2])
        self.assertEqual(len(left), 3)
        self.assertEqual(left.of_tables((4,)), keys[2:])
        self.assertEqual(len(left), 0)

    def test_device_gone(self) -> None:
        """A device that has gone meanwhile: what led from there to the software goes at once, what
        was about it is claimed by nobody, though it looks like what is about no device.  When it
        comes back, it is another."""
        self.again()
        alike = [FakeRule(Match.of(eth_type=0x800, **at), 50) for at in ({}, {"in_port": 1})]
        self.ask(*alike)
        self.stop(self.driver, self.host)
        for there in (False, True):
            device = self.kernel.devices["eth1"]
            self.kernel.remove("eth1")
            if there:
                self.kernel.add("eth1")
            self.driver, self.host = ContractHarness.started(self, keep_rules=True, adopt_seconds=1)
            ((_, self.block),) = self.kernel.blocks.items()
            self.assertNotIn((UPCALL_CHAIN, 1, device.index), self.block)
            self.ask(*alike)
            self.pass_time(2, 0.1)
            self.assertEqual(self.check(), [])
            indexes = [one.index for key, one in self.block.items() if key[:2] == place(0, 50)]
            wanted = [0, self.kernel.devices["eth1"].index] if there else [0]
            self.assertEqual(sorted(indexes), wanted)
            self.stop(self.driver, self.host)
            if not there:
                self.kernel.add("eth1")

    def test_gone_meanwhile(self) -> None:
        """What was there at the start and is not when it is claimed is installed."""
        self.again()
        keys = [key for key in self.block if key[0] == 0 and key[1] not in (1, 0xFFFF)]
        self.kernel.take_away(*keys[::2])
        self.ask(*self.first)
        self.assertEqual(self.check(), [])

    def test_refused(self) -> None:
        """A rule that claims some filters and is refused another has none of them."""
        self.again()
        (rule,) = [one for one in self.first if one.match == Match.of(vlan_vid=0x1005, in_port=1)]
        keys = sorted(key for key in self.block if key[:2] == place(0, 9))
        self.kernel.take_away(*keys[1:])
        self.kernel.refuse = lambda key: (1, "no")
        add = FakeOperation.add(FakeRule(rule.match, 9, 0, rule.instructions))
        self.run_operations(self.driver, self.host, add)
        self.assertFalse(add.succeeded)
        self.assertEqual([key for key in self.block if key[:2] == place(0, 9)], [])
        self.kernel.refuse = lambda key: (0, "")
        self.ask(*self.first)
        self.pass_time(100, 10)
        self.assertEqual(self.check(), [])

    def test_device_left(self) -> None:
        """A device that is no port any more is let go; others keep what they have."""
        self.patch(self, "port_entries", self.port_entries[:1])
        self.kernel.requests = 0
        self.driver, self.host = ContractHarness.started(self)
        self.assertEqual(list(self.kernel.qdiscs), [self.kernel.devices["eth1"].index])
        ((_, self.block),) = self.kernel.blocks.items()
        self.assertGreater(len(self.block), 10)
