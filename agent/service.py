"""The whole agent while it runs: its bridges, the control socket, and how all that changes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import attrs
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent import reload
from agent.admin import coverage
from agent.admin.activity import Activity
from agent.admin.commands import commands
from agent.admin.commands_bridges import Bridge
from agent.admin.config import load
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener, bind, close_all
from agent.admin.schema import ConfigError
from agent.admin.unixctl import UnixctlServer
from agent.admin.values import show_http
from agent.admin.vlog import Vlog
from agent.admin.web.server import WebServer
from agent.connmgr.tls import Credentials
from agent.prepare import Held, Listen, Prepared, PreparedBridge, prepare
from agent.reload import Plan, Reloaded
from drivers.interfaces import IDriver


class StartError(SystemExit, Exception):
    """A bridge cannot start.

    An exit, so that there is no traceback; an exception, so that a daemon's first process, which
    only hears of those, ends with status 1 as well.
    """


class StoppedError(Exception):
    """The agent does not run (any more)."""


class BridgeService(Protocol):
    """A bridge, as far as it is started, changed and stopped: :class:`agent.bridge.Bridge`.

    :ivar drain: seconds that its operations in flight have to end when it is stopped.
    """

    drain: float

    def setName(self, name: str) -> None:
        """See :class:`twisted.application.service.IService`, like the next two."""

    def setServiceParent(self, parent: Any) -> None:
        """Start it, if the parent runs."""

    def disownServiceParent(self) -> Deferred[None] | None:
        """Stop it, if the parent runs."""

    def reconfigure(self, config: BridgeConfig, listeners: Sequence[Listener]) -> Deferred[None]:
        """Change what is warm.

        :param listeners: one for each of ``config.listen``.
        :returns: fires when what is not wanted any more is closed.
        """

    def discard_rules(self) -> None:
        """When it is stopped, it is for good: its rules are to be deleted then."""


class BridgeFactory(Protocol):
    """Makes one bridge: :class:`agent.bridge.Bridge`, or what a test has instead."""

    def __call__(
        self,
        config: BridgeConfig,
        reactor: Any,
        driver: IDriver,
        listeners: Sequence[Listener],
        credentials: Credentials,
    ) -> BridgeService:
        """A service; nothing happens until it is started.

        :param driver: made for it, not started.
        :param listeners: one for each of ``config.listen``, in the same order.
        :param credentials: for TLS.
        """


@attrs.frozen
class _Bridge:
    """A bridge that runs, or is about to."""

    service: BridgeService
    config: BridgeConfig
    listeners: Sequence[Listener]

    def held(self) -> list[Held]:
        """Its sockets."""
        pairs = zip(self.config.listen, self.listeners, strict=True)
        return [Held(self.config.name, wanted.target, listener) for wanted, listener in pairs]


@attrs.frozen
class _Server:
    """What serves a socket of the process.

    :ivar secret: what its clients have to know.
    """

    service: Service
    listener: Listener
    secret: str


class AgentService(MultiService):
    """The whole agent.

    :ivar config: what it was made from, or last reloaded.
    :ivar vlog: what it logs with.
    """

    _log = Logger()

    def __init__(
        self,
        prepared: Prepared,
        reactor: Any,
        make_bridge: BridgeFactory,
        vlog: Vlog,
        listen: Listen = bind,
    ) -> None:
        """Make the agent; nothing happens until it is started.

        :param prepared: what it needs.
        :param listen: opens the sockets that a reload asks for.
        """
        MultiService.__init__(self)
        self.config = prepared.config
        self.vlog = vlog
        self._reactor = reactor
        self._make_bridge = make_bridge
        self._listen = listen
        self._activity = Activity(lambda: self.bridges)
        self._credentials = Credentials(prepared.options)
        self._bridges: dict[str, _Bridge] = {}
        self._fingerprint = prepared.fingerprint
        self._servers: dict[str, _Server] = {}
        self._parting: dict[Service, IDelayedCall] = {}
        self._reloading: Deferred[None] | None = None
        self._asked: list[Deferred[Reloaded]] = []
        for one in prepared.bridges.values():
            self._add(one)
        self._set_servers(prepared)

    @property
    def bridges(self) -> Mapping[str, Bridge]:
        """The bridges by name, as the commands of the control socket use them."""
        return {name: cast(Bridge, one.service) for name, one in self._bridges.items()}

    # --- life ------------------------------------------------------------------------------------

    def setServiceParent(self, parent: Any) -> None:
        """Tell the application, which twistd has made just now, how to log."""
        self.vlog.attach(parent)
        MultiService.setServiceParent(self, parent)

    def startService(self) -> None:
        """Start the bridges, and when the reactor runs say how to reach them.

        :raises StartError: when one of them cannot start; the process is to end then.
        """
        Service.startService(self)
        coverage.process.start(self._reactor)
        self._activity.watch(coverage.process)
        for service in self:
            try:
                service.startService()
            except Exception as error:
                self._log.debug("{bridge} cannot start", bridge=service.name, log_failure=Failure())
                close_all(one.listener for one in self._held())
                self._stop_counting()
                text = f"ofagent: {service.name}: cannot start: {error}"
                # twistd has redirected sys.stderr into the log by now.
                if sys.__stderr__ is not None:
                    sys.__stderr__.write(text + "\n")
                raise StartError(text) from error
        # Not before: until then a signal would end the process without stopping anything.
        self._reactor.callWhenRunning(self._greet_web)
        for bridge in self._bridges.values():
            name = bridge.config.name
            self._reactor.callWhenRunning(self._greet, name, bridge.listeners)

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when all of it has stopped, which takes bounded time."""
        self._stop_counting()
        for call in self._parting.values():
            call.cancel()
        self._parting.clear()
        waits: list[Deferred[Any]] = [MultiService.stopService(self)]
        if self._reloading is not None:
            # What it has begun to stop is not ours any more.
            waits.append(self._reloading)
        return DeferredList(waits).addCallback(lambda _: None)

    def _stop_counting(self) -> None:
        coverage.process.stop()
        self._activity.unwatch()

    def exit(self) -> None:
        """Begin to stop the agent."""
        self._reactor.stop()

    def _add(self, wanted: PreparedBridge) -> _Bridge:
        """Have another bridge, which is started if the agent runs.

        :raises Exception: when it cannot start.
        """
        config, listeners = wanted.config, wanted.listeners
        service = self._make_bridge(
            config, self._reactor, wanted.driver, listeners, self._credentials
        )
        service.drain = self.config.agent.drain
        service.setName(config.name)
        try:
            service.setServiceParent(self)
        except Exception:
            # It does not run, and so there is nothing to stop.
            service.disownServiceParent()
            raise
        bridge = self._bridges[config.name] = _Bridge(service, config, listeners)
        return bridge

    def _set_servers(self, prepared: Prepared) -> None:
        """Have the control socket, and the page and metrics, that are prepared."""
        self._set_server(
            "control",
            prepared.control,
            "",
            lambda socket: UnixctlServer(
                self._reactor, socket, commands(self, self._reactor, self.vlog)
            ),
        )
        token = prepared.token
        self._set_server(
            "http",
            prepared.http,
            token,
            lambda socket: WebServer(self._reactor, socket, self, token),
        )

    def _set_server(
        self,
        role: str,
        listener: Listener | None,
        secret: str,
        make: Callable[[Listener], Service],
    ) -> None:
        """Serve this socket; what served another before goes when its last command is answered."""
        before = self._servers.get(role)
        if before is not None:
            if (before.listener, before.secret) == (listener, secret):
                return
            del self._servers[role]
        if listener is not None:
            server = make(listener)
            self._servers[role] = _Server(server, listener, secret)
            server.setServiceParent(self)
        if before is not None:
            self._parting[before.service] = self._reactor.callLater(0, self._part, before.service)

    def _part(self, server: Service) -> None:
        del self._parting[server]
        server.disownServiceParent()

    def _held(self) -> list[Held]:
        """The sockets in use."""
        found = [one for bridge in self._bridges.values() for one in bridge.held()]
        for server in self._servers.values():
            found.append(Held("", server.listener.target, server.listener))
        return found

    def _greet_web(self) -> None:
        """Say where metrics and the page are."""
        web = self._servers.get("http")
        if web is not None:
            target = web.listener.target
            self._log.info(
                "metrics and page at {url}{token}",
                url=f"http://{show_http((target.host, target.port))}/",
                token=f", with the token in {self.config.agent.http_token}" if web.secret else "",
            )

    def _greet(self, name: str, listeners: Sequence[Listener]) -> None:
        """Say where a bridge listens, and what to type to see it."""
        for listener in listeners:
            self._log.info("{bridge}: listening on {target}", bridge=name, target=listener.target)
        # ovs-ofctl finds a bridge by its name, as a socket NAME.mgmt in its run directory.
        paths = [Path(listener.target.path) for listener in listeners]
        for path in paths:
            if path.name == f"{name}.mgmt":
                self._log.info(
                    "{bridge}: try this: OVS_RUNDIR={directory} ovs-ofctl show {bridge}",
                    bridge=name,
                    directory=shlex.quote(str(path.parent)),
                )

    # --- reload ----------------------------------------------------------------------------------

    @property
    def run_dir(self) -> Path:
        """Where its sockets and other files are."""
        return self.config.agent.run_dir

    def reload(self) -> Deferred[Reloaded]:
        """Read the configuration again, and make it so; see :mod:`agent.reload`.

        While that is under way, all who ask for it get the result of a second one, for the file may
        have changed meanwhile.

        :returns: what happened.  Fails with :class:`~agent.admin.schema.ConfigError` when the file
            is wrong, and with :class:`StoppedError` when the agent does not run; nothing has
            happened then.  Cancelling it stops nothing.
        """
        asked: Deferred[Reloaded] = Deferred()
        self._asked.append(asked)
        if self._reloading is None:
            self._begin_reload()
        return asked

    def _begin_reload(self) -> None:
        asked, self._asked = self._asked, []
        over: Deferred[None] = Deferred()
        self._reloading = over
        Deferred.fromCoroutine(self._reload()).addBoth(self._reloaded, asked, over)

    def _reloaded(
        self, result: Reloaded | Failure, asked: Iterable[Deferred[Reloaded]], over: Deferred[None]
    ) -> None:
        self._reloading = None
        for one in asked:
            one.callback(result)
        if self._asked and self._reloading is None:
            self._begin_reload()
        over.callback(None)

    async def _reload(self) -> Reloaded:
        if not self.running:
            raise StoppedError("the agent does not run")
        try:
            config = load(self.config.path, self.config.place.file)
            prepared = prepare(config, self._listen, self._held())
        except ConfigError as error:
            reload.note_refusal(error)
            raise
        running = {name: bridge.config for name, bridge in self._bridges.items()}
        plan = Plan(self.config, config, running)
        self._change_process(plan, prepared)
        await DeferredList(self._change_bridges(plan, prepared))
        failed = {name: self._start(prepared.bridges[name]) for name in plan.comes}
        if self.running:
            self._set_servers(prepared)
            self._greet_web()
        else:
            prepared.discard()
        result = plan.result({name: error for name, error in failed.items() if error})
        reload.note(result)
        return result

    def _change_process(self, plan: Plan, prepared: Prepared) -> None:
        """Change what concerns no bridge, but for the control socket."""
        old, self.config = self.config.agent, prepared.config
        new = self.config.agent
        # What the operator has set since stays, unless the file has changed.
        if new.log_level != old.log_level:
            self.vlog.set_level(new.log_level)
        if new.log_format != old.log_format:
            self.vlog.set_form(new.log_format)
        plan.compare_certificates(self._fingerprint, prepared.fingerprint)
        self._fingerprint = prepared.fingerprint
        self._credentials.use(prepared.options)
        for bridge in self._bridges.values():
            bridge.service.drain = new.drain

    def _change_bridges(self, plan: Plan, prepared: Prepared) -> list[Deferred[Any]]:
        """Stop those that go, and change those that stay; returns what to wait for."""
        waits: list[Deferred[Any]] = []
        wanted = prepared.bridges
        taken = {id(listener) for one in wanted.values() for listener in one.listeners}
        for name, bridge in self._bridges.items():
            own = wanted[name].listeners if name in plan.stays else ()
            for listener in bridge.listeners:
                if id(listener) in taken and listener not in own:
                    listener.keep()
        for name in plan.goes:
            service = self._bridges.pop(name).service
            service.discard_rules()
            waits.append(maybeDeferred(service.disownServiceParent))
        for name, found in plan.stays.items():
            if found:
                config, listeners = wanted[name].config, wanted[name].listeners
                before = self._bridges[name]
                waits.append(before.service.reconfigure(config, listeners))
                self._bridges[name] = _Bridge(before.service, config, listeners)
                self._greet(name, [one for one in listeners if one not in before.listeners])
        return waits

    def _start(self, wanted: PreparedBridge) -> str:
        """Start a bridge; returns why that is not possible, if it is not."""
        name = wanted.config.name
        if not self.running:
            close_all(wanted.listeners)
            return "the agent is being stopped"
        try:
            self._add(wanted)
        except Exception as error:
            if isinstance(error, OSError):
                # It says itself what the host cannot do.
                self._log.debug("{bridge} cannot start", bridge=name, log_failure=Failure())
            else:
                self._log.failure("{bridge}: cannot start", bridge=name)
            close_all(wanted.listeners)
            return str(error) or type(error).__name__
        self._greet(name, wanted.listeners)
        return ""
