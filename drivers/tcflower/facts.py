"""What is known of the packets that a rule takes, and what has been asked besides.

What an action does can depend on the packet: to push a tag is to copy the one that is there; an
output sends nothing back to where the packet came in.  Flower has no conditions among actions.
So wherever it matters and the match does not say, a rule's packets are told apart by more filters:
:meth:`Facts.holds` raises a :exc:`Split`, and whoever executes the rule does so once for packets of
which it is true and once for the others.  See :mod:`drivers.tcflower.tails`.
"""

from __future__ import annotations

from typing import Final

import attrs

from agent.openflow.fields import ETH_TYPE, VLAN_PRESENT, VLAN_TCI, Field
from agent.openflow.match import Match

Question = tuple[Field | None, int, int]
"""Whether the bits ``mask`` of a field are ``value``; of no field: whether the outer VLAN tag has
the TPID ``value``, or :data:`DEEP`."""
DEEP: Final[Question] = (None, 0, 0)
"""Whether there are two VLAN tags or more."""


class Split(Exception):
    """It depends on the packet.

    :ivar question: what has to be asked.
    """

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


class ToSoftware(Exception):
    """It is the software that has to execute the rule, on the packets in question.

    Its text says what for.
    """


@attrs.frozen
class Facts:
    """What is known of packets as they come to a rule.

    :ivar match: what the rule matches, and what was asked and is true.
    :ivar asked: of that, what was asked.
    :ivar tpid: the TPID of the outer tag, if that was asked and is true.
    :ivar deep: whether it was asked if there are two tags or more, and there are.
    :ivar denied: what was asked and is false.
    """

    match: Match
    asked: Match = attrs.Factory(Match)
    tpid: int | None = None
    deep: bool = False
    denied: frozenset[Question] = frozenset()

    def holds(self, field: Field, value: int, mask: int) -> bool:
        """Whether the bits ``mask`` of a field are ``value``.

        :raises Split: when that is not known.
        """
        known, care = self.match.get(field)
        if (known ^ value) & care & mask:
            return False
        if not mask & ~care:
            return True
        question = (field, value, mask)
        if question in self.denied:
            return False
        raise Split(question)

    def has_tpid(self, value: int) -> bool:
        """Whether the outer tag has this TPID.

        :raises Split: when that is not known.
        """
        if self.tpid is not None:
            return self.tpid == value
        if (None, value, 0xFFFF) in self.denied:
            return False
        raise Split((None, value, 0xFFFF))

    def is_deep(self) -> bool:
        """Whether there are two VLAN tags or more.

        :raises Split: when that is not known.
        """
        if self.deep:
            return True
        known, care = self.match.get(VLAN_TCI)
        if DEEP in self.denied or (care & VLAN_PRESENT and not known & VLAN_PRESENT):
            return False
        raise Split(DEEP)

    def true(self, question: Question) -> Facts:
        """The same, where the answer to a question is yes."""
        field, value, mask = question
        if question == DEEP:
            return attrs.evolve(self, deep=True)
        if field is None:
            return attrs.evolve(self, tpid=value)
        return attrs.evolve(
            self, match=_and(self.match, field, value, mask), asked=self._ask(field, value, mask)
        )

    def false(self, question: Question) -> Facts:
        """The same, where the answer to a question is no."""
        return attrs.evolve(self, denied=self.denied | {question})

    def _ask(self, field: Field, value: int, mask: int) -> Match:
        """What is compared to ask a question, with what has to be compared for it to make sense."""
        asked = _and(self.asked, field, value, mask)
        if field.eth_types:
            eth_type = self.match.value_of(ETH_TYPE)
            if eth_type is not None:
                asked = _and(asked, ETH_TYPE, eth_type, ETH_TYPE.limit)
        return asked


def _and(match: Match, field: Field, value: int, mask: int) -> Match:
    """A match, and the bits ``mask`` of a field besides."""
    care = mask << field.shift
    return Match(match.mask | care, match.value & ~care | (value & mask) << field.shift)
