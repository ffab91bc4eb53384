"""Tests of :mod:`agent.connmgr.bundles`, with a real switch behind the connections."""

from __future__ import annotations

from typing import Any
from unittest import mock

import attrs

from agent.connmgr.bundles import IDLE_TIMEOUT
from agent.connmgr.ofconn import OFConn
from agent.connmgr.settings import DEFAULT_LIMITS
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import encode
from agent.openflow.constants import OFP13
from agent.openflow.errors import TABLE_FULL, ErrorCode, OpenFlowError
from agent.openflow.group_messages import GroupMod
from agent.openflow.match import Match
from tests.connmgr.fakes import Peer
from tests.connmgr.test_switch import DELETE, MODIFY, SwitchCase, flow_mod

OPEN, CLOSE = BundleType.OPEN_REQUEST, BundleType.CLOSE_REQUEST
COMMIT, DISCARD = BundleType.COMMIT_REQUEST, BundleType.DISCARD_REQUEST
BOTH = BundleFlags.ATOMIC | BundleFlags.ORDERED
PORT1, PORT2, PORT3 = (Match.of(in_port=port) for port in (1, 2, 3))


def control(kind: int, xid: int = 50, bundle_id: int = 1, flags: int = BOTH) -> BundleControl:
    """A message about a bundle."""
    return BundleControl(bundle_id, kind, flags, xid)


def added(message: Any, bundle_id: int = 1, flags: int = BOTH) -> BundleAdd:
    """A message that is to be part of a bundle."""
    return BundleAdd(bundle_id, encode(OFP13, message), flags, message.xid)


class BundleCase(SwitchCase):
    """A switch, and somebody who uses bundles."""

    limits = DEFAULT_LIMITS

    def setUp(self) -> None:
        """Connect."""
        super().setUp()
        self.one = self.peer()

    def tell(self, *messages: Any, peer: Peer | None = None) -> list[Any]:
        """Send messages, and take the answers."""
        peer = peer or self.one
        self.send(peer, *messages)
        return peer.received()

    def reply(self, kind: int, xid: int = 50, bundle_id: int = 1) -> BundleControl:
        """The answer to a message about a bundle."""
        return BundleControl(bundle_id, kind + 1, 0, xid)

    def error(self, code: ErrorCode, request: Any) -> of.ErrorMessage:
        """The error message for a request."""
        data = code.prefix(OFP13) + encode(OFP13, request)[:64]
        return of.ErrorMessage(*code.numbers(OFP13), data, request.xid)

    def finish_all(self) -> None:
        """Let the hardware do all it has been and will be given."""
        for _ in range(5):
            self.driver.finish_all()
            self.clock.turn(3)

    def session(self, peer: Peer | None = None) -> OFConn:
        """Our end of a connection."""
        session = (peer or self.one).protocol._receiver
        assert isinstance(session, OFConn)
        return session


