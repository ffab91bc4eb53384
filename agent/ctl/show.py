"""How data are shown to people: tables, bars and times."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

Row = Sequence[object]


def table(heads: Sequence[str], rows: Sequence[Row], header: bool = True) -> str:
    """Rows in columns, numbers to the right.

    :returns: lines, each with its end; nothing where there are no rows and no header.
    """
    texts = [[_text(cell) for cell in row] for row in rows]
    shown = [list(heads), *texts] if header else texts
    widths = [max((len(row[at]) for row in shown), default=0) for at in range(len(heads))]
    right = [bool(rows) and all(_is_number(row[at]) for row in rows) for at in range(len(heads))]
    lines = []
    for row in shown:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def pairs(facts: Sequence[tuple[str, object]]) -> str:
    """Names and values."""
    width = max((len(name) for name, _ in facts), default=0)
    return "".join(f"{name.ljust(width)}  {_text(value)}".rstrip() + "\n" for name, value in facts)


def duration(seconds: float) -> str:
    """A time in its two greatest units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, lesser, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // lesser} {name}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def bar(part: int, whole: int, width: int = 30) -> str:
    """How much of something there is."""
    filled = width if part >= whole else part * width // whole
    return "[" + "#" * filled + "." * (width - filled) + "]"


class Progress:
    """A line that says how far something is, on a terminal; elsewhere nothing.

    :param out: where to write.
    """

    def __init__(self, what: str, out: TextIO | None = None) -> None:
        self._what = what
        self._out = sys.stderr if out is None else out
        self._most = 0
        self._shown = False

    def left(self, left: int) -> None:
        """So much is still to be done."""
        self._most = max(self._most, left)
        if self._most and self._out.isatty():
            done = self._most - left
            self._out.write(f"\r{self._what} {bar(done, self._most)} {done}/{self._most}\x1b[K")
            self._out.flush()
            self._shown = True

    def close(self) -> None:
        """It is over."""
        if self._shown:
            self._out.write("\n")


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.1f}"
    return str(cell)
