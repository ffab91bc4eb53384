"""Controllers over hardware like one that was measured: no barrier is ever answered early.

That is not taken from the agent.  The simulated hardware has noted when it was asked for each entry
and when it had written it, somebody who listens has noted when replies were sent, and packets show
what is there right after a reply.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Final

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from tests.system.agent import ROOT, TIMEOUT
from tests.system.network import NetworkCase
from tests.system.test_faucet import AGENT, BARRIER_REPLY, FaucetCase, Snoop

RULES: Final = 60
"""They take the hardware more than half a second."""

SOURCE: Final = 0x020000000000
"""The first of the Ethernet addresses that rules match."""

PORTS: Final = """
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["punix:br0.mgmt"]
max_pending = 1000
[bridge.driver]
name = "asic"
profile = "{profile}"
[[bridge.port]]
number = 1
name = "p1"
type = "netdev"
[[bridge.port]]
number = 2
name = "p2"
type = "netdev"
"""


class FaucetTests(FaucetCase):
    """Faucet, which waits for barriers where it is told of "Generic" hardware."""

    def test_never_early(self) -> None:
        """When a barrier is answered the hardware has ended all that it had been asked for."""
        self.start_asic_bridges("acl", bridge="snoop = true", hardware=("Generic",))
        snoop = Snoop(self.directory / "run" / "br0.snoop")
        self.addCleanup(snoop.close)
        over = threading.Event()
        listener = threading.Thread(target=self.listen, args=(snoop, over))
        listener.start()
        self.addCleanup(listener.join)
        self.addCleanup(over.set)
        faucet = self.start_faucet("acl")
        self.check_pings("acl", faucet)
        time.sleep(0.5)
        over.set()
        listener.join()
        asked = time.time()
        found = json.loads(self.appctl("ofagent/report", "timeline", "br0"))
        self.assertTrue(self.check_barriers(), self.story(faucet))
        sent = [at for (kind, _), at in zip(snoop.seen, snoop.times, strict=True)
                if kind == BARRIER_REPLY]  # fmt: skip
        noted = sorted(asked - one["answered"] for one in found["barriers"])
        self.assertEqual(len(sent), len(noted), self.story(faucet))
        for reply, note in zip(sent, noted, strict=True):
            # The agent has not noted it later than it was sent.
            self.assertGreaterEqual(reply, note - 0.001)

    @staticmethod
    def listen(snoop: Snoop, over: threading.Event) -> None:
        """Take everything, until it is over."""
        while not over.is_set():
            snoop.look()


class PacketTests(NetworkCase):
    """Packets that are sent as soon as a barrier is answered."""

    def missing(self, lies: str = "") -> list[int]:
        """How many of the packets, of as many rules, do not get through: right after the rules were
        added, and right after they were modified."""
        profile = self.directory / "quanta.toml"
        profile.write_text((ROOT / "etc" / "profiles" / "quanta.toml").read_text() + lies)
        hosts = [self.host(port) for port in ("p1", "p2")]
        self.start(text=AGENT + PORTS.format(profile=profile))
        sender, receiver = map(self.wire, hosts)
        controller = self.unix_controller()
        lost = []
        for command, out in (
            (of.FlowModCommand.ADD, 2),
            (of.FlowModCommand.MODIFY_STRICT, 1),
        ):
            controller.send(
                *(
                    of.FlowMod(
                        command,
                        Match.of(eth_src=SOURCE + index),
                        instructions=(ApplyActions((Output(out),)),),
                    )
                    for index in range(RULES)
                ),
                of.BarrierRequest(7),
            )
            self.assertEqual(controller.expect(of.BarrierReply).xid, 7)
            for index in range(RULES):
                sender.send(
                    bytes(6) + (SOURCE + index).to_bytes(6, "big") + b"\x88\xb5" + bytes(46)
                )
            # Modified, they would be sent back where they come from, which a switch does not do.
            wanted = RULES if out == 2 else 0
            lost.append(abs(wanted - self.received(receiver, wanted)))
        return lost

    def received(self, receiver: Any, wanted: int) -> int:
        """How many packets of the test get there."""
        count = 0
        end = time.monotonic() + (TIMEOUT if wanted else 1.0)
        while time.monotonic() < end and (not wanted or count < wanted):
            frame = receiver.receive(0.5)
            if frame is None:
                if wanted:
                    break
            elif b"\x88\xb5" in frame:
                count += 1
        return count

    def test_never_early(self) -> None:
        """All packets meet what was asked for before the barrier."""
        self.assertEqual(self.missing(), [0, 0])

    def test_early(self) -> None:
        """Over the same hardware, if it confirmed what it has not done, they would not."""
        added, modified = self.missing("\n[lies]\nanswer_ms = 1\n")
        self.assertGreater(added, 0)
        self.assertGreater(modified, 0)
