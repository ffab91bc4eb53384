"""Port numbers: 16 bits in OpenFlow 1.0, 32 bits in the versions after it.

Everything behind the codec has port numbers of 32 bits, with the reserved ones as OpenFlow 1.3 puts
them (:class:`agent.openflow.messages.Port`).  The two ranges are the same but for an offset: what
lies at or above ``OFPP_MAX`` (0xff00) in 1.0 lies at the same distance from the end of the 32 bits.

Source: OpenFlow 1.0.1 section 5.2.1, OpenFlow 1.3.5 section 7.2.1.
"""

from __future__ import annotations

from typing import Final

from agent.openflow.errors import BAD_OUT_PORT, OpenFlowError

MAX10: Final = 0xFF00
"""``OFPP_MAX`` of 1.0: the first number that is not an ordinary port."""
OFFSET: Final = 0xFFFF0000
"""From a reserved port of 1.0 to the same of 1.3."""
_MAX13: Final = MAX10 + OFFSET


def from_wire10(port: int) -> int:
    """The 32-bit number of a 16-bit port; ``OFPP_NONE`` becomes ``OFPP_ANY``.

    Every 16-bit number has one: what is neither an ordinary nor a reserved port (0xff00 to 0xfff7)
    stays such, and is refused by those who need a port that exists.
    """
    return port if port < MAX10 else port + OFFSET


def to_wire10(port: int) -> int:
    """The 16-bit number of a 32-bit port.

    :raises OpenFlowError: BAD_OUT_PORT for a port that OpenFlow 1.0 cannot name.
    """
    if port < MAX10:
        return port
    if port >= _MAX13:
        return port - OFFSET
    raise OpenFlowError(BAD_OUT_PORT, f"OpenFlow 1.0 has no port {port:#x}")
