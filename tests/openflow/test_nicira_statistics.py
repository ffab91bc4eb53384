"""Tests for :mod:`agent.openflow.nicira.statistics`, and for statistics of experimenters at all."""

from __future__ import annotations

from typing import Any

import attrs
from os_ken.ofproto import ofproto_v1_0 as ofp
from os_ken.ofproto import ofproto_v1_0_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow.actions import ApplyActions, Output, WriteMetadata
from agent.openflow.codec import decode, encode, encode_parts
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import OFP10, OFP13, AggregateRequest, FlowStatsReply, FlowStatsRequest
from agent.openflow.nx_actions import Note, Resubmit
from tests.openflow.osken import datapath, parse, serialize
from tests.openflow.samples import XID
from tests.openflow.test_nicira_messages import MATCH, osken_rule

FLOW = messages.FlowStats(
    3, 10, 11, 99, 5, 6, 0, 7, 8, 9, MATCH, (ApplyActions((Output(2), Resubmit(table_id=4))),), 1, 2
)


class OsKenTests(SynchronousTestCase):
    """os-ken and we write the same, and read what the other writes."""

    def test_requests(self) -> None:
        """NXST_FLOW and NXST_AGGREGATE, with and without a match."""
        dp = datapath(OFP10)
        for theirs, ours in (
            (parser.NXFlowStatsRequest, FlowStatsRequest),
            (parser.NXAggregateStatsRequest, AggregateRequest),
        ):
            for rule, match in ((osken_rule(), MATCH), (None, MATCH_ALL)):
                data = serialize(theirs(dp, 0, 3, 9, rule))
                request = ours(9, 3, match=match, xid=XID, nxm=True)
                self.assertEqual(decode(OFP10, data), request)
                self.assertEqual(encode(OFP10, request).hex(), data.hex())

    def test_flows(self) -> None:
        """os-ken reads our NXST_FLOW reply."""
        (theirs,) = parse(encode(OFP10, FlowStatsReply([FLOW], XID, nxm=True))).body
        for name in (
            *("table_id", "duration_sec", "duration_nsec", "priority", "idle_timeout"),
            *("hard_timeout", "cookie", "packet_count", "byte_count"),
        ):
            self.assertEqual(getattr(theirs, name), getattr(FLOW, name), name)
        self.assertEqual((theirs.idle_age, theirs.hard_age), (2, 3))
        fields = {field.nxm_header: field.value for field in theirs.fields}
        self.assertEqual(fields[ofp.NXM_OF_IN_PORT], 0xFFFE)
        self.assertEqual(fields[ofp.NXM_NX_TUN_ID], 7)
        self.assertEqual((theirs.actions[0].port, theirs.actions[1].table_id), (2, 4))

    def test_aggregate(self) -> None:
        """os-ken reads our NXST_AGGREGATE reply."""
        reply = messages.AggregateReply(1 << 40, 2, 3, XID, True)
        (theirs,) = parse(encode(OFP10, reply)).body
        self.assertEqual(tuple(theirs), (1 << 40, 2, 3))


class ReplyTests(SynchronousTestCase):
    """Replies are what their requests were."""

    def test_told_apart(self) -> None:
        """The same reply is OpenFlow's or Nicira's; in 1.3 it is OpenFlow's."""
        for version, nxm, number in (
            *((OFP10, False, b"\0\1"), (OFP10, True, b"\xff\xff")),
            *((OFP13, False, b"\0\1"), (OFP13, True, b"\0\1")),
        ):
            data = encode(version, FlowStatsReply([], XID, nxm=nxm))
            self.assertEqual(data[8:10], number)

    def test_ages(self) -> None:
        """An age that is not known is 0, and one that is too great is the greatest."""
        for age, wire, again in ((None, 0, None), (0, 1, 0), (5, 6, 5), (0x20000, 0xFFFF, 0xFFFE)):
            flow = attrs.evolve(FLOW, idle_age=age, hard_age=age)
            data = encode(OFP10, FlowStatsReply([flow], nxm=True))
            self.assertEqual(data[24 + 20 : 24 + 24], wire.to_bytes(2, "big") * 2)
            reply = decode(OFP10, data)
            assert isinstance(reply, FlowStatsReply)
            (found,) = reply.flows
            self.assertEqual((found.idle_age, found.hard_age), (again, again))

    def test_parts(self) -> None:
        """A long reply is several messages, each with Nicira's numbers."""
        flows = [attrs.evolve(FLOW, priority=n) for n in range(2000)]
        frames = list(encode_parts(OFP10, FlowStatsReply(iter(flows), XID, nxm=True)))
        self.assertGreater(len(frames), 3)
        found: list[messages.FlowStats] = []
        for frame in frames:
            self.assertLessEqual(len(frame), 0xFFFF)
            self.assertEqual(frame[12:20], bytes.fromhex("00002320 00000000"))
            reply = decode(OFP10, frame)
            assert isinstance(reply, FlowStatsReply)
            self.assertTrue(reply.nxm)
            self.assertEqual(reply.more, frame is not frames[-1])
            found += reply.flows
        self.assertEqual(found, flows)

    def test_no_room(self) -> None:
        """A rule whose actions fit no message is shown without."""
        note = Note(bytes(0xFFC0))
        flow = attrs.evolve(FLOW, instructions=(ApplyActions((note,)), WriteMetadata(1, 1)))
        reply = decode(OFP10, encode(OFP10, FlowStatsReply([flow], nxm=True)))
        assert isinstance(reply, FlowStatsReply)
        (found,) = reply.flows
        self.assertEqual(found.instructions, ())
        self.assertEqual(found.match, MATCH)

    def test_metadata(self) -> None:
        """A rule that writes metadata is shown with it."""
        flow = attrs.evolve(FLOW, instructions=(WriteMetadata(1, 3),))
        reply = decode(OFP10, encode(OFP10, FlowStatsReply([flow], nxm=True)))
        assert isinstance(reply, FlowStatsReply)
        (found,) = reply.flows
        self.assertEqual(found.instructions, (WriteMetadata(1, 3),))


