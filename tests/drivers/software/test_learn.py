"""Tests of :mod:`drivers.software.learn`: the rule that is asked for."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import NO_BUFFER, ApplyActions, Output, SetField
from agent.openflow.constants import FlowModCommand, FlowModFlags, Port
from agent.openflow.fields import FIELDS, NX_IN_PORT, REGS, VLAN_TCI
from agent.openflow.match import Match
from agent.openflow.nx_actions import (
    FinTimeout,
    Learn,
    LearnFlags,
    LearnSpec,
    LearnTo,
    Subfield,
)
from drivers.software.learn import flow_mod

SRC, DST = Subfield.whole(FIELDS["eth_src"]), Subfield.whole(FIELDS["eth_dst"])
VLAN = Subfield(VLAN_TCI, 0, 12)
IN_PORT = Subfield.whole(NX_IN_PORT)
PACKET = Match.of(in_port=3, vlan_tci=0x5005, eth_src=0xA, eth_dst=0xB, eth_type=0x800).value


def match(src: Subfield | int, dst: Subfield) -> LearnSpec:
    """To match."""
    return LearnSpec(LearnTo.MATCH, src, dst)


def load(src: Subfield | int, dst: Subfield) -> LearnSpec:
    """To write."""
    return LearnSpec(LearnTo.LOAD, src, dst)


def output(src: Subfield) -> LearnSpec:
    """To output."""
    return LearnSpec(LearnTo.OUTPUT, src)


class FlowModTests(SynchronousTestCase):
    """What a packet teaches."""

    def learn(self, *specs: LearnSpec, key: int = PACKET, **fields: Any) -> Any:
        """The request that a packet causes."""
        return flow_mod(Learn(4, specs, **fields), key)

    def test_mac_learning(self) -> None:
        """The example of ovs-actions(7): a switch that learns, made of one rule."""
        request = self.learn(match(VLAN, VLAN), match(SRC, DST), output(IN_PORT))
        self.assertEqual(request.match, Match.of(vlan_tci=(5, 0xFFF), eth_dst=0xA))
        self.assertEqual(request.instructions, (ApplyActions((Output(3, NO_BUFFER),)),))
        self.assertEqual(
            (request.command, request.table_id), (int(FlowModCommand.MODIFY_STRICT), 4)
        )

    def test_constants(self) -> None:
        """What was said is matched and written whatever the packet is."""
        low = Subfield(REGS[1], 4, 8)
        request = self.learn(match(0x806, Subfield.whole(FIELDS["eth_type"])), load(0x5A, low))
        self.assertEqual(request.match, Match.of(eth_type=0x806))
        self.assertEqual(request.instructions, (ApplyActions((SetField(REGS[1], 0x5A0, 0xFF0),)),))

    def test_bits_of_the_packet(self) -> None:
        """Bits are taken from the packet as it is, from any place to any other."""
        request = self.learn(
            load(Subfield(VLAN_TCI, 12, 4), Subfield(REGS[0], 8, 4)),
            match(Subfield(FIELDS["eth_dst"], 0, 4), Subfield(REGS[2], 28, 4)),
        )
        self.assertEqual(request.match, Match.of(reg2=(0xB << 28, 0xF << 28)))
        self.assertEqual(request.instructions, (ApplyActions((SetField(REGS[0], 0x500, 0xF00),)),))

    def test_said_twice(self) -> None:
        """Of what is matched twice, the last counts."""
        request = self.learn(match(0xFFF, VLAN), match(VLAN, VLAN))
        self.assertEqual(request.match, Match.of(vlan_tci=(5, 0xFFF)))

    def test_in_port(self) -> None:
        """A port is one of OpenFlow 1.0 where it has 16 bits."""
        for number in (7, Port.LOCAL):
            key = Match.of(in_port=number).value
            request = self.learn(match(IN_PORT, IN_PORT), key=key)
            self.assertEqual(request.match, Match.of(in_port=number))

    def test_outputs(self) -> None:
        """A rule may be learned to output to a port, and to some of the reserved ones."""
        for value, port in (
            (7, 7),
            (0xFFF8, Port.IN_PORT),
            (0xFFFB, Port.FLOOD),
            (0xFFFC, Port.ALL),
            (0xFFFE, Port.LOCAL),
            (0xFFF9, None),
            (0xFFFA, None),
            (0xFFFD, None),
            (0xFFFF, None),
        ):
            key = Match.of(reg0=value).value
            request = self.learn(output(Subfield(REGS[0], 0, 16)), key=key)
            expected = () if port is None else (ApplyActions((Output(port, NO_BUFFER),)),)
            self.assertEqual(request.instructions, expected, hex(value))

    def test_the_rest(self) -> None:
        """Cookie, priority, timeouts and flags are those of the action."""
        request = self.learn(
            priority=7,
            cookie=8,
            idle_timeout=9,
            hard_timeout=10,
            flags=LearnFlags.SEND_FLOW_REM | LearnFlags.DELETE_LEARNED,
        )
        self.assertEqual(
            (
                request.priority,
                request.cookie,
                request.idle_timeout,
                request.hard_timeout,
                request.flags,
                request.instructions,
                request.match,
            ),
            (7, 8, 9, 10, FlowModFlags.SEND_FLOW_REM, (), Match()),
        )

    def test_fin_timeout(self) -> None:
        """A rule that shall go when its connection ends has the action for that, first."""
        request = self.learn(output(IN_PORT), fin_idle_timeout=1, fin_hard_timeout=2)
        self.assertEqual(
            request.instructions, (ApplyActions((FinTimeout(1, 2), Output(3, NO_BUFFER))),)
        )
