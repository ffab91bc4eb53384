"""Tests of :mod:`agent.admin.commands_flows`."""

from __future__ import annotations

from agent.admin.commands_flows import FlowCommands, describe
from agent.admin.unixctl import CommandRegistry
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from drivers.abilities import SoftwareReason
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge, HalfSoftwareDriver
from tests.ofproto.stage import SwitchTestCase

ADD = FlowModCommand.ADD
DELETE = FlowModCommand.DELETE


class DumpFlowsTests(SwitchTestCase, CommandCase):
    """``bridge/dump-flows``."""

    def setUp(self) -> None:
        """Make an agent of the switch."""
        super().setUp()
        self.registry = CommandRegistry()
        agent = FakeAgent({"br0": FakeBridge(self.switch)})
        FlowCommands(agent, self.clock).register(self.registry)

    def dump(self) -> list[str]:
        """The lines of the answer, in alphabetical order."""
        result = self.registry.execute("bridge/dump-flows", ["br0"])
        self.turn()
        return sorted(self.successResultOf(result).splitlines())

    def test_flows(self) -> None:
        """A rule that is in the hardware is shown as Open vSwitch shows it."""
        rule = self.add(Match.of(in_port=1))
        rule.counters.packets, rule.counters.bytes = 3, 180
        self.add(Match.of(in_port=2), table_id=1, priority=0x8000)
        self.add(table_id=1, priority=0x8000, instructions=())
        self.clock.advance(5.7)
        self.assertEqual(
            self.dump(),
            [
                "duration=5s, n_packets=3, n_bytes=180, priority=100,in_port=1,actions=output:2",
                "table_id=1, duration=5s, n_packets=0, n_bytes=0, actions=drop",
                "table_id=1, duration=5s, n_packets=0, n_bytes=0, in_port=2,actions=output:2",
            ],
        )

    def test_counters_of_the_hardware(self) -> None:
        """The answer waits until the driver has brought the counters up to date."""
        rule = self.add()
        self.driver.hold_reads = True
        result = self.registry.execute("bridge/dump-flows", ["br0"])
        self.turn()
        self.assertNoResult(result)
        rule.counters.packets = 9
        self.driver.finish_reads()
        self.turn()
        self.assertIn("n_packets=9", self.successResultOf(result))

    def test_software(self) -> None:
        """A rule that is executed in software is shown with the reason."""
        rule = self.add(Match.of(in_port=1))
        self.assertNotIn("software", self.dump()[0])
        reason = SoftwareReason("X", 'no "X"')
        self.switch.driver = HalfSoftwareDriver({rule.handle: reason})
        self.assertIn(', software="no \\"X\\"", priority=100,', self.dump()[0])

    def test_hidden(self) -> None:
        """Hidden rules are shown too."""
        self.add(requester=self.internal, priority=0x10001)
        self.assertEqual(
            self.dump(),
            ["duration=0s, n_packets=0, n_bytes=0, priority=65537,actions=output:2"],
        )

    def test_pending(self) -> None:
        """A rule with an operation in flight says which."""
        self.start(ADD)
        self.assertEqual(
            self.dump(),
            ["duration=0s, n_packets=0, n_bytes=0, pending=add, priority=100,actions=output:2"],
        )
        self.run_to_end()

    def test_degraded(self) -> None:
        """A rule that the hardware does not have as it should says why."""
        self.add()
        rule = self.rule()
        assert rule is not None
        self.switch.degraded(rule.handle, 'lost "it"')
        self.assertEqual(
            self.dump(),
            [
                'duration=0s, n_packets=0, n_bytes=0, degraded="lost \\"it\\"", '
                "priority=100,actions=output:2"
            ],
        )

    def test_ghost(self) -> None:
        """A rule that is in no table, and of which the hardware may have something, is shown as
        such."""
        self.start(ADD, Match.of(in_port=1))
        self.driver.lose()
        self.clock.pump([1] * 130)
        self.assertEqual(self.rules(), [])
        (line,) = self.dump()
        self.assertRegex(line, r'^ghost="[^"]+", duration=1\d\ds, n_packets=0, n_bytes=0, priority')
        self.assertNotIn("degraded", line)

    def test_unknown_bridge(self) -> None:
        """An unknown bridge is named in the error."""
        self.assertEqual(
            self.command_refused("bridge/dump-flows", "br9"),
            'BRIDGE: there is no bridge "br9" (there are: br0)',
        )

    def test_describe_anything(self) -> None:
        """An entry that is not of a flow table describes itself."""
        self.assertEqual(describe("group 1"), "group 1")
