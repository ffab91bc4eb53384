"""Tests for :mod:`agent.connmgr.framing`."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.settings import DEFAULT_LIMITS, Limits
from agent.openflow.errors import HELLO_INCOMPATIBLE, REQUEST_BAD_LEN
from tests.connmgr.fakes import FakeReceiver, FakeTransport, Peer, TurnClock, connect, frames_of

ECHO = 2
BARRIER = 20


def frame(kind: int = BARRIER, xid: int = 0, body: bytes = b"", version: int = 4) -> bytes:
    """A frame of OpenFlow."""
    return struct.pack(">BBHI", version, kind, 8 + len(body), xid) + body


class FramingCase(SynchronousTestCase):
    """Has a clock, and makes channels that have agreed on a version."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.clock = TurnClock()

    def channel(
        self, limits: Limits = DEFAULT_LIMITS, greeted: bool = True
    ) -> tuple[FakeReceiver, Peer]:
        """A connected channel."""
        receiver = FakeReceiver()
        peer = connect(FrameProtocol(self.clock, receiver, limits))
        if greeted:
            peer.protocol.greeted()
        return receiver, peer


class CuttingTests(FramingCase):
    """Bytes to frames."""

    def test_fake(self) -> None:
        """The fake receiver provides what receivers provide."""
        verifyObject(IFrameReceiver, self.channel()[0])

    def test_one(self) -> None:
        """A frame that comes in one piece is given on at once."""
        receiver, peer = self.channel()
        peer.send_bytes(frame(xid=1))
        self.assertEqual(receiver.frames, [frame(xid=1)])

    def test_byte_by_byte(self) -> None:
        """How bytes are cut by the network does not matter."""
        receiver, peer = self.channel()
        sent = [frame(xid=1, body=b"abc"), frame(xid=2), frame(xid=3, body=bytes(300))]
        for byte in b"".join(sent):
            peer.send_bytes(bytes([byte]))
        self.assertEqual(receiver.frames, sent)

    @given(
        st.lists(st.binary(max_size=100), max_size=20),
        st.lists(st.integers(0, 2000), max_size=10),
    )
    def test_any_cuts(self, bodies: list[bytes], cuts: list[int]) -> None:
        """For all frames and all cuts, what comes out is what went in."""
        receiver, peer = self.channel()
        sent = [frame(xid=xid, body=body) for xid, body in enumerate(bodies)]
        data = b"".join(sent)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            if start < end:
                peer.send_bytes(data[start:end])
        self.assertEqual(receiver.frames, sent)
        self.assertEqual(peer.protocol.backlog, 0)

    def test_longest(self) -> None:
        """A frame as long as its length can say comes through, in however many pieces."""
        receiver, peer = self.channel()
        longest = frame(body=bytes(65535 - 8))
        for start in range(0, len(longest), 1000):
            peer.send_bytes(longest[start : start + 1000])
        peer.send_bytes(frame(xid=9))
        self.assertEqual(receiver.frames, [longest, frame(xid=9)])

    def test_linear(self) -> None:
        """A frame that comes a byte at a time is not copied for each of its bytes."""
        receiver, peer = self.channel()
        joined: list[int] = []
        join = peer.protocol._join

        def counted() -> None:
            joined.append(peer.protocol.backlog)
            join()

        peer.protocol._join = counted  # type: ignore[method-assign]
        longest = frame(body=bytes(65535 - 8))
        for byte in longest:
            peer.send_bytes(bytes([byte]))
        self.assertEqual(receiver.frames, [longest])
        self.assertLess(sum(joined), 2 * len(longest))

    def test_tcp_options(self) -> None:
        """Replies are sent without delay, and a peer that is gone is noticed."""
        transport = FakeTransport()
        directlyProvides(transport, ITCPTransport)
        FrameProtocol(self.clock, FakeReceiver()).makeConnection(transport)
        self.assertEqual(transport.options, {"nodelay": True, "keepalive": True})


