"""Flower filters as values: what the translation of OpenFlow makes and netlink sends.

A rule of OpenFlow becomes one or several :class:`Filter`; all of them are installed, or none.  The
translation (``drivers.tcflower.translate``) decides what they match and do, and knows nothing of
netlink; netlink (``drivers.tcflower.message``) knows nothing of OpenFlow.

**Keys.**  A key is named as in ``TCA_FLOWER_KEY_*``, in lower case: ``eth_dst``, ``ipv4_src``,
``vlan_id``, ``tcp_flags``.  :data:`KEYS` has them all with their widths.  Its value is a number of
that width, as people write it: addresses with the first byte the highest, ports and EtherTypes as
usual.  Its mask is likewise a number, with a one in each bit that is compared; None compares all of
them, and is all that a key without ``mask_attr`` can have.  A key that shall not be compared is
left out.  ::

    Filter.of(*place(0, 100), (Mirred(7),), indev="p1", eth_type=0x0800,
              ipv4_dst=(0x0A000000, 0xFF000000))

**What the kernel makes of them**, and who translates has to know:

- All filters are of the protocol "all", so that everything may share a pref; the EtherType is
  compared by the key ``eth_type``.  That looks through VLAN tags only where it must: with
  ``eth_type=0x0800`` and no key about tags, a filter takes IPv4 packets with and without them, as
  OpenFlow wants it.
- A packet without a tag is ``num_of_vlans=0``.  To match a tag, ``eth_type`` is its TPID (0x8100,
  or 0x88a8 in a second filter, for OpenFlow does not say which), ``vlan_id`` and ``vlan_prio`` are
  compared if they are there, neither has a mask, and ``vlan_eth_type`` is what follows.
- A key of a layer has no meaning to the kernel without the key which says that the layer is there,
  and is then refused or, worse, ignored: ``ipv4_*``, ``ip_*``, ``arp_*``, ``mpls_*`` need the
  EtherType and ports, ICMP and ``tcp_flags`` need ``ip_proto``, as the prerequisites of OpenFlow.
- ``ip_tos`` has DSCP in the high 6 bits and ECN in the low 2.  ``flags`` has :class:`KeyFlags`.
  ``ct_state`` has :class:`CtState` and needs TRACKED in value and mask.
- ``enc_*`` are of a tunnel's outer header, where a packet came out of a tunnel device.
- ``indev`` is the name of a device, no number, and has an attribute of its own.

**Actions** are those of :mod:`drivers.tcflower.actions`, executed in order; there must be one at
least, for it is the first action that counts the packets of a filter.  To drop is ``Gact(SHOT)``.
A list which ends with PIPE lets Linux have the packet, so a translated list never does.

**Places.**  Chain and pref are what :func:`drivers.tcflower.places.place` says.  One pref may have
filters of different masks; two filters of one pref with equal keys and masks are refused with
EEXIST.

**Identity.**  The handle tells the filters of a pref apart; the driver gives it, not the
translation.  The cookie says whose filter it is and which rule's; the driver gives it, too.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from drivers.tcflower.actions import MAX_ACTIONS, TcAction
from drivers.tcflower.places import MAX_CHAIN

ETH_P_ALL: Final = 0x0003
"""The protocol of every packet."""
MAX_COOKIE: Final = 16
"""``TC_COOKIE_MAX_SIZE``: bytes of a cookie."""
IFNAMSIZ: Final = 16
"""Bytes of a device's name, with the zero at its end."""


class FilterFlags(enum.IntFlag):
    """Where a filter is, or shall be (``TCA_CLS_FLAGS_*``)."""

    SKIP_HW = 1
    SKIP_SW = 2
    IN_HW = 4
    NOT_IN_HW = 8
    VERBOSE = 16


BOTH: Final = FilterFlags(0)
"""In software, and in hardware if it takes it."""


class KeyFlags(enum.IntFlag):
    """The bits of the key ``flags`` (``TCA_FLOWER_KEY_FLAGS_*``)."""

    IS_FRAGMENT = 1
    FRAG_IS_FIRST = 2


class CtState(enum.IntFlag):
    """The bits of the key ``ct_state`` (``TCA_FLOWER_KEY_CT_FLAGS_*``)."""

    NEW = 1
    ESTABLISHED = 2
    RELATED = 4
    TRACKED = 8
    INVALID = 16
    REPLY = 32


