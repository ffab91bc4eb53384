"""Tests of :mod:`agent.ofproto.monitors`: which changes are told, to whom, and when."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IDelayedCall

from agent.ofproto.monitors import Change, FlowChanges
from agent.ofproto.table_features import describe
from agent.openflow import messages as of
from tests.ofproto.bundling import BundleTestCase
from tests.ofproto.numbered import (
    G_ADD,
    G_DELETE,
    NumberedTestCase,
    bucket,
    group_mod,
    to_group,
)
from tests.ofproto.stage import (
    ADD,
    ARP,
    DELETE,
    IP1,
    MODIFY,
    PORT1,
    PORT2,
    PORT3,
    REFUSED,
    RESET_COUNTS,
    flow_mod,
    output,
)
from tests.ofproto.watching import ADDED, DELETED, MODIFIED, WatchedCase, Watcher


class Broken(Watcher):
    """Cannot be told."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Raise."""
        super().changed(changes)
        raise RuntimeError("broken")


class ChangeTests(WatchedCase):
    """Which changes are told, and when."""

    def test_confirmed(self) -> None:
        """An addition is told when the hardware has confirmed it, in the turn after that."""
        self.start(ADD, PORT1)
        self.assertEqual(self.told(), [])
        self.driver.finish()
        self.assertEqual(self.watcher.changes, [])
        self.assertEqual(self.told(), [(ADDED, PORT1)])
        self.assertEqual(self.told(), [])

    def test_flush(self) -> None:
        """Who cannot wait for the next turn need not, and it is not told again then."""
        self.add(PORT1)
        self.changes.flush()
        self.assertEqual(self.watcher.told(), [(ADDED, PORT1)])
        self.assertEqual(self.told(), [])

    def test_failed(self) -> None:
        """What fails is never told: an addition, a modification, a deletion."""
        self.add(PORT1)
        self.assertEqual(self.told(), [(ADDED, PORT1)])
        self.start(ADD, PORT2)
        self.start(MODIFY, PORT1, instructions=output(1))
        for _ in range(2):
            self.driver.fail(error=REFUSED)
        self.start(DELETE, PORT1)
        for _ in range(3):
            self.driver.fail(error=REFUSED)
            self.clock.advance(5)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.matches(), [PORT1])

    def test_rolled_back(self) -> None:
        """Of a request that fails in part nothing is told, not even what had succeeded."""
        for match in (PORT1, IP1):
            self.add(match)
        self.told()
        self.start(MODIFY, PORT1, instructions=output(1))
        self.driver.finish()
        self.driver.fail(error=REFUSED)
        self.run_to_end()
        self.assertEqual(self.told(), [])
        self.assert_settled()

    def test_partial_deletion(self) -> None:
        """Of a DELETE that fails in part it is told what is gone, when it is."""
        for match in (PORT1, IP1):
            self.add(match)
        self.told()
        group = self.start(DELETE, PORT1)
        self.driver.finish()
        ((event, gone),) = self.told()
        self.assertEqual(event, DELETED)
        for _ in range(3):
            self.driver.fail(error=REFUSED)
            self.clock.advance(5)
        self.assertIs(group.error, REFUSED)
        self.assertEqual(self.told(), [])
        self.assertNotIn(gone, self.matches())

    def test_given_up(self) -> None:
        """What the driver never confirms is not told, nor when it does so too late."""
        self.start(ADD, PORT1)
        lost = self.driver.lose()
        self.clock.pump([5.0] * 20)
        self.assertEqual(self.matches(), [])
        self.driver.finish(lost)
        self.assertEqual(self.told(), [])

    def test_modified(self) -> None:
        """Other actions or another cookie are a modification; nothing new is none."""
        self.add(PORT1, cookie=1)
        self.told()
        self.start(MODIFY, PORT1, instructions=output(1))
        self.driver.finish_all()
        (change,) = self.take()
        assert change.before is not None
        self.assertEqual(
            (change.event, change.before.instructions, change.rule.instructions),
            (MODIFIED, output(2), output(1)),
        )
        self.send(MODIFY, PORT1, instructions=output(1))
        self.assertEqual(self.told(), [])
        self.start(MODIFY, PORT1, requester=self.old, instructions=output(1), cookie=2)
        self.driver.finish_all()
        self.assertEqual(self.told(), [(MODIFIED, PORT1)])
        self.start(MODIFY, PORT1, instructions=output(1), flags=RESET_COUNTS)
        self.driver.finish_all()
        self.assertEqual(self.told(), [])

    def take(self) -> list[Change]:
        """The changes that were told by the end of this turn."""
        self.turn()
        changes, self.watcher.changes = self.watcher.changes, []
        return changes

    def test_added_over(self) -> None:
        """A rule that is added where there is one has been added, in both versions, whatever the
        driver has to do for it."""
        for requester in (self.requester, self.old):
            for cookie in (1, 2):
                self.add(PORT1, requester, cookie=cookie)
                self.assertEqual(self.told(), [(ADDED, PORT1)])

    def test_reasons(self) -> None:
        """Deletions have their reasons, and only one that was asked for was asked for."""
        self.add(PORT1, hard_timeout=1)
        self.add(PORT2)
        self.take()
        self.clock.advance(1.5)
        self.driver.finish_all()
        self.start(DELETE, PORT2)
        self.driver.finish_all()
        self.assertEqual(
            [(change.reason, change.asked_for) for change in self.take()],
            [(of.RemovedReason.HARD_TIMEOUT, None), (of.RemovedReason.DELETE, self.requester)],
        )

    def test_eviction(self) -> None:
        """A rule that had to go for another is told, and nobody has asked for that."""
        table = self.switch.tables[0]
        table.evicts, table.max_entries = True, 1
        self.add(PORT1, idle_timeout=9)
        self.take()
        self.start(ADD, PORT2)
        self.run_to_end(0)
        gone, new = self.take()
        self.assertEqual((gone.event, gone.rule.match, gone.asked_for), (DELETED, PORT1, None))
        self.assertEqual(gone.reason, of.RemovedReason.EVICTION)
        self.assertEqual((new.event, new.asked_for), (ADDED, self.requester))

    def test_table_taken_out(self) -> None:
        """Rules that go with their table, of which no FLOW_REMOVED is sent, are told as deleted."""
        self.add(PORT1, table_id=1)
        self.take()
        tables = self.switch.tables[:1]
        self.handle(of.TableFeaturesRequest((describe(tables[0], tables),)))
        self.run_to_end()
        ((event, reason),) = [(change.event, change.reason) for change in self.take()]
        self.assertEqual((event, reason), (DELETED, of.RemovedReason.DELETE))

    def test_hidden(self) -> None:
        """Rules that controllers do not see are not told."""
        self.add(PORT1, self.internal, priority=0x10001)
        self.start(DELETE, PORT1, self.internal, priority=0x10001)
        self.driver.finish_all()
        self.assertEqual(self.told(), [])

    def test_order(self) -> None:
        """Changes are told in the order in which they became final, those of a turn in one."""
        for match in (PORT1, PORT2, PORT3):
            self.start(ADD, match)
        self.driver.finish_all([2, 0, 1])
        calls = self.watcher.calls
        self.assertEqual([match for _, match in self.told()], [PORT3, PORT1, PORT2])
        self.assertEqual(self.watcher.calls, calls + 1)


