"""Tests of :mod:`agent.connmgr.monitors`: sessions, with a real switch behind them."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from twisted.internet.error import ConnectionLost

from agent.connmgr.ofconn import OFConn
from agent.connmgr.settings import DEFAULT_LIMITS
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow import nx_messages as nx
from agent.openflow.actions import ApplyActions, Instructions, Output
from agent.openflow.codec import encode
from agent.openflow.fields import IN_PORT
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.connmgr.fakes import Peer
from tests.connmgr.test_switch import ADD, DELETE, MODIFY, REFUSED, SwitchCase

EVENTS = Flags.ADD | Flags.DELETE | Flags.MODIFY
ALL = int(EVENTS | Flags.INITIAL | Flags.ACTIONS | Flags.OWN)
NOT_OWN = ALL & ~Flags.OWN
VERSIONS = (of.OFP10, of.OFP13)


def output(port: int) -> Instructions:
    """Instructions that send a packet there."""
    return (ApplyActions((Output(port),)),)


def flow_mod(
    command: of.FlowModCommand, port: int = 0, to: int = 2, xid: int = 9, cookie: int = 0
) -> of.FlowMod:
    """A change of the rule for one port, or of all rules."""
    match = Match.of(in_port=port) if port else Match()
    return of.FlowMod(command, match, priority=5, instructions=output(to), xid=xid, cookie=cookie)


def words(message: Any) -> list[str]:
    """What a message says of rules, by their ports: ``+`` added, ``-`` deleted, ``*`` modified."""
    if not isinstance(message, nx.FlowMonitorReply):
        return [type(message).__name__]
    found = []
    for update in message.updates:
        if isinstance(update, nx.FlowUpdateAbbrev):
            found.append(f"xid {update.request_xid}")
        else:
            found.append(f"{'+-*'[update.event]}{update.match.value_of(IN_PORT)}")
    return found


class MonitorCase(SwitchCase):
    """A bridge whose hardware does everything at once, until the test wants otherwise."""

    def setUp(self) -> None:
        """Start it; somebody changes rules."""
        super().setUp()
        self.driver.instant = True
        self.writer = self.peer()

    def write(self, *messages: Any) -> None:
        """Somebody changes rules."""
        self.send(self.writer, *messages)
        self.clock.turn(3)

    def watch(self, peer: Peer, flags: int = ALL, number: int = 1, **fields: Any) -> list[str]:
        """Set a monitor up; returns what it saw then, in words."""
        monitor = nx.FlowMonitor(number, flags, **fields)
        self.send(peer, nx.FlowMonitorRequest((monitor,), 0x77))
        (reply,) = peer.received()
        self.assertIsInstance(reply, nx.FlowMonitorReply, reply)
        self.assertEqual(reply.xid, 0x77)
        return words(reply)

    def told(self, peer: Peer) -> list[str]:
        """What a session was told, in words, by messages of which each has the xid 0."""
        self.clock.turn(3)
        messages = peer.received()
        for message in messages:
            if isinstance(message, nx.FlowMonitorReply):
                self.assertEqual(message.xid, 0)
        return [word for message in messages for word in words(message)]

    def session(self, peer: Peer) -> OFConn:
        """The session behind a peer."""
        receiver = peer.protocol._receiver
        assert isinstance(receiver, OFConn)
        return receiver

    def assert_refused(
        self, peer: Peer, code: errors.ErrorCode, monitors: Iterable[nx.FlowMonitor], xid: int = 3
    ) -> None:
        """Such a request is refused with this error, and none of the monitors is there."""
        before = dict(self.session(peer).monitors.monitors)
        self.send(peer, nx.FlowMonitorRequest(tuple(monitors), xid))
        self.assert_error(peer, code, xid)
        self.assertEqual(self.session(peer).monitors.monitors, before)

    def assert_error(self, peer: Peer, code: errors.ErrorCode, xid: int) -> None:
        """The one reply is this error."""
        (reply,) = peer.received()
        self.assertIsInstance(reply, of.ErrorMessage)
        self.assertEqual((reply.type, reply.code), code.numbers(peer.version))
        prefix = code.prefix(peer.version)
        self.assertEqual(reply.data[: len(prefix)], prefix)
        self.assertEqual(reply.xid, xid)


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
        for number, peer in enumerate(peers):
            peer.protocol.tap = lambda frame, n=number: sent.append((n, frame[1]))
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
