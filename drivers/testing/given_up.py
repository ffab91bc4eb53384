"""What must be true of every driver when the agent has given something up."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from agent.openflow.actions import Output
from agent.openflow.group_messages import Bucket, GroupType
from drivers.abilities import IRecall
from drivers.testing.fakes import FakeGroup, FakeMeter, FakeOperation
from drivers.testing.harness import ContractHarness


class GivenUpContractTests(ContractHarness):
    """An operation is given up when it takes too long; the agent then deletes what it was about."""

    def test_delete_of_nothing(self) -> None:
        """To delete what is not there succeeds, and is in nobody's way."""
        driver, host = self.started()
        can = driver.capabilities
        rule, other = self.rules(driver, 2)
        entries: list[Any] = [rule]
        if GroupType.ALL in can.group_types:
            entries.append(FakeGroup(1, GroupType.ALL, (Bucket(actions=(Output(1),)),)))
        if can.max_meters:
            entries.append(FakeMeter(1))
        self.run_operations(driver, host, FakeOperation.add(other))
        for entry in entries:
            for operation in (
                FakeOperation.delete(entry),
                FakeOperation.add(entry),
                FakeOperation.delete(entry),
                FakeOperation.delete(entry),
            ):
                self.run_operations(driver, host, operation)
                self.assertTrue(operation.succeeded, f"{operation}: {operation.completions}")
        last = FakeOperation.delete(other)
        self.run_operations(driver, host, last)
        self.assertTrue(last.succeeded)


class RecallContractTests(ContractHarness):
    """The contract of a driver that also provides :class:`drivers.abilities.IRecall`."""

    def test_recall(self) -> None:
        """What it takes back is not completed any more, and can be asked for anew; all else can be
        deleted."""
        driver, host = self.started()
        verifyObject(IRecall, driver)
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 9)]
        driver.submit(operations)
        waiting = [operation for operation in operations[2:] if not operation.done]
        recalled = driver.recall(waiting)
        taken_back = [operation for operation in operations if operation in recalled]
        self.assertLessEqual(set(taken_back), set(waiting))
        self.settle(host, lambda: False)
        for operation in taken_back:
            self.assertEqual(operation.completions, [])
        kept = [operation for operation in operations if operation not in taken_back]
        deletions = [FakeOperation.delete(operation.rule) for operation in kept]
        self.run_operations(driver, host, *deletions)
        again = [FakeOperation.add(operation.rule) for operation in operations]
        self.run_operations(driver, host, *again)
        for operation in (*kept[:2], *deletions, *again):
            self.assertTrue(operation.succeeded, f"{operation}: {operation.completions}")
        self.assertFalse(any(operation in driver.recall(again) for operation in again))
