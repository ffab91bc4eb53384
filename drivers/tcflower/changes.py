"""Changes of what is in a block, each all or nothing.

A change is some filters that shall be there, some of them in the place of others, and some that
shall go.  All its requests are on their way at once; when all of them were answered and one was
refused, those that were carried out are taken back, and then whoever wanted the change is told why.

A request whose acknowledgement was lost is made again: to install a filter under its handle, and to
remove it, comes to the same the second time, and the second answer says what the first would have.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
from twisted.logger import Logger

from drivers.interfaces import IOperation
from drivers.tcflower import found, pack
from drivers.tcflower.dump import Reader, Reading
from drivers.tcflower.filters import Filter
from drivers.tcflower.netlink import LOST, explain
from drivers.tcflower.pipeline import Answer, Hear, Pipeline

ATTEMPTS: Final = 12
"""How often a request is made whose acknowledgements are lost."""
ADDING: Final = pack.NLM_F_CREATE
REMOVING: Final = pack.NLM_F_ECHO


@attrs.frozen
class Step:
    """One filter of a change.

    :ivar new: the filter as it shall be; None: it shall go.
    :ivar old: the filter as it is, with the same handle; None: there is none.
    :ivar read: takes what the old one has counted, before it is changed or gone.
    :ivar adopt: there is a filter with the handle of the new one, which stays if it is the same;
        takes the packets and bytes that it has counted then.
    """

    new: Filter | None
    old: Filter | None = None
    read: Callable[[Reading], None] | None = None
    adopt: Callable[[int, int], None] | None = None


Done = Callable[["Refusal | None"], None]
End = Callable[[IOperation, Exception | None], None]
"""Completes an operation, with an error or without."""


@attrs.frozen
class Refusal:
    """Why a change was not made.

    :ivar error: the kernel's error number.
    :ivar text: what it said to it.
    :ivar broken: whether it could not be taken back, either.
    """

    error: int
    text: str
    broken: bool = False

    @property
    def lacking(self) -> bool:
        """Whether the kernel has not what it takes: the module of an action, or an operation."""
        return self.error in (errno.ENOENT, errno.EOPNOTSUPP) and not self.broken

    def __str__(self) -> str:
        """One line."""
        return explain(self.error, self.text)


class Block:
    """A shared block, as what changes are made to.

    :ivar number: its number.
    :ivar pipeline: on which requests about it are made.
    :ivar bridge: whose it is, for logs.
    :ivar doubt: called when the kernel may have what it should not, or not what it should.
    """

    _log = Logger()

    def __init__(self, number: int, pipeline: Pipeline, bridge: str = "") -> None:
        self.number = number
        self.bridge = bridge
        self.pipeline = pipeline
        self.doubt: Callable[[], object] = lambda: None
        self._reader = Reader()

    def expect(self, error: int, text: str) -> None:
        """The answer to a request that should not fail: what was asked for is no rule's alone."""
        if error:
            self._log.error(
                "{bridge}: tc flower: {why}", bridge=self.bridge, why=explain(error, text)
            )
            self.doubt()

    def cookie(self, handle: int) -> bytes:
        """The cookie of a rule's filters: whose they are, and which rule's; 0: no rule's."""
        return found.cookie_of(self.number, handle)

    def ask_all(self, sequence: int, terse: bool = False) -> bytes:
        """The request for a dump of all its filters; see :func:`.pack.dump_filters`."""
        return pack.dump_filters(self.number, sequence, terse)

    def change(self, steps: Sequence[Step], done: Done) -> None:
        """Make a change; ``done`` is called once, later or, if there is nothing to do, at once."""
        if not steps:
            done(None)
            return
        _Change(self, steps, done)

    def request(
        self,
        make: Callable[[int], bytes],
        answer: Answer,
        read: Callable[[Reading], None] | None = None,
    ) -> None:
        """Make a request about a filter; see :meth:`ask`."""
        self.ask(make, answer, partial(self._hear, read) if read else None)

    def _hear(self, read: Callable[[Reading], None], data: bytes, at: int, length: int) -> None:
        reading = self._reader.read(data, at, length)
        if reading is not None:
            read(reading)

    def ask(
        self,
        make: Callable[[int], bytes],
        answer: Answer,
        hear: Hear | None = None,
        attempt: int = 1,
    ) -> None:
        """Make a request, again if its acknowledgement is lost.

        :param make: makes it with a sequence number.
        """

        def answered(error: int, text: str) -> None:
            if error == LOST and attempt < ATTEMPTS:
                self.ask(make, answer, hear, attempt + 1)
            else:
                answer(error, text)

        sequence = self.pipeline.sequence()
        self.pipeline.push(sequence, make(sequence), answered, hear)

    def install(self, wanted: Filter, answer: Callable[[int, str], None]) -> None:
        """Put a filter there, in the place of the one with its handle if there is one."""
        number = self.number
        self.request(lambda n: pack.new_filter(wanted, number, ADDING, n), answer)

    def install_once(self, wanted: Filter, answer: Callable[[int, str], None]) -> None:
        """Likewise, but :data:`LOST` is told: what follows may have to do with the same filter."""
        number = self.number
        self.ask(lambda n: pack.new_filter(wanted, number, ADDING, n), answer, attempt=ATTEMPTS)

    def adopt(
        self,
        wanted: Filter,
        count: Callable[[int, int], None],
        answer: Callable[[int, str], None],
    ) -> None:
        """Have a filter that is there already, or, if it is another, put it in its place.

        :param count: takes the packets and bytes that it has counted, if it stays.
        """
        should = found.of(wanted)
        same = False

        def hear(data: bytes, at: int, length: int) -> None:
            nonlocal same
            there = found.read(data, at, length)
            if there is not None and not found.difference(should, there):
                same = True
                count(there.packets, there.octets)

        def answered(error: int, text: str) -> None:
            if same and not error:
                answer(0, "")
            else:
                self.install(wanted, answer)

        sequence = self.pipeline.sequence()
        request = pack.get_filter(wanted.place, self.number, 0, sequence)
        self.pipeline.push(sequence, request, answered, hear)

    def remove(
        self,
        place: tuple[int, int, int],
        answer: Callable[[int, str], None],
        read: Callable[[Reading], None] | None = None,
    ) -> None:
        """Take a filter away; ``read`` is given what it has counted in the end."""

        def answered(error: int, text: str) -> None:
            if error not in (0, errno.ENOENT):
                self.doubt()
            # It is gone already; with its block, if the block is.
            answer(0 if error in (errno.ENOENT, errno.EINVAL) else error, text)

        number = self.number
        self.request(lambda n: pack.delete_filter(place, number, REMOVING, n), answered, read)

    def remove_once(
        self,
        place: tuple[int, int, int],
        answer: Callable[[int, str], None],
        read: Callable[[Reading], None],
    ) -> None:
        """Likewise, but whatever the answer is, or :data:`LOST`, is told."""
        sequence = self.pipeline.sequence()
        request = pack.delete_filter(place, self.number, REMOVING, sequence)
        self.pipeline.push(sequence, request, answer, partial(self._hear, read))

    def look(
        self,
        place: tuple[int, int, int],
        read: Callable[[Reading], None],
        answer: Callable[[int, str], None] = lambda error, text: None,
    ) -> None:
        """Read what a filter has counted, if it is there.

        :param place: its chain, pref and handle.
        """
        number = self.number
        self.request(lambda n: pack.get_filter(place, number, 0, n), answer, read)


