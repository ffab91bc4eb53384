"""A kernel for tests of ports: network devices, and the sockets on them, in memory.

A :class:`FakeKernel` is given to ports in the place of :data:`drivers.software.system.SYSTEM`.
Devices come, go and change by its methods; :meth:`FakeKernel.pump` then does what a reactor would.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Any

import attrs
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from twisted.internet.defer import Deferred

from drivers.software import link, netdev, offload, tap
from drivers.software.system import SIOCGIFFLAGS, SIOCGIFINDEX, SIOCSIFFLAGS, System

CAP_NET_RAW = "CAP_NET_RAW"
CAP_NET_ADMIN = "CAP_NET_ADMIN"

RUNNING = link.IFF_UP | link.IFF_RUNNING
PORT_ID = 4242
"""The netlink port of the agent."""

_flags = Struct("16sH22x")
_index = Struct("=16si20x")
_error = Struct("=i")


def error(code: int) -> OSError:
    """What the kernel says."""
    return OSError(code, os.strerror(code))


@attrs.define(eq=False)
class Device:
    """A network device.

    :ivar settings: what ethtool says of it; None: nothing.
    :ivar busy: what sending by it fails with, if not 0.
    :ivar sent: what was sent by it.
    :ivar priorities: with which priority each was.
    """

    index: int
    name: str
    flags: int = RUNNING
    address: str = "02:00:00:00:00:01"
    kind: int = link.ARPHRD_ETHER
    virtual: str = ""
    settings: bytes | None = None
    busy: int = 0
    sent: list[bytes] = attrs.Factory(list)
    priorities: list[int] = attrs.Factory(list)


class FakeDescriptor:
    """Something that can be read.

    :ivar queue: what there is to read: results, and errors to raise.
    :ivar broken: whether an error is pending that only the reactor is told of.
    """

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.queue: deque[Any] = deque()
        self.broken = False
        self.options: dict[tuple[int, int], Any] = {}
        self.bound: Any = None
        self.number = kernel.register(self)

    def take(self) -> Any:
        """The next of the queue."""
        assert self.number in self.kernel.descriptors, "read from a closed descriptor"
        if not self.queue:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        item = self.queue.popleft()
        if isinstance(item, OSError):
            raise item
        return item

    def fileno(self) -> int:
        """Its number."""
        return self.number

    def close(self) -> None:
        """Forget it."""
        del self.kernel.descriptors[self.number]

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Remember an option."""
        if option == link.SO_RCVBUFFORCE and CAP_NET_ADMIN in self.kernel.missing:
            raise error(errno.EPERM)
        if option == socket.SO_PRIORITY and value > 6 and CAP_NET_ADMIN in self.kernel.missing:
            raise error(errno.EPERM)
        if option in self.kernel.unknown_options:
            raise error(errno.ENOPROTOOPT)
        self.options[level, option] = value


class FakeNetlink(FakeDescriptor):
    """A netlink socket."""

    def bind(self, address: tuple[int, int]) -> None:
        """Subscribe."""
        self.bound = address
        if self.kernel.no_netlink:
            raise error(errno.EPERM)

    def getsockname(self) -> tuple[int, int]:
        """Its port, and the groups."""
        return PORT_ID, self.bound[1]

    def recv(self, size: int) -> bytes:
        """One datagram."""
        datagram: bytes = self.take()
        return datagram

    def send(self, data: bytes) -> int:
        """Ask for a device; the answer is there at once."""
        self.kernel.questions += 1
        question = ifinfmsg(data)
        question.decode()
        name = question.get_attr("IFLA_IFNAME")
        sequence = question["header"]["sequence_number"]
        device = self.kernel.devices.get(name)
        if device is None:
            answer = _error.pack(-errno.ENODEV) + data[:16]
            header = link.NLMSGHDR.pack(16 + len(answer), link.NLMSG_ERROR, 0, sequence, PORT_ID)
            self.queue.append(header + answer)
        else:
            self.queue.append(message(device, sequence=sequence, port_id=PORT_ID))
        return len(data)


