"""Tests of :mod:`agent.connmgr.inband`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from agent.connmgr.addresses import Found, INextHops
from agent.connmgr.inband import FIRST_REFRESH, REFRESH, InBand, Remote
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output, SetQueue
from agent.openflow.text import format_match
from drivers.interfaces import OperationKind
from tests.connmgr.test_failopen import NormalSwitchCase
from tests.ofproto.stage import DELETE, REFUSED

LOCAL_MAC = 0x020000000A00
HOP = 0x020000000B00
OTHER_HOP = 0x020000000B01
FIRST = Remote("192.0.2.1", 6653)
SECOND = Remote("192.0.2.2", 6633)

LOCAL_RULES = [
    "priority=180000,udp,in_port=LOCAL,dl_src=02:00:00:00:0a:00,tp_src=68,tp_dst=67",
    "priority=180001,arp,dl_dst=02:00:00:00:0a:00,arp_op=2",
    "priority=180002,arp,dl_src=02:00:00:00:0a:00,arp_op=1",
]
HOP_RULES = [
    "priority=180003,arp,dl_dst=02:00:00:00:0b:00,arp_op=2",
    "priority=180004,arp,dl_src=02:00:00:00:0b:00,arp_op=1",
]
FIRST_RULES = [
    "priority=180005,arp,arp_tpa=192.0.2.1,arp_op=2",
    "priority=180006,arp,arp_spa=192.0.2.1,arp_op=1",
    "priority=180007,tcp,nw_dst=192.0.2.1,tp_dst=6653",
    "priority=180008,tcp,nw_src=192.0.2.1,tp_src=6653",
]
SECOND_RULES = [
    "priority=180005,arp,arp_tpa=192.0.2.2,arp_op=2",
    "priority=180006,arp,arp_spa=192.0.2.2,arp_op=1",
    "priority=180007,tcp,nw_dst=192.0.2.2,tp_dst=6633",
    "priority=180008,tcp,nw_src=192.0.2.2,tp_src=6633",
]


@implementer(INextHops)
class FakeNextHops:
    """Answers when, and as, a test says.

    :ivar asked: for whom, in order.
    :ivar answers: those that are open; the resolver answers at once while ``ready`` is set.
    """

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.answers: list[Deferred[Found]] = []
        self.ready: dict[str, int | None] | None = None

    def look_up(self, remotes: Sequence[str]) -> Deferred[Found]:
        """See :class:`agent.connmgr.addresses.INextHops`."""
        self.asked.append(remotes)
        if self.ready is not None:
            ready = self.ready
            return succeed({remote: ready.get(remote) for remote in remotes})
        answer: Deferred[Found] = Deferred()
        self.answers.append(answer)
        return answer

    def answer(self, **found: int | None) -> None:
        """Answer the oldest question; names of hosts are written with ``_`` for ``.``."""
        hosts = {host.lstrip("_").replace("_", "."): mac for host, mac in found.items()}
        self.answers.pop(0).callback(hosts)


class InBandCase(NormalSwitchCase):
    """In-band control of a switch with room for a few rules."""

    max_entries = (40, 8)

    def setUp(self) -> None:
        """Started, and not configured."""
        super().setUp()
        self.resolver = FakeNextHops()
        self.in_band = InBand(self.switch, self.clock, self.resolver)
        self.observer.on_flushed = self.in_band.flushed
        self.in_band.start()

    def set_local(self, mac: int | None) -> None:
        """The local port comes, changes or goes."""
        local = [] if mac is None else [of.PortDesc(of.Port.LOCAL, mac, "br0")]
        self.driver.port_descs = [*self.driver.port_descs[:2], *local]
        self.in_band.ports_changed()

    def shown(self) -> list[str]:
        """The rules there are, as people write them, when the hardware has nothing left to do."""
        self.settle()
        self.assert_settled()
        return [format_match(rule.match, rule.priority) for rule in self.rules()]

    def assert_shown(self, *groups: Iterable[str]) -> None:
        """Just these rules are there."""
        self.assertEqual(sorted(self.shown()), sorted(rule for group in groups for rule in group))


class RulesTests(InBandCase):
    """Which rules there are."""

    def test_nine_classes(self) -> None:
        """With everything known there is a rule of each of the nine classes."""
        self.set_local(LOCAL_MAC)
        self.in_band.configure([FIRST], next_hops=[HOP])
        self.assert_shown(LOCAL_RULES, HOP_RULES, FIRST_RULES)
        self.assertEqual(
            {rule.instructions for rule in self.rules()},
            {(ApplyActions((Output(of.Port.NORMAL),)),)},
        )

    def test_nobody_to_reach(self) -> None:
        """Without remotes there is nothing at all."""
        self.set_local(LOCAL_MAC)
        self.assert_shown()
        self.in_band.configure([], next_hops=[HOP])
        self.assert_shown()
        self.assertEqual(self.resolver.asked, [])

    def test_several(self) -> None:
        """Each remote, each address of a remote and each next hop has its rules once."""
        other_port = Remote(FIRST.host, 6654)
        self.in_band.configure([FIRST, SECOND, FIRST, other_port], next_hops=[HOP, HOP])
        tcp = [rule.replace("6653", "6654") for rule in FIRST_RULES[2:]]
        self.assert_shown(HOP_RULES, FIRST_RULES, SECOND_RULES, tcp)

    def test_local_port(self) -> None:
        """The local port's address is that which the driver says, now."""
        self.in_band.configure([FIRST])
        self.assert_shown(FIRST_RULES)
        self.set_local(LOCAL_MAC)
        self.assert_shown(FIRST_RULES, LOCAL_RULES)
        self.set_local(LOCAL_MAC + 1)
        self.assert_shown(FIRST_RULES, [rule.replace("0a:00", "0a:01") for rule in LOCAL_RULES])
        self.set_local(None)
        self.assert_shown(FIRST_RULES)

    def test_queue(self) -> None:
        """With a queue, every rule puts packets into it; a change of it is made in place."""
        self.in_band.configure([FIRST], queue=7)
        self.assert_shown(FIRST_RULES)
        queued = (ApplyActions((SetQueue(7), Output(of.Port.NORMAL))),)
        self.assertEqual({rule.instructions for rule in self.rules()}, {queued})
        self.in_band.configure([FIRST])
        self.turn()
        self.assertEqual(set(self.kinds()), {OperationKind.MODIFY})
        self.assert_shown(FIRST_RULES)

    def test_ipv6(self) -> None:
        """It is for IPv4: others are left out."""
        self.in_band.configure([Remote("2001:db8::1", 6653), FIRST])
        self.assertEqual(self.in_band.remotes, (FIRST,))
        self.assert_shown(FIRST_RULES)

    def test_hidden(self) -> None:
        """No controller can delete them, and no flush keeps them from coming back."""
        self.in_band.configure([FIRST])
        self.settle()
        self.send(DELETE)
        self.assert_shown(FIRST_RULES)
        self.switch.flush()
        self.assert_shown(FIRST_RULES)

    def test_a05_disabled(self) -> None:
        """A5: disabling it removes all rules, also those whose deletion has to wait or fails."""
        self.switch.ledger.delete_attempts = 1
        self.set_local(LOCAL_MAC)
        self.in_band.configure([FIRST], next_hops=[HOP])
        self.turn()
        for _ in range(4):
            self.driver.finish()
        self.in_band.configure([])
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.ADD] * 5 + [OperationKind.DELETE] * 4)
        self.driver.fail(-1, REFUSED)
        self.settle()
        self.clock.advance(1)
        self.assert_shown()

    def test_stopped(self) -> None:
        """Before the start and after the stop it does nothing."""
        in_band = InBand(self.switch, self.clock, self.resolver)
        in_band.configure([FIRST])
        in_band.ports_changed()
        in_band.controllers_changed()
        self.assert_shown()
        in_band.start()
        self.assert_shown(FIRST_RULES)
        in_band.stop()
        in_band.ports_changed()
        in_band.configure([SECOND])
        self.assert_shown(FIRST_RULES)


