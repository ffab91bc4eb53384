"""Nicira's messages: about flows, packets and the session, and the errors which are Nicira's."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from os_ken.ofproto import nx_match
from os_ken.ofproto import ofproto_v1_0 as ofp
from os_ken.ofproto import ofproto_v1_0_parser as parser
from os_ken.ofproto import ofproto_v1_3_parser as parser13
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow import nx_messages as nxm
from agent.openflow.actions import ApplyActions, Output, WriteMetadata
from agent.openflow.codec import decode, encode, encode_error
from agent.openflow.errors import CODES, ErrorCode, OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import ALL_TABLES, ANY, OFP10, OFP13, FlowMod, Message, Port
from agent.openflow.nx_actions import Resubmit, WriteMetadataAction
from tests.openflow.osken import datapath, parse, serialize
from tests.openflow.samples import XID
from tests.openflow.strategies_nicira import message

EXAMPLES = settings(max_examples=200, deadline=None)
MATCH = Match.of(
    in_port=Port.LOCAL,
    eth_dst=0x0A1B2C3D4E5F,
    eth_type=0x0800,
    ipv4_src=(0x0A000000, 0xFF000000),
    tunnel_id=7,
)


def osken_rule() -> Any:
    """``MATCH`` as os-ken's users write it."""
    rule = nx_match.ClsRule()
    rule.set_in_port(ofp.OFPP_LOCAL)
    rule.set_dl_dst(bytes.fromhex("0a1b2c3d4e5f"))
    rule.set_dl_type(0x0800)
    rule.set_nw_src_masked(0x0A000000, 0xFF000000)
    rule.set_tun_id(7)
    return rule


def nicira(version: int, subtype: int, body: str) -> bytes:
    """One of Nicira's messages, whatever its body."""
    data = bytes.fromhex("00002320") + subtype.to_bytes(4, "big") + bytes.fromhex(body)
    return bytes([version, 4]) + (8 + len(data)).to_bytes(2, "big") + XID.to_bytes(4, "big") + data


