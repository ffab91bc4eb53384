"""What becomes of packets that cross a running agent, where that is more than a rule that matches:
slow hardware, and what controllers do to ports and groups."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

from agent.openflow import actions as act
from agent.openflow import messages as of
from agent.openflow.errors import BAD_QUEUE
from agent.openflow.group_messages import (
    Bucket,
    GroupCommand,
    GroupMod,
    GroupStatsReply,
    GroupStatsRequest,
    GroupType,
    MeterBand,
    MeterFlags,
    MeterMod,
)
from agent.openflow.match import MATCH_ALL, Match
from drivers.software.port import NO_FLOOD, NO_PACKET_IN, NO_RECV
from tests.packet.frames import CORPUS
from tests.system import need, test_ports
from tests.system.agent import PROFILE, TIMEOUT
from tests.system.network import Wire, ip
from tests.system.test_ports import FRAME, LINK_DOWN, LIVE, output

TO_CONTROLLER = act.Output(of.Port.CONTROLLER, 0xFFFF)
SOON = 0.3
"""Seconds within which what does not come is taken not to come."""


class DatapathCase(test_ports.PortCase):
    """An agent with two hosts, which see and send whole frames."""

    def run_hosts(self, driver: str = 'name = "software"', ports: int = 2) -> list[Wire]:
        """Start it; returns the hosts' ends of the cables."""
        names = [f"p{number}" for number in range(1, ports + 1)]
        hosts = [self.host(name) for name in names]
        entries = (test_ports.PORT.format(n, name, "netdev") for n, name in enumerate(names, 1))
        self.run_agent(*entries, driver=driver)
        self.control = self.watcher()
        return [self.wire(host) for host in hosts]

    def asic(self, ms: float, more: str = "") -> str:
        """The configuration of an ASIC which takes so long for each operation."""
        profile = self.directory / "slow.toml"
        profile.write_text(more + PROFILE.format(ms=ms, size=10))
        return f'name = "asic"\nprofile = "{profile}"'


def rule(*instructions: act.Instruction, **fields: int) -> of.FlowMod:
    """The request to add a rule."""
    match = Match.of(**fields) if fields else MATCH_ALL
    return of.FlowMod(of.FlowModCommand.ADD, match, instructions=instructions, xid=1)


class SlowHardwareTests(DatapathCase):
    """The ASIC forwards what is in it."""

    def test_slow_path(self) -> None:
        """What goes to the CPU takes as long as the profile says, what the chip does itself does
        not, and both are done by one rule."""
        one, two = self.run_hosts(self.asic(0, "packet_in_ms = 700\n"))
        self.control.send(rule(act.ApplyActions((TO_CONTROLLER, act.Output(2))), in_port=1))
        self.control.barrier()
        start = time.monotonic()
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)
        forwarded = time.monotonic() - start
        event = self.control.expect(of.PacketIn)
        arrived = time.monotonic() - start
        self.assertEqual(event.data, FRAME)
        self.assertLess(forwarded, 0.6)
        self.assertGreaterEqual(arrived, 0.7)

    def test_normal(self) -> None:
        """NORMAL forwards by what the CPU learned, and takes its time, too."""
        one, two = self.run_hosts(self.asic(0, "packet_in_ms = 400\n"))
        self.control.send(rule(act.ApplyActions((act.Output(of.Port.NORMAL),))))
        self.control.barrier()
        start = time.monotonic()
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)
        self.assertGreaterEqual(time.monotonic() - start, 0.4)

    def test_not_there_yet(self) -> None:
        """Neither a rule nor a group or a meter that the hardware has not got does anything to a
        packet: the rule that names them comes after them, and the packet after the rule."""
        one, two = self.run_hosts(self.asic(300))
        bucket = Bucket(actions=(act.Output(2),))
        drop_all = MeterBand(1, 1000)
        self.control.send(
            GroupMod(GroupCommand.ADD, GroupType.ALL, 1, (bucket,), xid=2),
            MeterMod(GroupCommand.ADD, MeterFlags.PKTPS, 1, (drop_all,), xid=3),
            rule(act.MeterInstruction(1), act.ApplyActions((act.GroupAction(1),)), in_port=1),
        )
        start = time.monotonic()
        while time.monotonic() - start < 0.6:
            one.send(FRAME)
            self.assertIsNone(two.receive(0.05))
        self.control.barrier()
        # What was dropped before is not delivered afterwards.
        self.assertIsNone(two.receive(0.05))
        self.assertGreaterEqual(time.monotonic() - start, 0.85)
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)

    def test_still_there(self) -> None:
        """A rule forwards as it was until the hardware has got round to changing or deleting it."""
        one, two = self.run_hosts(self.asic(500))
        self.control.send(rule(*output(2), in_port=1))
        self.control.barrier()
        match = Match.of(in_port=1)
        change = of.FlowMod(
            of.FlowModCommand.MODIFY, match, instructions=output(of.Port.IN_PORT), xid=4
        )
        self.control.send(change)
        self.assertEqual(len(self.control.flows()), 1)
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)
        self.control.barrier()
        one.send(FRAME)
        self.assertEqual(one.receive(), FRAME)
        self.assertIsNone(two.receive(0.05))
        self.control.send(of.FlowMod(of.FlowModCommand.DELETE, match, xid=5))
        self.assertEqual(len(self.control.flows()), 0)
        one.send(FRAME)
        self.assertEqual(one.receive(), FRAME)
        self.control.barrier()
        one.send(FRAME)
        self.assertIsNone(one.receive(SOON))


