"""What the simulated hardware is working on; see :mod:`drivers.asic.hardware`."""

from __future__ import annotations

from drivers.asic.faults import Effect
from drivers.asic.tcam import Key
from drivers.interfaces import IOperation


class Step:
    """An operation that the hardware is working on.

    :ivar operation: what is to be done.
    :ivar arrived: when it was put in line.
    :ivar begun: when it was begun.
    :ivar seconds: how long it takes.
    :ivar finish: when it is finished: not before the one that was begun before it.
    :ivar room: whether room was taken, or given back, when it was begun.
    :ivar moves: how many other entries are moved for it.
    :ivar error: why it is not done, if it is not.
    :ivar effect: what goes wrong, if anything.
    :ivar taken_out: the entries that are nowhere for a while, in their order; mostly none.
    :ivar out: from which second after it began the first of them is.
    :ivar each: for how many seconds each of them is.
    """

    __slots__ = ("arrived", "begun", "each", "effect", "error", "finish", "moves", "operation",
                 "out", "room", "seconds", "taken_out")  # fmt: skip

    def __init__(
        self,
        operation: IOperation,
        arrived: float,
        begun: float,
        seconds: float,
        room: bool,
        error: Exception | None,
        effect: Effect | None,
    ) -> None:
        self.operation = operation
        self.arrived = arrived
        self.begun = begun
        self.seconds = seconds
        self.finish = 0.0
        self.room = room
        self.moves = 0
        self.error = error
        self.effect = effect
        self.taken_out: list[Key] = []
        self.out = self.each = 0.0

    def absent(self, now: float) -> Key | None:
        """The entry that is nowhere at this time."""
        since = now - self.begun - self.out
        if since < 0 or not self.each:
            return None
        number = int(since / self.each)
        return self.taken_out[number] if number < len(self.taken_out) else None
