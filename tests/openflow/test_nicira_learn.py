"""Tests for :mod:`agent.openflow.nicira.learn`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_0_parser, ofproto_v1_3_parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, fields
from agent.openflow.action_list import Flow
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.nicira.learn import MAX_SPECS, decode_learn, encode_learn
from agent.openflow.nx_actions import Learn, LearnSpec, LearnTo, Subfield
from tests.openflow.samples_nicira import LEARN
from tests.openflow.strategies_nicira import specs

IN_PORT = Subfield.whole(fields.NX_IN_PORT)
ETH_SRC = Subfield.whole(fields.ETH_SRC)
ETH_DST = Subfield.whole(fields.ETH_DST)
VID = Subfield(fields.VLAN_TCI, 0, 12)


def read(data: bytes) -> Any:
    """The action in these bytes."""
    return decode_learn(data, 0, len(data))


def learn(body: str, **changes: str) -> bytes:
    """A ``learn`` with these specifications, as hexadecimal digits."""
    head = {
        "timeouts": "00000000",
        "priority": "8000",
        "cookie": "00" * 8,
        "flags": "0000",
        "table_id": "01",
        "zero": "00",
        "fin": "00000000",
    }
    data = bytes.fromhex("00002320 0010" + "".join((head | changes).values()) + body)
    data += bytes(-(len(data) + 4) % 8)
    return b"\xff\xff" + (len(data) + 4).to_bytes(2, "big") + data


class LayoutTests(SynchronousTestCase):
    """What is where in the bytes."""

    def test_recipe(self) -> None:
        """The specifications of a MAC learning switch, as ``nicira-ext.h`` spells them."""
        body = (
            "000c 00000802 0000 00000802 0000"  # NXM_OF_VLAN_TCI[0..11]
            "0030 00000406 0000 00000206 0000"  # NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]
            "1010 00000002 0000"  # output:NXM_OF_IN_PORT[]
        )
        wanted = (
            LearnSpec(LearnTo.MATCH, VID, VID),
            LearnSpec(LearnTo.MATCH, ETH_SRC, ETH_DST),
            LearnSpec(LearnTo.OUTPUT, IN_PORT),
        )
        action = Learn(10, wanted, hard_timeout=10)
        data = learn(body, table_id="0a", timeouts="0000000a")
        self.assertEqual(read(data), action)
        self.assertEqual(encode_learn(action, Flow()), data)

    def test_immediate(self) -> None:
        """Constants take as many pairs of bytes as they need."""
        body = (
            "2010 0063 00000002 0000"  # in_port=99
            "2811 00012345 00010004 0000"  # load 17 bits
        )
        action = Learn(
            1,
            (
                LearnSpec(LearnTo.MATCH, 99, IN_PORT),
                LearnSpec(LearnTo.LOAD, 0x12345, Subfield(fields.REGS[0], 0, 17)),
            ),
        )
        self.assertEqual(read(learn(body)), action)
        self.assertEqual(encode_learn(action, Flow()), learn(body))

    def test_sample(self) -> None:
        """Every attribute comes back."""
        data = encode_learn(LEARN, Flow())
        self.assertEqual(len(data) % 8, 0)
        self.assertEqual(read(data), LEARN)
        self.assertEqual(decode_learn(b"before" + data + b"after", 6, len(data)), LEARN)

    @given(st.lists(specs(), max_size=20).map(tuple))
    def test_any(self, drawn: tuple[LearnSpec, ...]) -> None:
        """Any list of specifications comes back."""
        action = Learn(3, drawn)
        self.assertEqual(read(encode_learn(action, Flow())), action)

    def test_osken(self) -> None:
        """os-ken writes the same bytes, and reads ours."""
        wanted = Learn(
            10,
            (
                LearnSpec(LearnTo.MATCH, 0x0800, Subfield.whole(fields.ETH_TYPE)),
                LearnSpec(LearnTo.MATCH, VID, VID),
                LearnSpec(LearnTo.MATCH, ETH_SRC, ETH_DST),
                LearnSpec(LearnTo.LOAD, 5, Subfield.whole(fields.REGS[1])),
                LearnSpec(LearnTo.LOAD, IN_PORT, Subfield(fields.REGS[0], 16, 16)),
                LearnSpec(LearnTo.OUTPUT, IN_PORT),
            ),
            priority=99,
            idle_timeout=1,
            hard_timeout=2,
            fin_idle_timeout=3,
            fin_hard_timeout=4,
            cookie=5,
            flags=1,
        )
        for p in (ofproto_v1_0_parser, ofproto_v1_3_parser):
            theirs = p.NXActionLearn(
                table_id=10,
                specs=[
                    p.NXFlowSpecMatch(src=0x0800, dst=("eth_type_nxm", 0), n_bits=16),
                    p.NXFlowSpecMatch(src=("vlan_tci", 0), dst=("vlan_tci", 0), n_bits=12),
                    p.NXFlowSpecMatch(src=("eth_src_nxm", 0), dst=("eth_dst_nxm", 0), n_bits=48),
                    p.NXFlowSpecLoad(src=5, dst=("reg1", 0), n_bits=32),
                    p.NXFlowSpecLoad(src=("in_port_nxm", 0), dst=("reg0", 16), n_bits=16),
                    p.NXFlowSpecOutput(src=("in_port_nxm", 0), dst="", n_bits=16),
                ],
                priority=99,
                idle_timeout=1,
                hard_timeout=2,
                fin_idle_timeout=3,
                fin_hard_timeout=4,
                cookie=5,
                flags=1,
            )
            data = bytearray()
            theirs.serialize(data, 0)
            self.assertEqual(read(bytes(data)), wanted)
            ours = encode_learn(wanted, Flow())
            self.assertEqual(ours.hex(), data.hex())
            self.assertEqual(str(p.OFPAction.parser(ours, 0)), str(theirs))


REG0 = "000100040000"


class RefusedTests(SynchronousTestCase):
    """What is wrong with a ``learn``."""

    def assert_refused(self, data: bytes, code: ErrorCode) -> None:
        """These bytes are refused with this error."""
        error = self.assertRaises(OpenFlowError, read, data)
        self.assertIs(error.code, code, data.hex())

    def test_head(self) -> None:
        """Unknown flags, a table that is none, and reserved bytes are bad arguments."""
        for changes in ({"flags": "0004"}, {"table_id": "ff"}, {"zero": "01"}):
            self.assert_refused(learn("", **changes), errors.BAD_ARGUMENT)

    def test_short(self) -> None:
        """What is shorter than the head is ACTION_BAD_LEN."""
        data = learn("")
        error = self.assertRaises(OpenFlowError, decode_learn, data, 0, 24)
        self.assertIs(error.code, errors.ACTION_BAD_LEN)

    def test_cut(self) -> None:
        """A list cut short, at any even place, is refused unless a specification ends there."""
        data = encode_learn(LEARN, Flow())
        ends = 0
        for length in range(32, len(data), 2):
            try:
                found = decode_learn(data, 0, length)
            except OpenFlowError as error:
                self.assertEqual(error.code.of13[0], 2)
            else:
                ends += 1
                assert isinstance(found, Learn)
                self.assertEqual(found.specs, LEARN.specs[: len(found.specs)])
        self.assertLess(ends, len(LEARN.specs) + 4)

    def test_specifications(self) -> None:
        """Reserved bits, an output of a constant, an unknown use; too many bits, and none."""
        for body, code in (
            (f"4001 {REG0}{REG0}", errors.BAD_ARGUMENT),
            (f"8001 {REG0}{REG0}", errors.BAD_ARGUMENT),
            (f"0401 {REG0}{REG0}", errors.BAD_ARGUMENT),
            (f"1801 {REG0}{REG0}", errors.BAD_ARGUMENT),
            (f"3010 0001{REG0}", errors.BAD_ARGUMENT),
            (f"2001 0002{REG0}", errors.BAD_ARGUMENT),
            (f"2800 {REG0}", errors.BAD_SET_LEN),
            (f"0021 {REG0}{REG0}", errors.BAD_SET_LEN),
            (f"0020 000100040001{REG0}", errors.BAD_SET_LEN),
            (f"0800 {REG0}{REG0}", errors.BAD_SET_LEN),
            (f"0001 0001fe040000{REG0}", errors.BAD_SET_TYPE),
            (f"0001 {REG0}000101080000", errors.BAD_SET_TYPE),
            (f"0801 {REG0}000134010000", errors.BAD_SET_ARGUMENT),  # nw_frag is read-only
            (f"0001 {REG0}", errors.ACTION_BAD_LEN),
            (f"23ff 0000{REG0}", errors.ACTION_BAD_LEN),
        ):
            self.assert_refused(learn(body), code)

    def test_left_over(self) -> None:
        """Behind the end there are only zeros, and no more than padding."""
        self.assert_refused(learn("0000 0000 0001"), errors.BAD_ARGUMENT)
        self.assert_refused(learn("0000 0000 0000 0000"), errors.ACTION_BAD_LEN)

    def test_too_many(self) -> None:
        """There is a greatest number of specifications."""
        one = f"2001 0001{REG0}"
        self.assertEqual(len(read(learn(one * MAX_SPECS)).specs), MAX_SPECS)
        self.assert_refused(learn(one * (MAX_SPECS + 1)), errors.TOO_MANY)

    def refused(self, *drawn: LearnSpec) -> ErrorCode:
        """The error for these specifications."""
        error = self.assertRaises(OpenFlowError, read, encode_learn(Learn(1, drawn), Flow()))
        code: ErrorCode = error.code
        return code

    def test_prerequisites(self) -> None:
        """What is matched needs constants before it, not fields of the packet and not after."""
        ip = Subfield.whole(fields.ETH_TYPE)
        src = Subfield.whole(fields.IPV4_SRC)
        constant = LearnSpec(LearnTo.MATCH, 0x0800, ip)
        copied = LearnSpec(LearnTo.MATCH, ip, ip)
        match = LearnSpec(LearnTo.MATCH, src, src)
        read(encode_learn(Learn(1, (constant, match)), Flow()))
        for drawn in ((match,), (match, constant), (copied, match)):
            self.assertIs(self.refused(*drawn), errors.MATCH_INCONSISTENT)
        # What is loaded need not fit what is matched.
        load = LearnSpec(LearnTo.LOAD, 5, src)
        read(encode_learn(Learn(1, (load,)), Flow()))

    def test_part(self) -> None:
        """Part of a field is matched only if a match can have a mask there."""
        part = Subfield(fields.ETH_TYPE, 0, 8)
        self.assertIs(self.refused(LearnSpec(LearnTo.MATCH, 5, part)), errors.BAD_ARGUMENT)
        read(encode_learn(Learn(1, (LearnSpec(LearnTo.MATCH, 5, VID),)), Flow()))
