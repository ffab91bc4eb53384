"""Matches of OpenFlow 1.3 beside os-ken's: the same bytes, and the same fields of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from os_ken.lib import addrconv
from os_ken.ofproto import ofproto_v1_3_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields
from agent.openflow.fields import OXM_FIELDS, Field
from agent.openflow.match import Match
from agent.openflow.oxm import decode_match, encode_match, fields_of
from tests.openflow.strategies import matches13
from tests.openflow.tlvs import needed

_MACS = {
    *(fields.ETH_SRC, fields.ETH_DST, fields.ARP_SHA, fields.ARP_THA),
    *(fields.IPV6_ND_SLL, fields.IPV6_ND_TLL),
}
_IPV4 = {fields.IPV4_SRC, fields.IPV4_DST, fields.ARP_SPA, fields.ARP_TPA}
_IPV6 = {fields.IPV6_SRC, fields.IPV6_DST, fields.IPV6_ND_TARGET}


def _text(field: Field, value: int) -> Any:
    """A value as os-ken's users write it."""
    data = value.to_bytes((field.bits + 7) // 8, "big")
    for converter, some in (
        (addrconv.mac, _MACS),
        (addrconv.ipv4, _IPV4),
        (addrconv.ipv6, _IPV6),
    ):
        if field in some:
            return converter.bin_to_text(data)
    return value


def theirs(match: Match) -> Any:
    """The match as one of os-ken."""
    chosen: dict[str, Any] = {}
    for field, value, mask in fields_of(match):
        exact = mask == field.limit
        words = _text(field, value)
        chosen[field.name] = words if exact else (words, _text(field, mask))
    return parser.OFPMatch(**chosen)


def serialized(match: Any) -> bytes:
    """The bytes of a match of os-ken."""
    data = bytearray()
    match.serialize(data, 0)
    return bytes(data)


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_each_field(self) -> None:
        """For every field, exact and masked, behind its prerequisites, the bytes are equal."""
        for field in OXM_FIELDS:
            for mask in (field.limit, field.limit ^ 1) if field.maskable else (field.limit,):
                chosen: dict[str, int | tuple[int, int]] = {**needed(field)}
                chosen[field.name] = (field.limit & mask, mask)
                match = Match.of(**chosen)
                data = serialized(theirs(match))
                self.assertEqual(encode_match(match), data, chosen)
                self.assertEqual(decode_match(data, 0), (match, len(data)), chosen)

    @given(matches13())
    def test_read_theirs(self, match: Match) -> None:
        """What os-ken writes, in its order, is read as the match."""
        data = serialized(theirs(match))
        self.assertEqual(decode_match(data, 0), (match, len(data)))

    @given(matches13())
    def test_they_read_ours(self, match: Match) -> None:
        """What we write, in our order, os-ken reads as the match."""
        found = parser.OFPMatch.parser(encode_match(match), 0)
        self.assertEqual(dict(found.items()), dict(theirs(match).items()))
