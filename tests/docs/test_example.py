"""Tests of ``docs/examples/lineswitch``, the driver of the guide: it keeps the contract of drivers,
and it works in a bridge."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.bridge import Bridge
from agent.connmgr.tls import Credentials
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from drivers.interfaces import OptionError
from drivers.plugin import DriverFactory
from drivers.testing import (
    DriverContractTests,
    FakeEntry,
    FakeHost,
    FakeOperation,
    FakeRule,
    RecallContractTests,
)
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from tests.connmgr.fakes import Peer
from tests.connmgr.managers import FakeBound, MemoryReactor
from tests.docs.wire import ADDRESS, EXAMPLES, Wired, WiredClock
from tests.test_bridge import BridgeCase

FACTORY = DriverFactory("lineswitch", "lineswitch.driver", "A chip behind a serial line.")


class LineTests(DriverContractTests, RecallContractTests, SynchronousTestCase):
    """The driver keeps the contract, and what it does besides."""

    factory = FACTORY
    options = {"address": ADDRESS}

    def make_reactor(self) -> WiredClock:
        """One with a chip."""
        return WiredClock()

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """The chip gets a frame."""
        driver._host.reactor.chip.receive(in_port, frame)

    def added(self, count: int) -> tuple[Any, FakeHost, list[FakeRule]]:
        """A driver whose chip has some entries."""
        driver, host = self.started()
        rules = self.rules(driver, count)
        self.run_operations(driver, host, *(FakeOperation.add(rule) for rule in rules))
        return driver, host, rules

    def test_one_at_a_time(self) -> None:
        """The chip is asked for the next when it has done one, 20 ms each."""
        driver, host = self.started()
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 3)]
        driver.submit(operations)
        done = []
        for _ in range(4):
            host.reactor.pump([0, 0.02, 0])
            done.append(sum(operation.done for operation in operations))
        self.assertEqual(done, [0, 1, 2, 3])

    def test_entry(self) -> None:
        """What the chip has is what the rule says."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1, eth_type=0x800), 7, instructions=output(2, 3))
        self.run_operations(driver, host, FakeOperation.add(rule))
        (place,) = host.reactor.chip.places.values()
        self.assertEqual((place.priority, place.match, place.ports), (7, rule.match, "2,3"))

    def test_refused(self) -> None:
        """What the chip refuses is told with its text, and the entry is as it was."""
        driver, host, (rule,) = self.added(1)
        host.reactor.chip.size = 0
        other = FakeOperation.add(FakeRule(Match.of(in_port=2)))
        self.run_operations(driver, host, other)
        self.assertIn("there is no slot 1", str(other.completions[0]))
        again = FakeOperation.delete(rule)
        self.run_operations(driver, host, again)
        self.assertTrue(again.succeeded)

    def test_line_lost(self) -> None:
        """When the line breaks all entries are in doubt, and are put back when it is there again;
        what was being asked is asked again."""
        driver, host, rules = self.added(3)
        driver.port_mod(2, 1, 1)
        late = FakeOperation.add(FakeRule(Match.of(in_port=3)))
        driver.submit([late])
        host.reactor.pump([0, 0.01])
        host.reactor.plugged = False
        host.reactor.cables[-1].cut()
        self.assertEqual(set(host.degraded_rules), {rule.handle for rule in rules})
        self.assertEqual(driver.show()["line"], "down")
        host.reactor.chip.places.clear()
        host.reactor.advance(2.5)
        self.assertFalse(late.done)
        host.reactor.plugged = True
        self.settle(host, lambda: late.done)
        self.assertTrue(late.succeeded)
        self.assertEqual(host.degraded_rules, {})
        self.assertEqual(len(host.reactor.chip.places), 4)
        self.assertEqual(host.reactor.chip.down, {2})

    def test_lost_while_restoring(self) -> None:
        """A line that breaks again meanwhile makes no difference in the end."""
        _, host, rules = self.added(3)
        for _ in range(3):
            host.reactor.cables[-1].cut()
            host.reactor.pump([1, 0, 0.02, 0, 0.02, 0])
        self.settle(host, lambda: not host.degraded_rules)
        self.assertEqual(len(host.reactor.chip.places), len(rules))
        self.assertEqual(len(host.reactor.cables), 4)

    def test_counters_go_on(self) -> None:
        """What was counted before the chip was reset is not lost, nor counted twice."""
        driver, host, (rule,) = self.added(1)
        self.receive(driver, 1, FRAME)
        self.receive(driver, 1, FRAME)
        rules = [FakeRule(Match.of(in_port=1), 1)]
        self.run_operations(driver, host, *map(FakeOperation.add, rules))
        self.receive(driver, 1, FRAME)
        self.wait(host, driver.refresh(rules))
        host.reactor.cables[-1].cut()
        self.settle(host, lambda: not host.degraded_rules)
        self.receive(driver, 1, FRAME)
        self.wait(host, driver.refresh([*rules, rule]))
        self.assertEqual(rules[0].counters.packets, 2)
        self.assertEqual(rule.counters.packets, 0)

    def test_reads_end(self) -> None:
        """Who reads counters does not wait for a line that is down, or breaks."""
        driver, host, rules = self.added(2)
        reads = driver.refresh(rules)
        self.assertNoResult(reads)
        host.reactor.cables[-1].cut()
        self.assertIsNone(self.successResultOf(reads))
        self.assertIsNone(self.successResultOf(driver.refresh(rules)))
        self.settle(host, lambda: not host.degraded_rules)
        reads = driver.refresh(rules)
        self.assertNoResult(reads)
        self.assertIsNone(self.wait(host, reads))

    def test_silent(self) -> None:
        """A chip that does not answer is dialled anew."""
        driver, host, _ = self.added(1)
        operation = FakeOperation.add(FakeRule(Match.of(in_port=3)))
        driver.submit([operation])
        host.reactor.cables[-1].driver.close()  # the command is lost on its way
        host.reactor.advance(9.9)
        self.assertEqual((operation.done, len(host.reactor.cables)), (False, 1))
        self.settle(host, lambda: operation.done)
        self.assertTrue(operation.succeeded)
        self.assertEqual(len(host.reactor.cables), 2)

    def test_packet_out(self) -> None:
        """Packets go where they shall, and those that the line has no time for are dropped."""
        driver, host = self.started()
        driver.packet_out(b"one", 1, (Output(2), Output(9)))
        driver.packet_out(b"two", 1, (Output(of.Port.ALL),))
        self.settle(host, lambda: False)
        chip = host.reactor.chip
        self.assertEqual(chip.sent, [("2", b"one"), ("1,2,3", b"two")])
        for _ in range(100):
            driver.packet_out(b"more", 1, (Output(1),))
        self.settle(host, lambda: False)
        self.assertTrue(20 <= len(chip.sent) - 2 <= 21)

    def test_port_mod(self) -> None:
        """The chip is told; what it cannot do is refused."""
        super().test_port_mod()
        driver, host = self.started()
        driver.port_mod(1, 1, 1)
        self.settle(host, lambda: False)
        self.assertEqual(host.reactor.chip.down, {1})
        self.assertRaises(OpenFlowError, driver.port_mod, 1, 4, 4)

    def test_options(self) -> None:
        """An address that is none is told."""
        error = self.assertRaises(OptionError, self.make, address="/dev/ttyS0")
        self.assertEqual(error.key, "address")

    def test_plugin(self) -> None:
        """The plugin names this driver."""
        found: dict[str, Any] = {}
        plugin = EXAMPLES / "twisted" / "plugins" / "lineswitch_plugin.py"
        exec(plugin.read_text(), found)  # as every twistd of a host does
        self.assertEqual(found["lineswitch"], FACTORY)


