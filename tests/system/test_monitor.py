"""`ovs-ofctl monitor`: what the switch says by itself, to whom and in which form.

The monitor is a connection to a listener, which is told nothing until it asks; ovs-appctl has it
say more: formats, ids, masks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from agent.openflow import messages as of
from agent.openflow import nx_messages as nxm
from agent.openflow.codec import encode
from tests.system import need
from tests.system.agent import TIMEOUT
from tests.system.peer import PeerCase, plain

FRAME: Final = (
    "0200000000010200000000020800450000280000000040069ccc0a0000010a000002"
    "0050005100000000000000005000000000000000"
)
"""TCP from port 80 to 81."""
RULE: Final = (
    "cookie=9,priority=7,tcp,reg0=0,send_flow_rem,"
    "actions=load:5->NXM_NX_REG0[],set_tunnel:9,controller(id={id})"
)
NXM: Final = ("-O", "OpenFlow10", "-F", "nxm")


class Monitor:
    """A running ``ovs-ofctl monitor``.

    :ivar shown: what it has printed.
    """

    def __init__(self, case: PeerCase, target: str, version: int, *arguments: str) -> None:
        name = f"monitor{len(list(case.directory.glob('monitor*')))}"
        self.version = version
        self._case = case
        self._control = str(case.directory / f"{name}.ctl")
        self._out = case.directory / name
        with self._out.open("w") as out:
            self._process = subprocess.Popen(
                [
                    *("ovs-ofctl", "-O", {1: "OpenFlow10", 4: "OpenFlow13"}[version]),
                    *("monitor", target, *arguments, f"--unixctl={self._control}"),
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OVS_RUNDIR": str(case.directory / "run")},
            )
        case.addCleanup(self._process.wait, TIMEOUT)
        case.addCleanup(self._process.terminate)
        case.wait(lambda: Path(self._control).exists(), "the monitor")
        self.barrier()

    @property
    def shown(self) -> str:
        """What it has printed, without what differs from run to run."""
        return plain(self._out.read_text())

    def _call(self, *arguments: str) -> None:
        self._case.run_command("ovs-appctl", "-t", self._control, *arguments, check=True)

    def send(self, *messages: of.Message) -> None:
        """Have it send messages, and wait for a barrier."""
        for message in messages:
            self._call("ofctl/send", encode(self.version, message).hex())
        self.barrier()

    def barrier(self) -> None:
        """Have it send a barrier, and wait for the reply."""
        self._call("ofctl/barrier")

    def fresh(self) -> list[str]:
        """What it has printed since the last time, after a moment, without barriers."""
        self.barrier()
        printed = self.shown
        self._out.write_text("")
        lines = printed.replace("\0", "").splitlines()
        return [line for line in lines if "BARRIER" not in line and not line.startswith("send:")]


class MonitorTests(PeerCase):
    """What a monitor sees."""

    def setUp(self) -> None:
        """See that there is one."""
        super().setUp()
        for program in ("ovs-ofctl", "ovs-appctl"):
            need(shutil.which(program), f"{program} is missing: install openvswitch-common")

    def monitor(self, version: int = of.OFP10, *arguments: str) -> Monitor:
        """A monitor of the agent."""
        return Monitor(self, "br0", version, *arguments)

    def packet_out(self, actions: str) -> None:
        """Send a packet out."""
        packet = f"in_port=LOCAL packet={FRAME} actions={actions}"
        self.ofctl("-O", "OpenFlow10", "packet-out", "br0", packet)

    def test_packet_in_formats(self) -> None:
        """A packet comes in the format that was asked for, in both versions; Nicira's has the
        registers that the rules have set."""
        self.ofctl(*NXM, "add-flow", "br0", RULE.format(id=0))
        for version in (of.OFP10, of.OFP13):
            for form, name, fields in (
                ("standard", "OFPT_PACKET_IN", "in_port=LOCAL"),
                ("nxt_packet_in", "NXT_PACKET_IN", "reg0=0x5,tun_id=0x9,in_port=LOCAL"),
            ):
                monitor = self.monitor(version, "65534", "-P", form)
                self.packet_out("resubmit(,0)")
                (first, second) = monitor.fresh()
                self.assertTrue(first.startswith(name), first)
                self.assertIn(fields, first)
                self.assertIn("via action", first)
                self.assertIn("tp_src=80,tp_dst=81", second)
                if name == "NXT_PACKET_IN":
                    self.assertIn("cookie=0x9", first)

    def test_unasked(self) -> None:
        """A connection that has not asked for packets gets nothing."""
        self.ofctl(*NXM, "add-flow", "br0", RULE.format(id=0))
        monitor = self.monitor()
        self.packet_out("resubmit(,0)")
        self.ofctl("del-flows", "br0")
        self.assertEqual(monitor.fresh(), [])

    def test_controller_id(self) -> None:
        """What a rule sends to a controller goes to those who are called so."""
        self.ofctl(*NXM, "add-flow", "br0", RULE.format(id=7))
        seven, other = (self.monitor(of.OFP10, "65534", "-P", "nxt_packet_in") for _ in range(2))
        seven.send(nxm.SetControllerId(7))
        self.packet_out("resubmit(,0)")
        self.assertEqual(len(seven.fresh()), 2)
        self.assertEqual(other.fresh(), [])
        seven.send(nxm.SetControllerId(0))
        self.packet_out("resubmit(,0)")
        self.assertEqual(seven.fresh(), [])

    def test_flow_removed(self) -> None:
        """A connection that has chosen NXM is told the whole match of what has gone."""
        whole, half = (self.monitor(of.OFP10, "65534") for _ in range(2))
        whole.send(nxm.SetFlowFormat(nxm.FlowFormat.NXM))
        self.ofctl(*NXM, "add-flow", "br0", RULE.format(id=0))
        self.ofctl("del-flows", "br0")
        (first,), (second,) = whole.fresh(), half.fresh()
        self.assertIn("NXT_FLOW_REMOVED: priority=7,tcp,reg0=0 reason=delete", first)
        self.assertIn("cookie:0x9", first)
        self.assertIn("OFPT_FLOW_REMOVED: priority=7,tcp reason=delete", second)

    def test_masks(self) -> None:
        """Masks say which messages a connection gets, in both versions."""
        for version in (of.OFP10, of.OFP13):
            monitor = self.monitor(version, "65534")
            for packets, removed in ((0, 0), (2, 0), (0, 4), (7, 0xF)):
                masks = of.AsyncConfig((packets, 0), (0, 0), (removed, 0))
                monitor.send(of.SetAsync(masks))
                monitor.fresh()
                self.ofctl(*NXM, "add-flow", "br0", RULE.format(id=0))
                self.packet_out("resubmit(,0)")
                self.ofctl("del-flows", "br0")
                printed = "".join(monitor.fresh())
                self.assertEqual("PACKET_IN" in printed, bool(packets), printed)
                self.assertEqual("FLOW_REMOVED" in printed, bool(removed), printed)

    def test_invalid_ttl(self) -> None:
        """Of packets whose TTL ran out a connection hears that has asked for them."""
        rule = "ip,actions=load:1->NXM_NX_IP_TTL[],dec_ttl(7),output:1"
        self.ofctl(*NXM, "add-flow", "br0", rule)
        monitor = self.monitor(of.OFP10, "65534", "-P", "nxt_packet_in")
        monitor.send(nxm.SetControllerId(7))
        self.packet_out("resubmit(,0)")
        self.assertEqual(monitor.fresh(), [])
        monitor.send(of.SetAsync(of.AsyncConfig((4, 0), (0, 0), (0, 0))))
        monitor.fresh()
        self.packet_out("resubmit(,0)")
        self.assertIn("(via invalid_ttl)", monitor.fresh()[0])
        monitor = self.monitor(of.OFP10, "65534", "invalid_ttl", "-P", "nxt_packet_in")
        monitor.send(nxm.SetControllerId(7))
        self.packet_out("resubmit(,0)")
        self.assertIn("(via invalid_ttl)", monitor.fresh()[0])
        monitor.send(nxm.SetControllerId(8))
        self.packet_out("resubmit(,0)")
        self.assertEqual(monitor.fresh(), [])

    def test_peer(self) -> None:
        """Open vSwitch tells the same in the same words, but for buffers, which it has no more."""
        self.start_peer()
        shown = []
        for target in ("br0", self.peer):
            monitor = Monitor(self, target, of.OFP10, "65534", "-P", "nxt_packet_in")
            monitor.send(nxm.SetFlowFormat(nxm.FlowFormat.NXM), nxm.SetControllerId(7))

            def ask(*arguments: str, t: str = target) -> None:
                self.run_command("ovs-ofctl", *NXM, arguments[0], t, *arguments[1:], check=True)

            ask("add-flow", RULE.format(id=7))
            ask("packet-out", f"in_port=LOCAL packet={FRAME} actions=resubmit(,0)")
            ask("packet-out", f"in_port=7 packet={FRAME} actions=controller(id=7,reason=no_match)")
            ask("del-flows")
            ask("add-flow", "hard_timeout=1," + RULE.format(id=7))
            end = time.monotonic() + TIMEOUT
            while "reason=hard" not in monitor.shown and time.monotonic() < end:
                time.sleep(0.1)
            lines = [line.partition(" data_len=")[0] for line in monitor.fresh()]
            shown.append(lines)
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(sum("PACKET_IN" in line for line in shown[0]), 2)
        self.assertEqual(sum("FLOW_REMOVED" in line for line in shown[0]), 2)
