"""Tests of :mod:`agent.reload` and :mod:`agent.prepare`, with a whole agent in memory."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from agent.admin import coverage
from agent.admin.schema import ConfigError
from agent.admin.vlog_levels import Level
from agent.openflow import messages as of
from agent.openflow.errors import TABLE_FULL
from agent.openflow.match import Match
from agent.reload import Fate
from agent.service import StoppedError
from tests.connmgr.certificates import Authority
from tests.connmgr.fakes import connect
from tests.wholeagent import AgentCase, add, bridge

TWO = bridge(0) + bridge(1)


class NothingTests(AgentCase):
    """What changes nothing."""

    def test_same_file(self) -> None:
        """A file that says the same changes nothing, and nothing is made anew but drivers, which
        are never started."""
        self.start(TWO)
        before, peer = dict(self.agent.bridges), self.network.client()
        result = self.reload("# the same, in other words\n" + bridge(1) + bridge(0))
        self.assertEqual((str(result), result.bridges), ("nothing has changed", ()))
        self.assertEqual(self.agent.bridges, before)
        self.assertEqual(self.settled(peer), [])
        unused = [driver for driver in self.factory.made if driver.host is None]
        self.assertEqual(len(unused), 2)

    def reload_refused(self, text: str, expected: str) -> None:
        """A reload is refused with this, and everything goes on as before."""
        self.start(TWO)
        peer = self.network.client()
        peer.send(add(1))
        before = dict(self.agent.bridges)
        sockets = [one for one in self.network.sockets.values() if one.open]
        refusals = coverage.process.total("reload_refused")
        error = self.failureResultOf(self.reloading(text), ConfigError).value
        self.assertEqual(str(error), f"{self.file}: {expected}")
        self.assertEqual(coverage.process.total("reload_refused"), refusals + 1)
        self.assertEqual(self.agent.bridges, before)
        self.assertEqual([one for one in self.network.sockets.values() if one.open], sockets)
        self.assertEqual(self.settled(peer), [])
        self.assertEqual(self.bridge().ofproto.admission.limit, 50)
        # And the next one is judged by what runs, not by what was refused.
        self.assertEqual(str(self.reload(TWO)), "nothing has changed")

    def test_bad_value(self) -> None:
        """A value that is not allowed, behind others that are new and right."""
        text = bridge(0, keys="max_pending = 7") + bridge(1, keys="watchdog = -1")
        self.reload_refused(
            text,
            "bridge[1].watchdog = -1: must be seconds from 0.1 to 86400, or 0 for no limit",
        )

    def test_bad_option(self) -> None:
        """An option that only the driver can judge."""
        text = bridge(0, keys="max_pending = 7") + bridge(1, options="refuse = 1")
        self.reload_refused(text, "bridge[1].driver.refuse = 1: must not be there")

    def test_socket_in_use(self) -> None:
        """A socket that somebody else listens on; those that were opened before it are closed."""
        self.network.taken.add("ptcp:7002:127.0.0.1")
        more = ', "ptcp:7001:127.0.0.1", "ptcp:7002:127.0.0.1"'
        self.reload_refused(
            bridge(0, listen=more, keys="max_pending = 7"),
            'bridge[0].listen[2] = "ptcp:7002:127.0.0.1": cannot listen: Address already in use; '
            "must be free, and an address of this host",
        )
        self.assertFalse(self.network.sockets["ptcp:7001:127.0.0.1"].open)

    def test_own_socket_in_the_way(self) -> None:
        """It may be the agent's own socket that is in the way, and this is said."""
        self.network.taken.add("ptcp:6651:0.0.0.0")
        self.reload_refused(
            TWO.replace("ptcp:6651:127.0.0.1", "ptcp:6651"),
            'bridge[0].listen[0] = "ptcp:6651:0.0.0.0": cannot listen: Address already in use, by '
            "this agent itself (ptcp:6651:127.0.0.1), and has to be closed by a reload before; "
            "must be free, and an address of this host",
        )

    def test_no_file(self) -> None:
        """A file that is gone."""
        self.start(TWO)
        self.file.unlink()
        error = self.failureResultOf(self.agent.reload(), ConfigError).value
        self.assertEqual(str(error), f"{self.file}: cannot be read: No such file or directory")

    def test_not_running(self) -> None:
        """An agent that was stopped reloads nothing."""
        self.start(TWO)
        self.stop()
        self.failureResultOf(self.agent.reload(), StoppedError)


