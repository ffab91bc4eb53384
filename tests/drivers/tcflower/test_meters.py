"""Tests of :mod:`drivers.tcflower.meters`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import BandType, MeterBand, MeterFlags
from drivers.tcflower.actions import Police
from drivers.tcflower.meters import police_of
from drivers.testing.fakes import FakeMeter


class MeterTests(SynchronousTestCase):
    """What tc lets pass is what the band says."""

    def test_kilobits(self) -> None:
        """1,000 kilobits are 125,000 bytes a second; without a burst, as many at once."""
        meter = FakeMeter(1, MeterFlags.KBPS, (MeterBand(BandType.DROP, 1000, 7),))
        self.assertEqual(police_of(meter, 3), Police(3, rate=125_000, burst=125_000))

    def test_burst(self) -> None:
        """The burst has the unit of the rate, and is heeded where the flag says so."""
        flags = MeterFlags.PKTPS | MeterFlags.BURST
        meter = FakeMeter(1, flags, (MeterBand(BandType.DROP, 100, 7),))
        self.assertEqual(police_of(meter, 3), Police(3, packet_rate=100, packet_burst=7))

    def test_no_bands(self) -> None:
        """Without bands everything passes."""
        self.assertEqual(police_of(FakeMeter(1), 3), Police(3))

    def test_refused(self) -> None:
        """What tc cannot do has the error that says so."""
        drop = MeterBand(BandType.DROP, 1, 0)
        for code, bands in (
            (errors.OUT_OF_BANDS, (drop, drop)),
            (errors.BAD_BAND, (MeterBand(BandType.DSCP_REMARK, 1, 0, 1),)),
            (errors.BAD_RATE, (MeterBand(BandType.DROP, 0, 0),)),
        ):
            with self.assertRaises(OpenFlowError) as caught:
                police_of(FakeMeter(1, MeterFlags.KBPS, bands), 3)
            self.assertEqual(caught.exception.code, code)
