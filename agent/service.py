"""The whole agent while it runs: its bridges, and the control socket."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.admin import coverage
from agent.admin.commands import commands
from agent.admin.commands_bridges import Bridge
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener, close_all
from agent.admin.unixctl import UnixctlServer
from agent.admin.vlog import Vlog


class StartError(SystemExit, Exception):
    """A bridge cannot start.

    An exit, so that there is no traceback; an exception, so that a daemon's first process, which
    only hears of those, ends with status 1 as well.
    """


@attrs.frozen
class _Bridge:
    """What is said about a bridge when it runs."""

    service: IService
    config: BridgeConfig
    listeners: Sequence[Listener]


class AgentService(MultiService):
    """The whole agent.

    :ivar vlog: what it logs with.
    """

    _log = Logger()

    def __init__(self, reactor: Any, vlog: Vlog) -> None:
        MultiService.__init__(self)
        self._reactor = reactor
        self.vlog = vlog
        self._bridges: list[_Bridge] = []
        self._listeners: list[Listener] = []

    @property
    def bridges(self) -> Mapping[str, Bridge]:
        """The bridges by name, as the commands of the control socket use them."""
        return {one.config.name: cast(Bridge, one.service) for one in self._bridges}

    def exit(self) -> None:
        """Begin to stop the agent."""
        self._reactor.stop()

    def add_control(self, listener: Listener) -> None:
        """Take the control socket; the bridges are all there already."""
        self._listeners.append(listener)
        registry = commands(self, self._reactor, self.vlog)
        server = UnixctlServer(self._reactor, listener, registry)
        server.setServiceParent(self)  # type: ignore[no-untyped-call]

    def add_bridge(
        self, service: IService, config: BridgeConfig, listeners: Sequence[Listener]
    ) -> None:
        """Take a bridge that was just made."""
        self._bridges.append(_Bridge(service, config, listeners))
        self._listeners += listeners
        service.setName(config.name)
        service.setServiceParent(self)

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
        for service in self:
            try:
                service.startService()
            except Exception as error:
                self._log.debug("{bridge} cannot start", bridge=service.name, log_failure=Failure())
                close_all(self._listeners)
                coverage.process.stop()
                text = f"ofagent: {service.name}: cannot start: {error}"
                # twistd has redirected sys.stderr into the log by now.
                if sys.__stderr__ is not None:
                    sys.__stderr__.write(text + "\n")
                raise StartError(text) from error
        # Not before: until then a signal would end the process without stopping anything.
        for bridge in self._bridges:
            self._reactor.callWhenRunning(self._greet, bridge)

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when all of it has stopped."""
        coverage.process.stop()
        return cast("Deferred[None]", MultiService.stopService(self))

    def _greet(self, bridge: _Bridge) -> None:
        """Say where a bridge listens, and what to type to see it."""
        name = bridge.config.name
        for listener in bridge.listeners:
            self._log.info("{bridge}: listening on {target}", bridge=name, target=listener.target)
        # ovs-ofctl finds a bridge by its name, as a socket NAME.mgmt in its run directory.
        paths = [Path(listener.target.path) for listener in bridge.listeners]
        for path in paths:
            if path.name == f"{name}.mgmt":
                self._log.info(
                    "{bridge}: try this: OVS_RUNDIR={directory} ovs-ofctl show {bridge}",
                    bridge=name,
                    directory=shlex.quote(str(path.parent)),
                )
