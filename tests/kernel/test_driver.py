"""The tc flower driver with the kernel's own filters, and frames over veth pairs."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow.match import Match
from agent.openflow.messages import Port
from drivers.plugin import DriverFactory
from drivers.software.port import NO_FLOOD
from drivers.tcflower.driver import block_of
from drivers.testing import (
    DriverContractTests,
    FakeEntry,
    FakeGroup,
    FakeHost,
    FakeMeter,
    FakeOperation,
    FakeRule,
)
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from drivers.testing.harness import ContractHarness
from tests.kernel import need_flower, run
from tests.kernel.reactors import make_reactor, turn

FACTORY = DriverFactory("tcflower", "drivers.tcflower.driver", "tc flower")
SOL_PACKET = 263
PACKET_AUXDATA = 8
IGNORE_OUTGOING = 23
SETTLE = 0.3
"""Seconds in which a frame arrives, if it does."""


PORTS = (1, 2, 3, 4)


@functools.cache
def make_pairs() -> None:
    """The devices of all tests; making them takes longer than most of these."""
    run("modprobe tun")
    run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
    for n in PORTS:
        run(f"ip link add tc{n} type veth peer name peer{n}")
        run(f"ip link set tc{n} up")
        run(f"ip link set peer{n} up")


class Peer:
    """The other end of a port's veth pair."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
        self._socket.bind((name, 3))
        self._socket.setblocking(False)
        self.close = self._socket.close

    def send(self, frame: bytes) -> None:
        """Send a frame into the port."""
        self._socket.send(frame)

    def received(self) -> list[bytes]:
        """The frames that came out of the port."""
        frames = []
        # Its device may have been down meanwhile.
        with contextlib.suppress(OSError):
            while True:
                frame, ancillary, _, _ = self._socket.recvmsg(1 << 16, 256)
                data = ancillary[0][2]
                status = int.from_bytes(data[:4], "little")
                if status & 1 << 4:
                    tag = data[18:20][::-1] + data[16:18][::-1]
                    frame = frame[:12] + tag + frame[12:]
                frames.append(frame)
        return frames


class KernelHarness(ContractHarness):
    """A driver on three veth pairs."""

    factory = FACTORY
    port_entries = tuple(FakeEntry(f"tc{n}", n, type="netdev") for n in (1, 2, 3))

    def setUp(self) -> None:
        """Make the devices."""
        need_flower()
        super().setUp()
        self.reactor = make_reactor()
        self.peers: dict[int, Peer] = {}
        make_pairs()
        for n in PORTS:
            self.peers[n] = Peer(f"peer{n}")
            self.addCleanup(self.peers[n].close)

    def assert_idle(self, host: FakeHost) -> None:
        """The reactor has nothing left but what wakes it."""
        inside = self.reactor._internalReaders
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual([r for r in self.reactor.getReaders() if r not in inside], [])

    def make_reactor(self) -> Any:
        """One for all drivers of a test."""
        return self.reactor

    def started(self, **options: Any) -> tuple[Any, FakeHost]:
        """A device belongs to one driver: another has another."""
        options = {"mode": "skip_hw", **options}
        if self._drivers:
            self.patch(self, "port_entries", (FakeEntry("tc4", 4, type="netdev"),))
            self.patch(self, "bridge", "br1")
        self._drivers += 1
        return super().started(**options)

    _drivers = 0

    def settle(self, host: FakeHost, done: Callable[[], bool]) -> None:
        """Let the kernel answer."""
        turn(self.reactor, done, SETTLE * 10)

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """A frame comes in from outside."""
        self.peers[in_port].send(frame)
        time.sleep(0.01)


