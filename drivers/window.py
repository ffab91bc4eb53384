"""Operations that may overtake each other, and which of them may be taken next.

The half of :mod:`drivers.scheduling` that knows the rules; they are told there.
"""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from agent.openflow.match import Match
from drivers.interfaces import IOperation, OperationKind
from drivers.overlaps import Overlaps

ADD: Final = 0
MODIFY: Final = 1
DELETE: Final = 2
_PHASE: Final = {
    OperationKind.ADD: ADD,
    OperationKind.REPLACE: MODIFY,
    OperationKind.MODIFY: MODIFY,
    OperationKind.DELETE: DELETE,
}


class Trial(Protocol):
    """A copy of the hardware, to try operations on."""

    @property
    def state(self) -> object:
        """What the cost of further operations depends on, besides which were done; hashable."""

    def copy(self) -> Trial:
        """Another in the same state."""

    def perform(self, operation: IOperation) -> float:
        """Do an operation; returns its seconds."""


class CostModel(Protocol):
    """What a driver says of the cost of its operations.

    :ivar together: whether operations of one kind cost less one after the other.
    :ivar sure: whether the order by rank is never much worse than that of arrival.  Otherwise both
        are tried (:meth:`trial`) before either is taken.
    """

    together: bool
    sure: bool

    def rank(self, operation: IOperation) -> int:
        """What to sort operations of one kind by, ascending, so that they cost little."""

    def room(self, table_id: int) -> int:
        """How many more entries fit, with all that was taken from the scheduler done."""

    def trial(self) -> Trial:
        """The hardware as it will be with all that was taken done."""


class Node:
    """An operation that waits.

    :ivar safe: its place in the safe order.
    :ivar rank: what ``greedy`` sorts it by.
    :ivar before: how many others must be taken first.
    :ivar after: those that must be taken later.
    :ivar wall: whether all others are before or after it.
    :ivar taken: whether it was, or was left out.
    """

    __slots__ = ("after", "arrived", "before", "operation", "phase", "queued", "rank", "safe",
                 "taken", "wall")  # fmt: skip

    def __init__(self, operation: IOperation, arrived: float, number: int, rank: int) -> None:
        self.operation = operation
        self.arrived = arrived
        self.phase = phase = _PHASE[operation.kind]
        priority: int = getattr(operation.rule, "priority", 0)
        by = -priority if phase == ADD else priority if phase == DELETE else 0
        self.safe = (phase, by, number)
        self.rank = (rank, number)
        self.before = 0
        self.after: list[Node] = []
        self.wall = False
        self.taken = False
        self.queued = False

    def precedes(self, other: Node) -> bool:
        """Whether of two that overlap this one must be taken first."""
        if other.safe < self.safe:
            return False
        mine: int = self.operation.rule.priority
        its: int = other.operation.rule.priority
        higher = self.phase if mine > its else other.phase
        return mine == its or higher != MODIFY


Key = tuple[int, int, int]


