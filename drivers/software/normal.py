"""NORMAL: what a switch does with a packet when no controller says what to do.

It learns from each packet which port leads to its source, per VLAN, and sends it where its
destination was learned, or else to every port that takes part in flooding.  All ports are trunks of
all VLANs, as those of Open vSwitch are before they are configured otherwise: a packet leaves as it
came.  Frames to the group addresses that no bridge forwards (IEEE 802.1D table 7-10: spanning tree,
pause, LLDP ...) end here.

Nothing is sent here: :meth:`Normal.decide` says where a packet goes and why, in the words of Open
vSwitch, and the pipeline sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.openflow.fields import ETH_DST, ETH_SRC, VLAN_TCI
from agent.openflow.messages import ANY, PortDesc, PortReason
from agent.openflow.messages import Port as ReservedPort
from agent.packet.mac_learning import MacTable
from drivers.software.port import LIVE, Port
from drivers.software.ports import Ports

RESERVED: Final = 0x0180C2000000
"""The first of the sixteen group addresses which bridges do not forward."""
_RESERVED_MASK: Final = 0xFFFFFFFFFFF0

NO_PORTS: Final = frozenset((ReservedPort.CONTROLLER, ANY))
"""Where packet-outs come from that come from no port: nothing is learned, no port left out."""

UNKNOWN_PORT: Final = "no input bundle, dropping"
RESERVED_ADDRESS: Final = "packet has reserved destination MAC, dropping"
BACK: Final = "learned port is input port, dropping"
KNOWN: Final = "forwarding to learned port"
FLOOD: Final = "no learned MAC for destination, flooding"


class Decision(NamedTuple):
    """Where a packet goes.

    :ivar ports: out of these.
    :ivar why: for people.
    :ivar news: whether its source was not known to be where it came from.
    """

    ports: Sequence[Port]
    why: str
    news: bool = False


class Normal:
    """The learning switch of one bridge.

    :ivar addresses: what it has learned.
    """

    __slots__ = ("_ports", "addresses")

    def __init__(self, ports: Ports, addresses: MacTable) -> None:
        self._ports = ports
        self.addresses = addresses

    def decide(self, key: int, in_port: int, now: float) -> Decision:
        """Where the packet with this flow key goes, after learning from it.

        :param now: seconds of the clock by which addresses age.
        """
        ports = self._ports
        known = in_port not in NO_PORTS
        if known and ports.get(in_port) is None:
            return Decision((), UNKNOWN_PORT)
        destination = ETH_DST.get(key)
        if destination & _RESERVED_MASK == RESERVED:
            return Decision((), RESERVED_ADDRESS)
        vlan = VLAN_TCI.get(key) & 0xFFF
        addresses = self.addresses
        news = False
        if known:
            news = addresses.learn(vlan, ETH_SRC.get(key), in_port, now)
        number = addresses.lookup(vlan, destination, now)
        if number is not None:
            if number == in_port:
                return Decision((), BACK, news)
            port = ports.get(number)
            if port is not None:
                return Decision((port,), KNOWN, news)
        return Decision(ports.flood(in_port), FLOOD, news)

    def port_changed(self, reason: PortReason, desc: PortDesc) -> None:
        """What was learned behind a port that is gone, or cannot carry frames, may be anywhere."""
        if reason is PortReason.DELETE or not desc.state & LIVE:
            self.addresses.forget_port(desc.port_no)
