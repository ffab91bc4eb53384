"""Tests of :mod:`agent.ofproto.table` and :mod:`agent.ofproto.rule`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.ofproto.operations import Operation
from agent.ofproto.rule import MAX_PRIORITY, Rule
from agent.ofproto.table import Criteria, FlowTable, outputs_to, uses_group
from agent.openflow.actions import (
    ApplyActions,
    Enqueue,
    GotoTable,
    GroupAction,
    Output,
    WriteActions,
)
from agent.openflow.match import MATCH_ALL, Match
from drivers.interfaces import Counters, IRule, OperationKind, TableCapabilities
from tests.ofproto.stage import ARP, IP1, PORT1, PORT2, SEND_FLOW_REM, output

ADD = OperationKind.ADD
REPLACE = OperationKind.REPLACE
MODIFY = OperationKind.MODIFY
DELETE = OperationKind.DELETE


def rule(match: Match = PORT1, **fields: Any) -> Rule:
    """A rule of priority 100, with a handle that depends on its match."""
    values: dict[str, Any] = {
        "handle": match.value + 1,
        "table_id": 0,
        "priority": 100,
        "match": match,
        "instructions": output(2),
        "cookie": 0,
        "idle_timeout": 0,
        "hard_timeout": 0,
        "flags": 0,
        "counters": Counters(),
        "created": 0.0,
        "modified": 0.0,
    }
    return Rule(**values | fields)


class RuleTests(SynchronousTestCase):
    """A flow entry."""

    def test_interface(self) -> None:
        """It is what the contract calls a rule."""
        verifyObject(IRule, rule())

    def test_hidden(self) -> None:
        """It is hidden when no controller could have given it its priority."""
        self.assertFalse(rule(priority=MAX_PRIORITY).hidden)
        self.assertTrue(rule(priority=MAX_PRIORITY + 1).hidden)

    def test_send_flow_removed(self) -> None:
        """One flag says whether controllers are told when it goes."""
        self.assertTrue(rule(flags=SEND_FLOW_REM).send_flow_removed)
        self.assertFalse(rule(flags=0x1F & ~SEND_FLOW_REM).send_flow_removed)

    def test_evolve(self) -> None:
        """A MODIFY makes another rule of it; the first one stays as it was."""
        old = rule(cookie=3, idle_timeout=5, hard_timeout=6, flags=1, degraded="stuck", created=1.0)
        counters = Counters(7)
        new = old.evolve(output(9), 4, counters, 2.0)
        self.assertEqual((old.instructions, old.cookie, old.modified), (output(2), 3, 0.0))
        self.assertEqual((new.instructions, new.cookie, new.modified), (output(9), 4, 2.0))
        self.assertIs(new.counters, counters)
        for name in ("handle", "table_id", "priority", "match", "idle_timeout", "hard_timeout"):
            self.assertEqual(getattr(new, name), getattr(old, name))
        self.assertEqual((new.flags, new.created), (1, 1.0))
        self.assertEqual((new.pending, new.degraded), (None, ""))


class CriteriaTests(SynchronousTestCase):
    """Which rules a request means."""

    def test_loose(self) -> None:
        """A loose request means rules that are at least as specific, of any priority."""
        criteria = Criteria(PORT1, 5)
        self.assertTrue(criteria.selects(rule(PORT1)))
        self.assertTrue(criteria.selects(rule(IP1, priority=1)))
        self.assertFalse(criteria.selects(rule(MATCH_ALL)))
        self.assertFalse(criteria.selects(rule(PORT2)))
        self.assertFalse(criteria.selects(rule(ARP)))

    def test_strict(self) -> None:
        """A strict one means the rule with just this match and priority."""
        criteria = Criteria(PORT1, 100, strict=True)
        self.assertTrue(criteria.selects(rule(PORT1)))
        self.assertFalse(criteria.selects(rule(PORT1, priority=99)))
        self.assertFalse(criteria.selects(rule(IP1)))

    def test_filters(self) -> None:
        """Cookie, output port and group narrow either down."""
        for strict in (False, True):
            some = rule(
                cookie=0xAB,
                instructions=(ApplyActions((Output(3), GroupAction(4))),),
            )
            cases: tuple[tuple[bool, dict[str, Any]], ...] = (
                (True, {"cookie": 0xFFA0, "cookie_mask": 0xF0}),
                (False, {"cookie": 0xA0, "cookie_mask": 0xFF}),
                (True, {"out_port": 3}),
                (False, {"out_port": 4}),
                (True, {"out_group": 4}),
                (False, {"out_group": 3}),
                (False, {"out_group": 4, "out_port": 4}),
            )
            for wanted, fields in cases:
                criteria = Criteria(PORT1, 100, strict, **fields)
                self.assertIs(criteria.selects(some), wanted, fields)

    def test_hidden(self) -> None:
        """Hidden rules are meant only where that was asked for."""
        hidden = rule(priority=MAX_PRIORITY + 1)
        self.assertFalse(Criteria(PORT1).selects(hidden))
        self.assertTrue(Criteria(PORT1, hidden=True).selects(hidden))

    def test_outputs_to(self) -> None:
        """Outputs and queues of a port count, applied or written; nothing else does."""
        some = rule(
            instructions=(
                ApplyActions((Output(1), Enqueue(2, 9))),
                WriteActions((Output(3), GroupAction(4))),
                GotoTable(5),
            )
        )
        self.assertEqual([port for port in range(10) if outputs_to(some, port)], [1, 2, 3])
        self.assertEqual([group for group in range(10) if uses_group(some, group)], [4])


class FlowTableTests(SynchronousTestCase):
    """What an operation does to its table."""

    def setUp(self) -> None:
        """Make an empty table."""
        self.table = FlowTable(TableCapabilities(0, "table0", 2))

    def operation(self, kind: OperationKind, new: Rule, old: Rule | None = None) -> Operation:
        """An operation on this table."""
        return Operation(kind, new, new if kind is DELETE else old, self.table)

    def state(self) -> tuple[object, ...]:
        """All that operations change."""
        table = self.table
        return (
            list(table.rules),
            [(rule, rule.pending) for rule in table.rules],
            dict(table.pending),
            dict(table.deleting),
            table.adding,
        )

    def test_kept(self) -> None:
        """What was begun and ends is in the table, and nothing is pending any more."""
        first, second = rule(cookie=1), rule(cookie=2)
        add = self.operation(ADD, first)
        self.table.begin(add)
        self.assertEqual((self.table.adding, first.pending), (1, add))
        self.table.end(add)
        replace = self.operation(REPLACE, second, first)
        self.table.begin(replace)
        self.assertEqual(list(self.table.rules), [second])
        self.assertEqual((self.table.adding, second.pending, first.pending), (0, replace, replace))
        self.table.end(replace)
        self.assertEqual((second.pending, first.pending), (None, None))
        delete = self.operation(DELETE, second)
        self.table.begin(delete)
        self.assertEqual(self.table.deleting, {(PORT1.mask, PORT1.value, 100): delete})
        self.assertEqual(len(self.table.rules), 0)
        self.table.end(delete)
        self.assertEqual(self.state(), ([], [], {}, {}, 0))
        self.assertIsNone(second.pending)

    def test_reverted(self) -> None:
        """What is reverted and ends is as if it had never begun."""
        first = rule(cookie=1)
        add = self.operation(ADD, first)
        before = self.state()
        self.table.begin(add)
        self.table.revert(add)
        self.assertIs(self.table.pending[add], None)
        self.table.end(add)
        self.assertEqual(self.state(), before)
        self.table.begin(add)
        self.table.end(add)
        before = self.state()
        for kind in (REPLACE, MODIFY, DELETE):
            new = first if kind is DELETE else rule(cookie=2)
            operation = self.operation(kind, new, first)
            self.table.begin(operation)
            self.table.revert(operation)
            self.assertEqual(list(self.table.rules), [first])
            self.assertIs(first.pending, operation)
            self.table.end(operation)
            self.assertEqual(self.state(), before)

    def test_in_flight(self) -> None:
        """The operation on an entry is found though its rule is no longer in the table."""
        first = rule()
        add = self.operation(ADD, first)
        self.table.begin(add)
        self.assertIs(self.table.in_flight(PORT1, 100), add)
        self.assertIsNone(self.table.in_flight(PORT1, 99))
        self.table.end(add)
        self.assertIsNone(self.table.in_flight(PORT1, 100))
        delete = self.operation(DELETE, first)
        self.table.begin(delete)
        self.assertIs(self.table.in_flight(PORT1, 100), delete)
        self.assertIsNone(self.table.in_flight(PORT2, 100))

    def test_doubt(self) -> None:
        """What the hardware may have otherwise is marked: in the table, or as a ghost of it."""
        first = rule()
        add = self.operation(ADD, first)
        self.table.begin(add)
        self.table.revert(add)
        self.table.doubt(add, "why")
        self.table.end(add)
        self.assertEqual(self.table.ghosts.entries, {first.handle: first})
        again = rule(handle=77)
        add = self.operation(ADD, again)
        self.table.begin(add)
        self.table.end(add)
        # A newer rule with the same match is another entry, and in no doubt.
        self.table.doubt(self.operation(ADD, first), "why")
        self.assertEqual(again.degraded, "")
        delete = self.operation(DELETE, again)
        self.table.begin(delete)
        self.table.revert(delete)
        self.table.doubt(delete, "stuck")
        self.table.end(delete)
        self.assertEqual(again.degraded, "stuck")
        self.assertEqual(list(self.table.ghosts.entries), [first.handle])

    def test_select(self) -> None:
        """A table gives out the rules that are meant, strict or loose."""
        for some in (rule(PORT1), rule(PORT1, priority=1), rule(IP1), rule(PORT2)):
            self.table.rules.put(some)
        self.assertEqual(len(list(self.table.select(Criteria(PORT1)))), 3)
        self.assertEqual(len(list(self.table.select(Criteria(PORT1, 1, strict=True)))), 1)
        self.assertEqual(list(self.table.select(Criteria(PORT1, 2, strict=True))), [])
        self.assertEqual(list(self.table.select(Criteria(MATCH_ALL, cookie=1, cookie_mask=1))), [])
