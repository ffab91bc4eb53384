"""A packet on its way through the pipeline: what the action executor works on.

A packet is a frame and its flow key.  Setting a field changes the key alone; the next flow table
sees the change at once, and the frame is written when somebody asks for it (:meth:`Packet.frame`),
all fields and checksums together.  A packet that is only forwarded is never copied.  What moves
bytes (push, pop) writes what is outstanding first and reads the flow key of the new frame again,
so that the key always says what a receiver of the frame would read.

An action on a header which the packet does not have does nothing: the table has no way to refuse
it any more, and the specification leaves it open.  Where a header is there in name but cut short,
the key takes the value and the frame stays as it is, as in Open vSwitch.

Which packets an action may be used on (prerequisites) is checked in
:mod:`agent.packet.setfield`, where the actions of a rule are made into functions once.

Sources: OpenFlow 1.3.5 sections 5.12 and 7.2.5; table "Existing fields that may be copied into new
fields on a push action" there.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from agent.openflow.fields import (
    ETH_TYPE,
    ICMPV6_CODE,
    ICMPV6_TYPE,
    IN_PHY_PORT,
    IP,
    METADATA,
    NW_TTL,
    PBB_ISID,
    PKT_MARK,
    REGS,
    TUN_DST,
    TUN_SRC,
    TUNNEL_ID,
    VLAN_PRESENT,
    VLAN_TCI,
)
from agent.packet import ttl
from agent.packet.flowkey import flow_key
from agent.packet.headers import HEADERS, write, write_proto
from agent.packet.layers import Layers, locate
from agent.packet.protocols import (
    ETH_HEADER_LEN,
    ETH_TOTAL_MIN,
    ETH_TYPE_VLAN_8021Q,
    MPLS_HEADER_LEN,
    PBB_HEADER_LEN,
)

_tag = Struct("!HH").pack
_u16 = Struct("!H").pack
_u32 = Struct("!I")
_itag = Struct("!HI").pack

_IN_PORT_BITS: Final = 0xFFFFFFFF
PIPELINE: Final = (
    METADATA.mask
    | TUNNEL_ID.mask
    | IN_PHY_PORT.mask
    | PKT_MARK.mask
    | TUN_SRC.mask
    | TUN_DST.mask
    | sum(register.mask for register in REGS)
)
"""The bits of a flow key which belong to the packet's way through the switch, not to the frame."""
_TAGGED: Final = VLAN_PRESENT << VLAN_TCI.shift
_IP_TYPES: Final = frozenset(eth_type << ETH_TYPE.shift for eth_type in IP)
_ONE_NW_TTL: Final = 1 << NW_TTL.shift
LAST_TTL: Final = 1
"""A TTL that is not greater than this must not be decremented."""


