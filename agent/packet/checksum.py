"""Checksums of the Internet protocols, whole and by difference.

The Internet checksum (RFC 1071) is arithmetic modulo 65535, and 65536 is 1 modulo 65535.  So the
sum of the 16-bit words of a buffer is the buffer read as *one* big number, modulo 65535: Python
does that in C, some thirty times faster than a loop over words.  For the same reason a checksum is
brought up to date after a change (RFC 1624) by adding the old words and subtracting the new, and
words of any multiple of 16 bits can be added as they are.  A wrong checksum stays wrong by the same
amount, so that damage done before a rewrite is still seen by the receiver.

SCTP's CRC32c (RFC 9260, appendix A) is linear too: what a change of some bits does to it depends
only on these bits and on how many bytes follow them.  A change of ports costs one multiplication
of polynomials instead of a pass over the packet.

Not here: where in a packet the checksums are; see :mod:`agent.packet.headers`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

MODULUS: Final = 0xFFFF
"""The Internet checksum is arithmetic modulo this."""

_CASTAGNOLI: Final = 0x82F63B78
"""The polynomial of CRC32c, lowest power in the highest bit, as the algorithm shifts right."""
_ONE: Final = 0x80000000
"""The polynomial 1 in that order of bits."""


def words_sum(data: bytes | bytearray) -> int:
    """The sum of the big-endian 16-bit words of ``data``, modulo 65535; odd data is padded."""
    total = int.from_bytes(data, "big")
    return (total << 8 if len(data) & 1 else total) % MODULUS


def internet_checksum(data: bytes | bytearray, pseudo_header: int = 0) -> int:
    """The Internet checksum of ``data``, whose own checksum field must be zero.

    :param pseudo_header: a number that is congruent to the sum of the words of a pseudo-header.
    :return: 0 to 0xffff; 0xffff only when everything is zero.
    """
    total = (words_sum(data) + pseudo_header) % MODULUS
    if total or pseudo_header or any(data):
        return -total % MODULUS
    return MODULUS


def updated(checksum: int, difference: int) -> int:
    """``checksum`` after a change of what it covers, modulo 65535.

    :param difference: the words before the change minus the words after; words may be numbers of
        any multiple of 16 bits, if they are aligned to 16 bits in the packet.
    """
    return (checksum + difference) % MODULUS


def _table() -> tuple[int, ...]:
    """What one byte does to a CRC."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ _CASTAGNOLI if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE: Final = _table()


def _divide(crc: int, data: bytes | bytearray) -> int:
    """The remainder of ``data`` with the register preset to ``crc``."""
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def crc32c(data: bytes | bytearray) -> int:
    """CRC32c of ``data`` as a number; SCTP sends it with the lowest byte first."""
    return _divide(0xFFFFFFFF, data) ^ 0xFFFFFFFF


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo Castagnoli's."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ _CASTAGNOLI if b & 1 else b >> 1
    return product


def _squares() -> tuple[int, ...]:
    """x**8, x**16, x**32 ... : what 1, 2, 4 ... bytes of zeros multiply a CRC by."""
    power = _ONE >> 8
    squares = [power]
    for _ in range(16):
        power = _multiply(power, power)
        squares.append(power)
    return tuple(squares)


_SQUARES: Final = _squares()


@lru_cache(maxsize=2048)
def _zeros(count: int) -> int:
    """x**(8 * count): what ``count`` (below 2**17) bytes of zeros multiply a CRC by."""
    power = _ONE
    for square in _SQUARES:
        if count & 1:
            power = _multiply(square, power)
        count >>= 1
    return power


def crc32c_updated(crc: int, changed: bytes, following: int) -> int:
    """CRC32c after some bytes have changed.

    :param crc: the CRC before.
    :param changed: the old bytes XOR the new ones.
    :param following: how many unchanged bytes follow these, below 2**17.
    """
    return crc ^ _multiply(_divide(0, changed), _zeros(following))
