"""The configuration: every key there is, and :func:`load`, which reads them from a TOML file.

Each class is one table of the file and declares its keys with type, default, what is allowed,
help, and what a new value asks for while the agent runs (:mod:`agent.admin.schema`).  Those of a
bridge are in :mod:`agent.admin.config_bridge`.  Instances are immutable and compare by value, so
that a reload can tell what changed (:mod:`agent.admin.changes`).

What :func:`load` returns has been checked as far as this can be done without touching anything:
ports that are in use are found by :mod:`agent.admin.listeners`, the options of a driver by the
driver's own factory.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs

from agent.admin import consistency, values
from agent.admin.config_bridge import BridgeConfig, BridgeTable
from agent.admin.kinds import ListOf, OneOf, Seconds, Table, Text
from agent.admin.schema import Change, Place, key, read

WARM = Change.WARM


@attrs.frozen(kw_only=True)
class AgentConfig:
    """``[agent]``: what concerns the whole process."""

    run_dir: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.directory),
            "The directory of the sockets; it is made if it is not there.",
            change=WARM,
            default="run",
        )
    )
    control: Path | None = attrs.field(
        default=None,
        metadata=key(
            Text(values.CONTROL, values.control),
            "The control socket, which ovs-appctl speaks with.",
            change=WARM,
            default="",
        ),
    )
    http: tuple[str, int] | None = attrs.field(
        default=None,
        metadata=key(
            Text(values.HTTP, values.http, values.show_http),
            "Where metrics (at /metrics) and the page (at /) are served.",
            change=WARM,
            default="",
        ),
    )
    http_token: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.in_run_dir),
            "The file with the token that a reader from elsewhere has to send; it is made if it is "
            "not there, and not used while http is a loopback address.",
            change=WARM,
            default="http.token",
        )
    )
    log_level: str = attrs.field(
        default="info",
        metadata=key(
            OneOf(("debug", "info", "warn", "error")),
            "The least level of messages to log; a new one replaces what was set by vlog/set.",
            change=WARM,
        ),
    )
    log_format: str = attrs.field(
        default="text",
        metadata=key(
            OneOf(("text", "json")),
            "Lines for people, or one JSON object a line for machines.",
            change=WARM,
        ),
    )
    drain: float = attrs.field(
        default=5.0,
        metadata=key(
            Seconds(0.1, 3600, "no time at all"),
            "How long a bridge that is stopped waits for its operations in flight, and one that "
            "is removed or restarted for its rules to be deleted as well.",
            change=WARM,
        ),
    )


@attrs.frozen(kw_only=True)
class TlsConfig:
    """``[tls]``: needed by ``ssl:`` and ``pssl:``; PEM files."""

    certificate: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.file), "The agent's certificate, with its chain.", change=WARM
        )
    )
    private_key: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.file), "The private key of the certificate.", change=WARM
        )
    )
    ca: Path = attrs.field(
        metadata=key(
            Text(values.PATH, values.file),
            "The authorities that peers' certificates come from.",
            change=WARM,
        )
    )


@attrs.frozen(kw_only=True)
class Config:
    """A whole file.

    :ivar place: the file, by the name that messages call it, which may be relative to where the
        agent was started; two configurations from different files can be equal.
    """

    agent: AgentConfig = attrs.field(
        metadata=key(
            Table(AgentConfig), "What concerns the whole process.", change=WARM, default={}
        )
    )
    tls: TlsConfig | None = attrs.field(
        default=None,
        metadata=key(Table(TlsConfig), "Certificates, for ssl: and pssl:.", change=WARM),
    )
    bridges: tuple[BridgeConfig, ...] = attrs.field(
        metadata=key(
            ListOf(BridgeTable(BridgeConfig), least=1), "The switches.", change=WARM, name="bridge"
        )
    )
    place: Place = attrs.field(eq=False, repr=False)

    @property
    def path(self) -> Path:
        """The file's absolute path, which it can be read from again."""
        return self.place.directory / os.path.basename(self.place.file)

    def bridge_place(self, index: int) -> Place:
        """Where a bridge stands, for messages."""
        return self.place.at("bridge").item(index)


def load(path: str | os.PathLike[str], name: str = "") -> Config:
    """Read and check a configuration file.

    :param name: what messages call it; its path unless given.
    :raises ConfigError: for the first thing that is wrong.
    """
    file = name or os.fspath(path)
    directory = Path(path).absolute().parent
    place = Place(file, directory, directory)
    try:
        table = tomllib.loads(Path(path).read_bytes().decode())
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
