"""That the kernel does with frames what the software datapath does, with rules at random.

The kernel alone is a test of the model in :mod:`tests.drivers.tcflower.model`, too: what that says
is handed to the software is left out.  With the software behind it nothing is.
"""

from __future__ import annotations

import time
from collections import Counter

import attrs
from hypothesis import Phase, given, settings
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import Output, actions_of
from agent.openflow.messages import Port
from drivers.software.port import NO_FLOOD
from drivers.testing import FakeGroup, FakeOperation, FakeRule
from tests.drivers.tcflower.test_equivalence import LENGTH, Kernel, Software, said
from tests.drivers.tcflower.worlds import World, worlds
from tests.kernel.reactors import result, turn
from tests.kernel.test_driver import SETTLE, KernelHarness


class EquivalenceHarness(KernelHarness):
    """Frames over veth pairs."""

    def start(self, unsupported: str) -> None:
        """Start a driver; nothing floods to port 3."""
        self.driver, self.host = self.started(unsupported=unsupported)
        self.driver.port_mod(3, NO_FLOOD, NO_FLOOD)
        self.settle(self.host, lambda: False)

    def send(self, in_port: int, frame: bytes) -> None:
        """Have a frame come in, and forget what came out before."""
        for peer in self.peers.values():
            peer.received()
        self.peers[in_port].send(frame)

    def received(self) -> list[tuple[int, bytes]]:
        """What has come out where."""
        return sorted(
            (number, data.ljust(LENGTH, b"\0"))
            for number, peer in self.peers.items()
            for data in peer.received()
        )


class KernelEquivalenceTests(EquivalenceHarness, SynchronousTestCase):
    """The kernel alone."""

    def out(self, in_port: int, frame: bytes) -> list[tuple[int, bytes]]:
        """What comes out where when a frame comes in."""
        self.send(in_port, frame)
        time.sleep(0.02)
        return self.received()

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.start("reject")

    @settings(max_examples=25)
    @given(worlds())
    def test_rules(self, world: World) -> None:
        """With what rules of a world the driver takes, that are not for the controllers."""
        to_controller = Output(Port.CONTROLLER, 0xFFFF)
        rules = [rule for rule in world.rules if to_controller not in actions_of(rule.instructions)]
        operations = [FakeOperation.add(rule) for rule in rules]
        self.run_operations(self.driver, self.host, *operations)
        taken = [operation.rule for operation in operations if operation.succeeded]
        world = attrs.evolve(world, rules=taken, down=0)
        try:
            for in_port, frame in world.frames:
                if Kernel(world).tc.run(frame, f"p{in_port}").trapped is None:
                    software = Software(world)
                    software.enter(in_port, frame)
                    found = self.out(in_port, frame)
                    self.assertEqual(found, software.sent(), (in_port, frame.hex(), taken))
        finally:
            gone = [FakeOperation.delete(rule) for rule in taken]
            self.run_operations(self.driver, self.host, *gone)


class FallbackEquivalenceTests(EquivalenceHarness, SynchronousTestCase):
    """The kernel, and the software for what flower cannot express, in one table."""

    def setUp(self) -> None:
        """Start a driver."""
        super().setUp()
        self.start("fallback")

    def check_frame(self, world: World, in_port: int, frame: bytes) -> Counter[int]:
        """What comes out, and what the controllers are told, is what the software says.

        :returns: what each rule has counted there, by its cookie.
        """
        software = Software(world)
        software.host.miss_to_controller = True
        software.enter(in_port, frame)
        wanted = software.sent(), said(software.host)
        self.host.packet_ins.clear()
        self.send(in_port, frame)
        sent: list[tuple[int, bytes]] = []

        def come() -> bool:
            sent.extend(self.received())
            return (sorted(sent), said(self.host)) == wanted

        turn(self.reactor, come, 5 * SETTLE)
        # Whether there is more to come.
        for _ in range(3):
            self.reactor.iterate(0.005)
        come()
        self.assertEqual(
            (sorted(sent), said(self.host)), wanted, (in_port, frame.hex(), world.rules)
        )
        return Counter(software.counted())

    def check_world(self, world: World) -> tuple[int, int]:
        """Check every frame alone, and what rules have counted of all.

        :returns: how many rules the software executes, of how many.
        """
        world = attrs.evolve(world, down=0)
        entries: list[FakeGroup | FakeRule] = [*world.groups, *world.rules]
        added = [FakeOperation.add(entry) for entry in entries]
        self.run_operations(self.driver, self.host, *added)
        try:
            self.assertEqual([op.completions for op in added if not op.succeeded], [], world)
            counts = Counter[int]()
            for in_port, frame in world.frames:
                # What the software gets is as long as Ethernet wants it.
                counts += self.check_frame(world, in_port, frame.ljust(LENGTH, b"\0"))
            result(self.reactor, self.driver.refresh(world.rules))
            found = {rule.cookie: rule.counters.packets for rule in world.rules}
            self.assertEqual(+Counter(found), counts, world)
            return len(self.driver.software_reasons()), len(world.rules)
        finally:
            there = [entry for entry, op in zip(entries, added, strict=True) if op.succeeded]
            gone = [FakeOperation.delete(entry) for entry in reversed(there)]
            self.run_operations(self.driver, self.host, *gone)

    def test_fallback(self) -> None:
        """No packet gets past a rule that is in software to a lower one in the kernel, nor the
        other way round; each is counted by each rule that it hits, once."""
        of_both = [0, 0]

        # What fails is not made smaller: it would take minutes in an emulated machine.
        @settings(max_examples=16, phases=[Phase.generate])
        @given(worlds(groups=True))
        def check(world: World) -> None:
            for n, count in enumerate(self.check_world(world)):
                of_both[n] += count

        check()
        in_software, all_rules = of_both
        self.assertGreater(in_software, all_rules // 10)
        self.assertLess(in_software, all_rules // 2)
        self.assertGreater(self.driver.show()["packets to the software"], 0)
