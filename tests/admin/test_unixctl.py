"""Tests of :mod:`agent.admin.unixctl`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from agent.admin import coverage
from agent.admin.jsonrpc import MAX_LENGTH, ObjectReader
from agent.admin.unixctl import (
    MAX_CONNECTIONS,
    REQUESTS_PER_TURN,
    STOP_TIMEOUT,
    CommandError,
    CommandRegistry,
    UnixctlConnection,
    UnixctlFactory,
)


def request(method: str, *params: object, request_id: object = 0) -> bytes:
    """A request, as a client sends it."""
    return json.dumps({"id": request_id, "method": method, "params": params}).encode()


class RegistryTests(SynchronousTestCase):
    """The registry of commands."""

    def setUp(self) -> None:
        """A registry with one command, which takes one or two arguments."""
        self.registry = CommandRegistry()
        self.registry.register("echo", "WORD [WORD]", 1, 2, lambda *words: " ".join(words))

    def refused(self, name: str, *args: object) -> str:
        """The text of the error."""
        failure = self.failureResultOf(self.registry.execute(name, args), CommandError)
        return str(failure.value)

    def test_executes(self) -> None:
        """A command gets its arguments, and what it returns is the answer."""
        for args in (["a"], ["a", "b"]):
            result = self.registry.execute("echo", args)
            self.assertEqual(self.successResultOf(result), " ".join(args))

    def test_texts_of_open_vswitch(self) -> None:
        """What is wrong with a command is said with the words of Open vSwitch."""
        self.assertEqual(
            self.refused("nonsense"),
            '"nonsense" is not a valid command '
            '(use "list-commands" to see a list of valid commands)',
        )
        self.assertEqual(
            self.refused("echo"), '"echo" command requires at least 1 arguments (WORD missing)'
        )
        self.assertEqual(
            self.refused("echo", "a", "b", "c"),
            '"echo" command takes at most 2 arguments ("c" is too much)',
        )
        self.assertEqual(self.refused("echo", 1), '"echo" command has non-string argument (1)')

    def test_unlimited(self) -> None:
        """A command may take any number of arguments."""
        self.registry.register("count", "[WORD]...", 0, None, lambda *words: str(len(words)))
        result = self.registry.execute("count", ["x"] * 100)
        self.assertEqual(self.successResultOf(result), "100")

    def test_list(self) -> None:
        """The commands are listed in alphabetical order, in the columns of Open vSwitch."""
        self.registry.register("a-command-with-a-long-name", "", 0, 0, str)
        self.assertEqual(
            self.successResultOf(self.registry.execute("list-commands", [])),
            "The available commands are:\n"
            "  a-command-with-a-long-name \n"
            "  echo                    WORD [WORD]\n"
            "  list-commands           ",
        )

    def test_twice(self) -> None:
        """A name can be taken once."""
        self.assertRaises(ValueError, self.registry.register, "echo", "", 0, 0, str)

    def test_mistake_in_a_command(self) -> None:
        """A command that raises anything but an error for the user is logged, and answered."""

        def broken() -> str:
            raise RuntimeError("oops")

        self.registry.register("broken", "", 0, 0, broken)
        self.assertEqual(self.refused("broken"), '"broken" command failed: oops')
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_cut_short(self) -> None:
        """A command that is cancelled has an answer too."""
        waiting: Deferred[str] = Deferred()
        self.registry.register("wait", "", 0, 0, lambda: waiting)
        result = self.registry.execute("wait", [])
        result.cancel()
        failure = self.failureResultOf(result, CommandError)
        self.assertEqual(str(failure.value), '"wait" command was cut short')


class ConnectionTests(SynchronousTestCase):
    """Requests and replies of clients."""

    def setUp(self) -> None:
        """A control socket with some commands, and a client."""
        self.clock = Clock()
        self.registry = CommandRegistry()
        self.waiting: list[Deferred[str]] = []
        self.cancelled = 0
        self.executed: list[str] = []
        self.registry.register("echo", "[WORD]...", 0, None, self.echo)
        self.registry.register("wait", "", 0, 0, self.wait)
        self.registry.register("refuse", "", 0, 0, self.refuse)
        self.factory = UnixctlFactory(self.clock, self.registry)
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[UnixctlConnection, StringTransportWithDisconnection]:
        """Another client."""
        connection = self.factory.buildProtocol(None)
        assert connection is not None
        transport = StringTransportWithDisconnection()
        transport.protocol = connection
        connection.makeConnection(transport)
        return connection, transport

    def echo(self, *words: str) -> str:
        """A command that answers at once."""
        self.executed.append(" ".join(words))
        return " ".join(words)

    def wait(self) -> Deferred[str]:
        """A command that takes time."""

        def cancel(_: Deferred[str]) -> None:
            self.cancelled += 1

        self.waiting.append(Deferred(cancel))
        return self.waiting[-1]

    def refuse(self) -> str:
        """A command that fails."""
        raise CommandError("no")

    def replies(self) -> list[Any]:
        """What the client got since the last call: ``[id, result, error]`` of each reply."""
        reader = ObjectReader(max_length=1 << 20)
        reader.feed(self.transport.value())
        self.transport.clear()
        messages = [json.loads(data) for data in iter(reader.next, None)]
        self.assertEqual(len(reader), 0)
        return [[one["id"], one["result"], one["error"]] for one in messages]

    def send(self, *requests: bytes) -> None:
        """What the client sends, in one piece."""
        self.connection.dataReceived(b"".join(requests))

    def test_reply(self) -> None:
        """An answer ends with a newline, unless it is empty, as in Open vSwitch."""
        self.send(request("echo", "hello", request_id=7))
        self.send(request("echo", "hello\n", request_id="x"))
        self.send(request("echo"))
        self.assertEqual(
            self.replies(), [[7, "hello\n", None], ["x", "hello\n", None], [0, "", None]]
        )

    def test_error(self) -> None:
        """An error is in the member of that name, and the connection goes on."""
        self.send(request("refuse", request_id=[1]), request("echo", "a"))
        self.assertEqual(self.replies(), [[[1], None, "no\n"], [0, "a\n", None]])
        self.assertTrue(self.transport.connected)

    def test_pipelined(self) -> None:
        """Requests are executed one after another, in order, and each only when the one before it
        has been answered."""
        self.send(
            request("echo", "a", request_id=1),
            request("wait", request_id=2),
            request("echo", "b", request_id=3),
            request("wait", request_id=4),
        )
        self.assertEqual(self.replies(), [[1, "a\n", None]])
        self.assertEqual(self.executed, ["a"])
        self.waiting[0].callback("waited")
        self.assertEqual(self.replies(), [[2, "waited\n", None], [3, "b\n", None]])
        self.waiting[1].errback(CommandError("late"))
        self.assertEqual(self.replies(), [[4, None, "late\n"]])

    def test_fair(self) -> None:
        """Only so many requests of one client are executed in one turn; the rest follows."""
        count = REQUESTS_PER_TURN + 3
        self.send(*[request("echo", str(number)) for number in range(count)])
        self.assertEqual(len(self.executed), REQUESTS_PER_TURN)
        self.clock.advance(0)
        self.assertEqual(self.executed, [str(number) for number in range(count)])
        self.assertEqual(len(self.replies()), count)

    def test_malformed(self) -> None:
        """What is no request closes the connection, after what was before it was answered."""
        for rubbish in (b"GET / HTTP/1.1", b'{"id":1,"method":"echo","params":"x"}', b"{" * 99):
            self.connection, self.transport = self.connect()
            self.send(request("echo", "a"), rubbish, request("echo", "b"))
            self.assertEqual(self.replies(), [[0, "a\n", None]])
            self.assertFalse(self.transport.connected)
        self.clock.advance(1)
        self.assertNotIn("b", self.executed)

    def test_slow_command_bounds_the_input(self) -> None:
        """While a command takes long, the client can send only so much; reading goes on when it is
        answered, and nothing is lost."""
        self.send(request("wait"))
        big = request("echo", "x" * (MAX_LENGTH // 2))
        self.send(big)
        self.assertEqual(self.transport.producerState, "producing")
        self.send(big, big)
        self.assertEqual(self.transport.producerState, "paused")
        self.waiting[0].callback("")
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(len(self.replies()), 4)

    def test_slow_client(self) -> None:
        """Nothing is executed while the client does not take its replies."""
        self.connection.pauseProducing()
        self.send(request("echo", "a"))
        self.assertEqual(self.executed, [])
        self.connection.resumeProducing()
        self.assertEqual(self.replies(), [[0, "a\n", None]])

    def test_long_reply(self) -> None:
        """A long reply is written as the client takes it; what is behind it waits."""
        words = ["x" * 50] * 4000
        self.registry.register("long", "", 0, 0, lambda: " ".join(words))

        def write(data: bytes) -> None:
            StringTransportWithDisconnection.write(self.transport, data)
            self.connection.pauseProducing()

        self.patch(self.transport, "write", write)
        self.send(request("long"), request("echo", "a"))
        sizes = []
        while not self.executed:
            sizes.append(len(self.transport.value()))
            self.connection.resumeProducing()
        self.assertGreater(len(sizes), 3)
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertEqual(self.replies(), [[0, " ".join(words) + "\n", None], [0, "a\n", None]])

    def test_close_in_the_middle_of_a_reply(self) -> None:
        """A reply that has been begun is written to its end when the agent stops."""
        self.registry.register("long", "", 0, 0, lambda: "x" * 200_000)

        def write(data: bytes) -> None:
            StringTransportWithDisconnection.write(self.transport, data)
            self.connection.pauseProducing()

        self.patch(self.transport, "write", write)
        self.send(request("long"), request("echo", "b"))
        self.successResultOf(self.factory.close())
        self.assertEqual(self.replies(), [[0, "x" * 200_000 + "\n", None]])

    def test_client_gone(self) -> None:
        """When a client goes, what it waited for is cancelled, what it asked for besides is not
        executed, and its reply goes nowhere."""
        self.send(request("wait"), request("echo", "a"))
        self.transport.loseConnection()
        self.assertEqual(self.cancelled, 1)
        self.clock.advance(1)
        self.assertEqual(self.executed, [])
        self.assertEqual(self.replies(), [])

    def test_mistake_in_a_reply(self) -> None:
        """A command whose answer cannot be sent closes the connection, rather than let the client
        wait for ever."""
        self.registry.register("broken", "", 0, 0, lambda: 7)  # type: ignore[arg-type, return-value]
        self.send(request("broken"))
        self.assertFalse(self.transport.connected)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_too_many_clients(self) -> None:
        """There is a limit to how many clients there may be; one who goes makes room."""
        others = [self.connect() for _ in range(MAX_CONNECTIONS - 1)]
        self.assertIsNone(self.factory.buildProtocol(None))
        others[0][1].loseConnection()
        self.assertIsNotNone(self.factory.buildProtocol(None))

    def test_close(self) -> None:
        """Closing answers what is being executed with an error, executes nothing more, and fires
        when all clients are gone."""
        self.connect()
        self.send(request("wait"), request("echo", "a"))
        closed = self.factory.close()
        self.assertEqual(self.replies(), [[0, None, '"wait" command was cut short\n']])
        self.assertEqual(self.executed, [])
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_with_a_client_who_does_not_read(self) -> None:
        """A client that does not take its last reply is cut off after a time."""
        aborted: list[bool] = []
        self.patch(self.transport, "loseConnection", lambda: None)

        def abort() -> None:
            aborted.append(True)
            StringTransportWithDisconnection.loseConnection(self.transport)

        self.patch(self.transport, "abortConnection", abort)
        closed = self.factory.close()
        self.clock.advance(STOP_TIMEOUT / 2)
        self.assertNoResult(closed)
        self.clock.advance(STOP_TIMEOUT / 2)
        self.assertEqual(aborted, [True])
        self.successResultOf(closed)

    def test_counted(self) -> None:
        """Requests and replies are counted."""
        before = self.counts()
        self.send(request("echo"), request("nonsense"), request("wait"))
        received, replied = (now - then for now, then in zip(self.counts(), before, strict=True))
        self.assertEqual((received, replied), (3, 2))

    @staticmethod
    def counts() -> Sequence[int]:
        """The counters."""
        return (
            coverage.process.total("unixctl_received"),
            coverage.process.total("unixctl_replied"),
        )
