"""Tests of :mod:`drivers.asic.pipeline`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import Actions, ApplyActions, DecNwTtl, Output, SetField
from agent.openflow.fields import ETH_DST, ETH_SRC
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import PacketInReason, Port
from agent.openflow.nx_actions import Resubmit
from drivers.asic.driver import AsicDriver, create
from drivers.software.memory import MemoryPort
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.frames import FRAME

PROFILE = """
name = "slow path"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 2, announced = 10 }]
when_full = "spill"
packet_in_ms = 125
packet_in_queue = 2
[add]
base_ms = 0
[modify]
base_ms = 0
[delete]
base_ms = 0
[software]
base_ms = 0
"""
TO_CONTROLLER = Output(Port.CONTROLLER, 0xFFFF)


class SlowPathTests(SynchronousTestCase):
    """What leaves the chip, an eighth of a second away from the CPU."""

    def setUp(self) -> None:
        """Three ports, no rules."""
        path = self.mktemp() + ".toml"
        with open(path, "w") as file:
            file.write(PROFILE)
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2, 3)]
        self.driver: AsicDriver = create({"profile": path}, entries, [])
        self.host = FakeHost(miss_to_controller=True)
        self.clock = self.host.reactor
        self.driver.start(self.host)

    def add(self, *actions: object, match: Match = MATCH_ALL, priority: int = 1) -> FakeRule:
        """Add a rule, and let the hardware write it."""
        listed: Actions = actions  # type: ignore[assignment]
        rule = FakeRule(match, priority, instructions=(ApplyActions(listed),))
        self.driver.submit([FakeOperation.add(rule)])
        self.clock.advance(0)
        return rule

    def port(self, number: int) -> MemoryPort:
        """A port."""
        port = self.driver.port(number)
        assert isinstance(port, MemoryPort)
        return port

    def sent(self) -> list[int]:
        """How many frames have gone out of which port."""
        return [self.port(number).tx_packets for number in (1, 2, 3)]

    def test_miss(self) -> None:
        """A packet that hits nothing is with the controllers when it has got to the CPU."""
        self.port(1).inject(FRAME)
        self.clock.advance(0.12)
        self.assertEqual(self.host.packet_ins, [])
        self.clock.advance(0.005)
        (event,) = self.host.packet_ins
        self.assertEqual((event.data, event.reason), (FRAME, PacketInReason.NO_MATCH))

    def test_controller(self) -> None:
        """One that a rule sends there is as it was then; what the rule does besides is not slow."""
        self.add(TO_CONTROLLER, SetField(ETH_DST, 7), Output(2))
        self.port(1).inject(FRAME)
        self.assertEqual((self.sent(), self.host.packet_ins), ([0, 1, 0], []))
        self.clock.advance(0.125)
        (event,) = self.host.packet_ins
        self.assertEqual(event.data, FRAME)
        self.assertNotEqual(ETH_DST.get(event.key), 7)

    def test_ttl(self) -> None:
        """So is one whose TTL has expired."""
        self.add(DecNwTtl(), Output(2))
        self.port(1).inject(FRAME[:22] + b"\1" + FRAME[23:])
        self.assertEqual(self.host.packet_ins, [])
        self.clock.advance(0.125)
        self.assertEqual(
            [event.reason for event in self.host.packet_ins], [PacketInReason.INVALID_TTL]
        )

    def test_narrow(self) -> None:
        """More than the way to the CPU holds is dropped, and the operator sees how many."""
        for _ in range(5):
            self.port(1).inject(FRAME)
        shown = "slow path"
        self.assertEqual(self.driver.show()[shown], "0 handled, 2 on their way, 3 dropped")
        self.clock.advance(0.125)
        self.assertEqual(len(self.host.packet_ins), 2)
        self.assertEqual(self.driver.show()[shown], "2 handled, 0 on their way, 3 dropped")

    def test_normal(self) -> None:
        """NORMAL is the CPU's: it learns and forwards later, by what it knows then, and the packet
        as it was."""
        self.add(Output(Port.NORMAL), SetField(ETH_SRC, 7), Output(3), match=Match.of(in_port=1))
        self.port(1).inject(FRAME)
        self.assertEqual((self.sent(), self.driver.learned_addresses()), ([0, 0, 1], []))
        self.clock.advance(0.125)
        self.assertEqual(self.sent(), [0, 1, 2])
        self.assertEqual(list(self.port(2).sent), [FRAME])
        (learned,) = self.driver.learned_addresses()
        self.assertEqual(learned.port, 1)

    def test_packet_out(self) -> None:
        """A packet-out comes from the CPU, and goes there by way of the tables only."""
        self.driver.packet_out(FRAME, Port.CONTROLLER, (Output(Port.NORMAL), TO_CONTROLLER))
        self.assertEqual((self.sent(), len(self.host.packet_ins)), ([1, 1, 1], 1))
        self.driver.packet_out(FRAME, Port.CONTROLLER, (Output(Port.TABLE),))
        self.assertEqual(len(self.host.packet_ins), 1)
        self.clock.advance(0.125)
        self.assertEqual(len(self.host.packet_ins), 2)

    def test_spilled(self) -> None:
        """A packet that hits an entry in software is the CPU's from there on, which has no way to
        go for anything."""
        self.add(Output(2), match=Match.of(in_port=1))
        self.add(Output(2), match=Match.of(in_port=9))
        rule = self.add(Output(3), TO_CONTROLLER, match=Match.of(in_port=2))
        self.port(1).inject(FRAME)
        self.port(2).inject(FRAME)
        self.assertEqual((self.sent(), rule.counters.packets), ([0, 1, 0], 0))
        self.clock.advance(0.125)
        self.assertEqual((self.sent(), rule.counters.packets), ([0, 1, 1], 1))
        self.assertEqual(len(self.host.packet_ins), 1)
        lookups = self.successResultOf(self.driver.table_stats())[0]
        self.assertEqual((lookups.lookups, lookups.matches), (2, 2))

    def test_spilled_and_gone(self) -> None:
        """The CPU goes by the entries that are there when the packet is."""
        for number in (8, 9):
            self.add(match=Match.of(in_port=number))
        rule = self.add(Output(3), match=Match.of(in_port=2))
        self.port(2).inject(FRAME)
        self.driver.submit([FakeOperation.delete(rule)])
        self.clock.advance(0.125)
        self.assertEqual((self.sent(), len(self.host.packet_ins)), ([0, 0, 0], 1))

    def test_resubmitted(self) -> None:
        """A rule that resubmits a packet to an entry in software goes on when that is done."""
        self.add(Resubmit(2), Output(2), match=Match.of(in_port=1))
        self.add(match=Match.of(in_port=9))
        self.add(Output(3), match=Match.of(in_port=2))
        self.port(1).inject(FRAME)
        self.assertEqual(self.sent(), [0, 1, 1])

    def test_stop(self) -> None:
        """What is on its way when the driver stops is lost."""
        self.port(1).inject(FRAME)
        self.successResultOf(self.driver.stop())
        self.clock.advance(1)
        self.assertEqual((self.host.packet_ins, self.clock.getDelayedCalls()), ([], []))
