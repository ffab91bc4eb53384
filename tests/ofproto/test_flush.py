"""Tests of :mod:`agent.ofproto.flush`."""

from __future__ import annotations

from agent.openflow import messages as of
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
        self.assertEqual(flush.describe(), "the flush of all rules (3 to go)")
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
