"""Tests of :mod:`agent.ofproto.net_change`: what bundles come to, and in which order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.ofproto.bundles import BundleCommit, MessageFailed
from agent.openflow import errors
from agent.openflow.actions import GotoTable, GroupAction, Output
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import RemovedReason
from tests.ofproto.bundling import BundleTestCase
from tests.ofproto.numbered import (
    DROP,
    G_ADD,
    G_DELETE,
    G_MODIFY,
    NumberedTestCase,
    bucket,
    group_mod,
    meter_mod,
    metered,
    to_group,
)
from tests.ofproto.stage import (
    ADD,
    ARP,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    IP1,
    MODIFY,
    MODIFY_STRICT,
    PORT1,
    PORT2,
    PORT3,
    PORT4,
    REFUSED,
    RESET_COUNTS,
    SEND_FLOW_REM,
    essence,
    flow_mod,
    output,
)


class CommitTests(BundleTestCase):
    """Bundles that succeed."""

    def test_together(self) -> None:
        """All changes are one group, which ends when the last operation has."""
        group = self.commit(
            flow_mod(ADD, PORT3), flow_mod(MODIFY, PORT1, instructions=output(9)),
            flow_mod(DELETE, PORT2), flow_mod(ADD, PORT4),
        )  # fmt: skip
        self.assertEqual(self.matches(), [PORT1, PORT3, PORT4])
        self.assertEqual(list(self.switch.ledger.groups), [group])
        self.driver.finish_all()
        self.turn()
        self.assertFalse(group.ended)
        self.driver.finish_all()
        self.assertEqual(self.requester.ended[-1:], [group])
        self.assertEqual(len(self.requester.ended), 3)
        self.assert_settled()

    def test_nothing(self) -> None:
        """An empty bundle, and one that comes to nothing, is over at once."""
        for messages in (
            [],
            [flow_mod(DELETE, PORT4)],
            [flow_mod(ADD, PORT4), flow_mod(DELETE, PORT4)],
            [group_mod(G_ADD, 1, bucket()), group_mod(G_DELETE, 1)],
        ):
            before = self.state()
            self.assertIsNone(self.handle(BundleCommit(messages)))
            self.assertEqual(self.state(), before)
        self.turn()
        self.assertEqual(self.driver.in_flight, [])

    def test_local(self) -> None:
        """What changes nothing in the hardware is not told to it, and is done all the same."""
        self.clock.advance(3)
        self.assertIsNone(self.handle(BundleCommit([flow_mod(MODIFY, PORT1)])))
        rule = self.rule(PORT1)
        assert rule is not None
        self.assertEqual(rule.modified, 3.0)
        self.carry_out(flow_mod(MODIFY, PORT2), flow_mod(ADD, PORT3))
        self.assertEqual(len(self.driver.batches[-1]), 1)
        rule = self.rule(PORT2)
        assert rule is not None
        self.assertEqual(rule.modified, 3.0)

    def test_one_entry_often(self) -> None:
        """An entry that is changed again and again is changed once."""
        before = self.rule(PORT1)
        assert before is not None
        self.carry_out(
            flow_mod(MODIFY, PORT1, instructions=output(7)),
            flow_mod(MODIFY_STRICT, PORT1, instructions=output(8)),
            flow_mod(ADD, PORT3, cookie=3),
            flow_mod(ADD, PORT3, cookie=4),
            flow_mod(MODIFY, PORT3, instructions=output(9)),
        )
        self.assertEqual([op.kind.value for op in self.driver.batches[-1]], ["modify", "add"])
        first, _, third = self.rules()
        self.assertEqual(first.instructions, output(8))
        self.assertIs(first.counters, before.counters)
        self.assertEqual((third.instructions, third.cookie), (output(9), 4))

    def test_replaced(self) -> None:
        """A rule that is deleted and added again is replaced, without a gap; whoever wanted to hear
        of its end hears of it, when all is done, and the new one counts from zero."""
        self.add(PORT1, cookie=6, flags=SEND_FLOW_REM | RESET_COUNTS, hard_timeout=5)
        old = self.rule(PORT1)
        assert old is not None
        old.counters.packets = 4
        group = self.commit(flow_mod(DELETE, PORT1), flow_mod(ADD, PORT1, cookie=7))
        self.assertEqual(self.kinds()[0].value, "replace")
        self.assertEqual(self.observer.removed, [])
        self.driver.finish_all()
        self.assertIsNone(group.error)
        (told,) = self.observer.removed
        self.assertEqual(
            (told.cookie, told.reason, told.packet_count), (6, RemovedReason.DELETE, 4)
        )
        new = self.rule(PORT1)
        assert new is not None
        self.assertEqual((new.handle, new.cookie, new.counters.packets), (old.handle, 7, 0))
        self.clock.advance(6)
        self.assertIs(self.rule(PORT1), new, "the old rule's timeout counts for the new one")
        self.assert_settled()

    def test_flow_removed(self) -> None:
        """Controllers are told of what was there and has gone, and of nothing else."""
        self.add(PORT3, flags=SEND_FLOW_REM, cookie=6)
        self.carry_out(
            flow_mod(ADD, PORT4, flags=SEND_FLOW_REM), flow_mod(DELETE, PORT4),
            flow_mod(DELETE, PORT3), flow_mod(DELETE, PORT2),
        )  # fmt: skip
        self.assertEqual([told.cookie for told in self.observer.removed], [6])

    def test_safe_order(self) -> None:
        """What is added or changed comes from the last table and the highest priority on, before
        what goes, from the first table and the lowest priority on."""
        self.add(IP1, table_id=1, priority=5)
        self.add(IP1, table_id=1, priority=7)
        self.commit(
            flow_mod(DELETE, table_id=1),
            flow_mod(DELETE, PORT2),
            flow_mod(ADD, PORT3, priority=1),
            flow_mod(ADD, PORT3, priority=300, instructions=(GotoTable(1),)),
            flow_mod(MODIFY, PORT1, instructions=output(9)),
            flow_mod(ADD, PORT3, table_id=1),
        )
        order = [(op.rule.table_id, op.rule.priority) for op in self.driver.in_flight]
        self.assertEqual(order, [(1, 100), (0, 300), (0, 100), (0, 1)])
        self.driver.finish_all()
        self.turn()
        order = [(op.rule.table_id, op.rule.priority) for op in self.driver.in_flight]
        self.assertEqual(order, [(0, 100), (1, 5), (1, 7)])
        self.driver.finish_all()
        self.assert_settled()

    def test_full(self) -> None:
        """Where there is no room for old and new rules, the old ones go first; in a table that has
        room they go last."""
        self.resize(0, 2)
        self.add(PORT1, table_id=1)
        self.commit(
            flow_mod(DELETE), flow_mod(ADD, PORT3), flow_mod(ADD, PORT4),
            flow_mod(DELETE, table_id=1), flow_mod(ADD, PORT4, table_id=1),
        )  # fmt: skip
        for wanted in (
            [("delete", 0), ("delete", 0)],
            [("add", 1), ("add", 0), ("add", 0)],
            [("delete", 1)],
        ):
            found = [(op.kind.value, op.rule.table_id) for op in self.driver.in_flight]
            self.assertEqual(found, wanted)
            self.driver.finish_all()
            self.turn()
        self.assert_settled()

    def test_evicting(self) -> None:
        """Rules that have to make room do so in a bundle as well."""
        self.resize(0, 2)
        self.switch.tables[0].evicts = True
        self.add(PORT2, idle_timeout=9, flags=SEND_FLOW_REM)
        self.carry_out(flow_mod(ADD, PORT3), flow_mod(MODIFY, PORT3, instructions=output(8)))
        self.assertEqual(self.matches(), [PORT1, PORT3])
        (told,) = self.observer.removed
        self.assertEqual(told.reason, RemovedReason.EVICTION)

    def test_groups_and_rules(self) -> None:
        """What a bundle makes can be used in it, and comes before its users; what it deletes goes
        after them."""
        self.do(group_mod(G_ADD, 1, bucket()))
        self.add(PORT3, instructions=to_group(1))
        self.commit(
            meter_mod(G_ADD, 4, DROP),
            group_mod(G_ADD, 3, bucket()),
            group_mod(G_ADD, 2, bucket(GroupAction(3))),
            flow_mod(MODIFY, PORT3, instructions=to_group(2)),
            flow_mod(ADD, PORT4, instructions=metered(4)),
            group_mod(G_DELETE, 1),
        )
        for wanted in (
            [("add", "group", 3), ("add", "meter", 4)],
            [("add", "group", 2)],
            [("modify", "rule", -1), ("add", "rule", -1)],
            [("delete", "group", 1)],
        ):
            self.assertEqual(self.flight(), wanted)
            self.driver.finish_all()
            self.turn()
        self.assert_settled()

    def test_deleted_with_its_group(self) -> None:
        """The rules of a group that is deleted go with it; a group made again is changed."""
        self.do(group_mod(G_ADD, 1, bucket()))
        old = self.switch.group_mods.table.entries[1]
        self.add(PORT3, instructions=to_group(1), flags=SEND_FLOW_REM)
        self.add(PORT4, instructions=to_group(1))
        self.carry_out(
            group_mod(G_DELETE, 1),
            group_mod(G_ADD, 1, bucket(Output(7))),
            flow_mod(ADD, PORT3, instructions=to_group(1)),
        )
        self.assertEqual(self.matches(), [PORT1, PORT2, PORT3])
        (told,) = self.observer.removed
        self.assertEqual(told.reason, RemovedReason.GROUP_DELETE)
        new = self.switch.group_mods.table.entries[1]
        self.assertEqual((new.handle, new.buckets), (old.handle, (bucket(Output(7)),)))
        self.assertIsNot(new.counters, old.counters)

    def test_chain_turned_round(self) -> None:
        """Two groups can change who forwards to whom: at no time do they form a loop."""
        self.do(group_mod(G_ADD, 2, bucket()))
        self.do(group_mod(G_ADD, 1, bucket(GroupAction(2))))
        self.commit(
            group_mod(G_MODIFY, 1, bucket()), group_mod(G_MODIFY, 2, bucket(GroupAction(1)))
        )
        self.assertEqual(self.flight(), [("modify", "group", 1)])
        self.finish()
        self.assertEqual(self.flight(), [("modify", "group", 2)])
        self.finish()
        self.assert_settled()

    def test_groups_run_out(self) -> None:
        """Where there is no room for old and new groups, all that goes does so first."""
        for number in (1, 2, 3, 4):
            self.do(group_mod(G_ADD, number, bucket()))
        self.add(PORT3, instructions=to_group(1))
        group = self.commit(
            group_mod(G_DELETE, 1),
            group_mod(G_ADD, 5, bucket()),
            flow_mod(ADD, PORT4, instructions=to_group(5)),
        )
        seen = []
        while not group.ended:
            seen += self.flight()
            self.driver.finish_all()
            self.turn()
        self.assertEqual(
            seen,
            [
                ("delete", "rule", -1),
                ("delete", "group", 1),
                ("add", "group", 5),
                ("add", "rule", -1),
            ],
        )
        self.assert_settled()

    def test_conflict(self) -> None:
        """A rule that would have to wait between the old group and the new one is a conflict."""
        for number in (1, 2, 3, 4):
            self.do(group_mod(G_ADD, number, bucket()))
        self.add(PORT3, instructions=to_group(1))
        before = self.state()
        self.refused(
            errors.BUNDLE_MSG_CONFLICT,
            self.handle,
            BundleCommit(
                [
                    group_mod(G_DELETE, 1),
                    group_mod(G_ADD, 5, bucket()),
                    flow_mod(ADD, PORT3, instructions=to_group(5)),
                ]
            ),
        )
        self.assertEqual(self.state(), before)
        self.assert_settled()


MATCHES = (PORT1, PORT2, IP1, ARP)
FLOW_MODS = st.builds(
    lambda command, match, table, priority, port, flags, timeout: flow_mod(
        command,
        match,
        table_id=table,
        priority=priority,
        instructions=output(port),
        flags=flags,
        idle_timeout=timeout,
        cookie=port,
    ),
    st.sampled_from([ADD, ADD, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT]),
    st.sampled_from(MATCHES),
    st.integers(0, 1),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from([0, 0, SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS]),
    st.sampled_from([0, 30]),
)
GROUP_MODS = st.builds(
    lambda command, number, port, chained: group_mod(
        command, number, bucket(GroupAction(chained) if chained else Output(port))
    ),
    st.sampled_from([G_ADD, G_ADD, G_MODIFY, G_DELETE]),
    st.integers(1, 5),
    st.integers(1, 2),
    st.sampled_from([0, 0, 1, 2, 3]),
)
USERS = st.builds(
    lambda match, number: flow_mod(ADD, match, instructions=to_group(number)),
    st.sampled_from(MATCHES),
    st.integers(1, 5),
)
SEQUENCES = st.lists(FLOW_MODS | GROUP_MODS | USERS, min_size=1, max_size=12)


class OracleTests(BundleTestCase):
    """What a bundle does is what its messages do one after the other."""

    max_entries = (4, 3)

    def fresh(self) -> None:
        """A switch anew, for another example."""
        self.assertEqual(self.driver.violations, [])
        NumberedTestCase.setUp(self)
        self.switch.tables[1].evicts = True

    def outcome(self) -> tuple[object, ...]:
        """What there is in the end."""
        return (
            sorted(map(repr, (essence(rule) for rule in self.switch.rules()))),
            {n: group.buckets for n, group in self.switch.group_mods.table.entries.items()},
        )

    def one_by_one(self, messages: list[Any]) -> tuple[int, errors.ErrorCode] | None:
        """Carry messages out up to the first that is refused, and say which that was and why."""
        for number, message in enumerate(messages):
            try:
                self.handle(message)
            except OpenFlowError as error:
                return number, error.code
            self.run_to_end(0)
        return None

    @given(SEQUENCES, SEQUENCES)
    def test_sequences(self, first: list[Any], then: list[Any]) -> None:
        """It ends as they do, or is refused for the same message with the same error and leaves
        everything as it was."""
        self.fresh()
        self.one_by_one(first)
        failed = self.one_by_one(then)
        wanted = self.outcome()
        self.fresh()
        self.one_by_one(first)
        before = self.state()
        try:
            group = self.handle(BundleCommit(then))
        except MessageFailed as error:
            self.assertEqual((error.number, error.error.code), failed)
            self.assertEqual(self.state(), before)
        except OpenFlowError as error:
            self.assertIs(error.code, errors.BUNDLE_MSG_CONFLICT)
            self.assertEqual(self.state(), before)
        else:
            self.assertIsNone(failed)
            self.run_to_end(0)
            self.assertTrue(group is None or group.error is None)
            self.assertEqual(self.outcome(), wanted)
        self.assert_settled()

    @given(SEQUENCES, SEQUENCES, st.integers(0, 12))
    def test_failures(self, first: list[Any], then: list[Any], failing: int) -> None:
        """Whatever fails in the hardware, everything is as it was."""
        self.fresh()
        self.one_by_one(first)
        self.switch.ledger.delete_attempts = 1
        before = self.state()
        try:
            group = self.handle(BundleCommit(then))
        except OpenFlowError:
            return
        self.turn()
        while group is not None and not group.ended and failing:
            self.driver.finish()
            self.turn()
            failing -= 1
        if group is None or group.ended:
            return
        self.driver.fail(-1, REFUSED)
        self.run_to_end(0)
        self.assertIs(group.error, REFUSED)
        self.assertIsInstance(group.culprit, int)
        self.assertEqual(self.state(), before)
        self.assert_settled()


PRIORITIES = {PORT1: 1, ARP: 2, IP1: 3, PORT2: 4, MATCH_ALL: 5}
"""One for each match, so that it is always clear which rule a packet meets."""
PACKETS = tuple(
    Match.of(in_port=port, eth_type=kind).value for port in (1, 2, 3) for kind in (0x800, 0x806)
)
RANKED = st.lists(
    st.builds(
        lambda command, match, port: flow_mod(
            command, match, priority=PRIORITIES[match], instructions=output(port)
        ),
        st.sampled_from([ADD, ADD, MODIFY_STRICT, DELETE_STRICT, DELETE]),
        st.sampled_from(list(PRIORITIES)),
        st.integers(1, 3),
    ),
    max_size=8,
)


class TransientTests(BundleTestCase):
    """What packets meet while hardware is being changed."""

    max_entries = (16, 3)

    def met(self) -> list[object]:
        """What the hardware does now with each packet."""
        rules = sorted(self.driver.hardware.values(), key=lambda rule: -rule.priority)
        return [
            next((rule.instructions for rule in rules if rule.match.matches(packet)), None)
            for packet in PACKETS
        ]

    @given(RANKED, RANKED)
    def test_old_or_new(self, first: list[Any], then: list[Any]) -> None:
        """Each packet meets what it met before, until it meets what it will meet."""
        self.assertEqual(self.driver.violations, [])
        NumberedTestCase.setUp(self)
        for message in first:
            self.handle(message)
            self.run_to_end(0)
        before = self.met()
        steps = [before]
        self.handle(BundleCommit(then))
        self.turn()
        while self.driver.in_flight:
            self.driver.finish()
            self.turn()
            steps.append(self.met())
        for step in steps:
            for old, now, new in zip(before, step, steps[-1], strict=True):
                self.assertIn(now, (old, new))
        self.assert_settled()
