"""Writes matches made of TLVs, fast when it has written their like before.

The mask of a match, and the few of its values that decide what shared bits mean, say which TLVs
there are.  For each such combination a :class:`Shape` is kept: the bytes with gaps where the values
go, and how the values come out of the flow key.

TLVs are written in the order in which Open vSwitch writes them, prerequisites first.  Where a field
has an OpenFlow and a Nicira TLV, the format decides; where it has one, or only that one may have
the mask that is needed, that is used.  Bits of a match that no TLV can say, because their
prerequisites are not met, are left out; the decoders let no such match in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import attrs

from agent.openflow import fields
from agent.openflow.cache import Cache
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.oxm_decoder import tuple_getter
from agent.openflow.oxm_tlv import NXM, OXM, Tlv, deciding_bits, prerequisites_met
from agent.openflow.ports import to_wire10

MAX_SHAPES: Final = 4096
"""Masks that are remembered; as many again for what the values decide."""

# fmt: off
_ORDER: Final = (
    fields.IN_PORT, fields.NX_IN_PORT, fields.IN_PHY_PORT, fields.ETH_SRC,
    fields.ETH_DST, fields.ETH_TYPE, fields.VLAN_VID, fields.VLAN_PCP, fields.VLAN_TCI,
    fields.MPLS_TC, fields.MPLS_BOS, fields.MPLS_LABEL, fields.IPV4_SRC, fields.IPV4_DST,
    fields.IPV6_SRC, fields.IPV6_DST, fields.NW_FRAG, fields.IP_DSCP, fields.NW_TOS,
    fields.IP_ECN, fields.NW_TTL, fields.IPV6_FLABEL, fields.IPV6_EXTHDR, fields.IP_PROTO,
    fields.TCP_SRC, fields.TCP_DST, fields.TCP_FLAGS, fields.UDP_SRC, fields.UDP_DST,
    fields.SCTP_SRC, fields.SCTP_DST, fields.ICMPV4_TYPE, fields.ICMPV4_CODE,
    fields.ICMPV6_TYPE, fields.ICMPV6_CODE, fields.IPV6_ND_TARGET, fields.IPV6_ND_SLL,
    fields.IPV6_ND_TLL, fields.ARP_OP, fields.ARP_SPA, fields.ARP_TPA, fields.ARP_SHA,
    fields.ARP_THA, fields.PBB_ISID, fields.TUNNEL_ID, fields.TUN_SRC, fields.TUN_DST,
    *fields.REGS, fields.PKT_MARK, fields.METADATA,
)
# fmt: on

_OTHER_WORDS: Final = {
    fields.IN_PORT: fields.NX_IN_PORT,
    fields.VLAN_VID: fields.VLAN_TCI,
    fields.VLAN_PCP: fields.VLAN_TCI,
    fields.IP_DSCP: fields.NW_TOS,
}
"""Fields of OpenFlow which Nicira's match has in another form."""


_VLAN: Final = (fields.VLAN_VID, fields.VLAN_PCP)
_PRESENT = fields.VLAN_PRESENT << fields.VLAN_TCI.shift


def _is_vid_and_pcp(mask: int, value: int) -> bool:
    """Whether OpenFlow's fields can say what is matched of the VLAN tag; Nicira's can say more.

    Where there is no tag, its priority need not be said.
    """
    pcp = mask & fields.VLAN_PCP.mask
    if not pcp or mask & _PRESENT & ~value:
        return True
    return pcp == fields.VLAN_PCP.mask and bool(value & _PRESENT)


def _tlvs(first: dict[Field, Tlv], second: dict[Field, Tlv], without: set[Field]) -> list[Tlv]:
    return [first.get(f) or second[f] for f in _ORDER if f not in without]


OXM_ORDER: Final = _tlvs(OXM, NXM, set(_OTHER_WORDS.values()))
"""The TLVs of ``ofp_match``, in order."""
NXM_ORDER: Final = _tlvs(NXM, OXM, set(_OTHER_WORDS))
"""The TLVs of ``nx_match``, in order."""
_WHOLE_TCI: Final = _tlvs(OXM, NXM, set(_OTHER_WORDS.values()) ^ {*_VLAN, fields.VLAN_TCI})
"""The TLVs of ``ofp_match`` where the VLAN tag is not matched as OpenFlow would."""


