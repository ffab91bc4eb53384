"""The clsact qdisc of a device, and the block that its ingress shares with those of other devices.

The rules of a bridge are in one block, to which all its ports are bound: a rule is one filter,
however many ports there are.  A device has one clsact qdisc at most.  If it has one already, it is
somebody else's: it is left alone, and the port cannot be had.

Source: Linux, ``linux/pkt_sched.h``, ``linux/rtnetlink.h``; tc(8).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from drivers.tcflower import pack

RTM_NEWQDISC: Final = 36
RTM_DELQDISC: Final = 37
RTM_GETQDISC: Final = 38

CLSACT_PARENT: Final = 0xFFFFFFF1
"""``TC_H_CLSACT``."""
CLSACT_HANDLE: Final = 0xFFFF0000
INGRESS_BLOCK: Final = 13
"""``TCA_INGRESS_BLOCK``."""

_u32 = Struct("=I")


def _message(kind: int, flags: int, sequence: int, index: int, attributes: bytes) -> bytes:
    attributes = pack.string(pack.KIND, "clsact") + attributes
    return (
        pack.HEADER.pack(pack.FIRST + len(attributes), kind, flags | 1, sequence, 0)
        + pack.TCMSG.pack(0, index, CLSACT_HANDLE, CLSACT_PARENT, 0)
        + attributes
    )


def bind(index: int, block: int, sequence: int) -> bytes:
    """The request that gives a device a clsact qdisc whose ingress is a block; the block is made
    with its first device.

    :param index: the device's number.
    :param block: the block's, not 0.
    """
    shared = pack.attribute(INGRESS_BLOCK, _u32.pack(block))
    flags = pack.NLM_F_ACK | pack.NLM_F_CREATE | pack.NLM_F_EXCL
    return _message(RTM_NEWQDISC, flags, sequence, index, shared)


def unbind(index: int, sequence: int) -> bytes:
    """The request that takes it away; the filters go with a block's last device."""
    return _message(RTM_DELQDISC, pack.NLM_F_ACK, sequence, index, b"")


def dump(sequence: int) -> bytes:
    """The request for all qdiscs of all devices."""
    return pack.HEADER.pack(pack.FIRST, RTM_GETQDISC, pack.NLM_F_DUMP | 1, sequence, 0) + (
        pack.TCMSG.pack(0, 0, 0, 0, 0)
    )