class WarmTests(AgentCase):
    """What changes while everything goes on."""

    def setUp(self) -> None:
        """A bridge with a rule, an operation in flight, and a connection."""
        super().setUp()
        self.start(TWO)
        self.peer = self.network.client()
        self.peer.send(add(1))
        self.settled(self.peer)
        self.peer.send(add(2), of.BarrierRequest(7))
        self.turn()
        self.before = self.bridge()

    def warm(self, text: str, *expected: str) -> None:
        """A reload changes just this, and the connection, the rule and the operation stay."""
        result = self.reload(text)
        self.assertEqual(self.lines(result), [f"{line} (warm)" for line in expected])
        self.assertIs(self.bridge(), self.before)
        self.assertTrue(self.peer.transport.connected)
        self.assertEqual(len(self.driver().in_flight), 1)
        self.assertEqual(self.peer.received(), [])
        self.finish()
        self.assertEqual(self.peer.received(), [of.BarrierReply(7)])
        self.assertEqual(len(self.driver().hardware), 2)
        self.assertEqual(self.driver().violations, [])

    def test_max_pending(self) -> None:
        """A greater cap lets those go on who wait for a place."""
        self.warm(bridge(0, keys="max_pending = 1") + bridge(1), "br0: max_pending: 50 -> 1")
        self.peer.send(add(3), add(4), add(5))
        self.turn()
        self.assertEqual(len(self.driver().in_flight), 1)
        self.reload(bridge(0, keys="max_pending = 2") + bridge(1))
        self.assertEqual(len(self.driver().in_flight), 2)
        self.assertEqual(self.settled(self.peer), [])

    def test_watchdog(self) -> None:
        """What is in flight has the new time from now on, however long it has been in flight."""
        self.network.pump([1] * 50)
        keys = bridge(0, keys="watchdog = 8") + bridge(1)
        self.assertEqual(str(self.reload(keys)), "br0: watchdog: 60.0 -> 8.0 (warm)")
        self.network.pump([0.5] * 15)
        self.assertEqual(self.peer.received(), [])
        self.network.pump([0.5] * 2)
        error, barrier = self.peer.received()
        self.assertEqual((type(error), barrier), (of.ErrorMessage, of.BarrierReply(7)))

    def test_no_watchdog(self) -> None:
        """Without one nothing is ever given up."""
        self.warm(bridge(0, keys="watchdog = 0") + bridge(1), "br0: watchdog: 60.0 -> 0.0")
        self.peer.send(add(3), of.BarrierRequest(8))
        self.network.pump([10] * 100)
        self.assertEqual(len(self.driver().in_flight), 1)

    def test_tables(self) -> None:
        """Names, smaller sizes and what happens to a full table."""
        rest = '[[bridge.table]]\nid = 0\nname = "acl"\nsize = 2\noverflow = "evict"'
        self.warm(
            bridge(0, rest=rest) + bridge(1),
            'br0: table[0].name: none -> "acl"',
            'br0: table[0].overflow: "refuse" -> "evict"',
            "br0: table[0].size: none -> 2",
        )
        self.peer.send(add(3, idle_timeout=9), of.TableStatsRequest(xid=9))
        error, stats = self.settled(self.peer)
        # Of the two rules that there are, none has a timeout.
        self.assertEqual((error.type, error.code), TABLE_FULL.numbers(of.OFP13))
        self.assertEqual(stats.tables[0].active_count, 2)
        rest = '[[bridge.table]]\nid = 0\nname = "acl"\nsize = 2\n'
        self.reload(bridge(0, rest=rest) + bridge(1))
        self.assertFalse(self.bridge().ofproto.tables[0].evicts)

    def test_protocols(self) -> None:
        """Who speaks what is still spoken stays, others are closed; new ones hear what is true."""
        old = self.network.client(version=of.OFP10)
        self.assertTrue(self.bridge().ofproto.miss_to_controller)
        self.warm(
            bridge(0, keys="protocols = ['OpenFlow13']") + bridge(1),
            'br0: protocols: ["OpenFlow10", "OpenFlow13"] -> ["OpenFlow13"]',
        )
        self.assertFalse(old.transport.connected)
        self.assertFalse(self.bridge().ofproto.miss_to_controller)
        self.assertFalse(self.network.client(version=of.OFP10).transport.connected)
        self.assertTrue(self.network.client().transport.connected)

    def test_probe(self) -> None:
        """A new inactivity probe counts from now on, on open connections and on new ones."""
        text = TWO.replace(
            '"ptcp:6651:127.0.0.1"', '{ target = "ptcp:6651:127.0.0.1", inactivity_probe = 1 }'
        )
        self.warm(text, "br0: listen[ptcp:6651:127.0.0.1].inactivity_probe: 5.0 -> 1.0")
        other = self.network.client()
        self.network.advance(1)
        for peer in (self.peer, other):
            self.assertEqual([type(one) for one in peer.received()], [of.EchoRequest])

    def test_listeners(self) -> None:
        """Sockets come and go; connections to those that stay are not touched."""
        more = ', "ptcp:7001:127.0.0.1"'
        self.warm(bridge(0, listen=more) + bridge(1), "br0: listen[ptcp:7001:127.0.0.1]: added")
        other = self.network.client("ptcp:7001:127.0.0.1")
        self.assertEqual(self.settled(other), [])
        result = self.reload(TWO)
        self.assertEqual(str(result), "br0: listen[ptcp:7001:127.0.0.1]: removed (warm)")
        self.assertFalse(other.transport.connected)
        self.assertFalse(self.network.sockets["ptcp:7001:127.0.0.1"].open)
        self.assertTrue(self.peer.transport.connected)

    def test_lingering_client(self) -> None:
        """A client that does not let go of a socket is cut off after a second, and the reload
        waits for that."""
        self.finish()
        more = ', "ptcp:7001:127.0.0.1"'
        self.reload(bridge(0, listen=more) + bridge(1))
        other = self.network.client("ptcp:7001:127.0.0.1")
        other.transport.lingering = True
        reloading = self.reloading(TWO)
        self.assertNoResult(reloading)
        self.network.advance(1)
        self.successResultOf(reloading)
        self.assertTrue(other.transport.aborted)

    def test_moving_listeners(self) -> None:
        """Two bridges swap their sockets, which listen all the time; their clients are closed."""
        other = self.network.client("ptcp:6652:127.0.0.1")
        self.finish()
        text = TWO.replace("6651", "x").replace("6652", "6651").replace("x", "6652")
        self.reload(text)
        sockets = self.network.sockets.values()
        self.assertEqual([one.port and one.port.stopped for one in sockets], [0, 0])
        self.assertEqual((self.peer.transport.connected, other.transport.connected), (False, False))
        peer = self.network.client("ptcp:6652:127.0.0.1")
        peer.send(of.FeaturesRequest(xid=3))
        [reply] = peer.received()
        self.assertEqual(reply.datapath_id, 1)
        self.stop()
        self.assertEqual([one.open for one in sockets], [False, False])

    def test_snoop(self) -> None:
        """A socket can be for snoops instead, without a moment in which nobody listens."""
        text = TWO.replace(
            '"ptcp:6651:127.0.0.1"', '{ target = "ptcp:6651:127.0.0.1", snoop = true }'
        )
        self.finish()
        result = self.reload(text)
        key = "br0: listen[ptcp:6651:127.0.0.1].snoop: false -> true (warm)"
        self.assertEqual(str(result), key)
        self.assertFalse(self.peer.transport.connected)
        port = self.network.sockets["ptcp:6651:127.0.0.1"].port
        assert port is not None
        self.assertEqual((port.reading, port.stopped), (True, 0))
        self.reload(TWO)
        self.assertEqual((port.reading, port.stopped), (True, 0))
        self.assertEqual(self.settled(self.network.client()), [])
        self.stop()
        self.assertEqual(port.stopped, 1)

    def test_fail_mode(self) -> None:
        """A bridge without controllers becomes an ordinary switch, with one rule for that alone, as
        in Open vSwitch; who is connected stays connected."""
        self.reload(bridge(0, keys="fail_mode = 'standalone'") + bridge(1))
        self.finish()
        [rule] = self.driver().hardware.values()
        self.assertEqual((rule.priority, rule.match), (0, Match()))
        self.assertTrue(self.peer.transport.connected)

    def test_in_band(self) -> None:
        """Hidden rules come with in-band control, and go with it."""
        keys = (
            "in_band = true\nin_band_next_hops = ['02:00:00:00:00:01']\n"
            "in_band_remotes = ['192.0.2.1:6653']\n"
        )
        self.finish()
        self.peer.received()
        self.reload(bridge(0, keys=keys) + bridge(1))
        self.finish()
        hidden = sum(rule.hidden for rule in self.bridge().ofproto.rules())
        self.assertEqual(hidden, 6)
        self.assertEqual(len(self.driver().hardware), 8)
        self.reload(TWO)
        self.finish()
        self.assertEqual(len(self.driver().hardware), 2)


