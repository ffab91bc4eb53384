"""Tests of :mod:`drivers.asic.numbered`, and of what the hardware makes of groups and meters."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, GroupAction, Output
from agent.openflow.errors import (
    INVALID_GROUP,
    METER_UNKNOWN,
    OUT_OF_GROUPS,
    OUT_OF_METERS,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.group_messages import Bucket, GroupType, MeterBand
from drivers.asic.driver import AsicDriver, create
from drivers.testing import FakeEntry, FakeGroup, FakeHost, FakeMeter, FakeOperation, FakeRule
from drivers.testing.frames import FRAME

PROFILE = """
name = "small"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 9 }]
groups = 2
meters = 1
[add]
base_ms = 125
[modify]
base_ms = 250
[delete]
base_ms = 62.5
"""


class NumberedTests(SynchronousTestCase):
    """Hardware with little room for groups and meters."""

    def setUp(self) -> None:
        """Power it on."""
        self.host = FakeHost()
        self.driver = self.make(PROFILE)

    def make(self, profile: str, **options: object) -> AsicDriver:
        """A driver with this profile, two ports and no jitter."""
        path = Path(self.mktemp() + ".toml")
        path.write_text(profile)
        driver = create(
            {"profile": str(path), **options}, [FakeEntry("1", 1), FakeEntry("2", 2)], []
        )
        driver.start(self.host)
        return driver

    def do(self, *operations: FakeOperation, seconds: float = 9.0) -> None:
        """Submit operations, and let time pass."""
        self.driver.submit(operations)
        self.host.reactor.advance(seconds)

    def error(self, operation: FakeOperation) -> ErrorCode:
        """Why an operation failed."""
        (error,) = operation.completions
        assert isinstance(error, OpenFlowError)
        return error.code

    def out(self) -> int:
        """How many packets come out of port 2 when one comes in at port 1."""
        port = self.driver.port(2)
        before = port.tx_packets
        self.driver.port(1).receive(FRAME)
        return port.tx_packets - before

    def test_capabilities(self) -> None:
        """It offers what there is room for, and nothing where there is none."""
        can = self.driver.capabilities
        self.assertEqual((can.max_groups, can.max_meters), (2, 1))
        self.assertEqual(can.group_types, set(GroupType))
        none = self.make(PROFILE.replace("groups = 2\nmeters = 1", "groups = 0\nmeters = 0"))
        can = none.capabilities
        self.assertEqual((can.group_types, can.max_groups, can.max_meters), (frozenset(), 0, 0))

    def test_time(self) -> None:
        """They take their time; packets meet them when they are finished, and not before."""
        rule = FakeRule(instructions=(ApplyActions((GroupAction(1),)),))
        self.do(FakeOperation.add(rule))
        group = FakeGroup(1, GroupType.INDIRECT, (Bucket(actions=(Output(2),)),))
        add = FakeOperation.add(group)
        self.do(add, seconds=0.1)
        self.assertEqual((add.done, self.out()), (False, 0))
        self.host.reactor.advance(0.05)
        self.assertEqual((add.succeeded, self.out()), (True, 1))
        drops = group.modified(GroupType.INDIRECT, Bucket())
        change = FakeOperation.change(group, drops)
        self.do(change, seconds=0.2)
        self.assertEqual((change.done, self.out()), (False, 1))
        self.host.reactor.advance(0.1)
        self.assertEqual((change.succeeded, self.out()), (True, 0))
        self.do(FakeOperation.delete(drops), seconds=0.07)
        self.assertEqual(self.driver.show()["groups"], "0/2")

    def test_meter(self) -> None:
        """Meters likewise."""
        meter = FakeMeter(7, 1, (MeterBand(1, 5),))
        for operation in (FakeOperation.add(meter), FakeOperation.change(meter, meter.modified(1))):
            self.do(operation)
            self.assertTrue(operation.succeeded)
        self.assertEqual(self.driver.show()["meters"], "1/1")
        self.do(FakeOperation.delete(meter))
        self.assertEqual(self.driver.show()["meters"], "0/1")

    def test_full(self) -> None:
        """What there is no room for is refused, until something goes."""
        groups = [FakeGroup(number) for number in (1, 2, 3)]
        meters = [FakeMeter(number) for number in (1, 2)]
        adds = [FakeOperation.add(group) for group in groups]
        adds += [FakeOperation.add(meter) for meter in meters]
        self.do(*adds)
        self.assertEqual([add.succeeded for add in adds], [True, True, False, True, False])
        self.assertEqual((self.error(adds[2]), self.error(adds[4])), (OUT_OF_GROUPS, OUT_OF_METERS))
        self.do(FakeOperation.delete(groups[0]))
        again = FakeOperation.add(groups[2])
        self.do(again)
        self.assertTrue(again.succeeded)

    def test_faults(self) -> None:
        """They can be made to fail, by their descriptions too, and take no room then."""
        for entry, text, code in (
            (FakeGroup(7), "group_id=7", INVALID_GROUP),
            (FakeMeter(8), "meter=8", METER_UNKNOWN),
        ):
            self.driver.inject(["fail", "match", f"add {text}"])
            add = FakeOperation.add(entry)
            self.do(add)
            self.assertIs(self.error(add), code)
        show = self.driver.show()
        self.assertEqual((show["groups"], show["meters"]), ("0/2", "0/1"))

    def test_stall(self) -> None:
        """One that stalls is finished when the fault is cleared."""
        self.driver.inject(["stall"])
        add = FakeOperation.add(FakeGroup(7))
        self.do(add)
        self.assertFalse(add.done)
        self.driver.inject(["clear"])
        self.host.reactor.advance(0)
        self.assertTrue(add.succeeded)

    def test_batch(self) -> None:
        """A group in between parts rules that would be written together."""
        text = PROFILE.replace("base_ms = 125", "base_ms = 125\nbatched_ms = 25", 1)
        self.driver = self.make("batch = 9\n" + text, scheduler="fifo")
        rules = [FakeRule(priority=number) for number in (1, 2)]
        operations = [
            FakeOperation.add(rules[0]),
            FakeOperation.add(FakeGroup(1)),
            FakeOperation.add(rules[1]),
        ]
        self.do(*operations, seconds=0.36)
        self.assertFalse(operations[2].done)
        self.host.reactor.advance(0.02)
        self.assertTrue(operations[2].succeeded)

    def test_by_packet(self) -> None:
        """SELECT shares out packets, if it is configured so."""
        self.driver = self.make(PROFILE, select="packet")
        self.assertTrue(self.driver.pipeline.groups.by_packet)
