"""What the tests of others measured, from ``measured.toml``: who measures again changes that."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from docs.table import table

FILE: Final = Path(__file__).with_name("measured.toml")


def load() -> dict[str, Any]:
    """What the file says."""
    return tomllib.loads(FILE.read_text())


def osken() -> list[str]:
    """How many of os-ken's test cases pass, and when that was counted."""
    found = load()["osken"]
    rows = [(row["name"], row["cases"], *_passed(row), f"`{row['run']}`") for row in found["rows"]]
    heads = ("cases that pass", "cases", "`software`", "`asic`", found["peer"], "measured by")
    return [
        *table(heads, rows),
        f"Counted on {found['date']}, at commit {found['commit']}.",
        "",
    ]


def _passed(row: dict[str, Any]) -> list[object]:
    """The cells of a row: what each has passed, empty where it was not measured."""
    return [row.get(column, "") for column in ("software", "asic", "peer")]
