"""How Nicira's actions begin, and the form of those which are a run of fixed-width fields.

Every one is an action of type 0xffff with Nicira's number, and a subtype.  What reads the other
ones, which have lists or data at their end, is a plain function; both are put into one table by
:mod:`agent.openflow.nicira.actions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import construct
from construct import Int16ub, Int32ub

from agent.openflow.action_list import EXPERIMENTER
from agent.openflow.actions import Action
from agent.openflow.errors import ACTION_BAD_LEN, BAD_ARGUMENT, NICIRA, ErrorCode, OpenFlowError
from agent.openflow.wire import Fixed

HEADER: Final = Fixed("type" / Int16ub, "len" / Int16ub, "vendor" / Int32ub, "subtype" / Int16ub)
"""``ext_action_header``, without its padding."""
LEAST: Final = 16
"""Bytes of the shortest of these actions."""


def check_zero(padding: bytes, error: ErrorCode = BAD_ARGUMENT) -> None:
    """What is reserved must be zero.

    :param error: Open vSwitch says of some actions MUST_BE_ZERO, of others BAD_ARGUMENT.
    :raises OpenFlowError: ``error``.
    """
    if padding.strip(b"\0"):
        raise OpenFlowError(error, f"reserved bytes are {padding.hex()}")


def pack(subtype: int, body: bytes) -> bytes:
    """An action of any length, padded to a multiple of 8 bytes.

    :param body: what follows the subtype.
    :raises struct.error: when it is too long for any action.
    """
    length = HEADER.size + len(body)
    padding = -length % 8
    return HEADER.pack(EXPERIMENTER, length + padding, NICIRA, subtype) + body + bytes(padding)


@attrs.frozen
class Form:
    """An action of fixed size.

    :ivar layout: header and all.
    :ivar make: makes the action from the values behind the subtype.
    """

    subtype: int
    layout: Fixed
    make: Callable[..., Action]

    def decode(self, data: bytes, offset: int, length: int) -> Action:
        """The action at ``offset``.

        :raises OpenFlowError: ACTION_BAD_LEN when it has not exactly this size; any of BAD_ACTION.
        """
        if length != self.layout.size:
            raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes, not {self.layout.size}")
        return self.make(*self.layout.unpack_from(data, offset)[4:])

    def encode(self, *values: int | bytes) -> bytes:
        """The bytes of an action with these values behind the subtype."""
        return self.layout.pack(EXPERIMENTER, self.layout.size, NICIRA, self.subtype, *values)


def form(subtype: int, make: Callable[..., Action], *subcons: construct.Construct) -> Form:
    """The form with these fields behind the subtype."""
    return Form(subtype, Fixed(HEADER, *subcons), make)
