"""What the scheduler asks the simulated hardware about its costs; see :mod:`drivers.scheduling`."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.asic.costs import ADD, DELETE, Costs, Run
from drivers.asic.layout import GapsLayout, Layout
from drivers.asic.tcam import Key, Tcam, key_of
from drivers.interfaces import IOperation, IRule


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

    def trial(self) -> Trial:
        """See :class:`drivers.window.CostModel`."""
        return Trial(self._costs, self._tables, self._run.copy())


class Trial:
    """The hardware's tables, to try operations on.

    Every operation is taken to succeed, and to find its entry as the agent thinks it is.
    """

    def __init__(self, costs: Costs, tables: Mapping[int, Tcam], run: Run) -> None:
        self._costs = costs
        self._tables = tables
        self._run = run
        self._layouts: dict[int, Layout] = {}
        self._used: dict[int, int] = {}
        self._tokens: dict[tuple[int, Key], int] = {}

    def copy(self) -> Trial:
        """Another in the same state."""
        copy = Trial(self._costs, self._tables, self._run.copy())
        copy._layouts = {table: layout.copy() for table, layout in self._layouts.items()}
        copy._used = self._used.copy()
        copy._tokens = self._tokens.copy()
        return copy

    @property
    def state(self) -> object:
        """What is being written together, and where the gaps are.

        In layouts without gaps what lies there follows from what was done, but for the order of
        entries of one priority.  That can make a difference of one move when one of them goes, and
        is left aside.
        """
        gaps = [
            tuple(layout.places())
            for layout in self._layouts.values()
            if isinstance(layout, GapsLayout)
        ]
        return (self._run.state, *gaps)

    def perform(self, operation: IOperation) -> float:
        """Do an operation; returns its seconds."""
        rule, kind = operation.rule, operation.kind
        table_id = rule.table_id
        table = self._tables[table_id]
        layout = self._layouts.get(table_id)
        if layout is None:
            layout = self._layouts[table_id] = table.layout.copy()
            self._used[table_id] = table.used
        resident = self._used[table_id]
        level = table.level(rule.priority)
        batched = self._run.goes_on(operation, 0.0, 0.0)
        seconds = self._costs.seconds
        if kind is ADD:
            if resident >= table.size:
                return seconds(kind, resident, 0, batched, table.spills)
            token = self._tokens[table_id, key_of(rule)] = -len(self._tokens) - 1
            self._used[table_id] += 1
            return seconds(kind, resident, layout.insert(token, level), batched)
        found = self._token(table, rule)
        if found is None:
            return seconds(kind, resident, 0, batched, key_of(rule) in table.spilled)
        if kind is DELETE:
            self._used[table_id] -= 1
            return seconds(kind, resident, layout.remove(found, level), batched)
        if not self._costs.cut_modify:
            return seconds(kind, resident, 0, batched)
        out = layout.remove(found, level)
        into = layout.insert(found, level)
        return self._costs.out_and_in(resident, out, into, batched)[1]

    def _token(self, table: Tcam, rule: IRule) -> int | None:
        key = key_of(rule)
        tokens = table.rules.tokens.get(key)
        return tokens[-1] if tokens else self._tokens.get((table.table_id, key))
