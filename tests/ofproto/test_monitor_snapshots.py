"""Tests of :mod:`agent.ofproto.monitors`: what monitors see, and what is of interest to them."""

from __future__ import annotations

from typing import Any

from agent.ofproto.monitors import Change, update_of
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.nx_messages import FlowMonitor, FlowMonitorFlags, FlowUpdateEvent
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    DELETE,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    REFUSED,
    output,
)
from tests.ofproto.watching import ADDED, ALL, DELETED, MODIFIED, WatchedCase


class SnapshotTests(WatchedCase):
    """What a monitor begins with."""

    def seen(self, **fields: Any) -> list[tuple[Match, object]]:
        """Match and instructions of what a monitor sees."""
        return [
            (rule.match, rule.instructions)
            for rule in self.changes.snapshot(FlowMonitor(1, ALL, **fields))
        ]

    def test_confirmed(self) -> None:
        """What is in flight is not seen: it could still come to nothing."""
        for match in (PORT1, PORT2):
            self.add(match)
        before = self.seen()
        self.assertEqual(before, [(PORT1, output(2)), (PORT2, output(2))])
        self.start(ADD, PORT3)
        self.start(MODIFY, PORT1, instructions=output(1))
        self.start(DELETE, PORT2)
        self.assertCountEqual(self.seen(), before)
        self.driver.finish_all()
        self.assertCountEqual(self.seen(), [(PORT1, output(1)), (PORT3, output(2))])

    def test_rolling_back(self) -> None:
        """While a request is taken back, everything is seen as it was, once."""
        for match in (PORT1, IP1):
            self.add(match)
        before = self.seen()
        self.start(MODIFY, PORT1, instructions=output(1))
        self.driver.finish()
        self.assertCountEqual(self.seen(), before)
        self.driver.fail(error=REFUSED)
        self.assertCountEqual(self.seen(), before)
        self.run_to_end()
        self.assertCountEqual(self.seen(), before)

    def test_adds_up(self) -> None:
        """A snapshot and the changes after it add up to the table, whenever it is taken and
        however things end."""
        for fails in (False, True):
            for at in range(4):
                self.send(DELETE)
                self.run_to_end()
                self.add(PORT1)
                self.add(IP1)
                self.told()
                self.start(MODIFY, PORT1, instructions=output(1))
                self.start(ADD, PORT3)
                seen: set[Match] = set()
                for step in range(4):
                    if step == at:
                        self.changes.flush()
                        self.watcher.told()
                        seen = {match for match, _ in self.seen()}
                    if self.driver.in_flight:
                        if fails and step:
                            self.driver.fail(error=REFUSED)
                        else:
                            self.driver.finish()
                self.run_to_end()
                for event, match in self.told():
                    (seen.discard if event is DELETED else seen.add)(match)
                self.assertEqual(seen, set(self.matches()))

    def test_ghosts(self) -> None:
        """What the hardware may have of an addition that was given up is not seen, and its deletion
        is not told."""
        self.start(ADD, PORT1)
        self.driver.lose(done=True)
        self.clock.pump([5.0] * 20)
        self.assertEqual([op.kind for op in self.driver.in_flight], [OperationKind.DELETE])
        self.assertEqual(self.seen(), [])
        self.driver.finish_all()
        self.assertEqual(self.told(), [])
        self.assert_settled()

    def test_filters(self) -> None:
        """A monitor sees the rules of its table, its match and its port."""
        self.add(PORT1)
        self.add(PORT2, instructions=output(1))
        self.add(IP1, table_id=1)
        self.assertEqual([match for match, _ in self.seen(table_id=1)], [IP1])
        self.assertEqual([match for match, _ in self.seen(out_port=1)], [PORT2])
        monitor = FlowMonitor(1, ALL, match=PORT1)
        self.assertEqual([rule.match for rule in self.changes.snapshot(monitor)], [PORT1, IP1])

    def test_hidden(self) -> None:
        """Rules that controllers do not see, monitors do not either."""
        self.add(PORT1, self.internal, priority=0x10001)
        self.start(DELETE, PORT1, self.internal, priority=0x10001)
        self.assertEqual(self.seen(), [])

    def test_check(self) -> None:
        """A table must exist; in 1.3, a port must be one that could be."""

        def check(version: int = of.OFP13, **fields: Any) -> None:
            self.changes.check(FlowMonitor(1, ALL, **fields), version)

        check(table_id=1)
        check(table_id=of.ALL_TABLES)
        self.refused(errors.REQUEST_BAD_TABLE_ID, check, table_id=2)
        for port in (0, 5, 0xFFFFFEFF, of.Port.LOCAL, of.Port.CONTROLLER, of.ANY):
            check(out_port=port)
        for port in (of.Port.MAX, 0xFFFFFFF7):
            self.refused(errors.BAD_OUT_PORT, check, out_port=port)
            check(of.OFP10, out_port=port)


class InterestTests(WatchedCase):
    """What a monitor watches for."""

    def change(self, event: FlowUpdateEvent) -> Change:
        """A change of a rule of table 1, which output to port 2 and then to port 1."""
        rule = self.rule(IP1, table_id=1) or self.add(IP1, table_id=1)
        new = rule.evolve(output(1), 5, rule.counters, 0.0)
        group = self.start(ADD, PORT3)
        self.driver.finish_all()
        if event is MODIFIED:
            return Change(event, new, rule, 0, group)
        return Change(event, rule, None, 0, group)

    def test_flags(self) -> None:
        """Each kind of event has its flag."""
        flags = {
            ADDED: FlowMonitorFlags.ADD,
            DELETED: FlowMonitorFlags.DELETE,
            MODIFIED: FlowMonitorFlags.MODIFY,
        }
        for event, flag in flags.items():
            change = self.change(event)
            self.assertTrue(change.interests(FlowMonitor(1, int(flag))))
            self.assertFalse(change.interests(FlowMonitor(1, 0x3F & ~flag)))

    def test_filters(self) -> None:
        """Table, match and port must be right; a port that was output to, is right once more."""
        change = self.change(MODIFIED)
        for port, table, wanted in ((1, 1, True), (2, 0xFF, True), (1, 0, False), (3, 1, False)):
            self.assertEqual(change.interests(FlowMonitor(1, ALL, port, table)), wanted)
        self.assertFalse(self.change(DELETED).interests(FlowMonitor(1, ALL, out_port=1)))
        for match, wanted in ((MATCH_ALL, True), (PORT1, True), (PORT2, False)):
            self.assertEqual(change.interests(FlowMonitor(1, ALL, match=match)), wanted)

    def test_update(self) -> None:
        """An update says all of the rule, its instructions only to who asks for them."""
        rule = self.add(PORT1, cookie=7, idle_timeout=3, hard_timeout=4)
        update = update_of(rule, 0)
        self.assertEqual(
            (update.table_id, update.match, update.priority, update.cookie), (0, PORT1, 100, 7)
        )
        self.assertEqual((update.idle_timeout, update.hard_timeout), (3, 4))
        self.assertEqual((update.event, update.reason, update.instructions), (ADDED, 0, ()))
        told = update_of(rule, FlowMonitorFlags.ACTIONS, DELETED, 2)
        self.assertEqual((told.event, told.reason, told.instructions), (DELETED, 2, output(2)))
