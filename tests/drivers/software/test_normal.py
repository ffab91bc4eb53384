"""Tests of :mod:`drivers.software.normal`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.openflow.actions import Action, ApplyActions, Output, SetVlanVid
from agent.openflow.match import Match
from agent.openflow.messages import ANY, PortReason
from agent.openflow.messages import Port as Reserved
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from agent.packet.mac_learning import AGEING, MULTICAST, SIZE, MacTable
from drivers.abilities import IForwardingDatabase, LearnedAddress, LearningStatistics
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.software.normal import (
    BACK,
    FLOOD,
    KNOWN,
    RESERVED_ADDRESS,
    UNKNOWN_PORT,
    Decision,
    Normal,
)
from drivers.software.port import NO_FLOOD, PORT_DOWN
from drivers.software.ports import Ports
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule

A, B, C = 0x0200_0000_000A, 0x0200_0000_000B, 0x0200_0000_000C
BROADCAST = 0xFFFF_FFFF_FFFF


def frame(source: int, destination: int, vlan: int | None = None) -> bytes:
    """A frame between two stations."""
    fields = {} if vlan is None else {"vlan_vid": 0x1000 | vlan}
    return compose(Match.of(eth_src=source, eth_dst=destination, eth_type=0x9999, **fields))


class DecisionTests(SynchronousTestCase):
    """Where packets go, on a switch of three ports and one of its own."""

    def setUp(self) -> None:
        """Nothing is learned yet."""
        self.ports = Ports(
            [MemoryPort(n, f"p{n}") for n in (1, 2, 3)] + [MemoryPort(Reserved.LOCAL, "br0")]
        )
        self.normal = Normal(self.ports, MacTable())

    def decide(
        self,
        source: int,
        destination: int,
        in_port: int,
        vlan: int | None = None,
        now: float = 0.0,
    ) -> Decision:
        """What becomes of a frame."""
        key = flow_key(frame(source, destination, vlan), in_port)
        return self.normal.decide(key, in_port, now)

    def goes(
        self,
        source: int,
        destination: int,
        in_port: int,
        vlan: int | None = None,
        now: float = 0.0,
    ) -> list[int]:
        """The ports that a frame goes out of."""
        return [port.number for port in self.decide(source, destination, in_port, vlan, now).ports]

    def test_unknown_flooded(self) -> None:
        """A frame to an address that nobody knows goes everywhere but back, to the switch's own
        port too."""
        self.assertEqual(self.goes(A, B, 1), [2, 3, Reserved.LOCAL])
        self.assertEqual(self.goes(A, B, Reserved.LOCAL), [1, 2, 3])
        self.assertEqual(self.decide(A, B, 1).why, FLOOD)

    def test_known(self) -> None:
        """A frame to an address that was seen goes there alone."""
        self.goes(A, B, 1)
        self.assertEqual(self.goes(B, A, 2), [1])
        self.assertEqual(self.decide(B, A, 2).why, KNOWN)
        self.goes(C, B, Reserved.LOCAL)
        self.assertEqual(self.goes(A, C, 1), [Reserved.LOCAL])

    def test_moved(self) -> None:
        """Of an address that was seen in two places, the last counts."""
        self.goes(A, B, 1)
        self.goes(A, B, 3)
        self.assertEqual(self.goes(B, A, 2), [3])

    def test_back(self) -> None:
        """A frame to an address that is where it comes from goes nowhere."""
        self.goes(A, B, 1)
        decision = self.decide(B, A, 1)
        self.assertEqual((decision.ports, decision.why), ((), BACK))

    def test_broadcast(self) -> None:
        """Group addresses are flooded, and nobody can have one."""
        self.goes(A | MULTICAST, B, 1)
        self.assertEqual(self.goes(B, A | MULTICAST, 2), [1, 3, Reserved.LOCAL])
        self.assertEqual(self.goes(B, BROADCAST, 2), [1, 3, Reserved.LOCAL])

    def test_vlans(self) -> None:
        """What was learned in one VLAN says nothing of another; a tag of VLAN 0 is none."""
        self.goes(A, B, 1, vlan=10)
        self.assertEqual(self.goes(B, A, 2, vlan=10), [1])
        self.assertEqual(self.goes(B, A, 2, vlan=20), [1, 3, Reserved.LOCAL])
        self.assertEqual(self.goes(B, A, 2), [1, 3, Reserved.LOCAL])
        self.assertEqual(self.goes(A, B, 3, vlan=0), [2])

    def test_no_flood(self) -> None:
        """A port can be exempt from flooding; what is known to be there goes there."""
        self.ports.modify(3, NO_FLOOD, NO_FLOOD)
        self.assertEqual(self.goes(A, B, 1), [2, Reserved.LOCAL])
        self.goes(B, A, 3)
        self.assertEqual(self.goes(A, B, 1), [3])

    def test_reserved(self) -> None:
        """What bridges do not forward ends here, and teaches nothing."""
        for last in range(16):
            decision = self.decide(A, 0x0180_C200_0000 | last, 1)
            self.assertEqual((decision.ports, decision.why), ((), RESERVED_ADDRESS))
        self.assertEqual(len(self.normal.addresses), 0)
        self.assertEqual(self.goes(A, 0x0180_C200_0010, 1), [2, 3, Reserved.LOCAL])

    def test_from_no_port(self) -> None:
        """What a controller sends from no port goes as any other, and teaches nothing."""
        self.goes(B, C, 2)
        for number in (Reserved.CONTROLLER, ANY):
            self.assertEqual(self.goes(A, C, number), [1, 2, 3, Reserved.LOCAL])
            self.assertEqual(self.goes(A, B, number), [2])
        self.assertEqual(len(self.normal.addresses), 1)

    def test_from_unknown_port(self) -> None:
        """What claims to come from a port that is not there is dropped."""
        decision = self.decide(A, B, 77)
        self.assertEqual((decision.ports, decision.why, decision.news), ((), UNKNOWN_PORT, False))
        self.assertEqual(len(self.normal.addresses), 0)

    def test_ageing(self) -> None:
        """What was not seen for long is not known."""
        self.goes(A, B, 1)
        self.assertEqual(self.goes(B, A, 2, now=AGEING), [1])
        self.assertEqual(self.goes(B, A, 2, now=AGEING + 1), [1, 3, Reserved.LOCAL])

    def test_port_gone(self) -> None:
        """What was learned behind a port that is gone is flooded, told of it or not."""
        self.goes(A, B, 1)
        del self.ports.by_number[1]
        self.assertEqual(self.goes(B, A, 2), [3, Reserved.LOCAL])

    def test_port_changed(self) -> None:
        """A port that is gone or dead is forgotten, another change of one is nothing."""
        port = self.ports[1]
        for reason, config, kept in (
            (PortReason.ADD, 0, True),
            (PortReason.MODIFY, NO_FLOOD, True),
            (PortReason.MODIFY, PORT_DOWN, False),
            (PortReason.DELETE, 0, False),
        ):
            self.goes(A, B, 1)
            port.config = config
            self.normal.port_changed(reason, port.describe())
            self.assertEqual(len(self.normal.addresses), int(kept), (reason, config))

    def test_news(self) -> None:
        """It says when it has learned something new."""
        self.assertTrue(self.decide(A, B, 1).news)
        self.assertFalse(self.decide(A, B, 1).news)
        self.assertTrue(self.decide(A, B, 2).news)
        self.assertFalse(self.decide(A | MULTICAST, B, 2).news)


class DatapathTests(SynchronousTestCase):
    """NORMAL as an action, and what the operator sees of it."""

    def setUp(self) -> None:
        """A switch that does nothing else."""
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2, 3)]
        self.driver: SoftwareDriver = create({"tables": 2}, entries, [])
        self.host = FakeHost(reactor=Clock())
        self.driver.start(self.host)
        self.install(Output(Reserved.NORMAL))

    def install(self, *actions: Action) -> None:
        """Install a rule for all packets."""
        rule = FakeRule(instructions=(ApplyActions(actions),))
        self.driver.submit([FakeOperation.add(rule)])

    def port(self, number: int) -> MemoryPort:
        """A port."""
        port = self.driver.port(number)
        assert isinstance(port, MemoryPort)
        return port

    def send(self, data: bytes, in_port: int) -> dict[int, list[bytes]]:
        """Let a frame come in; returns what goes out where."""
        self.port(in_port).inject(data)
        return self.sent()

    def sent(self) -> dict[int, list[bytes]]:
        """What went out where since the last time."""
        found = {n: list(self.port(n).sent) for n in (1, 2, 3) if self.port(n).sent}
        for number in found:
            self.port(number).sent.clear()
        return found

    def test_forwards(self) -> None:
        """Frames are flooded, and forwarded when their destination was seen."""
        there, back = frame(A, B), frame(B, A)
        self.assertEqual(self.send(there, 1), {2: [there], 3: [there]})
        self.assertEqual(self.send(back, 2), {1: [back]})
        self.assertEqual(self.send(there, 1), {2: [there]})

    def test_after_a_change(self) -> None:
        """It forwards, and learns from, the packet as the actions before it left it."""
        self.install(SetVlanVid(7), Output(Reserved.NORMAL), SetVlanVid(8), Output(3))
        sent = self.send(frame(A, B), 1)
        self.assertEqual(sent, {2: [frame(A, B, 7)], 3: [frame(A, B, 7), frame(A, B, 8)]})
        self.assertEqual([one.vlan for one in self.driver.learned_addresses()], [7])

    def test_packet_out(self) -> None:
        """A controller can have a packet forwarded so."""
        self.send(frame(A, B), 1)
        self.driver.packet_out(frame(B, A), 2, (Output(Reserved.NORMAL),))
        self.assertEqual(self.sent(), {1: [frame(B, A)]})
        self.assertEqual(len(self.driver.learned_addresses()), 2)

    def test_link_lost(self) -> None:
        """What was behind a port without a link is sought everywhere; the agent hears of it too."""
        self.send(frame(A, B), 1)
        self.port(1).set_link(False)
        self.assertEqual(self.driver.learned_addresses(), [])
        ((reason, desc),) = self.host.port_statuses
        self.assertEqual((reason, desc.port_no), (PortReason.MODIFY, 1))

    def test_taken_down(self) -> None:
        """And so it is behind a port that a controller took down."""
        self.send(frame(A, B), 1)
        self.driver.port_mod(1, NO_FLOOD, NO_FLOOD)
        self.assertEqual(len(self.driver.learned_addresses()), 1)
        self.driver.port_mod(1, PORT_DOWN, PORT_DOWN)
        self.assertEqual(self.driver.learned_addresses(), [])

    def test_database(self) -> None:
        """What is known is shown with its age, the longest unseen first, and can be forgotten."""
        verifyObject(IForwardingDatabase, self.driver)
        self.send(frame(A, B), 1)
        self.host.reactor.advance(4)
        self.send(frame(B, A, 9), 2)
        self.host.reactor.advance(1)
        self.assertEqual(
            self.driver.learned_addresses(),
            [LearnedAddress(1, 0, A, 5.0), LearnedAddress(2, 9, B, 1.0)],
        )
        self.driver.forget_addresses()
        self.assertEqual(self.driver.learned_addresses(), [])

    def test_statistics(self) -> None:
        """It counts what it learned and forgot."""
        self.send(frame(A, B), 1)
        self.send(frame(A, B), 2)
        self.assertEqual(self.driver.learning_statistics(), LearningStatistics(1, SIZE, 1, 0, 0, 1))
        self.host.reactor.advance(AGEING + 1)
        self.assertEqual(self.driver.learning_statistics(), LearningStatistics(0, SIZE, 1, 1, 0, 1))

    def test_offered(self) -> None:
        """The driver says that it can be asked for it."""
        self.assertIn(Reserved.NORMAL, self.driver.capabilities.reserved_ports)