class RoundTripTests(SynchronousTestCase):
    """What is encoded is decoded to what it was."""

    @EXAMPLES
    @given(message(OFP10))
    def test_any_message10(self, drawn: Message) -> None:
        """Any message of Nicira's in 1.0."""
        self.assertEqual(decode(OFP10, encode(OFP10, drawn)), drawn)

    @EXAMPLES
    @given(message(OFP13))
    def test_any_message13(self, drawn: Message) -> None:
        """Any message of Nicira's in 1.3."""
        self.assertEqual(decode(OFP13, encode(OFP13, drawn)), drawn)


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def assert_same(self, theirs: Any, ours: Message) -> None:
        """os-ken's message is read as ours, and ours makes the same bytes as os-ken's."""
        data = serialize(theirs)
        self.assertEqual(decode(OFP10, data), ours)
        self.assertEqual(encode(OFP10, ours).hex(), data.hex())

    def test_session(self) -> None:
        """Roles, formats, ids, and what is wanted."""
        dp = datapath(OFP10)
        for role, ours in (
            (ofp.NX_ROLE_OTHER, 1),
            (ofp.NX_ROLE_MASTER, 2),
            (ofp.NX_ROLE_SLAVE, 3),
        ):
            theirs = parser.NXTRoleRequest(dp, role)
            self.assert_same(theirs, messages.RoleRequest(ours, None, XID))
        self.assert_same(parser.NXTSetFlowFormat(dp, ofp.NXFF_NXM), nxm.SetFlowFormat(2, XID))
        self.assert_same(parser.NXTFlowModTableId(dp, 1), nxm.FlowModTableId(True, XID))
        self.assert_same(parser.NXTSetPacketInFormat(dp, 1), nxm.SetPacketInFormat(1, XID))
        self.assert_same(parser.NXTFlowAge(dp), nxm.FlowAge(XID))
        masks = messages.AsyncConfig((1, 2), (3, 4), (5, 6))
        self.assert_same(
            parser.NXTSetAsyncConfig(dp, (1, 2), (3, 4), (5, 6)), messages.SetAsync(masks, XID)
        )
        self.assert_same(parser.NXTSetControllerId(dp, 9), nxm.SetControllerId(9, XID))

    def test_later_version(self) -> None:
        """In 1.3 it is the same but for the version."""
        theirs = serialize(parser13.NXTSetPacketInFormatMsg(datapath(OFP13), 1))
        ours = nxm.SetPacketInFormat(1, XID)
        self.assertEqual(decode(OFP13, theirs), ours)
        self.assertEqual(encode(OFP13, ours), theirs)

    def test_flow_mod(self) -> None:
        """NXT_FLOW_MOD, with the table in its command, and actions of both sorts."""
        actions = [parser.OFPActionOutput(2), parser.NXActionResubmitTable(0xFFF8, 7)]
        theirs = parser.NXTFlowMod(
            datapath(OFP10), 5, 0x0901, 10, 20, 99, 77, 3, 3, osken_rule(), actions
        )
        ours = FlowMod(
            0x0901,
            MATCH,
            99,
            (ApplyActions((Output(2, 0xFFE5), Resubmit(table_id=7))),),
            ALL_TABLES,
            5,
            0,
            10,
            20,
            77,
            3,
            ANY,
            3,
            XID,
            True,
            5,
        )
        self.assert_same(theirs, ours)

    def test_registers(self) -> None:
        """os-ken puts ports before addresses, we do not; both orders are read."""
        rule = osken_rule()
        rule.set_nw_proto(6)
        rule.set_tp_dst(80)
        rule.set_reg_masked(3, 5, 0xFF)
        theirs = parser.NXTFlowMod(datapath(OFP10), 5, 1, rule=rule)
        found = decode(OFP10, serialize(theirs))
        assert isinstance(found, FlowMod)
        more = Match.of(ip_proto=6, tcp_dst=80, reg3=(5, 0xFF))
        self.assertEqual(found.match, Match(MATCH.mask | more.mask, MATCH.value | more.value))
        self.assertEqual(decode(OFP10, encode(OFP10, found)), found)

    def test_role_reply(self) -> None:
        """os-ken reads our NXT_ROLE_REPLY."""
        reply = parse(encode(OFP10, messages.RoleReply(3, None, XID)))
        self.assertEqual(reply.data.role, ofp.NX_ROLE_SLAVE)

    def test_flow_removed(self) -> None:
        """os-ken reads our NXT_FLOW_REMOVED."""
        ours = messages.FlowRemoved(MATCH, 5, 9, 2, 3, 10, 11, 12, 0, 13, 14, XID, True)
        theirs = parse(encode(OFP10, ours)).data
        for name in ("cookie", "priority", "reason", "duration_sec", "duration_nsec"):
            self.assertEqual(getattr(theirs, name), getattr(ours, name))
        self.assertEqual((theirs.packet_count, theirs.byte_count), (13, 14))
        # It reads no more of the match than that there is one.
        self.assertEqual(theirs.match_len, 6 + 10 + 6 + 12 + 12)
        self.assertEqual(theirs.match.header, ofp.NXM_OF_IN_PORT)

    def test_packet_in(self) -> None:
        """os-ken reads our NXT_PACKET_IN."""
        match = Match.of(in_port=3, reg0=5)
        ours = messages.PacketIn(77, 62, 1, 3, 5, match, bytes(60), XID, True)
        theirs = parse(encode(OFP10, ours)).data
        for name in ("buffer_id", "total_len", "reason", "table_id", "cookie"):
            self.assertEqual(getattr(theirs, name), getattr(ours, name))
        self.assertEqual(theirs.match_len, 6 + 8)
        self.assertEqual(theirs.match.header, ofp.NXM_OF_IN_PORT)
        self.assertEqual(theirs.frame, bytes(2 + 60))  # with the padding in front of it


