"""Tests of :mod:`agent.ofproto.ledger`: drivers that do not answer."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow.match import Match
from tests.ofproto.stage import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    PORT1,
    PORT2,
    PORT4,
    REFUSED,
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
        (ghost,) = self.switch.tables[0].ghosts.values()
        self.assertEqual(ghost.match, PORT4)
        self.flushLoggedErrors()
        self.assert_settled()

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
        self.switch.ledger.watchdog = 0
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
        self.switch.ledger._halted = lambda: halted
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
        self.switch.ledger._halted = lambda: halted
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


class GhostTests(WatchdogTestCase):
    """What the hardware may still have is remembered within bounds."""

    def test_bounded(self) -> None:
        """No more ghosts are kept than the table has places; the oldest go first."""
        table = self.switch.tables[0]
        for port in range(100, 100 + table.max_entries + 3):
            self.start(ADD, Match.of(in_port=port))
            self.driver.lose()
            self.bark()
        ports = [ghost.match for ghost in table.ghosts.values()]
        self.assertEqual(ports, [Match.of(in_port=103 + n) for n in range(table.max_entries)])
