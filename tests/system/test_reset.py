"""A reset of the hardware, seen from outside."""

from __future__ import annotations

import time

from tests.system.agent import AgentCase

RULES = 10
SECONDS = 0.1
"""What one operation takes."""


class ResetTests(AgentCase):
    """An ASIC which takes 100 ms a rule, and forgets them all."""

    def test_reset(self) -> None:
        """After a reset all rules are shown, and that they are not in the hardware; they come back
        in the hardware's time, a new one after them, and a barrier waits for that."""
        self.start_asic(SECONDS * 1e3)
        for index in range(RULES):
            self.ofctl("add-flow", "br0", f"in_port={index + 1},actions=output:2")
        self.controller().barrier()
        started = time.monotonic()
        self.assertIn(f"{RULES} entries", self.appctl("driver/fault", "br0", "reset"))
        dumped = self.appctl("bridge/dump-flows", "br0")
        self.assertEqual(dumped.count("degraded="), RULES, dumped)
        # ovs-ofctl ends when the barrier after its request is answered.
        self.ofctl("add-flow", "br0", "in_port=99,actions=output:2")
        self.assertGreaterEqual(time.monotonic() - started, (RULES + 1) * SECONDS)
        dumped = self.appctl("bridge/dump-flows", "br0")
        self.assertEqual((dumped.count("degraded="), dumped.count("in_port=")), (0, RULES + 1))
        self.assertIn("resets: 1", self.appctl("driver/show", "br0"))
