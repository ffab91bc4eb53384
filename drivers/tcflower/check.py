"""Whether the filters in the kernel are those that there should be.

Nothing is assumed of how they got there: what there should be is worked out anew from the flow
table, and what there is comes from a dump.  They are matched by what they compare, not by their
handles, so that the driver's own memory cannot hide a mistake.

While a dump is read, rules come and go.  So what looks wrong is looked at again, some times, and
only what is wrong each time is told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, deferLater

from agent.openflow.errors import OpenFlowError
from agent.openflow.text import format_match
from drivers.interfaces import IDriverHost, IRule
from drivers.tcflower import found as seen
from drivers.tcflower import qdisc
from drivers.tcflower.changes import Block
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.found import Found
from drivers.tcflower.ports import TcPort
from drivers.tcflower.probe import qdisc_of
from drivers.tcflower.rules import Rules
from drivers.tcflower.tails import Tail

TIMES: Final = 3
"""How often something must look wrong to be."""
PAUSE: Final = 0.2
"""Seconds between one time and the next."""
SLICE: Final = 16
"""Rules, or filters, in one turn of the reactor."""


class Comparison:
    """What there is, from which what there should be is taken one by one."""

    def __init__(self, there: Iterable[Found]) -> None:
        self._left: dict[object, list[Found]] = {}
        for one in there:
            self._left.setdefault(one.identity, []).append(one)

    def take(self, wanted: Filter) -> str:
        """A filter should be there.

        :param wanted: with a cookie, whose rule is not compared; its handle matters to nobody.
        :returns: what is wrong; empty: nothing is.
        """
        should = seen.of(wanted)
        there = self._left.get(should.identity)
        if not there:
            return f"chain {wanted.chain} pref {wanted.pref}: a filter is missing"
        one = there.pop()
        if not there:
            del self._left[should.identity]
        wrong = seen.difference(should, one)
        return f"{one}: {wrong}" if wrong else ""

    def left(self, block: int) -> list[Found]:
        """What nobody has taken, of our own; others' filters are no business of ours."""
        return [one for several in self._left.values() for one in several if one.ours(block)]


class Checker:
    """Compares all of a bridge's filters with its flow table."""

    def __init__(
        self,
        block: Block,
        ports: Iterable[TcPort],
        rules: Rules,
        flags: FilterFlags,
        dumper: Dumper,
        host: IDriverHost,
        worker: Cooperator,
    ) -> None:
        """Do nothing yet.

        :param worker: of :func:`slices`.
        """
        self._block = block
        self._ports = list(ports)
        self._rules = rules
        self._flags = flags
        self._dumper = dumper
        self._host = host
        self._worker = worker
        self._pauses: set[Deferred[None]] = set()

    def stop(self) -> None:
        """What is being compared fails."""
        for pause in list(self._pauses):
            pause.cancel()

    @inlineCallbacks
    def check(self) -> Generator[Deferred[Any], Any, Sequence[str]]:
        """Compare.

        :returns: fires with a line for each thing that is wrong; with an :exc:`OSError` when the
            kernel cannot be asked.
        """
        wrong: set[str] = set()
        for time in range(TIMES):
            if time:
                pause: Deferred[None] = deferLater(self._host.reactor, PAUSE)
                self._pauses.add(pause)
                try:
                    yield pause
                finally:
                    self._pauses.discard(pause)
            found = yield self._once()
            wrong = found if not time else wrong & found
            if not wrong:
                break
        return sorted(wrong)

    @inlineCallbacks
    def _once(self) -> Generator[Deferred[Any], Any, set[str]]:
        blocks = {}
        qdiscs = yield self._dumper.messages(qdisc.dump)
        for message in qdiscs:
            device = qdisc_of(message, 0, len(message))
            if device is not None:
                blocks[device[0]] = device[1]
        wrong = {
            f"device {port.name} is not part of the bridge"
            for port in self._ports
            if port.ifindex and blocks.get(port.ifindex) != self._block.number
        }
        if self._block.number not in blocks.values():
            return wrong
        messages = yield self._dumper.messages(self._block.ask_all)
        yield self._worker.coiterate(self._compare(messages, wrong))
        return wrong

    def _compare(self, messages: list[bytes], wrong: set[str]) -> Iterator[None]:
        """Add to ``wrong`` what is, a little at a time."""
        # A dump that was repeated tells some of them twice.
        there: dict[tuple[int, int, int], Found] = {}
        for message in messages:
            found = seen.read(message, 0, len(message))
            if found is not None:
                there[found.key] = found
            yield
        comparison = Comparison(there.values())
        tails: dict[int, Tail] = {}
        for rule in list(self._host.rules()):
            wrong.update(f"{_named(rule)}: {what}" for what in self._rule(rule, comparison, tails))
            yield
        common = [*self._rules.surroundings.ground.filters()]
        for tail in tails.values():
            common += self._rules.installer.ends.filters(tail, self._block.cookie(0))
        wrong.update(filter(None, map(comparison.take, common)))
        left = self._rules.installer.left
        for one in comparison.left(self._block.number):
            why = "an earlier run has left it" if one.key in left else "there is no rule for it"
            wrong.add(f"{one}: {why}")

    def _rule(self, rule: IRule, comparison: Comparison, tails: dict[int, Tail]) -> Iterator[str]:
        """What is wrong with a rule.

        :param tails: takes its tail, if it has one, by the chain.
        """
        try:
            wanted = self._rules.expected(rule)
        except OpenFlowError as error:
            yield f"it cannot be there: {error}"
            return
        chain = 0
        if wanted.tail:
            try:
                chain = self._rules.installer.ends.chain(wanted.tail)
            except KeyError:
                yield "the chain that it ends in is missing"
                return
            tails[chain] = wanted.tail
        cookie = self._block.cookie(rule.handle)
        for one in wanted.filters(chain):
            asked = attrs.evolve(one, handle=1, flags=self._flags, cookie=seen.marked(cookie, one))
            problem = comparison.take(asked)
            if problem:
                yield problem


def slices(clock: IReactorTime) -> Cooperator:
    """What goes through long work, :data:`SLICE` steps in each turn of the reactor."""

    def over() -> Callable[[], bool]:
        steps = iter(range(SLICE))
        return lambda: next(steps, None) is None

    return Cooperator(over, scheduler=lambda run: clock.callLater(0, run))


def _named(rule: IRule) -> str:
    return f"table {rule.table_id}, {format_match(rule.match, rule.priority)}"
