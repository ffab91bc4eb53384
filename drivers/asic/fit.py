"""Fit a profile of the simulated ASIC to measurements of a switch.

``python -m drivers.asic.fit FILE.csv > mine.toml`` reads a table of operations that were measured
one at a time, and prints a profile that costs the same.  Its first line names the columns:

``ms``
    how many milliseconds the operation took; greater than 0.
``resident``
    how many entries the table held before it.
``moves``
    how many of them the switch had to move for it, as far as one knows: with priorities in chunks
    it is one for each priority that lies behind the new one.  May be left out: none.
``kind``
    add, modify or delete.  May be left out: add.

Other columns are ignored, and so are empty lines and those that begin with ``#``.

The law of each kind is ``base + per_entry * max(0, resident - per_entry_from) + move * moves``.
Its constants are those with the least squares of the relative errors, none of them negative, for
times vary by shares of themselves.  A ``per_entry_from`` other than 0 is only believed where it
explains clearly more.  What is left is the jitter: its percentiles are of the shares of the median.

What was measured with several operations under way at once has their waiting in it, and cannot be
told apart here.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from drivers.asic.profile import MAX_MS, MAX_SIZE, Jitter, Law

ADD: Final = "add"
KINDS: Final = (ADD, "modify", "delete")

FEWEST: Final = 8
"""How many operations of a kind there must be to fit a law to."""

KNEES: Final = 32
"""How many places of the knee are tried in each round."""

CLEARLY: Final = 0.9
"""A knee must leave less than this share of the squares that are left without one."""

_TINY: Final = 1e-9


@attrs.frozen
class Sample:
    """One operation.

    :ivar kind: one of :data:`KINDS`.
    :ivar seconds: how long it took.
    :ivar resident: how many entries there were.
    :ivar moves: how many of them were moved.
    """

    kind: str
    seconds: float
    resident: int
    moves: int = 0


@attrs.frozen
class Fit:
    """What was found.

    :ivar laws: by kind; those that were measured.
    :ivar jitter: how times vary.
    :ivar size: the most entries that were seen.
    """

    laws: dict[str, Law]
    jitter: Jitter
    size: int


def read(lines: Iterable[str]) -> list[Sample]:
    """The samples of a CSV file.

    :raises ValueError: naming the line, the column, what stands there and what may.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    rows = csv.DictReader((line for _, line in numbered), skipinitialspace=True)
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    for needed in ("ms", "resident"):
        if needed not in columns:
            raise ValueError(f"line 1: there must be a column {needed!r}, not only {columns}")
    samples = []
    for row, (number, _) in zip(rows, numbered[1:], strict=False):
        kind = (row.get("kind") or ADD).strip()
        if kind not in KINDS:
            raise ValueError(f"line {number}: kind: {kind!r} must be one of {', '.join(KINDS)}")
        samples.append(
            Sample(
                kind,
                _number(row, "ms", number, MAX_MS) / 1e3,
                int(_number(row, "resident", number, MAX_SIZE)),
                int(_number(row, "moves", number, MAX_SIZE)) if row.get("moves") else 0,
            )
        )
    return samples


def _number(row: dict[str, str], column: str, line: int, most: float) -> float:
    text = row[column] or ""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    whole = column != "ms"
    if not (0 <= number <= most) or (number == 0 and not whole) or (whole and number % 1):
        allowed = "a whole number from 0" if whole else "a number above 0,"
        raise ValueError(f"line {line}: {column}: {text!r} must be {allowed} to {most:g}")
    return number


def fit(samples: Sequence[Sample]) -> Fit:
    """The laws and the jitter that explain the samples.

    :raises ValueError: when there are too few of a kind, or no adds.
    """
    laws = {}
    shares: list[float] = []
    for kind in KINDS:
        mine = [sample for sample in samples if sample.kind == kind]
        if mine or kind == ADD:
            if len(mine) < FEWEST:
                raise ValueError(f"{len(mine)} operations of kind {kind}: must be {FEWEST} or more")
            laws[kind], found = _law(mine)
            shares += found
    shares.sort()
    p5, p95 = _percentile(shares, 0.05), _percentile(shares, 0.95)
    jitter = Jitter(min(p5, 1.0), 1.0, max(p95, 1.0))
    return Fit(laws, jitter, max(sample.resident for sample in samples) + 1)


def _percentile(ascending: Sequence[float], quantile: float) -> float:
    at = quantile * (len(ascending) - 1)
    low = int(at)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (at - low)


