"""Descriptions of ports: ``ofp_phy_port`` of 1.0, ``ofp_port`` of 1.3, and PORT_STATUS of both.

A :class:`~agent.openflow.messages.PortDesc` has the bits of 1.3.  What 1.0 numbers otherwise is
translated here: the features (1.0 has no 40 Gb/s and more, so the medium begins at bit 7 rather
than 11) and the state (1.0 has the states of the spanning tree, of which only *blocked* has a
successor).  Speeds as numbers are not sent in 1.0.

Source: OpenFlow 1.0.1 sections 5.2.1 and 5.4.3, OpenFlow 1.3.5 sections 7.2.1 and 7.4.3.
"""

from __future__ import annotations

from typing import Final

from construct import Bytes, Int8ub, Int16ub, Int32ub, Padding

from agent.openflow.frame import MIN_LENGTH, Kind, bad_length
from agent.openflow.messages import Message, PortDesc, PortStatus
from agent.openflow.ports import from_wire10, to_wire10
from agent.openflow.record import MAC, Adapter, Record, text
from agent.openflow.wire import Fixed

NAME: Final = text(16)
"""``OFP_MAX_PORT_NAME_LEN``."""
PORT10: Final[Adapter] = (from_wire10, to_wire10)
"""A port number of 16 bits."""

_SPEEDS: Final = 0x7F
"""10 Mb/s half duplex to 10 Gb/s: the same bits in both versions."""
_MEDIUM10: Final = 0xF80
"""Copper, fibre, autonegotiation and pause in 1.0; 1.3 has them 4 bits higher."""
_MEDIUM_SHIFT: Final = 4

_LINK_DOWN: Final = 1
_BLOCKED: Final = 2
_STP_MASK10: Final = 3 << 8
"""``OFPPS_STP_MASK`` and ``OFPPS_STP_BLOCK`` of 1.0."""

_CONFIG10: Final = 0x7F
_CONFIG13: Final = 0x65
"""The bits of ``config`` that the version has."""


def features_from_wire10(bits: int) -> int:
    """``OFPPF_*`` of 1.0 as those of 1.3; what is no feature of 1.0 is left out."""
    return bits & _SPEEDS | (bits & _MEDIUM10) << _MEDIUM_SHIFT


def features_to_wire10(bits: int) -> int:
    """``OFPPF_*`` of 1.3 as those of 1.0; what 1.0 does not have is left out."""
    return bits & _SPEEDS | bits >> _MEDIUM_SHIFT & _MEDIUM10


def _state_from_wire10(bits: int) -> int:
    return bits & _LINK_DOWN | (_BLOCKED if bits & _STP_MASK10 == _STP_MASK10 else 0)


def _state_to_wire10(bits: int) -> int:
    return bits & _LINK_DOWN | (_STP_MASK10 if bits & _BLOCKED else 0)


FEATURES10: Final[Adapter] = (features_from_wire10, features_to_wire10)

PHY_PORT10: Final = Record(
    PortDesc,
    "port_no" / Int16ub,
    "hw_addr" / Bytes(6),
    "name" / Bytes(16),
    "config" / Int32ub,
    "state" / Int32ub,
    "curr" / Int32ub,
    "advertised" / Int32ub,
    "supported" / Int32ub,
    "peer" / Int32ub,
    adapters={
        "port_no": PORT10,
        "hw_addr": MAC,
        "name": NAME,
        "config": (lambda bits: bits & _CONFIG10, lambda bits: bits & _CONFIG10),
        "state": (_state_from_wire10, _state_to_wire10),
        "curr": FEATURES10,
        "advertised": FEATURES10,
        "supported": FEATURES10,
        "peer": FEATURES10,
    },
)
"""``ofp_phy_port``, 48 bytes."""

PORT13: Final = Record(
    PortDesc,
    "port_no" / Int32ub,
    Padding(4),
    "hw_addr" / Bytes(6),
    Padding(2),
    "name" / Bytes(16),
    "config" / Int32ub,
    "state" / Int32ub,
    "curr" / Int32ub,
    "advertised" / Int32ub,
    "supported" / Int32ub,
    "peer" / Int32ub,
    "curr_speed" / Int32ub,
    "max_speed" / Int32ub,
    adapters={
        "hw_addr": MAC,
        "name": NAME,
        "config": (lambda bits: bits & _CONFIG13, lambda bits: bits & _CONFIG13),
    },
)
"""``ofp_port``, 64 bytes."""

_STATUS: Final = Fixed("reason" / Int8ub, Padding(7))


def status_kind(number: int, port: Record[PortDesc]) -> Kind:
    """PORT_STATUS of the version whose ports look like ``port``."""
    start = MIN_LENGTH + _STATUS.size
    size = start + port.size

    def decode(data: bytes, xid: int) -> Message:
        if len(data) != size:
            raise bad_length(data, f"{size}")
        (reason,) = _STATUS.unpack_from(data, MIN_LENGTH)
        return PortStatus(reason, port.decode(data, start), xid)

    def encode(message: PortStatus) -> bytes:
        return _STATUS.pack(message.reason) + port.encode(message.desc)

    return Kind(number, PortStatus, decode, encode)
