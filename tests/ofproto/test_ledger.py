"""Tests of :mod:`agent.ofproto.ledger`."""

from __future__ import annotations

import gc
import weakref

from agent.ofproto.ledger import BATCH
from agent.ofproto.operations import Operation, OperationGroup, State
from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from drivers.interfaces import OperationKind
from tests.ofproto.stage import REFUSED, SwitchTestCase, essence, output

ADD = FlowModCommand.ADD
MODIFY = FlowModCommand.MODIFY
DELETE = FlowModCommand.DELETE
DELETE_STRICT = FlowModCommand.DELETE_STRICT

PORT1, PORT2, PORT3 = (Match.of(in_port=number) for number in (1, 2, 3))


class LedgerTestCase(SwitchTestCase):
    """A switch with three rules."""

    def setUp(self) -> None:
        """Add the rules."""
        super().setUp()
        for match in (PORT1, PORT2, PORT3):
            self.add(match, cookie=5)
        self.assert_settled()

    def error(self, group: OperationGroup) -> OpenFlowError:
        """The error of a group that has ended."""
        self.assertTrue(group.ended)
        assert isinstance(group.error, OpenFlowError)
        return group.error

    def instructions(self) -> list[object]:
        """What the rules do, by port."""
        return [rule.instructions for rule in self.rules()]


class LifeTests(LedgerTestCase):
    """The life of a group whose driver keeps the contract."""

    def test_success(self) -> None:
        """The table changes at once; the group ends, without an error, with the last operation."""
        self.driver.batches.clear()
        group = self.send(MODIFY, instructions=output(9))
        assert group is not None
        self.assertEqual(self.instructions(), [output(9)] * 3)
        self.assertEqual(self.driver.batches, [])
        self.turn()
        self.assertEqual([len(batch) for batch in self.driver.batches], [3])
        self.driver.finish(1)
        self.driver.finish(0)
        self.assertEqual((group.ended, self.requester.ended[3:]), (False, []))
        self.driver.finish(0)
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertEqual(self.requester.ended[3:], [group])
        self.assert_settled()

    def test_one_batch_a_turn(self) -> None:
        """What is ready at the end of a turn goes to the driver at once, in the order of arrival."""
        self.driver.batches.clear()
        for port in (4, 5, 6):
            self.send(ADD, Match.of(in_port=port))
        self.turn()
        (batch,) = self.driver.batches
        self.assertEqual(
            [operation.rule.match for operation in batch],
            [Match.of(in_port=port) for port in (4, 5, 6)],
        )
        self.driver.finish_all()

    def test_completed_in_submit(self) -> None:
        """A driver may complete operations before ``submit`` returns."""
        self.driver.instant = True
        group = self.start(MODIFY, instructions=output(9))
        self.assertEqual((group.ended, group.error), (True, None))
        self.assert_settled()

    def test_all_fail(self) -> None:
        """Where the hardware did nothing, the table is put back and the driver is not bothered."""
        before = self.rules()
        group = self.start(MODIFY, instructions=output(9))
        self.driver.batches.clear()
        for _ in range(3):
            self.driver.fail(0, REFUSED)
        self.assertIs(self.error(group), REFUSED)
        self.assertEqual(self.rules(), before)
        self.turn()
        self.assertEqual(self.driver.batches, [])
        self.assert_settled()

    def test_first_error_wins(self) -> None:
        """One request has one error: the first that came."""
        group = self.start(MODIFY, instructions=output(9))
        second = OpenFlowError(errors.OVERLAP)
        self.driver.fail(2, REFUSED)
        self.driver.fail(0, second)
        self.driver.fail(0, second)
        self.assertIs(self.error(group), REFUSED)

    def test_foreign_error(self) -> None:
        """An error that is not OpenFlow's is UNKNOWN to the controller, and is logged."""
        group = self.start(ADD, Match.of(in_port=4))
        self.driver.fail(0, OSError("no such device"))
        self.assertIs(self.error(group).code, errors.FLOW_MOD_UNKNOWN)
        self.assertIn("no such device", self.error(group).text)
        self.assertIsNone(self.rule(Match.of(in_port=4)))
        self.assert_settled()

    def test_undo(self) -> None:
        """Where part of a group succeeded the hardware is put back before the group ends."""
        before = self.rules()
        group = self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.fail(0, REFUSED)
        self.assertEqual(self.instructions(), [output(9)] * 3)
        self.driver.finish(0)
        # The tables are back, but nobody may touch what the hardware still has to undo.
        self.assertEqual(self.rules(), before)
        self.assertFalse(group.ended)
        self.assertIs(
            self.postponed(self.send, MODIFY, requester=self.old, instructions=output(7)), group
        )
        self.turn()
        self.assertEqual(
            [(op.kind, op.rule.match, op.rule.instructions) for op in self.driver.in_flight],
            [(OperationKind.MODIFY, match, output(2)) for match in (PORT3, PORT1)],
        )
        self.driver.finish_all()
        self.assertIs(self.error(group), REFUSED)
        self.assertEqual([rule.degraded for rule in self.rules()], [""] * 3)
        self.assert_settled()

    def test_undo_fails(self) -> None:
        """What could not be taken back is as it was in the table, and degraded."""
        group = self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.fail(0, REFUSED)
        self.driver.finish(0)
        self.turn()
        self.driver.fail(0)
        self.driver.finish(0)
        self.assertIs(self.error(group), REFUSED)
        self.assertEqual(self.instructions(), [output(2)] * 3)
        self.assertEqual([bool(rule.degraded) for rule in self.rules()], [False, False, True])
        self.assertEqual([rule.pending for rule in self.rules()], [None] * 3)

    def test_driver_sees_old_rule(self) -> None:
        """A driver is told what an entry was, so that it can put it back itself."""
        (before, *_) = self.rules()
        self.start(ADD, PORT1, instructions=output(9), flags=4)
        (operation,) = self.driver.in_flight
        self.assertIs(operation.kind, OperationKind.REPLACE)
        self.assertIs(operation.old, before)
        self.assertEqual(operation.rule.handle, before.handle)
        self.driver.finish_all()

    def test_large_request(self) -> None:
        """A request about very many rules is handed to the driver over several turns."""
        rules = BATCH + 1
        self.switch.tables[1].max_entries = rules
        self.driver.instant = True
        for port in range(1, rules + 1):
            self.switch.admission.limit = rules
            self.send(ADD, Match.of(in_port=port), table_id=1)
        self.run_to_end()
        self.driver.batches.clear()
        self.driver.instant = False
        group = self.send(DELETE, table_id=1)
        assert group is not None
        self.turn()
        self.turn()
        self.assertEqual([len(batch) for batch in self.driver.batches], [BATCH, rules - BATCH])
        self.driver.finish_all()
        self.assertTrue(group.ended)
        self.assert_settled()