class KernelContractTests(KernelHarness, DriverContractTests, SynchronousTestCase):
    """What is true of every driver."""

    def test_each_completed_once(self) -> None:
        """Every operation is completed, well, and once."""
        driver, host = self.started()
        operations = [FakeOperation.add(rule) for rule in self.rules(driver, 20)]
        self.run_operations(driver, host, *operations)
        for operation in operations:
            self.assertEqual(operation.completions, [None])

    def test_counts(self) -> None:
        """A rule counts the packets it matches, their bytes, and when the last came."""
        driver, host = self.started()
        rule = FakeRule(Match.of(in_port=1), 10)
        other = FakeRule(Match.of(in_port=2), 10)
        self.run_operations(driver, host, FakeOperation.add(rule), FakeOperation.add(other))
        self.assertEqual(self.count(driver, host, rule, other), [1, 0])
        self.assertEqual(self.count(driver, host, rule, other), [2, 0])
        self.assertEqual(rule.counters.bytes, 2 * len(FRAME))
        self.assertLess(abs(host.now() - rule.counters.used), 2)
        self.assertEqual((other.counters.bytes, other.counters.used), (0, 0))

    def test_many_counted(self) -> None:
        """Of many rules, those that packets hit count them, and when they came; whether these are
        few or all, and whether it was asked before how many came."""
        driver, host = self.started()
        rules = [FakeRule(Match.of(eth_src=n, eth_type=0x800), 10) for n in range(60)]
        rules += [FakeRule(Match.of(eth_src=n, eth_type=0x800), n) for n in range(60, 90)]
        self.run_operations(driver, host, *map(FakeOperation.add, rules))
        counted = [0] * len(rules)
        for step, hit in enumerate(([5, 70], [], range(90), range(90), [5], [5])):
            before = host.now()
            for n in hit:
                frame = FRAME[:6] + n.to_bytes(6, "big") + FRAME[12:]
                self.receive(driver, 1, frame)
                counted[n] += 1
            begun = host.now()
            if step % 2:
                self.wait(host, driver.refresh_counts(rules))
                self.assertEqual([rule.counters.packets for rule in rules], counted)
            time.sleep(0.5)
            self.wait(host, driver.refresh(rules))
            self.assertEqual([rule.counters.packets for rule in rules], counted)
            for n in hit:
                self.assertEqual(rules[n].counters.bytes, counted[n] * len(FRAME))
                self.assertLess(rules[n].counters.used, begun + 0.1)
                self.assertGreater(rules[n].counters.used, before - 0.1)

    def test_table_counters(self) -> None:
        """Tables count what they look up and what they match, and go on when a rule is gone."""
        driver, host = self.started()
        first = FakeRule(Match.of(in_port=1), 100, instructions=(of.GotoTable(3),))
        second = FakeRule(Match.of(eth_src=1), 0, 3)
        self.run_operations(driver, host, FakeOperation.add(first), FakeOperation.add(second))
        for in_port, source in ((1, 1), (1, 1), (1, 2), (2, 1)):
            self.receive(driver, in_port, FRAME[:6] + source.to_bytes(6, "big") + FRAME[12:])
        # What misses in the first table is for the controllers: the software looks it up.
        self.settle(host, lambda: bool(host.packet_ins))

        def counted() -> dict[int, tuple[int, int]]:
            stats = self.wait(host, driver.table_stats())
            return {n: (one.lookups, one.matches) for n, one in stats.items() if one.lookups}

        self.assertEqual(counted(), {0: (4, 3), 3: (3, 2)})
        self.run_operations(driver, host, FakeOperation.delete(second))
        self.assertEqual(counted(), {0: (4, 3), 3: (3, 2)})


class LockTests(KernelHarness, SynchronousTestCase):
    """Somebody else has the bridge."""

    def test_another_process(self) -> None:
        """While another process has the block of the bridge it cannot be started; it can when that
        was killed."""
        code = f"""if True:
            from drivers.software.system import SYSTEM
            from drivers.tcflower.lock import Lock
            lock = Lock(SYSTEM, {block_of(self.bridge)}, "it")
            print("locked", flush=True)
            input()
        """
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with other:
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), b"locked\n")
            error = self.assertRaises(OSError, self.started)
            self.assertIn(f"bridge {self.bridge}", str(error))
            self.assertNotIn("clsact", run("tc qdisc show dev tc1"))
            other.kill()
        self.stop(*self.started())


