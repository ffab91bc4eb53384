"""The bugs that the first implementation of this design had, one test each, as far as the core is
concerned.

The numbers are those of the list of known bugs that the project keeps; a hash is the commit of Open
vSwitch that fixed the bug.  What concerns connections, buffers, in-band control and eviction is
tested where that is.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from agent.ofproto.bundles import BundleCommit
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, SetField
from agent.openflow.fields import TCP_DST
from agent.openflow.match import Match
from drivers.interfaces import OperationKind
from tests.ofproto.stage import (
    ADD,
    ARP,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    PORT4,
    REFUSED,
    RESET_COUNTS,
    SEND_FLOW_REM,
    Requester,
    SwitchTestCase,
    essence,
    flow_mod,
    output,
)


class RegressionTests(SwitchTestCase):
    """What went wrong once does not go wrong again."""

    def facts(self, match: Match = PORT1) -> dict[str, Any]:
        """All that a rollback has to restore of a rule."""
        rule = self.rule(match)
        assert rule is not None
        return {
            "rule": rule,
            "handle": rule.handle,
            "instructions": rule.instructions,
            "cookie": rule.cookie,
            "timeouts": (rule.idle_timeout, rule.hard_timeout),
            "flags": rule.flags,
            "counters": rule.counters,
            "counted": (rule.counters.packets, rule.counters.bytes, rule.counters.used),
            "times": (rule.created, rule.modified),
            "pending": rule.pending,
        }

    def test_a01_modify_saves_old_actions(self) -> None:
        """Rollback restores actions, cookie (417924642), timeouts, flags, counters and times."""
        rule = self.add(PORT1, cookie=5, idle_timeout=50, hard_timeout=60, flags=SEND_FLOW_REM)
        rule.counters.packets, rule.counters.bytes, rule.counters.used = 3, 300, 0.5
        before = self.facts()
        for command, requester, flags in (
            (MODIFY, self.requester, 0),
            (MODIFY, self.requester, RESET_COUNTS),
            (MODIFY, self.old, 0),
            (ADD, self.requester, 0),
            (ADD, self.old, 0),
            (DELETE, self.requester, 0),
        ):
            self.switch.ledger.delete_attempts = 1
            self.clock.advance(1)
            group = self.start(
                command,
                PORT1,
                requester=requester,
                cookie=6,
                idle_timeout=7,
                flags=flags,
                instructions=output(9),
            )
            self.driver.fail(0, REFUSED)
            self.assertIs(group.error, REFUSED)
            rule.degraded = ""
            self.assertEqual(self.facts(), before)
        self.assert_settled()

    def test_a02_internal_changes(self) -> None:
        """Changes of the agent itself need no connection, whatever comes of them."""
        for end in (self.driver.finish, self.driver.fail):
            group = self.start(ADD, PORT1, requester=self.internal, priority=0x10001)
            end()
            self.assertTrue(group.ended)
        self.add(PORT2, hard_timeout=5, flags=SEND_FLOW_REM)
        self.clock.advance(5)
        self.turn()
        self.driver.fail()
        self.clock.advance(0.5)
        self.turn()
        self.driver.finish()
        self.assertEqual(len(self.observer.removed), 1)
        self.start(DELETE, requester=self.internal)
        self.driver.finish()
        self.assert_settled()

    def test_a04_destroying_a_bridge(self) -> None:
        """A bridge that goes drains every operation; nothing hangs, and nothing is left."""
        self.add(PORT1)
        groups = [
            self.start(MODIFY, PORT1, instructions=output(9)),
            self.start(ADD, PORT2, requester=self.internal),
        ]
        operations = list(self.driver.in_flight)
        last = self.send(ADD, PORT3)  # the driver has not been given it yet
        assert last is not None
        groups.append(last)
        waiters = [group.wait() for group in groups]
        self.successResultOf(self.switch.stop())
        for waiter in waiters:
            self.successResultOf(waiter)
        self.assertEqual([group.ended for group in groups], [True, True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for operation in operations:
            operation.complete()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a06_failed_replace_leaves_no_reference(self) -> None:
        """Nothing refers to the rule that was not to be (12804888e), nor to one that was replaced;
        no garbage collector has to find either."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.add(PORT1, hard_timeout=50)
        for end in (self.driver.fail, self.driver.finish):
            group = self.start(ADD, PORT1, hard_timeout=60, flags=RESET_COUNTS)
            (operation,) = group.operations
            rules = {"new": weakref.ref(operation.rule), "old": weakref.ref(operation.old)}
            del operation, group
            end()
            dead = rules["new" if end == self.driver.fail else "old"]
            self.driver.batches.clear()
            self.requester.ended.clear()
            self.assertIsNone(dead())

    def test_a07_outcome_decided_once(self) -> None:
        """The outcome is known when the last operation ends, and the first error wins
        (e615b0a34)."""
        for match in (PORT1, PORT2, PORT3):
            self.add(match)
        self.requester.ended.clear()
        group = self.start(MODIFY, instructions=output(9))
        self.driver.fail(1, REFUSED)
        self.driver.fail(0)
        self.assertEqual((group.ended, self.requester.ended), (False, []))
        self.driver.finish(0)
        self.turn()
        self.driver.finish_all()
        self.assertIs(group.error, REFUSED)
        self.assertEqual(self.requester.ended, [group])

    def test_a08_cookie_alone(self) -> None:
        """A change of the cookie alone is an operation (080437614)."""
        self.add(PORT1, cookie=5)
        group = self.start(MODIFY, PORT1, requester=self.old, cookie=6)
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.fail(0, REFUSED)
        self.assertIs(group.error, REFUSED)
        self.assertEqual(self.facts()["cookie"], 5)

    def test_a08_modify_without_effect(self) -> None:
        """A MODIFY that changes nothing refreshes the modified time (644e2a7cb), on which the hard
        timeout depends."""
        self.add(PORT1, hard_timeout=10)
        self.clock.advance(6)
        self.assertIsNone(self.send(MODIFY, PORT1))
        self.assertEqual(self.facts()["times"], (0.0, 6.0))
        self.clock.advance(6)
        self.turn()
        self.assertEqual(self.kinds(), [])
        self.clock.advance(4)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])

    def test_a09_expiry_of_pending_rule(self) -> None:
        """A rule that is pending when its time comes waits; it is not lost (e2a3d183f)."""
        for kind in (MODIFY, ADD, DELETE):
            self.switch.ledger.delete_attempts = 1
            self.add(PORT1, hard_timeout=10, flags=SEND_FLOW_REM)
            self.clock.advance(9)
            self.start(kind, PORT1, instructions=output(9), flags=RESET_COUNTS)
            self.clock.advance(9)
            self.turn()
            self.assertEqual(len(self.driver.in_flight), 1)
            self.driver.fail()
            self.observer.removed.clear()
            self.run_to_end(20)
            self.assertEqual(
                [removed.reason for removed in self.observer.removed],
                [of.RemovedReason.HARD_TIMEOUT],
            )
            self.assert_settled()

    def test_a09_flow_removed(self) -> None:
        """FLOW_REMOVED is sent once (ad9ca2fc4), after the hardware confirmed (f695ebfae), with the
        final counters."""
        rule = self.add(PORT1, hard_timeout=10, flags=SEND_FLOW_REM)
        rule.counters.packets = 1
        self.clock.advance(10)
        self.turn()
        self.assertEqual(self.observer.removed, [])
        rule.counters.packets = 2  # the driver reads them last of all
        self.driver.duplicate()
        (removed,) = self.observer.removed
        self.assertEqual(removed.packet_count, 2)

    def test_a10_no_group_is_abandoned(self) -> None:
        """What is wrong is found before there is a group (862d8eed4): for the last rule of many,
        too."""
        self.add(PORT1)
        self.add(Match.of(eth_type=0x800, ip_proto=6))
        for call in (
            lambda: self.send(MODIFY, instructions=(ApplyActions((SetField(TCP_DST, 1),)),)),
            lambda: self.send(ADD, PORT1, instructions=output(0)),
            lambda: self.send(ADD, ARP, flags=CHECK_OVERLAP),
            lambda: self.send(ADD, PORT1, table_id=9),
        ):
            self.assertRaises(errors.OpenFlowError, call)
            self.assertTrue(self.switch.idle().cleared)
        self.assert_settled()

    def test_a11_add_over_existing(self) -> None:
        """An ADD over a rule is a REPLACE of one rule, not two rules alive (b277c7cc6)."""
        self.add(PORT1)
        self.start(ADD, PORT1, requester=self.old)
        self.assertEqual(self.kinds(), [OperationKind.REPLACE])
        self.assertEqual((len(self.rules()), self.switch.tables[0].adding), (1, 0))
        self.driver.finish()
        self.assertEqual(len(self.driver.hardware), 1)
        self.assert_settled()

    def test_a16_wake_ups(self) -> None:
        """Every completion wakes what waited for it: also when the connection which had asked is
        gone, and also when it was the agent itself."""
        for requester in (self.requester, self.internal):
            group = self.start(ADD, PORT1, requester=requester)
            condition = self.postponed(self.send, MODIFY, requester=self.old)
            waiter = condition.wait()
            self.switch.forgo(requester)
            self.driver.finish()
            self.assertTrue(group.ended)
            self.successResultOf(waiter)
            self.start(DELETE)
            self.driver.finish_all()

    def test_a17_late_completion(self) -> None:
        """A late completion reaches neither a newer rule nor a newer attempt."""
        self.start(ADD, PORT1)
        late = self.driver.lose()
        for _ in range(16):
            self.clock.advance(5)
        self.turn()
        self.driver.finish()
        newer = self.start(ADD, PORT1, requester=Requester())
        (operation,) = self.driver.in_flight
        self.assertNotEqual(operation.rule.handle, late.rule.handle)
        late.complete(REFUSED)
        late.complete()
        self.assertFalse(newer.ended)
        self.driver.finish()
        self.assertIsNone(newer.error)

    def test_a17_late_deletion(self) -> None:
        """Nor does the late end of a deletion that was given up bring the old rule back."""
        old = self.add(PORT1)
        self.start(DELETE)
        late = self.driver.lose()
        for _ in range(16):
            self.clock.advance(5)
        self.assertIs(self.rule(PORT1), old)
        self.assertTrue(old.degraded)
        self.start(DELETE)
        self.driver.finish_all()
        newer = self.add(PORT1)
        for error in (REFUSED, None, REFUSED):
            late.complete(error)
            self.assertIs(self.rule(PORT1), newer)
        self.assertEqual(newer.degraded, "")
        self.assert_settled()

    def test_a19_statistics_of_pending_rule(self) -> None:
        """Statistics of a pending rule are answered at once, from the table as it shall be."""
        self.add(PORT1)
        self.start(MODIFY, PORT1, instructions=output(9))
        self.start(ADD, PORT2, instructions=output(9))
        reply = self.successResultOf(self.handle(of.FlowStatsRequest()))
        self.assertEqual([flow.instructions for flow in reply.flows], [output(9)] * 2)

    def test_a20_delete_and_add(self) -> None:
        """DELETE and ADD of the same match are serialised in a table, not across tables; overlap
        checks see rules that are being deleted."""
        self.add(PORT1)
        group = self.start(DELETE_STRICT, PORT1)
        self.assertIs(self.postponed(self.send, ADD, PORT1), group)
        self.assertIs(self.postponed(self.send, ADD, ARP, flags=CHECK_OVERLAP), group)
        self.assertIsNotNone(self.send(ADD, PORT1, table_id=1))
        self.assertIsNotNone(self.send(ADD, PORT2))

    def test_a22_fair_share(self) -> None:
        """Up to the cap nobody waits; beyond it, connections take turns."""
        for port in range(50):
            self.resize(0, 100)
            self.start(ADD, Match.of(in_port=port, eth_type=0x800))
        greedy, modest = self.requester, Requester(name="br0<->modest")
        first = self.postponed(self.send, ADD, PORT1, requester=greedy)
        second = self.postponed(self.send, ADD, PORT2, requester=modest)
        self.driver.finish()
        self.assertEqual((first.cleared, second.cleared), (True, False))
        self.send(ADD, PORT1, requester=greedy)
        third = self.postponed(self.send, ADD, PORT3, requester=greedy)
        self.driver.finish()
        self.assertEqual((second.cleared, third.cleared), (True, False))

    def test_a23_no_effect_before_acceptance(self) -> None:
        """A request that is postponed has no effect, however often and for whatever reason, and
        runs again from the start."""
        self.switch.tables[0].max_entries = 3
        self.add(PORT1)
        self.add(PORT2)
        self.add(PORT3)
        self.start(DELETE, PORT1)
        self.start(MODIFY, PORT2, instructions=output(9))

        def check() -> None:
            for _ in range(2):
                for command in (ADD, MODIFY, DELETE):
                    for match in (PORT1, PORT2):
                        self.postponed(self.send, command, match, requester=self.old)
                self.postponed(self.send, ADD, ARP, flags=CHECK_OVERLAP)
                self.postponed(self.send, ADD, PORT4)  # there may be no room

        before = self.state()
        check()
        self.assertEqual(self.state(), before)
        self.driver.fail(1)
        self.driver.finish()
        self.start(ADD, PORT1, requester=self.old)
        self.driver.finish()
        self.assert_settled()

    def test_a23_place_and_flush(self) -> None:
        """That holds for what waits for a place in flight, or for the end of a flush."""
        self.add(PORT3)
        self.switch.admission.limit = 1
        self.start(ADD, PORT1)
        before = self.state()
        for _ in range(3):
            for command, match in ((ADD, PORT2), (MODIFY, PORT3), (DELETE, PORT3)):
                fields = {"instructions": output(9)} if command == MODIFY else {}
                self.postponed(self.send, command, match, **fields)
        self.switch.forgo(self.requester)
        self.assertEqual(self.state(), before)
        self.driver.finish()
        self.switch.flush()
        before = self.state()
        for _ in range(3):
            for command in (ADD, MODIFY, DELETE):
                self.postponed(self.send, command, PORT2)
        self.assertEqual(self.state(), before)
        self.run_to_end()
        self.assert_settled()

    def state(self) -> object:
        """All of the switch that a request might change."""
        switch = self.switch
        return (
            [
                (
                    [(rule, rule.handle, rule.pending, rule.modified) for rule in table.rules],
                    list(table.pending),
                    dict(table.deleting),
                    (table.adding, table.hidden, table.max_entries),
                )
                for table in switch.tables
            ],
            list(switch.ledger.groups),
            (switch.admission.in_flight, len(switch.admission)),
            dict(switch.expiry._deadlines),
            len(self.clock.getDelayedCalls()),
            [essence(rule) for rule in self.driver.hardware.values()],
        )

    def test_a24_deletes_count(self) -> None:
        """A DELETE is in flight until the hardware has confirmed it, so that a barrier waits."""
        self.add(PORT1)
        self.requester.ended.clear()
        group = self.start(DELETE)
        self.assertEqual(self.requester.ended, [])
        self.driver.fail()
        self.assertEqual(self.requester.ended, [])
        self.clock.advance(0.5)
        self.turn()
        self.driver.finish()
        self.assertEqual(self.requester.ended, [group])

    def test_a24_bundles_count(self) -> None:
        """So is a bundle, as one, until all of it is confirmed, or taken back again."""
        self.add(PORT1)
        self.requester.ended.clear()
        self.switch.ledger.delete_attempts = 1
        commit = BundleCommit([flow_mod(ADD, PORT2), flow_mod(DELETE, PORT1)])
        for end in (self.driver.fail, self.driver.finish):
            group = self.handle(commit)
            self.turn()
            self.driver.finish()
            self.turn()
            self.assertEqual(self.requester.ended, [])
            end()
            self.turn()
            self.driver.finish_all()
            self.assertEqual(self.requester.ended, [group])
            self.requester.ended.clear()
            self.assertEqual(self.matches(), [PORT1] if group.error else [PORT2])
            self.assert_settled()

    def test_a25_disconnect(self) -> None:
        """What a connection that is gone had in flight runs on to its end; what it had postponed is
        forgotten."""
        group = self.start(ADD, PORT1)
        waiter = self.postponed(self.send, DELETE, PORT1).wait()
        self.switch.forgo(self.requester)
        waiter.addErrback(lambda failure: None)
        waiter.cancel()
        self.driver.finish()
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertEqual(len(self.rules()), 1)
        self.assertEqual(len(self.switch.admission), 0)
        self.send(ADD, PORT4, requester=self.old)
