"""What is known of a packet's headers while a list of actions is gone through.

A rule's match says which headers a packet has, and actions add and remove some.  An action on a
field that no packet can have there is refused when the rule is made.

Source: 1.3.5 section 7.2.5: "if a set-field action is not consistent with the match ... the switch
must return OFPBAC_MATCH_INCONSISTENT"; for Nicira's actions ``nx-match.c`` and ``learn.c`` of Open
vSwitch.
"""

from __future__ import annotations

from typing import Final

from agent.openflow import errors
from agent.openflow.actions import (
    Action,
    DecMplsTtl,
    DecNwTtl,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetVlanPcp,
    SetVlanVid,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import (
    ETH_TYPE,
    IP,
    IP_PROTO,
    MPLS,
    TCP,
    TCP_SRC,
    VLAN_PRESENT,
    VLAN_TCI,
    VLAN_VID,
    Field,
)
from agent.openflow.match import Match
from agent.openflow.nx_actions import (
    Bundle,
    DecTtlCntIds,
    FinTimeout,
    Learn,
    Multipath,
    OutputReg,
    RegMove,
    StackPop,
    StackPush,
    Subfield,
)

ANYTHING: Final = -1
"""In the place of an Ethernet type: what follows nobody can know."""

NEEDS: Final[dict[type[Action], tuple[tuple[int, ...], tuple[int, ...]]]] = {
    DecNwTtl: (IP, ()),
    SetNwTtl: (IP, ()),
    DecTtlCntIds: (IP, ()),
    DecMplsTtl: (MPLS, ()),
    SetMplsTtl: (MPLS, ()),
    PopMpls: (MPLS, ()),
    FinTimeout: (IP, TCP),
}
"""The Ethernet types and IP protocols that actions on a header need; in 1.0 they need nothing."""


def fields_read(action: Action) -> tuple[Field, ...]:
    """The fields that one of Nicira's actions reads."""
    if isinstance(action, RegMove | OutputReg | StackPush):
        return (action.src.field,)
    if isinstance(action, Learn):
        return tuple(spec.src.field for spec in action.specs if isinstance(spec.src, Subfield))
    return ()


def fields_written(action: Action) -> tuple[Field, ...]:
    """The fields that an action writes, as far as a packet must have them for it."""
    if isinstance(action, SetField):
        return (action.field,)
    if isinstance(action, RegMove | StackPop | Multipath):
        return (action.dst.field,)
    if isinstance(action, Bundle) and action.dst is not None:
        return (action.dst.field,)
    return ()


class Shape:
    """See the module."""

    def __init__(self, match: Match, needs: bool) -> None:
        """
        :param needs: whether :data:`NEEDS` counts.
        """
        self._needs = NEEDS if needs else {}
        self.eth_type = match.value_of(ETH_TYPE)
        self.ip_proto = match.value_of(IP_PROTO)
        self.icmp_type = match.get(TCP_SRC)[0]
        value, mask = match.get(VLAN_TCI)
        self.tagged = bool(value & mask & VLAN_PRESENT)

    def follow(self, action: Action) -> bool:
        """Check one action and go past it; returns whether any match would have done.

        :raises OpenFlowError: MATCH_INCONSISTENT.
        """
        context_free = True
        needed = self._needs.get(type(action))
        if needed is not None:
            context_free = False
            if self.eth_type != ANYTHING and not self._has(*needed):
                raise OpenFlowError(
                    errors.MATCH_INCONSISTENT,
                    f"{type(action).__name__} does not fit the match",
                )
        for field in fields_read(action):
            context_free &= self._consistent(action, field)
        for field in fields_written(action):
            context_free &= self._consistent(action, field)
            if field is VLAN_VID:
                context_free = False
                if not self.tagged and self.eth_type != ANYTHING:
                    self._refuse_field(action, field)
        if isinstance(action, PushVlan | SetVlanVid | SetVlanPcp):
            self.tagged = True
        elif isinstance(action, PopVlan):
            self.tagged = False
        elif isinstance(action, PushMpls | PushPbb | PopMpls):
            self.eth_type = action.ethertype
            self.ip_proto = None
        elif isinstance(action, PopPbb):
            # What the frame inside is nobody can know: every field may be set from here on.
            self.eth_type = ANYTHING
        return context_free

    def _consistent(self, action: Action, field: Field) -> bool:
        """Check that packets may have a field; returns whether they always do."""
        if self.eth_type == ANYTHING:
            return False
        if not (
            self._has(field.eth_types, field.ip_protos)
            and (not field.icmp_types or self.icmp_type in field.icmp_types)
            and (self.tagged or not field.needs_vlan)
        ):
            self._refuse_field(action, field)
        return not (field.eth_types or field.needs_vlan)

    def _has(self, eth_types: tuple[int, ...], ip_protos: tuple[int, ...]) -> bool:
        """Whether packets are of one of these types, and of one of these protocols, if any."""
        return (not eth_types or self.eth_type in eth_types) and (
            not ip_protos or self.ip_proto in ip_protos
        )

    @staticmethod
    def _refuse_field(action: Action, field: Field) -> None:
        raise OpenFlowError(
            errors.MATCH_INCONSISTENT,
            f"{type(action).__name__}: {field.name} does not fit the match",
        )
