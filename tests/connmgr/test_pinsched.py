"""Tests of :mod:`agent.connmgr.pinsched`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.pinsched import BATCH, PacketInScheduler, TokenBucket


class TokenBucketTests(SynchronousTestCase):
    """How many tokens there are."""

    def test_burst_then_rate(self) -> None:
        """First as many as it holds, then as many as the time brings, and never more."""
        bucket = TokenBucket(10, 5, 0.0)
        self.assertEqual([bucket.withdraw(0.0) for _ in range(7)], [True] * 5 + [False] * 2)
        self.assertEqual([bucket.withdraw(0.1), bucket.withdraw(0.1)], [True, False])
        self.assertEqual(sum(bucket.withdraw(100.0) for _ in range(20)), 5)

    @given(
        st.integers(1, 10_000),
        st.integers(1, 1000),
        st.lists(st.floats(0, 0.5), max_size=50),
    )
    def test_never_too_many(self, rate: int, burst: int, pauses: list[float]) -> None:
        """In any time it gives no more than a burst and what the rate allows; and after the time
        that it says to wait there is a token."""
        bucket = TokenBucket(rate, burst, 0.0)
        now = taken = 0.0
        for pause in pauses:
            now += pause
            for _ in range(3):
                taken += bucket.withdraw(now)
            self.assertLessEqual(taken, burst + now * rate + 1e-3)
        while bucket.withdraw(now):
            pass
        self.assertTrue(bucket.withdraw(now + bucket.wait()))


class SchedulerTests(SynchronousTestCase):
    """Which packets are sent, and when."""

    def setUp(self) -> None:
        """Ten packets a second, two at once."""
        self.clock = Clock()
        self.sent: list[str] = []
        self.scheduler = self.make(10, 2)

    def make(self, rate: int, burst: int) -> PacketInScheduler[str]:
        """A scheduler that sends to the test."""
        return PacketInScheduler(self.clock, rate, burst, self.sent.append)

    def offer(self, packets: str) -> None:
        """Packets, each named by its port and a letter, one after another."""
        for packet in packets.split():
            self.scheduler.offer(int(packet[0]), packet)

    def counters(self) -> tuple[int, int, int, int]:
        """How many were sent at once, had to wait, wait now, and were dropped."""
        one = self.scheduler
        return one.normal, one.limited, one.queued, one.dropped

    def test_below_the_limit(self) -> None:
        """Packets that are not too many are sent at once, and leave no timer."""
        for _ in range(100):
            self.offer("1a")
            self.clock.advance(0.1)
        self.assertEqual(len(self.sent), 100)
        self.assertEqual(self.counters(), (100, 0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wait(self) -> None:
        """Others are sent as the time comes, in their order."""
        self.offer("1a 1b 1c 1d")
        self.assertEqual((self.sent, self.counters()), (["1a", "1b"], (2, 2, 2, 0)))
        self.clock.advance(0.09)
        self.assertEqual(self.sent, ["1a", "1b"])
        self.clock.advance(0.02)
        self.assertEqual(self.sent, ["1a", "1b", "1c"])
        self.clock.advance(0.1)
        self.assertEqual(self.sent, ["1a", "1b", "1c", "1d"])
        self.assertEqual((self.counters(), self.clock.getDelayedCalls()), ((2, 2, 0, 0), []))

    def test_none_overtakes(self) -> None:
        """While packets wait, a new one waits as well, even if there is a token."""
        self.offer("1a 1b 1c")
        for call in self.clock.calls:
            call.delay(10)
        self.clock.rightNow += 1
        self.offer("1d")
        self.assertEqual(self.sent, ["1a", "1b"])

    def test_round_robin(self) -> None:
        """Ports are served in turn, however much there is of each."""
        self.scheduler = self.make(10, 8)
        self.offer("9x " * 8)
        self.sent.clear()
        self.offer("1a 1b 1c 1d 2a 3a 3b 3c")
        for _ in range(100):
            self.clock.advance(0.01)
        self.assertEqual(self.sent, ["1a", "2a", "3a", "1b", "3b", "1c", "3c", "1d"])

    def test_longest_loses(self) -> None:
        """When there is no room, the port with the most loses its oldest; the others lose none."""
        self.scheduler = self.make(10, 4)
        self.offer("9x " * 4)
        self.sent.clear()
        self.offer("1a 2a 1b 1c")
        self.assertEqual(self.counters()[2:], (4, 0))
        self.offer("1d 1e 1f 3a")
        self.assertEqual(self.counters()[2:], (4, 4))
        self.clock.advance(1)
        for _ in range(100):
            self.clock.advance(0.1)
        self.assertEqual(sorted(self.sent), ["1e", "1f", "2a", "3a"])

    def test_quarter(self) -> None:
        """The burst is a quarter of the rate unless it is given, and at least one."""
        for rate, burst, at_once in ((1000, 0, 250), (1000, 7, 7), (3, 0, 1), (1, 0, 1)):
            self.sent.clear()
            self.scheduler = self.make(rate, burst)
            self.offer("1a " * 600)
            self.assertEqual((len(self.sent), self.scheduler.queued), (at_once, at_once))

    def test_fair_to_the_agent(self) -> None:
        """A turn sends so many packets, and no more: after a long turn of others, say."""
        self.scheduler = self.make(100_000, 1000)
        self.offer("1a " * 2000)
        self.sent.clear()
        turns = []
        self.clock.rightNow += 1
        while self.clock.calls:
            call = self.clock.calls.pop(0)
            before = len(self.sent)
            call.called = 1
            call.func(*call.args, **call.kw)
            turns.append(len(self.sent) - before)
        self.assertEqual(turns, [BATCH] * 20)

    def test_few_turns(self) -> None:
        """Several packets are sent at a time rather than each in a turn of its own."""
        self.scheduler = self.make(1000, 100)
        self.offer("1a " * 200)
        self.sent.clear()
        turns = 0
        while self.clock.calls:
            turns += 1
            self.clock.advance(self.clock.calls[0].getTime() - self.clock.seconds())
        self.assertEqual((len(self.sent), turns), (100, 10))
        self.assertAlmostEqual(self.clock.seconds(), 0.1, 3)

    def test_stop(self) -> None:
        """What waits is forgotten, and so is the timer."""
        self.offer("1a 1b 1c 1d")
        self.scheduler.stop()
        self.clock.advance(10)
        self.assertEqual((len(self.sent), self.scheduler.queued), (2, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.scheduler.stop()