class GroupTests(NumberedTestCase):
    """Groups are not watched, but go with rules."""

    def test_group(self) -> None:
        """That a group is made or goes is not told; what becomes of its rules is, and that their
        deletion was only a consequence."""
        watcher = Watcher()
        self.switch.changes.watch(watcher)
        self.do(group_mod(G_ADD, 1, bucket()))
        self.turn()
        self.assertEqual(watcher.told(), [])
        self.add(PORT1, instructions=to_group(1))
        self.do(group_mod(G_DELETE, 1))
        self.turn()
        (_, change) = watcher.changes
        self.assertEqual((change.event, change.asked_for), (DELETED, None))
        self.assertEqual(change.reason, of.RemovedReason.GROUP_DELETE)


class BundleTests(BundleTestCase):
    """What bundles come to is told when all of a bundle is confirmed."""

    def setUp(self) -> None:
        """Watch."""
        super().setUp()
        self.watcher = Watcher()
        self.switch.changes.watch(self.watcher)

    def test_net_change(self) -> None:
        """Each rule is told of once, but for one that was deleted and made again; what was made
        and deleted is not."""
        self.carry_out(
            flow_mod(ADD, PORT3),
            flow_mod(ADD, ARP),
            flow_mod(MODIFY, PORT3, instructions=output(1)),
            flow_mod(DELETE, ARP),
            flow_mod(DELETE, PORT1),
            flow_mod(ADD, PORT1),
            flow_mod(ADD, PORT2, instructions=output(1)),
            flow_mod(MODIFY, PORT2, instructions=output(2)),
        )
        self.turn()
        told = self.watcher.told()
        wanted = {PORT1: [DELETED, ADDED], PORT2: [ADDED], PORT3: [ADDED]}
        self.assertEqual({match for _, match in told}, set(wanted))
        for match, events in wanted.items():
            self.assertEqual([event for event, one in told if one == match], events)

    def test_failed(self) -> None:
        """Of a bundle that fails nothing is told."""
        group = self.commit(flow_mod(ADD, PORT3), flow_mod(DELETE, PORT1))
        self.driver.finish()
        self.turn()
        self.driver.fail(error=REFUSED)
        for _ in range(6):
            self.clock.advance(1)
            if self.driver.in_flight:
                self.driver.fail(error=REFUSED)
        self.run_to_end()
        self.assertTrue(group.ended)
        self.assertEqual(self.watcher.told(), [])


