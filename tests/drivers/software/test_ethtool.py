"""Tests of :mod:`drivers.software.ethtool`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from drivers.software import ethtool
from drivers.software.ethtool import COMMAND, GSET, link_settings
from drivers.software.port import IN_MEMORY, LinkSettings
from tests.drivers.software.kernel import FakeKernel


def answer(
    supported: int = 0,
    advertising: int = 0,
    speed: int = ethtool.SPEED_UNKNOWN,
    duplex: int = ethtool.DUPLEX_FULL,
    port: int = ethtool.PORT_TP,
    autoneg: int = 0,
    peer: int = 0,
) -> bytes:
    """What the kernel says."""
    low, high = speed & 0xFFFF, speed >> 16
    return COMMAND.pack(
        *(GSET, supported, advertising, low, duplex, port, 0, 0, autoneg),
        *(0, 0, 0, high, 0, 0, peer),
    )


class LinkSettingsTests(SynchronousTestCase):
    """What a device can do, in the words of OpenFlow."""

    def settings(self, said: bytes | None) -> LinkSettings | None:
        """What becomes of an answer."""
        kernel = FakeKernel()
        kernel.add("eth0", settings=said)
        return link_settings(kernel, "eth0")

    def test_size(self) -> None:
        """The structure has the size that the kernel copies."""
        self.assertEqual(COMMAND.size, 44)

    def test_gigabit(self) -> None:
        """An ordinary card of 1 Gb/s on copper."""
        modes = 0b10_0000 | 0b1111 | 1 << 6 | 1 << 7 | 1 << 13
        found = self.settings(answer(modes, modes, 1000, autoneg=1, peer=1 << 5 | 1 << 6))
        able = (
            ethtool.HD_10MB
            | ethtool.FD_10MB
            | ethtool.HD_100MB
            | ethtool.FD_100MB
            | ethtool.FD_1GB
            | ethtool.COPPER
            | ethtool.AUTONEG
            | ethtool.PAUSE
        )
        now = ethtool.FD_1GB | ethtool.COPPER | ethtool.AUTONEG
        peer = ethtool.FD_1GB | ethtool.AUTONEG
        self.assertEqual(found, LinkSettings(now, able, able, peer, 1_000_000, 1_000_000))

    def test_half_duplex(self) -> None:
        """Half duplex has features of its own."""
        found = self.settings(answer(0b1111, 0b1111, 10, duplex=0))
        assert found is not None
        self.assertEqual(found.current, ethtool.HD_10MB | ethtool.COPPER)
        self.assertEqual((found.speed, found.max_speed), (10_000, 100_000))

    def test_fibre(self) -> None:
        """100 Gb/s on fibre, for which the old structure has no modes."""
        found = self.settings(answer(1 << 10, 0, 100_000, port=ethtool.PORT_FIBRE))
        assert found is not None
        self.assertEqual(found.current, ethtool.FD_100GB | ethtool.FIBER)
        self.assertEqual((found.speed, found.max_speed), (100_000_000, 100_000_000))

    def test_odd_speed(self) -> None:
        """A speed that OpenFlow has no bit for is another one."""
        found = self.settings(answer(speed=25_000, port=5))
        assert found is not None
        self.assertEqual((found.current, found.speed), (ethtool.OTHER, 25_000_000))

    def test_no_link(self) -> None:
        """Without a link there is no speed, however the driver says so."""
        for speed in (ethtool.SPEED_UNKNOWN, 0xFFFF, 0):
            found = self.settings(answer(0b10_0000, 0b10_0000, speed, duplex=0xFF))
            assert found is not None
            self.assertEqual(found.current, ethtool.COPPER)
            self.assertEqual((found.speed, found.max_speed), (0, 1_000_000))

    def test_does_not_say(self) -> None:
        """A device that does not say is as fast as memory; one that is gone says nothing."""
        self.assertIs(self.settings(None), IN_MEMORY)
        self.assertIsNone(link_settings(FakeKernel(), "eth0"))
