"""Tests for :mod:`agent.openflow.ports`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import BAD_OUT_PORT, OpenFlowError
from agent.openflow.messages import Port
from agent.openflow.ports import from_wire10, to_wire10


class PortTests(SynchronousTestCase):
    """Ports of 16 bits and of 32."""

    def test_reserved(self) -> None:
        """Each reserved port of 1.0 is the one of 1.3 with its name."""
        for port in Port:
            number = port & 0xFFFF
            self.assertEqual(from_wire10(number), port)
            self.assertEqual(to_wire10(port), number)

    def test_none(self) -> None:
        """OFPP_NONE, 0xffff, is OFPP_ANY."""
        self.assertEqual(from_wire10(0xFFFF), Port.ANY)

    @given(st.integers(0, 0xFFFF))
    def test_round_trip(self, port: int) -> None:
        """Every number of 16 bits has one of 32, and comes back."""
        self.assertEqual(to_wire10(from_wire10(port)), port)

    @given(st.integers(0xFF00, 0xFFFFFEFF))
    def test_does_not_fit(self, port: int) -> None:
        """A port between the ranges cannot be named in 1.0."""
        error = self.assertRaises(OpenFlowError, to_wire10, port)
        self.assertIs(error.code, BAD_OUT_PORT)
