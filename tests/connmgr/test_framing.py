"""Tests for :mod:`agent.connmgr.framing`: cutting, garbage, and the end."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.settings import Limits
from agent.openflow.errors import HELLO_INCOMPATIBLE, REQUEST_BAD_LEN
from tests.connmgr.fakes import FakeReceiver, FakeTransport, frames_of
from tests.connmgr.frames import FramingCase, frame


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
