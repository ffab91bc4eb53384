"""Tests of :mod:`drivers.tcflower.template`."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields
from agent.openflow.actions import (
    ApplyActions,
    DecNwTtl,
    Enqueue,
    GotoTable,
    Output,
    PopVlan,
    PushVlan,
    SetField,
    SetNwTtl,
    SetQueue,
    WriteActions,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import Match
from drivers.tcflower import pack
from drivers.tcflower.changes import ADDING, Block
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.pipeline import Pipeline
from drivers.tcflower.template import (
    COPIED,
    INDEPENDENT,
    KEPT,
    OPEN,
    Template,
    Templates,
    plain,
)
from drivers.tcflower.translate import translate
from drivers.tcflower.view import PortView, View
from drivers.testing import FakeRule
from drivers.testing.fakes import output
from tests.drivers.tcflower.examples import ACTIONS
from tests.drivers.tcflower.kernel import FakeTcKernel

VIEW = View({1: PortView("eth1", 7), 2: PortView("eth2", 8)})
IP = {"in_port": 1, "eth_type": 0x0800, "vlan_vid": 0}
IP6 = {"in_port": 1, "eth_type": 0x86DD, "vlan_vid": 0}
ARP = {"in_port": 1, "eth_type": 0x0806}
SHAPES: tuple[tuple[dict[str, int], tuple[str, ...]], ...] = (
    ({"in_port": 1}, ("eth_dst", "eth_src")),
    (IP, ("ipv4_src", "ipv4_dst", "eth_dst")),
    (IP6, ("ipv6_src", "ipv6_dst")),
    ({**IP, "ip_proto": 6}, ("tcp_src", "tcp_dst", "ipv4_src")),
    ({**IP6, "ip_proto": 17}, ("udp_src", "udp_dst", "ipv6_dst")),
    ({**IP, "ip_proto": 132}, ("sctp_src", "sctp_dst")),
    ({**ARP, "arp_op": 1}, ("arp_spa", "arp_tpa")),
)
COOKIE = bytes(range(16))


class TemplateTests(SynchronousTestCase):
    """What comes of a template is what is packed without it."""

    def filters(self, match: Match) -> list[Filter]:
        """A rule's, with handles and cookies."""
        made = translate(FakeRule(match, 77, instructions=output(2)), VIEW).filters()
        return [attrs.evolve(one, handle=5, cookie=COOKIE) for one in made]

    def test_equal(self) -> None:
        """For every key that is left open, alone and masked, and with all actions after it."""
        used = set()
        for fixed, names in SHAPES:
            for masked in (False, True):
                value: Any = lambda n, masked=masked: (n, 0xFF) if masked and n < 256 else n  # noqa: E731
                one, other = (
                    Match.of(
                        **fixed,
                        **{
                            name: value(n + base) if fields.FIELDS[name].maskable else n + base
                            for n, name in enumerate(names)
                        },
                    )
                    for base in (1, 100)
                )
                for model, wanted in zip(self.filters(one), self.filters(other), strict=True):
                    used |= {key.name for key in model.keys}
                    # All actions but those of which there would be too many.
                    model = attrs.evolve(model, actions=ACTIONS[:30])
                    wanted = attrs.evolve(wanted, actions=ACTIONS[:30], handle=99)
                    template = Template(model, 3)
                    self.assertTrue(template.fits(other.mask))
                    self.assertEqual(
                        template.pack(11, 99, COOKIE, other.value),
                        pack.new_filter(wanted, 3, ADDING, 11),
                    )
                    self.assertEqual(template.filter(99, COOKIE, other), wanted)
        self.assertLessEqual(set(COPIED), used)

    def test_fits(self) -> None:
        """Bits that may be open, but are no key's in this template, do not fit."""
        match = Match.of(**IP, ip_proto=1, icmpv4_type=8)
        self.assertTrue(match.mask & OPEN)
        template = Template(self.filters(match)[0], 3)
        self.assertFalse(template.fits(match.mask))

    def test_kept(self) -> None:
        """What decides what a packet is, is never open."""
        for name in ("in_port", "eth_type", "vlan_tci", "ip_proto", "arp_op"):
            self.assertFalse(fields.FIELDS[name].mask & ~KEPT, name)

    def test_actions(self) -> None:
        """Whatever a rule does for which a template is made, the rules that are made by it do what
        they would without it."""
        block = Block(3, Pipeline(FakeTcKernel()))
        changes = [
            [SetField(fields.ETH_DST, 0x020000000099), SetField(fields.ETH_SRC, 1), Output(2)],
            [Output(2), SetField(fields.ETH_SRC, 2), Output(2), Output(1)],
            [SetField(fields.IPV4_SRC, 0xC0000201), Output(2)],
            [SetField(fields.TCP_DST, 8080), SetField(fields.IP_DSCP, 46), Output(2)],
            [PushVlan(0x8100), SetField(fields.VLAN_VID, 0x1007), Output(2)],
            [PopVlan(), Output(2)],
            [SetNwTtl(9), Output(2)],
            [DecNwTtl(), Output(2)],
            [SetQueue(3), Output(2)],
            [Enqueue(2, 4), Output(1)],
        ]
        used: set[type] = set()
        for fixed, names in SHAPES:
            for vlan, actions in itertools.product((0, 0x1005), changes):
                for goto in ((), (GotoTable(4),)):
                    instructions = (ApplyActions(tuple(actions)), *goto)
                    one, other = (
                        FakeRule(
                            Match.of(
                                **{**fixed, "vlan_vid": vlan},
                                **{name: n + base for n, name in enumerate(names)},
                            ),
                            77,
                            instructions=instructions,
                        )
                        for base in (1, 200)
                    )
                    templates = Templates(block, FilterFlags.SKIP_HW)
                    try:
                        templates.learn(one, translate(one, VIEW))
                    except OpenFlowError:
                        self.assertRaises(OpenFlowError, translate, other, VIEW)
                        continue
                    found = templates.find(other)
                    if found is None:
                        continue
                    used.update(map(type, actions))
                    template = found[0]
                    (wanted,) = translate(other, VIEW).filters()
                    self.assertEqual(
                        template.filter(99, COOKIE, other.match),
                        attrs.evolve(wanted, handle=99, cookie=COOKIE, flags=FilterFlags.SKIP_HW),
                    )
        self.assertEqual(used, {SetField, *INDEPENDENT})

    def test_plain(self) -> None:
        """Only what a rule does with a value that it leaves open keeps it from being made by a
        template."""
        self.assertTrue(plain(FakeRule(instructions=(*output(1, 2), GotoTable(3)))))
        self.assertTrue(plain(FakeRule()))
        change = (ApplyActions((SetField(fields.ETH_DST, 1), Output(1))),)
        self.assertTrue(plain(FakeRule(Match.of(eth_src=1), instructions=change)))
        self.assertFalse(plain(FakeRule(Match.of(eth_dst=1), instructions=change)))
        self.assertFalse(plain(FakeRule(instructions=(WriteActions((Output(1),)),))))

    def test_no_cookie(self) -> None:
        """A filter without room for a cookie is no model."""
        self.assertRaises(ValueError, Template, Filter(0, 1, ACTIONS[:1]), 3)
