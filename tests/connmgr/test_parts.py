"""Tests for the small parts: negotiation, outstanding, replies."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.negotiation import agree, error_version, version_name
from agent.connmgr.outstanding import Outstanding
from agent.connmgr.replies import BATCH, ReplyQueue
from agent.connmgr.settings import Limits
from agent.openflow.errors import HELLO_INCOMPATIBLE, OpenFlowError
from agent.openflow.messages import NO_BUFFER
from tests.connmgr.fakes import FakeGroup

VERSIONS = st.frozensets(st.integers(1, 8), min_size=1)


class NegotiationTests(SynchronousTestCase):
    """Which version is spoken."""

    @given(VERSIONS, VERSIONS)
    def test_agree(self, ours: frozenset[int], theirs: frozenset[int]) -> None:
        """It is the highest that both speak, or there is none, and that is said."""
        common = ours & theirs
        if common:
            self.assertEqual(agree(ours, theirs), max(common))
        else:
            error = self.assertRaises(OpenFlowError, agree, ours, theirs)
            self.assertIs(error.code, HELLO_INCOMPATIBLE)

    @given(VERSIONS, st.integers(0, 255))
    def test_error_version(self, ours: frozenset[int], theirs: int) -> None:
        """Errors are in a version of ours, and not above theirs if that can be."""
        version = error_version(ours, theirs)
        self.assertIn(version, ours)
        if min(ours) <= theirs:
            self.assertLessEqual(version, theirs)

    def test_names(self) -> None:
        """Versions have the names people know; others their number."""
        self.assertEqual([version_name(v) for v in (1, 4, 0x47)], ["1.0", "1.3", "0x47"])


class OutstandingTests(SynchronousTestCase):
    """Accounts."""

    def setUp(self) -> None:
        """Nothing is outstanding."""
        self.outstanding = Outstanding()

    def group(self, xid: int = 0) -> FakeGroup:
        """A group that is outstanding."""
        requester: Any = None
        group = FakeGroup(requester, xid)
        self.outstanding.groups[group] = NO_BUFFER
        return group

    def test_drained(self) -> None:
        """The condition clears when nothing is left, once, and the next one is another."""
        first, second = self.group(), self.group()
        condition = self.outstanding.drained()
        self.assertIs(self.outstanding.drained(), condition)
        del self.outstanding.groups[first]
        self.outstanding.settle()
        self.assertFalse(condition.cleared)
        del self.outstanding.groups[second]
        reply: Deferred[Any] = Deferred()
        self.outstanding.replies[reply] = None
        self.outstanding.settle()
        self.assertFalse(condition.cleared)
        self.outstanding.reply_ended(reply)
        self.assertTrue(condition.cleared)
        self.group()
        self.assertFalse(self.outstanding.drained().cleared)

    def test_describe(self) -> None:
        """It says how much of what is outstanding, and what is the oldest."""
        replies: list[Deferred[Any]] = [Deferred(), Deferred()]
        for reply in replies:
            reply.addErrback(lambda failure: None)
        self.outstanding.replies[replies[0]] = None
        condition = self.outstanding.drained()
        self.assertEqual(condition.describe(), "its own 1 reply")
        self.group(5)
        text = "its own 1 operation group and 1 reply; the oldest: group 5"
        self.assertEqual(condition.describe(), text)
        self.outstanding.replies[replies[1]] = None
        self.group(6)
        text = "its own 2 operation groups and 2 replies; the oldest: group 5"
        self.assertEqual(condition.describe(), text)
        self.outstanding.forget()
        self.assertEqual(condition.describe(), "its own requests")

    def test_reply_done(self) -> None:
        """Every reply that ends lets those on who wait for one."""
        replies: list[Deferred[Any]] = [Deferred(), Deferred()]
        self.outstanding.replies.update(dict.fromkeys(replies))
        condition = self.outstanding.reply_done()
        self.assertIs(self.outstanding.reply_done(), condition)
        self.outstanding.reply_ended(replies[0])
        self.assertTrue(condition.cleared)
        self.assertIsNot(self.outstanding.reply_done(), condition)

    def test_forget(self) -> None:
        """Replies that nobody wants are cancelled; groups are left alone."""
        cancelled: list[object] = []
        reply: Deferred[Any] = Deferred(cancelled.append)
        reply.addErrback(lambda failure: None)
        self.outstanding.replies[reply] = None
        self.group()
        self.outstanding.forget()
        self.assertEqual((cancelled, len(self.outstanding)), ([reply], 0))


class ReplyQueueTests(SynchronousTestCase):
    """What is to be sent."""

    def setUp(self) -> None:
        """An empty queue."""
        self.queue = ReplyQueue(Limits(queued_replies=3, queued_bytes=100, queued_streams=2))
        self.transport: Any = StringTransport()

    def test_order(self) -> None:
        """Messages and streams go out in the order they came in."""
        self.queue.add(b"1")
        self.queue.add_stream(iter([b"2", b"3"]))
        self.queue.add(b"4")
        self.queue.flush(self.transport)
        self.assertEqual(self.transport.value(), b"1234")
        self.assertEqual((len(self.queue), self.queue.size), (0, 0))

    def test_choked_in_the_middle(self) -> None:
        """A stream stops where the transport is full, and goes on there."""
        made: list[int] = []

        def frames() -> Any:
            for number in range(10):
                made.append(number)
                yield bytes(BATCH)

        self.queue.add_stream(frames())
        self.queue.add(b"behind")
        write = self.transport.writeSequence

        def full(data: list[bytes]) -> None:
            write(data)
            self.queue.choked = True

        self.transport.writeSequence = full
        self.queue.flush(self.transport)
        self.assertEqual(made, [0])
        self.queue.flush(self.transport)
        self.assertEqual(made, [0])
        self.transport.writeSequence = write
        self.queue.choked = False
        self.queue.flush(self.transport)
        self.assertEqual(len(made), 10)
        self.assertTrue(self.transport.value().endswith(b"behind"))

    def test_overfull(self) -> None:
        """It is too much when there are too many messages, bytes or streams, and nobody reads."""
        for fill, count in (
            (lambda: self.queue.add(b""), 3),
            (lambda: self.queue.add(bytes(50)), 2),
            (lambda: self.queue.add_stream(iter(())), 2),
        ):
            self.queue.clear()
            for _ in range(count - 1):
                fill()
            self.queue.choked = True
            self.assertFalse(self.queue.overfull())
            fill()
            self.assertTrue(self.queue.overfull())
            self.queue.choked = False
            self.assertFalse(self.queue.overfull())

    def test_flush_all(self) -> None:
        """At the end all messages go out, read or not, and streams do not."""
        self.queue.choked = True
        self.queue.add(b"1")
        self.queue.add_stream(iter([b"2"]))
        self.queue.add(b"3")
        self.queue.flush_all(self.transport)
        self.assertEqual((self.transport.value(), len(self.queue)), (b"13", 0))
