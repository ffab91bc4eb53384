"""The face of the codec: what it refuses before it looks further, and what it makes of errors."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow.codec import (
    ERROR_DATA,
    decode,
    encode,
    encode_error,
    encode_parts,
    header,
    type_name,
)
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.frame import Type10, Type13
from agent.openflow.messages import OFP10, OFP13, Message
from agent.openflow.nx_messages import SetFlowFormat
from tests.openflow.samples import MESSAGES, XID
from tests.openflow.strategies import message

EXAMPLES = settings(max_examples=max(600, settings().max_examples))
"""There are forty classes of message: each should have its turn several times."""


class RoundTripTests(SynchronousTestCase):
    """What is encoded is decoded to what it was."""

    def test_samples(self) -> None:
        """Every sample of both versions."""
        for version, samples in MESSAGES.items():
            for sample in samples:
                self.assertEqual(decode(version, encode(version, sample)), sample)

    def test_every_class(self) -> None:
        """No class of message is without a sample in a version that has it."""
        every = set(messages.Message.__args__)
        only13 = {
            messages.GetAsyncRequest,
            messages.GetAsyncReply,
            messages.TableMod,
            messages.TableFeaturesRequest,
            messages.TableFeaturesReply,
            *(
                one
                for one in every
                if one.__module__.endswith(("group_messages", "bundle_messages"))
            ),
        }
        self.assertEqual({type(sample) for sample in MESSAGES[OFP13]}, every - {SetFlowFormat})
        self.assertEqual({type(sample) for sample in MESSAGES[OFP10]}, every - only13)

    @EXAMPLES
    @given(message(OFP10))
    def test_any_message10(self, drawn: Message) -> None:
        """Any message of OpenFlow 1.0."""
        self.assertEqual(decode(OFP10, encode(OFP10, drawn)), drawn)

    @EXAMPLES
    @given(message(OFP13))
    def test_any_message13(self, drawn: Message) -> None:
        """Any message of OpenFlow 1.3."""
        self.assertEqual(decode(OFP13, encode(OFP13, drawn)), drawn)


class HeaderTests(SynchronousTestCase):
    """What is wrong with the first eight bytes."""

    def assert_refused(self, code: ErrorCode, version: int, data: bytes) -> None:
        """``data`` is refused with ``code``."""
        error = self.assertRaises(OpenFlowError, decode, version, data)
        self.assertEqual(error.code, code)

    def test_header(self) -> None:
        """A header is cut into its four numbers, wherever it begins."""
        data = b"xyz" + bytes.fromhex("040e 0050 12345678")
        self.assertEqual(header(data, 3), (4, 14, 80, XID))

    def test_too_short(self) -> None:
        """Less than a header is REQUEST_BAD_LEN, down to nothing at all."""
        for length in range(8):
            self.assert_refused(errors.REQUEST_BAD_LEN, OFP13, b"\4\2\0\x08\0\0\0\0"[:length])

    def test_wrong_length(self) -> None:
        """A header which names another length than the frame has is REQUEST_BAD_LEN."""
        for length in (0, 7, 9, 0xFFFF):
            data = b"\4\2" + length.to_bytes(2, "big") + bytes(4)
            self.assert_refused(errors.REQUEST_BAD_LEN, OFP13, data)

    def test_wrong_version(self) -> None:
        """Another version than that agreed on, or one that nobody speaks, is BAD_VERSION."""
        barrier10 = encode(OFP10, messages.BarrierRequest(XID))
        self.assert_refused(errors.BAD_VERSION, OFP13, barrier10)
        self.assert_refused(errors.BAD_VERSION, OFP10, b"\4" + barrier10[1:])
        self.assert_refused(errors.BAD_VERSION, 3, b"\3" + barrier10[1:])

    def test_any_version(self) -> None:
        """HELLO and ERROR are read whatever version they have, and whatever was agreed on."""
        hello = messages.Hello(frozenset(range(1, 7)), XID)
        data = bytes.fromhex("0600 0008 12345678")
        self.assertEqual([decode(version, data) for version in (1, 4, 6)], [hello] * 3)
        data = bytes.fromhex("0501 000c 12345678 0000 0000")
        self.assertEqual(decode(OFP10, data), messages.ErrorMessage(0, 0, b"", XID))

    def test_unknown_type(self) -> None:
        """A type that the version does not have is BAD_TYPE."""
        for version, kind in ((OFP10, 22), (OFP10, 255), (OFP13, 30), (OFP13, 255)):
            self.assert_refused(errors.BAD_TYPE, version, bytes([version, kind, 0, 8, 0, 0, 0, 0]))

    def test_empty_messages(self) -> None:
        """A message that has no body is refused when it has one."""
        for sample in (
            messages.FeaturesRequest(),
            messages.GetConfigRequest(),
            messages.BarrierRequest(),
            messages.BarrierReply(),
        ):
            for version in (OFP10, OFP13):
                data = encode(version, sample)
                data = data[:2] + b"\0\x09" + data[4:] + b"\0"
                self.assert_refused(errors.REQUEST_BAD_LEN, version, data)


class EncodeTests(SynchronousTestCase):
    """What cannot be encoded."""

    def test_not_in_version(self) -> None:
        """A message that a version does not have is a ValueError."""
        self.assertRaises(ValueError, encode, OFP10, messages.TableMod(1, 0))
        self.assertRaises(ValueError, encode, OFP13, SetFlowFormat(0))
        self.assertRaises(ValueError, encode, 3, messages.BarrierReply())

    def test_does_not_fit(self) -> None:
        """A number that is too large, and data that is too long, are ValueErrors."""
        self.assertRaises(ValueError, encode, OFP13, messages.SetConfig(0, 0x10000))
        self.assertRaises(ValueError, encode, OFP13, messages.EchoReply(bytes(0xFFF8)))
        self.assertRaises(ValueError, encode, OFP13, messages.PortStatsRequest(1 << 32))
        parts = encode_parts(OFP13, messages.AggregateReply(0, 0, -1))
        self.assertRaises(ValueError, next, parts)

    def test_port_of_later_version(self) -> None:
        """A port that 1.0 cannot name is BAD_OUT_PORT."""
        error = self.assertRaises(OpenFlowError, encode, OFP10, messages.PortStatsRequest(0x10000))
        self.assertEqual(error.code, errors.BAD_OUT_PORT)

    def test_parts(self) -> None:
        """A message that fits is one part, equal to the whole."""
        for version, samples in MESSAGES.items():
            for sample in samples:
                self.assertEqual([*encode_parts(version, sample)], [encode(version, sample)])


class ErrorTests(SynchronousTestCase):
    """Errors on their way to the controller."""

    def test_numbers(self) -> None:
        """Type and code are those of the version."""
        request = encode(OFP10, messages.BarrierRequest(XID))
        for version, numbers in ((OFP10, (3, 0)), (OFP13, (5, 1))):
            reply = decode(version, encode_error(version, errors.TABLE_FULL, request))
            self.assertEqual(reply, messages.ErrorMessage(*numbers, request, XID))

    def test_data(self) -> None:
        """The first 64 bytes of the request, or all of it; and its xid."""
        request = encode(OFP13, messages.EchoRequest(bytes(100), XID))
        reply = decode(OFP13, encode_error(OFP13, errors.BAD_TYPE, request, "why"))
        self.assertEqual(reply, messages.ErrorMessage(1, 1, request[:ERROR_DATA], XID))
        self.assertEqual(ERROR_DATA, 64)

    def test_no_header(self) -> None:
        """A request without a whole header has xid 0, unless the caller knows better."""
        reply = decode(OFP13, encode_error(OFP13, errors.REQUEST_BAD_LEN, b"\4\2\0"))
        self.assertEqual(reply, messages.ErrorMessage(1, 6, b"\4\2\0", 0))
        reply = decode(OFP13, encode_error(OFP13, errors.REQUEST_BAD_LEN, b"\4\2\0", xid=XID))
        self.assertEqual(reply.xid, XID)

    def test_hello_failed(self) -> None:
        """HELLO_FAILED has a text instead of the request."""
        data = encode_error(OFP13, errors.HELLO_INCOMPATIBLE, bytes(8), "no common version")
        self.assertEqual(decode(OFP13, data), messages.ErrorMessage(0, 0, b"no common version"))

    def test_every_code(self) -> None:
        """Each error of the specification can be sent in both versions."""
        for code in errors.CODES.values():
            for version in (OFP10, OFP13):
                reply = decode(version, encode_error(version, code, bytes(8)))
                self.assertIsInstance(reply, messages.ErrorMessage)


class NameTests(SynchronousTestCase):
    """Names for people."""

    NAMES: ClassVar = (
        (OFP10, Type10.FLOW_MOD, "OFPT_FLOW_MOD"),
        (OFP10, Type10.VENDOR, "OFPT_VENDOR"),
        (OFP10, Type10.BARRIER_REQUEST, "OFPT_BARRIER_REQUEST"),
        (OFP13, Type13.GROUP_MOD, "OFPT_GROUP_MOD"),
        (OFP13, 18, "OFPT_MULTIPART_REQUEST"),
        (OFP10, 18, "OFPT_BARRIER_REQUEST"),
        (OFP13, 77, "OFPT_UNKNOWN(77)"),
        (9, 0, "OFPT_UNKNOWN(0)"),
    )

    def test_names(self) -> None:
        """A type has the name which Open vSwitch prints."""
        for version, kind, name in self.NAMES:
            self.assertEqual(type_name(version, kind), name)
