"""Tests of :mod:`agent.ofproto.ledger`."""

from __future__ import annotations

import gc
import weakref
from functools import partial

from agent.ofproto.operations import Operation, OperationGroup, State
from agent.ofproto.submission import BATCH
from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    PORT4,
    REFUSED,
    SEND_FLOW_REM,
    ThreeRulesTestCase,
    essence,
    output,
)


class LifeTests(ThreeRulesTestCase):
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
        """What is ready at the end of a turn goes to the driver at once, in order of arrival."""
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
        group = self.start(ADD, PORT4)
        self.driver.fail(0, OSError("no such device"))
        self.assertIs(self.error(group).code, errors.FLOW_MOD_UNKNOWN)
        self.assertIn("no such device", self.error(group).text)
        self.assertIsNone(self.rule(PORT4))
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

    def test_deaf(self) -> None:
        """Whatever is wrong with those who are told, a group ends, and who waits for it goes on."""

        def deaf(self: object, told: object) -> None:
            raise RuntimeError("what?")

        self.add(PORT1, flags=SEND_FLOW_REM)
        group = self.start(DELETE)
        waiter = self.postponed(self.send, ADD, PORT1, requester=self.old).wait()
        self.patch(self.requester, "group_ended", partial(deaf, None))
        self.patch(self.observer, "flow_removed", partial(deaf, None))
        self.driver.finish_all()
        self.assertTrue(group.ended)
        self.successResultOf(waiter)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assert_settled()

    def test_large_request(self) -> None:
        """A request about very many rules is handed to the driver over several turns."""
        rules = BATCH + 1
        self.resize(1, rules)
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


class DeletionTests(ThreeRulesTestCase):
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


class IdleTests(ThreeRulesTestCase):
    """Somebody may wait for nothing to be in flight."""

    def test_idle_now(self) -> None:
        """Where nothing is in flight nobody waits."""
        self.assertTrue(self.switch.idle().cleared)
        self.assertTrue(self.switch.idle().cleared)

    def test_idle_later(self) -> None:
        """It clears with the last group, and says how many there are until then."""
        self.start(ADD, PORT4)
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
        self.start(ADD, PORT4)
        self.start(DELETE_STRICT, PORT1)
        self.driver.fail(1)
        self.assertEqual(
            [(op.kind, op.state) for op in self.switch.ledger.operations()],
            [(OperationKind.ADD, State.IN_FLIGHT), (OperationKind.DELETE, State.RETRYING)],
        )


class StopTests(ThreeRulesTestCase):
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
        queued = self.send(ADD, PORT4)
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
        left = self.left()
        self.assertEqual(left, [])

    def left(self) -> list[object]:
        """The operations and groups of this switch that are not freed."""
        ledger = self.switch.ledger
        groups = [o for o in gc.get_objects() if isinstance(o, OperationGroup)]
        operations = [o for o in gc.get_objects() if isinstance(o, Operation)]
        return [
            *(group for group in groups if group.ledger is ledger),
            *(one for one in operations if one.group.ledger is ledger),
        ]

    def test_no_garbage(self) -> None:
        """A group that has ended well is freed at once, without the garbage collector."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.start(ADD, PORT4)
        self.driver.finish()
        self.driver.batches.clear()
        self.requester.ended.clear()
        left = self.left()
        self.assertEqual(left, [])
        self.assertEqual(essence(self.rules()[-1])[2], PORT4)
