"""The chain of IPv6 extension headers: where it ends, and what ``ipv6_exthdr`` says of it.

Which headers are walked, and where a chain counts as broken, is as in Open vSwitch
(``parse_ipv6_ext_hdrs``), so that a rule means the same in both.  One bound is added: an attacker
can put eight thousand headers of eight bytes into one packet, so a chain that is longer than any
honest one counts as broken.

The bits of ``ipv6_exthdr`` are OpenFlow's ``OFPIEH_*`` (1.3.5 section 7.2.3.8).  The order which
``UNSEQ`` measures is that of RFC 8200 section 4.1: hop-by-hop, destination, routing, fragment,
authentication, encapsulation, destination once more.  Headers may be left out; so a chain is in
order when it is a subsequence of this one.
"""

from __future__ import annotations

from typing import Final

import attrs

from agent.packet.protocols import (
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_HOPOPTS,
    IPPROTO_NONE,
    IPPROTO_ROUTING,
    NW_FRAG_ANY,
    NW_FRAG_LATER,
)

NONEXT: Final = 1 << 0
"""``OFPIEH_NONEXT``: "no next header" was met."""
ESP: Final = 1 << 1
"""``OFPIEH_ESP``: an encrypted security payload header."""
AUTH: Final = 1 << 2
"""``OFPIEH_AUTH``: an authentication header."""
DEST: Final = 1 << 3
"""``OFPIEH_DEST``: one or two destination options headers."""
FRAG: Final = 1 << 4
"""``OFPIEH_FRAG``: a fragment header."""
ROUTER: Final = 1 << 5
"""``OFPIEH_ROUTER``: a routing header."""
HOP: Final = 1 << 6
"""``OFPIEH_HOP``: a hop-by-hop options header, as the first of all."""
UNREP: Final = 1 << 7
"""``OFPIEH_UNREP``: a header is repeated that should not be."""
UNSEQ: Final = 1 << 8
"""``OFPIEH_UNSEQ``: the headers are not in the recommended order."""

MAX_HEADERS: Final = 32
"""A chain of more headers than this counts as broken."""

_BITS: Final = {
    IPPROTO_HOPOPTS: HOP,
    IPPROTO_DSTOPTS: DEST,
    IPPROTO_ROUTING: ROUTER,
    IPPROTO_FRAGMENT: FRAG,
    IPPROTO_AH: AUTH,
    IPPROTO_ESP: ESP,
    IPPROTO_NONE: NONEXT,
}
_RANKS: Final = {
    IPPROTO_HOPOPTS: 0,
    IPPROTO_ROUTING: 2,
    IPPROTO_FRAGMENT: 3,
    IPPROTO_AH: 4,
    IPPROTO_ESP: 5,
    IPPROTO_NONE: 7,
}
_DEST_BEFORE_ROUTING: Final = 1
_DEST_LAST: Final = 6
_WALKED: Final = frozenset(
    (IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH)
)
"""What has a next header that can be read; ESP has one, but encrypted."""


@attrs.define(eq=False)
class ExtensionChain:
    """What was learnt on the way from the IPv6 header to the upper layer.

    :ivar proto: the number of the upper layer, or 44 for a later fragment.
    :ivar proto_at: offset of the byte that says so.
    :ivar end: offset of what follows the chain.
    :ivar frag: bits of ``nw_frag``.
    :ivar exthdr: bits of ``ipv6_exthdr``.
    :ivar routed: a routing header names further stops, so that the transport checksum does not
        cover the destination address of the IPv6 header (RFC 8200 section 8.1).
    :ivar whole: False when the chain is truncated or too long; nothing else is meant then.
    """

    proto: int
    proto_at: int
    end: int
    frag: int = 0
    exthdr: int = 0
    routed: bool = False
    whole: bool = True


class _Order:
    """Keeps count of the headers met, for the bits of ``ipv6_exthdr``."""

    __slots__ = ("bits", "destinations", "rank")

    def __init__(self) -> None:
        self.bits = 0
        self.rank = -1
        self.destinations = 0

    def met(self, header: int) -> None:
        """Take note of the next header of the chain; one that is no extension header is ignored."""
        bit = _BITS.get(header)
        if bit is None:
            return
        if header == IPPROTO_HOPOPTS:
            if self.bits:
                # Only the first header of all may be this one; the bit says it is in its place.
                self.bits |= UNSEQ | (UNREP if self.bits & HOP else 0)
                return
            rank = 0
        elif header == IPPROTO_DSTOPTS:
            self.destinations += 1
            if self.destinations > 2:
                self.bits |= UNREP
            rank = _DEST_BEFORE_ROUTING if self.rank < _DEST_BEFORE_ROUTING else _DEST_LAST
        else:
            if self.bits & bit:
                self.bits |= UNREP
            rank = _RANKS[header]
        if rank < self.rank:
            self.bits |= UNSEQ
        else:
            self.rank = rank
        self.bits |= bit


def walk(data: bytes, proto: int, proto_at: int, at: int, end: int) -> ExtensionChain:
    """Follow the chain from the IPv6 header to the upper layer.

    :param proto: the next header field of the IPv6 header; ``proto_at`` is its offset.
    :param at: the offset after the IPv6 header.
    :param end: the offset after the IPv6 payload, not beyond ``data``.
    """
    chain = ExtensionChain(proto, proto_at, at)
    order = _Order()
    for _ in range(MAX_HEADERS):
        order.met(proto)
        if proto not in _WALKED:
            break
        if end - at < 8:
            chain.whole = False
            return chain
        following = data[at]
        if proto == IPPROTO_AH:
            length = (data[at + 1] + 2) * 4
        elif proto == IPPROTO_FRAGMENT:
            length = 8
            offset_flags = data[at + 2] << 8 | data[at + 3]
            if offset_flags:
                chain.frag = NW_FRAG_ANY
                if offset_flags & 0xFFF8:
                    chain.frag |= NW_FRAG_LATER
        else:
            length = (data[at + 1] + 1) * 8
            if proto == IPPROTO_ROUTING and data[at + 3]:
                chain.routed = True
        if length > end - at:
            chain.whole = False
            return chain
        if chain.frag & NW_FRAG_LATER:
            # What follows is the middle of something; no header can be told in it.
            at += length
            break
        proto, proto_at, at = following, at, at + length
    else:
        chain.whole = False
        return chain
    chain.proto, chain.proto_at, chain.end, chain.exthdr = proto, proto_at, at, order.bits
    return chain
