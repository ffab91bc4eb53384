"""What differs between two configurations, and what each difference asks of a running agent.

The keys themselves say that (:class:`agent.admin.schema.Change`); here they are compared, one by
one, so that everybody who is told of a change is told of the very key and both its values.  Entries
of an array are told apart by their identity (a bridge by its name, a controller by its target), and
their order means nothing.

Nothing is changed here: that is :mod:`agent.reload`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import attrs

from agent.admin.kinds import ListOf, Table
from agent.admin.schema import MISSING, Change, Key, keys, one_line, show

T = TypeVar("T")


@attrs.frozen
class Difference:
    """One key whose value is another.

    :ivar key: the way to it, like ``controllers[tcp:192.0.2.1:6653].max_backoff``.
    :ivar change: what it asks for.
    :ivar old: the value as the file had it; :data:`~agent.admin.schema.MISSING`: there was none.
    :ivar new: as the file has it now, likewise.
    """

    key: str
    change: Change
    old: object
    new: object

    def __str__(self) -> str:
        """``max_pending: 50 -> 10``, ``listen[ptcp:6653:0.0.0.0]: added``."""
        if self.old is MISSING:
            what = "added"
        elif self.new is MISSING:
            what = "removed"
        else:
            what = f"{_shown(self.old)} -> {_shown(self.new)}"
        return one_line(f"{self.key}: {what}")


def _shown(value: object) -> str:
    return "none" if value is None else show(value)


def differences(old: T, new: T) -> list[Difference]:
    """Everything that differs between two configurations of one class, in the order of its keys."""
    return list(_tables(type(old), old, new, ""))


def _tables(cls: type, old: object, new: object, way: str) -> Iterator[Difference]:
    """The differences of two tables."""
    for key in keys(cls).values():
        before, after = getattr(old, key.field.name), getattr(new, key.field.name)
        if before != after:
            yield from _values(key, before, after, f"{way}{key.name}")


def _values(key: Key, old: Any, new: Any, way: str) -> Iterator[Difference]:
    """The differences of two values of a key, which are not equal."""
    kind = key.kind
    if isinstance(kind, ListOf) and isinstance(kind.kind, Table):
        yield from _arrays(key, kind.kind.cls, kind.sparse, old, new, way)
    elif isinstance(kind, Table):
        if old is None or new is None:
            yield Difference(way, key.change, _there(old), _there(new))
        else:
            yield from _tables(kind.cls, old, new, f"{way}.")
    elif hasattr(kind, "parts"):
        before, after = kind.parts(old), kind.parts(new)
        for name in [*before, *(name for name in after if name not in before)]:
            one, other = before.get(name, MISSING), after.get(name, MISSING)
            if one != other:
                yield Difference(f"{way}.{name}", key.change, one, other)
    else:
        cold = key.cold_if is not None and key.cold_if.holds(old, new)
        yield Difference(
            way, Change.COLD if cold else key.change, _form(kind, old), _form(kind, new)
        )


def _arrays(
    key: Key, cls: type, sparse: bool, old: Iterable[Any], new: Iterable[Any], way: str
) -> Iterator[Difference]:
    """The differences of two arrays of tables."""
    identity = next(one for one in keys(cls).values() if one.change is Change.IDENTITY)
    before, after = _by_identity(identity, old), _by_identity(identity, new)
    for name in [*before, *(name for name in after if name not in before)]:
        value, _ = name
        one, other = before.get(name), after.get(name)
        if sparse:
            one = one or cls(**{identity.field.name: value})
            other = other or cls(**{identity.field.name: value})
        here = f"{way}[{_form(identity.kind, value)}]"
        if one is None or other is None:
            yield Difference(here, key.change, _there(one), _there(other))
        else:
            yield from _tables(cls, one, other, f"{here}.")


def _by_identity(identity: Key, entries: Iterable[Any]) -> dict[tuple[Any, int], Any]:
    """Entries by their identity, and the how-maniest of it: any free port may be there twice."""
    seen: Counter[Any] = Counter()
    found = {}
    for entry in entries:
        value = getattr(entry, identity.field.name)
        found[value, seen[value]] = entry
        seen[value] += 1
    return found


def _there(value: object) -> object:
    """A table, for a message that only says whether there is one."""
    return MISSING if value is None else value


def _form(kind: Any, value: Any) -> Any:
    """A value as the file has it."""
    if isinstance(kind, ListOf):
        return [_form(kind.kind, item) for item in value]
    return kind.form(value) if hasattr(kind, "form") and value is not None else value
