"""Tests for :mod:`agent.openflow.nicira.actions` and :mod:`agent.openflow.nicira.choices`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_0_parser, ofproto_v1_3_parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as act
from agent.openflow import actions10, actions13, errors, fields
from agent.openflow import nx_actions as nx
from agent.openflow.actions import Action, Actions, SetField
from agent.openflow.constants import ANY, Port
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.nicira.actions import ENCODERS, register_actions
from agent.openflow.nx_actions import Subfield
from tests.openflow.samples_nicira import ACTIONS, ACTIONS10
from tests.openflow.strategies_nicira import ACTIONS as ANY_ACTIONS
from tests.openflow.strategies_nicira import ACTIONS10 as ANY_ACTIONS10

register_actions()  # as the codec does, which these tests do without

VERSIONS: Final[tuple[tuple[Any, Any], ...]] = (
    (actions10, ofproto_v1_0_parser),
    (actions13, ofproto_v1_3_parser),
)
"""Ours and os-ken's."""

REG0, REG1 = fields.REGS[:2]
IN_PORT: Final = Subfield.whole(fields.NX_IN_PORT)

CASES: Final[dict[str, tuple[Callable[[Any], Any], Action]]] = {
    "resubmit": (lambda p: p.NXActionResubmit(3), nx.Resubmit(3)),
    "resubmit table": (lambda p: p.NXActionResubmitTable(0xFFF8, 7), nx.Resubmit(table_id=7)),
    "pop queue": (lambda p: p.NXActionPopQueue(), nx.PopQueue()),
    "reg move": (
        lambda p: p.NXActionRegMove("in_port_nxm", "reg0", 10, 6, 20),
        nx.RegMove(Subfield(fields.NX_IN_PORT, 6, 10), Subfield(REG0, 20, 10)),
    ),
    "reg load": (
        lambda p: p.NXActionRegLoad(4 << 6 | 3, "reg1", 5),
        SetField(REG1, 0x50, 0xF0),
    ),
    "reg load of all": (
        lambda p: p.NXActionRegLoad(47, "eth_dst_nxm", 0x010203040506),
        SetField(fields.ETH_DST, 0x010203040506, (1 << 48) - 1),
    ),
    "reg load2": (
        lambda p: p.NXActionRegLoad2("reg1", 5, 0x55),
        SetField(REG1, 5, 0x55),
    ),
    "note": (lambda p: p.NXActionNote(list(b"a note")), nx.Note(b"a note")),
    "multipath": (
        lambda p: p.NXActionMultipath(1, 50, 2, 15, 9, 4 << 6 | 3, "reg1"),
        nx.Multipath(1, 50, 2, 15, 9, Subfield(REG1, 4, 4)),
    ),
    "bundle": (
        lambda p: p.NXActionBundle(1, 4, 7, 2, 3, 0, 0, [1, 2, 0xFFFE]),
        nx.Bundle(1, 4, 7, (1, 2, Port.LOCAL)),
    ),
    "bundle load": (
        lambda p: p.NXActionBundleLoad(0, 0, 0, 2, 1, 15, "reg0", [5]),
        nx.Bundle(0, 0, 0, (5,), Subfield(REG0, 0, 16)),
    ),
    "output reg": (
        lambda p: p.NXActionOutputReg(5 << 6 | 8, "reg1", 128),
        nx.OutputReg(Subfield(REG1, 5, 9), 128),
    ),
    "controller": (
        lambda p: p.NXActionController(200, 5, 2),
        nx.ControllerAction(200, 5, 2),
    ),
    "dec ttl of ids": (
        lambda p: p.NXActionDecTtlCntIds([1, 2, 3]),
        nx.DecTtlCntIds((1, 2, 3)),
    ),
    "fin timeout": (lambda p: p.NXActionFinTimeout(1, 2), nx.FinTimeout(1, 2)),
    "stack push": (
        lambda p: p.NXActionStackPush("ipv6_src_nxm", 0, 128),
        nx.StackPush(Subfield.whole(fields.IPV6_SRC)),
    ),
    "stack pop": (
        lambda p: p.NXActionStackPop("reg0", 8, 16),
        nx.StackPop(Subfield(REG0, 8, 16)),
    ),
    "exit": (lambda p: p.NXActionExit(), nx.Exit()),
}
"""What is Nicira's in every version: how os-ken writes it, and what it is."""

