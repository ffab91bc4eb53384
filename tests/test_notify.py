"""Tests of :mod:`agent.notify`."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.notify import Notifier


class NotifierTests(SynchronousTestCase):
    """What systemd is told."""

    def setUp(self) -> None:
        """Nothing was told."""
        self.clock = Clock()
        self.told: list[tuple[str, bytes]] = []

    def notifier(self, **environment: str) -> Notifier:
        """One that notes what it tells."""
        return Notifier(self.clock, environment, lambda *sent: self.told.append(sent))

    def test_life(self) -> None:
        """It is ready once the reactor runs, not earlier, and tells when it stops."""
        notifier = self.notifier(NOTIFY_SOCKET="/run/systemd/notify")
        notifier.startService()
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertEqual(self.told, [("/run/systemd/notify", b"READY=1")])
        notifier.stopService()
        self.assertEqual(self.told[1:], [("/run/systemd/notify", b"STOPPING=1")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watchdog(self) -> None:
        """It is alive twice as often as systemd looks, until it stops."""
        notifier = self.notifier(
            NOTIFY_SOCKET="x", WATCHDOG_USEC="10000000", WATCHDOG_PID=str(os.getpid())
        )
        notifier.startService()
        self.clock.advance(0)
        del self.told[:]
        self.clock.pump([5, 5, 4])
        self.assertEqual(self.told, [("x", b"WATCHDOG=1")] * 2)
        notifier.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_meant(self) -> None:
        """A watchdog of another process, or of no sense, is not served."""
        for wanted in (
            {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "soon"},
            {},
        ):
            notifier = self.notifier(NOTIFY_SOCKET="x", **wanted)
            notifier.startService()
            self.clock.pump([0, 100])
            self.assertEqual([text for _, text in self.told], [b"READY=1"])
            notifier.stopService()
            del self.told[:]

    def test_alone(self) -> None:
        """Without systemd nothing is told."""
        notifier = self.notifier()
        notifier.startService()
        self.clock.pump([0, 100])
        notifier.stopService()
        self.assertEqual(self.told, [])

    def test_stopped_at_once(self) -> None:
        """An agent that stops before the reactor runs was never ready."""
        notifier = self.notifier(NOTIFY_SOCKET="x")
        notifier.startService()
        notifier.stopService()
        self.clock.advance(1)
        self.assertEqual(self.told, [("x", b"STOPPING=1")])

    def test_nobody_there(self) -> None:
        """That systemd cannot be told anything does not disturb the agent."""

        def fail(address: str, data: bytes) -> None:
            raise OSError(111, "Connection refused")

        notifier = Notifier(self.clock, {"NOTIFY_SOCKET": "x"}, fail)
        notifier.startService()
        self.clock.advance(0)
        notifier.stopService()
