"""Tests of :mod:`agent.ofproto.flow_mod`."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow.actions import GotoTable
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import ALL_TABLES, OFP10
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    ARP,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    EMERG,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    REFUSED,
    RESET_COUNTS,
    SEND_FLOW_REM,
    Requester,
    SwitchTestCase,
    output,
)


class AddTests(SwitchTestCase):
    """OFPFC_ADD."""

    def test_new(self) -> None:
        """A new rule has all that the request says; its counters and times begin."""
        self.clock.advance(5)
        group = self.start(
            ADD,
            PORT1,
            priority=7,
            table_id=1,
            cookie=0xC,
            idle_timeout=10,
            hard_timeout=20,
            flags=SEND_FLOW_REM,
            instructions=output(3),
            xid=99,
        )
        self.assertEqual((group.xid, group.owner), (99, self.requester))
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        rule = self.rule(PORT1, 7, 1)
        assert rule is not None
        self.assertEqual(
            (rule.cookie, rule.idle_timeout, rule.hard_timeout, rule.flags, rule.instructions),
            (0xC, 10, 20, SEND_FLOW_REM, output(3)),
        )
        self.assertEqual((rule.created, rule.modified, rule.counters.packets), (5.0, 5.0, 0))
        self.assertIs(rule.pending, self.driver.in_flight[0])
        self.driver.finish()
        self.assertIsNone(rule.pending)
        self.assert_settled()

    def test_refused_by_hardware(self) -> None:
        """A rule that the hardware refuses is gone, and the error is the hardware's."""
        group = self.start(ADD, PORT1)
        self.driver.fail(0, REFUSED)
        self.assertIs(group.error, REFUSED)
        self.assertEqual(self.rules(), [])
        self.assert_settled()

    def test_handles(self) -> None:
        """Every rule has a handle of its own, used never again; one that is replaced keeps it."""
        first = self.add(PORT1)
        self.assertEqual(self.add(PORT1).handle, first.handle)
        second = self.add(PORT2)
        self.start(DELETE_STRICT, PORT2)
        self.driver.finish()
        third = self.add(PORT2)
        self.assertEqual(len({first.handle, second.handle, third.handle}), 3)

    def test_replace(self) -> None:
        """Over a rule with the same match and priority it is a REPLACE of one rule."""
        old = self.add(PORT1, cookie=1, idle_timeout=3, flags=SEND_FLOW_REM)
        self.clock.advance(2)
        self.start(ADD, PORT1, requester=self.old, cookie=2, instructions=output(3))
        (rule,) = self.rules()
        self.assertEqual(self.kinds(), [OperationKind.REPLACE])
        self.assertIsNot(rule, old)
        self.assertEqual((rule.cookie, rule.idle_timeout, rule.flags, rule.created), (2, 0, 0, 2.0))
        self.driver.finish()
        # No FLOW_REMOVED for a rule that was replaced.
        self.assertEqual(self.observer.removed, [])
        self.assert_settled()

    def test_replace_refused(self) -> None:
        """Where the hardware refuses to replace a rule, the very same rule is back."""
        old = self.add(PORT1, cookie=1, idle_timeout=30, hard_timeout=40, flags=SEND_FLOW_REM)
        old.counters.packets = 12
        self.clock.advance(2)
        self.start(ADD, PORT1, requester=self.old, cookie=2)
        self.driver.fail(0, REFUSED)
        self.assertEqual(self.rules(), [old])
        self.assertEqual((old.cookie, old.created, old.modified), (1, 0.0, 0.0))
        self.assertEqual(old.counters.packets, 12)
        self.assertIsNone(old.pending)
        self.assert_settled()

    def test_counters_of_replaced(self) -> None:
        """1.0 has counters start anew; 1.3 only where RESET_COUNTS asks for it."""
        for requester, flags, kind, packets in (
            (self.old, 0, OperationKind.REPLACE, 0),
            (self.requester, RESET_COUNTS, OperationKind.REPLACE, 0),
            (self.requester, 0, OperationKind.MODIFY, 12),
        ):
            old = self.add(PORT1, requester=self.old)
            old.counters.packets = 12
            self.start(ADD, PORT1, requester=requester, flags=flags)
            self.assertEqual(self.kinds(), [kind])
            self.driver.finish()
            (rule,) = self.rules()
            self.assertEqual(rule.counters.packets, packets)
            self.assertEqual(old.counters.packets, 12)

    def test_same_entry_waits(self) -> None:
        """While anything is in flight on an entry, an ADD of the same entry waits for that."""
        for command in (ADD, MODIFY, DELETE):
            self.add(PORT1)
            group = self.start(command, PORT1, instructions=output(4))
            self.assertIs(self.postponed(self.send, ADD, PORT1, requester=self.old), group)
            self.driver.finish()
            self.assertIsNotNone(self.send(ADD, PORT1, requester=self.old))
            self.turn()
            self.driver.finish()
            self.assert_settled()

    def test_other_entries_do_not_wait(self) -> None:
        """Another match, priority or table is another entry."""
        self.start(ADD, PORT1)
        for fields in ({"match": PORT2}, {"match": PORT1, "priority": 99}):
            self.assertIsNotNone(self.send(ADD, **fields))
        self.assertIsNotNone(self.send(ADD, PORT1, table_id=1))
        self.turn()
        self.driver.finish_all()
        self.assert_settled()

    def test_table(self) -> None:
        """A table must exist; 1.0 has no tables, so that its rules go to the first."""
        for table_id in (2, 254, ALL_TABLES):
            self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, ADD, PORT1, table_id=table_id)
        self.add(PORT1, requester=self.old)
        self.send(ADD, PORT2, requester=self.old, table_id=ALL_TABLES)
        self.assertEqual(self.matches(), [PORT1, PORT2])

    def test_validated(self) -> None:
        """What the table cannot do is refused before anything changes."""
        backwards = (GotoTable(0),)
        self.refused(
            errors.INST_BAD_TABLE_ID, self.send, ADD, PORT1, table_id=1, instructions=backwards
        )
        self.refused(errors.BAD_OUT_PORT, self.send, ADD, PORT1, instructions=output(0))
        self.assertEqual((self.rules(), self.rules(1)), ([], []))

    def test_validated_before_waiting(self) -> None:
        """What is wrong is wrong whatever comes of what is in flight, and is said at once."""
        self.start(ADD, PORT1)
        self.refused(errors.BAD_OUT_PORT, self.send, ADD, PORT1, instructions=output(0))


