"""Tests of :mod:`drivers.testing.fakes`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.openflow.match import Match
from agent.openflow.messages import PortDesc, PortReason
from drivers.interfaces import IDriverHost, IOperation, IRule, OperationKind, PacketInEvent
from drivers.testing import FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import output


class FakeRuleTests(SynchronousTestCase):
    """A rule without an agent."""

    def test_interface(self) -> None:
        """It is what a driver is given."""
        verifyObject(IRule, FakeRule())

    def test_handles(self) -> None:
        """Each has a handle of its own, which stays the same when it is changed."""
        one, two = FakeRule(), FakeRule()
        self.assertNotEqual(one.handle, two.handle)
        self.assertEqual(one.modified(()).handle, one.handle)
        self.assertEqual(one.replaced(()).handle, one.handle)

    def test_counters(self) -> None:
        """A modified rule has the same counters, a replaced one new ones."""
        rule = FakeRule()
        rule.counters.packets = 5
        self.assertIs(rule.modified(()).counters, rule.counters)
        self.assertEqual(rule.replaced(()).counters.packets, 0)

    def test_modified(self) -> None:
        """A modified rule has other instructions, and another cookie if it is given one."""
        rule = FakeRule(Match.of(in_port=1), cookie=1)
        self.assertEqual(rule.modified(output(2)).instructions, output(2))
        self.assertEqual((rule.modified(()).cookie, rule.modified((), 2).cookie), (1, 2))
        self.assertEqual(rule.modified(()).match, rule.match)


class FakeOperationTests(SynchronousTestCase):
    """An operation without an agent."""

    def test_interface(self) -> None:
        """It is what a driver is given."""
        verifyObject(IOperation, FakeOperation.add(FakeRule()))

    def test_kinds(self) -> None:
        """Each kind has the rule as it shall be and as it was."""
        rule = FakeRule()
        add, delete = FakeOperation.add(rule), FakeOperation.delete(rule)
        modify, replace = FakeOperation.modify(rule, ()), FakeOperation.replace(rule, ())
        self.assertEqual(
            [operation.kind for operation in (add, modify, replace, delete)],
            [
                OperationKind.ADD,
                OperationKind.MODIFY,
                OperationKind.REPLACE,
                OperationKind.DELETE,
            ],
        )
        self.assertEqual((add.rule, add.old), (rule, None))
        self.assertEqual((delete.rule, delete.old), (rule, rule))
        self.assertIs(modify.old, rule)
        self.assertIs(replace.old, rule)

    def test_completions(self) -> None:
        """It remembers each completion, and succeeded only if it was one, and well."""
        operation = FakeOperation.add(FakeRule())
        seen: list[int] = []
        operation.on_complete = lambda operation: seen.append(len(operation.completions))
        self.assertFalse(operation.done or operation.succeeded)
        operation.complete()
        self.assertTrue(operation.done and operation.succeeded)
        operation.complete()
        self.assertFalse(operation.succeeded)
        self.assertEqual(seen, [1, 2])
        failed = FakeOperation.add(FakeRule())
        failed.complete(ValueError("no"))
        self.assertTrue(failed.done and not failed.succeeded)


class FakeHostTests(SynchronousTestCase):
    """An agent that remembers."""

    def test_interface(self) -> None:
        """It is what a driver is started with."""
        verifyObject(IDriverHost, FakeHost())

    def test_remembers(self) -> None:
        """It remembers packets, ports and entries in doubt."""
        host = FakeHost()
        event = PacketInEvent(b"", 1, 0)
        desc = PortDesc(1, 0, "p1")
        host.packet_in(event)
        host.port_status(PortReason.ADD, desc)
        host.degraded(3, "gone")
        host.degraded(4, "lost")
        host.restored(3)
        self.assertEqual(host.packet_ins, [event])
        self.assertEqual(host.port_statuses, [(PortReason.ADD, desc)])
        self.assertEqual(host.degraded_rules, {4: "lost"})

    def test_rules(self) -> None:
        """Its rules are those that the test expects to be there."""
        host = FakeHost()
        rule = FakeRule()
        host.expected[rule.handle] = rule
        self.assertEqual(list(host.rules()), [rule])

    def test_clock(self) -> None:
        """Its time is that of its reactor, a clock unless another is given."""
        host = FakeHost()
        host.reactor.advance(3)
        self.assertEqual(host.now(), 3)
        clock = Clock()
        self.assertIs(FakeHost(reactor=clock).reactor, clock)