class DeletionTests(LedgerTestCase):
    """Entries that are gone stay gone; those which the hardware would not delete are said to be."""

    def test_retry(self) -> None:
        """A deletion that fails is tried again after a while that doubles, three times in all."""
        group = self.start(DELETE_STRICT, PORT1)
        self.driver.fail()
        for wait in (0.5, 1.0):
            self.clock.advance(wait - 0.01)
            self.assertEqual(self.driver.in_flight, [])
            self.clock.advance(0.01)
            self.turn()
            self.assertFalse(group.ended)
            self.driver.fail(0, REFUSED)
        self.error(group)
        rule = self.rule(PORT1)
        assert rule is not None
        self.assertIn("no room", rule.degraded)
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()

    def test_retry_succeeds(self) -> None:
        """Nobody is told of an attempt that failed when the next one succeeds."""
        group = self.start(DELETE_STRICT, PORT1)
        self.driver.fail()
        self.clock.advance(0.5)
        self.turn()
        self.driver.finish()
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertIsNone(self.rule(PORT1))
        self.assert_settled()

    def test_each_attempt_completed_once(self) -> None:
        """What a driver still says of one attempt is not the outcome of the next."""
        group = self.start(DELETE_STRICT, PORT1)
        first = self.driver.fail()
        first.complete()
        self.clock.advance(0.5)
        self.turn()
        first.complete()
        self.assertFalse(group.ended)
        self.assertEqual(self.switch.ledger.late, 2)
        (second,) = self.driver.in_flight
        self.assertIsNot(second, first)
        self.driver.duplicate()
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertEqual(self.switch.ledger.late, 3)
        self.assert_settled()

    def test_partly(self) -> None:
        """What was deleted stays deleted though another entry of the request would not go."""
        self.switch.ledger.delete_attempts = 1
        group = self.start(DELETE)
        self.driver.finish(0)
        self.driver.fail(0, REFUSED)
        self.assertFalse(group.ended)
        self.driver.finish(0)
        self.assertIs(self.error(group), REFUSED)
        self.assertEqual([rule.match for rule in self.rules()], [PORT2])
        self.assertTrue(self.rules()[0].degraded)
        self.assert_settled()

    def test_each_when_it_is_gone(self) -> None:
        """An entry that is gone is announced, and its place is free, before the others are gone."""
        for match in (PORT1, PORT2, PORT3):
            self.add(match, flags=1)
        group = self.start(DELETE)
        self.driver.finish(1)
        self.assertEqual([removed.match for removed in self.observer.removed], [PORT2])
        self.assertFalse(group.ended)
        self.send(ADD, PORT2, requester=self.old)
        self.assertIs(self.postponed(self.send, ADD, PORT1, requester=self.old), group)
        self.turn()
        self.driver.finish_all()
        self.assertTrue(group.ended)
        self.assert_settled()

    def test_repaired(self) -> None:
        """A rule is no longer degraded when the hardware has taken it again."""
        self.switch.ledger.delete_attempts = 1
        self.start(DELETE_STRICT, PORT1)
        self.driver.fail()
        degraded = self.rule(PORT1)
        assert degraded is not None
        self.assertTrue(degraded.degraded)
        # Even a MODIFY that changes nothing is worth asking the hardware for now.
        self.start(MODIFY, PORT1)
        self.driver.fail()
        self.assertIs(self.rule(PORT1), degraded)
        self.assertTrue(degraded.degraded)
        self.start(MODIFY, PORT1)
        self.driver.finish()
        repaired = self.rule(PORT1)
        assert repaired is not None
        self.assertEqual(repaired.degraded, "")


