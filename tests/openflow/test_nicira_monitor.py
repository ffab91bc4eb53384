"""Tests for :mod:`agent.openflow.nicira.monitor`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors
from agent.openflow.actions import ApplyActions, GotoTable, Output, SetVlanVid
from agent.openflow.codec import decode, encode, encode_parts
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import OFP10, OFP13
from agent.openflow.nicira.monitor import MAX_MONITORS
from agent.openflow.nx_actions import Note
from agent.openflow.nx_messages import (
    FlowMonitor,
    FlowMonitorCancel,
    FlowMonitorReply,
    FlowMonitorRequest,
    FlowUpdate,
    FlowUpdateAbbrev,
    FlowUpdateEvent,
)
from tests.openflow.samples import XID

MONITOR = FlowMonitor(9, 0x1F, 3, 4, Match.of(eth_type=0x0800))
UPDATE = FlowUpdate(
    FlowUpdateEvent.DELETED, 4, Match.of(in_port=3), 99, 5, 6, 7, 2, (ApplyActions((Output(2),)),)
)


class LayoutTests(SynchronousTestCase):
    """What is where in the bytes: in 1.0 Nicira's, in 1.3 the Foundation's."""

    def assert_bytes(self, version: int, message: FlowMonitorRequest, digits: str) -> None:
        """These are the bytes of the message, and the other way round."""
        wanted = bytes.fromhex(digits)
        self.assertEqual(encode(version, message).hex(), wanted.hex())
        self.assertEqual(decode(version, wanted), message)

    def test_request(self) -> None:
        """A request: numbers, then the monitors, each with its match."""
        message = FlowMonitorRequest((MONITOR,), XID)
        self.assert_bytes(
            OFP10,
            message,
            "0110 0030 12345678 ffff0000 00002320 00000002 00000000"
            "00000009 001f 0003 0006 04 0000000000 00000602 0800 0000",
        )
        self.assert_bytes(
            OFP13,
            message,
            "0412 0038 12345678 ffff0000 00000000 4f4e4600 0000074e"
            "00000009 001f 000a 00000003 04 000000 0001000a 80000a02 0800 000000000000",
        )

    def test_update(self) -> None:
        """An update: its head, the match, and what the rule does."""
        message = FlowMonitorReply([UPDATE, FlowUpdateAbbrev(0x99)], 0)
        head = "0002 0063 0006 0007"
        old = bytes.fromhex(
            f"0028 0001 {head} 0006 04 00 0000000000000005"
            "00000002 0003 0000 00000008 0002 0000"
            "0008 0003 00000099"
        )
        data = encode(OFP10, message)
        self.assertEqual(data[24:].hex(), old.hex())
        self.assertEqual(decode(OFP10, data), message)
        new = bytes.fromhex(
            f"0040 0001 {head} 000c 04 00 0000000000000005"
            "0001000c 80000004 00000003 00000000"
            "00040018 00000000 00000010 00000002 0000 000000000000"
            "0008 0003 00000099"
        )
        data = encode(OFP13, message)
        self.assertEqual(data[24:].hex(), new.hex())
        self.assertEqual(decode(OFP13, data), message)

    def test_instructions(self) -> None:
        """In 1.3 an update has instructions, in 1.0 what actions can say of them."""
        update = FlowUpdate(0, 1, Match(), 1, 1, instructions=(GotoTable(5),))
        reply = FlowMonitorReply([update])
        self.assertEqual(decode(OFP13, encode(OFP13, reply)), reply)
        data = encode(OFP10, reply)
        self.assertIn(bytes.fromhex("ffff0010 00002320 000e fff8 05"), data)

    def test_numbers(self) -> None:
        """A cancellation is Nicira's 21 or the Foundation's 1870."""
        for version, digits in ((OFP10, "00002320 00000015"), (OFP13, "4f4e4600 0000074e")):
            data = encode(version, FlowMonitorCancel(5))
            self.assertEqual(data[8:], bytes.fromhex(f"{digits} 00000005"))


class ListTests(SynchronousTestCase):
    """Several monitors, many updates."""

    def test_monitors(self) -> None:
        """A request may have none, and several, with matches of any length."""
        monitors = tuple(
            FlowMonitor(n, 2, match=Match.of(**{f"reg{r}": r for r in range(n)})) for n in range(8)
        )
        for request in (FlowMonitorRequest(), FlowMonitorRequest(monitors, XID)):
            for version in (OFP10, OFP13):
                self.assertEqual(decode(version, encode(version, request)), request)

    def test_parts(self) -> None:
        """Many updates are several messages."""
        for version in (OFP10, OFP13):
            frames = list(encode_parts(version, FlowMonitorReply([UPDATE] * 3000, XID)))
            self.assertGreater(len(frames), 1)
            replies = [decode(version, frame) for frame in frames]
            found = [u for reply in replies for u in reply.updates]  # type: ignore[union-attr]
            self.assertEqual(found, [UPDATE] * 3000)

    def test_no_room(self) -> None:
        """An update whose actions fit no message goes without."""
        for version, actions in (
            (OFP10, (Note(bytes(0xFFC8)),)),
            (OFP13, (Note(bytes(0xFFC8)),)),
            (OFP13, (SetVlanVid(5),) * 6000),
        ):
            apply = ApplyActions(actions)
            update = FlowUpdate(0, 1, Match.of(in_port=1), 1, 1, instructions=(apply,))
            reply = decode(version, encode(version, FlowMonitorReply([update])))
            assert isinstance(reply, FlowMonitorReply)
            (found,) = reply.updates
            assert isinstance(found, FlowUpdate)
            self.assertEqual(len(found.instructions), 0)


class RefusedTests(SynchronousTestCase):
    """What is refused, in both versions."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """These bytes are refused with this error."""
        data = data[:2] + len(data).to_bytes(2, "big") + data[4:]
        error = self.assertRaises(OpenFlowError, decode, data[0], data)
        self.assertIs(error.code, code, data.hex())

    def test_flags(self) -> None:
        """Unknown flags, and those which ask for no news, are refused as such."""
        for version in (OFP10, OFP13):
            for flags in (0, 1, 0x30, 0x42):
                data = encode(version, FlowMonitorRequest((FlowMonitor(1, flags),)))
                self.assert_refused(errors.MONITOR_BAD_FLAGS, data)

    def test_padding(self) -> None:
        """Reserved bytes must be zero."""
        for version in (OFP10, OFP13):
            data = bytearray(encode(version, FlowMonitorRequest((FlowMonitor(1, 2),))))
            data[39] = 1
            self.assert_refused(errors.MUST_BE_ZERO, bytes(data))

    def test_request_lengths(self) -> None:
        """A monitor that is not whole, or whose match is not."""
        for version in (OFP10, OFP13):
            data = encode(version, FlowMonitorRequest((MONITOR,)))
            self.assert_refused(errors.REQUEST_BAD_LEN, data[:39])
            self.assert_refused(errors.REQUEST_BAD_LEN, data + bytes(8))
            self.assert_refused(errors.REQUEST_BAD_LEN, data[:-1])
            self.assert_refused(errors.MATCH_BAD_LEN, data[:-8])

    def test_too_many(self) -> None:
        """There is a greatest number of monitors."""
        for version in (OFP10, OFP13):
            most = FlowMonitorRequest((FlowMonitor(1, 2),) * MAX_MONITORS)
            self.assertEqual(decode(version, encode(version, most)), most)
            more = FlowMonitorRequest((FlowMonitor(1, 2),) * (MAX_MONITORS + 1))
            self.assert_refused(errors.REQUEST_BAD_LEN, encode(version, more))

    def test_updates(self) -> None:
        """An unknown event, and lengths which do not fit."""
        for version in (OFP10, OFP13):
            data = encode(version, FlowMonitorReply([UPDATE]))

            def changed(at: int, number: int, data: bytes = data) -> bytes:
                return data[: 24 + at] + number.to_bytes(2, "big") + data[24 + at + 2 :]

            self.assert_refused(errors.FM_BAD_EVENT, changed(2, 4))
            self.assert_refused(errors.REQUEST_BAD_LEN, changed(2, FlowUpdateEvent.ABBREV))
            for length in (0, 4, 7, 12, 0xFFF8):
                self.assert_refused(errors.REQUEST_BAD_LEN, changed(0, length))
            self.assert_refused(errors.REQUEST_BAD_LEN, changed(0, 16)[:40])

    def test_match_beyond(self) -> None:
        """A match that goes beyond its update, into the next."""
        two = encode(OFP10, FlowMonitorReply([UPDATE] * 2))
        wrong = two[:36] + (0x30).to_bytes(2, "big") + two[38:]
        self.assert_refused(errors.MATCH_BAD_LEN, wrong)
        two = encode(OFP13, FlowMonitorReply([UPDATE] * 2))
        wrong = two[:48] + b"\0\1\0\x60" + two[52:]
        error = self.assertRaises(OpenFlowError, decode, OFP13, wrong)
        self.assertEqual(error.code.of13[0], 4)
