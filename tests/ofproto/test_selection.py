"""Tests of :mod:`agent.ofproto.flow_mod`: MODIFY and DELETE, which select rules."""

from __future__ import annotations

from typing import Any

from agent.openflow import errors
from agent.openflow.actions import ApplyActions, Output, SetField, WriteActions
from agent.openflow.fields import TCP_DST
from agent.openflow.match import Match
from agent.openflow.messages import ALL_TABLES
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    ARP,
    DELETE,
    DELETE_STRICT,
    IP1,
    MODIFY,
    MODIFY_STRICT,
    PORT1,
    PORT2,
    REFUSED,
    RESET_COUNTS,
    SEND_FLOW_REM,
    SwitchTestCase,
    output,
)


class ModifyTests(SwitchTestCase):
    """OFPFC_MODIFY and OFPFC_MODIFY_STRICT."""

    def test_loose(self) -> None:
        """A loose one changes every rule that is at least as specific, whatever its priority."""
        self.add(PORT1, priority=1)
        self.add(IP1, priority=2)
        self.add(PORT2)
        self.add(PORT1, table_id=1)
        group = self.start(MODIFY, PORT1, instructions=output(9))
        self.assertEqual(self.kinds(), [OperationKind.MODIFY] * 2)
        self.driver.finish_all()
        self.assertIsNone(group.error)
        self.assertEqual(
            [rule.instructions == output(9) for rule in self.rules()], [True, True, False]
        )
        self.assert_settled()

    def test_strict(self) -> None:
        """A strict one changes the rule with just this match and priority."""
        self.add(PORT1, priority=1)
        self.add(PORT1, priority=2)
        self.add(IP1, priority=1)
        self.start(MODIFY_STRICT, PORT1, priority=1, instructions=output(9))
        self.driver.finish_all()
        self.assertEqual(
            [
                (rule.match, rule.priority)
                for rule in self.rules()
                if rule.instructions == output(9)
            ],
            [(PORT1, 1)],
        )

    def test_keeps(self) -> None:
        """It keeps timeouts, flags, counters and age; the hard timeout counts from now on."""
        old = self.add(PORT1, cookie=5, idle_timeout=30, hard_timeout=40, flags=SEND_FLOW_REM)
        old.counters.packets = 12
        self.clock.advance(3)
        self.start(
            MODIFY,
            PORT1,
            cookie=6,
            idle_timeout=1,
            hard_timeout=2,
            flags=0,
            instructions=output(9),
        )
        (rule,) = self.rules()
        self.assertEqual(
            (rule.idle_timeout, rule.hard_timeout, rule.flags, rule.handle),
            (30, 40, SEND_FLOW_REM, old.handle),
        )
        self.assertEqual((rule.created, rule.modified), (0.0, 3.0))
        self.assertIs(rule.counters, old.counters)
        self.driver.finish()

    def test_cookie(self) -> None:
        """1.0 changes the cookie too, later versions do not."""
        self.add(PORT1, cookie=5)
        self.start(MODIFY, PORT1, cookie=6, instructions=output(9))
        self.driver.finish()
        self.assertEqual([rule.cookie for rule in self.rules()], [5])
        self.start(MODIFY, PORT1, requester=self.old, cookie=6, instructions=output(8))
        self.driver.finish()
        self.assertEqual([rule.cookie for rule in self.rules()], [6])

    def test_cookie_alone(self) -> None:
        """A change of the cookie alone is told to the hardware, which may refuse it."""
        self.add(PORT1, cookie=5)
        self.start(MODIFY, PORT1, requester=self.old, cookie=6)
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.fail()
        self.assertEqual([rule.cookie for rule in self.rules()], [5])
        self.assert_settled()

    def test_nothing_changes(self) -> None:
        """Where nothing changes the hardware is not asked, but the rule was modified now."""
        self.add(PORT1, cookie=5)
        self.driver.batches.clear()
        self.clock.advance(3)
        self.assertIsNone(self.send(MODIFY, PORT1))
        self.turn()
        self.assertEqual(self.driver.batches, [])
        (rule,) = self.rules()
        self.assertEqual((rule.created, rule.modified, rule.pending), (0.0, 3.0, None))
        self.assert_settled()

    def test_partly_nothing(self) -> None:
        """Only the rules which change are told to the hardware; should it refuse, all are back."""
        same = self.add(PORT1, instructions=output(9))
        other = self.add(PORT2)
        self.clock.advance(3)
        self.start(MODIFY, instructions=output(9))
        self.assertEqual([op.rule.match for op in self.driver.in_flight], [PORT2])
        self.assertEqual([rule.modified for rule in self.rules()], [3.0, 3.0])
        self.driver.fail()
        self.assertEqual(self.rules(), [same, other])
        self.assertEqual([rule.pending for rule in self.rules()], [None, None])
        self.assertEqual(same.modified, 0.0)
        self.assert_settled()

    def test_reset_counts(self) -> None:
        """With RESET_COUNTS of 1.3 counters start anew, also where nothing else changes."""
        old = self.add(PORT1)
        old.counters.packets, old.counters.used = 12, 3.0
        self.start(MODIFY, PORT1, flags=RESET_COUNTS)
        self.assertEqual(self.kinds(), [OperationKind.REPLACE])
        (rule,) = self.rules()
        self.assertEqual((rule.counters.packets, rule.created), (0, 0.0))
        self.assertEqual(rule.counters.used, 3.0, "the idle timeout started anew")
        self.driver.fail()
        self.assertEqual(self.rules(), [old])
        self.assertEqual(old.counters.packets, 12)

    def test_reset_counts_is_not_kept(self) -> None:
        """The flag of the request counts, not the one with which the rule was added."""
        rule = self.add(PORT1, flags=RESET_COUNTS)
        rule.counters.packets = 12
        self.start(MODIFY, PORT1, instructions=output(9))
        self.driver.finish()
        self.assertEqual([rule.counters.packets for rule in self.rules()], [12])

    def test_reset_counts_in_10(self) -> None:
        """1.0 has no such flag."""
        rule = self.add(PORT1)
        rule.counters.packets = 12
        self.start(MODIFY, PORT1, requester=self.old, flags=RESET_COUNTS, instructions=output(9))
        self.driver.finish()
        self.assertEqual([rule.counters.packets for rule in self.rules()], [12])

    def test_miss(self) -> None:
        """Where no rule is meant 1.0 adds one, strict or not; 1.3 does nothing, without error."""
        self.add(PORT1)
        for command in (MODIFY, MODIFY_STRICT):
            self.assertIsNone(self.send(command, PORT2, instructions=output(9)))
            self.start(command, PORT2, requester=self.old, cookie=3, idle_timeout=7)
            self.assertEqual(self.kinds(), [OperationKind.ADD])
            self.driver.finish()
            rule = self.rule(PORT2)
            assert rule is not None
            self.assertEqual((rule.cookie, rule.idle_timeout), (3, 7))
            self.start(DELETE, PORT2)
            self.driver.finish()

    def test_cookie_filter(self) -> None:
        """In 1.3 only rules whose cookie agrees in the bits of the mask are meant."""
        self.add(PORT1, cookie=0x11)
        self.add(PORT2, cookie=0x21)
        self.start(MODIFY, cookie=0x10, cookie_mask=0xF0, instructions=output(9))
        self.assertEqual([op.rule.match for op in self.driver.in_flight], [PORT1])
        self.driver.finish()
        self.assertIsNone(self.send(MODIFY, cookie=0x12, cookie_mask=0xFF, instructions=output(8)))
        # 1.0 has no mask: the cookie is the new one.
        self.start(MODIFY, requester=self.old, cookie=0x10, cookie_mask=0xF0)
        self.driver.finish_all()
        self.assertEqual([rule.cookie for rule in self.rules()], [0x10, 0x10])

    def test_out_port_is_ignored(self) -> None:
        """``out_port`` and ``out_group`` are for DELETE alone."""
        self.add(PORT1)
        for number, name in enumerate(("out_port", "out_group"), 77):
            fields: dict[str, Any] = {name: number, "instructions": output(number)}
            group = self.start(MODIFY, PORT1, **fields)
            self.driver.finish()
            self.assertIsNone(group.error)

    def test_tables(self) -> None:
        """1.3 modifies one table, which must exist; 1.0 all of them."""
        self.add(PORT1)
        self.add(PORT1, table_id=1)
        for table_id in (2, ALL_TABLES):
            for command in (MODIFY, MODIFY_STRICT):
                self.refused(
                    errors.FLOW_MOD_BAD_TABLE_ID, self.send, command, PORT1, table_id=table_id
                )
        self.start(MODIFY, PORT1, requester=self.old, table_id=ALL_TABLES, instructions=output(9))
        self.assertEqual(len(self.driver.in_flight), 2)
        self.driver.finish_all()

    def test_waits_for_what_it_means(self) -> None:
        """It waits for an operation on a rule which it means, or would mean if that failed."""
        self.add(PORT1, instructions=output(3))
        for command, fields in (
            (ADD, {"match": IP1}),
            (MODIFY, {"match": PORT1, "instructions": output(4)}),
            (DELETE, {"match": PORT1}),
        ):
            group = self.start(command, **fields)
            for modify in (MODIFY, DELETE):
                self.assertIs(self.postponed(self.send, modify, instructions=output(5)), group)
            self.driver.fail()
            if command == DELETE:
                self.assertIs(self.postponed(self.send, MODIFY, instructions=output(5)), group)
                self.clock.advance(0.5)
                self.turn()
                self.driver.finish()
            self.assert_settled()

    def test_strict_waits(self) -> None:
        """So does a strict one, for its own rule alone."""
        self.add(PORT1, priority=1, cookie=3)
        for command in (MODIFY_STRICT, DELETE_STRICT):
            group = self.start(command, PORT1, priority=1, instructions=output(4))
            for strict in (MODIFY_STRICT, DELETE_STRICT):
                self.assertIs(
                    self.postponed(self.send, strict, PORT1, priority=1, instructions=output(5)),
                    group,
                )
                self.assertIsNone(self.send(strict, PORT1, priority=2))
                self.assertIsNone(self.send(strict, PORT2, priority=1))
                self.assertIsNone(self.send(strict, PORT1, priority=1, table_id=1))
                self.assertIsNone(self.send(strict, PORT1, priority=1, cookie=4, cookie_mask=0xF))
            self.driver.finish()

    def test_does_not_wait(self) -> None:
        """It does not wait for what it does not mean, in flight or not."""
        self.add(PORT2)
        self.start(ADD, PORT1)
        self.start(ADD, PORT2, table_id=1)
        self.assertIsNotNone(self.send(MODIFY, PORT2, instructions=output(5)))
        self.turn()
        self.driver.finish_all()

    def test_depends_on_cookie_in_flight(self) -> None:
        """A rule whose cookie is being changed is meant by its old and its new cookie."""
        self.add(PORT1, cookie=1)
        group = self.start(MODIFY, PORT1, requester=self.old, cookie=2)
        for cookie in (1, 2):
            self.assertIs(self.postponed(self.send, DELETE, cookie=cookie, cookie_mask=0xFF), group)
        self.assertIsNone(self.send(DELETE, cookie=3, cookie_mask=0xFF))
        self.driver.finish()

    def test_miss_in_10_waits(self) -> None:
        """1.0 does not add what a failing deletion may bring back."""
        self.add(PORT1)
        group = self.start(DELETE, PORT1)
        self.assertIs(self.postponed(self.send, MODIFY, PORT1, requester=self.old), group)
        self.driver.finish()
        self.start(MODIFY, PORT1, requester=self.old)
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.driver.finish()

    def test_all_or_nothing(self) -> None:
        """Should the hardware refuse one of several, all are as they were."""
        before = [self.add(PORT1), self.add(PORT2), self.add(ARP)]
        self.start(MODIFY, instructions=output(9))
        self.driver.finish(0)
        self.driver.fail(0, REFUSED)
        self.driver.finish(0)
        self.turn()
        self.driver.finish_all()
        self.assertCountEqual(self.rules(), before)
        self.assert_settled()

    def test_validated(self) -> None:
        """New instructions are checked against every rule they are for, before any changes."""
        tcp = Match.of(in_port=1, eth_type=0x800, ip_proto=6)
        self.add(tcp)
        set_port = (ApplyActions((SetField(TCP_DST, 80),)),)
        self.refused(errors.MATCH_INCONSISTENT, self.send, MODIFY, instructions=set_port)
        self.assertIsNotNone(self.send(MODIFY, tcp, instructions=set_port))


