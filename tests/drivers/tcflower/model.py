"""A small model of Linux's tc: filters of flower, and what they do with frames.

It is what translations are tested against where there is no kernel, so it is written from the
kernel's sources and not from ours: what a key means depends on the other keys as in ``fl_set_key``,
packets are read as by ``flow_dissector.c``, and actions change bytes as ``act_*.c`` do, with the
same blindness.  What must not happen in a translation is an :exc:`AssertionError`: a key that the
kernel would ignore, two filters of one pref which take the same packet, a header changed that is
not where the action looks for it, a packet that no filter takes.

Source: Linux 6.1, ``net/sched`` and ``net/core/flow_dissector.c``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import attrs

from agent.packet.checksum import internet_checksum
from drivers.tcflower.actions import (
    GOTO_CHAIN,
    PIPE,
    SHOT,
    STOLEN,
    TRAP,
    Csum,
    CsumFlags,
    Gact,
    Mirred,
    Mpls,
    MplsOp,
    Pedit,
    PeditHeader,
    PeditKey,
    Police,
    Skbedit,
    TcAction,
    TunnelKey,
    Vlan,
    VlanOp,
)
from drivers.tcflower.filters import Filter

TAGS = (0x8100, 0x88A8)
IP = (0x0800, 0x86DD)
MPLS = (0x8847, 0x8848)
PORTS = {6: "tcp", 17: "udp", 132: "sctp"}


def number(data: bytes | bytearray, at: int, size: int) -> int:
    """Some bytes as a number; bytes that are not there are zero, as the kernel leaves them."""
    return int.from_bytes(bytes(data[at : at + size]).ljust(size, b"\0"), "big")


@attrs.define
class Skb:
    """A packet in the kernel.

    :ivar data: the frame, tags and all.
    :ivar indev: where it came in.
    :ivar network: where the network header is, as far as the kernel knows: behind one tag.
    :ivar tunnel: what it is to be encapsulated with.
    """

    data: bytearray
    indev: str
    network: int = 0
    tunnel: TunnelKey | None = None

    def __attrs_post_init__(self) -> None:
        self.network = 18 if number(self.data, 12, 2) in TAGS else 14


@attrs.define
class Verdict:
    """What became of a packet.

    :ivar sent: device numbers and frames.
    :ivar trapped: the packet as it was handed to the software, and by which filter.
    :ivar hits: the filters that took it.
    :ivar frames: what it was when each did.
    """

    sent: list[tuple[int, bytes]] = attrs.Factory(list)
    trapped: tuple[Skb, Filter] | None = None
    hits: list[Filter] = attrs.Factory(list)
    frames: list[bytes] = attrs.Factory(list)


def layers(data: bytes | bytearray) -> tuple[int, list[tuple[int, int]], int]:
    """Where what is behind the tags begins, TPID and TCI of each tag, and the EtherType."""
    at, tags = 12, []
    while number(data, at, 2) in TAGS:
        tags.append((number(data, at, 2), number(data, at + 2, 2)))
        at += 4
    return at + 2, tags, number(data, at, 2)


def dissect(skb: Skb) -> dict[str, int]:
    """What flower compares of a packet; what is not there is zero."""
    data = skb.data
    found: dict[str, int] = defaultdict(int)
    found["eth_dst"], found["eth_src"] = number(data, 0, 6), number(data, 6, 6)
    at, tags, n_proto = layers(data)
    found["num_of_vlans"], found["n_proto"] = len(tags), n_proto
    for index, name in enumerate(("vlan", "cvlan")):
        if index < len(tags):
            tpid, tci = tags[index]
            found[f"{name}_tpid"] = tpid
            found[f"{name}_id"], found[f"{name}_prio"] = tci & 0xFFF, tci >> 13
            found[f"{name}_eth_type"] = tags[index + 1][0] if index + 1 < len(tags) else n_proto
    if skb.tunnel is not None:
        found["enc_key_id"] = skb.tunnel.key_id or 0
        found["enc_ipv4_src"] = skb.tunnel.ipv4_src or 0
        found["enc_ipv4_dst"] = skb.tunnel.ipv4_dst or 0
    if n_proto in IP:
        _dissect_ip(data, at, n_proto, found)
    elif n_proto == 0x0806 and number(data, at + 6, 2) in (1, 2):
        found["arp_op"] = number(data, at + 6, 2)
        found["arp_sha"], found["arp_sip"] = number(data, at + 8, 6), number(data, at + 14, 4)
        found["arp_tha"], found["arp_tip"] = number(data, at + 18, 6), number(data, at + 24, 4)
    elif n_proto in MPLS:
        shim = number(data, at, 4)
        found["mpls_label"], found["mpls_tc"] = shim >> 12, shim >> 9 & 7
        found["mpls_bos"], found["mpls_ttl"] = shim >> 8 & 1, shim & 0xFF
    return found


def _dissect_ip(data: bytearray, at: int, n_proto: int, found: dict[str, int]) -> None:
    l4, proto = transport(data, at, n_proto)
    found["ip_proto"] = proto
    if n_proto == 0x0800:
        found["ip_tos"], found["ip_ttl"] = data[at + 1], data[at + 8]
        found["ipv4_src"], found["ipv4_dst"] = number(data, at + 12, 4), number(data, at + 16, 4)
        fragment = number(data, at + 6, 2)
        if fragment & 0x3FFF:
            found["flags"] = 1 if fragment & 0x1FFF else 3
            return
    else:
        found["ip_tos"], found["ip_ttl"] = number(data, at, 2) >> 4 & 0xFF, data[at + 7]
        found["ipv6_src"], found["ipv6_dst"] = number(data, at + 8, 16), number(data, at + 24, 16)
    if proto in PORTS:
        found[f"{PORTS[proto]}_src"] = number(data, l4, 2)
        found[f"{PORTS[proto]}_dst"] = number(data, l4 + 2, 2)
        if proto == 6:
            found["tcp_flags"] = number(data, l4 + 12, 2) & 0xFFF
    elif proto in (1, 58):
        name = "icmpv4" if proto == 1 else "icmpv6"
        found[f"{name}_type"], found[f"{name}_code"] = data[l4], data[l4 + 1]


def transport(data: bytearray, at: int, n_proto: int) -> tuple[int, int]:
    """Where the transport header is, and of which protocol; without extension headers."""
    if n_proto == 0x0800:
        return at + (data[at] & 15) * 4, data[at + 9]
    return at + 40, data[at + 6]


NEEDS = {"tcp": (6,), "udp": (17,), "sctp": (132,), "icmpv4": (1,), "icmpv6": (58,)}


def compared(wanted: Filter) -> dict[str, tuple[int, int]]:
    """What a filter compares of what :func:`dissect` finds: values and masks."""
    keys = {key.name: (key.value, -1 if key.mask is None else key.mask) for key in wanted.keys}
    found: dict[str, tuple[int, int]] = {}
    eth_type, _ = keys.pop("eth_type", (0, 0))
    if eth_type in TAGS:
        found["vlan_tpid"] = (eth_type, -1)
        for name in ("vlan_id", "vlan_prio"):
            if name in keys:
                found[name] = keys.pop(name)
        eth_type, _ = keys.pop("vlan_eth_type", (0, 0))
        if eth_type:
            found["vlan_eth_type"] = (eth_type, -1)
        if eth_type in TAGS:
            found["cvlan_tpid"] = (eth_type, -1)
            eth_type, _ = keys.pop("cvlan_eth_type", (0, 0))
            if eth_type:
                found["cvlan_eth_type"] = (eth_type, -1)
    if eth_type:
        found["n_proto"] = (eth_type, -1)
    ip_proto = keys.get("ip_proto", (0, 0))[0]
    for name, key in keys.items():
        layer = name.split("_")[0]
        if name in ("eth_dst", "eth_src", "num_of_vlans", "ct_labels") or layer == "enc":
            pass
        elif layer in ("ip", "flags"):
            assert eth_type in IP, f"{name} without IP"
        elif layer in ("ipv4", "ipv6", "arp", "mpls"):
            types = {"ipv4": IP[:1], "ipv6": IP[1:], "arp": (0x806,), "mpls": MPLS}
            assert eth_type in types[layer], f"{name} without {layer}"
        else:
            assert eth_type in IP, f"{name} without IP"
            assert ip_proto in NEEDS[layer], f"{name} without ip_proto"
        found[name] = key
    return found


class Tc:
    """One block of filters."""

    def __init__(self) -> None:
        self._chains: dict[int, dict[int, list[tuple[Filter, dict[str, tuple[int, int]]]]]] = {}

    def add(self, filters: Iterable[Filter]) -> None:
        """Make filters."""
        for new in filters:
            place = self._chains.setdefault(new.chain, {}).setdefault(new.pref, [])
            for other, _ in place:
                same = (other.indev, other.keys) == (new.indev, new.keys)
                assert not same, f"EEXIST: {new}"
            assert not any(key.mask == 0 for key in new.keys)
            place.append((new, compared(new)))

    def run(self, frame: bytes, indev: str) -> Verdict:
        """A frame comes in."""
        skb, verdict = Skb(bytearray(frame), indev), Verdict()
        chain, visited = 0, 0
        while True:
            visited += 1
            assert visited < 600, "a loop of chains"
            found = self._find(skb, chain)
            assert found is not None, f"nothing in chain {chain} takes {frame.hex()}"
            verdict.hits.append(found)
            verdict.frames.append(bytes(skb.data))
            control = self._execute(skb, found, verdict)
            if control & GOTO_CHAIN != GOTO_CHAIN:
                assert control in (SHOT, STOLEN, TRAP), f"Linux gets the packet: {control}"
                return verdict
            chain = control & ~GOTO_CHAIN

    def _find(self, skb: Skb, chain: int) -> Filter | None:
        """The first filter that takes a packet."""
        values = dissect(skb)
        for _, place in sorted(self._chains.get(chain, {}).items()):
            hit = [
                new
                for new, keys in place
                if new.indev in ("", skb.indev)
                and all(not (values[name] ^ v) & m for name, (v, m) in keys.items())
            ]
            assert len(hit) < 2, f"which comes first? {hit}"
            if hit:
                return hit[0]
        return None

    def _execute(self, skb: Skb, found: Filter, verdict: Verdict) -> int:
        for action in found.actions:
            control = self._do(skb, action, verdict)
            if control == TRAP:
                verdict.trapped = (skb, found)
            if control != PIPE:
                return control
        return PIPE

    def _do(self, skb: Skb, action: TcAction, verdict: Verdict) -> int:
        if isinstance(action, Mirred):
            frame = bytes(skb.data)
            verdict.sent.append((action.ifindex, frame))
        elif isinstance(action, Vlan):
            _vlan(skb, action)
        elif isinstance(action, Mpls):
            if not _mpls(skb, action):
                return SHOT
        elif isinstance(action, Pedit):
            for key in action.keys:
                _pedit(skb, key)
        elif isinstance(action, Csum):
            _csum(skb, action.flags)
        elif isinstance(action, TunnelKey):
            skb.tunnel = None if action.release else action
        else:
            assert isinstance(action, Gact | Police | Skbedit)
        return action.control


def _vlan(skb: Skb, action: Vlan) -> None:
    data = skb.data
    tagged = number(data, 12, 2) in TAGS
    if action.op is VlanOp.PUSH:
        assert action.vid is not None
        tci = action.vid | (action.priority or 0) << 13
        data[12:12] = (action.protocol or 0x8100).to_bytes(2, "big") + tci.to_bytes(2, "big")
        skb.network += 4
    elif tagged and action.op is VlanOp.POP:
        # The tag behind it, if there is one, is taken out of the frame in its stead.
        if number(data, 16, 2) not in TAGS or skb.network > 18:
            skb.network -= 4
        del data[12:16]
    elif tagged:
        assert action.vid is not None
        tci = number(data, 14, 2) & ~0xFFF | action.vid
        if action.priority is not None:
            tci = tci & 0x1FFF | action.priority << 13
        data[12:16] = (action.protocol or 0x8100).to_bytes(2, "big") + tci.to_bytes(2, "big")


def _mpls(skb: Skb, action: Mpls) -> bool:
    """Whether the packet goes on."""
    data, at = skb.data, skb.network
    n_proto = number(data, at - 2, 2)
    if action.op is MplsOp.PUSH:
        assert action.label is not None and action.protocol in MPLS
        assert n_proto not in TAGS, "a shim between tags"
        bos = action.bos if action.bos is not None else int(n_proto not in MPLS)
        ttl = 255 if action.ttl is None else action.ttl
        assert ttl
        shim = action.label << 12 | (action.tc or 0) << 9 | bos << 8 | ttl
        data[at - 2 : at] = action.protocol.to_bytes(2, "big") + shim.to_bytes(4, "big")
        return True
    if n_proto not in MPLS:
        assert layers(data)[2] not in MPLS, "the kernel does not see the shim behind two tags"
        return True
    shim = number(data, at, 4)
    if action.op is MplsOp.POP:
        assert action.protocol is not None
        data[at - 2 : at + 4] = action.protocol.to_bytes(2, "big")
        return True
    if action.op is MplsOp.DEC_TTL:
        if shim & 0xFF <= 1:
            return False
        shim -= 1
    for value, bits, shift in (
        (action.label, 20, 12),
        (action.tc, 3, 9),
        (action.bos, 1, 8),
        (action.ttl, 8, 0),
    ):
        if value is not None:
            shim = shim & ~(((1 << bits) - 1) << shift) | value << shift
    data[at : at + 4] = shim.to_bytes(4, "big")
    return True


def _pedit(skb: Skb, key: PeditKey) -> None:
    data, at = skb.data, 0
    n_proto = number(data, skb.network - 2, 2)
    if key.header is not PeditHeader.ETH:
        assert n_proto not in TAGS, "the network header is behind another tag"
        at = skb.network
        types = {PeditHeader.IP4: IP[:1], PeditHeader.IP6: IP[1:]}
        assert n_proto in types.get(key.header, (n_proto,)), f"{key} in {n_proto:#x}"
    if key.header in (PeditHeader.TCP, PeditHeader.UDP):
        at, proto = transport(data, skb.network, n_proto)
        assert proto == (6 if key.header is PeditHeader.TCP else 17), f"{key} in {proto}"
        later = n_proto == 0x0800 and number(data, skb.network + 6, 2) & 0x1FFF
        assert not later, "there are no ports in a later fragment"
    at += key.offset
    old = number(data, at, 4)
    value = (old & key.mask) + key.value if key.add else key.value
    data[at : at + 4] = (old & ~key.mask | value & key.mask).to_bytes(4, "big")


def _csum(skb: Skb, flags: CsumFlags) -> None:
    data, at = skb.data, skb.network
    n_proto = number(data, at - 2, 2)
    if n_proto not in IP:
        return
    l4, proto = transport(data, at, n_proto)
    if n_proto == 0x0800:
        end = at + number(data, at + 2, 2)
        if flags & CsumFlags.IPV4HDR:
            data[at + 10 : at + 12] = b"\0\0"
            data[at + 10 : at + 12] = internet_checksum(data[at:l4]).to_bytes(2, "big")
        if number(data, at + 6, 2) & 0x1FFF:
            return
        addresses = data[at + 12 : at + 20]
    else:
        end = l4 + number(data, at + 4, 2)
        addresses = data[at + 8 : at + 40]
    places = {6: (CsumFlags.TCP, 16), 17: (CsumFlags.UDP, 6)}
    if n_proto != 0x0800:
        places[58] = (CsumFlags.ICMP, 2)
    flag, offset = places.get(proto, (CsumFlags(0), 0))
    where = l4 + offset
    if not flags & flag or (proto == 17 and not number(data, where, 2)):
        return
    assert not (n_proto == 0x0800 and number(data, at + 6, 2) & 0x2000), "half a checksum"
    data[where : where + 2] = b"\0\0"
    pseudo = int.from_bytes(bytes(addresses), "big") + proto + end - l4
    made = internet_checksum(data[l4:end], pseudo)
    data[where : where + 2] = (made or (0xFFFF if proto == 17 else 0)).to_bytes(2, "big")
