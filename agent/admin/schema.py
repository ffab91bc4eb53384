"""Reading a TOML table into an attrs class, strictly, and saying exactly what is wrong.

A class of configuration declares each of its keys once::

    size: int = attrs.field(
        default=50, metadata=key(Integer(1, 1000), "What it is for.", change=WARM)
    )

and that one line is the type, the default, what is allowed (a kind, see :mod:`agent.admin.kinds`),
the help, and what has to happen to a running agent when the value changes (:class:`Change`).
:func:`read` checks a table against it; :func:`describe` lists it, for the reference documentation;
:func:`agent.admin.changes.differences` compares two configurations by it.

Nothing is guessed and nothing is ignored: an unknown key, a wrong type (true is no integer), a
missing key or a bad value raises :class:`ConfigError`, whose text is one line with the file, the
key, the value and what is allowed.

What this module does not do: rules that span several keys.  Those are in
:mod:`agent.admin.consistency`.
"""

from __future__ import annotations

import difflib
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import attrs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MISSING: Final = object()
"""The value where there is none."""

_KEY: Final = "ofagent.key"
_SHOWN: Final = 80
_FACTORY: Final[type] = type(attrs.Factory(list))


class ConfigError(Exception):
    """The configuration cannot be used.

    :ivar file: the file's name, as it was given.
    :ivar key: the way to the value, like ``bridge[0].datapath_id``; empty: the file as a whole.
    :ivar value: what was found, or :data:`MISSING`.
    :ivar problem: what is wrong and what is allowed, for people.
    """

    def __init__(self, file: str, key: str, value: object, problem: str) -> None:
        super().__init__(file, key, value, problem)
        self.file = file
        self.key = key
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        """One line, whatever the value holds."""
        parts = [self.file]
        if self.key:
            parts.append(self.key if self.value is MISSING else f"{self.key} = {show(self.value)}")
        parts.append(self.problem)
        return one_line(": ".join(parts))


class Refused(Exception):
    """A value is not allowed, and the text says what is; who catches it knows where it stands."""


@attrs.frozen
class Place:
    """Where in which file something stands.

    :ivar file: its name, as it was given.
    :ivar directory: what relative paths in it are relative to; absolute.
    :ivar run_dir: what relative paths of sockets in it are relative to; absolute.
    :ivar key: the way to it so far.
    """

    file: str
    directory: Path
    run_dir: Path
    key: str = ""

    def at(self, name: str) -> Place:
        """The place of a key in the table that stands here."""
        if not name.isprintable() or not name or any(char in '.[]=:" ' for char in name):
            name = show(name)
        return attrs.evolve(self, key=f"{self.key}.{name}" if self.key else name)

    def item(self, index: int) -> Place:
        """The place of an item of the array that stands here."""
        return attrs.evolve(self, key=f"{self.key}[{index}]")

    def error(self, problem: str, value: object = MISSING) -> ConfigError:
        """An error here."""
        return ConfigError(self.file, self.key, value, problem)


class Kind(Protocol[T_co]):
    """What a value may be, and how it is read."""

    @property
    def allowed(self) -> str:
        """What it may be, for people; completes "must be"."""

    def read(self, value: object, place: Place) -> T_co:
        """The value as the agent uses it.

        :raises Refused: when it is not allowed.
        :raises ConfigError: when something inside it is not.
        """


class Change(enum.Enum):
    """What a new value of a key asks for while the agent runs."""

    WARM = "warm"  # it takes effect at once; connections, rules and operations stay
    COLD = "cold"  # its bridge is stopped, and started anew
    IDENTITY = "identity"  # there is no new value: another value is another entry


@attrs.frozen
class ColdIf:
    """When the change of a key that is warm otherwise is cold.

    :ivar text: when; completes "cold if".
    :ivar holds: whether it is, given the old and the new value.
    """

    text: str
    holds: Callable[[Any, Any], bool]


