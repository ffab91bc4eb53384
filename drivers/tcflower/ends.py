"""The tails of rules in a block (:mod:`drivers.tcflower.tails`): made before the first rule that
ends there, gone after the last.

A tail is nobody's alone, so it is a change of its own: when a rule is refused, what others end in
stays.  Requests are carried out in the order in which they are made, so a rule need not wait for
its tail before it is asked for; only whether it is there is known when both were answered.
"""

from __future__ import annotations

from functools import partial

from drivers.tcflower.changes import Block, Done, Refusal, Step
from drivers.tcflower.entries import tail_filters
from drivers.tcflower.filters import Filter, FilterFlags, Filters
from drivers.tcflower.left import Left
from drivers.tcflower.tails import Tail, Tails, filters_of


class Ends:
    """See the module."""

    def __init__(self, flags: FilterFlags) -> None:
        """Begin without any.

        :param flags: of all filters.
        """
        self._flags = flags
        self._tails = Tails()
        self._left = Left()
        self._coming: dict[int, list[Done]] = {}
        self._refused: dict[int, Refusal] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def adopt(self, left: Left) -> None:
        """There are tails of an earlier run; the chains they have are nobody else's."""
        self._left = left
        self._tails.begin(left.last_chain + 1)

    def hold(self, tail: Tail, block: Block, cookie: bytes, done: Done) -> int:
        """Another rule ends in a tail, which is asked for if it is not there.

        :param done: is told, at once or later, whether it is.
        :returns: the chain that the rule's filters go to.
        """
        there = None
        if self._left and tail not in self._tails:
            there = self._left.claim_chain(
                lambda chain: tail_filters(filters_of(tail, chain), self._flags, cookie)
            )
        chain, made = self._tails.hold(tail, there)
        if made:
            self._coming[chain] = [done]
            self._refused.pop(chain, None)
            adopt = None if there is None else _uncounted
            filters = tail_filters(made, self._flags, cookie)
            steps = [Step(one, adopt=adopt) for one in filters]
            block.change(steps, partial(self._answered, chain))
        elif chain in self._coming:
            self._coming[chain].append(done)
        else:
            done(self._refused.get(chain))
        return chain

    def _answered(self, chain: int, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._refused[chain] = refusal
        for done in self._coming.pop(chain):
            done(refusal)

    def let_go(self, tail: Tail, block: Block) -> None:
        """A rule ends there no more: its filters are gone.

        Where the kernel keeps one, the chain is not used again.
        """
        gone = self._tails.let_go(tail)
        left = len(gone)

        def answered(error: int, text: str) -> None:
            nonlocal left
            left -= not error
            if not left:
                self._tails.freed(gone[0].chain)

        for one in tail_filters(gone, self._flags, b""):
            block.remove(one.place, answered)

    def chain(self, tail: Tail) -> int:
        """Where a tail is.

        :raises KeyError: when no rule holds it.
        """
        return self._tails.chain(tail)

    def all(self, cookie: bytes) -> list[Filter]:
        """The filters of all tails that some rule holds."""
        return [one for tail in self._tails for one in self.filters(tail, cookie)]

    def filters(self, tail: Tail, cookie: bytes) -> Filters:
        """The filters of a tail that some rule holds."""
        return tail_filters(filters_of(tail, self._tails.chain(tail)), self._flags, cookie)


def _uncounted(packets: int, octets: int) -> None:
    """What a tail has counted matters to nobody."""
