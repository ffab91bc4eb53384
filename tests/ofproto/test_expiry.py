"""Tests of :mod:`agent.ofproto.expiry`."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from agent.ofproto.expiry import ATTEMPTS, PAUSE
from agent.openflow.match import Match
from agent.openflow.messages import RemovedReason
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    MODIFY,
    PORT1,
    PORT2,
    RESET_COUNTS,
    SEND_FLOW_REM,
    SwitchTestCase,
    output,
)

DELETING = [OperationKind.DELETE]


class ExpiryTestCase(SwitchTestCase):
    """What these tests have in common."""

    def reasons(self) -> list[tuple[Match, int]]:
        """Which rules were announced to be gone, and why."""
        return [(removed.match, removed.reason) for removed in self.observer.removed]

    def timed(self, match: Match = PORT1, **fields: Any) -> None:
        """Add a rule that is announced when it goes."""
        self.add(match, flags=SEND_FLOW_REM, **fields)

    def assert_idle_clock(self) -> None:
        """Nothing but the watchdog is waited for."""
        calls = self.clock.getDelayedCalls()
        self.assertLessEqual(len(calls), 1)
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HardTests(ExpiryTestCase):
    """A hard timeout counts from the last modification, whatever passes."""

    def test_expires(self) -> None:
        """The rule goes when its time has come, not before; the hardware is told first."""
        self.timed(hard_timeout=10)
        self.clock.advance(9.9)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)
        self.assertEqual((self.rules(), self.reasons()), ([], []))
        self.driver.finish()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.HARD_TIMEOUT)])
        self.assertEqual(self.observer.removed[0].duration_sec, 10)
        self.assert_settled()
        self.assert_idle_clock()

    def test_packets_do_not_matter(self) -> None:
        """Packets do not prolong it."""
        self.timed(hard_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(9)
        rule.counters.used = 9.0
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_modify(self) -> None:
        """A MODIFY starts it anew, also one that changes nothing else."""
        for instructions in (output(9), output(9)):
            if not self.rules():
                self.timed(hard_timeout=10, instructions=output(2))
            self.clock.advance(6)
            self.send(MODIFY, instructions=instructions)
            self.run_to_end(0)
        self.clock.advance(9.9)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)
        self.driver.finish()
        self.assertEqual(self.observer.removed[0].duration_sec, 22)

    def test_modify_refused(self) -> None:
        """A MODIFY that the hardware refuses starts nothing anew."""
        self.timed(hard_timeout=10)
        self.clock.advance(6)
        self.start(MODIFY, instructions=output(9))
        self.driver.fail()
        self.clock.advance(4)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_replaced(self) -> None:
        """A rule that takes the place of another has its own timeouts, or none."""
        self.timed(hard_timeout=10)
        self.clock.advance(5)
        self.timed(hard_timeout=20)
        self.clock.advance(19.9)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.timed()
        self.clock.advance(100)
        self.turn()
        self.assertEqual((self.kinds(), len(self.rules())), ([], 1))
        self.timed(hard_timeout=1)
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_deleted_before(self) -> None:
        """A rule that is gone does not expire, nor does a later one in its place."""
        self.timed(hard_timeout=10)
        self.start(DELETE)
        self.driver.finish()
        self.clock.advance(5)
        self.timed(hard_timeout=10)
        self.clock.advance(5)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(5)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_confirmed_late(self) -> None:
        """Time runs from the request, so a rule may be due when the hardware has it at last."""
        group = self.start(ADD, PORT1, hard_timeout=5, flags=SEND_FLOW_REM)
        self.clock.advance(8)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.clock.advance(0)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_many_at_once(self) -> None:
        """Rules that are due together go together."""
        for port in range(1, 6):
            self.timed(Match.of(in_port=port), hard_timeout=10)
        self.clock.advance(10)
        self.turn()
        self.assertEqual(self.kinds(), DELETING * 5)
        self.assertEqual(len(self.switch.ledger.groups), 1)


class IdleTests(ExpiryTestCase):
    """An idle timeout counts from the last packet, which only the hardware knows."""

    def test_expires(self) -> None:
        """A rule that nothing has hit goes, once the driver has been asked."""
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(10)
        self.turn()
        self.assertEqual(self.driver.refreshed, [[rule]])
        self.driver.finish()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.IDLE_TIMEOUT)])
        self.assert_idle_clock()

    def test_used(self) -> None:
        """A rule in use stays; when it is not used any more it goes after its time."""
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(7)
        rule.counters.used = 7.0
        self.clock.advance(9.9)
        self.turn()
        self.assertEqual(self.kinds(), [])
        # The driver was not even asked: the packet it had told of before was enough.
        self.assertEqual(self.driver.refreshed, [])
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_used_unknown(self) -> None:
        """Hardware that counts without telling is asked before a rule is taken for idle."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(10)
        self.turn()
        self.assertEqual((self.kinds(), len(self.driver.refreshed)), ([], 1))
        rule.counters.used = 8.0
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(8)
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_gone_while_asked(self) -> None:
        """A rule that goes while the driver is being asked is not deleted again."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10)
        self.clock.advance(10)
        self.start(DELETE)
        self.driver.finish()
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.DELETE)])

    def test_pending_while_asked(self) -> None:
        """A rule that becomes pending while the driver is being asked waits for that."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10)
        self.clock.advance(10)
        self.start(MODIFY, instructions=output(9))
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.finish()
        self.turn()
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_cannot_ask(self) -> None:
        """A driver that cannot say is asked again after a while; until then the rule stays."""
        self.timed(idle_timeout=10)
        with (
            mock.patch.object(
                self.switch.expiry, "_refresh", lambda rules: fail(OSError("no answer"))
            ),
            capturedLogs() as events,
        ):
            self.clock.advance(10)
            self.turn()
        self.assertEqual([event.get("bridge") for event in events], [self.switch.name])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.kinds(), [])
        self.clock.advance(PAUSE)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_never_says(self) -> None:
        """One that never says is asked three times; then a rule counts as last used when that was
        last known."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(10)
        for asked in range(1, ATTEMPTS + 1):
            self.assertEqual((len(self.driver.refreshed), self.kinds()), (asked, []))
            self.clock.advance(60)
            if asked == 1:
                rule.counters.used = 5.0
            self.clock.advance(PAUSE)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)
        self.assertEqual(self.switch.reads.unanswered, ATTEMPTS)
        self.driver.finish()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.IDLE_TIMEOUT)])
        self.assertEqual((self.switch.expiry._unknown, self.switch.expiry._asked), ({}, set()))

    def test_says_again(self) -> None:
        """One that says at last is asked three times anew the next time; an answer that comes too
        late is ignored."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        self.clock.advance(10)
        self.clock.advance(60)
        self.clock.advance(PAUSE)
        self.assertEqual(len(self.driver.refreshed), 2)
        rule.counters.used = self.clock.seconds()
        self.driver.finish_reads()
        self.turn()
        self.assertEqual((self.kinds(), self.switch.expiry._unknown), ([], {}))
        self.assertEqual(self.switch.reads.unanswered, 1)

    def test_hard_timeout_waits_for_no_answer(self) -> None:
        """While the driver is being asked, a hard timeout comes all the same."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10, hard_timeout=12)
        self.clock.advance(10)
        self.clock.advance(1.9)
        self.turn()
        self.assertEqual((self.kinds(), len(self.driver.refreshed)), ([], 1))
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual((self.kinds(), len(self.driver.refreshed)), (DELETING, 1))
        self.driver.finish()
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.HARD_TIMEOUT)])
        self.assert_settled()

    def test_asked_once(self) -> None:
        """A rule is not asked for twice at a time, however often it is modified."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10, hard_timeout=12)
        self.clock.advance(10)
        for port in (7, 8, 9):
            self.start(MODIFY, instructions=output(port))
            self.driver.finish()
            self.clock.advance(1)
        self.clock.advance(9)
        self.assertEqual(len(self.driver.refreshed), 1)
        self.clock.advance(2)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_both(self) -> None:
        """Of two timeouts the one that comes first counts, and is the reason."""
        self.timed(idle_timeout=10, hard_timeout=15)
        (rule,) = self.rules()
        self.clock.advance(9)
        rule.counters.used = 9.0
        self.clock.advance(6)
        self.turn()
        self.driver.finish_all()
        self.timed(PORT2, idle_timeout=10, hard_timeout=15)
        self.clock.advance(10)
        self.turn()
        self.driver.finish_all()
        self.assertEqual(
            self.reasons(),
            [(PORT1, RemovedReason.HARD_TIMEOUT), (PORT2, RemovedReason.IDLE_TIMEOUT)],
        )

    def test_hard_while_asked(self) -> None:
        """When the hard timeout comes while the driver is being asked, that is the reason."""
        self.driver.hold_reads = True
        self.timed(idle_timeout=10, hard_timeout=12)
        (rule,) = self.rules()
        self.clock.advance(10)
        self.clock.advance(3)
        rule.counters.used = 9.5
        self.driver.finish_reads()
        self.run_to_end(1)
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.HARD_TIMEOUT)])

    def test_modify_does_not_matter(self) -> None:
        """A MODIFY is no packet."""
        self.timed(idle_timeout=10)
        self.clock.advance(9)
        self.start(MODIFY, instructions=output(9))
        self.driver.finish()
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)

    def test_add_in_13_starts_anew(self) -> None:
        """An ADD over it does start it anew, even where counters are kept."""
        self.timed(idle_timeout=10)
        (rule,) = self.rules()
        rule.counters.packets, rule.counters.used = 4, 1.0
        self.clock.advance(9)
        self.timed(idle_timeout=10)
        self.assertEqual(self.rules()[0].counters.packets, 4)
        self.clock.advance(9)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(1)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)