@attrs.frozen
class Key:
    """One key of a table.

    :ivar field: the attribute it is read into.
    :ivar name: how it is written in the file.
    :ivar kind: what it may be.
    :ivar text: what it is for.
    :ivar default: what it is when it is absent, as TOML gives it; :data:`MISSING`: the field's own
        default, or none.
    :ivar change: what a new value asks for.
    :ivar cold_if: when it is not what :attr:`change` says; None: never.
    """

    field: attrs.Attribute[Any]
    name: str
    kind: Kind[Any]
    text: str
    default: object
    change: Change
    cold_if: ColdIf | None

    @property
    def required(self) -> bool:
        """Whether the file must have it."""
        return self.default is MISSING and self.field.default is attrs.NOTHING

    @property
    def shown_default(self) -> str:
        """Its default as TOML writes it; empty when there is none, or other keys decide it."""
        default = self.field.default if self.default is MISSING else self.default
        if default is None or default is attrs.NOTHING or isinstance(default, _FACTORY):
            return ""
        return show(default)


def key(
    kind: Kind[Any],
    text: str,
    *,
    change: Change,
    cold_if: ColdIf | None = None,
    name: str = "",
    default: object = MISSING,
) -> Mapping[str, object]:
    """The metadata of an attrs field that makes it a key of the configuration.

    :param text: what it is for.
    :param change: what a new value asks for; of a key that is a table or an array of tables, what
        it asks for when one comes or goes.
    :param cold_if: when it is cold all the same.
    :param name: how it is written in the file, where it is not the field's name.
    :param default: a default that is read as if it stood in the file, for values whose meaning
        depends on where the file is.
    """
    return {_KEY: (kind, text, name, default, change, cold_if)}


def keys(cls: type) -> Mapping[str, Key]:
    """The keys of a class of configuration by their names, in their order."""
    found = {}
    for field in attrs.fields(cls):
        if _KEY in field.metadata:
            kind, text, name, default, change, cold_if = field.metadata[_KEY]
            name = name or field.name
            found[name] = Key(field, name, kind, text, default, change, cold_if)
    return found


def names(cls: type) -> str:
    """The keys of a class of configuration, for messages."""
    return ", ".join(keys(cls))


def read(
    cls: type[T],
    table: Mapping[str, object],
    place: Place,
    extra: Mapping[str, object] = MappingProxyType({}),
) -> T:
    """Read a table into ``cls``.

    :param extra: fields of ``cls`` that are no keys.
    :raises ConfigError: for an unknown key, or else for the first that is wrong, in the order of
        ``cls``.
    """
    known = keys(cls)
    for name, value in table.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise place.at(name).error(f"unknown key; {hint}allowed here: {names(cls)}", value)
    values = dict(extra)
    for name, entry in known.items():
        given = table.get(name, entry.default)
        if given is not MISSING:
            values[entry.field.name] = read_value(entry.kind, given, place.at(name))
        elif entry.required:
            raise place.at(name).error(f"missing; must be {entry.kind.allowed}")
    return cls(**values)


def read_value(kind: Kind[T], value: object, place: Place) -> T:
    """Read one value.

    :raises ConfigError: when it is not allowed.
    """
    try:
        return kind.read(value, place)
    except Refused as refused:
        raise place.error(str(refused), value) from None


def show(value: object) -> str:
    """A value as TOML writes it, shortened, on one line."""
    if isinstance(value, tuple):
        value = list(value)
    text = one_line(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def one_line(text: str) -> str:
    """The text with what is not printable escaped: it breaks neither lines nor terminals."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def describe(cls: type) -> Sequence[tuple[str, Sequence[Key]]]:
    """Every table that can stand in a table of ``cls``, itself first: the way there, and its keys.

    The ways are like ``bridge.port``, the first is empty; for the reference documentation.
    """
    tables: list[tuple[str, Sequence[Key]]] = [("", tuple(keys(cls).values()))]
    for entry in keys(cls).values():
        inner = getattr(getattr(entry.kind, "kind", entry.kind), "cls", None)
        if inner is not None:
            tables += [
                (f"{entry.name}.{way}" if way else entry.name, below)
                for way, below in describe(inner)
            ]
    return tables
