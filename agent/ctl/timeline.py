"""What a run's timeline shows: bars, steps and shares, from what the agent remembers of it.

Nothing is drawn here (:mod:`agent.ctl.plot` does), so that this needs no more than Python.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

Data = Any

BINS: Final = 400
"""Into how many parts the time is divided where amounts are drawn."""

MAX_CONNECTIONS: Final = 8
"""Connections that have a row of their own; the others share one."""

SHORTEST: Final = 1e-3
"""Seconds that are shown at least."""

KINDS: Final[Mapping[str, str]] = {
    "add": "add",
    "modify": "modify",
    "replace": "modify",
    "delete": "delete",
}
"""How operations are told apart; one that fails is ``refused``, whatever it was."""


@attrs.frozen
class Bar:
    """Something that took time.

    :ivar row: in which it lies, from 0.
    :ivar begin: seconds from the beginning of the timeline, like ``end``.
    :ivar open: whether it is not over at the end.
    """

    kind: str
    row: int
    begin: float
    end: float
    open: bool = False


@attrs.frozen
class Timeline:
    """What is to be drawn; all times are seconds from its beginning.

    :ivar span: its length.
    :ivar connections: the names of the barriers' rows.
    :ivar barriers: in the order of their ends.
    :ivar operations: while the hardware works on them, in the order in which they were begun.
    :ivar rows: how many rows these have: as many as the hardware works on at once.
    :ivar waiting: from which time on how many operations have waited for the hardware.
    :ivar moves: how many entries are moved, in each of equal parts of the time.
    :ivar busy: the share of each of those in which the hardware works on something.
    """

    span: float
    connections: Sequence[str]
    barriers: Sequence[Bar]
    operations: Sequence[Bar]
    rows: int
    waiting: Sequence[tuple[float, int]]
    moves: Sequence[float]
    busy: Sequence[float]


def timeline(data: Data, last: float | None = None, bins: int = BINS) -> Timeline:
    """Make it.

    :param data: see :func:`agent.admin.timeline.timeline`.
    :param last: no more than so many seconds before now; None: all that there is.
    """
    operations, barriers = data["operations"], data["barriers"]
    ages = [one["arrived"] for one in operations] + [one["since"] for one in barriers]
    start = -max(ages, default=0.0)
    if last is not None:
        start = max(start, -last)
    ends = [-(one["finished"] or 0.0) for one in operations]
    ends += [-(one["answered"] or 0.0) for one in barriers]
    end = max(ends, default=0.0)
    span = max(end - start, SHORTEST)
    work = _rows(_works(operations, start, span))
    names = _names(one for one in barriers if _end(one["answered"], start, span) >= 0)
    return Timeline(
        span,
        names,
        _barriers(barriers, names, start, span),
        work,
        1 + max((bar.row for bar in work), default=0),
        _waiting(operations, start, span),
        _moves(operations, start, span, bins),
        _busy(work, span, bins),
    )


def _end(age: float | None, start: float, span: float) -> float:
    """A time, from how long ago it was; None: it is yet to come."""
    return span if age is None else min(-age - start, span)


def _names(barriers: Iterable[Data]) -> list[str]:
    """The rows of barriers: those connections that have most of them, by name."""
    counts: dict[str, int] = {}
    for one in barriers:
        counts[one["connection"]] = counts.get(one["connection"], 0) + 1
    if len(counts) <= MAX_CONNECTIONS:
        return sorted(counts)
    most = heapq.nlargest(MAX_CONNECTIONS - 1, sorted(counts), key=counts.__getitem__)
    return [*sorted(most), f"{len(counts) - len(most)} others"]


def _barriers(
    barriers: Iterable[Data], names: Sequence[str], start: float, span: float
) -> list[Bar]:
    rows = {name: row for row, name in enumerate(names)}
    bars = [
        Bar(
            "barrier",
            rows.get(one["connection"], len(names) - 1),
            max(0.0, -one["since"] - start),
            _end(one["answered"], start, span),
            one["answered"] is None,
        )
        for one in barriers
        if _end(one["answered"], start, span) >= 0
    ]
    return sorted(bars, key=lambda bar: bar.end)


def _works(operations: Iterable[Data], start: float, span: float) -> list[Bar]:
    """What the hardware worked on, in the order in which it was begun."""
    bars = [
        Bar(
            KINDS[one["kind"]] if one["error"] is None else "refused",
            0,
            max(0.0, -one["begun"] - start),
            _end(one["finished"], start, span),
            one["finished"] is None,
        )
        for one in operations
        if one["begun"] is not None and _end(one["finished"], start, span) >= 0
    ]
    return sorted(bars, key=lambda bar: (bar.begin, bar.end))


def _rows(bars: Iterable[Bar]) -> list[Bar]:
    """The same in rows, so that none lies over another."""
    free: list[int] = []
    taken: list[tuple[float, int]] = []
    placed = []
    for bar in bars:
        while taken and taken[0][0] <= bar.begin:
            heapq.heappush(free, heapq.heappop(taken)[1])
        row = heapq.heappop(free) if free else len(taken)
        heapq.heappush(taken, (bar.end, row))
        placed.append(attrs.evolve(bar, row=row))
    return placed


def _waiting(operations: Iterable[Data], start: float, span: float) -> list[tuple[float, int]]:
    """How many wait, from each time on at which that changes."""
    changes: dict[float, int] = {0.0: 0, span: 0}
    for one in operations:
        arrived = max(0.0, -one["arrived"] - start)
        begun = max(0.0, _end(one["begun"], start, span))
        if begun > arrived:
            changes[arrived] = changes.get(arrived, 0) + 1
            if one["begun"] is not None:
                changes[begun] = changes.get(begun, 0) - 1
    waiting = 0
    steps = []
    for time, change in sorted(changes.items()):
        waiting += change
        steps.append((time, waiting))
    return steps


def _moves(operations: Iterable[Data], start: float, span: float, bins: int) -> list[float]:
    """How many entries move in each part, evenly while the hardware works on an operation.

    What is not over is left out: nobody knows how many of them have moved by now.
    """
    moves = [0.0] * bins
    for one in operations:
        if one["moves"] and one["finished"] is not None:
            begin, end = -one["begun"] - start, _end(one["finished"], start, span)
            _spread(moves, begin, max(end, begin), one["moves"], span)
    return moves


def _busy(bars: Sequence[Bar], span: float, bins: int) -> list[float]:
    """The share of each part that any of the bars, which are in order, has of it."""
    shares = [0.0] * bins
    until = 0.0
    for bar in bars:
        if bar.end > until:
            begin = max(bar.begin, until)
            _spread(shares, begin, bar.end, (bar.end - begin) * bins / span, span)
            until = bar.end
    return [min(1.0, share) for share in shares]


def _spread(parts: list[float], begin: float, end: float, amount: float, span: float) -> None:
    """Add an amount to the parts of the time, to each as much as it has of the period.

    What lies before the beginning is left out.
    """
    width = span / len(parts)
    last = len(parts) - 1
    if end - begin < width / 1000:
        # Too short to lie in several.
        if end >= 0:
            parts[min(int(end / width), last)] += amount
        return
    for part in range(max(0, int(begin / width)), min(int(end / width), last) + 1):
        share = min(end, (part + 1) * width) - max(begin, part * width)
        parts[part] += max(0.0, share) * amount / (end - begin)
