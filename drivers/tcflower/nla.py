"""tc's flower classifier and actions, declared for pyroute2, which does not have them.

The declarations read and write whole messages.  They are the reference: complete, slow, and made
for people to compare with the kernel's headers.  What is sent in numbers is packed by
:mod:`drivers.tcflower.pack`, which is tested against this;
:mod:`drivers.tcflower.describe` is what makes these messages of filters.

pyroute2's own ``tcmsg`` is left alone: changing it would change it for every other user in the
process, and it takes an unknown classifier for another one without saying so.

Source: Linux, ``linux/pkt_cls.h``, ``linux/rtnetlink.h``, ``linux/gen_stats.h``,
``linux/tc_act/*.h``.
"""

from __future__ import annotations

from typing import Any, Final

from pyroute2.netlink import NLA_F_NESTED, nla, nlmsg

from drivers.tcflower.actions import MAX_ACTIONS
from drivers.tcflower.filters import KEYS, KeyKind

_GEN: Final = (
    ("index", "I"),
    ("capab", "I"),
    ("action", "i"),
    ("refcnt", "i"),
    ("bindcnt", "i"),
)
"""``tc_gen``: what the parameters of most actions begin with."""


def _parms(*more: tuple[str, str]) -> type:
    """The parameters of an action: ``tc_gen`` and what follows it."""
    return type("parms", (nla,), {"fields": _GEN + more})


def _options(*attributes: tuple[int, str, str], **classes: type) -> type:
    """The options of an action.

    :param attributes: of each its number, its name and its type.
    :param classes: types that are no types of pyroute2.
    """
    return type("options", (nla,), {"nla_map": attributes, "nla_flags": NLA_F_NESTED, **classes})


class _Police(nla):
    """``struct tc_police``."""

    fields = (
        *(("index", "I"), ("action", "i"), ("limit", "I"), ("burst", "I"), ("mtu", "I")),
        *(("cell_log", "B"), ("linklayer", "B"), ("overhead", "H"), ("cell_align", "h")),
        *(("mpu", "H"), ("rate", "I")),
        *(("peak_cell_log", "B"), ("peak_linklayer", "B"), ("peak_overhead", "H")),
        *(("peak_cell_align", "h"), ("peak_mpu", "H"), ("peak_rate", "I")),
        *(("refcnt", "i"), ("bindcnt", "i"), ("capab", "I")),
    )


class _PeditKeysEx(nla):
    """``TCA_PEDIT_KEYS_EX``: what each key counts from, and whether it is added."""

    nla_map = ((6, "TCA_PEDIT_KEY_EX", "key"),)

    class key(nla):
        """One key."""

        nla_map = ((1, "TCA_PEDIT_KEY_EX_HTYPE", "uint16"), (2, "TCA_PEDIT_KEY_EX_CMD", "uint16"))