CASES10: Final[dict[str, tuple[Callable[[Any], Any], Action]]] = {
    "set tunnel": (lambda p: p.NXActionSetTunnel(5), SetField(fields.TUNNEL_ID, 5)),
    "set tunnel64": (
        lambda p: p.NXActionSetTunnel64(1 << 32),
        SetField(fields.TUNNEL_ID, 1 << 32),
    ),
    "set queue": (lambda p: p.NXActionSetQueue(5), act.SetQueue(5)),
    "dec ttl": (lambda p: p.NXActionDecTtl(), act.DecNwTtl()),
    "push mpls": (lambda p: p.NXActionPushMpls(0x8847), act.PushMpls(0x8847)),
    "pop mpls": (lambda p: p.NXActionPopMpls(0x0800), act.PopMpls(0x0800)),
    "set mpls ttl": (lambda p: p.NXActionSetMplsTtl(64), act.SetMplsTtl(64)),
    "dec mpls ttl": (lambda p: p.NXActionDecMplsTtl(), act.DecMplsTtl()),
    "set mpls label": (
        lambda p: p.NXActionSetMplsLabel(0xABCDE),
        SetField(fields.MPLS_LABEL, 0xABCDE),
    ),
    "set mpls tc": (lambda p: p.NXActionSetMplsTc(5), SetField(fields.MPLS_TC, 5)),
}
"""What is Nicira's in 1.0, and OpenFlow's in 1.3."""


def serialized(action: Any) -> bytes:
    """The bytes of an action of os-ken, with the padding that it leaves out of some."""
    data = bytearray()
    action.serialize(data, 0)
    return bytes(data).ljust(int.from_bytes(data[2:4], "big"), b"\0")


def read(codec: Any, data: bytes) -> Actions:
    """The actions in these bytes."""
    found: Actions = codec.decode_actions(data, 0, len(data))
    return found


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_each(self) -> None:
        """The bytes of each action are equal in both versions, and mean the same to both."""
        for name, (theirs, action) in CASES.items():
            for codec, parser in VERSIONS:
                data = serialized(theirs(parser))
                self.assertEqual(read(codec, data), (action,), name)
                self.assertEqual(codec.encode_actions((action,)).hex(), data.hex(), name)
                found = parser.OFPAction.parser(codec.encode_actions((action,)), 0)
                self.assertEqual(serialized(found), data, name)

    def test_in_old_version(self) -> None:
        """What 1.3 has as well is written as Nicira's in 1.0 only, and read in both."""
        for name, (theirs, action) in CASES10.items():
            for codec, parser in VERSIONS:
                data = serialized(theirs(parser))
                self.assertEqual(read(codec, data), (action,), name)
            self.assertEqual(actions10.encode_actions((action,)), data, name)
            self.assertNotIn(b"\x00\x00\x23\x20", actions13.encode_actions((action,)), name)

    def test_output_reg2(self) -> None:
        """The newer form of ``output_reg`` is the same action."""
        for codec, parser in VERSIONS:
            data = serialized(parser.NXActionOutputReg2(5 << 6 | 8, "reg1", 128))
            self.assertEqual(read(codec, data), (nx.OutputReg(Subfield(REG1, 5, 9), 128),))


class RoundTripTests(SynchronousTestCase):
    """What is written is read again."""

    def test_samples(self) -> None:
        """The samples, in each version that writes them as Nicira's."""
        for codec, actions in ((actions10, (*ACTIONS, *ACTIONS10)), (actions13, ACTIONS)):
            self.assertEqual(read(codec, codec.encode_actions(actions)), actions)

    def test_complete(self) -> None:
        """There is a sample of every action that is written as Nicira's."""
        written = {type(action) for action in (*ACTIONS, *ACTIONS10)}
        self.assertEqual(set(ENCODERS) - written, {act.SetNwTtl, nx.WriteMetadataAction})

    @given(ANY_ACTIONS)
    def test_any(self, actions: Actions) -> None:
        """Any actions, in both versions, to the same bytes."""
        old, new = (codec.encode_actions(actions) for codec, _ in VERSIONS)
        self.assertEqual(old, new)
        for codec, _ in VERSIONS:
            self.assertEqual(read(codec, old), actions)

    @given(ANY_ACTIONS10)
    def test_any10(self, actions: Actions) -> None:
        """Any actions in 1.0; in 1.3, what is read is what was written."""
        self.assertEqual(read(actions10, actions10.encode_actions(actions)), actions)
        data = actions13.encode_actions(actions)
        self.assertEqual(actions13.encode_actions(read(actions13, data)), data)


