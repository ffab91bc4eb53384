"""What must be true of every driver that can be made to fail on purpose."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest
from zope.interface.verify import verifyObject

from agent.openflow.errors import OpenFlowError
from drivers.abilities import IClog, IFaultInjection
from drivers.testing.contract import DriverContractTests
from drivers.testing.fakes import FakeOperation


def _can_clog(driver: object) -> bool:
    return bool(IClog.providedBy(driver))


class FaultInjectionContractTests(DriverContractTests):
    """The contract of a driver that also provides :class:`drivers.abilities.IFaultInjection`, and
    of :class:`drivers.abilities.IClog` if it provides that."""

    def test_faults_interface(self) -> None:
        """It provides what it says it provides."""
        driver, _ = self.started()
        verifyObject(IFaultInjection, driver)
        if _can_clog(driver):
            verifyObject(IClog, driver)

    def test_fault_not_understood(self) -> None:
        """Words that it does not understand are refused, in a text that says what it does."""
        driver, _ = self.started()
        for words in (["explode"], [], ["fail", "often"]):
            error = self.assertRaises(ValueError, driver.inject, words)
            self.assertIn("fail", str(error))

    def test_failure(self) -> None:
        """A failed operation has an error, once, and the hardware is as if it had never been."""
        driver, host = self.started()
        one, two, three = self.rules(driver, 3)
        self.assertTrue(driver.inject(["fail", "2"]))
        operations = [FakeOperation.add(rule) for rule in (one, two, three)]
        self.run_operations(driver, host, *operations)
        self.assertEqual([len(operation.completions) for operation in operations], [1, 1, 1])
        self.assertIsInstance(operations[1].completions[0], OpenFlowError)
        self.assertTrue(operations[0].succeeded and operations[2].succeeded)
        again = FakeOperation.add(two)
        self.run_operations(driver, host, again)
        self.assertTrue(again.succeeded)

    def test_failure_of_each_kind(self) -> None:
        """Whatever failed can be tried again, and then works."""
        driver, host = self.started()
        (rule,) = self.rules(driver, 1)
        add = FakeOperation.add(rule)
        modify = FakeOperation.modify(rule, ())
        replace = FakeOperation.replace(rule, ())
        delete = FakeOperation.delete(replace.rule)
        for operation in (add, modify, replace, delete):
            driver.inject(["fail", "1"])
            failing = FakeOperation(operation.kind, operation.rule, operation.old)
            self.run_operations(driver, host, failing)
            self.assertIsInstance(failing.completions[0], OpenFlowError)
            self.run_operations(driver, host, operation)
            self.assertTrue(operation.succeeded)

    def test_faults_cleared(self) -> None:
        """What was armed can be shown and cleared."""
        driver, host = self.started()
        driver.inject(["fail", "1"])
        self.assertIn("fail", driver.inject(["show"]))
        driver.inject(["clear"])
        self.assertNotIn("fail", driver.inject(["show"]))
        (rule,) = self.rules(driver, 1)
        add = FakeOperation.add(rule)
        self.run_operations(driver, host, add)
        self.assertTrue(add.succeeded)

    def test_stop_with_faults(self) -> None:
        """It stops also while an operation is stuck, lost or late."""
        driver, host = self.started()
        for words in (["stall", "3"], ["lose"], ["late", "1000", "2"]):
            driver.inject(words)
        driver.submit([FakeOperation.add(rule) for rule in self.rules(driver, 5)])
        self.stop(driver, host)
        self.assert_idle(host)

    def test_clog(self) -> None:
        """While clogged nothing ends, and afterwards everything does."""
        driver, host = self.started()
        if not _can_clog(driver):
            raise SkipTest("it cannot be clogged")
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 5)]
        driver.clog()
        driver.clog()
        self.assertTrue(driver.clogged)
        driver.submit(operations[:3])
        self.settle(host, lambda: False)
        host.reactor.advance(100)
        driver.submit(operations[3:])
        self.assertFalse(any(operation.done for operation in operations))
        driver.unclog()
        driver.unclog()
        self.assertFalse(driver.clogged)
        self.settle(host, lambda: all(operation.done for operation in operations))
        self.assertTrue(all(operation.succeeded for operation in operations))
