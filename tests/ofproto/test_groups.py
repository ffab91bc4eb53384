"""Tests of :mod:`agent.ofproto.groups`."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import GroupAction, Output, SetField, WriteActions
from agent.openflow.fields import TCP_SRC
from agent.openflow.group_messages import GROUP_ALL, GROUP_MAX, GroupMod, GroupType
from agent.openflow.messages import ANY, RemovedReason
from tests.ofproto.numbered import (
    G_ADD,
    G_DELETE,
    G_MODIFY,
    NumberedTestCase,
    bucket,
    group_mod,
    to_group,
)
from tests.ofproto.stage import (
    ADD,
    DELETE,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    REFUSED,
    SEND_FLOW_REM,
    SwitchTestCase,
    output,
)

ALL, SELECT, INDIRECT, FF = GroupType


class CheckTests(NumberedTestCase):
    """What is refused, with which error, and without an effect."""

    def tearDown(self) -> None:
        """Nothing was begun but what a test has ended itself."""
        self.assert_settled()
        super().tearDown()

    def test_command(self) -> None:
        """There are three commands."""
        self.refused(errors.GROUP_BAD_COMMAND, self.handle, GroupMod(3, ALL, 1))

    def test_type(self) -> None:
        """There are four types, of which a driver may offer fewer."""
        for command in (G_ADD, G_MODIFY):
            self.refused(errors.GROUP_BAD_TYPE, self.handle, group_mod(command, 1, kind=4))

    def test_number(self) -> None:
        """Reserved numbers are no groups."""
        for command in (G_ADD, G_MODIFY):
            for number in (GROUP_MAX + 1, GROUP_ALL, ANY):
                self.refused(errors.INVALID_GROUP, self.handle, group_mod(command, number))
        self.do(group_mod(G_ADD, GROUP_MAX))

    def test_exists(self) -> None:
        """What is there cannot be added, and what is not there cannot be modified."""
        self.do(group_mod(G_ADD, 1, bucket()))
        self.refused(errors.GROUP_EXISTS, self.handle, group_mod(G_ADD, 1, bucket()))
        self.refused(errors.UNKNOWN_GROUP, self.handle, group_mod(G_MODIFY, 2, bucket()))

    def test_indirect(self) -> None:
        """An indirect group has just one bucket."""
        for buckets in ((), (bucket(), bucket())):
            request = group_mod(G_ADD, 1, *buckets, kind=INDIRECT)
            self.refused(errors.INVALID_GROUP, self.handle, request)
        self.do(group_mod(G_ADD, 1, bucket(), kind=INDIRECT))

    def test_weight(self) -> None:
        """Only the buckets of a SELECT group have weights."""
        for kind in (ALL, INDIRECT, FF):
            request = group_mod(G_ADD, 1, bucket(weight=1, watch_port=1), kind=kind)
            self.refused(errors.INVALID_GROUP, self.handle, request)
        self.do(group_mod(G_ADD, 1, bucket(weight=7), bucket(weight=0), kind=SELECT))

    def test_watch(self) -> None:
        """Fast failover watches what is there; others watch nothing."""
        for kind in (ALL, INDIRECT, SELECT):
            request = group_mod(G_ADD, 1, bucket(watch_port=1), kind=kind)
            self.refused(errors.WATCH_UNSUPPORTED, self.handle, request)
        for code, watching in (
            (errors.INVALID_GROUP, bucket()),
            (errors.GROUP_BAD_WATCH, bucket(watch_port=77)),
            (errors.GROUP_BAD_WATCH, bucket(watch_group=77)),
        ):
            self.refused(code, self.handle, group_mod(G_ADD, 1, watching, kind=FF))
        self.do(group_mod(G_ADD, 2, bucket()))
        self.do(group_mod(G_ADD, 1, bucket(watch_port=1), bucket(watch_group=2), kind=FF))

    def test_actions(self) -> None:
        """Actions are checked like those of rules, but nobody knows what packets will come."""
        request = group_mod(G_ADD, 1, bucket(Output(of.Port.TABLE)))
        self.refused(errors.BAD_OUT_PORT, self.handle, request)
        self.do(group_mod(G_ADD, 1, bucket(SetField(TCP_SRC, 80), Output(2))))

    def test_unknown_group(self) -> None:
        """Buckets, rules and packet-outs only name groups that there are."""
        self.refused(errors.BAD_OUT_GROUP, self.handle, group_mod(G_ADD, 1, bucket(GroupAction(2))))
        self.refused(errors.BAD_OUT_GROUP, self.send, ADD, instructions=to_group(2))
        packet = of.PacketOut(of.NO_BUFFER, actions=(GroupAction(2),), data=b"x" * 60, in_port=ANY)
        self.refused(errors.BAD_OUT_GROUP, self.handle, packet)
        self.do(group_mod(G_ADD, 2, bucket()))
        self.do(group_mod(G_ADD, 1, bucket(GroupAction(2))))
        self.add(instructions=to_group(2))
        self.handle(packet)
        self.assertEqual(len(self.driver.packets), 1)

    def test_loop(self) -> None:
        """No group leads back to itself, neither directly nor through others, nor by watching."""
        self.refused(errors.GROUP_LOOP, self.handle, group_mod(G_ADD, 1, bucket(GroupAction(1))))
        self.do(group_mod(G_ADD, 1, bucket()))
        self.do(group_mod(G_ADD, 2, bucket(GroupAction(1))))
        self.do(group_mod(G_ADD, 3, bucket(), bucket(GroupAction(2))))
        for number in (1, 2, 3):
            request = group_mod(G_MODIFY, 1, bucket(), bucket(GroupAction(number)))
            self.refused(errors.GROUP_LOOP, self.handle, request)
        request = group_mod(G_MODIFY, 1, bucket(watch_group=3), kind=FF)
        self.refused(errors.GROUP_LOOP, self.handle, request)

    def test_diamond(self) -> None:
        """Two ways to one group are no loop."""
        self.do(group_mod(G_ADD, 1, bucket()))
        self.do(group_mod(G_ADD, 2, bucket(GroupAction(1))))
        self.do(group_mod(G_ADD, 3, bucket(GroupAction(1)), bucket(GroupAction(2))))

    def test_chained(self) -> None:
        """A group that another forwards to stays; all together can go."""
        self.do(group_mod(G_ADD, 1, bucket()))
        self.do(group_mod(G_ADD, 2, bucket(GroupAction(1))))
        self.refused(errors.CHAINED_GROUP, self.handle, group_mod(G_DELETE, 1))
        self.do(group_mod(G_DELETE, GROUP_ALL))
        self.assertEqual(self.groups, [])

    def test_room(self) -> None:
        """There is room for so many groups of each type, and so many buckets in each."""
        for number in range(4):
            self.do(group_mod(G_ADD, number, bucket()))
        self.refused(errors.OUT_OF_GROUPS, self.handle, group_mod(G_ADD, 4, bucket()))
        self.do(group_mod(G_ADD, 4, bucket(), kind=SELECT))
        self.refused(errors.OUT_OF_GROUPS, self.handle, group_mod(G_MODIFY, 4, bucket()))
        request = group_mod(G_ADD, 5, *[bucket()] * 4, kind=SELECT)
        self.refused(errors.OUT_OF_BUCKETS, self.handle, request)

    def test_delete_nothing(self) -> None:
        """To delete what is not there does nothing."""
        for number in (1, GROUP_ALL, ANY):
            self.assertIsNone(self.handle(group_mod(G_DELETE, number)))


class LittleTests(NumberedTestCase):
    """A driver whose groups can do little."""

    offers = {
        "group_types": frozenset({ALL, SELECT}),
        "max_groups": 4,
        "bucket_actions": frozenset({Output}),
        "select_weight": False,
    }

    def test_little(self) -> None:
        """What it cannot do is refused, each with its own error."""
        for code, request in (
            (errors.GROUP_BAD_TYPE, group_mod(G_ADD, 1, bucket(), kind=INDIRECT)),
            (errors.CHAINING_UNSUPPORTED, group_mod(G_ADD, 1, bucket(GroupAction(2)))),
            (errors.ACTION_BAD_TYPE, group_mod(G_ADD, 1, bucket(SetField(TCP_SRC, 80)))),
            (errors.WEIGHT_UNSUPPORTED, group_mod(G_ADD, 1, bucket(weight=2), kind=SELECT)),
        ):
            self.refused(code, self.handle, request)
        self.do(group_mod(G_ADD, 1, bucket(weight=1), kind=SELECT))


class NoneTests(SwitchTestCase):
    """A driver without groups."""

    def test_none(self) -> None:
        """It never sees one."""
        self.refused(errors.GROUP_BAD_TYPE, self.handle, group_mod(G_ADD, 1, bucket()))
        self.assertIsNone(self.handle(group_mod(G_DELETE, GROUP_ALL)))


class LifeTests(NumberedTestCase):
    """Groups in flight, and who waits for them."""

    def tearDown(self) -> None:
        """In the end everything is settled."""
        self.run_to_end()
        self.assert_settled()
        super().tearDown()

    def test_add(self) -> None:
        """A group is an operation like a rule."""
        group = self.begin(group_mod(G_ADD, 7, bucket(), kind=INDIRECT))
        self.assertEqual(self.flight(), [("add", "group", 7)])
        self.assertEqual((group.ended, self.groups), (False, [7]))
        self.finish()
        self.assertEqual(self.requester.ended, [group])

    def test_add_fails(self) -> None:
        """A group that the hardware refuses is gone, and so is the right to name it."""
        group = self.begin(group_mod(G_ADD, 7, bucket()))
        self.driver.fail(0, OSError("full"))
        assert isinstance(group.error, errors.OpenFlowError)
        self.assertIs(group.error.code, errors.INVALID_GROUP)
        self.assertEqual(self.groups, [])
        self.refused(errors.BAD_OUT_GROUP, self.send, ADD, instructions=to_group(7))

    def test_modify(self) -> None:
        """A modified group goes on counting, its buckets begin anew; its age stays."""
        self.do(group_mod(G_ADD, 7, bucket()))
        old = self.switch.group_mods.table.entries[7]
        old.counters.packets = 5
        old.bucket_counters[0].packets = 5
        self.do(group_mod(G_MODIFY, 7, bucket(), bucket(), kind=SELECT))
        new = self.switch.group_mods.table.entries[7]
        self.assertIsNot(new, old)
        self.assertEqual((new.handle, new.created, new.type), (old.handle, old.created, SELECT))
        self.assertIs(new.counters, old.counters)
        self.assertEqual([counters.packets for counters in new.bucket_counters], [0, 0])

    def test_modify_fails(self) -> None:
        """A change that the hardware refuses is taken back, with all that was counted."""
        self.do(group_mod(G_ADD, 7, bucket()))
        old = self.switch.group_mods.table.entries[7]
        old.bucket_counters[0].packets = 5
        group = self.begin(group_mod(G_MODIFY, 7, bucket(), kind=SELECT))
        self.assertIsNot(self.switch.group_mods.table.entries[7], old)
        self.driver.fail(0, REFUSED)
        self.assertIs(group.error, REFUSED)
        self.assertIs(self.switch.group_mods.table.entries[7], old)
        self.assertIsNone(old.pending)
        self.assertEqual(old.bucket_counters[0].packets, 5)

    def test_same_waits(self) -> None:
        """Every command about a group in flight waits for it."""
        for command in (G_ADD, G_MODIFY, G_DELETE):
            group = self.begin(group_mod(command, 7, bucket()))
            for later in (G_ADD, G_MODIFY, G_DELETE):
                self.assertIs(self.postponed(self.handle, group_mod(later, 7, bucket())), group)
            self.assertIs(self.postponed(self.handle, group_mod(G_DELETE, GROUP_ALL)), group)
            self.finish()

    def test_use_waits(self) -> None:
        """A rule, a bucket or a packet that names a group in flight waits for it."""
        for command in (G_ADD, G_MODIFY, G_DELETE):
            group = self.begin(group_mod(command, 7, bucket()))
            for version in (of.OFP13, of.OFP10):
                self.requester.version = version
                condition = self.postponed(self.send, ADD, instructions=to_group(7))
                self.assertIs(condition, group)
            self.requester.version = of.OFP13
            written = (WriteActions((GroupAction(7),)),)
            self.assertIs(self.postponed(self.send, ADD, instructions=written), group)
            request = group_mod(G_ADD, 8, bucket(GroupAction(7)))
            self.assertIs(self.postponed(self.handle, request), group)
            packet = of.PacketOut(
                of.NO_BUFFER, actions=(GroupAction(7),), data=b"x" * 60, in_port=ANY
            )
            self.assertIs(self.postponed(self.handle, packet), group)
            self.finish()

    def test_known_list_waits(self) -> None:
        """An instruction list that was found good is looked at again when its group changes."""
        instructions = to_group(7)
        self.do(group_mod(G_ADD, 7, bucket()))
        self.add(PORT1, instructions=instructions)
        group = self.begin(group_mod(G_DELETE, 7))
        condition = self.postponed(self.send, ADD, PORT2, instructions=instructions)
        self.assertIs(condition, group)
        self.run_to_end()
        self.refused(errors.BAD_OUT_GROUP, self.send, ADD, PORT2, instructions=instructions)

    def test_chain_waits(self) -> None:
        """Whether there is a loop is known only when nothing on the way is in flight."""
        for number in (1, 2):
            self.do(group_mod(G_ADD, number, bucket()))
        group = self.begin(group_mod(G_MODIFY, 1, bucket(GroupAction(2))))
        request = group_mod(G_MODIFY, 2, bucket(GroupAction(1)))
        self.assertIs(self.postponed(self.handle, request), group)
        self.assertIs(self.postponed(self.handle, group_mod(G_DELETE, 2)), group)
        self.driver.fail(0, REFUSED)
        self.do(request)

    def test_room_waits(self) -> None:
        """Whether there is room may depend on what is in flight."""
        for number in range(4):
            self.do(group_mod(G_ADD, number, bucket()))
        group = self.begin(group_mod(G_DELETE, 2))
        request = group_mod(G_ADD, 5, bucket())
        self.assertIs(self.postponed(self.handle, request), group)
        self.driver.finish()
        added = self.begin(request)
        self.assertIs(self.postponed(self.handle, group_mod(G_ADD, 6, bucket())), added)
        self.driver.finish()
        self.refused(errors.OUT_OF_GROUPS, self.handle, group_mod(G_ADD, 6, bucket()))

    def test_delete_waits(self) -> None:
        """A deletion waits for rules in flight that name the group, as they are or as they were."""
        self.do(group_mod(G_ADD, 7, bucket()))
        adding = self.start(ADD, PORT1, instructions=to_group(7))
        self.assertIs(self.postponed(self.handle, group_mod(G_DELETE, 7)), adding)
        self.driver.finish()
        leaving = self.start(MODIFY, instructions=output(1))
        self.assertIs(self.postponed(self.handle, group_mod(G_DELETE, 7)), leaving)
        self.driver.finish()
        self.do(group_mod(G_DELETE, 7))
        self.assertEqual(self.matches(), [PORT1])

    def test_place_waits(self) -> None:
        """Groups wait like rules for a place among what is in flight."""
        self.switch.admission.limit = 1
        adding = self.start(ADD, PORT1)
        self.assertIsNot(self.postponed(self.handle, group_mod(G_ADD, 7, bucket())), adding)
        self.driver.finish()
        self.do(group_mod(G_ADD, 7, bucket()))

    def test_lost(self) -> None:
        """A group of which the hardware says nothing is given up; the rest goes on."""
        group = self.begin(group_mod(G_ADD, 7, bucket()))
        self.driver.lose()
        self.let_watchdog_bark()
        self.assertTrue(group.ended)
        self.assertEqual(self.groups, [])
        self.assertEqual(len(self.switch.group_mods.table.ghosts), 1)


class DeleteTests(NumberedTestCase):
    """A group that goes takes its rules with it, before."""

    def setUp(self) -> None:
        """Two groups, two rules that name the first and one that does not."""
        super().setUp()
        for number in (1, 2):
            self.do(group_mod(G_ADD, number, bucket()))
        self.add(PORT1, instructions=to_group(1), flags=SEND_FLOW_REM)
        self.add(PORT2, instructions=(WriteActions((GroupAction(1),)),), table_id=1)
        self.add(PORT3, instructions=to_group(2))

    def test_rules_first(self) -> None:
        """The hardware is told of the group when the rules are gone."""
        group = self.begin(group_mod(G_DELETE, 1))
        self.assertEqual((self.groups, self.matches(0), self.matches(1)), ([2], [PORT3], []))
        self.assertEqual([kind for kind, *_ in self.flight()], ["delete", "delete"])
        self.assertEqual({target for _, target, _ in self.flight()}, {"rule"})
        self.finish()
        self.assertEqual([target for _, target, _ in self.flight()], ["rule"])
        self.finish()
        self.assertEqual(self.flight(), [("delete", "group", 1)])
        self.assertFalse(group.ended)
        self.finish()
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertEqual([m.reason for m in self.observer.removed], [RemovedReason.GROUP_DELETE])
        self.assert_settled()

    def test_rule_stays(self) -> None:
        """A rule that the hardware keeps keeps its group: nothing of that was submitted."""
        group = self.begin(group_mod(G_DELETE, 1))
        stuck = self.driver.in_flight[0]
        self.finish_but(stuck)
        for _ in range(2):
            self.driver.fail(0)
            self.clock.advance(2)
        self.driver.fail(0)
        self.assertTrue(group.ended)
        self.assertIsNotNone(group.error)
        self.assertEqual(
            (self.groups, self.matches(0), self.matches(1)), ([2, 1], [PORT1, PORT3], [])
        )
        entry = self.switch.group_mods.table.entries[1]
        self.assertEqual((entry.pending, entry.degraded), (None, ""))
        self.assertTrue(stuck.rule.degraded)
        self.assertEqual(sorted(self.driver.groups), [1, 2])
        self.do(group_mod(G_DELETE, 1))
        self.assertEqual(self.groups, [2])

    def finish_but(self, stuck: object) -> None:
        """End the others well."""
        for operation in list(self.driver.in_flight):
            if operation is not stuck:
                self.driver.finish(operation)

    def test_group_stays(self) -> None:
        """Where the hardware keeps the group itself, the rules are gone and it is degraded."""
        group = self.begin(group_mod(G_DELETE, 1))
        self.finish(2)
        for _ in range(2):
            self.driver.fail(0)
            self.clock.advance(2)
        self.driver.fail(0)
        self.assertTrue(group.ended and group.error)
        self.assertEqual((sorted(self.groups), self.matches(1)), ([1, 2], []))
        self.assertTrue(self.switch.group_mods.table.entries[1].degraded)

    def test_all(self) -> None:
        """All groups go with all their rules, chains from the outside in."""
        self.do(group_mod(G_ADD, 3, bucket(GroupAction(2))))
        self.do(group_mod(G_ADD, 4, bucket(GroupAction(3)), bucket(GroupAction(1))))
        self.assertEqual([g.group_id for g in self.switch.groups()], [2, 1, 3, 4])
        self.begin(group_mod(G_DELETE, GROUP_ALL))
        self.finish(3)
        for number in (4, 1, 3, 2):
            self.assertIn(("delete", "group", number), self.flight())
            self.driver.finish(next(o for o in self.driver.in_flight if o.rule.number == number))
            self.turn()
        self.assertEqual(self.rules(), [])
        self.assert_settled()

    def test_named_twice(self) -> None:
        """A rule that names a group twice goes once."""
        self.add(IP1, instructions=to_group(1, 1), flags=SEND_FLOW_REM)
        self.do(group_mod(G_DELETE, 1))
        self.assertEqual(len(self.observer.removed), 2)
        self.assertEqual(self.groups, [2])
        self.assert_settled()

    def test_meanwhile(self) -> None:
        """What names the group waits also when the rules are gone already and the group is not."""
        group = self.begin(group_mod(G_DELETE, 1))
        self.finish(2)
        self.assertIs(self.postponed(self.send, ADD, PORT1, instructions=to_group(1)), group)
        self.assertIs(self.postponed(self.handle, group_mod(G_ADD, 1, bucket())), group)
        self.assertIsNotNone(self.send(ADD, PORT1))
        self.run_to_end()

    def test_watchdog(self) -> None:
        """A deletion that is given up leaves the group that it had not come to."""
        self.begin(group_mod(G_DELETE, 1))
        for _ in range(2):
            self.driver.lose()
        self.let_watchdog_bark()
        self.assertEqual(sorted(self.groups), [1, 2])
        self.assertEqual(self.switch.group_mods.table.entries[1].degraded, "")
        self.assertEqual(len([rule for rule in self.switch.rules() if rule.degraded]), 2)

    def test_stop(self) -> None:
        """A bridge can go in the middle of it."""
        group = self.begin(group_mod(G_DELETE, 1))
        self.successResultOf(self.switch.stop())
        self.assertTrue(group.ended)
        self.assertEqual(self.switch.group_mods.table.pending, {})

    def test_filter(self) -> None:
        """Rules are found, and deleted, by the group that they name."""
        reply = self.successResultOf(self.handle(of.FlowStatsRequest(out_group=1)))
        self.assertEqual([stats.match for stats in reply.flows], [PORT1, PORT2])
        self.start(DELETE, table_id=of.ALL_TABLES, out_group=2)
        self.run_to_end()
        self.assertEqual((self.matches(0), self.matches(1)), ([PORT1], [PORT2]))
