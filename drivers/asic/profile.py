"""Profiles: what a kind of switch costs and holds, as data files.

A profile is a TOML file; ``etc/profiles`` has ours, and ``profile = "NAME"`` finds them there.
``profile = "PATH"`` (with a slash, or ending in ``.toml``) is somebody's own.  ``kind`` says what
its figures are worth: ``measured`` are fitted to measurements of a real switch, ``shaped after``
follow what others reported of one, and ``made up`` are just that.

Besides the keys that every profile has there are these, all optional::

    tables = [{ id = 0, size = 1000, announced = 4096, name = "acl" }]
    jitter = [0.1, 1.0, 2.1]        # or: the shares of the time at percentiles 5, 50 and 95
    layout = "chunked"              # dense: see drivers.asic.layout
    free = "bottom"                 # top; with a dense layout, gaps: where the free room lies
    moves = "copy"                  # cut: an entry that is being moved is nowhere meanwhile
    groups = 256                    # how many there is room for
    meters = 256
    packet_in_ms = 25.7             # from the chip to the CPU, of a packet that goes there; 0
    packet_in_queue = 256           # packets on that way; more are dropped
    batch = 1                       # operations of one kind that are written together
    when_full = "reject"            # spill: to a table in software, with the times of [software]
    [add]
    per_entry_from = 550            # residents that cost nothing
    batched_ms = 10.0               # instead of base_ms, of all but the first of a batch
    [modify]
    how = "in place"                # delete and add; constant
    [software]
    base_ms = 1.0
    [statistics]
    read_ms = 5.0                   # of a read of counters, whatever is read; 0
    per_entry_us = 100.0            # more for each entry that is read; 0
    [lies]                          # see drivers.asic.lies
    answer_ms = 1.0                 # confirms so soon after it was told; the entry comes later
    reorder = 8                     # begins with any of so many that wait; 1
    priorities = "ignore"           # heed

``announced`` is the size that the switch claims to have.  Real ones claim more than there is; what
does not fit is then refused by the hardware, and not before.

A modify ``in place`` costs what ``[modify]`` says.  ``constant`` is the same, and may not depend on
what is in the table.  ``delete and add`` costs ``base_ms``, and what a delete and then an add of
the entry cost; from the one to the other packets do not meet it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from drivers.asic.layout import FREE, LAYOUTS
from drivers.asic.lies import HONEST, Lies
from drivers.interfaces import OptionError
from drivers.options import Options

KINDS: Final = ("measured", "shaped after", "made up")
"""What a profile's figures are worth."""

MOVES: Final = ("copy", "cut")
WHEN_FULL: Final = ("reject", "spill")
IN_PLACE: Final = "in place"
DELETE_AND_ADD: Final = "delete and add"
HOW: Final = (IN_PLACE, DELETE_AND_ADD, "constant")

_DIRECTORY: Final = Path(__file__).with_name("profiles")
"""In a checkout a link to ``etc/profiles``, installed a directory."""

MAX_MS: Final = 1_000_000.0
DEFAULT_GROUPS: Final = 256
DEFAULT_METERS: Final = 256
"""Made up: what was measured of real switches says nothing of groups and meters."""
DEFAULT_QUEUE: Final = 256
"""Likewise; of packets to the CPU only the latency was measured."""
MAX_SIZE: Final = 10_000_000

_P5, _P50, _P95 = 0.05, 0.50, 0.95


