"""Profiles: what a kind of switch costs and holds, as data files.

A profile is a TOML file; ``etc/profiles`` has ours, and ``profile = "NAME"`` finds them there.
``profile = "PATH"`` (with a slash, or ending in ``.toml``) is somebody's own.  ``kind`` says what
its figures are worth: ``measured`` are fitted to measurements of a real switch, ``shaped after``
follow what others reported of one, and ``made up`` are just that.

Besides the keys that every profile has there are these, all optional::

    tables = [{ id = 0, size = 1000, announced = 4096, name = "acl" }]
    jitter = [0.1, 1.0, 2.1]        # or: the shares of the time at percentiles 5, 50 and 95
    [add]
    per_entry_from = 550            # residents that cost nothing

``announced`` is the size that the switch claims to have.  Real ones claim more than there is; what
does not fit is then refused by the hardware, and not before.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from drivers.interfaces import OptionError
from drivers.options import Options

KINDS: Final = ("measured", "shaped after", "made up")
"""What a profile's figures are worth."""

_DIRECTORY: Final = Path(__file__).with_name("profiles")
"""In a checkout a link to ``etc/profiles``, installed a directory."""

MAX_MS: Final = 1_000_000.0
MAX_SIZE: Final = 10_000_000

_P5, _P50, _P95 = 0.05, 0.50, 0.95


@attrs.frozen
class Law:
    """What one kind of operation costs.

    :ivar base: seconds of any such operation.
    :ivar per_entry: more for each resident entry beyond ``per_entry_from``, in seconds.
    :ivar per_entry_from: that many residents cost nothing.
    :ivar move: more for each entry that has to be moved, in seconds.
    """

    base: float
    per_entry: float = 0.0
    per_entry_from: int = 0
    move: float = 0.0

    def seconds(self, resident: int, moves: int) -> float:
        """The time of one operation, before jitter.

        :param resident: how many entries the table holds before it.
        """
        time = self.base + moves * self.move
        if resident > self.per_entry_from:
            time += (resident - self.per_entry_from) * self.per_entry
        return time

    @classmethod
    def read(cls, options: Options) -> Law:
        """From a table of a profile.

        :raises OptionError: for the first key that is wrong.
        """
        law = cls(
            options.number("base_ms", 0, MAX_MS) / 1e3,
            options.number("per_entry_us", 0, MAX_MS, 0.0) / 1e6,
            options.integer("per_entry_from", 0, MAX_SIZE, 0),
            options.number("move_us", 0, MAX_MS, 0.0) / 1e6,
        )
        options.finish()
        return law


@attrs.frozen
class Jitter:
    """How the time of an operation varies: its shares at percentiles 5, 50 and 95.

    Between them, and beyond to both ends, the quantiles lie on straight lines.  Without jitter all
    three are 1.
    """

    p5: float = 1.0
    p50: float = 1.0
    p95: float = 1.0

    def share(self, quantile: float) -> float:
        """The share of the time at a quantile from 0 to 1; never negative."""
        end, at = (self.p5, _P5) if quantile < _P50 else (self.p95, _P95)
        return max(0.0, self.p50 + (end - self.p50) * (quantile - _P50) / (at - _P50))

    @classmethod
    def read(cls, options: Options) -> Jitter:
        """From a profile: one share, by which the time is at most shorter or longer, all the same
        likely; or the three percentiles.

        :raises OptionError: when it is neither.
        """
        allowed = "a number from 0 to 1, or three numbers from 0 to 100 in ascending order"
        given = options.anything("jitter", allowed, 0.0)
        numbers = given if isinstance(given, list | tuple) else [given]
        if all(type(number) in (int, float) for number in numbers):
            if len(numbers) == 1 and 0 <= numbers[0] <= 1:
                reach = numbers[0] * (_P95 - _P5)
                return cls(1 - reach, 1.0, 1 + reach)
            if len(numbers) == 3 and 0 <= numbers[0] <= numbers[1] <= numbers[2] <= 100:
                return cls(*numbers)
        raise OptionError(options.at + "jitter", given, f"must be {allowed}")


@attrs.frozen
class ProfileTable:
    """A table of a switch.

    :ivar size: how many entries there is room for.
    :ivar announced: how many the switch says there is room for.
    """

    table_id: int
    size: int
    announced: int
    name: str

    @classmethod
    def read(cls, options: Options) -> ProfileTable:
        """From an item of ``tables``.

        :raises OptionError: for the first key that is wrong.
        """
        table_id = options.integer("id", 0, 254)
        size = options.integer("size", 1, MAX_SIZE)
        table = cls(
            table_id,
            size,
            options.integer("announced", 1, MAX_SIZE, size),
            options.text("name", f"tcam{table_id}"),
        )
        if len(table.name) > 31:
            raise OptionError(options.at + "name", table.name, "must have at most 31 characters")
        options.finish()
        return table


@attrs.frozen
class Profile:
    """A kind of switch.

    :ivar name: what it is called.
    :ivar source: where the figures are from.
    :ivar kind: one of :data:`KINDS`.
    :ivar tables: at least one, with ascending numbers from 0.
    :ivar parallel: how many operations the hardware works on at once.  It finishes them in the
        order in which it began them, as a pipeline does.
    :ivar jitter: how times vary.
    :ivar add: what an ADD costs.
    :ivar modify: what a MODIFY or a REPLACE costs, which both rewrite an entry in place.
    :ivar delete: what a DELETE costs.
    """

    name: str
    source: str
    kind: str
    tables: tuple[ProfileTable, ...]
    parallel: int
    jitter: Jitter
    add: Law
    modify: Law
    delete: Law

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Profile:
        """From the contents of a profile file.

        :raises OptionError: for the first key that is wrong.
        """
        options = Options(table)
        profile = cls(
            options.text("name"),
            options.text("source"),
            options.one_of("kind", KINDS),
            tuple(
                ProfileTable.read(item)
                for item in options.tables("tables", "{ id = 0, size = 1000 }")
            ),
            options.integer("parallel", 1, 1000, 1),
            Jitter.read(options),
            Law.read(options.table("add")),
            Law.read(options.table("modify")),
            Law.read(options.table("delete")),
        )
        ids = [item.table_id for item in profile.tables]
        if not ids or ids[0] != 0 or ids != sorted(set(ids)):
            raise OptionError(
                "tables", ids, "there must be table 0, then others in ascending order"
            )
        options.finish()
        return profile


def profile_names() -> list[str]:
    """The profiles that come with the agent."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.toml"))


def profile_path(name: str) -> Path:
    """Where the profile of this name, or at this path, is.

    :raises OptionError: when there is none of this name.
    """
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    path = _DIRECTORY / f"{name}.toml"
    if name not in profile_names():
        names = ", ".join(profile_names())
        raise OptionError("profile", name, f"must be one of {names}, or the path of a file")
    return path


def load(name: str) -> Profile:
    """The profile of this name, or at this path.

    :raises OptionError: when it is not there, or something is wrong in it; the key is always
        ``profile``, and the text says where in the file.
    """
    path = profile_path(name)
    try:
        return Profile.read(tomllib.loads(path.read_bytes().decode()))
    except OSError as error:
        problem = f"{path}: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{path}: must be UTF-8 text"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"{path}: must be TOML: {error}"
    except OptionError as error:
        problem = f"{path}: {error}"
    raise OptionError("profile", name, problem)
