"""Tests of what the software does for the kernel: packets that are handed over, and rules that
flower cannot express."""

from __future__ import annotations

import errno
import os
from struct import Struct
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields as f
from agent.openflow.actions import (
    ApplyActions,
    DecNwTtl,
    GotoTable,
    GroupAction,
    Output,
    PopMpls,
    SetField,
    WriteMetadata,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import PacketInReason, Port
from drivers.interfaces import OptionError
from drivers.software.device import BATCH
from drivers.software.pipeline import NO_COOKIE
from drivers.software.tap import CLONE_DEVICE, MAKE_AGAIN
from drivers.tcflower import pack
from drivers.tcflower.actions import Vlan, VlanOp
from drivers.tcflower.cpu import LOOK
from drivers.tcflower.places import LAST, UPCALL_CHAIN, entry_chain, low_chain, place
from drivers.tcflower.upcall import Upcall, to_software, way
from drivers.testing import FakeGroup, FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.testing.frames import FRAME
from tests.drivers.software.kernel import RUNNING
from tests.drivers.tcflower.kernel import NO_MODULE
from tests.drivers.tcflower.test_driver import TcFlowerHarness

CPU = "ofcpu0"
TO_CONTROLLER = (ApplyActions((Output(Port.CONTROLLER, 0xFFFF),)),)
TAGGED = FRAME[:12] + bytes.fromhex("81006005") + FRAME[12:]
_tags = Struct("!HHHH")


def handed(
    place: int, table_id: int, counted: bool, frame: bytes, match: Match = MATCH_ALL
) -> bytes:
    """A packet as the kernel hands it over: with what the pushes make of it.

    :param match: of the rule that hands it over.
    """
    for action in (*to_software(table_id, counted, match), *way(place, "", 1, 2, b"").actions):
        if isinstance(action, Vlan):
            assert action.op is VlanOp.PUSH and action.protocol and action.vid is not None
            tag = action.protocol.to_bytes(2, "big") + action.vid.to_bytes(2, "big")
            frame = frame[:12] + tag + frame[12:]
    return frame


class UpcallTests(SynchronousTestCase):
    """What stands in front of a packet."""

    def test_round(self) -> None:
        """It is taken away, and read; the packet's own tags stay."""
        for at, table, counted, frame in (
            (0, 0, False, FRAME),
            (4095, 254, True, TAGGED),
            (7, 0, True, FRAME[:14]),
        ):
            read = Upcall.read(handed(at, table, counted, frame))
            self.assertEqual(read, Upcall(at, table, counted, frame))

    def test_short(self) -> None:
        """What came to the first table is left as it is; what a later one gets may have been
        shortened, and is padded."""
        for table, frame in ((0, FRAME[:42]), (1, FRAME[:42].ljust(60, b"\0"))):
            read = Upcall.read(handed(0, table, False, FRAME[:42]))
            self.assertEqual(read, Upcall(0, table, False, frame))

    def test_tunnel(self) -> None:
        """What a rule matches of tunnels comes along, if it is exact."""
        for matched, told in (
            ({"tunnel_id": 0x12345678}, {"tunnel_id": 0x12345678}),
            ({"tun_src": 0xFFFFFFFF, "tun_dst": 0x0A000001}, None),
            ({"tunnel_id": 0, "tun_src": 1, "tun_dst": 2}, None),
            ({"tun_src": (0x0A000000, 0xFF000000), "tun_dst": 3}, {"tun_dst": 3}),
        ):
            match = Match.of(**matched)
            fields = (match if told is None else Match.of(**told)).value
            data = handed(3, 1, True, TAGGED, match)
            self.assertEqual(Upcall.read(data), Upcall(3, 1, True, TAGGED, fields))
            self.assertIsNone(Upcall.read(data[: -len(TAGGED)]))

    def test_others(self) -> None:
        """What the host itself sends by the device is nobody's packet."""
        for frame in (b"", FRAME, TAGGED, FRAME[:12] + bytes.fromhex("88a80001") + FRAME[12:]):
            self.assertIsNone(Upcall.read(frame))


class SoftwareCase(TcFlowerHarness):
    """A driver that falls back."""

    unsupported = "fallback"

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.driver, self.host = self.started(unsupported=self.unsupported)

    def add(self, rule: FakeRule) -> Any:
        """Install a rule; returns its operation."""
        operation = FakeOperation.add(rule)
        self.run_operations(self.driver, self.host, operation)
        return operation

    def hand(self, *frames: bytes, place: int = 0, table: int = 0, counted: bool = False) -> None:
        """The kernel hands packets over, by default from port 1."""
        self.kernel.arrive(CPU, *(handed(place, table, counted, frame) for frame in frames))
        self.settle(self.host, lambda: False)

    def sent(self, name: str) -> list[bytes]:
        """What was sent by a device, without padding."""
        return [frame[: len(FRAME)] for frame in self.kernel.devices[name].sent]

    def there(self, chain: int, pref: int) -> list[Any]:
        """The filters at a place."""
        (block,) = self.kernel.blocks.values()
        return [one for key, one in block.items() if key[:2] == (chain, pref)]

    def vlan_of(self, installed: Any) -> bytes:
        """The options of the first action of a filter, which pushes a tag."""
        self.assertEqual(installed.kind, "vlan")
        options: bytes = installed.actions[0][pack.ACT_OPTIONS]
        return options


class PacketTests(SoftwareCase, SynchronousTestCase):
    """Packets that come from the kernel."""

    def test_controller(self) -> None:
        """A packet for the controllers arrives with its port, reason, table and cookie, and is
        counted once: what the kernel's filter says does not count."""
        rule = FakeRule(Match.of(in_port=2), 9, 3, TO_CONTROLLER, cookie=77)
        self.assertTrue(self.add(rule).succeeded)
        self.hand(TAGGED, place=1, table=3)
        (told,) = self.host.packet_ins
        self.assertEqual(
            (told.data, told.in_port, told.reason, told.table_id, told.cookie),
            (TAGGED, 2, PacketInReason.ACTION, 3, 77),
        )
        self.kernel.hit(self.there(*place(3, 9))[0], 1, len(TAGGED) - 14)
        self.wait(self.host, self.driver.refresh([rule]))
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(TAGGED)))
        self.assertEqual(rule.counters.used, self.host.now())

    def test_counted(self) -> None:
        """Of a rule that leaves only some packets to the software the kernel has counted all."""
        does = (ApplyActions((DecNwTtl(), Output(2))),)
        rule = FakeRule(Match.of(in_port=1, eth_type=0x800), 9, 0, does)
        self.assertTrue(self.add(rule).succeeded)
        self.kernel.hit(self.there(*place(0, 9))[0], 1, len(FRAME) - 14)
        expired = FRAME[:22] + b"\1" + FRAME[23:]
        self.hand(expired, counted=True)
        self.assertEqual([e.reason for e in self.host.packet_ins], [PacketInReason.INVALID_TTL])
        self.wait(self.host, self.driver.refresh([rule]))
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(FRAME)))

    def test_tables(self) -> None:
        """The software goes on in later tables with rules that are in the kernel, and counts."""
        first = FakeRule(Match.of(), 5, 1, (WriteMetadata(7, 7), GotoTable(2)))
        second = FakeRule(Match.of(in_port=1), 5, 2, output(2))
        for rule in (first, second):
            self.assertTrue(self.add(rule).succeeded)
        self.hand(FRAME, FRAME, table=1)
        self.assertEqual(self.sent("eth2"), [FRAME] * 2)
        self.assertEqual((first.counters.packets, second.counters.packets), (2, 2))

    def test_tunnel(self) -> None:
        """The controllers are told which tunnel it was, and rules of later tables see it."""
        match = Match.of(in_port=1, tunnel_id=77)
        first = FakeRule(
            match, 9, 0, (ApplyActions((*TO_CONTROLLER[0].actions, Output(2))), GotoTable(1))
        )
        second = FakeRule(Match.of(tunnel_id=77), 9, 1, output(2))
        for rule in (first, second):
            self.assertTrue(self.add(rule).succeeded)
        self.kernel.arrive(CPU, handed(0, 0, False, FRAME, match))
        self.settle(self.host, lambda: False)
        (told,) = self.host.packet_ins
        self.assertEqual(f.TUNNEL_ID.get(told.key), 77)
        self.assertEqual(self.sent("eth2"), [FRAME] * 2)
        self.assertEqual((first.counters.packets, second.counters.packets), (1, 1))

    def test_miss(self) -> None:
        """A miss in the first table goes to the controllers while OpenFlow 1.0 is spoken; it is
        noticed when that changes.  In later tables it never does."""
        low = FakeRule(Match.of(in_port=2), 0, 0, (GotoTable(5),))
        for rule in (FakeRule(Match.of(in_port=2), 9), low):
            self.assertTrue(self.add(rule).succeeded)
        (end,) = self.there(low_chain(0), LAST)
        self.vlan_of(end)
        self.hand(FRAME)
        (told,) = self.host.packet_ins
        self.assertEqual((told.reason, told.cookie), (PacketInReason.NO_MATCH, NO_COOKIE))
        self.assertEqual(self.there(entry_chain(5), LAST)[0].kind, "gact")
        self.host.miss_to_controller = False
        self.reactor.advance(LOOK)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.there(low_chain(0), LAST)[0].kind, "gact")
        self.assertEqual(self.there(entry_chain(0), LAST)[0].kind, "gact")
        self.hand(FRAME)
        self.assertEqual(len(self.host.packet_ins), 1)

    def test_bounded(self) -> None:
        """No more packets than a batch are taken in one turn of the reactor."""
        self.kernel.arrive(CPU, *[handed(0, 0, False, FRAME)] * (3 * BATCH))
        self.kernel.turn(self.reactor)
        self.assertEqual(self.driver.show()["packets to the software"], BATCH)
        self.settle(self.host, lambda: False)
        self.assertEqual(len(self.host.packet_ins), 3 * BATCH)

    def test_closed(self) -> None:
        """What a port had handed over before it was closed is not taken, nor what is of no port."""
        self.driver.port_mod(1, 1, 1)
        self.hand(FRAME)
        self.hand(FRAME, place=3)
        self.kernel.arrive(CPU, FRAME, b"")
        self.settle(self.host, lambda: False)
        self.assertEqual(self.host.packet_ins, [])

    def test_deleted(self) -> None:
        """A device that somebody deletes is made again, and what sends packets there changed."""
        ways = self.there(UPCALL_CHAIN, 1)
        self.assertEqual(sorted(one.indev for one in ways), ["eth1", "eth2"])
        before = [one.options[pack.FLOWER_ACT] for one in ways]
        self.kernel.add("other")
        self.kernel.remove(CPU)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.there(UPCALL_CHAIN, 1), [])
        self.assertEqual(len(self.there(UPCALL_CHAIN, LAST)), 1)
        opened = self.kernel.open
        self.kernel.open = _refuse  # type: ignore[method-assign]
        self.reactor.advance(MAKE_AGAIN)
        self.kernel.open = opened  # type: ignore[method-assign]
        self.reactor.advance(MAKE_AGAIN)
        self.settle(self.host, lambda: False)
        ways = self.there(UPCALL_CHAIN, 1)
        self.assertEqual(sorted(one.indev for one in ways), ["eth1", "eth2"])
        self.assertNotIn(before[0], [one.options[pack.FLOWER_ACT] for one in ways])
        self.hand(FRAME)
        self.assertEqual(len(self.host.packet_ins), 1)

    def test_no_device(self) -> None:
        """Without a way to make the device there is one clear sentence, and nothing stays open."""
        self.stop(self.driver, self.host)
        self.kernel.open = _refuse  # type: ignore[method-assign]
        error = self.assertRaises(OSError, super().started)
        self.assertIn(CLONE_DEVICE, str(error))
        self.assertEqual(self.kernel.descriptors, {})