class WatchdogTests(LedgerTestCase):
    """A driver that does not answer is not waited for; one that is slow is."""

    def bark(self, seconds: float = 60.0) -> None:
        """Let the watchdog's time pass."""
        for _ in range(16):
            self.clock.advance(seconds / 16)

    def test_add_given_up(self) -> None:
        """An ADD that is never confirmed fails; what the hardware may have of it is remembered."""
        group = self.start(ADD, Match.of(in_port=4))
        self.driver.lose()
        self.bark(59.9)
        self.assertFalse(group.ended)
        self.bark(0.2)
        self.assertIs(self.error(group).code, errors.FLOW_MOD_UNKNOWN)
        self.assertIn("did not answer", self.error(group).text)
        self.assertIsNone(self.rule(Match.of(in_port=4)))
        (ghost,) = self.switch.tables[0].ghosts.values()
        self.assertEqual(ghost.match, Match.of(in_port=4))
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
        group = self.start(ADD, Match.of(in_port=4))
        lost = self.driver.lose()
        self.bark()
        self.error(group)
        newer = self.start(ADD, Match.of(in_port=4))
        lost.complete()
        lost.complete(REFUSED)
        self.assertEqual(self.switch.ledger.late, 2)
        self.assertFalse(newer.ended)
        self.driver.finish()
        self.assertIsNone(newer.error)
        rule = self.rule(Match.of(in_port=4))
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
        behind = self.start(ADD, Match.of(in_port=4))
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
        group = self.start(ADD, Match.of(in_port=4))
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
        group = self.start(ADD, Match.of(in_port=4))
        self.clock.advance(1e6)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.assertTrue(group.ended)

    def test_halted(self) -> None:
        """Hardware that was halted on purpose has its time anew when it goes on."""
        halted = True
        self.switch.ledger._halted = lambda: halted
        group = self.start(ADD, Match.of(in_port=4))
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
        group = self.start(ADD, Match.of(in_port=4))
        self.bark(4)
        halted = True
        self.bark(54)
        halted = False
        self.bark(50)
        self.assertFalse(group.ended)
        self.driver.finish()
        self.assertIsNone(group.error)

    def test_nothing_left(self) -> None:
        """When nothing is in flight the watchdog sleeps, without a timer."""
        self.start(ADD, Match.of(in_port=4))
        self.driver.finish()
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class GhostTests(LedgerTestCase):
    """What the hardware may still have is remembered within bounds."""

    def test_bounded(self) -> None:
        """No more ghosts are kept than the table has places; the oldest go first."""
        table = self.switch.tables[0]
        for port in range(100, 100 + table.max_entries + 3):
            self.start(ADD, Match.of(in_port=port))
            self.driver.lose()
            self.clock.advance(60)
        ports = [ghost.match for ghost in table.ghosts.values()]
        self.assertEqual(ports, [Match.of(in_port=103 + n) for n in range(table.max_entries)])