class TwinTests(SynchronousTestCase):
    """Messages that both OpenFlow and Nicira have."""

    def test_flow_mod(self) -> None:
        """A FLOW_MOD of 1.0 is OpenFlow's unless nxm says otherwise."""
        plain = FlowMod(0, MATCH_ALL, 1, (), ALL_TABLES, 5, xid=XID)
        self.assertEqual(encode(OFP10, plain)[1], 14)
        self.assertEqual(encode(OFP10, attrs.evolve(plain, nxm=True))[1], 4)
        # In 1.3 there is but one.
        self.assertEqual(encode(OFP13, attrs.evolve(plain, nxm=True))[1], 14)

    def test_flow_removed(self) -> None:
        """Likewise FLOW_REMOVED, so that a session of any kind may be given the same one."""
        removed = messages.FlowRemoved(MATCH_ALL, 5, 9, 2, 3, 10, 11, 12, 0, 13, 14, XID)
        for nxm_, version, kind in ((False, 1, 11), (True, 1, 4), (False, 4, 11), (True, 4, 11)):
            data = encode(version, attrs.evolve(removed, nxm=nxm_))
            self.assertEqual(data[1], kind)

    def test_packet_in(self) -> None:
        """PACKET_IN has the twin in every version."""
        event = messages.PacketIn(77, 62, 1, 3, 5, Match.of(in_port=3), bytes(60), XID)
        for version in (OFP10, OFP13):
            self.assertEqual(encode(version, event)[1], 10)
            self.assertEqual(encode(version, attrs.evolve(event, nxm=True))[1], 4)

    def test_roles(self) -> None:
        """A role without a generation id is Nicira's; 1.0 has no other."""
        for version, generation_id, kind in ((1, None, 4), (1, 5, 4), (4, None, 4), (4, 5, 24)):
            data = encode(version, messages.RoleRequest(2, generation_id, XID))
            self.assertEqual(data[1], kind)
            wanted = messages.RoleRequest(2, None if kind == 4 else generation_id, XID)
            self.assertEqual(decode(version, data), wanted)

    def test_no_change(self) -> None:
        """Nicira has no word for a role that stays."""
        self.assertRaises(ValueError, encode, OFP10, messages.RoleRequest(0, None))

    def test_async(self) -> None:
        """SET_ASYNC is read from Nicira's message in 1.3 too, and written as OpenFlow's."""
        ours = messages.SetAsync(messages.AsyncConfig((1, 2), (3, 4), (5, 6)), XID)
        data = encode(OFP10, ours)
        self.assertEqual(decode(OFP13, b"\4" + data[1:]), ours)
        self.assertEqual(encode(OFP13, ours)[1], 28)


class FlowModTests(SynchronousTestCase):
    """What an NXT_FLOW_MOD says of cookies, tables and metadata."""

    def read(self, **changes: Any) -> FlowMod:
        """The message read from one written with these values."""
        sent = FlowMod(1, MATCH_ALL, 1, (), ALL_TABLES, nxm=True, xid=XID)
        found = decode(OFP10, encode(OFP10, attrs.evolve(sent, **changes)))
        assert isinstance(found, FlowMod)
        return found

    def test_new_cookie(self) -> None:
        """The cookie is new, and all ones leave cookies as they are."""
        found = self.read(cookie=7, new_cookie=7)
        self.assertEqual((found.cookie, found.cookie_mask, found.new_cookie), (7, 0, 7))
        found = self.read(cookie=(1 << 64) - 1)
        self.assertEqual((found.cookie_mask, found.new_cookie), (0, None))

    def test_criterion(self) -> None:
        """A cookie in the match says which rules are meant; the other is what they get."""
        for mask in (0xFF, (1 << 64) - 1):
            found = self.read(cookie=5, cookie_mask=mask, new_cookie=9)
            self.assertEqual((found.cookie, found.cookie_mask, found.new_cookie), (5, mask, 9))
            found = self.read(cookie=5, cookie_mask=mask)
            self.assertEqual((found.cookie, found.cookie_mask, found.new_cookie), (5, mask, None))

    def test_add(self) -> None:
        """An ADD cannot ask for a cookie, in whatever table."""
        for command in (0, 0x0900):
            sent = FlowMod(command, MATCH_ALL, 1, cookie=5, cookie_mask=7, nxm=True)
            error = self.assertRaises(OpenFlowError, decode, OFP10, encode(OFP10, sent))
            self.assertIs(error.code, errors.NXM_INVALID)

    def test_command(self) -> None:
        """The command keeps all its 16 bits; who has enabled tables splits it."""
        found = self.read(command=0xFF03)
        self.assertEqual(found.command, 0xFF03)
        self.assertEqual(nxm.split_command(found.command), (0xFF, 3))
        self.assertEqual(nxm.split_command(4), (0, 4))

    def test_metadata(self) -> None:
        """Metadata written at the end is the instruction; elsewhere it stays an action."""
        write = WriteMetadataAction(5, 7)
        for actions, wanted in (
            ((Output(1), write), (ApplyActions((Output(1),)), WriteMetadata(5, 7))),
            ((write,), (WriteMetadata(5, 7),)),
            ((write, Output(1)), (ApplyActions((write, Output(1))),)),
            ((write, write), (ApplyActions((write,)), WriteMetadata(5, 7))),
        ):
            found = self.read(instructions=(ApplyActions(actions),))
            self.assertEqual(found.instructions, wanted)
            data = encode(OFP10, attrs.evolve(found, xid=0))
            again = encode(OFP10, self.read(instructions=wanted, xid=0))
            self.assertEqual(data, again)

    def test_flags(self) -> None:
        """Flags that 1.0 does not have are BAD_FLAGS."""
        data = bytearray(encode(OFP10, FlowMod(0, MATCH_ALL, nxm=True)))
        data[38:40] = b"\0\x08"
        error = self.assertRaises(OpenFlowError, decode, OFP10, bytes(data))
        self.assertIs(error.code, errors.FLOW_MOD_BAD_FLAGS)


