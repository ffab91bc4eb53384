"""Tests of :mod:`drivers.tcflower.translate`: what rules become, one by one.

That the filters do with packets what the rules say is shown in
:mod:`tests.drivers.tcflower.test_equivalence`.
"""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors
from agent.openflow import fields as f
from agent.openflow.actions import (
    Action,
    ApplyActions,
    ClearActions,
    CopyTtlOut,
    DecNwTtl,
    GotoTable,
    GroupAction,
    Instructions,
    MeterInstruction,
    Output,
    PushMpls,
    PushVlan,
    SetField,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from drivers.tcflower.actions import (
    PIPE,
    SHOT,
    TRAP,
    Gact,
    Mirred,
    Policer,
    TcAction,
    goto_chain,
)
from drivers.tcflower.filters import Key
from drivers.tcflower.places import place
from drivers.tcflower.translate import Translation, translate
from drivers.tcflower.view import PortView, View, dropped
from drivers.testing.fakes import FakeGroup, FakeRule

VIEW = View({number: PortView(f"p{number}", 10 + number) for number in (1, 2, 3)})
TRAPPED = (Gact(TRAP),)


def apply(*actions: Action) -> Instructions:
    """The instructions of a rule that does this at once."""
    return (ApplyActions(actions),)


class TranslateTestCase(SynchronousTestCase):
    """What the tests of this module have in common."""

    def made(
        self, match: Match, instructions: Instructions, view: View = VIEW, priority: int = 100
    ) -> Translation:
        """What a rule of table 0 becomes."""
        return translate(FakeRule(match, priority, 0, instructions), view)

    def actions(self, match: Match, *actions: Action, view: View = VIEW) -> tuple[TcAction, ...]:
        """What the one filter of a rule with these actions does."""
        made = self.made(match, apply(*actions), view)
        self.assertEqual((len(made.where), made.tail), (1, ()))
        return made.actions

    def refused(self, code: ErrorCode, match: Match, instructions: Instructions) -> None:
        """That a rule is refused with this error, and a text."""
        with self.assertRaises(OpenFlowError) as caught:
            self.made(match, instructions)
        error = caught.exception
        self.assertEqual(error.code, code)
        self.assertTrue(error.text)


class OutputTests(TranslateTestCase):
    """Where packets go."""

    def test_place(self) -> None:
        """The filters are where the priority says."""
        [made] = self.made(Match.of(in_port=1), apply()).filters()
        self.assertEqual((made.chain, made.pref), place(0, 100))
        self.assertEqual((made.indev, made.actions), ("p1", (Gact(SHOT),)))

    def test_one(self) -> None:
        """One output is a redirect, several are mirrors before it."""
        match = Match.of(in_port=1)
        self.assertEqual(self.actions(match, Output(2)), (Mirred(12),))
        self.assertEqual(
            self.actions(match, Output(3), Output(2)), (Mirred(13, mirror=True), Mirred(12))
        )

    def test_not_back(self) -> None:
        """Nothing is sent where it came from, but by IN_PORT."""
        match = Match.of(in_port=1)
        self.assertEqual(self.actions(match, Output(1)), (Gact(SHOT),))
        self.assertEqual(self.actions(match, Output(Port.IN_PORT)), (Mirred(11),))
        self.assertEqual(
            self.actions(match, Output(Port.ALL)), (Mirred(12, mirror=True), Mirred(13))
        )

    def test_tail(self) -> None:
        """Where the ingress port is not matched, the rule has one filter and ends in a tail."""
        made = self.made(MATCH_ALL, apply(Output(2)))
        self.assertEqual([actions for _, actions, _ in made.tail], [(Gact(SHOT),), (Mirred(12),)])
        self.assertEqual([where[0].indev for where, _, _ in made.tail], ["p2", ""])
        [own] = made.filters(5000)
        self.assertEqual(own.actions, (Gact(goto_chain(5000)),))

    def test_closed_ports(self) -> None:
        """Nothing is sent to ports that do not forward, do not flood, or are not there."""
        ports = {
            1: PortView("p1", 11),
            2: PortView("p2", 12, forwards=False),
            3: PortView("p3", 13, floods=False),
        }
        match, view = Match.of(in_port=1), View(ports)
        self.assertEqual(self.actions(match, Output(2), view=view), (Gact(SHOT),))
        self.assertEqual(self.actions(match, Output(9), view=view), (Gact(SHOT),))
        self.assertEqual(self.actions(match, Output(Port.FLOOD), view=view), (Gact(SHOT),))
        self.assertEqual(self.actions(match, Output(Port.ALL), view=view), (Mirred(13),))

    def test_controller(self) -> None:
        """What goes to the controllers is handed to the software, wherever else it goes."""
        made = self.made(Match.of(in_port=1), apply(Output(2), Output(Port.CONTROLLER)))
        self.assertEqual((made.actions, made.upcall), (TRAPPED, True))

    def test_hidden(self) -> None:
        """So is all that rules of the agent itself take."""
        made = self.made(Match.of(eth_type=0x806), apply(Output(Port.NORMAL)), priority=180000)
        self.assertEqual((made.actions, made.upcall, made.chain), (TRAPPED, True, 0))

    def test_goto(self) -> None:
        """To go to a table is to go to its chain."""
        instructions = (*apply(Output(2)), GotoTable(3))
        made = self.made(Match.of(in_port=1), instructions)
        self.assertEqual(made.actions, (Mirred(12, mirror=True), Gact(goto_chain(3))))

    def test_ttl(self) -> None:
        """A TTL that must not be decremented is the software's affair."""
        made = self.made(Match.of(in_port=1, eth_type=0x800), apply(DecNwTtl(), Output(2)))
        [(where, trapped, _), (deep, too, _), (rest, _, _)] = made.tail
        self.assertEqual((trapped, too), (TRAPPED, TRAPPED))
        self.assertEqual([key.name for key in where[0].keys], ["eth_type", "ip_ttl"])
        # Linux looks for the IP header behind one tag and no more.
        self.assertEqual([key.name for key in deep[0].keys], ["eth_type", "vlan_eth_type"])
        self.assertEqual(rest[0].keys, ())
        self.assertFalse(made.upcall)

    def test_fragments(self) -> None:
        """A port is written in whole packets alone: later fragments have none, and of a first one
        the checksum covers the others."""
        match = Match.of(in_port=1, eth_type=0x800, ip_proto=6)
        made = self.made(match, apply(SetField(f.TCP_DST, 80), Output(2)))
        done = {
            key.value: [type(action).__name__ for action in actions]
            for where, actions, _ in made.tail
            for key in where[0].keys
            if key.name == "flags"
        }
        self.assertEqual(done, {1: ["Mirred"], 3: ["Gact"]})
        self.assertEqual(
            [type(action).__name__ for action in made.tail[-1][1]], ["Pedit", "Csum", "Mirred"]
        )

    def test_meter(self) -> None:
        """A meter comes first, and after an action that counts for the rule alone."""
        police = Policer(7)
        view = View(VIEW.ports, meters={5: police})
        made = self.made(Match.of(in_port=1), (MeterInstruction(5), *apply(Output(2))), view)
        self.assertEqual(made.actions, (Gact(PIPE), police, Mirred(12)))
        self.assertEqual(made.meters, {5})

    def test_resolved(self) -> None:
        """What no later table can see is not refused."""
        for instructions in (
            (WriteMetadata(1, 1),),
            (ClearActions(), WriteActions((Output(2),))),
            apply(SetField(f.REGS[0], 1), Output(2)),
        ):
            self.assertFalse(self.made(Match.of(in_port=1), instructions).upcall)

    def test_device_names(self) -> None:
        """A rule for a port that is not there has no filters until it is."""
        made = self.made(Match.of(in_port=9), apply(Output(2)))
        self.assertEqual((made.filters(), made.ports), ((), True))


class GroupTests(TranslateTestCase):
    """What groups make of packets."""

    def view(self, *groups: FakeGroup, live: bool = True) -> View:
        """Three ports, of which the second is live or not, and groups."""
        ports = dict(VIEW.ports) | {2: PortView("p2", 12, live=live)}
        return View(ports, {group.group_id: group for group in groups})

    def test_failover(self) -> None:
        """The first live bucket is used; the rule depends on ports and group."""
        group = FakeGroup(
            1,
            GroupType.FF,
            (
                Bucket(watch_port=2, actions=(Output(2),)),
                Bucket(watch_port=3, actions=(Output(3),)),
            ),
        )
        for live, ifindex in ((True, 12), (False, 13)):
            made = self.made(
                Match.of(in_port=1), apply(GroupAction(1)), self.view(group, live=live)
            )
            self.assertEqual(made.actions, (Mirred(ifindex),))
            self.assertEqual((made.ports, made.groups), (True, {1}))

    def test_all_undone(self) -> None:
        """What a bucket changes is undone for the next, where the match says what it was."""
        mac = 0x020000000001
        group = FakeGroup(
            1,
            GroupType.ALL,
            (
                Bucket(actions=(SetField(f.ETH_DST, mac), Output(2))),
                Bucket(actions=(SetField(f.ETH_DST, mac + 1), Output(3))),
            ),
        )
        view = self.view(group)
        made = self.made(Match.of(in_port=1, eth_dst=5), apply(GroupAction(1)), view)
        kinds = [type(action).__name__ for action in made.actions]
        self.assertEqual(kinds, ["Pedit", "Mirred", "Pedit", "Mirred"])
        with self.assertRaises(OpenFlowError) as caught:
            self.made(Match.of(in_port=1), apply(GroupAction(1)), view)
        self.assertEqual(caught.exception.code, errors.UNSUPPORTED_ORDER)

    def test_select(self) -> None:
        """Packets are not shared out."""
        view = self.view(FakeGroup(1, GroupType.SELECT, (Bucket(1, actions=(Output(2),)),)))
        with self.assertRaises(OpenFlowError) as caught:
            self.made(Match.of(in_port=1), apply(GroupAction(1)), view)
        self.assertEqual(caught.exception.code, errors.BAD_OUT_GROUP)


class RefusalTests(TranslateTestCase):
    """What cannot be done is refused, each with its own error."""

    def test_matches(self) -> None:
        """What flower cannot compare."""
        nothing = apply()
        for code, match in (
            (errors.BAD_FIELD, Match.of(metadata=1)),
            (errors.BAD_FIELD, Match.of(eth_type=0x86DD, ipv6_flabel=1)),
            (errors.BAD_FIELD, Match.of(eth_type=0x86DD, ip_proto=58, ipv6_nd_target=1)),
            (errors.BAD_FIELD, Match.of(eth_type=0x8035, arp_spa=1)),
            (errors.MATCH_BAD_MASK, Match.of(tunnel_id=(1, 1))),
            (errors.MATCH_BAD_MASK, Match.of(vlan_vid=(0x1001, 0x1001))),
            (errors.MATCH_BAD_VALUE, Match.of(tunnel_id=1 << 32)),
            (errors.MATCH_BAD_VALUE, Match.of(eth_type=0x806, arp_op=3)),
            (errors.MATCH_BAD_VALUE, Match.of(eth_type=0x5FF)),
        ):
            self.refused(code, match, nothing)

    def test_actions(self) -> None:
        """What tc cannot do."""
        icmp = Match.of(in_port=1, eth_type=0x800, ip_proto=1)
        for code, match, instructions in (
            (errors.ACTION_BAD_TYPE, icmp, apply(CopyTtlOut())),
            (errors.BAD_SET_TYPE, icmp, apply(SetField(f.ICMPV4_TYPE, 0))),
            (errors.BAD_SET_TYPE, icmp, apply(SetField(f.TUNNEL_ID, 5), Output(2))),
            (errors.UNSUPPORTED_ORDER, icmp, apply(PushMpls(0x8847), Output(2))),
            (
                errors.UNSUPPORTED_ORDER,
                Match.of(in_port=1, vlan_vid=(0x1000, 0x1000)),
                apply(PushVlan(0x8100), Output(2)),
            ),
            (errors.TOO_MANY, Match.of(in_port=1), apply(*[Output(2)] * 33)),
            (errors.UNSUP_INST, icmp, (WriteActions((Output(2),)), GotoTable(1))),
            (errors.UNSUP_METADATA, icmp, (WriteMetadata(1, 1), GotoTable(1))),
            (errors.BAD_SET_TYPE, icmp, (*apply(SetField(f.REGS[0], 1)), GotoTable(1))),
        ):
            self.refused(code, match, instructions)

    def test_fall_back(self) -> None:
        """What is refused can be handed to the software, by filters that take at least what the
        rule takes."""
        rule = FakeRule(Match.of(in_port=2, eth_type=0x86DD, ipv6_flabel=1), 7, 4)
        made = translate(rule, VIEW, fallback=True)
        [wide] = made.filters()
        self.assertEqual((wide.chain, wide.pref), place(4, 7))
        names = [key.name for key in wide.keys]
        self.assertEqual((wide.indev, names), ("p2", ["eth_type", "ct_labels"]))
        self.assertEqual((made.upcall, wide.actions), (True, TRAPPED))
        assert made.reason is not None
        self.assertEqual(made.reason.kind, errors.BAD_FIELD.name)
        self.assertIn("ipv6_flabel", made.reason.text)

    def test_fall_back_never(self) -> None:
        """What no packet in the kernel can have needs no filter."""
        rule = FakeRule(Match.of(metadata=1), 7, 4)
        self.assertEqual(translate(rule, VIEW, fallback=True).filters(), ())

    def test_fall_back_alike(self) -> None:
        """Filters of rules that differ in what flower cannot compare are not the same; where they
        differ in what it can, they have one mask, and where it can compare all, nothing else."""

        def keys(**match: int) -> list[Key]:
            rule = FakeRule(Match.of(**match), 7, 0, apply(SetField(f.IPV6_ND_TLL, 1)))
            return list(translate(rule, VIEW, fallback=True).filters()[0].keys)

        one, two, other = (
            keys(eth_type=0x86DD, ipv6_flabel=label, ipv6_dst=address)
            for label, address in ((1, 1), (2, 1), (1, 9))
        )
        self.assertEqual((one[:-1], one[-1].value), (two[:-1], 0))
        self.assertNotEqual(one[-1], two[-1])
        self.assertEqual(one[-1], other[-1])
        self.assertEqual([key.name for key in keys(eth_type=0x86DD)], ["eth_type"])

    def test_fall_back_again(self) -> None:
        """It depends on what the kernel could not do, and is for the kernel again without that."""
        select = FakeGroup(1, GroupType.SELECT, (Bucket(actions=(Output(2),)),))
        rule = FakeRule(Match.of(in_port=1), 7, 0, apply(GroupAction(1)))
        view = attrs.evolve(VIEW, groups={1: select})
        made = translate(rule, view, fallback=True)
        self.assertEqual((made.upcall, made.groups), (True, {1}))
        view = attrs.evolve(VIEW, groups={1: attrs.evolve(select, type=GroupType.INDIRECT)})
        self.assertEqual(translate(rule, view, fallback=True).actions, (Mirred(12),))

    def test_tunnels(self) -> None:
        """Of tunnels the software knows what is matched exactly, so it is not given what matches
        anything else of them."""
        exact = Match.of(tunnel_id=5, tun_src=6)
        self.assertFalse(self.made(exact, apply(Output(2))).upcall)
        self.assertTrue(self.made(exact, apply(Output(Port.CONTROLLER))).upcall)
        for match, action in (
            (Match.of(tunnel_id=(4, 4)), Output(2)),
            (Match.of(tunnel_id=1 << 32), Output(2)),
            (Match.of(tunnel_id=5, tun_src=(0, 1)), Output(Port.CONTROLLER)),
            (Match.of(tun_dst=(0, 1), vlan_vid=(0x1001, 0x1001)), Output(2)),
        ):
            rule = FakeRule(match, 7, 0, apply(action))
            error = self.assertRaises(OpenFlowError, translate, rule, VIEW, fallback=True)
            self.assertIn("tunnel", error.text)
        does = apply(DecNwTtl(), Output(2))
        for match, expired in (
            (Match.of(eth_type=0x800, tunnel_id=5), TRAPPED),
            (Match.of(eth_type=0x800, tun_src=(0, 1)), (Gact(SHOT),)),
        ):
            actions = [actions for _, actions, _ in self.made(match, does).tail[:2]]
            self.assertEqual(actions, [expired] * 2)

    def test_no_tunnels(self) -> None:
        """Where no port is a tunnel's, what is set for another table is kept in the software, and
        no packet that the kernel has is taken for one that has it."""
        sets = (SetField(f.TUNNEL_ID, 5), SetField(f.TUN_DST, 6))
        alone = attrs.evolve(VIEW, tunnels=False)
        goes = FakeRule(Match.of(), 7, 0, (ApplyActions(sets), GotoTable(1)))
        ends = FakeRule(Match.of(), 7, 0, apply(*sets, Output(2)))
        masked = FakeRule(Match.of(tunnel_id=(4, 4)), 7, 1, apply(Output(2)))
        unset = FakeRule(Match.of(tunnel_id=(0, 4)), 7, 1, apply(Output(2)))
        told = FakeRule(Match.of(tunnel_id=5), 7, 1, apply(Output(Port.CONTROLLER)))
        for view, rule, upcall, filters in (
            (VIEW, goes, False, 1),
            (alone, goes, True, 1),
            (alone, ends, False, 1),
            (alone, masked, True, 0),
            (alone, unset, True, 1),
            (alone, told, True, 1),
        ):
            made = translate(rule, view, fallback=True)
            self.assertEqual((made.upcall, len(made.where)), (upcall, filters), rule)
            self.assertTrue(made.ports)

    def test_no_software(self) -> None:
        """Where no software gets packets they are dropped, and the kernel has counted them."""
        view = attrs.evolve(VIEW, upcall=dropped)
        made = self.made(Match.of(in_port=1), apply(Output(Port.CONTROLLER)), view=view)
        self.assertEqual((made.actions, made.upcall, made.reason), ((Gact(SHOT),), False, None))