class DeleteTests(SwitchTestCase):
    """OFPFC_DELETE and OFPFC_DELETE_STRICT."""

    def test_loose(self) -> None:
        """A loose one deletes every rule that is at least as specific, whatever its priority."""
        self.add(PORT1, priority=1)
        self.add(IP1, priority=2)
        self.add(PORT2)
        self.add(PORT1, table_id=1)
        group = self.start(DELETE, PORT1)
        self.assertEqual(self.matches(), [PORT2])
        self.driver.finish_all()
        self.assertIsNone(group.error)
        self.assertEqual(self.matches(1), [PORT1])
        self.assert_settled()

    def test_strict(self) -> None:
        """A strict one deletes the rule with just this match and priority."""
        self.add(PORT1, priority=1)
        self.add(PORT1, priority=2)
        self.add(IP1, priority=1)
        self.start(DELETE_STRICT, PORT1, priority=1)
        self.driver.finish_all()
        self.assertEqual(
            [(rule.match, rule.priority) for rule in self.rules()], [(IP1, 1), (PORT1, 2)]
        )

    def test_order(self) -> None:
        """The first table and the lowest priority go first: a packet that comes meanwhile meets the
        rule that it would have met before, or none."""
        for table_id, priority in ((1, 5), (0, 7), (0, 3), (1, 2), (0, 5)):
            self.add(PORT1, priority=priority, table_id=table_id)
        self.start(DELETE, table_id=ALL_TABLES)
        self.assertEqual(
            [(op.rule.table_id, op.rule.priority) for op in self.driver.in_flight],
            [(0, 3), (0, 5), (0, 7), (1, 2), (1, 5)],
        )
        self.driver.finish_all()

    def test_nothing(self) -> None:
        """Where no rule is meant there is nothing to do, and no error."""
        self.add(PORT1)
        for command in (DELETE, DELETE_STRICT):
            self.assertIsNone(self.send(command, PORT2))

    def test_tables(self) -> None:
        """255 is all tables, also in 1.3; any other must exist."""
        for requester in (self.requester, self.old):
            self.add(PORT1)
            self.add(PORT1, table_id=1)
            for command in (DELETE, DELETE_STRICT):
                self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, command, PORT1, table_id=2)
            self.start(DELETE_STRICT, PORT1, requester=requester, table_id=ALL_TABLES)
            self.assertEqual(len(self.driver.in_flight), 2)
            self.driver.finish_all()
            self.assert_settled()

    def test_cookie(self) -> None:
        """In 1.3 only rules whose cookie agrees in the bits of the mask; 1.0 has no mask."""
        self.add(PORT1, cookie=0x11)
        self.add(PORT2, cookie=0x21)
        self.assertIsNone(self.send(DELETE, cookie=0x30, cookie_mask=0xF0))
        self.start(DELETE, cookie=0x20, cookie_mask=0xF0)
        self.driver.finish_all()
        self.assertEqual(self.matches(), [PORT1])
        self.start(DELETE, requester=self.old, cookie=0x20, cookie_mask=0xF0)
        self.driver.finish_all()
        self.assertEqual(self.matches(), [])

    def test_out_port(self) -> None:
        """``out_port`` selects rules that output to it, applied or written."""
        self.add(PORT1, instructions=output(3, 4))
        self.add(PORT2, instructions=output(5))
        self.add(ARP, instructions=(WriteActions((Output(4),)),))
        self.start(DELETE, out_port=4)
        self.driver.finish_all()
        self.assertEqual(self.matches(), [PORT2])
        self.assertIsNone(self.send(DELETE, out_group=1))

    def test_instructions_do_not_matter(self) -> None:
        """What a DELETE has for instructions is not looked at."""
        self.add(PORT1)
        self.assertIsNotNone(self.send(DELETE, instructions=output(0)))

    def test_flow_removed(self) -> None:
        """FLOW_REMOVED comes with the hardware's confirmation, for rules that ask for it."""
        self.add(PORT1, flags=SEND_FLOW_REM, cookie=0xC)
        self.add(PORT2)
        self.start(DELETE)
        self.assertEqual(self.observer.removed, [])
        self.driver.finish_all()
        (removed,) = self.observer.removed
        self.assertEqual((removed.match, removed.cookie, removed.reason), (PORT1, 0xC, 2))

    def test_hidden(self) -> None:
        """Controllers neither see nor touch hidden rules; the agent itself does."""
        self.add(PORT1, requester=self.internal, priority=0x10001)
        for requester in (self.requester, self.old):
            for command in (MODIFY, DELETE):
                if (command, requester) != (MODIFY, self.old):
                    self.assertIsNone(self.send(command, requester=requester))
        self.start(MODIFY, requester=self.internal, instructions=output(9))
        self.assertIsNone(self.send(DELETE))
        self.driver.finish()
        self.start(DELETE, requester=self.internal)
        self.driver.finish()
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()
