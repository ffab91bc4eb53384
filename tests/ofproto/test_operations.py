"""Tests of :mod:`agent.ofproto.operations`."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from agent.ofproto.operations import Operation, OperationGroup, Retry, State
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from drivers.interfaces import IOperation, OperationKind
from tests.ofproto.stage import SwitchTestCase, output

ADD = FlowModCommand.ADD


class OperationTests(SwitchTestCase):
    """Operations are what a driver was promised, and know how to be taken back."""

    def operation(self, kind: OperationKind) -> Operation:
        """An operation on the rule of this test."""
        rule = self.rule() or self.add()
        old = None
        if kind is not OperationKind.ADD:
            old = rule
        if kind in (OperationKind.MODIFY, OperationKind.REPLACE):
            rule = rule.evolve(output(3), 1, rule.counters, 0.0)
        operation = Operation(kind, rule, old, self.switch.tables[0])
        self.group = OperationGroup(self.switch.ledger, self.requester, 0x11, (operation,))
        return operation

    def test_interface(self) -> None:
        """An operation, and another attempt at one, are what the contract calls an operation."""
        operation = self.operation(OperationKind.DELETE)
        verifyObject(IOperation, operation)
        retry = Retry(operation)
        verifyObject(IOperation, retry)
        self.assertEqual(
            (retry.kind, retry.rule, retry.old), (operation.kind, operation.rule, operation.old)
        )

    def test_inverse(self) -> None:
        """The opposite of each kind leads from what is back to what was, in the same group."""
        for kind, back in (
            (OperationKind.ADD, OperationKind.DELETE),
            (OperationKind.DELETE, OperationKind.ADD),
            (OperationKind.MODIFY, OperationKind.MODIFY),
            (OperationKind.REPLACE, OperationKind.REPLACE),
        ):
            operation = self.operation(kind)
            inverse = operation.inverse()
            self.assertIs(inverse.kind, back)
            self.assertIs(inverse.rule, operation.old or operation.rule)
            self.assertIs(inverse.old, None if back is OperationKind.ADD else operation.rule)
            self.assertIs(inverse.group, operation.group)
            self.assertIs(inverse.state, State.QUEUED)

    def test_describe(self) -> None:
        """A group says what it does, where, for whom and since when; ended, that it has ended."""
        group = self.start(ADD, Match.of(in_port=1), xid=0x2A, table_id=1)
        self.clock.advance(1.5)
        self.assertEqual(
            group.describe(), "add in table table1, xid 0x2a of br0<->test, in flight for 1.500 s"
        )
        self.driver.finish()
        self.assertIn("has ended", group.describe())

    def test_describe_many(self) -> None:
        """A group of many operations says how many."""
        for port in (1, 2, 3):
            self.add(Match.of(in_port=port))
        group = self.start(FlowModCommand.DELETE)
        self.assertTrue(group.describe().startswith("3 operations in table table0"))
        self.driver.finish_all()

    def test_repr(self) -> None:
        """In a log, an operation and its retry can be told."""
        operation = self.operation(OperationKind.DELETE)
        self.assertEqual(repr(operation), "<Operation delete in table0: queued>")
        self.assertEqual(repr(Retry(operation)), f"<Retry of {operation!r}>")