class LifeTests(BundleCase):
    """What may be done with a bundle, and when."""

    def test_ovs_ofctl(self) -> None:
        """What ovs-ofctl does: open, add, barrier, commit without closing it."""
        self.assertEqual(self.tell(control(OPEN, 1)), [self.reply(OPEN, 1)])
        answers = self.tell(added(flow_mod(2)), added(flow_mod(3, 2)), of.BarrierRequest(4))
        self.assertEqual(answers, [of.BarrierReply(4)])
        self.assertEqual(self.rules(), [])
        self.assertEqual(self.tell(control(COMMIT, 5)), [])
        self.assertEqual(self.rules(), [PORT1, PORT2])
        self.finish()
        self.assertEqual(self.one.received(), [])
        self.finish()
        self.assertEqual(self.one.received(), [self.reply(COMMIT, 5)])
        self.assertEqual(
            self.tell(control(DISCARD, 6)), [self.error(errors.BUNDLE_BAD_ID, control(DISCARD, 6))]
        )

    def test_closed(self) -> None:
        """A closed bundle can be committed and discarded, and no more."""
        self.assertEqual(
            self.tell(control(OPEN), added(flow_mod(2)), control(CLOSE), control(COMMIT)),
            [self.reply(OPEN), self.reply(CLOSE)],
        )
        self.finish()
        self.assertEqual(self.one.received(), [self.reply(COMMIT)])
        self.assertEqual(
            self.tell(control(OPEN), control(CLOSE), control(DISCARD)),
            [self.reply(OPEN), self.reply(CLOSE), self.reply(DISCARD)],
        )
        for wrong in (added(flow_mod(2)), control(CLOSE)):
            self.tell(control(OPEN), control(CLOSE))
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_CLOSED, wrong)])
            self.assert_gone()

    def assert_gone(self) -> None:
        """There is no bundle, and no timer."""
        self.assertEqual(len(self.session().bundles), 0)
        self.assertEqual(
            self.tell(control(COMMIT)), [self.error(errors.BUNDLE_BAD_ID, control(COMMIT))]
        )

    def test_opened_by_a_message(self) -> None:
        """The first message opens a bundle which there is not."""
        self.assertEqual(self.tell(added(flow_mod(2)), control(COMMIT)), [])
        self.finish()
        self.assertEqual(self.one.received(), [self.reply(COMMIT)])

    def test_opened_twice(self) -> None:
        """To open it again is an error, after which it is gone."""
        again = control(OPEN, 3)
        self.assertEqual(
            self.tell(control(OPEN), added(flow_mod(2)), again),
            [self.reply(OPEN), self.error(errors.BUNDLE_BAD_ID, again)],
        )
        self.assert_gone()

    def test_flags(self) -> None:
        """All who name a bundle name the same flags; one who does not ends it."""
        for wrong in (
            added(flow_mod(2), flags=1),
            control(CLOSE, flags=0),
            control(COMMIT, flags=2),
        ):
            self.tell(control(OPEN))
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_BAD_FLAGS, wrong)])
            self.assert_gone()
        for flags in (0, 1, 2, 3):
            self.assertEqual(self.tell(control(OPEN, flags=flags)), [self.reply(OPEN)])
            self.tell(control(DISCARD))
        for wrong in (control(OPEN, flags=4), added(flow_mod(2), flags=0x8003)):
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_BAD_FLAGS, wrong)])
            self.assert_gone()

    def test_no_such_bundle(self) -> None:
        """What is not there can be neither closed, committed nor discarded."""
        self.tell(control(OPEN, bundle_id=2))
        for kind in (CLOSE, COMMIT, DISCARD):
            wrong = control(kind)
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_BAD_ID, wrong)])

    def test_type(self) -> None:
        """Replies, and types that there are not, are refused, and do no harm."""
        self.tell(control(OPEN))
        for kind in (1, 3, 5, 7, 8, 0xFFFF):
            wrong = control(kind)
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_BAD_TYPE, wrong)])
        self.assertEqual(self.tell(control(COMMIT)), [self.reply(COMMIT)])

    def test_several(self) -> None:
        """A connection has several bundles, each of its own, and other connections have others."""
        two = self.peer()
        self.tell(added(flow_mod(2)), added(flow_mod(3, 2), bundle_id=2))
        self.tell(added(flow_mod(4, 3)), peer=two)
        self.assertEqual(self.tell(control(COMMIT)), [])
        self.finish_all()
        self.assertEqual(self.rules(), [PORT1])
        self.assertEqual(self.one.received(), [self.reply(COMMIT)])
        two.transport.lose(RuntimeError("gone"))
        self.tell(control(COMMIT, bundle_id=2))
        self.finish_all()
        self.assertEqual(self.rules(), [PORT1, PORT2])

    def test_slave(self) -> None:
        """A slave has no use of bundles, not even of one that it began before it was demoted."""
        self.tell(control(OPEN), added(flow_mod(2)))
        self.tell(of.RoleRequest(3, 0))
        for wrong in (added(flow_mod(3)), *map(control, (OPEN, CLOSE, COMMIT, DISCARD))):
            self.assertEqual(self.tell(wrong), [self.error(errors.IS_SLAVE, wrong)])
        self.assertEqual(self.driver.batches, [])

    def test_old_version(self) -> None:
        """OpenFlow 1.0 has no bundles."""
        old = self.peer(of.OFP10)
        old.send_bytes(b"\x01" + encode(OFP13, control(OPEN))[1:])
        (answer,) = old.received()
        self.assertEqual((answer.type, answer.code), errors.BAD_EXP_TYPE.numbers(of.OFP10))


