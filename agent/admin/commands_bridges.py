"""What commands know of a running agent, and how they find the bridge they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.slices import in_slices
from agent.admin.unixctl import CommandError
from agent.connmgr.capture import Captures
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.traffic import Traffic
from agent.ofproto.ofproto import OFProto

T = TypeVar("T")


class Connections(Protocol):
    """The connections of a bridge: :class:`agent.connmgr.connmgr.ConnectionManager`."""

    @property
    def traffic(self) -> Traffic:
        """What they have counted."""

    @property
    def captures(self) -> Captures:
        """What is captured of them."""

    def connections(self) -> Sequence[ConnectionStatus]:
        """Every connection."""


class Bridge(Protocol):
    """A bridge: :class:`agent.bridge.Bridge`."""

    @property
    def ofproto(self) -> OFProto:
        """Its switch."""

    @property
    def connections(self) -> Connections:
        """Its connections."""


class Agent(Protocol):
    """The running agent."""

    @property
    def bridges(self) -> Mapping[str, Bridge]:
        """The bridges that run, by name."""

    @property
    def run_dir(self) -> Path:
        """Where its files are."""

    def exit(self) -> object:
        """Begin to stop the agent."""

    def reload(self) -> Deferred[Any]:
        """Read the configuration again; fires with what has changed, whose text is for people.

        Fails with :class:`~agent.admin.schema.ConfigError` when nothing has.
        """


def choose(agent: Agent, name: str | None) -> dict[str, Bridge]:
    """The bridge that the argument BRIDGE names, or all of them where there is none.

    :raises CommandError: when there is no such bridge.
    """
    bridges = dict(agent.bridges)
    if name is None:
        return bridges
    if name not in bridges:
        known = ", ".join(sorted(bridges)) or "none"
        raise CommandError(f'BRIDGE: there is no bridge "{name}" (there are: {known})')
    return {name: bridges[name]}


def able(
    bridges: Mapping[str, Bridge], adapt: Callable[[object], T | None], what: str
) -> dict[str, T]:
    """The drivers of these bridges that can do something.

    :param adapt: the driver as what can do it; None when it cannot.
    :param what: what it is, for people.
    :raises CommandError: when none of them can.
    """
    found = {}
    for name, bridge in bridges.items():
        driver = adapt(bridge.ofproto.driver)
        if driver is not None:
            found[name] = driver
    if not found:
        which = ", ".join(
            f"{name} ({bridge.ofproto.driver.name})" for name, bridge in sorted(bridges.items())
        )
        raise CommandError(f"BRIDGE: no driver that {what}: {which or 'there are no bridges'}")
    return found


def collect(clock: IReactorTime, lines: Iterable[str]) -> Deferred[str]:
    """Join lines that may be many, a few in each turn of the reactor.

    Cancelling it stops the work.
    """
    found: list[str] = []

    def work() -> Iterator[None]:
        for line in lines:
            found.append(line)
            yield

    return in_slices(clock, work()).addCallback(lambda _: "\n".join(found))
