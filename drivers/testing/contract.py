"""The contract of :mod:`drivers.interfaces`, as tests that every driver passes.

The author of a driver writes a test case of their own::

    class AcmeContractTests(DriverContractTests, SynchronousTestCase):
        factory = DriverFactory("acme", "acme.ofagent", "Acme's switching chips")
        options = {"device": "/dev/null"}

A driver that waits for more than timers overrides
:meth:`~drivers.testing.harness.ContractHarness.settle`, and one that forwards frames without any
hardware overrides :meth:`~drivers.testing.harness.ContractHarness.receive`, which brings the tests
of counters to life.  One that cannot match an IPv4 address overrides
:meth:`~drivers.testing.harness.ContractHarness.rules`.
"""

from __future__ import annotations

import time
from typing import Any

import attrs
from twisted.trial.unittest import SkipTest
from zope.interface.verify import verifyObject

from agent.openflow.actions import (
    Action,
    ApplyActions,
    GroupAction,
    MeterInstruction,
    Output,
)
from agent.openflow.errors import PORT_BAD_PORT, OpenFlowError
from agent.openflow.group_messages import Bucket, GroupType, MeterBand, MeterFlags
from agent.openflow.match import Match
from agent.openflow.messages import Port, PortDesc, PortStats
from drivers.interfaces import (
    ALL_FIELDS,
    Capabilities,
    IDriver,
    OptionError,
    TableCounters,
)
from drivers.plugin import IDriverFactory
from drivers.testing.counting import CountingContractTests
from drivers.testing.fakes import (
    FakeEntry,
    FakeGroup,
    FakeHost,
    FakeMeter,
    FakeOperation,
    FakeRule,
    output,
)
from drivers.testing.frames import ODD_FRAMES
from drivers.testing.given_up import GivenUpContractTests

PORT_DOWN = 1
"""``OFPPC_PORT_DOWN``."""


