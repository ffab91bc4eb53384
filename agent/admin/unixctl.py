"""The control socket: commands from ``ovs-appctl``, and what answers them.

A command has a name, like ``ofproto/list``, and arguments, which are all strings; its answer is a
text for people, or an error, which is one as well.  Commands are registered in a
:class:`CommandRegistry`, which also checks how many arguments there are; it knows nothing of
sockets.  :class:`UnixctlConnection` takes requests from one client and answers them one after
another, in order, however long one takes; :class:`UnixctlServer` is the service that listens.

What the commands are is in :mod:`agent.admin.commands`.  The protocol is that of Open vSwitch's
daemons, and so are the texts of errors that people may know: Debian's ``ovs-appctl -t PATH`` works.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs
from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    gatherResults,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from agent.admin import coverage
from agent.admin.jsonrpc import (
    MAX_LENGTH,
    MalformedError,
    ObjectReader,
    Request,
    encode_error,
    encode_reply,
    parse_request,
)
from agent.admin.listeners import Listener

MAX_CONNECTIONS: Final = 100
"""How many clients there may be at once."""

MAX_SHOWN: Final = 60
"""Characters of a wrong argument that an error repeats."""

REQUESTS_PER_TURN: Final = 10
"""How many requests of one client are answered before others have their turn."""

SOCKET_MODE: Final = 0o700
"""Who may connect: the owner alone, as with Open vSwitch.  Commands can stop the agent."""

STOP_TIMEOUT: Final = 1.0
"""Seconds that a client has to take its last reply when the agent stops."""

_received = coverage.counter("unixctl_received")
_replied = coverage.counter("unixctl_replied")


class CommandError(Exception):
    """A command refuses, or has failed; the text is what the user is told."""


Handler: TypeAlias = Callable[..., "str | Deferred[str]"]
"""What executes a command: called with its arguments, each a string.  Returns its answer, or a
Deferred of it, which is cancelled when nobody waits for it any more.  :raises CommandError:"""


@attrs.frozen
class Command:
    """A command.

    :ivar usage: its arguments, for people.
    :ivar max_args: None: as many as there are.
    """

    name: str
    usage: str
    min_args: int
    max_args: int | None
    handler: Handler

    @property
    def arguments(self) -> list[str]:
        """The names of its arguments."""
        words = [word.removesuffix("...") for word in self.usage.split()]
        return [word[1:-1] if word.startswith("[") else word for word in words]


def _shown(argument: object) -> str:
    """An argument, or its beginning, as it came."""
    text = json.dumps(argument, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class CommandRegistry:
    """The commands there are.  ``list-commands`` is always one of them."""

    _log = Logger()

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self.register("list-commands", "", 0, 0, self._list)

    def register(
        self, name: str, usage: str, min_args: int, max_args: int | None, handler: Handler
    ) -> None:
        """Add a command.

        :raises ValueError: when there is one of that name.
        """
        if name in self._commands:
            raise ValueError(f"there is a command {name} already")
        self._commands[name] = Command(name, usage, min_args, max_args, handler)

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def execute(self, name: str, args: Sequence[object]) -> Deferred[str]:
        """Execute a command.

        :returns: its answer; fails with :class:`CommandError` for whatever reason there is none.
        """
        return maybeDeferred(self._call, name, args).addErrback(self._failed, name)

    def _call(self, name: str, args: Sequence[object]) -> Any:
        command = self._commands.get(name)
        if command is None:
            raise CommandError(
                f'"{name}" is not a valid command '
                '(use "list-commands" to see a list of valid commands)'
            )
        if len(args) < command.min_args:
            missing = " and ".join(command.arguments[len(args) : command.min_args])
            raise CommandError(
                f'"{name}" command requires at least {command.min_args} arguments '
                f"({missing} missing)"
            )
        if command.max_args is not None and len(args) > command.max_args:
            raise CommandError(
                f'"{name}" command takes at most {command.max_args} arguments '
                f"({_shown(args[command.max_args])} is too much)"
            )
        for arg in args:
            if not isinstance(arg, str):
                raise CommandError(f'"{name}" command has non-string argument ({_shown(arg)})')
        return command.handler(*args)

    def _failed(self, failure: Failure, name: str) -> Failure:
        if failure.check(CommandError):
            return failure
        if failure.check(CancelledError):
            return Failure(CommandError(f'"{name}" command was cut short'))
        self._log.failure("command {command} failed", failure, command=name)
        return Failure(CommandError(f'"{name}" command failed: {failure.getErrorMessage()}'))

    def _list(self) -> str:
        lines = ["The available commands are:"]
        for name, command in sorted(self._commands.items()):
            lines.append(f"  {name:<23} {command.usage}")
        return "\n".join(lines)


@implementer(IPushProducer)
class UnixctlConnection(Protocol):
    """One client.

    Only one request is being executed at a time; those behind it wait in the buffer, which is
    bounded by not reading on.  While the client does not take its replies, none is executed.

    :ivar name: for logs.
    """

    _log = Logger()

    def __init__(self, clients: UnixctlFactory, name: str) -> None:
        self.name = name
        self._clients = clients
        self._reader = ObjectReader()
        self._executing: Deferred[str] | None = None
        self._sending: Iterator[bytes] = iter(())
        self._running = False
        self._choked = False
        self._closing = False
        self._full = False

    def connectionMade(self) -> None:
        """A client is there."""
        self._wire.registerProducer(self, True)
        self._clients.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Something arrived."""
        self._reader.feed(data)
        self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone: whatever it waits for need not be waited for."""
        self._closing = True
        if self._executing is not None:
            self._executing.cancel()
        self._clients.disconnected(self)

    def close(self) -> None:
        """Answer what is being executed with an error, and close when the client has it."""
        self._choked = True
        if self._executing is not None:
            self._executing.cancel()
        for piece in self._sending:
            self._wire.write(piece)
        self._close()

    def abort(self) -> None:
        """Close at once, whatever the client has not taken yet."""
        self._closing = True
        self._wire.abortConnection()

    # The transport has much to write, or has written it (IPushProducer).

    def pauseProducing(self) -> None:
        """The client is slow: execute nothing."""
        self._choked = True

    def resumeProducing(self) -> None:
        """The client has taken its replies."""
        self._choked = False
        self._run()

    def stopProducing(self) -> None:
        """The connection is going."""
        self._closing = True

    # Requests.

    @property
    def _wire(self) -> Any:
        transport: ITransport | None = self.transport
        return transport

    def _run(self) -> None:
        """Execute what has arrived, as far as it can be done now."""
        if self._running:
            return  # a reply was sent from within: the loop below goes on
        self._running = True
        try:
            for _ in range(REQUESTS_PER_TURN):
                if self._closing or not self._sent() or self._executing is not None:
                    break
                data = self._reader.next()
                if data is None:
                    break
                self._begin(parse_request(data))
            else:
                self._clients.clock.callLater(0, self._run)
        except MalformedError as error:
            self._log.warn("{connection}: {error}", connection=self.name, error=error)
            self._close()
        finally:
            self._running = False
        self._bound()

    def _sent(self) -> bool:
        """Write on with the last reply; returns whether there is nothing left of it."""
        while not self._choked:
            piece = next(self._sending, None)
            if piece is None:
                return True
            self._wire.write(piece)
        return False

    def _bound(self) -> None:
        """Read on, unless enough waits to be executed."""
        if self._closing:
            return
        # Reading goes on while a command takes long: so it is noticed when the client goes.
        full = len(self._reader) > MAX_LENGTH
        if full != self._full:
            self._full = full
            if full:
                self._wire.pauseProducing()
            else:
                self._wire.resumeProducing()

    def _begin(self, request: Request) -> None:
        _received.count += 1
        self._log.debug(
            "{connection}: {command} {args}",
            connection=self.name,
            command=request.method,
            args=request.params,
        )
        self._executing = result = self._clients.registry.execute(request.method, request.params)
        result.addCallbacks(
            lambda text: self._reply(encode_reply(request, _lines(text))),
            lambda failure: self._reply(encode_error(request, _lines(failure.getErrorMessage()))),
        ).addErrback(self._broken)

    def _reply(self, pieces: Iterator[bytes]) -> None:
        self._executing = None
        if self._closing:
            return
        _replied.count += 1
        self._sending = pieces
        self._run()

    def _broken(self, failure: Failure) -> None:
        """There is a mistake in the agent, and so no reply."""
        self._log.failure("{connection}: no reply", failure, connection=self.name)
        self._close()

    def _close(self) -> None:
        self._closing = True
        # With a producer, the transport would wait for it to end.
        self._wire.unregisterProducer()
        self._wire.loseConnection()


def _lines(text: str) -> str:
    """The text as it is printed: it ends a line, unless there is nothing to print."""
    return text if not text or text.endswith("\n") else text + "\n"


@implementer(IProtocolFactory)
class UnixctlFactory:
    """The clients of one control socket.

    :ivar clock: timers.
    :ivar registry: the commands.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, registry: CommandRegistry) -> None:
        self.clock = clock
        self.registry = registry
        self._connections: dict[UnixctlConnection, Deferred[None]] = {}
        self._numbers = itertools.count()

    def buildProtocol(self, addr: IAddress | None) -> UnixctlConnection | None:
        """Take another client, if there are not too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            self._log.warn("more than {limit} clients: one is refused", limit=MAX_CONNECTIONS)
            return None
        return UnixctlConnection(self, f"unix#{next(self._numbers)}")

    def doStart(self) -> None:
        """There is a port now."""

    def doStop(self) -> None:
        """There is no port any more."""

    def connected(self, connection: UnixctlConnection) -> None:
        """A client is there."""
        self._connections[connection] = Deferred()

    def disconnected(self, connection: UnixctlConnection) -> None:
        """A client is gone."""
        self._connections.pop(connection).callback(None)

    def close(self) -> Deferred[None]:
        """Let all clients go; fires when they have, which takes :data:`STOP_TIMEOUT` at most."""
        gone = DeferredList(list(self._connections.values()))
        timer = self.clock.callLater(STOP_TIMEOUT, self._abort)

        def done(result: object) -> None:
            if timer.active():
                timer.cancel()

        for connection in list(self._connections):
            connection.close()
        return gone.addCallback(done)

    def _abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()


class UnixctlServer(Service):
    """The control socket, as a service.

    :ivar registry: the commands.
    """

    def __init__(self, reactor: Any, listener: Listener, registry: CommandRegistry) -> None:
        """
        :param reactor: descriptors and timers.
        :param listener: the socket; the server's from now on.
        """
        self.registry = registry
        self._reactor = reactor
        self._listener = listener
        self._factory = UnixctlFactory(reactor, registry)
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Take clients."""
        Service.startService(self)
        self._port = self._listener.listen(self._reactor, self._factory)
        os.chmod(self._listener.target.path, SOCKET_MODE)

    def stopService(self) -> Deferred[Any]:
        """Take no more clients, remove the socket, and let those go that there are."""
        Service.stopService(self)
        port, self._port = self._port, None
        if port is None:
            self._listener.close()
            return succeed(None)
        return gatherResults([maybeDeferred(port.stopListening), self._factory.close()])