class ControllerTests(AgentCase):
    """Controllers that are dialled."""

    KEPT = "controllers = ['tcp:192.0.2.1']"

    def setUp(self) -> None:
        """A bridge with a connected controller."""
        super().setUp()
        self.start(bridge(0, keys=self.KEPT))
        self.peer = self.network.accept("192.0.2.1")

    def test_added_and_removed(self) -> None:
        """Another controller is dialled; when it is removed it is closed, and the first stays."""
        result = self.reload(bridge(0, keys="controllers = ['tcp:192.0.2.1', 'tcp:192.0.2.2']"))
        self.assertEqual(str(result), "br0: controllers[tcp:192.0.2.2:6653]: added (warm)")
        other = self.network.accept("192.0.2.2")
        names = [one.name for one in self.bridge().connections.connections()]
        self.assertEqual(names, ["br0<->tcp:192.0.2.1:6653", "br0<->tcp:192.0.2.2:6653"])
        self.reload(bridge(0, keys=self.KEPT))
        self.assertFalse(other.transport.connected)
        self.assertEqual(self.settled(self.peer), [])
        self.network.advance(100)
        self.assertEqual(self.network.dialled, {})

    def test_removed_in_backoff(self) -> None:
        """One that is waited for is not dialled again."""
        self.peer.transport.lose(ConnectionError())
        self.reload(bridge(0))
        self.assertEqual(self.network.getDelayedCalls()[1:], [])  # but the counters'
        self.network.advance(100)
        self.assertEqual(self.network.dialled, {})

    def test_backoff(self) -> None:
        """A shorter longest wait cuts the present one short."""
        self.reload(bridge(0, keys="controllers = [{target='tcp:192.0.2.1', max_backoff=60}]"))
        for _ in range(5):
            self.peer.transport.lose(ConnectionError())
            self.network.advance(31)
            # It accepts, and says nothing.
            self.peer = connect(self.network.dialled.pop("192.0.2.1").buildProtocol(None))
        self.peer.transport.lose(ConnectionError())
        self.network.advance(20)
        self.assertEqual(self.network.dialled, {})
        self.reload(bridge(0, keys="controllers = [{target='tcp:192.0.2.1', max_backoff=2}]"))
        self.network.advance(2)
        self.assertEqual(list(self.network.dialled), ["192.0.2.1"])

    def test_probe(self) -> None:
        """A new inactivity probe counts now, and in the next session."""
        keys = "controllers = [{target='tcp:192.0.2.1', inactivity_probe=1}]"
        self.reload(bridge(0, keys=keys))
        self.network.advance(1)
        self.assertEqual([type(one) for one in self.peer.received()], [of.EchoRequest])
        self.peer.transport.lose(ConnectionError())
        self.network.advance(1)
        peer = self.network.accept("192.0.2.1")
        self.network.advance(1)
        self.assertEqual([type(one) for one in peer.received()], [of.EchoRequest])


