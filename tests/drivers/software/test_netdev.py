"""Tests of :mod:`drivers.software.netdev` and :mod:`drivers.software.device`."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.messages import PortReason
from agent.packet.protocols import ETH_TOTAL_MIN
from drivers.software import netdev, offload
from drivers.software.device import BATCH, PortError
from drivers.software.link import IFF_UP, SO_RCVBUFFORCE
from drivers.software.port import IN_MEMORY, LINK_DOWN, LIVE, PORT_DOWN, Port
from drivers.software.ports import Ports
from drivers.testing import FakeEntry, FakeHost
from tests.drivers.software.kernel import (
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    RUNNING,
    FakeKernel,
    FakeNetlink,
    FakePacketSocket,
    arrival,
    error,
)

FRAME = bytes.fromhex("020000000002 020000000001 0800") + bytes(50)
TAGGED = FRAME[:12] + bytes.fromhex("88a86007") + FRAME[12:]


class DeviceCase(SynchronousTestCase):
    """Ports on a kernel of our own."""

    kind = "netdev"

    def setUp(self) -> None:
        """No devices yet."""
        self.kernel = FakeKernel()
        self.reactor = MemoryReactorClock()
        self.host = FakeHost(reactor=self.reactor)
        self.received: list[bytes] = []
        captured = capturedLogs()
        self.events = captured.__enter__()
        self.addCleanup(captured.__exit__, None, None, None)

    def open(self, *names: str, queues: tuple[int, ...] = ()) -> Ports:
        """The ports 1, 2 ..., open."""
        entries = [
            FakeEntry(name, n, type=self.kind, queues=queues) for n, name in enumerate(names, 1)
        ]
        ports = Ports.configured(entries, self.kernel)
        ports.open(self.host, lambda port, frame: self.received.append(frame))
        self.addCleanup(ports.close)
        return ports

    def pump(self) -> list[bytes]:
        """Let the reactor read; returns the frames that came in meanwhile."""
        self.kernel.pump(self.reactor)
        received, self.received[:] = list(self.received), []
        return received

    def news(self) -> list[tuple[int, int]]:
        """The states of the ports that were told of, with their numbers."""
        statuses, self.host.port_statuses[:] = list(self.host.port_statuses), []
        self.assertEqual({reason for reason, _ in statuses} - {PortReason.MODIFY}, set())
        return [(desc.port_no, desc.state) for _, desc in statuses]

    def logged(self, level: LogLevel) -> list[str]:
        """What was logged at a level."""
        return [
            event["log_format"].format(**event)
            for event in self.events
            if event["log_level"] == level
        ]


class NetdevTests(DeviceCase):
    """A port on a device that is there."""

    def setUp(self) -> None:
        """One device, one port."""
        super().setUp()
        self.device = self.kernel.add("eth0", address="02:00:00:00:00:aa")
        self.ports = self.open("eth0")
        self.port: Port = self.ports[1]

    @property
    def socket(self) -> FakePacketSocket:
        """The packet socket."""
        (opened,) = self.kernel.sockets(FakePacketSocket)
        assert isinstance(opened, FakePacketSocket)
        return opened

    def test_opened(self) -> None:
        """The socket sees all of one device, and what it needs to know of each frame."""
        self.assertEqual(self.socket.bound, ("eth0", netdev.ETH_P_ALL))
        options = self.socket.options
        membership = options[netdev.SOL_PACKET, netdev.PACKET_ADD_MEMBERSHIP]
        self.assertEqual(membership[:4], self.device.index.to_bytes(4, "little"))
        self.assertEqual(membership[4:], b"\x01\0" + bytes(10))
        self.assertEqual(options[netdev.SOL_PACKET, netdev.PACKET_IGNORE_OUTGOING], 1)
        self.assertEqual(options[socket.SOL_SOCKET, SO_RCVBUFFORCE], netdev.RECEIVE_BUFFER)

    def test_described(self) -> None:
        """It has the device's address and link; nobody is told of what was so from the start."""
        desc = self.port.describe()
        self.assertEqual((desc.name, desc.hw_addr, desc.state), ("eth0", 0x0200000000AA, LIVE))
        self.assertEqual(self.news(), [])

    def test_receive(self) -> None:
        """Frames that come in are handed on as they are, and counted."""
        frames = [FRAME, FRAME[:14], FRAME * 20]
        self.kernel.arrive("eth0", *frames)
        self.assertEqual(self.pump(), frames)
        stats = self.port.stats()
        self.assertEqual((stats.rx_packets, stats.rx_bytes), (3, sum(map(len, frames))))

    def test_bounded(self) -> None:
        """So many frames are taken in one turn of the reactor, and the rest in others."""
        self.kernel.arrive("eth0", *[FRAME] * (2 * BATCH + 1))
        self.kernel.turn(self.reactor)
        self.assertEqual(len(self.received), BATCH)
        self.assertEqual(len(self.pump()), 2 * BATCH + 1)

    def test_bounded_nothing(self) -> None:
        """What is read and ignored counts for the bound as well."""
        self.kernel.arrive("eth0", *[FRAME] * 2 * BATCH, packet_type=socket.PACKET_OUTGOING)
        self.kernel.turn(self.reactor)
        self.assertEqual(len(self.socket.queue), BATCH)

    def test_bounded_large(self) -> None:
        """Of frames that are cut into many, fewer are taken in a turn."""
        large = tcp(payload=4 * BATCH)
        virtio = (1, offload.GSO_TCPV4, 54, 4, 34, 16)
        self.kernel.arrive("eth0", large, large, virtio=virtio)
        self.kernel.turn(self.reactor)
        self.assertEqual((len(self.received), len(self.socket.queue)), (BATCH, 1))

    def test_vlan(self) -> None:
        """A tag that came beside the frame is put back, with the TPID it had."""
        self.kernel.arrive("eth0", FRAME, vlan=(0x51, 0x6007, 0x88A8))
        self.kernel.arrive("eth0", FRAME, vlan=(0x11, 0x6007, 0))
        self.kernel.arrive("eth0", FRAME, vlan=(0x01, 0x6007, 0x8100))
        first, second, third = self.pump()
        self.assertEqual(first, TAGGED)
        self.assertEqual(second, TAGGED.replace(b"\x88\xa8", b"\x81\x00"))
        self.assertEqual(third, FRAME)
        self.assertEqual(self.port.stats().rx_bytes, 2 * len(TAGGED) + len(FRAME))

    def test_unfinished_checksum(self) -> None:
        """A checksum that the sender left to the network card is finished, tag or not."""
        frame = tcp()
        finished = offload.with_checksum(frame, 34, 16)
        self.assertNotEqual(frame, finished)
        self.kernel.arrive("eth0", frame, virtio=(1, 0, 0, 0, 34, 16))
        self.kernel.arrive("eth0", frame, virtio=(1, 0, 0, 0, 34, 16), vlan=(0x51, 7, 0x8100))
        tagged = finished[:12] + bytes.fromhex("81000007") + finished[12:]
        self.assertEqual(self.pump(), [finished, tagged])

    def test_checksum_known_good(self) -> None:
        """A checksum that the card has found right is left alone."""
        self.kernel.arrive("eth0", tcp(), virtio=(2, 0, 0, 0, 0, 0))
        self.assertEqual(self.pump(), [tcp()])

    def test_large(self) -> None:
        """TCP that the sender left uncut is cut, and each frame counts."""
        frame = tcp(payload=2500)
        virtio = (1, offload.GSO_TCPV4, 54, 1000, 34, 16)
        self.kernel.arrive("eth0", frame, virtio=virtio, vlan=(0x51, 0x6007, 0x88A8))
        frames = self.pump()
        self.assertEqual([len(frame) for frame in frames], [1058, 1058, 558])
        self.assertEqual({frame[12:16].hex() for frame in frames}, {"88a86007"})
        self.assertEqual(self.port.stats().rx_packets, 3)

    def test_unusable(self) -> None:
        """What cannot be cut, is cut off or cannot be described is dropped and counted."""
        self.kernel.arrive("eth0", FRAME, virtio=(1, 77, 0, 1000, 34, 16))
        self.kernel.arrive("eth0", FRAME, flags=socket.MSG_TRUNC)
        self.socket.queue.append(error(errno.EINVAL))
        short = list(arrival("eth0", b""))
        short[0] = short[0][:-1]
        self.socket.queue.append(tuple(short))
        self.kernel.arrive("eth0", FRAME)
        self.assertEqual(self.pump(), [FRAME])
        self.assertEqual((self.port.stats().rx_dropped, self.port.stats().rx_packets), (4, 1))

    def test_dropped_by_the_kernel(self) -> None:
        """What the kernel had to drop is counted, whenever it is asked for, and at the end."""
        self.socket.dropped = 5
        self.assertEqual(self.port.stats().rx_dropped, 5)
        self.socket.dropped = 2
        self.assertEqual(self.port.stats().rx_dropped, 7)
        self.socket.dropped = 1
        self.kernel.remove("eth0")
        self.pump()
        self.assertEqual(self.port.stats().rx_dropped, 8)

    def test_statistics_refused(self) -> None:
        """A kernel that does not say what it dropped costs no more than that."""

        def refuse(level: int, option: int, size: int) -> bytes:
            raise error(errno.ENODEV)

        self.patch(self.socket, "getsockopt", refuse)
        self.assertEqual(self.port.stats().rx_dropped, 0)

    def test_outgoing(self) -> None:
        """What the host itself sends by the device is ignored."""
        self.kernel.arrive("eth0", FRAME, packet_type=socket.PACKET_OUTGOING)
        self.assertEqual(self.pump(), [])
        self.assertEqual(self.port.stats().rx_dropped, 0)

    def test_send(self) -> None:
        """Frames are sent as they are, but for short ones, which are filled up with zeros."""
        for frame in (FRAME, FRAME[:59], FRAME[:14], TAGGED * 20):
            self.port.send(frame)
        self.assertEqual(self.device.sent, [FRAME, FRAME[:60], FRAME[:14] + bytes(46), TAGGED * 20])
        self.assertEqual((self.port.stats().tx_packets, ETH_TOTAL_MIN), (4, 60))

    def test_send_no_frame(self) -> None:
        """What has not even a header is not sent."""
        for frame in (b"", FRAME[:13]):
            self.port.send(frame)
        self.assertEqual(self.device.sent, [])
        self.assertEqual(self.port.stats().tx_dropped, 2)

    def test_send_fails(self) -> None:
        """What the device does not take is counted, whatever the reason."""
        reasons = (errno.EAGAIN, errno.ENOBUFS, errno.ENETDOWN, errno.EMSGSIZE, errno.ENXIO)
        for reason in reasons:
            self.device.busy = reason
            self.port.send(FRAME)
        stats = self.port.stats()
        self.assertEqual((stats.tx_dropped, stats.tx_packets), (len(reasons), 0))

    def test_down_and_up(self) -> None:
        """The link is the device's, and who hears of ports hears of it, once."""
        self.kernel.change("eth0", flags=IFF_UP)
        self.kernel.change("eth0", flags=0)
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        self.kernel.change("eth0", flags=RUNNING)
        self.pump()
        self.assertEqual(self.news(), [(1, LIVE)])
        self.assertEqual(
            self.logged(LogLevel.info),
            ["br0: port 1 (eth0): link down", "br0: port 1 (eth0): link up"],
        )

    def test_error(self) -> None:
        """An error on the socket, as when the device goes down, does not end it."""
        self.socket.broken = True
        self.kernel.arrive("eth0", FRAME)
        self.pump()
        self.socket.queue.append(error(errno.ENETDOWN))
        self.kernel.arrive("eth0", FRAME)
        self.assertEqual(self.pump(), [FRAME])
        self.assertEqual(self.port.stats().rx_dropped, 0)

    def test_address_changes(self) -> None:
        """A new address is told of."""
        self.kernel.change("eth0", address="02:00:00:00:00:bb")
        self.pump()
        ((_, desc),) = self.host.port_statuses
        self.assertEqual(desc.hw_addr, 0x0200000000BB)

    def test_gone_and_back(self) -> None:
        """Without its device a port has no link; with a new device of that name it works again."""
        self.kernel.remove("eth0")
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        self.assertEqual(self.kernel.sockets(FakePacketSocket), [])
        self.port.send(FRAME)
        self.assertEqual(self.port.stats().tx_dropped, 1)
        device = self.kernel.add("eth0", flags=0)
        self.pump()
        self.kernel.change("eth0", flags=RUNNING)
        self.kernel.arrive("eth0", FRAME)
        self.pump()
        # Its address is another: that of the first was changed from the usual.
        self.assertEqual(self.news(), [(1, LINK_DOWN), (1, LIVE)])
        self.kernel.arrive("eth0", FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.pump(), device.sent), ([FRAME], [FRAME]))
        self.assertEqual(
            self.logged(LogLevel.info),
            [
                "br0: port 1 (eth0): the device is gone",
                "br0: port 1 (eth0): link down",
                "br0: port 1 (eth0): link up",
            ],
        )

    def test_renamed(self) -> None:
        """A device that is renamed is not the port's any more, though it is there."""
        self.kernel.change("eth0", rename="eth7")
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        self.assertEqual(self.kernel.sockets(FakePacketSocket), [])
        self.kernel.change("eth7", rename="eth0")
        self.pump()
        self.assertEqual(self.news(), [(1, LIVE)])

    def test_another_by_that_name(self) -> None:
        """When another device has the name all of a sudden, the port is on that one."""
        self.kernel.remove("eth0", told=False)
        device = self.kernel.add("eth0")
        self.pump()
        self.port.send(FRAME)
        self.assertEqual(device.sent, [FRAME])
        membership = self.socket.options[netdev.SOL_PACKET, netdev.PACKET_ADD_MEMBERSHIP]
        self.assertEqual(membership[:4], device.index.to_bytes(4, "little"))

    def test_taken_down(self) -> None:
        """A port that a controller takes down carries nothing, and its device stays as it is."""
        desc = self.ports.modify(1, PORT_DOWN, PORT_DOWN)
        self.assertEqual((desc.config, desc.state), (PORT_DOWN, LINK_DOWN))
        self.kernel.arrive("eth0", FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.pump(), self.device.sent), ([], []))
        self.assertEqual(self.device.flags, RUNNING)
        self.ports.modify(1, 0, PORT_DOWN)
        self.kernel.arrive("eth0", FRAME)
        self.assertEqual(self.pump(), [FRAME])

    def test_before_netlink(self) -> None:
        """Frames pass as soon as the device lets them, before netlink says that the link is up."""
        self.kernel.change("eth0", flags=IFF_UP)
        self.pump()
        self.kernel.arrive("eth0", FRAME)
        self.port.send(FRAME)
        self.assertEqual((self.pump(), self.device.sent), ([FRAME], [FRAME]))

    def test_closed_meanwhile(self) -> None:
        """What becomes of a frame may close the ports."""
        self.ports.close()
        self.ports.open(self.host, lambda port, frame: self.ports.close())
        self.kernel.arrive("eth0", FRAME, FRAME)
        self.kernel.pump(self.reactor)
        self.assertEqual((self.reactor.getReaders(), self.kernel.descriptors), ([], {}))

    def test_close(self) -> None:
        """When they are closed nothing is left open, and frames go nowhere."""
        self.ports.close()
        self.assertEqual((self.reactor.getReaders(), self.kernel.descriptors), ([], {}))
        self.port.send(FRAME)
        self.assertEqual(self.device.sent, [])

    def test_error_after_close(self) -> None:
        """An error that the reactor tells of too late changes nothing."""
        readers = self.reactor.getReaders()
        self.ports.close()
        for reader in readers:
            reader.connectionLost(None)
        self.assertEqual(self.reactor.getReaders(), [])

    def test_counters_outlive_the_device(self) -> None:
        """The port counts on when its device comes back."""
        self.kernel.arrive("eth0", FRAME)
        self.pump()
        self.kernel.remove("eth0")
        self.kernel.add("eth0")
        self.pump()
        self.kernel.arrive("eth0", FRAME)
        self.pump()
        self.assertEqual(self.port.stats().rx_packets, 2)


