"""The contract of drivers, for ports on network devices."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock

from agent.openflow.actions import Output
from agent.openflow.messages import Port
from drivers.software import ports
from drivers.testing import DriverContractTests, FakeEntry, FakeHost
from drivers.testing.frames import FRAME
from tests.drivers.software.kernel import FakeKernel


class DevicePortsContractTests(DriverContractTests):
    """What is true of a driver whose ports are in memory is true of one whose ports are not.

    Port 1 is a device that is there, port 2 one that is not, and LOCAL one that the agent makes.
    """

    port_entries = (
        FakeEntry("eth1", 1, type="netdev"),
        FakeEntry("eth2", 2, type="netdev"),
        FakeEntry("br0", Port.LOCAL, type="tap"),
    )

    def setUp(self) -> None:
        """A kernel of our own."""
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.kernel = FakeKernel()
        self.kernel.add("eth1")
        self.patch(ports, "SYSTEM", self.kernel)

    def make_reactor(self) -> Any:
        """One that knows descriptors, for all drivers of a test."""
        return self.reactor

    def started(self, **options: Any) -> tuple[Any, FakeHost]:
        """Several drivers may be started in a test; each makes a device of its own."""
        if self.kernel.devices.keys() > {"eth1"}:
            self.patch(self, "port_entries", self.port_entries[:2])
        return super().started(**options)

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """Frames come in by a device."""
        self.kernel.arrive(driver.port(in_port).name, frame)
        self.kernel.pump(self.reactor)

    def test_nothing_left_open(self) -> None:
        """When it has stopped, the kernel has neither its sockets nor its devices any more."""
        driver, host = self.started()
        self.assertEqual(set(self.kernel.devices), {"eth1", "br0"})
        self.stop(driver, host)
        self.assertEqual((self.kernel.descriptors, set(self.kernel.devices)), ({}, {"eth1"}))

    def test_local(self) -> None:
        """LOCAL takes and gives frames like any other port."""
        driver, _ = self.started()
        driver.packet_out(FRAME, Port.CONTROLLER, (Output(Port.LOCAL),))
        self.assertEqual(self.kernel.devices["br0"].sent, [FRAME])
        self.receive(driver, Port.LOCAL, FRAME)
        self.assertEqual(driver.port(Port.LOCAL).rx_packets, 1)
