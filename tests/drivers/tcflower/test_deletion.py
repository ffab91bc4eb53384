"""Tests of how rules are deleted: what their filters have counted, and whatever the kernel says."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.tcflower.places import place
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from tests.drivers.tcflower.test_driver import TcFlowerHarness

COUNT = 100


class DeletionTests(TcFlowerHarness, SynchronousTestCase):
    """Rules of one filter each, which have counted, and one of several."""

    def setUp(self) -> None:
        """Have them."""
        super().setUp()
        self.driver, self.host = self.started()
        ((_, self.block),) = self.kernel.blocks.items()
        self.ground = set(self.block)
        self.made = [
            FakeRule(Match.of(in_port=1, eth_src=n), 101, instructions=output(2))
            for n in range(COUNT)
        ]
        self.made.append(FakeRule(Match.of(in_port=1, vlan_vid=0x1005), 100, 0, output(2)))
        self.run_operations(self.driver, self.host, *map(FakeOperation.add, self.made))
        added = self.block.keys() - self.ground
        self.one = min(key for key in added if key[:2] == place(0, 101))
        self.several = sorted(key for key in added if key[:2] == place(0, 100))
        self.assertGreater(len(self.several), 1)
        for key in added:
            if key not in self.several[1:]:
                self.kernel.hit(self.block[key], 2, 200)

    def delete(self, *rules: FakeRule) -> list[Exception | None]:
        """Delete rules; what comes of each is told once."""
        operations = [FakeOperation.delete(rule) for rule in rules]
        self.driver.submit(operations)
        self.settle(self.host, lambda: all(operation.done for operation in operations))
        self.assertEqual({len(operation.completions) for operation in operations}, {1})
        return [operation.completions[0] for operation in operations]

    def assert_gone(self) -> None:
        """Nothing is left of them, in the kernel or in the driver."""
        self.assertEqual(set(self.block) - self.ground, set())
        show = self.driver.show()
        self.assertEqual((show["rules"], show["filters"], show["waiting"]), (0, 0, 0))

    def test_counted(self) -> None:
        """What filters have counted in the end is there, once."""
        self.assertEqual(set(self.delete(*self.made)), {None})
        self.assertEqual({rule.counters.packets for rule in self.made}, {2})
        self.assert_gone()

    def test_lost(self) -> None:
        """Lost answers are asked for again, and nothing is counted twice."""
        self.kernel.room = 1
        self.assertEqual(set(self.delete(*self.made)), {None})
        self.assertGreater(self.driver.show()["lost answers"], 0)
        self.assertEqual({rule.counters.packets for rule in self.made}, {2})
        self.assert_gone()

    def test_never_answered(self) -> None:
        """Where no answer comes at all, a rule is not deleted, and its filter is there."""
        self.addCleanup(setattr, self.kernel, "room", self.kernel.room)
        self.kernel.room = 0
        before = set(self.block)
        (error,) = self.delete(self.made[0])
        self.assertIn("no acknowledgement", str(error))
        self.assertEqual(set(self.block), before)

    def test_gone(self) -> None:
        """What others have removed is deleted, though the kernel says that it is not there."""
        for key in self.block.keys() - self.ground:
            del self.block[key]
        self.assertEqual(set(self.delete(*self.made)), {None})
        self.assert_gone()

    def test_block_gone(self) -> None:
        """So it is with the block."""
        self.kernel.blocks.clear()
        self.block.clear()
        self.assertEqual(set(self.delete(*self.made)), {None})

    def test_refused(self) -> None:
        """What the kernel does not let go of is told, and is a rule as before, which counts on; and
        can be deleted later."""
        kept = {self.one, self.several[0]}
        self.kernel.keep = lambda key: (errno.EBUSY, "kept") if key in kept else (0, "")
        refused = [str(error) for error in self.delete(*self.made) if error is not None]
        self.assertEqual(len(refused), 2)
        self.assertTrue(all("kept" in text for text in refused))
        self.assertEqual(set(self.block) - self.ground - {self.one}, set(self.several))
        for key in kept:
            self.kernel.hit(self.block[key], 1, 100)
        self.kernel.keep = lambda key: (0, "")
        self.assertEqual(set(self.delete(*self.made)), {None})
        self.assertEqual(sorted({rule.counters.packets for rule in self.made}), [2, 3])
        self.assert_gone()
