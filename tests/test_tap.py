"""Tests of :mod:`agent.tap`, with bridges, drivers and sockets that only remember."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
from twisted.application.service import Application, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python import usage
from zope.interface import implementer

import agent
from agent import tap
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener
from agent.admin.schema import ConfigError
from agent.admin.vlog import Vlog
from agent.connmgr.target import Target
from agent.connmgr.tls import Credentials
from agent.ofproto.ofproto import OFProto
from agent.service import AgentService, StartError
from drivers import registry
from drivers.interfaces import IDriver, OptionError
from drivers.testing import ScriptableDriver
from tests.admin.agents import FakeConnections
from tests.admin.configfile import BRIDGE, DRIVER, SECOND, FileCase

PORT = """
[[bridge.port]]
number = 1
name = "p1"
type = "memory"
"""


class FakeBridge(Service):
    """A bridge that remembers what it was made from."""

    def __init__(
        self,
        config: BridgeConfig,
        reactor: Any,
        driver: IDriver,
        listeners: Sequence[Listener],
        credentials: Credentials,
    ) -> None:
        self.config = config
        self.reactor = reactor
        self.driver = driver
        self.listeners = listeners
        self.credentials = credentials
        self.drain = 0.0
        self.connections = FakeConnections()
        self.ofproto = OFProto(config.name, config.datapath_id, ScriptableDriver(), Clock())

    def reconfigure(self, config: BridgeConfig, listeners: Sequence[Listener]) -> Deferred[None]:
        """Never asked for here."""
        raise AssertionError

    def discard_rules(self) -> None:
        """Never asked for here."""
        raise AssertionError


class BrokenBridge(FakeBridge):
    """A bridge that cannot start."""

    def startService(self) -> None:
        """Fail as a driver would that lacks a right."""
        raise PermissionError(errno.EPERM, "CAP_NET_ADMIN is needed")


@attrs.define(eq=False)
class FakeListener:
    """A listener without a socket."""

    target: Target
    closed: int = 0

    def close(self) -> None:
        """Remember."""
        self.closed += 1


class FakeNetwork:
    """Listens nowhere.

    :ivar listeners: all that were opened.
    :ivar taken: the targets that somebody else has.
    """

    def __init__(self, *taken: str) -> None:
        self.listeners: list[FakeListener] = []
        self.taken = taken

    def listen(self, target: Target) -> Listener:
        """Like :func:`agent.admin.listeners.bind`; a port 0 becomes 50000."""
        if str(target) in self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        if not target.local and target.port == 0:
            target = attrs.evolve(target, port=50000)
        self.listeners.append(FakeListener(target))
        return cast(Listener, self.listeners[-1])


class FakeFactory:
    """Makes drivers that are strings, and refuses when told to.

    :ivar made: the arguments of each call.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.made: list[tuple[Mapping[str, Any], Sequence[Any], Sequence[Any]]] = []

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> str:
        """Make one."""
        if self.error is not None:
            raise self.error
        self.made.append((options, ports, tables))
        return f"driver {len(self.made)}"


class TapCase(FileCase):
    """Has one driver, ``asic``, and a network."""

    def setUp(self) -> None:
        """Put the fake driver in the registry."""
        super().setUp()
        self.factory = FakeFactory()
        self.network = FakeNetwork()
        self.reactor = MemoryReactorClock()
        self.patch(registry, "find", self.find)

    def find(self, name: str) -> FakeFactory:
        """The one factory."""
        if name != "asic":
            raise OptionError("name", name, "must be one of asic")
        return self.factory

    def build(self, text: str, bridge: Any = FakeBridge) -> AgentService:
        """The agent for a file with this text."""
        return tap.build(self.load(text), self.reactor, bridge, Vlog(), listen=self.network.listen)

    def buildFails(self, text: str, expected: str) -> None:
        """Building fails with this, no socket stays open and none is closed twice."""
        error = self.assertRaises(ConfigError, self.build, text)
        self.assertEqual(str(error), f"{self.file}: {expected}")
        self.assertEqual([one.closed for one in self.network.listeners if one.closed != 1], [])