class SetFieldTests(SynchronousTestCase):
    """Set-fields which a version has no action for."""

    def loads(self, *runs: tuple[bytes, int, int, int]) -> bytes:
        """The ``reg_load`` actions for ``(header, ofs, n_bits, value)``."""
        return b"".join(
            bytes.fromhex("ffff0018000023200007")
            + (ofs << 6 | n_bits - 1).to_bytes(2, "big")
            + header
            + value.to_bytes(8, "big")
            for header, ofs, n_bits, value in runs
        )

    def test_old_version(self) -> None:
        """A field without an action of 1.0 is loaded: addresses of IPv6 in two pieces."""
        reg, ipv6 = bytes.fromhex("00010004"), bytes.fromhex("00012610")
        for action, wanted in (
            (SetField(REG0, 5), self.loads((reg, 0, 32, 5))),
            (
                SetField(fields.IPV6_SRC, 3 << 64 | 4),
                self.loads((ipv6, 0, 64, 4), (ipv6, 64, 64, 3)),
            ),
            (act.SetNwTtl(9), self.loads((bytes.fromhex("00013a01"), 0, 8, 9))),
            (SetField(fields.IP_ECN, 2), self.loads((bytes.fromhex("00013801"), 0, 2, 2))),
        ):
            self.assertEqual(actions10.encode_actions((action,)).hex(), wanted.hex())

    def test_as_it_came(self) -> None:
        """What came as a load of a whole field goes out as one, also where there is an action."""
        data = self.loads((bytes.fromhex("00000206"), 0, 48, 5))
        for codec, _ in VERSIONS:
            (found,) = read(codec, data)
            self.assertEqual(found, SetField(fields.ETH_DST, 5, (1 << 48) - 1))
            self.assertEqual(codec.encode_actions((found,)), data)

    def test_one_action(self) -> None:
        """Bits that are not in a row, or too many, are one ``reg_load2``."""
        for field, mask in ((REG0, 5), (fields.IPV6_DST, (1 << 128) - 1)):
            for codec, _ in VERSIONS:
                data = codec.encode_actions((SetField(field, 1, mask),))
                self.assertEqual(data[8:10], b"\x00\x21")
                self.assertEqual(int.from_bytes(data[2:4], "big"), len(data))
                self.assertEqual(read(codec, data), (SetField(field, 1, mask),))

    def test_without_mask(self) -> None:
        """A ``reg_load2`` without a mask writes the whole field."""
        data = bytes.fromhex("ffff00180000232000210001020400000005 000000000000")
        for codec, _ in VERSIONS:
            self.assertEqual(read(codec, data), (SetField(REG1, 5, 0xFFFFFFFF),))

    def test_openflow_header(self) -> None:
        """A field may be named by OpenFlow's header; we write Nicira's where there is one."""
        for header, written, field in (
            ("80000606", "00000206", fields.ETH_DST),
            ("80000408", "80000408", fields.METADATA),
        ):
            data = self.loads((bytes.fromhex(header), 0, 8, 7))
            (found,) = read(actions13, data)
            self.assertEqual(found, SetField(field, 7, 0xFF))
            again = self.loads((bytes.fromhex(written), 0, 8, 7))
            self.assertEqual(actions13.encode_actions((found,)), again)


def nicira(subtype: int, body: str, length: int | None = None) -> bytes:
    """An action of Nicira's from hexadecimal digits, whatever they say."""
    data = bytes.fromhex(body)
    size = 10 + len(data)
    size += -size % 8
    head = b"\xff\xff" + (length or size).to_bytes(2, "big") + bytes.fromhex("00002320")
    return (head + subtype.to_bytes(2, "big") + data).ljust(size, b"\0")


