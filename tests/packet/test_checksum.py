"""Tests of :mod:`agent.packet.checksum`."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.sctp import crc32c as scapy_crc32c
from scapy.utils import checksum as scapy_checksum
from twisted.trial.unittest import SynchronousTestCase

from agent.packet.checksum import crc32c, crc32c_updated, internet_checksum, updated

WORD: Final = st.binary(min_size=4, max_size=4)


class InternetChecksumTests(SynchronousTestCase):
    """The Internet checksum, whole and by difference."""

    def test_rfc1071(self) -> None:
        """The example of RFC 1071 section 3 sums to 0xddf2."""
        data = bytes.fromhex("0001f203f4f5f6f7")
        self.assertEqual(internet_checksum(data), 0xFFFF - 0xDDF2)

    @given(st.binary(max_size=2000))
    def test_scapy(self, data: bytes) -> None:
        """Scapy computes the same, for even and odd lengths."""
        self.assertEqual(internet_checksum(data), scapy_checksum(data))

    def test_all_zero(self) -> None:
        """Only data which are all zero have the checksum 0xffff; a sum of 0xffff gives 0."""
        self.assertEqual(internet_checksum(bytes(20)), 0xFFFF)
        self.assertEqual(internet_checksum(b"\xff\xff"), 0)
        self.assertEqual(internet_checksum(bytes(2), pseudo_header=0xFFFF), 0)

    @given(
        st.binary(min_size=40, max_size=80), st.integers(0, 9), st.binary(min_size=4, max_size=4)
    )
    def test_updated(self, data: bytes, word: int, new: bytes) -> None:
        """After a change of 32 bits the difference leads to the checksum of the changed data."""
        at = word * 4
        changed = data[:at] + new + data[at + 4 :]
        difference = int.from_bytes(data[at : at + 4], "big") - int.from_bytes(new, "big")
        result = updated(internet_checksum(data), difference)
        # 0 and 0xffff are the same sum; the checksum alone cannot tell which one was meant.
        self.assertEqual(result, internet_checksum(changed) % 0xFFFF)

    @given(st.binary(min_size=4, max_size=40), st.integers(1, 0xFFFE), st.integers(0, 0xFFFF))
    def test_damage_is_kept(self, data: bytes, damage: int, new: int) -> None:
        """A wrong checksum is wrong by the same amount after an update."""
        old = int.from_bytes(data[:2], "big")
        changed = new.to_bytes(2, "big") + data[2:]
        wrong = updated((internet_checksum(data) + damage) % 0xFFFF, old - new)
        self.assertEqual((wrong - internet_checksum(changed)) % 0xFFFF, damage)


class Crc32cTests(SynchronousTestCase):
    """SCTP's CRC32c, whole and by difference."""

    def test_rfc3720(self) -> None:
        """The test vectors of RFC 3720 appendix B.4 hold."""
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c(b"\xff" * 32), 0x62A8AB43)
        self.assertEqual(crc32c(bytes(range(32))), 0x46DD794E)

    @given(st.binary(max_size=300))
    def test_scapy(self, data: bytes) -> None:
        """Scapy computes the same; it gives the number as SCTP sends it, lowest byte first."""
        self.assertEqual(crc32c(data).to_bytes(4, "little"), scapy_crc32c(data).to_bytes(4, "big"))

    @given(
        st.binary(max_size=40),
        WORD,
        WORD,
        st.binary(max_size=300),
    )
    def test_updated(self, before: bytes, old: bytes, new: bytes, after: bytes) -> None:
        """After a change of four bytes the update leads to the CRC of the changed data."""
        changed = bytes(a ^ b for a, b in zip(old, new, strict=True))
        self.assertEqual(
            crc32c_updated(crc32c(before + old + after), changed, len(after)),
            crc32c(before + new + after),
        )

    def test_updated_far_from_the_end(self) -> None:
        """That holds for the longest packet there is."""
        data = bytes(65535)
        self.assertEqual(
            crc32c_updated(crc32c(data), b"\x12\x34", len(data) - 2),
            crc32c(b"\x12\x34" + data[2:]),
        )
