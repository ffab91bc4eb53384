"""Tests of :mod:`drivers.software.tap`."""

from __future__ import annotations

import errno

from twisted.logger import LogLevel

from drivers.software.device import PortError
from drivers.software.link import IFF_UP
from drivers.software.port import LINK_DOWN, LIVE
from drivers.software.tap import MAKE_AGAIN
from tests.drivers.software.kernel import (
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    RUNNING,
    Device,
    FakeTap,
    error,
)
from tests.drivers.software.test_netdev import FRAME, DeviceCase


class TapTests(DeviceCase):
    """A port on a device that the agent makes."""

    kind = "tap"

    def setUp(self) -> None:
        """One port; no capability but the one that it needs."""
        super().setUp()
        self.kernel.missing = {CAP_NET_RAW}
        self.ports = self.open("tap0")
        self.port = self.ports[1]

    @property
    def device(self) -> Device:
        """The device."""
        return self.kernel.devices["tap0"]

    def test_made(self) -> None:
        """The device is there when the port is open, up, and lends the port its address."""
        self.assertEqual(self.device.flags, RUNNING)
        desc = self.port.describe()
        self.assertEqual((desc.state, desc.hw_addr), (LIVE, 0x020000000001))
        self.assertEqual((self.news(), self.logged(LogLevel.warn)), ([], []))

    def test_gone(self) -> None:
        """It is gone when the port is closed, and nothing is left open."""
        self.ports.close()
        self.assertEqual(self.kernel.devices, {})
        self.assertEqual((self.reactor.getReaders(), self.kernel.descriptors), ([], {}))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_frames(self) -> None:
        """What the host sends comes in, and what is sent the host gets, as it is."""
        self.kernel.arrive("tap0", FRAME, FRAME[:14], FRAME * 20)
        self.assertEqual(self.pump(), [FRAME, FRAME[:14], FRAME * 20])
        self.port.send(FRAME[:20])
        self.assertEqual(self.device.sent, [FRAME[:20]])
        stats = self.port.stats()
        self.assertEqual((stats.rx_packets, stats.tx_packets), (3, 1))

    def test_send_fails(self) -> None:
        """What the device does not take is counted, whatever the reason."""
        for reason in (errno.EAGAIN, errno.EIO, errno.EINVAL):
            self.device.busy = reason
            self.port.send(FRAME)
        self.assertEqual(self.port.stats().tx_dropped, 3)

    def test_down(self) -> None:
        """When somebody takes the device down, the port has no link."""
        self.kernel.change("tap0", flags=0)
        self.pump()
        self.kernel.change("tap0", flags=RUNNING)
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN), (1, LIVE)])

    def test_moved(self) -> None:
        """A device in another network namespace goes on working, and is taken to be up."""
        self.kernel.change("tap0", flags=0)
        self.pump()
        (opened,) = self.kernel.sockets(FakeTap)
        self.kernel.move("tap0")
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN), (1, LIVE)])
        opened.queue.append(FRAME)
        self.assertEqual(self.pump(), [FRAME])
        self.assertEqual(self.kernel.sockets(FakeTap), [opened])

    def test_deleted(self) -> None:
        """A device that somebody deletes is made again after a while."""
        self.kernel.remove("tap0")
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        self.assertEqual(self.kernel.sockets(FakeTap), [])
        self.port.send(FRAME)
        self.assertEqual(self.port.stats().tx_dropped, 1)
        self.reactor.advance(MAKE_AGAIN)
        self.pump()
        self.assertEqual(self.news()[-1], (1, LIVE))
        self.port.send(FRAME)
        self.assertEqual(self.device.sent, [FRAME])
        self.assertEqual(
            self.logged(LogLevel.info),
            [
                "br0: port 1 (tap0): the device is gone",
                "br0: port 1 (tap0): link down",
                "br0: port 1 (tap0): link up",
            ],
        )

    def test_deleted_elsewhere(self) -> None:
        """Also when that happens where netlink does not reach: the reactor sees an error."""
        self.kernel.remove("tap0", told=False)
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        self.reactor.advance(MAKE_AGAIN)
        self.pump()
        self.assertEqual(self.news()[-1], (1, LIVE))

    def test_made_again_in_vain(self) -> None:
        """It is tried again until it succeeds, which is not said each time."""
        self.kernel.remove("tap0")
        self.kernel.add("tap0", flags=IFF_UP)
        self.pump()
        said = len(self.events)
        for _ in range(3):
            self.reactor.advance(MAKE_AGAIN)
            self.pump()
        self.assertEqual((self.events[said:], self.news()[1:]), ([], []))
        self.kernel.remove("tap0")
        self.reactor.advance(MAKE_AGAIN)
        self.pump()
        self.assertEqual(self.port.describe().state, LIVE)

    def test_close_while_waiting(self) -> None:
        """Closing the port ends the attempts."""
        self.kernel.remove("tap0")
        self.pump()
        self.ports.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TapStartTests(DeviceCase):
    """How a port starts, or does not."""

    kind = "tap"

    def refused(self) -> str:
        """Open a port in vain; returns why.  Nothing is left open."""
        refusal = self.assertRaises(PortError, self.open, "tap0")
        self.assertEqual((self.reactor.getReaders(), self.kernel.descriptors), ([], {}))
        return str(refusal)

    def test_no_privilege(self) -> None:
        """Without the capability it says which, and for which port."""
        self.kernel.missing = {CAP_NET_ADMIN}
        self.assertEqual(
            self.refused(),
            "port 1 (tap0): the capability CAP_NET_ADMIN is needed to make a TAP device "
            "and bring it up",
        )

    def test_name_taken(self) -> None:
        """Another device of that name is not touched."""
        self.kernel.add("tap0")
        self.assertEqual(
            self.refused(),
            "port 1 (tap0): cannot make a TAP device: there is another device of this name",
        )
        self.assertIn("tap0", self.kernel.devices)

    def test_no_driver(self) -> None:
        """Any other reason is said as the kernel says it."""

        def refuse(path: str) -> int:
            raise error(errno.ENOENT)

        self.patch(self.kernel, "open", refuse)
        self.assertEqual(
            self.refused(),
            "port 1 (tap0): cannot make a TAP device: No such file or directory",
        )

    def test_up_already(self) -> None:
        """A device that is up is left alone, so that no capability is needed for that."""

        def attach(descriptor: int, request: int, argument: bytes) -> bytes:
            if isinstance(self.kernel.descriptors[descriptor], FakeTap):
                return argument
            self.assertNotEqual(request, 0x8914, "the flags were set")
            return original(descriptor, request, argument)

        self.kernel.add("tap0")
        original = self.kernel.ioctl
        self.patch(self.kernel, "ioctl", attach)
        self.assertEqual(self.open("tap0")[1].describe().state, LIVE)
