"""Tests for :mod:`agent.connmgr.framing`: turns, frames that wait, and back-pressure."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from agent.connmgr.settings import DEFAULT_LIMITS, Limits
from tests.connmgr.fakes import FakeReceiver, Peer, frames_of
from tests.connmgr.frames import ECHO, FramingCase, frame


class FairnessTests(FramingCase):
    """So many messages a turn."""

    def test_fifty_a_turn(self) -> None:
        """Fifty messages are executed at once, and fifty in each turn after it, in order."""
        receiver, peer = self.channel()
        sent = [frame(xid=xid) for xid in range(120)]
        peer.send_bytes(b"".join(sent))
        self.assertEqual(receiver.frames, sent[:50])
        self.clock.turn()
        self.assertEqual(receiver.frames, sent[:100])
        self.clock.turn()
        self.assertEqual(receiver.frames, sent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_longer_than_a_turn(self) -> None:
        """Messages that take long are fewer a turn, but some are always executed."""
        for seconds, each in ((0.002, 5), (0.0003, 10), (1.0, 5)):
            receiver, peer = self.channel()

            def take(_: bytes, seconds: float = seconds) -> None:
                self.clock.rightNow += seconds

            receiver.on_frame = take
            sent = [frame(xid=xid) for xid in range(40)]
            peer.send_bytes(b"".join(sent))
            for executed in range(each, 40, each):
                self.assertEqual(receiver.frames, sent[:executed])
                self.clock.turn()
            self.assertEqual(receiver.frames, sent)

    def test_more_data_in_a_turn(self) -> None:
        """Data that comes while a turn is due waits for it."""
        receiver, peer = self.channel()
        sent = [frame(xid=xid) for xid in range(80)]
        peer.send_bytes(b"".join(sent[:60]))
        peer.send_bytes(b"".join(sent[60:]))
        self.assertEqual(len(receiver.frames), 50)
        self.clock.turn()
        self.assertEqual(receiver.frames, sent)

    def test_others_in_between(self) -> None:
        """A flood on one connection does not keep another from its turn."""
        flooded, flood = self.channel()
        other, calm = self.channel()
        flood.send_bytes(b"".join(frame(xid=xid) for xid in range(1000)))
        calm.send_bytes(frame(xid=7))
        self.assertEqual(len(flooded.frames), 50)
        self.assertEqual(other.frames, [frame(xid=7)])

    def test_stops_reading(self) -> None:
        """Who sends faster than it is executed is not read while there is enough to do."""
        _, peer = self.channel()
        chunk = b"".join(frame() for _ in range(8192))
        peer.send_bytes(chunk)
        self.assertTrue(peer.protocol.reading)
        peer.send_bytes(chunk)
        self.assertEqual(peer.transport.producerState, "paused")
        self.assertFalse(peer.protocol.reading)
        self.clock.turn(2 * 8192 // 50 + 1)
        self.assertEqual(peer.transport.producerState, "producing")
        self.assertEqual(peer.protocol.received, 2 * 8192)

    def test_lost_between_turns(self) -> None:
        """A connection that is lost has no further turn, and leaves nothing behind."""
        receiver, peer = self.channel()
        peer.send_bytes(b"".join(frame() for _ in range(120)))
        peer.transport.lose(ConnectionDone())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((len(receiver.frames), receiver.lost), (50, 1))
        self.assertEqual(peer.protocol.backlog, 0)


class WaitingTests(FramingCase):
    """Frames behind one that waits."""

    def test_held(self) -> None:
        """What comes behind a frame that waits is kept, in order, until it is done."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + frame(xid=2))
        peer.send_bytes(frame(xid=3))
        self.assertEqual(receiver.frames, [frame(xid=1)])
        receiver.ready = True
        peer.protocol.wake()
        self.assertEqual(receiver.retries, 1)
        self.clock.turn()
        self.assertEqual(receiver.frames, [frame(xid=xid) for xid in (1, 2, 3)])

    def test_overtaking(self) -> None:
        """Echo requests behind a frame that waits are offered as they come, and only once."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        echoes = [frame(ECHO, xid) for xid in (3, 5)]
        peer.send_bytes(frame(xid=1) + frame(xid=2) + echoes[0] + frame(xid=4))
        peer.send_bytes(echoes[1][:5])
        self.assertEqual(receiver.overtaken, echoes[:1])
        peer.send_bytes(echoes[1][5:])
        self.assertEqual(receiver.overtaken, echoes)
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual(receiver.frames, [frame(xid=xid) for xid in (1, 2, 4)])
        self.assertEqual(receiver.overtaken, echoes)

    def test_overtaking_is_fair(self) -> None:
        """A flood of echo requests has its fifty a turn as well."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + b"".join(frame(ECHO, xid) for xid in range(120)))
        self.assertEqual(len(receiver.overtaken), 49)
        self.clock.turn()
        self.assertEqual(len(receiver.overtaken), 99)
        self.clock.turn()
        self.assertEqual(len(receiver.overtaken), 120)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_again(self) -> None:
        """A frame that still cannot be executed goes on waiting, and so do those behind it."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + frame(xid=2))
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual(receiver.frames, [frame(xid=1)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_one_waits(self) -> None:
        """The frame behind one that waited can wait as well."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1), frame(xid=2)]
        peer.send_bytes(frame(xid=1) + frame(xid=2) + frame(xid=3))
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual(receiver.frames, [frame(xid=1), frame(xid=2)])
        peer.send_bytes(frame(ECHO))
        self.assertEqual(receiver.overtaken, [frame(ECHO)])

    def test_bounded_in_frames(self) -> None:
        """Reading stops when too many frames wait, and goes on when there is room."""
        receiver, peer = self.channel(Limits(backlog_frames=10))
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + b"".join(frame(xid=9) for _ in range(9)))
        self.assertTrue(peer.protocol.reading)
        peer.send_bytes(frame(xid=9))
        self.assertFalse(peer.protocol.reading)
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertTrue(peer.protocol.reading)
        self.assertEqual(len(receiver.frames), 11)

    def test_bounded_in_bytes(self) -> None:
        """Reading stops when too many bytes wait."""
        receiver, peer = self.channel(Limits(backlog_bytes=1000))
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + frame(body=bytes(900)))
        self.assertTrue(peer.protocol.reading)
        peer.send_bytes(frame(body=bytes(900)))
        self.assertEqual(peer.transport.producerState, "paused")

    def test_default_bounds(self) -> None:
        """By default 4 MiB or 16384 frames are kept, and not much more than one chunk beyond."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1))
        chunk = b"".join(frame(body=bytes(1000)) for _ in range(65))
        sent = 0
        while peer.protocol.reading:
            peer.send_bytes(chunk)
            sent += len(chunk)
        self.assertGreaterEqual(sent, 4 << 20)
        self.assertLess(sent, (4 << 20) + 2 * len(chunk))

    def test_turn_includes_the_one_that_waited(self) -> None:
        """The message that waited is one of the fifty."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + b"".join(frame(xid=9) for _ in range(100)))
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual(len(receiver.frames), 1 + 49)