class FakeUnixSocket(FakeDescriptor):
    """A unix socket."""

    def bind(self, address: str) -> None:
        """Take a name, which only one can have."""
        if any(other.bound == address for other in self.kernel.sockets(FakeUnixSocket)):
            raise error(errno.EADDRINUSE)
        self.bound = address


class FakePacketSocket(FakeDescriptor):
    """A packet socket.

    :ivar dropped: what the kernel dropped for it since it was asked.
    """

    dropped = 0

    def bind(self, address: tuple[str, int]) -> None:
        """Begin to receive."""
        if address[0] not in self.kernel.devices:
            raise error(errno.ENODEV)
        self.bound = address
        assert self.options[netdev.SOL_PACKET, netdev.PACKET_VNET_HDR], "set too late"
        assert self.options[netdev.SOL_PACKET, netdev.PACKET_AUXDATA], "set too late"

    def recvmsg_into(self, buffers: Any, size: int) -> Any:
        """One frame."""
        data, ancillary, flags, address = self.take()
        room = buffers[0]
        count = min(len(data), len(room))
        room[:count] = data[:count]
        return count, ancillary, flags, address

    def send(self, data: bytes) -> int:
        """Send a frame, behind its virtio header."""
        assert data[: offload.HEADER.size] == offload.NOTHING_LEFT
        device = self.kernel.devices[self.bound[0]]
        if device.busy:
            raise error(device.busy)
        device.sent.append(data[offload.HEADER.size :])
        device.priorities.append(self.options.get((socket.SOL_SOCKET, socket.SO_PRIORITY), 0))
        return len(data)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """An error that was pending, or the statistics."""
        if option == socket.SO_ERROR:
            self.broken = False
            return errno.ENETDOWN
        dropped, self.dropped = self.dropped, 0
        return netdev.STATISTICS.pack(1000, dropped)


class FakeTap(FakeDescriptor):
    """An open ``/dev/net/tun``.

    :ivar device: what it is attached to.
    :ivar elsewhere: whether the device is in another network namespace.
    """

    device: Device | None = None
    elsewhere = False

    def close(self) -> None:
        """Let the device go, too."""
        super().close()
        if self.device is not None and not self.elsewhere:
            self.kernel.remove(self.device.name)


class FakeWorker:
    """Makes calls at once, and says what they return in the next turn of the reactor."""

    def __init__(self, kernel: FakeKernel, reactor: Any) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._telling: list[Any] = []

    def call(self, function: Callable[..., object], *arguments: object) -> Deferred[object]:
        """See :class:`drivers.software.worker.Worker`."""
        self._kernel.threaded += 1
        done: Deferred[object] = Deferred()
        self._telling.append(self._reactor.callLater(0, self._tell, done, function(*arguments)))
        return done

    def _tell(self, done: Deferred[object], result: object) -> None:
        del self._telling[0]
        done.callback(result)

    def stop(self) -> None:
        """See :class:`drivers.software.worker.Worker`."""
        for telling in self._telling:
            telling.cancel()


