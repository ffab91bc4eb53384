"""What a rule was translated to, brought into the kernel: in the place of what is there, all of it
or nothing.

Nothing is known here of operations and their errors, which is the business of
:mod:`drivers.tcflower.rules`: what is asked for was done when ``done`` is called with None, and
otherwise everything is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from drivers.interfaces import IRule
from drivers.tcflower.changes import Block, Done, Refusal, Step
from drivers.tcflower.credits import Accounts
from drivers.tcflower.dump import Reading
from drivers.tcflower.ends import Ends
from drivers.tcflower.entries import Entries, Entry, Handles, Slot, counters_of, placed
from drivers.tcflower.filters import FilterFlags
from drivers.tcflower.found import RULE_BITS
from drivers.tcflower.left import Left
from drivers.tcflower.netlink import LOST
from drivers.tcflower.template import Template
from drivers.tcflower.translate import Translation

_RULE: Final = (1 << RULE_BITS) - 1


class Installer:
    """See the module.

    :ivar entries: what is in the block for rules.
    :ivar ends: and the tails in which they end.
    :ivar left: what is there of an earlier run, and not claimed.
    """

    def __init__(
        self, block: Block, flags: FilterFlags, now: Callable[[], float], accounts: Accounts
    ) -> None:
        """Begin with nothing in the block.

        :param flags: of all filters.
        :param now: the agent's clock.
        :param accounts: take what filters count for groups.
        """
        self.entries = Entries()
        self.ends = Ends(flags, self.entries, now, accounts)
        self._accounts = accounts
        self.left = Left()
        self._block = block
        self._flags = flags
        self._where = int(flags | FilterFlags.NOT_IN_HW)
        self._now = now
        self._handles = Handles()

    def install(self, rule: IRule, wanted: Translation, old: Entry | None, done: Done) -> None:
        """Have a rule's filters in the place of those that it has.

        :param old: with these; None: it has none.
        """
        before = () if old is None else old.slots
        answers: dict[str, Refusal | None] = {}
        entry = Entry(rule, (), wanted)
        steps: list[Step] = []

        def answered(about: str, refusal: Refusal | None) -> None:
            """The tail is there or not, or the rule's filters; whichever is known first."""
            answers[about] = refusal
            if len(answers) < 2:
                return
            refusals = [answer for answer in answers.values() if answer is not None]
            if not refusals:
                self.entries.replace(old, entry)
                self._end_tail(old)
                done(None)
                return
            told = max(refusals, key=lambda answer: answer.broken)
            if answers["filters"] is None:
                # There is no tail for what was changed: change it back.
                back = [Step(step.old, step.new) for step in reversed(steps)]
                self._block.change(back, partial(undone, told))
            else:
                failed(told)

        def undone(told: Refusal, problem: Refusal | None) -> None:
            failed(told if problem is None else attrs.evolve(told, broken=True))

        def failed(refusal: Refusal) -> None:
            self._end_tail(entry)
            done(refusal)

        chain = 0
        if wanted.tail:
            common = self._block.cookie(0)
            chain = self.ends.hold(wanted.tail, self._block, common, partial(answered, "tail"))
        else:
            answers["tail"] = None
        cookie = self._block.cookie(rule.handle)
        filters = wanted.filters(chain)
        counters = counters_of(rule, wanted)
        pairs, gone = placed(filters, before, self._handles, self._flags, cookie, counters)
        entry.slots = tuple(
            self._claimed(slot) if former is None else slot for slot, former in pairs
        )
        for slot in entry.slots if wanted.credits else ():
            slot.credits, slot.accounts = wanted.credits, self._accounts
        for slot, (placed_slot, former) in zip(entry.slots, pairs, strict=True):
            if slot is not placed_slot:
                steps.append(Step(slot.filter, adopt=slot.begin))
                continue
            read = None if former is None else self._reads(former)
            steps.append(Step(slot.filter, former.filter if former is not None else None, read))
        if old is not None:
            steps += [Step(None, slot.filter, self._reads(slot)) for slot in gone]
        self._block.change(steps, partial(answered, "filters"))

    def install_alike(
        self, rule: IRule, template: Template, wanted: Translation, done: Done
    ) -> None:
        """Have the one filter of a rule that is new, as a template makes it.

        :param wanted: of the rule that the template was made of.
        """
        handle = self._handles()
        cookie = template.mark + (rule.handle & _RULE).to_bytes(6, "big")
        match = rule.match
        slot = Slot(
            (*template.place, handle),
            partial(template.filter, handle, cookie, match),
            template.uncounted,
            counters_of(rule, wanted),
            flags=self._where,
        )
        entry = Entry(rule, (slot,), wanted)
        pipeline = self._block.pipeline
        sequence = pipeline.sequence()
        request = template.pack(sequence, handle, cookie, match.value)
        pipeline.push(sequence, request, partial(self._answered_alike, entry, done))

    def _answered_alike(self, entry: Entry, done: Done, error: int, text: str) -> None:
        if not error:
            self.entries.put(entry)
            done(None)
        elif error == LOST:
            self._block.change(
                [Step(entry.slots[0].filter)],
                lambda refusal: self._installed_alike(entry, done, refusal),
            )
        else:
            done(Refusal(error, text))

    def _installed_alike(self, entry: Entry, done: Done, refusal: Refusal | None) -> None:
        """The kernel was asked once more."""
        if refusal is None:
            self.entries.put(entry)
        done(refusal)

    def remove(self, entry: Entry, done: Done) -> None:
        """Take a rule's filters away, with what they have counted in the end."""
        slots = entry.slots
        if len(slots) == 1:
            # The filter itself is not needed, which would have to be made.
            (slot,) = slots
            answered = partial(self._answered_one, entry, done)
            self._block.remove_once(slot.key, answered, self._reads(slot))
        else:
            self._remove_all(entry, done)

    def _answered_one(self, entry: Entry, done: Done, error: int, text: str) -> None:
        if error:
            # It is asked for again, whatever it was: the answer will be the same, or the right one.
            self._remove_all(entry, done)
        else:
            self._removed(entry, done, None)

    def _remove_all(self, entry: Entry, done: Done) -> None:
        steps = [Step(None, slot.filter, self._reads(slot)) for slot in entry.slots]
        self._block.change(steps, partial(self._removed, entry, done))

    def _removed(self, entry: Entry, done: Done, refusal: Refusal | None) -> None:
        if refusal is None:
            self.entries.remove(entry)
            self._end_tail(entry)
        done(refusal)

    def adopt(self, left: Left) -> None:
        """There is something of an earlier run."""
        self.left = left
        self._handles.last = left.last_handle
        self.ends.adopt(left)

    def _claimed(self, slot: Slot) -> Slot:
        """A filter as it is, or under the handle of the one that is there."""
        handle = self.left.claim(slot.filter)
        if not handle:
            return slot
        return Slot.of(attrs.evolve(slot.filter, handle=handle), slot.counters)

    def _end_tail(self, entry: Entry | None) -> None:
        """A rule does not end in its tail any more."""
        if entry is not None and entry.translation.tail:
            self.ends.let_go(entry.translation.tail, self._block)

    def _reads(self, slot: Slot) -> Callable[[Reading], None]:
        """What takes the last counters of a filter."""
        return lambda reading: slot.read(reading, self._now())
