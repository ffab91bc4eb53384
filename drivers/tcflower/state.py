"""A packet on its way through the actions of a rule, as far as one knows it.

There is no packet yet: :class:`State` stands for all packets that a rule takes.  Of some bits of
their flow key the value is known, from the match or because it was written; others are as they
were when the packet came to the rule, so that it can be asked for (:mod:`drivers.tcflower.facts`);
and of the rest nobody knows anything any more, because a header went.
"""

from __future__ import annotations

import attrs

from agent.openflow import fields as f
from agent.openflow.errors import UNSUPPORTED_ORDER, OpenFlowError
from agent.openflow.fields import Field
from agent.packet.packet import PIPELINE
from drivers.tcflower.edits import Edit, Form
from drivers.tcflower.facts import Facts, ToSoftware

_LINK = f.IN_PORT.mask | f.ETH_DST.mask | f.ETH_SRC.mask | f.VLAN_TCI.mask | PIPELINE
"""The bits of a flow key that are not behind the EtherType."""
_BEHIND = ~_LINK


@attrs.frozen
class _Saved:
    """What is known of a part of the packet that something was pushed in front of."""

    mask: int
    value: int
    original: int
    tpid: int | None


@attrs.define
class State:
    """See the module.

    :ivar facts: what was known when the packet came to the rule.
    :ivar form: what was done to it since.
    :ivar mask: the bits of its flow key that are known; ``value`` is what they are.
    :ivar original: the bits that are as they were when it came.
    :ivar tpid: of the outer tag, where that was pushed; None: as the packet came.
    :ivar popped: whether the tag that it came with is gone.
    """

    facts: Facts
    form: Form = ()
    mask: int = 0
    value: int = 0
    original: int = -1
    tpid: int | None = None
    popped: bool = False
    _tags: tuple[_Saved, ...] = ()
    _shims: tuple[_Saved, ...] = ()

    @classmethod
    def begin(cls, facts: Facts) -> State:
        """A packet that comes to a rule."""
        return cls(facts, mask=facts.match.mask, value=facts.match.value)

    def fork(self) -> State:
        """A state of its own for a copy of the packet."""
        return attrs.evolve(self)

    def edit(self, *edits: Edit) -> None:
        """Something was done to the packet."""
        self.form += edits

    # What is known.

    def known(self, field: Field) -> int | None:
        """The value of a field, or None."""
        if field.mask & ~self.mask:
            return None
        return field.get(self.value)

    def is_(self, field: Field, value: int, mask: int | None = None) -> bool:
        """Whether the bits ``mask`` of a field (None: all) are ``value``.

        :raises Split: when it depends on the packet.
        :raises OpenFlowError: BAD_ACTION/UNSUPPORTED_ORDER, when nobody can know any more.
        """
        care = field.limit if mask is None else mask
        there = field.get(self.mask) & care
        if (field.get(self.value) ^ value) & there:
            return False
        if there == care:
            return True
        if (care & ~there) & ~field.get(self.original):
            raise OpenFlowError(
                UNSUPPORTED_ORDER,
                f"tc flower cannot tell what {field.name} is after what was done before",
            )
        if there & ~field.get(self.original):
            # Some bits were written to what is asked for; only the others are in question.
            care &= ~there
        return self.facts.holds(field, value & care, care)

    def is_tpid(self, value: int) -> bool:
        """Whether the outer tag has this TPID; raises as :meth:`is_` does."""
        if self.tpid is not None:
            return self.tpid == value
        if self.popped:
            raise OpenFlowError(UNSUPPORTED_ORDER, "tc flower does not see the tag behind a tag")
        return self.facts.has_tpid(value)

    def learn(self, field: Field, value: int, mask: int | None = None) -> None:
        """Bits of a field were written."""
        care = (field.limit if mask is None else mask) << field.shift
        self.mask |= care
        self.value = self.value & ~care | (value << field.shift) & care
        self.original &= ~care

    def forget(self, bits: int) -> None:
        """Nobody knows these bits of the flow key any more."""
        self.mask &= ~bits
        self.value &= ~bits
        self.original &= ~bits

    def shallow(self) -> None:
        """Make sure that Linux finds the network header, which it looks for behind one tag.

        :raises Split: when it depends on the packet.
        :raises ToSoftware: when it would not.
        """
        if self.facts.is_deep():
            raise ToSoftware("what is behind two VLAN tags")

    # Headers that come and go.

    @property
    def tagged(self) -> bool:
        """Whether there is a tag; raises as :meth:`is_` does."""
        return not self.is_(f.VLAN_TCI, 0, f.VLAN_PRESENT)

    def pushed_tag(self, tpid: int, tci: int) -> None:
        """There is another tag in front."""
        self._tags += (self._save(f.VLAN_TCI.mask, self.tpid),)
        self.learn(f.VLAN_TCI, tci | f.VLAN_PRESENT)
        self.tpid = tpid

    def popped_tag(self) -> None:
        """The outer tag is gone."""
        if self._tags:
            saved, self._tags = self._tags[-1], self._tags[:-1]
            self._restore(f.VLAN_TCI.mask, saved)
            self.tpid = saved.tpid
        else:
            self.forget(f.VLAN_TCI.mask)
            self.tpid = None
            self.popped = True

    def pushed_shim(self, ethertype: int) -> None:
        """There is another shim in front of everything behind the tags."""
        self._shims += (self._save(_BEHIND, None),)
        self.forget(_BEHIND)
        self.learn(f.ETH_TYPE, ethertype)

    def popped_shim(self, ethertype: int) -> None:
        """The outer shim is gone, and ``ethertype`` is what it says there is."""
        if self._shims:
            saved, self._shims = self._shims[-1], self._shims[:-1]
            self._restore(_BEHIND, saved)
            if self.known(f.ETH_TYPE) == ethertype:
                return
        self.forget(_BEHIND)
        self.learn(f.ETH_TYPE, ethertype)

    def _save(self, bits: int, tpid: int | None) -> _Saved:
        return _Saved(self.mask & bits, self.value & bits, self.original & bits, tpid)

    def _restore(self, bits: int, saved: _Saved) -> None:
        self.mask = self.mask & ~bits | saved.mask
        self.value = self.value & ~bits | saved.value
        self.original = self.original & ~bits | saved.original
