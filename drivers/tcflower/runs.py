"""Messages of a dump that are alike, looked at all at once.

The kernel answers a dump by datagrams with a hundred messages each.  Messages about filters of one
kind are equally long and differ in few words, so a datagram is mostly one :class:`Run`, and what
all its messages say in one place is a column: a slice of the datagram with a step, which Python
takes apart and compares without looking at each message.

Performance-critical: this is done for each filter of each dump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from drivers.tcflower.pack import HEADER

WORD: Final = 4
"""Bytes: netlink aligns everything to this."""


@attrs.define(eq=False)
class Run:
    """Messages one after another, of one length, type and sequence number.

    :ivar data: the datagram that they are in.
    :ivar words: the same as words in the order of this host.
    :ivar at: where the first begins.
    :ivar length: of each, as it says itself.
    :ivar count: how many there are.
    """

    data: bytes
    words: memoryview[int]
    at: int
    length: int
    count: int

    @property
    def step(self) -> int:
        """Bytes from one message to the next."""
        return self.length + WORD - 1 & -WORD

    def places(self) -> range:
        """Where each of them begins."""
        return range(self.at, self.at + self.count * self.step, self.step)

    def after(self, count: int) -> Run:
        """What is left without the first of them."""
        at = self.at + count * self.step
        return Run(self.data, self.words, at, self.length, self.count - count)

    def column(self, offset: int, count: int) -> list[int]:
        """The word at this offset, in bytes, of each of the first messages."""
        step = self.step // WORD
        first = (self.at + offset) // WORD
        return self.words[first : first + count * step : step].tolist()


def each(take: Callable[[bytes, int, int], object]) -> Callable[[Run], None]:
    """What takes the messages of runs one by one.

    :param take: takes the datagram, where the message begins, and its length.
    """

    def take_all(run: Run) -> None:
        for at in run.places():
            take(run.data, at, run.length)

    return take_all


def alike(words: memoryview[int], first: int, step: int, count: int) -> int:
    """How many words, of ``count`` with this distance, are as the first is."""
    last = first + (count - 1) * step
    if words[first:last:step] == words[first + step : last + step : step]:
        return count
    values = words[first : last + step : step].tolist()
    return next(place for place, value in enumerate(values) if value != values[0])


def runs(data: bytes) -> Iterator[tuple[int, int, int, Run]]:
    """Of each run in a datagram: the type, the flags and the sequence number; and the run."""
    words = memoryview(data)[: len(data) & -WORD].cast("I")
    at = 0
    size = len(words)
    while at + HEADER.size // WORD <= size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at * WORD)
        if not HEADER.size <= length <= (size - at) * WORD:
            return
        step = (length + WORD - 1) // WORD
        count = (size - at) // step
        if count > 1 and words[at + step] != length:
            count = 1
        if count > 1:
            # Only where the length is the same a message begins where it is looked for.
            for word in range(HEADER.size // WORD - 1):
                count = alike(words, at + word, step, count)
        yield kind, flags, sequence, Run(data, words, at * WORD, length, count)
        at += step * count
