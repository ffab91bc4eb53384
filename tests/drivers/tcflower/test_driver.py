"""Tests of :mod:`drivers.tcflower.driver`: the contract, with a kernel of our own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, GroupAction, Output
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import Match
from agent.openflow.messages import Port
from drivers.interfaces import OptionError
from drivers.plugin import DriverFactory
from drivers.software import link, system
from drivers.software.port import NO_FLOOD, PORT_DOWN
from drivers.tcflower import pack
from drivers.tcflower.driver import block_of
from drivers.tcflower.places import FREE_CHAINS, LAST, UPCALL_CHAIN, place
from drivers.tcflower.qdisc import RTM_NEWQDISC
from drivers.testing import (
    DriverContractTests,
    FakeEntry,
    FakeGroup,
    FakeHost,
    FakeOperation,
    FakeRule,
)
from drivers.testing.fakes import output
from drivers.testing.harness import ContractHarness
from tests.drivers.software.kernel import RUNNING
from tests.drivers.tcflower.kernel import FakeTcKernel

FACTORY = DriverFactory("tcflower", "drivers.tcflower.driver", "tc flower")


class TcFlowerHarness(ContractHarness):
    """A driver and its kernel.  Port 1 and 2 have a device, port 3 has none."""

    factory = FACTORY
    port_entries = tuple(FakeEntry(f"eth{n}", n, type="netdev") for n in (1, 2, 3))

    def setUp(self) -> None:
        """A kernel with devices."""
        super().setUp()
        self.reactor: Any = MemoryReactorClock()
        self.kernel = FakeTcKernel()
        for name in ("eth1", "eth2"):
            self.kernel.add(name)
        self.patch(system, "SYSTEM", self.kernel)

    def make_reactor(self) -> Any:
        """One that knows descriptors."""
        return self.reactor

    def started(self, **options: Any) -> tuple[Any, FakeHost]:
        """A device belongs to one driver: another has another."""
        if self.kernel.qdiscs:
            self.patch(self, "port_entries", (FakeEntry("eth4", 4, type="netdev"),))
            self.patch(self, "bridge", "br1")
            self.kernel.add("eth4")
        return super().started(**options)

    def settle(self, host: FakeHost, done: Callable[[], bool]) -> None:
        """Let the kernel answer; what is looked at now and then is not waited for."""
        for _ in range(200):
            if done():
                return
            self.kernel.pump(self.reactor)
            self.reactor.advance(0)

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """A packet comes in by a device: the filters of the contract's rules count it."""
        name = f"eth{in_port}"
        for block in self.kernel.blocks.values():
            for installed in sorted(block.values(), key=lambda one: one.key):
                if installed.key[:2] != (0, 0xFFFF) and installed.indev == name:
                    self.kernel.hit(installed, 1, len(frame) - 14)
                    return


class TcFlowerContractTests(TcFlowerHarness, DriverContractTests, SynchronousTestCase):
    """What is true of every driver."""


