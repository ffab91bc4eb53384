"""Tests of :mod:`agent.ofproto.bundles`: all of a bundle, or nothing."""

from __future__ import annotations

from agent.ofproto.bundles import BundleCommit
from agent.ofproto.operations import OperationGroup
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import GotoTable, GroupAction
from tests.ofproto.bundling import BundleTestCase
from tests.ofproto.numbered import (
    DROP,
    G_ADD,
    G_DELETE,
    G_MODIFY,
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
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    PORT4,
    REFUSED,
    SEND_FLOW_REM,
    Requester,
    flow_mod,
    output,
)


class RefusalTests(BundleTestCase):
    """Bundles that are refused, for a message that is wrong in its place."""

    def test_order_counts(self) -> None:
        """Each message means what it means after those before it."""
        self.failing(
            1, errors.OVERLAP, flow_mod(ADD, PORT3), flow_mod(ADD, ARP, flags=CHECK_OVERLAP)
        )
        self.carry_out(
            flow_mod(ADD, ARP, flags=CHECK_OVERLAP, priority=9), flow_mod(ADD, PORT3, priority=9)
        )

    def test_table_full(self) -> None:
        """Room is what there would be at that moment."""
        self.resize(0, 2)
        self.failing(0, errors.TABLE_FULL, flow_mod(ADD, PORT3), flow_mod(DELETE, PORT1))
        self.carry_out(flow_mod(DELETE, PORT1), flow_mod(ADD, PORT3))

    def test_group(self) -> None:
        """So are groups and meters."""
        self.failing(
            1,
            errors.BAD_OUT_GROUP,
            flow_mod(DELETE, PORT1),
            flow_mod(ADD, PORT3, instructions=to_group(1)),
            group_mod(G_ADD, 1, bucket()),
        )
        self.failing(
            2,
            errors.GROUP_EXISTS,
            group_mod(G_ADD, 1, bucket()),
            flow_mod(ADD, PORT3, instructions=to_group(1)),
            group_mod(G_ADD, 1, bucket()),
        )
        self.failing(
            1, errors.UNKNOWN_METER, meter_mod(G_ADD, 1, DROP), meter_mod(G_MODIFY, 2, DROP)
        )

    def test_check(self) -> None:
        """What is wrong with a message in any place is known before the commit."""
        check = self.switch.check
        for code, message in (
            (errors.BUNDLE_MSG_UNSUP, of.PortMod(1, 0, 0, 0)),
            (errors.BUNDLE_MSG_UNSUP, of.PacketOut(of.NO_BUFFER, 1, ())),
            (errors.BUNDLE_MSG_UNSUP, of.BarrierRequest()),
            (errors.BUNDLE_MSG_UNSUP, BundleCommit(())),
            (errors.FLOW_MOD_BAD_TABLE_ID, flow_mod(ADD, table_id=9)),
            (errors.FLOW_MOD_BAD_TABLE_ID, flow_mod(MODIFY, table_id=255)),
            (errors.FLOW_MOD_BAD_TABLE_ID, flow_mod(DELETE, table_id=9)),
            (errors.FLOW_MOD_BAD_COMMAND, of.FlowMod(9, PORT1)),
            (errors.FLOW_MOD_BAD_FLAGS, flow_mod(ADD, flags=0x20)),
            (errors.BAD_OUT_PORT, flow_mod(ADD, instructions=output(0xFFFFFFF0))),
            (errors.INST_BAD_TABLE_ID, flow_mod(ADD, instructions=(GotoTable(5),))),
            (errors.BAD_OUT_GROUP, flow_mod(ADD, instructions=to_group(0xFFFFFFFC))),
            (errors.UNKNOWN_METER, flow_mod(ADD, instructions=metered(0))),
            (errors.GROUP_BAD_COMMAND, group_mod(9, 1)),
            (errors.GROUP_BAD_TYPE, group_mod(G_ADD, 1, kind=9)),
            (errors.METER_BAD_COMMAND, meter_mod(9, 1)),
            (errors.INVALID_METER, meter_mod(G_ADD, 0)),
        ):
            self.refused(code, check, message, self.requester)
        for message in (
            flow_mod(ADD, instructions=to_group(7)),
            flow_mod(MODIFY, instructions=metered(7)),
            flow_mod(DELETE, table_id=255),
            group_mod(G_ADD, 2, bucket(GroupAction(9))),
            group_mod(G_DELETE, 0xFFFFFFFC),
            meter_mod(G_ADD, 1, DROP),
            meter_mod(G_DELETE, 0xFFFFFFFF),
        ):
            check(message, self.requester)
        self.assert_settled()


