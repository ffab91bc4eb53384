"""Tests of :mod:`agent.connmgr.monitors`: what is told, when, and in which form."""

from __future__ import annotations

from functools import partial

from agent.openflow import messages as of
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import encode
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.connmgr.monitoring import (
    ALL,
    NOT_OWN,
    MonitorCase,
    flow_mod,
    output,
    words,
)
from tests.connmgr.test_switch import ADD, DELETE, MODIFY, REFUSED


class TellingTests(MonitorCase):
    """What is told, when, and in which form."""

    def test_not_before(self) -> None:
        """Nothing is told before the hardware has confirmed it, and nothing of what it refuses."""
        peer = self.peer()
        self.watch(peer)
        self.driver.instant = False
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.assertEqual(self.told(peer), [])
        self.driver.fail(error=REFUSED)
        self.assertEqual(self.told(peer), [])
        self.driver.finish()
        self.assertEqual(self.told(peer), ["+2"])

    def test_before_barrier(self) -> None:
        """A change is told before the barrier behind it is answered, to its own session and to
        others."""
        peers = [self.peer() for _ in range(3)]
        for peer in peers:
            self.watch(peer)
        self.driver.instant = False
        self.send(peers[0], flow_mod(ADD, 1), of.BarrierRequest(2))
        sent: list[tuple[int, int]] = []

        def note(number: int, frame: bytes, _: bool) -> None:
            sent.append((number, frame[1]))

        for number, peer in enumerate(peers):
            peer.protocol.add_tap(partial(note, number))
        self.driver.finish()
        self.clock.turn(3)
        # OFPT_MULTIPART_REPLY to all three, then OFPT_BARRIER_REPLY.
        self.assertEqual(sent, [(0, 19), (1, 19), (2, 19), (0, 21)])

    def test_barrier_of_another(self) -> None:
        """Also a barrier that does not have to wait is answered after what is final was told."""
        peer = self.peer()
        self.watch(peer)
        self.driver.instant = False
        self.write(flow_mod(ADD, 1))
        self.driver.finish()
        self.writer.send(of.BarrierRequest(3))
        self.assertEqual(self.writer.received(), [of.BarrierReply(3)])
        self.assertEqual([words(message) for message in peer.received()], [["+1"]])

    def test_own(self) -> None:
        """Its own changes a session is told by xid, unless it wants to know."""
        for flags, wanted in ((NOT_OWN, ["xid 9"]), (ALL, ["+1"])):
            peer = self.peer()
            self.watch(peer, flags)
            self.send(peer, flow_mod(ADD, 1))
            self.assertEqual(self.told(peer), wanted)
            self.write(flow_mod(DELETE, 1))
            self.assertEqual(self.told(peer), ["-1"])

    def test_own_of_many(self) -> None:
        """A request of its own is told once, however many rules it concerns, and once done."""
        peer = self.peer()
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.watch(peer, NOT_OWN)
        self.driver.instant = False
        for command in (MODIFY, DELETE):
            self.send(peer, flow_mod(command, to=3))
            self.finish()
            self.assertEqual(self.told(peer), [])
            self.finish()
            self.assertEqual(self.told(peer), ["xid 9"])

    def test_own_failed(self) -> None:
        """Of a request of its own that fails, it is told in full what was done, before the barrier
        behind it."""
        peer = self.peer()
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.watch(peer, NOT_OWN)
        self.driver.instant = False
        self.send(peer, flow_mod(MODIFY, to=3), of.BarrierRequest(4))
        self.finish()
        self.driver.fail(error=REFUSED)
        self.clock.turn(3)
        self.driver.finish_all()
        self.assertEqual(self.told(peer), ["ErrorMessage", "BarrierReply"])
        self.send(peer, flow_mod(DELETE), of.BarrierRequest(4))
        self.finish()
        held = [rule.match for rule in self.driver.hardware.values()]
        gone = [f"-{port}" for port in (1, 2) if Match.of(in_port=port) not in held]
        for _ in range(3):
            self.driver.fail(error=REFUSED)
            self.clock.advance(1)
        self.assertEqual(self.told(peer), ["ErrorMessage", *gone, "BarrierReply"])
        self.assertEqual(len(gone), 1)

    def test_own_overtaken(self) -> None:
        """A request of its own is told in full when another's rule, which it would have selected,
        was confirmed first."""
        peer = self.peer()
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.watch(peer, NOT_OWN)
        self.driver.instant = False
        self.send(peer, flow_mod(MODIFY, to=3))
        self.clock.advance(0.001)
        self.write(flow_mod(ADD, 3))
        self.driver.finish(2)
        self.assertEqual(self.told(peer), ["+3"])
        self.driver.finish_all()
        self.assertCountEqual(self.told(peer), ["*1", "*2"])

    def test_own_eviction(self) -> None:
        """A rule that had to go for its own is told in full: it has not asked for that."""
        peer = self.peer()
        table = self.switch.tables[0]
        table.evicts, table.max_entries = True, 1
        rule = flow_mod(ADD, 1)
        rule.idle_timeout = 60
        self.write(rule)
        self.watch(peer, NOT_OWN)
        self.send(peer, flow_mod(ADD, 2))
        self.assertEqual(self.told(peer), ["-1", "xid 9"])

    def test_expiry(self) -> None:
        """What expires is told with its reason."""
        peer = self.peer()
        self.watch(peer)
        rule = flow_mod(ADD, 1)
        rule.hard_timeout = 1
        self.send(peer, rule)
        self.clock.advance(1.1)
        self.clock.turn(3)
        added, gone = (reply.updates[0] for reply in peer.received())
        self.assertEqual((added.hard_timeout, gone.reason), (1, of.RemovedReason.HARD_TIMEOUT))

    def test_many_monitors(self) -> None:
        """A change that interests several monitors of a session is told it once, with all that
        one of them asks for; its own in full if one of them asks for that."""
        peer = self.peer()
        self.watch(peer, int(Flags.ADD))
        self.watch(peer, int(Flags.ADD | Flags.ACTIONS), number=2)
        self.write(flow_mod(ADD, 1))
        ((update,),) = [reply.updates for reply in peer.received()]
        self.assertEqual(update.instructions, output(2))
        self.send(peer, flow_mod(ADD, 2))
        self.assertEqual(self.told(peer), ["xid 9"])
        self.watch(peer, int(Flags.ADD | Flags.OWN), number=3, match=Match.of(in_port=3))
        self.send(peer, flow_mod(ADD, 3), flow_mod(ADD, 4))
        self.assertEqual(self.told(peer), ["+3", "xid 9"])

    def test_together(self) -> None:
        """What the hardware confirms in one turn is told in one message."""
        peer = self.peer()
        self.watch(peer)
        self.driver.instant = False
        self.write(*(flow_mod(ADD, port) for port in range(1, 21)))
        self.driver.finish_all()
        self.clock.turn(2)
        (reply,) = peer.received()
        self.assertEqual(words(reply), [f"+{port}" for port in range(1, 21)])

    def test_own_bundle(self) -> None:
        """A bundle of its own is told by the xid of its commit; another's in full."""
        peer, other = self.peer(), self.peer()
        self.watch(peer, NOT_OWN)
        self.watch(other)
        self.send(peer, *(self.bundled(flow_mod(ADD, port)) for port in (1, 2)))
        commit = BundleControl(1, BundleType.COMMIT_REQUEST, BundleFlags.ATOMIC, 70)
        self.send(peer, commit, of.BarrierRequest(2))
        self.assertEqual(self.told(peer), ["BundleControl", "xid 70", "BarrierReply"])
        self.assertCountEqual(self.told(other), ["+1", "+2"])

    @staticmethod
    def bundled(message: of.FlowMod) -> BundleAdd:
        """A message for the bundle 1."""
        return BundleAdd(1, encode(of.OFP13, message), BundleFlags.ATOMIC, message.xid)
