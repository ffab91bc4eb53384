"""Numbers of the protocol that messages, actions and handlers share.

They are those of OpenFlow 1.3; what 1.0 has otherwise is mapped by its codec.

Source: OpenFlow 1.0.1 and 1.3.5, the enumerations of ``openflow.h``.
"""

from __future__ import annotations

import enum
from typing import Final

OFP10: Final = 1
"""Wire version of OpenFlow 1.0."""
OFP13: Final = 4
"""Wire version of OpenFlow 1.3."""

ANY: Final = 0xFFFFFFFF
"""``OFPP_ANY``, ``OFPG_ANY`` and (``OFPP_NONE`` of 1.0): no restriction."""
NO_BUFFER: Final = 0xFFFFFFFF
"""``OFP_NO_BUFFER``."""
ALL_TABLES: Final = 0xFF
"""``OFPTT_ALL``."""


class Port(enum.IntEnum):
    """Reserved port numbers (``OFPP_*``) of OpenFlow 1.3."""

    MAX = 0xFFFFFF00
    IN_PORT = 0xFFFFFFF8
    TABLE = 0xFFFFFFF9
    NORMAL = 0xFFFFFFFA
    FLOOD = 0xFFFFFFFB
    ALL = 0xFFFFFFFC
    CONTROLLER = 0xFFFFFFFD
    LOCAL = 0xFFFFFFFE
    ANY = 0xFFFFFFFF


class FlowModCommand(enum.IntEnum):
    """``OFPFC_*``."""

    ADD = 0
    MODIFY = 1
    MODIFY_STRICT = 2
    DELETE = 3
    DELETE_STRICT = 4


class FlowModFlags(enum.IntFlag):
    """``OFPFF_*``; EMERG is 1.0's only and shares no bit with the others here."""

    SEND_FLOW_REM = 1
    CHECK_OVERLAP = 2
    RESET_COUNTS = 4
    NO_PKT_COUNTS = 8
    NO_BYT_COUNTS = 16
    EMERG = 1 << 15


class RemovedReason(enum.IntEnum):
    """``OFPRR_*``."""

    IDLE_TIMEOUT = 0
    HARD_TIMEOUT = 1
    DELETE = 2
    GROUP_DELETE = 3
    METER_DELETE = 4
    EVICTION = 5


class FragHandling(enum.IntEnum):
    """``OFPC_FRAG_*``: what the switch does with fragments of IP packets.

    In a NORMAL fragment the fields of the transport header cannot be matched.  With NX_MATCH, which
    is Nicira's, they can in a first fragment.
    """

    NORMAL = 0
    DROP = 1
    REASM = 2
    NX_MATCH = 3


INVALID_TTL_TO_CONTROLLER: Final = 4
"""``OFPC_INVALID_TTL_TO_CONTROLLER``, a flag beside these: 1.1 and 1.2 have it, and Open vSwitch
has it in 1.0 as well; in 1.3 it is a bit of the masks of asynchronous messages."""


class PacketInReason(enum.IntEnum):
    """``OFPR_*``."""

    NO_MATCH = 0
    ACTION = 1
    INVALID_TTL = 2


class PortReason(enum.IntEnum):
    """``OFPPR_*``."""

    ADD = 0
    DELETE = 1
    MODIFY = 2
