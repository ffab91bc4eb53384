"""Frames for tests of drivers."""

from __future__ import annotations

FRAME = bytes.fromhex(
    "020000000002 020000000001 0800"  # Ethernet
    "4500001d 00010000 40110000 0a000001 0a000002"  # IPv4
    "03e807d0 00090000 2a"  # UDP from port 1000 to 2000, one byte
).ljust(60, b"\0")
"""A sound one, of UDP over IPv4."""

ODD_FRAMES = (b"", b"\0", FRAME[:13], FRAME[:20], FRAME[:37], b"\xff" * 1500, b"\x81\x00" * 700)
"""What a controller may send in a packet-out, and no driver may stumble over."""
