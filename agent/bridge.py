"""One bridge: a driver, the switch that uses it, and the connections that use the switch.

Nothing is decided here.  A bridge makes its three parts from the configuration, introduces them to
each other, and starts and stops them in the right order: the hardware before anybody can ask for
it, and the connections before the hardware goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger

import agent as package
from agent.admin.config import Config
from agent.admin.config_bridge import BridgeConfig
from agent.admin.listeners import Listener
from agent.connmgr.addresses import KernelNextHops
from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.failopen import FailOpen, Standalone, trigger_duration
from agent.connmgr.inband import InBand, Remote
from agent.connmgr.tls import context_factory
from agent.ofproto.ofproto import OFProto
from agent.openflow.messages import OFP10
from drivers.interfaces import IDriver


class Bridge(Service):
    """A switch with its connections.

    :ivar config: what it was made from.
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
        agent: Config,
        reactor: Any,
        driver: IDriver,
        listeners: Sequence[Listener],
    ) -> None:
        """See :class:`agent.tap.BridgeFactory`.

        :raises ConfigError: when the certificates cannot be used.
        """
        self.config = config
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
            [
                (listener, wanted.inactivity_probe)
                for listener, wanted in zip(listeners, config.listen, strict=True)
                if not wanted.snoop
            ],
            _certificates(config, agent),
            packet_in_limits=(config.controller_rate_limit, config.controller_burst_limit),
            snoops=[
                listener
                for listener, wanted in zip(listeners, config.listen, strict=True)
                if wanted.snoop
            ],
        )
        self.ofproto.observer = self.connections
        self.fail_open = FailOpen(self.ofproto, reactor, self.connections)
        self.standalone = Standalone(self.ofproto)
        self.in_band = InBand(self.ofproto, reactor, KernelNextHops(reactor))
        for policy in (self.fail_open, self.standalone, self.in_band):
            self.connections.add_policy(policy)
        self._set_policies(config)

    def _set_policies(self, config: BridgeConfig) -> None:
        """What the bridge does by itself."""
        standalone = config.fail_mode == "standalone"
        probes = [controller.inactivity_probe for controller in config.controllers]
        self.standalone.enabled = standalone and not probes
        self.fail_open.set_delay(trigger_duration(probes) if standalone and probes else None)
        remotes = []
        if config.in_band:
            targets = [controller.target for controller in config.controllers]
            remotes = [Remote(target.host, target.port) for target in targets if not target.local]
            remotes += [Remote(host, port) for host, port in config.in_band_remotes]
        self.in_band.configure(remotes, config.in_band_queue, config.in_band_next_hops)

    def startService(self) -> None:
        """Start the hardware, then the connections."""
        self.ofproto.start()
        self.connections.startService()
        super().startService()  # type: ignore[no-untyped-call]
        self._log.info(
            "{bridge}: datapath {datapath_id:016x}, driver {driver}",
            bridge=self.config.name,
            datapath_id=self.config.datapath_id,
            driver=self.ofproto.driver.name,
        )

    def stopService(self) -> Deferred[None]:
        """Close the connections, then stop the hardware; what is in flight is forgotten."""
        super().stopService()  # type: ignore[no-untyped-call]
        closed = self.connections.stopService()
        return cast("Deferred[None]", closed.addCallback(lambda _: self.ofproto.stop()))


def _certificates(config: BridgeConfig, agent: Config) -> CertificateOptions | None:
    """What TLS needs, when any of the bridge's targets is to use it."""
    targets = [wanted.target for wanted in config.listen]
    targets += [wanted.target for wanted in config.controllers]
    tls = agent.tls
    if tls is None or not any(target.secure for target in targets):
        return None
    try:
        return context_factory(tls.certificate, tls.private_key, tls.ca)
    except (OSError, ValueError) as error:
        raise agent.place.at("tls").error(f"cannot be used: {error}") from error
