"""What the kernel hands to the software, and rules that the software executes, with real frames."""

from __future__ import annotations

import socket
from itertools import pairwise
from struct import Struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.match import Match
from agent.openflow.messages import PacketInReason, Port
from agent.packet.checksum import internet_checksum
from drivers.software import offload
from drivers.software.device import BATCH
from drivers.software.netdev import PACKET_VNET_HDR, SOL_PACKET
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from tests.kernel.reactors import result, turn
from tests.kernel.test_driver import SETTLE, KernelHarness

TO_CONTROLLER = of.Output(Port.CONTROLLER, 0xFFFF)
MANY = 3000
"""More packets than wait in the kernel."""
_u16 = Struct("!H")
PSEUDO = sum(_u16.unpack_from(FRAME, at)[0] for at in range(26, 34, 2)) + 17 + 9
"""The sum of what goes before the UDP datagram of the frame in its checksum."""
UDP = FRAME[34:40] + b"\0\0" + FRAME[42:43]
RIGHT = FRAME[:40] + _u16.pack(internet_checksum(UDP, PSEUDO)) + UDP[8:]
"""The frame with the checksum of UDP, and no padding."""


def tagged(*tags: tuple[int, int]) -> bytes:
    """The frame behind VLAN tags."""
    pushed = b"".join(_u16.pack(tpid) + _u16.pack(tci) for tpid, tci in tags)
    return FRAME[:12] + pushed + FRAME[12:]