class FakeKernel(System):
    """A kernel.

    :ivar devices: the network devices by name.
    :ivar descriptors: what is open, by number.
    :ivar missing: the capabilities that the process does not have.
    :ivar unknown_options: socket options that it does not know.
    :ivar no_netlink: whether netlink is refused.
    :ivar questions: how often it was asked for a device.
    :ivar seconds: what its clock shows.
    :ivar threaded: how many calls were made beside the reactor.
    """

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.descriptors: dict[int, FakeDescriptor] = {}
        self.missing: set[str] = set()
        self.unknown_options: set[int] = set()
        self.no_netlink = False
        self.questions = 0
        self.seconds = 0.0
        self.threaded = 0
        self._indexes = 10
        self._numbers = 100

    # What the ports call.

    def clock(self) -> float:
        """See :class:`drivers.software.system.System`."""
        return self.seconds

    def worker(self, reactor: Any) -> Any:
        """See :class:`drivers.software.system.System`."""
        return FakeWorker(self, reactor)

    def register(self, descriptor: FakeDescriptor) -> int:
        """A number for a new descriptor."""
        self._numbers += 1
        self.descriptors[self._numbers] = descriptor
        return self._numbers

    def socket(self, family: int, kind: int, protocol: int) -> Any:
        """See :class:`drivers.software.system.System`."""
        if family == socket.AF_NETLINK:
            return FakeNetlink(self)
        if family == socket.AF_PACKET:
            if CAP_NET_RAW in self.missing:
                raise error(errno.EPERM)
            return FakePacketSocket(self)
        if family == socket.AF_UNIX:
            return FakeUnixSocket(self)
        return FakeDescriptor(self)

    def open(self, path: str) -> int:
        """See :class:`drivers.software.system.System`."""
        assert path == tap.CLONE_DEVICE
        return FakeTap(self).number

    def close(self, descriptor: int) -> None:
        """See :class:`drivers.software.system.System`."""
        self.descriptors[descriptor].close()

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """See :class:`drivers.software.system.System`."""
        name, flags = _flags.unpack(argument)
        name = name.rstrip(b"\0").decode()
        opened = self.descriptors[descriptor]
        if request == tap.TUNSETIFF:
            assert isinstance(opened, FakeTap) and flags == tap.IFF_TAP | tap.IFF_NO_PI
            if CAP_NET_ADMIN in self.missing:
                raise error(errno.EPERM)
            if name.endswith("%d"):
                free = (name.replace("%d", str(n)) for n in range(len(self.devices) + 1))
                name = next(other for other in free if other not in self.devices)
            if name in self.devices:
                raise error(errno.EINVAL)
            opened.device = self.add(name, flags=0)
            return _flags.pack(name.encode(), flags)
        if request == tap.TUNGETIFF:
            assert isinstance(opened, FakeTap)
            if opened.broken:
                raise error(errno.EBADFD)
        elif request == SIOCGIFFLAGS:
            return _flags.pack(name.encode(), self.devices[name].flags)
        elif request == SIOCGIFINDEX:
            return _index.pack(name.encode(), self.devices[name].index)
        else:
            assert request == SIOCSIFFLAGS and flags & link.IFF_UP
            self.change(name, flags=RUNNING)
        return argument

    def read(self, descriptor: int, buffer: memoryview) -> int:
        """See :class:`drivers.software.system.System`."""
        frame = self.descriptors[descriptor].take()
        buffer[: len(frame)] = frame
        return len(frame)

    def write(self, descriptor: int, data: bytes) -> int:
        """See :class:`drivers.software.system.System`."""
        opened = self.descriptors[descriptor]
        assert isinstance(opened, FakeTap) and opened.device is not None
        if opened.device.busy:
            raise error(opened.device.busy)
        opened.device.sent.append(data)
        return len(data)

    def ethtool(self, name: str, command: bytes) -> bytes:
        """See :class:`drivers.software.system.System`."""
        if name not in self.devices:
            raise error(errno.ENODEV)
        settings = self.devices[name].settings
        if settings is None:
            raise error(errno.EOPNOTSUPP)
        return settings

    # What becomes of devices.

    def add(self, name: str, **attributes: Any) -> Device:
        """A device appears."""
        self._indexes += 1
        device = self.devices[name] = Device(self._indexes, name, **attributes)
        self._tell(message(device))
        return device

    def change(self, name: str, **attributes: Any) -> None:
        """A device changes; ``rename`` gives it another name."""
        device = self.devices.pop(name)
        device.name = attributes.pop("rename", name)
        self.devices[device.name] = device
        for attribute, value in attributes.items():
            setattr(device, attribute, value)
        self._tell(message(device))

    def remove(self, name: str, told: bool = True) -> None:
        """A device disappears.

        :param told: whether netlink tells of it: not when the message is lost.
        """
        device = self.devices.pop(name)
        if told:
            self._tell(message(device, link.RTM_DELLINK))
        for descriptor in self.descriptors.values():
            if isinstance(descriptor, FakeTap) and descriptor.device is device:
                descriptor.broken = True
                descriptor.device = None

    def move(self, name: str) -> None:
        """A device moves to another network namespace."""
        self._tell(message(self.devices.pop(name), link.RTM_DELLINK))
        for descriptor in self.descriptors.values():
            if isinstance(descriptor, FakeTap):
                descriptor.elsewhere = True

    def arrive(self, name: str, *frames: bytes, **how: Any) -> None:
        """Frames come in by a device; see :func:`arrival` for how."""
        for opened in self.descriptors.values():
            if isinstance(opened, FakePacketSocket) and opened.bound == (name, netdev.ETH_P_ALL):
                opened.queue.extend(arrival(name, frame, **how) for frame in frames)
            elif isinstance(opened, FakeTap) and opened.device is self.devices[name]:
                opened.queue.extend(frames)

    def _tell(self, datagram: bytes) -> None:
        for opened in self.sockets(FakeNetlink):
            opened.queue.append(datagram)

    def sockets(self, kind: type[Any]) -> list[Any]:
        """The open descriptors of a kind."""
        return [opened for opened in self.descriptors.values() if isinstance(opened, kind)]

    def pump(self, reactor: Any) -> None:
        """Be the reactor until there is nothing more to read."""
        while self.turn(reactor):
            pass

    def turn(self, reactor: Any) -> bool:
        """Be the reactor once; returns whether there was anything to do."""
        busy = False
        for reader in list(reactor.getReaders()):
            if reader not in reactor.getReaders():
                continue
            opened = self.descriptors.get(reader.fileno())
            assert opened is not None, "the reactor was left with a closed descriptor"
            if opened.queue:
                busy = True
                reader.doRead()
            elif opened.broken:
                busy = True
                reactor.removeReader(reader)
                reader.connectionLost(None)
        return busy


