"""Tests of :mod:`agent.ofproto.hidden`."""

from __future__ import annotations

import gc
import weakref

from agent.ofproto.hidden import FIRST_RETRY, LAST_RETRY, HiddenRule, HiddenRules
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import MATCH_ALL
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    REFUSED,
    SwitchTestCase,
    output,
)

PRIORITY = 0x10001
FIRST = HiddenRule(PRIORITY, PORT1, output(1))
SECOND = HiddenRule(PRIORITY + 1, PORT2, output(1))
BAD = HiddenRule(PRIORITY, IP1, (ApplyActions((Output(of.Port.NORMAL),)),))
"""Its action is none of the driver's."""


class HiddenTestCase(SwitchTestCase):
    """A switch, and a part of the agent that needs rules."""

    def setUp(self) -> None:
        """No rules yet; a flush is heard of."""
        super().setUp()
        self.hidden = HiddenRules("in-band", self.switch, self.clock)
        self.observer.on_flushed = self.hidden.refresh

    def installed(self) -> list[tuple[int, object]]:
        """The rules in the table."""
        return [(rule.priority, rule.match) for rule in self.rules()]

    def install(self, *rules: HiddenRule) -> None:
        """Put them there, and wait until the hardware has them."""
        self.hidden.set(rules)
        self.settle()
        self.assertEqual(self.installed(), [(rule.priority, rule.match) for rule in rules])

    def settle(self) -> None:
        """Let the hardware do everything, without letting time pass."""
        self.turn()
        while self.driver.finish_all():
            self.turn()
        self.turn()


class SetTests(HiddenTestCase):
    """From one set of rules to the next."""

    def test_difference(self) -> None:
        """Only what differs is changed: added, deleted, or given other instructions."""
        self.install(FIRST)
        changed = HiddenRule(SECOND.priority, SECOND.match, output(2))
        for wanted, kinds in (
            ((FIRST, SECOND), [OperationKind.ADD]),
            ((FIRST, changed), [OperationKind.MODIFY]),
            ((FIRST, changed), []),
            ((changed,), [OperationKind.DELETE]),
            ((FIRST,), [OperationKind.DELETE, OperationKind.ADD]),
            ((), [OperationKind.DELETE]),
        ):
            self.hidden.set(wanted)
            self.turn()
            self.assertEqual(self.kinds(), kinds)
            self.settle()
            self.assertEqual([rule.match for rule in self.rules()], [w.match for w in wanted])
            self.assertTrue(self.hidden.settled)
        self.assert_settled()

    def test_a02_without_a_connection(self) -> None:
        """A2: groups which no connection asked for work, and need no place in flight."""
        self.switch.admission.limit = 1
        self.start(ADD, PORT1)
        self.install_behind()
        self.assertEqual(len(self.rules()), 2)

    def install_behind(self) -> None:
        """Install a rule while the only place in flight is taken."""
        self.hidden.set([SECOND])
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD, OperationKind.ADD])
        self.settle()

    def test_invisible(self) -> None:
        """Controllers do not see them, cannot delete, modify or count them."""
        self.install(FIRST)
        reply = self.successResultOf(self.handle(of.FlowStatsRequest()))
        self.assertEqual(list(reply.flows), [])
        reply = self.successResultOf(self.handle(of.AggregateRequest()))
        self.assertEqual(reply.flow_count, 0)
        self.assertEqual(self.active(), 0)
        for command in (DELETE, MODIFY):
            self.assertIsNone(self.send(command))
        self.assertEqual(self.installed(), [(FIRST.priority, FIRST.match)])
        self.assertEqual(self.rules()[0].instructions, FIRST.instructions)

    def active(self) -> int:
        """How many rules the first table has, as controllers see it."""
        reply = self.successResultOf(self.handle(of.TableStatsRequest()))
        count: int = reply.tables[0].active_count
        return count

    def test_counted(self) -> None:
        """They are never counted, whatever becomes of their operations."""
        self.switch.ledger.delete_attempts = 1
        self.add(PORT1)
        self.hidden.set([FIRST, SECOND])
        self.turn()
        self.assertEqual(self.active(), 1)
        self.driver.fail(error=REFUSED)
        self.driver.finish()
        self.assertEqual((self.active(), len(self.rules())), (1, 2))
        self.hidden.set([])
        self.turn()
        self.assertEqual((self.active(), len(self.rules())), (1, 1))
        self.driver.fail()
        self.assertEqual((self.active(), len(self.rules())), (1, 2))

    def test_beside_a_controller(self) -> None:
        """A controller's rule with the same match is another rule."""
        self.install(FIRST)
        self.add(PORT1, priority=0xFFFF)
        self.send(DELETE)
        self.settle()
        self.assertEqual(self.installed(), [(FIRST.priority, FIRST.match)])


