"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

YES: Final = "✓"
NO: Final = ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    return [
        _row(heads),
        _row("---" for _ in heads),
        *(_row(row) for row in rows),
        "",
    ]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def tick(holds: object) -> str:
    """A mark where something holds, and nothing where it does not."""
    return YES if holds else NO


def first_sentence(text: str | None) -> str:
    """The first paragraph of a docstring, on one line, without its reST roles."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    for role in (":class:", ":mod:", ":meth:", ":data:", ":func:", ":attr:"):
        paragraph = paragraph.replace(role, "")
    return paragraph.replace("``", "`").replace("`~", "`")
