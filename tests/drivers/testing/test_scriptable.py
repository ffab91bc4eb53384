"""Tests of :mod:`drivers.testing.scriptable`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.openflow.actions import ApplyActions, GroupAction, MeterInstruction, Output
from agent.openflow.errors import FLOW_MOD_UNKNOWN, PORT_BAD_PORT, TABLE_FULL, OpenFlowError
from agent.openflow.group_messages import Bucket
from agent.openflow.match import Match
from agent.openflow.messages import PortStats
from drivers.interfaces import (
    Capabilities,
    IDriver,
    IGroup,
    IMeter,
    OperationKind,
    TableCapabilities,
    TableCounters,
)
from drivers.testing import (
    FakeGroup,
    FakeHost,
    FakeMeter,
    FakeOperation,
    FakeRule,
    ScriptableDriver,
)


class ScriptableDriverTests(SynchronousTestCase):
    """A driver that does as a test says."""

    def setUp(self) -> None:
        """A driver that was given three additions, in two batches."""
        self.driver = ScriptableDriver()
        self.driver.start(FakeHost())
        self.rules = [FakeRule(Match.of(in_port=n)) for n in (1, 2, 3)]
        self.one, self.two, self.three = map(FakeOperation.add, self.rules)
        self.driver.submit([self.one, self.two])
        self.driver.submit([self.three])

    def test_interface(self) -> None:
        """It is a driver."""
        verifyObject(IDriver, self.driver)

    def test_holds(self) -> None:
        """What it is given it holds, in order, and remembers in which batches it came."""
        self.assertEqual(self.driver.in_flight, [self.one, self.two, self.three])
        self.assertEqual(self.driver.batches, [[self.one, self.two], [self.three]])
        self.assertEqual((self.driver.hardware, self.one.done), ({}, False))

    def test_finish(self) -> None:
        """An operation that is finished is in the hardware, and was completed once."""
        self.assertIs(self.driver.finish(), self.one)
        self.assertIs(self.driver.finish(self.three), self.three)
        self.assertTrue(self.one.succeeded and self.three.succeeded)
        self.assertEqual(self.driver.in_flight, [self.two])
        self.assertEqual(list(self.driver.hardware.values()), [self.rules[0], self.rules[2]])

    def test_in_the_hardware_before_it_is_known(self) -> None:
        """What an operation has changed is there when it is completed."""
        there: list[bool] = []
        self.one.on_complete = lambda operation: there.append(bool(self.driver.hardware))
        self.driver.finish()
        self.assertEqual(there, [True])

    def test_fail(self) -> None:
        """An operation that fails is completed with an error, and changes nothing."""
        self.driver.fail()
        self.driver.fail(error=OpenFlowError(TABLE_FULL))
        codes = [getattr(o.completions[0], "code", None) for o in (self.one, self.two)]
        self.assertEqual(codes, [FLOW_MOD_UNKNOWN, TABLE_FULL])
        self.assertEqual(self.driver.hardware, {})

    def test_duplicate(self) -> None:
        """An operation can be completed twice."""
        self.driver.duplicate(1)
        self.assertEqual(self.two.completions, [None, None])

    def test_lose(self) -> None:
        """An operation can be lost, done or not, and come back late."""
        self.driver.lose()
        self.driver.lose(self.two, done=True)
        self.assertEqual(list(self.driver.hardware.values()), [self.rules[1]])
        self.assertEqual((self.driver.in_flight, self.one.done), ([self.three], False))
        self.driver.finish(self.one)
        self.assertTrue(self.one.succeeded)
        self.assertEqual(self.driver.lost, [self.two])

    def test_recall(self) -> None:
        """What is given up is lost, or taken back for good; what was lost before stays lost."""
        first, second, third = self.one, self.two, self.three
        self.driver.lose(first)
        self.assertEqual(list(self.driver.recall([first, second])), [])
        self.assertEqual((self.driver.in_flight, self.driver.lost), ([third], [first, second]))
        self.driver.recalls = True
        self.assertEqual(list(self.driver.recall([first, third])), [third])
        self.assertEqual((self.driver.in_flight, self.driver.lost), ([], [first, second]))

    def test_not_there(self) -> None:
        """What is not in flight cannot be ended."""
        self.driver.finish(self.one)
        self.assertRaises(ValueError, self.driver.finish, self.one)
        self.assertRaises(IndexError, self.driver.finish, 7)

    def test_finish_all(self) -> None:
        """All can be finished at once, in any order, with what is submitted meanwhile."""
        ended: list[FakeOperation] = []
        more = FakeOperation.delete(self.rules[2])
        for operation in (self.one, self.two, self.three, more):
            operation.on_complete = ended.append

        def then(operation: FakeOperation) -> None:
            ended.append(operation)
            self.driver.submit([more])

        self.three.on_complete = then
        self.assertEqual(self.driver.finish_all([2]), 4)
        self.assertEqual(ended, [self.three, self.one, self.two, more])
        self.assertEqual(list(self.driver.hardware.values()), self.rules[:2])

    def test_instant(self) -> None:
        """It can complete everything at once."""
        self.driver.instant = True
        operation = FakeOperation.add(FakeRule(Match.of(in_port=9)))
        self.driver.submit([operation])
        self.assertTrue(operation.succeeded)

    def test_reads(self) -> None:
        """Reads are answered at once, or when the test says so, with what the test says."""
        stats = PortStats(1, rx_packets=5)
        self.driver.counters.append(stats)
        self.driver.lookups[0] = TableCounters(2, 1)
        self.assertEqual(self.successResultOf(self.driver.port_stats()), [stats])
        self.driver.hold_reads = True
        reads: list[Any] = [
            self.driver.refresh(self.rules),
            self.driver.port_stats(),
            self.driver.table_stats(),
        ]
        for read in reads:
            self.assertNoResult(read)
        self.driver.finish_reads()
        self.assertEqual(
            [self.successResultOf(read) for read in reads],
            [None, [stats], {0: TableCounters(2, 1)}],
        )
        self.assertEqual(self.driver.refreshed, [self.rules])

    def test_ports(self) -> None:
        """Its ports can be changed; what it returned before does not change with them."""
        before = self.driver.ports()
        self.assertEqual(self.driver.port_mod(2, 5, 4).config, 4)
        self.assertEqual([desc.config for desc in self.driver.ports()], [0, 4])
        self.assertEqual([desc.config for desc in before], [0, 0])
        error = self.assertRaises(OpenFlowError, self.driver.port_mod, 3, 0, 0)
        self.assertIs(error.code, PORT_BAD_PORT)

    def test_packet_out(self) -> None:
        """It remembers packets."""
        self.driver.packet_out(b"x", 1, (Output(2),))
        (packet,) = self.driver.packets
        self.assertEqual((packet.data, packet.in_port, packet.actions), (b"x", 1, (Output(2),)))

    def test_stop(self) -> None:
        """What is in flight when it stops is lost; reads that were held are answered."""
        self.driver.hold_reads = True
        read = self.driver.refresh([])
        self.successResultOf(self.driver.stop())
        self.successResultOf(read)
        self.assertEqual(self.driver.lost, [self.one, self.two, self.three])
        self.assertEqual(self.driver.violations, [])


class ViolationTests(SynchronousTestCase):
    """What the agent must not do is written down, and nothing else is."""

    def setUp(self) -> None:
        """A driver and a rule."""
        self.driver = ScriptableDriver()
        self.driver.start(FakeHost())
        self.rule = FakeRule(Match.of(in_port=1))

    def violated(self, *operations: FakeOperation) -> str:
        """What is said of a batch."""
        self.driver.submit(operations)
        return "; ".join(self.driver.violations)

    def test_good(self) -> None:
        """A rule's whole life is all right."""
        add = FakeOperation.add(self.rule)
        modify = FakeOperation.modify(add.rule, ())
        replace = FakeOperation.replace(modify.rule, ())
        for operation in (add, modify, replace, FakeOperation.delete(replace.rule)):
            self.assertEqual(self.violated(operation), "")
            self.driver.finish()

    def test_after_a_failure(self) -> None:
        """Nor is it wrong to try again what failed, or was lost."""
        for end in (self.driver.fail, self.driver.lose):
            self.assertEqual(self.violated(FakeOperation.add(self.rule)), "")
            end()

    def test_in_flight_together(self) -> None:
        """Two operations on one entry must not be in flight together, whatever their handles."""
        same = FakeRule(self.rule.match, self.rule.priority)
        operations = FakeOperation.delete(self.rule), FakeOperation.add(same)
        self.assertIn("in flight", self.violated(*operations))

    def test_in_other_tables(self) -> None:
        """In another table, or of another priority, it is another entry."""
        match = self.rule.match
        others = FakeRule(match, 1), FakeRule(match, 2), FakeRule(match, 1, table_id=1)
        self.assertEqual(self.violated(*map(FakeOperation.add, others)), "")

    def test_no_table(self) -> None:
        """An operation must be in a table that there is."""
        self.assertIn("table 9", self.violated(FakeOperation.add(FakeRule(table_id=9))))

    def test_old(self) -> None:
        """An ADD has no old rule; the others have it, with the same handle, and a MODIFY with the
        same counters."""
        rule = self.rule
        for operation, said in (
            (FakeOperation(OperationKind.ADD, rule, rule), "with an old rule"),
            (FakeOperation(OperationKind.DELETE, rule), "without the old rule"),
            (FakeOperation(OperationKind.MODIFY, rule, FakeRule()), "with the old rule of"),
            (FakeOperation(OperationKind.MODIFY, rule.replaced(()), rule), "other counters"),
        ):
            self.assertIn(said, self.violated(operation))
            self.driver.finish()
            self.driver.violations.clear()

    def test_not_offered(self) -> None:
        """A driver that offers neither groups nor meters is given none."""
        said = self.violated(FakeOperation.add(FakeGroup(1)), FakeOperation.add(FakeMeter(1)))
        self.assertIn("there are no groups", said)
        self.assertIn("there are no meters", said)

    def test_life(self) -> None:
        """It is started once, used between start and stop, and stopped once."""
        self.driver.start(FakeHost())
        self.driver.stop()
        self.driver.stop()
        self.driver.submit([])
        self.driver.packet_out(b"", 1, ())
        self.assertEqual(
            self.driver.violations,
            [
                "started twice",
                "stopped twice, or before it was started",
                "submit before start or after stop",
                "packet_out before start or after stop",
            ],
        )


