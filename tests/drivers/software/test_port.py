"""Tests of :mod:`drivers.software.port` and :mod:`drivers.software.memory`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import PORT_BAD_CONFIG, OpenFlowError
from agent.openflow.messages import PortReason
from drivers.software.memory import MemoryPort
from drivers.software.port import (
    LINK_DOWN,
    LIVE,
    NO_FLOOD,
    NO_FWD,
    NO_RECV,
    NO_RECV_STP,
    NO_STP,
    PORT_DOWN,
    LinkSettings,
    Port,
    hw_addr,
)
from drivers.testing import FakeHost

BPDU = bytes.fromhex("0180c2000000") + bytes(54)
FRAME = bytes(60)


class PortTests(SynchronousTestCase):
    """One port, of the kind that needs nothing."""

    def setUp(self) -> None:
        """A port that is open."""
        self.host = FakeHost()
        self.received: list[bytes] = []
        self.port = MemoryPort(7, "p7")
        self.port.open(self.host, lambda port, frame: self.received.append(frame))

    def test_receive(self) -> None:
        """A frame that comes in is counted and handed on."""
        self.port.inject(FRAME)
        self.assertEqual(self.received, [FRAME])
        stats = self.port.stats()
        self.assertEqual((stats.port_no, stats.rx_packets, stats.rx_bytes), (7, 1, 60))

    def test_send(self) -> None:
        """A frame that is sent is counted, kept, and seen at the other end."""
        seen: list[bytes] = []
        self.port.on_sent = seen.append
        self.port.send(FRAME)
        self.assertEqual((list(self.port.sent), seen), ([FRAME], [FRAME]))
        stats = self.port.stats()
        self.assertEqual((stats.tx_packets, stats.tx_bytes), (1, 60))

    def test_down(self) -> None:
        """A port that is down takes nothing, sends nothing and has no link."""
        self.port.configure(PORT_DOWN, PORT_DOWN)
        self.assertEqual(self.port.describe().state, LINK_DOWN)
        self.port.inject(FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.received, list(self.port.sent)), ([], []))
        stats = self.port.stats()
        self.assertEqual((stats.rx_packets, stats.tx_packets, stats.tx_dropped), (0, 0, 1))
        self.port.configure(0, PORT_DOWN)
        self.port.inject(FRAME)
        self.assertEqual(self.received, [FRAME])

    def test_no_link(self) -> None:
        """A port whose link goes down says so, and carries nothing; then up again."""
        self.port.set_link(False)
        self.port.set_link(False)
        self.port.send(FRAME)
        self.port.inject(FRAME)
        self.assertEqual((self.received, list(self.port.sent)), ([], []))
        self.port.set_link(True)
        self.assertEqual(
            [(reason, desc.state) for reason, desc in self.host.port_statuses],
            [(PortReason.MODIFY, LINK_DOWN), (PortReason.MODIFY, LIVE)],
        )

    def test_no_recv(self) -> None:
        """NO_RECV drops all but spanning tree, NO_RECV_STP just that; both are counted."""
        for config, kept in (
            (NO_RECV, [BPDU]),
            (NO_RECV_STP, [FRAME]),
            (NO_RECV | NO_RECV_STP, []),
        ):
            self.received.clear()
            self.port.configure(config, NO_RECV | NO_RECV_STP)
            self.port.inject(FRAME)
            self.port.inject(BPDU)
            self.assertEqual(self.received, kept)
        self.assertEqual(self.port.stats().rx_dropped, 4)
        self.assertEqual(self.port.stats().rx_packets, 6)

    def test_no_fwd(self) -> None:
        """NO_FWD lets frames in, and none out."""
        self.port.configure(NO_FWD, NO_FWD)
        self.port.inject(FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.received, list(self.port.sent)), ([FRAME], []))

    def test_configure(self) -> None:
        """Only the bits in the mask change."""
        self.port.configure(0xFF & ~NO_STP, NO_FLOOD)
        self.assertEqual(self.port.config, NO_FLOOD)
        self.port.configure(0, NO_RECV)
        self.assertEqual(self.port.config, NO_FLOOD)

    def test_configure_refused(self) -> None:
        """A bit that it does not have is BAD_CONFIG when it should change, and then none does."""
        for bits in (NO_STP, 1 << 20):
            error = self.assertRaises(
                OpenFlowError, self.port.configure, bits | NO_FLOOD, bits | NO_FLOOD
            )
            self.assertIs(error.code, PORT_BAD_CONFIG)
        self.port.configure(0, NO_STP)
        self.assertEqual(self.port.config, 0)

    def test_closed(self) -> None:
        """A port that is closed carries nothing."""
        self.port.close()
        self.port.inject(FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.received, list(self.port.sent)), ([], []))

    def test_duration(self) -> None:
        """A port counts since it was opened."""
        self.host.reactor.advance(2.25)
        stats = self.port.stats()
        self.assertEqual((stats.duration_sec, stats.duration_nsec), (2, 250_000_000))

    def test_address(self) -> None:
        """Addresses are unicast, locally administered, the same in each run, and differ between
        ports and between bridges."""
        addresses = {hw_addr(bridge, n) for bridge in ("br0", "br1") for n in (1, 2, 0xFEFF)}
        self.assertEqual(len(addresses), 6)
        self.assertEqual({address >> 40 for address in addresses}, {0x02})
        self.assertEqual(self.port.hw_addr, hw_addr("br0", 7))
        self.assertEqual(hw_addr("br0", 1), 0x2ED84000001)

    def test_sent_is_bounded(self) -> None:
        """Only so many of the frames that were sent are kept."""
        for number in range(MemoryPort.kept + 5):
            self.port.send(b"%d" % number)
        self.assertEqual(len(self.port.sent), MemoryPort.kept)
        self.assertEqual(self.port.sent[0], b"5")

    def test_settings(self) -> None:
        """A port says what it can do, and who hears of ports hears when that changes."""
        settings = LinkSettings(1, 2, 3, 4, 100, 1000)
        self.port.set_link(True, 0x02AABBCCDDEE, settings)
        self.port.set_link(True, 0x02AABBCCDDEE, settings)
        ((reason, desc),) = self.host.port_statuses
        self.assertEqual(reason, PortReason.MODIFY)
        self.assertEqual(desc, self.port.describe())
        self.assertEqual(desc.hw_addr, 0x02AABBCCDDEE)
        self.assertEqual((desc.curr, desc.advertised, desc.supported, desc.peer), (1, 2, 3, 4))
        self.assertEqual((desc.curr_speed, desc.max_speed), (100, 1000))

    def test_no_medium(self) -> None:
        """A kind of port that does not say how it sends frames is found out when it should."""
        port = Port(1, "p1")
        port.open(self.host, lambda port, frame: None)
        self.assertRaises(TypeError, port.send, FRAME)