class SoftwareTests(KernelHarness, SynchronousTestCase):
    """See the module."""

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.driver, self.host = self.started(unsupported="fallback")

    def add(self, *rules: FakeRule) -> None:
        """Install rules."""
        operations = [FakeOperation.add(rule) for rule in rules]
        self.run_operations(self.driver, self.host, *operations)
        self.host.expected = {
            **self.host.expected,
            **{operation.rule.handle: operation.rule for operation in operations},
        }
        for operation in operations:
            self.assertTrue(operation.succeeded, operation.completions)

    def out(self, in_port: int, frame: bytes, copies: int = 1) -> dict[int, list[bytes]]:
        """What comes out of which port when a frame comes in."""
        for peer in self.peers.values():
            peer.received()
        self.peers[in_port].send(frame)
        found: dict[int, list[bytes]] = {}

        def come() -> bool:
            for n, peer in self.peers.items():
                frames = peer.received()
                if frames:
                    found.setdefault(n, []).extend(frames)
            return sum(map(len, found.values())) >= copies

        turn(self.reactor, come, SETTLE)
        return found

    def told(self, in_port: int, *frames: bytes) -> list[Any]:
        """What the controllers are told when frames come in."""
        self.host.packet_ins.clear()
        for frame in frames:
            self.peers[in_port].send(frame)
        turn(self.reactor, lambda: len(self.host.packet_ins) >= len(frames), SETTLE * 10)
        return list(self.host.packet_ins)

    def counted(self, *rules: FakeRule) -> list[int]:
        """How many packets rules have counted."""
        result(self.reactor, self.driver.refresh(rules))
        return [rule.counters.packets for rule in rules]

    def check(self) -> None:
        """See that the kernel has what it should."""
        self.assertEqual(result(self.reactor, self.driver.check()), [])

    def test_miss(self) -> None:
        """A miss comes with its port, tags and bytes."""
        frames = [
            FRAME,
            tagged((0x8100, 0x6005)),
            tagged((0x88A8, 5)),
            tagged((0x88A8, 5), (0x8100, 7)),
            tagged((0x8100, 5), (0x8100, 6), (0x8100, 7)),
            FRAME[:12] + b"\x12\x34" + bytes(46),
            FRAME[:12] + b"\x00\x05" + bytes(46),
            FRAME[:14] + bytes(1486),
        ]
        for in_port in (1, 3):
            events = self.told(in_port, *frames)
            self.assertEqual([event.data for event in events], frames)
            self.assertEqual({event.in_port for event in events}, {in_port})
            self.assertEqual({event.reason for event in events}, {PacketInReason.NO_MATCH})
        self.host.miss_to_controller = False
        turn(self.reactor, lambda: False, 2.5)
        self.assertEqual(self.told(1, FRAME), [])

    def test_controller(self) -> None:
        """A packet for the controllers is told of as it comes to the rule, in any table; rules
        count it once."""
        push = (of.PushVlan(0x8100), of.SetField(f.VLAN_VID, 0x1007))
        first = FakeRule(Match.of(vlan_vid=0), 9, 0, (of.ApplyActions(push), of.GotoTable(3)))
        does = (of.ApplyActions((of.Output(2), TO_CONTROLLER)),)
        second = FakeRule(Match.of(in_port=1), 5, 3, does, cookie=99)
        self.add(first, second)
        wanted = tagged((0x8100, 7))
        for _ in range(3):
            self.assertEqual(self.out(1, FRAME), {2: [wanted]})
        self.assertEqual(
            [(e.data, e.table_id, e.cookie, e.reason) for e in self.host.packet_ins],
            [(wanted, 3, 99, PacketInReason.ACTION)] * 3,
        )
        self.assertEqual(self.counted(first, second), [3, 3])
        self.assertEqual(second.counters.bytes, 3 * len(wanted))
        self.check()

    def test_fallback(self) -> None:
        """A rule in software stands between higher and lower ones in the kernel; what it leaves
        goes to the lower."""
        rules = [
            FakeRule(Match.of(eth_type=0x800, vlan_vid=0x1007), 30, 0, output(3)),
            FakeRule(Match.of(vlan_vid=(0x1001, 0x1001)), 20, 0, output(2)),
            FakeRule(Match.of(vlan_vid=(0x1002, 0x1002)), 20, 0, output(4)),
            FakeRule(Match.of(vlan_vid=(0x1001, 0x1001)), 10, 0, ()),
            FakeRule(Match.of(in_port=1), 5, 0, output(3)),
        ]
        rules[2] = FakeRule(rules[2].match, 19, 0, (of.WriteMetadata(1, 1), of.GotoTable(1)))
        rules.append(FakeRule(Match.of(metadata=1), 1, 1, output(2)))
        self.add(*rules)
        reasons = self.driver.software_reasons()
        self.assertEqual(
            [rule.handle in reasons for rule in rules], [False, True, True, True, False, True]
        )
        for tci, port in ((7, 3), (5, 2), (2, 2), (8, 3)):
            frame = tagged((0x8100, tci))
            self.assertEqual(self.out(1, frame), {port: [frame]}, tci)
        self.assertEqual(self.counted(*rules), [1, 1, 1, 0, 1, 1])
        self.check()
        for rule in rules:
            self.run_operations(self.driver, self.host, FakeOperation.delete(rule))
        self.assertEqual(self.driver.show()["filters"], 0)

    def test_alike(self) -> None:
        """Rules of one priority which differ only in what flower cannot compare."""
        rules = [
            FakeRule(Match.of(eth_type=0x86DD, ipv6_flabel=label), 9, 0, output(port))
            for label, port in ((1, 2), (2, 3))
        ]
        self.add(*rules)
        for label, port in ((1, 2), (2, 3)):
            head = bytes.fromhex("86dd6000") + _u16.pack(label) + bytes.fromhex("00003b40")
            frame = FRAME[:12] + head + bytes(32)
            self.assertEqual(self.out(1, frame.ljust(60, b"\0")), {port: [frame.ljust(60, b"\0")]})
        self.assertEqual(self.counted(*rules), [1, 1])
        self.check()

    def test_ttl(self) -> None:
        """Of a rule in the kernel the packets that it cannot handle are counted once, too."""
        does = (of.ApplyActions((of.DecNwTtl(), of.Output(2))),)
        rule = FakeRule(Match.of(eth_type=0x800), 9, 0, does)
        self.add(rule)
        (event,) = self.told(1, FRAME[:22] + b"\1" + FRAME[23:])
        self.assertEqual(event.reason, PacketInReason.INVALID_TTL)
        self.assertEqual(len(self.out(1, FRAME)[2]), 1)
        self.assertEqual(self.counted(rule), [2])
        self.assertEqual(rule.counters.bytes, 2 * len(FRAME))

    def test_packet_out(self) -> None:
        """What a controller sends leaves by the port that it says, or goes through the tables."""
        self.add(FakeRule(Match.of(in_port=1), 5, 0, output(3)))
        for action, port in ((of.Output(2), 2), (of.Output(Port.TABLE), 3)):
            for peer in self.peers.values():
                peer.received()
            self.driver.packet_out(FRAME, 1, (action,))
            found = {n: frames for n, peer in self.peers.items() if (frames := peer.received())}
            self.assertEqual(found, {port: [FRAME]})

    def test_unfinished(self) -> None:
        """A checksum that a sender's kernel has left to its network card is finished."""
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.addCleanup(sender.close)
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind(("peer1", 0))
        begun = FRAME[:40] + _u16.pack(PSEUDO % 0xFFFF) + UDP[8:]
        self.host.packet_ins.clear()
        sender.send(offload.HEADER.pack(offload.NEEDS_CSUM, 0, 0, 0, 34, 6) + begun)
        turn(self.reactor, lambda: len(self.host.packet_ins) >= 1, SETTLE * 10)
        [event] = self.host.packet_ins
        self.assertEqual(event.data, RIGHT)

    def test_flood(self) -> None:
        """What is too much is dropped and counted, and nothing else waits for the rest."""
        for _ in range(MANY):
            self.peers[1].send(FRAME)
        turns = [0]
        while len(turns) < 3 or turns[-1] != turns[-2]:
            self.reactor.iterate(0.05)
            turns.append(self.driver.show()["packets to the software"])
        self.assertLessEqual(max(b - a for a, b in pairwise(turns)), BATCH)
        self.assertGreater(turns[-1], 10 * BATCH)
        self.assertLess(turns[-1], MANY)

        def dropped() -> bool:
            shown = self.driver.show()
            return bool(shown["of these dropped"] + shown["packets to the software"] >= MANY)

        self.assertTrue(turn(self.reactor, dropped, 10.0), self.driver.show())
