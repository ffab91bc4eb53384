"""Checked reading of a driver's options, for the drivers that come with the agent.

Small on purpose: a driver has a handful of options, and each wrong one shall be told in one line
that says what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from drivers.interfaces import OptionError, TableCapabilities

_MISSING: Final = object()
REQUIRED: Final = object()
"""The default of an option that has none."""


class Options:
    """A table of options that is taken apart key by key.

    ``Options({"seed": 1}).number("seed", 0)``; what is left at the end nobody knows:
    :meth:`finish`.

    :ivar at: what goes before each key in errors: empty, or the key of a nested table and a dot.
    """

    def __init__(self, table: Mapping[str, Any], at: str = "") -> None:
        self.at = at
        self._left = dict(table)
        self._known: list[str] = []

    def _take(self, key: str, default: object, allowed: str) -> Any:
        self._known.append(key)
        value = self._left.pop(key, _MISSING)
        if value is not _MISSING:
            return value
        if default is REQUIRED:
            raise OptionError(self.at + key, None, f"missing; must be {allowed}")
        return default

    def text(self, key: str, default: object = REQUIRED) -> Any:
        """A string that is not empty."""
        value = self._take(key, default, "a string")
        if value is not default and not (isinstance(value, str) and value):
            raise OptionError(self.at + key, value, "must be a string, not empty")
        return value

    def one_of(self, key: str, allowed: Sequence[str], default: object = REQUIRED) -> Any:
        """One of some words."""
        words = "one of " + ", ".join(f'"{word}"' for word in allowed)
        value = self._take(key, default, words)
        if value is not default and value not in allowed:
            raise OptionError(self.at + key, value, f"must be {words}")
        return value

    def flag(self, key: str, default: object = REQUIRED) -> Any:
        """True or false."""
        value = self._take(key, default, "true or false")
        if value is not default and not isinstance(value, bool):
            raise OptionError(self.at + key, value, "must be true or false")
        return value

    def integer(self, key: str, least: int, most: int, default: object = REQUIRED) -> Any:
        """A whole number from ``least`` to ``most``."""
        allowed = f"a whole number from {least} to {most}"
        value = self._take(key, default, allowed)
        if value is not default and (type(value) is not int or not least <= value <= most):
            raise OptionError(self.at + key, value, f"must be {allowed}")
        return value

    def number(self, key: str, least: float, most: float, default: object = REQUIRED) -> Any:
        """A number from ``least`` to ``most``, as a float."""
        allowed = f"a number from {least:g} to {most:g}"
        value = self._take(key, default, allowed)
        if value is default:
            return value
        # The comparison refuses not-a-number as well.
        if type(value) not in (int, float) or not least <= value <= most:
            raise OptionError(self.at + key, value, f"must be {allowed}")
        return float(value)

    def anything(self, key: str, allowed: str, default: object = REQUIRED) -> Any:
        """Whatever there is, for the caller to check.

        :param allowed: what may be given, for the case that there is nothing.
        """
        return self._take(key, default, allowed)

    def sequence(self, key: str, of: str, default: object = REQUIRED) -> Any:
        """A list, of which the caller checks the items.

        :param of: what it is a list of, in the plural.
        """
        value = self._take(key, default, f"a list of {of}")
        if value is not default and not isinstance(value, list | tuple):
            raise OptionError(self.at + key, value, f"must be a list of {of}")
        return value

    def table(self, key: str, default: object = REQUIRED) -> Options:
        """A nested table."""
        value = self._take(key, default, "a table")
        if not isinstance(value, Mapping):
            raise OptionError(self.at + key, value, "must be a table")
        return Options(value, f"{self.at}{key}.")

    def tables(self, key: str, example: str) -> list[Options]:
        """A list of tables.

        :param example: what an item looks like.
        """
        items = self.sequence(key, f"tables like {example}")
        for item in items:
            if not isinstance(item, Mapping):
                raise OptionError(self.at + key, items, f"must be a list of tables like {example}")
        return [Options(item, f"{self.at}{key}[{place}].") for place, item in enumerate(items)]

    def finish(self) -> None:
        """There must be no other options than those that were asked for.

        :raises OptionError: for the first that is left.
        """
        for key, value in self._left.items():
            known = ", ".join(self._known)
            raise OptionError(
                self.at + key, value, f"unknown; known are {known}" if known else "unknown"
            )


def restricted(
    capabilities: Iterable[TableCapabilities], entries: Sequence[Any]
) -> tuple[TableCapabilities, ...]:
    """The tables of a driver after what ``[[bridge.table]]`` says of them.

    :raises OptionError: for a table that the driver does not have, or cannot have as large.
    """
    tables = {table.table_id: table for table in capabilities}
    for entry in entries:
        table = tables.get(entry.id)
        if table is None:
            raise OptionError("table.id", entry.id, f"must be one of {_ranges(sorted(tables))}")
        if entry.size is not None and entry.size > table.max_entries:
            raise OptionError(
                "table.size",
                entry.size,
                f"table {entry.id} has room for {table.max_entries} rules",
            )
        tables[entry.id] = attrs.evolve(
            table,
            name=entry.name if entry.name is not None else table.name,
            max_entries=entry.size if entry.size is not None else table.max_entries,
        )
    return tuple(tables[table_id] for table_id in sorted(tables))


def _ranges(numbers: Sequence[int]) -> str:
    """``0-3, 7`` for ascending numbers."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
