"""Tests of :mod:`agent.ofproto.port_requests`, through the switch that it is a part of."""

from __future__ import annotations

from agent.openflow import errors
from agent.openflow import messages as of
from tests.ofproto.stage import SwitchTestCase

P1 = 0x020000000001
"""The address of port 1 of the driver."""


class PortTests(SwitchTestCase):
    """Requests about ports."""

    def test_desc(self) -> None:
        """The ports are those which the driver has now."""
        reply = self.handle(of.PortDescRequest(5))
        self.assertEqual(([p.port_no for p in reply.ports], reply.xid), ([1, 2], 5))

    def test_stats(self) -> None:
        """One port or all; a port must exist."""
        self.driver.counters = [of.PortStats(1, 11), of.PortStats(2, 22)]
        for wanted, expected in ((of.ANY, [1, 2]), (2, [2])):
            reply = self.successResultOf(self.handle(of.PortStatsRequest(wanted, 6)))
            self.assertEqual(([p.port_no for p in reply.ports], reply.xid), (expected, 6))
        self.refused(errors.REQUEST_BAD_PORT, self.handle, of.PortStatsRequest(3))

    def test_mod(self) -> None:
        """A change is made and announced; one that changes nothing is not announced."""
        for _ in range(2):
            self.assertIsNone(self.handle(of.PortMod(1, P1, config=1, mask=5)))
        (status,) = self.observer.port_statuses
        self.assertEqual((status.reason, status.desc.config), (of.PortReason.MODIFY, 1))

    def test_mod_refused(self) -> None:
        """The port must exist, and the address be its own."""
        self.refused(errors.PORT_BAD_PORT, self.handle, of.PortMod(9, P1, 0, 0))
        self.refused(errors.PORT_BAD_HW_ADDR, self.handle, of.PortMod(2, P1, 1, 1))
        self.assertEqual(self.observer.port_statuses, [])
