"""Tests of :mod:`drivers.software.ports`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import PORT_BAD_PORT, OpenFlowError
from agent.openflow.messages import Port as ReservedPort
from drivers.interfaces import OptionError
from drivers.software.device import PortError
from drivers.software.memory import MemoryPort
from drivers.software.netdev import NetdevPort
from drivers.software.port import NO_FLOOD, Port
from drivers.software.ports import KINDS, Ports
from drivers.software.tap import TapPort
from drivers.testing import FakeEntry, FakeHost
from tests.drivers.software.kernel import CAP_NET_ADMIN, FakeKernel

FRAME = bytes(60)


class PortsTests(SynchronousTestCase):
    """All ports of a bridge."""

    def setUp(self) -> None:
        """Three ports, not in order."""
        self.ports = Ports.configured([FakeEntry(f"p{n}", n) for n in (3, 1, 2)])

    def test_order(self) -> None:
        """They are in the order of their numbers."""
        self.assertEqual([port.number for port in self.ports], [1, 2, 3])

    def test_flood(self) -> None:
        """FLOOD leaves out where it came from and who does not take part; ALL only the first."""
        self.ports[3].configure(NO_FLOOD, NO_FLOOD)
        self.assertEqual([port.number for port in self.ports.flood(1)], [2])
        self.assertEqual([port.number for port in self.ports.flood(99)], [1, 2])
        self.assertEqual([port.number for port in self.ports.all_but(1)], [2, 3])

    def test_modify(self) -> None:
        """A change is answered with what the port is then; of no port, it is BAD_PORT."""
        self.assertEqual(self.ports.modify(2, NO_FLOOD, NO_FLOOD).config, NO_FLOOD)
        error = self.assertRaises(OpenFlowError, self.ports.modify, 4, 0, 0)
        self.assertIs(error.code, PORT_BAD_PORT)

    def test_open_all_or_none(self) -> None:
        """When one cannot be opened, those that were are closed again."""

        class Broken(Port):
            def open(self, host: object, receive: object) -> None:
                raise OSError("no such device")

        good = MemoryPort(1, "p1")
        ports = Ports([good, Broken(2, "p2")])
        self.assertRaises(OSError, ports.open, FakeHost(), lambda port, frame: None)
        good.send(FRAME)
        self.assertEqual(list(good.sent), [])

    def test_open_in_order(self) -> None:
        """When one cannot be opened for want of a device, nothing of the others is left open."""
        kernel = FakeKernel()
        kernel.add("eth0")
        kernel.missing = {CAP_NET_ADMIN}
        entries = [FakeEntry("eth0", 1, type="netdev"), FakeEntry("tap0", 2, type="tap")]
        ports = Ports.configured(entries, kernel)
        reactor = MemoryReactorClock()
        host = FakeHost(reactor=reactor)
        error = self.assertRaises(PortError, ports.open, host, lambda port, frame: None)
        self.assertIn("CAP_NET_ADMIN", str(error))
        self.assertEqual((reactor.getReaders(), kernel.descriptors), ([], {}))

    def test_no_devices(self) -> None:
        """Ports in memory need neither privileges nor a reactor that reads."""
        kernel = FakeKernel()
        kernel.no_netlink = True
        ports = Ports.configured([FakeEntry("p1", 1)], kernel)
        ports.open(FakeHost(reactor=Clock()), lambda port, frame: None)
        ports.close()

    def test_local(self) -> None:
        """LOCAL is a port like others, the last of them, and takes part in flooding."""
        ports = Ports.configured([FakeEntry("br0", ReservedPort.LOCAL), FakeEntry("p1", 1)])
        self.assertEqual([port.number for port in ports], [1, 0xFFFFFFFE])
        self.assertEqual([port.name for port in ports.flood(1)], ["br0"])

    def test_queues(self) -> None:
        """A netdev has the queues that it is given, other ports can have none."""
        (port,) = Ports.configured([FakeEntry("a", 1, type="netdev", queues=(0, 3))])
        self.assertEqual(list(port.queues), [0, 3])
        for kind in ("memory", "tap"):
            entry = FakeEntry("a", 1, type=kind, queues=(0, 3))
            error = self.assertRaises(OptionError, Ports.configured, [entry])
            self.assertEqual((error.key, error.value), ("port.queues", [0, 3]))

    def test_kinds(self) -> None:
        """There are three kinds; another is refused."""
        entries = [FakeEntry(kind, n, type=kind) for n, kind in enumerate(KINDS)]
        self.assertEqual(
            [type(port) for port in Ports.configured(entries)], [MemoryPort, NetdevPort, TapPort]
        )
        error = self.assertRaises(OptionError, Ports.configured, [FakeEntry("a", 1, type="atm")])
        self.assertEqual((error.key, error.value), ("port.type", "atm"))
        self.assertIn("memory or netdev or tap", error.allowed)