class Packet:
    """A frame and its flow key.

    :ivar key: the flow key; fields that belong to no header (metadata, registers, tunnel) may be
        written by anyone, header fields by the functions of :mod:`agent.packet.setfield`.
    :ivar data: the frame as it was last written; :meth:`frame` for what it is now.
    :ivar fragment_ports: see :func:`agent.packet.flowkey.flow_key`.
    """

    __slots__ = ("_layers", "_written", "data", "fragment_ports", "key")

    def __init__(self, data: bytes, key: int, fragment_ports: bool = True) -> None:
        """Take a frame whose flow key has been read; :func:`parse` reads it.

        :param data: the frame; immutable, as copies of the packet share it.
        :param key: its flow key, perhaps with the fields added that are no part of a frame.
        """
        self.data = data
        self.key = key
        self.fragment_ports = fragment_ports
        self._written = key
        self._layers: Layers | None = None

    def copy(self) -> Packet:
        """A packet of its own; the bytes are shared until one of the two is changed."""
        other = Packet(self.data, self.key, self.fragment_ports)
        other._written = self._written
        other._layers = self._layers
        return other

    def frame(self) -> bytes:
        """The frame as it is now, every field set and every checksum right."""
        changed = (self.key ^ self._written) & HEADERS
        if changed:
            self.data = write(self.data, self.layers(), self.key, changed)
            self._written = self.key
        return self.data

    def layers(self) -> Layers:
        """Where the headers are."""
        layers = self._layers
        if layers is None:
            layers = self._layers = locate(self.data)
        return layers

    def _replace(self, data: bytes) -> None:
        """Go on with another frame, in which headers have moved or changed their meaning."""
        key = self.key
        self.data = data
        self._layers = None
        self.key = self._written = (
            flow_key(data, key & _IN_PORT_BITS, self.fragment_ports) | key & PIPELINE
        )

    def _shorten(self, data: bytes) -> None:
        """Go on with a frame from which a header was removed.

        A frame which Ethernet allows stays one: if it becomes too short, zeros are appended.  They
        would be when it is sent from a port; so controllers and ports see the same frame.
        """
        if len(data) < ETH_TOTAL_MIN <= len(self.data):
            data = data.ljust(ETH_TOTAL_MIN, b"\0")
        self._replace(data)

    # VLAN tags.

    def push_vlan(self, ethertype: int) -> None:
        """Push a tag with the identifier and priority of the present outer tag, or with zeros.

        :param ethertype: 0x8100 or 0x88a8.
        """
        data = self.frame()
        if len(data) >= ETH_HEADER_LEN:
            tci = VLAN_TCI.get(self.key) & ~VLAN_PRESENT
            self._replace(data[:12] + _tag(ethertype, tci) + data[12:])

    def pop_vlan(self) -> None:
        """Remove the outer tag."""
        if self.key & _TAGGED:
            data = self.frame()
            self._shorten(data[:12] + data[16:])

    def set_vlan_tci(self, tci: int, mask: int = 0xFFFF) -> None:
        """Write the tag as NXM does: with the present bit a tag is made where there is none, and
        without it the tag is removed.
        """
        tci = VLAN_TCI.get(self.key) & ~mask | tci & mask
        if not tci & VLAN_PRESENT:
            self.pop_vlan()
            return
        if not self.key & _TAGGED:
            self.push_vlan(ETH_TYPE_VLAN_8021Q)
        if self.key & _TAGGED:
            self.key = VLAN_TCI.put(self.key, tci)

    def set_vlan_vid(self, vid: int) -> None:
        """Set the identifier, pushing a tag when there is none (OpenFlow 1.0)."""
        self.set_vlan_tci(VLAN_PRESENT | vid, 0x1FFF)

    def set_vlan_pcp(self, pcp: int) -> None:
        """Set the priority, pushing a tag when there is none (OpenFlow 1.0)."""
        self.set_vlan_tci(VLAN_PRESENT | pcp << 13, 0xF000)

    # MPLS shims.

    def push_mpls(self, ethertype: int) -> None:
        """Push a shim behind the VLAN tags (1.3.4 took back that it goes before them).

        Label, traffic class and TTL are those of the present outer shim; else the TTL is that of
        IP, and the rest zero.

        :param ethertype: 0x8847 or 0x8848.
        """
        data = self.frame()
        layers = self.layers()
        at = layers.type_at
        if at < 0:
            return
        if layers.mpls >= 0:
            (shim,) = _u32.unpack_from(data, layers.mpls)
            shim &= ~0x100
        else:
            shim = 0x100 | max(ttl.of_ip(data, layers), 0)
        self._replace(data[:at] + _u16(ethertype) + _u32.pack(shim) + data[at + 2 :])

    def pop_mpls(self, ethertype: int) -> None:
        """Remove the outer shim; ``ethertype`` is that of what follows."""
        data = self.frame()
        layers = self.layers()
        if layers.mpls >= 0:
            at = layers.type_at
            rest = data[layers.mpls + MPLS_HEADER_LEN :]
            self._shorten(data[:at] + _u16(ethertype) + rest)

    # Provider backbone bridges.

    def push_pbb(self, ethertype: int) -> None:
        """Push a service header (I-TAG) in front of everything.

        The addresses become those of the customer and are kept as those of the backbone; the
        service identifier is that of the present outer I-TAG and the priority that of the outer
        VLAN tag, or zero.

        :param ethertype: 0x88e7.
        """
        data = self.frame()
        if len(data) >= ETH_HEADER_LEN:
            pcp = VLAN_TCI.get(self.key) >> 13
            self._replace(data[:12] + _itag(ethertype, pcp << 29 | PBB_ISID.get(self.key)) + data)

    def pop_pbb(self) -> None:
        """Remove the backbone's header up to the I-TAG; the customer's frame is left."""
        data = self.frame()
        at = self.layers().pbb
        if at >= 0 and len(data) >= at + PBB_HEADER_LEN + ETH_HEADER_LEN:
            self._shorten(data[at + PBB_HEADER_LEN :])

    # Times to live.

    def dec_nw_ttl(self) -> bool:
        """Decrement the TTL of IPv4 or the hop limit of IPv6.

        :return: False when that makes it invalid; the packet is then unchanged.
        """
        key = self.key
        if key & ETH_TYPE.mask not in _IP_TYPES:
            return True
        if key & NW_TTL.mask <= LAST_TTL << NW_TTL.shift:
            return False
        self.key = key - _ONE_NW_TTL
        return True

    def set_mpls_ttl(self, value: int) -> None:
        """Set the TTL of the outer shim."""
        at = self.layers().mpls
        if at >= 0:
            self._rewrite(ttl.with_mpls(self.frame(), at, value))

    def dec_mpls_ttl(self) -> bool:
        """Decrement the TTL of the outer shim.

        :return: False when that makes it invalid; the packet is then unchanged.
        """
        at = self.layers().mpls
        if at < 0:
            return True
        value = self.data[at + 3]
        if value <= LAST_TTL:
            return False
        self.set_mpls_ttl(value - 1)
        return True

    def copy_ttl_out(self) -> None:
        """Copy the TTL of the next-to-outermost header that has one to the outermost."""
        self._rewrite(ttl.copied_out(self.frame(), self.layers()))

    def copy_ttl_in(self) -> None:
        """Copy the TTL of the outermost header that has one to the next."""
        self._rewrite(ttl.copied_in(self.frame(), self.layers()))

    def _rewrite(self, data: bytes) -> None:
        """Go on with a frame in which only TTLs have changed."""
        self.data = data
        layers = self.layers()
        if layers.ipv4 >= 0 or layers.ipv6 >= 0:
            self.key = self._written = NW_TTL.put(self.key, max(ttl.of_ip(data, layers), 0))

    # Fields which decide what the other fields mean.

    def set_eth_type(self, value: int) -> None:
        """Set the Ethernet type behind the VLAN tags, whatever follows it."""
        data = self.frame()
        at = self.layers().type_at
        if at >= 0:
            self._replace(data[:at] + _u16(value) + data[at + 2 :])

    def set_ip_proto(self, value: int) -> None:
        """Set the protocol of the IP packet, whatever follows the IP headers."""
        self._replace(write_proto(self.frame(), self.layers(), value))

    def set_icmpv6_type(self, value: int) -> None:
        """Set the type of ICMPv6, which decides whether there are fields of neighbour discovery."""
        self.key = ICMPV6_TYPE.put(self.key, value)
        self._replace(self.frame())

    def set_icmpv6_code(self, value: int) -> None:
        """Set the code of ICMPv6, which is 0 in neighbour discovery."""
        self.key = ICMPV6_CODE.put(self.key, value)
        self._replace(self.frame())

    def __repr__(self) -> str:
        return f"<Packet of {len(self.data)} bytes, eth_type={ETH_TYPE.get(self.key):#06x}>"


def parse(data: bytes, in_port: int, fragment_ports: bool = True) -> Packet:
    """The packet of a frame that came in; never raises, whatever the bytes are.

    :param data: see :func:`agent.packet.flowkey.flow_key`.
    """
    return Packet(data, flow_key(data, in_port, fragment_ports), fragment_ports)
