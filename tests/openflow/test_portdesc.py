"""The bits of a port's description, which the versions number differently."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.messages import PortDesc
from agent.openflow.portdesc import (
    PHY_PORT10,
    PORT13,
    features_from_wire10,
    features_to_wire10,
)
from tests.openflow.strategies import uint

# OFPPF_* by name: OpenFlow 1.0.1 section 5.2.1, OpenFlow 1.3.5 section 7.2.1.
FEATURES = {
    "10MB_HD": (1 << 0, 1 << 0),
    "10MB_FD": (1 << 1, 1 << 1),
    "100MB_HD": (1 << 2, 1 << 2),
    "100MB_FD": (1 << 3, 1 << 3),
    "1GB_HD": (1 << 4, 1 << 4),
    "1GB_FD": (1 << 5, 1 << 5),
    "10GB_FD": (1 << 6, 1 << 6),
    "40GB_FD": (0, 1 << 7),
    "100GB_FD": (0, 1 << 8),
    "1TB_FD": (0, 1 << 9),
    "OTHER": (0, 1 << 10),
    "COPPER": (1 << 7, 1 << 11),
    "FIBER": (1 << 8, 1 << 12),
    "AUTONEG": (1 << 9, 1 << 13),
    "PAUSE": (1 << 10, 1 << 14),
    "PAUSE_ASYM": (1 << 11, 1 << 15),
}


class FeatureTests(SynchronousTestCase):
    """``OFPPF_*``."""

    def test_each(self) -> None:
        """Each bit has its number of the other version, or none."""
        for name, (of10, of13) in FEATURES.items():
            self.assertEqual(features_to_wire10(of13), of10, name)
            if of10:
                self.assertEqual(features_from_wire10(of10), of13, name)

    @given(uint(32))
    def test_undefined(self, bits: int) -> None:
        """Whatever the bits, only those which 1.0 defines go over its wire, and come back."""
        wire = features_to_wire10(bits)
        self.assertEqual(wire & ~0xFFF, 0)
        self.assertEqual(features_to_wire10(features_from_wire10(bits)), bits & 0xFFF)
        self.assertEqual(features_from_wire10(wire) & ~bits, 0)


class PortTests(SynchronousTestCase):
    """Configuration and state."""

    def test_state(self) -> None:
        """A blocked port is one that the spanning tree blocks in 1.0, which has no *live*."""
        for state13, state10 in ((0, 0), (1, 1), (2, 0x300), (3, 0x301), (4, 0), (7, 0x301)):
            data = PHY_PORT10.encode(PortDesc(1, 1, "a", state=state13))
            self.assertEqual(int.from_bytes(data[28:32], "big"), state10)
            self.assertEqual(PHY_PORT10.decode(data, 0).state, state13 & 3)

    def test_stp_states(self) -> None:
        """Listening, learning and forwarding have no successor in 1.3."""
        for stp in (0, 0x100, 0x200):
            data = PHY_PORT10.encode(PortDesc(1, 1, "a"))
            data = data[:28] + (stp | 1).to_bytes(4, "big") + data[32:]
            self.assertEqual(PHY_PORT10.decode(data, 0).state, 1)

    def test_config(self) -> None:
        """1.3 is not told of the bits that only 1.0 has."""
        port = PortDesc(1, 1, "a", config=0x7F)
        self.assertEqual(PHY_PORT10.decode(PHY_PORT10.encode(port), 0).config, 0x7F)
        self.assertEqual(PORT13.decode(PORT13.encode(port), 0).config, 0x65)

    def test_sizes(self) -> None:
        """The two structures are as long as the specifications say."""
        self.assertEqual((PHY_PORT10.size, PORT13.size), (48, 64))
