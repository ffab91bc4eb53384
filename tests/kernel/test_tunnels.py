"""Packets that come out of a tunnel and go into one: a vxlan device that is a port."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as of
from agent.openflow import fields as f
from agent.openflow.match import Match
from agent.openflow.messages import PacketInReason, Port
from drivers.testing import FakeEntry, FakeOperation, FakeRule
from drivers.testing.fakes import output
from tests.kernel import run
from tests.kernel.reactors import turn
from tests.kernel.test_driver import SETTLE, ForwardingHarness, make_pairs
from tests.kernel.test_frames import UDP, frame

HERE, THERE = 0x0A090001, 0x0A090002
VXLAN = 4789
SETS = (of.SetField(f.TUNNEL_ID, 77), of.SetField(f.TUN_DST, THERE))
OUTER = 14 + 20 + 8
"""Bytes of the headers around that of VXLAN."""


class TunnelHarness(ForwardingHarness):
    """Port 1 is a veth pair, port 2 the tunnel, and the tunnel's packets go by another pair."""

    port_entries = (FakeEntry("tc1", 1, type="netdev"), FakeEntry("vx0", 2, type="netdev"))

    def setUp(self) -> None:
        """Make the tunnel."""
        make_pairs()
        run("ip addr add 10.9.0.1/24 dev tc4")
        self.addCleanup(run, "ip addr del 10.9.0.1/24 dev tc4")
        run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:09:02 dev tc4 nud permanent")
        run(f"ip link add vx0 type vxlan external dstport {VXLAN}")
        self.addCleanup(run, "ip link del vx0")
        run("ip link set vx0 up")
        (link,) = json.loads(run("ip -j link show tc4"))
        self.address = int(link["address"].replace(":", ""), 16)
        super().setUp()

    def sent(self, data: bytes, key_id: int) -> None:
        """A frame that comes in at port 1 leaves by the tunnel of this number alone."""
        ((port, (outer,)),) = self.out(1, data).items()
        self.assertEqual(port, 4)
        self.assertEqual(outer[30:34], THERE.to_bytes(4, "big"))
        self.assertEqual(outer[36:38], VXLAN.to_bytes(2, "big"))
        self.assertEqual(outer[OUTER + 4 : OUTER + 7], key_id.to_bytes(3, "big"))
        self.assertEqual(outer[OUTER + 8 :], data)

    def encapsulated(self, key_id: int, inner: bytes) -> bytes:
        """A frame as it comes by the underlay."""
        return frame(
            {"eth_dst": self.address, "eth_src": 0x020000000902, **UDP},
            {"ipv4_src": THERE, "ipv4_dst": HERE, "udp_src": 1000, "udp_dst": VXLAN},
            payload=b"\x08\0\0\0" + key_id.to_bytes(3, "big") + b"\0" + inner,
        )


class TunnelTests(TunnelHarness, SynchronousTestCase):
    """What the kernel does by itself."""

    def test_match(self) -> None:
        """The tunnel's number and addresses are matched as the packet had them; the frame comes out
        without them."""
        inner = frame(UDP)
        for wanted, taken in (
            ({"tunnel_id": 77}, True),
            ({"tunnel_id": 78}, False),
            ({"tun_src": THERE, "tun_dst": HERE}, True),
            ({"tun_src": HERE}, False),
            ({"tun_dst": THERE}, False),
            ({"tun_src": (THERE, 0xFFFFFF00)}, True),
        ):
            rule = FakeRule(Match.of(**wanted), 9, instructions=output(1))
            self.add(rule)
            found = self.out(4, self.encapsulated(77, inner))
            self.assertEqual(found, {1: [inner]} if taken else {}, wanted)
            self.delete(rule)
            self.assertEqual(rule.counters.packets, int(taken))

    def test_set(self) -> None:
        """A frame is encapsulated as the rule says."""
        apply = of.ApplyActions((*SETS, of.Output(2)))
        rule = FakeRule(Match.of(in_port=1), 9, instructions=(apply,))
        self.add(rule)
        inner = frame(UDP)
        self.sent(inner, 77)
        self.delete(rule)
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(inner)))

    def test_controller(self) -> None:
        """The controllers are told which tunnel a frame came out of."""
        self.host.packet_ins.clear()
        does = (of.ApplyActions((of.Output(Port.CONTROLLER, 0xFFFF), of.Output(1))),)
        self.add(FakeRule(Match.of(tunnel_id=0xABCDEF, tun_src=THERE), 9, instructions=does))
        inner = frame(UDP, payload=bytes(32))
        for key_id in (0xABCDEF, 0xABCDEE):
            self.out(4, self.encapsulated(key_id, inner))
        turn(self.reactor, lambda: False, SETTLE)
        # The other frame is a miss.
        told, missed = sorted(self.host.packet_ins, key=lambda event: -event.reason)
        self.assertEqual(missed.reason, PacketInReason.NO_MATCH)
        self.assertEqual((told.data, told.in_port), (inner, 2))
        found = (f.TUNNEL_ID.get(told.key), f.TUN_SRC.get(told.key))
        self.assertEqual(found, (0xABCDEF, THERE))
        self.assertEqual(self.peers[1].received(), [inner])


class FallbackTests(TunnelHarness, SynchronousTestCase):
    """What is different where the software helps."""

    unsupported = "fallback"

    def test_next_table(self) -> None:
        """With a tunnel among the ports, what a rule sets for another table stays in the kernel,
        which encapsulates; a match that the kernel cannot do is refused."""
        first = FakeRule(
            Match.of(in_port=1), 9, instructions=(of.ApplyActions(SETS), of.GotoTable(1))
        )
        second = FakeRule(Match.of(tunnel_id=77), 9, 1, output(2))
        self.add(first, second)
        self.assertEqual(self.driver.software_reasons(), {})
        self.sent(frame(UDP), 77)
        masked = FakeOperation.add(FakeRule(Match.of(tunnel_id=(77, 255)), 8, 1, output(2)))
        self.run_operations(self.driver, self.host, masked)
        (error,) = masked.completions
        self.assertIn("tunnel", str(error))

    def test_in_software(self) -> None:
        """What a rule in software matches exactly of a tunnel, later tables see there."""
        keeps = (of.WriteMetadata(5, 5), of.GotoTable(1))
        first = FakeRule(Match.of(tunnel_id=77), 9, instructions=keeps)
        second = FakeRule(Match.of(metadata=5, tunnel_id=77), 9, 1, output(1))
        self.add(first, second)
        inner = frame(UDP, payload=bytes(32))
        self.out(4, self.encapsulated(78, inner), self.encapsulated(77, inner))
        turn(self.reactor, lambda: False, SETTLE)
        self.assertEqual(self.peers[1].received(), [inner])
        self.delete(first, second)
        self.assertEqual((first.counters.packets, second.counters.packets), (1, 1))
