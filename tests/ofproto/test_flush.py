"""Tests of :mod:`agent.ofproto.flush`."""

from __future__ import annotations

from agent.openflow import messages as of
from agent.openflow.actions import GroupAction
from tests.ofproto.numbered import (
    G_ADD,
    NumberedTestCase,
    bucket,
    group_mod,
    meter_mod,
    metered,
    to_group,
)
from tests.ofproto.stage import ADD, PORT1, PORT2, PORT3, SwitchTestCase, output


class FlushTests(SwitchTestCase):
    """Deleting every rule, as a state of the bridge."""

    def test_everything_goes(self) -> None:
        """Every rule goes, hidden ones too, also one that is pending when it begins."""
        self.add(PORT1)
        self.add(PORT2, requester=self.internal, priority=0x10001, table_id=1)
        self.start(ADD, PORT3)
        flush = self.switch.flush()
        self.assertIs(self.switch.flush(), flush)
        self.turn()
        self.assertEqual(flush.describe(), "the flush of all tables (entries to go: 3)")
        self.run_to_end()
        self.assertTrue(flush.cleared)
        self.assertIsNone(self.switch.flushing)
        self.assertEqual(list(self.switch.rules()), [])
        self.assert_settled()

    def test_requests_wait(self) -> None:
        """No request is executed meanwhile, and each runs afterwards."""
        self.add(PORT1)
        flush = self.switch.flush()
        for request in (of.FlowStatsRequest(), of.FeaturesRequest()):
            self.assertIs(self.postponed(self.handle, request), flush)
        self.assertIs(self.postponed(self.send, ADD, PORT1), flush)
        self.run_to_end()
        self.assertIsNotNone(self.send(ADD, PORT1))

    def test_empty(self) -> None:
        """Where there is nothing to delete it is over in a turn."""
        flush = self.switch.flush()
        self.assertFalse(flush.cleared)
        self.turn()
        self.assertTrue(flush.cleared)

    def test_stubborn(self) -> None:
        """What the hardware will not delete is tried several times, then left, degraded."""
        self.switch.ledger.delete_attempts = 1
        self.add(PORT1)
        flush = self.switch.flush()
        tried = 0
        for _ in range(20):
            self.turn()
            if self.driver.in_flight:
                tried += 1
                self.driver.fail()
        self.assertTrue(flush.cleared)
        self.assertEqual((tried, [bool(rule.degraded) for rule in self.rules()]), (3, [True]))
        self.assertIsNone(self.switch.flushing)

    def stop(self) -> None:
        """Stop the switch, which leaves nothing behind."""
        flush = self.switch.flush()
        self.successResultOf(self.switch.stop())
        self.assertTrue(flush.cleared)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """A bridge may go while it is flushing."""
        self.add(PORT1)
        self.switch.flush()
        self.turn()
        self.assertEqual(len(self.switch.ledger.groups), 1)
        self.stop()

    def test_stop_at_once(self) -> None:
        """It may go before the flush has begun."""
        self.add(PORT1)
        self.stop()

    def test_add_afterwards(self) -> None:
        """A rule that comes after a flush is like any other."""
        self.add(PORT1, instructions=output(3))
        self.switch.flush()
        self.run_to_end()
        self.add(PORT1, instructions=output(4))
        self.assert_settled()


class NumberedFlushTests(NumberedTestCase):
    """Groups and meters go with the rules."""

    def setUp(self) -> None:
        """Two groups, one of which forwards to the other, a meter, and rules that name them."""
        super().setUp()
        self.do(group_mod(G_ADD, 1, bucket()))
        self.do(group_mod(G_ADD, 2, bucket(GroupAction(1))))
        self.do(meter_mod(G_ADD, 1))
        self.add(PORT1, instructions=to_group(2))
        self.add(PORT2, instructions=metered(1))
        self.add(PORT3)

    def test_everything_goes(self) -> None:
        """First the rules, then the groups, each after those that forward to it, then the meters;
        each step when the one before is confirmed."""
        flush = self.switch.flush()
        self.assertIn("entries to go: 6", flush.describe())
        order = []
        while not flush.cleared:
            self.turn()
            order.append([target for _, target, _ in self.flight()])
            self.driver.finish_all()
        self.assertEqual(
            [step for step in order if step],
            [["rule"] * 3, ["group"], ["group"], ["meter"]],
        )
        self.assertEqual((self.groups, self.meters, flush.left), ([], [], 0))
        self.assert_settled()

    def test_in_flight(self) -> None:
        """One that is being made when the flush begins goes as well."""
        self.begin(group_mod(G_ADD, 3, bucket()))
        self.begin(meter_mod(G_ADD, 2))
        flush = self.switch.flush()
        self.run_to_end()
        self.assertTrue(flush.cleared)
        self.assertEqual((self.groups, self.meters), ([], []))
        self.assert_settled()

    def test_stubborn(self) -> None:
        """A group that the hardware will not delete is tried several times, then left, degraded;
        the meters go nevertheless."""
        self.switch.ledger.delete_attempts = 1
        flush = self.switch.flush()
        tried = 0
        for _ in range(20):
            self.turn()
            while self.driver.in_flight:
                if self.flight()[0][1:] == ("group", 1):
                    tried += 1
                    self.driver.fail()
                else:
                    self.driver.finish()
        self.assertEqual((flush.cleared, flush.left, tried), (True, 1, 3))
        self.assertEqual((self.groups, self.meters), ([1], []))
        self.assertTrue(self.switch.group_mods.table.entries[1].degraded)

    def test_stubborn_rule(self) -> None:
        """A group which is named by a rule that the hardware will not delete is not deleted under
        it."""
        self.switch.ledger.delete_attempts = 1
        flush = self.switch.flush()
        for _ in range(40):
            self.turn()
            while self.driver.in_flight:
                stuck = getattr(self.driver.in_flight[0].rule, "match", None) == PORT1
                if stuck:
                    self.driver.fail()
                else:
                    self.driver.finish()
        self.assertTrue(flush.cleared)
        self.assertEqual((self.matches(), self.meters), ([PORT1], []))
        self.assertIn(2, self.groups)
        self.assertIn(2, self.driver.groups)