class BuildTests(TapCase):
    """From a configuration to a service that has not been started."""

    def test_bridges(self) -> None:
        """Each bridge gets its configuration, its driver, its listeners, and the reactor."""
        listen = "listen = ['ptcp:0', 'punix:br0.mgmt']\n"
        service = self.build(BRIDGE + listen + DRIVER + "seed = 1\n" + PORT + SECOND)
        first, second = cast(list[FakeBridge], list(service))
        config = self.load(self.file.read_bytes())
        self.assertEqual((first.config, second.config), config.bridges)
        self.assertEqual((first.drain, second.drain), (5.0, 5.0))
        self.assertIs(first.credentials, second.credentials)
        self.assertEqual((first.driver, second.driver), ("driver 1", "driver 2"))
        self.assertEqual(
            [str(one.target) for one in first.listeners],
            ["ptcp:50000:0.0.0.0", f"punix:{self.directory}/run/br0.mgmt"],
        )
        self.assertEqual(second.listeners, [])
        self.assertIs(first.reactor, self.reactor)
        self.assertEqual(self.factory.made[0], ({"seed": 1}, config.bridges[0].ports, ()))
        self.assertIs(service.getServiceNamed("br1"), second)
        self.assertFalse(first.running)

    def test_run_dir(self) -> None:
        """The run directory is made, closed to others; one that is there stays as it is."""
        text = '[agent]\nrun_dir = "a/b"\n' + BRIDGE + DRIVER
        self.build(text)
        self.assertEqual(os.stat(self.directory / "a/b").st_mode & 0o027, 0)
        (self.directory / "a/b").chmod(0o755)
        self.build(text)
        self.assertEqual(os.stat(self.directory / "a/b").st_mode & 0o777, 0o755)

    def test_no_run_dir(self) -> None:
        """A run directory that cannot be made is told, and nothing is bound."""
        (self.directory / "run").touch()
        self.buildFails(
            BRIDGE + "listen = ['ptcp:']\n" + DRIVER,
            f'agent.run_dir = "{self.directory}/run": cannot be made: File exists; '
            "must be a directory that can be written",
        )
        self.assertEqual(self.network.listeners, [])

    def test_port_in_use(self) -> None:
        """A port that somebody else has is told with its key, and the others are closed."""
        self.network.taken = ("ptcp:6654:127.0.0.1",)
        listen = "listen = ['ptcp:6653:127.0.0.1', 'punix:br0.mgmt']\n"
        other = "listen = ['ptcp:6655', 'ptcp:6654:127.0.0.1']\n"
        self.buildFails(
            BRIDGE + listen + DRIVER + SECOND.replace(DRIVER, other + DRIVER),
            'bridge[1].listen[1] = "ptcp:6654:127.0.0.1": cannot listen: Address already in use; '
            "must be free, and an address of this host",
        )
        self.assertEqual(len(self.network.listeners), 3)

    def test_unix_socket_in_use(self) -> None:
        """A UNIX socket that somebody else has is told likewise."""
        self.network.taken = (f"punix:{self.directory}/run/br0.mgmt",)
        self.buildFails(
            BRIDGE + "listen = ['punix:br0.mgmt']\n" + DRIVER,
            f'bridge[0].listen[0] = "punix:{self.directory}/run/br0.mgmt": cannot listen: '
            "Address already in use; must be free, in a directory that exists",
        )

    def test_bridge_fails(self) -> None:
        """Whatever keeps a bridge from being made, no socket stays open."""

        def broken(*args: object) -> None:
            raise ZeroDivisionError

        text = BRIDGE + "listen = ['ptcp:']\n" + DRIVER
        self.assertRaises(ZeroDivisionError, self.build, text, broken)
        self.assertEqual([one.closed for one in self.network.listeners], [1])


