"""Tests of :mod:`agent.ofproto.ledger`: drivers that do not answer."""

from __future__ import annotations

from agent.ofproto.operations import Operation, OperationGroup
from agent.openflow import errors
from agent.openflow.match import Match
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    PORT1,
    PORT2,
    PORT4,
    REFUSED,
    SEND_FLOW_REM,
    ThreeRulesTestCase,
    output,
)


class WatchdogTestCase(ThreeRulesTestCase):
    """What these tests have in common."""

    def bark(self, seconds: float = 60.0) -> None:
        """Let the watchdog's time pass."""
        for _ in range(16):
            self.clock.advance(seconds / 16)


class WatchdogTests(WatchdogTestCase):
    """A driver that does not answer is not waited for; one that is slow is."""

    def test_add_given_up(self) -> None:
        """An ADD that is never confirmed fails; what the hardware may have of it is remembered."""
        group = self.start(ADD, PORT4)
        self.driver.lose()
        self.bark(59.9)
        self.assertFalse(group.ended)
        self.bark(0.2)
        self.assertIs(self.error(group).code, errors.FLOW_MOD_UNKNOWN)
        self.assertIn("did not answer", self.error(group).text)
        self.assertIsNone(self.rule(PORT4))
        (ghost,) = self.switch.tables[0].ghosts
        self.assertEqual(ghost.match, PORT4)

    def test_modify_given_up(self) -> None:
        """A MODIFY that is never confirmed leaves the old rule, degraded."""
        (before, *_) = self.rules()
        group = self.start(MODIFY, PORT1, instructions=output(9))
        self.driver.lose()
        self.bark()
        self.error(group)
        self.assertIs(self.rule(PORT1), before)
        self.assertIn("did not answer", before.degraded)
        self.assert_settled()

    def test_delete_given_up(self) -> None:
        """A DELETE that is never confirmed leaves the rule, degraded; the rest is gone."""
        group = self.start(DELETE)
        self.driver.lose(1)
        self.driver.finish_all()
        self.bark()
        self.error(group)
        (rule,) = self.rules()
        self.assertEqual(rule.match, PORT2)
        self.assertIn("did not answer", rule.degraded)
        self.assert_settled()

    def test_late(self) -> None:
        """A completion after that is ignored, whatever it says and whoever has its place now."""
        group = self.start(ADD, PORT4)
        lost = self.driver.lose()
        self.bark()
        self.error(group)
        self.driver.finish_all()
        newer = self.start(ADD, PORT4)
        lost.complete()
        lost.complete(REFUSED)
        self.assertEqual(self.switch.ledger.late, 2)
        self.assertFalse(newer.ended)
        self.driver.finish()
        self.assertIsNone(newer.error)
        rule = self.rule(PORT4)
        assert rule is not None
        self.assertEqual(rule.degraded, "")

    def test_rest_is_undone(self) -> None:
        """What the driver did confirm of a group is taken back, and has time of its own for it."""
        group = self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.lose(0)
        self.driver.finish(0)
        self.bark()
        self.assertFalse(group.ended)
        self.assertEqual(self.instructions(), [output(2)] * 3)
        self.turn()
        self.assertEqual(len(self.driver.in_flight), 2)
        self.clock.advance(59)
        self.driver.finish_all()
        self.error(group)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [False, True, False])
        self.assert_settled()

    def test_undo_given_up(self) -> None:
        """An undo that is never confirmed ends as well; all that is in doubt is degraded."""
        group = self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.fail(0)
        self.driver.finish(0)
        self.turn()
        self.driver.lose(0)
        self.driver.lose(0)
        self.bark()
        self.error(group)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [True, False, True])
        self.assertEqual(list(self.switch.ledger.groups), [])

    def test_retry_given_up(self) -> None:
        """A deletion that is being tried again is given up like any other."""
        group = self.start(DELETE_STRICT, PORT1)
        self.driver.fail()
        self.clock.advance(0.5)
        self.turn()
        retry = self.driver.lose()
        self.bark()
        self.error(group)
        retry.complete()
        self.assertEqual(self.switch.ledger.late, 1)
        rule = self.rule(PORT1)
        assert rule is not None
        self.assertTrue(rule.degraded)

    def test_dead(self) -> None:
        """A driver that has died is found out once for all that it was given."""
        groups = [self.start(ADD, Match.of(in_port=port)) for port in (4, 5, 6)]
        for _ in groups:
            self.driver.lose()
        self.bark()
        self.assertEqual([group.ended for group in groups], [True] * 3)
        self.assertEqual(len(self.switch.tables[0].ghosts), 3)

    def test_slow_is_not_dead(self) -> None:
        """Hardware that takes longer for a large request than the watchdog sleeps is let be, and
        so is what is in line behind it."""
        large = self.start(DELETE)
        behind = self.start(ADD, PORT4)
        for _ in range(3):
            self.bark(50)
            self.driver.finish(0)
        self.assertEqual((large.ended, large.error), (True, None))
        self.assertFalse(behind.ended)
        self.bark(50)
        self.driver.finish(0)
        self.assertEqual((behind.ended, behind.error), (True, None))
        self.assert_settled()

    def test_lost_in_the_crowd(self) -> None:
        """An operation that is lost is found though the driver goes on with others all the time."""
        group = self.start(ADD, PORT4)
        self.driver.lose()
        for _ in range(7):
            self.start(MODIFY, PORT1, instructions=output(9))
            self.start(MODIFY, PORT2, instructions=output(8))
            self.bark(9)
            self.driver.finish_all()
            self.start(MODIFY, PORT1)
            self.start(MODIFY, PORT2)
            self.driver.finish_all()
        self.error(group)

    def test_forever(self) -> None:
        """A watchdog of 0 seconds never barks."""
        self.switch.ledger.watchdog.set(0)
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        group = self.start(ADD, PORT4)
        self.clock.advance(1e6)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.assertTrue(group.ended)

    def test_halted(self) -> None:
        """Hardware that was halted on purpose has its time anew when it goes on."""
        halted = True
        self.switch.ledger.watchdog._halted = lambda: halted
        group = self.start(ADD, PORT4)
        self.bark(500)
        self.assertFalse(group.ended)
        halted = False
        self.bark(59)
        self.assertFalse(group.ended)
        self.bark(20)
        self.error(group)

    def test_halted_for_less(self) -> None:
        """The watchdog notices also a halt that is shorter than its sleep."""
        halted = False
        self.switch.ledger.watchdog._halted = lambda: halted
        group = self.start(ADD, PORT4)
        self.bark(4)
        halted = True
        self.bark(54)
        halted = False
        self.bark(50)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.assertIsNone(group.error)

    def test_stood_still(self) -> None:
        """Where the whole process stood still the driver has its time anew: what the hardware said
        meanwhile may not have been read yet."""
        group = self.start(ADD, PORT4)
        self.bark(10)
        self.clock.advance(1000)
        self.assertFalse(group.ended)
        self.bark(50)
        self.assertFalse(group.ended)
        self.bark(15)
        self.error(group)

    def test_nothing_left(self) -> None:
        """When nothing is in flight the watchdog sleeps, without a timer."""
        self.start(ADD, PORT4)
        self.driver.finish()
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RecallTests(WatchdogTestCase):
    """A driver that can take back what its hardware has not begun leaves no doubt about that."""

    def setUp(self) -> None:
        """The driver can."""
        super().setUp()
        self.driver.recalls = True

    def test_add(self) -> None:
        """Of an ADD that was taken back the hardware has nothing: there is no ghost of it."""
        group = self.start(ADD, PORT4)
        self.bark()
        self.error(group)
        self.assertEqual(len(self.switch.tables[0].ghosts), 0)
        self.assertEqual(self.driver.in_flight, [])
        self.assert_settled()

    def test_modify(self) -> None:
        """A rule is what it was, and is not degraded."""
        group = self.start(MODIFY, PORT1, instructions=output(9))
        self.bark()
        self.error(group)
        self.assertEqual([rule.degraded for rule in self.rules()], ["", "", ""])
        self.assert_settled()

    def test_some(self) -> None:
        """What has begun is in doubt all the same."""
        group = self.start(MODIFY, instructions=output(9))
        self.driver.lose(1)
        self.bark()
        self.error(group)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [False, True, False])

    def test_undo(self) -> None:
        """What was done and not undone, since the driver took that back, stays in the hardware."""
        group = self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.fail(0)
        self.driver.fail(0)
        self.turn()
        self.assertEqual(len(self.driver.in_flight), 1)
        self.bark()
        self.error(group)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [True, False, False])

    def test_retry(self) -> None:
        """An attempt that waits for its time is not the driver's to take back."""
        group = self.start(DELETE_STRICT, PORT1)
        self.switch.ledger.retry_delay = 1000.0
        self.driver.fail()
        recalled = len(self.driver.lost)
        self.bark()
        self.error(group)
        self.assertEqual(len(self.driver.lost), recalled)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [True, False, False])