@attrs.frozen(eq=False)
class Shape:
    """What the matches with one mask have in common.

    :ivar template: the bytes, with a ``%b`` for each value.
    :ivar size: bytes of the key which have values.
    :ivar unpack: takes the values that are whole bytes out of the key.
    :ivar others: makes the bytes of the other values from the key; None when there are none.
    :ivar order: brings the values, whole ones before others, into the order of the template.
    """

    template: bytes
    size: int
    unpack: Callable[[bytes], tuple[bytes, ...]]
    others: Callable[[int], tuple[bytes, ...]] | None
    order: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


class MatchEncoder:
    """Writes matches of one format.

    :ivar tlvs: the TLVs there are, in the order in which they are written.
    """

    def __init__(self, tlvs: list[Tlv], wrap: Callable[[bytes, int], bytes]) -> None:
        """
        :param wrap: makes a whole match from the template of its TLVs and their length in bytes
            (in a template, a ``%`` is written ``%%``).
        """
        self.tlvs = tlvs
        self._wrap = wrap
        self._deciding: Cache[int, int] = Cache(MAX_SHAPES)
        self._shapes: Cache[tuple[int, int], Shape] = Cache(MAX_SHAPES)

    def encode(self, match: Match) -> bytes:
        """The bytes of a match.

        :raises OpenFlowError: BAD_OUT_PORT where an input port does not fit into 16 bits.
        """
        mask, value = match.mask, match.value
        deciding = self._deciding.get(mask)
        if deciding is None:
            deciding = self._deciding.put(mask, self._deciding_bits(mask))
        key = (mask, value & deciding)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes.put(key, self._shape(mask, value))
        values = shape.unpack(value.to_bytes(shape.size, "big"))
        if shape.others is not None:
            values += shape.others(value)
        return shape.template % shape.order(values)

    def _deciding_bits(self, mask: int) -> int:
        bits = 0
        for tlv in self.tlvs:
            if mask & tlv.bits:
                bits |= deciding_bits(tlv.field)
        # Without a tag, what else is said of it must be zero: see _is_vid_and_pcp.
        return bits | (mask & _PRESENT and _PRESENT)

    def _shape(self, mask: int, value: int) -> Shape:
        template = b""
        length = 0
        whole: list[tuple[int, int, int]] = []  # place in the template, byte of the key, bytes
        others: list[tuple[int, Tlv]] = []  # place in the template, kind
        place = 0
        tlvs = self.tlvs
        if OXM[fields.VLAN_VID] in tlvs and not _is_vid_and_pcp(mask, value):
            tlvs = _WHOLE_TCI
        for tlv in tlvs:
            if not mask & tlv.bits or not prerequisites_met(tlv.field, mask, value):
                continue
            full = (1 << 8 * tlv.width) - 1
            care = tlv.limit if tlv.port16 else (mask >> tlv.shift) & tlv.limit
            masked = care != tlv.limit
            if masked and not tlv.maskable:
                tlv = NXM.get(tlv.field, tlv)
            template += tlv.header(masked).replace(b"%", b"%%") + b"%b"
            length += 4 + (tlv.width << masked)
            if masked:
                template += care.to_bytes(tlv.width, "big").replace(b"%", b"%%")
            alone = not (mask >> tlv.shift) & full & ~tlv.limit
            if tlv.shift % 8 == 0 and alone and not tlv.port16:
                whole.append((place, tlv.shift // 8, tlv.width))
            else:
                others.append((place, tlv))
            place += 1
        size = max([(mask.bit_length() + 7) // 8, *(low + width for _, low, width in whole)])
        whole.sort(key=lambda piece: -piece[1])
        places = [place for place, *_ in (*whole, *others)]
        return Shape(
            self._wrap(template, length),
            size,
            _unpack([(low, width) for _, low, width in whole], size),
            _others([tlv for _, tlv in others]) if others else None,
            tuple_getter([places.index(place) for place in range(len(places))]),
        )


def _unpack(pieces: list[tuple[int, int]], size: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """A function that takes ``(byte of the key, bytes)``, highest first, out of ``size`` bytes."""
    layout = ">"
    above = size
    for low, width in pieces:
        layout += f"{above - low - width}x{width}s"
        above = low
    return struct.Struct(f"{layout}{above}x").unpack


def _others(tlvs: list[Tlv]) -> Callable[[int], tuple[bytes, ...]]:
    """A function that makes the values of these TLVs from a key."""

    def values(key: int) -> tuple[bytes, ...]:
        found = []
        for tlv in tlvs:
            number = to_wire10(fields.IN_PORT.get(key)) if tlv.port16 else key >> tlv.shift
            found.append((number & tlv.limit).to_bytes(tlv.width, "big"))
        return tuple(found)

    return values
