"""From a configuration to all that it needs, before anything of that begins to work.

What can go wrong with a configuration goes wrong here: a driver that there is not or that refuses
its options, a certificate that is none, a socket that somebody else listens on.  Then nothing has
happened: what was opened is closed again.

The start of an agent and a reload both go through :func:`prepare`.  A reload has sockets already,
which it goes on using, also where one has moved from one bridge to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
from twisted.internet.ssl import CertificateOptions

from agent.admin.config import Config, load
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener, bind, close_all
from agent.admin.schema import MISSING, ConfigError, Place
from agent.admin.web.access import TokenError, is_loopback, token_of
from agent.connmgr.target import Kind, Target
from agent.connmgr.tls import context_factory
from drivers import registry
from drivers.interfaces import IDriver, OptionError

Listen = Callable[[Target], Listener]
"""Opens a socket: :func:`agent.admin.listeners.bind`.  Raises OSError."""


@attrs.frozen
class Held:
    """A socket that is in use.

    :ivar bridge: whose it is; empty: the control socket.
    :ivar target: what was asked for, which is not always what there is: any port.
    """

    bridge: str
    target: Target
    listener: Listener


@attrs.frozen
class PreparedBridge:
    """What a bridge needs.

    :ivar driver: made for it, and not started.
    :ivar listeners: one for each of ``config.listen``.
    """

    config: BridgeConfig
    driver: IDriver
    listeners: Sequence[Listener]


@attrs.frozen
class Prepared:
    """What a configuration needs.

    :ivar bridges: by name, in their order.
    :ivar options: for TLS; None: it is not configured.
    :ivar fingerprint: of the files they are from; empty: there are none.
    :ivar control: the control socket; None: there is none.
    :ivar http: the socket of metrics and page; None: there is none.
    :ivar token: what their readers have to know; empty: nothing.
    :ivar opened: those of the sockets that were not in use before.
    """

    config: Config
    bridges: Mapping[str, PreparedBridge]
    options: CertificateOptions | None
    fingerprint: str
    control: Listener | None
    http: Listener | None
    token: str
    opened: Sequence[Listener]

    def discard(self) -> None:
        """It is not wanted after all: close what nobody uses."""
        close_all(self.opened)


def prepare(config: Config, listen: Listen = bind, held: Iterable[Held] = ()) -> Prepared:
    """Everything that a configuration asks for.

    :param held: sockets that can be used again.
    :raises ConfigError: when it cannot be had.
    """
    drivers = make_drivers(config)
    options = certificates(config)
    fingerprint = _fingerprint(config)
    _make_run_dir(config)
    token = _token(config)
    sockets = _Sockets(listen, held)
    try:
        bridges = {}
        for index, (bridge, driver) in enumerate(zip(config.bridges, drivers, strict=True)):
            place = config.bridge_place(index).at("listen")
            listeners = [
                sockets.get(bridge.name, wanted.target, place.item(number))
                for number, wanted in enumerate(bridge.listen)
            ]
            bridges[bridge.name] = PreparedBridge(bridge, driver, listeners)
        control = None
        if config.agent.control is not None:
            place = config.place.at("agent").at("control")
            control = sockets.get("", Target(Kind.PUNIX, path=str(config.agent.control)), place)
        http = None
        if config.agent.http is not None:
            place = config.place.at("agent").at("http")
            http = sockets.get("", Target(Kind.PTCP, *config.agent.http), place)
    except BaseException:
        close_all(sockets.opened)
        raise
    return Prepared(config, bridges, options, fingerprint, control, http, token, sockets.opened)


def check(file: str) -> None:
    """Check a configuration file as far as can be done without opening anything.

    :raises ConfigError: for the first thing that is wrong.
    """
    config = load(file)
    make_drivers(config)
    certificates(config)


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


def certificates(config: Config) -> CertificateOptions | None:
    """What TLS uses; None: it is not configured.

    :raises ConfigError: when a file of ``[tls]`` does not hold what it should.
    """
    tls = config.tls
    if tls is None:
        return None
    try:
        return context_factory(tls.certificate, tls.private_key, tls.ca)
    except (OSError, ValueError) as error:
        raise config.place.at("tls").error(f"cannot be used: {error}") from None


def _fingerprint(config: Config) -> str:
    """What tells the certificates of now from others in files of the same names.

    :raises ConfigError: when one cannot be read.
    """
    if config.tls is None:
        return ""
    digest = hashlib.sha256()
    try:
        for path in (config.tls.certificate, config.tls.private_key, config.tls.ca):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise config.place.at("tls").error(f"cannot be used: {error}") from None
    return f"SHA256:{digest.hexdigest()[:16]}"


def _token(config: Config) -> str:
    """What readers of metrics and page have to know; empty: nothing, or there are none.

    :raises ConfigError: when its file cannot be used.
    """
    if config.agent.http is None or is_loopback(config.agent.http[0]):
        return ""
    path = config.agent.http_token
    place = config.place.at("agent").at("http_token")
    try:
        return token_of(path)
    except OSError as error:
        problem = f"can be neither read nor made: {error.strerror}"
        raise place.error(problem, str(path)) from None
    except TokenError as error:
        raise place.error(str(error), str(path)) from None


class _Sockets:
    """Sockets that are in use, and those that are opened beside them.

    :ivar opened: the latter.
    """

    def __init__(self, listen: Listen, held: Iterable[Held]) -> None:
        self.opened: list[Listener] = []
        self._listen = listen
        self._held = list(held)

    def get(self, bridge: str, target: Target, place: Place) -> Listener:
        """A socket that listens on ``target``.

        :raises ConfigError: when there can be none.
        """
        for one in self._held:
            # Any port is as good as any other, so such a socket need not move; nor does one to or
            # from the control socket, to which fewer may connect.
            moves = bool(one.bridge and bridge) and (target.local or target.port)
            if one.target == target and (one.bridge == bridge or moves):
                self._held.remove(one)
                return one.listener
        try:
            self.opened.append(self._listen(target))
        except OSError as error:
            raise place.error(self._problem(target, error), str(target)) from None
        return self.opened[-1]

    def _problem(self, target: Target, error: OSError) -> str:
        """Why a socket cannot be had, and what can."""
        allowed = "in a directory that exists" if target.local else "and an address of this host"
        text = f"cannot listen: {error.strerror}"
        for one in self._held:
            ours = one.listener.target
            if not target.local and not ours.local and ours.port == target.port:
                text += f", by this agent itself ({ours}), and has to be closed by a reload before"
                break
        return f"{text}; must be free, {allowed}"


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
