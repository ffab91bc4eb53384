"""Tests of :mod:`agent.ofproto.statistics`."""

from __future__ import annotations

from typing import Any

from agent.ofproto.statistics import duration
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.ofproto.stage import (
    ADD,
    DELETE,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    Requester,
    SwitchTestCase,
    output,
)


class StatisticsTests(SwitchTestCase):
    """A controller sees what it has asked for, at once, and with the hardware's counters."""

    def flows(self, requester: Requester | None = None, **fields: Any) -> list[of.FlowStats]:
        """The flow statistics of rules."""
        deferred = self.handle(of.FlowStatsRequest(xid=3, **fields), requester)
        reply = self.successResultOf(deferred)
        self.assertIsInstance(reply, of.FlowStatsReply)
        self.assertEqual(reply.xid, 3)
        return list(reply.flows)

    def matches_of(self, **fields: Any) -> list[Match]:
        """The matches that a request selects."""
        return [flow.match for flow in self.flows(**fields)]

    def test_duration(self) -> None:
        """Time is whole seconds, and nanoseconds beyond them; it never runs backwards."""
        self.assertEqual(duration(1.0, 3.25), (2, 250_000_000))
        self.assertEqual(duration(3.0, 1.0), (0, 0))
        self.assertEqual(duration(0.0, 0.9999999999), (0, 999_999_999))

    def test_flow(self) -> None:
        """An entry says all there is to say of a rule."""
        self.clock.advance(1)
        rule = self.add(
            PORT1,
            priority=5,
            table_id=1,
            cookie=9,
            idle_timeout=10,
            hard_timeout=20,
            flags=1,
            instructions=output(3),
        )
        rule.counters.packets, rule.counters.bytes = 3, 300
        self.clock.advance(2.5)
        self.assertEqual(
            self.flows(),
            [of.FlowStats(1, 2, 500_000_000, 5, 10, 20, 1, 9, 3, 300, PORT1, output(3))],
        )

    def test_selection(self) -> None:
        """Table, match, cookie, port and group narrow it down; nothing selects nothing."""
        self.add(PORT1, cookie=0x11, instructions=output(3))
        self.add(IP1, cookie=0x21, instructions=output(4))
        self.add(PORT2, table_id=1)
        self.assertCountEqual(self.matches_of(), [PORT1, IP1, PORT2])
        self.assertCountEqual(self.matches_of(table_id=0), [PORT1, IP1])
        self.assertEqual(self.matches_of(match=IP1), [IP1])
        self.assertEqual(self.matches_of(cookie=0x10, cookie_mask=0xF0), [PORT1])
        self.assertEqual(self.matches_of(out_port=4), [IP1])
        self.assertEqual(self.matches_of(out_group=4), [])

    def test_no_table(self) -> None:
        """A table that there is not is an error in 1.3, and empty in 1.0, which has no error."""
        self.add(PORT1)
        for request in (of.FlowStatsRequest(table_id=2), of.AggregateRequest(table_id=2)):
            self.refused(errors.REQUEST_BAD_TABLE_ID, self.handle, request)
        self.assertEqual(self.flows(self.old, table_id=0xFE), [])

    def test_aggregate(self) -> None:
        """An aggregate is the sum of them."""
        for number, match in enumerate((PORT1, PORT2), 1):
            counters = self.add(match, cookie=number).counters
            counters.packets, counters.bytes = number, number * 100
        cases: tuple[tuple[dict[str, Any], tuple[int, int, int]], ...] = (
            ({}, (3, 300, 2)),
            ({"cookie": 2, "cookie_mask": 2}, (2, 200, 1)),
            ({"table_id": 1}, (0, 0, 0)),
        )
        for fields, expected in cases:
            reply = self.successResultOf(self.handle(of.AggregateRequest(xid=4, **fields)))
            self.assertEqual(reply, of.AggregateReply(*expected, xid=4))

    def test_pending(self) -> None:
        """Rules in flight are seen as they shall be, and nobody waits for the hardware."""
        self.add(PORT1)
        self.add(PORT2)
        self.start(ADD, IP1)
        self.assertIn(IP1, self.matches_of())
        self.driver.finish()
        self.start(DELETE, PORT2)
        self.assertNotIn(PORT2, self.matches_of())
        self.start(MODIFY, PORT1, instructions=output(9))
        self.assertEqual([flow.instructions for flow in self.flows()], [output(9)] * 2)
        self.driver.finish_all()

    def test_hidden(self) -> None:
        """Hidden rules are not shown."""
        self.add(PORT1, requester=self.internal, priority=0x10001)
        self.assertEqual(self.flows(), [])
        reply = self.successResultOf(self.handle(of.AggregateRequest()))
        self.assertEqual(reply.flow_count, 0)

    def test_refreshed(self) -> None:
        """The driver is asked for counters first, of just the rules that are meant."""
        self.driver.hold_reads = True
        rule = self.add(PORT1)
        self.add(PORT2)
        deferred = self.handle(of.FlowStatsRequest(match=PORT1))
        self.assertNoResult(deferred)
        self.assertEqual(self.driver.refreshed, [[rule]])
        rule.counters.packets = 77
        self.driver.finish_reads()
        (flow,) = self.successResultOf(deferred).flows
        self.assertEqual(flow.packet_count, 77)

    def test_gone_meanwhile(self) -> None:
        """The answer is about the rules there were when it was asked for."""
        self.driver.hold_reads = True
        self.add(PORT1)
        deferred = self.handle(of.FlowStatsRequest())
        self.start(DELETE)
        self.driver.finish()
        self.driver.finish_reads()
        self.assertEqual([flow.match for flow in self.successResultOf(deferred).flows], [PORT1])
