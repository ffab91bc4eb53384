"""The tc flower driver with the kernel's own filters, and frames over veth pairs."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow import fields
from agent.openflow.match import Match
from agent.openflow.messages import Port
from agent.packet import packet as packets
from drivers.plugin import DriverFactory
from drivers.software.program import compile_actions
from drivers.testing import DriverContractTests, FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.contract import FRAME
from drivers.testing.fakes import output
from drivers.testing.harness import ContractHarness
from tests.kernel import need_flower, run
from tests.kernel.reactors import make_reactor, turn

FACTORY = DriverFactory("tcflower", "drivers.tcflower.driver", "tc flower")
SOL_PACKET = 263
PACKET_AUXDATA = 8
IGNORE_OUTGOING = 23
SETTLE = 0.3
"""Seconds in which a frame arrives, if it does."""


def _sum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2))
    return (0xFFFF - (total % 0xFFFF or 0xFFFF)).to_bytes(2, "big")


_IP = FRAME[14:24] + _sum(FRAME[14:34]) + FRAME[26:34]
_UDP = FRAME[34:40] + _sum(_IP[12:20] + b"\0\x11\0\x09" + FRAME[34:43] + b"\0")
RIGHT = (FRAME[:14] + _IP + _UDP + FRAME[42:43]).ljust(60, b"\0")
"""The frame with the checksums that it should have."""

PORTS = (1, 2, 3, 4)


@functools.cache
def make_pairs() -> None:
    """The devices of all tests; making them takes longer than most of these."""
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
        with contextlib.suppress(BlockingIOError):
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
        few or all."""
        driver, host = self.started()
        rules = [FakeRule(Match.of(eth_src=n, eth_type=0x800), 10) for n in range(60)]
        rules += [FakeRule(Match.of(eth_src=n, eth_type=0x800), n) for n in range(60, 90)]
        self.run_operations(driver, host, *map(FakeOperation.add, rules))
        counted = [0] * len(rules)
        for hit in ([5, 70], [], range(90), range(90), [5], []):
            for n in hit:
                frame = FRAME[:6] + n.to_bytes(6, "big") + FRAME[12:]
                self.receive(driver, 1, frame)
                counted[n] += 1
            begun = host.now()
            time.sleep(0.5)
            self.wait(host, driver.refresh(rules))
            self.assertEqual([rule.counters.packets for rule in rules], counted)
            for n in hit:
                self.assertEqual(rules[n].counters.bytes, counted[n] * len(FRAME))
                self.assertLess(rules[n].counters.used, begun + 0.1)

    def test_table_counters(self) -> None:
        """Tables count what they look up and what they match, and go on when a rule is gone."""
        driver, host = self.started()
        first = FakeRule(Match.of(in_port=1), 100, instructions=(of.GotoTable(3),))
        second = FakeRule(Match.of(eth_src=1), 0, 3)
        self.run_operations(driver, host, FakeOperation.add(first), FakeOperation.add(second))
        for in_port, source in ((1, 1), (1, 1), (1, 2), (2, 1)):
            self.receive(driver, in_port, FRAME[:6] + source.to_bytes(6, "big") + FRAME[12:])

        def counted() -> dict[int, tuple[int, int]]:
            stats = self.wait(host, driver.table_stats())
            return {n: (one.lookups, one.matches) for n, one in stats.items() if one.lookups}

        self.assertEqual(counted(), {0: (4, 3), 3: (3, 2)})
        self.run_operations(driver, host, FakeOperation.delete(second))
        self.assertEqual(counted(), {0: (4, 3), 3: (3, 2)})