class PendingTests(ExpiryTestCase):
    """A rule that is pending when its time has come waits; it is neither lost nor touched."""

    def test_modify(self) -> None:
        """A MODIFY in flight is waited for, and prolongs the time; a failed one does not."""
        for finish in (True, False):
            self.timed(hard_timeout=10)
            self.clock.advance(8)
            self.start(MODIFY, instructions=output(9 if finish else 8))
            self.clock.advance(7)
            self.turn()
            self.assertEqual(self.kinds(), [OperationKind.MODIFY])
            if finish:
                self.driver.finish()
                self.clock.advance(2.9)
                self.turn()
                self.assertEqual(self.kinds(), [])
                self.clock.advance(0.1)
            else:
                self.driver.fail()
                self.turn()
            self.turn()
            self.assertEqual(self.kinds(), DELETING)
            self.driver.finish()
        self.assertEqual(len(self.observer.removed), 2)

    def test_replace(self) -> None:
        """So is a REPLACE; the rule that comes has timeouts of its own."""
        self.timed(hard_timeout=10)
        self.clock.advance(8)
        self.start(ADD, PORT1, flags=RESET_COUNTS, hard_timeout=100)
        self.clock.advance(7)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.REPLACE])
        self.driver.finish()
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.assertEqual((len(self.rules()), self.reasons()), (1, []))

    def test_delete(self) -> None:
        """A DELETE in flight is enough; should it fail, the rule expires after a pause."""
        self.switch.ledger.delete_attempts = 1
        self.timed(hard_timeout=10)
        self.clock.advance(8)
        self.start(DELETE)
        self.clock.advance(7)
        self.turn()
        self.assertEqual(self.kinds(), DELETING)
        self.driver.fail()
        self.run_to_end(PAUSE)
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.HARD_TIMEOUT)])
        self.assert_settled()

    def test_delete_by_controller(self) -> None:
        """FLOW_REMOVED is sent once, with the reason that was first."""
        self.timed(hard_timeout=10)
        self.clock.advance(9)
        self.start(DELETE)
        self.clock.advance(5)
        self.driver.finish()
        self.run_to_end()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.DELETE)])
        self.assert_idle_clock()


