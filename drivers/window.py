"""Operations that may overtake each other, and which of them may be taken next.

The half of :mod:`drivers.scheduling` that knows the rules; they are told there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, Protocol

from agent.openflow.match import Match
from drivers.interfaces import IOperation, OperationKind
from drivers.overlaps import Levels, Overlaps

ADD: Final = 0
MODIFY: Final = 1
DELETE: Final = 2
_PHASE: Final = {
    OperationKind.ADD: ADD,
    OperationKind.REPLACE: MODIFY,
    OperationKind.MODIFY: MODIFY,
    OperationKind.DELETE: DELETE,
}

_PRIORITY_BITS: Final = 20
_TOP: Final = (1 << _PRIORITY_BITS) - 1
"""No priority is above; those of the agent's own rules are above 65535."""


class Trial(Protocol):
    """A copy of the hardware, to try operations on."""

    @property
    def state(self) -> object:
        """What the cost of further operations depends on, besides which were done; hashable."""

    def copy(self) -> Trial:
        """Another in the same state."""

    def perform(self, operation: IOperation, arrived: float) -> float:
        """Do an operation; returns its seconds.

        :param arrived: when it did: what was begun before that it cannot be written with.
        """


class CostModel(Protocol):
    """What a driver says of the cost of its operations.

    :ivar together: whether operations of one kind cost less one after the other.
    """

    together: bool

    def rank(self, operation: IOperation) -> int:
        """What to sort operations of one kind by, ascending, so that they cost little."""

    def room(self, table_id: int) -> int:
        """How many more entries fit, with all that was taken from the scheduler done."""

    def trial(self, operations: Iterable[IOperation]) -> Trial:
        """The hardware as it will be with all that was taken done.

        :param operations: those that will be tried; no two of them are on one entry.
        """


class Node:
    """An operation that waits.

    :ivar rank: what ``greedy`` sorts it by.
    :ivar bit: what stands for it in sets of operations.
    :ivar first: those before it, as far as that was asked; see :meth:`Window.first`.
    :ivar asked: how many there were in the window when it was.
    :ivar after: those that were found to wait for it.
    :ivar taken: whether it was, or was left out.
    """

    __slots__ = ("after", "arrived", "asked", "bit", "first", "operation", "phase", "priority",
                 "rank", "taken")  # fmt: skip

    def __init__(self, operation: IOperation, arrived: float, number: int, rank: int) -> None:
        self.operation = operation
        self.arrived = arrived
        self.phase = _PHASE[operation.kind]
        self.priority: int = getattr(operation.rule, "priority", 0)
        self.rank = (rank, number)
        self.bit = 1 << number
        self.first = 0
        self.asked = 0
        self.after: list[Node] = []
        self.taken = False


Key = tuple[int, int, int]


