"""Tests of :mod:`drivers.software.link` and :mod:`drivers.software.reader`."""

from __future__ import annotations

import errno
import socket

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from drivers.software import link
from drivers.software.link import BATCH, IFF_RUNNING, IFF_UP, Link, LinkMonitor
from tests.drivers.software.kernel import CAP_NET_ADMIN, FakeKernel, FakeNetlink, error, message

PROMISC = 1 << 8


class LinkTests(SynchronousTestCase):
    """What a device is."""

    def test_running(self) -> None:
        """A device runs when it is up and has a carrier."""
        for flags, running in (
            (0, False),
            (IFF_UP, False),
            (IFF_RUNNING, False),
            (IFF_UP | IFF_RUNNING, True),
        ):
            self.assertIs(Link(1, "eth0", flags, 0).running, running)

    def test_ethernet(self) -> None:
        """Loopback counts as Ethernet, a device without link layer does not."""
        self.assertTrue(Link(1, "eth0", 0, 0).ethernet)
        self.assertTrue(Link(1, "lo", 0, 0, 772).ethernet)
        self.assertFalse(Link(1, "wg0", 0, 0, 65534).ethernet)


class LinkMonitorTests(SynchronousTestCase):
    """What is told of devices."""

    def setUp(self) -> None:
        """A monitor that is open."""
        self.kernel = FakeKernel()
        self.reactor = MemoryReactorClock()
        self.monitor = LinkMonitor(self.kernel)
        self.monitor.open(self.reactor)
        self.told: list[Link | None] = []

    def watch(self, name: str = "eth0") -> Link | None:
        """Watch a device; what is told of it is remembered."""
        return self.monitor.watch(name, self.told.append)

    def pump(self) -> list[Link | None]:
        """Let the reactor read; returns what was told meanwhile."""
        self.kernel.pump(self.reactor)
        told, self.told[:] = list(self.told), []
        return told

    @property
    def netlink(self) -> FakeNetlink:
        """The socket."""
        opened: FakeNetlink = self.kernel.sockets(FakeNetlink)[0]
        return opened

    def test_subscribed(self) -> None:
        """It hears of changes, and has room for many."""
        self.assertEqual(self.netlink.bound, (0, link.RTMGRP_LINK))
        self.assertEqual(
            self.netlink.options, {(socket.SOL_SOCKET, link.SO_RCVBUFFORCE): link.RECEIVE_BUFFER}
        )

    def test_less_room(self) -> None:
        """Without the privilege for more, it takes the room that everybody may have."""
        self.monitor.close()
        self.kernel.missing = {CAP_NET_ADMIN}
        self.monitor.open(self.reactor)
        self.assertEqual(
            self.netlink.options, {(socket.SOL_SOCKET, socket.SO_RCVBUF): link.RECEIVE_BUFFER}
        )

    def test_present(self) -> None:
        """A device that is there is returned as it is, at once, and not told of again."""
        device = self.kernel.add("eth0", address="02:00:00:00:aa:bb")
        self.assertEqual(
            self.watch(), Link(device.index, "eth0", IFF_UP | IFF_RUNNING, 0x02000000AABB)
        )
        self.assertEqual(self.pump(), [])

    def test_absent(self) -> None:
        """Of one that is not there it says so, until it comes."""
        self.assertIsNone(self.watch())
        self.kernel.add("eth1")
        self.assertEqual(self.pump(), [])
        device = self.kernel.add("eth0", flags=IFF_UP)
        self.assertEqual(self.pump(), [Link(device.index, "eth0", IFF_UP, 0x020000000001)])

    def test_changes(self) -> None:
        """A change is told once; one that means nothing to a port is not."""
        device = self.kernel.add("eth0")
        self.watch()
        self.kernel.change("eth0", flags=IFF_UP)
        self.kernel.change("eth0", flags=IFF_UP | PROMISC)
        self.kernel.change("eth0", address="02:00:00:00:00:02")
        self.kernel.change("eth0")
        self.assertEqual(
            self.pump(),
            [
                Link(device.index, "eth0", IFF_UP, 0x020000000001),
                Link(device.index, "eth0", IFF_UP, 0x020000000002),
            ],
        )

    def test_odd_address(self) -> None:
        """What a device that is no Ethernet has for an address is none."""
        self.kernel.add("eth0", kind=768)
        found = self.watch()
        assert found is not None
        self.assertEqual(found.hw_addr, 0)

    def test_virtual(self) -> None:
        """Of a virtual device it says what kind it is."""
        self.kernel.add("eth0", virtual="vxlan")
        found = self.watch()
        assert found is not None
        self.assertEqual(found.virtual, "vxlan")

    def test_gone_and_back(self) -> None:
        """A device that goes is None; when it comes again it has another index."""
        first = self.kernel.add("eth0")
        self.watch()
        self.kernel.remove("eth0")
        self.assertEqual(self.pump(), [None])
        self.kernel.add("eth0")
        (found,) = self.pump()
        assert found is not None
        self.assertNotEqual(found.index, first.index)

    def test_renamed(self) -> None:
        """A device that is renamed is gone for who watches the old name, and there for the new."""
        others: list[Link | None] = []
        device = self.kernel.add("eth0")
        self.watch()
        self.monitor.watch("wan", others.append)
        self.kernel.change("eth0", rename="wan")
        self.assertEqual(self.pump(), [None])
        self.assertEqual(others, [Link(device.index, "wan", IFF_UP | IFF_RUNNING, 0x020000000001)])
        self.kernel.change("wan", rename="other")
        self.pump()
        self.assertEqual(others[1:], [None])

    def test_bridge_port(self) -> None:
        """That a Linux bridge has lost a port does not mean that the device is gone."""
        device = self.kernel.add("eth0")
        self.watch()
        self.netlink.queue.append(message(device, link.RTM_DELLINK, family=socket.AF_BRIDGE))
        self.assertEqual(self.pump(), [])

    def test_same_sequence_number(self) -> None:
        """News with the number of one of our questions, but caused by others, is no answer."""
        self.kernel.add("eth0")
        self.watch()
        self.kernel.remove("eth0", told=False)
        # The next question will have the number 2; this is read before its answer.
        other = self.kernel.add("eth7")
        self.netlink.queue.append(message(other, sequence=2, port_id=99))
        (reader,) = self.reactor.getReaders()
        reader.connectionLost(None)
        self.assertEqual(self.told, [None])

    def test_several_in_a_datagram(self) -> None:
        """Each message of a datagram counts."""
        device = self.kernel.add("eth0")
        self.watch()
        device.flags = 0
        first = message(device)
        device.flags = IFF_UP
        self.netlink.queue.append(first + message(device))
        self.assertEqual([found and found.flags for found in self.pump()], [0, IFF_UP])

    def test_cut_short(self) -> None:
        """What is cut short, or says that it is longer than it is, ends a datagram."""
        device = self.kernel.add("eth0")
        self.watch()
        device.flags = 0
        whole = message(device)
        for damaged in (b"", whole[:15], whole[:-1], b"\0" * 16, b"\xff" * 32):
            self.netlink.queue.append(damaged)
            self.assertEqual(self.pump(), [])

    def test_messages_lost(self) -> None:
        """When messages were lost it asks again about all, and tells what is new."""
        others: list[Link | None] = []
        self.kernel.add("eth0")
        self.watch()
        self.monitor.watch("eth1", others.append)
        self.kernel.remove("eth0", told=False)
        self.kernel.add("eth1")
        self.netlink.queue.clear()
        self.netlink.queue.append(error(errno.ENOBUFS))
        self.assertEqual(self.pump(), [None])
        self.assertEqual([found and found.name for found in others], ["eth1"])

    def test_replaced_unheard(self) -> None:
        """A device that has taken the place of one whose end was not heard of is another."""
        first = self.kernel.add("eth0")
        self.watch()
        self.kernel.remove("eth0", told=False)
        self.kernel.add("eth0")
        gone, there = self.pump()
        self.assertIsNone(gone)
        assert there is not None
        self.assertGreater(there.index, first.index)

    def test_error_on_the_socket(self) -> None:
        """An error that only the reactor sees means the same, and the socket is read on."""
        self.kernel.add("eth0")
        self.watch()
        self.kernel.remove("eth0", told=False)
        (reader,) = self.reactor.getReaders()
        self.reactor.removeReader(reader)
        reader.connectionLost(None)
        self.assertEqual(self.told, [None])
        self.assertEqual(self.reactor.getReaders(), [reader])

    def test_another_error(self) -> None:
        """Any other error is the reactor's to log; afterwards the socket is read on."""
        self.netlink.queue.append(error(errno.EIO))
        (reader,) = self.reactor.getReaders()
        self.assertRaises(OSError, reader.doRead)

    def test_bounded(self) -> None:
        """So many datagrams are read in one turn of the reactor, and the rest in others."""
        device = self.kernel.add("eth0")
        self.watch()
        for place in range(3 * BATCH):
            device.flags = IFF_UP * (place % 2)
            self.netlink.queue.append(message(device))
        self.kernel.turn(self.reactor)
        self.assertEqual(len(self.netlink.queue), 2 * BATCH)
        self.assertEqual(len(self.pump()), 3 * BATCH)

    def test_unwatch(self) -> None:
        """Who does not watch any more is told nothing, and may watch again."""
        self.kernel.add("eth0")
        self.watch()
        self.monitor.unwatch("eth0")
        self.monitor.unwatch("eth1")
        self.kernel.remove("eth0")
        self.assertEqual(self.pump(), [])
        self.assertIsNone(self.watch())

    def test_close(self) -> None:
        """When it is closed nothing is left open."""
        self.watch()
        self.monitor.close()
        self.monitor.close()
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.kernel.descriptors, {})

    def test_close_when_told(self) -> None:
        """It can be closed by who is told of a change; what is left to read is left."""
        self.kernel.add("eth0")
        told = []

        def changed(found: Link | None) -> None:
            told.append(found)
            self.monitor.close()

        self.monitor.watch("eth0", changed)
        self.kernel.change("eth0", flags=0)
        self.kernel.change("eth0", flags=IFF_UP)
        self.pump()
        self.assertEqual(len(told), 1)
        self.assertEqual(self.kernel.descriptors, {})

    def test_refused(self) -> None:
        """When netlink is not to be had, nothing is left open."""
        self.monitor.close()
        self.kernel.no_netlink = True
        self.assertRaises(OSError, self.monitor.open, self.reactor)
        self.assertEqual(self.kernel.descriptors, {})
        self.monitor.close()

    def test_prefix(self) -> None:
        """Twisted's log says who reads."""
        (reader,) = self.reactor.getReaders()
        self.assertEqual(reader.logPrefix(), "links")
