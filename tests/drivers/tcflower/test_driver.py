"""Tests of :mod:`drivers.tcflower.driver`: the contract, with a kernel of our own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from drivers.plugin import DriverFactory
from drivers.software import system
from drivers.testing import DriverContractTests, FakeEntry, FakeHost
from drivers.testing.harness import ContractHarness
from tests.drivers.tcflower.kernel import FakeTcKernel

FACTORY = DriverFactory("tcflower", "drivers.tcflower.driver", "tc flower")


class TcFlowerHarness(ContractHarness):
    """A driver and its kernel.  Port 1 and 2 have a device, port 3 has none."""

    factory = FACTORY
    port_entries = tuple(FakeEntry(f"eth{n}", n, type="netdev") for n in (1, 2, 3))

    def setUp(self) -> None:
        """A kernel with devices."""
        super().setUp()
        self.reactor: Any = MemoryReactorClock()
        self.kernel = FakeTcKernel()
        for name in ("eth1", "eth2"):
            self.kernel.add(name)
        self.patch(system, "SYSTEM", self.kernel)

    def make_reactor(self) -> Any:
        """One that knows descriptors."""
        return self.reactor

    def started(self, **options: Any) -> tuple[Any, FakeHost]:
        """A device belongs to one driver: another has another."""
        if self.kernel.qdiscs:
            self.patch(self, "port_entries", (FakeEntry("eth4", 4, type="netdev"),))
            self.kernel.add("eth4")
        return super().started(**options)

    def settle(self, host: FakeHost, done: Callable[[], bool]) -> None:
        """Let the kernel answer; what is looked at now and then is not waited for."""
        for _ in range(200):
            if done():
                return
            self.kernel.pump(self.reactor)
            self.reactor.advance(0)

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """A packet comes in by a device: the filters of the contract's rules count it."""
        name = f"eth{in_port}"
        for block in self.kernel.blocks.values():
            for installed in sorted(block.values(), key=lambda one: one.key):
                if installed.key[:2] != (0, 0xFFFF) and f"'{name}'" in installed.what:
                    self.kernel.hit(installed, 1, len(frame) - 14)
                    return


class TcFlowerContractTests(TcFlowerHarness, DriverContractTests, SynchronousTestCase):
    """What is true of every driver."""


class RefusedTests(TcFlowerHarness, SynchronousTestCase):
    """What happens when the host cannot."""

    def test_no_capability(self) -> None:
        """Without CAP_NET_ADMIN there is one clear sentence."""
        self.kernel.tc = lambda kind, flags, message: (errno.EPERM, "")  # type: ignore[method-assign]
        error = self.assertRaises(OSError, self.started)
        self.assertIn("CAP_NET_ADMIN", str(error))
        self.assertEqual(self.kernel.descriptors, {})