class ForwardingHarness(KernelHarness):
    """A driver that was started, and what comes out of its ports.

    :ivar unsupported: the option of that name.
    """

    unsupported = "reject"

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.driver, self.host = self.started(unsupported=self.unsupported)

    def add(self, *entries: FakeRule | FakeGroup | FakeMeter) -> None:
        """Install rules, groups and meters."""
        self.done(*(FakeOperation.add(entry) for entry in entries))

    def delete(self, *entries: FakeRule | FakeGroup | FakeMeter) -> None:
        """Delete some; their counters are final then."""
        self.done(*(FakeOperation.delete(entry) for entry in entries))

    def done(self, *operations: FakeOperation) -> None:
        """Have operations done, well."""
        self.run_operations(self.driver, self.host, *operations)
        for operation in operations:
            self.assertTrue(operation.succeeded, (operation.rule, operation.completions))

    def out(self, in_port: int, *frames: bytes) -> dict[int, list[bytes]]:
        """What comes out of which port when frames come in."""
        for peer in self.peers.values():
            peer.received()
        for frame in frames:
            self.peers[in_port].send(frame)
        time.sleep(0.02)
        return {n: found for n, peer in self.peers.items() if (found := peer.received())}


class ForwardingTests(ForwardingHarness, SynchronousTestCase):
    """What the kernel does with frames is what the software datapath would."""

    def test_output(self) -> None:
        """To a port, to several, not back, to all, to where it floods, back on purpose, and to
        none; and each rule counts what it takes, once."""
        self.driver.port_mod(3, NO_FLOOD, NO_FLOOD)
        every = (of.Output(2), of.Output(Port.IN_PORT), of.Output(3))
        cases: list[tuple[tuple[of.Action, ...], dict[int, list[int]]]] = [
            ((), {1: []}),
            ((of.Output(2),), {1: [2], 2: []}),
            ((of.Output(2), of.Output(3)), {1: [2, 3], 2: [3]}),
            ((of.Output(Port.ALL),), {1: [2, 3], 2: [1, 3]}),
            ((of.Output(Port.FLOOD),), {1: [2], 3: [1, 2]}),
            ((of.Output(Port.IN_PORT),), {1: [1], 2: [2]}),
            (every, {1: [1, 2, 3], 2: [2, 3]}),
            ((of.SetQueue(1), of.Output(2), of.Enqueue(3, 1)), {1: [2, 3]}),
        ]
        for actions, expected in cases:
            rule = FakeRule(Match.of(), 5, instructions=(of.ApplyActions(actions),))
            self.add(rule)
            for in_port, ports in expected.items():
                found = self.out(in_port, FRAME)
                self.assertEqual(found, {n: [FRAME] for n in ports}, (actions, in_port))
            self.delete(rule)
            count = len(expected)
            self.assertEqual((rule.counters.packets, rule.counters.bytes), (count, 60 * count))

    def test_miss(self) -> None:
        """What no rule takes is dropped, and so it is by a higher rule that does nothing."""
        self.assertEqual(self.out(1, FRAME), {})
        self.add(FakeRule(Match.of(), 0, instructions=output(2)))
        self.assertEqual(self.out(1, FRAME), {2: [FRAME]})
        self.add(FakeRule(Match.of(in_port=1), 1))
        self.assertEqual(self.out(1, FRAME), {})
        self.assertEqual(self.out(3, FRAME), {2: [FRAME]})

    def test_tables(self) -> None:
        """Packets go through the tables; one without a rule for them drops them."""
        goto = (of.GotoTable(3),)
        self.add(FakeRule(Match.of(in_port=1), 100, instructions=goto))
        self.assertEqual(self.out(1, FRAME), {})
        self.add(
            FakeRule(Match.of(), 0, 3, output(2)), FakeRule(Match.of(in_port=1), 9, 3, output(3))
        )
        self.assertEqual(self.out(1, FRAME), {3: [FRAME]})

    def test_priorities(self) -> None:
        """Of a hundred rules that all match, the highest is executed."""
        self.add(
            *(
                FakeRule(Match.of(), priority, instructions=output(2 + (priority == 65535)))
                for priority in (0, 1, 33, 34, 35, 100, 40000, 65534, 65535)
            )
        )
        self.assertEqual(self.out(1, FRAME), {3: [FRAME]})
