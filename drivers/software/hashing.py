"""Hashes of packets, and choosing by them: what ``multipath`` and ``bundle`` do.

The fields that are hashed, and the algorithms that choose one of some links by a hash, are those of
Open vSwitch.  The hash itself is not: that of Open vSwitch differs from version to version, and
nobody may rely on it.  Ours is the same in every run, so that flows stay where they are when the
agent is started again.

Source: ``nicira-ext.h``, ``multipath.c`` and ``bundle.c`` of Open vSwitch; for HRW (highest random
weight) also Thaler and Ravishankar, IEEE/ACM Transactions on Networking, 1998.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from agent.openflow.fields import (
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    IP,
    IP_PROTO,
    IPV4,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    NW_FRAG,
    SCTP,
    TCP,
    TCP_DST,
    TCP_SRC,
    UDP,
    VLAN_TCI,
    Field,
)
from agent.openflow.nx_actions import HashFields, MultipathAlgorithm
from agent.packet.protocols import NW_FRAG_LATER

Hash: TypeAlias = Callable[[int, int], int]
"""From a flow key and a basis to a number of 32 bits."""

_LIMIT: Final = 0xFFFFFFFF

MAX_WEIGHED: Final = 64
"""Links among which the highest random weight is sought, as in Open vSwitch."""
MAX_TURNS: Final = 64
"""How often a packet is hashed again; half of them need no second time."""


def mixed(*numbers: int) -> int:
    """A hash of numbers, 32 bits of which each depends on all bits of all numbers.

    A sum of remainders (CRC-32) alone would tell numbers apart, but choose badly: its bits depend
    on those of the numbers linearly.  What is done to it then is the end of MurmurHash3.
    """
    data = b"".join(
        number.to_bytes((number.bit_length() + 7) // 8 + 1, "big") for number in numbers
    )
    found = zlib.crc32(data)
    found ^= found >> 16
    found = found * 0x85EBCA6B & _LIMIT
    found ^= found >> 13
    found = found * 0xC2B2AE35 & _LIMIT
    return found ^ found >> 16


# --- what is hashed ---------------------------------------------------------------------------


def _one(field: Field, eth_types: tuple[int, ...] = ()) -> Hash:
    """One field, or nothing where a packet has it not."""

    def find(key: int, basis: int) -> int:
        if eth_types and ETH_TYPE.get(key) not in eth_types:
            return mixed(basis)
        return mixed(field.get(key), basis)

    return find


def _address(four: Field, six: Field) -> Hash:
    """The IP address at one end, if there is one."""

    def find(key: int, basis: int) -> int:
        eth_type = ETH_TYPE.get(key)
        if eth_type not in IP:
            return mixed(basis)
        return mixed((four if eth_type in IPV4 else six).get(key), basis)

    return find


def _addresses(key: int) -> int:
    """Both IP addresses, whichever comes first."""
    if ETH_TYPE.get(key) in IPV4:
        return IPV4_SRC.get(key) ^ IPV4_DST.get(key)
    return IPV6_SRC.get(key) ^ IPV6_DST.get(key)


def _ports(key: int, protocols: tuple[int, ...]) -> int:
    """Both ports, whichever comes first, of a packet that has them."""
    if IP_PROTO.get(key) in protocols and not NW_FRAG.get(key) & NW_FRAG_LATER:
        return TCP_SRC.get(key) ^ TCP_DST.get(key)
    return 0


def _symmetric_l4(key: int, basis: int) -> int:
    """What the packets of both directions have in common, from Ethernet up."""
    eth_type = ETH_TYPE.get(key)
    parts = [ETH_SRC.get(key) ^ ETH_DST.get(key), VLAN_TCI.get(key) & 0xFFF, eth_type]
    if eth_type in IP:
        parts += (IP_PROTO.get(key), _addresses(key), _ports(key, TCP + SCTP))
    return mixed(*parts, basis)


def _symmetric_l3(protocols: tuple[int, ...] = (), with_protocol: bool = True) -> Hash:
    """The same from IP up; packets of other kinds all have the same hash."""

    def find(key: int, basis: int) -> int:
        if ETH_TYPE.get(key) not in IP:
            return 0
        if not with_protocol:
            return mixed(_addresses(key), basis)
        return mixed(_addresses(key), IP_PROTO.get(key), _ports(key, protocols), basis)

    return find


HASHES: Final[dict[int, Hash]] = {
    HashFields.ETH_SRC: _one(ETH_SRC),
    HashFields.SYMMETRIC_L4: _symmetric_l4,
    HashFields.SYMMETRIC_L3L4: _symmetric_l3(TCP + SCTP),
    HashFields.SYMMETRIC_L3L4_UDP: _symmetric_l3(TCP + SCTP + UDP),
    HashFields.NW_SRC: _address(IPV4_SRC, IPV6_SRC),
    HashFields.NW_DST: _address(IPV4_DST, IPV6_DST),
    HashFields.SYMMETRIC_L3: _symmetric_l3(with_protocol=False),
}
"""By ``NX_HASH_FIELDS_*``."""


# --- choosing ---------------------------------------------------------------------------------


def highest(found: int, links: Sequence[int]) -> int:
    """The link of highest random weight: when one goes, only what it had goes elsewhere."""
    return max(links, key=lambda link: mixed(found, link))


def _modulo_n(found: int, count: int, arg: int) -> int:
    return found % count


def _hash_threshold(found: int, count: int, arg: int) -> int:
    """Each link has a run of hashes."""
    return found * count >> 32


def _hrw(found: int, count: int, arg: int) -> int:
    """Each link is weighed, which takes too long where there are many."""
    return highest(found, range(count)) if count <= MAX_WEIGHED else found % count


def _iter_hash(found: int, count: int, arg: int) -> int:
    """Hash until one of the links comes out, of ``arg`` there might be.

    As in Open vSwitch, a number that would make that take long is replaced by the power of two from
    the number of links on.
    """
    if arg < count or arg // 2 > count:
        arg = 1 << (count - 1).bit_length()
    for turn in range(MAX_TURNS):
        link = mixed(found, turn) % arg
        if link < count:
            return link
    return found % count


ALGORITHMS: Final[dict[int, Callable[[int, int, int], int]]] = {
    MultipathAlgorithm.MODULO_N: _modulo_n,
    MultipathAlgorithm.HASH_THRESHOLD: _hash_threshold,
    MultipathAlgorithm.HRW: _hrw,
    MultipathAlgorithm.ITER_HASH: _iter_hash,
}
"""By ``NX_MP_ALG_*``: from a hash, the number of links and the argument to a link."""