class BackPressureTests(FramingCase):
    """Peers that do not read."""

    def answering(self, limits: Limits = DEFAULT_LIMITS) -> tuple[FakeReceiver, Peer]:
        """A channel which answers every frame with the same."""
        receiver, peer = self.channel(limits)
        receiver.on_frame = peer.protocol.send
        return receiver, peer

    def test_hundred_replies(self) -> None:
        """At a hundred replies in the queue neither execution nor reading goes on."""
        receiver, peer = self.answering()
        peer.transport.choke()
        peer.send_bytes(b"".join(frame(xid=xid) for xid in range(300)))
        self.clock.turn(10)
        self.assertEqual(len(receiver.frames), 100)
        self.assertEqual(peer.protocol.queued, 100)
        self.assertFalse(peer.protocol.reading)
        self.assertEqual(peer.transport.value(), b"")

    def test_goes_on(self) -> None:
        """When the peer has read, everything goes on, and no reply is lost or out of order."""
        _, peer = self.answering()
        peer.transport.choke()
        sent = b"".join(frame(xid=xid) for xid in range(300))
        peer.send_bytes(sent)
        self.clock.turn(3)
        peer.transport.unchoke()
        self.clock.turn(10)
        self.assertEqual(peer.transport.value(), sent)
        self.assertTrue(peer.protocol.reading)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drained(self) -> None:
        """The receiver is told when everything was sent that had to wait, not before, and can send
        more then."""
        receiver, peer = self.channel()
        sent = [frame(xid=xid, body=bytes(40_000)) for xid in range(5)]
        peer.transport.choke()
        for data in sent:
            peer.protocol.send(data)
        self.assertEqual(peer.protocol.unsent, sum(map(len, sent)))
        written = peer.transport.writeSequence

        def write(data: list[bytes]) -> None:
            written(data)
            if len(frames_of(peer.transport.value())) < 5:
                peer.transport.choke()

        peer.transport.writeSequence = write  # type: ignore[method-assign]
        peer.transport.unchoke()
        self.assertEqual((receiver.drains, len(frames_of(peer.transport.value()))), (0, 2))
        peer.transport.unchoke()
        self.assertEqual(receiver.drains, 0)
        peer.transport.unchoke()
        self.assertEqual((receiver.drains, peer.protocol.unsent), (1, 0))
        self.assertEqual(frames_of(peer.transport.value()), sent)

    def test_drained_too_late(self) -> None:
        """A receiver whose connection is being closed is not told."""
        receiver, peer = self.channel()
        peer.transport.lingering = True
        peer.transport.choke()
        peer.protocol.close()
        peer.protocol.resumeProducing()
        self.assertEqual(receiver.drains, 0)

    def test_bytes(self) -> None:
        """A few large replies count like many small ones."""
        receiver, peer = self.answering(Limits(queued_bytes=100_000))
        peer.transport.choke()
        peer.send_bytes(b"".join(frame(body=bytes(40_000)) for _ in range(10)))
        self.assertEqual(len(receiver.frames), 3)
        self.assertFalse(peer.protocol.reading)

    def test_within_a_turn(self) -> None:
        """Replies beyond 64 KiB are given to the transport within the turn, which can stop it."""
        receiver, peer = self.answering(Limits(queued_bytes=70_000))
        written = peer.transport.writeSequence

        def write(data: list[bytes]) -> None:
            written(data)
            peer.transport.choke()

        peer.transport.writeSequence = write  # type: ignore[method-assign]
        peer.send_bytes(b"".join(frame(body=bytes(40_000)) for _ in range(10)))
        self.assertEqual(len(receiver.frames), 4)
        self.assertEqual(len(frames_of(peer.transport.value())), 2)

    def test_quick_peer(self) -> None:
        """A peer that reads is never stopped, however many replies there are."""
        _, peer = self.answering()
        sent = b"".join(frame(xid=xid) for xid in range(1000))
        peer.send_bytes(sent)
        while self.clock.getDelayedCalls():
            self.clock.turn()
        self.assertEqual(peer.transport.value(), sent)

    def test_replies_are_collected(self) -> None:
        """The replies of one turn are one write."""
        _, peer = self.answering()
        writes: list[int] = []
        written = peer.transport.writeSequence

        def write(data: list[bytes]) -> None:
            writes.append(len(data))
            written(data)

        peer.transport.writeSequence = write  # type: ignore[method-assign]
        peer.send_bytes(b"".join(frame() for _ in range(50)))
        self.assertEqual(writes, [50])

    def test_echo_flood_behind_a_waiting_frame(self) -> None:
        """A peer that does not read its echo replies is not read either."""
        receiver, peer = self.answering()
        receiver.holds = [frame(xid=1)]
        peer.transport.choke()
        peer.send_bytes(frame(xid=1) + b"".join(frame(ECHO) for _ in range(500)))
        self.clock.turn(20)
        self.assertEqual(peer.protocol.queued, 100)
        self.assertFalse(peer.protocol.reading)
        peer.transport.unchoke()
        self.clock.turn(20)
        self.assertEqual(len(receiver.overtaken), 500)

    def test_waiting_frame_and_full_queue(self) -> None:
        """A frame is not tried again while its peer should read first."""
        receiver, peer = self.channel(Limits(queued_replies=1))
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1))
        peer.transport.choke()
        peer.protocol.send(frame())
        tried = receiver.retries
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual((receiver.retries, receiver.held_up), (tried, 1))
        peer.transport.unchoke()
        self.clock.turn()
        self.assertEqual(receiver.retries, tried + 1)
        self.assertFalse(receiver.ready)

    def test_silence_while_not_reading(self) -> None:
        """The time for which we did not listen does not count as the peer's silence."""
        _, peer = self.answering(Limits(queued_replies=1))
        peer.transport.choke()
        peer.send_bytes(frame())
        self.clock.advance(100)
        peer.transport.unchoke()
        self.assertEqual(peer.protocol.last_received, 100)
