"""Faults on demand: which operations of the hardware go wrong, and how.

A fault is written as a few words, in a configuration (``faults = ["fail every 10"]``) or at the
control socket (``driver/fault``)::

    KIND [WHICH]
    fail            it is refused, and nothing is changed
    stall           nothing is finished, from it on, until the faults are cleared
    lose            it is done, but never confirmed
    duplicate       it is done, and confirmed twice
    late SECONDS    it is done, and confirmed so much later
    reset           the chip is reset when it should be done: see drivers.asic.resync

    (nothing)       the next operation
    N               the N-th operation from now
    every N         every N-th
    match TEXT      each whose description has this text in it

    clear           no more faults
    show            which there are
    reset           (at the control socket, with nothing after it) the chip is reset now

What the driver puts back after a reset is not counted, and nothing goes wrong with it.

An operation's description is in the words of ``ovs-ofctl``, like
``add table=0,cookie=0x0,priority=100,ip,nw_dst=10.0.0.1 actions=output:2``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import attrs

from agent.openflow.text import format_instructions, format_match
from drivers.interfaces import IOperation, Target

GRAMMAR: Final = (
    "fail, stall, lose, duplicate, reset or late SECONDS, each followed by nothing (the next "
    "operation), N (the N-th from now), every N, or match TEXT; or clear; or show"
)
"""What :meth:`Faults.inject` understands, for people."""

MAX_COUNT: Final = 1_000_000_000
MAX_SECONDS: Final = 1_000_000.0


class FaultKind(enum.Enum):
    """How an operation goes wrong."""

    FAIL = "fail"
    STALL = "stall"
    LOSE = "lose"
    DUPLICATE = "duplicate"
    LATE = "late"
    RESET = "reset"


class When(enum.Enum):
    """Which operations go wrong."""

    NTH = ""
    EVERY = "every"
    MATCH = "match"


@attrs.define
class Fault:
    """One fault.

    :ivar kind: how an operation goes wrong.
    :ivar seconds: of LATE, how much later.
    :ivar when: which operations.
    :ivar number: of NTH and EVERY, the number.
    :ivar text: of MATCH, the text.
    :ivar seen: how many operations there were since it was armed.
    :ivar struck: how many of them went wrong.
    """

    kind: FaultKind
    seconds: float = 0.0
    when: When = When.NTH
    number: int = 1
    text: str = ""
    seen: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self.when is When.NTH and self.seen >= self.number

    def strikes(self, operation: IOperation) -> bool:
        """Whether it strikes this operation, the next one."""
        self.seen += 1
        if self.when is When.NTH:
            hit = self.seen == self.number
        elif self.when is When.EVERY:
            hit = self.seen % self.number == 0
        else:
            hit = self.text in describe(operation)
        self.struck += hit
        return hit

    def __str__(self) -> str:
        words = [self.kind.value]
        if self.kind is FaultKind.LATE:
            words.append(f"{self.seconds:g}")
        if self.when is When.MATCH:
            words += ["match", self.text]
        elif self.when is When.EVERY:
            words += ["every", str(self.number)]
        else:
            words.append(str(self.number))
        return f"{' '.join(words)} (struck {self.struck} of {self.seen})"

    @classmethod
    def parse(cls, words: Sequence[str]) -> Fault:
        """The fault that the words describe.

        :raises ValueError: when they describe none; the text says what would.
        """
        try:
            fault = cls._parse(list(words))
        except (IndexError, ValueError):
            text = " ".join(words)
            raise ValueError(f"{text!r} is not understood; it must be {GRAMMAR}") from None
        return fault

    @classmethod
    def _parse(cls, words: list[str]) -> Fault:
        fault = cls(FaultKind(words.pop(0)))
        if fault.kind is FaultKind.LATE:
            fault.seconds = float(words.pop(0))
        if words and words[0] == "match":
            fault.when, fault.text = When.MATCH, " ".join(words[1:])
        elif words:
            if words[0] == "every":
                fault.when = When.EVERY
                del words[0]
            (number,) = words
            fault.number = int(number)
        if (
            not 0 <= fault.seconds <= MAX_SECONDS
            or not 1 <= fault.number <= MAX_COUNT
            or (fault.when is When.MATCH and not fault.text)
        ):
            raise ValueError
        return fault


@attrs.frozen
class Effect:
    """What goes wrong with one operation, by all the faults that strike it.

    :ivar fails: it is refused.
    :ivar stalls: it is not finished until the faults are cleared.
    :ivar confirmations: how often its end is told.
    :ivar late: how many seconds after its end.
    :ivar resets: instead of its end, the chip is reset.
    """

    fails: bool
    stalls: bool
    confirmations: int
    late: float
    resets: bool = False


class Faults:
    """The faults that are armed now.

    :ivar armed: in the order in which they were armed.
    """

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def strike(self, operation: IOperation) -> Effect | None:
        """What goes wrong with this operation, the next one that the hardware begins."""
        struck = [fault for fault in self.armed if fault.strikes(operation)]
        if not struck:
            return None
        self.armed = [fault for fault in self.armed if not fault.spent]
        kinds = {fault.kind for fault in struck}
        return Effect(
            fails=FaultKind.FAIL in kinds,
            stalls=FaultKind.STALL in kinds,
            confirmations=(
                0 if FaultKind.LOSE in kinds else 2 if FaultKind.DUPLICATE in kinds else 1
            ),
            late=max(fault.seconds for fault in struck),
            resets=FaultKind.RESET in kinds,
        )

    def arm(self, words: Sequence[str]) -> Fault:
        """Arm the fault that the words describe.

        :raises ValueError: when they describe none; the text says what would.
        """
        fault = Fault.parse(words)
        self.armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm them all."""
        self.armed = []

    def show(self) -> str:
        """Which are armed, one a line."""
        return "\n".join(map(str, self.armed)) or "no faults are armed"


def describe(operation: IOperation) -> str:
    """An operation in the words of ``ovs-ofctl``."""
    rule = operation.rule
    if operation.target is Target.GROUP:
        return f"{operation.kind.value} group_id={rule.group_id}"
    if operation.target is Target.METER:
        return f"{operation.kind.value} meter={rule.meter_id}"
    return (
        f"{operation.kind.value} table={rule.table_id},cookie={rule.cookie:#x},"
        f"priority={rule.priority},{format_match(rule.match)} "
        f"actions={format_instructions(rule.instructions)}"
    )
