"""``type = "netdev"``: a port on a network device that is there already, by a packet socket.

The device keeps its address, its flags and whatever else uses it; it is only made promiscuous, and
only as long as the port is open.  The host's own network stack goes on seeing what comes in: a
device that shall belong to the switch alone should have no addresses.

A packet socket has its peculiarities, which end here.  The kernel takes the outer VLAN tag out of
the frame and hands it out beside it; it shows what the host itself sends by the same device; and it
leaves checksums unfinished and large TCP segments uncut where it expects a network card to see to
them (:mod:`drivers.software.offload`).

Performance-critical: :meth:`PacketSocket.read` and :meth:`PacketSocket.write` are run for each
frame.  ``bench/ports.py`` measures them.

Queues are those of the device's traffic control: a frame that is put into one has the priority
:func:`drivers.software.port.queue_priority`, which a queueing discipline such as htb or prio with
the handle ``1:`` takes for the class that it belongs to.  Who sets that up is not our concern.

Needs the capability CAP_NET_RAW; for queues on older kernels CAP_NET_ADMIN, too.

Source: packet(7); Linux, ``linux/if_packet.h``.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from agent.packet.protocols import ETH_HEADER_LEN, ETH_TOTAL_MIN, ETH_TYPE_VLAN_8021Q
from drivers.software import offload
from drivers.software.device import DevicePort, PortError
from drivers.software.ethtool import link_settings
from drivers.software.link import SO_RCVBUFFORCE, Link
from drivers.software.port import queue_priority
from drivers.software.system import System

SOL_PACKET: Final = 263
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_STATISTICS: Final = 6
PACKET_AUXDATA: Final = 8
PACKET_VNET_HDR: Final = 15
PACKET_IGNORE_OUTGOING: Final = 23
PACKET_MR_PROMISC: Final = 1
PACKET_OUTGOING: Final = 4
ETH_P_ALL: Final = 3
SO_PRIORITY: Final = int(socket.SO_PRIORITY)
MSG_TRUNC: Final = int(socket.MSG_TRUNC)
"""A plain number, with which Python is ten times faster than with a flag of :mod:`enum`."""

TP_STATUS_VLAN_VALID: Final = 1 << 4
TP_STATUS_VLAN_TPID_VALID: Final = 1 << 6

MAX_FRAME: Final = 1 << 17
"""More than the kernel ever joins."""
RECEIVE_BUFFER: Final = 1 << 20
"""Bytes of frames that may wait in the kernel; some 2,500 small ones."""

AUXDATA: Final = Struct("=IIIHHHH")
"""``struct tpacket_auxdata``: status, len, snaplen, mac, net, vlan_tci, vlan_tpid."""
_membership = Struct("=iHH8x")
STATISTICS: Final = Struct("=II")
"""``struct tpacket_stats``: packets, drops."""
_tag = Struct("!HH")

_HEADER: Final = offload.HEADER.size
_STATUS_AT: Final = 0 if sys.byteorder == "little" else 3
"""Where the low byte of ``status`` is in ``struct tpacket_auxdata``."""


class PacketSocket:
    """A packet socket on one device.

    :ivar receives: the protocol of the frames it takes; 0: it takes none, and only sends.
    :ivar priority: that of the frames which are sent now.
    :raises OSError: when it cannot be opened.
    """

    receives = ETH_P_ALL

    def __init__(self, system: System, link: Link) -> None:
        self.priority = 0
        self._lost = 0
        self._priority = 0
        # Without a protocol it receives nothing before it is bound.
        self._socket: Any = system.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._prepare(link)
        except BaseException:
            self._socket.close()
            raise
        self._send = self._socket.send
        self._receive = self._socket.recvmsg_into
        self._buffer = memoryview(bytearray(_HEADER + MAX_FRAME))
        self._buffers = (self._buffer,)
        self._ancillary = socket.CMSG_SPACE(AUXDATA.size)

    def _prepare(self, link: Link) -> None:
        opened = self._socket
        opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        try:
            opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # Before Linux 4.20 it fails; read() then ignores them one by one.
        with contextlib.suppress(OSError):
            opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        opened.bind((link.name, self.receives))
        promiscuous = _membership.pack(link.index, PACKET_MR_PROMISC, 0)
        opened.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous)

    def fileno(self) -> int:
        """The socket's descriptor."""
        descriptor: int = self._socket.fileno()
        return descriptor

    def read(self) -> Sequence[bytes] | None:
        """See :class:`drivers.software.device.Medium`."""
        try:
            size, ancillary, flags, address = self._receive(self._buffers, self._ancillary)
        except BlockingIOError:
            return None
        except OSError as error:
            # ENETDOWN comes once when the device goes down, which netlink tells as well; anything
            # else stands for a frame, one that no virtio header describes, for example.
            self._lost += error.errno != errno.ENETDOWN
            return ()
        if address[2] == PACKET_OUTGOING:
            return ()
        buffer = self._buffer
        if flags & MSG_TRUNC or size < _HEADER:
            self._lost += 1
            return ()
        frames: Sequence[bytes] = (bytes(buffer[_HEADER:size]),)
        # The flags and the kind of segmentation, which are seldom anything but zero.
        if buffer[0] or buffer[1]:
            frames = self._finished(frames[0])
        if ancillary and ancillary[0][2][_STATUS_AT] & TP_STATUS_VLAN_VALID:
            frames = _tagged(frames, ancillary[0][2])
        return frames

    def _finished(self, frame: bytes) -> Sequence[bytes]:
        """What becomes of the frame in the buffer, whose header says that something is left."""
        left, gso_type, _, gso_size, start, offset = offload.HEADER.unpack_from(self._buffer)
        if gso_type:
            frames = offload.segments(frame, gso_type, gso_size, start)
            self._lost += not frames
            return frames
        if left & offload.NEEDS_CSUM:
            return (offload.with_checksum(frame, start, offset),)
        return (frame,)

    def write(self, frame: bytes) -> bool:
        """See :class:`drivers.software.device.Medium`.

        What is shorter than a frame of Ethernet is filled up with zeros, what has not even a
        header is not sent.
        """
        if len(frame) < ETH_TOTAL_MIN:
            if len(frame) < ETH_HEADER_LEN:
                return False
            frame = frame.ljust(ETH_TOTAL_MIN, b"\0")
        if self.priority != self._priority:
            self.prioritise()
        try:
            self._send(offload.NOTHING_LEFT + frame)
        except OSError:
            # The device is down or gone, its queue is full, or the frame is larger than its MTU.
            return False
        return True

    def prioritise(self) -> None:
        """Let what is sent from now on have :attr:`priority`.

        :raises OSError: when the kernel does not let us.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, self.priority)
        self._priority = self.priority

    def dropped(self) -> int:
        """See :class:`drivers.software.device.Medium`; the kernel starts from zero each time."""
        try:
            answer = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size)
        except OSError:
            answer = bytes(STATISTICS.size)
        dropped: int = STATISTICS.unpack(answer)[1] + self._lost
        self._lost = 0
        return dropped

    def recover(self) -> bool:
        """Take note of an error; a packet socket gets over all of them."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return True

    def close(self) -> None:
        """Close the socket; the device is no longer promiscuous on its account."""
        self._socket.close()


