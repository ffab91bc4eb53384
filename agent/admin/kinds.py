"""What a value of the configuration may be: the kinds that :mod:`agent.admin.schema` reads with.

Every kind knows two things: in words what it allows, and how a value of TOML becomes the agent's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from agent.admin.schema import Kind, Place, Refused, keys, names, read, read_value

T = TypeVar("T")


@attrs.frozen
class Boolean:
    """``true`` or ``false``."""

    allowed: str = "true or false"

    def read(self, value: object, place: Place) -> bool:
        """Nothing but a boolean is one."""
        if isinstance(value, bool):
            return value
        raise Refused(f"must be {self.allowed}")


@attrs.frozen
class Integer:
    """A whole number from ``lowest`` to ``highest``, both allowed."""

    lowest: int
    highest: int

    @property
    def allowed(self) -> str:
        """The range."""
        return f"an integer from {self.lowest} to {self.highest}"

    def read(self, value: object, place: Place) -> int:
        """Booleans are integers to Python, but not to people."""
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.lowest <= value <= self.highest
        ):
            return value
        raise Refused(f"must be {self.allowed}")


@attrs.frozen
class Seconds:
    """A time span in seconds, whole or not.

    :ivar lowest: the shortest allowed.
    :ivar highest: the longest allowed.
    :ivar zero: what 0 means, where it is allowed although it is below ``lowest``; else empty.
    """

    lowest: float
    highest: float
    zero: str = ""

    @property
    def allowed(self) -> str:
        """The range."""
        text = f"seconds from {self.lowest:g} to {self.highest:g}"
        return f"{text}, or 0 for {self.zero}" if self.zero else text

    def read(self, value: object, place: Place) -> float:
        """Not a boolean, and neither inf nor nan, which TOML has."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.zero and value == 0:
                return 0.0
            if math.isfinite(value) and self.lowest <= value <= self.highest:
                return float(value)
        raise Refused(f"must be {self.allowed}")


@attrs.frozen
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """All of them."""
        return "one of " + ", ".join(f'"{word}"' for word in self.words)

    def read(self, value: object, place: Place) -> str:
        """The word as it is; upper and lower case differ."""
        if isinstance(value, str) and value in self.words:
            return value
        raise Refused(f"must be {self.allowed}")


@attrs.frozen
class Pattern:
    """A string of a certain shape.

    :ivar allowed: the shape in words.
    :ivar expression: the shape of the whole string.
    """

    allowed: str
    expression: str

    def read(self, value: object, place: Place) -> str:
        """The string as it is."""
        if isinstance(value, str) and re.fullmatch(self.expression, value, re.ASCII):
            return value
        raise Refused(f"must be {self.allowed}")


@attrs.frozen
class Text(Generic[T]):
    """A string that is turned into something else.

    :ivar allowed: what the string may be, in words.
    :ivar convert: from the string and its place; the text of its :exc:`ValueError` is the problem.
    :ivar form: the other way, for people.
    """

    allowed: str
    convert: Callable[[str, Place], T]
    form: Callable[[T], str] = str

    def read(self, value: object, place: Place) -> T:
        """What the conversion returns."""
        if not isinstance(value, str):
            raise Refused(f"must be {self.allowed}")
        try:
            return self.convert(value, place)
        except ValueError as error:
            raise Refused(str(error)) from None


@attrs.frozen
class ListOf(Generic[T]):
    """An array, each item of one kind.

    :ivar kind: of the items.
    :ivar least: how many items there must be.
    :ivar sparse: of tables, whether one that is not there means what one does that has its
        identity only.
    """

    kind: Kind[T]
    least: int = 0
    sparse: bool = False

    @property
    def allowed(self) -> str:
        """The items' kind."""
        return f"an array{', not empty' if self.least else ''}; each item {self.kind.allowed}"

    def read(self, value: object, place: Place) -> tuple[T, ...]:
        """A tuple of the items; an item that is wrong is named with its index."""
        if not isinstance(value, list) or len(value) < self.least:
            raise Refused(f"must be {self.allowed}")
        return tuple(
            read_value(self.kind, item, place.item(index)) for index, item in enumerate(value)
        )


@attrs.frozen
class Table(Generic[T]):
    """A table that is read into an attrs class.

    :ivar cls: the class.
    :ivar short: a key which may stand alone, as a string, instead of a table that has only it.
    """

    cls: type[T]
    short: str = ""

    @property
    def allowed(self) -> str:
        """Its keys."""
        table = f"a table with the keys {names(self.cls)}"
        return f"{keys(self.cls)[self.short].kind.allowed}, or {table}" if self.short else table

    def read(self, value: object, place: Place) -> T:
        """An instance of the class."""
        if self.short and isinstance(value, str):
            short = keys(self.cls)[self.short]
            return self.cls(**{short.field.name: short.kind.read(value, place)})
        if not isinstance(value, dict):
            raise Refused(f"must be {self.allowed}")
        return read(self.cls, value, place)