class AddTests(BundleCase):
    """What may be in a bundle."""

    def test_not_for_bundles(self) -> None:
        """What cannot be taken back, or is no change at all, is refused; so are bundles."""
        deep = added(flow_mod(2))
        for _ in range(100):
            deep = added(deep)
        for inner in (
            of.PortMod(1, 0, 0, 0, xid=2),
            of.PacketOut(of.NO_BUFFER, 1, (), xid=2),
            of.BarrierRequest(2),
            of.EchoRequest(b"", 2),
            of.Hello(frozenset({4}), 2),
            of.FlowStatsRequest(xid=2),
            of.RoleRequest(2, 0, 2),
            of.TableMod(0, 0, 2),
            control(OPEN, 2),
            deep,
        ):
            wrong = added(inner)
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_MSG_UNSUP, wrong)])
        self.assertEqual(len(self.session().bundles), 0)

    def test_what_is_wrong_with_it(self) -> None:
        """A message that is wrong is refused with its own error; the rest of the bundle stays."""
        bad = encode(OFP13, flow_mod(2))[:-1] + b"\x01"
        longer = bad[:3] + bytes([len(bad) + 8]) + bad[4:] + bytes(8)
        self.tell(control(OPEN), added(flow_mod(2)))
        for code, wrong in (
            (errors.FLOW_MOD_BAD_TABLE_ID, added(attrs.evolve(flow_mod(3), table_id=77))),
            (errors.INST_BAD_LEN, BundleAdd(1, longer, BOTH, 2)),
            (errors.GROUP_BAD_COMMAND, added(GroupMod(9, 0, 1, (), xid=3))),
        ):
            self.assertEqual(self.tell(wrong), [self.error(code, wrong)])
        self.tell(control(COMMIT))
        self.finish_all()
        self.assertEqual(self.one.received(), [self.reply(COMMIT)])
        self.assertEqual(self.rules(), [PORT1])

    def test_bounds(self) -> None:
        """There is a bound for bundles, for messages and for bytes; what is there stays."""
        session = self.session()
        size = len(encode(OFP13, flow_mod(2)))
        session.limits = attrs.evolve(
            DEFAULT_LIMITS, bundles=2, bundle_messages=3, bundle_bytes=100 * size
        )
        self.tell(control(OPEN), control(OPEN, bundle_id=2))
        for wrong in (control(OPEN, bundle_id=3), added(flow_mod(2), 3)):
            self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_OUT_OF_BUNDLES, wrong)])
        self.assertEqual(self.tell(*(added(flow_mod(n, n), 1 + n % 2) for n in (1, 2, 3))), [])
        wrong = added(flow_mod(2))
        self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_MSG_TOO_MANY, wrong)])
        session.limits = attrs.evolve(session.limits, bundle_messages=4, bundle_bytes=4 * size - 1)
        self.assertEqual(self.tell(wrong), [self.error(errors.BUNDLE_MSG_TOO_MANY, wrong)])
        self.assertEqual(
            self.tell(control(DISCARD, bundle_id=2), wrong), [self.reply(DISCARD, bundle_id=2)]
        )


