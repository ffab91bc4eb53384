"""The diagrams of the pages, to compare them with the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


class Diagram:
    """One diagram, as it is written.

    :ivar titles: the titles of its boxes, by their names.
    :ivar arrows: from where, labelled how, to where.
    """

    def __init__(self, page: str, title: str) -> None:
        """:raises ValueError: when there is none."""
        _, found, rest = (DOCS / page).read_text().partition(f"```{{diagram}} {title}\n")
        if not found:
            raise ValueError(f"{page} has no diagram {title!r}")
        text = rest.partition("```")[0]
        boxes = re.findall(r"^box (\w+) \S+ \S+ ([^|\n]+?) *(?:\||$)", text, re.MULTILINE)
        arrows = re.findall(r"^(\w+) [-=]> (\w+)(?: : (.+))?$", text, re.MULTILINE)
        self.titles: dict[str, str] = dict(boxes)
        self.arrows = {(start, label, end) for start, end, label in arrows}