class DriverContractTests(CountingContractTests, GivenUpContractTests):
    """What must be true of every driver."""

    def test_factory(self) -> None:
        """The factory provides its interface, and says its name and what it makes."""
        verifyObject(IDriverFactory, self.factory)
        self.assertTrue(self.factory.name)
        self.assertEqual(len(self.factory.description.splitlines()), 1)

    def test_interface(self) -> None:
        """The driver provides its interface, and has its factory's name."""
        driver, _ = self.started()
        verifyObject(IDriver, driver)
        self.assertEqual(driver.name, self.factory.name)

    def test_unknown_option(self) -> None:
        """An option that it does not know is refused, in one line that names it."""
        error = self.assertRaises(OptionError, self.make, no_such_option=17)
        self.assertEqual((error.key, error.value), ("no_such_option", 17))
        self.assertTrue(error.allowed)
        self.assertEqual(len(str(error).splitlines()), 1)

    def test_independent(self) -> None:
        """Two drivers of one factory have nothing in common: each forgets nothing of the other."""
        one, host = self.started()
        two, other = self.started()
        (rule,) = self.rules(one, 1)
        operation = FakeOperation.add(rule)
        one.submit([operation])
        self.stop(two, other)
        self.settle(host, lambda: operation.done)
        self.assertTrue(operation.succeeded)

    def test_capabilities(self) -> None:
        """What it says it can do makes sense, and stays the same once it was started."""
        driver, _ = self.started()
        capabilities = driver.capabilities
        self.assertIsInstance(capabilities, Capabilities)
        ids = [table.table_id for table in capabilities.tables]
        self.assertEqual(ids[0], 0)
        self.assertEqual(ids, sorted(set(ids)))
        self.assertLessEqual(ids[-1], 254)
        for table in capabilities.tables:
            self.assertTrue(0 < len(table.name) <= 31, table.name)
            self.assertGreater(table.max_entries, 0)
            self.assertEqual(table.match_mask & ~ALL_FIELDS, 0)
            self.assertEqual(table.exact_mask & ~table.match_mask, 0)
            for actions in (table.actions, table.write_actions):
                self.assertTrue(all(issubclass(action, Action) for action in actions or ()))
        for port in capabilities.reserved_ports:
            self.assertIn(port, list(Port))
        self.assertEqual(driver.capabilities, capabilities)

    def test_tables_restricted(self) -> None:
        """An entry of ``[[bridge.table]]`` names a table and makes it smaller."""
        driver = self.factory.create(
            self.options, self.port_entries, [FakeEntry("mine", id=0, size=1)]
        )
        first = driver.capabilities.tables[0]
        self.assertEqual((first.name, first.max_entries), ("mine", 1))

    def test_ports(self) -> None:
        """The ports are there when it was started, in the order of their numbers."""
        driver, _ = self.started()
        ports = driver.ports()
        numbers = [port.port_no for port in ports]
        self.assertEqual(numbers, sorted(set(numbers)))
        for entry in self.port_entries:
            self.assertIn(entry.number, numbers)
        for port in ports:
            self.assertIsInstance(port, PortDesc)
            self.assertTrue(0 < port.port_no < Port.MAX or port.port_no == Port.LOCAL)
            self.assertTrue(0 <= port.hw_addr < 1 << 48)
            self.assertTrue(0 < len(port.name) <= 15, port.name)

    def test_nothing_to_do(self) -> None:
        """To submit nothing does nothing."""
        driver, _ = self.started()
        driver.submit([])

    def test_each_completed_once(self) -> None:
        """Every operation is completed, well, and once."""
        driver, host = self.started()
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 20)]
        self.run_operations(driver, host, *operations[:15])
        self.run_operations(driver, host, *operations[15:])
        self.settle(host, lambda: False)
        for operation in operations:
            self.assertEqual(operation.completions, [None])

    def test_every_kind(self) -> None:
        """An entry can be added, modified, replaced and deleted, and then added again."""
        driver, host = self.started()
        (rule,) = self.rules(driver, 1)
        add = FakeOperation.add(rule)
        modify = FakeOperation.modify(add.rule, output(1))
        replace = FakeOperation.replace(modify.rule, output(2))
        delete = FakeOperation.delete(replace.rule)
        again = FakeOperation.add(FakeRule(rule.match, rule.priority))
        for operation in (add, modify, replace, delete, again):
            self.run_operations(driver, host, operation)
            self.assertTrue(operation.succeeded, f"{operation.kind}: {operation.completions}")

    def test_numbered(self) -> None:
        """Groups and meters, where it offers them, can be added, modified and deleted, and named by
        rules; what it says of them makes sense."""
        driver, host = self.started()
        can = driver.capabilities
        entries: list[tuple[Any, Any]] = []
        self.assertEqual(bool(can.group_types), bool(can.max_groups))
        for kind in can.group_types:
            watch = {"watch_port": 1} if kind == GroupType.FF else {}
            bucket = Bucket(int(kind == GroupType.SELECT), actions=(Output(1),), **watch)
            group = FakeGroup(kind + 1, kind, (bucket,))
            entries.append((group, group.modified(kind, attrs.evolve(bucket, actions=()))))
        if can.max_meters:
            unit = MeterFlags.KBPS if can.meter_flags & MeterFlags.KBPS else MeterFlags.PKTPS
            bands = tuple(MeterBand(kind, 1000) for kind in can.band_types)[: can.max_bands]
            meter = FakeMeter(1, unit, bands)
            entries.append((meter, meter.modified(unit)))
        for entry, changed in entries:
            (rule,) = self.rules(driver, 1)
            named = rule.modified(
                (MeterInstruction(entry.meter_id),)
                if isinstance(entry, FakeMeter)
                else (ApplyActions((GroupAction(entry.group_id),)),)
            )
            for operation in (
                FakeOperation.add(entry),
                FakeOperation.add(named),
                FakeOperation.change(entry, changed),
                FakeOperation.delete(named),
                FakeOperation.delete(changed),
                FakeOperation.add(entry),
            ):
                self.run_operations(driver, host, operation)
                self.assertTrue(operation.succeeded, f"{operation}: {operation.completions}")
            self.assertIsNone(self.wait(host, driver.refresh([entry])))

    def test_full(self) -> None:
        """In a table that is full there is room when a deletion was completed."""
        driver = self.factory.create(
            dict(self.options), self.port_entries, [FakeEntry("small", id=0, size=2)]
        )
        host = FakeHost(reactor=self.make_reactor())
        driver.start(host)
        self.addCleanup(self.stop, driver, host)
        size = driver.capabilities.tables[0].max_entries
        there, *others = (FakeOperation.add(rule) for rule in self.rules(driver, size + 1))
        self.run_operations(driver, host, there, *others[:-1])
        gone = FakeOperation.delete(there.rule)
        for operation in (gone, others[-1]):
            self.run_operations(driver, host, operation)
        for operation in (there, gone, *others):
            self.assertTrue(operation.succeeded, f"{operation.kind}: {operation.completions}")

    def test_deleted_again(self) -> None:
        """To delete what is gone is to succeed: a deletion of which it was not known that it had
        succeeded may come again."""
        driver, host = self.started()
        (rule,) = self.rules(driver, 1)
        self.run_operations(driver, host, FakeOperation.add(rule))
        for operation in (FakeOperation.delete(rule), FakeOperation.delete(rule)):
            self.run_operations(driver, host, operation)
            self.assertTrue(operation.succeeded, operation.completions)

    def test_does_not_sleep(self) -> None:
        """It returns from submit, however much it is given, without waiting for anything."""
        driver, _ = self.started()
        self.patch(time, "sleep", lambda seconds: self.fail(f"slept {seconds} s"))
        driver.submit([FakeOperation.add(rule) for rule in self.rules(driver, 200)])

    def test_submit_after_completion(self) -> None:
        """More can be submitted in the turn in which something was completed."""
        driver, host = self.started()
        first, second = self.rules(driver, 2)
        one, two = FakeOperation.add(first), FakeOperation.add(second)

        def more(operation: FakeOperation) -> None:
            host.reactor.callLater(0, driver.submit, [two])

        one.on_complete = more
        driver.submit([one])
        self.settle(host, lambda: two.done)
        self.assertTrue(one.succeeded and two.succeeded)

    def test_priorities_apart(self) -> None:
        """Rules with the same match and different priorities are different entries."""
        driver, host = self.started()
        match = Match.of(in_port=1)
        low, high = FakeRule(match, 1), FakeRule(match, 2)
        operations = [FakeOperation.add(low), FakeOperation.add(high)]
        self.run_operations(driver, host, *operations)
        gone = FakeOperation.delete(high)
        self.run_operations(driver, host, gone)
        last = FakeOperation.modify(low, output(1))
        self.run_operations(driver, host, last)
        for operation in (*operations, gone, last):
            self.assertTrue(operation.succeeded)

    def test_refresh(self) -> None:
        """Counters can be brought up to date: of no rule, of some, of one that is not there."""
        driver, host = self.started()
        rules = self.rules(driver, 4)
        self.run_operations(driver, host, *(FakeOperation.add(rule) for rule in rules[:3]))
        for some in ([], rules[:2], rules):
            self.assertIsNone(self.wait(host, driver.refresh(some)))

    def test_port_stats(self) -> None:
        """The counters of ports come for ports that there are, each once."""
        driver, host = self.started()
        stats = self.wait(host, driver.port_stats())
        numbers = [port.port_no for port in stats]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertLessEqual(set(numbers), {port.port_no for port in driver.ports()})
        for port in stats:
            self.assertIsInstance(port, PortStats)
        if driver.capabilities.counts_ports:
            self.assertEqual(len(numbers), len(driver.ports()))

    def test_table_stats(self) -> None:
        """The counters of tables come for tables that there are, and none matched more than it
        looked up."""
        driver, host = self.started()
        stats = self.wait(host, driver.table_stats())
        self.assertLessEqual(set(stats), {t.table_id for t in driver.capabilities.tables})
        for counters in stats.values():
            self.assertIsInstance(counters, TableCounters)
            self.assertLessEqual(counters.matches, counters.lookups)

    def test_port_mod_unknown(self) -> None:
        """A change of a port that there is not is BAD_PORT."""
        driver, _ = self.started()
        error = self.assertRaises(OpenFlowError, driver.port_mod, 0xFE00, 0, 0)
        self.assertIs(error.code, PORT_BAD_PORT)

    def test_port_mod(self) -> None:
        """A port can be taken down and up, and says so; what is not in the mask stays."""
        driver, host = self.started()
        if not driver.ports():
            raise SkipTest("there are no ports")
        number = driver.ports()[0].port_no
        for config in (PORT_DOWN, 0):
            desc = driver.port_mod(number, config, PORT_DOWN)
            self.assertEqual(desc.port_no, number)
            self.assertEqual(desc.config & PORT_DOWN, config)
            self.assertEqual(driver.ports()[0].config, desc.config)
            self.assertEqual(driver.port_mod(number, PORT_DOWN ^ config, 0).config, desc.config)
        self.assertEqual(host.port_statuses, [])

    def test_packet_out(self) -> None:
        """No frame makes packet_out raise, wherever it shall go and come from."""
        driver, _ = self.started()
        ports = [1, 2, 0xFE00, *sorted(driver.capabilities.reserved_ports)]
        for frame in ODD_FRAMES:
            for in_port in (1, 0xFE00, Port.CONTROLLER, Port.ANY):
                driver.packet_out(frame, in_port, tuple(Output(port, 0xFFFF) for port in ports))
            driver.packet_out(frame, Port.CONTROLLER, ())

    def test_show(self) -> None:
        """What it shows to the operator is printable, under names in lower case."""
        driver, _ = self.started()
        for name, value in driver.show().items():
            self.assertEqual(name, name.lower())
            self.assertTrue(str(value).isprintable() or value == "", name)

    def test_stop(self) -> None:
        """When it has stopped, nothing is left in the reactor."""
        driver, host = self.started()
        self.run_operations(driver, host, *(FakeOperation.add(r) for r in self.rules(driver, 3)))
        self.stop(driver, host)
        self.assert_idle(host)

    def test_stop_in_flight(self) -> None:
        """Also when operations are in flight; they end at most once, then or before."""
        driver, host = self.started()
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 30)]
        driver.submit(operations)
        self.stop(driver, host)
        self.assert_idle(host)
        for operation in operations:
            self.assertLessEqual(len(operation.completions), 1)

    def assert_idle(self, host: FakeHost) -> None:
        """The reactor has neither timers nor descriptors left."""
        self.assertEqual(host.reactor.getDelayedCalls(), [])
        for name in ("getReaders", "getWriters"):
            if hasattr(host.reactor, name):
                self.assertEqual(list(getattr(host.reactor, name)()), [])
