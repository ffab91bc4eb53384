"""Filters as messages of pyroute2: the reference for what :mod:`drivers.tcflower.pack` packs.

See :mod:`drivers.tcflower.nla`, which declares the messages.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from drivers.tcflower.actions import Mirred, Pedit, Police, Policer, TcAction, TunnelKey
from drivers.tcflower.filters import KEYS, Filter, KeyKind
from drivers.tcflower.nla import FlowerMessage, type_of
from drivers.tcflower.pack import (
    BLOCK,
    NO_MTU,
    RATE_TABLE,
    mirred_kind,
    police_rate,
    tcm_info,
    ticks,
)

Attributes = list[tuple[str, Any]]
"""Names and values of attributes, as pyroute2 has them."""


def encode(wanted: Filter, block: int, kind: int, flags: int, sequence: int) -> bytes:
    """A message about a filter, as :func:`drivers.tcflower.pack.new_filter` makes it."""
    message = FlowerMessage()
    message["header"] = {"type": kind, "flags": flags, "sequence_number": sequence, "pid": 0}
    message["index"] = BLOCK
    message["handle"] = wanted.handle
    message["parent"] = block
    message["info"] = tcm_info(wanted.pref, wanted.protocol)
    message["attrs"] = [
        ("TCA_KIND", "flower"),
        ("TCA_CHAIN", wanted.chain),
        ("TCA_OPTIONS", {"attrs": describe(wanted)}),
    ]
    message.encode()
    return bytes(message.data)


def describe(wanted: Filter) -> Attributes:
    """The attributes of a filter's options, as pyroute2 has them."""
    attributes: Attributes = [("TCA_FLOWER_INDEV", wanted.indev)] if wanted.indev else []
    for key in wanted.keys:
        kind = KEYS[key.name]
        name = f"TCA_FLOWER_KEY_{key.name.upper()}"
        mask = (1 << kind.bits) - 1 if key.mask is None and key.name == "flags" else key.mask
        attributes.append((name, _number(kind, key.value)))
        if mask is not None:
            attributes.append((f"{name}_MASK", _number(kind, mask)))
    attributes.append(("TCA_FLOWER_FLAGS", int(wanted.flags)))
    actions = []
    for place, action in enumerate(wanted.actions, 1):
        name, options = describe_action(action)
        parts: Attributes = [("TCA_ACT_KIND", name), ("TCA_ACT_OPTIONS", {"attrs": options})]
        if place == 1 and wanted.cookie:
            parts.append(("TCA_ACT_COOKIE", wanted.cookie))
        actions.append((f"TCA_ACT_{place}", {"attrs": parts}))
    attributes.append(("TCA_FLOWER_ACT", {"attrs": actions}))
    return attributes


def _number(kind: KeyKind, value: int) -> int | bytes:
    return value.to_bytes(kind.size, "big") if type_of(kind) == "cdata" else value


_NAMES: Final = {
    "Gact": "gact",
    "Mirred": "mirred",
    "Vlan": "vlan",
    "Pedit": "pedit",
    "Csum": "csum",
    "Skbedit": "skbedit",
    "Police": "police",
    "Policer": "police",
    "TunnelKey": "tunnel_key",
    "Mpls": "mpls",
    "Ct": "ct",
    "Sample": "sample",
}

# Of each kind of action: which parameter is which attribute of the value, and likewise the other
# netlink attributes, in the order of their numbers.
_PARAMETERS: Final[dict[str, dict[str, str]]] = {
    "vlan": {"v_action": "op"},
    "csum": {"update_flags": "flags"},
    "mpls": {"m_action": "op"},
}
_ATTRIBUTES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "vlan": (
        ("TCA_VLAN_PUSH_VLAN_ID", "vid"),
        ("TCA_VLAN_PUSH_VLAN_PROTOCOL", "protocol"),
        ("TCA_VLAN_PUSH_VLAN_PRIORITY", "priority"),
    ),
    "skbedit": (
        ("TCA_SKBEDIT_PRIORITY", "priority"),
        ("TCA_SKBEDIT_QUEUE_MAPPING", "queue_mapping"),
        ("TCA_SKBEDIT_MARK", "mark"),
        ("TCA_SKBEDIT_PTYPE", "ptype"),
        ("TCA_SKBEDIT_MASK", "mark_mask"),
    ),
    "tunnel_key": (
        ("TCA_TUNNEL_KEY_ENC_IPV4_SRC", "ipv4_src"),
        ("TCA_TUNNEL_KEY_ENC_IPV4_DST", "ipv4_dst"),
        ("TCA_TUNNEL_KEY_ENC_IPV6_SRC", "ipv6_src"),
        ("TCA_TUNNEL_KEY_ENC_IPV6_DST", "ipv6_dst"),
        ("TCA_TUNNEL_KEY_ENC_KEY_ID", "key_id"),
        ("TCA_TUNNEL_KEY_ENC_DST_PORT", "dst_port"),
        ("TCA_TUNNEL_KEY_NO_CSUM", "no_csum"),
        ("TCA_TUNNEL_KEY_ENC_TOS", "tos"),
        ("TCA_TUNNEL_KEY_ENC_TTL", "ttl"),
    ),
    "mpls": (
        ("TCA_MPLS_PROTO", "protocol"),
        ("TCA_MPLS_LABEL", "label"),
        ("TCA_MPLS_TC", "tc"),
        ("TCA_MPLS_TTL", "ttl"),
        ("TCA_MPLS_BOS", "bos"),
    ),
    "ct": (
        ("TCA_CT_ACTION", "flags"),
        ("TCA_CT_ZONE", "zone"),
        ("TCA_CT_MARK", "mark"),
        ("TCA_CT_MARK_MASK", "mark_mask"),
        ("TCA_CT_LABELS", "labels"),
        ("TCA_CT_LABELS_MASK", "labels_mask"),
        ("TCA_CT_NAT_IPV4", "nat_ipv4"),
        ("TCA_CT_NAT_IPV6", "nat_ipv6"),
        ("TCA_CT_NAT_PORT", "nat_port"),
    ),
    "sample": (
        ("TCA_SAMPLE_RATE", "rate"),
        ("TCA_SAMPLE_TRUNC_SIZE", "trunc_size"),
        ("TCA_SAMPLE_PSAMPLE_GROUP", "group"),
    ),
}
_WIDE: Final = ("ipv6_src", "ipv6_dst", "labels", "labels_mask", "nat_ipv6")
_pedit_head = Struct("=IIiiiBBxx")
_pedit_key = Struct("=4s4siIII")


