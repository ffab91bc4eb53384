"""OpenFlow 1.0 as os-ken writes and reads it: both make the same bytes, and the same of them."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_0 as ofp
from os_ken.ofproto import ofproto_v1_0_parser as parser
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages
from agent.openflow.actions import ApplyActions
from agent.openflow.codec import decode, encode
from agent.openflow.match import Match
from agent.openflow.messages import OFP10, Message, Port
from tests.openflow.osken import datapath, parse, serialize
from tests.openflow.samples import ACTIONS10, MAC, XID

MAC_TEXT = "0a:1b:2c:3d:4e:5f"
MAC_BYTES = MAC.to_bytes(6, "big")
MATCH = Match.of(
    in_port=Port.LOCAL,
    eth_src=MAC,
    eth_dst=1,
    vlan_vid=0x1064,
    vlan_pcp=5,
    eth_type=0x800,
    ip_dscp=46,
    ip_proto=17,
    ipv4_src=(0x0A000000, 0xFF000000),
    ipv4_dst=0xC0A80101,
    udp_src=53,
    udp_dst=1024,
)


def _match() -> Any:
    return parser.OFPMatch(
        in_port=ofp.OFPP_LOCAL,
        dl_src=MAC_BYTES,
        dl_dst=bytes(5) + b"\1",
        dl_vlan=100,
        dl_vlan_pcp=5,
        dl_type=0x800,
        nw_tos=46 << 2,
        nw_proto=17,
        nw_src=0x0A000000,
        nw_src_mask=8,
        nw_dst=0xC0A80101,
        tp_src=53,
        tp_dst=1024,
    )


def _actions() -> list[Any]:
    return [
        parser.OFPActionOutput(2, 0),
        parser.OFPActionOutput(ofp.OFPP_CONTROLLER, 128),
        parser.OFPActionOutput(ofp.OFPP_IN_PORT, 0),
        parser.OFPActionEnqueue(3, 9),
        parser.OFPActionVlanVid(100),
        parser.OFPActionVlanPcp(5),
        parser.OFPActionStripVlan(),
        parser.OFPActionSetDlSrc(MAC_BYTES),
        parser.OFPActionSetDlDst((MAC + 1).to_bytes(6, "big")),
        parser.OFPActionSetNwSrc(0x0A000001),
        parser.OFPActionSetNwDst(0x0A000002),
        parser.OFPActionSetNwTos(46 << 2),
        parser.OFPActionSetTpSrc(1024),
        parser.OFPActionSetTpDst(53),
    ]


class RequestTests(SynchronousTestCase):
    """What os-ken can send."""

    def setUp(self) -> None:
        """What os-ken's messages are made for."""
        self.datapath = datapath(OFP10)

    def assert_same(self, theirs: Any, ours: Message) -> None:
        """os-ken's message is read as ours, and ours makes the same bytes as os-ken's."""
        data = serialize(theirs)
        self.assertEqual(decode(OFP10, data), ours)
        self.assertEqual(encode(OFP10, ours).hex(), data.hex())

    def test_symmetric(self) -> None:
        """HELLO, ERROR, ECHO and VENDOR."""
        dp = self.datapath
        vendor = parser.OFPVendor(dp)
        vendor.vendor, vendor.data = 0xABCDEF, b"vendor's"
        self.assert_same(parser.OFPHello(dp), messages.Hello(frozenset({1}), XID))
        self.assert_same(
            parser.OFPErrorMsg(dp, 1, 6, b"x" * 64), messages.ErrorMessage(1, 6, b"x" * 64, XID)
        )
        self.assert_same(parser.OFPEchoRequest(dp, b"abc"), messages.EchoRequest(b"abc", XID))
        self.assert_same(parser.OFPEchoReply(dp, b"abc"), messages.EchoReply(b"abc", XID))
        self.assert_same(vendor, messages.Experimenter(0xABCDEF, 0, b"vendor's", XID))

    def test_switch(self) -> None:
        """FEATURES, configuration, PORT_MOD, BARRIER and queue configuration."""
        dp = self.datapath
        self.assert_same(parser.OFPFeaturesRequest(dp), messages.FeaturesRequest(XID))
        self.assert_same(parser.OFPGetConfigRequest(dp), messages.GetConfigRequest(XID))
        self.assert_same(parser.OFPSetConfig(dp, 1, 128), messages.SetConfig(1, 128, XID))
        self.assert_same(parser.OFPBarrierRequest(dp), messages.BarrierRequest(XID))
        self.assert_same(
            parser.OFPPortMod(dp, ofp.OFPP_LOCAL, MAC_TEXT, 1, 0x21, ofp.OFPPF_COPPER),
            messages.PortMod(Port.LOCAL, MAC, 1, 0x21, 1 << 11, XID),
        )
        self.assert_same(
            parser.OFPQueueGetConfigRequest(dp, 3), messages.QueueGetConfigRequest(3, XID)
        )

    def test_flow_mod(self) -> None:
        """FLOW_MOD with each command, every field of a match and every action."""
        for command in messages.FlowModCommand:
            self.assert_same(
                parser.OFPFlowMod(
                    self.datapath,
                    _match(),
                    cookie=1 << 63,
                    command=command,
                    idle_timeout=10,
                    hard_timeout=20,
                    priority=30,
                    buffer_id=40,
                    out_port=ofp.OFPP_CONTROLLER,
                    flags=ofp.OFPFF_SEND_FLOW_REM | ofp.OFPFF_EMERG,
                    actions=_actions(),
                ),
                messages.FlowMod(
                    command,
                    MATCH,
                    30,
                    (ApplyActions(ACTIONS10),),
                    table_id=messages.ALL_TABLES,
                    cookie=1 << 63,
                    idle_timeout=10,
                    hard_timeout=20,
                    buffer_id=40,
                    out_port=Port.CONTROLLER,
                    flags=messages.FlowModFlags.SEND_FLOW_REM | messages.FlowModFlags.EMERG,
                    xid=XID,
                ),
            )

    def test_packet_out(self) -> None:
        """PACKET_OUT; no ingress port is OFPP_NONE."""
        self.assert_same(
            parser.OFPPacketOut(
                self.datapath,
                0xFFFFFFFF,
                ofp.OFPP_NONE,
                _actions(),
                b"frame",
            ),
            messages.PacketOut(messages.NO_BUFFER, Port.CONTROLLER, ACTIONS10, b"frame", XID),
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
                parser.OFPFlowStatsRequest(dp, 0, _match(), 0xFF, ofp.OFPP_NONE),
                messages.FlowStatsRequest(match=MATCH, xid=XID),
            ),
            (
                parser.OFPAggregateStatsRequest(dp, 0, _match(), 1, 3),
                messages.AggregateRequest(table_id=1, out_port=3, match=MATCH, xid=XID),
            ),
            (parser.OFPTableStatsRequest(dp, 0), messages.TableStatsRequest(XID)),
            (
                parser.OFPPortStatsRequest(dp, 0, ofp.OFPP_NONE),
                messages.PortStatsRequest(xid=XID),
            ),
            (
                parser.OFPQueueStatsRequest(dp, 0, ofp.OFPP_ALL, ofp.OFPQ_ALL),
                messages.QueueStatsRequest(xid=XID),
            ),
        ):
            self.assert_same(theirs, ours)


