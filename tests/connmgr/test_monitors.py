"""Tests of :mod:`agent.connmgr.monitors`: requests, and the end of sessions."""

from __future__ import annotations

from random import Random

from twisted.internet.error import ConnectionLost

from agent.connmgr.settings import DEFAULT_LIMITS
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow import nx_messages as nx
from agent.openflow.codec import encode
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.connmgr.monitoring import (
    ALL,
    EVENTS,
    NOT_OWN,
    VERSIONS,
    MonitorCase,
    flow_mod,
    output,
    words,
)
from tests.connmgr.test_switch import ADD, DELETE, MODIFY, REFUSED


class RequestTests(MonitorCase):
    """Monitors come and go."""

    def test_initial(self) -> None:
        """The answer shows the rules that there are, in both versions, if it is asked to."""
        self.write(flow_mod(ADD, 1, cookie=7))
        for version in VERSIONS:
            peer = self.peer(version)
            self.send(peer, nx.FlowMonitorRequest((nx.FlowMonitor(1, ALL),), 5))
            (reply,) = peer.received()
            match = Match.of(in_port=1)
            update = nx.FlowUpdate(0, 0, match, 5, 7, instructions=output(2))
            self.assertEqual(reply, nx.FlowMonitorReply([update], 5))
            self.assertEqual(self.watch(peer, int(EVENTS), number=2), [])

    def test_initial_merged(self) -> None:
        """A rule that several monitors see is shown once, and with actions if one of them wants
        them; who did not ask to be shown what there is, is not."""
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2), flow_mod(ADD, 3))
        peer = self.peer()
        plain = int(Flags.ADD | Flags.INITIAL)
        one, two, three = (Match.of(in_port=n) for n in (1, 2, 3))
        monitors = (
            nx.FlowMonitor(1, plain, match=one),
            nx.FlowMonitor(2, plain, match=two),
            nx.FlowMonitor(3, plain | Flags.ACTIONS, match=one),
            nx.FlowMonitor(4, int(Flags.ADD | Flags.ACTIONS), match=three),
            nx.FlowMonitor(5, int(Flags.ADD | Flags.ACTIONS), match=two),
        )
        self.send(peer, nx.FlowMonitorRequest(monitors, 5))
        (reply,) = peer.received()
        shown = [(update.match, update.instructions) for update in reply.updates]
        self.assertEqual(shown, [(one, output(2)), (two, ())])

    def test_initial_confirmed(self) -> None:
        """What is in flight is shown as it was, and told when it is confirmed."""
        self.write(flow_mod(ADD, 1))
        self.driver.instant = False
        self.write(flow_mod(ADD, 2), flow_mod(DELETE, 1))
        peer = self.peer()
        self.assertEqual(self.watch(peer), ["+1"])
        self.finish()
        self.driver.fail(error=REFUSED)
        self.assertEqual(self.told(peer), ["+2"])

    def test_initial_after_the_rest(self) -> None:
        """What became final before a monitor was set up is not told to it, but to others."""
        peer = self.peer()
        self.watch(peer, match=Match.of(in_port=1))
        self.driver.instant = False
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.driver.finish_all()
        peer.send(nx.FlowMonitorRequest((nx.FlowMonitor(2, ALL),), 5))
        first, second = peer.received()
        self.assertEqual((words(first), first.xid), (["+1"], 0))
        self.assertEqual((words(second), second.xid), (["+1", "+2"], 5))
        self.assertEqual(self.told(peer), [])

    def test_initial_long(self) -> None:
        """Thousands of rules come in as many messages as they need, all but the last with MORE."""
        self.write(*(flow_mod(ADD, port) for port in range(1, 51)))
        for start in range(51, 1000, 50):
            self.write(*(flow_mod(ADD, port) for port in range(start, start + 50)))
        peer = self.peer()
        self.send(peer, nx.FlowMonitorRequest((nx.FlowMonitor(1, ALL),), 5))
        replies = peer.received()
        self.assertEqual([reply.more for reply in replies], [True] * (len(replies) - 1) + [False])
        shown = [word for reply in replies for word in words(reply)]
        self.assertEqual(len(shown), len(self.rules()))
        self.assertEqual(set(shown), {f"+{port}" for port in range(1, len(shown) + 1)})

    def test_cannot_be_said(self) -> None:
        """A rule about a port that 1.0 has no number for is not shown to it, and others are."""
        peer = self.peer(of.OFP10)
        self.assertEqual(self.watch(peer), [])
        self.write(flow_mod(ADD, 0x12345), flow_mod(ADD, 2))
        self.assertEqual(self.told(peer), ["+2"])
        self.assertEqual(self.watch(peer, number=2), ["+2"])

    def test_filters(self) -> None:
        """A monitor is told of its table, its match, its port, and of the events it asked for."""
        peers = {}
        for name, flags, fields in (
            ("table", ALL, {"table_id": 1}),
            ("match", ALL, {"match": Match.of(in_port=1)}),
            ("port", ALL, {"out_port": 2}),
            ("additions", int(Flags.ADD), {}),
            ("modifications", int(Flags.MODIFY), {}),
            ("deletions", int(Flags.DELETE), {}),
        ):
            peers[name] = self.peer()
            self.watch(peers[name], flags, **fields)
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2, 1), flow_mod(MODIFY, 1, 3))
        self.write(flow_mod(DELETE, 1), flow_mod(DELETE, 2))
        self.assertEqual(
            {name: self.told(peer) for name, peer in peers.items()},
            {
                "table": [],
                "match": ["+1", "*1", "-1"],
                # That it goes there no longer is told; what becomes of it then is not.
                "port": ["+1", "*1"],
                "additions": ["+1", "+2"],
                "modifications": ["*1"],
                "deletions": ["-1", "-2"],
            },
        )

    def test_actions(self) -> None:
        """Who wants actions gets them, also those of what is deleted."""
        peer, other = self.peer(), self.peer()
        self.watch(peer)
        self.watch(other, ALL & ~Flags.ACTIONS)
        self.write(flow_mod(ADD, 1), flow_mod(DELETE, 1))
        for who, wanted in ((peer, output(2)), (other, ())):
            updates = [update for reply in who.received() for update in reply.updates]
            self.assertEqual([update.instructions for update in updates], [wanted] * 2)
            self.assertEqual(updates[1].reason, of.RemovedReason.DELETE)

    def test_refused(self) -> None:
        """An id that is taken, a table that there is not, a port that there cannot be: nothing of
        the request is done."""
        for version in VERSIONS:
            peer = self.peer(version)
            self.watch(peer)
            good = nx.FlowMonitor(2, ALL)
            self.assert_refused(peer, errors.MONITOR_EXISTS, [good, nx.FlowMonitor(1, ALL)])
            self.assert_refused(peer, errors.MONITOR_EXISTS, [good, good])
            bad = nx.FlowMonitor(3, ALL, table_id=2)
            self.assert_refused(peer, errors.REQUEST_BAD_TABLE_ID, [good, bad])
        bad = nx.FlowMonitor(3, ALL, out_port=0xFFFFFF05)
        self.assert_refused(peer, errors.BAD_OUT_PORT, [good, bad])

    def test_bad_flags(self) -> None:
        """A monitor must watch for something, and flags that there are not are refused."""
        for version in VERSIONS:
            peer = self.peer(version)
            for flags in (0, int(Flags.INITIAL | Flags.OWN | Flags.ACTIONS), ALL | 0x40):
                self.assert_refused(peer, errors.MONITOR_BAD_FLAGS, [nx.FlowMonitor(1, flags)])

    def test_too_many(self) -> None:
        """A session has a bounded number of monitors."""
        peer = self.peer()
        most = DEFAULT_LIMITS.flow_monitors
        monitors = [nx.FlowMonitor(n, ALL) for n in range(most)]
        self.send(peer, nx.FlowMonitorRequest(tuple(monitors[:-1])))
        peer.received()
        more = nx.FlowMonitor(most, ALL)
        self.assert_refused(peer, errors.REQUEST_EPERM, [monitors[-1], more])
        self.send(peer, nx.FlowMonitorRequest((more,)))
        self.assertIsInstance(peer.received()[0], nx.FlowMonitorReply)

    def test_none(self) -> None:
        """A request without a monitor is answered, and watches nothing."""
        peer = self.peer()
        self.send(peer, nx.FlowMonitorRequest((), 5))
        self.assertEqual(peer.received(), [nx.FlowMonitorReply([], 5)])
        self.assertEqual(self.switch.changes.watchers, {})

    def test_shown(self) -> None:
        """Which monitors a session has is shown to the operator, in their order."""
        peer = self.peer()
        for number in (9, 2, 5):
            self.watch(peer, number=number)
        self.send(peer, nx.FlowMonitorCancel(5))
        shown = {one.name: one for one in self.manager.connections()}
        own = self.session(peer).name
        self.assertEqual((shown[own].monitors, shown[own].monitors_paused), ((2, 9), False))
        others = [one for name, one in shown.items() if name != own]
        self.assertEqual([one.monitors for one in others], [()])

    def test_cancel(self) -> None:
        """A cancelled monitor is told nothing more, its id is free, and others go on."""
        for version in VERSIONS:
            peer = self.peer(version)
            self.watch(peer, match=Match.of(in_port=1))
            self.watch(peer, number=2, match=Match.of(in_port=2))
            self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
            self.assertEqual(self.told(peer), ["+1", "+2"])
            self.send(peer, nx.FlowMonitorCancel(1))
            self.write(flow_mod(DELETE, 1), flow_mod(DELETE, 2))
            self.assertEqual(self.told(peer), ["-2"])
            self.assertEqual(self.watch(peer), [])
            for number in (1, 2):
                self.send(peer, nx.FlowMonitorCancel(number))
            self.assertEqual(self.switch.changes.watchers, {})

    def test_cancel_refused(self) -> None:
        """A monitor that there is not cannot be cancelled, nor can it twice, nor another's."""
        for version in VERSIONS:
            other, peer = self.peer(version), self.peer(version)
            self.watch(other, number=8)
            self.watch(peer)
            self.send(peer, nx.FlowMonitorCancel(1))
            for number in (1, 8):
                self.send(peer, nx.FlowMonitorCancel(number, 4))
                self.assert_error(peer, errors.UNKNOWN_MONITOR, 4)

    def test_slave(self) -> None:
        """Monitors need no role."""
        peer = self.peer()
        self.send(peer, of.RoleRequest(3, 1))
        peer.received()
        self.assertEqual(self.watch(peer), [])
        self.write(flow_mod(ADD, 1))
        self.assertEqual(self.told(peer), ["+1"])

    def test_damaged(self) -> None:
        """Whatever becomes of the bytes of a request: it is answered, once, and the session goes
        on, with monitors that are in order."""
        monitors = [nx.FlowMonitor(n, ALL, match=Match.of(in_port=n)) for n in (1, 2)]
        random = Random(5)
        for version in VERSIONS:
            whole = encode(version, nx.FlowMonitorRequest(tuple(monitors), 6))
            cancel = encode(version, nx.FlowMonitorCancel(1, 6))
            peer = self.peer(version)
            for frame in [whole[:length] for length in range(24, len(whole))] + [
                self.flipped(random, frame) for frame in (whole, cancel) for _ in range(200)
            ]:
                peer.send_bytes(frame[:2] + len(frame).to_bytes(2, "big") + frame[4:])
                peer.send(of.BarrierRequest(9))
                self.clock.turn(2)
                *answers, barrier = peer.received()
                self.assertEqual(barrier, of.BarrierReply(9))
                self.assertLessEqual(len(answers), 1)
                watched = self.session(peer).monitors.monitors
                self.assertEqual([m.monitor_id for m in watched.values()], list(watched))
                for number in list(watched):
                    self.send(peer, nx.FlowMonitorCancel(number))
                self.assertEqual(peer.received(), [])

    @staticmethod
    def flipped(random: Random, frame: bytes) -> bytes:
        """The frame with a bit or two flipped, behind its header."""
        data = bytearray(frame)
        for _ in range(random.randint(1, 2)):
            data[random.randrange(8, len(data))] ^= 1 << random.randrange(8)
        return bytes(data)


