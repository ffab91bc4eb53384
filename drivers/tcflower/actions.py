"""tc's actions as values, the way flower filters have them.

One class is one kind of action in tc, with its names and its arguments; every one is executed in
the order of the list it stands in.  After an action comes the next one, if its :attr:`control` is
:data:`PIPE`; any other value ends the list and says what becomes of the packet.

Numbers are numbers: encoding knows the byte order of each.  Nothing here knows OpenFlow.

Source: Linux, ``linux/pkt_cls.h``, ``linux/tc_act/*.h``; tc-actions(8) and the pages it names.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from drivers.tcflower.places import MAX_CHAIN

# What becomes of a packet after an action: ``TC_ACT_*``.
UNSPEC: Final = -1
"""Go on as if nothing had matched, in this chain's next filter."""
OK: Final = 0
"""Let Linux have the packet."""
RECLASSIFY: Final = 1
SHOT: Final = 2
"""Drop it."""
PIPE: Final = 3
"""Go on with the next action."""
STOLEN: Final = 4
"""Somebody has it now: what follows a redirect."""
TRAP: Final = 8
"""Like :data:`STOLEN`; hardware gives it to the CPU."""
JUMP: Final = 1 << 28
"""With a number added: skip so many actions."""
GOTO_CHAIN: Final = 2 << 28
"""With a number added: go on in that chain."""


def goto_chain(chain: int) -> int:
    """The control value that goes on in another chain.

    :raises ValueError: when it is no chain.
    """
    if not 0 <= chain <= MAX_CHAIN:
        raise ValueError(f"there is no chain {chain}")
    return GOTO_CHAIN | chain


class VlanOp(enum.IntEnum):
    """What :class:`Vlan` does (``TCA_VLAN_ACT_*``)."""

    POP = 1
    PUSH = 2
    MODIFY = 3


class MplsOp(enum.IntEnum):
    """What :class:`Mpls` does (``TCA_MPLS_ACT_*``)."""

    POP = 1
    PUSH = 2
    MODIFY = 3
    DEC_TTL = 4


class PeditHeader(enum.IntEnum):
    """From where :class:`PeditKey` counts (``TCA_PEDIT_KEY_EX_HDR_TYPE_*``)."""

    NETWORK = 0
    ETH = 1
    IP4 = 2
    IP6 = 3
    TCP = 4
    UDP = 5


class CsumFlags(enum.IntFlag):
    """Which checksums :class:`Csum` makes right (``TCA_CSUM_UPDATE_FLAG_*``)."""

    IPV4HDR = 1
    ICMP = 2
    IGMP = 4
    TCP = 8
    UDP = 16
    UDPLITE = 32
    SCTP = 64


class CtFlags(enum.IntFlag):
    """What :class:`Ct` does (``TCA_CT_ACT_*``)."""

    COMMIT = 1
    FORCE = 2
    CLEAR = 4
    NAT = 8
    NAT_SRC = 16
    NAT_DST = 32


NO_CT_FLAGS: Final = CtFlags(0)
"""Only look the connection up."""


@attrs.frozen
class Gact:
    """Decide what becomes of the packet, and nothing else: ``Gact(SHOT)``, ``Gact(TRAP)``,
    ``Gact(goto_chain(3))``."""

    control: int


@attrs.frozen
class Mirred:
    """Send the packet (redirect), or a copy of it (mirror), to a device.

    :ivar ifindex: the device's number.
    :ivar mirror: whether a copy goes, and the packet goes on with the next action.
    :ivar ingress: whether it shall be as if it came in there, instead of leaving there.
    :ivar control: STOLEN of a redirect, PIPE of a mirror; nothing else makes sense.
    """

    ifindex: int
    mirror: bool = False
    ingress: bool = False
    control: int = attrs.Factory(lambda self: PIPE if self.mirror else STOLEN, takes_self=True)


@attrs.frozen
class Vlan:
    """Push, pop or change the outer VLAN tag.

    :ivar vid: 12 bits; needed for PUSH and MODIFY.
    :ivar priority: 3 bits; None: 0 of a PUSH, as it is of a MODIFY.
    :ivar protocol: 0x8100 or 0x88a8; None: 0x8100 of a PUSH, 0x8100 of a MODIFY, too.
    """

    op: VlanOp
    vid: int | None = None
    priority: int | None = None
    protocol: int | None = None
    control: int = PIPE


@attrs.frozen
class PeditKey:
    """One 32-bit word of a header that is changed.

    :ivar header: what the offset counts from.
    :ivar offset: in bytes; a multiple of 4; may be negative from NETWORK.
    :ivar value: 32 bits as they stand in the packet, the first byte the highest.
    :ivar mask: a one in each bit that is written; others keep what they are.  (tc's own mask has it
        the other way round.)
    :ivar add: the value is added to what is there, not put in its place; what is carried out of a
        masked byte is lost.  ``PeditKey(IP4, 8, 0xFF000000, 0xFF000000, add=True)`` decrements
        the TTL.
    """

    header: PeditHeader
    offset: int
    value: int
    mask: int = 0xFFFFFFFF
    add: bool = False


