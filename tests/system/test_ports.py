"""Ports on network devices: packets cross a running agent, and devices come and go under it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading

from agent.openflow import actions as act
from agent.openflow import messages as of
from agent.openflow.fields import FIELDS
from agent.openflow.match import MATCH_ALL, Match
from tests.system import need
from tests.system.agent import PROFILE, TIMEOUT, Controller
from tests.system.network import NetworkCase, inside, ip

LINK_DOWN = 1
LIVE = 4
PORT_DOWN = 1

FRAME = bytes.fromhex("02000000000b 02000000000a 88b5") + bytes(range(100))
"""A frame of a protocol for experiments."""
TAGGED = FRAME[:12] + bytes.fromhex("81006007") + FRAME[12:]
SERVICE = FRAME[:12] + bytes.fromhex("88a80005 81006007") + FRAME[12:]

CONFIG = """
[agent]
run_dir = "run"
control = "ofagent.ctl"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["punix:br0.mgmt"]
[bridge.driver]
{driver}
"""
PORT = """
[[bridge.port]]
number = {}
name = "{}"
type = "{}"
"""
LOCAL = '\n[[bridge.port]]\nnumber = "LOCAL"\n'


def output(*ports: int) -> tuple[act.Instruction, ...]:
    """The instructions of a rule which sends to ports."""
    return (act.ApplyActions(tuple(act.Output(port, 0xFFFF) for port in ports)),)


class PortCase(NetworkCase):
    """An agent whose ports 1 and 2 are devices of its own namespace."""

    def run_agent(self, *ports: str, driver: str = 'name = "software"') -> subprocess.Popen[bytes]:
        """Start it.

        :param ports: what the configuration says of ports; usually, of the netdevs p1 and p2.
        """
        usual = (PORT.format(1, "p1", "netdev"), PORT.format(2, "p2", "netdev"))
        return self.start(text=CONFIG.format(driver=driver) + "".join(ports or usual))

    def add(
        self, controller: Controller, instructions: tuple[act.Instruction, ...], **fields: int
    ) -> None:
        """Add a rule, and wait until it is there."""
        match = Match.of(**fields) if fields else MATCH_ALL
        controller.send(of.FlowMod(of.FlowModCommand.ADD, match, instructions=instructions, xid=1))
        controller.barrier()

    def ports(self, controller: Controller) -> dict[int, of.PortDesc]:
        """The ports as the switch describes them."""
        controller.send(of.PortDescRequest(xid=2))
        return {port.port_no: port for port in controller.expect(of.PortDescReply).ports}

    def stats(self, controller: Controller, number: int) -> of.PortStats:
        """The counters of a port."""
        controller.send(of.PortStatsRequest(number, xid=3))
        (stats,) = controller.expect(of.PortStatsReply).ports
        return stats


class PacketTests(PortCase):
    """What crosses the switch."""

    def setUp(self) -> None:
        """Two hosts."""
        super().setUp()
        self.hosts = [self.host("p1", "10.0.0.1/24"), self.host("p2", "10.0.0.2/24")]

    def transfer(self, kind: socket.SocketKind, data: bytes) -> bytes:
        """Send data from the first host to the second, over TCP or as one datagram; returns what
        comes out there."""
        with inside(self.hosts[1]), socket.socket(socket.AF_INET, kind) as server:
            server.settimeout(TIMEOUT)
            server.bind(("10.0.0.2", 7777))
            if kind is socket.SOCK_STREAM:
                server.listen(1)
            with inside(self.hosts[0]), socket.socket(socket.AF_INET, kind) as client:
                client.settimeout(TIMEOUT)
                if kind is socket.SOCK_DGRAM:
                    client.sendto(data, ("10.0.0.2", 7777))
                    return server.recv(1 << 16)
                client.connect(("10.0.0.2", 7777))
                connection, _ = server.accept()
                connection.settimeout(TIMEOUT)

                def send() -> None:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)

                thread = threading.Thread(target=send)
                thread.start()
                with connection:
                    received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
                thread.join(TIMEOUT)
                return received

    def test_hosts_talk(self) -> None:
        """Hosts that leave checksums and segments to their network cards, as they do unless told
        otherwise, talk across the switch: ARP, datagrams, fragments, and megabytes of TCP."""
        self.run_agent()
        controller = self.watcher()
        self.add(controller, output(2), in_port=1)
        self.add(controller, output(1), in_port=2)
        self.assertEqual(self.transfer(socket.SOCK_DGRAM, b"hello"), b"hello")
        large = bytes(range(256)) * 100
        self.assertEqual(self.transfer(socket.SOCK_DGRAM, large), large)
        megabytes = large * 160
        self.assertEqual(self.transfer(socket.SOCK_STREAM, megabytes), megabytes)
        stats = self.stats(controller, 2)
        # All were cut to the size that fits on the wire.
        self.assertGreater(stats.tx_packets, len(megabytes) // 1500)
        self.assertEqual(stats.tx_dropped, 0)

    def test_rewritten(self) -> None:
        """A rewritten packet has the right checksums although the sender began them only: here
        from another address than the receiver sees."""
        self.run_agent()
        controller = self.watcher()
        to_server = act.SetField(FIELDS["ipv4_src"], 0x0A000063)
        to_client = act.SetField(FIELDS["ipv4_dst"], 0x0A000001)
        rewrite = (act.ApplyActions((to_server, act.Output(2))),)
        restore = (act.ApplyActions((to_client, act.Output(1))),)
        self.add(controller, rewrite, in_port=1, eth_type=0x800)
        self.add(controller, restore, in_port=2, eth_type=0x800)
        self.add(controller, output(2), in_port=1, eth_type=0x806)
        self.add(controller, output(1), in_port=2, eth_type=0x806)
        # The server must not ask who the made-up address is.
        lladdr = ("lladdr", self.wire(self.hosts[0]).address, "dev", "eth0")
        ip("neigh", "add", "10.0.0.99", *lladdr, namespace=self.hosts[1])
        data = bytes(range(256)) * 1000
        self.assertEqual(self.transfer(socket.SOCK_STREAM, data), data)

    def test_tags(self) -> None:
        """VLAN tags of both kinds are seen, kept, pushed and popped."""
        self.run_agent()
        controller = self.watcher()
        one, two = self.wire(self.hosts[0]), self.wire(self.hosts[1])
        self.add(controller, output(2), in_port=1)
        for frame in (FRAME, TAGGED, SERVICE):
            one.send(frame)
            self.assertEqual(two.receive(), frame)
        controller.send(of.FlowMod(of.FlowModCommand.DELETE, MATCH_ALL, xid=1))
        pop = (act.ApplyActions((act.PopVlan(), act.Output(2))),)
        self.add(controller, pop, in_port=1, vlan_vid=0x1000 | 7)
        self.add(controller, pop, in_port=1, vlan_vid=0x1000 | 5)
        for frame, popped in ((TAGGED, FRAME), (SERVICE, TAGGED)):
            one.send(frame)
            self.assertEqual(two.receive(), popped)

    def test_short(self) -> None:
        """A frame that is shorter than Ethernet allows is filled up when it is sent."""
        self.run_agent()
        controller = self.watcher()
        two = self.wire(self.hosts[1])
        for size in (14, 59):
            controller.send(
                of.PacketOut(
                    of.NO_BUFFER, of.Port.CONTROLLER, (act.Output(2),), FRAME[:size], xid=4
                )
            )
            self.assertEqual(two.receive(), FRAME[:size].ljust(60, b"\0"))

    def test_taken_down(self) -> None:
        """A port that a controller takes down carries nothing; its device stays up."""
        self.run_agent()
        controller = self.watcher()
        one, two = self.wire(self.hosts[0]), self.wire(self.hosts[1])
        self.add(controller, output(2), in_port=1)
        address = self.ports(controller)[2].hw_addr
        controller.send(of.PortMod(2, address, PORT_DOWN, PORT_DOWN, xid=5))
        controller.expect_status(2, LINK_DOWN)
        one.send(FRAME)
        self.assertIsNone(two.receive(0.3))
        self.assertEqual(self.stats(controller, 2).tx_dropped, 1)
        controller.send(of.PortMod(2, address, 0, PORT_DOWN, xid=6))
        controller.expect_status(2, LIVE)
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)

    def test_slow_hardware(self) -> None:
        """With the ASIC a packet passes when the hardware has the rule, not when it was asked."""
        profile = self.directory / "slow.toml"
        profile.write_text(PROFILE.format(ms=700, size=10))
        self.run_agent(driver=f'name = "asic"\nprofile = "{profile}"')
        controller = self.watcher()
        one, two = self.wire(self.hosts[0]), self.wire(self.hosts[1])
        controller.send(
            of.FlowMod(of.FlowModCommand.ADD, Match.of(in_port=1), instructions=output(2), xid=1)
        )
        self.assertEqual(len(controller.flows()), 1)
        one.send(FRAME)
        self.assertIsNone(two.receive(0.2))
        controller.barrier()
        one.send(FRAME)
        self.assertEqual(two.receive(), FRAME)


class LinkTests(PortCase):
    """What becomes of ports when their devices change."""

    def test_link(self) -> None:
        """Down, no carrier, another address: the controllers are told."""
        far = self.host("p1")
        self.host("p2")
        self.run_agent()
        controller = self.watcher()
        self.assertEqual([port.state for port in self.ports(controller).values()], [LIVE, LIVE])
        ip("link", "set", "dev", "p1", "down", namespace=self.switch)
        controller.expect_status(1, LINK_DOWN)
        ip("link", "set", "dev", "p1", "up", namespace=self.switch)
        controller.expect_status(1, LIVE)
        ip("link", "set", "dev", "eth0", "down", namespace=far)
        controller.expect_status(1, LINK_DOWN)
        ip("link", "set", "dev", "eth0", "up", namespace=far)
        controller.expect_status(1, LIVE)
        ip("link", "set", "dev", "p1", "address", "02:00:00:00:00:77", namespace=self.switch)
        self.assertEqual(controller.expect_status(1, LIVE).hw_addr, 0x020000000077)

    def test_lost_and_regained(self) -> None:
        """A port outlives its device, and works again on the next of that name, which comes by
        being made or by being renamed; rules and counters stay."""
        far = self.host("p1")
        self.host("p2")
        self.run_agent()
        controller = self.watcher()
        self.add(controller, output(of.Port.IN_PORT), in_port=1)
        wire = self.wire(far)
        wire.send(FRAME)
        self.assertEqual(wire.receive(), FRAME)
        ip("link", "del", "dev", "p1", namespace=self.switch)
        controller.expect_status(1, LINK_DOWN)
        self.assertEqual(list(self.ports(controller)), [1, 2])
        self.cable("p1", far)
        controller.expect_status(1, LIVE)
        wire = self.wire(far)
        wire.send(FRAME)
        self.assertEqual(wire.receive(), FRAME)
        self.assertEqual(self.stats(controller, 1).rx_packets, 2)
        ip("link", "set", "dev", "p1", "down", namespace=self.switch)
        ip("link", "set", "dev", "p1", "name", "other", namespace=self.switch)
        ip("link", "set", "dev", "other", "up", namespace=self.switch)
        controller.expect_status(1, LINK_DOWN)
        wire.send(FRAME)
        self.assertIsNone(wire.receive(0.3))
        ip("link", "set", "dev", "other", "down", namespace=self.switch)
        ip("link", "set", "dev", "other", "name", "p1", namespace=self.switch)
        ip("link", "set", "dev", "p1", "up", namespace=self.switch)
        controller.expect_status(1, LIVE)
        wire.send(FRAME)
        self.assertEqual(wire.receive(), FRAME)

    def test_missing(self) -> None:
        """A device that is not there at the start is waited for, and named in the log."""
        self.host("p2")
        self.run_agent()
        controller = self.watcher()
        states = {number: port.state for number, port in self.ports(controller).items()}
        self.assertEqual(states, {1: LINK_DOWN, 2: LIVE})
        self.assertIn("port 1 (p1): link down, for there is no such device", self.log.read_text())
        self.host("p1")
        controller.expect_status(1, LIVE)


class TapTests(PortCase):
    """Ports on devices that the agent makes."""

    def devices(self) -> set[str]:
        """The names of the devices in the switch's namespace."""
        with inside(self.switch):
            return {name for _, name in socket.if_nameindex()}

    def test_tap(self) -> None:
        """A device is there as long as the agent, also in another namespace."""
        self.run_agent(PORT.format(1, "tap1", "tap"), PORT.format(2, "tap2", "tap"))
        controller = self.watcher()
        self.assertLessEqual({"tap1", "tap2"}, self.devices())
        guest = self.namespace()
        ip("link", "set", "dev", "tap2", "netns", guest, namespace=self.switch)
        ip("link", "set", "dev", "tap2", "up", namespace=guest)
        self.add(controller, output(2), in_port=1)
        self.add(controller, output(1), in_port=2)
        one, two = self.wire(self.switch, "tap1"), self.wire(guest, "tap2")
        for frame in (FRAME, TAGGED):
            one.send(frame)
            self.assertEqual(two.receive(), frame)
            two.send(frame)
            self.assertEqual(one.receive(), frame)

    def test_deleted(self) -> None:
        """A device that somebody deletes is made again."""
        self.run_agent(PORT.format(1, "tap1", "tap"))
        controller = self.watcher()
        ip("link", "del", "dev", "tap1", namespace=self.switch)
        controller.expect_status(1, LINK_DOWN)
        controller.expect_status(1, LIVE)
        self.assertIn("tap1", self.devices())

    def test_local(self) -> None:
        """The host talks through LOCAL, which has the bridge's name; it is gone afterwards."""
        far = self.host("p1", "10.0.0.1/24")
        process = self.run_agent(PORT.format(1, "p1", "netdev"), LOCAL)
        controller = self.watcher()
        ip("addr", "add", "10.0.0.2/24", "dev", "br0", namespace=self.switch)
        self.add(controller, output(of.Port.LOCAL), in_port=1)
        self.add(controller, output(1), in_port=of.Port.LOCAL)
        with inside(self.switch), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.settimeout(TIMEOUT)
            server.bind(("10.0.0.2", 7777))
            with inside(far), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(TIMEOUT)
                client.sendto(b"ping", ("10.0.0.2", 7777))
                data, address = server.recvfrom(100)
                server.sendto(data + b" pong", address)
                self.assertEqual(client.recv(100), b"ping pong")
        self.stop(process)
        self.assertEqual(self.devices() - {"lo"}, {"p1"})

    def test_local_in_every_version(self) -> None:
        """LOCAL is among the ports in OpenFlow 1.0 and 1.3, can be output to, and is what packets
        come from."""
        self.run_agent(LOCAL)
        for version in (of.OFP10, of.OFP13):
            controller = self.watcher(version)
            if version == of.OFP10:
                controller.send(of.FeaturesRequest(xid=2))
                (port,) = controller.expect(of.FeaturesReply).ports
            else:
                (port,) = self.ports(controller).values()
            self.assertEqual((port.port_no, port.name), (of.Port.LOCAL, "br0"))
            wire = self.wire(self.switch, "br0")
            controller.send(
                of.PacketOut(
                    of.NO_BUFFER, of.Port.CONTROLLER, (act.Output(of.Port.LOCAL),), FRAME, xid=4
                )
            )
            self.assertEqual(wire.receive(), FRAME)
            self.add(controller, output(of.Port.CONTROLLER), in_port=of.Port.LOCAL)
            wire.send(TAGGED)
            packet_in = controller.expect(of.PacketIn)
            self.assertEqual(packet_in.match, Match.of(in_port=of.Port.LOCAL))
            self.assertEqual(packet_in.data, TAGGED)
            controller.close()


