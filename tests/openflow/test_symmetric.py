"""HELLO with and without a bitmap, and the messages of experimenters."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages, symmetric
from agent.openflow.codec import decode, encode
from agent.openflow.errors import BAD_EXP_TYPE, REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.messages import OFP10, OFP13, Message
from agent.openflow.symmetric import Extension, register
from tests.openflow.samples import XID


def _hello(version: int, body: str) -> bytes:
    data = bytes.fromhex(body)
    return bytes([version, 0]) + (8 + len(data)).to_bytes(2, "big") + bytes(4) + data


class HelloTests(SynchronousTestCase):
    """Which versions a HELLO speaks of."""

    def assert_speaks(self, data: bytes, *versions: int) -> None:
        """``data`` is a HELLO of these versions."""
        self.assertEqual(decode(OFP13, data), messages.Hello(frozenset(versions)))

    def assert_refused(self, data: bytes) -> None:
        """``data`` is refused with REQUEST_BAD_LEN."""
        error = self.assertRaises(OpenFlowError, decode, OFP13, data)
        self.assertEqual(error.code, REQUEST_BAD_LEN)

    def test_no_bitmap(self) -> None:
        """Without a bitmap it speaks its own version and those below."""
        self.assert_speaks(_hello(1, ""), 1)
        self.assert_speaks(_hello(4, ""), 1, 2, 3, 4)
        self.assert_speaks(_hello(0, ""))

    def test_bitmap(self) -> None:
        """A bitmap says which exactly, whatever the version of the header."""
        self.assert_speaks(_hello(4, "0001 0008 00000012"), 1, 4)
        self.assert_speaks(_hello(6, "0001 0008 00000010"), 4)
        self.assert_speaks(_hello(3, "0001 0008 00000002"), 1)

    def test_long_bitmap(self) -> None:
        """A bitmap of several words goes on with version 32; a version has eight bits."""
        self.assert_speaks(_hello(4, "0001 000c 00000010 00000001 00000000"), 4, 32)
        nine = "0001 0028 00000010" + " 00000000" * 7 + " ffffffff"
        self.assert_speaks(_hello(4, nine), 4)

    def test_empty_bitmap(self) -> None:
        """A bitmap of nothing, or of version 0 alone, says nothing: the header counts."""
        self.assert_speaks(_hello(1, "0001 0004 00000000"), 1)
        self.assert_speaks(_hello(1, "0001 0008 00000001"), 1)

    def test_unknown_element(self) -> None:
        """Elements that are not known are skipped with their padding, wherever they are."""
        unknown = "0099 0005 aa000000"
        bitmap = "0001 0008 00000012"
        self.assert_speaks(_hello(4, unknown + bitmap), 1, 4)
        self.assert_speaks(_hello(4, bitmap + unknown), 1, 4)

    def test_malformed(self) -> None:
        """Elements with a length of nothing, too much, or half a bitmap are refused."""
        for body in ("0001 0000", "0001 0003 00000000", "0001 0010 00000012", "0001", "00"):
            self.assert_refused(_hello(4, body))
        self.assert_refused(_hello(4, "0001 0006 0012 0000"))

    def test_malformed_before_bitmaps(self) -> None:
        """The body of a HELLO of a version that knows no elements is ignored, whatever it is."""
        self.assert_speaks(_hello(1, "ff"), 1)
        self.assert_speaks(_hello(2, "0001 0000 00"), 1, 2)

    def test_encode(self) -> None:
        """The header has the highest version; there is a bitmap unless an old one needs none."""
        for versions, wanted in (
            ({1}, "0100 0008 00000000"),
            ({1, 4}, "0400 0010 00000000 0001 0008 00000012"),
            ({2}, "0200 0010 00000000 0001 0008 00000004"),
            ({4, 33}, "2100 0018 00000000 0001 000c 00000010 00000002 00000000"),
        ):
            for version in (OFP10, OFP13):
                data = encode(version, messages.Hello(frozenset(versions)))
                self.assertEqual(data, bytes.fromhex(wanted))


class ErrorTests(SynchronousTestCase):
    """ERROR from the other side."""

    def test_too_short(self) -> None:
        """An error without type and code is REQUEST_BAD_LEN."""
        error = self.assertRaises(OpenFlowError, decode, OFP13, b"\4\1\0\x0b\0\0\0\0\0\1\0")
        self.assertEqual(error.code, REQUEST_BAD_LEN)


@attrs.define
class Ping:
    """A message of an experimenter of these tests."""

    size: int
    xid: int = 0


PINGER = 0x00ABCDE0


class ExperimenterTests(SynchronousTestCase):
    """Messages of experimenters, known and unknown."""

    def setUp(self) -> None:
        """What is registered here is forgotten afterwards."""
        for name in ("_extensions", "_encoders"):
            patcher = patch.dict(getattr(symmetric, name))
            patcher.start()
            self.addCleanup(patcher.stop)

    def register(self) -> None:
        """Let the codec know :class:`Ping`."""

        def decode_ping(version: int, data: bytes, xid: int) -> Message:
            if len(data) < 16:
                raise OpenFlowError(BAD_EXP_TYPE, "no ping")
            ping: Any = Ping(data[-1], xid)
            message: Message = ping
            return message

        def encode_ping(version: int, message: Ping) -> bytes:
            return PINGER.to_bytes(4, "big") + bytes([0, 0, version, message.size])

        register(Extension(PINGER, decode_ping, {Ping: encode_ping}))

    def test_unknown(self) -> None:
        """What nobody knows is carried unread; 1.3 has a type where 1.0 has only data."""
        data = bytes.fromhex("00abcde0 00000007 0102")
        self.assertEqual(
            decode(OFP10, b"\1\4\0\x12" + XID.to_bytes(4, "big") + data),
            messages.Experimenter(PINGER, 0, data[4:], XID),
        )
        self.assertEqual(
            decode(OFP13, b"\4\4\0\x12" + XID.to_bytes(4, "big") + data),
            messages.Experimenter(PINGER, 7, data[8:], XID),
        )

    def test_too_short(self) -> None:
        """Without the number of an experimenter it is REQUEST_BAD_LEN."""
        for data in (b"\1\4\0\x0b" + bytes(7), b"\4\4\0\x0f" + bytes(11)):
            error = self.assertRaises(OpenFlowError, decode, data[0], data)
            self.assertEqual(error.code, REQUEST_BAD_LEN)

    def test_known(self) -> None:
        """What is registered is decoded and encoded as registered, in both versions."""
        self.register()
        ping: Any = Ping(9, XID)
        for version in (OFP10, OFP13):
            data = encode(version, ping)
            self.assertEqual(data[:8], bytes([version, 4, 0, 16]) + XID.to_bytes(4, "big"))
            self.assertEqual(decode(version, data), ping)
        other = messages.Experimenter(PINGER + 1, 0, b"12345678", XID)
        self.assertEqual(decode(OFP10, encode(OFP10, other)), other)

    def test_known_refuses(self) -> None:
        """The errors of an extension are the errors of the codec."""
        self.register()
        data = b"\1\4\0\x0c" + bytes(4) + PINGER.to_bytes(4, "big")
        self.assertEqual(self.assertRaises(OpenFlowError, decode, OFP10, data).code, BAD_EXP_TYPE)

    def test_twice(self) -> None:
        """An experimenter is registered once."""
        self.register()
        self.assertRaises(ValueError, self.register)
        other = Extension(
            PINGER + 1, lambda _, data, xid: messages.EchoReply(data, xid), {Ping: encode}
        )
        self.assertRaises(ValueError, register, other)
