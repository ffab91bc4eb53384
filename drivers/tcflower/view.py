"""What the translation of rules has to know besides the rules.

A :class:`View` is what the bridge is like at one time.  When it changes, the rules that depend on
what changed are translated again: :class:`drivers.tcflower.translate.Translation` says what each
depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from agent.openflow.match import Match
from drivers.interfaces import IGroup
from drivers.tcflower.actions import SHOT, TRAP, Gact, Policer, TcAction
from drivers.tcflower.keys import TPIDS

Upcall = Callable[[int, bool, Match], tuple[TcAction, ...]]
"""Takes the number of a table, whether the kernel counts the packet for the rule that it hits
there, and what that rule matches.  Returns the actions which hand a packet, as it is when it comes
to that table, to the software, for it to be looked up there and go on; where it was counted that
rule is not to count it once more.  Of what tunnel the packet came out of, or is for, the software
knows what is matched exactly."""


def trap(table_id: int, counted: bool, match: Match) -> tuple[TcAction, ...]:
    """The plainest :data:`Upcall`; it does not say which table it was."""
    return (Gact(TRAP),)


def dropped(table_id: int, counted: bool, match: Match) -> tuple[TcAction, ...]:
    """The :data:`Upcall` where no software gets packets."""
    return (Gact(SHOT),)


@attrs.frozen
class PortView:
    """A port, as far as rules are concerned.

    :ivar name: of its device.
    :ivar ifindex: of its device.
    :ivar forwards: whether packets may be sent there (neither PORT_DOWN nor NO_FWD).
    :ivar floods: whether FLOOD goes there.
    :ivar live: whether a bucket that watches it can be used.
    """

    name: str
    ifindex: int
    forwards: bool = True
    floods: bool = True
    live: bool = True


NO_GROUPS: Final[Mapping[int, IGroup]] = {}
NO_METERS: Final[Mapping[int, Policer]] = {}


@attrs.frozen
class View:
    """The ports, groups and meters of a bridge.

    :ivar ports: by number.
    :ivar groups: by number.
    :ivar meters: by number: what names a meter's action, which all filters share.
    :ivar upcall: how the kernel hands packets to the software.
    :ivar tunnels: whether packets in the kernel can have a tunnel's number and addresses.
    :ivar tpids: the EtherTypes that the VLAN tags of packets may have; the fewer, the fewer filters
        a match on tags needs.
    """

    ports: Mapping[int, PortView]
    groups: Mapping[int, IGroup] = NO_GROUPS
    meters: Mapping[int, Policer] = NO_METERS
    upcall: Upcall = trap
    tunnels: bool = True
    tpids: tuple[int, ...] = TPIDS
    devices: Mapping[int, tuple[str, int]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        devices = {number: (port.name, port.ifindex) for number, port in self.ports.items()}
        object.__setattr__(self, "devices", devices)
