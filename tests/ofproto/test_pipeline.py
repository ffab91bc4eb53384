"""Tests of :mod:`agent.ofproto.pipeline`."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from agent.ofproto.table_features import describe
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import GotoTable
from agent.openflow.errors import OpenFlowError
from agent.openflow.table_features import Property
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    PORT1,
    PORT2,
    PORT3,
    REFUSED,
    SEND_FLOW_REM,
    Requester,
    SwitchTestCase,
)


class PipelineTestCase(SwitchTestCase):
    """A switch with three tables."""

    max_entries = (8, 8, 8)

    def wanted(self, *numbers: int) -> tuple[of.TableFeatures, ...]:
        """All that can be asked of these tables, if they are the pipeline."""
        tables = [self.switch.tables[number] for number in sorted(numbers)]
        return tuple(describe(self.switch.tables[number], tables) for number in numbers)

    def change(self, *numbers: int, requester: Requester | None = None) -> Any:
        """Ask for a pipeline of these tables."""
        return self.handle(of.TableFeaturesRequest(self.wanted(*numbers), 9), requester)

    def numbers(self) -> list[int]:
        """The tables that a controller is shown."""
        return [table.table_id for table in self.handle(of.TableFeaturesRequest()).tables]


class ChangeTests(PipelineTestCase):
    """A controller asks for tables."""

    def test_the_same(self) -> None:
        """Whoever asks for what there is gets it at once, and loses nothing."""
        rule = self.add(PORT1, table_id=2)
        reply = self.change(0, 1, 2)
        self.assertEqual(reply, of.TableFeaturesReply(self.wanted(0, 1, 2), 9))
        self.assertIs(self.rule(PORT1, table_id=2), rule)

    def test_order(self) -> None:
        """The answer has the order of the request; whoever only asks is told them as they come."""
        self.assertEqual([t.table_id for t in self.change(2, 0, 1).tables], [2, 0, 1])
        self.assertEqual(self.numbers(), [0, 1, 2])

    def test_names(self) -> None:
        """A table has the name that it is given, and the rules that it had."""
        self.add(PORT1)
        first, *rest = self.wanted(0, 1, 2)
        wanted = (attrs.evolve(first, name="acl", max_entries=1), *rest)
        reply = self.handle(of.TableFeaturesRequest(wanted))
        self.assertEqual((reply.tables[0].name, reply.tables[0].max_entries), ("acl", 8))
        self.assertEqual(self.switch.tables[0].name, "acl")
        self.assertEqual(self.matches(), [PORT1])

    def test_no_less_than_before(self) -> None:
        """Who asks for tables that can do nothing is given what the hardware can."""
        nothing: dict[int, tuple[int, ...]] = {
            kind: () for kind in Property if not kind.name.endswith("_MISS")
        }
        tables = tuple(of.TableFeatures(n, f"t{n}", 0, 0, 3, 9, nothing) for n in range(3))
        reply = self.handle(of.TableFeaturesRequest(tables))
        self.assertEqual(reply.tables[1], attrs.evolve(self.wanted(1, 2)[0], name="t1"))
        self.add(PORT1, table_id=1)

    def test_refused(self) -> None:
        """What cannot be had changes nothing, not even the tables that were named before it."""
        good, bad = self.wanted(0, 2)
        wanted = (attrs.evolve(good, name="new"), attrs.evolve(bad, table_id=3))
        request = of.TableFeaturesRequest(wanted)
        self.refused(errors.TABLE_FEATURES_BAD_TABLE, self.handle, request)
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assertEqual(self.switch.tables[0].name, "table0")

    def test_empty_table_goes(self) -> None:
        """A table that is not named is not there any more, to any request, until it is again."""
        self.change(0, 2)
        self.assertEqual(self.numbers(), [0, 2])
        goto = (GotoTable(1),)
        self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, ADD, PORT1, table_id=1)
        self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, DELETE, PORT1, table_id=1)
        self.refused(errors.INST_BAD_TABLE_ID, self.send, ADD, PORT1, instructions=goto)
        self.refused(errors.REQUEST_BAD_TABLE_ID, self.handle, of.FlowStatsRequest(table_id=1))
        self.refused(errors.TABLE_MOD_BAD_TABLE, self.handle, of.TableMod(1, 0))
        stats = self.successResultOf(self.handle(of.TableStatsRequest()))
        self.assertEqual([table.table_id for table in stats.tables], [0, 2])
        self.assertIsNone(self.send(DELETE, table_id=of.ALL_TABLES))
        self.change(0, 1, 2)
        self.add(PORT1, instructions=goto)
        self.add(PORT1, table_id=1)

    def test_what_led_there(self) -> None:
        """Instructions that were found good before are looked at again."""
        goto = (GotoTable(1),)
        self.add(PORT1, instructions=goto)
        self.change(0, 2)
        self.refused(errors.INST_BAD_TABLE_ID, self.send, ADD, PORT2, instructions=goto)


class RulesTests(PipelineTestCase):
    """Rules go with their table, as slowly as hardware lets them."""

    def setUp(self) -> None:
        """Two rules in the table that goes, one in each of those that stay."""
        super().setUp()
        self.add(PORT1)
        self.add(PORT1, table_id=1, flags=SEND_FLOW_REM)
        self.add(PORT2, table_id=1)
        self.add(PORT1, table_id=2)

    def begin(self) -> Deferred[Any]:
        """Take table 1 out; the hardware is about to delete its rules."""
        answer: Deferred[Any] = self.change(0, 2)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE] * 2)
        self.assertNoResult(answer)
        return answer

    def test_answered_when_gone(self) -> None:
        """The answer comes when the hardware has confirmed the last deletion, not before."""
        answer = self.begin()
        self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, ADD, PORT3, table_id=1)
        self.driver.finish()
        self.assertNoResult(answer)
        self.driver.finish()
        reply = self.successResultOf(answer)
        self.assertEqual([table.table_id for table in reply.tables], [0, 2])
        self.assertEqual([len(self.rules(number)) for number in range(3)], [1, 0, 1])
        self.assert_settled()

    def test_nobody_is_told(self) -> None:
        """No FLOW_REMOVED comes of it."""
        self.begin()
        self.driver.finish_all()
        self.assertEqual(self.observer.removed, [])

    def fail_for_good(self, error: Exception) -> OpenFlowError:
        """Take table 1 out of hardware that deletes the one rule and never the other; returns what
        the controller is told.
        """
        answer = self.begin()
        self.driver.finish()
        while not answer.called:  # it is tried again
            while self.driver.in_flight:
                self.driver.fail(0, error)
            self.clock.advance(1)
        told = self.failureResultOf(answer, OpenFlowError).value
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assertEqual(len(self.rules(1)), 1)
        assert isinstance(told, OpenFlowError)
        return told

    def test_hardware_refuses(self) -> None:
        """Should a rule not go, the pipeline is what it was, and the error is the hardware's."""
        self.assertIs(self.fail_for_good(REFUSED), REFUSED)

    def test_hardware_breaks(self) -> None:
        """What is no error of OpenFlow becomes one."""
        self.assertIs(self.fail_for_good(OSError("smoke")).code, errors.FLOW_MOD_UNKNOWN)
        self.flushLoggedErrors()

    def test_waits_for_the_table(self) -> None:
        """A request waits for what is in flight in a table that goes, and for nothing else."""
        self.start(ADD, PORT3)
        self.assertNoResult(self.change(0, 1))
        self.turn()
        self.driver.finish_all()
        self.change(0, 1, 2)
        group = self.start(ADD, PORT3, table_id=1)
        self.assertIs(self.postponed(self.change, 0, 2), group)
        self.assertEqual(self.numbers(), [0, 1, 2])

    def test_one_after_the_other(self) -> None:
        """Another change waits for the one that is under way."""
        self.begin()
        condition = self.postponed(self.change, 0, 1, 2)
        self.driver.finish_all()
        self.assertTrue(condition.cleared)
        self.change(0, 1, 2)
        self.assertEqual(self.numbers(), [0, 1, 2])

    def test_nobody_waits(self) -> None:
        """Whoever asked may be gone by the end; the change is made all the same."""
        self.begin().addErrback(lambda failure: None).cancel()
        self.driver.finish_all()
        self.assertEqual(self.numbers(), [0, 2])
        self.assertNotIsInstance(self.change(0, 2), Deferred)
