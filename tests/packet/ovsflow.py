"""What Open vSwitch prints for the flow of a packet, brought into a form that can be compared.

Open vSwitch prints a little more than a flow key here holds: the second VLAN tag, the TTL of an
MPLS shim and the shims below it, and what it reads of protocols that OpenFlow knows nothing of.
"""

from __future__ import annotations

import re
from typing import Final

_BEYOND: Final = re.compile(
    r",(?:dl_vlan1|dl_vlan_pcp1|vlan_tci1|mpls_ttl|mpls_lse\d|nd_options_type|nd_reserved)=[^,]*"
)
"""Fields which a flow key does not hold."""
_NOT_HERE: Final = re.compile(
    r"^(ipv6,.*,nw_proto=1,.*|ip,.*,nw_proto=2,.*),tp_src=\d+,tp_dst=\d+$"
)
"""ICMP of IPv4 within IPv6, which is read by both but printed by one; and IGMP."""
_ARP_OP: Final = re.compile(r"arp_op=\d+")


def comparable(theirs: str) -> str:
    """A line that ``ovs-ofctl parse-pcap`` printed, without what a flow key does not hold."""
    return _NOT_HERE.sub(r"\1", _BEYOND.sub("", theirs))


def same(ours: str, theirs: str) -> bool:
    """Whether two descriptions mean the same flow.

    Of an ARP operation above 255, which OpenFlow 1.3 can match, Open vSwitch reads zero.
    """
    theirs = comparable(theirs)
    ours = re.sub(r",(?:ipv6_exthdr|pbb_isid)=[0-9a-fx]+", "", ours)
    if ours == theirs:
        return True
    operation = _ARP_OP.search(ours)
    return (
        operation is not None
        and int(operation[0][7:]) > 255
        and _ARP_OP.sub("arp_op=0", ours) == theirs
    )
