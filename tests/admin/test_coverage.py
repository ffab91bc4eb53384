"""Tests of :mod:`agent.admin.coverage`."""

from __future__ import annotations

import re

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.coverage import INTERVAL, Coverage


class CoverageTests(SynchronousTestCase):
    """Counters and their rates."""

    def setUp(self) -> None:
        """Counters that are noted as time passes."""
        self.clock = Clock()
        self.coverage = Coverage()
        self.coverage.start(self.clock)
        self.addCleanup(self.coverage.stop)

    def run_for(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def test_counter(self) -> None:
        """There is one counter of a name, and what is added to it is its total."""
        counter = self.coverage.counter("flow_mod")
        self.assertIs(self.coverage.counter("flow_mod"), counter)
        counter.count += 3
        self.assertEqual(self.coverage.total("flow_mod"), 3)
        self.assertEqual(self.coverage.rates("flow_mod").total, 3)
        self.assertEqual(list(self.coverage), ["flow_mod"])

    def test_watched(self) -> None:
        """What is counted elsewhere is shown beside the rest; what was there before counts as a
        total but not as a rate."""
        count = [100]
        self.coverage.watch("elsewhere", lambda: count[0])
        self.assertRaises(ValueError, self.coverage.watch, "elsewhere", int)
        count[0] += 10
        self.run_for(INTERVAL)
        rates = self.coverage.rates("elsewhere")
        self.assertEqual((rates.interval, rates.total), (2.0, 110))
        self.coverage.unwatch("elsewhere")
        self.assertEqual(list(self.coverage), [])
        self.assertRaises(KeyError, self.coverage.total, "elsewhere")

    def test_interval(self) -> None:
        """The first rate is that of the last whole interval, and falls to zero after it."""
        counter = self.coverage.counter("a")
        counter.count += 50
        self.assertEqual(self.coverage.rates("a").interval, 0)
        self.run_for(INTERVAL)
        self.assertEqual(self.coverage.rates("a").interval, 10.0)
        self.run_for(INTERVAL)
        self.assertEqual(self.coverage.rates("a").interval, 0)

    def test_minute(self) -> None:
        """The second rate is that of the last minute."""
        counter = self.coverage.counter("a")
        counter.count += 120
        self.run_for(INTERVAL)
        self.assertEqual(self.coverage.rates("a").minute, 2.0)
        self.run_for(55)
        self.assertEqual(self.coverage.rates("a").minute, 2.0)
        self.run_for(INTERVAL)
        self.assertEqual(self.coverage.rates("a").minute, 0)

    def test_hour(self) -> None:
        """The third rate is that of the last hour; in the first one, it is too small."""
        counter = self.coverage.counter("a")
        for _ in range(60):
            counter.count += 60
            self.run_for(60)
        self.assertEqual(self.coverage.rates("a").hour, 1.0)
        self.run_for(1800)
        self.assertEqual(self.coverage.rates("a").hour, 0.5)
        self.run_for(1800)
        self.assertEqual(self.coverage.rates("a").hour, 0)

    def test_late(self) -> None:
        """When the process slept, what happened meanwhile is spread over the time, and its sum is
        kept."""
        counter = self.coverage.counter("a")
        counter.count += 121
        self.clock.advance(60)
        rates = self.coverage.rates("a")
        self.assertApproximates(rates.interval, 2.0, 0.25)
        self.assertEqual(rates.minute, 121 / 60)
        self.assertEqual(rates.hour, 121 / 3600)

    def test_asleep_for_days(self) -> None:
        """A long sleep costs no long time, and ends with rates of what was counted in it."""
        counter = self.coverage.counter("a")
        counter.count += 7200
        self.clock.advance(7 * 86400)
        self.assertApproximates(self.coverage.rates("a").hour, 2.0, 0.1)
        self.assertEqual(self.coverage.total("a"), 7200)

    def test_stop(self) -> None:
        """Stopping leaves no timer, and may be done twice."""
        self.coverage.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.coverage.stop()

    def test_show(self) -> None:
        """The table is that of Open vSwitch: what counted, in its columns, and how many did not."""
        self.coverage.counter("never")
        self.coverage.counter("b_often").count += 3000
        self.coverage.counter("a_once").count += 1
        self.run_for(INTERVAL)
        head, *lines = self.coverage.show().splitlines()
        self.assertRegex(
            head,
            r"^Event coverage, avg rate over last: 5 seconds, last minute, last hour,  "
            r"hash=[0-9a-f]{8}:$",
        )
        self.assertEqual(
            lines,
            [
                "a_once                     0.2/sec     0.017/sec        0.0003/sec   total: 1",
                "b_often                  600.0/sec    50.000/sec        0.8333/sec   total: 3000",
                "1 events never hit",
            ],
        )

    def test_hash(self) -> None:
        """The hash is the same as long as the order of the frequencies is."""

        def hashed() -> str:
            found = re.search("hash=([0-9a-f]+)", self.coverage.show())
            assert found is not None
            return found[1]

        self.coverage.counter("a").count += 1
        self.coverage.counter("b").count += 2
        before = hashed()
        self.coverage.counter("b").count += 2
        self.assertEqual(hashed(), before)
        self.coverage.counter("a").count += 9
        self.assertNotEqual(hashed(), before)
