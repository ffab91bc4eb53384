"""Actions and instructions as values, the same for every version of the protocol.

Each is immutable and hashable, so that equal action lists are shared between rules and compared
cheaply.  How they look on the wire is the business of the codecs; what they do to a packet is that
of the drivers.

OpenFlow 1.0 writes header fields with an action a field (``SET_DL_SRC`` ...), later versions with
one ``SET_FIELD``.  Both are a :class:`SetField` here wherever they mean the same; where 1.0 means
something else (:class:`SetVlanVid` pushes a tag when there is none, :class:`SetTpSrc` writes the
port of whatever transport there is) the old action stands by itself.

Source: OpenFlow 1.0.1 section 5.2.4, OpenFlow 1.3.5 sections 7.2.4 and 7.2.5.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from agent.openflow.fields import Field

CONTROLLER_MAX: Final = 0xFFE5
"""The greatest ``max_len`` which is a number of bytes (``OFPCML_MAX``)."""
NO_BUFFER: Final = 0xFFFF
"""``max_len`` of an output that sends the whole packet (``OFPCML_NO_BUFFER``)."""


class Action:
    """What every action has in common: nothing but its kind."""

    __slots__ = ()


@attrs.frozen
class Output(Action):
    """Send the packet to a port (``OFPAT_OUTPUT``).

    :ivar port: an OpenFlow 1.3 port number; the reserved ports of 1.0 are mapped to these.
    :ivar max_len: bytes to send when the port is CONTROLLER.
    """

    port: int
    max_len: int = 0


@attrs.frozen
class Enqueue(Action):
    """Send the packet to a queue of a port (``OFPAT_ENQUEUE``, OpenFlow 1.0)."""

    port: int
    queue_id: int


@attrs.frozen
class SetField(Action):
    """Overwrite a header field (``OFPAT_SET_FIELD``; NXM ``reg_load`` of a whole or part field).

    :ivar value: the new bits, as a number of the field's width.
    :ivar mask: which bits of the field are written; None: all.
    """

    field: Field
    value: int
    mask: int | None = None


@attrs.frozen
class SetVlanVid(Action):
    """Set the VLAN identifier, pushing an 802.1Q tag when there is none (1.0)."""

    vlan_vid: int


@attrs.frozen
class SetVlanPcp(Action):
    """Set the VLAN priority, pushing an 802.1Q tag when there is none (1.0)."""

    vlan_pcp: int


@attrs.frozen
class SetTpSrc(Action):
    """Set the source port of TCP, UDP or SCTP, or the type of ICMP (1.0)."""

    port: int


@attrs.frozen
class SetTpDst(Action):
    """Set the destination port of TCP, UDP or SCTP, or the code of ICMP (1.0)."""

    port: int


@attrs.frozen
class PushVlan(Action):
    """Push a VLAN tag; ``ethertype`` is 0x8100 or 0x88a8."""

    ethertype: int


@attrs.frozen
class PopVlan(Action):
    """Remove the outer VLAN tag, if any (also ``OFPAT_STRIP_VLAN`` of 1.0)."""


@attrs.frozen
class PushMpls(Action):
    """Push an MPLS shim; ``ethertype`` is 0x8847 or 0x8848."""

    ethertype: int


@attrs.frozen
class PopMpls(Action):
    """Remove the outer MPLS shim; ``ethertype`` is what follows."""

    ethertype: int


@attrs.frozen
class PushPbb(Action):
    """Push a PBB service header; ``ethertype`` is 0x88e7."""

    ethertype: int


@attrs.frozen
class PopPbb(Action):
    """Remove the outer PBB service header."""


@attrs.frozen
class SetMplsTtl(Action):
    """Set the TTL of the outer MPLS shim."""

    ttl: int


@attrs.frozen
class DecMplsTtl(Action):
    """Decrement the TTL of the outer MPLS shim."""


@attrs.frozen
class SetNwTtl(Action):
    """Set the TTL of IPv4 or the hop limit of IPv6."""

    ttl: int


@attrs.frozen
class DecNwTtl(Action):
    """Decrement the TTL of IPv4 or the hop limit of IPv6."""


@attrs.frozen
class CopyTtlOut(Action):
    """Copy the TTL from the next-to-outermost header to the outermost."""


@attrs.frozen
class CopyTtlIn(Action):
    """Copy the TTL from the outermost header to the next."""


@attrs.frozen
class SetQueue(Action):
    """Set the queue for the outputs that follow (also NXAST_SET_QUEUE)."""

    queue_id: int


@attrs.frozen
class GroupAction(Action):
    """Process the packet through a group (``OFPAT_GROUP``)."""

    group_id: int


Actions: TypeAlias = tuple[Action, ...]
"""A list of actions, in order."""


@attrs.frozen
class ApplyActions:
    """``OFPIT_APPLY_ACTIONS``; the whole of a rule of OpenFlow 1.0."""

    actions: Actions


@attrs.frozen
class WriteActions:
    """``OFPIT_WRITE_ACTIONS``."""

    actions: Actions


@attrs.frozen
class ClearActions:
    """``OFPIT_CLEAR_ACTIONS``."""


@attrs.frozen
class WriteMetadata:
    """``OFPIT_WRITE_METADATA``; 64-bit value and mask."""

    metadata: int
    mask: int


@attrs.frozen
class GotoTable:
    """``OFPIT_GOTO_TABLE``."""

    table_id: int


@attrs.frozen
class MeterInstruction:
    """``OFPIT_METER``."""

    meter_id: int


Instruction: TypeAlias = (
    MeterInstruction | ApplyActions | ClearActions | WriteActions | WriteMetadata | GotoTable
)
Instructions: TypeAlias = tuple[Instruction, ...]
"""The instructions of a rule in the order in which they are executed (1.3.5 section 5.9):
meter, apply-actions, clear-actions, write-actions, write-metadata, goto-table."""


def actions_of(instructions: Instructions) -> Actions:
    """Every action of a rule, applied ones first: for filters on ``out_port`` and for checks."""
    found: Actions = ()
    for instruction in instructions:
        if isinstance(instruction, ApplyActions | WriteActions):
            found += instruction.actions
    return found


def groups_in(actions: Actions) -> frozenset[int]:
    """The groups that an action list names."""
    return frozenset(action.group_id for action in actions if isinstance(action, GroupAction))


def groups_of(instructions: Instructions) -> frozenset[int]:
    """The groups that a rule names."""
    return groups_in(actions_of(instructions))


def meters_of(instructions: Instructions) -> frozenset[int]:
    """The meters that a rule names."""
    return frozenset(i.meter_id for i in instructions if isinstance(i, MeterInstruction))