class DriverTests(TapCase):
    """What a driver's factory complains of is told like all the rest, before anything is bound."""

    TEXT = (
        BRIDGE
        + "listen = ['ptcp:']\n"
        + DRIVER
        + 'profile = "x"\n'
        + PORT
        + PORT.replace("1", "2").replace("memory", "tap")
        + "[[bridge.table]]\nid = 7\n"
    )

    def refusedBy(self, error: Exception, expected: str) -> None:
        """When the factory raises this, the agent says that."""
        self.factory.error = error
        self.buildFails(self.TEXT, expected)
        self.assertEqual(self.network.listeners, [])

    def test_unknown(self) -> None:
        """A driver that is not there is told with those that are."""
        self.buildFails(
            BRIDGE + DRIVER.replace("asic", "basic"),
            'bridge[0].driver.name = "basic": must be one of asic',
        )

    def test_option(self) -> None:
        """A wrong option has its place beside the driver's name."""
        self.refusedBy(
            OptionError("profile", "x", "must be one of quanta, hp"),
            'bridge[0].driver.profile = "x": must be one of quanta, hp',
        )

    def test_missing(self) -> None:
        """A missing option has no value."""
        self.refusedBy(
            OptionError("device", None, "missing; must be a string"),
            "bridge[0].driver.device: missing; must be a string",
        )

    def test_port(self) -> None:
        """A port that the driver cannot have is told by its own place."""
        self.refusedBy(
            OptionError("port.type", "tap", 'must be "memory"'),
            'bridge[0].port[1].type = "tap": must be "memory"',
        )

    def test_table(self) -> None:
        """So is a table."""
        self.refusedBy(
            OptionError("table.id", 7, "must be one of 0-3"),
            "bridge[0].table[0].id = 7: must be one of 0-3",
        )

    def test_not_loadable(self) -> None:
        """A driver whose module is not there is told by its name."""
        self.refusedBy(
            ImportError("No module named 'acme'"),
            "bridge[0].driver.name = \"asic\": the driver cannot be loaded: No module named 'acme'",
        )


@implementer(ILogObserver)
class Remembered:
    """An observer that keeps all events."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Keep it."""
        self.events.append(event)


class ServiceTests(TapCase):
    """The service, while it starts and stops."""

    def setUp(self) -> None:
        """Remember what is logged and what goes to standard error."""
        super().setUp()
        self.log = Remembered()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)

    def texts(self) -> list[str]:
        """The messages that were logged."""
        return [
            event["log_format"].format(**event)
            for event in self.log.events
            if event.get("log_namespace") == "agent.service.AgentService"
        ]

    def test_says_what_to_type(self) -> None:
        """A running agent says where it listens, and how ovs-ofctl finds it."""
        listen = "listen = ['ptcp:0:127.0.0.1', 'punix:br0.mgmt', 'punix:other']\n"
        service = self.build(BRIDGE + listen + DRIVER)
        service.startService()
        self.assertTrue(next(iter(service)).running)
        self.assertEqual(self.texts(), [])
        self.reactor.run()
        run = f"{self.directory}/run"
        self.assertEqual(
            self.texts(),
            [
                "br0: listening on ptcp:50000:127.0.0.1",
                f"br0: listening on punix:{run}/br0.mgmt",
                f"br0: listening on punix:{run}/other",
                f"br0: try this: OVS_RUNDIR={run} ovs-ofctl show br0",
            ],
        )
        self.successResultOf(service.stopService())
        self.assertFalse(next(iter(service)).running)

    def test_cannot_start(self) -> None:
        """A bridge that cannot start ends the process with one line and status 1."""
        service = self.build(BRIDGE + "listen = ['ptcp:']\n" + DRIVER, BrokenBridge)
        error = self.assertRaises(StartError, service.startService)
        line = "ofagent: br0: cannot start: [Errno 1] CAP_NET_ADMIN is needed"
        self.assertEqual(self.stderr.getvalue(), line + "\n")
        # Python prints an exit's text and ends with status 1; twistd tells of exceptions only.
        self.assertEqual(error.code, line)
        self.assertIsInstance(error, Exception)
        self.assertEqual(self.texts(), ["br0 cannot start"])
        self.assertEqual([one.closed for one in self.network.listeners], [1])
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)

    def test_logging(self) -> None:
        """The application that twistd makes of the service logs as the configuration says."""
        service = self.build(BRIDGE + DRIVER)
        application = Application("ofagent")
        service.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), service.vlog)

    def test_control(self) -> None:
        """The control socket is there when it is configured, in the run directory."""
        service = self.build('[agent]\ncontrol = "x.ctl"\n' + BRIDGE + DRIVER)
        control = self.network.listeners[-1].target
        self.assertEqual(str(control), f"punix:{self.directory}/run/x.ctl")
        self.assertEqual([type(one).__name__ for one in service], ["FakeBridge", "UnixctlServer"])
        self.assertEqual(list(service.bridges), ["br0"])

    def test_control_in_use(self) -> None:
        """A control socket that another agent has keeps this one from starting."""
        self.network.taken = (f"punix:{self.directory}/run/x.ctl",)
        self.buildFails(
            '[agent]\ncontrol = "x.ctl"\n' + BRIDGE + "listen = ['ptcp:']\n" + DRIVER,
            f'agent.control = "punix:{self.directory}/run/x.ctl": cannot listen: '
            "Address already in use; must be free, in a directory that exists",
        )


