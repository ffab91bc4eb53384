"""Tests for :mod:`agent.connmgr.ofconn`: messages that wait, and barriers."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from agent.openflow import messages as of
from agent.openflow.codec import encode
from agent.openflow.errors import (
    OVERLAP,
    TABLE_FULL,
    OpenFlowError,
)
from tests.connmgr.fakes import VERSIONS, Gate, SessionCase, flow_mod


class PostponementTests(SessionCase):
    """A message that waits."""

    def setUp(self) -> None:
        """DESC_REQUEST waits for a gate each."""
        super().setUp()
        self.gates = self.postpone(of.DescRequest)

    def test_waits(self) -> None:
        """What waits, and what for, can be seen; what is behind it is not executed."""
        session, peer = self.connected()
        self.assertIsNone(session.postponement.waiting_for)
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        self.assertEqual(session.postponement.waiting_for, "gate 1")
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=1)])

    def test_goes_on(self) -> None:
        """When the condition clears, it runs again in a turn of its own, and the rest follows."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        self.switch.handled.clear()
        self.gates[0].clear()
        self.assertEqual(self.switch.handled, [])
        self.clock.turn()
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=1), of.FeaturesRequest(xid=2)])
        self.assertIsNone(session.postponement.waiting_for)
        self.assertEqual(self.clock.getDelayedCalls(), [session._probe._call])  # type: ignore[union-attr]

    def test_condition_that_has_cleared(self) -> None:
        """A condition that has cleared meanwhile is waited for in vain only until the next turn."""
        session, peer = self.connected()

        def handle(request: Any, requester: Any) -> None:
            if not done:
                done.append(True)
                gate = Gate()
                gate.clear()
                from agent.ofproto.conditions import Postponed

                raise Postponed(gate)

        done: list[bool] = []
        self.switch.on[of.DescRequest] = handle
        peer.send(of.DescRequest())
        self.assertIsNotNone(session.postponement.waiting_for)
        self.clock.turn()
        self.assertIsNone(session.postponement.waiting_for)

    def test_another_condition(self) -> None:
        """A message may wait for one thing after the other."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        first = self.gates[0]
        second = Gate("the second")

        def handle(request: Any, requester: Any) -> None:
            from agent.ofproto.conditions import Postponed

            if not second.cleared:
                raise Postponed(second)

        self.switch.on[of.DescRequest] = handle
        first.clear()
        self.clock.turn()
        self.assertEqual(session.postponement.waiting_for, "the second")
        second.clear()
        self.clock.turn()
        self.assertIsNone(session.postponement.waiting_for)

    def test_echo(self) -> None:
        """Echo requests are answered ahead of it, those that came before and those after."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.EchoRequest(b"a", 2), of.FeaturesRequest(xid=3))
        self.assertEqual(peer.received(), [of.EchoReply(b"a", 2)])
        peer.send(of.EchoRequest(b"b", 4))
        self.assertEqual(peer.received(), [of.EchoReply(b"b", 4)])
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.FeaturesReply(1, 0, 1, xid=3)])

    def test_echo_of_another_version(self) -> None:
        """An echo request of a wrong version is refused, in its turn."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        peer.send_bytes(encode(of.OFP10, of.EchoRequest(xid=2)))
        self.assertEqual(peer.received(), [])
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(peer.received()[0].xid, 2)

    def test_other_connections(self) -> None:
        """Other connections are not held up."""
        _, peer = self.connected()
        _, other = self.connected()
        peer.send(of.DescRequest(xid=1))
        other.send(of.FeaturesRequest(xid=2))
        self.assertEqual(other.received(), [of.FeaturesReply(1, 0, 1, xid=2)])

    def test_disconnect(self) -> None:
        """A session that ends while it waits leaves no waiter, no timer and no message behind."""
        session, peer = self.connected()
        peer.send(of.DescRequest(xid=1), of.FeaturesRequest(xid=2))
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.gates[0].waiters, 0)
        self.assertIsNone(session.postponement.waiting_for)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.switch.forgone, [session])
        self.switch.handled.clear()
        self.gates[0].clear()
        self.clock.turn()
        self.assertEqual(self.switch.handled, [])

    def test_disconnect_when_woken(self) -> None:
        """Nor does one that ends between its condition and its turn."""
        _, peer = self.connected()
        peer.send(of.DescRequest(xid=1))
        self.switch.handled.clear()
        self.gates[0].clear()
        peer.transport.lose(ConnectionLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.switch.handled, [])

    def test_wakes_only_whom_it_concerns(self) -> None:
        """One condition that clears makes one turn, however many connections wait for others."""
        peers = [self.connected(inactivity_probe=0.0)[1] for _ in range(100)]
        for xid, peer in enumerate(peers):
            peer.send(of.DescRequest(xid=xid))
        self.switch.handled.clear()
        self.gates[42].clear()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.turn()
        self.assertEqual(self.switch.handled, [of.DescRequest(xid=42)])


class BarrierTests(SessionCase):
    """Barriers, and what is outstanding."""

    def test_nothing_outstanding(self) -> None:
        """A barrier that has nothing to wait for is answered at once."""
        for version in VERSIONS:
            _, peer = self.connected(version)
            peer.send(of.BarrierRequest(xid=8))
            self.assertEqual(peer.received(), [of.BarrierReply(xid=8)])

    def test_waits_for_groups(self) -> None:
        """A barrier waits for all groups of its connection, and says for which."""
        session, peer = self.connected()
        peer.send(flow_mod(1), flow_mod(2), of.BarrierRequest(xid=8))
        self.assertEqual(
            session.postponement.waiting_for, "its own 2 operation groups; the oldest: group 1"
        )
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [])
        self.switch.groups[1].end()
        self.assertEqual(peer.received(), [])
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=8)])

    def test_not_for_others(self) -> None:
        """A barrier does not wait for other connections."""
        _, peer = self.connected()
        _, other = self.connected()
        peer.send(flow_mod(1))
        other.send(of.BarrierRequest(xid=8))
        self.assertEqual(other.received(), [of.BarrierReply(xid=8)])

    def test_after_errors(self) -> None:
        """Errors of earlier requests come before the barrier reply, with xid and request."""
        for version in VERSIONS:
            session, peer = self.connected(version)
            sent = [encode(version, flow_mod(xid)) for xid in (1, 2, 3)]
            peer.send_bytes(b"".join(sent) + encode(version, of.BarrierRequest(xid=8)))
            groups, self.switch.groups = self.switch.groups, []
            groups[1].end(OpenFlowError(TABLE_FULL))
            groups[0].end(OpenFlowError(OVERLAP))
            groups[2].end()
            self.clock.turn()
            self.assertEqual(
                peer.received(),
                [
                    of.ErrorMessage(*TABLE_FULL.numbers(version), sent[1][:64], 2),
                    of.ErrorMessage(*OVERLAP.numbers(version), sent[0][:64], 1),
                    of.BarrierReply(xid=8),
                ],
            )
            self.assertEqual(session.counters.errors_sent, 2)

    def test_unexpected_error(self) -> None:
        """A group that ended with something else than an OpenFlow error is reported as well."""
        _, peer = self.connected()
        peer.send(flow_mod(1))
        self.switch.groups[0].end(OSError("no such device"))
        self.assertEqual([message.xid for message in peer.received()], [1])

    def test_one_after_the_other(self) -> None:
        """What stands behind a barrier is not executed before it is answered."""
        _, peer = self.connected()
        peer.send(flow_mod(1), of.BarrierRequest(2), flow_mod(3), of.BarrierRequest(4))
        self.assertEqual(len(self.switch.groups), 1)
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=2)])
        self.switch.groups[1].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=4)])

    def test_waits_for_replies(self) -> None:
        """A reply that is still being prepared is outstanding too, and comes before the barrier."""
        session, peer = self.connected()
        [replies] = [self.defer(of.DescRequest)]
        peer.send(of.DescRequest(xid=1), of.BarrierRequest(xid=2))
        self.assertEqual(session.postponement.waiting_for, "its own 1 reply")
        replies[0].callback(of.EchoReply(b"reply", 1))
        self.clock.turn()
        self.assertEqual(peer.received(), [of.EchoReply(b"reply", 1), of.BarrierReply(xid=2)])

    def test_all_kinds(self) -> None:
        """A barrier waits until neither groups nor replies are left."""
        _, peer = self.connected()
        replies = self.defer(of.DescRequest)
        peer.send(flow_mod(1), of.DescRequest(xid=2), of.BarrierRequest(xid=3))
        self.switch.groups[0].end()
        self.clock.turn()
        self.assertEqual(peer.received(), [])
        replies[0].callback(None)
        self.clock.turn()
        self.assertEqual(peer.received(), [of.BarrierReply(xid=3)])
