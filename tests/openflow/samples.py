"""One or more messages of every class, in each version that has it, and the bytes they make.

They are what tests compare with another implementation, and what the mutations of
:mod:`tests.openflow.test_mutations` begin with.  Every value survives a round trip: where a version
has no room for something, the sample leaves it at its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from agent.openflow import fields, messages
from agent.openflow import group_messages as gm
from agent.openflow.actions import (
    Action,
    ApplyActions,
    ClearActions,
    CopyTtlIn,
    CopyTtlOut,
    DecMplsTtl,
    DecNwTtl,
    Enqueue,
    GotoTable,
    GroupAction,
    Instructions,
    MeterInstruction,
    Output,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetQueue,
    SetTpDst,
    SetTpSrc,
    SetVlanPcp,
    SetVlanVid,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import OFP10, OFP13, FlowMod, FlowModCommand, Message, Port
from agent.openflow.table_features import Property
from tests.openflow import samples_nicira

XID: Final = 0x12345678
MAC: Final = 0x0A1B2C3D4E5F

SIX_FIELDS: Final = Match.of(
    in_port=1,
    eth_type=0x800,
    ip_proto=6,
    ipv4_src=0x0A000001,
    ipv4_dst=0x0B000002,
    tcp_dst=80,
)
"""What most rules look like."""

MATCHES10: Final = (
    MATCH_ALL,
    SIX_FIELDS,
    Match.of(
        in_port=Port.LOCAL,
        eth_src=MAC,
        eth_dst=0xFFFFFFFFFFFF,
        vlan_vid=0x1064,
        vlan_pcp=5,
        eth_type=0x800,
        ip_dscp=46,
        ip_proto=17,
        ipv4_src=(0x0A000000, 0xFF000000),
        ipv4_dst=(0xC0A80100, 0xFFFFFF00),
        udp_src=53,
        udp_dst=1024,
    ),
    Match.of(eth_type=0x806, arp_op=1, arp_spa=0x0A000001, arp_tpa=(0x0A000000, 0xFFFF0000)),
    Match.of(eth_type=0x800, ip_proto=1, icmpv4_type=8, icmpv4_code=0),
)

MATCHES13: Final = (
    *MATCHES10,
    Match.of(
        in_port=7,
        in_phy_port=8,
        metadata=(0x1234000000000000, 0xFFFF000000000000),
        tunnel_id=(5, 0xFF),
        eth_dst=(0x010000000000, 0x010000000000),
        vlan_vid=(0x1000, 0x1000),
        eth_type=0x86DD,
        ip_dscp=1,
        ip_ecn=2,
        ip_proto=58,
        ipv6_src=(0xFE80 << 112, 0xFFC0 << 112),
        ipv6_dst=0xFF02 << 112 | 1,
        ipv6_flabel=(0x12300, 0xFFF00),
        icmpv6_type=135,
        icmpv6_code=0,
        ipv6_nd_target=0xFE80 << 112 | 2,
        ipv6_nd_sll=MAC,
        ipv6_exthdr=(1, 0x1FF),
    ),
    Match.of(eth_type=0x8847, mpls_label=0xABCDE, mpls_tc=3, mpls_bos=1),
    Match.of(eth_type=0x88E7, pbb_isid=(0x123400, 0xFFFF00)),
    Match.of(eth_type=0x800, ip_proto=132, sctp_src=1, sctp_dst=2),
    Match.of(eth_type=0x806, arp_sha=(MAC, 0xFFFFFFFFFFFF), arp_tha=0),
)

ACTIONS10: Final[tuple[Action, ...]] = (
    Output(2),
    Output(Port.CONTROLLER, 128),
    Output(Port.IN_PORT),
    Enqueue(3, 9),
    SetVlanVid(100),
    SetVlanPcp(5),
    PopVlan(),
    SetField(fields.ETH_SRC, MAC),
    SetField(fields.ETH_DST, MAC + 1),
    SetField(fields.IPV4_SRC, 0x0A000001),
    SetField(fields.IPV4_DST, 0x0A000002),
    SetField(fields.IP_DSCP, 46),
    SetTpSrc(1024),
    SetTpDst(53),
)

ACTIONS13: Final[tuple[Action, ...]] = (
    Output(0x10000),
    Output(Port.CONTROLLER, 0xFFFF),
    CopyTtlOut(),
    CopyTtlIn(),
    SetMplsTtl(64),
    DecMplsTtl(),
    PushVlan(0x8100),
    PopVlan(),
    PushMpls(0x8847),
    PopMpls(0x0800),
    SetQueue(7),
    GroupAction(42),
    SetNwTtl(63),
    DecNwTtl(),
    SetField(fields.VLAN_VID, 0x1064),
    SetField(fields.ETH_DST, MAC),
    SetField(fields.IPV6_SRC, 0xFE80 << 112 | 3),
    SetField(fields.TUNNEL_ID, 99),
    PushPbb(0x88E7),
    PopPbb(),
)

OUTPUT: Final[Instructions] = (ApplyActions((Output(2),)),)

INSTRUCTIONS10: Final[tuple[Instructions, ...]] = ((), OUTPUT, (ApplyActions(ACTIONS10),))

INSTRUCTIONS13: Final[tuple[Instructions, ...]] = (
    (),
    OUTPUT,
    (
        MeterInstruction(6),
        ApplyActions(ACTIONS13),
        ClearActions(),
        WriteActions((Output(3), GroupAction(1))),
        WriteMetadata(0x1234, 0xFFFF),
        GotoTable(9),
    ),
)

FLOW_MODS: Final[tuple[FlowMod, ...]] = tuple(
    FlowMod(
        command,
        SIX_FIELDS,
        100,
        OUTPUT,
        table_id=3,
        cookie=0x1122334455667788,
        cookie_mask=0xFFFF,
        idle_timeout=10,
        hard_timeout=20,
        buffer_id=77,
        out_port=4,
        out_group=5,
        flags=3,
        xid=XID,
    )
    for command in FlowModCommand
)
"""Every command; of version 1.3."""


def _flows(version: int) -> list[messages.FlowStats]:
    matches = MATCHES10 if version == OFP10 else MATCHES13
    instructions = INSTRUCTIONS10 if version == OFP10 else INSTRUCTIONS13
    flags = 0 if version == OFP10 else 1
    return [
        messages.FlowStats(
            n, 10 + n, 500, 32768, 5, 6, flags, 1 << 63, 1000, 64000, match, instructions[n % 3]
        )
        for n, match in enumerate(matches)
    ]


_PORT: Final = messages.PortDesc(
    Port.LOCAL, MAC, "br0", config=0x41, state=1, curr=0x2840, advertised=0xF87F, supported=64
)
_PORT_STATS: Final = messages.PortStats(3, *range(1 << 40, (1 << 40) + 12))


_TABLE: Final = messages.TableFeatures(
    3,
    "table3",
    metadata_match=0xFFFF,
    metadata_write=0xFF,
    config=0,
    max_entries=1000,
    properties={
        Property.INSTRUCTIONS: (1, 2, 3, 4, 5),
        Property.INSTRUCTIONS_MISS: (),
        Property.NEXT_TABLES: tuple(range(4, 11)),
        Property.APPLY_ACTIONS: (0, 11, 25),
        Property.MATCH: (0x80000004, 0x80000A02),
        Property.APPLY_SETFIELD_MISS: (0x80000606,),
    },
)


def _common(version: int) -> Iterator[Message]:
    """Messages whose values mean the same in both versions."""
    yield messages.Hello(frozenset({version}) if version == OFP10 else frozenset({1, 4}), XID)
    yield messages.ErrorMessage(1, 6, bytes(range(64)), XID)
    yield messages.EchoRequest(b"are you there", XID)
    yield messages.EchoReply(b"", XID)
    yield messages.FeaturesRequest(XID)
    yield messages.GetConfigRequest(XID)
    yield messages.GetConfigReply(1, 128, XID)
    yield messages.SetConfig(2, 0xFFFF, XID)
    yield messages.PortStatus(2, _PORT, XID)
    yield messages.PortMod(3, MAC, 1, 0x21, 0x2840, XID)
    yield messages.BarrierRequest(XID)
    yield messages.BarrierReply(XID)
    yield messages.QueueGetConfigRequest(3, XID)
    queues = (messages.PacketQueue(1, 3, 500), messages.PacketQueue(2, 3))
    yield messages.QueueGetConfigReply(3, queues, XID)
    yield messages.PacketOut(77, 4, (), b"", XID)
    yield messages.DescRequest(XID)
    yield messages.DescReply("Nobody", "a stöne", "0.1", "none", "br0", XID)
    yield messages.TableStatsRequest(XID)
    yield messages.TableStatsReply([], XID)
    yield messages.PortStatsRequest(3, XID)
    yield messages.PortStatsRequest(xid=XID)
    yield messages.PortStatsReply([], XID)
    yield messages.PortDescRequest(XID)
    yield messages.PortDescReply([_PORT, messages.PortDesc(1, MAC, "eth1")], XID)
    yield messages.QueueStatsRequest(3, 4, XID)
    yield messages.QueueStatsRequest(xid=XID)
    yield messages.QueueStatsReply([], XID)
    yield messages.FlowStatsReply(_flows(version), XID, more=True)
    yield messages.FlowStatsReply([], XID)
    yield messages.AggregateReply(1 << 40, 1 << 50, 12, XID)


def _only10() -> Iterator[Message]:
    yield messages.Experimenter(0x00ABCDEF, 0, b"anything", XID)
    yield messages.FeaturesReply(0x1234, 256, 1, 0, 0x87, 0xFFF, (_PORT,), XID)
    for command in range(0x0100, 0x0105):  # as with Nicira's table in the high byte
        yield FlowMod(command, MATCHES10[2], 1, OUTPUT, 0xFF, 5, xid=XID)
    for number, match in enumerate(MATCHES10):
        yield FlowMod(0, match, 1, INSTRUCTIONS10[number % 3], 0xFF, 5, flags=1 << 15, xid=XID)
        yield messages.FlowRemoved(match, 5, 100, 1, 0, 3, 4, 10, 0, 1 << 40, 1 << 50, XID)
        yield messages.FlowStatsRequest(match=match, out_port=4, xid=XID)
        yield messages.AggregateRequest(table_id=0, match=match, xid=XID)
    yield messages.PacketIn(77, 1500, 1, 0, 0, Match.of(in_port=3), bytes(range(100)), XID)
    yield messages.PacketOut(0xFFFFFFFF, Port.CONTROLLER, ACTIONS10, bytes(60), XID)
    yield messages.TableStatsReply(
        [messages.TableStats(0, 5, 100, 90, "classifier", 0x3FFFFF, 1000)], XID
    )
    yield messages.PortStatsReply([_PORT_STATS], XID)
    yield messages.QueueStatsReply([messages.QueueStats(3, 4, 5, 6, 7)], XID)


def _only13() -> Iterator[Message]:
    yield messages.Experimenter(0x00ABCDEF, 3, b"anything", XID)
    yield messages.FeaturesReply(0x1234, 256, 254, 0, 0x4F, xid=XID)
    yield from FLOW_MODS
    for number, match in enumerate(MATCHES13):
        yield FlowMod(0, match, 1, INSTRUCTIONS13[number % 3], xid=XID)
        yield messages.FlowRemoved(match, 5, 100, 1, 9, 3, 4, 10, 20, 1 << 40, 1 << 50, XID)
        yield messages.FlowStatsRequest(9, 4, 5, 6, 7, match, XID)
        yield messages.AggregateRequest(match=match, xid=XID)
    yield messages.PacketIn(77, 1500, 1, 3, 5, Match.of(in_port=3), bytes(range(100)), XID)
    yield messages.PacketOut(0xFFFFFFFF, Port.CONTROLLER, ACTIONS13, bytes(60), XID)
    yield messages.PortDescReply([messages.PortDesc(1, MAC, "a", 0, 4, 64, 0, 0, 0, 10, 20)], XID)
    rates = messages.PacketQueue(1, 3, 500, 900)
    yield messages.QueueGetConfigReply(messages.ANY, (rates,), XID)
    yield messages.RoleRequest(2, 1 << 63, XID)
    yield messages.RoleReply(3, 5, XID)
    yield messages.GetAsyncRequest(XID)
    masks = messages.AsyncConfig((1, 2), (3, 4), (5, 6))
    yield messages.GetAsyncReply(masks, XID)
    yield messages.SetAsync(masks, XID)
    yield messages.TableMod(0xFF, 3, XID)
    yield messages.TableStatsReply([messages.TableStats(n, 5, 100, 90) for n in range(254)], XID)
    yield messages.PortStatsReply([attrs.evolve(_PORT_STATS, duration_sec=5, duration_nsec=6)], XID)
    yield messages.QueueStatsReply([messages.QueueStats(3, 4, 5, 6, 7, 8, 9)], XID)
    yield from _groups()
    yield from _meters()
    yield messages.TableFeaturesRequest(xid=XID)
    yield messages.TableFeaturesRequest((_TABLE, attrs.evolve(_TABLE, table_id=4)), XID)
    yield messages.TableFeaturesReply((_TABLE,), XID, more=True)


BUCKETS: Final = (
    gm.Bucket(0, 3, gm.GROUP_ANY, (Output(1),)),
    gm.Bucket(7, messages.ANY, 9, ACTIONS13),
    gm.Bucket(),
)
BANDS: Final = (gm.MeterBand(1, 1000, 100), gm.MeterBand(2, 500, 50, 3))


def _groups() -> Iterator[Message]:
    yield gm.GroupMod(0, 1, 5, BUCKETS, XID)
    yield gm.GroupMod(2, 0, gm.GROUP_ALL, (), XID)
    yield gm.GroupStatsRequest(5, XID)
    stats = gm.GroupStats(5, 1, 1 << 40, 1 << 50, 3, 4, ((1, 2), (3, 4)))
    yield gm.GroupStatsReply([stats, attrs.evolve(stats, buckets=())], XID, more=True)
    yield gm.GroupDescRequest(XID)
    yield gm.GroupDescReply([gm.GroupDesc(1, 5, BUCKETS), gm.GroupDesc(0, 6, ())], XID)
    yield gm.GroupFeaturesRequest(XID)
    yield gm.GroupFeaturesReply(0xF, 0xD, (1, 2, 3, 4), (5, 6, 7, 8), XID)


def _meters() -> Iterator[Message]:
    yield gm.MeterMod(0, 0xD, 5, BANDS, XID)
    yield gm.MeterMod(2, 1, gm.METER_ALL, (), XID)
    yield gm.MeterStatsRequest(5, XID)
    stats = gm.MeterStats(5, 1, 1 << 40, 1 << 50, 3, 4, ((1, 2), (3, 4)))
    yield gm.MeterStatsReply([stats, attrs.evolve(stats, bands=())], XID, more=True)
    yield gm.MeterConfigRequest(5, XID)
    yield gm.MeterConfigReply([gm.MeterConfig(0xD, 5, BANDS), gm.MeterConfig(1, 6, ())], XID)
    yield gm.MeterFeaturesRequest(XID)
    yield gm.MeterFeaturesReply(100, 6, 0xF, 255, 8, XID)


MESSAGES: Final[dict[int, tuple[Message, ...]]] = {
    OFP10: (*_common(OFP10), *_only10(), *samples_nicira.only10(XID)),
    OFP13: (*_common(OFP13), *_only13(), *samples_nicira.only13(XID)),
}
"""The samples of each version."""
