"""Lists of actions and of instructions on the wire, whatever the version.

A controller writes the same few lists again and again.  :class:`ListCodec` therefore remembers what
bytes it has read, and gives the same immutable tuple for the same bytes; and it remembers, for the
tuples themselves, what bytes they make.  Rules with equal actions then share them, and comparing
them is comparing identities.  Lists which are not remembered yet, or too long to be, are read
element by element.

:class:`ActionCodec` reads and writes these elements by tables, one a version of the protocol:
:mod:`agent.openflow.actions10`, :mod:`agent.openflow.actions13`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs
from construct import Int16ub

from agent.openflow import fields
from agent.openflow.actions import Action, Actions
from agent.openflow.cache import Cache
from agent.openflow.errors import (
    ACTION_BAD_EXP_TYPE,
    ACTION_BAD_EXPERIMENTER,
    ACTION_BAD_LEN,
    ACTION_BAD_TYPE,
    BAD_OUT_PORT,
    TOO_MANY,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.fields import VLAN_PRESENT, VLAN_TCI
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import Port
from agent.openflow.wire import Fixed, TlvList

MAX_ACTIONS: Final = 2048
"""Actions in one list."""
MAX_REMEMBERED: Final = 4096
"""Lists that are remembered, in each direction."""
MAX_LENGTH: Final = 512
"""Bytes of the longest list that is remembered."""
EXPERIMENTER: Final = 0xFFFF
"""``OFPAT_VENDOR`` of 1.0, ``OFPAT_EXPERIMENTER`` since."""

ACTIONS: Final = TlvList(bad_len=ACTION_BAD_LEN, most=MAX_ACTIONS, too_many=TOO_MANY)
"""How actions follow each other: each a multiple of 8 bytes, its length the second number."""

_HEADER: Final = Fixed("type" / Int16ub, "len" / Int16ub)
_UNKNOWN: Final = (ACTION_BAD_TYPE, ACTION_BAD_EXPERIMENTER, ACTION_BAD_EXP_TYPE)

T = TypeVar("T")


class ListCodec(Generic[T]):
    """Remembers lists, read and written."""

    def __init__(
        self,
        read: Callable[[bytes, int, int], tuple[T, ...]],
        write: Callable[[tuple[T, ...], Match], tuple[bytes, bool]],
        bad_len: ErrorCode,
    ) -> None:
        """
        :param read: reads a list from ``data, offset, length``, bytes which are there.
        :param write: writes a list of a rule with this match; and says whether the match mattered.
        :param bad_len: error for bytes which are not there.
        """
        self._read = read
        self._write = write
        self._bad_len = bad_len
        self._by_bytes: Cache[bytes, tuple[T, ...]] = Cache(MAX_REMEMBERED)
        # By identity, which costs less than the hash of a list of attrs objects.  The entry holds
        # the list, so that no other can have its identity as long as the entry is there.
        self._by_list: Cache[int, tuple[tuple[T, ...], bytes]] = Cache(MAX_REMEMBERED)

    @property
    def remembered(self) -> int:
        """How many lists are remembered: at most ``MAX_REMEMBERED`` in each direction."""
        return len(self._by_bytes) + len(self._by_list)

    def decode(self, data: bytes, offset: int, length: int) -> tuple[T, ...]:
        """The list in the ``length`` bytes from ``offset``; the same object for the same bytes."""
        wire = data[offset : offset + length]
        if len(wire) != length:
            raise OpenFlowError(self._bad_len, f"list of {length} bytes is cut short")
        found = self._by_bytes.get(wire)
        if found is None:
            found = self._read(data, offset, length)
            if length <= MAX_LENGTH:
                self._by_bytes.put(wire, found)
        return found

    def encode(self, items: tuple[T, ...], match: Match = MATCH_ALL) -> bytes:
        """The bytes of a list.

        :param match: of the rule which has this list; some actions are written differently where
            it is known that there is a VLAN tag, or which transport protocol.
        """
        found = self._by_list.get(id(items))
        if found is not None:
            return found[1]
        return self.encode_and_tell(items, match)[0]

    def encode_and_tell(self, items: tuple[T, ...], match: Match) -> tuple[bytes, bool]:
        """Like :meth:`encode`, and whether the match mattered: then it is not remembered."""
        found = self._by_list.get(id(items))
        if found is not None:
            return found[1], False
        data, special = self._write(items, match)
        if not special and len(data) <= MAX_LENGTH:
            self._by_list.put(id(items), (items, data))
        return data, special


@attrs.define
class Flow:
    """What is known of the packets when an action is written.

    :ivar has_vlan: whether they surely have a VLAN tag.
    :ivar ip_proto: the protocol they surely have, or None.
    :ivar asked: whether an action wanted to know.
    """

    has_vlan: bool = False
    ip_proto: int | None = None
    asked: bool = False

    @classmethod
    def of(cls, match: Match) -> Flow:
        """What a match says of the packets."""
        present = bool(match.value & VLAN_PRESENT << VLAN_TCI.shift)
        return cls(present, match.value_of(fields.IP_PROTO))


Decoder: TypeAlias = Callable[[bytes, int, int], Action]
"""Makes an action from ``data, offset, length``; the bytes are there, type and length known."""
Encoder: TypeAlias = Callable[[Any, Flow], bytes]
"""Makes the bytes of an action of its class; none when this version cannot express it."""

EXPERIMENTERS: Final[dict[int, Decoder]] = {}
"""What reads the actions of an experimenter, by the experimenter's number; all versions alike."""
EXPERIMENTER_ENCODERS: Final[dict[type[Action], Encoder]] = {}
"""What writes actions for which a version has none of its own; all versions alike."""


