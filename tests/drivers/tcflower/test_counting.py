"""Tests of :mod:`drivers.tcflower.counting`: which of its ways is taken, and that all are right."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

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
        installed.flags, installed.in_hw_count = 4, 2
        self.refresh()
        self.assertEqual(self.driver.show()["in hardware"], 1)

    def test_made_anew(self) -> None:
        """A filter that somebody has made anew counts from zero, and the rule goes on."""
        self.hit(*self.made[:20])
        self.refresh()
        for rule in self.made[:20]:
            installed = self.filter(rule)
            installed.packets, installed.octets = 1, 60
        self.assertEqual(self.refresh(), [3] * 20 + [0] * 80)
        self.assertEqual(self.made[0].counters.bytes, 200 + 2 * 14 + 60 + 14)