COOKIE = "00013c08"
COOKIE_W = "00013d10"
ETH_TYPE = "00000602"


class MatchTests(SynchronousTestCase):
    """Matches within messages."""

    def flow_mod(self, match: str, length: int | None = None) -> bytes:
        """An NXT_FLOW_MOD (DELETE) with this match."""
        data = bytes.fromhex(match)
        size = len(data) if length is None else length
        head = "00" * 8 + "0003" + "0000" * 3 + "ffffffff ffff 0000" + f"{size:04x}" + "00" * 6
        return nicira(OFP10, 13, head + match + "00" * (-len(data) % 8))

    def read(self, match: str) -> FlowMod:
        """The message with this match."""
        found = decode(OFP10, self.flow_mod(match))
        assert isinstance(found, FlowMod)
        return found

    def test_cookie(self) -> None:
        """A cookie may stand anywhere among the fields, with and without a mask."""
        cookie = f"{COOKIE} 0000000000000005"
        masked = f"{COOKIE_W} 0000000000000005 000000000000000f"
        for match, fields, mask in (
            (cookie, {}, (1 << 64) - 1),
            (masked, {}, 15),
            (f"{ETH_TYPE}0800 {masked}", {"eth_type": 0x800}, 15),
            (f"{cookie} {ETH_TYPE}0800", {"eth_type": 0x800}, (1 << 64) - 1),
        ):
            found = self.read(match)
            self.assertEqual((found.cookie, found.cookie_mask), (5, mask))
            self.assertEqual(found.match, Match.of(**fields))

    def test_value_like_a_header(self) -> None:
        """Bytes of a value which look like the cookie's header are a value."""
        found = self.read(f"0001200800013c0800013d10 {ETH_TYPE}0800")
        self.assertEqual(found.cookie_mask, 0)
        self.assertEqual(found.match, Match.of(tunnel_id=0x00013C0800013D10, eth_type=0x800))

    def test_refused(self) -> None:
        """What is wrong with a match, or with the cookie in it."""
        cookie = f"{COOKIE}0000000000000005"
        for data, code in (
            (self.flow_mod(cookie * 2), errors.DUP_FIELD),
            (self.flow_mod(f"{COOKIE_W} 0000000000000005 0000000000000002"), errors.BAD_WILDCARDS),
            (self.flow_mod(f"{COOKIE} 00000005"), errors.MATCH_BAD_LEN),
            (self.flow_mod(f"{ETH_TYPE}0800", 14), errors.MATCH_BAD_LEN),
            (self.flow_mod(f"{ETH_TYPE}0800", 5), errors.MATCH_BAD_LEN),
            (self.flow_mod("", 0xFFFF), errors.MATCH_BAD_LEN),
            (self.flow_mod("0001fe0400000001"), errors.BAD_FIELD),
            (self.flow_mod("00000e0400000001"), errors.BAD_PREREQ),
            (self.flow_mod(f"{ETH_TYPE}0800 {ETH_TYPE}0800"), errors.DUP_FIELD),
        ):
            error = self.assertRaises(OpenFlowError, decode, OFP10, data)
            self.assertIs(error.code, code, data.hex())

    def test_only_where_rules_are_meant(self) -> None:
        """What tells of a rule has no cookie in its match."""
        head = "00" * 22 + "000c" + "00" * 16
        data = nicira(OFP10, 14, f"{head}{COOKIE} 0000000000000005 00000000")
        error = self.assertRaises(OpenFlowError, decode, OFP10, data)
        self.assertIs(error.code, errors.BAD_FIELD)