class IdleTests(LedgerTestCase):
    """Somebody may wait for nothing to be in flight."""

    def test_idle_now(self) -> None:
        """Where nothing is in flight nobody waits."""
        self.assertTrue(self.switch.idle().cleared)
        self.assertTrue(self.switch.idle().cleared)

    def test_idle_later(self) -> None:
        """It clears with the last group, and says how many there are until then."""
        self.start(ADD, Match.of(in_port=4))
        self.start(ADD, Match.of(in_port=5))
        idle = self.switch.idle()
        self.assertIs(self.switch.idle(), idle)
        self.assertEqual(idle.describe(), "2 operation groups in flight")
        self.driver.finish()
        self.assertFalse(idle.cleared)
        self.driver.finish()
        self.assertTrue(idle.cleared)

    def test_operations(self) -> None:
        """An operator can see every operation in flight, the oldest group first."""
        self.start(ADD, Match.of(in_port=4))
        self.start(DELETE_STRICT, PORT1)
        self.driver.fail(1)
        self.assertEqual(
            [(op.kind, op.state) for op in self.switch.ledger.operations()],
            [(OperationKind.ADD, State.IN_FLIGHT), (OperationKind.DELETE, State.RETRYING)],
        )


class StopTests(LedgerTestCase):
    """When a bridge goes, nothing of what was in flight stays behind."""

    def start_everything(self) -> list[OperationGroup]:
        """Groups in every state there is: queued, in flight, retrying, undoing, partly done."""
        undoing = self.start(MODIFY, PORT1, instructions=output(9))
        self.driver.finish_all()
        self.assertTrue(undoing.ended)
        self.add(Match.of(in_port=1, eth_type=0x800))
        undoing = self.start(MODIFY, PORT1, instructions=output(8))
        self.driver.finish(0)
        self.driver.fail(0)
        retrying = self.start(DELETE_STRICT, PORT2)
        self.driver.fail(self.driver.in_flight[-1])
        partly = self.start(DELETE, PORT3)
        self.driver.finish(self.driver.in_flight[-1])
        self.assertTrue(partly.ended)
        again = self.start(ADD, PORT3)
        queued = self.send(ADD, Match.of(in_port=4))
        assert queued is not None
        return [undoing, retrying, again, queued]

    def test_told(self) -> None:
        """Every group ends, once, with an error; nobody waits any longer."""
        groups = self.start_everything()
        waiters = [group.wait() for group in groups]
        idle = self.switch.idle().wait()
        self.successResultOf(self.switch.stop())
        for group, waiter in zip(groups, waiters, strict=True):
            self.error(group)
            self.assertIn(group, self.requester.ended)
            self.successResultOf(waiter)
        self.successResultOf(idle)
        self.assertEqual(list(self.switch.ledger.groups), [])

    def test_no_timers(self) -> None:
        """No delayed call stays behind."""
        self.start_everything()
        self.assertNotEqual(self.clock.getDelayedCalls(), [])
        self.switch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What the driver says afterwards is ignored."""
        self.start_everything()
        operations = list(self.driver.in_flight)
        self.switch.stop()
        for operation in operations:
            operation.complete()
        self.assertEqual(self.switch.ledger.late, len(operations))

    def test_no_references(self) -> None:
        """Whoever still holds the switch holds no rule, operation or group of it; nor does a
        garbage collector have to find them: they refer to each other no more."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.start_everything()
        rules = [weakref.ref(rule) for rule in self.switch.rules() if rule.pending is not None]
        self.assertNotEqual(rules, [])
        self.switch.stop()
        self.driver.lost.clear()
        self.driver.batches.clear()
        self.driver.hardware.clear()
        self.requester.ended.clear()
        for table in self.switch.tables:
            for rule in list(table.rules):
                table.rules.remove(rule.match, rule.priority)
        del rule
        self.assertEqual([ref() for ref in rules], [None] * len(rules))
        left = [o for o in gc.get_objects() if isinstance(o, Operation | OperationGroup)]
        self.assertEqual(left, [])

    def test_no_garbage(self) -> None:
        """A group that has ended well is freed at once, without the garbage collector."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.start(ADD, Match.of(in_port=4))
        self.driver.finish()
        self.driver.batches.clear()
        self.requester.ended.clear()
        left = [o for o in gc.get_objects() if isinstance(o, Operation | OperationGroup)]
        self.assertEqual(left, [])
        self.assertEqual(essence(self.rules()[-1])[2], Match.of(in_port=4))
