"""kill -9 of an agent with a thousand rules in the kernel, and what the next one makes of them.

The process, the controller's connections and the filters are real; what is counted and compared is
what ``tc`` says.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any, Final

from agent.ctl.client import Client as Control
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, GotoTable, Output, SetNwTtl
from agent.openflow.codec import encode
from agent.openflow.match import Match
from agent.packet.compose import compose
from bench import load
from tests.kernel import need_flower
from tests.kernel.test_driver import Peer, make_pairs
from tests.system.agent import AgentCase

COUNT: Final = 1000
SAME, CHANGED = range(700), range(700, 900)
"""The rules that are asked for again; those that shall do something else then.  The rest is not."""
NEW = range(COUNT, COUNT + 100)
PATIENCE: Final = 25
"""Seconds after which what is not asked for again goes; the machine may be emulated."""
EQUAL: Final = "the hardware has what the flow tables have"
CONFIG: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
protocols = ["OpenFlow13"]
listen = [{{ target = "ptcp:{port}:127.0.0.1", inactivity_probe = 0 }}, "punix:br0.mgmt"]
[bridge.driver]
name = "tcflower"
mode = "skip_hw"
adopt_seconds = {patience}
"""
PORT: Final = """
[[bridge.port]]
number = {number}
name = "tc{number}"
type = "netdev"
"""

Handle = tuple[int, int, int]


def others() -> list[of.FlowMod]:
    """Rules with several filters, with tails and in other tables: four filters of their own."""
    to_other = (ApplyActions((SetNwTtl(9), Output(1))),)
    return [
        of.FlowMod(of.FlowModCommand.ADD, match, priority, instructions=does, table_id=table)
        for match, priority, table, does in (
            (Match.of(vlan_vid=(0x1000, 0x1000), in_port=2), 9, 0, (GotoTable(4),)),
            (Match.of(eth_type=0x86DD), 8, 0, (ApplyActions((Output(1), Output(2))),)),
            (Match.of(eth_type=0x800), 7, 4, to_other),
        )
    ]


