"""Tests of :mod:`drivers.tcflower.policers` and :mod:`drivers.tcflower.shared`."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors
from agent.openflow.actions import ApplyActions, MeterInstruction, Output
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import BandType, MeterBand, MeterFlags
from agent.openflow.match import Match
from drivers.interfaces import UNKNOWN_COUNT
from drivers.tcflower.policers import PATIENCE
from drivers.testing import FakeMeter, FakeOperation, FakeRule
from tests.drivers.tcflower.police import PoliceAction
from tests.drivers.tcflower.test_driver import TcFlowerHarness

SLOW = MeterBand(BandType.DROP, 8, 0)
FAST = MeterBand(BandType.DROP, 80, 0)
METERED = (MeterInstruction(5), ApplyActions((Output(2),)))


class PolicerTests(TcFlowerHarness, SynchronousTestCase):
    """Meters are police actions, which the filters of rules share."""

    def setUp(self) -> None:
        """Start a driver with a meter."""
        super().setUp()
        self.driver, self.host = self.started()
        self.meter = FakeMeter(5, MeterFlags.KBPS, (SLOW,))

    def run_one(self, operation: FakeOperation) -> Exception | None:
        """Let an operation be done; returns its error."""
        self.run_operations(self.driver, self.host, operation)
        self.assertEqual(len(operation.completions), 1)
        return operation.completions[0]

    @property
    def police(self) -> list[PoliceAction]:
        """What is in the kernel."""
        return list(self.kernel.actions.there.values())

    def test_shared(self) -> None:
        """All rules that name a meter share its action; a change of it touches no filter."""
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        rules = [FakeRule(Match.of(in_port=n), 9, instructions=METERED) for n in (1, 2)]
        for rule in rules:
            self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        (police,) = self.police
        self.assertEqual((police.rate, police.burst), (1000, 1_000_000_000 // 64))
        self.assertEqual(self.kernel.sharing(), [police.index] * 2)
        requests = self.kernel.requests
        changed = self.meter.modified(MeterFlags.KBPS, FAST)
        self.assertIsNone(self.run_one(FakeOperation.change(self.meter, changed)))
        self.assertEqual([one.rate for one in self.police], [10_000])
        self.assertEqual(self.kernel.requests, requests)

    def test_deleted(self) -> None:
        """A meter that is deleted waits until the kernel has let go of it, and the next one of its
        number has another action."""
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        (first,) = self.police
        sharing = [first.index]
        self.kernel.actions._sharing = lambda: sharing
        gone = FakeOperation.delete(self.meter)
        self.run_operations(self.driver, self.host, gone)
        self.assertFalse(gone.done)
        sharing.clear()
        self.reactor.advance(PATIENCE[0])
        self.settle(self.host, lambda: gone.done)
        self.assertTrue(gone.succeeded)
        self.assertEqual(self.police, [])
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        self.assertNotEqual(self.police[0].index, first.index)

    def test_kept_by_others(self) -> None:
        """When somebody else's filter has the action for good, the meter stays and it is said."""
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        (police,) = self.police
        self.kernel.actions._sharing = lambda: [police.index]
        gone = FakeOperation.delete(self.meter)
        self.run_operations(self.driver, self.host, gone)
        for delay in PATIENCE:
            self.reactor.advance(delay)
            self.settle(self.host, lambda: False)
        self.assertIsInstance(gone.completions[0], OpenFlowError)
        self.assertEqual(self.police, [police])
        self.kernel.actions._sharing = list

    def test_others(self) -> None:
        """Numbers that somebody else's actions have are left to them."""
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        (first,) = self.police
        other = PoliceAction(first.index + 1, b"", 1, 1, 0)
        self.kernel.actions.there[other.index] = other
        self.assertIsNone(self.run_one(FakeOperation.add(FakeMeter(6))))
        self.assertEqual([one.index for one in self.police], [first.index + n for n in range(3)])
        self.assertIs(self.kernel.actions.there[other.index], other)

    def test_lost(self) -> None:
        """When acknowledgements are lost, every meter is there once."""
        self.kernel.room = 0
        operations = [FakeOperation.add(FakeMeter(n)) for n in range(1, 101)]
        self.driver.submit(operations)
        self.settle(self.host, lambda: self.driver.show()["lost answers"])
        self.kernel.room = 7
        self.settle(self.host, lambda: all(operation.done for operation in operations))
        self.assertTrue(all(operation.succeeded for operation in operations))
        self.assertEqual(len(self.police), 100)
        self.assertEqual(len({police.cookie for police in self.police}), 100)
        self.assertGreater(self.driver.show()["lost answers"], 0)

    def test_refused(self) -> None:
        """What tc has no way to do is refused, and so is what the kernel refuses; a meter that was
        there is as it was."""
        remark = FakeMeter(5, MeterFlags.KBPS, (MeterBand(BandType.DSCP_REMARK, 8, 0, 1),))
        error = self.run_one(FakeOperation.add(remark))
        assert isinstance(error, OpenFlowError)
        self.assertEqual(error.code, errors.BAD_BAND)
        self.kernel.actions.refuse = lambda index: errno.EOPNOTSUPP
        self.assertIsInstance(self.run_one(FakeOperation.add(self.meter)), OpenFlowError)
        self.assertEqual(self.police, [])
        self.kernel.actions.refuse = lambda index: 0
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        self.kernel.actions.refuse = lambda index: errno.ENOMEM
        changed = self.meter.modified(MeterFlags.KBPS, FAST)
        self.assertIsNotNone(self.run_one(FakeOperation.change(self.meter, changed)))
        self.assertEqual([one.rate for one in self.police], [1000])

    def test_counters(self) -> None:
        """A meter counts what comes to it, with Ethernet headers; a band what it drops, and from
        zero when it is a new one."""
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        (police,) = self.police
        police.packets, police.bytes, police.drops = 10, 1000, 4
        self.wait(self.host, self.driver.refresh([self.meter]))
        counters = self.meter.counters
        self.assertEqual((counters.packets, counters.bytes), (10, 1140))
        (band,) = self.meter.band_counters
        self.assertEqual((band.packets, band.bytes), (4, UNKNOWN_COUNT))
        police.drops = 5
        changed = self.meter.modified(MeterFlags.KBPS, FAST)
        self.assertIsNone(self.run_one(FakeOperation.change(self.meter, changed)))
        (police,) = self.police
        police.packets, police.bytes, police.drops = 11, 1100, 7
        self.wait(self.host, self.driver.refresh([changed]))
        self.assertEqual(band.packets, 5)
        self.assertEqual(changed.band_counters[0].packets, 2)
        self.assertEqual((counters.packets, counters.bytes), (11, 1254))

    def test_skip_hw(self) -> None:
        """An action is where the filters are that share it."""
        for mode, flags in (("skip_hw", 2), ("both", 0)):
            self.stop(self.driver, self.host)
            self.assertEqual(self.police, [])
            self.driver, self.host = self.started(mode=mode)
            self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
            self.assertEqual([one.flags for one in self.police], [flags])

    def test_left_over(self) -> None:
        """What a run has left that was killed goes when the next one starts, or becomes the meter's
        that is added with its number; others' actions stay."""
        other = PoliceAction(1, b"other", 1, 1, 0)
        self.kernel.actions.there[1] = other
        for meter in (self.meter, FakeMeter(6)):
            self.assertIsNone(self.run_one(FakeOperation.add(meter)))
        _, first, _ = self.police
        self.stop_keeping()
        self.kernel.actions._sharing = lambda: [first.index]
        self.driver, self.host = self.started()
        self.assertEqual(self.police, [other, first])
        self.assertIsNone(self.run_one(FakeOperation.add(self.meter)))
        self.assertEqual([one.index for one in self.police], [1, first.index])
        self.kernel.actions._sharing = list
        self.stop(self.driver, self.host)
        self.assertEqual(self.police, [other])

    def stop_keeping(self) -> None:
        """End the driver as a kill does, as far as meters are concerned."""
        police = dict(self.kernel.actions.there)
        self.stop(self.driver, self.host)
        self.kernel.actions.there.update(police)
