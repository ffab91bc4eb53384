"""Packets kept for a controller, which is sent only their beginning and a number.

A packet-in that does not carry the whole packet names a buffer; a flow_mod or packet-out with that
number has the packet itself processed.  Buffers belong to a session.  They are reused in turn, but
not before a controller had time to answer, and a number tells which packet of a slot it means, so
that a late answer never gets somebody else's packet.

Source: 1.3.5 sections 6.1.2 and 7.5.4.2; sizes and times as in Open vSwitch (``ofproto/pktbuf.c``).
"""

from __future__ import annotations

from typing import Final

import attrs

from agent.openflow.errors import BUFFER_EMPTY, BUFFER_UNKNOWN, OpenFlowError

SLOTS: Final = 256
"""Packets kept at once; ``n_buffers`` of the features reply."""
REUSE_AFTER: Final = 5.0
"""Seconds for which a packet that nobody has asked for is kept at least."""

_COOKIES: Final = (1 << 23) - 1


@attrs.define(eq=False)
class _Slot:
    cookie: int = 0
    packet: tuple[bytes, int] | None = None
    kept_at: float = float("-inf")


class PacketBuffers:
    """The buffers of one session."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._next = 0

    def save(self, data: bytes, in_port: int, now: float) -> int | None:
        """Keep a packet.

        :returns: its buffer's number, never ``NO_BUFFER``; None when there is no room, and the
            whole packet has to be sent.
        """
        index = self._next
        if index == len(self._slots):
            self._slots.append(_Slot())
        slot = self._slots[index]
        if slot.packet is not None and now - slot.kept_at < REUSE_AFTER:
            return None
        self._next = (index + 1) % SLOTS
        slot.cookie = slot.cookie % _COOKIES + 1
        slot.packet = (data, in_port)
        slot.kept_at = now
        return slot.cookie * SLOTS + index

    def retrieve(self, buffer_id: int) -> tuple[bytes, int]:
        """The packet and the port it came in on; it is not kept any longer.

        :raises OpenFlowError: BUFFER_EMPTY when it was asked for before; BUFFER_UNKNOWN when the
            number never was, or is no longer, that of a packet.
        """
        cookie, index = divmod(buffer_id, SLOTS)
        # No packet has the cookie 0: it is that of slots before their first.
        if index >= len(self._slots) or not cookie or self._slots[index].cookie != cookie:
            raise OpenFlowError(BUFFER_UNKNOWN, f"buffer {buffer_id:#x}")
        slot = self._slots[index]
        if slot.packet is None:
            raise OpenFlowError(BUFFER_EMPTY, f"buffer {buffer_id:#x}")
        packet, slot.packet = slot.packet, None
        return packet