@attrs.frozen
class Kind:
    """One type of action on the wire.

    :ivar layout: header and all.
    :ivar make: makes the action from the values behind type and length.
    """

    layout: Fixed
    make: Callable[..., Action]

    def decode(self, data: bytes, offset: int, length: int) -> Action:
        """Make the action at ``offset``.

        :raises OpenFlowError: ACTION_BAD_LEN when it has not exactly the length of its type.
        """
        if length != self.layout.size:
            raise OpenFlowError(ACTION_BAD_LEN, f"{length} bytes, not {self.layout.size}")
        return self.make(*self.layout.unpack_from(data, offset)[2:])


class ActionCodec(ListCodec[Action]):
    """The actions of one version of the protocol."""

    def __init__(
        self, decoders: Mapping[int, Decoder], encoders: Mapping[type[Action], Encoder]
    ) -> None:
        super().__init__(self.read, self.write, ACTION_BAD_LEN)
        self._decoders = decoders
        self._encoders = encoders

    def read(self, data: bytes, offset: int, length: int) -> Actions:
        """Read a list action by action.

        :raises OpenFlowError: any of BAD_ACTION.
        """
        try:
            elements = ACTIONS.split(data, offset, length)
        except OpenFlowError:
            self._blame(data, offset, offset + length)
            raise
        return tuple([self._action(kind, data, at, size) for kind, at, size in elements])

    def _blame(self, data: bytes, offset: int, end: int) -> None:
        """Of a list with a length that is wrong, tell what is wrong before that.

        An action that nobody knows is refused as such, whatever its length is.
        """
        while (left := min(end, len(data)) - offset) >= 8:
            kind, length = _HEADER.unpack_from(data, offset)
            fits = 8 <= length <= left and length % 8 == 0
            try:
                self._action(kind, data, offset, length if fits else left & ~7)
            except OpenFlowError as error:
                if fits or error.code in _UNKNOWN:
                    raise error from None
            if not fits:
                return
            offset += length

    def _action(self, kind: int, data: bytes, offset: int, length: int) -> Action:
        decode = self._decoders.get(kind)
        if decode is None and kind == EXPERIMENTER:
            experimenter = int.from_bytes(data[offset + 4 : offset + 8], "big")
            decode = EXPERIMENTERS.get(experimenter)
            if decode is None:
                raise OpenFlowError(ACTION_BAD_EXPERIMENTER, f"experimenter {experimenter:#x}")
        if decode is None:
            raise OpenFlowError(ACTION_BAD_TYPE, f"action of type {kind}")
        return decode(data, offset, length)

    def write(self, actions: Iterable[Action], match: Match) -> tuple[bytes, bool]:
        """Write a list action by action; and say whether the match mattered."""
        flow = Flow.of(match)
        data = b""
        for action in actions:
            encode = self._encoders.get(type(action)) or EXPERIMENTER_ENCODERS.get(type(action))
            if encode is not None:
                data += encode(action, flow)
        return data, flow.asked


_OUTPUTS = frozenset(Port) - {Port.MAX, Port.ANY}


def check_output(port: int) -> int:
    """A port that packets can be sent to.

    :raises OpenFlowError: BAD_OUT_PORT for 0, ANY and what is neither a port nor reserved.
    """
    if not 0 < port < Port.MAX and port not in _OUTPUTS:
        raise OpenFlowError(BAD_OUT_PORT, f"port {port:#x}")
    return port