class NetdevStartTests(DeviceCase):
    """How a port starts."""

    def refused(self, *names: str) -> str:
        """Open ports in vain; returns why.  Nothing is left open."""
        refusal = self.assertRaises(PortError, self.open, *names)
        self.assertEqual((self.reactor.getReaders(), self.kernel.descriptors), ([], {}))
        self.assertIsInstance(refusal, OSError)
        return str(refusal)

    def test_missing(self) -> None:
        """A device that is not there is said so, once; the port waits for it without a link."""
        ports = self.open("eth0")
        desc = ports[1].describe()
        self.assertEqual(desc.state, LINK_DOWN)
        self.assertTrue(desc.hw_addr)
        (line,) = self.logged(LogLevel.warn)
        self.assertEqual(line, "br0: port 1 (eth0): link down, for there is no such device yet")
        device = self.kernel.add("eth0")
        self.pump()
        self.assertEqual(self.news(), [(1, LIVE)])
        ports[1].send(FRAME)
        self.assertEqual(device.sent, [FRAME])

    def test_two(self) -> None:
        """Ports have nothing to do with each other's devices."""
        one, two = self.kernel.add("eth0"), self.kernel.add("eth1")
        ports = self.open("eth0", "eth1")
        self.kernel.remove("eth0")
        self.pump()
        self.assertEqual(self.news(), [(1, LINK_DOWN)])
        ports[2].send(FRAME)
        self.assertEqual((one.sent, two.sent), ([], [FRAME]))

    def test_no_privilege(self) -> None:
        """Without the capability it says which, and for which port, whether there is a device."""
        self.kernel.missing = {CAP_NET_RAW}
        wanted = "port 1 (eth0): the capability CAP_NET_RAW is needed to open a packet socket"
        self.assertEqual(self.refused("eth0"), wanted)
        self.kernel.add("eth0")
        self.assertEqual(self.refused("eth0"), wanted)

    def test_out_of_sockets(self) -> None:
        """Any other reason is said as the kernel says it."""

        def refuse(family: int, kind: int, protocol: int) -> Any:
            if family == socket.AF_PACKET:
                raise error(errno.EMFILE)
            return FakeNetlink(self.kernel)

        self.patch(self.kernel, "socket", refuse)
        self.assertEqual(
            self.refused("eth0"),
            "port 1 (eth0): cannot open a packet socket: Too many open files",
        )

    def test_no_ethernet(self) -> None:
        """A device that is no Ethernet device will never do."""
        self.kernel.add("eth0")
        self.kernel.add("wg0", kind=65534)
        self.assertEqual(
            self.refused("eth0", "wg0"), "port 2 (wg0): the device is no Ethernet device"
        )

    def test_no_ethernet_later(self) -> None:
        """When such a device comes later, it is said; the port stays without a link."""
        ports = self.open("wg0")
        self.kernel.add("wg0", kind=65534)
        self.pump()
        self.assertEqual(
            self.logged(LogLevel.error), ["br0: port 1 (wg0): the device is no Ethernet device"]
        )
        self.assertEqual(ports[1].describe().state, LINK_DOWN)

    def test_no_less_privilege(self) -> None:
        """Without the privilege for a large buffer a port has one as large as it may."""
        self.kernel.missing = {CAP_NET_ADMIN}
        self.kernel.add("eth0")
        self.open("eth0")
        (opened,) = self.kernel.sockets(FakePacketSocket)
        self.assertEqual(opened.options[socket.SOL_SOCKET, socket.SO_RCVBUF], netdev.RECEIVE_BUFFER)

    def test_old_kernel(self) -> None:
        """A kernel that cannot leave out what the host sends will do; one without the rest not."""
        self.kernel.add("eth0")
        self.kernel.unknown_options = {netdev.PACKET_IGNORE_OUTGOING}
        self.open("eth0").close()
        self.kernel.unknown_options = {netdev.PACKET_VNET_HDR}
        self.assertEqual(
            self.refused("eth0"), "port 1 (eth0): cannot be opened: Protocol not available"
        )

    def test_vanished_meanwhile(self) -> None:
        """A device that vanishes between netlink's word and the socket is reported as such."""
        ports = self.open("eth0")
        self.kernel.add("eth0")
        self.kernel.remove("eth0")
        self.pump()
        self.assertEqual(
            self.logged(LogLevel.error), ["br0: port 1 (eth0): cannot be opened: No such device"]
        )
        self.assertEqual(ports[1].describe().state, LINK_DOWN)

    def test_settings(self) -> None:
        """A device that says nothing of its speed has that of memory."""
        self.kernel.add("eth0")
        self.assertEqual(self.open("eth0")[1].settings, IN_MEMORY)

    def test_log_prefix(self) -> None:
        """Twisted's log says which port reads."""
        self.kernel.add("eth0")
        self.open("eth0")
        self.assertIn("port eth0", [reader.logPrefix() for reader in self.reactor.getReaders()])


