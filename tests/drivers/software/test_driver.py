"""Tests of :mod:`drivers.software.driver`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from drivers.interfaces import OptionError
from drivers.registry import find
from drivers.software.driver import DEFAULT_MASKS, SoftwareDriver, create
from drivers.testing import (
    DriverContractTests,
    FakeEntry,
    FakeHost,
    FakeOperation,
    FakeRule,
)
from tests.drivers.software.contract import DevicePortsContractTests


class SoftwareContractTests(DriverContractTests, SynchronousTestCase):
    """The software driver keeps the contract."""

    factory = find("software")

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """Frames are put into a memory port."""
        driver.port(in_port).inject(frame)


class DevicePortsTests(DevicePortsContractTests, SynchronousTestCase):
    """It keeps it with ports on network devices, too."""

    factory = find("software")


class SoftwareDriverTests(SynchronousTestCase):
    """What is this driver's own."""

    def started(self, options: dict[str, Any] | None = None) -> SoftwareDriver:
        """A driver with two ports."""
        driver = create(options or {}, [FakeEntry("p1", 1), FakeEntry("p2", 2)], [])
        driver.start(FakeHost())
        return driver

    def test_at_once(self) -> None:
        """Every operation is done when submit returns."""
        driver = self.started()
        rule = FakeRule(Match.of(in_port=1))
        add = FakeOperation.add(rule)
        delete = FakeOperation.delete(rule)
        driver.submit([add])
        self.assertTrue(add.succeeded)
        self.assertEqual(driver.show()["rules"], 1)
        driver.submit([delete])
        self.assertTrue(delete.succeeded)
        self.assertEqual(driver.show()["rules"], 0)

    def test_full(self) -> None:
        """What does not fit is TABLE_FULL; what is there can still be changed."""
        driver = self.started({"size": 1})
        rule = FakeRule(Match.of(in_port=1))
        driver.submit([FakeOperation.add(rule)])
        second = FakeOperation.add(FakeRule(Match.of(in_port=2)))
        change = FakeOperation.replace(rule, ())
        driver.submit([second, change])
        (error,) = second.completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, TABLE_FULL)
        self.assertTrue(change.succeeded)

    def test_masks(self) -> None:
        """More masks than a packet shall be looked up by are TABLE_FULL, in each table, but for the
        agent's own rules; room for one is there again when the last rule of another is gone."""
        driver = self.started({"masks": 2, "tables": 2})

        def add(bit: int, priority: int = 1, value: int = 0, table_id: int = 0) -> FakeOperation:
            match = Match(1 << bit, value << bit)
            operation = FakeOperation.add(FakeRule(match, priority, table_id))
            driver.submit([operation])
            return operation

        first = add(0)
        self.assertTrue(first.succeeded)
        self.assertTrue(add(1).succeeded)
        (error,) = add(2).completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, TABLE_FULL)
        self.assertTrue(add(1, value=1).succeeded)
        self.assertTrue(add(2, table_id=1).succeeded)
        own = add(3, priority=0x10000)
        self.assertTrue(own.succeeded)
        self.assertEqual(driver.show()["masks"], "0: 3/2, 1: 1/2")
        driver.submit([FakeOperation.delete(own.rule), FakeOperation.delete(first.rule)])
        self.assertTrue(add(2).succeeded)
        self.assertFalse(add(0).succeeded)

    def test_flood_of_masks(self) -> None:
        """However many a controller tries, a packet is looked up by so many only."""
        driver = self.started({"tables": 1})
        masks = [FakeOperation.add(FakeRule(Match(number, 0))) for number in range(1, 3000)]
        driver.submit(masks)
        self.assertEqual(sum(operation.succeeded for operation in masks), DEFAULT_MASKS)

    def test_default_tables(self) -> None:
        """There are 254 tables of a million rules unless told otherwise."""
        tables = self.started().capabilities.tables
        self.assertEqual([table.table_id for table in tables], list(range(254)))
        self.assertEqual({table.max_entries for table in tables}, {1_000_000})
        self.assertEqual(len(self.started({"tables": 3}).capabilities.tables), 3)

    def test_wrong_options(self) -> None:
        """A wrong number of tables is refused, and so is a table that there is not."""
        for value in (0, 255, "many", True, 1.5):
            error = self.assertRaises(OptionError, create, {"tables": value}, [], [])
            self.assertEqual((error.key, error.value), ("tables", value))
        error = self.assertRaises(OptionError, create, {"tables": 2}, [], [FakeEntry(id=2)])
        self.assertEqual((error.key, error.value), ("table.id", 2))
        self.assertIn("0-1", error.allowed)
        error = self.assertRaises(OptionError, create, {"size": 10}, [], [FakeEntry(id=0, size=11)])
        self.assertEqual((error.key, error.value), ("table.size", 11))

    def test_port_type(self) -> None:
        """A type of port that it does not have is refused, in words that say which it has."""
        error = self.assertRaises(OptionError, create, {}, [FakeEntry("eth0", 1, type="bond")], [])
        self.assertEqual((error.key, error.value), ("port.type", "bond"))
        self.assertIn("memory", error.allowed)
        self.assertIn("eth0", error.allowed)