@attrs.frozen
class Law:
    """What one kind of operation costs.

    :ivar base: seconds of any such operation.
    :ivar per_entry: more for each resident entry beyond ``per_entry_from``, in seconds.
    :ivar per_entry_from: that many residents cost nothing.
    :ivar move: more for each entry that has to be moved, in seconds.
    :ivar batched: the base of an operation that is written together with the one before it; None:
        no less than alone.
    """

    base: float
    per_entry: float = 0.0
    per_entry_from: int = 0
    move: float = 0.0
    batched: float | None = None

    def seconds(self, resident: int, moves: int, batched: bool = False) -> float:
        """The time of one operation, before jitter.

        :param resident: how many entries the table holds before it.
        :param batched: whether it is written together with the one before it.
        """
        base = self.batched if batched and self.batched is not None else self.base
        time = base + moves * self.move
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
        batched = options.number("batched_ms", 0, law.base * 1e3, None)
        options.finish()
        return law if batched is None else attrs.evolve(law, batched=batched / 1e3)


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
    :ivar modify: what a MODIFY or a REPLACE costs.
    :ivar delete: what a DELETE costs.
    :ivar how: one of :data:`HOW`, how an entry is modified.
    :ivar layout: one of :data:`drivers.asic.layout.LAYOUTS`.
    :ivar free: one of :data:`drivers.asic.layout.FREE`.
    :ivar cuts: whether an entry that is being moved is nowhere meanwhile.
    :ivar batch: how many operations of one kind on one table are written together.
    :ivar software: what anything costs in the table in software, to which goes what does not fit;
        None: that is refused.
    :ivar groups: how many groups there is room for; they cost what rules cost that nothing has to
        be moved for, and so do meters.
    :ivar meters: how many meters.
    :ivar packet_in: seconds that a packet takes from the chip to the CPU.
    :ivar packet_in_queue: how many packets may be on that way.
    :ivar statistics: seconds that a read of counters takes.
    :ivar statistics_entry: more for each entry that is read.
    :ivar lies: in what it does not do as it says.
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
    how: str = IN_PLACE
    layout: str = "chunked"
    free: str = "bottom"
    cuts: bool = False
    batch: int = 1
    software: Law | None = None
    groups: int = DEFAULT_GROUPS
    meters: int = DEFAULT_METERS
    packet_in: float = 0.0
    packet_in_queue: int = DEFAULT_QUEUE
    statistics: float = 0.0
    statistics_entry: float = 0.0
    lies: Lies = HONEST

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Profile:
        """From the contents of a profile file.

        :raises OptionError: for the first key that is wrong.
        """
        options = Options(table)
        name, source = options.text("name"), options.text("source")
        kind = options.one_of("kind", KINDS)
        layout = options.one_of("layout", LAYOUTS, LAYOUTS[0])
        free = options.one_of("free", FREE, FREE[0])
        if free == "gaps" and layout != "dense":
            raise OptionError("free", free, 'must be "bottom" or "top" unless layout = "dense"')
        spills = options.one_of("when_full", WHEN_FULL, WHEN_FULL[0]) == "spill"
        modify = options.table("modify")
        how = modify.one_of("how", HOW, IN_PLACE)
        statistics = options.table("statistics", {})
        profile = cls(
            name,
            source,
            kind,
            tuple(
                ProfileTable.read(item)
                for item in options.tables("tables", "{ id = 0, size = 1000 }")
            ),
            options.integer("parallel", 1, 1000, 1),
            Jitter.read(options),
            Law.read(options.table("add")),
            Law.read(modify),
            Law.read(options.table("delete")),
            how,
            layout,
            free,
            options.one_of("moves", MOVES, MOVES[0]) == "cut",
            options.integer("batch", 1, MAX_SIZE, 1),
            Law.read(options.table("software")) if spills else None,
            options.integer("groups", 0, MAX_SIZE, DEFAULT_GROUPS),
            options.integer("meters", 0, MAX_SIZE, DEFAULT_METERS),
            options.number("packet_in_ms", 0, MAX_MS, 0.0) / 1e3,
            options.integer("packet_in_queue", 1, MAX_SIZE, DEFAULT_QUEUE),
            statistics.number("read_ms", 0, MAX_MS, 0.0) / 1e3,
            statistics.number("per_entry_us", 0, MAX_MS, 0.0) / 1e6,
            Lies.read(options.table("lies", {})),
        )
        statistics.finish()
        if how == "constant" and (profile.modify.per_entry or profile.modify.move):
            raise OptionError("modify.how", how, "must be another where the cost is not constant")
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
