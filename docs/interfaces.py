"""The interfaces of a module as reST: what autodoc does not make of those of zope.interface."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc
from typing import Any

from zope.interface.interface import InterfaceClass, Method


def describe(name: str) -> list[str]:
    """Every interface that a module defines, with its attributes and methods, in their order."""
    found = vars(import_module(name)).values()
    return [
        line
        for one in found
        if isinstance(one, InterfaceClass) and one.__module__ == name
        for line in _interface(one)
    ]


def _interface(one: InterfaceClass) -> Iterator[str]:
    yield f".. py:class:: {one.__module__}.{one.__name__}"
    yield from _text(one.__doc__, 1)
    for name, what in one.namesAndDescriptions():
        if isinstance(what, Method):
            signature: Any = what.getSignatureString
            yield f"   .. py:method:: {name}{signature()}"
        else:
            yield f"   .. py:attribute:: {name}"
        yield from _text(what.__doc__, 2)


def _text(doc: str | None, depth: int) -> Iterator[str]:
    yield ""
    for line in cleandoc(doc or "").splitlines():
        yield f"{'   ' * depth}{line}" if line else ""
    yield ""