class FailureTests(BundleTestCase):
    """Bundles that the hardware does not carry out."""

    def setUp(self) -> None:
        """A group and a rule that uses it."""
        super().setUp()
        self.do(group_mod(G_ADD, 1, bucket()))
        self.add(PORT3, instructions=to_group(1), flags=SEND_FLOW_REM)
        self.messages = (
            group_mod(G_ADD, 2, bucket()),
            meter_mod(G_ADD, 1, DROP),
            flow_mod(ADD, PORT4, instructions=to_group(2)),
            flow_mod(MODIFY, PORT1, instructions=output(9)),
            flow_mod(DELETE, PORT2),
            group_mod(G_DELETE, 1),
            flow_mod(ADD, ARP, priority=4),
        )
        self.requester.ended.clear()

    def test_each(self) -> None:
        """Whichever operation fails, all is as it was, in the tables and in the hardware, before
        the error is known; which message was to blame is."""
        self.switch.ledger.delete_attempts = 1
        blamed = []
        for failing in range(8):
            before = self.state()
            group = self.commit(*self.messages)
            for _ in range(failing):
                self.driver.finish()
                self.turn()
            self.assertEqual(group.error, None)
            self.driver.fail(0, REFUSED)
            while not group.ended:
                self.turn()
                self.driver.finish_all()
            self.assertIs(group.error, REFUSED)
            blamed.append(group.culprit)
            for rule in self.switch.rules():
                self.assertEqual(rule.degraded, "")
            self.assertEqual(self.state(), before)
            self.assert_settled()
        self.assertEqual(self.observer.removed, [])
        self.assertEqual(blamed, [0, 1, 2, 3, 6, 4, 5, 5])
        self.assertEqual(len(self.requester.ended), 8)
        self.carry_out(*self.messages)

    def test_not_seen_before_it_is_true(self) -> None:
        """While something is being taken back the group has not ended, and nobody can build on
        what it is about."""
        group = self.commit(*self.messages)
        while len(self.driver.in_flight) != 2 or self.kinds()[0].value != "delete":
            self.driver.finish()
            self.turn()
        self.switch.ledger.delete_attempts = 1
        self.driver.finish()
        self.driver.fail(0, REFUSED)
        self.turn()
        self.assertEqual(self.matches(), [PORT1, PORT2, PORT3])
        self.assertFalse(group.ended)
        other = Requester(name="br0<->other")
        for match in (PORT1, PORT2, PORT4):
            self.assertIs(self.postponed(self.send, ADD, match, other), group)
        for request in (group_mod(G_ADD, 2, bucket()), meter_mod(G_ADD, 1, DROP)):
            self.assertIs(self.postponed(self.handle, request, other), group)
        self.resize(0, 4)
        self.assertIs(self.postponed(self.send, ADD, ARP, other), group)
        self.resize(0, 8)
        self.run_to_end(0)
        self.assertIs(group.error, REFUSED)
        self.assert_settled()

    def test_deletion_is_tried_again(self) -> None:
        """A deletion that fails is tried again; the bundle waits for it."""
        group = self.commit(flow_mod(DELETE, PORT1), flow_mod(ADD, PORT4))
        self.finish()
        self.driver.fail()
        self.clock.advance(0.5)
        self.assertEqual([kind.value for kind in self.kinds()], ["delete"])
        self.assertFalse(group.ended)
        self.finish()
        self.assertIsNone(group.error)
        self.assert_settled()

    def test_lost(self) -> None:
        """What the driver never answers fails the bundle, and is undone with the rest of it."""
        group = self.commit(flow_mod(ADD, PORT4), flow_mod(MODIFY, PORT1, instructions=output(9)))
        self.driver.lose(0)
        self.driver.finish()
        self.let_watchdog_bark()
        self.assertFalse(group.ended)
        self.run_to_end(0)
        self.assertTrue(group.ended)
        self.assertEqual(group.culprit, 0)
        self.assertEqual(self.matches(), [PORT1, PORT2, PORT3])
        self.assertEqual(len(self.switch.tables[0].ghosts), 0)
        self.assert_settled()
        rule = self.rule(PORT1)
        assert rule is not None
        self.assertEqual((rule.instructions, rule.degraded), (output(2), ""))

    def test_bridge_goes(self) -> None:
        """A bridge can go in the middle of a bundle."""
        group = self.commit(*self.messages)
        self.driver.finish()
        self.successResultOf(self.switch.stop())
        self.assertTrue(group.ended)
        self.assertIsNone(group.culprit)


class PostponementTests(BundleTestCase):
    """Bundles that have to wait."""

    def test_rule_in_flight(self) -> None:
        """A commit waits for a rule of another one, has had no effect, and then runs from the
        start."""
        other = Requester(name="br0<->other")
        group = self.start(MODIFY, PORT2, other, instructions=output(9))
        commit = BundleCommit([flow_mod(ADD, PORT3), flow_mod(DELETE), flow_mod(ADD, PORT4)])
        self.assertIs(self.postponed(self.handle, commit), group)
        self.driver.finish()
        self.assertIsInstance(self.handle(commit), OperationGroup)
        self.run_to_end(0)
        self.assertEqual(self.matches(), [PORT4])
        self.assert_settled()

    def test_a_place_in_flight(self) -> None:
        """A bundle takes one place among those in flight, however large it is, and waits for it
        with no effect."""
        self.switch.admission.resize(1)
        self.start(ADD, PORT3, Requester(name="br0<->other"))
        commit = BundleCommit([flow_mod(ADD, PORT4), flow_mod(DELETE, PORT1)])
        condition = self.postponed(self.handle, commit)
        self.assertIn("a place among the 1", condition.describe())
        self.driver.finish()
        self.assertIsNotNone(self.handle(commit))
        self.assertEqual(self.switch.admission.in_flight, 1)
        self.run_to_end(0)
        self.assert_settled()

    def test_others_wait_for_it(self) -> None:
        """Who needs something of a bundle in flight waits for all of it; who does not, does not."""
        group = self.commit(flow_mod(ADD, PORT3), flow_mod(DELETE, PORT1))
        for match in (PORT3, PORT1):
            self.assertIs(self.postponed(self.send, ADD, match), group)
        self.assertIsNotNone(self.send(ADD, PORT4))
        self.run_to_end(0)
        self.assert_settled()

    def test_flush(self) -> None:
        """While all rules are being deleted, a bundle waits."""
        condition = self.switch.flush()
        self.assertIs(self.postponed(self.handle, BundleCommit([flow_mod(ADD, PORT4)])), condition)
        self.run_to_end()
