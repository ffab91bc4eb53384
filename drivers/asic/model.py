"""What the scheduler asks the simulated hardware about its costs; see :mod:`drivers.scheduling`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from drivers.asic.costs import ADD, DELETE, Costs, Run
from drivers.asic.layout import Layout
from drivers.asic.tcam import Key, Tcam, key_of
from drivers.interfaces import IOperation


class AsicModel:
    """The hardware as it is now, with all that it has begun."""

    def __init__(self, costs: Costs, tables: Mapping[int, Tcam], run: Run) -> None:
        self._costs = costs
        self._tables = tables
        self._run = run
        self.together = run.limit > 1

    def rank(self, operation: IOperation) -> int:
        """What the layout says its direction is."""
        rule = operation.rule
        table = self._tables[rule.table_id]
        level = table.level(rule.priority)
        if operation.kind is ADD:
            return table.layout.insert_rank(level)
        return table.layout.remove_rank(level) if operation.kind is DELETE else 0

    def room(self, table_id: int) -> int:
        """How many more entries fit in the hardware; what would spill may not be reordered either,
        since it decides which."""
        table = self._tables[table_id]
        return table.size - table.used

    def trial(self, operations: Iterable[IOperation]) -> Trial:
        """See :class:`drivers.window.CostModel`."""
        return Trial(self._costs, self._tables, self._run.copy(), operations)


class Trial:
    """The hardware's tables, to try operations on.

    Every operation is taken to succeed, and to find its entry as the agent thinks it is.
    """

    def __init__(
        self,
        costs: Costs,
        tables: Mapping[int, Tcam],
        run: Run,
        operations: Iterable[IOperation] = (),
    ) -> None:
        """Begin with what is there.

        :param run: what is being written together; it is changed.
        :param operations: those that will be tried, no two of them on one entry.
        """
        self._costs = costs
        self._tables = tables
        self._run = run
        self._layouts: dict[int, Layout] = {}
        self._used: dict[int, int] = {}
        self._added = 0
        self._tokens: dict[tuple[int, Key], int] = {}
        for operation in operations:
            table_id, key = operation.rule.table_id, key_of(operation.rule)
            table = tables[table_id]
            if table_id not in self._layouts:
                self._layouts[table_id] = table.layout.copy()
                self._used[table_id] = table.used
            if tokens := table.rules.tokens.get(key):
                self._tokens[table_id, key] = tokens[-1]

    def copy(self) -> Trial:
        """Another in the same state."""
        copy = Trial(self._costs, self._tables, self._run.copy())
        copy._layouts = {table: layout.copy() for table, layout in self._layouts.items()}
        copy._used = self._used.copy()
        copy._added = self._added
        copy._tokens = self._tokens.copy()
        return copy

    @property
    def state(self) -> object:
        """What is being written together, which places are taken, and where those entries lie on
        which an operation is still to come; all others are as good as each other."""
        special = set(self._tokens.values())
        lying = [
            (
                *layout.places(self._tables[table_id].size),
                *(token in special and token for token in layout.tokens()),
            )
            for table_id, layout in self._layouts.items()
        ]
        return (self._run.state, *lying)

    def perform(self, operation: IOperation, arrived: float) -> float:
        """Do an operation; returns its seconds."""
        rule, kind = operation.rule, operation.kind
        table_id = rule.table_id
        table = self._tables[table_id]
        layout = self._layouts[table_id]
        resident = self._used[table_id]
        level = table.level(rule.priority)
        # What waits now was there before whatever is begun from now on.
        batched = self._run.goes_on(operation, arrived, inf)
        seconds = self._costs.seconds
        if kind is ADD:
            if resident >= table.size:
                return seconds(kind, resident, 0, batched, table.spills)
            self._used[table_id] += 1
            return seconds(kind, resident, self._insert(layout, level), batched)
        found = self._tokens.pop((table_id, key_of(rule)), None)
        if found is None:
            return seconds(kind, resident, 0, batched, key_of(rule) in table.spilled)
        if kind is DELETE:
            self._used[table_id] -= 1
            return seconds(kind, resident, layout.remove(found, level), batched)
        if not self._costs.cut_modify:
            return seconds(kind, resident, 0, batched)
        out = layout.remove(found, level)
        into = self._insert(layout, level)
        return self._costs.out_and_in(resident, out, into, batched)[1]

    def _insert(self, layout: Layout, level: int) -> int:
        """Lay down an entry on which no operation is to come; returns how many others move."""
        self._added += 1
        return layout.insert(-self._added, level)
