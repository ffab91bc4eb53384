"""Commands about what the switches have learned of who is where: ``fdb/...``.

The answers are those of Open vSwitch, whose tools and whose users know how to read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agent.admin.commands_bridges import Agent, able, choose, collect
from agent.admin.unixctl import CommandRegistry
from agent.openflow.text import format_mac, format_port
from drivers.abilities import IForwardingDatabase, LearnedAddress


class ForwardingCommands:
    """``fdb/...``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("fdb/show", "BRIDGE", 1, 1, self.show)
        registry.register("fdb/flush", "[BRIDGE]", 0, 1, self.flush)
        registry.register("fdb/stats-show", "BRIDGE", 1, 1, self.statistics)

    def _able(self, bridge: str | None) -> dict[str, IForwardingDatabase]:
        bridges = choose(self._agent, bridge)
        return able(bridges, lambda one: IForwardingDatabase(one, None), "learns addresses")

    def show(self, bridge: str) -> Deferred[str]:
        """Every address that is known, the longest unseen first."""
        return collect(self._clock, _table(self._able(bridge)[bridge].learned_addresses()))

    def flush(self, bridge: str | None = None) -> str:
        """Forget the addresses: of one bridge, or of every one whose driver learns any."""
        for driver in self._able(bridge).values():
            driver.forget_addresses()
        return "table successfully flushed"

    def statistics(self, bridge: str) -> str:
        """What learning has come to."""
        found = self._able(bridge)[bridge].learning_statistics()
        return "\n".join(
            (
                f'Statistics for bridge "{bridge}":',
                f"  Current/maximum MAC entries in the table: {found.current}/{found.maximum}",
                f"  Total number of learned MAC entries     : {found.learned}",
                f"  Total number of expired MAC entries     : {found.expired}",
                f"  Total number of evicted MAC entries     : {found.evicted}",
                f"  Total number of port moved MAC entries  : {found.moved}",
            )
        )


def _table(addresses: Sequence[LearnedAddress]) -> Iterator[str]:
    yield " port  VLAN  MAC                Age"
    for one in addresses:
        port = format_port(one.port)
        yield f"{port:>5}  {one.vlan:4}  {format_mac(one.mac)}  {int(one.age):3}"