# fmt: off
ACTIONS: Final[dict[str, type]] = {
    "gact": _options((2, "TCA_GACT_PARMS", "parms"), parms=_parms()),
    "mirred": _options(
        (2, "TCA_MIRRED_PARMS", "parms"), parms=_parms(("eaction", "i"), ("ifindex", "I"))
    ),
    "vlan": _options(
        (2, "TCA_VLAN_PARMS", "parms"),
        (3, "TCA_VLAN_PUSH_VLAN_ID", "uint16"),
        (4, "TCA_VLAN_PUSH_VLAN_PROTOCOL", "be16"),
        (6, "TCA_VLAN_PUSH_VLAN_PRIORITY", "uint8"),
        parms=_parms(("v_action", "i")),
    ),
    "pedit": _options(
        (4, "TCA_PEDIT_PARMS_EX", "cdata"),
        (5, "TCA_PEDIT_KEYS_EX", "keys"),
        keys=_PeditKeysEx,
    ),
    "csum": _options((1, "TCA_CSUM_PARMS", "parms"), parms=_parms(("update_flags", "I"))),
    "skbedit": _options(
        (2, "TCA_SKBEDIT_PARMS", "parms"),
        (3, "TCA_SKBEDIT_PRIORITY", "uint32"),
        (4, "TCA_SKBEDIT_QUEUE_MAPPING", "uint16"),
        (5, "TCA_SKBEDIT_MARK", "uint32"),
        (7, "TCA_SKBEDIT_PTYPE", "uint16"),
        (8, "TCA_SKBEDIT_MASK", "uint32"),
        parms=_parms(),
    ),
    "police": _options(
        (1, "TCA_POLICE_TBF", "parms"),
        (2, "TCA_POLICE_RATE", "cdata"),
        (5, "TCA_POLICE_RESULT", "uint32"),
        (8, "TCA_POLICE_RATE64", "uint64"),
        (10, "TCA_POLICE_PKTRATE64", "uint64"),
        (11, "TCA_POLICE_PKTBURST64", "uint64"),
        parms=_Police,
    ),
    "tunnel_key": _options(
        (2, "TCA_TUNNEL_KEY_PARMS", "parms"),
        (3, "TCA_TUNNEL_KEY_ENC_IPV4_SRC", "be32"),
        (4, "TCA_TUNNEL_KEY_ENC_IPV4_DST", "be32"),
        (5, "TCA_TUNNEL_KEY_ENC_IPV6_SRC", "cdata"),
        (6, "TCA_TUNNEL_KEY_ENC_IPV6_DST", "cdata"),
        (7, "TCA_TUNNEL_KEY_ENC_KEY_ID", "be32"),
        (9, "TCA_TUNNEL_KEY_ENC_DST_PORT", "be16"),
        (10, "TCA_TUNNEL_KEY_NO_CSUM", "uint8"),
        (12, "TCA_TUNNEL_KEY_ENC_TOS", "uint8"),
        (13, "TCA_TUNNEL_KEY_ENC_TTL", "uint8"),
        parms=_parms(("t_action", "i")),
    ),
    "mpls": _options(
        (2, "TCA_MPLS_PARMS", "parms"),
        (4, "TCA_MPLS_PROTO", "be16"),
        (5, "TCA_MPLS_LABEL", "uint32"),
        (6, "TCA_MPLS_TC", "uint8"),
        (7, "TCA_MPLS_TTL", "uint8"),
        (8, "TCA_MPLS_BOS", "uint8"),
        parms=_parms(("m_action", "i")),
    ),
    "ct": _options(
        (1, "TCA_CT_PARMS", "parms"),
        (3, "TCA_CT_ACTION", "uint16"),
        (4, "TCA_CT_ZONE", "uint16"),
        (5, "TCA_CT_MARK", "uint32"),
        (6, "TCA_CT_MARK_MASK", "uint32"),
        (7, "TCA_CT_LABELS", "cdata"),
        (8, "TCA_CT_LABELS_MASK", "cdata"),
        (9, "TCA_CT_NAT_IPV4_MIN", "be32"),
        (10, "TCA_CT_NAT_IPV4_MAX", "be32"),
        (11, "TCA_CT_NAT_IPV6_MIN", "cdata"),
        (12, "TCA_CT_NAT_IPV6_MAX", "cdata"),
        (13, "TCA_CT_NAT_PORT_MIN", "be16"),
        (14, "TCA_CT_NAT_PORT_MAX", "be16"),
        parms=_parms(),
    ),
    "sample": _options(
        (2, "TCA_SAMPLE_PARMS", "parms"),
        (3, "TCA_SAMPLE_RATE", "uint32"),
        (4, "TCA_SAMPLE_TRUNC_SIZE", "uint32"),
        (5, "TCA_SAMPLE_PSAMPLE_GROUP", "uint32"),
        parms=_parms(),
    ),
}
"""The options of each kind of action, by the name that the kernel has for it."""
# fmt: on


class Basic(nla):
    """``struct gnet_stats_basic``: bytes without the Ethernet header, and packets."""

    fields = (("bytes", "Q"), ("packets", "I"))


