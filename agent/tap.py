"""``twistd ofagent``: its options, and the service that is the whole agent.

:func:`makeService` does everything that can go wrong before it lets anything happen: it reads the
configuration, makes the drivers (which checks their options) and binds every listening socket.
When something is wrong, one line on standard error says what, the exit status is 1, and nothing
has been started.

The bridges themselves are :class:`agent.bridge.Bridge`.
"""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Protocol

from twisted.application.service import IService
from twisted.python import usage
from twisted.python.reflect import namedAny

import agent
from agent.admin.config import Config, load
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener, bind, close_all
from agent.admin.schema import MISSING, ConfigError, Place
from agent.admin.vlog import Vlog, for_twistd
from agent.connmgr.target import Kind, Target
from agent.connmgr.tls import context_factory
from agent.service import AgentService
from drivers import registry
from drivers.interfaces import IDriver, OptionError

DEFAULT_CONFIG: Final = "/etc/ofagent/ofagent.toml"


class BridgeFactory(Protocol):
    """Makes one bridge: :class:`agent.bridge.Bridge`, or what a test has instead."""

    def __call__(
        self,
        config: BridgeConfig,
        agent: Config,
        reactor: Any,
        driver: IDriver,
        listeners: Sequence[Listener],
    ) -> IService:
        """A service; nothing happens until it is started.

        :param driver: made for it, not started.
        :param listeners: one for each of ``config.listen``, in the same order.
        """


class Options(usage.Options):
    """What may stand behind ``twistd ofagent``."""

    synopsis = "[--config FILE] [--check-config]"
    longdesc = "An OpenFlow switch agent for slow hardware, with honest barriers."
    optParameters = [["config", "c", DEFAULT_CONFIG, "The configuration file."]]
    optFlags = [
        ["check-config", None, "Check the configuration, say what is wrong with it, and exit."]
    ]

    def opt_version(self) -> NoReturn:
        """Show the version and exit."""
        sys.stdout.write(f"ofagent {agent.__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Check, when that is all there is to do: before twistd does anything else."""
        if self["check-config"]:
            try:
                config = load(self["config"])
                make_drivers(config)
                check_certificates(config)
            except ConfigError as error:
                raise SystemExit(f"ofagent: {error}") from None
            sys.stdout.write(f"{self['config']}: right\n")
            raise SystemExit(0)


def makeService(options: Options) -> IService:
    """The agent, ready to start.

    :raises SystemExit: with the one line that says what is wrong.
    """
    # twistd gives no reactor, so this is the one place that fetches it.
    reactor = namedAny("twisted.internet.reactor")
    try:
        config = load(options["config"])
        vlog = for_twistd(
            options.parent or {}, config.agent.log_level, config.agent.log_format, reactor
        )
        service = build(config, reactor, namedAny("agent.bridge.Bridge"), vlog)
    except ConfigError as error:
        raise SystemExit(f"ofagent: {error}") from None
    _tune_garbage_collection()
    _raise_descriptor_limit()
    return service


def build(
    config: Config,
    reactor: Any,
    make_bridge: BridgeFactory,
    vlog: Vlog,
    *,
    listen: Callable[[Target], Listener] = bind,
) -> AgentService:
    """Everything that a configuration asks for, with its sockets bound and nothing started.

    :raises ConfigError: when it cannot be had; no socket is left open then.
    """
    drivers = make_drivers(config)
    check_certificates(config)
    _make_run_dir(config)
    opened: list[Listener] = []
    service = AgentService(reactor, vlog)
    try:
        for index, (bridge, driver) in enumerate(zip(config.bridges, drivers, strict=True)):
            place = config.bridge_place(index).at("listen")
            listeners = []
            for number, wanted in enumerate(bridge.listen):
                listeners.append(_listen(wanted.target, place.item(number), listen))
                opened.append(listeners[-1])
            made = make_bridge(bridge, config, reactor, driver, listeners)
            service.add_bridge(made, bridge, listeners)
        control = config.agent.control
        if control is not None:
            place = config.place.at("agent").at("control")
            target = Target(Kind.PUNIX, path=str(control))
            opened.append(_listen(target, place, listen))
            service.add_control(opened[-1])
    except BaseException:
        close_all(opened)
        raise
    return service


def make_drivers(config: Config) -> list[IDriver]:
    """A driver for each bridge; none is started.

    :raises ConfigError: when there is no such driver, or one of its options is wrong.
    """
    drivers = []
    for index, bridge in enumerate(config.bridges):
        place = config.bridge_place(index)
        try:
            factory = registry.find(bridge.driver.name)
            drivers.append(factory.create(bridge.driver.options, bridge.ports, bridge.tables))
        except OptionError as error:
            raise _option_error(error, bridge, place) from None
        except ImportError as error:
            problem = f"the driver cannot be loaded: {error}"
            raise place.at("driver").at("name").error(problem, bridge.driver.name) from error
    return drivers


def check_certificates(config: Config) -> None:
    """See whether TLS would work.

    :raises ConfigError: when a file of ``[tls]`` does not hold what it should.
    """
    if config.tls is not None:
        try:
            context_factory(config.tls.certificate, config.tls.private_key, config.tls.ca)
        except (OSError, ValueError) as error:
            raise config.place.at("tls").error(f"cannot be used: {error}") from None


def _option_error(error: OptionError, bridge: BridgeConfig, place: Place) -> ConfigError:
    """What a driver's factory complains of, with its place in the file."""
    way = place.at("driver")
    # What concerns ports and tables stands beside the driver's own options.
    section, _, name = error.key.partition(".")
    entries: Sequence[object] = {"port": bridge.ports, "table": bridge.tables}.get(section, ())
    for index, entry in enumerate(entries):
        if name and getattr(entry, name, None) == error.value:
            section_place = place.at(section).item(index)
            return section_place.at(name).error(error.allowed, error.value)
    value = MISSING if error.value is None else error.value
    return ConfigError(place.file, f"{way.key}.{error.key}", value, error.allowed)


def _make_run_dir(config: Config) -> None:
    run_dir = config.agent.run_dir
    try:
        # Closed to others: who can enter it can reach every socket in it.
        run_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be made: {error.strerror}; must be a directory that can be written"
        raise config.place.at("agent").at("run_dir").error(problem, str(run_dir)) from None


def _listen(target: Target, place: Place, listen: Callable[[Target], Listener]) -> Listener:
    try:
        return listen(target)
    except OSError as error:
        problem = f"cannot listen: {error.strerror}; must be free, and an address of this host"
        if target.local:
            problem = f"cannot listen: {error.strerror}; must be free, in a directory that exists"
        raise place.error(problem, str(target)) from None


def _tune_garbage_collection() -> None:
    """Look for circular garbage less often.

    Rules live long and are no garbage, yet each collection would look at all of them; what requests
    leave behind has no circles.  With Python's own thresholds an ADD among 100,000 rules costs a
    third more than among 1,000.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _raise_descriptor_limit() -> None:
    """Allow as many open connections as the system lets this process have.

    The usual soft limit of 1024 is there for programs that use select(2), which this one does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
