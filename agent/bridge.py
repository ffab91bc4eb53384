"""One bridge: a driver, the switch that uses it, and the connections that use the switch.

Nothing is decided here.  A bridge makes its three parts from the configuration, introduces them to
each other, and starts and stops them in the right order: the hardware before anybody can ask for
it, and the connections before the hardware goes.  While it runs, it passes on what is configured
anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger

import agent as package
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener
from agent.connmgr.addresses import KernelNextHops
from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.failopen import FailOpen, Standalone, trigger_duration
from agent.connmgr.inband import InBand, Remote
from agent.connmgr.tls import Credentials
from agent.ofproto import lifecycle
from agent.ofproto.ofproto import OFProto
from agent.openflow.messages import OFP10
from drivers.interfaces import IDriver


class Bridge(Service):
    """A switch with its connections.

    :ivar config: what it was made from, and is to be now.
    :ivar drain: seconds that its operations in flight have to end when it is stopped.
    :ivar ofproto: the switch.
    :ivar connections: its connections.
    :ivar fail_open: what it does when its controllers are gone.
    :ivar standalone: what it does when it has none.
    :ivar in_band: how its controllers are reached through itself.
    """

    _log = Logger()

    def __init__(
        self,
        config: BridgeConfig,
        reactor: Any,
        driver: IDriver,
        listeners: Sequence[Listener],
        credentials: Credentials,
    ) -> None:
        """See :class:`agent.service.BridgeFactory`."""
        self.config = config
        self.drain = 0.0
        self._listeners = listeners
        self._for_good = False
        self.ofproto = OFProto(
            config.name,
            config.datapath_id,
            driver,
            reactor,
            config.max_pending,
            config.watchdog,
            miss_to_controller=OFP10 in config.versions,
            evicting={table.id for table in config.tables if table.overflow == "evict"},
            version=f"ofagent {package.__version__}",
        )
        self.connections = ConnectionManager(
            self.ofproto,
            reactor,
            config.versions,
            config.controllers,
            tls=credentials,
            **_members(config, listeners),
        )
        self.ofproto.observer = self.connections
        self.fail_open = FailOpen(self.ofproto, reactor, self.connections)
        self.standalone = Standalone(self.ofproto, enabled=False)
        self.in_band = InBand(self.ofproto, reactor, KernelNextHops(reactor))
        for policy in (self.fail_open, self.standalone, self.in_band):
            self.connections.add_policy(policy)
        self._set_policies(config)

    def _set_policies(self, config: BridgeConfig) -> None:
        """What the bridge does by itself."""
        standalone = config.fail_mode == "standalone"
        probes = [controller.inactivity_probe for controller in config.controllers]
        self.standalone.set_enabled(standalone and not probes)
        self.fail_open.set_delay(trigger_duration(probes) if standalone and probes else None)
        remotes = []
        if config.in_band:
            targets = [controller.target for controller in config.controllers]
            remotes = [Remote(target.host, target.port) for target in targets if not target.local]
            remotes += [Remote(host, port) for host, port in config.in_band_remotes]
        self.in_band.configure(remotes, config.in_band_queue, config.in_band_next_hops)

    def startService(self) -> None:
        """Start the hardware, then the connections.

        :raises Exception: what keeps it from working; then nothing of it works.
        """
        self.ofproto.start()
        try:
            self.connections.startService()
        except BaseException:
            self.connections.stopService()
            lifecycle.stop(self.ofproto)
            raise
        super().startService()  # type: ignore[no-untyped-call]
        self._log.info(
            "{bridge}: datapath {datapath_id:016x}, driver {driver}",
            bridge=self.config.name,
            datapath_id=self.config.datapath_id,
            driver=self.ofproto.driver.name,
        )

    def stopService(self) -> Deferred[None]:
        """Close the connections, let what is in flight end, then stop the hardware.

        Fires in bounded time: :attr:`drain` seconds and a few more.
        """
        if not self.running:
            return succeed(None)
        super().stopService()  # type: ignore[no-untyped-call]
        waits = [
            self.connections.stopService(),
            lifecycle.drain(self.ofproto, self.drain, self._for_good),
        ]
        return DeferredList(waits).addCallback(lambda _: lifecycle.stop(self.ofproto))

    def discard_rules(self) -> None:
        """When it is stopped, it is for good: its rules are to be deleted then."""
        self._for_good = True

    def reconfigure(self, config: BridgeConfig, listeners: Sequence[Listener]) -> Deferred[None]:
        """Change what is warm, while it runs.

        :param listeners: one for each of ``config.listen``.
        :returns: fires when what is not wanted any more is closed.
        """
        before = dict(zip(self._listeners, self.config.listen, strict=True))
        for listener, wanted in zip(listeners, config.listen, strict=True):
            if listener in before and before[listener].snoop != wanted.snoop:
                # Somebody else serves it from now on.
                listener.keep()
        self.config = config
        self._listeners = listeners
        lifecycle.reconfigure(
            self.ofproto,
            config.max_pending,
            config.watchdog,
            miss_to_controller=OFP10 in config.versions,
            tables=config.tables,
        )
        closed = self.connections.reconfigure(
            config.versions, config.controllers, **_members(config, listeners)
        )
        self._set_policies(config)
        return closed


def _members(config: BridgeConfig, listeners: Sequence[Listener]) -> dict[str, Any]:
    """What the connections are told beside versions and controllers."""
    pairs = list(zip(listeners, config.listen, strict=True))
    return {
        "listeners": [(one, wanted.inactivity_probe) for one, wanted in pairs if not wanted.snoop],
        "snoops": [one for one, wanted in pairs if wanted.snoop],
        "peers": config.peers,
        "packet_in_limits": (config.controller_rate_limit, config.controller_burst_limit),
    }
