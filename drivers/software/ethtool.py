"""What a network card can do and does, asked as ethtool does, in the words of OpenFlow.

Source: Linux, ``linux/ethtool.h`` (``ETHTOOL_GSET``); OpenFlow 1.3.5 section 7.2.1.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import Final

from drivers.software.port import IN_MEMORY, LinkSettings
from drivers.software.system import System

GSET: Final = 0x00000001
COMMAND: Final = Struct("=IIIHBBBBBBIIHBBI8x")
"""``struct ethtool_cmd``: cmd, supported, advertising, speed, duplex, port, phy_address,
transceiver, autoneg, mdio_support, maxtxpkt, maxrxpkt, speed_hi, eth_tp_mdix, eth_tp_mdix_ctrl,
lp_advertising."""

SPEED_UNKNOWN: Final = 0xFFFFFFFF
DUPLEX_FULL: Final = 1
PORT_TP: Final = 0
PORT_FIBRE: Final = 3

HD_10MB: Final = 1 << 0
FD_10MB: Final = 1 << 1
HD_100MB: Final = 1 << 2
FD_100MB: Final = 1 << 3
HD_1GB: Final = 1 << 4
FD_1GB: Final = 1 << 5
FD_10GB: Final = 1 << 6
FD_40GB: Final = 1 << 7
FD_100GB: Final = 1 << 8
FD_1TB: Final = 1 << 9
OTHER: Final = 1 << 10
COPPER: Final = 1 << 11
FIBER: Final = 1 << 12
AUTONEG: Final = 1 << 13
PAUSE: Final = 1 << 14
PAUSE_ASYM: Final = 1 << 15
"""``OFPPF_*``."""

_MODES: Final = {
    0: HD_10MB,
    1: FD_10MB,
    2: HD_100MB,
    3: FD_100MB,
    4: HD_1GB,
    5: FD_1GB,
    6: AUTONEG,
    7: COPPER,
    10: FIBER,
    12: FD_10GB,
    13: PAUSE,
    14: PAUSE_ASYM,
    17: FD_1GB,
    **dict.fromkeys((18, 19, 20), FD_10GB),
    **dict.fromkeys((23, 24, 25, 26), FD_40GB),
}
"""The features that the bits of ``supported`` and ``advertising`` stand for."""

_SPEEDS: Final = {
    (10, False): HD_10MB,
    (10, True): FD_10MB,
    (100, False): HD_100MB,
    (100, True): FD_100MB,
    (1_000, False): HD_1GB,
    (1_000, True): FD_1GB,
    (10_000, True): FD_10GB,
    (40_000, True): FD_40GB,
    (100_000, True): FD_100GB,
    (1_000_000, True): FD_1TB,
}
"""The feature that a speed in Mbit/s stands for, of half or full duplex."""


def link_settings(system: System, name: str) -> LinkSettings | None:
    """What the device of this name can do, and does; without a link it has no speed.

    :return: what a port in memory can, when the device does not say; None, when there is none.
    """
    try:
        answer = system.ethtool(name, COMMAND.pack(GSET, *[0] * 15))
    except OSError as error:
        return None if error.errno == errno.ENODEV else IN_MEMORY
    fields = COMMAND.unpack(answer)
    supported, advertising, low, duplex, port = fields[1:6]
    autoneg, high, peer = fields[8], fields[12], fields[15]
    speed = low | high << 16
    if speed == SPEED_UNKNOWN or low == 0xFFFF:
        speed = 0
    current = _SPEEDS.get((speed, duplex == DUPLEX_FULL), OTHER) if speed else 0
    current |= {PORT_TP: COPPER, PORT_FIBRE: FIBER}.get(port, 0)
    if autoneg:
        current |= AUTONEG
    able = _features(supported)
    fastest = max((mbits for (mbits, _), bit in _SPEEDS.items() if bit & able), default=0)
    return LinkSettings(
        current,
        _features(advertising),
        able,
        _features(peer),
        speed * 1000,
        max(fastest, speed) * 1000,
    )


def _features(modes: int) -> int:
    """``OFPPF_*`` for the link modes of ethtool."""
    found = 0
    for place, feature in _MODES.items():
        if modes >> place & 1:
            found |= feature
    return found
