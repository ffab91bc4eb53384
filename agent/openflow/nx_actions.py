"""Actions that only Nicira has, as values, for every version of the protocol.

Those which mean what an action of :mod:`agent.openflow.actions` does (``set_queue``, ``dec_ttl``,
``push_mpls`` ..., ``set_tunnel`` and ``reg_load`` as a set-field) are that action.

A :class:`Subfield` is a run of bits of a field, to be read or written.  Whether it lies within its
field, and whether it can be written, is checked by the codec.

Source: ``nicira-ext.h`` and ``ofp-actions.c`` of Open vSwitch.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs

from agent.openflow.actions import Action
from agent.openflow.constants import ALL_TABLES, PacketInReason, Port
from agent.openflow.fields import IN_PORT, METADATA, NX_IN_PORT, Field

WRITABLE: Final = frozenset({IN_PORT, NX_IN_PORT, METADATA})
"""What Nicira's actions may write besides what a set-field may.

A packet whose ingress port was overwritten can be sent back there.
"""


def is_writable(field: Field) -> bool:
    """Whether these actions may write to a field."""
    return field.writable or field in WRITABLE


@attrs.frozen
class Subfield:
    """The bits of a field from ``ofs`` (0 is the lowest), ``n_bits`` of them."""

    field: Field
    ofs: int
    n_bits: int

    @classmethod
    def whole(cls, field: Field) -> Subfield:
        """All bits of a field."""
        return cls(field, 0, field.bits)

    @property
    def mask(self) -> int:
        """The bits, all ones, as a number of the field's width."""
        return ((1 << self.n_bits) - 1) << self.ofs


def runs_of(mask: int) -> Iterator[tuple[int, int]]:
    """``(ofs, n_bits)`` of the runs of ones, the lowest first; none is longer than 64 bits."""
    ofs = 0
    while mask:
        zeros = (mask & -mask).bit_length() - 1
        mask >>= zeros
        ofs += zeros
        n_bits = min(((mask + 1) & ~mask).bit_length() - 1, 64)
        yield ofs, n_bits
        mask >>= n_bits
        ofs += n_bits


@attrs.frozen
class Resubmit(Action):
    """Look the packet up again, and do what is found there (NXAST_RESUBMIT, RESUBMIT_TABLE).

    :ivar in_port: the ingress port for that lookup; IN_PORT: as it is.
    :ivar table_id: 0xff: the table that this rule is in.
    """

    in_port: int = Port.IN_PORT
    table_id: int = ALL_TABLES


@attrs.frozen
class PopQueue(Action):
    """End what SET_QUEUE began."""


@attrs.frozen
class RegMove(Action):
    """Copy bits from one field to another; both have the same number."""

    src: Subfield
    dst: Subfield


@attrs.frozen
class Note(Action):
    """Do nothing; ``note`` is for people.  On the wire it is padded with zeros."""

    note: bytes


class HashFields(enum.IntEnum):
    """``NX_HASH_FIELDS_*``: what of a packet is hashed."""

    ETH_SRC = 0
    SYMMETRIC_L4 = 1
    SYMMETRIC_L3L4 = 2
    SYMMETRIC_L3L4_UDP = 3
    NW_SRC = 4
    NW_DST = 5
    SYMMETRIC_L3 = 6


class MultipathAlgorithm(enum.IntEnum):
    """``NX_MP_ALG_*``."""

    MODULO_N = 0
    HASH_THRESHOLD = 1
    HRW = 2
    ITER_HASH = 3


@attrs.frozen
class Multipath(Action):
    """Hash the packet, choose a link by the hash, and write its number to a field.

    :ivar fields: :class:`HashFields`.
    :ivar algorithm: :class:`MultipathAlgorithm`.
    :ivar max_link: the highest link; the lowest is 0.
    :ivar arg: of the algorithm, 32 bits.
    """

    fields: int
    basis: int
    algorithm: int
    max_link: int
    arg: int
    dst: Subfield


class BundleAlgorithm(enum.IntEnum):
    """``NX_BD_ALG_*``."""

    ACTIVE_BACKUP = 0
    HRW = 1


@attrs.frozen
class Bundle(Action):
    """Choose one of several ports, and output to it, or write its number to a field.

    :ivar algorithm: :class:`BundleAlgorithm`.
    :ivar fields: :class:`HashFields`.
    :ivar members: port numbers; ANY, which is ``OFPP_NONE`` here, is always live.
    :ivar dst: where the number is written (NXAST_BUNDLE_LOAD); None: the packet is sent there.
    """

    algorithm: int
    fields: int
    basis: int
    members: tuple[int, ...]
    dst: Subfield | None = None


@attrs.frozen
class OutputReg(Action):
    """Send the packet to the port whose number is in a field.

    :ivar max_len: like that of an output.
    """

    src: Subfield
    max_len: int = 0xFFFF


@attrs.frozen
class ControllerAction(Action):
    """Send the packet to the controllers with this id (NXAST_CONTROLLER).

    :ivar reason: what the packet-in says.
    """

    max_len: int = 0xFFFF
    controller_id: int = 0
    reason: int = PacketInReason.ACTION


@attrs.frozen
class DecTtlCntIds(Action):
    """Like ``dec_ttl``, but it is these controllers that are told of a TTL that ran out."""

    controller_ids: tuple[int, ...]


@attrs.frozen
class Exit(Action):
    """Do none of the actions that follow, nor those of the rules which resubmitted to this one."""


@attrs.frozen
class FinTimeout(Action):
    """Shorten the timeouts of the rule, in seconds, when a TCP connection ends; 0: not."""

    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0


@attrs.frozen
class StackPush(Action):
    """Push bits of a field on the stack."""

    src: Subfield


@attrs.frozen
class StackPop(Action):
    """Pop bits from the stack into a field."""

    dst: Subfield


@attrs.frozen
class WriteMetadataAction(Action):
    """``write_metadata`` as 1.0 has it, which has no instructions.

    At the end of the actions of a rule the codec makes the instruction of it.
    """

    metadata: int
    mask: int


class LearnFlags(enum.IntFlag):
    """``NX_LEARN_F_*``."""

    SEND_FLOW_REM = 1
    DELETE_LEARNED = 2


class LearnTo(enum.IntEnum):
    """``NX_LEARN_DST_*``: what becomes of the bits."""

    MATCH = 0
    LOAD = 1
    OUTPUT = 2


@attrs.frozen
class LearnSpec:
    """``flow_mod_spec``: one piece of a rule to be learnt.

    :ivar to: whether the bits are matched, loaded into a field, or are a port to output to.
    :ivar src: where the bits are taken from when the packet comes, or what they are.
    :ivar dst: the field, with as many bits; None for an output.
    """

    to: LearnTo
    src: Subfield | int
    dst: Subfield | None = None

    @property
    def n_bits(self) -> int:
        """How many bits it is about."""
        if isinstance(self.src, Subfield):
            return self.src.n_bits
        return self.dst.n_bits if self.dst is not None else 0


LearnSpecs: TypeAlias = tuple[LearnSpec, ...]


@attrs.frozen
class Learn(Action):
    """Add a rule made after this packet, or modify the one that there is.

    :ivar flags: :class:`LearnFlags`.
    :ivar fin_idle_timeout: with ``fin_hard_timeout``, of a :class:`FinTimeout` of the new rule.
    """

    table_id: int
    specs: LearnSpecs
    priority: int = 0x8000
    idle_timeout: int = 0
    hard_timeout: int = 0
    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0
    cookie: int = 0
    flags: int = 0
