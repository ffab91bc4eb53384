"""Tests of :mod:`agent.ofproto.validate`."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto import validate
from agent.ofproto.validate import Validator
from agent.openflow import errors
from agent.openflow.actions import (
    Action,
    ApplyActions,
    DecMplsTtl,
    DecNwTtl,
    Enqueue,
    GotoTable,
    GroupAction,
    Instructions,
    MeterInstruction,
    Output,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetQueue,
    SetVlanVid,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.fields import (
    ETH_DST,
    ETH_TYPE,
    IN_PORT,
    IPV4_DST,
    IPV6_ND_TARGET,
    MPLS_LABEL,
    REGS,
    TCP_DST,
    UDP_DST,
    VLAN_PCP,
    VLAN_TCI,
    VLAN_VID,
)
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import ANY, OFP10, OFP13, Port
from agent.openflow.nx_actions import (
    Bundle,
    DecTtlCntIds,
    FinTimeout,
    Learn,
    LearnFlags,
    LearnSpec,
    LearnTo,
    Multipath,
    OutputReg,
    RegMove,
    Resubmit,
    StackPop,
    StackPush,
    Subfield,
)
from drivers.interfaces import ALL_FIELDS, RESERVED_PORTS, TableCapabilities

TCP = Match.of(eth_type=0x800, ip_proto=6)


@attrs.define
class SomeLimits:
    """A switch with three tables, one group and one meter, without NORMAL."""

    reserved_ports: frozenset[int] = RESERVED_PORTS
    groups: frozenset[int] = frozenset({1})
    forgets: int = 0

    def has_table(self, table_id: int) -> bool:
        """See :class:`agent.ofproto.validate.Limits`, like the rest."""
        return table_id < 3

    def has_group(self, group_id: int) -> bool:
        """Group 1, until it is deleted."""
        return group_id in self.groups

    def has_meter(self, meter_id: int) -> bool:
        """Only meter 1."""
        return meter_id == 1

    def check_queue(self, action: Enqueue | SetQueue) -> None:
        """Any but 9."""
        if action.queue_id == 9:
            raise OpenFlowError(errors.BAD_QUEUE)

    def will_forget(self) -> None:
        """Count."""
        self.forgets += 1


def apply(*actions: Action) -> Instructions:
    """Instructions that apply these actions."""
    return (ApplyActions(actions),)


class ValidatorTestCase(SynchronousTestCase):
    """What these tests have in common."""

    def setUp(self) -> None:
        """Make a table that can do everything."""
        self.limits = SomeLimits()
        self.validator = self.validator_of()

    def validator_of(self, table_id: int = 0, **capabilities: Any) -> Validator:
        """A validator of a table with these capabilities."""
        return Validator(TableCapabilities(table_id, "some", 10, **capabilities), self.limits)

    def accept(self, match: Match, instructions: Instructions = (), version: int = OFP13) -> None:
        """This is good, also the second time."""
        self.validator.check(version, match, instructions)
        self.validator.check(version, match, instructions)

    def refuse(
        self,
        code: ErrorCode,
        match: Match,
        instructions: Instructions = (),
        version: int = OFP13,
    ) -> None:
        """This is refused with this error, also the second time."""
        for _ in range(2):
            error = self.assertRaises(
                OpenFlowError, self.validator.check, version, match, instructions
            )
            self.assertIs(error.code, code)


class MatchTests(ValidatorTestCase):
    """What a table can compare."""

    def test_fields(self) -> None:
        """Fields that the table cannot match are BAD_FIELD."""
        self.validator = self.validator_of(match_mask=IN_PORT.mask | ETH_TYPE.mask)
        self.accept(Match.of(in_port=1, eth_type=0x800))
        self.accept(MATCH_ALL)
        self.refuse(errors.BAD_FIELD, Match.of(in_port=1, eth_dst=5))

    def test_masks(self) -> None:
        """Fields that the table can only match as a whole are BAD_MASK with a mask."""
        self.validator = self.validator_of(match_mask=ALL_FIELDS, exact_mask=IPV4_DST.mask)
        self.accept(Match.of(eth_type=0x800, ipv4_dst=5))
        self.accept(Match.of(eth_dst=(4, 4)))
        self.refuse(errors.MATCH_BAD_MASK, Match.of(eth_type=0x800, ipv4_dst=(4, 4)))

    def test_memory(self) -> None:
        """Very many different masks are remembered within bounds."""
        self.patch(validate, "MEMORY", 3)
        for bit in range(10):
            self.accept(Match.of(eth_dst=(1 << bit, 1 << bit)), apply(Output(bit + 1)))
        self.assertLessEqual(len(self.validator._masks), 3)
        self.assertLessEqual(len(self.validator._good), 3)


class InstructionTests(ValidatorTestCase):
    """What a table can do."""

    def test_unsupported(self) -> None:
        """Instructions that the table does not have are refused, metadata with its own code."""
        self.validator = self.validator_of(instructions=frozenset({ApplyActions}))
        self.accept(MATCH_ALL, apply(Output(1)))
        self.refuse(errors.UNSUP_INST, MATCH_ALL, (GotoTable(1),))
        self.refuse(errors.UNSUP_METADATA, MATCH_ALL, (WriteMetadata(1, 1),))

    def test_goto(self) -> None:
        """A packet only goes forward, and to a table that there is."""
        self.validator = self.validator_of(1)
        self.accept(MATCH_ALL, (GotoTable(2),))
        for table_id in (0, 1, 3, 255):
            self.refuse(errors.INST_BAD_TABLE_ID, MATCH_ALL, (GotoTable(table_id),))

    def test_meter(self) -> None:
        """A meter must exist."""
        self.accept(MATCH_ALL, (MeterInstruction(1),))
        self.refuse(errors.UNKNOWN_METER, MATCH_ALL, (MeterInstruction(2),))

    def test_actions(self) -> None:
        """Applied and written actions are each what the table can apply and write."""
        self.validator = self.validator_of(
            actions=frozenset({Output}), write_actions=frozenset({DecNwTtl})
        )
        self.accept(MATCH_ALL, apply(Output(1)))
        self.accept(TCP, (WriteActions((DecNwTtl(),)),))
        self.refuse(errors.ACTION_BAD_TYPE, TCP, apply(DecNwTtl()))
        self.refuse(errors.ACTION_BAD_TYPE, MATCH_ALL, (WriteActions((Output(1),)),))

    def test_groups(self) -> None:
        """A group must exist, until it is gone."""
        instructions = apply(GroupAction(1))
        self.accept(MATCH_ALL, instructions)
        self.refuse(errors.BAD_OUT_GROUP, MATCH_ALL, apply(GroupAction(2)))
        self.limits.groups = frozenset()
        self.validator.forget()
        self.refuse(errors.BAD_OUT_GROUP, MATCH_ALL, instructions)


class PortTests(ValidatorTestCase):
    """Where actions may output to."""

    def test_ordinary(self) -> None:
        """Ports are numbered from 1, whether there is one or not: it may come."""
        for make in (Output, lambda port: Enqueue(port, 1)):
            self.accept(MATCH_ALL, apply(make(1)))
            self.accept(MATCH_ALL, apply(make(Port.MAX - 1)))
            for port in (0, Port.MAX, Port.MAX + 1, ANY):
                self.refuse(errors.BAD_OUT_PORT, MATCH_ALL, apply(make(port)))

    def test_queues(self) -> None:
        """A queue must be there, whatever chooses it, and also when the list is known."""
        for action in (SetQueue, lambda queue: Enqueue(1, queue)):
            for _ in range(2):
                self.accept(MATCH_ALL, apply(action(8)))
                self.refuse(errors.BAD_QUEUE, MATCH_ALL, apply(action(9)))

    def test_reserved(self) -> None:
        """Reserved ports are those that the driver has, of which TABLE is for packet-outs."""
        for port in (Port.IN_PORT, Port.FLOOD, Port.ALL, Port.CONTROLLER, Port.LOCAL):
            self.accept(MATCH_ALL, apply(Output(port)))
        for port in (Port.TABLE, Port.NORMAL):
            self.refuse(errors.BAD_OUT_PORT, MATCH_ALL, apply(Output(port)))
        self.limits.reserved_ports = frozenset({Port.NORMAL})
        self.validator = self.validator_of()
        self.accept(MATCH_ALL, apply(Output(Port.NORMAL)))
        self.refuse(errors.BAD_OUT_PORT, MATCH_ALL, apply(Output(Port.FLOOD)))

    def test_packet_out(self) -> None:
        """A packet-out may go to the tables, and needs no prerequisites."""
        check = self.validator.check_packet_out
        for version in (OFP10, OFP13):
            check(version, (SetField(TCP_DST, 5), Output(Port.TABLE)))
            check(version, ())
            error = self.assertRaises(OpenFlowError, check, version, (Output(Port.NORMAL),))
            self.assertIs(error.code, errors.BAD_OUT_PORT)
        self.limits.reserved_ports = frozenset()
        error = self.assertRaises(
            OpenFlowError, self.validator_of().check_packet_out, OFP13, (Output(Port.TABLE),)
        )
        self.assertIs(error.code, errors.BAD_OUT_PORT)


class PrerequisiteTests(ValidatorTestCase):
    """A field may be set where the match, or an action before, says that there is one."""

    def inconsistent(self, match: Match, *actions: Action) -> None:
        """These actions do not fit this match."""
        self.refuse(errors.MATCH_INCONSISTENT, match, apply(*actions))

    def test_by_match(self) -> None:
        """The match says what a packet has."""
        self.accept(TCP, apply(SetField(TCP_DST, 5)))
        self.accept(TCP, apply(SetField(IPV4_DST, 5)))
        self.accept(MATCH_ALL, apply(SetField(ETH_DST, 5)))
        self.inconsistent(TCP, SetField(UDP_DST, 5))
        self.inconsistent(Match.of(eth_type=0x800), SetField(TCP_DST, 5))
        self.inconsistent(MATCH_ALL, SetField(IPV4_DST, 5))
        nd = Match.of(eth_type=0x86DD, ip_proto=58, icmpv6_type=135)
        self.accept(nd, apply(SetField(IPV6_ND_TARGET, 5)))
        self.inconsistent(
            Match.of(eth_type=0x86DD, ip_proto=58, icmpv6_type=1), SetField(IPV6_ND_TARGET, 5)
        )

    def test_not_remembered(self) -> None:
        """What is good for one match need not be for another, in whatever order they come."""
        actions = apply(SetField(TCP_DST, 5))
        self.accept(TCP, actions)
        self.refuse(errors.MATCH_INCONSISTENT, MATCH_ALL, actions)
        self.accept(TCP, actions)

    def test_versions_apart(self) -> None:
        """1.0 has no such rule; what is good there is checked all the same in 1.3."""
        actions = apply(SetField(TCP_DST, 5))
        self.accept(MATCH_ALL, actions, OFP10)
        self.refuse(errors.MATCH_INCONSISTENT, MATCH_ALL, actions)
        self.accept(MATCH_ALL, actions, OFP10)

    def test_vlan(self) -> None:
        """A tag is there when it is matched, or was pushed or set, and not once it was popped."""
        tagged = Match.of(vlan_vid=0x1005)
        untagged = Match.of(vlan_vid=0)
        for field in (VLAN_VID, VLAN_PCP):
            self.accept(tagged, apply(SetField(field, 1)))
            self.accept(untagged, apply(PushVlan(0x8100), SetField(field, 1)))
            self.accept(untagged, apply(SetVlanVid(3), SetField(field, 1)))
            self.inconsistent(untagged, SetField(field, 1))
            self.inconsistent(MATCH_ALL, SetField(field, 1))
            self.inconsistent(tagged, PopVlan(), SetField(field, 1))

    def test_mpls(self) -> None:
        """Pushing and popping shims changes what the packet is."""
        self.accept(TCP, apply(PushMpls(0x8847), SetField(MPLS_LABEL, 1)))
        self.inconsistent(TCP, PushMpls(0x8847), SetField(TCP_DST, 1))
        mpls = Match.of(eth_type=0x8847)
        self.accept(mpls, apply(PopMpls(0x800), SetField(IPV4_DST, 1)))
        self.inconsistent(mpls, PopMpls(0x800), SetField(MPLS_LABEL, 1))

    def test_headers(self) -> None:
        """What changes a header needs a packet that has it; in 1.0 that is not asked."""
        mpls = Match.of(eth_type=0x8848)
        for match, action in (
            (Match.of(eth_type=0x86DD), DecNwTtl()),
            (Match.of(eth_type=0x800), SetNwTtl(3)),
            (Match.of(eth_type=0x800), DecTtlCntIds((1,))),
            (TCP, FinTimeout(1, 2)),
            (mpls, DecMplsTtl()),
            (mpls, SetMplsTtl(3)),
            (mpls, PopMpls(0x800)),
        ):
            self.accept(match, apply(action))
            self.inconsistent(MATCH_ALL, action)
            self.inconsistent(Match.of(eth_type=0x806), action)
            self.accept(MATCH_ALL, apply(action), OFP10)
        self.inconsistent(Match.of(eth_type=0x800, ip_proto=17), FinTimeout(1, 2))
        self.accept(MATCH_ALL, apply(PushMpls(0x8847), DecMplsTtl(), PopMpls(0x800), DecNwTtl()))
        self.accept(Match.of(eth_type=0x88E7), apply(PopPbb(), DecNwTtl()))

    def test_pbb(self) -> None:
        """Nobody can know what is inside a backbone frame."""
        self.accept(Match.of(eth_type=0x88E7), apply(PopPbb(), SetField(IPV4_DST, 1)))


class NiciraTests(ValidatorTestCase):
    """Nicira's actions."""

    def test_tables(self) -> None:
        """A table that is resubmitted to, or taught, must exist."""
        for make in (
            lambda table_id: Resubmit(table_id=table_id),
            lambda table_id: Learn(table_id, ()),
        ):
            for version in (OFP10, OFP13):
                self.accept(MATCH_ALL, apply(make(2)), version)
                self.refuse(errors.BAD_ARGUMENT, MATCH_ALL, apply(make(3)), version)
        self.accept(MATCH_ALL, apply(Resubmit()))
        self.validator.check_packet_out(OFP10, (Resubmit(table_id=2),))
        error = self.assertRaises(
            OpenFlowError, self.validator.check_packet_out, OFP10, (Resubmit(table_id=3),)
        )
        self.assertIs(error.code, errors.BAD_ARGUMENT)

    def test_forgets(self) -> None:
        """The switch hears of rules with which that goes what they taught."""
        self.accept(MATCH_ALL, apply(Learn(1, ())))
        self.assertEqual(self.limits.forgets, 0)
        self.accept(MATCH_ALL, apply(Learn(1, (), flags=LearnFlags.DELETE_LEARNED)))
        self.assertEqual(self.limits.forgets, 1)

    def test_prerequisites(self) -> None:
        """What is read and written must be there, in every version."""
        tcp, udp, register = map(Subfield.whole, (TCP_DST, UDP_DST, REGS[0]))
        spec = LearnSpec(LearnTo.MATCH, tcp, tcp)
        for action in (
            RegMove(tcp, register),
            RegMove(register, tcp),
            OutputReg(tcp),
            StackPush(tcp),
            StackPop(tcp),
            Multipath(0, 0, 0, 1, 0, tcp),
            Bundle(0, 0, 0, (1,), tcp),
            Learn(1, (spec,)),
            SetField(TCP_DST, 5, 0xFFFF),
        ):
            for version in (OFP10, OFP13):
                self.accept(TCP, apply(action), version)
                self.refuse(errors.MATCH_INCONSISTENT, MATCH_ALL, apply(action), version)
        self.refuse(errors.MATCH_INCONSISTENT, TCP, apply(RegMove(tcp, udp)))
        self.accept(MATCH_ALL, apply(RegMove(register, Subfield(VLAN_TCI, 0, 12))), OFP10)
        self.accept(MATCH_ALL, apply(Bundle(0, 0, 0, (1,))))

    def test_not_remembered(self) -> None:
        """What is good for one match need not be for another, in 1.0 neither."""
        actions = apply(StackPush(Subfield.whole(TCP_DST)))
        self.accept(TCP, actions, OFP10)
        self.refuse(errors.MATCH_INCONSISTENT, MATCH_ALL, actions, OFP10)

    def test_after_others(self) -> None:
        """In 1.0, too, what an action before has changed counts."""
        label = SetField(MPLS_LABEL, 5, 0xFFFFF)
        self.accept(MATCH_ALL, apply(PushMpls(0x8847), label), OFP10)
        self.refuse(errors.MATCH_INCONSISTENT, MATCH_ALL, apply(label), OFP10)
