"""Tests of :mod:`agent.openflow.groups13` and :mod:`agent.openflow.meters13`."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors
from agent.openflow import group_messages as gm
from agent.openflow.actions import GroupAction, Output, PopVlan
from agent.openflow.codec import decode, encode
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.messages import ANY, OFP13, Message
from tests.openflow.osken import datapath, parse

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
ACTIONS = st.sampled_from([(), (Output(3),), (PopVlan(), Output(1)), (GroupAction(9),)])
buckets = st.lists(st.builds(gm.Bucket, U16, U32, U32, ACTIONS), max_size=4).map(tuple)
bands = st.lists(
    st.builds(gm.MeterBand, st.just(1), U32, U32)
    | st.builds(gm.MeterBand, st.just(2), U32, U32, U8),
    max_size=4,
).map(tuple)
counters = st.lists(st.tuples(U64, U64), max_size=4).map(tuple)
group_stats = st.builds(gm.GroupStats, U32, U32, U64, U64, U32, U32, counters)
meter_stats = st.builds(gm.MeterStats, U32, U32, U64, U64, U32, U32, counters)
four = st.tuples(U32, U32, U32, U32)

messages = st.one_of(
    st.builds(gm.GroupMod, U16, U8, U32, buckets, U32),
    st.builds(gm.GroupStatsReply, st.lists(group_stats, max_size=3), U32),
    st.builds(
        gm.GroupDescReply, st.lists(st.builds(gm.GroupDesc, U8, U32, buckets), max_size=3), U32
    ),
    st.builds(gm.GroupFeaturesReply, U32, U32, four, four, U32),
    st.builds(gm.MeterMod, U16, U16, U32, bands, U32),
    st.builds(gm.MeterStatsReply, st.lists(meter_stats, max_size=3), U32),
    st.builds(
        gm.MeterConfigReply, st.lists(st.builds(gm.MeterConfig, U16, U32, bands), max_size=3), U32
    ),
    st.builds(gm.MeterFeaturesReply, U32, U32, U32, U8, U8, U32),
)


class RoundTripTests(SynchronousTestCase):
    """Both directions."""

    @given(messages)
    def test_round_trip(self, message: Message) -> None:
        """What is encoded is decoded again."""
        self.assertEqual(decode(OFP13, encode(OFP13, message)), message)


class OsKenTests(SynchronousTestCase):
    """The bytes are those of os-ken."""

    def assert_same(self, ours: Message, theirs: Any) -> None:
        """Both write the same bytes, and we read theirs as ours."""
        theirs.xid = 7
        theirs.serialize()
        self.assertEqual(encode(OFP13, ours).hex(), bytes(theirs.buf).hex())
        self.assertEqual(decode(OFP13, bytes(theirs.buf)), ours)

    def test_group_mod(self) -> None:
        """GROUP_MOD of every type and command."""
        dp = datapath(OFP13)
        for command in gm.GroupCommand:
            for kind in gm.GroupType:
                self.assert_same(
                    gm.GroupMod(command, kind, 5, (gm.Bucket(3, 1, 2, (Output(4),)),), 7),
                    parser.OFPGroupMod(
                        dp,
                        command,
                        kind,
                        5,
                        [parser.OFPBucket(3, 1, 2, [parser.OFPActionOutput(4, 0)])],
                    ),
                )

    def test_meter_mod(self) -> None:
        """METER_MOD with every band."""
        bands = [
            parser.OFPMeterBandDrop(1000, 10),
            parser.OFPMeterBandDscpRemark(500, 5, 2),
        ]
        self.assert_same(
            gm.MeterMod(0, 9, 4, (gm.MeterBand(1, 1000, 10), gm.MeterBand(2, 500, 5, 2)), 7),
            parser.OFPMeterMod(datapath(OFP13), ofp.OFPMC_ADD, 9, 4, bands),
        )

    def test_requests(self) -> None:
        """The requests of all six statistics."""
        dp = datapath(OFP13)
        for ours, theirs in (
            (gm.GroupStatsRequest(5, 7), parser.OFPGroupStatsRequest(dp, 0, 5)),
            (gm.GroupDescRequest(7), parser.OFPGroupDescStatsRequest(dp, 0)),
            (gm.GroupFeaturesRequest(7), parser.OFPGroupFeaturesStatsRequest(dp, 0)),
            (gm.MeterStatsRequest(5, 7), parser.OFPMeterStatsRequest(dp, 0, 5)),
            (gm.MeterConfigRequest(5, 7), parser.OFPMeterConfigStatsRequest(dp, 0, 5)),
            (gm.MeterFeaturesRequest(7), parser.OFPMeterFeaturesStatsRequest(dp, 0)),
        ):
            self.assert_same(ours, theirs)

    def test_replies(self) -> None:
        """os-ken reads our replies as we mean them."""
        stats = gm.GroupStats(5, 1, 2, 3, 4, 6, ((7, 8), (9, 10)))
        (found,) = parse(encode(OFP13, gm.GroupStatsReply([stats]))).body
        self.assertEqual((found.group_id, found.ref_count, found.packet_count), (5, 1, 2))
        self.assertEqual([b.byte_count for b in found.bucket_stats], [8, 10])
        desc = gm.GroupDesc(3, 5, (gm.Bucket(0, 1, ANY, (Output(2),)),))
        (found,) = parse(encode(OFP13, gm.GroupDescReply([desc]))).body
        self.assertEqual((found.type, found.group_id, found.buckets[0].watch_port), (3, 5, 1))
        features = gm.GroupFeaturesReply(15, 13, (1, 2, 3, 4), (5, 6, 7, 8))
        found = parse(encode(OFP13, features)).body
        self.assertEqual(
            (found.types, found.max_groups, found.actions), (15, [1, 2, 3, 4], [5, 6, 7, 8])
        )
        meter = gm.MeterStats(5, 1, 2, 3, 4, 6, ((7, 8),))
        (found,) = parse(encode(OFP13, gm.MeterStatsReply([meter]))).body
        self.assertEqual((found.meter_id, found.flow_count, found.duration_nsec), (5, 1, 6))
        self.assertEqual(found.band_stats[0].packet_band_count, 7)
        config = gm.MeterConfig(5, 6, (gm.MeterBand(2, 500, 5, 2),))
        (found,) = parse(encode(OFP13, gm.MeterConfigReply([config]))).body
        self.assertEqual((found.flags, found.meter_id, found.bands[0].prec_level), (5, 6, 2))
        (found,) = parse(encode(OFP13, gm.MeterFeaturesReply(100, 6, 15, 20, 8))).body
        self.assertEqual((found.max_meter, found.band_types, found.max_bands), (100, 6, 20))


class RefusalTests(SynchronousTestCase):
    """What is malformed has the error that the specification gives it."""

    def refused(self, kind: int, body: bytes) -> ErrorCode:
        """The error for a message of this type."""
        frame = struct.pack("!BBHI", 4, kind, 8 + len(body), 1) + body
        error: OpenFlowError = self.assertRaises(OpenFlowError, decode, OFP13, frame)
        return error.code

    def test_short(self) -> None:
        """A message shorter than its fixed part."""
        self.assertIs(self.refused(15, bytes(7)), errors.REQUEST_BAD_LEN)
        self.assertIs(self.refused(29, bytes(7)), errors.REQUEST_BAD_LEN)

    def test_buckets(self) -> None:
        """Buckets of no length, too short, too long, not a multiple of 8; actions that are cut."""
        for length in (0, 8, 15, 17, 24, 0xFFFF):
            bucket = struct.pack("!HHIIxxxx", length, 0, 0, 0)
            self.assertIs(self.refused(15, bytes(8) + bucket), errors.GROUP_BAD_BUCKET, str(length))
        bucket = struct.pack("!HHIIxxxx", 24, 0, 0, 0) + struct.pack("!HH4x", 0, 16)
        self.assertIs(self.refused(15, bytes(8) + bucket), errors.ACTION_BAD_LEN)

    def test_bands(self) -> None:
        """Bands of no length, of another length than theirs, and of unknown types."""
        for kind, length in ((1, 0), (1, 12), (1, 20), (2, 0xFFFF), (0, 16), (3, 16), (0xFFFF, 16)):
            band = struct.pack("!HHII4x", kind, length, 1, 1) + bytes(4)
            self.assertIs(self.refused(29, bytes(8) + band), errors.BAD_BAND, f"{kind} {length}")