class OverlapTests(SwitchTestCase):
    """CHECK_OVERLAP: an ADD is refused where a packet could match another rule as well."""

    def overlaps(self, match: Match, **fields: object) -> None:
        """Adding this is refused."""
        self.refused(errors.OVERLAP, self.send, ADD, match, flags=CHECK_OVERLAP, **fields)

    def test_overlap(self) -> None:
        """A rule of the same table and priority overlaps where a packet can match both."""
        self.add(PORT1)
        self.overlaps(ARP)
        self.overlaps(MATCH_ALL)
        self.overlaps(IP1)
        self.overlaps(ARP, requester=self.old)
        # By the words of 1.0.1 section 4.6 and 1.3.5 section 6.4 so does the same match.
        self.overlaps(PORT1)
        self.assertEqual(self.matches(), [PORT1])

    def test_no_overlap(self) -> None:
        """Another priority, another table, or no packet that matches both: no overlap."""
        self.add(PORT1)
        self.add(ARP, flags=CHECK_OVERLAP, priority=99)
        self.add(ARP, flags=CHECK_OVERLAP, table_id=1)
        self.add(PORT2, flags=CHECK_OVERLAP)

    def test_only_when_asked(self) -> None:
        """Without the flag rules may overlap, and MODIFY and DELETE ignore it."""
        self.add(PORT1)
        self.add(ARP)
        for command in (MODIFY, DELETE):
            self.start(command, instructions=output(3), flags=CHECK_OVERLAP)
            self.driver.finish_all()
        self.assertEqual(self.rules(), [])

    def test_pending_add(self) -> None:
        """Whether a rule overlaps one that is being added is known when that has ended."""
        group = self.start(ADD, PORT1)
        self.assertIs(self.postponed(self.send, ADD, ARP, flags=CHECK_OVERLAP), group)
        self.driver.fail()
        self.assertIsNotNone(self.send(ADD, ARP, flags=CHECK_OVERLAP))
        self.turn()
        self.driver.finish()
        self.add(PORT1)
        self.overlaps(ARP)

    def test_pending_delete(self) -> None:
        """A rule that is being deleted may come back."""
        self.switch.ledger.delete_attempts = 1
        self.add(PORT1)
        group = self.start(DELETE)
        self.assertIs(self.postponed(self.send, ADD, ARP, flags=CHECK_OVERLAP), group)
        self.driver.fail()
        self.overlaps(ARP)
        self.start(DELETE)
        self.driver.finish()
        self.add(ARP, flags=CHECK_OVERLAP)

    def test_unrelated_in_flight(self) -> None:
        """What is in flight elsewhere is not waited for."""
        self.start(ADD, PORT1)
        self.start(ADD, ARP, priority=99)
        self.start(ADD, ARP, table_id=1)
        self.assertIsNotNone(self.send(ADD, PORT2, flags=CHECK_OVERLAP))


