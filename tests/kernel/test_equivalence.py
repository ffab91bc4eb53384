"""That the kernel does with frames what the software datapath does, with rules at random.

It is the test of the model in :mod:`tests.drivers.tcflower.model`, too: what that says is handed to
the software is left out here.
"""

from __future__ import annotations

import time

import attrs
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import Output, actions_of
from agent.openflow.messages import Port
from drivers.software.port import NO_FLOOD
from drivers.testing import FakeOperation
from tests.drivers.tcflower.test_equivalence import LENGTH, Kernel, Software
from tests.drivers.tcflower.worlds import World, worlds
from tests.kernel.test_driver import KernelHarness


class KernelEquivalenceTests(KernelHarness, SynchronousTestCase):
    """Frames over veth pairs."""

    def setUp(self) -> None:
        """Start a driver; nothing floods to port 3."""
        super().setUp()
        self.driver, self.host = self.started()
        self.driver.port_mod(3, NO_FLOOD, NO_FLOOD)
        self.settle(self.host, lambda: False)

    def out(self, in_port: int, frame: bytes) -> list[tuple[int, bytes]]:
        """What comes out where when a frame comes in."""
        for peer in self.peers.values():
            peer.received()
        self.peers[in_port].send(frame)
        time.sleep(0.02)
        return sorted(
            (number, data.ljust(LENGTH, b"\0"))
            for number, peer in self.peers.items()
            for data in peer.received()
        )

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
