"""The numbers that name protocols inside frames, by the names Open vSwitch gives them.

Nothing here but numbers, so that no module of this package needs another only for a name.
"""

from __future__ import annotations

from typing import Final

ETH_TYPE_MIN: Final = 0x600
"""Below this the field after the addresses is a length, and IEEE 802.2 LLC follows."""
ETH_TYPE_NONE: Final = 0x05FF
"""``eth_type`` of a frame that has none (``OFP_DL_TYPE_NOT_ETH_TYPE`` of OpenFlow 1.0)."""
ETH_TYPE_IP: Final = 0x0800
ETH_TYPE_ARP: Final = 0x0806
ETH_TYPE_RARP: Final = 0x8035
ETH_TYPE_VLAN_8021Q: Final = 0x8100
ETH_TYPE_VLAN_8021AD: Final = 0x88A8
ETH_TYPE_IPV6: Final = 0x86DD
ETH_TYPE_MPLS: Final = 0x8847
ETH_TYPE_MPLS_MCAST: Final = 0x8848
ETH_TYPE_PBB: Final = 0x88E7

VLAN_TYPES: Final = frozenset((ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD))
MPLS_TYPES: Final = frozenset((ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST))

IPPROTO_HOPOPTS: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_IPIP: Final = 4
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41
IPPROTO_ROUTING: Final = 43
IPPROTO_FRAGMENT: Final = 44
IPPROTO_ESP: Final = 50
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_NONE: Final = 59
IPPROTO_DSTOPTS: Final = 60
IPPROTO_SCTP: Final = 132

ICMPV6_ND_SOLICIT: Final = 135
ICMPV6_ND_ADVERT: Final = 136
ND_OPT_SOURCE_LINKADDR: Final = 1
ND_OPT_TARGET_LINKADDR: Final = 2

ETH_HEADER_LEN: Final = 14
ETH_TOTAL_MIN: Final = 60
"""The shortest frame that Ethernet allows, without its check sequence."""
VLAN_HEADER_LEN: Final = 4
MPLS_HEADER_LEN: Final = 4
PBB_HEADER_LEN: Final = 4
"""The tag control information of an I-TAG; the customer's addresses follow it."""
ARP_HEADER_LEN: Final = 28
IP_HEADER_LEN: Final = 20
IPV6_HEADER_LEN: Final = 40
L4_HEADER_LEN: Final = {
    IPPROTO_TCP: 20,
    IPPROTO_UDP: 8,
    IPPROTO_SCTP: 12,
    IPPROTO_ICMP: 8,
    IPPROTO_ICMPV6: 8,
}
"""Bytes of the fixed part of each transport header that is parsed."""

NW_FRAG_ANY: Final = 1
"""Bit of ``nw_frag``: the packet is a fragment (``FLOW_NW_FRAG_ANY``)."""
NW_FRAG_LATER: Final = 2
"""Bit of ``nw_frag``: it is not the first fragment, so it has no transport header."""
