"""What operations of the simulated hardware cost.

:class:`Costs` is the one place that knows it: the hardware asks it how long something takes, and so
does whoever wants to know before anything is done (:mod:`drivers.scheduling`).
"""

from __future__ import annotations

from typing import Final

from drivers.asic.profile import DELETE_AND_ADD, Law, Profile
from drivers.interfaces import IOperation, OperationKind

ADD: Final = OperationKind.ADD
DELETE: Final = OperationKind.DELETE


class Costs:
    """What a profile says an operation costs, given what has to move for it.

    :ivar batch: how many operations are written together.
    :ivar cut_modify: whether a modify takes the entry out and puts it in again.
    """

    def __init__(self, profile: Profile) -> None:
        self.batch = profile.batch
        self.cut_modify = profile.how == DELETE_AND_ADD
        self._laws: dict[OperationKind, Law] = {
            OperationKind.ADD: profile.add,
            OperationKind.MODIFY: profile.modify,
            OperationKind.REPLACE: profile.modify,
            OperationKind.DELETE: profile.delete,
        }
        self._software = profile.software

    def seconds(
        self, kind: OperationKind, resident: int, moves: int, batched: bool, software: bool = False
    ) -> float:
        """The time of an operation, before jitter.

        :param resident: how many entries the table holds before it.
        :param moves: how many of them move.
        :param batched: whether it is written together with the one before it.
        :param software: whether it is about an entry that has no room in the hardware.
        """
        if software and self._software is not None:
            return self._software.seconds(resident, 0)
        return self._laws[kind].seconds(resident, moves, batched)

    def out_and_in(self, resident: int, out: int, into: int, batched: bool) -> tuple[float, float]:
        """The times of a modify that takes the entry out and puts it in again: until it is out, and
        all of it.

        :param out: how many entries move when it is taken out.
        :param into: how many when it is put in.
        """
        gone = self._laws[DELETE].seconds(resident, out, batched)
        back = self._laws[ADD].seconds(resident - 1, into, batched)
        return gone, gone + back + self._laws[OperationKind.MODIFY].base


class Run:
    """Which operations are written together: some of one kind on one table, which were all there
    when the first was begun.

    :ivar limit: how many may be.
    :ivar count: how many the present one has.
    """

    __slots__ = ("_kind", "_since", "_table", "count", "limit")

    def __init__(self, batch: int) -> None:
        self.count = 0
        self.limit = batch
        self._kind: OperationKind | None = None
        self._table = -1
        self._since = 0.0

    def goes_on(self, operation: IOperation, arrived: float, begun: float) -> bool:
        """Count the next operation; returns whether it is written together with the one before."""
        kind, table = operation.kind, operation.rule.table_id
        if (
            kind is self._kind
            and table == self._table
            and self.count < self.limit
            and arrived <= self._since
        ):
            self.count += 1
            return True
        self._kind, self._table, self._since, self.count = kind, table, begun, 1
        return False

    def end(self) -> None:
        """What comes next is not written together with what came before."""
        self._kind = None

    def copy(self) -> Run:
        """Another with the same present batch."""
        copy = Run(self.limit)
        copy._kind, copy._table = self._kind, self._table
        copy._since, copy.count = self._since, self.count
        return copy

    @property
    def state(self) -> tuple[object, ...]:
        """What what comes next depends on."""
        return self._kind, self._table, self._since, self.count
