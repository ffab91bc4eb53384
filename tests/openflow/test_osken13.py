"""OpenFlow 1.3 as os-ken writes and reads it: both make the same bytes, and the same of them.

The fields of the matches here are those of which os-ken and Open vSwitch, whose order is ours, make
the same order.
"""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages
from agent.openflow.codec import decode, encode
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import OFP13, Message, Port
from tests.openflow.osken import datapath, parse, serialize
from tests.openflow.samples import INSTRUCTIONS13, MAC, SIX_FIELDS, XID

MAC_TEXT = "0a:1b:2c:3d:4e:5f"
MATCH = Match.of(
    in_port=1,
    eth_dst=(0x010000000000, 0x010000000000),
    eth_type=0x86DD,
    vlan_vid=0x1064,
    ip_proto=6,
    tcp_dst=80,
)


def _match() -> Any:
    return parser.OFPMatch(
        in_port=1,
        eth_dst=("01:00:00:00:00:00", "01:00:00:00:00:00"),
        eth_type=0x86DD,
        vlan_vid=0x1064,
        ip_proto=6,
        tcp_dst=80,
    )


def _actions() -> list[Any]:
    return [
        parser.OFPActionOutput(0x10000, 0),
        parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER),
        parser.OFPActionCopyTtlOut(),
        parser.OFPActionCopyTtlIn(),
        parser.OFPActionSetMplsTtl(64),
        parser.OFPActionDecMplsTtl(),
        parser.OFPActionPushVlan(0x8100),
        parser.OFPActionPopVlan(),
        parser.OFPActionPushMpls(0x8847),
        parser.OFPActionPopMpls(0x0800),
        parser.OFPActionSetQueue(7),
        parser.OFPActionGroup(42),
        parser.OFPActionSetNwTtl(63),
        parser.OFPActionDecNwTtl(),
        parser.OFPActionSetField(vlan_vid=0x1064),
        parser.OFPActionSetField(eth_dst=MAC_TEXT),
        parser.OFPActionSetField(ipv6_src="fe80::3"),
        parser.OFPActionSetField(tunnel_id=99),
        parser.OFPActionPushPbb(0x88E7),
        parser.OFPActionPopPbb(),
    ]


def _instructions() -> list[Any]:
    write = [parser.OFPActionOutput(3, 0), parser.OFPActionGroup(1)]
    return [
        parser.OFPInstructionMeter(6),
        parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, _actions()),
        parser.OFPInstructionActions(ofp.OFPIT_CLEAR_ACTIONS, []),
        parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, write),
        parser.OFPInstructionWriteMetadata(0x1234, 0xFFFF),
        parser.OFPInstructionGotoTable(9),
    ]


