"""Tests of :mod:`drivers.asic.resync`, through the driver."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import Output
from agent.openflow.errors import FLOW_MOD_UNKNOWN, INVALID_GROUP, OpenFlowError
from agent.openflow.group_messages import Bucket
from agent.openflow.match import Match
from drivers.asic.driver import AsicDriver, create
from drivers.asic.resync import REASON
from drivers.interfaces import OperationKind
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import FakeGroup, FakeMeter, output
from drivers.testing.frames import FRAME

PROFILE = """
name = "second"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 100 }]
[add]
base_ms = 1000
[modify]
base_ms = 1000
[delete]
base_ms = 1000
"""


class ResyncCase(SynchronousTestCase):
    """A driver whose hardware takes a second for anything."""

    def started(self, **options: Any) -> tuple[AsicDriver, FakeHost]:
        """A driver with two ports, and its host."""
        path = self.mktemp() + ".toml"
        with open(path, "w") as file:
            file.write(PROFILE)
        driver = create({"profile": path, **options}, [FakeEntry("p1", 1), FakeEntry("p2", 2)], [])
        host = FakeHost(miss_to_controller=False)
        driver.start(host)
        return driver, host

    def there(self, driver: AsicDriver) -> set[tuple[Match, Any]]:
        """What packets can meet in the table."""
        return {(rule.match, rule.instructions) for rule in driver.hardware.tables[0].rules}

    def installed(
        self, driver: AsicDriver, host: FakeHost, count: int, first: int = 1
    ) -> list[FakeRule]:
        """Rules that have been confirmed."""
        rules = [FakeRule(Match.of(in_port=first + n), 10 + n, 0, output(2)) for n in range(count)]
        host.expected.update({rule.handle: rule for rule in rules})
        driver.submit([FakeOperation.add(rule) for rule in rules])
        host.reactor.pump([1.0] * count)
        return rules


class ResetTests(ResyncCase):
    """What is lost, and how it comes back."""

    def test_comes_back(self) -> None:
        """All entries are gone at once, and come back at the speed of the hardware, each degraded
        until it is there."""
        driver, host = self.started(scheduler="fifo")
        rules = self.installed(driver, host, 3)
        self.assertIn("3 entries", driver.inject(["reset"]))
        self.assertEqual(self.there(driver), set())
        # One has taken its place already.
        self.assertEqual(len(driver.memory_map()[0].places), 1)
        self.assertEqual(host.degraded_rules, {rule.handle: REASON for rule in rules})
        for back in (1, 2, 3):
            host.reactor.advance(1)
            self.assertEqual(
                self.there(driver), {(rule.match, rule.instructions) for rule in rules[:back]}
            )
            self.assertEqual(list(host.degraded_rules), [rule.handle for rule in rules[back:]])
        self.assertEqual((driver.show()["resets"], driver.show()["missing"]), (1, 0))

    def test_forwards_what_is_there(self) -> None:
        """A packet does not meet an entry that is not back."""
        driver, host = self.started()
        self.installed(driver, host, 1)
        driver.inject(["reset"])
        driver.port(1).receive(FRAME)
        self.assertEqual(driver.port(2).stats().tx_packets, 0)
        host.reactor.advance(1)
        driver.port(1).receive(FRAME)
        self.assertEqual(driver.port(2).stats().tx_packets, 1)

    def test_order(self) -> None:
        """What waited and what comes later is done after what was lost, so that a barrier that
        follows it waits for all of it."""
        for policy in ("off", "fifo", "greedy"):
            driver, host = self.started(scheduler=policy)
            self.installed(driver, host, 2)
            rules = [FakeRule(Match.of(in_port=50 + n), 1) for n in range(3)]
            operations = [FakeOperation.add(rule) for rule in rules]
            driver.submit(operations[:2])
            driver.inject(["reset"])
            driver.submit(operations[2:])
            self.assertIsInstance(operations[0].completions[0], OpenFlowError)
            host.reactor.pump([1.0, 1.0])
            self.assertEqual((host.degraded_rules, operations[1].done), ({}, False))
            host.reactor.pump([1.0, 1.0])
            self.assertTrue(operations[1].succeeded and operations[2].succeeded)

    def test_in_flight(self) -> None:
        """What the hardware was working on fails, and is as it was before; what was being deleted
        is gone, and does not come back."""
        driver, host = self.started()
        changed, gone = self.installed(driver, host, 2)
        modify = FakeOperation.modify(changed, output(1))
        host.expected[changed.handle] = modify.rule
        driver.submit([modify])
        driver.inject(["reset"])
        (error,) = modify.completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, FLOW_MOD_UNKNOWN)
        host.expected[changed.handle] = changed
        host.reactor.pump([1.0, 1.0])
        self.assertIn((changed.match, output(2)), self.there(driver))
        delete = FakeOperation.delete(gone)
        del host.expected[gone.handle]
        driver.submit([delete])
        driver.inject(["reset"])
        self.assertTrue(delete.succeeded)
        host.reactor.pump([1.0, 1.0])
        self.assertEqual(self.there(driver), {(changed.match, output(2))})

    def test_modified_while_missing(self) -> None:
        """An operation on an entry that is not back makes it what it shall be; then it is not
        degraded any more."""
        for policy in ("fifo", "greedy"):
            driver, host = self.started(scheduler=policy)
            (rule,) = self.installed(driver, host, 1)
            driver.inject(["reset"])
            driver.hardware.reset()  # once more, before anything is back
            modify = FakeOperation.modify(rule, output(1))
            host.expected[rule.handle] = modify.rule
            driver.submit([modify])
            host.reactor.pump([1.0, 1.0])
            self.assertTrue(modify.succeeded)
            self.assertEqual(self.there(driver), {(rule.match, output(1))})
            self.assertEqual(host.degraded_rules, {})

    def test_unwanted(self) -> None:
        """What the agent does not want any more is not put back."""
        driver, host = self.started()
        rules = self.installed(driver, host, 2)
        del host.expected[rules[0].handle]
        driver.inject(["reset"])
        self.assertEqual(list(host.degraded_rules), [rules[1].handle])
        host.reactor.pump([1.0, 1.0])
        self.assertEqual(len(self.there(driver)), 1)

    def test_groups_and_meters(self) -> None:
        """Groups and meters are gone, too, and are back before the rules that name them."""
        driver, host = self.started()
        group, meter = FakeGroup(7, buckets=(Bucket(actions=(Output(2),)),)), FakeMeter(3)
        host.expected_groups[group.handle] = group
        host.expected_meters[meter.handle] = meter
        driver.submit([FakeOperation.add(group), FakeOperation.add(meter)])
        host.reactor.pump([1.0, 1.0])
        (rule,) = self.installed(driver, host, 1)
        doomed = FakeOperation.add(FakeGroup(8))
        driver.submit([doomed])
        driver.inject(["reset"])
        (error,) = doomed.completions
        assert isinstance(error, OpenFlowError)
        self.assertIs(error.code, INVALID_GROUP)
        self.assertEqual(len(driver.pipeline.groups), 0)
        self.assertEqual(len(driver.pipeline.meters), 0)
        self.assertEqual(list(host.degraded_rules), [meter.handle, group.handle, rule.handle])
        host.reactor.pump([1.0, 1.0])
        self.assertEqual(list(host.degraded_rules), [rule.handle])
        self.assertEqual([entry.group_id for entry in driver.pipeline.groups], [7])
        host.reactor.advance(1)
        self.assertEqual(host.degraded_rules, {})

    def test_clogged(self) -> None:
        """Halted hardware that is reset stays halted, and empty."""
        driver, host = self.started()
        self.installed(driver, host, 1)
        driver.clog()
        host.reactor.advance(5)
        driver.inject(["reset"])
        host.reactor.advance(5)
        self.assertEqual(self.there(driver), set())
        driver.unclog()
        host.reactor.advance(1)
        self.assertEqual(len(self.there(driver)), 1)

    def test_no_room(self) -> None:
        """An entry for which there is no room any more stays degraded, and says so."""
        driver, host = self.started()
        rules = self.installed(driver, host, 2)
        driver.hardware.tables[0].size = 1
        driver.inject(["reset"])
        host.reactor.pump([1.0, 1.0])
        ((_, reason),) = host.degraded_rules.items()
        self.assertIn("no room", reason)
        self.assertEqual((len(rules), driver.show()["missing"]), (2, 1))


class ResetFaultTests(ResyncCase):
    """Resets on demand."""

    def test_nth(self) -> None:
        """With a number it comes when that operation should be done, which fails; what is put back
        is not counted, so that it ends."""
        driver, host = self.started(faults=["reset every 3"], scheduler="fifo")
        rules = [FakeRule(Match.of(in_port=n + 1)) for n in range(4)]
        operations = [FakeOperation.add(rule) for rule in rules]
        host.expected.update({rule.handle: rule for rule in rules})

        def complete(operation: FakeOperation) -> None:
            if not operation.succeeded:
                del host.expected[operation.rule.handle]

        for operation in operations:
            operation.on_complete = complete
        driver.submit(operations)
        host.reactor.pump([1.0] * 3)
        self.assertEqual([o.done for o in operations], [True, True, True, False])
        self.assertIsInstance(operations[2].completions[0], OpenFlowError)
        self.assertEqual(len(host.degraded_rules), 2)
        host.reactor.pump([1.0] * 3)
        self.assertTrue(operations[3].succeeded)
        self.assertEqual((host.degraded_rules, len(self.there(driver))), ({}, 3))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "modify", "delete", "wait", "reset"]), st.integers(0, 5)
            ),
            max_size=30,
        ),
        st.sampled_from(["off", "fifo", "greedy"]),
    )
    def test_any(self, steps: list[tuple[str, int]], policy: str) -> None:
        """Whenever resets come, in the end the hardware has what the flow table says, and no entry
        is degraded."""
        driver, host = self.started(scheduler=policy)
        now: dict[int, FakeRule] = {}
        busy: set[int] = set()
        for number, (step, slot) in enumerate(steps):
            if step == "wait":
                host.reactor.advance(0.4 * (slot + 1))
            elif step == "reset":
                driver.inject(["reset"])
            elif slot not in busy and (step == "add") is (slot not in now):
                self.request(driver, host, now, busy, step, slot, number)
        host.reactor.pump([1.0] * (len(steps) + 12) * 2)
        self.assertEqual(busy, set())
        self.assertEqual(
            self.there(driver), {(rule.match, rule.instructions) for rule in now.values()}
        )
        degraded = {rule.handle for rule in now.values()} & host.degraded_rules.keys()
        self.assertEqual((degraded, driver.hardware.resync.missing), (set(), {}))

    def request(
        self,
        driver: AsicDriver,
        host: FakeHost,
        now: dict[int, FakeRule],
        busy: set[int],
        step: str,
        slot: int,
        number: int,
    ) -> None:
        """Change the table as the agent does: at once, and back when it fails."""
        old = now.get(slot)
        if old is None:
            rule = FakeRule(Match.of(in_port=slot + 1), slot, 0, output(number))
            operation = FakeOperation.add(rule)
        elif step == "modify":
            operation = FakeOperation.modify(old, output(number))
        else:
            operation = FakeOperation.delete(old)

        def show(rule: FakeRule | None) -> None:
            gone = now.pop(slot, None)
            if gone is not None:
                del host.expected[gone.handle]
            if rule is not None:
                now[slot] = host.expected[rule.handle] = rule

        def complete(operation: FakeOperation) -> None:
            busy.discard(slot)
            if not operation.succeeded:
                show(old)

        show(None if operation.kind is OperationKind.DELETE else operation.rule)
        busy.add(slot)
        operation.on_complete = complete
        driver.submit([operation])
