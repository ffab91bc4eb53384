"""QUEUE_GET_CONFIG: lists of properties within lists of queues."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.codec import decode
from agent.openflow.errors import REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.messages import OFP10, OFP13, PacketQueue, QueueGetConfigReply


def _reply(version: int, body: str) -> bytes:
    data = bytes.fromhex(body)
    head = bytes([version, 21 if version == OFP10 else 23])
    return head + (8 + len(data)).to_bytes(2, "big") + bytes(4) + data


RATE = "0001 0010 00000000 01f4 000000000000"
OTHER = "ffff 0018 00000000 00abcdef 00000000 0102030405060708"


class QueueTests(SynchronousTestCase):
    """What a switch may answer."""

    def test_other_properties(self) -> None:
        """Properties that are not rates are skipped; 1.0 has no maximum."""
        for version, body in (
            (OFP10, "0003 000000000000 00000001 0030 0000" + OTHER + RATE),
            (OFP13, "00000003 00000000 00000001 00000003 0038 000000000000" + OTHER + RATE),
        ):
            reply = decode(version, _reply(version, body))
            self.assertEqual(reply, QueueGetConfigReply(3, (PacketQueue(1, 3, 500),)))
        maximum = "0003 000000000000 00000001 0018 0000 0002" + RATE[4:]
        reply = decode(OFP10, _reply(OFP10, maximum))
        self.assertEqual(reply, QueueGetConfigReply(3, (PacketQueue(1, 3),)))

    def test_lengths(self) -> None:
        """A queue or a property that is empty, too short, too long or cut short is refused."""
        head = "00000003 00000000 00000001 00000003"
        for rest in (
            "0000 000000000000",
            "0008 000000000000",
            "0018 000000000000",
            "0020 000000000000" + RATE[:-12],
            "0018 000000000000 0001 0008 00000000",
            "0018 000000000000 0001 0000 00000000",
            "0018 000000000000 0099 0010 00000000",
            "0010 0000",
        ):
            error = self.assertRaises(OpenFlowError, decode, OFP13, _reply(OFP13, head + rest))
            self.assertEqual(error.code, REQUEST_BAD_LEN)

    def test_no_port(self) -> None:
        """A reply too short for its port is refused."""
        for version, body in ((OFP10, "0003 0000"), (OFP13, "00000003")):
            error = self.assertRaises(OpenFlowError, decode, version, _reply(version, body))
            self.assertEqual(error.code, REQUEST_BAD_LEN)
