"""Tests of :mod:`drivers.asic.cpu`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from drivers.asic.cpu import MAX_TURN, Cpu


class CpuTests(SynchronousTestCase):
    """The way to the CPU, three packets wide."""

    def setUp(self) -> None:
        """Nothing is on it."""
        self.clock = Clock()
        self.cpu = Cpu(0.5, 3)
        self.cpu.power_on(self.clock)
        self.handled: list[str] = []

    def handle(self, name: str) -> Callable[[], object]:
        """Work that is remembered."""
        return lambda: self.handled.append(name)

    def test_latency(self) -> None:
        """Each packet takes its time, whatever else is on the way, and order is kept."""
        self.cpu.take(self.handle("a"))
        self.clock.advance(0.25)
        self.cpu.take(self.handle("b"))
        self.cpu.take(self.handle("c"))
        self.assertEqual((self.handled, self.cpu.waiting), ([], 3))
        self.clock.advance(0.25)
        self.assertEqual(self.handled, ["a"])
        self.clock.advance(0.25)
        self.assertEqual(self.handled, ["a", "b", "c"])
        self.assertEqual((self.cpu.handled, self.cpu.waiting), (3, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_narrow(self) -> None:
        """What finds no room is dropped and counted; there is room again when one has arrived."""
        for name in "abcd":
            self.cpu.take(self.handle(name))
        self.assertEqual((self.cpu.waiting, self.cpu.dropped), (3, 1))
        self.clock.advance(0.5)
        self.cpu.take(self.handle("e"))
        self.clock.advance(0.5)
        self.assertEqual(self.handled, ["a", "b", "c", "e"])

    def test_at_once(self) -> None:
        """Without latency there is no way, and nothing to be dropped from it."""
        cpu = Cpu(0.0, 1)
        cpu.power_on(self.clock)
        for name in "abc":
            cpu.take(self.handle(name))
        self.assertEqual((self.handled, cpu.handled, cpu.dropped), (["a", "b", "c"], 3, 0))

    def test_working(self) -> None:
        """While it handles a packet it says so, also when that ends badly; the rest arrives."""
        seen: list[bool] = []

        def fail() -> None:
            seen.append(self.cpu.working)
            raise ZeroDivisionError

        self.cpu.take(fail)
        self.cpu.take(self.handle("b"))
        self.assertRaises(ZeroDivisionError, self.clock.advance, 0.5)
        self.assertEqual((seen, self.cpu.working), ([True], False))
        self.clock.advance(0)
        self.assertEqual(self.handled, ["b"])

    def test_turns_are_short(self) -> None:
        """A flood does not hold up the reactor: it arrives in several turns."""
        cpu = Cpu(0.5, 3 * MAX_TURN)
        cpu.power_on(self.clock)
        for _ in range(MAX_TURN + 1):
            cpu.take(self.handle("x"))
        in_between: list[int] = []
        self.clock.callLater(0.5, lambda: in_between.append(len(self.handled)))
        self.clock.advance(0.5)
        self.assertEqual((in_between, len(self.handled)), ([MAX_TURN], MAX_TURN + 1))

    def test_more_meanwhile(self) -> None:
        """What a packet causes to go the same way takes its time, too."""
        self.cpu.take(lambda: self.cpu.take(self.handle("again")))
        self.clock.advance(0.5)
        self.assertEqual(self.handled, [])
        self.clock.advance(0.5)
        self.assertEqual(self.handled, ["again"])

    def test_power_off(self) -> None:
        """Without power all is lost, and no timer is left."""
        self.cpu.take(self.handle("a"))
        self.cpu.power_off()
        self.cpu.take(self.handle("b"))
        self.clock.advance(5)
        self.assertEqual((self.handled, self.cpu.waiting), ([], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_power_off_from_within(self) -> None:
        """A packet may be the last one."""
        self.cpu.take(self.cpu.power_off)
        self.cpu.take(self.handle("b"))
        self.clock.advance(0.5)
        self.assertEqual((self.handled, self.clock.getDelayedCalls()), ([], []))
