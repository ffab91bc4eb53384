"""What a switch whose rules are in the kernel says of them when they go: why, and what they have
counted in the end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.ofproto import OFProto
from agent.openflow import messages as of
from agent.openflow.fields import IPV4_DST
from agent.openflow.match import Match
from agent.openflow.messages import RemovedReason
from agent.packet.protocols import ETH_HEADER_LEN
from drivers.testing import FakeHost
from tests.drivers.tcflower.telling import Installed
from tests.drivers.tcflower.test_driver import TcFlowerHarness
from tests.ofproto.stage import ADD, SEND_FLOW_REM, Observer, Requester, flow_mod, output

MODIFY = of.FlowModCommand.MODIFY
DELETE = of.FlowModCommand.DELETE
SIZE = 86
"""Bytes of a packet, as the kernel counts them."""


class RemovedTests(TcFlowerHarness, SynchronousTestCase):
    """Rules that go."""

    def setUp(self) -> None:
        """Start a switch."""
        super().setUp()
        self.switch = OFProto("br0", 1, self.make(mode="skip_hw"), self.reactor)
        self.switch.observer = self.observer = Observer()
        self.switch.start()
        self.addCleanup(self.switch.stop)
        self.requester = Requester()
        (self.block,) = self.kernel.blocks.values()

    def send(self, command: of.FlowModCommand, match: Match, **fields: int) -> None:
        """A request is done."""
        request = flow_mod(command, match, flags=SEND_FLOW_REM, instructions=output(2), **fields)
        self.switch.handle(request, self.requester)
        self.elapse(0)

    def elapse(self, seconds: float) -> None:
        """Time passes, also for the kernel's filters."""
        for installed in self.block.values():
            installed.age += int(seconds * 100)
        self.reactor.advance(seconds)
        self.settle(FakeHost(reactor=self.reactor), lambda: False)

    def hit(self, n: int, packets: int = 1) -> None:
        """Packets hit the rule for an address."""
        (installed,) = (one for one in self.block.values() if self.is_for(one, n))
        self.kernel.hit(installed, packets, packets * SIZE)

    def is_for(self, one: Installed, n: int) -> bool:
        """Whether a filter is of the rule for an address."""
        return n.to_bytes(4, "big") in one.options.values()

    def removed(self) -> list[tuple[int, int, int, int]]:
        """Of the rules that went since: the address, the reason, packets and bytes."""
        found = [
            (one.match.get(IPV4_DST)[0], one.reason, one.packet_count, one.byte_count)
            for one in self.observer.removed
        ]
        self.observer.removed.clear()
        return sorted(found)

    def test_idle(self) -> None:
        """A rule goes when no packet has hit it for its time, which the kernel knows; who asked for
        counters meanwhile does not matter."""
        for n in range(1, 41):
            self.send(ADD, address(n), idle_timeout=10)
        self.elapse(7)
        for n in range(1, 4):
            self.hit(n)
        self.elapse(2)
        self.switch.handle(of.FlowStatsRequest(xid=1), self.requester)
        self.elapse(1)
        gone = RemovedReason.IDLE_TIMEOUT
        self.assertEqual(self.removed(), [(n, gone, 0, 0) for n in range(4, 41)])
        self.elapse(6.5)
        self.assertEqual(self.removed(), [])
        self.hit(3)
        self.elapse(0.5)
        octets = SIZE + ETH_HEADER_LEN
        self.assertEqual(self.removed(), [(n, gone, 1, octets) for n in (1, 2)])
        self.elapse(9.5)
        self.assertEqual(self.removed(), [(3, gone, 2, 2 * octets)])

    def test_final(self) -> None:
        """What was never read while the rule was there is told in the end, whyever it went."""
        self.send(ADD, address(1), hard_timeout=5)
        self.send(ADD, address(2))
        self.hit(1, 3)
        self.hit(2, 4)
        self.elapse(5)
        octets = SIZE + ETH_HEADER_LEN
        self.assertEqual(self.removed(), [(1, RemovedReason.HARD_TIMEOUT, 3, 3 * octets)])
        self.send(DELETE, address(2))
        self.assertEqual(self.removed(), [(2, RemovedReason.DELETE, 4, 4 * octets)])

    def test_modified(self) -> None:
        """A MODIFY, for which the kernel counts anew, changes neither what was counted nor when."""
        self.send(ADD, address(1), idle_timeout=10)
        self.hit(1, 3)
        self.elapse(4)
        request = flow_mod(MODIFY, address(1), instructions=output(1))
        self.switch.handle(request, self.requester)
        self.elapse(0)
        self.elapse(5.5)
        self.assertEqual(self.removed(), [])
        self.hit(1, 2)
        self.elapse(9.5)
        self.assertEqual(self.removed(), [])
        self.elapse(0.5)
        octets = SIZE + ETH_HEADER_LEN
        self.assertEqual(self.removed(), [(1, RemovedReason.IDLE_TIMEOUT, 5, 5 * octets)])


def address(n: int) -> Match:
    """What the rule for an address matches."""
    return Match.of(eth_type=0x800, ipv4_dst=n)
