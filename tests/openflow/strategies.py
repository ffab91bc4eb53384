"""Hypothesis strategies for matches, actions and messages, in the form the codec gives them.

Everything drawn here survives a round trip through the version it is drawn for, so a test can ask
for equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from agent.openflow import actions as act
from agent.openflow import fields, messages
from agent.openflow.fields import Field
from agent.openflow.match import Match
from agent.openflow.messages import OFP10, OFP13, Message, Port


def uint(bits: int) -> st.SearchStrategy[int]:
    """A number of at most ``bits`` bits."""
    return st.integers(0, (1 << bits) - 1)


U8, U16, U32, U48, U64 = (uint(bits) for bits in (8, 16, 32, 48, 64))
XID: Final = U32
MORE: Final = st.booleans()
NAMES: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
"""Short enough for any name on the wire, however many bytes a character takes."""

RESERVED: Final = st.sampled_from(
    [Port.IN_PORT, Port.TABLE, Port.NORMAL, Port.FLOOD, Port.ALL, Port.CONTROLLER, Port.LOCAL]
).map(int)
PORTS10: Final = st.integers(1, 0xFEFF) | RESERVED
PORTS13: Final = st.integers(1, Port.MAX - 1) | RESERVED
INGRESS10: Final = st.integers(1, 0xFEFF) | st.just(int(Port.LOCAL))

# --- matches ----------------------------------------------------------------------------------

_ETH_TYPES: Final = (0x0800, 0x86DD, 0x0806, 0x8847, 0x88E7, 0x1234)
_IP_PROTOS: Final = (1, 6, 17, 58, 132, 99)
_PLAIN: Final = {"eth_type", "ip_proto", "icmpv6_type", "vlan_vid", "vlan_pcp", "in_phy_port"}


def _allowed(field: Field, chosen: dict[str, Any]) -> bool:
    return (
        (not field.eth_types or chosen.get("eth_type") in field.eth_types)
        and (not field.ip_protos or chosen.get("ip_proto") in field.ip_protos)
        and (not field.icmp_types or chosen.get("icmpv6_type") in field.icmp_types)
    )


@st.composite
def matches13(draw: st.DrawFn) -> Match:
    """A match of OXM fields whose prerequisites are met."""
    chosen: dict[str, Any] = {}
    if draw(st.booleans()):
        chosen["eth_type"] = draw(st.sampled_from(_ETH_TYPES))
    if chosen.get("eth_type") in fields.IP and draw(st.booleans()):
        chosen["ip_proto"] = draw(st.sampled_from(_IP_PROTOS))
    if chosen.get("eth_type") == 0x86DD and chosen.get("ip_proto") == 58 and draw(st.booleans()):
        chosen["icmpv6_type"] = draw(st.sampled_from([128, 135, 136]))
    tag = draw(st.sampled_from(["any", "none", "some", "one"]))
    if tag != "any":
        vid = draw(uint(12)) | fields.VLAN_PRESENT
        chosen["vlan_vid"] = {"none": 0, "some": (0x1000, 0x1000), "one": vid}[tag]
        if tag != "none" and draw(st.booleans()):
            chosen["vlan_pcp"] = draw(uint(3))
    usable = [f for f in fields.OXM_FIELDS if f.name not in _PLAIN and _allowed(f, chosen)]
    for field in draw(st.lists(st.sampled_from(usable), unique=True, max_size=6)):
        value = draw(uint(field.bits))
        mask = draw(st.integers(1, field.limit)) if field.maskable else field.limit
        chosen[field.name] = (value & mask, mask)
    if "in_port" in chosen and draw(st.booleans()):
        chosen["in_phy_port"] = draw(U32)
    return Match.of(**chosen)


@st.composite
def matches10(draw: st.DrawFn) -> Match:
    """A match that OpenFlow 1.0 can say."""

    def prefix() -> tuple[int, int]:
        mask = 0xFFFFFFFF << draw(st.integers(0, 31)) & 0xFFFFFFFF
        return draw(U32) & mask, mask

    choices: dict[str, Callable[[], Any]] = {
        "in_port": lambda: draw(INGRESS10),
        "eth_src": lambda: draw(U48),
        "eth_dst": lambda: draw(U48),
        "vlan_vid": lambda: draw(uint(12)) | fields.VLAN_PRESENT,
        "eth_type": lambda: draw(st.sampled_from(_ETH_TYPES)),
    }
    chosen: dict[str, Any] = {}

    def choose(**more: Callable[[], Any]) -> None:
        for name, value in more.items():
            if draw(st.booleans()):
                chosen[name] = value()

    choose(**choices)
    if "vlan_vid" in chosen:
        choose(vlan_pcp=lambda: draw(uint(3)))
    if chosen.get("eth_type") == 0x0800:
        choose(
            ip_dscp=lambda: draw(uint(6)),
            ipv4_src=prefix,
            ipv4_dst=prefix,
            ip_proto=lambda: draw(st.sampled_from([1, 6, 17, 99])),
        )
        for proto, src, dst, bits in (
            (1, "icmpv4_type", "icmpv4_code", 8),
            (6, "tcp_src", "tcp_dst", 16),
            (17, "udp_src", "udp_dst", 16),
        ):
            if chosen.get("ip_proto") == proto:
                number = uint(bits)
                choose(**{src: lambda n=number: draw(n), dst: lambda n=number: draw(n)})
    elif chosen.get("eth_type") == 0x0806:
        choose(arp_op=lambda: draw(U8), arp_spa=prefix, arp_tpa=prefix)
    return Match.of(**chosen)


# --- actions and instructions -----------------------------------------------------------------


def _outputs(ports: st.SearchStrategy[int]) -> st.SearchStrategy[act.Action]:
    return st.one_of(
        ports.filter(lambda port: port != Port.CONTROLLER).map(act.Output),
        st.builds(act.Output, st.just(int(Port.CONTROLLER)), U16),
    )


ACTIONS10: Final = st.lists(
    st.one_of(
        _outputs(PORTS10),
        st.builds(act.Enqueue, INGRESS10, U32),
        st.builds(act.SetVlanVid, uint(12)),
        st.builds(act.SetVlanPcp, uint(3)),
        st.builds(act.PopVlan),
        st.builds(act.SetField, st.sampled_from([fields.ETH_SRC, fields.ETH_DST]), U48),
        st.builds(act.SetField, st.sampled_from([fields.IPV4_SRC, fields.IPV4_DST]), U32),
        st.builds(act.SetField, st.just(fields.IP_DSCP), uint(6)),
        st.builds(act.SetTpSrc, U16),
        st.builds(act.SetTpDst, U16),
    ),
    max_size=8,
).map(tuple)

_WRITABLE: Final = [f for f in fields.OXM_FIELDS if f.writable and f is not fields.VLAN_VID]


@st.composite
def _set_fields(draw: st.DrawFn) -> act.SetField:
    field = draw(st.sampled_from(_WRITABLE))
    return act.SetField(field, draw(uint(field.bits)))


ACTIONS13: Final = st.lists(
    st.one_of(
        _outputs(PORTS13),
        st.sampled_from(
            [
                act.CopyTtlOut(),
                act.CopyTtlIn(),
                act.DecMplsTtl(),
                act.DecNwTtl(),
                act.PopVlan(),
                act.PopPbb(),
                act.PushPbb(0x88E7),
            ]
        ),
        st.builds(act.SetMplsTtl, U8),
        st.builds(act.SetNwTtl, U8),
        st.builds(act.PushVlan, st.sampled_from([0x8100, 0x88A8])),
        st.builds(act.PushMpls, st.sampled_from([0x8847, 0x8848])),
        st.builds(act.PopMpls, U16),
        st.builds(act.SetQueue, U32),
        st.builds(act.GroupAction, U32),
        _set_fields(),
        uint(12).map(lambda vid: act.SetField(fields.VLAN_VID, vid | fields.VLAN_PRESENT)),
    ),
    max_size=8,
).map(tuple)

INSTRUCTIONS10: Final = ACTIONS10.map(lambda found: (act.ApplyActions(found),) if found else ())


@st.composite
def instructions13(draw: st.DrawFn) -> act.Instructions:
    """Instructions, each at most once, in the order of execution."""
    every: tuple[st.SearchStrategy[act.Instruction], ...] = (
        st.builds(act.MeterInstruction, st.integers(1, 0xFFFF0000)),
        st.builds(act.ApplyActions, ACTIONS13),
        st.just(act.ClearActions()),
        st.builds(act.WriteActions, ACTIONS13),
        U64.flatmap(lambda mask: U64.map(lambda value: act.WriteMetadata(value & mask, mask))),
        st.builds(act.GotoTable, st.integers(0, 254)),
    )
    return tuple(draw(one) for one in every if draw(st.booleans()))


MATCHES: Final = {OFP10: matches10(), OFP13: matches13()}
ACTIONS: Final = {OFP10: ACTIONS10, OFP13: ACTIONS13}
INSTRUCTIONS: Final = {OFP10: INSTRUCTIONS10, OFP13: instructions13()}

# --- messages ---------------------------------------------------------------------------------

_FEATURES10: Final = uint(16).map(lambda bits: bits & 0xF87F)


def _of(version: int, in10: Any, in13: Any) -> Any:
    """The strategy for a version."""
    return in10 if version == OFP10 else in13


def port_descs(version: int) -> st.SearchStrategy[messages.PortDesc]:
    """Ports as the version can describe them."""
    features = _of(version, _FEATURES10, U32)
    speeds = _of(version, st.just(0), U32)
    return st.builds(
        messages.PortDesc,
        _of(version, PORTS10, PORTS13),
        U48,
        NAMES,
        config=uint(7).map(lambda bits: bits & _of(version, 0x7F, 0x65)),
        state=_of(version, uint(2), uint(3)),
        curr=features,
        advertised=features,
        supported=features,
        peer=features,
        curr_speed=speeds,
        max_speed=speeds,
    )


def flow_stats(version: int) -> st.SearchStrategy[messages.FlowStats]:
    """Entries of a flow statistics reply."""
    flags = _of(version, st.just(0), uint(5))
    return st.builds(
        messages.FlowStats,
        *(U8, U32, U32, U16, U16, U16, flags, U64, U64, U64),
        MATCHES[version],
        INSTRUCTIONS[version],
    )


def message(version: int) -> st.SearchStrategy[Message]:
    """Any message of the version."""
    match, ports = MATCHES[version], _of(version, PORTS10, PORTS13)
    port_stats = [ports, *[U64] * 12, *[_of(version, st.just(0), U32)] * 2]
    queue_stats = [ports, U32, U64, U64, U64, *[_of(version, st.just(0), U32)] * 2]
    table_stats = [U8, U32, U64, U64, *_of(version, (NAMES, U32, U32), ())]
    descs = port_descs(version)
    request = {
        "table_id": U8,
        "out_port": ports | st.just(messages.ANY),
        "match": match,
        "xid": XID,
        **_of(version, {}, {"out_group": U32, "cookie": U64, "cookie_mask": U64}),
    }
    every: list[st.SearchStrategy[Any]] = [
        st.builds(messages.ErrorMessage, U16, U16, st.binary(), XID),
        st.builds(messages.EchoRequest, st.binary(), XID),
        st.builds(messages.EchoReply, st.binary(), XID),
        st.builds(messages.Experimenter, U32, _of(version, st.just(0), U32), st.binary(), XID),
        st.builds(messages.GetConfigReply, U16, U16, XID),
        st.builds(messages.SetConfig, U16, U16, XID),
        st.builds(messages.PortStatus, U8, descs, XID),
        st.builds(messages.PortMod, ports, U48, U32, U32, _of(version, _FEATURES10, U32), XID),
        st.builds(messages.QueueGetConfigRequest, ports, XID),
        st.builds(messages.DescReply, *[NAMES] * 5, XID),
        st.builds(messages.TableStatsReply, _few(messages.TableStats, table_stats), XID, MORE),
        st.builds(messages.PortStatsRequest, ports | st.just(messages.ANY), XID),
        st.builds(messages.PortStatsReply, _few(messages.PortStats, port_stats), XID, MORE),
        st.builds(messages.PortDescReply, st.lists(descs, max_size=3), XID, MORE),
        st.builds(
            messages.QueueStatsRequest,
            _of(version, INGRESS10, PORTS13) | st.just(messages.ANY),
            U32,
            XID,
        ),
        st.builds(messages.QueueStatsReply, _few(messages.QueueStats, queue_stats), XID, MORE),
        st.builds(messages.FlowStatsRequest, **request),
        st.builds(messages.AggregateRequest, **request),
        st.builds(messages.FlowStatsReply, st.lists(flow_stats(version), max_size=3), XID, MORE),
        st.builds(messages.AggregateReply, U64, U64, U32, XID),
        st.builds(
            messages.PacketOut,
            U32,
            _of(version, INGRESS10, st.integers(0, Port.MAX - 1)) | st.just(Port.CONTROLLER),
            ACTIONS[version],
            st.binary(),
            XID,
        ),
        *(
            st.builds(kind, XID)
            for kind in (
                messages.FeaturesRequest,
                messages.GetConfigRequest,
                messages.BarrierRequest,
                messages.BarrierReply,
                messages.DescRequest,
                messages.TableStatsRequest,
                messages.PortDescRequest,
            )
        ),
        *_of(version, _only10, _only13)(),
    ]
    return st.one_of(every)


def _few(value: type[Any], arguments: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.builds(value, *arguments), max_size=3)


def _only10() -> list[st.SearchStrategy[Any]]:
    queue = st.builds(messages.PacketQueue, U32, st.just(5), st.none() | U16)
    return [
        st.builds(messages.Hello, st.integers(1, 3).map(lambda n: frozenset(range(1, n + 1))), XID),
        st.builds(
            messages.FeaturesReply,
            *(U64, U32, U8, st.just(0), U32, U32),
            st.lists(port_descs(OFP10), max_size=3).map(tuple),
            XID,
        ),
        st.builds(
            messages.FlowMod,
            *(U16, matches10(), U16, INSTRUCTIONS10, st.just(0xFF), U64, st.just(0), U16, U16, U32),
            PORTS10 | st.just(messages.ANY),
            st.just(messages.ANY),
            st.sampled_from([0, 1, 2, 3, 1 << 15, 1 << 15 | 3]),
            XID,
        ),
        st.builds(
            messages.FlowRemoved,
            *(matches10(), U64, U16, st.integers(0, 2), st.just(0), U32, U32, U16, st.just(0)),
            *(U64, U64, XID),
        ),
        st.builds(
            messages.PacketIn,
            *(U32, U16, U8, st.just(0), st.just(0)),
            INGRESS10.map(lambda port: Match.of(in_port=port)),
            st.binary(),
            XID,
        ),
        st.builds(
            messages.QueueGetConfigReply, st.just(5), st.lists(queue, max_size=3).map(tuple), XID
        ),
    ]


def _only13() -> list[st.SearchStrategy[Any]]:
    masks = st.builds(messages.AsyncConfig, *[st.tuples(U32, U32)] * 3)
    rate = st.none() | U16
    queue = st.builds(messages.PacketQueue, U32, U32, rate, rate)
    return [
        st.builds(messages.Hello, st.frozensets(st.integers(1, 255), min_size=1), XID),
        st.builds(messages.FeaturesReply, U64, U32, U8, U8, U32, xid=XID),
        st.builds(
            messages.FlowMod,
            *(U8, matches13(), U16, instructions13(), U8, U64, U64, U16, U16, U32, U32, U32),
            uint(5),
            XID,
        ),
        st.builds(
            messages.FlowRemoved,
            *(matches13(), U64, U16, st.integers(0, 3), U8, U32, U32, U16, U16, U64, U64, XID),
        ),
        st.builds(messages.PacketIn, U32, U16, U8, U8, U64, matches13(), st.binary(), XID),
        st.builds(messages.QueueGetConfigReply, U32, st.lists(queue, max_size=3).map(tuple), XID),
        st.builds(messages.RoleRequest, st.integers(0, 3), U64, XID),
        st.builds(messages.RoleReply, st.integers(0, 3), U64, XID),
        st.builds(messages.GetAsyncRequest, XID),
        st.builds(messages.GetAsyncReply, masks, XID),
        st.builds(messages.SetAsync, masks, XID),
        st.builds(messages.TableMod, U8, U32, XID),
    ]