class ReplyTests(SynchronousTestCase):
    """What os-ken can receive."""

    def parsed(self, message: Message) -> Any:
        """What os-ken reads; what we read ourselves is what we wrote."""
        data = encode(OFP10, message)
        self.assertEqual(decode(OFP10, data), message)
        theirs = parse(data)
        self.assertEqual(theirs.xid, XID)
        return theirs

    def assert_attributes(self, theirs: Any, **wanted: object) -> None:
        """os-ken's object has these attributes."""
        self.assertEqual({name: getattr(theirs, name) for name in wanted}, wanted)

    def test_features(self) -> None:
        """FEATURES_REPLY with a port whose features have other numbers in 1.3."""
        port = messages.PortDesc(
            Port.LOCAL, MAC, "br0", 1, 1, curr=1 << 6 | 1 << 11, supported=1 << 15, peer=1
        )
        reply = self.parsed(messages.FeaturesReply(0x1234, 256, 2, 0, 0x87, 0xFFF, (port,), XID))
        self.assert_attributes(
            reply, datapath_id=0x1234, n_buffers=256, n_tables=2, capabilities=0x87, actions=0xFFF
        )
        self.assert_attributes(
            reply.ports[ofp.OFPP_LOCAL],
            port_no=ofp.OFPP_LOCAL,
            hw_addr="0a:1b:2c:3d:4e:5f",
            name=b"br0",
            config=ofp.OFPPC_PORT_DOWN,
            state=ofp.OFPPS_LINK_DOWN,
            curr=ofp.OFPPF_10GB_FD | ofp.OFPPF_COPPER,
            advertised=0,
            supported=ofp.OFPPF_PAUSE_ASYM,
            peer=ofp.OFPPF_10MB_HD,
        )

    def test_switch(self) -> None:
        """GET_CONFIG_REPLY, BARRIER_REPLY, PORT_STATUS, and the configuration of queues."""
        self.assert_attributes(
            self.parsed(messages.GetConfigReply(2, 128, XID)), flags=2, miss_send_len=128
        )
        self.assertIsInstance(self.parsed(messages.BarrierReply(XID)), parser.OFPBarrierReply)
        status = self.parsed(messages.PortStatus(2, messages.PortDesc(3, MAC, "eth3"), XID))
        self.assert_attributes(status, reason=ofp.OFPPR_MODIFY)
        self.assert_attributes(status.desc, port_no=3, name=b"eth3")
        queues = (messages.PacketQueue(7, 3, 500), messages.PacketQueue(8, 3))
        reply = self.parsed(messages.QueueGetConfigReply(3, queues, XID))
        self.assertEqual(reply.port, 3)
        self.assertEqual([queue.queue_id for queue in reply.queues], [7, 8])
        self.assertEqual([p.rate for queue in reply.queues for p in queue.properties], [500])

    def test_packet_in(self) -> None:
        """PACKET_IN."""
        self.assert_attributes(
            self.parsed(
                messages.PacketIn(
                    7, 1500, 1, 0, 0, Match.of(in_port=Port.LOCAL), b"frame" * 20, XID
                )
            ),
            buffer_id=7,
            total_len=1500,
            in_port=ofp.OFPP_LOCAL,
            reason=ofp.OFPR_ACTION,
            data=b"frame" * 20,
        )

    def assert_match(self, match: Any) -> None:
        """os-ken's match is :data:`MATCH`."""
        self.assertEqual(vars(match), vars(_match()))

    def test_flow_removed(self) -> None:
        """FLOW_REMOVED."""
        reply = self.parsed(
            messages.FlowRemoved(MATCH, 1 << 63, 30, 1, 0, 2, 3, 4, 0, 1 << 40, 1 << 50, XID)
        )
        self.assert_match(reply.match)
        self.assert_attributes(
            reply,
            cookie=1 << 63,
            priority=30,
            reason=ofp.OFPRR_HARD_TIMEOUT,
            duration_sec=2,
            duration_nsec=3,
            idle_timeout=4,
            packet_count=1 << 40,
            byte_count=1 << 50,
        )

    def test_flow_statistics(self) -> None:
        """FLOW and AGGREGATE; a rule with every action, one without any."""
        flows = [
            messages.FlowStats(n, 1, 2, 3, 4, 5, 0, 6, 7, 8, MATCH, instructions)
            for n, instructions in enumerate([(ApplyActions(ACTIONS10),), ()])
        ]
        reply = self.parsed(messages.FlowStatsReply(flows, XID, more=True))
        self.assertEqual(reply.flags, ofp.OFPSF_REPLY_MORE)
        self.assertEqual(len(reply.body), 2)
        for number, flow in enumerate(reply.body):
            self.assert_match(flow.match)
            self.assert_attributes(
                flow,
                table_id=number,
                duration_sec=1,
                duration_nsec=2,
                priority=3,
                idle_timeout=4,
                hard_timeout=5,
                cookie=6,
                packet_count=7,
                byte_count=8,
            )
        self.assertEqual(
            [vars(action) for action in reply.body[0].actions],
            [vars(action) for action in _actions()],
        )
        self.assertEqual(reply.body[1].actions, [])
        (body,) = self.parsed(messages.AggregateReply(1 << 40, 1 << 50, 3, XID)).body
        self.assert_attributes(body, packet_count=1 << 40, byte_count=1 << 50, flow_count=3)

    def test_statistics(self) -> None:
        """DESC, TABLE, PORT and QUEUE."""
        body = self.parsed(messages.DescReply("a", "b", "c", "d", "e", XID)).body
        self.assert_attributes(
            body, mfr_desc=b"a", hw_desc=b"b", sw_desc=b"c", serial_num=b"d", dp_desc=b"e"
        )
        table = messages.TableStats(1, 2, 3, 4, "classifier", 5, 6)
        (body,) = self.parsed(messages.TableStatsReply([table], XID)).body
        self.assert_attributes(
            body,
            table_id=1,
            active_count=2,
            lookup_count=3,
            matched_count=4,
            name=b"classifier",
            wildcards=5,
            max_entries=6,
        )
        port = messages.PortStats(Port.LOCAL, *range(12))
        (body,) = self.parsed(messages.PortStatsReply([port], XID)).body
        self.assertEqual(tuple(body), (ofp.OFPP_LOCAL, *range(12)))
        queue = messages.QueueStats(3, 4, 5, 6, 7)
        (body,) = self.parsed(messages.QueueStatsReply([queue], XID)).body
        self.assertEqual(tuple(body), (3, 4, 5, 6, 7))
        self.assertEqual(self.parsed(messages.QueueStatsReply([], XID)).body, [])