class NumberedTests(SynchronousTestCase):
    """A driver with groups and meters, and what names them."""

    def setUp(self) -> None:
        """A driver that has a group, another which forwards to it, and a meter."""
        self.driver = ScriptableDriver(
            capabilities=Capabilities(
                (TableCapabilities(0, "table0", 9),),
                group_types=frozenset({0}),
                max_groups=9,
                max_meters=9,
            )
        )
        self.driver.start(FakeHost())
        self.group = FakeGroup(1)
        self.chain = FakeGroup(2, 0, (Bucket(actions=(GroupAction(1),)),))
        self.meter = FakeMeter(1)
        for entry in (self.group, self.chain, self.meter):
            self.do(FakeOperation.add(entry))
        self.rule = FakeRule(
            instructions=(MeterInstruction(1), ApplyActions((GroupAction(1), GroupAction(1))))
        )

    def do(self, operation: FakeOperation) -> None:
        """Submit an operation, and end it well."""
        self.driver.submit([operation])
        self.driver.finish(operation)

    def test_interfaces(self) -> None:
        """The stand-ins for groups and meters are what drivers are promised."""
        verifyObject(IGroup, self.chain)
        verifyObject(IMeter, self.meter)
        self.assertEqual(len(self.chain.bucket_counters), 1)

    def test_good(self) -> None:
        """What is named is there first, and goes last."""
        self.assertEqual(self.driver.groups, {1: self.group, 2: self.chain})
        self.do(FakeOperation.add(self.rule))
        self.do(FakeOperation.delete(self.rule))
        for entry in (self.chain, self.group, self.meter):
            self.do(FakeOperation.delete(entry))
        self.assertEqual((self.driver.groups, self.driver.meters), ({}, {}))
        self.assertEqual(self.driver.violations, [])

    def test_modified(self) -> None:
        """A change is not another entry."""
        self.do(FakeOperation.change(self.meter, self.meter.modified(1)))
        self.do(FakeOperation.change(self.group, self.group.modified(0, Bucket())))
        self.assertEqual(len(self.driver.groups[1].buckets), 1)
        self.assertEqual(self.driver.violations, [])

    def test_too_early(self) -> None:
        """Nothing may name what is not there yet."""
        rule = FakeRule(instructions=(MeterInstruction(8), ApplyActions((GroupAction(9),))))
        self.driver.submit([FakeOperation.add(rule)])
        said = "; ".join(self.driver.violations)
        self.assertIn("before group 9 is there", said)
        self.assertIn("before meter 8 is there", said)

    def test_too_late(self) -> None:
        """Nothing may go that is still named."""
        self.do(FakeOperation.add(self.rule))
        for entry in (self.group, self.meter):
            self.driver.violations.clear()
            self.driver.submit([FakeOperation.delete(entry)])
            self.assertIn("in use", "; ".join(self.driver.violations))
