"""A whole agent without a network, without hardware and without time.

Everything in it is real, from the configuration file to the flow tables, but for what is outside:
sockets and transports are in memory, the drivers are scriptable, and the clock stands still until a
test moves it.
"""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from agent import tap
from agent.admin.listeners import Listener
from agent.admin.vlog import Vlog
from agent.bridge import Bridge
from agent.connmgr.target import Target
from agent.openflow import messages as of
from agent.openflow.match import Match
from agent.reload import Reloaded
from drivers import registry
from drivers.abilities import IClog
from drivers.interfaces import (
    RESERVED_PORTS,
    Capabilities,
    IDriverHost,
    OptionError,
    TableCapabilities,
)
from drivers.testing import ScriptableDriver
from tests.admin.configfile import FileCase
from tests.connmgr.fakes import Peer, TurnClock, connect

BRIDGE = """
[[bridge]]
name = "{name}"
datapath_id = "000000000000000{number}"
listen = ["ptcp:665{number}:127.0.0.1"{listen}]
{keys}
[bridge.driver]
name = "{driver}"
{options}
{rest}
"""


def bridge(
    number: int = 0,
    *,
    name: str = "",
    listen: str = "",
    keys: str = "",
    driver: str = "scriptable",
    options: str = "",
    rest: str = "",
) -> str:
    """The text of a bridge, which is called ``br`` and its number unless told otherwise."""
    return BRIDGE.format(
        name=name or f"br{number}",
        number=number + 1,
        listen=listen,
        keys=keys,
        driver=driver,
        options=options,
        rest=rest,
    )


class Port:
    """A socket that the reactor reads from.

    :ivar reading: whether it accepts.
    :ivar stopped: how often it was told to listen no more.
    """

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self.reading = True
        self.stopped = 0

    def stopReading(self) -> None:
        """Accept nobody for now."""
        self.reading = False

    def startReading(self) -> None:
        """Accept again."""
        self.reading = True

    def stopListening(self) -> Deferred[None]:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        self.stopped += 1
        self.reading = False
        self.factory = None
        return succeed(None)


class Socket:
    """A bound socket.

    :ivar port: what the reactor has made of it.
    :ivar closed: whether it was closed before the reactor had it.
    """

    family = socket.AF_INET

    def __init__(self, number: int) -> None:
        self.number = number
        self.port: Port | None = None
        self.closed = False

    def fileno(self) -> int:
        """Its number, or -1."""
        return -1 if self.closed else self.number

    def listen(self, backlog: int) -> None:
        """It does so anyway."""

    def close(self) -> None:
        """The reactor has a duplicate."""
        self.closed = True

    @property
    def open(self) -> bool:
        """Whether anybody listens."""
        return not self.port.stopped if self.port is not None else not self.closed


