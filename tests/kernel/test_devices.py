"""What becomes of rules when the devices of ports go and come again, with other numbers; with the
kernel's own devices and filters.

A filter keeps the number of the device where packets come in, not its name, and so does an action
that sends to one.  Each time frames go in at the device and out of it, and the kernel is compared
with the flow table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from agent.openflow.messages import Port
from drivers.software.port import NO_RECV
from drivers.testing import FakeEntry, FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from tests.kernel import run
from tests.kernel.reactors import turn
from tests.kernel.test_driver import SETTLE, Peer
from tests.kernel.test_faults import FaultHarness

NAMES: Final = {1: "tc1", 2: "again2", 3: "again3"}
TO_CONTROLLER: Final = (ApplyActions((Output(Port.CONTROLLER, 0xFFFF),)),)


def source(number: int) -> bytes:
    """The frame from an address that rules tell apart."""
    return FRAME[:6] + number.to_bytes(6, "big") + FRAME[12:]


class DevicesTests(FaultHarness, SynchronousTestCase):
    """See the module."""

    port_entries = tuple(FakeEntry(name, n, type="netdev") for n, name in NAMES.items())

    def setUp(self) -> None:
        """Have two devices that may go, and rules by which frames come from and go to both."""
        super().setUp()
        for number in (2, 3):
            self.addCleanup(self.end, number)
            self.make_device(number)
        self.start()
        self.rules_of_all = [
            FakeRule(Match.of(in_port=1, eth_src=1), 9, 0, output(2)),
            FakeRule(Match.of(in_port=2), 9, 0, output(1)),
            FakeRule(Match.of(in_port=3, eth_src=2), 9, 0, output(2)),
            FakeRule(Match.of(eth_src=3), 10, 0, output(Port.ALL)),
            FakeRule(Match.of(in_port=3, eth_src=4), 9, 0, TO_CONTROLLER),
        ]
        self.add(*self.rules_of_all)
        self.assertEqual(self.check(), [])
        self.assert_forwards()

    def make_device(self, number: int) -> int:
        """Make a device and what it is connected with; returns its number in the kernel."""
        name, peer = NAMES[number], f"far{number}"
        run(f"ip link add {name} type veth peer name {peer}")
        run(f"ip link set {name} up")
        run(f"ip link set {peer} up")
        self.peers[number] = Peer(peer)
        self.addCleanup(self.peers[number].close)
        return self.index(number)

    def index(self, number: int) -> int:
        """The number of a device in the kernel."""
        return int(Path(f"/sys/class/net/{NAMES[number]}/ifindex").read_text())

    def end(self, number: int) -> None:
        """Delete a device, if it is there."""
        if Path(f"/sys/class/net/{NAMES[number]}").exists():
            run(f"ip link del {NAMES[number]}")

    def out(self, in_port: int, frame: bytes) -> list[int]:
        """Where a frame comes out, each time as it was."""
        for peer in self.peers.values():
            peer.received()
        self.peers[in_port].send(frame)
        turn(self.reactor, lambda: False, 0.05)
        found = {number: peer.received() for number, peer in self.peers.items()}
        self.assertEqual({one for several in found.values() for one in several} - {frame}, set())
        return [number for number, frames in found.items() for _ in frames]

    def told(self) -> list[int]:
        """From which ports the controller is told of a frame that comes in at port 3."""
        self.host.packet_ins.clear()
        self.peers[3].send(source(4))
        turn(self.reactor, lambda: self.host.packet_ins, 5 * SETTLE)
        return [event.in_port for event in self.host.packet_ins]

    def assert_forwards(self) -> None:
        """All rules do what they should, with all devices."""
        self.assertEqual(self.out(1, source(1)), [2])
        self.assertEqual(self.out(2, source(1)), [1])
        self.assertEqual(self.out(3, source(2)), [2])
        self.assertEqual(self.out(1, source(3)), [2, 3])
        self.assertEqual(self.out(2, source(3)), [1, 3])
        self.assertEqual(self.told(), [3])

    def assert_well(self) -> None:
        """So they do soon, and nothing is wrong."""
        turn(self.reactor, lambda: False, SETTLE)
        self.assert_right()
        self.assert_forwards()

    def test_later(self) -> None:
        """A device is gone for a while: what is for it is dropped, the rest goes on; then it is
        back."""
        before = self.index(2)
        self.end(2)
        turn(self.reactor, lambda: False, 1)
        self.assertEqual(self.check(), [])
        self.assertEqual(self.host.degraded_rules, {})
        self.assertEqual(self.out(1, source(1)), [])
        self.assertEqual(self.out(1, source(3)), [3])
        self.assertNotEqual(self.make_device(2), before)
        self.assert_well()

    def test_at_once(self) -> None:
        """A device is another before the driver has looked, once and again and again, and so are
        two."""
        for numbers in ((3, 2), (2, 2, 3, 2)):
            before = self.index(numbers[0])
            for number in numbers:
                self.end(number)
                self.make_device(number)
            self.assertNotEqual(self.index(numbers[0]), before)
            self.assert_well()

    def test_swapped(self) -> None:
        """Two devices take each other's name."""
        for one, other in (("again2", "x"), ("again3", "again2"), ("x", "again3")):
            run(f"ip link set {one} down")
            run(f"ip link set {one} name {other}")
            run(f"ip link set {other} up")
        self.peers[2], self.peers[3] = self.peers[3], self.peers[2]
        self.assert_well()

    def test_closed(self) -> None:
        """Of a port that takes nothing nothing is taken when its device is another."""
        self.driver.port_mod(3, NO_RECV, NO_RECV)
        self.end(3)
        self.make_device(3)
        turn(self.reactor, lambda: False, 1)
        self.assert_right()
        self.assertEqual(self.out(3, source(2)), [])
        self.driver.port_mod(3, 0, NO_RECV)
        self.assert_well()

    def test_while_added(self) -> None:
        """A device is another while rules about it are being added and deleted."""
        rules = [FakeRule(Match.of(in_port=2, eth_dst=n), 20, 0, output(3)) for n in range(40)]
        adding = [FakeOperation.add(rule) for rule in rules]
        self.driver.submit(adding)
        self.end(2)
        self.make_device(2)
        self.settle(self.host, lambda: all(operation.done for operation in adding))
        self.expect(*adding)
        self.assertTrue(all(operation.succeeded for operation in adding))
        self.assert_well()
        deleting = [FakeOperation.delete(rule) for rule in rules[::2]]
        self.driver.submit(deleting)
        self.end(2)
        self.make_device(2)
        self.settle(self.host, lambda: all(operation.done for operation in deleting))
        for operation in deleting:
            self.assertTrue(operation.succeeded)
            del self.host.expected[operation.rule.handle]
        self.assert_well()
