"""Tests of :mod:`drivers.software.ports`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import PORT_BAD_PORT, OpenFlowError
from drivers.interfaces import OptionError
from drivers.software.memory import MemoryPort
from drivers.software.port import NO_FLOOD, Port
from drivers.software.ports import Ports
from drivers.testing import FakeEntry, FakeHost

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

    def test_kinds(self) -> None:
        """A kind of port that there is not is refused."""
        error = self.assertRaises(OptionError, Ports.configured, [FakeEntry("tap0", 1, type="tap")])
        self.assertEqual((error.key, error.value), ("port.type", "tap"))
