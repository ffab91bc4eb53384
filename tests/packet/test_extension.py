"""Tests of :mod:`agent.packet.extension`."""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from agent.packet.extension import (
    AUTH,
    DEST,
    ESP,
    FRAG,
    HOP,
    MAX_HEADERS,
    NONEXT,
    ROUTER,
    UNREP,
    UNSEQ,
    ExtensionChain,
    walk,
)

HOPOPTS, ROUTING, FRAGMENT, ENCRYPTED, AH, NONE, DSTOPTS, TCP, MOBILITY = (
    0,
    43,
    44,
    50,
    51,
    59,
    60,
    6,
    135,
)


def chain(*numbers: int, offset_flags: int = 0, left: int = 0) -> ExtensionChain:
    """Walk a chain of the shortest headers with these numbers; the last is the upper layer.

    :param offset_flags: what a fragment header says.
    :param left: segments left in a routing header.
    """
    data = b""
    for number, following in pairwise(numbers):
        header = bytearray(8)
        header[0] = following
        if number == FRAGMENT:
            header[2:4] = offset_flags.to_bytes(2, "big")
        elif number == ROUTING:
            header[3] = left
        data += bytes(header)
    return walk(data, numbers[0], 6, 0, len(data))


class ExthdrTests(SynchronousTestCase):
    """The bits of ``ipv6_exthdr``."""

    def test_none(self) -> None:
        """Without extension headers no bit is set; a mobility header counts as an upper layer."""
        self.assertEqual(chain(TCP).exthdr, 0)
        self.assertEqual(chain(MOBILITY).exthdr, 0)

    def test_each(self) -> None:
        """Each header has its bit."""
        for number, bit in (
            (HOPOPTS, HOP),
            (DSTOPTS, DEST),
            (ROUTING, ROUTER),
            (FRAGMENT, FRAG),
            (AH, AUTH),
        ):
            self.assertEqual(chain(number, TCP).exthdr, bit)
        self.assertEqual(chain(ENCRYPTED).exthdr, ESP)
        self.assertEqual(chain(NONE).exthdr, NONEXT)
        self.assertEqual(chain(HOPOPTS, NONE).exthdr, HOP | NONEXT)

    def test_recommended_order(self) -> None:
        """The order of RFC 8200 section 4.1, whole or in part, is no unexpected sequence."""
        self.assertEqual(
            chain(HOPOPTS, DSTOPTS, ROUTING, FRAGMENT, AH, DSTOPTS, TCP).exthdr,
            HOP | DEST | ROUTER | FRAG | AUTH,
        )
        self.assertEqual(chain(HOPOPTS, AH, ENCRYPTED).exthdr, HOP | AUTH | ESP)
        self.assertEqual(chain(FRAGMENT, DSTOPTS, TCP).exthdr, FRAG | DEST)
        self.assertEqual(chain(DSTOPTS, DSTOPTS, TCP).exthdr, DEST)

    def test_out_of_order(self) -> None:
        """A header after one that should follow it is an unexpected sequence."""
        self.assertEqual(chain(FRAGMENT, ROUTING, TCP).exthdr, FRAG | ROUTER | UNSEQ)
        self.assertEqual(chain(AH, FRAGMENT, TCP).exthdr, AUTH | FRAG | UNSEQ)
        self.assertEqual(chain(DSTOPTS, DSTOPTS, ROUTING, TCP).exthdr, DEST | ROUTER | UNSEQ)

    def test_hop_by_hop_must_be_first(self) -> None:
        """Hop-by-hop options elsewhere set no bit of their own, only the one for the order."""
        self.assertEqual(chain(ROUTING, HOPOPTS, TCP).exthdr, ROUTER | UNSEQ)
        self.assertEqual(chain(HOPOPTS, HOPOPTS, TCP).exthdr, HOP | UNREP | UNSEQ)

    def test_repeated(self) -> None:
        """A header that comes twice is a repetition; destination options may come twice."""
        self.assertEqual(chain(ROUTING, ROUTING, TCP).exthdr, ROUTER | UNREP)
        self.assertEqual(chain(DSTOPTS, ROUTING, DSTOPTS, TCP).exthdr, DEST | ROUTER)
        self.assertEqual(chain(DSTOPTS, DSTOPTS, DSTOPTS, TCP).exthdr, DEST | UNREP)


class WalkTests(SynchronousTestCase):
    """Where a chain leads."""

    def test_end(self) -> None:
        """The upper layer is behind the last header, and named by it."""
        found = chain(HOPOPTS, DSTOPTS, TCP)
        self.assertEqual((found.proto, found.proto_at, found.end), (TCP, 8, 16))
        self.assertTrue(found.whole)

    def test_first_fragment(self) -> None:
        """A first fragment has the upper layer; an atomic one is none at all."""
        found = chain(FRAGMENT, TCP, offset_flags=1)
        self.assertEqual((found.proto, found.frag), (TCP, 1))
        self.assertEqual(chain(FRAGMENT, TCP).frag, 0)

    def test_later_fragment(self) -> None:
        """A later fragment is of the protocol 44, whatever its fragment header names."""
        found = chain(FRAGMENT, DSTOPTS, TCP, offset_flags=8)
        self.assertEqual((found.proto, found.frag, found.exthdr), (FRAGMENT, 3, FRAG))

    def test_routed(self) -> None:
        """Only a routing header with segments left changes the destination of the checksum."""
        self.assertFalse(chain(ROUTING, TCP).routed)
        self.assertTrue(chain(ROUTING, TCP, left=1).routed)

    def test_lengths(self) -> None:
        """Options count in units of eight bytes, authentication in units of four."""
        options = bytes((TCP, 1)) + bytes(14)
        self.assertEqual(walk(options, HOPOPTS, 6, 0, 16).end, 16)
        authentication = bytes((TCP, 4)) + bytes(22)
        self.assertEqual(walk(authentication, AH, 6, 0, 24).end, 24)

    def test_truncated(self) -> None:
        """A header that is not there whole breaks the chain, at every length."""
        options = bytes((TCP, 1)) + bytes(14)
        for length in range(16):
            self.assertFalse(walk(options[:length], HOPOPTS, 6, 0, length).whole)

    def test_bounded(self) -> None:
        """A chain of as many headers as fit a packet is given up early, and counts as broken."""
        self.assertTrue(chain(*[DSTOPTS] * (MAX_HEADERS - 1), TCP).whole)
        self.assertFalse(chain(*[DSTOPTS] * MAX_HEADERS, TCP).whole)
        self.assertFalse(chain(*[DSTOPTS] * 8000, TCP).whole)
