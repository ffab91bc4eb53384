"""Ports on network devices whose packets the kernel forwards.

Nothing is received here: what comes in at a device is the business of its filters.  The packet
socket of a port only sends, what controllers send by packet-out, and keeps the device promiscuous.

Source: Linux, ``linux/if_link.h`` (``struct rtnl_link_stats64``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

import attrs

from agent.openflow.messages import PortStats
from drivers.interfaces import OptionError
from drivers.software.link import IFINFOMSG, RTM_GETLINK, Link, LinkMonitor
from drivers.software.netdev import NetdevPort, PacketSocket
from drivers.software.port import NO_FLOOD, NO_FWD, NO_RECV, PORT_DOWN, LinkSettings, QueueCounters
from drivers.software.ports import Ports
from drivers.software.system import System
from drivers.tcflower.dump import attributes
from drivers.tcflower.pack import HEADER, NLM_F_ACK, NLM_F_REQUEST
from drivers.tcflower.view import PortView

IFLA_STATS64: Final = 23
TUNNELS: Final = frozenset({"vxlan", "geneve", "gretap", "ip6gretap", "erspan", "ip6erspan"})
"""The kinds of Ethernet devices whose packets can have a tunnel's number and addresses."""
TX_DROPPED: Final = 7
"""Where the number of packets is that a device did not take to send, in what is below."""
_stats = Struct("=14Q")
"""rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped,
multicast, collisions, rx_length_errors, rx_over_errors, rx_crc_errors, rx_frame_errors."""


class _SendSocket(PacketSocket):
    """A packet socket that takes no frames."""

    receives = 0


class TcPort(NetdevPort):
    """A port whose device's ingress is part of a block.

    :ivar ifindex: the device's number; 0: there is none.
    :ivar tunnel: whether the device is a tunnel's.
    :ivar moved: called when it has become another.
    :ivar turned: called when the port is live now, or not any more.
    """

    socket_type = _SendSocket

    def __init__(self, number: int, name: str, links: LinkMonitor, system: System) -> None:
        super().__init__(number, name, links, system)
        self.ifindex = 0
        self.tunnel = False
        self.moved: Callable[[TcPort], object] = lambda port: None
        self.turned: Callable[[], object] = lambda: None

    def take(self, link: Link | None) -> None:
        """See :meth:`drivers.software.device.DevicePort.take`.

        :raises PortError: when the device cannot be used.
        """
        super().take(link)
        ifindex = 0 if link is None else link.index
        self.tunnel = link is not None and link.virtual in TUNNELS
        if ifindex != self.ifindex:
            self.ifindex = ifindex
            self.moved(self)

    def set_link(
        self, up: bool, hw_addr: int | None = None, settings: LinkSettings | None = None
    ) -> None:
        """See :meth:`drivers.software.port.Port.set_link`."""
        before = self.live
        super().set_link(up, hw_addr, settings)
        if self.live != before:
            self.turned()

    def view(self) -> PortView:
        """What rules have to know of it."""
        return PortView(
            self.name,
            self.ifindex,
            forwards=not self.config & (PORT_DOWN | NO_FWD),
            floods=not self.config & NO_FLOOD,
            live=self.live,
        )

    @property
    def closed(self) -> bool:
        """Whether nothing is taken from it."""
        return bool(self.config & (PORT_DOWN | NO_RECV))

    def with_device(self, data: bytes, at: int, length: int) -> PortStats:
        """Its counters, from what the kernel says of the device.

        :param data: has a RTM_NEWLINK of the given length at the given place.
        """
        stats = self.stats()
        found = device_stats(data, at, length)
        if found is None:
            return stats
        return attrs.evolve(
            stats,
            rx_packets=found[0],
            tx_packets=found[1],
            rx_bytes=found[2],
            tx_bytes=found[3],
            rx_errors=found[4],
            tx_errors=found[5],
            rx_dropped=found[6],
            tx_dropped=found[TX_DROPPED],
            collisions=found[9],
            rx_over_err=found[11],
            rx_crc_err=found[12],
            rx_frame_err=found[13],
        )


def device_stats(data: bytes, at: int, length: int) -> tuple[int, ...] | None:
    """What a RTM_NEWLINK says that its device has counted: see ``_stats``; None: nothing."""
    for number, begin, end in attributes(data, at + HEADER.size + IFINFOMSG.size, at + length):
        if number == IFLA_STATS64 and end - begin >= _stats.size:
            return _stats.unpack_from(data, begin)
    return None


def ask_for_device(ifindex: int, sequence: int) -> bytes:
    """The request for what the kernel knows of a device."""
    return HEADER.pack(
        HEADER.size + IFINFOMSG.size, RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, sequence, 0
    ) + IFINFOMSG.pack(0, 0, ifindex, 0, 0)


def make_ports(entries: Sequence[Any], system: System) -> Ports:
    """The ports that ``[[bridge.port]]`` entries describe.

    :raises OptionError: for a type that there is not.
    """
    links = LinkMonitor(system)
    ports: list[TcPort] = []
    for entry in entries:
        if entry.type != "netdev":
            raise OptionError(
                "port.type", entry.type, f'must be "netdev" with this driver (port {entry.name})'
            )
        port = TcPort(entry.number, entry.name, links, system)
        port.queues = {queue: QueueCounters() for queue in entry.queues}
        ports.append(port)
    return Ports(ports, links)
