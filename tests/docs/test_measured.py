"""Tests of :mod:`docs.measured`: what was measured is the same wherever it is said."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from docs.measured import load, osken

README = Path(__file__).parents[2] / "README.md"


class MeasuredTests(SynchronousTestCase):
    """The file, the page and the README."""

    def test_readme(self) -> None:
        """The README's table has the figures of the file."""
        rows = load()["osken"]["rows"]
        said = [
            tuple(cell.strip() for cell in line.strip("|").split("|"))
            for line in re.findall(r"^\| OpenFlow 1\..*\|$", README.read_text(), re.MULTILINE)
        ]
        columns = ("name", "cases", "software", "asic", "peer")
        self.assertEqual(
            said, [tuple(str(row.get(column, "")) for column in columns) for row in rows]
        )
        self.assertEqual(len(rows), 5)

    def test_page(self) -> None:
        """The page shows each row, and nothing where nothing was measured."""
        page = "\n".join(osken())
        self.assertIn("| OpenFlow 1.3, action | 226 | 210 | 210 | 140 | `make system-test` |", page)
        self.assertIn("| OpenFlow 1.3, meter | 36 | 36 |  | 0 | `make osken-long` |", page)
        self.assertRegex(page, r"Counted on \d{4}-\d\d-\d\d, at commit [0-9a-f]{7}\.")

    def test_plausible(self) -> None:
        """Nobody passes more cases than there are."""
        for row in load()["osken"]["rows"]:
            for column in ("software", "asic", "peer"):
                self.assertLessEqual(row.get(column, 0), row["cases"], row["name"])
