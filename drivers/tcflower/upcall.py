"""Packets that the kernel hands to the software: misses, what is for the controllers, and what
flower cannot express.

A packet is sent out of a TAP device of the bridge (:mod:`drivers.tcflower.cpu`), behind two VLAN
tags that say where it comes from: the outer one the port, the inner one the table whose rule handed
it over and whether that was counted.  What follows is the packet as it came to that table.  A rule
pushes the inner tag and goes to a chain of its own (:data:`~drivers.tcflower.places.UPCALL_CHAIN`);
there each port has a filter that pushes the outer one and sends the packet away.  So what a rule
does depends neither on the ports nor on the device, whose number is another in each run.

A packet out of a tunnel, or for one, loses on its way what Linux keeps of that beside it.  Where
the rule matches the tunnel's number or an address exactly, that stands behind the inner tag, in
three more.

Why it is done like this.  A packet socket, psample and a mark were the alternatives.

- ``act_sample`` with psample says the ingress device and a group number, but copies the bytes as
  they are.  Tried with Linux 6.1, by frames sent into a veth pair: a tagged frame came without its
  tag, which is beside the bytes and in none of the attributes; a UDP checksum that the sender's
  kernel had only begun came so, and 10 kB of TCP that were to be cut came as one frame, and nothing
  in the message tells of either.
- ``skbedit mark`` and a packet socket on the device needs SO_RCVMARK (Linux 5.19), and leaves those
  checksums and segments to us.
- ``trap`` keeps nothing of the table, and in the kernel's own path it drops.

A packet that leaves by a device which can do nothing has been finished by Linux before: checksums
computed, segments cut, all tags in the data.  The device goes with the process whatever it dies of,
and then the filters drop.  Its queue (1,000 packets) is the bound of what may wait; Linux counts
what finds no room.

Source: Linux 6.1, ``net/sched/act_vlan.c``, ``act_mirred.c``, ``drivers/net/tun.c``.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import attrs

from agent.openflow.match import MATCH_ALL, Match
from agent.packet.protocols import ETH_TOTAL_MIN
from drivers.tcflower.actions import Gact, Mirred, TcAction, Vlan, VlanOp, goto_chain
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.keys import TUNNEL
from drivers.tcflower.places import UPCALL_CHAIN

TPID: Final = 0x88A8
MAX_PORTS: Final = 1 << 12
"""How many ports can be told apart, by VLAN identifiers."""
_COUNTED: Final = 1 << 8
_TUNNEL: Final = tuple((1 << 9 + place, field) for place, field in enumerate(TUNNEL))
"""The bits that say which of these fields follow."""
_PART: Final = 12
"""Bits of a value in one tag, and how many tags a value has."""
_PARTS: Final = 3
_ADDRESSES: Final = 12
_tags = Struct("!HHHH")
_END: Final = _ADDRESSES + _tags.size
_tag = Struct("!HH")


def to_software(table_id: int, counted: bool, match: Match = MATCH_ALL) -> tuple[TcAction, ...]:
    """See :data:`drivers.tcflower.view.Upcall`."""
    inner = table_id | (_COUNTED if counted else 0)
    tags: list[int] = []
    for bit, field in _TUNNEL:
        value = match.value_of(field)
        if value is not None:
            inner |= bit
            # What is pushed last comes first.
            tags += [value >> _PART * part & (1 << _PART) - 1 for part in range(_PARTS)]
    pushed = [Vlan(VlanOp.PUSH, tag, protocol=TPID) for tag in (*tags, inner)]
    return (*pushed, Gact(goto_chain(UPCALL_CHAIN)))


def way(place: int, name: str, ifindex: int, device: int, cookie: bytes) -> Filter:
    """The filter that sends what came in at a port to the software.

    :param place: of the port among the bridge's, from 0 on.
    :param name: of the port's device, and ``ifindex`` its number.
    :param device: the number of the TAP device.
    """
    actions = (Vlan(VlanOp.PUSH, place, protocol=TPID), Mirred(device))
    # Hardware cannot have the TAP device.
    return Filter(UPCALL_CHAIN, 1, actions, name, (), FilterFlags.SKIP_HW, ifindex, cookie)


@attrs.frozen
class Upcall:
    """A packet that the kernel has handed over.

    :ivar place: of the port where it came in, as in :func:`way`.
    :ivar table_id: where it goes on.
    :ivar counted: whether the kernel has counted it for the rule that it hits there.
    :ivar tunnel: what is known of its tunnel, as bits of a flow key.
    :ivar frame: the packet.  What tables before have left of it is as long as Ethernet has it, as
        :meth:`agent.packet.packet.Packet.pop_mpls` leaves it: Linux pops and does not pad.
    """

    place: int
    table_id: int
    counted: bool
    frame: bytes
    tunnel: int = 0

    @classmethod
    def read(cls, data: bytes) -> Upcall | None:
        """Take what came from the device to pieces; None: it is something of the host's own."""
        if len(data) < _END:
            return None
        outer, place, inner, said = _tags.unpack_from(data, _ADDRESSES)
        if outer != TPID or inner != TPID:
            return None
        told = [field for bit, field in reversed(_TUNNEL) if said & bit]
        at = _END
        if len(data) < at + _PARTS * _tag.size * len(told) + 2:
            return None
        tunnel = 0
        for field in told:
            value = 0
            for _ in range(_PARTS):
                value = value << _PART | _tag.unpack_from(data, at)[1]
                at += _tag.size
            tunnel = field.put(tunnel, value)
        frame = data[:_ADDRESSES] + data[at:]
        table_id = said & 0xFF
        if table_id:
            frame = frame.ljust(ETH_TOTAL_MIN, b"\0")
        return cls(place, table_id, bool(said & _COUNTED), frame, tunnel)