class Network(MemoryReactorClock, TurnClock):
    """A reactor, and all that can be connected with.

    :ivar sockets: those that were ever opened, by target; the last one where there were several.
    :ivar taken: targets that somebody else has.
    :ivar dialled: who is being dialled: the factories by host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sockets: dict[str, Socket] = {}
        self.taken: set[str] = set()
        self.dialled: dict[str, Any] = {}
        self._numbers: dict[int, Socket] = {}
        self._peers = 0

    def bind(self, target: Target) -> Listener:
        """Like :func:`agent.admin.listeners.bind`."""
        text = str(target)
        before = self.sockets.get(text)
        if text in self.taken or (before is not None and before.open):
            raise OSError(98, "Address already in use")
        number = len(self._numbers) + 3
        opened = self._numbers[number] = self.sockets[text] = Socket(number)
        return Listener(target, cast(Any, opened))

    def adoptStreamPort(self, fileno: int, family: int, factory: Any) -> Port:
        """See :class:`twisted.internet.interfaces.IReactorSocket`."""
        port = self._numbers[fileno].port = Port(factory)
        return port

    def connectTCP(self, host: str, port: int, factory: Any, *rest: Any, **more: Any) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        connector = super().connectTCP(host, port, factory, *rest, **more)
        self.tcpClients.clear()
        self.connectors.clear()
        self.dialled[host] = factory
        return connector

    def greet(self, protocol: Any, version: int) -> Peer:
        """A peer for a protocol, with the HELLOs behind it."""
        peer = connect(protocol)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        peer.received()
        return peer

    def client(self, target: str = "ptcp:6651:127.0.0.1", version: int = of.OFP13) -> Peer:
        """Somebody who has connected to a socket."""
        port = self.sockets[target].port
        assert port is not None and port.reading, f"nobody accepts at {target}"
        self._peers += 1
        address = IPv4Address("TCP", "127.0.0.1", 20000 + self._peers)
        return self.greet(port.factory.buildProtocol(address), version)

    def accept(self, host: str, version: int = of.OFP13) -> Peer:
        """A controller who has accepted our connection."""
        return self.greet(self.dialled.pop(host).buildProtocol(UNIXAddress(None)), version)


class BrokenDriver(ScriptableDriver):
    """A driver that cannot start."""

    def start(self, host: IDriverHost) -> None:
        """Fail as one does whose hardware is not there."""
        raise OSError(19, "No such device")


class EndlessDriver(ScriptableDriver):
    """A driver that never says it has stopped."""

    def stop(self) -> Deferred[None]:
        """Begin to stop."""
        super().stop()
        return Deferred()


class UnstoppableDriver(ScriptableDriver):
    """A driver with a mistake."""

    def stop(self) -> Deferred[None]:
        """Fail."""
        raise ZeroDivisionError


@implementer(IClog)
class CloggedDriver(ScriptableDriver):
    """A driver that somebody has halted."""

    clogged = True

    def clog(self) -> None:
        """It is already."""

    def unclog(self) -> None:
        """It stays so."""


class Factory:
    """Makes drivers that a test ends the operations of.

    With the option ``instant`` they end them themselves, with ``refuse`` they are not even made;
    :attr:`KINDS` has other options.

    :ivar made: the drivers that were made, the last one last.
    """

    name = "scriptable"
    KINDS: Final[Mapping[str, type[ScriptableDriver]]] = {
        "broken": BrokenDriver,
        "clogged": CloggedDriver,
        "endless": EndlessDriver,
        "unstoppable": UnstoppableDriver,
    }

    def __init__(self) -> None:
        self.made: list[ScriptableDriver] = []

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> ScriptableDriver:
        """Make one; the last table that is described has the name and size that it is given."""
        if "refuse" in options:
            raise OptionError("refuse", options["refuse"], "must not be there")
        offered = [TableCapabilities(0, "table0", 1000), TableCapabilities(1, "table1", 1000)]
        for table in tables:
            if table.id > 1:
                raise OptionError("table.id", table.id, "must be 0 or 1")
            offered[table.id] = TableCapabilities(
                table.id, table.name or f"table{table.id}", table.size or 1000
            )
        can = Capabilities(tuple(offered), reserved_ports=RESERVED_PORTS | {of.Port.NORMAL})
        kind = next((self.KINDS[name] for name in options if name in self.KINDS), ScriptableDriver)
        driver = kind(capabilities=can, instant=bool(options.get("instant")))
        self.made.append(driver)
        return driver


class AgentCase(FileCase):
    """Has an agent in memory.

    :ivar network: reactor and sockets.
    :ivar factory: makes the drivers.
    :ivar vlog: the agent's log, which writes nothing.
    """

    def setUp(self) -> None:
        """Nothing runs."""
        super().setUp()
        self.network = Network()
        self.factory = Factory()
        self.vlog = Vlog()
        self.patch(registry, "find", self._find)
        self.patch(sys, "__stderr__", io.StringIO())

    def _find(self, name: str) -> Factory:
        if name != "scriptable":
            raise OptionError("name", name, "must be one of scriptable")
        return self.factory

    def start(self, text: str) -> None:
        """Run an agent with this file."""
        config = self.load(text)
        self.agent = tap.build(config, self.network, Bridge, self.vlog, listen=self.network.bind)
        self.agent.startService()
        # MemoryReactor remembers these for ever.
        self.network.hasRun = True
        self.network.whenRunningHooks.clear()

    def reload(self, text: str) -> Reloaded:
        """Write another file, and let the agent read it; that takes no time."""
        return self.successResultOf(self.reloading(text))

    def reloading(self, text: str) -> Deferred[Reloaded]:
        """The same, when it may take some."""
        self.file.write_text(text)
        reloading = self.agent.reload()
        self.network.turn(5)
        return reloading

    def stop(self) -> None:
        """Stop it, which takes no time."""
        stopped = self.agent.stopService()
        self.network.turn(5)
        self.successResultOf(stopped)

    def bridge(self, name: str = "br0") -> Bridge:
        """A running bridge."""
        return cast(Bridge, self.agent.bridges[name])

    def driver(self, name: str = "br0") -> ScriptableDriver:
        """Its driver."""
        return cast(ScriptableDriver, self.bridge(name).ofproto.driver)

    def turn(self, turns: int = 5) -> None:
        """Let the reactor do what is due now."""
        self.network.turn(turns)

    def finish(self, name: str = "br0") -> None:
        """Let the hardware of a bridge do all that it was asked for."""
        self.turn()
        while self.driver(name).finish_all():
            self.turn()

    def settled(self, peer: Peer, name: str = "br0") -> list[Any]:
        """What a peer hears until a barrier after all that it has asked for is answered."""
        peer.send(of.BarrierRequest(0xBA))
        self.finish(name)
        heard = peer.received()
        self.assertEqual(heard.pop(), of.BarrierReply(0xBA))
        return heard

    def lines(self, result: Reloaded) -> list[str]:
        """A result, line by line."""
        return str(result).split("\n")


def add(port: int = 1, priority: int = 100, **fields: Any) -> of.FlowMod:
    """An ADD of a rule without actions."""
    return of.FlowMod(of.FlowModCommand.ADD, Match.of(in_port=port), priority, **fields)
