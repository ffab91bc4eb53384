"""TLVs of matches, good and bad, byte by byte: to see what the decoder makes of them."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from agent.openflow import fields
from agent.openflow.fields import FIELDS
from agent.openflow.oxm import encode_oxm_field
from agent.openflow.oxm_tlv import BY_KIND, Tlv


def tlv(oxm_class: int, number: int, value: bytes, mask: bytes | None = None) -> bytes:
    """One TLV, whatever its bytes; a mask if there is one."""
    payload = value + (mask or b"")
    return struct.pack(">HBB", oxm_class, number << 1 | (mask is not None), len(payload)) + payload


def basic(number: int, value: str, mask: str | None = None) -> bytes:
    """A TLV of the OpenFlow basic class, from hexadecimal digits."""
    return tlv(0x8000, number, bytes.fromhex(value), None if mask is None else bytes.fromhex(mask))


def ofp_match(*tlvs: bytes, kind: int = 1) -> bytes:
    """An ``ofp_match`` with these TLVs."""
    body = b"".join(tlvs)
    return struct.pack(">HH", kind, 4 + len(body)) + body + bytes(-(4 + len(body)) % 8)


PREREQUISITES: dict[str, list[dict[str, Any]]] = {
    "vlan_vid": [{}, {"vlan_vid": 0x1005}, {"vlan_vid": 0}, {"vlan_vid": (0x1000, 0x1000)}],
    "eth_type": [{}, *({"eth_type": kind} for kind in (0x0800, 0x86DD, 0x0806, 0x8847, 0x88E7))],
    "ip_proto": [{}, *({"ip_proto": proto} for proto in (1, 6, 17, 58, 132))],
    "icmp": [{}, {"icmpv6_type": 135}, {"icmpv6_type": 136}],
}


@st.composite
def prerequisites(draw: st.DrawFn) -> bytes:
    """TLVs which other TLVs need, in their order; they may contradict each other."""
    data = b""
    for choices in PREREQUISITES.values():
        for name, wanted in draw(st.sampled_from(choices)).items():
            value, mask = wanted if isinstance(wanted, tuple) else (wanted, None)
            data += encode_oxm_field(FIELDS[name], value, mask)
    return data


@st.composite
def one_tlv(draw: st.DrawFn) -> bytes:
    """A TLV of a known field, with or without a mask; most are right."""
    kind: Tlv = draw(st.sampled_from(list(BY_KIND.values())))
    full = (1 << 8 * kind.width) - 1
    value = draw(st.integers(0, kind.limit) | st.integers(0, full))
    masked = draw(st.booleans()) if kind.maskable else draw(st.integers(0, 9)) == 0
    data = kind.header(masked)
    if not masked:
        return data + value.to_bytes(kind.width, "big")
    mask = draw(st.sampled_from([0, full, kind.limit]) | st.integers(0, full))
    if draw(st.integers(0, 9)):
        value &= mask
    return data + value.to_bytes(kind.width, "big") + mask.to_bytes(kind.width, "big")


@st.composite
def tlv_lists(draw: st.DrawFn) -> bytes:
    """A list of TLVs: what others need, then some more."""
    return draw(prerequisites()) + b"".join(draw(st.lists(one_tlv(), max_size=4)))


@st.composite
def damaged(draw: st.DrawFn, lists: st.SearchStrategy[bytes]) -> bytes:
    """A list of TLVs in which a few bytes were changed, or which was cut short."""
    data = bytearray(draw(lists))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


NEEDS: dict[str, dict[str, int]] = {
    "in_phy_port": {"in_port": 1},
    "vlan_pcp": {"vlan_vid": 0x1005},
}
"""What a match needs to have besides the ethertype, IP protocol and ICMPv6 type of a field."""


def needed(field: fields.Field) -> dict[str, int]:
    """The prerequisites of a field, as names and values."""
    found = dict(NEEDS.get(field.name, {}))
    if field.eth_types:
        found["eth_type"] = field.eth_types[0]
    if field.ip_protos:
        found["ip_proto"] = field.ip_protos[0]
    if field.icmp_types:
        found["icmpv6_type"] = field.icmp_types[0]
    return found
