"""Tests for :mod:`agent.connmgr.probe`, alone and in a session."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.probe import InactivityProbe
from agent.connmgr.settings import ConnectionKind, Limits
from agent.openflow import messages as of
from tests.connmgr.fakes import SessionCase, TurnClock, flow_mod


class AloneTests(SynchronousTestCase):
    """The inactivity probe alone."""

    def setUp(self) -> None:
        """A probe of ten seconds."""
        self.clock = TurnClock()
        self.heard = 0.0
        self.excused = False
        self.probes: list[float] = []
        self.failed: list[float] = []
        self.inactivity = InactivityProbe(self.clock, 10, self)
        self.inactivity.start()

    def last_heard(self) -> float:
        """When the test says."""
        return self.heard

    def silence_excused(self) -> bool:
        """When the test says."""
        return self.excused

    def probe(self) -> None:
        """Remember when."""
        self.probes.append(self.clock.seconds())

    def probe_failed(self) -> None:
        """Remember when."""
        self.failed.append(self.clock.seconds())

    def test_exact(self) -> None:
        """The interval is counted from the last sign of life, not from the last look."""
        self.clock.advance(7)
        self.heard = 7
        self.clock.pump([1] * 9)
        self.assertEqual(self.probes, [])
        self.clock.pump([1] * 20)
        self.assertEqual((self.probes, self.failed), ([17], [27]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """A sign of life after the probe starts everything over."""
        self.clock.advance(10)
        self.assertTrue(self.inactivity.probing)
        self.heard = 11
        self.clock.pump([1] * 11)
        self.assertEqual((self.probes, self.failed), ([10, 21], []))

    def test_excuse_after_the_probe(self) -> None:
        """A silence that is excused is none, even when the probe is out."""
        self.clock.advance(10)
        self.excused = True
        self.clock.advance(10)
        self.excused = False
        self.assertFalse(self.inactivity.probing)
        self.clock.pump([1] * 20)
        self.assertEqual((self.probes, self.failed), ([10, 30], [40]))

    def test_stop(self) -> None:
        """Stopped, it leaves no timer; that may be done again, and without a start."""
        self.inactivity.stop()
        self.inactivity.stop()
        InactivityProbe(self.clock, 0, self).stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SessionTests(SessionCase):
    """Silent peers."""

    def test_probe(self) -> None:
        """After five seconds of silence comes an echo request, after as long again the end."""
        session, peer = self.connected()
        self.clock.advance(4.9)
        self.assertEqual(peer.received(), [])
        self.clock.advance(0.1)
        self.assertEqual(peer.received(), [of.EchoRequest()])
        self.clock.advance(4.9)
        self.assertFalse(session.closed)
        self.clock.advance(0.1)
        self.assertTrue(session.closed)
        self.assertEqual(self.owner.lost, ["no response to inactivity probe after 5 s"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """Whoever answers stays, for ever."""
        session, peer = self.connected()
        for _ in range(10):
            self.clock.advance(5)
            self.assertEqual(peer.received(), [of.EchoRequest()])
            peer.send(of.EchoReply())
        self.assertFalse(session.closed)

    def test_none(self) -> None:
        """An interval of 0 means no probe."""
        session, peer = self.connected(inactivity_probe=0.0)
        self.clock.advance(10_000)
        self.assertEqual((peer.received(), session.closed), ([], False))

    def test_not_while_we_do_not_read(self) -> None:
        """Back-pressure is our doing: a peer that we do not listen to is not dropped for it."""
        session, peer = self.connected(limits=Limits(queued_replies=1))
        peer.transport.choke()
        peer.send(of.FeaturesRequest())
        self.assertFalse(peer.protocol.reading)
        for _ in range(20):
            self.clock.advance(5)
        self.assertFalse(session.closed)
        peer.transport.unchoke()
        self.clock.turn()
        peer.received()
        self.clock.advance(4.9)
        self.assertEqual(peer.received(), [])
        self.clock.advance(5)
        self.assertEqual(peer.received(), [of.EchoRequest()])

    def test_reply_behind_a_waiting_message(self) -> None:
        """The answer to a probe counts although a message before it waits."""
        self.postpone(of.DescRequest)
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        for _ in range(10):
            self.clock.advance(5)
            self.assertEqual(peer.received(), [of.EchoRequest()])
            peer.send(of.EchoReply())
        self.assertFalse(session.closed)
        self.assertEqual(peer.protocol.backlog, 0)

    def test_dead_controller(self) -> None:
        """A controller that does not answer is dropped, whatever it waits for."""
        session, peer = self.connected()
        peer.send(flow_mod(1), of.BarrierRequest())
        self.clock.advance(5)
        self.clock.advance(5)
        self.assertTrue(session.closed)

    def test_patient_client(self) -> None:
        """A client of a listener that only waits for its reply is not dropped for a slow switch."""
        session, peer = self.connected(kind=ConnectionKind.SERVICE)
        peer.send(flow_mod(1), of.BarrierRequest())
        for _ in range(20):
            self.clock.advance(5)
        self.assertFalse(session.closed)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply()])
        for _ in range(3):
            self.clock.advance(5)
        self.assertTrue(session.closed)
