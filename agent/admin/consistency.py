"""Rules of the configuration that span several keys.

What must be unlike any other, and what needs something else to be there.  Each rule knows the
place of what it complains of; the first complaint ends the check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.admin.config_bridge import PORT_NUMBER, BridgeConfig
from agent.admin.schema import Place
from agent.admin.values import show_datapath_id, show_http

if TYPE_CHECKING:
    from agent.admin.config import Config


class _Seen:
    """Who had a value first.

    :ivar problem: what is wrong with a second one, and what is allowed.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self._first: dict[object, str] = {}

    def add(self, value: object, shown: object, place: Place) -> None:
        """Take note of a value.

        :raises ConfigError: when it was seen before.
        """
        first = self._first.setdefault(value, place.key)
        if first != place.key:
            raise place.error(f"{first} has it already; {self.problem}", shown)


def check(config: Config) -> None:
    """Check a configuration whose values are right one by one.

    :raises ConfigError: for the first rule that does not hold.
    """
    names = _Seen("every bridge needs a name of its own")
    datapaths = _Seen("every bridge needs a datapath id of its own")
    sockets = _Seen("every socket can be listened on once")
    devices = _Seen("a device can be a port of one bridge only")
    if config.agent.control is not None:
        place = config.place.at("agent").at("control")
        sockets.add(str(config.agent.control), str(config.agent.control), place)
    if config.agent.http is not None and config.agent.http[1] != 0:
        shown = show_http(config.agent.http)
        sockets.add(config.agent.http, shown, config.place.at("agent").at("http"))
    for index, bridge in enumerate(config.bridges):
        place = config.bridge_place(index)
        names.add(bridge.name, bridge.name, place.at("name"))
        shown = show_datapath_id(bridge.datapath_id)
        datapaths.add(bridge.datapath_id, shown, place.at("datapath_id"))
        _check_targets(bridge, place, sockets, tls=config.tls is not None)
        _check_peers(bridge, place, tls=config.tls is not None)
        _check_tables(bridge, place)
        _check_ports(bridge, place, devices)


def _check_targets(bridge: BridgeConfig, place: Place, sockets: _Seen, *, tls: bool) -> None:
    """Listeners are unlike any other, controllers unlike the bridge's others; TLS needs [tls]."""
    controllers = _Seen("a bridge connects to a controller once")
    for index, listener in enumerate(bridge.listen):
        target, where = listener.target, place.at("listen").item(index)
        if target.secure and not tls:
            raise where.error("pssl: needs a [tls] table in this file", str(target))
        if target.local or target.port != 0:
            socket = target.path if target.local else (target.host, target.port)
            sockets.add(socket, str(target), where)
    for index, controller in enumerate(bridge.controllers):
        target, where = controller.target, place.at("controllers").item(index)
        if target.secure and not tls:
            raise where.error("ssl: needs a [tls] table in this file", str(target))
        controllers.add(target, str(target), where)


def _check_peers(bridge: BridgeConfig, place: Place, *, tls: bool) -> None:
    """Names are unlike the bridge's others; without TLS there are none."""
    names = _Seen("every peer is described once")
    for index, peer in enumerate(bridge.peers):
        where = place.at("peer").item(index).at("name")
        if not tls:
            raise where.error("a peer has a name by TLS: needs a [tls] table in this file")
        names.add(peer.name, peer.name, where)


def _check_tables(bridge: BridgeConfig, place: Place) -> None:
    """Ids and names are unlike the bridge's others."""
    ids = _Seen("every table is described once")
    names = _Seen("every table of a bridge needs a name of its own")
    for index, table in enumerate(bridge.tables):
        where = place.at("table").item(index)
        ids.add(table.id, table.id, where.at("id"))
        if table.name is not None:
            names.add(table.name, table.name, where.at("name"))


def _check_ports(bridge: BridgeConfig, place: Place, devices: _Seen) -> None:
    """Numbers and names are unlike the bridge's others; a device belongs to one bridge; a queue
    that is used is there."""
    numbers = _Seen("every port of a bridge needs a number of its own")
    names = _Seen("every port of a bridge needs a name of its own")
    for index, port in enumerate(bridge.ports):
        where = place.at("port").item(index)
        numbers.add(port.number, PORT_NUMBER.form(port.number), where.at("number"))
        names.add(port.name, port.name, where.at("name"))
        if port.type != "memory":
            devices.add(port.name, port.name, where.at("name"))
    queues = {queue for port in bridge.ports for queue in port.queues}
    if queues and bridge.in_band_queue is not None and bridge.in_band_queue not in queues:
        where = place.at("in_band_queue")
        raise where.error("must be a queue of some port", bridge.in_band_queue)