class ColdTests(AgentCase):
    """Bridges that come, go, or are started anew."""

    def test_restart(self) -> None:
        """A bridge with a cold change is stopped and started anew, empty, on the same socket; the
        other one is not touched."""
        self.start(bridge(0, options="instant = true") + bridge(1))
        peer, other = self.network.client(), self.network.client("ptcp:6652:127.0.0.1")
        peer.send(add(1))
        self.settled(peer)
        old, kept, driver = self.bridge(), self.bridge("br1"), self.driver()
        self.assertEqual(len(driver.hardware), 1)
        counted = coverage.process.total("reload_bridge_restarted")
        result = self.reload(bridge(0, options="instant = false") + bridge(1))
        self.assertEqual(
            self.lines(result), ["br0: driver.instant: true -> false (cold)", "br0: restarted"]
        )
        self.assertEqual(coverage.process.total("reload_bridge_restarted"), counted + 1)
        # Its rules were deleted, by operations, before it was stopped.
        self.assertEqual((driver.hardware, driver.stopped, driver.violations), ({}, True, []))
        self.assertIsNot(self.bridge(), old)
        self.assertIs(self.bridge("br1"), kept)
        self.assertEqual((peer.transport.connected, other.transport.connected), (False, True))
        port = self.network.sockets["ptcp:6651:127.0.0.1"].port
        assert port is not None
        self.assertEqual((port.reading, port.stopped), (True, 0))
        peer = self.network.client()
        peer.send(of.FlowStatsRequest(xid=1))
        [stats] = self.settled(peer)
        self.assertEqual(list(stats.flows), [])

    def test_warm_and_cold(self) -> None:
        """With one cold change the warm ones beside it need no more."""
        self.start(TWO)
        text = bridge(0, keys="max_pending = 7").replace("0001", "000a") + bridge(1)
        self.assertEqual(
            self.lines(self.reload(text)),
            [
                'br0: datapath_id: "0000000000000001" -> "000000000000000a" (cold)',
                "br0: max_pending: 50 -> 7 (warm)",
                "br0: restarted",
            ],
        )
        self.assertEqual(self.bridge().ofproto.admission.limit, 7)

    def test_added_and_removed(self) -> None:
        """A new bridge is started; one that is gone is stopped, and its socket closed."""
        self.start(TWO)
        gone = self.driver("br1")
        result = self.reload(bridge(0) + bridge(2))
        self.assertEqual(self.lines(result), ["br1: removed", "br2: added"])
        self.assertEqual([one.fate for one in result.bridges], [Fate.REMOVED, Fate.ADDED])
        self.assertEqual(list(self.agent.bridges), ["br0", "br2"])
        self.assertTrue(gone.stopped)
        self.assertFalse(self.network.sockets["ptcp:6652:127.0.0.1"].open)
        peer = self.network.client("ptcp:6653:127.0.0.1")
        self.assertEqual(self.settled(peer, "br2"), [])
        self.assertIs(self.agent.getServiceNamed("br2"), self.bridge("br2"))

    def test_renamed(self) -> None:
        """A bridge of another name is another bridge, and gets the socket of the one before."""
        self.start(bridge(0))
        self.reload(bridge(0, name="other"))
        self.assertEqual(list(self.agent.bridges), ["other"])
        port = self.network.sockets["ptcp:6651:127.0.0.1"].port
        assert port is not None
        self.assertEqual((port.reading, port.stopped), (True, 0))
        self.assertEqual(self.settled(self.network.client(), "other"), [])

    def test_drain(self) -> None:
        """A bridge that goes waits for its operations, and new ones wait for it; others do not."""
        self.start(TWO)
        peer = self.network.client()
        peer.send(add(1), add(2))
        self.turn()
        driver = self.driver()
        reloading = self.reloading(bridge(1, keys="max_pending = 7") + bridge(2))
        self.assertNoResult(reloading)
        self.assertEqual(self.bridge("br1").ofproto.admission.limit, 7)
        self.assertEqual(list(self.agent.bridges), ["br1"])
        driver.finish_all()
        self.turn()
        # Now its rules are being deleted.
        self.assertEqual([one.kind.value for one in driver.in_flight], ["delete", "delete"])
        self.assertFalse(driver.stopped)
        driver.finish_all()
        self.turn()
        self.successResultOf(reloading)
        self.assertTrue(driver.stopped)
        self.assertEqual(list(self.agent.bridges), ["br1", "br2"])

    def test_drain_is_bounded(self) -> None:
        """Hardware that does not answer has so much time, as the file says now."""
        self.start("[agent]\ndrain = 60\n" + TWO)
        peer = self.network.client()
        peer.send(add(1))
        self.turn()
        driver = self.driver()
        reloading = self.reloading("[agent]\ndrain = 2\n" + bridge(1))
        self.network.advance(1.9)
        self.assertNoResult(reloading)
        self.network.advance(0.2)
        self.turn()
        self.assertIn(
            "agent.drain: 60.0 -> 2.0 (warm)", self.lines(self.successResultOf(reloading))
        )
        self.assertTrue(driver.stopped)

    def test_cannot_start(self) -> None:
        """A bridge that cannot start is told, others go on, and the next reload tries again."""
        self.start(TWO)

        changed = bridge(0, keys="max_pending = 7")
        with capturedLogs() as events:
            result = self.reload(changed + bridge(1, options="broken = true"))
        errors = [event for event in events if event["log_level"] >= LogLevel.warn]
        told = "br1: cannot start: [Errno 19] No such device"
        self.assertEqual([event.get("text") for event in errors], [told])
        self.assertEqual(
            self.lines(result),
            [
                "br0: max_pending: 50 -> 7 (warm)",
                "br1: driver.broken: added (cold)",
                told,
            ],
        )
        self.assertEqual(list(self.agent.bridges), ["br0"])
        self.assertFalse(self.network.sockets["ptcp:6652:127.0.0.1"].open)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(str(self.reload(changed + bridge(1))), "br1: added")
        self.assertEqual(list(self.agent.bridges), ["br0", "br1"])
        self.stop()


