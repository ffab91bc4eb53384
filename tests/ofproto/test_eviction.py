"""Tests of eviction: an ADD to a full table takes the place of a rule that will expire."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow.messages import RemovedReason
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    PORT1,
    PORT2,
    PORT3,
    PORT4,
    REFUSED,
    SEND_FLOW_REM,
    SwitchTestCase,
)


class EvictionTests(SwitchTestCase):
    """A table of two rules, which evicts."""

    max_entries = (2, 2)

    def setUp(self) -> None:
        """Fill the table with a rule that stays and one that will expire."""
        super().setUp()
        self.switch.tables[0].evicts = True
        self.start(ADD, PORT1)
        self.start(ADD, PORT2, idle_timeout=30, flags=SEND_FLOW_REM, cookie=0xC)
        self.driver.finish_all()
        victim = self.rule(PORT2)
        assert victim is not None
        self.victim = victim

    def test_evicted(self) -> None:
        """The rule that will expire goes first, the new one is added when it is gone, and
        controllers are told when the hardware has confirmed everything."""
        group = self.start(ADD, PORT3)
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.assertIsNone(self.rule(PORT2))
        self.driver.finish()
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.assertEqual(self.observer.removed, [])
        self.driver.finish()
        self.assertIsNone(group.error)
        (told,) = self.observer.removed
        self.assertEqual((told.cookie, told.reason), (0xC, RemovedReason.EVICTION))
        self.assertIsNotNone(self.rule(PORT1))
        self.assertIsNotNone(self.rule(PORT3))
        self.assert_settled()

    def test_a13_eviction_is_undone(self) -> None:
        """When the ADD fails that needed it, the evicted rule is back, counters, times and all."""
        self.victim.counters.packets = 5
        group = self.start(ADD, PORT3)
        self.driver.finish()
        self.turn()
        self.driver.fail(error=REFUSED)
        self.clock.advance(0)
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.driver.finish()
        self.assertIs(group.error, REFUSED)
        self.assertIs(self.rule(PORT2), self.victim)
        self.assertEqual(self.victim.counters.packets, 5)
        self.assertIsNone(self.rule(PORT3))
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()
        self.clock.advance(31)
        self.driver.finish_all()
        self.assertIsNone(self.rule(PORT2), "it does not expire any more")

    def test_victim_stays(self) -> None:
        """While the hardware does not let go of the victim it is not asked to add anything; when
        it never does, the request fails, and the victim is there as before, and degraded."""
        group = self.start(ADD, PORT3)
        for delay in (0.5, 1.0, 0.0):
            self.assertEqual(self.kinds(), [OperationKind.DELETE])
            self.driver.fail()
            self.clock.advance(delay)
        self.assertEqual(self.driver.in_flight, [])
        self.assertTrue(group.ended)
        self.assertIsNotNone(group.error)
        self.assertIs(self.rule(PORT2), self.victim)
        self.assertIsNone(self.rule(PORT3))
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()

    def test_given_up(self) -> None:
        """When the ADD is never confirmed, what the hardware may have of it is deleted before the
        evicted rule is put back, for which there might be no room."""
        group = self.start(ADD, PORT3)
        self.driver.finish()
        self.turn()
        lost = self.driver.lose(done=True)
        for _ in range(16):
            self.clock.advance(4)
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.assertEqual(self.driver.in_flight[0].rule.handle, lost.rule.handle)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.driver.finish()
        self.assertTrue(group.ended)
        self.assertIn("did not answer", str(group.error))
        self.assertIs(self.rule(PORT2), self.victim)
        self.assertEqual(len(self.switch.tables[0].ghosts), 0)
        self.assert_settled()

    def test_given_up_twice(self) -> None:
        """A driver that does not confirm that either is asked once more; the evicted rule, which it
        was not asked for, is degraded."""
        group = self.start(ADD, PORT3)
        self.driver.finish()
        self.turn()
        lost = self.driver.lose(done=True)
        self.victim.idle_timeout = 0
        for _ in range(16):
            self.clock.advance(4)
        self.driver.lose()
        for _ in range(16):
            self.clock.advance(4)
        self.assertTrue(group.ended)
        self.assertTrue(self.victim.degraded)
        (again,) = self.driver.in_flight
        self.assertEqual((again.kind, again.rule.handle), (OperationKind.DELETE, lost.rule.handle))
        self.assertEqual(len(self.switch.tables[0].ghosts), 1)
        self.driver.finish()
        self.assertEqual(len(self.switch.tables[0].ghosts), 0)
        self.assertEqual(list(self.switch.ledger.groups), [])

    def test_the_first_to_expire(self) -> None:
        """Of several rules with a timeout the one that would expire first is chosen."""
        self.start(ADD, PORT3, hard_timeout=10)
        self.run_to_end(0)
        self.start(ADD, PORT4, hard_timeout=20)
        self.run_to_end(0)
        self.assertIsNone(self.rule(PORT3))
        self.assertIsNotNone(self.rule(PORT4))

    def test_nothing_to_evict(self) -> None:
        """When only rules without a timeout are there, the table is full."""
        self.start(ADD, PORT3)
        self.run_to_end(0)
        self.refused(errors.TABLE_FULL, self.send, ADD, PORT4)
        self.assert_settled()

    def test_replacing_evicts_nothing(self) -> None:
        """An ADD that takes the place of the same rule needs no room."""
        self.start(ADD, PORT1, priority=100, cookie=1)
        self.driver.finish_all()
        self.assertIs(self.rule(PORT2), self.victim)

    def test_not_unless_configured(self) -> None:
        """A table that does not evict refuses."""
        self.switch.tables[0].evicts = False
        self.refused(errors.TABLE_FULL, self.send, ADD, PORT3)