def _law(samples: Sequence[Sample]) -> tuple[Law, list[float]]:
    """The law of one kind, and the shares of its time that the operations took."""
    weights = [1 / sample.seconds for sample in samples]
    law = _best(samples, weights)
    # Once more, with errors relative to what is expected: relative to what was measured, short
    # times weigh too much.
    weights = [1 / max(law.seconds(s.resident, s.moves), _TINY) for s in samples]
    law = _best(samples, weights)
    shares = [s.seconds / max(law.seconds(s.resident, s.moves), _TINY) for s in samples]
    median = _percentile(sorted(shares), 0.5)
    law = attrs.evolve(
        law, base=law.base * median, per_entry=law.per_entry * median, move=law.move * median
    )
    return law, [share / median for share in shares]


def _best(samples: Sequence[Sample], weights: Sequence[float]) -> Law:
    """The law with the least squares, with a knee if there is one."""
    straight, left = _solve(samples, weights, 0)
    low, high = 0, max(sample.resident for sample in samples)
    best, least = straight, left
    while high - low > 1:
        stride = max(1, (high - low) // KNEES)
        for knee in range(low, high, stride):
            law, squares = _solve(samples, weights, knee)
            if squares < least:
                best, least = law, squares
        if stride == 1:
            break
        low, high = max(0, best.per_entry_from - stride), best.per_entry_from + stride
    return best if least < CLEARLY * left - _TINY * len(samples) else straight


def _solve(samples: Sequence[Sample], weights: Sequence[float], knee: int) -> tuple[Law, float]:
    """The law with this knee, and the squares of the weighted errors that it leaves."""
    rows = [
        (weight, max(0, sample.resident - knee) * weight, sample.moves * weight)
        for sample, weight in zip(samples, weights, strict=True)
    ]
    times = [sample.seconds * weight for sample, weight in zip(samples, weights, strict=True)]
    square = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    right = [sum(row[i] * time for row, time in zip(rows, times, strict=True)) for i in range(3)]
    used = [0, 1, 2]
    while True:
        found = _linear([[square[i][j] for j in used] for i in used], [right[i] for i in used])
        # What would have to be negative, or cannot be told from the others, is nothing.
        bad = [i for i, value in zip(used, found, strict=True) if value is None or value < 0]
        if not bad:
            break
        used.remove(bad[-1])
    terms = [0.0, 0.0, 0.0]
    for i, value in zip(used, found, strict=True):
        terms[i] = value or 0.0
    base, per_entry, move = terms
    squares = sum(
        (time - row[0] * base - row[1] * per_entry - row[2] * move) ** 2
        for row, time in zip(rows, times, strict=True)
    )
    return Law(base, per_entry, knee if per_entry else 0, move), squares


def _linear(matrix: list[list[float]], right: list[float]) -> list[float | None]:
    """The solution of linear equations with a symmetric matrix; None for what they leave open."""
    size = len(right)
    scale = [matrix[i][i] for i in range(size)]
    pivots = []
    for i in range(size):
        if matrix[i][i] <= _TINY * scale[i]:
            continue
        pivots.append(i)
        for k in range(size):
            if k != i:
                factor = matrix[k][i] / matrix[i][i]
                matrix[k] = [a - factor * b for a, b in zip(matrix[k], matrix[i], strict=True)]
                right[k] -= factor * right[i]
    return [right[i] / matrix[i][i] if i in pivots else None for i in range(size)]


def write(found: Fit, name: str, source: str, size: int | None = None) -> str:
    """The text of a profile file."""
    jitter = found.jitter
    parts = [
        f"name = {json.dumps(name)}",
        f"source = {json.dumps(source)}",
        'kind = "measured"',
        f"tables = [{{ id = 0, size = {size or found.size} }}]",
        f"jitter = [{jitter.p5:.4f}, {jitter.p50:.4f}, {jitter.p95:.4f}]",
    ]
    for kind in KINDS:
        law = found.laws.get(kind)
        parts.append("")
        if law is None:
            parts.append("# Not measured: taken to be as an add.")
            law = found.laws[ADD]
        parts += [f"[{kind}]", f"base_ms = {law.base * 1e3:.6f}"]
        if law.per_entry:
            parts.append(f"per_entry_us = {law.per_entry * 1e6:.6f}")
        if law.per_entry_from:
            parts.append(f"per_entry_from = {law.per_entry_from}")
        if law.move:
            parts.append(f"move_us = {law.move * 1e6:.6f}")
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m drivers.asic.fit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="a CSV file")
    parser.add_argument("--name", help="of the profile; default: that of the file")
    parser.add_argument("--source", help="who measured what, and how; default: the file")
    parser.add_argument("--size", type=int, help="entries there is room for; default: as seen")
    given = parser.parse_args(arguments)
    file: Path = given.file
    try:
        with file.open(newline="") as lines:
            found = fit(read(lines))
    except OSError as error:
        problem = error.strerror
    except (ValueError, csv.Error) as error:
        problem = str(error)
    else:
        sys.stdout.write(
            write(found, given.name or file.stem, given.source or file.name, given.size)
        )
        return 0
    sys.stderr.write(f"{file}: {problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