class FragmentTests(DatapathCase):
    """Fragments of IP packets from outside."""

    def test_dropped(self) -> None:
        """They pass until a controller says that they are to be dropped, and others go on."""
        one, two = self.run_hosts()
        self.control.send(rule(*output(2), in_port=1))
        self.control.barrier()
        fragment = CORPUS["first fragment"].ljust(60, b"\0")
        one.send(fragment)
        self.assertEqual(two.receive(), fragment)
        self.control.send(of.SetConfig(of.FragHandling.DROP, 0xFFFF, 6))
        self.control.barrier()
        one.send(fragment)
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)


class QueueTests(DatapathCase):
    """Queues are classes of the kernel's traffic control."""

    def test_classes(self) -> None:
        """What a rule puts into a queue is sent by the class of that number, anything else by the
        default one; the switch knows its queues and counts the same."""
        need(shutil.which("tc"), "tc is missing: install iproute2")
        hosts = [self.host(name) for name in ("p1", "p2")]
        self.run_agent(
            test_ports.PORT.format(1, "p1", "netdev"),
            test_ports.PORT.format(2, "p2", "netdev") + "queues = [1, 2]\n",
        )
        self.tc("qdisc", "add", "dev", "p2", "root", "handle", "1:", "htb", "default", "9")
        for number in ("2", "3", "9"):
            handle = ("parent", "1:", "classid", f"1:{number}")
            self.tc("class", "add", "dev", "p2", *handle, "htb", "rate", "1gbit")
        self.control = control = self.watcher()
        one, two = (self.wire(host) for host in hosts)
        actions = (act.SetQueue(1), act.Output(2), act.SetQueue(2), act.Output(2), act.Output(2))
        control.send(rule(act.ApplyActions(actions), in_port=1))
        control.barrier()
        one.send(FRAME)
        for _ in range(3):
            self.assertEqual(two.receive(), FRAME)
        control.send(of.PacketOut(of.NO_BUFFER, of.Port.CONTROLLER, (act.Output(2),), FRAME, 7))
        self.assertEqual(two.receive(), FRAME)
        shown = self.tc("-s", "class", "show", "dev", "p2")
        packets = re.findall(r"class htb (\S+) .*\n Sent \d+ bytes (\d+) pkt", shown)
        self.assertEqual(dict(packets), {"1:2": "1", "1:3": "2", "1:9": "1"})
        control.send(of.QueueStatsRequest(2, xid=8))
        stats = control.expect(of.QueueStatsReply).queues
        self.assertEqual([(q.queue_id, q.tx_packets) for q in stats], [(1, 1), (2, 2)])
        control.send(of.QueueGetConfigRequest(2, 9))
        queues = control.expect(of.QueueGetConfigReply).queues
        self.assertEqual([queue.queue_id for queue in queues], [1, 2])
        control.send(rule(act.ApplyActions((act.SetQueue(3),))))
        error = control.expect(of.ErrorMessage)
        self.assertEqual((error.type, error.code), BAD_QUEUE.numbers(of.OFP13))

    def tc(self, *arguments: str) -> str:
        """Run tc in the switch's namespace; returns what it prints."""
        command = ("tc", "-n", self.switch, *arguments)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
        need("qdisc kind is unknown" not in done.stderr, "this kernel has no htb")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class PortModTests(DatapathCase):
    """What a controller configures of ports is what packets meet."""

    def setUp(self) -> None:
        """Three hosts, and a rule that floods."""
        super().setUp()
        self.one, self.two, self.three = self.run_hosts(ports=3)
        self.addresses = {n: port.hw_addr for n, port in self.ports(self.control).items()}
        self.control.send(rule(act.ApplyActions((act.Output(of.Port.FLOOD),)), in_port=1))
        self.control.send(rule(act.ApplyActions((TO_CONTROLLER,))))
        self.control.barrier()

    def configure(self, number: int, config: int, mask: int) -> None:
        """Send a PORT_MOD, and wait until it is said to have been done."""
        self.control.send(of.PortMod(number, self.addresses[number], config, mask, xid=5))
        while True:
            # OpenFlow 1.0 has no bit for a port that is live.
            state = 0 if self.control.version == of.OFP10 else LIVE
            desc = self.control.expect_status(number, state)
            if desc.config & mask == config:
                return

    def test_no_flood(self) -> None:
        """A port that takes no part in flooding is left out, until it does again; only OpenFlow
        1.0 knows of that."""
        self.control = self.watcher(of.OFP10)
        self.configure(2, NO_FLOOD, NO_FLOOD)
        self.one.send(FRAME)
        self.assertEqual(self.three.receive(), FRAME)
        self.assertIsNone(self.two.receive(SOON))
        self.configure(2, 0, NO_FLOOD)
        self.one.send(FRAME)
        self.assertEqual(self.two.receive(), FRAME)

    def test_no_recv(self) -> None:
        """What comes in at a port that receives nothing is dropped, and counted; it still sends."""
        self.configure(1, NO_RECV, NO_RECV)
        self.one.send(FRAME)
        self.assertIsNone(self.two.receive(SOON))
        self.assertEqual(self.stats(self.control, 1).rx_dropped, 1)
        out = of.PacketOut(of.NO_BUFFER, of.Port.CONTROLLER, (act.Output(1),), FRAME, xid=6)
        self.control.send(out)
        self.assertEqual(self.one.receive(), FRAME)
        self.configure(1, 0, NO_RECV)
        self.one.send(FRAME)
        self.assertEqual(self.two.receive(), FRAME)

    def test_no_packet_in(self) -> None:
        """A port that causes no packet-ins causes none by a table-miss rule."""
        self.control.send(of.FlowMod(of.FlowModCommand.DELETE, MATCH_ALL, xid=7))
        miss = of.FlowMod(
            of.FlowModCommand.ADD,
            MATCH_ALL,
            priority=0,
            instructions=(act.ApplyActions((TO_CONTROLLER,)),),
            xid=8,
        )
        self.control.send(miss)
        self.control.barrier()
        self.configure(2, NO_PACKET_IN, NO_PACKET_IN)
        self.two.send(FRAME)
        self.three.send(FRAME)
        self.assertEqual(self.control.expect(of.PacketIn).match.value, 3)
        self.configure(2, 0, NO_PACKET_IN)
        self.two.send(FRAME)
        self.assertEqual(self.control.expect(of.PacketIn).match.value, 2)


