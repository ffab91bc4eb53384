"""The ports of a datapath that handles frames itself: what they are, count and let through.

:class:`Port` is everything but the medium: configuration, state, counters, and the rules for what
OpenFlow lets in and out.  A kind of port adds how frames get to and from the outside.  So far there
is one, :class:`MemoryPort`, which has no outside: frames are put in and taken out by whoever holds
it.  It needs no privileges, which makes it right for trying things out and for tests.

:class:`Ports` is all of one bridge.

Source: OpenFlow 1.3.5 section 7.2.1; for the configuration bits that only 1.0 has, OpenFlow 1.0.1
section 5.2.1.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from agent.openflow.errors import PORT_BAD_CONFIG, PORT_BAD_PORT, OpenFlowError
from agent.openflow.messages import PortDesc, PortReason, PortStats
from drivers.interfaces import IDriverHost, OptionError

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


class Port:
    """One port, but for the medium.

    :ivar number: its OpenFlow number.
    :ivar name: at most 15 characters.
    :ivar hw_addr: 48 bits as a number; set when it is opened, unless the medium knows better.
    :ivar config: ``OFPPC_*`` bits, as the controller set them.
    :ivar link: whether there is a link.
    :ivar rx_packets: like the other counters, see :class:`agent.openflow.messages.PortStats`.
        Dropped is what OpenFlow's configuration forbids, or the medium did not take.
    """

    speed = 10_000_000
    """kbit/s."""
    features = SPEED_10GB_FD
    """``OFPPF_*`` bits."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.hw_addr = 0
        self.config = 0
        self.link = True
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
        return PortDesc(
            self.number,
            self.hw_addr,
            self.name,
            self.config,
            LIVE if self.live else LINK_DOWN,
            self.features,
            self.features,
            self.features,
            0,
            self.speed,
            self.speed,
        )

    def stats(self) -> PortStats:
        """What it has counted since it was opened."""
        age = self._host.now() - self._opened if self._host is not None else 0.0
        return PortStats(
            self.number,
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            duration_sec=int(age),
            duration_nsec=int(age % 1 * 1e9),
        )

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

    def set_link(self, up: bool) -> None:
        """The medium gained or lost its link."""
        if up != self.link:
            self.link = up
            if self._host is not None:
                self._host.port_status(PortReason.MODIFY, self.describe())

    def receive(self, frame: bytes) -> None:
        """A frame came in: count it, and hand it on if the configuration lets it through."""
        if self._receive is None or not self.live:
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
        """Send a frame, if the port's configuration and state let it."""
        if self._receive is None or self.config & (PORT_DOWN | NO_FWD) or not self.link:
            self.tx_dropped += 1
        elif self.transmit(frame):
            self.tx_packets += 1
            self.tx_bytes += len(frame)
        else:
            self.tx_dropped += 1

    def transmit(self, frame: bytes) -> bool:
        """Give a frame to the medium; returns whether it took it.  For each kind of port to say."""
        raise TypeError(f"{type(self).__name__} does not say how it sends frames")


class MemoryPort(Port):
    """A port that begins and ends in this process.

    :ivar sent: the frames that were sent, oldest first; the oldest are forgotten beyond
        :attr:`kept`.
    :ivar on_sent: called with each frame that is sent, if not None: the other end of the wire.
    """

    kept = 1000

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        self.sent: deque[bytes] = deque(maxlen=self.kept)
        self.on_sent: Callable[[bytes], None] | None = None

    def inject(self, frame: bytes) -> None:
        """Let a frame come in here."""
        self.receive(frame)

    def transmit(self, frame: bytes) -> bool:
        """Keep the frame, and hand it to the other end."""
        self.sent.append(frame)
        if self.on_sent is not None:
            self.on_sent(frame)
        return True


KINDS: Final[Mapping[str, type[Port]]] = {"memory": MemoryPort}
"""The kinds of ports by the name that ``[[bridge.port]] type`` has for them."""


class Ports:
    """The ports of one bridge.

    :ivar by_number: the ports, in the order of their numbers.
    """

    def __init__(self, ports: Iterable[Port]) -> None:
        self.by_number = {port.number: port for port in sorted(ports, key=lambda p: p.number)}

    @classmethod
    def configured(cls, entries: Sequence[Any]) -> Ports:
        """The ports that ``[[bridge.port]]`` entries describe.

        :raises OptionError: for a type that there is not.
        """
        ports = []
        for entry in entries:
            kind = KINDS.get(entry.type)
            if kind is None:
                raise OptionError(
                    "port.type",
                    entry.type,
                    f"must be {' or '.join(KINDS)}, which is all this driver has "
                    f"(port {entry.name})",
                )
            ports.append(kind(entry.number, entry.name))
        return cls(ports)

    def __iter__(self) -> Iterator[Port]:
        return iter(self.by_number.values())

    def __getitem__(self, number: int) -> Port:
        return self.by_number[number]

    def get(self, number: int) -> Port | None:
        """The port of this number, or None."""
        return self.by_number.get(number)

    def open(self, host: IDriverHost, receive: Receive) -> None:
        """Open them all, or none.

        :raises OSError: when one cannot be opened.
        """
        opened: list[Port] = []
        try:
            for port in self:
                port.open(host, receive)
                opened.append(port)
        except BaseException:
            for port in opened:
                port.close()
            raise

    def close(self) -> None:
        """Close them all."""
        for port in self:
            port.close()

    def flood(self, in_port: int) -> list[Port]:
        """Where FLOOD goes: to all that are not exempt, but not back."""
        return [
            port
            for number, port in self.by_number.items()
            if number != in_port and not port.config & NO_FLOOD
        ]

    def all_but(self, in_port: int) -> list[Port]:
        """Where ALL goes: to all but back."""
        return [port for number, port in self.by_number.items() if number != in_port]

    def modify(self, port_no: int, config: int, mask: int) -> PortDesc:
        """See :meth:`drivers.interfaces.IDriver.port_mod`."""
        port = self.get(port_no)
        if port is None:
            raise OpenFlowError(PORT_BAD_PORT, f"there is no port {port_no:#x}")
        port.configure(config, mask)
        return port.describe()
