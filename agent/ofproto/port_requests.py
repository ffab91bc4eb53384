"""Requests about ports.  They are the driver's: whatever it says of them is passed on.

Source: OpenFlow 1.0.1 sections 5.3.3 and 5.3.5, OpenFlow 1.3.5 sections 7.3.4.3, 7.3.5.6 and
7.3.5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from agent.ofproto.interfaces import IRequester
from agent.ofproto.reads import Reads
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.errors import OpenFlowError
from drivers.interfaces import IDriver


class PortRequests:
    """Answers the requests about ports of one switch."""

    def __init__(
        self,
        driver: IDriver,
        reads: Reads,
        changed: Callable[[of.PortReason, of.PortDesc], object],
    ) -> None:
        """:param changed: is told how a port is, when a request has changed it."""
        self._driver = driver
        self._reads = reads
        self._changed = changed

    def handlers(self) -> dict[type, Callable[[Any, IRequester], Any]]:
        """What answers each kind of request; see :meth:`agent.ofproto.ofproto.OFProto.handle`."""
        return {
            of.PortMod: self._port_mod,
            of.PortStatsRequest: self._port_stats,
            of.PortDescRequest: self._port_desc,
        }

    def exists(self, port_no: int) -> bool:
        """Whether there is such a port."""
        return self._find(port_no) is not None

    def _find(self, port_no: int) -> of.PortDesc | None:
        return next((port for port in self._driver.ports() if port.port_no == port_no), None)

    def _port_mod(self, request: of.PortMod, _: IRequester) -> None:
        desc = self._find(request.port_no)
        if desc is None:
            raise OpenFlowError(errors.PORT_BAD_PORT, f"port {request.port_no}")
        if desc.hw_addr != request.hw_addr:
            raise OpenFlowError(errors.PORT_BAD_HW_ADDR, f"{request.hw_addr:012x}")
        changed = self._driver.port_mod(request.port_no, request.config, request.mask)
        if changed != desc:
            self._changed(of.PortReason.MODIFY, changed)

    def _port_desc(self, request: of.PortDescRequest, _: IRequester) -> object:
        return of.PortDescReply(list(self._driver.ports()), request.xid)

    def _port_stats(self, request: of.PortStatsRequest, _: IRequester) -> Deferred[Any]:
        wanted = request.port_no
        if wanted != of.ANY and not self.exists(wanted):
            raise OpenFlowError(errors.REQUEST_BAD_PORT, f"port {wanted}")
        return self._reads.port_stats().addCallback(
            lambda ports: of.PortStatsReply(
                [port for port in ports if wanted in (of.ANY, port.port_no)], request.xid
            )
        )