class WiredReactor(Wired, MemoryReactor):
    """A reactor without a network, but for the line to the chip."""


class InBridgeTests(BridgeCase):
    """The driver under a controller."""

    reactor: WiredReactor

    def setUp(self) -> None:
        """A bridge, and a controller that says so."""
        super().setUp()
        self.reactor = WiredReactor()
        ports = [FakeEntry(f"p{number}", number=number) for number in (1, 2)]
        self.line: Any = FACTORY.create({"address": ADDRESS}, ports, ())
        config = self.configuration()
        self.sockets = [FakeBound(str(wanted.target)) for wanted in config.listen]
        sockets: list[Any] = self.sockets
        self.bridge = Bridge(config, self.reactor, self.line, sockets, Credentials())
        self.bridge.startService()
        self.peer = self.greet(self.sockets[0].factory.buildProtocol(None), of.OFP13)

    def add(self, peer: Peer, in_port: int, xid: int) -> None:
        """Ask for a rule, and for a barrier."""
        rule = of.FlowMod(
            of.FlowModCommand.ADD,
            Match.of(in_port=in_port),
            priority=1,
            instructions=(ApplyActions((Output(2),)),),
            xid=xid,
        )
        peer.send(rule, of.BarrierRequest(xid=xid + 1))

    def seen(self) -> list[tuple[type, int]]:
        """The messages that have come, by type and xid."""
        return [(type(message), message.xid) for message in self.peer.received()]

    def test_barrier(self) -> None:
        """A barrier is answered when the chip has the rule, and not before."""
        self.add(self.peer, 1, 10)
        self.reactor.pump([0] * 5)
        self.assertEqual((self.seen(), self.reactor.chip.places), ([], {}))
        self.reactor.pump([0.02, 0] * 4)
        self.assertEqual(self.seen(), [(of.BarrierReply, 11)])
        self.assertEqual(len(self.reactor.chip.places), 1)

    def test_error(self) -> None:
        """What the chip refuses is an error before the barrier's reply, and no rule."""
        self.reactor.chip.size = 0
        self.add(self.peer, 1, 10)
        self.reactor.pump([0.02, 0] * 4)
        self.assertEqual(self.seen(), [(of.ErrorMessage, 10), (of.BarrierReply, 11)])
        self.assertEqual(list(self.bridge.ofproto.rules()), [])
        self.flushLoggedErrors()

    def test_validated(self) -> None:
        """What the chip cannot match never reaches it."""
        self.peer.send(of.FlowMod(of.FlowModCommand.ADD, Match.of(metadata=1), xid=10))
        self.assertEqual(self.seen(), [(of.ErrorMessage, 10)])

    def test_degraded(self) -> None:
        """While the line is down the operator sees which rules are in doubt; what is asked
        meanwhile waits, and is done in the end."""
        self.add(self.peer, 1, 10)
        self.reactor.pump([0.02, 0] * 4)
        self.reactor.cables[-1].cut()
        (rule,) = self.bridge.ofproto.rules()
        self.assertIn("the line to the chip is down", str(rule.degraded))
        self.seen()
        self.add(self.peer, 2, 20)
        self.reactor.pump([0.02, 0] * 4)
        self.assertEqual(self.seen(), [])
        self.reactor.pump([1, 0, *[0.02, 0] * 6])
        self.assertEqual(self.seen(), [(of.BarrierReply, 21)])
        self.assertEqual(rule.degraded, "")
        self.assertEqual(len(self.reactor.chip.places), 2)