class WaitTests(HiddenTestCase):
    """Changes that cannot be made at once."""

    def test_a05_deletion_waits(self) -> None:
        """A5: a rule whose ADD is in flight is deleted when that is over."""
        self.hidden.set([FIRST, SECOND])
        self.turn()
        self.hidden.set([])
        self.assertFalse(self.hidden.settled)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD, OperationKind.ADD])
        self.settle()
        self.assertEqual(self.installed(), [])
        self.assertTrue(self.hidden.settled)
        self.assert_settled()

    def test_wanted_again(self) -> None:
        """A rule whose DELETE is in flight is added when that is over."""
        self.install(FIRST)
        self.hidden.set([])
        self.turn()
        self.hidden.set([FIRST])
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.settle()
        self.assertEqual(self.installed(), [(FIRST.priority, FIRST.match)])

    def test_last_word(self) -> None:
        """However often somebody changes his mind meanwhile, the last word counts."""
        self.hidden.set([FIRST])
        self.turn()
        for _ in range(3):
            self.hidden.set([])
            self.hidden.set([FIRST])
        self.settle()
        self.assertEqual(self.installed(), [(FIRST.priority, FIRST.match)])
        self.assertEqual(len(self.driver.batches), 1)

    def test_flush(self) -> None:
        """After a flush the rules are back before any request that waited for it."""
        self.install(FIRST, SECOND)
        flush = self.switch.flush()
        self.postponed(self.send, ADD, MATCH_ALL)
        order = []
        flush.wait().addCallback(lambda _: order.extend(self.installed()))
        self.settle()
        self.assertEqual(order, [(FIRST.priority, FIRST.match), (SECOND.priority, SECOND.match)])
        self.assert_settled()
        self.assertEqual(len(self.rules()), 2)

    def test_change_during_flush(self) -> None:
        """What is wanted of them meanwhile is so after the flush, and before any request."""
        self.install(FIRST)
        flush = self.switch.flush()
        self.turn()
        self.hidden.set([SECOND])
        order = []
        flush.wait().addCallback(lambda _: order.extend(self.installed()))
        self.settle()
        self.assertEqual(order, [(SECOND.priority, SECOND.match)])
        self.assertEqual(self.installed(), [(SECOND.priority, SECOND.match)])