class Window:
    """Operations that may overtake each other.

    :ivar waiting: how many have not been taken.
    :ivar begun: whether any was taken.
    :ivar closed: whether it takes no more.
    """

    def __init__(self, model: CostModel, max_operations: int, max_seconds: float) -> None:
        self.waiting = 0
        self.closed = False
        self.begun = False
        self._model = model
        self._left = max_operations
        self._max_seconds = max_seconds
        self._opened = 0.0
        self._table = -1
        self._number = 0
        self._adds = 0
        self._by_key: dict[Key, Node] = {}
        self._overlaps: Overlaps[Node] = Overlaps()
        self._kinds: dict[tuple[bool, int, int], int] = {}
        self._ready: tuple[list[tuple[tuple[int, int], Node]], ...] = ([], [], [])
        self._held = [0, 0, 0]
        self._last = -1
        self._blocked: list[tuple[tuple[int, int, int], Node]] = []
        self._walls: list[tuple[tuple[int, int, int], Node]] = []
        self._safe: list[tuple[tuple[int, int, int], Node]] = []

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
            or self._left <= 0
            or arrived - self._opened > self._max_seconds
        ):
            self.closed = True
        if self.closed:
            return False, None
        self._number += 1
        node = Node(
            operation, arrived, self._number, 0 if match is None else self._model.rank(operation)
        )
        if match is None:
            self._enter(node, None)
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
        found = self._overlaps.find(match)
        if self._contradicts(node, found, older):
            self.closed = True
            return False, None
        if older is not None:
            self._done(older)
        self._by_key[key] = node
        self._enter(node, found)
        if found is not None:
            self._overlaps.add(match, node)
        return True, None if older is None else older.operation

    def _contradicts(self, node: Node, found: list[Node] | None, older: Node | None) -> bool:
        """Whether one of its priority is here that the safe order puts behind it."""
        priority = node.operation.rule.priority
        kinds = self._kinds
        for phase in range(node.phase + 1, DELETE + 1):
            if kinds.get((True, phase, priority)):
                return True
            if found is None and kinds.get((False, phase, priority)):
                return True
        return found is not None and any(
            other.phase > node.phase
            and not other.taken
            and other is not older
            and other.operation.rule.priority == priority
            for other in found
        )

    def _enter(self, node: Node, found: list[Node] | None) -> None:
        self.waiting += 1
        self._left -= 1
        self._adds += node.phase == ADD
        if found is None:
            if not self._walls:
                self._safe = [
                    (n.safe, n) for n in self._by_key.values() if not n.taken and n is not node
                ]
                heapify(self._safe)
            node.wall = True
            heappush(self._walls, (node.safe, node))
        else:
            for other in found:
                if other.taken:
                    continue
                if other.precedes(node):
                    other.after.append(node)
                    node.before += 1
                elif node.precedes(other):
                    node.after.append(other)
                    if not other.before:
                        self._held[other.phase] += 1
                    other.before += 1
            if node.before:
                self._held[node.phase] += 1
            else:
                self._queue(node)
        if self._walls:
            heappush(self._safe, (node.safe, node))
        kind = (node.wall, node.phase, getattr(node.operation.rule, "priority", 0))
        self._kinds[kind] = self._kinds.get(kind, 0) + 1

    def _queue(self, node: Node) -> None:
        if not node.queued and not node.wall:
            node.queued = True
            heappush(self._ready[node.phase], (node.rank, node))

    def _done(self, node: Node) -> None:
        """Strike a node out, and let go of what waited for it."""
        node.taken = True
        self.waiting -= 1
        if node.before:
            self._held[node.phase] -= 1
        self._adds -= node.phase == ADD
        self._kinds[node.wall, node.phase, getattr(node.operation.rule, "priority", 0)] -= 1
        for other in node.after:
            other.before -= 1
            if not other.before and not other.taken:
                self._held[other.phase] -= 1
                self._queue(other)
        node.after = []

    def discard(self, doomed: Container[IOperation]) -> set[IOperation]:
        """Strike out what was not taken of these operations; returns which that were."""
        nodes = [*self._by_key.values(), *(node for _, node in self._walls)]
        found = set()
        for node in nodes:
            if not node.taken and node.operation in doomed:
                self._done(node)
                found.add(node.operation)
        return found

    def _wall(self) -> Node | None:
        """The first wall that has not been taken."""
        walls = self._walls
        while walls and walls[0][1].taken:
            heappop(walls)
        return walls[0][1] if walls else None

    def take(self) -> Node:
        """The cheapest operation that may be done now; there must be one."""
        self.begun = True
        wall = self._wall()
        blocked = self._blocked
        if wall is not None:
            safe = self._safe
            while safe[0][1].taken:
                heappop(safe)
            if safe[0][1] is wall:
                self._done(wall)
                return wall
        while blocked and (wall is None or blocked[0][0] < wall.safe):
            self._queue(heappop(blocked)[1])
        for phase in self._phases():
            ready = self._ready[phase]
            while ready:
                _, node = heappop(ready)
                node.queued = False
                if node.taken or node.before:
                    continue
                if wall is not None and node.safe > wall.safe:
                    heappush(blocked, (node.safe, node))
                    continue
                self._done(node)
                self._last = phase
                return node
        raise AssertionError("what is first in the safe order is always ready")

    def _phases(self) -> list[int]:
        """Which kind to take, the best first.

        What deletes makes room, and leaves less resident, so it comes first.  Where operations of
        one kind are written together, the kind is kept as long as there are any, and is not begun
        before all of it can be done.
        """
        if not self._model.together:
            return [DELETE, MODIFY, ADD]
        held = self._held
        return sorted(
            (DELETE, MODIFY, ADD),
            key=lambda phase: (phase != self._last, phase != ADD and held[phase] > 0, -phase),
        )

    def take_all(self) -> list[Node]:
        """Everything, in the order by rank or in that of arrival, whichever costs less.

        Both are right, but not a mixture of them, so that nothing more is admitted.
        """
        self.closed = True
        ranked = [self.take() for _ in range(self.waiting)]
        arrived = sorted(ranked, key=lambda node: node.safe[2])
        seconds = []
        for order in (ranked, arrived):
            trial = self._model.trial()
            seconds.append(sum(trial.perform(node.operation) for node in order))
        return ranked if seconds[0] <= seconds[1] else arrived

    def take_this(self, node: Node) -> None:
        """Take an operation that :meth:`best` said may be."""
        self.begun = True
        self._done(node)

    def best(self) -> list[Node]:
        """The operations that wait, in the cheapest order of all that are allowed.

        Orders that have done the same and left the model in the same state are the same from there
        on, so that only the cheapest of them is followed.
        """
        nodes = [node for node in self._by_key.values() if not node.taken]
        first = [0] * len(nodes)
        for place, node in enumerate(nodes):
            for other_place, other in enumerate(nodes):
                if other in node.after or ((node.wall or other.wall) and node.safe < other.safe):
                    first[other_place] |= 1 << place
        Found = tuple[float, Trial, list[Node]]
        reached: dict[tuple[int, object], Found] = {(0, None): (0.0, self._model.trial(), [])}
        for _ in nodes:
            further: dict[tuple[int, object], Found] = {}
            for (done, _), (cost, trial, order) in reached.items():
                for place, node in enumerate(nodes):
                    if done >> place & 1 or first[place] & ~done:
                        continue
                    after = trial.copy()
                    total = cost + after.perform(node.operation)
                    key = (done | 1 << place, after.state)
                    known = further.get(key)
                    if known is None or total < known[0]:
                        further[key] = (total, after, [*order, node])
            reached = further
        return min(reached.values(), key=lambda found: found[0])[2]