class RequestTests(SynchronousTestCase):
    """What os-ken can send."""

    def setUp(self) -> None:
        """What os-ken's messages are made for."""
        self.datapath = datapath(OFP13)

    def assert_same(self, theirs: Any, ours: Message) -> None:
        """os-ken's message is read as ours, and ours makes the same bytes as os-ken's."""
        data = serialize(theirs)
        self.assertEqual(decode(OFP13, data), ours)
        self.assertEqual(encode(OFP13, ours).hex(), data.hex())

    def test_symmetric(self) -> None:
        """ERROR, ECHO and EXPERIMENTER.  (os-ken's HELLO never has a bitmap.)"""
        dp = self.datapath
        self.assert_same(
            parser.OFPErrorMsg(dp, 1, 6, b"x" * 64), messages.ErrorMessage(1, 6, b"x" * 64, XID)
        )
        self.assert_same(parser.OFPEchoRequest(dp, b"abc"), messages.EchoRequest(b"abc", XID))
        self.assert_same(parser.OFPEchoReply(dp, b"abc"), messages.EchoReply(b"abc", XID))
        self.assert_same(
            parser.OFPExperimenter(dp, 0xABCDEF, 3, b"vendor's"),
            messages.Experimenter(0xABCDEF, 3, b"vendor's", XID),
        )

    def test_switch(self) -> None:
        """FEATURES, configuration, PORT_MOD, TABLE_MOD, BARRIER and queue configuration."""
        dp = self.datapath
        self.assert_same(parser.OFPFeaturesRequest(dp), messages.FeaturesRequest(XID))
        self.assert_same(parser.OFPGetConfigRequest(dp), messages.GetConfigRequest(XID))
        self.assert_same(parser.OFPSetConfig(dp, 1, 128), messages.SetConfig(1, 128, XID))
        self.assert_same(parser.OFPBarrierRequest(dp), messages.BarrierRequest(XID))
        self.assert_same(
            parser.OFPPortMod(dp, ofp.OFPP_LOCAL, MAC_TEXT, 1, 0x21, ofp.OFPPF_COPPER),
            messages.PortMod(Port.LOCAL, MAC, 1, 0x21, 1 << 11, XID),
        )
        self.assert_same(parser.OFPTableMod(dp, 0xFF, 3), messages.TableMod(0xFF, 3, XID))
        self.assert_same(
            parser.OFPQueueGetConfigRequest(dp, ofp.OFPP_ANY),
            messages.QueueGetConfigRequest(messages.ANY, XID),
        )

    def test_session(self) -> None:
        """ROLE_REQUEST, GET_ASYNC_REQUEST, SET_ASYNC."""
        dp = self.datapath
        self.assert_same(
            parser.OFPRoleRequest(dp, ofp.OFPCR_ROLE_SLAVE, 1 << 63),
            messages.RoleRequest(3, 1 << 63, XID),
        )
        self.assert_same(parser.OFPGetAsyncRequest(dp), messages.GetAsyncRequest(XID))
        self.assert_same(
            parser.OFPSetAsync(dp, [1, 2], [3, 4], [5, 6]),
            messages.SetAsync(messages.AsyncConfig((1, 2), (3, 4), (5, 6)), XID),
        )

    def test_flow_mod(self) -> None:
        """FLOW_MOD with each command, every instruction and every action."""
        for command in messages.FlowModCommand:
            self.assert_same(
                parser.OFPFlowMod(
                    self.datapath,
                    cookie=1 << 63,
                    cookie_mask=0xFF,
                    table_id=9,
                    command=command,
                    idle_timeout=10,
                    hard_timeout=20,
                    priority=30,
                    buffer_id=40,
                    out_port=ofp.OFPP_CONTROLLER,
                    out_group=50,
                    flags=ofp.OFPFF_RESET_COUNTS,
                    match=_match(),
                    instructions=_instructions(),
                ),
                messages.FlowMod(
                    command,
                    MATCH,
                    30,
                    INSTRUCTIONS13[2],
                    table_id=9,
                    cookie=1 << 63,
                    cookie_mask=0xFF,
                    idle_timeout=10,
                    hard_timeout=20,
                    buffer_id=40,
                    out_port=Port.CONTROLLER,
                    out_group=50,
                    flags=messages.FlowModFlags.RESET_COUNTS,
                    xid=XID,
                ),
            )

    def test_other_order(self) -> None:
        """A match whose fields we would write in another order is read all the same."""
        match = parser.OFPMatch(
            in_port=1,
            eth_type=0x800,
            ip_proto=6,
            ipv4_src="10.0.0.1",
            ipv4_dst="11.0.0.2",
            tcp_dst=80,
        )
        data = serialize(
            parser.OFPFlowMod(
                self.datapath, out_port=ofp.OFPP_ANY, out_group=ofp.OFPG_ANY, match=match
            )
        )
        self.assertEqual(decode(OFP13, data), messages.FlowMod(0, SIX_FIELDS, xid=XID))

    def test_packet_out(self) -> None:
        """PACKET_OUT."""
        self.assert_same(
            parser.OFPPacketOut(
                self.datapath, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, _actions(), b"frame"
            ),
            messages.PacketOut(
                messages.NO_BUFFER,
                Port.CONTROLLER,
                INSTRUCTIONS13[2][1].actions,  # type: ignore[union-attr]
                b"frame",
                XID,
            ),
        )
        self.assert_same(
            parser.OFPPacketOut(self.datapath, 7, 3, [], None),
            messages.PacketOut(7, 3, (), b"", XID),
        )

    def test_statistics(self) -> None:
        """Every request for statistics."""
        dp = self.datapath
        for theirs, ours in (
            (parser.OFPDescStatsRequest(dp, 0), messages.DescRequest(XID)),
            (
                parser.OFPFlowStatsRequest(dp, 0, 9, 1, 2, 3, 4, _match()),
                messages.FlowStatsRequest(9, 1, 2, 3, 4, MATCH, XID),
            ),
            (parser.OFPFlowStatsRequest(dp), messages.FlowStatsRequest(xid=XID)),
            (
                parser.OFPAggregateStatsRequest(dp, 0, 9, 1, 2, 3, 4, _match()),
                messages.AggregateRequest(9, 1, 2, 3, 4, MATCH, XID),
            ),
            (parser.OFPTableStatsRequest(dp, 0), messages.TableStatsRequest(XID)),
            (parser.OFPPortStatsRequest(dp, 0), messages.PortStatsRequest(xid=XID)),
            (parser.OFPPortDescStatsRequest(dp, 0), messages.PortDescRequest(XID)),
            (parser.OFPQueueStatsRequest(dp, 0), messages.QueueStatsRequest(xid=XID)),
        ):
            self.assert_same(theirs, ours)


