"""The configuration: every key there is, and :func:`load`, which reads them from a TOML file.

Each class is one table of the file and declares its keys with type, default, what is allowed and
help (:mod:`agent.admin.schema`).  Instances are immutable and compare by value, so that a reload
can tell what changed.  What :func:`load` returns has been checked as far as this can be done
without touching anything: ports that are in use are found by :mod:`agent.admin.listeners`, the
options of a driver by the driver's own factory.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

from agent.admin import consistency, values
from agent.admin.kinds import Boolean, Integer, ListOf, OneOf, Pattern, Seconds, Table, Text
from agent.admin.schema import Place, Refused, key, read
from agent.connmgr.target import ACTIVE_FORMS, PASSIVE_FORMS, Target

VERSIONS: Final = {"OpenFlow10": 1, "OpenFlow13": 4}
"""The protocols by the names Open vSwitch gives them, with their wire versions."""

MAX_PORT: Final = 0xFEFF
"""The highest port number that OpenFlow 1.0 has room for, as in Open vSwitch."""

_NAME: Final = Pattern(
    "a name of 1 to 15 letters, digits, '.', '_' and '-', not starting with '.' or '-'",
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}",
)


@attrs.frozen(kw_only=True)
class AgentConfig:
    """``[agent]``: what concerns the whole process."""

    run_dir: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.directory),
            "The directory of the sockets; it is made if it is not there.",
            default="run",
        )
    )
    control: Path | None = attrs.field(
        default=None,
        metadata=key(
            Text(values.CONTROL, values.control),
            "The control socket, which ovs-appctl speaks with.",
            default="",
        ),
    )
    http: tuple[str, int] | None = attrs.field(
        default=None,
        metadata=key(
            Text(values.HTTP, values.http),
            "Where metrics (at /metrics) and the page (at /) are served.",
            default="",
        ),
    )
    log_level: str = attrs.field(
        default="info",
        metadata=key(
            OneOf(("debug", "info", "warn", "error")), "The least level of messages to log."
        ),
    )
    log_format: str = attrs.field(
        default="text",
        metadata=key(
            OneOf(("text", "json")),
            "Lines for people, or one JSON object a line for machines.",
        ),
    )


@attrs.frozen(kw_only=True)
class TlsConfig:
    """``[tls]``: needed by ``ssl:`` and ``pssl:``; PEM files."""

    certificate: Path = attrs.field(
        metadata=key(Text(values.PATH, values.file), "The agent's certificate, with its chain.")
    )
    private_key: Path = attrs.field(
        metadata=key(Text(values.PATH, values.file), "The private key of the certificate.")
    )
    ca: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.file), "The authorities that peers' certificates come from."
        )
    )


_PROBE: Final = Seconds(0.1, 86400, "no probe")


@attrs.frozen(kw_only=True)
class ControllerConfig:
    """An entry of ``controllers``: a string, which is the target, or a table."""

    target: Target = attrs.field(
        metadata=key(
            Text(ACTIVE_FORMS, values.active_target),
            "Where to connect to; the port is 6653 unless given.",
        )
    )
    max_backoff: float = attrs.field(
        default=8.0,
        metadata=key(
            Seconds(1, 3600),
            "The longest wait between two attempts; the first wait is 1 s, and each is twice the "
            "one before.",
        ),
    )
    inactivity_probe: float = attrs.field(
        default=5.0,
        metadata=key(
            _PROBE,
            "After this long without a message an echo request is sent, and after as long again "
            "without an answer the connection is closed.",
        ),
    )


@attrs.frozen(kw_only=True)
class ListenerConfig:
    """An entry of ``listen``: a string, which is the target, or a table."""

    target: Target = attrs.field(
        metadata=key(
            Text(PASSIVE_FORMS, values.passive_target),
            "Where to listen; the port is 6653 unless given, and 0 means any free one.",
        )
    )
    inactivity_probe: float = attrs.field(
        default=5.0, metadata=key(_PROBE, "As for controllers, for each accepted connection.")
    )


def _frozen(options: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(options))


@attrs.frozen
class DriverConfig:
    """``[bridge.driver]``: which driver, and its own options, which only its factory knows.

    :ivar options: the other keys.  A string that names a file, as seen from the configuration's
        directory, has become that file's absolute path.  They are not hashed, being a mapping.
    """

    name: str
    options: Mapping[str, object] = attrs.field(factory=dict, converter=_frozen, hash=False)


@attrs.frozen
class _Driver:
    """The kind of ``[bridge.driver]``."""

    allowed: str = (
        'a table with the key name ("asic", "software", "tcflower" or a plugin\'s) '
        "and the driver's own options"
    )

    def read(self, value: object, place: Place) -> DriverConfig:
        """The name checked for its type, the options as they are."""
        if not isinstance(value, dict):
            raise Refused(f"must be {self.allowed}")
        name = value.get("name")
        if name is None:
            raise place.at("name").error("missing; must be the name of a driver")
        if not isinstance(name, str):
            raise place.at("name").error("must be a string, the name of a driver", name)
        options = {
            option: self._resolve(given, place)
            for option, given in value.items()
            if option != "name"
        }
        return DriverConfig(name, options)

    @staticmethod
    def _resolve(given: object, place: Place) -> object:
        # Only a driver knows which of its options are paths.  A plain word never becomes one,
        # so that a file which happens to be called "quanta" does not change a meaning.
        if isinstance(given, str) and ("/" in given or "." in given):
            path = os.path.join(place.directory, given)
            if os.path.isfile(path):
                return path
        return given


@attrs.frozen(kw_only=True)
class TableConfig:
    """``[[bridge.table]]``: restricts what the driver offers."""

    id: int = attrs.field(metadata=key(Integer(0, 254), "Which table."))
    name: str | None = attrs.field(
        default=None,
        metadata=key(
            Pattern("a string of 1 to 31 printable ASCII characters", r"[ -~]{1,31}"),
            "Its name; without it, the driver's.",
        ),
    )
    overflow: str = attrs.field(
        default="refuse",
        metadata=key(
            OneOf(("refuse", "evict")),
            "What happens to a rule for which there is no room: it is refused, or takes the place "
            "of the rule that would expire first; rules without a timeout stay.",
        ),
    )
    size: int | None = attrs.field(
        default=None,
        metadata=key(
            Integer(1, 10_000_000), "The most rules it takes; without it, what the driver offers."
        ),
    )


@attrs.frozen(kw_only=True)
class PortConfig:
    """``[[bridge.port]]``."""

    number: int = attrs.field(metadata=key(Integer(1, MAX_PORT), "Its OpenFlow number."))
    name: str = attrs.field(metadata=key(_NAME, "Its name; of a netdev, the device's."))
    type: str = attrs.field(
        default="netdev",
        metadata=key(
            OneOf(("memory", "netdev", "tap")),
            "memory: inside the agent only; netdev: an existing network device of that name; "
            "tap: a device of that name that the agent makes.",
        ),
    )


def _in_order(protocols: Iterable[str]) -> tuple[str, ...]:
    """Each once, the oldest first: the order they are written in means nothing."""
    given = frozenset(protocols)
    return tuple(name for name in VERSIONS if name in given)


@attrs.frozen(kw_only=True)
class BridgeConfig:
    """``[[bridge]]``: one switch."""

    name: str = attrs.field(metadata=key(_NAME, "Its name, unlike any other bridge's."))
    datapath_id: int = attrs.field(
        metadata=key(
            Text(values.DATAPATH_ID, values.datapath_id),
            "What controllers know it by, unlike any other switch's.",
        )
    )
    protocols: tuple[str, ...] = attrs.field(
        default=tuple(VERSIONS),
        converter=_in_order,
        metadata=key(
            ListOf(OneOf(tuple(VERSIONS)), least=1), "The versions of OpenFlow that it speaks."
        ),
    )
    fail_mode: str = attrs.field(
        default="secure",
        metadata=key(
            OneOf(("secure", "standalone")),
            "Without any controller: keep the rules, or forward like an ordinary switch.",
        ),
    )
    in_band: bool = attrs.field(
        default=False,
        metadata=key(Boolean(), "Whether controllers are reached through the switch itself."),
    )
    max_pending: int = attrs.field(
        default=50,
        metadata=key(
            Integer(1, 100_000),
            "The most groups of operations in flight; further requests wait.",
        ),
    )
    watchdog: float = attrs.field(
        default=60.0,
        metadata=key(
            Seconds(0.1, 86400, "no limit"),
            "An operation that the driver has not completed after this long has failed, and its "
            "rule is degraded.",
        ),
    )
    listen: tuple[ListenerConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(ListenerConfig, short="target")), "Where controllers may connect to."
        ),
    )
    controllers: tuple[ControllerConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(ControllerConfig, short="target")), "The controllers to connect to."
        ),
    )
    driver: DriverConfig = attrs.field(metadata=key(_Driver(), "What programs the hardware."))
    tables: tuple[TableConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(TableConfig)),
            "Names and sizes of tables; without any, all that the driver offers.",
            name="table",
        ),
    )
    ports: tuple[PortConfig, ...] = attrs.field(
        default=(), metadata=key(ListOf(Table(PortConfig)), "The ports.", name="port")
    )

    @property
    def versions(self) -> tuple[int, ...]:
        """The wire versions of :attr:`protocols`, ascending."""
        return tuple(VERSIONS[name] for name in self.protocols)


@attrs.frozen(kw_only=True)
class Config:
    """A whole file.

    :ivar place: the file, for messages; two configurations from different files can be equal.
    """

    agent: AgentConfig = attrs.field(
        metadata=key(Table(AgentConfig), "What concerns the whole process.", default={})
    )
    tls: TlsConfig | None = attrs.field(
        default=None, metadata=key(Table(TlsConfig), "Certificates, for ssl: and pssl:.")
    )
    bridges: tuple[BridgeConfig, ...] = attrs.field(
        metadata=key(ListOf(Table(BridgeConfig), least=1), "The switches.", name="bridge")
    )
    place: Place = attrs.field(eq=False, repr=False)

    def bridge_place(self, index: int) -> Place:
        """Where a bridge stands, for messages."""
        return self.place.at("bridge").item(index)


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check a configuration file.

    :raises ConfigError: for the first thing that is wrong.
    """
    file = os.fspath(path)
    directory = Path(file).absolute().parent
    place = Place(file, directory, directory)
    try:
        table = tomllib.loads(Path(file).read_bytes().decode())
    except OSError as error:
        raise place.error(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise place.error(f"must be UTF-8 text, and byte {error.start} is not") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise place.error(f"must be TOML: {error}") from None
    place = attrs.evolve(place, run_dir=_run_dir(table, place))
    config = read(Config, table, place, {"place": place})
    consistency.check(config)
    return config


def _run_dir(table: Mapping[str, object], place: Place) -> Path:
    """Where sockets go, which must be known before anything that names one is read."""
    agent = table.get("agent")
    given = {"run_dir": agent["run_dir"]} if isinstance(agent, dict) and "run_dir" in agent else {}
    return read(AgentConfig, given, place.at("agent")).run_dir