class CapacityTests(SwitchTestCase):
    """A table takes so many rules, whatever comes of what is in flight."""

    max_entries = (2, 2)

    def test_full(self) -> None:
        """A rule too many is TABLE_FULL; one that takes the place of another is none too many."""
        self.add(PORT1)
        self.add(PORT2)
        self.refused(errors.TABLE_FULL, self.send, ADD, ARP)
        self.refused(errors.TABLE_FULL, self.send, ADD, ARP, requester=self.old)
        self.add(PORT1, cookie=5)
        self.add(ARP, table_id=1)

    def test_numbers(self) -> None:
        """In 1.0 it is ALL_TABLES_FULL."""
        self.assertEqual(errors.TABLE_FULL.numbers(OFP10), (3, 0))

    def test_pending_add(self) -> None:
        """Where a rule that is being added has the last place, one waits for what comes of it."""
        self.add(PORT1)
        group = self.start(ADD, PORT2)
        self.assertIs(self.postponed(self.send, ADD, ARP), group)
        self.driver.finish()
        self.refused(errors.TABLE_FULL, self.send, ADD, ARP)
        self.start(DELETE, PORT2)
        self.driver.finish()
        group = self.start(ADD, PORT2)
        self.assertIs(self.postponed(self.send, ADD, ARP), group)
        self.driver.fail()
        self.add(ARP)

    def test_pending_delete(self) -> None:
        """The place of a rule that is being deleted is free when it is gone."""
        self.switch.ledger.delete_attempts = 1
        self.add(PORT1)
        self.add(PORT2)
        group = self.start(DELETE, PORT2)
        self.assertIs(self.postponed(self.send, ADD, ARP), group)
        self.driver.fail()
        self.refused(errors.TABLE_FULL, self.send, ADD, ARP)
        self.start(DELETE, PORT2)
        self.driver.finish()
        self.add(ARP)

    def test_many_pending(self) -> None:
        """The table never has more rules than it takes, though deletions fail."""
        self.switch.ledger.delete_attempts = 1
        self.add(PORT1)
        self.add(PORT2)
        self.start(DELETE, PORT1)
        self.postponed(self.send, ADD, ARP)
        self.start(DELETE, PORT2)
        self.postponed(self.send, ADD, ARP)
        self.driver.finish(1)
        self.assertIsNotNone(self.send(ADD, ARP))
        self.turn()
        self.driver.fail(0)
        self.driver.finish(0)
        self.assertEqual(self.matches(), [PORT1, ARP])
        self.assert_settled()


class FlagTests(SwitchTestCase):
    """Flags and commands that there are not."""

    def test_emergency(self) -> None:
        """1.0: there is no table of emergency flows; one with a timeout is wrong in itself."""
        for command in (ADD, MODIFY, DELETE):
            self.refused(errors.TABLE_FULL, self.send, command, requester=self.old, flags=EMERG)
            for timeout in ("idle_timeout", "hard_timeout"):
                self.refused(
                    errors.BAD_EMERG_TIMEOUT,
                    self.send,
                    command,
                    requester=self.old,
                    flags=EMERG,
                    **{timeout: 1},
                )

    def test_unknown_flags(self) -> None:
        """Flags that no version knows are BAD_FLAGS; 1.3 has no emergency flows."""
        for flags in (0x20, EMERG):
            for command in (ADD, MODIFY, DELETE):
                self.refused(errors.FLOW_MOD_BAD_FLAGS, self.send, command, flags=flags)

    def test_known_flags(self) -> None:
        """Those of 1.3 are accepted and shown."""
        rule = self.add(PORT1, flags=0x1F & ~CHECK_OVERLAP)
        self.assertEqual(rule.flags, 0x1D)

    def test_unknown_command(self) -> None:
        """Commands that there are not are BAD_COMMAND."""
        for command in (5, 0x103, 0xFF):
            self.refused(errors.FLOW_MOD_BAD_COMMAND, self.send, command)


class OrderOfChecksTests(SwitchTestCase):
    """First what is wrong, then what is in the way, last of all a place."""

    max_pending = 1

    def test_slot_last(self) -> None:
        """A request that is wrong, or has nothing to do, needs no place; the rest waits for one."""
        self.start(ADD, PORT1)
        other = Requester()
        self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, ADD, PORT2, table_id=9)
        self.assertIsNone(self.send(DELETE, PORT2, requester=other))
        condition = self.postponed(self.send, ADD, PORT2, requester=other)
        self.assertIn("a place", condition.describe())
        self.assertFalse(condition.cleared)
        self.driver.finish()
        self.assertTrue(condition.cleared)
        self.assertIsNotNone(self.send(ADD, PORT2, requester=other))

    def test_conflict_first(self) -> None:
        """One that waits for an entry does not take a place meanwhile."""
        group = self.start(ADD, PORT1)
        self.assertIs(self.postponed(self.send, ADD, PORT1), group)
        self.assertEqual(len(self.switch.admission), 0)

    def test_internal(self) -> None:
        """The agent's own changes do not wait for a place, and take none from controllers."""
        self.start(ADD, PORT1, requester=self.internal)
        self.assertIsNotNone(self.send(ADD, PORT2))
        self.assertIsNotNone(self.send(ADD, ARP, requester=self.internal))