class EndTests(MonitorCase):
    """Sessions end."""

    def test_disconnected(self) -> None:
        """Monitors end with their session, whatever is in flight or to be told; the next session
        has none."""
        peer = self.peer()
        self.watch(peer, NOT_OWN)
        self.driver.instant = False
        self.send(peer, flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.driver.finish()
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.switch.changes.watchers, {})
        self.driver.finish_all()
        self.clock.turn(3)
        again = self.peer()
        self.assertEqual(self.told(again), [])
        self.assertEqual(self.watch(again), ["+1", "+2"])

    def test_disconnected_while_held(self) -> None:
        """Also when it is not decided yet how a request of its own is told."""
        peer, other = self.peer(), self.peer()
        self.write(flow_mod(ADD, 1), flow_mod(ADD, 2))
        self.watch(peer, NOT_OWN)
        self.watch(other)
        self.driver.instant = False
        self.send(peer, flow_mod(DELETE))
        self.finish()
        self.assertEqual(self.told(peer), [])
        peer.transport.lose(ConnectionLost())
        self.finish()
        self.assertEqual(sorted(self.told(other)), ["-1", "-2"])

    def test_stopped(self) -> None:
        """When the bridge goes, no timer is left."""
        peer = self.peer()
        self.watch(peer)
        self.driver.instant = False
        self.write(flow_mod(ADD, 1))
        self.driver.finish()
        self.manager.stopService()
        self.switch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