def _tagged(frames: Sequence[bytes], auxdata: bytes) -> Sequence[bytes]:
    """Frames with the tag that the kernel has taken out."""
    status, _, _, _, _, tci, tpid = AUXDATA.unpack(auxdata)
    tag = _tag.pack(tpid if status & TP_STATUS_VLAN_TPID_VALID else ETH_TYPE_VLAN_8021Q, tci)
    return [frame[:12] + tag + frame[12:] for frame in frames]


class NetdevPort(DevicePort):
    """A port on an existing device.

    A device that is not there when the agent starts may come later, and is said to be missing in
    the log; a device that is no Ethernet will never do, and keeps the agent from starting.

    :ivar socket_type: what its frames travel by.
    """

    socket_type = PacketSocket

    def prepare(self) -> None:
        """See that packet sockets may be opened, also when there is no device to open one on."""
        try:
            self._system.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        except OSError as error:
            problem = f"cannot open a packet socket: {error.strerror}"
            if isinstance(error, PermissionError):
                problem = "the capability CAP_NET_RAW is needed to open a packet socket"
            raise PortError(self.number, self.name, problem, error.errno or errno.EPERM) from error

    def take(self, link: Link | None) -> None:
        """See :meth:`drivers.software.device.DevicePort.take`.

        :raises PortError: when the device cannot be used.
        """
        if link is None:
            self.lost()
            return
        if self._medium is None:
            if not link.ethernet:
                raise PortError(self.number, self.name, "the device is no Ethernet device")
            try:
                self.attach(self._socket(link))
            except PortError:
                raise
            except OSError as error:
                code = error.errno or errno.ENODEV
                problem = f"cannot be opened: {error.strerror}"
                raise PortError(self.number, self.name, problem, code) from error
        self.set_link(link.running, link.hw_addr, link_settings(self._system, link.name))

    def _socket(self, link: Link) -> PacketSocket:
        """A socket that can send what the queues are for."""
        opened = self.socket_type(self._system, link)
        if self.queues:
            try:
                for opened.priority in (queue_priority(0), 0):
                    opened.prioritise()
            except OSError as error:
                opened.close()
                code = error.errno or errno.EPERM
                problem = f"cannot have queues: {error.strerror}"
                raise PortError(self.number, self.name, problem, code) from error
        return opened

    def enqueue(self, frame: bytes, queue: int) -> None:
        """See :meth:`drivers.software.port.Port.enqueue`: the frame has the queue's priority."""
        medium = self._medium
        if isinstance(medium, PacketSocket) and queue in self.queues:
            medium.priority = queue_priority(queue)
            super().enqueue(frame, queue)
            medium.priority = 0
        else:
            super().enqueue(frame, queue)