class HostTests(TcFlowerHarness, SynchronousTestCase):
    """What happens when the host cannot."""

    def test_no_capability(self) -> None:
        """Without CAP_NET_ADMIN there is one clear sentence, and nothing stays open."""
        self.kernel.tc = lambda kind, flags, message: (errno.EPERM, "")  # type: ignore[method-assign]
        error = self.assertRaises(OSError, self.started)
        self.assertIn("CAP_NET_ADMIN", str(error))
        self.assertEqual(self.kernel.descriptors, {})

    def test_no_flower(self) -> None:
        """Nor without the classifier; the devices are as they were."""
        self.kernel.refuse = lambda key: (errno.ENOENT, "TC classifier not found")
        error = self.assertRaises(OSError, self.started)
        self.assertIn("cls_flower", str(error))
        self.assertEqual(self.kernel.qdiscs, {})

    def test_no_second_device(self) -> None:
        """Nor where one of the devices cannot be had; what an earlier run has left stays."""
        tc = self.kernel.tc
        first, second = (self.kernel.devices[name].index for name in ("eth1", "eth2"))

        def refuse(kind: int, flags: int, message: bytes) -> tuple[int, str]:
            if kind == RTM_NEWQDISC and pack.TCMSG.unpack_from(message, 16)[1] == second:
                return errno.EINVAL, "no"
            return tc(kind, flags, message)

        self.kernel.tc = refuse  # type: ignore[method-assign]
        error = self.assertRaises(OSError, ContractHarness.started, self)
        self.assertIn("eth2", str(error))
        self.assertEqual(self.kernel.qdiscs, {})
        self.kernel.qdiscs[first] = block_of("br0")
        self.kernel.blocks[block_of("br0")] = {}
        self.assertRaises(OSError, ContractHarness.started, self)
        self.assertEqual(list(self.kernel.qdiscs), [first])

    def test_second(self) -> None:
        """Two of one name do not share a block: the second is told which bridge, and by whom, and
        changes nothing; when the first has stopped it may have it."""
        driver, host = ContractHarness.started(self)
        before, there = dict(self.kernel.descriptors), dict(self.kernel.blocks[block_of("br0")])
        error = self.assertRaises(OSError, ContractHarness.started, self)
        self.assertIn("bridge br0", str(error))
        self.assertIn("another process", str(error))
        self.assertEqual(self.kernel.descriptors, before)
        self.assertEqual(self.kernel.blocks[block_of("br0")], there)
        self.stop(driver, host)
        self.assertEqual(self.kernel.descriptors, {})
        self.stop(*ContractHarness.started(self))

    def test_others(self) -> None:
        """A device whose qdisc is somebody else's is left alone, and named."""
        self.kernel.qdiscs[self.kernel.devices["eth2"].index] = 99
        error = self.assertRaises(OSError, ContractHarness.started, self)
        self.assertIn("eth2", str(error))
        self.assertEqual(set(self.kernel.qdiscs.values()), {99})

    def test_stopped(self) -> None:
        """At the end the qdiscs go, and the filters with them; or all of it stays."""
        for keep in (False, True):
            driver, host = self.started(keep_rules=keep)
            self.stop(driver, host)
            self.assertEqual(bool(self.kernel.qdiscs), keep)
            self.assertEqual(bool(self.kernel.blocks), keep)

    def test_left_over(self) -> None:
        """What a run has left goes when the next one starts, if that is the policy."""
        driver, host = self.started(keep_rules=True)
        (rule,) = self.rules(driver, 1)
        self.run_operations(driver, host, FakeOperation.add(rule))
        self.stop(driver, host)
        left = len(self.filters())
        ContractHarness.started(self, left_rules="remove")
        self.assertEqual(len(self.filters()), left - 1)

    def test_options(self) -> None:
        """Wrong options are named."""
        for options in ({"mode": "fast"}, {"keep_rules": 1}, {"unsupported": "ignore"}):
            error = self.assertRaises(OptionError, self.make, **options)
            self.assertEqual([error.key], list(options))

    def filters(self) -> list[Any]:
        """What is in the kernel."""
        return [one for block in self.kernel.blocks.values() for one in block.values()]