class CleanupTests(WatchdogTestCase):
    """What the hardware may have of a rule that is in no table is deleted."""

    def setUp(self) -> None:
        """An ADD is never confirmed, though it was done."""
        super().setUp()
        self.observer.removed.clear()
        self.group = self.start(ADD, PORT4, flags=SEND_FLOW_REM)
        self.lost = self.driver.lose(done=True)
        self.bark()
        self.error(self.group)

    def ghosts(self) -> list[str]:
        """Why there are ghosts."""
        return [ghost.degraded for ghost in self.switch.tables[0].ghosts]

    def test_deleted(self) -> None:
        """It is deleted by its handle, for nobody to hear of; then there is no ghost."""
        (deletion,) = self.driver.in_flight
        self.assertEqual(
            (deletion.kind, deletion.rule.handle), (OperationKind.DELETE, self.lost.rule.handle)
        )
        self.assertEqual(len(self.ghosts()), 1)
        self.assertEqual(self.switch.admission.in_flight, 0)
        self.driver.finish()
        self.assertEqual(self.ghosts(), [])
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()

    def test_others_wait(self) -> None:
        """Whoever wants a rule in its place waits until it is gone; others do not."""
        condition = self.postponed(self.send, ADD, PORT4)
        self.assertIn("br0<->cleanup", condition.describe())
        self.add(Match.of(in_port=9))
        self.assertTrue(condition.cleared)
        self.add(PORT4)
        self.assert_settled()

    def test_refused(self) -> None:
        """A failed deletion is tried again, and then the ghost stays."""
        for _ in range(3):
            self.driver.fail()
            self.clock.advance(2)
        self.assertEqual(self.driver.in_flight, [])
        self.assertEqual(self.ghosts(), ["FLOW_MOD_FAILED.UNKNOWN: made to fail by a test"])
        self.assertEqual(self.observer.removed, [])
        self.assertEqual(list(self.switch.ledger.groups), [])
        self.add(PORT4)

    def test_no_answer(self) -> None:
        """One that is not answered either is given up, and nothing more is done by itself."""
        self.driver.lose()
        self.bark()
        self.turn()
        self.assertEqual(self.driver.in_flight, [])
        self.assertEqual(len(self.ghosts()), 1)
        self.assertEqual(list(self.switch.ledger.groups), [])
        self.assertEqual(self.switch.tables[0].deleting, {})

    def test_undo(self) -> None:
        """An ADD that was done, and could not be taken back in time, is deleted once more."""
        self.driver.finish_all()
        ahead = self.start(ADD, PORT4)
        self.driver.finish()
        operation = Operation(OperationKind.ADD, self.rules()[-1], None, self.switch.tables[0])
        self.start(DELETE_STRICT, PORT4)
        self.driver.finish()
        other = self.rules()[0]
        failing = Operation(OperationKind.MODIFY, other, other, self.switch.tables[0])
        group = OperationGroup(self.switch.ledger, self.requester, 3, (operation, failing))
        self.switch.ledger.start(group)
        self.turn()
        self.driver.finish()
        self.driver.fail()
        self.turn()
        self.driver.lose()
        self.bark()
        self.error(group)
        self.assertTrue(ahead.ended)
        self.assertEqual(len(self.ghosts()), 1)
        (deletion,) = self.driver.in_flight
        self.assertEqual(deletion.kind, OperationKind.DELETE)
        self.driver.finish()
        self.assertEqual(self.ghosts(), [])
        self.assert_settled()

    def test_idle(self) -> None:
        """Whoever waits for nothing to be in flight waits for this, too."""
        idle = self.switch.idle()
        self.assertFalse(idle.cleared)
        self.driver.finish()
        self.assertTrue(idle.cleared)

    def test_flush(self) -> None:
        """A flush tries what is left once more."""
        self.driver.lose()
        self.bark()
        flush = self.switch.flush()
        self.run_to_end()
        self.assertTrue(flush.cleared)
        self.assertEqual(self.ghosts(), [])
        self.assert_settled()

    def test_stop(self) -> None:
        """A bridge may go meanwhile."""
        self.successResultOf(self.switch.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(list(self.switch.ledger.groups), [])

    def test_one_timer(self) -> None:
        """The watchdog that gives up one thing and starts another has one timer."""
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class GhostTests(WatchdogTestCase):
    """What the hardware may still have is remembered within bounds."""

    def test_bounded(self) -> None:
        """No more ghosts are kept than the table has places; the oldest go first."""
        table = self.switch.tables[0]
        for port in range(100, 100 + table.max_entries + 3):
            self.start(ADD, Match.of(in_port=port))
            self.driver.lose()
            self.bark()
            self.driver.lose()
            self.bark()
        ports = [ghost.match for ghost in table.ghosts]
        self.assertEqual(ports, [Match.of(in_port=103 + n) for n in range(table.max_entries)])
