"""The rooms of the house: the packages, what each is for, and what it leans on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from docs.table import first_sentence, table

ROOT: Final = Path(__file__).parents[1]
TOPS: Final = ("agent", "drivers")


def rooms() -> list[str]:
    """Every package: its purpose, its size, and the packages that it imports."""
    found = packages()
    return table(
        ("room", "what it is for", "lines", "leans on"),
        (
            (
                f"`{name}`",
                first_sentence(ast.get_docstring(ast.parse((path / "__init__.py").read_text()))),
                sum(len(module.read_text().splitlines()) for module in path.glob("*.py")),
                ", ".join(f"`{other}`" for other in sorted(leans_on(name, path, set(found)))),
            )
            for name, path in found.items()
        ),
    )


def packages() -> dict[str, Path]:
    """The directories of all packages by their names."""
    return {_name(path): path.parent for top in TOPS for path in _packages(top)}


def leans_on(name: str, path: Path, known: set[str]) -> set[str]:
    """The other packages that the modules of a package import, for more than their types."""
    used = set()
    for module in path.glob("*.py"):
        for target in _targets(module):
            while target and target not in known:
                target = target.rpartition(".")[0]
            used.add(target)
    return used - {name, "", *TOPS} | (used & {"drivers"} - {name})


def _packages(top: str) -> list[Path]:
    return sorted((ROOT / top).rglob("__init__.py"))


def _name(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


@cache
def _targets(module: Path) -> frozenset[str]:
    return frozenset(_imported(ast.parse(module.read_text())))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node)
