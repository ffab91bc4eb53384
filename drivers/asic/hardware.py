"""The simulated hardware: operations that wait, and when each of them is done.

It begins them in the order that a scheduler says (:mod:`drivers.scheduling`), works on a few at
once, and finishes them in the order in which it began them.  Time is simulated exactly: an
operation begins when the one before it made room, not when the reactor got round to noticing that,
so that a busy reactor delays confirmations but does not slow the hardware.
There is one timer, for whatever ends next, however long the queue is.

What becomes of an operation, and how long it takes, is decided when it is begun
(:mod:`drivers.asic.writer`).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IDelayedCall

from agent.openflow.errors import FLOW_MOD_UNKNOWN, OpenFlowError
from drivers.abilities import Work
from drivers.asic.faults import Faults
from drivers.asic.history import History
from drivers.asic.lies import EarlyAnswers, Line, Shuffled
from drivers.asic.model import AsicModel
from drivers.asic.profile import Profile
from drivers.asic.resync import Reinstall, Resync
from drivers.asic.step import Step
from drivers.asic.tcam import Tcam
from drivers.asic.writer import Writer
from drivers.interfaces import IDriverHost, IOperation, OperationKind, Target
from drivers.scheduling import Scheduler

DELETE: Final = OperationKind.DELETE
RULE: Final = Target.RULE

MAX_TURN: Final = 100
"""How many operations are finished in one turn of the reactor, so that it can do other things."""

_SOON: Final = 1e-9
"""Seconds by which a timer may be early: sums of floating-point numbers are not exact."""

_NEVER: Final = float("inf")


class Hardware:
    """The chip.

    :ivar tables: what it holds, by number.
    :ivar writer: what operations do to it.
    :ivar show_packets: called when an operation on one of these is finished: packets meet it from
        then on.
    :ivar lost: called when it has lost everything in a reset, before anything is put back.
    :ivar faults: what goes wrong with it.
    :ivar answers: what it confirms before it is done.
    :ivar resync: what it has lost in a reset and not got again.
    :ivar clogged: whether it is halted.
    :ivar done: how many operations it has finished well.
    :ivar refused: how many it has finished with an error.
    :ivar busy: for how many seconds it had something to do.
    """

    def __init__(
        self, profile: Profile, tables: Mapping[int, Tcam], seed: int, policy: str = "fifo"
    ) -> None:
        """Hardware without power.

        :param policy: one of :data:`drivers.scheduling.POLICIES`.
        """
        self.tables = tables
        self.show_packets: Callable[[IOperation], object] = lambda operation: None
        self.lost: Callable[[], object] = lambda: None
        self.faults = Faults()
        self.resync = Resync()
        self.clogged = False
        self.done = 0
        self.refused = 0
        self.busy = 0.0
        self.answers = EarlyAnswers(profile.lies.answer)
        batch = 1 if policy == "off" else profile.batch
        self.writer = Writer(profile, tables, self.faults, batch, seed, self._now)
        model = AsicModel(self.writer.costs, tables, self.writer.run)
        self._history = History()
        self._scheduler: Line = Scheduler(model, policy)
        if profile.lies.reorder > 1:
            self._scheduler = Shuffled(self._scheduler, profile.lies.reorder, seed)
        self._parallel = profile.parallel
        self._clock: Any = None
        self._on_since = 0.0
        self._running: deque[Step] = deque()
        self._late: list[tuple[float, int, Step]] = []
        self._lates = 0
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._in_turn = False
        self._halted = 0.0
        self._finished = 0.0

    @property
    def waiting(self) -> int:
        """How many operations it has not begun."""
        return len(self._scheduler)

    @property
    def running(self) -> int:
        """How many it is working on."""
        return len(self._running)

    @property
    def moves_each(self) -> float:
        """How many entries it has moved for each operation that it has finished."""
        return self.writer.moves / max(1, self.done + self.refused)

    @property
    def busy_share(self) -> float:
        """The share of the time since it was switched on in which it had something to do."""
        on = 0.0 if self._clock is None else self._clock.seconds() - self._on_since
        return self.busy / on if on else 0.0

    def history(self) -> list[Work]:
        """What it has done, is doing and has still to do."""
        return self._history.read(self._running)

    def power_on(self, clock: Any, host: IDriverHost | None = None) -> None:
        """Begin to work.

        :param clock: ``seconds()`` and ``callLater()``.
        :param host: who knows what to put back after a reset; None: nobody, so nothing is.
        """
        self._clock = clock
        self._on_since = clock.seconds()
        self.resync.host = host

    def power_off(self) -> None:
        """Forget everything, and confirm nothing any more."""
        self._scheduler.clear()
        self._running.clear()
        self._late.clear()
        self.answers.clear()
        self._history.clear()
        for table in self.tables.values():
            table.rules.absences.clear()
        self.clogged = True
        self._arm()

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Put operations in line."""
        now = self._clock.seconds()
        push = self._scheduler.push
        for operation in operations:
            push(operation, now)
        self._history.asked(operations, now)
        self.answers.expect(operations, now)
        if not self._in_turn:
            self._go_on(now)
            self._leave_out()

    def recall(self, operations: Iterable[IOperation]) -> set[IOperation]:
        """Do these not, as far as they were not begun; returns which."""
        discarded = self._scheduler.discard(operations)
        self.answers.forget(discarded)
        self._history.forget(discarded)
        return discarded

    def reset(self) -> None:
        """Lose everything, and begin to put back what the flow tables say; see
        :mod:`drivers.asic.resync`."""
        now = self._clock.seconds()
        outermost, self._in_turn = not self._in_turn, True
        waiting = []
        while len(self._scheduler):
            waiting.append(self._scheduler.pop()[0])
        self._history.forget(one for one in waiting if isinstance(one, Reinstall))
        doomed = list(self._running)
        self._running.clear()
        self.writer.run.end()
        self._finished = self._halted = now
        for table in self.tables.values():
            self.resync.lose(table.clear())
        for memory in self.writer.memories.values():
            for entry in self.resync.lose(memory.clear()):
                self.show_packets(Reinstall(memory.target, entry, self.resync, DELETE))
        for step in doomed:
            self._give_up(step, now)
        reinstalls = self.resync.begin()
        self._history.asked(reinstalls, now)
        for reinstall in reinstalls:
            self._scheduler.push(reinstall, now)
        for operation in waiting:
            if not isinstance(operation, Reinstall):
                self._scheduler.push(operation, now)
        if outermost:
            self._in_turn = False
            self._go_on(now)
            self._leave_out()

    def _give_up(self, step: Step, now: float) -> None:
        """An operation that was being done when everything was lost."""
        operation, error = step.operation, step.error
        if error is None and operation.kind is not DELETE:
            error = self.writer.failure(operation, "the hardware was reset meanwhile")
        self._history.over(step, now, error)
        if isinstance(operation, Reinstall):
            return
        if self.answers.given(operation):
            if operation.kind is not DELETE:
                self.resync.lose([operation.rule])
            return
        if error is None:
            self.done += 1
        else:
            self.refused += 1
        for _ in range(1 if step.effect is None else step.effect.confirmations):
            operation.complete(error)

    # Halting.

    def _now(self) -> float:
        """The hardware's time."""
        return self._halted if self.clogged else float(self._clock.seconds())

    def clog(self) -> None:
        """Stop the hardware's time."""
        if not self.clogged:
            self.clogged = True
            self._halted = self._clock.seconds()
            self._arm()

    def unclog(self) -> None:
        """Let it go on from where it was."""
        if self.clogged:
            self.clogged = False
            now = self._clock.seconds()
            for step in self._running:
                step.begun += now - self._halted
            self._finished += now - self._halted
            self._go_on(now)

    def clear_faults(self) -> None:
        """No more faults; what stalled is finished now."""
        self.faults.clear()
        now = self._clock.seconds()
        for step in self._running:
            if step.effect is not None and step.effect.stalls:
                step.effect = attrs.evolve(step.effect, stalls=False)
                step.seconds = max(0.0, now - step.begun)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Something has changed from outside: plan anew."""
        finish = self._finished
        for step in self._running:
            finish = step.finish = max(finish, step.begun + step.seconds)
        if not self.clogged:
            self._begin(now)
            self._arm()

    # Working.

    def _begin(self, free: float) -> None:
        """Begin as many operations as there is room for.

        :param free: since when there has been room.
        """
        running = self._running
        waiting = self._scheduler
        begin = self.writer.begin
        while len(running) < self._parallel and len(waiting):
            operation, arrived = waiting.pop()
            step = begin(operation, arrived, arrived if arrived > free else free)
            self._history.forget((operation,))
            finish = step.begun + step.seconds
            before = running[-1].finish if running else self._finished
            step.finish = finish if finish > before else before
            running.append(step)

    def _leave_out(self) -> None:
        """Say that what the agent had given up before it was begun will never be."""
        left_out, self._scheduler.left_out = self._scheduler.left_out, []
        self._history.forget(left_out)
        for operation in left_out:
            self.refused += 1
            if not self.answers.given(operation):
                operation.complete(OpenFlowError(FLOW_MOD_UNKNOWN, "a later one took its place"))

    def _turn(self) -> None:
        """The timer: finish what is due, and begin what there is room for then."""
        self._timer = None
        self._in_turn = True
        now = self._clock.seconds()
        due = now + _SOON
        running = self._running
        try:
            for _ in range(MAX_TURN):
                if not running or running[0].finish > due or self.clogged:
                    break
                if (effect := running[0].effect) is not None and effect.resets:
                    self.reset()
                    self._begin(now)
                    break
                step = running.popleft()
                self._finish(step)
                self._begin(step.finish)
                self._confirm(step, now)
            while self._late and self._late[0][0] <= due and not self.clogged:
                late_at, _, step = heapq.heappop(self._late)
                self._confirm(step, late_at)
            for _ in range(MAX_TURN):
                if self.clogged or self.answers.next > due:
                    break
                self.answers.give()
        finally:
            self._in_turn = False
            if not self.clogged:
                self._begin(now)
            self._arm()
            if self._scheduler.left_out:
                self._leave_out()

    def _finish(self, step: Step) -> None:
        """The hardware has done what it could: packets see it from here on."""
        begun = step.begun
        self.busy += step.finish - (begun if begun > self._finished else self._finished)
        self._finished = step.finish
        self._history.over(step, step.finish, step.error)
        self.writer.finish(step)
        if step.error is not None:
            self.refused += 1
            return
        self.done += 1
        operation = step.operation
        if operation.target is not RULE:
            self.show_packets(operation)
        if self.resync.missing:
            self.resync.back(operation)

    def _confirm(self, step: Step, now: float) -> None:
        """Tell the agent, as far as what goes wrong lets it come through."""
        effect = step.effect
        if effect is not None and effect.late and step.finish + effect.late > now:
            self._lates += 1
            heapq.heappush(self._late, (step.finish + effect.late, self._lates, step))
        elif not self.answers.given(step.operation):
            for _ in range(1 if effect is None else effect.confirmations):
                step.operation.complete(step.error)

    def _arm(self) -> None:
        """Set the one timer to what ends next, if it is not."""
        at = self._running[0].finish if self._running else _NEVER
        if self._late and self._late[0][0] < at:
            at = self._late[0][0]
        at = min(at, self.answers.next)
        if self._timer is not None:
            if at == self._timer_at and not self.clogged:
                return
            self._timer.cancel()
            self._timer = None
        if at != _NEVER and not self.clogged:
            self._timer_at = at
            self._timer = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._turn)