def message(
    device: Device,
    kind: int = link.RTM_NEWLINK,
    sequence: int = 0,
    port_id: int = 0,
    family: int = socket.AF_UNSPEC,
) -> bytes:
    """What netlink says of a device."""
    encoded = ifinfmsg()
    encoded["header"] = {"type": kind, "flags": 0, "sequence_number": sequence, "pid": port_id}
    encoded["family"] = family
    encoded["index"] = device.index
    encoded["flags"] = device.flags
    encoded["ifi_type"] = device.kind
    encoded["attrs"] = [("IFLA_IFNAME", device.name), ("IFLA_ADDRESS", device.address)]
    if device.virtual:
        info = {"attrs": [("IFLA_INFO_KIND", device.virtual)]}
        encoded["attrs"].append(("IFLA_LINKINFO", info))
    encoded.encode()
    return bytes(encoded.data)


def arrival(
    name: str,
    frame: bytes,
    virtio: tuple[int, ...] = (0, 0, 0, 0, 0, 0),
    vlan: tuple[int, int, int] = (0, 0, 0),
    packet_type: int = socket.PACKET_OTHERHOST,
    flags: int = 0,
) -> Any:
    """What a packet socket hands out.

    :param virtio: the fields of the virtio header.
    :param vlan: of PACKET_AUXDATA the status, the TCI and the TPID.
    """
    status, tci, tpid = vlan
    auxdata = netdev.AUXDATA.pack(status, len(frame), len(frame), 0, 14, tci, tpid)
    ancillary = [(netdev.SOL_PACKET, netdev.PACKET_AUXDATA, auxdata)]
    address = (name, 0x800, packet_type, 1, b"\2\0\0\0\0\1")
    return offload.HEADER.pack(*virtio) + frame, ancillary, flags, address