REG0_HEADER: Final = "00010004"
IN_PORT_HEADER: Final = "00000002"
FRAG_HEADER: Final = "00013401"  # nw_frag: read-only
WRONG: Final = (
    # Which actions there are.
    ("ffff0008 00002320", errors.ACTION_BAD_LEN),
    (nicira(0, "00").hex(), errors.ACTION_BAD_EXP_TYPE),
    (nicira(3, "00").hex(), errors.ACTION_BAD_EXP_TYPE),
    (nicira(255, "00").hex(), errors.ACTION_BAD_EXP_TYPE),
    ("ffff0010 00002321 0001000000000000", errors.ACTION_BAD_EXPERIMENTER),
    # What must be zero.
    (nicira(14, "0003 07 000001").hex(), errors.BAD_ARGUMENT),
    (nicira(15, f"01ff{REG0_HEADER}0000 000000000001").hex(), errors.BAD_ARGUMENT),
    (nicira(19, "0001 0002 0001").hex(), errors.BAD_ARGUMENT),
    (nicira(20, "0001 0002 01 01").hex(), errors.BAD_ARGUMENT),
    (nicira(22, "000000000001" + "00" * 16).hex(), errors.MUST_BE_ZERO),
    (nicira(27, f"0000{REG0_HEADER}0001 000000000001").hex(), errors.MUST_BE_ZERO),
    (nicira(21, "0001 00000001 0001000000000000").hex(), errors.MUST_BE_ZERO),
    (nicira(21, "0001 00000000 0001000000000001").hex(), errors.BAD_ARGUMENT),
    (nicira(33, f"{REG0_HEADER}00000001 000000000001").hex(), errors.BAD_SET_ARGUMENT),
    # Fields: unknown, with a mask, of another length; read-only; bits that there are not.
    (nicira(7, "001f 0001fe04 0000000000000001").hex(), errors.BAD_SET_TYPE),
    (nicira(7, "001f 00010108 0000000000000001").hex(), errors.BAD_SET_TYPE),
    (nicira(7, "001f 00010005 0000000000000001").hex(), errors.BAD_SET_TYPE),
    (nicira(7, "001f ffff0004 0000000000000001").hex(), errors.BAD_SET_TYPE),
    (nicira(7, f"0001 {FRAG_HEADER} 0000000000000001").hex(), errors.BAD_SET_ARGUMENT),
    (nicira(7, f"0020 {REG0_HEADER} 0000000000000001").hex(), errors.BAD_SET_LEN),
    (nicira(7, f"07c1 {REG0_HEADER} 0000000000000001").hex(), errors.BAD_SET_LEN),
    (nicira(7, f"ffff {REG0_HEADER} 0000000000000001").hex(), errors.BAD_SET_LEN),
    (nicira(7, f"0003 {REG0_HEADER} 0000000000000010").hex(), errors.BAD_ARGUMENT),
    (nicira(6, f"0000 0000 0000 {IN_PORT_HEADER}{REG0_HEADER}").hex(), errors.BAD_SET_LEN),
    (nicira(6, f"0011 0000 0000 {IN_PORT_HEADER}{REG0_HEADER}").hex(), errors.BAD_SET_LEN),
    (nicira(6, f"0010 0001 0000 {IN_PORT_HEADER}{REG0_HEADER}").hex(), errors.BAD_SET_LEN),
    (nicira(6, f"0010 0000 0011 {IN_PORT_HEADER}{REG0_HEADER}").hex(), errors.BAD_SET_LEN),
    (nicira(6, f"0001 0000 0000 {IN_PORT_HEADER}{FRAG_HEADER}").hex(), errors.BAD_SET_ARGUMENT),
    (nicira(28, f"0000 {FRAG_HEADER} 0001").hex().ljust(48, "0"), errors.BAD_SET_ARGUMENT),
    (nicira(27, f"0000 {REG0_HEADER} 0000").hex().ljust(48, "0"), errors.BAD_SET_LEN),
    (nicira(33, f"{FRAG_HEADER}01").hex(), errors.BAD_SET_ARGUMENT),
    (nicira(33, f"{FRAG_HEADER}04").hex(), errors.BAD_SET_ARGUMENT),
    (nicira(33, "0001fe0400000001").hex(), errors.BAD_SET_LEN),
    (nicira(33, "000100080000000000000000").hex(), errors.BAD_SET_LEN),
    (nicira(33, "000101080000000500000004").hex(), errors.BAD_WILDCARDS),
    # Where a header stands by itself, Open vSwitch speaks of a match.
    (nicira(6, f"0001 0000 0000 0001fe04 {REG0_HEADER}").hex(), errors.BAD_FIELD),
    (nicira(6, f"0001 0000 0000 {REG0_HEADER} 0001fe04").hex(), errors.BAD_FIELD),
    (nicira(27, "0000 0001fe04 0001").hex().ljust(48, "0"), errors.BAD_FIELD),
    (nicira(28, "0000 0001fe04 0001").hex().ljust(48, "0"), errors.BAD_FIELD),
    (nicira(32, "01ff 0000 0001fe04").hex().ljust(48, "0"), errors.BAD_FIELD),
    (nicira(32, f"01ff 0000 {REG0_HEADER} 0001").hex().ljust(48, "0"), errors.MUST_BE_ZERO),
    (nicira(15, "01ff 0001fe04 0000 000000000000").hex(), errors.BAD_SET_TYPE),
    # Values.
    (nicira(23, "0800").hex(), errors.BAD_ARGUMENT),
    (nicira(30, "0000 00100000").hex(), errors.BAD_ARGUMENT),
    (nicira(31, "08").hex(), errors.BAD_ARGUMENT),
    # Multipath: hash, algorithm, links that do not fit.
    (nicira(10, f"0007 0000 0000 0000 000f 00000000 0000 0003 {REG0_HEADER}").hex(),
     errors.BAD_ARGUMENT),
    (nicira(10, f"0000 0000 0000 0004 000f 00000000 0000 0003 {REG0_HEADER}").hex(),
     errors.BAD_ARGUMENT),
    (nicira(10, f"0000 0000 0000 0000 0010 00000000 0000 0003 {REG0_HEADER}").hex(),
     errors.BAD_ARGUMENT),
    (nicira(10, f"0000 0000 0000 0000 0000 00000000 0000 0001 {FRAG_HEADER}").hex(),
     errors.BAD_SET_ARGUMENT),
)  # fmt: skip
"""Actions which are refused."""


