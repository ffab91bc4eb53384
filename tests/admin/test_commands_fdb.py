"""Tests of :mod:`agent.admin.commands_fdb`."""

from __future__ import annotations

from zope.interface import implementer

from agent.admin.commands_fdb import ForwardingCommands
from agent.admin.unixctl import CommandRegistry
from agent.ofproto.ofproto import OFProto
from agent.openflow.messages import Port
from drivers.abilities import IForwardingDatabase, LearnedAddress, LearningStatistics
from drivers.testing import ScriptableDriver
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge
from tests.ofproto.stage import SwitchTestCase


@implementer(IForwardingDatabase)
class LearningDriver(ScriptableDriver):
    """A driver that has learned what a test says."""

    def __init__(self, *addresses: LearnedAddress) -> None:
        super().__init__()
        self.addresses = list(addresses)

    def learned_addresses(self) -> list[LearnedAddress]:
        """See :class:`drivers.abilities.IForwardingDatabase`, like the rest."""
        return self.addresses

    def forget_addresses(self) -> None:
        """Forget them."""
        self.addresses.clear()

    def learning_statistics(self) -> LearningStatistics:
        """A different number each."""
        return LearningStatistics(len(self.addresses), 8192, 3, 4, 5, 6)


class ForwardingCommandsTests(SwitchTestCase, CommandCase):
    """``fdb/...``, where one bridge learns addresses and another does not."""

    def setUp(self) -> None:
        """Make an agent of two switches."""
        super().setUp()
        self.learning = LearningDriver(
            LearnedAddress(3, 0, 0x50540000000A, 105.9), LearnedAddress(Port.LOCAL, 4095, 1, 0.2)
        )
        self.registry = CommandRegistry()
        other = OFProto("br1", 2, self.learning, self.clock)
        agent = FakeAgent({"br0": FakeBridge(self.switch), "br1": FakeBridge(other)})
        ForwardingCommands(agent, self.clock).register(self.registry)

    def test_show(self) -> None:
        """The addresses are shown in a table as Open vSwitch prints it."""
        result = self.registry.execute("fdb/show", ["br1"])
        self.turn()
        self.assertEqual(
            self.successResultOf(result),
            " port  VLAN  MAC                Age\n"
            "    3     0  50:54:00:00:00:0a  105\n"
            "LOCAL  4095  00:00:00:00:00:01    0",
        )

    def test_statistics(self) -> None:
        """The counters are shown as Open vSwitch shows them."""
        self.assertEqual(
            self.run_command("fdb/stats-show", "br1"),
            'Statistics for bridge "br1":\n'
            "  Current/maximum MAC entries in the table: 2/8192\n"
            "  Total number of learned MAC entries     : 3\n"
            "  Total number of expired MAC entries     : 4\n"
            "  Total number of evicted MAC entries     : 5\n"
            "  Total number of port moved MAC entries  : 6",
        )

    def test_flush(self) -> None:
        """One bridge is made to forget, or all that know anything."""
        for arguments in (["br1"], []):
            self.learning.addresses.append(LearnedAddress(1, 1, 1, 1))
            self.assertEqual(
                self.run_command("fdb/flush", *arguments), "table successfully flushed"
            )
            self.assertEqual(self.learning.addresses, [])

    def test_not_able(self) -> None:
        """The error for a driver that learns nothing says which it is."""
        for command in ("fdb/show", "fdb/flush", "fdb/stats-show"):
            self.assertEqual(
                self.command_refused(command, "br0"),
                "BRIDGE: no driver that learns addresses: br0 (scriptable)",
            )

    def test_unknown_bridge(self) -> None:
        """An unknown bridge is named in the error."""
        for command in ("fdb/show", "fdb/flush", "fdb/stats-show"):
            self.assertEqual(
                self.command_refused(command, "br9"),
                'BRIDGE: there is no bridge "br9" (there are: br0, br1)',
            )
