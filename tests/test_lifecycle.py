"""How things end: a bridge, a controller, a configuration, the whole agent, in the midst of work.

Whatever is going on, the end comes in bounded time and leaves nothing behind: no operation, no
delayed call, no reference.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from agent.admin.commands import commands
from agent.bridge import Bridge
from agent.ofproto.lifecycle import STOP_TIMEOUT
from agent.ofproto.operations import State
from agent.openflow import messages as of
from agent.openflow.match import Match
from drivers.interfaces import PacketInEvent
from tests.connmgr.fakes import Peer, connect
from tests.wholeagent import AgentCase, add, bridge

DRAIN = 5.0
"""Seconds; what the configuration has unless told otherwise."""

CONTROLLERS = "controllers = ['tcp:192.0.2.1', 'tcp:192.0.2.2', 'tcp:192.0.2.3', 'tcp:192.0.2.4']\n"
BUSY = (
    "fail_mode = 'standalone'\nin_band = true\nin_band_next_hops = ['02:00:00:00:00:01']\n"
    "max_pending = 4\n" + CONTROLLERS
)


def modify(port: int = 1, **fields: Any) -> of.FlowMod:
    """A MODIFY of the rule that :func:`tests.wholeagent.add` adds."""
    return of.FlowMod(of.FlowModCommand.MODIFY_STRICT, Match.of(in_port=port), 100, **fields)


def delete(port: int = 1) -> of.FlowMod:
    """Its deletion."""
    return of.FlowMod(of.FlowModCommand.DELETE_STRICT, Match.of(in_port=port), 100)


class LifecycleCase(AgentCase):
    """Remembers what should be gone in the end.

    :ivar remains: weak references to all of that, with what it was.
    """

    def setUp(self) -> None:
        """Nothing should be."""
        super().setUp()
        self.remains: dict[weakref.ref[Any], str] = {}

    def mark(self, *things: Any) -> None:
        """These should be gone in the end."""
        for thing in things:
            self.remains[weakref.ref(thing)] = type(thing).__name__

    def mark_bridge(self, name: str = "br0") -> None:
        """So should a bridge and all that belongs to it."""
        one = self.bridge(name)
        connections: Any = one.connections
        members = connections._members
        self.mark(one, one.ofproto, one.ofproto.ledger, one.ofproto.driver, connections)
        self.mark(one.fail_open, one.standalone, one.in_band, members)
        self.mark(*members.listeners, *members.controllers.values())
        for listener in members.listeners:
            self.mark(*listener.sessions)
        self.mark(*(one.session for one in members.controllers.values() if one.session))
        for rule in one.ofproto.rules():
            self.mark(rule)

    def assertGone(self) -> None:
        """Nothing of that is there any more."""
        self.factory.made.clear()
        self.network.dialled.clear()
        gc.collect()
        self.assertEqual([text for ref, text in self.remains.items() if ref() is not None], [])

    def busy(self) -> list[Peer]:
        """Have a bridge in which everything is going on; returns its peers."""
        self.start("[agent]\n" + bridge(0, keys=BUSY) + bridge(1))
        driver = self.driver()
        controller = self.network.accept("192.0.2.1")
        # One is being connected, one waits to be, and one accepts without a word.
        self.network.dialled.pop("192.0.2.3").clientConnectionFailed(
            None, Failure(error.ConnectionRefusedError())
        )
        silent = connect(self.network.dialled.pop("192.0.2.4").buildProtocol(None))
        # A rule that expires, and one that is idle: its driver is asked, and does not answer.
        first = self.network.client()
        first.send(add(1, hard_timeout=100), add(2, idle_timeout=3), add(3))
        self.settled(first)
        driver.hold_reads = True
        self.network.pump([1] * 4)
        # A deletion that failed and will be tried again.
        first.send(delete(3))
        self.turn()
        driver.fail()
        # Operations in flight, a barrier that waits for them, and statistics that do not come.
        second, third, fourth = (self.network.client() for _ in range(3))
        controller.send(add(4), of.BarrierRequest(1))
        second.send(add(5), of.FlowStatsRequest(xid=2), of.BarrierRequest(3))
        self.turn()
        # A message that waits for another's operation, and some that wait for a place.
        third.send(modify(4))
        fourth.send(add(6), add(7), add(8))
        self.turn()
        # More packets than a controller is sent at once.
        host = driver.host
        assert host is not None
        for number in range(1000):
            host.packet_in(PacketInEvent(b"%04d" % number * 20, 1, of.PacketInReason.ACTION))
        # Somebody at the control socket.
        dump = commands(self.agent, self.network, self.vlog).execute("bridge/dump-flows", ["br0"])
        self.assertNoResult(dump)
        waiting = [one for one in self.bridge().connections.connections() if one.waiting_for]
        self.assertEqual(len(waiting), 4)
        states = {one.state for one in self.bridge().ofproto.ledger.operations()}
        self.assertEqual(states, {State.IN_FLIGHT, State.RETRYING})
        self.dump: Deferred[str] = dump
        return [controller, silent, first, second, third, fourth]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        self.network.pump([0.1] * round(seconds * 10))
        self.turn()


class StopTests(LifecycleCase):
    """The end of the whole agent."""

    def test_idle(self) -> None:
        """An agent with nothing to do stops at once."""
        self.start(bridge(0, keys=CONTROLLERS) + bridge(1))
        self.network.client()
        self.mark_bridge()
        self.mark_bridge("br1")
        self.stop()
        self.mark(self.agent)
        del self.agent
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertGone()

    def test_busy(self) -> None:
        """An agent in the midst of everything has stopped when the drain time is over."""
        peers = self.busy()
        driver = self.driver()
        self.mark_bridge()
        groups = self.bridge().ofproto.ledger.groups
        stopped = self.agent.stopService()
        self.turn()
        # The peers are gone at once, and their requests that were not begun are with them.
        self.assertEqual([peer.transport.connected for peer in peers], [False] * 6)
        self.assertNoResult(stopped)
        self.pass_time(DRAIN - 0.5)
        self.assertEqual((driver.stopped, self.agent.running), (False, 0))
        self.pass_time(1)
        self.successResultOf(stopped)
        self.assertEqual((driver.stopped, len(groups)), (True, 0))
        self.assertEqual(driver.violations, [])
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.dump.addBoth(lambda _: None)
        self.assertTrue(self.dump.called)
        del self.agent, self.dump, peers, driver, groups, stopped
        self.assertGone()

    def test_hardware_answers(self) -> None:
        """What the hardware confirms in that time is done, and no more time passes than that."""
        self.busy()
        driver = self.driver()
        stopped = self.agent.stopService()
        self.turn()
        self.pass_time(1)
        self.assertNoResult(stopped)
        driver.finish_all()
        self.turn()
        self.successResultOf(stopped)
        # Of the messages that waited nothing was begun any more.
        ports = sorted(
            rule.match.value for rule in driver.hardware.values() if not rule.priority >> 16
        )
        wanted = [1, 2, 4, 5, 6]
        self.assertEqual(ports, sorted(Match.of(in_port=port).value for port in wanted))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_no_time(self) -> None:
        """With no time to drain it ends at once, and late completions go nowhere."""
        self.start("[agent]\ndrain = 0\n" + bridge(0))
        self.network.client().send(add(1), add(2))
        self.turn()
        driver = self.driver()
        switch = self.bridge().ofproto
        self.stop()
        self.assertEqual(len(driver.lost), 2)
        for operation in list(driver.lost):
            driver.finish(operation)
        self.assertEqual(switch.ledger.late, 2)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_halted(self) -> None:
        """Hardware that somebody has halted is not waited for."""
        self.start(bridge(0, options="clogged = true"))
        self.network.client().send(add(1))
        self.turn()
        self.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_flush_under_way(self) -> None:
        """A flush goes on while there is time, and is given up with the rest."""
        for answers in (True, False):
            self.start(bridge(0))
            client = self.network.client()
            client.send(add(1), add(2))
            self.settled(client)
            driver = self.driver()
            flush = self.bridge().ofproto.flush()
            self.turn()
            stopped = self.agent.stopService()
            self.turn()
            self.assertNoResult(stopped)
            if answers:
                driver.finish_all()
            else:
                self.pass_time(DRAIN + 0.5)
            self.turn()
            self.successResultOf(stopped)
            self.assertEqual((flush.cleared, bool(driver.hardware)), (True, not answers))
            self.assertEqual(self.network.getDelayedCalls(), [])

    def test_slow_peer(self) -> None:
        """A peer that does not let go is cut off after a second, while the hardware drains."""
        self.start(bridge(0))
        client = self.network.client()
        client.transport.lingering = True
        stopped = self.agent.stopService()
        self.pass_time(0.9)
        self.assertNoResult(stopped)
        self.pass_time(0.2)
        self.successResultOf(stopped)
        self.assertTrue(client.transport.aborted)

    def test_driver_does_not_stop(self) -> None:
        """A driver that never says it has stopped is left to itself after a while."""
        self.start(bridge(0, options="endless = true") + bridge(1))
        stopped = self.agent.stopService()
        self.pass_time(STOP_TIMEOUT - 0.1)
        self.assertNoResult(stopped)
        self.pass_time(0.2)
        self.successResultOf(stopped)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_driver_fails_to_stop(self) -> None:
        """One that fails is logged, and the rest stops all the same."""
        self.start(bridge(0, options="unstoppable = true") + bridge(1))
        other = self.driver("br1")
        self.stop()
        self.assertTrue(other.stopped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class DestroyTests(LifecycleCase):
    """The end of a bridge while the agent goes on."""

    def destroyed(self, text: str) -> None:
        """Another file is loaded, by which the busy bridge ends."""
        peers = self.busy()
        other = self.network.client("ptcp:6652:127.0.0.1")
        driver = self.driver()
        self.mark_bridge()
        reloading = self.reloading("[agent]\n" + text + bridge(1))
        self.assertEqual([peer.transport.connected for peer in peers], [False] * 6)
        self.pass_time(DRAIN + 0.5)
        self.successResultOf(reloading)
        self.assertTrue(driver.stopped)
        self.dump.addBoth(lambda _: None)
        self.assertTrue(self.dump.called)
        # Later completions go nowhere, and to nobody who came later.
        for operation in list(driver.lost):
            driver.finish(operation)
        del peers, driver, reloading, self.dump
        self.assertEqual([type(one) for one in other.received()], [of.EchoRequest])
        self.assertEqual(self.settled(other, "br1"), [])

    def test_removed(self) -> None:
        """A bridge that is removed leaves nothing behind but the other bridge's."""
        self.destroyed("")
        self.assertGone()
        # Those of the counters and of the other connection's probe.
        self.assertLessEqual(len(self.network.getDelayedCalls()), 2)
        self.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_restarted(self) -> None:
        """So does one that is started anew; its successor is not concerned."""
        self.destroyed(bridge(0, options="seed = 1"))
        self.assertGone()
        client = self.network.client()
        client.send(add(4), of.FlowStatsRequest(xid=1))
        [stats] = self.settled(client)
        self.assertEqual([flow.match for flow in stats.flows], [Match.of(in_port=4)])
        self.assertEqual(self.driver().violations, [])

    def test_rules_are_deleted(self) -> None:
        """Hardware that answers has no rule left when its bridge is gone."""
        self.busy()
        driver = self.driver()
        reloading = self.reloading("[agent]\n" + bridge(1))
        for _ in range(10):
            driver.finish_all()
            self.pass_time(0.1)
        self.successResultOf(reloading)
        self.assertEqual(driver.hardware, {})
        self.assertEqual((driver.lost, driver.violations), ([], []))

    def test_start_fails_late(self) -> None:
        """A bridge whose sockets cannot be served stops its driver again."""
        self.start(bridge(1))

        def refuse(*args: object) -> None:
            raise OSError(9, "Bad file descriptor")

        patch = self.patch(self.network, "adoptStreamPort", refuse)
        result = self.reload(bridge(0) + bridge(1))
        self.assertIn("br0: cannot start", str(result))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        driver = next(one for one in self.factory.made if one.host is not None and one.stopped)
        self.assertEqual(driver.violations, [])
        patch.restore()
        self.mark(driver)
        del driver, result
        self.assertEqual(str(self.reload(bridge(0) + bridge(1))), "br0: added")
        self.assertEqual(self.settled(self.network.client()), [])
        self.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])


