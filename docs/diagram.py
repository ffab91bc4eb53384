"""Diagrams of boxes and arrows, as SVG that reads on light and on dark pages alike.

A diagram is a few lines of text, which stay readable where the page is not built::

    box queued 0 0 QUEUED | not with the driver yet
    box flight 2 0 IN_FLIGHT
    queued -> flight : end of the turn

A box has a name, a column and a row (of a grid, fractions allowed) and lines of text; the first is
its title.  An arrow goes straight where its boxes are in one row or column.  Otherwise ``->``
leaves its box up or down, turns, and arrives from the side; ``=>`` goes from side to side, aslant.
``note COLUMN ROW TEXT`` is text without a box.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

import attrs

COLUMN: Final = 98
ROW: Final = 92
WIDTH: Final = 164
HEIGHT: Final = 50
MARGIN: Final = 14
LINE: Final = 15
APART: Final = 11
"""Between two arrows that lead back and forth."""

_BOX: Final = re.compile(r"box (\w+) ([\d.]+) ([\d.]+) (.+)")
_NOTE: Final = re.compile(r"note ([\d.]+) ([\d.]+) (.+)")
_ARROW: Final = re.compile(r"(\w+) (->|=>) (\w+)(?: : (.+))?")

Point = tuple[float, float]


class DiagramError(ValueError):
    """A line of a diagram cannot be understood."""


@attrs.frozen
class Box:
    """A box; ``x`` and ``y`` are its middle."""

    x: float
    y: float
    lines: list[str]

    @property
    def half(self) -> float:
        """Half of its height."""
        return max(HEIGHT, LINE * len(self.lines) + 18) / 2


def svg(text: str, title: str) -> str:
    """A diagram as an SVG element.

    :param title: what it shows, for those who cannot see it.
    :raises DiagramError: for a line that is none of those above, or names no box.
    """
    boxes: dict[str, Box] = {}
    notes: list[tuple[Point, str]] = []
    arrows: list[tuple[str, str, str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if found := _BOX.fullmatch(line):
            name, column, row, label = found.groups()
            boxes[name] = Box(*_at(column, row), _split(label))
        elif found := _NOTE.fullmatch(line):
            notes.append((_at(*found.groups()[:2]), found[3]))
        elif found := _ARROW.fullmatch(line):
            arrows.append((found[1], found[3], found[2], found[4] or ""))
        else:
            raise DiagramError(f"not a line of a diagram: {line}")
    unknown = {name for arrow in arrows for name in arrow[:2]} - set(boxes)
    if unknown or not boxes:
        raise DiagramError(f"no box is called {', '.join(sorted(unknown)) or 'anything'}")
    pairs = {(start, end) for start, end, _, _ in arrows}
    parts = [part for box in boxes.values() for part in _draw(box)]
    for start, end, way, label in arrows:
        back = (end, start) in pairs
        parts += _arrow(boxes[start], boxes[end], way, label, APART if back else 0)
    parts += [part for (x, y), label in notes for part in _text(x, y, _split(label), "middle")]
    width = max(box.x for box in boxes.values()) + WIDTH / 2
    height = max([box.y + box.half for box in boxes.values()] + [y + LINE for (_, y), _ in notes])
    return (
        f'<svg class="diagram" role="img" viewBox="0 0 {width + MARGIN:g} {height + MARGIN:g}" '
        f'style="max-width: {width + MARGIN:g}px" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{_HEAD}{''.join(parts)}</svg>"
    )


_HEAD: Final = (
    '<defs><marker id="arrow-head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z" fill="currentColor"/>'
    "</marker></defs>"
)


def _at(column: str, row: str) -> Point:
    x = MARGIN + WIDTH / 2 + float(column) * COLUMN
    return x, MARGIN + HEIGHT / 2 + float(row) * ROW


def _split(label: str) -> list[str]:
    return [line.strip() for line in label.split("|")]


def _draw(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x - WIDTH / 2:g}" y="{box.y - box.half:g}" width="{WIDTH}" '
        f'height="{2 * box.half:g}" rx="6" fill="currentColor" fill-opacity="0.07" '
        'stroke="currentColor" stroke-opacity="0.6"/>'
    )
    yield from _text(box.x, box.y, box.lines, "middle", title=True)


def _text(
    x: float, y: float, lines: Iterable[str], anchor: str, *, title: bool = False
) -> Iterator[str]:
    """Lines around a height; of a box, the first is its title."""
    lines = list(lines)
    top = y - LINE * (len(lines) - 1) / 2 + 4
    for number, line in enumerate(lines):
        bold = ' font-weight="600"' if title and not number else ""
        size = "12.5" if title and not number else "11.5"
        yield (
            f'<text x="{x:g}" y="{top + LINE * number:g}" text-anchor="{anchor}" '
            f'font-size="{size}"{bold} fill="currentColor">{escape(line)}</text>'
        )


def _arrow(start: Box, end: Box, way: str, label: str, apart: float) -> Iterator[str]:
    points, where, anchor = _path(start, end, way, apart)
    path = " L".join(f"{x:g} {y:g}" for x, y in points)
    yield (
        f'<path d="M{path}" fill="none" stroke="currentColor" stroke-opacity="0.8" '
        'marker-end="url(#arrow-head)"/>'
    )
    if label:
        lines = _split(label)
        x, y = where
        if anchor == "middle":
            # Above the line or, of an arrow back, below it.
            half = LINE * (len(lines) - 1) / 2 + 10
            y += half if apart and points[0][0] > points[-1][0] else -half
        yield from _text(x, y, lines, anchor)


def _path(start: Box, end: Box, way: str, apart: float) -> tuple[list[Point], Point, str]:
    """The points of an arrow, where its label goes, and how that is aligned there."""
    if start.y == end.y:
        sign = 1 if end.x > start.x else -1
        y = start.y - apart * sign
        points = [(start.x + sign * WIDTH / 2, y), (end.x - sign * WIDTH / 2, y)]
        return points, ((points[0][0] + points[1][0]) / 2, y), "middle"
    down = 1 if end.y > start.y else -1
    if start.x == end.x:
        x = start.x + apart * down
        points = [(x, start.y + down * start.half), (x, end.y - down * end.half)]
        anchor = "end" if apart and down < 0 else "start"
        beside = x + (-8 if anchor == "end" else 8)
        return points, (beside, (points[0][1] + points[1][1]) / 2), anchor
    sign = 1 if end.x > start.x else -1
    if way == "->":
        points = [
            (start.x, start.y + down * start.half),
            (start.x, end.y),
            (end.x - sign * WIDTH / 2, end.y),
        ]
        return points, (start.x + 8, (points[0][1] + end.y) / 2), "start"
    points = [(start.x + sign * WIDTH / 2, start.y), (end.x - sign * WIDTH / 2, end.y)]
    x, y = (points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2
    return points, (x + 8, y - 8 if sign == down else y + 12), "start"