class RefusedTests(SynchronousTestCase):
    """Statistics which are refused."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """These bytes are refused with this error."""
        data = data[:2] + len(data).to_bytes(2, "big") + data[4:]
        error = self.assertRaises(OpenFlowError, decode, data[0], data)
        self.assertIs(error.code, code, data.hex())

    def stats(self, body: str, kind: int = 16, version: int = OFP10) -> bytes:
        """A statistics message of an experimenter."""
        padding = "" if version == OFP10 else "00000000"
        return bytes([version, kind, 0, 0, 0, 0, 0, 0]) + bytes.fromhex(f"ffff0000{padding}{body}")

    def test_numbers(self) -> None:
        """An unknown experimenter, an unknown type of a known one, and none at all."""
        for version, kinds in ((OFP10, (16, 17)), (OFP13, (18, 19))):
            for kind in kinds:
                for body, code in (
                    ("", errors.REQUEST_BAD_LEN),
                    ("000023", errors.REQUEST_BAD_LEN),
                    ("00002321", errors.BAD_EXPERIMENTER),
                    ("00000000 00000001", errors.BAD_EXPERIMENTER),
                ):
                    self.assert_refused(code, self.stats(body, kind, version))
        for body, code in (
            ("00002320", errors.REQUEST_BAD_LEN),
            ("00002320 00000000", errors.REQUEST_BAD_LEN),
            ("00002320 00000063 00000000", errors.BAD_EXP_TYPE),
        ):
            self.assert_refused(code, self.stats(body))
        # In 1.3 Nicira has no statistics.
        data = self.stats("00002320 00000000 00000000", 18, OFP13)
        self.assert_refused(errors.BAD_EXPERIMENTER, data)

    def test_requests(self) -> None:
        """Requests which are too short, and those with something behind the match."""
        for message in (FlowStatsRequest, AggregateRequest):
            data = encode(OFP10, message(match=Match.of(eth_type=0x800), nxm=True))
            for wrong in (data[:24], data[:31], data[:-1], data + b"\0", data + bytes(8)):
                self.assert_refused(errors.REQUEST_BAD_LEN, wrong)
            self.assert_refused(errors.MATCH_BAD_LEN, data[:-8])

    def test_entries(self) -> None:
        """Entries of a reply which are too short, or whose match goes beyond them."""
        data = encode(OFP10, FlowStatsReply([FLOW], nxm=True))

        def changed(at: int, number: int) -> bytes:
            return data[: 24 + at] + number.to_bytes(2, "big") + data[24 + at + 2 :]

        for wrong, code in (
            (data[:-8], errors.REQUEST_BAD_LEN),
            (changed(0, 40), errors.REQUEST_BAD_LEN),
            (changed(0, 0), errors.REQUEST_BAD_LEN),
            (changed(18, 0xFFFF), errors.MATCH_BAD_LEN),
            (changed(18, len(data)), errors.MATCH_BAD_LEN),
        ):
            self.assert_refused(code, wrong)

    def test_aggregate(self) -> None:
        """An aggregate reply of another size."""
        data = encode(OFP10, messages.AggregateReply(1, 2, 3, XID, True))
        for wrong in (data[:-1], data + b"\0"):
            self.assert_refused(errors.REQUEST_BAD_LEN, wrong)


class MultipartTests(SynchronousTestCase):
    """Which messages there are in which version."""

    def test_not_in_version(self) -> None:
        """What a version has no statistics for cannot be written in it."""
        unknown: Any = messages.TableFeaturesRequest()
        self.assertRaises(ValueError, encode, OFP10, unknown)