class ReplyTests(SynchronousTestCase):
    """What os-ken can receive."""

    def parsed(self, message: Message) -> Any:
        """What os-ken reads; what we read ourselves is what we wrote."""
        data = encode(OFP13, message)
        self.assertEqual(decode(OFP13, data), message)
        theirs = parse(data)
        self.assertEqual(theirs.xid, XID)
        return theirs

    def assert_attributes(self, theirs: Any, **wanted: object) -> None:
        """os-ken's object has these attributes."""
        self.assertEqual({name: getattr(theirs, name) for name in wanted}, wanted)

    def test_hello(self) -> None:
        """HELLO with a version bitmap."""
        (element,) = self.parsed(messages.Hello(frozenset({1, 4}), XID)).elements
        self.assertEqual(sorted(element.versions), [1, 4])

    def test_switch(self) -> None:
        """FEATURES_REPLY, GET_CONFIG_REPLY, BARRIER_REPLY."""
        self.assert_attributes(
            self.parsed(messages.FeaturesReply(0x1234, 256, 254, 1, 0x4F, xid=XID)),
            datapath_id=0x1234,
            n_buffers=256,
            n_tables=254,
            auxiliary_id=1,
            capabilities=0x4F,
        )
        self.assert_attributes(
            self.parsed(messages.GetConfigReply(2, 128, XID)), flags=2, miss_send_len=128
        )
        self.assertIsInstance(self.parsed(messages.BarrierReply(XID)), parser.OFPBarrierReply)

    def test_session(self) -> None:
        """ROLE_REPLY and GET_ASYNC_REPLY."""
        self.assert_attributes(
            self.parsed(messages.RoleReply(2, 1 << 63, XID)),
            role=ofp.OFPCR_ROLE_MASTER,
            generation_id=1 << 63,
        )
        masks = messages.AsyncConfig((1, 2), (3, 4), (5, 6))
        self.assert_attributes(
            self.parsed(messages.GetAsyncReply(masks, XID)),
            packet_in_mask=[1, 2],
            port_status_mask=[3, 4],
            flow_removed_mask=[5, 6],
        )

    def test_queues(self) -> None:
        """QUEUE_GET_CONFIG_REPLY."""
        queues = (messages.PacketQueue(7, 3, 500, 900), messages.PacketQueue(8, 4))
        reply = self.parsed(messages.QueueGetConfigReply(messages.ANY, queues, XID))
        self.assertEqual(reply.port, ofp.OFPP_ANY)
        self.assertEqual([(q.queue_id, q.port) for q in reply.queues], [(7, 3), (8, 4)])
        self.assertEqual([p.rate for q in reply.queues for p in q.properties], [500, 900])

    def test_ports(self) -> None:
        """PORT_STATUS and PORT_DESC."""
        port = messages.PortDesc(Port.LOCAL, MAC, "br0", 1, 5, 2, 3, 4, 6, 7, 8)
        status = self.parsed(messages.PortStatus(1, port, XID))
        self.assert_attributes(status, reason=ofp.OFPPR_DELETE)
        (body,) = self.parsed(messages.PortDescReply([port], XID)).body
        for desc in (status.desc, body):
            self.assert_attributes(
                desc,
                port_no=ofp.OFPP_LOCAL,
                hw_addr=MAC_TEXT,
                name=b"br0",
                config=ofp.OFPPC_PORT_DOWN,
                state=ofp.OFPPS_LINK_DOWN | ofp.OFPPS_LIVE,
                curr=2,
                advertised=3,
                supported=4,
                peer=6,
                curr_speed=7,
                max_speed=8,
            )

    def assert_match(self, match: Any) -> None:
        """os-ken's match is :data:`MATCH`."""
        self.assertEqual(dict(match.items()), dict(_match().items()))

    def test_packet_in(self) -> None:
        """PACKET_IN."""
        reply = self.parsed(messages.PacketIn(7, 1500, 2, 3, 1 << 63, MATCH, b"frame" * 20, XID))
        self.assert_match(reply.match)
        self.assert_attributes(
            reply,
            buffer_id=7,
            total_len=1500,
            reason=ofp.OFPR_INVALID_TTL,
            table_id=3,
            cookie=1 << 63,
            data=b"frame" * 20,
        )

    def test_flow_removed(self) -> None:
        """FLOW_REMOVED."""
        reply = self.parsed(
            messages.FlowRemoved(MATCH, 1 << 63, 30, 3, 9, 2, 3, 4, 5, 1 << 40, 1 << 50, XID)
        )
        self.assert_match(reply.match)
        self.assert_attributes(
            reply,
            cookie=1 << 63,
            priority=30,
            reason=ofp.OFPRR_GROUP_DELETE,
            table_id=9,
            duration_sec=2,
            duration_nsec=3,
            idle_timeout=4,
            hard_timeout=5,
            packet_count=1 << 40,
            byte_count=1 << 50,
        )

    def test_flow_statistics(self) -> None:
        """FLOW and AGGREGATE; a rule with every instruction, one without any."""
        flows = [
            messages.FlowStats(0, 1, 2, 3, 4, 5, 9, 6, 7, 8, MATCH, INSTRUCTIONS13[2]),
            messages.FlowStats(1, 1, 2, 3, 4, 5, 9, 6, 7, 8, MATCH_ALL, ()),
        ]
        reply = self.parsed(messages.FlowStatsReply(flows, XID, more=True))
        self.assertEqual(reply.flags, ofp.OFPMPF_REPLY_MORE)
        self.assertEqual(len(reply.body), 2)
        for number, flow in enumerate(reply.body):
            self.assert_attributes(
                flow,
                table_id=number,
                duration_sec=1,
                duration_nsec=2,
                priority=3,
                idle_timeout=4,
                hard_timeout=5,
                flags=ofp.OFPFF_SEND_FLOW_REM | ofp.OFPFF_NO_PKT_COUNTS,
                cookie=6,
                packet_count=7,
                byte_count=8,
            )
        full, bare = reply.body
        self.assert_match(full.match)
        self.assertEqual(dict(bare.match.items()), {})
        self.assertEqual(bare.instructions, [])
        wanted = bytearray()
        for instruction in _instructions():
            instruction.serialize(wanted, len(wanted))
        found = bytearray()
        for instruction in full.instructions:
            instruction.serialize(found, len(found))
        self.assertEqual(found.hex(), wanted.hex())
        body = self.parsed(messages.AggregateReply(1 << 40, 1 << 50, 3, XID)).body
        self.assert_attributes(body, packet_count=1 << 40, byte_count=1 << 50, flow_count=3)

    def test_statistics(self) -> None:
        """DESC, TABLE, PORT and QUEUE."""
        body = self.parsed(messages.DescReply("a", "b", "c", "d", "e", XID)).body
        self.assert_attributes(
            body, mfr_desc=b"a", hw_desc=b"b", sw_desc=b"c", serial_num=b"d", dp_desc=b"e"
        )
        (body,) = self.parsed(messages.TableStatsReply([messages.TableStats(1, 2, 3, 4)], XID)).body
        self.assert_attributes(body, table_id=1, active_count=2, lookup_count=3, matched_count=4)
        port = messages.PortStats(Port.LOCAL, *range(14))
        (body,) = self.parsed(messages.PortStatsReply([port], XID)).body
        self.assertEqual(tuple(body), (ofp.OFPP_LOCAL, *range(14)))
        queue = messages.QueueStats(3, 4, 5, 6, 7, 8, 9)
        (body,) = self.parsed(messages.QueueStatsReply([queue], XID)).body
        self.assertEqual(tuple(body), (3, 4, 5, 6, 7, 8, 9))
        self.assertEqual(self.parsed(messages.QueueStatsReply([], XID)).body, [])
