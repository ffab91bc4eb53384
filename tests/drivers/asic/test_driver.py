"""Tests of :mod:`drivers.asic.driver`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from drivers.abilities import IHistory, IMemoryMap
from drivers.asic.driver import AsicDriver, create
from drivers.interfaces import OperationKind, OptionError
from drivers.registry import find
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule, RecallContractTests
from drivers.testing import FaultInjectionContractTests as _Contract
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from tests.drivers.software.contract import DevicePortsContractTests

PROFILE = """
name = "small"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 3, announced = 10 }, { id = 1, size = 5, name = "second" }]
[add]
base_ms = 125
[modify]
base_ms = 250
[delete]
base_ms = 62.5
"""


class QuantaContractTests(_Contract, RecallContractTests, SynchronousTestCase):
    """The ASIC keeps the contract with a profile that works on several operations at once."""

    factory = find("asic")
    options = {"profile": "quanta", "seed": 1}

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """Frames are put into a memory port."""
        driver.port(in_port).inject(frame)


class DevicePortsTests(DevicePortsContractTests, SynchronousTestCase):
    """It keeps the contract with ports on network devices, too."""

    factory = find("asic")
    options = {"profile": "quanta", "seed": 1}


class InstantContractTests(QuantaContractTests):
    """It keeps the contract when nothing takes any time, too."""

    options = {"profile": "instant"}


class LateContractTests(QuantaContractTests):
    """It keeps the contract while every confirmation is late."""

    options = {"profile": "instant", "faults": ["late 3 every 1"]}

    def test_faults_cleared(self) -> None:
        """What the configuration armed is shown, and can be cleared."""
        driver, _ = self.started()
        self.assertIn("late 3 every 1", driver.inject(["show"]))
        driver.inject(["clear"])
        self.assertNotIn("late", driver.inject(["show"]))

    def test_clog(self) -> None:
        """Late confirmations wait while it is clogged."""
        driver, host = self.started()
        (rule,) = self.rules(driver, 1)
        operation = FakeOperation.add(rule)
        driver.submit([operation])
        host.reactor.advance(0)
        driver.clog()
        host.reactor.advance(10)
        self.assertFalse(operation.done)
        driver.unclog()
        host.reactor.advance(0)
        self.assertTrue(operation.succeeded)


class AsicDriverTests(SynchronousTestCase):
    """What is this driver's own."""

    def started(self, **options: Any) -> tuple[AsicDriver, FakeHost]:
        """A driver with the small profile and two ports."""
        path = self.mktemp() + ".toml"
        with open(path, "w") as file:
            file.write(PROFILE)
        driver = create({"profile": path, **options}, [FakeEntry("p1", 1), FakeEntry("p2", 2)], [])
        host = FakeHost(miss_to_controller=False)
        driver.start(host)
        return driver, host

    def test_tables(self) -> None:
        """It offers what the profile announces, which need not be what there is."""
        driver, _ = self.started()
        self.assertEqual(
            [(t.table_id, t.name, t.max_entries) for t in driver.capabilities.tables],
            [(0, "tcam0", 10), (1, "second", 5)],
        )

    def test_full(self) -> None:
        """What is announced and is not there is refused by the hardware, in its own time."""
        driver, host = self.started()
        operations = [FakeOperation.add(FakeRule(Match.of(in_port=n))) for n in range(4)]
        driver.submit(operations)
        host.reactor.advance(0.375)
        self.assertEqual([operation.done for operation in operations], [True] * 3 + [False])
        host.reactor.advance(0.125)
        (error,) = operations[3].completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, TABLE_FULL)
        self.assertEqual(driver.show()["entries"], "0: 3/3, 1: 0/5")

    def test_forwards_what_is_confirmed(self) -> None:
        """A packet meets a rule from the moment in which it is confirmed, and not before."""
        driver, host = self.started()
        one, two = driver.port(1), driver.port(2)
        rule = FakeRule(Match.of(in_port=1), instructions=output(2))
        add = FakeOperation.add(rule)
        driver.submit([add])
        host.reactor.advance(0.0625)
        one.receive(FRAME)
        self.assertEqual(two.stats().tx_packets, 0)
        add.on_complete = lambda operation: one.receive(FRAME)
        host.reactor.advance(0.0625)
        self.assertEqual(two.stats().tx_packets, 1)

    def test_modify_in_place(self) -> None:
        """While an entry is being modified, packets meet it as it was."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), instructions=output(2))
        driver.submit([FakeOperation.add(rule)])
        host.reactor.advance(0.125)
        driver.submit([FakeOperation.modify(rule, ())])
        host.reactor.advance(0.1875)
        driver.port(1).receive(FRAME)
        self.assertEqual(driver.port(2).stats().tx_packets, 1)
        host.reactor.advance(0.0625)
        driver.port(1).receive(FRAME)
        self.assertEqual(driver.port(2).stats().tx_packets, 1)
        self.assertEqual(rule.counters.packets, 2)

    def test_wrong_options(self) -> None:
        """Each wrong option is named, with what is allowed."""
        for options, key, said in (
            ({"profile": "nonesuch"}, "profile", "quanta"),
            ({"profile": "./nonesuch.toml"}, "profile", "No such file"),
            ({"profile": 3}, "profile", "string"),
            ({"seed": -1}, "seed", "whole number"),
            ({"seed": "x"}, "seed", "whole number"),
            ({"faults": "fail 1"}, "faults", "list"),
            ({"faults": ["fail 1", "explode"]}, "faults[1]", "duplicate"),
            ({"faults": [7]}, "faults[0]", "duplicate"),
            ({"scheduler": "magic"}, "scheduler", "greedy"),
            ({"speed": 1}, "speed", "profile, seed, faults"),
        ):
            error = self.assertRaises(OptionError, create, options, [], [])
            self.assertEqual(error.key, key)
            self.assertIn(said, str(error))
            self.assertEqual(len(str(error).splitlines()), 1)

    def test_scheduler(self) -> None:
        """Rules get into the hardware in the cheap order, unless the configuration says otherwise;
        the operator sees which it is."""
        for policy, order in (("greedy", [2, 1, 0]), ("fifo", [0, 1, 2])):
            driver, host = self.started(scheduler=policy)
            ended: list[int] = []
            operations = [FakeOperation.add(FakeRule(Match.of(in_port=n), n)) for n in range(3)]
            for operation in operations:
                operation.on_complete = lambda o, ended=ended: ended.append(o.rule.priority)
            driver.submit(operations)
            host.reactor.advance(0.375)
            self.assertEqual(ended, order)
            self.assertEqual(driver.show()["scheduler"], policy)

    def test_default_scheduler(self) -> None:
        """Operations are sorted by default, but not among gaps, where that need not help."""
        for profile, policy in (
            ("quanta", "greedy"),
            ("descending", "greedy"),
            ("bothways", "fifo"),
        ):
            self.assertEqual(create({"profile": profile}, [], []).show()["scheduler"], policy)

    def test_show(self) -> None:
        """The operator sees the profile, the queue, the faults and how full it is."""
        driver, host = self.started(faults=["fail 3"])
        driver.submit([FakeOperation.add(FakeRule(Match.of(in_port=n))) for n in range(3)])
        host.reactor.advance(0.125)
        shown = driver.show()
        self.assertEqual(
            (shown["waiting"], shown["running"], shown["done"], shown["refused"]), (1, 1, 1, 0)
        )
        self.assertIn("small", str(shown["profile"]))
        self.assertEqual(shown["busy"], "0.125 s, 100% of the time")
        self.assertEqual((shown["moves"], shown["moves of each"]), (0, "0.0"))
        self.assertIn("fail 3", str(shown["faults"]))

    def test_memory_map(self) -> None:
        """It is known where in each table the entries lie."""
        driver, host = self.started()
        driver.submit([FakeOperation.add(FakeRule(Match.of(in_port=n), n)) for n in range(2)])
        host.reactor.advance(1)
        table, *_ = IMemoryMap(driver).memory_map()
        self.assertEqual((table.table_id, list(table.places)), (0, [(0, 1), (1, 0)]))
        self.assertEqual(table.size, driver.hardware.tables[0].size)

    def test_history(self) -> None:
        """It is known what the hardware did, is doing and has still to do."""
        driver, host = self.started(faults=["fail 2"])
        driver.submit([FakeOperation.add(FakeRule(Match.of(in_port=n), n)) for n in range(4)])
        host.reactor.advance(0.3)
        works = IHistory(driver).history()
        self.assertEqual([(one.kind, one.table_id) for one in works], [(OperationKind.ADD, 0)] * 4)
        self.assertEqual([one.arrived for one in works], [0.0] * 4)
        begun = [one.begun for one in works]
        finished = [one.finished for one in works]
        self.assertEqual((begun, finished), ([0.0, 0.125, 0.25, None], [0.125, 0.25, None, None]))
        self.assertEqual([bool(one.error) for one in works], [False, True, False, False])
        self.assertEqual(sum(one.moves for one in works), driver.hardware.writer.moves)

    def test_inject(self) -> None:
        """A fault that was armed is said, shown and cleared."""
        driver, _ = self.started()
        self.assertIn("fail every 2", driver.inject(["fail", "every", "2"]))
        self.assertIn("fail every 2", driver.inject(["show"]))
        self.assertEqual(driver.inject(["clear"]), "cleared")
        self.assertEqual(driver.inject(["show"]), "no faults are armed")
