"""Tests of :mod:`demo.controller`."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages as of
from agent.openflow.codec import decode, encode, header
from demo.controller import BATCH, KEPT, PAUSE, Controller


class ControllerTests(SynchronousTestCase):
    """What a switch sees of it."""

    def setUp(self) -> None:
        """It has connected."""
        self.clock = Clock()
        self.said: list[str] = []
        self.controller = Controller("one", 1, self.clock, self.said.append)
        self.transport = StringTransport()
        self.controller.makeConnection(self.transport)

    def sent(self) -> list[object]:
        """What it has sent since it was last asked."""
        data = self.transport.value()
        self.transport.clear()
        messages: list[object] = []
        while data:
            length = header(data)[2]
            messages.append(decode(of.OFP13, data[:length]))
            data = data[length:]
        return messages

    def say(self, message: of.Message) -> None:
        """A message from the switch, a byte at a time."""
        for byte in encode(of.OFP13, message):
            self.controller.dataReceived(bytes((byte,)))

    def test_batch(self) -> None:
        """It asks for rules, all different, and for a barrier; the next batch comes after the
        reply, and not before."""
        (hello,) = self.sent()
        self.assertIsInstance(hello, of.Hello)
        self.say(of.Hello(frozenset({of.OFP13})))
        *rules, barrier = self.sent()
        self.assertIsInstance(barrier, of.BarrierRequest)
        matches = {rule.match for rule in rules if isinstance(rule, of.FlowMod)}
        self.assertEqual(len(matches), BATCH)
        self.clock.advance(60)
        self.assertEqual(self.sent(), [])
        self.say(of.BarrierReply(1))
        self.assertIn("after 60.0 s", self.said[-1])
        self.clock.advance(PAUSE)
        self.assertEqual(len(self.sent()), BATCH + 1)

    def test_oldest_goes(self) -> None:
        """There are only so many rules at once: what was added first is deleted first."""
        self.say(of.Hello(frozenset({of.OFP13})))
        first = [one.match for one in self.sent() if isinstance(one, of.FlowMod)]
        for number in range(1, KEPT + 1):
            self.say(of.BarrierReply(number))
            self.clock.advance(PAUSE)
        deleted = [
            one.match
            for one in self.sent()
            if isinstance(one, of.FlowMod) and one.command == of.FlowModCommand.DELETE_STRICT
        ]
        self.assertEqual(deleted, first)

    def test_rest(self) -> None:
        """It answers echo requests, counts what is refused, and ends with its connection."""
        self.sent()
        self.say(of.EchoRequest(b"x", 9))
        self.assertEqual(self.sent(), [of.EchoReply(b"x", 9)])
        self.say(of.ErrorMessage(5, 1, b"", 3))
        self.assertEqual(self.controller.refused, 1)
        self.say(of.BarrierReply(1))
        self.controller.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(PAUSE)
        self.assertEqual(self.sent(), [])
