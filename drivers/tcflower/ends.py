"""The tails of rules in a block (:mod:`drivers.tcflower.tails`): made before the first rule that
ends there, gone after the last.

A tail is nobody's alone, so it is a change of its own: when a rule is refused, what others end in
stays.  Requests are carried out in the order in which they are made, so a rule need not wait for
its tail before it is asked for; only whether it is there is known when both were answered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from drivers.interfaces import Counters
from drivers.tcflower.changes import Block, Done, Refusal, Step
from drivers.tcflower.credits import Accounts
from drivers.tcflower.dump import Reading
from drivers.tcflower.entries import Entries, Slot, tail_filters
from drivers.tcflower.filters import Filter, FilterFlags, Filters
from drivers.tcflower.left import Left
from drivers.tcflower.places import FREE_CHAINS
from drivers.tcflower.tails import Tail, Tails, credits_of, filters_of


class Ends:
    """See the module."""

    def __init__(
        self,
        flags: FilterFlags,
        entries: Entries,
        now: Callable[[], float],
        accounts: Accounts,
    ) -> None:
        """Begin without any.

        :param flags: of all filters.
        :param entries: know those that count for groups.
        :param now: the agent's clock.
        :param accounts: take what they count.
        """
        self._flags = flags
        self._entries = entries
        self._now = now
        self._accounts = accounts
        self._slots: dict[tuple[int, int, int], Slot] = {}
        self._tails = Tails()
        self._left = Left()
        self._coming: dict[int, list[Done]] = {}
        self._refused: dict[int, Refusal] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def uses(self, chain: int) -> bool:
        """Whether there should be filters in a chain, if it is one of tails."""
        return chain < FREE_CHAINS or self._tails.uses(chain)

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
            filters = tail_filters(made, self._flags, cookie)
            slots = [
                Slot.of(one, Counters(), credited, self._accounts)
                for one, credited in zip(filters, credits_of(tail), strict=True)
            ]
            steps = [
                Step(slot.filter, adopt=None if there is None else slot.begin) for slot in slots
            ]
            counting = {slot.key: slot for slot in slots if slot.credits}
            self._slots.update(counting)
            self._entries.put_tail(counting.values())
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
            slot = self._slots.pop(one.place, None)
            read = None
            if slot is not None:
                self._entries.remove_tail([slot])
                read = partial(self._read, slot)
            block.remove(one.place, answered, read)

    def _read(self, slot: Slot, reading: Reading) -> None:
        slot.read(reading, self._now())

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