class CommitTests(BundleCase):
    """What comes of a commit."""

    def test_empty(self) -> None:
        """A bundle without messages, or that comes to nothing, is committed at once."""
        self.assertEqual(
            self.tell(control(OPEN), control(COMMIT)), [self.reply(OPEN), self.reply(COMMIT)]
        )
        self.assertEqual(
            self.tell(added(flow_mod(2, 1, DELETE)), control(COMMIT)), [self.reply(COMMIT)]
        )

    def test_message_refused(self) -> None:
        """For a message that is refused in its place there are two errors: its own, with its xid
        and its data, and that of the commit.  The bundle is gone, and nothing has happened."""
        wrong = added(attrs.evolve(flow_mod(3), flags=of.FlowModFlags.CHECK_OVERLAP, priority=0))
        first = added(attrs.evolve(flow_mod(2), match=Match(), priority=0))
        commit = control(COMMIT)
        self.assertEqual(
            self.tell(first, wrong, added(flow_mod(4, 3)), commit),
            [self.error(errors.OVERLAP, wrong), self.error(errors.BUNDLE_MSG_FAILED, commit)],
        )
        self.assertEqual((self.rules(), self.driver.batches), ([], []))
        self.assertEqual(self.tell(commit), [self.error(errors.BUNDLE_BAD_ID, commit)])

    def test_hardware_refuses(self) -> None:
        """So are there when the hardware refuses, after everything was taken back."""
        wrong = added(flow_mod(3, 2))
        self.tell(added(flow_mod(2)), wrong, added(flow_mod(4, 3)), control(COMMIT, 9))
        self.driver.finish(0)
        self.driver.fail(0, OpenFlowError(TABLE_FULL))
        self.driver.finish(0)
        self.clock.turn(3)
        self.assertEqual(self.one.received(), [])
        self.assertEqual(self.rules(), [])
        self.finish(2)
        self.assertEqual(
            self.one.received(),
            [
                self.error(TABLE_FULL, wrong),
                self.error(errors.BUNDLE_MSG_FAILED, control(COMMIT, 9)),
            ],
        )
        self.assertEqual(self.driver.hardware, {})

    def test_waits(self) -> None:
        """A commit which cannot begin yet waits, with the bundle as it was, and nothing else of the
        connection is executed meanwhile but echo requests."""
        two = self.peer()
        self.tell(flow_mod(1), peer=two)
        answers = self.tell(
            added(flow_mod(2, 2)), added(flow_mod(3, 1, MODIFY)), control(COMMIT),
            of.EchoRequest(b"", 7), of.BarrierRequest(8),
        )  # fmt: skip
        self.assertEqual(answers, [of.EchoReply(b"", 7)])
        self.assertIn("add in table", self.waiting()[0] or "")
        self.assertEqual(len(self.session().bundles), 1)
        self.finish()
        self.assertEqual(len(self.driver.in_flight), 1)
        self.finish_all()
        self.assertEqual(self.one.received(), [self.reply(COMMIT), of.BarrierReply(8)])
        self.assertEqual(self.rules(), [PORT1, PORT2])

    def test_buffers(self) -> None:
        """Packets whose buffers the messages name are processed when all of it has succeeded; one
        that is not there is an error, and the rules stay."""
        session = self.session()
        known = session.packets._save(b"a packet", 3)
        assert known is not None
        unknown = added(attrs.evolve(flow_mod(3, 2), buffer_id=99))
        self.tell(added(attrs.evolve(flow_mod(2), buffer_id=known)), unknown, control(COMMIT))
        with mock.patch.object(self.switch, "process") as process:
            self.finish()
            process.assert_not_called()
            self.finish_all()
            process.assert_called_once_with(b"a packet", 3)
        self.assertEqual(
            self.one.received(), [self.reply(COMMIT), self.error(errors.BUFFER_UNKNOWN, unknown)]
        )
        self.assertEqual(self.rules(), [PORT1, PORT2])

    def test_bug(self) -> None:
        """A bug in carrying it out is an error, and costs neither bundle nor connection."""
        self.tell(added(flow_mod(2)))
        with mock.patch("agent.ofproto.bundles.net_change", side_effect=ZeroDivisionError):
            (answer,) = self.tell(control(COMMIT))
        self.assertEqual((answer.type, answer.code), errors.REQUEST_EPERM.numbers(OFP13))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.tell(control(DISCARD)), [self.reply(DISCARD)])

    def test_a24_barriers_wait_for_bundles(self) -> None:
        """A barrier after a commit is answered when all of it, deletions too, is in the hardware;
        one before it has nothing to do with what the bundle holds."""
        self.tell(flow_mod(1))
        self.finish()
        answers = self.tell(
            added(flow_mod(2, 2)), of.BarrierRequest(3), added(flow_mod(4, 1, DELETE)),
            control(COMMIT, 5), of.BarrierRequest(6),
        )  # fmt: skip
        self.assertEqual(answers, [of.BarrierReply(3)])
        for _ in range(2):
            self.assertEqual(self.one.received(), [])
            self.finish()
        self.assertEqual(self.one.received(), [self.reply(COMMIT, 5), of.BarrierReply(6)])

    def test_a24_no_flow_mod_crosses_a_barrier(self) -> None:
        """A flow_mod in a bundle counts when the bundle is committed, not when it was added: what
        came before the barrier is done by then, and what the bundle says of it is the last word."""
        self.tell(added(flow_mod(1, cookie=2)), flow_mod(2, cookie=1), of.BarrierRequest(3))
        self.assertEqual(self.tell(control(COMMIT, 4)), [])
        self.assertEqual([op.rule.cookie for op in self.driver.in_flight], [1])
        self.finish()
        self.assertEqual(self.one.received(), [of.BarrierReply(3)])
        self.assertEqual([op.rule.cookie for op in self.driver.in_flight], [2])
        self.finish()
        self.assertEqual(self.one.received(), [self.reply(COMMIT, 4)])
        (rule,) = self.switch.rules()
        self.assertEqual(rule.cookie, 2)

    def test_a25_disconnected(self) -> None:
        """What was committed runs on, and its errors go nowhere; what was not is gone."""
        self.tell(added(flow_mod(1)), control(COMMIT), added(flow_mod(2, 2)))
        self.one.transport.lose(RuntimeError("gone"))
        self.driver.fail(0, OpenFlowError(TABLE_FULL))
        self.clock.turn(3)
        self.assertEqual(self.rules(), [])
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class IdleTests(BundleCase):
    """Bundles that nobody uses."""

    def test_timeout(self) -> None:
        """After ten seconds without use a bundle is gone; the error is about what opened it."""
        opening = control(OPEN, 1)
        self.tell(opening)
        self.tell(added(flow_mod(2), bundle_id=2))
        for _ in range(3):
            self.advance(IDLE_TIMEOUT - 2)
            self.tell(added(flow_mod(3), bundle_id=2))
        self.assertEqual(self.one.received(), [])
        self.assertEqual(self.errors, [self.error(errors.BUNDLE_TIMEOUT, opening)])
        self.advance(IDLE_TIMEOUT + 1)
        self.assertEqual(
            self.errors[1:], [self.error(errors.BUNDLE_TIMEOUT, added(flow_mod(2), bundle_id=2))]
        )
        self.assertEqual(len(self.session().bundles), 0)

    def advance(self, seconds: float) -> None:
        """Let time pass; collect the errors."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.errors += [m for m in self.one.received() if isinstance(m, of.ErrorMessage)]
            self.one.send(of.EchoReply(b"", 0))

    def setUp(self) -> None:
        """No errors yet."""
        super().setUp()
        self.errors: list[Any] = []

    def test_held_up(self) -> None:
        """The time in which we keep the controller waiting is ours, not its."""
        self.tell(control(OPEN), added(flow_mod(2, 2)), flow_mod(1), of.BarrierRequest(3))
        self.advance(3 * IDLE_TIMEOUT)
        self.assertEqual(self.errors, [])
        self.driver.finish()
        self.clock.turn(3)
        self.advance(IDLE_TIMEOUT - 2)
        self.assertEqual(self.tell(control(COMMIT)), [])
        self.advance(3 * IDLE_TIMEOUT)
        self.finish_all()
        self.assertEqual(self.rules(), [PORT1, PORT2])
        self.assertEqual(self.errors, [])

    def test_no_timer_is_left(self) -> None:
        """A session without bundles has no timer for them."""
        before = len(self.clock.getDelayedCalls())
        self.tell(control(OPEN), control(OPEN, bundle_id=2))
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        self.tell(control(DISCARD), control(DISCARD, bundle_id=2))
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        self.tell(control(OPEN))
        self.one.transport.lose(RuntimeError("gone"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
