"""Tests of :mod:`drivers.software.meters`."""

from __future__ import annotations

from agent.openflow.actions import ApplyActions, MeterInstruction, Output, WriteActions
from agent.openflow.fields import IP_DSCP
from agent.openflow.group_messages import BandType, MeterBand, MeterFlags
from agent.packet.flowkey import flow_key
from drivers.testing import FakeMeter, FakeOperation
from drivers.testing.frames import FRAME
from tests.drivers.software.test_pipeline import PipelineCase

PKTPS, KBPS, BURST = MeterFlags.PKTPS, MeterFlags.KBPS, MeterFlags.BURST


def drop(rate: int, burst: int = 0) -> MeterBand:
    """A band that drops."""
    return MeterBand(BandType.DROP, rate, burst)


def remark(rate: int, level: int = 1) -> MeterBand:
    """A band that marks."""
    return MeterBand(BandType.DSCP_REMARK, rate, 0, level)


def marked(dscp: int) -> bytes:
    """A packet with this DSCP; its IP checksum is correct, so that a change can be told."""
    return FRAME[:15] + bytes([dscp << 2]) + FRAME[16:]


class MeterCase(PipelineCase):
    """A datapath whose rule has meter 1, and then sends to port 2."""

    def setUp(self) -> None:
        """Add the rule."""
        super().setUp()
        self.add(MeterInstruction(1), ApplyActions((Output(2),)))

    def meter(self, flags: int, *bands: MeterBand) -> FakeMeter:
        """Add meter 1, or what takes its place."""
        meter = FakeMeter(1, flags, bands)
        operation = FakeOperation.add(meter)
        self.driver.submit([operation])
        self.assertTrue(operation.succeeded)
        return meter

    def passing(self, packets: int, frame: bytes = FRAME) -> int:
        """How many of so many packets pass, all at once."""
        for _ in range(packets):
            self.port(1).inject(frame)
        return len(self.sent().get(2, ()))


class RateTests(MeterCase):
    """What passes."""

    def test_pktps(self) -> None:
        """A second's worth passes at once, and then what the rate lets pass."""
        meter = self.meter(PKTPS, drop(10))
        self.assertEqual(self.passing(15), 10)
        self.assertEqual(self.passing(5), 0)
        self.host.reactor.advance(0.55)
        self.assertEqual(self.passing(9), 5)
        self.host.reactor.advance(1000)
        self.assertEqual(self.passing(20), 10)
        self.assertEqual((meter.counters.packets, meter.counters.bytes), (49, 49 * len(FRAME)))
        self.assertEqual(meter.band_counters[0].packets, 24)
        self.assertEqual(meter.band_counters[0].bytes, 24 * len(FRAME))

    def test_burst(self) -> None:
        """A burst is what may come at once."""
        self.meter(PKTPS | BURST, drop(10, 3))
        self.assertEqual(self.passing(15), 3)
        self.host.reactor.advance(0.25)
        self.assertEqual(self.passing(15), 2)

    def test_burst_without_flag(self) -> None:
        """Without the flag the size of the burst means nothing."""
        self.meter(PKTPS, drop(10, 3))
        self.assertEqual(self.passing(15), 10)

    def test_kbps(self) -> None:
        """Bits are counted by thousands; that is also what is meant where no unit is given."""
        frame = FRAME.ljust(125, b"\0")
        for flags in (KBPS, 0):
            self.meter(flags, drop(8))
            self.assertEqual(self.passing(20, frame), 8)
            self.host.reactor.advance(0.5)
            self.assertEqual(self.passing(20, frame), 4)

    def test_long_run(self) -> None:
        """In the long run the rate is met, however packets come."""
        self.meter(PKTPS, drop(100))
        self.passing(200)
        passed = 0
        for _ in range(1000):
            self.host.reactor.advance(0.003)
            passed += self.passing(1)
        self.assertApproximates(passed / 3, 100, 1)

    def test_no_bands(self) -> None:
        """A meter without bands only counts; one that is not there does not even that."""
        self.assertEqual(self.passing(5), 5)
        meter = self.meter(PKTPS)
        self.assertEqual(self.passing(5), 5)
        self.assertEqual(meter.counters.packets, 5)

    def test_zero(self) -> None:
        """A rate of nothing lets nothing pass."""
        self.meter(PKTPS, drop(0))
        self.assertEqual(self.passing(5), 0)

    def test_modify_and_delete(self) -> None:
        """A modified meter begins with full buckets; without one everything passes."""
        meter = self.meter(PKTPS, drop(1))
        self.assertEqual(self.passing(5), 1)
        new = meter.modified(PKTPS, drop(2))
        self.driver.submit([FakeOperation.change(meter, new)])
        self.assertEqual(self.passing(5), 2)
        self.driver.submit([FakeOperation.delete(new)])
        self.assertEqual(self.passing(5), 5)
        self.assertEqual(self.driver.show()["meters"], 0)

    def test_action_set(self) -> None:
        """A packet that is dropped has no action set either."""
        self.add(MeterInstruction(1), WriteActions((Output(3),)), in_port=1, priority=0xFFFF)
        self.meter(PKTPS, drop(1))
        for _ in range(3):
            self.port(1).inject(FRAME)
        self.assertEqual(self.sent(), {3: [FRAME]})


class BandTests(MeterCase):
    """Which band is applied, and what it does."""

    def dscp(self, dscp: int) -> int | None:
        """The DSCP with which a packet comes out; None: it does not."""
        self.port(1).inject(marked(dscp))
        frames = self.sent().get(2)
        return IP_DSCP.get(flow_key(frames[0], 2)) if frames else None

    def test_remark(self) -> None:
        """The drop precedence of assured forwarding is raised, to the highest at most."""
        meter = self.meter(PKTPS, remark(0))
        for before, after in ((18, 20), (20, 22), (22, 22), (10, 12), (38, 38), (36, 38)):
            self.assertEqual(self.dscp(before), after)
        self.assertEqual(meter.band_counters[0].packets, 6)

    def test_level(self) -> None:
        """By as much as the band says."""
        self.meter(PKTPS, remark(0, 2))
        self.assertEqual((self.dscp(10), self.dscp(12)), (14, 14))

    def test_others(self) -> None:
        """What is not assured forwarding stays as it is: best effort, expedited forwarding."""
        self.meter(PKTPS, remark(0))
        for dscp in (0, 8, 46, 48, 19, 40):
            self.assertEqual(self.dscp(dscp), dscp)

    def test_not_ip(self) -> None:
        """Nor does anything happen to what is not IP."""
        self.meter(PKTPS, remark(0))
        frame = FRAME[:12] + b"\x12\x34" + FRAME[14:]
        self.port(1).inject(frame)
        self.assertEqual(self.sent(), {2: [frame]})

    def test_highest(self) -> None:
        """Of the bands that are exceeded, the one with the highest rate is applied."""
        meter = self.meter(PKTPS, drop(3), remark(1))
        self.assertEqual([self.dscp(18) for _ in range(5)], [18, 20, 20, None, None])
        self.assertEqual([counters.packets for counters in meter.band_counters], [2, 2])