class RefusedTests(SynchronousTestCase):
    """What is wrong with an action is told in both versions."""

    def assert_refused(self, data: bytes, code: ErrorCode) -> None:
        """These bytes are refused with this error."""
        for codec, _ in VERSIONS:
            error = self.assertRaises(OpenFlowError, read, codec, data)
            self.assertIs(error.code, code, data.hex())

    def test_each(self) -> None:
        """Unknown ones, reserved bytes, fields, bits, values."""
        for digits, code in WRONG:
            self.assert_refused(bytes.fromhex(digits), code)

    def test_first(self) -> None:
        """Of two mistakes the first is told, and that an action is unknown before its length."""
        good, short = nicira(1, "0003"), nicira(1, "0003", 12)
        unknown, foreign = nicira(99, "00", 12), b"\xff\xff\0\x0c\0\0\x23\x21" + bytes(8)
        for data, code in (
            (good + short, errors.ACTION_BAD_LEN),
            (good + unknown, errors.ACTION_BAD_EXP_TYPE),
            (good + foreign, errors.ACTION_BAD_EXPERIMENTER),
            (good + bytes.fromhex("0077ffff00000000"), errors.ACTION_BAD_TYPE),
            (nicira(7, "0003 00010004 0000000000000010") + unknown, errors.BAD_ARGUMENT),
            (short + unknown, errors.ACTION_BAD_LEN),
            (good + bytes(4), errors.ACTION_BAD_LEN),
            (bytes.fromhex("0077000000000000"), errors.ACTION_BAD_TYPE),
        ):
            self.assert_refused(data, code)

    def test_lengths(self) -> None:
        """An action that is longer or shorter than its type is ACTION_BAD_LEN."""
        for action in (*ACTIONS, *ACTIONS10):
            data = actions10.encode_actions((action,))
            if isinstance(action, nx.Note):
                continue
            longer = data[:2] + (len(data) + 8).to_bytes(2, "big") + data[4:] + bytes(8)
            self.assert_refused(longer, errors.ACTION_BAD_LEN)
            if len(data) > 16 and not (isinstance(action, nx.Learn) and action.specs):
                shorter = data[:2] + (len(data) - 8).to_bytes(2, "big") + data[4:-8]
                for codec, _ in VERSIONS:
                    error = self.assertRaises(OpenFlowError, read, codec, shorter)
                    self.assertIn(error.code, (errors.ACTION_BAD_LEN, errors.BAD_SET_LEN), action)

    def bundle(self, **changes: Any) -> bytes:
        """A ``bundle_load`` with one thing wrong."""
        values = {
            "algorithm": "0000",
            "fields": "0000",
            "basis": "0000",
            "member_type": IN_PORT_HEADER,
            "n_members": "0001",
            "ofs_nbits": "000f",
            "dst": REG0_HEADER,
            "zero": "00000000",
            "members": "0005",
        }
        return nicira(changes.pop("subtype", 13), "".join((values | changes).values()))

    def test_bundle(self) -> None:
        """Wrong bundles: algorithm, fields, members, destination."""
        (found,) = read(actions10, self.bundle())
        self.assertEqual(found, nx.Bundle(0, 0, 0, (5,), Subfield(REG0, 0, 16)))
        for changes, code in (
            ({"algorithm": "0002"}, errors.BAD_ARGUMENT),
            ({"fields": "0007"}, errors.BAD_ARGUMENT),
            ({"member_type": REG0_HEADER}, errors.BAD_ARGUMENT),
            ({"zero": "00000001"}, errors.BAD_ARGUMENT),
            ({"n_members": "0801"}, errors.BAD_ARGUMENT),
            ({"n_members": "0005"}, errors.ACTION_BAD_LEN),
            ({"ofs_nbits": "000e"}, errors.BAD_ARGUMENT),
            ({"dst": FRAG_HEADER}, errors.BAD_SET_LEN),
            ({"subtype": 12}, errors.BAD_ARGUMENT),
            ({"subtype": 12, "dst": "00000000"}, errors.BAD_ARGUMENT),
            ({"members": "fffd"}, errors.BAD_OUT_PORT),
            ({"members": "0000"}, errors.BAD_OUT_PORT),
            ({"members": "0005000000000001"}, errors.BAD_ARGUMENT),
        ):
            self.assert_refused(self.bundle(**changes), code)

    def test_none(self) -> None:
        """``OFPP_NONE`` may be a member, and a bundle may have none at all."""
        (found,) = read(actions10, self.bundle(members="ffff"))
        self.assertEqual(found, nx.Bundle(0, 0, 0, (ANY,), Subfield(REG0, 0, 16)))
        data = actions10.encode_actions((nx.Bundle(0, 0, 0, ()),))
        self.assertEqual(read(actions10, data), (nx.Bundle(0, 0, 0, ()),))

    @given(ANY_ACTIONS10, st.data())
    def test_damaged(self, actions: Actions, data: st.DataObject) -> None:
        """Damaged bytes are refused with an error of BAD_ACTION (or of BAD_MATCH, when it is about
        a field, as in Open vSwitch), or are actions again."""
        wire = bytearray(actions10.encode_actions(actions))
        for _ in range(data.draw(st.integers(0, 3)) if wire else 0):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(wire)))
        for codec, _ in VERSIONS:
            try:
                found = codec.decode_actions(bytes(wire), 0, end)
            except OpenFlowError as error:
                kind = error.code.name.split(".")[0]
                self.assertIn(kind, ("BAD_ACTION", "BAD_MATCH", "BAD_REQUEST"), error)
                self.assertEqual(kind == "BAD_REQUEST", error.code is errors.MUST_BE_ZERO)
            else:
                again = codec.encode_actions(found)
                self.assertEqual(codec.encode_actions(read(codec, again)), again)

    def test_ports(self) -> None:
        """A port that has no 16 bits cannot be written."""
        for action in (nx.Resubmit(0x10000), nx.Bundle(0, 0, 0, (0x10000,))):
            error = self.assertRaises(OpenFlowError, actions13.encode_actions, (action,))
            self.assertIs(error.code, errors.BAD_OUT_PORT)

    def test_too_wide(self) -> None:
        """Bits that their action has no room for cannot be written."""
        wide = Subfield.whole(fields.IPV6_SRC)
        self.assertRaises(ValueError, actions13.encode_actions, (nx.OutputReg(wide),))