class NextHopsTests(InBandCase):
    """Next hops that are looked up."""

    def test_looked_up(self) -> None:
        """The rules of a next hop come when it is known; those of the remotes do not wait."""
        self.in_band.configure([FIRST, SECOND, FIRST])
        self.assertEqual(self.resolver.asked, [("192.0.2.1", "192.0.2.2")])
        self.assert_shown(FIRST_RULES, SECOND_RULES)
        self.resolver.answer(_192_0_2_1=HOP, _192_0_2_2=HOP)
        self.assert_shown(FIRST_RULES, SECOND_RULES, HOP_RULES)

    def test_again(self) -> None:
        """They are looked up again every ten seconds, and a change is followed."""
        self.in_band.configure([FIRST])
        self.resolver.answer(_192_0_2_1=HOP)
        self.clock.advance(REFRESH - 0.1)
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.resolver.asked), 2)
        self.assert_shown(FIRST_RULES, HOP_RULES)
        self.resolver.answer(_192_0_2_1=OTHER_HOP)
        other = [rule.replace("0b:00", "0b:01") for rule in HOP_RULES]
        self.assert_shown(FIRST_RULES, other)
        self.clock.advance(REFRESH)
        self.resolver.answer(_192_0_2_1=None)
        self.assert_shown(FIRST_RULES)

    def test_unknown(self) -> None:
        """While one is unknown they are looked up after a second, two, four, then ten."""
        self.resolver.ready = {FIRST.host: HOP}
        self.in_band.configure([FIRST, SECOND])
        for count, wait in enumerate((FIRST_REFRESH, 2, 4, 8, REFRESH, REFRESH), 1):
            self.assertEqual(len(self.resolver.asked), count)
            self.clock.advance(wait - 0.1)
            self.assertEqual(len(self.resolver.asked), count)
            self.clock.advance(0.1)
        self.resolver.ready = None
        self.assert_shown(FIRST_RULES, SECOND_RULES, HOP_RULES)

    def test_none_needed(self) -> None:
        """A remote on this host has no next hop, and is not waited for."""
        self.in_band.configure([FIRST])
        self.resolver.answer(_192_0_2_1=0)
        self.assert_shown(FIRST_RULES)
        self.clock.advance(REFRESH - 0.1)
        self.assertEqual(len(self.resolver.asked), 1)

    def test_controller_lost(self) -> None:
        """When a controller comes or goes they are looked up at once, but never twice at a time."""
        self.in_band.configure([FIRST])
        self.in_band.controllers_changed()
        self.assertEqual(len(self.resolver.asked), 1)
        self.resolver.answer(_192_0_2_1=HOP)
        self.in_band.controllers_changed()
        self.assertEqual((len(self.resolver.asked), self.calls()[1:]), (2, []))
        self.resolver.answer(_192_0_2_1=HOP)
        self.assertEqual(len(self.resolver.asked), 2)

    def test_failure(self) -> None:
        """What goes wrong there is logged, and tried again."""
        self.in_band.configure([FIRST])
        self.resolver.answers.pop().errback(OSError("no netlink"))
        self.assert_shown(FIRST_RULES)
        self.clock.advance(REFRESH)
        self.resolver.answer(_192_0_2_1=HOP)
        self.assert_shown(FIRST_RULES, HOP_RULES)

    def test_failure_at_once(self) -> None:
        """Also when it goes wrong before the question was asked."""
        self.resolver.look_up = lambda remotes: fail(OSError())  # type: ignore[method-assign]
        self.in_band.configure([FIRST])
        del self.resolver.look_up
        self.clock.advance(REFRESH)
        self.assertEqual(len(self.resolver.asked), 1)

    def test_given(self) -> None:
        """Next hops that are given are not looked up; when they are given no more, they are."""
        self.in_band.configure([FIRST])
        self.in_band.configure([FIRST], next_hops=[HOP])
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(2 * REFRESH)
        self.in_band.controllers_changed()
        self.assertEqual(len(self.resolver.asked), 1)
        self.assert_shown(FIRST_RULES, HOP_RULES)
        self.in_band.configure([FIRST])
        self.assert_shown(FIRST_RULES)
        self.assertEqual(len(self.resolver.asked), 2)

    def test_late_answer(self) -> None:
        """An answer to a question of before is nothing any more."""
        self.in_band.configure([FIRST])
        self.in_band.configure([SECOND])
        self.assertEqual(self.resolver.asked, [("192.0.2.1",), ("192.0.2.2",)])
        self.resolver.answer(_192_0_2_1=OTHER_HOP)
        self.resolver.answer(_192_0_2_2=HOP)
        self.assert_shown(SECOND_RULES, HOP_RULES)

    def test_stop(self) -> None:
        """In whatever state it is stopped: no timer and no reference is left."""
        for answered in (False, True):
            in_band = InBand(self.switch, self.clock, self.resolver)
            in_band.start()
            in_band.configure([FIRST])
            if answered:
                self.resolver.answer(_192_0_2_1=HOP)
            in_band.stop()
            self.resolver.answers.clear()
            self.assertEqual(self.driver.finish_all(), 0)
            gone = weakref.ref(in_band)
            del in_band
            self.settle()
            self.driver.batches.clear()
            gc.collect()
            self.assertIsNone(gone())
            self.assertEqual(self.calls(), [])