class Window:
    """Operations that may overtake each other.

    Sets of them are integers, with a bit for each in the order of arrival.

    :ivar waiting: how many have not been taken.
    :ivar closed: whether it takes no more.
    """

    def __init__(self, model: CostModel, max_operations: int, max_seconds: float) -> None:
        self.waiting = 0
        self.closed = False
        self._model = model
        self._most = max_operations
        self._max_seconds = max_seconds
        self._opened = 0.0
        self._table = -1
        self._adds = 0
        self._nodes: list[Node] = []
        self._there = 0
        self._by_key: dict[Key, Node] = {}
        self._overlaps = Overlaps()
        self._levels = (Levels(_PRIORITY_BITS), Levels(_PRIORITY_BITS), Levels(_PRIORITY_BITS))
        self._ready: tuple[list[tuple[tuple[int, int], Node]], ...] = ([], [], [])
        self._unsure: tuple[list[Node], ...] = ([], [], [])
        self._last: int | None = None

    def admit(self, operation: IOperation, arrived: float) -> tuple[bool, IOperation | None]:
        """Take an operation in, if it may be in this window.

        :returns: whether it was, and an operation on the same entry that is left out for it.
        """
        rule = operation.rule
        match: Match | None = getattr(rule, "match", None)
        if not self.waiting:
            self._opened, self._table = arrived, rule.table_id if match is not None else -1
        elif (
            match is None
            or rule.table_id != self._table
            or len(self._nodes) >= self._most
            or arrived - self._opened > self._max_seconds
        ):
            self.closed = True
        if self.closed:
            return False, None
        rank = 0 if match is None else self._model.rank(operation)
        node = Node(operation, arrived, len(self._nodes), rank)
        if match is None:
            self._enter(node)
            self.closed = True
            return True, None
        key = (match.mask, match.value, rule.priority)
        older = self._by_key.get(key)
        if older is not None and older.taken:
            older = None
        adds = self._adds - (older is not None and older.phase == ADD)
        if node.phase == ADD and adds >= self._model.room(self._table):
            self.closed = True
            if self.waiting:
                return False, None
        if self._contradicts(node, match, older):
            self.closed = True
            return False, None
        if older is not None:
            self._done(older)
        self._by_key[key] = node
        self._overlaps.add(match, node.bit)
        self._enter(node)
        return True, None if older is None else older.operation

    def _contradicts(self, node: Node, match: Match, older: Node | None) -> bool:
        """Whether one of its priority is here that the safe order puts behind it."""
        behind = 0
        for phase in range(node.phase + 1, DELETE + 1):
            behind |= self._levels[phase].at(node.priority)
        behind &= self._there if older is None else self._there & ~older.bit
        return bool(behind and self._overlaps.find(match, behind))

    def _enter(self, node: Node) -> None:
        self.waiting += 1
        self._adds += node.phase == ADD
        self._nodes.append(node)
        self._there |= node.bit
        level = _TOP - node.priority if node.phase == ADD else node.priority
        self._levels[node.phase].add(level, node.bit)
        if self._model.together and node.phase != ADD:
            self._unsure[node.phase].append(node)
        self._queue(node)

    def _queue(self, node: Node) -> None:
        heappush(self._ready[node.phase], (node.rank, node))

    def first(self, node: Node) -> int:
        """Which of those that wait must be taken before it.

        Of two that overlap that is the first in the safe order, unless the higher one is modified
        and the other is of another priority: then no packet can tell.
        """
        if node.asked != len(self._nodes):
            adds, modifies, deletes = self._levels
            priority, earlier = node.priority, node.bit - 1
            higher = _TOP - priority
            if node.phase == ADD:
                first = adds.below(higher) | adds.at(higher) & earlier
            elif node.phase == MODIFY:
                first = adds.below(higher + 1) | modifies.at(priority) & earlier
            else:
                first = adds.below(_TOP + 1) | modifies.below(priority + 1)
                first |= deletes.below(priority) | deletes.at(priority) & earlier
            first &= self._there
            if first:
                first = self._overlaps.find(node.operation.rule.match, first)
            node.first, node.asked = first, len(self._nodes)
        return node.first & self._there

    def _done(self, node: Node) -> None:
        """Strike a node out, and let go of what waited for it."""
        node.taken = True
        self.waiting -= 1
        self._there &= ~node.bit
        self._adds -= node.phase == ADD
        for other in node.after:
            if not other.taken:
                self._queue(other)
        node.after = []

    def discard(self, doomed: Container[IOperation]) -> set[IOperation]:
        """Strike out what was not taken of these operations; returns which that were."""
        found = set()
        for node in self._nodes:
            if not node.taken and node.operation in doomed:
                self._done(node)
                found.add(node.operation)
        return found

    def take(self) -> Node:
        """The cheapest operation that may be done now; there must be one."""
        for phase in self._phases():
            ready = self._ready[phase]
            while ready:
                _, node = heappop(ready)
                if node.taken:
                    continue
                first = self.first(node)
                if first:
                    # Whichever it waits for; it is looked at again when that is done.
                    self._nodes[first.bit_length() - 1].after.append(node)
                    continue
                self._done(node)
                self._last = phase
                return node
        raise AssertionError("what is first in the safe order is always ready")

    def _phases(self) -> Iterator[int]:
        """Which kind to take, the best first.

        What deletes makes room, and leaves less resident, so it comes first.  Where operations of
        one kind are written together, the kind is kept as long as there are any, and is not begun
        before all of it can be done.
        """
        if not self._model.together:
            yield from (DELETE, MODIFY, ADD)
            return
        if self._last is not None:
            yield self._last
        if not self._held(DELETE):
            yield DELETE
        if not self._held(MODIFY):
            yield MODIFY
        yield from (ADD, MODIFY, DELETE)

    def _held(self, phase: int) -> bool:
        """Whether something of a kind has to wait for something of another."""
        own = self._levels[phase].below(_TOP + 1)
        nodes = self._unsure[phase]
        while nodes:
            if not nodes[-1].taken and self.first(nodes[-1]) & ~own:
                return True
            nodes.pop()
        return False

    def take_this(self, node: Node) -> None:
        """Take an operation that :meth:`best` said may be."""
        self._done(node)

    def best(self) -> list[Node]:
        """The operations that wait, in the cheapest order of all that are allowed.

        Orders that have done the same and left the model in the same state are the same from there
        on, so that only the cheapest of them is followed.
        """
        nodes = [node for node in self._nodes if not node.taken]
        first = [0] * len(nodes)
        for place, node in enumerate(nodes):
            before = self.first(node)
            for other_place, other in enumerate(nodes):
                if before & other.bit:
                    first[place] |= 1 << other_place
        Found = tuple[float, Trial, list[Node]]
        untried = self._model.trial([node.operation for node in nodes])
        reached: dict[tuple[int, object], Found] = {(0, None): (0.0, untried, [])}
        for _ in nodes:
            further: dict[tuple[int, object], Found] = {}
            for (done, _), (cost, trial, order) in reached.items():
                for place, node in enumerate(nodes):
                    if done >> place & 1 or first[place] & ~done:
                        continue
                    after = trial.copy()
                    total = cost + after.perform(node.operation, node.arrived)
                    key = (done | 1 << place, after.state)
                    known = further.get(key)
                    if known is None or total < known[0]:
                        further[key] = (total, after, [*order, node])
            reached = further
        return min(reached.values(), key=lambda found: found[0])[2]