class ControllerTests(LifecycleCase):
    """The end of a controller while its bridge goes on."""

    def test_removed(self) -> None:
        """Its operations run on, what it has postponed is dropped, and others go on."""
        self.start(bridge(0, keys="max_pending = 1\ncontrollers = ['tcp:192.0.2.1']"))
        controller, client = self.network.accept("192.0.2.1"), self.network.client()
        controller.send(add(1), add(2))
        self.turn()
        client.send(add(1, priority=7), of.BarrierRequest(3))
        self.turn()
        waiting = [one for one in self.bridge().connections.connections() if one.waiting_for]
        self.assertEqual(len(waiting), 2)
        connections: Any = self.bridge().connections
        [member] = connections._members.controllers.values()
        self.mark(member, member.session)
        del member, waiting
        self.reload(bridge(0, keys="max_pending = 1"))
        self.assertFalse(controller.transport.connected)
        self.finish()
        self.assertEqual(client.received(), [of.BarrierReply(3)])
        priorities = sorted(rule.priority for rule in self.bridge().ofproto.rules())
        self.assertEqual(priorities, [7, 100])
        del controller
        for batch in self.driver().batches:
            batch.clear()
        self.assertGone()

    def test_changed_configuration(self) -> None:
        """Other limits leave everything that is in flight, and whoever waits, as they were."""
        peers = self.busy()
        before = self.bridge()
        keys = BUSY.replace("max_pending = 4", "max_pending = 40\nwatchdog = 30")
        self.reload("[agent]\n" + bridge(0, keys=keys) + bridge(1))
        self.assertIs(self.bridge(), before)
        self.assertEqual([peer.transport.connected for peer in peers], [True] * 6)
        self.driver().hold_reads = False
        self.driver().finish_reads()
        self.pass_time(1)  # until the deletion is tried again
        self.finish()
        self.assertEqual(len(before.ofproto.ledger.groups), 0)
        waiting = [one for one in before.connections.connections() if one.waiting_for]
        self.assertEqual(waiting, [])
        self.successResultOf(self.dump)


class BridgeTests(AgentCase):
    """A bridge by itself."""

    def test_stop_before_start(self) -> None:
        """A bridge that was never started has nothing to stop."""
        self.start(bridge(0))
        listeners: list[Any] = []
        config = self.load(bridge(0).replace('listen = ["ptcp:6651:127.0.0.1"]', "")).bridges[0]
        driver = self.factory.create({}, (), ())
        credentials: Any = None
        one = Bridge(config, self.network, driver, listeners, credentials)
        self.successResultOf(one.stopService())
        self.assertEqual((driver.violations, driver.stopped), ([], False))
        self.stop()