def describe_action(action: TcAction) -> tuple[str, Attributes]:
    """The kind of an action and its options, as pyroute2 has them."""
    kind = _NAMES[type(action).__name__]
    if isinstance(action, Pedit):
        return kind, _describe_pedit(action)
    if isinstance(action, Police):
        return kind, _describe_police(action)
    if isinstance(action, Policer):
        return kind, [("TCA_POLICE_TBF", {"index": action.index, "rate": 1})]
    parms: dict[str, int] = {"action": action.control}
    for name, attribute in _PARAMETERS.get(kind, {}).items():
        parms[name] = int(getattr(action, attribute))
    if isinstance(action, Mirred):
        parms |= {"eaction": mirred_kind(action), "ifindex": action.ifindex}
    if isinstance(action, TunnelKey):
        parms["t_action"] = 2 if action.release else 1
    attributes: Attributes = [(f"TCA_{kind.upper()}_PARMS", parms)]
    if isinstance(action, TunnelKey) and action.release:
        return kind, attributes
    for name, attribute in _ATTRIBUTES.get(kind, ()):
        value = getattr(action, attribute)
        if value is None:
            continue
        if isinstance(value, tuple):
            for end, number in zip(("_MIN", "_MAX"), value, strict=True):
                attributes.append((name + end, _plain(attribute, number)))
        else:
            attributes.append((name, _plain(attribute, int(value))))
    return kind, attributes


def _plain(attribute: str, number: int) -> int | bytes:
    return number.to_bytes(16, "big") if attribute in _WIDE else number


def _describe_pedit(action: Pedit) -> Attributes:
    data = _pedit_head.pack(0, 0, action.control, 0, 0, len(action.keys), 0)
    extended = []
    for key in action.keys:
        keep = (~key.mask & 0xFFFFFFFF).to_bytes(4, "big")
        put = (key.value & key.mask).to_bytes(4, "big")
        data += _pedit_key.pack(keep, put, key.offset, 0, 0, 0)
        parts = [
            ("TCA_PEDIT_KEY_EX_HTYPE", int(key.header)),
            ("TCA_PEDIT_KEY_EX_CMD", int(key.add)),
        ]
        extended.append(("TCA_PEDIT_KEY_EX", {"attrs": parts}))
    return [("TCA_PEDIT_PARMS_EX", data), ("TCA_PEDIT_KEYS_EX", {"attrs": extended})]


def _describe_police(action: Police) -> Attributes:
    rate = action.rate
    parms = {"index": action.index, "action": action.exceed, "mtu": action.mtu or NO_MTU}
    if rate:
        parms |= {
            "burst": min(ticks(action.burst, rate), 0xFFFFFFFF),
            "cell_log": 3,
            "linklayer": 1,
            "cell_align": -1,
            "rate": police_rate(rate),
        }
    attributes: Attributes = [("TCA_POLICE_TBF", parms)]
    if rate:
        attributes.append(("TCA_POLICE_RATE", RATE_TABLE))
    attributes.append(("TCA_POLICE_RESULT", action.control))
    if rate > 0xFFFFFFFF:
        attributes.append(("TCA_POLICE_RATE64", rate))
    if action.packet_rate:
        burst = ticks(action.packet_burst, action.packet_rate)
        attributes.append(("TCA_POLICE_PKTRATE64", action.packet_rate))
        attributes.append(("TCA_POLICE_PKTBURST64", burst))
    return attributes