class OperationTests(TcFlowerHarness, SynchronousTestCase):
    """Rules and what the kernel makes of them."""

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.driver, self.host = self.started()

    def keys(self) -> list[tuple[int, int, int]]:
        """Where there are filters, but for the ends of chains and the ways to the software."""
        return sorted(
            key
            for block in self.kernel.blocks.values()
            for key in block
            if key[1] != LAST and key[0] != UPCALL_CHAIN
        )

    def run_one(self, operation: FakeOperation) -> Exception | None:
        """Let an operation be done; returns its error."""
        self.run_operations(self.driver, self.host, operation)
        self.assertEqual(len(operation.completions), 1)
        return operation.completions[0]

    def test_rollback_tail(self) -> None:
        """A rule with a tail of its own is all or nothing, too, when it is added and when it is
        changed, whichever of all filters is refused; there is nothing left to be found later."""
        other = output(1)
        rule = FakeRule(Match.of(eth_type=0x806), 40000, instructions=output(2))
        add, change = FakeOperation.add(rule), FakeOperation.modify(rule, other)
        for operation, old in ((add, None), (change, rule)):
            refusals = 0
            for refused in range(4):
                if old is not None and not refused:
                    self.assertIsNone(self.run_one(FakeOperation.add(old)))
                before = self.keys()
                left = [refused]

                def refuse(key: Any, left: list[int] = left) -> tuple[int, str]:
                    left[0] -= 1
                    return (errno.ENOMEM, "no") if left[0] == -1 else (0, "")

                self.kernel.refuse = refuse
                again = FakeOperation(operation.kind, operation.rule, operation.old)
                if self.run_one(again) is None:
                    self.assertGreaterEqual(refused, 3)
                    break
                refusals += 1
                self.assertEqual(self.keys(), before)
            self.assertEqual(refusals, 3)
            self.kernel.refuse = lambda key: (0, "")
            self.assertIsNone(self.run_one(FakeOperation.delete(again.rule)))
            self.assertEqual(self.keys(), [])

    def test_rollback(self) -> None:
        """A rule of several filters is all or nothing, whichever of them is refused."""
        rule = FakeRule(Match.of(vlan_vid=0x1005, in_port=1), 9, instructions=output(2))
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        there = self.keys()
        self.assertGreater(len(there), 1)
        self.assertIsNone(self.run_one(FakeOperation.delete(rule)))
        self.assertEqual(self.keys(), [])
        for refused in range(len(there)):
            left = [refused]

            def refuse(key: Any, left: list[int] = left) -> tuple[int, str]:
                left[0] -= 1
                return (errno.ENOMEM, "no") if left[0] == -1 else (0, "")

            self.kernel.refuse = refuse
            error = self.run_one(FakeOperation.add(FakeRule(rule.match, 9, 0, output(2))))
            self.assertIn("no", str(error))
            self.assertEqual(self.keys(), [])

    def test_rollback_of_a_change(self) -> None:
        """When a change is refused, the rule is as it was, and counts on."""
        rule = FakeRule(Match.of(in_port=1), 9, instructions=output(2))
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        there = self.keys()
        self.kernel.refuse = lambda key: (errno.EINVAL, "")
        self.assertIsNotNone(self.run_one(FakeOperation.modify(rule, ())))
        self.assertEqual(self.keys(), there)
        self.kernel.refuse = lambda key: (0, "")
        self.assertIsNone(self.run_one(FakeOperation.delete(rule)))
        self.assertEqual(self.keys(), [])

    def test_lost(self) -> None:
        """When acknowledgements are lost, every operation is completed all the same, rightly."""
        self.kernel.room = 0
        rules = self.rules(self.driver, 200)
        operations = [FakeOperation.add(rule) for rule in rules]
        self.driver.submit(operations[:100])
        self.settle(self.host, lambda: self.driver.show()["lost answers"])
        self.kernel.room = 1
        self.run_operations(self.driver, self.host, *operations[100:])
        self.settle(self.host, lambda: all(operation.done for operation in operations))
        self.assertEqual({len(operation.completions) for operation in operations}, {1})
        self.assertTrue(all(operation.succeeded for operation in operations))
        self.assertEqual(len(self.keys()), 200)
        self.assertGreater(self.driver.show()["lost answers"], 0)

    def test_refused(self) -> None:
        """What flower cannot express is refused, and nothing is sent."""
        requests = self.kernel.requests
        rule = FakeRule(Match.of(metadata=1), 9)
        self.assertIsInstance(self.run_one(FakeOperation.add(rule)), OpenFlowError)
        self.assertEqual(self.kernel.requests, requests)

    def test_skip_sw(self) -> None:
        """A rule that shall be in hardware alone fails where there is none, and is there where it
        is taken."""
        self.stop(self.driver, self.host)
        self.kernel.offloads = True
        driver, host = super().started(mode="skip_sw")
        (rule,) = self.rules(driver, 1)
        operation = FakeOperation.add(rule)
        self.run_operations(driver, host, operation)
        self.assertTrue(operation.succeeded)
        self.wait(host, driver.refresh([rule]))
        self.assertEqual(driver.show()["in hardware"], 1)
        self.kernel.offloads = False
        (other,) = self.rules(driver, 1, in_port=1)
        operation = FakeOperation.add(other)
        self.run_operations(driver, host, operation)
        self.assertIn("Offload", str(operation.completions[0]))

    def test_tail_of_others(self) -> None:
        """When the first rule that ends in a tail is refused, the second has it all the same."""
        match = Match.of(eth_type=0x800)
        refused = FakeOperation.add(FakeRule(match, 9, instructions=output(2)))
        other = FakeOperation.add(FakeRule(match, 8, instructions=output(2)))
        place_of_first = place(0, 9)
        self.kernel.refuse = lambda key: (
            (errno.EEXIST, "no") if key[:2] == place_of_first else (0, "")
        )
        self.run_operations(self.driver, self.host, refused, other)
        self.assertFalse(refused.succeeded)
        self.assertTrue(other.succeeded)
        chains = [chain for chain, _, _ in self.keys()]
        self.assertEqual(len([chain for chain in chains if chain >= FREE_CHAINS]), 2)
        self.assertIsNone(self.run_one(FakeOperation.delete(other.rule)))
        self.settle(self.host, lambda: not self.keys())
        self.assertEqual(self.keys(), [])

    def test_tail_refused(self) -> None:
        """When a tail is refused, so is every rule that was to end there, and nothing is left; a
        change leaves the rule as it was."""
        match = Match.of(eth_type=0x800)
        before = FakeRule(match, 7, instructions=())
        self.assertIsNone(self.run_one(FakeOperation.add(before)))
        there = self.keys()
        operations = [
            FakeOperation.add(FakeRule(match, 9, instructions=output(2))),
            FakeOperation.add(FakeRule(match, 8, instructions=output(2))),
            FakeOperation.modify(before, output(2)),
        ]
        self.kernel.refuse = lambda key: (errno.ENOMEM, "no") if key[0] >= FREE_CHAINS else (0, "")
        self.run_operations(self.driver, self.host, *operations)
        self.assertEqual([operation.succeeded for operation in operations], [False] * 3)
        self.settle(self.host, lambda: self.keys() == there)
        self.assertEqual(self.keys(), there)
        self.kernel.refuse = lambda key: (0, "")
        self.assertIsNone(self.run_one(FakeOperation.add(FakeRule(match, 9, 0, output(2)))))

    def test_tails(self) -> None:
        """Rules which end alike share a tail; it goes with the last."""
        rules = [
            FakeRule(Match.of(eth_type=0x800, ipv4_dst=n), 9, instructions=output(2))
            for n in range(5)
        ]
        for rule in rules:
            self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        self.assertEqual(len(self.keys()), 5 + 2)
        for rule in rules:
            self.assertIsNone(self.run_one(FakeOperation.delete(rule)))
        self.settle(self.host, lambda: not self.keys())
        self.assertEqual(self.keys(), [])

    def test_device_vanishes(self) -> None:
        """A device that vanishes, and one that comes, change the rules which send there."""
        rule = FakeRule(Match.of(in_port=1), 9, instructions=output(3))
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        self.assertEqual([one.kind for one in self.filters()], ["gact"])
        self.kernel.add("eth3")
        self.settle(self.host, lambda: False)
        self.assertEqual(len(self.kernel.qdiscs), 3)
        self.assertEqual([one.kind for one in self.filters()], ["mirred"])
        self.kernel.remove("eth3")
        self.settle(self.host, lambda: False)
        self.assertEqual([one.kind for one in self.filters()], ["gact"])

    def test_device_replaced(self) -> None:
        """Where another device of the same name takes a device's place at once, the filters that
        name it are installed anew, those of tails among them."""
        rules = [
            FakeRule(Match.of(in_port=1), 9, instructions=output(2)),
            FakeRule(Match.of(), 8, instructions=output(Port.ALL)),
            FakeRule(Match.of(in_port=2, eth_src=1), 7),
        ]
        for rule in rules:
            self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        ((_, before),) = self.kernel.blocks.items()
        tails = {key for key in before if key[0] >= FREE_CHAINS}
        asked = []

        def note(key: tuple[int, int, int]) -> tuple[int, str]:
            asked.append(key)
            return 0, ""

        self.kernel.refuse = note
        self.kernel.remove("eth1")
        self.kernel.add("eth1")
        self.settle(self.host, lambda: False)
        of_rules = [place(0, rule.priority) in {key[:2] for key in asked} for rule in rules]
        self.assertEqual(of_rules, [True, True, False])
        ((_, after),) = self.kernel.blocks.items()
        new_tails = {key for key in after if key[0] >= FREE_CHAINS}
        self.assertEqual(len(new_tails), len(tails))
        self.assertLessEqual(new_tails, set(asked))

    def test_degraded(self) -> None:
        """A rule that the kernel refuses when a port changes is degraded, until it is as it should
        be after another change."""
        rule = FakeRule(Match.of(in_port=1), 9, instructions=output(2))
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        self.kernel.refuse = lambda key: (errno.ENODEV, "")
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.settle(self.host, lambda: False)
        self.assertEqual(list(self.host.degraded_rules), [rule.handle])
        self.kernel.refuse = lambda key: (0, "")
        self.driver.port_mod(2, 0, PORT_DOWN)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.host.degraded_rules, {})
        self.kernel.refuse = lambda key: (errno.ENODEV, "")
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.settle(self.host, lambda: False)
        self.kernel.refuse = lambda key: (0, "")
        self.driver.port_mod(1, NO_FLOOD, NO_FLOOD)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.host.degraded_rules, {})
        self.assertEqual([one.kind for one in self.filters()], ["gact"])

    def test_port_closed(self) -> None:
        """From a port that is down nothing is taken."""
        self.driver.port_mod(1, 1, 1)
        self.settle(self.host, lambda: False)
        self.assertEqual([key[:2] for key in self.keys()], [(0, 1)])
        self.driver.port_mod(1, 0, 1)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.keys(), [])

    def test_changed_meanwhile(self) -> None:
        """A rule that is on its way when a port changes is what it should be in the end, and is
        confirmed only then."""
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        add = FakeOperation.add(FakeRule(Match.of(in_port=1), 9, instructions=output(2)))
        self.driver.submit([add])
        self.driver.port_mod(2, 0, PORT_DOWN)
        self.settle(self.host, lambda: add.done)
        ((_, block),) = self.kernel.blocks.items()
        kinds = {one.kind for key, one in block.items() if key[1] not in (1, 0xFFFF)}
        self.assertEqual(kinds, {"mirred"})

    def test_changed_elsewhere(self) -> None:
        """What a change of a port makes no difference to is left alone, also if rules are alike."""
        does = output(2)
        rules = [FakeRule(Match.of(eth_dst=n, in_port=1), 9, 0, does) for n in range(5)]
        for rule in rules:
            self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        self.settle(self.host, lambda: False)
        before = self.kernel.requests
        self.driver.port_mod(1, NO_FLOOD, NO_FLOOD)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.kernel.requests, before)
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.settle(self.host, lambda: False)
        self.assertGreaterEqual(self.kernel.requests, before + len(rules))

    def test_one_at_a_time(self) -> None:
        """An operation on a rule that is being changed waits, and finds what has come of it."""
        rule = FakeRule(Match.of(in_port=1), 9, instructions=output(2))
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.reactor.advance(0)
        delete = FakeOperation.delete(rule)
        self.driver.submit([delete])
        self.settle(self.host, lambda: delete.done)
        self.assertTrue(delete.succeeded)
        self.settle(self.host, lambda: False)
        self.assertEqual([key[:2] for key in self.keys()], [(0, 1)])

    def test_failover(self) -> None:
        """When a port's link goes down or comes up, the rules follow that lead to a group which
        watches it."""
        watched = [Bucket(watch_port=n, actions=(Output(n),)) for n in (2, 1)]
        group = FakeGroup(7, GroupType.FF, tuple(watched))
        instructions = (ApplyActions((GroupAction(7),)),)
        rule = FakeRule(Match.of(in_port=1), 9, instructions=instructions)
        for entry in (group, rule):
            self.assertIsNone(self.run_one(FakeOperation.add(entry)))
        used = []
        for flags in (link.IFF_UP, RUNNING):
            self.kernel.change("eth2", flags=flags)
            self.settle(self.host, lambda: False)
            used.append([one.kind for one in self.filters()])
        # Not back to where it came from; and then to port 2.
        self.assertEqual(used, [["gact"], ["mirred"]])

    def filters(self) -> list[Any]:
        """What is there for rules."""
        return [
            one
            for block in self.kernel.blocks.values()
            for key, one in block.items()
            if key[1] != LAST and key[0] != UPCALL_CHAIN
        ]

    def test_group(self) -> None:
        """When a group changes, so do the rules that lead there, before it is said to be done."""
        group = FakeGroup(7, GroupType.INDIRECT, (Bucket(actions=(Output(2),)),))
        self.assertIsNone(self.run_one(FakeOperation.add(group)))
        named = (ApplyActions((GroupAction(7),)),)
        rule = FakeRule(Match.of(in_port=1), 9, instructions=named)
        self.assertIsNone(self.run_one(FakeOperation.add(rule)))
        before = self.kernel.requests
        changed = group.modified(GroupType.INDIRECT, Bucket(actions=(Output(1),)))
        self.assertIsNone(self.run_one(FakeOperation.change(group, changed)))
        self.assertGreater(self.kernel.requests, before)