class FailoverTests(DatapathCase):
    """A fast failover group follows the links, without any controller."""

    driver = 'name = "software"'

    def test_links(self) -> None:
        """Packets go to the first port that is live, come back to it when it is again, and go
        nowhere when none is: by carrier, by the device being taken down, and by PORT_MOD."""
        far = [self.host(name) for name in ("p1", "p2", "p3")]
        self.run_agent(
            *(test_ports.PORT.format(n, f"p{n}", "netdev") for n in (1, 2, 3)), driver=self.driver
        )
        self.control = control = self.watcher()
        one, two, three = (self.wire(host) for host in far)
        buckets = tuple(Bucket(watch_port=port, actions=(act.Output(port),)) for port in (2, 3))
        control.send(
            GroupMod(GroupCommand.ADD, GroupType.FF, 1, buckets, xid=2),
            rule(act.ApplyActions((act.GroupAction(1),)), in_port=1),
        )
        control.barrier()
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)
        # The far end loses its link, and so does the port: no carrier.
        ip("link", "set", "dev", "eth0", "down", namespace=far[1])
        control.expect_status(2, LINK_DOWN)
        one.send(FRAME)
        self.assertEqual(three.receive(), FRAME)
        ip("link", "set", "dev", "p3", "down", namespace=self.switch)
        control.expect_status(3, LINK_DOWN)
        one.send(FRAME)
        ip("link", "set", "dev", "eth0", "up", namespace=far[1])
        control.expect_status(2, LIVE)
        two = self.wire(far[1])
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)
        self.assertIsNone(two.receive(SOON))
        ip("link", "set", "dev", "p3", "up", namespace=self.switch)
        control.expect_status(3, LIVE)
        address = self.ports(control)[2].hw_addr
        control.send(of.PortMod(2, address, test_ports.PORT_DOWN, test_ports.PORT_DOWN, xid=5))
        control.expect_status(2, LINK_DOWN)
        one.send(FRAME)
        self.assertEqual(three.receive(), FRAME)
        control.send(GroupStatsRequest(1, xid=6))
        (stats,) = control.expect(GroupStatsReply).groups
        self.assertEqual((stats.packet_count, [count for count, _ in stats.buckets]), (5, [2, 2]))


class AsicFailoverTests(FailoverTests):
    """So it does on the simulated ASIC."""

    driver = 'name = "asic"\nprofile = "instant"'
