"""What operations do to the simulated hardware, and how long each of them takes.

Room is taken or given back when an operation is begun, and entries move then; packets see what it
has done when it is finished.  What it costs follows from the profile's laws
(:mod:`drivers.asic.costs`) and from what has to move in the table (:mod:`drivers.asic.layout`);
what goes wrong with it, from the faults that are armed (:mod:`drivers.asic.faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final

from agent.openflow.errors import FLOW_MOD_UNKNOWN, TABLE_FULL, ErrorCode, OpenFlowError
from drivers.asic.costs import Costs, Run
from drivers.asic.faults import Effect, Faults
from drivers.asic.numbered import Memory
from drivers.asic.profile import Jitter, Profile
from drivers.asic.resync import Reinstall
from drivers.asic.step import Step
from drivers.asic.tcam import Key, Tcam, key_of
from drivers.interfaces import IOperation, OperationKind, Target

ADD: Final = OperationKind.ADD
DELETE: Final = OperationKind.DELETE
RULE: Final = Target.RULE

_NEVER: Final = float("inf")


class Writer:
    """What writes the tables and the memories of the chip.

    :ivar memories: the groups and the meters it holds.
    :ivar costs: what operations cost.
    :ivar run: which of them are written together.
    :ivar moves: how many entries it has moved.
    """

    def __init__(
        self,
        profile: Profile,
        tables: Mapping[int, Tcam],
        faults: Faults,
        batch: int,
        seed: int,
        now: Callable[[], float],
    ) -> None:
        """Begin with nothing.

        :param batch: how many operations are written together, at most.
        :param seed: of the jitter.
        :param now: the hardware's time in seconds, which may stand still.
        """
        self.memories = {
            Target.GROUP: Memory(Target.GROUP, profile.groups),
            Target.METER: Memory(Target.METER, profile.meters),
        }
        self.costs = Costs(profile)
        self.run = Run(batch)
        self.moves = 0
        self._tables = tables
        self._faults = faults
        self._now = now
        self._move = {ADD: profile.add.move, DELETE: profile.delete.move}
        self._cuts = profile.cuts
        self._share = None if profile.jitter == Jitter() else profile.jitter.share
        self._random = Random(seed).random

    def begin(self, operation: IOperation, arrived: float, begun: float) -> Step:
        """Begin an operation: decide what becomes of it, and take or give room for it."""
        if operation.target is not RULE:
            return self._begin_numbered(operation, arrived, begun)
        kind = operation.kind
        rule = operation.rule
        table = self._tables[rule.table_id]
        effect = self._strike(operation)
        error: Exception | None = None
        resident = table.used
        software = key_of(rule) in table.spilled
        batched = self.run.goes_on(operation, arrived, begun)
        moves = 0
        room = False
        moved: list[int] | None = [] if self._cuts else None
        out: tuple[float, float] | None = None
        if effect is not None and effect.fails:
            error = self.failure(operation, "the hardware was made to refuse it")
        elif kind is DELETE:
            room = table.written(rule) is not None
            if room:
                moves = table.give(rule, moved)
        elif table.written(rule) is None:
            if table.full and not table.spills:
                error = OpenFlowError(
                    TABLE_FULL, f"no room in the hardware beyond {table.size} entries"
                )
            else:
                software = table.full
                room = True
                moves = table.take(rule, moved)
        elif self.costs.cut_modify and kind is not ADD and not software:
            gone, back = table.give(rule, moved), table.take(rule, moved)
            moves = gone + back
            out = self.costs.out_and_in(resident, gone, back, batched)
        self.moves += moves
        seconds = (
            self.costs.seconds(kind, resident, moves, batched, software) if out is None else out[1]
        )
        share = 1.0 if self._share is None else self._share(self._random())
        step = Step(operation, arrived, begun, seconds * share, room, error, effect)
        step.moves = moves
        if out is not None:
            step.taken_out, step.out = [key_of(rule)], out[0] * share
            step.each = step.seconds - step.out
        elif moved:
            step.taken_out = [table.keys[token] for token in moved]
            step.each = self._move[kind if kind is DELETE else ADD] * share
            step.out = step.seconds - step.each * len(moved)
        if step.taken_out:
            table.rules.absences.append(partial(self._absent, step))
        if effect is not None and effect.stalls:
            step.seconds = _NEVER
        return step

    def _begin_numbered(self, operation: IOperation, arrived: float, begun: float) -> Step:
        """The same for a group or a meter."""
        memory = self.memories[operation.target]
        self.run.end()
        effect = self._strike(operation)
        resident = memory.used
        error: Exception | None
        if effect is not None and effect.fails:
            error = self.failure(operation, "the hardware was made to refuse it")
        else:
            error = memory.begin(operation)
        seconds = self.costs.seconds(operation.kind, resident, 0, False)
        if self._share is not None:
            seconds *= self._share(self._random())
        if effect is not None and effect.stalls:
            seconds = _NEVER
        return Step(operation, arrived, begun, seconds, False, error, effect)

    def failure(self, operation: IOperation, text: str) -> OpenFlowError:
        """The error of an operation that the hardware could not do.

        :param text: why.
        """
        code: ErrorCode = FLOW_MOD_UNKNOWN
        if operation.target is not RULE:
            code = self.memories[operation.target].failure
        return OpenFlowError(code, text)

    def _strike(self, operation: IOperation) -> Effect | None:
        """What goes wrong with it; with what is put back after a reset nothing does."""
        if not self._faults.armed or isinstance(operation, Reinstall):
            return None
        return self._faults.strike(operation)

    def _absent(self, step: Step) -> Key | None:
        """The entry that an operation has taken out for the moment."""
        return step.absent(self._now())

    def finish(self, step: Step) -> None:
        """What was begun is done.  Steps are finished in the order in which they were begun."""
        operation = step.operation
        rule = operation.rule
        if step.taken_out:
            del self._tables[rule.table_id].rules.absences[0]
        if step.error is not None:
            return
        if operation.target is not RULE:
            self.memories[operation.target].finish(operation)
        elif operation.kind is DELETE:
            self._tables[rule.table_id].erase(rule, step.room)
        else:
            self._tables[rule.table_id].write(rule, step.room)
