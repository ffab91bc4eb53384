"""What was done to a packet, as the actions of a datapath: the last line of a trace.

Open vSwitch finds out what to tell its datapath by comparing a packet's flow as it was with its
flow as it is, and so does :func:`changes`.  The words are those of Open vSwitch; what it cannot do
(PBB) follows its style.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.openflow import fields as f
from agent.openflow.fields import Field
from agent.openflow.text import format_value

_ARP: Final = (
    ("sip", f.ARP_SPA),
    ("tip", f.ARP_TPA),
    ("op", f.ARP_OP),
    ("sha", f.ARP_SHA),
    ("tha", f.ARP_THA),
)
_IPV4: Final = (
    ("src", f.IPV4_SRC),
    ("dst", f.IPV4_DST),
    ("proto", f.IP_PROTO),
    ("tos", f.NW_TOS),
    ("ttl", f.NW_TTL),
)
_IPV6: Final = (
    ("src", f.IPV6_SRC),
    ("dst", f.IPV6_DST),
    ("label", f.IPV6_FLABEL),
    ("proto", f.IP_PROTO),
    ("tclass", f.NW_TOS),
    ("hlimit", f.NW_TTL),
)
_PORTS: Final = (("src", f.TCP_SRC), ("dst", f.TCP_DST))
_ICMP: Final = (("type", f.ICMPV4_TYPE), ("code", f.ICMPV4_CODE))
_ND: Final = (("target", f.IPV6_ND_TARGET), ("sll", f.IPV6_ND_SLL), ("tll", f.IPV6_ND_TLL))
_TRANSPORTS: Final = {6: "tcp", 17: "udp", 132: "sctp"}
_MPLS: Final = (("label", f.MPLS_LABEL), ("tc", f.MPLS_TC), ("bos", f.MPLS_BOS))
_LINK: Final = (("src", f.ETH_SRC), ("dst", f.ETH_DST))


def changes(old: int, new: int) -> Iterator[str]:
    """What makes a packet with the flow key ``old`` one with the flow key ``new``."""
    if (old ^ new) & f.TUNNEL_ID.mask:
        yield f"set(tunnel(tun_id={f.TUNNEL_ID.get(new):#x}))"
    before, after = f.ETH_TYPE.get(old), f.ETH_TYPE.get(new)
    if after in f.PBB and before not in f.PBB:
        yield f"push_pbb(isid={f.PBB_ISID.get(new):#x})"
    elif before in f.PBB and after not in f.PBB:
        yield "pop_pbb"
    elif (old ^ new) & f.PBB_ISID.mask:
        yield f"set(pbb(isid={f.PBB_ISID.get(new):#x}))"
    yield from _set("eth", _LINK, old, new)
    yield from _network(old, new)
    yield from _mpls(old, new)
    yield from _vlan(old, new)
    if (old ^ new) & f.PKT_MARK.mask:
        yield f"set(skb_mark({f.PKT_MARK.get(new):#x}))"


def _set(name: str, fields: tuple[tuple[str, Field], ...], old: int, new: int) -> Iterator[str]:
    """One header of which some fields were set."""
    parts = [
        f"{label}={format_value(field, field.get(new))}"
        for label, field in fields
        if (old ^ new) & field.mask
    ]
    if parts:
        yield f"set({name}({','.join(parts)}))"


def _network(old: int, new: int) -> Iterator[str]:
    """IP or ARP, and what is above it."""
    eth_type = f.ETH_TYPE.get(new)
    if eth_type in f.ARP:
        yield from _set("arp", _ARP, old, new)
    elif eth_type in f.IP:
        old_eth_type = f.ETH_TYPE.get(old)
        if old_eth_type != eth_type and old_eth_type in f.MPLS:
            return  # what was behind the shims comes to light, which is no change of it
        four = eth_type in f.IPV4
        yield from _set("ipv4" if four else "ipv6", _IPV4 if four else _IPV6, old, new)
        proto = f.IP_PROTO.get(new)
        if proto in _TRANSPORTS:
            yield from _set(_TRANSPORTS[proto], _PORTS, old, new)
        elif proto in f.ICMP or proto in f.ICMPV6:
            yield from _set("icmp" if four else "icmpv6", _ICMP, old, new)
            if not four:
                yield from _set("nd", _ND, old, new)


def _mpls(old: int, new: int) -> Iterator[str]:
    """The outer shim."""
    before, after = f.ETH_TYPE.get(old), f.ETH_TYPE.get(new)
    deeper = bool((old & ~new) & f.MPLS_BOS.mask)
    if after in f.MPLS and (before not in f.MPLS or deeper):
        parts = ",".join(f"{label}={field.get(new)}" for label, field in _MPLS)
        yield f"push_mpls({parts},eth_type={after:#06x})"
    elif before in f.MPLS and after not in f.MPLS:
        yield f"pop_mpls(eth_type={after:#06x})"
    elif after in f.MPLS:
        yield from _set("mpls", _MPLS, old, new)


def _vlan(old: int, new: int) -> Iterator[str]:
    """The outer tag."""
    before, after = f.VLAN_TCI.get(old), f.VLAN_TCI.get(new)
    if before == after:
        return
    if before & f.VLAN_PRESENT:
        yield "pop_vlan"
    if after & f.VLAN_PRESENT:
        yield f"push_vlan(vid={after & 0xFFF},pcp={after >> 13})"
