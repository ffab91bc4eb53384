"""A port of a datapath that handles frames itself: what it is, counts and lets through.

:class:`Port` is everything but the medium: configuration, state, counters, and the rules for what
OpenFlow lets in and out.  A kind of port adds how frames get to and from the outside:
:mod:`drivers.software.memory`, :mod:`drivers.software.netdev` and :mod:`drivers.software.tap`.

Source: OpenFlow 1.3.5 section 7.2.1; for the configuration bits that only 1.0 has, OpenFlow 1.0.1
section 5.2.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import attrs

from agent.openflow.errors import PORT_BAD_CONFIG, OpenFlowError
from agent.openflow.messages import PortDesc, PortReason, PortStats, QueueStats
from drivers.interfaces import IDriverHost

PORT_DOWN: Final = 1 << 0
NO_STP: Final = 1 << 1
NO_RECV: Final = 1 << 2
NO_RECV_STP: Final = 1 << 3
NO_FLOOD: Final = 1 << 4
NO_FWD: Final = 1 << 5
NO_PACKET_IN: Final = 1 << 6
"""``OFPPC_*``: the bits of :attr:`agent.openflow.messages.PortDesc.config`."""

CONFIGURABLE: Final = PORT_DOWN | NO_RECV | NO_RECV_STP | NO_FLOOD | NO_FWD | NO_PACKET_IN
"""What :meth:`Port.configure` can change.  No spanning tree is spoken here, so that NO_STP has
nothing to switch off."""

LINK_DOWN: Final = 1 << 0
LIVE: Final = 1 << 2
"""``OFPPS_*``: the bits of :attr:`agent.openflow.messages.PortDesc.state`."""

SPEED_10GB_FD: Final = 1 << 6
"""``OFPPF_10GB_FD``."""

_STP_GROUP: Final = bytes.fromhex("0180c2000000")
"""Where spanning tree messages are sent to."""

Receive = Callable[["Port", bytes], None]
"""Takes a frame that came in at a port."""


def hw_addr(bridge: str, number: int) -> int:
    """A locally administered address for a port that has none of its own.

    The same in every run, so that what was learned from it stays true, and unlike that of other
    ports; bridges of different names share one only by an unlucky accident.
    """
    return 0x02 << 40 | (zlib.crc32(bridge.encode()) & 0xFFFF) << 24 | number & 0xFFFFFF


@attrs.frozen
class LinkSettings:
    """What a link is capable of and runs at; unless told otherwise, what a wire in memory would.

    :ivar current: ``OFPPF_*`` bits of what it runs at, like the other three.
    :ivar advertised: what it offers to its peer.
    :ivar supported: what it could do.
    :ivar peer: what its peer offers.
    :ivar speed: kbit/s.
    :ivar max_speed: kbit/s.
    """

    current: int = SPEED_10GB_FD
    advertised: int = SPEED_10GB_FD
    supported: int = SPEED_10GB_FD
    peer: int = 0
    speed: int = 10_000_000
    max_speed: int = 10_000_000


IN_MEMORY: Final = LinkSettings()


@attrs.define
class QueueCounters:
    """What a queue has counted.

    :ivar packets: sent.
    :ivar bytes: sent.
    :ivar errors: packets that the medium did not take, or the port's configuration forbids.
    """

    packets: int = 0
    bytes: int = 0
    errors: int = 0


def queue_priority(queue: int) -> int:
    """The priority of packets of a queue, as in Open vSwitch: the handle of the class 1:(queue + 1)
    of traffic control, which is where a queueing discipline with the handle 1: puts them."""
    return 1 << 16 | queue + 1


class Port:
    """One port, but for the medium.

    :ivar number: its OpenFlow number.
    :ivar name: at most 15 characters.
    :ivar hw_addr: 48 bits as a number; set when it is opened, unless the medium knows better.
    :ivar config: ``OFPPC_*`` bits, as the controller set them.
    :ivar link: whether there is a link.
    :ivar settings: what the link can do.
    :ivar queues: its queues, by number; set before it is opened.
    :ivar rx_packets: like the other counters, see :class:`agent.openflow.messages.PortStats`.
        Dropped is what OpenFlow's configuration forbids, or the medium did not take.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.hw_addr = 0
        self.config = 0
        self.link = True
        self.settings = IN_MEMORY
        self.queues: dict[int, QueueCounters] = {}
        self.rx_packets = self.rx_bytes = self.rx_dropped = 0
        self.tx_packets = self.tx_bytes = self.tx_dropped = 0
        self._host: IDriverHost | None = None
        self._receive: Receive | None = None
        self._opened = 0.0

    def open(self, host: IDriverHost, receive: Receive) -> None:
        """Begin to take frames.

        :raises OSError: when the medium is not to be had.
        """
        self._host = host
        self._receive = receive
        self._opened = host.now()
        if not self.hw_addr:
            self.hw_addr = hw_addr(host.name, self.number)

    def close(self) -> None:
        """Let go of the medium; frames are neither taken nor sent any more."""
        self._receive = None

    @property
    def live(self) -> bool:
        """Whether it can carry frames now."""
        return self.link and not self.config & PORT_DOWN

    def describe(self) -> PortDesc:
        """What it is now."""
        settings = self.settings
        return PortDesc(
            self.number,
            self.hw_addr,
            self.name,
            self.config,
            LIVE if self.live else LINK_DOWN,
            settings.current,
            settings.advertised,
            settings.supported,
            settings.peer,
            settings.speed,
            settings.max_speed,
        )

    def stats(self) -> PortStats:
        """What it has counted since it was opened."""
        seconds, nanoseconds = self._age()
        return PortStats(
            self.number,
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            duration_sec=seconds,
            duration_nsec=nanoseconds,
        )

    def _age(self) -> tuple[int, int]:
        """Seconds and nanoseconds since it was opened."""
        age = self._host.now() - self._opened if self._host is not None else 0.0
        return int(age), int(age % 1 * 1e9)

    def configure(self, config: int, mask: int) -> None:
        """Change the ``OFPPC_*`` bits in ``mask``.

        :raises OpenFlowError: BAD_CONFIG, for a change of a bit that it does not have.
        """
        changed = (self.config ^ config) & mask
        if changed & ~CONFIGURABLE:
            raise OpenFlowError(
                PORT_BAD_CONFIG, f"port {self.name} has no configuration bits {changed:#x}"
            )
        self.config ^= changed

    def set_link(
        self, up: bool, hw_addr: int | None = None, settings: LinkSettings | None = None
    ) -> None:
        """The medium gained or lost its link, or changed its address or what it can do.

        Whoever hears of ports is told, if that changes anything.
        """
        before = self.describe()
        self.link = up
        if hw_addr is not None:
            self.hw_addr = hw_addr
        if settings is not None:
            self.settings = settings
        after = self.describe()
        if after != before and self._host is not None:
            self._host.port_status(PortReason.MODIFY, after)

    def receive(self, frame: bytes) -> None:
        """A frame came in: count it, and hand it on if the configuration lets it through."""
        if self._receive is None or self.config & PORT_DOWN:
            return
        self.rx_packets += 1
        self.rx_bytes += len(frame)
        if self.config & (NO_RECV | NO_RECV_STP):
            refused = NO_RECV_STP if frame[:6] == _STP_GROUP else NO_RECV
            if self.config & refused:
                self.rx_dropped += 1
                return
        self._receive(self, frame)

    def send(self, frame: bytes) -> None:
        """Send a frame, if the port's configuration lets it."""
        if self._receive is None or self.config & (PORT_DOWN | NO_FWD):
            self.tx_dropped += 1
        elif self.transmit(frame):
            self.tx_packets += 1
            self.tx_bytes += len(frame)
        else:
            self.tx_dropped += 1

    def enqueue(self, frame: bytes, queue: int) -> None:
        """Send a frame by a queue; where the port has no such queue, like any other frame."""
        before = self.tx_packets
        self.send(frame)
        counters = self.queues.get(queue)
        if counters is None:
            return
        if self.tx_packets == before:
            counters.errors += 1
        else:
            counters.packets += 1
            counters.bytes += len(frame)

    def queue_stats(self) -> list[QueueStats]:
        """What its queues have counted since it was opened."""
        seconds, nanoseconds = self._age()
        return [
            QueueStats(
                self.number,
                queue,
                counters.bytes,
                counters.packets,
                counters.errors,
                seconds,
                nanoseconds,
            )
            for queue, counters in self.queues.items()
        ]

    def transmit(self, frame: bytes) -> bool:
        """Give a frame to the medium; returns whether it took it.  For each kind of port to say.

        Neither this nor :meth:`receive` asks for :attr:`link`: what carries nothing without a link
        is the medium, which knows before anybody is told.
        """
        raise TypeError(f"{type(self).__name__} does not say how it sends frames")