@attrs.frozen
class KeyKind:
    """What there is to know of one key.

    :ivar attr: the number of its ``TCA_FLOWER_KEY_*``.
    :ivar mask_attr: that of its mask; None: it can only be compared as a whole.
    :ivar size: bytes on the wire.
    :ivar bits: how many bits a value has.
    :ivar host_order: whether the bytes are in the order of this host, not of the network.
    """

    name: str
    attr: int
    mask_attr: int | None
    size: int
    bits: int
    host_order: bool = False


# A table, to be read down its columns.
# fmt: off
_KINDS: Final = (
    KeyKind("eth_dst", 4, 5, 6, 48),
    KeyKind("eth_src", 6, 7, 6, 48),
    KeyKind("eth_type", 8, None, 2, 16),
    KeyKind("ip_proto", 9, None, 1, 8),
    KeyKind("ipv4_src", 10, 11, 4, 32),
    KeyKind("ipv4_dst", 12, 13, 4, 32),
    KeyKind("ipv6_src", 14, 15, 16, 128),
    KeyKind("ipv6_dst", 16, 17, 16, 128),
    KeyKind("tcp_src", 18, 35, 2, 16),
    KeyKind("tcp_dst", 19, 36, 2, 16),
    KeyKind("udp_src", 20, 37, 2, 16),
    KeyKind("udp_dst", 21, 38, 2, 16),
    KeyKind("vlan_id", 23, None, 2, 12, True),
    KeyKind("vlan_prio", 24, None, 1, 3),
    KeyKind("vlan_eth_type", 25, None, 2, 16),
    KeyKind("enc_key_id", 26, None, 4, 32),
    KeyKind("enc_ipv4_src", 27, 28, 4, 32),
    KeyKind("enc_ipv4_dst", 29, 30, 4, 32),
    KeyKind("enc_ipv6_src", 31, 32, 16, 128),
    KeyKind("enc_ipv6_dst", 33, 34, 16, 128),
    KeyKind("sctp_src", 41, 39, 2, 16),
    KeyKind("sctp_dst", 42, 40, 2, 16),
    KeyKind("enc_udp_src_port", 43, 44, 2, 16),
    KeyKind("enc_udp_dst_port", 45, 46, 2, 16),
    KeyKind("flags", 47, 48, 4, 32),
    KeyKind("icmpv4_code", 49, 50, 1, 8),
    KeyKind("icmpv4_type", 51, 52, 1, 8),
    KeyKind("icmpv6_code", 53, 54, 1, 8),
    KeyKind("icmpv6_type", 55, 56, 1, 8),
    KeyKind("arp_sip", 57, 58, 4, 32),
    KeyKind("arp_tip", 59, 60, 4, 32),
    KeyKind("arp_op", 61, 62, 1, 8),
    KeyKind("arp_sha", 63, 64, 6, 48),
    KeyKind("arp_tha", 65, 66, 6, 48),
    KeyKind("mpls_ttl", 67, None, 1, 8),
    KeyKind("mpls_bos", 68, None, 1, 1),
    KeyKind("mpls_tc", 69, None, 1, 3),
    KeyKind("mpls_label", 70, None, 4, 20, True),
    KeyKind("tcp_flags", 71, 72, 2, 12),
    KeyKind("ip_tos", 73, 74, 1, 8),
    KeyKind("ip_ttl", 75, 76, 1, 8),
    KeyKind("cvlan_id", 77, None, 2, 12, True),
    KeyKind("cvlan_prio", 78, None, 1, 3),
    KeyKind("cvlan_eth_type", 79, None, 2, 16),
    KeyKind("enc_ip_tos", 80, 81, 1, 8),
    KeyKind("enc_ip_ttl", 82, 83, 1, 8),
    KeyKind("port_src_min", 87, None, 2, 16),
    KeyKind("port_src_max", 88, None, 2, 16),
    KeyKind("port_dst_min", 89, None, 2, 16),
    KeyKind("port_dst_max", 90, None, 2, 16),
    KeyKind("ct_state", 91, 92, 2, 16, True),
    KeyKind("ct_zone", 93, 94, 2, 16, True),
    KeyKind("ct_mark", 95, 96, 4, 32, True),
    KeyKind("ct_labels", 97, 98, 16, 128),
    KeyKind("hash", 100, 101, 4, 32, True),
    KeyKind("num_of_vlans", 102, None, 1, 8),
    KeyKind("pppoe_sid", 103, None, 2, 16),
    KeyKind("ppp_proto", 104, None, 2, 16),
    KeyKind("l2tpv3_sid", 105, None, 4, 32),
)
# fmt: on

