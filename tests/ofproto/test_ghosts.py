"""Tests of :mod:`agent.ofproto.ghosts`; :mod:`tests.ofproto.test_watchdog` has more."""

from __future__ import annotations

from agent.ofproto.operations import State
from drivers.interfaces import OperationKind
from tests.ofproto.numbered import (
    G_ADD,
    NumberedTestCase,
    bucket,
    group_mod,
    meter_mod,
    to_group,
)
from tests.ofproto.stage import ADD, DELETE, PORT1, PORT2, SwitchTestCase


class GhostsTests(SwitchTestCase):
    """The ghosts of a flow table."""

    def setUp(self) -> None:
        """There are two rules, of which ghosts can be made."""
        super().setUp()
        self.first, self.second = self.add(PORT1), self.add(PORT2)
        self.table = self.switch.tables[0]
        self.ghosts = self.table.ghosts
        self.send(DELETE)
        self.run_to_end()

    def test_remembered(self) -> None:
        """A ghost is remembered once, with the last reason; of too many, the oldest goes."""
        self.ghosts.most = 1
        self.ghosts.remember(self.first, "one")
        self.ghosts.remember(self.first, "two")
        self.assertEqual([ghost.degraded for ghost in self.ghosts], ["two"])
        self.ghosts.remember(self.second, "three")
        self.assertEqual(list(self.ghosts), [self.second])
        self.assertEqual(len(self.ghosts), 1)

    def test_deletions(self) -> None:
        """What is deleted is the ghost, in the name of its table."""
        self.ghosts.remember(self.first, "why")
        (operation,) = self.ghosts.deletions()
        self.assertEqual(operation.kind, OperationKind.DELETE)
        self.assertIs(operation.rule, self.first)
        self.assertIs(operation.old, self.first)
        self.assertEqual(operation.place.name, self.table.name)
        self.assertIs(operation.target, self.table.target)
        self.assertIs(operation.place.failure, self.table.failure)

    def test_key_is_taken(self) -> None:
        """Where there is a newer rule with the same match and priority, the ghost is left alone:
        hardware may take the one for the other."""
        self.ghosts.remember(self.first, "why")
        self.start(ADD, PORT1)
        self.assertEqual(self.ghosts.deletions(), [])
        self.driver.finish()
        self.assertEqual(self.ghosts.deletions(), [])
        self.start(DELETE, PORT1)
        self.assertEqual(self.ghosts.deletions(), [])
        self.driver.finish()
        self.assertEqual(len(self.ghosts.deletions()), 1)

    def test_two_with_one_key(self) -> None:
        """Of two ghosts with the same match and priority one is deleted at a time."""
        again = self.add(PORT1)
        self.send(DELETE)
        self.run_to_end()
        for ghost in (self.first, self.second, again):
            self.ghosts.remember(ghost, "why")
        self.assertEqual(
            [operation.rule for operation in self.ghosts.deletions()], [self.first, self.second]
        )

    def test_end(self) -> None:
        """It is a ghost until its deletion has succeeded, also if it was forgotten meanwhile."""
        for state, left in ((State.FAILED, 1), (State.DONE, 0), (State.DONE, 0)):
            if state is State.FAILED:
                self.ghosts.remember(self.first, "why")
            operation = self.ghosts.deletion(self.first)
            self.ghosts.begin(operation)
            self.assertIs(self.table.in_flight(PORT1, 100), operation)
            operation.state = state
            self.ghosts.revert(operation)
            self.ghosts.end(operation)
            self.assertIsNone(self.table.in_flight(PORT1, 100))
            self.assertEqual(len(self.ghosts), left)


class NumberedGhostsTests(NumberedTestCase):
    """Those of groups and meters."""

    def test_cleaned(self) -> None:
        """An ADD that is never confirmed is deleted, and its number is free when it is."""
        for request, has in (
            (group_mod(G_ADD, 1, bucket()), self.driver.groups),
            (meter_mod(G_ADD, 1), self.driver.meters),
        ):
            group = self.begin(request)
            self.driver.lose(done=True)
            self.let_watchdog_bark()
            self.assertTrue(group.ended)
            self.assertEqual(len(has), 1)
            self.postponed(self.handle, request)
            self.run_to_end()
            self.assert_settled()
            self.do(request)

    def test_flush(self) -> None:
        """A flush deletes what is left of them, after the rules."""
        self.do(group_mod(G_ADD, 1, bucket()))
        self.add(PORT1, instructions=to_group(1))
        self.begin(group_mod(G_ADD, 2, bucket()))
        for _ in range(2):
            self.driver.lose(done=not self.driver.lost)
            self.let_watchdog_bark()
        self.assertEqual(len(self.switch.group_mods.table.ghosts), 1)
        self.switch.flush()
        self.run_to_end()
        self.assertEqual((len(self.switch.group_mods.table.ghosts), self.driver.groups), (0, {}))
        self.assert_settled()