class Statistics(nla):
    """``TCA_ACT_STATS``: what an action has counted, of it in hardware, and packets in 64 bits."""

    nla_map = (
        (1, "TCA_STATS_BASIC", "Basic"),
        (3, "TCA_STATS_QUEUE", "queue"),
        (7, "TCA_STATS_BASIC_HW", "Basic"),
        (8, "TCA_STATS_PKT64", "uint64"),
    )
    Basic = Basic

    class queue(nla):
        """``struct gnet_stats_queue``."""

        fields = (
            ("qlen", "I"),
            ("backlog", "I"),
            ("drops", "I"),
            ("requeues", "I"),
            ("overlimits", "I"),
        )


class Action(nla):
    """One action of a list."""

    nla_map = (
        (1, "TCA_ACT_KIND", "asciiz"),
        (2, "TCA_ACT_OPTIONS", "choose"),
        (3, "TCA_ACT_INDEX", "uint32"),
        (4, "TCA_ACT_STATS", "Statistics"),
        (6, "TCA_ACT_COOKIE", "cdata"),
        (7, "TCA_ACT_FLAGS", "cdata"),
        (8, "TCA_ACT_HW_STATS", "cdata"),
        (9, "TCA_ACT_USED_HW_STATS", "cdata"),
        (10, "TCA_ACT_IN_HW_COUNT", "uint32"),
    )
    Statistics = Statistics

    @staticmethod
    def choose(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: PLW0211
        """The options of this kind of action."""
        return ACTIONS.get(self.get_attr("TCA_ACT_KIND"), self.hex)


def type_of(kind: KeyKind) -> str:
    """pyroute2's type for a key."""
    if kind.size in (6, 16):
        return "cdata"
    if kind.size == 1:
        return "uint8"
    return ("uint" if kind.host_order else "be") + str(8 * kind.size)


class Options(nla):
    """``TCA_OPTIONS`` of a flower filter."""

    nla_map = (
        (1, "TCA_FLOWER_CLASSID", "uint32"),
        (2, "TCA_FLOWER_INDEV", "asciiz"),
        (3, "TCA_FLOWER_ACT", "Actions"),
        (22, "TCA_FLOWER_FLAGS", "uint32"),
        (84, "TCA_FLOWER_KEY_ENC_OPTS", "cdata"),
        (85, "TCA_FLOWER_KEY_ENC_OPTS_MASK", "cdata"),
        (86, "TCA_FLOWER_IN_HW_COUNT", "uint32"),
        (99, "TCA_FLOWER_KEY_MPLS_OPTS", "cdata"),
        *((k.attr, f"TCA_FLOWER_KEY_{k.name.upper()}", type_of(k)) for k in KEYS.values()),
        *(
            (k.mask_attr, f"TCA_FLOWER_KEY_{k.name.upper()}_MASK", type_of(k))
            for k in KEYS.values()
            if k.mask_attr is not None
        ),
    )

    class Actions(nla):
        """The list of actions: each attribute's number is its place."""

        nla_map = tuple(
            (place, f"TCA_ACT_{place}", "Action") for place in range(1, MAX_ACTIONS + 1)
        )
        Action = Action


class FlowerMessage(nlmsg):
    """``RTM_*TFILTER`` of a flower filter."""

    prefix = "TCA_"
    fields = (
        ("family", "B"),
        ("pad1", "B"),
        ("pad2", "H"),
        ("index", "I"),
        ("handle", "I"),
        ("parent", "I"),
        ("info", "I"),
    )
    nla_map = (
        (1, "TCA_KIND", "asciiz"),
        (2, "TCA_OPTIONS", "choose"),
        (11, "TCA_CHAIN", "uint32"),
        (12, "TCA_HW_OFFLOAD", "uint8"),
        (13, "TCA_INGRESS_BLOCK", "uint32"),
        (14, "TCA_EGRESS_BLOCK", "uint32"),
        (16, "TCA_EXT_WARN_MSG", "asciiz"),
    )
    Options = Options

    @staticmethod
    def choose(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: PLW0211
        """A filter of another kind is left as it is."""
        return self.Options if self.get_attr("TCA_KIND") == "flower" else self.hex


def decode(data: bytes) -> Any:
    """A message from the kernel."""
    message = FlowerMessage(data)
    message.decode()
    return message