class FailureTests(HiddenTestCase):
    """Hardware that refuses."""

    def test_add(self) -> None:
        """An ADD that failed is tried again, after longer and longer, up to a minute."""
        self.hidden.set([FIRST])
        delay = FIRST_RETRY
        for _ in range(8):
            self.turn()
            self.driver.fail(error=REFUSED)
            self.turn()
            self.assertEqual((self.kinds(), self.hidden.settled), ([], False))
            self.clock.advance(delay - 0.01)
            self.assertEqual(self.kinds(), [])
            self.clock.advance(0.01)
            self.turn()
            self.assertEqual(self.kinds(), [OperationKind.ADD])
            delay = min(2 * delay, LAST_RETRY)
        self.settle()
        self.assertTrue(self.hidden.settled)
        self.assert_settled()
        # And the next failure is the first again.
        self.hidden.set([])
        self.settle()
        self.hidden.set([FIRST])
        self.turn()
        self.driver.fail(error=REFUSED)
        self.clock.advance(FIRST_RETRY)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD])

    def test_others_go_on(self) -> None:
        """One rule that fails keeps none of the others, nor is it tried sooner for them."""
        self.hidden.set([FIRST, SECOND])
        self.turn()
        self.driver.fail(0, REFUSED)
        self.settle()
        self.assertEqual(self.installed(), [(SECOND.priority, SECOND.match)])
        self.hidden.set([FIRST])
        self.settle()
        self.assertEqual(self.installed(), [])
        self.clock.advance(FIRST_RETRY)
        self.settle()
        self.assertEqual(self.installed(), [(FIRST.priority, FIRST.match)])

    def test_refused(self) -> None:
        """What the driver cannot do at all is tried again all the same, and kills nobody."""
        self.hidden.set([BAD, SECOND])
        self.settle()
        self.assertEqual(self.installed(), [(SECOND.priority, SECOND.match)])
        self.clock.advance(FIRST_RETRY)
        self.assertFalse(self.hidden.settled)
        self.hidden.set([])
        self.clock.advance(2 * FIRST_RETRY)
        self.settle()
        self.assertEqual(self.installed(), [])
        self.assertTrue(self.hidden.settled)

    def test_delete(self) -> None:
        """A DELETE that the hardware will not do is tried until it does."""
        self.switch.ledger.delete_attempts = 1
        self.install(FIRST)
        self.hidden.set([])
        for _ in range(3):
            self.turn()
            self.driver.fail()
            self.clock.advance(LAST_RETRY)
        self.settle()
        self.assertEqual(self.installed(), [])
        self.assertTrue(self.hidden.settled)

    def test_delete_waits_for_others(self) -> None:
        """A DELETE that waits for what another part of the agent has in flight is done after it,
        without anything else happening."""
        self.install(FIRST)
        self.start(
            MODIFY, PORT1, self.internal, priority=PRIORITY, instructions=output(2), table_id=0
        )
        self.hidden.set([])
        self.assertFalse(self.hidden.settled)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.finish()
        self.turn()
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.driver.finish()
        self.turn()
        self.assertTrue(self.hidden.settled)
        self.assertEqual(self.installed(), [])

    def test_add_given_up(self) -> None:
        """An ADD that was never confirmed is tried again when what the hardware may have of it is
        gone."""
        self.hidden.set([FIRST])
        self.turn()
        self.driver.lose()
        for _ in range(16):
            self.clock.advance(4)
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.driver.finish()
        self.turn()
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.settle()
        self.assert_settled()

    def test_degraded(self) -> None:
        """A rule that is not in the hardware as it should be is put there again."""
        self.install(FIRST)
        self.switch.degraded(self.rules()[0].handle, "the chip forgot it")
        self.hidden.refresh()
        self.settle()
        self.assertEqual(self.rules()[0].degraded, "")
        self.assertEqual(len(self.driver.batches), 2)


class StopTests(HiddenTestCase):
    """The end."""

    def test_nothing_left(self) -> None:
        """Whatever it waits for, no timer, no waiter and no reference is left."""
        self.install(FIRST)
        self.hidden.set([BAD, SECOND])
        self.turn()
        self.hidden.set([FIRST])
        groups = list(self.switch.ledger.groups)
        self.assertEqual([len(group._waiters or ()) for group in groups], [1, 1])
        self.hidden.stop()
        self.assertEqual([group._waiters for group in groups], [{}, {}])
        self.driver.finish_all()
        self.turn()
        self.assertEqual(self.installed(), [(SECOND.priority, SECOND.match)])
        self.assertEqual(self.clock.getDelayedCalls(), self.watchdogs())
        gone = weakref.ref(self.hidden)
        self.driver.batches.clear()
        del self.hidden, groups
        self.observer.on_flushed = lambda: None
        gc.collect()
        self.assertIsNone(gone())

    def watchdogs(self) -> list[object]:
        """The delayed calls that are the ledger's."""
        return [call for call in [self.switch.ledger.watchdog._call] if call is not None]

    def test_bridge_goes(self) -> None:
        """A bridge that goes in the middle of a flush hears nothing of its end."""
        self.install(FIRST)
        self.switch.flush()
        self.turn()
        self.hidden.stop()
        self.switch.stop()
        self.assertEqual((self.observer.flushes, self.clock.getDelayedCalls()), (0, []))