class ProcessTests(AgentCase):
    """What concerns the whole process."""

    def test_log(self) -> None:
        """A new level takes effect; what the operator has set stays as long as the file does."""
        self.start(bridge(0))
        self.vlog.levels.set("ofproto:dbg")
        self.reload(bridge(0, keys="max_pending = 7"))
        self.assertEqual(self.vlog.levels.get("ofproto", "console"), Level.DBG)
        result = self.reload('[agent]\nlog_level = "warn"\n' + bridge(0))
        self.assertIn('agent.log_level: "info" -> "warn" (warm)', self.lines(result))
        self.assertEqual(self.vlog.levels.get("ofproto", "console"), Level.WARN)

    def test_web(self) -> None:
        """The page comes, moves and goes, and a token that changes is asked for from then on."""
        self.start(bridge(0))
        result = self.reload('[agent]\nhttp = "127.0.0.1:8653"\n' + bridge(0))
        self.assertEqual(str(result), 'agent.http: none -> "127.0.0.1:8653" (warm)')
        first = self.network.sockets["ptcp:8653:127.0.0.1"]
        self.assertIn(b"200 OK", self.get("ptcp:8653:127.0.0.1"))
        self.reload('[agent]\nhttp = "0.0.0.0:8653"\n' + bridge(0))
        self.assertFalse(first.open)
        self.assertIn(b"401 Unauthorized", self.get("ptcp:8653:0.0.0.0"))
        token = Path(self.directory, "run", "http.token").read_text().strip()
        self.assertIn(b"200 OK", self.get("ptcp:8653:0.0.0.0", token))
        other = Path(self.directory, "run", "other")
        other.write_text("sixteen characters")
        second = self.network.sockets["ptcp:8653:0.0.0.0"]
        text = '[agent]\nhttp = "0.0.0.0:8653"\nhttp_token = "other"\n' + bridge(0)
        error = self.failureResultOf(self.reloading(text), ConfigError).value
        self.assertIn("agent.http_token", str(error))
        other.write_text("sixteen-characters")
        self.reload(text)
        self.assertTrue(second.open)
        self.assertIn(b"401 Unauthorized", self.get("ptcp:8653:0.0.0.0", token))
        self.assertIn(b"200 OK", self.get("ptcp:8653:0.0.0.0", "sixteen-characters"))
        self.reload(bridge(0))
        self.assertFalse(second.open)

    def get(self, target: str, token: str = "") -> bytes:
        """What a browser is answered that asks for the bridges."""
        port = self.network.sockets[target].port
        assert port is not None
        protocol = port.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        transport = StringTransport()
        protocol.makeConnection(transport)
        sent = f"Authorization: Bearer {token}\r\n" if token else ""
        protocol.dataReceived(
            f"GET /api/bridges HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode()
        )
        self.network.turn(5)
        protocol.connectionLost(Failure(ConnectionDone()))
        return bytes(transport.value())

    def test_certificates(self) -> None:
        """Certificates are read again, whatever their names."""
        directory = Path(self.directory)
        authority = Authority(directory, "authority")
        paths = authority.issue("switch")
        tls = "\n[tls]\n" + "".join(
            f'{key} = "{path}"\n'
            for key, path in zip(
                ("certificate", "private_key", "ca"), (*paths, authority.path), strict=True
            )
        )
        self.start(bridge(0))
        self.assertEqual(str(self.reload(bridge(0) + tls)), "tls: added (warm)")
        secure = bridge(0, listen=', "pssl:7001:127.0.0.1"') + tls
        self.reload(secure)
        self.assertEqual(str(self.reload(secure)), "nothing has changed")
        authority.issue("switch")
        self.assertRegex(
            str(self.reload(secure)), r'^tls: "SHA256:[0-9a-f]+" -> "SHA256:[0-9a-f]+" \(warm\)$'
        )
        paths[0].write_text("nothing")
        error = self.failureResultOf(self.reloading(secure), ConfigError).value
        self.assertIn("tls: cannot be used", str(error))

    def test_at_once(self) -> None:
        """While a reload is under way, all who ask get the result of one more, which reads the
        file as it is then; who does not wait for it does not stop it."""
        self.start(TWO)
        self.network.client().send(add(1))
        self.turn()
        driver = self.driver()
        first = self.reloading(bridge(1))
        self.file.write_text(bridge(1, keys="max_pending = 7"))
        second, third = self.agent.reload(), self.agent.reload()
        second.addErrback(lambda failure: None)
        second.cancel()
        first.addErrback(lambda failure: None)
        first.cancel()
        for one in (driver, driver):
            one.finish_all()
            self.turn()
        self.assertEqual(str(self.successResultOf(third)), "br1: max_pending: 50 -> 7 (warm)")

    def test_stopped_meanwhile(self) -> None:
        """An agent that is stopped during a reload starts nothing more, and waits for what the
        reload was stopping."""
        self.start(TWO)
        self.network.client().send(add(1))
        self.turn()
        reloading = self.reloading(bridge(1) + bridge(2))
        stopped = self.agent.stopService()
        self.turn()
        self.assertNoResult(stopped)
        self.network.advance(5)
        self.turn()
        self.successResultOf(stopped)
        self.assertIn("br2: cannot start", str(self.successResultOf(reloading)))
        self.assertEqual([one.open for one in self.network.sockets.values()], [False] * 3)
        self.assertEqual(self.network.getDelayedCalls(), [])