class ForwardingTests(KernelHarness, SynchronousTestCase):
    """What the kernel does with frames is what the software datapath would."""

    def add(self, *rules: FakeRule) -> None:
        """Install rules."""
        operations = [FakeOperation.add(rule) for rule in rules]
        self.run_operations(self.driver, self.host, *operations)
        for operation in operations:
            self.assertTrue(operation.succeeded, operation.completions)

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.driver, self.host = self.started()

    def out(self, in_port: int, frame: bytes) -> dict[int, list[bytes]]:
        """What comes out of which port when a frame comes in."""
        for peer in self.peers.values():
            peer.received()
        self.peers[in_port].send(frame)
        time.sleep(0.02)
        return {n: frames for n, peer in self.peers.items() if (frames := peer.received())}

    def test_output(self) -> None:
        """To a port, not back, to all, back on purpose, and to none."""
        cases = [
            (of.Output(2), {1: [2], 2: []}),
            (of.Output(Port.ALL), {1: [2, 3], 2: [1, 3]}),
            (of.Output(Port.FLOOD), {1: [2, 3], 3: [1, 2]}),
            (of.Output(Port.IN_PORT), {1: [1], 2: [2]}),
        ]
        rule = FakeRule(Match.of(), 5)
        self.add(rule)
        self.assertEqual(self.out(1, FRAME), {})
        for action, expected in cases:
            change = FakeOperation.modify(rule, (of.ApplyActions((action,)),))
            self.run_operations(self.driver, self.host, change)
            self.assertTrue(change.succeeded, change.completions)
            rule = change.rule
            for in_port, ports in expected.items():
                found = self.out(in_port, FRAME)
                self.assertEqual(found, {n: [FRAME] for n in ports}, (action, in_port))

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

    def test_matches(self) -> None:
        """A rule takes what it should, and nothing else."""
        eth = bytes.fromhex("020000000002020000000001")
        tagged = [eth + tpid + b"\x60\x05" + FRAME[12:] for tpid in (b"\x81\x00", b"\x88\xa8")]
        wanted: list[tuple[dict[str, Any], list[int]]] = [
            ({"eth_dst": 0x020000000002}, [0, 1, 2]),
            ({"eth_src": (0x02 << 40, 0xFF << 40)}, [0, 1, 2]),
            ({"eth_type": 0x800}, [0, 1, 2]),
            ({"eth_type": 0x806}, []),
            ({"vlan_vid": 0}, [0]),
            ({"vlan_vid": (0x1000, 0x1000)}, [1, 2]),
            ({"vlan_vid": 0x1005}, [1, 2]),
            ({"vlan_vid": 0x1006}, []),
            ({"vlan_vid": 0x1005, "vlan_pcp": 3}, [1, 2]),
            ({"vlan_vid": 0x1005, "vlan_pcp": 2}, []),
            ({"eth_type": 0x800, "ipv4_dst": 0x0A000002}, [0, 1, 2]),
            ({"eth_type": 0x800, "ipv4_dst": (0x0A000000, 0xFF000000), "vlan_vid": 0}, [0]),
            ({"eth_type": 0x800, "ip_proto": 17, "udp_dst": 2000, "vlan_vid": 0x1005}, [1, 2]),
            ({"eth_type": 0x800, "ip_proto": 17, "udp_src": 1001}, []),
        ]
        for match, taken in wanted:
            rule = FakeRule(Match.of(**match), 10, instructions=output(2))
            self.add(rule)
            found = [
                n for n, frame in enumerate([FRAME, *tagged]) if self.out(1, frame) == {2: [frame]}
            ]
            self.assertEqual(found, taken, match)
            self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
            self.assertEqual(rule.counters.packets, len(taken))
            self.assertEqual(self.driver.show()["filters"], 0)

    def test_rewrites(self) -> None:
        """Each change of a packet is what the software datapath makes of it."""
        ip = {"eth_type": 0x0800}
        udp = {**ip, "ip_proto": 17}
        cases: list[tuple[dict[str, Any], list[of.Action]]] = [
            ({}, [of.SetField(fields.ETH_DST, 0x020000000099)]),
            ({}, [of.SetField(fields.ETH_SRC, 0x0A0B0C0D0E0F)]),
            (ip, [of.SetField(fields.IPV4_SRC, 0xC0000201)]),
            (ip, [of.SetField(fields.IPV4_DST, 0xC0000202)]),
            (udp, [of.SetField(fields.UDP_SRC, 7), of.SetField(fields.UDP_DST, 8)]),
            (udp, [of.SetField(fields.IPV4_DST, 1), of.SetField(fields.UDP_DST, 8)]),
            (ip, [of.SetField(fields.IP_DSCP, 46), of.SetField(fields.IP_ECN, 1)]),
            (ip, [of.SetNwTtl(9)]),
            (ip, [of.DecNwTtl()]),
            ({"vlan_vid": 0}, [of.PushVlan(0x8100)]),
            ({"vlan_vid": 0}, [of.PushVlan(0x88A8), of.SetField(fields.VLAN_VID, 0x1007)]),
            (
                {"vlan_vid": 0},
                [
                    of.PushVlan(0x8100),
                    of.SetField(fields.VLAN_VID, 0x1007),
                    of.SetField(fields.VLAN_PCP, 5),
                ],
            ),
        ]
        for match, actions in cases:
            rule = FakeRule(
                Match.of(**match),
                10,
                instructions=(of.ApplyActions((*actions, of.Output(2))),),
            )
            self.add(rule)
            found = self.out(1, RIGHT)
            self.assertEqual(found, {2: [self.expected(actions)]}, actions)
            self.run_operations(self.driver, self.host, FakeOperation.delete(rule))

    def expected(self, actions: list[of.Action]) -> bytes:
        """What the software datapath makes of the frame."""
        ran: Any = _Run()
        for step in compile_actions(tuple(actions)):
            step(ran)
        return bytes(ran.packet.frame())


class _Run:
    """As much of a run as changes of packets need."""

    def __init__(self) -> None:
        self.packet = packets.parse(RIGHT, 1)
