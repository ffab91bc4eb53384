"""Reads what modules import, without importing them; for :mod:`tests.test_imports`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]


@attrs.frozen
class Import:
    """One name that a module imports.

    :ivar name: the absolute name, ``package.module`` or ``package.module.object``.
    :ivar line: where.
    :ivar eager: whether it happens when the module is imported: neither inside a function nor only
        for a type checker.
    :ivar typing: whether it is only for a type checker.
    """

    name: str
    line: int
    eager: bool = True
    typing: bool = False


def imports(tree: ast.AST, eager: bool = True, typing: bool = False) -> Iterator[Import]:
    """All imports in a module, at any depth.

    :raises ValueError: for a relative import, which this project does not use.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, eager, typing)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"relative import in line {node.lineno}")
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, eager, typing)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from imports(ast.Module([child], []), False, True)
            for child in node.orelse:
                yield from imports(ast.Module([child], []), eager, typing)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, eager and not function, typing)


def sources(*folders: str) -> dict[str, ast.Module]:
    """Every module under these folders of the project, by its dotted name."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(), str(path))
    return found


def within(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is one of these, or below one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def module_of(name: str, modules: Iterable[str]) -> str | None:
    """Which of the project's modules an imported name is in; None: it is not ours."""
    while name:
        if name in modules:
            return name
        name = name.rpartition(".")[0]
    return None


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The modules of one circle, the first repeated at the end; empty if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in graph.get(node, ()):
            found = visit(following, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    for start in graph:
        found = visit(start, [])
        if found:
            return found
    return []