def census() -> Counter[str]:
    """How many there are of each kind of object that is ours, or that waits for something."""
    gc.collect()
    kinds = (type(one) for one in gc.get_objects())
    ours = ("agent.", "drivers.", "twisted.internet.defer", "twisted.internet.base")
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith(ours))


class ManyTests(AgentCase):
    """Very many reloads."""

    REPEAT = 1000

    def test_under_load(self) -> None:
        """A thousand reloads while a controller and a client push rules: no connection that did not
        change is lost, every request is answered, and nothing is left behind."""
        kept = "controllers = ['tcp:192.0.2.1']\n"
        base = bridge(0, keys=kept, options="instant = true")
        texts = [
            base,
            bridge(0, keys=kept + "max_pending = 7", options="instant = true"),
            base + bridge(1, keys="controllers = ['tcp:192.0.2.3']"),
            base + bridge(1, keys="controllers = ['tcp:192.0.2.3']", options="seed = 1"),
            base.replace("['tcp:192.0.2.1']", "['tcp:192.0.2.1', 'tcp:192.0.2.2']"),
            bridge(0, keys=kept, options="instant = true", listen=', "ptcp:7001:127.0.0.1"'),
            base.replace("[bridge.driver]", "watchdog = 5\n[bridge.driver]"),
            "not a configuration",
        ]
        self.start(base)
        controller, client = self.network.accept("192.0.2.1"), self.network.client()
        gone: list[weakref.ref[Any]] = []
        people: Counter[str] = Counter()
        for count in range(self.REPEAT):
            for index, peer in enumerate((controller, client)):
                peer.send(add(2 * (count % 50) + index), of.BarrierRequest(count))
            reloading = self.reloading(texts[count % len(texts)])
            reloading.addErrback(lambda failure: failure.trap(ConfigError))
            self.wait_for(reloading)
            for peer in (controller, client):
                heard = peer.received()
                self.assertEqual(heard.pop(0), of.BarrierReply(count))
                for echo in heard:
                    self.assertIsInstance(echo, of.EchoRequest)
                    peer.send(of.EchoReply(xid=echo.xid))
            if "br1" in self.agent.bridges:
                one = self.bridge("br1")
                gone += map(weakref.ref, (one, one.ofproto, one.connections, one.ofproto.driver))
                # An operation that its hardware never ends.
                self.network.client("ptcp:6652:127.0.0.1").send(add(1))
                del one
            # What is kept for tests only.
            self.factory.made.clear()
            self.network.dialled.clear()
            self.driver().batches.clear()
            # Of these MOST_BARRIERS are kept, at most.
            self.bridge().connections.traffic.answered.clear()
            if count == 200:
                people = census()
        reloading = self.reloading(base)
        self.wait_for(reloading)
        self.factory.made.clear()
        # One timer more or less depends on what was last in flight when.
        self.assertLess(len(self.network.getDelayedCalls()), people.pop("DelayedCall") + 2)
        grown = census() - people
        self.assertEqual({kind: grown[kind] for kind in grown if kind != "DelayedCall"}, {})
        self.assertTrue(controller.transport.connected and client.transport.connected)
        self.assertEqual(len(list(self.bridge().ofproto.rules())), 100)
        self.assertEqual(self.driver().violations, [])
        gc.collect()
        self.assertEqual([one for one in map(weakref.ref.__call__, gone) if one is not None], [])
        self.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual([one for one in self.network.sockets.values() if one.open], [])

    def wait_for(self, reloading: Deferred[Any]) -> None:
        """Let time pass until a reload is over, which it is for sure."""
        for _ in range(10):
            if reloading.called and not reloading.paused:
                break
            self.network.advance(1)
            self.turn()
        self.successResultOf(reloading)
