"""Tests for :mod:`agent.openflow.bundles13` and :mod:`agent.openflow.bundle_messages`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import decode, encode, encode_error
from agent.openflow.constants import OFP10, OFP13
from agent.openflow.errors import CODES, ErrorCode, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import FlowMod

XID = 0x12345678
BOTH = BundleFlags.ATOMIC | BundleFlags.ORDERED
RULE = encode(OFP13, FlowMod(0, Match.of(in_port=1), 5, xid=XID))

CONTROL = "04040018 12345678 4f4e4600 000008fc 00000007 0004 0003"
"""A commit, as ``ovs-ofctl`` 3.1 writes it."""
ADD = "4f4e4600 000008fd 00000007 0000 0003"
"""The same of an added message, but for the header and the message."""


def frame(text: str) -> bytes:
    """A message of 1.3 with this behind the header, whose length is right."""
    body = bytes.fromhex(text)
    return (
        bytes.fromhex("0404") + (8 + len(body)).to_bytes(2, "big") + XID.to_bytes(4, "big") + body
    )


class BundleMessageTests(SynchronousTestCase):
    """Bytes to values and back."""

    def assert_refused(self, code: ErrorCode, data: bytes, version: int = OFP13) -> None:
        """These bytes are refused."""
        self.assertIs(self.assertRaises(OpenFlowError, decode, version, data).code, code)

    def test_control(self) -> None:
        """BUNDLE_CONTROL is as Open vSwitch writes it."""
        message = BundleControl(7, BundleType.COMMIT_REQUEST, BOTH, XID)
        self.assertEqual(encode(OFP13, message), bytes.fromhex(CONTROL))
        self.assertEqual(decode(OFP13, bytes.fromhex(CONTROL)), message)

    def test_add(self) -> None:
        """BUNDLE_ADD_MESSAGE too; the message within comes out as it went in."""
        message = BundleAdd(7, RULE, BOTH, XID)
        data = encode(OFP13, message)
        self.assertEqual(data, frame(ADD + RULE.hex()))
        self.assertEqual(decode(OFP13, data), message)

    def test_padding(self) -> None:
        """Padding behind the message is no part of it."""
        inner = encode(OFP13, messages.EchoRequest(b"abc", XID))
        for padding in range(6):
            found = decode(OFP13, frame(ADD + inner.hex() + "00" * padding))
            self.assertEqual(found, BundleAdd(7, inner, BOTH, XID))

    def test_control_length(self) -> None:
        """A control message that is cut short is BAD_LEN."""
        for length in range(16, 24):
            data = bytearray.fromhex(CONTROL)[:length]
            data[3] = length
            self.assert_refused(errors.REQUEST_BAD_LEN, bytes(data))

    def test_add_length(self) -> None:
        """So is an added message; one whose own header is cut short is MSG_BAD_LEN."""
        whole = frame(ADD + RULE.hex())
        for length in range(16, len(whole)):
            data = bytearray(whole[:length])
            data[2:4] = length.to_bytes(2, "big")
            code = errors.REQUEST_BAD_LEN if length < 24 else errors.BUNDLE_MSG_BAD_LEN
            self.assert_refused(code, bytes(data))

    def test_inner_length(self) -> None:
        """The length of the message within is a header's at least, and fits."""
        for length in (0, 1, 7, len(RULE) + 1, len(RULE) + 8, 0xFFFF):
            inner = RULE[:2] + length.to_bytes(2, "big") + RULE[4:]
            self.assert_refused(errors.BUNDLE_MSG_BAD_LEN, frame(ADD + inner.hex()))

    def test_inner_xid(self) -> None:
        """Its xid is the same."""
        inner = RULE[:7] + b"\0" + RULE[8:]
        self.assert_refused(errors.BUNDLE_MSG_BAD_XID, frame(ADD + inner.hex()))

    def test_inner_version(self) -> None:
        """So is its version."""
        for version in (0, 1, 5, 255):
            inner = bytes([version]) + RULE[1:]
            self.assert_refused(errors.BAD_VERSION, frame(ADD + inner.hex()))

    def test_properties(self) -> None:
        """A property is refused, since it may be about what is not done; a bad list all the same.

        The codes are those of BAD_PROPERTY.
        """
        unknown = "ffff 000c 00002320 00000001 00000000"
        for text in (CONTROL[18:] + unknown, ADD + RULE.hex() + unknown):
            self.assert_refused(errors.TABLE_FEATURES_BAD_TYPE, frame(text))
            for bad in ("ffff 0000 00000000", "ffff 0003 00000000", "ffff 0010 00000000", "ffff"):
                self.assert_refused(
                    errors.TABLE_FEATURES_BAD_LEN, frame(text[: -len(unknown)] + bad)
                )

    def test_nested(self) -> None:
        """A bundle in a bundle is not looked into, however deep."""
        inner = RULE
        for _ in range(1000):
            inner = encode(OFP13, BundleAdd(1, inner, 0, XID))
        found = decode(OFP13, inner)
        assert isinstance(found, BundleAdd)
        self.assertEqual(len(found.message), len(inner) - 24)

    def test_other_numbers(self) -> None:
        """The Foundation's other numbers are BAD_EXP_TYPE, and 1.0 has no bundles."""
        for number in (0, 2299, 2302, 0xFFFFFFFF):
            self.assert_refused(errors.BAD_EXP_TYPE, frame(f"4f4e4600 {number:08x}" + "00" * 8))
        self.assert_refused(errors.BAD_EXP_TYPE, b"\1" + bytes.fromhex(CONTROL)[1:], OFP10)
        self.assertRaises(ValueError, encode, OFP10, BundleControl(1, 0))

    @given(st.binary(max_size=80), st.booleans())
    def test_any_bytes(self, data: bytes, control: bool) -> None:
        """Whatever follows the numbers, there is a message or an error."""
        start = "4f4e4600 000008fc" if control else "4f4e4600 000008fd"
        whole = frame(start + data.hex())
        try:
            message = decode(OFP13, whole)
        except OpenFlowError:
            return
        self.assertIsInstance(message, BundleControl if control else BundleAdd)
        self.assertEqual(message.xid, XID)


class BundleErrorTests(SynchronousTestCase):
    """BUNDLE_FAILED in 1.3."""

    def test_experimenter(self) -> None:
        """The errors are the Foundation's, from 2300 on."""
        data = encode_error(OFP13, errors.BUNDLE_MSG_FAILED, RULE)
        self.assertEqual(
            decode(OFP13, data),
            messages.ErrorMessage(0xFFFF, 2313, bytes.fromhex("4f4e4600") + RULE[:64], XID),
        )

    def test_numbers(self) -> None:
        """There are all sixteen of them, each with a number of its own."""
        numbers = [code.onf13 for code in CODES.values() if code.name.startswith("BUNDLE_FAILED")]
        self.assertEqual(numbers, list(range(2300, 2316)))
