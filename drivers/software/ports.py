"""All ports of one bridge, and the kinds of them that can be configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from agent.openflow.errors import PORT_BAD_PORT, OpenFlowError
from agent.openflow.messages import PortDesc
from drivers.interfaces import IDriverHost, OptionError
from drivers.software.device import DevicePort
from drivers.software.link import LinkMonitor
from drivers.software.memory import MemoryPort
from drivers.software.netdev import NetdevPort
from drivers.software.port import NO_FLOOD, Port, QueueCounters, Receive
from drivers.software.system import SYSTEM, System
from drivers.software.tap import TapPort

Maker = Callable[[int, str, LinkMonitor, System], Port]
"""Makes a port of a number and a name."""

KINDS: Final[Mapping[str, Maker]] = {
    "memory": lambda number, name, links, system: MemoryPort(number, name),
    "netdev": NetdevPort,
    "tap": TapPort,
}
"""The kinds of ports by the name that ``[[bridge.port]] type`` has for them."""


class Ports:
    """The ports of one bridge.

    :ivar by_number: the ports, in the order of their numbers.
    """

    def __init__(self, ports: Iterable[Port], links: LinkMonitor | None = None) -> None:
        """Take ports that are not open.

        :param links: what they watch their devices by, if any of them has one.
        """
        self.by_number = {port.number: port for port in sorted(ports, key=lambda p: p.number)}
        self._links = links

    @classmethod
    def configured(cls, entries: Sequence[Any], system: System | None = None) -> Ports:
        """The ports that ``[[bridge.port]]`` entries describe.

        :param system: the operating system they use; None: the one there is.
        :raises OptionError: for a type that there is not.
        """
        system = system or SYSTEM
        links = LinkMonitor(system)
        ports = []
        for entry in entries:
            kind = KINDS.get(entry.type)
            if kind is None:
                raise OptionError(
                    "port.type",
                    entry.type,
                    f"must be {' or '.join(KINDS)}, which is all this driver has "
                    f"(port {entry.name})",
                )
            if entry.queues and entry.type != "netdev":
                raise OptionError(
                    "port.queues",
                    list(entry.queues),
                    f"only a netdev has queues (port {entry.name})",
                )
            port = kind(entry.number, entry.name, links, system)
            port.queues = {queue: QueueCounters() for queue in entry.queues}
            ports.append(port)
        watched = any(isinstance(port, DevicePort) for port in ports)
        return cls(ports, links if watched else None)

    def __iter__(self) -> Iterator[Port]:
        return iter(self.by_number.values())

    def __getitem__(self, number: int) -> Port:
        return self.by_number[number]

    def get(self, number: int) -> Port | None:
        """The port of this number, or None."""
        return self.by_number.get(number)

    def open(self, host: IDriverHost, receive: Receive) -> None:
        """Open them all, or none.

        :raises OSError: when one cannot be opened; the text says which.
        """
        try:
            if self._links is not None:
                self._links.open(host.reactor)
            for port in self:
                port.open(host, receive)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close them all, also those that are not open."""
        for port in self:
            port.close()
        if self._links is not None:
            self._links.close()

    def flood(self, in_port: int) -> list[Port]:
        """Where FLOOD goes: to all that are not exempt, but not back."""
        return [
            port
            for number, port in self.by_number.items()
            if number != in_port and not port.config & NO_FLOOD
        ]

    def all_but(self, in_port: int) -> list[Port]:
        """Where ALL goes: to all but back."""
        return [port for number, port in self.by_number.items() if number != in_port]

    def modify(self, port_no: int, config: int, mask: int) -> PortDesc:
        """See :meth:`drivers.interfaces.IDriver.port_mod`."""
        port = self.get(port_no)
        if port is None:
            raise OpenFlowError(PORT_BAD_PORT, f"there is no port {port_no:#x}")
        port.configure(config, mask)
        return port.describe()