def tcp(payload: int = 10) -> bytes:
    """A frame of TCP over IPv4 whose checksum is only begun."""
    total = 40 + payload
    header = bytes.fromhex("4500") + total.to_bytes(2, "big") + bytes.fromhex("0001 4000 4006 0000")
    addresses = bytes.fromhex("0a000001 0a000002")
    begun = sum(int.from_bytes(addresses[at : at + 2], "big") for at in (0, 2, 4, 6))
    begun = (begun + 6 + 20 + payload) % 0xFFFF
    segment = bytes.fromhex("03e8 0050 00000001 00000002 5018 2000")
    segment += begun.to_bytes(2, "big") + bytes(2)
    return FRAME[:14] + header + addresses + segment + (bytes(range(256)) * 300)[:payload]


class QueueTests(DeviceCase):
    """Queues of a device."""

    def test_priority(self) -> None:
        """What is sent by a queue has its priority, anything else none; the kernel is only told of
        changes."""
        device = self.kernel.add("eth0")
        port = self.open("eth0", queues=(1, 5))[1]
        port.send(FRAME)
        for queue in (1, 1, 5, 7):
            port.enqueue(FRAME, queue)
        port.send(FRAME)
        self.assertEqual(device.priorities, [0, 0x10002, 0x10002, 0x10006, 0, 0])
        self.assertEqual({q: c.packets for q, c in port.queues.items()}, {1: 2, 5: 1})

    def test_device_gone(self) -> None:
        """Without a device a packet is lost by its queue; the next device has queues as well."""
        port = self.open("eth0", queues=(1,))[1]
        port.enqueue(FRAME, 1)
        device = self.kernel.add("eth0")
        self.pump()
        port.enqueue(FRAME, 1)
        counters = port.queues[1]
        self.assertEqual((counters.packets, counters.errors, device.priorities), (1, 1, [0x10002]))

    def test_no_privilege(self) -> None:
        """Whoever may not set priorities cannot have queues, and is told so at the start; without
        queues there is no need to."""
        self.kernel.add("eth0")
        self.kernel.missing.add(CAP_NET_ADMIN)
        error = self.assertRaises(PortError, self.open, "eth0", queues=(1,))
        self.assertEqual(str(error), "port 1 (eth0): cannot have queues: Operation not permitted")
        self.assertEqual(self.kernel.descriptors, {})
        self.open("eth0")
