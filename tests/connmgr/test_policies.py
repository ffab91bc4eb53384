"""What policies (fail-open, in-band control) are told, and when a controller has admitted us."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from agent.connmgr.negotiation import ADMITTED_AFTER
from agent.connmgr.target import Target
from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.connmgr.fakes import Peer, SessionCase, flow_mod
from tests.connmgr.managers import Controller, ManagerCase


class RecordingPolicy:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def start(self) -> None:
        """See :class:`agent.connmgr.interfaces.Policy`, like the rest."""
        self.heard.append("start")

    def stop(self) -> None:
        """Remember."""
        self.heard.append("stop")

    def controllers_changed(self) -> None:
        """Remember."""
        self.heard.append("controllers")

    def ports_changed(self) -> None:
        """Remember."""
        self.heard.append("ports")

    def flushed(self) -> None:
        """Remember."""
        self.heard.append("flushed")


class PolicyTests(ManagerCase):
    """The manager and its policies."""

    def setUp(self) -> None:
        """One policy, on a manager that has just been started."""
        super().setUp()
        self.successResultOf(self.manager.stopService())
        self.policy = RecordingPolicy()
        self.reactor.advance(100)
        self.manager = self.make([Controller(Target.parse("tcp:192.0.2.1:6653"))])
        self.manager.add_policy(self.policy)
        self.manager.startService()

    def heard(self) -> list[str]:
        """What the policy was told since the last time."""
        heard, self.policy.heard = self.policy.heard, []
        return heard

    def test_life(self) -> None:
        """It is started with the manager and stopped with it, and told nothing later."""
        self.assertEqual(self.heard(), ["start"])
        peer = self.controller()
        self.heard()
        self.successResultOf(self.manager.stopService())
        self.assertEqual(self.heard(), ["stop"])
        self.assertFalse(peer.transport.connected)
        self.manager.flushed()
        self.assertEqual(self.heard(), [])

    def test_controllers(self) -> None:
        """It is told when a controller connects, takes control, and is lost; not of clients."""
        self.heard()
        client = self.client()
        client.send(flow_mod())
        client.transport.lose(ConnectionDone())
        self.assertEqual(self.heard(), [])
        controller = self.controller()
        self.assertEqual(self.heard(), ["controllers"])
        self.assertEqual((self.manager.connected, self.manager.admitted), (True, False))
        controller.send(flow_mod())
        controller.send(flow_mod())
        self.assertEqual(self.heard(), ["controllers"])
        self.assertEqual((self.manager.connected, self.manager.admitted), (True, True))
        controller.transport.lose(ConnectionDone())
        self.assertEqual(self.heard(), ["controllers"])
        self.assertEqual((self.manager.connected, self.manager.admitted), (False, False))

    def test_when_it_is_told(self) -> None:
        """What it asks when it is told is as it is told."""
        seen = []
        self.policy.controllers_changed = lambda: seen.append(  # type: ignore[method-assign]
            (self.manager.connected, self.manager.admitted)
        )
        controller = self.controller()
        controller.send(flow_mod())
        controller.transport.lose(ConnectionDone())
        self.assertEqual(seen, [(True, False), (True, True), (False, False)])

    def test_last_admitted(self) -> None:
        """The last sign of life of a controller that had taken control; before that, the start."""
        self.assertEqual(self.manager.last_admitted, 100)
        self.reactor.advance(10)
        self.controller().transport.lose(ConnectionDone())
        self.assertEqual(self.manager.last_admitted, 100)
        self.reactor.advance(1)
        controller = self.controller()
        controller.send(flow_mod())
        self.reactor.advance(3)
        controller.transport.lose(ConnectionDone())
        self.assertEqual(self.manager.last_admitted, 111)

    def test_added(self) -> None:
        """A controller that is added while the bridge runs gets its time; one that stays does not
        get more."""
        self.reactor.advance(50)
        one, other = (Controller(Target.parse(f"tcp:192.0.2.{n}")) for n in (1, 2))
        listeners = [(self.tcp, 5.0), (self.unix, 5.0)]
        self.manager.reconfigure([4], [one], listeners)
        self.assertEqual(self.manager.last_admitted, 100)
        self.manager.reconfigure([4], [one, other], listeners)
        self.assertEqual(self.manager.last_admitted, 150)

    def test_switch(self) -> None:
        """It is told of ports and of flushes."""
        self.heard()
        self.manager.port_status(of.PortStatus(of.PortReason.MODIFY, of.PortDesc(1, 0, "p1")))
        self.manager.flushed()
        self.assertEqual(self.heard(), ["ports", "flushed"])

    def test_bogus_packet_in(self) -> None:
        """A packet that does not exist goes to the controllers, whatever their version, and to
        nobody else."""
        client = self.client()
        client.send(of.SetConfig(0, 128))
        for version in (of.OFP10, of.OFP13):
            controller = self.controller(version)
            self.manager.bogus_packet_in(b"frame")
            [packet] = controller.received()
            self.assertEqual((packet.data, packet.reason), (b"frame", of.PacketInReason.NO_MATCH))
            self.assertEqual(packet.match, Match.of(in_port=of.Port.LOCAL))
            controller.transport.lose(ConnectionDone())
            self.reactor.advance(1)
        self.assertEqual(client.received(), [])


class AdmissionTests(SessionCase):
    """When a controller has admitted the switch."""

    def greet(self, peer: Peer) -> None:
        """Everything that a controller may say before it has decided."""
        peer.send(
            of.EchoRequest(),
            of.EchoReply(),
            of.FeaturesRequest(),
            of.GetConfigRequest(),
            of.SetConfig(0, 128),
            of.QueueGetConfigRequest(of.ANY),
            of.GetAsyncRequest(),
            of.TableFeaturesRequest(()),
            of.Experimenter(0x1234, 1, b""),
            of.ErrorMessage(1, 1, b""),
        )

    def test_greeting(self) -> None:
        """What is said to every switch that connects means nothing; what comes then, does."""
        session, peer = self.connected()
        self.greet(peer)
        self.assertEqual((session.admitted, self.owner.admitted), (False, 0))
        peer.send(of.BarrierRequest())
        peer.send(flow_mod())
        self.assertEqual((session.admitted, self.owner.admitted), (True, 1))

    def test_patience(self) -> None:
        """Nobody keeps a switch that it does not want for half a minute."""
        session, peer = self.connected(inactivity_probe=0.0)
        self.clock.advance(ADMITTED_AFTER - 0.1)
        self.greet(peer)
        self.assertFalse(session.admitted)
        self.clock.advance(0.1)
        self.assertFalse(session.admitted)
        peer.send(of.EchoReply())
        self.assertEqual((session.admitted, self.owner.admitted), (True, 1))
