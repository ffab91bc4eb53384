"""Tests of :class:`agent.ofproto.operations.StagedGroup`: operations that wait for one another."""

from __future__ import annotations

from typing import Any

from agent.ofproto.operations import Operation, StagedGroup, State
from drivers.interfaces import Counters, OperationKind
from tests.ofproto.numbered import G_ADD, NumberedTestCase, bucket, group_mod, to_group
from tests.ofproto.stage import ADD, PORT1, PORT2, PORT3, REFUSED

PORTS = (PORT1, PORT2)


class StagedTests(NumberedTestCase):
    """A group and two rules that name it are to be added at once: all, or nothing."""

    def setUp(self) -> None:
        """Take a group and rules apart from the requests that made them, and start anew."""
        super().setUp()
        self.do(group_mod(G_ADD, 1, bucket()))
        for match in PORTS:
            self.add(match, instructions=to_group(1))
        made: list[Any] = [*self.switch.groups(), *self.rules()]
        self.do(group_mod(2, 1))
        self.assert_settled()
        for entry in made:
            entry.counters = Counters()
        first, *rules = (
            Operation(
                OperationKind.ADD,
                entry,
                None,
                self.switch.tables[0] if hasattr(entry, "match") else self.switch.group_mods.table,
            )
            for entry in made
        )
        self.requester.ended.clear()
        self.group = StagedGroup(self.switch.ledger, self.requester, 5, [[first], rules])
        self.switch.ledger.start(self.group)
        self.turn()

    def test_success(self) -> None:
        """The tables change at once; the driver is given a stage when the one before is done."""
        self.assertEqual((self.groups, self.matches()), ([1], list(PORTS)))
        self.assertEqual(self.flight(), [("add", "group", 1)])
        self.finish()
        self.assertEqual(len(self.driver.in_flight), 2)
        self.finish(2)
        self.assertEqual(self.requester.ended, [self.group])
        self.assertIsNone(self.group.error)
        self.assert_settled()

    def test_first_fails(self) -> None:
        """What was not begun is taken back without the driver, and is not doubted."""
        rules = self.rules()
        self.driver.fail(0, REFUSED)
        self.assertIs(self.group.error, REFUSED)
        self.assertEqual([(rule.pending, rule.degraded) for rule in rules], [(None, "")] * 2)
        self.turn()
        self.assertEqual(self.driver.in_flight, [])
        self.assert_settled()

    def test_second_fails(self) -> None:
        """What was done is undone from the last stage to the first."""
        self.finish()
        self.finish()
        self.driver.fail(0, REFUSED)
        self.turn()
        self.assertEqual((self.groups, self.matches()), ([], []))
        self.assertEqual([kind for kind, *_ in self.flight()], ["delete"])
        self.assertEqual(self.driver.in_flight[0].rule.match, PORT1)
        self.finish()
        self.assertEqual(self.flight(), [("delete", "group", 1)])
        self.assertFalse(self.group.ended)
        self.finish()
        self.assertIs(self.group.error, REFUSED)
        self.assert_settled()

    def test_undo_fails(self) -> None:
        """What could not be undone holds up what it builds upon: both are doubtful then."""
        self.finish()
        self.finish()
        self.driver.fail(0, REFUSED)
        self.turn()
        for _ in range(3):
            self.driver.fail(0)
            self.clock.advance(2)
        self.assertTrue(self.group.ended)
        self.assertEqual(list(self.driver.groups), [1])
        self.assertEqual(len(self.switch.group_mods.table.ghosts), 1)
        self.assertEqual(len(self.switch.tables[0].ghosts), 1)

    def test_given_up(self) -> None:
        """Where the driver does not answer, only what it was given is doubtful, and is undone."""
        self.driver.lose(done=True)
        self.let_watchdog_bark()
        self.assertEqual((self.groups, self.matches()), ([], []))
        self.assertEqual(self.flight(), [("delete", "group", 1)])
        self.assertFalse(self.group.ended)
        self.finish()
        self.assertTrue(self.group.ended)
        self.assertEqual(len(self.switch.group_mods.table.ghosts), 0)
        self.assert_settled()

    def test_second_given_up(self) -> None:
        """What was given up is undone before what it builds upon."""
        self.finish()
        self.driver.finish()
        self.driver.lose(done=True)
        self.let_watchdog_bark()
        self.assertEqual([target for _, target, _ in self.flight()], ["rule", "rule"])
        self.finish(2)
        self.assertEqual(self.flight(), [("delete", "group", 1)])
        self.finish()
        self.assertTrue(self.group.ended)
        self.assert_settled()

    def test_waits(self) -> None:
        """Whoever needs an entry of a stage that is held waits for the whole."""
        self.assertIs(self.postponed(self.send, ADD, PORT1), self.group)
        held = [op for op in self.group.operations if op.state is State.HELD]
        self.assertEqual(len(held), 2)
        self.assertIsNotNone(self.send(ADD, PORT3))
        self.run_to_end()
        self.assert_settled()

    def test_stop(self) -> None:
        """A bridge can go in the middle of it."""
        self.successResultOf(self.switch.stop())
        self.assertTrue(self.group.ended)
        self.assertEqual(self.switch.tables[0].pending, {})

    def test_describe(self) -> None:
        """It says how much there is to do, held or not."""
        self.assertIn("3 operations", self.group.describe())
        self.run_to_end()
