"""Tests of :mod:`drivers.asic.reader`, and of the profile's keys."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from drivers.asic.driver import create
from drivers.asic.profile import load
from drivers.asic.reader import Reader
from drivers.testing import FakeHost, FakeRule


class ReaderTests(SynchronousTestCase):
    """How long reads of counters take."""

    def setUp(self) -> None:
        """A read takes a second, and a tenth for each entry."""
        self.clock = Clock()
        self.reader = Reader(1.0, 0.1)
        self.reader.power_on(self.clock)

    def test_time(self) -> None:
        """A read takes its time and that of its entries; the next begins when it has ended."""
        one, two = self.reader.wait(10), self.reader.wait(1)
        self.clock.advance(1.9)
        self.assertNoResult(one)
        self.clock.advance(0.1)
        self.successResultOf(one)
        self.clock.advance(1.0)
        self.assertNoResult(two)
        self.clock.advance(0.1001)
        self.successResultOf(two)
        self.clock.advance(10)
        later = self.reader.wait(10)
        self.clock.advance(1.9)
        self.assertNoResult(later)
        self.clock.advance(0.1001)
        self.successResultOf(later)

    def test_nothing(self) -> None:
        """To read nothing takes no time, and no more does a read that is said to take none."""
        self.successResultOf(self.reader.wait(0))
        free = Reader(0.0, 0.0)
        free.power_on(self.clock)
        self.successResultOf(free.wait(1000))

    def test_off(self) -> None:
        """Who waits when the power goes off does not wait for ever."""
        waits = [self.reader.wait(1), self.reader.wait(1)]
        self.reader.power_off()
        for wait in waits:
            self.successResultOf(wait)
        self.assertEqual((self.clock.getDelayedCalls(), len(self.reader)), ([], 0))
        self.successResultOf(self.reader.wait(1))

    def test_driver(self) -> None:
        """The driver's refresh takes what the profile says: here 5 ms, and 0.1 ms for each."""
        self.assertEqual((load("early").statistics, load("early").statistics_entry), (5e-3, 1e-4))
        driver = create({"profile": "early"}, [], [])
        host = FakeHost()
        driver.start(host)
        read = driver.refresh([FakeRule() for _ in range(50)])
        host.reactor.advance(0.0099)
        self.assertNoResult(read)
        host.reactor.advance(0.0002)
        self.successResultOf(read)
        waits = driver.refresh([FakeRule()])
        self.successResultOf(driver.stop())
        self.successResultOf(waits)