class RefusedTests(SynchronousTestCase):
    """Messages which are refused."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """These bytes are refused with this error."""
        error = self.assertRaises(OpenFlowError, decode, data[0], data)
        self.assertIs(error.code, code, data.hex())

    def test_unknown(self) -> None:
        """Types that Nicira has not, or not in this version, are BAD_EXP_TYPE."""
        for version, subtypes in ((OFP10, (0, 9, 24, 99)), (OFP13, (0, 12, 13, 14, 21, 22, 23))):
            for subtype in subtypes:
                self.assert_refused(errors.BAD_EXP_TYPE, nicira(version, subtype, "00" * 64))

    def test_short(self) -> None:
        """Without a type it is REQUEST_BAD_LEN."""
        self.assert_refused(errors.REQUEST_BAD_LEN, bytes.fromhex("0104000c 00000000 00002320"))

    def test_lengths(self) -> None:
        """Messages of fixed size which are a byte longer or shorter."""
        for subtype, size in (
            *((10, 4), (11, 4), (12, 4), (15, 8), (16, 4), (18, 0), (19, 24), (20, 8)),
            *((21, 4), (22, 0), (23, 0)),
        ):
            decode(OFP10, nicira(OFP10, subtype, "00" * size))
            self.assert_refused(errors.REQUEST_BAD_LEN, nicira(OFP10, subtype, "00" * (size + 1)))
            if size:
                data = nicira(OFP10, subtype, "00" * (size - 1))
                self.assert_refused(errors.REQUEST_BAD_LEN, data)

    def test_too_short(self) -> None:
        """Messages of any length which are shorter than their fixed part."""
        for subtype, least in ((13, 32), (14, 40), (17, 26)):
            for size in (0, least - 1):
                data = nicira(OFP10, subtype, "00" * size)
                self.assert_refused(errors.REQUEST_BAD_LEN, data)

    def test_left_over(self) -> None:
        """Behind the match of an NXT_FLOW_REMOVED there is nothing."""
        self.assert_refused(errors.REQUEST_BAD_LEN, nicira(OFP10, 14, "00" * 48))

    def test_values(self) -> None:
        """Roles and formats there are not, and reserved bytes."""
        for version in (OFP10, OFP13):
            self.assert_refused(errors.ROLE_BAD_ROLE, nicira(version, 10, "00000003"))
            self.assert_refused(errors.REQUEST_EPERM, nicira(version, 16, "00000002"))
            self.assert_refused(errors.MUST_BE_ZERO, nicira(version, 20, "0000000000010005"))
        for number in ("00000001", "00000003"):
            self.assert_refused(errors.REQUEST_EPERM, nicira(OFP10, 12, number))

    def test_too_long(self) -> None:
        """A rule whose statistics fit no message is TOO_MANY."""
        note = "ffff 8000 00002320 0008" + "00" * (0x8000 - 10)
        head = "00" * 32
        data = nicira(OFP10, 13, head + note)
        decode(OFP10, data)
        self.assert_refused(errors.TOO_MANY, nicira(OFP10, 13, head + note + "00" * 0x7FC8))


class ErrorTests(SynchronousTestCase):
    """Errors that are Nicira's on the wire."""

    def test_old_version(self) -> None:
        """In 1.0 the vendor's numbers stand in front of the request."""
        request = bytes.fromhex("0104000c 12345678") + bytes(80)
        found = decode(OFP10, encode_error(OFP10, errors.BAD_PREREQ, request))
        wanted = bytes.fromhex("00002320 0001 0104") + request[:64]
        self.assertEqual(found, messages.ErrorMessage(0xB0C2, 0, wanted, XID))

    def test_later_version(self) -> None:
        """In 1.3 the experimenter's number does, where OpenFlow has no number itself."""
        request = bytes.fromhex("0404000c 12345678") + bytes(80)
        found = decode(OFP13, encode_error(OFP13, errors.MUST_BE_ZERO, request))
        wanted = bytes.fromhex("00002320") + request[:64]
        self.assertEqual(found, messages.ErrorMessage(0xFFFF, 4, wanted, XID))
        found = decode(OFP13, encode_error(OFP13, errors.BAD_PREREQ, request))
        self.assertEqual(found, messages.ErrorMessage(4, 9, request[:64], XID))

    def test_different(self) -> None:
        """No two of Nicira's errors have the same numbers."""
        for of in (lambda code: code.nx10, lambda code: code.nx13):
            numbers = [of(code) for code in CODES.values() if of(code) is not None]
            self.assertEqual(len(set(numbers)), len(numbers))