class _Change:
    """A change on its way."""

    _log = Logger()

    def __init__(self, block: Block, steps: Sequence[Step], done: Done) -> None:
        self._block = block
        self._done = done
        self._left = len(steps)
        self._made: list[Step] = []
        self._refusal: Refusal | None = None
        for step in steps:
            self._begin(step)

    def _begin(self, step: Step) -> None:
        answer = partial(self._answered, step)
        if step.new is not None and step.adopt is not None:
            self._block.adopt(step.new, step.adopt, answer)
        elif step.new is not None:
            if step.old is not None and step.read is not None:
                self._block.look(step.old.place, step.read)
            self._block.install(step.new, answer)
        elif step.old is not None:
            self._block.remove(step.old.place, answer, step.read)

    def _answered(self, step: Step, error: int, text: str) -> None:
        if error in (0, LOST) or step.adopt is not None:
            # It may have been carried out; to take it back does no harm if it was not.  What was
            # to be adopted is there in any case.
            self._made.append(step)
        if error and self._refusal is None:
            self._refusal = Refusal(error, text)
        self._left -= 1
        if not self._left:
            self._end()

    def _end(self) -> None:
        if self._refusal is None or not self._made:
            self._done(self._refusal)
            return
        self._left = len(self._made)
        for step in self._made:
            if step.old is not None:
                self._block.install(step.old, self._undone)
            elif step.new is not None:
                self._block.remove(step.new.place, self._undone)

    def _undone(self, error: int, text: str) -> None:
        assert self._refusal is not None
        if error:
            self._log.error(
                "{bridge}: a change could not be taken back: {why}",
                bridge=self._block.bridge,
                why=explain(error, text),
            )
            self._refusal = attrs.evolve(self._refusal, broken=True)
            self._block.doubt()
        self._left -= 1
        if not self._left:
            self._done(self._refusal)
