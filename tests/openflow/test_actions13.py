"""Tests for :mod:`agent.openflow.actions13`."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as act
from agent.openflow import actions13, errors, fields
from agent.openflow.actions import Action, SetField
from agent.openflow.actions13 import (
    NXAST_POP_QUEUE,
    ActionType,
    decode_actions,
    encode_actions,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import OXM_FIELDS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from agent.openflow.oxm import encode_oxm_field

CASES: dict[ActionType, tuple[Any, Action]] = {
    ActionType.OUTPUT: (
        parser.OFPActionOutput(0xFFFFFFFD, 128),
        act.Output(Port.CONTROLLER, 128),
    ),
    ActionType.COPY_TTL_OUT: (parser.OFPActionCopyTtlOut(), act.CopyTtlOut()),
    ActionType.COPY_TTL_IN: (parser.OFPActionCopyTtlIn(), act.CopyTtlIn()),
    ActionType.SET_MPLS_TTL: (parser.OFPActionSetMplsTtl(64), act.SetMplsTtl(64)),
    ActionType.DEC_MPLS_TTL: (parser.OFPActionDecMplsTtl(), act.DecMplsTtl()),
    ActionType.PUSH_VLAN: (parser.OFPActionPushVlan(0x88A8), act.PushVlan(0x88A8)),
    ActionType.POP_VLAN: (parser.OFPActionPopVlan(), act.PopVlan()),
    ActionType.PUSH_MPLS: (parser.OFPActionPushMpls(0x8848), act.PushMpls(0x8848)),
    ActionType.POP_MPLS: (parser.OFPActionPopMpls(0x0800), act.PopMpls(0x0800)),
    ActionType.SET_QUEUE: (parser.OFPActionSetQueue(7), act.SetQueue(7)),
    ActionType.GROUP: (parser.OFPActionGroup(42), act.GroupAction(42)),
    ActionType.SET_NW_TTL: (parser.OFPActionSetNwTtl(63), act.SetNwTtl(63)),
    ActionType.DEC_NW_TTL: (parser.OFPActionDecNwTtl(), act.DecNwTtl()),
    ActionType.SET_FIELD: (
        parser.OFPActionSetField(eth_src="00:01:02:03:04:05"),
        SetField(fields.ETH_SRC, 0x000102030405),
    ),
    ActionType.PUSH_PBB: (parser.OFPActionPushPbb(0x88E7), act.PushPbb(0x88E7)),
    ActionType.POP_PBB: (parser.OFPActionPopPbb(), act.PopPbb()),
}
"""Each action: how os-ken writes it, and what it is."""


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_complete(self) -> None:
        """There is a case of each action."""
        self.assertEqual(set(CASES), set(ActionType))

    def check(self, theirs: Any, action: Action) -> None:
        """The bytes are equal, and mean the same to both."""
        data = bytearray()
        theirs.serialize(data, 0)
        self.assertEqual(encode_actions((action,)), bytes(data))
        self.assertEqual(decode_actions(bytes(data), 0, len(data)), (action,))
        found = parser.OFPAction.parser(encode_actions((action,)), 0)
        self.assertEqual(found.to_jsondict(), theirs.to_jsondict())

    def test_each(self) -> None:
        """Each action."""
        for theirs, action in CASES.values():
            self.check(theirs, action)

    def test_each_field(self) -> None:
        """Each field that can be set, and its padding."""
        for field in OXM_FIELDS:
            if field.writable:
                value = field.limit
                tlv = encode_oxm_field(field, value)
                data = bytes.fromhex("0019 0010") + tlv
                data = data[:2] + (len(data) + 7 & ~7).to_bytes(2, "big") + data[4:]
                data += bytes(-len(data) % 8)
                theirs = parser.OFPAction.parser(data, 0)
                self.assertEqual(theirs.key, field.name)
                self.check(theirs, SetField(field, value))


class ErrorTests(SynchronousTestCase):
    """What is wrong with an action."""

    def assertRefused(self, digits: str, code: errors.ErrorCode) -> None:
        """The action is refused for this reason."""
        data = bytes.fromhex(digits)
        error = self.assertRaises(OpenFlowError, decode_actions, data, 0, len(data))
        self.assertIs(error.code, code, digits)

    def test_lengths(self) -> None:
        """Each action has one length."""
        for kind, (_, action) in CASES.items():
            data = encode_actions((action,))
            longer = data[:2] + (len(data) + 8).to_bytes(2, "big") + data[4:] + bytes(8)
            self.assertRefused(longer.hex(), errors.ACTION_BAD_LEN)
            if len(data) > 8 and kind is not ActionType.SET_FIELD:
                self.assertRefused(f"{kind:04x}0008" + "00" * 4, errors.ACTION_BAD_LEN)

    def test_ethertypes(self) -> None:
        """Only tags of the kind can be pushed; what is left by a pop can be anything."""
        for digits in ("00110008 0800", "00110008 8847", "00130008 8100", "001a0008 8847"):
            self.assertRefused(f"{digits} 0000", errors.BAD_ARGUMENT)
        data = bytes.fromhex("00140008 1234 0000")
        self.assertEqual(decode_actions(data, 0, 8), (act.PopMpls(0x1234),))

    def test_set_field(self) -> None:
        """What set-field cannot do: unknown and unwritable fields, wrong lengths, bad values."""
        for digits, code in (
            ("00190010 80005001 01 00000000000000", errors.BAD_SET_TYPE),  # field 40
            ("00190010 ffff0004 00000000 00000000", errors.BAD_SET_TYPE),
            ("00190010 80000004 00000001 00000000", errors.BAD_SET_TYPE),  # in_port
            ("00190010 80000204 00000001 00000000", errors.BAD_SET_TYPE),  # in_phy_port
            ("00190010 80000408 0000000000000001", errors.BAD_SET_TYPE),  # metadata
            ("00190010 80000603 010203 0000000000", errors.BAD_SET_LEN),
            ("00190008 80000606", errors.BAD_SET_LEN),
            ("00190010 80000610 0102030405060000", errors.BAD_SET_LEN),
            ("00190008 00000000", errors.BAD_SET_LEN),
            ("00190010 80000e01 08 00000000000000", errors.BAD_SET_ARGUMENT),  # vlan_pcp
            ("00190010 80000c02 0005 000000000000", errors.BAD_SET_ARGUMENT),  # no PRESENT
            ("00190010 80000c02 3005 000000000000", errors.BAD_SET_ARGUMENT),
            ("00190010 80000606 010203040506 0001", errors.BAD_SET_ARGUMENT),  # padding
            ("00190018 8000070c 010203040506 ffffffffffff 00000000", errors.BAD_SET_ARGUMENT),
            ("00190018 80000606 010203040506 00000000000000000000", errors.ACTION_BAD_LEN),
        ):
            self.assertRefused(digits, code)

    def test_old_actions(self) -> None:
        """The actions of 1.0 and 1.1 that 1.2 removed are unknown."""
        for kind in (*range(1, 11), 13, 14, 28):
            self.assertRefused(f"{kind:04x}0008 00000000", errors.ACTION_BAD_TYPE)


class NiciraFieldTests(SynchronousTestCase):
    """Fields with a Nicira TLV can be set too."""

    def test_register(self) -> None:
        """A register is set, and written as it came."""
        data = bytes.fromhex("00190010 00010604 00000007 00000000")
        actions = decode_actions(data, 0, len(data))
        self.assertEqual(actions, (SetField(fields.REGS[3], 7),))
        self.assertEqual(encode_actions(actions), data)

    def test_tos(self) -> None:
        """Setting the ToS byte sets the DSCP."""
        data = bytes.fromhex("00190010 00000a01 b8 00000000000000")
        self.assertEqual(decode_actions(data, 0, len(data)), (SetField(fields.IP_DSCP, 46),))


PUSH = act.PushVlan(0x8100)
VID = SetField(fields.VLAN_VID, 0x1005)
PCP = SetField(fields.VLAN_PCP, 3)


class OldVersionTests(SynchronousTestCase):
    """Actions which came from OpenFlow 1.0."""

    def assertWritten(
        self, *actions: Action, like: tuple[Action, ...], match: Match = MATCH_ALL
    ) -> None:
        """They are written as these actions of 1.3 are, every time."""
        for _ in range(2):
            self.assertEqual(encode_actions(actions, match), encode_actions(like), actions)

    def test_set_vlan(self) -> None:
        """A tag is pushed before it is set, unless there surely is one."""
        self.assertWritten(act.SetVlanVid(5), like=(PUSH, VID))
        self.assertWritten(act.SetVlanPcp(3), like=(PUSH, PCP))
        tagged = Match.of(vlan_vid=0x1001)
        self.assertWritten(act.SetVlanVid(5), like=(VID,), match=tagged)
        self.assertWritten(act.SetVlanPcp(3), like=(PCP,), match=tagged)
        self.assertWritten(act.SetVlanVid(5), like=(PUSH, VID), match=Match.of(vlan_vid=0))

    def test_second_vlan(self) -> None:
        """What the actions before did to the tag is known; after a strip it must be pushed."""
        self.assertWritten(act.SetVlanVid(5), act.SetVlanPcp(3), like=(PUSH, VID, PCP))
        self.assertWritten(VID, act.SetVlanPcp(3), like=(VID, PCP))
        self.assertWritten(PUSH, act.SetVlanVid(5), like=(PUSH, VID))
        self.assertWritten(
            act.PopVlan(),
            act.SetVlanVid(5),
            like=(act.PopVlan(), PUSH, VID),
            match=Match.of(vlan_vid=0x1001),
        )

    def test_set_tp(self) -> None:
        """A port is set in the protocol that the rule matches; without one, not at all."""
        for proto, src, dst in (
            (6, fields.TCP_SRC, fields.TCP_DST),
            (17, fields.UDP_SRC, fields.UDP_DST),
            (132, fields.SCTP_SRC, fields.SCTP_DST),
        ):
            match = Match.of(eth_type=0x0800, ip_proto=proto)
            like = (SetField(src, 80), SetField(dst, 81))
            self.assertWritten(act.SetTpSrc(80), act.SetTpDst(81), like=like, match=match)
        self.assertWritten(act.SetTpSrc(80), like=())
        self.assertWritten(act.SetTpDst(80), like=(), match=Match.of(eth_type=0x0800, ip_proto=1))

    def test_enqueue(self) -> None:
        """A queue is set, used and left."""
        wanted = encode_actions((act.SetQueue(7), act.Output(3, 0xFFFF))) + NXAST_POP_QUEUE
        self.assertEqual(encode_actions((act.Enqueue(3, 7),)), wanted)

    def test_masked(self) -> None:
        """Part of a field cannot be set, when no experimenter has words for it."""
        self.patch(actions13, "EXPERIMENTER_ENCODERS", {})
        self.assertWritten(SetField(fields.ETH_SRC, 1, 1), like=())