def _refuse(path: str) -> int:
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


class FallbackTests(SoftwareCase, SynchronousTestCase):
    """Rules that flower cannot express."""

    def test_executed(self) -> None:
        """One of them takes its packets where it stands, and the software executes it."""
        rule = FakeRule(Match.of(eth_type=0x86DD, ipv6_flabel=(1, 1)), 9, 0, output(2))
        self.assertTrue(self.add(rule).succeeded)
        (wide,) = self.there(*place(0, 9))
        self.vlan_of(wide)
        self.assertTrue(self.add(FakeRule(Match.of(), 5, 0, output(3))).succeeded)
        frame = FRAME[:12] + bytes.fromhex("86dd6000000100003b40") + bytes(38)
        self.hand(frame, FRAME)
        self.assertEqual(self.sent("eth2"), [frame])
        self.assertEqual(rule.counters.packets, 1)

    def test_reasons(self) -> None:
        """Why is told of each rule, and in short of all; and no more when they are gone."""
        operations = [
            self.add(FakeRule(Match.of(eth_type=0x86DD, ipv6_flabel=n), 9, 0, output(2)))
            for n in (1, 2)
        ]
        operations.append(self.add(FakeRule(Match.of(in_port=1), 8, 0, TO_CONTROLLER)))
        self.add(FakeRule(Match.of(in_port=2), 8, 0, output(1)))
        reasons = self.driver.software_reasons()
        self.assertEqual(set(reasons), {operation.rule.handle for operation in operations})
        shown = self.driver.show()
        self.assertEqual(shown["in software"], 3)
        self.assertIn("ipv6_flabel (2)", shown["reasons"])
        self.assertIn("output to the controllers (1)", shown["reasons"])
        for operation in operations:
            self.run_operations(self.driver, self.host, FakeOperation.delete(operation.rule))
        self.assertEqual(self.driver.software_reasons(), {})

    def test_moved(self) -> None:
        """A rule that goes over to the software, and back into the kernel, counts all packets
        once."""
        select = FakeGroup(7, GroupType.SELECT, (Bucket(actions=(Output(2),), weight=1),))
        indirect = select.modified(GroupType.INDIRECT, Bucket(actions=(Output(2),)))
        self.run_operations(self.driver, self.host, FakeOperation.add(indirect))
        named = (ApplyActions((GroupAction(7),)),)
        rule = FakeRule(Match.of(in_port=1), 9, 0, named)
        self.assertTrue(self.add(rule).succeeded)
        for packets, group in ((1, select), (2, indirect)):
            (there,) = self.there(*place(0, 9))
            self.assertEqual(there.kind, "mirred" if packets == 1 else "vlan")
            self.kernel.hit(there, 1, len(FRAME) - 14)
            if packets == 2:
                self.hand(FRAME)
            changed = FakeOperation.change(group, group)
            self.run_operations(self.driver, self.host, changed)
            self.assertTrue(changed.succeeded)
            self.assertEqual(rule.counters.packets, packets)
            self.assertEqual(bool(self.driver.software_reasons()), group is select)
        self.assertEqual(self.sent("eth2"), [FRAME])

    def test_lacking(self) -> None:
        """What the kernel has no module for, the software executes, and says in the kernel's words
        why; nothing is wrong with that, and the kernel is asked again when something changes."""
        self.kernel.lacks.add("mpls")
        does = (ApplyActions((PopMpls(0x800), Output(2))),)
        rule = FakeRule(Match.of(in_port=1, eth_type=0x8847), 9, 0, does)
        operation = self.add(rule)
        self.assertTrue(operation.succeeded)
        self.host.expected = {rule.handle: operation.rule}
        self.assertEqual([one.kind for one in self.there(*place(0, 9))], ["vlan"])
        reason = self.driver.software_reasons()[rule.handle]
        self.assertEqual(reason.kind, "FLOW_MOD_FAILED.UNKNOWN")
        self.assertIn(NO_MODULE, reason.text)
        self.assertEqual(self.driver.show()["refused"], 0)
        self.hand(FRAME[:12] + bytes.fromhex("884700001140") + FRAME[14:])
        self.assertEqual(self.sent("eth2"), [FRAME])
        self.assertEqual(self.wait(self.host, self.driver.check()), [])
        self.kernel.change("eth2", flags=0)
        self.settle(self.host, lambda: False)
        self.assertEqual(self.driver.software_reasons(), {rule.handle: reason})
        self.assertEqual(self.host.degraded_rules, {})
        self.kernel.lacks.clear()
        self.kernel.change("eth2", flags=RUNNING)
        self.settle(self.host, lambda: False)
        self.assertEqual([one.kind for one in self.there(*place(0, 9))], ["gact"])
        self.assertEqual(self.driver.software_reasons(), {})
        self.assertEqual(rule.counters.packets, 1)
        self.assertEqual(self.wait(self.host, self.driver.check()), [])

    def test_lacking_alike(self) -> None:
        """Of rules that are alike only the first is tried; one that has a tail falls back, too, and
        what it was changed from forwards until then."""
        self.kernel.lacks.add("pedit")
        sets = (ApplyActions((SetField(f.ETH_SRC, 5), Output(2))),)
        for n in (1, 2, 3):
            requests = self.kernel.requests
            rule = FakeRule(Match.of(in_port=1, eth_dst=n), 9, 0, sets)
            self.assertTrue(self.add(rule).succeeded)
            if n > 1:
                self.assertEqual(self.kernel.requests - requests, 1)
        tailed = FakeRule(Match.of(eth_dst=1), 8, 0, output(2))
        operation = self.add(tailed)
        changed = attrs.evolve(operation.rule, instructions=sets)
        change = FakeOperation.change(operation.rule, changed)
        self.run_operations(self.driver, self.host, change)
        self.assertTrue(change.succeeded)
        self.assertEqual(len(self.driver.software_reasons()), 4)
        self.assertEqual([one.kind for one in self.there(*place(0, 8))], ["vlan"])

    def test_lacking_way(self) -> None:
        """Where the kernel has not what leads to the software either, the rule is refused, and none
        of it stays."""
        self.kernel.lacks |= {"mpls", "vlan"}
        does = (ApplyActions((PopMpls(0x800), Output(2))),)
        operation = self.add(FakeRule(Match.of(in_port=1, eth_type=0x8847), 9, 0, does))
        self.assertIn(NO_MODULE, str(operation.completions[0]))
        self.assertEqual((self.there(*place(0, 9)), self.driver.show()["refused"]), ([], 1))

    def test_tunnel_fields(self) -> None:
        """What rules set of a tunnel is matched in the next table, in any way; once a port is a
        tunnel's, the kernel does it, and what the software would have to see is degraded."""
        sets = (SetField(f.TUNNEL_ID, 0x3039), SetField(f.TUN_DST, 0x0A000001))
        first = FakeRule(Match.of(in_port=1), 9, 0, (ApplyActions(sets), GotoTable(1)))
        masked = FakeRule(Match.of(tunnel_id=(0x3000, 0xFF00)), 9, 1, output(2))
        operations = [self.add(rule) for rule in (first, masked)]
        self.assertTrue(all(operation.succeeded for operation in operations))
        self.host.expected = {one.rule.handle: one.rule for one in operations}
        self.assertEqual(self.there(*place(1, 9)), [])
        self.hand(FRAME)
        self.assertEqual(self.sent("eth2"), [FRAME])
        self.assertEqual((first.counters.packets, masked.counters.packets), (1, 1))
        self.kernel.add("eth3", virtual="vxlan")
        self.settle(self.host, lambda: False)
        self.assertEqual(self.there(*place(0, 9))[0].kind, "tunnel_key")
        (why,) = self.host.degraded_rules.values()
        self.assertIn("tunnel", why)

    def test_hidden(self) -> None:
        """The agent's own rules are executed by the software, too."""
        rule = FakeRule(Match.of(eth_type=0x806), 180_000, 0, output(Port.NORMAL))
        self.assertTrue(self.add(rule).succeeded)
        self.hand(FRAME[:12] + b"\x08\x06" + FRAME[14:])
        self.assertEqual(len(self.sent("eth2")), 1)

    def test_hardware_only(self) -> None:
        """Who wants everything in hardware can have nothing in software."""
        error = self.assertRaises(OptionError, self.make, mode="skip_sw", unsupported="fallback")
        self.assertEqual(error.key, "unsupported")
        driver = self.make(mode="skip_sw")
        self.assertNotIn(Port.CONTROLLER, driver.capabilities.reserved_ports)


class RejectTests(SoftwareCase, SynchronousTestCase):
    """What is different without the fallback."""

    unsupported = "reject"

    def test_refused(self) -> None:
        """What flower cannot express is refused; what is for the controllers is not."""
        rule = FakeRule(Match.of(eth_type=0x86DD, ipv6_flabel=1), 9, 0, output(2))
        self.assertIsInstance(self.add(rule).completions[0], OpenFlowError)
        self.kernel.lacks.add("mpls")
        does = (ApplyActions((PopMpls(0x800), Output(2))),)
        refused = self.add(FakeRule(Match.of(in_port=1, eth_type=0x8847), 9, 0, does))
        self.assertIn(NO_MODULE, str(refused.completions[0]))
        self.assertEqual(self.there(*place(0, 9)), [])
        self.assertTrue(self.add(FakeRule(Match.of(), 0, 0, TO_CONTROLLER)).succeeded)
        self.assertIn(Port.CONTROLLER, self.driver.capabilities.reserved_ports)
        self.hand(FRAME)
        (told,) = self.host.packet_ins
        self.assertEqual((told.reason, told.in_port), (PacketInReason.NO_MATCH, 1))
