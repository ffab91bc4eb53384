"""Tests of :mod:`agent.connmgr.monitors`: sessions that do not read."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionLost

from agent.connmgr.settings import DEFAULT_LIMITS
from agent.openflow import messages as of
from agent.openflow import nx_messages as nx
from agent.openflow.actions import Instructions
from agent.openflow.codec import encode
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.connmgr.fakes import Peer
from tests.connmgr.monitoring import (
    ALL,
    NOT_OWN,
    VERSIONS,
    MonitorCase,
    flow_mod,
    output,
    words,
)
from tests.connmgr.test_switch import ADD, DELETE, MODIFY, REFUSED


class PauseTests(MonitorCase):
    """A session does not read."""

    def setUp(self) -> None:
        """It watches everything, in one of the versions, and has rules 1 to 9."""
        super().setUp()
        self.write(*(flow_mod(ADD, port) for port in range(1, 10)))

    def paused(self, flags: int = ALL, version: int = of.OFP13, **fields: Any) -> Peer:
        """A session that has just been told of its pause."""
        peer = self.peer(version)
        self.watch(peer, flags, **fields)
        peer.transport.choke()
        self.crowd(peer)
        self.write(flow_mod(MODIFY, 9, 7))
        self.assertTrue(self.session(peer).monitors.paused)
        self.assertIn(True, [one.monitors_paused for one in self.manager.connections()])
        self.assertEqual(self.told(peer), [])
        return peer

    def crowd(self, peer: Peer) -> None:
        """It has so much to read that one update more is too much."""
        limit = DEFAULT_LIMITS.monitor_backlog
        self.session(peer).notify(encode(peer.version, of.EchoReply(bytes(0xFF00))))
        self.session(peer).notify(encode(peer.version, of.EchoReply(bytes(0xFF00))))
        rest = limit - peer.protocol.unsent - 8
        self.session(peer).notify(encode(peer.version, of.EchoReply(bytes(rest))))
        self.assertEqual(peer.protocol.unsent, limit)

    def resume(self, peer: Peer) -> list[str]:
        """It reads everything; returns what, behind what it was paused for."""
        peer.transport.unchoke()
        told = self.told(peer)
        self.assertEqual(told[:3], ["EchoReply"] * 3)
        self.assertEqual(told[3:5], ["*9", "FlowMonitorPaused"])
        self.assertFalse(self.session(peer).monitors.paused)
        return told[5:]

    def test_threshold(self) -> None:
        """It pauses above 128 KiB, not at them."""
        self.assertEqual(DEFAULT_LIMITS.monitor_backlog, 131072)
        peer = self.peer()
        self.watch(peer)
        peer.transport.choke()
        self.crowd(peer)
        self.write(flow_mod(MODIFY, 9, 2))  # which changes nothing
        self.assertFalse(self.session(peer).monitors.paused)
        self.write(flow_mod(MODIFY, 9, 7))
        self.assertTrue(self.session(peer).monitors.paused)

    def test_one_large_update(self) -> None:
        """A session that reads is not paused, however much it is told."""
        peer = self.peer()
        self.watch(peer)
        self.driver.instant = False
        for start in range(10, 960, 50):
            self.write(*(flow_mod(ADD, port) for port in range(start, start + 50)))
            self.driver.finish_all()
        self.clock.turn(3)
        self.assertNotIn("FlowMonitorPaused", self.told(peer))

    def test_nothing_missed(self) -> None:
        """When nothing has happened meanwhile it is only told that it is told everything again."""
        for version in VERSIONS:
            peer = self.paused(version=version)
            self.assertEqual(self.resume(peer), ["FlowMonitorResumed"])
            self.write(flow_mod(MODIFY, 9, 2))
            self.assertEqual(self.told(peer), ["*9"])

    def test_deltas(self) -> None:
        """What was added and modified meanwhile is told as it is now, before RESUMED; deletions
        are told at once, of rules that were there before."""
        peer = self.paused()
        self.write(flow_mod(ADD, 11), flow_mod(MODIFY, 11, 3), flow_mod(MODIFY, 1, 3))
        self.write(flow_mod(MODIFY, 1, 4), flow_mod(ADD, 2, 6), flow_mod(MODIFY, 3, 5))
        self.write(flow_mod(ADD, 12), flow_mod(DELETE, 12), flow_mod(DELETE, 3))
        self.write(flow_mod(DELETE, 4), flow_mod(ADD, 4, 8))
        self.assertEqual(self.told(peer), [])
        peer.transport.unchoke()
        self.clock.turn(3)
        *_, gone1, gone2, deltas, resumed = peer.received()
        self.assertEqual((words(gone1), words(gone2)), (["-3"], ["-4"]))
        self.assertIsInstance(resumed, nx.FlowMonitorResumed)
        self.assertEqual((deltas.xid, resumed.xid), (0, 0))
        self.assertEqual(words(deltas), ["+11", "*1", "+2", "+4"])
        self.assertEqual(
            [update.instructions for update in deltas.updates],
            [output(3), output(4), output(6), output(8)],
        )

    def test_replaced_then_deleted(self) -> None:
        """A rule that it knows is told as deleted, though it was replaced meanwhile."""
        peer = self.paused()
        self.write(flow_mod(ADD, 1, 6), flow_mod(DELETE, 1))
        self.assertEqual(self.resume(peer), ["-1", "FlowMonitorResumed"])

    def test_no_longer_there(self) -> None:
        """A rule which no longer goes to the port that is watched is told as it is now, and when
        it was deleted after that, as deleted."""
        peer = self.paused(out_port=2)
        self.write(flow_mod(MODIFY, 1, 3), flow_mod(MODIFY, 2, 3), flow_mod(DELETE, 2))
        self.assertEqual(self.resume(peer), ["-2", "*1", "FlowMonitorResumed"])

    def test_flags(self) -> None:
        """Only what the monitors ask for is told, also then."""
        peer = self.paused(int(Flags.MODIFY))
        self.write(flow_mod(ADD, 11), flow_mod(MODIFY, 1, 3), flow_mod(DELETE, 2))
        self.write(flow_mod(MODIFY, 3, 3), flow_mod(DELETE, 3))
        peer.transport.unchoke()
        self.clock.turn(3)
        *_, deltas, resumed = peer.received()
        self.assertEqual(words(deltas) + words(resumed), ["*1", "FlowMonitorResumed"])
        self.assertEqual(deltas.updates[0].instructions, ())

    def test_failed(self) -> None:
        """What came to nothing meanwhile is not told; what is in flight is told when it is not."""
        peer = self.paused()
        self.driver.instant = False
        self.write(flow_mod(ADD, 11), flow_mod(MODIFY, 1, 3), flow_mod(MODIFY, 2, 3))
        self.driver.fail(error=REFUSED)
        self.driver.fail(error=REFUSED)
        self.assertEqual(self.resume(peer), ["FlowMonitorResumed"])
        self.finish()
        self.assertEqual(self.told(peer), ["*2"])

    def test_own(self) -> None:
        """Meanwhile its own changes are told in full, and so is what is in flight at the end; what
        it asks for after that is told by xid."""
        peer = self.paused(NOT_OWN)
        self.driver.instant = False
        self.send(peer, flow_mod(ADD, 11), flow_mod(DELETE, 1), flow_mod(MODIFY, 3, 5))
        self.send(peer, flow_mod(MODIFY, 4, 5))
        self.finish(3)
        self.clock.advance(0.01)
        self.assertEqual(self.resume(peer), ["-1", "+11", "*3", "FlowMonitorResumed"])
        self.send(peer, flow_mod(MODIFY, 5, 5))
        self.driver.finish_all()
        self.assertEqual(self.told(peer), ["*4", "xid 9"])

    def test_own_in_flight(self) -> None:
        """A request of its own that was in flight when it was paused is told in full."""
        peer = self.peer()
        self.watch(peer, NOT_OWN)
        self.driver.instant = False
        self.send(peer, flow_mod(DELETE))
        self.clock.advance(0.01)
        self.finish(2)
        self.assertEqual(self.told(peer), [])
        peer.transport.choke()
        self.crowd(peer)
        self.write(flow_mod(ADD, 11))
        self.driver.finish(self.driver.in_flight[-1])
        self.clock.turn(3)
        self.assertTrue(self.session(peer).monitors.paused)
        self.finish(2)
        peer.transport.unchoke()
        self.finish(5)
        told = self.told(peer)
        self.assertEqual(sorted(told[3:5]), ["-1", "-2"])
        self.assertEqual(told[5:7], ["+11", "FlowMonitorPaused"])
        self.assertEqual(told[9], "FlowMonitorResumed")
        self.assertEqual(sorted(told[7:9] + told[10:]), [f"-{port}" for port in range(3, 10)])

    def test_again(self) -> None:
        """A session can be paused again, and each pause ends once."""
        peer = self.paused()
        self.assertEqual(self.resume(peer), ["FlowMonitorResumed"])
        peer.transport.choke()
        peer.transport.unchoke()
        self.assertEqual(self.told(peer), [])
        self.write(flow_mod(MODIFY, 9, 2))
        self.told(peer)
        peer.transport.choke()
        self.crowd(peer)
        self.write(flow_mod(MODIFY, 9, 7))
        self.assertEqual(self.resume(peer), ["FlowMonitorResumed"])

    def test_monitor_cancelled(self) -> None:
        """What was missed for the sake of a monitor that is gone is not told."""
        peer = self.paused(match=Match.of(in_port=9))
        self.write(flow_mod(MODIFY, 9, 3))
        monitors = self.session(peer).monitors
        monitors.cancel(nx.FlowMonitorCancel(1))
        self.assertEqual(self.resume(peer), ["FlowMonitorResumed"])
        self.assertEqual(monitors.monitors, {})

    def test_long_pause(self) -> None:
        """What is kept of a pause is bounded by the rules there are."""
        peer = self.paused()
        for _ in range(30):
            self.write(flow_mod(ADD, 11), flow_mod(MODIFY, 11, 3), flow_mod(MODIFY, 1, 3))
            self.write(flow_mod(MODIFY, 1, 2), flow_mod(DELETE, 11))
        before = peer.protocol.queued
        self.assertEqual(before, 5)
        self.assertEqual(self.resume(peer), ["*1", "FlowMonitorResumed"])

    def test_disconnected(self) -> None:
        """A session that ends while it is paused leaves nothing behind."""
        peer = self.paused()
        self.write(flow_mod(MODIFY, 1, 3))
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.switch.changes.watchers, {})
        self.write(flow_mod(MODIFY, 1, 4))

    def test_cut_off(self) -> None:
        """A session that never reads is cut off in the end, and others do not notice."""
        limits = DEFAULT_LIMITS
        peer, other = self.paused(), self.peer()
        self.watch(other)
        self.session(peer)._notices = limits.notices
        self.write(flow_mod(DELETE, 1))
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.told(other), ["-1"])
        self.assertEqual(list(self.switch.changes.watchers), [self.session(other).monitors])

    def test_copy(self) -> None:
        """Whatever happens while a session reads now and then, what it is told adds up to the
        rules there are."""
        random = Random(3)
        peer = self.peer()
        copy = {update.match: update.instructions for update in self.initial(peer)}
        pauses = 0
        for _ in range(40):
            if random.random() < 0.5 and not peer.protocol.choked:
                peer.transport.choke()
                self.crowd(peer)
            for _ in range(random.randrange(4)):
                command = random.choice((ADD, MODIFY, DELETE))
                self.write(flow_mod(command, random.randrange(1, 13), random.randrange(1, 4)))
            if random.random() < 0.4 and peer.protocol.choked:
                peer.transport.unchoke()
                pauses += self.follow(peer, copy)
                rules = self.switch.tables[0].rules
                self.assertEqual(copy, {rule.match: rule.instructions for rule in rules})
        self.assertGreater(pauses, 5)

    def initial(self, peer: Peer) -> list[nx.FlowUpdate]:
        """What a session is shown when it begins to watch everything."""
        self.send(peer, nx.FlowMonitorRequest((nx.FlowMonitor(1, ALL),)))
        (reply,) = peer.received()
        return list(reply.updates)

    def follow(self, peer: Peer, copy: dict[Match, Instructions]) -> int:
        """Do to the copy what the session is told; returns how often it was paused."""
        self.clock.turn(3)
        pauses = 0
        for message in peer.received():
            pauses += isinstance(message, nx.FlowMonitorPaused)
            if isinstance(message, nx.FlowMonitorReply):
                for update in message.updates:
                    assert isinstance(update, nx.FlowUpdate)
                    if update.event == nx.FlowUpdateEvent.DELETED:
                        del copy[update.match]
                    else:
                        copy[update.match] = update.instructions
        return pauses
