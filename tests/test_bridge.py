"""Tests of :mod:`agent.bridge`: all its parts together, and what is left of them at the end."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.error import ConnectionDone

from agent.bridge import Bridge
from agent.connmgr.asyncmsg import NO_RULE
from agent.connmgr.failopen import NORMAL, PRIORITY
from agent.connmgr.tls import Credentials
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow import messages as of
from agent.openflow.match import MATCH_ALL, Match
from drivers.interfaces import RESERVED_PORTS, Capabilities, TableCapabilities
from drivers.testing import ScriptableDriver
from tests.admin.configfile import FileCase
from tests.connmgr.fakes import Peer, connect
from tests.connmgr.managers import FakeBound, MemoryReactor

CONFIG = """
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
fail_mode = "{fail_mode}"
in_band = {in_band}
in_band_queue = 3
in_band_remotes = ["192.0.2.9:6640"]
in_band_next_hops = ["02:00:00:00:0b:00"]
controller_rate_limit = 100
controller_burst_limit = 20
snoop = true
listen = ["ptcp:6653:127.0.0.1"]
controllers = [{controllers}]
[bridge.driver]
name = "scriptable"
"""
CONTROLLER = '{ target = "tcp:192.0.2.1", inactivity_probe = 2, controller_burst_limit = 5 }'
MISS = PacketInEvent(bytes(200), 3, of.PacketInReason.NO_MATCH, cookie=NO_RULE)


class BridgeCase(FileCase):
    """A bridge whose hardware does what a test says."""

    def setUp(self) -> None:
        """Nothing yet."""
        super().setUp()
        self.reactor = MemoryReactor()
        self.driver = ScriptableDriver(
            capabilities=Capabilities(
                (TableCapabilities(0, "table0", 100),),
                reserved_ports=RESERVED_PORTS | {of.Port.NORMAL},
            ),
            port_descs=[
                of.PortDesc(1, 0x020000000001, "p1"),
                of.PortDesc(of.Port.LOCAL, 0x020000000A00, "br0"),
            ],
        )

    def configuration(self, fail_mode: str = "secure", in_band: bool = False, to: str = "") -> Any:
        """The bridge's part of a file.

        :param to: its controllers.
        """
        text = CONFIG.format(fail_mode=fail_mode, in_band=str(in_band).lower(), controllers=to)
        return self.load(text).bridges[0]

    def start(self, **settings: Any) -> Bridge:
        """Start a bridge, with its sockets."""
        config = self.configuration(**settings)
        self.sockets: list[Any] = [FakeBound(str(wanted.target)) for wanted in config.listen]
        bridge = Bridge(config, self.reactor, self.driver, self.sockets, Credentials())
        bridge.startService()
        return bridge

    def settle(self) -> None:
        """Let the hardware do everything, without letting time pass."""
        self.reactor.turn(2)
        while self.driver.finish_all():
            self.reactor.turn(2)

    def greet(self, protocol: Any, version: int = of.OFP10) -> Peer:
        """Somebody who has said HELLO."""
        peer = connect(protocol)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        return peer

    def controller(self) -> Peer:
        """The controller, who has accepted."""
        return self.greet(self.reactor.tcpClients[-1][2].buildProtocol(None))

    def priorities(self, bridge: Bridge) -> list[int]:
        """Of the rules, in order."""
        return sorted(rule.priority for rule in bridge.ofproto.rules())


class PolicyTests(BridgeCase):
    """What a bridge does by itself, as it is configured."""

    def test_in_band(self) -> None:
        """In-band control reaches the controllers and the other remotes, from the start."""
        bridge = self.start(in_band=True, to=CONTROLLER)
        self.settle()
        self.assertEqual(
            [remote.host for remote in bridge.in_band.remotes], ["192.0.2.1", "192.0.2.9"]
        )
        self.assertEqual(self.priorities(bridge)[:5], list(range(180000, 180005)))
        self.assertEqual(len(self.priorities(bridge)), 13)

    def test_in_band_follows_the_port(self) -> None:
        """When the driver says that the port LOCAL has changed, so do the rules."""
        bridge = self.start(in_band=True, to=CONTROLLER)
        self.settle()
        del self.driver.port_descs[1]
        desc = of.PortDesc(of.Port.LOCAL, 0x020000000A00, "br0")
        bridge.ofproto.port_status(of.PortReason.DELETE, desc)
        self.settle()
        self.assertEqual(min(self.priorities(bridge)), 180003)

    def test_fail_open(self) -> None:
        """A standalone bridge fails open, with in-band control beside it, and recovers."""
        bridge = self.start(fail_mode="standalone", in_band=True, to=CONTROLLER)
        self.settle()
        self.reactor.advance(5.9)
        self.assertFalse(bridge.fail_open.active)
        self.reactor.advance(0.1)
        self.assertTrue(bridge.fail_open.active)
        self.settle()
        self.assertEqual(
            (len(self.priorities(bridge)), self.priorities(bridge)[-1]), (14, PRIORITY)
        )
        controller = self.controller()
        self.reactor.advance(2)
        (packet,) = [one for one in controller.received() if isinstance(one, of.PacketIn)]
        self.assertEqual(packet.match, Match.of(in_port=of.Port.LOCAL))
        controller.send(of.BarrierRequest())
        self.settle()
        self.assertEqual(len(self.priorities(bridge)), 13)

    def test_standalone(self) -> None:
        """Without controllers it is an ordinary switch from the start."""
        bridge = self.start(fail_mode="standalone")
        self.settle()
        [rule] = bridge.ofproto.rules()
        self.assertEqual((rule.priority, rule.match, rule.instructions), (0, MATCH_ALL, NORMAL))

    def test_secure(self) -> None:
        """A secure one has no rules, with or without controllers, however long it takes."""
        for to in ("", CONTROLLER):
            self.setUp()
            bridge = self.start(to=to)
            self.reactor.advance(100)
            self.settle()
            self.assertEqual(self.priorities(bridge), [])

    def test_reconfigured(self) -> None:
        """All this can be changed while it runs."""
        bridge = self.start()
        for fail_mode, in_band, to, count in (
            ("standalone", False, "", 1),
            ("standalone", True, CONTROLLER, 13),
            ("secure", True, CONTROLLER, 13),
            ("secure", False, CONTROLLER, 0),
            ("standalone", False, CONTROLLER, 0),
            ("secure", False, "", 0),
        ):
            config = self.configuration(fail_mode=fail_mode, in_band=in_band, to=to)
            bridge.reconfigure(config, self.sockets)
            self.settle()
            self.assertEqual(len(self.priorities(bridge)), count, (fail_mode, in_band, to))
        self.assertEqual(self.driver.violations, [])

    def test_packet_in_limits(self) -> None:
        """The limits of packets are those of the controller, or else those of the bridge."""
        self.start(to=CONTROLLER)
        peers = [self.controller(), self.greet(self.sockets[0].factory.buildProtocol(None))]
        for peer, at_once in zip(peers, (5, 20), strict=True):
            peer.send(of.SetConfig(0, 128))
            assert self.driver.host is not None
            for _ in range(50):
                self.driver.host.packet_in(MISS)
            self.assertEqual(len(peer.received()), at_once)


class EndTests(BridgeCase):
    """Stopping, whatever is going on."""

    def everything(self) -> tuple[Bridge, list[Peer]]:
        """A bridge with something of everything under way."""
        bridge = self.start(fail_mode="standalone", in_band=True, to=CONTROLLER)
        self.reactor.turn(2)
        peers = [self.controller(), connect(self.sockets[1].factory.buildProtocol(None))]
        controller = peers[0]
        for _ in range(50):
            bridge.ofproto.packet_in(MISS)
        numbers = [packet.buffer_id for packet in controller.received()]
        for xid, number in enumerate(numbers[:3]):
            match = Match.of(in_port=xid + 1)
            controller.send(of.FlowMod(0, match, buffer_id=number, xid=xid))
        self.reactor.turn(2)
        for _ in range(14):
            self.driver.finish()
        controller.send(of.BarrierRequest(9))
        return bridge, peers

    def assert_gone(self, bridge: Bridge) -> weakref.ref[Bridge]:
        """Nothing is left of a bridge that is being stopped."""
        stopped = bridge.stopService()
        self.reactor.advance(0)
        self.driver.finish_all()
        self.reactor.pump([0.5] * 10)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(self.driver.stopped)
        self.assertEqual(list(bridge.ofproto.ledger.groups), [])
        return weakref.ref(bridge)

    def test_controlled(self) -> None:
        """In control: with packets that wait to be sent or processed, operations in flight, a
        message that waits, and a snoop."""
        bridge, _ = self.everything()
        gone = self.assert_gone(bridge)
        self.forget()
        del bridge
        gc.collect()
        self.assertIsNone(gone())

    def test_failed_open(self) -> None:
        """Failed open: with a flush under way, and packets that do not exist."""
        bridge, [controller, _] = self.everything()
        controller.transport.lose(ConnectionDone())
        self.reactor.advance(6)
        self.assertTrue(bridge.fail_open.active)
        self.assertIsNotNone(bridge.ofproto.flushing)
        controller = self.controller()
        gone = self.assert_gone(bridge)
        self.forget()
        del bridge, controller, _
        gc.collect()
        self.assertIsNone(gone())

    def forget(self) -> None:
        """Let go of what the test itself has."""
        self.driver = ScriptableDriver()
        self.reactor = MemoryReactor()
        self.sockets = []
