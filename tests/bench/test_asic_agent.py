"""Tests of :mod:`bench.asic_agent`, and of the agent with it."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from bench.asic import FAUCET, FAUCET_TABLES, TARGET_OVERHEAD, sized
from bench.asic_agent import requests, simulated
from bench.rulesets import workload
from drivers.asic.profile import load


class SimulatedTests(SynchronousTestCase):
    """The whole agent, on a clock of its own."""

    def test_barrier(self) -> None:
        """With the times of a switch that was measured, and all that varies: the barrier is not
        answered before the hardware is done, and not much later, however many groups may be in
        flight."""
        for name in ("quanta", "monaco"):
            for barrier, pending in ((0, 50), (0, 1000), (7, 50), (1, 50), (0, 1)):
                data = requests(workload("acl", 100, 1), barrier)
                run = simulated(load(name), data, "greedy", pending)
                self.assertGreater(run.busy, 0.5)
                self.assertGreaterEqual(run.overhead, -1e-9)
                self.assertLessEqual(run.overhead, TARGET_OVERHEAD)

    def test_window(self) -> None:
        """The scheduler chooses among what is in flight, and no more."""
        data = requests(workload("descending", 300, 1), 0)
        profile = sized(load("descending"), 300)
        waited = [
            simulated(profile, data, policy, pending).waited
            for policy, pending in (("fifo", 50), ("greedy", 1), ("greedy", 50), ("greedy", 300))
        ]
        self.assertAlmostEqual(waited[0], waited[1])
        self.assertGreater(waited[1], waited[2])
        self.assertGreater(waited[2], 3 * waited[3])
        self.assertLess(waited[3], 0.95)  # the writes alone: 0.9

    def test_faucet(self) -> None:
        """What Faucet said is accepted, and done in one order as in the other."""
        profile = sized(load("priority"), 200, FAUCET_TABLES)
        for policy in ("fifo", "greedy"):
            self.assertGreater(simulated(profile, FAUCET.read_bytes(), policy, 50).busy, 0.3)

    def test_refused(self) -> None:
        """What is refused is no figure."""
        profile = sized(load("priority"), 1)
        small = attrs.evolve(profile, tables=(attrs.evolve(profile.tables[0], size=5),))
        data = requests(workload("random", 10, 1), 0)
        self.assertRaises(RuntimeError, simulated, small, data, "greedy", 50)