@attrs.frozen
class Pedit:
    """Change words of headers.  Checksums become wrong: :class:`Csum` makes them right.

    :ivar keys: 1 to 128 of them.
    """

    keys: tuple[PeditKey, ...]
    control: int = PIPE


@attrs.frozen
class Csum:
    """Make checksums right.  Those of headers that the packet does not have are passed over."""

    flags: CsumFlags
    control: int = PIPE


@attrs.frozen
class Skbedit:
    """Change what Linux knows of the packet besides its bytes.

    :ivar mark: ``skb->mark``; of it the bits in ``mark_mask``, or all.
    :ivar queue_mapping: the transmit queue.
    :ivar priority: ``skb->priority``: the class of the queueing discipline.
    :ivar ptype: 0: for this host, as if it were addressed to the device.
    """

    mark: int | None = None
    mark_mask: int | None = None
    queue_mapping: int | None = None
    priority: int | None = None
    ptype: int | None = None
    control: int = PIPE


@attrs.frozen
class Police:
    """Let so much pass.

    :ivar index: its number, if filters are to share it (:class:`Policer`).  0: the filter's own.
    :ivar rate: bytes a second; 0: not limited.
    :ivar burst: bytes that may come at once; needed with a rate.
    :ivar packet_rate: packets a second; 0: not limited.  Not both.
    :ivar packet_burst: packets that may come at once.
    :ivar mtu: longer packets exceed the limit, whatever the rate; 0: no such limit.
    :ivar exceed: a control value: what becomes of packets above the limit.
    :ivar control: what becomes of those below it.
    """

    index: int = 0
    rate: int = 0
    burst: int = 0
    packet_rate: int = 0
    packet_burst: int = 0
    mtu: int = 0
    exceed: int = SHOT
    control: int = PIPE


@attrs.frozen
class Policer:
    """Hand the packet to the :class:`Police` of this index, which is there by itself; what passes
    goes on with the next action.  Without it, the kernel refuses the filter."""

    index: int
    control: int = attrs.field(default=PIPE, init=False)


@attrs.frozen
class TunnelKey:
    """Say how a tunnel device shall encapsulate the packet, or (all None) that it shall not.

    :ivar key_id: 32 bits (VNI).
    :ivar ipv4_src: 32 bits; with ``ipv4_dst``.
    :ivar ipv6_src: 128 bits; with ``ipv6_dst``.
    :ivar dst_port: of UDP.
    :ivar no_csum: whether the outer UDP checksum is left out.
    """

    key_id: int | None = None
    ipv4_src: int | None = None
    ipv4_dst: int | None = None
    ipv6_src: int | None = None
    ipv6_dst: int | None = None
    dst_port: int | None = None
    tos: int | None = None
    ttl: int | None = None
    no_csum: bool = False
    control: int = PIPE

    @property
    def release(self) -> bool:
        """Whether it takes the tunnel's data from a packet instead of giving it some."""
        return self == TunnelKey(control=self.control)


@attrs.frozen
class Mpls:
    """Push, pop or change the outer MPLS shim.

    :ivar protocol: the EtherType after a PUSH (0x8847, 0x8848) or a POP.
    :ivar label: 20 bits; needed for PUSH.
    :ivar tc: 3 bits.
    :ivar ttl: 1 to 255; None: of a PUSH, that of the IP header or the shim below.
    :ivar bos: 0 or 1; None: of a PUSH, whether there is no shim below.
    """

    op: MplsOp
    protocol: int | None = None
    label: int | None = None
    tc: int | None = None
    ttl: int | None = None
    bos: int | None = None
    control: int = PIPE


@attrs.frozen
class Ct:
    """Track the packet's connection; matches on ``ct_*`` see it in chains after this.

    :ivar zone: 16 bits.
    :ivar mark: 32 bits; ``labels`` has 128.
    :ivar nat_ipv4: the first and the last address of a range; likewise the others.
    """

    flags: CtFlags = NO_CT_FLAGS
    zone: int | None = None
    mark: int | None = None
    mark_mask: int | None = None
    labels: int | None = None
    labels_mask: int | None = None
    nat_ipv4: tuple[int, int] | None = None
    nat_ipv6: tuple[int, int] | None = None
    nat_port: tuple[int, int] | None = None
    control: int = PIPE


@attrs.frozen
class Sample:
    """Give a copy of the packet, with where it came in, to whoever listens on psample.

    :ivar group: psample's group.
    :ivar rate: one of so many packets, at random; 1: all.
    :ivar trunc_size: bytes of the packet; None: all.
    """

    group: int
    rate: int = 1
    trunc_size: int | None = None
    control: int = PIPE


TcAction: TypeAlias = (
    Gact
    | Mirred
    | Vlan
    | Pedit
    | Csum
    | Skbedit
    | Police
    | Policer
    | TunnelKey
    | Mpls
    | Ct
    | Sample
)

MAX_ACTIONS: Final = 32
"""``TCA_ACT_MAX_PRIO``: how many actions a filter may have."""
