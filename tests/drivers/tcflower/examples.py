"""Filters with every key and every action, for tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.tcflower.actions import (
    PIPE,
    SHOT,
    STOLEN,
    TRAP,
    Csum,
    CsumFlags,
    Ct,
    CtFlags,
    Gact,
    Mirred,
    Mpls,
    MplsOp,
    Pedit,
    PeditHeader,
    PeditKey,
    Police,
    Policer,
    Sample,
    Skbedit,
    TcAction,
    TunnelKey,
    Vlan,
    VlanOp,
    goto_chain,
)
from drivers.tcflower.filters import KEYS, Filter, FilterFlags, Key

ACTIONS: tuple[TcAction, ...] = (
    Gact(SHOT),
    Gact(TRAP),
    Gact(goto_chain(7)),
    Mirred(1),
    Mirred(2, mirror=True),
    Mirred(3, ingress=True),
    Mirred(4, mirror=True, ingress=True),
    Vlan(VlanOp.POP),
    Vlan(VlanOp.PUSH, 5),
    Vlan(VlanOp.PUSH, 5, 3, 0x88A8),
    Vlan(VlanOp.MODIFY, 4094, priority=7, protocol=0x8100),
    Pedit((PeditKey(PeditHeader.ETH, 0, 0x02000000),)),
    Pedit(
        (
            PeditKey(PeditHeader.ETH, 4, 0x00010203, 0xFFFF0000),
            PeditKey(PeditHeader.IP4, 8, 0xFF000000, 0xFF000000, add=True),
            PeditKey(PeditHeader.NETWORK, -4, 0x12345678),
            PeditKey(PeditHeader.TCP, 0, 0x00500000, 0xFFFF0000),
            PeditKey(PeditHeader.UDP, 0, 0x1234, 0xFFFF),
            PeditKey(PeditHeader.IP6, 20, 1),
        )
    ),
    Csum(CsumFlags.IPV4HDR | CsumFlags.TCP | CsumFlags.UDP),
    Skbedit(mark=1),
    Skbedit(mark=0x10, mark_mask=0xF0, queue_mapping=3, priority=0x10002, ptype=0),
    Police(rate=125_000, burst=10_000),
    Police(7, rate=5_000_000_000, burst=1 << 20, mtu=1500, exceed=PIPE, control=STOLEN),
    Policer(9),
    Police(packet_rate=1000, packet_burst=10),
    TunnelKey(),
    TunnelKey(key_id=5, ipv4_src=0x0A000001, ipv4_dst=0x0A000002, dst_port=4789, tos=4, ttl=64),
    TunnelKey(key_id=0xFFFFFF, ipv6_src=1, ipv6_dst=2 << 64, no_csum=True),
    Mpls(MplsOp.POP, 0x0800),
    Mpls(MplsOp.PUSH, 0x8847, label=0xFFFFF, tc=7, ttl=255, bos=1),
    Mpls(MplsOp.MODIFY, label=16),
    Mpls(MplsOp.DEC_TTL),
    Ct(),
    Ct(CtFlags.COMMIT, zone=3, mark=1, mark_mask=0xFF, labels=1 << 127, labels_mask=(1 << 128) - 1),
    Ct(
        CtFlags.COMMIT | CtFlags.NAT | CtFlags.NAT_SRC,
        nat_ipv4=(1, 2),
        nat_port=(1024, 65535),
    ),
    Ct(CtFlags.COMMIT | CtFlags.NAT | CtFlags.NAT_DST, nat_ipv6=(1, 1 << 100)),
    Sample(1),
    Sample(2, rate=100, trunc_size=128),
)
"""One of each, and of most another with all that it may have."""


def examples() -> Iterator[Filter]:
    """A filter for each key, with and without a mask, and for each action."""
    drop = (Gact(SHOT),)
    yield Filter(0, 1, drop)
    yield Filter(
        5, 0xFFFF, drop, "eth0", flags=FilterFlags.SKIP_HW, handle=9, cookie=b"0123456789abcdef"
    )
    for kind in KEYS.values():
        limit = (1 << kind.bits) - 1
        value = 0x0102030405060708090A0B0C0D0E0F10 & limit
        yield Filter(1, 2, drop, keys=(Key(kind.name, value),))
        if kind.mask_attr is not None:
            mask = limit & ~1
            yield Filter(1, 2, drop, keys=(Key(kind.name, value & mask, mask),))
    for action in ACTIONS:
        yield Filter(1, 2, (action, Gact(SHOT)), cookie=b"abc")
    yield Filter.of(
        (1 << 28) - 1, 7, (*ACTIONS[:31], Gact(SHOT)),
        indev="fifteen-letters",
        **dict.fromkeys(KEYS, 1),
    )  # fmt: skip