class FailureTests(ExpiryTestCase):
    """A rule that the hardware would not delete is tried again, in time and not at once."""

    def test_again(self) -> None:
        """It is tried again after a pause, as often as it takes, and announced once."""
        self.switch.ledger.delete_attempts = 1
        self.timed(hard_timeout=10)
        self.clock.advance(10)
        self.turn()
        for _ in range(3):
            self.assertEqual(self.kinds(), DELETING)
            self.driver.fail()
            self.assertTrue(self.rules()[0].degraded)
            self.clock.advance(PAUSE - 0.1)
            self.turn()
            self.assertEqual(self.kinds(), [])
            self.clock.advance(0.1)
            self.turn()
        self.driver.finish()
        self.assertEqual(self.reasons(), [(PORT1, RemovedReason.HARD_TIMEOUT)])
        self.assert_settled()
        self.assert_idle_clock()

    def test_others_go(self) -> None:
        """One that would not go keeps none of the others that are due with it."""
        for match in (PORT1, PORT2):
            self.timed(match, hard_timeout=10)
        self.clock.advance(10)
        self.turn()
        self.driver.fail(0)
        self.driver.finish(0)
        self.assertEqual(self.reasons(), [(PORT2, RemovedReason.HARD_TIMEOUT)])
        self.clock.advance(0.5)
        self.turn()
        self.driver.finish()
        self.assert_settled()