class KilledTests(AgentCase):
    """See the module."""

    patience = 60.0

    def setUp(self) -> None:
        """Start an agent."""
        need_flower()
        super().setUp()
        make_pairs()
        self.peers = [Peer(f"peer{number}") for number in (1, 2, 3)]
        for peer in self.peers:
            self.addCleanup(peer.close)
        ports = (PORT.format(number=number) for number in (1, 2, 3))
        self.text = CONFIG.format(port=self.port, patience=PATIENCE) + "".join(ports)
        self.process = self.start(text=self.text)
        self.client = self.connected()
        self.control = Control(str(self.directory / "run" / "ofagent.ctl"))
        self.addCleanup(self.control.close)
        self.block = int(self.shown("block"))

    def connected(self) -> load.Client:
        """A controller, as soon as the agent listens."""
        found: list[load.Client] = []

        def attempt() -> bool:
            try:
                found.append(load.Client(("127.0.0.1", self.port), of.OFP13))
            except ConnectionRefusedError:
                self.assertIsNone(self.process.poll(), self.log.read_text())
                # The machine has one CPU, which the agent needs.
                time.sleep(0.5)
            return bool(found)

        self.wait(attempt, "a connection")
        self.addCleanup(found[0].close)
        return found[0]

    def killed(self, meanwhile: Any = lambda: None) -> None:
        """Kill the agent, and start another."""
        self.process.kill()
        self.process.wait()
        self.client.close()
        self.control.close()
        meanwhile()
        self.process = self.launch(self.directory, self.text)
        self.client = self.connected()

    def shown(self, name: str) -> str:
        """What ``driver/show`` says."""
        lines = self.control.ask("driver/show", "br0").splitlines()
        (value,) = [line.split(": ")[1] for line in lines if line.startswith(f"  {name}: ")]
        return value

    def ask(self, *messages: of.Message) -> None:
        """Ask for what is no stream."""
        self.client.queue(b"".join(encode(of.OFP13, message) for message in messages))

    def stream(self, numbers: range) -> None:
        """Ask for rules of the shape that figures come from."""
        buffer, size = load.stream(of.OFP13, of.FlowModCommand.ADD, len(numbers), numbers[0])
        self.client.push(buffer, size)

    def changed(self) -> None:
        """Ask for those that do something else."""
        self.ask(*(load.rule(number, port=3) for number in CHANGED))

    def filters(self) -> dict[Handle, Any]:
        """The filters of rules as ``tc`` shows them: what each matches, its first action and how
        many packets that has counted."""
        shown = subprocess.run(
            ("tc", "-j", "-s", "filter", "show", "block", str(self.block)),
            check=True,
            capture_output=True,
        )
        found = {}
        for one in json.loads(shown.stdout):
            options = one.get("options", {})
            action = options.get("actions", [{}])[0]
            cookie = action.get("cookie", "")
            # That it is ours, of this block, and some rule's.
            if cookie.startswith(f"{b'ofag'.hex()}{self.block:08x}") and int(cookie[-12:], 16):
                place = one.get("chain", 0), one["pref"], options["handle"]
                # Which EtherTypes tags have is only in the cookie.
                what = options.get("indev"), options.get("keys"), cookie[16:20]
                keys = json.dumps(what, sort_keys=True)
                does = action.get("to_dev", action["kind"])
                found[place] = keys, does, action["stats"]["packets"]
        return found

    def send(self, numbers: range) -> None:
        """A packet comes for each of these rules."""
        for number in numbers:
            self.peers[0].send(compose(load.rule(number).match, b""))

    def received(self, port: int) -> int:
        """How many packets have come out."""
        time.sleep(0.3)
        return len(self.peers[port - 1].received())

    def right(self, rules: int, filters: int) -> dict[Handle, Any]:
        """See that in the end there is what there should be, and no more.

        :param filters: of rules, none of which does the same to the same packets.
        :returns: these.
        """
        self.client.barrier()
        self.assertEqual(self.client.errors, 0)
        self.wait(lambda: self.shown("left filters") == "0", "the end of what was left")
        self.assertEqual(self.control.ask("driver/check", "br0").strip(), EQUAL)
        self.assertEqual(self.client.dump()[0], rules)
        self.assertEqual(int(self.shown("rules")), rules)
        there = self.filters()
        self.assertEqual(len(there), filters)
        self.assertEqual(len({(place[:2], one[0]) for place, one in there.items()}), filters)
        return there

    def test_killed(self) -> None:
        """The rules that are asked for again keep their filters and what these have counted, those
        that do something else their handles, others go; and all the while packets are forwarded.
        So it is when the agent was killed while a controller filled its tables."""
        self.stream(range(COUNT))
        self.ask(*others())
        own = len(self.right(COUNT + 3, COUNT + 4)) - COUNT
        self.send(range(650, 750))
        self.assertEqual(self.received(2), 100)
        before = self.filters()
        self.assertEqual(sum(packets for _, _, packets in before.values()), 100)

        self.killed(lambda: self.send(range(740, 760)))
        self.assertEqual(self.received(2), 20)
        self.assertEqual(self.filters().keys(), before.keys())
        self.stream(SAME)
        self.changed()
        self.stream(NEW)
        self.ask(*others())
        self.send(range(690, 700))
        after = self.right(COUNT + 3, COUNT + own)
        self.assertEqual(self.received(2), 10)
        kept = [place for place in after if place in before]
        self.assertEqual(len(kept), len(SAME) + len(CHANGED) + own)
        same = [place for place in kept if after[place][:2] == before[place][:2]]
        self.assertEqual(len(same), len(SAME) + own)
        self.assertEqual(sum(after[place][2] for place in same), 50 + 10)
        others_now = [after[place] for place in kept if place not in same]
        self.assertEqual([(does, packets) for _, does, packets in others_now], [("tc3", 0)] * 200)
        self.send(CHANGED)
        self.assertEqual((self.received(2), self.received(3)), (0, len(CHANGED)))

        begun = range(2 * COUNT, 2 * COUNT + COUNT // 2)
        buffer, _ = load.stream(of.OFP13, of.FlowModCommand.ADD, len(begun), begun[0])
        self.client.queue(buffer)
        load.run([self.client], lambda: not self.client.sending)
        self.wait(lambda: int(self.shown("rules")) > COUNT + COUNT // 10, "a part of it")
        self.killed()
        there = self.filters()
        self.assertGreater(len(there), COUNT + COUNT // 10)
        self.assertLess(len(there), COUNT + own + len(begun))
        self.stream(SAME)
        self.changed()
        self.stream(NEW)
        self.ask(*others())
        self.stream(begun)
        after = self.right(COUNT + len(begun) + 3, COUNT + len(begun) + own)
        self.assertEqual(
            {place: after[place][:2] for place in there},
            {place: one[:2] for place, one in there.items()},
        )