class WatcherTests(WatchedCase):
    """Those who watch come and go."""

    def due(self) -> list[IDelayedCall]:
        """The timers that are due in the next turn."""
        now = self.clock.seconds()
        return [call for call in self.clock.getDelayedCalls() if call.getTime() <= now]

    def test_nobody(self) -> None:
        """While nobody watches nothing is kept, and no timer runs."""
        self.add(PORT2)
        self.assertEqual(len(self.due()), 1)
        self.told()
        self.changes.unwatch(self.watcher)
        self.add(PORT1)
        self.assertEqual(self.due(), [])
        self.changes.watch(self.watcher)
        self.assertEqual(self.told(), [])

    def test_late(self) -> None:
        """Who begins to watch is not told what became final before."""
        self.add(PORT1)
        late = Watcher()
        self.changes.watch(late)
        self.add(PORT2)
        self.turn()
        self.assertEqual(late.told(), [(ADDED, PORT2)])
        self.assertEqual(self.watcher.told(), [(ADDED, PORT1), (ADDED, PORT2)])

    def test_last_leaves(self) -> None:
        """When the last one leaves, what was to be told is forgotten, and so is the timer."""
        self.add(PORT1)
        self.changes.unwatch(self.watcher)
        self.changes.unwatch(self.watcher)
        self.assertEqual(self.due(), [])
        self.changes.schedule()
        self.assertEqual(self.due(), [])

    def test_stopped(self) -> None:
        """When the switch stops, nothing is left."""
        self.add(PORT1)
        self.successResultOf(self.switch.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_started(self) -> None:
        """A switch that was never started can be stopped all the same."""
        FlowChanges("br0", self.clock).stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_broken(self) -> None:
        """One that cannot be told does not keep the others from it."""
        self.changes.unwatch(self.watcher)
        broken = Broken()
        self.changes.watch(broken)
        self.changes.watch(self.watcher)
        self.flushLoggedErrors(RuntimeError)
        self.add(PORT1)
        self.assertEqual(self.told(), [(ADDED, PORT1)])
        self.assertEqual(broken.told(), [(ADDED, PORT1)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_leaves_meanwhile(self) -> None:
        """One that leaves because of what another was told is not told any more."""
        other = Watcher()

        class Jealous(Watcher):
            """Takes the other one away."""

            def changed(watcher, changes: Sequence[Change]) -> None:
                """Do it."""
                self.changes.unwatch(other)

        self.changes.unwatch(self.watcher)
        self.changes.watch(Jealous())
        self.changes.watch(other)
        self.add(PORT1)
        self.turn()
        self.assertEqual(other.told(), [])