KEYS: Final[dict[str, KeyKind]] = {kind.name: kind for kind in _KINDS}
"""Every key of flower whose value is a number, by its name.

What has a nested structure instead, the options of tunnels (``enc_opts``) and the shims below the
outermost (``mpls_opts``), no field of OpenFlow asks for.
"""


@attrs.frozen
class Key:
    """One thing that a filter compares.

    :ivar name: one of :data:`KEYS`.
    :ivar value: a number of the key's width; bits which the mask leaves out are 0.
    :ivar mask: the bits that are compared; None: all of them.
    """

    name: str
    value: int
    mask: int | None = None

    def __attrs_post_init__(self) -> None:
        kind = KEYS[self.name]
        limit = (1 << kind.bits) - 1
        mask = limit if self.mask is None else self.mask
        if not (0 <= mask <= limit and 0 <= self.value <= limit and not self.value & ~mask):
            raise ValueError(f"{self.name}: {self.value:#x}/{mask:#x} is not of {kind.bits} bits")
        if self.mask is not None and kind.mask_attr is None:
            raise ValueError(f"{self.name} has no mask")


Keys: TypeAlias = tuple[Key, ...]


@attrs.frozen
class Filter:
    """One flower filter.

    :ivar chain: 0 to 2**28 - 1.
    :ivar pref: 1 to 65535; the lowest is looked at first.
    :ivar actions: 1 to 32 of them, in order.
    :ivar indev: the name of the device where packets come in; empty: any.
    :ivar keys: what is compared, in the order of :data:`KEYS`, none twice.
    :ivar flags: SKIP_HW, SKIP_SW, or none of them: both.
    :ivar handle: tells the filters of one chain and pref apart, 32 bits; 0: the kernel chooses.
    :ivar cookie: up to 16 bytes, which the kernel keeps and gives back.
    :ivar protocol: EtherType of the classifier, which all filters of a pref share.
    """

    chain: int
    pref: int
    actions: tuple[TcAction, ...]
    indev: str = ""
    keys: Keys = ()
    flags: FilterFlags = BOTH
    handle: int = 0
    cookie: bytes = b""
    protocol: int = ETH_P_ALL

    @property
    def place(self) -> tuple[int, int, int]:
        """What the kernel knows it by: chain, pref and handle."""
        return self.chain, self.pref, self.handle

    def __attrs_post_init__(self) -> None:
        if not (0 <= self.chain <= MAX_CHAIN and 1 <= self.pref <= 0xFFFF):
            raise ValueError(f"chain {self.chain} pref {self.pref} is no place")
        if not 1 <= len(self.actions) <= MAX_ACTIONS:
            raise ValueError(f"{len(self.actions)} actions, not 1 to {MAX_ACTIONS}")
        if len(self.cookie) > MAX_COOKIE or len(self.indev.encode()) >= IFNAMSIZ:
            raise ValueError(f"{self.cookie.hex()} or {self.indev!r} is too long")
        attributes = [KEYS[key.name].attr for key in self.keys]
        if attributes != sorted(set(attributes)):
            raise ValueError("the keys are not in order")

    @classmethod
    def of(
        cls,
        chain: int,
        pref: int,
        actions: tuple[TcAction, ...],
        *,
        indev: str = "",
        **keys: int | tuple[int, int],
    ) -> Filter:
        """A filter from the names of keys, each with a value or a value and a mask.

        A mask of all ones is the same as none, a value need not be 0 where the mask is, and a mask
        of 0 leaves the key out, so that the same filter is always the same value.

        :raises KeyError: for a name that is no key's.
        :raises ValueError: for what does not fit.
        """
        return cls(chain, pref, actions, indev, make_keys(keys))

    def key(self, name: str) -> Key | None:
        """The key of a name, or None when it is not compared."""
        return next((key for key in self.keys if key.name == name), None)


def make_keys(keys: dict[str, int | tuple[int, int]]) -> Keys:
    """The keys of :meth:`Filter.of`.

    :raises KeyError: for a name that is no key's.
    :raises ValueError: for what does not fit.
    """
    made = []
    for name, wanted in keys.items():
        limit = (1 << KEYS[name].bits) - 1
        value, mask = wanted if isinstance(wanted, tuple) else (wanted, limit)
        if mask == limit:
            made.append(Key(name, value))
        elif mask:
            made.append(Key(name, value & mask, mask))
    return tuple(sorted(made, key=lambda key: KEYS[key.name].attr))


Filters: TypeAlias = tuple[Filter, ...]
"""What a rule becomes: what counts a packet once is in one of them only."""
