"""The part of the drivers' contract about counters of rules.

These tests let frames come in, so that they are for drivers whose harness can do that: see
:meth:`drivers.testing.harness.ContractHarness.receive`.
"""

from __future__ import annotations

from typing import Any

from agent.openflow.match import Match
from drivers.interfaces import Counters
from drivers.testing.fakes import FakeHost, FakeOperation, FakeRule, output
from drivers.testing.frames import FRAME
from drivers.testing.harness import ContractHarness


class CountingContractTests(ContractHarness):
    """What must be true of every driver that forwards frames."""

    def count(self, driver: Any, host: FakeHost, *rules: FakeRule) -> list[int]:
        """Let a frame come in at port 1, and return how many packets each rule has counted."""
        self.receive(driver, 1, FRAME)
        self.wait(host, driver.refresh(rules))
        return [rule.counters.packets for rule in rules]

    def test_counts(self) -> None:
        """A rule counts the packets it matches, their bytes, and when the last came."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        other = FakeRule(Match.of(in_port=2), 10)
        self.run_operations(driver, host, FakeOperation.add(rule), FakeOperation.add(other))
        host.reactor.advance(5)
        self.assertEqual(self.count(driver, host, rule, other), [1, 0])
        self.assertEqual(self.count(driver, host, rule, other), [2, 0])
        self.assertEqual(rule.counters.bytes, 2 * len(FRAME))
        self.assertGreaterEqual(rule.counters.used, 5)
        self.assertEqual((other.counters.bytes, other.counters.used), (0, 0))

    def test_counts_only_what_is_confirmed(self) -> None:
        """Before an ADD is completed nothing is counted by it, and after a DELETE neither."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        add = FakeOperation.add(rule)
        driver.submit([add])
        if not add.done:
            self.assertEqual(self.count(driver, host, rule), [0])
        self.settle(host, lambda: add.done)
        before = rule.counters.packets
        self.assertEqual(self.count(driver, host, rule), [before + 1])
        self.run_operations(driver, host, FakeOperation.delete(rule))
        self.assertEqual(self.count(driver, host, rule), [before + 1])

    def test_modify_keeps_counters(self) -> None:
        """A MODIFY goes on counting where the rule was."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        self.run_operations(driver, host, FakeOperation.add(rule))
        self.count(driver, host, rule)
        self.run_operations(driver, host, FakeOperation.modify(rule, output(2)))
        self.assertEqual(self.count(driver, host, rule), [2])

    def test_replace_counts_anew(self) -> None:
        """A REPLACE counts from what its own counters say, and leaves the old ones alone."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        self.run_operations(driver, host, FakeOperation.add(rule))
        self.count(driver, host, rule)
        replace = FakeOperation.replace(rule, output(2))
        self.run_operations(driver, host, replace)
        self.assertEqual(self.count(driver, host, rule, replace.rule), [1, 1])

    def test_counters_are_not_reset(self) -> None:
        """An ADD whose rule has counted before, for it is put back, goes on from there."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10, counters=Counters(packets=7, bytes=700))
        self.run_operations(driver, host, FakeOperation.add(rule))
        self.assertEqual(self.count(driver, host, rule), [8])
        self.assertEqual(rule.counters.bytes, 700 + len(FRAME))

    def test_final_counters(self) -> None:
        """When a DELETE is completed, the rule's counters are what they will ever be."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        self.run_operations(driver, host, FakeOperation.add(rule))
        self.receive(driver, 1, FRAME)
        delete = FakeOperation.delete(rule)
        final: list[int] = []
        delete.on_complete = lambda operation: final.append(rule.counters.packets)
        self.run_operations(driver, host, delete)
        self.assertEqual(final, [1])
