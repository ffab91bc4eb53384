"""What is done to a packet, as a list of edits, each with its opposite.

Linux executes the actions of a filter on one packet: a copy that is sent somewhere looks as the
packet did when it was sent, and what was changed stays changed.  In OpenFlow each bucket of a group
has a copy of its own.  So every change is an :class:`Edit` that knows how it is undone, if it can
be; :func:`script` sends one packet out in one form after the other by undoing what the next form
does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs

from agent.openflow.errors import TOO_MANY, UNSUPPORTED_ORDER, OpenFlowError
from agent.packet.protocols import MPLS_HEADER_LEN, VLAN_HEADER_LEN
from drivers.tcflower.actions import (
    MAX_ACTIONS,
    SHOT,
    Csum,
    CsumFlags,
    Gact,
    Mirred,
    Mpls,
    MplsOp,
    Pedit,
    PeditHeader,
    PeditKey,
    TcAction,
    Vlan,
    VlanOp,
    goto_chain,
)

NO_CSUM = CsumFlags(0)


@attrs.frozen
class Edit:
    """One change of a packet.

    :ivar do: the words that are written, or another action.
    :ivar undo: the same for what takes it back; None: that is not possible.
    :ivar csum: which checksums words are part of.
    """

    do: TcAction | tuple[PeditKey, ...]
    undo: TcAction | tuple[PeditKey, ...] | None = None
    csum: CsumFlags = NO_CSUM


_LONGER: Final[dict[tuple[type, int], int]] = {
    (Vlan, VlanOp.PUSH): VLAN_HEADER_LEN,
    (Vlan, VlanOp.POP): -VLAN_HEADER_LEN,
    (Mpls, MplsOp.PUSH): MPLS_HEADER_LEN,
    (Mpls, MplsOp.POP): -MPLS_HEADER_LEN,
}
"""By how many bytes operations on tags make a packet longer."""


Form: TypeAlias = tuple[Edit, ...]
"""What a packet looks like: what was done to it since it came to the rule."""

Send: TypeAlias = tuple[Form, int]
"""A copy of a packet that leaves in this form by the device of that number."""


def growth(form: Form) -> int:
    """By how many bytes a packet of this form is longer than it was."""
    changes = (edit.do for edit in form)
    return sum(_LONGER.get((type(do), do.op), 0) for do in changes if isinstance(do, Vlan | Mpls))


def words(
    header: PeditHeader, start: int, bits: int, value: int, mask: int
) -> tuple[PeditKey, ...]:
    """The words of a header that make bits of a field what they shall be.

    :param start: the first bit of the field, counted from the header's first.
    :param bits: how many the field has; ``value`` and ``mask`` are numbers of that width.
    """
    end = start + bits
    first, last = start // 32, (end + 31) // 32
    shift = last * 32 - end
    value, mask = (value & mask) << shift, mask << shift
    keys = []
    for place in range(first, last):
        down = (last - 1 - place) * 32
        care = mask >> down & 0xFFFFFFFF
        if care:
            keys.append(PeditKey(header, place * 4, value >> down & 0xFFFFFFFF, care))
    return tuple(keys)


class Script:
    """The actions of a filter in the making."""

    def __init__(self) -> None:
        self.actions: list[TcAction] = []
        self._form: Form = ()
        self._keys: list[PeditKey] = []
        self._csum = NO_CSUM

    def become(self, form: Form) -> None:
        """Give the packet another form.

        :raises OpenFlowError: BAD_ACTION/UNSUPPORTED_ORDER when something cannot be undone.
        """
        common = 0
        for mine, wanted in zip(self._form, form, strict=False):
            if mine != wanted:
                break
            common += 1
        for edit in reversed(self._form[common:]):
            if edit.undo is None:
                raise OpenFlowError(
                    UNSUPPORTED_ORDER,
                    "tc flower has no copies of packets: a change cannot be undone for what is "
                    "sent after it",
                )
            self._do(edit.undo, edit.csum)
        for edit in form[common:]:
            self._do(edit.do, edit.csum)
        self._form = form

    def _do(self, what: TcAction | tuple[PeditKey, ...], csum: CsumFlags) -> None:
        if isinstance(what, tuple):
            self._keys += what
            self._csum |= csum
        else:
            self.add(what)

    def add(self, action: TcAction) -> None:
        """Another action."""
        self._flush()
        self.actions.append(action)

    def _flush(self) -> None:
        """Write the words that are outstanding, all at once."""
        if self._keys:
            self.actions.append(Pedit(_joined(self._keys)))
            if self._csum:
                self.actions.append(Csum(self._csum))
            self._keys = []
            self._csum = NO_CSUM


def _joined(keys: list[PeditKey]) -> tuple[PeditKey, ...]:
    """Keys for the same word as one, where nothing is added to it."""
    if any(key.add for key in keys):
        return tuple(keys)
    joined: dict[tuple[PeditHeader, int], PeditKey] = {}
    for key in keys:
        place = (key.header, key.offset)
        before = joined.get(place)
        if before is not None:
            value = before.value & ~key.mask | key.value & key.mask
            key = attrs.evolve(key, value=value, mask=before.mask | key.mask)
        joined[place] = key
    return tuple(joined.values())


def script(
    before: Sequence[TcAction], sends: Sequence[Send], end: Form, chain: int | None
) -> tuple[TcAction, ...]:
    """The actions of a filter.

    :param before: what comes first of all.
    :param sends: what is sent, in order.
    :param end: the form in which the packet goes on in ``chain``; None: it ends here.
    :raises OpenFlowError: BAD_ACTION/UNSUPPORTED_ORDER; or TOO_MANY.
    """
    made = Script()
    made.actions += before
    for place, (form, ifindex) in enumerate(sends, 1):
        made.become(form)
        made.add(Mirred(ifindex, mirror=chain is not None or place < len(sends)))
    if chain is not None:
        made.become(end)
        made.add(Gact(goto_chain(chain)))
    elif not sends:
        made.add(Gact(SHOT))
    if len(made.actions) > MAX_ACTIONS:
        raise OpenFlowError(
            TOO_MANY, f"tc does {MAX_ACTIONS} actions a filter, not {len(made.actions)}"
        )
    return tuple(made.actions)
