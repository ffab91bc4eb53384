"""Tests for :mod:`agent.openflow.actions10`."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_0_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import action_list, actions10, errors, fields
from agent.openflow import actions as act
from agent.openflow.actions import Action, SetField
from agent.openflow.actions10 import ActionType, decode_actions, encode_actions
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import Port

MAC = 0x000102030405

CASES: dict[ActionType, tuple[Any, Action]] = {
    ActionType.OUTPUT: (
        parser.OFPActionOutput(0xFFFD, 128),
        act.Output(Port.CONTROLLER, 128),
    ),
    ActionType.SET_VLAN_VID: (parser.OFPActionVlanVid(5), act.SetVlanVid(5)),
    ActionType.SET_VLAN_PCP: (parser.OFPActionVlanPcp(3), act.SetVlanPcp(3)),
    ActionType.STRIP_VLAN: (parser.OFPActionStripVlan(), act.PopVlan()),
    ActionType.SET_DL_SRC: (
        parser.OFPActionSetDlSrc("00:01:02:03:04:05"),
        SetField(fields.ETH_SRC, MAC),
    ),
    ActionType.SET_DL_DST: (
        parser.OFPActionSetDlDst("00:01:02:03:04:05"),
        SetField(fields.ETH_DST, MAC),
    ),
    ActionType.SET_NW_SRC: (
        parser.OFPActionSetNwSrc("10.0.0.1"),
        SetField(fields.IPV4_SRC, 0x0A000001),
    ),
    ActionType.SET_NW_DST: (
        parser.OFPActionSetNwDst("10.0.0.1"),
        SetField(fields.IPV4_DST, 0x0A000001),
    ),
    ActionType.SET_NW_TOS: (parser.OFPActionSetNwTos(0xB8), SetField(fields.IP_DSCP, 46)),
    ActionType.SET_TP_SRC: (parser.OFPActionSetTpSrc(80), act.SetTpSrc(80)),
    ActionType.SET_TP_DST: (parser.OFPActionSetTpDst(443), act.SetTpDst(443)),
    ActionType.ENQUEUE: (parser.OFPActionEnqueue(3, 7), act.Enqueue(3, 7)),
}
"""Each action: how os-ken writes it, and what it is."""


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_complete(self) -> None:
        """There is a case of each action."""
        self.assertEqual(set(CASES), set(ActionType))

    def test_each(self) -> None:
        """The bytes of each action are equal, and mean the same to both."""
        for kind, (theirs, action) in CASES.items():
            data = bytearray()
            theirs.serialize(data, 0)
            self.assertEqual(encode_actions((action,)), bytes(data), kind)
            self.assertEqual(decode_actions(bytes(data), 0, len(data)), (action,))
            found = parser.OFPAction.parser(encode_actions((action,)), 0)
            self.assertEqual(str(found), str(theirs))


class ErrorTests(SynchronousTestCase):
    """What is wrong with an action."""

    def assertRefused(self, digits: str, code: errors.ErrorCode) -> None:
        """The action is refused for this reason."""
        data = bytes.fromhex(digits)
        error = self.assertRaises(OpenFlowError, decode_actions, data, 0, len(data))
        self.assertIs(error.code, code, digits)

    def test_arguments(self) -> None:
        """A VLAN of 13 bits, a priority of 4, and a ToS with ECN are bad arguments."""
        for digits in ("00010008 1000 0000", "00020008 08 000000", "00080008 01 000000"):
            self.assertRefused(digits, errors.BAD_ARGUMENT)

    def test_lengths(self) -> None:
        """Each action has one length."""
        for kind, (_, action) in CASES.items():
            data = encode_actions((action,))
            longer = data[:2] + (len(data) + 8).to_bytes(2, "big") + data[4:] + bytes(8)
            self.assertRefused(longer.hex(), errors.ACTION_BAD_LEN)
            if len(data) > 8:
                self.assertRefused(f"{kind:04x}0008" + "00" * 4, errors.ACTION_BAD_LEN)

    def test_enqueue(self) -> None:
        """Only ordinary ports, IN_PORT and LOCAL have queues."""
        for port in (0xFFF8, 0xFFFE, 1):
            data = bytes.fromhex(f"000b0010 {port:04x} 000000000000 00000001")
            decode_actions(data, 0, len(data))
        for port in (0, 0xFF00, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFF):
            self.assertRefused(f"000b0010 {port:04x} 000000000000 00000001", errors.BAD_OUT_PORT)


class OtherVersionTests(SynchronousTestCase):
    """Actions which came from a later version."""

    def assertWritten(self, *actions: Action, like: tuple[Action, ...]) -> None:
        """They are written as these actions of 1.0 are."""
        self.assertEqual(encode_actions(actions), encode_actions(like), actions)

    def test_set_field(self) -> None:
        """A set-field is the action of 1.0 which sets that field."""
        for field, value, action in (
            (fields.VLAN_VID, 0x1005, act.SetVlanVid(5)),
            (fields.VLAN_PCP, 3, act.SetVlanPcp(3)),
            (fields.TCP_SRC, 80, act.SetTpSrc(80)),
            (fields.UDP_DST, 80, act.SetTpDst(80)),
            (fields.SCTP_DST, 80, act.SetTpDst(80)),
        ):
            self.assertWritten(SetField(field, value), like=(action,))

    def test_tag(self) -> None:
        """A whole tag is set by two actions, or stripped."""
        self.assertWritten(
            SetField(fields.VLAN_TCI, 0x7005), like=(act.SetVlanVid(5), act.SetVlanPcp(3))
        )
        self.assertWritten(SetField(fields.VLAN_TCI, 0), like=(act.PopVlan(),))

    def test_push_vlan(self) -> None:
        """A push is done by the SET_VLAN_VID that follows."""
        self.assertWritten(
            act.PushVlan(0x8100), SetField(fields.VLAN_VID, 0x1005), like=(act.SetVlanVid(5),)
        )

    def test_left_out(self) -> None:
        """What 1.0 cannot express is left out, when no experimenter has words for it."""
        self.patch(action_list, "EXPERIMENTER_ENCODERS", {})
        self.patch(actions10, "EXPERIMENTER_ENCODERS", {})
        self.assertWritten(
            act.Output(1),
            act.GroupAction(1),
            act.DecNwTtl(),
            SetField(fields.IPV6_SRC, 1),
            SetField(fields.ETH_SRC, 1, 1),
            like=(act.Output(1),),
        )

    def test_port(self) -> None:
        """A port that 1.0 cannot name is an error."""
        for action in (act.Output(0x10000), act.Enqueue(0x10000, 1)):
            error = self.assertRaises(OpenFlowError, encode_actions, (action,))
            self.assertIs(error.code, errors.BAD_OUT_PORT)
