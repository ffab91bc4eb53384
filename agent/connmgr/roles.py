"""Controller roles: who may change the switch.

What belongs to a connection (its role) is in the connection; here is what belongs to the switch:
the generation id that tells a stale request from a new one, and the one master.

Source: OpenFlow 1.3.5 sections 6.3.6 and 7.3.9.
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

from agent.openflow.errors import ROLE_BAD_ROLE, ROLE_STALE, OpenFlowError
from agent.openflow.group_messages import GroupMod, MeterMod
from agent.openflow.messages import (
    FlowMod,
    PacketOut,
    PortMod,
    TableFeaturesRequest,
    TableMod,
)


class Role(enum.IntEnum):
    """``OFPCR_ROLE_*``."""

    NOCHANGE = 0
    EQUAL = 1
    MASTER = 2
    SLAVE = 3


MODIFYING: Final[frozenset[type]] = frozenset(
    {FlowMod, GroupMod, MeterMod, PacketOut, PortMod, TableMod}
)
"""Requests that a slave may not make: IS_SLAVE.  See :func:`modifies` for the one that is left."""

NO_GENERATION: Final = 0xFFFFFFFFFFFFFFFF
"""What a role reply has for the generation id before any was given, as in Open vSwitch."""

_HALF: Final = 1 << 63
_WHOLE: Final = 1 << 64


def modifies(request: object) -> bool:
    """Whether a slave may not make this request: table features may be asked for, not changed."""
    if isinstance(request, TableFeaturesRequest):
        return bool(request.tables)
    return type(request) in MODIFYING


class HasRole(Protocol):
    """A connection, as far as roles are concerned."""

    role: Role


class Roles:
    """The roles of one switch's connections.

    :ivar generation_id: 64 bits, the latest given; None before the first.
    :ivar master: the connection that is master now.
    """

    def __init__(self) -> None:
        self.generation_id: int | None = None
        self.master: HasRole | None = None

    def check(self, role: int, generation_id: int | None) -> Role:
        """Whether a request may be granted, now.  Changes nothing.

        :param generation_id: None: the request has none (Nicira's), and none is checked.
        :returns: the role asked for.
        :raises OpenFlowError: ROLE_BAD_ROLE; ROLE_STALE for a generation id that is older than the
            latest, in the sense of a signed difference of 64 bits.
        """
        try:
            wanted = Role(role)
        except ValueError:
            raise OpenFlowError(ROLE_BAD_ROLE, f"role {role}") from None
        latest = self.generation_id
        if wanted < Role.MASTER or generation_id is None or latest is None:
            return wanted
        if self._older(generation_id, latest):
            raise OpenFlowError(ROLE_STALE, f"{generation_id:#x} is older than {latest:#x}")
        return wanted

    def grant(self, connection: HasRole, role: Role, generation_id: int | None) -> None:
        """Give a connection the role that :meth:`check` has allowed; demote the former master."""
        if role >= Role.MASTER and generation_id is not None:
            self.generation_id = generation_id
        if role is Role.NOCHANGE:
            return
        if self.master is connection:
            self.master = None
        if role is Role.MASTER:
            if self.master is not None:
                self.master.role = Role.SLAVE
            self.master = connection
        connection.role = role

    def leave(self, connection: HasRole) -> None:
        """A connection is gone.  The generation id stays: it is the switch's."""
        if self.master is connection:
            self.master = None

    @property
    def reply_generation_id(self) -> int:
        """What a role reply says."""
        return NO_GENERATION if self.generation_id is None else self.generation_id

    @staticmethod
    def _older(one: int, other: int) -> bool:
        return (one - other) % _WHOLE >= _HALF