class GarbageTests(FramingCase):
    """Bytes that are no frames."""

    def test_short_lengths(self) -> None:
        """A length of 0 to 7 is refused as BAD_LEN, before and after HELLO, with no more read."""
        for greeted in (False, True):
            for length in range(8):
                receiver, peer = self.channel(greeted=greeted)
                head = struct.pack(">BBH", 4, 0, length)
                peer.send_bytes(head)
                self.assertEqual(receiver.refused, [(head, REQUEST_BAD_LEN)])
                self.assertEqual((receiver.frames, receiver.lost), ([], 1))

    def test_frames_before_garbage(self) -> None:
        """What came before the garbage is executed; what comes after it is not."""
        receiver, peer = self.channel()
        peer.send_bytes(frame(xid=1) + bytes(8) + frame(xid=2))
        self.assertEqual(receiver.frames, [frame(xid=1)])
        self.assertEqual(receiver.refused, [(bytes(8) + frame(xid=2), REQUEST_BAD_LEN)])

    def test_garbage_behind_a_waiting_frame(self) -> None:
        """Garbage behind a frame that waits is refused in its turn, not earlier."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + frame(xid=2) + bytes(8))
        self.assertEqual(receiver.refused, [])
        receiver.ready = True
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual(receiver.frames, [frame(xid=1), frame(xid=2)])
        self.assertEqual(receiver.refused, [(bytes(8), REQUEST_BAD_LEN)])

    def test_too_long_before_hello(self) -> None:
        """Before HELLO a frame beyond the cap is refused from its header alone."""
        for length, accepted in ((1024, True), (1025, False), (65535, False)):
            receiver, peer = self.channel(greeted=False)
            head = struct.pack(">BBH", 4, 0, length)
            peer.send_bytes(head)
            self.assertEqual(receiver.refused, [] if accepted else [(head, HELLO_INCOMPATIBLE)])

    def test_configured_cap(self) -> None:
        """The cap before HELLO is a limit that can be set, and does not hold after it."""
        receiver, peer = self.channel(Limits(first_frame=16), greeted=False)
        peer.send_bytes(frame(kind=0, body=bytes(8)))
        self.assertEqual(len(receiver.frames), 1)
        peer.protocol.greeted()
        peer.send_bytes(frame(body=bytes(9)))
        self.assertEqual(len(receiver.frames), 2)

    def test_not_a_hello(self) -> None:
        """What is no HELLO is refused as HELLO_FAILED from its first bytes, as is version 0."""
        for head in (b"GET / HTTP/1.1\r\n", b"\x04\x0e\x00\x50", b"\x00\x00\x00\x08"):
            receiver, peer = self.channel(greeted=False)
            peer.send_bytes(head)
            self.assertEqual(receiver.refused, [(head, HELLO_INCOMPATIBLE)])
            self.assertEqual(receiver.lost, 1)

    def test_three_bytes(self) -> None:
        """Less than a version, a type and a length is not judged."""
        receiver, peer = self.channel(greeted=False)
        peer.send_bytes(b"GET")
        self.assertEqual((receiver.refused, receiver.lost), ([], 0))

    @given(st.lists(st.binary(max_size=3000), max_size=5), st.booleans())
    def test_any_bytes(self, chunks: list[bytes], greeted: bool) -> None:
        """Any bytes give frames, or one refusal and the end, and are bounded."""
        receiver, peer = self.channel(greeted=greeted)
        for chunk in chunks:
            peer.send_bytes(chunk)
        self.assertEqual(receiver.lost, len(receiver.refused))
        self.assertLessEqual(len(receiver.refused), 1)
        self.assertLess(peer.protocol.backlog, 65536)
        for data in receiver.frames:
            self.assertEqual(frames_of(data), [data])


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
        self.assertEqual(receiver.retries, tried)
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


class ClosingTests(FramingCase):
    """The end of a connection."""

    def test_flushed(self) -> None:
        """What was queued is sent before the connection is closed, even to a slow peer."""
        receiver, peer = self.channel()
        peer.transport.choke()
        peer.protocol.send(b"last words")
        peer.protocol.close()
        self.assertEqual(peer.transport.value(), b"last words")
        self.assertEqual(receiver.lost, 1)
        self.assertIsNone(peer.transport.producer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lingering(self) -> None:
        """A peer that does not let the connection close is cut off after a while."""
        receiver, peer = self.channel()
        peer.transport.lingering = True
        peer.protocol.close()
        self.clock.advance(4.9)
        self.assertEqual(receiver.lost, 0)
        self.clock.advance(0.1)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(receiver.lost, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_given_time(self) -> None:
        """How long that is can be said."""
        _, peer = self.channel()
        peer.transport.lingering = True
        peer.protocol.close(1)
        self.clock.advance(1)
        self.assertTrue(peer.transport.aborted)

    def test_nothing_after_it(self) -> None:
        """A closing connection neither executes nor sends anything."""
        receiver, peer = self.channel()
        peer.transport.lingering = True
        peer.protocol.close()
        peer.send_bytes(frame())
        peer.protocol.send(b"late")
        peer.protocol.send_stream(iter([b"later"]))
        peer.protocol.wake()
        peer.protocol.abort()
        self.assertEqual((receiver.frames, peer.transport.value()), ([], b""))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_closed_by_a_message(self) -> None:
        """When a message closes the connection, those behind it are not executed."""
        receiver, peer = self.channel()
        receiver.on_frame = lambda _: peer.protocol.close()
        peer.send_bytes(frame(xid=1) + frame(xid=2))
        self.assertEqual(receiver.frames, [frame(xid=1)])

    def test_closed_by_a_retry(self) -> None:
        """Nor when it is one that had waited."""
        receiver, peer = self.channel()
        receiver.holds = [frame(xid=1)]
        peer.send_bytes(frame(xid=1) + frame(xid=2))

        def retry() -> bool:
            peer.protocol.abort()
            return True

        receiver.retry = retry  # type: ignore[method-assign]
        peer.protocol.wake()
        self.clock.turn()
        self.assertEqual((receiver.frames, receiver.lost), ([frame(xid=1)], 1))

    def test_no_circle(self) -> None:
        """A lost connection does not refer to its receiver any more."""
        receiver, peer = self.channel()
        peer.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertNotIn(receiver, vars(peer.protocol).values())