class CapabilityTests(PortCase):
    """An agent that lacks a capability says so, and does not start."""

    def refused(self, missing: str, port: str) -> str:
        """Start an agent without a capability; returns what it says last."""
        need(shutil.which("setpriv"), "setpriv is missing: install util-linux")
        file = self.directory / "ofagent.toml"
        file.write_text(CONFIG.format(driver='name = "software"') + port)
        self.prefix = (*self.prefix, "setpriv", f"--bounding-set=-{missing}")
        done = subprocess.run(
            self.command(file),
            check=False,
            cwd=self.directory,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        return done.stderr.splitlines()[-1]

    def test_netdev(self) -> None:
        """A port on an existing device needs CAP_NET_RAW."""
        self.assertEqual(
            self.refused("net_raw", PORT.format(7, "eth7", "netdev")),
            "ofagent: br0: cannot start: port 7 (eth7): "
            "the capability CAP_NET_RAW is needed to open a packet socket",
        )

    def test_tap(self) -> None:
        """A port on a device that the agent makes needs CAP_NET_ADMIN."""
        self.assertEqual(
            self.refused("net_admin", LOCAL),
            "ofagent: br0: cannot start: port LOCAL (br0): "
            "the capability CAP_NET_ADMIN is needed to make a TAP device and bring it up",
        )