class OptionsTests(TapCase):
    """The command line."""

    def setUp(self) -> None:
        """Catch standard output."""
        super().setUp()
        self.stdout = io.StringIO()
        self.patch(sys, "stdout", self.stdout)

    def test_config(self) -> None:
        """The file has a default, and is given by --config or -c."""
        for arguments, file in [
            ([], "/etc/ofagent/ofagent.toml"),
            (["--config", "a"], "a"),
            (["-c", "b"], "b"),
        ]:
            options = tap.Options()
            options.parseOptions(arguments)
            self.assertEqual(options["config"], file)

    def test_unknown(self) -> None:
        """Anything else is refused."""
        self.assertRaises(usage.UsageError, tap.Options().parseOptions, ["--verbose"])
        self.assertRaises(usage.UsageError, tap.Options().parseOptions, ["ofagent.toml"])

    def test_version(self) -> None:
        """--version says ours, not Twisted's."""
        error = self.assertRaises(SystemExit, tap.Options().parseOptions, ["--version"])
        self.assertEqual(error.code, 0)
        self.assertEqual(self.stdout.getvalue(), f"ofagent {agent.__version__}\n")

    def check(self, text: str) -> Any:
        """The exit code of --check-config for a file with this text."""
        self.file.write_text(text)
        arguments = ["--check-config", "--config", str(self.file)]
        return self.assertRaises(SystemExit, tap.Options().parseOptions, arguments).code

    def test_check_config(self) -> None:
        """A right file ends with status 0, and nothing was made of it but drivers."""
        self.assertEqual(self.check(BRIDGE + "listen = ['ptcp:1']\n" + DRIVER), 0)
        self.assertEqual(self.stdout.getvalue(), f"{self.file}: right\n")
        self.assertEqual(os.listdir(self.directory), ["ofagent.toml"])

    def test_check_wrong_config(self) -> None:
        """A wrong one ends with a text, for which Python's exit status is 1."""
        self.assertEqual(
            self.check(BRIDGE + "in_band = 1\n" + DRIVER),
            f"ofagent: {self.file}: bridge[0].in_band = 1: must be true or false",
        )
        self.assertEqual(self.stdout.getvalue(), "")

    def test_check_driver(self) -> None:
        """The driver's options are part of the check."""
        self.factory.error = OptionError("profile", "x", "must be one of quanta, hp")
        code = self.check(BRIDGE + DRIVER)
        self.assertIn('driver.profile = "x": must be one of quanta, hp', code)