class HousekeepingTests(ExpiryTestCase):
    """Expiry costs no more than there are rules with timeouts."""

    def test_heap_bounded(self) -> None:
        """Deadlines of rules that are gone do not pile up."""
        for port in range(500):
            self.timed(Match.of(in_port=port), hard_timeout=1000)
            self.start(DELETE)
            self.driver.finish()
            self.assertLessEqual(len(self.switch.expiry._heap), 70)
        self.assertEqual(self.switch.expiry._rules, {})

    def test_modified_often(self) -> None:
        """A rule that is modified time and again has one deadline."""
        self.timed(hard_timeout=1000)
        for port in range(10, 60):
            self.clock.advance(1)
            self.start(MODIFY, instructions=output(port))
            self.driver.finish()
        self.assertEqual(len(self.switch.expiry._heap), 1)

    def test_no_timeouts(self) -> None:
        """Rules without timeouts are none of its business."""
        self.add(PORT1)
        self.assertEqual(self.switch.expiry._rules, {})
        self.assert_idle_clock()

    def test_stop(self) -> None:
        """Stopped, it holds no timer, no rule, and waits for nothing, whatever was under way."""
        self.driver.hold_reads = True
        self.timed(PORT1, idle_timeout=5)
        self.timed(PORT2, hard_timeout=6)
        self.clock.advance(5)
        self.assertEqual(len(self.driver.refreshed), 1)
        self.start(MODIFY, PORT2, instructions=output(9))
        self.clock.advance(2)
        expiry = self.switch.expiry
        self.assertEqual(len(expiry._waits), 2)
        self.successResultOf(self.switch.stop())
        self.assertEqual((expiry._waits, expiry._rules, expiry._heap), ({}, {}, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_deaf_driver(self) -> None:
        """An answer that comes after it has stopped is no error."""
        answer: Deferred[None] = Deferred()
        self.timed(PORT1, idle_timeout=5)
        with mock.patch.object(self.switch.expiry, "_refresh", lambda rules: answer):
            self.clock.advance(5)
        self.switch.stop()
        answer.callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
